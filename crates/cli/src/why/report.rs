//! An answer as a value: what `-o json` prints (`docs/why.schema.json`) and what the text is made from.

use oncilla_api::v3::{Action, TierAction};
use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_net::{Direction, Verdict};
use oncilla_verdict::{
    Answer, Chain, DecidedRule, Decision, Hit, Leg, PolicyOutcome, PolicyTrace, ProfileOutcome,
    ProfileTrace, TierOutcome, TierTrace,
};
use serde::Serialize;
use serde_json::Value;

use super::rule;
use super::staged::StagedReport;
use super::traffic::Traffic;
use super::world::World;

/// The order of a tier that has none.
const TIER_ORDER_DEFAULT: f64 = 1_000_000.0;

/// Answers to one question: one, or one for each ready pod of a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// `deny` as soon as one answer is.
    pub(crate) verdict: &'static str,
    pub(crate) traffic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
    pub(crate) answers: Vec<Explained>,
    /// What was assumed.
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explained {
    pub(crate) verdict: &'static str,
    pub(crate) source: End,
    pub(crate) destination: End,
    pub(crate) traffic: String,
    pub(crate) decided_by: DecidedBy,
    /// The ends that judge, in path order. Empty when none does.
    pub(crate) legs: Vec<LegReport>,
    /// The answer if the staged policies were set, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) staged: Option<StagedReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct End {
    pub(crate) name: String,
    pub(crate) address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DecidedBy {
    pub(crate) at: String,
    pub(crate) direction: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    /// `forward`, `pre-dnat` or `untracked`, when it is not the usual chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chain: Option<String>,
    /// A number, `end-of-tier`, `profile`, `failsafe`, `neighbour`, `default`, `endpoint-to-host`, `encapsulated`,
    /// `unknown-interface`, `unreadable` or `no-policy`.
    pub(crate) rule: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    /// One sentence without its full stop.
    pub(crate) text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LegReport {
    /// `namespace/pod`, the name of a host endpoint, or of a node.
    pub(crate) endpoint: String,
    /// `namespace/pod` or `node:NAME`.
    pub(crate) at: String,
    pub(crate) direction: String,
    /// `normal`, `forward`, `pre-dnat` or `untracked`.
    pub(crate) chain: String,
    /// What settled it when no policy and no profile did: `failsafe`, `neighbour`, `default`, `endpoint-to-host`,
    /// `encapsulated`, `unknown-interface`, `unreadable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) settled_by: Option<String>,
    /// Whether that decided the packet.
    pub(crate) decides: bool,
    pub(crate) verdict: &'static str,
    pub(crate) reached: bool,
    pub(crate) tiers: Vec<TierReport>,
    pub(crate) profiles: Vec<ProfileReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TierReport {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<f64>,
    pub(crate) exists: bool,
    pub(crate) default_action: &'static str,
    /// `allow`, `deny`, `pass`, `end-pass`, `end-deny`, `not-reached` or `not-selected`.
    pub(crate) outcome: &'static str,
    pub(crate) policies: Vec<PolicyReport>,
    /// Whether the end of this tier decided the packet.
    pub(crate) decides: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyReport {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<f64>,
    /// `no-match`, `hit` or `not-reached`.
    pub(crate) outcome: &'static str,
    /// The rule that matched, or that would have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<RuleReport>,
    /// Log rules that matched before, by number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) logged: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    pub(crate) decides: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuleReport {
    pub(crate) number: usize,
    /// `ingress[0]`.
    pub(crate) field: String,
    pub(crate) action: &'static str,
    pub(crate) text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProfileReport {
    pub(crate) name: String,
    /// `allow`, `deny`, `no-match`, `missing` or `not-reached`.
    pub(crate) outcome: &'static str,
    pub(crate) decides: bool,
}

impl Report {
    /// A report of answers; there is at least one.
    pub(crate) fn new(answers: Vec<Explained>, traffic: Traffic, service: Option<String>) -> Self {
        let denied = answers
            .iter()
            .any(|answer| answer.verdict == word(Verdict::Deny));
        Self {
            verdict: word(if denied {
                Verdict::Deny
            } else {
                Verdict::Allow
            }),
            traffic: traffic.to_string(),
            service,
            answers,
            notes: Vec::new(),
        }
    }

    pub(crate) fn is_denied(&self) -> bool {
        self.verdict == word(Verdict::Deny)
    }
}

impl Explained {
    pub(crate) fn new(answer: &Answer, world: &World, traffic: Traffic) -> Self {
        let legs = answer.legs.iter().map(|leg| {
            let decides = leg.decided_by == answer.decided_by;
            Reader {
                world,
                leg,
                decides,
            }
            .leg()
        });
        Self {
            verdict: word(answer.verdict),
            source: end(&answer.source, answer.packet.src.to_string(), world),
            destination: end(&answer.destination, answer.packet.dst.to_string(), world),
            traffic: traffic.to_string(),
            decided_by: decided_by(&answer.decided_by, answer.verdict, world),
            legs: legs.collect(),
            staged: None,
        }
    }
}

pub(crate) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
    }
}

/// `node:NAME` is how people write what the judge calls `host:NAME`.
fn named(name: &str) -> String {
    match name.strip_prefix("host:") {
        Some(node) => format!("node:{node}"),
        None => name.to_owned(),
    }
}

fn end(name: &str, address: String, world: &World) -> End {
    let pod = name.split_once('/').and_then(|(namespace, pod)| {
        let key = ObjectKey::namespaced(Kind::Pod, namespace, pod);
        world.node_of(&key).map(str::to_owned)
    });
    End {
        name: named(name),
        address,
        node: pod,
    }
}

struct Reader<'a> {
    world: &'a World,
    leg: &'a Leg,
    /// Whether this leg settled the packet.
    decides: bool,
}

impl Reader<'_> {
    fn leg(&self) -> LegReport {
        let leg = self.leg;
        let settled = match leg.decided_by.rule {
            DecidedRule::Failsafe => Some("failsafe"),
            DecidedRule::Neighbour => Some("neighbour"),
            DecidedRule::Default => Some("default"),
            DecidedRule::EndpointToHost => Some("endpoint-to-host"),
            DecidedRule::Encapsulated => Some("encapsulated"),
            DecidedRule::UnknownInterface => Some("unknown-interface"),
            DecidedRule::Unreadable => Some("unreadable"),
            DecidedRule::Number(_)
            | DecidedRule::EndOfTier
            | DecidedRule::Profile
            | DecidedRule::NoPolicy => None,
        };
        LegReport {
            endpoint: leg.endpoint.path(),
            at: named(&leg.decided_by.at),
            direction: leg.direction.to_string(),
            chain: leg.chain.to_string(),
            decides: settled.is_some() && self.decides,
            settled_by: settled.map(str::to_owned),
            verdict: word(leg.verdict),
            reached: leg.reached,
            tiers: self.tiers(),
            profiles: leg
                .profiles
                .iter()
                .map(|profile| self.profile(profile))
                .collect(),
        }
    }

    /// The tiers that were asked, and between them those that have nothing to say here.
    fn tiers(&self) -> Vec<TierReport> {
        let mut tiers: Vec<TierReport> =
            self.leg.tiers.iter().map(|tier| self.tier(tier)).collect();
        if self.leg.endpoint.kind != Kind::Pod {
            return tiers;
        }
        let known = |name: &str| self.leg.tiers.iter().any(|tier| &*tier.name == name);
        let mut silent: Vec<(String, f64)> = Vec::new();
        if !known("default") {
            silent.push(("default".to_owned(), TIER_ORDER_DEFAULT));
        }
        for object in self.world.cluster.objects() {
            if let Object::Tier(tier) = object {
                let name = &tier.metadata.name;
                // The built-in Kubernetes tiers hold no kind that exists yet.
                let told =
                    known(name) || ["default", "kube-admin", "kube-baseline"].contains(&&**name);
                if !told {
                    let order = tier.spec.order.unwrap_or(TIER_ORDER_DEFAULT);
                    silent.push((name.clone(), order));
                }
            }
        }
        tiers.extend(silent.into_iter().map(|(name, order)| TierReport {
            name,
            order: Some(order),
            exists: true,
            default_action: "deny",
            outcome: "not-selected",
            policies: Vec::new(),
            decides: false,
        }));
        tiers.sort_by(|a, b| {
            let order = |tier: &TierReport| tier.order.unwrap_or(f64::INFINITY);
            order(a)
                .total_cmp(&order(b))
                .then_with(|| a.name.cmp(&b.name))
        });
        tiers
    }

    fn tier(&self, tier: &TierTrace) -> TierReport {
        let decision = &self.leg.decided_by;
        let ended = decision.rule == DecidedRule::EndOfTier;
        TierReport {
            name: tier.name.to_string(),
            order: tier.exists.then_some(tier.order),
            exists: tier.exists,
            default_action: match tier.default_action {
                TierAction::Pass => "pass",
                TierAction::Deny => "deny",
            },
            outcome: match tier.outcome {
                TierOutcome::Decided(verdict) => word(verdict),
                TierOutcome::Passed => "pass",
                TierOutcome::EndPass => "end-pass",
                TierOutcome::EndDeny => "end-deny",
                TierOutcome::NotReached => "not-reached",
            },
            policies: tier
                .policies
                .iter()
                .map(|policy| self.policy(policy))
                .collect(),
            decides: self.decides && ended && decision.tier.as_ref() == Some(&tier.name),
        }
    }

    fn policy(&self, policy: &PolicyTrace) -> PolicyReport {
        let (outcome, hit) = match policy.outcome {
            PolicyOutcome::NoMatch => ("no-match", None),
            PolicyOutcome::Hit(hit) => ("hit", Some(hit)),
            PolicyOutcome::NotReached { would } => ("not-reached", would),
        };
        let key = &policy.key;
        let rule = hit.map(|hit| rule_report(self.world, key, self.leg.direction, hit));
        let place = hit.map(|hit| (self.leg.direction, hit.rule));
        PolicyReport {
            id: policy.id.to_string(),
            kind: kind(key.kind),
            name: key.name.clone(),
            namespace: key.namespace.clone(),
            order: policy.order,
            outcome,
            rule,
            logged: policy.logged.clone(),
            problem: policy.problem.as_deref().map(str::to_owned),
            place: self.world.place(key, place),
            decides: self.decides && self.leg.decided_by.key.as_ref() == Some(key),
        }
    }

    fn profile(&self, profile: &ProfileTrace) -> ProfileReport {
        let decision = &self.leg.decided_by;
        let id = format!("pro/{}", profile.name);
        ProfileReport {
            name: profile.name.to_string(),
            outcome: match profile.outcome {
                ProfileOutcome::Allow => "allow",
                ProfileOutcome::NoMatch => "no-match",
                ProfileOutcome::Deny => "deny",
                ProfileOutcome::Missing => "missing",
                ProfileOutcome::NotReached => "not-reached",
            },
            decides: self.decides
                && decision.rule == DecidedRule::Profile
                && decision.policy.as_deref() == Some(&id),
        }
    }
}

/// A rule of a policy that matched, or would have.
pub(crate) fn rule_report(
    world: &World,
    policy: &ObjectKey,
    direction: Direction,
    hit: Hit,
) -> RuleReport {
    let object = world.cluster.object(policy);
    let text = object.and_then(|object| rule::words(object, direction, hit.rule));
    RuleReport {
        number: hit.rule,
        field: format!("{direction}[{}]", hit.rule),
        action: match hit.action {
            Action::Allow => "Allow",
            Action::Deny => "Deny",
            Action::Pass => "Pass",
            Action::Log => "Log",
        },
        text: text.unwrap_or_default(),
    }
}

/// Whose language a policy is written in.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::StagedNetworkPolicy => "Calico, staged",
        Kind::StagedGlobalNetworkPolicy => "Calico, global, staged",
        Kind::StagedKubernetesNetworkPolicy => "Kubernetes, staged",
        Kind::GlobalNetworkPolicy => "Calico, global",
        Kind::KubernetesNetworkPolicy => "Kubernetes",
        Kind::ClusterNetworkPolicy => "Kubernetes, of the cluster",
        _ => "Calico",
    }
}

pub(crate) fn decided_by(decision: &Decision, verdict: Verdict, world: &World) -> DecidedBy {
    let isolating = isolating(decision, world);
    let key = decision.key.as_ref().or(isolating.first());
    let rule = match decision.rule {
        DecidedRule::Number(number) => Some((decision.direction, number)),
        _ => None,
    };
    DecidedBy {
        at: named(&decision.at),
        direction: decision.direction.to_string(),
        chain: (decision.chain != Chain::Normal).then(|| decision.chain.to_string()),
        tier: decision.tier.as_deref().map(str::to_owned),
        policy: decision.policy.as_deref().map(str::to_owned),
        rule: match decision.rule {
            DecidedRule::Number(number) => number.into(),
            other => other.to_string().into(),
        },
        place: key.and_then(|key| world.place(key, rule)),
        text: sentence(decision, verdict, world),
    }
}

/// The policies that made a tier apply.
fn isolating(decision: &Decision, world: &World) -> Vec<ObjectKey> {
    let ids = decision.isolated_by.iter();
    ids.filter_map(|id| {
        let (short, path) = id.split_once('/')?;
        let (kind, namespace) = match short {
            "np" => (Kind::NetworkPolicy, true),
            "knp" => (Kind::KubernetesNetworkPolicy, true),
            "gnp" => (Kind::GlobalNetworkPolicy, false),
            "kcnp" => (Kind::ClusterNetworkPolicy, false),
            "snp" => (Kind::StagedNetworkPolicy, true),
            "sknp" => (Kind::StagedKubernetesNetworkPolicy, true),
            "sgnp" => (Kind::StagedGlobalNetworkPolicy, false),
            _ => return None,
        };
        let key = match path.split_once('/').filter(|_| namespace) {
            Some((namespace, name)) => ObjectKey::namespaced(kind, namespace, name),
            None => ObjectKey::cluster(kind, path),
        };
        world.cluster.object(&key).map(|_| key)
    })
    .collect()
}

/// `denied by NetworkPolicy production/deny (deny.yaml:4 selects …; end of tier default)`.
fn sentence(decision: &Decision, verdict: Verdict, world: &World) -> String {
    let done = match verdict {
        Verdict::Allow => "allowed",
        Verdict::Deny => "denied",
    };
    let direction = decision.direction;
    match (decision.rule, &decision.key) {
        (DecidedRule::Number(number), Some(key)) => {
            let field = format!("{direction}[{number}]");
            let place = world.place(key, Some((direction, number)));
            let object = world.cluster.object(key);
            let words = object.and_then(|object| rule::words(object, direction, number));
            let reason = [place, words]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(": ");
            format!("{done} by {field} of {key} ({reason})")
        }
        (DecidedRule::EndOfTier, _) => end_of_tier(decision, world),
        (DecidedRule::Profile, _) => match decision.policy.as_deref() {
            Some(profile) if verdict == Verdict::Allow => {
                let profile = profile.trim_start_matches("pro/");
                format!(
                    "{done} by profile {profile} (no policy decided at {})",
                    named(&decision.at)
                )
            }
            _ => format!(
                "{done}: no policy decided at {}, and no profile allows",
                decision.at
            ),
        },
        (rule, _) => match settled_by(rule, verdict) {
            Some(words) => format!("{done} at {}: {words}", named(&decision.at)),
            None => format!("{done}: no policy judges this traffic"),
        },
    }
}

/// Why something was settled without a rule.
pub(crate) fn settled_by(rule: DecidedRule, verdict: Verdict) -> Option<&'static str> {
    Some(match (rule, verdict) {
        (DecidedRule::Failsafe, _) => "the port is a failsafe, which no policy closes",
        (DecidedRule::Neighbour, _) => {
            "hosts always get and send neighbour discovery: they have no IPv6 without it"
        }
        (DecidedRule::Default, _) => "no policy and no profile of the host endpoint decided",
        (DecidedRule::EndpointToHost, Verdict::Allow) => {
            "the node lets its own pods reach it (defaultEndpointToHostAction)"
        }
        (DecidedRule::EndpointToHost, Verdict::Deny) => {
            "the node drops what its own pods send to it (defaultEndpointToHostAction)"
        }
        (DecidedRule::Encapsulated, _) => {
            "pods may not send VXLAN or IPIP (allowVXLANPacketsFromWorkloads, allowIPIPPacketsFromWorkloads)"
        }
        (DecidedRule::UnknownInterface, _) => {
            "the interface is called like a workload's (interfacePrefix), and no pod is known there"
        }
        (DecidedRule::Unreadable, _) => {
            "the endpoint, or what it inherits labels from, cannot be understood, so it denies; correct it, or delete it"
        }
        _ => return None,
    })
}

fn end_of_tier(decision: &Decision, world: &World) -> String {
    let tier = decision.tier.as_deref().unwrap_or_default();
    let keys = isolating(decision, world);
    let Some(first) = keys.first() else {
        return format!("denied at the end of tier {tier}");
    };
    let others = match keys.len() - 1 {
        0 => String::new(),
        1 => " and 1 other policy".to_owned(),
        more => format!(" and {more} other policies"),
    };
    let rules: usize = keys
        .iter()
        .filter_map(|key| world.cluster.object(key))
        .map(|object| rule::count(object, decision.direction))
        .sum();
    let direction = decision.direction;
    let because = match (rules, keys.len()) {
        (0, 1) => format!("has no {direction} rules"),
        (0, _) => format!("they have no {direction} rules"),
        (1, 1) => format!("its one {direction} rule does not match"),
        (_, 1) => format!("none of its {direction} rules matches"),
        _ => format!("none of their {direction} rules matches"),
    };
    let place = world.place(first, None);
    let (who, at) = (
        place.unwrap_or_else(|| "it".to_owned()),
        named(&decision.at),
    );
    let heading = match direction {
        Direction::Ingress => "Ingress",
        Direction::Egress => "Egress",
    };
    format!(
        "denied by {first}{others} ({who} selects {at} for {heading} and {because}; end of tier {tier})"
    )
}
