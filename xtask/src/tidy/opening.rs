//! Every Rust file says first what it is for.

use crate::{Finding, Repo};

/// The first line that is not blank opens with `//!`.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let closed = repo
        .rust()
        .filter(|(_, file)| !file.text.trim_start().starts_with("//!"));
    let finding = |(path, _)| Finding {
        path: String::from(path),
        line: 1,
        text: "open the file with `//!`: what it is for, what it does not know".to_owned(),
    };
    closed.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_found() {
        let tree = Repo::of(&[
            ("crates/a/src/lib.rs", "//! Good.\n"),
            ("crates/a/src/b.rs", "// No.\n"),
            ("crates/a/src/c.rs", ""),
        ]);
        let found: Vec<String> = check(&tree)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        assert_eq!(found, ["crates/a/src/b.rs", "crates/a/src/c.rs"]);
    }
}
