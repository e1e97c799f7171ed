//! A domain where all is well, to be spoilt.

use std::sync::Arc;

use mox_base::Domain;
use mox_config::Config;
use mox_dns::{Data, FakeDns, Name, SilentDns, Tlsa};
use mox_mailauth::dkim::PrivateKey;
use mox_net::tls::client::Connector;
use mox_testkit::ManualClock;
use mox_testkit::certificates::{self, Authority, Certified};
use mox_tlspolicy::pkix::Roots;
use rustls::ALL_VERSIONS;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};
use tokio_rustls::TlsAcceptor;

use super::context::Known;
use super::result::Told;
use super::{CheckResult, check_known};
use crate::tests::NOW;
use crate::{FakeNetwork, Services};

const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mx.a.example
Listeners:
\tpublic:
\t\tIPs:
\t\t\t- 8.8.4.4
\t\tTLS:
\t\t\tKeyCerts:
\t\t\t\t-
\t\t\t\t\tCertFile: cert
\t\t\t\t\tKeyFile: key
\t\tSMTP:
\t\t\tEnabled: true
\t\tSubmissions:
\t\t\tEnabled: true
\t\tIMAPS:
\t\t\tEnabled: true
\t\tAutoconfigHTTPS:
\t\t\tEnabled: true
\t\tMTASTSHTTPS:
\t\t\tEnabled: true
Postmaster:
\tAccount: mjl
\tMailbox: Postmaster
HostTLSRPT:
\tAccount: mjl
\tMailbox: TLSRPT
\tLocalpart: tlsreports
";

const DOMAINS_CONF: &str = "\
Domains:
\ta.example:
\t\tDKIM:
\t\t\tSelectors:
\t\t\t\ts1:
\t\t\t\t\tPrivateKeyFile: s1.pem
\t\t\tSign:
\t\t\t\t- s1
\t\tDMARC:
\t\t\tLocalpart: dmarcreports
\t\t\tAccount: mjl
\t\t\tMailbox: DMARC
\t\tMTASTS:
\t\t\tPolicyID: 1
\t\t\tMode: enforce
\t\t\tMaxAge: 168h
\t\tTLSRPT:
\t\t\tLocalpart: tlsreports
\t\t\tAccount: mjl
\t\t\tMailbox: TLSRPT
Accounts:
\tmjl:
\t\tDomain: a.example
\t\tDestinations:
\t\t\tmjl@a.example: nil
";

const POLICY: &str = "version: STSv1\nmode: enforce\nmax_age: 604800\nmx: mx.a.example\n";

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Good,
    /// With a certificate for another name.
    OtherName,
    /// Without STARTTLS.
    NoTls,
    /// Greets like this.
    Says(&'static str),
    /// At once.
    Closes,
    /// Connections.
    Refuses,
}

/// A domain, its DNS and its servers.
pub(super) struct World {
    pub(super) dns: FakeDns,
    pub(super) known: Known,
    /// What is served; nothing if empty.
    pub(super) policy: String,
    mox_conf: String,
    domains_conf: String,
    dir: tempfile::TempDir,
    dkim: String,
    smtp: Server,
    https: Server,
    authority: Authority,
}

/// A record for a key.
pub(super) fn key(byte: u8) -> Tlsa {
    Tlsa { usage: 3, selector: 1, matching: 1, data: vec![byte; 32] }
}

/// All that was told, a line each, but for what to do.
pub(super) fn told(told: &Told) -> String {
    let errors = told.errors.iter().map(|text| format!("error: {text}\n"));
    errors.chain(told.warnings.iter().map(|text| format!("warning: {text}\n"))).collect()
}

impl World {
    /// One where all is well.
    pub(super) fn clean() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pem = |key: &PrivateKey| key.to_pem(None).unwrap();
        let dkim = PrivateKey::generate_ed25519().unwrap();
        std::fs::write(dir.path().join("s1.pem"), pem(&dkim)).unwrap();
        let known =
            Known { groups: Ok(Vec::new()), host_keys: Vec::new(), own: Default::default() };
        let mut world = Self {
            dns: FakeDns::new(),
            known,
            policy: POLICY.to_owned(),
            mox_conf: MOX_CONF.to_owned(),
            domains_conf: DOMAINS_CONF.to_owned(),
            dir,
            dkim: dkim.record().unwrap().to_string(),
            smtp: Server::Good,
            https: Server::Good,
            authority: certificates::root(certificates::authority_params("authority")),
        };
        world.read();
        world.dns = world.zone(&[], true);
        world
    }

    /// One whose DNS has the host only.
    pub(super) fn without_records() -> Self {
        let mut world = Self::clean();
        let mut dns = FakeDns::new();
        dns.add_ips("mx.a.example", &["8.8.4.4"]).add_ptr("8.8.4.4", "mx.a.example");
        dns.sign("example");
        world.dns = dns;
        world
    }

    fn zone(&self, without: &[&str], signed: bool) -> FakeDns {
        let mut dns = FakeDns::new();
        dns.add("com", Data::Ns(Name::parse("ns.example").unwrap()));
        dns.add_ips("mx.a.example", &["8.8.4.4"]).add_ptr("8.8.4.4", "mx.a.example");
        dns.add_mx("a.example", 10, "mx.a.example");
        for key in &self.known.host_keys {
            dns.add("_25._tcp.mx.a.example", Data::Tlsa(key.clone()));
        }
        for (name, text) in [
            ("a.example", "v=spf1 ip4:8.8.4.4 mx ~all"),
            ("mx.a.example", "v=spf1 a -all"),
            ("s1._domainkey.a.example", self.dkim.as_str()),
            ("_dmarc.a.example", "v=DMARC1;p=reject;rua=mailto:dmarcreports@a.example!10m"),
            ("_smtp._tls.a.example", "v=TLSRPTv1; rua=mailto:tlsreports@a.example"),
            ("_smtp._tls.mx.a.example", "v=TLSRPTv1; rua=mailto:tlsreports@mx.a.example"),
            ("_mta-sts.a.example", "v=STSv1; id=1"),
        ] {
            if !without.contains(&name) {
                dns.add_txt(name, text);
            }
        }
        let srv = |port, target: &str| Data::Srv {
            priority: 0,
            weight: u16::from(port != 0),
            port,
            target: Name::parse(target).unwrap(),
        };
        for (label, port) in [("_imaps", 993), ("_submissions", 465), ("_autodiscover", 443)] {
            dns.add(&format!("{label}._tcp.a.example"), srv(port, "mx.a.example"));
        }
        for label in ["_imap", "_submission", "_pop3", "_pop3s"] {
            dns.add(&format!("{label}._tcp.a.example"), srv(0, "."));
        }
        for label in ["autoconfig", "mta-sts"] {
            let target = Name::parse("mx.a.example").unwrap();
            dns.add(&format!("{label}.a.example"), Data::Cname(target));
        }
        if signed {
            dns.sign("example").sign("com");
        }
        dns
    }

    /// Takes DNSSEC away.
    pub(super) fn unsign(&mut self) {
        self.dns = self.zone(&[], false);
    }

    /// Has another text at a name. First of all changes to DNS.
    pub(super) fn replace_txt(&mut self, name: &str, text: &str) {
        self.dns = self.zone(&[name], true);
        self.dns.add_txt(name, text);
    }

    /// Publishes another DKIM key.
    pub(super) fn other_key(&mut self) {
        let record = PrivateKey::generate_ed25519().unwrap().record().unwrap().to_string();
        self.replace_txt("s1._domainkey.a.example", &record);
    }

    /// Changes `mox.conf`.
    pub(super) fn change(&mut self, change: impl FnOnce(String) -> String) {
        self.mox_conf = change(std::mem::take(&mut self.mox_conf));
        self.read();
    }

    /// Changes `domains.conf`.
    pub(super) fn change_dynamic(&mut self, change: impl FnOnce(String) -> String) {
        self.domains_conf = change(std::mem::take(&mut self.domains_conf));
        self.read();
    }

    /// Sends mail by a proxy, too.
    pub(super) fn add_proxy(&mut self) {
        self.change(|text| {
            text + "Transports:\n\tproxy:\n\t\tSocks:\n\t\t\tAddress: localhost:1080\n\t\t\tRemoteIPs:\n\
                    \t\t\t\t- 9.9.9.10\n\t\t\tRemoteHostname: proxy.example\n"
        });
    }

    pub(super) fn serve_smtp(&mut self, server: Server) {
        self.smtp = server;
    }

    pub(super) fn serve_https(&mut self, server: Server) {
        self.https = server;
    }

    fn config(&self) -> Config {
        Config::parse(self.dir.path(), &self.mox_conf, &self.domains_conf).unwrap()
    }

    fn read(&mut self) {
        let domain = Domain::parse("a.example").unwrap();
        self.known = Known::read(&self.config(), &domain);
        self.known.host_keys = vec![key(7)];
        assert!(self.known.groups.is_ok(), "{:?}", self.known.groups);
    }

    fn tls(&self, server: Server) -> TlsAcceptor {
        let names: &[&str] = match server {
            Server::OtherName => &["other.example"],
            _ => &["mx.a.example", "autoconfig.a.example"],
        };
        let made = Certified::signed_by(&certificates::params(names), &self.authority);
        TlsAcceptor::from(Arc::new(made.server(ALL_VERSIONS)))
    }

    fn network(&self) -> FakeNetwork {
        let mut network = FakeNetwork::new();
        if self.smtp != Server::Refuses {
            let (server, tls) = (self.smtp, self.tls(self.smtp));
            network.add_server("8.8.4.4:25".parse().unwrap(), move |conn| {
                tokio::spawn(smtp(conn, server, tls.clone()));
            });
        }
        if self.https != Server::Refuses {
            let tls = self.tls(self.https);
            network.add_server("8.8.4.4:443".parse().unwrap(), move |conn| {
                let tls = tls.clone();
                tokio::spawn(async move { tls.accept(conn).await.map(drop) });
            });
        }
        if !self.policy.is_empty() {
            let url = "https://mta-sts.a.example/.well-known/mta-sts.txt";
            network.add_page(url, 200, &self.policy);
        }
        network
    }

    /// Checks the domain.
    pub(super) fn check(&mut self) -> CheckResult {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dns = Arc::new(std::mem::take(&mut self.dns));
        let clock = Arc::new(ManualClock::at(NOW));
        let mut roots = Roots::default();
        roots.add(self.authority.der()).unwrap();
        let config = self.config();
        let result = runtime.block_on(async {
            let services = Services {
                resolver: dns.clone(),
                network: Arc::new(self.network()),
                connector: Connector::new(roots, clock.clone()),
                clock,
            };
            let domain = Domain::parse("a.example").unwrap();
            check_known(&services, &config, &domain, &self.known).await
        });
        self.dns = Arc::into_inner(dns).unwrap();
        result
    }
}

/// Serves a session until TLS is on.
async fn smtp(conn: DuplexStream, server: Server, tls: TlsAcceptor) -> std::io::Result<()> {
    let mut conn = BufReader::new(conn);
    let greeting = match server {
        Server::Closes => return Ok(()),
        Server::Says(text) => text,
        _ => "220 mx.a.example\r\n",
    };
    conn.write_all(greeting.as_bytes()).await?;
    let mut line = String::new();
    conn.read_line(&mut line).await?;
    let has_tls = server != Server::NoTls;
    let offered = if has_tls { "250-SIZE\r\n250 STARTTLS\r\n" } else { "250 SIZE\r\n" };
    conn.write_all(format!("250-mx.a.example\r\n{offered}").as_bytes()).await?;
    conn.read_line(&mut line).await?;
    assert!(line.starts_with("EHLO moxtest\r\n"), "{line}");
    if !line.ends_with("STARTTLS\r\n") {
        return Ok(());
    }
    conn.write_all(b"220 go on\r\n").await?;
    tls.accept(conn.into_inner()).await?;
    Ok(())
}

#[test]
fn a_clean_domain_says_nothing() {
    let result = World::clean().check();
    assert_eq!(result.to_string(), "");
    assert_eq!(result.domain, "a.example");
    assert!(result.spf.domain_record.is_some() && result.mta_sts.policy.is_some());
}

#[test]
fn a_domain_without_records_is_told_all_of_them() {
    let result = World::without_records().check();
    let text = result.to_string();
    for name in ["MX", "DANE", "SPF", "DKIM", "DMARC", "Host TLSRPT", "MTA-STS", "SRV conf"] {
        let is_expected = name != "DANE";
        assert_eq!(text.contains(&format!("# {name}\n")), is_expected, "{name}: {text}");
    }
    assert!(text.contains("\n\t\ta.example. MX 10 mx.a.example.\n"), "{text}");
}

/// A server that says nothing holds nobody up for ever.
#[tokio::test(start_paused = true)]
async fn the_whole_has_an_end() {
    let world = World::clean();
    let mut services = crate::tests::services(FakeDns::new(), FakeNetwork::new());
    services.resolver = Arc::new(SilentDns);
    let domain = Domain::parse("a.example").unwrap();
    let start = tokio::time::Instant::now();
    let result = check_known(&services, &world.config(), &domain, &world.known).await;
    assert_eq!(start.elapsed(), super::CHECK_WAIT);
    assert!(result.mx.told.errors == ["not done within 30 seconds"], "{result}");
}
