//! What names, labels and annotations may look like: Kubernetes' rules and Calico's for policies and tiers.

/// The longest DNS label, label value and name part of a qualified name, in bytes.
pub const LABEL_LENGTH_MAX: usize = 63;
/// The longest DNS subdomain and prefix of a qualified name, in bytes.
pub const SUBDOMAIN_LENGTH_MAX: usize = 253;
/// The longest name of a Kubernetes port, in bytes.
pub const PORT_NAME_LENGTH_MAX: usize = 15;

/// Why a text is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing is there.
    #[error("must not be empty")]
    Empty,
    /// More bytes than allowed.
    #[error("is too long by {over} bytes")]
    TooLong {
        /// How many bytes are too many.
        over: usize,
    },
    /// Letters that are not allowed, or not there.
    #[error("must {rule}")]
    Letters {
        /// What is allowed.
        rule: &'static str,
    },
}

const LABEL_RULE: &str = "consist of lower case alphanumeric characters or '-', and start and end with an alphanumeric character";
const DNS_1035_RULE: &str = "consist of lower case alphanumeric characters or '-', start with a letter and end with an alphanumeric character";
const SUBDOMAIN_RULE: &str = "consist of lower case alphanumeric characters, '-' or '.', and start and end with an alphanumeric character";
const POLICY_RULE: &str = "consist of lower case alphanumeric characters or '-', with at most one '.', and start and end with an alphanumeric character";
const QUALIFIED_RULE: &str = "consist of alphanumeric characters, '-', '_' or '.', start and end with an alphanumeric character, optionally with a DNS name and '/' in front";
const VALUE_RULE: &str = "be empty or consist of alphanumeric characters, '-', '_' or '.', and start and end with an alphanumeric character";
const PORT_RULE: &str = "consist of lower case alphanumeric characters or '-', with at least one letter, no '--', and start and end with an alphanumeric character";

/// A DNS-1123 label: namespaces, tiers, containers.
///
/// # Errors
/// [`NameError`] says which rule is broken.
pub fn dns_label(text: &str) -> Result<(), NameError> {
    check(text, LABEL_LENGTH_MAX, LABEL_RULE, is_label)
}

/// A DNS-1035 label: services.
///
/// # Errors
/// [`NameError`] says which rule is broken.
pub fn dns_1035_label(text: &str) -> Result<(), NameError> {
    check(text, LABEL_LENGTH_MAX, DNS_1035_RULE, |text| {
        is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
    })
}

/// A DNS-1123 subdomain: pods, nodes, service accounts, network sets, Kubernetes' own policies.
///
/// # Errors
/// [`NameError`] says which rule is broken.
pub fn dns_subdomain(text: &str) -> Result<(), NameError> {
    check(text, SUBDOMAIN_LENGTH_MAX, SUBDOMAIN_RULE, is_subdomain)
}

/// A Calico network policy: one or two DNS labels with a dot between, or the names that other systems'
/// policies get.
///
/// # Errors
/// [`NameError`] says which rule is broken.
pub fn network_policy(text: &str) -> Result<(), NameError> {
    check(text, SUBDOMAIN_LENGTH_MAX, POLICY_RULE, |text| {
        let foreign = text
            .strip_prefix("knp.default.")
            .or_else(|| text.strip_prefix("ossg.default."));
        foreign.is_some_and(is_subdomain) || is_one_or_two_labels(text)
    })
}

/// A Calico global network policy: one or two DNS labels with a dot between.
///
/// # Errors
/// [`NameError`] says which rule is broken.
pub fn global_network_policy(text: &str) -> Result<(), NameError> {
    check(
        text,
        SUBDOMAIN_LENGTH_MAX,
        POLICY_RULE,
        is_one_or_two_labels,
    )
}

/// A label's or annotation's name (Kubernetes' `IsQualifiedName`).
///
/// # Errors
/// [`NameError`] says which rule is broken.
pub fn qualified_name(text: &str) -> Result<(), NameError> {
    let name = match text.split_once('/') {
        Some((prefix, name)) => {
            check(prefix, SUBDOMAIN_LENGTH_MAX, QUALIFIED_RULE, is_subdomain)?;
            name
        }
        None => text,
    };
    check(name, LABEL_LENGTH_MAX, QUALIFIED_RULE, is_word)
}

/// A label's value (Kubernetes' `IsValidLabelValue`).
///
/// # Errors
/// [`NameError`] says which rule is broken.
pub fn label_value(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Ok(());
    }
    check(text, LABEL_LENGTH_MAX, VALUE_RULE, is_word)
}

/// The name of a container's or service's port (Kubernetes' `IsValidPortName`).
///
/// # Errors
/// [`NameError`] says which rule is broken.
pub fn port_name(text: &str) -> Result<(), NameError> {
    check(text, PORT_NAME_LENGTH_MAX, PORT_RULE, |text| {
        is_label(text) && !text.contains("--") && text.bytes().any(|byte| byte.is_ascii_lowercase())
    })
}

fn check(
    text: &str,
    length_max: usize,
    rule: &'static str,
    fits: impl Fn(&str) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > length_max {
        return Err(NameError::TooLong {
            over: text.len() - length_max,
        });
    }
    if fits(text) {
        Ok(())
    } else {
        Err(NameError::Letters { rule })
    }
}

fn is_label(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    is_framed(text.as_bytes(), alphanumeric, b"-")
}

/// Unlike in DNS the labels of a subdomain may be as long as the whole.
fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_one_or_two_labels(text: &str) -> bool {
    let short = |label: &str| label.len() <= LABEL_LENGTH_MAX && is_label(label);
    match text.split_once('.') {
        Some((tier, name)) => short(tier) && short(name),
        None => short(text),
    }
}

fn is_word(text: &str) -> bool {
    is_framed(text.as_bytes(), |byte| byte.is_ascii_alphanumeric(), b"-_.")
}

/// Alphanumeric bytes, with some others between them.
fn is_framed(bytes: &[u8], alphanumeric: impl Fn(u8) -> bool, between: &[u8]) -> bool {
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    alphanumeric(first)
        && alphanumeric(last)
        && bytes
            .iter()
            .all(|&byte| alphanumeric(byte) || between.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rule = fn(&str) -> Result<(), NameError>;

    #[test]
    fn names_follow_their_rules() {
        let long = "a".repeat(64);
        let longer = "a".repeat(254);
        let accepted: [(Rule, &[&str]); 7] = [
            (dns_label, &["a", "a-b", "0", "kube-system"]),
            (dns_1035_label, &["backend", "a1"]),
            (dns_subdomain, &["a.b-c.d", "node-1.example.com", &long]),
            (
                network_policy,
                &["deny", "security.deny", "knp.default.a.b.c"],
            ),
            (global_network_policy, &["deny", "security.deny"]),
            (
                qualified_name,
                &["app", "App_1.x", "projectcalico.org/tier"],
            ),
            (port_name, &["http", "serve-80-tcp"]),
        ];
        for (rule, names) in accepted {
            for name in names {
                assert_eq!(rule(name), Ok(()), "{name}");
            }
        }
        let refused: [(Rule, &[&str]); 8] = [
            (dns_label, &["", "A", "a.b", "-a", "a-", "a_b", &long, "ä"]),
            (dns_1035_label, &["1a", ""]),
            (dns_subdomain, &["", "a..b", ".a", "a.", "A", &longer]),
            (network_policy, &["a.b.c", "knp.default.", "A"]),
            (global_network_policy, &["a.b.c", "knp.default.x", ""]),
            (
                qualified_name,
                &["", "/a", "a/", "a/b/c", "A/b", "-a", &long],
            ),
            (label_value, &["-", "a b", "ä", &long]),
            (port_name, &["", "80", "a--b", "http-alt-too-long", "HTTP"]),
        ];
        for (rule, names) in refused {
            for name in names {
                assert!(rule(name).is_err(), "{name}");
            }
        }
        assert_eq!(label_value(""), Ok(()));
        assert_eq!(
            dns_label(&long).unwrap_err().to_string(),
            "is too long by 1 bytes"
        );
    }
}
