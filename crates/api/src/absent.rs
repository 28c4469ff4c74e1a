//! Small serde pieces: when a field counts as not given, and values of two JSON types.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Serialize as _, Serializer};

use crate::field::with_help;
use crate::meta::IntOrString;
use crate::validate::PORT_HELP;

/// Whether a field equals its default and is left out when written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The largest magnitude below which every integer is an exact `f64`.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Writes an order as people do: `10`, not `10.0`.
#[expect(clippy::ref_option, reason = "the signature is serde's")]
pub(crate) fn serialize_order<S: Serializer>(
    order: &Option<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match *order {
        Some(value) if value.fract() == 0.0 && value.abs() <= EXACT_MAX => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the guard keeps integers below 2^53 only"
            )]
            let integer = value as i64;
            integer.serialize(serializer)
        }
        Some(value) => value.serialize(serializer),
        None => serializer.serialize_none(),
    }
}

/// Reads a number or a text.
#[derive(Debug)]
pub(crate) struct IntOrStringVisitor;

impl Visitor<'_> for IntOrStringVisitor {
    type Value = IntOrString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port number or a port name")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<IntOrString, E> {
        Ok(IntOrString::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<IntOrString, E> {
        i64::try_from(value)
            .map(IntOrString::Int)
            .map_err(|_too_large| E::custom(with_help("the number is too large", PORT_HELP, None)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<IntOrString, E> {
        Ok(IntOrString::String(value.to_owned()))
    }
}
