//! The one who changes the configuration and what hangs on it.

use std::sync::Arc;

use mox_base::{Address, Clock, UnixSeconds};
use mox_config::{Config, DestinationKey, Dynamic, Live};
use mox_queue::Queue;
use mox_store::{ClientKeys, Store};

use crate::AdminError;

/// Changes domains, accounts, addresses and aliases of a running server. Cheap to clone.
///
/// All of it blocks: on `domains.conf`, on databases, and on making keys. What was edited by hand in
/// the meantime is taken up first, and comments and order in the file stay.
#[derive(Clone)]
pub struct Admin {
    /// The configuration.
    pub config: Arc<Live>,
    /// The accounts.
    pub store: Store,
    /// Messages on their way out.
    pub queue: Queue,
    /// The keys registered for logging in.
    pub client_keys: Arc<ClientKeys>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

pub(crate) type Result<T> = std::result::Result<T, AdminError>;

impl Admin {
    pub(crate) fn now(&self) -> UnixSeconds {
        self.clock.now()
    }

    /// The configuration, with what was changed by hand until now. Faults are told by the edit that
    /// follows.
    pub(crate) fn snapshot(&self) -> Arc<Config> {
        let _reloaded = self.config.reload(self.now());
        self.config.snapshot()
    }

    pub(crate) fn edit<T>(&self, change: impl FnOnce(&mut Dynamic) -> Result<T>) -> Result<T> {
        self.config.edit(self.now(), change)
    }

    /// What logs in with an address that the key stands for, in words.
    pub(crate) fn logins_with(&self, config: &Config, key: &DestinationKey) -> Result<Vec<String>> {
        let keys = self.client_keys.list(None)?;
        let found = keys.into_iter().filter(|client| is_for(config, &client.login_address, key));
        Ok(found
            .map(|client| {
                format!(
                    "TLS public key {:?} of account {}, which logs in as {}",
                    client.name, client.account, client.login_address
                )
            })
            .collect())
    }
}

/// Whether a login with an address goes by this destination.
pub(crate) fn is_for(config: &Config, address: &Address, key: &DestinationKey) -> bool {
    let target = config.account_for_login(&address.to_string());
    target.is_ok_and(|target| target.key == *key)
}

/// A destination with its address in canonical form, by which destinations are compared.
///
/// - `default`: the domain that a localpart alone is in.
pub(crate) fn canonical(
    config: &Config,
    key: &DestinationKey,
    default: &mox_config::DefaultDomain,
) -> DestinationKey {
    let address = match (key, &default.0) {
        (DestinationKey::Address(address), _) => address.clone(),
        (DestinationKey::Localpart(localpart), Some(domain)) => {
            Address { localpart: localpart.clone(), domain: domain.clone() }
        }
        (DestinationKey::Catchall(_) | DestinationKey::Localpart(_), _) => return key.clone(),
    };
    DestinationKey::Address(config.canonical_address(&address).unwrap_or(address))
}

/// Removes an address from all aliases.
pub(crate) fn leave_aliases(
    config: &Config,
    dynamic: &mut Dynamic,
    address: &Address,
) -> Result<()> {
    let is_same = |member: &Address| {
        config.canonical_address(member).as_ref() == config.canonical_address(address).as_ref()
    };
    for (domain, settings) in &mut dynamic.domains {
        for (localpart, alias) in &mut settings.aliases {
            let count = alias.addresses.len();
            alias.addresses.retain(|member| !is_same(&member.0));
            if alias.addresses.is_empty() && count > 0 {
                let (localpart, domain) = (localpart.0.clone(), domain.0.0.clone());
                return Err(AdminError::NoMembers(Address { localpart, domain }));
            }
        }
    }
    Ok(())
}
