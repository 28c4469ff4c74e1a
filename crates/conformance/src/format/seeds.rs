//! Scenarios with manifests beside them, probes with the deciding rule, and matrices.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use oncilla_api::Object;
use oncilla_net::{Direction, Family, Protocol, Verdict, family_of};
use oncilla_verdict::Party;
use serde::Deserialize;
use serde_json::Value;

use super::objects::object;
use super::{FormatError, protocol_and_port, read_bytes};
use crate::case::{Case, Cell, Change, DecidedBy, Step, Suite};

/// What marks a party as a host.
const HOST_PREFIX: &str = "host:";

#[derive(Deserialize)]
pub(super) struct Scenarios {
    #[serde(default)]
    matrix_cols: BTreeMap<String, Vec<String>>,
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    id: String,
    title: String,
    cluster: PathBuf,
    steps: Vec<RawStep>,
}

#[derive(Deserialize)]
struct RawStep {
    step: u64,
    title: String,
    #[serde(default)]
    apply: Vec<PathBuf>,
    #[serde(default)]
    delete: Vec<PathBuf>,
    result: Outcome,
    #[serde(default)]
    error_contains: String,
    #[serde(default)]
    probes: Vec<Probe>,
    #[serde(default)]
    matrix: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Accepted,
    Rejected,
}

#[derive(Deserialize)]
struct Probe {
    src: String,
    dst: String,
    proto: String,
    port: u16,
    #[serde(default = "four")]
    family: u8,
    expect: Expect,
    decided_by: RawDecidedBy,
    #[serde(default)]
    before: Vec<String>,
}

const fn four() -> u8 {
    4
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
struct RawDecidedBy {
    at: String,
    direction: RawDirection,
    chain: Option<String>,
    tier: Option<String>,
    policy: Option<String>,
    rule: Value,
    #[serde(default)]
    isolated_by: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawDirection {
    Ingress,
    Egress,
}

pub(super) fn read(path: &Path, file: &Scenarios) -> Result<Suite, FormatError> {
    let folder = Folder {
        path: path.parent().unwrap_or(Path::new("")).to_owned(),
    };
    let mut suite = Suite::default();
    for scenario in &file.scenarios {
        let meaningless = |message: String| FormatError::Meaningless {
            path: path.to_owned(),
            message: format!("scenario {}: {message}", scenario.id),
        };
        let cols = file
            .matrix_cols
            .iter()
            .find_map(|(cluster, cols)| (Path::new(cluster) == scenario.cluster).then_some(cols))
            .map_or(&[][..], Vec::as_slice);
        let objects = folder.cluster(&scenario.cluster)?;
        let mut steps = Vec::with_capacity(scenario.steps.len());
        for raw in &scenario.steps {
            let step = folder.step(raw, cols)?;
            steps.push(step.map_err(&meaningless)?);
        }
        suite.cases.push(Case {
            name: format!("{} {}", scenario.id, scenario.title),
            objects,
            steps,
        });
    }
    Ok(suite)
}

/// The folder of the case file: every path in the file starts here.
struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The documents of a manifest file.
    fn documents(&self, file: &Path) -> Result<Vec<Value>, FormatError> {
        let path = self.path.join(file);
        let bytes = read_bytes(&path)?;
        let yaml = |message| FormatError::Yaml {
            path: path.clone(),
            message,
        };
        let text = String::from_utf8(bytes).map_err(|error| yaml(error.to_string()))?;
        // As the product reads manifests: `on` and `n` are texts.
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_multiple_with_options(&text, options)
            .map_err(|error| yaml(error.to_string()))
    }

    fn cluster(&self, file: &Path) -> Result<Vec<Object>, FormatError> {
        let documents = self.documents(file)?.into_iter();
        let objects = documents.map(object).collect::<Result<_, String>>();
        objects.map_err(|message| FormatError::Meaningless {
            path: self.path.join(file),
            message,
        })
    }

    /// A step; the inner error is about the case file itself.
    fn step(&self, raw: &RawStep, cols: &[String]) -> Result<Result<Step, String>, FormatError> {
        let mut delete = Vec::new();
        for file in &raw.delete {
            delete.extend(self.documents(file)?);
        }
        let mut apply = Vec::new();
        for file in &raw.apply {
            apply.extend(self.documents(file)?);
        }
        let delete = delete
            .into_iter()
            .map(|document| object(document).map(|object| Change::Delete(object.key())));
        let apply = apply
            .into_iter()
            .map(|document| object(document).map(Change::Apply));
        let refused_with = (raw.result == Outcome::Rejected).then(|| raw.error_contains.clone());
        let cells = cells(raw, cols);
        Ok(cells.map(|cells| Step {
            name: format!("step {} ({})", raw.step, raw.title),
            changes: delete.chain(apply).collect(),
            refused_with,
            cells,
        }))
    }
}

fn cells(raw: &RawStep, cols: &[String]) -> Result<Vec<Cell>, String> {
    let mut cells = Vec::new();
    for probe in &raw.probes {
        cells.push(probe_cell(probe)?);
    }
    for (service, rows) in &raw.matrix {
        matrix_cells(service, rows, cols, &mut cells)?;
    }
    Ok(cells)
}

fn probe_cell(probe: &Probe) -> Result<Cell, String> {
    let protocol = Protocol::from_name(&probe.proto)
        .ok_or_else(|| format!("unknown protocol {:?} in a probe", probe.proto))?;
    let family = match probe.family {
        4 => Family::V4,
        6 => Family::V6,
        other => return Err(format!("unknown family {other} in a probe")),
    };
    let raw = &probe.decided_by;
    let rule = match &raw.rule {
        Value::String(word) => word.clone(),
        other => other.to_string(),
    };
    Ok(Cell {
        source: party(&probe.src),
        destination: party(&probe.dst),
        protocol,
        port: probe.port,
        family,
        expect: match probe.expect {
            Expect::Allow => Verdict::Allow,
            Expect::Deny => Verdict::Deny,
        },
        decided_by: Some(DecidedBy {
            at: raw.at.clone(),
            direction: match raw.direction {
                RawDirection::Ingress => Direction::Ingress,
                RawDirection::Egress => Direction::Egress,
            },
            chain: raw.chain.clone(),
            tier: raw.tier.clone(),
            policy: raw.policy.clone(),
            rule,
            isolated_by: raw.isolated_by.clone(),
        }),
        before: Some(probe.before.clone()),
    })
}

/// The cells of one protocol and port; `TCP/80/ipv6` has the columns of pods only.
fn matrix_cells(
    service: &str,
    rows: &BTreeMap<String, String>,
    cols: &[String],
    cells: &mut Vec<Cell>,
) -> Result<(), String> {
    let (name, ipv6) = match service.strip_suffix("/ipv6") {
        Some(name) => (name, true),
        None => (service, false),
    };
    let (protocol, port) = protocol_and_port(name)
        .ok_or_else(|| format!("{service:?} is no protocol and port, as in TCP/80"))?;
    let cols: Vec<&String> = cols
        .iter()
        .filter(|col| !ipv6 || matches!(party(col), Party::Pod { .. }))
        .collect();
    for (from, row) in rows {
        if row.chars().count() != cols.len() {
            return Err(format!(
                "row {from:?} of {service} has not one character a column"
            ));
        }
        for (to, mark) in cols.iter().zip(row.chars()) {
            let expect = match mark {
                '.' => Verdict::Allow,
                'X' => Verdict::Deny,
                '-' => continue,
                other => return Err(format!("row {from:?} has the unknown mark {other:?}")),
            };
            let (source, destination) = (party(from), party(to));
            cells.push(Cell {
                family: if ipv6 {
                    Family::V6
                } else {
                    family(&source, &destination)
                },
                source,
                destination,
                protocol,
                port,
                expect,
                decided_by: None,
                before: None,
            });
        }
    }
    Ok(())
}

/// An address, `namespace/pod` or `host:NODE`.
fn party(text: &str) -> Party {
    match (text.parse::<IpAddr>(), text.split_once('/')) {
        (Ok(address), _) => Party::Address(address),
        (Err(_), Some((namespace, name))) => Party::pod(namespace, name),
        (Err(_), None) => Party::Node(text.trim_start_matches(HOST_PREFIX).to_owned()),
    }
}

/// An outside address has one family; pods talk IPv4 unless told otherwise.
fn family(source: &Party, destination: &Party) -> Family {
    let of = |party: &Party| match party {
        Party::Address(address) => Some(family_of(*address)),
        Party::Pod { .. } | Party::Node(_) => None,
    };
    of(source).or(of(destination)).unwrap_or(Family::V4)
}
