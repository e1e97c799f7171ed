//! The TLSA records of a host, and the names that its certificate may have.
//!
//! Source: RFC 7672 §2.1, §2.2, §3.2.

use mox_base::Domain;
use mox_dns::{DnsError, Lookups, Name, Resolver, Tlsa};

use super::NextHop;
use super::addresses::Addresses;

/// The most records that are looked at. Those behind are as if they were not there.
pub const RECORDS_MAX: usize = 64;

/// What DNS says of how a host is verified. RFC 7672 §2.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsaLookup {
    /// There are no records, or nothing vouches for that.
    None,
    /// There are. They may all be unusable.
    Found {
        /// The name that has them: the host's own, or the one it stands for.
        base: Domain,
        /// At least one, at most [`RECORDS_MAX`].
        records: Vec<Tlsa>,
    },
    /// There may be, and DNS did not say: the host must not be used now. RFC 7672 §2.1.2.
    Failed(DnsError),
}

/// Whether the records of a host count: each step on the way to it must be vouched for. RFC 7672
/// §2.2.1.
#[must_use]
pub fn is_possible(hop: &NextHop, addresses: &Addresses) -> bool {
    addresses.original_security.is_secure()
        && hop.original_security.is_secure()
        && (!hop.has_mx || hop.expanded_security.is_secure())
}

/// Looks up the records for a port of a host: first of the name that has its addresses, if each
/// alias on the way there is vouched for, then of its own. RFC 7672 §2.2.3.
pub async fn tlsa<R: Resolver + ?Sized>(
    resolver: &R,
    port: u16,
    host: &Domain,
    addresses: &Addresses,
) -> TlsaLookup {
    if !addresses.original_security.is_secure() {
        return TlsaLookup::None;
    }
    if addresses.expanded_security.is_secure() && addresses.expanded != *host {
        match records(resolver, port, &addresses.expanded).await {
            TlsaLookup::None => {}
            found => return found,
        }
    }
    records(resolver, port, host).await
}

/// Aliases of the name of the records are followed by the resolver, which says whether all is
/// vouched for.
async fn records<R: Resolver + ?Sized>(resolver: &R, port: u16, base: &Domain) -> TlsaLookup {
    let Ok(name) = Name::below(&format!("_{port}._tcp"), base) else {
        return TlsaLookup::None;
    };
    match resolver.tlsa(&name).await {
        Ok(found) if found.security.is_secure() => {
            let mut records = found.records;
            records.truncate(RECORDS_MAX);
            TlsaLookup::Found { base: base.clone(), records }
        }
        Ok(_) | Err(DnsError::NotFound { .. }) => TlsaLookup::None,
        Err(error) => TlsaLookup::Failed(error),
    }
}

/// The names that a certificate verified by an anchor may have; the first is the one for SNI.
/// RFC 7672 §3.2.2, §8.1.
#[must_use]
pub fn names(hop: &NextHop, host: &Domain, addresses: &Addresses) -> Vec<Domain> {
    let mut names = Vec::with_capacity(4);
    let mut add = |name: &Domain| {
        if !names.contains(name) {
            names.push(name.clone());
        }
    };
    if hop.has_mx && !hop.expanded_security.is_secure() {
        add(&hop.original);
        return names;
    }
    if addresses.expanded_security.is_secure() {
        add(&addresses.expanded);
    }
    add(host);
    if hop.has_mx {
        add(&hop.original);
        add(&hop.expanded);
    }
    names
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use mox_dns::{Data, FakeDns, RecordType, Security, Trouble};

    use super::super::addresses::{Families, addresses};
    use super::super::tests::{alias, domain};
    use super::*;

    fn record(byte: u8) -> Tlsa {
        Tlsa { usage: 3, selector: 1, matching: 1, data: vec![byte; 32] }
    }

    fn look_up(dns: &FakeDns, host: &str) -> TlsaLookup {
        let host = domain(host);
        let found = addresses(dns, &host, Families::ALL, &[]).now_or_never().unwrap().unwrap();
        tlsa(dns, 25, &host, &found).now_or_never().unwrap()
    }

    fn found(base: &str, byte: u8) -> TlsaLookup {
        TlsaLookup::Found { base: domain(base), records: vec![record(byte)] }
    }

    fn dns() -> FakeDns {
        let mut dns = FakeDns::new();
        for host in ["h.signed.example", "plain.signed.example", "h.open.example"] {
            dns.add_ips(host, &["192.0.2.1"]);
        }
        alias(&mut dns, "a.signed.example", "h.signed.example");
        alias(&mut dns, "own.signed.example", "plain.signed.example");
        alias(&mut dns, "out.signed.example", "h.open.example");
        alias(&mut dns, "in.open.example", "h.signed.example");
        dns.add("_25._tcp.h.signed.example", Data::Tlsa(record(1)));
        dns.add("_25._tcp.a.signed.example", Data::Tlsa(record(2)));
        dns.add("_25._tcp.own.signed.example", Data::Tlsa(record(3)));
        dns.add("_25._tcp.out.signed.example", Data::Tlsa(record(4)));
        dns.add("_25._tcp.h.open.example", Data::Tlsa(record(5)));
        dns.sign("signed.example");
        dns
    }

    /// RFC 7672 §2.2.2, §2.2.3.
    #[test]
    fn records_are_those_of_the_base_domain() {
        let dns = dns();
        let check = |host, want| assert_eq!(look_up(&dns, host), want, "{host}");
        check("h.signed.example", found("h.signed.example", 1));
        // The name that is stood for goes first.
        check("a.signed.example", found("h.signed.example", 1));
        // It has none: the host's own count.
        check("own.signed.example", found("own.signed.example", 3));
        // It is not signed, so that only the host's own can count.
        check("out.signed.example", found("out.signed.example", 4));
        // Not signed from the start.
        check("in.open.example", TlsaLookup::None);
        check("h.open.example", TlsaLookup::None);
        check("plain.signed.example", TlsaLookup::None);
    }

    /// RFC 7672 §2.1.1, §2.1.2: an answer that is not signed is as none; trouble is not.
    #[test]
    fn aliases_and_trouble_of_the_records() {
        let mut dns = dns();
        alias(&mut dns, "_25._tcp.plain.signed.example", "_25._tcp.h.signed.example");
        assert_eq!(look_up(&dns, "plain.signed.example"), found("plain.signed.example", 1));
        dns.add_ips("x.signed.example", &["192.0.2.1"]);
        alias(&mut dns, "_25._tcp.x.signed.example", "_25._tcp.h.open.example");
        assert_eq!(look_up(&dns, "x.signed.example"), TlsaLookup::None);
        dns.add_ips("loop.signed.example", &["192.0.2.1"]);
        alias(&mut dns, "_25._tcp.loop.signed.example", "_25._tcp.loop.signed.example");
        let circle = DnsError::Temporary(Trouble::Malformed);
        assert_eq!(look_up(&dns, "loop.signed.example"), TlsaLookup::Failed(circle));
        for error in [DnsError::Bogus, DnsError::Temporary(Trouble::ServerFailure)] {
            dns.fail("_25._tcp.h.signed.example", RecordType::Tlsa, error.clone());
            assert_eq!(look_up(&dns, "h.signed.example"), TlsaLookup::Failed(error.clone()));
            // Also for those that stand for it, whatever they have themselves.
            assert_eq!(look_up(&dns, "a.signed.example"), TlsaLookup::Failed(error));
        }
    }

    #[test]
    fn not_too_many_records_are_looked_at() {
        let mut dns = dns();
        for _ in 0..100 {
            dns.add("_25._tcp.h.signed.example", Data::Tlsa(record(9)));
        }
        let TlsaLookup::Found { records, .. } = look_up(&dns, "h.signed.example") else {
            panic!("no records");
        };
        assert_eq!(records.len(), RECORDS_MAX);
    }

    const YES: Security = Security::Secure;
    const NO: Security = Security::Insecure;

    fn hop(has_mx: bool, original_security: Security, expanded_security: Security) -> NextHop {
        let (original, expanded) = (domain("to.example"), domain("real.example"));
        let hosts = Vec::new();
        NextHop { original, original_security, expanded, expanded_security, has_mx, hosts }
    }

    fn host(expanded: &str, original: Security, expanded_security: Security) -> Addresses {
        Addresses {
            ips: Vec::new(),
            is_dual_stack: false,
            original_security: original,
            expanded: domain(expanded),
            expanded_security,
        }
    }

    #[track_caller]
    fn check_names(hop: &NextHop, addresses: &Addresses, want: &[&str]) {
        let want: Vec<_> = want.iter().map(|name| domain(name)).collect();
        assert_eq!(names(hop, &domain("mx.example"), addresses), want);
    }

    /// RFC 7672 §3.2.2.
    #[test]
    fn a_certificate_may_name_the_host_and_the_next_hop() {
        let same = host("mx.example", YES, YES);
        let other = host("h.example", YES, YES);
        let out = host("h.example", YES, NO);
        check_names(&hop(false, YES, YES), &same, &["mx.example"]);
        check_names(&hop(false, YES, YES), &other, &["h.example", "mx.example"]);
        check_names(&hop(false, YES, NO), &out, &["mx.example"]);
        let mx = ["mx.example", "to.example", "real.example"];
        check_names(&hop(true, YES, YES), &same, &mx);
        check_names(
            &hop(true, YES, YES),
            &other,
            &["h.example", "mx.example", "to.example", "real.example"],
        );
        check_names(&hop(true, YES, YES), &out, &mx);
        check_names(&hop(true, YES, NO), &other, &["to.example"]);
    }

    /// RFC 7672 §2.2.1.
    #[test]
    fn every_step_must_be_vouched_for() {
        let signed = host("mx.example", YES, YES);
        for (hop, addresses, want) in [
            (hop(true, YES, YES), &signed, true),
            (hop(true, YES, NO), &signed, false),
            (hop(true, NO, NO), &signed, false),
            (hop(false, YES, NO), &signed, true),
            (hop(false, NO, NO), &signed, false),
            (hop(true, YES, YES), &host("h.example", YES, NO), true),
            (hop(true, YES, YES), &host("h.example", NO, NO), false),
        ] {
            assert_eq!(is_possible(&hop, addresses), want, "{hop:?} {addresses:?}");
        }
    }
}
