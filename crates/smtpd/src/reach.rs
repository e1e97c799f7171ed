//! Whether the names that a client gives exist: that of its host, and the domain of the sender.
//!
//! A message whose sender can get no mail could not be answered, nor could its failure be reported.

use std::sync::Arc;
use std::time::Duration;

use mox_base::Domain;
use mox_dns::{Lookups as _, Name, Resolver};
use mox_net::Wait;

use crate::facts::Bounded;

/// For all that is asked about one name. RFC 5321 §4.5.3.2.2 has clients wait 5 minutes for the
/// reply to MAIL.
pub const NAMES_WAIT: Wait = Wait::new("names", Duration::from_secs(60));

/// Hosts that take mail for a domain whose addresses are looked for, the preferred ones first: what
/// one command may cost. RFC 5321 §5.1 has more than one tried, and wants no more.
pub const EXCHANGES_MAX: usize = 10;

/// Whether a domain can get mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A host that takes mail for it has an address.
    Can,
    /// None has, or it says that it takes none. RFC 7505 §3.
    Cannot,
    /// It could not be found out now.
    Unknown,
}

/// Finds out whether a domain can get mail. RFC 5321 §5.1; RFC 7505 §4.2 on why that is asked.
///
/// Takes one look-up of hosts and at most two of addresses for each of [`EXCHANGES_MAX`].
pub(crate) async fn reach<R: Resolver + ?Sized>(resolver: &R, domain: &Domain) -> Reach {
    let name = Name::from(domain);
    let mut hosts = match resolver.mx(&name).await {
        Ok(found) => found.records.into_iter().map(|(_, host)| host).collect(),
        // Without MX records the domain is its own host.
        Err(error) if error.is_not_found() => vec![name],
        Err(_) => return Reach::Unknown,
    };
    // The root alone says that there is no mail; among others it means nothing.
    hosts.retain(|host| !host.is_root());
    let mut reach = Reach::Cannot;
    for host in hosts.iter().take(EXCHANGES_MAX) {
        match resolver.ips(host).await {
            Ok(_) => return Reach::Can,
            Err(error) if error.is_not_found() => {}
            Err(_) => reach = Reach::Unknown,
        }
    }
    reach
}

/// Whether a host has an address, or may have one: only a definite no is one. RFC 5321 §2.3.5.
pub(crate) async fn may_exist<R: Resolver + ?Sized>(resolver: &R, host: &Domain) -> bool {
    !resolver.ips(&Name::from(host)).await.is_err_and(|error| error.is_not_found())
}

/// A resolver for one command.
pub(crate) fn resolver(inner: &Arc<dyn Resolver>) -> Bounded {
    Bounded::new(Arc::clone(inner), NAMES_WAIT)
}

#[cfg(test)]
mod tests {
    use mox_dns::{DnsError, FakeDns, RecordType, Trouble};

    use super::*;

    const FAILURE: DnsError = DnsError::Temporary(Trouble::ServerFailure);

    fn dns() -> FakeDns {
        let mut dns = FakeDns::new();
        dns.add_ips("v4.example", &["192.0.2.1"]).add_ips("v6.example", &["2001:db8::1"]);
        dns.add_mx("mail.example", 10, "v4.example");
        dns.add_mx("second.example", 10, "gone.example").add_mx("second.example", 20, "v6.example");
        dns.add_mx("null.example", 0, ".").add_ips("null.example", &["192.0.2.1"]);
        dns.add_mx("odd.example", 0, ".").add_mx("odd.example", 10, "v4.example");
        dns.add_mx("dangling.example", 10, "gone.example");
        dns.add_ips("dangling.example", &["192.0.2.1"]);
        dns.add_txt("text.example", "v=spf1 -all");
        dns.fail("lame.example", RecordType::Mx, FAILURE).add_ips("lame.example", &["192.0.2.1"]);
        dns.fail("bogus.example", RecordType::Mx, DnsError::Bogus);
        dns.fail("sick.example", RecordType::A, FAILURE);
        dns.add_mx("half.example", 10, "sick.example").add_mx("half.example", 20, "v4.example");
        dns.add_mx("late.example", 10, "sick.example").add_mx("late.example", 20, "gone.example");
        dns
    }

    async fn check(dns: &FakeDns, domain: &str, want: Reach) {
        let domain = Domain::parse(domain).unwrap();
        assert_eq!(reach(dns, &domain).await, want, "{domain}");
    }

    /// RFC 5321 §5.1, RFC 7505 §3.
    #[tokio::test]
    async fn a_domain_that_can_get_mail_has_a_host_with_an_address() {
        let dns = &dns();
        // Valid.
        check(dns, "mail.example", Reach::Can).await;
        check(dns, "v4.example", Reach::Can).await;
        check(dns, "v6.example", Reach::Can).await;
        // At the edge of valid.
        check(dns, "second.example", Reach::Can).await;
        check(dns, "odd.example", Reach::Can).await;
        check(dns, "half.example", Reach::Can).await;
        // Just past: its own address does not count where it names hosts.
        check(dns, "dangling.example", Reach::Cannot).await;
        check(dns, "null.example", Reach::Cannot).await;
        check(dns, "text.example", Reach::Cannot).await;
        check(dns, "nowhere.example", Reach::Cannot).await;
        // Who knows.
        check(dns, "lame.example", Reach::Unknown).await;
        check(dns, "bogus.example", Reach::Unknown).await;
        check(dns, "sick.example", Reach::Unknown).await;
        check(dns, "late.example", Reach::Unknown).await;
    }

    #[tokio::test]
    async fn a_domain_with_many_hosts_costs_no_more_than_others() {
        let mut dns = FakeDns::new();
        for n in 0..500 {
            dns.add_mx("many.example", n, &format!("h{n}.example"));
        }
        check(&dns, "many.example", Reach::Cannot).await;
        assert_eq!(dns.take_asked().len(), 1 + 2 * EXCHANGES_MAX);
    }

    /// RFC 5321 §2.3.5, §4.1.4.
    #[tokio::test]
    async fn only_a_definite_no_is_one() {
        let dns = dns();
        let exists = async |host| may_exist(&dns, &Domain::parse(host).unwrap()).await;
        assert!(exists("v4.example").await && exists("v6.example").await);
        assert!(exists("sick.example").await);
        assert!(!exists("nowhere.example").await && !exists("text.example").await);
    }
}
