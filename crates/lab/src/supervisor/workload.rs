//! What a pod's manifest asks to run, and what of it can run on a machine without images.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use oncilla_api::v1::{Container, Pod, Probe};
use oncilla_api::{IntOrString, TransportProtocol};

use crate::options::{LISTEN_ANNOTATION, ListenPort};

/// Where programs are looked for when a container does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// When a program that has ended is started again.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Restart {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// What runs in a pod.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Workload {
    pub(crate) programs: Vec<Program>,
    /// What the built-in responder answers on.
    pub(crate) listen: Vec<ListenPort>,
    pub(crate) restart: Restart,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
}

/// One container's program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Program {
    pub(crate) container: String,
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) working_folder: PathBuf,
    /// The ports it says it listens on.
    pub(crate) ports: Vec<ListenPort>,
    /// The TCP port whose opening makes the container ready; at once when none.
    pub(crate) ready_port: Option<u16>,
}

impl Workload {
    pub(crate) fn of(pod: &Pod) -> Self {
        let mut workload = Self {
            restart: match pod.spec.rest.get("restartPolicy").and_then(|p| p.as_str()) {
                Some("Never") => Restart::Never,
                Some("OnFailure") => Restart::OnFailure,
                _ => Restart::Always,
            },
            ..Self::default()
        };
        for container in &pod.spec.containers {
            match Program::of(container, &pod.metadata.name) {
                Some(program) => workload.programs.push(program),
                None => workload.listen.extend(ports(container)),
            }
        }
        if !pod.spec.init_containers.is_empty() {
            let note = "init containers are not run in a lab";
            workload.notes.push(note.to_owned());
        }
        if let Some(text) = pod.metadata.annotations.get(LISTEN_ANNOTATION) {
            match ListenPort::list(text) {
                Ok(ports) => workload.listen.extend(ports),
                Err(error) => {
                    let note = format!("annotation {LISTEN_ANNOTATION}: {error}");
                    workload.notes.push(note);
                }
            }
        }
        workload.listen.sort_unstable();
        workload.listen.dedup();
        workload
    }
}

impl Program {
    /// A container's program; none when the image's own is wanted, or it does not exist here.
    fn of(container: &Container, pod: &str) -> Option<Self> {
        let mut environment = vec![
            ("PATH".to_owned(), PATH.to_owned()),
            ("HOME".to_owned(), "/root".to_owned()),
            ("HOSTNAME".to_owned(), pod.to_owned()),
        ];
        for variable in &container.env {
            environment.retain(|(name, _)| *name != variable.name);
            environment.push((variable.name.clone(), variable.value.clone()));
        }
        let (command, arguments) = container.command.split_first()?;
        let command = expand(command, &environment);
        let arguments = arguments.iter().chain(&container.args);
        let arguments = arguments.map(|text| expand(text, &environment)).collect();
        let search = environment.iter().find(|(name, _)| name == "PATH");
        let path = find(&command, search.map_or(PATH, |(_, value)| value))?;
        let working_folder = match container.working_dir.as_str() {
            "" => PathBuf::from("/"),
            folder => PathBuf::from(folder),
        };
        Some(Self {
            container: container.name.clone(),
            path,
            arguments,
            environment,
            working_folder,
            ports: ports(container).collect(),
            ready_port: container
                .readiness_probe
                .as_ref()
                .and_then(|probe| ready_port(probe, container)),
        })
    }
}

fn ports(container: &Container) -> impl Iterator<Item = ListenPort> {
    container.ports.iter().filter_map(|port| {
        Some(ListenPort {
            protocol: port.protocol.unwrap_or(TransportProtocol::Tcp),
            port: u16::try_from(port.container_port).ok()?,
        })
    })
}

fn ready_port(probe: &Probe, container: &Container) -> Option<u16> {
    let target = probe.tcp_socket.as_ref().or(probe.http_get.as_ref())?;
    let number = match &target.port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let port = container.ports.iter().find(|port| port.name == *name)?;
            port.container_port
        }
    };
    u16::try_from(number).ok()
}

/// Replaces `$(NAME)` by the variable's value, as kubelets do; unknown ones and `$$(NAME)` stay.
fn expand(text: &str, environment: &[(String, String)]) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let variable = after.strip_prefix('(').and_then(|inner| {
            let (name, behind) = inner.split_once(')')?;
            let (_, value) = environment.iter().find(|(known, _)| known == name)?;
            Some((value, behind))
        });
        rest = match (variable, after.strip_prefix('$')) {
            (Some((value, behind)), _) => {
                expanded.push_str(value);
                behind
            }
            (None, Some(escaped)) => {
                expanded.push('$');
                escaped
            }
            (None, None) => {
                expanded.push('$');
                after
            }
        };
        if rest.starts_with('(') && variable.is_none() {
            // What follows an escaped or unknown variable is text.
            let text = rest.split_inclusive(')').next().unwrap_or_default();
            expanded.push_str(text);
            rest = rest.strip_prefix(text).unwrap_or_default();
        }
    }
    expanded.push_str(rest);
    expanded
}

/// A program by path, or by name in the folders of `search`.
fn find(program: &str, search: &str) -> Option<PathBuf> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        return is_program(&path).then_some(path);
    }
    let folders = search.split(':').filter(|folder| folder.starts_with('/'));
    let mut paths = folders.map(|folder| Path::new(folder).join(program));
    paths.find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    let metadata = std::fs::metadata(path);
    metadata.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use oncilla_api::Object;
    use serde_json::json;

    use super::{Workload, expand};
    use crate::options::ListenPort;

    fn workload(spec: &serde_json::Value, listen: Option<&str>) -> Workload {
        let mut manifest = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "spec": spec,
        });
        if let Some(listen) = listen {
            manifest["metadata"]["annotations"] = json!({ "lab.oncilla/listen": listen });
        }
        match Object::from_manifest(manifest) {
            Ok(Object::Pod(pod)) => Workload::of(&pod),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn programs_that_exist_run_and_the_others_ports_are_answered() {
        let found = workload(
            &json!({ "containers": [
                { "name": "a", "image": "x", "command": ["sh", "-c", "echo $(GREETING)"],
                  "env": [{ "name": "GREETING", "value": "hi" }],
                  "ports": [{ "containerPort": 1 }],
                  "readinessProbe": { "tcpSocket": { "port": 7 } } },
                { "name": "b", "image": "x", "command": ["no-such-program"],
                  "ports": [{ "containerPort": 2 }, { "containerPort": 3, "protocol": "UDP" }] },
                { "name": "c", "image": "x", "args": ["sh"], "ports": [{ "containerPort": 4 }] },
            ]}),
            Some("tcp/2,tcp/9"),
        );
        let [program] = found.programs.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(program.arguments, ["-c", "echo hi"]);
        assert_eq!(program.ready_port, Some(7));
        assert_eq!(program.ports, [ListenPort::tcp(1)]);
        let expected = [2, 4, 9].map(ListenPort::tcp).into_iter();
        let expected: Vec<_> = expected.chain([ListenPort::udp(3)]).collect();
        assert_eq!(found.listen, expected);
        assert_eq!(found.notes, [] as [String; 0]);
    }

    #[test]
    fn a_bad_annotation_is_noted() {
        let found = workload(
            &json!({ "containers": [{ "name": "a", "image": "x" }] }),
            Some("8000"),
        );
        assert!(
            found.notes.iter().any(|note| note.contains("8000")),
            "{found:?}"
        );
    }

    #[test]
    fn variables_are_expanded_as_kubelets_do() {
        let environment = [("A".to_owned(), "1".to_owned())];
        for (text, expanded) in [
            ("$(A)$(A)", "11"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$A $", "$A $"),
            ("x$(A", "x$(A"),
        ] {
            assert_eq!(expand(text, &environment), expanded, "{text}");
        }
    }
}
