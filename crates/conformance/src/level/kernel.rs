//! Real packets through real nf_tables, in namespaces of this machine. Needs root and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use oncilla_net::{Icmp, Packet, Protocol, Verdict};
use oncilla_testkit::connect::Connection;

use super::program::{address, nodes};
use super::{Judgement, Level, LevelError};
use crate::case::{Case, Cell, Change};
use crate::engine::nodes_of;
use crate::rig::Rig;

/// Judges by what arrives. One network serves consecutive cases; the policy goes from one case to the next by
/// the same incremental changes as within a case.
#[derive(Debug, Default)]
pub struct KernelLevel {
    rig: Option<Rig>,
    /// The nodes' own addresses.
    nodes: BTreeMap<String, Vec<IpAddr>>,
    /// The outcomes that were confirmed by a true connection in this case.
    connected: BTreeSet<Verdict>,
}

impl Level for KernelLevel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn begin(&mut self, case: &Case) -> Result<(), LevelError> {
        self.connected.clear();
        self.nodes = nodes(case);
        let mut rig = match self.rig.take() {
            Some(rig) if rig.suits(case.all_objects()) => rig,
            other => {
                drop(other);
                Rig::new(&nodes_of(case.all_objects()))?
            }
        };
        let objects = case.objects.iter();
        rig.become_cluster(
            &objects
                .map(|object| (object.key(), object.clone()))
                .collect(),
        )?;
        rig.add_outside(case.outside())?;
        self.rig = Some(rig);
        Ok(())
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), LevelError> {
        // What failed half way is not used again.
        let mut rig = self.rig.take().ok_or("no case has begun")?;
        rig.apply(changes)?;
        self.rig = Some(rig);
        Ok(())
    }

    fn judge(&mut self, cells: &[Cell]) -> Result<Vec<Judgement>, LevelError> {
        let rig = self.rig.as_mut().ok_or("no case has begun")?;
        let packet = |cell: &Cell| {
            Ok::<_, LevelError>(Packet {
                src: address(rig.engine(), &self.nodes, &cell.source, cell.family)?,
                dst: address(rig.engine(), &self.nodes, &cell.destination, cell.family)?,
                protocol: cell.protocol,
                src_port: 0,
                dst_port: cell.port,
                icmp: Icmp::echo(cell.protocol),
            })
        };
        let packets: Vec<Packet> = cells.iter().map(packet).collect::<Result<_, _>>()?;
        let verdicts = rig.probe(&packets)?;
        let mut judgements: Vec<Judgement> = verdicts.into_iter().map(Judgement::bare).collect();
        for (packet, judgement) in packets.iter().zip(&mut judgements) {
            let told = judgement.verdict;
            if packet.protocol == Protocol::TCP && self.connected.insert(told) {
                *judgement = heard(rig.connect(packet, told)?);
            }
        }
        Ok(judgements)
    }
}

/// What the end of a true connection says.
const fn heard(connection: Connection) -> Judgement {
    match connection {
        Connection::Connected => Judgement::bare(Verdict::Allow),
        Connection::Silent => Judgement::bare(Verdict::Deny),
        Connection::Refused => Judgement::refused(),
    }
}

#[cfg(test)]
mod tests {
    use oncilla_net::{Family, Protocol, Verdict};
    use oncilla_testkit::connect::Connection;
    use oncilla_verdict::Party;

    use super::heard;
    use crate::case::Cell;

    #[test]
    fn a_refused_connection_is_no_deny() {
        let cell = |expect| Cell {
            source: Party::Address([10, 0, 0, 1].into()),
            destination: Party::Address([10, 0, 0, 2].into()),
            family: Family::V4,
            protocol: Protocol::TCP,
            port: 80,
            expect,
            decided_by: None,
            before: None,
        };
        for (connection, fulfilled) in [
            (Connection::Connected, [true, false]),
            (Connection::Silent, [false, true]),
            (Connection::Refused, [false, false]),
        ] {
            let cells = [Verdict::Allow, Verdict::Deny].map(cell);
            let found = cells.map(|cell| heard(connection).fulfils(&cell));
            assert_eq!(found, fulfilled, "{connection:?}");
        }
    }
}
