//! `oncilla demo`, played as people play it: on real pods.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::cluster::Said;
use super::home::{Census, Home, Machine};
use super::schema::Schema;

/// Who asks, and who is asked at which port.
const SOURCES: [&str; 4] = [
    "production/frontend",
    "production/backend",
    "production/api",
    "default/attacker",
];
const DESTINATIONS: [(&str, &str); 3] = [
    ("production/backend", "tcp/8000"),
    ("production/database", "tcp/5432"),
    ("production/api", "tcp/9000"),
];
/// The story: what a step is called, which pairs it starts to deny, and which it lets through again.
type Chapter = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
);
const STORY: [Chapter; 7] = [
    ("No policy", &[], &[]),
    (
        "02-deny-all-ingress-to-backend.yaml",
        &[
            ("production/frontend", "production/backend"),
            ("production/api", "production/backend"),
            ("default/attacker", "production/backend"),
        ],
        &[],
    ),
    (
        "03-allow-frontend-to-backend.yaml",
        &[],
        &[("production/frontend", "production/backend")],
    ),
    (
        "04-deny-database-from-frontend.yaml",
        &[
            ("production/frontend", "production/database"),
            ("default/attacker", "production/database"),
        ],
        &[],
    ),
    (
        "05-security-tier.yaml",
        &[("default/attacker", "production/api")],
        &[],
    ),
    (
        "06-allow-by-service-account.yaml",
        &[("production/backend", "production/api")],
        &[],
    ),
    (
        "07-frontend-without-its-label.yaml",
        &[("production/frontend", "production/backend")],
        &[("production/frontend", "production/database")],
    ),
];

/// The demo's text. It is played once, for everybody who reads it.
pub(crate) fn told() -> &'static str {
    static TOLD: LazyLock<Said> = LazyLock::new(|| {
        let (home, machine) = (Home::new(), Machine::now());
        let said = home.run("demo");
        home.assert_empty();
        assert_eq!(Machine::now(), machine);
        said
    });
    assert_eq!((TOLD.code, TOLD.err.as_str()), (0, ""), "{}", TOLD.out);
    &TOLD.out
}

#[test]
fn people_are_told_every_step_and_what_to_do_next() {
    let text = told();
    assert!(text.starts_with("oncilla demo: two nodes and five pods"));
    for number in 1..=STORY.len() {
        assert!(text.contains(&format!("\n\n{number}  ")), "{text}");
    }
    let said = [
        (
            "10 real connections, all as the reference evaluator said.",
            7,
        ),
        ("   why: ", 7),
        ("the kernel refused the first packet", 1),
        (
            "a connection frontend -> backend was open when the label went: cut after",
            1,
        ),
        (
            "\n7 steps, 70 real connections, 0 different from the reference evaluator. Everything was removed.\n",
            1,
        ),
    ];
    for (part, times) in said {
        assert_eq!(text.matches(part).count(), times, "{part}\n{text}");
    }
    // What it tells people to type is worth typing.
    let (_, next) = text.rsplit_once("\nNext:  ").unwrap();
    let home = Home::new();
    let next = home.shell(next);
    assert_eq!(next.code, 0, "{next:?}");
    assert!(next.out.contains("ALLOW  production/frontend"), "{next:?}");
}

#[test]
fn machines_get_one_object_with_every_matrix() {
    let home = Home::new();
    let said = home.run("demo -o json");
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    assert_eq!(said.out.lines().count(), 1);
    let mut told: Value = serde_json::from_str(&said.out).unwrap();
    Schema::read("demo").assert(&told);
    let seconds = told["seconds_to_first_deny"].take().as_f64().unwrap();
    assert!(seconds > 0.0 && seconds < 30.0, "{seconds}");

    let mut denied = BTreeSet::new();
    let mut steps = Vec::new();
    for (name, now_denied, now_allowed) in STORY {
        denied.extend(now_denied);
        denied.retain(|pair| !now_allowed.contains(pair));
        let mut matrix = json!({});
        for source in SOURCES {
            for (destination, port) in DESTINATIONS.iter().filter(|(pod, _)| *pod != source) {
                let is_denied = denied.contains(&(source, destination));
                matrix[source][destination][port] = if is_denied { "deny" } else { "allow" }.into();
            }
        }
        steps.push(json!({ "name": name, "matrix": matrix, "mismatches": 0 }));
    }
    assert_eq!(
        told,
        json!({ "steps": steps, "seconds_to_first_deny": null })
    );
    home.assert_empty();
}

#[test]
fn ctrl_c_in_the_middle_leaves_nothing() {
    let (home, machine) = (Home::new(), Machine::now());
    let mut demo = home.start("demo");
    demo.until("1  No policy");
    let census = Census::of(&home);
    demo.interrupt();
    let (code, rest) = demo.end();
    assert_eq!(code, Some(130), "{rest}");
    assert!(
        rest.ends_with("interrupted; everything was removed\n"),
        "{rest}"
    );
    census.assert_gone();
    home.assert_empty();
    assert_eq!(Machine::now(), machine);
}

#[test]
fn other_forms_are_refused() {
    let home = Home::new();
    let said = home.run("demo -o yaml");
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(said.err.contains("-o json"), "{}", said.err);
}
