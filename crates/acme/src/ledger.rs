//! What was asked of a provider and how it ended: kept on disk, so that a restart forgets nothing.
//!
//! Limits of Let's Encrypt that this stays below: 300 orders of an account in 3 hours, 5 certificates
//! for the same names in 7 days, 5 failed checks of a host in an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use mox_base::UnixSeconds;
use serde::{Deserialize, Serialize};

use crate::error::Blame;
use crate::schedule::{
    PROVIDER_RETRY_FIRST, PROVIDER_RETRY_MAX, RETRY_AFTER_MAX, RETRY_FIRST, RETRY_MAX, Suggested,
    UNKNOWN_HOST_RETRY, backoff,
};

/// Orders in [`ORDERS_WINDOW`].
pub const ORDERS_MAX: usize = 100;

/// See [`ORDERS_MAX`].
pub const ORDERS_WINDOW: Duration = Duration::from_secs(3 * 3600);

/// Certificates for one host and kind of key in [`ISSUED_WINDOW`].
pub const ISSUED_MAX: usize = 4;

/// See [`ISSUED_MAX`].
pub const ISSUED_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);

/// The length of an error that is kept.
pub const ERROR_BYTES_MAX: usize = 500;

/// How long a host that has no certificates any more is remembered.
const FORGET_AFTER: Duration = Duration::from_secs(14 * 24 * 3600);

/// An attempt that ended as the server stopped is made again after this time.
const STOPPED_WAIT: Duration = Duration::from_secs(60);

/// After a provider asked one host to wait, others wait this long too.
const SHARED_WAIT: Duration = Duration::from_secs(300);

/// All that is kept of one provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ledger {
    /// Our account.
    pub(crate) account: Option<AccountUrl>,
    /// When orders were made, in seconds since 1970, within [`ORDERS_WINDOW`].
    orders: Vec<i64>,
    /// Failures of the provider in a row.
    failures: u32,
    /// Before this it is left alone.
    retry_at: i64,
    /// By host and kind of key, named as the files.
    hosts: BTreeMap<String, Record>,
}

/// The account, and who has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountUrl {
    pub(crate) url: String,
    pub(crate) directory: String,
    /// The public key of the account, in base64.
    pub(crate) key: String,
}

/// What happened to a host and kind of key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    failures: u32,
    retry_at: i64,
    pub(crate) error: Option<String>,
    /// When certificates were issued, within [`ISSUED_WINDOW`].
    issued: Vec<i64>,
    touched: i64,
    suggested: Option<Window>,
}

/// The provider's suggestion for the renewal of one certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Window {
    /// Which certificate, see [`crate::obtain::certificate_id`].
    id: String,
    start: i64,
    end: i64,
    has_window: bool,
    ask_again_at: i64,
}

fn secs(wait: Duration) -> i64 {
    i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)
}

impl Ledger {
    /// When an order for this host may be made: now or in the past if it may be made now.
    pub(crate) fn earliest(&self, key: &str, now: UnixSeconds) -> UnixSeconds {
        let mut earliest = self.provider_earliest(now);
        if let Some(record) = self.hosts.get(key) {
            // A clock that was wrong may have left a time far ahead.
            let wait = record.retry_at.min(now.plus_secs(secs(RETRY_AFTER_MAX)).0);
            let full = free_at(&record.issued, ISSUED_MAX, ISSUED_WINDOW, now);
            earliest = earliest.max(wait).max(full);
        }
        UnixSeconds(earliest)
    }

    fn provider_earliest(&self, now: UnixSeconds) -> i64 {
        let wait = self.retry_at.min(now.plus_secs(secs(RETRY_AFTER_MAX)).0);
        wait.max(free_at(&self.orders, ORDERS_MAX, ORDERS_WINDOW, now))
    }

    /// Whether the provider may be asked anything.
    pub(crate) fn is_provider_open(&self, now: UnixSeconds) -> bool {
        self.provider_earliest(now) <= now.0
    }

    /// Counts an attempt before it is made, as if it had failed: a crash in it does not make the
    /// next one come sooner.
    pub(crate) fn begin(&mut self, key: &str, now: UnixSeconds, permille: u32) {
        self.orders.retain(|at| is_within(*at, ORDERS_WINDOW, now));
        self.orders.push(now.0);
        let record = self.record(key, now);
        record.failures = record.failures.saturating_add(1);
        let wait = backoff(RETRY_FIRST, RETRY_MAX, record.failures, permille);
        record.retry_at = now.plus_secs(secs(wait)).0;
        record.error = Some("the attempt was cut off".to_owned());
    }

    /// Notes that a certificate was issued.
    pub(crate) fn succeeded(&mut self, key: &str, now: UnixSeconds) {
        (self.failures, self.retry_at) = (0, 0);
        let record = self.record(key, now);
        record.issued.retain(|at| is_within(*at, ISSUED_WINDOW, now));
        record.issued.push(now.0);
        (record.failures, record.retry_at, record.error) = (0, 0, None);
        record.suggested = None;
    }

    /// Notes why an attempt that was begun failed, and for whom the wait is.
    pub(crate) fn failed(
        &mut self,
        key: &str,
        now: UnixSeconds,
        permille: u32,
        blame: Blame,
        error: &str,
    ) {
        let until = |wait: Duration| now.plus_secs(secs(wait.min(RETRY_AFTER_MAX))).0;
        match blame {
            Blame::Host => (self.failures, self.retry_at) = (0, 0),
            Blame::HostFor(_) => {
                (self.failures, self.retry_at) = (0, until(SHARED_WAIT));
            }
            Blame::Provider => {
                self.failures = self.failures.saturating_add(1);
                let wait =
                    backoff(PROVIDER_RETRY_FIRST, PROVIDER_RETRY_MAX, self.failures, permille);
                self.retry_at = until(wait);
            }
            Blame::ProviderFor(wait) => self.retry_at = until(wait),
            Blame::NotYet | Blame::Nobody => {}
        }
        let is_innocent = !matches!(blame, Blame::Host | Blame::HostFor(_));
        if is_innocent && blame != Blame::Nobody {
            self.orders.pop();
        }
        let record = self.record(key, now);
        record.error = Some(clipped(error));
        if is_innocent {
            record.failures = record.failures.saturating_sub(1);
            record.retry_at = now.0;
        }
        match blame {
            Blame::HostFor(wait) => record.retry_at = record.retry_at.max(until(wait)),
            Blame::NotYet => record.retry_at = until(UNKNOWN_HOST_RETRY),
            Blame::Nobody => record.retry_at = until(STOPPED_WAIT),
            _ => {}
        }
    }

    fn record(&mut self, key: &str, now: UnixSeconds) -> &mut Record {
        let record = self.hosts.entry(key.to_owned()).or_default();
        record.touched = now.0;
        record
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Record> {
        self.hosts.get(key)
    }

    /// The provider's suggestion for a certificate.
    pub(crate) fn suggested(&self, key: &str, id: &str) -> Option<Suggested> {
        let window = self.hosts.get(key)?.suggested.as_ref();
        window.filter(|window| window.id == id && window.has_window).map(|window| Suggested {
            start: UnixSeconds(window.start),
            end: UnixSeconds(window.end),
        })
    }

    /// When the provider is next asked for its suggestion.
    pub(crate) fn ask_suggestion_at(&self, key: &str, id: &str) -> UnixSeconds {
        let window = self.hosts.get(key).and_then(|record| record.suggested.as_ref());
        UnixSeconds(window.filter(|window| window.id == id).map_or(0, |window| window.ask_again_at))
    }

    /// Notes a suggestion, or that there is none, and when to ask again.
    pub(crate) fn suggest(
        &mut self,
        key: &str,
        id: &str,
        suggested: Option<Suggested>,
        (now, again): (UnixSeconds, Duration),
    ) {
        let before = self.suggested(key, id);
        // A failure to ask does not make an earlier answer untrue.
        let window = suggested.or(before);
        self.record(key, now).suggested = Some(Window {
            id: id.to_owned(),
            start: window.map_or(0, |window| window.start.0),
            end: window.map_or(0, |window| window.end.0),
            has_window: window.is_some(),
            ask_again_at: now.plus_secs(secs(again)).0,
        });
    }

    /// Forgets hosts that are not in use (`keeps`) and were not for some time.
    pub(crate) fn forget(&mut self, now: UnixSeconds, keeps: impl Fn(&str) -> bool) {
        self.hosts.retain(|key, record| {
            keeps(key) || is_within(record.touched, FORGET_AFTER, now) || record.retry_at > now.0
        });
    }
}

impl Record {
    pub(crate) fn retry_at(&self) -> Option<UnixSeconds> {
        self.error.as_ref().map(|_| UnixSeconds(self.retry_at))
    }
}

fn is_within(at: i64, window: Duration, now: UnixSeconds) -> bool {
    at > now.plus_secs(-secs(window)).0 && at <= now.0
}

/// When there are fewer than `max` of these moments in the window that ends now; 0 if so already.
fn free_at(times: &[i64], max: usize, window: Duration, now: UnixSeconds) -> i64 {
    let mut within: Vec<_> =
        times.iter().copied().filter(|at| is_within(*at, window, now)).collect();
    within.sort_unstable();
    match within.len().checked_sub(max) {
        Some(over) => within.get(over).map_or(0, |at| at.saturating_add(secs(window))),
        None => 0,
    }
}

fn clipped(error: &str) -> String {
    let end = (0..=ERROR_BYTES_MAX.min(error.len())).rev().find(|end| error.is_char_boundary(*end));
    error[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
    const HOUR: i64 = 3600;

    fn at(secs: i64) -> UnixSeconds {
        NOW.plus_secs(secs)
    }

    #[track_caller]
    fn check(ledger: &Ledger, key: &str, now: UnixSeconds, want_wait: i64) {
        let wait = ledger.earliest(key, now).secs_since(now).max(0);
        assert_eq!(wait, want_wait, "{key}");
    }

    #[test]
    fn failures_of_a_host_make_it_wait_and_no_other() {
        let mut ledger = Ledger::default();
        check(&ledger, "a", NOW, 0);
        ledger.begin("a", NOW, 0);
        // A crash now is a failure.
        check(&ledger, "a", NOW, HOUR / 2);
        ledger.failed("a", NOW, 0, Blame::Host, "no");
        check(&ledger, "a", NOW, HOUR / 2);
        check(&ledger, "b", NOW, 0);
        ledger.begin("a", at(HOUR), 0);
        ledger.failed("a", at(HOUR), 0, Blame::Host, "no");
        check(&ledger, "a", at(HOUR), HOUR);
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
        ledger.begin("a", at(3 * HOUR), 0);
        ledger.succeeded("a", at(3 * HOUR));
        check(&ledger, "a", at(3 * HOUR), 0);
        assert_eq!(ledger.get("a").unwrap().error, None);
    }

    #[test]
    fn failures_of_a_provider_are_not_the_host_s() {
        let mut ledger = Ledger::default();
        for (round, want) in [(0, 60), (1, 120), (2, 240)] {
            ledger.begin("a", at(round * HOUR), 0);
            ledger.failed("a", at(round * HOUR), 0, Blame::Provider, "down");
            check(&ledger, "a", at(round * HOUR), want);
            check(&ledger, "b", at(round * HOUR), want);
        }
        assert_eq!(ledger.orders.len(), 0);
        assert!(!ledger.is_provider_open(at(2 * HOUR)) && ledger.is_provider_open(at(3 * HOUR)));
        // It asks one host to wait: others do shortly, and the host as long as asked.
        let day = Duration::from_secs(24 * 3600);
        ledger.begin("a", at(3 * HOUR), 0);
        ledger.failed("a", at(3 * HOUR), 0, Blame::HostFor(day), "rateLimited");
        check(&ledger, "a", at(3 * HOUR), 24 * HOUR);
        check(&ledger, "b", at(3 * HOUR), 300);
        // Not longer than a week, whatever it says.
        ledger.failed("b", NOW, 0, Blame::ProviderFor(Duration::MAX), "go away");
        check(&ledger, "b", NOW, 7 * 24 * HOUR);
    }

    #[test]
    fn a_host_that_is_not_there_yet_is_looked_up_again_soon() {
        let mut ledger = Ledger::default();
        for round in 0..20 {
            let now = at(round * 300);
            check(&ledger, "a", now, 0);
            ledger.begin("a", now, 0);
            ledger.failed("a", now, 0, Blame::NotYet, "no addresses");
            check(&ledger, "a", now, 300);
        }
        // A server that stops is nobody's fault; one that is restarted often does not ask as often.
        ledger.begin("b", NOW, 0);
        ledger.failed("b", NOW, 0, Blame::Nobody, "stopping");
        check(&ledger, "b", NOW, 60);
    }

    #[test]
    fn orders_and_certificates_are_bounded_in_their_windows() {
        let mut ledger = Ledger::default();
        for count in 0..4 {
            ledger.begin("a", at(count * HOUR), 0);
            ledger.succeeded("a", at(count * HOUR));
        }
        check(&ledger, "a", at(4 * HOUR), (7 * 24 - 4) * HOUR);
        check(&ledger, "b", at(4 * HOUR), 0);
        let mut ledger = Ledger::default();
        for count in 0..100 {
            check(&ledger, "x", at(count), 0);
            ledger.begin(&format!("h{count}"), at(count), 0);
        }
        check(&ledger, "x", at(100), 3 * HOUR - 100);
        check(&ledger, "x", at(3 * HOUR), 0);
        // A clock that goes back a year makes nobody wait a year.
        check(&ledger, "x", at(-365 * 24 * HOUR), 0);
        check(&ledger, "h1", at(-365 * 24 * HOUR), 7 * 24 * HOUR);
    }

    #[test]
    fn suggestions_are_for_one_certificate_and_outlive_failures() {
        let mut ledger = Ledger::default();
        let window = Suggested { start: at(5), end: at(9) };
        let again = Duration::from_secs(3600);
        assert_eq!(ledger.ask_suggestion_at("a", "id"), UnixSeconds(0));
        ledger.suggest("a", "id", Some(window), (NOW, again));
        ledger.suggest("a", "id", None, (at(HOUR), again));
        assert_eq!(ledger.suggested("a", "id"), Some(window));
        assert_eq!(ledger.ask_suggestion_at("a", "id"), at(2 * HOUR));
        assert_eq!(ledger.suggested("a", "next"), None);
        assert_eq!(ledger.ask_suggestion_at("a", "next"), UnixSeconds(0));
    }

    #[test]
    fn what_is_not_in_use_is_forgotten_and_errors_are_cut() {
        let mut ledger = Ledger::default();
        ledger.begin("gone", NOW, 0);
        ledger.begin("used", NOW, 0);
        let long = "\u{e4}".repeat(ERROR_BYTES_MAX);
        ledger.failed("used", NOW, 0, Blame::Host, &long);
        assert_eq!(ledger.get("used").unwrap().error.as_ref().unwrap().len(), ERROR_BYTES_MAX);
        ledger.forget(at(13 * 24 * HOUR), |key| key == "used");
        assert!(ledger.get("gone").is_some());
        ledger.forget(at(15 * 24 * HOUR), |key| key == "used");
        assert!(ledger.get("gone").is_none() && ledger.get("used").is_some());
    }
}
