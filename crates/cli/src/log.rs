//! `oncilla log`: which flows were denied, by which rule, as agents tell it, and what the staged policies would do.
//!
//! ```text
//! agents' sockets ──lines──▶ filter by place ──(staged: verdict over the server's objects)──▶ lines
//! ```

use std::io::{self, IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use oncilla_agent::flow_sockets;
use oncilla_flows::Record;
use oncilla_kernel::process::has_reader;
use oncilla_net::{Verdict, family_of};
use oncilla_store::rest::Client;
use oncilla_verdict::{Evaluator, Hop, Party, Question, Staged, Way};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::args::{Format, Global, Log};
use crate::connect;
use crate::exit::Exit;
use crate::print;
use crate::signals::Stop;
use crate::why::input;
use crate::why::traffic::Traffic;

/// Records that wait to be printed.
const QUEUE_MAX: usize = 1_024;
/// How long an agent may take to tell what it keeps.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon an agent that went away is looked for again.
const RETRY: Duration = Duration::from_millis(500);
/// How often it is looked whether anybody still reads what is printed.
const READER_CHECK: Duration = Duration::from_millis(250);
/// The server's objects are not listed more often than this for new revisions.
const LIST_GAP: Duration = Duration::from_secs(2);

/// Prints the last denied flows; with `--follow` also those to come.
pub(crate) fn run(global: &Global, arguments: &Log) -> Exit {
    if let Some(Format::Yaml | Format::Wide | Format::Name) = arguments.output {
        print::error(
            "log prints lines of text, or with -o json one object a line",
            None,
        );
        return Exit::CannotJudge;
    }
    let server = match connect::socket(global) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    let sockets = flow_sockets(&server).unwrap_or_default();
    if sockets.is_empty() {
        let folder = server.parent().unwrap_or(&server).display().to_string();
        print::error(
            &format!("no agent tells its denied flows in {folder}"),
            Some("start one with `oncilla agent --node NAME`, or a cluster with `oncilla lab up`"),
        );
        return Exit::CannotJudge;
    }
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print::error(&format!("cannot start a runtime: {error}"), None);
            return Exit::CannotJudge;
        }
    };
    runtime.block_on(async {
        let mut reading = Reading {
            arguments,
            names_nodes: sockets.len() > 1,
            judge: Judge::new(Client::unix(&server)),
        };
        if arguments.follow {
            reading.follow(sockets).await
        } else {
            reading.last(&sockets).await
        }
    })
}

/// A record as `-o json` prints it (`docs/log.schema.json`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a Record,
    text: String,
    /// The verdict if the staged policies were set, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    staged: Option<&'static str>,
}

struct Reading<'a> {
    arguments: &'a Log,
    /// Which node a line is of is said when there are several.
    names_nodes: bool,
    judge: Judge,
}

impl Reading<'_> {
    /// What agents keep, oldest first.
    async fn last(&mut self, sockets: &[(String, PathBuf)]) -> Exit {
        let (mut records, mut exit) = (Vec::new(), Exit::Done);
        for (node, socket) in sockets {
            match timeout(PATIENCE, kept(socket)).await {
                Ok(Ok(found)) => records.extend(found),
                Ok(Err(error)) => exit = silent(node, &error.to_string()),
                Err(_late) => exit = silent(node, "no answer"),
            }
        }
        records.sort_by_key(|record| record.unix_ms);
        for record in records {
            if self.say(&record).await.is_err() {
                break;
            }
        }
        exit
    }

    /// What agents keep and what they tell from now on, until somebody interrupts or nobody reads.
    async fn follow(&mut self, sockets: Vec<(String, PathBuf)>) -> Exit {
        let Ok(mut stop) = Stop::listen() else {
            print::error("cannot listen to signals", None);
            return Exit::CannotJudge;
        };
        let (told, mut records) = mpsc::channel(QUEUE_MAX);
        let mut tasks = JoinSet::new();
        for (node, socket) in sockets {
            tasks.spawn(forward(node, socket, told.clone()));
        }
        drop(told);
        loop {
            tokio::select! {
                () = stop.told() => return Exit::Interrupted,
                () = sleep(READER_CHECK) => {
                    if !io::stdout().is_terminal() && !has_reader(io::stdout()) {
                        return Exit::Done;
                    }
                }
                record = records.recv() => {
                    let Some(record) = record else { return Exit::Done };
                    if self.say(&record).await.is_err() {
                        return Exit::Done;
                    }
                }
            }
        }
    }

    /// Prints a record that is asked for. An error: nobody reads any more.
    async fn say(&mut self, record: &Record) -> io::Result<()> {
        let places = &self.arguments.places;
        if !places.is_empty() && !places.iter().any(|place| is_about(record, place)) {
            return Ok(());
        }
        let staged = self.judge.staged(record).await;
        let text = match staged {
            Some(verdict) => format!("{record}; {verdict} if the staged policies were set"),
            None => record.to_string(),
        };
        let line = if self.arguments.output.is_some() {
            let line = Line {
                record,
                text,
                staged,
            };
            serde_json::to_string(&line).map_err(io::Error::other)?
        } else if self.names_nodes {
            format!("{}  {text}", record.node)
        } else {
            text
        };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()
    }
}

fn silent(node: &str, why: &str) -> Exit {
    print::note(&format!("node {node} tells nothing: {why}"));
    Exit::Partly
}

/// Whether a record is about a place: a node, a pod with or without its namespace, or an address.
fn is_about(record: &Record, place: &str) -> bool {
    if let Some(node) = place.strip_prefix("node:") {
        return record.node == node;
    }
    [&record.source, &record.destination]
        .into_iter()
        .any(|end| {
            end.name == place
                || end.address == place
                || end.name.split(" or ").any(|name| {
                    name == place || name.split_once('/').is_some_and(|(_, pod)| pod == place)
                })
        })
}

type Told = Lines<BufReader<UnixStream>>;

async fn connected(socket: &PathBuf) -> io::Result<Told> {
    Ok(BufReader::new(UnixStream::connect(socket).await?).lines())
}

/// What an agent keeps: up to the empty line.
async fn kept(socket: &PathBuf) -> io::Result<Vec<Record>> {
    let mut lines = connected(socket).await?;
    let mut records = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if line.is_empty() {
            break;
        }
        records.extend(serde_json::from_str::<Record>(&line));
    }
    Ok(records)
}

/// Hands on what an agent tells. What one that was started again keeps is new: it keeps nothing from before.
async fn forward(node: String, socket: PathBuf, told: mpsc::Sender<Record>) {
    loop {
        if let Ok(mut lines) = connected(&socket).await {
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(record) = serde_json::from_str(&line) else {
                    continue;
                };
                if told.send(record).await.is_err() {
                    return;
                }
            }
            print::note(&format!(
                "node {node}: its agent is gone; waiting for the next one"
            ));
        }
        sleep(RETRY).await;
    }
}

/// What the staged policies would do, by what the server holds.
struct Judge {
    client: Client,
    evaluator: Option<(Evaluator, Staged)>,
    /// The newest revision that a record named when the objects were listed, and when that was.
    listed: Option<(u64, Instant)>,
}

impl Judge {
    fn new(client: Client) -> Self {
        Self {
            client,
            evaluator: None,
            listed: None,
        }
    }

    /// The verdict if the staged policies were set, where that is another one.
    async fn staged(&mut self, record: &Record) -> Option<&'static str> {
        self.list(record.revision.unwrap_or_default()).await;
        let (evaluator, staged) = self.evaluator.as_ref()?;
        let question = question(record)?;
        let enforced = evaluator.explain(&question).ok()?;
        let answer = staged.explain(&question, &enforced).ok()?.answer;
        (answer.verdict == Verdict::Allow).then_some("allow")
    }

    async fn list(&mut self, revision: u64) {
        let is_fresh = self
            .listed
            .is_some_and(|(known, at)| known >= revision || at.elapsed() < LIST_GAP);
        if is_fresh {
            return;
        }
        self.evaluator = match input::list(&self.client).await {
            Ok(world) => {
                let staged = Staged::new(&world.cluster);
                let some = !staged.policies().is_empty();
                some.then(|| (Evaluator::new(&world.cluster), staged))
            }
            // Without the server there is still the log.
            Err(_away) => None,
        };
        self.listed = Some((revision, Instant::now()));
    }
}

/// What was denied, as a question; by address, as the kernel judges.
fn question(record: &Record) -> Option<Question> {
    let address = |text: &str| text.parse::<IpAddr>().ok();
    let (source, destination) = (
        address(&record.source.address)?,
        address(&record.destination.address)?,
    );
    let traffic: Traffic = record.traffic.parse().ok()?;
    let (source, destination) = (Party::Address(source), Party::Address(destination));
    let family = family_of(address(&record.destination.address)?);
    let question = crate::why::question(&source, &destination, family, traffic);
    Some(Question {
        way: way(record),
        ..question
    })
}

/// The way of a packet, as far as its node knew it. One between two that nobody has was only passed on.
fn way(record: &Record) -> Way {
    if record.host.is_none() {
        return Way::default();
    }
    let (in_by, out_by) = (record.in_interface.clone(), record.out_interface.clone());
    let ends = [&record.source, &record.destination];
    if ends.iter().all(|end| end.name == end.address) {
        let node = record.node.clone();
        return Way {
            through: vec![Hop {
                node,
                in_by,
                out_by,
            }],
            ..Way::default()
        };
    }
    Way {
        in_by,
        out_by,
        ..Way::default()
    }
}

#[cfg(test)]
mod tests {
    use oncilla_flows::{AtHost, Blame, End, Record};
    use oncilla_verdict::Way;

    use super::{is_about, question};

    fn record() -> Record {
        let end = |name: &str, address: &str| End {
            name: name.to_owned(),
            address: address.to_owned(),
        };
        Record {
            unix_ms: 1,
            node: "n1".to_owned(),
            verdict: "deny".to_owned(),
            source: end("red/web", "10.65.0.1"),
            destination: end("198.51.100.1", "198.51.100.1"),
            traffic: "tcp/80".to_owned(),
            direction: "egress".to_owned(),
            blame: Blame::NoProfile,
            host: None,
            in_interface: Some("eth1".to_owned()),
            out_interface: Some("eth2".to_owned()),
            count: 1,
            seconds: 0,
            revision: None,
            lost: 0,
        }
    }

    #[test]
    fn places_are_nodes_pods_and_addresses() {
        for place in ["red/web", "web", "10.65.0.1", "198.51.100.1", "node:n1"] {
            assert!(is_about(&record(), place), "{place}");
        }
        for place in ["blue/web", "we", "red", "10.65.0.2", "node:n2", "n1", ""] {
            assert!(!is_about(&record(), place), "{place}");
        }
    }

    #[test]
    fn a_record_is_a_question_again() {
        let asked = question(&record()).unwrap();
        assert_eq!(asked.destination_port, 80);
        let mut other = record();
        other.traffic = "icmp/8".to_owned();
        assert!(question(&other).unwrap().icmp.is_some());
        other.source.address = "nowhere".to_owned();
        assert_eq!(question(&other), None);
    }

    #[test]
    fn at_a_host_the_interfaces_are_part_of_the_question() {
        assert_eq!(question(&record()).unwrap().way, Way::default());
        let mut at_host = record();
        at_host.host = Some(AtHost {
            endpoint: "n1-eth1".to_owned(),
            chain: "forward".to_owned(),
        });
        let way = question(&at_host).unwrap().way;
        assert_eq!(way.in_by.as_deref(), Some("eth1"));
        assert_eq!(way.out_by.as_deref(), Some("eth2"));
        // Nobody's packet is asked of the node that passes it on.
        at_host.source.name = at_host.source.address.clone();
        let way = question(&at_host).unwrap().way;
        let [hop] = way.through.as_slice() else {
            panic!("{way:?}");
        };
        assert_eq!(
            (hop.node.as_str(), hop.in_by.as_deref()),
            ("n1", Some("eth1"))
        );
        assert_eq!(way.in_by, None);
    }
}
