//! A walk through random programs: after every step the kernel holds exactly the program, whatever was
//! changed in place, flipped, left for the cleaning and needed again.

use oncilla_dataplane::{Dataplane, TableOwner};
use oncilla_program::{ProgramDelta, Settings};
use oncilla_testkit::rng::Rng;

use super::support::{alone, random, tweaked};

const STEPS: u32 = 150;
const SEEDS: u64 = 6;

#[test]
fn every_step_leads_to_the_program() {
    let mut replaced = 0;
    let (mut flips, mut in_place) = (0, 0);
    for seed in 0..SEEDS {
        let counts = alone(move || walk(seed));
        replaced += counts[0];
        flips += counts[1];
        in_place += counts[2];
    }
    assert_eq!(replaced, 0, "no step needs the whole table");
    assert!(
        flips > 100 && in_place > 10,
        "{flips} flips, {in_place} steps without one"
    );
}

fn walk(seed: u64) -> [u64; 3] {
    let mut rng = Rng::new(seed);
    let mut dataplane = Dataplane::open(Settings::default(), TableOwner::Off).unwrap();
    let mut program = random(&mut rng);
    dataplane.start(&program).unwrap();
    let mut counts = [0; 3];
    for step in 0..STEPS {
        let next = if rng.below(2) == 0 {
            tweaked(&mut rng, &program)
        } else {
            random(&mut rng)
        };
        let delta = ProgramDelta::between(&program, &next);
        let applied = dataplane.apply(&delta, &next).unwrap();
        program = next;
        counts[0] += u64::from(applied.replaced);
        counts[1] += applied.flips;
        counts[2] += u64::from(applied.flips == 0 && applied.transactions > 0);
        assert_eq!(dataplane.program(), &program, "seed {seed} step {step}");
        assert_eq!(dataplane.verify().unwrap(), [], "seed {seed} step {step}");
        if rng.below(3) == 0 {
            dataplane
                .clean()
                .unwrap_or_else(|error| panic!("seed {seed} step {step}: {error:?}"));
            assert_eq!(
                dataplane.verify().unwrap(),
                [],
                "seed {seed} step {step}, cleaned"
            );
        }
        if rng.below(10) == 0 {
            drop(dataplane);
            dataplane = Dataplane::open(Settings::default(), TableOwner::Off).unwrap();
            dataplane.start(&program).unwrap();
            assert_eq!(
                dataplane.verify().unwrap(),
                [],
                "seed {seed} step {step}, started again"
            );
        }
    }
    counts
}
