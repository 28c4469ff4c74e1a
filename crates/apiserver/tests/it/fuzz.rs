//! Arbitrary requests: the server answers each, keeps running, and stores nothing that it would refuse to read.

use oncilla_api::{Kind, Object};
use oncilla_store::Store;
use oncilla_testkit::fuzz::{Run, input};
use oncilla_testkit::rng::Rng;

use super::server::{PODS, SETS, Served, namespace, pod, set};

/// Requests of a run of the tests.
const REQUESTS: u64 = 3_000;
/// After so many requests everything in the store is read again.
const REQUESTS_A_LOOK: u64 = 250;
/// Requests that fit together: method, path, type of the body, and which sample it is.
const ROUTES: [(&str, &str, &str, usize); 14] = [
    ("POST", "/api/v1/namespaces", JSON, 0),
    ("POST", PODS, JSON, 1),
    ("PUT", "/api/v1/namespaces/default/pods/a", JSON, 1),
    ("PATCH", "/api/v1/namespaces/default/pods/a", MERGE, 1),
    (
        "PATCH",
        "/api/v1/namespaces/default/pods/a/status",
        MERGE,
        1,
    ),
    ("DELETE", "/api/v1/namespaces/default/pods/a", JSON, 1),
    ("POST", SETS, JSON, 2),
    (
        "PUT",
        "/apis/projectcalico.org/v3/namespaces/default/networksets/s",
        JSON,
        2,
    ),
    (
        "DELETE",
        "/apis/projectcalico.org/v3/namespaces/default/networksets/s",
        JSON,
        2,
    ),
    (
        "POST",
        "/apis/projectcalico.org/v3/globalnetworkpolicies",
        JSON,
        3,
    ),
    (
        "PUT",
        "/apis/projectcalico.org/v3/globalnetworkpolicies/g",
        JSON,
        3,
    ),
    (
        "DELETE",
        "/apis/projectcalico.org/v3/globalnetworkpolicies/g",
        JSON,
        3,
    ),
    (
        "PATCH",
        "/apis/projectcalico.org/v3/tiers/default",
        MERGE,
        4,
    ),
    ("GET", PODS, JSON, 0),
];
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const QUERIES: [&str; 4] = [
    "labelSelector=a%3Db,c+in+(d,e)",
    "fieldSelector=metadata.name%3Da",
    "dryRun=All&fieldValidation=Strict",
    "resourceVersion=0&limit=1",
];
/// Types of bodies that do not fit.
const TYPES: [&str; 3] = [
    MERGE,
    "application/strategic-merge-patch+json",
    "text/plain",
];

fn request(rng: &mut Rng, bodies: &[&[u8]]) -> Vec<u8> {
    let (mut method, path, mut kind, sample) = *rng.pick(&ROUTES);
    let mut path = path.to_owned();
    let body = match rng.below(4) {
        0 => bodies[sample].to_vec(),
        1 => input(rng, bodies),
        _ => input(rng, &bodies[sample..=sample]),
    };
    if rng.chance(1, 8) {
        method = *rng.pick(&["POST", "PUT", "PATCH", "GET", "DELETE", "HEAD", "TRACE"]);
        kind = *rng.pick(&TYPES);
    }
    if rng.chance(1, 6) {
        let queries: Vec<&[u8]> = QUERIES.iter().map(|query| query.as_bytes()).collect();
        let query = input(rng, &queries);
        // What a request line cannot carry is carried as a client would.
        let letters = query.iter().map(|byte| match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'='
            | b'&'
            | b'%'
            | b'+'
            | b','
            | b'('
            | b')' => char::from(*byte).to_string(),
            other => format!("%{other:02x}"),
        });
        path = format!("{path}?{}", letters.take(300).collect::<String>());
    }
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.into_bytes(), body].concat()
}

#[test]
fn arbitrary_requests() {
    let served = Served::new();
    let policy = r#"{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkPolicy","metadata":{"name":"g"},"spec":{"order":1,
        "selector":"has(a)","ingress":[{"action":"Allow","protocol":"TCP","destination":{"ports":[80,"90:99"]}}]}}"#;
    let tier = r#"{"metadata":{"labels":{"a":"b"}},"spec":{"order":5,"defaultAction":"Pass"}}"#;
    let bodies = [
        namespace("team").to_string(),
        pod("a").to_string(),
        set("s", "10.0.0.0/8").to_string(),
        policy.to_owned(),
        tier.to_owned(),
    ];
    let bodies: Vec<&[u8]> = bodies.iter().map(String::as_bytes).collect();
    let mut codes = std::collections::BTreeMap::<u16, u64>::new();
    let mut count = 0;
    Run::new("requests", REQUESTS).generators(|rng| {
        let (code, _) = served.send_bytes(&request(rng, &bodies));
        *codes.entry(code).or_default() += 1;
        count += 1;
        if count % REQUESTS_A_LOOK == 0 {
            look(&*served.store);
        }
    });
    look(&*served.store);
    assert_eq!(served.get("/readyz").0, 200);
    for code in [201, 400, 404, 422] {
        assert!(codes.contains_key(&code), "{codes:?}");
    }
    // 500 would be a fault of the server's own, and no request may cause one.
    assert!(codes.keys().all(|code| *code < 500), "{codes:?}");
}

/// Everything in the store is valid, and the built-in tiers are as they were.
fn look(store: &dyn Store) {
    for kind in Kind::ALL {
        for stored in store.list(kind, None).unwrap().objects {
            let object = Object::from_value(kind, stored.value.clone());
            let object = object.unwrap_or_else(|errors| panic!("{}: {errors:?}", stored.value));
            assert_eq!(object.key(), stored.key);
        }
    }
    let tiers = store.list(Kind::Tier, None).unwrap().objects;
    let built_in = ["default", "kube-admin", "kube-baseline"];
    let found = tiers
        .iter()
        .filter(|tier| built_in.contains(&tier.key.name.as_str()));
    assert_eq!(found.count(), 3);
}
