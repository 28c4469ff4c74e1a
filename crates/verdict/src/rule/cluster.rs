//! A rule of a `ClusterNetworkPolicy`: one of the peers, by one of the protocols.

use oncilla_api::LabelSelector;
use oncilla_api::npa::{self, NamespacedPod, Transport};
use oncilla_api::v3::Action;
use oncilla_net::{Direction, IpNet, Protocol, parse_cidr_masking};

use super::{Bound, Criteria, Owner, Rule, Side, Traffic, nets_hold};
use crate::hidden::{HiddenSet, Truth};
use crate::labels::{LabelMap, NAMESPACE, NAMESPACE_PREFIX, ORCHESTRATOR, kubernetes_matches};

/// The protocols in which a port's name can mean something.
const NAMED: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];

#[derive(Debug)]
pub(super) struct ClusterRule {
    direction: Direction,
    peers: Vec<Peer>,
    /// `None`: everything.
    protocols: Option<Vec<Kind>>,
}

/// Pods by the labels of their namespace, and by their own.
#[derive(Clone, Debug)]
pub(crate) struct Pods {
    namespaces: LabelSelector,
    pods: LabelSelector,
}

#[derive(Debug)]
enum Peer {
    Pods(Pods),
    Networks(Vec<IpNet>),
    /// Nodes by their labels: the addresses in their status.
    Nodes(LabelSelector),
}

#[derive(Debug)]
enum Kind {
    Ports(Protocol, i64, i64),
    Name(String),
}

impl Rule {
    /// A rule of a cluster's policy; `None` when it cannot be read.
    pub(crate) fn cluster_ingress(rule: &npa::IngressRule) -> Option<Self> {
        let peers = rule.from.iter().map(|peer| {
            let pods = Pods::read(peer.namespaces.as_ref(), peer.pods.as_ref())?;
            Some(Peer::Pods(pods))
        });
        let protocols = rule.protocols.as_ref();
        ClusterRule::read(Direction::Ingress, peers.collect(), protocols)
            .map(|criteria| Self::cluster(rule.action, criteria))
    }

    /// A rule of a cluster's policy; `None` when it cannot be read.
    pub(crate) fn cluster_egress(rule: &npa::EgressRule) -> Option<Self> {
        let peers = rule.to.iter().map(Peer::destination);
        let protocols = rule.protocols.as_ref();
        ClusterRule::read(Direction::Egress, peers.collect(), protocols)
            .map(|criteria| Self::cluster(rule.action, criteria))
    }

    /// What stands for a rule that cannot be understood: it matches nothing when it would accept, and denies
    /// everything otherwise.
    pub(crate) const fn cluster_broken(would_accept: bool) -> Self {
        if would_accept {
            Self {
                action: Action::Allow,
                goes_on: false,
                criteria: Criteria::Nothing,
            }
        } else {
            Self::deny_everything()
        }
    }

    const fn cluster(action: npa::Action, criteria: ClusterRule) -> Self {
        Self {
            action: match action {
                npa::Action::Accept => Action::Allow,
                npa::Action::Pass => Action::Pass,
                npa::Action::Deny => Action::Deny,
            },
            goes_on: false,
            criteria: Criteria::Cluster(criteria),
        }
    }
}

impl ClusterRule {
    fn read(
        direction: Direction,
        peers: Option<Vec<Peer>>,
        protocols: Option<&Vec<npa::Protocol>>,
    ) -> Option<Self> {
        let protocols = match protocols {
            None => None,
            Some(list) => Some(list.iter().map(Kind::read).collect::<Option<Vec<_>>>()?),
        };
        Some(Self {
            direction,
            peers: peers?,
            protocols,
        })
    }

    pub(super) fn matches(&self, traffic: &Traffic<'_>, bound: Bound) -> bool {
        let side = match self.direction {
            Direction::Ingress => &traffic.source,
            Direction::Egress => &traffic.destination,
        };
        self.peers
            .iter()
            .any(|peer| peer.matches(side, bound) && self.protocols_hold(peer, (traffic, bound)))
    }

    /// Whether a peer may mean a broken set.
    pub(super) fn may_mean(&self, set: &HiddenSet) -> bool {
        self.peers.iter().any(|peer| peer.may_mean(set))
    }

    /// A port's name means what the rule's own peers call so, which matters for egress only.
    fn protocols_hold(&self, peer: &Peer, (traffic, bound): (&Traffic<'_>, Bound)) -> bool {
        let Some(protocols) = &self.protocols else {
            return true;
        };
        let destination = &traffic.destination;
        let protocol = traffic.packet.protocol;
        protocols.iter().any(|kind| match kind {
            Kind::Ports(wanted, first, last) => {
                *wanted == protocol && (*first..=*last).contains(&i64::from(destination.port))
            }
            Kind::Name(name) => {
                let is_own = self.direction == Direction::Ingress;
                let mut owners = destination.owners.iter();
                let mut hidden = destination.hidden.iter();
                NAMED.contains(&protocol)
                    && (owners.any(|owner| {
                        (is_own || peer.means(owner, bound))
                            && owner.serves(name, protocol, destination.port)
                    }) || (bound == Bound::Possible
                        && !is_own
                        && hidden.any(|set| set.has_ports && peer.may_mean(set))))
            }
        })
    }
}

impl Pods {
    /// Exactly one of the two is given, or nobody can say who is meant.
    pub(crate) fn read(
        namespaces: Option<&LabelSelector>,
        pods: Option<&NamespacedPod>,
    ) -> Option<Self> {
        match (namespaces, pods) {
            (Some(namespaces), None) => Some(Self {
                namespaces: namespaces.clone(),
                pods: LabelSelector::default(),
            }),
            (None, Some(pods)) => Some(Self {
                namespaces: pods.namespace_selector.clone(),
                pods: pods.pod_selector.clone(),
            }),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    pub(crate) fn mean(&self, labels: &LabelMap) -> bool {
        let everywhere = self.namespaces == LabelSelector::default();
        labels.get(ORCHESTRATOR).is_some_and(|by| by == "k8s")
            && (!everywhere || labels.contains_key(NAMESPACE))
            && kubernetes_matches(&self.namespaces, labels, NAMESPACE_PREFIX)
            && kubernetes_matches(&self.pods, labels, "")
    }

    /// Whether a broken set can pass for one of the pods.
    fn mean_set(&self, set: &HiddenSet) -> Truth {
        let namespaces = if self.namespaces == LabelSelector::default() {
            set.has("", NAMESPACE, |namespace| namespace.is_some())
        } else {
            set.meets(&self.namespaces, NAMESPACE_PREFIX)
        };
        Truth::all([
            set.has("", ORCHESTRATOR, |by| by == Some("k8s")),
            namespaces,
            set.meets(&self.pods, ""),
        ])
    }
}

impl Peer {
    fn destination(peer: &npa::EgressPeer) -> Option<Self> {
        if peer.domain_names.is_some() {
            return None;
        }
        let has_pods = peer.namespaces.is_some() || peer.pods.is_some();
        match (&peer.networks, &peer.nodes) {
            (None, None) => {
                Pods::read(peer.namespaces.as_ref(), peer.pods.as_ref()).map(Self::Pods)
            }
            (Some(networks), None) if !has_pods => {
                let nets = networks.iter();
                let nets = nets.map(|text| parse_cidr_masking(text).ok().map(|(net, _)| net));
                nets.collect::<Option<Vec<_>>>().map(Self::Networks)
            }
            (None, Some(nodes)) if !has_pods => Some(Self::Nodes(nodes.clone())),
            _ => None,
        }
    }

    fn matches(&self, side: &Side<'_>, bound: Bound) -> bool {
        match self {
            Self::Pods(_) => {
                side.owners.iter().any(|owner| self.means(owner, bound))
                    || (bound == Bound::Possible
                        && side.hidden.iter().any(|set| self.may_mean(set)))
            }
            // No CIDR at all would hold for everybody.
            Self::Networks(nets) => !nets.is_empty() && nets_hold(nets, &[], side.address),
            Self::Nodes(nodes) => {
                let mut owners = side.nodes.iter();
                owners.any(|labels| kubernetes_matches(nodes, labels, ""))
                    || (bound == Bound::Possible
                        && side.hidden.iter().any(|set| self.may_mean(set)))
            }
        }
    }

    fn may_mean(&self, set: &HiddenSet) -> bool {
        match self {
            Self::Pods(pods) => !set.is_node && pods.mean_set(set) != Truth::No,
            Self::Nodes(nodes) => set.is_node && set.meets(nodes, "") != Truth::No,
            Self::Networks(_) => false,
        }
    }

    fn means(&self, owner: &Owner<'_>, bound: Bound) -> bool {
        match self {
            Self::Pods(pods) => match owner.vague {
                Some(known) => bound.accepts(pods.mean_set(known)),
                None => pods.mean(owner.labels),
            },
            Self::Networks(_) | Self::Nodes(_) => false,
        }
    }
}

impl Kind {
    fn read(protocol: &npa::Protocol) -> Option<Self> {
        let ports = |protocol, transport: &Transport| {
            let (first, last) = transport.destination_port.as_ref()?.bounds()?;
            Some(Self::Ports(protocol, first, last))
        };
        let name = protocol.destination_named_port.as_ref();
        match (&protocol.tcp, &protocol.udp, &protocol.sctp, name) {
            (Some(tcp), None, None, None) => ports(Protocol::TCP, tcp),
            (None, Some(udp), None, None) => ports(Protocol::UDP, udp),
            (None, None, Some(sctp), None) => ports(Protocol::SCTP, sctp),
            (None, None, None, Some(name)) => Some(Self::Name(name.clone())),
            _ => None,
        }
    }
}
