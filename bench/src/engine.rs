//! The stages wired here, so that `dataplane` can be clocked alone: objects in, kernel out.

use std::collections::BTreeSet;
use std::time::Instant;

use oncilla_api::Object;
use oncilla_compile::Compiler;
use oncilla_dataplane::{Dataplane, TableOwner};
use oncilla_model::{Change, Converter};
use oncilla_program::Settings;
use oncilla_resolve::{Adoption, Limits, Resolver};

/// One node's stages. Lives in the network namespace it was made in.
pub(crate) struct Engine {
    converter: Converter,
    resolver: Resolver,
    compiler: Compiler,
    dataplane: Dataplane,
    now_ms: u64,
}

impl Engine {
    /// Starts a node with these objects.
    pub(crate) fn start(node: &str, objects: &[Object]) -> anyhow::Result<Self> {
        let settings = Settings::default();
        let converter = Converter::default();
        let mut resolver = Resolver::new(
            node,
            Limits {
                mask: settings.mask,
            },
        );
        let mut compiler = Compiler::new(settings.clone());
        let mut dataplane = Dataplane::open(settings, TableOwner::Off)?;
        let mut changes: Vec<Change> = Vec::new();
        for object in objects {
            changes.extend(converter.convert(object)?);
        }
        let adoption = Adoption {
            class_of: &|_| None,
            used: BTreeSet::new(),
        };
        let delta = resolver.load(&changes, &adoption, 0)?;
        compiler.apply(&resolver, &delta);
        dataplane.start(compiler.program())?;
        Ok(Self {
            converter,
            resolver,
            compiler,
            dataplane,
            now_ms: 0,
        })
    }

    /// Takes an object in, or out. Says how long that took in `dataplane`, in microseconds.
    pub(crate) fn event(&mut self, object: &Object, is_there: bool) -> anyhow::Result<f64> {
        self.now_ms += 1;
        let changes = if is_there {
            self.converter.convert(object)?
        } else {
            self.converter.removed(&object.key())
        };
        let delta = self.resolver.apply(&changes, self.now_ms)?;
        let delta = self.compiler.apply(&self.resolver, &delta);
        let start = Instant::now();
        let applied = self.dataplane.apply(&delta, self.compiler.program())?;
        let took = start.elapsed().as_secs_f64() * 1e6;
        let elements = applied.elements;
        anyhow::ensure!(elements == 1, "one pod is one element, not {elements}");
        Ok(took)
    }
}
