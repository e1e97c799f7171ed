//! SPF: records written by hand, and made of parts at random.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;
use mail_auth::SpfResult;
use mail_auth::spf::verify::SpfParameters;
use mox_base::{Address, Domain, Host, UnixSeconds};
use mox_dns::{DnsError, FakeDns, RecordType, Trouble};
use mox_mailauth::spf::{Args, Problem, check};

use crate::random::Random;
use crate::server::Other;
use crate::tally::{Tally, Verdict};

/// Records of `a.example` as the RFC and its implementers came upon them.
const FIXED: &[&str] = &[
    "v=spf1",
    "v=spf1 -all",
    "V=SPF1 +ALL",
    "v=spf10 -all",
    "v=spf1mx -all",
    "v=spf1 a -all",
    "v=spf1 a/24 -all",
    "v=spf1 a//64 -all",
    "v=spf1 a/24//64 -all",
    "v=spf1 a:h1.example -all",
    "v=spf1 a:h1.example. -all",
    "v=spf1 a:H1.EXAMPLE -all",
    "v=spf1 a:none.example -all",
    "v=spf1 a:fail.example -all",
    "v=spf1 a: -all",
    "v=spf1 a:museum -all",
    "v=spf1 a:111.222.33.44 -all",
    "v=spf1 a:a.example:8080 -all",
    "v=spf1 a/33 -all",
    "v=spf1 a//129 -all",
    "v=spf1 a/0 -all",
    "v=spf1 a//0 -all",
    "v=spf1 a/ -all",
    "v=spf1 a/00 -all",
    "v=spf1 mx -all",
    "v=spf1 mx:m1.example -all",
    "v=spf1 mx:m1.example/24 -all",
    "v=spf1 mx:many.example -all",
    "v=spf1 mx:wide.example -all",
    "v=spf1 mx:none.example -all",
    "v=spf1 mx:h1.example -all",
    "v=spf1 ptr -all",
    "v=spf1 ptr:example -all",
    "v=spf1 ptr:h1.example -all",
    "v=spf1 ptr:1.example -all",
    "v=spf1 ip4:192.0.2.1 -all",
    "v=spf1 ip4:192.0.2.0/24 -all",
    "v=spf1 ip4:192.0.2.0/33 -all",
    "v=spf1 ip4:192.0.2.0//24 -all",
    "v=spf1 ip4:192.0.2 -all",
    "v=spf1 ip4 -all",
    "v=spf1 ip4:::1 -all",
    "v=spf1 ip6:2001:db8::/32 -all",
    "v=spf1 ip6:2001:db8::1 -all",
    "v=spf1 ip6:::/0 -all",
    "v=spf1 ip6:2001:db8::1//33 -all",
    "v=spf1 ip6:2001:db8::/129 -all",
    "v=spf1 exists:h1.example -all",
    "v=spf1 exists:six.example -all",
    "v=spf1 exists:none.example -all",
    "v=spf1 exists: -all",
    "v=spf1 exists -all",
    "v=spf1 exists:%{i}.by.example -all",
    "v=spf1 exists:%{ir}.%{v}.by.example -all",
    "v=spf1 exists:%{l}.by.example -all",
    "v=spf1 exists:%{d1r}.example -all",
    "v=spf1 exists:%{h2}.by.example -all",
    "v=spf1 exists:%{d0}.example -all",
    "v=spf1 exists:%{x}.example -all",
    "v=spf1 exists:%(d).example -all",
    "v=spf1 exists:%.example -all",
    "v=spf1 exists:%%.example -all",
    "v=spf1 exists:%{c}.example -all",
    "v=spf1 exists:%{p}.by.example -all",
    "v=spf1 include:pass.example -all",
    "v=spf1 include:fail1.example ~all",
    "v=spf1 include:neutral.example ~all",
    "v=spf1 include:nospf.example ~all",
    "v=spf1 include:none.example ~all",
    "v=spf1 include:bad.example ~all",
    "v=spf1 include:fail.example ~all",
    "v=spf1 include: ~all",
    "v=spf1 include ~all",
    "v=spf1 include:a.example -all",
    "v=spf1 redirect=pass.example",
    "v=spf1 redirect=fail1.example",
    "v=spf1 redirect=nospf.example",
    "v=spf1 redirect=none.example",
    "v=spf1 redirect=bad.example",
    "v=spf1 redirect=fail.example",
    "v=spf1 redirect=a.example",
    "v=spf1 redirect=pass.example redirect=pass.example",
    "v=spf1 ?all redirect=pass.example",
    "v=spf1 redirect=pass.example ?all",
    "v=spf1 redirect:pass.example ~all",
    "v=spf1 redirect=pass.example/24",
    "v=spf1 exp=why.example -all",
    "v=spf1 exp=why.example exp=why.example -all",
    "v=spf1 exp= -all",
    "v=spf1 unknown -all",
    "v=spf1 unknown:x -all",
    "v=spf1 unknown=x -all",
    "v=spf1 unknown=%{x} -all",
    "v=spf1 1x=y -all",
    "v=spf1 -all:x",
    "v=spf1 all/8",
    "v=spf1 -all unknown",
    "v=spf1 +-all",
    "v=spf1 =all",
    "v=spf1\tall",
    "v=spf1 \u{e4}ll -all",
    "v=spf1 a:n1.example a:n2.example ?all",
    "v=spf1 a:n1.example a:n2.example a:n3.example ?all",
    "v=spf1 a:n1.example mx:n2.example exists:n3.example ip4:192.0.2.1 ?all",
    "v=spf1 a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example ?all",
    "v=spf1 a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example ?all",
    "v=spf1 a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example a:h2.example redirect=pass.example",
];

const CLIENTS: &[&str] =
    &["192.0.2.1", "192.0.2.77", "203.0.113.9", "2001:db8::1", "2001:db8:1::1", "::ffff:192.0.2.1"];

const SENDERS: &[&str] = &["user@a.example", "", "first.last+tag@a.example", "x@sub.a.example"];

/// Names and addresses that records refer to.
fn world() -> FakeDns {
    let mut dns = FakeDns::new();
    dns.add_ips("a.example", &["192.0.2.1", "2001:db8::1"]).add_mx("a.example", 1, "h1.example");
    dns.add_ips("h1.example", &["192.0.2.1", "2001:db8::1"]);
    dns.add_ips("h2.example", &["203.0.113.200", "2001:db8:ffff::1"]);
    dns.add_ips("six.example", &["2001:db8::1"]);
    dns.add_mx("m1.example", 1, "h1.example").add_mx("m1.example", 2, "h2.example");
    for n in 0..10 {
        dns.add_mx("many.example", n, &format!("x{n}.example"));
        dns.add_ips(&format!("x{n}.example"), &[&format!("192.0.2.{}", 70 + n)]);
    }
    for n in 0..11 {
        dns.add_mx("wide.example", n, &format!("x{}.example", n % 10));
        dns.add_mx("wide.example", n, &format!("y{n}.example"));
    }
    dns.add_ptr("192.0.2.1", "h1.example").add_ptr("2001:db8::1", "h1.example");
    dns.add_ptr("192.0.2.77", "x7.example").add_ptr("203.0.113.9", "liar.example");
    dns.add_txt("pass.example", "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/48 -all");
    dns.add_txt("fail1.example", "v=spf1 -all").add_txt("neutral.example", "v=spf1 ?all");
    dns.add_txt("nospf.example", "nothing here").add_txt("bad.example", "v=spf1 nonsense -all");
    dns.add_txt("deep.example", "v=spf1 include:pass.example include:neutral.example -all");
    dns.add_txt("loop.example", "v=spf1 include:pool.example ?all");
    dns.add_txt("pool.example", "v=spf1 include:loop.example ?all");
    dns.add_txt("why.example", "not %{i}");
    for name in ["192.0.2.1.by.example", "1.2.0.192.in-addr.by.example", "user.by.example"] {
        dns.add_ips(name, &["127.0.0.2"]);
    }
    for kind in [RecordType::Txt, RecordType::A, RecordType::Mx, RecordType::Aaaa] {
        dns.fail("fail.example", kind, DnsError::Temporary(Trouble::ServerFailure));
    }
    dns
}

const NAMES: &[&str] = &[
    "a.example",
    "h1.example",
    "h2.example",
    "six.example",
    "m1.example",
    "many.example",
    "wide.example",
    "pass.example",
    "fail1.example",
    "neutral.example",
    "nospf.example",
    "bad.example",
    "deep.example",
    "loop.example",
    "none.example",
    "fail.example",
    "%{d}",
    "%{ir}.%{v}.by.example",
    "%{i}.by.example",
    "%{l}.by.example",
    "%{h}",
    "%{o}",
    "%{d2}",
];

/// A record of right and not quite right terms.
fn record(random: &mut Random) -> String {
    let mut text = "v=spf1".to_owned();
    for _ in 0..random.below(7) {
        text.push_str(if random.once_in(20) { "  " } else { " " });
        text.push_str(random.pick(&["", "", "", "", "+", "-", "~", "?"]));
        let name = random.pick(NAMES);
        let prefix = random.pick(&["", "", "", "/24", "//48", "/24//48", "/32", "/33"]);
        let term = match random.below(12) {
            0 => format!("a:{name}{prefix}"),
            1 => format!("a{prefix}"),
            2 => format!("mx:{name}{prefix}"),
            3 => format!("mx{prefix}"),
            4 => format!("include:{name}"),
            5 => format!("exists:{name}"),
            6 => format!("ptr:{name}"),
            7 => random.pick(&["ip4:192.0.2.0/24", "ip4:192.0.2.1", "ip4:203.0.113.0/25"]).into(),
            8 => random.pick(&["ip6:2001:db8::/32", "ip6:2001:db8::1", "ip6:::/0"]).into(),
            9 => "all".to_owned(),
            10 if random.once_in(4) => format!("redirect={name}"),
            11 if random.once_in(4) => format!("x-y={name}"),
            _ => random.pick(&["ip4:198.51.100.1", "ip4:1.2.3", "nonsense", "a", "all"]).into(),
        };
        text.push_str(&term);
    }
    if random.once_in(3) {
        text.push_str(random.pick(&[" -all", " ~all", " ?all", " redirect=pass.example"]));
    }
    text
}

/// Compares all cases.
pub(crate) async fn compare(
    other: &Other,
    cases: usize,
    random: &mut Random,
) -> Result<Vec<Tally>> {
    let mut fixed = Tally::new("SPF, fixed");
    for record in FIXED {
        for ip in CLIENTS {
            for sender in SENDERS {
                case(other, &[(*record).to_owned()], ip.parse()?, sender, &mut fixed).await?;
            }
        }
    }
    let mut made = Tally::new("SPF, made");
    for _ in 0..cases {
        let mut records = vec![record(random)];
        if random.once_in(50) {
            records.push(record(random));
        }
        let (ip, sender) = (random.pick(CLIENTS).parse()?, random.pick(SENDERS));
        case(other, &records, ip, sender, &mut made).await?;
    }
    Ok(vec![fixed, made])
}

/// What both say, word for word, and what stood in our way.
struct Outcome {
    ours: &'static str,
    problem: Option<Problem>,
    theirs: &'static str,
}

async fn case(
    other: &Other,
    records: &[String],
    ip: IpAddr,
    sender: &str,
    tally: &mut Tally,
) -> Result<()> {
    let mut outcome = both(other, records, ip, sender).await?;
    tally.count(outcome.ours);
    if outcome.ours == outcome.theirs {
        return Ok(());
    }
    // The fewest terms with which they still differ show the reason.
    let mut records = records.to_vec();
    while let Some((fewer, still)) = reduced(other, &records, ip, sender).await? {
        (records, outcome) = (fewer, still);
    }
    let verdict = verdict(&records, ip, sender, &outcome);
    let text = format!("{} from {ip} <{sender}>", records.join(" | "));
    tally.differ(text, outcome.ours, outcome.theirs, verdict);
    Ok(())
}

/// The same with a term or record less, if the outcomes differ still.
async fn reduced(
    other: &Other,
    records: &[String],
    ip: IpAddr,
    sender: &str,
) -> Result<Option<(Vec<String>, Outcome)>> {
    for (place, record) in records.iter().enumerate() {
        let terms: Vec<&str> = record.split(' ').collect();
        let mut candidates = Vec::new();
        if records.len() > 1 {
            let mut fewer = records.to_vec();
            fewer.remove(place);
            candidates.push(fewer);
        }
        for term in 1..terms.len() {
            let mut terms = terms.clone();
            terms.remove(term);
            let mut fewer = records.to_vec();
            fewer[place] = terms.join(" ");
            candidates.push(fewer);
        }
        for fewer in candidates {
            let outcome = both(other, &fewer, ip, sender).await?;
            if outcome.ours != outcome.theirs {
                return Ok(Some((fewer, outcome)));
            }
        }
    }
    Ok(None)
}

async fn both(other: &Other, records: &[String], ip: IpAddr, sender: &str) -> Result<Outcome> {
    let mut dns = world();
    for record in records {
        dns.add_txt("a.example", record).add_txt("sub.a.example", record);
    }
    let dns = Arc::new(dns);
    other.answer_from(Arc::clone(&dns));
    let address = (!sender.is_empty()).then(|| Address::parse(sender)).transpose()?;
    let args = Args {
        ip,
        mail_from: address.as_ref(),
        helo: &Host::Domain(Domain::parse("a.example")?),
        receiver: &Domain::parse("mx.receiver.example")?,
        now: UnixSeconds(1_750_000_000),
    };
    let ours = check(&*dns, &args).await;
    let receiver = "mx.receiver.example";
    let parameters = match sender.is_empty() {
        true => SpfParameters::verify_ehlo(ip, "a.example", receiver),
        false => SpfParameters::verify_mail_from(ip, "a.example", receiver, sender),
    };
    let theirs = other.authenticator.verify_spf(parameters).await;
    let theirs = match theirs.result() {
        SpfResult::Pass => "pass",
        SpfResult::Fail => "fail",
        SpfResult::SoftFail => "softfail",
        SpfResult::Neutral => "neutral",
        SpfResult::TempError => "temperror",
        SpfResult::PermError => "permerror",
        SpfResult::None => "none",
    };
    Ok(Outcome { ours: ours.status.as_str(), problem: ours.problem, theirs })
}

/// Who is right. What is not in this list is for people to look at.
fn verdict(records: &[String], ip: IpAddr, sender: &str, outcome: &Outcome) -> Verdict {
    match &outcome.problem {
        Some(Problem::SeveralRecords(_)) => {
            return Verdict::Ours("RFC 7208 §4.5: several records are a permerror");
        }
        Some(Problem::Record(..)) => {
            return Verdict::Ours(
                "RFC 7208 §4.6, §12: a fault anywhere in a record is a permerror",
            );
        }
        Some(Problem::TooManyVoids) => {
            return Verdict::Ours(
                "RFC 7208 §4.6.4: a third question without answer is a permerror",
            );
        }
        Some(Problem::TooManyMxHosts) => {
            return Verdict::Ours("RFC 7208 §4.6.4: more than ten mail hosts are a permerror");
        }
        _ => {}
    }
    let has = |part: &str| records.iter().any(|record| record.contains(part));
    let terms = records.iter().map(|record| record.split(' ').count() - 1).sum::<usize>();
    if ip.to_canonical() != ip {
        return Verdict::Ours("RFC 7208 §5: an IPv4-mapped client is one of IPv4");
    }
    if has("v=spf1\t") {
        return Verdict::Ours("RFC 7208 §4.5: a space ends the version");
    }
    if terms > 2 {
        return Verdict::Unknown;
    }
    if ip.is_ipv4() && has("ip6:::/0") {
        return Verdict::Ours("RFC 7208 §5.6: ip6 matches no client of IPv4");
    }
    if has("exists:six.example") {
        return Verdict::Ours("RFC 7208 §5.7: exists asks for IPv4 addresses, whatever the client");
    }
    if has("ptr:h1.example") {
        return Verdict::Ours("RFC 7208 §5.5: a name matches itself, not only those below it");
    }
    if has("include:deep.example") {
        return Verdict::Ours(
            "RFC 7208 §5.2: the qualifier of an include is that of the outer one",
        );
    }
    let odd = has("%%") || has("%{p}") || (has("%{l}") && sender.contains('+'));
    if odd && outcome.theirs == "temperror" {
        return Verdict::Ours("RFC 7208 §7.1, RFC 2181 §11: any name can be asked for");
    }
    Verdict::Unknown
}
