//! An agent's stages on the caller's thread: what it does with an event, without the threads, clocks and
//! timers around it. For benches.

use std::error::Error;

use oncilla_api::ObjectKey;
use oncilla_dataplane::Applied;
use oncilla_model::Change;
use oncilla_store::{Revision, StoredObject};

use crate::enforcer::open_pipeline;
use crate::follow::News;
use crate::intake::Intake;
use crate::options::Options;
use crate::pipeline::Pipeline;

/// The time between two events, in milliseconds.
const EVENT_MS: u64 = 1;

/// One node's intake and pipeline. Lives in the network namespace it was opened in.
#[derive(Debug)]
pub struct Street {
    intake: Intake,
    pipeline: Pipeline,
    changes: Vec<Change>,
    now_ms: u64,
}

impl Street {
    /// Opens the kernel's tables, and puts these objects in force as a first complete list.
    ///
    /// # Errors
    /// Without the right to, or when the kernel refuses.
    pub fn start(
        options: &Options,
        objects: impl IntoIterator<Item = StoredObject>,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let pipeline = open_pipeline(options)?;
        let mut street = Self {
            intake: Intake::new(options),
            pipeline,
            changes: Vec::new(),
            now_ms: 0,
        };
        for object in objects {
            street
                .intake
                .take(News::Applied(object), 0, &mut street.changes);
        }
        street.put()?;
        Ok(street)
    }

    /// An object as a follower hands it over, in force when this returns.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn applied(
        &mut self,
        object: StoredObject,
    ) -> Result<Applied, Box<dyn Error + Send + Sync>> {
        self.intake
            .take(News::Applied(object), self.now_ms, &mut self.changes);
        self.put()
    }

    /// The end of an object, in force when this returns.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn deleted(
        &mut self,
        key: ObjectKey,
        revision: Revision,
    ) -> Result<Applied, Box<dyn Error + Send + Sync>> {
        self.intake
            .take(News::Deleted(key, revision), self.now_ms, &mut self.changes);
        self.put()
    }

    fn put(&mut self) -> Result<Applied, Box<dyn Error + Send + Sync>> {
        self.now_ms += EVENT_MS;
        self.pipeline.put_settings(self.intake.settings());
        let changes = std::mem::take(&mut self.changes);
        Ok(self.pipeline.apply(&changes, self.now_ms)?)
    }
}
