//! The keys of a listener: addresses and the services offered on them.

use std::net::IpAddr;

use mox_base::Domain;
use mox_sconf::{Duration, settings};

use crate::text::{Text, words};

/// The largest message taken where the listener does not say, in bytes.
pub const MESSAGE_BYTES_DEFAULT: u64 = 100 << 20;

/// How long a message of a first-time sender waits where the listener does not say.
pub const FIRST_TIME_SENDER_DELAY_DEFAULT: Duration = Duration::from_secs(15);

words! {
    /// The lowest version of TLS spoken.
    pub enum TlsVersion, "TLS version", {
        /// Not spoken any more (RFC 8996); taken as TLSv1.2.
        "TLSv1.0" => Tls10,
        /// Not spoken any more (RFC 8996); taken as TLSv1.2.
        "TLSv1.1" => Tls11,
        /// RFC 5246.
        #[default]
        "TLSv1.2" => Tls12,
        /// RFC 8446.
        "TLSv1.3" => Tls13,
    }
}

settings! {
    /// IP addresses with the services offered on them.
    pub struct Listener {
        /// IP addresses to listen on. 0.0.0.0 and :: stand for all of a family; naming them is
        /// better, since outgoing mail then comes from the same addresses.
        "IPs" => ips: Vec<IpAddr>,
        /// The public IP addresses, if the ones above are behind network address translation. Used
        /// to check DNS.
        "NATIPs" optional => nat_ips: Vec<IpAddr>,
        /// Deprecated: the addresses are behind address translation, do not check them. Use NATIPs.
        "IPsNATed" optional => ips_nated: bool,
        /// Host name for this listener, if it is not the one at the top.
        "Hostname" optional => hostname: Option<Text<Domain>>,
        /// Certificates. Needed for all services but those in plain text.
        "TLS" optional => tls: Option<ListenerTls>,
        /// The largest message taken, in bytes, by SMTP, submission and HTTP. Default: 104857600,
        /// which is 100 MB.
        "SMTPMaxMessageSize" optional => smtp_max_message_size: u64,
        /// Receiving mail from other servers.
        "SMTP" optional => smtp: Smtp,
        /// Sending mail by mail programs, starting in plain text and going over to TLS.
        "Submission" optional => submission: Submission,
        /// Sending mail by mail programs, with TLS from the start. Better than Submission.
        "Submissions" optional => submissions: TlsService,
        /// Reading mail by mail programs, starting in plain text and going over to TLS.
        "IMAP" optional => imap: Submission,
        /// Reading mail by mail programs, with TLS from the start. Better than IMAP.
        "IMAPS" optional => imaps: TlsService,
        /// Account pages in plain text. Default path: /.
        "AccountHTTP" optional => account_http: WebService,
        /// Account pages with TLS. Default path: /.
        "AccountHTTPS" optional => account_https: WebService,
        /// Admin pages in plain text. Default path: /admin/.
        "AdminHTTP" optional => admin_http: WebService,
        /// Admin pages with TLS. Default path: /admin/.
        "AdminHTTPS" optional => admin_https: WebService,
        /// Webmail in plain text. Default path: /webmail/.
        "WebmailHTTP" optional => webmail_http: WebService,
        /// Webmail with TLS. Default path: /webmail/.
        "WebmailHTTPS" optional => webmail_https: WebService,
        /// HTTP API in plain text. Default path: /webapi/.
        "WebAPIHTTP" optional => web_api_http: WebService,
        /// HTTP API with TLS. Default path: /webapi/.
        "WebAPIHTTPS" optional => web_api_https: WebService,
        /// Prometheus metrics in plain text. Default port: 8010.
        "MetricsHTTP" optional => metrics_http: PortService,
        /// Profiling in plain text, on a port of its own. Default port: 8011.
        "PprofHTTP" optional => pprof_http: PortService,
        /// Automatic set-up of mail programs.
        "AutoconfigHTTPS" optional => autoconfig_https: PolicyService,
        /// MTA-STS policies of the domains that have one.
        "MTASTSHTTPS" optional => mtasts_https: PolicyService,
        /// Web handlers of domains.conf in plain text. Default port: 80.
        "WebserverHTTP" optional => webserver_http: Webserver,
        /// Web handlers of domains.conf with TLS. Default port: 443.
        "WebserverHTTPS" optional => webserver_https: Webserver,
    }

    /// The certificates of a listener: from a provider or from files.
    pub struct ListenerTls {
        /// Name of the ACME provider that issues the certificates.
        "ACME" optional => acme: String,
        /// Certificates with their keys in PEM files. Which one is shown depends on the name that
        /// the client asks for.
        "KeyCerts" optional => key_certs: Vec<KeyCert>,
        /// Lowest version of TLS spoken. Default and lowest: TLSv1.2.
        "MinVersion" optional => min_version: Option<Text<TlsVersion>>,
        /// PEM files with long-lived private keys for the ACME certificates of the host name, as
        /// DANE needs them. RSA of 2048 bits and ECDSA P-256.
        "HostPrivateKeyFiles" optional => host_private_key_files: Vec<String>,
        /// Do not ask mail programs for a certificate.
        "ClientAuthDisabled" optional => client_auth_disabled: bool,
    }

    /// A certificate from files.
    pub struct KeyCert {
        /// PEM file with the certificate, and those up to the authority.
        "CertFile" => cert_file: String,
        /// PEM file with the private key: PKCS #8, PKCS #1 or EC.
        "KeyFile" => key_file: String,
    }

    /// SMTP for mail from other servers.
    pub struct Smtp {
        /// Whether it is offered.
        "Enabled" => enabled: bool,
        /// TCP port. Default: 25.
        "Port" optional => port: u16,
        /// Do not offer STARTTLS: mail arrives in plain text.
        "NoSTARTTLS" optional => no_starttls: bool,
        /// Take no mail in plain text, but for reports about TLS. Some mail will not arrive.
        "RequireSTARTTLS" optional => require_starttls: bool,
        /// Do not offer REQUIRETLS, by which senders can ask for TLS on all of the way.
        "NoRequireTLS" optional => no_require_tls: bool,
        /// DNS block lists asked about senders without a reputation, such as sbl.spamhaus.org or
        /// bl.spamcop.net.
        "DNSBLs" optional => dnsbls: Vec<Text<Domain>>,
        /// How long a message of a first-time sender waits before it is accepted. Default: 15s.
        "FirstTimeSenderDelay" optional => first_time_sender_delay: Option<Duration>,
        /// No TLS session tickets. Default: true, since some servers fail with them.
        "TLSSessionTicketsDisabled" optional => tls_session_tickets_disabled: Option<bool>,
    }

    /// A service that starts in plain text.
    pub struct Submission {
        /// Whether it is offered.
        "Enabled" => enabled: bool,
        /// TCP port. Default: 587 for submission, 143 for IMAP.
        "Port" optional => port: u16,
        /// Allow passwords and mail in plain text. Only for networks that nobody listens on.
        "NoRequireSTARTTLS" optional => no_require_starttls: bool,
    }

    /// A service that starts with TLS.
    pub struct TlsService {
        /// Whether it is offered.
        "Enabled" => enabled: bool,
        /// TCP port. Default: 465 for submission, 993 for IMAP.
        "Port" optional => port: u16,
        /// Offer it on port 443 too, to clients that ask for it by ALPN.
        "EnabledOnHTTPS" optional => enabled_on_https: bool,
    }

    /// Pages or an API served by HTTP.
    pub struct WebService {
        /// Whether it is offered.
        "Enabled" => enabled: bool,
        /// TCP port. Default: 80, or 443 with TLS.
        "Port" optional => port: u16,
        /// Where the pages are, with a slash at the start and the end.
        "Path" optional => path: String,
        /// Requests come through a reverse proxy: believe its X-Forwarded headers.
        "Forwarded" optional => forwarded: bool,
    }

    /// A service with nothing to set but its port.
    pub struct PortService {
        /// Whether it is offered.
        "Enabled" => enabled: bool,
        /// TCP port.
        "Port" optional => port: u16,
    }

    /// A service for other mail programs and servers, by HTTPS unless a proxy does that.
    pub struct PolicyService {
        /// Whether it is offered.
        "Enabled" => enabled: bool,
        /// TCP port. Default: 443.
        "Port" optional => port: u16,
        /// Serve plain text, for a reverse proxy that does the TLS.
        "NonTLS" optional => non_tls: bool,
        /// Requests come through a reverse proxy: believe its X-Forwarded headers.
        "Forwarded" optional => forwarded: bool,
    }

    /// The web server for the handlers of domains.conf.
    pub struct Webserver {
        /// Whether it is offered.
        "Enabled" => enabled: bool,
        /// TCP port.
        "Port" optional => port: u16,
        /// Do not limit the rate of requests of an address.
        "RateLimitDisabled" optional => rate_limit_disabled: bool,
    }
}

/// The port of a service: what is set, else its default.
fn port(set: u16, default: u16) -> u16 {
    if set == 0 { default } else { set }
}

impl Listener {
    /// The largest message taken, in bytes.
    #[must_use]
    pub fn message_bytes_max(&self) -> u64 {
        match self.smtp_max_message_size {
            0 => MESSAGE_BYTES_DEFAULT,
            size => size,
        }
    }

    /// The port of SMTP, 25 by default, if it is offered.
    #[must_use]
    pub fn smtp_port(&self) -> Option<u16> {
        self.smtp.enabled.then(|| port(self.smtp.port, 25))
    }

    /// The port of submission, 587 by default (RFC 6409 §3.1), if it is offered.
    #[must_use]
    pub fn submission_port(&self) -> Option<u16> {
        self.submission.enabled.then(|| port(self.submission.port, 587))
    }

    /// The port of submission over TLS, 465 by default (RFC 8314 §3.3), if it is offered.
    #[must_use]
    pub fn submissions_port(&self) -> Option<u16> {
        self.submissions.enabled.then(|| port(self.submissions.port, 465))
    }

    /// The port of IMAP, 143 by default, if it is offered.
    #[must_use]
    pub fn imap_port(&self) -> Option<u16> {
        self.imap.enabled.then(|| port(self.imap.port, 143))
    }

    /// The port of IMAP over TLS, 993 by default (RFC 8314 §3.2), if it is offered.
    #[must_use]
    pub fn imaps_port(&self) -> Option<u16> {
        self.imaps.enabled.then(|| port(self.imaps.port, 993))
    }

    /// The port of IMAP and submission for clients that name them by ALPN (RFC 7301), 443, if one
    /// of them is offered so.
    #[must_use]
    pub fn alpn_port(&self) -> Option<u16> {
        let has_any = self.has_imap_on_https() || self.has_submission_on_https();
        has_any.then_some(443)
    }

    /// Whether IMAP is offered on the port of HTTPS.
    #[must_use]
    pub fn has_imap_on_https(&self) -> bool {
        self.imaps.enabled && self.imaps.enabled_on_https
    }

    /// Whether submission is offered on the port of HTTPS.
    #[must_use]
    pub fn has_submission_on_https(&self) -> bool {
        self.submissions.enabled && self.submissions.enabled_on_https
    }

    /// Whether SMTP goes without TLS session tickets, as it does by default.
    #[must_use]
    pub fn smtp_tickets_disabled(&self) -> bool {
        self.smtp.tls_session_tickets_disabled.unwrap_or(true)
    }

    /// How long a message of a first-time sender waits before it is accepted.
    #[must_use]
    pub fn first_time_sender_delay(&self) -> std::time::Duration {
        self.smtp.first_time_sender_delay.unwrap_or(FIRST_TIME_SENDER_DELAY_DEFAULT).0
    }
}

impl ListenerTls {
    /// The lowest version of TLS to speak: TLSv1.2 or TLSv1.3.
    ///
    /// Older ones can be configured but are not spoken, as RFC 8996 §4 and §5 want.
    #[must_use]
    pub fn min_version(&self) -> TlsVersion {
        self.min_version.as_deref().copied().unwrap_or_default().max(TlsVersion::Tls12)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_has_its_default() {
        let mut listener = Listener::default();
        assert_eq!((listener.smtp_port(), listener.imaps_port()), (None, None));
        listener.smtp.enabled = true;
        listener.submission.enabled = true;
        listener.submissions.enabled = true;
        listener.imap.enabled = true;
        listener.imaps.enabled = true;
        let ports = [
            listener.smtp_port(),
            listener.submission_port(),
            listener.submissions_port(),
            listener.imap_port(),
            listener.imaps_port(),
        ];
        assert_eq!(ports, [25, 587, 465, 143, 993].map(Some));
        listener.smtp.port = 1025;
        assert_eq!(listener.smtp_port(), Some(1025));
        assert_eq!(listener.message_bytes_max(), 104_857_600);
        listener.smtp_max_message_size = 1;
        assert_eq!(listener.message_bytes_max(), 1);
        assert!(listener.smtp_tickets_disabled());
        assert_eq!(listener.first_time_sender_delay().as_secs(), 15);
    }

    #[test]
    fn old_versions_of_tls_are_not_spoken() {
        for (set, want) in [
            (None, TlsVersion::Tls12),
            (Some(TlsVersion::Tls13), TlsVersion::Tls13),
            (Some(TlsVersion::Tls12), TlsVersion::Tls12),
            (Some(TlsVersion::Tls10), TlsVersion::Tls12),
        ] {
            let tls = ListenerTls { min_version: set.map(Text), ..ListenerTls::default() };
            assert_eq!(tls.min_version(), want, "{set:?}");
        }
    }
}
