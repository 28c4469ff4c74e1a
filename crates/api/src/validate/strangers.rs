//! Misspelt fields of the cluster's own kinds. What oncilla does not interpret there is kept as written, so
//! an unknown name is no fault by itself; one that nearly is the name of an interpreted field is: its author
//! meant that field, and the object would silently mean something else without it.
//!
//! The names that Kubernetes 1.34 has beside the interpreted ones are listed, so that none of them is ever
//! taken for a slip of the hand.

use super::Errors;
use crate::discovery::EndpointSlice;
use crate::field::{Code, FieldError};
use crate::nearest::nearest;
use crate::v1::{Condition, Container, Node, Pod, Probe, ProbeTarget, Rest, Service};

/// The fields of one structure.
struct Fields {
    /// Those that oncilla interprets.
    interpreted: &'static [&'static str],
    /// Those that Kubernetes has besides.
    others: &'static [&'static str],
}

const NAMESPACE: Fields = Fields {
    interpreted: &["metadata"],
    others: &["spec", "status"],
};
const SERVICE_ACCOUNT: Fields = Fields {
    interpreted: &["metadata"],
    others: &[
        "secrets",
        "imagePullSecrets",
        "automountServiceAccountToken",
    ],
};
/// Pods and nodes.
const WITH_STATUS: Fields = Fields {
    interpreted: &["metadata", "spec", "status"],
    others: &[],
};
const SERVICE: Fields = Fields {
    interpreted: &["metadata", "spec"],
    others: &["status"],
};
const POD_SPEC: Fields = Fields {
    interpreted: &[
        "nodeName",
        "hostNetwork",
        "serviceAccountName",
        "serviceAccount",
        "initContainers",
        "containers",
    ],
    others: &[
        "activeDeadlineSeconds",
        "affinity",
        "automountServiceAccountToken",
        "dnsConfig",
        "dnsPolicy",
        "enableServiceLinks",
        "ephemeralContainers",
        "hostAliases",
        "hostIPC",
        "hostPID",
        "hostUsers",
        "hostname",
        "hostnameOverride",
        "imagePullSecrets",
        "nodeSelector",
        "os",
        "overhead",
        "preemptionPolicy",
        "priority",
        "priorityClassName",
        "readinessGates",
        "resourceClaims",
        "resources",
        "restartPolicy",
        "runtimeClassName",
        "schedulerName",
        "schedulingGates",
        "securityContext",
        "setHostnameAsFQDN",
        "shareProcessNamespace",
        "subdomain",
        "terminationGracePeriodSeconds",
        "tolerations",
        "topologySpreadConstraints",
        "volumes",
    ],
};
const CONTAINER: Fields = Fields {
    interpreted: &[
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "env",
        "ports",
        "readinessProbe",
    ],
    others: &[
        "envFrom",
        "imagePullPolicy",
        "lifecycle",
        "livenessProbe",
        "resizePolicy",
        "resources",
        "restartPolicy",
        "restartPolicyRules",
        "securityContext",
        "startupProbe",
        "stdin",
        "stdinOnce",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "tty",
        "volumeDevices",
        "volumeMounts",
    ],
};
const ENV_VAR: Fields = Fields {
    interpreted: &["name", "value"],
    others: &["valueFrom"],
};
const CONTAINER_PORT: Fields = Fields {
    interpreted: &["name", "containerPort", "hostPort", "protocol"],
    others: &["hostIP"],
};
const PROBE: Fields = Fields {
    interpreted: &["tcpSocket", "httpGet"],
    others: &[
        "exec",
        "grpc",
        "initialDelaySeconds",
        "periodSeconds",
        "timeoutSeconds",
        "successThreshold",
        "failureThreshold",
        "terminationGracePeriodSeconds",
    ],
};
const PROBE_TARGET: Fields = Fields {
    interpreted: &["port"],
    others: &["host", "path", "scheme", "httpHeaders"],
};
const POD_STATUS: Fields = Fields {
    interpreted: &["phase", "podIP", "podIPs", "hostIP", "conditions"],
    others: &[
        "containerStatuses",
        "ephemeralContainerStatuses",
        "extendedResourceClaimStatus",
        "hostIPs",
        "initContainerStatuses",
        "message",
        "nominatedNodeName",
        "observedGeneration",
        "qosClass",
        "reason",
        "resize",
        "resourceClaimStatuses",
        "startTime",
    ],
};
const CONDITION: Fields = Fields {
    interpreted: &["type", "status"],
    others: &[
        "lastHeartbeatTime",
        "lastProbeTime",
        "lastTransitionTime",
        "message",
        "observedGeneration",
        "reason",
    ],
};
const NODE_SPEC: Fields = Fields {
    interpreted: &["podCIDR", "podCIDRs"],
    others: &[
        "configSource",
        "externalID",
        "providerID",
        "taints",
        "unschedulable",
    ],
};
const NODE_STATUS: Fields = Fields {
    interpreted: &["addresses", "conditions"],
    others: &[
        "allocatable",
        "capacity",
        "config",
        "daemonEndpoints",
        "features",
        "images",
        "nodeInfo",
        "phase",
        "runtimeHandlers",
        "volumesAttached",
        "volumesInUse",
    ],
};
const SERVICE_SPEC: Fields = Fields {
    interpreted: &["type", "clusterIP", "clusterIPs", "selector", "ports"],
    others: &[
        "allocateLoadBalancerNodePorts",
        "externalIPs",
        "externalName",
        "externalTrafficPolicy",
        "healthCheckNodePort",
        "internalTrafficPolicy",
        "ipFamilies",
        "ipFamilyPolicy",
        "loadBalancerClass",
        "loadBalancerIP",
        "loadBalancerSourceRanges",
        "publishNotReadyAddresses",
        "sessionAffinity",
        "sessionAffinityConfig",
        "trafficDistribution",
    ],
};
const SERVICE_PORT: Fields = Fields {
    interpreted: &["name", "port", "targetPort", "protocol"],
    others: &["appProtocol", "nodePort"],
};

const SLICE: Fields = Fields {
    interpreted: &["metadata", "addressType", "endpoints", "ports"],
    others: &[],
};
const SLICE_ENDPOINT: Fields = Fields {
    interpreted: &["addresses"],
    others: &[
        "conditions",
        "deprecatedTopology",
        "hints",
        "hostname",
        "nodeName",
        "targetRef",
        "zone",
    ],
};
const SLICE_PORT: Fields = Fields {
    interpreted: &["name", "port", "protocol"],
    others: &["appProtocol"],
};

pub(super) fn namespace(rest: &Rest, errors: &mut Errors) {
    check("", rest, &NAMESPACE, errors);
}

pub(super) fn service_account(rest: &Rest, errors: &mut Errors) {
    check("", rest, &SERVICE_ACCOUNT, errors);
}

pub(super) fn node(node: &Node, errors: &mut Errors) {
    check("", &node.rest, &WITH_STATUS, errors);
    check("spec", &node.spec.rest, &NODE_SPEC, errors);
    check("status", &node.status.rest, &NODE_STATUS, errors);
    conditions(&node.status.conditions, errors);
}

pub(super) fn service(service: &Service, errors: &mut Errors) {
    check("", &service.rest, &SERVICE, errors);
    check("spec", &service.spec.rest, &SERVICE_SPEC, errors);
    for (index, port) in service.spec.ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        check(&path, &port.rest, &SERVICE_PORT, errors);
    }
}

pub(super) fn slice(slice: &EndpointSlice, errors: &mut Errors) {
    check("", &slice.rest, &SLICE, errors);
    let endpoints = slice.endpoints.iter().flatten().enumerate();
    for (index, endpoint) in endpoints {
        let path = format!("endpoints[{index}]");
        check(&path, &endpoint.rest, &SLICE_ENDPOINT, errors);
    }
    for (index, port) in slice.ports.iter().flatten().enumerate() {
        check(&format!("ports[{index}]"), &port.rest, &SLICE_PORT, errors);
    }
}

pub(super) fn pod(pod: &Pod, errors: &mut Errors) {
    check("", &pod.rest, &WITH_STATUS, errors);
    check("spec", &pod.spec.rest, &POD_SPEC, errors);
    let init = pod.spec.init_containers.iter().enumerate();
    for (index, found) in init {
        container(&format!("spec.initContainers[{index}]"), found, errors);
    }
    for (index, found) in pod.spec.containers.iter().enumerate() {
        container(&format!("spec.containers[{index}]"), found, errors);
    }
    check("status", &pod.status.rest, &POD_STATUS, errors);
    conditions(&pod.status.conditions, errors);
}

fn container(path: &str, container: &Container, errors: &mut Errors) {
    check(path, &container.rest, &CONTAINER, errors);
    for (index, variable) in container.env.iter().enumerate() {
        let path = format!("{path}.env[{index}]");
        check(&path, &variable.rest, &ENV_VAR, errors);
    }
    for (index, port) in container.ports.iter().enumerate() {
        let path = format!("{path}.ports[{index}]");
        check(&path, &port.rest, &CONTAINER_PORT, errors);
    }
    if let Some(found) = &container.readiness_probe {
        probe(&format!("{path}.readinessProbe"), found, errors);
    }
}

fn probe(path: &str, probe: &Probe, errors: &mut Errors) {
    check(path, &probe.rest, &PROBE, errors);
    let targets: [(&str, &Option<ProbeTarget>); 2] = [
        ("tcpSocket", &probe.tcp_socket),
        ("httpGet", &probe.http_get),
    ];
    for (field, target) in targets {
        if let Some(target) = target {
            check(
                &format!("{path}.{field}"),
                &target.rest,
                &PROBE_TARGET,
                errors,
            );
        }
    }
}

fn conditions(conditions: &[Condition], errors: &mut Errors) {
    for (index, condition) in conditions.iter().enumerate() {
        let path = format!("status.conditions[{index}]");
        check(&path, &condition.rest, &CONDITION, errors);
    }
}

/// Reports the names that are nearly those of interpreted fields.
fn check(path: &str, rest: &Rest, fields: &Fields, errors: &mut Errors) {
    for name in rest.keys() {
        if fields.others.contains(&name.as_str()) {
            continue;
        }
        let Some(meant) = nearest(name, fields.interpreted) else {
            continue;
        };
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        errors.push(
            FieldError::new(path, format!("unknown field {name:?}"))
                .with_code(Code::UnknownField)
                .pointing_at_key()
                .with_help(format!("did you mean `{meant}`?")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_of_kubernetes_is_taken_for_another() {
        for fields in [
            NAMESPACE,
            SERVICE_ACCOUNT,
            WITH_STATUS,
            SERVICE,
            POD_SPEC,
            CONTAINER,
            ENV_VAR,
            CONTAINER_PORT,
            PROBE,
            PROBE_TARGET,
            POD_STATUS,
            CONDITION,
            NODE_SPEC,
            NODE_STATUS,
            SERVICE_SPEC,
            SERVICE_PORT,
        ] {
            let rest: Rest = fields
                .others
                .iter()
                .map(|name| ((*name).to_owned(), 7.into()))
                .collect();
            let mut errors = Errors::default();
            check("", &rest, &fields, &mut errors);
            assert_eq!(errors.list, []);
            for name in fields.interpreted {
                // One letter less is a slip of the hand, whichever it is, unless that is a name as well.
                let slip: String = name.chars().skip(1).collect();
                let rest = Rest::from_iter([(slip.clone(), 7.into())]);
                check("", &rest, &fields, &mut errors);
                let expected = usize::from(!fields.others.contains(&&*slip));
                assert_eq!(errors.list.drain(..).count(), expected, "{slip}");
            }
        }
    }
}
