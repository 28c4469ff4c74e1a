//! A whole agent on a node whose own interface is judged: from the store to the packet, at run time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use oncilla_agent::{AgentState, Problem, TableOwner};
use oncilla_api::{Kind, ObjectKey};
use oncilla_kernel::link::Links;
use oncilla_kernel::netns::Netns;
use oncilla_testkit::connect::{Connection, connect, listen};
use oncilla_testkit::topology::PodSpec;
use serde_json::{Value, json};

use super::field::{Field, OUTSIDE};
use super::harness::NODE;
use super::verify::look;

/// How long what is denied is waited for, and what is allowed at most.
const SILENCE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(5);
/// How often is looked for a change that no report announces.
const LOOKS_MAX: usize = 1000;
/// The node's addresses.
const OWN: [[u8; 4]; 1] = [[192, 168, 0, 1]];
const OWN_V6: &str = "fd01::1";

fn field() -> Field {
    Field::new(&[("a", json!({ "app": "a" }))])
}

fn host() -> ObjectKey {
    ObjectKey::cluster(Kind::HostEndpoint, "n1-eth0")
}

fn eth0() -> Value {
    json!({ "metadata": { "name": "n1-eth0", "labels": { "role": "node" } },
        "spec": { "node": NODE, "interfaceName": "eth0", "expectedIPs": ["192.168.0.1"] } })
}

fn allow(port: u16) -> Value {
    json!({ "spec": { "selector": "role == 'node'", "types": ["Ingress", "Egress"],
        "ingress": [{ "action": "Allow", "protocol": "TCP", "destination": { "ports": [port] } }],
        "egress": [{ "action": "Allow" }] } })
}

fn policy() -> ObjectKey {
    ObjectKey::cluster(Kind::GlobalNetworkPolicy, "host")
}

/// From outside to a port of the node, both families alike.
fn reaches(field: &Field, port: u16) -> bool {
    let own: [IpAddr; 2] = [OWN[0].into(), OWN_V6.parse().unwrap()];
    let found = own.map(|own| reaches_one(field, own, port));
    assert_eq!(found[0], found[1], "IPv4 and IPv6 differ at port {port}");
    found[0]
}

fn reaches_one(field: &Field, own: IpAddr, port: u16) -> bool {
    let node = &field.topology.node(NODE).unwrap().netns;
    let far = &field.topology.outside(OUTSIDE).unwrap().netns;
    let at = SocketAddr::new(own, port);
    let _listener = listen(node, at).unwrap();
    connect(far, at, SILENCE).unwrap() == Connection::Connected
}

#[test]
fn a_host_endpoint_is_in_force_as_written_and_as_felix_is_configured() {
    let field = field();
    let agent = field.world.agent(TableOwner::Auto);
    let told = field.world.create(&host(), eth0());
    field.world.in_force(told);
    assert!(
        !reaches(&field, 8000),
        "without policy and profile it is closed"
    );
    assert!(reaches(&field, 22), "but for failsafes");
    let told = field.world.create(&policy(), allow(8000));
    field.world.in_force(told);
    assert!(reaches(&field, 8000));
    assert!(!reaches(&field, 8001));

    let felix = ObjectKey::cluster(Kind::FelixConfiguration, "default");
    let none = json!({ "spec": { "failsafeInboundHostPorts": [] } });
    let told = field.world.create(&felix, none);
    field.world.in_force(told);
    assert!(!reaches(&field, 22), "no failsafe any more");
    assert!(reaches(&field, 8000));
    field.world.delete(&felix);
    let told = field.world.patch(
        &host(),
        &json!({ "metadata": { "labels": { "more": "1" } } }),
    );
    field.world.in_force(told);
    assert!(reaches(&field, 22), "the default ones again");
    agent.stop();
}

#[test]
fn a_start_with_host_endpoints_and_nothing_changed_writes_nothing() {
    let field = field();
    let told = field.world.create(&host(), eth0());
    let agent = field.world.agent(TableOwner::Auto);
    field.world.in_force(told);
    agent.stop();
    let before = field.world.table();
    let agent = field.world.agent(TableOwner::Auto);
    let status = field.world.wait("the second start", |status| {
        status.state == AgentState::Enforcing && status.revision >= Some(told)
    });
    assert_eq!(field.world.table(), before);
    assert_eq!(status.kernel.writes, 0, "{status:?}");
    agent.stop();
}

#[test]
fn an_address_that_comes_and_goes_brings_and_takes_its_host_endpoint() {
    let field = field();
    let by_address = json!({ "spec": { "node": NODE, "expectedIPs": ["192.168.0.9"] } });
    let told = field.world.create(&host(), by_address);
    let agent = field.world.agent(TableOwner::Auto);
    field.world.in_force(told);
    assert!(reaches(&field, 8000), "no interface has the address");
    let node = &field.topology.node(NODE).unwrap().netns;
    let mut links = Links::open_in(node).unwrap();
    let own = "192.168.0.9/32".parse().unwrap();
    links.ensure_address("eth0", own).unwrap();
    assert!(
        (0..LOOKS_MAX).any(|_| !reaches_one(&field, OWN[0].into(), 8000)),
        "it came"
    );
    assert!(!reaches(&field, 8000));
    links.delete_address("eth0", own).unwrap();
    assert!(
        (0..LOOKS_MAX).any(|_| reaches_one(&field, OWN[0].into(), 8000)),
        "it went"
    );
    assert!(reaches(&field, 8000));
    agent.stop();
}

#[test]
fn a_deny_ends_what_is_open_to_the_host_and_not_what_a_failsafe_lets_through() {
    let field = field();
    field.world.create(&host(), eth0());
    let told = field.world.create(&policy(), allow(8000));
    let agent = field.world.agent(TableOwner::Auto);
    field.world.in_force(told);
    let node = Arc::clone(&field.topology.node(NODE).unwrap().netns);
    let far = Arc::clone(&field.topology.outside(OUTSIDE).unwrap().netns);
    let mut open: Vec<[TcpStream; 2]> = Vec::new();
    for port in [8000, 22] {
        let at = SocketAddr::new(OWN[0].into(), port);
        let listener = listen(&node, at).unwrap();
        let near = far.run(|| TcpStream::connect_timeout(&at, PATIENCE));
        let near = near.unwrap().unwrap();
        let (server, _) = listener.accept().unwrap();
        for stream in [&near, &server] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        open.push([near, server]);
    }
    for [near, server] in &mut open {
        exchange(near, server).unwrap();
    }
    field.world.delete(&policy());
    let told = field.world.patch(
        &host(),
        &json!({ "metadata": { "labels": { "more": "1" } } }),
    );
    field.world.in_force(told);
    let [closed, failsafe] = &mut open[..] else {
        panic!("two connections");
    };
    let [near, server] = closed;
    assert!(is_cut(exchange(server, near).unwrap_err().kind()));
    assert!(is_cut(exchange(near, server).unwrap_err().kind()));
    let [near, server] = failsafe;
    exchange(near, server).unwrap();
    exchange(server, near).unwrap();
    agent.stop();
}

#[test]
fn a_broken_host_endpoint_closes_its_interface_and_leaves_failsafes() {
    let field = field();
    field.world.create(&policy(), allow(8000));
    let broken = json!({ "metadata": { "name": "n1-eth0", "labels": { "role": "node" } },
        "spec": { "node": NODE, "interfaceName": "eth0", "expectedIPs": ["nowhere"] } });
    let told = field.world.smuggle(&host(), broken);
    let agent = field.world.agent(TableOwner::Auto);
    let status = field.world.in_force(told);
    assert!(
        status
            .problems
            .iter()
            .any(|problem| problem.object.contains("n1-eth0"))
    );
    assert!(!reaches(&field, 8000), "nobody knows what it was to be");
    assert!(reaches(&field, 22));
    agent.stop();
}

#[test]
fn a_host_endpoint_that_breaks_while_it_is_in_force_stays_as_it_was() {
    let field = field();
    field.world.create(&policy(), allow(8000));
    let told = field.world.create(&host(), eth0());
    let agent = field.world.agent(TableOwner::Auto);
    field.world.in_force(told);
    let broken = json!({ "metadata": { "name": "n1-eth0" }, "spec": { "node": NODE,
        "interfaceName": "eth0", "expectedIPs": ["nowhere"] } });
    let told = field.world.smuggle(&host(), broken);
    let status = field.world.in_force(told);
    assert!(
        status
            .problems
            .iter()
            .any(|problem| problem.message.contains("kept"))
    );
    assert!(reaches(&field, 8000));
    assert!(!reaches(&field, 8001));
    agent.stop();
}

/// Whether one end reaches another's port, at each of its addresses.
fn connects(from: &Netns, to: &Netns, at: [IpAddr; 2]) -> [bool; 2] {
    at.map(|addr| {
        let at = SocketAddr::new(addr, 8000);
        let _listener = listen(to, at).unwrap();
        connect(from, at, SILENCE).unwrap() == Connection::Connected
    })
}

/// Real packets of a virtual machine that is no pod, before and behind the configuration that calls its interface a
/// workload's; the agent goes on all the while.
#[test]
fn an_interface_is_cut_off_as_soon_as_the_configuration_calls_it_a_workloads() {
    let mut field = field();
    let machine: [IpAddr; 2] = [[10, 65, 9, 9].into(), "fd65::9:9".parse().unwrap()];
    let spec = PodSpec {
        name: "machine".to_owned(),
        node: NODE.to_owned(),
        host_iface: Some("tap0".to_owned()),
        addresses: machine.into(),
    };
    field.topology.add_pod(&spec).unwrap();
    let tap = Arc::clone(&field.topology.pod("machine").unwrap().netns);
    let pod = Arc::clone(&field.topology.pod("a").unwrap().netns);
    let far = Arc::clone(&field.topology.outside(OUTSIDE).unwrap().netns);
    let addresses = |name: &str| [false, true].map(|v6| field.address(name, v6));
    let (of_pod, of_far) = (addresses("a"), addresses(OUTSIDE));
    let ways = || {
        [
            connects(&far, &tap, machine),
            connects(&pod, &tap, machine),
            connects(&tap, &far, of_far),
            connects(&tap, &pod, of_pod),
        ]
    };
    let told = field.world.create(&policy(), allow(8000));
    let agent = field.world.agent(TableOwner::Auto);
    field.world.in_force(told);
    assert_eq!(ways(), [[true; 2]; 4], "no workload's");
    let at = SocketAddr::new(machine[0], 9000);
    let listener = listen(&tap, at).unwrap();
    let mut near = far
        .run(|| TcpStream::connect_timeout(&at, PATIENCE))
        .unwrap()
        .unwrap();
    let (mut server, _) = listener.accept().unwrap();
    for stream in [&near, &server] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    exchange(&mut near, &mut server).unwrap();

    let felix = ObjectKey::cluster(Kind::FelixConfiguration, "default");
    let spec = json!({ "spec": { "interfacePrefix": "cali,tap" } });
    let told = field.world.create(&felix, spec);
    field.world.in_force(told);
    assert_eq!(ways(), [[false; 2]; 4]);
    let verified = look(&field.world);
    assert!(verified.is_same(), "{verified:?}");
    let error = exchange(&mut server, &mut near).unwrap_err();
    assert!(is_cut(error.kind()), "what was open is cut: {error}");
    let own = exchange(&mut near, &mut server).unwrap_err();
    assert!(is_cut(own.kind()));
    assert_eq!(
        connects(&far, &pod, of_pod),
        [true; 2],
        "pods are as they were"
    );

    // What cannot be read takes nothing away.
    let broken =
        json!({ "metadata": { "name": "default" }, "spec": { "interfacePrefix": "cali,a/b" } });
    let told = field.world.smuggle(&felix, broken);
    let status = field.world.in_force(told);
    let kept = |problem: &Problem| problem.message.contains("kept: the version before");
    assert!(status.problems.iter().any(kept), "{status:?}");
    assert_eq!(ways(), [[false; 2]; 4]);
    let spec = json!({ "metadata": { "name": "default" }, "spec": { "interfacePrefix": "cali" } });
    let told = field.world.smuggle(&felix, spec);
    field.world.in_force(told);
    assert_eq!(ways(), [[true; 2]; 4], "no workload's any more");
    agent.stop();
}

fn exchange(from: &mut TcpStream, to: &mut TcpStream) -> std::io::Result<()> {
    from.write_all(b"x")?;
    to.read_exact(&mut [0])
}

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
