//! What must hold whatever a domain has in DNS. Used by a test and by the fuzz targets.

use futures_util::FutureExt as _;
use mox_base::{Address, Domain, Host, UnixSeconds};
use mox_dns::{Data, FakeDns};
use mox_mailauth::results::{AuthenticationResults, Method, received_spf};
use mox_mailauth::{dmarc, spf};

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a domain of this file")
}

/// Any bytes as a record of SPF: read or refused, printed as the same, evaluated with a bounded
/// number of questions, and told in fields that are one each.
pub(crate) fn check_spf(record: &[u8]) {
    let text = [b"v=spf1 ", record].concat();
    for text in [record, &text] {
        if let Ok(parsed) = spf::Record::parse(text) {
            let printed = parsed.to_string();
            assert_eq!(spf::Record::parse(printed.as_bytes()), Ok(parsed));
        }
    }
    let mut dns = FakeDns::new();
    dns.add("a.example", Data::Txt(text));
    // What a record can point to: itself, explanations, hosts, names of the client.
    dns.add("b.a.example", Data::Txt(record.to_vec()));
    dns.add_ips("a.example", &["192.0.2.2", "2001:db8::2"]);
    dns.add_mx("a.example", 1, "a.example").add_mx("a.example", 2, "b.a.example");
    dns.add_ptr("192.0.2.1", "b.a.example").add_ips("b.a.example", &["192.0.2.1"]);
    let address = Address::parse("\"b. \\\\ %\"@a.example").expect("an address");
    for (ip, mail_from) in [("192.0.2.1", Some(&address)), ("2001:db8::1", None)] {
        let args = spf::Args {
            ip: ip.parse().expect("an address"),
            mail_from,
            helo: &Host::Domain(domain("a.example")),
            receiver: &domain("mx.example"),
            now: UnixSeconds(0),
        };
        let received = spf::check(&dns, &args).now_or_never().expect("a fake answers at once");
        assert!(dns.take_asked().len() <= spf::QUESTIONS_MAX);
        let explanation = received.explanation.as_deref().unwrap_or_default();
        assert!(explanation.len() <= spf::EXPLANATION_BYTES_MAX);
        assert!(explanation.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
        check_field(&received_spf(&received, &args, false));
        let authserv_id = "mx.example".to_owned();
        let methods = vec![Method::spf(&received)];
        check_field(&AuthenticationResults { authserv_id, methods }.field(false));
    }
}

/// One field in ASCII, with lines that go on and none too long for SMTP. RFC 5322 §2.1.1.
fn check_field(field: &str) {
    let inside = field.strip_suffix("\r\n").expect("an end");
    for (index, line) in inside.split("\r\n").enumerate() {
        assert!(index == 0 || line.starts_with('\t'), "{field}");
        assert!(line.len() <= 998 && line.is_ascii(), "{field}");
        assert!(!line.trim_start_matches('\t').contains(char::is_control), "{field}");
    }
}

/// Any bytes as a record of DMARC: read or refused, printed as the same, and obeyed only if they
/// are a record.
pub(crate) fn check_dmarc(record: &[u8]) {
    let text = [b"v=DMARC1;", record].concat();
    for text in [record, &text] {
        if let Ok((parsed, faults)) = dmarc::Record::examine(text) {
            let printed = parsed.to_string();
            assert_eq!(dmarc::Record::parse(printed.as_bytes()).as_ref(), Ok(&parsed));
            assert!(faults.len() <= dmarc::TAGS_MAX);
            assert!(parsed.aggregate_addresses().count() <= dmarc::URIS_MAX);
        }
    }
    let mut dns = FakeDns::new();
    dns.add("_dmarc.b.example", Data::Txt(text));
    dns.add("_dmarc.example", Data::Txt(record.to_vec()));
    let (author, signer) = (domain("a.b.example"), domain("c.b.example"));
    let signature = dmarc::Identifier { domain: &signer, result: dmarc::Authenticated::TempError };
    for method in [dmarc::Method::TreeWalk, dmarc::Method::PublicSuffixes] {
        let dkim = &[signature];
        let args = dmarc::Args { author: Ok(&author), spf: None, dkim, method, chance: 50 };
        let outcome = dmarc::verify(&dns, &args).now_or_never().expect("a fake answers at once");
        assert!(dns.take_asked().len() <= 2 * dmarc::QUERIES_MAX + 1);
        assert_ne!(outcome.status, dmarc::Status::Pass);
        assert!(outcome.disposition() <= outcome.policy);
        assert!(!outcome.asks_for_rejection() || outcome.record().is_some());
    }
}

/// Any bytes as the value of a field with results: what is read is written and read as the same.
pub(crate) fn check_results(value: &[u8]) {
    let Ok(read) = AuthenticationResults::parse(value) else { return };
    check_field(&read.field(false));
    let again = AuthenticationResults::parse(read.payload(true).as_bytes());
    // What is written may be cut and cleaned once, and is the same from then on.
    let again = again.expect("what was written");
    assert_eq!(again.methods.len(), read.methods.len());
    assert_eq!(AuthenticationResults::parse(again.payload(true).as_bytes()), Ok(again));
}
