//! The crate table of the README is the one of the manifests.
//!
//! It begins at the marker `<!-- crates -->`; `cargo run -p xtask -- crates` prints it. The marker
//! may be missing only while `docs/progress.md` says that the house is not finished.

use crate::{Finding, Repo};

const README: &str = "README.md";
const MARKER: &str = "<!-- crates -->";
const UNFINISHED: &str = "docs/progress.md";

/// The table as it should be: a row for each crate, in the order of their names.
pub fn table(repo: &Repo) -> String {
    let rows = repo.graph.members().map(|package| {
        let description = &package.description;
        format!("| `{}` | {description} |\n", package.short())
    });
    let mut rows: Vec<String> = rows.collect();
    rows.sort();
    format!("| crate | its one job |\n|---|---|\n{}", rows.concat())
}

/// Rows that are missing, and rows that no manifest knows.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let readme = repo.text(README);
    let Some(marker) = readme.lines().position(|line| line.trim() == MARKER) else {
        if repo.files.contains_key(UNFINISHED) {
            return Vec::new();
        }
        let text = format!(
            "no line `{MARKER}`: put it before the output of `cargo run -p xtask -- crates`"
        );
        return vec![Finding {
            path: README.to_owned(),
            line: 1,
            text,
        }];
    };
    let after = readme.lines().enumerate().skip(marker + 1);
    let present: Vec<(usize, &str)> = after
        .skip_while(|(_, line)| line.trim().is_empty())
        .take_while(|(_, line)| line.starts_with('|'))
        .collect();
    let expect = table(repo);
    let finding = |line: usize, text: String| Finding {
        path: README.to_owned(),
        line,
        text,
    };
    let missing = expect
        .lines()
        .filter(|row| !present.iter().any(|(_, line)| line == row));
    let missing = missing.map(|row| finding(marker + 1, format!("the crate table lacks: {row}")));
    let stray = present
        .iter()
        .filter(|(_, line)| !expect.lines().any(|row| row == *line));
    let stray = stray.map(|(at, row)| finding(at + 1, format!("no manifest says this: {row}")));
    missing.chain(stray).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::{member, printed, repo};

    fn check_readme(files: &[(&str, &str)]) -> Vec<String> {
        let mut packages = vec![member("net", &[]), member("api", &[])];
        packages[0].description = "addresses".to_owned();
        packages[1].description = "types".to_owned();
        printed(check(&repo(files, packages)))
    }

    #[test]
    fn a_table_that_differs_is_found() {
        let good = "# x\n<!-- crates -->\n\n| crate | its one job |\n|---|---|\n\
                    | `api` | types |\n| `net` | addresses |\n\nmore\n";
        assert_eq!(check_readme(&[(README, good)]), [""; 0]);
        let bad = good.replace("addresses", "numbers");
        assert_eq!(
            check_readme(&[(README, &bad)]),
            [
                "README.md:2: the crate table lacks: | `net` | addresses |",
                "README.md:7: no manifest says this: | `net` | numbers |",
            ]
        );
    }

    #[test]
    fn the_marker_may_be_missing_only_while_the_house_is_unfinished() {
        assert_eq!(check_readme(&[(README, "# x\n")]).len(), 1);
        assert_eq!(check_readme(&[]).len(), 1);
        assert_eq!(
            check_readme(&[(README, "# x\n"), (UNFINISHED, "")]),
            [""; 0]
        );
    }
}
