//! The checker of the table: it finds what is too rare, what is unknown and what cannot be.

use super::*;

/// A table in which every pair that can be occurs just often enough, and no other.
fn full() -> Coverage {
    let mut coverage = Coverage::default();
    for field in &FIELDS {
        for at in PLACES {
            let can_be = |outcome: &Outcome| impossible(field, at, *outcome).is_none();
            for outcome in OUTCOMES.into_iter().filter(can_be) {
                (0..PAIR_MIN).for_each(|_| coverage.add(at, outcome, [field]));
            }
        }
    }
    coverage
}

/// The faults of the whole table.
fn faults(coverage: &Coverage) -> Vec<String> {
    [coverage.faults(false), coverage.faults(true)].concat()
}

#[test]
fn a_full_table_has_no_faults() {
    assert_eq!(faults(&full()), Vec::<String>::new());
}

#[test]
fn a_rare_pair_is_a_fault() {
    let mut coverage = full();
    let row = coverage.rows.get_mut("v3 source.nets").unwrap();
    row[0][Outcome::Pass as usize] -= 1;
    assert_eq!(
        faults(&coverage),
        ["v3 source.nets met Pass at Workload 49 times only"]
    );
}

#[test]
fn a_field_that_never_occurs_is_a_fault_in_every_pair() {
    let mut coverage = full();
    coverage.rows.remove("v3 notICMP.code");
    assert_eq!(faults(&coverage).len(), PLACES.len() * OUTCOMES.len());
}

#[test]
fn an_impossible_pair_that_occurs_is_a_fault() {
    let mut coverage = full();
    coverage.add(At::Workload, Outcome::Deny, &["knp podSelector"]);
    coverage.add(At::Host(Chain::Forward), Outcome::Allow, &["sgnp"]);
    let faults = faults(&coverage);
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert!(faults[0].contains("knp podSelector") && faults[0].contains("§2.9"));
    assert!(faults[1].contains("sgnp") && faults[1].contains("§2.8"));
}

#[test]
fn a_field_without_a_row_is_a_fault() {
    let mut coverage = full();
    coverage.strangers.insert("v3 http".to_owned());
    let stranger = "v3 http is not in the list of fields";
    assert_eq!(faults(&coverage), [stranger, stranger]);
}

#[test]
fn every_reason_rules_something_out() {
    // A misspelt field would hide nothing, and go unnoticed.
    assert_eq!(impossible::idle(&FIELDS), Vec::<&str>::new());
}

#[test]
fn rules_are_read_into_the_names_of_the_list() {
    let rule = serde_json::json!({"action": "Allow", "protocol": "TCP", "notProtocol": 6,
        "source": {"nets": ["0.0.0.0/0"], "serviceAccounts": {"names": ["a"]}, "notPorts": ["1:9", "web"]},
        "destination": {"services": {"name": "a"}, "namespaceSelector": "global()", "ports": [80]}});
    let found: Vec<String> = fields::rule_fields("v3", &rule).into_iter().collect();
    assert_eq!(
        found,
        [
            "v3 destination.namespaceSelector (global())",
            "v3 destination.ports (number)",
            "v3 destination.services (own namespace)",
            "v3 notProtocol (number)",
            "v3 protocol (name)",
            "v3 source and destination",
            "v3 source.nets",
            "v3 source.nets (everything)",
            "v3 source.notPorts (name)",
            "v3 source.notPorts (range)",
            "v3 source.serviceAccounts.names",
        ]
    );
}
