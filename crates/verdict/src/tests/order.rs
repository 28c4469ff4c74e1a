//! §2.1, §2.2: tiers, policies, rules, and what their ends do.

use super::{check, gnp, knp, np, tier};

#[test]
fn without_policy_the_namespace_profile_allows_everything() {
    check(
        "",
        "red/web -> blue/db tcp/80 = allow blue/db ingress pro/kns.blue profile
         red/web -> blue/db udp/1 v6 = allow blue/db ingress pro/kns.blue profile
         red/web -> 203.0.113.1 tcp/443 = allow red/web egress pro/kns.red profile
         203.0.113.1 -> red/web icmp/0 = allow red/web ingress pro/kns.red profile",
    );
}

#[test]
fn the_first_matching_rule_of_the_first_policy_decides() {
    let rules = "{order: 1, selector: app == 'db', ingress: [
        {action: Deny, protocol: TCP, destination: {ports: [1]}},
        {action: Allow, protocol: TCP, destination: {ports: [1, 2]}},
        {action: Deny, protocol: TCP, destination: {ports: [2, 3]}}]}";
    let later = "{order: 2, selector: app == 'db', ingress: [{action: Allow}]}";
    check(
        &(np("later", later) + &np("rules", rules)),
        "red/web -> red/db tcp/1 = deny red/db ingress default np/red/rules 0
         red/web -> red/db tcp/2 = allow red/db ingress default np/red/rules 1
         red/web -> red/db tcp/3 = deny red/db ingress default np/red/rules 2
         red/web -> red/db tcp/4 = allow red/db ingress default np/red/later 0",
    );
}

#[test]
fn policies_are_asked_by_order_and_no_order_is_last() {
    let deny = "{selector: app == 'db', types: [Ingress], ingress: [{action: Deny}]}";
    let allow =
        "{order: 5000, selector: app == 'db', types: [Ingress], ingress: [{action: Allow}]}";
    let first = "{order: -1.5, selector: app == 'db', types: [Ingress], ingress: [{action: Deny, protocol: UDP}]}";
    check(
        &(np("a", deny) + &np("b", allow) + &np("z", first)),
        "red/web -> red/db tcp/1 = allow red/db ingress default np/red/b 0
         red/web -> red/db udp/1 = deny red/db ingress default np/red/z 0",
    );
}

#[test]
fn equal_orders_are_decided_by_name_namespace_kind_as_one_text() {
    let spec = |action: &str| {
        format!(
            "{{order: 7, selector: app == 'db', types: [Ingress], ingress: [{{action: {action}}}]}}"
        )
    };
    // `a-b/…` sorts before `a/…`, as `-` sorts before `/`.
    check(
        &(np("a", &spec("Deny")) + &np("a-b", &spec("Allow"))),
        "red/web -> red/db tcp/1 = allow red/db ingress default np/red/a-b 0",
    );
    // The empty namespace of a global policy sorts before any other.
    check(
        &(np("a", &spec("Deny")) + &gnp("a", &spec("Allow"))),
        "red/web -> red/db tcp/1 = allow red/db ingress default gnp/a 0",
    );
    let name_first = np("b", &spec("Deny")) + &gnp("a", &spec("Allow"));
    check(
        &name_first,
        "red/web -> red/db tcp/1 = allow red/db ingress default gnp/a 0",
    );
    // The kind comes last: KubernetesNetworkPolicy before NetworkPolicy.
    let kubernetes = knp("a", "{podSelector: {}, ingress: [{}]}");
    let calico = np("a", &spec("Deny").replace("order: 7", "order: 1000"));
    check(
        &(calico + &kubernetes),
        "red/web -> red/db tcp/1 = allow red/db ingress default knp/red/a 0",
    );
}

#[test]
fn kubernetes_policies_have_order_1000_in_the_default_tier() {
    let spec = |order: &str| {
        format!("{{{order} selector: app == 'db', types: [Ingress], ingress: [{{action: Deny}}]}}")
    };
    let kubernetes = knp("k", "{podSelector: {}, ingress: [{}]}");
    check(
        &(kubernetes.clone() + &np("z", &spec("order: 999.9,"))),
        "red/web -> red/db tcp/1 = deny red/db ingress default np/red/z 0",
    );
    for order in ["order: 1000.1,", ""] {
        check(
            &(kubernetes.clone() + &np("a", &spec(order))),
            "red/web -> red/db tcp/1 = allow red/db ingress default knp/red/k 0",
        );
    }
}

#[test]
fn tiers_are_asked_by_order_then_by_name() {
    let policy = |tier: &str, action: &str| {
        let spec = format!(
            "{{tier: {tier}, selector: app == 'db', types: [Ingress], ingress: [{{action: {action}}}]}}"
        );
        gnp(&format!("p-{tier}"), &spec)
    };
    check(
        &(tier("a", "{order: 20}")
            + &tier("b", "{order: 10}")
            + &policy("a", "Deny")
            + &policy("b", "Allow")),
        "red/web -> red/db tcp/1 = allow red/db ingress b gnp/p-b 0",
    );
    check(
        &(tier("a", "{order: 10}")
            + &tier("b", "{order: 10}")
            + &policy("a", "Deny")
            + &policy("b", "Allow")),
        "red/web -> red/db tcp/1 = deny red/db ingress a gnp/p-a 0",
    );
    // No order is 1,000,000: beside `default`, by name.
    check(
        &(tier("aaa", "{}") + &policy("aaa", "Allow") + &policy("default", "Deny")),
        "red/web -> red/db tcp/1 = allow red/db ingress aaa gnp/p-aaa 0",
    );
    check(
        &(tier("zzz", "{}") + &policy("zzz", "Allow") + &policy("default", "Deny")),
        "red/web -> red/db tcp/1 = deny red/db ingress default gnp/p-default 0",
    );
}

#[test]
fn the_built_in_tiers_stand_at_1000_at_1000000_and_at_10000000() {
    let pass = |tier: &str| {
        let spec = format!(
            "{{tier: {tier}, selector: app == 'db', types: [Ingress], ingress: [{{action: Log}}]}}"
        );
        gnp(&format!("p-{tier}"), &spec)
    };
    let all = tier("early", "{order: 999, defaultAction: Pass}")
        + &tier("late", "{order: 9999999, defaultAction: Pass}")
        + &pass("kube-admin")
        + &pass("kube-baseline")
        + &pass("late")
        + &pass("early");
    let answer = super::ask(&super::cluster(&all), "red/web -> red/db tcp/1").unwrap();
    let tiers: Vec<&str> = answer.legs[1]
        .tiers
        .iter()
        .map(|tier| &*tier.name)
        .collect();
    assert_eq!(tiers, ["early", "kube-admin", "late", "kube-baseline"]);
    // kube-admin and kube-baseline end with Pass, so the profile decides.
    assert_eq!(
        super::line(&answer),
        "allow red/db ingress pro/kns.red profile"
    );
}

#[test]
fn pass_skips_the_rest_of_the_tier() {
    let first = "{tier: sec, order: 1, selector: app == 'db', types: [Ingress], ingress: [
        {action: Pass, protocol: TCP}, {action: Deny, protocol: UDP}]}";
    let second =
        "{tier: sec, order: 2, selector: app == 'db', types: [Ingress], ingress: [{action: Deny}]}";
    let last = "{selector: app == 'db', types: [Ingress], ingress: [{action: Allow}]}";
    let tiers = tier("sec", "{order: 1}") + &gnp("s1", first) + &gnp("s2", second);
    check(
        &(tiers.clone() + &gnp("d", last)),
        "red/web -> red/db tcp/1 = allow red/db ingress default gnp/d 0
         red/web -> red/db udp/1 = deny red/db ingress sec gnp/s1 1
         red/web -> red/db sctp/1 = deny red/db ingress sec gnp/s2 0",
    );
    // Passed by the last tier, the profile decides.
    check(
        &tiers,
        "red/web -> red/db tcp/1 = allow red/db ingress pro/kns.red profile",
    );
}

#[test]
fn log_goes_on_with_the_next_rule() {
    let spec = "{selector: app == 'db', types: [Ingress], ingress: [{action: Log}, {action: Allow, protocol: TCP}]}";
    check(
        &np("p", spec),
        "red/web -> red/db tcp/1 = allow red/db ingress default np/red/p 1
         red/web -> red/db udp/1 = deny red/db ingress default end-of-tier <np/red/p",
    );
}

#[test]
fn the_end_of_a_tier_denies_only_whom_one_of_its_policies_selects_for_the_direction() {
    let deny_all = "{tier: sec, selector: app == 'db', types: [Ingress]}";
    check(
        &(tier("sec", "{order: 1}") + &gnp("p", deny_all)),
        "red/web -> red/db tcp/1 = deny red/db ingress sec end-of-tier <gnp/p
         red/db -> red/web tcp/1 = allow red/web ingress pro/kns.red profile",
    );
    // A tier without policies for the endpoint is skipped whole, whatever its default action.
    check(
        &(tier("sec", "{order: 1, defaultAction: Deny}")
            + &np("p", "{selector: app == 'db', ingress: [{action: Allow}]}")),
        "red/web -> red/db tcp/1 = allow red/db ingress default np/red/p 0",
    );
}

#[test]
fn a_tier_that_ends_with_pass_leaves_the_decision_to_the_next() {
    let nothing = "{tier: sec, selector: app == 'db', types: [Ingress]}";
    let tiers = tier("sec", "{order: 1, defaultAction: Pass}") + &gnp("p", nothing);
    check(
        &tiers,
        "red/web -> red/db tcp/1 = allow red/db ingress pro/kns.red profile",
    );
    check(
        &(tiers + &np("d", "{selector: app == 'db', types: [Ingress]}")),
        "red/web -> red/db tcp/1 = deny red/db ingress default end-of-tier <np/red/d",
    );
}

#[test]
fn end_of_tier_names_the_policies_that_made_it_apply_in_the_order_visited() {
    let spec = |order: i32| format!("{{order: {order}, selector: app == 'db', types: [Ingress]}}");
    check(
        &(np("a", &spec(2)) + &np("b", &spec(1)) + &knp("c", "{podSelector: {}}")),
        "red/web -> red/db tcp/1 = deny red/db ingress default end-of-tier <np/red/b <np/red/a <knp/red/c",
    );
}

#[test]
fn a_policy_of_a_missing_tier_is_enforced_behind_all_tiers_with_deny_at_its_end() {
    let spec = "{tier: nowhere, selector: app == 'db', types: [Ingress], ingress: [{action: Allow, protocol: UDP}]}";
    let missing = gnp("m", spec);
    check(
        &missing,
        "red/web -> red/db udp/1 = allow red/db ingress nowhere gnp/m 0
         red/web -> red/db tcp/1 = deny red/db ingress nowhere end-of-tier <gnp/m",
    );
    let baseline = "{tier: kube-baseline, selector: app == 'db', types: [Ingress], ingress: [{action: Deny, protocol: UDP}]}";
    check(
        &(missing + &gnp("b", baseline)),
        "red/web -> red/db udp/1 = deny red/db ingress kube-baseline gnp/b 0
         red/web -> red/db tcp/1 = deny red/db ingress nowhere end-of-tier <gnp/m",
    );
}

#[test]
fn a_tier_may_not_be_named_like_a_built_in_one_and_differ() {
    let spec = "{selector: app == 'db', types: [Ingress]}";
    check(
        &(tier("default", "{order: 5, defaultAction: Pass}") + &np("p", spec)),
        "red/web -> red/db tcp/1 = deny red/db ingress default end-of-tier <np/red/p",
    );
}
