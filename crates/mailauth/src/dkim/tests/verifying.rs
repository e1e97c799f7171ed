//! Signatures that are not accepted, and why.

use aws_lc_rs::digest;
use mox_dns::{DnsError, RecordType, Security};

use super::*;
use crate::dkim::sign::sign_field;
use crate::dkim::{
    Algorithm, BodyHashes, FUTURE_SECS_MAX, Header, SIGNATURES_MAX, Signature, Status,
};

const MESSAGE: &str = "From: joe@example.org\r\nSubject: hi\r\n\r\nHello\r\n";

/// A message with a correct Ed25519 signature of any content.
fn signed_as(message: &str, change: impl FnOnce(&mut Signature)) -> String {
    let mut signature = Signature {
        domain: domain(),
        selector: Selector::parse("e").unwrap(),
        identity: None,
        algorithm: Algorithm::Ed25519Sha256,
        header_form: Canonicalization::Relaxed,
        body_form: Canonicalization::Relaxed,
        signed_at: None,
        expires_at: None,
        body_bytes: None,
        query_methods: Vec::new(),
        signed_names: ["from", "subject"].map(str::to_owned).to_vec(),
        copied_fields: Vec::new(),
        body_hash: Vec::new(),
        signature: Vec::new(),
    };
    change(&mut signature);
    let header = Header::parse(message.as_bytes()).unwrap();
    let mut bodies = BodyHashes::new();
    bodies.want(signature.body_form, signature.body_bytes);
    bodies.update(header.body(message.as_bytes()));
    let body = bodies.finish().get(signature.body_form, signature.body_bytes);
    signature.body_hash = body.map_or_else(|| vec![0; 32], |body| body.hash.to_vec());
    let mut context = digest::Context::new(&digest::SHA256);
    let form = signature.header_form;
    header.hash_selected(&signature.signed_names, form, None, &mut context);
    signature.signature = sign_field(context, &signature.to_field(), form, &ed25519()).unwrap();
    format!("{}\r\n{message}", signature.to_field())
}

#[track_caller]
fn check(change: impl FnOnce(&mut Signature), want: &str) {
    assert_eq!(outcomes(&dns(), &signed_as(MESSAGE, change)), [want]);
}

/// RFC 6376 §6.1.1, RFC 8301 §3.1.
#[test]
fn signatures_are_refused_for_what_they_say() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    check(|_| {}, "pass");
    check(|s| s.identity = Some(identity()), "pass");
    check(|s| s.query_methods = names(&["x", "dns/txt"]), "pass");
    check(|s| s.signed_names = names(&["from", "from", "subject", "none"]), "pass");
    // At the edge.
    check(|s| s.expires_at = Some(NOW), "pass");
    check(|s| s.signed_at = Some(NOW.plus_secs(FUTURE_SECS_MAX)), "pass");
    check(|s| s.body_bytes = Some(7), "pass");
    // Just past it.
    check(|s| s.expires_at = Some(NOW.plus_secs(-1)), "permerror: signature has expired");
    check(
        |s| s.signed_at = Some(NOW.plus_secs(FUTURE_SECS_MAX + 1)),
        "policy: signature is from the future",
    );
    check(|s| s.body_bytes = Some(6), "policy: signature leaves a part of the body open");
    check(|s| s.body_bytes = Some(0), "policy: signature leaves a part of the body open");
    check(|s| s.body_bytes = Some(8), "fail: body is shorter than was signed");
    check(|s| s.signed_names = names(&["from", "to"]), "policy: Subject is not signed");
    check(|s| s.signed_names = names(&["subject"]), "permerror: a From field is not signed");
    // Never good.
    check(|s| s.algorithm = Algorithm::RsaSha1, "permerror: algorithm is no longer secure");
    check(|s| s.algorithm = Algorithm::Other("rsa-md5".to_owned()), "permerror: unknown algorithm");
    check(|s| s.query_methods = names(&["x"]), "permerror: unknown query method");
    let suffix = "permerror: domain of the signature is a public suffix";
    for suffix_domain in ["org", "co.uk", "internal"] {
        check(|s| s.domain = Domain::parse(suffix_domain).unwrap(), suffix);
    }
    let none = "permerror: no key found";
    check(|s| s.domain = Domain::parse("localhost").unwrap(), none);
    let long = Domain::parse(&vec!["a"; 121].join(".")).unwrap();
    check(|s| s.domain = long, "permerror: name of the key is too long");
    check(|s| s.selector = Selector::parse("none").unwrap(), "permerror: no key found");
}

#[track_caller]
fn check_record(record: &str, want: &str) {
    let mut dns = FakeDns::new();
    dns.add_txt("e._domainkey.example.org", record);
    let message = signed_as(MESSAGE, |signature| {
        let domain = Domain::parse("sub.example.org").unwrap();
        signature.identity = Some(Identity { localpart: String::new(), domain });
    });
    assert_eq!(outcomes(&dns, &message), [want], "{record}");
}

/// RFC 6376 §3.6.1, §6.1.2, RFC 8301 §3.2.
#[test]
fn keys_are_refused_for_what_they_say() {
    const KEY: &str = "p=BxhQ3E1jwtBAAcnxADFjlSn4xoyVFdBMOdEw/WuONMI=";
    let record = |tags: &str| format!("v=DKIM1;{tags};{KEY}");
    check_record(&record("k=ed25519"), "pass");
    check_record(&record("k=ed25519;t=y"), "pass");
    check_record(&record("k=ed25519;h=sha1:sha256;s=*"), "pass");
    check_record(&record("k=ed25519;h=sha1"), "permerror: key is not for this hash");
    check_record(&record("k=ed25519;h=sha1;t=y"), "none: key is not for this hash");
    check_record(&record("k=rsa"), "permerror: key is not for this algorithm");
    check_record(&record("k=new"), "permerror: key is not for this algorithm");
    check_record("v=DKIM1;k=ed25519;p=", "permerror: key was revoked");
    check_record("v=DKIM1;k=ed25519;p=AQID", "permerror: malformed public key");
    check_record(&record("k=ed25519;s=tls"), "permerror: key is not for mail");
    check_record(&record("k=ed25519;t=s"), "permerror: key is not for subdomains");
    let other = "v=DKIM1;k=ed25519;p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    check_record(other, "fail: signature does not match");
    check_record(&format!("{other};t=y"), "none: signature does not match");
    check_record("v=DKIM1", "permerror: malformed DKIM record: missing tag p=");
    check_record("some text", "permerror: not a DKIM record");
}

/// RFC 6376 §6.1.2: no answer is not the same as no key.
#[test]
fn trouble_with_dns_is_temporary() {
    let message = signed_as(MESSAGE, |_| {});
    let mut dns = dns();
    dns.sign("example.org");
    let result = &verify(&dns, &message)[0];
    assert_eq!((result.status, result.security), (Status::Pass, Some(Security::Secure)));
    let name = "e._domainkey.example.org";
    dns.add_txt(name, "p=AQID");
    assert_eq!(outcomes(&dns, &message), ["temperror: more than one key found"]);
    dns.fail(name, RecordType::Txt, DnsError::Bogus);
    let want = "temperror: looking up the key: the answer is not signed as it must be (DNSSEC)";
    assert_eq!(outcomes(&dns, &message), [want]);
    let mut none = FakeDns::new();
    none.sign("example.org");
    let result = &verify(&none, &message)[0];
    assert_eq!((result.status, result.security), (Status::PermError, Some(Security::Secure)));
}

/// Fields that cannot be read cost nothing, and do not hide those beside them.
#[test]
fn malformed_signatures_are_told() {
    assert!(outcomes(&dns(), MESSAGE).is_empty());
    let good = signed_as(MESSAGE, |_| {});
    let message = format!("DKIM-Signature: x\r\ndkim-signature : v=1; d=a.b\r\n{good}");
    let malformed = "permerror: malformed signature: not a list of tags";
    let missing = "permerror: malformed signature: missing tag s=";
    assert_eq!(outcomes(&dns(), &message), [malformed, missing, "pass"]);
}

/// A thousand signatures cost as many look-ups and hashes as are checked at most.
#[test]
fn the_number_of_signatures_is_bounded() {
    let plain = signed_as(MESSAGE, |_| {});
    let field = plain.strip_suffix(MESSAGE).unwrap();
    let fields = |count: usize| {
        let fields = (0..count).map(|n| field.replace("s=e;", &format!("s=e{n};")));
        fields.collect::<String>()
    };
    let dns = dns();
    let message = format!("{}{MESSAGE}", fields(SIGNATURES_MAX));
    assert_eq!(outcomes(&dns, &message), vec!["permerror: no key found"; SIGNATURES_MAX]);
    assert_eq!(dns.take_asked().len(), SIGNATURES_MAX);
    let message = format!("{}{MESSAGE}", fields(1000));
    let results = outcomes(&dns, &message);
    assert_eq!(results.len(), SIGNATURES_MAX + 1);
    assert_eq!(results[SIGNATURES_MAX], "policy: too many signatures");
    assert_eq!(dns.take_asked().len(), SIGNATURES_MAX);
}

/// RFC 6376 §3.5, `h=`: other signatures may be signed, its own never is.
#[test]
fn signatures_may_sign_others() {
    let inner = signed_as(MESSAGE, |_| {});
    let sign_others = |signature: &mut Signature| {
        let names = ["from", "subject", "dkim-signature", "dkim-signature"];
        signature.signed_names = names.map(str::to_owned).to_vec();
    };
    let outer = signed_as(&inner, sign_others);
    assert_eq!(outcomes(&dns(), &outer), ["pass", "pass"]);
    let without_inner = outer.replace(inner.strip_suffix(MESSAGE).unwrap(), "");
    assert_eq!(outcomes(&dns(), &without_inner), ["fail: signature does not match"]);
}

/// A message of many pieces needs no more memory than one of few: nothing but hashes is kept, and
/// `l=` of many lengths costs one hash.
#[test]
fn long_bodies_are_hashed_in_pieces() {
    let piece = "All work and no play makes Jack a dull boy.\r\n".repeat(100);
    let body = piece.repeat(20);
    let message = format!("From: joe@example.org\r\nSubject: hi\r\n\r\n{body}");
    let whole = u64::try_from(body.len()).unwrap();
    let first = signed_as(&message, |s| s.body_bytes = Some(whole));
    let second = signed_as(&first, |s| s.body_bytes = Some(whole / 2));
    let third = signed_as(&second, |s| s.body_form = Canonicalization::Simple);
    let policy = "policy: signature leaves a part of the body open";
    assert_eq!(outcomes(&dns(), &third), ["pass", policy, "pass"]);
}
