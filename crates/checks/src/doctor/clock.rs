//! Whether the clock is right.

use mox_base::{DateTime, UnixSeconds};

use super::Outside;
use crate::Finding;

/// Signatures, one-time passwords and TLS allow some minutes. Others' clocks are read with a delay.
const OFF_SECS: i64 = 30;

/// From here on certificates and DNSSEC fail.
const WRONG_SECS: i64 = 300;

pub(super) fn judge(outside: &Outside) -> Vec<Finding> {
    let how = "Have it set by the network: timedatectl set-ntp true (or install chrony). A wrong clock \
               makes TLS, DNSSEC and DKIM signatures fail.";
    vec![match &outside.clock_ahead_secs {
        Err(error) => Finding::note(
            format!("the clock could not be compared: {error}"),
            "Compare it by hand with another one: date -u",
        ),
        Ok(secs) if secs.abs() >= WRONG_SECS => Finding::error(told(*secs), how),
        Ok(secs) if secs.abs() >= OFF_SECS => Finding::warning(told(*secs), how),
        Ok(_) => Finding::ok("the clock is right"),
    }]
}

fn told(secs: i64) -> String {
    let way = if secs > 0 { "ahead" } else { "behind" };
    format!("the clock is {} seconds {way}", secs.abs())
}

/// Reads `Date` of a response: `IMF-fixdate`, RFC 9110 §5.6.7.
///
/// ```abnf
/// IMF-fixdate = day-name "," SP day SP month SP year SP hour ":" minute ":" second SP GMT
/// ```
pub(super) fn http_date(text: &str) -> Option<UnixSeconds> {
    let (_, rest) = text.split_once(", ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let clock: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = clock.as_slice() else { return None };
    let two = |text: &str| match text.as_bytes() {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some((a - b'0') * 10 + (b - b'0')),
        _ => None,
    };
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    let date = DateTime {
        year: year.parse().ok().filter(|_| is_year)?,
        month: DateTime::month_from_name(month)?,
        day: two(day)?,
        hour: two(hour)?,
        minute: two(minute)?,
        second: two(second)?,
        zone_minutes: 0,
    };
    date.to_unix().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Level;

    #[track_caller]
    fn check(ahead: Result<i64, &str>, want: (Level, &str)) {
        let clock_ahead_secs = ahead.map_err(ToOwned::to_owned);
        let outside = Outside { clock_ahead_secs, ..Outside::default() };
        let found = judge(&outside);
        assert_eq!((found[0].level, found[0].what.as_str()), want);
    }

    #[test]
    fn the_clock_must_be_right() {
        check(Ok(29), (Level::Ok, "the clock is right"));
        check(Ok(-30), (Level::Warning, "the clock is 30 seconds behind"));
        check(Ok(300), (Level::Error, "the clock is 300 seconds ahead"));
        check(Err("no"), (Level::Note, "the clock could not be compared: no"));
    }

    proptest! {
        /// RFC 9110 §5.6.7.
        #[test]
        fn what_is_printed_is_read(secs in 0i64..4_102_444_800) {
            let time = UnixSeconds(secs);
            // The date of mail differs in the length of the day and in the zone only.
            let text = DateTime::from_unix(time).to_rfc5322();
            let (weekday, rest) = text.split_once(", ").unwrap();
            let day = if rest.find(' ') == Some(1) { "0" } else { "" };
            let text = format!("{weekday}, {day}{}", rest.replace("+0000", "GMT"));
            prop_assert_eq!(http_date(&text), Some(time), "{}", text);
        }

        #[test]
        fn anything_is_read_or_refused(text in "\\PC{0,60}") {
            let _read = http_date(&text);
        }
    }

    /// RFC 9110 §5.6.7.
    #[test]
    fn dates_of_responses_are_read() {
        let read = |text| http_date(text).map(|time| time.0);
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(read("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        for text in [
            "",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
