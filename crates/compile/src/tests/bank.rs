//! Banks decide every packet as the first matching rule of the list does.

use std::collections::BTreeSet;

use oncilla_net::{Direction, Icmp, IcmpMatch, Packet, PortRange, PortSet, Protocol};
use oncilla_program::{Bank, ClassId, Peer, Program, Rule, RuleVerdict, SetName};

use super::Random;
use crate::bank::{BROAD_ENTRIES_MAX, CUTS_MAX, LINEAR_RULES_MAX, Lowered, build};

const CLASSES: [ClassId; 4] = [ClassId::UNKNOWN_V4, ClassId(3), ClassId(4), ClassId(5)];
const PROTOCOLS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::ICMP];
const PORTS: [u16; 3] = [1, 2, 3];

fn packet(protocol: Protocol, src_port: u16, dst_port: u16) -> Packet {
    Packet {
        src: "10.0.0.1".parse().unwrap(),
        dst: "10.0.0.2".parse().unwrap(),
        protocol,
        src_port,
        dst_port,
        icmp: Icmp::echo(protocol),
    }
}

/// Every packet of the universe that some rule could tell from another.
fn packets() -> Vec<(ClassId, Packet)> {
    let mut packets = Vec::new();
    for class in CLASSES {
        for (kind, code) in [(8, 0), (8, 1), (13, 0)] {
            let mut packet = packet(Protocol::ICMP, 0, 0);
            packet.icmp = Some(Icmp { kind, code });
            packets.push((class, packet));
        }
        for protocol in [Protocol::TCP, Protocol::UDP] {
            for port in PORTS {
                packets.extend([1, 2].map(|src_port| (class, packet(protocol, src_port, port))));
            }
        }
    }
    packets
}

fn random_rule(random: &mut Random) -> Rule {
    let verdicts = [RuleVerdict::Allow, RuleVerdict::Deny, RuleVerdict::Pass];
    let verdict = if random.chance(3) {
        RuleVerdict::Log
    } else {
        *random.pick(&verdicts)
    };
    let mut rule = Rule::new(verdict, "".into());
    if random.chance(65) {
        let classes: BTreeSet<ClassId> = (0..=random.below(3))
            .map(|_| *random.pick(&CLASSES))
            .collect();
        rule.peer = Peer::Classes(classes.into_iter().collect());
    }
    if random.chance(75) {
        let protocol = *random.pick(&PROTOCOLS);
        rule.protocol = Some(protocol);
        if protocol.has_ports() && random.chance(60) {
            rule.dst_ports = Some(
                (0..=random.below(2))
                    .map(|_| *random.pick(&PORTS))
                    .collect(),
            );
        }
        if protocol.has_ports() && random.chance(12) {
            rule.src_ports = Some([1].into_iter().collect());
        }
        let messages = |random: &mut Random| IcmpMatch {
            kind: *random.pick(&[8, 13]),
            code: *random.pick(&[None, Some(0), Some(1)]),
        };
        if protocol == Protocol::ICMP && random.chance(40) {
            rule.icmp = Some(messages(random));
        }
        if protocol == Protocol::ICMP && random.chance(20) {
            rule.not_icmp = Some(messages(random));
        }
    } else if random.chance(10) {
        rule.not_protocol = Some(*random.pick(&PROTOCOLS));
    }
    rule
}

/// Written apart from the interpreter: the criteria of this file's rules, one after the other.
fn naive(rules: &[Rule], class: ClassId, packet: &Packet) -> Option<RuleVerdict> {
    let has =
        |set: &Option<PortSet>, port| set.as_ref().is_none_or(|set| set.iter().any(|p| p == port));
    let matching = |rule: &&Rule| {
        rule.verdict != RuleVerdict::Log
            && match &rule.peer {
                Peer::Any => true,
                Peer::Classes(classes) => classes.contains(&class),
                Peer::Sets(_) => unreachable!(),
            }
            && rule
                .protocol
                .is_none_or(|protocol| protocol == packet.protocol)
            && rule.not_protocol != Some(packet.protocol)
            && rule.icmp.is_none_or(|wanted| is_message(wanted, packet))
            && rule.not_icmp.is_none_or(|other| !is_message(other, packet))
            && has(&rule.src_ports, packet.src_port)
            && has(&rule.dst_ports, packet.dst_port)
    };
    rules.iter().find(matching).map(|rule| rule.verdict)
}

fn is_message(wanted: IcmpMatch, packet: &Packet) -> bool {
    packet.icmp.is_some_and(|icmp| {
        icmp.kind == wanted.kind && wanted.code.is_none_or(|code| code == icmp.code)
    })
}

/// The verdict and the level; level 0 is the tail.
fn banks_say(banks: &[Bank], class: ClassId, packet: &Packet) -> Option<(RuleVerdict, u8)> {
    let empty = Program::default();
    banks.iter().find_map(|bank| {
        let matches = |rule: &&Rule| {
            rule.verdict != RuleVerdict::Log
                && rule.matches(empty.sets(), Direction::Ingress, class, packet)
        };
        let tail = || bank.tail.iter().find(matches).map(|rule| (rule.verdict, 0));
        bank.levels.lookup(class, packet).or_else(tail)
    })
}

#[test]
fn banks_are_exact_first_match() {
    let mut random = Random::new(4);
    let packets = packets();
    let mut seen = BTreeSet::new();
    let mut most_banks = 0;
    for list in 0..120_000 {
        let rules: Vec<Rule> = (0..=random.below(9))
            .map(|_| random_rule(&mut random))
            .collect();
        let banks = build(rules.iter().cloned().map(Lowered::from).collect());
        most_banks = most_banks.max(banks.len());
        for (class, packet) in &packets {
            let said = banks_say(&banks, *class, packet);
            assert_eq!(
                said.map(|(verdict, _)| verdict),
                naive(&rules, *class, packet),
                "list {list}, {class}, {packet:?}\n{rules:#?}\n{banks:#?}"
            );
            seen.extend(said);
        }
    }
    for verdict in [RuleVerdict::Allow, RuleVerdict::Deny, RuleVerdict::Pass] {
        for level in 0..=6 {
            assert!(
                seen.contains(&(verdict, level)),
                "{verdict:?} never fell at level {level}"
            );
        }
    }
    assert!(
        most_banks >= 3,
        "no list needed several banks: {most_banks}"
    );
}

fn ports_from(first: u16) -> PortSet {
    std::iter::once(PortRange::new(first, first + 63).unwrap()).collect()
}

#[test]
fn too_many_cuts_open_a_new_bank() {
    let mut deny = Rule::new(RuleVerdict::Deny, "".into());
    deny.protocol = Some(Protocol::TCP);
    let mut rules = Vec::new();
    for block in 0..32 {
        deny.dst_ports = Some(ports_from(64 * block));
        rules.push(deny.clone());
    }
    let mut allow = Rule::new(RuleVerdict::Allow, "".into());
    allow.peer = Peer::Classes([ClassId(3), ClassId(4)].into());
    rules.push(allow.clone());
    // 2,048 entries, two classes: exactly the limit.
    let lowered = |rules: &[Rule]| rules.iter().cloned().map(Lowered::from).collect::<Vec<_>>();
    let banks = build(lowered(&rules));
    assert_eq!((banks.len(), banks[0].levels.k1.len()), (1, CUTS_MAX));
    allow.peer = Peer::Classes([ClassId(5)].into());
    rules.push(allow);
    let banks = build(lowered(&rules));
    assert_eq!(
        (
            banks.len(),
            banks[1].levels.k3.len(),
            banks[1].levels.k1.len()
        ),
        (2, 1, 0)
    );
    for class in [ClassId(3), ClassId(5), ClassId(6)] {
        for port in [0, 1, 2047, 2048] {
            let packet = packet(Protocol::TCP, 9, port);
            let said = banks_say(&banks, class, &packet).map(|(verdict, _)| verdict);
            assert_eq!(said, naive(&rules, class, &packet), "{class} {port}");
        }
    }
}

fn broad(classes: u32, index: usize) -> Lowered {
    let mut rule = Rule::new(RuleVerdict::Allow, format!("{index}").into());
    let set = oncilla_program::SetRef::Classes(SetName("p0".into()));
    rule.peer = Peer::Sets(vec![oncilla_program::PeerMatch {
        set,
        negated: false,
    }]);
    rule.protocol = Some(Protocol::TCP);
    rule.dst_ports = Some(ports_from(u16::try_from(64 * index).unwrap()));
    Lowered {
        rule,
        broad: Some((10..10 + classes).map(ClassId).collect()),
    }
}

#[test]
fn many_linear_rules_make_broad_peers_keys() {
    let at_limit = build(
        (0..LINEAR_RULES_MAX)
            .map(|index| broad(300, index))
            .collect(),
    );
    assert_eq!(at_limit.len(), 1);
    assert_eq!(
        (at_limit[0].tail.len(), at_limit[0].levels.k1.len()),
        (LINEAR_RULES_MAX, 0)
    );
    let over = build(
        (0..LINEAR_RULES_MAX + 6)
            .map(|index| broad(300, index))
            .collect(),
    );
    assert_eq!(
        (over[0].tail.len(), over[0].levels.k1.len()),
        (LINEAR_RULES_MAX, 6 * 64 * 300)
    );
    let huge = build(
        (0..LINEAR_RULES_MAX + 6)
            .map(|index| broad(1_500, index))
            .collect(),
    );
    let keys: usize = huge.iter().map(|bank| bank.levels.k1.len()).sum();
    assert_eq!(keys, 2 * 64 * 1_500);
    assert!(keys <= BROAD_ENTRIES_MAX);
}

#[test]
fn nothing_follows_a_rule_for_all_packets() {
    let mut linear = Rule::new(RuleVerdict::Deny, "linear".into());
    linear.not_protocol = Some(Protocol::TCP);
    let all = Rule::new(RuleVerdict::Deny, "all".into());
    let later = Rule::new(RuleVerdict::Allow, "later".into());
    let banks = build([linear, all, later].map(Lowered::from).into());
    assert_eq!(banks.len(), 1);
    assert_eq!(
        (banks[0].levels.k6, banks[0].tail.len()),
        (Some(RuleVerdict::Deny), 0)
    );
}
