//! `mox dns`.

use std::net::IpAddr;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use mox_base::Domain;
use mox_dns::{Data, DnsError, Found, Lookups as _, Name, RecordType, Resolver};

use super::lookups::{dnssec, look_up, one_line};
use super::print;

/// Ask DNS as the mail server does.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Dns {
    Lookup(Lookup),
}

/// Look up records, and whether DNSSEC vouches for them.
///
/// Prints how many there are, "with dnssec" or "without dnssec", and a line for each. Aliases (CNAME)
/// are followed. That there are none, or that signatures are wrong, is an error.
///
/// Signatures are checked by the DNS server of this machine, if /etc/resolv.conf names one that does,
/// else here, or nowhere if the servers pass none on.
#[derive(Debug, Args)]
pub(super) struct Lookup {
    /// Type of the records.
    #[arg(id = "type", value_name = "TYPE", value_enum, ignore_case = true)]
    kind: Kind,
    /// Name that has the records, with or without the last dot; for ptr, an IP address.
    #[arg(value_parser = question)]
    name: Question,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Names of an address.
    Ptr,
    /// Hosts that take mail.
    Mx,
    /// The name that this one stands for.
    Cname,
    /// Addresses, IPv4 and IPv6.
    Ips,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Servers of the zone.
    Ns,
    /// Texts.
    Txt,
    /// Hosts and ports of a service.
    Srv,
    /// Certificates of a service.
    Tlsa,
}

/// Whose records are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    Name(Name),
    Ip(IpAddr),
}

fn question(text: &str) -> Result<Question, String> {
    if let Ok(ip) = text.parse() {
        return Ok(Question::Ip(ip));
    }
    // Names may hold what no domain may; but only domains have U-labels.
    let name = match text.is_ascii() {
        true => Name::parse(text).map_err(|error| error.to_string()),
        false => Domain::parse(text).map(|one| Name::from(&one)).map_err(|error| error.to_string()),
    };
    name.map(Question::Name)
}

impl Dns {
    pub(super) fn run(self) -> Result<()> {
        let Self::Lookup(Lookup { kind, name }) = self;
        let text = look_up(async |resolver| lookup(resolver, kind, &name).await)??;
        print(&text)
    }
}

impl Kind {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The one type of records, unless it is more than one.
    fn record_type(self) -> Option<RecordType> {
        Some(match self {
            Self::Ips => return None,
            Self::Ptr => RecordType::Ptr,
            Self::Mx => RecordType::Mx,
            Self::Cname => RecordType::Cname,
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::Aaaa,
            Self::Ns => RecordType::Ns,
            Self::Txt => RecordType::Txt,
            Self::Srv => RecordType::Srv,
            Self::Tlsa => RecordType::Tlsa,
        })
    }
}

/// The records as text.
async fn lookup(resolver: &dyn Resolver, kind: Kind, question: &Question) -> Result<String> {
    let name = match (question, kind) {
        (Question::Name(name), _) => name.clone(),
        (Question::Ip(ip), Kind::Ptr) => Name::reverse(*ip),
        (Question::Ip(ip), _) => return Err(anyhow!("{ip} is an address: ask for ptr")),
    };
    let found = match kind.record_type() {
        Some(kind) => resolver.lookup(&name, kind).await.map(lines),
        None => resolver.ips(&name).await.map(|found| found.filter_map(|ip| Some(ip.to_string()))),
    };
    let Found { records, security, .. } = found.map_err(|error| failure(kind, &name, &error))?;
    let (kind, count) = (kind.name(), records.len());
    let mut text = format!("{kind} records ({count}, {}):\n", dnssec(security));
    for record in records {
        text.push_str(&format!("- {record}\n"));
    }
    Ok(text)
}

fn failure(kind: Kind, name: &Name, error: &DnsError) -> anyhow::Error {
    let state = match error {
        DnsError::NotFound { security, .. } => format!(" ({})", dnssec(*security)),
        _ => String::new(),
    };
    anyhow!("look up {} records of {name}: {error}{state}", kind.name())
}

/// A line for each record, those first that are to be used first.
fn lines(mut found: Found<Data>) -> Found<String> {
    found.records.sort_by_key(|record| match record {
        Data::Mx { preference, .. } => *preference,
        Data::Srv { priority, .. } => *priority,
        _ => 0,
    });
    found.filter_map(|record| Some(one_line(&line(&record))))
}

fn line(record: &Data) -> String {
    match record {
        Data::A(ip) => ip.to_string(),
        Data::Aaaa(ip) => ip.to_string(),
        Data::Cname(name) | Data::Ns(name) | Data::Ptr(name) => name.to_string(),
        Data::Mx { preference, exchange } => format!("{exchange}, preference {preference}"),
        Data::Srv { priority, weight, port, target } => {
            format!("{target}, port {port}, priority {priority}, weight {weight}")
        }
        // As in zone files. RFC 6698 §2.2.
        Data::Tlsa(tlsa) => {
            let data: String = tlsa.data.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{} {} {} {data}", tlsa.usage, tlsa.selector, tlsa.matching)
        }
        Data::Txt(text) => String::from_utf8_lossy(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use mox_dns::{FakeDns, Tlsa, Trouble};

    use super::super::lookups::tests::now;
    use super::*;

    fn dns() -> FakeDns {
        let name = |text| Name::parse(text).unwrap();
        let mut dns = FakeDns::new();
        dns.add_ips("a.example", &["192.0.2.1", "2001:db8::1"]).add_ptr("192.0.2.1", "a.example");
        dns.add_mx("example", 20, "b.example").add_mx("example", 10, "a.example").sign("example");
        dns.add("www.example", Data::Cname(name("a.example")));
        dns.add("example", Data::Ns(name("ns.example")));
        dns.add_txt("plain.test", "v=spf1\u{1b}[2J -all");
        let (weight, port, target) = (5, 465, name("a.example"));
        dns.add("_s._tcp.test", Data::Srv { priority: 1, weight, port, target });
        let tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0xab, 0x01] };
        dns.add("_25._tcp.test", Data::Tlsa(tlsa));
        dns.fail("bad.test", RecordType::A, DnsError::Bogus);
        dns.fail("late.test", RecordType::A, DnsError::Temporary(Trouble::Timeout));
        dns
    }

    /// Wants the text, or the error.
    #[track_caller]
    fn check(kind: &str, name: &str, want: &str) {
        let (kind, name) = (Kind::from_str(kind, true).unwrap(), question(name).unwrap());
        let got = now(lookup(&dns(), kind, &name));
        assert_eq!(got.unwrap_or_else(|error| error.to_string()), want);
    }

    #[test]
    fn records_are_shown_with_the_state_of_dnssec() {
        check("a", "a.example", "a records (1, with dnssec):\n- 192.0.2.1\n");
        check("AAAA", "a.example.", "aaaa records (1, with dnssec):\n- 2001:db8::1\n");
        let ips = "ips records (2, with dnssec):\n- 192.0.2.1\n- 2001:db8::1\n";
        check("ips", "www.example", ips);
        check("cname", "www.example", "cname records (1, with dnssec):\n- a.example.\n");
        let mx = "mx records (2, with dnssec):\n- a.example., preference 10\n\
                  - b.example., preference 20\n";
        check("mx", "example", mx);
        check("ns", "example", "ns records (1, with dnssec):\n- ns.example.\n");
        check("ptr", "192.0.2.1", "ptr records (1, without dnssec):\n- a.example.\n");
        let reverse = "1.2.0.192.in-addr.arpa";
        check("ptr", reverse, "ptr records (1, without dnssec):\n- a.example.\n");
        check("txt", "plain.test", "txt records (1, without dnssec):\n- v=spf1?[2J -all\n");
        let srv =
            "srv records (1, without dnssec):\n- a.example., port 465, priority 1, weight 5\n";
        check("srv", "_s._tcp.test", srv);
        check("tlsa", "_25._tcp.test", "tlsa records (1, without dnssec):\n- 3 1 1 ab01\n");
    }

    #[test]
    fn that_there_is_nothing_is_an_error() {
        let absent = "look up a records of x.example.: the name does not exist (with dnssec)";
        check("a", "x.example", absent);
        check(
            "a",
            "plain.test",
            "look up a records of plain.test.: no such records (without dnssec)",
        );
        let bogus = "the answer is not signed as it must be (DNSSEC)";
        check("a", "bad.test", &format!("look up a records of bad.test.: {bogus}"));
        check("a", "late.test", "look up a records of late.test.: no answer in time");
        check("a", "192.0.2.1", "192.0.2.1 is an address: ask for ptr");
    }

    #[test]
    fn names_are_taken_in_any_form() {
        let name = |text| match question(text) {
            Ok(Question::Name(name)) => Ok(name.to_string()),
            other => Err(other),
        };
        assert_eq!(name("_dmarc.Example.org"), Ok("_dmarc.example.org.".to_owned()));
        assert_eq!(name("b\u{fc}cher.example"), Ok("xn--bcher-kva.example.".to_owned()));
        assert_eq!(name("."), Ok(".".to_owned()));
        assert_eq!(question("::1"), Ok(Question::Ip("::1".parse().unwrap())));
        assert!(question("a..b").is_err());
        assert!(question("b\u{fc} cher").is_err());
    }
}
