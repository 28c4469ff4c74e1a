//! `oncilla status`: nodes, pods, agents, and what is not in force as written.

mod json;
mod kernel;
mod report;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oncilla_api::Kind;
use oncilla_store::StoredObject;
use oncilla_store::rest::{Client, Collection, RestError};
use tokio::time::{Instant, sleep};

use crate::args::{Format, Global, Status};
use crate::connect;
use crate::exit::Exit;
use crate::print;
use report::Report;

/// Agents say within a tenth of this that something new is in force; who needs longer is behind.
const SETTLE_MAX: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Shows the state: 0 when all enforce without problems, 1 when one does not, is behind or has problems, 2 when nobody answers.
pub(crate) fn run(global: &Global, arguments: &Status) -> Exit {
    if arguments.kernel {
        return kernel::run(global);
    }
    connect::with_client(global, async |client| match settled(client).await {
        Ok(report) => show(&report, global, arguments.output),
        Err(error) => {
            connect::failed(error);
            Exit::CannotJudge
        }
    })
}

/// What is the case, looked at again while agents take in what was written a moment ago.
async fn settled(client: &Client) -> Result<Report, RestError> {
    let end = Instant::now() + SETTLE_MAX;
    loop {
        let report = read(client).await?;
        if !report.is_catching_up() || Instant::now() >= end {
            return Ok(report);
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn read(client: &Client) -> Result<Report, RestError> {
    let mut newest = 0;
    let mut nodes: Vec<StoredObject> = Vec::new();
    let mut pods: Vec<StoredObject> = Vec::new();
    for kind in Kind::ALL {
        let listed = client.list(&Collection::of(kind)).await?.objects;
        if kind == Kind::Node {
            // Agents write into nodes all the time: no agent has to follow that.
            nodes = listed;
            continue;
        }
        let revisions = listed.iter().map(|object| object.revision.0);
        newest = revisions.fold(newest, u64::max);
        if kind == Kind::Pod {
            pods = listed;
        }
    }
    Ok(Report::new(&nodes, &pods, newest, unix_ms()))
}

fn show(report: &Report, global: &Global, output: Option<Format>) -> Exit {
    let text = match output {
        Some(Format::Json) => print::json(report),
        Some(Format::Yaml) => print::yaml(report),
        Some(Format::Name) => Ok(report.names()),
        Some(Format::Wide) => Ok(report.text(true)),
        None if global.quiet => Ok(report.headline()),
        None => Ok(report.text(false)),
    };
    match text.map(|text| print::answer(&text)) {
        Ok(Exit::Done) if report.healthy => Exit::Done,
        Ok(Exit::Done) => Exit::No,
        Ok(exit) => exit,
        Err(error) => {
            print::error(&format!("{error:#}"), None);
            Exit::CannotJudge
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the edge: the age of a report is now minus then"
)]
fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
