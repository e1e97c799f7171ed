//! Sending a message over an open connection, in as many transactions as it takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mox_net::blocking;
use mox_queue::{MessageId, Queue, Queued};
use mox_smtp::ForwardPath;
use mox_smtp::client::{ErrorKind, RcptParams, Transaction};

use super::{Batch, Fate, Fault, Link};
use crate::connection::{Content, ContentError};
use crate::services::Inner;

/// Recipients of one transaction, if the server does not say. RFC 5321 §4.5.3.1.8: every server takes
/// as many.
pub(crate) const TRANSACTION_RCPTS_MAX: usize = 100;

/// A message as it is sent.
struct Loaded {
    body: LoadedBody,
    size_bytes: u64,
    /// It is the form for servers with SMTPUTF8.
    is_utf8: bool,
}

enum LoadedBody {
    /// All of it.
    Bytes(Arc<[u8]>),
    /// To be read anew for each transaction.
    File(MessageId),
}

/// Sends to all recipients that have no fate yet, or a temporary one.
pub(crate) async fn transact(
    inner: &Inner,
    link: &mut Link,
    batch: &Batch,
    fates: &mut [Option<Fate>],
) {
    let mut pending: Vec<usize> = fates
        .iter()
        .enumerate()
        .filter(|(_, fate)| is_open(fate.as_ref()))
        .map(|(at, _)| at)
        .collect();
    let loaded = match load(inner, link, batch.message()).await {
        Ok(loaded) => loaded,
        Err(fault) => return set(fates, &pending, &fault),
    };
    let mails_max = link.connection.extensions().limits.mails_max.unwrap_or(usize::MAX);
    while !pending.is_empty() && link.is_usable() && link.messages < mails_max {
        let limits = &link.connection.extensions().limits;
        let max = limits.rcpts_max.unwrap_or(TRANSACTION_RCPTS_MAX).max(1);
        let group: Vec<usize> = pending.drain(..max.min(pending.len())).collect();
        let transaction = transaction(inner, link, batch, &group, &loaded);
        let content = match loaded.content(&inner.services.queue).await {
            Ok(content) => content,
            Err(fault) => return set(fates, &group, &fault),
        };
        link.messages += 1;
        batch.has_begun.store(true, Ordering::Release);
        let results = match link.connection.deliver(&transaction, content).await {
            Ok(results) => results,
            Err(error) => {
                let fault = content_fault(&error);
                set(fates, &group, &fault);
                return set(fates, &pending, &fault);
            }
        };
        let mut later = Vec::new();
        for (at, result) in group.iter().zip(results) {
            let fate = match result {
                Ok(reply) => {
                    let remote = link.remote.clone();
                    let tells_success = link.connection.extensions().has_dsn;
                    Fate::Delivered { reply, remote, tells_success }
                }
                Err(error)
                    if error.kind == ErrorKind::TooManyRcpts && group.first() != Some(at) =>
                {
                    later.push(*at);
                    continue;
                }
                Err(error) => {
                    let mut fault = Fault::of(&error, &link.remote);
                    soften(&mut fault, batch, link);
                    Fate::Failed(fault)
                }
            };
            if let Some(slot) = fates.get_mut(*at) {
                *slot = Some(fate);
            }
        }
        later.append(&mut pending);
        pending = later;
    }
    // The connection broke, or has done what it may, before their turn.
    let broken = Fault::ours(false, (4, 2), "connection was lost before this recipient");
    set(fates, &pending, &Fault { is_stale: true, remote: link.remote.clone(), ..broken });
}

fn is_open(fate: Option<&Fate>) -> bool {
    match fate {
        None => true,
        Some(Fate::Failed(fault)) => !fault.is_permanent && !fault.is_in_doubt,
        Some(Fate::Delivered { .. }) => false,
    }
}

fn set(fates: &mut [Option<Fate>], places: &[usize], fault: &Fault) {
    for at in places {
        if let Some(slot) = fates.get_mut(*at) {
            *slot = Some(Fate::Failed(fault.clone()));
        }
    }
}

/// A policy may be about the address that we came from: the next attempt is made from, and to, the
/// other family.
pub(super) fn soften(fault: &mut Fault, batch: &Batch, link: &Link) {
    let is_first = batch.leases.first().is_some_and(|lease| lease.attempt == 1);
    let is_policy = matches!(fault.enhanced, Some((_, 7, detail)) if detail != 30);
    if is_first && is_policy && link.is_dual_stack {
        fault.is_permanent = false;
    }
}

/// Whether the connection was closed before any of it was said.
pub(crate) fn is_stale(fates: &[Option<Fate>]) -> bool {
    fates.iter().all(|fate| fate.as_ref().is_some_and(Fate::is_stale))
}

fn transaction(
    inner: &Inner,
    link: &Link,
    batch: &Batch,
    group: &[usize],
    loaded: &Loaded,
) -> Transaction {
    let message = batch.message();
    let rcpt = |at: &usize| {
        let message = &batch.leases.get(*at)?.message;
        Some(RcptParams {
            path: ForwardPath::Mailbox(message.rcpt_to.clone()),
            notify: message.notify,
            orcpt: message.orcpt.clone(),
        })
    };
    Transaction {
        reverse_path: message.mail_from.clone(),
        rcpts: group.iter().filter_map(rcpt).collect(),
        size_bytes: loaded.size_bytes,
        has_8bit: message.has_8bit || loaded.is_utf8,
        requires_8bitmime: inner.services.is_pedantic || link.requires_8bitmime,
        is_binary: message.is_binary,
        needs_utf8: message.needs_utf8 || loaded.is_utf8,
        requires_tls: link.passes_requiretls,
        ret: message.ret,
        envid: message.envid.clone(),
        priority: message.priority,
    }
}

async fn load(inner: &Inner, link: &Link, message: &Queued) -> Result<Loaded, Fault> {
    let extensions = link.connection.extensions();
    let may_utf8 = extensions.has_8bitmime && extensions.has_smtputf8;
    let (queue, id) = (inner.services.queue.clone(), message.id);
    let wants_utf8 = message.has_utf8_body && may_utf8;
    let read = move || {
        let utf8 = if wants_utf8 { queue.body_utf8(id)? } else { None };
        let is_utf8 = utf8.is_some();
        let reader = match utf8 {
            Some(reader) => reader,
            None => queue.body(id)?,
        };
        let size_bytes = reader.len();
        let body = reader
            .in_memory()
            .map_or(LoadedBody::File(id), |bytes| LoadedBody::Bytes(Arc::from(bytes)));
        Ok::<_, mox_queue::QueueError>(Loaded { body, size_bytes, is_utf8 })
    };
    blocking(read).await.map_err(|error| unreadable(&error))
}

impl Loaded {
    async fn content(&self, queue: &Queue) -> Result<Content, Fault> {
        let id = match &self.body {
            LoadedBody::Bytes(bytes) => return Ok(Content::bytes(Arc::clone(bytes))),
            LoadedBody::File(id) => *id,
        };
        let (queue, is_utf8) = (queue.clone(), self.is_utf8);
        let open = move || if is_utf8 { queue.body_utf8(id) } else { queue.body(id).map(Some) };
        let reader = blocking(open).await.map_err(|error| unreadable(&error))?;
        let reader = reader.ok_or_else(|| Fault::ours(false, (3, 0), "read message"))?;
        Ok(Content::reader(reader, self.size_bytes))
    }
}

fn unreadable(error: &mox_queue::QueueError) -> Fault {
    tracing::error!(%error, "reading a queued message");
    Fault::ours(false, (3, 0), "message could not be read")
}

fn content_fault(error: &ContentError) -> Fault {
    match error {
        ContentError::BareLineEnd(_) => Fault::ours(true, (6, 0), error.to_string()),
        error => {
            tracing::error!(%error, "sending a queued message");
            Fault::ours(false, (3, 0), error.to_string())
        }
    }
}
