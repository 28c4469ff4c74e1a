//! The validation table: every row with one object that it accepts and one that it refuses, for every kind that
//! has the row.

#[path = "table/endpoint.rs"]
mod endpoint;
#[path = "table/felix.rs"]
mod felix;
#[path = "table/metadata.rs"]
mod metadata;
#[path = "table/policy.rs"]
mod policy;
#[path = "table/pool.rs"]
mod pool;
#[path = "table/rule.rs"]
mod rule;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use oncilla_api::manifest::{Limits, decode};
use oncilla_api::{Check, Code, FieldError, Kind, Object, checks, v3};

/// Stands in [`Case::also`] for "not supported yet".
const UNSUPPORTED: &str = "unsupported";

/// What one row accepts and refuses. Texts are YAML below `kind:`; `metadata:` and `spec:` are filled in when they
/// are not there.
struct Case {
    /// The row.
    check: &'static str,
    accepts: String,
    refuses: String,
    /// The field that is named.
    at: &'static str,
    /// The whole message; empty when the row says enough.
    says: &'static str,
    /// Rows that speak beside this one, in both objects.
    also: &'static [&'static str],
}

/// A case whose message is the row's own.
fn case(
    check: &'static str,
    accepts: impl Into<String>,
    refuses: impl Into<String>,
    at: &'static str,
) -> Case {
    Case {
        check,
        accepts: accepts.into(),
        refuses: refuses.into(),
        at,
        says: "",
        also: &[],
    }
}

impl Case {
    fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }
}

fn cases() -> Vec<Case> {
    [
        metadata::cases(),
        policy::cases(),
        rule::cases(),
        endpoint::cases(),
        felix::cases(),
        pool::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A text about `spec.selector` for kinds that only have another selector.
fn of_kind(kind: Kind, text: &str) -> String {
    match kind {
        Kind::IPPool => text.replace("{selector: ", "{cidr: 10.0.0.0/16, nodeSelector: "),
        Kind::FelixConfiguration => text.replace("{selector: ", "{nodeSelector: "),
        _ => text.to_owned(),
    }
}

/// A whole object of a kind.
fn object(kind: Kind, text: &str) -> String {
    let text = &of_kind(kind, text);
    let mut whole = format!(
        "apiVersion: {}\nkind: {}\n",
        kind.api_version(),
        kind.kind_name()
    );
    if !text.contains("metadata: ") {
        whole.push_str("metadata: {name: a}\n");
    }
    if !text.contains("spec: ") {
        whole.push_str(match kind {
            Kind::Pod => "spec: {containers: [{name: c, image: i}]}\n",
            Kind::ClusterNetworkPolicy => {
                "spec: {tier: Admin, priority: 1, subject: {namespaces: {}}}\n"
            }
            Kind::KubernetesNetworkPolicy => "spec: {podSelector: {}}\n",
            Kind::IPPool => "spec: {cidr: 10.0.0.0/8}\n",
            Kind::HostEndpoint => "spec: {node: a, interfaceName: eth0}\n",
            Kind::EndpointSlice => "addressType: IPv4\n",
            _ => "",
        });
    }
    whole.push_str(text);
    whole
}

/// Everything that is wrong with an object, also with its place in the file.
fn faults(kind: Kind, text: &str) -> Vec<FieldError> {
    let text = object(kind, text);
    let manifest = decode("case.yaml", text.as_bytes(), &Limits::default());
    let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let faults = Object::from_value(kind, value).err().unwrap_or_default();
    assert_eq!(manifest.has_errors(), !faults.is_empty(), "{text}");
    for diagnostic in &manifest.diagnostics {
        assert!(diagnostic.line > 2, "no place for {diagnostic}");
    }
    faults
}

/// The rows that a case may break besides its own.
fn is_beside(case: &Case, error: &FieldError) -> bool {
    case.also.iter().any(|also| {
        error.check == Some(also) || (*also == UNSUPPORTED && error.code == Code::NotSupported)
    })
}

fn judge(check: &Check, case: &Case, kind: Kind) {
    let id = check.id;
    let faults_of = |text: &str| {
        let mut found = faults(kind, text);
        found.retain(|error| !is_beside(case, error));
        found
    };
    assert_eq!(faults_of(&case.accepts), [], "{id}: {kind} is not accepted");
    let found = faults_of(&case.refuses);
    let [error] = found.as_slice() else {
        panic!("{id}: {kind}: one fault expected, found {found:#?}");
    };
    let message = error.message.as_str();
    let at = match kind {
        Kind::IPPool | Kind::FelixConfiguration => {
            case.at.replace("spec.selector", "spec.nodeSelector")
        }
        _ => case.at.to_owned(),
    };
    assert_eq!(error.path, at, "{id}: {kind}: {message}");
    if !case.says.is_empty() {
        assert_eq!(
            message,
            case.says.replace("{kind}", kind.kind_name()),
            "{id}"
        );
    }
    assert!(
        fits(check.says, message),
        "{id} says {:?}, not {message:?}",
        check.says
    );
    // What is no value of its type is said by the reader of types, which knows no rows.
    assert!(
        error.check.is_none_or(|found| found == id),
        "{id}: {kind}: {error:?}"
    );
    assert!(
        error.check.is_some() || BY_TYPE.contains(&id),
        "{id}: {kind}: {error:?}"
    );
    assert!(
        error.help.as_ref().is_some_and(|help| !help.is_empty()),
        "{id}: {error:?}"
    );
}

/// Rows that the types themselves hold.
const BY_TYPE: &[&str] = &[
    "felix.allow-action-value",
    "felix.endpoint-to-host-value",
    "felix.failsafes-value",
    "felix.source-spoofing-value",
    "pool.assignment-value",
    "pool.mode-value",
    "pool.use-value",
    "policy.performance-hints",
    "policy.types-value",
    "rule.action-missing",
    "rule.action-value",
    "staged.action-value",
    "tier.default-action-value",
];

/// Rows that no file can break: objects in memory can, and have a test of their own.
const IN_MEMORY: &[&str] = &["order.finite"];

/// Whether a message is a row's text with something in the places of `{0}`, `{1}`, ….
fn fits(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    let mut first = true;
    for piece in pattern.split_inclusive(['{', '}']) {
        let literal = piece.trim_end_matches(['{', '}']);
        if piece.ends_with('}') && literal.bytes().all(|byte| byte.is_ascii_digit()) {
            first = false;
            continue;
        }
        match rest.split_once(literal) {
            Some((before, behind)) if !first || before.is_empty() => rest = behind,
            _ => return false,
        }
    }
    rest.is_empty() || pattern.ends_with('}')
}

#[test]
fn every_row_accepts_and_refuses() {
    let mut cases: BTreeMap<&str, Case> = BTreeMap::new();
    for case in self::cases() {
        let id = case.check;
        assert!(cases.insert(id, case).is_none(), "{id} has two cases");
    }
    for check in checks().filter(|check| !IN_MEMORY.contains(&check.id)) {
        let case = cases.remove(check.id);
        let case = case.unwrap_or_else(|| panic!("the row {} has no case", check.id));
        for kind in check.kinds {
            judge(check, &case, *kind);
        }
    }
    let without: Vec<_> = cases.keys().collect();
    assert!(without.is_empty(), "cases without a row: {without:?}");
}

#[test]
fn orders_are_numbers_also_where_no_file_was_read() {
    let of = |order: f64| -> [Object; 3] {
        let mut objects = (
            v3::Tier::default(),
            v3::NetworkPolicy::default(),
            v3::GlobalNetworkPolicy::default(),
        );
        objects.0.spec.order = Some(order);
        objects.1.spec.order = Some(order);
        objects.2.spec.order = Some(order);
        [objects.0.into(), objects.1.into(), objects.2.into()]
    };
    let is_refused = |object: &Object| {
        let found = object.validate();
        found
            .iter()
            .any(|error| error.check == Some("order.finite"))
    };
    for order in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(of(order).iter().all(is_refused), "{order}");
    }
    assert!(!of(-1e300).iter().any(is_refused));
    for text in [".inf", "-.Inf", ".nan", "1e999"] {
        let text = object(Kind::Tier, &format!("spec: {{order: {text}}}"));
        assert!(decode("case.yaml", text.as_bytes(), &Limits::default()).has_errors());
    }
}

/// A kind that nobody put into the lists of names and namespaces would have no case for them.
#[test]
fn every_kind_has_its_rows() {
    let having = |ids: &[&str], kind: Kind| {
        let rows = checks().filter(|check| ids.contains(&check.id));
        rows.filter(|check| check.kinds.contains(&kind)).count()
    };
    for kind in Kind::ALL {
        let namespaces = ["metadata.namespace", "metadata.namespace-unwanted"];
        assert_eq!(having(&namespaces, kind), 1, "{kind} in {namespaces:?}");
        let names = [
            "metadata.name-subdomain",
            "metadata.name-label",
            "metadata.name-service",
            "metadata.name-policy",
            "metadata.name-global-policy",
        ];
        assert_eq!(having(&names, kind), 1, "{kind} in {names:?}");
    }
}

#[test]
fn every_row_can_be_read() {
    let mut ids = BTreeSet::new();
    for check in checks() {
        let id = check.id;
        assert!(ids.insert(id), "{id} is there twice");
        for text in [check.field, check.source, check.says, check.mend] {
            assert!(!text.is_empty(), "{id} lacks a column");
        }
        assert!(!check.kinds.is_empty(), "{id} is of no kind");
        let kinds: BTreeSet<_> = check.kinds.iter().collect();
        assert_eq!(kinds.len(), check.kinds.len(), "{id} names a kind twice");
        for id in BY_TYPE {
            assert!(checks().any(|check| check.id == *id), "no row {id}");
        }
    }
}

/// The table as a page of the documentation.
fn page() -> String {
    let mut page = String::from(
        "# What validation refuses\n\n\
         Every check of names and of Calico's kinds: written by the test `table::the_page_is_the_table` of `crates/api` from \
         `crates/api/src/validate/table` (`ONCILLA_WRITE_DOCS=1` writes it anew). Each row has an object that it accepts and one \
         that it refuses, in `crates/api/tests/it/table`. `{0}`, `{1}` stand for what differs. Sources are paragraphs of the \
         semantics page that the project was given; Kubernetes' own kinds have Kubernetes' checks.\n\n\
         | check | kinds | fields | what is said | how to mend it | source |\n|---|---|---|---|---|---|\n",
    );
    // A bar would end the column.
    let cell = |text: &str| text.replace('|', "\\|");
    for check in checks() {
        let kinds = match check.kinds.len() {
            all if all == Kind::ALL.len() => "every kind".to_owned(),
            // Which ones can be looked up; named here they would hide the rest of the row.
            7.. => "many kinds".to_owned(),
            _ => {
                let names = check.kinds.iter().map(|kind| match kind {
                    Kind::KubernetesNetworkPolicy => "NetworkPolicy (Kubernetes)",
                    kind => kind.kind_name(),
                });
                names.collect::<Vec<_>>().join(", ")
            }
        };
        let (id, field) = (check.id, cell(check.field));
        let (says, mend, source) = (cell(check.says), cell(check.mend), check.source);
        writeln!(
            page,
            "| `{id}` | {kinds} | `{field}` | {says} | {mend} | {source} |"
        )
        .expect("a text takes everything");
    }
    page
}

#[test]
fn the_page_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/validation.md");
    let writes = std::env::var_os("ONCILLA_WRITE_DOCS").is_some();
    if writes {
        fs::write(&path, page()).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert!(
        found == page(),
        "docs/validation.md is old: run this test with ONCILLA_WRITE_DOCS=1"
    );
}

/// The modules that check Calico's kinds say nothing that is not in the table.
#[test]
fn calicos_kinds_speak_through_the_table() {
    let modules = [
        include_str!("../../src/validate/cluster.rs"),
        include_str!("../../src/validate/felix.rs"),
        include_str!("../../src/validate/felix/kept.rs"),
        include_str!("../../src/validate/host.rs"),
        include_str!("../../src/validate/metadata.rs"),
        include_str!("../../src/validate/rule.rs"),
        include_str!("../../src/validate/rule/icmp.rs"),
        include_str!("../../src/validate/staged.rs"),
        include_str!("../../src/validate/v3.rs"),
        include_str!("../../src/validate/workload.rs"),
        include_str!("../../src/validate/rule/http.rs"),
        include_str!("../../src/validate/selector.rs"),
    ];
    for module in modules {
        for free in [
            "FieldError::new(",
            ".invalid(",
            ".check(\"",
            "errors.count(",
        ] {
            assert!(
                !module.contains(free),
                "{free} stands in a module of Calico's kinds"
            );
        }
    }
}
