//! What mail programs are told to use: host, port and TLS for reading and for sending mail.
//!
//! Source: RFC 8314 §3 for what is preferred; RFC 6186 §3 has the same by DNS.

use std::fmt;

use mox_base::Domain;

use crate::{Config, Listener};

/// The listener that the internet reaches, which is preferred.
const PUBLIC: &str = "public";

/// The port of HTTPS, where IMAP and submission may be served too. RFC 7301.
pub const HTTPS_PORT: u16 = 443;

/// What a service is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Sending mail. RFC 6409.
    Submission,
    /// Reading mail. RFC 9051.
    Imap,
}

impl Protocol {
    /// The name by which it is asked for in the TLS handshake on [`HTTPS_PORT`].
    #[must_use]
    pub fn alpn(self) -> &'static str {
        match self {
            Self::Submission => "smtp",
            Self::Imap => "imap",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Submission => "Submission (SMTP)",
            Self::Imap => "IMAP",
        })
    }
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsMode {
    /// TLS from the start. What RFC 8314 §3 prefers.
    Immediate,
    /// STARTTLS, without which nobody logs in.
    StartTlsRequired,
    /// STARTTLS, for those who want it.
    StartTlsOptional,
    /// None: for networks that nobody listens on.
    Plain,
}

impl TlsMode {
    /// Whether mail programs are to use STARTTLS, be it required or not.
    #[must_use]
    pub fn is_starttls(self) -> bool {
        matches!(self, Self::StartTlsRequired | Self::StartTlsOptional)
    }

    fn of_plain_port(listener: &Listener, is_optional: bool) -> Self {
        match (&listener.tls, is_optional) {
            (None, _) => Self::Plain,
            (Some(_), true) => Self::StartTlsOptional,
            (Some(_), false) => Self::StartTlsRequired,
        }
    }
}

/// A service that mail programs may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What it is for.
    pub protocol: Protocol,
    /// The host to connect to, for which certificates are had.
    pub host: Domain,
    /// The TCP port.
    pub port: u16,
    /// How connections to it are protected.
    pub tls: TlsMode,
    /// The name of the listener that serves it.
    pub listener: String,
    /// Whether it is also served on [`HTTPS_PORT`], for clients that ask by ALPN.
    pub has_https_port: bool,
}

impl Service {
    /// A remark on its TLS, for people.
    #[must_use]
    pub fn note(&self) -> String {
        let text = match self.tls {
            TlsMode::Immediate => "with TLS",
            TlsMode::StartTlsRequired => "STARTTLS required",
            TlsMode::StartTlsOptional => "STARTTLS optional",
            TlsMode::Plain => "plain text, no STARTTLS configured",
        };
        if !self.has_https_port {
            return text.to_owned();
        }
        let alpn = self.protocol.alpn();
        format!("{text}; also served on port {HTTPS_PORT} with TLS ALPN \"{alpn}\"")
    }
}

/// The services that mail programs of a domain are to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For reading mail, if it can be read.
    pub imap: Option<Service>,
    /// For sending mail, if it can be sent.
    pub submission: Option<Service>,
}

/// The services that mail programs of a domain are to use: TLS from the start before STARTTLS, the
/// listener `public` before others, those by name.
///
/// Returns `None` if nobody has an address in the domain, as with domains for reports only.
#[must_use]
pub fn of(config: &Config, domain: &Domain) -> Option<Settings> {
    if !config.is_local_domain(domain) {
        return None;
    }
    let services = all(config, domain)?;
    // They come by listener and with TLS first, so that the first is the best.
    let first = |protocol| services.iter().find(|service| service.protocol == protocol).cloned();
    Some(Settings { imap: first(Protocol::Imap), submission: first(Protocol::Submission) })
}

/// All services that mail programs of a domain may use: the listener `public` before others, those
/// by name; in each those with TLS from the start first.
///
/// Returns `None` if the domain is not configured.
#[must_use]
pub fn all(config: &Config, domain: &Domain) -> Option<Vec<Service>> {
    let settings = config.domain(domain)?;
    let client_host = settings.client_settings_domain.as_deref();
    let mut listeners: Vec<_> = config.statics.listeners.iter().collect();
    listeners.sort_by_key(|(name, _)| *name != PUBLIC);
    let services = listeners.into_iter().flat_map(|(name, listener)| {
        let host = client_host.unwrap_or_else(|| config.listener_hostname(listener));
        of_listener(name, listener, host)
    });
    Some(services.collect())
}

fn of_listener(name: &str, listener: &Listener, host: &Domain) -> impl Iterator<Item = Service> {
    let (host, name) = (host.clone(), name.to_owned());
    let (submission, imap) = (&listener.submission, &listener.imap);
    let starttls = |is_optional| TlsMode::of_plain_port(listener, is_optional);
    [
        (
            Protocol::Submission,
            listener.submissions_port(),
            TlsMode::Immediate,
            listener.has_submission_on_https(),
        ),
        (Protocol::Imap, listener.imaps_port(), TlsMode::Immediate, listener.has_imap_on_https()),
        (
            Protocol::Submission,
            listener.submission_port(),
            starttls(submission.no_require_starttls),
            false,
        ),
        (Protocol::Imap, listener.imap_port(), starttls(imap.no_require_starttls), false),
    ]
    .into_iter()
    .filter_map(move |(protocol, port, tls, has_https_port)| {
        let (host, listener) = (host.clone(), name.clone());
        Some(Service { protocol, host, port: port?, tls, listener, has_https_port })
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mail.example.org
Listeners:
\tinternal:
\t\tIPs:
\t\t\t- 127.0.0.1
\t\tHostname: localhost
INTERNAL\tpublic:
\t\tIPs:
\t\t\t- 192.0.2.1
PUBLICPostmaster:
\tAccount: mjl
\tMailbox: Postmaster
";

    const DOMAINS_CONF: &str = "\
Domains:
\texample.org:
\t\tLocalpartCatchallSeparator: +
\texample.com:
\t\tClientSettingsDomain: imap.example.com
\treports.example:
\t\tDescription: reports only
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tmjl@example.org: nil
\t\t\tmjl@example.com: nil
";

    const TLS: &str =
        "\t\tTLS:\n\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: c\n\t\t\t\t\tKeyFile: k\n";

    fn config(internal: &str, public: &str) -> Config {
        let mox_conf = MOX_CONF.replace("INTERNAL", internal).replace("PUBLIC", public);
        Config::parse(Path::new(""), &mox_conf, DOMAINS_CONF).unwrap()
    }

    /// A service of a listener, as text of the file.
    fn service(name: &str, more: &str) -> String {
        let more: String = more.split_terminator(',').map(|l| format!("\t\t\t{l}\n")).collect();
        format!("\t\t{name}:\n\t\t\tEnabled: true\n{more}")
    }

    fn show(service: &Service) -> String {
        let Service { protocol, host, port, listener, .. } = service;
        format!("{protocol} {host}:{port} {listener}, {}", service.note())
    }

    #[track_caller]
    fn check(config: &Config, domain: &str, want: &[&str]) {
        let services = all(config, &Domain::parse(domain).unwrap()).unwrap();
        assert_eq!(services.iter().map(show).collect::<Vec<_>>(), want, "{domain}");
    }

    /// That the port of plain IMAP was given as that of IMAPS was a fault of the program this one
    /// follows.
    #[test]
    fn all_services_are_listed_with_their_ports() {
        let internal = [
            service("Submission", "NoRequireSTARTTLS: true"),
            service("IMAP", "Port: 1143,NoRequireSTARTTLS: true"),
        ];
        let public = [
            TLS.to_owned(),
            service("Submissions", "EnabledOnHTTPS: true"),
            service("IMAPS", "Port: 1993,EnabledOnHTTPS: true"),
            service("Submission", "Port: 1587"),
            service("IMAP", "NoRequireSTARTTLS: true"),
        ];
        let config = config(&internal.concat(), &public.concat());
        let also = "also served on port 443 with TLS ALPN";
        check(
            &config,
            "example.org",
            &[
                &format!(
                    "Submission (SMTP) mail.example.org:465 public, with TLS; {also} \"smtp\""
                ),
                &format!("IMAP mail.example.org:1993 public, with TLS; {also} \"imap\""),
                "Submission (SMTP) mail.example.org:1587 public, STARTTLS required",
                "IMAP mail.example.org:143 public, STARTTLS optional",
                "Submission (SMTP) localhost:587 internal, plain text, no STARTTLS configured",
                "IMAP localhost:1143 internal, plain text, no STARTTLS configured",
            ],
        );
        let hosts = all(&config, &Domain::parse("example.com").unwrap()).unwrap();
        assert!(hosts.iter().all(|service| service.host.ascii() == "imap.example.com"));
        assert_eq!(all(&config, &Domain::parse("other.example").unwrap()), None);
    }

    #[track_caller]
    fn check_chosen(internal: &str, public: &str, want: (Option<u16>, Option<u16>)) {
        let config = config(internal, public);
        let settings = of(&config, &Domain::parse("example.org").unwrap()).unwrap();
        let port = |service: Option<Service>| service.map(|service| service.port);
        assert_eq!((port(settings.imap), port(settings.submission)), want);
    }

    /// RFC 8314 §3.2, §3.3: TLS from the start is preferred.
    #[test]
    fn the_best_service_is_chosen() {
        let imap = service("IMAP", "");
        let imaps = service("IMAPS", "");
        let submission = service("Submission", "");
        let submissions = service("Submissions", "");
        let public = [TLS, &imap, &imaps, &submission, &submissions].concat();
        check_chosen("", &public, (Some(993), Some(465)));
        let public = [TLS, &imap, &submission].concat();
        check_chosen("", &public, (Some(143), Some(587)));
        // What the public listener has comes before what others have.
        let internal = [TLS, &imaps, &submissions].concat();
        check_chosen(&internal, &public, (Some(143), Some(587)));
        check_chosen(&internal, &[TLS, &submission].concat(), (Some(993), Some(587)));
        check_chosen("", "", (None, None));
    }

    #[test]
    fn domains_without_addresses_have_no_settings() {
        let config = config("", "");
        assert_eq!(of(&config, &Domain::parse("reports.example").unwrap()), None);
        assert_eq!(of(&config, &Domain::parse("other.example").unwrap()), None);
    }
}
