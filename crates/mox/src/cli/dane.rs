//! `mox dane`.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use mox_base::{Domain, pem_without_fields};
use mox_dns::{Lookups as _, Name, Resolver, Tlsa};
use mox_net::tls::client::{TlsOutcome, Verify};
use mox_tlspolicy::dane::{self, Matching, Selector, Usage, record_text};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{PemObject as _, SectionKind};

use super::lookups::domain;
use super::network::{Network, host_and_port, over_network};
use super::{dane_mx, print};

/// Certificates and keys of servers that are published in signed zones (DANE).
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Dane {
    Dial(Dial),
    Dialmx(DialMx),
    Makerecord(MakeRecord),
}

/// Connect to a server with TLS from the start, and verify it by its TLSA records.
///
/// Prints the connection and the record that fits. Fails if there are no records, DNSSEC does not
/// vouch for them, or none fits.
#[derive(Debug, Args)]
pub(super) struct Dial {
    /// Usages of records that count: pkix-ta, pkix-ee, dane-ta and dane-ee, or their numbers,
    /// separated by commas. Default: all.
    #[arg(long, value_delimiter = ',', value_parser = usage)]
    usages: Vec<Usage>,
    /// Server, as in mail.example.org:443.
    #[arg(value_name = "HOST:PORT", value_parser = |text: &str| host_and_port(text, None))]
    server: (Domain, u16),
}

/// Connect to the servers that take mail for a domain, and verify them by their TLSA records.
///
/// Goes the way that mail goes: MX records, addresses and TLSA records, each with dnssec or without,
/// then STARTTLS with each server. Fails if none of them could be verified.
#[derive(Debug, Args)]
pub(super) struct DialMx {
    /// Name for EHLO. Default: that of this machine.
    #[arg(long, value_name = "NAME")]
    pub(super) ehlohostname: Option<String>,
    /// Domain of recipients.
    #[arg(value_parser = domain)]
    pub(super) domain: Domain,
    /// Connect to this server only.
    #[arg(value_parser = domain)]
    pub(super) host: Option<Domain>,
}

/// Print what a TLSA record must hold for a certificate or key.
///
/// Common is "dane-ee spki sha2-256", or "3 1 1": the key of the server by its hash. It stays the
/// same when the certificate is renewed with the same key.
#[derive(Debug, Args)]
pub(super) struct MakeRecord {
    /// How the record binds the server: pkix-ta (0), pkix-ee (1), dane-ta (2) or dane-ee (3). Mail
    /// servers look at the last two.
    #[arg(value_parser = usage)]
    usage: Usage,
    /// What of the certificate is compared: cert (0) or spki (1), its public key.
    #[arg(value_parser = selector)]
    selector: Selector,
    /// How: full (0), sha2-256 (1) or sha2-512 (2).
    #[arg(id = "match", value_parser = matching)]
    matching: Matching,
    /// PEM file with the certificate; for spki, a public or private key will do. Default: standard
    /// input.
    pem: Option<PathBuf>,
}

impl Dane {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Dial(Dial { usages, server: (host, port) }) => {
                over_network(&[], async |network| dial(network, &usages, &host, port).await)
            }
            Self::Dialmx(command) => dane_mx::run(&command),
            Self::Makerecord(command) => command.run(),
        }
    }
}

async fn dial(network: &Network, usages: &[Usage], host: &Domain, port: u16) -> Result<()> {
    let mut records = secure_records(&*network.resolver, host, port).await?;
    records.retain(|record| {
        let usage = Usage::from_number(record.usage);
        usages.is_empty() || usage.is_some_and(|usage| usages.contains(&usage))
    });
    if dane::usable_any(&records).is_empty() {
        bail!("none of the TLSA records can be used");
    }
    let conn = network.dial_host(host, port).await?;
    let verify = Verify {
        dane: Some(Arc::from(records)),
        all_usages: true,
        names: vec![host.clone()],
        ..Verify::default()
    };
    let peer = conn.peer();
    let (conn, outcome) = network.connector.connect(conn, &verify).await?;
    let version = conn.tls().map(|tls| tls.version.to_string()).unwrap_or_default();
    print(&format!("connected to {peer}, {version}\n{}", verified(&outcome)))?;
    conn.close().await;
    Ok(())
}

/// The records for a port of a host, which must be vouched for. RFC 6698 §4.1.
async fn secure_records(resolver: &dyn Resolver, host: &Domain, port: u16) -> Result<Vec<Tlsa>> {
    let name = Name::below(&format!("_{port}._tcp"), host)?;
    let found = resolver.tlsa(&name).await;
    let found = found.with_context(|| format!("look up TLSA records of {name}"))?;
    if !found.security.is_secure() {
        bail!("dnssec does not vouch for the TLSA records of {name}");
    }
    Ok(found.records)
}

/// Which record fits, and what authorities say.
pub(super) fn verified(outcome: &TlsOutcome) -> String {
    let record = match &outcome.dane {
        Some(Ok(found)) => record_text(&found.record),
        _ => "nothing".to_owned(),
    };
    let authorities = match outcome.pkix {
        Ok(()) => "vouch for it".to_owned(),
        Err(fault) => format!("do not: {fault}"),
    };
    format!("verified by {record}\nauthorities {authorities}\n")
}

impl MakeRecord {
    fn run(self) -> Result<()> {
        let text = match &self.pem {
            Some(path) => {
                std::fs::read(path).with_context(|| format!("read {}", path.display()))?
            }
            None => {
                let mut text = Vec::new();
                std::io::stdin().lock().read_to_end(&mut text).context("standard input")?;
                text
            }
        };
        print(&(self.record(&text)? + "\n"))
    }

    fn record(&self, pem: &[u8]) -> Result<String> {
        let part = part(self.selector, &pem_without_fields(pem))?;
        let record = Tlsa {
            usage: number(&self.usage, Usage::from_number),
            selector: number(&self.selector, Selector::from_number),
            matching: number(&self.matching, Matching::from_number),
            data: self.matching.data(&part),
        };
        Ok(record_text(&record))
    }
}

/// The number that stands for a value in a record.
fn number<T: PartialEq>(value: &T, from_number: fn(u8) -> Option<T>) -> u8 {
    (0..=3).find(|number| from_number(*number).as_ref() == Some(value)).unwrap_or(u8::MAX)
}

/// What is compared: of the first certificate, or the first key.
fn part(selector: Selector, pem: &[u8]) -> Result<Vec<u8>> {
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(|error| anyhow!("not PEM: {error}"))?;
        let found = match (kind, selector) {
            (SectionKind::Certificate, _) => selector.select(&der),
            (SectionKind::PublicKey, Selector::Spki) => Some(der),
            (
                SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey,
                Selector::Spki,
            ) => public_key(kind, der),
            _ => continue,
        };
        return found.context("certificate or key cannot be read");
    }
    match selector {
        Selector::Cert => bail!("no certificate in PEM"),
        Selector::Spki => bail!("no certificate or key in PEM"),
    }
}

fn public_key(kind: SectionKind, der: Vec<u8>) -> Option<Vec<u8>> {
    let key = PrivateKeyDer::from_pem(kind, der)?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).ok()?;
    Some(key.public_key()?.as_ref().to_vec())
}

/// Reads a name, or the number that stands for it. RFC 7218 §2.
fn named<T>(text: &str, names: &[&str], from_number: fn(u8) -> Option<T>) -> Result<T, String> {
    let index = names.iter().position(|name| text.eq_ignore_ascii_case(name));
    let number = index.and_then(|index| u8::try_from(index).ok()).or_else(|| text.parse().ok());
    let found = number.and_then(from_number);
    found.ok_or_else(|| format!("known are {} or their numbers, from 0", names.join(", ")))
}

fn usage(text: &str) -> Result<Usage, String> {
    named(text, &["pkix-ta", "pkix-ee", "dane-ta", "dane-ee"], Usage::from_number)
}

fn selector(text: &str) -> Result<Selector, String> {
    named(text, &["cert", "spki"], Selector::from_number)
}

fn matching(text: &str) -> Result<Matching, String> {
    named(text, &["full", "sha2-256", "sha2-512"], Matching::from_number)
}

#[cfg(test)]
mod tests {
    use mox_dns::{Data, FakeDns};
    use mox_testkit::certificates::Certified;
    use mox_tlspolicy::pkix::CertFault;
    use rcgen::PublicKeyData as _;

    use super::super::lookups::tests::now;
    use super::*;

    #[test]
    fn words_and_numbers_of_records() {
        // RFC 7218 §2.
        assert_eq!(usage("DANE-EE"), usage("3"));
        assert_eq!(usage("pkix-ta"), Ok(Usage::PkixTa));
        assert_eq!(selector("SPKI"), Ok(Selector::Spki));
        assert_eq!(matching("sha2-512"), matching("2"));
        for bad in ["4", "-1", "dane", ""] {
            assert!(usage(bad).unwrap_err().contains("dane-ta"), "{bad}");
        }
        assert!(selector("2").is_err() && matching("3").is_err());
    }

    fn record(words: [&str; 3], pem: &str) -> Result<String> {
        let [a, b, c] = words;
        let (usage, selector) = (usage(a).unwrap(), selector(b).unwrap());
        let command = MakeRecord { usage, selector, matching: matching(c).unwrap(), pem: None };
        command.record(pem.as_bytes())
    }

    /// RFC 6698 §2.1.
    #[test]
    fn records_are_made_of_certificates_and_keys() {
        let made = Certified::new(&["mx.example"]);
        let spki = Matching::Sha256.data(&made.key.subject_public_key_info());
        let want = record_text(&Tlsa { usage: 3, selector: 1, matching: 1, data: spki });
        let words = ["dane-ee", "spki", "sha2-256"];
        for pem in [made.cert_pem(), made.key.public_key_pem(), made.key_pem()] {
            assert_eq!(record(words, &pem).unwrap(), want, "{pem}");
        }
        // As quickstart writes host keys.
        let noted = made.key_pem().replacen("-----\n", "-----\nNote: TLS key\n\n", 1);
        assert_eq!(record(words, &noted).unwrap(), want);
        let both = format!("{}{}", made.key_pem(), made.cert_pem());
        let data = made.der().to_vec();
        let want = record_text(&Tlsa { usage: 2, selector: 0, matching: 0, data });
        assert_eq!(record(["2", "0", "0"], &both).unwrap(), want);
        let error = |words, pem: &str| record(words, pem).unwrap_err().to_string();
        assert_eq!(error(["2", "0", "0"], &made.key_pem()), "no certificate in PEM");
        assert_eq!(error(words, ""), "no certificate or key in PEM");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(error(words, broken), "certificate or key cannot be read");
        assert!(error(words, &made.cert_pem().replace("MII", "!!!")).starts_with("not PEM"));
    }

    /// RFC 6698 §4.1.
    #[test]
    fn records_must_be_vouched_for() {
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
        let mut dns = FakeDns::new();
        for name in ["_443._tcp.a.signed.example", "_443._tcp.a.open.example"] {
            dns.add(name, Data::Tlsa(record.clone()));
        }
        dns.sign("signed.example");
        let look_up = |host: &str, port| {
            now(secure_records(&dns, &Domain::parse(host).unwrap(), port))
                .map_err(|error| format!("{error:#}"))
        };
        assert_eq!(look_up("a.signed.example", 443), Ok(vec![record]));
        let want = "dnssec does not vouch for the TLSA records of _443._tcp.a.open.example.";
        assert_eq!(look_up("a.open.example", 443).unwrap_err(), want);
        let error = look_up("a.signed.example", 25).unwrap_err();
        assert!(error.ends_with("the name does not exist"), "{error}");
    }

    #[test]
    fn what_was_found_is_told() {
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![1, 2] };
        let found = dane::Match { record, depth: Some(0) };
        let mut outcome = TlsOutcome { pkix: Ok(()), dane: Some(Ok(found)), chain: Vec::new() };
        let want = "verified by 3 1 1 0102\nauthorities vouch for it\n";
        assert_eq!(verified(&outcome), want);
        outcome = TlsOutcome { pkix: Err(CertFault::Expired), dane: None, ..outcome };
        let want = "verified by nothing\nauthorities do not: certificate has expired\n";
        assert_eq!(verified(&outcome), want);
    }
}
