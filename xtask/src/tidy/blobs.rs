//! The repository holds sources, not data: every clone pays for a large file for ever.

use crate::{Finding, Repo};

/// Size of a tracked file in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Files over the limit.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let large = repo
        .files
        .iter()
        .filter(|(_, file)| file.bytes > FILE_BYTES_MAX);
    let finding = |(path, file): (&String, &crate::repo::File)| Finding {
        path: path.clone(),
        line: 1,
        text: format!(
            "{} bytes, at most {FILE_BYTES_MAX}: generate it or cut it",
            file.bytes
        ),
    };
    large.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_found() {
        let mut tree = Repo::of(&[("a.bin", ""), ("b.bin", "")]);
        for (path, bytes) in [("a.bin", FILE_BYTES_MAX), ("b.bin", FILE_BYTES_MAX + 1)] {
            tree.files.entry(path.to_owned()).or_default().bytes = bytes;
        }
        let found: Vec<String> = check(&tree)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        assert_eq!(found, ["b.bin"]);
    }
}
