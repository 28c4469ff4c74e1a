//! The stages in their order: resolve, compile, dataplane. No clock: time is an argument.
//!
//! ```text
//!   model changes ─▶ Resolver ─node delta─▶ Compiler ─program delta─▶ Dataplane ─▶ kernel
//! ```
//! A step that failed leaves nothing behind that is forgotten: the next one begins where it stopped.

use std::collections::BTreeMap;

use oncilla_compile::Compiler;
use oncilla_dataplane::{Applied, Dataplane, DataplaneError, Difference};
use oncilla_model::Change;
use oncilla_program::{GroupId, Program, Settings};
use oncilla_resolve::{Adoption, Exhausted, Limits, NodeDelta, Resolver};

use crate::enforcer::Touched;
use crate::hints::{class_of, used};

/// Why a step failed. What was told is not lost; an empty batch tries again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipelineError {
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    #[error(transparent)]
    Dataplane(#[from] DataplaneError),
}

/// The stages of one node.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) resolver: Resolver,
    pub(crate) compiler: Compiler,
    pub(crate) dataplane: Dataplane,
    /// A program was computed: there is something to enforce.
    loaded: bool,
    /// The last write failed: the kernel may hold the program before or after.
    in_doubt: bool,
    /// The groups that the kernel refused, with its words.
    pub(crate) isolated: BTreeMap<GroupId, String>,
    /// What the changes since the last look touched.
    pub(crate) touched: Touched,
}

impl Pipeline {
    pub(crate) fn new(node: &str, settings: &Settings, dataplane: Dataplane) -> Self {
        let limits = Limits {
            mask: settings.mask,
        };
        Self {
            resolver: Resolver::new(node, limits),
            compiler: Compiler::new(settings.clone()),
            dataplane,
            loaded: false,
            in_doubt: false,
            isolated: BTreeMap::new(),
            touched: Touched::default(),
        }
    }

    /// Puts the first complete list in force, on top of what the kernel holds. After [`Exhausted`] it is
    /// called again, without changes.
    pub(crate) fn start(
        &mut self,
        changes: &[Change],
        now_ms: u64,
    ) -> Result<Applied, PipelineError> {
        let hints = self.dataplane.hints();
        let adoption = Adoption {
            class_of: &|net| class_of(&hints, net),
            used: used(&hints),
        };
        let delta = self.resolver.load(changes, &adoption, now_ms)?;
        let _program_delta = self.compiler.apply(&self.resolver, &delta);
        self.loaded = true;
        self.touched.whole = true;
        let done = self.dataplane.start(self.compiler.program());
        self.note(done)
    }

    /// Puts changes in force; without any, finishes what failed before.
    pub(crate) fn apply(
        &mut self,
        changes: &[Change],
        now_ms: u64,
    ) -> Result<Applied, PipelineError> {
        if !self.loaded {
            return self.start(changes, now_ms);
        }
        let delta = self.resolver.apply(changes, now_ms)?;
        self.put(&delta)
    }

    /// Merges classes that became equal. For quiet moments, 100 ms or more after a change.
    pub(crate) fn settle(&mut self, now_ms: u64) -> Result<Applied, PipelineError> {
        let delta = self.resolver.settle(now_ms)?;
        self.put(&delta)
    }

    /// Verifies the kernel and repairs it when it is not as it should be.
    pub(crate) fn repair(&mut self) -> Result<(Vec<Difference>, Applied), PipelineError> {
        let done = self.dataplane.repair(self.compiler.program());
        let (differences, applied) = done.map_or_else(|e| (vec![], Err(e)), |(d, a)| (d, Ok(a)));
        Ok((differences, self.note(applied)?))
    }

    /// Whether another [`Self::settle`] would change nothing.
    pub(crate) fn is_settled(&self) -> bool {
        self.resolver.is_settled()
    }

    /// What should be in force.
    pub(crate) fn program(&self) -> &Program {
        self.compiler.program()
    }

    /// How packets are treated from the next change on; whether that is new.
    pub(crate) fn put_settings(&mut self, settings: &Settings) -> bool {
        let is_new = self.program().settings != *settings;
        if is_new {
            self.compiler.set_settings(settings.clone());
        }
        is_new
    }

    fn put(&mut self, delta: &NodeDelta) -> Result<Applied, PipelineError> {
        let delta = self.compiler.apply(&self.resolver, delta);
        self.touched.add(&delta);
        for group in delta.groups.keys() {
            self.isolated.remove(group);
        }
        let done = if self.in_doubt {
            let repaired = self.dataplane.repair(self.compiler.program());
            repaired.map(|(_, applied)| applied)
        } else {
            self.dataplane.apply(&delta, self.compiler.program())
        };
        self.note(done)
    }

    fn note(&mut self, done: Result<Applied, DataplaneError>) -> Result<Applied, PipelineError> {
        self.in_doubt = done.is_err();
        let applied = done?;
        if applied.replaced {
            self.isolated = applied.isolated.clone();
        }
        Ok(applied)
    }
}
