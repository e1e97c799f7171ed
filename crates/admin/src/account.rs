//! Accounts: adding, removing, switching logins off and on.

use mox_base::Address;
use mox_config::{Config, DestinationKey, Dynamic};
use mox_queue::Filter;
use mox_store::ACCOUNT_NAME_BYTES_MAX;

use crate::admin::{Admin, Result, leave_aliases};
use crate::{AdminError, defaults};

impl Admin {
    /// The accounts by name, and whether their logins are switched off.
    #[must_use]
    pub fn account_list(&self) -> Vec<(String, bool)> {
        let config = self.snapshot();
        let accounts = config.dynamic.accounts.iter();
        accounts.map(|(name, account)| (name.clone(), !account.login_disabled.is_empty())).collect()
    }

    /// The addresses of an account; `@domain` for all mail to a domain.
    ///
    /// # Errors
    ///
    /// If there is no such account.
    pub fn account_addresses(&self, account: &str) -> Result<Vec<String>> {
        let config = self.snapshot();
        if config.account(account).is_none() {
            return Err(AdminError::UnknownAccount(account.to_owned()));
        }
        Ok(config.account_addresses(account).collect())
    }

    /// Adds an account with one address. It has no password yet.
    ///
    /// # Errors
    ///
    /// If there is such an account or files of one, the address belongs to somebody, or its domain is
    /// not ours.
    pub fn account_add(&self, account: &str, address: &Address) -> Result<()> {
        let config = self.snapshot();
        self.check_new_account(&config, account)?;
        check_free(&config, &DestinationKey::Address(address.clone()))?;
        self.edit(|dynamic| {
            let new = defaults::new_account(address);
            match dynamic.accounts.insert(account.to_owned(), new) {
                None => Ok(()),
                Some(_) => Err(AdminError::AccountExists(account.to_owned())),
            }
        })
    }

    /// Whether an account of this name may be made.
    pub(crate) fn check_new_account(&self, config: &Config, account: &str) -> Result<()> {
        let is_bad = |c: char| matches!(c, '/' | '\\') || c.is_control();
        if account.is_empty()
            || account.starts_with('.')
            || account.trim() != account
            || account.len() > ACCOUNT_NAME_BYTES_MAX
            || account.chars().any(is_bad)
        {
            return Err(AdminError::AccountName(account.to_owned()));
        }
        if config.account(account).is_some() {
            return Err(AdminError::AccountExists(account.to_owned()));
        }
        // Mail of somebody else, perhaps, who had the name before.
        if self.store.has_files(account) {
            return Err(AdminError::AccountFiles(account.to_owned()));
        }
        Ok(())
    }

    /// Removes an account with all that it has: messages, keys, history, and its place in aliases. Its
    /// sessions are ended; files that are still in use go when they are not.
    ///
    /// A crash leaves it whole or is made up for by [`Admin::resume_removals`].
    ///
    /// # Errors
    ///
    /// If there is no such account, or others depend on it: reports of domains, the postmaster, an alias
    /// without other members, messages in the queue.
    pub fn account_remove(&self, account: &str) -> Result<()> {
        let config = self.snapshot();
        if config.account(account).is_none() {
            return Err(AdminError::UnknownAccount(account.to_owned()));
        }
        let mut by = uses(&config, account);
        let filter = Filter { account: Some(account.to_owned()), ..Filter::default() };
        let queued = self.queue.count(&filter)?;
        if queued > 0 {
            by.push(format!(
                "{queued} messages in the queue, which \"mox queue drop -account {account}\" removes"
            ));
        }
        if !by.is_empty() {
            return Err(AdminError::AccountInUse { account: account.to_owned(), by });
        }
        self.store.begin_removal(account)?;
        let edited = self.edit(|dynamic| take_out(&config, dynamic, account));
        if let Err(error) = edited {
            // Another command may have removed it meanwhile.
            if self.config.snapshot().account(account).is_some() {
                self.store.keep_account(account)?;
            }
            return Err(error);
        }
        self.forget(account).map_err(|error| AdminError::Leftover(Box::new(error)))
    }

    /// Removes what is left of an account that the configuration does not have any more.
    fn forget(&self, account: &str) -> Result<()> {
        self.client_keys.remove_account(account)?;
        self.queue.forget_account(account)?;
        self.store.finish_removals()?;
        Ok(())
    }

    /// Finishes removals of accounts that a crash cut short, and takes those back that had not reached the
    /// configuration. To be called at the start, before accounts are opened.
    ///
    /// Returns the accounts that were removed.
    ///
    /// # Errors
    ///
    /// If something cannot be removed.
    pub fn resume_removals(&self) -> Result<Vec<String>> {
        let config = self.config.snapshot();
        let mut removed = Vec::new();
        for account in self.store.pending_removals()? {
            if config.account(&account).is_some() {
                self.store.keep_account(&account)?;
            } else {
                self.forget(&account)?;
                removed.push(account);
            }
        }
        // What was moved away is not named any more.
        self.store.finish_removals()?;
        Ok(removed)
    }

    /// Switches the logins of an account off, and ends its sessions. Mail still arrives.
    ///
    /// - `message`: what whoever tries to log in gets to read; printable ASCII.
    ///
    /// # Errors
    ///
    /// If there is no such account, or the message is none.
    pub fn account_disable(&self, account: &str, message: &str) -> Result<()> {
        if message.is_empty() {
            return Err(AdminError::MessageMissing);
        }
        self.set_login_disabled(account, message)?;
        self.store.end_sessions(account);
        Ok(())
    }

    /// Switches the logins of an account on again.
    ///
    /// # Errors
    ///
    /// If there is no such account.
    pub fn account_enable(&self, account: &str) -> Result<()> {
        self.set_login_disabled(account, "")
    }

    fn set_login_disabled(&self, account: &str, message: &str) -> Result<()> {
        self.edit(|dynamic| {
            let settings = dynamic.accounts.get_mut(account);
            let settings =
                settings.ok_or_else(|| AdminError::UnknownAccount(account.to_owned()))?;
            message.clone_into(&mut settings.login_disabled);
            Ok(())
        })
    }
}

/// Refuses an address that somebody has.
pub(crate) fn check_free(config: &Config, key: &DestinationKey) -> Result<()> {
    let taken = |account: &str| AdminError::AddressTaken {
        address: key.to_string(),
        account: account.to_owned(),
    };
    match key {
        DestinationKey::Address(address) => {
            if !config.is_configured_domain(&address.domain) {
                return Err(AdminError::UnknownDomain(address.domain.clone()));
            }
            let canonical = config.canonical_address(address).unwrap_or_else(|| address.clone());
            let key = DestinationKey::Address(canonical);
            match config.account_for_login(&address.to_string()) {
                Ok(target) if target.key == key => Err(taken(&target.account)),
                _ => Ok(()),
            }
        }
        DestinationKey::Catchall(domain) => {
            if !config.is_configured_domain(domain) {
                return Err(AdminError::UnknownDomain(domain.clone()));
            }
            let has = |account: &&String| {
                let account = config.account(account.as_str());
                account.is_some_and(|account| account.destinations.keys().any(|k| k.0 == *key))
            };
            match config.dynamic.accounts.keys().find(has) {
                Some(account) => Err(taken(account)),
                None => Ok(()),
            }
        }
        // Nothing to compare with; checking the configuration finds it.
        DestinationKey::Localpart(_) => Ok(()),
    }
}

/// What needs an account, in words.
fn uses(config: &Config, account: &str) -> Vec<String> {
    let mut by = Vec::new();
    if config.statics.postmaster.account == account {
        by.push("Postmaster in mox.conf".to_owned());
    }
    if config.statics.host_tlsrpt.as_ref().is_some_and(|to| to.account == account) {
        by.push("HostTLSRPT in mox.conf".to_owned());
    }
    for (domain, settings) in &config.dynamic.domains {
        for (kind, to) in [("DMARC", &settings.dmarc), ("TLSRPT", &settings.tlsrpt)] {
            if to.as_ref().is_some_and(|to| to.account == account) {
                by.push(format!("{kind} of domain {domain}"));
            }
        }
    }
    by
}

/// Takes an account out of the settings.
fn take_out(config: &Config, dynamic: &mut Dynamic, account: &str) -> Result<()> {
    let removed = dynamic.accounts.remove(account);
    let removed = removed.ok_or_else(|| AdminError::UnknownAccount(account.to_owned()))?;
    for key in removed.destinations.keys() {
        let domain = &removed.domain;
        if let DestinationKey::Address(address) = crate::admin::canonical(config, &key.0, domain) {
            leave_aliases(config, dynamic, &address)?;
        }
    }
    Ok(())
}
