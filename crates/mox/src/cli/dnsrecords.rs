//! `mox config dnsrecords`.

use anyhow::{Result, bail};
use clap::Args;
use mox_admin::records::{Facts, PUBLIC_LISTENER, domain_records};
use mox_base::Domain;
use mox_config::Config;
use mox_dns::{DnsError, Name, RecordType, Resolver};

use super::lookups::{domain, look_up};
use super::{Global, print, say};
use crate::data_dir::ACME;

/// Print the DNS records that a domain needs, as lines of a zone file.
///
/// Asks DNS for the domain, to find out whether it is signed with DNSSEC: records that need that are
/// commented out otherwise. Reads the keys that the configuration names.
#[derive(Debug, Args)]
pub(super) struct DnsRecords {
    /// Domain of the configuration.
    #[arg(value_parser = domain)]
    domain: Domain,
}

impl DnsRecords {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let config = global.config()?.snapshot();
        if config.domain(&self.domain).is_none() {
            bail!("no such domain in domains.conf: {}", self.domain);
        }
        let signed = look_up(async |resolver| is_signed(resolver, &self.domain).await);
        let has_dnssec = signed.and_then(|signed| Ok(signed?)).unwrap_or_else(|error| {
            say(&format!("note: whether {} is signed is not known: {error:#}\n", self.domain));
            false
        });
        let facts = Facts { has_dnssec, acme_account_uri: acme_account_uri(&config)? };
        let lines = domain_records(&config, &self.domain, &facts)?;
        print(&(lines.join("\n") + "\n"))
    }
}

/// Whether DNSSEC vouches for what DNS says of the domain, be it that there is nothing.
async fn is_signed(resolver: &dyn Resolver, domain: &Domain) -> Result<bool, DnsError> {
    match resolver.lookup(&Name::from(domain), RecordType::Txt).await {
        Ok(found) => Ok(found.security.is_secure()),
        Err(DnsError::NotFound { security, .. }) => Ok(security.is_secure()),
        Err(error) => Err(error),
    }
}

/// The account at the provider of certificates of the public listener, once there is one.
fn acme_account_uri(config: &Config) -> Result<Option<String>> {
    let listener = config.statics.listeners.get(PUBLIC_LISTENER);
    let provider = listener.and_then(|listener| listener.tls.as_ref()).map(|tls| &tls.acme);
    let Some(provider) = provider.filter(|name| !name.is_empty()) else { return Ok(None) };
    Ok(mox_acme::account_uri(&config.data_dir().join(ACME), provider)?)
}

#[cfg(test)]
mod tests {
    use mox_dns::FakeDns;

    use super::super::lookups::tests::now;
    use super::*;

    #[test]
    fn dnssec_is_told_by_any_answer() {
        let mut dns = FakeDns::new();
        dns.add_txt("a.example", "x").sign("a.example");
        dns.add_txt("b.example", "x");
        let check = |name: &str| now(is_signed(&dns, &Domain::parse(name).unwrap()));
        assert!(check("a.example").unwrap());
        assert!(!check("b.example").unwrap());
        assert!(!check("c.example").unwrap());
    }
}
