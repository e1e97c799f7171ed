//! What follows from an attempt: another one, or the end of the message, with all who are to be told.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Host, UnixSeconds};
use mox_config::Config;
use mox_net::blocking;
use mox_queue::{
    FIRST_WAIT_SECS, Failure, HookTarget, How, Kind, Lease, NewHook, NewNotice, Outcome,
    OutgoingEvent, Queued, Settlement, SmtpReply, TlsHint, Told, wait_secs,
};
use mox_reports::dsn::{Action, HEADER_RETURNED_BYTES_MAX, RETURNED_BYTES_MAX};
use mox_smtp::{Reply, Ret, ReversePath};
use tokio::time::sleep;

use crate::deliver::{Attempted, Batch, Fate, Fault, Remote};
use crate::notice::{Returned, Subject, notice};
use crate::reports;
use crate::services::{End, Inner};

/// The attempt after which the sender is told that it takes longer.
pub const DELAY_TOLD_AT: u32 = 5;

/// How long messages of accounts that are gone are kept in the history.
const KEEP_WITHOUT_ACCOUNT_SECS: i64 = 7 * 24 * 3600;

/// How long to wait before what could not be written down is written down again.
pub(crate) const SETTLE_WAIT: Duration = Duration::from_secs(10);

/// The most bytes of notices and calls in one commit, by far less than may wait for the writer: a
/// message of a thousand recipients may have as many notices, each with all of it.
const COMMIT_BYTES_MAX: usize = 4 << 20;

/// No chance: the middle of the waits.
const NO_CHANCE: u64 = 5;

/// What an attempt leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered {
        reply: Reply,
        remote: Remote,
        tells_success: bool,
    },
    Delayed {
        fault: Fault,
        /// The next attempt, if not when the lease said.
        retry_at: Option<UnixSeconds>,
        /// Until when it will be tried.
        until: UnixSeconds,
    },
    Failed(Fault),
    /// Taken out of the queue.
    Dropped,
}

/// Decides whether there is another attempt.
pub(crate) fn verdict(lease: &Lease, fate: Fate, now: UnixSeconds) -> Verdict {
    let fault = match fate {
        Fate::Delivered { reply, remote, tells_success } => {
            return Verdict::Delivered { reply, remote, tells_success };
        }
        Fate::Failed(fault) => fault,
    };
    let allowed = lease.message.attempts_allowed();
    if fault.is_permanent || lease.attempt >= allowed {
        return Verdict::Failed(fault);
    }
    let retry_at = retry_at(lease.next_attempt, now);
    let next = retry_at.unwrap_or(lease.next_attempt);
    Verdict::Delayed { fault, retry_at, until: last_attempt(lease, next, allowed) }
}

/// When the last attempt will be made, if all fail from the next one on.
fn last_attempt(lease: &Lease, next: UnixSeconds, allowed: u32) -> UnixSeconds {
    let waits = (lease.attempt.saturating_add(1)..allowed)
        .map(|attempt| wait_secs(attempt.saturating_sub(1), NO_CHANCE));
    next.plus_secs(waits.sum())
}

/// When to try again instead of when the lease said: an attempt that took long must not be followed at
/// once by the next, least of all if the answer was lost and the message may have been delivered.
fn retry_at(next_attempt: UnixSeconds, now: UnixSeconds) -> Option<UnixSeconds> {
    let is_near = next_attempt.secs_since(now) < FIRST_WAIT_SECS / 2;
    is_near.then(|| now.plus_secs(FIRST_WAIT_SECS))
}

/// Whom a verdict is told to: nobody, or the sender by a notice about this action.
///
/// RFC 3461 §5.2.1 to §5.2.6 with NOTIFY; without, failures are told, and one delay. A notice is never
/// sent about a notice (RFC 5321 §4.5.5).
pub(crate) fn action(lease: &Lease, verdict: &Verdict) -> Option<Action> {
    let Queued { kind, notify, mail_from, .. } = &*lease.message;
    if *mail_from == ReversePath::Null || *kind == Kind::Notice {
        return None;
    }
    match verdict {
        Verdict::Delivered { tells_success, .. } => {
            let wants = notify.is_some_and(|notify| notify.is_on_success());
            // A server that knows NOTIFY tells by itself.
            (wants && !tells_success).then_some(Action::Relayed)
        }
        Verdict::Delayed { .. } => {
            let wants = notify.is_none_or(|notify| notify.is_on_delay());
            let is_time = lease.attempt == DELAY_TOLD_AT && *kind == Kind::Mail;
            (wants && is_time).then_some(Action::Delayed)
        }
        Verdict::Failed(_) => {
            let wants = notify.is_none_or(|notify| notify.is_on_failure());
            wants.then_some(Action::Failed)
        }
        Verdict::Dropped => None,
    }
}

/// What webhooks tell of a verdict.
fn event(verdict: &Verdict) -> OutgoingEvent {
    match verdict {
        Verdict::Delivered { .. } => OutgoingEvent::Delivered,
        Verdict::Delayed { .. } => OutgoingEvent::Delayed,
        Verdict::Failed(fault) if fault.is_suppressed => OutgoingEvent::Suppressed,
        Verdict::Failed(_) => OutgoingEvent::Failed,
        Verdict::Dropped => OutgoingEvent::Canceled,
    }
}

/// What all recipients of an attempt have in common.
struct Common {
    config: Arc<Config>,
    start: UnixSeconds,
    now: UnixSeconds,
    dialed_ips: BTreeMap<String, Vec<IpAddr>>,
    tls_hint: Option<TlsHint>,
}

/// Writes down what came of an attempt. What cannot be written is tried again after a restart.
pub(crate) async fn settle(inner: &Arc<Inner>, batch: Batch, attempted: Attempted) {
    let now = inner.now();
    let Attempted { fates, dialed_ips, tls, hint, tls_mode: _ } = attempted;
    let Batch { leases, config, start, .. } = batch;
    let is_counted =
        !config.statics.no_outgoing_tls_reports && inner.services.loopback_to.is_none();
    let rows = leases.first().and_then(|lease| match &lease.message.rcpt_to.host {
        Host::Domain(domain) if is_counted => Some(tls.rows(domain, lease.message.kind, now)),
        _ => None,
    });
    let decided = leases.into_iter().zip(fates).map(|(lease, fate)| {
        let verdict = verdict(&lease, fate, now);
        (lease, verdict)
    });
    let decided = decided.collect();
    let common = Common { config, start, now, dialed_ips, tls_hint: hint };
    write(inner, common, decided).await;
    if let Some(rows) = rows.filter(|rows| !rows.is_empty()) {
        let reports = inner.services.reports.clone();
        let added = blocking(move || reports.add_tls_results(&rows)).await;
        if let Err(error) = added {
            tracing::error!(%error, "keeping results of TLS");
        }
    }
}

async fn write(inner: &Arc<Inner>, common: Common, decided: Vec<(Lease, Verdict)>) {
    for (lease, verdict) in &decided {
        log(lease, verdict);
    }
    // What tells nobody reads nothing, and needs no thread that may block.
    let is_quiet = decided.iter().all(|(lease, verdict)| {
        matches!(verdict, Verdict::Delivered { .. })
            && action(lease, verdict).is_none()
            && webhook(&common.config, &lease.message, event(verdict)).is_none()
    });
    let (common, mut left) = (Arc::new(common), decided.into_iter());
    while left.len() > 0 {
        let (worker, of_all) = (Arc::clone(inner), Arc::clone(&common));
        let some = move || {
            let some = worker.settlements(&of_all, &mut left);
            (some, left)
        };
        let settlements;
        (settlements, left) = if is_quiet { some() } else { blocking(some).await };
        let has_notices = settlements.iter().any(|settlement| !settlement.notices.is_empty());
        write_down(inner, settlements, common.now).await;
        if has_notices {
            inner.notices.notify_one();
        }
    }
}

/// Writes it down, until that works or the server stops: what was delivered and is not settled is
/// delivered again after a restart.
async fn write_down(inner: &Inner, settlements: Vec<Settlement>, now: UnixSeconds) {
    let stopping = inner.services.supervisor.stopping();
    while let Err(error) = inner.services.queue.settle(settlements.clone(), now).await {
        tracing::error!(%error, "writing down what came of a delivery");
        if stopping.run_until_cancelled(sleep(SETTLE_WAIT)).await.is_none() {
            return;
        }
    }
}

impl Inner {
    /// Ends messages without an attempt.
    pub(crate) async fn end(
        self: &Arc<Self>,
        mut filter: mox_queue::Filter,
        end: End,
    ) -> Result<u64, mox_queue::QueueError> {
        let now = self.now();
        let verdict = match end {
            End::Remove => Verdict::Dropped,
            End::Fail => Verdict::Failed(Fault::ours(true, (0, 0), "delivery canceled by admin")),
        };
        let mut count = 0;
        loop {
            // So many at a time as the queue gives.
            let leases = self.services.queue.lease_found(filter.clone(), now).await?;
            if leases.is_empty() {
                return Ok(count);
            }
            let found = leases.len();
            count += found as u64;
            let config = self.services.config.snapshot();
            let (dialed_ips, tls_hint) = (BTreeMap::new(), None);
            let common = Common { config, start: now, now, dialed_ips, tls_hint };
            let decided = leases.into_iter().map(|lease| (lease, verdict.clone())).collect();
            write(self, common, decided).await;
            if filter.max > 0 {
                filter.max = filter.max.saturating_sub(found);
                if filter.max == 0 {
                    return Ok(count);
                }
            }
        }
    }

    /// As many as go into one commit. Blocks if somebody is to be told.
    fn settlements(
        &self,
        common: &Common,
        decided: &mut std::vec::IntoIter<(Lease, Verdict)>,
    ) -> Vec<Settlement> {
        let (mut settlements, mut bytes) = (Vec::new(), 0);
        while bytes < COMMIT_BYTES_MAX
            && let Some((lease, verdict)) = decided.next()
        {
            let settlement = self.settlement(common, &lease, verdict);
            bytes += settlement.memory_bytes();
            settlements.push(settlement);
        }
        settlements
    }

    /// Blocks if somebody is to be told.
    fn settlement(&self, common: &Common, lease: &Lease, verdict: Verdict) -> Settlement {
        let message = &*lease.message;
        let is_suppressing = match &verdict {
            Verdict::Failed(fault) => {
                reports::note_failure(&self.services.reports, message, fault, common.now);
                self.suppresses(message, fault)
            }
            _ => false,
        };
        let account = common.config.account(&message.account);
        let keep = account.map(|account| account.keep_retired_message_period.0.as_secs());
        let keep_secs = keep
            .map_or(KEEP_WITHOUT_ACCOUNT_SECS, |secs| i64::try_from(secs).unwrap_or(i64::MAX / 2));
        let keep_secs = match reports::is_report(message.kind) {
            true => keep_secs.max(reports::KEEP_SECS),
            false => keep_secs,
        };
        let hooks = Self::hook(common, message, &verdict, is_suppressing).into_iter().collect();
        let notices =
            action(lease, &verdict).and_then(|action| self.notice(common, lease, &verdict, action));
        let elapsed = common.now.secs_since(common.start).max(0);
        let retry_at = match verdict {
            Verdict::Delayed { retry_at, .. } => retry_at,
            _ => None,
        };
        Settlement {
            duration_ms: u64::try_from(elapsed).unwrap_or_default().saturating_mul(1_000),
            dialed_ips: common.dialed_ips.clone(),
            tls_hint: common.tls_hint,
            retry_at,
            keep_secs,
            notices: notices.into_iter().collect(),
            hooks,
            ..Settlement::new(lease.id, common.start, outcome(verdict, is_suppressing))
        }
    }

    fn suppresses(&self, message: &Queued, fault: &Fault) -> bool {
        // Deviation: the original goes by the code alone, so that `Fail` with 550 in mox.conf suppresses
        // the address as if its server had refused it, and for longer than the rule is there.
        if fault.is_suppressed || fault.is_own_rule {
            return false;
        }
        let queue = &self.services.queue;
        let would =
            queue.would_suppress(&message.account, &message.rcpt_to, fault.code, fault.enhanced);
        would.unwrap_or_else(|error| {
            tracing::error!(%error, "looking at the suppression list");
            false
        })
    }

    /// The call that the account wants to be made about it.
    fn hook(
        common: &Common,
        message: &Queued,
        verdict: &Verdict,
        is_suppressing: bool,
    ) -> Option<NewHook> {
        let event = event(verdict);
        let target = webhook(&common.config, message, event)?;
        let (code, enhanced, error) = match verdict {
            Verdict::Delivered { reply, .. } => (Some(reply.code), enhanced(reply), ""),
            Verdict::Delayed { fault, .. } | Verdict::Failed(fault) => {
                (fault.code, fault.enhanced, fault.text.as_str())
            }
            Verdict::Dropped => (None, None, ""),
        };
        let told = Told { event, is_dsn: false, is_suppressing, code, enhanced, error };
        Some(NewHook::outgoing(message, &target, &told, common.now))
    }

    fn notice(
        &self,
        common: &Common,
        lease: &Lease,
        verdict: &Verdict,
        action: Action,
    ) -> Option<NewNotice> {
        let message = &*lease.message;
        let wants_all = action == Action::Failed && message.ret == Some(Ret::Full);
        let returned = self.returned(message, wants_all);
        let subject = Subject { message, verdict, action, returned };
        let id = self.message_id();
        let boundary = mox_mime::random_boundary(&*self.services.rng);
        notice(&common.config, &subject, &id, boundary, (common.start, common.now))
    }

    /// The header of a message, or all of it. That it cannot be read keeps no notice from its sender.
    fn returned(&self, message: &Queued, wants_all: bool) -> Returned {
        let is_whole = wants_all && message.size <= RETURNED_BYTES_MAX as u64;
        let most = if is_whole { RETURNED_BYTES_MAX } else { 2 * HEADER_RETURNED_BYTES_MAX };
        let mut content = Vec::new();
        let reader = self.services.queue.body(message.id);
        let read = reader.map_err(|error| error.to_string()).and_then(|reader| {
            let read = reader.take(most as u64).read_to_end(&mut content);
            read.map_err(|error| error.to_string())
        });
        if let Err(error) = read {
            tracing::error!(id = message.id.0, %error, "reading a message that is to be returned");
        }
        Returned { content, is_whole }
    }
}

/// Where the account wants an event to be told, if it does.
fn webhook(config: &Config, message: &Queued, event: OutgoingEvent) -> Option<HookTarget> {
    let account = config.account(&message.account)?;
    let hook = account.outgoing_webhook_for(event.as_str())?;
    let keep = account.keep_retired_webhook_period.0.as_secs();
    Some(HookTarget {
        url: hook.url.clone(),
        authorization: hook.authorization.clone(),
        keep_secs: i64::try_from(keep).unwrap_or(i64::MAX / 2),
    })
}

fn enhanced(reply: &Reply) -> Option<(u8, u16, u16)> {
    let class = u8::try_from(reply.code / 100).ok()?;
    reply.enhanced.map(|enhanced| (class, enhanced.subject, enhanced.detail))
}

fn outcome(verdict: Verdict, suppress: bool) -> Outcome {
    match verdict {
        Verdict::Delivered { reply, remote, .. } => {
            let lines = reply.text.lines().map(str::to_owned).collect();
            let reply = SmtpReply { code: reply.code, enhanced: enhanced(&reply), lines };
            let how = How { remote_mta: remote.host, remote_ip: remote.ip };
            Outcome::Delivered { reply, how }
        }
        Verdict::Delayed { fault, .. } => Outcome::Delayed { error: failure(fault) },
        Verdict::Failed(fault) => Outcome::Failed { error: failure(fault), suppress },
        Verdict::Dropped => Outcome::Dropped,
    }
}

fn failure(fault: Fault) -> Failure {
    Failure {
        code: fault.code,
        enhanced: fault.enhanced,
        text: fault.text,
        reply_lines: fault.reply_lines,
        remote_mta: fault.remote.host,
        remote_ip: fault.remote.ip,
    }
}

fn log(lease: &Lease, verdict: &Verdict) {
    let Queued { id, mail_from, rcpt_to, .. } = &*lease.message;
    let (id, attempt) = (id.0, lease.attempt);
    match verdict {
        Verdict::Delivered { remote, .. } => {
            let host = remote.host.as_deref().unwrap_or_default();
            tracing::info!(id, %mail_from, %rcpt_to, attempt, host, "message delivered");
        }
        Verdict::Delayed { fault, retry_at, .. } => {
            let (error, next) = (&fault.text, retry_at.unwrap_or(lease.next_attempt).0);
            tracing::info!(id, %mail_from, %rcpt_to, attempt, error, next, "delivery delayed");
        }
        Verdict::Failed(fault) => {
            let error = &fault.text;
            tracing::info!(id, %mail_from, %rcpt_to, attempt, error, "delivery failed");
        }
        Verdict::Dropped => tracing::info!(id, %mail_from, %rcpt_to, "message dropped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(next_after_secs: i64, want_after_secs: Option<i64>) {
        let now = UnixSeconds(1_800_000_000);
        let want = want_after_secs.map(|secs| now.plus_secs(secs));
        assert_eq!(retry_at(now.plus_secs(next_after_secs), now), want, "{next_after_secs}");
    }

    #[test]
    fn an_attempt_that_took_long_is_not_followed_at_once() {
        check(450, None);
        check(225, None);
        check(224, Some(450));
        check(0, Some(450));
        check(-600, Some(450));
    }
}
