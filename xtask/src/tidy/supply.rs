//! What comes from outside: its licence, where from, and whether twice. The lists are those of
//! `deny.toml`, so that people with cargo-deny and people without are held to the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::graph::Edge;
use crate::spdx;
use crate::{Finding, Repo};

const DENY: &str = "deny.toml";
/// Build dependencies that mean C.
const C_TOOLS: [&str; 4] = ["bindgen", "cc", "cmake", "pkg-config"];

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    #[serde(default)]
    skip: Vec<Skip>,
    #[serde(default)]
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Skip {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    /// With wrappers it is a layer rule for cargo-deny; ours are in `layers`.
    #[serde(default)]
    wrappers: Vec<String>,
}

#[derive(Deserialize)]
struct Sources {
    #[serde(rename = "allow-registry")]
    allow_registry: Vec<String>,
}

fn deny(repo: &Repo) -> Result<Deny, Vec<Finding>> {
    basic_toml::from_str(repo.text(DENY))
        .map_err(|error| vec![repo.finding(DENY, "", format!("does not parse: {error}"))])
}

/// Every package has a licence that `deny.toml` allows; ours is Apache-2.0.
pub fn licences(repo: &Repo) -> Vec<Finding> {
    let deny = match deny(repo) {
        Ok(deny) => deny,
        Err(findings) => return findings,
    };
    let mut findings = Vec::new();
    for package in &repo.graph.packages {
        let licence = package.license.as_deref().unwrap_or("none");
        let good = if package.folder.is_some() {
            licence == "Apache-2.0"
        } else {
            spdx::satisfied(licence, &deny.licenses.allow)
        };
        if !good {
            let text = format!(
                "licence of `{} {}` is not allowed: {licence}",
                package.name, package.version
            );
            findings.push(repo.finding(&package.manifest(), &named(&package.name), text));
        }
    }
    findings
}

/// Packages come from the allowed registries or from a path inside, with a version; what is
/// banned outright is not among them.
pub fn sources(repo: &Repo) -> Vec<Finding> {
    let deny = match deny(repo) {
        Ok(deny) => deny,
        Err(findings) => return findings,
    };
    let mut findings = Vec::new();
    for package in &repo.graph.packages {
        let mut object = |path: &str, needle: &str, text: String| {
            findings.push(repo.finding(path, needle, text));
        };
        let needle = named(&package.name);
        let registry = package.source.as_deref().and_then(|source| {
            source
                .strip_prefix("registry+")
                .or_else(|| source.strip_prefix("sparse+"))
        });
        let known =
            registry.is_some_and(|from| deny.sources.allow_registry.iter().any(|ok| ok == from));
        if package.folder.is_none() && !known {
            let from = package
                .source
                .as_deref()
                .unwrap_or("a path outside the repository");
            object(
                "Cargo.lock",
                &needle,
                format!("`{}` comes from {from}", package.name),
            );
        }
        if deny
            .bans
            .deny
            .iter()
            .any(|ban| ban.wrappers.is_empty() && ban.name == package.name)
        {
            object(
                "Cargo.lock",
                &needle,
                format!("`{}` is banned by {DENY}", package.name),
            );
        }
        for wild in package
            .wildcards
            .iter()
            .filter(|_| package.folder.is_some())
        {
            object(
                &package.manifest(),
                wild,
                format!("`{wild}` needs a version, not `*`"),
            );
        }
    }
    findings
}

/// A second version of a package has a reason in `deny.toml`, and each reason a second version.
pub fn duplicates(repo: &Repo) -> Vec<Finding> {
    let deny = match deny(repo) {
        Ok(deny) => deny,
        Err(findings) => return findings,
    };
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &repo.graph.packages {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    let mut findings = Vec::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        if !deny.bans.skip.iter().any(|skip| skip.name == **name) {
            let text = format!(
                "{} versions of `{name}`: {versions:?}; drop one, or give the reason in {DENY}, bans.skip",
                versions.len()
            );
            findings.push(repo.finding("Cargo.lock", &named(name), text));
        }
    }
    for skip in &deny.bans.skip {
        let needle = format!("\"{}\"", skip.name);
        if skip.reason.trim().is_empty() {
            findings.push(repo.finding(DENY, &needle, format!("`{}` has no reason", skip.name)));
        }
        if versions
            .get(skip.name.as_str())
            .is_none_or(|versions| versions.len() < 2)
        {
            let text = format!("`{}` has one version now: delete its entry", skip.name);
            findings.push(repo.finding(DENY, &needle, text));
        }
    }
    findings
}

/// Nothing that the executable links compiles C: a machine with Rust and a linker can build it, and
/// `scripts/setup` installs no compiler for musl.
pub fn no_c(repo: &Repo) -> Vec<Finding> {
    let Some(cli) = repo
        .graph
        .members()
        .find(|package| package.short() == "cli")
    else {
        return Vec::new();
    };
    let linked = repo.graph.linked_by(cli);
    let mut findings = Vec::new();
    for package in &repo.graph.packages {
        let Some(way) = linked.get(package.name.as_str()) else {
            continue;
        };
        let build = package.uses.iter().filter(|(_, edge)| *edge == Edge::Build);
        let tools = build.filter_map(|(at, _)| repo.graph.packages.get(*at));
        if let Some(tool) = tools
            .into_iter()
            .find(|tool| C_TOOLS.contains(&tool.name.as_str()))
        {
            let text = format!(
                "the executable must hold no C, but {way} builds with `{}`",
                tool.name
            );
            findings.push(repo.finding("Cargo.lock", &named(&package.name), text));
        }
    }
    findings
}

/// The line of the lock file that names a package.
fn named(name: &str) -> String {
    format!("name = \"{name}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::{external, member, printed, repo};

    const LIST: &str = r#"
[licenses]
allow = ["MIT"]
[bans]
deny = [{ crate = "openssl-sys", reason = "x" }, { crate = "libc", wrappers = ["kernel"] }]
skip = [
  { crate = "syn", reason = "two macro families" },
  { crate = "one", reason = "x" },
  { crate = "bare" },
]
[sources]
allow-registry = ["https://github.com/rust-lang/crates.io-index"]
"#;

    #[test]
    fn a_licence_off_the_list_is_found() {
        let mut copyleft = external("copyleft", "1.0.0", &[]);
        copyleft.license = Some("GPL-3.0-only".to_owned());
        let mut silent = external("silent", "1.0.0", &[]);
        silent.license = None;
        let mut ours = member("net", &[]);
        ours.license = Some("MIT".to_owned());
        let packages = vec![copyleft, silent, ours, external("good", "1.0.0", &[])];
        let lock = "[[package]]\nname = \"copyleft\"\n";
        let found = printed(licences(&repo(
            &[(DENY, LIST), ("Cargo.lock", lock)],
            packages,
        )));
        assert_eq!(
            found,
            [
                "Cargo.lock:2: licence of `copyleft 1.0.0` is not allowed: GPL-3.0-only",
                "Cargo.lock:1: licence of `silent 1.0.0` is not allowed: none",
                "crates/net/Cargo.toml:1: licence of `oncilla-net 0.1.0` is not allowed: MIT",
            ]
        );
    }

    #[test]
    fn git_strange_registries_bans_and_wildcards_are_found() {
        let mut git = external("a", "1.0.0", &[]);
        git.source = Some("git+https://example.com/a".to_owned());
        let mut strange = external("b", "1.0.0", &[]);
        strange.source = Some("sparse+https://example.com/".to_owned());
        let mut outside = external("c", "1.0.0", &[]);
        outside.source = None;
        let mut wild = member("net", &[]);
        wild.wildcards.push("d".to_owned());
        let ban = external("openssl-sys", "0.9.0", &[]);
        let packages = vec![
            git,
            strange,
            outside,
            wild,
            ban,
            external("libc", "0.2.0", &[]),
        ];
        let found = printed(sources(&repo(&[(DENY, LIST)], packages))).join("\n");
        for expect in [
            "`a` comes from git+",
            "`b` comes from sparse+",
            "`c` comes from a path",
            "`d` needs a version",
            "`openssl-sys` is banned",
        ] {
            assert!(found.contains(expect), "{found}");
        }
        assert_eq!(found.lines().count(), 5, "{found}");
    }

    #[test]
    fn a_second_version_needs_a_reason_and_a_reason_a_second_version() {
        let twice = |name| [external(name, "1.0.0", &[]), external(name, "2.0.0", &[])];
        let mut packages = [twice("syn"), twice("twin"), twice("bare")].concat();
        packages.push(external("one", "1.0.0", &[]));
        let found = printed(duplicates(&repo(&[(DENY, LIST)], packages))).join("\n");
        assert!(found.contains("2 versions of `twin`"), "{found}");
        assert!(found.contains("`bare` has no reason"), "{found}");
        assert!(found.contains("`one` has one version now"), "{found}");
        assert_eq!(found.lines().count(), 3, "{found}");
    }

    #[test]
    fn c_in_the_executable_is_found() {
        let mut sys = external("sys", "1.0.0", &[]);
        sys.uses.push((4, Edge::Build));
        let mut fuzz = external("fuzz", "1.0.0", &[]);
        fuzz.uses.push((4, Edge::Build));
        let mut cli = member("cli", &[1]);
        cli.uses.push((3, Edge::Dev));
        let packages = vec![
            cli,
            member("store", &[2]),
            sys,
            fuzz,
            external("cc", "1.0.0", &[]),
        ];
        let found = printed(no_c(&repo(&[], packages)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("oncilla-store -> sys builds with `cc`"),
            "{found:?}"
        );
    }

    #[test]
    fn a_missing_list_is_found() {
        let tree = repo(&[], Vec::new());
        for check in [licences, sources, duplicates] {
            assert_eq!(check(&tree).len(), 1);
        }
    }
}
