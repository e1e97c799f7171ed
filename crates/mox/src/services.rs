//! What all drivers share, built from the configuration.

use std::sync::Arc;

use anyhow::{Context, Result};
use mox_admin::Admin;
use mox_base::{Clock, Rng};
use mox_config::Live;
use mox_dns::Resolver;
use mox_login::Logins;
use mox_net::dns::{SystemOptions, SystemResolver};
use mox_net::{AuthFailures, ConnectionLimits, Supervisor, SystemClock, SystemRng};
use mox_queue::Queue;
use mox_reportdb::ReportDb;
use mox_signing::SigningKeys;
use mox_smtpd::ReceivedIds;
use mox_store::{ClientKeys, Disk, Store};

use crate::acme::Providers;
use crate::data_dir::{DECOY_SECRET, DataDir, QUEUE, RECEIVED_ID_SECRET, REPORTS_DB};
use crate::localserve::LocalDns;
use crate::log::Levels;
use crate::policies::ConfigPolicies;
use crate::privileges::Privileges;

/// What kind of server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For the internet.
    Serve,
    /// For one machine, to try things: every recipient is the one account, and localparts can ask
    /// for errors.
    Localserve,
}

/// The services of a running server. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// The kind of server.
    pub mode: Mode,
    /// The configuration.
    pub config: Arc<Live>,
    /// Answers DNS questions: those of the system's servers, or of a localserve its own.
    pub resolver: Arc<dyn Resolver>,
    /// The accounts.
    pub store: Store,
    /// Messages on their way out.
    pub queue: Queue,
    /// The keys that messages are signed with.
    pub signing: Arc<SigningKeys>,
    /// Reports of others, and evaluations for ours.
    pub reports: ReportDb,
    /// The keys registered for logging in.
    pub client_keys: Arc<ClientKeys>,
    /// Who a client is.
    pub logins: Logins,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub rng: Arc<dyn Rng>,
    /// From which the key is made that signs URLs of messages.
    pub url_secret: [u8; 32],
    /// Certificates that providers issue.
    pub acme: Providers,
    /// All tasks.
    pub supervisor: Supervisor,
    /// How much is logged.
    pub levels: Levels,
    /// Connections by SMTP, for delivery and submission together.
    pub smtp_limits: ConnectionLimits,
    /// Connections by IMAP.
    pub imap_limits: ConnectionLimits,
    /// Names of connections for Received fields.
    pub received_ids: ReceivedIds,
    /// Whether deviations from the protocols are refused even where they do no harm.
    pub pedantic: bool,
    /// How this process is kept and confined.
    pub privileges: Privileges,
}

impl Services {
    /// What changes domains and accounts.
    #[must_use]
    pub(crate) fn admin(&self) -> Admin {
        Admin {
            config: Arc::clone(&self.config),
            store: self.store.clone(),
            queue: self.queue.clone(),
            client_keys: Arc::clone(&self.client_keys),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Builds them. Opens the queue and the databases of client keys and reports; accounts are opened when they are used.
    /// Blocks.
    ///
    /// - `pedantic`: asked for on the command line; the configuration may ask too.
    /// - `disk`: what the accounts are kept on.
    /// - `resolver`: who is asked DNS questions, if not the system's servers, or of a localserve its
    ///   own answers.
    ///
    /// # Errors
    ///
    /// If the database or a secret in the data directory can be neither read nor made.
    pub(crate) fn build(
        mode: Mode,
        config: Arc<Live>,
        levels: Levels,
        pedantic: bool,
        disk: Arc<dyn Disk>,
        resolver: Option<Arc<dyn Resolver>>,
        data: &DataDir,
    ) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let rng: Arc<dyn Rng> = Arc::new(SystemRng);
        let policies = Arc::new(ConfigPolicies::new(Arc::clone(&config)));
        let store = Store::with_disk(data.path(), Arc::clone(&clock), policies, disk);
        let client_keys = ClientKeys::open(data.path()).context("open database of client keys")?;
        let client_keys = Arc::new(client_keys);
        let reports = ReportDb::open(&data.path().join(REPORTS_DB));
        let reports = reports.context("open database of reports")?;
        let queue =
            Queue::open(&data.path().join(QUEUE), Arc::clone(&rng)).context("open queue")?;
        let interrupted = queue.interrupted();
        if interrupted > 0 {
            tracing::warn!(interrupted, "deliveries were cut off: these may arrive twice");
        }
        let decoy_secret: [u8; 32] = data.secret(DECOY_SECRET, &*rng)?;
        let logins = Logins::new(
            Arc::clone(&config),
            store.clone(),
            Arc::clone(&client_keys),
            Arc::clone(&clock),
            Arc::clone(&rng),
            decoy_secret,
            AuthFailures::new(),
        );
        // Deviation: the specification bounds connections of an address in every mode. All clients
        // of a localserve come from this one machine, and programs that are tested open many.
        let limits = || match mode {
            Mode::Serve => ConnectionLimits::new(),
            Mode::Localserve => ConnectionLimits::unlimited(),
        };
        // No question is asked before there is one: a server starts without a network.
        let resolver = resolver.unwrap_or_else(|| match mode {
            Mode::Serve => Arc::new(SystemResolver::new(
                SystemOptions::default(),
                Arc::clone(&clock),
                Arc::clone(&rng),
            )),
            Mode::Localserve => Arc::new(LocalDns::new(Arc::clone(&config))),
        });
        let received_ids = received_ids(data, &*rng)?;
        Ok(Self {
            mode,
            queue,
            privileges: Privileges::default(),
            signing: Arc::new(SigningKeys::new()),
            reports,
            pedantic: pedantic || config.snapshot().statics.pedantic,
            resolver,
            store,
            client_keys,
            logins,
            acme: Providers::default(),
            supervisor: Supervisor::new(&*clock),
            clock,
            rng,
            url_secret: decoy_secret,
            levels,
            received_ids,
            smtp_limits: limits(),
            imap_limits: limits(),
            config,
        })
    }
}

fn received_ids(data: &DataDir, rng: &dyn Rng) -> Result<ReceivedIds> {
    Ok(ReceivedIds::from_secret(data.secret(RECEIVED_ID_SECRET, rng)?))
}
