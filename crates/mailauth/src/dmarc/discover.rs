//! Which record is about a domain, and to which organization it belongs.
//!
//! Source: RFC 9989 §4.10; RFC 7489 §3.2, §6.6.3 for public suffixes.

use std::collections::BTreeMap;

use mox_base::Domain;
use mox_dns::{DnsError, Lookups as _, Name, Resolver, Security, organizational_domain};

use super::record::{Psd, Record, RecordError, is_record};

/// Domains that are asked for the sake of one. RFC 9989 §4.10.
pub const QUERIES_MAX: usize = 8;

/// How the organization of a domain is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// By the records on the way to the root. RFC 9989 §4.10.
    #[default]
    TreeWalk,
    /// By a list of the domains below which others register theirs. RFC 7489 §3.2.
    PublicSuffixes,
}

/// A record and where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose it is: not the name with `_dmarc` in front.
    pub domain: Domain,
    /// As it stands.
    pub text: Box<str>,
    /// What it says.
    pub record: Result<Record, RecordError>,
}

impl Found {
    fn psd(&self) -> Psd {
        self.record.as_ref().map(|record| record.psd).unwrap_or_default()
    }
}

/// What is known about a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The record whose policy counts. RFC 9989 §4.10.1.
    pub found: Option<Found>,
    /// The domain of its organization. RFC 9989 §4.10.2.
    pub organization: Domain,
    /// Of all answers.
    pub security: Security,
}

/// Finds the record that is about a domain, and its organization.
///
/// Asks at most [`QUERIES_MAX`] questions.
///
/// # Errors
///
/// If DNS fails.
pub async fn discover<R: Resolver + ?Sized>(
    resolver: &R,
    domain: &Domain,
    method: Method,
) -> Result<Discovery, DnsError> {
    let mut walker = Walker::new(resolver, method);
    let found = walker.policy(domain).await?;
    let organization = walker.organization(domain).await?;
    Ok(Discovery { found, organization, security: walker.security() })
}

/// Asks for records and remembers them.
pub(super) struct Walker<'a, R: ?Sized> {
    pub(super) resolver: &'a R,
    method: Method,
    known: BTreeMap<Domain, Option<Found>>,
    security: Security,
}

impl<'a, R: Resolver + ?Sized> Walker<'a, R> {
    pub(super) fn new(resolver: &'a R, method: Method) -> Self {
        Self { resolver, method, known: BTreeMap::new(), security: Security::Secure }
    }

    /// Of all answers up to now.
    pub(super) fn security(&self) -> Security {
        self.security
    }

    /// An answer that is needed too.
    pub(super) fn depends_on(&mut self, security: Security) {
        self.security = self.security.and(security);
    }

    /// The record of a domain itself. Several are none (RFC 9989 §4.10, RFC 7489 §6.6.3).
    async fn at(&mut self, domain: &Domain) -> Result<Option<Found>, DnsError> {
        if let Some(known) = self.known.get(domain) {
            return Ok(known.clone());
        }
        let found = match Name::below("_dmarc", domain) {
            Ok(name) => self.resolver.txt(&name).await,
            // A name too long for DNS has no records.
            Err(_) => return Ok(None),
        };
        let found = match found {
            Ok(found) => {
                self.depends_on(found.security);
                let mut texts = found.records.iter().filter(|text| is_record(text));
                match (texts.next(), texts.next()) {
                    (Some(text), None) => Some(Found {
                        domain: domain.clone(),
                        text: String::from_utf8_lossy(text).into(),
                        record: Record::parse(text),
                    }),
                    _ => None,
                }
            }
            Err(DnsError::NotFound { security, .. }) => {
                self.depends_on(security);
                None
            }
            Err(error) => {
                self.security = Security::Insecure;
                return Err(error);
            }
        };
        self.known.insert(domain.clone(), found.clone());
        Ok(found)
    }

    /// The record whose policy counts for a domain. RFC 9989 §4.10.1, RFC 7489 §6.6.3.
    pub(super) async fn policy(&mut self, domain: &Domain) -> Result<Option<Found>, DnsError> {
        if let Some(own) = self.at(domain).await? {
            return Ok(Some(own));
        }
        if self.method == Method::PublicSuffixes {
            return self.at(&organizational_domain(domain)).await;
        }
        let found = self.walk(domain).await?;
        let organization = organization(domain, &found);
        let of_organization = found.iter().position(|one| one.domain == organization);
        // Else that of the public suffix, which is the last.
        let index = of_organization.unwrap_or_else(|| found.len().saturating_sub(1));
        Ok(found.into_iter().nth(index))
    }

    /// The domain of the organization that a domain belongs to. RFC 9989 §4.10.2, RFC 7489 §3.2.
    pub(super) async fn organization(&mut self, domain: &Domain) -> Result<Domain, DnsError> {
        match self.method {
            Method::PublicSuffixes => Ok(organizational_domain(domain)),
            Method::TreeWalk => {
                let found = self.walk(domain).await?;
                Ok(organization(domain, &found))
            }
        }
    }

    /// The records on the way up, the longest domain first. RFC 9989 §4.10.
    async fn walk(&mut self, domain: &Domain) -> Result<Vec<Found>, DnsError> {
        let mut all = Vec::new();
        for domain in steps(domain) {
            let Some(found) = self.at(&domain).await? else { continue };
            let ends = found.psd() != Psd::Unknown;
            all.push(found);
            if ends {
                break;
            }
        }
        Ok(all)
    }
}

/// The domains that are asked: the domain, then those above it, at most [`QUERIES_MAX`] in all.
/// RFC 9989 §4.10.
fn steps(domain: &Domain) -> Vec<Domain> {
    let mut steps = vec![domain.clone()];
    let mut rest = domain.ascii();
    let mut labels = rest.split('.').count();
    while let Some((_, above)) = rest.split_once('.') {
        rest = above;
        labels -= 1;
        // Of a long name the middle is left out, so that nobody can make us ask for long.
        if labels < QUERIES_MAX
            && let Ok(domain) = Domain::parse(above)
        {
            steps.push(domain);
        }
    }
    steps
}

/// RFC 9989 §4.10.2, with the records of a walk that began at `domain`.
fn organization(domain: &Domain, found: &[Found]) -> Domain {
    let Some(last) = found.last() else { return domain.clone() };
    match last.psd() {
        Psd::Yes if last.domain != *domain => below(&last.domain, domain),
        // A walk ends at the first `n`; without one the shortest domain counts, which is the last.
        Psd::Yes | Psd::No | Psd::Unknown => last.domain.clone(),
    }
}

/// The domain one label below `above` on the way to `domain`.
fn below(above: &Domain, domain: &Domain) -> Domain {
    let rest = domain.ascii().strip_suffix(above.ascii()).unwrap_or_default();
    let rest = rest.strip_suffix('.').unwrap_or(rest);
    let label = rest.rsplit_once('.').map_or(rest, |(_, label)| label);
    Domain::parse(&format!("{label}.{}", above.ascii())).unwrap_or_else(|_| domain.clone())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use mox_dns::{FakeDns, RecordType, Trouble};

    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    /// Records by domain.
    fn dns(records: &[(&str, &str)]) -> FakeDns {
        let mut dns = FakeDns::new();
        for (domain, text) in records {
            dns.add_txt(&format!("_dmarc.{domain}"), text);
        }
        dns
    }

    /// Whose record counts, or `-`, and the organization.
    #[track_caller]
    fn check(
        records: &[(&str, &str)],
        method: Method,
        from: &str,
        policy: &str,
        organization: &str,
    ) {
        let dns = dns(records);
        let got = discover(&dns, &domain(from), method).now_or_never().unwrap().unwrap();
        let found = got.found.as_ref().map_or("-", |found| found.domain.ascii());
        assert_eq!((found, got.organization.ascii()), (policy, organization), "{from}");
        assert!(dns.take_asked().len() <= QUERIES_MAX);
    }

    /// RFC 9989 §4.10, §4.10.1, §4.10.2, Appendix B.1.
    #[test]
    fn the_tree_is_walked() {
        let walk = |records, from, policy, organization| {
            check(records, Method::TreeWalk, from, policy, organization);
        };
        let one = &[("example.com", "v=DMARC1; p=none")][..];
        walk(one, "example.com", "example.com", "example.com");
        walk(one, "a.b.example.com", "example.com", "example.com");
        walk(one, "example.org", "-", "example.org");
        walk(one, "com", "-", "com");
        let two = &[("example.com", "v=DMARC1"), ("a.example.com", "v=DMARC1")][..];
        walk(two, "a.example.com", "a.example.com", "example.com");
        walk(two, "b.a.example.com", "example.com", "example.com");
        let own = &[("example.com", "v=DMARC1"), ("a.example.com", "v=DMARC1; psd=n")][..];
        walk(own, "b.a.example.com", "a.example.com", "a.example.com");
        walk(own, "b.example.com", "example.com", "example.com");
        let suffix = &[("bank", "v=DMARC1; psd=y"), ("giant.bank", "v=DMARC1")][..];
        walk(suffix, "mail.giant.bank", "giant.bank", "giant.bank");
        walk(suffix, "mail.mega.bank", "bank", "mega.bank");
        walk(suffix, "mega.bank", "bank", "mega.bank");
        walk(suffix, "bank", "bank", "bank");
        // What is above a public suffix is not looked at.
        let deep = &[("com", "v=DMARC1"), ("cdn.com", "v=DMARC1; psd=y")][..];
        walk(deep, "x.y.cdn.com", "cdn.com", "y.cdn.com");
        walk(deep, "cdn.com", "cdn.com", "cdn.com");
        // A record in between without a word on suffixes, and none at the organization itself.
        let between = &[("a.y.cdn.com", "v=DMARC1"), ("cdn.com", "v=DMARC1; psd=y")][..];
        walk(between, "b.a.y.cdn.com", "cdn.com", "y.cdn.com");
    }

    /// RFC 9989 §4.10: several records are none, a faulty one is one.
    #[test]
    fn only_one_record_counts() {
        let twice =
            &[("a.example", "v=DMARC1"), ("a.example", "v=DMARC1"), ("example", "v=DMARC1")];
        check(twice, Method::TreeWalk, "a.example", "example", "example");
        let others =
            &[("a.example", "v=DMARC1"), ("a.example", "v=spf1"), ("a.example", "v=DMARC2")];
        check(others, Method::TreeWalk, "a.example", "a.example", "a.example");
        let faulty = &[("a.example", "v=DMARC1; p=x"), ("example", "v=DMARC1; psd=n")];
        check(faulty, Method::TreeWalk, "a.example", "a.example", "example");
    }

    /// RFC 7489 §3.2, §6.6.3.
    #[test]
    fn a_list_of_suffixes_is_another_way() {
        let list = |records, from, policy, organization| {
            check(records, Method::PublicSuffixes, from, policy, organization);
        };
        let one = &[("example.co.uk", "v=DMARC1"), ("co.uk", "v=DMARC1; psd=y")][..];
        list(one, "a.b.example.co.uk", "example.co.uk", "example.co.uk");
        list(one, "example.co.uk", "example.co.uk", "example.co.uk");
        list(one, "other.co.uk", "-", "other.co.uk");
        let between = &[("b.example.com", "v=DMARC1")][..];
        list(between, "a.b.example.com", "-", "example.com");
        list(between, "b.example.com", "b.example.com", "example.com");
    }

    /// RFC 9989 §4.10: eight questions, whatever the name.
    #[test]
    fn long_names_leave_out_the_middle() {
        let asked = |from: &str| {
            let dns = FakeDns::new();
            let _discovery =
                discover(&dns, &domain(from), Method::TreeWalk).now_or_never().unwrap();
            let asked = dns.take_asked().into_iter();
            asked.map(|(name, _)| name.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(asked("b.example"), ["_dmarc.b.example", "_dmarc.example"]);
        assert_eq!(asked("1.2.3.4.5.6.7.x").len(), 8);
        let long = asked("a.b.c.d.e.f.g.h.i.j.mail.example.com");
        assert_eq!(long.len(), 8);
        assert_eq!(long[0], "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com");
        assert_eq!(long[1], "_dmarc.g.h.i.j.mail.example.com");
        assert_eq!(long[7], "_dmarc.com");
        assert_eq!(asked(&format!("{}example.com", "a.".repeat(117))).len(), 8);
        // With the label in front this one is longer than a name can be.
        assert_eq!(asked(&format!("{}example.com", "a.".repeat(118))).len(), 7);
    }

    #[test]
    fn failures_and_dnssec_are_told() {
        let mut dns = dns(&[("a.example", "v=DMARC1; psd=n"), ("example", "v=DMARC1")]);
        dns.fail("_dmarc.example", RecordType::Txt, DnsError::Temporary(Trouble::Timeout));
        dns.sign("_dmarc.a.example");
        let get = |dns: &FakeDns, from: &str| {
            discover(dns, &domain(from), Method::TreeWalk).now_or_never().unwrap()
        };
        assert!(get(&dns, "a.example").unwrap().security.is_secure());
        assert!(!get(&dns, "b.a.example").unwrap().security.is_secure());
        assert_eq!(get(&dns, "c.example"), Err(DnsError::Temporary(Trouble::Timeout)));
    }
}
