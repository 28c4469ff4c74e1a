//! When things are due, in milliseconds of the agent's clock.

/// How long after a flip its leftovers stay: packets on their way may still meet them.
pub(crate) const CLEAN_AFTER_MS: u64 = 100;
/// Leftovers older than this go before further changes are taken.
pub(crate) const CLEAN_LATEST_MS: u64 = 2_000;
/// Connections are looked at as soon as something changed, but not again for this long: further changes of
/// that time share one look…
pub(crate) const REVOKE_GAP_MS: u64 = 200;
/// …and not before this many times as long as the last look took.
pub(crate) const REVOKE_SHARE: u64 = 4;
/// How long it must be quiet before classes are merged.
pub(crate) const SETTLE_AFTER_MS: u64 = 250;
/// Without a quiet moment classes are merged this long after the first change.
pub(crate) const SETTLE_LATEST_MS: u64 = 5_000;
/// The status is written at least this often.
pub(crate) const HEARTBEAT_MS: u64 = 5_000;
/// The first pause after a failure; each further one doubles it.
pub(crate) const RETRY_MIN_MS: u64 = 100;
/// The longest pause after failures.
pub(crate) const RETRY_MAX_MS: u64 = 30_000;
/// The first pause before the log of denied packets is opened again; each further one doubles it.
pub(crate) const LOG_RETRY_MIN_MS: u64 = 250;
/// The longest pause before that.
pub(crate) const LOG_RETRY_MAX_MS: u64 = 60_000;
/// The table is read back at least this long after the last time…
pub(crate) const VERIFY_MIN_MS: u64 = 30_000;
/// …and at least this many times as long as reading took.
pub(crate) const VERIFY_SHARE: u64 = 200;
/// Foreign changes are undone at once, but at most this often a second.
pub(crate) const REPAIRS_PER_SECOND_MAX: usize = 10;

/// When things are due; `None`: never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timers {
    pub(crate) clean: Option<u64>,
    /// Before this no change is refused for the sake of cleaning.
    pub(crate) clean_latest: Option<u64>,
    pub(crate) settle: Option<u64>,
    pub(crate) settle_latest: Option<u64>,
    pub(crate) revoke: Option<u64>,
    pub(crate) retry: Option<u64>,
    pub(crate) repair: Option<u64>,
    pub(crate) verify: Option<u64>,
    pub(crate) heartbeat: Option<u64>,
    /// Interfaces are listed again.
    pub(crate) links: Option<u64>,
    /// Failures in a row.
    pub(crate) failures: u32,
}

impl Timers {
    /// When the next thing is due.
    pub(crate) fn next(&self) -> Option<u64> {
        [
            self.clean,
            self.settle,
            self.revoke,
            self.retry,
            self.repair,
            self.verify,
            self.heartbeat,
            self.links,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Something was put in force.
    pub(crate) fn changed(&mut self, now_ms: u64) {
        let latest = *self.settle_latest.get_or_insert(now_ms + SETTLE_LATEST_MS);
        self.settle = Some(latest.min(now_ms + SETTLE_AFTER_MS));
    }

    /// Leftovers were made.
    pub(crate) fn soiled(&mut self, now_ms: u64) {
        self.clean = Some(now_ms + CLEAN_AFTER_MS);
        self.clean_latest.get_or_insert(now_ms + CLEAN_LATEST_MS);
    }

    /// Leftovers are gone.
    pub(crate) fn cleaned(&mut self) {
        self.clean = None;
        self.clean_latest = None;
    }

    /// Whether leftovers must go before further changes are taken.
    pub(crate) fn must_clean(&self, now_ms: u64) -> bool {
        self.clean_latest.is_some_and(|at| at <= now_ms)
    }

    /// Something failed: when to try again, at `at_ms` at the earliest.
    pub(crate) fn failed(&mut self, now_ms: u64, at_ms: Option<u64>) {
        let pause = (RETRY_MIN_MS << self.failures.min(16)).min(RETRY_MAX_MS);
        self.failures = self.failures.saturating_add(1);
        self.retry = Some(at_ms.unwrap_or_default().max(now_ms + pause));
    }

    /// It worked.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.retry = None;
    }
}

/// Takes a timer that is due.
pub(crate) fn take_due(timer: &mut Option<u64>, now_ms: u64) -> bool {
    let due = timer.is_some_and(|at| at <= now_ms);
    if due {
        *timer = None;
    }
    due
}
