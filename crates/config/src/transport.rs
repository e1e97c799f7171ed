//! The keys of a transport: a way to send mail on.

use std::net::IpAddr;

use mox_base::Domain;
use mox_sconf::settings;

use crate::text::{Text, words};

words! {
    /// A mechanism to log in to another server with.
    pub enum Mechanism, "SASL mechanism", {
        /// RFC 7677, bound to the TLS connection.
        #[default]
        "SCRAM-SHA-256-PLUS" => ScramSha256Plus,
        /// RFC 7677.
        "SCRAM-SHA-256" => ScramSha256,
        /// RFC 5802, bound to the TLS connection.
        "SCRAM-SHA-1-PLUS" => ScramSha1Plus,
        /// RFC 5802.
        "SCRAM-SHA-1" => ScramSha1,
        /// RFC 2195.
        "CRAM-MD5" => CramMd5,
        /// RFC 4616; only if it is listed.
        "PLAIN" => Plain,
    }
}

settings! {
    /// A way to send mail: at most one of these. None is direct delivery.
    pub struct Transport {
        /// Submission with TLS from the start, to a server that sends the mail on.
        "Submissions" optional => submissions: Option<Smarthost>,
        /// Submission that goes over to TLS, to a server that sends the mail on.
        "Submission" optional => submission: Option<Smarthost>,
        /// SMTP that goes over to TLS, to a server that sends the mail on.
        "SMTP" optional => smtp: Option<Smarthost>,
        /// Direct delivery through a SOCKS5 proxy.
        "Socks" optional => socks: Option<Socks>,
        /// Direct delivery over one family of IP addresses.
        "Direct" optional => direct: Option<Direct>,
        /// No delivery: every message fails at once.
        "Fail" optional => fail: Option<Fail>,
    }

    /// A server that takes mail for others.
    pub struct Smarthost {
        /// Its host name; the certificate must be for it.
        "Host" => host: Text<Domain>,
        /// TCP port. Default: 465 for Submissions, 587 for Submission, 25 for SMTP.
        "Port" optional => port: u16,
        /// Go on if the certificate cannot be verified. Not for Submissions.
        "STARTTLSInsecureSkipVerify" optional => starttls_insecure_skip_verify: bool,
        /// Stay in plain text. Not for Submissions.
        "NoSTARTTLS" optional => no_starttls: bool,
        /// How to log in. Without it there is no log-in.
        "Auth" optional => auth: Option<SmarthostAuth>,
    }

    /// Credentials for another server.
    pub struct SmarthostAuth {
        /// User name.
        "Username" => username: String,
        /// Password.
        "Password" => password: String,
        /// Mechanisms that may be used, best first. Default: SCRAM-SHA-256-PLUS, SCRAM-SHA-256,
        /// SCRAM-SHA-1-PLUS, SCRAM-SHA-1, CRAM-MD5. PLAIN is used only if it is listed.
        "Mechanisms" optional => mechanisms: Vec<Text<Mechanism>>,
    }

    /// A SOCKS5 proxy.
    pub struct Socks {
        /// Host and port, such as localhost:1080.
        "Address" => address: String,
        /// IP addresses that connections through the proxy come from. Used in DNS records.
        "RemoteIPs" => remote_ips: Vec<IpAddr>,
        /// Host name that belongs to these addresses, to greet other servers with.
        "RemoteHostname" => remote_hostname: Text<Domain>,
    }

    /// Direct delivery with limits.
    pub struct Direct {
        /// Do not use IPv4.
        "DisableIPv4" optional => disable_ipv4: bool,
        /// Do not use IPv6.
        "DisableIPv6" optional => disable_ipv6: bool,
    }

    /// What messages fail with.
    pub struct Fail {
        /// SMTP code from 400 to 599; with 4xx delivery is tried again. Default: 554.
        "SMTPCode" optional => smtp_code: u16,
        /// Text, at most 256 ASCII characters.
        "SMTPMessage" optional => smtp_message: String,
    }
}
