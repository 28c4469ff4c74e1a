//! `oncilla server`: owns a store file and serves the API on a unix socket.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use oncilla_apiserver::{Options, bind, serve};
use oncilla_store::EmbeddedStore;
use tokio::runtime::Builder;

use crate::agent::colour;
use crate::args::{Global, Server};
use crate::exit::Exit;
use crate::logging;
use crate::signals;

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(global: &Global, arguments: &Server) -> Exit {
    logging::start(global, colour(global));
    match attempt(arguments) {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::CannotJudge
        }
    }
}

fn attempt(arguments: &Server) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start a runtime")?;
    runtime.block_on(async {
        // The socket first: a server that cannot listen must not leave a store. Who connects meanwhile waits.
        make_folder(&arguments.socket)?;
        let listener = bind(&arguments.socket)?;
        make_folder(&arguments.store)?;
        let store = Arc::new(EmbeddedStore::open(&arguments.store)?);
        tracing::info!(
            socket = %arguments.socket.display(),
            store = %arguments.store.display(),
            "serving"
        );
        let options = Options {
            clock: Arc::new(now),
        };
        serve(store, listener, options, signals::told_to_stop()).await?;
        tracing::info!("stopped; everything that was accepted is in the store");
        Ok(())
    })
}

/// Makes the folder of a file, for its owner only, when there is none.
fn make_folder(file: &Path) -> Result<()> {
    let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "creation timestamps are the time of day"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
