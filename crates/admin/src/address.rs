//! Addresses of accounts.

use mox_base::Address;
use mox_config::{Config, DestinationKey, Dynamic, Target, Text};
use mox_queue::{Filter, MessageId, Sort, SortField};

use crate::AdminError;
use crate::account::check_free;
use crate::admin::{Admin, Result, canonical, is_for, leave_aliases};

impl Admin {
    /// Adds an address, or all mail to a domain, to an account.
    ///
    /// # Errors
    ///
    /// If there is no such account or domain, or somebody has the address.
    pub fn address_add(&self, key: &DestinationKey, account: &str) -> Result<()> {
        let config = self.snapshot();
        if config.account(account).is_none() {
            return Err(AdminError::UnknownAccount(account.to_owned()));
        }
        check_free(&config, key)?;
        self.edit(|dynamic| {
            let settings = dynamic.accounts.get_mut(account);
            let settings =
                settings.ok_or_else(|| AdminError::UnknownAccount(account.to_owned()))?;
            settings.destinations.entry(Text(key.clone())).or_default();
            Ok(())
        })
    }

    /// Removes an address, or all mail to a domain, from its account, and from aliases.
    ///
    /// # Errors
    ///
    /// If nobody has it, or something depends on it: a TLS public key that logs in with it, a message in
    /// the queue that was sent from it, an alias without other members.
    pub fn address_remove(&self, key: &DestinationKey) -> Result<()> {
        let config = self.snapshot();
        let (account, configured) = holder(&config, key)?;
        let domain = &config.account(&account).ok_or_else(|| unknown(key))?.domain;
        let canonical = canonical(&config, &configured, domain);
        let mut by = self.logins_with(&config, &canonical)?;
        let queued = self.queued_from(&config, &account, &canonical)?;
        if queued > 0 {
            by.push(format!("{queued} messages in the queue"));
        }
        if !by.is_empty() {
            return Err(AdminError::AddressInUse { address: key.to_string(), by });
        }
        self.edit(|dynamic| {
            let settings = dynamic.accounts.get_mut(&account).ok_or_else(|| unknown(key))?;
            settings.destinations.remove(&Text(configured.clone())).ok_or_else(|| unknown(key))?;
            settings.from_id_login_addresses.retain(|login| !is_for(&config, login, &canonical));
            match &canonical {
                DestinationKey::Address(address) => leave_aliases(&config, dynamic, address),
                _ => Ok(()),
            }
        })
    }

    /// The account that gets mail for an address, or `@` and a domain.
    ///
    /// # Errors
    ///
    /// If nobody does, or several by an alias.
    pub fn address_account(&self, key: &DestinationKey) -> Result<String> {
        let config = self.snapshot();
        let DestinationKey::Address(address) = key else { return Ok(holder(&config, key)?.0) };
        match config.lookup_address(&address.localpart, Some(&address.domain)) {
            Ok(Target::Account(target)) => Ok(target.account.to_string()),
            Ok(Target::Alias(alias)) => Err(AdminError::IsAlias(alias.address.clone())),
            // Of a domain that is switched off it is told too.
            Err(_) => Ok(holder(&config, key)?.0),
        }
    }

    /// How many messages of the account wait whose reports would come back by this destination.
    fn queued_from(&self, config: &Config, account: &str, key: &DestinationKey) -> Result<u64> {
        let filter = Filter { account: Some(account.to_owned()), ..Filter::default() };
        let mut sort = Sort { field: SortField::Queued, is_ascending: true, ..Sort::default() };
        let mut count = 0;
        loop {
            let page = self.queue.list(&filter, &sort)?;
            let Some(last) = page.last() else { return Ok(count) };
            let after: (_, MessageId) = (last.queued, last.id);
            let depends = page.iter().filter(|message| {
                let sender = message.mail_from.mailbox().and_then(mox_smtp::Mailbox::address);
                sender.is_some_and(|sender| is_for(config, &sender, key))
            });
            count += depends.count() as u64;
            sort.after = Some(after);
        }
    }
}

fn unknown(key: &DestinationKey) -> AdminError {
    AdminError::UnknownAddress(key.to_string())
}

/// The account that has a destination, and how that is written in its settings.
fn holder(config: &Config, key: &DestinationKey) -> Result<(String, DestinationKey)> {
    for (name, account) in &config.dynamic.accounts {
        let wanted = canonical(config, key, &account.domain);
        for configured in account.destinations.keys() {
            if canonical(config, &configured.0, &account.domain) == wanted {
                return Ok((name.clone(), configured.0.clone()));
            }
        }
    }
    match key {
        DestinationKey::Address(address) if is_alias(&config.dynamic, config, address) => {
            Err(AdminError::IsAlias(address.clone()))
        }
        _ => Err(unknown(key)),
    }
}

fn is_alias(dynamic: &Dynamic, config: &Config, address: &Address) -> bool {
    let Some(address) = config.canonical_address(address) else { return false };
    let settings = dynamic.domains.get(&Text::from(address.domain.clone()));
    settings.is_some_and(|settings| {
        settings.aliases.keys().any(|localpart| {
            let alias = Address { localpart: localpart.0.clone(), domain: address.domain.clone() };
            config.canonical_address(&alias).as_ref() == Some(&address)
        })
    })
}
