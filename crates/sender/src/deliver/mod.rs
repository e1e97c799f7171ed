//! One attempt to deliver a message to recipients of one domain.

mod direct;
mod link;
mod smarthost;
mod transact;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mox_base::UnixSeconds;
use mox_config::{Config, Transport};
use mox_net::Deadline;
use mox_queue::{Lease, MessageId, Queued, TlsHint};
use mox_smtp::Reply;
use mox_smtp::client::{DeliveryError, ErrorKind, Loss, Step};
use parking_lot::Mutex;

use crate::hosts::{Entry, Place};
use crate::plan::Demand;
use crate::services::Inner;
use crate::tls_results::Seen;

pub(crate) use link::{Key, Link};
pub(crate) use smarthost::asked_for;

/// Recipients of one message that can share a transaction, and what was decided about them.
pub(crate) struct Batch {
    /// At least one, of one domain.
    pub(crate) leases: Vec<Lease>,
    pub(crate) config: Arc<Config>,
    pub(crate) start: UnixSeconds,
    /// The name of the transport, if there is one.
    pub(crate) transport: Option<String>,
    /// A server did not know the chunks that it offered: RFC 3030 §2 is done without.
    pub(crate) forgoes_chunks: bool,
    /// Set before a server hears of the message: from then on it may have it.
    pub(crate) has_begun: Arc<AtomicBool>,
    /// The place that a connection of this attempt had which has ended: it is that of the next, or a
    /// server that needs a second one would never get the message while others stand in line.
    pub(crate) kept: Mutex<Option<Place>>,
}

/// What came of an attempt.
#[derive(Default)]
pub(crate) struct Attempted {
    /// For each lease of the batch.
    pub(crate) fates: Vec<Fate>,
    /// The addresses tried now and before, by host.
    pub(crate) dialed_ips: BTreeMap<String, Vec<IpAddr>>,
    pub(crate) tls: Seen,
    /// What the server offered, if one was reached anew.
    pub(crate) hint: Option<TlsHint>,
    /// What metrics call the TLS of the host that was tried last.
    pub(crate) tls_mode: Option<&'static str>,
}

/// Another server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) host: Option<String>,
    pub(crate) ip: Option<IpAddr>,
}

/// What became of the message for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered {
        reply: Reply,
        remote: Remote,
        /// The server was told whether the sender wants to know of deliveries. RFC 3461 §5.2.
        tells_success: bool,
    },
    Failed(Fault),
}

/// Why a message did not get to a recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) is_permanent: bool,
    /// The message may have been delivered: the answer was lost.
    pub(crate) is_in_doubt: bool,
    /// The connection was closed before anything was said of the message.
    pub(crate) is_stale: bool,
    /// The server does not know BDAT, and may take the message without.
    pub(crate) needs_data: bool,
    /// The host has all the connections that it gets: the domain waits for its turn.
    pub(crate) must_wait: bool,
    /// The recipient is on the suppression list.
    pub(crate) is_suppressed: bool,
    /// A rule of ours or of the sender's stood in the way: it says nothing about the recipient's
    /// address, whatever code goes with it.
    pub(crate) is_own_rule: bool,
    pub(crate) code: Option<u16>,
    pub(crate) enhanced: Option<(u8, u16, u16)>,
    pub(crate) text: String,
    pub(crate) reply_lines: Vec<String>,
    pub(crate) remote: Remote,
}

impl Fate {
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Self::Failed(fault) if fault.is_stale)
    }

    fn needs_data(&self) -> bool {
        matches!(self, Self::Failed(fault) if fault.needs_data)
    }
}

impl Fault {
    /// That no reply told of. `status`: subject and detail of the enhanced status code.
    pub(crate) fn ours(is_permanent: bool, status: (u16, u16), text: impl Into<String>) -> Self {
        let class = if is_permanent { 5 } else { 4 };
        let enhanced = Some((class, status.0, status.1));
        Self { is_permanent, enhanced, text: text.into(), ..Self::default() }
    }

    /// That a session met with.
    pub(crate) fn of(error: &DeliveryError, remote: &Remote) -> Self {
        let reply_lines = error.reply.as_ref().map(reply_lines).unwrap_or_default();
        Self {
            is_permanent: error.is_permanent,
            is_in_doubt: error.is_in_doubt(),
            is_stale: is_stale(error),
            needs_data: error.kind == ErrorKind::NoChunking,
            must_wait: false,
            is_suppressed: false,
            is_own_rule: false,
            code: error.code(),
            enhanced: error.enhanced(),
            text: error.to_string(),
            reply_lines,
            remote: remote.clone(),
        }
    }

    /// That there is no place at a host.
    fn no_place(entry: Entry, host: &str) -> Self {
        let text = match entry {
            Entry::Open | Entry::Wait => format!("waits for a connection to {host}"),
            Entry::Full => format!("too many domains wait for a connection to {host}"),
        };
        Self { must_wait: entry != Entry::Full, ..Self::ours(false, (4, 5), text) }
    }

    /// That the host cannot be proven, which the sender demands. RFC 8689 §4.2.1.
    pub(crate) fn requiretls(text: &str) -> Self {
        Self::ours(false, (7, 30), text)
    }

    fn is_requiretls(&self) -> bool {
        matches!(self.enhanced, Some((_, 7, 30)))
    }
}

/// Whether a connection that waited for a message had ended, or was about to: RFC 5321 §3.8. Its end
/// may show as a reset when we write, and 421 as the reply to a command that it does not answer.
fn is_stale(error: &DeliveryError) -> bool {
    let is_over = matches!(error.kind, ErrorKind::Lost(Loss::Closed | Loss::Broken));
    error.command <= Step::Mail && (is_over || error.code() == Some(421))
}

/// The lines of a reply as they came.
pub(crate) fn reply_lines(reply: &Reply) -> Vec<String> {
    let class = reply.code / 100;
    let enhanced = reply.enhanced.map_or_else(String::new, |enhanced| {
        format!("{class}.{}.{} ", enhanced.subject, enhanced.detail)
    });
    reply.text.lines().map(|line| format!("{} {enhanced}{line}", reply.code)).collect()
}

impl Batch {
    /// The message; all but the recipient is the same for all leases.
    pub(crate) fn message(&self) -> &Queued {
        #[expect(clippy::expect_used, reason = "a batch is made with a lease")]
        &self.leases.first().expect("a batch has a lease").message
    }

    pub(crate) fn demand(&self) -> Demand {
        Demand::new(self.message().require_tls)
    }

    /// The same for all.
    pub(crate) fn all(&self, fault: &Fault) -> Vec<Fate> {
        vec![Fate::Failed(fault.clone()); self.leases.len()]
    }

    /// Takes those leases out, with their fates, that no attempt was made for: their domain waits for
    /// a host.
    pub(crate) fn take_waiting(&mut self, fates: &mut Vec<Fate>) -> Vec<MessageId> {
        let mut waiting = Vec::new();
        let all = std::mem::take(&mut self.leases).into_iter().zip(std::mem::take(fates));
        for (lease, fate) in all {
            if matches!(&fate, Fate::Failed(fault) if fault.must_wait) {
                waiting.push(lease.id);
            } else {
                self.leases.push(lease);
                fates.push(fate);
            }
        }
        waiting
    }

    /// Which host to ask first, the lower: where a place was kept or it is our turn, then where there
    /// is one.
    fn rank(&self, inner: &Inner, host: &str) -> u8 {
        if self.kept.lock().as_ref().is_some_and(|place| place.is_at(host)) {
            return 0;
        }
        inner.gate.rank(host, &self.message().rcpt_to.host.ascii())
    }

    /// Asks for a place at a host. One that was kept at another is given up.
    fn place(&self, inner: &Inner, host: &str) -> Result<Place, Fault> {
        let kept = self.kept.lock().take();
        if let Some(place) = kept.filter(|place| place.is_at(host)) {
            return Ok(place);
        }
        let domain = self.message().rcpt_to.host.ascii();
        inner.gate.enter(host, &domain).map_err(|entry| {
            tracing::debug!(%domain, %host, "the host has all its connections: waits for its turn");
            Fault::no_place(entry, host)
        })
    }

    /// Which connections can carry it.
    pub(crate) fn key(&self) -> Key {
        let message = self.message();
        Key {
            host: message.rcpt_to.host.ascii(),
            transport: self.transport.clone(),
            demand: self.demand(),
            kind: message.kind,
        }
    }
}

/// Connections of one attempt, at most, for recipients that one does not suffice for.
const CONNECTIONS_MAX: usize = 20;

/// Makes an attempt. `link`: a connection that is left from the message before, and afterwards the one
/// that is left from this.
///
/// A server that ends the connection after so many transactions (RFC 9422 §4.1) is called again for the
/// recipients that are left: else they would use up their attempts waiting for their turn. So is, once,
/// one that does not know the chunks that it offers.
pub(crate) async fn deliver(
    inner: &Inner,
    batch: &Batch,
    transport: Option<&Transport>,
    link: &mut Option<Link>,
) -> Attempted {
    let mut attempted = Box::pin(connect_and_send(inner, batch, transport, link)).await;
    let (mut before, mut forgoes_chunks) = (batch.leases.len(), batch.forgoes_chunks);
    let mut kept = batch.kept.lock().take();
    for _ in 1..CONNECTIONS_MAX {
        let is_left = |fate: &Fate| fate.is_stale() || fate.needs_data();
        let all = attempted.fates.iter().enumerate();
        let left: Vec<usize> = all.filter(|(_, fate)| is_left(fate)).map(|(at, _)| at).collect();
        let is_news = !forgoes_chunks && attempted.fates.iter().any(Fate::needs_data);
        if left.is_empty() || (left.len() >= before && !is_news) {
            break;
        }
        before = left.len();
        forgoes_chunks |= is_news;
        let rest = Batch {
            leases: left.iter().filter_map(|at| batch.leases.get(*at).cloned()).collect(),
            config: Arc::clone(&batch.config),
            start: batch.start,
            transport: batch.transport.clone(),
            forgoes_chunks,
            has_begun: Arc::clone(&batch.has_begun),
            kept: Mutex::new(kept.take()),
        };
        let again = Box::pin(connect_and_send(inner, &rest, transport, link)).await;
        kept = rest.kept.lock().take();
        for (at, fate) in left.into_iter().zip(again.fates) {
            if let Some(slot) = attempted.fates.get_mut(at) {
                *slot = fate;
            }
        }
    }
    attempted
}

async fn connect_and_send(
    inner: &Inner,
    batch: &Batch,
    transport: Option<&Transport>,
    link: &mut Option<Link>,
) -> Attempted {
    if let Some(old) = link.take() {
        if old.can_carry(batch, &inner.services.limits) {
            let mut fates = vec![None; batch.leases.len()];
            let mut kept = old;
            kept.connection.set_end(Some(Deadline::after(direct::SESSION_WAIT)));
            transact::transact(inner, &mut kept, batch, &mut fates).await;
            // A server that got tired of waiting has not heard of the message.
            if !transact::is_stale(&fates) {
                keep(batch, link, kept).await;
                let dialed_ips = batch.message().dialed_ips.clone();
                let fates = decided(fates);
                return Attempted { fates, dialed_ips, ..Attempted::default() };
            }
            *batch.kept.lock() = kept.place.take();
        } else {
            old.quit().await;
        }
    }
    if let Some(fail) = transport.and_then(|transport| transport.fail.as_ref()) {
        return Attempted { fates: batch.all(&smarthost::explicit(fail)), ..Attempted::default() };
    }
    if let Some(addr) = inner.services.loopback_to {
        return smarthost::loopback(inner, batch, addr, link).await;
    }
    match transport.and_then(smarthost::of) {
        Some(host) => smarthost::deliver(inner, batch, &host, link).await,
        None => direct::deliver(inner, batch, transport, link).await,
    }
}

/// Keeps the connection for the message after this, or else its place for the next connection.
async fn keep(batch: &Batch, link: &mut Option<Link>, mut kept: Link) {
    if kept.is_usable() {
        *link = Some(kept);
    } else {
        *batch.kept.lock() = kept.place.take();
        kept.quit().await;
    }
}

/// Every recipient has a fate by now.
fn decided(fates: Vec<Option<Fate>>) -> Vec<Fate> {
    let nobody = || Fate::Failed(Fault::ours(false, (4, 4), "no server could be tried"));
    fates.into_iter().map(|fate| fate.unwrap_or_else(nobody)).collect()
}

#[cfg(test)]
mod tests {
    use mox_smtp::ReplyError;

    use super::*;

    #[track_caller]
    fn check(command: Step, kind: ErrorKind, code: Option<u16>, want: bool) {
        let reply = code.map(|code| Reply::bare(code, "no"));
        let error = DeliveryError { is_permanent: false, reply, command, kind };
        assert_eq!(is_stale(&error), want, "{error}");
    }

    /// RFC 5321 §3.8.
    #[test]
    fn a_connection_that_ended_while_it_waited_is_stale() {
        use ErrorKind::*;
        check(Step::Mail, Lost(Loss::Closed), None, true);
        check(Step::Rset, Lost(Loss::Broken), None, true);
        check(Step::Mail, Refused, Some(421), true);
        // It was there, and said something or nothing.
        check(Step::Mail, Lost(Loss::TimedOut), None, false);
        check(Step::Mail, Refused, Some(450), false);
        check(Step::Mail, BadReply(ReplyError::BadCode), None, false);
        // It has heard of the message.
        check(Step::Rcpt, Lost(Loss::Closed), None, false);
        check(Step::End, Refused, Some(421), false);
    }
}
