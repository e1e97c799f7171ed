//! Delivery to the servers of the recipient's domain. RFC 5321 §5.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mox_base::{Domain, Host};
use mox_config::{Config, Transport};
use mox_metrics::queue;
use mox_net::socks::{Target, dial_socks};
use mox_net::tls::client::Verify;
use mox_net::{Conn, Deadline, LocalIps, Wait, dial};
use mox_queue::TlsHint;
use mox_smtp::client::{Config as SessionConfig, Step, TlsUse};
use mox_tlspolicy::dane;
use mox_tlspolicy::failure::TlsFailure;
use mox_tlspolicy::mtasts::{Mode, Policy};
use tokio::time::timeout;

use super::{Attempted, Batch, Fate, Fault, Link, Remote, decided, keep, transact};
use crate::connection::{Connection, OpenError, OpenFault, Setup};
use crate::destination::addresses::{Addresses, Families, addresses};
use crate::destination::tlsa::{TlsaLookup, is_possible, names, tlsa};
use crate::destination::{DestinationError, NextHop, next_hop};
use crate::measure;
use crate::plan::{Dane, Demand, Facts, Plan, Skip, Starttls, Sts, plan};
use crate::services::Inner;
use crate::tls_results::{About, Seen};

/// For looking up where mail for a domain goes.
const NEXT_HOP_WAIT: Duration = Duration::from_secs(60);

/// For finding a host's addresses and TLSA records, and for connecting to it.
pub(crate) const HOST_WAIT: Duration = Duration::from_secs(30);

/// For all that is done over one connection.
pub(crate) const SESSION_WAIT: Wait = Wait::new("session", Duration::from_secs(30 * 60));

/// How connections are made.
struct Way<'a> {
    families: Families,
    /// By way of a proxy, as this host.
    socks: Option<(&'a str, &'a Domain)>,
    local: LocalIps,
}

/// A host that is to be tried.
struct HostAt<'a> {
    /// Its name; of an address literal there is none.
    name: Option<&'a Domain>,
    ips: Vec<IpAddr>,
    is_dual_stack: bool,
    plan: Plan,
    verify: Verify,
    /// Whose policies it is about; of an address literal there are none.
    about: Option<About<'a>>,
}

impl HostAt<'_> {
    /// What connections to it are counted by.
    fn key(&self) -> String {
        let ip = || self.ips.first().map(IpAddr::to_string).unwrap_or_default();
        self.name.map_or_else(ip, |name| name.ascii().to_owned())
    }
}

pub(super) async fn deliver(
    inner: &Inner,
    batch: &Batch,
    transport: Option<&Transport>,
    link: &mut Option<Link>,
) -> Attempted {
    let dialed_ips = batch.message().dialed_ips.clone();
    let mut attempted = Attempted { dialed_ips, ..Attempted::default() };
    let way = Way::of(&batch.config, transport);
    let mut fates = vec![None; batch.leases.len()];
    let domain = match &batch.message().rcpt_to.host {
        Host::Domain(domain) => domain.clone(),
        Host::Ip(ip) => {
            let host = literal(*ip, batch);
            if let Some(host) = none_if_skipped(host, batch, &mut fates) {
                try_host(inner, batch, &way, host, &mut fates, &mut attempted, link).await;
            }
            attempted.fates = decided(fates);
            return attempted;
        }
    };
    match find(inner, batch, &domain, &mut attempted.tls).await {
        Ok((mut hop, policy)) => {
            // Of hosts with one preference, which are in random order: where it is our turn, then where
            // there is a place.
            let rank = |name: &Domain| batch.rank(inner, name.ascii());
            hop.hosts.sort_by_cached_key(|host| (host.preference, rank(&host.name)));
            for host in &hop.hosts {
                let before = fates.clone();
                let found =
                    prepare(inner, batch, &way, &hop, &host.name, policy.as_ref(), &mut attempted)
                        .await;
                match found {
                    Ok(host) => {
                        try_host(inner, batch, &way, host, &mut fates, &mut attempted, link).await;
                    }
                    Err(fault) => note(&mut fates, &fault),
                }
                hope(before, &mut fates);
                if fates.iter().all(|fate| fate.as_ref().is_some_and(is_decided)) {
                    break;
                }
            }
            settle_requiretls(&mut fates);
            attempted.fates = decided(fates);
        }
        Err(fault) => attempted.fates = batch.all(&fault),
    }
    attempted
}

/// No further host is tried for this recipient.
fn is_decided(fate: &Fate) -> bool {
    match fate {
        Fate::Delivered { .. } => true,
        Fate::Failed(fault) => {
            // One that does not know BDAT is there, and asked again without.
            fault.is_permanent || fault.is_in_doubt || fault.must_wait || fault.needs_data
        }
    }
}

/// What is wrong with a host, for all who still need one.
fn note(fates: &mut [Option<Fate>], fault: &Fault) {
    for fate in fates.iter_mut().filter(|fate| !fate.as_ref().is_some_and(is_decided)) {
        *fate = Some(Fate::Failed(fault.clone()));
    }
}

/// What another host failed for before decides over REQUIRETLS of this one: that may be over the next
/// time. RFC 8689 §4.2.1 returns a message only if no host will do.
fn hope(before: Vec<Option<Fate>>, fates: &mut [Option<Fate>]) {
    let is_requiretls = |fate: &Option<Fate>| match fate {
        Some(Fate::Failed(fault)) => fault.is_requiretls() && !fault.is_permanent,
        _ => false,
    };
    for (before, fate) in before.into_iter().zip(fates) {
        if before.is_some() && !is_requiretls(&before) && is_requiretls(fate) {
            *fate = before;
        }
    }
}

/// If all that stood in the way was REQUIRETLS, waiting does not help: RFC 8689 §4.2.1 wants the
/// message returned with `5.7.30`.
fn settle_requiretls(fates: &mut [Option<Fate>]) {
    for fate in fates.iter_mut().flatten() {
        if let Fate::Failed(fault) = fate
            && fault.is_requiretls()
            && !fault.is_permanent
        {
            fault.is_permanent = true;
            fault.is_own_rule = fault.code.is_none();
            fault.code = fault.code.or(Some(554));
            fault.enhanced = Some((5, 7, 30));
        }
    }
}

impl<'a> Way<'a> {
    fn of(config: &'a Config, transport: Option<&'a Transport>) -> Self {
        let direct = transport.and_then(|transport| transport.direct.as_ref());
        let families = direct.map_or(Families::ALL, |direct| Families {
            ipv4: !direct.disable_ipv4,
            ipv6: !direct.disable_ipv6,
        });
        let socks = transport.and_then(|transport| transport.socks.as_ref());
        let socks = socks.map(|socks| (socks.address.as_str(), &socks.remote_hostname.0));
        let local = if socks.is_some() { LocalIps::default() } else { local_ips(config) };
        Self { families, socks, local }
    }

    /// What we call ourselves.
    fn name(&self, config: &Config) -> String {
        self.socks.map_or_else(|| config.hostname(), |(_, name)| name).ascii().to_owned()
    }
}

/// The addresses that mail comes in at, for it to leave from there too: those of listeners with SMTP,
/// if there is one of a family and none stands for all.
pub(crate) fn local_ips(config: &Config) -> LocalIps {
    let listeners = config.statics.listeners.values().filter(|one| one.smtp_port().is_some());
    let ips: Vec<IpAddr> = listeners.flat_map(|listener| listener.ips.iter().copied()).collect();
    if ips.iter().any(IpAddr::is_unspecified) {
        return LocalIps::default();
    }
    let mut v4 = ips.iter().filter_map(|ip| match ip {
        IpAddr::V4(ip) => Some(*ip),
        IpAddr::V6(_) => None,
    });
    let mut v6 = ips.iter().filter_map(|ip| match ip {
        IpAddr::V6(ip) => Some(*ip),
        IpAddr::V4(_) => None,
    });
    LocalIps {
        v4: v4.next().filter(|_| v4.next().is_none()),
        v6: v6.next().filter(|_| v6.next().is_none()),
    }
}

/// Looks up the policy of a domain and its hosts.
async fn find(
    inner: &Inner,
    batch: &Batch,
    domain: &Domain,
    tls: &mut Seen,
) -> Result<(NextHop, Option<Policy>), Fault> {
    let services = &inner.services;
    let policy = match services.sts.get(domain).await {
        Ok(found) => {
            if let Some(failure) = &found.failure {
                tls.policy_failure(domain, found.policy.as_ref(), failure);
            }
            found.policy.filter(|policy| policy.mode != Mode::None)
        }
        Err(_) if batch.demand() == Demand::NotRequired => None,
        Err(error) => return Err(Fault::ours(false, (7, 5), error.to_string())),
    };
    let hop = timeout(NEXT_HOP_WAIT, next_hop(&services.resolver, &*services.rng, domain)).await;
    let hop = hop.map_err(|_| Fault::ours(false, (4, 3), format!("look up {domain}: timeout")))?;
    let hop = hop.map_err(|error| destination_fault(&error))?;
    queue::destination(hop.original_security.is_secure() && hop.expanded_security.is_secure());
    Ok((hop, policy))
}

fn destination_fault(error: &DestinationError) -> Fault {
    let code = matches!(error, DestinationError::NullMx).then_some(556);
    Fault { code, ..Fault::ours(error.is_permanent(), error.enhanced(), error.to_string()) }
}

/// Finds out how a host is to be reached and treated.
async fn prepare<'a>(
    inner: &Inner,
    batch: &Batch,
    way: &Way<'_>,
    hop: &'a NextHop,
    name: &'a Domain,
    policy: Option<&'a Policy>,
    attempted: &mut Attempted,
) -> Result<HostAt<'a>, Fault> {
    let services = &inner.services;
    let dialed = attempted.dialed_ips.get(name.ascii()).cloned().unwrap_or_default();
    let look = async {
        let found = addresses(&services.resolver, name, way.families, &dialed).await?;
        let records = if is_possible(hop, &found) {
            tlsa(&services.resolver, services.port, name, &found).await
        } else {
            TlsaLookup::None
        };
        Ok::<_, DestinationError>((found, records))
    };
    let looked = timeout(HOST_WAIT, look).await;
    let looked =
        looked.map_err(|_| Fault::ours(false, (4, 3), format!("look up {name}: timeout")))?;
    let (found, records) = looked.map_err(|error| {
        // Without MX records there is no other host: the domain has none.
        let fault = destination_fault(&error);
        Fault { is_permanent: fault.is_permanent && !hop.has_mx, ..fault }
    })?;
    let Addresses { ips, is_dual_stack, .. } = &found;
    let (ips, is_dual_stack) = (ips.clone(), *is_dual_stack);
    let lookup_error = match &records {
        TlsaLookup::Failed(error) => Some(error.clone()),
        _ => None,
    };
    let (dane, records) = match records {
        TlsaLookup::None => (Dane::None, Vec::new()),
        TlsaLookup::Failed(_) => (Dane::LookupFailed, Vec::new()),
        TlsaLookup::Found { records, .. } if dane::usable(&records).is_empty() => {
            (Dane::Unusable, records)
        }
        TlsaLookup::Found { records, .. } => (Dane::Usable, records),
    };
    let about = About { domain: &hop.original, host: name, policy, records: records.clone() };
    if let Some(error) = &lookup_error {
        queue::dane_failed();
        attempted.tls.lookup_failed(&about, error);
    }
    let is_listed = policy.is_some_and(|policy| policy.matches(name));
    let sts = match policy.map(|policy| policy.mode) {
        Some(Mode::Enforce) => Sts::Enforce { is_listed },
        Some(Mode::Testing) => Sts::Testing { is_listed },
        _ => Sts::None,
    };
    let is_dmarc_report = batch.message().kind == mox_queue::Kind::DmarcReport;
    let facts = Facts { demand: batch.demand(), sts, dane, is_dmarc_report };
    // Told whatever comes of it: testing is for that, and a demand of the sender changes nothing.
    if sts != Sts::None && !is_listed {
        attempted.tls.not_in_policy(&about);
    }
    measure::policies(&facts);
    let plan = plan(&facts).map_err(|skip| skipped(skip, name))?;
    let has_records = matches!(dane, Dane::Usable | Dane::Unusable);
    // RFC 8461 §4.1: the certificate is for the name in the MX record, and for no other. Other names
    // are for DANE only; without, that of the host is asked for by SNI too.
    let names = match has_records && !plan.verifies_pkix {
        true => names(hop, name, &found),
        false => vec![name.clone()],
    };
    let dane = has_records.then(|| records.into());
    let verify = Verify {
        pkix: plan.verifies_pkix,
        dane,
        names,
        ignore_errors: plan.ignores_errors,
        ..Verify::default()
    };
    let about = Some(about);
    Ok(HostAt { name: Some(name), ips, is_dual_stack, plan, verify, about })
}

fn skipped(skip: Skip, name: &Domain) -> Fault {
    match skip {
        Skip::NotInPolicy => {
            let text = format!("mta-sts policy of the domain does not list {name}");
            Fault::ours(false, (7, 5), text)
        }
        Skip::TlsaLookup => {
            Fault::ours(false, (7, 5), format!("dane records of {name} could not be looked up"))
        }
        Skip::NothingToVerify => unverifiable(&format!(
            "requiretls: {name} has neither dane records nor an mta-sts policy to verify it by"
        )),
    }
}

fn unverifiable(text: &str) -> Fault {
    queue::requiretls_unsupported("nopolicy");
    Fault::requiretls(text)
}

/// An address literal has no policies. RFC 5321 §4.1.3.
fn literal(ip: IpAddr, batch: &Batch) -> Result<HostAt<'static>, Fault> {
    let facts = Facts { demand: batch.demand(), ..Facts::default() };
    let text = "requiretls: an address cannot be verified";
    let plan = plan(&facts).map_err(|_| Fault::requiretls(text))?;
    let verify = Verify { ip: Some(ip), ignore_errors: plan.ignores_errors, ..Verify::default() };
    let (ips, is_dual_stack, about) = (vec![ip], false, None);
    Ok(HostAt { name: None, ips, is_dual_stack, plan, verify, about })
}

fn none_if_skipped<'a>(
    host: Result<HostAt<'a>, Fault>,
    batch: &Batch,
    fates: &mut Vec<Option<Fate>>,
) -> Option<HostAt<'a>> {
    host.map_err(|fault| {
        *fates = batch.all(&fault).into_iter().map(Some).collect();
        settle_requiretls(fates);
    })
    .ok()
}

async fn try_host(
    inner: &Inner,
    batch: &Batch,
    way: &Way<'_>,
    host: HostAt<'_>,
    fates: &mut [Option<Fate>],
    attempted: &mut Attempted,
    link: &mut Option<Link>,
) {
    let mut remote = Remote { host: host.name.map(|name| name.ascii().to_owned()), ip: None };
    // Hosts of lower preference are for when this one cannot be reached, not for when we wait.
    let place = match batch.place(inner, &host.key()) {
        Ok(place) => Some(place),
        Err(fault) => return note(fates, &fault),
    };
    attempted.tls_mode = Some(measure::tls_mode(&host.plan, host.verify.dane.is_some()));
    let opened = match open(inner, batch, way, &host, true, &mut remote, attempted).await {
        Err(failed) if failed.is_tls && host.plan.falls_back => {
            tracing::debug!(host = ?remote.host, "TLS failed, again in plain text");
            queue::plaintext_fallback();
            open(inner, batch, way, &host, false, &mut remote, attempted).await
        }
        opened => opened,
    };
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(failed) => {
            let is_whole_answer = failed.fault.is_permanent;
            let fault = Fault { remote, ..failed.fault };
            if is_whole_answer {
                let open = fates.iter_mut().filter(|fate| !fate.as_ref().is_some_and(is_decided));
                open.for_each(|fate| *fate = Some(Fate::Failed(fault.clone())));
            } else {
                note(fates, &fault);
            }
            return;
        }
    };
    if batch.forgoes_chunks {
        connection.forgo_chunks();
    }
    let mut made = Link {
        connection,
        key: batch.key(),
        remote,
        passes_requiretls: host.plan.passes_requiretls,
        requires_8bitmime: false,
        is_dual_stack: host.is_dual_stack,
        messages: 0,
        place,
    };
    transact::transact(inner, &mut made, batch, fates).await;
    keep(batch, link, made).await;
}

/// Why there is no session with a host.
struct NotOpen {
    fault: Fault,
    /// It was TLS that failed.
    is_tls: bool,
}

async fn open(
    inner: &Inner,
    batch: &Batch,
    way: &Way<'_>,
    host: &HostAt<'_>,
    with_tls: bool,
    remote: &mut Remote,
    attempted: &mut Attempted,
) -> Result<Connection, NotOpen> {
    let not_open = |fault| NotOpen { fault, is_tls: false };
    let conn = connect(inner, way, host).await;
    queue::connection(if conn.is_ok() { "ok" } else { "error" });
    let conn = conn.map_err(|text| not_open(Fault::ours(false, (4, 1), text)))?;
    if way.socks.is_none() {
        remote.ip = Some(conn.peer_ip());
        if let Some(name) = host.name {
            let dialed = attempted.dialed_ips.entry(name.ascii().to_owned()).or_default();
            dialed.push(conn.peer_ip());
            let extra = dialed.len().saturating_sub(DIALED_MAX);
            dialed.drain(..extra);
        }
    }
    let local_ip = conn.local().ip();
    let tls = match host.plan.starttls {
        _ if !with_tls => TlsUse::Never,
        Starttls::Required => TlsUse::Required,
        Starttls::IfOffered => TlsUse::IfOffered,
    };
    let name = way.name(&batch.config);
    let mut nonce = [0; mox_sasl::NONCE_BYTES];
    inner.services.rng.fill(&mut nonce);
    let setup = Setup {
        config: SessionConfig { name, tls, login: None, is_private: false },
        nonce,
        connector: &inner.services.connector,
        verify: &host.verify,
        waits: inner.services.waits,
        end: Some(Deadline::after(SESSION_WAIT)),
    };
    let about = &host.about;
    match Connection::open(conn, setup).await {
        Ok((connection, outcome)) => {
            if with_tls {
                let has_starttls = connection.has_starttls();
                let has_requiretls = connection.extensions().has_requiretls;
                attempted.hint = Some(TlsHint { has_starttls, has_requiretls });
            }
            match (about, &outcome) {
                (Some(about), Some(outcome)) => {
                    attempted.tls.session(about, local_ip, remote.ip, outcome);
                }
                (Some(about), None) if with_tls => {
                    attempted.tls.not_offered(about, local_ip, remote.ip);
                }
                _ => {}
            }
            Ok(connection)
        }
        Err(error) => {
            let failure = tls_failure(&error);
            if let (Some(about), Some(failure)) = (about, failure) {
                attempted.tls.failure(about, local_ip, remote.ip, failure, error.outcome.as_ref());
            }
            Err(NotOpen { fault: open_fault(&error, remote), is_tls: failure.is_some() })
        }
    }
}

/// Addresses of a host that were tried and are remembered.
const DIALED_MAX: usize = 20;

async fn connect(inner: &Inner, way: &Way<'_>, host: &HostAt<'_>) -> Result<Conn, String> {
    let port = inner.services.port;
    let Some((proxy, _)) = way.socks else {
        let addresses: Vec<SocketAddr> =
            host.ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        return dial(&addresses, HOST_WAIT, way.local).await.map_err(|error| error.to_string());
    };
    let proxies = super::smarthost::resolve(inner, proxy).await?;
    let mut failed = "no address".to_owned();
    for ip in &host.ips {
        match dial_socks(&proxies, &Target::Ip(*ip), port, HOST_WAIT, way.local).await {
            Ok(conn) => return Ok(conn),
            Err(error) => failed = format!("connect to {ip}: {error}"),
        }
    }
    Err(failed)
}

/// What of it was a failure of TLS, for reports and for another try without it.
fn tls_failure(error: &OpenError) -> Option<TlsFailure> {
    match &error.cause {
        OpenFault::Tls(error) => Some(error.failure),
        OpenFault::Session(fault) if fault.command == Step::StartTls => {
            Some(fault.code().map_or(TlsFailure::NotOffered, TlsFailure::Refused))
        }
        // A server that speaks TLS 1.3 tells only with its first record that it does not like ours.
        OpenFault::Session(_) => {
            let trouble = error.trouble.as_ref().filter(|_| error.outcome.is_some())?;
            trouble.remote_alert().map(TlsFailure::RemoteAlert)
        }
    }
}

fn open_fault(error: &OpenError, remote: &Remote) -> Fault {
    match &error.cause {
        OpenFault::Session(fault) => Fault::of(fault, remote),
        OpenFault::Tls(error) => Fault::ours(false, (7, 5), format!("tls: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each host in turn fails for; whether the message is returned for it.
    #[track_caller]
    fn check(faults: &[Fault], want: bool) {
        let mut fates = vec![None];
        for fault in faults {
            let before = fates.clone();
            note(&mut fates, fault);
            hope(before, &mut fates);
        }
        settle_requiretls(&mut fates);
        let [Some(Fate::Failed(fault))] = &fates[..] else { panic!("{fates:?}") };
        assert_eq!(fault.is_permanent, want, "{faults:?}");
    }

    /// RFC 8689 §4.2.1. The last host alone decided: a message came back though the first one, that
    /// was busy, would have taken it.
    #[test]
    fn requiretls_returns_a_message_only_if_no_host_will_do() {
        let cannot = Fault::requiretls("no");
        let busy = Fault::ours(false, (4, 1), "busy");
        check(std::slice::from_ref(&cannot), true);
        check(&[cannot.clone(), cannot.clone()], true);
        check(&[busy.clone(), cannot.clone()], false);
        check(&[cannot.clone(), busy.clone()], false);
        check(&[busy, cannot.clone(), cannot], false);
    }
}
