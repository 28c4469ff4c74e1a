//! Groups: what judges one direction of an endpoint, in order, and the name made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_model::{
    Action, Labels, Order, Policy, PolicyKey, PolicyKind, Predicate, Profile, ProfileName, Rule,
    Side, Tier, TierEnd, TierName,
};
use oncilla_net::{Direction, fault};
use oncilla_program::{GroupId, Hook};
use sha2::{Digest as _, Sha256};

use crate::locals::Of;
use crate::node::{GroupDef, LocalPorts, TierDef};
use crate::usage::{port_names, sides};

/// What the profiles come to in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Allow,
    Deny,
    Rules,
}

/// The tiers of a direction: existing ones by order and name, then missing ones by name (§2.2).
pub(crate) fn tiers(
    tiers: &BTreeMap<TierName, Arc<Tier>>,
    direction: Direction,
    selected: &[&Arc<Policy>],
) -> Vec<TierDef> {
    let mut places: BTreeMap<(bool, Order, &TierName), Vec<&Arc<Policy>>> = BTreeMap::new();
    for policy in selected.iter().filter(|policy| governs(policy, direction)) {
        let tier = tiers.get(&policy.tier);
        let order = tier.map_or(Order::LAST, |tier| tier.order);
        places
            .entry((
                tier.is_none() != fault::is("resolve/missing-tier-first"),
                order,
                &policy.tier,
            ))
            .or_default()
            .push(policy);
    }
    let tier_def = |((_, _, name), mut policies): ((bool, Order, &TierName), Vec<&Arc<Policy>>)| {
        policies.sort_by_cached_key(|policy| (policy.order, tie_text(&policy.key)));
        if fault::is("resolve/policies-reversed") {
            policies.reverse();
        }
        TierDef {
            name: name.clone(),
            // A tier that does not exist denies at its end: closed.
            end: tiers.get(name).map_or(TierEnd::Deny, |tier| tier.end),
            policies: policies.into_iter().map(Arc::clone).collect(),
        }
    };
    let mut tiers: Vec<TierDef> = places.into_iter().map(tier_def).collect();
    if fault::is("resolve/tiers-reversed") {
        tiers.reverse();
    }
    tiers
}

/// Answers what a port's name leads to on some endpoints.
type PortsOf<'a> = &'a mut dyn FnMut(&Predicate) -> Vec<u16>;

/// The definition of a group; `None`: nothing to evaluate, everything passes.
pub(crate) fn define(
    (of, (hook, direction)): (Of, (Hook, Direction)),
    tiers: Vec<TierDef>,
    profiles: &[Option<&Arc<Profile>>],
    ports_of: PortsOf<'_>,
) -> Option<GroupDef> {
    let profiles = match ending(direction, profiles) {
        _ if hook != Hook::Normal && tiers.is_empty() => return None,
        _ if hook != Hook::Normal => Vec::new(),
        Ending::Allow if tiers.is_empty() => return None,
        Ending::Allow => vec![Some(allow_all("allow"))],
        Ending::Deny => Vec::new(),
        Ending::Rules => profiles
            .iter()
            .map(|each| each.map(|p| one_way(direction, p)))
            .collect(),
    };
    let mut group = GroupDef {
        id: GroupId("".into()),
        hook,
        direction,
        tiers,
        profiles,
        local_ports: LocalPorts::Exact(BTreeMap::new()),
    };
    let rules = crate::usage::rules_of(&group).flat_map(|rules| rules.iter());
    let names: BTreeSet<&Predicate> = rules
        .flat_map(|rule| port_names(sides(rule, direction).1))
        .collect();
    // What passes a host, or comes before its destination is known, is not the host endpoint's.
    let is_own = hook == Hook::Normal;
    let answers = names.into_iter().filter(|_| is_own);
    let answers = answers.map(|name| (name.clone(), ports_of(name)));
    let known = answers.filter(|(_, ports)| !ports.is_empty()).collect();
    group.local_ports = match of {
        Of::Workload => LocalPorts::Exact(known),
        Of::Host => LocalPorts::ByAddress(known),
    };
    group.id = name(&group);
    Some(group)
}

/// What judges an endpoint of which nobody knows the policies: it denies wherever one of them may have, early hooks
/// included, as what they would have denied may be something else behind a translation.
pub(crate) fn closed((of, (hook, direction)): (Of, (Hook, Direction))) -> GroupDef {
    let mut group = GroupDef {
        id: GroupId("".into()),
        hook,
        direction,
        tiers: Vec::new(),
        profiles: Vec::new(),
        local_ports: match of {
            Of::Workload => LocalPorts::Exact(BTreeMap::new()),
            Of::Host => LocalPorts::ByAddress(BTreeMap::new()),
        },
    };
    group.id = name(&group);
    group
}

/// The text that breaks ties of order: name, namespace, kind (§2.2).
fn tie_text(key: &PolicyKey) -> String {
    let kind = match key.kind {
        PolicyKind::GlobalNetworkPolicy => "GlobalNetworkPolicy",
        PolicyKind::KubernetesClusterNetworkPolicy => "KubernetesClusterNetworkPolicy",
        PolicyKind::KubernetesNetworkPolicy => "KubernetesNetworkPolicy",
        PolicyKind::NetworkPolicy => "NetworkPolicy",
    };
    let name: String = if fault::is("resolve/tie-by-reversed-name") {
        key.name.chars().rev().collect()
    } else {
        key.name.to_string()
    };
    format!(
        "{}/{}/{kind}",
        name,
        key.namespace.as_deref().unwrap_or_default()
    )
}

fn governs(policy: &Policy, direction: Direction) -> bool {
    match direction {
        Direction::Ingress => policy.ingress.is_some(),
        Direction::Egress => policy.egress.is_some(),
    }
}

/// What the profiles decide when they decide the same for every packet; the first decisive rule counts.
pub(crate) fn ending(direction: Direction, profiles: &[Option<&Arc<Profile>>]) -> Ending {
    for profile in profiles {
        let Some(profile) = profile else {
            return Ending::Deny;
        };
        let rules = match direction {
            Direction::Ingress => &profile.ingress,
            Direction::Egress => &profile.egress,
        };
        match rules.first() {
            None => {}
            Some(rule) if !is_unconditional(rule) || rule.action == Action::Log => {
                return Ending::Rules;
            }
            Some(rule) if rule.action == Action::Allow => return Ending::Allow,
            Some(_) => return Ending::Deny,
        }
    }
    Ending::Deny
}

fn is_unconditional(rule: &Rule) -> bool {
    rule.families == oncilla_model::Families::BOTH
        && rule.protocol == oncilla_model::ProtocolMatch::default()
        && rule.icmp.is_none()
        && rule.not_icmp.is_none()
        && rule.source == Side::default()
        && rule.destination == Side::default()
}

/// A profile that allows everything. One name stands for every list of profiles that does, so that pods of several
/// namespaces share.
pub(crate) fn allow_all(name: &str) -> Arc<Profile> {
    let rules: Arc<[Rule]> = [Rule {
        action: Action::Allow,
        families: oncilla_model::Families::BOTH,
        protocol: oncilla_model::ProtocolMatch::default(),
        icmp: None,
        not_icmp: None,
        source: Side::default(),
        destination: Side::default(),
        index: 0,
    }]
    .into();
    Arc::new(Profile {
        name: ProfileName(name.into()),
        labels: Labels::from([]),
        ingress: Arc::clone(&rules),
        egress: rules,
        is_obscure: false,
    })
}

/// A profile without what does not matter to a group: its labels and its other direction.
fn one_way(direction: Direction, profile: &Arc<Profile>) -> Arc<Profile> {
    let (ingress, egress) = match direction {
        Direction::Ingress => (Arc::clone(&profile.ingress), Arc::from([])),
        Direction::Egress => (Arc::from([]), Arc::clone(&profile.egress)),
    };
    Arc::new(Profile {
        name: profile.name.clone(),
        labels: Labels::from([]),
        ingress,
        egress,
        is_obscure: false,
    })
}

/// The hash of the key, 16 hexadecimal digits. Each part stands behind its length: no two keys run into one.
fn name(group: &GroupDef) -> GroupId {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    if group.hook != Hook::Normal {
        part(&group.hook.to_string());
    } else if matches!(group.local_ports, LocalPorts::ByAddress(_)) {
        part("host");
    }
    part(&group.direction.to_string());
    for tier in &group.tiers {
        part("tier");
        part(&tier.name.0);
        for policy in &tier.policies {
            part("policy");
            part(&policy.key.to_string());
        }
    }
    for profile in &group.profiles {
        part("profile");
        part(profile.as_ref().map_or("", |profile| &profile.name.0));
    }
    for (predicate, ports) in group.local_ports.known() {
        part("port");
        part(predicate.text());
        for port in ports {
            part(&port.to_string());
        }
    }
    let digest = hash.finalize();
    let nibbles = digest[..8].iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let digits: String = nibbles
        .filter_map(|n| char::from_digit(u32::from(n), 16))
        .collect();
    GroupId(digits.into())
}
