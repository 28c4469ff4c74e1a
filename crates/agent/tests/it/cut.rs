//! A whole agent cuts connections that policy denies now: after an edit, and after a label went.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use oncilla_agent::TableOwner;
use oncilla_api::{Kind, ObjectKey};
use oncilla_testkit::connect::{Connection, connect, listen};
use serde_json::json;

use super::field::Field;
use super::harness::allow_a;

const PORT: u16 = 80;
/// How long a byte may take between two namespaces of one machine before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a denied attempt is watched.
const DENIED: Duration = Duration::from_millis(300);

/// An open connection from `a` to `b`.
struct Open {
    near: TcpStream,
    far: TcpStream,
}

impl Open {
    fn new(field: &Field, v6: bool) -> Self {
        let at = SocketAddr::new(field.address("b", v6), PORT);
        let listener = listen(&field.topology.pod("b").unwrap().netns, at).unwrap();
        let client = Arc::clone(&field.topology.pod("a").unwrap().netns);
        let near = client.run(|| TcpStream::connect_timeout(&at, PATIENCE));
        let near = near.unwrap().unwrap();
        let (far, _) = listener.accept().unwrap();
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let mut open = Self { near, far };
        open.assert_alive();
        open
    }

    fn assert_alive(&mut self) {
        exchange(&mut self.near, &mut self.far).unwrap();
        exchange(&mut self.far, &mut self.near).unwrap();
    }

    /// The server speaks first: with its entry alone gone, its segment would open the connection again.
    fn assert_dead(&mut self) {
        for _ in 0..2 {
            let from_server = exchange(&mut self.far, &mut self.near).unwrap_err();
            assert!(is_cut(from_server.kind()), "{from_server:?}");
            let from_client = exchange(&mut self.near, &mut self.far).unwrap_err();
            assert!(is_cut(from_client.kind()), "{from_client:?}");
        }
    }
}

fn exchange(from: &mut TcpStream, to: &mut TcpStream) -> std::io::Result<()> {
    from.write_all(b"x")?;
    to.read_exact(&mut [0])
}

/// Reset by the tombstone, or silent until patience ends.
fn is_cut(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::UnexpectedEof
    )
}

fn field() -> Field {
    Field::new(&[("a", json!({ "app": "a" })), ("b", json!({ "app": "b" }))])
}

fn both(field: &Field) -> [Open; 2] {
    [false, true].map(|v6| Open::new(field, v6))
}

/// Nobody gets a new connection either.
fn assert_shut(field: &Field) {
    for v6 in [false, true] {
        let at = SocketAddr::new(field.address("b", v6), PORT);
        let _listener = listen(&field.topology.pod("b").unwrap().netns, at).unwrap();
        let client = &field.topology.pod("a").unwrap().netns;
        assert_eq!(connect(client, at, DENIED).unwrap(), Connection::Silent);
    }
}

#[test]
fn a_deny_cuts_an_open_connection_and_it_stays_cut() {
    let field = field();
    let world = &field.world;
    let agent = world.agent(TableOwner::Auto);
    world.in_force(world.allow_a("allow-a"));
    let mut open = both(&field);

    let policy = ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, "team", "allow-a");
    let other = json!({ "podSelector": { "matchLabels": { "app": "other" } } });
    let revision = world.patch(
        &policy,
        &json!({ "spec": { "ingress": [{ "from": [other] }] } }),
    );
    let status = world.in_force(revision);
    assert_eq!(status.kernel.connections_cut, 2, "{status:?}");
    open.iter_mut().for_each(Open::assert_dead);
    assert_shut(&field);

    let spec = &allow_a()["spec"];
    let revision = world.patch(&policy, &json!({ "spec": spec }));
    world.in_force(revision);
    both(&field);
    agent.stop();
}

#[test]
fn a_label_that_goes_cuts_an_open_connection_and_it_stays_cut() {
    let field = field();
    let world = &field.world;
    let agent = world.agent(TableOwner::Auto);
    world.in_force(world.allow_a("allow-a"));
    let mut open = both(&field);

    let pod = ObjectKey::namespaced(Kind::Pod, "team", "a");
    let note = json!({ "metadata": { "annotations": { "note": "of no interest" } } });
    world.in_force(world.patch(&pod, &note));
    open.iter_mut().for_each(Open::assert_alive);

    let revision = world.patch(&pod, &json!({ "metadata": { "labels": { "app": null } } }));
    let status = world.in_force(revision);
    assert_eq!(status.kernel.connections_cut, 2, "{status:?}");
    open.iter_mut().for_each(Open::assert_dead);
    assert_shut(&field);

    let revision = world.patch(&pod, &json!({ "metadata": { "labels": { "app": "a" } } }));
    world.in_force(revision);
    both(&field);
    agent.stop();
}
