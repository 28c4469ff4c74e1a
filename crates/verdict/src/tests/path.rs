//! Whose policy a packet meets, and what cannot be asked.

use oncilla_net::{Packet, Protocol};

use super::{ask, check, cluster, gnp, np};
use crate::{Cluster, Evaluator, Question};

#[test]
fn both_ends_must_accept() {
    let egress = "{selector: app == 'web', types: [Egress], egress: [{action: Deny, protocol: UDP}, {action: Allow}]}";
    let ingress = "{selector: app == 'db', types: [Ingress], ingress: [{action: Deny, protocol: SCTP}, {action: Allow}]}";
    check(
        &(np("e", egress) + &np("i", ingress)),
        "red/web -> red/db tcp/1 = allow red/db ingress default np/red/i 1
         red/web -> red/db udp/1 = deny red/web egress default np/red/e 0
         red/web -> red/db sctp/1 = deny red/db ingress default np/red/i 0",
    );
}

#[test]
fn the_first_end_that_denies_decides() {
    let both = "{selector: has(app), types: [Ingress, Egress]}";
    check(
        &gnp("p", both),
        "red/web -> blue/db tcp/1 = deny red/web egress default end-of-tier <gnp/p
         203.0.113.1 -> blue/db tcp/1 = deny blue/db ingress default end-of-tier <gnp/p",
    );
    let answer = ask(&cluster(&gnp("p", both)), "red/web -> blue/db tcp/1").unwrap();
    let reached: Vec<bool> = answer.legs.iter().map(|leg| leg.reached).collect();
    assert_eq!(reached, [true, false]);
}

#[test]
fn addresses_are_the_pods_that_have_them() {
    let deny = np("p", "{selector: app == 'db', types: [Ingress]}");
    check(
        &deny,
        "10.0.0.1 -> 10.0.0.2 tcp/1 = deny red/db ingress default end-of-tier <np/red/p
         fd00::1 -> fd00::2 tcp/1 = deny red/db ingress default end-of-tier <np/red/p
         203.0.113.1 -> 10.0.0.2 tcp/1 = deny red/db ingress",
    );
    let packet = Packet {
        src: "10.0.0.1".parse().unwrap(),
        dst: "10.0.0.2".parse().unwrap(),
        protocol: Protocol::TCP,
        src_port: 4,
        dst_port: 5,
        icmp: None,
    };
    let answer = Evaluator::new(&cluster(&deny))
        .decide(&Question::from(packet))
        .unwrap();
    assert_eq!(answer.packet, packet);
    assert_eq!(
        (&*answer.source, &*answer.destination),
        ("red/web", "red/db")
    );
}

#[test]
fn a_node_always_reaches_its_own_pods_and_no_others() {
    let deny = gnp("p", "{types: [Ingress]}");
    check(
        &deny,
        "host:n1 -> red/db tcp/1 = allow red/db ingress no-policy
         172.16.0.1 -> red/db tcp/1 = allow red/db ingress no-policy
         fd00:172::1 -> red/db tcp/1 = allow red/db ingress no-policy
         red/host -> red/db tcp/1 = allow red/db ingress no-policy
         host:n2 -> red/db tcp/1 = deny red/db ingress default end-of-tier
         172.16.0.2 -> red/db tcp/1 = deny red/db ingress default end-of-tier
         198.51.100.1 -> red/db tcp/1 = deny red/db ingress default end-of-tier",
    );
}

#[test]
fn a_pod_to_a_node_meets_its_own_egress_policy_only() {
    let deny = np("p", "{selector: app == 'db', types: [Egress]}");
    check(
        &deny,
        "red/db -> host:n1 tcp/1 = deny red/db egress default end-of-tier <np/red/p
         red/db -> host:n2 tcp/1 = deny red/db egress
         red/web -> host:n2 tcp/1 = allow red/web egress pro/kns.red profile",
    );
}

#[test]
fn traffic_between_others_meets_no_policy() {
    check(
        &gnp("p", "{types: [Ingress, Egress]}"),
        "203.0.113.1 -> host:n1 tcp/22 = allow host:n1 ingress no-policy
         host:n1 -> 203.0.113.1 tcp/443 = allow host:n1 egress no-policy
         host:n1 -> host:n2 tcp/1 = allow host:n2 ingress no-policy
         203.0.113.1 -> 203.0.113.2 tcp/1 = allow 203.0.113.2 ingress no-policy
         red/web -> red/web tcp/80 = allow red/web ingress no-policy",
    );
}

#[test]
fn what_is_not_there_cannot_be_asked() {
    check(
        "",
        "red/nobody -> red/db tcp/1 = pod red/nobody does not exist
         host:n9 -> red/db tcp/1 = node n9 does not exist
         red/bare -> red/db tcp/1 v6 = red/bare has no IPv6 address
         host:n2 -> red/db tcp/1 v6 = host:n2 has no IPv6 address
         fd00::9 -> 10.0.0.1 tcp/1 = 10.0.0.1 is no IPv6 address",
    );
}

#[test]
fn objects_come_and_go() {
    let mut cluster = cluster(&np("p", "{selector: app == 'db', types: [Ingress]}"));
    let before = ask(&cluster, "red/web -> red/db tcp/1").unwrap();
    let key = before.legs[1].tiers[0].policies[0].key.clone();
    let count = cluster.len();
    let object = cluster.remove(&key).expect("the policy is there");
    assert_eq!(cluster.len(), count - 1);
    assert!(cluster.remove(&key).is_none() && cluster.object(&key).is_none());
    let between = ask(&cluster, "red/web -> red/db tcp/1").unwrap();
    assert!(cluster.insert(object.clone()).is_none());
    assert_eq!(cluster.insert(object.clone()), Some(object));
    let after = ask(&cluster, "red/web -> red/db tcp/1").unwrap();
    assert_ne!(between.verdict, before.verdict);
    assert_eq!(after, before);
    assert_eq!(cluster.objects().count(), count);
    assert!(Cluster::new().is_empty());
}

#[test]
fn endpoints_are_listed_with_their_addresses() {
    let evaluator = Evaluator::new(&cluster(""));
    let listed: Vec<String> = evaluator
        .endpoints()
        .map(|(key, addresses)| format!("{} {}", key.path(), addresses.len()))
        .collect();
    assert_eq!(
        listed,
        [
            "blue/db 2",
            "blue/web 2",
            "red/bare 1",
            "red/db 2",
            "red/web 2"
        ]
    );
}
