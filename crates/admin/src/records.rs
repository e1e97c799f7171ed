//! The DNS records that a domain needs, each with a word on what it is for.
//!
//! [`groups`] has them as values, for comparing with what DNS has; [`domain_records`] as lines of a
//! zone file. RFC 1035 §5.
//!
//! Not in here: addresses of hosts and their reverse names, which belong to whoever has the network.

mod print;

use std::net::IpAddr;

use mox_base::{Address, Domain};
use mox_config::client_settings::{self, Protocol, Service, TlsMode};
use mox_config::{Config, DomainSettings, ReportAddress};
use mox_dns::{Name, NameError, Tlsa};
use mox_mailauth::dkim::{self, PrivateKeyError};
use mox_signing::{SigningError, read_key};

use crate::keys::{HostKey, HostKeyKind, KeyError};

pub use print::{TTL_SECS, TXT_BYTES_MAX, zone_file};

/// The listener that the internet reaches.
pub const PUBLIC_LISTENER: &str = "public";

/// The port of HTTPS.
const HTTPS: u16 = 443;

/// Let's Encrypt: the directory, and its name in CAA records.
const LETS_ENCRYPT: (&str, &str) =
    ("https://acme-v02.api.letsencrypt.org/directory", "letsencrypt.org");

/// The largest report about DMARC that is wanted. RFC 7489 §6.2.
const DMARC_REPORT_SIZE: &str = "10m";

/// What is known besides the configuration.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether the zone is signed, so that DANE works: RFC 7672 §2.2.
    pub has_dnssec: bool,
    /// The account at the ACME provider, once there is one. RFC 8657 §3.
    pub acme_account_uri: Option<String>,
}

/// What a group of records is for, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Keys of the host. RFC 7672.
    Dane,
    /// Mail that the host itself sends. RFC 7208 §2.3.
    HostSpf,
    /// Reports about TLS connections to the host. RFC 8460.
    HostTlsRpt,
    /// Where mail goes. RFC 5321 §5.1.
    Mx,
    /// Keys of signatures. RFC 6376 §3.6.
    Dkim,
    /// From where mail comes. RFC 7208.
    Spf,
    /// What is to happen with mail of others. RFC 9989.
    Dmarc,
    /// That TLS is required. RFC 8461 §3.
    MtaSts,
    /// Reports about TLS connections for the domain. RFC 8460.
    TlsRpt,
    /// The host for mail programs.
    ClientSettings,
    /// Settings of mail programs.
    Autoconfig,
    /// The services for mail programs. RFC 6186, RFC 8314 §5.1.
    Services,
    /// Who may issue certificates. RFC 8659.
    Caa,
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData {
    /// RFC 8659 §4.
    Caa {
        /// The property, such as `issue`.
        tag: &'static str,
        /// Its value.
        value: String,
    },
    /// RFC 1035 §3.3.1.
    Cname(Name),
    /// RFC 1035 §3.3.9.
    Mx {
        /// Lower is tried earlier.
        preference: u16,
        /// The host.
        exchange: Name,
    },
    /// RFC 2782.
    Srv {
        /// Lower is tried earlier.
        priority: u16,
        /// The share among those of the same priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The host; the root if there is no such service.
        target: Name,
    },
    /// RFC 6698 §2.1.
    Tlsa(Tlsa),
    /// RFC 1035 §3.3.14, before it is split into strings.
    Txt(String),
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub name: Name,
    /// Its content.
    pub data: RecordData,
    /// Whether it is shown for later only: not to be added as things are.
    pub is_for_later: bool,
}

impl Record {
    fn new(name: Name, data: RecordData) -> Self {
        Self { name, data, is_for_later: false }
    }

    fn txt(name: Name, text: impl Into<String>) -> Self {
        Self::new(name, RecordData::Txt(text.into()))
    }
}

/// Records that are for the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What they are for.
    pub purpose: Purpose,
    /// That in words, as lines.
    pub comment: Vec<String>,
    /// The records; none if the words say why there are none.
    pub records: Vec<Record>,
}

/// Why records cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// The domain is not in the configuration.
    #[error("no such domain: {0}")]
    UnknownDomain(Domain),
    /// A name is too long for DNS.
    #[error("name of a record")]
    Name(#[from] NameError),
    /// A DKIM key cannot be read.
    #[error("DKIM key")]
    Dkim(#[from] SigningError),
    /// A DKIM key cannot be printed.
    #[error("DKIM key of selector {selector}")]
    DkimRecord {
        /// The selector.
        selector: String,
        /// Why.
        #[source]
        source: PrivateKeyError,
    },
    /// The name of a DKIM selector is none.
    #[error("bad name of a DKIM selector: {0:?}")]
    Selector(String),
    /// A key of the host cannot be read.
    #[error("host key")]
    HostKey(#[from] KeyError),
}

/// All records of a domain as lines of a zone file, with comments. Blocks on files with keys.
///
/// # Errors
///
/// If there is no such domain, or a key cannot be read.
pub fn domain_records(
    config: &Config,
    domain: &Domain,
    facts: &Facts,
) -> Result<Vec<String>, RecordsError> {
    Ok(zone_file(&groups(config, domain, facts)?))
}

/// All records of a domain, by what they are for. Blocks on files with keys.
///
/// # Errors
///
/// If there is no such domain, or a key cannot be read.
pub fn groups(config: &Config, domain: &Domain, facts: &Facts) -> Result<Vec<Group>, RecordsError> {
    let unknown = || RecordsError::UnknownDomain(domain.clone());
    let settings = config.domain(domain).ok_or_else(unknown)?;
    let of = Of { config, domain, settings, host: config.hostname(), facts };
    let mut groups = vec![of.dane()?];
    if of.host != domain {
        groups.push(of.host_spf()?);
        groups.extend(of.host_tlsrpt()?);
    }
    groups.extend([of.mx()?, of.dkim()?, of.spf()?, of.dmarc()?, of.mtasts()?]);
    groups.extend(of.tlsrpt()?);
    groups.extend(of.client_settings()?);
    groups.extend([of.autoconfig()?, of.services()?]);
    groups.extend(of.caa()?);
    Ok(groups)
}

/// The keys of this host that DANE records name, as `3 1 1`: those of the public listener, ECDSA
/// before RSA. Blocks on files.
///
/// # Errors
///
/// If a key cannot be read.
pub fn host_tlsa(config: &Config) -> Result<Vec<Tlsa>, KeyError> {
    let listener = config.statics.listeners.get(PUBLIC_LISTENER);
    let tls = listener.and_then(|listener| listener.tls.as_ref());
    let files = tls.map(|tls| tls.host_private_key_files.as_slice()).unwrap_or_default();
    let mut hashes: Vec<(HostKeyKind, Vec<u8>)> = Vec::new();
    for file in files {
        let key = match HostKey::read(&config.path(file)) {
            // The listener passes over it too.
            Err(KeyError::NotHostKey(_)) => continue,
            key => key?,
        };
        hashes.push((key.kind(), key.spki_sha256()?));
    }
    hashes.sort();
    let tlsa = |(_, data)| Tlsa { usage: 3, selector: 1, matching: 1, data };
    Ok(hashes.into_iter().map(tlsa).collect())
}

/// The addresses that mail is sent from as far as they are known: of listeners with SMTP, or what
/// stands for them outside, and of SOCKS proxies. IPv4 first, in order.
#[must_use]
pub fn sending_ips(config: &Config) -> Vec<IpAddr> {
    let listeners = config.statics.listeners.values();
    let of_listeners = listeners
        .filter(|listener| listener.smtp_port().is_some() && !listener.ips_nated)
        .flat_map(|listener| match listener.nat_ips.as_slice() {
            [] => &listener.ips,
            _ => &listener.nat_ips,
        });
    let proxies = config.statics.transports.values().filter_map(|way| way.socks.as_ref());
    let mut ips: Vec<IpAddr> = of_listeners
        .chain(proxies.flat_map(|proxy| &proxy.remote_ips))
        .filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
        .copied()
        .collect();
    ips.sort_unstable();
    ips.dedup();
    ips
}

/// What records are made from.
struct Of<'a> {
    config: &'a Config,
    domain: &'a Domain,
    settings: &'a DomainSettings,
    host: &'a Domain,
    facts: &'a Facts,
}

fn name(domain: &Domain) -> Result<Name, NameError> {
    Name::parse(domain.ascii())
}

fn group(purpose: Purpose, comment: &str, records: Vec<Record>) -> Group {
    Group { purpose, comment: comment.lines().map(str::to_owned).collect(), records }
}

impl Of<'_> {
    fn below(&self, labels: &str) -> Result<Name, NameError> {
        Name::below(labels, self.domain)
    }

    /// RFC 7672 §3.1.1: `3 1 1` is what others are sure to understand.
    fn dane(&self) -> Result<Group, RecordsError> {
        let tlsa = host_tlsa(self.config)?;
        let name = Name::below("_25._tcp", self.host)?;
        let is_for_later = !self.facts.has_dnssec;
        let record =
            |tlsa| Record { name: name.clone(), data: RecordData::Tlsa(tlsa), is_for_later };
        let records: Vec<_> = tlsa.into_iter().map(record).collect();
        let comment = match (records.is_empty(), is_for_later) {
            (true, _) => {
                "DANE: the public listener has no HostPrivateKeyFiles, so that no key outlives its\n\
                 certificate. There is nothing to publish."
            }
            (false, true) => {
                "DANE: other servers make sure of this host by its keys. That needs DNSSEC, which the\n\
                 zone does not have, or the DNS resolver does not check: add these when it does."
            }
            (false, false) => {
                "DANE: other servers make sure of this host by these keys, so that nobody in between\n\
                 can read or redirect mail. Each new certificate is made with one of them."
            }
        };
        Ok(group(Purpose::Dane, comment, records))
    }

    fn host_spf(&self) -> Result<Group, RecordsError> {
        let comment = "The host may send mail of its own, such as notices without sender, from its\n\
                       addresses. Once for the host, whatever the number of domains.";
        let record = Record::txt(name(self.host)?, "v=spf1 a -all");
        Ok(group(Purpose::HostSpf, comment, vec![record]))
    }

    fn host_tlsrpt(&self) -> Result<Option<Group>, RecordsError> {
        let Some(settings) = &self.config.statics.host_tlsrpt else { return Ok(None) };
        let address =
            Address { localpart: settings.localpart.0.clone(), domain: self.host.clone() };
        let comment =
            "Others report here how TLS connections to the host went, where DANE was used.";
        let record = Record::txt(Name::below("_smtp._tls", self.host)?, tlsrpt(&address));
        Ok(Some(group(Purpose::HostTlsRpt, comment, vec![record])))
    }

    fn mx(&self) -> Result<Group, RecordsError> {
        let data = RecordData::Mx { preference: 10, exchange: name(self.host)? };
        let comment = "Mail for the domain goes to this host.";
        Ok(group(Purpose::Mx, comment, vec![Record::new(name(self.domain)?, data)]))
    }

    /// RFC 6376 §3.6.2.1.
    fn dkim(&self) -> Result<Group, RecordsError> {
        let mut records = Vec::new();
        for (selector, settings) in &self.settings.dkim.selectors {
            let key = read_key(&self.config.path(&settings.private_key_file))?;
            let bad = || RecordsError::Selector(selector.clone());
            let parsed = dkim::Selector::parse(selector).map_err(|_| bad())?;
            let text = key.record().map_err(|source| RecordsError::DkimRecord {
                selector: selector.clone(),
                source,
            })?;
            records.push(Record::txt(parsed.key_name(self.domain)?, text.to_string()));
        }
        let comment = match records.is_empty() {
            true => "DKIM: the domain has no keys, so that its mail is not signed.",
            false => {
                "DKIM: mail of the domain is signed, and others check that with these keys. A key\n\
                 that does not sign yet is here so that it is known when it does."
            }
        };
        Ok(group(Purpose::Dkim, comment, records))
    }

    /// RFC 7208 §10.1.2: a soft fail leaves it to DMARC, which also knows of signatures.
    fn spf(&self) -> Result<Group, RecordsError> {
        let mut text = "v=spf1".to_owned();
        for ip in sending_ips(self.config) {
            let mechanism = if ip.is_ipv4() { "ip4" } else { "ip6" };
            text.push_str(&format!(" {mechanism}:{ip}"));
        }
        text.push_str(" mx ~all");
        let comment = "SPF: mail of the domain comes from these addresses. Of mail from elsewhere DMARC\n\
                       decides, which also goes by DKIM, so that forwarded mail is not lost.";
        Ok(group(Purpose::Spf, comment, vec![Record::txt(name(self.domain)?, text)]))
    }

    /// The address of reports, and whether it is in another domain.
    fn reports_to(&self, to: &ReportAddress) -> (Address, bool) {
        let domain = to.domain.as_deref().unwrap_or(self.domain).clone();
        let is_elsewhere = domain != *self.domain;
        (Address { localpart: to.localpart.0.clone(), domain }, is_elsewhere)
    }

    /// RFC 9989 §4.7, RFC 9990 §4 for reports that go to another domain.
    fn dmarc(&self) -> Result<Group, RecordsError> {
        let mut text = "v=DMARC1;p=reject".to_owned();
        let mut records = Vec::new();
        let mut comment =
            "DMARC: mail that pretends to be of the domain and is neither signed nor sent by it\n\
                           is to be refused."
                .to_owned();
        if let Some(to) = &self.settings.dmarc {
            let (address, is_elsewhere) = self.reports_to(to);
            text.push_str(&format!(";rua={}!{DMARC_REPORT_SIZE}", mailto(&address)));
            comment.push_str(" Others report daily what they saw.");
            if is_elsewhere {
                let labels = format!("{}._report._dmarc", self.domain.ascii());
                let name = Name::below(&labels, &address.domain)?;
                records.push(Record::txt(name, "v=DMARC1"));
                comment.push_str("\nThe second record says that the other domain wants them.");
            }
        }
        records.insert(0, Record::txt(self.below("_dmarc")?, text));
        Ok(group(Purpose::Dmarc, &comment, records))
    }

    /// RFC 8461 §3.1, §8.2.
    fn mtasts(&self) -> Result<Group, RecordsError> {
        let Some(policy) = &self.settings.mtasts else {
            let comment = "MTA-STS: the domain has no policy. With one, others deliver only with verified TLS.";
            return Ok(group(Purpose::MtaSts, comment, Vec::new()));
        };
        let comment = "MTA-STS: others get a policy by HTTPS that says to deliver only with verified TLS. The\n\
                       id tells them of a new one: change it after each change of the policy.";
        let text = format!("v=STSv1; id={}", policy.policy_id);
        let records = vec![
            Record::new(self.below("mta-sts")?, RecordData::Cname(name(self.host)?)),
            Record::txt(self.below("_mta-sts")?, text),
        ];
        Ok(group(Purpose::MtaSts, comment, records))
    }

    fn tlsrpt(&self) -> Result<Option<Group>, RecordsError> {
        let Some(to) = &self.settings.tlsrpt else { return Ok(None) };
        let (address, _) = self.reports_to(to);
        let comment =
            "Others report here how TLS connections for the domain went, where MTA-STS was used.";
        let record = Record::txt(self.below("_smtp._tls")?, tlsrpt(&address));
        Ok(Some(group(Purpose::TlsRpt, comment, vec![record])))
    }

    /// The host that mail programs are told to use.
    fn client_host(&self) -> &Domain {
        self.settings.client_settings_domain.as_deref().unwrap_or(self.host)
    }

    fn client_settings(&self) -> Result<Option<Group>, RecordsError> {
        let client = self.client_host();
        if client == self.host {
            return Ok(None);
        }
        if client == self.domain {
            // RFC 1034 §3.6.2: other records of the name forbid a CNAME.
            let comment = "Mail programs use the name of the domain itself: it needs the addresses of the\n\
                           host, as A and AAAA records.";
            return Ok(Some(group(Purpose::ClientSettings, comment, Vec::new())));
        }
        let comment = "Mail programs use this name, so that the host can change without them.";
        let record = Record::new(name(client)?, RecordData::Cname(name(self.host)?));
        Ok(Some(group(Purpose::ClientSettings, comment, vec![record])))
    }

    fn autoconfig(&self) -> Result<Group, RecordsError> {
        let has = |listener: &mox_config::Listener| listener.autoconfig_https.enabled;
        if !self.config.statics.listeners.values().any(has) {
            let comment =
                "Mail programs can find their settings by HTTPS: no listener has AutoconfigHTTPS.";
            return Ok(group(Purpose::Autoconfig, comment, Vec::new()));
        }
        let comment = "Mail programs find their settings here by HTTPS.";
        let records = vec![
            Record::new(self.below("autoconfig")?, RecordData::Cname(name(self.host)?)),
            Record::new(self.below("_autodiscover._tcp")?, srv(1, HTTPS, name(self.host)?)),
        ];
        Ok(group(Purpose::Autoconfig, comment, records))
    }

    /// RFC 6186 §3.4 for services that are not there.
    fn services(&self) -> Result<Group, RecordsError> {
        let services = client_settings::all(self.config, self.domain).unwrap_or_default();
        let has_public = self.config.statics.listeners.contains_key(PUBLIC_LISTENER);
        let reached: Vec<&Service> = services
            .iter()
            .filter(|service| !has_public || service.listener == PUBLIC_LISTENER)
            .collect();
        let port = |protocol, is_immediate| {
            let wanted = |service: &&&Service| match is_immediate {
                true => service.tls == TlsMode::Immediate,
                false => service.tls.is_starttls(),
            };
            let mut found = reached.iter().filter(wanted);
            found.find(|service| service.protocol == protocol).map(|service| service.port)
        };
        let known = [
            ("_imaps", port(Protocol::Imap, true)),
            ("_submissions", port(Protocol::Submission, true)),
            ("_imap", port(Protocol::Imap, false)),
            ("_submission", port(Protocol::Submission, false)),
            ("_pop3", None),
            ("_pop3s", None),
        ];
        let mut records = Vec::new();
        let offered = known.iter().filter(|(_, port)| port.is_some());
        for (label, port) in offered.chain(known.iter().filter(|(_, port)| port.is_none())) {
            let data = match port {
                Some(port) => srv(1, *port, name(self.client_host())?),
                None => srv(0, 0, Name::root()),
            };
            records.push(Record::new(self.below(&format!("{label}._tcp"))?, data));
        }
        let comment = "Mail programs find the services here. Those with a dot for a host are not offered:\n\
                       saying so is optional, and spares mail programs from trying.";
        Ok(group(Purpose::Services, comment, records))
    }

    /// The name of the ACME provider of the public listener in CAA records.
    fn issuer(&self) -> Option<&str> {
        let statics = &self.config.statics;
        let tls = statics.listeners.get(PUBLIC_LISTENER)?.tls.as_ref()?;
        let provider = statics.acme.get(&tls.acme)?;
        match provider.issuer_domain_name.as_str() {
            "" if provider.directory_url == LETS_ENCRYPT.0 => Some(LETS_ENCRYPT.1),
            "" => None,
            issuer => Some(issuer),
        }
    }

    /// RFC 8659 §4.2; RFC 8657 §3, §4 for the parameters.
    fn caa(&self) -> Result<Option<Group>, RecordsError> {
        let Some(issuer) = self.issuer() else { return Ok(None) };
        let issue = |name, value| Record::new(name, RecordData::Caa { tag: "issue", value });
        let mut records = vec![issue(name(self.domain)?, issuer.to_owned())];
        let mut comment =
            "Only this provider may issue certificates for names in the domain. Leave it out if\n\
                           others do so too."
                .to_owned();
        let Some(account) = &self.facts.acme_account_uri else {
            comment.push_str(
                "\nOnce the account at the provider is known, records that allow only this server\n\
                 to get certificates are shown here too.",
            );
            return Ok(Some(group(Purpose::Caa, &comment, records)));
        };
        comment.push_str(
            "\nThe others are stricter: only this account, and only by ways that this server answers.\n\
             They take the place of the first. A name with a CNAME has no other records: there it is\n\
             the target that counts.",
        );
        let value =
            format!("{issuer}; accounturi={account}; validationmethods=tls-alpn-01,http-01");
        let client = self.client_host();
        let is_ours = |host: &&Domain| host.is_within(self.domain) && *host != self.domain;
        let hosts = [client, self.host];
        let mut names = vec![name(self.domain)?, self.below("autoconfig")?, self.below("mta-sts")?];
        for host in hosts.into_iter().filter(is_ours) {
            names.push(name(host)?);
        }
        names.dedup();
        records.extend(
            names
                .into_iter()
                .map(|name| Record { is_for_later: true, ..issue(name, value.clone()) }),
        );
        Ok(Some(group(Purpose::Caa, &comment, records)))
    }
}

fn srv(weight: u16, port: u16, target: Name) -> RecordData {
    RecordData::Srv { priority: 0, weight, port, target }
}

/// RFC 8460 §3.
fn tlsrpt(address: &Address) -> String {
    format!("v=TLSRPTv1; rua={}", mailto(address))
}

/// An address as URI. RFC 6068 §2; `!`, `,` and `;` have a meaning around it (RFC 7489 §6.2).
fn mailto(address: &Address) -> String {
    let mut uri = "mailto:".to_owned();
    for byte in address.localpart.to_string().bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'+' => uri.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => uri.push(byte.into()),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("{uri}@{}", address.domain.ascii())
}

#[cfg(test)]
mod tests;
