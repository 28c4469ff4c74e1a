//! `oncilla log`: denied connections of a real lab in words, until Ctrl-C or until nobody reads.

use serde_json::Value;

use super::home::Home;
use super::schema::Schema;

const CLUSTER: &str = "examples/demo/00-cluster.yaml";
const DENY: &str = "examples/demo/04-deny-database-from-frontend.yaml";
const STAGED: &str = "\
apiVersion: projectcalico.org/v3
kind: StagedNetworkPolicy
metadata: {name: deny-database-from-frontend, namespace: production}
spec: {stagedAction: Delete}
";
const KNOCK: &str =
    "oncilla lab exec production/frontend -- curl -s --max-time 1 http://database:5432; true";
const LINE: &str = "deny production/frontend -> production/database tcp/5432 by \
    default/np/production/deny-database-from-frontend ingress[0]";

/// Connects until what was denied is certain: of packets right after a change it is not.
fn until_denied(home: &Home) -> String {
    for _ in 0..20 {
        home.shell(KNOCK);
        let said = home.run("log production/database");
        assert_eq!(said.code, 0, "{said:?}");
        if let Some(line) = said.out.lines().find(|line| line.contains("deny-database")) {
            return line.to_owned();
        }
    }
    panic!("nothing was denied: {:?}", home.run("log"));
}

#[test]
fn denied_connections_are_told_in_words() {
    let home = Home::new();
    let said = home.run(&format!("lab up -f {CLUSTER}"));
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(home.answer("log"), "", "nothing was denied yet");
    home.answer(&format!("apply -f {DENY}"));
    home.until_current();

    let line = until_denied(&home);
    let (node, line) = line.split_once("  ").unwrap();
    assert!(["n1", "n2"].contains(&node), "{node}");
    assert_eq!(line.split(" (x").next().unwrap(), LINE);
    for (place, is_told) in [("frontend", true), ("attacker", false), ("node:n9", false)] {
        let said = home.answer(&format!("log {place}"));
        assert_eq!(said.contains(LINE), is_told, "{place}: {said}");
    }

    let mut follow = home.start("log -f");
    follow.until(LINE);
    follow.interrupt();
    assert_eq!(follow.end().0, Some(130));
    let said = home.shell("oncilla log -f | head -n 1");
    assert!(said.code == 0 && said.out.contains("deny"), "{said:?}");

    let said = home.shell(&format!("printf '{STAGED}' | oncilla apply -f -"));
    assert_eq!(said.code, 0, "{said:?}");
    let said = home.answer("log frontend -o json");
    let schema = Schema::read("log");
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        schema.assert(line);
    }
    let told = lines
        .iter()
        .find(|line| line["blame"]["by"] == "rule")
        .unwrap();
    assert_eq!(told["staged"], "allow", "{told}");
    let said = home.answer("log");
    assert!(
        said.contains("; allow if the staged policies were set"),
        "{said}"
    );

    home.run("lab down");
    let said = home.run("log");
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.err.contains("no agent tells its denied flows"),
        "{said:?}"
    );
    let said = home.run("log -o yaml");
    assert_eq!(said.code, 2, "{said:?}");
}
