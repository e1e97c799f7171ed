//! Chains that were sealed here, as others get them.

use std::sync::Arc;

use aws_lc_rs::digest;
use futures_util::FutureExt as _;
use mox_base::{Domain, UnixSeconds};
use mox_dns::{DnsError, FakeDns, RecordType, Security};
use proptest::prelude::*;

use super::*;
use crate::dkim::{
    Canonicalization, Header, PrivateKey, Selector, SignError, Signature, Signing, Tags,
};

const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

const MESSAGE: &str = "From: joe@example.org\r\nTo: list@example.net\r\nSubject: hi\r\n\r\n\
    Hello\r\n";

/// Handlers with keys of either kind: `one.example`, `two.example`, …
const HANDLERS: [&str; 3] = ["one", "two", "three"];

fn domain(handler: &str) -> Domain {
    Domain::parse(&format!("{handler}.example")).unwrap()
}

fn signing(handler: &str) -> Signing {
    let pem = match handler {
        "two" => include_str!("../../testdata/ed25519.pem"),
        _ => include_str!("../../testdata/rsa2048.pkcs8.pem"),
    };
    let key = Arc::new(PrivateKey::from_pem(pem).unwrap());
    message_signing(Selector::parse("s").unwrap(), key)
}

fn dns() -> FakeDns {
    let mut dns = FakeDns::new();
    for handler in HANDLERS {
        let record = signing(handler).key.record().unwrap().to_string();
        dns.add_txt(&format!("s._domainkey.{handler}.example"), &record);
    }
    dns
}

fn verdict(dns: &FakeDns, message: &str) -> Verdict {
    let verdict = verify(dns, message.as_bytes(), NOW).now_or_never();
    verdict.expect("a fake answers at once").expect("a header of good size")
}

fn try_seal(message: &str, handler: &str, signing: &Signing) -> Result<String, SealError> {
    let verdict = verdict(&dns(), message);
    let results = format!("mx.{handler}.example;\r\n\tarc={}", verdict.status);
    let sealed = seal(message.as_bytes(), &verdict, &results, &domain(handler), signing, NOW);
    sealed.map(|fields| fields + message)
}

fn sealed(message: &str, handler: &str) -> String {
    try_seal(message, handler, &signing(handler)).unwrap()
}

/// The message after all handlers.
fn chain() -> String {
    HANDLERS.iter().fold(MESSAGE.to_owned(), |message, handler| sealed(&message, handler))
}

/// RFC 8617 §5.1, §5.2.
#[test]
fn a_chain_is_passed_on() {
    let mut dns = dns();
    dns.sign("two.example");
    assert_eq!(verdict(&dns, MESSAGE).status, ChainStatus::None);
    let message = chain();
    let fields = message.strip_suffix(MESSAGE).unwrap();
    assert!(fields.lines().all(|line| line.len() <= 78), "{fields}");
    let start = "ARC-Seal: i=3; cv=pass; d=three.example; s=s; a=rsa-sha256; t=1750000000; b=";
    assert!(fields.starts_with(start), "{fields}");
    assert!(fields.contains("ARC-Seal: i=1; cv=none; d=one.example"), "{fields}");
    let results = "ARC-Authentication-Results: i=2; mx.two.example;\r\n\tarc=pass\r\n";
    assert!(fields.contains(results), "{fields}");
    let verdict = verdict(&dns, &message);
    assert_eq!((verdict.status, verdict.reason), (ChainStatus::Pass, None));
    assert_eq!((verdict.oldest_pass, verdict.highest_instance), (Some(0), 3));
    let domains: Vec<_> = verdict.handlers.iter().map(|handler| handler.domain.ascii()).collect();
    assert_eq!(domains, ["one.example", "two.example", "three.example"]);
    assert_eq!(verdict.handlers[0].results, b" mx.one.example;\r\n\tarc=none");
    let security: Vec<_> = verdict.handlers.iter().map(|handler| handler.security).collect();
    let (insecure, secure) = (Some(Security::Insecure), Some(Security::Secure));
    assert_eq!(security, [insecure, secure, insecure]);
}

/// RFC 8617 §5.2 step 5: a handler may change the message before it signs it.
#[test]
fn handlers_may_change_a_message() {
    let one = sealed(MESSAGE, "one");
    let changed = one.replace("Subject: hi", "Subject: [list] hi") + "-- \r\nfooter\r\n";
    // A list that looks only after it has changed the message finds the chain broken, and so do
    // all after it.
    let verdict = verdict(&dns(), &sealed(&changed, "two"));
    assert_eq!(verdict.reason, Some(Reason::Chain(ChainError::Broken)));
    // It should have looked before it changed the message.
    let before = self::verdict(&dns(), &one);
    let fields =
        seal(changed.as_bytes(), &before, "x", &domain("two"), &signing("two"), NOW).unwrap();
    let three = sealed(&format!("Received: x\r\n{fields}{changed}"), "three");
    let verdict = self::verdict(&dns(), &three);
    assert_eq!((verdict.status, verdict.oldest_pass), (ChainStatus::Pass, Some(2)));
}

#[track_caller]
fn check(change: impl Fn(&str) -> String, want: &str) {
    let changed = change(&chain());
    let verdict = verdict(&dns(), &changed);
    let got = verdict.reason.map_or_else(|| verdict.status.to_string(), |r| r.to_string());
    assert_eq!(got, want, "{changed}");
    assert_eq!(verdict.status == ChainStatus::Pass, want == "pass");
    assert_eq!(verdict.oldest_pass.is_some(), want == "pass");
}

/// RFC 8617 §5.2.
#[test]
fn changes_break_a_chain() {
    check(str::to_owned, "pass");
    check(|message| format!("Received: x\r\n{message}"), "pass");
    check(|message| message.replace("arc=pass\r\nARC", "arc=pass \r\n\t\r\nARC"), "pass");
    let message = "signature over the message: signature does not match";
    check(|message| message.replace("joe@", "jim@"), message);
    let body = "signature over the message: body hash does not match";
    check(|message| message.replace("Hello", "hello"), body);
    let unsigned = "signature over the message: a From field is not signed";
    check(|message| format!("From: x@example.org\r\n{message}"), unsigned);
    let seal = |instance| format!("seal {instance}: signature does not match");
    // The newest seal is over all, so it is the first that is found bad.
    check(|message| message.replace("mx.one", "mx.won"), &seal(3));
    check(
        |message| message.replace("i=1; cv=none; d=one.example", "i=1; cv=none;d=one.example"),
        &seal(3),
    );
    check(
        |message| {
            let (newest, rest) = message.split_once("ARC-Seal: i=2").unwrap();
            assert!(newest.contains("i=3"));
            format!("ARC-Seal: i=2{}", rest.replace("mx.one", "mx.won"))
        },
        &seal(2),
    );
    check(|message| message.replace("cv=none", "cv=pass"), "seals do not follow one another");
    check(
        |message| message.replace("ARC-Seal: i=2; cv=pass", "ARC-Seal: i=2; cv=fail"),
        "seals do not follow one another",
    );
    check(
        |message| message.replace("ARC-Seal: i=3; cv=pass", "ARC-Seal: i=3; cv=fail"),
        "a handler has found the chain broken",
    );
    check(
        |message| message.replace("d=two.example", "d=example"),
        "seal 2: domain of the signature is a public suffix",
    );
    check(
        |message| message.replacen("a=rsa-sha256", "a=rsa-sha1", 1),
        "seal 3: algorithm is no longer secure",
    );
    check(|message| message.replacen("s=s", "s=none", 1), "seal 3: no key found");
}

/// RFC 8617 §5.2.1: all failures are for good.
#[test]
fn trouble_with_dns_is_a_failure() {
    let mut dns = dns();
    dns.fail("s._domainkey.one.example", RecordType::Txt, DnsError::Bogus);
    let verdict = verdict(&dns, &chain());
    assert_eq!(verdict.status, ChainStatus::Fail);
    assert!(verdict.reason.unwrap().to_string().starts_with("seal 1: looking up the key: "));
    // One look-up a name, for seals and signatures over the message.
    assert_eq!(dns.take_asked().len(), 3);
}

/// RFC 8617 §5.1.2: who finds a chain broken says so, once.
#[test]
fn a_broken_chain_ends() {
    let broken = chain().replace("Hello", "hello");
    let sealed = try_seal(&broken, "one", &signing("one")).unwrap();
    assert!(sealed.starts_with("ARC-Seal: i=4; cv=fail; d=one.example"), "{sealed}");
    let found = verdict(&dns(), &sealed);
    assert_eq!(found.reason, Some(Reason::Chain(ChainError::Broken)));
    assert_eq!(try_seal(&sealed, "two", &signing("two")), Err(SealError::Broken));
    // Its seal is over its own set only.
    let header = Header::parse(sealed.as_bytes()).unwrap();
    let field = |name| header.all(name).next().unwrap().1;
    let message_field = field(MESSAGE_SIGNATURE_FIELD);
    let set = set::Set {
        results: field(RESULTS_FIELD),
        payload: b"",
        message_field,
        message_place: 0,
        message_signature: Signature::from_tags(&Tags::parse(message_field.value).unwrap())
            .unwrap(),
        seal_field: field(SEAL_FIELD),
        seal: Seal::parse(field(SEAL_FIELD).value).unwrap(),
    };
    let data = set.hash_sealed(&digest::Context::new(&digest::SHA256));
    let key = signing("one").key.record().unwrap().public_key().unwrap();
    assert!(key.is_signed(&data, &set.seal.signature));
}

#[track_caller]
fn check_error(change: impl FnOnce(&mut Signing), message: &str, want: SealError) {
    let mut signing = signing("one");
    change(&mut signing);
    assert_eq!(try_seal(message, "one", &signing), Err(want));
}

/// RFC 8617 §4.1.2, §4.2.1.
#[test]
fn messages_that_cannot_be_sealed_are_refused() {
    check_error(|_| {}, "To: x\r\n\r\n", SealError::Sign(SignError::NotOneFrom));
    let unsigned = SealError::Sign(SignError::UnsignedFrom);
    check_error(|signing| signing.names.clear(), MESSAGE, unsigned);
    for name in ["arc-seal", "ARC-Message-Signature", "Authentication-Results"] {
        let add = |signing: &mut Signing| signing.names.push(name.to_owned());
        check_error(add, MESSAGE, SealError::ChangingFields);
    }
    let last = chain().replace("i=3", "i=50");
    check_error(|_| {}, &last, SealError::TooLong);
    for results in ["x\r\nFrom: y", "x\ny", "x\0", "x\r\n"] {
        let none = verdict(&dns(), MESSAGE);
        let got = seal(MESSAGE.as_bytes(), &none, results, &domain("one"), &signing("one"), NOW);
        assert_eq!(got, Err(SealError::BadResults), "{results:?}");
    }
}

/// The work for a chain grows with its length, and no chain is longer than may be.
#[test]
fn the_longest_chain_is_checked() {
    let mut message = MESSAGE.to_owned();
    for _ in 0..INSTANCES_MAX {
        message = sealed(&message, "two");
    }
    let dns = dns();
    let found = verdict(&dns, &message);
    assert_eq!((found.status, found.handlers.len()), (ChainStatus::Pass, 50));
    assert_eq!(dns.take_asked().len(), 1);
    assert_eq!(try_seal(&message, "one", &signing("one")), Err(SealError::TooLong));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    /// What is sealed is a good chain, whatever the message and the results are.
    #[test]
    fn what_is_sealed_is_good(
        body in "([ -~]{0,30}|\r\n|\n|\r|  ){0,20}",
        subject in "([ -~\t]|\u{fc}|\r\n ){0,40}",
        results in "[!-~]{1,10}(;\r\n\t[!-~]{1,20}){0,5}",
        simple: bool,
    ) {
        let mut signing = signing("two");
        if simple {
            signing.header_form = Canonicalization::Simple;
            signing.body_form = Canonicalization::Simple;
        }
        let mut message = format!("From: a@b.example\r\nSubject:{subject}\r\n\r\n{body}");
        for instance in 1..=3 {
            let before = verdict(&dns(), &message);
            let domain = domain("two");
            let fields =
                seal(message.as_bytes(), &before, &results, &domain, &signing, NOW).unwrap();
            message = fields + &message;
            let found = verdict(&dns(), &message);
            prop_assert_eq!(found.reason, None, "{}", message);
            prop_assert_eq!((found.oldest_pass, found.highest_instance), (Some(0), instance));
        }
    }
}
