//! Denied packets in words: real packets, the agent's own socket, the rule that was in force.

use std::io::{BufRead as _, BufReader, ErrorKind, Lines};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use oncilla_agent::{AgentStatus, TableOwner, flow_socket, flow_sockets};
use oncilla_api::{Kind, ObjectKey};
use oncilla_flows::{Blame, Record};
use oncilla_kernel::nflog::Nflog;
use oncilla_net::Verdict;
use serde_json::json;

use super::field::{Field, Flow, policy};
use super::harness::NODE;

const PATIENCE: Duration = Duration::from_secs(20);
/// How long a record may take that is told at once.
pub(crate) const SOON: Duration = Duration::from_millis(200);

/// Somebody who listens to the agent.
pub(crate) struct Listener {
    stream: UnixStream,
    lines: Lines<BufReader<UnixStream>>,
}

impl Listener {
    /// Connects, and returns what the agent kept.
    pub(crate) fn new(field: &Field) -> (Self, Vec<Record>) {
        let path = flow_socket(&field.world.socket(), NODE);
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut kept = Vec::new();
        loop {
            let line = lines.next().unwrap().unwrap();
            if line.is_empty() {
                return (Self { stream, lines }, kept);
            }
            kept.push(serde_json::from_str(&line).unwrap());
        }
    }

    /// How long the next record is waited for.
    pub(crate) fn patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
    }

    /// A record that comes at once.
    pub(crate) fn soon(&mut self) -> Option<Record> {
        let line = self.lines.next().unwrap();
        let is_late = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
        match line {
            Err(error) if is_late(&error) => None,
            line => Some(serde_json::from_str(&line.unwrap()).unwrap()),
        }
    }
}

fn field() -> Field {
    Field::new(&[("a", json!({ "app": "a" })), ("b", json!({ "app": "b" }))])
}

fn flow(from: &str, to: &str, v6: bool) -> Flow {
    Flow {
        from: from.to_owned(),
        to: to.to_owned(),
        port: 80,
        v6,
    }
}

fn np(name: &str) -> ObjectKey {
    ObjectKey::namespaced(Kind::NetworkPolicy, "team", name)
}

/// Probes until the rule is certain; of packets right after the change it is not.
fn denied(field: &Field, listener: &mut Listener, flow: &Flow) -> Record {
    loop {
        assert_eq!(field.probe(std::slice::from_ref(flow)), [Verdict::Deny]);
        // What is repeated is told later: then the next probe may be certain.
        let Some(record) = listener.soon() else {
            continue;
        };
        match &record.blame {
            Blame::Unknown { why } => assert!(why.contains("changing"), "{record}"),
            _ => return record,
        }
    }
}

#[test]
fn the_rule_that_denied_is_named() {
    let field = field();
    let world = &field.world;
    let agent = world.agent(TableOwner::Auto);
    let both = json!([{ "action": "Allow", "protocol": "UDP" },
        { "action": "Deny", "protocol": "TCP", "source": { "selector": "app == 'a'" } }]);
    let spec = json!({ "selector": "app == 'b'", "ingress": both });
    field
        .world
        .wait("first", |status| status.revision.is_some());
    let (mut listener, kept) = Listener::new(&field);
    assert_eq!(kept, []);
    listener.patience(SOON);
    let mut denied = |flow: &Flow| denied(&field, &mut listener, flow);
    world.in_force(world.create(&np("deny"), policy(&spec)));
    let record = denied(&flow("a", "b", false));
    assert_eq!(
        record.to_string(),
        "deny team/a -> team/b tcp/80 by default/np/team/deny ingress[1]"
    );
    assert_eq!(
        (record.node.as_str(), record.direction.as_str()),
        (NODE, "ingress")
    );
    assert_eq!(record.source.address, "10.65.0.1");
    assert!(record.revision.is_some());

    // From somebody unknown, over IPv6, at the end of the tier; and on the way out.
    assert_eq!(
        denied(&flow("outside", "b", true)).to_string(),
        "deny 2001:db8::1 -> team/b tcp/80 by the end of tier default (np/team/deny)"
    );
    let out = json!({ "selector": "app == 'a'", "egress": [{ "action": "Deny" }] });
    world.in_force(world.create(&np("out"), policy(&out)));
    assert_eq!(
        denied(&flow("a", "outside", false)).to_string(),
        "deny team/a -> 198.51.100.1 tcp/80 by default/np/team/out egress[0]"
    );
    agent.stop();
    assert_eq!(flow_sockets(&field.world.socket()).unwrap(), []);
}

/// Policy is enforced all the same, the status says what is missing, and nobody has to start anything again.
#[test]
fn a_log_that_somebody_else_reads_is_asked_for_until_it_is_free() {
    let field = field();
    let world = &field.world;
    let other = world.netns.run(|| Nflog::open(1, 64).unwrap()).unwrap();
    let agent = world.agent(TableOwner::Auto);
    let is_deaf = |status: &AgentStatus| {
        let mut messages = status.problems.iter().map(|problem| &problem.message);
        messages.any(|message| message.contains("denied packets are not read"))
    };
    world.wait("the other reader", is_deaf);
    let spec = json!({ "selector": "app == 'b'", "ingress": [{ "action": "Deny" }] });
    let status = world.in_force(world.create(&np("deny"), policy(&spec)));
    assert!(is_deaf(&status), "{status:?}");
    let (mut listener, kept) = Listener::new(&field);
    listener.patience(SOON);
    assert_eq!(field.probe(&[flow("a", "b", false)]), [Verdict::Deny]);
    assert_eq!((kept, listener.soon()), (vec![], None));
    drop(other);
    world.wait("the log", |status| !is_deaf(status));
    let record = denied(&field, &mut listener, &flow("a", "b", false));
    assert_eq!(
        record.to_string(),
        "deny team/a -> team/b tcp/80 by default/np/team/deny ingress[0]"
    );
    agent.stop();
}

/// The same packets, denied by one version after the other, without a pause: what is said is a rule of one of them, or
/// that nobody can say.
#[test]
fn nobody_is_blamed_for_what_another_version_denied() {
    const TURNS: u16 = 12;
    let field = field();
    let agent = field.world.agent(TableOwner::Auto);
    let spec = |number: u16| {
        json!({ "selector": "app == 'b'", "ingress": [{ "action": "Deny", "protocol": "TCP",
            "destination": { "ports": [number] } }, { "action": "Deny", "protocol": "UDP" }] })
    };
    let (mut named, mut unknown) = (0, 0);
    for turn in 0..TURNS {
        // The first rule denies port 80 in every other version; without it the end of the tier does.
        let port = if turn % 2 == 0 { 80 } else { 81 };
        let patch = policy(&spec(port));
        let revision = if turn == 0 {
            field.world.create(&np("deny"), patch)
        } else {
            field.world.patch(&np("deny"), &patch)
        };
        // While it goes in force, and afterwards.
        field.probe(&[flow("a", "b", false)]);
        field.world.in_force(revision);
    }
    assert_eq!(field.probe(&[flow("a", "b", false)]), [Verdict::Deny]);
    let (_listener, records) = Listener::new(&field);
    for record in &records {
        match &record.blame {
            Blame::Unknown { why } => {
                assert!(
                    why.contains("changing") || why.contains("in force"),
                    "{why}"
                );
                unknown += 1;
            }
            Blame::Rule { rule } => {
                assert_eq!(rule, "default/np/team/deny ingress[0]");
                named += 1;
            }
            Blame::EndOfTier { tier, policies } => {
                assert_eq!(
                    (tier.as_str(), policies.as_str()),
                    ("default", "np/team/deny")
                );
                named += 1;
            }
            Blame::NoProfile => panic!("{record}"),
        }
    }
    assert!(named + unknown > 0);
    agent.stop();
}
