//! Facts about the kernel (and nft 1.0.6) that the design stands on. One test each; what is only a matter of speed is
//! printed, never asserted.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use oncilla_kernel::conntrack::Conntrack;
use oncilla_kernel::nf_tables::{Batch, BatchError, Monitor, Socket};
use oncilla_kernel::sysctl;
use oncilla_nft::object::{
    AnonymousSet, Chain, CtState, DataType, Element, FieldType, Hook, KeyPart, Load, Name, Rule,
    Set, SetFlags, Table, TableFlags, Value, Verdict, priority,
};

use crate::nf_tables::{MASK, TABLE, batch, inside, name, nft};

const ANSWER: Duration = Duration::from_secs(5);

/// A UDP socket on loopback that sends to itself: a packet that passes arrives at once, so one that has not arrived
/// when a later one has was dropped.
struct Loop {
    socket: UdpSocket,
}

impl Loop {
    fn open() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(socket.local_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(ANSWER)).unwrap();
        Self { socket }
    }

    /// Whether a packet arrives. Loopback delivers inside `send`, so what is not there then never comes.
    fn passes(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let sent = self.socket.send(b"x");
        let mut buffer = [0; 8];
        sent.is_ok() && self.socket.recv(&mut buffer).is_ok()
    }
}

fn class_map() -> Set {
    Set::map("addr4", FieldType::Ipv4Addr, DataType::Mark)
}

fn addr(i: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + i)
}

/// Seconds per element for `count` batches of one element each.
#[expect(clippy::disallowed_methods, reason = "speed is printed, not asserted")]
fn cost_of_adds(
    socket: &mut Socket,
    set: &Set,
    element: impl Fn(u32) -> Element,
    first: u32,
) -> Duration {
    const ADDS: u32 = 50;
    let start = Instant::now();
    for i in first..first + ADDS {
        let mut add = Batch::new(TABLE);
        socket.commit(add.add_elements(set, [element(i)])).unwrap();
    }
    start.elapsed() / ADDS
}

#[test]
fn adding_to_a_data_map_is_flat_and_to_a_map_of_jumps_is_not() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let data = class_map();
        let jumps = Set::map("jumps", FieldType::Ipv4Addr, DataType::Verdict);
        let to_mark = |i| Element::mark(addr(i), 0x0003_0000);
        let to_chain = |i| Element::verdict(addr(i), Verdict::Jump(name("leaf")));
        let mut all = batch();
        all.add_chain(&Chain::new("leaf"))
            .add_chain(&Chain::filter("in", Hook::Input, priority::FILTER))
            .add_set(&data)
            .add_set(&jumps)
            .add_rule(
                &name("in"),
                &Rule::new().set_mark_from(&[Load::Src4], "addr4"),
            )
            .add_rule(&name("in"), &Rule::new().vmap(&[Load::Src4], "jumps"));
        socket.commit(&all).unwrap();
        let (few, many) = (1_000, 20_000);
        let mut lines = Vec::new();
        for (set, element) in [
            (&data, &to_mark as &dyn Fn(u32) -> Element),
            (&jumps, &to_chain),
        ] {
            let mut costs = Vec::new();
            let mut first = 0;
            for last in [few, many] {
                let mut grow = Batch::new(TABLE);
                socket
                    .commit(grow.add_elements(set, (first..last).map(element)))
                    .unwrap();
                costs.push(cost_of_adds(&mut socket, set, element, last));
                first = last + 50;
            }
            assert_eq!(
                socket.elements(TABLE, set).unwrap().len(),
                many as usize + 50
            );
            lines.push(format!(
                "{}: {:?} at {few}, {:?} at {many}",
                set.name, costs[0], costs[1]
            ));
        }
        println!("one element more: {}", lines.join("; "));
    });
}

#[test]
fn data_of_a_key_is_not_overwritten_but_replaced_by_delete_and_add() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let set = class_map();
        let element = |mark| Element::mark(addr(1), mark);
        let mut all = batch();
        socket
            .commit(all.add_set(&set).add_elements(&set, [element(1)]))
            .unwrap();
        let mut again = Batch::new(TABLE);
        socket
            .commit(again.add_elements(&set, [element(1)]))
            .unwrap();
        let mut overwrite = Batch::new(TABLE);
        let error = socket
            .commit(overwrite.add_elements(&set, [element(2)]))
            .unwrap_err();
        assert_eq!(error.refusals()[0].kind(), ErrorKind::AlreadyExists);
        let mut replace = Batch::new(TABLE);
        replace
            .delete_elements(&set, [element(1)])
            .add_elements(&set, [element(2)]);
        socket.commit(&replace).unwrap();
        assert_eq!(socket.elements(TABLE, &set).unwrap(), [element(2)]);
    });
}

#[test]
fn a_set_in_use_goes_only_with_its_rules() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let set = Set::new("p1", FieldType::Mark);
        let chain = name("c");
        let mut all = batch();
        all.add_set(&set)
            .add_chain(&Chain::new("c"))
            .add_rule(&chain, &Rule::new().in_set(&[Load::Mark], "p1").drop());
        socket.commit(&all).unwrap();
        let mut alone = Batch::new(TABLE);
        let error = socket.commit(alone.delete_set(&set.name)).unwrap_err();
        assert_eq!(error.refusals()[0].kind(), ErrorKind::ResourceBusy);
        let handle = socket.rules(TABLE, Some("c")).unwrap()[0].handle;
        let mut together = Batch::new(TABLE);
        together.delete_rule(&chain, handle).delete_set(&set.name);
        socket.commit(&together).unwrap();
        assert_eq!(socket.sets(TABLE).unwrap(), []);
    });
}

#[test]
fn a_chain_that_an_element_leads_to_goes_only_with_it() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let map = Set::map("to_wl", FieldType::IfName, DataType::Verdict);
        let element = Element::verdict(Value::ifname("cali1"), Verdict::Goto(name("group")));
        let mut all = batch();
        all.add_chain(&Chain::new("group"))
            .add_set(&map)
            .add_elements(&map, [&element]);
        socket.commit(&all).unwrap();
        let mut alone = Batch::new(TABLE);
        let error = socket
            .commit(alone.delete_chain(&name("group")))
            .unwrap_err();
        assert_eq!(error.refusals()[0].kind(), ErrorKind::ResourceBusy);
        let mut together = Batch::new(TABLE);
        together
            .delete_elements(&map, [&element])
            .delete_chain(&name("group"));
        socket.commit(&together).unwrap();
        assert_eq!(socket.chains(TABLE).unwrap(), []);
    });
}

#[test]
fn a_masked_mark_is_looked_up_in_a_concatenation() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let packets = Loop::open();
        let port = packets.socket.local_addr().unwrap().port();
        let set = Set::new(
            "k1",
            [
                FieldType::Mark,
                FieldType::InetProto,
                FieldType::InetService,
            ],
        );
        let key = [Load::MarkMasked(MASK), Load::L4Proto, Load::DstPort];
        let chain = name("in");
        let mut all = batch();
        all.add_set(&set)
            .add_chain(&Chain::filter("in", Hook::Input, priority::FILTER))
            .add_rule(&chain, &Rule::new().set_mark(0x0003_4567))
            .add_rule(&chain, &Rule::new().in_set(&key, "k1").drop());
        socket.commit(&all).unwrap();
        let mut change = |add: bool, mark, proto, port| {
            let element = Element::new(Value::mark_proto_port(mark, proto, port));
            let mut change = Batch::new(TABLE);
            if add {
                change.add_elements(&set, [element]);
            } else {
                change.delete_elements(&set, [element]);
            }
            socket.commit(&change).unwrap();
            packets.passes()
        };
        assert!(change(true, 0x0003_4567, 17, port));
        assert!(change(true, 0x0004_0000, 17, port));
        assert!(change(true, 0x0003_0000, 6, port));
        assert!(change(true, 0x0003_0000, 17, port.wrapping_add(1)));
        assert!(!change(true, 0x0003_0000, 17, port));
        assert!(change(false, 0x0003_0000, 17, port));
    });
}

/// Chains that put a class into the mark's high bits and keep the low 16 bits, one chain per value of each group of
/// four foreign bits, as the design has them.
fn keep_chains(batch: &mut Batch) {
    for group in (0..4_u32).rev() {
        let after = if group == 3 {
            name("plain")
        } else {
            name(&format!("keep{}", group + 1))
        };
        let mut verdicts = Vec::new();
        for value in 1..16_u32 {
            let bits = value << (4 * group);
            let chain = name(&format!("keep{group}_{value:x}"));
            batch
                .add_chain(&Chain::new(Name::clone(&chain)))
                .add_rule(&chain, &Rule::new().jump(Name::clone(&after)))
                .add_rule(&chain, &Rule::new().or_mark(bits));
            verdicts.push(Element::verdict(Value::word(bits), Verdict::Goto(chain)));
        }
        let chain = name(&format!("keep{group}"));
        let map = AnonymousSet::new(FieldType::Mark, verdicts);
        batch
            .add_chain(&Chain::new(Name::clone(&chain)))
            .add_rule(
                &chain,
                &Rule::new().vmap(&[Load::MarkMasked(0xf << (4 * group))], map),
            )
            .add_rule(&chain, &Rule::new().goto(after));
    }
}

#[test]
fn keep_chains_preserve_foreign_mark_bits() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let packets = Loop::open();
        let map = class_map();
        let (set_mark, check) = (name("foreign"), name("verify"));
        let mut all = batch();
        all.add_set(&map)
            .add_elements(&map, [Element::mark(Ipv4Addr::LOCALHOST, 0x0007_0000)])
            .add_chain(&Chain::new("plain"))
            .add_rule(
                &name("plain"),
                &Rule::new().set_mark_from(&[Load::Src4], "addr4").return_(),
            );
        keep_chains(&mut all);
        all.add_chain(&Chain::filter("foreign", Hook::Input, priority::RAW))
            .add_chain(&Chain::filter("classify", Hook::Input, priority::MANGLE))
            .add_chain(&Chain::filter("verify", Hook::Input, priority::FILTER))
            .add_rule(&name("classify"), &Rule::new().jump("keep0"));
        socket.commit(&all).unwrap();
        for foreign in [0, 1, 0x4000, 0xffff, 0x1234, 0x0f0f, 0x00f0] {
            let mut change = Batch::new(TABLE);
            change
                .flush_chain(&set_mark)
                .add_rule(&set_mark, &Rule::new().set_mark(foreign))
                .flush_chain(&check)
                .add_rule(
                    &check,
                    &Rule::new()
                        .ne(Load::Mark, Value::word(0x0007_0000 | foreign))
                        .drop(),
                );
            socket.commit(&change).unwrap();
            assert!(packets.passes(), "{foreign:#x} was not kept");
            let mut opposite = Batch::new(TABLE);
            opposite.flush_chain(&check).add_rule(
                &check,
                &Rule::new()
                    .eq(Load::Mark, Value::word(0x0007_0000 | foreign))
                    .drop(),
            );
            socket.commit(&opposite).unwrap();
            assert!(
                !packets.passes(),
                "{foreign:#x}: the test itself cannot fail"
            );
        }
        let before = nft(&["list", "ruleset"], "").unwrap();
        nft(&["flush", "ruleset"], "").unwrap();
        nft(&["-f", "-"], &before).unwrap();
        assert_eq!(nft(&["list", "ruleset"], "").unwrap(), before);
    });
}

#[test]
fn packets_never_miss_a_key_whose_data_is_replaced() {
    const PACKETS: u32 = 10_000;
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let set = class_map();
        let chain = name("in");
        let allowed = AnonymousSet::new(
            FieldType::Mark,
            [0x0003_0000, 0x0004_0000].map(|mark| Element::new(Value::word(mark))),
        );
        let element = |mark| Element::mark(Ipv4Addr::LOCALHOST, mark);
        let mut all = batch();
        all.add_set(&set)
            .add_elements(&set, [element(0x0003_0000)])
            .add_chain(&Chain::filter("in", Hook::Input, priority::FILTER))
            .add_rule(&chain, &Rule::new().set_mark(0x0001_0000))
            .add_rule(&chain, &Rule::new().set_mark_from(&[Load::Src4], "addr4"))
            .add_rule(
                &chain,
                &Rule::new().not_in_set(&[Load::Mark], allowed).drop(),
            );
        socket.commit(&all).unwrap();
        // A thread is born in its parent's network namespace.
        let packets = std::thread::spawn(|| {
            let packets = Loop::open();
            (0..PACKETS).filter(|_| packets.passes()).count()
        });
        let mut replaced = 0_u32;
        let marks = [0x0003_0000, 0x0004_0000];
        while !packets.is_finished() {
            let [old, new] = [replaced % 2, (replaced + 1) % 2].map(|i| element(marks[i as usize]));
            let mut replace = Batch::new(TABLE);
            socket
                .commit(
                    replace
                        .delete_elements(&set, [old])
                        .add_elements(&set, [new]),
                )
                .unwrap();
            replaced += 1;
        }
        assert_eq!(
            packets.join().unwrap(),
            PACKETS as usize,
            "{replaced} replacements"
        );
        println!("{PACKETS} packets, {replaced} replacements, none missed");
    });
}

#[test]
fn sixteen_nested_jumps_are_refused() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let nested = |depth: u32| {
            let mut all = Batch::new("nested");
            all.add_table(&Table::new("nested"));
            all.add_chain(&Chain::filter("c0", Hook::Input, priority::FILTER));
            for i in 1..=depth {
                let chain = name(&format!("c{}", i - 1));
                let next = format!("c{i}");
                all.add_chain(&Chain::new(&*next))
                    .add_rule(&chain, &Rule::new().jump(&*next));
            }
            all
        };
        socket.check(&nested(15)).unwrap();
        let error = socket.commit(&nested(16)).unwrap_err();
        assert!(
            !error.refusals().is_empty() || matches!(error, BatchError::Whole { .. }),
            "{error:?}"
        );
        assert_eq!(socket.tables().unwrap(), []);
        socket.commit(&nested(15)).unwrap();
    });
}

fn owned() -> Table {
    Table::new(TABLE).flags(TableFlags::OWNER | TableFlags::PERSIST)
}

#[test]
fn an_owned_table_is_spared_and_its_edits_are_refused() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        assert!(socket.supports_owner().unwrap());
        let mut all = Batch::new(TABLE);
        socket
            .commit(all.add_table(&owned()).add_chain(&Chain::new("c")))
            .unwrap();
        let listed = socket.table(TABLE).unwrap().unwrap();
        assert_eq!(listed.owner, Some(socket.port_id()));
        nft(&["flush", "ruleset"], "").unwrap();
        assert_eq!(socket.chains(TABLE).unwrap().len(), 1);
        let refused = nft(&["add", "chain", "inet", TABLE, "foreign"], "").unwrap_err();
        assert!(refused.contains("Operation not permitted"), "{refused}");
        nft(&["delete", "table", "inet", TABLE], "").unwrap_err();
        let mut foreign = Socket::open().unwrap();
        let mut edit = Batch::new(TABLE);
        let error = foreign
            .commit(edit.add_chain(&Chain::new("foreign")))
            .unwrap_err();
        assert_eq!(error.refusals()[0].kind(), ErrorKind::PermissionDenied);
        assert_eq!(foreign.chains(TABLE).unwrap().len(), 1);
        let mut own = Batch::new(TABLE);
        socket.commit(own.add_chain(&Chain::new("d"))).unwrap();
    });
}

#[test]
fn an_owned_table_outlives_its_owner_and_is_claimed_by_the_next() {
    inside(|_| {
        let mut first = Socket::open().unwrap();
        let mut all = Batch::new(TABLE);
        first
            .commit(all.add_table(&owned()).add_chain(&Chain::new("c")))
            .unwrap();
        drop(first);
        let mut second = Socket::open().unwrap();
        let orphan = second.table(TABLE).unwrap().unwrap();
        assert_eq!(orphan.owner, None);
        assert_eq!(second.chains(TABLE).unwrap().len(), 1);
        let mut claim = Batch::new(TABLE);
        second.commit(claim.add_table(&owned())).unwrap();
        let claimed = second.table(TABLE).unwrap().unwrap();
        assert_eq!(
            (claimed.owner, claimed.handle),
            (Some(second.port_id()), orphan.handle)
        );
        assert_eq!(claimed.table, owned());
        nft(&["flush", "ruleset"], "").unwrap();
        assert!(second.table(TABLE).unwrap().is_some());
        drop(second);
        nft(&["flush", "ruleset"], "").unwrap();
        assert_eq!(Socket::open().unwrap().tables().unwrap(), []);
    });
}

#[test]
fn the_listing_of_an_owned_table_loads_only_without_its_flags_line() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let mut all = Batch::new(TABLE);
        socket
            .commit(all.add_table(&owned()).add_chain(&Chain::new("c")))
            .unwrap();
        let listing = nft(&["list", "ruleset"], "").unwrap();
        nft(&["-c", "-f", "-"], &listing).unwrap_err();
        let mut gone = Batch::new(TABLE);
        socket.commit(gone.delete_table()).unwrap();
        let lines = listing.lines();
        let kept = lines.filter(|line| !line.trim_start().starts_with("flags"));
        let without = kept.collect::<Vec<_>>().join(
            "
",
        ) + "
";
        nft(&["-f", "-"], &without).unwrap();
        assert_eq!(socket.chains(TABLE).unwrap().len(), 1);
    });
}

#[test]
fn a_mark_is_not_combined_with_a_map_and_keywords_are_no_names_for_nft() {
    inside(|_| {
        let head = "table inet t {\n map m { type ipv4_addr : mark; }\n chain c {\n";
        let or = format!("{head}  meta mark set meta mark | ip saddr map @m\n }}\n}}\n");
        nft(&["-c", "-f", "-"], &or).unwrap_err();
        for keyword in ["dst", "ip6", "fwd"] {
            let table = format!("table inet t {{\n chain {keyword} {{\n }}\n}}\n");
            nft(&["-c", "-f", "-"], &table).unwrap_err();
        }
        nft(&["-c", "-f", "-"], &format!("{head} }}\n}}\n")).unwrap();
    });
}

#[test]
fn a_large_batch_is_one_transaction() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let mut monitor = Monitor::open().unwrap();
        drop(monitor.read().unwrap());
        let set = class_map();
        let mut all = batch();
        all.add_set(&set).add_elements(
            &set,
            (0..300_000).map(|i| Element::mark(addr(i), 0x0003_0000)),
        );
        let before = socket.generation().unwrap().id;
        socket.commit(&all).unwrap();
        assert_eq!(socket.generation().unwrap().id, before + 1);
        // Listing them would take seconds: the kernel walks the hash from its start for every part of a list.
        println!(
            "{} bytes in one sendmsg of at most {}",
            all.bytes_len(),
            socket.batch_bytes_max()
        );
    });
}

/// One TCP connection over loopback, and what the server still says on it after a change.
struct Flow {
    client: TcpStream,
    server: TcpStream,
}

impl Flow {
    fn open(listener: &TcpListener) -> Self {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.set_nonblocking(true).unwrap();
        Self { client, server }
    }

    /// Whether what the server sends reaches the client: loopback delivers inside `send`.
    fn server_reaches_client(&mut self) -> bool {
        let mut buffer = [0; 8];
        self.server.write_all(b"s").is_ok() && matches!(self.client.read(&mut buffer), Ok(1..))
    }

    fn key(&self) -> Element {
        let part = |addr: SocketAddr| match addr.ip() {
            IpAddr::V4(ip) => (KeyPart::Ipv4(ip), KeyPart::Port(addr.port())),
            IpAddr::V6(ip) => (KeyPart::Ipv6(ip), KeyPart::Port(addr.port())),
        };
        let (src, sport) = part(self.server.local_addr().unwrap());
        let (dst, dport) = part(self.client.local_addr().unwrap());
        Element::new(Value::concat(&[src, dst, KeyPart::Proto(6), sport, dport]))
    }
}

/// Conntrack first, then tombstones, then: only new connections to the server's port.
fn stateful(family: FieldType, (src, dst): (Load, Load), port: u16) -> (Batch, Set) {
    use FieldType::{InetProto, InetService};
    let tomb = Set::new(
        "tomb",
        [family, family, InetProto, InetService, InetService],
    )
    .flags(SetFlags::TIMEOUT)
    .size(65_536);
    let chain = name("in");
    let key = [src, dst, Load::L4Proto, Load::SrcPort, Load::DstPort];
    let mut all = batch();
    all.add_set(&tomb)
        .add_chain(&Chain::filter("in", Hook::Input, priority::FILTER))
        .add_rule(
            &chain,
            &Rule::new()
                .ct_state(CtState::ESTABLISHED | CtState::RELATED)
                .accept(),
        )
        .add_rule(&chain, &Rule::new().ct_state(CtState::INVALID).drop())
        .add_rule(&chain, &Rule::new().in_set(&key, "tomb").reject_tcp_reset())
        .add_rule(
            &chain,
            &Rule::new()
                .l4proto(6)
                .eq(Load::DstPort, Value::port(port))
                .drop(),
        );
    (all, tomb)
}

fn revocation(address: IpAddr, family: FieldType, loads: (Load, Load)) {
    inside(|_| {
        sysctl::write("netfilter/nf_conntrack_tcp_loose", "1").unwrap();
        let mut socket = Socket::open().unwrap();
        let mut conntrack = Conntrack::open().unwrap();
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        // Conntrack sees packets once a rule asks it; the flows open before anything is denied.
        let (mut all, tomb) = stateful(family, loads, 1);
        all.add_rule(&name("in"), &Rule::new().counter());
        socket.commit(&all).unwrap();
        let mut flows = [Flow::open(&listener), Flow::open(&listener)];
        let mut deny = Batch::new(TABLE);
        let denied = Rule::new()
            .l4proto(6)
            .eq(Load::DstPort, Value::port(port))
            .drop();
        socket.commit(deny.add_rule(&name("in"), &denied)).unwrap();
        let [resurrected, buried] = &mut flows;
        assert!(resurrected.server_reaches_client() && buried.server_reaches_client());

        for flow in conntrack.dump().unwrap() {
            conntrack.delete(&flow).unwrap();
        }
        assert!(
            resurrected.server_reaches_client(),
            "the server's segment re-opens the flow"
        );

        let mut bury = Batch::new(TABLE);
        bury.add_elements(&tomb, [buried.key().timeout_ms(60_000)]);
        socket.commit(&bury).unwrap();
        for flow in conntrack.dump().unwrap() {
            conntrack.delete(&flow).unwrap();
        }
        assert!(!buried.server_reaches_client(), "the tombstone stops it");
        assert_eq!(
            buried
                .client
                .take_error()
                .unwrap()
                .map(|error| error.kind()),
            None
        );
    });
}

#[test]
fn a_deleted_ipv4_connection_is_reopened_by_the_server_unless_it_has_a_tombstone() {
    revocation(
        Ipv4Addr::LOCALHOST.into(),
        FieldType::Ipv4Addr,
        (Load::Src4, Load::Dst4),
    );
}

#[test]
fn a_deleted_ipv6_connection_is_reopened_by_the_server_unless_it_has_a_tombstone() {
    revocation(
        Ipv6Addr::LOCALHOST.into(),
        FieldType::Ipv6Addr,
        (Load::Src6, Load::Dst6),
    );
}

#[test]
fn every_chain_and_element_may_be_in_one_batch_with_what_uses_it() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let map = Set::map("to_wl", FieldType::IfName, DataType::Verdict);
        let flip = |from: &str, to: &str| {
            let element =
                |chain: &str| Element::verdict(Value::ifname("cali1"), Verdict::Goto(name(chain)));
            let mut flip = Batch::new(TABLE);
            flip.delete_elements(&map, [element(from)])
                .add_elements(&map, [element(to)]);
            flip
        };
        let mut all = batch();
        all.add_chain(&Chain::new("pg_0"))
            .add_chain(&Chain::new("pg_1"))
            .add_set(&map)
            .add_elements(
                &map,
                [Element::verdict(
                    Value::ifname("cali1"),
                    Verdict::Goto(name("pg_0")),
                )],
            );
        socket.commit(&all).unwrap();
        socket.commit(&flip("pg_0", "pg_1")).unwrap();
        let targets: BTreeSet<_> = socket
            .elements(TABLE, &map)
            .unwrap()
            .iter()
            .map(|element| element.verdict_value().unwrap().clone())
            .collect();
        assert_eq!(targets, BTreeSet::from([Verdict::Goto(name("pg_1"))]));
    });
}
