//! `mox config dnscheck`.

use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use mox_base::Domain;
use mox_checks::domain::check;

use super::lookups::domain;
use super::network::over_network_with;
use super::{Global, print};
use crate::sending::roots;

/// Check DNS records and servers of a domain against the configuration.
///
/// Prints, for each subject with something wrong, a line with its name, then the errors and warnings,
/// then what to do about them. Prints nothing if all is well. Takes up to 30 seconds.
#[derive(Debug, Args)]
pub(super) struct DnsCheck {
    /// Domain of the configuration.
    #[arg(value_parser = domain)]
    domain: Domain,
}

impl DnsCheck {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let config = global.config()?.snapshot();
        if config.domain(&self.domain).is_none() {
            bail!("no such domain in domains.conf: {}", self.domain);
        }
        over_network_with(roots(&config)?, async |network| {
            let result = check(&network.checks(), &Arc::clone(&config), &self.domain).await;
            print(&result.to_string())
        })
    }
}
