//! Tests of the interpreter, the canonical form and whole differences.

mod host;

use std::sync::Arc;

use oncilla_net::{Direction, Icmp, Packet, Protocol, Verdict};

use crate::{
    AddressMap, Bank, BankPlace, ClassId, ClassSet, Dispatch, EndpointToHost, Group, GroupId, Hook,
    LocalEndpoint, Passage, Peer, PeerMatch, Place, ProfileEnd, Program, ProgramDelta, Rule,
    RuleVerdict, SetName, SetRef, Tally, Tier, TierEnd,
};

fn packet(src: &str, dst: &str, protocol: Protocol, dst_port: u16) -> Packet {
    let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
    Packet {
        src,
        dst,
        protocol,
        src_port: 40_000,
        dst_port,
        icmp: Icmp::echo(protocol),
    }
}

fn tier(name: &str, banks: Vec<Bank>, end: TierEnd) -> Tier {
    Tier {
        name: name.into(),
        comment: "".into(),
        banks,
        end,
    }
}

fn group(id: &str, direction: Direction, tiers: Vec<Tier>) -> (GroupId, Arc<Group>) {
    let id = GroupId(id.into());
    let group = Group {
        id: id.clone(),
        hook: Hook::Normal,
        direction,
        tiers,
        profiles: ProfileEnd::Allow,
    };
    (id, Arc::new(group))
}

fn endpoint(addr: &str, ingress: Dispatch, egress: Dispatch) -> LocalEndpoint {
    LocalEndpoint {
        name: "ns/pod eth0".into(),
        addresses: vec![addr.parse().unwrap()],
        ingress,
        egress,
    }
}

/// `calia` (10.0.0.1) is judged in both directions, `calib` (10.0.0.2) is open. Class 3: 10.0.0.3; class 4:
/// 10.1.0.0/16.
fn program() -> Program {
    let mut program = Program::default();
    program
        .addresses
        .set_host("10.0.0.3".parse().unwrap(), Some(ClassId(3)));
    program
        .addresses
        .set_net("10.1.0.0/16".parse().unwrap(), Some(ClassId(4)));
    let mut first = Bank::default();
    first
        .levels
        .k1
        .insert((ClassId(3), Protocol::TCP, 80), RuleVerdict::Allow);
    first.levels.k3.insert(ClassId(3), RuleVerdict::Deny);
    first.levels.k3.insert(ClassId(4), RuleVerdict::Pass);
    let mut range = Rule::new(RuleVerdict::Allow, "first/np/ns/range ingress[2]".into());
    range.protocol = Some(Protocol::UDP);
    range.dst_ports = Some([1000, 1001].into_iter().collect());
    let name = SetName("p0".into());
    let set = SetRef::Classes(name.clone());
    range.peer = Peer::Sets(vec![PeerMatch { set, negated: true }]);
    first.tail.push(range);
    let set = ClassSet {
        text: "selector has(a)".into(),
        classes: [ClassId(3)].into(),
    };
    program.class_sets.insert(name, set);
    let tiers = vec![tier("first", vec![first], TierEnd::Pass), {
        let mut bank = Bank::default();
        bank.levels
            .k4
            .insert((Protocol::TCP, 81), RuleVerdict::Allow);
        bank.levels
            .k2
            .insert((ClassId(4), Protocol::TCP), RuleVerdict::Pass);
        tier("second", vec![bank], TierEnd::Deny)
    }];
    let (to, into) = group("00", Direction::Ingress, tiers);
    let mut bank = Bank::default();
    bank.levels.k5.insert(Protocol::TCP, RuleVerdict::Allow);
    let (from, out) = group(
        "01",
        Direction::Egress,
        vec![tier("t", vec![bank], TierEnd::Deny)],
    );
    program
        .groups
        .extend([(to.clone(), into), (from.clone(), out)]);
    let a = endpoint("10.0.0.1", Dispatch::Group(to), Dispatch::Group(from));
    program.endpoints.insert("calia".into(), a);
    program.endpoints.insert(
        "calib".into(),
        endpoint("10.0.0.2", Dispatch::Open, Dispatch::Open),
    );
    program
}

#[test]
fn an_end_is_judged_tier_by_tier() {
    let program = program();
    let into = |src, protocol, port| packet(src, "10.0.0.1", protocol, port);
    let name: &Arc<str> = &"first".into();
    let second: &Arc<str> = &"second".into();
    let comment: &Arc<str> = &"first/np/ns/range ingress[2]".into();
    let rule = |tier, name, at| Place::Rule {
        tier,
        name,
        bank: 0,
        at,
    };
    let level = BankPlace::Level;
    let cases = [
        (
            into("10.0.0.3", Protocol::TCP, 80),
            Verdict::Allow,
            rule(0, name, level(1)),
        ),
        (
            into("10.0.0.3", Protocol::TCP, 81),
            Verdict::Deny,
            rule(0, name, level(3)),
        ),
        (
            into("10.1.2.3", Protocol::TCP, 81),
            Verdict::Allow,
            Place::ProfileAllow,
        ),
        (
            into("10.1.2.3", Protocol::UDP, 81),
            Verdict::Deny,
            Place::EndOfTier {
                tier: 1,
                name: second,
            },
        ),
        (
            into("192.0.2.1", Protocol::UDP, 1001),
            Verdict::Allow,
            rule(0, name, BankPlace::Tail(comment)),
        ),
        (
            into("192.0.2.1", Protocol::TCP, 81),
            Verdict::Allow,
            rule(1, second, level(4)),
        ),
    ];
    let mut tally = Tally::default();
    for (packet, verdict, place) in cases {
        let outcome = program.judge(&Passage::forward("eth0", "calia"), &packet);
        assert_eq!(
            (outcome.verdict, outcome.decided.place),
            (verdict, place),
            "{packet:?}"
        );
        assert_eq!(outcome.decided.interface, Some("calia"));
        tally.count(&outcome);
    }
    let expected = Tally {
        allowed: 4,
        denied: 2,
        passed: 2,
        ends_of_tier: 2,
    };
    assert_eq!(tally, expected);
}

#[test]
fn both_ends_and_the_host_have_their_say() {
    let mut program = program();
    let out = packet("10.0.0.1", "10.0.0.2", Protocol::UDP, 53);
    let outcome = program.judge(&Passage::forward("calia", "calib"), &out);
    assert_eq!(
        (outcome.verdict, outcome.decided.direction),
        (Verdict::Deny, Some(Direction::Egress))
    );
    let tcp = packet("10.0.0.1", "10.0.0.2", Protocol::TCP, 53);
    let outcome = program.judge(&Passage::forward("calia", "calib"), &tcp);
    assert_eq!(
        (outcome.verdict, outcome.decided.place),
        (Verdict::Allow, Place::Open)
    );
    let back = packet("10.0.0.2", "10.0.0.1", Protocol::TCP, 82);
    let outcome = program.judge(&Passage::forward("calib", "calia"), &back);
    assert_eq!(
        (outcome.verdict, outcome.decided.direction),
        (Verdict::Deny, Some(Direction::Ingress))
    );

    for (action, verdict) in [
        (EndpointToHost::Drop, Verdict::Deny),
        (EndpointToHost::Accept, Verdict::Allow),
        (EndpointToHost::Return, Verdict::Allow),
    ] {
        program.settings.endpoint_to_host = action;
        let outcome = program.judge(&Passage::input("calia"), &tcp);
        assert_eq!(
            (outcome.verdict, outcome.decided.place),
            (verdict, Place::ToHost(action))
        );
        assert_eq!(
            program.judge(&Passage::input("calia"), &out).verdict,
            Verdict::Deny
        );
    }
    let outcome = program.judge(&Passage::output("calia"), &back);
    assert_eq!(
        (outcome.verdict, outcome.decided.place),
        (Verdict::Allow, Place::Unpoliced)
    );
    let outcome = program.judge(&Passage::output("calighost"), &back);
    assert_eq!(outcome.verdict, Verdict::Allow);
}

#[test]
fn unknown_interfaces_and_tunnels_are_denied() {
    let mut program = program();
    let plain = packet("10.0.0.2", "10.9.9.9", Protocol::TCP, 80);
    for passage in [
        Passage::forward("calix", "eth0"),
        Passage::forward("eth0", "calix"),
        Passage::input("calix"),
    ] {
        let outcome = program.judge(&passage, &plain);
        assert_eq!(
            (outcome.verdict, outcome.decided.place),
            (Verdict::Deny, Place::UnknownInterface)
        );
    }
    let by_tap = [Passage::input("tap0"), Passage::forward("eth0", "tap0")];
    for passage in by_tap {
        assert_eq!(program.judge(&passage, &plain).verdict, Verdict::Allow);
    }
    let prefixes = &mut program.settings.interface_prefixes;
    *prefixes = prefixes.with(["tap".into()]);
    for passage in by_tap {
        let outcome = program.judge(&passage, &plain);
        assert_eq!(outcome.decided.place, Place::UnknownInterface);
    }
    let vxlan = packet("10.0.0.2", "10.9.9.9", Protocol::UDP, 4789);
    let ipip = Packet {
        src_port: 0,
        ..packet("10.0.0.2", "10.9.9.9", Protocol(4), 0)
    };
    for packet in [vxlan, ipip] {
        let outcome = program.judge(&Passage::forward("calib", "eth0"), &packet);
        assert_eq!(
            (outcome.verdict, outcome.decided.place),
            (Verdict::Deny, Place::Encapsulation)
        );
        assert_eq!(
            program
                .judge(&Passage::forward("eth0", "calib"), &packet)
                .verdict,
            Verdict::Allow
        );
    }
    program.settings.encap_drop.vxlan_ports = [].into();
    assert_eq!(
        program
            .judge(&Passage::forward("calib", "eth0"), &vxlan)
            .verdict,
        Verdict::Allow
    );
    program.groups.clear();
    let outcome = program.judge(&Passage::forward("calia", "eth0"), &plain);
    assert_eq!(
        (outcome.verdict, outcome.decided.place),
        (Verdict::Deny, Place::UnknownGroup)
    );
}

#[test]
fn ports_are_asked_of_protocols_with_ports_only() {
    let program = program();
    let mut rule = Rule::new(RuleVerdict::Allow, "".into());
    rule.not_dst_ports = Some([80].into_iter().collect());
    let matches = |protocol, port| {
        let packet = packet("10.0.0.3", "10.0.0.1", protocol, port);
        rule.matches(program.sets(), Direction::Ingress, ClassId(3), &packet)
    };
    assert!(
        matches(Protocol::TCP, 81) && !matches(Protocol::TCP, 80) && !matches(Protocol::ICMP, 0)
    );
}

#[test]
fn canonical_forms_forget_history() {
    let program = program();
    let canonical = program.canonical();
    assert_eq!(canonical.canonical(), canonical);
    // Other numbers, a class split in two halves, an idle class, an address that nothing singles out.
    let mut other = program.clone();
    other.addresses = AddressMap::default();
    let element = |net: &str, class| (net.parse().unwrap(), Some(ClassId(class)));
    for (net, class) in [element("10.1.0.0/17", 9), element("10.1.128.0/17", 7)] {
        other.addresses.set_net(net, class);
    }
    other
        .addresses
        .set_host("10.0.0.3".parse().unwrap(), Some(ClassId(8)));
    other
        .addresses
        .set_host("10.1.0.3".parse().unwrap(), Some(ClassId(7)));
    other
        .addresses
        .set_host("10.0.0.9".parse().unwrap(), Some(ClassId(6)));
    other
        .class_sets
        .values_mut()
        .for_each(|set| set.classes = [ClassId(8), ClassId(5)].into());
    for group in other.groups.values_mut() {
        let mut changed = Group::clone(group);
        for bank in changed.tiers.iter_mut().flat_map(|tier| &mut tier.banks) {
            let levels = std::mem::take(&mut bank.levels);
            bank.levels.k4 = levels.k4;
            bank.levels.k5 = levels.k5;
            for ((class, protocol, port), verdict) in levels.k1 {
                assert_eq!(class, ClassId(3));
                bank.levels.k1.insert((ClassId(8), protocol, port), verdict);
            }
            for ((_, protocol), verdict) in levels.k2 {
                bank.levels
                    .k2
                    .extend([7, 9].map(|class| ((ClassId(class), protocol), verdict)));
            }
            for (class, verdict) in levels.k3 {
                let new: &[u32] = if class == ClassId(3) {
                    &[5, 8]
                } else {
                    &[7, 9]
                };
                bank.levels
                    .k3
                    .extend(new.iter().map(|class| (ClassId(*class), verdict)));
            }
        }
        *group = Arc::new(changed);
    }
    assert_ne!(other, program);
    assert_eq!(other.canonical(), canonical);
    let mut wider = other.clone();
    wider
        .addresses
        .set_host("10.0.0.9".parse().unwrap(), Some(ClassId(8)));
    assert_ne!(wider.canonical(), canonical);
}

#[test]
fn canonical_addresses_map_every_address_alike() {
    let mut program = program();
    let everything: [(&str, u32); 3] = [("0.0.0.0/1", 3), ("::/0", 4), ("128.0.0.0/1", 5)];
    for (net, class) in &everything {
        program
            .addresses
            .set_net(net.parse().unwrap(), Some(ClassId(*class)));
    }
    program
        .addresses
        .nets4
        .remove(&"10.1.0.0/16".parse().unwrap());
    let ends = [
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fd00::1",
    ];
    for (index, addr) in ends.iter().enumerate() {
        let class = 3 + u32::try_from(index % 2).unwrap();
        program
            .addresses
            .set_host(addr.parse().unwrap(), Some(ClassId(class)));
    }
    let canonical = program.canonical();
    let classes = |addr: &str| {
        let addr = addr.parse().unwrap();
        (
            program.addresses.class_of(addr),
            canonical.addresses.class_of(addr),
        )
    };
    let mut numbers = std::collections::BTreeMap::new();
    let more = [
        "0.0.0.1",
        "127.255.255.255",
        "128.0.0.0",
        "255.255.255.254",
        "::1",
        "fd00::",
        "fd00::2",
    ];
    for addr in ends.iter().chain(&more) {
        let family = addr.contains(':');
        let (old, new) = classes(addr);
        // Class 5 occurs nowhere: it is the unknown one.
        assert_eq!(*numbers.entry((family, old)).or_insert(new), new, "{addr}");
        assert_eq!(new == ClassId::UNKNOWN_V4, old == ClassId(5), "{addr}");
    }
}

#[test]
fn whole_differences_prepare_new_classes() {
    let old = program();
    assert!(ProgramDelta::between(&old, &old).is_empty());
    let id = GroupId("00".into());
    // Class 5 takes an address from class 3, and only adds entries.
    let mut new = old.clone();
    new.addresses
        .set_host("10.0.0.3".parse().unwrap(), Some(ClassId(5)));
    let mut group = Group::clone(&new.groups[&id]);
    group.tiers[0].banks[0]
        .levels
        .k3
        .insert(ClassId(5), RuleVerdict::Allow);
    new.groups.insert(id.clone(), Arc::new(group.clone()));
    let delta = ProgramDelta::between(&old, &new);
    assert!(
        delta.groups.is_empty()
            && delta.prepared[&id] == new.groups[&id]
            && !delta.is_addresses_only()
    );
    let mut applied = old.clone();
    applied.apply(&delta);
    assert_eq!(applied, new);
    // The rest changes too: the new class is prepared like its parent.
    group.tiers[1].end = TierEnd::Pass;
    new.groups.insert(id.clone(), Arc::new(group));
    new.endpoints.remove("calib");
    let delta = ProgramDelta::between(&old, &new);
    let levels = &delta.prepared[&id].tiers[0].banks[0].levels;
    assert_eq!(levels.k3.get(&ClassId(5)), Some(&RuleVerdict::Deny));
    assert_eq!(
        levels.k1.get(&(ClassId(5), Protocol::TCP, 80)),
        Some(&RuleVerdict::Allow)
    );
    let mut applied = old.clone();
    applied.apply(&delta);
    assert_eq!(applied, new);
    // Addresses alone.
    let mut new = old.clone();
    new.addresses
        .set_host("10.0.0.4".parse().unwrap(), Some(ClassId(3)));
    let delta = ProgramDelta::between(&old, &new);
    assert!(delta.is_addresses_only() && delta.addresses.len() == 1);
}

#[test]
fn programs_are_readable() {
    let expected = "\
10.0.0.3 class 3
10.1.0.0/16 class 4
set p0 {3}  # selector has(a)
group 00 ingress
  tier first: 
    bank 0
      K1 allow: 3.tcp.80
      K3 deny: 3
      K3 pass: 4
      allow peer !@p0 udp dst 1000:1001  # first/np/ns/range ingress[2]
    end pass
  tier second: 
    bank 0
      K2 pass: 4.tcp
      K4 allow: tcp.81
    end deny
  profiles allow
group 01 egress
  tier t: 
    bank 0
      K5 allow: tcp
    end deny
  profiles allow
endpoint calia ns/pod eth0 10.0.0.1
  ingress 00, egress 01
endpoint calib ns/pod eth0 10.0.0.2
  ingress open, egress open
";
    assert_eq!(program().to_string(), expected);
}
