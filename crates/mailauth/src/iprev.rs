//! Whether an address has a name that leads back to it.
//!
//! Source: RFC 8601 §2.7.3, §3.

use std::net::IpAddr;

use mox_dns::{DnsError, Lookups, Name, Resolver, Security};

/// Names of one address that are looked up; the others are not considered. Ours, as RFC 7208 §4.6.4
/// has it for names of addresses.
pub const NAMES_MAX: usize = 10;

/// What came of it. RFC 8601 §2.7.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A name leads back to the address.
    Pass,
    /// There are names, and none leads back.
    Fail,
    /// Something could not be looked up, and may be later.
    TempError,
    /// The address has no name.
    PermError,
}

impl Status {
    /// The word for it in header fields.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// The outcome for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What came of it.
    pub status: Status,
    /// The name that leads back to the address: only with [`Status::Pass`].
    pub name: Option<Name>,
    /// All names of the address that were considered, at most [`NAMES_MAX`], in the order of their
    /// letters.
    pub names: Vec<Name>,
    /// Of all answers that were needed.
    pub security: Security,
}

/// Finds the names of an address and looks which of them leads back to it.
///
/// Takes one look-up of names and at most [`NAMES_MAX`] of addresses.
pub async fn check<R: Resolver + ?Sized>(resolver: &R, ip: IpAddr) -> Outcome {
    let ip = ip.to_canonical();
    let (mut names, mut security) = match resolver.ptr(ip).await {
        Ok(found) => (found.records, found.security),
        Err(error) => {
            let status = if error.is_temporary() { Status::TempError } else { Status::PermError };
            let security = of_error(&error);
            return Outcome { status, name: None, names: Vec::new(), security };
        }
    };
    // Servers change the order from answer to answer; the outcome shall not depend on it.
    names.sort();
    names.dedup();
    names.truncate(NAMES_MAX);
    let mut status = Status::Fail;
    for name in &names {
        let found = match ip {
            IpAddr::V4(_) => resolver.ipv4(name).await,
            IpAddr::V6(_) => resolver.ipv6(name).await,
        };
        match found {
            Ok(found) => {
                security = security.and(found.security);
                if found.records.contains(&ip) {
                    let name = Some(name.clone());
                    return Outcome { status: Status::Pass, name, names, security };
                }
            }
            Err(error) => {
                security = security.and(of_error(&error));
                if error.is_temporary() {
                    status = Status::TempError;
                }
            }
        }
    }
    Outcome { status, name: None, names, security }
}

/// What DNSSEC says of an answer without records.
fn of_error(error: &DnsError) -> Security {
    match error {
        DnsError::NotFound { security, .. } => *security,
        DnsError::Bogus | DnsError::Temporary(_) => Security::Insecure,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::FutureExt as _;
    use mox_dns::{FakeDns, RecordType, Trouble};

    use super::*;

    fn dns() -> FakeDns {
        let mut dns = FakeDns::new();
        dns.add_ptr("192.0.2.1", "a.example").add_ips("a.example", &["192.0.2.9", "192.0.2.1"]);
        dns.add_ptr("2001:db8::1", "six.example").add_ips("six.example", &["2001:db8::1"]);
        dns.add_ptr("192.0.2.2", "z.example").add_ptr("192.0.2.2", "b.example");
        dns.add_ips("b.example", &["192.0.2.1"]).add_ips("z.example", &["192.0.2.2"]);
        dns.add_ptr("192.0.2.3", "a.example").add_ptr("192.0.2.3", "none.example");
        dns.add_ptr("192.0.2.4", "a.example").add_ptr("192.0.2.4", "b.broken.example");
        dns.fail("b.broken.example", RecordType::A, DnsError::Temporary(Trouble::Timeout));
        let broken = Name::reverse("192.0.2.5".parse().unwrap());
        dns.fail(broken.as_str(), RecordType::Ptr, DnsError::Bogus);
        for i in 0..=NAMES_MAX {
            dns.add_ptr("192.0.2.6", &format!("n{i:02}.example"));
        }
        dns.add_ips("n10.example", &["192.0.2.6"]).add_ips("n09.example", &["192.0.2.7"]);
        for i in 0..NAMES_MAX {
            dns.add_ptr("192.0.2.7", &format!("n{i:02}.example"));
        }
        dns
    }

    #[track_caller]
    fn check_ip(ip: &str, status: Status, name: Option<&str>) {
        let dns = dns();
        let outcome = check(&dns, ip.parse().unwrap()).now_or_never().unwrap();
        let got = outcome.name.as_ref().map(Name::as_str);
        assert_eq!((outcome.status, got), (status, name), "{ip}");
        assert!(dns.take_asked().len() <= 1 + NAMES_MAX);
    }

    /// RFC 8601 §2.7.3, §3.
    #[test]
    fn a_name_must_lead_back_to_the_address() {
        check_ip("192.0.2.1", Status::Pass, Some("a.example"));
        check_ip("2001:db8::1", Status::Pass, Some("six.example"));
        check_ip("::ffff:192.0.2.1", Status::Pass, Some("a.example"));
        check_ip("192.0.2.2", Status::Pass, Some("z.example"));
        // The last name that counts, and one behind it.
        check_ip("192.0.2.7", Status::Pass, Some("n09.example"));
        check_ip("192.0.2.6", Status::Fail, None);
        check_ip("192.0.2.3", Status::Fail, None);
        check_ip("192.0.2.4", Status::TempError, None);
        check_ip("192.0.2.5", Status::TempError, None);
        check_ip("192.0.2.99", Status::PermError, None);
    }

    #[test]
    fn it_is_as_secure_as_every_answer_it_needed() {
        let mut dns = dns();
        let now = |dns: &FakeDns, ip: &str| {
            check(dns, ip.parse().unwrap()).now_or_never().unwrap().security
        };
        assert_eq!(now(&dns, "192.0.2.1"), Security::Insecure);
        dns.sign("a.example");
        assert_eq!(now(&dns, "192.0.2.1"), Security::Insecure);
        dns.sign("in-addr.arpa");
        assert_eq!(now(&dns, "192.0.2.1"), Security::Secure);
        assert_eq!(now(&dns, "192.0.2.99"), Security::Secure);
        assert_eq!(now(&dns, "192.0.2.3"), Security::Insecure);
        assert_eq!(now(&dns, "192.0.2.5"), Security::Insecure);
    }
}
