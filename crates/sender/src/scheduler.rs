//! Which messages are attempted when: one task that sleeps until something is due.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mox_net::blocking;
use mox_queue::{Lease, LeaseRequest};
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::hosts::TurnId;
use crate::services::Inner;
use crate::worker;

/// How long to wait if the queue could not be asked.
const TROUBLE_WAIT: Duration = Duration::from_secs(60);

/// The shortest sleep until something is due: what was added meanwhile wakes the task by itself.
const SLEEP_MIN: Duration = Duration::from_secs(1);

/// The longest sleep, for clocks that jump.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Connections by domain.
#[derive(Default)]
pub(crate) struct Running(Mutex<HashMap<String, usize>>);

/// A connection that counts until this is dropped.
pub(crate) struct Slot {
    running: Arc<Running>,
    inner: Arc<Inner>,
    domain: String,
    /// Whose turn it is at a host.
    turn: Option<TurnId>,
}

impl Running {
    fn total(&self) -> usize {
        self.0.lock().values().sum()
    }

    /// The domains that have all the connections that they may.
    fn saturated(&self, max: usize) -> Vec<String> {
        let all = self.0.lock();
        all.iter().filter(|(_, count)| **count >= max).map(|(domain, _)| domain.clone()).collect()
    }
}

impl Slot {
    fn take(running: &Arc<Running>, inner: &Arc<Inner>, lease: &Lease) -> Self {
        let domain = lease.message.rcpt_to.host.ascii();
        *running.0.lock().entry(domain.clone()).or_default() += 1;
        let turn = inner.gate.begin(&domain);
        Self { running: Arc::clone(running), inner: Arc::clone(inner), domain, turn }
    }

    /// The turn was for the first message.
    pub(crate) fn end_turn(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.inner.gate.end_turn(turn);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.end_turn();
        let mut all = self.running.0.lock();
        if let Some(count) = all.get_mut(&self.domain) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.domain);
            }
        }
        drop(all);
        self.inner.work.notify_one();
    }
}

/// Starts deliveries until the server stops.
pub(crate) async fn run(inner: Arc<Inner>) {
    let stopping = inner.services.supervisor.stopping();
    let running = Arc::new(Running::default());
    while !stopping.is_cancelled() {
        let wait = match start_due(&inner, &running).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(%error, "taking messages from the queue");
                TROUBLE_WAIT
            }
        };
        tokio::select! {
            () = inner.work.notified() => {}
            () = sleep(wait) => {}
            () = stopping.cancelled() => {}
        }
    }
}

/// Starts all that is due and for which there is a connection. Returns how long to sleep.
async fn start_due(
    inner: &Arc<Inner>,
    running: &Arc<Running>,
) -> Result<Duration, mox_queue::QueueError> {
    let services = &inner.services;
    let limits = services.limits;
    loop {
        let now = inner.now();
        let free = limits.connections_max.saturating_sub(running.total());
        if free == 0 {
            return Ok(SLEEP_MAX);
        }
        // Whose turn it is at a host comes first: a place is kept for it meanwhile.
        let called = inner.gate.called();
        let mut busy_domains = running.saturated(limits.domain_connections_max);
        busy_domains.extend(inner.gate.waiting());
        if let Some(domain) = called.as_ref().filter(|domain| busy_domains.contains(domain)) {
            inner.gate.end_unheard(domain);
            continue;
        }
        // One of each domain: a connection takes the next of its domain by itself.
        let request = LeaseRequest {
            max: if called.is_some() { 1 } else { free },
            per_domain_max: 1,
            busy_domains: busy_domains.clone(),
            only_domain: called.clone(),
        };
        let groups = services.queue.lease_groups(request, worker::SIBLINGS_MAX, now).await?;
        if groups.is_empty() {
            if let Some(domain) = called {
                inner.gate.end_unheard(&domain);
                continue;
            }
            let queue = services.queue.clone();
            // A domain that has all its connections is looked at when one of them ends, and one that
            // waits for a host when it is its turn.
            let due = blocking(move || queue.next_due_except(&busy_domains, now)).await?;
            let Some(due) = due else { return Ok(SLEEP_MAX) };
            let wait = u64::try_from(due.secs_since(now)).unwrap_or_default();
            return Ok(Duration::from_secs(wait).clamp(SLEEP_MIN, SLEEP_MAX));
        }
        // What is leased has somebody who settles it or gives it back, also at the end.
        if services.supervisor.stopping().is_cancelled() {
            let ids = groups.iter().flatten().map(|lease| lease.id).collect();
            worker::give_back(inner, ids).await;
            return Ok(SLEEP_MAX);
        }
        for group in groups {
            let Some(first) = group.first() else { continue };
            let slot = Slot::take(running, inner, first);
            let cid = services.supervisor.next_cid();
            let work = worker::run(Arc::clone(inner), group, slot);
            services.supervisor.spawn("delivery", cid, work);
        }
    }
}
