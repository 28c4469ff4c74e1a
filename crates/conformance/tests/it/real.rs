//! Random clusters that keep changing, with real packets: the judge and the kernel agree on every packet.

use oncilla_conformance::rig::Rig;
use oncilla_testkit::cluster::{NODES, RandomCluster};
use oncilla_verdict::Evaluator;

use super::differential::{Failure, Seen, World, first_seed, judge_until, judged, say};

/// Real packets of a run.
const PACKETS_MIN: u64 = 5_000;
/// A dozen clusters, as few of them may lack passes or policies.
const CLUSTERS_MAX: usize = 24;
const ROUNDS: usize = 5;
const PACKETS_A_ROUND: usize = 90;

/// Sends real packets through one random cluster over `rounds` changes.
pub(crate) fn send(seed: u64, rounds: usize, packets: usize) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let mut world = World::new(seed)?;
    let mut rig = Rig::new(&NODES.map(str::to_owned))?;
    rig.become_cluster(world.random.objects())?;
    rig.add_outside(RandomCluster::outside_addresses())?;
    for round in 0..rounds {
        if round > 0 {
            rig.apply(&world.change()?)?;
        }
        let packets = world.random.packets(packets);
        let evaluator = Evaluator::new(&world.cluster);
        World::count_policies(&evaluator, &packets, &mut seen);
        let verdicts = rig.probe(&packets)?;
        for (packet, verdict) in packets.iter().zip(verdicts) {
            let expected = judged(&evaluator, packet)?;
            if verdict != expected {
                let report = world.report(&evaluator, packet, "the kernel", verdict);
                return Err(Failure::Mismatch(report));
            }
            seen.count(packet, &world.engine.judge(packet));
        }
    }
    Ok(seen)
}

#[test]
fn the_kernel_agrees_with_the_judge() {
    let first = first_seed("kernel");
    let seeds = (first + 10_000..).take(CLUSTERS_MAX);
    let seen = judge_until(PACKETS_MIN, seeds, |seed| {
        send(seed, ROUNDS, PACKETS_A_ROUND)
    });
    say(&format!("kernel: seeds from {first}: {seen:?}"));
    assert!(seen.packets() >= PACKETS_MIN, "{}", seen.packets());
    seen.assert_shares();
}
