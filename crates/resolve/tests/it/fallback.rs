//! Small masks: classes run out, verdicts do not change.

use oncilla_model::Change;
use oncilla_resolve::node::{NodeState as _, PredicateMode};

use super::mirror::Mirror;
use super::oracle;
use super::world::{Dice, Size, World, another, key, random};

const MASK: u32 = 0xff00_0000;
const LARGE: Size = Size {
    endpoints: 500,
    policies: 30,
    sets: 20,
    values: 12,
};
/// Three quarters of 252.
const SETTLED_MAX: usize = 189;

fn by_address(mirror: &Mirror) -> usize {
    let (peers, _) = mirror.used_predicates();
    let is = |each: &&_| mirror.resolver.mode(each) == PredicateMode::ByAddress;
    peers.iter().filter(is).count()
}

#[test]
fn small_masks_ask_by_address_and_stay_right() {
    let mut seen = 0;
    for seed in 0..8 {
        let mut dice = Dice::new(seed);
        let world = random(&mut dice, LARGE);
        let all: Vec<Change> = world.values().cloned().collect();
        let mut straight = Mirror::new(MASK);
        straight.apply(&all);
        oracle::check(&world, &straight, false);
        straight.settle_wholly();
        oracle::check(&world, &straight, true);
        assert!(straight.used().len() <= SETTLED_MAX);
        seen += by_address(&straight);
    }
    assert!(seen > 20, "only {seen} predicates fell back");
}

#[test]
fn the_choice_depends_on_the_present_only() {
    for seed in 50..54 {
        let mut dice = Dice::new(seed);
        let world = random(&mut dice, LARGE);
        let all: Vec<Change> = world.values().cloned().collect();
        let mut straight = Mirror::new(MASK);
        straight.apply(&all);
        straight.settle_wholly();
        let mut winding = Mirror::new(MASK);
        let mut now = World::new();
        let mut order = all.clone();
        dice.shuffle(&mut order);
        for batch in order.chunks(60) {
            let mut batch = batch.to_vec();
            let other = another(&mut dice, &batch[0], LARGE);
            batch.insert(0, other);
            for change in &batch {
                now.insert(key(change), change.clone());
            }
            winding.now_ms += 20_000;
            let now_ms = winding.now_ms;
            // Numbers may run out on the way; a settling makes room and the next try works.
            if winding.try_apply(&batch, now_ms) {
                oracle::check(&now, &winding, false);
            }
            winding.settle_wholly();
            oracle::check(&now, &winding, true);
        }
        assert_eq!(winding.meaning(), straight.meaning(), "seed {seed}");
    }
}
