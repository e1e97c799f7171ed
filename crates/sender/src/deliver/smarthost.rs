//! Delivery by way of a server that takes mail for others, to a local server, and not at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mox_base::{Domain, Secret};
use mox_config::{Fail, Mechanism as Configured, Smarthost, SmarthostAuth, Transport};
use mox_dns::{Lookups as _, Name};
use mox_net::tls::client::Verify;
use mox_net::{Conn, Deadline, LocalIps, dial};
use mox_sasl::Mechanism;
use mox_smtp::client::{Config as SessionConfig, Credentials, TlsUse};
use mox_smtp::simulate::{Simulated, Stage, simulated};
use tokio::time::timeout;

use super::direct::{HOST_WAIT, SESSION_WAIT};
use super::{Attempted, Batch, Fate, Fault, Link, Remote, decided, keep, transact};
use crate::connection::{Connection, OpenFault, Setup};
use crate::destination::addresses::{Families, addresses};
use crate::plan::Demand;
use crate::services::Inner;

/// What a message is refused with that is to fail.
const FAIL_TEXT: &str = "transport fail: explicit immediate delivery failure per configuration";

/// A server that takes mail for others.
pub(crate) struct Host<'a> {
    settings: &'a Smarthost,
    port: u16,
    /// TLS comes first.
    is_immediate: bool,
}

/// The server that a transport names, if it does.
pub(super) fn of(transport: &Transport) -> Option<Host<'_>> {
    let kinds = [
        (&transport.submissions, 465, true),
        (&transport.submission, 587, false),
        (&transport.smtp, 25, false),
    ];
    kinds.into_iter().find_map(|(settings, usual, is_immediate)| {
        let settings = settings.as_ref()?;
        let port = if settings.port == 0 { usual } else { settings.port };
        Some(Host { settings, port, is_immediate })
    })
}

/// What a transport that always fails says.
pub(super) fn explicit(fail: &Fail) -> Fault {
    let code = if fail.smtp_code == 0 { 554 } else { fail.smtp_code };
    let is_permanent = code >= 500;
    let text = if fail.smtp_message.is_empty() { FAIL_TEXT } else { &fail.smtp_message };
    Fault { code: Some(code), is_own_rule: true, ..Fault::ours(is_permanent, (7, 0), text) }
}

pub(super) async fn deliver(
    inner: &Inner,
    batch: &Batch,
    host: &Host<'_>,
    link: &mut Option<Link>,
) -> Attempted {
    let mut attempted = Attempted::default();
    attempted.dialed_ips.clone_from(&batch.message().dialed_ips);
    let place = batch.place(inner, host.settings.host.0.ascii());
    let made = match place {
        Ok(place) => open(inner, batch, host).await.map(|made| Link { place: Some(place), ..made }),
        Err(fault) => Err(fault),
    };
    match made {
        Ok(made) => attempted.fates = send(inner, batch, made, link).await,
        Err(fault) => attempted.fates = batch.all(&fault),
    }
    attempted
}

async fn send(inner: &Inner, batch: &Batch, mut made: Link, link: &mut Option<Link>) -> Vec<Fate> {
    let mut fates = vec![None; batch.leases.len()];
    transact::transact(inner, &mut made, batch, &mut fates).await;
    keep(batch, link, made).await;
    decided(fates)
}

async fn open(inner: &Inner, batch: &Batch, host: &Host<'_>) -> Result<Link, Fault> {
    let Host { settings, port, is_immediate } = host;
    let name = &settings.host.0;
    let remote = |ip| Remote { host: Some(name.ascii().to_owned()), ip };
    let is_verified =
        *is_immediate || !(settings.no_starttls || settings.starttls_insecure_skip_verify);
    let passes_requiretls = batch.demand() == Demand::Required;
    if passes_requiretls && !is_verified {
        let text = "requiretls: the transport does not verify the server";
        let fault = Fault::ours(true, (7, 30), text);
        let remote = remote(None);
        return Err(Fault { code: Some(554), is_own_rule: true, remote, ..fault });
    }
    let dialed = batch.message().dialed_ips.get(name.ascii()).cloned().unwrap_or_default();
    let found = addresses(&inner.services.resolver, name, Families::ALL, &dialed);
    let found = timeout(HOST_WAIT, found).await.map_err(|_| timed_out(name))?;
    let found = found.map_err(|error| Fault::ours(false, error.enhanced(), error.to_string()))?;
    let ips: Vec<SocketAddr> = found.ips.iter().map(|ip| SocketAddr::new(*ip, *port)).collect();
    let conn = dial(&ips, HOST_WAIT, LocalIps::default()).await;
    let mut conn = conn.map_err(|error| Fault::ours(false, (4, 1), error.to_string()))?;
    let remote = remote(Some(conn.peer_ip()));
    let verify = Verify { pkix: is_verified, names: vec![name.clone()], ..Verify::default() };
    if *is_immediate {
        conn = match inner.services.connector.connect(conn, &verify).await {
            Ok((conn, _)) => conn,
            Err(error) => return Err(tls_fault(&error, &remote)),
        };
    }
    let tls = match settings {
        _ if *is_immediate => TlsUse::Never,
        settings if settings.no_starttls => TlsUse::Never,
        _ => TlsUse::Required,
    };
    let is_private = is_verified || remote.ip.is_some_and(|ip| ip.is_loopback());
    let config = SessionConfig {
        name: batch.config.hostname().ascii().to_owned(),
        tls,
        login: settings.auth.as_ref().map(credentials),
        is_private,
    };
    begin(inner, batch, conn, config, &verify, passes_requiretls).await
}

/// Begins a session on a connection.
async fn begin(
    inner: &Inner,
    batch: &Batch,
    conn: Conn,
    config: SessionConfig,
    verify: &Verify,
    passes_requiretls: bool,
) -> Result<Link, Fault> {
    let host = verify.names.first().map(|name| name.ascii().to_owned());
    let remote = Remote { host, ip: Some(conn.peer_ip()) };
    let mut nonce = [0; mox_sasl::NONCE_BYTES];
    inner.services.rng.fill(&mut nonce);
    let setup = Setup {
        config,
        nonce,
        connector: &inner.services.connector,
        verify,
        waits: inner.services.waits,
        end: Some(Deadline::after(SESSION_WAIT)),
    };
    let mut connection = match Connection::open(conn, setup).await {
        Ok((connection, _)) => connection,
        Err(error) => {
            return Err(match &error.cause {
                OpenFault::Session(fault) => Fault::of(fault, &remote),
                OpenFault::Tls(error) => tls_fault(error, &remote),
            });
        }
    };
    if batch.forgoes_chunks {
        connection.forgo_chunks();
    }
    let key = batch.key();
    let (requires_8bitmime, is_dual_stack, messages, place) = (true, false, 0, None);
    Ok(Link {
        connection,
        key,
        remote,
        requires_8bitmime,
        passes_requiretls,
        is_dual_stack,
        messages,
        place,
    })
}

fn timed_out(name: &Domain) -> Fault {
    Fault::ours(false, (4, 3), format!("look up {name}: timeout"))
}

fn tls_fault(error: &impl ToString, remote: &Remote) -> Fault {
    let fault = Fault::ours(false, (7, 5), format!("tls: {}", error.to_string()));
    Fault { remote: remote.clone(), ..fault }
}

/// PLAIN only if it is listed. CRAM-MD5 is not among what we speak: it needs a password that a thief
/// of the server's could use.
fn credentials(auth: &SmarthostAuth) -> Credentials {
    let known = |mechanism: &Configured| match mechanism {
        Configured::ScramSha256Plus => Some(Mechanism::ScramSha256Plus),
        Configured::ScramSha256 => Some(Mechanism::ScramSha256),
        Configured::ScramSha1Plus => Some(Mechanism::ScramSha1Plus),
        Configured::ScramSha1 => Some(Mechanism::ScramSha1),
        Configured::Plain => Some(Mechanism::Plain),
        Configured::CramMd5 => None,
    };
    let mechanisms = match auth.mechanisms.as_slice() {
        [] => Credentials::MECHANISMS.to_vec(),
        listed => listed.iter().filter_map(|mechanism| known(&mechanism.0)).collect(),
    };
    let password = Secret::new(auth.password.clone());
    Credentials { username: auth.username.clone(), password, mechanisms }
}

/// Delivers to a server on this machine, whoever the message is for.
pub(super) async fn loopback(
    inner: &Inner,
    batch: &Batch,
    addr: SocketAddr,
    link: &mut Option<Link>,
) -> Attempted {
    let mut attempted = Attempted::default();
    let name = batch.config.hostname().ascii().to_owned();
    let tls = TlsUse::IfOffered;
    let config = SessionConfig { name, tls, login: None, is_private: true };
    let opened = match dial(&[addr], HOST_WAIT, LocalIps::default()).await {
        Ok(conn) => begin(inner, batch, conn, config, &Verify::default(), false).await,
        Err(error) => Err(Fault::ours(false, (4, 1), error.to_string())),
    };
    attempted.fates = match opened {
        Ok(made) => send(inner, batch, made, link).await,
        Err(fault) => batch.all(&fault),
    };
    attempted
}

/// What a localpart asks for on a server for developers, without the hour that a real time-out takes.
pub(crate) fn asked_for(localpart: &str) -> Option<Fault> {
    let (code, text) = match simulated(localpart, Stage::Queue)? {
        Simulated::Code(code) => (code, "error that the recipient's address asked for"),
        Simulated::Timeout => (451, "timeout that the recipient's address asked for"),
    };
    Some(Fault { code: Some(code), ..Fault::ours(code >= 500, (0, 0), text) })
}

/// The addresses of a proxy, given as `host:port`.
pub(super) async fn resolve(inner: &Inner, address: &str) -> Result<Vec<SocketAddr>, String> {
    if let Ok(addr) = address.parse() {
        return Ok(vec![addr]);
    }
    let bad = || format!("address of proxy {address:?} is no host and port");
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let at = |ip: IpAddr| SocketAddr::new(ip, port);
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into())]);
    }
    let host = Domain::parse(host).map_err(|_| bad())?;
    let found = inner.services.resolver.ips(&Name::from(&host)).await;
    let found = found.map_err(|error| format!("look up {host}: {error}"))?;
    Ok(found.records.into_iter().map(at).collect())
}
