//! A rule of a Kubernetes policy: one of the peers, on one of the ports. It always allows.

use oncilla_api::{IntOrString, LabelSelector, k8s};
use oncilla_net::{Direction, IpNet, Protocol, parse_cidr_masking};

use super::{Owner, Side, Traffic, nets_hold};
use crate::hidden::Truth;
use crate::labels::{NAMESPACE, NAMESPACE_PREFIX, ORCHESTRATOR, kubernetes_matches};

#[derive(Debug)]
pub(super) struct KubernetesRule {
    direction: Direction,
    /// Empty: everybody.
    peers: Vec<Peer>,
    /// Empty: every port and protocol.
    ports: Vec<Port>,
}

#[derive(Debug)]
enum Peer {
    Block {
        cidr: [IpNet; 1],
        except: Vec<IpNet>,
    },
    Pods {
        /// The policy's own namespace.
        own: String,
        pods: LabelSelector,
        /// `None`: the own namespace; the empty selector: all of them.
        namespaces: Option<LabelSelector>,
    },
}

#[derive(Debug)]
struct Port {
    protocol: Protocol,
    number: Number,
}

#[derive(Debug)]
enum Number {
    All,
    Range(i64, i64),
    Name(String),
}

impl KubernetesRule {
    /// Reads a rule; `None` when some part of it cannot be read.
    pub(super) fn ingress(rule: &k8s::IngressRule, namespace: &str) -> Option<Self> {
        Self::read(Direction::Ingress, &rule.from, &rule.ports, namespace)
    }

    /// Reads a rule; `None` when some part of it cannot be read.
    pub(super) fn egress(rule: &k8s::EgressRule, namespace: &str) -> Option<Self> {
        Self::read(Direction::Egress, &rule.to, &rule.ports, namespace)
    }

    fn read(
        direction: Direction,
        peers: &[k8s::NetworkPolicyPeer],
        ports: &[k8s::NetworkPolicyPort],
        namespace: &str,
    ) -> Option<Self> {
        let peers = peers.iter().map(|peer| Peer::read(peer, namespace));
        Some(Self {
            direction,
            peers: peers.collect::<Option<_>>()?,
            ports: ports.iter().map(Port::read).collect::<Option<_>>()?,
        })
    }

    pub(super) fn matches(&self, traffic: &Traffic<'_>) -> bool {
        if self.peers.is_empty() {
            return self.ports_hold(traffic, None);
        }
        let mut peers = self.peers.iter();
        peers.any(|peer| {
            let side = match self.direction {
                Direction::Ingress => &traffic.source,
                Direction::Egress => &traffic.destination,
            };
            peer.matches(side) && self.ports_hold(traffic, Some(peer))
        })
    }

    /// Ports are always the destination's. A port's name means what the rule's own peers call so, which
    /// matters for egress only.
    fn ports_hold(&self, traffic: &Traffic<'_>, peer: Option<&Peer>) -> bool {
        let named_by = peer.filter(|_| self.direction == Direction::Egress);
        let protocol = traffic.packet.protocol;
        let destination = &traffic.destination;
        self.ports.is_empty()
            || self.ports.iter().any(|port| {
                port.protocol == protocol
                    && match &port.number {
                        Number::All => true,
                        Number::Range(first, last) => {
                            (*first..=*last).contains(&i64::from(destination.port))
                        }
                        Number::Name(name) => destination.owners.iter().any(|owner| {
                            named_by.is_none_or(|peer| peer.may_name(owner))
                                && owner.serves(name, protocol, destination.port)
                        }),
                    }
            })
    }
}

impl Peer {
    fn read(peer: &k8s::NetworkPolicyPeer, namespace: &str) -> Option<Self> {
        match (&peer.ip_block, &peer.pod_selector, &peer.namespace_selector) {
            (Some(block), None, None) => {
                let cidr = |text: &String| parse_cidr_masking(text).ok().map(|(net, _)| net);
                let except: Option<Vec<_>> = block.except.iter().map(cidr).collect();
                Some(Self::Block {
                    cidr: [cidr(&block.cidr)?],
                    except: except?,
                })
            }
            // Both and neither are refused by the API server; neither would otherwise mean everybody.
            (Some(_), _, _) | (None, None, None) => None,
            (None, pods, namespaces) => Some(Self::Pods {
                own: namespace.to_owned(),
                pods: pods.clone().unwrap_or_default(),
                namespaces: namespaces.clone(),
            }),
        }
    }

    fn matches(&self, side: &Side<'_>) -> bool {
        match self {
            Self::Block { cidr, except } => nets_hold(cidr, except, side.address),
            Self::Pods { .. } => side.owners.iter().any(|owner| self.may_name(owner)),
        }
    }

    /// Whether an owner is certainly one of the pods; for a block its addresses are judged, not its owners.
    fn may_name(&self, owner: &Owner<'_>) -> bool {
        let Self::Pods {
            own,
            pods,
            namespaces,
        } = self
        else {
            return true;
        };
        if let Some(known) = owner.vague {
            let in_namespace = match namespaces {
                None => known.has("", NAMESPACE, |namespace| namespace == Some(own)),
                Some(all) if *all == LabelSelector::default() => {
                    known.has("", NAMESPACE, |namespace| namespace.is_some())
                }
                Some(selector) => known.meets(selector, NAMESPACE_PREFIX),
            };
            let is_pod = known.has("", ORCHESTRATOR, |by| by == Some("k8s"));
            return Truth::all([in_namespace, is_pod, known.meets(pods, "")]) == Truth::Yes;
        }
        let labels = owner.labels;
        let in_namespace = match namespaces {
            None => labels.get(NAMESPACE) == Some(own),
            Some(all) if *all == LabelSelector::default() => labels.contains_key(NAMESPACE),
            Some(selector) => kubernetes_matches(selector, labels, NAMESPACE_PREFIX),
        };
        in_namespace
            && labels.get(ORCHESTRATOR).is_some_and(|by| by == "k8s")
            && kubernetes_matches(pods, labels, "")
    }
}

impl Port {
    fn read(port: &k8s::NetworkPolicyPort) -> Option<Self> {
        let number = match (&port.port, port.end_port) {
            (None, None) => Number::All,
            (Some(IntOrString::Int(first)), None) => Number::Range(*first, *first),
            (Some(IntOrString::Int(first)), Some(last)) => Number::Range(*first, last),
            (Some(IntOrString::String(name)), None) => Number::Name(name.clone()),
            // A range needs a number to start from.
            (None | Some(IntOrString::String(_)), Some(_)) => return None,
        };
        Some(Self {
            protocol: port.protocol.unwrap_or_default().into(),
            number,
        })
    }
}
