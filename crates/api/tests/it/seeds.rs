//! The published manifests of the conformance folder, when it is there.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Once;

use oncilla_api::Kind;
use oncilla_api::manifest::{Limits, Manifest, decode};

static SAID: Once = Once::new();

/// The conformance folder; `None`, after saying so, when it is not there.
#[expect(
    clippy::disallowed_methods,
    reason = "where the shared test inputs are is the test runner's configuration"
)]
fn folder() -> Option<PathBuf> {
    let folder = std::env::var("ONCILLA_CONFORMANCE").map_or_else(
        |_unset| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var("CI").is_err(),
        "{} is missing; set ONCILLA_CONFORMANCE",
        folder.display()
    );
    // Not println: the test harness would hide it. Once: one line for all tests here.
    SAID.call_once(|| {
        let text = format!(
            "left out: the seed manifests, because {} is missing\n",
            folder.display()
        );
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    });
    None
}

/// Every file of a folder, in order of name.
fn files(folder: &Path) -> Vec<(String, Manifest)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let bytes = fs::read(path).unwrap();
            let manifest = decode(&name, &bytes, &Limits::default());
            (name, manifest)
        })
        .collect()
}

#[test]
fn fourteen_of_the_fifteen_manifests_are_valid() {
    let Some(folder) = folder() else { return };
    let manifests = files(&folder.join("seeds/manifests"));
    assert_eq!(manifests.len(), 15);
    for (name, manifest) in &manifests {
        if name == "07-calico-deny-policy.yaml" {
            assert_eq!(manifest.objects.len(), 0);
            assert_eq!(
                manifest.diagnostics[0].to_string(),
                "error: 07-calico-deny-policy.yaml:20:9: NetworkPolicy production/deny-database-from-frontend\n       \
                 spec.ingress[1]: rules with numeric port or port range must set protocol to TCP or UDP or SCTP\n\
                 help: add `protocol: TCP` beside `action:` (line 16)"
            );
        } else {
            assert_eq!(manifest.diagnostics, [], "{name}");
            assert_eq!(manifest.objects.len(), 1, "{name}");
        }
    }
}

#[test]
fn repairs_and_variants_are_valid() {
    let Some(folder) = folder() else { return };
    for (name, manifest) in files(&folder.join("seeds/fixed")) {
        assert_eq!(manifest.diagnostics, [], "{name}");
    }
    for (name, manifest) in files(&folder.join("seeds/extra")) {
        assert_eq!(manifest.diagnostics, [], "{name}");
        assert!(!manifest.objects.is_empty(), "{name}");
    }
}

#[test]
fn clusters_are_valid() {
    let Some(folder) = folder() else { return };
    for (name, manifest) in files(&folder.join("seeds/clusters")) {
        assert_eq!(manifest.diagnostics, [], "{name}");
        let pods = manifest
            .objects
            .iter()
            .filter(|found| found.object.kind() == Kind::Pod)
            .count();
        assert!(pods > 0, "{name}");
    }
}
