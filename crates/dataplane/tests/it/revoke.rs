//! A deny ends a connection that is open, and keeps it from coming back.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use oncilla_dataplane::{Dataplane, TableOwner, Ways};
use oncilla_kernel::calls::trouble::{Trouble, plant};
use oncilla_kernel::conntrack::Conntrack;
use oncilla_net::{Direction, Packet, Protocol, Verdict};
use oncilla_program::{
    Bank, ClassId, Dispatch, Group, GroupId, Hook, HostEndpoint, LocalEndpoint, ProfileEnd,
    Program, ProgramDelta, RuleVerdict, Tier, TierEnd,
};
use oncilla_testkit::connect::listen;
use oncilla_testkit::prober::Probe;
use oncilla_testkit::topology::Topology;

const PORT: u16 = 8000;
/// How long a byte may take between two namespaces of one machine before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

struct World {
    topology: Topology,
    node: String,
    client: String,
    server: String,
}

impl World {
    fn new() -> Self {
        let topology = Topology::two_nodes(2).unwrap();
        let node = topology.nodes().keys().next().unwrap().clone();
        let on_node = topology.pods().iter().filter(|(_, pod)| pod.node == node);
        let mut names = on_node.map(|(name, _)| name.clone());
        let (client, server) = (names.next().unwrap(), names.next().unwrap());
        drop(names);
        Self {
            topology,
            node,
            client,
            server,
        }
    }

    fn addresses(&self, pod: &str) -> Vec<IpAddr> {
        self.topology.pod(pod).unwrap().addresses.clone()
    }

    /// Everything is open, but the server's ingress is judged by one bank.
    fn program(&self, allow: bool) -> Program {
        let mut program = Program::default();
        for addr in self.addresses(&self.client) {
            let class = if addr.is_ipv4() {
                ClassId(3)
            } else {
                ClassId(4)
            };
            program.addresses.set_host(addr, Some(class));
        }
        let mut bank = Bank::default();
        if allow {
            bank.levels.k3.extend([
                (ClassId(3), RuleVerdict::Allow),
                (ClassId(4), RuleVerdict::Allow),
            ]);
        }
        let id = GroupId("7a31".into());
        let tier = Tier {
            name: "default".into(),
            comment: "np/a/b".into(),
            banks: vec![bank],
            end: TierEnd::Deny,
        };
        let (tiers, profiles) = (vec![tier], ProfileEnd::Allow);
        let group = Group {
            id: id.clone(),
            hook: Hook::Normal,
            direction: Direction::Ingress,
            tiers,
            profiles,
        };
        program.groups.insert(id.clone(), Arc::new(group));
        for (name, pod) in self.topology.pods() {
            if pod.node != self.node {
                continue;
            }
            let judged = *name == self.server;
            let endpoint = LocalEndpoint {
                name: name.as_str().into(),
                addresses: pod.addresses.clone(),
                ingress: if judged {
                    Dispatch::Group(id.clone())
                } else {
                    Dispatch::Open
                },
                egress: Dispatch::Open,
            };
            program
                .endpoints
                .insert(pod.host_iface.as_str().into(), endpoint);
        }
        program
    }

    /// The same policy on what the node forwards between two interfaces of its own: the namespaces are no workloads, and
    /// the one that the client is behind has a host endpoint with forward policy.
    fn forwarding(&self, allow: bool) -> Program {
        let mut program = self.program(allow);
        program.settings.interface_prefixes = "workload".into();
        program.endpoints.clear();
        let groups: Vec<GroupId> = program.groups.keys().cloned().collect();
        for group in program.groups.values_mut() {
            let group = Arc::make_mut(group);
            (group.hook, group.profiles) = (Hook::Forward, ProfileEnd::Continue);
        }
        let judged = HostEndpoint {
            name: "client".into(),
            groups: [((Hook::Forward, Direction::Ingress), groups[0].clone())].into(),
        };
        let other = HostEndpoint {
            name: "server".into(),
            ..HostEndpoint::default()
        };
        let interface = |pod: &str| self.topology.pod(pod).unwrap().host_iface.as_str().into();
        program.hosts.insert(interface(&self.client), judged);
        program.hosts.insert(interface(&self.server), other);
        program
    }

    /// The interface behind which a namespace is.
    fn way_to(&self, addr: IpAddr) -> Option<Arc<str>> {
        let pods = self.topology.pods().iter();
        let mut found = pods.filter(|(_, pod)| pod.addresses.contains(&addr));
        Some(found.next()?.1.host_iface.as_str().into())
    }

    fn open(&self, dst: IpAddr) -> (TcpStream, TcpStream) {
        let at = SocketAddr::new(dst, PORT);
        let listener = listen(&self.topology.pod(&self.server).unwrap().netns, at).unwrap();
        let client = &self.topology.pod(&self.client).unwrap().netns;
        let near = client
            .run(|| TcpStream::connect_timeout(&at, PATIENCE))
            .unwrap()
            .unwrap();
        let (far, _) = listener.accept().unwrap();
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        (near, far)
    }
}

fn exchange(from: &mut TcpStream, to: &mut TcpStream) -> std::io::Result<u8> {
    from.write_all(b"x")?;
    let mut byte = [0];
    to.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn cut(take: impl Fn(&[IpAddr]) -> IpAddr, program: impl Fn(&World, bool) -> Program) {
    let world = World::new();
    let node = Arc::clone(&world.topology.node(&world.node).unwrap().netns);
    let (allowing, denying) = (program(&world, true), program(&world, false));
    let (dst, src) = (
        take(&world.addresses(&world.server)),
        take(&world.addresses(&world.client)),
    );
    let (mut dataplane, mut conntrack) = node
        .run(|| {
            let mut dataplane =
                Dataplane::open(allowing.settings.clone(), TableOwner::Off).unwrap();
            dataplane.start(&allowing).unwrap();
            (dataplane, Conntrack::open().unwrap())
        })
        .unwrap();
    let (mut near, mut far) = world.open(dst);
    assert_eq!(exchange(&mut near, &mut far).unwrap(), b'x');
    let host = Ways {
        host: &BTreeMap::new(),
        route: &|addr| world.way_to(addr),
        interfaces: &Vec::new,
    };
    assert_eq!(
        dataplane.revoke(&mut conntrack, &host).unwrap().cut,
        [],
        "nothing is denied yet"
    );

    let delta = ProgramDelta::between(&allowing, &denying);
    dataplane.apply(&delta, &denying).unwrap();
    assert_eq!(
        exchange(&mut near, &mut far).unwrap(),
        b'x',
        "established flows pass policy by"
    );
    let revoked = dataplane.revoke(&mut conntrack, &host).unwrap();
    assert_eq!(revoked.cut.len(), 1);
    assert_eq!((revoked.cut[0].src, revoked.cut[0].dst), (src, dst));
    assert_eq!(revoked.cut[0].dst_port, PORT);

    // The server speaks first: with the entry alone gone, its segment would open the flow again.
    let from_server = exchange(&mut far, &mut near).unwrap_err();
    assert!(is_cut(from_server.kind()), "{from_server:?}");
    let from_client = exchange(&mut near, &mut far).unwrap_err();
    assert!(is_cut(from_client.kind()), "{from_client:?}");
    assert_eq!(dataplane.verify().unwrap(), []);

    // Who comes next keeps it out, even when its start fails and the whole table is made anew.
    drop(dataplane);
    let open = || Dataplane::open(denying.settings.clone(), TableOwner::Off).unwrap();
    let mut dataplane = node.run(open).unwrap();
    failing(|| dataplane.start(&denying).unwrap_err());
    let nothing = ProgramDelta::default();
    assert!(dataplane.apply(&nothing, &denying).unwrap().replaced);
    let still = exchange(&mut near, &mut far).unwrap_err();
    assert!(is_cut(still.kind()), "{still:?}");

    let delta = ProgramDelta::between(&denying, &allowing);
    dataplane.apply(&delta, &allowing).unwrap();
    failing(|| dataplane.revoke(&mut conntrack, &host).unwrap_err());
    assert_eq!(dataplane.revoke(&mut conntrack, &host).unwrap().lifted, 1);
    let mut prober = world.topology.prober().unwrap();
    let (from, to) = (
        prober.point(&world.client).unwrap(),
        prober.point(&world.server).unwrap(),
    );
    let again = Packet {
        src,
        dst,
        protocol: Protocol::TCP,
        src_port: revoked.cut[0].src_port,
        dst_port: PORT,
        icmp: None,
    };
    let outcome = prober.run_one(&Probe::of_packet(from, to, &again)).unwrap();
    assert_eq!(outcome.verdict(), Verdict::Allow, "the tombstone is gone");
}

/// Does something while the kernel has no memory.
fn failing<T>(work: impl FnOnce() -> T) -> T {
    const ENOMEM: i32 = 12;
    let _planted = plant(|_| Trouble::Fails(ENOMEM));
    work()
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

#[test]
fn a_denied_connection_is_cut_and_stays_cut() {
    cut(v4, World::program);
}

#[test]
fn a_denied_ipv6_connection_is_cut_and_stays_cut() {
    cut(v6, World::program);
}

#[test]
fn a_forwarded_connection_between_two_interfaces_is_cut_and_stays_cut() {
    cut(v4, World::forwarding);
    cut(v6, World::forwarding);
}

fn v4(addresses: &[IpAddr]) -> IpAddr {
    addresses.iter().copied().find(IpAddr::is_ipv4).unwrap()
}

fn v6(addresses: &[IpAddr]) -> IpAddr {
    addresses.iter().copied().find(IpAddr::is_ipv6).unwrap()
}
