//! `oncilla status --kernel`: what the kernel holds, with class numbers replaced by what they mean.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use oncilla_api::Kind;
use oncilla_kernel::nf_tables::{Socket, TableState};
use oncilla_lab::Lab;
use oncilla_net::{Direction, Mark, MarkMask, Protocol};
use oncilla_nft::object::{Comment, Expr, KeyPart, Rule, Set};
use oncilla_nft::{
    BankSetName, ChainPlace, Destination, FilledChain, FilledSet, GroupChainName, Ruleset, TABLE,
    adopt,
};
use oncilla_program::{ClassId, RuleVerdict};
use oncilla_store::rest::{Client, Collection, RestError};

use crate::args::Global;
use crate::connect;
use crate::exit::Exit;
use crate::lab::labs;
use crate::print;

/// Members of a class that are named; the rest is counted.
const MEMBERS_SHOWN: usize = 12;

/// Prints the table of this node, or of every node of a lab.
pub(crate) fn run(global: &Global) -> Exit {
    let shown = match lab(global) {
        Ok(Some(lab)) => every_node(&lab),
        Ok(None) => here(global),
        Err(error) => Err(error),
    };
    shown.unwrap_or_else(|error| {
        print::error(&format!("{error:#}"), None);
        Exit::CannotJudge
    })
}

/// The lab that is meant, when one is: a socket that was named is asked about names only.
fn lab(global: &Global) -> Result<Option<Lab>> {
    match (&global.server, &global.lab) {
        (Some(_), _) => Ok(None),
        (None, Some(name)) => Ok(Some(labs().find(name)?)),
        (None, None) => {
            let mut running = labs().running()?;
            Ok(if running.len() == 1 {
                running.pop()
            } else {
                None
            })
        }
    }
}

/// Entering a node changes a process for good, so each node gets one of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "one process a node, when a person asks"
)]
fn every_node(lab: &Lab) -> Result<Exit> {
    let program = std::env::current_exe().context("this executable")?;
    for (index, node) in lab.status()?.nodes.iter().enumerate() {
        let gap = if index == 0 { "" } else { "\n" };
        print::answer(&format!("{gap}node {}", node.name));
        let status = Command::new(&program)
            .args([
                "lab",
                "exec",
                "--name",
                lab.name(),
                &format!("node:{}", node.name),
                "--",
            ])
            .arg(&program)
            .args(["status", "--kernel", "--server"])
            .arg(lab.socket())
            .status()
            .context("looking at a node")?;
        if !status.success() {
            return Ok(Exit::CannotJudge);
        }
    }
    Ok(Exit::Done)
}

fn here(global: &Global) -> Result<Exit> {
    let mut socket = Socket::open().context("nf_tables cannot be asked")?;
    let read = socket.read_table(TABLE);
    let state = read.context("the table cannot be read; root (CAP_NET_ADMIN) is needed")?;
    let Some(state) = state else {
        print::answer(
            "there is no table oncilla in this network namespace: nothing is enforced here",
        );
        print::note(
            "next: oncilla agent --node NAME, or look at a lab: oncilla status --kernel --lab NAME",
        );
        return Ok(Exit::No);
    };
    Ok(print::answer(&render(state, &names(global))))
}

/// The pods of addresses; none when nobody serves, then addresses have to do.
fn names(global: &Global) -> BTreeMap<IpAddr, String> {
    let mut names = BTreeMap::new();
    let Ok(socket) = connect::socket(global) else {
        return names;
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return names;
    };
    let listed = runtime.block_on(pods(&Client::unix(&socket)));
    match listed {
        Ok(listed) => names.extend(listed),
        Err(error) => print::note(&format!("note: pods are not named, {error}")),
    }
    names
}

async fn pods(client: &Client) -> Result<Vec<(IpAddr, String)>, RestError> {
    let mut found = Vec::new();
    for pod in client.list(&Collection::of(Kind::Pod)).await?.objects {
        let ips = pod
            .value
            .pointer("/status/podIPs")
            .and_then(|ips| ips.as_array());
        for ip in ips.into_iter().flatten() {
            let ip = ip.get("ip").and_then(|ip| ip.as_str()?.parse().ok());
            found.extend(ip.map(|ip| (ip, pod.key.path())));
        }
    }
    Ok(found)
}

/// The table as text.
pub(super) fn render(state: TableState, names: &BTreeMap<IpAddr, String>) -> String {
    let ruleset = ruleset(state);
    let mask = mask(&ruleset);
    let adopted = adopt(&ruleset, mask);
    let mut members: BTreeMap<ClassId, BTreeSet<String>> = BTreeMap::new();
    let addresses = &adopted.addresses;
    let hosts4 = addresses
        .hosts4
        .iter()
        .map(|(ip, class)| (IpAddr::from(ip), *class));
    let hosts6 = addresses
        .hosts6
        .iter()
        .map(|(ip, class)| (IpAddr::from(*ip), *class));
    for (ip, class) in hosts4.chain(hosts6) {
        let name = names.get(&ip).cloned().unwrap_or_else(|| ip.to_string());
        members.entry(class).or_default().insert(name);
    }
    let nets4 = addresses
        .nets4
        .iter()
        .map(|(net, class)| (net.to_string(), *class));
    let nets6 = addresses
        .nets6
        .iter()
        .map(|(net, class)| (net.to_string(), *class));
    for (net, class) in nets4.chain(nets6) {
        members.entry(class).or_default().insert(net);
    }
    let reader = Reader {
        ruleset: &ruleset,
        mask,
        members,
    };
    let mut lines = vec![format!("table inet {TABLE}")];
    lines.extend(reader.endpoints(&adopted.dispatch));
    lines.extend(reader.groups());
    lines.join("\n")
}

fn ruleset(state: TableState) -> Ruleset {
    let mut ruleset = Ruleset::new(state.table.table);
    for (name, (set, elements)) in state.sets {
        let elements = elements.into_iter().collect();
        ruleset.sets.insert(name, FilledSet { set, elements });
    }
    let mut rules = state.rules;
    for (name, listed) in state.chains {
        let rules = rules.remove(&name).unwrap_or_default();
        let rules = rules.into_iter().map(|listed| listed.rule).collect();
        let chain = listed.chain;
        ruleset.chains.insert(name, FilledChain { chain, rules });
    }
    ruleset
}

/// Our mark bits: those that the chain `done` clears. An agent may have been started with others than usual.
fn mask(ruleset: &Ruleset) -> MarkMask {
    let done = ruleset
        .chains
        .get("done")
        .into_iter()
        .flat_map(|chain| &chain.rules);
    let kept = done
        .flat_map(|rule| &rule.exprs)
        .find_map(|expr| match expr {
            Expr::Bitwise { mask, .. } => {
                Some(u32::from_ne_bytes(mask.as_bytes().try_into().ok()?))
            }
            _ => None,
        });
    kept.and_then(|foreign| MarkMask::new(!foreign).ok())
        .unwrap_or_default()
}

struct Reader<'a> {
    ruleset: &'a Ruleset,
    mask: MarkMask,
    members: BTreeMap<ClassId, BTreeSet<String>>,
}

impl Reader<'_> {
    /// What became of every interface, with the names that the elements carry.
    fn endpoints(&self, dispatch: &BTreeMap<(Direction, Arc<str>), Destination>) -> Vec<String> {
        let mut lines = vec![String::new(), "endpoints".to_owned()];
        let names = self.endpoint_names();
        for ((direction, interface), destination) in dispatch {
            let name = names.get(&**interface).map_or("", String::as_str);
            let goes = match destination {
                Destination::Open => "no policy".to_owned(),
                Destination::Group(group, version) => {
                    format!("group {group}, version {}", version.0)
                }
                Destination::Foreign(chain) => format!("NOT OURS: {chain}"),
            };
            let direction = direction.to_string();
            lines.push(
                format!("  {interface:<16} {direction:<8} {goes:<28} {name}")
                    .trim_end()
                    .to_owned(),
            );
        }
        lines
    }

    fn endpoint_names(&self) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        for set in ["from_wl", "to_wl", "open_in", "open_out"] {
            let Some(filled) = self.ruleset.sets.get(set) else {
                continue;
            };
            for element in &filled.elements {
                let parts = filled.set.key.parts(element.key()).unwrap_or_default();
                if let ([KeyPart::IfName(interface)], Some(comment)) =
                    (parts.as_slice(), element.comment_text())
                {
                    names.insert(interface.to_string(), comment.as_str().to_owned());
                }
            }
        }
        names
    }

    /// The chains of groups in order, each with what its sets decide and the rules behind them.
    fn groups(&self) -> Vec<String> {
        let mut chains: Vec<(GroupChainName, &FilledChain)> = self
            .ruleset
            .chains
            .iter()
            .filter_map(|(name, chain)| Some((GroupChainName::parse(name)?, chain)))
            .collect();
        chains.sort_by(|(a, _), (b, _)| {
            let key = |n: &GroupChainName| (n.group.clone(), n.direction, n.version, n.place);
            key(a).cmp(&key(b))
        });
        let mut lines = Vec::new();
        for (name, chain) in chains {
            let place = match name.place {
                ChainPlace::Tier(number) => format!("tier {number}"),
                ChainPlace::Profiles => "profiles".to_owned(),
            };
            lines.push(String::new());
            lines.push(format!(
                "group {}, {}, version {}, {place}",
                name.group, name.direction, name.version.0
            ));
            lines.extend(
                chain
                    .chain
                    .comment
                    .as_ref()
                    .map(|text| format!("  # {}", text.as_str())),
            );
            for rule in &chain.rules {
                lines.extend(self.rule(rule));
            }
        }
        lines
    }

    fn rule(&self, rule: &Rule) -> Vec<String> {
        let mut lines = Vec::new();
        let mut others = Vec::new();
        for name in rule.sets() {
            let Some(filled) = self.ruleset.sets.get(name) else {
                continue;
            };
            match BankSetName::parse(name) {
                Some(bank) => lines.extend(self.bank(bank.verdict, filled)),
                None => others.push(self.named_set(&filled.set)),
            }
        }
        // A rule with a comment stands for one that somebody wrote; the others only find the way.
        if let Some(comment) = &rule.comment {
            let sets = match others.as_slice() {
                [] => String::new(),
                sets => format!("   [{}]", sets.join("; ")),
            };
            let leads = match rule.chains().next() {
                Some(chain) => format!(" -> {chain}"),
                None => String::new(),
            };
            lines.push(format!("  rule   {}{leads}{sets}", comment.as_str()));
        }
        lines
    }

    fn named_set(&self, set: &Set) -> String {
        let said = set.comment.as_ref().map_or("", Comment::as_str);
        let classes = self
            .ruleset
            .sets
            .get(&set.name)
            .into_iter()
            .flat_map(|filled| {
                let parts = filled
                    .elements
                    .iter()
                    .filter_map(|e| set.key.parts(e.key()));
                parts.flatten().filter_map(|part| match part {
                    KeyPart::Mark(mark) => Some(self.class(mark)),
                    _ => None,
                })
            });
        let classes: BTreeSet<String> = classes.collect();
        let classes: Vec<String> = classes.into_iter().collect();
        let names = classes.join(", ");
        format!("{}: {said} {names}", set.name)
            .trim_end()
            .to_owned()
    }

    /// `allow  production/frontend  tcp/8000`, one line for each traffic.
    fn bank(&self, verdict: RuleVerdict, filled: &FilledSet) -> Vec<String> {
        // A pod has a class a family: it is named once.
        let mut rows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for element in &filled.elements {
            let parts = filled.set.key.parts(element.key()).unwrap_or_default();
            let mut who = "everybody".to_owned();
            let (mut protocol, mut port) = (None, None);
            for part in parts {
                match part {
                    KeyPart::Mark(mark) => who = self.class(mark),
                    KeyPart::Proto(number) => protocol = Some(Protocol(number)),
                    KeyPart::Port(number) => port = Some(number),
                    _ => {}
                }
            }
            let traffic = match (protocol, port) {
                (Some(protocol), Some(port)) => format!("{protocol}/{port}"),
                (Some(protocol), None) => protocol.to_string(),
                (None, _) => "everything".to_owned(),
            };
            let names = who.split(", ").map(str::to_owned);
            rows.entry(traffic).or_default().extend(names);
        }
        let verdict = format!("{verdict:?}").to_lowercase();
        let rows = rows.into_iter();
        rows.map(|(traffic, who)| {
            format!(
                "  {verdict:<6} {traffic:<12} {}",
                who.into_iter().collect::<Vec<_>>().join(", ")
            )
        })
        .collect()
    }

    /// Who has a class.
    fn class(&self, mark: u32) -> String {
        let class = ClassId(self.mask.decode(Mark(mark)));
        if class == ClassId::UNKNOWN_V4 {
            return "any other IPv4 address".to_owned();
        }
        if class == ClassId::UNKNOWN_V6 {
            return "any other IPv6 address".to_owned();
        }
        let Some(members) = self.members.get(&class) else {
            return format!("(class {}: nobody now)", class.0);
        };
        let shown: Vec<&str> = members
            .iter()
            .take(MEMBERS_SHOWN)
            .map(String::as_str)
            .collect();
        match members.len().saturating_sub(MEMBERS_SHOWN) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }
}
