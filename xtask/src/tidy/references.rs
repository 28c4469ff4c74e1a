//! The tests that documents name exist.
//!
//! A document says what holds a promise in the form `` `crate: module::test` `` or `` `crate: module` ``: the crate by its
//! short name, then modules and functions as in the output of `cargo test`.

use std::path::Path;

use crate::{Finding, Repo};

/// References to tests and modules that are not there.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let folders: Vec<(&str, &str)> = { repo.graph.members() }
        .filter_map(|package| Some((package.short(), package.folder.as_deref()?)))
        .collect();
    let mut findings = Vec::new();
    let documents = repo.files.iter().filter(|(path, _)| is_document(path));
    for (path, file) in documents {
        for (at, line) in file.text.lines().enumerate() {
            let spans = line.split('`').skip(1).step_by(2);
            for (short, test) in spans.filter_map(reference) {
                let known = folders.iter().find(|(name, _)| *name == short);
                if known.is_some_and(|(_, folder)| !exists(repo, folder, test)) {
                    findings.push(Finding {
                        path: path.clone(),
                        line: at + 1,
                        text: format!("`{short}: {test}` is not there: name the test as it is"),
                    });
                }
            }
        }
    }
    findings
}

fn is_document(path: &str) -> bool {
    let folder = path.starts_with("docs/") || !path.contains('/');
    folder && Path::new(path).extension().is_some_and(|end| end == "md")
}

/// The crate and the test of a span in the form of a reference.
fn reference(span: &str) -> Option<(&str, &str)> {
    let (short, test) = span.split_once(": ")?;
    let is_path =
        |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "_:".contains(char);
    let is_word = |char: char| char.is_ascii_lowercase() || char == '-';
    (short.chars().all(is_word) && !test.is_empty() && test.chars().all(is_path))
        .then_some((short, test))
}

/// Whether a file of the crate has the test: modules are folders and files, the last word may be a function.
fn exists(repo: &Repo, folder: &str, test: &str) -> bool {
    let (modules, last) = test.rsplit_once("::").unwrap_or(("", test));
    let function = format!("fn {last}(");
    let inside = format!("{folder}/");
    let files = repo
        .files
        .iter()
        .filter(|(path, _)| path.starts_with(&inside));
    files.into_iter().any(|(path, file)| {
        let stem = path.strip_suffix(".rs").unwrap_or_default();
        let has = |module: &str| module.is_empty() || stem.split('/').any(|part| part == module);
        modules.split("::").all(has) && (has(last) || file.text.contains(&function))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::{member, printed, repo};

    #[test]
    fn a_test_that_is_not_there_is_found() {
        let test = ("crates/net/tests/it/cidr.rs", "fn it_parses() {}\n");
        let found = |document: &str| {
            let files = [test, ("docs/x.md", document)];
            printed(check(&repo(&files, vec![member("net", &[])])))
        };
        for good in [
            "`net: cidr::it_parses`",
            "`net: cidr`",
            "`net: it_parses`",
            "`cargo: it`",
            "`net: /24`",
        ] {
            assert_eq!(found(good), [""; 0], "{good}");
        }
        assert_eq!(
            found("\n| x | `net: cidr::it_parses`, `net: cidr::it_prints` |"),
            ["docs/x.md:2: `net: cidr::it_prints` is not there: name the test as it is"]
        );
        assert_eq!(found("`net: port::it_parses`").len(), 1);
    }
}
