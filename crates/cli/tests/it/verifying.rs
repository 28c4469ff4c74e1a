//! `oncilla verify` on a node of a real lab: exit codes, text and the documented value.

use serde_json::Value;

use super::home::Home;
use super::schema::Schema;

const CLUSTER: &str = "examples/demo/00-cluster.yaml";
const DENY: &str = "examples/demo/04-deny-database-from-frontend.yaml";

#[test]
fn a_node_is_verified_and_a_difference_is_named() {
    let home = Home::new();
    let said = home.run(&format!("lab up -f {CLUSTER} -f {DENY}"));
    assert_eq!(said.code, 0, "{said:?}");
    home.until_current();
    let status: Value = serde_json::from_str(&home.answer("lab status -o json")).unwrap();
    let server = status["server"].as_str().unwrap();
    let verify = |node: &str, rest: &str| {
        home.shell(&format!(
            "oncilla lab exec node:{node} -- oncilla verify --node {node} --server {server} {rest}"
        ))
    };
    let schema = Schema::read("verify");
    for node in ["n1", "n2"] {
        let said = verify(node, "");
        assert_eq!(said.code, 0, "{said:?}");
        let begin = format!("node {node}: the kernel holds what the store says (");
        assert!(said.out.starts_with(&begin), "{said:?}");
        let said = verify(node, "-o json");
        schema.assert(&serde_json::from_str(&said.out).unwrap());
    }
    // As if the agent had been told something else.
    let said = verify("n1", "--endpoint-to-host drop");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.starts_with("node n1: DIFFERENT: "), "{said:?}");
    assert!(said.out.contains("chain wl_to_host: rule "), "{said:?}");
    let said = verify("n1", "--endpoint-to-host drop -o json");
    assert_eq!(said.code, 1, "{said:?}");
    schema.assert(&serde_json::from_str(&said.out).unwrap());
    // Of another node everything is different; of no name nothing can be said.
    assert_eq!(
        verify("n2", "--node n1").code,
        2,
        "an option cannot be given twice"
    );
    let said = home.shell(&format!(
        "oncilla lab exec node:n2 -- oncilla verify --node n1 --server {server} -q"
    ));
    assert_eq!((said.code, said.out.lines().count()), (1, 1), "{said:?}");
    home.answer("lab down");
    let said = home.run("verify --node n1 --server /nowhere/api.sock");
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    assert_eq!(home.run("verify --node Bad_Node").code, 2);
}
