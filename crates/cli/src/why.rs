//! `oncilla why`: whether a packet gets through, and which rule decides.
//!
//! ```text
//! files or server ──input──▶ World ──place, traffic──▶ verdict::Evaluator ──report──▶ text or JSON
//! ```

pub(crate) mod input;
mod internet;
pub(crate) mod place;
pub(crate) mod report;
pub(crate) mod rule;
pub(crate) mod staged;
#[cfg(test)]
mod tests;
pub(crate) mod text;
pub(crate) mod traffic;
pub(crate) mod unread;
pub(crate) mod world;

use std::net::IpAddr;

use anyhow::{Result, bail};
use oncilla_net::Family;
use oncilla_verdict::{Evaluator, Hop, Party, Question, QuestionError, Staged, Way};

use crate::args::{self, Format, Global};
use crate::connect;
use crate::diagnostics::{Reporter, Verb};
use crate::exit::Exit;
use crate::files;
use crate::print;
use internet::INTERNET;
use place::Place;
use report::{Explained, Report};
use staged::StagedReport;
use traffic::Traffic;
use unread::CannotSay;
use world::World;

/// Where a client's ports usually come from; only rules on source ports could tell.
const SOURCE_PORT: u16 = 49_152;
const INTERNET_NOTE: &str = "internet is any address outside of the cluster that no policy and no set names; \
    ask for an address that one names to have that judged";

/// Who asks what.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) source: Place,
    pub(crate) destination: Place,
    pub(crate) traffic: Traffic,
    pub(crate) ipv6: bool,
    pub(crate) way: Way,
}

/// Answers one question: 0 allowed, 1 denied, 2 cannot say.
pub(crate) fn run(global: &Global, arguments: &args::Why) -> Exit {
    let asked = match asked(arguments) {
        Ok(asked) => asked,
        Err(error) => return refuse(&error),
    };
    if arguments.files.is_empty() {
        return connect::with_client(global, async |client| match input::list(client).await {
            Ok(world) => answer(global, arguments, &asked, &world),
            Err(error) => {
                connect::failed(error);
                print::note("to judge files without a server, name them: oncilla why -f FILES …");
                Exit::CannotJudge
            }
        });
    }
    let reporter = Reporter::new(global, None);
    match files::load(&arguments.files, None, &reporter, Verb::Judged) {
        Ok(objects) => answer(global, arguments, &asked, &World::of_files(objects)),
        // Invalid files are no answer; 1 would say "denied".
        Err(_told) => Exit::CannotJudge,
    }
}

fn asked(arguments: &args::Why) -> Result<Asked> {
    if let Some(Format::Wide | Format::Name) = arguments.output {
        bail!("why prints text, or the answer as a value with -o json or -o yaml");
    }
    Ok(Asked {
        source: arguments.source.parse()?,
        destination: arguments.destination.parse()?,
        traffic: arguments.traffic.parse()?,
        ipv6: arguments.ipv6,
        way: Way {
            out_by: arguments.out_by.clone(),
            in_by: arguments.in_by.clone(),
            through: arguments
                .through
                .iter()
                .map(|text| hop(text))
                .collect::<Result<_>>()?,
            original: arguments.sent_to,
            first_out_by: None,
        },
    })
}

/// `NODE`, or `NODE:IN:OUT` with the interfaces.
fn hop(text: &str) -> Result<Hop> {
    let words: Vec<&str> = text.split(':').collect();
    let (node, interfaces) = match words.as_slice() {
        [node] => (*node, None),
        [node, from, to] => (*node, Some((*from, *to))),
        _ => bail!("{text:?} is no node: write NODE, or NODE:IN:OUT, as in n1:eth0:eth1"),
    };
    Ok(Hop {
        node: node.to_owned(),
        in_by: interfaces.map(|(from, _)| from.to_owned()),
        out_by: interfaces.map(|(_, to)| to.to_owned()),
    })
}

fn answer(global: &Global, arguments: &args::Why, asked: &Asked, world: &World) -> Exit {
    let staged = arguments.staged.then(|| Staged::new(&world.cluster));
    let evaluator = Evaluator::new(&world.cluster);
    let report = match asked.judge_with(world, &evaluator, staged.as_ref()) {
        Ok(report) => report,
        Err(error) => return refuse(&error),
    };
    let text = match arguments.output {
        Some(Format::Yaml) => print::yaml(&report),
        Some(_json) => print::json(&report),
        None if global.quiet => Ok(text::headline(&report)),
        None => Ok(text::full(&report)),
    };
    match text.map(|text| print::answer(&text)) {
        Ok(Exit::Done) if report.is_denied() => Exit::No,
        Ok(exit) => exit,
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &anyhow::Error) -> Exit {
    print::error(&format!("{error:#}"), None);
    Exit::CannotJudge
}

impl Asked {
    /// The answer, or why there is none.
    pub(crate) fn judge(&self, world: &World, evaluator: &Evaluator) -> Result<Report> {
        self.judge_with(world, evaluator, None)
    }

    /// [`Self::judge`], and what the staged policies would change.
    fn judge_with(
        &self,
        world: &World,
        evaluator: &Evaluator,
        staged: Option<&Staged>,
    ) -> Result<Report> {
        let places = [&self.source, &self.destination];
        let unread = || world.unread.iter();
        let meant: Vec<_> = unread().filter(|one| one.may_be_meant(places)).collect();
        CannotSay::because(&meant)?;
        let family = self.family();
        let source = self.source.sender(world, family)?;
        let meant = self.destination.receivers(world, family)?;
        let traffic = self.traffic.of_family(family);
        let mut answers = Vec::with_capacity(meant.parties.len());
        for destination in &meant.parties {
            let bearing = unread().filter(|one| one.may_bear_on(&source, destination));
            CannotSay::because(&bearing.collect::<Vec<_>>())?;
            let question = Question {
                way: self.way.clone(),
                ..question(&source, destination, family, traffic)
            };
            let answer = evaluator
                .explain(&question)
                .map_err(|error| helped(error, world))?;
            let mut explained = Explained::new(&answer, world, traffic);
            if let Some(staged) = staged {
                let changed = staged
                    .explain(&question, &answer)
                    .map_err(|error| helped(error, world))?;
                explained.staged = Some(StagedReport::new(&changed, &answer, world, traffic));
            }
            for (place, end) in [
                (&self.source, &mut explained.source),
                (&self.destination, &mut explained.destination),
            ] {
                if *place == Place::Internet {
                    INTERNET.clone_into(&mut end.name);
                }
            }
            answers.push(explained);
        }
        let service = meant.service.as_ref().map(oncilla_api::ObjectKey::path);
        let mut report = Report::new(answers, traffic, service);
        report.notes.clone_from(&world.notes);
        let left_out = unread();
        report.notes.extend(
            left_out.map(|unread| format!("{unread} cannot be understood; it has no say in this")),
        );
        report
            .notes
            .extend(staged.iter().copied().flat_map(staged::notes));
        if places.contains(&&Place::Internet) {
            report.notes.push(INTERNET_NOTE.to_owned());
        }
        report.notes.extend(meant.note(world, traffic));
        Ok(report)
    }

    /// The family of an address that was named, else the one asked for.
    fn family(&self) -> Family {
        let v6 = |place: &Place| matches!(place, Place::Address(IpAddr::V6(_)));
        if self.ipv6 || v6(&self.source) || v6(&self.destination) {
            Family::V6
        } else {
            Family::V4
        }
    }
}

/// What the judge is asked about a new connection.
pub(crate) fn question(
    source: &Party,
    destination: &Party,
    family: Family,
    traffic: Traffic,
) -> Question {
    let with_ports = traffic.protocol.has_ports();
    Question {
        way: Way::default(),
        source: source.clone(),
        destination: destination.clone(),
        family,
        protocol: traffic.protocol,
        source_port: if with_ports { SOURCE_PORT } else { 0 },
        destination_port: traffic.port,
        icmp: traffic.icmp,
    }
}

/// What to do about a question without an answer.
fn helped(error: QuestionError, world: &World) -> anyhow::Error {
    let help = match &error {
        QuestionError::NoAddress {
            party: Party::Pod { namespace, name },
            family,
        } => {
            let key = oncilla_api::ObjectKey::namespaced(oncilla_api::Kind::Pod, namespace, name);
            match (world.node_of(&key), family) {
                (None, _) => {
                    format!("no node runs it yet; see `oncilla get pod -n {namespace} {name}`")
                }
                (Some(_), Family::V4) => "ask for IPv6 with -6 if it has only that".to_owned(),
                (Some(_), Family::V6) => "ask without -6 for IPv4".to_owned(),
            }
        }
        QuestionError::NoAddress { .. } => "see `oncilla get nodes -o yaml`".to_owned(),
        QuestionError::OtherFamily { .. } => "both ends need one family".to_owned(),
        _ => return error.into(),
    };
    anyhow::anyhow!("{error}; {help}")
}
