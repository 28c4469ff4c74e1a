//! What every table of ours has: static chains, maps and sets (`engine.md` §5).
//!
//! Nothing here depends on what policy says, only on whether there is any of a kind for the node's own
//! interfaces. A table with only the skeleton drops everything from and to workloads: no interface is
//! dispatched yet.

use oncilla_net::{Direction, fault};
use oncilla_program::{ClassId, EndpointToHost, Hook as Asked, Settings};

use crate::gate::{HostHooks, host_map};
use crate::hosts::{is_accepted, is_not_accepted, put_hosts};
use crate::names::{STAND_IN, TABLE};
use crate::object::{
    AnonymousSet, Chain, CtState, DataType, Element, FieldType, Hook, Limit, Load, Log, Name, Rule,
    Set, SetFlags, Table, Value, Verdict,
};
use crate::ruleset::Ruleset;

/// Where packets of a deny go on their way out: the chain that logs and drops.
pub(crate) const fn deny_chain(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "deny_in",
        Direction::Egress => "deny_out",
    }
}

/// The verdict map of a direction: interface to group.
pub(crate) const fn dispatch_map(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "to_wl",
        Direction::Egress => "from_wl",
    }
}

/// The set of interfaces that have nothing to evaluate in a direction.
pub(crate) const fn open_set(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "open_in",
        Direction::Egress => "open_out",
    }
}

/// The NFLOG group that denied packets go to.
pub const DENY_LOG_GROUP: u16 = 1;
/// How many bytes of a denied packet go there: its headers. IPv6 has 40 and a chain of extensions; behind 212 of those
/// (options, a route of a dozen segments) the ports are still copied. A packet without extensions is copied as with 80
/// bytes, as its first one is hardly longer, and the kernel's buffer for one is a page whatever is copied.
pub const DENY_LOG_BYTES: u32 = 256;
/// At most this many denied packets a second, and this many at once.
pub(crate) const LOG_RATE: Limit = Limit::per_second(100, 500);
/// `NF_IP_PRI_RAW` and `NF_IP_PRI_FILTER`.
const PRIORITY_RAW: i32 = -300;
const PRIORITY_FILTER: i32 = 0;
/// The protocol number of IP in IP.
const IP_IN_IP: u8 = 4;
const UDP: u8 = 17;
const TCP: u8 = 6;
const UDP_LITE: u8 = 136;
/// Most tombstones at once (`engine.md` §7).
pub const TOMBSTONES_MAX: u32 = 65_536;

/// The table without groups, addresses and endpoints. It has what these host hooks need.
pub fn skeleton(settings: &Settings, hosts: HostHooks, table: Table) -> Ruleset {
    let mut ruleset = Ruleset::new(table);
    sets(&mut ruleset);
    base_chains(&mut ruleset, settings, hosts);
    put_hosts(&mut ruleset, settings, hosts);
    workload_chains(&mut ruleset, settings);
    end_chains(&mut ruleset);
    for side in [Side::Src, Side::Dst] {
        class_chains(&mut ruleset, settings, side);
    }
    ruleset
}

/// Our table with the comment that says whose it is.
pub fn table() -> Table {
    Table::new(TABLE).comment(
        "Network policy, written by oncilla; changes here are undone. Read: oncilla status --kernel",
    )
}

/// The table that enforces the same while ours is made anew.
pub fn stand_in() -> Table {
    Table::new(STAND_IN).comment("Network policy, while oncilla makes its table anew")
}

fn sets(ruleset: &mut Ruleset) {
    let mark = DataType::Mark;
    let interval = SetFlags::INTERVAL;
    ruleset.put_set(Set::map("addr4", FieldType::Ipv4Addr, mark).comment("address to class"));
    ruleset.put_set(Set::map("addr6", FieldType::Ipv6Addr, mark).comment("address to class"));
    ruleset.put_set(Set::map("net4", FieldType::Ipv4Addr, mark).flags(interval));
    ruleset.put_set(Set::map("net6", FieldType::Ipv6Addr, mark).flags(interval));
    for direction in Direction::ALL {
        let (map, open) = (dispatch_map(direction), open_set(direction));
        ruleset.put_set(Set::map(map, FieldType::IfName, DataType::Verdict));
        ruleset.put_set(Set::new(open, FieldType::IfName).comment("no policy here"));
    }
    for (name, addr) in [
        ("tomb4", FieldType::Ipv4Addr),
        ("tomb6", FieldType::Ipv6Addr),
    ] {
        let (proto, port) = (FieldType::InetProto, FieldType::InetService);
        let key = [addr, addr, proto, port, port];
        let set = Set::new(name, key)
            .flags(SetFlags::TIMEOUT)
            .size(TOMBSTONES_MAX);
        ruleset.put_set(set.comment("flows that policy cut"));
    }
}

/// `meta mark set meta mark & ~MASK`: our bits are gone, everybody else's stay.
pub(crate) fn clear(settings: &Settings) -> Rule {
    Rule::new().keep_mark(settings.mask.foreign())
}

pub(crate) fn established() -> Rule {
    Rule::new()
        .ct_state(CtState::ESTABLISHED | CtState::RELATED)
        .accept()
}

/// What workloads' interfaces begin with: a rule for each, and an interface meets one of them at most.
pub(crate) fn workload_prefixes(settings: &Settings) -> impl Iterator<Item = &str> + Clone {
    let count = if fault::is("nft/first-interface-prefix-only") {
        1
    } else {
        usize::MAX
    };
    settings.interface_prefixes.iter().take(count)
}

fn base_chains(ruleset: &mut Ruleset, settings: &Settings, hosts: HostHooks) {
    let prefixes = workload_prefixes(settings);
    ruleset.put_chain(
        Chain::filter("raw_prerouting", Hook::Prerouting, PRIORITY_RAW),
        raw_rules(settings, hosts),
    );
    let mut rules = vec![established()];
    let from = |prefix| Rule::new().iifname_prefix(prefix);
    rules.extend(
        prefixes
            .clone()
            .map(|prefix| from(prefix).goto("wl_to_host")),
    );
    if hosts.has_early() {
        rules.push(is_accepted(settings).goto("done"));
    }
    if hosts.any() {
        rules.push(Rule::new().jump(host_map(Asked::Normal, Direction::Ingress)));
    }
    rules.push(Rule::new().goto("done"));
    ruleset.put_chain(Chain::filter("input", Hook::Input, PRIORITY_FILTER), rules);

    let mut rules = vec![established()];
    // Also where no forward policy asks: connection tracking could not place them, so neither can an answer.
    let drops_invalid = hosts.any() && settings.drop_invalid;
    if drops_invalid {
        rules.push(invalid().jump("hep_invalid_in"));
    }
    if hosts.has(Asked::Forward) && !fault::is("nft/forwarded-goes-in-unasked") {
        let fresh = if hosts.has_early() {
            is_not_accepted(settings)
        } else {
            Rule::new()
        };
        rules.push(fresh.jump(host_map(Asked::Forward, Direction::Ingress)));
    }
    rules.extend(prefixes.clone().map(|prefix| from(prefix).jump("from_wl")));
    rules.extend(prefixes.map(|prefix| Rule::new().oifname_prefix(prefix).jump("to_wl")));
    if hosts.has(Asked::Forward) {
        rules.push(Rule::new().jump(host_map(Asked::Forward, Direction::Egress)));
    }
    if drops_invalid {
        rules.push(invalid().jump("hep_invalid_out"));
    }
    rules.push(Rule::new().goto("done"));
    ruleset.put_chain(
        Chain::filter("forward", Hook::Forward, PRIORITY_FILTER),
        rules,
    );
    ruleset.put_chain(Chain::new("done"), vec![clear(settings)]);
}

/// Before connection tracking: our bits, source addresses, untracked policy.
fn raw_rules(settings: &Settings, hosts: HostHooks) -> Vec<Rule> {
    let prefixes = workload_prefixes(settings);
    let mut rules = vec![clear(settings)];
    if settings.drop_spoofed {
        rules.extend(prefixes.clone().map(|prefix| {
            Rule::new()
                .iifname_prefix(prefix)
                .eq(Load::FibSrcMarkIifOif, Value::word(0))
                .drop()
                .comment("source address that is not this workload's")
        }));
    }
    if hosts.has(Asked::Untracked) {
        let own = prefixes.fold(Rule::new(), Rule::iifname_prefix_not);
        rules.push(own.jump(host_map(Asked::Untracked, Direction::Ingress)));
        rules.push(Rule::new().goto("done"));
    }
    rules
}

/// Packets that connection tracking cannot place. Linux' connection tracking expects UDP's number under UDP-Lite's
/// checksum, so it calls every sound packet of it invalid; policy decides on each of them instead.
pub(crate) fn invalid() -> Rule {
    let invalid = Rule::new().ct_state(CtState::INVALID);
    invalid.l4proto_not(UDP_LITE)
}

/// Neighbour discovery and multicast listeners, without which IPv6 does not work at all.
pub(crate) fn neighbours() -> AnonymousSet {
    AnonymousSet::new(
        FieldType::Icmpv6Type,
        [
            Element::range(Value::byte(130), Value::byte(136)),
            Element::new(Value::byte(143)),
        ],
    )
}

fn workload_chains(ruleset: &mut Ruleset, settings: &Settings) {
    let invalid = || settings.drop_invalid.then(|| invalid().drop());
    let encap = "tunnels start on hosts, not in workloads";
    let mut from: Vec<Rule> = invalid().into_iter().collect();
    for port in settings.encap_drop.vxlan_ports.iter().copied() {
        let vxlan = Rule::new()
            .l4proto(UDP)
            .eq(Load::DstPort, Value::port(port));
        from.push(vxlan.drop().comment(encap));
    }
    if settings.encap_drop.ipip {
        from.push(Rule::new().l4proto(IP_IN_IP).drop().comment(encap));
    }
    from.extend(tomb_rules("tomb_hit"));
    from.push(
        Rule::new()
            .in_set(&[Load::IifName], open_set(Direction::Egress))
            .return_(),
    );
    from.push(Rule::new().jump("class_dst"));
    from.push(Rule::new().iifname_vmap(dispatch_map(Direction::Egress)));
    from.push(Rule::new().drop().comment("unknown workload"));
    ruleset.put_chain(Chain::new("from_wl").comment("what workloads send"), from);

    let mut to: Vec<Rule> = invalid().into_iter().collect();
    to.extend(tomb_rules("tomb_hit"));
    to.push(
        Rule::new()
            .in_set(&[Load::OifName], open_set(Direction::Ingress))
            .return_(),
    );
    to.push(Rule::new().jump("class_src"));
    to.push(Rule::new().oifname_vmap(dispatch_map(Direction::Ingress)));
    to.push(Rule::new().drop().comment("unknown workload"));
    ruleset.put_chain(Chain::new("to_wl").comment("what workloads get"), to);

    let to_host = match settings.endpoint_to_host {
        EndpointToHost::Drop => Rule::new().drop(),
        EndpointToHost::Accept => Rule::new().accept(),
        EndpointToHost::Return => Rule::new().return_(),
    };
    ruleset.put_chain(
        Chain::new("wl_to_host"),
        vec![
            Rule::new()
                .in_set(&[Load::Icmpv6Type], neighbours())
                .accept(),
            Rule::new().jump("from_wl"),
            clear(settings),
            to_host,
        ],
    );
}

/// Where denied packets and buried flows end.
fn end_chains(ruleset: &mut Ruleset) {
    for (direction, prefix) in [
        (Direction::Ingress, "oncilla D in"),
        (Direction::Egress, "oncilla D out"),
    ] {
        let log = Log::group(DENY_LOG_GROUP)
            .prefix(prefix)
            .snaplen(DENY_LOG_BYTES);
        ruleset.put_chain(
            Chain::new(deny_chain(direction)),
            vec![Rule::new().limit(LOG_RATE).log(log), Rule::new().drop()],
        );
    }
    ruleset.put_chain(
        Chain::new("tomb_hit").comment("a flow that policy cut and that tries to come back"),
        vec![
            Rule::new().l4proto(TCP).reject_tcp_reset(),
            Rule::new().drop(),
        ],
    );
}

/// Packets of buried flows go to `end`.
pub(crate) fn tomb_rules(end: &str) -> [Rule; 2] {
    [
        ("tomb4", Load::Src4, Load::Dst4),
        ("tomb6", Load::Src6, Load::Dst6),
    ]
    .map(|(set, src, dst)| {
        Rule::new()
            .in_set(
                &[src, dst, Load::L4Proto, Load::SrcPort, Load::DstPort],
                set,
            )
            .goto(end)
    })
}

/// Which address of the packet is classified.
#[derive(Clone, Copy)]
enum Side {
    Src,
    Dst,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Src => "src",
            Self::Dst => "dst",
        }
    }

    const fn loads(self) -> (Load, Load) {
        match self {
            Self::Src => (Load::Src4, Load::Src6),
            Self::Dst => (Load::Dst4, Load::Dst6),
        }
    }
}

/// The chains that put the class of one side into our bits of the mark. A map's answer overwrites all 32
/// bits, so foreign bits are put back afterwards, one 4-bit group at a time: nft 1.0.6 cannot print
/// `meta mark | map`.
fn class_chains(ruleset: &mut Ruleset, settings: &Settings, side: Side) {
    let name = side.name();
    let foreign = settings.mask.foreign();
    let plain = Name::from(format!("{name}_plain"));
    ruleset.put_chain(Chain::new(Name::clone(&plain)), plain_rules(settings, side));

    let groups: Vec<u32> = (0..8)
        .map(|nibble| (0xf << (nibble * 4)) & foreign)
        .filter(|bits| *bits != 0)
        .collect();
    let keep = |index: usize| Name::from(format!("{name}_keep{index}"));
    let mut entry = vec![];
    if groups.is_empty() {
        entry.push(Rule::new().goto(Name::clone(&plain)));
    } else {
        entry.push(Rule::new().mark(foreign, 0).goto(Name::clone(&plain)));
        entry.push(Rule::new().goto(keep(0)));
    }
    ruleset.put_chain(Chain::new(format!("class_{name}")), entry);

    for (index, bits) in groups.iter().copied().enumerate() {
        let next = if index + 1 == groups.len() {
            Name::clone(&plain)
        } else {
            keep(index + 1)
        };
        let values: Vec<u32> = subsets(bits);
        let target = |value: u32| {
            Name::from(format!(
                "{name}_keep{index}_{:x}",
                value >> bits.trailing_zeros()
            ))
        };
        let elements = values
            .iter()
            .map(|value| Element::verdict(Value::word(*value), Verdict::Goto(target(*value))));
        let map = AnonymousSet::new(FieldType::Mark, elements);
        ruleset.put_chain(
            Chain::new(keep(index)),
            vec![
                Rule::new().vmap(&[Load::MarkMasked(bits)], map),
                Rule::new().goto(Name::clone(&next)),
            ],
        );
        for value in values {
            ruleset.put_chain(
                Chain::new(target(value)),
                vec![
                    Rule::new().jump(Name::clone(&next)),
                    Rule::new().or_mark(value),
                ],
            );
        }
    }
}

/// Every value but zero that fits into a run of at most four bits.
fn subsets(bits: u32) -> Vec<u32> {
    let mut values = Vec::with_capacity(15);
    let mut value = bits;
    while value != 0 {
        values.push(value);
        value = (value - 1) & bits;
    }
    values.reverse();
    values
}

fn plain_rules(settings: &Settings, side: Side) -> Vec<Rule> {
    let (v4, v6) = side.loads();
    let by = |load, map: &str| Rule::new().set_mark_from(&[load], map).return_();
    let unknown = |class| settings.mask.encode(class).0;
    vec![
        by(v4, "addr4"),
        by(v4, "net4"),
        by(v6, "addr6"),
        by(v6, "net6"),
        Rule::new()
            .ipv4()
            .set_mark(unknown(ClassId::UNKNOWN_V4.0))
            .return_(),
        Rule::new().set_mark(unknown(ClassId::UNKNOWN_V6.0)),
    ]
}
