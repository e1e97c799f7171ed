//! Checks of listeners.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use mox_sconf::Path as Key;

use super::named_files::{Files, Pem};
use crate::finding::Checker;
use crate::{Listener, ListenerTls, Static, TlsVersion, WebService};

/// Who may use a port together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Alone,
    Http,
    Https,
}

/// A service that listens.
struct Service<'a> {
    name: &'static str,
    port: u16,
    sharing: Sharing,
    web: Option<&'a WebService>,
}

pub(super) fn listeners(statics: &Static, files: Files<'_>, checker: &mut Checker<'_>) {
    let mut bound = Bound::default();
    for (name, listener) in &statics.listeners {
        let key = Key::root().key("Listeners").key(name);
        addresses(listener, &key, checker);
        if let Some(tls) = &listener.tls {
            self::tls(tls, statics, &key.key("TLS"), files, checker);
        } else {
            without_tls(listener, &key, checker);
        }
        if listener.smtp.no_starttls && listener.smtp.require_starttls {
            let message = "excludes NoSTARTTLS: no mail would arrive; remove one";
            checker.fault(&key.key("SMTP").key("RequireSTARTTLS"), message);
        }
        let (autoconfig, mtasts) = (&listener.autoconfig_https, &listener.mtasts_https);
        let same_port = or_default(autoconfig.port, 443) == or_default(mtasts.port, 443);
        if autoconfig.enabled && mtasts.enabled && same_port && autoconfig.non_tls != mtasts.non_tls
        {
            let message = "must agree with that of MTASTSHTTPS, which is on the same port";
            checker.fault(&key.key("AutoconfigHTTPS").key("NonTLS"), message);
        }
        for service in services(listener, statics) {
            if let Some(web) = service.web {
                path(web, &key.key(service.name), checker);
            }
            bound.add(listener, name, &service, &key.key(service.name), checker);
        }
    }
}

fn addresses(listener: &Listener, key: &Key, checker: &mut Checker<'_>) {
    let mut seen = HashSet::new();
    for (index, ip) in listener.ips.iter().enumerate() {
        if !seen.insert(ip) {
            checker.fault(&key.key("IPs").index(index), format_args!("{ip} is named twice"));
        }
    }
    for (index, ip) in listener.nat_ips.iter().enumerate() {
        if ip.is_loopback() || ip.is_unspecified() {
            let message = "must be an address that the internet reaches";
            checker.fault(&key.key("NATIPs").index(index), format_args!("{ip} {message}"));
        }
    }
    if listener.ips_nated {
        match listener.nat_ips.is_empty() {
            true => checker.notice(&key.key("IPsNATed"), "is deprecated: use NATIPs"),
            false => checker.fault(&key.key("IPsNATed"), "excludes NATIPs: remove IPsNATed"),
        }
    }
}

fn tls(
    tls: &ListenerTls,
    statics: &Static,
    key: &Key,
    files: Files<'_>,
    checker: &mut Checker<'_>,
) {
    match (tls.acme.is_empty(), tls.key_certs.is_empty()) {
        (true, true) => checker.fault(key, "has no certificates: add KeyCerts, or ACME"),
        (false, false) => checker.fault(key, "has both ACME and KeyCerts: remove one"),
        _ => {}
    }
    if !tls.acme.is_empty() && !statics.acme.contains_key(&tls.acme) {
        let name = &tls.acme;
        checker.fault(
            &key.key("ACME"),
            format_args!("there is no provider {name:?}: add it to ACME at the top"),
        );
    }
    for (index, pair) in tls.key_certs.iter().enumerate() {
        let key = key.key("KeyCerts").index(index);
        files.pem(&pair.cert_file, Pem::Certificate, &key.key("CertFile"), checker);
        files.pem(&pair.key_file, Pem::PrivateKey, &key.key("KeyFile"), checker);
    }
    for (index, name) in tls.host_private_key_files.iter().enumerate() {
        let key = key.key("HostPrivateKeyFiles").index(index);
        files.pem(name, Pem::Pkcs8, &key, checker);
    }
    if let Some(version) = &tls.min_version
        && version.0 < TlsVersion::Tls12
    {
        // RFC 8996 §4 and §5.
        checker.notice(
            &key.key("MinVersion"),
            format_args!("{version} is not spoken any more: TLSv1.2 is the lowest"),
        );
    }
}

/// Checks that a listener without certificates has no service that needs them.
fn without_tls(listener: &Listener, key: &Key, checker: &mut Checker<'_>) {
    let submission = &listener.submission;
    let (autoconfig, mtasts) = (&listener.autoconfig_https, &listener.mtasts_https);
    let needing = [
        ("SMTP", listener.smtp.enabled && !listener.smtp.no_starttls),
        ("Submission", submission.enabled && !submission.no_require_starttls),
        ("Submissions", listener.submissions.enabled),
        ("IMAPS", listener.imaps.enabled),
        ("AccountHTTPS", listener.account_https.enabled),
        ("AdminHTTPS", listener.admin_https.enabled),
        ("WebmailHTTPS", listener.webmail_https.enabled),
        ("WebAPIHTTPS", listener.web_api_https.enabled),
        ("AutoconfigHTTPS", autoconfig.enabled && !autoconfig.non_tls),
        ("MTASTSHTTPS", mtasts.enabled && !mtasts.non_tls),
        ("WebserverHTTPS", listener.webserver_https.enabled),
    ];
    for (name, _) in needing.iter().filter(|(_, needs)| *needs) {
        let advice = match *name {
            "SMTP" => "or set NoSTARTTLS",
            "Submission" => "or set NoRequireSTARTTLS on a private network",
            _ => "or disable it",
        };
        let message = format_args!("needs certificates: add TLS to the listener, {advice}");
        checker.fault(&key.key(name), message);
    }
    if listener.imap.enabled && !listener.imap.no_require_starttls {
        // Deviation: RFC 9051 §11.1 leaves no other way than refusing the passwords. It is no
        // fault here, since files with it were accepted before.
        let message = "nobody can log in: add TLS to the listener, or set NoRequireSTARTTLS";
        checker.notice(&key.key("IMAP"), message);
    }
}

fn path(web: &WebService, key: &Key, checker: &mut Checker<'_>) {
    let key = key.key("Path");
    if web.path.is_empty() {
        return;
    }
    if !web.path.starts_with('/') {
        checker.fault(&key, "must start with a slash");
    }
    if !web.path.ends_with('/') {
        checker.notice(&key, "should end with a slash, which is added");
    }
}

fn or_default(port: u16, default: u16) -> u16 {
    if port == 0 { default } else { port }
}

/// The services that are enabled, with their ports.
fn services<'a>(listener: &'a Listener, statics: &Static) -> Vec<Service<'a>> {
    let mut services = Vec::new();
    let mut add = |name, port: Option<u16>, sharing, web| {
        services.extend(port.map(|port| Service { name, port, sharing, web }));
    };
    add("SMTP", listener.smtp_port(), Sharing::Alone, None);
    add("Submission", listener.submission_port(), Sharing::Alone, None);
    add("Submissions", listener.submissions_port(), Sharing::Alone, None);
    add("IMAP", listener.imap_port(), Sharing::Alone, None);
    add("IMAPS", listener.imaps_port(), Sharing::Alone, None);
    let provider = listener.tls.as_ref().and_then(|tls| statics.acme.get(&tls.acme));
    // Challenges within TLS (RFC 8737) come to the port of the provider, shared with HTTPS.
    add("TLS", provider.map(|acme| or_default(acme.port, 443)), Sharing::Https, None);
    let by_alpn = if listener.has_imap_on_https() { "IMAPS" } else { "Submissions" };
    add(by_alpn, listener.alpn_port(), Sharing::Https, None);
    for (name, web, sharing, port) in [
        ("AccountHTTP", &listener.account_http, Sharing::Http, 80),
        ("AccountHTTPS", &listener.account_https, Sharing::Https, 443),
        ("AdminHTTP", &listener.admin_http, Sharing::Http, 80),
        ("AdminHTTPS", &listener.admin_https, Sharing::Https, 443),
        ("WebmailHTTP", &listener.webmail_http, Sharing::Http, 80),
        ("WebmailHTTPS", &listener.webmail_https, Sharing::Https, 443),
        ("WebAPIHTTP", &listener.web_api_http, Sharing::Http, 80),
        ("WebAPIHTTPS", &listener.web_api_https, Sharing::Https, 443),
    ] {
        add(name, web.enabled.then(|| or_default(web.port, port)), sharing, Some(web));
    }
    let plain = |enabled: bool, port, default| enabled.then(|| or_default(port, default));
    let metrics = &listener.metrics_http;
    add("MetricsHTTP", plain(metrics.enabled, metrics.port, 8010), Sharing::Http, None);
    let pprof = &listener.pprof_http;
    add("PprofHTTP", plain(pprof.enabled, pprof.port, 8011), Sharing::Alone, None);
    for (name, policy) in
        [("AutoconfigHTTPS", &listener.autoconfig_https), ("MTASTSHTTPS", &listener.mtasts_https)]
    {
        let sharing = if policy.non_tls { Sharing::Http } else { Sharing::Https };
        add(name, plain(policy.enabled, policy.port, 443), sharing, None);
    }
    let (http, https) = (&listener.webserver_http, &listener.webserver_https);
    add("WebserverHTTP", plain(http.enabled, http.port, 80), Sharing::Http, None);
    add("WebserverHTTPS", plain(https.enabled, https.port, 443), Sharing::Https, None);
    services
}

/// The addresses and ports in use.
#[derive(Default)]
struct Bound<'a>(BTreeMap<u16, Vec<(IpAddr, &'a str, &'static str, Sharing)>>);

impl<'a> Bound<'a> {
    fn add(
        &mut self,
        listener: &Listener,
        name: &'a str,
        service: &Service<'_>,
        key: &Key,
        checker: &mut Checker<'_>,
    ) {
        let users = self.0.entry(service.port).or_default();
        let clash = users.iter().find(|(ip, other, _, sharing)| {
            let shares =
                name == *other && service.sharing != Sharing::Alone && service.sharing == *sharing;
            !shares && listener.ips.iter().any(|mine| overlap(*mine, *ip))
        });
        if let Some((ip, other, service_name, _)) = clash {
            let port = service.port;
            checker.fault(
                key,
                format_args!("port {port} of {ip} is used by {service_name} of listener {other:?}"),
            );
        }
        let ips = listener.ips.iter();
        users.extend(ips.map(|ip| (*ip, name, service.name, service.sharing)));
    }
}

fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}
