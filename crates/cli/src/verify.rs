//! `oncilla verify`: whether the kernel of this node holds what the server's objects mean, object by object and packet
//! by packet. It reads only, beside a running agent or without one. What others have in nf_tables is told; it makes a
//! difference where it takes from ours what it judges by, and with `--strict` also where it may drop what policy allows.

use anyhow::{Context as _, Result};
use oncilla_agent::{EndpointToHost, Finding, Misjudged, Options, Verified};
use oncilla_api::Kind;
use oncilla_net::Verdict;
use oncilla_store::StoredObject;
use oncilla_store::rest::{Client, Collection, RestError};
use serde::Serialize;

use crate::agent::mask;
use crate::args::{self, Format, Global, HostAction};
use crate::connect;
use crate::exit::Exit;
use crate::print;

/// Verifies: 0 the same, 1 different (with `--strict` also: not alone), 2 could not judge.
pub(crate) fn run(global: &Global, arguments: &args::Verify) -> Exit {
    if let Some(Format::Wide | Format::Name) = arguments.output {
        print::error(
            "verify prints text, or a value with -o json or -o yaml",
            None,
        );
        return Exit::CannotJudge;
    }
    connect::with_client(global, async |client| {
        let objects = match list(client).await {
            Ok(objects) => objects,
            Err(error) => {
                connect::failed(error);
                return Exit::CannotJudge;
            }
        };
        answer(global, arguments, objects).unwrap_or_else(|error| {
            print::error(&format!("{error:#}"), None);
            Exit::CannotJudge
        })
    })
}

async fn list(client: &Client) -> Result<Vec<StoredObject>, RestError> {
    let mut objects = Vec::new();
    for kind in Kind::ALL {
        objects.extend(client.list(&Collection::of(kind)).await?.objects);
    }
    Ok(objects)
}

fn answer(global: &Global, arguments: &args::Verify, objects: Vec<StoredObject>) -> Result<Exit> {
    let node = arguments.node.parse().context("--node")?;
    let mut options = Options::new(node, "");
    let prefixes = arguments.interface_prefix.parse();
    options.interface_prefixes = prefixes.context("--interface-prefix")?;
    options.mark_mask = mask(&arguments.mark_mask)
        .with_context(|| format!("--mark-mask {}", arguments.mark_mask))?;
    options.endpoint_to_host = match arguments.endpoint_to_host {
        HostAction::Drop => EndpointToHost::Drop,
        HostAction::Accept => EndpointToHost::Accept,
        HostAction::Return => EndpointToHost::Return,
    };
    let verified = oncilla_agent::verify(&options, objects, arguments.seed)?;
    let report = Report::new(&arguments.node, &verified);
    let text = match arguments.output {
        Some(Format::Yaml) => print::yaml(&report)?,
        Some(_json) => print::json(&report)?,
        None if global.quiet => report.headline(),
        None => report.text(),
    };
    Ok(match print::answer(&text) {
        Exit::Done if !verified.is_same() => Exit::No,
        Exit::Done if arguments.strict && verified.beside().next().is_some() => Exit::No,
        exit => exit,
    })
}

/// What `-o json` prints (`docs/verify.schema.json`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    node: String,
    same: bool,
    endpoints: usize,
    findings: Vec<FindingReport>,
    /// How many of the findings are what others have beside ours.
    beside: usize,
    packets: usize,
    judged: usize,
    misjudged: usize,
    examples: Vec<Example>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingReport {
    fault: String,
    object: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    part: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    meaning: String,
    text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Example {
    endpoint: String,
    direction: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    way: String,
    source: String,
    destination: String,
    protocol: String,
    source_port: u16,
    destination_port: u16,
    expected: &'static str,
    found: &'static str,
    /// Whether the program of the store's policy is wrong too: then the fault is not the kernel's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    engine: bool,
}

impl Report {
    fn new(node: &str, verified: &Verified) -> Self {
        Self {
            node: node.to_owned(),
            same: verified.is_same(),
            endpoints: verified.endpoints,
            findings: { verified.differences().chain(verified.beside()) }
                .map(finding)
                .collect(),
            beside: verified.beside().count(),
            packets: verified.packets,
            judged: verified.judged,
            misjudged: verified.misjudged,
            examples: verified.examples.iter().map(example).collect(),
        }
    }

    fn headline(&self) -> String {
        let Self {
            node, endpoints, ..
        } = self;
        let packets = self.packets + self.judged;
        let beside = match self.beside {
            0 => String::new(),
            some => format!("; others beside it: {some}, none of which lets more through"),
        };
        if self.same {
            return format!(
                "node {node}: the kernel holds what the store says ({endpoints} endpoints, {packets} packets judged alike){beside}"
            );
        }
        format!(
            "node {node}: DIFFERENT: {} findings, {} of {packets} packets judged otherwise{beside}",
            self.findings.len() - self.beside,
            self.misjudged,
        )
    }

    fn text(&self) -> String {
        let mut lines = vec![self.headline()];
        lines.extend(
            self.findings
                .iter()
                .map(|finding| format!("  {}", finding.text)),
        );
        lines.extend(self.examples.iter().map(|packet| {
            let way = match packet.way.as_str() {
                "" => String::new(),
                way => format!(" ({way})"),
            };
            let engine = if packet.engine {
                ", a fault of oncilla itself: please report it"
            } else {
                ""
            };
            format!(
                "  {} for {}{way}: {} -> {} {}/{}: {}, not {}{engine}",
                packet.direction,
                packet.endpoint,
                packet.source,
                packet.destination,
                packet.protocol,
                packet.destination_port,
                packet.found,
                packet.expected
            )
        }));
        if !self.same {
            lines.push(
                "next: an agent mends its own table: `oncilla status`, `oncilla agent --node NAME`"
                    .to_owned(),
            );
        }
        lines.join("\n")
    }
}

fn finding(finding: &Finding) -> FindingReport {
    FindingReport {
        fault: finding.fault.to_string(),
        object: finding.object.clone(),
        part: finding.part.clone(),
        meaning: finding.meaning.clone(),
        text: finding.to_string(),
    }
}

fn example(misjudged: &Misjudged) -> Example {
    let word = |verdict| match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
    };
    let packet = &misjudged.packet;
    Example {
        endpoint: misjudged.endpoint.clone(),
        direction: misjudged.direction.to_string(),
        way: misjudged.way.clone(),
        source: packet.src.to_string(),
        destination: packet.dst.to_string(),
        protocol: packet.protocol.to_string(),
        source_port: packet.src_port,
        destination_port: packet.dst_port,
        expected: word(misjudged.expected),
        found: word(misjudged.found),
        engine: misjudged.meant != misjudged.expected,
    }
}
