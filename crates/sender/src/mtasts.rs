//! Which policy of MTA-STS a domain has, from the cache, from DNS and by HTTPS.
//!
//! Source: RFC 8461 §3, §5.1; in reports RFC 8460 §4.3.2.2.

mod fetch;
mod refresh;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Clock, Domain, Rng, UnixSeconds};
use mox_dns::{DnsError, Lookups as _, Resolver, Trouble};
use mox_metrics::tlspolicy;
use mox_net::blocking;
use mox_reportdb::{ReportDb, ReportDbError, StsEntry};
use mox_reports::tls::ResultType;
use mox_tlspolicy::mtasts::{self, Policy, PolicyError, Record, RecordError};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

pub use fetch::{Fetch, FetchError, Fetching, HttpsFetch};
pub use refresh::{REFRESH_AFTER_SECS, REFRESH_EVERY, REFRESH_SPREAD, UNUSED_KEEP_SECS};

/// The longest that looking for a record takes.
pub const RECORD_WAIT: Duration = Duration::from_secs(30);

/// The longest that fetching a policy takes. RFC 8461 §3.3.
pub const POLICY_WAIT: Duration = Duration::from_secs(60);

/// After a policy could not be had, it is not asked for again for so long, in seconds.
/// RFC 8461 §3.3 wants senders to limit their attempts.
pub const BACKOFF_SECS: i64 = 5 * 60;

/// Domains with a policy whose last fetch of another is remembered to have failed. When there are
/// more, all are forgotten.
const FAILED_MAX: usize = 10_000;

/// What is known of a domain's policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StsLookup {
    /// The policy, if there is one.
    pub policy: Option<Policy>,
    /// What went wrong with it. There may still be a policy: that of before.
    pub failure: Option<StsFailure>,
}

/// What went wrong with a policy, as reports tell it. RFC 8460 §4.3.2.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsFailure {
    /// Its kind.
    pub result_type: ResultType,
    /// What it was exactly.
    pub reason: String,
}

/// DNS does not say whether there is a policy: to send now might be to send without what it demands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("look up MTA-STS record: {0}")]
pub struct StsTemporary(#[source] pub DnsError);

/// What must be had of others, and the cache. Clones share it.
#[derive(Clone)]
pub struct MtaSts {
    inner: Arc<Inner>,
}

struct Inner {
    db: ReportDb,
    resolver: Arc<dyn Resolver>,
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// Domains whose policies are being fetched, so that many deliveries at once fetch once. Bounded
    /// by the number of deliveries.
    busy: Mutex<HashMap<Domain, Arc<tokio::sync::Mutex<()>>>>,
    /// When the fetch of a policy failed that was to follow one that is cached. Those without a
    /// cached one have it in the cache.
    failed: Mutex<HashMap<Domain, UnixSeconds>>,
}

impl fmt::Debug for MtaSts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MtaSts").finish_non_exhaustive()
    }
}

impl MtaSts {
    /// Keeps policies in `db`, and gets them by `resolver` and `fetch`.
    #[must_use]
    pub fn new(
        db: ReportDb,
        resolver: Arc<dyn Resolver>,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        let (busy, failed) = (Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { db, resolver, fetch, clock, rng, busy, failed }) }
    }

    /// The policy of a domain.
    ///
    /// One that is cached is good as long as it says, even if nothing can be asked any more
    /// (RFC 8461 §5.1: who can suppress an answer must not be able to suppress the policy); its
    /// record is looked at each time, and if that has changed the policy is fetched. A policy of
    /// [`Mode::None`](mtasts::Mode::None) is one too, and demands nothing.
    ///
    /// # Errors
    ///
    /// If nothing is cached and DNS fails for now.
    pub async fn get(&self, domain: &Domain) -> Result<StsLookup, StsTemporary> {
        let looked =
            self.inner.look(domain).await.inspect_err(|_| tlspolicy::mtasts_cached("error"));
        if let Look::Done(found) = looked? {
            tlspolicy::mtasts_cached(if found.policy.is_some() { "hit" } else { "nopolicy" });
            return Ok(found);
        }
        tlspolicy::mtasts_cached("miss");
        let busy = Arc::clone(self.inner.busy.lock().entry(domain.clone()).or_default());
        let found = {
            let _one_at_a_time = busy.lock().await;
            self.inner.look_and_fetch(domain).await
        };
        drop(busy);
        let mut all = self.inner.busy.lock();
        if all.get(domain).is_some_and(|one| Arc::strong_count(one) == 1) {
            all.remove(domain);
        }
        found
    }
}

/// What the cache and DNS say.
enum Look {
    /// All that is to be known.
    Done(StsLookup),
    /// A record tells of a policy that is not cached.
    Fetch {
        record: Record,
        /// The policy that is good until then.
        cached: Option<Policy>,
    },
}

impl Look {
    fn done(policy: Option<Policy>, failure: Option<StsFailure>) -> Self {
        Self::Done(StsLookup { policy, failure })
    }
}

impl Inner {
    async fn look(&self, domain: &Domain) -> Result<Look, StsTemporary> {
        let now = self.clock.now();
        let Some(cached) = self.cached(domain).await.filter(|one| one.valid_end > now) else {
            return Ok(match self.record(domain).await.map_err(StsTemporary)? {
                Ok(record) => Look::Fetch { record, cached: None },
                Err(error) => Look::done(None, failure_of_record(error)),
            });
        };
        self.touch(domain, now).await;
        let Some(policy) = cached.policy.as_deref().and_then(parse_cached) else {
            return Ok(Look::done(None, Some(backing_off())));
        };
        // RFC 8461 §5.1: without a record, or with one that cannot be read, the policy stays.
        Ok(match self.record(domain).await {
            Ok(Ok(record)) if record.id != cached.record_id => match self.has_failed(domain, now) {
                true => Look::done(Some(policy), Some(falling_back(backing_off()))),
                false => Look::Fetch { record, cached: Some(policy) },
            },
            _ => Look::done(Some(policy), None),
        })
    }

    /// Looks again: while this waited for its turn, another may have fetched what it needs.
    async fn look_and_fetch(&self, domain: &Domain) -> Result<StsLookup, StsTemporary> {
        let (record, cached) = match self.look(domain).await? {
            Look::Done(found) => return Ok(found),
            Look::Fetch { record, cached } => (record, cached),
        };
        Ok(match (self.fetch(domain, &record).await, cached) {
            (Ok(policy), _) => StsLookup { policy: Some(policy), failure: None },
            (Err(failure), cached @ Some(_)) => {
                StsLookup { policy: cached, failure: Some(falling_back(failure)) }
            }
            (Err(failure), None) => {
                let now = self.clock.now();
                self.put(entry(domain, &record, None, now, now.plus_secs(BACKOFF_SECS))).await;
                StsLookup { policy: None, failure: Some(failure) }
            }
        })
    }

    /// Whether the policy of this domain could not be had a short time ago.
    fn has_failed(&self, domain: &Domain, now: UnixSeconds) -> bool {
        let failed = self.failed.lock();
        failed.get(domain).is_some_and(|at| (0..BACKOFF_SECS).contains(&now.secs_since(*at)))
    }

    fn note_failed(&self, domain: &Domain) {
        let mut failed = self.failed.lock();
        if failed.len() >= FAILED_MAX {
            failed.clear();
        }
        failed.insert(domain.clone(), self.clock.now());
    }

    /// The record of a domain, or why there is none.
    async fn record(&self, domain: &Domain) -> Result<Result<Record, RecordError>, DnsError> {
        let Ok(name) = mtasts::record_name(domain) else { return Ok(Err(RecordError::Missing)) };
        let texts = match timeout(RECORD_WAIT, self.resolver.txt(&name)).await {
            Ok(Ok(found)) => found.records,
            Ok(Err(error)) if error.is_not_found() => Vec::new(),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(DnsError::Temporary(Trouble::Timeout)),
        };
        Ok(mtasts::find_record(&texts))
    }

    /// Fetches the policy that a record tells of, and keeps it.
    async fn fetch(&self, domain: &Domain, record: &Record) -> Result<Policy, StsFailure> {
        self.fetch_used(domain, record, self.clock.now()).await
    }

    /// As [`Self::fetch`], for a policy that was last asked for at `used`.
    async fn fetch_used(
        &self,
        domain: &Domain,
        record: &Record,
        used: UnixSeconds,
    ) -> Result<Policy, StsFailure> {
        let since = Instant::now();
        let fetched = match timeout(POLICY_WAIT, self.fetch.fetch(domain)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(FetchError::TimedOut),
        };
        let took = since.elapsed();
        let read = |text: Vec<u8>| mtasts::parse_policy(&text).map_err(failure_of_policy);
        let policy = fetched.map_err(|error| failure_of_fetch(&error)).and_then(read);
        tlspolicy::mtasts_fetched(if policy.is_ok() { "ok" } else { "error" }, took);
        let policy = policy.inspect_err(|_| self.note_failed(domain))?;
        self.failed.lock().remove(domain);
        let now = self.clock.now();
        let valid_end = now.plus_secs(i64::from(policy.max_age_secs));
        let entry = entry(domain, record, Some(policy.to_string()), now, valid_end);
        self.put(StsEntry { used, ..entry }).await;
        Ok(policy)
    }

    /// A cache that fails is as good as none: what it would say is asked for.
    async fn cached(&self, domain: &Domain) -> Option<StsEntry> {
        let (db, domain) = (self.db.clone(), domain.clone());
        let found = blocking(move || db.sts_get(&domain)).await;
        found.unwrap_or_else(|error| {
            tracing::error!(%error, "read cached MTA-STS policy");
            None
        })
    }

    async fn touch(&self, domain: &Domain, now: UnixSeconds) {
        let (db, domain) = (self.db.clone(), domain.clone());
        log(blocking(move || db.sts_touch(&domain, now)).await);
    }

    async fn put(&self, entry: StsEntry) {
        let db = self.db.clone();
        log(blocking(move || db.sts_put(&entry)).await);
    }
}

fn log(outcome: Result<(), ReportDbError>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "keep MTA-STS policy");
    }
}

fn entry(
    domain: &Domain,
    record: &Record,
    policy: Option<String>,
    now: UnixSeconds,
    valid_end: UnixSeconds,
) -> StsEntry {
    StsEntry {
        domain: domain.clone(),
        inserted: now,
        valid_end,
        updated: now,
        used: now,
        record_id: record.id.clone(),
        policy,
    }
}

/// What is in the cache was read once, and is then none only if the rules have changed since.
fn parse_cached(text: &str) -> Option<Policy> {
    mtasts::parse_policy(text.as_bytes()).ok()
}

fn backing_off() -> StsFailure {
    let reason = "back-off-after-recent-fetch-error".to_owned();
    StsFailure { result_type: ResultType::StsPolicyFetchError, reason }
}

fn falling_back(mut failure: StsFailure) -> StsFailure {
    failure.reason.push_str("+fallback-to-cached-policy");
    failure
}

/// A domain without a record takes no part in MTA-STS, which is no failure.
fn failure_of_record(error: RecordError) -> Option<StsFailure> {
    let reason = match error {
        RecordError::Missing | RecordError::OtherRecord => return None,
        RecordError::Multiple => "multiple-records",
        RecordError::Malformed => "malformed-record",
    };
    Some(StsFailure { result_type: ResultType::StsPolicyInvalid, reason: reason.to_owned() })
}

fn failure_of_policy(error: PolicyError) -> StsFailure {
    let reason = error.token().to_owned();
    StsFailure { result_type: ResultType::StsPolicyInvalid, reason }
}

fn failure_of_fetch(error: &FetchError) -> StsFailure {
    let (result_type, reason) = match error {
        FetchError::Certificate(failure) => {
            let token = failure.reason();
            let kind = failure.result_type();
            // RFC 8460 §4.3.2.2: one kind for all certificates, so that the reason must tell.
            let reason = if token.is_empty() { kind.as_str().to_owned() } else { token };
            (ResultType::StsWebpkiInvalid, reason)
        }
        FetchError::TooLarge => (ResultType::StsPolicyInvalid, "policy-too-large".to_owned()),
        FetchError::Tls(failure) => (ResultType::StsPolicyFetchError, failure.reason()),
        FetchError::NoHost => (ResultType::StsPolicyFetchError, "no-policy-host".to_owned()),
        FetchError::Dns(_) => (ResultType::StsPolicyFetchError, "dns-error".to_owned()),
        FetchError::Status(code) => {
            (ResultType::StsPolicyFetchError, format!("http-status-{code}"))
        }
        FetchError::TimedOut => (ResultType::StsPolicyFetchError, "timeout".to_owned()),
        FetchError::Connection => (ResultType::StsPolicyFetchError, "connection-error".to_owned()),
        FetchError::NotHttp => (ResultType::StsPolicyFetchError, "http-error".to_owned()),
    };
    StsFailure { result_type, reason }
}

#[cfg(test)]
mod tests;
