//! Which ports of a listener speak HTTP, and what is served there.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Config, Listener, WebService};

/// The port of HTTP.
const PORT_HTTP: u16 = 80;

/// The port of HTTPS.
const PORT_HTTPS: u16 = 443;

/// The port of metrics.
const PORT_METRICS: u16 = 8010;

/// What a port of HTTP serves by itself.
///
/// Pages for people are not among them yet: a port that only they would use is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpService {
    /// Answers to challenges by HTTP. RFC 8555 §8.3.
    AcmeHttp,
    /// Answers to challenges within TLS, before HTTP. RFC 8737.
    AcmeTlsAlpn,
    /// Settings for mail programs.
    Autoconfig,
    /// IMAP for those who ask for it by ALPN. RFC 7301.
    Imap,
    /// Numbers about the server.
    Metrics,
    /// MTA-STS policies. RFC 8461 §3.3.
    MtaSts,
    /// Submission for those who ask for it by ALPN.
    Submission,
}

/// A port of HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpPort {
    /// Its number.
    pub number: u16,
    /// Whether TLS begins before anything else.
    pub is_tls: bool,
    /// Whether requests come through a proxy, which says for whom.
    pub is_forwarded: bool,
    /// Whether clients may ask as often as they like.
    pub is_unlimited: bool,
    /// What is served.
    pub services: BTreeSet<HttpService>,
}

/// A setting that makes a listener offer something by HTTP.
struct Wish {
    enabled: bool,
    number: u16,
    default: u16,
    is_tls: bool,
    is_forwarded: bool,
    is_unlimited: bool,
    service: Option<HttpService>,
}

impl Wish {
    fn new(enabled: bool, number: u16, default: u16, is_tls: bool) -> Self {
        let (is_forwarded, is_unlimited, service) = (false, false, None);
        Self { enabled, number, default, is_tls, is_forwarded, is_unlimited, service }
    }

    fn pages(web: &WebService, is_tls: bool) -> Self {
        let default = if is_tls { PORT_HTTPS } else { PORT_HTTP };
        let wish = Self::new(web.enabled, web.port, default, is_tls);
        Self { is_forwarded: web.forwarded, ..wish }
    }

    fn serving(self, service: HttpService) -> Self {
        Self { service: Some(service), ..self }
    }
}

impl Config {
    /// The ports of a listener on which HTTP is spoken, in their order. Services that share a port
    /// share the rest too: if one is forwarded all are.
    #[must_use]
    pub fn http_ports(&self, listener: &Listener) -> Vec<HttpPort> {
        let mut ports: BTreeMap<u16, HttpPort> = BTreeMap::new();
        for wish in self.wishes(listener).into_iter().filter(|wish| wish.enabled) {
            let number = if wish.number == 0 { wish.default } else { wish.number };
            let port = ports.entry(number).or_default();
            port.number = number;
            port.is_tls |= wish.is_tls;
            port.is_forwarded |= wish.is_forwarded;
            port.is_unlimited |= wish.is_unlimited;
            port.services.extend(wish.service);
        }
        let has_acme = acme_provider(listener).is_some();
        for port in ports.values_mut().filter(|port| has_acme && !port.is_tls) {
            port.services.insert(HttpService::AcmeHttp);
        }
        ports.into_values().filter(|port| !port.services.is_empty()).collect()
    }

    fn wishes(&self, listener: &Listener) -> Vec<Wish> {
        let (autoconfig, mtasts) = (&listener.autoconfig_https, &listener.mtasts_https);
        let policy = |policy: &crate::PolicyService, service| {
            let wish = Wish::new(policy.enabled, policy.port, PORT_HTTPS, !policy.non_tls);
            Wish { is_forwarded: policy.forwarded, ..wish }.serving(service)
        };
        let metrics = &listener.metrics_http;
        let metrics = Wish::new(metrics.enabled, metrics.port, PORT_METRICS, false);
        let by_alpn = |enabled, service| Wish::new(enabled, 0, PORT_HTTPS, true).serving(service);
        let acme = acme_provider(listener).and_then(|name| self.statics.acme.get(name));
        let acme_port = acme.map_or(0, |acme| acme.port);
        let acme = Wish::new(acme.is_some(), acme_port, PORT_HTTPS, true);
        let (http, https) = (&listener.webserver_http, &listener.webserver_https);
        let webserver = |server: &crate::Webserver, default, is_tls| {
            let wish = Wish::new(server.enabled, server.port, default, is_tls);
            Wish { is_unlimited: server.rate_limit_disabled, ..wish }
        };
        vec![
            policy(autoconfig, HttpService::Autoconfig),
            policy(mtasts, HttpService::MtaSts),
            metrics.serving(HttpService::Metrics),
            by_alpn(listener.has_imap_on_https(), HttpService::Imap),
            by_alpn(listener.has_submission_on_https(), HttpService::Submission),
            acme.serving(HttpService::AcmeTlsAlpn),
            Wish::pages(&listener.account_http, false),
            Wish::pages(&listener.account_https, true),
            Wish::pages(&listener.admin_http, false),
            Wish::pages(&listener.admin_https, true),
            Wish::pages(&listener.webmail_http, false),
            Wish::pages(&listener.webmail_https, true),
            Wish::pages(&listener.web_api_http, false),
            Wish::pages(&listener.web_api_https, true),
            webserver(http, PORT_HTTP, false),
            webserver(https, PORT_HTTPS, true),
        ]
    }
}

/// The provider that certificates of a listener come from.
fn acme_provider(listener: &Listener) -> Option<&str> {
    let name = &listener.tls.as_ref()?.acme;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mail.example.org
ACME:
\tle:
\t\tDirectoryURL: https://acme.example/directory
\t\tRenewBefore: 720h
\t\tContactEmail: admin@example.org
Listeners:
\tpublic:
\t\tIPs:
\t\t\t- 192.0.2.1
LISTENERPostmaster:
\tAccount: mjl
\tMailbox: Postmaster
";

    const DOMAINS_CONF: &str = "\
Domains:
\texample.org: nil
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tmjl@example.org: nil
";

    const FILES: &str = "TLS:\n\tKeyCerts:\n\t\t-\n\t\t\tCertFile: c\n\t\t\tKeyFile: k\n";
    const ACME: &str = "TLS:\n\tACME: le\n";

    fn on(service: &str) -> String {
        format!("{service}:\n\tEnabled: true\n")
    }

    /// Wants one text for each port: number, `tls`, what is special, services.
    #[track_caller]
    fn check(listener: &[&str], want: &[&str]) {
        let lines: String = listener.concat().lines().map(|line| format!("\t\t{line}\n")).collect();
        let mox_conf = MOX_CONF.replace("LISTENER", &lines);
        let config = Config::parse(Path::new(""), &mox_conf, DOMAINS_CONF).unwrap();
        let found: Vec<_> = config.http_ports(&config.statics.listeners["public"]);
        let found: Vec<_> = found.iter().map(show).collect();
        assert_eq!(found, want, "{lines}");
    }

    fn show(port: &HttpPort) -> String {
        let mut text = port.number.to_string();
        let marks =
            [(port.is_tls, "tls"), (port.is_forwarded, "forwarded"), (port.is_unlimited, "free")];
        for (_, mark) in marks.iter().filter(|(is_set, _)| *is_set) {
            text.push_str(&format!(" {mark}"));
        }
        for service in &port.services {
            text.push_str(&format!(" {service:?}"));
        }
        text
    }

    #[test]
    fn services_share_ports() {
        let (autoconfig, mtasts) = (&on("AutoconfigHTTPS"), &on("MTASTSHTTPS"));
        let metrics = &on("MetricsHTTP");
        check(&[], &[]);
        check(&[metrics], &["8010 Metrics"]);
        check(&[metrics, "\tPort: 80\n"], &["80 Metrics"]);
        check(&[FILES, autoconfig, mtasts], &["443 tls Autoconfig MtaSts"]);
        check(
            &[FILES, autoconfig, mtasts, "\tPort: 8443\n", metrics],
            &["443 tls Autoconfig", "8010 Metrics", "8443 tls MtaSts"],
        );
        let behind = "\tPort: 81\n\tNonTLS: true\n";
        check(
            &[autoconfig, behind, "\tForwarded: true\n", mtasts, behind],
            &["81 forwarded Autoconfig MtaSts"],
        );
        let by_alpn = "\tEnabledOnHTTPS: true\n";
        check(&[FILES, &on("IMAPS"), by_alpn], &["443 tls Imap"]);
        check(
            &[FILES, &on("IMAPS"), by_alpn, &on("Submissions"), by_alpn, autoconfig],
            &["443 tls Autoconfig Imap Submission"],
        );
    }

    /// Pages open no port yet, but say how one is served that others open.
    #[test]
    fn pages_alone_open_no_port() {
        let (account, server) = (&on("AccountHTTP"), &on("WebserverHTTPS"));
        check(&[FILES, account, server], &[]);
        check(
            &[FILES, &on("AutoconfigHTTPS"), server, "\tRateLimitDisabled: true\n"],
            &["443 tls free Autoconfig"],
        );
    }

    /// RFC 8555 §8.3 wants port 80, RFC 8737 §3 port 443: both may be forwarded to others.
    #[test]
    fn challenges_of_acme_come_by_https_and_on_all_plain_ports() {
        check(&[ACME], &["443 tls AcmeTlsAlpn"]);
        check(&[ACME, &on("WebserverHTTP")], &["80 AcmeHttp", "443 tls AcmeTlsAlpn"]);
        check(
            &[ACME, &on("MTASTSHTTPS"), &on("MetricsHTTP")],
            &["443 tls AcmeTlsAlpn MtaSts", "8010 AcmeHttp Metrics"],
        );
    }
}
