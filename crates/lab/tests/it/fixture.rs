//! What tests start labs with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use oncilla_api::Object;
use oncilla_api::manifest::{Limits, decode};
use oncilla_lab::{Lab, LabOptions, LabStatus, Labs, PodStatus};
use tempfile::TempDir;

use crate::actors;

/// How long anything may take. Only a failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The pods of most tests: a service, two pods that answer, a program, and one that says nothing.
const CLUSTER: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: production }
---
apiVersion: v1
kind: Service
metadata: { name: backend, namespace: production }
spec: { selector: { app: backend }, ports: [{ port: 80, targetPort: 8000 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: frontend, namespace: production, labels: { app: frontend } }
spec: { nodeName: n1, containers: [{ name: c, image: nginx, ports: [{ containerPort: 80 }] }] }
---
apiVersion: v1
kind: Pod
metadata:
  name: backend-1
  namespace: production
  labels: { app: backend }
  annotations: { lab.oncilla/listen: "udp/53" }
spec: { nodeName: n2, containers: [{ name: c, image: python, ports: [{ containerPort: 8000 }] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: sleeper, labels: { app: sleeper } }
spec:
  containers: [{ name: c, image: busybox, command: [sh, -c, "exec sleep 100000"], ports: [{ containerPort: 9 }] }]
---
apiVersion: v1
kind: Pod
metadata: { name: quiet }
spec: { containers: [{ name: c, image: pause }] }
"#;

pub(crate) fn objects(manifest: &str) -> Vec<Object> {
    let manifest = decode("test.yaml", manifest.as_bytes(), &Limits::default());
    assert!(!manifest.has_errors(), "{:?}", manifest.diagnostics);
    let objects = manifest.objects.into_iter();
    objects.map(|located| located.object).collect()
}

pub(crate) fn cluster() -> Vec<Object> {
    objects(CLUSTER)
}

pub(crate) fn executable() -> OsString {
    std::env::current_exe().unwrap().into()
}

pub(crate) fn options(name: &str, objects: &[Object]) -> LabOptions {
    let mut options = LabOptions::new(name, executable());
    options.agent_command = vec![executable(), actors::AGENT.into()];
    options.objects = objects.to_vec();
    options.ready_timeout = PATIENCE;
    options
}

/// A folder of labs that only one test uses.
pub(crate) struct Home {
    pub(crate) folder: TempDir,
    pub(crate) labs: Labs,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let labs = Labs::at(base(folder.path()));
        Self { folder, labs }
    }

    pub(crate) fn base(&self) -> PathBuf {
        base(self.folder.path())
    }

    pub(crate) fn up(&self, options: &LabOptions) -> Lab {
        let mut said = Vec::new();
        let up = self
            .labs
            .up(options, &mut |text| said.push(text.to_owned()));
        up.unwrap_or_else(|error| panic!("{error:?}; before: {said:?}"))
    }

    /// Runs a command in a place, as `oncilla lab exec` does.
    pub(crate) fn exec(&self, lab: &str, place: &str, command: &[&str]) -> Output {
        Command::new(executable())
            .args([actors::EXEC, self.base().to_str().unwrap(), lab, place])
            .args(command)
            .output()
            .unwrap()
    }

    pub(crate) fn text(&self, lab: &str, place: &str, command: &[&str]) -> String {
        let output = self.exec(lab, place, command);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Two folders that only labs use are below, and must be gone afterwards.
fn base(folder: &Path) -> PathBuf {
    folder.join("oncilla/lab")
}

pub(crate) fn pod<'a>(status: &'a LabStatus, name: &str) -> &'a PodStatus {
    status.pods.iter().find(|pod| pod.name == name).unwrap()
}

/// Asks again and again until the answer is there.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::yield_now();
    }
}
