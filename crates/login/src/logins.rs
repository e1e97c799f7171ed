//! The service that every driver logs in through.

use std::net::IpAddr;
use std::sync::Arc;

use mox_base::{Clock, Rng};
use mox_config::Live;
use mox_net::{AuthFailures, blocking};
use mox_sasl::{ChannelBindings, Failure, PasswordCache};
use mox_store::{Account, ClientKeys, Store, StoreError};
use tokio::sync::Semaphore;

use crate::check::checks_at_once;
use crate::decoys::Decoys;

/// Why a login failed. What a client may be told of it is fixed by its protocol.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The exchange failed; see [`Failure`]. Unknown users and wrong passwords look alike.
    #[error("{0}")]
    Refused(Failure),
    /// The credentials are right, but the configuration does not let the account log in.
    #[error("login disabled for account: {message}")]
    Disabled {
        /// What the user gets to read.
        message: String,
    },
    /// Right, but for another account than the one the connection belongs to by its certificate.
    #[error("connection belongs to another account")]
    OtherAccount,
    /// The address has failed too often.
    #[error("too many failed logins from this network")]
    TooManyFailures,
    /// The account could not be read.
    #[error("account: {0}")]
    Store(#[from] StoreError),
}

impl LoginError {
    /// Whether the client may try the same again later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(failure) => *failure == Failure::Unavailable,
            Self::Store(error) => error.is_temporary(),
            Self::TooManyFailures => true,
            Self::Disabled { .. } | Self::OtherAccount => false,
        }
    }

    /// Whether it counts against the client's address.
    fn is_counted(&self) -> bool {
        matches!(self, Self::Refused(failure) if *failure != Failure::Unavailable)
            || matches!(self, Self::OtherAccount)
    }
}

/// A successful login.
#[derive(Clone)]
pub struct Login {
    /// The account, open.
    pub account: Account,
    /// The name the client logged in with, in NFC.
    pub username: String,
    /// What IMAP does not offer the account, by the configuration.
    pub imap_capabilities_disabled: Vec<String>,
}

/// What is known of the connection that a client logs in on.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub ip: IpAddr,
    /// The channel bindings of its TLS, if any.
    pub bindings: ChannelBindings,
    /// The fingerprint of its TLS client key, if it showed one.
    pub client_key: Option<String>,
}

/// Logging in for all protocols. Cheap to clone.
#[derive(Clone)]
pub struct Logins(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Arc<Live>,
    pub(crate) store: Store,
    client_keys: Arc<ClientKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    failures: AuthFailures,
    pub(crate) decoys: Decoys,
    pub(crate) cache: PasswordCache,
    /// Held by those who check a password in full.
    pub(crate) checks: Arc<Semaphore>,
}

impl Logins {
    /// Makes the service. `decoy_secret` should be the same after a restart, so that made-up
    /// salts of unknown users stay what they were.
    #[must_use]
    pub fn new(
        config: Arc<Live>,
        store: Store,
        client_keys: Arc<ClientKeys>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        decoy_secret: [u8; mox_sasl::DECOY_SECRET_BYTES],
        failures: AuthFailures,
    ) -> Self {
        let mut cache_key = [0; 32];
        rng.fill(&mut cache_key);
        Self(Arc::new(Inner {
            config,
            store,
            client_keys,
            clock,
            rng,
            failures,
            decoys: Decoys::new(decoy_secret),
            cache: PasswordCache::new(cache_key),
            checks: Arc::new(Semaphore::new(checks_at_once())),
        }))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Checks a name and password, as IMAP's LOGIN command has them. The password is as typed.
    ///
    /// # Errors
    ///
    /// See [`LoginError`].
    pub async fn password(
        &self,
        peer: &Peer,
        username: &str,
        password: &str,
    ) -> Result<Login, LoginError> {
        let message = format!("\0{username}\0{password}");
        let bindings = ChannelBindings::default();
        let peer = Peer { bindings, ..peer.clone() };
        let mut exchange = self.start(mox_sasl::Mechanism::Plain, &peer);
        match exchange.first(Some(message.as_bytes())).await {
            crate::Outcome::Done(login) => Ok(login),
            crate::Outcome::Failed(error) => Err(error),
            // PLAIN with a first message asks for nothing more.
            crate::Outcome::Challenge(_) => Err(LoginError::Refused(Failure::Malformed)),
        }
    }

    /// Logs in by the client key of the connection alone, where the owner of the key allows it.
    /// `None` if there is no key, or it must be used with EXTERNAL.
    ///
    /// # Errors
    ///
    /// If the key is not registered, or its account cannot log in.
    pub async fn preauth(&self, peer: &Peer) -> Result<Option<Login>, LoginError> {
        let Some(fingerprint) = peer.client_key.clone() else {
            return Ok(None);
        };
        let now = self.0.clock.now();
        if !self.0.failures.may_try(peer.ip, now) {
            return Ok(None);
        }
        let logins = self.clone();
        let found = blocking(move || logins.0.client_keys.find(&fingerprint)).await?;
        let Some(key) = found else {
            self.0.failures.record(peer.ip, now);
            return Err(LoginError::Refused(Failure::BadCredentials));
        };
        if key.no_imap_preauth {
            return Ok(None);
        }
        self.open(key.login_address.to_string(), Some(key.account)).await.map(Some)
    }

    /// Opens the account of an address for the operator of the server, who needs no password; also
    /// where logins are disabled.
    ///
    /// # Errors
    ///
    /// If there is no such account, or it cannot be read.
    pub async fn by_operator(&self, username: &str) -> Result<Login, LoginError> {
        let config = self.0.config.snapshot();
        let target = config.account_for_login(username).map_err(|_| StoreError::NoAccount)?;
        self.open_account(target.account, username.to_owned()).await
    }

    /// Whether the address may still try, or has failed too often.
    #[must_use]
    pub fn may_try(&self, ip: IpAddr) -> bool {
        self.0.failures.may_try(ip, self.0.clock.now())
    }

    /// The name of the account of a user, if there is one. Looks only at the configuration: it
    /// takes no longer for one that exists.
    #[must_use]
    pub fn account_name(&self, username: &str) -> Option<String> {
        let target = self.0.config.snapshot().account_for_login(username).ok()?;
        Some(target.account.to_string())
    }

    /// The account of a user, open, if there is one that may be used. To be asked for users of whom
    /// it is known that they exist: opening an account takes time.
    pub async fn account_of_owner(&self, username: &str) -> Option<Account> {
        self.open(username.to_owned(), None).await.ok().map(|login| login.account)
    }

    /// Counts the outcome of an exchange.
    pub(crate) fn count(&self, ip: IpAddr, outcome: Result<(), &LoginError>) {
        let now = self.0.clock.now();
        match outcome {
            Ok(()) => self.0.failures.reset(ip, now),
            Err(error) if error.is_counted() => {
                self.0.failures.record(ip, now);
            }
            Err(_) => {}
        }
    }

    /// Opens the account of a user whose credentials are right.
    ///
    /// - `only`: the account that the connection belongs to by its certificate.
    pub(crate) async fn open(
        &self,
        username: String,
        only: Option<String>,
    ) -> Result<Login, LoginError> {
        let config = self.0.config.snapshot();
        let refused = LoginError::Refused(Failure::BadCredentials);
        let target = config.account_for_login(&username).map_err(|_| refused)?;
        if only.is_some_and(|only| *only != *target.account) {
            return Err(LoginError::OtherAccount);
        }
        let settings = config.account(&target.account);
        let disabled = settings.map(|account| &account.login_disabled);
        if let Some(message) = disabled.filter(|message| !message.is_empty()) {
            return Err(LoginError::Disabled { message: message.clone() });
        }
        self.open_account(target.account, username).await
    }

    async fn open_account(&self, name: Arc<str>, username: String) -> Result<Login, LoginError> {
        let config = self.0.config.snapshot();
        let hidden = config.account(&name).map(|account| &account.imap_capabilities_disabled);
        let imap_capabilities_disabled = hidden.cloned().unwrap_or_default();
        // Another session may have it open.
        let account = match self.0.store.opened(&name)? {
            Some(account) => account,
            None => {
                let store = self.0.store.clone();
                blocking(move || store.account(&name)).await?
            }
        };
        Ok(Login { account, username, imap_capabilities_disabled })
    }
}

impl Inner {
    /// As whom a client key may log in: as the asked user if that is of the account of the key,
    /// else as the address it is registered for. `None` if not at all. Blocks.
    pub(crate) fn key_owner(
        &self,
        fingerprint: Option<&str>,
        username: Option<&str>,
    ) -> Result<Option<String>, LoginError> {
        let Some(fingerprint) = fingerprint else {
            return Ok(None);
        };
        let Some(key) = self.client_keys.find(fingerprint)? else {
            return Ok(None);
        };
        let name = username.map_or_else(|| key.login_address.to_string(), ToOwned::to_owned);
        let owner = self.config.snapshot().account_for_login(&name);
        Ok(owner.ok().filter(|target| *target.account == *key.account).map(|_| name))
    }

    /// The account that a registered key belongs to. Blocks.
    pub(crate) fn key_account(&self, fingerprint: &str) -> Result<Option<String>, LoginError> {
        Ok(self.client_keys.find(fingerprint)?.map(|key| key.account))
    }
}
