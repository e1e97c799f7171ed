//! Records that are faulty, lead in circles, or shall cost much.

use futures_util::FutureExt as _;
use mox_base::{Address, Domain, Host, UnixSeconds};
use mox_dns::{Data, FakeDns, Name};
use mox_mailauth::dkim::{KEY_TEXTS_MAX, RECORD_BYTES_MAX, look_up};
use mox_mailauth::spf::{self, QUESTIONS_MAX, TERMS_MAX};
use mox_mailauth::{dmarc, dnsbl, iprev};

/// Names and addresses that records can refer to: more than may be looked at of each kind.
fn dns() -> FakeDns {
    let mut dns = FakeDns::new();
    for n in 0..100 {
        dns.add_mx("wide.example", n, &format!("h{n}.wide.example"));
        dns.add_ptr("192.0.2.1", &format!("h{n}.wide.example"));
        dns.add_ips(&format!("h{n}.wide.example"), &["203.0.113.1"]);
        dns.add_txt("texts.example", &format!("text {n}"));
        if n < 10 {
            dns.add_mx("gone.example", n, &format!("h{n}.gone.example"));
        }
    }
    dns.add("circle.example", Data::Cname(Name::parse("circle.example").unwrap()));
    dns.add_txt("texts.example", "v=spf1 -all");
    dns
}

/// Checks the record of `a.example`: the status, and how many questions were asked.
#[track_caller]
fn check_spf(record: &[u8], want: &str, questions: usize) {
    let mut dns = dns();
    dns.add("a.example", Data::Txt(record.to_vec()));
    dns.add("b.a.example", Data::Txt(record.to_vec()));
    let address = Address::parse("u@a.example").unwrap();
    let args = spf::Args {
        ip: "192.0.2.1".parse().unwrap(),
        mail_from: Some(&address),
        helo: &Host::Domain(address.domain.clone()),
        receiver: &Domain::parse("mx.example").unwrap(),
        now: UnixSeconds(0),
    };
    let received = spf::check(&dns, &args).now_or_never().unwrap();
    let mut got = received.status.as_str().to_owned();
    if let Some(problem) = received.problem {
        got = format!("{got}: {problem}");
    }
    let shown = String::from_utf8_lossy(record);
    assert_eq!((got.as_str(), dns.take_asked().len()), (want, questions), "{shown:.100}");
}

/// RFC 7208 §4.6.4, §11.1: every term that asks is counted, `redirect` too.
#[test]
fn circles_of_spf_end() {
    let check = |record: &str, want, questions| check_spf(record.as_bytes(), want, questions);
    let terms = "permerror: more than 10 terms with questions";
    let all = 1 + usize::try_from(TERMS_MAX).unwrap();
    check("v=spf1 redirect=a.example", terms, all);
    check("v=spf1 redirect=%{d}", terms, all);
    check("v=spf1 redirect=b.%{d2}", terms, all);
    check("v=spf1 include:a.example -all", terms, all);
    check("v=spf1 include:b.a.example include:a.example -all", terms, all);
    check(&format!("v=spf1 {}", "include:a.example ".repeat(100)), terms, all);
    check(&format!("v=spf1 {}redirect=a.example", "?include:a.example ".repeat(9)), terms, all);
    // An explanation is asked for once, and has no terms.
    check("v=spf1 -all exp=a.example", "fail", 2);
    check("v=spf1 -all exp=circle.example", "fail", 2);
    // Of the names of the client as many are looked up as for one term, however often they are used.
    check("v=spf1 -all exp=%{p}.%{p}.%{p}.example", "fail", 1 + 11 + 1);
    check("v=spf1 a:circle.example -all", "temperror: the answer of the DNS server is damaged", 2);
}

/// RFC 7208 §4.6.4, §11.1: names that are not there are asked for twice at most, and wide answers
/// are cut.
#[test]
fn storms_of_questions_are_bounded() {
    let check = |record: &str, want, questions| {
        assert!(questions <= QUESTIONS_MAX);
        check_spf(record.as_bytes(), want, questions);
    };
    let voids = "permerror: more than 2 questions without answer";
    let many: String = (0..700).map(|n| format!("exists:x{n}.example ")).collect();
    check(&format!("v=spf1 {many}-all"), voids, 1 + 3);
    check("v=spf1 a:x1.example mx:x2.example a:x3.example -all", voids, 1 + 3);
    check(
        "v=spf1 exists:%{ir}.x.example exists:%{l}.x.example exists:x.example -all",
        voids,
        1 + 3,
    );
    // Hosts of one term that do not exist are asked for: they are ten.
    check("v=spf1 mx:gone.example -all", "fail", 1 + 1 + 10);
    check("v=spf1 mx:wide.example -all", "permerror: more than 10 mail hosts in one term", 1 + 1);
    check("v=spf1 ptr:other.example -all", "fail", 1 + 1);
    check("v=spf1 ptr:wide.example -all", "fail", 1 + 1 + 10);
    check("v=spf1 include:texts.example ?all", "neutral", 2);
}

/// RFC 7208 §3.3, §3.4, §4.6, §12.
#[test]
fn malformed_records_of_spf_are_errors() {
    let term = "permerror: record of a.example: term 1:";
    let check = |term: &[u8], want: &str, questions| {
        check_spf(&[b"v=spf1 ", term].concat(), want, questions);
    };
    check(b"a\0", &format!("{term} character that is no printable ASCII"), 1);
    check(b"\xff", &format!("{term} character that is no printable ASCII"), 1);
    check(
        "a:b\u{fc}cher.example".as_bytes(),
        &format!("{term} character that is no printable ASCII"),
        1,
    );
    check(b"exists:%{", &format!("{term} invalid macro"), 1);
    check(b"exists:%{d0}", &format!("{term} invalid macro"), 1);
    check(b"a/999", &format!("{term} invalid length of a prefix"), 1);
    check(b"ip4:999.0.0.1", &format!("{term} invalid address"), 1);
    check(b"-all:x", &format!("{term} unexpected argument"), 1);
    check(
        b"redirect=a.example redirect=a.example",
        "permerror: record of a.example: term 2: \
        modifier given twice",
        1,
    );
    check(
        &b"ip4:192.0.2.2 ".repeat(70_000 / 14),
        "permerror: record of a.example: record too long",
        1,
    );
    // Long names lose labels on the left, so these are asked for.
    check(
        &[b"exists:".to_vec(), b"%{d}.".repeat(3_000), b"x.example".to_vec()].concat(),
        "neutral",
        2,
    );
}

/// What is at the place of a key: what of it counts.
#[track_caller]
fn check_key(texts: &[&[u8]], want: &str) {
    let mut dns = FakeDns::new();
    for text in texts {
        dns.add("e._domainkey.a.example", Data::Txt(text.to_vec()));
    }
    let name = Name::parse("e._domainkey.a.example").unwrap();
    let got = match look_up(&dns, &name).now_or_never().unwrap() {
        Ok(key) => key.public_key.map_or_else(|error| error.to_string(), |_| "good".to_owned()),
        Err(error) => error.to_string(),
    };
    assert_eq!(got, want, "{} texts", texts.len());
    assert_eq!(dns.take_asked().len(), 1);
}

/// RFC 6376 §3.6.1, §3.6.2.2.
#[test]
fn malformed_keys_are_told() {
    let good = &b"v=DKIM1; k=ed25519; p=BxhQ3E1jwtBAAcnxADFjlSn4xoyVFdBMOdEw/WuONMI="[..];
    check_key(&[good], "good");
    // Texts beyond a bound are not looked at, in whatever order they come.
    check_key(&[good, good], "more than one key found");
    let mut many = vec![&b"something"[..]; 1_000];
    check_key(&many, "not a DKIM record");
    many[KEY_TEXTS_MAX - 1] = good;
    check_key(&many, "good");
    let huge = [good, b"; n=", &b"x".repeat(65_000)].concat();
    check_key(&[&huge], "malformed DKIM record: too long or too many tags");
    check_key(&[&b"x".repeat(RECORD_BYTES_MAX + 1)], "not a DKIM record");
    check_key(&[b"v=DKIM1; p=\0"], "malformed DKIM record: character that is not allowed");
    check_key(&[b"v=DKIM1; p=A!"], "malformed DKIM record: bad value of tag p=");
    check_key(
        &[b"v=DKIM1; k=\xff; p=AQID"],
        "malformed DKIM record: character that is not allowed",
    );
    check_key(&[b"\0"], "not a DKIM record");
    check_key(&[b"v=DKIM1; p=AQID; p=AQID"], "malformed DKIM record: the same tag twice");
    check_key(&[b"v=DKIM1; p=AQID"], "malformed public key");
}

/// Checks a message of `a.b.c.d.e.f.g.h.i.j.k.example`, whose records are these.
#[track_caller]
fn check_dmarc(records: &[(&str, &[u8])], want: &str, questions: usize) {
    let mut dns = FakeDns::new();
    for (domain, text) in records {
        dns.add(&format!("_dmarc.{domain}"), Data::Txt(text.to_vec()));
    }
    let author = Domain::parse("a.b.c.d.e.f.g.h.i.j.k.example").unwrap();
    let args = dmarc::Args {
        author: Ok(&author),
        spf: None,
        dkim: &[],
        method: dmarc::Method::TreeWalk,
        chance: 99,
    };
    let outcome = dmarc::verify(&dns, &args).now_or_never().unwrap();
    let mut got = format!("{} {}", outcome.status.as_str(), outcome.disposition().as_str());
    if let Some(problem) = outcome.problem {
        got = format!("{got}: {problem}");
    }
    assert_eq!((got.as_str(), dns.take_asked().len()), (want, questions));
}

/// RFC 9989 §4.7, §4.8, §4.10.
#[test]
fn malformed_records_of_dmarc_are_told() {
    const AUTHOR: &str = "a.b.c.d.e.f.g.h.i.j.k.example";
    let all = dmarc::QUERIES_MAX;
    let own = |text: &'static [u8]| vec![(AUTHOR, text)];
    check_dmarc(&[], "none none", all);
    check_dmarc(&[("k.example", b"v=DMARC1; p=reject")], "fail reject", all);
    check_dmarc(&own(b"v=DMARC1; p=reject"), "fail reject", 1);
    // Several records are none; the walk goes on.
    check_dmarc(&[own(b"v=DMARC1; p=reject"), own(b"v=DMARC1; p=none")].concat(), "none none", all);
    check_dmarc(&own(b"v=DMARC1\0; p=reject"), "none none", all);
    let problem = |text: &str| format!("permerror none: record of {AUTHOR}: {text}");
    check_dmarc(&own(b"v=DMARC1; p=reject; p=none"), &problem("tag given twice"), 1);
    check_dmarc(&own(b"v=DMARC1; p=reject; x=\xff"), &problem("character that is no text"), 1);
    check_dmarc(&own(b"v=DMARC1; p=all"), &problem("invalid policy"), 1);
    // A tag that is none is left aside, and a record without a policy asks for nothing.
    check_dmarc(&own(b"v=DMARC1; p=\0"), "none none", 1);
    let huge = [&b"v=DMARC1; p=reject; x="[..], &b"y".repeat(65_000)].concat();
    check_dmarc(&[(AUTHOR, &huge)], &problem("record too long"), 1);
    let tags: String = (0..1_000).map(|n| format!("x{n}=y;")).collect();
    let tags = format!("v=DMARC1; p=reject; {tags}");
    check_dmarc(&[(AUTHOR, tags.as_bytes())], &problem("record too long"), 1);
    // Faults elsewhere do not take the policy away.
    check_dmarc(&own(b"v=DMARC1; p=reject; pct=1000; rua=\0; fo=\x7f; ;;="), "fail reject", 1);
    // Every domain on the way says that it is the end of it: the first counts.
    let ends = ["k.example", "j.k.example", "i.j.k.example"]
        .map(|at| (at, &b"v=DMARC1; p=none; psd=y"[..]));
    check_dmarc(&ends, "fail none", 5);
}

/// RFC 9990 §4: a record with a thousand places makes reports for a few.
#[test]
fn places_of_reports_are_bounded() {
    let list: Vec<String> = (0..1_000).map(|n| format!("mailto:r{n}@b.example")).collect();
    let text = format!("v=DMARC1; p=none; rua={}", list.join(","));
    let record = dmarc::Record::parse(text.as_bytes());
    // As long as it may be, most of it is left aside; longer it is refused.
    assert_eq!(record, Err(dmarc::RecordError::TooLong));
    let text = format!("v=DMARC1; p=none; rua={}", list[..300].join(","));
    let record = dmarc::Record::parse(text.as_bytes()).unwrap();
    assert_eq!(record.aggregate.len(), dmarc::URIS_MAX);
}

/// RFC 8601 §3, RFC 5782 §2.1: an address with a thousand names, a list with a thousand texts.
#[test]
fn names_and_lists_of_an_address_are_bounded() {
    let ip = "192.0.2.1".parse().unwrap();
    let dns = dns();
    let outcome = iprev::check(&dns, ip).now_or_never().unwrap();
    assert_eq!((outcome.status, outcome.names.len()), (iprev::Status::Fail, iprev::NAMES_MAX));
    assert_eq!(dns.take_asked().len(), 1 + iprev::NAMES_MAX);
    let mut dns = FakeDns::new();
    for n in 0..1_000 {
        dns.add_ips("1.2.0.192.bl.example", &["127.0.0.2"]);
        dns.add_txt("1.2.0.192.bl.example", &format!("{n}\0{}", "x".repeat(1_000)));
    }
    let zones = vec![Domain::parse("bl.example").unwrap(); 1_000];
    let answers = dnsbl::check_all(&dns, &zones, ip).now_or_never().unwrap();
    assert_eq!(answers.len(), dnsbl::ZONES_MAX);
    assert_eq!(dns.take_asked().len(), 2 * dnsbl::ZONES_MAX);
    for answer in answers {
        let dnsbl::Answer::Listed(listing) = answer else { panic!("{answer:?}") };
        assert!(listing.codes.len() <= dnsbl::CODES_MAX);
        let text = listing.explanation.unwrap();
        assert!(text.starts_with("0?xxx") && text.len() == dnsbl::EXPLANATION_BYTES_MAX);
    }
}
