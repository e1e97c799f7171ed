//! The look at the machine and its surroundings, before anything is made.

use std::time::Duration;

use anyhow::{Result, bail};
use mox_base::Domain;
use mox_checks::setup::{
    self, HostAddresses, HostName, addresses, blocklists, domain_age, hostname, interfaces, port25,
    resolver_validates, reverse,
};
use mox_checks::{Finding, Level, Services};
use mox_dns::{Lookups as _, Name};
use tokio::time::timeout;

use super::output::Output;
use super::settings::{BLOCK_LISTS, Machine};
use super::{Wishes, World};

/// How long all checks may take together. Each has an end of its own, and their sum is less.
pub(super) const SURVEY_WAIT: Duration = Duration::from_secs(75);

/// Hosts that are shown as those that get the mail of the domain now.
const SHOWN_HOSTS_MAX: usize = 5;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// The machine.
    pub(super) machine: Machine,
    /// Whether DNSSEC vouches for the addresses of its name.
    pub(super) is_secure: bool,
    /// The hosts that get the mail of the domain now.
    pub(super) mail_hosts: Vec<String>,
}

/// Looks, and tells what it finds.
///
/// # Errors
///
/// If DNS does not work, or the look takes too long or is interrupted.
pub(super) async fn survey(
    wishes: &Wishes,
    world: &World,
    output: &mut Output<'_>,
) -> Result<Survey> {
    let look = timeout(SURVEY_WAIT, look(wishes, world, output));
    tokio::select! {
        found = look => match found {
            Ok(found) => found,
            Err(_) => bail!(
                "the checks took longer than {} s: is the network slow? Start again, with -skipdial \
                 to leave out what asks others",
                SURVEY_WAIT.as_secs()
            ),
        },
        () = world.interrupt.cancelled() => bail!("interrupted"),
    }
}

async fn look(wishes: &Wishes, world: &World, output: &mut Output<'_>) -> Result<Survey> {
    let services = &world.services;
    let resolver = &*services.resolver;
    let domain = &wishes.address.domain;

    let validation = resolver_validates(resolver).await;
    let (level, what) = (validation.level, validation.what.clone());
    output.findings("the resolver", &[validation])?;
    if level == Level::Error {
        bail!("{what}");
    }

    let own = interfaces(&world.interfaces);
    let from = HostName {
        given: wishes.hostname.as_ref(),
        system: &world.system_name,
        domain,
        public: &own.public,
    };
    let (hostname, findings) = hostname(resolver, from).await;
    output.findings("what this machine is called", &findings)?;

    let (found, findings) = addresses(resolver, &hostname, &own).await;
    output.findings(&format!("the addresses of {hostname}"), &findings)?;

    beyond(wishes, services, &hostname, &found, output).await?;
    let mail_hosts = mail_hosts(services, domain, &hostname).await;
    let HostAddresses { public, nat, internal, is_secure, .. } = found;
    let machine = Machine { hostname, public_ips: public, nat_ips: nat, internal_ips: internal };
    Ok(Survey { machine, is_secure, mail_hosts })
}

/// What others say of this machine. All is asked at the same time.
async fn beyond(
    wishes: &Wishes,
    services: &Services,
    hostname: &Domain,
    found: &HostAddresses,
    output: &mut Output<'_>,
) -> Result<()> {
    let resolver = &*services.resolver;
    let zones: Vec<_> = BLOCK_LISTS.iter().filter_map(|list| Domain::parse(list).ok()).collect();
    // Of addresses that are wrong, the names are wrong too: that would be told twice.
    let named: &[_] = if found.is_resolved { &found.host } else { &[] };
    let dials = async {
        match wishes.skips_dial {
            true => None,
            false => {
                Some(tokio::join!(port25(services), domain_age(services, &wishes.address.domain)))
            }
        }
    };
    let (names, dialed, listed) = tokio::join!(
        reverse(resolver, hostname, named),
        dials,
        blocklists(resolver, &zones, &found.host)
    );
    if !named.is_empty() {
        output.findings("the names of those addresses", &names)?;
    }
    if let Some((port, age)) = dialed {
        output.findings("whether mail can go out", &[port])?;
        output.findings("the age of the domain", &[age])?;
    }
    if listed.is_empty() {
        return Ok(());
    }
    output.findings("block lists", &listed)
}

/// The hosts that get the mail of the domain now, if it is not this one.
async fn mail_hosts(services: &Services, domain: &Domain, hostname: &Domain) -> Vec<String> {
    let name = Name::from(domain);
    let Ok(Ok(found)) = timeout(setup::LOOKUP_WAIT, services.resolver.mx(&name)).await else {
        return Vec::new();
    };
    let own = Name::from(hostname);
    let others = found.records.iter().filter(|(_, host)| *host != own && *host != Name::root());
    others.take(SHOWN_HOSTS_MAX).map(|(_, host)| host.as_str().to_owned()).collect()
}

/// What is to be told if mail of the domain goes elsewhere now.
pub(super) fn mail_elsewhere(domain: &Domain, hosts: &[String]) -> Option<Finding> {
    if hosts.is_empty() {
        return None;
    }
    Some(Finding::warning(
        format!("mail to {domain} goes to {} now", hosts.join(", ")),
        "The records above change that: with them, mail arrives here, and mail that is sent by other \
         servers in the name of the domain may be refused (SPF, DMARC).\n\
         If the domain is in use, move its accounts first, add these servers to the SPF record for as \
         long as they send, and change the MX record last.",
    ))
}
