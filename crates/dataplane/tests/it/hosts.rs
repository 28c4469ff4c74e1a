//! Host endpoints with real packets: every row of `calico-semantics.md` §2.5 and what is easy to lose.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use oncilla_dataplane::{Dataplane, TableOwner};
use oncilla_kernel::conntrack::Conntrack;
use oncilla_kernel::netns::Netns;
use oncilla_net::{Direction, Icmp, Protocol, Verdict, fault};
use oncilla_program::{
    Bank, Dispatch, EncapDrop, EndpointToHost, Group, GroupId, Hook, HostEndpoint, LocalEndpoint,
    ProfileEnd, Program, ProgramDelta, RuleVerdict, Tier, TierEnd,
};
use oncilla_testkit::connect::{Connection, connect, listen};
use oncilla_testkit::prober::Probe;
use oncilla_testkit::topology::{PodSpec, Topology};

use super::support::nft;

pub(crate) const IN: Direction = Direction::Ingress;
pub(crate) const OUT: Direction = Direction::Egress;
/// How long what is allowed may take, and how long what is denied is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
pub(crate) const SILENCE: Duration = Duration::from_millis(150);
/// One address of each family: the node, its pod, the world outside.
pub(crate) const NODE: [&str; 2] = ["192.168.0.1", "fd01::1"];
pub(crate) const POD: [&str; 2] = ["10.0.1.1", "fd00::1:1"];
pub(crate) const FAR: [&str; 2] = ["198.51.100.1", "2001:db8::1"];

/// What a group does with TCP: these ports and the rest.
type Judged<'a> = (Hook, Direction, &'a [(u16, RuleVerdict)], TierEnd);

pub(crate) struct World {
    topology: Topology,
    pub(crate) node: Arc<Netns>,
    pub(crate) pod: Arc<Netns>,
    pub(crate) far: Arc<Netns>,
    pub(crate) dataplane: Option<Dataplane>,
}

impl World {
    fn new(program: &Program) -> Self {
        Self::start(program, None)
    }

    /// A network with this program in force, made with a fault.
    pub(crate) fn start(program: &Program, name: Option<&'static str>) -> Self {
        let topology = Topology::two_nodes(1).unwrap();
        let node = Arc::clone(&topology.node("node-1").unwrap().netns);
        let pod = Arc::clone(&topology.pod("pod-1-1").unwrap().netns);
        let far = Arc::clone(&topology.outside("outside").unwrap().netns);
        let mut world = Self {
            topology,
            node,
            pod,
            far,
            dataplane: None,
        };
        let program = world.with_pod(program);
        let dataplane = world.node.run(|| {
            let _armed = name.map(fault::arm);
            let settings = program.settings.clone();
            let mut dataplane = Dataplane::open(settings, TableOwner::Off).unwrap();
            dataplane.start(&program).unwrap();
            assert_eq!(dataplane.verify().unwrap(), []);
            dataplane
        });
        world.dataplane = Some(dataplane.unwrap());
        world
    }

    /// The program with the node's pod, which is open.
    pub(crate) fn with_pod(&self, program: &Program) -> Program {
        let mut program = program.clone();
        let pod = self.topology.pod("pod-1-1").unwrap();
        let open = LocalEndpoint {
            name: "team/pod eth0".into(),
            addresses: pod.addresses.clone(),
            ingress: Dispatch::Open,
            egress: Dispatch::Open,
        };
        program
            .endpoints
            .insert(pod.host_iface.as_str().into(), open);
        program
    }

    /// Changes to another program, as agents do. Whether the table was replaced.
    fn become_program(&mut self, program: &Program) -> bool {
        let program = self.with_pod(program);
        let dataplane = self.dataplane.as_mut().unwrap();
        let delta = ProgramDelta::between(dataplane.program(), &program);
        let applied = dataplane.apply(&delta, &program).unwrap();
        assert_eq!(dataplane.verify().unwrap(), []);
        applied.replaced
    }

    fn far_to_node(&self, port: u16) -> bool {
        connects(&self.far, (&self.node, NODE), port)
    }

    fn node_to_far(&self, port: u16) -> bool {
        connects(&self.node, (&self.far, FAR), port)
    }

    fn far_to_pod(&self, port: u16) -> bool {
        connects(&self.far, (&self.pod, POD), port)
    }

    fn pod_to_far(&self, port: u16) -> bool {
        connects(&self.pod, (&self.far, FAR), port)
    }
}

/// Whether a true connection from one end to a port of another end comes about, in both families alike.
fn connects(from: &Netns, to: (&Netns, [&str; 2]), port: u16) -> bool {
    let both = [0, 1].map(|family| {
        let addr = SocketAddr::new(to.1[family].parse().unwrap(), port);
        let _listener = listen(to.0, addr).unwrap();
        match connect(from, addr, SILENCE).unwrap() {
            Connection::Connected => true,
            Connection::Silent => false,
            Connection::Refused => panic!("{addr} refused"),
        }
    });
    assert_eq!(both[0], both[1], "IPv4 and IPv6 differ at port {port}");
    both[0]
}

fn put(program: &mut Program, interface: &str, ways: &[Judged<'_>]) {
    let mut host = HostEndpoint {
        name: format!("node-1-{interface}").into(),
        ..HostEndpoint::default()
    };
    for (at, (hook, direction, ports, end)) in ways.iter().enumerate() {
        let tag = interface.bytes().last().unwrap();
        let id = GroupId(format!("{tag:x}{at}").into());
        let mut bank = Bank::default();
        for (port, verdict) in *ports {
            bank.levels.k4.insert((Protocol::TCP, *port), *verdict);
        }
        let tier = Tier {
            name: "default".into(),
            comment: "gnp/hosts".into(),
            banks: vec![bank],
            end: if hook.is_early() { TierEnd::Pass } else { *end },
        };
        let profiles = match hook {
            Hook::Normal => ProfileEnd::Deny,
            Hook::Forward | Hook::PreDnat | Hook::Untracked => ProfileEnd::Continue,
        };
        let group = Group {
            id: id.clone(),
            hook: *hook,
            direction: *direction,
            tiers: vec![tier],
            profiles,
        };
        program.groups.insert(id.clone(), Arc::new(group));
        host.groups.insert((*hook, *direction), id);
    }
    program.hosts.insert(interface.into(), host);
}

pub(crate) fn program(hosts: &[(&str, &[Judged<'_>])]) -> Program {
    let mut program = Program::default();
    program.settings.endpoint_to_host = EndpointToHost::Accept;
    for (interface, ways) in hosts {
        put(&mut program, interface, ways);
    }
    program
}

pub(crate) const ALLOW: RuleVerdict = RuleVerdict::Allow;
const DENY: RuleVerdict = RuleVerdict::Deny;

#[test]
fn normal_policy_judges_the_host_both_ways_and_failsafes_stay_open() {
    let world = World::new(&program(&[(
        "eth0",
        &[
            (Hook::Normal, IN, &[(8000, ALLOW)], TierEnd::Deny),
            (Hook::Normal, OUT, &[(8001, ALLOW)], TierEnd::Deny),
        ],
    )]));
    assert!(world.far_to_node(8000));
    assert!(!world.far_to_node(8001));
    assert!(world.node_to_far(8001));
    assert!(!world.node_to_far(8000));
    assert!(world.far_to_node(22), "an inbound failsafe");
    assert!(world.node_to_far(6443), "an outbound failsafe");
    assert!(!world.node_to_far(22), "inbound only");
    assert!(
        world.far_to_pod(8001) && world.pod_to_far(8000),
        "forwarded: not asked"
    );
}

#[test]
fn a_host_reaches_its_own_workloads_whatever_policy_says() {
    let world = World::new(&program(&[(
        "*",
        &[
            (Hook::Normal, IN, &[], TierEnd::Deny),
            (Hook::Normal, OUT, &[], TierEnd::Deny),
        ],
    )]));
    assert!(connects(&world.node, (&world.pod, POD), 8000));
    assert!(!world.node_to_far(8000));
    assert!(
        connects(&world.pod, (&world.node, NODE), 8000),
        "a workload meets the host's action, not its endpoint"
    );
}

#[test]
fn a_workload_that_may_not_reach_its_host_does_not() {
    let mut program = program(&[]);
    program.settings.endpoint_to_host = EndpointToHost::Drop;
    let world = World::new(&program);
    assert!(!connects(&world.pod, (&world.node, NODE), 8000));
    assert!(world.pod_to_far(8000));
}

#[test]
fn the_star_covers_what_is_not_named_and_yields_to_what_is() {
    let star: &[Judged<'_>] = &[(Hook::Normal, IN, &[(8000, ALLOW)], TierEnd::Deny)];
    let named: &[Judged<'_>] = &[(Hook::Normal, IN, &[(8001, ALLOW)], TierEnd::Deny)];
    let mut world = World::new(&program(&[("*", star), ("eth7", named)]));
    assert!(world.far_to_node(8000));
    assert!(!world.far_to_node(8001));
    let replaced = world.become_program(&program(&[("*", star), ("eth0", named)]));
    assert!(!replaced, "host endpoints change by elements");
    assert!(world.far_to_node(8001));
    assert!(!world.far_to_node(8000));
    world.become_program(&program(&[("*", star)]));
    assert!(world.far_to_node(8000));
    world.become_program(&program(&[]));
    assert!(
        world.far_to_node(8001),
        "no host endpoint, nothing is judged"
    );
}

#[test]
fn forward_policy_judges_what_passes_through_and_knows_no_failsafes() {
    let mut world = World::new(&program(&[(
        "eth0",
        &[
            (Hook::Forward, IN, &[(8000, ALLOW)], TierEnd::Deny),
            (Hook::Normal, IN, &[(8001, ALLOW)], TierEnd::Deny),
        ],
    )]));
    assert!(world.far_to_pod(8000));
    assert!(!world.far_to_pod(8001));
    assert!(!world.far_to_pod(22), "a failsafe is for the host");
    assert!(world.pod_to_far(8001), "no policy outwards: it goes on");
    assert!(world.far_to_node(8001));
    world.become_program(&program(&[(
        "*",
        &[(Hook::Forward, OUT, &[(8000, DENY)], TierEnd::Pass)],
    )]));
    assert!(
        !world.pod_to_far(8000),
        "the star covers forwarded packets of workloads"
    );
    assert!(world.pod_to_far(8001), "and a tier that passes goes on");
}

/// Rules as kube-proxy has them, before ours and after.
fn translate(node: &Netns, hook: &str, port: u16, to: [&str; 2], to_port: u16) {
    let ways = [
        ("ip", NODE[0], to[0].to_owned()),
        ("ip6", NODE[1], format!("[{}]", to[1])),
    ];
    for (family, dst, to) in ways {
        let dst = if hook == "output" {
            if family == "ip" {
                "10.96.0.1"
            } else {
                "fd96::1"
            }
        } else {
            dst
        };
        let rule = format!(
            "table {family} services {{\nchain nat {{\ntype nat hook {hook} priority -100\n\
             {family} daddr {dst} tcp dport {port} dnat to {to}:{to_port}\n}}\n}}\n"
        );
        node.run(|| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &rule).unwrap();
            nft(&["-f", file.path().to_str().unwrap()]);
        })
        .unwrap();
    }
}

/// Whether a connection to a service's address is answered by the one behind it.
fn reaches(from: &Netns, service: [&str; 2], port: u16, to: (&Netns, [&str; 2], u16)) -> bool {
    let both = [0, 1].map(|family| {
        let behind = SocketAddr::new(to.1[family].parse().unwrap(), to.2);
        let _listener = listen(to.0, behind).unwrap();
        let addr = SocketAddr::new(service[family].parse().unwrap(), port);
        connect(from, addr, SILENCE).unwrap() == Connection::Connected
    });
    assert_eq!(both[0], both[1], "IPv4 and IPv6 differ");
    both[0]
}

#[test]
fn pre_dnat_policy_sees_the_node_port_and_denies_at_no_end_of_tier() {
    let deny: &[Judged<'_>] = &[(Hook::PreDnat, IN, &[(30_080, DENY)], TierEnd::Deny)];
    let mut world = World::new(&program(&[("eth0", deny)]));
    translate(&world.node, "prerouting", 30_080, POD, 8080);
    let netns = Arc::clone(&world.pod);
    let pod = || (&*netns, POD, 8080);
    assert!(!reaches(&world.far, NODE, 30_080, pod()));
    assert!(world.far_to_pod(8080), "the pod's own port is another");
    let allow: &[Judged<'_>] = &[
        (Hook::PreDnat, IN, &[(30_080, ALLOW)], TierEnd::Deny),
        (Hook::Forward, IN, &[], TierEnd::Deny),
    ];
    world.become_program(&program(&[("eth0", allow)]));
    assert!(
        reaches(&world.far, NODE, 30_080, pod()),
        "an allow skips forward policy"
    );
    assert!(!world.far_to_pod(8080), "which judges all else");
    let other: &[Judged<'_>] = &[(Hook::PreDnat, IN, &[(1, ALLOW)], TierEnd::Deny)];
    world.become_program(&program(&[("eth0", other)]));
    assert!(
        reaches(&world.far, NODE, 30_080, pod()),
        "undecided goes on"
    );
}

/// What stands for a host endpoint that cannot be understood: it denies at these hooks.
fn broken(interface: &str, hooks: &[Hook]) -> Program {
    let ways = Hook::ways().filter(|(hook, _)| hooks.contains(hook));
    let ways: Vec<Judged<'_>> = ways
        .map(|(hook, direction)| (hook, direction, &[][..], TierEnd::Deny))
        .collect();
    let mut program = program(&[(interface, ways.as_slice())]);
    for group in program.groups.values_mut() {
        let group = Arc::make_mut(group);
        group.tiers.clear();
        group.profiles = ProfileEnd::Deny;
    }
    program
}

#[test]
fn what_is_translated_to_a_failsafe_does_not_pass_a_broken_host_endpoint() {
    let mut world = World::new(&broken("eth0", &[Hook::Normal, Hook::Forward]));
    translate(&world.node, "prerouting", 30_022, NODE, 22);
    let netns = Arc::clone(&world.node);
    let node = || (&*netns, NODE, 22);
    assert!(reaches(&world.far, NODE, 30_022, node()), "not asked");
    world.become_program(&broken("eth0", &Hook::ALL));
    assert!(!reaches(&world.far, NODE, 30_022, node()));
    assert!(world.far_to_node(22), "an inbound failsafe");
    assert!(world.node_to_far(6443), "an outbound failsafe");
    assert!(!world.far_to_node(8000) && !world.node_to_far(8000));
    assert!(!world.far_to_pod(8000) && !world.pod_to_far(8000));
    assert!(
        connects(&world.node, (&world.pod, POD), 8000),
        "its own workloads"
    );
}

#[test]
fn what_a_host_sends_to_a_failsafe_by_a_service_does_not_pass_a_broken_host_endpoint() {
    let mut world = World::new(&broken("eth0", &[Hook::Normal, Hook::Forward]));
    translate(&world.node, "output", 80, FAR, 6443);
    let service = ["10.96.0.1", "fd96::1"];
    let netns = Arc::clone(&world.far);
    let far = || (&*netns, FAR, 6443);
    assert!(reaches(&world.node, service, 80, far()), "not asked");
    world.become_program(&broken("eth0", &Hook::ALL));
    assert!(!reaches(&world.node, service, 80, far()));
}

#[test]
fn a_broken_star_denies_what_workloads_send_to_their_host_and_no_answers_of_theirs() {
    let hooks = [Hook::Normal, Hook::Forward, Hook::PreDnat];
    let world = World::new(&broken("*", &hooks));
    assert!(!connects(&world.pod, (&world.node, NODE), 8000));
    assert!(connects(&world.pod, (&world.node, NODE), 22), "a failsafe");
    assert!(connects(&world.node, (&world.pod, POD), 8000));
}

#[test]
fn what_a_host_sends_to_a_service_is_judged_behind_the_translation() {
    let out: &[Judged<'_>] = &[(Hook::Normal, OUT, &[(8080, ALLOW)], TierEnd::Deny)];
    let mut world = World::new(&program(&[("eth0", out)]));
    translate(&world.node, "output", 80, FAR, 8080);
    let service = ["10.96.0.1", "fd96::1"];
    assert!(reaches(&world.node, service, 80, (&world.far, FAR, 8080)));
    let closed: &[Judged<'_>] = &[(Hook::Normal, OUT, &[(80, ALLOW)], TierEnd::Deny)];
    world.become_program(&program(&[("eth0", closed)]));
    assert!(!reaches(&world.node, service, 80, (&world.far, FAR, 8080)));
}

/// Where the service's address is routed to, also when its packets leave elsewhere behind the translation.
#[test]
fn what_a_host_sends_to_a_service_is_judged_untracked_before_translation() {
    let service = ["10.96.0.1", "fd96::1"];
    let denies = |port| {
        let raw: &[Judged<'_>] = &[(Hook::Untracked, OUT, &[(port, DENY)], TierEnd::Pass)];
        program(&[("eth0", raw)])
    };
    let mut world = World::new(&denies(80));
    translate(&world.node, "output", 80, POD, 8080);
    assert!(!reaches(&world.node, service, 80, (&world.pod, POD, 8080)));
    world.become_program(&denies(8080));
    assert!(reaches(&world.node, service, 80, (&world.pod, POD, 8080)));
}

#[test]
fn a_host_reaches_its_workload_through_a_service() {
    let out: &[Judged<'_>] = &[(Hook::Normal, OUT, &[], TierEnd::Deny)];
    let world = World::new(&program(&[("*", out)]));
    translate(&world.node, "output", 80, POD, 8080);
    let service = ["10.96.0.1", "fd96::1"];
    assert!(reaches(&world.node, service, 80, (&world.pod, POD, 8080)));
}

#[test]
fn an_untracked_allow_is_not_followed_and_its_answers_need_a_rule() {
    let mut half = program(&[(
        "eth0",
        &[
            (Hook::Untracked, IN, &[(8000, ALLOW)], TierEnd::Deny),
            (Hook::Normal, IN, &[], TierEnd::Deny),
            (Hook::Normal, OUT, &[], TierEnd::Deny),
        ],
    )]);
    let mut world = World::new(&half);
    assert!(
        !world.far_to_node(8000),
        "the answer has no rule and no connection"
    );
    put(
        &mut half,
        "eth0",
        &[
            (Hook::Untracked, IN, &[(8000, ALLOW)], TierEnd::Deny),
            (Hook::Untracked, OUT, &[], TierEnd::Deny),
            (Hook::Normal, IN, &[], TierEnd::Deny),
            (Hook::Normal, OUT, &[], TierEnd::Deny),
        ],
    );
    let out = half.hosts["eth0"].groups[&(Hook::Untracked, OUT)].clone();
    let mut group = half.groups[&out].as_ref().clone();
    group.tiers[0].banks[0]
        .levels
        .k5
        .insert(Protocol::TCP, ALLOW);
    half.groups.insert(out, Arc::new(group));
    world.become_program(&half);
    assert!(world.far_to_node(8000));
    assert!(!world.far_to_node(8001));
    assert!(world.far_to_node(22), "failsafes are tracked and pass");
    let flows = world
        .node
        .run(|| Conntrack::open().unwrap().dump().unwrap())
        .unwrap();
    let port = |flow: &&oncilla_kernel::conntrack::Flow| flow.orig.dst_port == 8000;
    assert_eq!(flows.iter().find(port), None, "nothing is followed");
}

#[test]
fn neighbour_discovery_passes_a_closed_host() {
    let closed: &[Judged<'_>] = &[
        (Hook::Normal, IN, &[], TierEnd::Deny),
        (Hook::Normal, OUT, &[], TierEnd::Deny),
        (Hook::Untracked, IN, &[(1, DENY)], TierEnd::Deny),
    ];
    let world = World::new(&program(&[("*", closed)]));
    // Without its permanent neighbours the node must ask for its gateway.
    world
        .node
        .run(|| ip(&["neigh", "flush", "dev", "eth0", "nud", "all"]))
        .unwrap();
    world
        .node
        .run(|| ip(&["-6", "neigh", "flush", "dev", "eth0", "nud", "all"]))
        .unwrap();
    let addr = SocketAddr::new(FAR[1].parse().unwrap(), 6443);
    let _listener = listen(&world.far, addr).unwrap();
    assert_eq!(
        connect(&world.node, addr, PATIENCE).unwrap(),
        Connection::Connected
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user's own tool changes neighbours"
)]
fn ip(arguments: &[&str]) {
    let output = std::process::Command::new("ip")
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A closed host gets and keeps its address: DHCP's two ports are failsafes, for the host alone.
#[test]
fn dhcp_passes_a_closed_host_by_its_failsafes() {
    let closed: &[Judged<'_>] = &[
        (Hook::Normal, IN, &[], TierEnd::Deny),
        (Hook::Normal, OUT, &[], TierEnd::Deny),
        (Hook::Forward, OUT, &[], TierEnd::Deny),
    ];
    let world = World::new(&program(&[("eth0", closed)]));
    let (client, server) = (
        SocketAddr::from(([0; 4], 68)),
        SocketAddr::from(([0; 4], 67)),
    );
    let bind = |netns: &Netns, addr| netns.run(|| UdpSocket::bind(addr).unwrap()).unwrap();
    let (client, server) = (bind(&world.node, client), bind(&world.far, server));
    let far: IpAddr = FAR[0].parse().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"request", (far, 67)).unwrap();
    let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(from.port(), 68);
    // An offer that nobody asked for by this address: a flow of its own.
    Conntrack::open_in(&world.node).unwrap().flush().unwrap();
    server.send_to(b"offer", from).unwrap();
    assert_eq!(
        client.recv_from(&mut [0; 16]).unwrap().1,
        SocketAddr::new(far, 67)
    );
    assert!(!world.pod_to_far(67), "forwarded: no failsafe");
}

/// An error about an open connection is part of it: policy that denies everything else lets it in.
#[test]
fn related_errors_pass_closed_hosts_and_workloads() {
    let out: &[Judged<'_>] = &[
        (Hook::Normal, IN, &[], TierEnd::Deny),
        (Hook::Forward, IN, &[], TierEnd::Deny),
    ];
    let world = World::new(&program(&[("eth0", out)]));
    for (from, own) in [(&world.node, NODE), (&world.pod, POD)] {
        for family in [0, 1] {
            let to: IpAddr = FAR[family].parse().unwrap();
            let own: IpAddr = own[family].parse().unwrap();
            let refused = from.run(|| {
                let socket = UdpSocket::bind((own, 0)).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.connect((to, 9)).unwrap();
                socket.send(b"x").unwrap();
                socket.recv(&mut [0]).unwrap_err().kind()
            });
            assert_eq!(refused.unwrap(), ErrorKind::ConnectionRefused, "{own}");
        }
    }
}

fn probe(
    world: &World,
    protocol: Protocol,
    src: Option<&str>,
    dst_port: u16,
    family: usize,
) -> Verdict {
    let mut prober = world.topology.prober().unwrap();
    let (from, to) = (
        prober.point("pod-1-1").unwrap(),
        prober.point("outside").unwrap(),
    );
    let probe = Probe {
        from,
        to,
        src: src.unwrap_or(POD[family]).parse().unwrap(),
        dst: FAR[family].parse().unwrap(),
        protocol,
        src_port: None,
        dst_port,
        icmp: None,
    };
    prober.run_one(&probe).unwrap().verdict()
}

#[test]
fn a_workload_cannot_send_from_a_foreign_address() {
    let foreign = ["10.0.1.77", "fd00::1:77"];
    let mut world = World::new(&program(&[]));
    for family in [0, 1] {
        assert_eq!(
            probe(&world, Protocol::UDP, None, 53, family),
            Verdict::Allow
        );
        let spoofed = probe(&world, Protocol::UDP, Some(foreign[family]), 53, family);
        assert_eq!(spoofed, Verdict::Deny, "{}", foreign[family]);
    }
    let mut lax = program(&[]);
    lax.settings.drop_spoofed = false;
    assert!(
        world.become_program(&lax),
        "other settings replace the table"
    );
    for family in [0, 1] {
        let spoofed = probe(&world, Protocol::UDP, Some(foreign[family]), 53, family);
        assert_eq!(spoofed, Verdict::Allow, "{}", foreign[family]);
    }
}

/// An answer that nobody asked for, which connection tracking calls invalid, from outside to the pod.
fn stray_answer(world: &World, family: usize) -> Verdict {
    let (protocol, kind) = [(Protocol::ICMP, 0), (Protocol::ICMPV6, 129)][family];
    let mut prober = world.topology.prober().unwrap();
    let (from, to) = (
        prober.point("outside").unwrap(),
        prober.point("pod-1-1").unwrap(),
    );
    let probe = Probe {
        from,
        to,
        src: FAR[family].parse().unwrap(),
        dst: POD[family].parse().unwrap(),
        protocol,
        src_port: None,
        dst_port: 0,
        icmp: Some(Icmp { kind, code: 0 }),
    };
    prober.run_one(&probe).unwrap().verdict()
}

/// The pod is no workload here, so that nothing but the host endpoint can drop what passes.
#[test]
fn what_connection_tracking_cannot_place_does_not_pass_a_host_endpoint_without_forward_policy() {
    let closed = || {
        let mut program = program(&[("eth0", &[])]);
        program.settings.interface_prefixes = "workload".into();
        program
    };
    let mut world = World::new(&closed());
    for family in [0, 1] {
        assert_eq!(stray_answer(&world, family), Verdict::Deny);
    }
    assert!(
        world.far_to_pod(80),
        "forwarded connections are nobody's to deny"
    );
    let mut lax = closed();
    lax.settings.drop_invalid = false;
    world.become_program(&lax);
    for family in [0, 1] {
        assert_eq!(stray_answer(&world, family), Verdict::Allow);
    }
}

#[test]
fn tunnels_from_workloads_are_dropped_unless_allowed() {
    let mut world = World::new(&program(&[]));
    assert_eq!(probe(&world, Protocol::UDP, None, 4789, 0), Verdict::Deny);
    assert_eq!(probe(&world, Protocol(4), None, 0, 0), Verdict::Deny);
    let mut open = program(&[]);
    open.settings.encap_drop = EncapDrop {
        vxlan_ports: [].into(),
        ipip: false,
    };
    world.become_program(&open);
    assert_eq!(probe(&world, Protocol::UDP, None, 4789, 0), Verdict::Allow);
    assert_eq!(probe(&world, Protocol(4), None, 0, 0), Verdict::Allow);
}

#[test]
fn an_unknown_workload_interface_is_cut_off() {
    let world = World::new(&program(&[]));
    let mut dataplane = world.dataplane;
    let bare = Program::default();
    let dataplane = dataplane.as_mut().unwrap();
    let delta = ProgramDelta::between(dataplane.program(), &bare);
    dataplane.apply(&delta, &bare).unwrap();
    let addr = SocketAddr::new(FAR[0].parse().unwrap(), 8000);
    let _listener = listen(&world.far, addr).unwrap();
    assert_eq!(
        connect(&world.pod, addr, SILENCE).unwrap(),
        Connection::Silent
    );
    let addr = SocketAddr::new(POD[0].parse().unwrap(), 8000);
    let _listener = listen(&world.pod, addr).unwrap();
    assert_eq!(
        connect(&world.far, addr, SILENCE).unwrap(),
        Connection::Silent
    );
}

/// A second workload of the node, behind an interface that is not called as pods' are.
fn machine(world: &mut World) -> (Arc<Netns>, [&'static str; 2]) {
    let addresses = ["10.0.9.9", "fd00::9:9"];
    let spec = PodSpec {
        name: "machine".to_owned(),
        node: "node-1".to_owned(),
        host_iface: Some("tap0".to_owned()),
        addresses: addresses.map(|addr| addr.parse().unwrap()).into(),
    };
    world.topology.add_pod(&spec).unwrap();
    let pod = world.topology.pod("machine").unwrap();
    (Arc::clone(&pod.netns), addresses)
}

/// What becomes of a packet of the machine from an address that is not its own.
fn spoofed(world: &World) -> Verdict {
    let mut prober = world.topology.prober().unwrap();
    let point = |name| prober.point(name).unwrap();
    let probe = Probe {
        from: point("machine"),
        to: point("outside"),
        src: "192.0.2.7".parse().unwrap(),
        dst: FAR[0].parse().unwrap(),
        protocol: Protocol::UDP,
        src_port: None,
        dst_port: 53,
        icmp: None,
    };
    prober.run_one(&probe).unwrap().verdict()
}

#[test]
fn an_interface_of_a_second_prefix_is_a_workloads_from_the_moment_that_it_is_told() {
    let mut world = World::new(&program(&[]));
    let (tap, own) = machine(&mut world);
    let ways = |world: &World| {
        [
            connects(&world.far, (&tap, own), 80),
            connects(&world.pod, (&tap, own), 80),
            connects(&tap, (&world.far, FAR), 80),
            connects(&tap, (&world.pod, POD), 80),
            connects(&tap, (&world.node, NODE), 80),
            connects(&world.node, (&tap, own), 80),
        ]
    };
    assert_eq!(ways(&world), [true; 6], "no workload's");
    let mut told = program(&[]);
    told.settings.endpoint_to_host = EndpointToHost::Accept;
    told.settings.interface_prefixes = told.settings.interface_prefixes.with(["tap".into()]);
    assert!(world.become_program(&told));
    let only_from_host = [false, false, false, false, false, true];
    assert_eq!(ways(&world), only_from_host);
    assert!(world.far_to_pod(80), "those of the first are as they were");
    let known = LocalEndpoint {
        name: "team/machine eth0".into(),
        addresses: own.map(|addr| addr.parse().unwrap()).into(),
        ingress: Dispatch::Open,
        egress: Dispatch::Open,
    };
    let mut with_machine = told.clone();
    with_machine.endpoints.insert("tap0".into(), known);
    assert!(!world.become_program(&with_machine));
    assert_eq!(ways(&world), [true; 6], "a known one");
    assert_eq!(spoofed(&world), Verdict::Deny, "not its own address");
    let mut lax = with_machine.clone();
    lax.settings.drop_spoofed = false;
    assert!(world.become_program(&lax));
    assert_eq!(spoofed(&world), Verdict::Allow);
    assert!(world.become_program(&told));
    assert_eq!(ways(&world), only_from_host, "gone again");
    assert!(world.become_program(&program(&[])));
    assert_eq!(ways(&world), [true; 6]);
}

/// With every hook of host endpoints, and their rules that ask for other interfaces than workloads'.
#[test]
fn several_prefixes_and_host_endpoints_are_read_back_and_adopted_without_a_write() {
    let all: Vec<(Hook, Direction)> = Hook::ways().collect();
    let ways: Vec<Judged<'_>> = all
        .iter()
        .map(|(hook, way)| (*hook, *way, &[(80, ALLOW)][..], TierEnd::Deny))
        .collect();
    let mut program = program(&[("*", &ways)]);
    let prefixes = ["tap".into(), "veth".into()];
    program.settings.interface_prefixes = program.settings.interface_prefixes.with(prefixes);
    let mut world = World::new(&program);
    let (tap, own) = machine(&mut world);
    assert!(world.far_to_pod(80) && !world.far_to_pod(81));
    assert!(!connects(&world.far, (&tap, own), 80));
    assert!(
        connects(&world.node, (&tap, own), 81),
        "a host reaches its own workloads"
    );
    let program = world.with_pod(&program);
    let first = world.dataplane.take();
    world
        .node
        .run(|| {
            drop(first);
            let settings = program.settings.clone();
            let mut again = Dataplane::open(settings, TableOwner::Off).unwrap();
            let applied = again.start(&program).unwrap();
            assert_eq!((applied.transactions, again.writes()), (0, 0));
            assert_eq!(again.verify().unwrap(), []);
        })
        .unwrap();
}

#[test]
fn a_table_with_host_endpoints_reloads_and_is_adopted_without_a_write() {
    let all: Vec<(Hook, Direction)> = Hook::ways().collect();
    let ways: Vec<Judged<'_>> = all
        .iter()
        .map(|(hook, way)| (*hook, *way, &[(8000, ALLOW)][..], TierEnd::Pass))
        .collect();
    let program = program(&[("eth0", &ways), ("*", &ways)]);
    let world = World::new(&program);
    let program = world.with_pod(&program);
    let mut first = world.dataplane.unwrap();
    let node = Arc::clone(&world.node);
    node.run(|| {
        let listed = super::support::listing();
        assert!(listed.contains("node-1-eth0"), "{listed}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("flush ruleset\n{listed}")).unwrap();
        nft(&["-f", file.path().to_str().unwrap()]);
        assert_eq!(super::support::listing(), listed);
        assert_eq!(first.verify().unwrap(), []);
        drop(first);
        let settings = program.settings.clone();
        let mut again = Dataplane::open(settings, TableOwner::Off).unwrap();
        let applied = again.start(&program).unwrap();
        assert_eq!((applied.transactions, again.writes()), (0, 0));
        assert_eq!(again.verify().unwrap(), []);
    })
    .unwrap();
}
