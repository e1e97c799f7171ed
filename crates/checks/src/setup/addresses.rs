//! Where the name of a machine leads, and on which addresses it listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mox_base::Domain;
use mox_dns::{DnsError, Found, Lookups as _, Name, Resolver};

use super::interfaces::{InterfaceAddresses, is_private};
use super::{IPS_MAX, LOOKUP_WAIT, list};
use crate::Finding;
use crate::services::within;

/// The addresses of a machine, in the order in which they stand in a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAddresses {
    /// Where its name leads, but for loopback.
    pub host: Vec<IpAddr>,
    /// Addresses for services that others reach.
    pub public: Vec<IpAddr>,
    /// The addresses that others see instead, if an address translation lies between.
    pub nat: Vec<IpAddr>,
    /// Addresses for services of the inside.
    pub internal: Vec<IpAddr>,
    /// Whether DNSSEC vouches for `host`.
    pub is_secure: bool,
    /// Whether DNS has what it should: only then it is worth to ask on.
    pub is_resolved: bool,
}

/// Looks up the addresses of the machine's name, and divides those of its interfaces.
///
/// If the name leads to the internet and the machine has only private addresses, an address
/// translation is assumed.
pub async fn addresses<R: Resolver + ?Sized>(
    resolver: &R,
    hostname: &Domain,
    own: &InterfaceAddresses,
) -> (HostAddresses, Vec<Finding>) {
    let found = within(LOOKUP_WAIT, resolver.ips(&Name::from(hostname))).await;
    let mut findings = Vec::new();
    let mut out = HostAddresses::default();
    match found {
        Ok(found) => take_host(&mut out, hostname, found, &mut findings),
        Err(error) => findings.push(unresolved(hostname, &error)),
    }
    divide(&mut out, own, &mut findings);
    (out, findings)
}

fn take_host(
    out: &mut HostAddresses,
    hostname: &Domain,
    found: Found<IpAddr>,
    findings: &mut Vec<Finding>,
) {
    out.is_secure = found.security.is_secure();
    let (loopback, host): (Vec<_>, Vec<_>) = found
        .records
        .into_iter()
        .take(IPS_MAX)
        .map(|ip| ip.to_canonical())
        .partition(IpAddr::is_loopback);
    out.is_resolved = loopback.is_empty();
    out.host = host;
    if !loopback.is_empty() {
        findings.push(Finding::warning(
            format!("{hostname} leads to {}, which only this machine can reach", list(loopback)),
            format!(
                "Usually the cause is a line in /etc/hosts that gives the machine its own name. \
                 Remove {hostname} from the lines with 127.0.0.1, 127.0.1.1 and ::1 there, and make \
                 sure that DNS has an A record for it with the address that others reach."
            ),
        ));
    }
    if out.host.is_empty() {
        return;
    }
    let what = format!("{hostname} leads to {}", list(&out.host));
    findings.push(if out.is_secure {
        Finding::ok(format!("{what}, with dnssec"))
    } else {
        Finding::note(
            format!("{what}, without dnssec"),
            "The zone of that name is not signed. Mail will work, but others cannot verify this \
             server by DANE: the TLSA records are made as comments only.\nSwitch on DNSSEC where the \
             domain is managed, then see \"mox config dnsrecords\" again.",
        )
    });
}

fn unresolved(hostname: &Domain, error: &DnsError) -> Finding {
    Finding::warning(
        format!("look up addresses of {hostname}: {error}"),
        format!(
            "There are two explanations:\n\
             - There are no records yet. Add an A record (and AAAA for IPv6) for {hostname} with the \
               address of this machine, wait until DNS has it, and run this again.\n\
             - The name is not the one you want. Start again with -hostname NAME.\n\
             The addresses of the network interfaces are used meanwhile: look at the IPs in mox.conf."
        ),
    )
}

/// Divides the addresses of the machine between the services for others and those of the inside.
fn divide(out: &mut HostAddresses, own: &InterfaceAddresses, findings: &mut Vec<Finding>) {
    let host_is_private = !out.host.is_empty() && out.host.iter().all(|ip| is_private(*ip));
    if !out.host.is_empty()
        && !host_is_private
        && own.public.is_empty()
        && !own.private.is_empty()
        && !out.host.iter().any(|ip| own.contains(*ip))
    {
        out.public.clone_from(&own.private);
        out.nat.clone_from(&out.host);
        findings.push(behind_nat(out));
    } else {
        out.public = listened(&out.host, own, findings);
    }
    let is_inside = |ip: &&IpAddr| !out.public.contains(ip);
    let inside = own.private.iter().filter(is_inside).chain(&own.loopback);
    out.internal = inside.copied().collect();
    if out.internal.is_empty() {
        out.internal = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
}

fn behind_nat(out: &HostAddresses) -> Finding {
    Finding::note(
        format!(
            "this machine seems to be behind address translation (NAT): its addresses are {}, and its \
             name leads to {}",
            list(&out.public),
            list(&out.nat)
        ),
        "The configuration is made for that. On the router, forward the TCP ports 25, 80, 443, 465 \
         and 993 to this machine.",
    )
}

/// The addresses for services that others reach, if there is no translation.
fn listened(host: &[IpAddr], own: &InterfaceAddresses, findings: &mut Vec<Finding>) -> Vec<IpAddr> {
    let (here, elsewhere): (Vec<IpAddr>, Vec<IpAddr>) =
        host.iter().partition(|ip| own.contains(**ip));
    if !elsewhere.is_empty() {
        findings.push(Finding::warning(
            format!("no network interface of this machine has {}", list(elsewhere)),
            "Is the name that of this machine? If its A and AAAA records are wrong, correct them. If \
             an address translation (NAT) lies between, put the address into NATIPs of the public \
             listener in mox.conf, and the address of the interface into IPs.",
        ));
    }
    if !here.is_empty() {
        return here;
    }
    if !own.public.is_empty() {
        return own.public.clone();
    }
    findings.push(Finding::warning(
        "no public address was found: services for others listen on all addresses",
        "Replace 0.0.0.0 and :: in mox.conf by the addresses that others reach. As they are, they \
         clash with the internal listener where both use the same port.",
    ));
    vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
}

#[cfg(test)]
mod tests {
    use mox_dns::FakeDns;

    use super::*;
    use crate::Level;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    struct Want<'a> {
        public: &'a [&'a str],
        nat: &'a [&'a str],
        internal: &'a [&'a str],
        says: &'a [(Level, &'a str)],
    }

    /// `own`: public, private and loopback addresses.
    #[track_caller]
    fn check(host: &[&str], own: [&[&str]; 3], want: &Want<'_>) -> HostAddresses {
        let mut dns = FakeDns::new();
        dns.add_ips("mx.example", host);
        let [public, private, loopback] = own.map(ips);
        let own = InterfaceAddresses { public, private, loopback };
        let name = Domain::parse("mx.example").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (out, findings) = runtime.block_on(addresses(&dns, &name, &own));
        let found = (&out.public, &out.nat, &out.internal);
        assert_eq!(found, (&ips(want.public), &ips(want.nat), &ips(want.internal)), "{findings:?}");
        assert_eq!(findings.len(), want.says.len(), "{findings:?}");
        for (finding, (level, says)) in findings.iter().zip(want.says) {
            assert_eq!(finding.level, *level, "{finding}");
            assert!(finding.what.contains(says), "{finding}");
        }
        out
    }

    #[test]
    fn a_rented_server_listens_where_its_name_leads() {
        let want = Want {
            public: &["8.8.4.4", "2a00::1"],
            nat: &[],
            internal: &["10.0.0.1", "127.0.0.1"],
            says: &[(Level::Note, "without dnssec")],
        };
        let own: [&[&str]; 3] = [&["8.8.4.4", "2a00::1"], &["10.0.0.1"], &["127.0.0.1"]];
        let out = check(&["8.8.4.4", "2a00::1"], own, &want);
        assert!(out.is_resolved && !out.is_secure);
    }

    #[test]
    fn address_translation_is_seen() {
        let want = Want {
            public: &["192.168.1.2"],
            nat: &["8.8.4.4"],
            internal: &["127.0.0.1"],
            says: &[(Level::Note, "without dnssec"), (Level::Note, "NAT")],
        };
        check(&["8.8.4.4"], [&[], &["192.168.1.2"], &["127.0.0.1"]], &want);
        // A machine for the inside only.
        let says = &[(Level::Note, "without dnssec")][..];
        let want = Want { public: &["192.168.1.2"], nat: &[], internal: &["127.0.0.1"], says };
        check(&["192.168.1.2"], [&[], &["192.168.1.2"], &["127.0.0.1"]], &want);
    }

    #[test]
    fn wrong_records_are_told() {
        // The name leads to another machine.
        let says = &[(Level::Note, "without dnssec"), (Level::Warning, "no network interface")][..];
        let want = Want { public: &["8.8.4.4"], nat: &[], internal: &["127.0.0.1"], says };
        check(&["9.9.9.9"], [&["8.8.4.4"], &[], &["127.0.0.1"]], &want);
        // /etc/hosts has it.
        let says = &[(Level::Warning, "only this machine can reach")][..];
        let want = Want { public: &["8.8.4.4"], nat: &[], internal: &["127.0.0.1"], says };
        let out = check(&["127.0.1.1"], [&["8.8.4.4"], &[], &["127.0.0.1"]], &want);
        assert!(!out.is_resolved && out.host.is_empty());
        // There are no records.
        let says = &[(Level::Warning, "does not exist")][..];
        let want = Want { public: &["8.8.4.4"], nat: &[], internal: &["127.0.0.1"], says };
        assert!(!check(&[], [&["8.8.4.4"], &[], &["127.0.0.1"]], &want).is_resolved);
        // And no addresses.
        let want = Want {
            public: &["0.0.0.0", "::"],
            nat: &[],
            internal: &["127.0.0.1", "::1"],
            says: &[(Level::Warning, "does not exist"), (Level::Warning, "no public address")],
        };
        check(&[], [&[], &[], &[]], &want);
    }

    #[test]
    fn signed_names_are_told() {
        let mut dns = FakeDns::new();
        dns.add_ips("mx.example", &["8.8.4.4"]).sign("example");
        let own = InterfaceAddresses { public: ips(&["8.8.4.4"]), ..InterfaceAddresses::default() };
        let name = Domain::parse("mx.example").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (out, findings) = runtime.block_on(addresses(&dns, &name, &own));
        assert!(out.is_secure && out.is_resolved);
        assert_eq!(findings, [Finding::ok("mx.example leads to 8.8.4.4, with dnssec")]);
    }
}
