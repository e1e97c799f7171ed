//! Durations as they are written in configuration files: `300ms`, `1.5h`, `2h45m`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time, not negative, at most about 292 years, in whole nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

/// The longest duration, in nanoseconds: what a signed 64-bit number holds.
const NANOS_MAX: u128 = i64::MAX as u128;

/// The most digits of a number in a duration; more cannot matter and would overflow.
const DIGITS_MAX: usize = 18;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// No digits, or the text ends without a unit.
    Incomplete,
    /// A unit other than ns, us, µs, ms, s, m, h.
    UnknownUnit,
    /// It starts with a minus.
    Negative,
    /// Over the largest duration, or a number of too many digits.
    TooLong,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "expected numbers with units, such as 1h30m",
            Self::UnknownUnit => "unknown unit, known are ns, us, ms, s, m and h",
            Self::Negative => "must not be negative",
            Self::TooLong => "too long",
        })
    }
}

impl std::error::Error for DurationError {}

impl Duration {
    /// A duration of whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// A duration of whole hours.
    #[must_use]
    pub const fn from_hours(hours: u32) -> Self {
        Self::from_secs(hours as u64 * 3600)
    }
}

impl std::str::FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('-') {
            return Err(DurationError::Negative);
        }
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        if rest == "0" {
            return Ok(Self::default());
        }
        if rest.is_empty() {
            return Err(DurationError::Incomplete);
        }
        let mut nanos = 0u128;
        while !rest.is_empty() {
            let (whole, after) = digits(rest)?;
            let (fraction, after) = match after.strip_prefix('.') {
                Some(after) => digits(after)?,
                None => ("", after),
            };
            if whole.is_empty() && fraction.is_empty() {
                return Err(DurationError::Incomplete);
            }
            let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            nanos += amount(whole, fraction, unit_nanos(unit)?);
            if nanos > NANOS_MAX {
                return Err(DurationError::TooLong);
            }
            rest = after;
        }
        let secs = u64::try_from(nanos / 1_000_000_000).map_err(|_| DurationError::TooLong)?;
        let below = u32::try_from(nanos % 1_000_000_000).unwrap_or_default();
        Ok(Self(std::time::Duration::new(secs, below)))
    }
}

fn digits(text: &str) -> Result<(&str, &str), DurationError> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end > DIGITS_MAX { Err(DurationError::TooLong) } else { Ok(text.split_at(end)) }
}

fn unit_nanos(unit: &str) -> Result<u128, DurationError> {
    Ok(match unit {
        "" => return Err(DurationError::Incomplete),
        "ns" => 1,
        // Micro sign and Greek letter mu.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(DurationError::UnknownUnit),
    })
}

/// At most 10^18 × 3.6×10^12 for each part, which is far below the end of `u128`.
fn amount(whole: &str, fraction: &str, unit: u128) -> u128 {
    let number = |digits: &str| digits.parse::<u128>().unwrap_or_default();
    let mut scale = 1;
    for _ in fraction.bytes() {
        scale *= 10;
    }
    number(whole) * unit + number(fraction) * unit / scale
}

/// `72h0m0s`, `1.5s`, `300ms`, `0s`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, nanos) = (self.0.as_secs(), u64::from(self.0.subsec_nanos()));
        if secs == 0 {
            return match nanos {
                0 => f.write_str("0s"),
                1..1_000 => write!(f, "{nanos}ns"),
                1_000..1_000_000 => decimal(f, nanos, 1_000, "us"),
                _ => decimal(f, nanos, 1_000_000, "ms"),
            };
        }
        let (hours, minutes) = (secs / 3600, secs / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if secs >= 60 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}", secs % 60)?;
        if nanos > 0 {
            let digits = format!("{nanos:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("s")
    }
}

fn decimal(f: &mut fmt::Formatter<'_>, nanos: u64, unit: u64, name: &str) -> fmt::Result {
    write!(f, "{}", nanos / unit)?;
    if !nanos.is_multiple_of(unit) {
        let width = if unit == 1_000 { 3 } else { 6 };
        let digits = format!("{:0width$}", nanos % unit);
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    f.write_str(name)
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(input: &str, want: Result<&str, DurationError>) {
        let got = input.parse::<Duration>().map(|duration| duration.to_string());
        assert_eq!(got.as_deref().map_err(|error| *error), want, "{input}");
    }

    #[test]
    fn durations_are_read_and_printed() {
        use DurationError::*;
        // Valid.
        check("300ms", Ok("300ms"));
        check("1.5h", Ok("1h30m0s"));
        check("2h45m", Ok("2h45m0s"));
        check("72h", Ok("72h0m0s"));
        check("1m0.25s", Ok("1m0.25s"));
        check("1.5us", Ok("1.5us"));
        check("1\u{b5}s1\u{3bc}s", Ok("2us"));
        check("7ns", Ok("7ns"));
        check("+5s", Ok("5s"));
        // At the edge of valid.
        check("0", Ok("0s"));
        check(".5s", Ok("500ms"));
        check("5.s", Ok("5s"));
        check("0.1ns", Ok("0s"));
        check("9223372036854775807ns", Err(TooLong));
        check("2562047h47m16.854775807s", Ok("2562047h47m16.854775807s"));
        // Just past the edge.
        check("2562047h47m16.854775808s", Err(TooLong));
        check("0000000000000000001s", Err(TooLong));
        // Never valid.
        check("", Err(Incomplete));
        check("+", Err(Incomplete));
        check("5", Err(Incomplete));
        check(".s", Err(Incomplete));
        check("1h5", Err(Incomplete));
        check("1d", Err(UnknownUnit));
        check("1 s", Err(UnknownUnit));
        check("-1s", Err(Negative));
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(nanos in 0..=i64::MAX.cast_unsigned()) {
            let duration = Duration(std::time::Duration::from_nanos(nanos));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[0-9.hmsnuµ+-]{0,40}") {
            let _result = text.parse::<Duration>();
        }
    }
}
