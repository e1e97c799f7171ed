//! Whether the hosts that take mail speak TLS.

use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use mox_base::Domain;
use mox_net::tls::client::Verify;

use super::HOSTS_MAX;
use super::context::Context;
use super::result::{Subject as _, TlsResult};
use super::starttls::starttls;

/// RFC 5321 §4.5.4.2.
const SMTP_PORT: u16 = 25;

/// Goes over to TLS with each address, as other servers do, and verifies the name. RFC 3207 §4.1.
pub(super) async fn check(context: &Context<'_>) -> TlsResult {
    let mut result = TlsResult::default();
    // What is wrong with the records is told by the check of MX.
    let Ok(found) = context.mail_hosts().await else { return result };
    let mut targets: Vec<(Domain, IpAddr)> = Vec::new();
    for host in found.records.iter().filter_map(|(_, name)| name.to_domain()) {
        let ips = context.ips(&(&host).into()).await.unwrap_or_default();
        targets.extend(ips.into_iter().map(|ip| (host.clone(), ip)));
    }
    targets.truncate(HOSTS_MAX);
    let tried = targets.iter().map(async |(host, ip)| {
        let verify = Verify { pkix: true, names: vec![host.clone()], ..Verify::default() };
        let outcome = starttls(context.services, SocketAddr::new(*ip, SMTP_PORT), &verify).await;
        (host, ip, outcome.err())
    });
    for (host, ip, error) in join_all(tried).await {
        let Some(error) = error else { continue };
        result
            .told()
            .error(format!("go over to TLS with {host} at {ip} port {SMTP_PORT}: {error}"));
        result.told().instruction(
            "The port must be reachable from outside, offer STARTTLS, and show a certificate for the \
             name. Look at the log for what keeps the server from getting one, and at the TLS section of \
             the public listener in mox.conf.",
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use crate::domain::tests::{Server, World, told};

    #[track_caller]
    fn check(server: Server, want: &str) {
        let mut world = World::clean();
        world.serve_smtp(server);
        assert_eq!(told(&world.check().tls.told), want);
    }

    /// RFC 3207 §4, §4.1.
    #[test]
    fn hosts_must_speak_tls() {
        let at = "error: go over to TLS with mx.a.example at 8.8.4.4 port 25";
        check(Server::Good, "");
        check(Server::OtherName, &format!("{at}: tls: certificate is for other names\n"));
        check(Server::NoTls, &format!("{at}: the server does not offer STARTTLS\n"));
        check(Server::Says("554 go away\r\n"), &format!("{at}: the server refuses: 554\n"));
        check(Server::Says("nonsense\r\n"), &format!("{at}: bad smtp reply code\n"));
        check(Server::Closes, &format!("{at}: the server closed the connection\n"));
        check(Server::Refuses, &format!("{at}: connect to 8.8.4.4:25: connection refused\n"));
    }
}
