//! What depends on what, as `cargo metadata` says it. It holds no opinion: the checks do.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;

/// Why one package depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Linked into it.
    Normal,
    /// Used by its build script.
    Build,
    /// Used by its tests.
    Dev,
}

/// One package of the graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// Name as published.
    pub name: String,
    /// Version as locked.
    pub version: String,
    /// Licence expression, if the manifest has one.
    pub license: Option<String>,
    /// One line of the manifest.
    pub description: String,
    /// Where it comes from; none for a path.
    pub source: Option<String>,
    /// Folder inside the repository; none for a package from outside.
    pub folder: Option<String>,
    /// Files that a compilation starts from, inside the repository, with the kind of target.
    pub roots: Vec<(String, String)>,
    /// Packages it uses: index in [`Graph::packages`], and why.
    pub uses: Vec<(usize, Edge)>,
    /// Dependencies whose version is `*`.
    pub wildcards: Vec<String>,
}

impl Package {
    /// Name without the project's prefix, as the folder is called.
    pub fn short(&self) -> &str {
        self.name.strip_prefix("oncilla-").unwrap_or(&self.name)
    }

    /// The manifest inside the repository, or the lock file for a package from outside.
    pub fn manifest(&self) -> String {
        self.folder
            .as_ref()
            .map_or_else(|| "Cargo.lock".to_owned(), |at| format!("{at}/Cargo.toml"))
    }
}

/// Every package of the workspace and what they need, members first by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// The packages.
    pub packages: Vec<Package>,
}

impl Graph {
    /// Reads the answer of `cargo metadata --format-version 1`, run in `root`.
    pub fn decode(json: &[u8], root: &str) -> Result<Self, serde_json::Error> {
        let raw: RawMetadata = serde_json::from_slice(json)?;
        let index: BTreeMap<&str, usize> = raw
            .packages
            .iter()
            .enumerate()
            .map(|(at, raw)| (raw.id.as_str(), at))
            .collect();
        let mut packages: Vec<Package> = raw.packages.iter().map(|raw| raw.package(root)).collect();
        for node in &raw.resolve.nodes {
            let Some(package) = index
                .get(node.id.as_str())
                .and_then(|at| packages.get_mut(*at))
            else {
                continue;
            };
            package.uses.extend(node.edges(&index));
        }
        Ok(Self { packages })
    }

    /// The packages that live in this repository.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| package.folder.is_some())
    }

    /// What `package` links directly.
    pub fn links(&self, package: &Package) -> Vec<&Package> {
        let normal = package
            .uses
            .iter()
            .filter(|(_, edge)| *edge == Edge::Normal);
        normal
            .filter_map(|(at, _)| self.packages.get(*at))
            .collect()
    }

    /// Everything that `package` links, directly or not, each with the way there: names joined
    /// by arrows, shortest first.
    pub fn linked_by<'a>(&'a self, package: &'a Package) -> BTreeMap<&'a str, String> {
        let mut ways: BTreeMap<&'a str, String> = BTreeMap::new();
        let mut queue = VecDeque::from([(package, package.name.clone())]);
        while let Some((from, way)) = queue.pop_front() {
            for to in self.links(from) {
                if !ways.contains_key(to.name.as_str()) {
                    let way = format!("{way} -> {}", to.name);
                    ways.insert(&to.name, way.clone());
                    queue.push_back((to, way));
                }
            }
        }
        ways
    }
}

#[derive(Deserialize)]
struct RawMetadata {
    packages: Vec<RawPackage>,
    resolve: RawResolve,
}

#[derive(Deserialize)]
struct RawPackage {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    description: Option<String>,
    source: Option<String>,
    manifest_path: String,
    targets: Vec<RawTarget>,
    dependencies: Vec<RawDependency>,
}

#[derive(Deserialize)]
struct RawTarget {
    kind: Vec<String>,
    src_path: String,
}

#[derive(Deserialize)]
struct RawDependency {
    name: String,
    req: String,
    path: Option<String>,
}

#[derive(Deserialize)]
struct RawResolve {
    nodes: Vec<RawNode>,
}

#[derive(Deserialize)]
struct RawNode {
    id: String,
    deps: Vec<RawUse>,
}

#[derive(Deserialize)]
struct RawUse {
    pkg: String,
    dep_kinds: Vec<RawKind>,
}

#[derive(Deserialize)]
struct RawKind {
    kind: Option<String>,
}

impl RawPackage {
    fn package(&self, root: &str) -> Package {
        let folder = inside(&self.manifest_path, root)
            .filter(|_| self.source.is_none())
            .and_then(|path| path.strip_suffix("/Cargo.toml"))
            .map(str::to_owned);
        let roots = self.targets.iter().filter_map(|target| {
            Some((
                inside(&target.src_path, root)?.to_owned(),
                target.kind.join(","),
            ))
        });
        let wild = self
            .dependencies
            .iter()
            .filter(|dep| dep.req == "*" && dep.path.is_none());
        Package {
            name: self.name.clone(),
            version: self.version.clone(),
            license: self.license.clone(),
            description: self.description.clone().unwrap_or_default(),
            source: self.source.clone(),
            roots: if folder.is_some() {
                roots.collect()
            } else {
                Vec::new()
            },
            folder,
            uses: Vec::new(),
            wildcards: wild.map(|dep| dep.name.clone()).collect(),
        }
    }
}

fn inside<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    path.strip_prefix(root)?.strip_prefix('/')
}

impl RawNode {
    fn edges(&self, index: &BTreeMap<&str, usize>) -> Vec<(usize, Edge)> {
        let mut edges = Vec::new();
        for link in &self.deps {
            let Some(at) = index.get(link.pkg.as_str()) else {
                continue;
            };
            edges.extend(link.dep_kinds.iter().map(|kind| (*at, kind.edge())));
        }
        edges
    }
}

impl RawKind {
    fn edge(&self) -> Edge {
        match self.kind.as_deref() {
            Some("build") => Edge::Build,
            Some("dev") => Edge::Dev,
            // Cargo writes null here; an unknown word is judged as strictly.
            _ => Edge::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{
      "packages": [
        {"id": "a", "name": "oncilla-a", "version": "0.1.0", "license": "Apache-2.0",
         "description": "one job", "source": null, "manifest_path": "/r/crates/a/Cargo.toml",
         "targets": [{"kind": ["lib"], "src_path": "/r/crates/a/src/lib.rs"}],
         "dependencies": [{"name": "b", "req": "*", "path": null}]},
        {"id": "b", "name": "b", "version": "1.0.0", "license": null, "description": null,
         "source": "registry+x", "manifest_path": "/home/b/Cargo.toml", "targets": [],
         "dependencies": []}
      ],
      "resolve": {"nodes": [
        {"id": "a", "deps": [{"pkg": "b", "dep_kinds": [{"kind": null}, {"kind": "dev"}]}]},
        {"id": "b", "deps": []}
      ]}
    }"#;

    #[test]
    fn the_answer_of_cargo_becomes_a_graph() {
        let graph = Graph::decode(ANSWER.as_bytes(), "/r").expect("well-formed");
        let a = &graph.packages[0];
        assert_eq!(a.short(), "a");
        assert_eq!(a.folder.as_deref(), Some("crates/a"));
        assert_eq!(
            a.roots,
            [("crates/a/src/lib.rs".to_owned(), "lib".to_owned())]
        );
        assert_eq!(a.uses, [(1, Edge::Normal), (1, Edge::Dev)]);
        assert_eq!(a.wildcards, ["b"]);
        assert_eq!(graph.packages[1].folder, None);
        assert_eq!(graph.members().count(), 1);
        assert_eq!(
            graph.linked_by(a).get("b").map(String::as_str),
            Some("oncilla-a -> b")
        );
    }
}
