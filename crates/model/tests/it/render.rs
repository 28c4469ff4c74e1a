//! Objects from JSON, and policies as short texts.

use std::fmt::Write as _;

use oncilla_api::Object;
use oncilla_model::{Change, Converter, Policy, Ports, Rule, Side};
use serde_json::Value;

pub(crate) fn object(value: Value) -> Object {
    Object::from_manifest(value).unwrap()
}

pub(crate) fn change(value: Value) -> Change {
    let mut changes = Converter::default().convert(&object(value)).unwrap();
    assert_eq!(changes.len(), 1);
    changes.remove(0)
}

pub(crate) fn policy(value: Value) -> Policy {
    match change(value) {
        Change::Policy(_, Some(policy)) => (*policy).clone(),
        other => panic!("no policy: {other:?}"),
    }
}

/// The rules of a direction, a line each.
pub(crate) fn rules(list: Option<&[Rule]>) -> Vec<String> {
    let list = list.expect("the policy governs the direction");
    list.iter().map(rule).collect()
}

fn rule(rule: &Rule) -> String {
    let mut text = format!("{} {:?}", rule.index, rule.action);
    if !(rule.families.v4 && rule.families.v6) {
        let family = match (rule.families.v4, rule.families.v6) {
            (true, _) => "v4",
            (false, true) => "v6",
            (false, false) => "never",
        };
        write!(text, " {family}").unwrap();
    }
    if let Some(protocol) = rule.protocol.is {
        write!(text, " {protocol}").unwrap();
    }
    if let Some(protocol) = rule.protocol.is_not {
        write!(text, " not {protocol}").unwrap();
    }
    if let Some(icmp) = rule.icmp {
        write!(text, " type {icmp}").unwrap();
    }
    if let Some(icmp) = rule.not_icmp {
        write!(text, " not type {icmp}").unwrap();
    }
    side(&mut text, "from", &rule.source);
    side(&mut text, "to", &rule.destination);
    text
}

fn side(text: &mut String, name: &str, side: &Side) {
    if *side == Side::default() {
        return;
    }
    write!(text, " {name}").unwrap();
    for predicate in &side.all {
        write!(text, " [{predicate}]").unwrap();
    }
    for predicate in &side.none {
        write!(text, " ![{predicate}]").unwrap();
    }
    ports(text, "ports", side.ports.as_ref());
    ports(text, "notPorts", side.not_ports.as_ref());
}

fn ports(text: &mut String, name: &str, ports: Option<&Ports>) {
    if let Some(ports) = ports {
        write!(text, " {name} {}", ports.numbers).unwrap();
        for predicate in &ports.names {
            write!(text, " [{predicate}]").unwrap();
        }
    }
}
