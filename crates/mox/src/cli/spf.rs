//! `mox spf`.

use std::net::IpAddr;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use mox_base::{Address, Clock as _, Domain, Host, Localpart, UnixSeconds};
use mox_dns::{Name, Resolver};
use mox_mailauth::spf;
use mox_net::SystemClock;

use super::lookups::{dnssec, domain, line, look_up, one_line};
use super::print;

/// Who may send mail in the name of a domain: SPF.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Spf {
    Check(Check),
    Lookup(Lookup),
    Parse(Parse),
}

/// Check whether an address may send mail in the name of a domain.
///
/// Prints the status, the mechanism of the record that decided, and what the domain says to those
/// that may not. The sender is taken to be postmaster of the domain.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Domain of the sender.
    #[arg(value_parser = domain)]
    domain: Domain,
    /// IP address that a message comes from.
    ip: IpAddr,
}

/// Look up the SPF record of a domain.
///
/// Prints the record as it stands and whether it was validated by DNSSEC.
#[derive(Debug, Args)]
pub(super) struct Lookup {
    /// Domain of the sender.
    #[arg(value_parser = domain)]
    domain: Domain,
}

/// Parse the text of an SPF record, and print it as it is understood.
///
/// Asks nothing of DNS.
#[derive(Debug, Args)]
pub(super) struct Parse {
    /// Text of the record, such as "v=spf1 mx -all".
    txtrecord: String,
}

impl Spf {
    pub(super) fn run(self) -> Result<()> {
        let text = match self {
            Self::Check(Check { domain, ip }) => {
                let now = SystemClock::new().now();
                look_up(async |resolver| check(resolver, &domain, ip, now).await)?
            }
            Self::Lookup(Lookup { domain }) => {
                look_up(async |resolver| lookup(resolver, &domain).await)??
            }
            Self::Parse(Parse { txtrecord }) => parse(&txtrecord)?,
        };
        print(&text)
    }
}

/// Whether an address may send for a domain.
async fn check(resolver: &dyn Resolver, domain: &Domain, ip: IpAddr, now: UnixSeconds) -> String {
    let sender = Localpart::parse("postmaster").ok();
    let sender = sender.map(|localpart| Address { localpart, domain: domain.clone() });
    let args = spf::Args {
        ip,
        mail_from: sender.as_ref(),
        helo: &Host::Domain(domain.clone()),
        receiver: domain,
        now,
    };
    let received = spf::check(resolver, &args).await;
    let mut text =
        format!("status: {} ({})\n", received.status.as_str(), dnssec(received.security));
    text.push_str(&line("mechanism", received.mechanism));
    text.push_str(&line("explanation", received.explanation));
    text.push_str(&line("problem", received.problem));
    text
}

/// The record of a domain.
async fn lookup(resolver: &dyn Resolver, domain: &Domain) -> Result<String> {
    match spf::lookup(resolver, &Name::from(domain)).await {
        Ok((_, text, security)) => Ok(format!("{}\n({})\n", one_line(&text), dnssec(security))),
        Err(spf::LookupError::NoRecord(security)) => {
            bail!("{domain} has no SPF record ({})", dnssec(security))
        }
        Err(spf::LookupError::Problem(problem)) => bail!("{}", one_line(&problem.to_string())),
    }
}

fn parse(text: &str) -> Result<String> {
    match spf::Record::parse(text.as_bytes()) {
        Ok(record) => Ok(format!("{record}\n")),
        Err(error) => bail!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use mox_dns::FakeDns;

    use super::super::lookups::tests::now;
    use super::*;

    fn dns() -> FakeDns {
        let mut dns = FakeDns::new();
        dns.add_txt("a.example", "v=spf1 ip4:192.0.2.0/24 -all exp=why.a.example");
        dns.add_txt("why.a.example", "not %{i} for %{s}");
        dns.add_txt("twice.example", "v=spf1 -all").add_txt("twice.example", "v=spf1 +all");
        dns.add_txt("bad.example", "v=spf1 nonsense");
        dns.sign("a.example");
        dns
    }

    #[track_caller]
    fn check_ip(name: &str, ip: &str, want: &str) {
        let (dns, name) = (dns(), domain(name).unwrap());
        let text = now(check(&dns, &name, ip.parse().unwrap(), UnixSeconds(0)));
        assert_eq!(text, want);
    }

    /// RFC 7208 §2.6.
    #[test]
    fn addresses_are_checked() {
        let pass = "status: pass (with dnssec)\nmechanism: ip4:192.0.2.0/24\n";
        check_ip("a.example", "192.0.2.1", pass);
        let fail = "status: fail (with dnssec)\nmechanism: all\n\
            explanation: not 203.0.113.1 for postmaster@a.example\n";
        check_ip("a.example", "203.0.113.1", fail);
        check_ip("none.example", "192.0.2.1", "status: none (without dnssec)\n");
        check_ip(
            "twice.example",
            "192.0.2.1",
            "status: permerror (without dnssec)\nproblem: several records at twice.example\n",
        );
    }

    #[track_caller]
    fn check_lookup(name: &str, want: Result<&str, &str>) {
        let text = now(lookup(&dns(), &domain(name).unwrap())).map_err(|e| e.to_string());
        assert_eq!(text, want.map(str::to_owned).map_err(str::to_owned));
    }

    /// RFC 7208 §4.4, §4.5.
    #[test]
    fn records_are_looked_up() {
        let record = "v=spf1 ip4:192.0.2.0/24 -all exp=why.a.example\n(with dnssec)\n";
        check_lookup("a.example", Ok(record));
        let none = "none.example has no SPF record (without dnssec)";
        check_lookup("none.example", Err(none));
        check_lookup("twice.example", Err("several records at twice.example"));
        check_lookup("bad.example", Err("record of bad.example: term 1: unknown mechanism"));
    }

    #[test]
    fn records_are_shown_as_understood() {
        assert_eq!(parse("V=SPF1  A/24  Redirect=x.example ").unwrap().lines().count(), 1);
        assert_eq!(parse("v=spf1 MX  -ALL").unwrap(), "v=spf1 mx -all\n");
        assert!(parse("v=spf2 -all").is_err());
        assert!(parse("v=spf1 ip4:1.2.3").is_err());
    }
}
