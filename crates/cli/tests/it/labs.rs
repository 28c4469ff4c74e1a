//! `oncilla lab` and `oncilla status` as people type them, on labs that really run.

use serde_json::Value;

use super::home::{Census, Home, Machine};
use super::schema::Schema;

const CLUSTER: &str = "examples/demo/00-cluster.yaml";

/// A name that no other test, and no other run of this one, gives to a lab.
fn name(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

#[test]
fn ctrl_c_takes_a_lab_in_the_foreground_down() {
    let (home, machine, name) = (Home::new(), Machine::now(), name("front"));
    let mut lab = home.start(&format!("lab up --foreground --name {name} -f {CLUSTER}"));
    lab.until("Ctrl-C takes it down");
    let census = Census::of(&home);
    assert!(home.answer("status").contains("all enforcing"));
    lab.interrupt();
    let (code, rest) = lab.end();
    assert_eq!(code, Some(130), "{rest}");
    assert_eq!(
        rest,
        format!("lab \"{name}\" is down; nothing is left of it\n")
    );
    census.assert_gone();
    home.assert_empty();
    assert_eq!(Machine::now(), machine);
}

#[test]
fn ctrl_c_while_a_lab_comes_up_leaves_nothing() {
    let (home, name) = (Home::new(), name("early"));
    let mut lab = home.start(&format!(
        "lab up -v --foreground --name {name} -f {CLUSTER}"
    ));
    lab.until("creating objects and pods");
    let census = Census::of(&home);
    lab.interrupt();
    let (code, rest) = lab.end();
    assert_eq!(code, Some(130), "{rest}");
    // It may have been ready just before the signal came.
    let said = [
        "was interrupted and taken down\n",
        "is down; nothing is left of it\n",
    ];
    assert!(said.iter().any(|said| rest.ends_with(said)), "{rest}");
    census.assert_gone();
    home.assert_empty();
}

#[test]
fn a_lab_that_somebody_else_takes_down_ends_the_foreground_too() {
    let (home, name) = (Home::new(), name("other"));
    let mut lab = home.start(&format!("lab up --foreground --name {name}"));
    lab.until("Ctrl-C takes it down");
    let said = home.run(&format!("lab down --name {name}"));
    assert_eq!(said.code, 0, "{said:?}");
    let (code, rest) = lab.end();
    assert_eq!(code, Some(0), "{rest}");
    assert_eq!(rest, format!("lab \"{name}\" was taken down\n"));
    home.assert_empty();
}

#[test]
fn a_lab_lives_between_commands_until_it_is_taken_down() {
    let (home, machine, name) = (Home::new(), Machine::now(), name("life"));
    let up = format!("lab up --lab {name} --outside 203.0.113.9 -f {CLUSTER}");
    let said = home.run(&up);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{said:?}");
    // In a pipe, the answer and what to do next; what it does meanwhile is for terminals.
    let ready = format!("lab \"{name}\" is ready: 2 nodes, 5 pods; ");
    assert!(said.err.starts_with(&ready), "{}", said.err);
    for line in said.err.lines().skip(1) {
        let expected = line.starts_with("note: ") || line.starts_with("next: ");
        assert!(expected, "{}", said.err);
    }
    let census = Census::of(&home);
    let again = home.run(&up);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(
        again
            .err
            .contains(&format!("`oncilla lab down --name {name}`")),
        "{}",
        again.err
    );

    lab_status_names_everything(&home, &name);
    commands_run_inside_pods(&home, &name);
    status_follows_what_is_applied(&home);
    the_kernel_is_shown_with_names(&home);
    two_labs_are_told_apart(&home, &name);

    let said = home.run(&format!("lab down --lab {name}"));
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    assert_eq!(
        said.err,
        format!("lab \"{name}\" is down; nothing is left of it\n")
    );
    census.assert_gone();
    home.assert_empty();
    assert_eq!(Machine::now(), machine);
    let said = home.run(&format!("lab down --name {name}"));
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("no lab"), "{}", said.err);
}

#[test]
fn a_lab_has_one_name_however_it_is_given() {
    let home = Home::new();
    for (verb, rest) in [("status", ""), ("down", ""), ("exec", " pod -- true")] {
        let said = home.run(&format!("lab {verb} --lab audit-a --name audit-b{rest}"));
        assert_eq!(said.code, 2, "{said:?}");
        assert_eq!(
            said.err,
            "error: --name audit-b and --lab audit-a mean the same and differ\nhelp: give one of them\n"
        );
        let named = [
            "--lab audit-a",
            "--name audit-a",
            "--name audit-a --lab audit-a",
        ];
        for flags in named {
            let said = home.run(&format!("lab {verb} {flags}{rest}"));
            assert_eq!(said.code, 2, "{said:?}");
            assert!(said.err.contains("no lab \"audit-a\""), "{said:?}");
        }
        let said = home.run(&format!("lab {verb}{rest}"));
        assert!(said.err.contains("no lab \"lab\""), "{said:?}");
    }
    let said = home.run("lab up --lab a --name b");
    assert_eq!(said.code, 2, "{said:?}");
    home.assert_empty();
}

#[test]
fn what_a_lab_would_refuse_is_told_with_its_place_before_it_is_built() {
    let home = Home::new();
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let text = "\
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: deny, namespace: prodution}
spec: {tier: defualt, selector: all()}
---
apiVersion: v1
kind: Namespace
metadata: {name: production}
";
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().display();
    let said = home.run(&format!(
        "lab up --name refused-{} -f {path}",
        std::process::id()
    ));
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    for part in [
        format!("error: {path}:3:35: NetworkPolicy prodution/deny"),
        "namespace \"prodution\" is neither in a new lab nor in these files".to_owned(),
        "help: did you mean `production`?".to_owned(),
        format!("error: {path}:4:14: NetworkPolicy prodution/deny"),
        "tier \"defualt\" is neither in a new lab nor in these files".to_owned(),
        "nothing was started: 1 of 2 documents is invalid".to_owned(),
    ] {
        assert!(said.err.contains(&part), "{part}\n{}", said.err);
    }
    home.assert_empty();
}

fn lab_status_names_everything(home: &Home, name: &str) {
    let text = home.answer(&format!("lab status --name {name}"));
    assert!(
        text.starts_with(&format!("lab \"{name}\" is ready: 2 nodes, 5 pods\n")),
        "{text}"
    );
    for (first, others) in [
        ("node:n1", vec!["3 pods", "10.64.0.1"]),
        ("node:n2", vec!["2 pods", "10.64.0.2"]),
        ("default/attacker", vec!["n1", "tcp/1337"]),
        ("production/backend", vec!["n2", "tcp/8000"]),
        ("outside", vec!["203.0.113.9"]),
    ] {
        let line = text.lines().find(|line| line.starts_with(first)).unwrap();
        for other in others {
            assert!(line.contains(other), "{other}: {line}");
        }
    }
    let value = home.answer(&format!("lab status --lab {name} -o json"));
    let value: Value = serde_json::from_str(&value).unwrap();
    assert_eq!(
        (&value["name"], &value["ready"]),
        (&name.into(), &true.into())
    );
    assert_eq!(
        home.answer(&format!("lab status --name {name} -o name")),
        "node/n1\nnode/n2\npod/default/attacker\npod/production/api\npod/production/backend\n\
         pod/production/database\npod/production/frontend\n"
    );
}

fn commands_run_inside_pods(home: &Home, name: &str) {
    let exec = |place: &str, command: &str| {
        home.run(&format!("lab exec --name {name} {place} -- {command}"))
    };
    let said = exec("production/frontend", "curl -sS http://backend:8000");
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (0, "production/backend\n", "")
    );
    let said = exec("production/frontend", "ls /sys/class/net");
    assert_eq!(
        said.out.split_whitespace().collect::<Vec<_>>(),
        ["eth0", "lo"]
    );
    let line = format!("oncilla lab exec --name {name} attacker -- sh -c 'exit 7'");
    assert_eq!(home.shell(&line).code, 7);
    assert_eq!(exec("attacker", "false").code, 1);
    assert_eq!(exec("attacker", "no-such-program").code, 127);
    let said = exec("production/nobody", "true");
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.err.contains("production/nobody is not in this lab"),
        "{}",
        said.err
    );
}

fn status_follows_what_is_applied(home: &Home) {
    for file in [
        "02-deny-all-ingress-to-backend",
        "03-allow-frontend-to-backend",
    ] {
        home.answer(&format!("apply -f examples/demo/{file}.yaml"));
    }
    home.until_current();
    let text = home.answer("status");
    let (first, rest) = text.split_once("\n\n").unwrap();
    assert!(
        first.starts_with("2 nodes, 5 pods, rev ") && first.ends_with(": all enforcing"),
        "{first}"
    );
    for (node, counts) in [("n1", "3 pods, 2 policies"), ("n2", "2 pods, 2 policies")] {
        let start = format!("node {node}   enforcing   rev ");
        let line = rest.lines().find(|line| line.starts_with(&start)).unwrap();
        assert!(
            line.contains("(current, ") && line.contains(counts),
            "{line}"
        );
    }
    assert_eq!(text.matches("0 repairs").count(), 2, "{text}");
    assert!(!text.contains("problems"), "{text}");
    assert_eq!(home.answer("status -q"), format!("{first}\n"));
    assert_eq!(home.answer("status -o name"), "node/n1\nnode/n2\n");

    let value: Value = serde_json::from_str(&home.answer("status -o json")).unwrap();
    Schema::read("status").assert(&value);
    assert_eq!(
        (&value["healthy"], &value["pods"]),
        (&true.into(), &5.into())
    );
    let revision = value["revision"].as_u64().unwrap();
    for (node, pods) in [("n1", 3), ("n2", 2)] {
        let nodes = value["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|one| one["name"] == node).unwrap();
        assert_eq!(
            (&node["state"], &node["isCurrent"]),
            (&"enforcing".into(), &true.into())
        );
        let agent = &node["agent"];
        assert_eq!(
            (&agent["pods"], &agent["policies"]),
            (&pods.into(), &2.into())
        );
        assert!(agent["revision"].as_u64().unwrap() >= revision, "{agent}");
        assert_eq!(agent["problems"], Value::Array(Vec::new()));
    }
    // A lab's own manifests have their lines too, and a running lab is asked without being named.
    let said = home.run("why production/api production/backend tcp/8000");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out
            .contains("examples/demo/02-deny-all-ingress-to-backend.yaml:4\n"),
        "{}",
        said.out
    );
    let pod = home.answer("describe pod production/backend");
    assert!(
        pod.contains("Applied from:  examples/demo/00-cluster.yaml:"),
        "{pod}"
    );
}

fn the_kernel_is_shown_with_names(home: &Home) {
    let text = home.answer("status --kernel");
    let (first, second) = text.split_once("\nnode n2\n").unwrap();
    assert!(first.starts_with("node n1\ntable inet oncilla\n"), "{text}");
    assert!(first.contains("production/frontend eth0"), "{text}");
    for part in [
        "table inet oncilla\n",
        "production/backend eth0",
        "knp/production/deny-all-ingress-to-backend",
        "knp/production/allow-frontend-to-backend",
        "production/frontend",
    ] {
        assert!(second.contains(part), "{part}\n{text}");
    }
}

fn two_labs_are_told_apart(home: &Home, name: &str) {
    let second = format!("{name}-b");
    let said = home.run(&format!("lab up --name {second} --nodes 1"));
    assert_eq!(said.code, 0, "{said:?}");
    let said = home.run("status");
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("2 labs are running"), "{}", said.err);
    assert!(
        home.answer(&format!("status -q --lab {second}"))
            .starts_with("1 node, 0 pods, "),
    );
    assert!(
        home.answer(&format!("status -q --lab {name}"))
            .starts_with("2 nodes, 5 pods, "),
    );
    let said = home.run(&format!("lab down --name {second} -q"));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
}
