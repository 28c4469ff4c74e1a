//! Programs that come back, and tables that are not as they should be.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_net::{Direction, Packet, Protocol, Verdict};
use oncilla_program::{Group, GroupId, Hook, HostEndpoint, Passage, ProfileEnd, Program};

use super::rebuild;
use crate::group::{Placement, entry_chain};
use crate::lower::lower;
use crate::skeleton::table;

#[test]
fn an_empty_program_comes_back() {
    let program = Program::default();
    let placements = BTreeMap::new();
    let ruleset = lower(&program, &placements, table());
    assert_eq!(rebuild(&program, &placements, &ruleset), program);
}

/// What is forwarded goes on behind a group that says nothing, so one that is to deny and lost its rule lets pass.
#[test]
fn a_closed_forward_group_without_its_rule_is_read_as_it_is() {
    let id = GroupId("c".into());
    let way = (Hook::Forward, Direction::Ingress);
    let group = Group {
        id: id.clone(),
        hook: way.0,
        direction: way.1,
        tiers: Vec::new(),
        profiles: ProfileEnd::Deny,
    };
    let host = HostEndpoint {
        name: "eth0".into(),
        groups: [(way, id.clone())].into(),
    };
    let mut program = Program::default();
    program.hosts.insert("eth0".into(), host);
    program.groups.insert(id.clone(), Arc::new(group.clone()));
    let placement = Placement::default();
    let chain = entry_chain(&group, placement.version);
    let placements = BTreeMap::from([(id, placement)]);
    let mut table = lower(&program, &placements, table());
    let packet = Packet {
        src: [192, 0, 2, 1].into(),
        dst: [192, 0, 2, 2].into(),
        protocol: Protocol::TCP,
        src_port: 1,
        dst_port: 80,
        icmp: None,
    };
    let verdict = |program: &Program| {
        let passage = Passage::forward("eth0", "eth1");
        program.judge(&passage, &packet).verdict
    };
    let whole = rebuild(&program, &placements, &table);
    assert_eq!((verdict(&whole), &whole), (Verdict::Deny, &program));
    table.chains.get_mut(&chain).unwrap().rules.clear();
    let read = rebuild(&program, &placements, &table);
    assert_ne!(read, program);
    assert_eq!(verdict(&read), Verdict::Allow);
}
