//! The addresses of a host, in the order in which they are tried.

use std::net::IpAddr;

use mox_base::Domain;
use mox_dns::{DnsError, Found, Lookups, Name, Resolver, Security};

use super::{DestinationError, follow};

/// CNAME records that are followed from the name of a host.
pub const ALIASES_MAX: usize = 11;

/// Addresses that are tried of one host.
pub const ADDRESSES_MAX: usize = 16;

/// Which kinds of addresses are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// Whether IPv4 is.
    pub ipv4: bool,
    /// Whether IPv6 is.
    pub ipv6: bool,
}

impl Families {
    /// Both.
    pub const ALL: Self = Self { ipv4: true, ipv6: true };

    fn has(self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// The addresses of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// In the order in which they are to be tried. At least one, at most [`ADDRESSES_MAX`].
    pub ips: Vec<IpAddr>,
    /// Whether the host has addresses of both kinds, in use or not.
    pub is_dual_stack: bool,
    /// The first step: the alias, or the addresses if there is none. RFC 7672 §2.2.2.
    pub original_security: Security,
    /// The name that has the addresses: the host's own, or where its aliases lead.
    pub expanded: Domain,
    /// Of all steps.
    pub expanded_security: Security,
}

/// Looks up the addresses of a host. `dialed`: those of it that were tried before, in order.
///
/// # Errors
///
/// If it has none that may be used, or DNS does not say.
pub async fn addresses<R: Resolver + ?Sized>(
    resolver: &R,
    host: &Domain,
    families: Families,
    dialed: &[IpAddr],
) -> Result<Addresses, DestinationError> {
    let aliases = follow(resolver, host, ALIASES_MAX).await?;
    let name = Name::from(&aliases.expanded);
    let found = match ips(resolver, &name, families).await {
        Ok(found) => found,
        Err(error) if error.is_not_found() => {
            return Err(DestinationError::NoAddress(host.clone()));
        }
        Err(error) => return Err(DestinationError::Dns { name, error }),
    };
    let is_dual_stack =
        found.records.iter().any(IpAddr::is_ipv4) && found.records.iter().any(IpAddr::is_ipv6);
    let mut ips: Vec<_> = found.records.into_iter().filter(|ip| families.has(*ip)).collect();
    if ips.is_empty() {
        return Err(DestinationError::NoUsableAddress(host.clone()));
    }
    order(&mut ips, dialed);
    ips.truncate(ADDRESSES_MAX);
    let original_security =
        if aliases.is_alias { aliases.original_security } else { found.security };
    Ok(Addresses {
        ips,
        is_dual_stack,
        original_security,
        expanded: aliases.expanded,
        expanded_security: aliases.expanded_security.and(found.security),
    })
}

/// With one family in use, trouble with the other does not matter.
async fn ips<R: Resolver + ?Sized>(
    resolver: &R,
    name: &Name,
    families: Families,
) -> Result<Found<IpAddr>, DnsError> {
    match resolver.ips(name).await {
        Err(error) if error.is_temporary() && families != Families::ALL => match families.ipv4 {
            true => resolver.ipv4(name).await,
            false => resolver.ipv6(name).await,
        },
        result => result,
    }
}

/// Puts first what is most likely to work, going by what was tried before.
///
/// The other family goes before the one dialed last: one of them may be broken, or have a bad
/// name. Within a family that was dialed exactly once, that address goes first again: a server that
/// makes strangers wait (greylisting) knows it by now.
fn order(ips: &mut [IpAddr], dialed: &[IpAddr]) {
    let Some(last) = dialed.last() else { return };
    let again = |is_ipv4: bool| {
        let mut of_family = dialed.iter().filter(|ip| ip.is_ipv4() == is_ipv4);
        match (of_family.next(), of_family.next()) {
            (Some(only), None) => Some(*only),
            _ => None,
        }
    };
    let (again4, again6) = (again(true), again(false));
    // Stable: what DNS says is kept otherwise.
    ips.sort_by_key(|ip| {
        let again = if ip.is_ipv4() { again4 } else { again6 };
        (ip.is_ipv4() == last.is_ipv4(), again != Some(*ip))
    });
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use mox_dns::{FakeDns, RecordType, Trouble};

    use super::super::tests::{alias, domain};
    use super::*;

    fn look_up(dns: &FakeDns, host: &str) -> Result<Addresses, DestinationError> {
        addresses(dns, &domain(host), Families::ALL, &[]).now_or_never().unwrap()
    }

    #[track_caller]
    fn check(dns: &FakeDns, host: &str, ips: &str, expanded: &str, is_secure: (bool, bool)) {
        let got = look_up(dns, host).unwrap();
        let texts: Vec<_> = got.ips.iter().map(ToString::to_string).collect();
        assert_eq!((texts.join(" ").as_str(), got.expanded.ascii()), (ips, expanded), "{host}");
        let security = (got.original_security.is_secure(), got.expanded_security.is_secure());
        assert_eq!(security, is_secure, "{host}");
    }

    /// RFC 5321 §5.1; RFC 7672 §2.2.2.
    #[test]
    fn addresses_are_found() {
        let mut dns = FakeDns::new();
        dns.add_ips("both.example", &["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
        dns.add_ips("four.example", &["192.0.2.1"]).add_ips("six.example", &["2001:db8::1"]);
        dns.add_ips("h.signed.example", &["192.0.2.9"]);
        alias(&mut dns, "a.signed.example", "h.signed.example");
        alias(&mut dns, "half.signed.example", "four.example");
        dns.sign("signed.example");
        check(
            &dns,
            "both.example",
            "192.0.2.1 192.0.2.2 2001:db8::1",
            "both.example",
            (false, false),
        );
        check(&dns, "four.example", "192.0.2.1", "four.example", (false, false));
        check(&dns, "six.example", "2001:db8::1", "six.example", (false, false));
        check(&dns, "h.signed.example", "192.0.2.9", "h.signed.example", (true, true));
        check(&dns, "a.signed.example", "192.0.2.9", "h.signed.example", (true, true));
        check(&dns, "half.signed.example", "192.0.2.1", "four.example", (true, false));
        assert!(look_up(&dns, "both.example").unwrap().is_dual_stack);
        assert!(!look_up(&dns, "six.example").unwrap().is_dual_stack);
    }

    #[test]
    fn what_is_not_found_is_told_apart() {
        let mut dns = FakeDns::new();
        alias(&mut dns, "dangling.example", "gone.example");
        for n in 0..20 {
            alias(&mut dns, &format!("n{n}.example"), &format!("n{}.example", n + 1));
        }
        dns.add_ips("n20.example", &["192.0.2.1"]);
        for host in ["none.example", "dangling.example"] {
            let error = look_up(&dns, host).unwrap_err();
            assert_eq!(error, DestinationError::NoAddress(domain(host)));
            assert!(error.is_permanent());
        }
        let edge = format!("n{}.example", 20 - ALIASES_MAX);
        check(&dns, &edge, "192.0.2.1", "n20.example", (false, false));
        let past = domain(&format!("n{}.example", 19 - ALIASES_MAX));
        let error = look_up(&dns, past.ascii()).unwrap_err();
        assert_eq!(error, DestinationError::TooManyAliases(past));
        for kind in [RecordType::Cname, RecordType::A] {
            for error in [DnsError::Bogus, DnsError::Temporary(Trouble::Timeout)] {
                let mut dns = FakeDns::new();
                dns.fail("h.example", kind, error.clone());
                let name = Name::parse("h.example").unwrap();
                let want = DestinationError::Dns { name, error };
                assert!(!want.is_permanent());
                assert_eq!(look_up(&dns, "h.example"), Err(want));
            }
        }
        // One family is enough, whatever is wrong with the other.
        let mut dns = FakeDns::new();
        dns.add_ips("h.example", &["192.0.2.1"]);
        dns.fail("h.example", RecordType::Aaaa, DnsError::Bogus);
        check(&dns, "h.example", "192.0.2.1", "h.example", (false, false));
    }

    #[test]
    fn families_may_be_left_out() {
        let mut dns = FakeDns::new();
        dns.add_ips("both.example", &["192.0.2.1", "2001:db8::1"]);
        dns.add_ips("six.example", &["2001:db8::1"]);
        let only4 = Families { ipv6: false, ..Families::ALL };
        let look_up = |host| addresses(&dns, &domain(host), only4, &[]).now_or_never().unwrap();
        let both = look_up("both.example").unwrap();
        assert_eq!(both.ips, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert!(both.is_dual_stack);
        let error = look_up("six.example").unwrap_err();
        assert_eq!(error, DestinationError::NoUsableAddress(domain("six.example")));
        assert!(!error.is_permanent());
    }

    #[track_caller]
    fn check_order(dialed: &[&str], want: &[&str]) {
        let parse =
            |ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let mut ips = parse(&["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]);
        order(&mut ips, &parse(dialed));
        assert_eq!(ips, parse(want), "{dialed:?}");
    }

    #[test]
    fn families_alternate_and_greylisting_is_met_with_the_same_address() {
        const A: &str = "192.0.2.1";
        const B: &str = "192.0.2.2";
        const C: &str = "2001:db8::1";
        const D: &str = "2001:db8::2";
        check_order(&[], &[A, B, C, D]);
        check_order(&[A], &[C, D, A, B]);
        check_order(&[B], &[C, D, B, A]);
        check_order(&[A, D], &[A, B, D, C]);
        check_order(&[B, D], &[B, A, D, C]);
        check_order(&[B, D, B], &[D, C, A, B]);
        check_order(&[A, B], &[C, D, A, B]);
        // One that it no longer has.
        check_order(&["192.0.2.99"], &[C, D, A, B]);
    }
}
