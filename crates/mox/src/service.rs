//! The services that a listener offers.

use std::fmt;

use mox_config::{Config, HttpPort, Listener};

/// A protocol on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Mail from other servers: SMTP, RFC 5321.
    Smtp,
    /// Mail from mail programs, TLS by STARTTLS: RFC 6409.
    Submission,
    /// Mail from mail programs, TLS from the start: RFC 8314 §3.3.
    Submissions,
    /// Reading mail, TLS by STARTTLS: RFC 9051.
    Imap,
    /// Reading mail, TLS from the start: RFC 8314 §3.2.
    Imaps,
    /// HTTP in plain text.
    Http,
    /// HTTP with TLS, and what mail programs name by ALPN on its port: RFC 7301.
    Https,
}

impl Service {
    /// All services, in the order of their names in the configuration.
    pub const ALL: [Self; 7] = [
        Self::Smtp,
        Self::Submission,
        Self::Submissions,
        Self::Imap,
        Self::Imaps,
        Self::Http,
        Self::Https,
    ];

    /// The name for logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The ports on which a listener offers it; those of HTTP with what is there.
    #[must_use]
    pub fn ports(self, config: &Config, listener: &Listener) -> Vec<(u16, Option<HttpPort>)> {
        let one = |port: Option<u16>| port.map(|port| (port, None)).into_iter().collect();
        let http = |is_tls: bool| {
            let ports = config.http_ports(listener).into_iter();
            let ports = ports.filter(|port| port.is_tls == is_tls);
            ports.map(|port| (port.number, Some(port))).collect()
        };
        match self {
            Self::Smtp => one(listener.smtp_port()),
            Self::Submission => one(listener.submission_port()),
            Self::Submissions => one(listener.submissions_port()),
            Self::Imap => one(listener.imap_port()),
            Self::Imaps => one(listener.imaps_port()),
            Self::Http => http(false),
            Self::Https => http(true),
        }
    }

    /// Whether TLS begins before anything else.
    #[must_use]
    pub fn is_tls_immediate(self) -> bool {
        matches!(self, Self::Submissions | Self::Imaps | Self::Https)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
