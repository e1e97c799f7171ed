//! What must hold for any bytes that others may send. Used by a test and by the fuzz targets.
#![expect(clippy::expect_used, reason = "a broken set-up should fail the test")]

use std::sync::Arc;

use futures_util::FutureExt as _;
use mox_base::{Domain, UnixSeconds};
use mox_dns::FakeDns;
use mox_mailauth::arc::{self, ChainStatus, INSTANCES_MAX, Seal};
use mox_mailauth::dkim::{
    self, BodyHashes, Canonicalization, Header, KeyRecord, Keys, PrivateKey, SIGNATURES_MAX,
    Selector, SignError, Signature, Signing, Status, Verifier,
};

const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

/// The keys of a domain that signs here, and one of RFC 8463 §A.2.
const RECORDS: &[(&str, &str)] = &[
    (
        "e._domainkey.example.org",
        "v=DKIM1;k=ed25519;p=BxhQ3E1jwtBAAcnxADFjlSn4xoyVFdBMOdEw/WuONMI=",
    ),
    (
        "brisbane._domainkey.football.example.com",
        "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    ),
];

/// A signature or seal is read or refused, and one that is read is written the same.
pub(crate) fn check_signature(value: &[u8]) {
    if let Ok(signature) = Signature::parse(value) {
        let field = signature.to_field();
        let value = field.strip_prefix("DKIM-Signature:").expect("its own name");
        assert_eq!(Signature::parse(value.as_bytes()), Ok(signature), "{field}");
    }
    if let Ok(seal) = Seal::parse(value) {
        let field = seal.to_field();
        let value = field.strip_prefix("ARC-Seal:").expect("its own name");
        assert_eq!(Seal::parse(value.as_bytes()), Ok(seal), "{field}");
    }
}

/// A record is read or refused, and one that is read is written the same.
pub(crate) fn check_record(text: &[u8]) {
    if let Ok(record) = KeyRecord::parse(text) {
        let printed = record.to_string();
        assert_eq!(record.txt_chunks().concat(), printed);
        let _key = record.public_key();
        assert_eq!(KeyRecord::parse(printed.as_bytes()), Ok(record), "{printed}");
    }
}

/// A message is judged the same however its body is cut, at bounded cost; and what is signed here
/// is good.
pub(crate) fn check_message(message: &[u8], step: usize) {
    let mut dns = FakeDns::new();
    for (name, record) in RECORDS {
        dns.add_txt(name, record);
    }
    let Ok(header) = Header::parse(message) else { return };
    let whole = judge(&dns, &header, message, message.len() + 1);
    assert_eq!(judge(&dns, &header, message, step + 1), whole);
    sign(&dns, message);
}

/// The outcomes, in words.
fn judge(dns: &FakeDns, header: &Header<'_>, message: &[u8], step: usize) -> Vec<String> {
    let mut bodies = BodyHashes::new();
    let verifier = Verifier::new(header, &mut bodies, NOW);
    let chain = arc::Verifier::new(header, &mut bodies, NOW);
    let names = verifier.key_names().chain(chain.key_names());
    let keys = Keys::look_up(dns, names).now_or_never().expect("a fake answers at once");
    assert!(dns.take_asked().len() <= SIGNATURES_MAX + usize::from(INSTANCES_MAX) + 1);
    for piece in header.body(message).chunks(step) {
        bodies.update(piece);
    }
    let bodies = bodies.finish();
    let results = verifier.finish(&keys, &bodies);
    assert!(results.len() <= SIGNATURES_MAX + 1);
    let mut words = Vec::new();
    for result in results {
        assert_eq!(result.status == Status::Pass, result.reason.is_none());
        words.push(format!("{} {:?}", result.status, result.reason.map(|r| r.to_string())));
    }
    let verdict = chain.finish(&keys, &bodies);
    assert_eq!(verdict.reason.is_some(), verdict.status == ChainStatus::Fail);
    words.push(format!("{verdict:?}"));
    words
}

fn sign(dns: &FakeDns, message: &[u8]) {
    let key = PrivateKey::from_pem(include_str!("../../testdata/ed25519.pem"));
    let selector = Selector::parse("e").expect("a selector");
    let mut signing = Signing::new(selector, Arc::new(key.expect("a key")));
    if message.len().is_multiple_of(2) {
        signing.header_form = Canonicalization::Relaxed;
        signing.body_form = Canonicalization::Relaxed;
    }
    let domain = Domain::parse("example.org").expect("a domain");
    match dkim::sign(message, &domain, None, std::slice::from_ref(&signing), NOW) {
        Ok(fields) => {
            let signed = [fields.as_bytes(), message].concat();
            let results = dkim::verify(dns, &signed, NOW).now_or_never();
            let results = results.expect("a fake answers at once").expect("not too large");
            let first = results.first().expect("a signature");
            assert_eq!(first.reason, None, "{}", String::from_utf8_lossy(&signed));
        }
        Err(error) => assert_ne!(error, SignError::UnsignedFrom),
    }
}
