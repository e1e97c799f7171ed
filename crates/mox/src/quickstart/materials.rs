//! Keys and passwords of a new set-up, made in memory before any file is.

use anyhow::{Context, Result};
use mox_admin::defaults::{NewDomain, new_domain};
use mox_admin::keys::{HostKey, HostKeyKind, KeyFile};
use mox_base::{Rng, UnixSeconds};
use mox_config::Static;

use super::password::generate;
use super::settings::{Choices, Machine, statics};

/// What is secret of a new set-up, and the settings that name it.
pub(super) struct Materials {
    /// `mox.conf`.
    pub(super) statics: Static,
    /// The domain, with its DKIM keys.
    pub(super) domain: NewDomain,
    /// The keys of the host.
    pub(super) host_keys: Vec<KeyFile>,
    /// For the admin pages.
    pub(super) admin_password: String,
    /// Its hash.
    pub(super) admin_hash: String,
    /// Of the account.
    pub(super) account_password: String,
}

impl Materials {
    /// Makes them. Takes some seconds on a small machine. Blocks.
    ///
    /// - `bcrypt_cost`: how much work the hash of the admin password is, as a power of two.
    ///
    /// # Errors
    ///
    /// If there is no randomness.
    pub(super) fn make(
        choices: &Choices,
        machine: &Machine,
        now: UnixSeconds,
        rng: &dyn Rng,
        bcrypt_cost: u32,
    ) -> Result<Self> {
        let mut host_keys = Vec::new();
        // Behind another web server the certificates and their keys are made by somebody else.
        if !choices.has_webserver {
            for kind in HostKeyKind::ALL {
                let key = HostKey::generate(kind).context("make key of the host")?;
                host_keys.push(KeyFile::host(&key, &machine.hostname, now)?);
            }
        }
        let names: Vec<_> = host_keys.iter().map(|file| file.name.clone()).collect();
        let statics = statics(choices, machine, &names)?;
        let domain = new_domain(&statics, choices.domain(), &choices.account, now)
            .context("make keys for DKIM")?;
        let admin_password = generate(rng);
        let mut salt = [0; 16];
        rng.fill(&mut salt);
        let hash = bcrypt::hash_with_salt(&admin_password, bcrypt_cost, salt);
        let admin_hash = hash.context("hash admin password")?.to_string();
        let account_password = generate(rng);
        Ok(Self { statics, domain, host_keys, admin_password, admin_hash, account_password })
    }
}
