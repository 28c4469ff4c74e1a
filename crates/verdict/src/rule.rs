//! One rule against one packet.

mod calico;
mod cluster;
mod kubernetes;

use std::net::IpAddr;

use oncilla_api::v3::Action;
use oncilla_api::{k8s, v3};
use oncilla_net::{Direction, Family, IpNet, Packet, Protocol};

use crate::endpoint::NamedPort;
use crate::hidden::{HiddenSet, Truth};
use crate::labels::LabelMap;
use crate::lists::{HiddenSlice, Lists};
use calico::CalicoRule;
use cluster::ClusterRule;
pub(crate) use cluster::Pods;
use kubernetes::KubernetesRule;

/// A packet, and who owns its addresses.
#[derive(Clone, Debug)]
pub(crate) struct Traffic<'a> {
    pub(crate) packet: Packet,
    pub(crate) source: Side<'a>,
    pub(crate) destination: Side<'a>,
}

/// One end of a packet.
#[derive(Clone, Debug)]
pub(crate) struct Side<'a> {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// Every endpoint and network set that the address belongs to.
    pub(crate) owners: Vec<Owner<'a>>,
    /// The host endpoint that is asked, on the side that is its host: the address may be its own, whoever else has it.
    pub(crate) may_own: Option<Owner<'a>>,
    /// The labels of the nodes that the address belongs to: only some rules can mean those.
    pub(crate) nodes: Vec<&'a LabelMap>,
    /// The broken sets, pods, hosts and nodes that may hold the address too.
    pub(crate) hidden: &'a [HiddenSet],
    /// The lists that may name the address.
    pub(crate) lists: &'a Lists,
}

/// Which packets count as matched when broken sets, or ports of a host that may be meant, make that uncertain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bound {
    /// Those that match whatever is so.
    Certain,
    /// Those that match if the right things are so.
    Possible,
}

impl Bound {
    /// The bound of what a negated criterion excludes.
    const fn not(self) -> Self {
        match self {
            Self::Certain => Self::Possible,
            Self::Possible => Self::Certain,
        }
    }

    /// Whether what is so counts.
    fn accepts(self, truth: Truth) -> bool {
        match self {
            Self::Certain => truth == Truth::Yes,
            Self::Possible => truth != Truth::No,
        }
    }
}

/// An endpoint or network set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) labels: &'a LabelMap,
    /// None for network sets.
    pub(crate) ports: &'a [NamedPort],
    /// What is known of its labels, when not all is.
    pub(crate) vague: Option<&'a HiddenSet>,
}

impl Owner<'_> {
    pub(crate) fn serves(&self, name: &str, protocol: Protocol, port: u16) -> bool {
        let mut ports = self.ports.iter();
        ports.any(|own| own.name == name && own.protocol == protocol && own.port == port)
    }
}

/// A rule, read once.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) action: Action,
    /// Its tier's place is unknown: what it allows goes on to the other tiers.
    pub(crate) goes_on: bool,
    criteria: Criteria,
}

#[derive(Debug)]
enum Criteria {
    Calico(Box<CalicoRule>),
    Kubernetes(KubernetesRule),
    Cluster(ClusterRule),
    /// Matches everything.
    Everything,
    /// Matches nothing.
    Nothing,
}

impl Rule {
    /// A rule of a Calico policy; `None` when it cannot be read. `namespace` is the policy's own, `None` for
    /// a global one; `own` the direction, when one side is always the endpoint that is asked.
    pub(crate) fn calico(
        rule: &v3::Rule,
        namespace: Option<&str>,
        own: Option<Direction>,
    ) -> Option<Self> {
        let criteria = CalicoRule::read(rule, namespace, own)?;
        Some(Self {
            action: rule.action,
            goes_on: false,
            criteria: Criteria::Calico(Box::new(criteria)),
        })
    }

    /// A rule of a Kubernetes policy; `None` when it cannot be read.
    pub(crate) fn kubernetes_ingress(rule: &k8s::IngressRule, namespace: &str) -> Option<Self> {
        KubernetesRule::ingress(rule, namespace).map(Self::kubernetes)
    }

    /// A rule of a Kubernetes policy; `None` when it cannot be read.
    pub(crate) fn kubernetes_egress(rule: &k8s::EgressRule, namespace: &str) -> Option<Self> {
        KubernetesRule::egress(rule, namespace).map(Self::kubernetes)
    }

    const fn kubernetes(rule: KubernetesRule) -> Self {
        Self {
            action: Action::Allow,
            goes_on: false,
            criteria: Criteria::Kubernetes(rule),
        }
    }

    pub(crate) const fn allow_everything() -> Self {
        Self {
            action: Action::Allow,
            goes_on: false,
            criteria: Criteria::Everything,
        }
    }

    pub(crate) const fn deny_everything() -> Self {
        Self {
            action: Action::Deny,
            goes_on: false,
            criteria: Criteria::Everything,
        }
    }

    /// What the rule does to a packet; `None` when it does not match.
    pub(crate) fn takes(&self, traffic: &Traffic<'_>) -> Option<Action> {
        if self.matches(traffic, Bound::Certain) {
            return Some(match self.action {
                Action::Allow if self.goes_on => Action::Pass,
                action => action,
            });
        }
        let harms = matches!(self.action, Action::Deny | Action::Pass);
        (harms && self.matches(traffic, Bound::Possible)).then_some(Action::Deny)
    }

    fn matches(&self, traffic: &Traffic<'_>, bound: Bound) -> bool {
        match &self.criteria {
            Criteria::Calico(rule) => rule.matches(traffic, bound),
            Criteria::Kubernetes(rule) => rule.matches(traffic),
            Criteria::Cluster(rule) => rule.matches(traffic, bound),
            Criteria::Everything => true,
            Criteria::Nothing => false,
        }
    }

    /// Whether a broken slice of endpoints changes what the rule does.
    pub(crate) fn may_ask(&self, slice: &HiddenSlice) -> bool {
        match &self.criteria {
            Criteria::Calico(rule) => rule.may_ask(slice),
            Criteria::Kubernetes(_)
            | Criteria::Cluster(_)
            | Criteria::Everything
            | Criteria::Nothing => false,
        }
    }

    /// Whether a broken set changes what the rule does.
    pub(crate) fn may_mean(&self, set: &HiddenSet) -> bool {
        match &self.criteria {
            Criteria::Calico(rule) => rule.may_mean(set),
            // Accept has no negative part: what it matches, it matches without the set.
            Criteria::Cluster(rule) => self.action != Action::Allow && rule.may_mean(set),
            Criteria::Kubernetes(_) | Criteria::Everything | Criteria::Nothing => false,
        }
    }
}

/// The CIDRs of one family.
fn of_family(nets: &[IpNet], family: Family) -> impl Iterator<Item = &IpNet> {
    nets.iter().filter(move |net| Family::of_net(net) == family)
}

/// Whether an address fulfils `nets` and `notNets`. A list that holds CIDRs, but none of the packet's
/// family, makes the whole rule pass over the packet.
fn nets_hold(nets: &[IpNet], not_nets: &[IpNet], address: IpAddr) -> bool {
    let family = oncilla_net::family_of(address);
    let included = nets.is_empty() || of_family(nets, family).any(|net| net.contains(&address));
    let mut excluding = of_family(not_nets, family).peekable();
    let not_excluded = not_nets.is_empty()
        || (excluding.peek().is_some() && !excluding.any(|net| net.contains(&address)));
    included && not_excluded
}
