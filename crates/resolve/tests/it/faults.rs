//! Planted faults of host endpoints: the oracle notices each.

use std::panic::{AssertUnwindSafe, catch_unwind};

use oncilla_model::Change;
use oncilla_net::fault;

use super::mirror::Mirror;
use super::oracle;
use super::world::{Dice, SMALL, random};

/// Worlds that are tried until a fault is found.
const WORLDS: u64 = 40;

fn is_found() -> bool {
    (0..WORLDS).any(|seed| {
        let mut dice = Dice::new(seed);
        let world = random(&mut dice, SMALL);
        let mut mirror = Mirror::new(0xffff_0000);
        let all: Vec<Change> = world.values().cloned().collect();
        mirror.apply(&all);
        let checked = catch_unwind(AssertUnwindSafe(|| oracle::check(&world, &mirror, false)));
        checked.is_err()
    })
}

#[test]
fn the_oracle_catches_every_fault_of_host_endpoints() {
    assert!(!is_found(), "nothing is armed");
    for name in [
        "resolve/early-hook-ends-tiers",
        "resolve/forward-policy-not-on-forward",
        "resolve/port-names-of-first-owner",
    ] {
        let _armed = fault::arm(name);
        assert!(is_found(), "{name} is not caught");
    }
}
