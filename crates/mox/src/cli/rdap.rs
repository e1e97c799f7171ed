//! `mox rdap`.

use anyhow::Result;
use clap::{Args, Subcommand};
use mox_base::Domain;
use mox_checks::Services;
use mox_checks::rdap::{Age, registration};

use super::lookups::domain;
use super::network::over_network;
use super::print;

/// What registries tell of domains (RDAP).
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Rdap {
    Domainage(DomainAge),
}

/// Print how long ago a domain was registered, as its registry says.
///
/// Not all registries tell. Many receivers of mail trust domains little that are younger than some
/// weeks.
#[derive(Debug, Args)]
pub(super) struct DomainAge {
    /// Domain; of one below a registered one, the registered one is asked about.
    #[arg(value_parser = domain)]
    domain: Domain,
}

impl Rdap {
    pub(super) fn run(self) -> Result<()> {
        let Self::Domainage(DomainAge { domain }) = self;
        over_network(&[], async |network| print(&age(&network.checks(), &domain).await?))
    }
}

/// The age in words.
async fn age(services: &Services, domain: &Domain) -> Result<String> {
    let registered = mox_dns::organizational_domain(domain);
    let since = registration(services, &registered).await?;
    Ok(format!("{}\n", Age::between(since, services.clock.now())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mox_base::UnixSeconds;
    use mox_checks::FakeNetwork;
    use mox_checks::rdap::BOOTSTRAP_URL;
    use mox_dns::FakeDns;
    use mox_net::tls::client::Connector;
    use mox_testkit::ManualClock;
    use mox_tlspolicy::pkix::Roots;

    use super::super::lookups::tests::now;
    use super::*;

    #[test]
    fn the_age_is_told() {
        let mut network = FakeNetwork::new();
        let list = r#"{"services":[[["example"],["https://rdap.example/"]]]}"#;
        network.add_page(BOOTSTRAP_URL, 200, list);
        let events =
            r#"{"events":[{"eventAction":"registration","eventDate":"1970-01-01T00:00:00Z"}]}"#;
        network.add_page("https://rdap.example/domain/a.example", 200, events);
        let clock = Arc::new(ManualClock::at(UnixSeconds(375 * 86_400)));
        let services = Services {
            resolver: Arc::new(FakeDns::new()),
            network: Arc::new(network),
            connector: Connector::new(Roots::default(), clock.clone()),
            clock,
        };
        let ask = |name: &str| now(age(&services, &Domain::parse(name).unwrap()));
        assert_eq!(ask("mail.a.example").unwrap(), "1 year, 10 days\n");
        let error = ask("b.example").unwrap_err().to_string();
        assert_eq!(error, "the registry does not know the domain");
    }
}
