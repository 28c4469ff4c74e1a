//! The engine up to its programs, judged by the interpreter: no kernel.

use std::collections::BTreeMap;
use std::net::IpAddr;

use oncilla_api::Object;
use oncilla_net::{Family, Icmp, Packet, family_of};
use oncilla_testkit::cluster::Flight;
use oncilla_verdict::Party;

use super::{Judgement, Level, LevelError};
use crate::case::{Case, Cell, Change};
use crate::engine::{Engine, FABRIC_INTERFACE, Unsettled, nodes_of};
use crate::hosts::node_addresses;

/// The source port of every packet; no case names one.
const SOURCE_PORT: u16 = 40_000;

/// Judges by one program a node, compiled incrementally as the case changes.
#[derive(Debug, Default)]
pub struct ProgramLevel {
    engine: Option<Engine>,
    /// The nodes' own addresses.
    nodes: BTreeMap<String, Vec<IpAddr>>,
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
        self.nodes = nodes(case);
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
            let find = |party| address(engine, &self.nodes, party, cell.family);
            let host = |party: &Party| match party {
                Party::Node(node) => Some(node.clone()),
                Party::Pod { .. } | Party::Address(_) => None,
            };
            let packet = Packet {
                src: find(&cell.source)?,
                dst: find(&cell.destination)?,
                protocol: cell.protocol,
                src_port: SOURCE_PORT,
                dst_port: cell.port,
                icmp: Icmp::echo(cell.protocol),
            };
            let flight = Flight {
                packet,
                from_host: host(&cell.source),
                to_host: host(&cell.destination),
                out_by: FABRIC_INTERFACE.to_owned(),
                in_by: FABRIC_INTERFACE.to_owned(),
                through: None,
                original: None,
                first_out_by: FABRIC_INTERFACE.to_owned(),
            };
            Ok(Judgement::bare(engine.judge_flight(&flight).verdict))
        };
        cells.iter().map(judge).collect()
    }
}

/// The nodes' own addresses.
pub(super) fn nodes(case: &Case) -> BTreeMap<String, Vec<IpAddr>> {
    let addresses = |object: &Object| match object {
        Object::Node(node) => Some((node.metadata.name.clone(), node_addresses(node))),
        _ => None,
    };
    case.all_objects().filter_map(addresses).collect()
}

/// The address of a party of a cell.
///
/// # Errors
/// When a pod or node is not there or has no such address.
pub(super) fn address(
    engine: &Engine,
    nodes: &BTreeMap<String, Vec<IpAddr>>,
    party: &Party,
    family: Family,
) -> Result<IpAddr, LevelError> {
    let absent = || format!("{party} has no {family} address");
    match party {
        Party::Address(address) => Ok(*address),
        Party::Node(node) => {
            let own = nodes.get(node).into_iter().flatten().copied();
            let found = { own }.find(|address| family_of(*address) == family);
            found.ok_or_else(|| absent().into())
        }
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
