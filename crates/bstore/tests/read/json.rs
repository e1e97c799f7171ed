//! Values as the expected files show them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mox_bstore::{Time, Value};
use serde_json::{Map, Value as Json, json};

/// Whether a value is what is expected. Zero values are shown as such, whether stored or not.
pub(crate) fn matches(found: &Value, want: &Json) -> bool {
    match (found, want) {
        (Value::Absent, want) => is_zero(want),
        (Value::Bool(found), want) => *want == json!(*found),
        (Value::Int(found), Json::String(want)) => *want == found.to_string(),
        (Value::Int(found), want) => *want == json!(*found),
        (Value::Uint(found), Json::String(want)) => *want == found.to_string(),
        (Value::Uint(found), want) => *want == json!(*found),
        (Value::Float(found), want) => want.as_f64() == Some(*found),
        (Value::Text(found), Json::String(want)) if is_bytes(want) => {
            *want == encoded(found.as_bytes())
        }
        (Value::Text(found), want) => *want == json!(found),
        // The parsed parts of a message are shown as a checksum, which says nothing to us.
        (Value::Bytes(_), Json::String(want)) if want.starts_with("sha256:") => true,
        (Value::Bytes(found), Json::Null) => found.is_empty(),
        (Value::Bytes(found), want) => *want == json!(encoded(found)),
        (Value::Time(found), Json::String(want)) => shown(*found) == trimmed(want),
        (Value::Struct(found), Json::Object(want)) => fields_match(want, |name| {
            found.iter().find(|(one, _)| **one == *name).map(|(_, value)| value)
        }),
        (Value::List(found), Json::Array(want)) => {
            found.len() == want.len()
                && found.iter().zip(want).all(|(found, want)| matches(found, want))
        }
        (Value::List(found), Json::Null) => found.is_empty(),
        (Value::Map(found), Json::Object(want)) => {
            found.len() == want.len()
                && found.iter().all(|(key, found)| {
                    want.get(&name(key)).is_some_and(|want| matches(found, want))
                })
        }
        (Value::Map(found), Json::Null) => found.is_empty(),
        (Value::Struct(found), Json::Null) => found.is_empty(),
        _ => false,
    }
}

/// Whether the fields that are expected are those that were found, by name.
pub(crate) fn fields_match<'a>(
    want: &Map<String, Json>,
    found: impl Fn(&str) -> Option<&'a Value>,
) -> bool {
    want.iter().all(|(name, want)| matches(found(name).unwrap_or(&Value::Absent), want))
}

fn name(key: &Value) -> String {
    match key {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        other => panic!("no key of a map: {other:?}"),
    }
}

fn is_zero(want: &Json) -> bool {
    match want {
        Json::Null | Json::Bool(false) => true,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty() || text == "0" || text.starts_with("0001-01-01T"),
        Json::Array(list) => list.iter().all(is_zero),
        Json::Object(fields) => fields.values().all(is_zero),
        Json::Bool(true) => false,
    }
}

fn is_bytes(want: &str) -> bool {
    want.starts_with("b64:")
}

fn encoded(bytes: &[u8]) -> String {
    format!("b64:{}", BASE64_STANDARD.encode(bytes))
}

fn trimmed(want: &str) -> String {
    want.to_owned()
}

/// A time in UTC, with as many digits after the second as it needs.
fn shown(time: Time) -> String {
    let days = time.unix_secs.div_euclid(86_400);
    let secs = time.unix_secs.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        secs / 3600,
        secs / 60 % 60,
        secs % 60
    );
    if time.nanos > 0 {
        text.push_str(format!(".{:09}", time.nanos).trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// The date that is so many days after 1970-01-01, counted year by year.
fn civil(days: i64) -> (i64, i64, i64) {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (mut year, mut left) = (1970, days);
    while left < 0 {
        year -= 1;
        left += 365 + i64::from(is_leap(year));
    }
    while left >= 365 + i64::from(is_leap(year)) {
        left -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}
