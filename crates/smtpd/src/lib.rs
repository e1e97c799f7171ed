//! SMTP driver: the sockets around [`mox_smtp::server::Session`], and the services it asks for.
//!
//! Reads: the client's bytes. Writes: replies; messages into the accounts of their recipients, or into
//! the queue.
//! Fails: by closing the one connection, with 421 where the protocol allows it.
//!
//! The session decides what is said; this crate moves bytes, answers the session's questions from
//! the configuration, the logins and the store, and keeps a message from the first byte of its
//! data until every recipient's account has it on disk. Delivery (port 25) and submission share
//! all of it; [`Port::kind`] says which.
//!
//! Of a message from outside, who sent it is found out first ([`FACTS_WAIT`]), and then whether each
//! recipient wants it, which `mox-policy` decides.
//!
//! A message of a user is signed, and goes into the queue for all its recipients.
//!
//! Not here: sending what is in the queue, and the rules of a decision.
//!
//! Invariant: 250 to the data is said only after all copies are durable.
//! Invariant: data costs at most [`SPOOL_MEMORY_BYTES`] of memory and a chunk, whatever its size.
//!
//! ```no_run
//! # fn services() -> mox_smtpd::Services { unimplemented!() }
//! # async fn run(supervisor: mox_net::Supervisor, listener: mox_net::Listener) {
//! use mox_smtpd::{Port, Service, Smtpd};
//!
//! let smtpd = Smtpd::new(services());
//! let port = Port {
//!     kind: Service::Delivery,
//!     tls: None,
//!     is_tls_immediate: false,
//!     requires_tls: false,
//!     offers_requiretls: true,
//!     message_bytes_max: 100 << 20,
//!     hostname: mox_base::Domain::parse("mail.example").unwrap(),
//!     blocklists: Vec::new(),
//!     first_time_delay: std::time::Duration::from_secs(15),
//! };
//! let options = mox_net::ListenerOptions::named("smtp");
//! listener
//!     .serve(supervisor, options, move |incoming| smtpd.clone().serve(incoming, port.clone()))
//!     .await;
//! # }
//! ```

mod answers;
mod connection;
mod data;
mod decision;
mod delivery;
mod evaluations;
mod facts;
mod header;
mod hooks;
mod measure;
mod notices;
mod post;
mod reach;
mod received_id;
mod refusal;
mod reports;
mod routing;
mod spool;
mod submit;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Clock, Domain, Rng};
use mox_config::Live;
use mox_dns::Resolver;
use mox_login::Logins;
use mox_net::tls::TlsAcceptor;
use mox_net::trace::TraceSwitch;
use mox_net::{ConnectionLimits, Incoming};
use mox_queue::Queue;
use mox_reportdb::ReportDb;
use mox_signing::SigningKeys;
pub use mox_smtp::server::Service;
use mox_store::Store;
use tokio::sync::Semaphore;

pub use answers::{SIMULATED_TIMEOUT, UNKNOWN_RCPT_DELAY};
pub use connection::{COMMAND_WAIT, FLUSH_WAIT, STOPPING_WAIT};
pub use data::{DATA_DEADLINE, DATA_WAIT};
pub use decision::{BLOCKLIST_HEALTH_SECS, BLOCKLISTS_WAIT};
pub use delivery::LOCALSERVE_ACCOUNT;
pub use facts::{FACTS_WAIT, LOOKUPS_AT_ONCE_MAX};
pub use hooks::HOOK_TEXT_BYTES_MAX;
pub use post::COPIES_AT_ONCE_MAX;
pub use reach::{EXCHANGES_MAX, NAMES_WAIT};
pub use received_id::{RECEIVED_ID_SECRET_BYTES, ReceivedIds};
pub use reports::{REPORTS_AT_ONCE_MAX, REPORTS_WAIT};
pub use spool::{SPOOL_MEMORY_BYTES, SPOOLS_IN_MEMORY_MAX};

/// SMTP for all listeners. Cheap to clone.
#[derive(Clone)]
pub struct Smtpd {
    pub(crate) services: Arc<Services>,
    /// One permit for each message that may be held in memory.
    pub(crate) memory_spools: Arc<Semaphore>,
    /// One permit for each message that reports are looked for in.
    pub(crate) report_permits: Arc<Semaphore>,
    /// Which block lists work.
    pub(crate) blocklist_health: Arc<decision::Health>,
    /// Evaluations of DMARC that there was no room for.
    pub(crate) evaluations_left_out: Arc<evaluations::LeftOut>,
}

/// What the driver needs of the rest of the server.
pub struct Services {
    /// Who a client is.
    pub logins: Logins,
    /// Where messages go.
    pub store: Store,
    /// Where submitted messages go.
    pub queue: Queue,
    /// With which keys they are signed.
    pub signing: Arc<SigningKeys>,
    /// Where reports of others go, and evaluations for ours.
    pub reports: ReportDb,
    /// Whose addresses are whose.
    pub config: Arc<Live>,
    /// Who is asked about senders.
    pub resolver: Arc<dyn Resolver>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// For nonces and Message-IDs.
    pub rng: Arc<dyn Rng>,
    /// How many connections an address may make and have.
    pub limits: ConnectionLimits,
    /// Whether the protocol is written to the log.
    pub trace: TraceSwitch,
    /// Where messages that do not fit in memory are kept while they come in. Must exist; best on
    /// the file system of the accounts.
    pub spool_dir: PathBuf,
    /// Names for connections in `Received` fields and error replies.
    pub received_ids: ReceivedIds,
    /// Refuse what the RFCs do not allow even where it is harmless.
    pub is_pedantic: bool,
    /// Whether this is a server for developers: every recipient exists, and some addresses ask for
    /// errors, see [`mox_smtp::simulate`].
    pub is_localserve: bool,
}

/// How one port speaks SMTP.
#[derive(Clone)]
pub struct Port {
    /// Who is served.
    pub kind: Service,
    /// For STARTTLS or immediate TLS.
    pub tls: Option<TlsAcceptor>,
    /// TLS begins at once. RFC 8314 §3.3.
    pub is_tls_immediate: bool,
    /// Delivery: no recipients without TLS (`RequireSTARTTLS`). Submission: no logins without TLS
    /// (not `NoRequireSTARTTLS`).
    pub requires_tls: bool,
    /// Whether a message may come that goes on by verified TLS only (not `NoRequireTLS`). RFC 8689.
    pub offers_requiretls: bool,
    /// The largest message taken, in bytes.
    pub message_bytes_max: u64,
    /// What the listener calls itself.
    pub hostname: Domain,
    /// Delivery: lists of known sources of junk, which are asked about strangers (`DNSBLs`).
    pub blocklists: Vec<Domain>,
    /// Delivery: how long the first message of a stranger waits (`FirstTimeSenderDelay`).
    pub first_time_delay: Duration,
}

impl Smtpd {
    /// Makes the driver.
    #[must_use]
    pub fn new(services: Services) -> Self {
        let memory_spools = Arc::new(Semaphore::new(SPOOLS_IN_MEMORY_MAX));
        let report_permits = Arc::new(Semaphore::new(REPORTS_AT_ONCE_MAX));
        Self {
            services: Arc::new(services),
            memory_spools,
            report_permits,
            blocklist_health: Arc::default(),
            evaluations_left_out: Arc::default(),
        }
    }

    /// Serves one connection to its end.
    pub async fn serve(self, incoming: Incoming, port: Port) {
        connection::serve(self, incoming, port).await;
    }
}
