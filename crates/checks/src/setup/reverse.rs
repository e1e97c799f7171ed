//! Whether addresses lead back to the name.

use std::net::IpAddr;

use futures_util::future::join_all;
use mox_base::Domain;
use mox_dns::{DnsError, Found, Lookups as _, Name, Resolver};

use super::{IPS_MAX, LOOKUP_WAIT, NAMES_MAX, list};
use crate::Finding;
use crate::services::within;

/// Looks up the names of the addresses of the machine: each should have one, its own.
///
/// RFC 1912 §2.1 wants that address and name agree; many servers take no mail otherwise.
pub async fn reverse<R: Resolver + ?Sized>(
    resolver: &R,
    hostname: &Domain,
    ips: &[IpAddr],
) -> Vec<Finding> {
    let asked = ips.iter().take(IPS_MAX).map(async |ip| {
        let found = within(LOOKUP_WAIT, resolver.ptr(*ip)).await;
        judged(hostname, *ip, found)
    });
    join_all(asked).await
}

fn judged(hostname: &Domain, ip: IpAddr, found: Result<Found<Name>, DnsError>) -> Finding {
    let next_step = format!(
        "Servers that get mail from {ip} look this up, and many refuse mail if it does not match.\n\
         The provider of the address sets it, not the one of the domain: look for \"reverse DNS\", \
         \"rDNS\" or \"PTR\" in its pages, and set it to {hostname} and nothing else."
    );
    let names = match found {
        Ok(found) => found.records,
        Err(error) => {
            return Finding::warning(format!("look up the name of {ip}: {error}"), next_step);
        }
    };
    let is_ours = |name: &Name| *name == Name::from(hostname);
    match names.as_slice() {
        [name] if is_ours(name) => Finding::ok(format!("{ip} leads back to {hostname}")),
        names if names.iter().any(is_ours) => {
            let names = list(names.iter().take(NAMES_MAX).map(Name::as_str));
            Finding::warning(format!("{ip} leads to several names: {names}"), next_step)
        }
        names => {
            let names = list(names.iter().take(NAMES_MAX).map(Name::as_str));
            Finding::warning(format!("{ip} leads to {names}, not to {hostname}"), next_step)
        }
    }
}

#[cfg(test)]
mod tests {
    use mox_dns::FakeDns;

    use super::*;
    use crate::Level;

    #[track_caller]
    fn check(names: &[&str], want: (Level, &str)) {
        let mut dns = FakeDns::new();
        for name in names {
            dns.add_ptr("8.8.4.4", name);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let name = Domain::parse("mx.example").unwrap();
        let ips = ["8.8.4.4".parse().unwrap()];
        let findings = runtime.block_on(reverse(&dns, &name, &ips));
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!((finding.level, finding.what.as_str()), want);
        assert_eq!(finding.next_step.contains("rDNS"), want.0 == Level::Warning);
    }

    #[test]
    fn addresses_must_lead_back() {
        check(&["MX.example"], (Level::Ok, "8.8.4.4 leads back to mx.example"));
        let want = "8.8.4.4 leads to several names: mx.example, a.example";
        check(&["mx.example", "a.example"], (Level::Warning, want));
        check(&["a.example"], (Level::Warning, "8.8.4.4 leads to a.example, not to mx.example"));
        let want = "look up the name of 8.8.4.4: the name does not exist";
        check(&[], (Level::Warning, want));
    }
}
