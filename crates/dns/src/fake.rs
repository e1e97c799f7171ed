//! A resolver that answers from a table.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::sync::{Mutex, PoisonError};

use crate::{Answer, Data, DnsError, Name, Pending, RecordType, Resolver, Security, Trouble};

/// How long its answers may be kept, in seconds.
const TTL_SECS: u32 = 300;

/// CNAME records that are followed before they count as a circle.
const ALIASES_MAX: usize = 8;

/// Answers from a table, at once, and remembers what it was asked.
///
/// Nothing is secure unless it is below a name given to [`FakeDns::sign`].
#[derive(Debug, Default)]
pub struct FakeDns {
    records: BTreeMap<Name, Vec<Data>>,
    failures: BTreeMap<(Name, RecordType), DnsError>,
    signed: Vec<Name>,
    asked: Mutex<Vec<(Name, RecordType)>>,
}

impl FakeDns {
    /// One that knows of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record.
    ///
    /// # Panics
    ///
    /// If `name` is none.
    pub fn add(&mut self, name: &str, data: Data) -> &mut Self {
        self.records.entry(parsed(name)).or_default().push(data);
        self
    }

    /// Adds a text.
    ///
    /// # Panics
    ///
    /// If `name` is none.
    pub fn add_txt(&mut self, name: &str, text: &str) -> &mut Self {
        self.add(name, Data::Txt(text.as_bytes().to_vec()))
    }

    /// Adds addresses of either kind.
    ///
    /// # Panics
    ///
    /// If `name` is none, or an address is none.
    pub fn add_ips(&mut self, name: &str, ips: &[&str]) -> &mut Self {
        for ip in ips {
            let data = match ip.parse() {
                Ok(std::net::IpAddr::V4(ip)) => Data::A(ip),
                Ok(std::net::IpAddr::V6(ip)) => Data::Aaaa(ip),
                Err(_) => broken(ip),
            };
            self.add(name, data);
        }
        self
    }

    /// Adds a host that takes mail.
    ///
    /// # Panics
    ///
    /// If a name is none.
    pub fn add_mx(&mut self, name: &str, preference: u16, exchange: &str) -> &mut Self {
        self.add(name, Data::Mx { preference, exchange: parsed(exchange) })
    }

    /// Adds a name of an address.
    ///
    /// # Panics
    ///
    /// If `ip` is no address or `name` none.
    pub fn add_ptr(&mut self, ip: &str, name: &str) -> &mut Self {
        let at = ip.parse().map_or_else(|_| broken(ip), Name::reverse);
        self.records.entry(at).or_default().push(Data::Ptr(parsed(name)));
        self
    }

    /// Fails a question from now on.
    ///
    /// # Panics
    ///
    /// If `name` is none.
    pub fn fail(&mut self, name: &str, kind: RecordType, error: DnsError) -> &mut Self {
        self.failures.insert((parsed(name), kind), error);
        self
    }

    /// Makes all at and below a name secure, also that something is not there.
    ///
    /// # Panics
    ///
    /// If `name` is none.
    pub fn sign(&mut self, name: &str) -> &mut Self {
        self.signed.push(parsed(name));
        self
    }

    /// All that was asked since the last call, in order.
    pub fn take_asked(&self) -> Vec<(Name, RecordType)> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn security(&self, name: &Name) -> Security {
        if self.signed.iter().any(|zone| name.is_within(zone)) {
            Security::Secure
        } else {
            Security::Insecure
        }
    }

    fn answer(&self, name: &Name, kind: RecordType) -> Result<Answer, DnsError> {
        let mut at = name.clone();
        let mut security = Security::Secure;
        for _ in 0..=ALIASES_MAX {
            if let Some(error) = self.failures.get(&(at.clone(), kind)) {
                return Err(error.clone());
            }
            security = security.and(self.security(&at));
            let all = self.records.get(&at).map(Vec::as_slice).unwrap_or_default();
            let records: Vec<_> = all.iter().filter(|data| data.kind() == kind).cloned().collect();
            if !records.is_empty() {
                return Ok(Answer { canonical: at, records, security, ttl_secs: TTL_SECS });
            }
            let alias = all.iter().find_map(|data| match data {
                Data::Cname(name) => Some(name),
                _ => None,
            });
            let Some(alias) = alias else {
                let exists = self.records.keys().any(|name| name.is_within(&at));
                return Err(DnsError::NotFound { exists, security, ttl_secs: TTL_SECS });
            };
            at = alias.clone();
        }
        Err(DnsError::Temporary(Trouble::Malformed))
    }
}

impl Resolver for FakeDns {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push((name.clone(), kind));
        drop(asked);
        Box::pin(ready(self.answer(name, kind)))
    }
}

/// Is asked, and never answers.
#[derive(Clone, Copy, Debug)]
pub struct SilentDns;

impl Resolver for SilentDns {
    fn lookup<'a>(&'a self, _: &'a Name, _: RecordType) -> Pending<'a> {
        Box::pin(pending())
    }
}

fn parsed(name: &str) -> Name {
    Name::parse(name).unwrap_or_else(|_| broken(name))
}

#[expect(clippy::panic, reason = "a broken table should fail the test that made it")]
fn broken<T>(text: &str) -> T {
    panic!("{text:?} in a table of fake DNS")
}

#[cfg(test)]
mod tests {
    use futures_util::future::FutureExt as _;

    use super::*;
    use crate::Lookups as _;

    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("a fake answers at once")
    }

    fn dns() -> FakeDns {
        let mut dns = FakeDns::new();
        dns.add_ips("a.example", &["192.0.2.1", "2001:db8::1"]);
        dns.add("alias.example", Data::Cname(parsed("a.example")));
        dns.add("circle.example", Data::Cname(parsed("circle.example")));
        dns.add_mx("example", 20, "b.example").add_mx("example", 10, ".");
        dns.add_ptr("192.0.2.1", "a.example");
        dns.add_txt("deep.signed.example", "x");
        dns.sign("signed.example");
        dns.fail("bad.example", RecordType::A, DnsError::Bogus);
        dns
    }

    fn not_found(exists: bool, security: Security) -> DnsError {
        DnsError::NotFound { exists, security, ttl_secs: TTL_SECS }
    }

    /// RFC 1034 §3.6.2.
    #[test]
    fn answers_come_from_the_table() {
        let dns = dns();
        let found = now(dns.ips(&parsed("alias.example"))).unwrap();
        assert_eq!(found.canonical, parsed("a.example"));
        let ips: Vec<_> = found.records.iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(found.security, Security::Insecure);
        let found = now(dns.cname(&parsed("alias.example"))).unwrap();
        assert_eq!(found.records, [parsed("a.example")]);
        let found = now(dns.mx(&parsed("example"))).unwrap();
        assert_eq!(found.records, [(10, Name::root()), (20, parsed("b.example"))]);
        let found = now(dns.ptr("192.0.2.1".parse().unwrap())).unwrap();
        assert_eq!(found.records, [parsed("a.example")]);
        let found = now(dns.txt(&parsed("deep.signed.example"))).unwrap();
        assert!(found.security.is_secure());
    }

    /// RFC 2308 §2, RFC 8020 §2.
    #[test]
    fn absence_is_told_apart() {
        let dns = dns();
        let txt = |name: &str| now(dns.txt(&parsed(name))).unwrap_err();
        assert_eq!(txt("a.example"), not_found(true, Security::Insecure));
        assert_eq!(txt("none.example"), not_found(false, Security::Insecure));
        assert_eq!(txt("signed.example"), not_found(true, Security::Secure));
        assert_eq!(txt("none.signed.example"), not_found(false, Security::Secure));
        assert_eq!(txt("circle.example"), DnsError::Temporary(Trouble::Malformed));
        assert!(now(dns.cname(&parsed("a.example"))).unwrap_err().is_not_found());
    }

    #[test]
    fn one_kind_of_address_is_enough() {
        let mut dns = dns();
        dns.add_ips("bad.example", &["2001:db8::2"]);
        assert_eq!(now(dns.ips(&parsed("bad.example"))).unwrap().records.len(), 1);
        dns.fail("bad.example", RecordType::Aaaa, not_found(true, Security::Insecure));
        assert_eq!(now(dns.ips(&parsed("bad.example"))), Err(DnsError::Bogus));
        assert_eq!(now(dns.ipv4(&parsed("bad.example"))), Err(DnsError::Bogus));
    }

    #[test]
    fn it_remembers_what_it_was_asked() {
        let dns = dns();
        let _answer = now(dns.ipv4(&parsed("a.example")));
        assert_eq!(dns.take_asked(), [(parsed("a.example"), RecordType::A)]);
        assert_eq!(dns.take_asked(), []);
    }
}
