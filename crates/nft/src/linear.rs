//! A rule that cannot be keyed as one or more nf_tables rules.
//!
//! One rule of the program becomes several of the kernel's where a criterion is an address set: per family,
//! and per set that may hold the address (single addresses in a hash, prefixes in an interval set). The
//! alternatives are disjoint in effect because they share the verdict.

use oncilla_net::{Direction, Family, IcmpMatch, PortSet, Protocol, fault};
use oncilla_program::{LogRate, NamedPortMatch, Peer, PortSide, RuleVerdict, SetName, SetRef};

use crate::content::{AddressForm, address_set_name, service_set_name};
use crate::group::{Surroundings, local_is_source};
use crate::object::{
    AnonymousSet, Element, FieldType, Limit, LimitUnit, Load, Log, Name, Rule, Value, Verdict,
};

/// One criterion: the packet's address is in an address set, or not.
struct AddressMatch<'a> {
    set: &'a SetName,
    negated: bool,
    source: bool,
    of: Members,
}

/// What an address is looked up with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Members {
    /// Alone.
    Addresses,
    /// With protocol and port: the set is a service's, or a port name's.
    Ports(PortSide),
}

/// The kernel's rules for one rule of the program. `verdict` is where a match leads; for log it is not used.
pub(crate) fn lower(
    rule: &oncilla_program::Rule,
    direction: Direction,
    verdict: &Verdict,
    around: Surroundings<'_>,
) -> Vec<Rule> {
    let addresses = address_matches(rule, direction);
    let heads = if addresses.is_empty() {
        let only = rule.family.filter(|_| !fault::is("nft/family-ignored"));
        vec![family(Rule::new(), only)]
    } else {
        Family::ALL
            .into_iter()
            .filter(|family| rule.family.is_none_or(|only| only == *family))
            .flat_map(|family| alternatives(&addresses, family, around))
            .collect()
    };
    heads
        .into_iter()
        .flat_map(|head| icmp(criteria(head, rule, around), rule))
        .map(|head| finish(head, rule, verdict, around.log_rate))
        .collect()
}

fn address_matches(rule: &oncilla_program::Rule, direction: Direction) -> Vec<AddressMatch<'_>> {
    let local = local_is_source(direction);
    let mut matches: Vec<AddressMatch<'_>> = rule
        .local
        .iter()
        .map(|found| AddressMatch {
            set: &found.set,
            negated: found.negated,
            source: local,
            of: Members::Addresses,
        })
        .collect();
    matches.extend(rule.local_ports.iter().map(|found| AddressMatch {
        set: &found.set,
        negated: found.negated,
        source: local,
        of: Members::Ports(if local {
            PortSide::Source
        } else {
            PortSide::Destination
        }),
    }));
    if let Peer::Sets(sets) = &rule.peer {
        matches.extend(sets.iter().filter_map(|found| {
            let (set, of) = match &found.set {
                SetRef::Addresses(set) => (set, Members::Addresses),
                SetRef::Service(set) => (set, Members::Ports(PortSide::Destination)),
                SetRef::Classes(_) => return None,
            };
            Some(AddressMatch {
                set,
                negated: found.negated,
                source: !local,
                of,
            })
        }));
    }
    matches
}

/// Every way in which the address criteria can hold in one family.
fn alternatives(
    matches: &[AddressMatch<'_>],
    family: Family,
    around: Surroundings<'_>,
) -> Vec<Rule> {
    let mut rules = vec![Rule::new()];
    for found in matches {
        let load = match (family, found.source) {
            (Family::V4, true) => Load::Src4,
            (Family::V4, false) => Load::Dst4,
            (Family::V6, true) => Load::Src6,
            (Family::V6, false) => Load::Dst6,
        };
        if let Members::Ports(side) = found.of {
            let port = match side {
                PortSide::Destination if !fault::is("nft/service-by-source-port") => Load::DstPort,
                PortSide::Source | PortSide::Destination => Load::SrcPort,
            };
            let loads = [load, Load::L4Proto, port];
            let set = service_set_name(found.set, family);
            rules = rules
                .into_iter()
                .map(|rule| {
                    if found.negated {
                        rule.not_in_set(&loads, Name::clone(&set))
                    } else {
                        rule.in_set(&loads, Name::clone(&set))
                    }
                })
                .collect();
            continue;
        }
        let forms: Vec<AddressForm> = match around.address_sets.get(found.set) {
            Some(set) => AddressForm::of(set, family),
            None => Vec::new(),
        };
        let name = |form: &AddressForm| address_set_name(found.set, family, *form);
        rules = if found.negated {
            let mut rules: Vec<Rule> = rules;
            for form in &forms {
                rules = rules
                    .into_iter()
                    .map(|rule| rule.not_in_set(&[load], name(form)))
                    .collect();
            }
            if forms.is_empty() {
                // Nothing to compare with, but the rule still belongs to this family only.
                rules = rules
                    .into_iter()
                    .map(|rule| self::family(rule, Some(family)))
                    .collect();
            }
            rules
        } else {
            // In no set of this family: no way to match.
            rules
                .iter()
                .flat_map(|rule| {
                    forms
                        .iter()
                        .map(|form| rule.clone().in_set(&[load], name(form)))
                })
                .collect()
        };
    }
    rules
}

fn family(rule: Rule, family: Option<Family>) -> Rule {
    match family {
        None => rule,
        Some(Family::V4) => rule.ipv4(),
        Some(Family::V6) => rule.ipv6(),
    }
}

fn criteria(head: Rule, rule: &oncilla_program::Rule, around: Surroundings<'_>) -> Rule {
    let class = Load::MarkMasked(around.mask.bits());
    let mut out = head;
    match &rule.peer {
        Peer::Any => {}
        Peer::Classes(classes) => {
            let keys = classes
                .iter()
                .map(|id| Element::new(Value::word(around.mask.encode(id.0).0)));
            out = out.in_set(&[class], AnonymousSet::new(FieldType::Mark, keys));
        }
        Peer::Sets(sets) => {
            for found in sets {
                if let SetRef::Classes(set) = &found.set {
                    out = if found.negated && !fault::is("nft/negation-lost") {
                        out.not_in_set(&[class], &set.0)
                    } else {
                        out.in_set(&[class], &set.0)
                    };
                }
            }
        }
    }
    if let Some(protocol) = rule.protocol {
        out = out.l4proto(protocol.0);
    } else if has_ports(rule) {
        out = out.in_set(&[Load::L4Proto], with_ports());
    } else if rule.without_ports {
        out = out.not_in_set(&[Load::L4Proto], with_ports());
    }
    if let Some(protocol) = rule.not_protocol {
        out = out.l4proto_not(protocol.0);
    }
    out = ports(
        out,
        Load::SrcPort,
        rule.src_ports.as_ref(),
        rule.not_src_ports.as_ref(),
    );
    out = ports(
        out,
        Load::DstPort,
        rule.dst_ports.as_ref(),
        rule.not_dst_ports.as_ref(),
    );
    rule.named_ports
        .iter()
        .fold(out, |out, found| named_port(out, found, class))
}

/// The protocols that have ports.
fn with_ports() -> AnonymousSet {
    let ports = Protocol::WITH_PORTS.map(|protocol| Element::new(Value::byte(protocol.0)));
    AnonymousSet::new(FieldType::InetProto, ports)
}

/// Every way in which the criteria on ICMP messages can hold.
fn icmp(head: Rule, rule: &oncilla_program::Rule) -> Vec<Rule> {
    let (kind, code) = match rule.protocol {
        Some(Protocol::ICMPV6) => (Load::Icmpv6Type, Load::Icmpv6Code),
        _ => (Load::IcmpType, Load::IcmpCode),
    };
    let mut head = head;
    if let Some(wanted) = rule.icmp {
        head = head.eq(kind, Value::byte(wanted.kind));
        if let Some(wanted) = wanted.code.filter(|_| !fault::is("nft/icmp-code-ignored")) {
            head = head.eq(code, Value::byte(wanted));
        }
    }
    let Some(unwanted) = rule.not_icmp else {
        return vec![head];
    };
    let is_another = |wanted: IcmpMatch| {
        let codes = wanted.code.zip(unwanted.code);
        wanted.kind != unwanted.kind || codes.is_some_and(|(wanted, unwanted)| wanted != unwanted)
    };
    if rule.icmp.is_some_and(is_another) {
        return vec![head];
    }
    let other_type = head.clone().ne(kind, Value::byte(unwanted.kind));
    // Another type, or the same with another code: no packet is both.
    let other_code = unwanted.code.map(|unwanted_code| {
        head.eq(kind, Value::byte(unwanted.kind))
            .ne(code, Value::byte(unwanted_code))
    });
    [other_type].into_iter().chain(other_code).collect()
}

fn has_ports(rule: &oncilla_program::Rule) -> bool {
    let sets = [
        &rule.src_ports,
        &rule.not_src_ports,
        &rule.dst_ports,
        &rule.not_dst_ports,
    ];
    sets.into_iter().any(Option::is_some)
        || !rule.named_ports.is_empty()
        || !rule.local_ports.is_empty()
}

fn ports(rule: Rule, load: Load, within: Option<&PortSet>, without: Option<&PortSet>) -> Rule {
    let mut rule = rule;
    if let Some(set) = within {
        rule = match set.ranges() {
            [range] => rule.in_range(load, Value::port(range.first()), Value::port(range.last())),
            _ => rule.in_set(&[load], port_set(set)),
        };
    }
    if let Some(set) =
        without.filter(|set| !set.is_empty() && !fault::is("nft/excluded-ports-ignored"))
    {
        rule = match set.ranges() {
            [range] => {
                rule.not_in_range(load, Value::port(range.first()), Value::port(range.last()))
            }
            _ => rule.not_in_set(&[load], port_set(set)),
        };
    }
    rule
}

fn port_set(set: &PortSet) -> AnonymousSet {
    let ranges = set.ranges().iter();
    AnonymousSet::new(
        FieldType::InetService,
        ranges.map(|range| Element::range(Value::port(range.first()), Value::port(range.last()))),
    )
}

fn named_port(rule: Rule, found: &NamedPortMatch, class: Load) -> Rule {
    let port = match found.side {
        PortSide::Source => Load::SrcPort,
        PortSide::Destination => Load::DstPort,
    };
    let loads = [class, Load::L4Proto, port];
    if found.negated {
        rule.not_in_set(&loads, &found.set.0)
    } else {
        rule.in_set(&loads, &found.set.0)
    }
}

fn finish(rule: Rule, from: &oncilla_program::Rule, verdict: &Verdict, rate: LogRate) -> Rule {
    let rule = match from.verdict {
        RuleVerdict::Log => {
            let prefix = from.log_prefix.as_deref().unwrap_or_default();
            let logged = rule.limit(limit(rate)).log(Log::kernel().prefix(prefix));
            if fault::is("nft/log-ends") {
                logged.drop()
            } else {
                logged
            }
        }
        RuleVerdict::Allow | RuleVerdict::Deny | RuleVerdict::Pass => rule.verdict(verdict.clone()),
    };
    rule.comment(&from.comment)
}

/// The kernel counts in units of at least a second, and takes no rate of nothing.
fn limit(rate: LogRate) -> Limit {
    Limit {
        rate: rate.packets.max(1),
        unit: LimitUnit::of_seconds(rate.seconds.max(1)),
        burst: rate.burst.max(1),
        over: false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use oncilla_net::{Direction, MarkMask, Protocol};
    use oncilla_program::{LogRate, Peer, PeerMatch, RuleVerdict, SetName, SetRef};

    use super::*;
    use crate::object::Expr;

    fn lowered(rule: &oncilla_program::Rule) -> Vec<Rule> {
        let around = Surroundings {
            mask: MarkMask::default(),
            address_sets: &BTreeMap::new(),
            log_rate: LogRate {
                packets: 7,
                seconds: 60,
                burst: 5,
            },
        };
        lower(rule, Direction::Egress, &Verdict::Drop, around)
    }

    #[test]
    fn a_log_rule_is_limited_and_goes_on() {
        let mut rule = oncilla_program::Rule::new(RuleVerdict::Log, "a".into());
        rule.log_prefix = Some("calico-packet: ".into());
        let [lowered] = lowered(&rule).try_into().unwrap();
        let limit = Limit {
            rate: 7,
            unit: LimitUnit::Minute,
            burst: 5,
            over: false,
        };
        let log = Log::kernel().prefix("calico-packet: ");
        assert_eq!(lowered.exprs, [Expr::Limit(limit), Expr::Log(log)]);
    }

    #[test]
    fn a_service_is_asked_in_each_family_by_its_own_set() {
        let mut rule = oncilla_program::Rule::new(RuleVerdict::Allow, "a".into());
        rule.peer = Peer::Sets(vec![PeerMatch {
            set: SetRef::Service(SetName("s0".into())),
            negated: false,
        }]);
        let sets: Vec<String> = lowered(&rule)
            .iter()
            .flat_map(Rule::sets)
            .map(ToString::to_string)
            .collect();
        assert_eq!(sets, ["s0_4", "s0_6"]);
    }

    #[test]
    fn a_port_name_of_the_local_side_is_asked_with_its_address_and_port() {
        let mut rule = oncilla_program::Rule::new(RuleVerdict::Deny, "a".into());
        rule.protocol = Some(Protocol::TCP);
        rule.local_ports = vec![oncilla_program::LocalPortMatch {
            set: SetName("s0".into()),
            negated: true,
        }];
        let source = [(Load::Src4, "s0_4"), (Load::Src6, "s0_6")];
        let expected = source.map(|(addr, set)| {
            let loads = [addr, Load::L4Proto, Load::SrcPort];
            let rule = Rule::new().not_in_set(&loads, set).l4proto(6);
            rule.drop().comment("a")
        });
        assert_eq!(lowered(&rule), expected, "egress: the source");
    }

    #[test]
    fn another_code_than_the_excluded_one_is_a_rule_of_its_own() {
        let mut rule = oncilla_program::Rule::new(RuleVerdict::Allow, "a".into());
        rule.protocol = Some(Protocol::ICMP);
        rule.not_icmp = Some(IcmpMatch {
            kind: 8,
            code: Some(3),
        });
        let expected = [
            Rule::new().l4proto(1).ne(Load::IcmpType, Value::byte(8)),
            Rule::new()
                .l4proto(1)
                .eq(Load::IcmpType, Value::byte(8))
                .ne(Load::IcmpCode, Value::byte(3)),
        ];
        let expected = expected.map(|rule| rule.drop().comment("a"));
        assert_eq!(lowered(&rule), expected);
    }

    #[test]
    fn a_wanted_message_is_none_of_others_that_are_excluded() {
        let message = |kind, code| Some(IcmpMatch { kind, code });
        let mut rule = oncilla_program::Rule::new(RuleVerdict::Allow, "a".into());
        rule.protocol = Some(Protocol::ICMP);
        rule.icmp = message(8, None);
        rule.not_icmp = message(15, Some(3));
        let of_type = Rule::new().l4proto(1).eq(Load::IcmpType, Value::byte(8));
        assert_eq!(lowered(&rule), [of_type.clone().drop().comment("a")]);
        rule.icmp = message(8, Some(1));
        rule.not_icmp = message(8, Some(3));
        let of_code = of_type.eq(Load::IcmpCode, Value::byte(1));
        assert_eq!(lowered(&rule), [of_code.drop().comment("a")]);
    }
}
