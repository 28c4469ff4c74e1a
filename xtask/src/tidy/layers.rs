//! The street has one direction: who may link whom, from the manifests.

use crate::source::Token;
use crate::{Finding, Repo};

/// The level of each crate, as in the architecture; none for those that stand outside the street.
const LEVELS: [(&str, Option<u8>); 26] = [
    ("net", Some(1)),
    ("selector", Some(1)),
    ("api", Some(1)),
    ("model", Some(2)),
    ("program", Some(2)),
    ("verdict", Some(3)),
    ("resolve", Some(3)),
    ("compile", Some(3)),
    ("nft", Some(4)),
    ("bpf", Some(4)),
    ("iptables", Some(4)),
    ("kernel", Some(4)),
    ("store", Some(4)),
    ("dataplane", Some(5)),
    ("ipam", Some(5)),
    ("routing", Some(5)),
    ("flows", Some(5)),
    ("apiserver", Some(6)),
    ("agent", Some(6)),
    ("cni", Some(6)),
    ("lab", Some(6)),
    ("cli", Some(6)),
    ("testkit", None),
    ("conformance", None),
    ("bench", None),
    ("xtask", None),
];

/// The only crates of this repository that a narrow one may link.
const ONLY: [(&str, &[&str]); 8] = [
    ("net", &[]),
    ("selector", &[]),
    ("api", &["net", "selector"]),
    ("program", &["net"]),
    // The judge shares no code with what it judges.
    ("verdict", &["net", "api", "selector"]),
    ("nft", &["net", "program"]),
    // Of `nft` only the vocabulary, see `kernel_vocabulary`.
    ("kernel", &["net", "nft"]),
    ("store", &["net", "api"]),
];

/// What a crate must not know, whichever way it would come by it.
const NEVER: [(&str, &[&str]); 6] = [
    ("model", &["store", "kernel"]),
    ("nft", &["bpf", "iptables"]),
    ("bpf", &["nft", "iptables"]),
    ("iptables", &["nft", "bpf"]),
    ("dataplane", &["store", "verdict"]),
    ("apiserver", &["kernel", "dataplane"]),
];

/// External crates that are a way to the kernel; only these crates may link them.
const SYSTEM: [(&str, &[&str]); 7] = [
    ("libc", &["kernel"]),
    ("nix", &["kernel"]),
    ("netlink-sys", &["kernel"]),
    ("netlink-packet-core", &["kernel"]),
    ("netlink-packet-route", &["kernel"]),
    ("netlink-packet-netfilter", &["kernel"]),
    // The bench measures a bare file beside the store, as its floor.
    ("redb", &["store", "bench"]),
];

/// No crate links one of a higher level, and none of the street links what stands outside it.
pub fn levels(repo: &Repo) -> Vec<Finding> {
    let level = |name: &str| {
        LEVELS
            .iter()
            .find(|(short, _)| *short == name)
            .map(|(_, at)| *at)
    };
    let mut findings = Vec::new();
    for package in repo.graph.members() {
        let manifest = package.manifest();
        let Some(own) = level(package.short()) else {
            let text = format!("`{}` has no level: give it one in LEVELS", package.short());
            findings.push(repo.finding(&manifest, "name", text));
            continue;
        };
        let Some(own) = own else { continue };
        for used in repo
            .graph
            .links(package)
            .into_iter()
            .filter(|used| used.folder.is_some())
        {
            let text = match level(used.short()).flatten() {
                Some(at) if at <= own => continue,
                Some(at) => format!("level {own} must not link `{}` of level {at}", used.name),
                None => format!(
                    "only tests may use `{}`: make it a dev-dependency",
                    used.name
                ),
            };
            findings.push(repo.finding(&manifest, &used.name, text));
        }
    }
    findings
}

/// What narrow crates link, and what a crate must never know.
pub fn narrow(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in repo.graph.members() {
        let manifest = package.manifest();
        let short = package.short();
        for used in repo.graph.links(package) {
            let inside = used.folder.is_some();
            let only = ONLY
                .iter()
                .find(|(name, _)| *name == short)
                .filter(|_| inside);
            let owners = SYSTEM
                .iter()
                .find(|(name, _)| *name == used.name)
                .filter(|_| !inside);
            let text = match (only, owners) {
                (Some((_, only)), _) if !only.contains(&used.short()) => {
                    format!(
                        "`{short}` may link {only:?} of this repository, not `{}`",
                        used.name
                    )
                }
                (_, Some((_, owners))) if !owners.contains(&short) => {
                    format!("only {owners:?} may link `{}`", used.name)
                }
                _ => continue,
            };
            findings.push(repo.finding(&manifest, &used.name, text));
        }
        let linked = repo.graph.linked_by(package);
        let never = NEVER
            .iter()
            .filter(|(name, _)| *name == short)
            .flat_map(|(_, never)| *never);
        for forbidden in never {
            if let Some(way) = linked.get(format!("oncilla-{forbidden}").as_str()) {
                let text = format!("`{short}` must not know `{forbidden}`: {way}");
                findings.push(repo.finding(&manifest, &format!("oncilla-{forbidden}"), text));
            }
        }
    }
    findings
}

/// `kernel` encodes the vocabulary of `nft::object` and sees nothing else of that crate (ADR 0001).
pub fn kernel_vocabulary(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in repo
        .rust()
        .filter(|(path, _)| path.starts_with("crates/kernel/"))
    {
        let tokens = &file.source.tokens;
        for (at, token) in tokens.iter().enumerate() {
            if token.is_word("oncilla_nft") && !names_object(tokens.get(at + 1..).unwrap_or(&[])) {
                findings.push(Finding {
                    path: path.to_owned(),
                    line: token.line,
                    text: "of `oncilla_nft`, `kernel` uses `object` only (ADR 0001)".to_owned(),
                });
            }
        }
    }
    findings
}

fn names_object(after: &[Token]) -> bool {
    match after {
        [first, second, third, ..] => first.is(':') && second.is(':') && third.is_word("object"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Edge;
    use crate::tidy::fixture::{external, member, printed, repo};

    #[test]
    fn a_link_upwards_is_found_and_a_test_may_look_up() {
        let manifest = "[dependencies]\noncilla-compile.workspace = true\n";
        let mut kernel = member("kernel", &[]);
        kernel.uses.push((3, Edge::Dev));
        let packages = vec![
            member("model", &[1]),
            member("compile", &[0]),
            kernel,
            member("testkit", &[2]),
        ];
        let tree = repo(&[("crates/model/Cargo.toml", manifest)], packages);
        let expect =
            "crates/model/Cargo.toml:2: level 2 must not link `oncilla-compile` of level 3";
        assert_eq!(printed(levels(&tree)), [expect]);
    }

    #[test]
    fn a_test_crate_in_the_street_and_a_crate_without_level_are_found() {
        let packages = vec![
            member("agent", &[1]),
            member("testkit", &[]),
            member("misc", &[]),
        ];
        let found = printed(levels(&repo(&[], packages))).join("\n");
        assert!(
            found.contains("only tests may use `oncilla-testkit`"),
            "{found}"
        );
        assert!(found.contains("`misc` has no level"), "{found}");
        assert_eq!(found.lines().count(), 2, "{found}");
    }

    #[test]
    fn narrow_crates_stay_narrow() {
        let packages = vec![
            member("verdict", &[1]),
            member("model", &[]),
            member("dataplane", &[3]),
            member("kernel", &[4, 5]),
            member("store", &[]),
            external("libc", "0.2.0", &[]),
            member("lab", &[5]),
        ];
        let found = printed(narrow(&repo(&[], packages))).join("\n");
        assert!(found.contains("`verdict` may link"), "{found}");
        assert!(found.contains("`kernel` may link"), "{found}");
        let way = "`dataplane` must not know `store`: oncilla-dataplane -> oncilla-kernel -> oncilla-store";
        assert!(found.contains(way), "{found}");
        assert!(
            found.contains("crates/lab/Cargo.toml:1: only [\"kernel\"] may link `libc`"),
            "{found}"
        );
        assert_eq!(found.lines().count(), 4, "{found}");
    }

    #[test]
    fn kernel_sees_the_vocabulary_only() {
        let good = "//! oncilla_nft::lower in words.\nuse oncilla_nft::object::{Chain, Set};\n";
        let bad = "use oncilla_nft::object;\nuse oncilla_nft::lower;\nuse oncilla_nft as nft;\n";
        let grouped = "use oncilla_nft::{lower, object};";
        let tree = Repo::of(&[
            ("crates/kernel/src/a.rs", good),
            ("crates/kernel/src/b.rs", bad),
            ("crates/kernel/src/c.rs", grouped),
            ("crates/dataplane/src/d.rs", bad),
        ]);
        let found = kernel_vocabulary(&tree);
        let places: Vec<(&str, usize)> = found
            .iter()
            .map(|finding| (finding.path.as_str(), finding.line))
            .collect();
        let (b, c) = ("crates/kernel/src/b.rs", "crates/kernel/src/c.rs");
        assert_eq!(places, [(b, 2), (b, 3), (c, 1)]);
    }
}
