//! What sending needs, and its handle.

use std::net::SocketAddr;
use std::sync::Arc;

use mox_base::{Clock, Rng, UnixSeconds};
use mox_config::Live;
use mox_dns::Resolver;
use mox_net::tls::client::Connector;
use mox_net::{Supervisor, http};
use mox_queue::{Filter, Queue, QueueError};
use mox_reportdb::ReportDb;
use mox_store::Store;
use tokio::sync::Notify;

use crate::connection::Waits;
use crate::hosts::Gate;
use crate::mtasts::MtaSts;
use crate::{hooks, outbox, scheduler};

/// Where SMTP servers listen. RFC 5321 §4.5.4.2.
pub const SMTP_PORT: u16 = 25;

/// What sending needs.
#[derive(Clone)]
pub struct Services {
    /// Where messages wait.
    pub queue: Queue,
    /// The accounts: reports about their messages go there.
    pub store: Store,
    /// Where results of TLS are kept for reports.
    pub reports: ReportDb,
    /// The configuration.
    pub config: Arc<Live>,
    /// Answers DNS questions.
    pub resolver: Arc<dyn Resolver>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// All tasks.
    pub supervisor: Supervisor,
    /// Performs handshakes.
    pub connector: Connector,
    /// Policies of MTA-STS.
    pub sts: MtaSts,
    /// For webhook calls.
    pub http: http::Client,
    /// How much is done at the same time.
    pub limits: Limits,
    /// How long to wait for other servers.
    pub waits: Waits,
    /// Where the servers of domains listen: [`SMTP_PORT`], but in tests.
    pub port: u16,
    /// Everything goes there, whoever it is for: of a server for developers its own.
    pub loopback_to: Option<SocketAddr>,
    /// Refuse what is harmless and not allowed, see [`mox_smtp::client::Transaction`].
    pub is_pedantic: bool,
}

/// How much is done at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections.
    pub connections_max: usize,
    /// Connections for recipients of one domain.
    pub domain_connections_max: usize,
    /// Connections to one host, for recipients of all domains: an MX host, an address, a smarthost.
    pub host_connections_max: usize,
    /// Messages over one connection; then others get their turn.
    pub connection_messages_max: usize,
}

impl Default for Limits {
    /// Few for one domain: large receivers count connections, small ones have little memory. To one
    /// host as many as the original makes to all of them.
    fn default() -> Self {
        Self {
            connections_max: 100,
            domain_connections_max: 5,
            host_connections_max: 10,
            connection_messages_max: 100,
        }
    }
}

/// The running sender. Cheap to clone.
#[derive(Clone)]
pub struct Sender(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) services: Services,
    /// Something may be due, or a connection is free.
    pub(crate) work: Arc<Notify>,
    /// Who may connect to a host.
    pub(crate) gate: Arc<Gate>,
    /// There are notices for local accounts.
    pub(crate) notices: Notify,
    /// Webhook calls may be due.
    pub(crate) hooks: Notify,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender")
    }
}

impl Sender {
    /// Starts the tasks that send, to end with the supervisor.
    #[must_use]
    pub fn start(services: Services) -> Self {
        let work = Arc::new(Notify::new());
        let gate = Gate::new(services.limits.host_connections_max, Arc::clone(&work));
        let inner = Arc::new(Inner {
            services,
            work,
            gate: Arc::new(gate),
            notices: Notify::new(),
            hooks: Notify::new(),
        });
        let woken = Arc::downgrade(&inner);
        inner.services.queue.on_change(Arc::new(move || {
            if let Some(inner) = woken.upgrade() {
                inner.work.notify_one();
                inner.hooks.notify_one();
            }
        }));
        let supervisor = &inner.services.supervisor;
        let cid = || supervisor.next_cid();
        supervisor.spawn("queue", cid(), scheduler::run(Arc::clone(&inner)));
        supervisor.spawn("notices", cid(), outbox::run(Arc::clone(&inner)));
        supervisor.spawn("webhooks", cid(), hooks::run(Arc::clone(&inner)));
        Self(inner)
    }

    /// Gives up all messages that the filter finds and that are not being sent right now: their
    /// senders are told. Returns how many.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn fail(&self, filter: Filter) -> Result<u64, QueueError> {
        self.0.end(filter, End::Fail).await
    }

    /// Takes all messages that the filter finds out of the queue; nobody is told but by webhook.
    /// Returns how many.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn remove(&self, filter: Filter) -> Result<u64, QueueError> {
        self.0.end(filter, End::Remove).await
    }
}

/// How an administrator ends messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fail,
    Remove,
}

impl Inner {
    pub(crate) fn now(&self) -> UnixSeconds {
        self.services.clock.now()
    }

    /// A message ID of ours, without angle brackets.
    pub(crate) fn message_id(&self) -> String {
        let config = self.services.config.snapshot();
        mox_mime::random_message_id(&*self.services.rng, config.hostname())
    }
}
