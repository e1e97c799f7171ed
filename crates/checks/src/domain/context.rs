//! What all checks of a domain know.

use std::net::IpAddr;

use mox_admin::records::{self, Facts, Group, Purpose, Record, RecordData, RecordsError};
use mox_base::Domain;
use mox_config::{Config, DomainSettings, Listener};
use mox_dns::{DnsError, Found, Lookups as _, Name, Tlsa};

use super::HOSTS_MAX;
use super::result::Told;
use crate::Services;
use crate::setup::{InterfaceAddresses, interfaces, system_interfaces};

/// What is known before anything is asked. Read from files and the system.
pub(super) struct Known {
    /// The records that there should be; why not, if they cannot be told.
    pub(super) groups: Result<Vec<Group>, RecordsError>,
    /// The keys of this host; none if they cannot be read.
    pub(super) host_keys: Vec<Tlsa>,
    /// The addresses of the machine.
    pub(super) own: InterfaceAddresses,
}

impl Known {
    /// Reads it. Blocks.
    pub(super) fn read(config: &Config, domain: &Domain) -> Self {
        // Records of DANE are told as if DNSSEC were there: what is missing is told by itself.
        let facts = Facts { has_dnssec: true, acme_account_uri: None };
        Self {
            groups: records::groups(config, domain, &facts),
            host_keys: records::host_tlsa(config).unwrap_or_default(),
            own: system_interfaces().map(|all| interfaces(&all)).unwrap_or_default(),
        }
    }

    /// The records for a purpose.
    pub(super) fn records(&self, purpose: Purpose) -> impl Iterator<Item = &Record> {
        let groups = self.groups.as_deref().unwrap_or_default();
        let of_purpose = groups.iter().filter(move |group| group.purpose == purpose);
        of_purpose.flat_map(|group| &group.records)
    }

    /// The texts for a purpose, with their names.
    pub(super) fn texts(&self, purpose: Purpose) -> impl Iterator<Item = (&Name, &str)> {
        self.records(purpose).filter_map(|record| match &record.data {
            RecordData::Txt(text) => Some((&record.name, text.as_str())),
            _ => None,
        })
    }
}

/// What all checks get.
pub(super) struct Context<'a> {
    pub(super) services: &'a Services,
    pub(super) config: &'a Config,
    pub(super) domain: &'a Domain,
    pub(super) settings: &'a DomainSettings,
    pub(super) known: &'a Known,
}

/// An address of this server, and the name it has to lead back to.
pub(super) struct Sending<'a> {
    pub(super) ip: IpAddr,
    pub(super) host: &'a Domain,
}

impl Context<'_> {
    /// The name of the host.
    pub(super) fn host(&self) -> &Domain {
        self.config.hostname()
    }

    /// Tells to add records, those for a purpose.
    pub(super) fn add_records(&self, told: &mut Told, purpose: Purpose) {
        let lines: Vec<_> = self.known.records(purpose).map(ToString::to_string).collect();
        if !lines.is_empty() {
            told.instruction(format!("Make sure that DNS has:\n{}", indented(&lines.join("\n"))));
        }
    }

    /// Listeners that mail of others comes in by.
    pub(super) fn smtp_listeners(&self) -> impl Iterator<Item = &Listener> {
        let listeners = self.config.statics.listeners.values();
        listeners.filter(|listener| listener.smtp_port().is_some())
    }

    /// Whether the configuration says that its addresses cannot be compared.
    pub(super) fn has_unknown_ips(&self) -> bool {
        self.smtp_listeners().any(|listener| listener.ips_nated)
    }

    /// Whether an address is one of this server, as others see it.
    pub(super) fn is_ours(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.config.statics.listeners.values().any(|listener| {
            let mut ips = listener.ips.iter().chain(&listener.nat_ips);
            ips.any(|own| *own == ip || (own.is_unspecified() && self.known.own.contains(ip)))
        })
    }

    /// The addresses that mail is sent from, if they are written down: those of listeners, or their
    /// translations, then those of proxies.
    pub(super) fn sending(&self) -> Vec<Sending<'_>> {
        let mut all: Vec<Sending<'_>> = Vec::new();
        for listener in self.smtp_listeners().filter(|listener| !listener.ips_nated) {
            let ips = if listener.nat_ips.is_empty() { &listener.ips } else { &listener.nat_ips };
            let usable = ips.iter().filter(|ip| !ip.is_unspecified() && !ip.is_loopback());
            all.extend(usable.map(|ip| Sending { ip: *ip, host: self.host() }));
        }
        for socks in self.config.statics.transports.values().filter_map(|way| way.socks.as_ref()) {
            let host = &socks.remote_hostname.0;
            all.extend(socks.remote_ips.iter().map(|ip| Sending { ip: *ip, host }));
        }
        all.sort_by_key(|one| one.ip);
        all.dedup_by_key(|one| one.ip);
        all.truncate(HOSTS_MAX);
        all
    }

    /// The hosts that take mail for the domain. RFC 5321 §5.1.
    pub(super) async fn mail_hosts(&self) -> Result<Found<(u16, Name)>, DnsError> {
        let mut found = self.services.resolver.mx(&Name::from(self.domain)).await?;
        found.records.truncate(HOSTS_MAX);
        Ok(found)
    }

    /// The addresses of a name; none is an error.
    pub(super) async fn ips(&self, name: &Name) -> Result<Vec<IpAddr>, DnsError> {
        let mut ips = self.services.resolver.ips(name).await?.records;
        ips.truncate(HOSTS_MAX);
        Ok(ips)
    }

    /// The addresses of a name of ours: what is wrong with them is told.
    pub(super) async fn our_ips(&self, name: &Name, told: &mut Told) -> Vec<IpAddr> {
        let host = name.as_str();
        let ips = match self.ips(name).await {
            Ok(ips) => ips,
            Err(error) => {
                told.error(format!("look up addresses of {host}: {error}"));
                return Vec::new();
            }
        };
        if self.has_unknown_ips() {
            return ips;
        }
        for ip in ips.iter().filter(|ip| !self.is_ours(**ip)) {
            told.error(format!(
                "{host} leads to {ip}, which is not an address of this server by mox.conf"
            ));
            told.instruction(
                "Correct the A and AAAA records of the name, or the IPs of the public listener in \
                 mox.conf. If an address translation lies between, list its addresses as NATIPs.",
            );
        }
        ips
    }
}

/// Lines of records, set off from the text before.
pub(super) fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("\t{line}")).collect::<Vec<_>>().join("\n")
}
