//! What the API server would fill in, so that files and stored objects mean the same.

use oncilla_net::{Family, parse_address, parse_cidr, parse_cidr_masking};

use crate::k8s::{self, IpBlock, NetworkPolicyPeer};
use crate::meta::PolicyType;
use crate::object::Object;
use crate::v3::StagedAction;
use crate::{names, v1, v3};

/// The tier of Calico policies that name none, and of every Kubernetes policy.
const DEFAULT_TIER: &str = "default";
/// The namespace of namespaced objects that name none.
const DEFAULT_NAMESPACE: &str = "default";
/// The service account of pods that name none.
const DEFAULT_SERVICE_ACCOUNT: &str = "default";

impl Object {
    /// Fills in what the API server would: namespace, tier, directions, protocols, default action, and the
    /// masked form of every `ipBlock` and of every network of a cluster's policy. Doing it again changes nothing.
    pub fn default_fields(&mut self) {
        if self.kind().namespaced() {
            let namespace = &mut self.metadata_mut().namespace;
            if namespace.as_deref().unwrap_or_default().is_empty() {
                *namespace = Some(DEFAULT_NAMESPACE.to_owned());
            }
        }
        match self {
            Self::Namespace(namespace) => default_namespace(namespace),
            Self::Node(_)
            | Self::ServiceAccount(_)
            | Self::ClusterInformation(_)
            | Self::FelixConfiguration(_)
            | Self::Profile(_)
            | Self::HostEndpoint(_)
            | Self::WorkloadEndpoint(_) => {}
            Self::IPPool(pool) => default_pool(&mut pool.spec),
            Self::EndpointSlice(slice) => {
                let ports = slice.ports.iter_mut().flatten();
                ports.for_each(|port| _ = port.protocol.get_or_insert_default());
            }
            Self::Service(service) => default_service(service),
            Self::Tier(tier) => default_tier(tier),
            Self::GlobalNetworkSet(set) => default_nets(&mut set.spec),
            Self::NetworkSet(set) => default_nets(&mut set.spec),
            Self::GlobalNetworkPolicy(policy) => {
                let spec = &mut policy.spec;
                default_tier_name(&mut spec.tier);
                default_types(&mut spec.types, &spec.ingress, &spec.egress);
            }
            Self::NetworkPolicy(policy) => {
                let spec = &mut policy.spec;
                default_tier_name(&mut spec.tier);
                default_types(&mut spec.types, &spec.ingress, &spec.egress);
            }
            Self::KubernetesNetworkPolicy(policy) => default_kubernetes(&mut policy.spec),
            Self::ClusterNetworkPolicy(policy) => {
                let peers = policy.spec.egress.iter_mut().flat_map(|rule| &mut rule.to);
                let networks = peers.filter_map(|peer| peer.networks.as_mut());
                networks.flatten().for_each(mask);
            }
            Self::StagedGlobalNetworkPolicy(policy) => {
                let spec = &mut policy.spec;
                default_tier_name(&mut spec.tier);
                if is_set(&mut spec.staged_action) {
                    default_types(&mut spec.types, &spec.ingress, &spec.egress);
                }
            }
            Self::StagedNetworkPolicy(policy) => {
                let spec = &mut policy.spec;
                default_tier_name(&mut spec.tier);
                if is_set(&mut spec.staged_action) {
                    default_types(&mut spec.types, &spec.ingress, &spec.egress);
                }
            }
            Self::StagedKubernetesNetworkPolicy(policy) => default_staged_kubernetes(policy),
            Self::Pod(pod) => default_pod(pod),
        }
    }
}

impl Object {
    /// Whether [`Self::default_fields`] surely changes nothing; where it is not worth a look, `false`.
    pub fn is_defaulted(&self) -> bool {
        let is_placed = || {
            let namespace = self.metadata().namespace.as_deref();
            !self.kind().namespaced() || namespace.is_some_and(|namespace| !namespace.is_empty())
        };
        let is_done = match self {
            Self::GlobalNetworkSet(set) => has_prefix_lengths(&set.spec),
            Self::NetworkSet(set) => has_prefix_lengths(&set.spec),
            Self::GlobalNetworkPolicy(policy) => {
                !policy.spec.tier.is_empty() && !policy.spec.types.is_empty()
            }
            Self::NetworkPolicy(policy) => {
                !policy.spec.tier.is_empty() && !policy.spec.types.is_empty()
            }
            Self::KubernetesNetworkPolicy(policy) => is_kubernetes_done(&policy.spec),
            _ => false,
        };
        is_done && is_placed()
    }
}

fn has_prefix_lengths(spec: &v3::NetworkSetSpec) -> bool {
    spec.nets.iter().all(|net| bare_address(net).is_none())
}

fn is_kubernetes_done(spec: &k8s::NetworkPolicySpec) -> bool {
    let is_masked = |cidr: &String| !matches!(parse_cidr_masking(cidr), Ok((_, true)));
    let ingress = spec.ingress.iter().map(|rule| (&rule.ports, &rule.from));
    let egress = spec.egress.iter().map(|rule| (&rule.ports, &rule.to));
    let is_done = |(ports, peers): (&Vec<k8s::NetworkPolicyPort>, &Vec<NetworkPolicyPeer>)| {
        let mut blocks = peers.iter().filter_map(|peer| peer.ip_block.as_ref());
        ports.iter().all(|port| port.protocol.is_some())
            && blocks.all(|block| is_masked(&block.cidr) && block.except.iter().all(is_masked))
    };
    !spec.policy_types.is_empty() && ingress.chain(egress).all(is_done)
}

/// The label by which selectors can name one namespace; the API server insists on its value.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

fn default_namespace(namespace: &mut v1::Namespace) {
    let metadata = &mut namespace.metadata;
    // A name that is no label would be refused twice.
    if !metadata.name.is_empty() && names::label_value(&metadata.name).is_ok() {
        metadata
            .labels
            .insert(NAMESPACE_NAME_LABEL.to_owned(), metadata.name.clone());
    }
}

fn default_tier_name(tier: &mut String) {
    if tier.is_empty() {
        DEFAULT_TIER.clone_into(tier);
    }
}

/// The directions that have rules, else Ingress (semantics page §2.4).
fn default_types(types: &mut Vec<PolicyType>, ingress: &[v3::Rule], egress: &[v3::Rule]) {
    if !types.is_empty() {
        return;
    }
    if !ingress.is_empty() || egress.is_empty() {
        types.push(PolicyType::Ingress);
    }
    if !egress.is_empty() {
        types.push(PolicyType::Egress);
    }
}

/// Whether a staged policy says more than that another one shall go; the action is Set when not given.
fn is_set(action: &mut Option<StagedAction>) -> bool {
    *action.get_or_insert(StagedAction::Set) != StagedAction::Delete
}

fn default_staged_kubernetes(policy: &mut v3::StagedKubernetesNetworkPolicy) {
    let is_set = is_set(&mut policy.spec.staged_action);
    let mut promoted = policy.promoted().spec;
    if is_set {
        default_kubernetes(&mut promoted);
    }
    let spec = &mut policy.spec;
    spec.ingress = promoted.ingress;
    spec.egress = promoted.egress;
    spec.policy_types = promoted.policy_types;
}

fn default_tier(tier: &mut v3::Tier) {
    // The built-in tiers kube-admin and kube-baseline end with Pass; upstream's schema default is Deny for
    // every tier, and validation then says what those two must have.
    tier.spec.default_action.get_or_insert(v3::TierAction::Deny);
}

/// The address that stands without a prefix length.
fn bare_address(net: &str) -> Option<std::net::IpAddr> {
    (!net.contains('/')).then(|| parse_address(net).ok())?
}

/// Gives single addresses their prefix length; what is no address is left for validation.
fn default_nets(spec: &mut v3::NetworkSetSpec) {
    for net in &mut spec.nets {
        if let Some(addr) = bare_address(net) {
            *net = oncilla_net::IpNet::from(addr).to_string();
        }
    }
}

/// Prefix lengths of one node's share of a pool.
const BLOCK_SIZES: [(Family, i64); 2] = [(Family::V4, 26), (Family::V6, 122)];

fn default_pool(spec: &mut v3::IPPoolSpec) {
    if let Ok(net) = parse_cidr(&spec.cidr) {
        spec.cidr = net.to_string();
        let family = Family::of_net(&net);
        let size = BLOCK_SIZES.iter().find(|(known, _)| *known == family);
        spec.block_size = spec.block_size.or(size.map(|(_, size)| *size));
    }
    spec.vxlan_mode.get_or_insert(v3::EncapsulationMode::Never);
    spec.ipip_mode.get_or_insert(v3::EncapsulationMode::Never);
    spec.assignment_mode
        .get_or_insert(v3::AssignmentMode::Automatic);
    if spec.node_selector.is_empty() {
        "all()".clone_into(&mut spec.node_selector);
    }
    if spec.allowed_uses.is_empty() {
        spec.allowed_uses = vec![v3::AllowedUse::Workload, v3::AllowedUse::Tunnel];
    }
}

fn default_service(service: &mut v1::Service) {
    for port in &mut service.spec.ports {
        port.protocol.get_or_insert_default();
    }
}

fn default_pod(pod: &mut v1::Pod) {
    let spec = &mut pod.spec;
    if spec.service_account_name.is_empty() {
        // Kubernetes still reads the field's old name.
        let account = match spec.service_account.as_str() {
            "" => DEFAULT_SERVICE_ACCOUNT,
            old => old,
        };
        spec.service_account_name = account.to_owned();
    }
    for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
        for port in &mut container.ports {
            port.protocol.get_or_insert_default();
        }
    }
}

/// Ingress, and Egress only when there are egress rules: the API server's default.
fn default_kubernetes(spec: &mut k8s::NetworkPolicySpec) {
    if spec.policy_types.is_empty() {
        spec.policy_types.push(PolicyType::Ingress);
        if !spec.egress.is_empty() {
            spec.policy_types.push(PolicyType::Egress);
        }
    }
    let ingress = spec
        .ingress
        .iter_mut()
        .map(|rule| (&mut rule.ports, &mut rule.from));
    let egress = spec
        .egress
        .iter_mut()
        .map(|rule| (&mut rule.ports, &mut rule.to));
    for (ports, peers) in ingress.chain(egress) {
        for port in ports {
            port.protocol.get_or_insert_default();
        }
        for block in peers.iter_mut().filter_map(ip_block) {
            mask(&mut block.cidr);
            block.except.iter_mut().for_each(mask);
        }
    }
}

fn ip_block(peer: &mut NetworkPolicyPeer) -> Option<&mut IpBlock> {
    peer.ip_block.as_mut()
}

/// Clears host bits; what is no CIDR is left for validation.
fn mask(cidr: &mut String) {
    if let Ok((masked, true)) = parse_cidr_masking(cidr) {
        *cidr = masked.to_string();
    }
}
