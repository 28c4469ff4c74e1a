//! A start beside a kernel that already has classes.

use std::collections::BTreeSet;

use oncilla_model::Change;
use oncilla_program::ClassId;
use oncilla_resolve::Adoption;

use super::mirror::Mirror;
use super::oracle;
use super::world::{Dice, SMALL, another, random};

#[test]
fn an_unchanged_cluster_keeps_every_number() {
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let world = random(&mut dice, SMALL);
        let all: Vec<Change> = world.values().cloned().collect();
        let mut old = Mirror::new(0xffff_0000);
        let mut first: Vec<Change> = all.clone();
        dice.shuffle(&mut first);
        for change in &first {
            old.apply(std::slice::from_ref(change));
        }
        old.settle();
        let mut new = Mirror::new(0xffff_0000);
        let class_of = |net| old.element(net);
        new.load(
            &all,
            &Adoption {
                class_of: &class_of,
                used: old.used(),
            },
        );
        assert_eq!(new.addresses, old.addresses, "seed {seed}");
        assert_eq!(new.meaning(), old.meaning(), "seed {seed}");
        oracle::check(&world, &new, true);
    }
}

#[test]
fn a_changed_cluster_never_gives_a_used_number_to_a_new_class_at_once() {
    for seed in 100..140 {
        let mut dice = Dice::new(seed);
        let mut world = random(&mut dice, SMALL);
        let all: Vec<Change> = world.values().cloned().collect();
        let mut old = Mirror::new(0xffff_0000);
        old.apply(&all);
        for _ in 0..8 {
            let changes: Vec<Change> = world.values().cloned().collect();
            let old = dice.pick(&changes).clone();
            let change = another(&mut dice, &old, SMALL);
            world.insert(super::world::key(&change), change);
        }
        let used = old.used();
        let all: Vec<Change> = world.values().cloned().collect();
        let mut new = Mirror::new(0xffff_0000);
        let class_of = |net| old.element(net);
        let delta = new.load(
            &all,
            &Adoption {
                class_of: &class_of,
                used: used.clone(),
            },
        );
        oracle::check(&world, &new, true);
        let fresh: BTreeSet<ClassId> = delta.classes_added.into_iter().collect();
        for id in fresh.intersection(&used) {
            let voted = delta.addresses.iter().any(|change| {
                change.class == Some(*id) && old.element(change.addr.into()) == Some(*id)
            });
            let voted = voted
                || delta.nets.iter().any(|change| {
                    change.class == Some(*id) && old.element(change.net) == Some(*id)
                });
            assert!(voted, "seed {seed}: {id} was taken without a vote");
        }
    }
}
