//! `mox dane dialmx`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use mox_base::Domain;
use mox_dns::Tlsa;
use mox_net::Conn;
use mox_net::tls::client::{TlsOutcome, Verify};
use mox_sender::connection::{Connection, Setup, Waits};
use mox_sender::destination::addresses::{Families, addresses};
use mox_sender::destination::tlsa::{self, TlsaLookup};
use mox_sender::destination::{MailHost, NextHop, next_hop};
use mox_smtp::client::{Config, TlsUse};
use mox_tlspolicy::dane::{self, record_text};

use super::dane::{DialMx, verified};
use super::lookups::{dnssec, one_line};
use super::network::{Network, dial_addresses, over_network, own_name};
use super::print;

/// RFC 5321 §4.5.4.2.
const SMTP_PORT: u16 = 25;

pub(super) fn run(command: &DialMx) -> Result<()> {
    over_network(&[], async |network| {
        let hop = next_hop(&*network.resolver, &*network.rng, &command.domain).await?;
        print(&described(&hop))?;
        let ehlo = command.ehlohostname.clone().unwrap_or_else(own_name);
        let given = command.host.iter();
        let given = given.map(|name| MailHost { preference: None, name: name.clone() });
        let mut hosts: Vec<_> = given.collect();
        if hosts.is_empty() {
            hosts.clone_from(&hop.hosts);
        }
        let mut verified = 0;
        for host in hosts {
            match try_host(network, &hop, &host.name, &ehlo).await {
                Ok(text) => {
                    verified += 1;
                    print(&format!("{}: {text}", host.name))?;
                }
                Err(error) => {
                    print(&format!("{}: error: {}\n", host.name, one_line(&format!("{error:#}"))))?;
                }
            }
        }
        if verified == 0 { bail!("no server could be verified") } else { Ok(()) }
    })
}

/// The MX records, and how far DNSSEC vouches for them.
fn described(hop: &NextHop) -> String {
    let kind = if hop.has_mx { "MX records" } else { "no MX records" };
    let mut text = format!("{}: {kind} ({})\n", hop.original, dnssec(hop.original_security));
    if hop.expanded != hop.original {
        let security = dnssec(hop.expanded_security);
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "alias of {} ({security})", hop.expanded);
    }
    for host in &hop.hosts {
        let preference = host.preference.map(|number| format!("{number} ")).unwrap_or_default();
        let _infallible = writeln!(text, "- {preference}{}", host.name);
    }
    text
}

/// Looks up all of a server, connects to it and verifies it.
async fn try_host(network: &Network, hop: &NextHop, host: &Domain, ehlo: &str) -> Result<String> {
    let resolver = &*network.resolver;
    let found = addresses(resolver, host, Families::ALL, &[]).await?;
    if !tlsa::is_possible(hop, &found) {
        bail!("dnssec does not vouch for the way to it, so that DANE cannot be used");
    }
    let records = match tlsa::tlsa(resolver, SMTP_PORT, host, &found).await {
        TlsaLookup::Found { records, .. } => records,
        TlsaLookup::None => bail!("no TLSA records"),
        TlsaLookup::Failed(error) => return Err(anyhow!(error).context("look up TLSA records")),
    };
    let names = tlsa::names(hop, host, &found);
    let to: Vec<_> = found.ips.iter().map(|ip| SocketAddr::new(*ip, SMTP_PORT)).collect();
    let conn = dial_addresses(&to).await?;
    verify(network, conn, records, names, ehlo).await
}

/// Begins a session with STARTTLS, and tells by which record the server is verified.
async fn verify(
    network: &Network,
    conn: Conn,
    records: Vec<Tlsa>,
    names: Vec<Domain>,
    ehlo: &str,
) -> Result<String> {
    let usable = dane::usable(&records);
    if usable.is_empty() {
        bail!("none of the TLSA records can be used for SMTP");
    }
    let peer = conn.peer();
    let verify = Verify { dane: Some(Arc::from(records)), names, ..Verify::default() };
    let config =
        Config { name: ehlo.to_owned(), tls: TlsUse::Required, login: None, is_private: false };
    let setup = Setup {
        config,
        nonce: network.nonce(),
        connector: &network.connector,
        verify: &verify,
        waits: Waits::default(),
        end: None,
    };
    let (connection, outcome): (_, Option<TlsOutcome>) = Connection::open(conn, setup).await?;
    let version = connection.conn().tls().map(|tls| tls.version.to_string()).unwrap_or_default();
    connection.quit().await;
    let outcome = outcome.as_ref().map(verified).unwrap_or_default();
    let mut text = format!("connected to {peer}, {version}\n");
    for record in &usable {
        let _infallible = writeln!(text, "record {}", record_text(record));
    }
    Ok(text + &outcome)
}

#[cfg(test)]
mod tests {
    use mox_dns::{FakeDns, Security};
    use mox_testkit::TestRng;

    use super::super::lookups::tests::now;
    use super::super::smtp_dial::tests::{Server, network};
    use super::*;

    #[test]
    fn the_way_of_mail_is_told() {
        let mut dns = FakeDns::new();
        dns.add_mx("a.example", 10, "mx1.example").add_mx("a.example", 20, "mx2.example");
        dns.sign("a.example");
        let domain = |name: &str| Domain::parse(name).unwrap();
        let mut hop = now(next_hop(&dns, &TestRng::new(1), &domain("a.example"))).unwrap();
        let want = "a.example: MX records (with dnssec)\n- 10 mx1.example\n- 20 mx2.example\n";
        assert_eq!(described(&hop), want);
        hop.expanded = domain("b.example");
        hop.expanded_security = Security::Insecure;
        hop.hosts.truncate(1);
        let want = "a.example: MX records (with dnssec)\nalias of b.example (without dnssec)\n\
                    - 10 mx1.example\n";
        assert_eq!(described(&hop), want);
        let hop = now(next_hop(&dns, &TestRng::new(1), &domain("c.example"))).unwrap();
        assert_eq!(described(&hop), "c.example: no MX records (without dnssec)\n- c.example\n");
    }

    /// RFC 7672 §2.2.
    #[tokio::test]
    async fn a_server_is_verified_over_smtp() {
        let server = Server::start(true).await;
        let names = vec![Domain::parse("mx.example").unwrap()];
        let check = async |records: Vec<Tlsa>| {
            let conn = dial_addresses(&[server.address]).await.unwrap();
            let told = verify(&network(), conn, records, names.clone(), "localhost").await;
            told.map_err(|error| error.to_string())
        };
        let good = server.record();
        let text = check(vec![good.clone()]).await.unwrap();
        let want = format!("verified by {}\n", record_text(&good));
        assert!(text.contains(&want), "{text}");
        assert!(text.contains("authorities do not: no authorities are trusted"), "{text}");
        let wrong = Tlsa { data: vec![0; 32], ..good.clone() };
        assert_eq!(check(vec![wrong]).await.unwrap_err(), "no TLSA record fits the certificate");
        let unusable = Tlsa { usage: 1, ..good };
        let want = "none of the TLSA records can be used for SMTP";
        assert_eq!(check(vec![unusable]).await.unwrap_err(), want);
    }
}
