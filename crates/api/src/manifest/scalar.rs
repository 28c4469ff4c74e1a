//! What an unquoted text means: YAML 1.2's core schema, and refusals where YAML 1.1 (which kubectl reads)
//! would give another number.

use serde_json::{Number, Value};

/// Why an unquoted text has no meaning here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScalarError {
    /// `010` is ten or eight, depending on the reader.
    LeadingZero,
    /// `.nan` or `.inf`.
    NotFinite,
}

/// The value of an unquoted text.
pub(super) fn resolve(text: &str) -> Result<Value, ScalarError> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Err(ScalarError::NotFinite),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Err(ScalarError::NotFinite);
    }
    if let Some(value) = prefixed(text) {
        return Ok(value);
    }
    let digits = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    if digits && unsigned.len() > 1 && unsigned.starts_with('0') {
        return Err(ScalarError::LeadingZero);
    }
    if digits {
        let bare = text.strip_prefix('+').unwrap_or(text);
        if let Ok(number) = bare.parse::<i64>() {
            return Ok(number.into());
        }
        if let Ok(number) = bare.parse::<u64>() {
            return Ok(number.into());
        }
    }
    if is_float(unsigned)
        && let Ok(number) = text.parse::<f64>()
    {
        return Number::from_f64(number)
            .map(Value::Number)
            .ok_or(ScalarError::NotFinite);
    }
    Ok(Value::String(text.to_owned()))
}

/// `0x1F` and `0o17`.
fn prefixed(text: &str) -> Option<Value> {
    let number = if let Some(digits) = text.strip_prefix("0x") {
        u64::from_str_radix(digits, 16)
    } else {
        u64::from_str_radix(text.strip_prefix("0o")?, 8)
    };
    // from_str_radix takes a sign, the schema does not.
    let signed = text
        .get(2..)
        .is_some_and(|rest| rest.starts_with(['+', '-']));
    number.ok().filter(|_| !signed).map(Value::from)
}

/// Digits with at most one point and an exponent.
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction) && mantissa.len() > 1,
        None => all_digits(mantissa) && !mantissa.is_empty(),
    };
    let exponent_fits = exponent.is_none_or(|text| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        !digits.is_empty() && all_digits(digits)
    });
    mantissa_fits && exponent_fits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_texts_mean_what_yaml_1_2_says() {
        let cases = [
            ("", json!(null)),
            ("~", json!(null)),
            ("true", json!(true)),
            ("yes", json!("yes")),
            ("on", json!("on")),
            ("0", json!(0)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("8080", json!(8080)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("0x-1", json!("0x-1")),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("99999999999999999999", json!(1e20)),
            ("1.2.3", json!("1.2.3")),
            ("10.0.0.0/8", json!("10.0.0.0/8")),
            ("80:90", json!("80:90")),
            ("1_000", json!("1_000")),
            (".", json!(".")),
            ("e3", json!("e3")),
            ("-", json!("-")),
            ("2024-01-01T00:00:00Z", json!("2024-01-01T00:00:00Z")),
        ];
        for (text, value) in cases {
            assert_eq!(resolve(text), Ok(value), "{text}");
        }
        assert_eq!(resolve("010"), Err(ScalarError::LeadingZero));
        assert_eq!(resolve("-.inf"), Err(ScalarError::NotFinite));
        assert_eq!(resolve("1e999"), Err(ScalarError::NotFinite));
    }
}
