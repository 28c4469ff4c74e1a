//! The agent's life: two threads, from the start to the end of the process.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use oncilla_dataplane::{Dataplane, TableOwner};
use oncilla_program::Settings;
use oncilla_store::rest::Client;
use rustix::thread::{CapabilitySet, capabilities};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::enforcer::{Enforcer, Inputs};
use crate::error::AgentError;
use crate::flow_log::{self, QUEUE_RECORDS_MAX, flow_socket};
use crate::follow::{self, QUEUE_NEWS_MAX};
use crate::options::Options;
use crate::publish::publish;
use crate::wake::Wake;

/// How long the last report may take: a store that is away must not keep an agent from ending.
const LAST_REPORT_MAX: Duration = Duration::from_secs(1);

/// Enforces policy in the calling thread's network namespace until `shutdown` is ready: then the
/// transaction under way is finished, what is in the kernel stays in force, and the node's status says so if the
/// store takes it within a second. Blocks; `shutdown` is polled inside a tokio runtime.
///
/// # Errors
/// [`AgentError`]: nothing was changed then, or the kernel keeps the last policy.
pub fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    require_capability()?;
    let start = |what| move |source| AgentError::Start { what, source };
    let wake = Arc::new(Wake::new().map_err(start("an event counter"))?);
    let stop = Arc::new(AtomicBool::new(false));
    let (news, inbox) = mpsc::channel(QUEUE_NEWS_MAX);
    let (statuses, latest) = watch::channel(None);
    let client = Client::unix(&options.server);
    let node = options.node.to_string();
    let inputs = Inputs {
        news: inbox,
        wake: Arc::clone(&wake),
        stop: Arc::clone(&stop),
        has_more: false,
    };
    let (records, recorded) = mpsc::channel(QUEUE_RECORDS_MAX);
    let flow_socket = flow_socket(&options.server, &node);
    let enforcer = Enforcer::open(options, inputs, statuses, records)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(start("a runtime"))?;
    let (ending, mut ended) = oneshot::channel::<()>();
    let policy = thread::Builder::new()
        .name("policy".to_owned())
        .spawn(move || {
            let result = enforcer.run();
            drop(ending);
            result
        })
        .map_err(start("the policy thread"))?;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        follow::start(&client, &news, &wake, &mut tasks);
        let mut publishing = JoinSet::new();
        publishing.spawn(publish(client, node, latest));
        tasks.spawn(flow_log::serve(flow_socket, recorded));
        tokio::select! {
            () = shutdown => {
                tracing::info!("stopping; the policy stays in force");
                stop.store(true, Ordering::Release);
                wake.wake();
                drop((&mut ended).await);
            }
            _ended = &mut ended => {}
        }
        if timeout(LAST_REPORT_MAX, publishing.join_next())
            .await
            .is_err()
        {
            tracing::warn!("the store did not take the last report; this node will look stale");
        }
    });
    // A panic was told by its thread.
    policy.join().unwrap_or(Err(AgentError::Ended))
}

/// Removes our table from the calling thread's network namespace: nothing is enforced afterwards.
///
/// # Errors
/// Without the right to, and while an agent owns the table.
pub fn remove() -> Result<(), AgentError> {
    require_capability()?;
    let dataplane = Dataplane::open(Settings::default(), TableOwner::Off);
    let mut dataplane = dataplane.map_err(AgentError::Remove)?;
    dataplane.remove().map_err(AgentError::Remove)
}

fn require_capability() -> Result<(), AgentError> {
    let held = capabilities(None).map_err(|errno| AgentError::Start {
        what: "reading our own capabilities",
        source: io::Error::from(errno),
    })?;
    if held.effective.contains(CapabilitySet::NET_ADMIN) {
        Ok(())
    } else {
        Err(AgentError::Capability)
    }
}
