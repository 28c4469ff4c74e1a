//! Bad objects, strangers in the table, and a store that goes away.

use oncilla_agent::{AgentState, TableOwner};
use oncilla_api::{Kind, ObjectKey};
use oncilla_net::Verdict;
use serde_json::{Value, json};

use super::field::{Field, Flow, OUTSIDE};
use super::harness::{World, allow_a};

#[test]
fn what_cannot_be_understood_is_reported_and_never_widens_access() {
    let world = World::new();
    let agent = world.agent(TableOwner::Auto);
    world.wait("first", |status| status.state == AgentState::Enforcing);

    let broken = ObjectKey::namespaced(Kind::NetworkPolicy, "team", "broken");
    world.smuggle(
        &broken,
        json!({ "spec": { "selector": "app ==", "ingress": 7 } }),
    );
    let good = world.allow_a("good");
    let status = world.wait("one problem", |status| status.problems.len() == 1);
    assert_eq!(status.problems[0].object, "NetworkPolicy team/broken");
    assert!(
        status.problems[0]
            .message
            .contains("what it may select is denied"),
        "{status:?}"
    );
    world.in_force(good);
    let table = world.table().unwrap();
    assert!(
        table.contains("team/broken"),
        "a version that denies is in force: {table}"
    );
    assert!(
        table.contains("team/good"),
        "the others are in force: {table}"
    );

    let key = ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, "team", "good");
    let mut worse = allow_a();
    worse["spec"]["ingress"][0]["from"] = json!([{ "ipBlock": { "cidr": "nowhere" } }]);
    world.smuggle(&key, worse);
    let status = world.wait("two problems", |status| status.problems.len() == 2);
    let problem = status
        .problems
        .iter()
        .find(|problem| problem.object.ends_with("team/good"));
    assert!(
        problem
            .unwrap()
            .message
            .contains("kept: the version before"),
        "{status:?}"
    );
    assert!(world.table().unwrap().contains("team/good"));

    world.delete(&broken);
    world.wait("mended", |status| status.problems.len() == 1);
    let table = world.table().unwrap();
    let open = table.split("set open_in").nth(1).unwrap();
    let open = open.split('}').next().unwrap();
    assert!(
        open.contains("team/a eth0"),
        "nothing is denied any more: {open}"
    );
    agent.stop();
}

/// It denies what it may mean in its tier; when only rules are at fault, only those fail closed.
#[test]
fn a_policy_of_the_cluster_that_cannot_be_understood_fails_closed_in_its_tier() {
    let world = World::new();
    let agent = world.agent(TableOwner::Auto);
    world.wait("first", |status| status.state == AgentState::Enforcing);
    let everywhere = json!([{ "namespaces": {} }]);
    let wall = ObjectKey::cluster(Kind::ClusterNetworkPolicy, "wall");
    let spec = |tier: &str, rules: Value| json!({ "tier": tier, "priority": 5, "subject": { "namespaces": {} }, "ingress": rules });
    let revision = world.smuggle(
        &wall,
        json!({ "spec": spec("Admin", json!([{ "action": "Accept", "from": everywhere }])) }),
    );
    let status = world.in_force(revision);
    assert_eq!((status.policies, status.problems.len()), (1, 0));
    assert!(
        world
            .table()
            .unwrap()
            .contains("tier kube-admin: kcnp/wall\"")
    );

    let future = ObjectKey::cluster(Kind::ClusterNetworkPolicy, "future");
    let mut unread = spec(
        "Baseline",
        json!([{ "action": "Accept", "from": everywhere }]),
    );
    unread["notInvented"] = json!(true);
    let revision = world.smuggle(&future, json!({ "spec": unread }));
    let status = world.in_force(revision);
    assert_eq!(status.problems.len(), 1, "{status:?}");
    assert_eq!(status.problems[0].object, "ClusterNetworkPolicy future");
    assert!(
        world
            .table()
            .unwrap()
            .contains("tier kube-baseline: kcnp/future\"")
    );

    let partly = ObjectKey::cluster(Kind::ClusterNetworkPolicy, "partly");
    let faulty =
        json!([{ "action": "Deny", "from": [] }, { "action": "Accept", "from": everywhere }]);
    let revision = world.smuggle(&partly, json!({ "spec": spec("Admin", faulty) }));
    let status = world.in_force(revision);
    assert_eq!(
        (status.policies, status.problems.len()),
        (3, 2),
        "{status:?}"
    );
    let table = world.table().unwrap();
    // Before `wall`, by its name.
    let tier = "tier kube-admin: kcnp/partly, kcnp/wall\"";
    assert!(table.contains(tier), "{table}");

    // A tier that nobody knows: the first of the two.
    let rules = json!([{ "action": "Accept", "from": everywhere }]);
    let mut unread = spec("Middle", rules);
    unread["notInvented"] = json!(true);
    let revision = world.smuggle(&future, json!({ "spec": unread }));
    world.in_force(revision);
    let table = world.table().unwrap();
    let tier = "tier kube-admin: kcnp/future, kcnp/partly, kcnp/wall\"";
    assert!(table.contains(tier), "{table}");
    agent.stop();
}

#[test]
fn a_flushed_table_is_put_back_when_the_news_of_it_comes() {
    let world = World::new();
    let revision = world.allow_a("allow-a");
    let agent = world.agent(TableOwner::Off);
    let status = world.in_force(revision);
    assert!(!status.kernel.owns_table);
    let before = world.table().unwrap();
    world.nft(&["flush", "ruleset"]).unwrap();
    let status = world.wait("repaired", |status| status.kernel.repairs == 1);
    assert_eq!(status.state, AgentState::Enforcing);
    assert!(before.contains("team/allow-a") && world.table().unwrap().contains("team/allow-a"));
    agent.stop();
}

#[test]
fn a_store_that_goes_away_changes_nothing_and_is_caught_up_with() {
    let mut world = World::new();
    let revision = world.allow_a("first");
    let agent = world.agent(TableOwner::Auto);
    world.in_force(revision);
    world.stop_serving();
    assert!(world.table().unwrap().contains("team/first"));
    let second = ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, "team", "second");
    let revision = world.smuggle(&second, allow_a());
    assert!(
        !world.table().unwrap().contains("team/second"),
        "nobody could have told"
    );
    world.serve();
    let status = world.wait("caught up", |status| {
        status.revision >= Some(revision) && status.state == AgentState::Enforcing
    });
    assert_eq!((status.policies, status.stale_since_unix_ms), (2, None));
    assert!(world.table().unwrap().contains("team/second"));
    agent.stop();
}

/// A field whose pods `a` and `b` meet these policies and tiers, all valid.
fn field(objects: &[(ObjectKey, Value)]) -> Field {
    let field = Field::new(&[("a", json!({ "app": "a" })), ("b", json!({ "app": "b" }))]);
    for (key, fields) in objects {
        field.world.create(key, fields.clone());
    }
    field
}

/// To `b`: from `a` and from outside, over both families.
fn flows() -> Vec<Flow> {
    let flow = |from: &str, v6| Flow {
        from: from.to_owned(),
        to: "b".to_owned(),
        port: 80,
        v6,
    };
    [("a", false), (OUTSIDE, false), ("a", true), (OUTSIDE, true)]
        .map(|(from, v6)| flow(from, v6))
        .into()
}

/// `+` for each flow that passes and `-` for each that does not; the judge says the same.
fn outcome(field: &Field) -> String {
    let flows = flows();
    let seen = field.probe(&flows);
    assert_eq!(seen, field.expected(&flows));
    let sign = |verdict: &Verdict| match verdict {
        Verdict::Allow => '+',
        Verdict::Deny => '-',
    };
    seen.iter().map(sign).collect()
}

/// Breaks an object behind the back of everybody, and starts the agent again. While the agent lives, what it
/// knew stays in force; the next one knows nothing but the broken object, and says what it does instead.
fn check_restart(
    field: &Field,
    (key, broken): (&ObjectKey, Value),
    open: &str,
    closed: (&'static str, &str),
) {
    let world = &field.world;
    let agent = world.agent(TableOwner::Auto);
    let status = world.wait("in force", |status| status.state == AgentState::Enforcing);
    assert_eq!(status.problems, [], "before {key} breaks");
    assert_eq!(outcome(field), open);

    let whole = world.store.object(key).unwrap().unwrap().value;
    let revision = world.smuggle(key, broken);
    let told = |text: &'static str| {
        move |status: &oncilla_agent::AgentStatus| {
            let mut problems = status.problems.iter();
            status.state == AgentState::Enforcing
                && status.revision >= Some(revision)
                && problems.any(|problem| problem.message.contains(text))
        }
    };
    let status = world.wait("kept", told("kept: the version before"));
    assert_eq!(status.problems[0].object, key.to_string());
    let seen = field.probe(&flows());
    let signs = seen
        .iter()
        .map(|seen| if *seen == Verdict::Allow { '+' } else { '-' });
    assert_eq!(signs.collect::<String>(), open, "the version before stays");
    agent.stop();

    let agent = world.agent(TableOwner::Auto);
    let status = world.wait("closed", told(closed.0));
    assert_eq!(status.problems.len(), 1);
    assert_eq!(status.problems[0].object, key.to_string());
    assert_eq!(outcome(field), closed.1);
    let revision = world.smuggle(key, whole);
    let status = world.in_force(revision);
    assert_eq!(status.problems, []);
    assert_eq!(outcome(field), open, "mended");
    agent.stop();
}

fn global_policy(name: &str, spec: &Value) -> (ObjectKey, Value) {
    let key = ObjectKey::cluster(Kind::GlobalNetworkPolicy, name);
    (key, json!({ "spec": spec }))
}

fn tier(name: &str, order: u32) -> (ObjectKey, Value) {
    let key = ObjectKey::cluster(Kind::Tier, name);
    (key, json!({ "spec": { "order": order } }))
}

#[test]
fn a_set_with_a_bad_cidr_is_closed_after_a_restart() {
    let set = ObjectKey::cluster(Kind::GlobalNetworkSet, "bad-people");
    let of = |nets: Value| json!({ "metadata": { "name": "bad-people", "labels": { "bad": "yes" } }, "spec": { "nets": nets } });
    let deny = json!({ "selector": "app == 'b'", "ingress": [
        { "action": "Allow", "source": { "selector": "app == 'a'" } },
        { "action": "Deny", "source": { "selector": "bad == 'yes'" } },
        { "action": "Allow" },
    ]});
    let field = field(&[
        (set.clone(), of(json!(["203.0.113.0/24"]))),
        global_policy("deny-bad", &deny),
    ]);
    let broken = of(json!(["203.0.113.0/24", "198.51.100.0/240"]));
    check_restart(
        &field,
        (&set, broken),
        "++++",
        ("rules that may mean it deny all that may match", "+-+-"),
    );
}

#[test]
fn a_set_of_which_nobody_knows_the_labels_is_closed_after_a_restart() {
    let set = ObjectKey::namespaced(Kind::NetworkSet, "team", "bad-people");
    let of = |labels: Value| json!({ "metadata": { "name": "bad-people", "namespace": "team", "labels": labels }, "spec": { "nets": ["203.0.113.0/24"] } });
    let allow = json!({ "selector": "app == 'b'", "ingress": [
        { "action": "Allow", "source": { "selector": "app == 'a'" } },
        { "action": "Pass", "source": { "selector": "bad == 'yes'" } },
        { "action": "Allow", "source": { "notSelector": "bad == 'yes'" } },
    ]});
    let field = field(&[
        (set.clone(), of(json!({ "bad": "yes" }))),
        global_policy("allow-good", &allow),
    ]);
    let broken = of(json!({ "bad": 7 }));
    check_restart(
        &field,
        (&set, broken),
        "++++",
        ("rules that may mean it deny all that may match", "+-+-"),
    );
}

#[test]
fn a_tier_that_does_not_decode_keeps_its_place_after_a_restart() {
    let (key, _) = tier("security", 10);
    let deny = json!({ "tier": "security", "selector": "app == 'b'", "types": ["Ingress"], "ingress": [
        { "action": "Deny", "source": { "selector": "app == 'a'" } },
        { "action": "Pass" },
    ]});
    let allow = json!({ "selector": "app == 'b'", "ingress": [{ "action": "Allow" }] });
    let field = field(&[
        tier("security", 10),
        global_policy("security.deny", &deny),
        global_policy("allow", &allow),
    ]);
    let broken = json!({ "spec": { "order": 10, "defaultAction": "Perhaps" } });
    check_restart(
        &field,
        (&key, broken),
        "-+-+",
        ("it ends with Deny", "-+-+"),
    );
}

#[test]
fn a_tier_of_unknown_place_denies_first_and_allows_nothing_early_after_a_restart() {
    let (key, _) = tier("late", 20);
    let early = json!({ "tier": "early", "selector": "app == 'b'", "ingress": [
        { "action": "Deny", "source": { "selector": "app == 'a'" } },
        { "action": "Allow", "source": { "nets": ["198.51.100.0/24"] } },
        { "action": "Pass" },
    ]});
    let late = json!({ "tier": "late", "selector": "app == 'b'", "ingress": [
        { "action": "Allow", "source": { "selector": "app == 'a'" } },
        { "action": "Allow", "source": { "nets": ["2001:db8::/32"] } },
        { "action": "Deny" },
    ]});
    let field = field(&[
        tier("early", 10),
        tier("late", 20),
        global_policy("early.first", &early),
        global_policy("late.second", &late),
    ]);
    let broken = json!({ "spec": { "order": "20" } });
    // Outside over IPv4: allowed early, denied late. Over IPv6: allowed late; the profile allows it then too.
    check_restart(
        &field,
        (&key, broken),
        "-+-+",
        ("at an unknown order it is first", "---+"),
    );
}

#[test]
fn a_policy_of_an_unknown_tier_denies_before_all_others_after_a_restart() {
    let (key, fields) = global_policy(
        "late",
        &json!({ "selector": "app == 'b'", "ingress": [{ "action": "Allow" }] }),
    );
    let allow =
        json!({ "tier": "early", "selector": "app == 'b'", "ingress": [{ "action": "Allow" }] });
    let field = field(&[
        tier("early", 10),
        global_policy("early.allow", &allow),
        (key.clone(), fields),
    ]);
    let broken =
        json!({ "spec": { "tier": ["default"], "selector": "app == 'b'", "types": ["Ingress"] } });
    check_restart(
        &field,
        (&key, broken),
        "++++",
        ("what it may select is denied", "----"),
    );
}

/// A pod of another node that has the address of the host outside.
fn stranger(field: &Field, namespace: &str) -> (ObjectKey, Value) {
    let addresses = [false, true].map(|v6| json!({ "ip": field.address(OUTSIDE, v6) }));
    let key = ObjectKey::namespaced(Kind::Pod, namespace, "stranger");
    let metadata =
        json!({ "name": "stranger", "namespace": namespace, "labels": { "bad": "yes" } });
    let value = json!({ "metadata": metadata,
        "spec": { "nodeName": "elsewhere", "containers": [{ "name": "c", "image": "none" }] },
        "status": { "podIPs": addresses } });
    (key, value)
}

/// Lets everybody to `b` but those that one side of a rule means.
fn deny_to_b(source: &Value) -> (ObjectKey, Value) {
    let spec = json!({ "selector": "app == 'b'", "ingress": [
        { "action": "Allow", "source": { "selector": "app == 'a'" } },
        { "action": "Deny", "source": source },
        { "action": "Allow" },
    ]});
    global_policy("deny", &spec)
}

#[test]
fn a_pod_that_cannot_be_read_is_still_denied_after_a_restart() {
    let field = field(&[deny_to_b(&json!({ "selector": "bad == 'yes'" }))]);
    let (key, whole) = stranger(&field, "team");
    field.world.smuggle(&key, whole.clone());
    let mut broken = whole;
    broken["status"]["podIPs"] = json!("nowhere");
    check_restart(
        &field,
        (&key, broken),
        "+-+-",
        ("rules that may mean it deny all that may match", "+-+-"),
    );
}

#[test]
fn pods_of_a_namespace_that_cannot_be_read_are_still_denied_after_a_restart() {
    let source = json!({ "namespaceSelector": "bad == 'yes'" });
    let field = field(&[deny_to_b(&source)]);
    let key = ObjectKey::cluster(Kind::Namespace, "elsewhere");
    let value = |labels: Value| json!({ "metadata": { "name": "elsewhere", "labels": labels } });
    field.world.smuggle(&key, value(json!({ "bad": "yes" })));
    let (pod, whole) = stranger(&field, "elsewhere");
    field.world.smuggle(&pod, whole);
    check_restart(
        &field,
        (&key, value(json!({ "bad": 7 }))),
        "+-+-",
        ("rules that may mean them deny them", "+-+-"),
    );
}

#[test]
fn pods_here_of_a_namespace_that_cannot_be_read_are_closed_after_a_restart() {
    let field = field(&[]);
    let key = ObjectKey::cluster(Kind::Namespace, "team");
    let broken = json!({ "metadata": { "name": "team", "labels": 7 } });
    check_restart(
        &field,
        (&key, broken),
        "++++",
        ("its pods are closed", "----"),
    );
}

/// Nobody knows its interface then, and such a one is cut off. The judge, who knows no interfaces, is not asked.
#[test]
fn a_pod_here_that_cannot_be_read_is_cut_off_after_a_restart() {
    let field = field(&[]);
    let world = &field.world;
    let key = ObjectKey::namespaced(Kind::Pod, "team", "b");
    let whole = world.store.object(&key).unwrap().unwrap().value;
    let mut broken = whole.clone();
    broken["metadata"]["labels"] = json!(7);
    world.smuggle(&key, broken);
    let agent = world.agent(TableOwner::Auto);
    let status = world.wait("enforcing", |status| status.state == AgentState::Enforcing);
    let message = &status.problems[0].message;
    assert!(message.contains("its interface is cut off"), "{status:?}");
    let back = Flow {
        from: "b".to_owned(),
        to: "a".to_owned(),
        ..flows().remove(0)
    };
    let flows = [flows(), vec![back]].concat();
    assert_eq!(field.probe(&flows), [Verdict::Deny; 5]);
    let revision = world.smuggle(&key, whole);
    world.in_force(revision);
    assert_eq!(field.probe(&flows), [Verdict::Allow; 5]);
    agent.stop();
}
