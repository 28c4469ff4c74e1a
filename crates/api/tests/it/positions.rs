//! Where things are in a file.

use oncilla_api::manifest::{Limits, Severity, decode};
use oncilla_api::{Code, FieldError};

const POLICY: &str = "\
# A comment.
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
  labels:
    app: x
    app.kubernetes.io/name: y
spec:
  ingress:
    - action: Deny
      source:
        selector: app == 'frontend'
    - {action: Allow, source: {nets: [10.0.0.0/8, 11.0.0.0/8]}}
";

#[test]
fn fields_are_found_by_their_path() {
    let manifest = decode("p.yaml", POLICY.as_bytes(), &Limits::default());
    let located = &manifest.objects[0];
    let place = |path: &str| {
        located
            .position(path)
            .map(|found| (found.line, found.column, POLICY.get(found.span).unwrap()))
    };
    assert_eq!(place(""), Some((2, 1, "apiVersion")));
    assert_eq!(place("metadata.name"), Some((5, 3, "name")));
    assert_eq!(place("metadata.labels.app"), Some((8, 5, "app")));
    assert_eq!(
        place("metadata.labels.app.kubernetes.io/name"),
        Some((9, 5, "app.kubernetes.io/name"))
    );
    assert_eq!(place("spec.ingress[0]"), Some((12, 7, "action")));
    assert_eq!(
        place("spec.ingress[0].source.selector"),
        Some((14, 9, "selector"))
    );
    assert_eq!(place("spec.ingress[1]"), Some((15, 8, "action")));
    assert_eq!(
        place("spec.ingress[1].source.nets[1]"),
        Some((15, 51, "11.0.0.0/8"))
    );
    // Defaulted, so nowhere in the file; the nearest thing is.
    assert_eq!(place("spec.types"), None);
    assert_eq!(place("spec.ingress[2]"), None);
    assert_eq!(located.place_of("spec.types"), "p.yaml:10");
    assert_eq!((located.file(), located.document), ("p.yaml", 0));
}

#[test]
fn a_servers_refusal_is_shown_at_its_place() {
    let manifest = decode("p.yaml", POLICY.as_bytes(), &Limits::default());
    let refusal = FieldError::new("spec.tier", "unknown tier \"legacy\"");
    let diagnostic = manifest.objects[0].diagnose("NetworkPolicy production/deny", refusal);
    assert_eq!(diagnostic.severity, Severity::Error);
    assert_eq!(
        diagnostic.to_string(),
        "error: p.yaml:10:1: NetworkPolicy production/deny\n       spec.tier: unknown tier \"legacy\""
    );
}

#[test]
fn the_machine_form_has_every_field() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labls: {}\n";
    let manifest = decode("n.yaml", text.as_bytes(), &Limits::default());
    let json = serde_json::to_value(&manifest.diagnostics[0]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "severity": "error",
            "code": "unknown-field",
            "file": "n.yaml",
            "line": 5,
            "column": 3,
            "object": "Namespace a",
            "path": "metadata.labls",
            "message": "unknown field \"labls\"",
            "help": "did you mean `labels`?",
        })
    );
}

#[test]
fn columns_are_characters_and_lines_may_end_like_on_windows() {
    let text = "apiVersion: v1\r\nkind: Namespace\r\nmetadata:\r\n  labels: {größe: \"ä\", b: ö ö}\r\n  name: a\r\n";
    let manifest = decode("n.yaml", text.as_bytes(), &Limits::default());
    let places: Vec<(usize, usize, &str)> = manifest
        .diagnostics
        .iter()
        .map(|found| {
            (
                found.line,
                found.column,
                text.get(found.span.clone()).unwrap(),
            )
        })
        .collect();
    assert_eq!(places, [(4, 12, "größe"), (4, 19, "\"ä\""), (4, 27, "ö ö")]);
}

#[test]
fn selectors_are_marked_inside_their_text_only_when_that_is_certain() {
    let marked = |selector: &str| {
        let text = format!(
            "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {{name: a}}\nspec:\n  selector: {selector}\n"
        );
        let manifest = decode("p.yaml", text.as_bytes(), &Limits::default());
        let found = &manifest.diagnostics[0];
        assert_eq!(found.code, Code::InvalidSelector);
        text.get(found.span.clone()).unwrap().to_owned()
    };
    assert_eq!(marked("a = 'x'"), "=");
    assert_eq!(marked("\"a = 'x'\""), "=");
    assert_eq!(marked("'a & b'"), "&");
    assert_eq!(marked("\"a\\u0020= 'x'\""), "\"a\\u0020= 'x'\"");
    assert_eq!(marked("'a = ''x'''"), "'a = ''x'''");
    assert_eq!(marked("|\n    a == 'x' = b"), "a == 'x' = b\n");
}

#[test]
fn every_document_of_a_stream_has_its_own_places() {
    let json = "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\"}}\n{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\n\"metadata\":{\"name\":\"b\"}}";
    let manifest = decode("n.json", json.as_bytes(), &Limits::default());
    assert!(manifest.diagnostics.is_empty());
    let places: Vec<String> = manifest
        .objects
        .iter()
        .map(|found| format!("{} {}", found.document, found.place_of("metadata.name")))
        .collect();
    assert_eq!(places, ["0 n.json:1", "1 n.json:3"]);
}
