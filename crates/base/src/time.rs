//! Points in time and their calendar form, without a clock.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted. Negative before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixSeconds(pub i64);

impl UnixSeconds {
    /// The time `secs` later, saturating.
    #[must_use]
    pub fn plus_secs(self, secs: i64) -> Self {
        Self(self.0.saturating_add(secs))
    }

    /// Seconds from `earlier` to this, saturating; negative if `earlier` is later.
    #[must_use]
    pub fn secs_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Days since 1970-01-01 in UTC, for comparing calendar dates.
    #[must_use]
    pub fn day(self) -> i64 {
        self.0.div_euclid(SECS_PER_DAY)
    }
}

/// The zones that there can be are less than a day away from UTC.
const ZONE_MINUTES_MAX: u16 = 24 * 60 - 1;

/// A point in time and the zone in which it was told, as an internal date has them (RFC 9051 §2.3.3).
///
/// Not ordered: by the instant and by the day of the zone are two orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ZonedTime {
    time: UnixSeconds,
    zone_minutes: i16,
}

impl ZonedTime {
    /// A point in time told at `zone_minutes` east of UTC. `None` if that is a day or more.
    #[must_use]
    pub fn new(time: UnixSeconds, zone_minutes: i16) -> Option<Self> {
        let is_zone = zone_minutes.unsigned_abs() <= ZONE_MINUTES_MAX;
        is_zone.then_some(Self { time, zone_minutes })
    }

    /// The point in time.
    #[must_use]
    pub fn time(self) -> UnixSeconds {
        self.time
    }

    /// Minutes east of UTC, within a day.
    #[must_use]
    pub fn zone_minutes(self) -> i16 {
        self.zone_minutes
    }

    /// Days since 1970-01-01 of the date in the zone, for comparing calendar dates.
    #[must_use]
    pub fn day(self) -> i64 {
        self.time.plus_secs(i64::from(self.zone_minutes) * 60).day()
    }
}

/// In UTC.
impl From<UnixSeconds> for ZonedTime {
    fn from(time: UnixSeconds) -> Self {
        Self { time, zone_minutes: 0 }
    }
}

/// A calendar date and time with its zone, in the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// 0 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to the length of the month.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60: a leap second is allowed and read as the second after.
    pub second: u8,
    /// Minutes east of UTC, within a day.
    pub zone_minutes: i16,
}

/// A date that no calendar has, or a year outside 0 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTimeError;

impl fmt::Display for DateTimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such date or time")
    }
}

impl std::error::Error for DateTimeError {}

const SECS_PER_DAY: i64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

impl DateTime {
    /// The calendar form of `time` in UTC. Times outside the years 0 to 9999 are clamped.
    #[must_use]
    pub fn from_unix(time: UnixSeconds) -> Self {
        Self::from_unix_in_zone(time, 0)
    }

    /// The calendar form of `time` at `zone_minutes` east of UTC.
    #[must_use]
    pub fn from_unix_in_zone(time: UnixSeconds, zone_minutes: i16) -> Self {
        let first = days_from_civil(0, 1, 1) * SECS_PER_DAY;
        let last = days_from_civil(10_000, 1, 1) * SECS_PER_DAY - 1;
        let local = time.0.saturating_add(i64::from(zone_minutes) * 60).clamp(first, last);
        let (year, month, day) = civil_from_days(local.div_euclid(SECS_PER_DAY));
        let secs = local.rem_euclid(SECS_PER_DAY);
        let small = |number: i64| u8::try_from(number).unwrap_or_default();
        Self {
            year: u16::try_from(year).unwrap_or_default(),
            month: small(month),
            day: small(day),
            hour: small(secs / 3600),
            minute: small(secs / 60 % 60),
            second: small(secs % 60),
            zone_minutes,
        }
    }

    /// The calendar form of `time` in its zone. Times outside the years 0 to 9999 are clamped.
    #[must_use]
    pub fn from_zoned(time: ZonedTime) -> Self {
        Self::from_unix_in_zone(time.time, time.zone_minutes)
    }

    /// Like [`DateTime::to_unix`], with the zone.
    pub fn to_zoned(self) -> Result<ZonedTime, DateTimeError> {
        ZonedTime::new(self.to_unix()?, self.zone_minutes).ok_or(DateTimeError)
    }

    /// Checks that the fields make a date, and returns it as a point in time.
    pub fn to_unix(self) -> Result<UnixSeconds, DateTimeError> {
        let in_range = self.year <= 9999
            && (1..=12).contains(&self.month)
            && self.day >= 1
            && self.day <= days_in_month(self.year, self.month)
            && self.hour <= 23
            && self.minute <= 59
            && self.second <= 60
            && self.zone_minutes.unsigned_abs() <= ZONE_MINUTES_MAX;
        if !in_range {
            return Err(DateTimeError);
        }
        let days = days_from_civil(self.year.into(), self.month.into(), self.day.into());
        let secs =
            i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second)
                - i64::from(self.zone_minutes) * 60;
        Ok(UnixSeconds(days * SECS_PER_DAY + secs))
    }

    /// Days since 1970-01-01 of the date as written, whatever the zone.
    pub fn to_day(self) -> Result<i64, DateTimeError> {
        Self { hour: 0, minute: 0, second: 0, zone_minutes: 0, ..self }
            .to_unix()
            .map(UnixSeconds::day)
    }

    /// The month of an English three-letter abbreviation in any case, 1 to 12.
    #[must_use]
    pub fn month_from_name(name: &str) -> Option<u8> {
        let index = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
        u8::try_from(index + 1).ok()
    }

    /// The English three-letter abbreviation of the month.
    #[must_use]
    pub fn month_name(self) -> &'static str {
        MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or("Jan")
    }

    /// `Fri, 20 Nov 2026 08:55:32 +0000`. RFC 5322 §3.3.
    #[must_use]
    pub fn to_rfc5322(self) -> String {
        let weekday = self.to_day().unwrap_or_default().rem_euclid(7);
        let weekday =
            usize::try_from(weekday).ok().and_then(|day| WEEKDAYS.get(day)).unwrap_or(&"Thu");
        let Self { year, day, hour, minute, second, .. } = self;
        let (month, zone) = (self.month_name(), self.zone());
        format!("{weekday}, {day} {month} {year:04} {hour:02}:{minute:02}:{second:02} {zone}")
    }

    /// `20-Nov-2026 08:55:32 +0000`, the day padded with a space. RFC 9051 §9 (`date-time`).
    #[must_use]
    pub fn to_imap(self) -> String {
        let Self { year, day, hour, minute, second, .. } = self;
        let (month, zone) = (self.month_name(), self.zone());
        format!("{day:2}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} {zone}")
    }

    /// `2026-11-20T08:55:32Z`, or with an offset. RFC 3339 §5.6.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let Self { year, month, day, hour, minute, second, .. } = self;
        let mut zone = self.zone();
        if self.zone_minutes == 0 {
            zone = "Z".to_owned();
        } else {
            zone.insert(3, ':');
        }
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}")
    }

    fn zone(self) -> String {
        let sign = if self.zone_minutes < 0 { '-' } else { '+' };
        let minutes = self.zone_minutes.unsigned_abs();
        format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01, counting years from March so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(fields: (u16, u8, u8, u8, u8, u8, i16), want: Option<i64>) {
        let (year, month, day, hour, minute, second, zone_minutes) = fields;
        let date = DateTime { year, month, day, hour, minute, second, zone_minutes };
        assert_eq!(date.to_unix().ok(), want.map(UnixSeconds), "{date:?}");
    }

    #[test]
    fn calendar_dates_are_checked() {
        // Valid.
        check((1970, 1, 1, 0, 0, 0, 0), Some(0));
        check((2026, 11, 20, 8, 55, 32, 0), Some(1_795_164_932));
        check((2026, 11, 20, 8, 55, 32, 60), Some(1_795_161_332));
        // At the edge of valid.
        check((2000, 2, 29, 0, 0, 0, 0), Some(951_782_400));
        check((2016, 12, 31, 23, 59, 60, 0), Some(1_483_228_800));
        check((1969, 12, 31, 23, 59, 59, 0), Some(-1));
        // Just past the edge.
        check((1900, 2, 29, 0, 0, 0, 0), None);
        check((2026, 11, 31, 0, 0, 0, 0), None);
        check((2026, 11, 20, 24, 0, 0, 0), None);
        check((2026, 11, 20, 0, 0, 0, 1440), None);
        // Never valid.
        check((2026, 0, 1, 0, 0, 0, 0), None);
        check((2026, 13, 1, 0, 0, 0, 0), None);
    }

    #[test]
    fn forms_are_those_of_the_rfcs() {
        let date = DateTime::from_unix(UnixSeconds(1_795_164_932));
        assert_eq!(date.to_rfc5322(), "Fri, 20 Nov 2026 08:55:32 +0000");
        assert_eq!(date.to_imap(), "20-Nov-2026 08:55:32 +0000");
        assert_eq!(date.to_rfc3339(), "2026-11-20T08:55:32Z");
        let east = DateTime::from_unix_in_zone(UnixSeconds(0), -90);
        assert_eq!(east.to_imap(), "31-Dec-1969 22:30:00 -0130");
        assert_eq!(east.to_rfc3339(), "1969-12-31T22:30:00-01:30");
    }

    #[track_caller]
    fn check_zoned(secs: i64, zone_minutes: i16, want: Option<(i64, &str)>) {
        let zoned = ZonedTime::new(UnixSeconds(secs), zone_minutes);
        let found = zoned.map(|zoned| (zoned.day(), DateTime::from_zoned(zoned).to_imap()));
        assert_eq!(found, want.map(|(day, text)| (day, text.to_owned())));
    }

    /// RFC 9051 §2.3.3.
    #[test]
    fn a_zone_may_have_another_day() {
        // Valid.
        check_zoned(0, 0, Some((0, " 1-Jan-1970 00:00:00 +0000")));
        check_zoned(0, -60, Some((-1, "31-Dec-1969 23:00:00 -0100")));
        check_zoned(86_399, 1, Some((1, " 2-Jan-1970 00:00:59 +0001")));
        // At the edge of valid.
        check_zoned(0, 1439, Some((0, " 1-Jan-1970 23:59:00 +2359")));
        check_zoned(0, -1439, Some((-1, "31-Dec-1969 00:01:00 -2359")));
        // Just past the edge.
        check_zoned(0, 1440, None);
        check_zoned(0, -1440, None);
        // Never valid.
        check_zoned(0, i16::MIN, None);
    }

    proptest! {
        #[test]
        fn a_time_survives_its_calendar_form(
            secs in -62_000_000_000_i64..253_000_000_000, zone in -1439_i16..1440
        ) {
            let time = UnixSeconds(secs);
            prop_assert_eq!(DateTime::from_unix_in_zone(time, zone).to_unix(), Ok(time));
            let zoned = ZonedTime::new(time, zone).unwrap();
            prop_assert_eq!(DateTime::from_zoned(zoned).to_zoned(), Ok(zoned));
            prop_assert_eq!(DateTime::from_zoned(zoned).to_day(), Ok(zoned.day()));
        }
    }
}
