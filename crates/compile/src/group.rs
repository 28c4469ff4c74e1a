//! One group definition to one program group: tiers with banks, then the profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_model::{
    Action, PolicyKind, Predicate, Profile, Rule as ModelRule, Side, TierEnd as ModelTierEnd,
};
use oncilla_net::{Direction, fault};
use oncilla_program::{
    Bank, Group, Hook, Peer, ProfileEnd, Rule, RuleVerdict, SetName, SetRef, Tier, TierEnd,
};
use oncilla_resolve::node::{GroupDef, TierDef};

use crate::bank::{Lowered, build};
use crate::lower::{Lookup, Lowering, Origin};

/// A group and the sets that its rules mention, with their predicates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Compiled {
    pub(crate) group: Arc<Group>,
    pub(crate) sets: BTreeMap<SetName, Predicate>,
}

/// Compiles a group. `answers` make the rules, `deciding` their form; `log_prefix` has words to fill in.
pub(crate) fn compile<'a>(
    def: &'a GroupDef,
    answers: Lookup<'a>,
    deciding: Lookup<'a>,
    log_prefix: &'a str,
) -> Compiled {
    let mut compiled = compile_with(def, answers, deciding, (build, log_prefix));
    let used = sets_of(&compiled.group);
    compiled.sets.retain(|name, _| used.contains(name));
    compiled
}

/// How the rules of a tier become banks.
pub(crate) type Build = fn(Vec<Lowered>) -> Vec<Bank>;

/// [`compile`] with another way to make banks, and all sets that the rules mention.
pub(crate) fn compile_with<'a>(
    def: &'a GroupDef,
    answers: Lookup<'a>,
    deciding: Lookup<'a>,
    (build, log_prefix): (Build, &'a str),
) -> Compiled {
    let mut lowering = Lowering {
        direction: def.direction,
        local_ports: &def.local_ports,
        answers,
        deciding,
        log_prefix,
        sets: BTreeMap::new(),
    };
    let tiers = def
        .tiers
        .iter()
        .map(|tier| compile_tier(tier, &mut lowering, build))
        .collect();
    let profiles = match def.hook {
        Hook::Normal => compile_profiles(&def.profiles, &mut lowering, build),
        // Without a tier nobody knows what is to be let through.
        _ if def.tiers.is_empty() => ProfileEnd::Deny,
        Hook::Forward | Hook::PreDnat | Hook::Untracked => ProfileEnd::Continue,
    };
    let group = Group {
        id: def.id.clone(),
        hook: def.hook,
        direction: def.direction,
        tiers,
        profiles,
    };
    Compiled {
        group: Arc::new(group),
        sets: lowering.sets,
    }
}

/// Every predicate that a group asks of its peers, repeated as often as it is asked.
pub(crate) fn peer_predicates(def: &GroupDef) -> impl Iterator<Item = &Predicate> {
    let tiers = def.tiers.iter().flat_map(|tier| &tier.policies);
    let policies = tiers.filter_map(|policy| match def.direction {
        Direction::Ingress => policy.ingress.as_deref(),
        Direction::Egress => policy.egress.as_deref(),
    });
    let profiles = def
        .profiles
        .iter()
        .flatten()
        .map(|profile| profile_rules(profile, def.direction));
    policies.chain(profiles).flatten().flat_map(|rule| {
        let side: &Side = match def.direction {
            Direction::Ingress => &rule.source,
            Direction::Egress => &rule.destination,
        };
        let ports = side.ports.iter().chain(&side.not_ports);
        side.all
            .iter()
            .chain(&side.none)
            .chain(ports.flat_map(|ports| &ports.names))
    })
}

fn compile_tier(def: &TierDef, lowering: &mut Lowering<'_>, build: Build) -> Tier {
    let mut rules = Vec::new();
    for policy in &def.policies {
        let governed = match lowering.direction {
            Direction::Ingress => policy.ingress.as_deref(),
            Direction::Egress => policy.egress.as_deref(),
        };
        let written = Written {
            origin: format!("{}/{}", def.name, policy.key),
            tier: &def.name.0,
            kind: kind(policy.key.kind),
            namespace: policy.key.namespace.as_deref(),
            name: &policy.key.name,
        };
        for rule in governed.into_iter().flatten() {
            rules.extend(lower(lowering, rule, verdict(rule.action), &written));
        }
    }
    let policies: Vec<String> = def
        .policies
        .iter()
        .map(|policy| policy.key.to_string())
        .collect();
    Tier {
        name: Arc::clone(&def.name.0),
        comment: policies.join(", ").into(),
        banks: build(rules),
        end: match def.end {
            ModelTierEnd::Deny if fault::is("compile/end-of-tier-dropped") => TierEnd::Pass,
            ModelTierEnd::Deny => TierEnd::Deny,
            ModelTierEnd::Pass => TierEnd::Pass,
        },
    }
}

fn compile_profiles(
    profiles: &[Option<Arc<Profile>>],
    lowering: &mut Lowering<'_>,
    build: Build,
) -> ProfileEnd {
    let mut rules: Vec<Lowered> = Vec::new();
    for profile in profiles {
        // A profile that does not exist denies, whatever later profiles say.
        let Some(profile) = profile else { break };
        let written = Written {
            origin: format!("profile {}", profile.name),
            tier: "profile",
            kind: "Profile",
            namespace: None,
            name: &profile.name.0,
        };
        for rule in profile_rules(profile, lowering.direction) {
            // There is no tier to pass to.
            let verdict = match verdict(rule.action) {
                RuleVerdict::Pass => RuleVerdict::Deny,
                verdict => verdict,
            };
            rules.extend(lower(lowering, rule, verdict, &written));
        }
    }
    let is_idle = |rule: &Rule| !matches!(rule.verdict, RuleVerdict::Allow | RuleVerdict::Log);
    if rules.iter().all(|lowered| is_idle(&lowered.rule)) {
        return ProfileEnd::Deny;
    }
    match rules.first() {
        Some(Lowered { rule, .. })
            if *rule == Rule::new(RuleVerdict::Allow, Arc::clone(&rule.comment)) =>
        {
            ProfileEnd::Allow
        }
        _ => ProfileEnd::Banks(build(rules)),
    }
}

fn profile_rules(profile: &Profile, direction: Direction) -> &[ModelRule] {
    match direction {
        Direction::Ingress => &profile.ingress,
        Direction::Egress => &profile.egress,
    }
}

/// Where a rule was written.
struct Written<'a> {
    /// For people.
    origin: String,
    tier: &'a str,
    kind: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
}

impl Written<'_> {
    /// The text before the lines that a rule logs. Unknown words stay as they are.
    fn fill(&self, prefix: &str) -> Arc<str> {
        let path = match self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.to_owned(),
        };
        let words = [
            ("%t", self.tier),
            ("%k", self.kind),
            ("%n", self.name),
            ("%p", &path),
        ];
        let mut filled = String::new();
        let mut rest = prefix;
        // One pass, so that a name with such a word in it is left alone.
        while let Some((before, from)) = rest.split_once('%') {
            filled.push_str(before);
            let at = format!(
                "%{}",
                from.chars().next().map(String::from).unwrap_or_default()
            );
            let value = words.iter().find(|(word, _)| *word == at);
            filled.push_str(value.map_or("%", |(_, value)| value));
            rest = match value {
                Some(_) => from.get(1..).unwrap_or_default(),
                None => from,
            };
        }
        filled.push_str(rest);
        format!("{filled}: ").into()
    }
}

const fn kind(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::GlobalNetworkPolicy => "GlobalNetworkPolicy",
        PolicyKind::NetworkPolicy => "NetworkPolicy",
        PolicyKind::KubernetesNetworkPolicy => "KubernetesNetworkPolicy",
        PolicyKind::KubernetesClusterNetworkPolicy => "KubernetesClusterNetworkPolicy",
    }
}

fn lower(
    lowering: &mut Lowering<'_>,
    rule: &ModelRule,
    verdict: RuleVerdict,
    written: &Written<'_>,
) -> Vec<Lowered> {
    let origin = &written.origin;
    let comment = format!("{origin} {}[{}]", lowering.direction, rule.index).into();
    let logs = verdict == RuleVerdict::Log;
    let log_prefix = logs.then(|| written.fill(lowering.log_prefix));
    lowering.lower(
        rule,
        &Origin {
            verdict,
            log_prefix,
            comment,
        },
    )
}

fn verdict(action: Action) -> RuleVerdict {
    match action {
        Action::Pass if fault::is("compile/pass-is-allow") => RuleVerdict::Allow,
        Action::Log if fault::is("compile/log-is-allow") => RuleVerdict::Allow,
        Action::Allow => RuleVerdict::Allow,
        Action::Deny => RuleVerdict::Deny,
        Action::Pass => RuleVerdict::Pass,
        Action::Log => RuleVerdict::Log,
    }
}

/// The sets that linear rules of a group refer to.
fn sets_of(group: &Group) -> BTreeSet<&SetName> {
    let profiles: &[Bank] = match &group.profiles {
        ProfileEnd::Banks(banks) => banks,
        ProfileEnd::Allow | ProfileEnd::Deny | ProfileEnd::Continue => &[],
    };
    let mut sets = BTreeSet::new();
    for rule in group
        .tiers
        .iter()
        .flat_map(|tier| &tier.banks)
        .chain(profiles)
        .flat_map(|bank| &bank.tail)
    {
        sets.extend(rule.local.iter().map(|criterion| &criterion.set));
        sets.extend(rule.named_ports.iter().map(|criterion| &criterion.set));
        sets.extend(rule.local_ports.iter().map(|criterion| &criterion.set));
        if let Peer::Sets(peer) = &rule.peer {
            sets.extend(peer.iter().map(|criterion| match &criterion.set {
                SetRef::Classes(name) | SetRef::Addresses(name) | SetRef::Service(name) => name,
            }));
        }
    }
    sets
}
