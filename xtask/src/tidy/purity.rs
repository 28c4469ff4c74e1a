//! Pure crates: no async runtime, clock, environment, file or socket, neither linked nor used.

use crate::repo::is_test_path;
use crate::source::{Kind, Source, Token};
use crate::{Finding, Repo};

/// Levels 1 to 3 and the lowerings (architecture, invariant 1).
pub const PURE: [&str; 11] = [
    "net", "selector", "api", "model", "program", "verdict", "resolve", "compile", "nft", "bpf",
    "iptables",
];

/// Crates that bring a runtime, a clock, a file or a socket.
const IMPURE: [&str; 22] = [
    "async-std",
    "axum",
    "chrono",
    "futures-util",
    "hyper",
    "hyper-util",
    "mio",
    "netlink-packet-core",
    "netlink-packet-netfilter",
    "netlink-packet-route",
    "netlink-sys",
    "nix",
    "polling",
    "redb",
    "reqwest",
    "rustix",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "tracing-subscriber",
];

/// Modules of `std` that reach outside.
const STD: [&str; 5] = ["env", "fs", "os", "process", "thread"];
/// Types of `std` that reach outside, by name wherever they were imported from.
const STD_TYPES: [&str; 7] = [
    "Instant",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
];

/// Nothing impure is linked, directly or through another crate.
pub fn dependencies(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in repo
        .graph
        .members()
        .filter(|package| PURE.contains(&package.short()))
    {
        let linked = repo.graph.linked_by(package);
        for (name, way) in linked.iter().filter(|(name, _)| IMPURE.contains(name)) {
            // The manifest line that starts the way; another pure crate on it has its own finding.
            let first = way.split(" -> ").nth(1).unwrap_or(name);
            if PURE.iter().any(|pure| first == format!("oncilla-{pure}")) {
                continue;
            }
            let text = format!("a pure crate must not link `{name}`: {way}");
            findings.push(repo.finding(&package.manifest(), first, text));
        }
    }
    findings
}

/// Nothing outside is reached through `std`, tests aside.
pub fn source(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in repo.rust().filter(|(path, _)| !is_test_path(path)) {
        let pure = PURE
            .iter()
            .any(|name| path.starts_with(&format!("crates/{name}/src/")));
        if !pure {
            continue;
        }
        let tests = file.source.test_regions();
        for (line, name) in outward(&file.source) {
            if tests
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&line))
            {
                continue;
            }
            let text = format!("a pure crate must not use `{name}`: make it an argument");
            findings.push(Finding {
                path: path.to_owned(),
                line,
                text,
            });
        }
    }
    findings
}

fn outward(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let tokens = &source.tokens;
    for (at, token) in tokens.iter().enumerate() {
        if let Kind::Word(word) = &token.kind
            && STD_TYPES.contains(&word.as_str())
        {
            found.push((token.line, word.clone()));
        }
        let colons = tokens
            .get(at + 1..at + 3)
            .is_some_and(|pair| pair.iter().all(|t| t.is(':')));
        if token.is_word("std") && colons {
            let named = modules_named(source, at + 3);
            let named = named.filter_map(|token| match &token.kind {
                Kind::Word(word) if STD.contains(&word.as_str()) => Some((token.line, word)),
                _ => None,
            });
            found.extend(named.map(|(line, word)| (line, format!("std::{word}"))));
        }
    }
    found
}

/// The tokens at `start` that name a module of the path before it: one word, or those that begin
/// the entries of a group.
fn modules_named(source: &Source, start: usize) -> impl Iterator<Item = &Token> {
    let grouped = source.tokens.get(start).is_some_and(|token| token.is('{'));
    let close = if grouped {
        source.closing(start)
    } else {
        start
    };
    (start..=close).filter_map(move |at| {
        let before = at.checked_sub(1).and_then(|at| source.tokens.get(at));
        let begins = before.is_some_and(|before| before.is('{') || before.is(','));
        source.tokens.get(at).filter(|_| !grouped || begins)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Edge;
    use crate::tidy::fixture::{external, member, printed, repo};

    #[test]
    fn an_impure_crate_is_found_through_another_and_not_through_tests() {
        let manifest = "[dependencies]\nserde = \"1\"\nhandy = \"1\"\n";
        let mut api = member("api", &[]);
        api.uses.push((2, Edge::Dev));
        let packages = vec![
            member("model", &[1]),
            external("handy", "1.0.0", &[2]),
            external("tokio", "1.0.0", &[]),
            api,
            member("agent", &[2]),
            member("resolve", &[0]),
        ];
        let tree = repo(&[("crates/model/Cargo.toml", manifest)], packages);
        let way = "oncilla-model -> handy -> tokio";
        let expect =
            format!("crates/model/Cargo.toml:3: a pure crate must not link `tokio`: {way}");
        assert_eq!(printed(dependencies(&tree)), [expect]);
    }

    #[test]
    fn a_clock_a_file_and_the_environment_are_found_in_a_pure_crate() {
        let bad = "//! std::fs in words.\nuse std::{collections::BTreeMap, env};\n\
                   fn f() { std::fs::read(\"x\"); }\nuse std::time::Instant;\n\
                   use std::net::IpAddr;\n#[cfg(test)]\nmod tests {\n use std::fs;\n}\n";
        let tree = Repo::of(&[
            ("crates/model/src/lib.rs", bad),
            ("crates/model/tests/it.rs", bad),
            ("crates/agent/src/lib.rs", bad),
        ]);
        let found = source(&tree);
        let lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 3, 4], "{found:?}");
        assert!(
            found
                .iter()
                .all(|finding| finding.path == "crates/model/src/lib.rs")
        );
    }
}
