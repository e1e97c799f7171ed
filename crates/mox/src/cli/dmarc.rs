//! `mox dmarc`.

use std::io;
use std::net::IpAddr;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use mox_base::{Address, Clock as _, Domain, Host, Rng as _, UnixSeconds};
use mox_dns::Resolver;
use mox_mailauth::dkim::{BodyHashes, Header, Keys, Verification, Verifier};
use mox_mailauth::dmarc::{
    self, Identifier, Method, Outcome, Record, ReportTarget, ReportUri, report_target,
};
use mox_mailauth::spf;
use mox_net::{SystemClock, SystemRng};

use super::lookups::{address, dnssec, domain, line, look_up};
use super::message_file::MessageFile;
use super::parsereportmsg::ParseDmarc;
use super::print;

/// Whether messages are from whom they say, and what the owners of domains want if not: DMARC.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Dmarc {
    Lookup(Lookup),
    Verify(Verify),
    Checkreportaddrs(CheckReportAddrs),
    Parsereportmsg(ParseDmarc),
}

/// Look up the DMARC record that holds for a domain.
///
/// Prints whose record it is, what it says, and to which organization the domain belongs.
#[derive(Debug, Args)]
pub(super) struct Lookup {
    /// Domain of an address in a From header.
    #[arg(value_parser = domain)]
    domain: Domain,
}

/// Check the message on standard input against the policy of its author's domain.
///
/// Checks the signatures in the message, and with SPF the sender it came with. A message that was
/// received has these values in its headers Received-SPF, Return-Path and Received.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// IP address that the message came from.
    remoteip: IpAddr,
    /// Address that the message was sent from, as in MAIL FROM. Empty for a bounce.
    mailfromaddress: String,
    /// Name that the sending server gave, as in EHLO. If this and the address are empty, SPF is
    /// left out.
    helodomain: String,
}

/// Check whether those that a domain has reports sent to want them.
///
/// Addresses at domains of other organizations only get reports if these domains agree.
#[derive(Debug, Args)]
pub(super) struct CheckReportAddrs {
    /// Domain of an address in a From header.
    #[arg(value_parser = domain)]
    domain: Domain,
}

impl Dmarc {
    pub(super) fn run(self) -> Result<()> {
        let text = match self {
            Self::Lookup(Lookup { domain }) => {
                look_up(async |resolver| lookup(resolver, &domain).await)??
            }
            Self::Verify(command) => command.look_up()?,
            Self::Parsereportmsg(command) => return command.run(),
            Self::Checkreportaddrs(CheckReportAddrs { domain }) => {
                look_up(async |resolver| check_report_addresses(resolver, &domain).await)??
            }
        };
        print(&text)
    }
}

impl Verify {
    fn look_up(self) -> Result<String> {
        let Self { remoteip, mailfromaddress, helodomain } = self;
        let sender = Sender::new(remoteip, &mailfromaddress, &helodomain)?;
        let mut message = MessageFile::open(io::stdin().lock())?;
        let mut chance = [0; 4];
        SystemRng.fill(&mut chance);
        let (now, chance) = (SystemClock::new().now(), u32::from_le_bytes(chance));
        look_up(async |resolver| {
            verify(resolver, sender.as_ref(), &mut message, now, chance).await
        })?
    }
}

/// What the record says that holds for a domain.
async fn lookup(resolver: &dyn Resolver, domain: &Domain) -> Result<String> {
    let discovery = dmarc::discover(resolver, domain, Method::TreeWalk).await?;
    let security = dnssec(discovery.security);
    let Some(found) = discovery.found else { bail!("{domain} has no DMARC record ({security})") };
    let mut text = line("record", Some(&found.text));
    text.push_str(&format!("domain: {}\n", found.domain));
    text.push_str(&format!("organization: {}\n", discovery.organization));
    match Record::examine(found.text.as_bytes()) {
        Ok((_, faults)) => {
            for fault in faults {
                let ignored = format!("{}={}", fault.tag, fault.value);
                text.push_str(&line("ignored", Some(ignored)));
            }
        }
        Err(error) => text.push_str(&line("problem", Some(error))),
    }
    text.push_str(&format!("({security})\n"));
    Ok(text)
}

/// Who sent a message.
struct Sender {
    ip: IpAddr,
    mail_from: Option<Address>,
    helo: Host,
}

impl Sender {
    /// None if neither the address nor the name is known.
    fn new(ip: IpAddr, mail_from: &str, helo: &str) -> Result<Option<Self>> {
        if mail_from.is_empty() && helo.is_empty() {
            return Ok(None);
        }
        let mail_from = (!mail_from.is_empty()).then(|| address(mail_from)).transpose();
        let mail_from = mail_from.map_err(|error| anyhow!("mailfromaddress: {error}"))?;
        // What nobody named counts as a name without a record.
        let helo = if helo.is_empty() { Ok(Host::Ip(ip)) } else { host(helo) };
        let helo = helo.map_err(|error| anyhow!("helodomain: {error}"))?;
        Ok(Some(Self { ip, mail_from, helo }))
    }
}

/// A name in EHLO: a domain, or an address in brackets. RFC 5321 §4.1.3.
fn host(text: &str) -> Result<Host, String> {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let inside = inside.map(|text| text.strip_prefix("IPv6:").unwrap_or(text));
    match inside.map(str::parse) {
        Some(Ok(ip)) => Ok(Host::Ip(ip)),
        Some(Err(_)) => Err("no IP address in brackets".to_owned()),
        None => domain(text).map(Host::Domain),
    }
}

/// What the owner of the author's domain wants of a message, and why.
async fn verify<R: io::Read>(
    resolver: &dyn Resolver,
    sender: Option<&Sender>,
    message: &mut MessageFile<R>,
    now: UnixSeconds,
    chance: u32,
) -> Result<String> {
    let section = message.header().to_vec();
    let header = Header::parse(&section).context("read message")?;
    let mut bodies = BodyHashes::new();
    let verifier = Verifier::new(&header, &mut bodies, now);
    message.read_body(|piece| bodies.update(piece))?;
    let keys = Keys::look_up(resolver, verifier.key_names()).await;
    let signatures = verifier.finish(&keys, &bodies.finish());
    let author = mox_mime::from_address(&section).map(|address| address.domain);
    let received = match (sender, &author) {
        (Some(Sender { ip, mail_from, helo }), Ok(receiver)) => {
            let mail_from = mail_from.as_ref();
            let args = spf::Args { ip: *ip, mail_from, helo, receiver, now };
            Some(spf::check(resolver, &args).await)
        }
        _ => None,
    };
    let dkim: Vec<_> = signatures.iter().filter_map(Identifier::from_dkim).collect();
    let outcome = dmarc::verify(
        resolver,
        &dmarc::Args {
            author: author.as_ref().map_err(|error| *error),
            spf: received.as_ref().and_then(Identifier::from_spf),
            dkim: &dkim,
            method: Method::TreeWalk,
            chance,
        },
    )
    .await;
    Ok(report(received.as_ref(), &signatures, &outcome))
}

fn report(
    received: Option<&spf::Received>,
    signatures: &[Verification],
    outcome: &Outcome,
) -> String {
    let mut text = line("from", outcome.author.as_ref());
    if let Some(received) = received {
        let domain = received.domain.as_ref().map(|domain| format!(" {domain}"));
        text.push_str(&format!(
            "spf: {}{}\n",
            received.status.as_str(),
            domain.unwrap_or_default()
        ));
    }
    for one in signatures {
        let domain = one.signature.as_ref().map(|signature| format!(" {}", signature.domain));
        text.push_str(&format!("dkim: {}{}\n", one.status, domain.unwrap_or_default()));
    }
    let status = outcome.status.as_str();
    text.push_str(&format!("status: {status} ({})\n", dnssec(outcome.security)));
    text.push_str(&line("problem", outcome.problem.as_ref()));
    if let Some(found) = &outcome.found {
        text.push_str(&format!("policy: {}\n", outcome.policy.as_str()));
        text.push_str(&format!("disposition: {}\n", outcome.disposition().as_str()));
        text.push_str(&line("record", Some(&found.text)));
    }
    text
}

/// Whether those that a domain has reports sent to want them, one on a line.
async fn check_report_addresses(resolver: &dyn Resolver, domain: &Domain) -> Result<String> {
    let discovery = dmarc::discover(resolver, domain, Method::TreeWalk).await?;
    let found = discovery.found.ok_or_else(|| anyhow!("{domain} has no DMARC record"))?;
    let record = found.record?;
    let mut text = String::new();
    let failure = record.failure.iter().map(|uri| ("ruf", uri));
    for (tag, uri) in record.aggregate.iter().map(|uri| ("rua", uri)).chain(failure) {
        let verdict = wants_reports(resolver, &found.domain, uri).await;
        text.push_str(&line(&format!("{tag} {uri}"), Some(verdict)));
    }
    if text.is_empty() {
        bail!("the record of {} has no addresses", found.domain)
    }
    Ok(text)
}

async fn wants_reports(resolver: &dyn Resolver, domain: &Domain, uri: &ReportUri) -> String {
    match report_target(resolver, domain, uri, Method::TreeWalk).await {
        Ok((ReportTarget::Allowed(_), _)) => "accepted".to_owned(),
        Ok((ReportTarget::Replaced(others), _)) => {
            let others: Vec<String> = others.iter().map(ToString::to_string).collect();
            format!("accepted at {}", others.join(" "))
        }
        Ok((ReportTarget::Denied, _)) => "its domain does not accept reports".to_owned(),
        Ok((ReportTarget::NotMail, _)) => "no address".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use mox_dns::FakeDns;

    use super::super::lookups::tests::now;
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

    fn dns() -> FakeDns {
        let mut dns = FakeDns::new();
        dns.add_txt(
            "_dmarc.a.example",
            "v=DMARC1; p=reject; sp=none; psd=n; zz=?; \
             rua=mailto:r@a.example,mailto:r@yes.example,mailto:r@no.example,https://a.example; \
             ruf=mailto:r@also.example",
        );
        dns.add_txt("a.example._report._dmarc.yes.example", "v=DMARC1");
        let other = "v=DMARC1; rua=mailto:o@also.example";
        dns.add_txt("a.example._report._dmarc.also.example", other);
        dns.add_txt("a.example", "v=spf1 ip4:192.0.2.1 -all");
        dns.add_txt("_dmarc.bad.example", "v=DMARC1; p=none; p=none");
        dns.add_txt("_dmarc.mute.example", "v=DMARC1; p=none");
        dns.sign("a.example");
        dns
    }

    #[track_caller]
    fn check_lookup(name: &str, want: Result<&[&str], &str>) {
        let text = now(lookup(&dns(), &domain(name).unwrap())).map_err(|e| e.to_string());
        let lines = text.as_deref().map(|text| text.lines().skip(1).collect::<Vec<_>>());
        assert_eq!(lines.map_err(String::as_str), want.map(<[_]>::to_vec));
    }

    /// RFC 9989 §4.8, §4.10.
    #[test]
    fn records_are_looked_up() {
        let (of, at) = ("domain: a.example", "organization: a.example");
        check_lookup("a.example", Ok(&[of, at, "(with dnssec)"]));
        check_lookup("b.a.example", Ok(&[of, at, "(with dnssec)"]));
        let (of, at) = ("domain: bad.example", "organization: bad.example");
        let faulty = &[of, at, "problem: tag given twice", "(without dnssec)"][..];
        check_lookup("bad.example", Ok(faulty));
        let none = "none.example has no DMARC record (without dnssec)";
        check_lookup("none.example", Err(none));
    }

    #[track_caller]
    fn check(ip: &str, mail_from: &str, helo: &str, message: &str, want: &[&str]) {
        let sender = Sender::new(ip.parse().unwrap(), mail_from, helo).unwrap();
        let mut message = MessageFile::open(message.as_bytes()).unwrap();
        let text = now(verify(&dns(), sender.as_ref(), &mut message, NOW, 0)).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("record: ")).collect();
        assert_eq!(lines, want);
    }

    /// RFC 9989 §4.4.
    #[test]
    fn messages_are_checked() {
        let message = "From: u@a.example\r\n\r\nbody\r\n";
        let policy = "policy: reject";
        check(
            "192.0.2.1",
            "x@a.example",
            "h.example",
            message,
            &[
                "from: a.example",
                "spf: pass a.example",
                "status: pass (with dnssec)",
                policy,
                "disposition: none",
            ],
        );
        let fail = ["status: fail (with dnssec)", policy, "disposition: reject"];
        let forged = [&["from: a.example", "spf: fail a.example"][..], &fail].concat();
        check("192.0.2.2", "x@a.example", "[192.0.2.2]", message, &forged);
        let bounce = [&["from: a.example", "spf: none"][..], &fail].concat();
        check("192.0.2.2", "", "[IPv6:2001:db8::1]", message, &bounce);
        // Without a sender only signatures count.
        let signed = format!("DKIM-Signature: v=1; nonsense\r\n{message}");
        let unknown = [&["from: a.example", "dkim: permerror"][..], &fail].concat();
        check("192.0.2.2", "", "", &signed, &unknown);
        check(
            "192.0.2.2",
            "",
            "",
            "From: u@a.example, v@a.example\r\n\r\n",
            &[
                "status: permerror (without dnssec)",
                "problem: From header has more than one address",
            ],
        );
    }

    #[test]
    fn senders_are_read() {
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(Sender::new(ip, "", "").unwrap().is_none());
        assert!(Sender::new(ip, "a@b.example", "").unwrap().is_some());
        assert!(Sender::new(ip, "nobody", "b.example").is_err());
        assert!(Sender::new(ip, "", "[x]").is_err());
        assert!(Sender::new(ip, "", "a b").is_err());
    }

    /// RFC 9990 §4.
    #[test]
    fn addresses_of_reports_are_checked() {
        let ask = |name: &str| now(check_report_addresses(&dns(), &domain(name).unwrap()));
        let want = "rua mailto:r@a.example: accepted\n\
            rua mailto:r@yes.example: accepted\n\
            rua mailto:r@no.example: its domain does not accept reports\n\
            rua https://a.example: no address\n\
            ruf mailto:r@also.example: accepted at mailto:o@also.example\n";
        assert_eq!(ask("a.example").unwrap(), want);
        assert!(ask("none.example").is_err());
        assert!(ask("bad.example").is_err());
        assert!(ask("mute.example").is_err());
    }
}
