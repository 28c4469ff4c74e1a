//! The pairs that cannot occur, each with its reason. `§` is a section of the reference of Calico's semantics.

use oncilla_verdict::Chain;

use super::{At, Outcome};

/// One reason, and the pairs that it rules out.
struct Impossible {
    /// Fields by their beginning.
    fields: &'static [&'static str],
    /// Where.
    places: &'static [At],
    outcomes: &'static [Outcome],
    reason: &'static str,
}

const WORKLOAD: At = At::Workload;
const NORMAL: At = At::Host(Chain::Normal);
const FORWARD: At = At::Host(Chain::Forward);
const PRE_DNAT: At = At::Host(Chain::PreDnat);
const UNTRACKED: At = At::Host(Chain::Untracked);

const EVERYWHERE: &[At] = &super::PLACES;
const HOSTS: &[At] = &[NORMAL, FORWARD, PRE_DNAT, UNTRACKED];
const ALL: &[Outcome] = &super::OUTCOMES;
const BUT_ALLOW: &[Outcome] = &[Outcome::Deny, Outcome::Pass, Outcome::EndOfTier];
const BUT_DENY: &[Outcome] = &[Outcome::Allow, Outcome::Pass, Outcome::EndOfTier];
const NO_VERDICT: &[Outcome] = &[Outcome::Pass, Outcome::EndOfTier];

const LIST: &[Impossible] = &[
    Impossible {
        fields: &["knp "],
        places: &[WORKLOAD],
        outcomes: &[Outcome::Deny, Outcome::Pass],
        reason: "§2.9: rules of Kubernetes only allow",
    },
    Impossible {
        fields: &["knp ", "kcnp ", "np policies"],
        places: HOSTS,
        outcomes: ALL,
        reason: "§2.3: only global policies select host endpoints",
    },
    Impossible {
        fields: &["snp", "sgnp", "sknp"],
        places: EVERYWHERE,
        outcomes: ALL,
        reason: "§2.8: staged policies never enforce",
    },
    Impossible {
        fields: &["pod of the host's network", "pod that is finished"],
        places: EVERYWHERE,
        outcomes: ALL,
        reason: "§1.10: no endpoint, or one without addresses",
    },
    Impossible {
        fields: &["pod ", "port of "],
        places: HOSTS,
        outcomes: ALL,
        reason: "§1.10: pods are workloads",
    },
    Impossible {
        fields: &["port of "],
        places: &[WORKLOAD],
        outcomes: &[Outcome::EndOfTier],
        reason: "§2.7: whether a name means the packet's port is asked of rules that match",
    },
    Impossible {
        fields: &["hep "],
        places: &[WORKLOAD],
        outcomes: ALL,
        reason: "§1.6: a host endpoint is no workload",
    },
    Impossible {
        fields: &["hep interfaceName (*)"],
        places: &[UNTRACKED],
        outcomes: ALL,
        reason: "§2.5: untracked policy judges interfaces with a host endpoint of their own",
    },
    Impossible {
        fields: &["gnp doNotTrack"],
        places: &[WORKLOAD, NORMAL, FORWARD, PRE_DNAT],
        outcomes: ALL,
        reason: "§2.5: in the untracked list alone",
    },
    Impossible {
        fields: &["gnp preDNAT"],
        places: &[WORKLOAD, NORMAL, FORWARD, UNTRACKED],
        outcomes: ALL,
        reason: "§2.5: in the preDNAT list alone",
    },
    Impossible {
        fields: &[
            "v3 source.services (own namespace)",
            "v3 destination.services (own namespace)",
        ],
        places: HOSTS,
        outcomes: ALL,
        reason: "§2.7: services of global policies name their namespace",
    },
    Impossible {
        fields: &["v3 destination.services"],
        places: &[PRE_DNAT],
        outcomes: ALL,
        reason: "§2.5, §2.7: services at the destination are for egress, preDNAT policy is ingress",
    },
    Impossible {
        fields: &["v3 (no criterion)"],
        places: EVERYWHERE,
        outcomes: &[Outcome::EndOfTier],
        reason: "§2.7: such a rule matches everything",
    },
    Impossible {
        fields: &["profile "],
        places: &[FORWARD, PRE_DNAT, UNTRACKED],
        outcomes: ALL,
        reason: "§2.5: no profiles there",
    },
    Impossible {
        fields: &["profile "],
        places: EVERYWHERE,
        outcomes: &[Outcome::Pass],
        reason: "§2.1: Pass of a profile denies",
    },
    Impossible {
        fields: &[
            "profile of a namespace",
            "profile projectcalico-default-allow",
        ],
        places: EVERYWHERE,
        outcomes: BUT_ALLOW,
        reason: "§1.7, §1.10: it allows everything",
    },
    Impossible {
        fields: &["profile of a service account"],
        places: EVERYWHERE,
        outcomes: ALL,
        reason: "§1.10: the namespace's stands before it and allows everything",
    },
    Impossible {
        fields: &[
            "profile projectcalico-default-allow",
            "profile that is missing",
            "profile with rules",
        ],
        places: &[WORKLOAD],
        outcomes: ALL,
        reason: "§1.10: pods have the profiles of their namespace and service account",
    },
    Impossible {
        fields: &["profile that is missing"],
        places: EVERYWHERE,
        outcomes: BUT_DENY,
        reason: "nobody knows what it says: it denies",
    },
    Impossible {
        fields: &["felix failsafe", "felix default"],
        places: &[WORKLOAD, FORWARD, PRE_DNAT, UNTRACKED],
        outcomes: ALL,
        reason: "§2.5, §2.6: it is before the normal chain of hosts; before the others nobody is asked at all",
    },
    Impossible {
        fields: &["felix failsafe"],
        places: &[NORMAL],
        outcomes: BUT_ALLOW,
        reason: "§2.6: failsafes let through",
    },
    Impossible {
        fields: &["felix interfacePrefix"],
        places: &[WORKLOAD, FORWARD, PRE_DNAT, UNTRACKED],
        outcomes: ALL,
        reason: "§2.1: no workload is known there, and no host endpoint is about the interface",
    },
    Impossible {
        fields: &["felix interfacePrefix"],
        places: &[NORMAL],
        outcomes: BUT_DENY,
        reason: "§2.1: an unknown workload interface drops",
    },
    Impossible {
        fields: &["felix "],
        places: EVERYWHERE,
        outcomes: NO_VERDICT,
        reason: "§2.1: it is no rule of a tier",
    },
    Impossible {
        fields: &["felix allow"],
        places: HOSTS,
        outcomes: ALL,
        reason: "§2.1: tunnels of workloads",
    },
];

/// Why a pair cannot occur; `None` when it can.
pub(super) fn impossible(field: &str, at: At, outcome: Outcome) -> Option<&'static str> {
    let found = LIST.iter().find(|each| {
        let mut fields = each.fields.iter();
        fields.any(|of| field.starts_with(of))
            && each.places.contains(&at)
            && each.outcomes.contains(&outcome)
    });
    found.map(|each| each.reason)
}

/// The beginnings of fields that no field of a list has.
#[cfg(test)]
pub(super) fn idle(fields: &[&str]) -> Vec<&'static str> {
    let all = LIST.iter().flat_map(|each| each.fields);
    let is_idle = |of: &&&str| !fields.iter().any(|field| field.starts_with(**of));
    all.filter(is_idle).copied().collect()
}
