//! Which object or collection a path names.

use std::borrow::Cow;

use oncilla_api::{Kind, ObjectKey};

/// What a path names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// The objects of a kind, of one namespace or all.
    Collection {
        kind: Kind,
        namespace: Option<String>,
    },
    /// One object.
    Object(ObjectKey),
    /// The `status` of one object.
    Status(ObjectKey),
}

impl Target {
    /// `/api/v1/…` and `/apis/GROUP/VERSION/…`; `None` when nothing is served there.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let segments: Option<Vec<Cow<'_, str>>> =
            path.split('/').skip(1).map(percent_decoded).collect();
        let segments = segments?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !group.is_empty() => (*group, *version, rest),
            _ => return None,
        };
        let kind = |plural: &str| {
            Kind::ALL.into_iter().find(|kind| {
                kind.group() == group && kind.version() == version && kind.plural() == plural
            })
        };
        if rest.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        match rest {
            ["namespaces", namespace, plural, rest @ ..] if !is_subresource(plural) => {
                let kind = kind(plural).filter(|kind| kind.namespaced())?;
                Self::within(kind, Some((*namespace).to_owned()), rest)
            }
            [plural] => Self::within(kind(plural)?, None, &[]),
            // One object is named with its namespace, or lives in none.
            [plural, rest @ ..] => {
                let kind = kind(plural).filter(|kind| !kind.namespaced())?;
                Self::within(kind, None, rest)
            }
            [] => None,
        }
    }

    fn within(kind: Kind, namespace: Option<String>, rest: &[&str]) -> Option<Self> {
        let key = |name: &str| ObjectKey {
            kind,
            namespace: namespace.clone(),
            name: name.to_owned(),
        };
        match rest {
            [] => Some(Self::Collection { kind, namespace }),
            [name] => Some(Self::Object(key(name))),
            [name, "status"] if has_status(kind) => Some(Self::Status(key(name))),
            _ => None,
        }
    }
}

/// Kinds whose status is written by those who run them, apart from what people write.
pub(crate) fn has_status(kind: Kind) -> bool {
    matches!(kind, Kind::Pod | Kind::Node)
}

fn is_subresource(segment: &str) -> bool {
    matches!(segment, "status" | "finalize")
}

/// `None` for what is not percent-encoded UTF-8.
fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}
