//! The task that obtains and renews, and what others ask of it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use hyper::header::HeaderValue;
use instant_acme::Account;
use mox_base::{DateTime, Domain, UnixSeconds};
use mox_dns::{DnsError, Lookups as _, Name};
use mox_metrics::tls as metrics;
use mox_net::blocking;
use mox_net::tls::{Certs, Wanted};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::error::Blame;
use crate::files::Files;
use crate::http::{Requests, RetryAfter};
use crate::jobs::{Next, State};
use crate::keys::{HostKey, KeyKind};
use crate::obtain::certificate_id;
use crate::pair::Pair;
use crate::schedule::Suggested;
use crate::{AcmeError, HostStatus, Services, Settings};

/// Of the hosts that are new, at most so many are obtained unasked; the others when they are used.
pub const AT_START_MAX: usize = 10;

/// The time between two orders.
pub const ORDER_SPACING: Duration = Duration::from_secs(10);

/// The first order waits for the listeners, in seconds.
const START_WAIT_SECS: i64 = 1;

/// All of an attempt for one host.
const OBTAIN_WAIT: Duration = Duration::from_secs(600);

/// A provider without suggestions for renewals is asked again after this time.
const NO_SUGGESTION_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Bounds of the wait that a provider gives with a suggestion. RFC 9773 §4.3.2.
const SUGGESTION_WAIT: (Duration, Duration) =
    (Duration::from_secs(3600), Duration::from_secs(24 * 3600));

/// A certificate that there is or should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CertKey {
    pub(crate) host: Domain,
    pub(crate) kind: KeyKind,
}

impl CertKey {
    /// The name of its file.
    pub(crate) fn file(&self) -> String {
        format!("{}{}", self.host.ascii(), self.kind.suffix())
    }
}

/// The manager of one provider's certificates. Cheap to clone.
#[derive(Clone)]
pub struct Manager {
    inner: Arc<Inner>,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("name", &self.inner.settings.name).finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    services: Services,
    pub(crate) files: Files,
    pub(crate) certs: Certs,
    /// Answers to checks by `http-01`, by token.
    pub(crate) http01: Mutex<HashMap<String, (Domain, String)>>,
    pub(crate) requests: Requests,
    pub(crate) state: Mutex<State>,
    /// One change of the hosts at a time.
    setting: Mutex<()>,
    changed: Notify,
    /// When there was last nothing to do.
    idle_at: watch::Sender<UnixSeconds>,
}

impl Settings {
    /// The kinds of keys that the certificates of a host may have, the preferred one first.
    pub(crate) fn kinds(&self, host: &Domain) -> Vec<KeyKind> {
        let both = [KeyKind::Ecdsa, KeyKind::Rsa];
        match self.host_keys.get(host).filter(|keys| !keys.is_empty()) {
            // A fresh key of the other kind would not be in the TLSA records.
            Some(keys) => {
                let has = |kind: &KeyKind| keys.iter().any(|key| key.kind() == *kind);
                both.into_iter().filter(has).collect()
            }
            None => both.to_vec(),
        }
    }

    /// The key that the certificate of a host must have; `None` if any will do.
    pub(crate) fn required_key(&self, host: &Domain, kind: KeyKind) -> Option<Arc<HostKey>> {
        let keys = self.host_keys.get(host)?;
        keys.iter().find(|key| key.kind() == kind).cloned()
    }
}

impl Manager {
    /// Starts the manager of a provider; it has nothing to do before [`Self::set_hosts`]. Must be
    /// called within a runtime. Blocks on files.
    ///
    /// # Errors
    ///
    /// If the name is none, or what is known of the past cannot be read.
    pub fn start(settings: Settings, services: Services) -> Result<Self, AcmeError> {
        let files = Files::new(&settings.dir, &settings.name)?;
        let ledger = files.read_ledger()?;
        let asked: Arc<OnceLock<Weak<Inner>>> = Arc::default();
        let asks = Arc::clone(&asked);
        let on_wanted = move |wanted: Wanted<'_>| {
            if let Some(inner) = asks.get().and_then(Weak::upgrade) {
                inner.wanted(wanted);
            }
        };
        let certs = Certs::dynamic(settings.hostname.ascii(), Arc::new(on_wanted));
        let user_agent = HeaderValue::from_str(&settings.user_agent);
        let requests = Requests {
            http: services.http.clone(),
            clock: Arc::clone(&services.clock),
            user_agent: user_agent.unwrap_or_else(|_| HeaderValue::from_static("mox")),
            retry_after: Arc::new(RetryAfter::default()),
            is_https_only: settings.directory_url.starts_with("https:"),
        };
        let inner = Arc::new(Inner {
            settings,
            services,
            files,
            certs,
            http01: Mutex::default(),
            requests,
            state: Mutex::new(State { ledger, ..State::default() }),
            setting: Mutex::default(),
            changed: Notify::new(),
            idle_at: watch::Sender::new(UnixSeconds(0)),
        });
        let _first = asked.set(Arc::downgrade(&inner));
        let supervisor = inner.services.supervisor.clone();
        let order_at = inner.now().plus_secs(START_WAIT_SECS);
        supervisor.spawn("acme", supervisor.next_cid(), run(Arc::clone(&inner), order_at));
        Ok(Self { inner })
    }

    /// The certificates, for listeners.
    #[must_use]
    pub fn certs(&self) -> Certs {
        self.inner.certs.clone()
    }

    /// Which hosts may have certificates, the most important first. Those that had not before, and
    /// have no certificate, get one soon: the first [`AT_START_MAX`] of them. Certificates of hosts
    /// that may have none any more are not shown any more; their files stay. Blocks on files.
    pub fn set_hosts(&self, hosts: Vec<Domain>) {
        let inner = &self.inner;
        let _setting = inner.setting.lock();
        let mut seen = BTreeSet::new();
        let hosts: Vec<_> = hosts.into_iter().filter(|host| seen.insert(host.clone())).collect();
        let before: BTreeSet<_> = inner.state.lock().hosts.iter().cloned().collect();
        let new: Vec<_> = hosts.iter().filter(|host| !before.contains(*host)).collect();
        let found: Vec<_> = new.iter().flat_map(|host| inner.kept(host)).collect();
        for (_, pair) in &found {
            inner.put(pair);
        }
        for gone in before.difference(&seen) {
            inner.certs.remove(gone.ascii());
        }
        let now = inner.now();
        let mut state = inner.state.lock();
        state.certs.retain(|cert, _| seen.contains(&cert.host));
        state.certs.extend(found);
        state.wanted.retain(|cert| seen.contains(&cert.host));
        let preferred = |host: &Domain| {
            let kind = inner.settings.kinds(host).first().copied()?;
            Some(CertKey { host: host.clone(), kind })
        };
        let missing = new.iter().filter_map(|host| preferred(host));
        let missing = missing.filter(|cert| !state.certs.contains_key(cert));
        let missing: Vec<_> = missing.take(AT_START_MAX).collect();
        state.wanted.extend(missing);
        state.unseen = new.into_iter().cloned().collect();
        state.hosts = hosts;
        let host_of = |key: &str| key.trim_end_matches(KeyKind::Rsa.suffix()).to_owned();
        let names: BTreeSet<_> = seen.iter().map(|host| host.ascii().to_owned()).collect();
        state.ledger.forget(now, |key| names.contains(&host_of(key)));
        drop(state);
        inner.changed.notify_one();
    }

    /// The answer to a check by `http-01` (RFC 8555 §8.3), for
    /// `/.well-known/acme-challenge/<token>` on a host; `None` if none is going on.
    #[must_use]
    pub fn http01(&self, token: &str, host: &Domain) -> Option<String> {
        let answers = self.inner.http01.lock();
        answers.get(token).filter(|(of, _)| of == host).map(|(_, answer)| answer.clone())
    }

    /// How it stands with each host, in the order of [`Self::set_hosts`].
    #[must_use]
    pub fn status(&self) -> Vec<HostStatus> {
        self.inner.state.lock().status(&self.inner.settings)
    }

    /// Looks at the clock, which a test has moved, and waits until nothing is left to do.
    #[cfg(test)]
    pub(crate) async fn settle(&self) {
        let (mut idle_at, now) = (self.inner.idle_at.subscribe(), self.inner.now());
        self.inner.changed.notify_one();
        idle_at.wait_for(|at| *at >= now).await.unwrap();
    }
}

impl Inner {
    fn now(&self) -> UnixSeconds {
        self.services.clock.now()
    }

    /// Called within handshakes.
    fn wanted(&self, wanted: Wanted<'_>) {
        let Wanted::Name { name, takes_ecdsa } = wanted else {
            metrics::server_name_missing();
            return;
        };
        let mut state = self.state.lock();
        let Some(host) = state.hosts.iter().find(|host| host.ascii() == name).cloned() else {
            drop(state);
            metrics::server_name_unknown();
            return;
        };
        let kinds = self.settings.kinds(&host);
        let kind = if takes_ecdsa { kinds.first() } else { kinds.last() };
        let Some(kind) = kind.copied() else { return };
        let cert = CertKey { host, kind };
        if !state.certs.contains_key(&cert) && state.wanted.insert(cert) {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// What the files have for a host.
    fn kept(&self, host: &Domain) -> Vec<(CertKey, Pair)> {
        let read = |kind| {
            let cert = CertKey { host: host.clone(), kind };
            match self.files.read_pair(host, kind) {
                Ok(None) => None,
                Ok(Some(Ok(pair))) => Some((cert, pair)),
                Ok(Some(Err(error))) => {
                    tracing::warn!(file = cert.file(), %error, "certificate not usable");
                    None
                }
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::error!(file = cert.file(), error, "certificate not read");
                    None
                }
            }
        };
        self.settings.kinds(host).into_iter().filter_map(read).collect()
    }

    fn put(&self, pair: &Pair) {
        if let Err(error) = self.certs.put(&pair.served()) {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "certificate not taken up");
        }
    }

    pub(crate) async fn keep_ledger(&self) -> Result<(), AcmeError> {
        let (files, ledger) = (self.files.clone(), self.state.lock().ledger.clone());
        blocking(move || files.write_ledger(&ledger)).await
    }

    fn permille(&self) -> u32 {
        let mut bytes = [0; 4];
        self.services.rng.fill(&mut bytes);
        u32::from_le_bytes(bytes) % 1000
    }

    /// Where a host is: told if it is not here. Fails if it is nowhere.
    async fn see(&self, host: &Domain) -> Result<(), AcmeError> {
        let found = match self.services.resolver.ips(&Name::from(host)).await {
            Ok(found) => found.records,
            Err(DnsError::NotFound { .. }) => {
                return Err(AcmeError::UnknownHost(host.ascii().to_owned()));
            }
            // The provider has resolvers of its own.
            Err(_) => return Ok(()),
        };
        let ours = &self.settings.public_ips;
        let foreign: Vec<_> = found.into_iter().filter(|ip| !ours.contains(ip)).collect();
        if !ours.is_empty() && !foreign.is_empty() {
            tracing::warn!(
                %host,
                ips = ?foreign,
                "host has addresses in DNS that this server does not listen on: the provider may \
                 fail to check it"
            );
        }
        Ok(())
    }

    /// Obtains a certificate and takes it up. What goes wrong is noted and logged.
    async fn work(&self, account: &mut Option<Account>, cert: &CertKey) {
        let file = cert.file();
        let permille = self.permille();
        {
            let mut state = self.state.lock();
            state.ledger.begin(&file, self.now(), permille);
            state.working = Some(cert.clone());
        }
        let outcome = match self.keep_ledger().await {
            Ok(()) => self.try_work(account, cert).await,
            // What cannot be counted is not done.
            Err(error) => Err(error),
        };
        let (provider, host) = (&self.settings.name, &cert.host);
        match outcome {
            Ok(pair) => {
                tracing::info!(provider, %host, kind = ?cert.kind, not_after = DateTime::from_unix(pair.not_after).to_rfc3339(), "certificate obtained");
                metrics::certificate_put();
                self.take_up(cert, pair).await;
            }
            Err(error) => {
                let blame = error.blame();
                if blame == Blame::Provider {
                    *account = None;
                }
                self.note_failure(cert, blame, &error);
            }
        }
        self.state.lock().working = None;
        if let Err(error) = self.keep_ledger().await {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(provider, error, "notes about certificates not kept");
        }
    }

    fn note_failure(&self, cert: &CertKey, blame: Blame, error: &AcmeError) {
        if blame == Blame::Nobody {
            let mut state = self.state.lock();
            state.ledger.failed(&cert.file(), self.now(), 0, blame, &error.to_string());
            return;
        }
        let text = described(error);
        let (file, now) = (cert.file(), self.now());
        let mut state = self.state.lock();
        state.ledger.failed(&file, now, self.permille(), blame, &text);
        let retry_secs = state.ledger.earliest(&file, now).secs_since(now).max(0);
        drop(state);
        let (provider, host) = (&self.settings.name, &cert.host);
        if blame == Blame::NotYet {
            tracing::warn!(provider, %host, error = text, retry_secs, "no certificate yet");
        } else {
            metrics::certificate_request_failed();
            tracing::error!(provider, %host, kind = ?cert.kind, error = text, retry_secs, "no certificate");
        }
    }

    async fn try_work(
        &self,
        account: &mut Option<Account>,
        cert: &CertKey,
    ) -> Result<Pair, AcmeError> {
        let before = self.state.lock().certs.get(cert).cloned();
        if before.is_none() {
            self.see(&cert.host).await?;
        }
        // Suggestions show that the provider knows what `replaces` is.
        let id = before.as_ref().and_then(certificate_id).map(|id| id.to_string());
        let is_known =
            id.is_some_and(|id| self.state.lock().ledger.suggested(&cert.file(), &id).is_some());
        let replaces = before.as_ref().filter(|_| is_known);
        let obtained = Box::pin(self.obtain(account, cert, replaces));
        let stopping = self.services.supervisor.stopping();
        let bounded = timeout(OBTAIN_WAIT, obtained);
        match stopping.run_until_cancelled(bounded).await {
            None => Err(AcmeError::Stopping),
            Some(Err(_elapsed)) => Err(AcmeError::Slow),
            Some(Ok(outcome)) => outcome,
        }
    }

    async fn take_up(&self, cert: &CertKey, pair: Pair) {
        let (files, host, kept) = (self.files.clone(), cert.host.clone(), pair.clone());
        if let Err(error) = blocking(move || files.write_pair(&host, &kept)).await {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(host = %cert.host, error, "certificate not kept, in use until a restart");
        }
        let now = self.now();
        let mut state = self.state.lock();
        state.ledger.succeeded(&cert.file(), now);
        state.wanted.remove(cert);
        // The hosts may have changed meanwhile.
        if state.hosts.contains(&cert.host) {
            self.put(&pair);
            state.certs.insert(cert.clone(), pair);
        }
    }

    /// Asks the provider when to renew. RFC 9773.
    async fn ask_suggestion(&self, account: &mut Option<Account>, cert: &CertKey) {
        let pair = self.state.lock().certs.get(cert).cloned();
        let Some(id) = pair.as_ref().and_then(certificate_id) else { return };
        if account.is_none() {
            *account = self.open_account().await.ok();
        }
        let answer = match account.as_ref() {
            Some(account) => Some(account.renewal_info(&id).await),
            None => None,
        };
        let (suggested, again) = match answer {
            Some(Ok((info, again))) => {
                let window = &info.suggested_window;
                let start = UnixSeconds(window.start.unix_timestamp());
                let end = UnixSeconds(window.end.unix_timestamp());
                let (least, most) = SUGGESTION_WAIT;
                (Some(Suggested { start, end }), again.clamp(least, most))
            }
            Some(Err(instant_acme::Error::Unsupported(_))) => (None, NO_SUGGESTION_WAIT),
            other => {
                let error = other.and_then(Result::err);
                tracing::debug!(host = %cert.host, ?error, "no renewal information");
                (None, SUGGESTION_WAIT.0)
            }
        };
        let now = self.now();
        let id = id.to_string();
        self.state.lock().ledger.suggest(&cert.file(), &id, suggested, (now, again));
        if let Err(error) = self.keep_ledger().await {
            tracing::error!(%error, "notes about certificates not kept");
        }
    }
}

/// The error with its causes.
fn described(error: &AcmeError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = source.source();
    }
    text
}

async fn run(inner: Arc<Inner>, mut order_at: UnixSeconds) {
    let stopping = inner.services.supervisor.stopping();
    let mut account = None;
    while !stopping.is_cancelled() {
        let now = inner.now();
        // A clock that went back does not stop the work.
        let spacing = i64::try_from(ORDER_SPACING.as_secs()).unwrap_or(10);
        order_at = order_at.min(now.plus_secs(spacing));
        let next = inner.state.lock().next(&inner.settings, now, order_at);
        match next {
            Next::See(host) => {
                let see = inner.see(&host);
                // A host that is nowhere yet is told of when its certificate is asked for.
                let _seen = stopping.run_until_cancelled(see).await;
            }
            Next::Obtain(cert) => {
                Box::pin(inner.work(&mut account, &cert)).await;
                order_at = inner.now().plus_secs(spacing);
            }
            Next::AskSuggestion(cert) => {
                let ask = Box::pin(inner.ask_suggestion(&mut account, &cert));
                let _asked = stopping.run_until_cancelled(ask).await;
            }
            Next::Wait(wait) => {
                inner.idle_at.send_replace(now);
                tokio::select! {
                    () = stopping.cancelled() => {}
                    () = inner.changed.notified() => {}
                    () = sleep(wait) => {}
                }
            }
        }
    }
}
