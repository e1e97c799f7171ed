//! Where mail for a domain goes: aliases, MX records, and how far DNSSEC vouches for them.
//!
//! Source: RFC 5321 §5.1, RFC 7505, RFC 7672 §2.2.

pub mod addresses;
pub mod tlsa;

use mox_base::{Domain, Rng};
use mox_dns::{DnsError, Lookups, Name, Resolver, Security};

/// CNAME records that are followed from the domain of a recipient.
pub const ALIASES_MAX: usize = 16;

/// Hosts that are tried for one domain, the best. RFC 5321 §5.1 wants at least two.
pub const HOSTS_MAX: usize = 16;

/// Where mail for a domain goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The domain that was asked for.
    pub original: Domain,
    /// What the first step from it found, an alias or that there is none, and where mail goes.
    pub original_security: Security,
    /// The domain that it stands for: itself, or where its aliases lead.
    pub expanded: Domain,
    /// Of all steps.
    pub expanded_security: Security,
    /// Whether there are MX records. Without, the only host is the domain itself.
    pub has_mx: bool,
    /// Whom to try, in order. At least one, at most [`HOSTS_MAX`].
    pub hosts: Vec<MailHost>,
}

/// A host that takes mail for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailHost {
    /// Lower ones first; none for a domain without MX records.
    pub preference: Option<u16>,
    /// Its name.
    pub name: Domain,
}

/// Why there is nowhere to go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// The domain says that it takes no mail. RFC 7505 §3.
    #[error("domain takes no mail (null MX)")]
    NullMx,
    /// None of its MX records names a host.
    #[error("no MX record of the domain names a host")]
    BadMx,
    /// An alias leads back to itself.
    #[error("aliases of {0} lead in a circle")]
    AliasLoop(Domain),
    /// More than [`ALIASES_MAX`] or [`addresses::ALIASES_MAX`] aliases.
    #[error("too many aliases of {0}")]
    TooManyAliases(Domain),
    /// An alias for something that is not the name of a host.
    #[error("{0} is an alias for what is no host")]
    BadAlias(Domain),
    /// The host has no address, for certain.
    #[error("{0} has no address")]
    NoAddress(Domain),
    /// It has none that may be used.
    #[error("{0} has no address of a family that is in use")]
    NoUsableAddress(Domain),
    /// DNS does not say.
    #[error("look up {name}: {error}")]
    Dns {
        /// What was looked up.
        name: Name,
        /// Why that failed.
        #[source]
        error: DnsError,
    },
}

impl DestinationError {
    /// Whether there is no sense in trying again, as far as a domain is concerned; a single host of
    /// several may have no address at all: then it is the others that count.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::NullMx | Self::NoAddress(_))
    }

    /// The subject and detail of the enhanced status code. RFC 3463 §3.2, §3.5; RFC 7505 §4.
    #[must_use]
    pub fn enhanced(&self) -> (u16, u16) {
        match self {
            Self::NullMx => (1, 10),
            Self::NoAddress(_) => (1, 2),
            Self::AliasLoop(_) | Self::TooManyAliases(_) | Self::BadAlias(_) => (4, 6),
            Self::BadMx | Self::NoUsableAddress(_) => (4, 4),
            Self::Dns { .. } => (4, 3),
        }
    }
}

/// Looks up where mail for a domain goes, with at most [`ALIASES_MAX`] + 2 questions.
///
/// # Errors
///
/// If nobody takes mail for it, or DNS does not say who does. That the domain does not exist shows
/// only when its own addresses are looked up.
pub async fn next_hop<R: Resolver + ?Sized>(
    resolver: &R,
    rng: &dyn Rng,
    domain: &Domain,
) -> Result<NextHop, DestinationError> {
    let aliases = follow(resolver, domain, ALIASES_MAX).await?;
    let name = Name::from(&aliases.expanded);
    let (records, security) = match resolver.mx(&name).await {
        Ok(found) => (Some(found.records), found.security),
        Err(DnsError::NotFound { security, .. }) => (None, security),
        Err(error) => return Err(DestinationError::Dns { name, error }),
    };
    let has_mx = records.is_some();
    let hosts = match records {
        Some(records) => mail_hosts(records, rng)?,
        // RFC 5321 §5.1: the domain is its own host, as if by an MX record.
        None => vec![MailHost { preference: None, name: aliases.expanded.clone() }],
    };
    Ok(NextHop {
        original: domain.clone(),
        original_security: aliases.original_security.and(security),
        expanded: aliases.expanded,
        expanded_security: aliases.expanded_security.and(security),
        has_mx,
        hosts,
    })
}

/// Those with the lowest preference first, those with the same in random order. RFC 5321 §5.1.
fn mail_hosts(records: Vec<(u16, Name)>, rng: &dyn Rng) -> Result<Vec<MailHost>, DestinationError> {
    if matches!(records.as_slice(), [(_, name)] if name.is_root()) {
        return Err(DestinationError::NullMx);
    }
    let host = |(preference, name): (u16, Name)| {
        // Names with underscores are in use.
        let name = Domain::parse(name.as_str()).ok()?;
        Some(MailHost { preference: Some(preference), name })
    };
    let hosts = records.into_iter().filter_map(host);
    let mut keyed: Vec<_> = hosts.map(|host| (host.preference, random(rng), host)).collect();
    if keyed.is_empty() {
        return Err(DestinationError::BadMx);
    }
    keyed.sort_by_key(|(preference, random, _)| (*preference, *random));
    keyed.truncate(HOSTS_MAX);
    Ok(keyed.into_iter().map(|(_, _, host)| host).collect())
}

fn random(rng: &dyn Rng) -> u64 {
    let mut bytes = [0; 8];
    rng.fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// Where the aliases of a name lead.
struct Aliases {
    expanded: Domain,
    /// Of the first step alone.
    original_security: Security,
    /// Of all steps.
    expanded_security: Security,
    /// Whether there is any.
    is_alias: bool,
}

/// Follows CNAME records one by one, to know of each whether DNSSEC vouches for it. RFC 7672
/// §2.2.2.
async fn follow<R: Resolver + ?Sized>(
    resolver: &R,
    from: &Domain,
    max: usize,
) -> Result<Aliases, DestinationError> {
    let mut seen = vec![Name::from(from)];
    let mut aliases = Aliases {
        expanded: from.clone(),
        original_security: Security::Secure,
        expanded_security: Security::Secure,
        is_alias: false,
    };
    loop {
        let name = Name::from(&aliases.expanded);
        let (target, security) = match resolver.cname(&name).await {
            Ok(found) => (found.records.into_iter().next(), found.security),
            Err(DnsError::NotFound { security, .. }) => (None, security),
            Err(error) => return Err(DestinationError::Dns { name, error }),
        };
        if !aliases.is_alias {
            aliases.original_security = security;
        }
        aliases.expanded_security = aliases.expanded_security.and(security);
        let Some(target) = target else { return Ok(aliases) };
        if seen.contains(&target) {
            return Err(DestinationError::AliasLoop(from.clone()));
        }
        if seen.len() > max {
            return Err(DestinationError::TooManyAliases(from.clone()));
        }
        aliases.expanded =
            Domain::parse(target.as_str()).map_err(|_| DestinationError::BadAlias(from.clone()))?;
        aliases.is_alias = true;
        seen.push(target);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use mox_dns::{Data, FakeDns, RecordType, Trouble};
    use mox_testkit::TestRng;

    use super::*;

    pub(super) fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    pub(super) fn alias(dns: &mut FakeDns, from: &str, to: &str) {
        dns.add(from, Data::Cname(Name::parse(to).unwrap()));
    }

    fn look_up(dns: &FakeDns, name: &str) -> Result<NextHop, DestinationError> {
        let rng = TestRng::new(1);
        next_hop(dns, &rng, &domain(name)).now_or_never().unwrap()
    }

    /// Hosts with preferences, and whether DNSSEC vouches for the original and the expanded name.
    #[track_caller]
    fn check(dns: &FakeDns, name: &str, want: &str, is_secure: (bool, bool)) {
        let hop = look_up(dns, name).unwrap();
        let host = |host: &MailHost| match host.preference {
            Some(preference) => format!("{preference} {}", host.name),
            None => host.name.to_string(),
        };
        let hosts: Vec<_> = hop.hosts.iter().map(host).collect();
        assert_eq!(hosts.join(", "), want, "{name}");
        let got = (hop.original_security.is_secure(), hop.expanded_security.is_secure());
        assert_eq!(got, is_secure, "{name}");
        assert_eq!(hop.has_mx, hop.hosts.iter().all(|host| host.preference.is_some()));
    }

    /// RFC 5321 §5.1; RFC 7672 §2.2.1.
    #[test]
    fn hosts_are_found_in_order() {
        let mut dns = FakeDns::new();
        dns.add_mx("mx.example", 20, "b.mx.example").add_mx("mx.example", 10, "a.mx.example");
        dns.add_mx("odd.example", 10, "under_score.example").add_mx(
            "odd.example",
            5,
            "a b.example",
        );
        dns.add_mx("more.example", 0, ".").add_mx("more.example", 5, "a.mx.example");
        dns.add_ips("host.example", &["192.0.2.1"]);
        check(&dns, "mx.example", "10 a.mx.example, 20 b.mx.example", (false, false));
        check(&dns, "odd.example", "10 under_score.example", (false, false));
        check(&dns, "more.example", "5 a.mx.example", (false, false));
        check(&dns, "host.example", "host.example", (false, false));
        check(&dns, "none.example", "none.example", (false, false));
        dns.sign("mx.example").sign("host.example");
        check(&dns, "mx.example", "10 a.mx.example, 20 b.mx.example", (true, true));
        check(&dns, "host.example", "host.example", (true, true));
    }

    /// RFC 7672 §2.2.2: each step has its own authenticity.
    #[test]
    fn aliases_are_followed() {
        let mut dns = FakeDns::new();
        alias(&mut dns, "a.signed.example", "b.signed.example");
        alias(&mut dns, "b.signed.example", "mx.signed.example");
        dns.add_mx("mx.signed.example", 1, "h.example");
        alias(&mut dns, "half.signed.example", "x.open.example");
        alias(&mut dns, "x.open.example", "host.open.example");
        dns.add_ips("host.open.example", &["192.0.2.1"]);
        alias(&mut dns, "in.open.example", "mx.signed.example");
        alias(&mut dns, "dangling.open.example", "gone.open.example");
        dns.sign("signed.example");
        check(&dns, "a.signed.example", "1 h.example", (true, true));
        // What is at the end of it counts for both.
        check(&dns, "half.signed.example", "host.open.example", (false, false));
        check(&dns, "in.open.example", "1 h.example", (false, false));
        check(&dns, "dangling.open.example", "gone.open.example", (false, false));
        assert_eq!(
            look_up(&dns, "a.signed.example").unwrap().expanded,
            domain("mx.signed.example")
        );
        // The first step is signed, one in the middle is not, the end is.
        alias(&mut dns, "mixed.signed.example", "y.open.example");
        alias(&mut dns, "y.open.example", "mx.signed.example");
        check(&dns, "mixed.signed.example", "1 h.example", (true, false));
    }

    #[test]
    fn aliases_have_an_end() {
        let mut dns = FakeDns::new();
        for n in 0..40 {
            alias(&mut dns, &format!("n{n}.example"), &format!("n{}.example", n + 1));
        }
        alias(&mut dns, "circle.example", "back.example");
        alias(&mut dns, "back.example", "circle.example");
        alias(&mut dns, "self.example", "self.example");
        dns.add_mx("n40.example", 1, "h.example");
        let edge = format!("n{}.example", 40 - ALIASES_MAX);
        check(&dns, &edge, "1 h.example", (false, false));
        let past = domain(&format!("n{}.example", 39 - ALIASES_MAX));
        let got = look_up(&dns, past.ascii());
        assert_eq!(got, Err(DestinationError::TooManyAliases(past)));
        for name in ["circle.example", "self.example"] {
            let want = DestinationError::AliasLoop(domain(name));
            assert!(!want.is_permanent());
            assert_eq!(look_up(&dns, name), Err(want));
        }
    }

    /// RFC 7505 §3; RFC 5321 §5.1: what DNS does not say now, it may later.
    #[test]
    fn trouble_is_told_apart() {
        let mut dns = FakeDns::new();
        dns.add_mx("null.example", 0, ".");
        dns.add_mx("bad.example", 0, "a b.example").add_mx("bad.example", 0, ".");
        let null = look_up(&dns, "null.example").unwrap_err();
        assert_eq!((null.is_permanent(), null.enhanced()), (true, (1, 10)));
        let bad = look_up(&dns, "bad.example").unwrap_err();
        assert_eq!((bad, false), (DestinationError::BadMx, DestinationError::BadMx.is_permanent()));
        let troubles = [
            DnsError::Bogus,
            DnsError::Temporary(Trouble::Timeout),
            DnsError::Temporary(Trouble::ServerFailure),
            DnsError::Temporary(Trouble::Refused),
            DnsError::Temporary(Trouble::Malformed),
            DnsError::Temporary(Trouble::Unreachable),
        ];
        for kind in [RecordType::Cname, RecordType::Mx] {
            for error in &troubles {
                let mut dns = FakeDns::new();
                dns.add_mx("mx.example", 1, "h.example");
                dns.fail("mx.example", kind, error.clone());
                let got = look_up(&dns, "mx.example").unwrap_err();
                let name = Name::parse("mx.example").unwrap();
                assert_eq!(got, DestinationError::Dns { name, error: error.clone() });
                assert!(!got.is_permanent());
            }
        }
    }

    /// RFC 5321 §5.1: hosts of the same preference share the load; not too many are tried.
    #[test]
    fn equal_preferences_are_shuffled() {
        let mut dns = FakeDns::new();
        for n in 0..30 {
            dns.add_mx("mx.example", n / 10, &format!("h{n}.example"));
        }
        let rng = TestRng::new(7);
        let order = || {
            let hop = next_hop(&dns, &rng, &domain("mx.example")).now_or_never().unwrap().unwrap();
            hop.hosts.iter().map(|host| host.name.to_string()).collect::<Vec<_>>()
        };
        let (one, other) = (order(), order());
        assert_eq!(one.len(), HOSTS_MAX);
        assert_ne!(one, other);
        let mut first: Vec<_> = one[..10].to_vec();
        first.sort();
        let want: Vec<_> = (0..10).map(|n| format!("h{n}.example")).collect();
        assert_eq!(first, want);
    }
}
