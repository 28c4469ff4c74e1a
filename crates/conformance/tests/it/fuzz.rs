//! Arbitrary bytes into everything that reads, and arbitrary objects through the whole street.

#[path = "fuzz/fields.rs"]
mod fields;
#[path = "fuzz/objects.rs"]
mod objects;

use oncilla_api::manifest::{Limits, decode};
use oncilla_kernel::conntrack::decode_flow;
use oncilla_testkit::fuzz::Run;

const SELECTORS: [&[u8]; 6] = [
    b"app == 'web' && role in {'a', \"b\"} || !has(legacy)",
    b"(a starts with 'x' || b ends with \"y\") && !(c contains 'z')",
    b"a not in {'x', 'y',} && all() && global()",
    b"contains contains 'contains'",
    b"((((has(a)))))&&!!(!has(b))",
    b"",
];

#[test]
fn selectors() {
    let mut outcomes = [0_u64; 2];
    Run::new("selector", 20_000).bytes(&SELECTORS, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match oncilla_selector::parse(&text) {
            Ok(selector) => {
                outcomes[0] += 1;
                let canonical = selector.to_string();
                let again = oncilla_selector::parse(&canonical).expect("the canonical form parses");
                assert_eq!(again, selector, "{canonical}");
            }
            Err(error) => {
                outcomes[1] += 1;
                let end = error.offset + error.length;
                assert!(text.get(error.offset..end).is_some(), "{text:?}: {error:?}");
            }
        }
    });
    assert!(outcomes.iter().all(|count| *count > 100), "{outcomes:?}");
}

const MANIFESTS: [&[u8]; 4] = [
    b"apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata:\n  name: a\n  namespace: b\nspec:\n  tier: default\n  \
      order: 10\n  selector: app == 'web'\n  types: [Ingress, Egress]\n  ingress:\n  - action: Allow\n    protocol: TCP\n    \
      source: {nets: [10.0.0.0/8], notPorts: [80, \"90:100\", http]}\n    destination:\n      serviceAccounts: {names: [x]}\n",
    b"{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": \
      {\"name\": \"a\", \"labels\": {\"b\": \"\"}}}, {\"kind\": \"Pod\"}]}",
    b"a: &a [x, y]\nb: *a\nc: {<<: {d: 1}, e: |\n  text\n  more\n}\n--- # next\n? k\n: - 'it''s'\n  - \"\\u0041\"\n",
    b"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec:\n  podSelector: {matchExpressions: [{key: \
      a, operator: In, values: [b]}]}\n  ingress:\n  - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]\n    ports: \
      [{port: 80, endPort: 90}]\n",
];

#[test]
fn manifests() {
    let mut outcomes = [0_u64; 2];
    Run::new("manifest", 4_000).bytes(&MANIFESTS, |bytes| {
        let manifest = decode("fuzz.yaml", bytes, &Limits::default());
        outcomes[usize::from(manifest.has_errors())] += 1;
        for diagnostic in &manifest.diagnostics {
            assert!(diagnostic.line > 0 && diagnostic.column > 0, "{diagnostic}");
            assert!(diagnostic.span.end <= bytes.len().max(1), "{diagnostic:?}");
        }
        // What was read is written and read again as itself.
        for located in &manifest.objects {
            let text = serde_json::to_vec(&located.object.to_value()).unwrap();
            let again = decode("again.json", &text, &Limits::default());
            assert!(!again.has_errors(), "{:?}", again.diagnostics);
            assert_eq!(
                again.objects.first().map(|again| &again.object),
                Some(&located.object)
            );
        }
    });
    assert!(outcomes.iter().all(|count| *count > 20), "{outcomes:?}");
}

#[test]
fn flows_of_the_kernel() {
    // A flow of TCP as the kernel writes it: family and version, then two tuples, each with addresses and ports.
    let tuple = |kind: u16| -> Vec<u8> {
        let attribute = |kind: u16, body: &[u8]| {
            let length = u16::try_from(body.len() + 4).unwrap();
            let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
            bytes.extend(body);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let ends = [attribute(1, &[10, 0, 0, 1]), attribute(2, &[10, 0, 0, 2])].concat();
        let ports = [
            attribute(1, &[6]),
            attribute(2, &[0, 80]),
            attribute(3, &[1, 0]),
        ]
        .concat();
        let body = [attribute(1 | 0x8000, &ends), attribute(2 | 0x8000, &ports)].concat();
        attribute(kind | 0x8000, &body)
    };
    let flow = [vec![2, 0, 0, 0], tuple(1), tuple(2)].concat();
    assert!(decode_flow(&flow).is_some(), "the sample is a flow");
    let mut outcomes = [0_u64; 2];
    Run::new("conntrack", 50_000).bytes(&[&flow], |bytes| {
        outcomes[usize::from(decode_flow(bytes).is_some())] += 1;
    });
    assert!(outcomes.iter().all(|count| *count > 100), "{outcomes:?}");
}

#[test]
fn headers_of_logged_packets() {
    let v4 = [
        &[
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ][..],
        &[0x9c, 0x40, 0, 80],
    ]
    .concat();
    let mut v6 = vec![0x60, 0, 0, 0, 0, 20, 0, 64];
    v6.extend([0xfd; 32]);
    v6.extend([
        60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0, 0x9c, 0x40, 0, 53,
    ]);
    let mut outcomes = [0_u64; 2];
    Run::new("headers", 50_000).bytes(&[&v4, &v6], |bytes| {
        let headers = oncilla_flows::headers(bytes);
        outcomes[usize::from(headers.is_some())] += 1;
        let Some(oncilla_flows::Headers { packet, missing }) = headers else {
            return;
        };
        assert_eq!(packet.src.is_ipv4(), packet.dst.is_ipv4());
        let says_something = packet.src_port != 0 || packet.dst_port != 0 || packet.icmp.is_some();
        assert!(
            missing.is_none() || !says_something,
            "{packet:?} {missing:?}"
        );
    });
    assert!(outcomes.iter().all(|count| *count > 100), "{outcomes:?}");
}
