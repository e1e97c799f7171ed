//! The line that begins each message of an mbox: `From sender date`.
//!
//! RFC 4155 appendix A has the date as `asctime` prints it, in UTC. Programs also write a zone, by name
//! or as an offset, before or after the year, and leave the seconds out.

use mox_base::{DateTime, UnixSeconds, ZonedTime};

/// What the line begins with.
pub(crate) const FROM: &[u8] = b"From ";

/// The longest line that is taken for one. Ours.
const FROM_LINE_BYTES_MAX: usize = 1_000;

/// The most words that are looked at for a date.
const DATE_WORDS: usize = 7;

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Whether a line, without its end, could begin a message, and the time in it.
pub(crate) fn parse(line: &[u8]) -> Option<Option<ZonedTime>> {
    let rest = line.strip_prefix(FROM).filter(|_| line.len() <= FROM_LINE_BYTES_MAX)?;
    let text = String::from_utf8_lossy(rest);
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    // The sender may have blanks, and weekdays in it: the last place that reads as a date counts.
    let dates = (0..words.len()).rev();
    Some(dates.filter_map(|at| date(words.get(at..).unwrap_or_default())).next())
}

/// A date at the start of some words: `Mon Jan 2 15:04:05 [zone] 2006 [zone]`.
fn date(words: &[&str]) -> Option<ZonedTime> {
    let [weekday, month, day, rest @ ..] = words else { return None };
    let weekday = weekday.get(..3).filter(|_| weekday.len() <= 4)?;
    WEEKDAYS.iter().find(|known| known.eq_ignore_ascii_case(weekday))?;
    let (month, day) = match DateTime::month_from_name(month) {
        Some(month) => (month, day),
        // Some have the day first.
        None => (DateTime::month_from_name(day)?, month),
    };
    let day = day.trim_end_matches(',').parse().ok()?;
    let (mut time, mut year, mut zone_minutes) = (None, None, 0);
    for word in rest.iter().take(DATE_WORDS - 3) {
        if word.contains(':') {
            time = time.or_else(|| clock(word));
        } else if let Some(minutes) = offset(word) {
            zone_minutes = minutes;
        } else if word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit()) {
            year = year.or_else(|| word.parse::<u16>().ok());
        }
    }
    let ((hour, minute, second), year) = (time?, year?);
    let date = DateTime { year, month, day, hour, minute, second, zone_minutes };
    date.to_zoned().ok()
}

fn clock(word: &str) -> Option<(u8, u8, u8)> {
    let mut parts = word.split(':').map(|part| part.parse::<u8>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    Some((hour, minute, second))
}

/// A zone in minutes east of UTC: an offset, or the names of RFC 5322 §4.3. Other names are ambiguous.
fn offset(word: &str) -> Option<i16> {
    let named = [("EST", -5), ("EDT", -4), ("CST", -6), ("CDT", -5), ("MST", -7), ("MDT", -6)]
        .into_iter()
        .chain([
            ("PST", -8),
            ("PDT", -7),
            ("GMT", 0),
            ("UT", 0),
            ("UTC", 0),
            ("CET", 1),
            ("CEST", 2),
        ]);
    for (name, hours) in named {
        if word == name {
            return Some(hours * 60);
        }
    }
    let (sign, digits) = match word.as_bytes() {
        [b'+', ..] => (1, word.get(1..)?),
        [b'-', ..] => (-1, word.get(1..)?),
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i16 = digits.parse().ok()?;
    Some(sign * (number / 100 * 60 + number % 100))
}

/// The line for a message, with its LF. A sender with blanks or nothing in it becomes `mox`.
pub(crate) fn print(sender: &str, received: UnixSeconds) -> String {
    let is_word =
        !sender.is_empty() && sender.len() < 500 && sender.bytes().all(|b| b.is_ascii_graphic());
    let sender = if is_word { sender } else { "mox" };
    let date = DateTime::from_unix(received);
    let rfc5322 = date.to_rfc5322();
    let weekday = rfc5322.get(..3).unwrap_or_default();
    let DateTime { year, day, hour, minute, second, .. } = date;
    let month = date.month_name();
    format!("From {sender} {weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year:04}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Option<Option<i64>>) {
        let time = parse(line.as_bytes()).map(|time| time.map(|time| time.time().0));
        assert_eq!(time, want, "{line:?}");
    }

    /// RFC 4155 appendix A, and what programs write.
    #[test]
    fn dates_of_many_programs_are_read() {
        const TIME: i64 = 1_136_214_245;
        check("From a@b.example Mon Jan  2 15:04:05 2006", Some(Some(TIME)));
        check("From a@b.example Mon Jan 2 15:04:05 GMT 2006", Some(Some(TIME)));
        check("From a@b.example Mon Jan 02 10:04:05 -0500 2006", Some(Some(TIME)));
        check("From a@b.example Mon Jan 02 16:04:05 2006 +0100", Some(Some(TIME)));
        check("From - Mon Jan 02 15:04:05 2006", Some(Some(TIME)));
        check("From a@b.example  Mon Jan  2 10:04:05 EST 2006", Some(Some(TIME)));
        check("From ???@??? Mon, 02 Jan 2006 15:04:05 +0000", Some(Some(TIME)));
        // At the edge: no seconds, a sender of several words.
        check("From a Mon Jan 2 15:04 2006", Some(Some(TIME - 5)));
        check("From \"Mon Day\"@x Mon Jan  2 15:04:05 2006", Some(Some(TIME)));
        check("From a@b.example", Some(None));
        // Just past it.
        check("From a Mon Feb 30 15:04:05 2006", Some(None));
        check("From a Mon Jan 2 25:04:05 2006", Some(None));
        check("From a Mon Jan 2 15:04:05 206", Some(None));
        check("From a Mon Jan 2 15:04:05 2006 -9999", Some(None));
        // Never.
        check("From: a@b.example", None);
        check(">From a", None);
        check(&format!("From {}", "x".repeat(FROM_LINE_BYTES_MAX)), None);
    }

    /// The zone is kept for INTERNALDATE.
    #[test]
    fn a_zone_is_read() {
        for (line, want) in [
            ("From a Mon Jan 2 15:04:05 2006", 0),
            ("From a Mon Jan 2 10:04:05 -0530 2006", -330),
            ("From a Mon Jan 2 10:04:05 CEST 2006", 120),
            ("From a Mon Jan 2 10:04:05 2006 +2359", 1439),
        ] {
            let date = parse(line.as_bytes()).flatten().unwrap();
            assert_eq!(date.zone_minutes(), want, "{line}");
        }
    }

    #[test]
    fn what_is_printed_is_read() {
        for time in [0, 1_136_214_245, 253_402_300_799] {
            let line = print("a@b.example", UnixSeconds(time));
            check(line.trim_end(), Some(Some(time)));
        }
        assert_eq!(print("a b", UnixSeconds(0)), "From mox Thu Jan  1 00:00:00 1970\n");
        assert_eq!(print("", UnixSeconds(1_136_214_245)), "From mox Mon Jan  2 15:04:05 2006\n");
    }
}
