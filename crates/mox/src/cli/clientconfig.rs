//! `mox clientconfig`, also as `mox config printclientconfig`.

use anyhow::{Context, Result};
use clap::Args;
use mox_base::Domain;
use mox_config::client_settings::{Service, all};

use super::lookups::domain;
use super::{Global, print};

/// Print the settings that mail programs of a domain need.
#[derive(Debug, Args)]
pub(super) struct ClientConfig {
    /// Domain of the configuration.
    #[arg(value_parser = domain)]
    domain: Domain,
}

/// What to choose besides host and port.
const ADVICE: &str = "
The user name is the whole address. As authentication mechanism choose the first of these that the mail
program knows:
- SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1-PLUS, SCRAM-SHA-1: the password itself is never
  sent. Some programs call them \"encrypted password\".
- PLAIN, only with TLS. Some programs call it \"normal password\".
Most programs choose well by themselves. With TLS from the start nobody in between can keep TLS from
being used, as is possible with STARTTLS in programs that do not insist on it.
";

impl ClientConfig {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let config = global.config()?.snapshot();
        let services = all(&config, &self.domain);
        let services = services.with_context(|| format!("no such domain: {}", self.domain))?;
        print(&text(&services))
    }
}

fn text(services: &[Service]) -> String {
    let mut text = row("Protocol", "Host", "Port", "Listener", "Note");
    for service in services {
        let Service { protocol, host, port, listener, .. } = service;
        let (protocol, port) = (protocol.to_string(), port.to_string());
        text.push_str(&row(&protocol, host.ascii(), &port, listener, &service.note()));
    }
    text + ADVICE
}

fn row(protocol: &str, host: &str, port: &str, listener: &str, note: &str) -> String {
    format!("{protocol:<20} {host:<30} {port:>5} {listener:<15} {note}\n")
}

#[cfg(test)]
mod tests {
    use mox_config::client_settings::{Protocol, TlsMode};

    use super::*;

    #[test]
    fn services_are_a_table() {
        let service = |protocol, port, tls, has_https_port| Service {
            protocol,
            host: Domain::parse("mail.example.org").unwrap(),
            port,
            tls,
            listener: "public".to_owned(),
            has_https_port,
        };
        let services = [
            service(Protocol::Submission, 465, TlsMode::Immediate, true),
            service(Protocol::Imap, 143, TlsMode::StartTlsRequired, false),
        ];
        let want = "\
Protocol             Host                            Port Listener        Note
Submission (SMTP)    mail.example.org                 465 public          with TLS; also served on port 443 with TLS ALPN \"smtp\"
IMAP                 mail.example.org                 143 public          STARTTLS required
";
        assert_eq!(text(&services), format!("{want}{ADVICE}"));
    }
}
