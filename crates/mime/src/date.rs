//! Dates of headers. RFC 5322 §3.3, §4.3.

use mox_base::DateTime;

use crate::lex::Lexer;

/// Parses a `date-time` leniently.
///
/// Obsolete years of two and three digits and named zones are read (RFC 5322 §4.3); the weekday may
/// be missing or wrong, the seconds and the zone may be missing (UTC then), and the order of
/// `asctime` is accepted. `None` if there is no such date; a zone of a day or more is taken as UTC.
#[must_use]
pub fn parse_date(value: &[u8]) -> Option<DateTime> {
    let tokens = tokens(value);
    let words: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let words = match words.as_slice() {
        [weekday, rest @ ..] if is_weekday(weekday) => rest,
        all => all,
    };
    let (day, month, year, time, zone) = match words {
        // `asctime`: "Nov 20 08:55:32 2026", which may have a zone before or after the year.
        [month, day, time, year] if time.contains(':') => (day, month, year, time, None),
        [month, day, time, a, b]
            if time.contains(':') && DateTime::month_from_name(head3(month)).is_some() =>
        {
            if a.len() == 4 && is_digits(a) {
                (day, month, a, time, Some(*b))
            } else {
                (day, month, b, time, Some(*a))
            }
        }
        [day, month, year, time, rest @ ..] => (day, month, year, time, rest.first().copied()),
        [day, month, year] => (day, month, year, &"00:00:00", None),
        _ => return None,
    };
    let (hour, minute, second) = parse_time(time)?;
    let date = DateTime {
        year: parse_year(year)?,
        month: DateTime::month_from_name(head3(month))?,
        day: number(day)?,
        hour,
        minute,
        second,
        zone_minutes: zone.map_or(0, parse_zone),
    };
    date.to_unix().ok().map(|_| date)
}

/// Words of a date that are looked at.
const TOKENS_MAX: usize = 16;

/// Words between blanks, commas and comments; `20-Nov-2026` is three.
fn tokens(value: &[u8]) -> Vec<String> {
    let mut lexer = Lexer::new(value);
    let mut tokens: Vec<String> = Vec::new();
    while tokens.len() < TOKENS_MAX {
        lexer.cfws();
        if lexer.eat(b',') {
            continue;
        }
        let word = lexer.take_while(|b| !crate::lex::is_wsp(b) && b != b',' && b != b'(');
        if word.is_empty() {
            break;
        }
        let word = String::from_utf8_lossy(word).into_owned();
        let dashed: Vec<&str> = word.split('-').collect();
        match dashed.as_slice() {
            [day, month, year] if is_digits(day) && !is_digits(month) => {
                tokens.extend([(*day).to_owned(), (*month).to_owned(), (*year).to_owned()]);
            }
            _ => tokens.push(word),
        }
    }
    join_times(tokens)
}

/// Obsolete syntax allows blanks around colons: `08 : 55 : 32` (RFC 5322 §4.3).
fn join_times(tokens: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for token in tokens {
        match joined.last_mut() {
            Some(last) if token.starts_with(':') || last.ends_with(':') => last.push_str(&token),
            _ => joined.push(token),
        }
    }
    joined
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_weekday(word: &str) -> bool {
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        .contains(&head3(word).to_ascii_lowercase().as_str())
}

/// The first three letters, by which names are known: `November` is seen.
fn head3(word: &str) -> &str {
    word.get(..3).unwrap_or(word)
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    if is_digits(text) { text.parse().ok() } else { None }
}

/// Years of two digits up to 49 are of this century, all other short ones count from 1900.
/// RFC 5322 §4.3.
fn parse_year(text: &str) -> Option<u16> {
    let year: u16 = number(text)?;
    Some(match (text.len(), year) {
        (1 | 2, 0..=49) => year + 2000,
        (1 | 2, _) | (3, _) => year + 1900,
        _ => year,
    })
}

fn parse_time(text: &str) -> Option<(u8, u8, u8)> {
    let mut fields = text.split(':');
    let (hour, minute) = (number(fields.next()?)?, number(fields.next()?)?);
    // Fractions of a second are seen.
    let second = fields.next().map_or(Some(0), |s| number(s.split('.').next().unwrap_or(s)))?;
    if fields.next().is_some() { None } else { Some((hour, minute, second)) }
}

/// `zone`, in minutes east. Unknown names and military letters are -0000 (RFC 5322 §4.3).
fn parse_zone(text: &str) -> i16 {
    const NAMES: [(&str, i16); 9] = [
        ("EST", -5),
        ("EDT", -4),
        ("CST", -6),
        ("CDT", -5),
        ("MST", -7),
        ("MDT", -6),
        ("PST", -8),
        ("PDT", -7),
        ("CET", 1),
    ];
    let text = ["UTC", "GMT"].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text);
    let (sign, digits) = match text.split_at_checked(1) {
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        _ => {
            let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
            return named.map_or(0, |(_, hours)| hours * 60);
        }
    };
    let digits = digits.replace(':', "");
    let minutes = match number::<i16>(&digits) {
        Some(zone) if digits.len() == 4 => zone / 100 * 60 + zone % 100,
        Some(zone) if digits.len() <= 2 => zone.saturating_mul(60),
        _ => 0,
    };
    if minutes < 24 * 60 { sign * minutes } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(value: &str, want: &str) {
        let got = parse_date(value.as_bytes()).map(DateTime::to_rfc5322);
        assert_eq!(got.as_deref().unwrap_or("none"), want, "{value:?}");
    }

    /// RFC 5322 §3.3, appendix A.
    #[test]
    fn dates_are_parsed() {
        // Valid.
        check("Fri, 21 Nov 1997 09:55:06 -0600", "Fri, 21 Nov 1997 09:55:06 -0600");
        check("1 jul 2003 10:52 +0200", "Tue, 1 Jul 2003 10:52:00 +0200");
        check(
            "Thu,\r\n 13 Feb 1969 23:32 -0330 (Newfoundland Time)",
            "Thu, 13 Feb 1969 23:32:00 -0330",
        );
        // At the edge: obsolete forms.
        check("21 Nov 97 09:55:06 GMT", "Fri, 21 Nov 1997 09:55:06 +0000");
        check("21 Nov 49 09:55:06 EST", "Sun, 21 Nov 2049 09:55:06 -0500");
        check("21 Nov 103 09:55:06 A", "Fri, 21 Nov 2003 09:55:06 +0000");
        check("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "Fri, 21 Nov 1997 09:55:06 -0600");
        check("31 Dec 2016 23:59:60 +0000", "Sat, 31 Dec 2016 23:59:60 +0000");
        // Past it: what software writes.
        check("Fri Nov 21 09:55:06 1997", "Fri, 21 Nov 1997 09:55:06 +0000");
        check("Fri Nov 21 09:55:06 PST 1997", "Fri, 21 Nov 1997 09:55:06 -0800");
        check("Friday, 21-Nov-1997 09:55:06", "Fri, 21 Nov 1997 09:55:06 +0000");
        check("21 November 1997 9:55:06.123 GMT+1", "Fri, 21 Nov 1997 09:55:06 +0100");
        check("21 Nov 1997", "Fri, 21 Nov 1997 00:00:00 +0000");
        check("21 Nov 1997 09:55:06 +9900", "Fri, 21 Nov 1997 09:55:06 +0000");
        // Never valid.
        check("31 Feb 1997 09:55:06 +0000", "none");
        check("21 Nov 99999 09:55:06 +0000", "none");
        check("21 Nov 1997 25:55:06 +0000", "none");
        check("21 Nov 1997 09:55:06:07 +0000", "none");
        check("yesterday", "none");
        check("", "none");
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(
            time in -62_000_000_000_i64..250_000_000_000, zone in -1439_i16..1440
        ) {
            let date = DateTime::from_unix_in_zone(mox_base::UnixSeconds(time), zone);
            prop_assert_eq!(parse_date(date.to_rfc5322().as_bytes()), Some(date));
        }

        #[test]
        fn any_bytes_are_read_without_panic(value in "[0-9a-zA-Z:+(), -]{0,40}") {
            if let Some(date) = parse_date(value.as_bytes()) {
                prop_assert!(date.to_unix().is_ok());
            }
        }
    }
}
