//! Which objects a list, watch or follow is about, and the paths of the REST API.

use crate::object::{Kind, ObjectKey};

/// The objects of one kind, of all namespaces or one, optionally filtered by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    kind: Kind,
    namespace: Option<String>,
    label_selector: Option<String>,
    field_selector: Option<String>,
}

impl Collection {
    /// All objects of a kind.
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            namespace: None,
            label_selector: None,
            field_selector: None,
        }
    }

    /// Only those of one namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Only those that a Kubernetes label selector (`app=web,!old`) picks.
    #[must_use]
    pub fn labelled(mut self, selector: &str) -> Self {
        self.label_selector = Some(selector.to_owned());
        self
    }

    /// Only those that a field selector (`metadata.name=web`) picks.
    #[must_use]
    pub fn with_fields(mut self, selector: &str) -> Self {
        self.field_selector = Some(selector.to_owned());
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The one namespace, or `None` for all.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Path and query of the collection with further parameters.
    pub(super) fn target(&self, parameters: &[(&str, &str)]) -> String {
        let mut target = collection_path(self.kind, self.namespace.as_deref());
        let labels = self.label_selector.as_deref();
        let fields = self.field_selector.as_deref();
        let selectors = [("labelSelector", labels), ("fieldSelector", fields)];
        let selectors = selectors
            .iter()
            .filter_map(|(name, value)| value.map(|value| (*name, value)));
        append_query(&mut target, selectors.chain(parameters.iter().copied()));
        target
    }
}

/// Path of one object, of its subresource when that is not empty, with parameters.
pub(super) fn object_target(
    key: &ObjectKey,
    subresource: &str,
    parameters: &[(&str, &str)],
) -> String {
    let mut target = collection_path(key.kind, key.namespace.as_deref());
    target.push('/');
    append_encoded(&mut target, &key.name);
    if !subresource.is_empty() {
        target.push('/');
        target.push_str(subresource);
    }
    append_query(&mut target, parameters.iter().copied());
    target
}

/// `/api/v1/…` for the core group, `/apis/GROUP/VERSION/…` for the others.
pub(super) fn collection_path(kind: Kind, namespace: Option<&str>) -> String {
    let mut path = match kind.group() {
        "" => format!("/api/{}", kind.version()),
        group => format!("/apis/{group}/{}", kind.version()),
    };
    if let Some(namespace) = namespace {
        path.push_str("/namespaces/");
        append_encoded(&mut path, namespace);
    }
    path.push('/');
    path.push_str(kind.plural());
    path
}

pub(super) fn append_query<'a>(
    target: &mut String,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    for (index, (name, value)) in parameters.into_iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(name);
        target.push('=');
        append_encoded(target, value);
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters: a name from a file may hold anything.
fn append_encoded(target: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            target.push(char::from(byte));
        } else {
            target.push('%');
            for nibble in [byte >> 4, byte & 15] {
                let digit = char::from_digit(nibble.into(), 16).expect("a nibble is a hex digit");
                target.push(digit.to_ascii_uppercase());
            }
        }
    }
}
