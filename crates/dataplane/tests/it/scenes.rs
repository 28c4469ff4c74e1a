//! Changes of every sort on a node with pods, and what real packets must meet before and after each.

use std::net::IpAddr;
use std::sync::Arc;

use oncilla_dataplane::{Dataplane, DataplaneError, TableOwner};
use oncilla_kernel::netns::Netns;
use oncilla_kernel::nf_tables::{Batch, Socket};
use oncilla_net::{Direction, Packet, PortRange, Protocol, Verdict};
use oncilla_nft::{STAND_IN, TABLE, host_element};
use oncilla_program::{
    AddressSet, Bank, ClassId, ClassSet, Dispatch, Group, GroupId, Hook, HostEndpoint,
    LocalEndpoint, LocalMatch, LogRate, Passage, Peer, PeerMatch, ProfileEnd, Program,
    ProgramDelta, Rule, RuleVerdict, SetName, SetRef, Tier, TierEnd,
};
use oncilla_testkit::prober::{Outcome, Probe, Prober};
use oncilla_testkit::topology::{NodeSpec, OutsideSpec, PodSpec, Topology, TopologySpec};

const NODE: &str = "node";
const OUTSIDE: &str = "outside";
const PODS: [&str; 3] = ["a", "b", "c"];
const TCP: Protocol = Protocol::TCP;

/// How a scene gets from the program before to the one after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Deed {
    /// The running dataplane is told.
    Apply,
    /// A new one starts.
    Start,
    /// What the change left is removed.
    Clean,
    /// Somebody else took an address away, and it is put back.
    Repair,
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) deed: Deed,
    /// None: the kernel holds nothing.
    pub(crate) before: Option<Program>,
    pub(crate) after: Program,
}

/// All of them, each with a way back to the first program.
pub(crate) fn scenes() -> Vec<Scene> {
    let changes = [
        ("addresses", addresses()),
        ("in place", in_place()),
        ("new version", new_version()),
        ("endpoints", endpoints()),
        ("bridge", bridge()),
        ("sets", sets()),
        ("settings", settings()),
        ("host endpoint", host_endpoint()),
    ];
    let mut scenes = Vec::new();
    for (name, after) in changes {
        for deed in [Deed::Apply, Deed::Start] {
            let (before, after) = (Some(base()), after.clone());
            scenes.push(Scene {
                name,
                deed,
                before,
                after,
            });
        }
    }
    scenes.extend([
        Scene {
            name: "first",
            deed: Deed::Start,
            before: None,
            after: base(),
        },
        Scene {
            name: "leftovers",
            deed: Deed::Clean,
            before: Some(base()),
            after: new_version(),
        },
        Scene {
            name: "foreign change",
            deed: Deed::Repair,
            before: Some(base()),
            after: base(),
        },
    ]);
    scenes
}

impl Scene {
    /// The same change, back.
    pub(crate) fn back(&self) -> Self {
        Self {
            before: Some(self.after.clone()),
            after: self.before.clone().unwrap(),
            ..self.clone()
        }
    }

    /// What the kernel means when the deed is begun.
    pub(crate) fn begun(&self) -> Option<Program> {
        match self.deed {
            Deed::Apply | Deed::Start => self.before.clone(),
            Deed::Clean => Some(self.after.clone()),
            Deed::Repair => {
                let mut program = self.after.clone();
                program.addresses.set_host(address("a", false), None);
                Some(program)
            }
        }
    }

    /// A dataplane before the deed, over whatever the kernel holds.
    pub(crate) fn prepare(&self) -> Dataplane {
        let mut dataplane = open(&self.after);
        let Some(before) = &self.before else {
            dataplane.remove().unwrap();
            return open(&self.after);
        };
        if self.deed == Deed::Start {
            open(before).start(before).unwrap();
            return open(&self.after);
        }
        dataplane.start(before).unwrap();
        match self.deed {
            Deed::Clean => {
                let delta = ProgramDelta::between(before, &self.after);
                dataplane.apply(&delta, &self.after).unwrap();
                assert!(dataplane.needs_cleaning(), "{}", self.name);
            }
            Deed::Repair => {
                let mask = self.after.settings.mask;
                let placed = host_element(mask, address("a", false), ClassId(3));
                let mut socket = Socket::open().unwrap();
                let sets = socket.sets(TABLE).unwrap();
                let set = sets.iter().find(|set| set.name == placed.set).unwrap();
                let mut batch = Batch::new(TABLE);
                socket
                    .commit(batch.delete_elements(set, [&placed.element]))
                    .unwrap();
            }
            Deed::Apply | Deed::Start => {}
        }
        dataplane
    }

    /// The deed.
    pub(crate) fn act(&self, dataplane: &mut Dataplane) -> Result<(), DataplaneError> {
        match self.deed {
            Deed::Apply => {
                let delta = ProgramDelta::between(dataplane.program(), &self.after);
                dataplane.apply(&delta, &self.after).map(drop)
            }
            Deed::Start => dataplane.start(&self.after).map(drop),
            Deed::Clean => dataplane.clean().map(drop),
            Deed::Repair => dataplane.repair(&self.after).map(drop),
        }
    }

    /// What is done after a deed that failed.
    pub(crate) fn go_on(&self, dataplane: &mut Dataplane) {
        match self.deed {
            Deed::Apply | Deed::Start => {
                let nothing = ProgramDelta::default();
                dataplane.apply(&nothing, &self.after).unwrap();
            }
            Deed::Clean => drop(dataplane.clean().unwrap()),
            Deed::Repair => drop(dataplane.repair(&self.after).unwrap()),
        }
    }

    /// The kernel holds the program after, and nothing else.
    pub(crate) fn assert_done(&self, dataplane: &mut Dataplane, what: &str) {
        let name = self.name;
        assert_eq!(dataplane.program(), &self.after, "{name}, {what}");
        assert_eq!(dataplane.verify().unwrap(), [], "{name}, {what}");
        let stand_in = Socket::open().unwrap().table(STAND_IN).unwrap();
        assert_eq!(stand_in, None, "{name}, {what}");
        dataplane.clean().unwrap();
        assert!(!dataplane.needs_cleaning());
        assert_eq!(dataplane.verify().unwrap(), [], "{name}, {what}, cleaned");
        let mut again = open(&self.after);
        let applied = again.start(&self.after).unwrap();
        assert_eq!(applied.transactions, 0, "{name}, {what}, started");
        assert!(!again.needs_cleaning(), "{name}, {what}, started");
    }
}

/// A dataplane in the calling thread's namespace.
pub(crate) fn open(program: &Program) -> Dataplane {
    Dataplane::open(program.settings.clone(), TableOwner::Off).unwrap()
}

/// A flow that is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    from: &'static str,
    to: &'static str,
    port: u16,
    v6: bool,
}

pub(crate) fn flows() -> Vec<Flow> {
    let ends = [
        ("a", "b"),
        ("c", "b"),
        (OUTSIDE, "b"),
        ("b", "a"),
        ("c", "a"),
        ("a", "c"),
        ("b", OUTSIDE),
        (OUTSIDE, "a"),
    ];
    let ports = [80, 443, 8080];
    let kinds = ports
        .into_iter()
        .flat_map(|port| [(port, false), (port, true)]);
    ends.into_iter()
        .flat_map(|(from, to)| {
            let kinds = kinds.clone();
            kinds.map(move |(port, v6)| Flow { from, to, port, v6 })
        })
        .collect()
}

fn address(name: &str, v6: bool) -> IpAddr {
    let number = match PODS.iter().position(|pod| *pod == name) {
        Some(at) => u8::try_from(at).unwrap() + 1,
        None => 200,
    };
    if v6 {
        [0xfd65, 0, 0, 0, 0, 0, 0, u16::from(number)].into()
    } else {
        [10, 65, 0, number].into()
    }
}

fn interface(name: &str) -> String {
    if name == OUTSIDE {
        "eth0".to_owned()
    } else {
        format!("cali{name}")
    }
}

impl Flow {
    fn packet(&self) -> Packet {
        Packet {
            src: address(self.from, self.v6),
            dst: address(self.to, self.v6),
            protocol: TCP,
            src_port: 0,
            dst_port: self.port,
            icmp: None,
        }
    }

    /// What a program says of it; without one nothing is policed.
    fn judge(&self, program: Option<&Program>) -> Verdict {
        let (from, to) = (interface(self.from), interface(self.to));
        let passage = Passage::forward(&from, &to);
        program.map_or(Verdict::Allow, |program| {
            program.judge(&passage, &self.packet()).verdict
        })
    }
}

/// What a program says of each flow.
pub(crate) fn expected(flows: &[Flow], program: Option<&Program>) -> Vec<Verdict> {
    flows.iter().map(|flow| flow.judge(program)).collect()
}

/// The node, its pods and the host outside.
pub(crate) struct World {
    topology: Topology,
    pub(crate) node: Arc<Netns>,
}

impl World {
    pub(crate) fn new() -> Self {
        let both = |name| vec![address(name, false), address(name, true)];
        let topology = Topology::build(&TopologySpec {
            nodes: vec![NodeSpec {
                name: NODE.to_owned(),
                addresses: vec!["192.168.0.1".parse().unwrap(), "fd01::1".parse().unwrap()],
            }],
            pods: PODS
                .map(|name| PodSpec {
                    name: name.to_owned(),
                    node: NODE.to_owned(),
                    host_iface: Some(interface(name)),
                    addresses: both(name),
                })
                .into(),
            outside: vec![OutsideSpec {
                name: OUTSIDE.to_owned(),
                addresses: both(OUTSIDE),
            }],
        })
        .unwrap();
        let node = Arc::clone(&topology.node(NODE).unwrap().netns);
        Self { topology, node }
    }

    /// Something that asks real packets about flows.
    pub(crate) fn asking(&self, flows: &[Flow]) -> Asking {
        let prober = self.topology.prober().unwrap();
        let point = |name| prober.point(name).unwrap();
        let probe =
            |flow: &Flow| Probe::of_packet(point(flow.from), point(flow.to), &flow.packet());
        let probes = flows.iter().map(probe).collect();
        Asking { prober, probes }
    }
}

/// Real packets, one for each flow.
pub(crate) struct Asking {
    prober: Prober,
    probes: Vec<Probe>,
}

impl Asking {
    pub(crate) fn ask(&mut self) -> Vec<Verdict> {
        let outcomes = self.prober.run(&self.probes).unwrap();
        outcomes.iter().map(Outcome::verdict).collect()
    }
}

fn group(id: &str, direction: Direction, bank: Bank) -> Arc<Group> {
    Arc::new(Group {
        id: GroupId(id.into()),
        hook: Hook::Normal,
        direction,
        tiers: vec![Tier {
            name: "default".into(),
            comment: "np/team/policy".into(),
            banks: vec![bank],
            end: TierEnd::Deny,
        }],
        profiles: ProfileEnd::Allow,
    })
}

fn keyed(keys: &[(u32, u16, RuleVerdict)]) -> Bank {
    let mut bank = Bank::default();
    for (class, port, verdict) in keys {
        let key = (ClassId(*class), TCP, *port);
        bank.levels.k1.insert(key, *verdict);
    }
    bank
}

fn put(program: &mut Program, group: Arc<Group>) {
    program.groups.insert(group.id.clone(), group);
}

const ALLOW: RuleVerdict = RuleVerdict::Allow;
const DENY: RuleVerdict = RuleVerdict::Deny;

/// `a` is of class 3, `c` of class 4. What enters `b` is judged, and what leaves it.
pub(crate) fn base() -> Program {
    let mut program = Program::default();
    for (name, class) in [("a", 3), ("b", 5), ("c", 4)] {
        for v6 in [false, true] {
            program
                .addresses
                .set_host(address(name, v6), Some(ClassId(class)));
        }
        let endpoint = LocalEndpoint {
            name: format!("team/{name} eth0").into(),
            addresses: vec![address(name, false), address(name, true)],
            ingress: Dispatch::Open,
            egress: Dispatch::Open,
        };
        program.endpoints.insert(interface(name).into(), endpoint);
    }
    let into = keyed(&[(3, 80, ALLOW), (3, 443, ALLOW)]);
    put(&mut program, group("aa", Direction::Ingress, into));
    put(
        &mut program,
        group(
            "bb",
            Direction::Egress,
            keyed(&[(3, 80, ALLOW), (1, 443, ALLOW)]),
        ),
    );
    lead(&mut program, "b", Direction::Ingress, "aa");
    lead(&mut program, "b", Direction::Egress, "bb");
    program
}

fn lead(program: &mut Program, name: &str, direction: Direction, id: &str) {
    let interface = interface(name);
    let endpoint = program.endpoints.get_mut(interface.as_str()).unwrap();
    let to = Dispatch::Group(GroupId(id.into()));
    match direction {
        Direction::Ingress => endpoint.ingress = to,
        Direction::Egress => endpoint.egress = to,
    }
}

/// `c` becomes what `a` is, and nobody knows `a` any more.
fn addresses() -> Program {
    let mut program = base();
    for v6 in [false, true] {
        program
            .addresses
            .set_host(address("c", v6), Some(ClassId(3)));
        program.addresses.set_host(address("a", v6), None);
    }
    program
}

/// Entries of one verdict come and go.
fn in_place() -> Program {
    let mut program = base();
    let into = keyed(&[(3, 80, ALLOW), (4, 80, ALLOW), (4, 8080, ALLOW)]);
    put(&mut program, group("aa", Direction::Ingress, into));
    program
}

/// Entries of two verdicts: the whole group is made anew.
fn new_version() -> Program {
    let mut program = base();
    let mut into = keyed(&[(3, 80, DENY), (4, 443, ALLOW), (1, 8080, ALLOW)]);
    into.levels.k3.insert(ClassId(3), ALLOW);
    put(&mut program, group("aa", Direction::Ingress, into));
    program
}

/// Policy comes to `c`, and `b` may send what it likes.
fn endpoints() -> Program {
    let mut program = base();
    put(
        &mut program,
        group("cc", Direction::Ingress, keyed(&[(3, 8080, ALLOW)])),
    );
    lead(&mut program, "c", Direction::Ingress, "cc");
    let interface = interface("b");
    let endpoint = program.endpoints.get_mut(interface.as_str()).unwrap();
    endpoint.egress = Dispatch::Open;
    program.groups.remove(&GroupId("bb".into()));
    program
}

/// `b` gets another class and another group, as a label does it. Nobody else's policy changes: what policies say and
/// whom they mean change one after the other, and the agent keeps them apart.
fn bridge() -> Program {
    let mut program = base();
    put(
        &mut program,
        group("dd", Direction::Ingress, keyed(&[(4, 80, ALLOW)])),
    );
    lead(&mut program, "b", Direction::Ingress, "dd");
    program.groups.remove(&GroupId("aa".into()));
    for v6 in [false, true] {
        program
            .addresses
            .set_host(address("b", v6), Some(ClassId(6)));
    }
    program
}

/// Rules that ask sets.
fn sets() -> Program {
    let mut program = base();
    let classes = SetName("p0".into());
    let addresses = SetName("a0".into());
    let set = ClassSet {
        text: "app == \"c\"".into(),
        classes: [ClassId(4)].into(),
    };
    program.class_sets.insert(classes.clone(), set);
    let set = AddressSet {
        text: "nets".into(),
        hosts: [address("b", false), address("b", true)].into(),
        nets: [].into(),
    };
    program.address_sets.insert(addresses.clone(), set);
    let mut rule = Rule::new(ALLOW, "default/np/team/policy ingress[0]".into());
    rule.peer = Peer::Sets(vec![PeerMatch {
        set: SetRef::Classes(classes),
        negated: false,
    }]);
    rule.protocol = Some(TCP);
    rule.dst_ports = Some([PortRange::new(400, 9000).unwrap()].into_iter().collect());
    rule.local.push(LocalMatch {
        set: addresses,
        negated: false,
    });
    let mut into = keyed(&[(3, 80, ALLOW)]);
    into.tail.push(rule);
    put(&mut program, group("aa", Direction::Ingress, into));
    program
}

/// Other static chains: the whole table is replaced.
fn settings() -> Program {
    let mut program = in_place();
    program.settings.log_rate = LogRate {
        packets: program.settings.log_rate.packets + 1,
        ..program.settings.log_rate
    };
    program
}

/// What passes the node's own interface is judged: a hook that was not there.
fn host_endpoint() -> Program {
    let mut program = base();
    let mut out = Bank::default();
    out.levels.k4.insert((TCP, 443), DENY);
    let mut judged = group("ff", Direction::Egress, out).as_ref().clone();
    judged.hook = Hook::Forward;
    judged.tiers[0].end = TierEnd::Pass;
    judged.profiles = ProfileEnd::Continue;
    put(&mut program, Arc::new(judged));
    let host = HostEndpoint {
        name: "node-eth0".into(),
        groups: [((Hook::Forward, Direction::Egress), GroupId("ff".into()))].into(),
    };
    program.hosts.insert("eth0".into(), host);
    program
}
