//! A whole table in the place of another, while packets pass (ADR 0003).
//!
//! ```text
//!               oncilla (old)     stand-in          oncilla (new)
//!   prepare     judges            made, no hooks
//!   both        judges            judges                            a packet needs both to let it pass
//!   alone       hooks gone        judges
//!   remake      gone              judges            made, no hooks
//!   both                          judges            judges          the same policy twice
//!   done                          gone              judges
//! ```
//! A transaction that deletes a table and makes it again is no snapshot for a packet that is under way: its rules are
//! the old ones, its lookups find the sets of the moment. So nothing that a packet may still ask is taken away in the
//! step that takes the hooks away, and a hook is there before the one it replaces goes: a packet is judged by the old
//! policy, by the new one, or by both. A death between two steps leaves one of these states; [`Dataplane::start`]
//! goes on from there.

use std::collections::BTreeMap;

use oncilla_kernel::nf_tables::{BatchError, Socket, wait_for_packets};
use oncilla_nft::object::Name;
use oncilla_nft::{Placement, Ruleset, STAND_IN, TABLE, lower, stand_in, table};
use oncilla_program::Program;

use crate::dataplane::{Applied, Dataplane, isolate_refused};
use crate::edit::{self, Edit, Transaction};
use crate::error::DataplaneError;
use crate::held::Held;

/// Which of the two tables have hooks, and so judge packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Judges {
    pub(crate) main: bool,
    pub(crate) stand_in: bool,
}

impl Dataplane {
    /// Finds what a death in the middle of [`Self::replace`] left: the stand-in goes unless it alone judges.
    pub(crate) fn end_stand_in(&mut self, applied: &mut Applied) -> Result<Judges, DataplaneError> {
        let hooks = [TABLE, STAND_IN].map(|table| base_chains(&mut self.socket, table));
        let [main, stand_in] = hooks;
        let (main, stand_in) = (main?, stand_in?);
        let judges = Judges {
            main: !main.is_empty(),
            stand_in: !stand_in.is_empty(),
        };
        if judges.stand_in && !judges.main {
            // Whoever took the hooks of the main table away may not have lived to wait.
            wait_for_packets();
            return Ok(judges);
        }
        if self.socket.table(STAND_IN)?.is_some() {
            self.retire(STAND_IN, applied)?;
        }
        Ok(Judges {
            stand_in: false,
            ..judges
        })
    }

    /// Puts the whole table in place. Every packet gets the verdict of what was there before or of `desired`.
    pub(crate) fn replace(
        &mut self,
        desired: &Program,
        applied: &mut Applied,
    ) -> Result<(), DataplaneError> {
        let mut program = desired.clone();
        self.unfinished = true;
        let judges = self.end_stand_in(applied)?;
        if judges.main {
            self.put_table(STAND_IN, &mut program, applied)?;
            self.retire(TABLE, applied)?;
        }
        let placements = self.put_table(TABLE, &mut program, applied)?;
        if judges.main || judges.stand_in {
            self.retire(STAND_IN, applied)?;
        }
        applied.replaced = true;
        applied.flips += 1;
        self.held = Held::new(program, placements);
        self.unfinished = false;
        Ok(())
    }

    /// Makes a table that no packet meets yet, then hooks it in. Groups that the kernel refuses are denied.
    fn put_table(
        &mut self,
        name: &str,
        program: &mut Program,
        applied: &mut Applied,
    ) -> Result<BTreeMap<oncilla_program::GroupId, Placement>, DataplaneError> {
        // What is refused once may be taken the next time: nobody is denied everything for want of memory.
        let mut is_second = false;
        loop {
            let placements = program
                .groups
                .keys()
                .map(|id| (id.clone(), Placement::default()))
                .collect::<BTreeMap<_, _>>();
            let made = if name == TABLE { table() } else { stand_in() };
            let mut ruleset = lower(program, &placements, self.with_owner(made));
            self.tombs.fill(&mut ruleset);
            match self.put_ruleset(name, &ruleset, applied) {
                Ok(()) => return Ok(placements),
                Err(BatchError::Refused { .. }) if !is_second => is_second = true,
                Err(error) => isolate_refused(program, error, &mut applied.isolated)?,
            }
        }
    }

    fn put_ruleset(
        &mut self,
        name: &str,
        ruleset: &Ruleset,
        applied: &mut Applied,
    ) -> Result<(), BatchError> {
        self.send_in_parts(name, edit::prepare(ruleset), applied)?;
        self.send_one(name, &edit::hook_in(ruleset), applied)
    }

    /// Takes a table's hooks away, and the table when no packet is in it any more.
    fn retire(&mut self, name: &str, applied: &mut Applied) -> Result<(), DataplaneError> {
        let hooks = base_chains(&mut self.socket, name)?;
        if !hooks.is_empty() {
            self.send_one(name, &unhook(hooks), applied)?;
            wait_for_packets();
        }
        self.send_one(name, &[Edit::DestroyTable], applied)?;
        Ok(())
    }

    fn send_one(
        &mut self,
        table: &str,
        transaction: &[Edit],
        applied: &mut Applied,
    ) -> Result<(), BatchError> {
        self.socket.commit(&edit::batch_in(table, transaction))?;
        applied.add(transaction);
        Ok(())
    }

    /// One transaction, or several where the socket does not take it at once.
    fn send_in_parts(
        &mut self,
        table: &str,
        transaction: Transaction,
        applied: &mut Applied,
    ) -> Result<(), BatchError> {
        match self.send_one(table, &transaction, applied) {
            Err(BatchError::TooLarge { bytes_max, .. }) => {
                for part in edit::parts(transaction, bytes_max) {
                    self.send_one(table, &part, applied)?;
                }
                Ok(())
            }
            sent => sent,
        }
    }
}

/// The chains of a table that packets enter by.
fn base_chains(socket: &mut Socket, table: &str) -> Result<Vec<Name>, DataplaneError> {
    let chains = socket.chains(table)?.into_iter();
    let hooked = chains.filter(|listed| listed.chain.base.is_some());
    Ok(hooked.map(|listed| listed.chain.name).collect())
}

fn unhook(chains: Vec<Name>) -> Transaction {
    let edits = chains.into_iter();
    edits
        .flat_map(|name| {
            [
                Edit::FlushChain(Name::clone(&name)),
                Edit::DeleteChain(name),
            ]
        })
        .collect()
}
