//! Tombstones: flows that policy cut and that must not come back (`engine.md` §7).

use std::collections::BTreeSet;
use std::net::IpAddr;

use oncilla_net::{Packet, Protocol};
use oncilla_nft::object::{Element, FieldType, KeyPart, KeyType};
use oncilla_nft::{Placed, Ruleset, tombstone};

/// A tombstone read back has the time it had when it was set: how long it is kept at most after a restart.
const RESTORED_MS: u64 = 600_000;

/// The tombstones in the kernel, by the flow's first packet. Those that expired are still here until the
/// next pass, which does no harm.
#[derive(Debug, Default)]
pub(crate) struct Tombs {
    flows: BTreeSet<Tomb>,
}

/// One direction of a cut flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Tomb {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
}

impl Tomb {
    pub(crate) const fn of(packet: &Packet) -> Self {
        Self {
            src: packet.src,
            dst: packet.dst,
            protocol: packet.protocol,
            src_port: packet.src_port,
            dst_port: packet.dst_port,
        }
    }

    pub(crate) const fn packet(&self) -> Packet {
        Packet {
            src: self.src,
            dst: self.dst,
            protocol: self.protocol,
            src_port: self.src_port,
            dst_port: self.dst_port,
            icmp: None,
        }
    }

    const fn reversed(&self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            protocol: self.protocol,
            src_port: self.dst_port,
            dst_port: self.src_port,
        }
    }

    /// The elements that stop both directions.
    pub(crate) fn elements(&self, timeout_ms: u64) -> impl Iterator<Item = Placed> {
        [*self, self.reversed()].into_iter().filter_map(move |way| {
            let (ends, ports) = ((way.src, way.dst), (way.src_port, way.dst_port));
            tombstone(ends, way.protocol, ports, timeout_ms)
        })
    }
}

impl Tombs {
    /// The tombstones that a table has.
    pub(crate) fn read(ruleset: &Ruleset) -> Self {
        let mut flows = BTreeSet::new();
        for (set, addr) in [
            ("tomb4", FieldType::Ipv4Addr),
            ("tomb6", FieldType::Ipv6Addr),
        ] {
            let elements = ruleset
                .sets
                .get(set)
                .into_iter()
                .flat_map(|filled| &filled.elements);
            for tomb in elements.filter_map(|element| parse(element, addr)) {
                // Both directions stand there; one names the flow.
                if !flows.contains(&tomb.reversed()) {
                    flows.insert(tomb);
                }
            }
        }
        Self { flows }
    }

    /// Puts the tombstones into a table that is about to be written.
    pub(crate) fn fill(&self, ruleset: &mut Ruleset) {
        for placed in self
            .flows
            .iter()
            .flat_map(|tomb| tomb.elements(RESTORED_MS))
        {
            if let Some(filled) = ruleset.sets.get_mut(&placed.set) {
                filled.elements.insert(placed.element);
            }
        }
    }

    pub(crate) fn insert(&mut self, tomb: Tomb) {
        self.flows.insert(tomb);
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.flows.extend(other.flows);
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Those for which `lift` holds.
    pub(crate) fn that(&self, lift: impl Fn(&Tomb) -> bool) -> Vec<Tomb> {
        let flows = self.flows.iter().copied();
        flows.filter(|tomb| lift(tomb)).collect()
    }

    /// They are not in the kernel any more.
    pub(crate) fn forget(&mut self, gone: &[Tomb]) {
        for tomb in gone {
            self.flows.remove(tomb);
        }
    }
}

fn parse(element: &Element, addr: FieldType) -> Option<Tomb> {
    let (proto, port) = (FieldType::InetProto, FieldType::InetService);
    let parts = KeyType::from([addr, addr, proto, port, port]).parts(element.key())?;
    let (src, dst, rest): (IpAddr, IpAddr, _) = match parts.as_slice() {
        [KeyPart::Ipv4(src), KeyPart::Ipv4(dst), rest @ ..] => ((*src).into(), (*dst).into(), rest),
        [KeyPart::Ipv6(src), KeyPart::Ipv6(dst), rest @ ..] => ((*src).into(), (*dst).into(), rest),
        _ => return None,
    };
    let [
        KeyPart::Proto(protocol),
        KeyPart::Port(src_port),
        KeyPart::Port(dst_port),
    ] = rest
    else {
        return None;
    };
    let (protocol, src_port, dst_port) = (Protocol(*protocol), *src_port, *dst_port);
    Some(Tomb {
        src,
        dst,
        protocol,
        src_port,
        dst_port,
    })
}
