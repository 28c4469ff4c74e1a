//! What is always there for hosts, who may not be written, and what pools keep.

use serde_json::{Value, json};

use super::server::Served;

const PROFILES: &str = "/apis/projectcalico.org/v3/profiles";
const INFORMATION: &str = "/apis/projectcalico.org/v3/clusterinformations";
const POOLS: &str = "/apis/projectcalico.org/v3/ippools";

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": { "name": name },
        "spec": spec,
    })
}

fn message(answer: &Value) -> &str {
    answer["message"].as_str().unwrap()
}

#[test]
fn the_profile_that_allows_is_always_there() {
    let served = Served::new();
    let path = format!("{PROFILES}/projectcalico-default-allow");
    let (code, found) = served.get(&path);
    assert_eq!(code, 200);
    let allow = json!([{ "action": "Allow" }]);
    assert_eq!(found["spec"], json!({ "ingress": allow, "egress": allow }));
    let mut changed = found.clone();
    changed["spec"] = json!({});
    let (code, answer) = served.put(&path, &changed);
    assert_eq!(code, 403, "{answer}");
    assert!(message(&answer).contains("always there"), "{answer}");
    let (code, _) = served.delete(&path);
    assert_eq!(code, 403);
    assert_eq!(served.get(&path).1["spec"], found["spec"]);

    let own = object(
        "Profile",
        "hosts",
        &json!({ "labelsToApply": { "zone": "a" } }),
    );
    assert_eq!(served.post(PROFILES, &own).0, 201);
    assert_eq!(served.delete(&format!("{PROFILES}/hosts")).0, 200);
    for name in ["kns.default", "ksa.default.default"] {
        let (code, answer) = served.post(PROFILES, &object("Profile", name, &json!({})));
        assert_eq!(code, 403, "{answer}");
        assert!(message(&answer).contains("are made of each"), "{answer}");
    }
}

#[test]
fn what_the_cluster_says_of_itself_is_read_only() {
    let served = Served::new();
    let path = format!("{INFORMATION}/default");
    let (code, found) = served.get(&path);
    assert_eq!(code, 200);
    let guid = found["spec"]["clusterGUID"].as_str().unwrap();
    assert!(
        guid.len() == 32 && guid.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{guid}"
    );
    let mut locked = found.clone();
    locked["spec"]["datastoreReady"] = json!(false);
    let other = object("ClusterInformation", "other", &json!({}));
    for (code, answer) in [
        served.put(&path, &locked),
        served.delete(&path),
        served.post(INFORMATION, &other),
    ] {
        assert_eq!(code, 403, "{answer}");
        assert!(message(&answer).contains("read-only resource"), "{answer}");
    }
}

#[test]
fn pools_share_nothing_and_keep_their_addresses() {
    let served = Served::new();
    let pool = |name: &str, cidr: &str| object("IPPool", name, &json!({ "cidr": cidr }));
    let (code, made) = served.post(POOLS, &pool("pods", "10.244.0.0/16"));
    assert_eq!((code, &made["spec"]["blockSize"]), (201, &json!(26)));
    let (code, answer) = served.post(POOLS, &pool("half", "10.244.128.0/17"));
    assert_eq!(code, 422);
    assert!(
        message(&answer)
            .contains("IPPool(half) CIDR overlaps with IPPool(pods) CIDR 10.244.0.0/16"),
        "{answer}"
    );
    assert_eq!(served.post(POOLS, &pool("other", "10.245.0.0/16")).0, 201);
    let path = format!("{POOLS}/pods");
    for (field, value, words) in [
        (
            "cidr",
            json!("10.246.0.0/16"),
            "IPPool CIDR cannot be modified",
        ),
        (
            "blockSize",
            json!(27),
            "IPPool BlockSize cannot be modified",
        ),
    ] {
        let mut changed = made.clone();
        changed["spec"][field] = value;
        let (code, answer) = served.put(&path, &changed);
        assert_eq!(code, 422, "{answer}");
        assert!(message(&answer).contains(words), "{answer}");
    }
    let mut changed = made;
    changed["spec"]["natOutgoing"] = json!(true);
    assert_eq!(served.put(&path, &changed).0, 200);
    // Services hold addresses of a pool for load balancers.
    let spec = json!({ "cidr": "10.247.0.0/24", "allowedUses": ["LoadBalancer"] });
    let (code, mut balancers) = served.post(POOLS, &object("IPPool", "balancers", &spec));
    assert_eq!(code, 201, "{balancers}");
    balancers["spec"]["allowedUses"] = json!(["Workload"]);
    let (code, answer) = served.put(&format!("{POOLS}/balancers"), &balancers);
    let words = "IPPool allowed use cannot be changed from LoadBalancer to Workload or Tunnel";
    assert_eq!(code, 422, "{answer}");
    assert!(message(&answer).contains(words), "{answer}");
}

#[test]
fn workload_endpoints_are_made_of_pods() {
    let served = Served::new();
    let spec = json!({"orchestrator": "k8s", "node": "n", "pod": "p", "endpoint": "eth0"});
    let (code, answer) = served.post(
        "/apis/projectcalico.org/v3/namespaces/default/workloadendpoints",
        &object("WorkloadEndpoint", "n-k8s-p-eth0", &spec),
    );
    assert_eq!(code, 403, "{answer}");
    assert!(message(&answer).contains("create the pod"), "{answer}");
}
