//! `oncilla validate` and `calicoctl validate`: no server, every fault of every file, and how they end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::cluster::{Said, oncilla, run};
use super::schema::Schema;

const GOOD: &str = "apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {selector: app == 'web'}
";
const BAD: &str = "apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: all}
spec:
  tier: A
  ingress:
  - action: Allow
    protocol: tcp
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: office}
spec: {nets: [192.0.2.0/24]}
";
const NO_YAML: &str = "apiVersion: [\n";

/// A folder with files, and no server anywhere.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn said(folder: &Path, words: &str, stdin: &str) -> Said {
    run(&mut oncilla(folder, words), stdin.as_bytes())
}

/// The executable under the name of Calico's tool.
#[expect(
    clippy::disallowed_methods,
    reason = "the executable is what is tested"
)]
fn calicoctl(folder: &Path, words: &str, stdin: &str) -> Said {
    let link = folder.join("calicoctl");
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_oncilla"), &link).unwrap();
    }
    let mut command = std::process::Command::new(&link);
    command
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_remove("CLICOLOR_FORCE");
    run(&mut command, stdin.as_bytes())
}

#[track_caller]
fn check(said: &Said, code: i32, out: &str, err: &str) {
    let lines: Vec<&str> = said.err.lines().map(str::trim_end).collect();
    assert_eq!(
        (said.code, said.out.as_str(), lines.join("\n").as_str()),
        (code, out, err.trim_matches('\n')),
        "{}",
        said.err
    );
}

#[test]
fn all_valid() {
    let folder = folder(&[("a.yaml", GOOD), ("notes.txt", "no manifest")]);
    check(
        &said(folder.path(), "validate -f .", ""),
        0,
        "valid: 1 object in 1 file\n",
        "",
    );
    check(
        &said(folder.path(), "validate -f - --quiet", GOOD),
        0,
        "",
        "",
    );
}

#[test]
fn every_fault_of_every_file_is_named() {
    let folder = folder(&[("a.yaml", GOOD), ("b.yaml", BAD), ("c.json", NO_YAML)]);
    check(
        &said(folder.path(), "validate -f .", ""),
        1,
        "",
        r#"
error: ./b.yaml:5:9: GlobalNetworkPolicy all
       spec.tier: tier name must consist of lower case alphanumeric characters or '-', and start and end with an alphanumeric character
  |
1 | apiVersion: projectcalico.org/v3
2 | kind: GlobalNetworkPolicy
3 | metadata: {name: all}
4 | spec:
5 |   tier: A
  |         ^
  |
help: write the name of a tier, as in default
error: ./b.yaml:8:15: GlobalNetworkPolicy all
       spec.ingress[0].protocol: protocol name invalid: "tcp"
  |
4 | spec:
5 |   tier: A
6 |   ingress:
7 |   - action: Allow
8 |     protocol: tcp
  |               ^^^
  |
help: did you mean `TCP`?
error: ./c.json:1:13: neither YAML nor JSON: unclosed bracket '['
  |
1 | apiVersion: [
  |             ^
  |
help: close the bracket
invalid: 2 of 4 objects in 3 files
"#,
    );
}

#[test]
fn files_that_cannot_be_read_leave_the_question_open_and_the_others_are_judged() {
    let folder = folder(&[("a.yaml", GOOD), ("b.yaml", BAD)]);
    let words = "validate -f nowhere.yaml -f b.yaml -f a.yaml -f nothing/";
    let said = said(folder.path(), words, "");
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    for part in [
        "error: cannot read nowhere.yaml: No such file or directory",
        "error: cannot read nothing/: No such file or directory",
        "error: b.yaml:5:9: GlobalNetworkPolicy all",
        "invalid: 1 of 3 objects in 2 files; 2 paths could not be read\n",
    ] {
        assert!(said.err.contains(part), "{part}\n{}", said.err);
    }
    for words in ["validate", "validate -f a.yaml -o yaml", "validate a.yaml"] {
        assert_eq!(
            super::validating::said(folder.path(), words, "").code,
            2,
            "{words}"
        );
    }
}

#[test]
fn folders_of_folders_are_read_when_asked() {
    let folder = folder(&[("a.yaml", GOOD), ("sub/deep/b.yml", BAD)]);
    symlink(folder.path(), folder.path().join("sub/back")).unwrap();
    check(
        &said(folder.path(), "validate -f .", ""),
        0,
        "valid: 1 object in 1 file\n",
        "",
    );
    let said = said(folder.path(), "validate -R -f .", "");
    assert_eq!(said.code, 1);
    assert!(said.err.contains("./sub/deep/b.yml:5:9"), "{}", said.err);
    assert!(
        said.err.ends_with("invalid: 1 of 3 objects in 2 files\n"),
        "{}",
        said.err
    );
}

#[test]
fn two_files_may_hold_one_object_but_it_is_said() {
    let folder = folder(&[("a.yaml", GOOD), ("b.yaml", GOOD)]);
    let said = said(folder.path(), "validate -f .", "");
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "valid: 2 objects in 2 files\n")
    );
    let warning = "warning: ./b.yaml:3:18: NetworkPolicy shop/web\n         metadata.name: NetworkPolicy shop/web is already at ./a.yaml:3";
    assert!(said.err.contains(warning), "{}", said.err);
}

#[test]
fn machines_get_a_list() {
    let folder = folder(&[("a.yaml", GOOD), ("b.yaml", BAD)]);
    let bad = said(folder.path(), "validate -f . -o json", "");
    let found: serde_json::Value = serde_json::from_str(&bad.out).unwrap();
    Schema::read("diagnostics").assert(&found);
    assert_eq!(
        (bad.code, found.as_array().unwrap().len()),
        (1, 2),
        "{bad:?}"
    );
    assert_eq!(found[1]["path"], "spec.ingress[0].protocol");
    assert_eq!(bad.err, "invalid: 1 of 3 objects in 2 files\n");
    let good = said(folder.path(), "validate -f a.yaml -o json", "");
    assert_eq!((good.code, good.out.as_str()), (0, "[]\n"));
}

#[test]
fn calicoctl_by_its_name() {
    let folder = folder(&[
        ("a.yaml", GOOD),
        ("b.yaml", BAD),
        ("c.yaml", NO_YAML),
        ("d.yaml", ""),
    ]);
    let path = folder.path();
    check(
        &calicoctl(path, "validate -f a.yaml", ""),
        0,
        "Successfully validated 1 'NetworkPolicy' resource(s)\n",
        "",
    );
    check(
        &calicoctl(path, "validate --filename=b.yaml --config=x.cfg", ""),
        1,
        "Partial success: validated 1 out of 2 resources\n",
        "
note: --config is not used: no datastore is asked
hit error: [b.yaml:5:9: GlobalNetworkPolicy all: spec.tier: tier name must consist of lower case alphanumeric characters or '-', and start and end with an alphanumeric character (write the name of a tier, as in default)
b.yaml:8:15: GlobalNetworkPolicy all: spec.ingress[0].protocol: protocol name invalid: \"tcp\" (did you mean `TCP`?)]
",
    );
    let said = calicoctl(path, "validate -f c.yaml", "");
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(
        said.err.starts_with("failed to execute command: [c.yaml:"),
        "{}",
        said.err
    );
    let empty = calicoctl(path, "validate -f d.yaml", "");
    assert_eq!(empty.code, 1);
    assert!(
        empty.err.contains("d.yaml:1:1: the file is empty"),
        "{}",
        empty.err
    );
    check(
        &calicoctl(path, "validate -f d.yaml -f a.yaml --skip-empty", ""),
        0,
        "Successfully validated 1 'NetworkPolicy' resource(s)\n",
        "",
    );
    let elsewhere = calicoctl(path, "validate -f a.yaml -n other", "");
    assert_eq!(elsewhere.code, 1);
    assert!(
        elsewhere.err.starts_with(
            "failed to validate 'NetworkPolicy' resource: [a.yaml:3:34: NetworkPolicy shop/web: \
             metadata.namespace: resource namespace does not match client namespace. shop != other"
        ),
        "{}",
        elsewhere.err
    );
}

#[test]
fn calicoctl_ends_with_2_when_it_cannot_judge() {
    let folder = folder(&[("a.yaml", GOOD)]);
    for words in [
        "",
        "get nodes",
        "validate",
        "validate -f a.yaml --unknown",
        "validate -f b.yaml",
    ] {
        let said = calicoctl(folder.path(), words, "");
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{words}: {said:?}");
        assert!(!said.err.is_empty(), "{words}");
    }
    let help = calicoctl(folder.path(), "validate --help", "");
    assert_eq!(help.code, 0);
    assert!(
        help.out.contains("calicoctl validate -f policies/ -R"),
        "{}",
        help.out
    );
}
