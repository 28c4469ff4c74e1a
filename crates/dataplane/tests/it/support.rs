//! Programs made by hand and at random, and the user's own tool to look at the kernel.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Arc;

use oncilla_kernel::netns::Netns;
use oncilla_net::{Direction, PortRange, Protocol};
use oncilla_program::{
    AddressSet, Bank, ClassId, ClassSet, Dispatch, Group, GroupId, Hook, HostEndpoint,
    LocalEndpoint, LocalMatch, LocalPortMatch, Peer, PeerMatch, ProfileEnd, Program, Rule,
    RuleVerdict, ServiceSet, SetName, SetRef, Tier, TierEnd,
};
use oncilla_testkit::rng::Rng;

/// Whether tests that can be long are to be (`make soak`).
pub(crate) fn is_soak() -> bool {
    std::env::var_os("ONCILLA_SOAK").is_some()
}

/// Runs a test in a namespace that nothing else has.
pub(crate) fn alone<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    Netns::new()
        .expect("root can make a namespace")
        .run(test)
        .expect("and enter it")
}

/// What `nft list ruleset` prints here.
pub(crate) fn listing() -> String {
    let output = nft(&["list", "ruleset"]);
    String::from_utf8(output).expect("nft prints text")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user's own tool looks at the kernel"
)]
pub(crate) fn nft(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("nft")
        .args(arguments)
        .output()
        .expect("nft is installed");
    assert!(output.status.success(), "nft {arguments:?}: {output:?}");
    output.stdout
}

pub(crate) fn addr(last: u16) -> IpAddr {
    let [high, low] = last.to_be_bytes();
    Ipv4Addr::new(10, 65, high, low).into()
}

/// One endpoint whose ingress is judged: class 3 may use TCP 80, class 4 may not, the rest is denied.
pub(crate) fn small() -> Program {
    let mut program = Program::default();
    program.addresses.set_host(addr(3), Some(ClassId(3)));
    program.addresses.set_host(addr(4), Some(ClassId(4)));
    let mut bank = Bank::default();
    bank.levels
        .k1
        .insert((ClassId(3), Protocol::TCP, 80), RuleVerdict::Allow);
    bank.levels.k3.insert(ClassId(4), RuleVerdict::Deny);
    let group = Group {
        id: GroupId("7a31".into()),
        hook: Hook::Normal,
        direction: Direction::Ingress,
        tiers: vec![Tier {
            name: "default".into(),
            comment: "np/production/allow-frontend".into(),
            banks: vec![bank],
            end: TierEnd::Deny,
        }],
        profiles: ProfileEnd::Allow,
    };
    let endpoint = LocalEndpoint {
        name: "production/backend eth0".into(),
        addresses: vec![addr(10)],
        ingress: Dispatch::Group(group.id.clone()),
        egress: Dispatch::Open,
    };
    program.groups.insert(group.id.clone(), Arc::new(group));
    program.endpoints.insert("cali0123456789a".into(), endpoint);
    program
}

/// A random program over few classes, groups and endpoints, so that steps from one to another touch the same
/// things again and again.
pub(crate) fn random(rng: &mut Rng) -> Program {
    let mut program = Program::default();
    for last in 1..40 {
        if rng.below(3) > 0 {
            let class = ClassId(3 + u32::try_from(rng.below(6)).unwrap());
            program.addresses.set_host(addr(last), Some(class));
        }
    }
    for (net, odds) in [
        ("10.70.0.0/16", 2),
        ("10.71.0.0/24", 3),
        ("fd00:70::/64", 2),
    ] {
        if rng.below(odds) == 0 {
            let class = ClassId(9 + u32::try_from(rng.below(2)).unwrap());
            program.addresses.set_net(net.parse().unwrap(), Some(class));
        }
    }
    class_sets(rng, &mut program);
    for id in ["aa", "bb", "cc"] {
        if rng.below(4) > 0 {
            let group = random_group(rng, id, &program);
            program.groups.insert(group.id.clone(), Arc::new(group));
        }
    }
    let groups: BTreeMap<Direction, Vec<GroupId>> = Direction::ALL
        .map(|direction| {
            let of = program
                .groups
                .values()
                .filter(|group| group.direction == direction);
            (direction, of.map(|group| group.id.clone()).collect())
        })
        .into();
    for at in 0..4_u16 {
        if rng.below(5) == 0 {
            continue;
        }
        let mut dispatch = |direction: Direction| match groups[&direction].as_slice() {
            [] => Dispatch::Open,
            some if rng.below(3) > 0 => Dispatch::Group(rng.pick(some).clone()),
            _ => Dispatch::Open,
        };
        let endpoint = LocalEndpoint {
            name: format!("team/pod-{at} eth0").into(),
            addresses: vec![addr(100 + at)],
            ingress: dispatch(Direction::Ingress),
            egress: dispatch(Direction::Egress),
        };
        program
            .endpoints
            .insert(format!("cali{at}").into(), endpoint);
    }
    hosts(rng, &mut program);
    program
}

/// Host endpoints on one interface always, on others now and then, with every hook in use: a kind that comes
/// or goes replaces the table, and that is not what is walked through here.
fn hosts(rng: &mut Rng, program: &mut Program) {
    let ways: Vec<(Hook, Direction)> = Hook::ways().collect();
    for (at, (hook, direction)) in ways.iter().enumerate() {
        for copy in 0..2 {
            let mut group = random_group(rng, &format!("e{at}{copy}"), program);
            (group.hook, group.direction) = (*hook, *direction);
            if *hook != Hook::Normal {
                group.profiles = ProfileEnd::Continue;
            }
            program.groups.insert(group.id.clone(), Arc::new(group));
        }
    }
    for interface in ["eth0", "eth1", "*"] {
        let always = interface == "eth0";
        if !always && rng.below(2) == 0 {
            continue;
        }
        let mut host = HostEndpoint {
            name: format!("host-{}", rng.below(2)).into(),
            ..HostEndpoint::default()
        };
        for (at, way) in ways.iter().enumerate() {
            if always || rng.below(3) > 0 {
                let id = GroupId(format!("e{at}{}", rng.below(2)).into());
                host.groups.insert(*way, id);
            }
        }
        program.hosts.insert(interface.into(), host);
    }
}

fn class_sets(rng: &mut Rng, program: &mut Program) {
    for id in ["p0", "p1"] {
        if rng.below(3) > 0 {
            let classes = (3..9).filter(|_| rng.below(2) == 0).map(ClassId).collect();
            let set = ClassSet {
                text: "selector a == \"b\"".into(),
                classes,
            };
            program.class_sets.insert(SetName(id.into()), set);
        }
    }
    if rng.below(3) > 0 {
        let mut set = AddressSet {
            text: "nets".into(),
            ..AddressSet::default()
        };
        if rng.below(2) == 0 {
            set.hosts.insert(addr(100));
        }
        if rng.below(2) == 0 {
            set.nets.insert("10.99.0.0/16".parse().unwrap());
        }
        program.address_sets.insert(SetName("a0".into()), set);
    }
    if rng.below(3) > 0 {
        let members = [addr(100), addr(101), "fd00::1".parse().unwrap()].into_iter();
        let members = members.filter(|_| rng.below(2) == 0);
        let set = ServiceSet {
            text: "port tcp/web".into(),
            members: members.map(|addr| (addr, Protocol::TCP, 80)).collect(),
        };
        program.service_sets.insert(SetName("s0".into()), set);
    }
}

fn random_group(rng: &mut Rng, id: &str, program: &Program) -> Group {
    let direction = if id == "bb" {
        Direction::Egress
    } else {
        Direction::Ingress
    };
    let tiers = (0..rng.below(3))
        .map(|at| Tier {
            name: format!("tier-{at}").into(),
            comment: "np/a/b".into(),
            banks: (0..=rng.below(2))
                .map(|_| random_bank(rng, program))
                .collect(),
            end: if rng.below(2) == 0 {
                TierEnd::Deny
            } else {
                TierEnd::Pass
            },
        })
        .collect();
    let profiles = match rng.below(3) {
        0 => ProfileEnd::Deny,
        1 => ProfileEnd::Banks(vec![random_bank(rng, program)]),
        _ => ProfileEnd::Allow,
    };
    Group {
        id: GroupId(id.into()),
        hook: Hook::Normal,
        direction,
        tiers,
        profiles,
    }
}

fn random_bank(rng: &mut Rng, program: &Program) -> Bank {
    const VERDICTS: [RuleVerdict; 3] = [RuleVerdict::Allow, RuleVerdict::Deny, RuleVerdict::Pass];
    let mut bank = Bank::default();
    let one = rng.below(2) == 0;
    let only = *rng.pick(&VERDICTS);
    let verdict = |rng: &mut Rng| if one { only } else { *rng.pick(&VERDICTS) };
    let class = |rng: &mut Rng| ClassId(3 + u32::try_from(rng.below(8)).unwrap());
    for _ in 0..rng.below(6) {
        let port = u16::try_from(80 + rng.below(3)).unwrap();
        match rng.below(5) {
            0 => drop(
                bank.levels
                    .k1
                    .insert((class(rng), Protocol::TCP, port), verdict(rng)),
            ),
            1 => drop(
                bank.levels
                    .k2
                    .insert((class(rng), Protocol::UDP), verdict(rng)),
            ),
            2 => drop(bank.levels.k3.insert(class(rng), verdict(rng))),
            3 => drop(bank.levels.k4.insert((Protocol::SCTP, port), verdict(rng))),
            _ => drop(bank.levels.k5.insert(Protocol::ICMP, verdict(rng))),
        }
    }
    if rng.below(6) == 0 {
        bank.levels.k6 = Some(verdict(rng));
    }
    for name in program.class_sets.keys() {
        if rng.below(3) == 0 {
            let mut rule = Rule::new(verdict(rng), "default/np/a/b ingress[0]".into());
            let set = SetRef::Classes(name.clone());
            rule.peer = Peer::Sets(vec![PeerMatch {
                set,
                negated: rng.below(2) == 0,
            }]);
            rule.protocol = Some(Protocol::TCP);
            rule.dst_ports = Some([PortRange::new(1024, 65535).unwrap()].into_iter().collect());
            bank.tail.push(rule);
        }
    }
    for name in program.address_sets.keys() {
        if rng.below(2) == 0 {
            let mut rule = Rule::new(verdict(rng), "default/np/a/b ingress[1]".into());
            rule.local.push(LocalMatch {
                set: name.clone(),
                negated: rng.below(2) == 0,
            });
            bank.tail.push(rule);
        }
    }
    for name in program.service_sets.keys() {
        if rng.below(2) == 0 {
            let mut rule = Rule::new(verdict(rng), "default/np/a/b ingress[2]".into());
            rule.protocol = Some(Protocol::TCP);
            rule.local_ports.push(LocalPortMatch {
                set: name.clone(),
                negated: rng.below(2) == 0,
            });
            bank.tail.push(rule);
        }
    }
    bank
}

/// The same program with one entry of one bank added or taken away: what can be changed in place.
pub(crate) fn tweaked(rng: &mut Rng, program: &Program) -> Program {
    let mut next = program.clone();
    let at = rng.index(next.groups.len().max(1));
    if let Some(group) = next.groups.values_mut().nth(at) {
        let mut changed = group.as_ref().clone();
        for bank in changed
            .tiers
            .iter_mut()
            .flat_map(|tier| &mut tier.banks)
            .take(1)
        {
            let levels = &mut bank.levels;
            let kept = levels
                .k1
                .iter()
                .next()
                .map(|(key, verdict)| (*key, *verdict));
            if let Some((key, verdict)) = kept {
                let class = ClassId(3 + u32::try_from(rng.below(8)).unwrap());
                if rng.below(2) == 0 {
                    levels.k1.insert((class, key.1, 90), verdict);
                } else if levels.k1.len() > 1 {
                    levels.k1.remove(&key);
                }
            }
        }
        *group = Arc::new(changed);
    }
    next
}
