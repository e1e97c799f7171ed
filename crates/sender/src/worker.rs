//! One delivery after another to a domain, over one connection if it can be.

use std::sync::Arc;

use mox_base::Host;
use mox_config::Config;
use mox_net::blocking;
use mox_queue::{Lease, LeaseRequest};

use crate::deliver::{Attempted, Batch, Fault, Link, deliver};
use crate::route::{self, Chosen};
use crate::scheduler::Slot;
use crate::services::Inner;
use crate::settle::settle;

/// Recipients of one message that are attempted together.
const SIBLINGS_MAX: usize = 999;

/// Attempts the message, then others of the domain that are due, until there are none or others
/// shall have their turn.
pub(crate) async fn run(inner: Arc<Inner>, first: Lease, slot: Slot) {
    let stopping = inner.services.supervisor.stopping();
    let mut link = None;
    let mut next = Some(first);
    let mut count = 0;
    while let Some(lease) = next.take() {
        let domain = lease.message.rcpt_to.host.ascii();
        Box::pin(attempt(&inner, lease, &mut link)).await;
        count += 1;
        if count < inner.services.limits.connection_messages_max && !stopping.is_cancelled() {
            next = next_of(&inner, domain).await;
        }
    }
    // The place is free while the other side says good-bye.
    drop(slot);
    if let Some(link) = link {
        link.quit().await;
    }
}

async fn next_of(inner: &Inner, domain: String) -> Option<Lease> {
    let request = LeaseRequest {
        max: 1,
        per_domain_max: 1,
        busy_domains: Vec::new(),
        only_domain: Some(domain),
    };
    match inner.services.queue.lease(request, inner.now()).await {
        Ok(mut leases) => leases.pop(),
        Err(error) => {
            tracing::error!(%error, "taking a message from the queue");
            None
        }
    }
}

/// Makes one attempt, for all recipients that can share it, and writes down what came of it.
async fn attempt(inner: &Arc<Inner>, lease: Lease, link: &mut Option<Link>) {
    let config = inner.services.config.snapshot();
    let start = inner.now();
    let mut leases = vec![lease];
    if let Some(first) = leases.first().filter(|lease| lease.base_id.is_some()) {
        match inner.services.queue.siblings(first, SIBLINGS_MAX, start).await {
            Ok(siblings) => leases.extend(siblings),
            Err(error) => tracing::error!(%error, "taking more recipients of a message"),
        }
    }
    let (leases, suppressed) = without_suppressed(inner, leases).await;
    let batch = |leases, transport| Batch { leases, config: Arc::clone(&config), start, transport };
    if !suppressed.is_empty() {
        let batch = batch(suppressed, None);
        let fates = batch.all(&suppressed_fault());
        settle(inner, batch, Attempted { fates, ..Attempted::default() }).await;
    }
    let Some(first) = leases.first() else { return };
    let first = first.clone();
    match choose(&config, &first) {
        Ok(Chosen { name, transport }) => {
            let batch = batch(leases, name.map(str::to_owned));
            let attempted = deliver(inner, &batch, transport, link).await;
            settle(inner, batch, attempted).await;
        }
        Err(fault) => {
            let batch = batch(leases, None);
            let fates = batch.all(&fault);
            settle(inner, batch, Attempted { fates, ..Attempted::default() }).await;
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

/// Those that may be sent to, and those that are on the list of the account. If the list cannot be
/// read, nobody is sent to.
async fn without_suppressed(inner: &Inner, leases: Vec<Lease>) -> (Vec<Lease>, Vec<Lease>) {
    let queue = inner.services.queue.clone();
    let split = move || {
        leases.into_iter().partition(|lease| {
            let found = queue.suppressed(&lease.message.account, &lease.message.rcpt_to);
            found.is_ok_and(|found| found.is_none())
        })
    };
    blocking(split).await
}

fn suppressed_fault() -> Fault {
    let text = "not sent: the recipient is on the account's suppression list";
    Fault { is_suppressed: true, ..Fault::ours(true, (1, 0), text) }
}
