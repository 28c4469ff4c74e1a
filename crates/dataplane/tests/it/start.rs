//! Starting on an empty kernel, on our own table, and on one that somebody changed.

use oncilla_dataplane::{Dataplane, DataplaneError, Difference, TableOwner};
use oncilla_net::Protocol;
use oncilla_program::{AddressChange, ClassId, Program, ProgramDelta, RuleVerdict, Settings};

use super::support::{addr, alone, listing, nft, small};

fn open(owner: TableOwner) -> Dataplane {
    Dataplane::open(Settings::default(), owner).unwrap()
}

#[test]
fn the_listing_names_endpoints_and_policies_and_reloads() {
    alone(|| {
        let mut dataplane = open(TableOwner::Off);
        dataplane.start(&small()).unwrap();
        let listed = listing();
        assert!(listed.contains("production/backend eth0"), "{listed}");
        assert!(listed.contains("np/production/allow-frontend"), "{listed}");
        assert!(listed.contains("written by oncilla"), "{listed}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("flush ruleset\n{listed}")).unwrap();
        nft(&["-f", file.path().to_str().unwrap()]);
        assert_eq!(listing(), listed);
        assert_eq!(dataplane.verify().unwrap(), []);
    });
}

#[test]
fn a_start_with_nothing_changed_writes_nothing() {
    alone(|| {
        open(TableOwner::Off).start(&small()).unwrap();
        let mut again = open(TableOwner::Off);
        assert_eq!(again.hints().hosts4.len(), 2);
        let applied = again.start(&small()).unwrap();
        assert_eq!((applied.transactions, again.writes()), (0, 0));
    });
}

#[test]
fn a_pod_that_came_meanwhile_is_one_element() {
    alone(|| {
        open(TableOwner::Off).start(&small()).unwrap();
        let mut program = small();
        program.addresses.set_host(addr(5), Some(ClassId(3)));
        let mut again = open(TableOwner::Off);
        let applied = again.start(&program).unwrap();
        assert_eq!(
            (applied.transactions, applied.elements, applied.replaced),
            (1, 1, false)
        );
        assert_eq!(again.verify().unwrap(), []);
    });
}

#[test]
fn a_policy_that_changed_meanwhile_replaces_the_table() {
    alone(|| {
        open(TableOwner::Off).start(&small()).unwrap();
        let mut program = small();
        for group in program.groups.values_mut() {
            let mut changed = group.as_ref().clone();
            let levels = &mut changed.tiers[0].banks[0].levels;
            levels
                .k1
                .insert((ClassId(3), Protocol::TCP, 81), RuleVerdict::Allow);
            *group = changed.into();
        }
        let mut again = open(TableOwner::Off);
        let applied = again.start(&program).unwrap();
        assert_eq!((applied.flips, applied.replaced), (1, true));
        assert_eq!(again.verify().unwrap(), []);
        assert!(!listing().contains("stand_in"), "{}", listing());
    });
}

/// Loads what is listed once more under the stand-in's name.
fn load_stand_in(with_hooks: bool) {
    let listed = listing().replace("table inet oncilla {", "table inet oncilla_stand_in {");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), listed).unwrap();
    nft(&["-f", file.path().to_str().unwrap()]);
    if !with_hooks {
        unhook("oncilla_stand_in");
    }
}

fn unhook(table: &str) {
    for chain in ["raw_prerouting", "input", "forward"] {
        nft(&["flush", "chain", "inet", table, chain]);
        nft(&["delete", "chain", "inet", table, chain]);
    }
}

/// Every state that a death between two steps of a replacement leaves, and a start on it.
#[test]
fn a_replacement_that_was_cut_short_is_finished_by_the_next_start() {
    type State = fn();
    let states: [(&str, State, u64); 5] = [
        ("the stand-in was made", || load_stand_in(false), 0),
        ("both judge", || load_stand_in(true), 0),
        (
            "the stand-in judges alone",
            || {
                load_stand_in(true);
                unhook("oncilla");
            },
            1,
        ),
        (
            "the table is gone",
            || {
                load_stand_in(true);
                nft(&["delete", "table", "inet", "oncilla"]);
            },
            1,
        ),
        ("the first table was made", || unhook("oncilla"), 1),
    ];
    for (name, leave, replacements) in states {
        alone(move || {
            let mut first = open(TableOwner::Off);
            first.start(&small()).unwrap();
            drop(first);
            leave();
            let mut again = open(TableOwner::Off);
            let applied = again.start(&small()).unwrap();
            assert_eq!(applied.flips, replacements, "{name}");
            assert_eq!(again.verify().unwrap(), [], "{name}");
            assert!(!listing().contains("stand_in"), "{name}: {}", listing());
        });
    }
}

#[test]
fn one_pod_is_one_transaction_of_one_element() {
    alone(|| {
        let mut dataplane = open(TableOwner::Off);
        let mut program = small();
        dataplane.start(&program).unwrap();
        let join = AddressChange {
            addr: addr(7),
            class: Some(ClassId(4)),
        };
        let leave = AddressChange {
            addr: addr(7),
            class: None,
        };
        for change in [join, leave] {
            let delta = ProgramDelta {
                addresses: vec![change],
                ..ProgramDelta::default()
            };
            program.apply(&delta);
            let applied = dataplane.apply(&delta, &program).unwrap();
            assert_eq!(
                (applied.transactions, applied.elements, applied.flips),
                (1, 1, 0)
            );
            assert_eq!(dataplane.verify().unwrap(), []);
        }
    });
}

#[test]
fn what_others_do_is_found_named_and_mended() {
    alone(|| {
        let mut dataplane = open(TableOwner::Off);
        dataplane.start(&small()).unwrap();
        nft(&[
            "delete",
            "element",
            "inet",
            "oncilla",
            "addr4",
            "{ 10.65.0.3 }",
        ]);
        let set = Difference::Elements {
            set: "addr4".into(),
            missing: 1,
            foreign: 0,
        };
        assert_eq!(dataplane.verify().unwrap(), [set]);
        nft(&["insert", "rule", "inet", "oncilla", "forward", "accept"]);
        let (found, applied) = dataplane.repair(&small()).unwrap();
        assert!(
            found.contains(&Difference::Chain("forward".into())),
            "{found:?}"
        );
        assert!(applied.replaced);
        nft(&["flush", "ruleset"]);
        let (found, _) = dataplane.repair(&small()).unwrap();
        assert_eq!(found, [Difference::NoTable]);
        assert_eq!(dataplane.verify().unwrap(), []);
        let (found, applied) = dataplane.repair(&small()).unwrap();
        assert_eq!((found.len(), applied.transactions), (0, 0));
    });
}

#[test]
fn an_owned_table_outlives_flush_and_owner() {
    alone(|| {
        let mut dataplane = open(TableOwner::On);
        dataplane.start(&small()).unwrap();
        assert!(dataplane.owns_table());
        nft(&["flush", "ruleset"]);
        assert_eq!(dataplane.verify().unwrap(), []);
        let second = Dataplane::open(Settings::default(), TableOwner::On);
        assert!(
            matches!(second, Err(DataplaneError::Owned { .. })),
            "{second:?}"
        );
        drop(dataplane);
        let mut next = open(TableOwner::On);
        let applied = next.start(&small()).unwrap();
        assert_eq!((applied.transactions, next.writes()), (0, 0));
        nft(&["flush", "ruleset"]);
        assert_eq!(next.verify().unwrap(), []);
        next.remove().unwrap();
        assert_eq!(listing(), "");
    });
}

#[test]
fn an_empty_program_drops_workloads() {
    alone(|| {
        let mut dataplane = open(TableOwner::Off);
        dataplane.start(&Program::default()).unwrap();
        assert_eq!(dataplane.verify().unwrap(), []);
        assert!(listing().contains("unknown workload"));
    });
}
