//! Whether the ports are open and ours.

use std::net::SocketAddr;
use std::time::Duration;

use super::certificates::Shown;
use crate::Finding;

/// Ports that are tried. Ours.
pub const PORTS_MAX: usize = 200;

/// How long one port may take to answer.
pub const PORT_WAIT: Duration = Duration::from_secs(5);

/// What came of trying a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortState {
    /// It greeted as this server does, or a handshake went well.
    Ours(Option<Shown>),
    /// Somebody is there, but not this server as it should be.
    Strange(String),
    /// Nobody is there.
    Closed(String),
}

/// A port of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The service, such as `imaps`.
    pub service: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// What came of trying it.
    pub state: PortState,
}

pub(super) fn judge(ports: &[Port], server_runs: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Port { service, address, state } in ports {
        match state {
            PortState::Ours(_) if server_runs => {}
            PortState::Closed(_) if !server_runs => {}
            PortState::Closed(error) => findings.push(Finding::error(
                format!("nobody answers at {address}, the port of {service}: {error}"),
                "See in the log why the port was not opened. If it was, a firewall on this machine keeps \
                 connections away: allow the port there, and at the provider.",
            )),
            PortState::Ours(_) | PortState::Strange(_) if !server_runs => {
                findings.push(Finding::error(
                    format!("another program has {address}, the port of {service}"),
                    format!(
                        "Find it: ss -ltnp 'sport = :{}'\nMachines often come with a mail server: stop and \
                         remove it (postfix, exim4, sendmail), or its web server (apache2, nginx).",
                        address.port()
                    ),
                ));
            }
            PortState::Ours(_) => {}
            PortState::Strange(what) => findings.push(Finding::error(
                format!("{address}, the port of {service}, does not answer as it should: {what}"),
                format!(
                    "Another program may have it: ss -ltnp 'sport = :{}'\nOtherwise look at the log for \
                     errors about TLS and certificates.",
                    address.port()
                ),
            )),
        }
    }
    if server_runs && findings.is_empty() && !ports.is_empty() {
        findings.push(Finding::ok(format!("{} ports answer as they should", ports.len())));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    #[track_caller]
    fn check(state: PortState, server_runs: bool, want: &[(Level, &str)]) {
        let port = Port { service: "smtp", address: "127.0.0.1:25".parse().unwrap(), state };
        let found = judge(&[port], server_runs);
        assert_eq!(found.len(), want.len(), "{found:?}");
        for (finding, (level, says)) in found.iter().zip(want) {
            assert_eq!(finding.level, *level, "{finding}");
            assert!(finding.what.contains(says), "{finding}");
        }
    }

    #[test]
    fn ports_must_be_ours() {
        check(PortState::Ours(None), true, &[(Level::Ok, "1 ports answer")]);
        let closed = || PortState::Closed("connection refused".to_owned());
        check(closed(), true, &[(Level::Error, "nobody answers at 127.0.0.1:25")]);
        check(closed(), false, &[]);
        let strange = || PortState::Strange("greets as postfix".to_owned());
        check(
            strange(),
            true,
            &[(Level::Error, "does not answer as it should: greets as postfix")],
        );
        check(strange(), false, &[(Level::Error, "another program has 127.0.0.1:25")]);
        check(PortState::Ours(None), false, &[(Level::Error, "another program has")]);
    }
}
