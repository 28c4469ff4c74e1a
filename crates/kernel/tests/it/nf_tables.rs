//! nf_tables against the real kernel: everything round-trips, nft reads it, errors point to the right change.
#![expect(
    clippy::clone_on_ref_ptr,
    clippy::redundant_clone,
    reason = "expected values read better alike"
)]

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use oncilla_kernel::netns::Netns;
use oncilla_kernel::nf_tables::{Batch, BatchError, Change, Event, Monitor, Socket};
use oncilla_nft::object::{
    AnonymousSet, BaseChain, Chain, ChainType, CtState, CtStatus, DataType, Element, FieldType,
    Hook, KeyPart, KeyType, Limit, LimitUnit, Load, Log, Name, Policy, Rule, Set, SetFlags, Table,
    Value, Verdict, priority,
};

pub(crate) const MASK: u32 = 0xffff_0000;
pub(crate) const TABLE: &str = "oncilla";

/// Runs `work` in a fresh network namespace with loopback up.
pub(crate) fn inside<T: Send>(work: impl FnOnce(&Netns) -> T + Send) -> T {
    let netns = Netns::new().unwrap();
    netns.loopback_up().unwrap();
    netns.run(|| work(&netns)).unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user's own tool is part of what is tested"
)]
pub(crate) fn nft(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.into()
}

/// A batch that starts with the table itself.
pub(crate) fn batch() -> Batch {
    let mut batch = Batch::new(TABLE);
    batch.add_table(&Table::new(TABLE));
    batch
}

#[expect(clippy::too_many_lines, reason = "a table, one entry a set")]
fn sets() -> Vec<(Set, Vec<Element>)> {
    use FieldType::{IfName, InetProto, InetService, Ipv4Addr as Ip4, Ipv6Addr as Ip6, Mark};
    let net = |text: &str| Element::net(text.parse().unwrap());
    let v4 = |last| Value::ipv4(Ipv4Addr::new(10, 0, 0, last));
    let goto = Verdict::Goto(name("plain"));
    let tomb = [
        KeyPart::Ipv4(Ipv4Addr::new(10, 0, 0, 1)),
        KeyPart::Ipv4(Ipv4Addr::new(10, 0, 0, 2)),
        KeyPart::Proto(6),
        KeyPart::Port(80),
        KeyPart::Port(40_000),
    ];
    let tomb6 = [
        KeyPart::Ipv6(Ipv6Addr::LOCALHOST),
        KeyPart::Ipv6("fd00::1".parse().unwrap()),
        KeyPart::Proto(6),
        KeyPart::Port(80),
        KeyPart::Port(40_000),
    ];
    let proto_port = |proto, port| Value::concat(&[KeyPart::Proto(proto), KeyPart::Port(port)]);
    let from_wl = Set::map("from_wl", IfName, DataType::Verdict);
    let tomb4 = [Ip4, Ip4, InetProto, InetService, InetService];
    vec![
        (
            Set::map("addr4", Ip4, DataType::Mark).comment("class of each address"),
            vec![
                Element::mark(v4(1), 0x0003_0000).comment("red/web"),
                Element::mark(v4(2), 0x0004_0000),
            ],
        ),
        (
            Set::map("net4", Ip4, DataType::Mark).flags(SetFlags::INTERVAL),
            [
                "10.1.0.0/16",
                "10.2.0.0/16",
                "192.168.0.7/32",
                "240.0.0.0/4",
            ]
            .map(|text| net(text).maps_to(oncilla_nft::object::MapValue::Mark(0x0005_0000)))
            .into(),
        ),
        (
            Set::map("net6", Ip6, DataType::Mark).flags(SetFlags::INTERVAL),
            vec![
                net("fd00::/16")
                    .maps_to(oncilla_nft::object::MapValue::Mark(0x0006_0000))
                    .comment("ula"),
            ],
        ),
        (
            Set::new("all4", Ip4).flags(SetFlags::INTERVAL),
            vec![net("0.0.0.0/0")],
        ),
        (
            from_wl,
            vec![
                Element::verdict(Value::ifname("cali1"), goto.clone()).comment("red/web eth0"),
                Element::verdict(Value::ifname("cali2"), Verdict::Jump(name("plain"))),
                Element::verdict(Value::ifname("cali3"), Verdict::Accept),
            ],
        ),
        (
            Set::new("open_in", IfName),
            vec![Element::new(Value::ifname("cali9"))],
        ),
        (
            Set::new("tomb4", KeyType::concat(tomb4))
                .flags(SetFlags::TIMEOUT)
                .size(65_536),
            vec![Element::new(Value::concat(&tomb)).timeout_ms(100_000)],
        ),
        (
            Set::new("tomb6", [Ip6, Ip6, InetProto, InetService, InetService])
                .flags(SetFlags::TIMEOUT)
                .size(65_536),
            vec![Element::new(Value::concat(&tomb6)).timeout_ms(100_000)],
        ),
        (
            Set::new("p9", Mark),
            vec![Element::new(Value::word(0x0003_0000))],
        ),
        (
            Set::new("k1", [Mark, InetProto, InetService]),
            vec![Element::new(Value::mark_proto_port(0x0003_0000, 6, 80))],
        ),
        (
            Set::new("k2", [Mark, InetProto]),
            vec![Element::new(Value::concat(&[
                KeyPart::Mark(0x0003_0000),
                KeyPart::Proto(17),
            ]))],
        ),
        (
            Set::new("k5", InetProto),
            vec![Element::new(Value::byte(6))],
        ),
        (
            Set::new("ports", InetService).flags(SetFlags::INTERVAL),
            vec![
                Element::range(Value::port(1_024), Value::port(65_535)),
                Element::new(Value::port(80)),
            ],
        ),
        (
            Set::new("failsafe", [InetProto, InetService]).flags(SetFlags::INTERVAL),
            vec![
                Element::new(proto_port(6, 22)),
                Element::range(proto_port(17, 1_000), proto_port(17, 2_000)),
            ],
        ),
        (
            Set::map("svc", [Ip4, InetProto, InetService], DataType::Verdict),
            vec![Element::verdict(
                Value::concat(&[
                    KeyPart::Ipv4(Ipv4Addr::LOCALHOST),
                    KeyPart::Proto(6),
                    KeyPart::Port(1),
                ]),
                goto,
            )],
        ),
    ]
}

fn chains() -> Vec<Chain> {
    let mangle = BaseChain {
        chain_type: ChainType::Filter,
        hook: Hook::Postrouting,
        priority: priority::MANGLE + 3,
        policy: Policy::Accept,
    };
    let route = BaseChain {
        chain_type: ChainType::Route,
        hook: Hook::Output,
        ..mangle
    };
    vec![
        Chain::new("plain"),
        Chain::new("matches").comment("security/block-lab default/allow-a"),
        Chain::filter("input", Hook::Input, priority::FILTER),
        Chain::filter("forward", Hook::Forward, priority::FILTER).policy(Policy::Drop),
        Chain::filter("raw_prerouting", Hook::Prerouting, priority::RAW).comment("first"),
        Chain {
            base: Some(mangle),
            ..Chain::new("post")
        },
        Chain {
            base: Some(route),
            ..Chain::new("route_out")
        },
    ]
}

fn matches() -> Vec<Rule> {
    let r = Rule::new;
    let class = Load::MarkMasked(MASK);
    let port = Value::port;
    vec![
        r().ct_state(CtState::ESTABLISHED | CtState::RELATED)
            .accept(),
        r().ct_state(CtState::INVALID).drop(),
        r().ct_state(CtState::NEW | CtState::UNTRACKED).accept(),
        r().ct_status(CtStatus::DNAT).accept(),
        r().eq(Load::CtDirection, Value::byte(1)).accept(),
        r().in_set(&[class], "p9").return_(),
        r().not_in_set(&[class], "p9").return_(),
        r().in_set(&[class, Load::L4Proto, Load::DstPort], "k1")
            .return_()
            .comment("default/allow-a 1"),
        r().in_set(&[class, Load::L4Proto], "k2").goto("plain"),
        r().in_set(&[Load::L4Proto], "k5").drop(),
        r().in_set(&[Load::L4Proto, Load::DstPort], "failsafe")
            .accept(),
        r().in_set(&[class], "p9")
            .l4proto(6)
            .in_range(Load::DstPort, port(1_024), port(65_535))
            .return_(),
        r().l4proto(6)
            .not_in_range(Load::DstPort, port(1_024), port(65_535))
            .return_(),
        r().l4proto(17).eq(Load::SrcPort, port(53)).return_(),
        r().l4proto(132).in_set(&[Load::DstPort], "ports").return_(),
        r().l4proto_not(6).drop(),
        r().icmp_type(8).return_(),
        r().ne(Load::IcmpType, Value::byte(13)).return_(),
        r().icmp_type(8)
            .ne(Load::IcmpCode, Value::byte(3))
            .return_(),
        r().icmpv6_type(1)
            .ne(Load::Icmpv6Code, Value::byte(1))
            .return_(),
        r().icmp_type(3)
            .eq(Load::IcmpCode, Value::byte(4))
            .return_(),
        r().icmpv6_type(128)
            .eq(Load::Icmpv6Code, Value::byte(0))
            .return_(),
        r().iifname("eth0").return_(),
        r().iifname_not("eth0").return_(),
        r().iifname_prefix("cali").drop(),
        r().iifname_prefix_not("cali").return_(),
        r().oifname("eth0").return_(),
        r().oifname_not("eth0").return_(),
        r().oifname_prefix("cali").jump("plain"),
        r().oifname_prefix_not("cali").return_(),
        r().eq(Load::Oif, Value::word(1)).return_(),
        r().ipv4().return_(),
        r().ipv6().return_(),
        r().mark(0xffff, 0).goto("plain"),
        r().mark(MASK, MASK).accept(),
        r().mark_not(MASK, MASK).accept(),
        r().eq(Load::Mark, Value::word(7)).accept(),
        r().in_net(Load::Src4, "10.0.0.0/8".parse().unwrap())
            .return_(),
        r().in_net(Load::Src4, "10.0.0.0/9".parse().unwrap())
            .return_(),
        r().not_in_net(Load::Dst4, "10.0.0.1/32".parse().unwrap())
            .return_(),
        r().in_net(Load::Src6, "fd00::/8".parse().unwrap())
            .return_(),
        r().not_in_net(Load::Dst6, "fd00::1/128".parse().unwrap())
            .return_(),
        r().in_set(&[Load::Src4], "all4").return_(),
    ]
}

fn inline_set_rules() -> Vec<Rule> {
    let r = Rule::new;
    let mark = |value| Value::word(value);
    let icmp = AnonymousSet::new(
        FieldType::Icmpv6Type,
        [
            Element::range(Value::byte(130), Value::byte(136)),
            Element::new(Value::byte(143)),
        ],
    );
    let keep = AnonymousSet::new(
        FieldType::Mark,
        [
            Element::verdict(mark(1), Verdict::Goto(name("plain"))),
            Element::verdict(mark(2), Verdict::Drop),
            Element::verdict(mark(3), Verdict::Jump(name("plain"))),
        ],
    );
    let protos = AnonymousSet::new(
        FieldType::InetProto,
        [6, 17].map(|p| Element::new(Value::byte(p))),
    );
    vec![
        r().in_set(&[Load::Icmpv6Type], icmp).accept(),
        r().vmap(&[Load::MarkMasked(0xf)], keep.clone())
            .comment("two sets"),
        r().vmap(&[Load::MarkMasked(0xf)], keep),
        r().in_set(&[Load::L4Proto], protos.clone())
            .in_set(&[Load::DstPort], "ports")
            .return_(),
        r().not_in_set(&[Load::L4Proto], protos).drop(),
    ]
}

fn actions() -> Vec<Rule> {
    let r = Rule::new;
    let tuple = |src, dst| [src, dst, Load::L4Proto, Load::SrcPort, Load::DstPort];
    let minute = Limit {
        rate: 10,
        unit: LimitUnit::Minute,
        burst: 5,
        over: true,
    };
    vec![
        r().set_mark_from(&[Load::Src4], "addr4").return_(),
        r().set_mark_from(&[Load::Dst4], "net4").return_(),
        r().set_mark_from(&[Load::Src6], "net6").return_(),
        r().ipv4().set_mark(0x0001_0000).return_(),
        r().set_mark(0x0002_0000),
        r().or_mark(1),
        r().keep_mark(0xffff),
        r().in_set(&tuple(Load::Src4, Load::Dst4), "tomb4")
            .reject_tcp_reset(),
        r().in_set(&tuple(Load::Src6, Load::Dst6), "tomb6").drop(),
        r().reject_icmpx(1),
        r().reject_icmpx(3),
        r().iifname_vmap("from_wl"),
        r().oifname_vmap("from_wl"),
        r().in_set(&[Load::IifName], "open_in").return_(),
        r().vmap(&[Load::Dst4, Load::L4Proto, Load::DstPort], "svc"),
        r().limit(Limit::per_second(100, 500))
            .log(Log::group(1).prefix("oncilla D in").snaplen(80)),
        r().limit(minute).drop(),
        r().log(Log::kernel().prefix("a $b \"c\"")),
        r().counter().verdict(Verdict::Continue),
        r().counter(),
    ]
}

fn raw_rules() -> Vec<Rule> {
    let r = Rule::new;
    vec![
        r().iifname_prefix("cali")
            .eq(Load::FibSrcMarkIifOif, Value::word(0))
            .drop(),
        r().notrack(),
    ]
}

/// Everything above in one batch.
fn everything() -> Batch {
    let mut all = Batch::new(TABLE);
    all.add_table(&Table::new(TABLE).comment("made by oncilla"));
    for chain in chains() {
        all.add_chain(&chain);
    }
    for (set, elements) in sets() {
        all.add_set(&set).add_elements(&set, &elements);
    }
    for (chain, rules) in rules() {
        for rule in rules {
            all.add_rule(&chain, &rule);
        }
    }
    all
}

fn rules() -> Vec<(Name, Vec<Rule>)> {
    let mut forward = inline_set_rules();
    forward.extend(actions());
    vec![
        (name("matches"), matches()),
        (name("forward"), forward),
        (name("raw_prerouting"), raw_rules()),
    ]
}

#[test]
fn every_object_reads_back_as_it_was_written() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        socket.commit(&everything()).unwrap();
        let state = socket.read_table(TABLE).unwrap().unwrap();
        assert_eq!(
            state.table.table,
            Table::new(TABLE).comment("made by oncilla")
        );
        for chain in chains() {
            assert_eq!(state.chains[&chain.name].chain, chain);
        }
        assert_eq!(state.sets.len(), sets().len());
        for (set, mut elements) in sets() {
            elements.sort();
            let (read, read_elements) = &state.sets[&set.name];
            assert_eq!(*read, set);
            let read: Vec<_> = read_elements
                .iter()
                .cloned()
                .map(Element::without_expiry)
                .collect();
            assert_eq!(read, elements, "{}", set.name);
        }
        for (chain, rules) in rules() {
            let read: Vec<_> = state.rules[&chain]
                .iter()
                .map(|listed| listed.rule.clone())
                .collect();
            assert_eq!(read.len(), rules.len());
            for (read, rule) in read.iter().zip(&rules) {
                assert_eq!(read, rule);
            }
        }
        assert_eq!(socket.writes(), 1);
    });
}

#[test]
fn nft_prints_comments_and_loads_what_it_printed() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        socket.commit(&everything()).unwrap();
        let before = timeless(&nft(&["list", "ruleset"], "").unwrap());
        for comment in [
            "made by oncilla",
            "class of each address",
            "red/web eth0",
            "security/block-lab default/allow-a",
            "default/allow-a 1",
        ] {
            assert!(
                before.contains(&format!("comment \"{comment}\"")),
                "{comment} in {before}"
            );
        }
        assert!(before.contains("meta mark & 0xffff0000 . meta l4proto . th dport @k1 return"));
        nft(&["flush", "ruleset"], "").unwrap();
        nft(&["-f", "-"], &before).unwrap();
        assert_eq!(timeless(&nft(&["list", "ruleset"], "").unwrap()), before);
    });
}

/// nft's listing without the time that elements have left.
fn timeless(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let mut kept = Vec::new();
    let mut skip = false;
    for word in words {
        if skip {
            skip = false;
        } else if word == "expires" {
            skip = true;
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

#[test]
fn what_nft_loaded_reads_back_alike() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        socket.commit(&everything()).unwrap();
        let ours = socket.read_table(TABLE).unwrap().unwrap();
        let text = nft(&["list", "ruleset"], "").unwrap();
        nft(&["flush", "ruleset"], "").unwrap();
        nft(&["-f", "-"], &text).unwrap();
        let theirs = socket.read_table(TABLE).unwrap().unwrap();
        assert_eq!(theirs.table.table, ours.table.table);
        let chains = |state: &oncilla_kernel::nf_tables::TableState| {
            state
                .chains
                .values()
                .map(|listed| listed.chain.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(chains(&theirs), chains(&ours));
        for (key, (set, elements)) in &ours.sets {
            let (read, read_elements) = &theirs.sets[key];
            assert_eq!(read, set);
            let strip = |elements: &[Element]| {
                elements
                    .iter()
                    .cloned()
                    .map(Element::without_expiry)
                    .collect::<Vec<_>>()
            };
            assert_eq!(strip(read_elements), strip(elements), "{key}");
        }
    });
}

#[test]
fn a_hundred_thousand_elements() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let set = Set::map("addr4", FieldType::Ipv4Addr, DataType::Mark);
        let elements: Vec<Element> = (0..100_000_u32)
            .map(|i| Element::mark(Ipv4Addr::from(0x0a00_0000 + i), (i % 7 + 3) << 16))
            .collect();
        let mut all = batch();
        all.add_set(&set).add_elements(&set, &elements);
        socket.commit(&all).unwrap();
        let mut expected = elements.clone();
        expected.sort();
        assert!(socket.elements(TABLE, &set).unwrap() == expected);
        let mut gone = Batch::new(TABLE);
        gone.delete_elements(&set, &elements);
        socket.commit(&gone).unwrap();
        assert_eq!(socket.elements(TABLE, &set).unwrap(), []);
        assert_eq!(socket.writes(), 2);
    });
}

#[test]
fn ranges_change_one_by_one() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let set = Set::new("nets", FieldType::Ipv4Addr).flags(SetFlags::INTERVAL);
        let net = |text: &str| Element::net(text.parse().unwrap());
        let mut all = batch();
        all.add_set(&set).add_elements(
            &set,
            [
                net("10.2.0.0/16"),
                net("10.0.0.0/16"),
                net("10.1.0.0/16"),
                net("255.255.255.255/32"),
            ],
        );
        socket.commit(&all).unwrap();
        let mut change = Batch::new(TABLE);
        change
            .delete_elements(&set, [net("10.1.0.0/16")])
            .add_elements(&set, [net("10.1.128.0/17")]);
        socket.commit(&change).unwrap();
        assert_eq!(
            socket.elements(TABLE, &set).unwrap(),
            [
                net("10.0.0.0/16"),
                net("10.1.128.0/17"),
                net("10.2.0.0/16"),
                net("255.255.255.255/32")
            ]
        );
    });
}

#[test]
fn errors_point_to_the_change_and_the_element() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let set = Set::map("addr4", FieldType::Ipv4Addr, DataType::Mark);
        let element = |i: u32, mark| Element::mark(Ipv4Addr::from(i), mark);
        let mut first = batch();
        first.add_set(&set).add_elements(&set, [element(50_000, 1)]);
        socket.commit(&first).unwrap();
        let generation = socket.generation().unwrap();

        let many: Vec<_> = (0..60_000).map(|i| element(i, 2)).collect();
        let mut second = Batch::new(TABLE);
        second
            .add_chain(&Chain::new("fine"))
            .add_elements(&set, &many)
            .delete_chain(&name("absent"))
            .add_rule(&name("fine"), &Rule::new().goto("nowhere"));
        let error = socket.commit(&second).unwrap_err();
        let refusals: Vec<_> = error
            .refusals()
            .iter()
            .map(|refusal| (refusal.index, refusal.element, refusal.kind()))
            .collect();
        assert_eq!(
            refusals,
            [
                (1, Some(50_000), io::ErrorKind::AlreadyExists),
                (2, None, io::ErrorKind::NotFound),
                (3, None, io::ErrorKind::NotFound),
            ]
        );
        assert!(
            error
                .to_string()
                .contains("add 60000 elements of set addr4, element 50000"),
            "{error}"
        );
        assert!(!error.is_retryable());
        assert_eq!(socket.generation().unwrap(), generation);
        assert_eq!(socket.elements(TABLE, &set).unwrap(), [element(50_000, 1)]);
        assert_eq!(socket.writes(), 2);
    });
}

#[test]
fn ranges_are_counted_as_the_caller_does() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let set = Set::new("nets", FieldType::Ipv4Addr).flags(SetFlags::INTERVAL);
        let net = |text: &str| Element::net(text.parse().unwrap());
        let mut all = batch();
        all.add_set(&set).add_elements(&set, [net("10.1.0.0/16")]);
        socket.commit(&all).unwrap();
        let mut overlap = Batch::new(TABLE);
        overlap.add_elements(
            &set,
            [net("10.4.0.0/16"), net("10.6.0.0/16"), net("10.1.1.0/24")],
        );
        let error = socket.commit(&overlap).unwrap_err();
        assert_eq!(error.refusals()[0].element, Some(2));
    });
}

#[test]
fn a_batch_for_another_generation_is_refused() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        socket.commit(&batch()).unwrap();
        let seen = socket.generation().unwrap().id;
        let mut foreign = Socket::open().unwrap();
        let mut change = Batch::new(TABLE);
        foreign
            .commit(change.add_chain(&Chain::new("foreign")))
            .unwrap();
        let mut late = Batch::new(TABLE);
        late.add_chain(&Chain::new("late")).expect_generation(seen);
        let error = socket.commit(&late).unwrap_err();
        assert!(
            matches!(error, BatchError::Outdated { expected, .. } if expected == seen),
            "{error:?}"
        );
        assert!(error.is_retryable());
        late.expect_generation(socket.generation().unwrap().id);
        socket.commit(&late).unwrap();
        assert_eq!(socket.chains(TABLE).unwrap().len(), 2);
    });
}

#[test]
fn rules_go_where_they_are_put() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let chain = name("c");
        let rule = |text: &str| Rule::new().counter().comment(text);
        let mut all = batch();
        all.add_chain(&Chain::new("c"))
            .add_rule(&chain, &rule("b"))
            .insert_rule(&chain, &rule("a"));
        socket.commit(&all).unwrap();
        let order = |socket: &mut Socket| {
            let rules = socket.rules(TABLE, Some("c")).unwrap();
            rules
                .iter()
                .map(|listed| {
                    (
                        listed.rule.comment.as_ref().unwrap().to_string(),
                        listed.handle,
                    )
                })
                .collect::<Vec<_>>()
        };
        let first = order(&mut socket);
        assert_eq!([&*first[0].0, &*first[1].0], ["a", "b"]);
        let mut change = Batch::new(TABLE);
        change
            .add_rule_after(&chain, first[0].1, &rule("a2"))
            .insert_rule_before(&chain, first[0].1, &rule("a0"))
            .replace_rule(&chain, first[1].1, &rule("c"));
        socket.commit(&change).unwrap();
        let second = order(&mut socket);
        assert_eq!(
            second.iter().map(|(text, _)| &**text).collect::<Vec<_>>(),
            ["a0", "a", "a2", "c"]
        );
        let mut removal = Batch::new(TABLE);
        socket
            .commit(removal.delete_rule(&chain, second[1].1))
            .unwrap();
        assert_eq!(order(&mut socket).len(), 3);
        let mut flush = Batch::new(TABLE);
        socket.commit(flush.flush_chain(&chain)).unwrap();
        assert!(order(&mut socket).is_empty());
    });
}

#[test]
fn a_check_changes_nothing() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let before = socket.generation().unwrap();
        socket.check(&batch()).unwrap();
        assert!(socket.supports_owner().unwrap());
        assert_eq!(socket.tables().unwrap(), []);
        assert_eq!(socket.generation().unwrap(), before);
        assert_eq!(socket.writes(), 0);
        socket.commit(&Batch::new(TABLE)).unwrap();
        assert_eq!(socket.writes(), 0);
        assert_eq!(socket.read_table(TABLE).unwrap(), None);
        assert_eq!(socket.rules(TABLE, None).unwrap(), []);
        assert_eq!(socket.sets(TABLE).unwrap(), []);
    });
}

#[test]
fn a_set_that_is_not_there_is_missing() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        socket.commit(&batch()).unwrap();
        let error = socket
            .elements(TABLE, &Set::new("absent", FieldType::Mark))
            .unwrap_err();
        assert!(error.is_missing(), "{error:?}");
        assert!(socket.table(TABLE).unwrap().is_some());
    });
}

#[test]
fn news_tells_own_changes_from_foreign_ones() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let mut monitor = Monitor::open().unwrap();
        assert_eq!(monitor.read().unwrap(), []);
        let set = Set::new("p1", FieldType::Mark);
        let mut all = batch();
        all.add_chain(&Chain::new("c"))
            .add_set(&set)
            .add_elements(&set, [Element::new(Value::word(1))])
            .add_rule(&name("c"), &Rule::new().in_set(&[Load::Mark], "p1").drop());
        socket.commit(&all).unwrap();
        let events = monitor.read().unwrap();
        assert!(
            events.iter().all(|event| event.port_id == socket.port_id()),
            "{events:?}"
        );
        let id = socket.generation().unwrap().id;
        let changes: Vec<_> = events.into_iter().map(|event| event.change).collect();
        let (table, chain, set) = (name(TABLE), name("c"), name("p1"));
        assert!(changes.contains(&Change::TableNew(table.clone())));
        assert!(changes.contains(&Change::ChainNew {
            table: table.clone(),
            chain: chain.clone()
        }));
        assert!(changes.contains(&Change::SetNew {
            table: table.clone(),
            set: set.clone()
        }));
        assert!(changes.contains(&Change::Elements {
            table: table.clone(),
            set: set.clone()
        }));
        assert!(changes.contains(&Change::Rules {
            table: table.clone(),
            chain: chain.clone()
        }));
        assert!(matches!(changes.last(), Some(Change::Generation { id: last, .. }) if *last == id));

        nft(&["flush", "ruleset"], "").unwrap();
        let events = monitor.read().unwrap();
        assert!(
            events.iter().all(|event| event.port_id != socket.port_id()),
            "{events:?}"
        );
        let gone = |event: &Event| event.change == Change::TableGone(table.clone());
        assert!(events.iter().any(gone), "{events:?}");
        assert!(matches!(
            &events.last().unwrap().change,
            Change::Generation { comm, .. } if comm == "nft"
        ));
    });
}
