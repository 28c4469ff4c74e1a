//! What the interpreter answers: verdicts and where they fell.

use std::sync::Arc;

use oncilla_net::{Direction, Verdict};

use crate::{EndpointToHost, GroupId, Hook};

/// Where in a bank the decision fell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BankPlace<'a> {
    /// At a key level, 1 to 6.
    Level(u8),
    /// At a linear rule: its comment.
    Tail(&'a Arc<str>),
}

/// Where in the program the decision fell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place<'a> {
    /// Nothing polices this way: no endpoint is involved, or the host speaks to its own workload.
    Unpoliced,
    /// A failsafe of a host endpoint.
    Failsafe,
    /// A message of neighbour discovery or about multicast listeners, which hosts always get and send.
    Neighbour,
    /// No tier of a host endpoint's forward policy decided: it goes on.
    Undecided,
    /// The interface is named like a workload's, but no endpoint has it.
    UnknownInterface,
    /// A workload sent an encapsulated packet.
    Encapsulation,
    /// Nothing to evaluate at this endpoint.
    Open,
    /// The endpoint's group is not in the program: denied.
    UnknownGroup,
    /// A rule of a tier.
    Rule {
        /// The tier's index in the group.
        tier: usize,
        /// The tier's name.
        name: &'a Arc<str>,
        /// The bank's index in the tier.
        bank: usize,
        /// Where in the bank.
        at: BankPlace<'a>,
    },
    /// No rule of a tier decided, and its end denies.
    EndOfTier {
        /// The tier's index in the group.
        tier: usize,
        /// The tier's name.
        name: &'a Arc<str>,
    },
    /// A profile allows everything.
    ProfileAllow,
    /// A rule of a profile.
    ProfileRule {
        /// The bank's index among those of the profiles.
        bank: usize,
        /// Where in the bank.
        at: BankPlace<'a>,
    },
    /// No profile allowed it.
    EndOfProfiles,
    /// A workload's packet to its own host, which its egress policy allowed.
    ToHost(EndpointToHost),
}

/// What one end says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement<'a> {
    /// What becomes of the packet.
    pub verdict: Verdict,
    /// The group that was asked.
    pub group: Option<&'a GroupId>,
    /// Where the decision fell.
    pub place: Place<'a>,
    /// Whether a pass rule matched on the way.
    pub passed: bool,
    /// Whether the end of a tier was reached, whatever it does.
    pub reached_end_of_tier: bool,
}

impl<'a> Judgement<'a> {
    pub(crate) const fn at(verdict: Verdict, place: Place<'a>) -> Self {
        Self {
            verdict,
            group: None,
            place,
            passed: false,
            reached_end_of_tier: false,
        }
    }
}

/// Where the decision fell that made the packet's fate: the end that denied, or the last that was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decided<'a> {
    /// The interface whose endpoint was asked, [`ALL_INTERFACES`](crate::ALL_INTERFACES) where that endpoint
    /// stood in; `None` when none was.
    pub interface: Option<&'a str>,
    /// The direction as seen from the endpoint.
    pub direction: Option<Direction>,
    /// Where on the way it was asked.
    pub hook: Option<Hook>,
    /// The group.
    pub group: Option<&'a GroupId>,
    /// The place.
    pub place: Place<'a>,
}

/// What becomes of a packet, and where that was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome<'a> {
    /// What becomes of the packet.
    pub verdict: Verdict,
    /// Where it was decided.
    pub decided: Decided<'a>,
    /// Whether a pass rule matched at either end.
    pub passed: bool,
    /// Whether the end of a tier was reached at either end, whatever it does.
    pub reached_end_of_tier: bool,
    /// The early hook whose rule allowed it: normal and forward policy of the interface it came in by (or,
    /// for what the host sends, goes out by) was not asked. [`Hook::Untracked`]: its connection is not
    /// followed either.
    pub accepted: Option<Hook>,
}

impl<'a> Outcome<'a> {
    pub(crate) const fn unpoliced() -> Self {
        Self {
            verdict: Verdict::Allow,
            decided: Decided {
                interface: None,
                direction: None,
                hook: None,
                group: None,
                place: Place::Unpoliced,
            },
            passed: false,
            reached_end_of_tier: false,
            accepted: None,
        }
    }

    /// The same after one more endpoint had its say.
    pub(crate) const fn then(
        self,
        interface: &'a str,
        (hook, direction): (Hook, Direction),
        end: Judgement<'a>,
    ) -> Self {
        Self {
            verdict: end.verdict,
            decided: Decided {
                interface: Some(interface),
                direction: Some(direction),
                hook: Some(hook),
                group: end.group,
                place: end.place,
            },
            passed: self.passed || end.passed,
            reached_end_of_tier: self.reached_end_of_tier || end.reached_end_of_tier,
            accepted: self.accepted,
        }
    }
}

/// How often each kind of outcome occurred: a differential run that never saw one of them proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Packets let through.
    pub allowed: u64,
    /// Packets dropped.
    pub denied: u64,
    /// Packets that a pass rule matched.
    pub passed: u64,
    /// Packets that reached the end of a tier.
    pub ends_of_tier: u64,
}

impl Tally {
    /// Counts one outcome.
    pub fn count(&mut self, outcome: &Outcome<'_>) {
        match outcome.verdict {
            Verdict::Allow => self.allowed += 1,
            Verdict::Deny => self.denied += 1,
        }
        self.passed += u64::from(outcome.passed);
        self.ends_of_tier += u64::from(outcome.reached_end_of_tier);
    }

    /// Packets counted.
    pub const fn packets(&self) -> u64 {
        self.allowed + self.denied
    }
}
