//! The static chains and sets of host endpoints (`engine.md` §5), for those hooks that a node needs.
//!
//! ```text
//!   raw_prerouting ─▶ hep_raw_in      pre_dnat ─▶ hep_pre      input ─▶ hep_in
//!   raw_output ─▶ hep_raw_out         forward ─▶ hep_fwd_in, hep_fwd_out
//!   output ─▶ hep_out                 post_dnat_out ─▶ hep_dnat_out
//! ```
//! Neighbour discovery and failsafes pass before anything is looked up; failsafes never in the forward chains.

use oncilla_net::{Direction, Family, fault};
use oncilla_program::{Failsafe, Hook, LOOPBACK, Settings};

use crate::gate::{ANY, HostHooks, NAMED, any_map, host_map};
use crate::object::{
    Chain, CtState, CtStatus, DataType, Element, FieldType, Hook as At, KeyPart, Load, Name, Rule,
    Set, Value, priority,
};
use crate::ruleset::Ruleset;
use crate::skeleton::{clear, established, invalid, neighbours, tomb_rules, workload_prefixes};

/// The mark of packets that an early hook has accepted (`engine.md` §1).
fn accepted(settings: &Settings) -> u32 {
    settings.mask.bits()
}

/// `meta mark & MASK == ACCEPTED`.
pub(crate) fn is_accepted(settings: &Settings) -> Rule {
    Rule::new().mark(settings.mask.bits(), accepted(settings))
}

/// `meta mark & MASK != ACCEPTED`.
pub(crate) fn is_not_accepted(settings: &Settings) -> Rule {
    Rule::new().mark_not(settings.mask.bits(), accepted(settings))
}

/// Where packets of an allow go at an early hook.
pub(crate) const fn allow_chain(hook: Hook) -> Option<&'static str> {
    match hook {
        Hook::Normal | Hook::Forward => None,
        Hook::PreDnat => Some("accept_early"),
        Hook::Untracked => Some("accept_untracked"),
    }
}

/// Everything of host endpoints but what stands in the base chains that workloads have too.
pub(crate) fn put_hosts(ruleset: &mut Ruleset, settings: &Settings, hooks: HostHooks) {
    if !hooks.any() {
        return;
    }
    sets(ruleset, settings, hooks);
    output_chains(ruleset, settings, hooks);
    for (hook, direction) in Hook::ways().filter(|(hook, _)| hooks.has(*hook)) {
        let rules = dispatch_rules(settings, (hook, direction), &tomb_rules("tomb_hit"));
        put_dispatch(ruleset, host_map(hook, direction), rules);
    }
    // A refusal is not possible behind routing: a dead flow is dropped there.
    let way = (Hook::Normal, Direction::Egress);
    let rules = dispatch_rules(settings, way, &tomb_rules("tomb_drop"));
    put_dispatch(ruleset, "hep_dnat_out", rules);
    let rules = vec![
        Rule::new().iifname_in(NAMED).drop(),
        Rule::new().nfproto_in(ANY).drop(),
    ];
    ruleset.put_chain(Chain::new("hep_invalid_in"), rules);
    let rules = vec![
        Rule::new().oifname_in(NAMED).drop(),
        Rule::new().nfproto_in(ANY).drop(),
    ];
    ruleset.put_chain(Chain::new("hep_invalid_out"), rules);
    ruleset.put_chain(Chain::new("tomb_drop"), vec![Rule::new().drop()]);
    if hooks.has(Hook::PreDnat) {
        pre_dnat_chains(ruleset, settings, hooks);
    }
    if hooks.has(Hook::Untracked) {
        untracked_chains(ruleset, settings);
    }
}

fn put_dispatch(ruleset: &mut Ruleset, name: &str, rules: Vec<Rule>) {
    ruleset.put_chain(Chain::new(name), rules);
}

fn sets(ruleset: &mut Ruleset, settings: &Settings, hooks: HostHooks) {
    let named = Set::new(NAMED, FieldType::IfName).comment("interfaces with a host endpoint");
    ruleset.put_set(named);
    let any = Set::new(ANY, FieldType::NfProto).comment("a host endpoint covers all others");
    ruleset.put_set(any);
    for (hook, direction) in Hook::ways().filter(|(hook, _)| hooks.has(*hook)) {
        let map = host_map(hook, direction);
        ruleset.put_set(Set::map(map, FieldType::IfName, DataType::Verdict));
        if let Some(map) = any_map(hook, direction) {
            ruleset.put_set(Set::map(map, FieldType::NfProto, DataType::Verdict));
        }
    }
    for direction in Direction::ALL {
        let (name, list) = failsafes(settings, direction);
        let elements = list.iter().filter(|each| each.net.is_none());
        let elements = elements.map(|each| {
            let parts = [KeyPart::Proto(each.protocol.0), KeyPart::Port(each.port)];
            Element::new(Value::concat(&parts))
        });
        let set = Set::new(name, [FieldType::InetProto, FieldType::InetService]);
        let set = set.comment("ports that no policy closes");
        ruleset.put_filled(set, elements.collect());
    }
}

/// The set and the list of one direction's failsafes.
fn failsafes(settings: &Settings, direction: Direction) -> (&'static str, &[Failsafe]) {
    match direction {
        Direction::Ingress => ("failsafe_in", &settings.failsafes.inbound),
        Direction::Egress => ("failsafe_out", &settings.failsafes.outbound),
    }
}

/// Failsafes of a direction leave the chain; where connections are not followed, the answers of the other
/// direction's too.
fn failsafe_rules(settings: &Settings, hook: Hook, direction: Direction) -> Vec<Rule> {
    let other = match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    };
    let sides: &[(Direction, Load)] = match hook {
        Hook::Forward => &[],
        Hook::Normal | Hook::PreDnat => &[(direction, Load::DstPort)],
        Hook::Untracked => &[(direction, Load::DstPort), (other, Load::SrcPort)],
    };
    let mut rules = Vec::new();
    for (list, port) in sides {
        let (set, list) = failsafes(settings, *list);
        rules.push(Rule::new().in_set(&[Load::L4Proto, *port], set).return_());
        for each in list {
            let Some(net) = each.net else { continue };
            let peer = match (direction, Family::of_net(&net)) {
                (Direction::Ingress, Family::V4) => Load::Src4,
                (Direction::Ingress, Family::V6) => Load::Src6,
                (Direction::Egress, Family::V4) => Load::Dst4,
                (Direction::Egress, Family::V6) => Load::Dst6,
            };
            let rule = Rule::new().l4proto(each.protocol.0);
            let rule = rule.eq(*port, Value::port(each.port)).in_net(peer, net);
            rules.push(rule.return_());
        }
    }
    if fault::is("nft/failsafes-forgotten") {
        rules.clear();
    }
    rules
}

/// What a packet meets between the base chain and its host endpoint's group.
fn dispatch_rules(
    settings: &Settings,
    (hook, direction): (Hook, Direction),
    tombs: &[Rule],
) -> Vec<Rule> {
    // A host is not judged towards itself; nothing that it forwards passes here.
    let loopback = match direction {
        Direction::Ingress => Rule::new().iifname(LOOPBACK),
        Direction::Egress => Rule::new().oifname(LOOPBACK),
    };
    let mut rules = Vec::new();
    if hook != Hook::Forward {
        rules.push(loopback.return_());
    }
    if hook != Hook::Untracked && settings.drop_invalid {
        rules.push(invalid().goto(match direction {
            Direction::Ingress => "hep_invalid_in",
            Direction::Egress => "hep_invalid_out",
        }));
    }
    if hook != Hook::Forward {
        rules.push(
            Rule::new()
                .in_set(&[Load::Icmpv6Type], neighbours())
                .return_(),
        );
    }
    rules.extend(failsafe_rules(settings, hook, direction));
    if !hook.is_early() {
        rules.extend_from_slice(tombs);
    }
    let (class, load) = match direction {
        Direction::Ingress => ("class_src", Load::IifName),
        Direction::Egress => ("class_dst", Load::OifName),
    };
    rules.push(Rule::new().jump(class));
    rules.push(Rule::new().vmap(&[load], host_map(hook, direction)));
    if let Some(any) = any_map(hook, direction)
        && !fault::is("nft/star-covers-nothing")
    {
        rules.push(Rule::new().vmap(&[Load::NfProto], any));
    }
    rules
}

/// From the host itself. A translated packet is judged behind routing, where its interface is known.
fn output_chains(ruleset: &mut Ruleset, settings: &Settings, hooks: HostHooks) {
    let prefixes = workload_prefixes(settings);
    let mut rules = vec![established()];
    if !fault::is("nft/host-to-workload-policed") {
        rules.extend(prefixes.clone().map(|prefix| {
            let own = Rule::new().oifname_prefix(prefix).accept();
            own.comment("a host always reaches its own workloads")
        }));
    }
    rules.push(Rule::new().ct_status(CtStatus::DNAT).accept());
    if hooks.has(Hook::Untracked) {
        rules.push(is_accepted(settings).goto("done"));
    }
    rules.push(Rule::new().jump(host_map(Hook::Normal, Direction::Egress)));
    rules.push(Rule::new().goto("done"));
    ruleset.put_chain(Chain::filter("output", At::Output, priority::FILTER), rules);

    let translated = Rule::new()
        .eq(Load::Iif, Value::word(0))
        .ct_status(CtStatus::DNAT)
        .ct_state(CtState::NEW);
    let translated = prefixes.fold(translated, Rule::oifname_prefix_not);
    let translated = translated.goto("host_dnat");
    let rules = vec![translated];
    ruleset.put_chain(
        Chain::filter("post_dnat_out", At::Postrouting, priority::MANGLE),
        rules,
    );
    let rules = vec![Rule::new().jump("hep_dnat_out"), Rule::new().goto("done")];
    ruleset.put_chain(Chain::new("host_dnat"), rules);
}

fn pre_dnat_chains(ruleset: &mut Ruleset, settings: &Settings, hooks: HostHooks) {
    let mut rules = vec![established()];
    if hooks.has(Hook::Untracked) {
        rules.push(is_accepted(settings).accept());
    }
    rules.push(Rule::new().jump(host_map(Hook::PreDnat, Direction::Ingress)));
    rules.push(Rule::new().goto("done"));
    let place = if fault::is("nft/pre-dnat-behind-dnat") {
        priority::FILTER
    } else {
        priority::MANGLE
    };
    ruleset.put_chain(Chain::filter("pre_dnat", At::Prerouting, place), rules);
    put_allow(ruleset, settings, Hook::PreDnat, Rule::new());
}

fn untracked_chains(ruleset: &mut Ruleset, settings: &Settings) {
    let rules = vec![
        clear(settings),
        Rule::new().jump(host_map(Hook::Untracked, Direction::Egress)),
        Rule::new().goto("done"),
    ];
    ruleset.put_chain(
        Chain::filter("raw_output", At::Output, priority::RAW),
        rules,
    );
    let untracked = if fault::is("nft/untracked-is-tracked") {
        Rule::new()
    } else {
        Rule::new().notrack()
    };
    put_allow(ruleset, settings, Hook::Untracked, untracked);
}

/// An early allow: later chains know it by the mark. One that is not final only goes on.
fn put_allow(ruleset: &mut Ruleset, settings: &Settings, hook: Hook, rule: Rule) {
    let Some(name) = allow_chain(hook) else {
        return;
    };
    let mask = settings.mask;
    let rule = if settings.failsafes.are_certain {
        rule.change_mark(mask.foreign(), accepted(settings))
            .accept()
    } else {
        Rule::new().goto("done")
    };
    ruleset.put_chain(Chain::new(Name::from(name)), vec![rule]);
}
