//! One delivery after another to a domain, over one connection if it can be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mox_base::Host;
use mox_config::Config;
use mox_queue::{Lease, LeaseRequest, MessageId};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::deliver::{Attempted, Batch, Fate, Fault, Link, asked_for, deliver};
use crate::measure;
use crate::route::{self, Chosen};
use crate::scheduler::Slot;
use crate::services::Inner;
use crate::settle::{SETTLE_WAIT, settle};

/// Recipients of one message that are attempted together.
pub(crate) const SIBLINGS_MAX: usize = 999;

/// Attempts the message, then others of the domain that are due, until there are none or others
/// shall have their turn.
pub(crate) async fn run(inner: Arc<Inner>, first: Vec<Lease>, mut slot: Slot) {
    let stopping = inner.services.supervisor.stopping();
    let mut link = None;
    let mut next = Some(first);
    let mut count = 0;
    while let Some(leases) = next.take() {
        let Some(domain) = leases.first().map(|lease| lease.message.rcpt_to.host.ascii()) else {
            break;
        };
        let ids: Vec<MessageId> = leases.iter().map(|lease| lease.id).collect();
        let has_begun = Arc::new(AtomicBool::new(false));
        let attempt = Box::pin(attempt(&inner, leases, &mut link, Arc::clone(&has_begun)));
        let overtime = overtime(&stopping, inner.services.waits.stop);
        let must_wait = tokio::select! {
            must_wait = attempt => must_wait,
            () = overtime => return give_up(&inner, ids, &has_begun).await,
        };
        slot.end_turn();
        count += 1;
        let may_more = count < inner.services.limits.connection_messages_max;
        if may_more && !must_wait && !stopping.is_cancelled() {
            next = next_of(&inner, domain).await;
        }
    }
    // The place is free while the other side says good-bye.
    drop(slot);
    if let Some(link) = link {
        link.quit().await;
    }
}

/// Is over some time after the server began to stop.
async fn overtime(stopping: &CancellationToken, grace: Duration) {
    stopping.cancelled().await;
    sleep(grace).await;
}

/// The server stops in the middle of an attempt. What no server has heard of is due as before; of the
/// rest it is not known whether it was delivered, which the next start finds.
async fn give_up(inner: &Inner, ids: Vec<MessageId>, has_begun: &AtomicBool) {
    if !has_begun.load(Ordering::Acquire) {
        give_back(inner, ids).await;
    }
}

/// The messages are due as before, and no attempt was made.
pub(crate) async fn give_back(inner: &Inner, ids: Vec<MessageId>) {
    // What stays leased is not looked at again before a restart.
    let stopping = inner.services.supervisor.stopping();
    while let Err(error) = inner.services.queue.give_back(ids.clone(), inner.now()).await {
        tracing::error!(%error, "giving messages back to the queue");
        if stopping.run_until_cancelled(sleep(SETTLE_WAIT)).await.is_none() {
            return;
        }
    }
}

async fn next_of(inner: &Inner, domain: String) -> Option<Vec<Lease>> {
    let request = LeaseRequest {
        max: 1,
        per_domain_max: 1,
        busy_domains: Vec::new(),
        only_domain: Some(domain),
    };
    match inner.services.queue.lease_groups(request, SIBLINGS_MAX, inner.now()).await {
        Ok(mut groups) => groups.pop(),
        Err(error) => {
            tracing::error!(%error, "taking a message from the queue");
            None
        }
    }
}

/// Makes one attempt, for all recipients that can share it, and writes down what came of it. Whether
/// there is no connection to be had now: then nothing was attempted.
async fn attempt(
    inner: &Arc<Inner>,
    leases: Vec<Lease>,
    link: &mut Option<Link>,
    has_begun: Arc<AtomicBool>,
) -> bool {
    let config = inner.services.config.snapshot();
    let start = inner.now();
    let (suppressed, leases): (Vec<_>, Vec<_>) =
        leases.into_iter().partition(|lease| lease.is_suppressed);
    let batch = |leases, transport| {
        let (config, has_begun) = (Arc::clone(&config), Arc::clone(&has_begun));
        let kept = Mutex::default();
        Batch { leases, config, start, transport, forgoes_chunks: false, has_begun, kept }
    };
    if !suppressed.is_empty() {
        let batch = batch(suppressed, None);
        let fates = batch.all(&suppressed_fault());
        settle(inner, batch, Attempted { fates, ..Attempted::default() }).await;
    }
    let is_local = inner.services.loopback_to.is_some();
    let asked = |lease: &Lease| asked_for(lease.message.rcpt_to.localpart.as_str());
    let (asking, leases): (Vec<_>, Vec<_>) =
        leases.into_iter().partition(|lease| is_local && asked(lease).is_some());
    // Each has asked for something of its own.
    for lease in asking {
        let fates = asked(&lease).map(Fate::Failed).into_iter().collect();
        let attempted = Attempted { fates, ..Attempted::default() };
        settle(inner, batch(vec![lease], None), attempted).await;
    }
    let Some(first) = leases.first() else { return false };
    let first = first.clone();
    match choose(&config, &first) {
        Ok(Chosen { name, transport }) => {
            let mut batch = batch(leases, name.map(str::to_owned));
            let began = Instant::now();
            let mut attempted = deliver(inner, &batch, transport, link).await;
            let waiting = batch.take_waiting(&mut attempted.fates);
            if !batch.leases.is_empty() {
                let (fates, tls_mode) = (&attempted.fates, attempted.tls_mode);
                measure::attempt(&batch, fates, tls_mode, began.elapsed());
                settle(inner, batch, attempted).await;
            }
            let must_wait = !waiting.is_empty();
            if must_wait {
                give_back(inner, waiting).await;
            }
            must_wait
        }
        Err(fault) => {
            let batch = batch(leases, None);
            let fates = batch.all(&fault);
            settle(inner, batch, Attempted { fates, ..Attempted::default() }).await;
            false
        }
    }
}

/// The transport of a message, unless it may not leave now.
fn choose<'a>(config: &'a Config, lease: &'a Lease) -> Result<Chosen<'a>, Fault> {
    let message = &*lease.message;
    let sender = message.mail_from.mailbox().map(|mailbox| &mailbox.host);
    let sender_domain = sender.and_then(Host::domain);
    if sender_domain.is_some_and(|domain| config.is_disabled_domain(domain)) {
        return Err(Fault::ours(false, (3, 0), "domain of the sender is disabled"));
    }
    let subject = route::Subject {
        account: &message.account,
        sender_domain,
        rcpt_host: &message.rcpt_to.host,
        transport: message.transport.as_deref(),
        attempts_before: lease.attempt.saturating_sub(1),
    };
    route::choose(config, &subject).map_err(|error| Fault::ours(false, (3, 5), error.to_string()))
}

fn suppressed_fault() -> Fault {
    let text = "not sent: the recipient is on the account's suppression list";
    Fault { is_suppressed: true, ..Fault::ours(true, (1, 0), text) }
}
