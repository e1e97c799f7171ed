//! When reports are sent: pure functions of time and chance.

use std::time::Duration;

use mox_base::UnixSeconds;

const HOUR_SECS: i64 = 3600;
const DAY_SECS: i64 = 24 * HOUR_SECS;

/// After a whole hour, before DMARC reports are sent, in seconds: not all servers of the world at once.
const DMARC_JITTER_SECS: (i64, i64) = (30, 90);

/// After midnight, before TLS reports are sent, in seconds. RFC 8460 §4.1 wants such a delay.
const TLS_JITTER_SECS: (i64, i64) = (4 * 60, 6 * 60);

/// All DMARC reports of an hour are sent in this time.
const DMARC_SPREAD: Duration = Duration::from_secs(45 * 60);

/// All TLS reports of a day are sent in this time.
const TLS_SPREAD: Duration = Duration::from_secs(4 * 3600);

/// The longest pause between two reports.
const PAUSE_MAX: Duration = Duration::from_secs(5 * 60);

/// When DMARC reports are looked for next: shortly after the next whole hour.
///
/// - `chance`: any number.
#[must_use]
pub fn next_dmarc(now: UnixSeconds, chance: u32) -> UnixSeconds {
    let hour = floor(now, HOUR_SECS).plus_secs(HOUR_SECS);
    hour.plus_secs(between(DMARC_JITTER_SECS, chance))
}

/// When TLS reports are looked for next: shortly after the next midnight in UTC, when the day is over
/// that they are about. RFC 8460 §4.1.
///
/// - `chance`: any number.
#[must_use]
pub fn next_tls(now: UnixSeconds, chance: u32) -> UnixSeconds {
    soon(floor(now, DAY_SECS).plus_secs(DAY_SECS), chance)
}

/// A few minutes after `now`, as TLS reports are sent after midnight.
#[must_use]
pub fn soon(now: UnixSeconds, chance: u32) -> UnixSeconds {
    now.plus_secs(between(TLS_JITTER_SECS, chance))
}

/// The days that TLS reports are due for at `now`, earliest first, as [`UnixSeconds::day`] counts:
/// the day before, and the one before that, if something of it had to wait.
#[must_use]
pub fn tls_days(now: UnixSeconds) -> [i64; 2] {
    let today = now.day();
    [today.saturating_sub(2), today.saturating_sub(1)]
}

/// The end of the last interval that is over at `now`. Evaluations before it are reported.
///
/// Intervals divide the days in UTC. Reports are so sent in the hours that the interval divides, 0
/// counting as 24; and in a later one if the server was down then, or DNS did not answer.
/// RFC 7489 §7.2.
#[must_use]
pub fn interval_end(now: UnixSeconds, interval_hours: u8) -> UnixSeconds {
    floor(now, i64::from(interval_hours.max(1)) * HOUR_SECS)
}

/// The start of the time that a report is about: whole intervals before `end` that have `first` in
/// them. RFC 9990 §3.1.1 (`date_range`).
#[must_use]
pub fn interval_begin(first: UnixSeconds, end: UnixSeconds, interval_hours: u8) -> UnixSeconds {
    let interval = i64::from(interval_hours.max(1)) * HOUR_SECS;
    let begin = end.plus_secs(-interval);
    begin.min(floor(first, interval))
}

/// How long to wait between `count` DMARC reports.
#[must_use]
pub fn dmarc_pause(count: usize) -> Duration {
    pause(DMARC_SPREAD, count)
}

/// How long to wait between `count` TLS reports.
#[must_use]
pub fn tls_pause(count: usize) -> Duration {
    pause(TLS_SPREAD, count)
}

fn pause(spread: Duration, count: usize) -> Duration {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    spread.checked_div(count).unwrap_or_default().min(PAUSE_MAX)
}

fn floor(time: UnixSeconds, step: i64) -> UnixSeconds {
    UnixSeconds(time.0.div_euclid(step).saturating_mul(step))
}

fn between((from, to): (i64, i64), chance: u32) -> i64 {
    from + i64::from(chance) % (to - from + 1)
}

#[cfg(test)]
mod tests {
    use mox_base::DateTime;
    use proptest::prelude::*;

    use super::*;

    /// On Saturday 21 November 2026.
    fn at(hour: i64, minute: i64, second: i64) -> UnixSeconds {
        UnixSeconds(1_795_219_200 + hour * HOUR_SECS + minute * 60 + second)
    }

    fn text(time: UnixSeconds) -> String {
        DateTime::from_unix(time).to_rfc3339()
    }

    #[test]
    fn dmarc_reports_come_after_whole_hours() {
        for (now, chance, want) in [
            (at(0, 0, 0), 0, at(1, 0, 30)),
            (at(0, 0, 0), 60, at(1, 1, 30)),
            (at(0, 0, 0), 61, at(1, 0, 30)),
            (at(0, 59, 59), 0, at(1, 0, 30)),
            (at(23, 1, 30), 30, at(24, 1, 0)),
        ] {
            assert_eq!(text(next_dmarc(now, chance)), text(want));
        }
    }

    /// RFC 8460 §4.1.
    #[test]
    fn tls_reports_come_after_midnight() {
        for (now, chance, want) in [
            (at(0, 0, 0), 0, at(24, 4, 0)),
            (at(0, 5, 0), 120, at(24, 6, 0)),
            (at(23, 59, 59), 121, at(24, 4, 0)),
        ] {
            assert_eq!(text(next_tls(now, chance)), text(want));
        }
        assert_eq!(text(soon(at(12, 0, 0), 0)), text(at(12, 4, 0)));
        let day = at(0, 0, 0).day();
        assert_eq!(tls_days(at(0, 0, 0)), [day - 2, day - 1]);
        assert_eq!(tls_days(at(23, 59, 59)), [day - 2, day - 1]);
    }

    #[track_caller]
    fn check(
        now: UnixSeconds,
        first: UnixSeconds,
        hours: u8,
        begin: UnixSeconds,
        end: UnixSeconds,
    ) {
        assert_eq!(text(interval_end(now, hours)), text(end), "{hours} hours");
        assert_eq!(text(interval_begin(first, end, hours)), text(begin), "{hours} hours");
    }

    /// RFC 7489 §7.2, RFC 9990 §3.1.1.
    #[test]
    fn intervals_divide_days() {
        let noon = at(12, 0, 30);
        check(noon, at(11, 0, 0), 1, at(11, 0, 0), at(12, 0, 0));
        check(noon, at(0, 0, 0), 12, at(0, 0, 0), at(12, 0, 0));
        check(noon, at(-24, 0, 1), 24, at(-24, 0, 0), at(0, 0, 0));
        check(at(24, 0, 30), at(1, 0, 0), 24, at(0, 0, 0), at(24, 0, 0));
        check(at(11, 59, 59), at(8, 0, 0), 6, at(0, 0, 0), at(6, 0, 0));
        // What had to wait is in it too.
        check(noon, at(7, 59, 59), 4, at(4, 0, 0), at(12, 0, 0));
        // Nothing divides by it.
        check(noon, at(11, 0, 0), 0, at(11, 0, 0), at(12, 0, 0));
    }

    #[test]
    fn reports_are_spread() {
        for (count, dmarc, tls) in
            [(0, 0, 0), (1, 300, 300), (9, 300, 300), (10, 270, 300), (48, 56, 300), (96, 28, 150)]
        {
            let found = (dmarc_pause(count).as_secs(), tls_pause(count).as_secs());
            assert_eq!(found, (dmarc, tls), "{count}");
        }
        assert!(dmarc_pause(usize::MAX) * 1_000 < DMARC_SPREAD);
    }

    proptest! {
        #[test]
        fn times_are_ahead_and_ranges_whole(
            now in -5_000_000_000_i64..5_000_000_000,
            chance in any::<u32>(),
            age in 0_i64..200_000,
            hours in prop::sample::select(vec![1_u8, 2, 3, 4, 6, 8, 12, 24]),
        ) {
            let now = UnixSeconds(now);
            let (dmarc, tls) = (next_dmarc(now, chance), next_tls(now, chance));
            prop_assert!((30..=HOUR_SECS + 90).contains(&dmarc.secs_since(now)));
            prop_assert!((240..=DAY_SECS + 360).contains(&tls.secs_since(now)));
            let end = interval_end(now, hours);
            let first = end.plus_secs(-1 - age);
            let begin = interval_begin(first, end, hours);
            prop_assert!(end <= now && begin <= first && first < end);
            prop_assert_eq!(end.secs_since(begin) % (i64::from(hours) * HOUR_SECS), 0);
        }
    }
}
