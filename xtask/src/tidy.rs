//! The checks. Each is a function from the [`Repo`] to findings and has a test that shows it a
//! made-up tree it must refuse. What clippy or rustc can say is left to them.

pub mod blobs;
pub mod layers;
pub mod length;
pub mod lints;
pub mod names;
pub mod opening;
pub mod orphans;
pub mod purity;
pub mod readme;
pub mod references;
pub mod supply;
pub mod todo;

use crate::{Finding, Repo};

/// A check.
pub type Check = fn(&Repo) -> Vec<Finding>;

/// Every check, by name.
pub const CHECKS: [(&str, Check); 22] = [
    ("lints inherited", lints::inherited),
    ("unsafe stays in kernel", lints::unsafe_code),
    ("opening line", opening::check),
    ("orphan .rs files", orphans::rust_files),
    ("orphan case files", orphans::case_files),
    ("one test binary", orphans::test_binaries),
    ("file length", length::files),
    ("function length", length::functions),
    ("levels", layers::levels),
    ("narrow crates", layers::narrow),
    ("pure crates: dependencies", purity::dependencies),
    ("pure crates: source", purity::source),
    ("kernel and nft::object", layers::kernel_vocabulary),
    ("licences", supply::licences),
    ("sources", supply::sources),
    ("duplicate versions", supply::duplicates),
    ("no C in the executable", supply::no_c),
    ("todo", todo::check),
    ("large files", blobs::check),
    ("file names", names::check),
    ("README crate table", readme::check),
    ("tests that documents name", references::check),
];

/// Runs every check; the findings are sorted and name their check.
pub fn findings(repo: &Repo) -> Vec<Finding> {
    let mut all = Vec::new();
    for (name, check) in CHECKS {
        let named = |finding: Finding| Finding {
            text: format!("{} [{name}]", finding.text),
            ..finding
        };
        all.extend(check(repo).into_iter().map(named));
    }
    all.sort();
    all
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Made-up packages for the tests of the checks.

    use crate::graph::{Edge, Package};
    use crate::{Finding, Repo};

    /// A member of the workspace, by its short name.
    pub(crate) fn member(short: &str, uses: &[usize]) -> Package {
        Package {
            name: format!("oncilla-{short}"),
            version: "0.1.0".to_owned(),
            license: Some("Apache-2.0".to_owned()),
            folder: Some(format!("crates/{short}")),
            roots: vec![(format!("crates/{short}/src/lib.rs"), "lib".to_owned())],
            uses: uses.iter().map(|at| (*at, Edge::Normal)).collect(),
            ..Package::default()
        }
    }

    /// A package from crates.io.
    pub(crate) fn external(name: &str, version: &str, uses: &[usize]) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            license: Some("MIT".to_owned()),
            source: Some("registry+https://github.com/rust-lang/crates.io-index".to_owned()),
            uses: uses.iter().map(|at| (*at, Edge::Normal)).collect(),
            ..Package::default()
        }
    }

    /// A tree with files and packages.
    pub(crate) fn repo(files: &[(&str, &str)], packages: Vec<Package>) -> Repo {
        let mut repo = Repo::of(files);
        repo.graph.packages = packages;
        repo
    }

    /// The findings as printed.
    pub(crate) fn printed(findings: Vec<Finding>) -> Vec<String> {
        findings
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }
}
