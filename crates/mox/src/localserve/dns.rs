//! The DNS that a localserve believes in: its own domains on this machine, and nothing else.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use mox_base::Domain;
use mox_config::{Config, Live};
use mox_dns::{Answer, Data, DnsError, Name, Pending, RecordType, Resolver, Security};
use mox_mailauth::dkim::PrivateKey;
use mox_net::blocking;

/// What mail from the own domains may come from: this machine.
const SPF: &str = "v=spf1 ip4:127.0.0.0/8 ip6:::1 a -all";

/// The preference of the one host that takes mail.
const MX_PREFERENCE: u16 = 10;

/// Answers without a network: the domains of the configuration are on this machine, and mail from
/// there passes SPF; their DKIM keys are those of the configuration; addresses of this machine are
/// called `localhost`. All names below that are this machine too (RFC 6761 §6.3), so that mail from
/// `ann@home.localhost` is from a proven sender: of a name of one label SPF says nothing (RFC 7208
/// §4.3). Nothing else exists.
///
/// Answers follow the configuration, so they may not be kept.
#[derive(Clone)]
pub(crate) struct LocalDns {
    config: Arc<Live>,
}

impl LocalDns {
    /// Of the domains of a configuration.
    pub(crate) fn new(config: Arc<Live>) -> Self {
        Self { config }
    }

    async fn answer(&self, name: &Name, kind: RecordType) -> Result<Answer, DnsError> {
        let config = self.config.snapshot();
        let mut records = records(&config, name);
        if let Some(path) = key_file(&config, name) {
            let (path, at) = (config.path(&path), name.clone());
            records.extend(blocking(move || key(&path, &at)).await);
        }
        let (exists, security, ttl_secs) = (!records.is_empty(), Security::Insecure, 0);
        records.retain(|record| record.kind() == kind);
        if records.is_empty() {
            return Err(DnsError::NotFound { exists, security, ttl_secs });
        }
        Ok(Answer { canonical: name.clone(), records, security, ttl_secs })
    }
}

impl Resolver for LocalDns {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        Box::pin(self.answer(name, kind))
    }
}

/// All that a name has, but for keys.
fn records(config: &Config, name: &Name) -> Vec<Data> {
    let ips = ips(config);
    if ips.iter().any(|ip| Name::reverse(*ip) == *name) {
        return Name::parse("localhost").into_iter().map(Data::Ptr).collect();
    }
    let is_domain = name.to_domain().is_some_and(|domain| config.is_configured_domain(&domain));
    let is_host = is_localhost(name) || *name == Name::from(config.hostname());
    if !is_domain && !is_host {
        return Vec::new();
    }
    let mut records: Vec<_> = ips
        .into_iter()
        .map(|ip| match ip {
            IpAddr::V4(ip) => Data::A(ip),
            IpAddr::V6(ip) => Data::Aaaa(ip),
        })
        .collect();
    records.push(Data::Txt(SPF.into()));
    if is_domain {
        records.push(Data::Mx { preference: MX_PREFERENCE, exchange: name.clone() });
    }
    records
}

/// Whether it is `localhost` or a name of hosts below it; those of records, with their underscores,
/// are none.
fn is_localhost(name: &Name) -> bool {
    let text = name.as_str();
    (text == "localhost" || text.ends_with(".localhost")) && !text.contains('_')
}

/// Where this machine is: loopback, and what is listened on.
fn ips(config: &Config) -> Vec<IpAddr> {
    let mut ips = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for ip in config.statics.listeners.values().flat_map(|listener| &listener.ips) {
        if !ip.is_unspecified() && !ips.contains(ip) {
            ips.push(*ip);
        }
    }
    ips
}

/// The file of the DKIM key that a name is of.
fn key_file(config: &Config, name: &Name) -> Option<String> {
    let (selector, domain) = name.as_str().split_once("._domainkey.")?;
    let domain = Domain::parse(domain).ok()?;
    let (_, settings) = config.dynamic.domains.iter().find(|(one, _)| one.0.0 == domain)?;
    // Selectors are as in the configuration, names in lower case. RFC 6376 §3.1.
    let mut selectors = settings.dkim.selectors.iter();
    let (_, found) = selectors.find(|(one, _)| one.eq_ignore_ascii_case(selector))?;
    Some(found.private_key_file.clone())
}

/// The record of a key. Blocks.
fn key(path: &Path, name: &Name) -> Option<Data> {
    let record = fs::read_to_string(path)
        .map_err(anyhow::Error::new)
        .and_then(|text| Ok(PrivateKey::from_pem(&text)?.record()?));
    match record {
        Ok(record) => Some(Data::Txt(record.to_string().into_bytes())),
        Err(error) => {
            tracing::error!(%name, path = %path.display(), %error, "the DKIM key cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use mox_base::{Address, UnixSeconds};
    use mox_config::{Dkim, NamedFiles, Selector as Settings};
    use mox_dns::Lookups as _;
    use mox_mailauth::dkim::{self, Selector};
    use mox_signing::SigningKeys;

    use super::*;
    use crate::localserve::{InitOptions, init};

    fn made(options: &InitOptions) -> (tempfile::TempDir, LocalDns) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ls");
        init(&path, options).unwrap();
        let (live, _) = Live::load(&path, NamedFiles::Check, UnixSeconds(0)).unwrap();
        (dir, LocalDns::new(Arc::new(live)))
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn not_found(exists: bool) -> DnsError {
        DnsError::NotFound { exists, security: Security::Insecure, ttl_secs: 0 }
    }

    #[tokio::test]
    async fn the_domain_is_on_this_machine() {
        let (_dir, dns) = made(&InitOptions::default());
        let ips = dns.ips(&name("localhost")).await.unwrap();
        let want: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        assert_eq!((ips.records.as_slice(), ips.security), (&want[..], Security::Insecure));
        let mx = dns.mx(&name("localhost")).await.unwrap();
        assert_eq!(mx.records, [(10, name("localhost"))]);
        assert_eq!(dns.txt(&name("localhost")).await.unwrap().records, [SPF.as_bytes()]);
        for ip in want {
            assert_eq!(dns.ptr(ip).await.unwrap().records, [name("localhost")]);
        }
        assert_eq!(dns.tlsa(&name("localhost")).await, Err(not_found(true)));
        assert_eq!(dns.txt(&name("home.localhost")).await.unwrap().records, [SPF.as_bytes()]);
        assert_eq!(dns.ips(&name("a.home.localhost")).await.unwrap().records, want);
    }

    #[tokio::test]
    async fn nothing_else_exists() {
        let (_dir, dns) = made(&InitOptions::default());
        for other in ["example.org", "_dmarc.localhost", "xlocalhost", "s._domainkey.localhost"] {
            assert_eq!(dns.txt(&name(other)).await, Err(not_found(false)), "{other}");
        }
        let elsewhere = "192.0.2.1".parse().unwrap();
        assert_eq!(dns.ptr(elsewhere).await, Err(not_found(false)));
        assert_eq!(dns.lookup(&Name::root(), RecordType::Ns).await, Err(not_found(false)));
    }

    #[tokio::test]
    async fn an_address_listened_on_is_this_machine() {
        let ip: IpAddr = "127.0.0.2".parse().unwrap();
        let (_dir, dns) = made(&InitOptions { ip: Some(ip), ..InitOptions::default() });
        assert!(dns.ips(&name("localhost")).await.unwrap().records.contains(&ip));
        assert_eq!(dns.ptr(ip).await.unwrap().records, [name("localhost")]);
    }

    /// What comes back from the queue is from who it says it is.
    #[tokio::test]
    async fn messages_of_the_account_verify() {
        let (_dir, dns) = made(&InitOptions::default());
        let config = dns.config.snapshot();
        let author = Address::parse("mox@localhost").unwrap();
        let keys = SigningKeys::new().of(&config, &author.domain).unwrap().unwrap();
        let (message, now) = ("From: mox@localhost\r\n\r\nx\r\n", UnixSeconds(1_750_000_000));
        let fields = keys.sign(&config, &author, message.as_bytes(), now).unwrap();
        let signed = format!("{fields}{message}");
        let verified = dkim::verify(&dns, signed.as_bytes(), now).await.unwrap();
        let states: Vec<_> = verified.iter().map(|one| (one.status, one.reason.clone())).collect();
        assert_eq!(states, [(dkim::Status::Pass, None)]);
    }

    /// RFC 6376 §3.6.2.1.
    #[tokio::test]
    async fn keys_of_the_configuration_are_published() {
        let (dir, dns) = made(&InitOptions::default());
        let key = PrivateKey::generate_ed25519().unwrap();
        let want = key.record().unwrap().to_string();
        fs::write(dir.path().join("ls/dkim.pem"), key.to_pem(None).unwrap()).unwrap();
        let snapshot = dns.config.snapshot();
        let mut dynamic = (*snapshot.dynamic).clone();
        let domain = dynamic.domains.values_mut().next().unwrap();
        let selector =
            |file: &str| Settings { private_key_file: file.to_owned(), ..Settings::default() };
        let selectors = [("Here", "dkim.pem"), ("gone", "gone.pem")];
        let selectors = selectors.map(|(name, file)| (name.to_owned(), selector(file)));
        domain.dkim = Dkim { selectors: selectors.into(), sign: Vec::new() };
        dynamic.write(&dir.path().join("ls/domains.conf")).unwrap();
        let (live, _) =
            Live::load(&dir.path().join("ls"), NamedFiles::Skip, UnixSeconds(0)).unwrap();
        let dns = LocalDns::new(Arc::new(live));
        let domain = Domain::parse("localhost").unwrap();
        let at = |text| Selector::parse(text).unwrap().key_name(&domain).unwrap();
        assert_eq!(dns.txt(&at("here")).await.unwrap().records, [want.into_bytes()]);
        assert_eq!(dns.txt(&at("gone")).await, Err(not_found(false)));
        assert_eq!(dns.txt(&at("other")).await, Err(not_found(false)));
    }
}
