//! What is put off is written down where it will be found: in an issue.

use crate::repo::has_extension;
use crate::{Finding, Repo};

const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];
/// Files besides Rust in which a mark is a promise and not a word about marks.
const EXTENSIONS: [&str; 6] = ["toml", "md", "sh", "yaml", "yml", "mk"];

/// A mark without the number of its issue.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in &repo.files {
        let comments = file
            .source
            .comments
            .iter()
            .map(|(line, text)| (*line, text.as_str()));
        let lines = file
            .text
            .lines()
            .enumerate()
            .map(|(at, text)| (at + 1, text));
        let plain = EXTENSIONS
            .iter()
            .any(|extension| has_extension(path, extension))
            || path.starts_with("scripts/")
            || path == "Makefile";
        let open = comments
            .chain(lines.filter(|_| plain))
            .filter(|(_, text)| is_open(text));
        findings.extend(open.map(|(line, _)| Finding {
            path: path.clone(),
            line,
            text: "say which issue: the mark, then `(#12)`".to_owned(),
        }));
    }
    findings
}

fn is_open(text: &str) -> bool {
    MARKS.iter().any(|mark| {
        let mut pieces = text.split(mark);
        let mut before = pieces.next().unwrap_or_default();
        pieces.any(|after| {
            let glued = |letter: char| letter.is_alphanumeric() || letter == '_';
            let word = !before.ends_with(glued) && !after.starts_with(glued);
            before = after;
            word && !has_issue(after)
        })
    })
}

fn has_issue(after: &str) -> bool {
    let number = after
        .strip_prefix("(#")
        .and_then(|rest| rest.split_once(')'));
    number.is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_without_an_issue_is_found() {
        let code = "//! x\n// TODO later\n// TODO(#12): soon\nlet a = \"TODO\";\n/* FIXME */\n";
        let tree = Repo::of(&[
            ("crates/a/src/lib.rs", code),
            ("Makefile", "# XXX\n"),
            ("docs/a.md", "TODO(#x) and TODOS\n"),
            ("data.json", "TODO\n"),
        ]);
        let found: Vec<(String, usize)> = check(&tree)
            .into_iter()
            .map(|finding| (finding.path, finding.line))
            .collect();
        let expect = [
            ("Makefile", 1),
            ("crates/a/src/lib.rs", 2),
            ("crates/a/src/lib.rs", 5),
            ("docs/a.md", 1),
        ];
        assert_eq!(found, expect.map(|(path, line)| (path.to_owned(), line)));
    }
}
