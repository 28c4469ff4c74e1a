//! Host endpoints: each row of `calico-semantics.md` §2.5 and each line of what is easy to lose.

use std::sync::Arc;

use oncilla_net::{Direction, Icmp, Packet, Protocol, Verdict};

use super::packet;
use crate::{
    ALL_INTERFACES, Bank, Dispatch, EndpointToHost, Failsafe, Failsafes, Group, GroupId, Hook,
    HostEndpoint, LocalEndpoint, Outcome, Passage, Place, ProfileEnd, Program, RuleVerdict, Tier,
    TierEnd,
};

const NODE: &str = "172.16.0.11";
const FAR: &str = "198.51.100.1";
const POD: &str = "10.0.0.1";
const IN: Direction = Direction::Ingress;
const OUT: Direction = Direction::Egress;

/// What a group does: with TCP to one port, and with all else.
struct Says {
    port: u16,
    rule: RuleVerdict,
    end: TierEnd,
}

const fn allows(port: u16) -> Says {
    Says {
        port,
        rule: RuleVerdict::Allow,
        end: TierEnd::Deny,
    }
}

const fn denies(port: u16) -> Says {
    Says {
        port,
        rule: RuleVerdict::Deny,
        end: TierEnd::Pass,
    }
}

/// A host endpoint on one interface, judged as listed.
fn put(program: &mut Program, interface: &str, ways: &[Judged]) {
    let mut host = HostEndpoint {
        name: format!("of {interface}").into(),
        ..HostEndpoint::default()
    };
    for (hook, direction, says) in ways {
        let id = GroupId(format!("{interface}{hook}{direction}").into());
        let mut bank = Bank::default();
        let key = (Protocol::TCP, says.port);
        bank.levels.k4.insert(key, says.rule);
        let tier = Tier {
            name: "default".into(),
            comment: "gnp/a".into(),
            banks: vec![bank],
            end: if hook.is_early() {
                TierEnd::Pass
            } else {
                says.end
            },
        };
        let profiles = match hook {
            Hook::Normal => ProfileEnd::Deny,
            Hook::Forward | Hook::PreDnat | Hook::Untracked => ProfileEnd::Continue,
        };
        let group = Group {
            id: id.clone(),
            hook: *hook,
            direction: *direction,
            tiers: vec![tier],
            profiles,
        };
        program.groups.insert(id.clone(), Arc::new(group));
        host.groups.insert((*hook, *direction), id);
    }
    program.hosts.insert(interface.into(), host);
}

/// One way of a host endpoint, and what judges it.
type Judged = (Hook, Direction, Says);

fn hosts(ways: &[(&str, &[Judged])]) -> Program {
    let mut program = Program::default();
    program.settings.endpoint_to_host = EndpointToHost::Accept;
    let open = LocalEndpoint {
        name: "ns/pod eth0".into(),
        addresses: vec![POD.parse().unwrap()],
        ingress: Dispatch::Open,
        egress: Dispatch::Open,
    };
    program.endpoints.insert("calia".into(), open);
    for (interface, ways) in ways {
        put(&mut program, interface, ways);
    }
    program
}

fn tcp(src: &str, dst: &str, port: u16) -> Packet {
    packet(src, dst, Protocol::TCP, port)
}

fn input<'a>(program: &'a Program, interface: &'a str, port: u16) -> Outcome<'a> {
    program.judge(&Passage::input(interface), &tcp(FAR, NODE, port))
}

fn output<'a>(program: &'a Program, interface: &'a str, port: u16) -> Outcome<'a> {
    program.judge(&Passage::output(interface), &tcp(NODE, FAR, port))
}

fn verdict_at<'a>(outcome: &Outcome<'a>) -> (Verdict, Place<'a>) {
    (outcome.verdict, outcome.decided.place)
}

#[test]
fn normal_policy_judges_what_ends_and_begins_at_the_host() {
    let program = hosts(&[(
        "eth0",
        &[
            (Hook::Normal, IN, allows(80)),
            (Hook::Normal, OUT, allows(81)),
        ],
    )]);
    let end = |tier: usize, name| (Verdict::Deny, Place::EndOfTier { tier, name });
    let name: &Arc<str> = &"default".into();
    assert_eq!(input(&program, "eth0", 80).verdict, Verdict::Allow);
    assert_eq!(verdict_at(&input(&program, "eth0", 81)), end(0, name));
    assert_eq!(output(&program, "eth0", 81).verdict, Verdict::Allow);
    assert_eq!(verdict_at(&output(&program, "eth0", 80)), end(0, name));
    let forwarded = program.judge(&Passage::forward("eth0", "eth1"), &tcp(FAR, POD, 9));
    assert_eq!(verdict_at(&forwarded), (Verdict::Allow, Place::Unpoliced));
    let other = input(&program, "eth1", 81);
    assert_eq!(verdict_at(&other), (Verdict::Allow, Place::Unpoliced));
}

#[test]
fn failsafes_keep_a_closed_host_reachable_but_not_what_it_forwards() {
    let closed = [Hook::Normal, Hook::Forward, Hook::PreDnat, Hook::Untracked];
    let ways: Vec<_> = closed
        .iter()
        .flat_map(|hook| {
            hook.directions()
                .iter()
                .map(move |way| (*hook, *way, denies(22)))
        })
        .collect();
    let mut program = hosts(&[("eth0", ways.as_slice())]);
    for hook in [Hook::PreDnat, Hook::Untracked] {
        assert!(program.settings.is_failsafe(hook, IN, &tcp(FAR, NODE, 22)));
    }
    assert_eq!(
        verdict_at(&input(&program, "eth0", 22)),
        (Verdict::Allow, Place::Failsafe)
    );
    let out = program.judge(
        &Passage::output("eth0"),
        &packet(NODE, FAR, Protocol::UDP, 53),
    );
    assert_eq!(verdict_at(&out), (Verdict::Allow, Place::Failsafe));
    program
        .hosts
        .get_mut("eth0")
        .unwrap()
        .groups
        .retain(|(hook, _), _| *hook == Hook::Forward);
    let forwarded = program.judge(&Passage::forward("eth0", "eth1"), &tcp(FAR, POD, 22));
    assert_eq!(forwarded.verdict, Verdict::Deny);
    let none = input(&program, "eth1", 22);
    assert_eq!(
        verdict_at(&none),
        (Verdict::Allow, Place::Unpoliced),
        "no host endpoint, no failsafe"
    );
}

#[test]
fn a_failsafe_with_a_net_is_for_that_net() {
    let mut program = hosts(&[("eth0", &[(Hook::Normal, IN, allows(1))])]);
    let net = Some("198.51.100.0/24".parse().unwrap());
    let ssh = Failsafe {
        protocol: Protocol::TCP,
        port: 22,
        net,
    };
    program.settings.failsafes = Failsafes::new([ssh], []);
    assert_eq!(input(&program, "eth0", 22).verdict, Verdict::Allow);
    let stranger = program.judge(&Passage::input("eth0"), &tcp("203.0.113.1", NODE, 22));
    assert_eq!(stranger.verdict, Verdict::Deny);
}

#[test]
fn answers_of_failsafes_pass_untracked_policy() {
    let deny_all = Says {
        port: 40_000,
        rule: RuleVerdict::Deny,
        end: TierEnd::Pass,
    };
    let program = hosts(&[("eth0", &[(Hook::Untracked, IN, deny_all)])]);
    let mut answer = tcp(FAR, NODE, 40_000);
    assert_eq!(
        program.judge(&Passage::input("eth0"), &answer).verdict,
        Verdict::Deny
    );
    answer.src_port = 6443;
    assert_eq!(
        program.judge(&Passage::input("eth0"), &answer).verdict,
        Verdict::Allow
    );
}

#[test]
fn a_host_is_never_policed_towards_its_workloads() {
    let program = hosts(&[(
        "*",
        &[
            (Hook::Normal, OUT, denies(80)),
            (Hook::Forward, OUT, denies(80)),
        ],
    )]);
    let outcome = program.judge(&Passage::output("calia"), &tcp(NODE, POD, 80));
    assert_eq!(verdict_at(&outcome), (Verdict::Allow, Place::Unpoliced));
}

#[test]
fn a_workload_meets_its_egress_and_the_hosts_action_but_no_host_endpoint() {
    let mut program = hosts(&[("*", &[(Hook::Normal, IN, denies(80))])]);
    let to_host = tcp(POD, NODE, 80);
    let outcome = program.judge(&Passage::input("calia"), &to_host);
    assert_eq!(outcome.verdict, Verdict::Allow);
    program.settings.endpoint_to_host = EndpointToHost::Drop;
    let outcome = program.judge(&Passage::input("calia"), &to_host);
    assert_eq!(outcome.verdict, Verdict::Deny);
}

#[test]
fn the_star_covers_what_no_named_host_endpoint_does() {
    let program = hosts(&[
        ("eth0", &[(Hook::Normal, IN, allows(80))]),
        (
            "*",
            &[
                (Hook::Normal, IN, allows(81)),
                (Hook::Forward, IN, denies(82)),
            ],
        ),
    ]);
    assert_eq!(input(&program, "eth0", 80).verdict, Verdict::Allow);
    assert_eq!(input(&program, "eth0", 81).verdict, Verdict::Deny);
    let other = input(&program, "eth1", 81);
    assert_eq!(
        (other.verdict, other.decided.interface),
        (Verdict::Allow, Some(ALL_INTERFACES))
    );
    assert_eq!(input(&program, "eth1", 80).verdict, Verdict::Deny);
    // Forwarded packets from a workload pass the endpoint of all interfaces, those of eth0 do not.
    let from_pod = program.judge(&Passage::forward("calia", "eth1"), &tcp(POD, FAR, 82));
    assert_eq!(from_pod.verdict, Verdict::Deny);
    let named = program.judge(&Passage::forward("eth0", "calia"), &tcp(FAR, POD, 82));
    assert_eq!(named.verdict, Verdict::Allow);
}

#[test]
fn forward_without_a_policy_goes_on_and_with_one_is_judged_both_ways() {
    let program = hosts(&[(
        "eth0",
        &[
            (Hook::Forward, IN, allows(80)),
            (Hook::Normal, IN, denies(80)),
        ],
    )]);
    let into = |port| {
        program
            .judge(&Passage::forward("eth0", "calia"), &tcp(FAR, POD, port))
            .verdict
    };
    assert_eq!((into(80), into(81)), (Verdict::Allow, Verdict::Deny));
    let out = program.judge(&Passage::forward("calia", "eth0"), &tcp(POD, FAR, 81));
    assert_eq!(out.verdict, Verdict::Allow, "no forward policy outwards");
}

#[test]
fn forward_policy_that_passes_at_its_end_goes_on() {
    let program = hosts(&[("eth0", &[(Hook::Forward, IN, denies(80))])]);
    let outcome = program.judge(&Passage::forward("eth0", "eth1"), &tcp(FAR, POD, 81));
    assert_eq!(verdict_at(&outcome), (Verdict::Allow, Place::Undecided));
}

#[test]
fn pre_dnat_sees_the_original_destination_and_has_no_end_of_tier() {
    let program = hosts(&[(
        "eth0",
        &[
            (Hook::PreDnat, IN, denies(30_080)),
            (Hook::Normal, IN, allows(1)),
        ],
    )]);
    let behind = tcp(FAR, POD, 80);
    let passage = Passage::forward("eth0", "calia").translated_from(NODE.parse().unwrap(), 30_080);
    assert_eq!(program.judge(&passage, &behind).verdict, Verdict::Deny);
    let passage = passage.translated_from(NODE.parse().unwrap(), 30_081);
    assert_eq!(program.judge(&passage, &behind).verdict, Verdict::Allow);
    assert_eq!(
        input(&program, "eth0", 1).verdict,
        Verdict::Allow,
        "decided by normal policy"
    );
    assert_eq!(input(&program, "eth0", 2).verdict, Verdict::Deny);
}

#[test]
fn a_pre_dnat_allow_is_final_for_its_interface_only() {
    let program = hosts(&[
        (
            "eth0",
            &[
                (Hook::PreDnat, IN, allows(80)),
                (Hook::Normal, IN, denies(80)),
                (Hook::Forward, IN, denies(80)),
            ],
        ),
        ("eth1", &[(Hook::Forward, OUT, denies(80))]),
    ]);
    let outcome = input(&program, "eth0", 80);
    assert_eq!(
        (outcome.verdict, outcome.accepted),
        (Verdict::Allow, Some(Hook::PreDnat))
    );
    let through = |out| {
        program
            .judge(&Passage::forward("eth0", out), &tcp(FAR, POD, 80))
            .verdict
    };
    assert_eq!(through("calia"), Verdict::Allow);
    assert_eq!(through("eth1"), Verdict::Deny);
}

#[test]
fn an_untracked_allow_is_final_and_its_answer_needs_a_rule_of_its_own() {
    let program = hosts(&[(
        "eth0",
        &[
            (Hook::Untracked, IN, allows(80)),
            (Hook::PreDnat, IN, denies(80)),
            (Hook::Normal, IN, denies(80)),
            (Hook::Normal, OUT, allows(1)),
        ],
    )]);
    let outcome = input(&program, "eth0", 80);
    assert_eq!(
        (outcome.verdict, outcome.accepted),
        (Verdict::Allow, Some(Hook::Untracked))
    );
    let mut answer = tcp(NODE, FAR, 40_000);
    answer.src_port = 80;
    let back = program.judge(&Passage::output("eth0"), &answer);
    assert_eq!(back.verdict, Verdict::Deny);
}

#[test]
fn untracked_policy_does_not_reach_the_star_and_workloads() {
    let program = hosts(&[(
        "*",
        &[
            (Hook::Untracked, IN, denies(80)),
            (Hook::Untracked, OUT, denies(80)),
        ],
    )]);
    assert_eq!(input(&program, "eth0", 80).verdict, Verdict::Allow);
    assert_eq!(output(&program, "eth0", 80).verdict, Verdict::Allow);
}

#[test]
fn translated_output_is_judged_behind_the_translation() {
    let program = hosts(&[("eth0", &[(Hook::Normal, OUT, allows(8080))])]);
    let service = "10.96.0.1".parse().unwrap();
    let passage = Passage::output("eth0").translated_from(service, 80);
    assert_eq!(
        program.judge(&passage, &tcp(NODE, FAR, 8080)).verdict,
        Verdict::Allow
    );
    assert_eq!(
        program.judge(&passage, &tcp(NODE, FAR, 80)).verdict,
        Verdict::Deny
    );
    let to_pod = Passage::output("calia").translated_from(service, 80);
    assert_eq!(
        program.judge(&to_pod, &tcp(NODE, POD, 9)).verdict,
        Verdict::Allow
    );
}

#[test]
fn translated_output_is_judged_untracked_before_the_translation() {
    let program = hosts(&[
        ("eth0", &[(Hook::Untracked, OUT, denies(80))]),
        ("eth1", &[(Hook::Untracked, OUT, denies(8080))]),
    ]);
    let service = "10.96.0.1".parse().unwrap();
    let said = |passage: Passage<'_>, to: &str| {
        let passage = passage.translated_from(service, 80);
        let at = |first: &'static str| {
            let passage = passage.first_out_by(first);
            let ends = program.ends(&passage).len();
            let verdict = program.judge(&passage, &tcp(NODE, to, 8080)).verdict;
            (verdict, ends)
        };
        [at("eth0"), at("eth1"), at("eth2")]
    };
    // To another machine, to a workload of its own, and to itself.
    let expected = [(Verdict::Deny, 1), (Verdict::Allow, 1), (Verdict::Allow, 0)];
    assert_eq!(said(Passage::output("eth1"), FAR), expected);
    assert_eq!(said(Passage::output("calia"), POD), expected);
    assert_eq!(said(Passage::output("lo"), NODE), expected);
    // The same interface, when nothing else is said.
    let same = Passage::output("eth0").translated_from(service, 80);
    let outcome = program.judge(&same, &tcp(NODE, FAR, 8080));
    assert_eq!(outcome.verdict, Verdict::Deny);
}

#[test]
fn a_host_is_never_judged_towards_itself() {
    let closed = [
        (Hook::Normal, IN, denies(80)),
        (Hook::Normal, OUT, denies(80)),
        (Hook::PreDnat, IN, denies(80)),
    ];
    let program = hosts(&[("*", closed.as_slice())]);
    let own = tcp(NODE, NODE, 80);
    for passage in [Passage::output("lo"), Passage::input("lo")] {
        assert_eq!(program.judge(&passage, &own).verdict, Verdict::Allow);
    }
}

#[test]
fn a_group_that_is_missing_denies() {
    let mut program = hosts(&[("eth0", &[(Hook::Normal, IN, allows(80))])]);
    program.groups.clear();
    assert_eq!(
        verdict_at(&input(&program, "eth0", 80)),
        (Verdict::Deny, Place::UnknownGroup)
    );
}

#[test]
fn hosts_get_and_send_neighbour_discovery_whatever_policy_says() {
    let ways: Vec<_> = Hook::ways()
        .map(|(hook, way)| (hook, way, allows(1)))
        .collect();
    let mut program = hosts(&[("eth0", ways.as_slice())]);
    program.settings.endpoint_to_host = EndpointToHost::Drop;
    let message = |kind| Packet {
        icmp: Some(Icmp { kind, code: 0 }),
        ..packet("fd01::9", "fd01::1", Protocol::ICMPV6, 0)
    };
    let passages = [
        Passage::input("eth0"),
        Passage::output("eth0"),
        Passage::input("cali1"),
    ];
    for passage in passages {
        for kind in [130, 132, 135, 136, 143] {
            let outcome = program.judge(&passage, &message(kind));
            assert_eq!(verdict_at(&outcome), (Verdict::Allow, Place::Neighbour));
        }
        for kind in [128, 129, 137, 144] {
            let outcome = program.judge(&passage, &message(kind));
            assert_eq!(outcome.verdict, Verdict::Deny, "{passage:?} {kind}");
        }
    }
    let forwarded = program.judge(&Passage::forward("eth0", "eth1"), &message(135));
    assert_eq!(
        forwarded.verdict,
        Verdict::Deny,
        "what is forwarded is not the host's"
    );
}
