//! The judge itself: no engine, no kernel.

use oncilla_net::Direction;
use oncilla_verdict::{Answer, Cluster, Evaluator, Leg, Question, Way};

use super::{Judgement, Level, LevelError};
use crate::case::{Case, Cell, Change, DecidedBy};

/// The source port of every question; no case names one.
const SOURCE_PORT: u16 = 40_000;

/// Judges by [`oncilla_verdict`].
#[derive(Debug, Default)]
pub struct VerdictLevel {
    cluster: Cluster,
}

impl Level for VerdictLevel {
    fn name(&self) -> &'static str {
        "verdict"
    }

    fn begin(&mut self, case: &Case) -> Result<(), LevelError> {
        self.cluster = case.objects.iter().cloned().collect();
        Ok(())
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), LevelError> {
        for change in changes {
            match change {
                Change::Apply(object) => self.cluster.insert(object.clone()),
                Change::Delete(key) => self.cluster.remove(key),
            };
        }
        Ok(())
    }

    fn judge(&mut self, cells: &[Cell]) -> Result<Vec<Judgement>, LevelError> {
        let evaluator = Evaluator::new(&self.cluster);
        let judge = |cell: &Cell| {
            let question = Question {
                source: cell.source.clone(),
                destination: cell.destination.clone(),
                family: cell.family,
                protocol: cell.protocol,
                source_port: SOURCE_PORT,
                destination_port: cell.port,
                way: Way::default(),
                icmp: None,
            };
            Ok(judgement(&evaluator.decide(&question)?))
        };
        cells.iter().map(judge).collect()
    }
}

/// What an answer says in the files' words.
fn judgement(answer: &Answer) -> Judgement {
    let earlier = answer.legs.split_last().map_or(&[][..], |(_, legs)| legs);
    Judgement {
        verdict: answer.verdict,
        decided_by: Some(DecidedBy::from(&answer.decided_by)),
        before: Some(earlier.iter().map(word).collect()),
        refused: false,
    }
}

fn word(leg: &Leg) -> String {
    let end = match leg.direction {
        Direction::Ingress => "I",
        Direction::Egress => "E",
    };
    let decision = DecidedBy::from(&leg.decided_by);
    match (&decision.tier, &decision.policy) {
        (Some(_), Some(policy)) => format!("{end}:{policy}#{}", decision.rule),
        _ => format!("{end}:{}", decision.rule),
    }
}
