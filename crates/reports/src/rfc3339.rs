//! Points in time as RFC 3339 has them, in JSON.

use mox_base::{DateTime, UnixSeconds};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(crate) fn serialize<S: Serializer>(time: &UnixSeconds, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&DateTime::from_unix(*time).to_rfc3339())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UnixSeconds, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
    parse(text.trim()).ok_or_else(|| D::Error::custom("no date-time of RFC 3339"))
}

/// Reads `date-time` of RFC 3339 §5.6, also in lower case or with a blank for the `T`; `None` if it
/// is none.
///
/// Deviation: RFC 3339 §5.6 wants a `time-offset`; a large sender leaves it out, so UTC is assumed.
#[must_use]
pub fn parse(text: &str) -> Option<UnixSeconds> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let (year, month, day) = three(date, '-', [4, 2, 2])?;
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at_checked(zone_at)?;
    // A fraction of a second is of no matter.
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let (hour, minute, second) = three(clock, ':', [2, 2, 2])?;
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let small = |number: u16| u8::try_from(number).ok();
    let date = DateTime {
        year,
        month: small(month)?,
        day: small(day)?,
        hour: small(hour)?,
        minute: small(minute)?,
        second: small(second)?,
        zone_minutes: zone_minutes(zone)?,
    };
    date.to_unix().ok()
}

/// `time-offset`, or nothing.
fn zone_minutes(zone: &str) -> Option<i16> {
    if matches!(zone, "" | "Z" | "z") {
        return Some(0);
    }
    let (sign, offset) = match zone.strip_prefix('-') {
        Some(offset) => (-1, offset),
        None => (1, zone.strip_prefix('+')?),
    };
    let (hours, minutes) = offset.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    let is_time = hours < 24 && minutes < 60;
    i16::try_from(hours * 60 + minutes).ok().filter(|_| is_time).map(|offset| sign * offset)
}

fn three(text: &str, separator: char, lengths: [usize; 3]) -> Option<(u16, u16, u16)> {
    let mut parts = text.split(separator);
    let mut next = |length| digits(parts.next()?, length);
    let [first, second, third] = lengths;
    let numbers = (next(first)?, next(second)?, next(third)?);
    parts.next().is_none().then_some(numbers)
}

fn digits(text: &str, length: usize) -> Option<u16> {
    let is_number = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        let got = parse(text).map(|time| DateTime::from_unix(time).to_rfc3339());
        assert_eq!(got.as_deref(), want, "{text:?}");
    }

    /// RFC 3339 §5.6, §5.8.
    #[test]
    fn points_in_time_are_read() {
        // Valid.
        check("2016-04-01T00:00:00Z", Some("2016-04-01T00:00:00Z"));
        check("1985-04-12T23:20:50.52Z", Some("1985-04-12T23:20:50Z"));
        check("1996-12-19T16:39:57-08:00", Some("1996-12-20T00:39:57Z"));
        check("1937-01-01t12:00:27+00:20", Some("1937-01-01T11:40:27Z"));
        // As it is seen.
        check("2016-04-01T00:00:00", Some("2016-04-01T00:00:00Z"));
        check("2016-04-01 00:00:00z", Some("2016-04-01T00:00:00Z"));
        // At the edge.
        check("2016-12-31T23:59:60Z", Some("2017-01-01T00:00:00Z"));
        check("2016-04-01T00:00:00+23:59", Some("2016-03-31T00:01:00Z"));
        // Just past.
        check("2016-04-31T00:00:00Z", None);
        check("2016-04-01T24:00:00Z", None);
        check("2016-04-01T00:00:00+24:00", None);
        check("2016-04-01T00:00:00.Z", None);
        // Never.
        check("", None);
        check("2016-04-01", None);
        check("2016-4-1T00:00:00Z", None);
        check("+016-04-01T00:00:00Z", None);
        check("2016-04-01T00:00Z", None);
        check("2016-04-01T00:00:00Zulu", None);
        check("2016-04-01T00:00:00+0100", None);
    }
}
