//! `mox dnsbl`.

use std::net::IpAddr;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use mox_base::Domain;
use mox_dns::Resolver;
use mox_mailauth::dnsbl::{self, Answer};

use super::lookups::{domain, line, look_up};
use super::print;

/// Lists in DNS of addresses that send what nobody wants.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Dnsbl {
    Check(Check),
    Checkhealth(CheckHealth),
}

/// Check whether an address is on a list.
///
/// Prints status "fail" and what the list says if it is, and "pass" if it is not.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Domain of the list, such as bl.spamcop.net.
    #[arg(value_parser = domain)]
    zone: Domain,
    /// IP address to ask about.
    ip: IpAddr,
}

/// Check whether a list works.
///
/// A list must have 127.0.0.2 and must not have 127.0.0.1. One that does not answer so lists nobody
/// or everybody, and should not be used.
#[derive(Debug, Args)]
pub(super) struct CheckHealth {
    /// Domain of the list, such as bl.spamcop.net.
    #[arg(value_parser = domain)]
    zone: Domain,
}

impl Dnsbl {
    pub(super) fn run(self) -> Result<()> {
        let text = match self {
            Self::Check(Check { zone, ip }) => {
                look_up(async |resolver| check(resolver, &zone, ip).await)?
            }
            Self::Checkhealth(CheckHealth { zone }) => {
                look_up(async |resolver| check_health(resolver, &zone).await)??
            }
        };
        print(&text)
    }
}

/// What a list says of an address.
async fn check(resolver: &dyn Resolver, zone: &Domain, ip: IpAddr) -> String {
    let answer = dnsbl::check(resolver, zone, ip).await;
    let mut text = line("status", Some(answer.as_str()));
    match answer {
        Answer::NotListed(_) => {}
        Answer::Listed(listing) => {
            let codes: Vec<String> = listing.codes.iter().map(ToString::to_string).collect();
            text.push_str(&line("codes", Some(codes.join(" "))));
            text.push_str(&line("explanation", listing.explanation));
        }
        Answer::Unknown(problem) => text.push_str(&line("problem", Some(problem))),
    }
    text
}

/// Says that a list works, or why not.
async fn check_health(resolver: &dyn Resolver, zone: &Domain) -> Result<String> {
    let health = dnsbl::check_health(resolver, zone).await;
    health.map(|()| "healthy\n".to_owned()).map_err(|error| anyhow!("unhealthy: {error}"))
}

#[cfg(test)]
mod tests {
    use mox_dns::{DnsError, FakeDns, RecordType, Trouble};

    use super::super::lookups::tests::now;
    use super::*;

    fn dns() -> FakeDns {
        let mut dns = FakeDns::new();
        dns.add_ips("1.2.0.192.bl.example", &["127.0.0.4", "127.0.0.2"]);
        dns.add_txt("1.2.0.192.bl.example", "seen in 2026");
        dns.add_ips("2.0.0.127.bl.example", &["127.0.0.2"]);
        let late = DnsError::Temporary(Trouble::Timeout);
        dns.fail("3.2.0.192.bl.example", RecordType::A, late);
        dns
    }

    #[track_caller]
    fn check_ip(ip: &str, want: &str) {
        let zone = domain("bl.example").unwrap();
        assert_eq!(now(check(&dns(), &zone, ip.parse().unwrap())), want);
    }

    /// RFC 5782 §2.1.
    #[test]
    fn lists_are_asked() {
        let listed = "status: fail\ncodes: 127.0.0.2 127.0.0.4\nexplanation: seen in 2026\n";
        check_ip("192.0.2.1", listed);
        check_ip("192.0.2.2", "status: pass\n");
        check_ip("2001:db8::1", "status: pass\n");
        check_ip("192.0.2.3", "status: temperror\nproblem: no answer in time\n");
    }

    /// RFC 5782 §5.
    #[test]
    fn lists_that_do_not_work_are_told() {
        let health = |zone: &str| now(check_health(&dns(), &domain(zone).unwrap()));
        assert_eq!(health("bl.example").unwrap(), "healthy\n");
        let error = health("none.example").unwrap_err().to_string();
        assert_eq!(error, "unhealthy: 127.0.0.2 is not listed, which must be");
    }
}
