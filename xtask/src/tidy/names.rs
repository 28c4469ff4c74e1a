//! A file is named after what is in it.

use crate::{Finding, Repo};

/// Names that say nothing, and the old form of a module.
const BANNED: [&str; 8] = [
    "mod.rs",
    "util.rs",
    "utils.rs",
    "common.rs",
    "helper.rs",
    "helpers.rs",
    "imp.rs",
    "misc.rs",
];

/// Files with a banned name, and folders that are modules of one.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in repo.rust() {
        let mut parts = path.split('/').rev();
        let file = parts.next().unwrap_or_default();
        let folder = parts.find(|part| BANNED.contains(&format!("{part}.rs").as_str()));
        if BANNED.contains(&file) || folder.is_some() {
            findings.push(Finding {
                path: path.to_owned(),
                line: 1,
                text: "name it after what is in it (`foo.rs` beside `foo/`)".to_owned(),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_says_nothing_is_found() {
        let tree = Repo::of(&[
            ("crates/a/src/lib.rs", ""),
            ("crates/a/src/b/mod.rs", ""),
            ("crates/a/src/utils.rs", ""),
            ("crates/a/tests/common/x.rs", ""),
        ]);
        let found: Vec<String> = check(&tree)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        let expect = [
            "crates/a/src/b/mod.rs",
            "crates/a/src/utils.rs",
            "crates/a/tests/common/x.rs",
        ];
        assert_eq!(found, expect);
    }
}
