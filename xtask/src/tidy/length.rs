//! Files and functions stay short. `xtask/ratchet.toml` lists what does not, with a reason; an
//! entry may shrink and never grow.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::repo::is_test_path;
use crate::source::Source;
use crate::{Finding, Repo};

/// Lines of a file, tests not counted.
const FILE_LINES_MAX: usize = 600;
/// Files that are held to less.
const SHORTER: [(&str, usize); 1] = [("crates/agent/src/pipeline.rs", 149)];
const RATCHET: &str = "xtask/ratchet.toml";

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Ratchet {
    #[serde(default)]
    long_files: BTreeMap<String, LongFile>,
    #[serde(default)]
    long_functions: BTreeMap<String, LongFunctions>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongFile {
    lines: usize,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongFunctions {
    functions: usize,
    reason: String,
}

fn ratchet(repo: &Repo) -> Result<Ratchet, Finding> {
    basic_toml::from_str(repo.text(RATCHET))
        .map_err(|error| repo.finding(RATCHET, "", format!("does not parse: {error}")))
}

/// Files over the limit that the ratchet does not list, and entries that no longer fit.
pub fn files(repo: &Repo) -> Vec<Finding> {
    let ratchet = match ratchet(repo) {
        Ok(ratchet) => ratchet,
        Err(finding) => return vec![finding],
    };
    let mut findings = Vec::new();
    for (path, file) in repo.rust().filter(|(path, _)| !is_test_path(path)) {
        let lines = code_lines(&file.text, &file.source);
        let shorter = SHORTER
            .iter()
            .find(|(short, _)| *short == path)
            .map(|(_, max)| *max);
        let listed = ratchet.long_files.get(path).map(|entry| entry.lines);
        let max = shorter.or(listed).unwrap_or(FILE_LINES_MAX);
        if lines > max {
            let text = format!("{lines} lines without tests, at most {max}: split by concept");
            findings.push(Finding {
                path: path.to_owned(),
                line: max + 1,
                text,
            });
        }
    }
    for (path, entry) in &ratchet.long_files {
        let lines = repo
            .files
            .get(path)
            .map_or(0, |file| code_lines(&file.text, &file.source));
        let text = if lines <= FILE_LINES_MAX {
            format!("`{path}` is short enough now: delete its entry")
        } else if lines < entry.lines {
            format!("`{path}` has {lines} lines now: lower its entry")
        } else if entry.reason.trim().is_empty() {
            format!("`{path}` has no reason")
        } else {
            continue;
        };
        findings.push(repo.finding(RATCHET, path, text));
    }
    findings
}

/// Exceptions to clippy's limit on function length, counted by crate.
pub fn functions(repo: &Repo) -> Vec<Finding> {
    let ratchet = match ratchet(repo) {
        Ok(ratchet) => ratchet,
        Err(finding) => return vec![finding],
    };
    let mut found: BTreeMap<String, Vec<(&str, usize)>> = BTreeMap::new();
    for (path, file) in repo.rust() {
        let home = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["crates", name, ..] => format!("crates/{name}"),
            [first, ..] => (*first).to_owned(),
            [] => continue,
        };
        let lines = file
            .source
            .places_of(&["clippy", ":", ":", "too_many_lines"]);
        found
            .entry(home)
            .or_default()
            .extend(lines.into_iter().map(|line| (path, line)));
    }
    let mut findings = Vec::new();
    for (home, places) in &found {
        let listed = ratchet
            .long_functions
            .get(home)
            .map_or(0, |entry| entry.functions);
        for (path, line) in places.iter().skip(listed) {
            let text = format!(
                "`{home}` has {} long functions, at most {listed} by {RATCHET}: split this one",
                places.len()
            );
            findings.push(Finding {
                path: (*path).to_owned(),
                line: *line,
                text,
            });
        }
    }
    for (home, entry) in &ratchet.long_functions {
        let count = found.get(home).map_or(0, Vec::len);
        if count < entry.functions {
            let text = format!("`{home}` has {count} long functions now: lower its entry");
            findings.push(repo.finding(RATCHET, home, text));
        } else if entry.reason.trim().is_empty() {
            findings.push(repo.finding(RATCHET, home, format!("`{home}` has no reason")));
        }
    }
    findings
}

fn code_lines(text: &str, source: &Source) -> usize {
    let regions = source.test_regions();
    let tests: usize = regions.iter().map(|(first, last)| last - first + 1).sum();
    text.lines().count() - tests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::printed;

    fn tree(files: &[(&str, String)]) -> Repo {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, &**text)).collect();
        Repo::of(&files)
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_are_not_counted() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(300));
        let tree = tree(&[
            ("crates/a/src/long.rs", "\n".repeat(601)),
            ("crates/a/src/exact.rs", "\n".repeat(600)),
            ("crates/a/src/tested.rs", "\n".repeat(500) + &tests),
            ("crates/a/src/b/tests.rs", "\n".repeat(900)),
            ("crates/a/tests/it.rs", "\n".repeat(900)),
            ("crates/agent/src/pipeline.rs", "\n".repeat(150)),
        ]);
        let found = printed(files(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("crates/a/src/long.rs:601: 601 lines"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("crates/agent/src/pipeline.rs:150: 150 lines"),
            "{found:?}"
        );
    }

    #[test]
    fn the_ratchet_of_files_only_goes_down() {
        let entry = |name, lines, reason| {
            format!("\"{name}.rs\" = {{ lines = {lines}, reason = \"{reason}\" }}\n")
        };
        let list = [
            "[long_files]\n".to_owned(),
            entry("fits", 700, "x"),
            entry("grew", 650, "x"),
        ];
        let list = list.concat() + &entry("shrank", 900, "x") + &entry("gone", 700, "x");
        let tree = tree(&[
            (RATCHET, list + &entry("bare", 700, " ")),
            ("fits.rs", "\n".repeat(700)),
            ("grew.rs", "\n".repeat(651)),
            ("shrank.rs", "\n".repeat(800)),
            ("bare.rs", "\n".repeat(700)),
        ]);
        let found = printed(files(&tree)).join("\n");
        assert!(found.contains("grew.rs:651:"), "{found}");
        assert!(found.contains("`shrank.rs` has 800 lines now"), "{found}");
        assert!(found.contains("`gone.rs` is short enough"), "{found}");
        assert!(found.contains("`bare.rs` has no reason"), "{found}");
        assert_eq!(found.lines().count(), 4, "{found}");
    }

    #[test]
    fn the_ratchet_of_functions_only_goes_down() {
        let long = "#[expect(clippy::too_many_lines, reason = \"x\")]\n";
        let entry = "[long_functions]\n\"crates/a\" = { functions = 1, reason = \"x\" }\n";
        let tree = tree(&[
            (
                RATCHET,
                entry.to_owned() + "\"crates/b\" = { functions = 2, reason = \"x\" }\n",
            ),
            ("crates/a/src/lib.rs", long.repeat(2)),
            ("crates/b/src/lib.rs", long.to_owned()),
            ("crates/c/src/lib.rs", format!("// {long}")),
        ]);
        let found = printed(functions(&tree)).join("\n");
        assert!(
            found.contains("crates/a/src/lib.rs:2: `crates/a` has 2 long"),
            "{found}"
        );
        assert!(
            found.contains("`crates/b` has 1 long functions now"),
            "{found}"
        );
        assert_eq!(found.lines().count(), 2, "{found}");
    }
}
