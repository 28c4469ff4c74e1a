//! Files that no compilation and no test reads: they look like code and prove nothing.

use std::collections::BTreeSet;

use crate::repo::has_extension;
use crate::source::{Kind, Token};
use crate::{Finding, Repo};

/// A `.rs` file that no `mod` or `include!` reaches from a target.
pub fn rust_files(repo: &Repo) -> Vec<Finding> {
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let roots = repo.graph.members().flat_map(|package| &package.roots);
    let mut queue: Vec<(String, bool)> = roots.map(|(root, _)| (root.clone(), true)).collect();
    while let Some((path, is_root)) = queue.pop() {
        let Some(file) = repo.files.get(&path) else {
            continue;
        };
        for candidate in children(&file.source.tokens, &path, is_root) {
            if repo.files.contains_key(&candidate) && !reached.contains(&candidate) {
                queue.push((candidate, false));
            }
        }
        reached.insert(path);
    }
    let orphans = repo.rust().filter(|(path, _)| !reached.contains(*path));
    let finding = |(path, _)| Finding {
        path: String::from(path),
        line: 1,
        text: "no `mod` reaches this file: declare it or delete it".to_owned(),
    };
    orphans.map(finding).collect()
}

/// Paths that the file at `path` brings in, whether they exist or not.
fn children(tokens: &[Token], path: &str, is_root: bool) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let own = if is_root || stem == "mod" {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    let mut found = Vec::new();
    // Inline modules around the current token, with the brace depth inside each.
    let mut inline: Vec<(usize, &str)> = Vec::new();
    let mut depth = 0_usize;
    let mut named_path: Option<&str> = None;
    for (at, token) in tokens.iter().enumerate() {
        let next = |step: usize| tokens.get(at + step).map(|token| &token.kind);
        match (&token.kind, next(1), next(2), next(3)) {
            (Kind::Punct('{'), ..) => depth += 1,
            (Kind::Punct('}'), ..) => {
                depth = depth.saturating_sub(1);
                inline.retain(|(inside, _)| *inside <= depth);
            }
            (Kind::Word(word), Some(Kind::Punct('=')), Some(Kind::Text(text)), _)
                if word == "path" =>
            {
                named_path = Some(text);
            }
            (
                Kind::Word(word),
                Some(Kind::Punct('!')),
                Some(Kind::Punct('(')),
                Some(Kind::Text(text)),
            ) if word == "include" => found.push(join(folder, text)),
            (Kind::Word(word), Some(Kind::Word(name)), Some(Kind::Punct('{')), _)
                if word == "mod" =>
            {
                inline.push((depth + 1, name));
            }
            (Kind::Word(word), Some(Kind::Word(name)), Some(Kind::Punct(';')), _)
                if word == "mod" =>
            {
                let around = inline
                    .iter()
                    .fold(own.clone(), |at, (_, part)| join(&at, part));
                found.push(join(&around, &format!("{name}.rs")));
                found.push(join(&around, &format!("{name}/mod.rs")));
                found.extend(named_path.take().map(|text| join(folder, text)));
            }
            _ => {}
        }
    }
    found
}

fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A file below a `cases` folder that no string of its crate names, neither itself nor a folder
/// that it is in: no test can be reading it.
pub fn case_files(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in repo
        .files
        .iter()
        .filter(|(path, _)| !has_extension(path, "rs"))
    {
        let Some((owner, _)) = path.split_once("/cases/") else {
            continue;
        };
        let members = repo
            .graph
            .members()
            .filter_map(|package| package.folder.as_deref());
        let home = members.filter(|folder| format!("{owner}/").starts_with(&format!("{folder}/")));
        let Some(home) = home.max_by_key(|folder| folder.len()) else {
            continue;
        };
        if !is_read(repo, home, path) {
            findings.push(Finding {
                path: path.clone(),
                line: 1,
                text: format!(
                    "no string in `{home}` names this case or its folder: nothing reads it"
                ),
            });
        }
    }
    findings
}

fn is_read(repo: &Repo, home: &str, path: &str) -> bool {
    let inside = path
        .strip_prefix(home)
        .unwrap_or(path)
        .trim_start_matches('/');
    let mut readable = vec![inside];
    let mut rest = inside;
    while let Some((folder, _)) = rest.rsplit_once('/') {
        if folder == "cases" || folder.ends_with("/cases") || folder.contains("/cases/") {
            readable.push(folder);
        }
        rest = folder;
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    let sources = repo
        .rust()
        .filter(|(path, _)| path.starts_with(&format!("{home}/")));
    let mut texts = sources.flat_map(|(_, file)| file.source.texts());
    texts.any(|text| {
        let text = text.trim_end_matches('/');
        text.split('/').any(|part| part == file)
            || readable
                .iter()
                .any(|path| ends_with_path(text, path) || ends_with_path(path, text))
    })
}

/// Whether the last parts of `path` are those of `tail`, of which one is `cases` or a file.
fn ends_with_path(path: &str, tail: &str) -> bool {
    let names_cases = tail.split('/').any(|part| part == "cases");
    let cut = path.strip_suffix(tail);
    names_cases && cut.is_some_and(|head| head.is_empty() || head.ends_with('/'))
}

/// More than one integration test binary in a crate: each is linked and run on its own.
pub fn test_binaries(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in repo.graph.members() {
        let tests = package.roots.iter().filter(|(_, kind)| kind == "test");
        findings.extend(tests.skip(1).map(|(path, _)| Finding {
            path: path.clone(),
            line: 1,
            text: "one test binary per crate: make it a module of the first".to_owned(),
        }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::{member, repo};

    fn paths(findings: Vec<Finding>) -> Vec<String> {
        findings.into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn a_file_that_no_mod_reaches_is_found() {
        let files = [
            (
                "crates/a/src/lib.rs",
                "mod b; mod c { mod d { fn f() {} } mod e; } // mod x;",
            ),
            (
                "crates/a/src/b.rs",
                "#[cfg(test)] mod tests; include!(\"g.rs\");",
            ),
            ("crates/a/src/b/tests.rs", ""),
            ("crates/a/src/c/e.rs", ""),
            ("crates/a/src/g.rs", ""),
            ("crates/a/src/x.rs", ""),
            ("crates/a/src/b/y.rs", ""),
        ];
        let tree = repo(&files, vec![member("a", &[])]);
        assert_eq!(
            paths(rust_files(&tree)),
            ["crates/a/src/b/y.rs", "crates/a/src/x.rs"]
        );
    }

    #[test]
    fn the_modules_of_a_test_binary_are_reached_by_path() {
        let files = [
            ("crates/a/src/lib.rs", ""),
            (
                "crates/a/tests/it.rs",
                "#[path = \"it/one.rs\"] mod one; mod it { mod two; }",
            ),
            ("crates/a/tests/it/one.rs", ""),
            ("crates/a/tests/it/two.rs", ""),
            ("crates/a/tests/it/three.rs", ""),
        ];
        let mut package = member("a", &[]);
        package
            .roots
            .push(("crates/a/tests/it.rs".to_owned(), "test".to_owned()));
        assert_eq!(
            paths(rust_files(&repo(&files, vec![package]))),
            ["crates/a/tests/it/three.rs"]
        );
    }

    #[test]
    fn a_case_that_nothing_names_is_found() {
        let files = [
            (
                "crates/a/tests/it.rs",
                "fn f() { g(\"tests/cases/good\"); h(\"one.yaml\"); }",
            ),
            ("crates/a/tests/cases/good/x.txt", ""),
            ("crates/a/tests/cases/bad/one.yaml", ""),
            ("crates/a/tests/cases/bad/two.yaml", ""),
            ("crates/b/src/lib.rs", "const C: &str = \"cases\";"),
            ("crates/b/cases/any/three.yaml", ""),
        ];
        let tree = repo(&files, vec![member("a", &[]), member("b", &[])]);
        assert_eq!(
            paths(case_files(&tree)),
            ["crates/a/tests/cases/bad/two.yaml"]
        );
    }

    #[test]
    fn a_second_test_binary_is_found() {
        let mut package = member("a", &[]);
        for name in ["it", "other"] {
            package
                .roots
                .push((format!("crates/a/tests/{name}.rs"), "test".to_owned()));
        }
        let found = paths(test_binaries(&repo(&[], vec![package])));
        assert_eq!(found, ["crates/a/tests/other.rs"]);
    }
}
