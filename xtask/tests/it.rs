//! The repository itself passes its own checks: this is how `cargo test` runs `xtask tidy`.

use std::path::Path;

use xtask::{Repo, tidy};

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let repo = Repo::read(&root).expect("the repository can be read");
    assert!(
        repo.files.contains_key("Cargo.toml"),
        "git listed no manifest"
    );
    assert!(repo.graph.members().count() > 1, "cargo listed no members");
    let findings: Vec<String> = tidy::findings(&repo)
        .iter()
        .map(|finding| format!("\n{finding}"))
        .collect();
    assert!(findings.is_empty(), "{}", findings.concat());
}
