//! What a machine is called.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::future::join_all;
use mox_base::Domain;
use mox_dns::{Lookups as _, Resolver};

use super::{IPS_MAX, LOOKUP_WAIT, NAMES_MAX, list};
use crate::Finding;
use crate::services::within;

/// Names that only this machine or its network knows. RFC 6761 §6.3, RFC 6762 §3, RFC 8375 §4.
const INSIDE_NAMES: &[&str] =
    &["localhost", "localdomain", "local", "lan", "home", "home.arpa", "internal"];

/// Where the name of a machine is taken from.
#[derive(Clone, Copy, Debug)]
pub struct HostName<'a> {
    /// What the operator says.
    pub given: Option<&'a Domain>,
    /// What the system calls itself.
    pub system: &'a str,
    /// The domain that gets mail.
    pub domain: &'a Domain,
    /// The public addresses of the machine.
    pub public: &'a [IpAddr],
}

/// Chooses the name of the machine: as given, else what the system calls itself if that is a full
/// name, else the name that its public addresses lead to, else one below the domain.
///
/// Deviation: what the system calls itself does not count if only the inside can know it.
pub async fn hostname<R: Resolver + ?Sized>(
    resolver: &R,
    from: HostName<'_>,
) -> (Domain, Vec<Finding>) {
    if let Some(given) = from.given {
        return (given.clone(), Vec::new());
    }
    if let Some(name) = Domain::parse_host(from.system).ok().filter(is_full) {
        let what = format!("name of this machine: {name}, as the system calls itself");
        return (name, vec![Finding::ok(what)]);
    }
    let names = reverse_names(resolver, from.public).await;
    if let Some(name) = names.first() {
        let what = format!("name of this machine: {name}, as its addresses say in DNS");
        let finding = if names.len() == 1 {
            Finding::ok(what)
        } else {
            let others = list(names.iter().take(NAMES_MAX));
            Finding::warning(
                format!("{what}, but that is one of several: {others}"),
                "Should it be another one, start again with -hostname NAME.",
            )
        };
        return (name.clone(), vec![finding]);
    }
    guessed(&from)
}

/// A name below the domain, from the first label of what the system calls itself.
fn guessed(from: &HostName<'_>) -> (Domain, Vec<Finding>) {
    let label = from.system.split('.').next().filter(|label| !INSIDE_NAMES.contains(label));
    let below = |label: &str| Domain::parse_host(&format!("{label}.{}", from.domain.ascii())).ok();
    let name = label.and_then(below).or_else(|| below("mail"));
    let name = name.unwrap_or_else(|| from.domain.clone());
    let finding = Finding::warning(
        format!("name of this machine: {name} is a guess, nothing tells its full name"),
        "If that name is fine, add an A record (and AAAA for IPv6) for it that leads to this machine.\n\
         Should it be another one, start again with -hostname NAME.",
    );
    (name, vec![finding])
}

/// Whether a name has a dot and others can know it.
fn is_full(name: &Domain) -> bool {
    let inside = |zone: &str| {
        name.ascii().strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    name.ascii().contains('.') && !INSIDE_NAMES.iter().any(|zone| inside(zone))
}

/// The full names that addresses lead to, sorted.
async fn reverse_names<R: Resolver + ?Sized>(resolver: &R, ips: &[IpAddr]) -> BTreeSet<Domain> {
    let asked = ips.iter().take(IPS_MAX).map(|ip| within(LOOKUP_WAIT, resolver.ptr(*ip)));
    let found = join_all(asked).await;
    let names = found.into_iter().flatten().flat_map(|found| found.records);
    names.filter_map(|name| Domain::parse_host(name.as_str()).ok()).filter(is_full).collect()
}

#[cfg(test)]
mod tests {
    use mox_dns::FakeDns;

    use super::*;
    use crate::Level;

    #[track_caller]
    fn check(given: Option<&str>, system: &str, public: &[&str], want: (&str, Level)) {
        let mut dns = FakeDns::new();
        dns.add_ptr("8.8.4.4", "mx.a.example").add_ptr("8.8.4.5", "short");
        dns.add_ptr("8.8.4.6", "b.a.example").add_ptr("8.8.4.6", "a.a.example");
        dns.add_ptr("8.8.4.7", "vm.internal");
        let given = given.map(|name| Domain::parse(name).unwrap());
        let public: Vec<IpAddr> = public.iter().map(|ip| ip.parse().unwrap()).collect();
        let domain = Domain::parse("d.example").unwrap();
        let from = HostName { given: given.as_ref(), system, domain: &domain, public: &public };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (name, findings) = runtime.block_on(hostname(&dns, from));
        let level = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        assert_eq!((name.ascii(), level), want, "{findings:?}");
    }

    #[test]
    fn the_name_is_the_one_that_others_know() {
        check(Some("x.example"), "y.example", &[], ("x.example", Level::Ok));
        check(None, "y.example", &["8.8.4.4"], ("y.example", Level::Ok));
        check(None, "y", &["8.8.4.4"], ("mx.a.example", Level::Ok));
        check(None, "y", &["8.8.4.5", "8.8.4.4", "8.8.4.9"], ("mx.a.example", Level::Ok));
        check(None, "y", &["8.8.4.6"], ("a.a.example", Level::Warning));
        // Only the inside knows these.
        check(None, "y.local", &["8.8.4.4"], ("mx.a.example", Level::Ok));
        check(None, "y", &["8.8.4.7"], ("y.d.example", Level::Warning));
        // Nobody knows one.
        check(None, "y", &["8.8.4.5"], ("y.d.example", Level::Warning));
        check(None, "localhost", &[], ("mail.d.example", Level::Warning));
        check(None, "", &[], ("mail.d.example", Level::Warning));
        check(None, "my_machine", &[], ("mail.d.example", Level::Warning));
    }
}
