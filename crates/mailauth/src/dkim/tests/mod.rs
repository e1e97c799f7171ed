//! Whole messages: signed by others, and signed here.

mod signing;
mod vectors;
mod verifying;

use std::sync::Arc;

use futures_util::FutureExt as _;
use mox_base::{Domain, UnixSeconds};
use mox_dns::FakeDns;

use super::{Canonicalization, Identity, PrivateKey, Reason, Selector, Signing, Verification};

/// A time after all vectors were signed.
const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

fn verify(dns: &FakeDns, message: &str) -> Vec<Verification> {
    let results = super::verify(dns, message.as_bytes(), NOW).now_or_never();
    results.expect("a fake answers at once").expect("a header of good size")
}

/// The results in words: `pass`, or the reason.
fn outcomes(dns: &FakeDns, message: &str) -> Vec<String> {
    let in_words = |result: &Verification| match &result.reason {
        None => result.status.to_string(),
        Some(reason) => {
            if !result.key.as_ref().is_some_and(|key| key.record.is_testing) {
                assert_eq!(result.status, Reason::status(reason));
            }
            format!("{}: {reason}", result.status)
        }
    };
    verify(dns, message).iter().map(in_words).collect()
}

fn rsa() -> PrivateKey {
    PrivateKey::from_pem(include_str!("../../../testdata/rsa2048.pkcs8.pem")).unwrap()
}

fn ed25519() -> PrivateKey {
    PrivateKey::from_pem(include_str!("../../../testdata/ed25519.pem")).unwrap()
}

fn domain() -> Domain {
    Domain::parse("example.org").unwrap()
}

fn identity() -> Identity {
    Identity { localpart: "joe".to_owned(), domain: domain() }
}

/// Signing with a key of each kind: `r` relaxed, `e` simple.
fn signings() -> [Signing; 2] {
    let signing = |selector, key| Signing::new(Selector::parse(selector).unwrap(), Arc::new(key));
    let mut relaxed = signing("r", rsa());
    relaxed.header_form = Canonicalization::Relaxed;
    relaxed.body_form = Canonicalization::Relaxed;
    [relaxed, signing("e", ed25519())]
}

/// The records of the keys in [`signings`].
fn dns() -> FakeDns {
    let mut dns = FakeDns::new();
    for signing in signings() {
        let name = signing.selector.key_name(&domain()).unwrap();
        dns.add_txt(name.as_str(), &signing.key.record().unwrap().to_string());
    }
    dns
}

fn sign(message: &str, signings: &[Signing]) -> String {
    let fields = super::sign(message.as_bytes(), &domain(), Some(&identity()), signings, NOW);
    fields.expect("a message that can be signed") + message
}
