//! The canonical form of a program: class numbers are history, so programs of two runs are compared by what
//! their classes stand for.
//!
//! Classes of one family that occur in the same places are the same class; a class that no address has is
//! none. What remains is numbered by its first address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use oncilla_net::{Family, IpNet, Protocol};

use crate::{
    AddressMap, Bank, ClassId, ClassPort, Group, Levels, Peer, ProfileEnd, Program, Rule,
    RuleVerdict, Tier,
};

/// One place where a class occurs: which bank or set, then what follows the class there.
type Occurrence = (usize, Option<(Protocol, Option<u16>)>, Option<RuleVerdict>);

/// New numbers for old ones. A class that is not in it is dropped.
pub(crate) type Numbers = BTreeMap<ClassId, ClassId>;

/// Addresses of one class, both ends included, as numbers of 128 bits.
#[derive(Clone, Copy)]
struct Run {
    first: u128,
    last: u128,
    class: ClassId,
}

impl Program {
    /// The same program with classes merged and numbered canonically, prefixes merged and cut as short as
    /// can be, and banks and rules that match nothing left out. Two programs that treat every packet alike
    /// by the same means have equal canonical forms; it judges every packet as this one does.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let occurrences = self.occurrences();
        let mut numbers = Numbers::new();
        let mut addresses = AddressMap::default();
        let mut next = ClassId::FIRST.0;
        for family in Family::ALL {
            let unknown = ClassId::unknown(family);
            let mut by_places = BTreeMap::from([(occurrences.get(&unknown), unknown)]);
            numbers.insert(unknown, unknown);
            for run in merged(self.addresses.runs(family), |class| {
                let number = by_places.entry(occurrences.get(&class)).or_insert_with(|| {
                    next += 1;
                    ClassId(next - 1)
                });
                numbers.insert(class, *number);
                *number
            }) {
                if run.class != unknown {
                    addresses.set_run(family, run);
                }
            }
        }
        Self {
            addresses,
            ..self.renumbered(&numbers)
        }
    }

    /// Where each class occurs, in a fixed order.
    fn occurrences(&self) -> BTreeMap<ClassId, Vec<Occurrence>> {
        let mut occurrences: BTreeMap<ClassId, Vec<Occurrence>> = BTreeMap::new();
        let mut place = 0;
        let mut note = |class: ClassId, place, key, verdict| {
            occurrences
                .entry(class)
                .or_default()
                .push((place, key, verdict));
        };
        for bank in self.groups.values().flat_map(|group| group.banks()) {
            place += 1;
            for ((class, protocol, port), verdict) in &bank.levels.k1 {
                note(
                    *class,
                    place,
                    Some((*protocol, Some(*port))),
                    Some(*verdict),
                );
            }
            for ((class, protocol), verdict) in &bank.levels.k2 {
                note(*class, place, Some((*protocol, None)), Some(*verdict));
            }
            for (class, verdict) in &bank.levels.k3 {
                note(*class, place, None, Some(*verdict));
            }
            for rule in &bank.tail {
                place += 1;
                if let Peer::Classes(classes) = &rule.peer {
                    classes
                        .iter()
                        .for_each(|class| note(*class, place, None, None));
                }
            }
        }
        for set in self.class_sets.values() {
            place += 1;
            set.classes
                .iter()
                .for_each(|class| note(*class, place, None, None));
        }
        for set in self.port_sets.values() {
            place += 1;
            for ClassPort {
                class,
                protocol,
                port,
            } in &set.members
            {
                note(*class, place, Some((*protocol, Some(*port))), None);
            }
        }
        occurrences
    }

    fn renumbered(&self, numbers: &Numbers) -> Self {
        let mut program = self.clone();
        for set in program.class_sets.values_mut() {
            set.classes = set
                .classes
                .iter()
                .filter_map(|class| numbers.get(class))
                .copied()
                .collect();
        }
        for set in program.port_sets.values_mut() {
            let renumber = |member: &ClassPort| {
                Some(ClassPort {
                    class: *numbers.get(&member.class)?,
                    ..*member
                })
            };
            set.members = set.members.iter().filter_map(renumber).collect();
        }
        for group in program.groups.values_mut() {
            *group = Arc::new(group.renumbered(numbers));
        }
        program
    }
}

impl Group {
    /// All banks: those of the tiers in order, then those of the profiles.
    pub fn banks(&self) -> impl Iterator<Item = &Bank> {
        let profiles: &[Bank] = match &self.profiles {
            ProfileEnd::Banks(banks) => banks,
            ProfileEnd::Allow | ProfileEnd::Deny | ProfileEnd::Continue => &[],
        };
        self.tiers
            .iter()
            .flat_map(|tier| &tier.banks)
            .chain(profiles)
    }

    pub(crate) fn renumbered(&self, numbers: &Numbers) -> Self {
        let renumber = |banks: &[Bank]| -> Vec<Bank> {
            let banks = banks.iter().map(|bank| bank.renumbered(numbers));
            banks.filter(|bank| *bank != Bank::default()).collect()
        };
        let tier = |tier: &Tier| Tier {
            banks: renumber(&tier.banks),
            ..tier.clone()
        };
        Self {
            id: self.id.clone(),
            hook: self.hook,
            direction: self.direction,
            tiers: self.tiers.iter().map(tier).collect(),
            profiles: match &self.profiles {
                ProfileEnd::Banks(banks) => ProfileEnd::Banks(renumber(banks)),
                other => other.clone(),
            },
        }
    }
}

impl Bank {
    fn renumbered(&self, numbers: &Numbers) -> Self {
        let new = |class: &ClassId| numbers.get(class).copied();
        let Levels {
            k1,
            k2,
            k3,
            k4,
            k5,
            k6,
        } = &self.levels;
        let k1 = k1.iter().filter_map(|((class, protocol, port), verdict)| {
            Some(((new(class)?, *protocol, *port), *verdict))
        });
        let k2 = k2
            .iter()
            .filter_map(|((class, protocol), verdict)| Some(((new(class)?, *protocol), *verdict)));
        let k3 = k3
            .iter()
            .filter_map(|(class, verdict)| Some((new(class)?, *verdict)));
        let rule = |rule: &Rule| match &rule.peer {
            Peer::Classes(classes) => {
                let classes: BTreeSet<ClassId> = classes.iter().filter_map(new).collect();
                let peer = Peer::Classes(classes.into_iter().collect());
                (peer != Peer::Classes(Arc::default())).then(|| Rule {
                    peer,
                    ..rule.clone()
                })
            }
            Peer::Any | Peer::Sets(_) => Some(rule.clone()),
        };
        Self {
            levels: Levels {
                k1: k1.collect(),
                k2: k2.collect(),
                k3: k3.collect(),
                k4: k4.clone(),
                k5: k5.clone(),
                k6: *k6,
            },
            tail: self.tail.iter().filter_map(rule).collect(),
        }
    }
}

impl AddressMap {
    /// The whole family, cut where the class changes or an element starts or ends.
    fn runs(&self, family: Family) -> Vec<Run> {
        let hosts: Vec<(u128, ClassId)> = match family {
            Family::V4 => self
                .hosts4
                .iter()
                .map(|(addr, class)| (u128::from(addr.to_bits()), *class))
                .collect(),
            Family::V6 => self
                .hosts6
                .iter()
                .map(|(addr, class)| (addr.to_bits(), *class))
                .collect(),
        };
        let nets: Vec<Run> = match family {
            Family::V4 => self
                .nets4
                .iter()
                .map(|(net, class)| run((*net).into(), *class))
                .collect(),
            Family::V6 => self
                .nets6
                .iter()
                .map(|(net, class)| run((*net).into(), *class))
                .collect(),
        };
        let mut runs = Vec::new();
        let mut hosts = hosts.into_iter().peekable();
        let mut at = 0;
        // Behind the last prefix comes the rest of the family.
        let last = if family == Family::V4 {
            u128::from(u32::MAX)
        } else {
            u128::MAX
        };
        let unknown = ClassId::unknown(family);
        for net in nets.into_iter().map(Some).chain([None]) {
            let stretches = match net {
                Some(net) => [
                    net.first.checked_sub(1).map(|before| (before, unknown)),
                    Some((net.last, net.class)),
                ],
                None => [Some((last, unknown)), None],
            };
            for (end, class) in stretches.into_iter().flatten() {
                at = fill(
                    &mut runs,
                    &mut hosts,
                    at,
                    Run {
                        first: 0,
                        last: end,
                        class,
                    },
                );
            }
        }
        runs
    }

    /// Sets the class of a run: the fewest prefixes that make it up.
    fn set_run(&mut self, family: Family, run: Run) {
        let bits = u32::from(family.bits());
        let mut at = run.first;
        loop {
            // The largest aligned block that starts here and does not reach beyond the end.
            let mut size = at.trailing_zeros().min(bits);
            while size > 0 && block_end(at, size) > run.last {
                size -= 1;
            }
            self.set_block(family, at, bits - size, run.class);
            let end = block_end(at, size);
            if end >= run.last {
                return;
            }
            at = end + 1;
        }
    }

    fn set_block(&mut self, family: Family, first: u128, prefix: u32, class: ClassId) {
        let addr = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(first).unwrap_or(u32::MAX))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(first)),
        };
        if prefix == u32::from(family.bits()) {
            self.set_host(addr, Some(class));
        } else if let Ok(net) = IpNet::new(addr, u8::try_from(prefix).unwrap_or(u8::MAX)) {
            self.set_net(net, Some(class));
        }
    }
}

/// The last address of the block of 2^size addresses that starts here.
fn block_end(first: u128, size: u32) -> u128 {
    1_u128
        .checked_shl(size)
        .map_or(u128::MAX, |length| first | (length - 1))
}

fn run(net: IpNet, class: ClassId) -> Run {
    let bits = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    };
    Run {
        first: bits(net.network()),
        last: bits(net.broadcast()),
        class,
    }
}

/// Adds the runs from `at` to the end of a stretch of one class, single addresses inside it apart. Returns
/// where the next stretch starts.
fn fill(
    runs: &mut Vec<Run>,
    hosts: &mut std::iter::Peekable<impl Iterator<Item = (u128, ClassId)>>,
    mut at: u128,
    stretch: Run,
) -> u128 {
    while let Some((host, class)) = hosts.next_if(|(host, _)| *host <= stretch.last) {
        if host > at {
            runs.push(Run {
                first: at,
                last: host - 1,
                class: stretch.class,
            });
        }
        runs.push(Run {
            first: host,
            last: host,
            class,
        });
        // The very last address has no next one; nothing follows it.
        at = host.checked_add(1).unwrap_or(host);
    }
    let is_done = runs.last().is_some_and(|run| run.last >= stretch.last);
    if !is_done && at <= stretch.last {
        runs.push(Run {
            first: at,
            last: stretch.last,
            class: stretch.class,
        });
        at = stretch.last.checked_add(1).unwrap_or(at);
    }
    at
}

/// Gives runs their new class and joins neighbours of the same.
fn merged(runs: Vec<Run>, mut number: impl FnMut(ClassId) -> ClassId) -> Vec<Run> {
    let mut merged: Vec<Run> = Vec::with_capacity(runs.len());
    for run in runs {
        let class = number(run.class);
        match merged.last_mut() {
            Some(last) if last.class == class => last.last = run.last,
            _ => merged.push(Run { class, ..run }),
        }
    }
    merged
}
