//! `mox checkupdate`.

use std::fs;

use anyhow::{Result, bail};
use clap::Args;
use mox_checks::Services;
use mox_checks::updates::{Origin, Version, changes_since, newest, origin};

use super::network::over_network_with;
use super::{Global, print};
use crate::sending::roots;
use crate::updates::LAST_KNOWN;

/// Look whether there is a newer release, and print what changed.
///
/// Prints the last version that was told of, the version of this program, and the newest one; then the
/// changes, if there are some. Fails if nobody publishes releases that this build could look for.
#[derive(Debug, Args)]
pub(super) struct CheckUpdate {}

impl CheckUpdate {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let Some(origin) = origin() else {
            bail!(
                "this build does not know who publishes releases: none of this project were \
                 published with a key yet"
            );
        };
        let config = global.config()?.snapshot();
        let last = fs::read_to_string(config.data_dir().join(LAST_KNOWN)).ok();
        let last = last.and_then(|text| Version::parse(text.trim()).ok());
        over_network_with(roots(&config)?, async |network| {
            print(&look(&network.checks(), &origin, last).await?)
        })
    }
}

async fn look(services: &Services, origin: &Origin, last: Option<Version>) -> Result<String> {
    let current = Version::parse(crate::VERSION)?;
    let newest = newest(services, origin).await?;
    let known = last.map_or_else(|| "none".to_owned(), |last| last.to_string());
    let mut text = format!("last known: {known}\ncurrent: {current}\nlatest: {newest}\n");
    if newest > current {
        text.push_str("\nChangelog\n");
        for change in changes_since(services, origin, current).await? {
            text.push_str(&format!("\n----\n\n{}\n", change.trim_end()));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mox_checks::FakeNetwork;
    use mox_checks::updates::{Changelog, SigningKey};
    use mox_dns::{FakeDns, Name};
    use mox_net::tls::client::Connector;
    use mox_testkit::ManualClock;
    use mox_tlspolicy::pkix::Roots;

    use super::*;

    async fn check(newest: &str, want: &str) {
        let key = SigningKey::from_seed([3; 32]).unwrap();
        let name = Name::parse("_updates.mox.example").unwrap();
        let changelog = "https://mox.example/changelog".to_owned();
        let origin = Origin { name, changelog, key: key.public() };
        let mut dns = FakeDns::new();
        dns.add_txt("_updates.mox.example", &format!("v=UPDATES0;l={newest}"));
        let log = Changelog { changes: vec![key.sign("better\n")] };
        let mut network = FakeNetwork::new();
        let url = format!("{}?from=v{}", origin.changelog, crate::VERSION);
        network.add_page(&url, 200, &log.to_json());
        let clock = Arc::new(ManualClock::default());
        let services = Services {
            resolver: Arc::new(dns),
            network: Arc::new(network),
            connector: Connector::new(Roots::default(), clock.clone()),
            clock,
        };
        assert_eq!(look(&services, &origin, None).await.unwrap(), want);
    }

    #[tokio::test]
    async fn changes_are_told_if_there_is_something_newer() {
        let current = format!("v{}", crate::VERSION);
        check(&current, &format!("last known: none\ncurrent: {current}\nlatest: {current}\n"))
            .await;
        let text = format!("last known: none\ncurrent: {current}\nlatest: v99.0.0\n");
        check("v99.0.0", &format!("{text}\nChangelog\n\n----\n\nbetter\n")).await;
    }
}
