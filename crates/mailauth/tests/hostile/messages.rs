//! Messages that two readers could read differently, and those that shall cost much.

use std::sync::Arc;

use futures_util::FutureExt as _;
use mox_base::{Domain, UnixSeconds};
use mox_dns::FakeDns;
use mox_mailauth::dkim::{
    self, HEADER_BYTES_MAX, HEADER_FIELDS_MAX, Header, HeaderError, KeyRecord, PrivateKey,
    PublicKeyError, SIGNATURES_MAX, SIGNED_NAMES_MAX, Selector, Signing, TAG_LIST_BYTES_MAX,
    TAGS_MAX,
};
use mox_mailauth::dmarc::{self, IDENTIFIERS_MAX, Identifier, QUERIES_MAX};
use mox_mime::{FromError, Limits, decode_addresses};

const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// How `good.example` signs.
fn signing() -> Signing {
    let key = PrivateKey::from_pem(include_str!("../../testdata/ed25519.pem")).unwrap();
    Signing::new(Selector::parse("e").unwrap(), Arc::new(key))
}

fn dns() -> FakeDns {
    let mut dns = FakeDns::new();
    let record = signing().key.record().unwrap().to_string();
    dns.add_txt("e._domainkey.good.example", &record);
    dns.add_txt("_dmarc.good.example", "v=DMARC1; p=reject");
    dns.add_txt("_dmarc.evil.example", "v=DMARC1; p=reject");
    dns
}

/// The signatures of a message in words, and whether DMARC passes for its author.
fn outcome(dns: &FakeDns, message: &str) -> (Vec<String>, dmarc::Outcome) {
    let results = dkim::verify(dns, message.as_bytes(), NOW).now_or_never().unwrap();
    let results = results.unwrap_or_default();
    let author = mox_mime::from_address(message.as_bytes()).map(|address| address.domain);
    let identifiers: Vec<_> = results.iter().filter_map(Identifier::from_dkim).collect();
    let args = dmarc::Args {
        author: author.as_ref().map_err(|error| *error),
        spf: None,
        dkim: &identifiers,
        method: dmarc::Method::TreeWalk,
        chance: 0,
    };
    let outcome = dmarc::verify(dns, &args).now_or_never().unwrap();
    let words = results.iter().map(|result| match &result.reason {
        Some(reason) => format!("{}: {reason}", result.status),
        None => result.status.to_string(),
    });
    (words.collect(), outcome)
}

/// Signs a message of `good.example` with these fields beside its own From, and checks the author
/// of what comes out when the fields are put in front of it.
#[track_caller]
fn check_author(from: &str, want: Result<&str, FromError>) {
    let message = format!("{from}\r\nSubject: x\r\n\r\nbody\r\n");
    let author = mox_mime::from_address(message.as_bytes()).map(|address| address.to_string());
    assert_eq!(author.as_deref().map_err(|error| *error), want, "{from:?}");
    // What people are shown, and what signatures count, is read by the same rules: an author is the
    // only one that either sees.
    let parsed = mox_mime::parse_bytes(message.as_bytes(), &Limits::default());
    let shown = decode_addresses(&parsed.envelope.from);
    let header = Header::parse(message.as_bytes()).unwrap();
    if let Ok(author) = &author {
        let shown: Vec<_> = shown.into_iter().filter_map(|one| one.address).collect();
        let shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
        assert_eq!(shown, std::slice::from_ref(author));
        assert_eq!(header.count("From"), 1);
    }
    let (_, outcome) = outcome(&dns(), &message);
    let status = match &author {
        Ok(author) if author.ends_with("@good.example") => dmarc::Status::Fail,
        Ok(_) => dmarc::Status::None,
        Err(_) => dmarc::Status::PermError,
    };
    assert_eq!(outcome.status, status, "{from:?}");
}

/// RFC 5322 §3.4, §3.6.2, §4.4; RFC 7489 §6.6.1: there is one author or none.
#[test]
fn an_author_that_could_be_read_otherwise_is_none() {
    use FromError::{BadAddress, ManyAddresses, ManyFields, NoAddress, NoField};
    let good = Ok("a@good.example");
    // Valid.
    check_author("From: a@good.example", good);
    check_author("From: \"b@evil.example\" <a@good.example>", good);
    check_author("From: (b@evil.example) a@good.example", good);
    check_author("From: a@good.example (b <b@evil.example>)", good);
    check_author("From: =?utf-8?q?b=40evil.example?= <a@good.example>", good);
    check_author("From: G: a@good.example;", good);
    check_author("From: \u{fc} <a@good.example>", good);
    check_author("From: \"\u{fc}\"@b\u{fc}cher.example", Ok("\u{fc}@b\u{fc}cher.example"));
    // At the edge: obsolete forms, folded.
    check_author("FROM : a@good.example", good);
    check_author("From\t:\r\n\ta@good\r\n .example\r\n\t", good);
    check_author("From: <@evil.example:a@good.example>", good);
    check_author("From: ,a@good.example,,", good);
    check_author("X: y\r\n From: b@evil.example\r\nFrom: a@good.example", good);
    check_author(
        "From: \"a\\\"@evil.example\"@good.example",
        Ok("\"a\\\"@evil.example\"@good.example"),
    );
    // Just past it: several.
    check_author("From: a@good.example\r\nFrom: b@evil.example", Err(ManyFields));
    check_author("From: a@good.example\r\nfrom : a@good.example", Err(ManyFields));
    check_author("From: a@good.example\nFrom: b@evil.example", Err(ManyFields));
    check_author("From:\r\nFrom: a@good.example", Err(ManyFields));
    check_author("From: a@good.example, b@evil.example", Err(ManyAddresses));
    check_author("From: a@good.example; b@evil.example", Err(ManyAddresses));
    check_author("From: <a@good.example> <b@evil.example>", Err(ManyAddresses));
    check_author("From: b@evil.example <a@good.example>", Err(ManyAddresses));
    check_author("From: G: a@good.example, b@evil.example;", Err(ManyAddresses));
    check_author("From: G: a@good.example;, H: b@evil.example;", Err(ManyAddresses));
    // Something would have to be passed over.
    check_author("From: a@good.example@evil.example", Err(BadAddress));
    check_author("From: a@good.example b@evil.example", Err(BadAddress));
    check_author("From: <a@good.example .evil.example x>", Err(BadAddress));
    check_author("From: G:;, H:;, a@good.example, b@evil.example", Err(BadAddress));
    check_author("From: a@good.example\rFrom: b@evil.example", Err(BadAddress));
    check_author("From: a@good.example\0", Err(BadAddress));
    check_author("From: b@evil.example\0 <a@good.example>", Err(ManyAddresses));
    check_author("From: \0 <a@good.example>", Err(BadAddress));
    // Never valid.
    check_author("From: a", Err(BadAddress));
    check_author("From: a@[192.0.2.1]", Err(BadAddress));
    check_author("From: a@good.example\u{a0}", Err(BadAddress));
    check_author("From: \"a@good.example", Err(BadAddress));
    check_author("From: (a@good.example", Err(NoAddress));
    check_author("From: G:;", Err(NoAddress));
    check_author("From:", Err(NoAddress));
    check_author("Fr\0om: a@good.example", Err(NoField));
    check_author("From\u{a0}: a@good.example", Err(NoField));
    check_author("X: y\r\n\r\nFrom: a@good.example", Err(NoField));
}

/// What an attacker makes of a signed message, with the outcome of its signature and of DMARC.
#[track_caller]
fn check_changed(change: impl FnOnce(&str) -> String, dkim: &str, dmarc: dmarc::Status) {
    let plain = "From: a@good.example\r\nSubject: x\r\n\r\nbody\r\n";
    let mut signing = signing();
    signing.is_sealed = false;
    let fields = dkim::sign(plain.as_bytes(), &domain("good.example"), None, &[signing], NOW);
    let message = change(&(fields.unwrap() + plain));
    let (words, outcome) = outcome(&dns(), &message);
    assert_eq!((words.join(", ").as_str(), outcome.status), (dkim, dmarc), "{message}");
}

/// RFC 6376 §5.4, §8.15: fields that are added to a message whose signature is not sealed.
#[test]
fn what_is_added_to_a_signed_message_does_not_count_as_signed() {
    use dmarc::Status::{Fail, Pass, PermError};
    let add = |field: &'static str| move |message: &str| format!("{field}\r\n{message}");
    check_changed(str::to_owned, "pass", Pass);
    check_changed(add("X: y"), "pass", Pass);
    let unsigned = "permerror: a From field is not signed";
    check_changed(add("From: b@evil.example"), unsigned, PermError);
    check_changed(add("from : b@evil.example"), unsigned, PermError);
    check_changed(add("X: y\nFrom: b@evil.example"), unsigned, PermError);
    // These are no From fields, to anybody who reads by the rules.
    check_changed(add("From"), "pass", Pass);
    check_changed(add("X: y\r\n From: b@evil.example"), "pass", Pass);
    check_changed(add("Fr\0om: b@evil.example"), "pass", Pass);
    // The signature of one domain says nothing of an author of another.
    let author = |message: &str| message.replace("From: a@good", "From: a@evil");
    check_changed(author, "fail: signature does not match", Fail);
    // With an empty line in front all the rest is body.
    check_changed(add(""), "", PermError);
}

/// RFC 6376 §6.1: the number of signatures that are checked may be limited.
#[test]
fn a_thousand_signatures_cost_as_much_as_a_few() {
    let dns = dns();
    let plain = "From: a@good.example\r\nSubject: x\r\n\r\nbody\r\n";
    let signed = dkim::sign(plain.as_bytes(), &domain("good.example"), None, &[signing()], NOW);
    let field = signed.unwrap();
    let many = |name: &dyn Fn(usize) -> String| {
        (0..1_000).map(|n| field.replace("s=e;", &name(n))).collect::<String>() + plain
    };
    // All with one key: it is looked up once.
    let (words, outcome_of_same) = outcome(&dns, &many(&|_| "s=e;".to_owned()));
    assert_eq!(words.len(), SIGNATURES_MAX + 1);
    assert!(words.iter().take(SIGNATURES_MAX).all(|word| word == "pass"), "{words:?}");
    assert_eq!(words.last().unwrap(), "policy: too many signatures");
    assert_eq!(outcome_of_same.status, dmarc::Status::Pass);
    let asked = dns.take_asked();
    assert_eq!(asked.iter().filter(|(name, _)| name.as_str().contains("_domainkey")).count(), 1);
    // Each of a domain of its own that has to be walked up from: an own key and walk each.
    let message = many(&|n| format!("s=e;\r\n\td=a.b.c.d.e.f.g.h{n}.evil.example;"));
    let message = message.replace(" d=good.example;", "");
    let (words, outcome) = outcome(&dns, &message);
    assert_eq!(words[0], "permerror: no key found");
    assert_eq!((words.len(), outcome.status), (SIGNATURES_MAX + 1, dmarc::Status::Fail));
    let most = SIGNATURES_MAX + (1 + IDENTIFIERS_MAX) * QUERIES_MAX + 1;
    assert!(dns.take_asked().len() <= most);
}

/// A field of a signature, and what becomes of it; nothing is asked if it cannot be read.
#[track_caller]
fn check_field(value: &[u8], want: &str) {
    let dns = dns();
    let rest = b"\r\nFrom: a@good.example\r\nSubject: x\r\n\r\nbody\r\n";
    let message = [b"DKIM-Signature:", value, rest].concat();
    let results = dkim::verify(&dns, &message, NOW).now_or_never().unwrap().unwrap();
    let reason = results[0].reason.as_ref().map(ToString::to_string).unwrap_or_default();
    let shown = String::from_utf8_lossy(value);
    assert_eq!(format!("{}: {reason}", results[0].status), want, "{shown:.100}");
    assert!(dns.take_asked().is_empty(), "{shown:.100}");
}

/// RFC 6376 §3.2, §3.5, §6.1.1.
#[test]
fn malformed_signatures_are_refused_before_anything_is_asked() {
    const GOOD: &str = "v=1; a=ed25519-sha256; d=good.example; s=e; h=From:Subject; bh=AQID; b=AQ";
    let malformed = |error: &str| format!("permerror: malformed signature: {error}");
    let check = |value: &str, want: &str| check_field(value.as_bytes(), want);
    for value in ["", ";;", "v", "v=1;=x", "1v=1", "\u{fc}=1"] {
        check(value, &malformed("not a list of tags"));
    }
    let character = malformed("character that is not allowed");
    for value in ["d=go\0od", "d=go\u{1b}od", "d=good.example;\0"] {
        check(&GOOD.replace("d=good", value), &character);
    }
    check(&GOOD.replace("d=good", "d=go\rod"), &malformed("bad value of tag d="));
    check(&GOOD.replace("d=good", "d=go od"), &malformed("bad value of tag d="));
    check(&format!("{GOOD}; d=evil.example"), &malformed("the same tag twice"));
    check(&GOOD.replace("b=AQ", "b=A\u{fc}"), &malformed("bad value of tag b="));
    check(&GOOD.replace("v=1", "v=01"), &malformed("bad value of tag v="));
    check(&format!("{GOOD}; l=99999999999999999999"), &malformed("bad value of tag l="));
    check(&format!("{GOOD}; t=-1"), &malformed("bad value of tag t="));
    check_field(
        &[GOOD.as_bytes(), b"; i=\xff@good.example"].concat(),
        &malformed("character that is not allowed"),
    );
    // More than any honest signature has.
    let tags: String = (0..=TAGS_MAX).map(|n| format!("; x{n}=y")).collect();
    check(&format!("{GOOD}{tags}"), &malformed("too long or too many tags"));
    check(
        &format!("{GOOD}; z={}", "x".repeat(TAG_LIST_BYTES_MAX)),
        &malformed("too long or too many tags"),
    );
    let names = "From:".repeat(SIGNED_NAMES_MAX + 1);
    check(&GOOD.replace("h=From", &format!("h={names}From")), &malformed("bad value of tag h="));
}

/// A header that is larger than any that people write is not looked at.
#[test]
fn large_headers_are_refused_as_a_whole() {
    let verify = |message: &str| dkim::verify(&dns(), message.as_bytes(), NOW).now_or_never();
    let fields = "X: y\r\n".repeat(HEADER_FIELDS_MAX + 1);
    assert_eq!(verify(&fields).unwrap().unwrap_err(), HeaderError::TooLarge);
    let one = format!("X: {}\r\n", "y\r\n ".repeat(HEADER_BYTES_MAX / 4));
    assert_eq!(verify(&one).unwrap().unwrap_err(), HeaderError::TooLarge);
}

/// RFC 8301 §3.2: keys that anybody can break, cut off, or dear to use.
#[test]
fn odd_keys_are_refused() {
    let error = |record: &str| {
        let record = KeyRecord::parse(record.as_bytes()).unwrap();
        record.public_key().unwrap_err()
    };
    let short = "p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKijCwswOOoQ46Qx8HCekhJMPmbqNWxaxU60ZjkhQ\
        +etIt4n4XZ74/H/ovYqUnfx+LOxv1QSVxmRWloxP1rKAP8CAwEAAQ==";
    assert_eq!(error(short), PublicKeyError::TooShort);
    let malformed = ["k=rsa; p=AAAA", "k=new; p=AAAA", "k=ed25519; p=AAAA"];
    for text in malformed.into_iter().chain(short.get(..42)) {
        assert_eq!(error(text), PublicKeyError::Malformed, "{text}");
    }
    // A sequence of a modulus of 20,000 bits.
    let long = format!("p=MIIJ0AKCCcQ{}", "B".repeat(3_401));
    assert_eq!(error(&long), PublicKeyError::TooLong);
}
