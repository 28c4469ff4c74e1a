//! What faulty Kubernetes objects get.

use crate::check;

#[test]
fn host_bits_are_masked_with_a_warning() {
    check(
        r"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: deny
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock:
        cidr: 10.1.2.3/8
        except:
        - 10.9.9.9/16
",
        r#"warning: policy.yaml:10:15: NetworkPolicy default/deny
       spec.ingress[0].from[0].ipBlock.cidr: host bits are set in "10.1.2.3/8": read as 10.0.0.0/8, as the API server does
help: write 10.0.0.0/8
warning: policy.yaml:12:11: NetworkPolicy default/deny
       spec.ingress[0].from[0].ipBlock.except[0]: host bits are set in "10.9.9.9/16": read as 10.9.0.0/16, as the API server does
help: write 10.9.0.0/16
"#,
    );
}

#[test]
fn a_bad_block_is_refused() {
    check(
        r"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: deny
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock:
        cidr: 10.0.0.0
    - ipBlock:
        cidr: 10.0.0.0/8
        except: [11.0.0.0/8, 10.0.0.0/8, x]
",
        r#"error: policy.yaml:10:15: NetworkPolicy default/deny
       spec.ingress[0].from[0].ipBlock.cidr: invalid CIDR "10.0.0.0": the prefix length is missing
help: write 10.0.0.0/32 for the one address
error: policy.yaml:13:18: NetworkPolicy default/deny
       spec.ingress[0].from[1].ipBlock.except[0]: must be a strict subset of cidr, which is 10.0.0.0/8
help: write a smaller block inside it, or remove it
error: policy.yaml:13:30: NetworkPolicy default/deny
       spec.ingress[0].from[1].ipBlock.except[1]: must be a strict subset of cidr, which is 10.0.0.0/8
help: write a smaller block inside it, or remove it
error: policy.yaml:13:42: NetworkPolicy default/deny
       spec.ingress[0].from[1].ipBlock.except[2]: invalid CIDR "x"
help: write an address, a slash and a prefix length, as in 10.0.0.0/8
"#,
    );
}

#[test]
fn a_peer_says_who() {
    check(
        r"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: deny
spec:
  podSelector: {}
  egress:
  - to:
    - {}
    - namespaceSelector:
    - ipBlock: {cidr: 10.0.0.0/8}
      podSelector: {}
",
        r"error: policy.yaml:9:7: NetworkPolicy default/deny
       spec.egress[0].to[0]: must specify a peer
help: add `podSelector:`, `namespaceSelector:` or `ipBlock:` (`podSelector: {}` is every pod of this namespace)
error: policy.yaml:10:7: NetworkPolicy default/deny
       spec.egress[0].to[1]: must specify a peer
help: add `podSelector:`, `namespaceSelector:` or `ipBlock:` (`podSelector: {}` is every pod of this namespace)
error: policy.yaml:11:7: NetworkPolicy default/deny
       spec.egress[0].to[2]: may not specify both ipBlock and another peer
help: make the ipBlock an item of its own
",
    );
}

#[test]
fn ports_have_rules() {
    check(
        r#"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: deny
spec:
  podSelector: {}
  ingress:
  - ports:
    - port: 0
    - port: "80"
    - port: http
      endPort: 90
    - endPort: 90
    - port: 90
      endPort: 80
    - port: 80
      endPort: 70000
    - protocol: tcp
"#,
        r#"error: policy.yaml:9:13: NetworkPolicy default/deny
       spec.ingress[0].ports[0].port: must be between 1 and 65535
help: write a port from 1 to 65535
error: policy.yaml:10:13: NetworkPolicy default/deny
       spec.ingress[0].ports[1].port: port name must consist of lower case alphanumeric characters or '-', with at least one letter, no '--', and start and end with an alphanumeric character
help: write 80 without quotes for the number
error: policy.yaml:12:16: NetworkPolicy default/deny
       spec.ingress[0].ports[2].endPort: may not be specified when port is a name
help: write the first port as a number, or remove `endPort:`
error: policy.yaml:13:16: NetworkPolicy default/deny
       spec.ingress[0].ports[3].endPort: may not be specified when port is not specified
help: add `port:` with the first port of the range
error: policy.yaml:15:16: NetworkPolicy default/deny
       spec.ingress[0].ports[4].endPort: must be greater than or equal to port, which is 90
help: swap port and endPort
error: policy.yaml:17:16: NetworkPolicy default/deny
       spec.ingress[0].ports[5].endPort: must be between 1 and 65535
help: write a port from 1 to 65535
error: policy.yaml:18:17: NetworkPolicy default/deny
       spec.ingress[0].ports[6].protocol: unknown value "tcp"
help: did you mean `TCP`?
"#,
    );
}

#[test]
fn label_selectors_have_rules() {
    check(
        r"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: deny
spec:
  podSelector:
    matchLabels:
      app: a b
    matchExpressions:
    - {key: -x, operator: Exists}
    - {key: x, operator: In}
    - {key: x, operator: Exists, values: [a]}
    - {key: x, operator: Is}
",
        r#"error: policy.yaml:8:12: NetworkPolicy default/deny
       spec.podSelector.matchLabels.app: label value must be empty or consist of alphanumeric characters, '-', '_' or '.', and start and end with an alphanumeric character
help: write letters, digits, '-', '_' and '.', or the empty value
error: policy.yaml:10:13: NetworkPolicy default/deny
       spec.podSelector.matchExpressions[0].key: label name must consist of alphanumeric characters, '-', '_' or '.', start and end with an alphanumeric character, optionally with a DNS name and '/' in front
help: write a name like app or example.org/app
error: policy.yaml:11:26: NetworkPolicy default/deny
       spec.podSelector.matchExpressions[1]: values must be specified when operator is In or NotIn
help: add `values:` with at least one value
error: policy.yaml:12:34: NetworkPolicy default/deny
       spec.podSelector.matchExpressions[2].values: values may not be specified when operator is Exists or DoesNotExist
help: remove `values:`, or use In or NotIn
error: policy.yaml:13:26: NetworkPolicy default/deny
       spec.podSelector.matchExpressions[3].operator: unknown value "Is"
help: did you mean `In`?
"#,
    );
}

#[test]
fn pods_have_rules() {
    check(
        r#"apiVersion: v1
kind: Pod
metadata:
  name: a
spec:
  nodeName: N1
  containers:
  - name: C
    ports:
    - containerPort: 0
    - containerPort: 80
      name: "80"
    - containerPort: 80
      name: http
      hostPort: 70000
    - containerPort: 81
      name: http
    - containerPort: http
  - name: C
status:
  podIP: 10.0.0.2
  podIPs:
  - ip: 10.0.0.1
  - ip: 10.0.0.3
  - ip: nowhere
"#,
        r#"error: policy.yaml:6:13: Pod default/a
       spec.nodeName: must consist of lower case alphanumeric characters, '-' or '.', and start and end with an alphanumeric character
error: policy.yaml:8:11: Pod default/a
       spec.containers[0].name: name must consist of lower case alphanumeric characters or '-', and start and end with an alphanumeric character
error: policy.yaml:10:22: Pod default/a
       spec.containers[0].ports[0].containerPort: must be between 1 and 65535
help: write a port from 1 to 65535
error: policy.yaml:12:13: Pod default/a
       spec.containers[0].ports[1].name: port name must consist of lower case alphanumeric characters or '-', with at least one letter, no '--', and start and end with an alphanumeric character
error: policy.yaml:15:17: Pod default/a
       spec.containers[0].ports[2].hostPort: must be between 1 and 65535
help: write a port from 1 to 65535
error: policy.yaml:17:13: Pod default/a
       spec.containers[0].ports[3].name: another port is called "http"
error: policy.yaml:18:22: Pod default/a
       spec.containers[0].ports[4].containerPort: expected an integer, found string "http"
help: write an integer, as in 10
error: policy.yaml:19:11: Pod default/a
       spec.containers[1].name: name must consist of lower case alphanumeric characters or '-', and start and end with an alphanumeric character
error: policy.yaml:19:11: Pod default/a
       spec.containers[1].name: another container is called "C"
error: policy.yaml:21:10: Pod default/a
       status.podIP: must equal podIPs[0].ip, which is 10.0.0.1
error: policy.yaml:24:9: Pod default/a
       status.podIPs[1].ip: may specify no more than one IP for each IP family
error: policy.yaml:25:9: Pod default/a
       status.podIPs[2].ip: invalid IP address "nowhere"
help: write an address, as in 10.0.0.1 or fd00::1
"#,
    );
}

#[test]
fn a_pod_has_a_container() {
    check(
        r"apiVersion: v1
kind: Pod
metadata:
  name: a
",
        r"error: policy.yaml:1:1: Pod default/a
       spec.containers: at least one container is required
help: add `containers:` with a `name:` and an `image:`
",
    );
}

#[test]
fn services_have_rules() {
    check(
        r"apiVersion: v1
kind: Service
metadata:
  name: 1a
spec:
  clusterIP: here
  ports:
  - port: 0
  - port: 80
    targetPort: Web_1
  - name: x
    port: 80
    targetPort: 70000
  - name: x
    port: 81
    protocol: HTTP
",
        r#"error: policy.yaml:4:9: Service default/1a
       metadata.name: name must consist of lower case alphanumeric characters or '-', start with a letter and end with an alphanumeric character
help: write a name like my-name
error: policy.yaml:6:14: Service default/1a
       spec.clusterIP: invalid IP address "here"
help: write an address, as in 10.0.0.1 or fd00::1
error: policy.yaml:8:5: Service default/1a
       spec.ports[0]: "name" is required when a service has several ports
help: add `name:` to every port
error: policy.yaml:8:11: Service default/1a
       spec.ports[0].port: must be between 1 and 65535
help: write a port from 1 to 65535
error: policy.yaml:9:5: Service default/1a
       spec.ports[1]: "name" is required when a service has several ports
help: add `name:` to every port
error: policy.yaml:10:17: Service default/1a
       spec.ports[1].targetPort: port name must consist of lower case alphanumeric characters or '-', with at least one letter, no '--', and start and end with an alphanumeric character
error: policy.yaml:13:17: Service default/1a
       spec.ports[2].targetPort: must be between 1 and 65535
help: write a port from 1 to 65535
error: policy.yaml:14:11: Service default/1a
       spec.ports[3].name: another port is called "x"
error: policy.yaml:16:15: Service default/1a
       spec.ports[3].protocol: unknown value "HTTP"
help: expected one of: TCP, UDP, SCTP
"#,
    );
}

#[test]
fn nodes_have_addresses() {
    check(
        r"apiVersion: v1
kind: Node
metadata:
  name: n1
spec:
  podCIDR: 10.0.0.0
  podCIDRs: [10.0.0.0/33]
status:
  addresses:
  - type: InternalIP
    address: nowhere
  - type: Hostname
    address: n1
",
        r#"error: policy.yaml:6:12: Node n1
       spec.podCIDR: invalid CIDR "10.0.0.0": the prefix length is missing
help: write 10.0.0.0/32 for the one address
error: policy.yaml:7:14: Node n1
       spec.podCIDRs[0]: invalid CIDR "10.0.0.0/33": IPv4 addresses have 32 bits
help: write a prefix length from 0 to 32
error: policy.yaml:11:14: Node n1
       status.addresses[0].address: invalid IP address "nowhere"
help: write an address, as in 10.0.0.1 or fd00::1
"#,
    );
}

#[test]
fn misspelt_fields_of_pods_and_services_are_refused() {
    check(
        r"apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  hostnetwork: true
  nodeSelector: {a: b}
  containers:
  - name: c
    imag: web
    tty: true
    ports:
    - containerPort: 53
      protcol: UDP
      nmae: dns
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec:
  selectr: {app: web}
  somethingNew: {}
  ports:
  - port: 80
    tragetPort: 8080
",
        r#"error: policy.yaml:5:3: Pod default/a
       spec.hostnetwork: unknown field "hostnetwork"
help: did you mean `hostNetwork`?
error: policy.yaml:9:5: Pod default/a
       spec.containers[0].imag: unknown field "imag"
help: did you mean `image`?
error: policy.yaml:13:7: Pod default/a
       spec.containers[0].ports[0].protcol: unknown field "protcol"
help: did you mean `protocol`?
error: policy.yaml:14:7: Pod default/a
       spec.containers[0].ports[0].nmae: unknown field "nmae"
help: did you mean `name`?
error: policy.yaml:20:3: Service default/a
       spec.selectr: unknown field "selectr"
help: did you mean `selector`?
error: policy.yaml:24:5: Service default/a
       spec.ports[0].tragetPort: unknown field "tragetPort"
help: did you mean `targetPort`?
"#,
    );
    check(
        r"apiVersion: v1
kind: Namespace
metdata: {name: a}
",
        r#"error: policy.yaml:1:1: Namespace
       metadata.name: "name" is required
help: add `name:` to `metadata:`
error: policy.yaml:3:1: Namespace
       metdata: unknown field "metdata"
help: did you mean `metadata`?
"#,
    );
}

#[test]
fn a_slice_lists_addresses_of_its_type() {
    check(
        r"apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-abc
  labels: {kubernetes.io/service-name: web}
addressType: IPv4
endpoints:
- addresses: [10.0.0.1, 'fd00::1', nowhere]
  conditions: {ready: false}
ports:
- {name: http, port: 80}
- {port: 65536, protocol: UDP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-fqdn
addressType: FQDN
endpoints:
- addresses: [example.org]
ports:
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-typo
addresType: IPv4
",
        r#"error: policy.yaml:8:25: EndpointSlice default/web-abc
       endpoints[0].addresses[1]: fd00::1 is no IPv4 address
error: policy.yaml:8:36: EndpointSlice default/web-abc
       endpoints[0].addresses[2]: invalid IP address "nowhere"
help: write an address, as in 10.0.0.1 or fd00::1
error: policy.yaml:12:10: EndpointSlice default/web-abc
       ports[1].port: must be between 1 and 65535
help: write a port from 1 to 65535
error: policy.yaml:23:1: EndpointSlice default/web-typo
       addressType: "addressType" is required
help: write `addressType: IPv4`, or what the addresses are
error: policy.yaml:27:1: EndpointSlice default/web-typo
       addresType: unknown field "addresType"
help: did you mean `addressType`?
"#,
    );
}
