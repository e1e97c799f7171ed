//! When certificates are renewed, and when what failed is tried again. No clock of its own.

use std::time::Duration;

use mox_base::UnixSeconds;

/// A certificate is renewed at the latest this long before its end, whatever its lifetime.
pub const RENEW_BEFORE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The longest random part of a renewal's time.
pub(crate) const JITTER_MAX: Duration = Duration::from_secs(3600);

/// After a first failure, the next attempt for a host is made this much later. With two checks in
/// each attempt, this stays below five failed checks in an hour, which is what Let's Encrypt bears.
pub const RETRY_FIRST: Duration = Duration::from_secs(30 * 60);

/// Waits double with each failure, up to this one.
pub const RETRY_MAX: Duration = Duration::from_secs(24 * 3600);

/// A provider that cannot be reached is tried again this much later.
pub(crate) const PROVIDER_RETRY_FIRST: Duration = Duration::from_secs(60);

/// The longest wait for a provider that cannot be reached.
pub(crate) const PROVIDER_RETRY_MAX: Duration = Duration::from_secs(3600);

/// The longest wait that a provider may ask for.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// A host that DNS does not know is looked up again after this time.
pub(crate) const UNKNOWN_HOST_RETRY: Duration = Duration::from_secs(5 * 60);

/// What a provider suggests for the renewal of a certificate. RFC 9773 §4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suggested {
    pub(crate) start: UnixSeconds,
    pub(crate) end: UnixSeconds,
}

/// The validity of a certificate and what was said about its renewal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) not_before: UnixSeconds,
    pub(crate) not_after: UnixSeconds,
    /// 0 to 999, see [`crate::pair::Pair::permille`].
    pub(crate) permille: u32,
}

fn secs(wait: Duration) -> i64 {
    i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)
}

/// When a certificate is renewed.
///
/// - `renew_before`: the operator's wish, which goes first. It is cut to half of the lifetime, so
///   that a wish for more than the provider gives does not renew without end.
/// - `suggested`: the provider's, from which a moment is chosen (RFC 9773 §4.2); a window in the past
///   asks for a renewal at once, also against the operator's wish: the certificate is about to be
///   revoked. Never later than a tenth of the lifetime before the end.
///
/// Else a third of the lifetime before the end, at most [`RENEW_BEFORE_MAX`], and up to an hour later.
pub(crate) fn renewal(
    validity: Validity,
    renew_before: Option<Duration>,
    suggested: Option<Suggested>,
) -> UnixSeconds {
    let Validity { not_before, not_after, permille } = validity;
    let lifetime = not_after.secs_since(not_before).max(0);
    let chosen = suggested.map(|Suggested { start, end }| {
        let span = end.secs_since(start).max(0);
        start.plus_secs(part(span, permille)).min(not_after.plus_secs(-lifetime / 10))
    });
    let own = if let Some(wish) = renew_before {
        let wished = not_after.plus_secs(-secs(wish).min(lifetime / 2));
        return chosen.map_or(wished, |chosen| chosen.min(wished));
    } else {
        (lifetime / 3).min(secs(RENEW_BEFORE_MAX))
    };
    let jitter = part((own / 10).min(secs(JITTER_MAX)), permille);
    chosen.unwrap_or_else(|| not_after.plus_secs(jitter - own))
}

/// `permille` of a span, without overflow.
fn part(span: i64, permille: u32) -> i64 {
    span / 1000 * i64::from(permille) + span % 1000 * i64::from(permille) / 1000
}

/// The wait after a number of failures, of at least one: doubling, and up to a tenth longer.
pub(crate) fn backoff(first: Duration, max: Duration, failures: u32, permille: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let wait = first.saturating_mul(1 << doublings).min(max);
    wait + wait / 10 * permille.min(1000) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    #[track_caller]
    fn check(
        days: i64,
        permille: u32,
        before: Option<i64>,
        suggested: Option<(i64, i64)>,
        want: i64,
    ) {
        let not_before = UnixSeconds(1_000_000);
        let at = |offset| not_before.plus_secs(offset);
        let validity = Validity { not_before, not_after: at(days * DAY), permille };
        let before = before.map(|secs| Duration::from_secs(secs.unsigned_abs()));
        let suggested = suggested.map(|(start, end)| Suggested { start: at(start), end: at(end) });
        let found = renewal(validity, before, suggested).secs_since(not_before);
        assert_eq!(found, want, "{days} days, {before:?}, {suggested:?}");
    }

    #[test]
    fn a_certificate_is_renewed_in_time() {
        // A third of the lifetime, at most thirty days, and a little later.
        check(90, 0, None, None, 60 * DAY);
        check(90, 500, None, None, 60 * DAY + 1800);
        check(398, 999, None, None, 368 * DAY + 3596);
        check(6, 0, None, None, 4 * DAY);
        check(6, 500, None, None, 4 * DAY + 1800);
        // The operator's wish, and one that is longer than what there is.
        check(90, 500, Some(10 * DAY), None, 80 * DAY);
        check(6, 500, Some(30 * DAY), None, 3 * DAY);
        // The provider's. RFC 9773 §4.2.
        check(90, 500, None, Some((50 * DAY, 52 * DAY)), 51 * DAY);
        check(90, 500, None, Some((-DAY, -DAY)), -DAY);
        check(90, 500, Some(10 * DAY), Some((50 * DAY, 52 * DAY)), 51 * DAY);
        check(90, 500, Some(60 * DAY), Some((50 * DAY, 52 * DAY)), 45 * DAY);
        // One that comes too late, or ends before it starts.
        check(90, 0, None, Some((200 * DAY, 300 * DAY)), 81 * DAY);
        check(90, 999, None, Some((50 * DAY, 40 * DAY)), 50 * DAY);
        // A certificate that makes no sense.
        check(-1, 999, None, None, -DAY);
        check(0, 0, Some(DAY), None, 0);
    }

    #[test]
    fn waits_double_up_to_their_bound() {
        let wait =
            |failures, permille| backoff(RETRY_FIRST, RETRY_MAX, failures, permille).as_secs();
        assert_eq!([0, 1, 2, 3].map(|n| wait(n, 0)), [1800, 1800, 3600, 7200]);
        assert_eq!([6, 7, 100, u32::MAX].map(|n| wait(n, 0)), [57_600, 86_400, 86_400, 86_400]);
        assert_eq!(wait(1, 1000), 1980);
        assert_eq!(wait(u32::MAX, u32::MAX), 95_040);
    }
}
