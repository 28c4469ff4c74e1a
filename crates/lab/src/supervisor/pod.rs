//! One pod as it runs, and what it reports.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::clock;
use super::fabric::NodeNet;
use super::reaper::End;
use super::responder::Responder;
use super::sandbox::Sandbox;
use super::slices::NamedPorts;
use super::workload::{Restart, Workload};
use crate::options::ListenPort;
use crate::place::Place;
use crate::status::PodStatus;

/// How long a container that was started again must run before a lab that comes up believes in it.
const STEADY_AFTER: Duration = Duration::from_secs(2);

/// Namespace and name.
pub(crate) type PodName = (String, String);

/// What decides where a pod is and which network it has: another value means another pod.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Identity {
    pub(crate) uid: String,
    pub(crate) node: String,
    pub(crate) host_network: bool,
    /// The addresses it asks for.
    pub(crate) wanted: Option<String>,
}

/// One pod.
#[derive(Debug)]
pub(crate) struct RunningPod {
    pub(crate) name: PodName,
    pub(crate) identity: Identity,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) named_ports: NamedPorts,
    pub(crate) workload: Workload,
    pub(crate) node: Option<Arc<NodeNet>>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) iface: String,
    pub(crate) sandbox: Option<Arc<Sandbox>>,
    pub(crate) processes: Vec<Process>,
    pub(crate) responder: Option<Responder>,
    /// Tells this run from earlier ones of the same pod.
    pub(crate) run: u64,
    /// How many readiness probes have not succeeded yet.
    pub(crate) probing: usize,
    /// Why it cannot run, when it cannot.
    pub(crate) trouble: Option<String>,
    pub(crate) started: SystemTime,
    /// What it last reported.
    reported: Value,
    /// Since when each condition says what it says.
    since: BTreeMap<String, (String, String)>,
}

/// One container's process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    pub(crate) pid: Option<u32>,
    pub(crate) start_at: Option<Instant>,
    pub(crate) failures: u32,
    pub(crate) started: Option<Instant>,
    pub(crate) end: Option<End>,
    /// Why it could not be started.
    pub(crate) trouble: Option<String>,
}

impl RunningPod {
    pub(crate) fn new(name: PodName, identity: Identity, workload: Workload) -> Self {
        Self {
            name,
            identity,
            labels: BTreeMap::new(),
            named_ports: NamedPorts::new(),
            workload,
            node: None,
            addresses: Vec::new(),
            iface: String::new(),
            sandbox: None,
            processes: Vec::new(),
            responder: None,
            run: 0,
            probing: 0,
            trouble: None,
            started: clock::time_of_day(),
            reported: Value::Null,
            since: BTreeMap::new(),
        }
    }

    pub(crate) fn place(&self) -> Place {
        let (namespace, name) = &self.name;
        Place::pod(namespace, name)
    }

    pub(crate) fn phase(&self) -> &'static str {
        if self.sandbox.is_none() {
            return "Pending";
        }
        let finished = !self.processes.is_empty()
            && self.workload.listen.is_empty()
            && self
                .processes
                .iter()
                .all(|p| p.pid.is_none() && p.start_at.is_none() && p.end.is_some());
        let success = |process: &Process| process.end.is_some_and(End::is_success);
        match (finished, self.processes.iter().all(success)) {
            (false, _) => "Running",
            (true, true) => "Succeeded",
            (true, false) => "Failed",
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.phase() == "Running"
            && self.trouble.is_none()
            && self.probing == 0
            && self.processes.iter().all(|process| process.pid.is_some())
    }

    /// Whether there is nothing more to wait for.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_ready() || matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// From when on its containers that have ended before count as running: one that ends again and again is ready
    /// for a moment each time. None when none has ended, or none runs now.
    pub(crate) fn steady_at(&self) -> Option<Instant> {
        let running = self
            .processes
            .iter()
            .filter(|process| process.pid.is_some());
        let again = running.filter(|process| process.end.is_some());
        let started = again.filter_map(|process| process.started).max();
        started.map(|at| at + STEADY_AFTER)
    }

    /// Containers that ended or could not be started, and how: without counts, so that the next time is no news.
    pub(crate) fn failures(&self) -> Vec<(&str, String)> {
        let both = self.processes.iter().zip(&self.workload.programs);
        let failed = both.filter_map(|(process, program)| {
            let how = match (&process.trouble, process.end) {
                (Some(trouble), _) => trouble.clone(),
                (None, Some(end)) => format!("ended with {end}"),
                (None, None) => return None,
            };
            Some((program.container.as_str(), how))
        });
        failed.collect()
    }

    /// Takes note of the end of process `pid`; true when it was one of the pod's.
    pub(crate) fn ended(&mut self, pid: u32, end: End) -> bool {
        let Some(process) = self.processes.iter_mut().find(|p| p.pid == Some(pid)) else {
            return false;
        };
        process.pid = None;
        process.end = Some(end);
        let again = match self.workload.restart {
            Restart::Always => true,
            Restart::OnFailure => !end.is_success(),
            Restart::Never => false,
        };
        if again {
            process.start_at = Some(clock::now() + super::kubelet::pause(process.failures));
            process.failures += 1;
        }
        true
    }

    /// What a person should know.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = self.workload.notes.clone();
        notes.extend(self.trouble.clone());
        if let Some(responder) = &self.responder {
            notes.extend(responder.problems.iter().cloned());
        }
        if self.sandbox.is_some() && self.processes.is_empty() && self.workload.listen.is_empty() {
            notes.push("nothing listens".to_owned());
        }
        for (process, program) in self.processes.iter().zip(&self.workload.programs) {
            let container = &program.container;
            match (&process.trouble, process.end, process.pid) {
                (Some(trouble), _, _) => notes.push(format!("container {container}: {trouble}")),
                (None, Some(end), None) => {
                    notes.push(format!("container {container}: ended, {end}"));
                }
                (None, Some(end), Some(_)) => notes.push(format!(
                    "container {container}: started {} times, ended last with {end}",
                    process.failures + 1
                )),
                (None, None, _) => {}
            }
        }
        if self.probing > 0 {
            notes.push("its readiness probe has not succeeded yet".to_owned());
        }
        notes
    }

    /// The ports that its own processes say they listen on, and where to look for them. None when no process runs:
    /// then that is what there is to say.
    pub(crate) fn declared(&self) -> Option<(Arc<Sandbox>, Vec<ListenPort>)> {
        let running = self.processes.iter().zip(&self.workload.programs);
        let running = running.filter(|(process, _)| process.pid.is_some());
        let running: Vec<_> = running.map(|(_, program)| program).collect();
        let sandbox = self.sandbox.clone().filter(|_| !running.is_empty())?;
        let ports = running.iter().flat_map(|program| &program.ports);
        Some((sandbox, ports.copied().collect()))
    }

    pub(crate) fn status(&self) -> PodStatus {
        let (namespace, name) = self.name.clone();
        let listens = self
            .responder
            .iter()
            .flat_map(|responder| &responder.listens);
        PodStatus {
            namespace,
            name,
            node: self.identity.node.clone(),
            phase: self.phase().to_owned(),
            ready: self.is_ready(),
            addresses: self.addresses.clone(),
            interface: self.iface.clone(),
            listens: listens.map(ToString::to_string).collect(),
            pids: self
                .processes
                .iter()
                .filter_map(|process| process.pid)
                .collect(),
            notes: self.notes(),
        }
    }

    /// The status that the pod's object should have, when it is another than the last one.
    pub(crate) fn news(&mut self) -> Option<Value> {
        let report = self.report();
        if report == self.reported {
            return None;
        }
        self.reported = report.clone();
        let mut status = report;
        status["startTime"] = json!(clock::timestamp(self.started));
        let now = clock::timestamp(clock::time_of_day());
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
            let (kind, value) = (text("type"), text("status"));
            let since = self.since.entry(kind).or_default();
            if since.0 != value {
                *since = (value, now.clone());
            }
            condition["lastTransitionTime"] = json!(since.1);
        }
        Some(status)
    }

    /// What the pod's object should say, without times.
    fn report(&self) -> Value {
        let first = self.addresses.first().map(ToString::to_string);
        let ips: Vec<Value> = self
            .addresses
            .iter()
            .map(|ip| json!({ "ip": ip }))
            .collect();
        let hosts = self.node.as_ref().map(|node| node.addresses);
        let host_ips = hosts.map(|ips| ips.map(|ip| json!({ "ip": ip })));
        let answer = |yes: bool| if yes { "True" } else { "False" };
        let scheduled = self.node.is_some();
        let ready = self.is_ready();
        let reason = match (ready, self.phase()) {
            (true, _) => Value::Null,
            (false, "Succeeded" | "Failed") => json!("PodCompleted"),
            (false, _) => json!("ContainersNotReady"),
        };
        let trouble = if ready {
            Value::Null
        } else {
            json!(self.trouble)
        };
        let condition = |kind: &str, status: bool| {
            let mut condition = json!({ "type": kind, "status": answer(status) });
            if !status && !reason.is_null() {
                condition["reason"] = reason.clone();
            }
            if !status && !trouble.is_null() {
                condition["message"] = trouble.clone();
            }
            condition
        };
        json!({
            "phase": self.phase(),
            "podIP": first,
            "podIPs": ips,
            "hostIP": hosts.and_then(|ips| ips.first().copied()),
            "hostIPs": host_ips,
            "conditions": [
                condition("PodScheduled", scheduled),
                condition("Initialized", self.sandbox.is_some()),
                condition("ContainersReady", ready),
                condition("Ready", ready),
            ],
        })
    }
}
