//! The datasets: the shapes of Calico's own benches, as objects of its API and of Kubernetes'.
//!
//! | name | shape |
//! |---|---|
//! | `snapshot-N` | N remote and 200 local pods in 100 namespaces; 10,000 policies, each for one of 29 marker labels, with five rules that allow from markers |
//! | `isolated-N` | N namespaces of one pod with 15 labels, 100 of them local; a policy each: itself, and one address for DNS |
//! | `netset-N` | 10,000 remote and 200 local pods; N network sets of 1 to 1,000 addresses; a policy for all pods each, that allows from its set |

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, bail};
use oncilla_api::{Kind, Object};
use serde_json::{Map, Value, json};

/// The node under measurement, and where all others are.
pub(crate) const NODE: &str = "localhost";
const ELSEWHERE: &str = "remotehost";

const NAMESPACES: usize = 100;
const LOCALS: usize = 200;
const POLICIES: usize = 10_000;
const RULES_PER_POLICY: usize = 5;
const ISOLATED_LOCALS: usize = 100;
const NETSET_PODS: usize = 10_000;
/// The sizes of network sets, in turn.
const SET_SIZES: [u32; 10] = [1, 1, 1, 1, 2, 3, 4, 5, 100, 1000];
/// 10.0.0.1, the first address of pods and, as in the competitor's bench, of network sets.
const FIRST: u32 = 0x0a00_0001;
/// Of the policy of `isolated`.
pub(crate) const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// The labels that pods and policies of `snapshot` are marked with; two stand twice.
const MARKERS: [&str; 31] = [
    "FOO_BAR",
    "FOO_BAR",
    "BIFF_BOP",
    "calico/FizzBuzz",
    "calico/BoffBip",
    "calico/Bazzle",
    "calico/Razzle",
    "calico/DoopDeeDoo",
    "calico/SOME_LABEL",
    "calico/BORED_NOW",
    "MyMarkerLabel",
    "xFOO_BAR",
    "xBIFF_BOP",
    "xcalico/FizzBuzz",
    "xcalico/BoffBip",
    "xcalico/Bazzle",
    "xcalico/Razzle",
    "xcalico/DoopDeeDoo",
    "xcalico/SOME_LABEL",
    "xcalico/BORED_NOW",
    "yxMyMarkerLabel",
    "yxFOO_BAR",
    "yxBIFF_BOP",
    "yxcalico/FizzBuzz",
    "yxcalico/BoffBip",
    "yxcalico/Bazzle",
    "yxcalico/Razzle",
    "yxcalico/DoopDeeDoo",
    "yxcalico/SOME_LABEL",
    "yxcalico/BORED_NOW",
    "yxMyMarkerLabel",
];

/// One dataset of a size.
#[derive(Clone, Copy)]
pub(crate) enum Dataset {
    Snapshot { remotes: usize },
    Isolated { customers: usize },
    Netset { sets: usize },
}

impl Dataset {
    /// By its name: `snapshot-250k`.
    pub(crate) fn named(name: &str) -> anyhow::Result<Self> {
        let (shape, size) = name.split_once('-').context("expected SHAPE-SIZE")?;
        let (digits, thousand) = match size.strip_suffix('k') {
            Some(digits) => (digits, 1_000),
            None => (size, 1),
        };
        let number = digits.parse::<usize>()? * thousand;
        Ok(match shape {
            "snapshot" => Self::Snapshot { remotes: number },
            "isolated" => Self::Isolated { customers: number },
            "netset" => Self::Netset { sets: number },
            _ => bail!("{shape}: expected snapshot, isolated or netset"),
        })
    }

    /// Its objects in the order in which the competitor's bench tells them, decoded, with their defaults.
    pub(crate) fn objects(self) -> anyhow::Result<Vec<Object>> {
        let mut all = vec![object(
            Kind::Tier,
            json!({"metadata": {"name": "default"},
                   "spec": {"order": 1_000_000, "defaultAction": "Deny"}}),
        )?];
        match self {
            Self::Snapshot { remotes } => snapshot(remotes, &mut all)?,
            Self::Isolated { customers } => isolated(customers, &mut all)?,
            Self::Netset { sets } => netset(sets, &mut all)?,
        }
        Ok(all)
    }

    /// How many pods are on the node.
    pub(crate) const fn locals(self) -> usize {
        match self {
            Self::Snapshot { .. } | Self::Netset { .. } => LOCALS,
            Self::Isolated { .. } => ISOLATED_LOCALS,
        }
    }

    /// Addresses outside the cluster that packets should come from or go to: one that policy knows, one it does not.
    pub(crate) fn outside(self) -> [IpAddr; 2] {
        let known = match self {
            Self::Snapshot { .. } => Ipv4Addr::new(192, 0, 2, 1),
            Self::Isolated { .. } => DNS,
            // In the second hundred of sets, behind all pods.
            Self::Netset { .. } => Ipv4Addr::from(FIRST + 20_000),
        };
        [known.into(), Ipv4Addr::new(198, 51, 100, 7).into()]
    }
}

fn snapshot(remotes: usize, all: &mut Vec<Object>) -> anyhow::Result<()> {
    for number in 0..POLICIES {
        let marker = |offset: usize| format!("has({})", MARKERS[(number + offset) % MARKERS.len()]);
        let rule = |offset| json!({"action": "Allow", "source": {"selector": marker(offset)}});
        let rules: Vec<Value> = (0..RULES_PER_POLICY).map(rule).collect();
        all.push(global_policy(
            &format!("tag-pol-{number}"),
            &marker(0),
            &rules,
        )?);
    }
    pods(remotes, all)
}

fn netset(sets: usize, all: &mut Vec<Object>) -> anyhow::Result<()> {
    let mut next = FIRST;
    for number in 0..sets {
        let name = format!("network-set-{number}");
        let size = SET_SIZES[number % SET_SIZES.len()];
        let nets: Vec<String> = (next..next + size).map(address).collect();
        next += size;
        let metadata = json!({"name": name, "labels": {"network-set-name": name}});
        let set = json!({"metadata": metadata, "spec": {"nets": nets}});
        all.push(object(Kind::GlobalNetworkSet, set)?);
        let selector = format!("network-set-name == '{name}'");
        let rule = json!({"action": "Allow", "source": {"selector": selector}});
        all.push(global_policy(
            &format!("network-set-pol-{number}"),
            "all()",
            &[rule],
        )?);
    }
    pods(NETSET_PODS, all)
}

fn global_policy(name: &str, selector: &str, rules: &[Value]) -> anyhow::Result<Object> {
    object(
        Kind::GlobalNetworkPolicy,
        json!({"metadata": {"name": format!("default.{name}")},
               "spec": {"tier": "default", "selector": selector, "types": ["Ingress"], "ingress": rules}}),
    )
}

/// The namespaces, remote pods and then local ones of `snapshot` and `netset`.
fn pods(remotes: usize, all: &mut Vec<Object>) -> anyhow::Result<()> {
    for number in 0..NAMESPACES {
        all.push(namespace(&format!("namespace-{number}"), &Map::new())?);
    }
    for number in 0..remotes + LOCALS {
        let node = if number < remotes { ELSEWHERE } else { NODE };
        let mut labels: Map<String, Value> = [10, 11, 20, 30, 40]
            .into_iter()
            .map(|share| {
                (
                    format!("one-in-{share}"),
                    format!("value-{}", (number + 1) % share).into(),
                )
            })
            .collect();
        labels.insert(
            MARKERS[(number + 1) % MARKERS.len()].to_owned(),
            "true".into(),
        );
        let place = (
            format!("namespace-{}", number % NAMESPACES),
            format!("wep-{number}"),
        );
        let at = address(FIRST + u32::try_from(number)?);
        all.push(pod((&place.0, &place.1), node, &labels, &at)?);
    }
    Ok(())
}

fn isolated(customers: usize, all: &mut Vec<Object>) -> anyhow::Result<()> {
    let stride = (customers / ISOLATED_LOCALS).max(1);
    for number in 0..customers {
        let mut words = Words(u64::try_from(number)? + 1);
        let name = format!("customer-{number}");
        let labels = [("unique", words.text(20)), ("production", words.flag())];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.into()));
        all.push(namespace(&name, &labels.into_iter().collect())?);
        let policy = json!({
            "metadata": {"name": "isolate", "namespace": name},
            "spec": {
                "podSelector": {},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{"from": [{"podSelector": {}}]}],
                "egress": [
                    {"to": [{"podSelector": {}}]},
                    {"to": [{"ipBlock": {"cidr": format!("{DNS}/32")}}],
                     "ports": [{"protocol": "UDP", "port": 53}]},
                ],
            },
        });
        all.push(object(Kind::KubernetesNetworkPolicy, policy)?);
        let is_local = number % stride == 0 && number / stride < ISOLATED_LOCALS;
        let node = if is_local { NODE } else { ELSEWHERE };
        let at = address(FIRST + u32::try_from(number)?);
        all.push(pod(
            (&name, "pod"),
            node,
            &customer_labels(&mut words),
            &at,
        )?);
    }
    Ok(())
}

/// Fifteen labels: five nobody else has, four of two values, four of a few, one of all, one of 5,000 values.
fn customer_labels(words: &mut Words) -> Map<String, Value> {
    let mut labels = Map::new();
    for (number, length) in [20, 20, 10, 20, 8].into_iter().enumerate() {
        labels.insert(format!("id-{number}"), words.text(length).into());
    }
    for number in 0..4 {
        labels.insert(format!("flag-{number}"), words.flag().into());
    }
    for (number, size) in [3, 4, 4, 5].into_iter().enumerate() {
        labels.insert(
            format!("few-{number}"),
            format!("v{}", words.below(size)).into(),
        );
    }
    labels.insert("kind".to_owned(), "customer".into());
    labels.insert(
        "shard".to_owned(),
        format!("s{}", words.below(5_000)).into(),
    );
    labels
}

fn namespace(name: &str, labels: &Map<String, Value>) -> anyhow::Result<Object> {
    let mut labels = labels.clone();
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
    object(
        Kind::Namespace,
        json!({"metadata": {"name": name, "labels": labels}}),
    )
}

fn pod(
    (namespace, name): (&str, &str),
    node: &str,
    labels: &Map<String, Value>,
    address: &str,
) -> anyhow::Result<Object> {
    object(
        Kind::Pod,
        json!({
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"nodeName": node, "containers": [{"name": "c"}]},
            "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
        }),
    )
}

fn address(number: u32) -> String {
    Ipv4Addr::from(number).to_string()
}

fn object(kind: Kind, value: Value) -> anyhow::Result<Object> {
    Object::from_value(kind, value).map_err(|errors| anyhow::anyhow!("{errors:?}"))
}

/// Text that looks random and is the same in every run.
struct Words(u64);

impl Words {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn text(&mut self, length: usize) -> String {
        (0..length)
            .map(|_| char::from(b'a' + u8::try_from(self.below(26)).unwrap_or_default()))
            .collect()
    }

    fn flag(&mut self) -> String {
        if self.below(2) == 0 { "true" } else { "false" }.to_owned()
    }
}
