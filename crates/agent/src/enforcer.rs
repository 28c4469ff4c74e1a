//! The policy thread: waits for news of the store, news of the kernel and time, and runs the stages.
//!
//! It blocks in the kernel and nowhere else. A transaction under way is always finished: to stop is looked
//! at between them.

mod denials;
mod deny_log;
mod report;
mod upkeep;

use std::collections::VecDeque;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oncilla_dataplane::{Applied, Dataplane};
use oncilla_flows::Record;
use oncilla_kernel::conntrack::Conntrack;
use oncilla_kernel::link::{AddressEvents, LinkError};
use oncilla_kernel::nf_tables::Monitor;
use oncilla_model::Change;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::sync::{mpsc, watch};

use self::denials::Denials;
pub(crate) use self::denials::Touched;
use crate::clock::Clock;
use crate::error::AgentError;
use crate::follow::{News, chain};
use crate::intake::Intake;
use crate::links::Interfaces;
use crate::options::Options;
use crate::pipeline::{Pipeline, PipelineError};
use crate::status::AgentStatus;
use crate::timers::{HEARTBEAT_MS, Timers};
use crate::wake::Wake;

/// How much news is put in force together.
const BATCH_NEWS_MAX: usize = 1024;
/// How often the kernel's news are read in a row before anything else is done.
const KERNEL_READS_MAX: usize = 16;
/// How long changes of interfaces are gathered before interfaces are listed.
const LINKS_GAP_MS: u64 = 20;

/// What the thread is told by others.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) news: mpsc::Receiver<News>,
    pub(crate) wake: Arc<Wake>,
    pub(crate) stop: Arc<AtomicBool>,
    /// More news is waiting than one batch takes.
    pub(crate) has_more: bool,
}

/// The state of the policy thread.
#[derive(Debug)]
pub(crate) struct Enforcer {
    options: Options,
    clock: Clock,
    inputs: Inputs,
    statuses: watch::Sender<Option<AgentStatus>>,
    monitor: Monitor,
    denials: Denials,
    links: AddressEvents,
    /// The node's own interfaces as policy was told of them.
    interfaces: Interfaces,
    conntrack: Conntrack,
    intake: Intake,
    pipeline: Pipeline,
    timers: Timers,
    /// What was told before everything was.
    pending: Vec<Change>,
    /// Whether the store's policy is in force.
    started: bool,
    /// Why what was told last is not in force, since when.
    blocked: Option<(String, u64)>,
    /// Somebody changed our table before we wrote it: it must be read again.
    reopen: bool,
    /// Up to which revision the kernel acknowledged everything.
    applied: Option<u64>,
    /// Up to which revision open connections were judged too: only this is told to others, because before
    /// an open connection still has the old verdict.
    in_force: Option<u64>,
    /// Why connections could not be judged, since when.
    unjudged: Option<(String, u64)>,
    counts: Counts,
    reported: report::Reported,
}

/// What was done since the start.
#[derive(Debug, Default)]
struct Counts {
    repairs: u64,
    /// When the last repairs were, for their limit.
    repairs_at: VecDeque<u64>,
    connections_cut: u64,
    last_change_us: Option<u64>,
    verified_at: Option<u64>,
    /// When the next look at connections is not too early.
    revoke_from: u64,
    /// Of batches that were sent by a dataplane that was opened again.
    writes_before: u64,
}

impl Enforcer {
    /// Opens everything in the calling thread's network namespace. Changes nothing.
    ///
    /// # Errors
    /// Without the right to, or when another agent owns the table.
    pub(crate) fn open(
        options: Options,
        inputs: Inputs,
        statuses: watch::Sender<Option<AgentStatus>>,
        records: mpsc::Sender<Record>,
    ) -> Result<Self, AgentError> {
        let listen = |what| move |source| AgentError::Listen { what, source };
        // Before the table is read: what happens afterwards must not be missed.
        let monitor = Monitor::open().map_err(listen("changes of nf_tables"))?;
        let links = AddressEvents::open().map_err(listen_links)?;
        let pipeline = open_pipeline(&options)?;
        let conntrack = Conntrack::open().map_err(|error| AgentError::Dataplane(error.into()))?;
        let clock = Clock::new();
        Ok(Self {
            intake: Intake::new(&options),
            options,
            clock,
            inputs,
            statuses,
            monitor,
            denials: Denials::open(records, clock.now_ms()),
            links,
            interfaces: Interfaces::new(),
            conntrack,
            pipeline,
            timers: Timers {
                heartbeat: Some(clock.now_ms() + HEARTBEAT_MS),
                ..Timers::default()
            },
            pending: Vec::new(),
            started: false,
            blocked: None,
            reopen: false,
            applied: None,
            in_force: None,
            unjudged: None,
            counts: Counts::default(),
            reported: report::Reported::default(),
        })
    }

    /// Works until it is told to stop; the kernel keeps enforcing afterwards.
    ///
    /// # Errors
    /// When the kernel's news cannot be read, or the table went to somebody else before the start.
    pub(crate) fn run(mut self) -> Result<(), AgentError> {
        let ended = self.work();
        self.report_end();
        ended
    }

    fn work(&mut self) -> Result<(), AgentError> {
        while !self.inputs.stop.load(Ordering::Acquire) {
            self.wait()?;
            self.hear_kernel()?;
            self.hear_denials();
            self.hear_links()?;
            if !self.timers.must_clean(self.clock.now_ms()) {
                self.hear_store()?;
            }
            self.keep_up();
            self.denials_changed();
            self.sum_denials();
            self.report();
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), AgentError> {
        let now_ms = self.clock.now_ms();
        let must_clean = self.timers.must_clean(now_ms);
        let due = [self.timers.next(), self.denials.next_ms()];
        let due_ms = due.into_iter().flatten().min();
        let due_ms = due_ms.map(|at| at.saturating_sub(now_ms));
        let wait_ms = if self.inputs.has_more && !must_clean {
            Some(0)
        } else {
            // A timer's millisecond must be over when we wake.
            due_ms.map(|ms| if ms == 0 { 0 } else { ms + 1 })
        };
        let timeout = wait_ms.map(|ms| Timespec {
            tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(ms % 1000 * 1_000_000).unwrap_or_default(),
        });
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.monitor.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.links.as_fd(), PollFlags::IN),
        ];
        let denials = self.denials.as_fd();
        fds.extend(denials.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        if !must_clean {
            fds.push(PollFd::from_borrowed_fd(
                self.inputs.wake.as_fd(),
                PollFlags::IN,
            ));
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(AgentError::Listen {
                what: "events",
                source: errno.into(),
            }),
        }
    }

    fn hear_kernel(&mut self) -> Result<(), AgentError> {
        let mut foreign = false;
        for _ in 0..KERNEL_READS_MAX {
            let events = self.monitor.read().map_err(|source| AgentError::Listen {
                what: "changes of nf_tables",
                source,
            })?;
            if events.is_empty() {
                break;
            }
            let dataplane = &self.pipeline.dataplane;
            foreign |= events.iter().any(|event| dataplane.is_foreign(event));
        }
        if foreign && self.started {
            self.schedule_repair();
        } else if foreign {
            self.reopen = true;
        }
        Ok(())
    }

    /// Notes that interfaces or addresses changed; they are listed a moment later, many changes at once.
    fn hear_links(&mut self) -> Result<(), AgentError> {
        if self.links.take().map_err(listen_links)? {
            let at = self.clock.now_ms() + LINKS_GAP_MS;
            self.timers.links.get_or_insert(at);
        }
        Ok(())
    }

    fn hear_store(&mut self) -> Result<(), AgentError> {
        let begun_us = self.clock.now_us();
        let unix_ms = Clock::unix_ms();
        // Before the queue is read: what comes later wakes us again.
        self.inputs.wake.clear();
        let mut heard = 0;
        while heard < BATCH_NEWS_MAX
            && let Ok(news) = self.inputs.news.try_recv()
        {
            self.intake.take(news, unix_ms, &mut self.pending);
            heard += 1;
        }
        self.inputs.has_more = heard == BATCH_NEWS_MAX;
        if heard == 0 {
            return Ok(());
        }
        if self.started {
            self.advance(begun_us);
        } else if self.intake.is_synced() {
            self.start(begun_us)?;
        }
        Ok(())
    }

    /// Puts the first complete list in force. Whatever was told is told before: local workloads never meet
    /// a policy of which half is known.
    fn start(&mut self, begun_us: u64) -> Result<(), AgentError> {
        let reopen = std::mem::take(&mut self.reopen);
        if reopen && self.blocked.is_none() {
            self.counts.writes_before += self.pipeline.dataplane.writes();
            self.pipeline = open_pipeline(&self.options)?;
        }
        self.list_interfaces();
        let changes = std::mem::take(&mut self.pending);
        self.put_settings();
        let started = self.pipeline.apply(&changes, self.clock.now_ms());
        drop(changes);
        if self.absorb(started, begun_us) {
            self.started = true;
            self.counts.verified_at = Some(self.clock.now_ms());
            // Policy may have changed while nobody enforced it.
            self.judge_connections();
            self.schedule_verification(0);
            if reopen {
                self.schedule_repair();
            }
            tracing::info!(
                node = self.options.node.as_str(),
                revision = self.applied,
                writes = self.pipeline.dataplane.writes(),
                endpoints = self.pipeline.program().endpoints.len(),
                "policy is in force"
            );
        }
        Ok(())
    }

    /// Puts what was told in force.
    fn advance(&mut self, begun_us: u64) {
        let changes = std::mem::take(&mut self.pending);
        let resettled = self.put_settings();
        if changes.is_empty() {
            if resettled {
                let applied = self.pipeline.apply(&[], self.clock.now_ms());
                self.absorb(applied, begun_us);
            } else if self.blocked.is_none() {
                self.applied = Some(self.intake.revision());
            }
            return;
        }
        // What policies say and whom they mean change one after the other, in the order of the news: together
        // they could meet in a state that nobody wrote. A run that fails is made up for by the next one.
        for run in changes.chunk_by(|one, next| is_policy(one) == is_policy(next)) {
            let applied = self.pipeline.apply(run, self.clock.now_ms());
            self.absorb(applied, begun_us);
        }
    }

    /// How packets are treated from the next change on; whether that is new.
    fn put_settings(&mut self) -> bool {
        let settings = self.intake.settings();
        let prefixes = &settings.interface_prefixes;
        if *prefixes != self.pipeline.program().settings.interface_prefixes {
            let prefixes: Vec<&str> = prefixes.iter().collect();
            tracing::info!(
                prefixes = prefixes.join(","),
                "interfaces that begin so are workloads', and cut off where no workload is known"
            );
        }
        self.pipeline.put_settings(settings)
    }

    /// What follows from an attempt to put things in force: true when it worked.
    fn absorb(&mut self, attempt: Result<Applied, PipelineError>, begun_us: u64) -> bool {
        let now_ms = self.clock.now_ms();
        match attempt {
            Ok(applied) => {
                self.timers.succeeded();
                self.timers.changed(now_ms);
                self.blocked = None;
                self.applied = Some(self.intake.revision());
                if applied.transactions > 0 {
                    self.counts.last_change_us = Some(self.clock.now_us() - begun_us);
                    self.judge_connections();
                }
                self.soiled();
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn failed(&mut self, error: &PipelineError) {
        let now_ms = self.clock.now_ms();
        let at_ms = match error {
            PipelineError::Exhausted(exhausted) => exhausted.retry_at_ms,
            PipelineError::Dataplane(_) => None,
        };
        self.timers.failed(now_ms, at_ms);
        let text = chain(error);
        if self
            .blocked
            .as_ref()
            .is_none_or(|(before, _)| *before != text)
        {
            tracing::error!(
                error = text,
                "changes are not in force; the policy before them is, trying again"
            );
        }
        let since = self.blocked.take().map(|(_, since)| since);
        self.blocked = Some((text, since.unwrap_or_else(Clock::unix_ms)));
    }
}

fn listen_links(error: LinkError) -> AgentError {
    AgentError::Listen {
        what: "changes of interfaces",
        source: std::io::Error::other(error),
    }
}

/// Whether a change is of what policies say; the others are of whom they mean.
fn is_policy(change: &Change) -> bool {
    match change {
        Change::Tier(..) | Change::Policy(..) => true,
        Change::Endpoint(..)
        | Change::HostEndpoint(..)
        | Change::Interface(..)
        | Change::NetworkSet(..)
        | Change::Node(..)
        | Change::Profile(..)
        | Change::Slice(..) => false,
    }
}

/// The stages over the kernel's tables of the calling thread's network namespace.
pub(crate) fn open_pipeline(options: &Options) -> Result<Pipeline, AgentError> {
    let settings = options.settings();
    let dataplane = Dataplane::open(settings.clone(), options.table_owner);
    let dataplane = dataplane.map_err(AgentError::Dataplane)?;
    Ok(Pipeline::new(options.node.as_str(), &settings, dataplane))
}
