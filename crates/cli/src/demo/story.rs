//! The founding story: who plays, and what changes from step to step.

use std::sync::Arc;

use anyhow::{Result, bail};
use oncilla_api::Object;
use oncilla_api::manifest::{Limits, Located, decode};

/// A file that the demo applies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct File {
    pub(crate) name: &'static str,
    text: &'static str,
}

macro_rules! file {
    ($name:literal) => {
        file!("", $name)
    };
    ($folder:literal, $name:literal) => {
        File {
            name: $name,
            text: include_str!(concat!("../../../../examples/demo/", $folder, $name)),
        }
    };
}

/// The cluster that everything happens in.
pub(crate) const CLUSTER: File = file!("00-cluster.yaml");
/// The pod that asks first, and whose open connection is cut last.
pub(crate) const ASKER: Pod = Pod::of("production", "frontend");
/// Whom the story is about, and at which port.
pub(crate) const HERO: (Pod, u16) = (Pod::of("production", "backend"), 8000);

/// Who asks.
pub(crate) const SOURCES: [Pod; 4] = [
    ASKER,
    HERO.0,
    Pod::of("production", "api"),
    Pod::of("default", "attacker"),
];

/// Who is asked, at which TCP port.
pub(crate) const DESTINATIONS: [(Pod, u16); 3] = [
    HERO,
    (Pod::of("production", "database"), 5432),
    (Pod::of("production", "api"), 9000),
];

/// What happens, step by step.
pub(crate) const STEPS: [Step; 7] = [
    Step {
        title: "No policy",
        file: None,
        why: (ASKER, HERO),
    },
    Step {
        title: "deny-all-ingress-to-backend.yaml: nobody reaches the backend",
        file: Some(file!("02-deny-all-ingress-to-backend.yaml")),
        why: (ASKER, HERO),
    },
    Step {
        title: "allow-frontend-to-backend.yaml: the frontend does again, nobody else",
        file: Some(file!("03-allow-frontend-to-backend.yaml")),
        why: (SOURCES[3], HERO),
    },
    Step {
        title: "deny-database-from-frontend.yaml: a Calico deny stands before a Kubernetes allow",
        file: Some(file!("04-deny-database-from-frontend.yaml")),
        why: (ASKER, DESTINATIONS[1]),
    },
    Step {
        title: "security-tier.yaml: a tier in front of all others keeps strangers out",
        file: Some(file!("05-security-tier.yaml")),
        why: (SOURCES[3], DESTINATIONS[2]),
    },
    Step {
        title: "allow-by-service-account.yaml: the api answers to an account, whatever its labels",
        file: Some(file!("06-allow-by-service-account.yaml")),
        why: (ASKER, DESTINATIONS[2]),
    },
    Step {
        title: "frontend-without-its-label.yaml: who loses the label loses the connection",
        // Not beside the cluster: a folder that is applied holds each object once.
        file: Some(file!("changes/", "07-frontend-without-its-label.yaml")),
        why: (ASKER, HERO),
    },
];

/// A pod of the story.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pod {
    pub(crate) namespace: &'static str,
    pub(crate) name: &'static str,
}

impl Pod {
    const fn of(namespace: &'static str, name: &'static str) -> Self {
        Self { namespace, name }
    }

    pub(crate) fn path(self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) title: &'static str,
    /// What is applied; nothing in the first step.
    pub(crate) file: Option<File>,
    /// Which pair is explained.
    pub(crate) why: (Pod, (Pod, u16)),
}

impl Step {
    /// The file's name, or what the step is.
    pub(crate) fn name(&self) -> &'static str {
        self.file.map_or(self.title, |file| file.name)
    }
}

impl File {
    /// Its objects.
    pub(crate) fn objects(self) -> Result<Vec<Located<Object>>> {
        let manifest = decode(self.name, self.text.as_bytes(), &Limits::default());
        if let Some(fault) = manifest.diagnostics.first() {
            bail!("{fault}");
        }
        Ok(manifest.objects)
    }
}

/// Whether there is a question between two pods: nobody asks itself.
pub(crate) fn asks(source: Pod, destination: Pod) -> bool {
    source != destination
}

/// All questions, in the order of the matrix.
pub(crate) fn pairs() -> Arc<[(Pod, (Pod, u16))]> {
    let pairs = SOURCES.iter().flat_map(|source| {
        let destinations = DESTINATIONS.iter();
        destinations.map(move |destination| (*source, *destination))
    });
    pairs
        .filter(|(source, (destination, _))| asks(*source, *destination))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{CLUSTER, STEPS, pairs};

    #[test]
    fn every_file_is_a_manifest_and_nobody_asks_itself() {
        assert_eq!(CLUSTER.objects().unwrap().len(), 8);
        for step in STEPS {
            let objects = step.file.map_or(0, |file| file.objects().unwrap().len());
            assert_eq!(objects > 0, step.file.is_some(), "{}", step.name());
        }
        assert_eq!(pairs().len(), 10);
    }
}
