//! The services that a listener offers.

use std::fmt;

use mox_config::Listener;

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
    /// What mail programs name by ALPN on the port of HTTPS: RFC 7301.
    Https,
}

impl Service {
    /// All services, in the order of their names in the configuration.
    pub const ALL: [Self; 6] =
        [Self::Smtp, Self::Submission, Self::Submissions, Self::Imap, Self::Imaps, Self::Https];

    /// The name for logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Https => "https",
        }
    }

    /// The port on which a listener offers it, if it does.
    #[must_use]
    pub fn port(self, listener: &Listener) -> Option<u16> {
        match self {
            Self::Smtp => listener.smtp_port(),
            Self::Submission => listener.submission_port(),
            Self::Submissions => listener.submissions_port(),
            Self::Imap => listener.imap_port(),
            Self::Imaps => listener.imaps_port(),
            Self::Https => listener.alpn_port(),
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
