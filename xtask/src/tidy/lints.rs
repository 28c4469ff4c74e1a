//! Every crate takes the lints of the workspace, pure crates forbid `unsafe`, and only those whose
//! job it is may use it.

use serde::Deserialize;

use crate::tidy::purity::PURE;
use crate::{Finding, Repo};

/// Crates that talk to the kernel in its own words.
const UNSAFE: [&str; 2] = ["kernel", "bpf"];

#[derive(Deserialize, Default)]
struct Manifest {
    #[serde(default)]
    lints: Lints,
}

#[derive(Deserialize, Default)]
struct Lints {
    #[serde(default)]
    workspace: bool,
}

/// `[lints] workspace = true` in every manifest but the root's.
pub fn inherited(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in &repo.files {
        if !path.ends_with("/Cargo.toml") {
            continue;
        }
        let text = match basic_toml::from_str::<Manifest>(&file.text) {
            Ok(manifest) if manifest.lints.workspace => continue,
            Ok(_) => "the crate does not inherit the lints: add `[lints] workspace = true`".into(),
            Err(error) => format!("the manifest does not parse: {error}"),
        };
        findings.push(repo.finding(path, "[lints]", text));
    }
    findings
}

/// `#![forbid(unsafe_code)]` on pure crates; the lint lifted in no crate but those of `UNSAFE`.
pub fn unsafe_code(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in repo
        .graph
        .members()
        .filter(|package| PURE.contains(&package.short()))
    {
        for (root, kind) in &package.roots {
            let forbidden = ["forbid", "(", "unsafe_code", ")"];
            let file = repo.files.get(root).filter(|_| kind == "lib");
            if file.is_some_and(|file| file.source.places_of(&forbidden).is_empty()) {
                let text = "a pure crate carries `#![forbid(unsafe_code)]`".to_owned();
                findings.push(Finding {
                    path: root.clone(),
                    line: 1,
                    text,
                });
            }
        }
    }
    for (path, file) in repo.rust() {
        let may = UNSAFE
            .iter()
            .any(|name| path.starts_with(&format!("crates/{name}/")));
        let lifted = ["allow", "expect", "warn"]
            .iter()
            .flat_map(|level| file.source.places_of(&[level, "(", "unsafe_code"]));
        findings.extend(lifted.filter(|_| !may).map(|line| Finding {
            path: path.to_owned(),
            line,
            text: "unsafe code belongs in `kernel`".to_owned(),
        }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::{member, printed, repo};

    #[test]
    fn a_manifest_without_lints_is_found() {
        let tree = Repo::of(&[
            ("Cargo.toml", "[workspace]"),
            (
                "crates/a/Cargo.toml",
                "[package]\nname = \"a\"\n[lints]\nworkspace = true\n",
            ),
            ("crates/b/Cargo.toml", "[package]\nname = \"b\"\n"),
            (
                "crates/c/Cargo.toml",
                "[package]\n[lints]\nworkspace = false\n",
            ),
        ]);
        let found = printed(inherited(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/b/Cargo.toml:1: "), "{found:?}");
        assert!(found[1].starts_with("crates/c/Cargo.toml:2: "), "{found:?}");
    }

    #[test]
    fn unsafe_is_kept_out() {
        let files = [
            ("crates/net/src/lib.rs", "//! x\n#![forbid(unsafe_code)]\n"),
            ("crates/nft/src/lib.rs", "//! #![forbid(unsafe_code)]\n"),
            (
                "crates/kernel/src/lib.rs",
                "#![expect(unsafe_code, reason = \"x\")]",
            ),
            ("crates/lab/src/lib.rs", "//! x\n\n#![allow(unsafe_code)]"),
        ];
        let packages = ["net", "nft", "kernel", "lab"].map(|name| member(name, &[]));
        let found = printed(unsafe_code(&repo(&files, packages.to_vec())));
        assert_eq!(
            found,
            [
                "crates/nft/src/lib.rs:1: a pure crate carries `#![forbid(unsafe_code)]`",
                "crates/lab/src/lib.rs:3: unsafe code belongs in `kernel`",
            ]
        );
    }
}
