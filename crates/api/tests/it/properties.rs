//! Whatever the bytes are, decoding ends, stays in its bounds and never panics.

use oncilla_api::manifest::{Limits, decode};
use oncilla_api::{Kind, Object};

/// Small enough that a hostile file is refused quickly.
fn limits() -> Limits {
    Limits {
        bytes_max: 4096,
        nodes_max: 2000,
        alias_nodes_max: 500,
        depth_max: 16,
    }
}

fn holds(bytes: &[u8]) {
    let manifest = decode("fuzz", bytes, &limits());
    assert!(manifest.objects.len() <= limits().nodes_max);
    for diagnostic in &manifest.diagnostics {
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
        if let Some(source) = &diagnostic.source {
            assert!(source.text.get(diagnostic.span.clone()).is_some());
        }
    }
    for located in &manifest.objects {
        let object = &located.object;
        let again = Object::from_value(object.kind(), object.to_value());
        assert_eq!(again.as_ref(), Ok(object));
    }
    // Nothing is silently lost: a file gives objects, or says why not; only an empty list gives neither.
    if manifest.objects.is_empty() && manifest.diagnostics.is_empty() {
        assert!(String::from_utf8_lossy(bytes).contains("List"));
    }
}

#[test]
fn arbitrary_bytes_never_panic() {
    bolero::check!().with_iterations(20_000).for_each(holds);
}

/// Words of manifests in any order get further than bytes do.
#[test]
fn arbitrary_manifests_never_panic() {
    const WORDS: [&str; 56] = [
        "apiVersion: ",
        "kind: ",
        "metadata:",
        "name: ",
        "namespace: ",
        "labels: ",
        "spec:",
        "items:",
        "v1",
        "List",
        "projectcalico.org/v3",
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "GlobalNetworkPolicy",
        "Namespace",
        "Pod",
        "Tier",
        "NetworkSet",
        "\n",
        "\n  ",
        "\n    ",
        "\n- ",
        "\n  - ",
        "- ",
        ": ",
        ", ",
        "[",
        "]",
        "{",
        "}",
        "'",
        "\"",
        "&a ",
        "*a",
        "<<: ",
        "---\n",
        "...\n",
        "# x",
        "|\n",
        "ingress:",
        "action: Allow",
        "selector: ",
        "app == 'x'",
        "ports: [80]",
        "nets: [10.0.0.0/8]",
        "order: 1",
        "policy.networking.k8s.io/v1alpha2",
        "ClusterNetworkPolicy",
        "tier: Admin",
        "priority: 1",
        "subject: {namespaces: {}}",
        "action: Deny",
        "from: [{namespaces: {}}]",
        "protocols: [{tcp: {destinationPort: {number: 80}}}]",
        "~",
        "\t",
    ];
    bolero::check!()
        .with_type::<Vec<u8>>()
        .with_iterations(20_000)
        .for_each(|choices| {
            let text: String = choices
                .iter()
                .map(|choice| WORDS[usize::from(*choice) % WORDS.len()])
                .collect();
            holds(text.as_bytes());
        });
}

/// One byte changed in a good manifest.
#[test]
fn slightly_broken_manifests_never_panic() {
    const GOOD: &str = "\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: a, labels: &l {x: y}}
spec:
  selector: \"app == 'x' && has(y)\"
  ingress:
  - action: Allow
    protocol: TCP
    source: {nets: [10.0.0.0/8], namespaceSelector: global()}
    destination:
      ports: [80, '90:99', http]
---
{\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"NetworkPolicy\", \"metadata\": {\"name\": \"b\"},
 \"spec\": {\"ingress\": [{\"from\": [{\"ipBlock\": {\"cidr\": \"10.0.0.0/8\", \"except\": [\"10.1.0.0/16\"]}}]}]}}
";
    assert_eq!(decode("good", GOOD.as_bytes(), &limits()).objects.len(), 2);
    bolero::check!()
        .with_type::<Vec<(u16, u8)>>()
        .with_iterations(10_000)
        .for_each(|changes| {
            let mut bytes = GOOD.as_bytes().to_vec();
            for (place, byte) in changes.iter().take(4) {
                let place = usize::from(*place) % bytes.len();
                bytes[place] = *byte;
            }
            holds(&bytes);
        });
}

#[test]
fn arbitrary_command_line_words_name_a_kind_or_not() {
    bolero::check!().with_type::<String>().for_each(|word| {
        if let Ok(kind) = Kind::parse(word) {
            assert!(Kind::ALL.contains(&kind));
        }
    });
}
