//! Any order and any batching of the same changes lead to the same state.

use oncilla_model::Change;

use super::mirror::Mirror;
use super::oracle;
use super::world::{Dice, SMALL, Size, World, another, gone, random};

const ROUNDS: u64 = 150;

/// The same world by a crooked way: shuffled, split, repeated, with other versions before and objects that
/// go and come back.
fn crooked(dice: &mut Dice, world: &World, size: Size) -> Vec<Vec<Change>> {
    let mut steps: Vec<Change> = Vec::new();
    let mut first: Vec<Change> = world.values().cloned().collect();
    dice.shuffle(&mut first);
    for change in first {
        if dice.chance(20) {
            steps.push(another(dice, &change, size));
        }
        steps.push(change);
    }
    for _ in 0..world.len() / 2 {
        let old: Vec<&Change> = world.values().collect();
        let change = (*dice.pick(&old)).clone();
        let place = dice.below(steps.len() + 1);
        let step = if dice.chance(50) {
            gone(&change)
        } else {
            another(dice, &change, size)
        };
        steps.insert(place, step);
        if dice.chance(30) {
            steps.push(change);
        }
    }
    // The last word on every object.
    let mut last: Vec<Change> = world.values().cloned().collect();
    dice.shuffle(&mut last);
    steps.extend(last);
    let mut batches = vec![Vec::new()];
    for step in steps {
        if dice.chance(25) {
            batches.push(Vec::new());
        }
        batches.last_mut().unwrap().push(step);
    }
    batches
}

#[test]
fn the_state_depends_on_the_present_only() {
    let mut compared = 0;
    for seed in 0..ROUNDS {
        let mut dice = Dice::new(seed);
        let world = random(&mut dice, SMALL);
        let mut straight = Mirror::new(0xffff_0000);
        let all: Vec<Change> = world.values().cloned().collect();
        straight.apply(&all);
        compared += oracle::check(&world, &straight, false);
        straight.settle();
        compared += oracle::check(&world, &straight, true);
        let mut winding = Mirror::new(0xffff_0000);
        for batch in crooked(&mut dice, &world, SMALL) {
            winding.apply(&batch);
            if dice.chance(20) {
                winding.settle();
            }
        }
        oracle::check(&world, &winding, false);
        winding.settle();
        oracle::check(&world, &winding, true);
        assert_eq!(winding.meaning(), straight.meaning(), "seed {seed}");
        assert!(
            winding.settle().is_empty(),
            "seed {seed}: a settled state stays"
        );
        assert!(
            winding.apply(&all).is_empty(),
            "seed {seed}: repeating changes nothing"
        );
    }
    assert!(compared > 100_000, "{compared} answers compared");
}

#[test]
fn every_step_of_the_way_is_right() {
    for seed in 1000..1000 + ROUNDS / 3 {
        let mut dice = Dice::new(seed);
        let target = random(&mut dice, SMALL);
        let mut now = World::new();
        let mut mirror = Mirror::new(0xffff_0000);
        for batch in crooked(&mut dice, &target, SMALL) {
            for change in &batch {
                now.insert(super::world::key(change), change.clone());
            }
            mirror.apply(&batch);
            oracle::check(&now, &mirror, false);
            if dice.chance(30) {
                mirror.settle();
                oracle::check(&now, &mirror, true);
            }
        }
    }
}
