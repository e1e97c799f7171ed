//! Domains: adding, removing, switching off and on.

use std::path::PathBuf;

use mox_base::{Address, Domain, Localpart};
use mox_config::{Config, DestinationKey, DomainSettings, Dynamic, Text};

use crate::admin::{Admin, Result};
use crate::keys::{KeyFile, retire};
use crate::{AdminError, defaults};

/// The address that every domain has: RFC 5321 §4.5.1.
const POSTMASTER: &str = "postmaster";

/// A domain to be added.
#[derive(Clone, Debug)]
pub struct NewDomain {
    /// Its name.
    pub domain: Domain,
    /// Whether it takes and sends no mail for now.
    pub is_disabled: bool,
    /// Who gets its reports, and mail to postmaster.
    pub account: String,
    /// The address of the account, if that is new.
    pub localpart: Option<Localpart>,
}

impl Admin {
    /// Adds a domain, with new DKIM keys and the settings of new domains; and its account, if that is
    /// new, with one address. An account that exists gets mail for the postmaster of the domain, unless
    /// it gets that anyway.
    ///
    /// Takes some seconds: it makes two RSA keys.
    ///
    /// # Errors
    ///
    /// If there is such a domain, if a localpart is given and the account is not new or the other way
    /// round, or if something cannot be made or written.
    pub fn domain_add(&self, new: &NewDomain) -> Result<()> {
        let NewDomain { domain, account, localpart, .. } = new;
        let config = self.snapshot();
        if config.domain(domain).is_some() {
            return Err(AdminError::DomainExists(domain.clone()));
        }
        match (config.account(account), localpart) {
            (None, None) => return Err(AdminError::LocalpartMissing(account.clone())),
            (Some(_), Some(_)) => return Err(AdminError::LocalpartGiven(account.clone())),
            (None, Some(_)) => self.check_new_account(&config, account)?,
            (Some(_), None) => {}
        }
        let mut made = defaults::new_domain(&config.statics, domain, account, self.now())?;
        made.settings.disabled = new.is_disabled;
        // Before the settings that name them: those are checked.
        let files = write_all(&config, &made.key_files)?;
        let edited = self.edit(|dynamic| insert(&config, dynamic, new, made.settings));
        if edited.is_err() {
            // What counts is the first error; nobody knows these keys yet.
            let _removed: Vec<_> = files.iter().map(std::fs::remove_file).collect();
        }
        edited
    }

    /// Removes a domain. The files with its DKIM keys are moved to a directory `old`.
    ///
    /// # Errors
    ///
    /// If there is no such domain, accounts have addresses in it, or a TLS public key logs in with one.
    pub fn domain_remove(&self, domain: &Domain) -> Result<()> {
        let config = self.snapshot();
        let settings = config.domain(domain);
        let settings = settings.ok_or_else(|| AdminError::UnknownDomain(domain.clone()))?;
        let mut by = uses(&config, domain);
        for key in self.client_keys.list(None)? {
            if key.login_address.domain == *domain {
                by.push(format!(
                    "TLS public key {:?} of account {}, which logs in as {}",
                    key.name, key.account, key.login_address
                ));
            }
        }
        if !by.is_empty() {
            return Err(AdminError::DomainInUse { domain: domain.clone(), by });
        }
        let key_files: Vec<_> = settings.dkim.selectors.values().map(key_file).collect();
        self.edit(|dynamic| match dynamic.domains.remove(&domain.clone().into()) {
            Some(_) => Ok(()),
            None => Err(AdminError::UnknownDomain(domain.clone())),
        })?;
        self.retire_unused(&key_files)
    }

    /// Switches a domain off, so that it takes and sends no mail for now, or on again.
    ///
    /// # Errors
    ///
    /// If there is no such domain.
    pub fn domain_set_disabled(&self, domain: &Domain, is_disabled: bool) -> Result<()> {
        self.edit(|dynamic| {
            let settings = dynamic.domains.get_mut(&domain.clone().into());
            let settings = settings.ok_or_else(|| AdminError::UnknownDomain(domain.clone()))?;
            settings.disabled = is_disabled;
            Ok(())
        })
    }

    /// Moves the files that no DKIM selector names any more.
    fn retire_unused(&self, files: &[String]) -> Result<()> {
        let config = self.config.snapshot();
        let selectors = config.dynamic.domains.values().flat_map(|d| d.dkim.selectors.values());
        let used: Vec<PathBuf> =
            selectors.map(|selector| config.path(&selector.private_key_file)).collect();
        for file in files {
            let path = config.path(file);
            if used.contains(&path) || !path.exists() {
                continue;
            }
            retire(&path).map_err(|source| AdminError::KeyNotMoved { path, source })?;
        }
        Ok(())
    }
}

fn key_file(selector: &mox_config::Selector) -> String {
    selector.private_key_file.clone()
}

/// Writes new keys; all of them or none.
fn write_all(config: &Config, files: &[KeyFile]) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for file in files {
        match file.write(config.dir()) {
            Ok(path) => written.push(path),
            Err(error) => {
                let _removed: Vec<_> = written.iter().map(std::fs::remove_file).collect();
                return Err(error.into());
            }
        }
    }
    Ok(written)
}

fn insert(
    config: &Config,
    dynamic: &mut Dynamic,
    new: &NewDomain,
    settings: DomainSettings,
) -> Result<()> {
    let domain = &new.domain;
    if dynamic.domains.insert(domain.clone().into(), settings).is_some() {
        return Err(AdminError::DomainExists(domain.clone()));
    }
    let address = |localpart| Address { localpart, domain: domain.clone() };
    match (dynamic.accounts.get_mut(&new.account), &new.localpart) {
        (None, Some(localpart)) => {
            let account = defaults::new_account(&address(localpart.clone()));
            dynamic.accounts.insert(new.account.clone(), account);
        }
        (Some(account), None) => {
            // The account of mox.conf gets it already.
            if config.statics.postmaster.account != new.account
                && let Ok(localpart) = Localpart::from_decoded(POSTMASTER)
            {
                let key = Text(DestinationKey::Address(address(localpart)));
                account.destinations.entry(key).or_default();
            }
        }
        (None, None) => return Err(AdminError::LocalpartMissing(new.account.clone())),
        (Some(_), Some(_)) => return Err(AdminError::LocalpartGiven(new.account.clone())),
    }
    Ok(())
}

/// What needs a domain, in words.
fn uses(config: &Config, domain: &Domain) -> Vec<String> {
    let mut by = Vec::new();
    for (name, account) in &config.dynamic.accounts {
        if account.domain.0.0.as_ref() == Some(domain) {
            by.push(format!("account {name}, as its default domain"));
        }
        for key in account.destinations.keys() {
            let is_in = match &key.0 {
                DestinationKey::Address(address) => address.domain == *domain,
                DestinationKey::Catchall(of) => of == domain,
                DestinationKey::Localpart(_) => false,
            };
            if is_in {
                by.push(format!("account {name}, which has the address {key}"));
            }
        }
    }
    for (name, settings) in &config.dynamic.domains {
        let reports = [("DMARC", &settings.dmarc), ("TLSRPT", &settings.tlsrpt)];
        let at = |to: &mox_config::ReportAddress| to.domain.as_deref() == Some(domain);
        for (kind, to) in reports {
            if name.0.0 != *domain && to.as_ref().is_some_and(at) {
                by.push(format!("{kind} of domain {name}"));
            }
        }
    }
    by
}
