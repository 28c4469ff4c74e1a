//! `verify` on a node whose own interface is judged: corruptions of what hosts have, and what others have beside ours.

use oncilla_agent::{AgentState, Fault, Finding, TableOwner, Verified};
use oncilla_api::{Kind, ObjectKey};
use serde_json::json;

use super::field::Field;
use super::harness::NODE;
use super::verify::{look, restore};

/// A node with a host endpoint on `eth0`, a pod, policies with keyed and linear rules, and no agent any more.
fn settled() -> Field {
    let field = Field::new(&[("a", json!({ "app": "a" }))]);
    let world = &field.world;
    let own = ObjectKey::cluster(Kind::Node, NODE);
    let addresses = [("InternalIP", "192.168.0.1"), ("InternalIP", "fd01::1")];
    let addresses = addresses.map(|(kind, address)| json!({ "type": kind, "address": address }));
    world.report(&own, &json!({ "addresses": addresses }));
    let agent = world.agent(TableOwner::Off);
    world.wait("first", |status| status.state == AgentState::Enforcing);
    let host = json!({ "metadata": { "name": "n1-eth0", "labels": { "role": "node" } },
        "spec": { "node": NODE, "interfaceName": "eth0", "expectedIPs": ["192.168.0.1"] } });
    world.create(&ObjectKey::cluster(Kind::HostEndpoint, "n1-eth0"), host);
    let gnp = |name: &str| ObjectKey::cluster(Kind::GlobalNetworkPolicy, name);
    let normal = json!({ "spec": { "selector": "role == 'node'", "order": 10,
        "ingress": [
            { "action": "Allow", "protocol": "TCP", "destination": { "ports": [8000] } },
            { "action": "Allow", "protocol": "TCP", "destination": { "ports": ["1000:9000"] } }],
        "egress": [{ "action": "Allow" }], "types": ["Ingress", "Egress"] } });
    world.create(&gnp("normal"), normal);
    let forward = json!({ "spec": { "selector": "role == 'node'", "order": 20, "applyOnForward": true,
        "ingress": [{ "action": "Deny", "protocol": "UDP" },
            { "action": "Allow", "protocol": "TCP", "destination": { "ports": ["10:900"] } }] } });
    world.create(&gnp("forward"), forward);
    let early = json!({ "spec": { "selector": "role == 'node'", "order": 30, "applyOnForward": true,
        "preDNAT": true, "ingress": [{ "action": "Deny", "protocol": "SCTP" }] } });
    world.create(&gnp("early"), early);
    let untracked = json!({ "spec": { "selector": "role == 'node'", "order": 30,
        "applyOnForward": true, "doNotTrack": true,
        "ingress": [{ "action": "Deny", "protocol": "TCP", "destination": { "ports": [5555] } }] } });
    let revision = world.create(&gnp("untracked"), untracked);
    let seen = world.in_force(revision).updated_unix_ms;
    world.wait("sign of life", |status| {
        status.updated_unix_ms > seen + 2_000
    });
    agent.stop();
    field
}

/// What must be said after some commands of the user's own tool.
struct Case {
    what: &'static str,
    commands: Vec<String>,
    fault: Fault,
    says: Vec<String>,
    /// Whether packets must be judged otherwise.
    misjudges: bool,
}

fn case(
    what: &'static str,
    commands: &[&str],
    fault: Fault,
    says: &[&str],
    misjudges: bool,
) -> Case {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Case {
        what,
        commands: texts(commands),
        fault,
        says: texts(says),
        misjudges,
    }
}

/// The chain that a map sends `eth0` to.
fn chain_in(table: &str, map: &str) -> String {
    let (_, rest) = table.split_once(&format!("map {map} {{")).unwrap();
    let (_, rest) = rest.split_once("goto ").unwrap();
    let end = rest.split([' ', ',', '\n', '}']).next().unwrap();
    end.trim().to_owned()
}

/// The rule with the range of ports: its text and its number.
fn linear_rule(field: &Field, chain: &str) -> (String, String) {
    let listed = field
        .world
        .nft(&["-a", "list", "chain", "inet", "oncilla", chain]);
    let listed = listed.unwrap();
    let line = listed
        .lines()
        .find(|line| line.contains("1000-9000"))
        .unwrap();
    let (text, handle) = line.split_once("# handle ").unwrap();
    (text.trim().to_owned(), handle.trim().to_owned())
}

fn cases(field: &Field, table: &str) -> Vec<Case> {
    let chain = chain_in(table, "hep_in");
    let (text, handle) = linear_rule(field, &chain);
    let wider = text.replace("1000-9000", "1000-60000");
    let changed = format!("replace rule inet oncilla {chain} handle {handle} {wider}");
    let before = format!("insert rule inet oncilla {chain} meta l4proto tcp th dport 7 return");
    let accepts = format!("insert rule inet oncilla {chain} tcp dport 7 accept");
    let set = |map| format!("set {map}");
    vec![
        case(
            "a host's element deleted",
            &["delete element inet oncilla hep_in { \"eth0\" }"],
            Fault::Missing,
            &[&set("hep_in"), "eth0 : goto "],
            true,
        ),
        case(
            "a host's forward element deleted",
            &["delete element inet oncilla hep_fwd_in { \"eth0\" }"],
            Fault::Missing,
            &[&set("hep_fwd_in"), "eth0 : goto "],
            true,
        ),
        case(
            "a host's untracked element deleted",
            &["delete element inet oncilla hep_raw_in { \"eth0\" }"],
            Fault::Missing,
            &[&set("hep_raw_in"), "eth0 : goto "],
            true,
        ),
        case(
            "a failsafe deleted",
            &["delete element inet oncilla failsafe_in { udp . 68 }"],
            Fault::Missing,
            &[
                &set("failsafe_in"),
                "udp . 68",
                "ports that no policy closes",
            ],
            true,
        ),
        case(
            "a host's linear rule changed",
            &[&changed],
            Fault::Foreign,
            &[&format!("chain {chain}"), "rule "],
            true,
        ),
        case(
            "a rule before a host's",
            &[&before],
            Fault::Foreign,
            &[&format!("chain {chain}"), "rule 0, return before"],
            true,
        ),
        case(
            "a rule that accepts for everybody behind",
            &[&accepts],
            Fault::Foreign,
            &[&format!("chain {chain}"), "rule 0, accept before"],
            true,
        ),
    ]
}

/// Tables of others: what breaks ours is a difference, what only narrows is told.
fn others() -> Vec<Case> {
    let table = |family: &str, hook: &str, rule: &str| {
        vec![
            format!("add table {family} other"),
            format!("add chain {family} other c {{ type filter hook {hook} ; }}"),
            format!("add rule {family} other c {rule}"),
        ]
    };
    let case = |what, commands: Vec<String>, fault, says: &[&str]| {
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        case(what, &commands, fault, says, false)
    };
    vec![
        case(
            "a table of IPv4 that drops before ours",
            table("ip", "forward priority -5", "tcp dport 80 drop"),
            Fault::Beside,
            &[
                "table ip other, chain c: rule 0, drop",
                "before ours: may drop what policy allows",
            ],
        ),
        case(
            "a table of both families that accepts before ours",
            table("inet", "forward priority -5", "tcp dport 80 accept"),
            Fault::Beside,
            &["table inet other, chain c", "ours is asked all the same"],
        ),
        case(
            "a bridge that drops",
            table("bridge", "forward priority 0", "drop"),
            Fault::Beside,
            &["table bridge other, chain c", "on bridges, before ours"],
        ),
        case(
            "connections that are not followed",
            table("ip6", "prerouting priority -300", "udp dport 53 notrack"),
            Fault::Foreign,
            &[
                "table ip6 other, chain c: rule 0, notrack",
                "answers are judged as if they were new",
            ],
        ),
        case(
            "our mark flushed",
            table("ip", "prerouting priority -200", "meta mark set 0"),
            Fault::Foreign,
            &[
                "table ip other, chain c",
                "our bits of the mark, 0xffff0000",
            ],
        ),
        case(
            "addresses rewritten behind ours",
            table("ip", "postrouting priority 0", "ip daddr set 192.0.2.1"),
            Fault::Foreign,
            &["table ip other, chain c", "addresses or ports"],
        ),
    ]
}

fn check(field: &Field, saved: &str, case: &Case) {
    let (world, what) = (&field.world, case.what);
    for command in &case.commands {
        assert!(world.nft(&[command]).is_some(), "{what}: {command}");
    }
    let found = look(world);
    let texts: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
    let is_it = |finding: &Finding| {
        let text = finding.to_string();
        finding.fault == case.fault && case.says.iter().all(|part| text.contains(part.as_str()))
    };
    assert!(found.findings.iter().any(is_it), "{what}: {texts:#?}");
    assert_eq!(found.is_same(), case.fault == Fault::Beside, "{what}");
    assert_eq!(found.misjudged > 0, case.misjudges, "{what}: {texts:#?}");
    assert!(world.nft(&["flush", "ruleset"]).is_some());
    restore(world, saved);
    let again: Verified = look(world);
    assert!(again.is_same(), "{what}: {again:#?}");
}

#[test]
fn what_is_wrong_at_hosts_and_what_others_have_is_found_and_named() {
    let field = settled();
    let clean = look(&field.world);
    assert_eq!(clean.findings, []);
    assert!(clean.is_same(), "{:#?}", clean.examples);
    assert_eq!(clean.judged, oncilla_agent::PACKETS);
    let table = field
        .world
        .nft(&["list", "table", "inet", "oncilla"])
        .unwrap();
    let saved = field.world.nft(&["-s", "list", "ruleset"]).unwrap();
    for number in 0..cases(&field, &table).len() {
        // Numbers of rules are new after each restoration.
        let case = cases(&field, &table).remove(number);
        check(&field, &saved, &case);
    }
    for case in others() {
        check(&field, &saved, &case);
    }
}
