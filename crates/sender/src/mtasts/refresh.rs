//! Policies that are cached are fetched again before they end. RFC 8461 §10.2: who blocks the fetch
//! when a policy ends could else do away with it.

use std::time::Duration;

use mox_base::{Domain, Rng};
use mox_net::blocking;
use mox_reportdb::ReportDbError;
use mox_tlspolicy::mtasts::Mode;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::{Inner, MtaSts, parse_cached};

/// How often policies are looked at.
pub const REFRESH_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The time that fetching them is spread over.
pub const REFRESH_SPREAD: Duration = Duration::from_secs(3 * 3600);

/// Policies that were updated since are left alone, in seconds.
pub const REFRESH_AFTER_SECS: i64 = 12 * 3600;

/// Policies that nobody asked for are forgotten after this, in seconds.
pub const UNUSED_KEEP_SECS: i64 = 180 * 24 * 3600;

impl MtaSts {
    /// Keeps the cache fresh until told to stop: now and every [`REFRESH_EVERY`] it forgets what is
    /// not used, and refreshes the rest in random order, spread over [`REFRESH_SPREAD`].
    pub async fn keep_fresh(&self, stopping: CancellationToken) {
        let mut ticks = interval(REFRESH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            if stopping.run_until_cancelled(self.refresh_all()).await.is_none() {
                return;
            }
        }
    }

    async fn refresh_all(&self) {
        let inner = &self.inner;
        let mut domains = match inner.due().await {
            Ok(domains) => domains,
            Err(error) => return tracing::error!(%error, "list MTA-STS policies"),
        };
        shuffle(&mut domains, &*inner.rng);
        let mut pauses = pauses(domains.len(), &*inner.rng);
        for domain in &domains {
            // The first at once, when the server has just started.
            inner.refresh(domain).await;
            sleep(pauses.next().unwrap_or_default()).await;
        }
    }
}

impl Inner {
    /// Forgets what is not used, and lists what is to be refreshed.
    pub(super) async fn due(&self) -> Result<Vec<Domain>, ReportDbError> {
        let (db, now) = (self.db.clone(), self.clock.now());
        let list = move || {
            let forgotten = db.sts_remove_unused(now.plus_secs(-UNUSED_KEEP_SECS))?;
            tracing::debug!(forgotten, "MTA-STS policies that are not used");
            let mut all: Vec<Domain> = Vec::new();
            loop {
                let before = now.plus_secs(-REFRESH_AFTER_SECS);
                let some = db.sts_stale(before, all.last())?;
                if some.is_empty() {
                    return Ok(all);
                }
                all.extend(some);
            }
        };
        blocking(list).await
    }

    /// Brings the policy of one domain up to date, if that can be had.
    pub(super) async fn refresh(&self, domain: &Domain) {
        let Some(mut cached) = self.cached(domain).await else { return };
        let Some(policy) = cached.policy.as_deref().and_then(parse_cached) else { return };
        let now = self.clock.now();
        match self.record(domain).await {
            // RFC 8461 §8.3: a domain that gives up MTA-STS says "none" first, then drops the record.
            Ok(Err(_)) if policy.mode == Mode::None => {
                let (db, domain) = (self.db.clone(), domain.clone());
                super::log(blocking(move || db.sts_remove(&domain).map(|_| ())).await);
            }
            Ok(Ok(record)) if record.id == cached.record_id && cached.valid_end > now => {
                cached.updated = now;
                cached.valid_end = now.plus_secs(i64::from(policy.max_age_secs));
                self.put(cached).await;
            }
            Ok(Ok(record)) => {
                if let Err(failure) = self.fetch_used(domain, &record, cached.used).await {
                    tracing::info!(%domain, reason = failure.reason, "refresh MTA-STS policy");
                }
            }
            Ok(Err(error)) => tracing::debug!(%domain, %error, "refresh MTA-STS policy"),
            Err(error) => tracing::debug!(%domain, %error, "refresh MTA-STS policy"),
        }
    }
}

/// Random waits that add up to no more than [`REFRESH_SPREAD`]: each up to its even share.
fn pauses(count: usize, rng: &dyn Rng) -> impl Iterator<Item = Duration> {
    let share = REFRESH_SPREAD / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    let share = u64::try_from(share.as_millis()).unwrap_or(u64::MAX).max(1);
    (0..count).map(move |_| Duration::from_millis(random(rng) % share))
}

fn random(rng: &dyn Rng) -> u64 {
    let mut bytes = [0; 8];
    rng.fill(&mut bytes);
    u64::from_be_bytes(bytes)
}

/// Fisher and Yates.
fn shuffle(domains: &mut [Domain], rng: &dyn Rng) {
    for last in (1..domains.len()).rev() {
        let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
        let index = usize::try_from(random(rng) % bound).unwrap_or_default();
        domains.swap(last, index);
    }
}

#[cfg(test)]
mod tests {
    use mox_testkit::TestRng;

    use super::*;

    #[test]
    fn pauses_are_random_and_fit_the_time() {
        for count in [0, 1, 2, 1_000] {
            let all: Vec<_> = pauses(count, &TestRng::new(1)).collect();
            assert_eq!(all.len(), count);
            assert!(all.iter().sum::<Duration>() <= REFRESH_SPREAD);
            let share = REFRESH_SPREAD / u32::try_from(count.max(1)).unwrap();
            assert!(all.iter().all(|one| *one < share));
        }
        let many: Vec<_> = pauses(1_000, &TestRng::new(1)).collect();
        assert!(many.iter().sum::<Duration>() > REFRESH_SPREAD / 3, "they do spread");
    }

    #[test]
    fn the_order_is_random_and_nobody_is_lost() {
        let domain = |number: usize| Domain::parse(&format!("d{number:03}.example")).unwrap();
        let sorted: Vec<_> = (0..100).map(domain).collect();
        let mut one = sorted.clone();
        shuffle(&mut one, &TestRng::new(1));
        let mut other = sorted.clone();
        shuffle(&mut other, &TestRng::new(2));
        assert!(one != sorted && one != other);
        one.sort();
        assert_eq!(one, sorted);
    }
}
