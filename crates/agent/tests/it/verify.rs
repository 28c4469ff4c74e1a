//! `verify` against a real kernel: nothing wrong is found where nothing is, and each hand-made corruption is named.

use oncilla_agent::{AgentState, Fault, TableOwner, Verified, verify};
use oncilla_api::{Kind, ObjectKey};
use oncilla_store::StoredObject;
use serde_json::json;

use super::field::policy;
use super::harness::World;

/// Everything in the store.
fn objects(world: &World) -> Vec<StoredObject> {
    let all = Kind::ALL
        .into_iter()
        .flat_map(|kind| world.store.list(kind, None).unwrap().objects);
    all.collect()
}

pub(super) fn look(world: &World) -> Verified {
    let (options, objects) = (world.options(TableOwner::Off), objects(world));
    world
        .netns
        .run(move || verify(&options, objects, 7))
        .unwrap()
        .unwrap()
}

/// A node whose agent enforced three policies, settled and ended, so that nobody repairs.
fn settled() -> World {
    let world = World::new();
    let agent = world.agent(TableOwner::Off);
    world.wait("first", |status| status.state == AgentState::Enforcing);
    world.allow_a("allow-a");
    let np = |name: &str| ObjectKey::namespaced(Kind::NetworkPolicy, "team", name);
    let spec = json!({ "order": 5, "selector": "app == 'b'", "ingress": [
        { "action": "Deny", "protocol": "TCP", "source": { "selector": "app == 'a'" },
          "destination": { "ports": [90] } },
        { "action": "Deny", "protocol": "TCP", "source": { "notSelector": "app == 'a'" },
          "destination": { "notPorts": [81] } } ] });
    world.create(&np("mixed"), policy(&spec));
    let nets = json!({ "selector": "app == 'a'", "egress": [
        { "action": "Allow", "destination": { "nets": ["192.0.2.0/24"] } }] });
    let revision = world.create(&np("nets"), policy(&nets));
    let seen = world.in_force(revision).updated_unix_ms;
    // The next sign of life comes after a quiet time: leftovers are gone then.
    world.wait("sign of life", |status| {
        status.updated_unix_ms > seen + 2_000
    });
    agent.stop();
    world
}

/// One corruption by the user's own tool, and what must be said of it.
struct Corruption {
    what: &'static str,
    /// Arguments of `nft`; `{set}`, `{chain}`, `{element}` and `{handle}` were looked up.
    commands: Vec<String>,
    fault: Fault,
    /// Parts of the one finding.
    says: Vec<String>,
    /// Whether packets must be judged otherwise.
    misjudges: bool,
}

/// The word of a listing that begins so.
fn word(table: &str, begin: &str) -> String {
    let mut words = table.split_whitespace();
    let found = words.find(|word| word.starts_with(begin));
    found
        .unwrap_or_else(|| panic!("no {begin} in {table}"))
        .to_owned()
}

/// The chain of the group that judges what `b` gets, from its dispatch element.
fn chain_of_b(table: &str) -> String {
    let (_, rest) = table.split_once("map to_wl {").unwrap();
    let line = rest.lines().find(|line| line.contains("goto ")).unwrap();
    let (_, rest) = line.split_once("goto ").unwrap();
    rest.split([' ', ',', '}'])
        .next()
        .unwrap()
        .trim()
        .to_owned()
}

/// A set of a bank that denies by class, protocol and port, and its element for port 90.
fn element_of_bank(table: &str) -> (String, String) {
    let (before, rest) = table.split_once("_k1d {").unwrap();
    let name = before.split_whitespace().next_back().unwrap();
    let (_, rest) = rest.split_once("elements = {").unwrap();
    let (elements, _) = rest.split_once('}').unwrap();
    let mut elements = elements.split(',').map(str::trim);
    let element = elements.find(|element| element.ends_with(". 90")).unwrap();
    (format!("{name}_k1d"), element.to_owned())
}

fn corruption(
    what: &'static str,
    commands: &[String],
    fault: Fault,
    says: &[&str],
    misjudges: bool,
) -> Corruption {
    Corruption {
        what,
        commands: commands.to_vec(),
        fault,
        says: says.iter().map(|text| (*text).to_owned()).collect(),
        misjudges,
    }
}

fn corruptions(table: &str, last_rule: &str) -> Vec<Corruption> {
    let mut all = of_addresses(table);
    all.extend(of_workloads(table));
    all.extend(of_rules(table, last_rule));
    all.extend(of_strangers());
    all
}

fn of_addresses(table: &str) -> Vec<Corruption> {
    let class = super::harness::class_of(table, "10.65.0.1").unwrap();
    vec![
        corruption(
            "an address without its class",
            &["delete element inet oncilla addr4 { 10.65.0.1 }".to_owned()],
            Fault::Missing,
            &["set addr4", "10.65.0.1 : class ", "address to class"],
            true,
        ),
        corruption(
            "an address with another one's class",
            &[format!(
                "add element inet oncilla addr4 {{ 198.51.100.7 : {class} }}"
            )],
            Fault::Foreign,
            &["set addr4", "198.51.100.7 : class "],
            true,
        ),
    ]
}

fn of_workloads(table: &str) -> Vec<Corruption> {
    let chain = chain_of_b(table);
    let interface = word(table.split_once("map to_wl {").unwrap().1, "\"cali")
        .trim_matches(['"', ',', '{'])
        .to_owned();
    vec![
        corruption(
            "a workload sent elsewhere",
            &[
                format!("delete element inet oncilla to_wl {{ \"{interface}\" }}"),
                format!("add element inet oncilla to_wl {{ \"{interface}\" : goto done }}"),
            ],
            Fault::Changed,
            &[
                "set to_wl",
                &format!("{interface} : goto done"),
                "not ",
                &chain,
            ],
            true,
        ),
        corruption(
            "a workload that no policy is asked for",
            &[format!(
                "add element inet oncilla open_in {{ \"{interface}\" }}"
            )],
            Fault::Foreign,
            &["set open_in", &interface],
            true,
        ),
    ]
}

fn of_rules(table: &str, last_rule: &str) -> Vec<Corruption> {
    let chain = chain_of_b(table);
    let (set, element) = element_of_bank(table);
    vec![
        corruption(
            "an entry of a bank deleted",
            &[format!("delete element inet oncilla {set} {{ {element} }}")],
            Fault::Missing,
            &[
                &format!("set {set}"),
                " . tcp . 90",
                "deny for ingress, team/b",
            ],
            // The end of the tier denies it too.
            false,
        ),
        corruption(
            "an entry of a bank for another port",
            &[format!(
                "add element inet oncilla {set} {{ {} }}",
                element.replace("90", "80")
            )],
            Fault::Foreign,
            &[
                &format!("set {set}"),
                " . tcp . 80",
                "deny for ingress, team/b",
            ],
            true,
        ),
        corruption(
            "a rule before ours",
            &[format!(
                "insert rule inet oncilla {chain} tcp dport 80 return"
            )],
            Fault::Foreign,
            &[&format!("chain {chain}"), "rule 0, return before", "team/b"],
            true,
        ),
        corruption(
            "a rule of ours deleted",
            &[format!(
                "delete rule inet oncilla {chain} handle {last_rule}"
            )],
            Fault::Missing,
            &[
                &format!("chain {chain}"),
                "\"end of tier\" goto deny_in",
                "team/b",
            ],
            true,
        ),
    ]
}

fn of_strangers() -> Vec<Corruption> {
    vec![
        corruption(
            "a chain of a stranger",
            &["add chain inet oncilla mine".to_owned()],
            Fault::Foreign,
            &["chain mine", "no chain of ours"],
            false,
        ),
        corruption(
            "an interface that nobody knows let in",
            &["add element inet oncilla open_out { \"cali12345\" }".to_owned()],
            Fault::Foreign,
            &["set open_out", "cali12345"],
            true,
        ),
    ]
}

#[test]
fn every_corruption_is_found_and_named() {
    let world = settled();
    let clean = look(&world);
    assert_eq!((clean.findings.as_slice(), clean.misjudged), (&[][..], 0));
    assert_eq!(
        (clean.packets, clean.judged, clean.endpoints),
        (oncilla_agent::PACKETS, oncilla_agent::PACKETS, 2)
    );
    let table = world.nft(&["list", "table", "inet", "oncilla"]).unwrap();
    let saved = world.nft(&["-s", "list", "ruleset"]).unwrap();
    let chain = chain_of_b(&table);
    for number in 0..corruptions(&table, "").len() {
        // Numbers of rules are new after each restoration.
        let listed = world.nft(&["-a", "list", "chain", "inet", "oncilla", &chain]);
        let listed = listed.unwrap();
        let end = listed
            .lines()
            .find(|line| line.contains("end of tier"))
            .unwrap();
        let (_, handle) = end.split_once("# handle ").unwrap();
        let corruption = corruptions(&table, handle.trim()).remove(number);
        let what = corruption.what;
        for command in &corruption.commands {
            assert!(world.nft(&[command.trim()]).is_some(), "{what}: {command}");
        }
        let found = look(&world);
        assert!(!found.is_same(), "{what}");
        let texts: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
        let is_it = |finding: &oncilla_agent::Finding| {
            let text = finding.to_string();
            finding.fault == corruption.fault
                && corruption
                    .says
                    .iter()
                    .all(|part| text.contains(part.as_str()))
        };
        assert!(found.findings.iter().any(is_it), "{what}: {texts:#?}");
        assert_eq!(
            found.misjudged > 0,
            corruption.misjudges,
            "{what}: {texts:#?}"
        );
        // As it was.
        assert!(world.nft(&["flush", "ruleset"]).is_some());
        restore(&world, &saved);
        let again = look(&world);
        assert!(again.is_same(), "{what}: {:#?}", again.findings);
    }
    assert!(world.nft(&["delete", "table", "inet", "oncilla"]).is_some());
    let gone = look(&world);
    assert_eq!(gone.findings.len(), 1);
    assert!(
        gone.findings[0]
            .to_string()
            .contains("missing: table inet oncilla")
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user's own tool puts back what it listed"
)]
pub(super) fn restore(world: &World, text: &str) {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let mut command = Command::new("nft");
    command.args(["-f", "/dev/stdin"]).stdin(Stdio::piped());
    let mut child = world.netns.run(move || command.spawn()).unwrap().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}
