//! The engine up to its programs, judged by the interpreter: no kernel.

use std::net::IpAddr;

use oncilla_net::{Family, Icmp, Packet, family_of};
use oncilla_verdict::Party;

use super::{Judgement, Level, LevelError};
use crate::case::{Case, Cell, Change};
use crate::engine::{Engine, Unsettled, nodes_of};

/// The source port of every packet; no case names one.
const SOURCE_PORT: u16 = 40_000;

/// Judges by one program a node, compiled incrementally as the case changes.
#[derive(Debug, Default)]
pub struct ProgramLevel {
    engine: Option<Engine>,
}

/// Nobody takes the programs further, so only settling can fail.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Failure(#[from] Unsettled);

impl Level for ProgramLevel {
    fn name(&self) -> &'static str {
        "program"
    }

    fn begin(&mut self, case: &Case) -> Result<(), LevelError> {
        let mut engine =
            Engine::new::<Failure>(nodes_of(case.all_objects()), &mut |_, _, _| Ok(()))?;
        let changes: Vec<Change> = case.objects.iter().cloned().map(Change::Apply).collect();
        engine.apply::<Failure>(&changes, &mut |_, _, _| Ok(()))?;
        self.engine = Some(engine);
        Ok(())
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), LevelError> {
        let engine = self.engine.as_mut().ok_or("no case has begun")?;
        engine.apply::<Failure>(changes, &mut |_, _, _| Ok(()))?;
        Ok(())
    }

    fn judge(&mut self, cells: &[Cell]) -> Result<Vec<Judgement>, LevelError> {
        let engine = self.engine.as_ref().ok_or("no case has begun")?;
        let judge = |cell: &Cell| {
            let packet = Packet {
                src: address(engine, &cell.source, cell.family)?,
                dst: address(engine, &cell.destination, cell.family)?,
                protocol: cell.protocol,
                src_port: SOURCE_PORT,
                dst_port: cell.port,
                icmp: Icmp::echo(cell.protocol),
            };
            Ok(Judgement::bare(engine.judge(&packet).verdict))
        };
        cells.iter().map(judge).collect()
    }
}

/// The address of a party of a cell.
///
/// # Errors
/// When a pod is not there or has no such address.
pub(super) fn address(
    engine: &Engine,
    party: &Party,
    family: Family,
) -> Result<IpAddr, LevelError> {
    let absent = || format!("{party} has no {family} address");
    match party {
        Party::Address(address) => Ok(*address),
        Party::Node(_) => Err(absent().into()),
        Party::Pod { namespace, name } => {
            let interface = engine.converter().interface(namespace, name);
            let endpoint = engine
                .programs()
                .find_map(|(_, program)| program.endpoints.get(&interface));
            let addresses = endpoint.map_or(&[][..], |endpoint| &endpoint.addresses);
            let mut addresses = addresses.iter().copied();
            Ok(addresses
                .find(|address| family_of(*address) == family)
                .ok_or_else(absent)?)
        }
    }
}
