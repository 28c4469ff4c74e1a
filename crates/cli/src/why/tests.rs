//! Places, and answers as text.

use oncilla_api::manifest::{Limits, Manifest, decode};
use oncilla_net::Family;
use oncilla_verdict::Evaluator;

use super::place::Place;
use super::world::World;
use super::{Asked, text};

const CLUSTER: &str = include_str!("../../../../examples/demo/00-cluster.yaml");
const DENY: &str = include_str!("../../../../examples/demo/02-deny-all-ingress-to-backend.yaml");
const DATABASE: &str =
    include_str!("../../../../examples/demo/04-deny-database-from-frontend.yaml");
const TIER: &str = include_str!("../../../../examples/demo/05-security-tier.yaml");

fn world(files: &[(&str, &str)]) -> World {
    let limits = Limits::default();
    let decoded = files
        .iter()
        .map(|(name, text)| decode(name, text.as_bytes(), &limits));
    let manifest = Manifest::join(decoded);
    assert!(!manifest.has_errors(), "{:?}", manifest.diagnostics);
    World::of_files(manifest.objects)
}

fn ask(world: &World, question: &str) -> Result<String, String> {
    let words: Vec<&str> = question.split(' ').collect();
    let [source, destination, traffic] = words.as_slice() else {
        return Err(format!("{question} is not three words"));
    };
    let place = |text: &str| text.parse::<Place>().map_err(|error| error.to_string());
    let asked = Asked {
        way: oncilla_verdict::Way::default(),
        source: place(source)?,
        destination: place(destination)?,
        traffic: traffic
            .parse()
            .map_err(|error: super::traffic::TrafficError| error.to_string())?,
        ipv6: false,
    };
    let report = asked.judge(world, &Evaluator::new(&world.cluster));
    report
        .map(|report| text::full(&report))
        .map_err(|error| format!("{error:#}"))
}

fn demo() -> World {
    world(&[
        ("00.yaml", CLUSTER),
        ("02.yaml", DENY),
        ("04.yaml", DATABASE),
        ("05.yaml", TIER),
    ])
}

#[test]
fn places_are_read() {
    for (text, place) in [
        (
            "production/backend",
            Place::Path("production".to_owned(), "backend".to_owned()),
        ),
        ("backend", Place::Name("backend".to_owned())),
        ("node:n1", Place::Node("n1".to_owned())),
        ("host:n1", Place::Node("n1".to_owned())),
        ("internet", Place::Internet),
        (
            "203.0.113.9",
            Place::Address("203.0.113.9".parse().unwrap()),
        ),
        (
            "2001:db8::1",
            Place::Address("2001:db8::1".parse().unwrap()),
        ),
    ] {
        assert_eq!(text.parse::<Place>(), Ok(place), "{text}");
    }
    for (text, message) in [
        ("10.0.0.0/8", "more than one place"),
        ("", "names no place"),
        ("a/b/c", "names no place"),
        ("node:", "names no place"),
        ("pod:x", "names no place"),
        ("/x", "names no place"),
    ] {
        let error = text.parse::<Place>().unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn who_is_not_there_gets_a_hint() {
    let world = demo();
    for (question, message) in [
        (
            "frontent backend tcp/8000",
            "there is no pod or service frontent: did you mean production/frontend?",
        ),
        (
            "production/frontend prodution/backend tcp/8000",
            "did you mean production/backend?",
        ),
        (
            "production/attacker backend tcp/8000",
            "did you mean default/attacker?",
        ),
        (
            "node:n1 backend tcp/8000",
            "there is no node n1; see `oncilla get nodes`",
        ),
        ("frontend 2001:db8::1 tcp", "write tcp/8080"),
    ] {
        let error = ask(&world, question).unwrap_err();
        assert!(error.contains(message), "{question}: {error}");
    }
}

const NOTES: &str = "
note: namespace default is not in the files; taken to exist, with no labels but its name
note: the files give pods no addresses; made-up ones were used, which rules over CIDRs may judge differently from real ones";

fn check(world: &World, question: &str, expect: &str) {
    let text = ask(world, question).unwrap();
    let expect = format!("{}\n{NOTES}", expect.trim_start_matches('\n').trim_end());
    assert_eq!(text, expect, "\n{text}\n");
}

#[test]
fn a_denying_rule_is_shown_where_it_was_written() {
    check(&demo(), "frontend database tcp/5432", "
DENY   production/frontend (198.18.0.5, node n1) -> production/database (198.18.0.4, node n2) tcp/5432

  leaving production/frontend: allowed
    tier security   (order 100) no policy selects it for Egress
    tier default    no policy selects it for Egress
    profile         kns.production allows
  entering production/database: denied
    tier security   (order 100)
      production-is-private  (Calico, global, order 1)  ingress[0]  Pass  source in namespaces kubernetes.io/metadata.name == 'production'
                                                        05.yaml:20
    tier default
      deny-database-from-frontend  (Calico, order 10)  ingress[0]  Deny  source app == 'frontend'  <- decides
                                                       04.yaml:29
      allow-same-namespace         (Kubernetes, 1000)  not reached; would allow by ingress[0]
                                                       04.yaml:15");
}

#[test]
fn an_end_of_tier_names_who_made_the_tier_apply() {
    check(&demo(), "frontend backend tcp/8000", "
DENY   production/frontend (198.18.0.5, node n1) -> production/backend (198.18.0.3, node n2) tcp/8000

  leaving production/frontend: allowed
    tier security   (order 100) no policy selects it for Egress
    tier default    no policy selects it for Egress
    profile         kns.production allows
  entering production/backend: denied
    tier security   (order 100)
      production-is-private  (Calico, global, order 1)  ingress[0]  Pass  source in namespaces kubernetes.io/metadata.name == 'production'
                                                        05.yaml:20
    tier default
      deny-all-ingress-to-backend  (Kubernetes, 1000)  no rule matches
                                                       02.yaml:4
      end of tier: no rule matched, so Deny  <- decides");
}

#[test]
fn an_outsider_is_not_judged_where_he_leaves() {
    check(
        &demo(),
        "203.0.113.9 backend tcp/8000",
        "
DENY   203.0.113.9 -> production/backend (198.18.0.3, node n2) tcp/8000

  leaving 203.0.113.9: not judged: it is no pod of this cluster
  entering production/backend: denied
    tier security   (order 100)
      production-is-private  (Calico, global, order 1)  ingress[1]  Deny  everything  <- decides
                                                        05.yaml:23
    tier default    not reached
      deny-all-ingress-to-backend  (Kubernetes, 1000)  not reached; no rule would match
                                                       02.yaml:4",
    );
}

#[test]
fn the_internet_is_what_nothing_names() {
    let policy = |nets: &str| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n\
             metadata: {{name: out, namespace: production}}\n\
             spec: {{selector: app == 'frontend', types: [Egress], egress: [{{action: Deny, destination: {{nets: [{nets}]}}}}, {{action: Allow}}]}}\n"
        )
    };
    let ask = |nets: &str, question: &str| {
        ask(
            &world(&[("00.yaml", CLUSTER), ("p.yaml", &policy(nets))]),
            question,
        )
    };
    // What is denied by name is not the internet, and everything is everything.
    for (nets, head) in [
        (
            "1.0.0.0/8, 2.1.1.1/32",
            "ALLOW  production/frontend (198.18.0.5, node n1) -> internet (3.1.1.1) tcp/443",
        ),
        (
            "0.0.0.0/0",
            "DENY   production/frontend (198.18.0.5, node n1) -> internet (1.1.1.1) tcp/443",
        ),
    ] {
        let said = ask(nets, "frontend internet tcp/443").unwrap();
        assert!(said.starts_with(head), "{said}");
        assert!(
            said.contains("internet is any address outside of the cluster"),
            "{said}"
        );
    }
    let said = ask("1.0.0.0/8", "internet frontend tcp/80").unwrap();
    assert!(
        said.starts_with("ALLOW  internet (2.1.1.1) -> production/frontend"),
        "{said}"
    );
    let annotated = CLUSTER.replacen(
        "  name: production\n",
        "  name: production\n  annotations: {x: '[\"1.1.1.1/32\",\"2.1.1.1\"]'}\n",
        1,
    );
    let annotated = world(&[("00.yaml", &annotated)]);
    assert_eq!(
        super::internet::address(&annotated, Family::V4),
        Some("3.1.1.1".parse().unwrap())
    );
    assert_eq!(
        super::internet::address(&annotated, Family::V6),
        Some("2600:1::1".parse().unwrap())
    );
    let error = ask("0.0.0.0/1, 128.0.0.0/1", "frontend internet tcp/443").unwrap_err();
    assert!(
        error.contains("every part of the internet: ask for an address"),
        "{error}"
    );
}
