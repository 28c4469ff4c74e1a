//! The writer: what is held, and the four things that are done to it: start, apply, clean, repair.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_kernel::nf_tables::{BatchError, Event, Socket, Subject, TableState};
use oncilla_nft::object::{Element, Name, Table, TableFlags};
use oncilla_nft::{
    BankSetName, FilledChain, FilledSet, GroupChainName, Placement, Ruleset, STAND_IN, TABLE,
    adopt, bridge_number, lower, table,
};
use oncilla_program::{AddressMap, Group, GroupId, ProfileEnd, Program, ProgramDelta, Settings};

use crate::compare::{Difference, compare, foreign_elements};
use crate::edit::{self, Edit};
use crate::error::DataplaneError;
use crate::held::Held;
use crate::plan::plan;
use crate::tombs::Tombs;

/// How many groups the kernel may refuse before we give up: each costs one attempt.
const ISOLATED_MAX: usize = 16;

/// Whether the kernel keeps others from changing our table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TableOwner {
    /// Where the kernel can (Linux 6.9).
    #[default]
    Auto,
    /// Always; without it the dataplane does not start.
    On,
    /// Never: foreign changes are repaired when they are noticed.
    Off,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Transactions sent.
    pub transactions: u64,
    /// Elements added or deleted in them.
    pub elements: u64,
    /// Transactions that changed verdicts.
    pub flips: u64,
    /// The whole table was put in place anew.
    pub replaced: bool,
    /// Groups that the kernel refused: their endpoints are denied. With the kernel's words.
    pub isolated: BTreeMap<GroupId, String>,
}

impl Applied {
    pub(crate) fn add(&mut self, transaction: &[Edit]) {
        self.transactions += 1;
        self.elements += edit::elements(transaction);
    }
}

/// The table as it was when it was opened.
#[derive(Debug)]
struct Found {
    has_owner: bool,
    ruleset: Ruleset,
}

/// The only writer of policy state in the kernel: one network namespace, one table.
#[derive(Debug)]
pub struct Dataplane {
    pub(crate) socket: Socket,
    pub(crate) held: Held,
    pub(crate) tombs: Tombs,
    owner: bool,
    claims: u64,
    found: Option<Found>,
    /// A writing was begun whose end nobody saw: the kernel may hold what was before, what was to be, or a stand-in
    /// beside either. The next writing puts everything in place.
    pub(crate) unfinished: bool,
}

impl Dataplane {
    /// Opens the table of the calling thread's network namespace and reads it. Writes nothing.
    ///
    /// # Errors
    /// Without `CAP_NET_ADMIN`; when the kernel cannot do what `owner` asks; when another agent owns the table.
    pub fn open(settings: Settings, owner: TableOwner) -> Result<Self, DataplaneError> {
        let mut socket = Socket::open().map_err(DataplaneError::Open)?;
        let owner = match owner {
            TableOwner::Off => false,
            TableOwner::Auto => socket.supports_owner()?,
            TableOwner::On if socket.supports_owner()? => true,
            TableOwner::On => return Err(DataplaneError::NoOwner),
        };
        let found = socket.read_table(TABLE)?;
        let stand_in = socket.read_table(STAND_IN)?;
        let tables = [&found, &stand_in].into_iter().flatten();
        for port in tables.filter_map(|found| found.table.owner) {
            if port != socket.port_id() {
                return Err(DataplaneError::Owned { port });
            }
        }
        let found = found.map(|state| Found {
            has_owner: state.table.owner.is_some(),
            ruleset: as_ruleset(state),
        });
        let program = Program {
            settings,
            ..Program::default()
        };
        let held = Held::new(program, BTreeMap::new());
        // Of both tables: whichever goes, nothing that was cut comes back.
        let mut tombs = Tombs::default();
        let stand_in = stand_in.map(as_ruleset);
        let rulesets = found.as_ref().map(|found| &found.ruleset);
        for ruleset in rulesets.into_iter().chain(&stand_in) {
            tombs.add(Tombs::read(ruleset));
        }
        Ok(Self {
            socket,
            held,
            tombs,
            owner,
            claims: 0,
            found,
            unfinished: false,
        })
    }

    /// The classes that addresses have in the kernel: what the resolver elects class numbers from.
    pub fn hints(&self) -> AddressMap {
        let mask = self.held.program.settings.mask;
        match &self.found {
            Some(found) => adopt(&found.ruleset, mask).addresses,
            None => AddressMap::default(),
        }
    }

    /// Puts a program in force, keeping what the kernel already holds of it. Sends nothing when that is all.
    ///
    /// # Errors
    /// When the kernel cannot be read, or refuses what is not a group's.
    pub fn start(&mut self, desired: &Program) -> Result<Applied, DataplaneError> {
        let mut applied = Applied::default();
        self.unfinished = true;
        let judges = self.end_stand_in(&mut applied)?;
        let found = self.found.take();
        let found = found.filter(|_| judges.main);
        let adopted =
            found.and_then(|found| Some((found.has_owner, adoptable(desired, &found.ruleset)?)));
        let Some((has_owner, held)) = adopted else {
            self.replace(desired, &mut applied)?;
            return Ok(applied);
        };
        self.held = held;
        if self.owner && !has_owner {
            let claim = vec![Edit::AddTable(self.with_owner(table()))];
            self.socket.commit(&edit::batch(&claim))?;
            self.claims += 1;
        }
        let delta = ProgramDelta::between(&self.held.program, desired);
        self.send(&delta, desired, &mut applied)?;
        self.unfinished = false;
        Ok(applied)
    }

    /// Applies a delta to what is in force. `desired` is the program after it.
    ///
    /// # Errors
    /// When the kernel cannot be read, or refuses what is not a group's. The kernel then holds the policy
    /// before or after; the next call of this or of [`Self::repair`] leads to the one after, whatever its delta.
    pub fn apply(
        &mut self,
        delta: &ProgramDelta,
        desired: &Program,
    ) -> Result<Applied, DataplaneError> {
        let mut applied = Applied::default();
        if self.unfinished {
            self.replace(desired, &mut applied)?;
        } else {
            self.send(delta, desired, &mut applied)?;
        }
        Ok(applied)
    }

    fn send(
        &mut self,
        delta: &ProgramDelta,
        desired: &Program,
        applied: &mut Applied,
    ) -> Result<(), DataplaneError> {
        if self.held.needs_other_chains(desired) {
            return self.replace(desired, applied);
        }
        if delta.is_empty() {
            return Ok(());
        }
        let plan = plan(&mut self.held, delta);
        applied.flips += u64::try_from(plan.flips).unwrap_or_default();
        for transaction in &plan.transactions {
            match self.socket.commit(&edit::batch(transaction)) {
                Ok(()) => applied.add(transaction),
                // What was sent so far changed no verdict or all of them; the rest follows at once.
                Err(_) => return self.replace(desired, applied),
            }
        }
        Ok(())
    }

    /// Whether [`Self::clean`] has something to do.
    pub fn needs_cleaning(&self) -> bool {
        !self.held.garbage.is_empty()
    }

    /// Removes what no packet can meet. Call 100 ms or more after the flip.
    ///
    /// # Errors
    /// When the kernel refuses: something foreign uses what is ours. Nothing was removed then.
    pub fn clean(&mut self) -> Result<Applied, DataplaneError> {
        let mut applied = Applied::default();
        let transaction = self.held.garbage.transaction();
        if !transaction.is_empty() {
            if let Err(error) = self.socket.commit(&edit::batch(&transaction)) {
                self.look_for_garbage()?;
                return Err(error.into());
            }
            applied.add(&transaction);
        }
        self.held.cleaned();
        Ok(applied)
    }

    /// What is not there any more is not garbage: a cleaning that was done and not heard of would else be refused
    /// for ever.
    fn look_for_garbage(&mut self) -> Result<(), DataplaneError> {
        if let Some(found) = self.socket.read_table(TABLE)? {
            self.held.garbage.retain(&as_ruleset(found));
        }
        if self.held.garbage.is_empty() {
            self.held.cleaned();
        }
        Ok(())
    }

    /// Reads the table and says what is not as it was put there.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn verify(&mut self) -> Result<Vec<Difference>, DataplaneError> {
        let Some(found) = self.socket.read_table(TABLE)? else {
            return Ok(vec![Difference::NoTable]);
        };
        let found = as_ruleset(found);
        let expected = lower(&self.held.program, &self.held.placements, table());
        Ok(self
            .held
            .garbage
            .overlook(compare(&expected, &found), &expected, &found))
    }

    /// Verifies, and puts the whole table in place again when something is different.
    ///
    /// # Errors
    /// When the table cannot be read or written.
    pub fn repair(
        &mut self,
        desired: &Program,
    ) -> Result<(Vec<Difference>, Applied), DataplaneError> {
        let mut applied = Applied::default();
        let differences = self.verify()?;
        if self.unfinished || !differences.is_empty() || self.held.program != *desired {
            self.replace(desired, &mut applied)?;
        }
        Ok((differences, applied))
    }

    /// Whether an event says that somebody else changed our table.
    pub fn is_foreign(&self, event: &Event) -> bool {
        use oncilla_kernel::nf_tables::Change;
        match &event.change {
            Change::Lost => true,
            change => {
                event.port_id != self.socket.port_id()
                    && event.port_id != 0
                    && change.table().is_some_and(|table| table.as_ref() == TABLE)
            }
        }
    }

    /// Removes our table: nothing is enforced afterwards.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&mut self) -> Result<(), DataplaneError> {
        for table in [STAND_IN, TABLE] {
            self.socket
                .commit(&edit::batch_in(table, &[Edit::DestroyTable]))?;
        }
        Ok(())
    }

    /// The program in force.
    pub fn program(&self) -> &Program {
        &self.held.program
    }

    /// How many batches were sent, but for claims of ownership, which change nothing.
    pub fn writes(&self) -> u64 {
        self.socket.writes() - self.claims
    }

    /// How many cut connections are kept from coming back. Those that expired count until the next pass.
    pub fn tombstones(&self) -> usize {
        self.tombs.len()
    }

    /// Whether the kernel keeps others from changing our table.
    pub const fn owns_table(&self) -> bool {
        self.owner
    }

    /// The table with the flags by which the kernel keeps it for us.
    pub(crate) fn with_owner(&self, table: Table) -> Table {
        let flags = TableFlags::OWNER | TableFlags::PERSIST;
        if self.owner {
            table.flags(flags)
        } else {
            table
        }
    }
}

/// What is held when everything in the kernel but addresses is as desired; leftovers are garbage.
///
/// Anything else is replaced as a whole, through a stand-in (ADR 0003): class numbers in the kernel may mean
/// something else than ours, and only new sets beside the old ones keep every packet's verdict.
fn adoptable(desired: &Program, found: &Ruleset) -> Option<Held> {
    let mask = desired.settings.mask;
    let adopted = adopt(found, mask);
    let mut placements: BTreeMap<GroupId, Placement> = BTreeMap::new();
    for id in desired.groups.keys() {
        // What no interface leads to now has whatever version is there.
        let newest = || adopted.groups.get(id)?.keys().next_back().copied();
        let version = adopted.version_in_use(id).or_else(newest)?;
        placements.insert(id.clone(), adopted.groups.get(id)?.get(&version)?.clone());
    }
    let program = Program {
        addresses: adopted.addresses,
        ..desired.clone()
    };
    let expected = lower(&program, &placements, table());
    let mut held = Held::new(program, placements);
    for difference in compare(&expected, found) {
        match difference {
            Difference::ForeignChain(name) => {
                if let Some(number) = bridge_number(&name) {
                    held.bridges = held.bridges.max(number.wrapping_add(1));
                } else {
                    let chain = GroupChainName::parse(&name)?;
                    let taken = held.taken.entry(chain.group).or_default();
                    taken.insert(chain.version);
                }
                held.garbage.leave_chain(name);
            }
            Difference::ForeignSet(name) => {
                if let Some(bank) = BankSetName::parse(&name) {
                    held.taken
                        .entry(bank.group)
                        .or_default()
                        .insert(bank.version);
                } else if !is_predicate_set(&name) {
                    return None;
                }
                held.garbage.leave_set(found.sets.get(&name)?.clone());
            }
            Difference::Elements {
                set, missing: 0, ..
            } if set.as_ref() == "to_wl" || set.as_ref() == "from_wl" => {
                let (expected, found) = (expected.sets.get(&set)?, found.sets.get(&set)?);
                let left = foreign_elements(expected, found);
                if !left.iter().all(|element| is_open(element, &held)) {
                    return None;
                }
                held.garbage.leave_elements(&expected.set, left);
            }
            Difference::NoTable
            | Difference::NoChain(_)
            | Difference::Chain(_)
            | Difference::NoSet(_)
            | Difference::Set(_)
            | Difference::Elements { .. } => return None,
        }
    }
    Some(held)
}

/// A table that was read, as a value; elements come sorted, and without the time they have left.
pub(crate) fn as_ruleset(mut state: TableState) -> Ruleset {
    let mut ruleset = Ruleset::new(state.table.table);
    for (name, listed) in state.chains {
        let rules = state.rules.remove(&name).into_iter().flatten();
        let rules = rules.map(|listed| listed.rule).collect();
        let chain = FilledChain {
            chain: listed.chain,
            rules,
        };
        ruleset.chains.insert(name, chain);
    }
    for (name, (set, elements)) in state.sets {
        let elements = elements.into_iter().map(Element::without_expiry).collect();
        ruleset.sets.insert(name, FilledSet { set, elements });
    }
    ruleset
}

pub(crate) fn is_predicate_set(name: &str) -> bool {
    let mut chars = name.chars();
    matches!(chars.next(), Some('p' | 'n' | 'a'))
        && chars
            .next()
            .is_some_and(|second| second.is_ascii_hexdigit())
}

/// Whether a dispatch element belongs to an endpoint that is open: the open set is asked first.
fn is_open(element: &Element, held: &Held) -> bool {
    let name = element
        .key()
        .as_bytes()
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    std::str::from_utf8(name).is_ok_and(|name| held.program.endpoints.contains_key(name))
}

/// Denies the groups that a refusal names, so that the next attempt can succeed.
pub(crate) fn isolate_refused(
    program: &mut Program,
    error: BatchError,
    isolated: &mut BTreeMap<GroupId, String>,
) -> Result<(), DataplaneError> {
    let refused = refused_groups(&error, program, isolated);
    if refused.is_empty() || isolated.len() >= ISOLATED_MAX {
        return Err(match isolated.len() {
            0 => error.into(),
            isolated => DataplaneError::Refused {
                isolated,
                source: error,
            },
        });
    }
    for id in refused {
        isolate(program, &id);
        isolated.insert(id, error.to_string());
    }
    Ok(())
}

/// The groups that a refusal names and that are not isolated yet.
fn refused_groups(
    error: &BatchError,
    program: &Program,
    isolated: &BTreeMap<GroupId, String>,
) -> BTreeSet<GroupId> {
    let name = |subject: &Subject| match subject {
        Subject::Chain(name) | Subject::Set(name) => Name::clone(name),
        Subject::Elements { set, .. } => Name::clone(set),
        Subject::Rule { chain, .. } => Name::clone(chain),
        Subject::Table(name) => Name::clone(name),
    };
    let group = |name: &str| {
        GroupChainName::parse(name)
            .map(|chain| chain.group)
            .or_else(|| BankSetName::parse(name).map(|set| set.group))
    };
    error
        .refusals()
        .iter()
        .filter_map(|refusal| group(&name(&refusal.operation.subject)))
        .filter(|id| program.groups.contains_key(id) && !isolated.contains_key(id))
        .collect()
}

/// Replaces a group by one that denies everything.
fn isolate(program: &mut Program, id: &GroupId) {
    if let Some(group) = program.groups.get_mut(id) {
        *group = Arc::new(Group {
            id: id.clone(),
            hook: group.hook,
            direction: group.direction,
            tiers: Vec::new(),
            profiles: ProfileEnd::Deny,
        });
    }
}
