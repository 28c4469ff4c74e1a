//! Tests of the judge: one sentence of the semantics each, manifests in, one line out.
//!
//! Objects are decoded without the API's defaulting and validation, so that the judge's own are tested.

use oncilla_api::{Kind, Object};
use oncilla_net::{Family, Icmp, Protocol, family_of};
use serde_json::Value;

use crate::{Answer, Chain, Cluster, Evaluator, Hop, Party, Question, QuestionError, Way};

mod closed;
mod cluster_policy;
mod hosts;
mod kubernetes;
mod listed;
mod order;
mod path;
mod profiles;
mod rules;
mod selection;
mod staged;
mod trace;

/// Two namespaces, three nodes, six pods, each with both families; outside addresses are 203.0.113.0/24.
const BASE: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: red, labels: {team: red, tier: gold}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: blue, labels: {team: blue}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: red}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: robot, namespace: red, labels: {trust: high}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: robot, namespace: blue, labels: {trust: low}}}
---
apiVersion: v1
kind: Node
metadata: {name: n1, annotations: {projectcalico.org/IPv4Address: 172.16.0.1/24}}
status: {addresses: [{type: InternalIP, address: 'fd00:172::1'}, {type: ExternalIP, address: 198.51.100.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
status: {addresses: [{type: Hostname, address: n2}, {type: InternalIP, address: 172.16.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: red, labels: {app: web, port: '80'}}
spec:
  nodeName: n1
  containers: [{name: c, ports: [{name: http, containerPort: 80}, {name: dns, containerPort: 53, protocol: UDP}]}]
status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: red, labels: {app: db}}
spec:
  nodeName: n1
  serviceAccountName: robot
  containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]
  initContainers: [{name: i, ports: [{name: admin, containerPort: 9000}]}]
status: {podIPs: [{ip: 10.0.0.2}, {ip: 'fd00::2'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: red}
spec: {nodeName: n2, containers: []}
status: {podIP: 10.0.0.3}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: blue, labels: {app: web}}
spec: {nodeName: n2, containers: []}
status: {podIPs: [{ip: 10.0.1.1}, {ip: 'fd00::1:1'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: blue, labels: {app: db}}
spec: {nodeName: n2, serviceAccountName: robot, containers: []}
status: {podIPs: [{ip: 10.0.1.2}, {ip: 'fd00::1:2'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: red, labels: {app: web}}
spec: {nodeName: n1, hostNetwork: true, containers: []}
status: {podIP: 172.16.0.1}
";

/// The base cluster and more manifests.
fn cluster(manifests: &str) -> Cluster {
    let mut cluster = Cluster::new();
    for text in [BASE, manifests] {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).expect("the fixture is YAML");
        for document in documents.into_iter().filter(|document| !document.is_null()) {
            let field = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
            let kind = Kind::of_manifest(&field("apiVersion"), &field("kind")).expect("a kind");
            let object = Object::decode(kind, document.clone())
                .unwrap_or_else(|errors| panic!("{document}: {errors:?}"));
            cluster.insert(object);
        }
    }
    cluster
}

/// `red/web -> blue/db tcp/80`, with `v6` behind it for IPv6 and `from 5` for the source port. Behind an ICMP
/// stands a type, or type and code as in `icmp/3:1`.
fn question(text: &str) -> Question {
    let words: Vec<&str> = text.split_whitespace().collect();
    let party = |text: &str| match (text.parse(), text.split_once('/'), text.split_once(':')) {
        (Ok(address), _, _) => Party::Address(address),
        (_, Some((namespace, name)), _) => Party::pod(namespace, name),
        (_, _, Some(("host", node))) => Party::Node(node.to_owned()),
        _ => panic!("no party: {text:?}"),
    };
    let (protocol, port) = words[3].rsplit_once('/').expect("protocol/port");
    let source = party(words[0]);
    let destination = party(words[2]);
    let family = match (&source, &destination) {
        (Party::Address(address), _) | (_, Party::Address(address)) => family_of(*address),
        _ if words.contains(&"v6") => Family::V6,
        _ => Family::V4,
    };
    let protocol = protocol
        .parse()
        .unwrap_or_else(|_| Protocol(protocol.parse().unwrap()));
    let (port, code) = port.split_once(':').unwrap_or((port, "0"));
    let from = words.iter().position(|word| *word == "from");
    Question {
        source,
        destination,
        family,
        protocol,
        source_port: from.map_or(40_000, |at| words[at + 1].parse().unwrap()),
        destination_port: port.parse().unwrap(),
        way: way(&words),
        icmp: Icmp::echo(protocol).map(|_| Icmp {
            kind: port.parse().unwrap(),
            code: code.parse().unwrap(),
        }),
    }
}

/// `out eth1`, `in eth1`, `through n2 eth0 eth1`, `original 192.0.2.1:80`, `first eth1`.
fn way(words: &[&str]) -> Way {
    let behind = |word: &str, at: usize| {
        let found = words.iter().position(|each| *each == word);
        found.map(|found| words[found + at])
    };
    Way {
        out_by: behind("out", 1).map(str::to_owned),
        in_by: behind("in", 1).map(str::to_owned),
        through: behind("through", 1)
            .map(|node| Hop {
                node: node.to_owned(),
                in_by: behind("through", 2).map(str::to_owned),
                out_by: behind("through", 3).map(str::to_owned),
            })
            .into_iter()
            .collect(),
        original: behind("original", 1).map(|text| text.parse().expect("an address and a port")),
        first_out_by: behind("first", 1).map(str::to_owned),
    }
}

fn ask(cluster: &Cluster, text: &str) -> Result<Answer, QuestionError> {
    let evaluator = Evaluator::new(cluster);
    evaluator.explain(&question(text))
}

/// `allow red/db ingress pro/kns.red profile`: verdict, where, which way, tier, policy, rule.
fn line(answer: &Answer) -> String {
    let decision = &answer.decided_by;
    let mut line = format!("{} {} {}", answer.verdict, decision.at, decision.direction);
    for part in [&decision.tier, &decision.policy].into_iter().flatten() {
        line = format!("{line} {part}");
    }
    line = format!("{line} {}", decision.rule);
    if decision.chain != Chain::Normal {
        line = format!("{line} {}", decision.chain);
    }
    for policy in &decision.isolated_by {
        line = format!("{line} <{policy}");
    }
    line
}

/// Every line of `expected` is a question, `=`, and the beginning of its answer.
fn check(manifests: &str, expected: &str) {
    let cluster = cluster(manifests);
    let mut asked = 0;
    for expectation in expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (text, wanted) = expectation.split_once('=').expect("question = answer");
        let told = match ask(&cluster, text.trim()) {
            Ok(answer) => line(&answer),
            Err(error) => error.to_string(),
        };
        let brief = Evaluator::new(&cluster).decide(&question(text));
        let brief = brief.map_or_else(|error| error.to_string(), |answer| line(&answer));
        assert_eq!(told, brief, "both traces come to the same decision");
        let wanted = wanted.trim();
        assert!(
            told == wanted || told.starts_with(&format!("{wanted} ")),
            "{}\n expected {wanted}\n got      {told}",
            text.trim()
        );
        asked += 1;
    }
    assert!(asked > 0, "nothing was asked");
}

/// A Calico policy in namespace `red`.
fn np(name: &str, spec: &str) -> String {
    format!(
        "\n---\n{{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {{name: {name}, namespace: red}}, spec: {spec}}}\n"
    )
}

/// A global Calico policy.
fn gnp(name: &str, spec: &str) -> String {
    format!(
        "\n---\n{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: {name}}}, spec: {spec}}}\n"
    )
}

/// A Kubernetes policy in namespace `red`.
fn knp(name: &str, spec: &str) -> String {
    format!(
        "\n---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: red}}, spec: {spec}}}\n"
    )
}

/// A policy of the whole cluster, of the tier `Admin` or `Baseline`.
fn kcnp(name: &str, tier: &str, spec: &str) -> String {
    format!(
        "\n---\n{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {{name: {name}}}, spec: {{tier: {tier}, {spec}}}}}\n"
    )
}

fn tier(name: &str, spec: &str) -> String {
    format!(
        "\n---\n{{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {{name: {name}}}, spec: {spec}}}\n"
    )
}

/// A global network set.
fn gns(name: &str, labels: &str, nets: &str) -> String {
    format!(
        "\n---\n{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {{name: {name}, labels: {labels}}}, spec: {{nets: {nets}}}}}\n"
    )
}

/// A network set of a namespace.
fn ns(name: &str, namespace: &str, labels: &str, nets: &str) -> String {
    format!(
        "\n---\n{{apiVersion: projectcalico.org/v3, kind: NetworkSet, metadata: {{name: {name}, namespace: {namespace}, labels: {labels}}}, spec: {{nets: {nets}}}}}\n"
    )
}
