//! Lists of addresses that somebody has seen sending what nobody wants.
//!
//! Source: RFC 5782.
//!
//! ```
//! use futures_util::FutureExt as _;
//! use mox_base::Domain;
//! use mox_mailauth::dnsbl::{Answer, check};
//!
//! let mut dns = mox_dns::FakeDns::new();
//! dns.add_ips("9.2.0.192.bl.example", &["127.0.0.4"]);
//! dns.add_txt("9.2.0.192.bl.example", "seen in 2024");
//! let zone = Domain::parse("bl.example").unwrap();
//! let answer = check(&dns, &zone, "192.0.2.9".parse().unwrap()).now_or_never().unwrap();
//! let Answer::Listed(listing) = answer else { panic!() };
//! assert_eq!(listing.explanation.as_deref(), Some("seen in 2024"));
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::future::join_all;
use mox_base::Domain;
use mox_dns::{DnsError, Lookups as _, Name, Resolver, Security};

/// Lists that are asked about one address; those behind them are not. Ours.
pub const ZONES_MAX: usize = 16;

/// Codes of one answer that are kept. Ours.
pub const CODES_MAX: usize = 16;

/// The longest explanation, in bytes; a longer one is cut. Ours.
pub const EXPLANATION_BYTES_MAX: usize = 256;

/// What a list says of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is not listed.
    NotListed(Security),
    /// It is.
    Listed(Listing),
    /// Nothing: the list did not answer, or not as a list does.
    Unknown(Problem),
}

impl Answer {
    /// Whether the address is on the list.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        matches!(self, Self::Listed(_))
    }

    /// The word for it in logs and commands: a listed address fails.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotListed(_) => "pass",
            Self::Listed(_) => "fail",
            Self::Unknown(_) => "temperror",
        }
    }
}

/// What a list has about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Why, as a number of the list's own: in 127.0.0.0/8, at least one and at most [`CODES_MAX`].
    pub codes: Vec<Ipv4Addr>,
    /// Why, in words: printable ASCII, at most [`EXPLANATION_BYTES_MAX`].
    pub explanation: Option<String>,
    /// Of the answer with the codes.
    pub security: Security,
}

/// Why a list says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// DNS failed.
    Dns(DnsError),
    /// The name to ask for would be too long.
    LongName,
    /// It has addresses that are no codes: it is no list, or no longer one.
    NoList(IpAddr),
    /// It refuses to answer whoever asked.
    Refused(Ipv4Addr),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(error) => error.fmt(f),
            Self::LongName => f.write_str("name of the list is too long"),
            Self::NoList(ip) => write!(f, "{ip} is no answer of a list"),
            Self::Refused(code) => write!(f, "the list refuses to answer: {code}"),
        }
    }
}

impl std::error::Error for Problem {}

/// Asks a list about an address. RFC 5782 §2.1, §2.4.
///
/// Takes one question, and one more for the explanation.
pub async fn check<R: Resolver + ?Sized>(resolver: &R, zone: &Domain, ip: IpAddr) -> Answer {
    let Ok(name) = Name::listed(ip.to_canonical(), zone) else {
        return Answer::Unknown(Problem::LongName);
    };
    let found = match resolver.ipv4(&name).await {
        Ok(found) => found,
        Err(DnsError::NotFound { security, .. }) => return Answer::NotListed(security),
        Err(error) => return Answer::Unknown(Problem::Dns(error)),
    };
    let mut codes = Vec::new();
    for ip in found.records.into_iter().take(CODES_MAX) {
        match ip {
            // What these mean is the custom of the large lists: that they do not answer this
            // resolver, or that the name of the list is wrong. Nobody is listed by that.
            IpAddr::V4(code) if code.octets().starts_with(&[127, 255, 255]) => {
                return Answer::Unknown(Problem::Refused(code));
            }
            IpAddr::V4(code) if code.is_loopback() => codes.push(code),
            // A domain that was given up often has an address for every name: all the world would
            // be listed. RFC 5782 §2.1, §5.
            ip => return Answer::Unknown(Problem::NoList(ip)),
        }
    }
    codes.sort_unstable();
    let explanation = explanation(resolver, &name).await;
    Answer::Listed(Listing { codes, explanation, security: found.security })
}

/// Asks several lists at the same time; the answers are in their order. At most [`ZONES_MAX`] are
/// asked.
pub async fn check_all<R: Resolver + ?Sized>(
    resolver: &R,
    zones: &[Domain],
    ip: IpAddr,
) -> Vec<Answer> {
    let zones = zones.iter().take(ZONES_MAX);
    join_all(zones.map(|zone| check(resolver, zone, ip))).await
}

/// The first text that is there. RFC 5782 §2.1.
async fn explanation<R: Resolver + ?Sized>(resolver: &R, name: &Name) -> Option<String> {
    let found = resolver.txt(name).await.ok()?;
    // In the order of their letters: servers change theirs.
    let text = found.records.into_iter().min()?;
    let printable = |byte: u8| if byte == b' ' || byte.is_ascii_graphic() { byte } else { b'?' };
    let text = text.into_iter().take(EXPLANATION_BYTES_MAX).map(printable).map(char::from);
    Some(text.collect::<String>()).filter(|text| !text.is_empty())
}

/// Why a list should not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthError {
    /// It lists 127.0.0.1, which must never be: it lists everybody.
    ListsEverybody,
    /// It does not list 127.0.0.2, which must always be: it lists nobody.
    ListsNobody,
    /// It does not answer as a list.
    Problem(Problem),
}

impl fmt::Display for HealthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListsEverybody => f.write_str("127.0.0.1 is listed, which must not be"),
            Self::ListsNobody => f.write_str("127.0.0.2 is not listed, which must be"),
            Self::Problem(problem) => problem.fmt(f),
        }
    }
}

impl std::error::Error for HealthError {}

/// Checks that a list has what every list must have, and has not what none may. RFC 5782 §5.
///
/// # Errors
///
/// If the list should not be used, or does not answer.
pub async fn check_health<R: Resolver + ?Sized>(
    resolver: &R,
    zone: &Domain,
) -> Result<(), HealthError> {
    match check(resolver, zone, Ipv4Addr::new(127, 0, 0, 1).into()).await {
        Answer::NotListed(_) => {}
        Answer::Listed(_) => return Err(HealthError::ListsEverybody),
        Answer::Unknown(problem) => return Err(HealthError::Problem(problem)),
    }
    match check(resolver, zone, Ipv4Addr::new(127, 0, 0, 2).into()).await {
        Answer::Listed(_) => Ok(()),
        Answer::NotListed(_) => Err(HealthError::ListsNobody),
        Answer::Unknown(problem) => Err(HealthError::Problem(problem)),
    }
}

/// Checks several lists at the same time; the outcomes are in their order. At most [`ZONES_MAX`] are
/// asked.
pub async fn check_health_all<R: Resolver + ?Sized>(
    resolver: &R,
    zones: &[Domain],
) -> Vec<Result<(), HealthError>> {
    let zones = zones.iter().take(ZONES_MAX);
    join_all(zones.map(|zone| check_health(resolver, zone))).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use mox_dns::{Data, FakeDns, RecordType, Trouble};

    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn dns() -> FakeDns {
        let mut dns = FakeDns::new();
        dns.add_ips("1.2.0.192.bl.example", &["127.0.0.2"]);
        dns.add_txt("1.2.0.192.bl.example", "see https://bl.example");
        let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example";
        dns.add_ips(six, &["127.0.0.3"]);
        dns.add_ips("2.2.0.192.bl.example", &["127.0.0.10", "127.0.0.4"]);
        dns.add_txt("2.2.0.192.bl.example", "two").add_txt("2.2.0.192.bl.example", "one");
        dns.add_ips("3.2.0.192.bl.example", &["127.0.0.2"]);
        let text = [&b"bad\r\n\xff"[..], &[b'x'; 300]].concat();
        dns.add("3.2.0.192.bl.example", Data::Txt(text));
        dns.add_ips("4.2.0.192.bl.example", &["203.0.113.1"]);
        dns.add_ips("5.2.0.192.bl.example", &["127.255.255.254"]);
        dns.fail("6.2.0.192.bl.example", RecordType::A, DnsError::Temporary(Trouble::Timeout));
        for i in 0..200 {
            dns.add_ips("7.2.0.192.bl.example", &[&format!("127.0.1.{i}")]);
        }
        dns.add_txt("8.2.0.192.bl.example", "a text alone lists nobody");
        dns
    }

    #[track_caller]
    fn check_ip(ip: &str, want: &str) {
        let dns = dns();
        let answer = check(&dns, &domain("bl.example"), ip.parse().unwrap()).now_or_never();
        let mut got = answer.as_ref().unwrap().as_str().to_owned();
        match answer.unwrap() {
            Answer::Listed(listing) => {
                for code in &listing.codes {
                    got.push_str(&format!(" {code}"));
                }
                got.push_str(listing.explanation.as_deref().map_or("", |_| " +"));
                assert!(listing.codes.len() <= CODES_MAX);
                assert!(listing.explanation.is_none_or(|text| text.len() <= EXPLANATION_BYTES_MAX));
            }
            Answer::Unknown(problem) => got.push_str(&format!(" {problem}")),
            Answer::NotListed(_) => {}
        }
        assert!(got.starts_with(want), "{ip}: {got}");
        assert!(dns.take_asked().len() <= 2);
    }

    /// RFC 5782 §2.1, §2.4.
    #[test]
    fn lists_are_asked_about_addresses() {
        check_ip("192.0.2.1", "fail 127.0.0.2 +");
        check_ip("::ffff:192.0.2.1", "fail 127.0.0.2 +");
        check_ip("2001:db8::1", "fail 127.0.0.3");
        check_ip("192.0.2.2", "fail 127.0.0.4 127.0.0.10 +");
        check_ip("192.0.2.3", "fail 127.0.0.2 +");
        check_ip("192.0.2.7", "fail 127.0.1.0 127.0.1.1 ");
        check_ip("192.0.2.8", "pass");
        check_ip("192.0.2.99", "pass");
        check_ip("192.0.2.4", "temperror 203.0.113.1 is no answer of a list");
        check_ip("192.0.2.5", "temperror the list refuses to answer: 127.255.255.254");
        check_ip("192.0.2.6", "temperror no answer in time");
    }

    #[test]
    fn explanations_are_printable_and_short() {
        let dns = dns();
        let explanation = |ip: &str| {
            let zone = domain("bl.example");
            match check(&dns, &zone, ip.parse().unwrap()).now_or_never().unwrap() {
                Answer::Listed(listing) => listing.explanation,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(explanation("192.0.2.1").as_deref(), Some("see https://bl.example"));
        assert_eq!(explanation("192.0.2.2").as_deref(), Some("one"));
        assert_eq!(explanation("2001:db8::1"), None);
        let text = explanation("192.0.2.3").unwrap();
        assert_eq!((text.len(), text.starts_with("bad???xx")), (EXPLANATION_BYTES_MAX, true));
    }

    #[test]
    fn several_lists_are_asked_under_one_bound() {
        let dns = dns();
        let ask = |zones: &[Domain]| {
            check_all(&dns, zones, "192.0.2.1".parse().unwrap()).now_or_never().unwrap()
        };
        let answers = ask(&[domain("none.example"), domain("bl.example")]);
        let listed: Vec<bool> = answers.iter().map(Answer::is_listed).collect();
        assert_eq!(listed, [false, true]);
        let zones = vec![domain("none.example"); ZONES_MAX + 1];
        assert_eq!(ask(&zones).len(), ZONES_MAX);
        let long = format!("{}example", "a.".repeat(120));
        assert_eq!(ask(&[domain(&long)]), [Answer::Unknown(Problem::LongName)]);
        assert!(ask(&[]).is_empty());
    }

    /// RFC 5782 §5.
    #[test]
    fn a_list_has_what_every_list_must_have() {
        let mut dns = dns();
        dns.add_ips("2.0.0.127.good.example", &["127.0.0.2"]);
        dns.add_ips("2.0.0.127.all.example", &["127.0.0.2"]);
        dns.add_ips("1.0.0.127.all.example", &["127.0.0.2"]);
        dns.add_ips("1.0.0.127.sold.example", &["203.0.113.1"]);
        dns.add_ips("2.0.0.127.busy.example", &["127.255.255.255"]);
        let health = |zone: &str| check_health(&dns, &domain(zone)).now_or_never().unwrap();
        assert_eq!(health("good.example"), Ok(()));
        assert_eq!(health("all.example"), Err(HealthError::ListsEverybody));
        assert_eq!(health("empty.example"), Err(HealthError::ListsNobody));
        let sold = Problem::NoList("203.0.113.1".parse().unwrap());
        assert_eq!(health("sold.example"), Err(HealthError::Problem(sold)));
        let busy = Problem::Refused("127.255.255.255".parse().unwrap());
        assert_eq!(health("busy.example"), Err(HealthError::Problem(busy)));
    }

    #[test]
    fn dnssec_is_told() {
        let mut dns = dns();
        dns.sign("bl.example");
        let ask = |ip: &str| check(&dns, &domain("bl.example"), ip.parse().unwrap()).now_or_never();
        assert_eq!(ask("192.0.2.99"), Some(Answer::NotListed(Security::Secure)));
        match ask("192.0.2.1") {
            Some(Answer::Listed(listing)) => assert!(listing.security.is_secure()),
            other => panic!("{other:?}"),
        }
    }
}
