//! Hosts and services in a lab that really runs: a host endpoint refuses a real connection, and `why` and `log` name the
//! rule; rules that name services mean the pods behind them.

use super::home::Home;

const CLUSTER: &str = "examples/demo/00-cluster.yaml";
const HOSTS: &str = "\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: n1-eth0, labels: {role: node}}
spec: {node: n1, interfaceName: eth0}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: no-backend}
spec:
  selector: role == \"node\"
  order: 10
  types: [Ingress, Egress]
  ingress: [{action: Allow}]
  egress:
    - {action: Deny, protocol: TCP, destination: {selector: app == \"backend\", ports: [8000]}}
    - {action: Allow}
";
const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: production}
spec: {selector: {app: backend}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: only-web, namespace: production}
spec:
  selector: app == \"frontend\"
  types: [Egress]
  egress: [{action: Allow, destination: {services: {name: web}}}]
";
const RULE: &str = "default/gnp/no-backend egress[0]";
const LINE: &str = "deny host:n1 -> production/backend tcp/8000 by default/gnp/no-backend egress[0] \
    (normal, host endpoint n1-eth0)";

/// The exit code of a connection from a place.
fn knock(home: &Home, place: &str, at: &str) -> i32 {
    let line = format!("oncilla lab exec {place} -- curl -s -o /dev/null --max-time 1 http://{at}");
    home.shell(&line).code
}

#[test]
fn a_host_endpoint_refuses_a_real_connection_and_the_rule_is_named() {
    let home = Home::new();
    let said = home.run(&format!("lab up -f {CLUSTER}"));
    assert_eq!(said.code, 0, "{said:?}");
    let (backend, api) = ("backend.production:8000", "api.production:9000");
    for at in [backend, api] {
        assert_eq!(knock(&home, "host:n1", at), 0, "{at}");
    }
    let said = home.shell(&format!("printf '%s' '{HOSTS}' | oncilla apply -f -"));
    assert_eq!(said.code, 0, "{said:?}");
    home.until_current();
    // Between hosts and pods, both ways; of another node's host nothing is said.
    for (place, at, code) in [
        ("host:n1", backend, 28),
        ("host:n1", api, 0),
        ("host:n2", backend, 0),
        ("production/frontend", backend, 0),
    ] {
        assert_eq!(knock(&home, place, at), code, "{place} {at}");
    }
    let said = home.run("why host:n1 production/backend tcp/8000");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("no-backend"), "{said:?}");
    assert_eq!(home.run("why host:n1 production/api tcp/9000").code, 0);
    let told = (0..20).find_map(|_| {
        let said = home.answer("log host:n1");
        let line = said
            .lines()
            .find(|line| line.contains(RULE))
            .map(str::to_owned);
        // Of packets right after a change the rule is not certain.
        if line.is_none() {
            knock(&home, "host:n1", backend);
        }
        line
    });
    let told = told.unwrap_or_else(|| panic!("{}", home.answer("log")));
    assert!(told.contains(LINE), "{told}");
    home.answer("lab down");
}

#[test]
fn rules_that_name_services_mean_the_pods_behind_them() {
    let home = Home::new();
    let said = home.shell(&format!(
        "printf '%s' '{SERVICE}' | oncilla lab up -f {CLUSTER} -f -"
    ));
    assert_eq!(said.code, 0, "{said:?}");
    let from = "production/frontend";
    assert_eq!(knock(&home, from, "backend:8000"), 0);
    assert_eq!(knock(&home, from, "api:9000"), 28);
    let said = home.run("why production/frontend production/backend tcp/8000");
    assert_eq!(said.code, 0, "{said:?}");
    let listed = home.answer("get endpointslices -n production -o name");
    assert!(listed.contains("web-ipv4-1"), "{listed}");
    home.answer("lab down");
}
