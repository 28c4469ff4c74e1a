//! The lines of the kinds that speak of hosts and of the cluster's set-up.

use oncilla_api::{Object, v3};

use super::{Cells, NONE, joined, or, pairs};

/// The cells of an object, and those of `-o wide`.
pub(super) fn cells(object: &Object, name: String, age: String) -> Cells {
    match object {
        Object::ClusterInformation(found) => {
            let spec = &found.spec;
            let ready = spec
                .datastore_ready
                .map_or(NONE.to_owned(), |ready| ready.to_string());
            let wide = vec![or(&spec.cluster_guid, NONE), or(&spec.calico_version, NONE)];
            (vec![name, ready, or(&spec.cluster_type, NONE), age], wide)
        }
        Object::FelixConfiguration(found) => {
            let selector = found.spec.node_selector.as_deref().unwrap_or_default();
            let nodes = match (name.as_str(), name.strip_prefix("node.")) {
                ("default", _) => "all()".to_owned(),
                (_, Some(node)) => node.to_owned(),
                (_, None) => or(selector, NONE),
            };
            (vec![name, age], vec![nodes])
        }
        Object::IPPool(found) => pool(&found.spec, name, age),
        Object::Profile(found) => (vec![name, age], vec![pairs(&found.spec.labels_to_apply)]),
        Object::HostEndpoint(found) => {
            let spec = &found.spec;
            let interface = or(&spec.interface_name, NONE);
            let wide = vec![
                joined(spec.expected_ips.iter()),
                joined(spec.profiles.iter()),
                pairs(&found.metadata.labels),
            ];
            (vec![name, spec.node.clone(), interface, age], wide)
        }
        Object::WorkloadEndpoint(found) => {
            let spec = &found.spec;
            let workload = if spec.pod.is_empty() {
                &spec.workload
            } else {
                &spec.pod
            };
            let cells = vec![
                name,
                or(workload, NONE),
                or(&spec.node, NONE),
                joined(spec.ip_networks.iter()),
                or(&spec.interface_name, NONE),
                age,
            ];
            (cells, vec![joined(spec.profiles.iter())])
        }
        _ => (vec![name, age], Vec::new()),
    }
}

fn pool(spec: &v3::IPPoolSpec, name: String, age: String) -> Cells {
    let mode = |mode: Option<v3::EncapsulationMode>| {
        mode.map_or(NONE.to_owned(), |mode| format!("{mode:?}"))
    };
    let assignment = spec.assignment_mode;
    let wide = vec![
        spec.disabled.to_string(),
        or(&spec.node_selector, "all()"),
        assignment.map_or(NONE.to_owned(), |mode| format!("{mode:?}")),
    ];
    let cells = vec![
        name,
        spec.cidr.clone(),
        mode(spec.vxlan_mode),
        mode(spec.ipip_mode),
        spec.nat_outgoing.to_string(),
        age,
    ];
    (cells, wide)
}
