//! `oncilla describe`: an object in words, which policies judge a pod, which pods a policy selects, and what
//! agents say about it.

mod words;

use oncilla_agent::{AGENT_ANNOTATION, AgentStatus};
use oncilla_api::{Kind, Object, ObjectKey, v1};
use oncilla_net::{Direction, Family, Protocol};
use oncilla_store::StoredObject;
use oncilla_store::rest::{Client, Collection, RestError};
use oncilla_verdict::{Answer, Cluster, Evaluator, Leg, Party, Question, Staged, StagedTrace};

use crate::apply::LAST_APPLIED;
use crate::args::{Global, Select};
use crate::connect;
use crate::exit::Exit;
use crate::get;
use crate::origin::{Origin, SOURCE};
use crate::print;
use crate::target::{DEFAULT_NAMESPACE, Target};

/// Somebody outside the cluster, by whom a pod's policies are found: addresses for documentation only.
const OUTSIDE: [(Family, [u16; 8]); 2] = [
    (Family::V4, [0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201]),
    (Family::V6, [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
];
/// Pods named in a policy's description; the rest is counted.
const PODS_SHOWN_MAX: usize = 50;

/// Runs `describe`.
pub(crate) fn run(global: &Global, select: &Select) -> Exit {
    let target = match Target::parse(select) {
        Ok(target) => target,
        Err(error) => {
            print::error(&format!("{error:#}"), None);
            return Exit::CannotJudge;
        }
    };
    connect::with_client(global, async |client| {
        match answer(global, select, client, &target).await {
            Ok(exit) => exit,
            Err(error) => connect::failed(error),
        }
    })
}

async fn answer(
    global: &Global,
    select: &Select,
    client: &Client,
    target: &Target,
) -> Result<Exit, RestError> {
    let namespace = select.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    let namespace = (!select.all_namespaces).then_some(namespace);
    let found = get::find(client, target, namespace).await?;
    if found.objects.is_empty() {
        if !found.has_missing && !global.quiet {
            get::say_empty(target, namespace);
        }
        return Ok(if found.has_missing {
            Exit::No
        } else {
            Exit::Done
        });
    }
    let world = World::read(client).await?;
    let texts: Vec<String> = found
        .objects
        .iter()
        .map(|object| world.describe(object))
        .collect();
    let printed = print::answer(&texts.join("\n\n"));
    Ok(if found.has_missing && printed == Exit::Done {
        Exit::No
    } else {
        printed
    })
}

/// Everything that descriptions refer to.
struct World {
    evaluator: Evaluator,
    staged: Staged,
    agents: Vec<(String, AgentStatus)>,
}

impl World {
    async fn read(client: &Client) -> Result<Self, RestError> {
        let (mut cluster, mut agents) = (Cluster::new(), Vec::new());
        for kind in Kind::ALL {
            let objects = client.list(&Collection::of(kind)).await?.objects;
            for object in objects.iter().filter_map(get::read) {
                if let Object::Node(node) = &object {
                    agents.extend(
                        agent_status(node).map(|status| (node.metadata.name.clone(), status)),
                    );
                }
                cluster.insert(object);
            }
        }
        Ok(Self {
            evaluator: Evaluator::new(&cluster),
            staged: Staged::new(&cluster),
            agents,
        })
    }

    fn describe(&self, stored: &StoredObject) -> String {
        let key = &stored.key;
        let Some(object) = get::read(stored) else {
            let json = print::json(&stored.value).unwrap_or_default();
            return format!(
                "{key}\n  this version of oncilla cannot read it; it denies what it may select\n{json}"
            );
        };
        let mut text = String::new();
        head(&mut text, &object);
        words::specification(&mut text, &object);
        match &object {
            Object::Pod(_) => self.judges(&mut text, key),
            Object::NetworkPolicy(_)
            | Object::GlobalNetworkPolicy(_)
            | Object::KubernetesNetworkPolicy(_)
            | Object::ClusterNetworkPolicy(_) => self.selected(&mut text, key),
            Object::StagedNetworkPolicy(_)
            | Object::StagedGlobalNetworkPolicy(_)
            | Object::StagedKubernetesNetworkPolicy(_) => self.selected(&mut text, key),
            Object::Node(node) => self.node_agent(&mut text, &node.metadata.name),
            _ => {}
        }
        self.problems(&mut text, key);
        text.truncate(text.trim_end().len());
        text
    }

    /// The policies that judge a pod, in the order in which they are asked.
    fn judges(&self, text: &mut String, key: &ObjectKey) {
        for (title, direction) in [
            ("Policies for Ingress", Direction::Ingress),
            ("Policies for Egress", Direction::Egress),
        ] {
            line(text, title, "");
            match self.leg(key, direction) {
                None => words::item(text, "none is in force: the pod has no address of its own"),
                Some(leg) if leg.tiers.is_empty() => {
                    words::item(text, "none selects it: its profiles decide");
                }
                Some(leg) => leg.tiers.iter().for_each(|tier| tier_lines(text, tier)),
            }
        }
    }

    /// What judges a pod in one direction.
    fn leg(&self, key: &ObjectKey, direction: Direction) -> Option<Leg> {
        let (_, answer) = self.answer(key, direction)?;
        let mut legs = answer.legs.into_iter();
        legs.find(|leg| leg.endpoint == *key && leg.direction == direction)
    }

    /// A question between a pod and somebody outside, and its answer.
    fn answer(&self, key: &ObjectKey, direction: Direction) -> Option<(Question, Answer)> {
        let pod = Party::pod(key.namespace.clone()?, key.name.clone());
        OUTSIDE.iter().find_map(|(family, address)| {
            let address = std::net::Ipv6Addr::from(*address);
            let outside = Party::Address(std::net::IpAddr::V6(address).to_canonical());
            let (source, destination) = match direction {
                Direction::Ingress => (outside, pod.clone()),
                Direction::Egress => (pod.clone(), outside),
            };
            let question = Question {
                way: oncilla_verdict::Way::default(),
                source,
                destination,
                family: *family,
                protocol: Protocol::TCP,
                source_port: 0,
                destination_port: 0,
                icmp: None,
            };
            let answer = self.evaluator.explain(&question).ok()?;
            let leg = |leg: &&Leg| leg.endpoint == *key && leg.direction == direction;
            answer.legs.iter().find(leg)?;
            Some((question, answer))
        })
    }

    /// Whether a policy, staged or not, selects a pod for a direction.
    fn selects(&self, policy: &ObjectKey, pod: &ObjectKey, direction: Direction) -> bool {
        let Some((question, answer)) = self.answer(pod, direction) else {
            return false;
        };
        if policy.kind.promoted().is_some() {
            let staged = self.staged.explain(&question, &answer);
            return staged.is_ok_and(|staged| {
                let is_it = |trace: &StagedTrace| {
                    trace.key == *policy && trace.endpoint == *pod && trace.direction == direction
                };
                staged.traces.iter().any(is_it)
            });
        }
        let leg = self.leg(pod, direction);
        let tiers = leg.iter().flat_map(|leg| &leg.tiers);
        let mut traces = tiers.flat_map(|tier| &tier.policies);
        traces.any(|trace| trace.key == *policy)
    }

    /// The pods that a policy judges, and in which directions.
    fn selected(&self, text: &mut String, policy: &ObjectKey) {
        let mut pods = Vec::new();
        for (pod, addresses) in self.evaluator.endpoints() {
            let directions: Vec<&str> = [Direction::Ingress, Direction::Egress]
                .into_iter()
                .filter(|direction| self.selects(policy, pod, *direction))
                .map(|direction| match direction {
                    Direction::Ingress => "Ingress",
                    Direction::Egress => "Egress",
                })
                .collect();
            if !directions.is_empty() {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                let (path, addresses) = (pod.path(), addresses.join(", "));
                pods.push(format!(
                    "{path} ({addresses}) for {}",
                    directions.join(" and ")
                ));
            }
        }
        line(
            text,
            "Selects",
            &match pods.len() {
                0 => "no pod".to_owned(),
                1 => "1 pod".to_owned(),
                count => format!("{count} pods"),
            },
        );
        for pod in pods.iter().take(PODS_SHOWN_MAX) {
            words::item(text, pod);
        }
        if let Some(more) = pods
            .len()
            .checked_sub(PODS_SHOWN_MAX)
            .filter(|more| *more > 0)
        {
            words::item(text, &format!("and {more} more"));
        }
    }

    fn node_agent(&self, text: &mut String, node: &str) {
        let own = self.agents.iter().find(|(name, _)| name == node);
        match own {
            None => line(
                text,
                "Agent",
                "has not reported; nothing is known to be enforced here",
            ),
            Some((_, status)) => {
                let revision = status
                    .revision
                    .map_or("none".to_owned(), |number| number.to_string());
                let state = format!("{:?}", status.state).to_lowercase();
                line(
                    text,
                    "Agent",
                    &format!(
                        "{state}, revision {revision}, {} pods, {} policies; see `oncilla status`",
                        status.pods, status.policies
                    ),
                );
            }
        }
    }

    /// What agents could not enforce as written.
    fn problems(&self, text: &mut String, key: &ObjectKey) {
        let label = key.to_string();
        let mut found = Vec::new();
        for (node, status) in &self.agents {
            let own = status
                .problems
                .iter()
                .filter(|problem| problem.object == label);
            found.extend(own.map(|problem| format!("node {node}: {}", problem.message)));
        }
        if !found.is_empty() {
            line(text, "Problems", &found.len().to_string());
            for problem in found {
                words::item(text, &problem);
            }
        }
    }
}

fn tier_lines(text: &mut String, tier: &oncilla_verdict::TierTrace) {
    let missing = if tier.exists {
        ""
    } else {
        ", which does not exist: after all others"
    };
    words::item(text, &format!("tier {}{missing}", tier.name));
    for policy in &tier.policies {
        let order = policy
            .order
            .map_or("last".to_owned(), |order| format!("order {order}"));
        let problem = policy
            .problem
            .as_ref()
            .map_or(String::new(), |why| format!(": denies, because {why}"));
        let resource = print::resource(policy.key.kind);
        words::item(
            text,
            &format!("  {resource} {} ({order}){problem}", policy.key.path()),
        );
    }
}

fn agent_status(node: &v1::Node) -> Option<AgentStatus> {
    serde_json::from_str(node.metadata.annotations.get(AGENT_ANNOTATION)?).ok()
}

/// Name, kind, labels, age.
fn head(text: &mut String, object: &Object) {
    let metadata = object.metadata();
    line(text, "Name", &metadata.name);
    if let Some(namespace) = &metadata.namespace {
        line(text, "Namespace", namespace);
    }
    line(
        text,
        "Kind",
        &format!("{} ({})", object.kind(), object.kind().api_version()),
    );
    line(text, "Labels", &get::pairs(&metadata.labels));
    let origin = Origin::read(object);
    let mut own = vec![LAST_APPLIED, AGENT_ANNOTATION];
    own.extend(origin.as_ref().map(|_| SOURCE));
    let annotations = metadata
        .annotations
        .iter()
        .filter(|(key, _)| !own.contains(&key.as_str()));
    let annotations = annotations
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    line(text, "Annotations", &get::pairs(&annotations));
    if let Some(origin) = origin {
        line(text, "Applied from", &origin.place(object, None));
    }
    line(
        text,
        "Age",
        &get::age(metadata.creation_timestamp.as_deref(), get::now()),
    );
}

/// `Name:         value`.
fn line(text: &mut String, name: &str, value: &str) {
    let name = format!("{name}:");
    let whole = format!("{name:<14} {value}");
    text.push_str(whole.trim_end());
    text.push('\n');
}
