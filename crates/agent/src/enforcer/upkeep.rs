//! What is due: cleaning, merging, cutting connections, verifying and repairing, trying again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_dataplane::{Difference, Ways};

use super::Enforcer;
use crate::clock::Clock;
use crate::follow::chain;
use crate::links::{Routes, changes, own_interfaces};
use crate::pipeline::PipelineError;
use crate::timers::{
    REPAIRS_PER_SECOND_MAX, REVOKE_GAP_MS, REVOKE_SHARE, VERIFY_MIN_MS, VERIFY_SHARE, take_due,
};

/// How many differences one line of the log names.
const DIFFERENCES_LOGGED_MAX: usize = 8;
/// The pause after connections could not be looked at, or classes not merged.
const UPKEEP_RETRY_MS: u64 = 1_000;

impl Enforcer {
    /// Does everything that is due.
    pub(super) fn keep_up(&mut self) {
        let now_ms = self.clock.now_ms();
        if take_due(&mut self.timers.links, now_ms) {
            self.follow_interfaces();
        }
        if take_due(&mut self.timers.repair, now_ms) {
            self.repair();
        }
        if take_due(&mut self.timers.retry, now_ms) {
            self.retry();
        }
        if take_due(&mut self.timers.clean, now_ms) {
            self.clean();
        }
        if take_due(&mut self.timers.revoke, now_ms) {
            self.revoke();
        }
        if take_due(&mut self.timers.settle, now_ms) {
            self.settle();
        }
        if take_due(&mut self.timers.verify, now_ms) {
            self.verify();
        }
    }

    /// Lists interfaces and puts what is new of them in force.
    fn follow_interfaces(&mut self) {
        let begun_us = self.clock.now_us();
        self.list_interfaces();
        // Until the start they wait with everything else.
        if self.started && !self.pending.is_empty() {
            self.advance(begun_us);
        }
    }

    /// Notes what is new of the node's own interfaces.
    pub(super) fn list_interfaces(&mut self) {
        match own_interfaces(&self.options.interface_prefixes) {
            Ok(now) => {
                self.pending.extend(changes(&self.interfaces, &now));
                self.interfaces = now;
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "interfaces cannot be listed; trying again");
                self.timers.links = Some(self.clock.now_ms() + UPKEEP_RETRY_MS);
            }
        }
    }

    /// Undoes a foreign change at once, but not for ever at any price.
    pub(super) fn schedule_repair(&mut self) {
        let now_ms = self.clock.now_ms();
        let recent = &mut self.counts.repairs_at;
        while recent.front().is_some_and(|at| at + 1000 <= now_ms) {
            recent.pop_front();
        }
        let at = match recent.front() {
            Some(first) if recent.len() >= REPAIRS_PER_SECOND_MAX => first + 1000,
            _ => now_ms,
        };
        self.timers.repair.get_or_insert(at);
    }

    pub(super) fn judge_connections(&mut self) {
        if !self.options.keep_established {
            let at = self.clock.now_ms().max(self.counts.revoke_from);
            self.timers.revoke.get_or_insert(at);
        }
    }

    pub(super) fn soiled(&mut self) {
        if self.pipeline.dataplane.needs_cleaning() {
            self.timers.soiled(self.clock.now_ms());
        }
    }

    /// The next time that the table is read back, given how long it took.
    pub(super) fn schedule_verification(&mut self, took_ms: u64) {
        let pause = VERIFY_MIN_MS.max(took_ms.saturating_mul(VERIFY_SHARE));
        self.timers.verify = Some(self.clock.now_ms() + pause);
    }

    fn retry(&mut self) {
        let begun_us = self.clock.now_us();
        if self.started {
            let applied = self.pipeline.apply(&[], self.clock.now_ms());
            self.absorb(applied, begun_us);
        } else if self.intake.is_synced()
            && let Err(error) = self.start(begun_us)
        {
            // Only opening the table again fails here, and that is tried again as well.
            tracing::error!(error = chain(&error), "cannot start");
            self.timers.failed(self.clock.now_ms(), None);
        }
    }

    fn clean(&mut self) {
        self.timers.cleaned();
        if let Err(error) = self.pipeline.dataplane.clean() {
            tracing::warn!(error = chain(&error), "leftovers cannot be removed");
            self.schedule_repair();
        }
    }

    fn settle(&mut self) {
        self.timers.settle_latest = None;
        match self.pipeline.settle(self.clock.now_ms()) {
            Ok(_) => {
                self.soiled();
                if !self.pipeline.is_settled() {
                    self.timers.changed(self.clock.now_ms());
                }
            }
            // Nothing is lost but tidiness.
            Err(PipelineError::Exhausted(exhausted)) => {
                let at = self.clock.now_ms() + UPKEEP_RETRY_MS;
                self.timers.settle = Some(exhausted.retry_at_ms.unwrap_or_default().max(at));
            }
            Err(error @ PipelineError::Dataplane(_)) => self.failed(&error),
        }
    }

    /// Cuts the connections that policy denies now. Where that fails the revision counts as in force all
    /// the same, and the failure is told: new connections get the new verdict.
    fn revoke(&mut self) {
        if !self.started {
            return;
        }
        let begun_us = self.clock.now_us();
        let judged = self.judge();
        let took_ms = (self.clock.now_us() - begun_us) / 1000;
        let gap_ms = REVOKE_GAP_MS.max(took_ms.saturating_mul(REVOKE_SHARE));
        self.counts.revoke_from = self.clock.now_ms() + gap_ms;
        self.in_force = self.applied;
        match judged {
            Ok(cut) => {
                self.unjudged = None;
                self.counts.connections_cut += cut;
            }
            Err(error) => {
                tracing::warn!(error, "open connections cannot be judged; trying again");
                let since = self.unjudged.take().map(|(_, since)| since);
                self.unjudged = Some((error, since.unwrap_or_else(Clock::unix_ms)));
                self.timers.revoke = Some(self.clock.now_ms() + UPKEEP_RETRY_MS);
            }
        }
    }

    /// How many connections were cut, or why none could be.
    fn judge(&mut self) -> Result<u64, String> {
        let own = self.interfaces.iter();
        let hosts =
            own.flat_map(|(name, list)| list.iter().map(move |addr| (*addr, Arc::clone(name))));
        let hosts: BTreeMap<IpAddr, Arc<str>> = hosts.collect();
        let routes = Routes::default();
        let ways = Ways {
            host: &hosts,
            route: &|addr| routes.way_to(addr),
            interfaces: &|| routes.interfaces(),
        };
        let dataplane = &mut self.pipeline.dataplane;
        let revoked = dataplane
            .revoke(&mut self.conntrack, &ways)
            .map_err(|error| chain(&error))?;
        routes.checked().map_err(|error| chain(&error))?;
        if !revoked.cut.is_empty() {
            tracing::info!(
                connections = revoked.cut.len(),
                without_tombstone = revoked.without_tombstone,
                "cut connections that policy denies now"
            );
        }
        Ok(u64::try_from(revoked.cut.len()).unwrap_or_default())
    }

    /// Reads the table back. News can be lost only loudly, so this is for our own mistakes.
    fn verify(&mut self) {
        let begun_us = self.clock.now_us();
        let verified = self.pipeline.dataplane.verify();
        let took_ms = (self.clock.now_us() - begun_us) / 1000;
        self.schedule_verification(took_ms);
        match verified {
            Ok(differences) if differences.is_empty() => {
                self.counts.verified_at = Some(self.clock.now_ms());
            }
            Ok(_) => self.schedule_repair(),
            Err(error) => tracing::warn!(error = chain(&error), "the table cannot be read back"),
        }
    }

    fn repair(&mut self) {
        if !self.started {
            return;
        }
        let begun_us = self.clock.now_us();
        // A group that the kernel refuses is refused again: only a real difference is worth that.
        let repaired = if self.pipeline.isolated.is_empty() {
            self.pipeline.repair()
        } else {
            match self.pipeline.dataplane.verify() {
                Ok(differences) if differences.is_empty() => Ok(Default::default()),
                Ok(_) => self.pipeline.repair(),
                Err(error) => Err(error.into()),
            }
        };
        match repaired {
            Ok((differences, applied)) => {
                self.counts.verified_at = Some(self.clock.now_ms());
                if applied.transactions > 0 {
                    self.judge_connections();
                    self.soiled();
                }
                if !differences.is_empty() {
                    self.repaired(&differences, self.clock.now_us() - begun_us);
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn repaired(&mut self, differences: &[Difference], took_us: u64) {
        self.counts.repairs += 1;
        let recent = &mut self.counts.repairs_at;
        if recent.len() >= REPAIRS_PER_SECOND_MAX {
            recent.pop_front();
        }
        recent.push_back(self.clock.now_ms());
        let named = differences.iter().take(DIFFERENCES_LOGGED_MAX);
        let named: Vec<String> = named.map(ToString::to_string).collect();
        tracing::warn!(
            differences = named.join("; "),
            more = differences.len().saturating_sub(DIFFERENCES_LOGGED_MAX),
            took_us,
            "somebody else changed our table; it is as it should be again"
        );
    }
}
