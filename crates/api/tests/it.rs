//! The crate's only integration test binary: text in, text out.
#![expect(
    clippy::unwrap_used,
    reason = "what the tests' own functions unwrap would fail the test anyway"
)]

#[path = "it/calico.rs"]
mod calico;
#[path = "it/defaults.rs"]
mod defaults;
#[path = "it/fields.rs"]
mod fields;
#[path = "it/files.rs"]
mod files;
#[path = "it/hosts.rs"]
mod hosts;
#[path = "it/kinds.rs"]
mod kinds;
#[path = "it/kubernetes.rs"]
mod kubernetes;
#[path = "it/limits.rs"]
mod limits;
#[path = "it/names.rs"]
mod names;
#[path = "it/npa.rs"]
mod npa;
#[path = "it/positions.rs"]
mod positions;
#[path = "it/properties.rs"]
mod properties;
#[path = "it/reading.rs"]
mod reading;
#[path = "it/seeds.rs"]
mod seeds;
#[path = "it/staged.rs"]
mod staged;
#[path = "it/table.rs"]
mod table;

use oncilla_api::manifest::{Limits, Manifest, decode};

/// What a manifest's faults and warnings look like.
fn rendered(manifest: &Manifest) -> String {
    let mut text = String::new();
    for diagnostic in &manifest.diagnostics {
        text.push_str(&diagnostic.to_string());
        text.push('\n');
    }
    text
}

/// Decodes a file called `policy.yaml` and compares everything it says.
#[track_caller]
fn check(text: &str, expected: &str) {
    let manifest = decode("policy.yaml", text.as_bytes(), &Limits::default());
    pretty_compare(&rendered(&manifest), expected);
}

#[track_caller]
fn pretty_compare(found: &str, expected: &str) {
    assert!(found == expected, "found:\n{found}\nexpected:\n{expected}");
}
