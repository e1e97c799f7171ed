//! Times as they are stored: an instant with the offset of its zone.

/// Seconds from the year 1 to 1970.
const TO_UNIX_SECS: i64 = 62_135_596_800;

/// The offset that stands for UTC.
const UTC: i16 = -1;

/// An instant, and how far from UTC the clock was that showed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970-01-01 UTC.
    pub unix_secs: i64,
    /// Nanoseconds after that, below 1,000,000,000.
    pub nanos: u32,
    /// Seconds east of UTC.
    pub offset_secs: i32,
}

impl Time {
    /// Reads 15 bytes, or 16 with the seconds of an offset.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (secs, rest) = rest.split_first_chunk::<8>()?;
        let (nanos, rest) = rest.split_first_chunk::<4>()?;
        let (minutes, rest) = rest.split_first_chunk::<2>()?;
        let more = match (version, rest) {
            (1, []) => 0,
            // The seconds have the sign of the offset.
            (2, [secs]) => i32::from(secs.cast_signed()),
            _ => return None,
        };
        let minutes = i16::from_be_bytes(*minutes);
        let nanos = u32::from_be_bytes(*nanos);
        (nanos < 1_000_000_000).then_some(Self {
            unix_secs: i64::from_be_bytes(*secs).checked_sub(TO_UNIX_SECS)?,
            nanos,
            offset_secs: if minutes == UTC { 0 } else { i32::from(minutes) * 60 + more },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(version: u8, secs: i64, nanos: u32, minutes: i16, rest: &[u8], want: Option<Time>) {
        let mut bytes = vec![version];
        bytes.extend(secs.to_be_bytes());
        bytes.extend(nanos.to_be_bytes());
        bytes.extend(minutes.to_be_bytes());
        bytes.extend(rest);
        assert_eq!(Time::parse(&bytes), want);
    }

    #[test]
    fn instants_and_zones() {
        let at = |unix_secs, nanos, offset_secs| Some(Time { unix_secs, nanos, offset_secs });
        check(1, TO_UNIX_SECS, 0, -1, &[], at(0, 0, 0));
        check(1, TO_UNIX_SECS + 5, 999_999_999, 60, &[], at(5, 999_999_999, 3600));
        check(2, TO_UNIX_SECS, 0, -25, &[0xEB], at(0, 0, -1521));
        check(1, TO_UNIX_SECS, 1_000_000_000, 0, &[], None);
        check(1, i64::MIN, 0, 0, &[], None);
        check(1, 0, 0, 0, &[1], None);
        check(2, 0, 0, 0, &[], None);
        check(3, 0, 0, 0, &[], None);
        assert_eq!(Time::parse(&[]), None);
    }
}
