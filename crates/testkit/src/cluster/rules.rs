//! Rules of Calico's policies, with every field that judges packets, on both sides.

use oncilla_api::PolicyType;
use oncilla_api::v3::{Action, EntityRule, IcmpFields, Port, Protocol, Rule, ServiceAccountMatch};
use oncilla_net::{Family, PortRange};

use super::endpoints::{ACCOUNTS, PORT_NAMES};
use super::listed;
use super::selectors;
use super::traffic::{MESSAGES, MESSAGES_V6, NETS_V4, NETS_V6, OTHERS, PORTS, SOURCE_PORTS};
use crate::rng::Rng;

pub(super) fn rules(rng: &mut Rng, direction: PolicyType, has_namespace: bool) -> Vec<Rule> {
    if rng.chance(1, 3) {
        let count = rng.below(5);
        return (0..count).map(|_| simple(rng, direction)).collect();
    }
    let count = rng.below(4);
    let one = |rng: &mut Rng| match rng.below(2) {
        0 => single(rng, direction, has_namespace),
        _ => rule(rng),
    };
    let mut rules: Vec<Rule> = (0..count).map(|_| one(rng)).collect();
    if rng.chance(1, if has_namespace { 2 } else { 4 }) {
        rules.push(listed::rule(rng, direction, has_namespace));
    }
    if rng.chance(2, 5) {
        rules.push(bare(*rng.pick(&[
            Action::Allow,
            Action::Allow,
            Action::Pass,
            Action::Deny,
        ])));
    }
    rules
}

pub(super) fn bare(action: Action) -> Rule {
    Rule {
        action,
        ip_version: None,
        protocol: None,
        not_protocol: None,
        icmp: None,
        not_icmp: None,
        source: EntityRule::default(),
        destination: EntityRule::default(),
        http: None,
        metadata: None,
    }
}

/// A rule that asks for the peer or for the port, seldom both: many of them overlap in part.
fn simple(rng: &mut Rng, direction: PolicyType) -> Rule {
    let mut rule = bare(*rng.pick(&[Action::Allow, Action::Deny, Action::Pass]));
    let what = rng.below(5);
    if what < 3 {
        let peer = match direction {
            PolicyType::Ingress => &mut rule.source,
            PolicyType::Egress => &mut rule.destination,
        };
        if rng.chance(1, 4) {
            let pool = if what == 0 { &NETS_V4 } else { &NETS_V6 };
            peer.nets = vec![(*rng.pick(pool)).to_owned()];
        } else {
            peer.selector = selectors::endpoints(rng);
        }
    }
    if what > 1 {
        let name = *rng.pick(&["TCP", "TCP", "UDP"]);
        rule.protocol = Some(Protocol::Name(name.to_owned()));
        if rng.chance(2, 3) {
            let single = PortRange::single(*rng.pick(&PORTS));
            rule.destination.ports = vec![Port::Range(single)];
        }
    }
    rule
}

/// A rule of one criterion: each is asked about as often as any other, and decides often.
pub(super) fn single(rng: &mut Rng, direction: PolicyType, has_namespace: bool) -> Rule {
    let mut rule = bare(*rng.pick(&[Action::Allow, Action::Deny, Action::Pass]));
    let family = *rng.pick(&Family::ALL);
    let what = rng.below(32);
    match what {
        28 => rule.action = Action::Log,
        29 => {
            rule.source.nets = vec![nets(family)[0].to_owned()];
            let selector = 13 + rng.below(2);
            criterion(rng, (selector, family), &mut rule.destination, port);
        }
        0 => rule.protocol = Some(Protocol::Number(*rng.pick(&[6, 17, 132, 136]))),
        1 => rule.protocol = Some(any_protocol(rng)),
        2 => rule.not_protocol = Some(Protocol::Number(*rng.pick(&[6, 17]))),
        3 => rule.not_protocol = Some(Protocol::Name((*rng.pick(&["TCP", "UDP"])).to_owned())),
        4 => rule.ip_version = Some(if family == Family::V4 { 4 } else { 6 }),
        5..=8 => icmp(rng, &mut rule, family),
        9 | 10 => return listed::rule(rng, direction, has_namespace),
        _ => {
            if (21..28).contains(&what) {
                rule.protocol = Some(Protocol::Name((*rng.pick(&["TCP", "UDP"])).to_owned()));
            }
            let (side, ports): (_, fn(&mut Rng) -> Port) = if rng.chance(1, 2) {
                (&mut rule.source, source_port)
            } else {
                (&mut rule.destination, port)
            };
            criterion(rng, (what, family), side, ports);
        }
    }
    rule
}

/// One criterion on one side.
fn criterion(
    rng: &mut Rng,
    (what, family): (u64, Family),
    side: &mut EntityRule,
    port: fn(&mut Rng) -> Port,
) {
    let pool = nets(family);
    let name = |rng: &mut Rng| Port::Name((*rng.pick(&PORT_NAMES)).to_owned());
    match what {
        31 => side.nets = vec![pool[0].to_owned()],
        11 => {
            let net = if rng.chance(1, 3) {
                pool[0]
            } else {
                *rng.pick(pool)
            };
            side.nets = vec![net.to_owned()];
        }
        12 => side.not_nets = vec![(*rng.pick(&pool[1..])).to_owned()],
        13 => side.selector = selectors::endpoints(rng),
        14 => side.not_selector = selectors::endpoints(rng),
        15 => {
            side.selector = selectors::endpoints(rng);
            side.not_selector = selectors::endpoints(rng);
        }
        16 => side.namespace_selector = selectors::namespaces(rng),
        17 => {
            (*rng.pick(&["all()", "global()", "global()"]))
                .clone_into(&mut side.namespace_selector);
        }
        18 | 30 => {
            side.service_accounts = Some(ServiceAccountMatch {
                names: vec![(*rng.pick(&ACCOUNTS[..2])).to_owned()],
                ..ServiceAccountMatch::default()
            });
        }
        19 => {
            side.service_accounts = Some(ServiceAccountMatch {
                selector: selectors::accounts(rng),
                ..ServiceAccountMatch::default()
            });
        }
        20..=22 => side.ports = vec![name(rng)],
        23 => side.not_ports = vec![name(rng)],
        24 | 25 => side.ports = vec![port(rng)],
        _ => side.not_ports = vec![port(rng)],
    }
}

/// CIDRs of a family.
const fn nets(family: Family) -> &'static [&'static str] {
    match family {
        Family::V4 => &NETS_V4,
        Family::V6 => &NETS_V6,
    }
}

/// A rule of several criteria.
fn rule(rng: &mut Rng) -> Rule {
    let action = match rng.below(20) {
        0..=8 => Action::Allow,
        9..=12 => Action::Deny,
        13..=17 => Action::Pass,
        _ => Action::Log,
    };
    let mut rule = bare(action);
    let family = *rng.pick(&Family::ALL);
    if rng.chance(1, 10) {
        rule.ip_version = Some(if family == Family::V4 { 4 } else { 6 });
    }
    match rng.below(11) {
        0..=4 => {
            let (name, number) = *rng.pick(&[("TCP", 6), ("TCP", 6), ("UDP", 17), ("SCTP", 132)]);
            rule.protocol = Some(called(rng, name, number));
            ports(rng, &mut rule, port);
        }
        5 => icmp(rng, &mut rule, family),
        6 => {
            rule.protocol = Some(match rng.below(4) {
                0 | 1 => called(rng, "UDPLite", 136),
                2 => Protocol::Number(*rng.pick(&OTHERS)),
                _ => any_protocol(rng),
            });
        }
        7 => {
            rule.not_protocol = Some(match rng.below(4) {
                0 | 1 => Protocol::Name((*rng.pick(&["TCP", "UDP", "SCTP"])).to_owned()),
                2 => Protocol::Number(*rng.pick(&[6, 17])),
                _ => any_protocol(rng),
            });
        }
        // Names alone need no protocol.
        8 => ports(rng, &mut rule, |rng| {
            Port::Name((*rng.pick(&PORT_NAMES)).to_owned())
        }),
        _ => {}
    }
    // One end or the other, sometimes both, sometimes none: then only the protocol counts.
    match rng.below(8) {
        0..=2 => entity(rng, family, &mut rule.source),
        3..=5 => entity(rng, family, &mut rule.destination),
        6 => {
            entity(rng, family, &mut rule.source);
            entity(rng, family, &mut rule.destination);
        }
        _ => {}
    }
    rule
}

/// A protocol by its name or, less often, by its number.
fn called(rng: &mut Rng, name: &str, number: u8) -> Protocol {
    if rng.chance(1, 3) {
        Protocol::Number(number)
    } else {
        Protocol::Name(name.to_owned())
    }
}

/// Any protocol by its number but the two ICMPs, which are of one family each.
fn any_protocol(rng: &mut Rng) -> Protocol {
    let number = u8::try_from(rng.between(2, 254)).unwrap_or(2);
    Protocol::Number(if number == 58 { 255 } else { number })
}

/// Messages of the family's ICMP: all, one type, one code, all others.
fn icmp(rng: &mut Rng, rule: &mut Rule, family: Family) {
    let (name, number, types): (_, _, &[u8]) = match family {
        Family::V4 => ("ICMP", 1, &MESSAGES),
        Family::V6 => ("ICMPv6", 58, &MESSAGES_V6),
    };
    rule.protocol = Some(match rng.below(4) {
        0 => Protocol::Number(number),
        _ => Protocol::Name(name.to_owned()),
    });
    let messages = |rng: &mut Rng| {
        // Echo requests are what most packets are.
        let kind = if rng.chance(1, 2) {
            types[0]
        } else {
            *rng.pick(types)
        };
        IcmpFields {
            icmp_type: Some(kind.into()),
            code: rng.chance(2, 3).then(|| (*rng.pick(&[0, 0, 1, 3])).into()),
        }
    };
    match rng.below(8) {
        0..=2 => rule.icmp = Some(messages(rng)),
        3 | 4 => rule.not_icmp = Some(messages(rng)),
        5 => {
            rule.icmp = Some(messages(rng));
            rule.not_icmp = Some(messages(rng));
        }
        6 => rule.icmp = Some(IcmpFields::default()),
        _ => {}
    }
}

fn entity(rng: &mut Rng, family: Family, entity: &mut EntityRule) {
    let pool = nets(family);
    let net = |rng: &mut Rng| (*rng.pick(pool)).to_owned();
    match rng.below(8) {
        0..=3 => entity.selector = selectors::endpoints(rng),
        4 => entity.not_selector = selectors::endpoints(rng),
        5 | 6 => entity.nets = (0..rng.between(1, 3)).map(|_| net(rng)).collect(),
        _ => {}
    }
    if rng.chance(1, 7) {
        // The whole family cannot be excluded.
        let count = rng.between(1, 2);
        let narrow = |rng: &mut Rng| (*rng.pick(&pool[1..])).to_owned();
        entity.not_nets = (0..count).map(|_| narrow(rng)).collect();
    }
    if rng.chance(1, 10) {
        entity.not_selector = selectors::endpoints(rng);
    }
    if rng.chance(1, 5) {
        entity.namespace_selector = match rng.below(4) {
            0 => "global()".to_owned(),
            1 => "all()".to_owned(),
            _ => selectors::namespaces(rng),
        };
    }
    if rng.chance(1, 8) {
        let mut accounts = ServiceAccountMatch::default();
        let how = rng.below(5);
        if how < 3 {
            let names = (0..rng.between(1, 2)).map(|_| (*rng.pick(&ACCOUNTS)).to_owned());
            accounts.names = names.collect();
            accounts.names.dedup();
        }
        if how > 1 {
            accounts.selector = selectors::accounts(rng);
        }
        entity.service_accounts = Some(accounts);
    }
}

/// A port of a protocol that has them: of pods by name or number, or of nobody.
fn port(rng: &mut Rng) -> Port {
    let range = |first, last| Port::Range(PortRange::new(first, last).expect("in order"));
    match rng.below(10) {
        0 | 1 => Port::Name((*rng.pick(&PORT_NAMES)).to_owned()),
        2 => range(1_024, 65_535),
        3 => range(80, 90),
        4 => range(9_000, 9_063),
        5 => range(9_000, 9_064),
        _ => Port::Range(PortRange::single(*rng.pick(&PORTS))),
    }
}

/// A port that packets come from.
fn source_port(rng: &mut Rng) -> Port {
    let range = |first, last| Port::Range(PortRange::new(first, last).expect("in order"));
    match rng.below(4) {
        0 => range(1_000, 5_999),
        1 => range(5_000, 65_535),
        _ => Port::Range(PortRange::single(*rng.pick(&SOURCE_PORTS))),
    }
}

/// Fills in ports on both sides. What they are is the caller's.
fn ports(rng: &mut Rng, rule: &mut Rule, port: impl Fn(&mut Rng) -> Port) {
    let source = |rng: &mut Rng| match port(rng) {
        Port::Range(_) if rng.chance(3, 4) => source_port(rng),
        port => port,
    };
    if rng.chance(3, 4) {
        rule.destination.ports = (0..rng.between(1, 3)).map(|_| port(rng)).collect();
    }
    if rng.chance(1, 3) {
        rule.destination.not_ports = (0..rng.between(1, 2)).map(|_| port(rng)).collect();
    }
    if rng.chance(1, 4) {
        rule.source.ports = (0..rng.between(1, 2)).map(|_| source(rng)).collect();
    }
    if rng.chance(1, 6) {
        rule.source.not_ports = (0..rng.between(1, 2)).map(|_| source(rng)).collect();
    }
}
