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

    fn knows_hosts(&self) -> bool {
        true
    }

    fn begin(&mut self, case: &Case) -> Result<(), LevelError> {
        let mut engine =
            Engine::new::<Failure>(nodes_of(case.all_objects()), &mut |_, _, _| Ok(()))?;
        let changes: Vec<Change> = case.objects.iter().cloned().map(Change::Apply).collect();
        engine.apply::<Failure>(&changes, &mut |_, _, _| Ok(()))?;
        self.engine = Some(engine);
        self.nodes = case.all_objects().filter_map(node_addresses).collect();
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
            let find = |party: &Party| match party {
                Party::Node(node) => {
                    let own = self.nodes.get(node).into_iter().flatten();
                    let mut own = own.copied().filter(|addr| family_of(*addr) == cell.family);
                    let found = own.next();
                    found.ok_or_else(|| format!("{party} has no {} address", cell.family).into())
                }
                Party::Pod { .. } | Party::Address(_) => address(engine, party, cell.family),
            };
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
            };
            Ok(Judgement::bare(engine.judge_flight(&flight).verdict))
        };
        cells.iter().map(judge).collect()
    }
}

/// A node's own addresses: its annotations, then those that it reports as internal.
fn node_addresses(object: &Object) -> Option<(String, Vec<IpAddr>)> {
    let Object::Node(node) = object else {
        return None;
    };
    let annotated = ["IPv4Address", "IPv6Address"]
        .into_iter()
        .filter_map(|name| {
            let text = node
                .metadata
                .annotations
                .get(&format!("projectcalico.org/{name}"))?;
            text.split('/').next()?.parse().ok()
        });
    let reported = node.status.addresses.iter();
    let internal = reported.filter(|each| each.address_type == "InternalIP");
    let internal = internal.filter_map(|each| each.address.parse().ok());
    Some((
        node.metadata.name.clone(),
        annotated.chain(internal).collect(),
    ))
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
