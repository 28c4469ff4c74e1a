//! `oncilla status`: nodes, pods, agents, and what is not in force as written.

mod kernel;
mod report;

use std::time::{SystemTime, UNIX_EPOCH};

use oncilla_api::Kind;
use oncilla_store::StoredObject;
use oncilla_store::rest::{Client, Collection, RestError};

use crate::args::{Format, Global, Status};
use crate::connect;
use crate::exit::Exit;
use crate::print;
use report::Report;

/// Shows the state: 0 when all enforce without problems, 1 when one is stale or has problems, 2 when nobody answers.
pub(crate) fn run(global: &Global, arguments: &Status) -> Exit {
    if arguments.kernel {
        return kernel::run(global);
    }
    connect::with_client(global, async |client| match read(client).await {
        Ok(report) => show(&report, global, arguments.output),
        Err(error) => {
            connect::failed(error);
            Exit::CannotJudge
        }
    })
}

async fn read(client: &Client) -> Result<Report, RestError> {
    let mut newest = 0;
    let mut nodes: Vec<StoredObject> = Vec::new();
    let mut pods = 0;
    for kind in Kind::ALL {
        let listed = client.list(&Collection::of(kind)).await?.objects;
        if kind == Kind::Pod {
            pods = listed.len();
        }
        match kind {
            // Agents write into nodes all the time: no agent has to follow that.
            Kind::Node => nodes = listed,
            _ => {
                newest = listed
                    .iter()
                    .map(|object| object.revision.0)
                    .fold(newest, u64::max);
            }
        }
    }
    Ok(Report::new(&nodes, pods, newest, unix_ms()))
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
