//! Millions of changes, and now and then everything as it was: so is the heap, and the kernel holds the program and nothing else.
//!
//! Pods come, change and go, with names, addresses and label values that were never there before; policies, namespaces
//! and network sets change between a few shapes. All of it goes through the stages into a real kernel. The tests make some
//! thousands of changes, `make soak` more than five million.

use std::alloc::System;
use std::collections::BTreeSet;

use cap::Cap;
use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_compile::Compiler;
use oncilla_dataplane::{Dataplane, TableOwner};
use oncilla_kernel::netns::Netns;
use oncilla_model::{Change, Converter};
use oncilla_program::Settings;
use oncilla_resolve::{Adoption, Limits, Resolver};
use oncilla_testkit::rng::Rng;
use serde_json::{Value, json};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

const UPDATES: usize = 60_000;
const UPDATES_SOAK: usize = 5_200_000;
const NODE: &str = "n1";
const REMOTES: usize = 4_000;
const LOCALS: usize = 12;
const POLICIES: usize = 30;
const SETS: usize = 4;
const APPS: u64 = 12;
const ROLES: u64 = 4;
/// How often everything becomes as it was, and the heap is looked at.
const RETURNS: usize = 8;
/// The most that the heap may differ between the first half of those times and the second, in hundredths. Gaps between
/// packed strings are closed first: left alone they grow to as much as the strings, and go.
const HEAP_DIFFERENCE_MAX: usize = 5;
/// The most that it may be above what it was when everything had just been loaded, in hundredths: trees and tables are
/// fuller then than they are ever again.
const HEAP_ABOVE_LOAD_MAX: usize = 30;
/// Changes of a batch, at most, and batches between two cleanings.
const BATCH_MAX: u64 = 64;
const CLEAN_BATCHES: u64 = 8;
/// How often a resolver may want to settle again.
const SETTLE_MAX: usize = 64;

/// One thing of the cluster that changes.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Remote(usize),
    Local(usize),
    Policy(usize),
    Namespace,
    Set(usize),
}

/// The stages, and what the store has.
struct World {
    converter: Converter,
    resolver: Resolver,
    compiler: Compiler,
    dataplane: Dataplane,
    now_ms: u64,
    /// The remote pods that are there.
    remotes: Vec<Option<ObjectKey>>,
    rng: Rng,
    /// Counts what was never there before.
    fresh: usize,
}

fn object(kind: Kind, value: Value) -> Object {
    Object::from_value(kind, value).unwrap()
}

fn remote(name: &str, address: usize, labels: &Value) -> Object {
    let [_, high, middle, low] = u32::try_from(address).unwrap().to_be_bytes();
    let address = format!("10.{}.{middle}.{low}", 100 + u16::from(high) % 100);
    pod(name, "n2", &address, labels)
}

fn pod(name: &str, node: &str, address: &str, labels: &Value) -> Object {
    let value = json!({
        "metadata": {"name": name, "namespace": "churn", "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    });
    object(Kind::Pod, value)
}

fn labels(app: u64, role: u64, stamp: &str) -> Value {
    json!({"app": format!("a{app}"), "role": format!("r{role}"), "stamp": stamp})
}

fn local(number: usize, role: u64) -> Object {
    let name = format!("local-{number}");
    let address = format!("10.65.0.{}", number + 2);
    pod(
        &name,
        NODE,
        &address,
        &labels(number as u64 % APPS, role, "local"),
    )
}

fn namespace(kind: u64) -> Object {
    let labels = json!({"name": "churn", "kind": format!("k{kind}")});
    object(
        Kind::Namespace,
        json!({"metadata": {"name": "churn", "labels": labels}}),
    )
}

fn set(number: usize, shape: u64) -> Object {
    let nets: Vec<String> = (0..=shape)
        .map(|net| format!("172.{}.{}.0/24", 16 + number, net))
        .collect();
    let metadata =
        json!({"name": format!("set-{number}"), "labels": {"set": format!("s{number}")}});
    object(
        Kind::GlobalNetworkSet,
        json!({"metadata": metadata, "spec": {"nets": nets}}),
    )
}

fn policy(number: usize, shape: u64) -> Object {
    let app = number as u64 % APPS;
    let source = match shape % 4 {
        0 => json!({"selector": format!("role == 'r{}'", shape % ROLES)}),
        1 => json!({"selector": format!("app in {{'a{app}', 'a{}'}}", (app + shape) % APPS)}),
        2 => json!({"namespaceSelector": format!("kind == 'k{}'", shape % 3)}),
        _ => {
            json!({"selector": format!("set == 's{}'", shape % SETS as u64), "namespaceSelector": "global()"})
        }
    };
    let action = if shape.is_multiple_of(5) {
        "Deny"
    } else {
        "Allow"
    };
    let ports = [8000 + shape, 9000 + number as u64];
    let spec = json!({
        "order": number,
        "selector": format!("app == 'a{app}'"),
        "types": ["Ingress"],
        "ingress": [{"action": action, "protocol": "TCP", "source": source, "destination": {"ports": ports}}],
    });
    let metadata = json!({"name": format!("policy-{number}"), "namespace": "churn"});
    object(
        Kind::NetworkPolicy,
        json!({"metadata": metadata, "spec": spec}),
    )
}

fn first_remote(number: usize) -> Object {
    let number_wide = number as u64;
    let stamp = format!("first-{number}");
    remote(
        &stamp,
        number,
        &labels(number_wide % APPS, number_wide % ROLES, &stamp),
    )
}

impl World {
    fn new() -> Self {
        let settings = Settings::default();
        let limits = Limits {
            mask: settings.mask,
        };
        let mut world = Self {
            converter: Converter::default(),
            resolver: Resolver::new(NODE, limits),
            compiler: Compiler::new(settings.clone()),
            dataplane: Dataplane::open(settings, TableOwner::Off).unwrap(),
            now_ms: 0,
            remotes: vec![None; REMOTES],
            rng: Rng::new(5),
            fresh: REMOTES,
        };
        let tier = json!({"metadata": {"name": "default"}, "spec": {"order": 1_000_000, "defaultAction": "Deny"}});
        let mut changes = world.converter.convert(&object(Kind::Tier, tier)).unwrap();
        changes.extend(world.first());
        let adoption = Adoption {
            class_of: &|_| None,
            used: BTreeSet::new(),
        };
        let delta = world.resolver.load(&changes, &adoption, 0).unwrap();
        world.compiler.apply(&world.resolver, &delta);
        world.dataplane.start(world.compiler.program()).unwrap();
        world.rest();
        world
    }

    /// Everything as it is at the start.
    fn first(&mut self) -> Vec<Change> {
        let gone = self.remotes.iter_mut().filter_map(Option::take);
        let mut changes: Vec<Change> = gone.flat_map(|key| self.converter.removed(&key)).collect();
        let mut objects = vec![namespace(0)];
        objects.extend((0..LOCALS).map(|number| local(number, 0)));
        objects.extend((0..POLICIES).map(|number| policy(number, number as u64)));
        objects.extend((0..SETS).map(|number| set(number, 0)));
        for number in 0..REMOTES {
            let pod = first_remote(number);
            self.remotes[number] = Some(pod.key());
            objects.push(pod);
        }
        for object in &objects {
            changes.extend(self.converter.convert(object).unwrap());
        }
        changes
    }

    fn update(&mut self) -> Vec<Change> {
        let rng = &mut self.rng;
        let slot = match rng.below(100) {
            0 => Slot::Namespace,
            1..3 => Slot::Set(rng.index(SETS)),
            3..8 => Slot::Policy(rng.index(POLICIES)),
            8..14 => Slot::Local(rng.index(LOCALS)),
            _ => Slot::Remote(rng.index(REMOTES)),
        };
        let is_gone = rng.chance(1, 4);
        let shape = rng.below(16);
        let mut changes = Vec::new();
        let object = match slot {
            Slot::Namespace => namespace(shape % 3),
            Slot::Set(number) => set(number, shape),
            Slot::Policy(number) => policy(number, shape),
            Slot::Local(number) => local(number, shape % ROLES),
            Slot::Remote(number) => {
                // The next one has another name, address and stamp.
                if let Some(key) = self.remotes[number].take() {
                    changes.extend(self.converter.removed(&key));
                }
                if is_gone {
                    return changes;
                }
                self.fresh += 1;
                let stamp = format!("fresh-{}", self.fresh);
                let labels = labels(shape % APPS, shape % ROLES, &stamp);
                let pod = remote(&stamp, self.fresh % (1 << 22), &labels);
                self.remotes[number] = Some(pod.key());
                pod
            }
        };
        let is_permanent = matches!(slot, Slot::Namespace | Slot::Remote(_));
        changes.extend(if is_gone && !is_permanent {
            self.converter.removed(&object.key())
        } else {
            self.converter.convert(&object).unwrap()
        });
        changes
    }

    fn put(&mut self, changes: &[Change]) {
        self.now_ms += 1_000;
        let delta = self.resolver.apply(changes, self.now_ms).unwrap();
        let delta = self.compiler.apply(&self.resolver, &delta);
        self.dataplane
            .apply(&delta, self.compiler.program())
            .unwrap();
    }

    /// Leaves nothing for later.
    fn rest(&mut self) {
        for _ in 0..SETTLE_MAX {
            self.now_ms += 20_000;
            let delta = self.resolver.settle(self.now_ms).unwrap();
            let delta = self.compiler.apply(&self.resolver, &delta);
            self.dataplane
                .apply(&delta, self.compiler.program())
                .unwrap();
            self.dataplane.clean().unwrap();
            if self.resolver.is_settled() && delta.is_empty() {
                return;
            }
        }
        panic!("the resolver does not settle");
    }

    fn churn(&mut self, updates: usize) {
        let mut made = 0;
        while made < updates {
            for _ in 0..CLEAN_BATCHES {
                let size = 1 + usize::try_from(self.rng.below(BATCH_MAX)).unwrap();
                let changes: Vec<Change> = (0..size).flat_map(|_| self.update()).collect();
                self.put(&changes);
                made += size;
            }
            self.dataplane.clean().unwrap();
            if self.rng.chance(1, 8) {
                self.rest();
            }
        }
    }

    /// The kernel holds the program and nothing else.
    fn check(&mut self) {
        assert_eq!(self.dataplane.program(), self.compiler.program());
        assert_eq!(self.dataplane.verify().unwrap(), []);
        let mut again = Dataplane::open(Settings::default(), TableOwner::Off).unwrap();
        let applied = again.start(self.compiler.program()).unwrap();
        assert_eq!(applied.transactions, 0);
        assert!(!again.needs_cleaning());
    }
}

#[test]
fn after_any_number_of_changes_heap_and_kernel_are_as_they_were() {
    let updates = if std::env::var_os("ONCILLA_SOAK").is_some() {
        UPDATES_SOAK
    } else {
        UPDATES
    };
    let (before, heaps) = Netns::new()
        .unwrap()
        .run(|| {
            let mut world = World::new();
            world.check();
            let program = world.compiler.program().canonical();
            world.resolver.close_gaps();
            let before = HEAP.allocated();
            let mut heaps = Vec::new();
            for _ in 0..RETURNS {
                world.churn(updates / RETURNS);
                world.check();
                let first = world.first();
                world.put(&first);
                drop(first);
                world.rest();
                let again = world.compiler.program().canonical();
                assert!(again == program, "another program");
                drop(again);
                world.resolver.close_gaps();
                heaps.push(HEAP.allocated());
            }
            world.check();
            (before, heaps)
        })
        .unwrap();
    println!("{updates} changes: heap {before} bytes before, then {heaps:?}");
    let (early, late) = heaps.split_at(RETURNS / 2);
    let mean = |heaps: &[usize]| heaps.iter().sum::<usize>() / heaps.len();
    let (early, late) = (mean(early), mean(late));
    assert!(
        early.abs_diff(late) <= early / 100 * HEAP_DIFFERENCE_MAX,
        "{early} bytes early, {late} late"
    );
    let peak = heaps.iter().copied().max().unwrap();
    let most = before / 100 * (100 + HEAP_ABOVE_LOAD_MAX);
    assert!(peak <= most, "{before} bytes before, {peak} at most");
}
