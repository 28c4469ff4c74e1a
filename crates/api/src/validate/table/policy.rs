//! Tiers, policies and network sets, apart from their rules.

use super::{
    GLOBAL_POLICIES, POLICIES, RULES, SETS, STAGED_KUBERNETES, STAGED_POLICIES, TIERS, rows,
};
use crate::kind::Kind;

/// Everything that has a place among others.
const ORDERED: &[Kind] = &[
    Kind::Tier,
    Kind::NetworkPolicy,
    Kind::GlobalNetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedGlobalNetworkPolicy,
];

/// Everything that has selectors.
const SELECTING: &[Kind] = &[
    Kind::NetworkPolicy,
    Kind::GlobalNetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedGlobalNetworkPolicy,
    Kind::IPPool,
    Kind::FelixConfiguration,
];

rows! {
    // No file can say it: JSON has no such numbers, and YAML's are refused where they are read.
    ORDER = "order.finite" for ORDERED, "spec.order", "§2.2",
        says "expected a finite number",
        mend "write a number, as in `order: 10`, or leave it out for the last place";
    TIER_ORDER = "tier.order" for TIERS, "spec.order", "§4.1",
        says "{0} tier order must be {1}",
        mend "write `order: {1}`";
    TIER_ACTION = "tier.default-action" for TIERS, "spec.defaultAction", "§4.1",
        says "the '{0}' tier must have default action '{1}'",
        mend "write `defaultAction: {1}`";
    TIER_ACTION_VALUE = "tier.default-action-value" for TIERS, "spec.defaultAction", "§1.1",
        says "unknown value {0}",
        mend "write `Pass` or `Deny`";
    POLICY_TIER = "policy.tier" for POLICIES, "spec.tier", "§1.1, §1.2",
        says "tier name {0}",
        mend "write the name of a tier, as in default";
    RULES_MAX = "policy.rules" for RULES, "spec.ingress, spec.egress", "§1.2",
        says "has {0} items, more than the limit of 1024",
        mend "split them into several policies, one `order:` after the other";
    TYPES_TWICE = "policy.types-twice" for POLICIES, "spec.types", "§4.2",
        says "'{0}' type specified more than once",
        mend "name each direction once";
    TYPES_VALUE = "policy.types-value" for POLICIES, "spec.types", "§1.2",
        says "unknown value {0}",
        mend "write `Ingress` or `Egress`";
    HINTS_VALUE = "policy.performance-hints" for POLICIES, "spec.performanceHints", "§1.2",
        says "unknown value {0}",
        mend "write `AssumeNeededOnEveryNode`";
    PRE_DNAT_UNTRACKED = "policy.pre-dnat-and-untracked" for GLOBAL_POLICIES, "spec.preDNAT", "§4.1",
        says "preDNAT and doNotTrack cannot both be true",
        mend "remove one of them, or write two policies";
    PRE_DNAT_EGRESS = "policy.pre-dnat-egress" for GLOBAL_POLICIES, "spec.egress", "§4.1",
        says "preDNAT policy cannot have any egress rules",
        mend "move the egress rules to a policy without `preDNAT:`";
    PRE_DNAT_TYPE = "policy.pre-dnat-type" for GLOBAL_POLICIES, "spec.types", "§4.1",
        says "preDNAT policy cannot have 'Egress' type",
        mend "write `types: [Ingress]`";
    APPLY_ON_FORWARD = "policy.apply-on-forward" for GLOBAL_POLICIES, "spec.applyOnForward", "§4.1",
        says "applyOnForward must be true if either preDNAT or doNotTrack is true",
        mend "add `applyOnForward: true`";
    STAGED_DELETE = "staged.delete" for STAGED_POLICIES, "spec.stagedAction", "§4.2",
        says "Spec fields, except Tier, should all be zero-value if stagedAction is Delete",
        mend "remove the other fields: the name says which policy shall be deleted";
    STAGED_DELETE_KUBERNETES = "staged.delete-kubernetes" for STAGED_KUBERNETES, "spec.stagedAction", "§4.2",
        says "Spec fields should all be zero-value if stagedAction is Delete",
        mend "remove the other fields: the name says which policy shall be deleted";
    STAGED_ACTION = "staged.action-value" for STAGED_POLICIES, "spec.stagedAction", "§1.4",
        says "unknown value {0}",
        mend "write `Set`, `Delete`, `Learn` or `Ignore`";
    SELECTOR = "selector.syntax" for SELECTING,
        "spec.selector, spec.serviceAccountSelector, spec.namespaceSelector and those of rules", "§3.1",
        says "invalid selector: {0}",
        mend "selectors look like: app == 'web' && role in {'a', 'b'} && !has(legacy)";
    SELECTOR_LENGTH = "selector.length" for SELECTING,
        "spec.selector, spec.serviceAccountSelector, spec.namespaceSelector and those of rules", "§3.4",
        says "the selector has {0} characters, more than the limit of 1024",
        mend "give the endpoints a label of their own, or split the policy";
    SELECTOR_GLOBAL = "selector.global" for SELECTING,
        "spec.selector, spec.serviceAccountSelector, spec.namespaceSelector", "§4.1",
        says "global() can only be used in an EntityRule namespaceSelector",
        mend "move it to the `namespaceSelector:` of a rule's source or destination";
    SET_CIDR = "set.cidr" for SETS, "spec.nets", "§1.8, §4.2",
        says "invalid CIDR {0}",
        mend "write an address, or an address, a slash and a prefix length, as in 10.0.0.0/8";
}
