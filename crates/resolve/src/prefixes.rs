//! Active prefixes, and the plane cut by them into disjoint pieces.

use std::collections::BTreeMap;
use std::net::IpAddr;

use oncilla_net::{Family, IpNet, fault};

use crate::addresses::Source;
use crate::signature::{SigId, Signatures};

/// The prefixes that somebody asks about, shorter than one address and longer than nothing.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    sources: BTreeMap<IpNet, Vec<Source>>,
}

/// The prefix of one address.
pub(crate) fn host(addr: IpAddr) -> IpNet {
    IpNet::from(addr)
}

/// Where a net belongs.
pub(crate) enum Extent {
    /// The whole family.
    All(Family),
    /// Some of it.
    Part(IpNet),
    /// One address.
    One(IpAddr),
}

/// Where a net belongs by its length.
pub(crate) fn extent(net: IpNet) -> Extent {
    if net.prefix_len() == 0 {
        Extent::All(Family::of_net(&net))
    } else if net.prefix_len() == net.max_prefix_len() {
        Extent::One(net.addr())
    } else {
        Extent::Part(net)
    }
}

/// The two halves of a net that is longer than one address.
pub(crate) fn halves(net: IpNet) -> [IpNet; 2] {
    let mut subnets = net
        .subnets(net.prefix_len() + 1)
        .expect("a net shorter than one address has halves");
    let mut next = || subnets.next().expect("there are two halves");
    [next(), next()]
}

impl Prefixes {
    pub(crate) fn add(&mut self, net: IpNet, source: Source) {
        let sources = self.sources.entry(net).or_default();
        if !sources.contains(&source) {
            sources.push(source);
        }
    }

    pub(crate) fn remove(&mut self, net: IpNet, source: Source) {
        if let Some(sources) = self.sources.get_mut(&net) {
            sources.retain(|each| *each != source);
            if sources.is_empty() {
                self.sources.remove(&net);
            }
        }
    }

    /// The largest active prefix around a net, or the net itself.
    pub(crate) fn root(&self, net: IpNet) -> IpNet {
        let mut root = net;
        let mut wider = net.supernet();
        while let Some(next) = wider {
            if self.sources.contains_key(&next) {
                root = next;
            }
            wider = next.supernet();
        }
        root
    }

    /// Cuts a region into the fewest prefixes that each have one signature: the union of what covers it.
    /// Parts that no prefix covers are left out.
    pub(crate) fn cut(
        &self,
        region: IpNet,
        signatures: &mut Signatures,
        base: SigId,
        of: &dyn Fn(Source) -> SigId,
    ) -> Vec<(IpNet, SigId)> {
        let inside: Vec<(IpNet, SigId)> = self
            .sources
            .range(region..)
            .take_while(|(net, _)| region.contains(*net))
            .map(|(net, sources)| {
                let union = sources
                    .iter()
                    .fold(base, |sum, each| signatures.union(sum, of(*each)));
                (*net, union)
            })
            .collect();
        let mut pieces = Vec::new();
        let mut rest = inside.as_slice();
        while let Some(&(root, _)) = rest.first() {
            let inner = rest
                .iter()
                .take_while(|(net, _)| root.contains(net))
                .count();
            let (own, after) = rest.split_at(inner);
            cut_root(own, root, base, signatures, &mut pieces);
            rest = after;
        }
        pieces.retain(|(_, signature)| *signature != base);
        pieces
    }
}

fn cut_root(
    nets: &[(IpNet, SigId)],
    region: IpNet,
    inherited: SigId,
    signatures: &mut Signatures,
    pieces: &mut Vec<(IpNet, SigId)>,
) {
    let mut own = inherited;
    let mut inner = nets;
    while let Some((&(net, signature), after)) = inner.split_first()
        && net == region
    {
        own = if fault::is("resolve/prefix-forgets-cover") {
            signature
        } else {
            signatures.union(own, signature)
        };
        inner = after;
    }
    if inner.is_empty() {
        pieces.push((region, own));
        return;
    }
    let [left, right] = halves(region);
    let middle = inner.partition_point(|(net, _)| left.contains(net));
    let start = pieces.len();
    cut_root(&inner[..middle], left, own, signatures, pieces);
    cut_root(&inner[middle..], right, own, signatures, pieces);
    if let [(first, one), (second, other)] = pieces[start..]
        && first == left
        && second == right
        && one == other
    {
        pieces.truncate(start);
        pieces.push((region, one));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{PredicateId, Signature};

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn check(nets: &[(&str, u32)], expect: &[(&str, &[u32])]) {
        let mut signatures = Signatures::new();
        let mut ids = Vec::new();
        for number in 0..4 {
            ids.push(signatures.intern(Signature::new(vec![PredicateId(number)], vec![])));
        }
        let mut prefixes = Prefixes::default();
        for (text, predicate) in nets {
            prefixes.add(net(text), Source::Predicate(PredicateId(*predicate)));
        }
        let of = |source| match source {
            Source::Predicate(PredicateId(number)) => ids[number as usize],
            _ => SigId::EMPTY,
        };
        let mut pieces = prefixes.cut(net("0.0.0.0/0"), &mut signatures, SigId::EMPTY, &of);
        pieces.extend(prefixes.cut(net("::/0"), &mut signatures, SigId::EMPTY, &of));
        let found: Vec<(String, Vec<u32>)> = pieces
            .iter()
            .map(|(net, sig)| {
                (
                    net.to_string(),
                    signatures.of(*sig).holds.iter().map(|id| id.0).collect(),
                )
            })
            .collect();
        let expect: Vec<(String, Vec<u32>)> = expect
            .iter()
            .map(|(net, sig)| ((*net).to_owned(), sig.to_vec()))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn pieces_are_disjoint_and_carry_all_that_covers_them() {
        check(&[], &[]);
        check(&[("10.0.0.0/8", 0)], &[("10.0.0.0/8", &[0])]);
        check(
            &[("10.0.0.0/8", 0), ("10.128.0.0/9", 1), ("10.128.0.0/10", 2)],
            &[
                ("10.0.0.0/9", &[0]),
                ("10.128.0.0/10", &[0, 1, 2]),
                ("10.192.0.0/10", &[0, 1]),
            ],
        );
        check(
            &[("10.0.0.0/8", 0), ("10.1.0.0/16", 0)],
            &[("10.0.0.0/8", &[0])],
        );
        check(
            &[("10.0.0.0/9", 0), ("10.128.0.0/9", 0), ("fd00::/8", 1)],
            &[
                ("10.0.0.0/9", &[0]),
                ("10.128.0.0/9", &[0]),
                ("fd00::/8", &[1]),
            ],
        );
        check(
            &[("10.0.0.0/30", 0), ("10.0.0.0/31", 1), ("10.0.0.2/31", 1)],
            &[("10.0.0.0/30", &[0, 1])],
        );
    }

    #[test]
    fn the_root_is_the_widest_active_prefix() {
        let mut prefixes = Prefixes::default();
        let source = Source::Predicate(PredicateId(0));
        prefixes.add(net("10.0.0.0/8"), source);
        prefixes.add(net("10.1.0.0/16"), source);
        assert_eq!(prefixes.root(net("10.1.2.0/24")), net("10.0.0.0/8"));
        assert_eq!(prefixes.root(net("11.0.0.0/24")), net("11.0.0.0/24"));
    }
}
