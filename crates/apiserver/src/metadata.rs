//! The fields that only the server writes: uid, creation time, generation, resource version.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use oncilla_store::{Revision, StoredObject};
use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::{Map, Value};

/// What the server writes once, at creation, and counts afterwards.
const OWNED: [&str; 3] = ["uid", "creationTimestamp", "generation"];
/// What is never stored: the revision is kept beside the object, the others are obsolete here.
const NEVER_STORED: [&str; 5] = [
    "resourceVersion",
    "selfLink",
    "managedFields",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// The metadata of an object, made when it is missing; `None` when the value or its metadata is
/// no JSON object.
pub(crate) fn metadata_of(value: &mut Value) -> Option<&mut Map<String, Value>> {
    let fields = value.as_object_mut()?;
    let metadata = fields
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    metadata.as_object_mut()
}

/// A text in an object's metadata; empty counts as absent.
pub(crate) fn metadata_text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    let text = value.get("metadata")?.get(field)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

/// Removes what a client may not set.
pub(crate) fn strip(metadata: &mut Map<String, Value>) {
    for field in OWNED.into_iter().chain(NEVER_STORED) {
        metadata.shift_remove(field);
    }
}

/// Gives a new object its identity.
pub(crate) fn stamp_new(metadata: &mut Map<String, Value>, now: SystemTime) -> io::Result<()> {
    metadata.insert("uid".to_owned(), new_uid()?.into());
    metadata.insert("creationTimestamp".to_owned(), rfc3339(now).into());
    metadata.insert("generation".to_owned(), 1.into());
    Ok(())
}

/// Gives a changed object the identity of the one it replaces.
pub(crate) fn stamp_changed(value: &mut Value, old: &Value) {
    let changed = specification(value) != specification(old);
    let Some(metadata) = metadata_of(value) else {
        return;
    };
    for field in OWNED {
        if let Some(kept) = old.get("metadata").and_then(|metadata| metadata.get(field)) {
            metadata.insert(field.to_owned(), kept.clone());
        }
    }
    if changed {
        let generation = metadata.get("generation").and_then(Value::as_i64);
        let next = generation.unwrap_or_default().saturating_add(1);
        metadata.insert("generation".to_owned(), next.into());
    }
}

/// All that a generation counts: not who the object is, not what it reports.
fn specification(value: &Value) -> Vec<(&String, &Value)> {
    let fields = value.as_object().into_iter().flatten();
    let mut fields: Vec<_> = fields
        .filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status"))
        .collect();
    fields.sort_by_key(|(name, _)| *name);
    fields
}

/// The object as clients see it, with its resource version.
pub(crate) fn with_revision(object: StoredObject) -> Value {
    let StoredObject {
        mut value,
        revision,
        ..
    } = object;
    set_revision(&mut value, revision);
    value
}

pub(crate) fn set_revision(value: &mut Value, revision: Revision) {
    if let Some(metadata) = metadata_of(value) {
        metadata.insert("resourceVersion".to_owned(), revision.to_string().into());
    }
}

/// Random letters and digits that cannot be taken for one another, for generated names.
pub(crate) fn random_suffix() -> io::Result<String> {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let bytes = random::<5>()?;
    let letters = bytes.iter().map(|byte| {
        let index = usize::from(*byte) % LETTERS.len();
        char::from(LETTERS[index])
    });
    Ok(letters.collect())
}

/// A random UUID (version 4).
pub(crate) fn new_uid() -> io::Result<String> {
    use std::fmt::Write as _;

    let mut bytes = random::<16>()?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut uid = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            uid.push('-');
        }
        write!(uid, "{byte:02x}").map_err(io::Error::other)?;
    }
    Ok(uid)
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    // So few bytes come whole or not at all.
    let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if filled == N {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// `2026-11-21T09:27:22Z`.
fn rfc3339(time: SystemTime) -> String {
    // A clock before 1970 is not set; the epoch says so as well as any date.
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970-01-01, counted in eras of 400 years that
/// begin in March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00Z");
        assert_eq!(at(4_102_444_799), "2099-12-31T23:59:59Z");
    }

    #[test]
    fn uids_are_random_version_4() {
        let (one, other) = (new_uid().unwrap(), new_uid().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
