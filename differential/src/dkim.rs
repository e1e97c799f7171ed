//! DKIM: messages that one of the two signs, whole and changed, and signatures and keys written by
//! hand.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::{Canonicalization as TheirForm, DkimSigner};
use mail_auth::{AuthenticatedMessage, DkimResult};
use mox_base::{Domain, UnixSeconds};
use mox_dns::FakeDns;
use mox_mailauth::dkim::{
    self, Canonicalization, KeyError, PrivateKey, Reason, Selector, Signing, Verification,
};
use rustls_pki_types::PrivateKeyDer;

use crate::random::Random;
use crate::referee;
use crate::server::Other;
use crate::tally::{Tally, Verdict};

const RSA: &str = include_str!("../../crates/mailauth/testdata/rsa2048.pkcs8.pem");
const ED25519: &str = include_str!("../../crates/mailauth/testdata/ed25519.pem");

const DOMAIN: &str = "a.example.org";

/// The time is that of now, since the other implementation asks the clock.
fn now() -> UnixSeconds {
    let secs = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    UnixSeconds(i64::try_from(secs).unwrap_or_default())
}

fn der(pem: &str) -> Result<Vec<u8>> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    Ok(STANDARD.decode(lines.collect::<String>())?)
}

/// A key in the hands of both.
struct Keys {
    rsa: Arc<PrivateKey>,
    ed25519: Arc<PrivateKey>,
}

impl Keys {
    fn new() -> Result<Self> {
        let key = |pem| Ok::<_, anyhow::Error>(Arc::new(PrivateKey::from_pem(pem)?));
        Ok(Self { rsa: key(RSA)?, ed25519: key(ED25519)? })
    }

    fn records(&self) -> Result<Vec<(&'static str, String)>> {
        let record = |key: &PrivateKey| Ok::<_, anyhow::Error>(key.record()?.to_string());
        Ok(vec![("r", record(&self.rsa)?), ("e", record(&self.ed25519)?)])
    }

    fn dns(&self) -> Result<FakeDns> {
        let mut dns = FakeDns::new();
        for (selector, record) in self.records()? {
            dns.add_txt(&format!("{selector}._domainkey.{DOMAIN}"), &record);
        }
        Ok(dns)
    }

    fn sign_ours(&self, message: &[u8], random: &mut Random) -> Result<Vec<u8>> {
        let (name, key) = match random.once_in(4) {
            true => ("r", &self.rsa),
            false => ("e", &self.ed25519),
        };
        let mut signing = Signing::new(Selector::parse(name)?, Arc::clone(key));
        let form = |random: &mut Random| match random.once_in(2) {
            true => Canonicalization::Relaxed,
            false => Canonicalization::Simple,
        };
        signing.header_form = form(random);
        signing.body_form = form(random);
        signing.is_sealed = random.once_in(2);
        signing.lifetime_secs = random.once_in(3).then_some(3_600);
        let fields = dkim::sign(message, &Domain::parse(DOMAIN)?, None, &[signing], now())?;
        Ok([fields.as_bytes(), message].concat())
    }

    fn sign_theirs(&self, message: &[u8], random: &mut Random) -> Result<Vec<u8>> {
        let names = ["From", "To", "Subject", "Date", "X-Odd"];
        let form = |random: &mut Random| match random.once_in(2) {
            true => TheirForm::Relaxed,
            false => TheirForm::Simple,
        };
        let (header, body) = (form(random), form(random));
        let field = if random.once_in(4) {
            let key = PrivateKeyDer::Pkcs8(der(RSA)?.into());
            let key = RsaKey::<Sha256>::from_key_der(key).context("their RSA key")?;
            let signer = DkimSigner::from_key(key).domain(DOMAIN).selector("r").headers(names);
            let signer = signer.header_canonicalization(header).body_canonicalization(body);
            signer.sign(message).context("their signature")?.to_header()
        } else {
            let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&der(ED25519)?);
            let key = key.context("their Ed25519 key")?;
            let signer = DkimSigner::from_key(key).domain(DOMAIN).selector("e").headers(names);
            let signer = signer.header_canonicalization(header).body_canonicalization(body);
            signer.sign(message).context("their signature")?.to_header()
        };
        Ok([field.as_bytes(), message].concat())
    }
}

/// A message as programs write them.
fn plain_message(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..random.below(3) {
        text.push_str(random.pick(&["X-Odd: x\r\n", "To: b@b.example,\r\n c@c.example\r\n"]));
    }
    text.push_str("From: \"A B\" <a@a.example.org>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n");
    text.push_str("Subject: =?utf-8?q?x?=\r\n y\r\nMIME-Version: 1.0\r\n\r\n");
    for _ in 0..random.below(30) {
        text.push_str(random.pick(&[
            "hello there\r\n",
            "flowed text \r\n",
            "> quoted\r\n",
            "\r\n",
            "b\u{fc}cher =3D\r\n",
            "-- \r\n",
            "\tindented  twice\t\r\n",
            ".\r\n",
        ]));
    }
    text.into_bytes()
}

/// A message with white space where it is allowed, and where it is not.
fn odd_message(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    let fields = [
        "From: a@a.example.org",
        "From:  \"A  B\"  <a@a.example.org> ",
        "FROM : a@a.example.org",
        "From:\r\n\ta@a.example.org",
    ];
    let others = [
        "To: b@b.example",
        "to:b@b.example,\r\n  c@c.example",
        "Date: Thu, 1 Jan 2026 00:00:00 +0000",
        "X-Odd:",
        "X-Odd: \r\n ",
        "X-Odd :\t x \t y ",
        "X-Odd: b\u{fc}cher",
        "X-Odd: x\r\n\t\r\n y",
        "X-Other: not signed",
    ];
    for _ in 0..random.below(4) {
        text.push_str(random.pick(&others));
        text.push_str("\r\n");
    }
    text.push_str(random.pick(&fields));
    text.push_str(random.pick(&["\r\nSubject: x\r\n", "\r\nSubject:  x \r\n\ty\r\n"]));
    for _ in 0..random.below(3) {
        text.push_str(random.pick(&others));
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    for _ in 0..random.below(8) {
        text.push_str(random.pick(&[
            "hello",
            "\r\n",
            "\r\n",
            "\r\n",
            " ",
            "  ",
            "\t",
            ".",
            "b\u{fc}cher",
            "x\u{0}y",
            "-- \r\n",
        ]));
    }
    if random.once_in(20) {
        text.push_str(random.pick(&["\n", "\r", "a\nb\r\n", "\r\r\n"]));
    }
    text.into_bytes()
}

/// The message with something done to it on the way.
fn changed(message: &[u8], random: &mut Random) -> Vec<u8> {
    let text = String::from_utf8_lossy(message).into_owned();
    let (header, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let changed = match random.below(14) {
        0 => format!("{header}\r\n\r\n{body}more"),
        1 => format!("{header}\r\n\r\n{body}\r\n\r\n"),
        2 => format!("{header}\r\n\r\n{}", body.trim_end()),
        3 => format!("{header}\r\n\r\n{}", body.replace(' ', "  ")),
        4 => format!("{header}\r\n\r\n{}", body.replace("hello", "hallo")),
        5 => format!("Received: from x\r\n{text}"),
        6 => format!("Subject: y\r\n{text}"),
        7 => text.replacen("Subject: x", "Subject:  x", 1),
        8 => text.replacen("Subject: x", "SUBJECT:x", 1),
        9 => text.replacen("From: a@", "From: b@", 1),
        10 => text.replacen("b=", "b= ", 1),
        11 => text.replacen("; s=", ";\r\n\ts=", 1),
        12 => text.replacen("To: b@b.example", "To: b@b.example\r\nTo: c@c.example", 1),
        _ => text.replacen("; h=From", "; h=from", 1),
    };
    changed.into_bytes()
}

/// Compares all cases.
pub(crate) async fn compare(
    other: &Other,
    cases: usize,
    random: &mut Random,
) -> Result<Vec<Tally>> {
    let keys = Keys::new()?;
    let dns = Arc::new(keys.dns()?);
    let kinds: [(fn(&mut Random) -> Vec<u8>, [&str; 3]); 2] = [
        (plain_message, ["DKIM, signed by ours", "DKIM, signed by theirs", "DKIM, changed"]),
        (odd_message, ["DKIM, odd, signed by ours", "DKIM, odd, by theirs", "DKIM, odd, changed"]),
    ];
    let mut tallies = Vec::new();
    for (message, names) in kinds {
        let [mut by_us, mut by_them, mut spoilt] = names.map(Tally::new);
        for _ in 0..cases {
            let plain = message(random);
            let ours = keys.sign_ours(&plain, random)?;
            case(other, &dns, &ours, &mut by_us).await?;
            let theirs = keys.sign_theirs(&plain, random)?;
            case(other, &dns, &theirs, &mut by_them).await?;
            let signed = if random.once_in(2) { ours } else { theirs };
            case(other, &dns, &changed(&signed, random), &mut spoilt).await?;
        }
        tallies.extend([by_us, by_them, spoilt]);
    }
    let mut records = Tally::new("DKIM, keys");
    for record in key_records(&keys)? {
        let mut dns = FakeDns::new();
        dns.add_txt(&format!("e._domainkey.{DOMAIN}"), &record);
        let mut signing = Signing::new(Selector::parse("e")?, Arc::clone(&keys.ed25519));
        signing.header_form = Canonicalization::Relaxed;
        let plain = b"From: a@a.example.org\r\nSubject: x\r\n\r\nbody\r\n";
        let identity = dkim::Identity {
            localpart: "a".to_owned(),
            domain: Domain::parse("sub.a.example.org")?,
        };
        let domain = Domain::parse(DOMAIN)?;
        let fields = dkim::sign(plain, &domain, Some(&identity), &[signing], now())?;
        let message = [fields.as_bytes(), plain].concat();
        let outcome = outcome(other, &Arc::new(dns), &message).await?;
        count(&record, &message, &outcome, &mut records);
    }
    tallies.push(records);
    Ok(tallies)
}

/// The record of the Ed25519 key in many forms.
fn key_records(keys: &Keys) -> Result<Vec<String>> {
    let record = keys.ed25519.record()?.to_string();
    let (_, key) = record.split_once("p=").context("a key")?;
    let forms = [
        "v=DKIM1; k=ed25519; p=KEY",
        "v=DKIM1;k=ed25519;p=KEY;",
        "k=ed25519; p=KEY",
        "p=KEY; k=ed25519",
        "v=DKIM1; p=KEY; k=ed25519; h=sha256",
        "v=DKIM1; k=ed25519; h=sha1; p=KEY",
        "v=DKIM1; k=ed25519; h=sha1:sha256; p=KEY",
        "v=DKIM1; k=ed25519; s=email; p=KEY",
        "v=DKIM1; k=ed25519; s=*; p=KEY",
        "v=DKIM1; k=ed25519; s=tlsrpt; p=KEY",
        "v=DKIM1; k=ed25519; t=y; p=KEY",
        "v=DKIM1; k=ed25519; t=s; p=KEY",
        "v=DKIM1; k=ed25519; t=y:s; p=KEY",
        "v=DKIM1; k=ed25519; n=note=3B; g=*; x=y; p=KEY",
        "v=DKIM1; k=rsa; p=KEY",
        "v=DKIM1; p=KEY",
        "v=DKIM1; k=ED25519; p=KEY",
        "V=DKIM1; K=ed25519; P=KEY",
        "v=dkim1; k=ed25519; p=KEY",
        "v=DKIM2; k=ed25519; p=KEY",
        "k=ed25519; v=DKIM1; p=KEY",
        "v=DKIM1; k=ed25519; p=",
        "v=DKIM1; k=ed25519",
        "v=DKIM1; k=ed25519; p=AAAA",
        "v=DKIM1; k=ed25519; p=!",
        "v=DKIM1; k=ed25519; p=KEY; p=KEY",
        "v=DKIM1 ; k = ed25519 ; p = KEY",
        "v=DKIM1; k=ed25519 p=KEY",
        " v=DKIM1; k=ed25519; p=KEY",
        "something else",
        "",
    ];
    Ok(forms.iter().map(|form| form.replace("KEY", key)).collect())
}

/// What both say of each signature.
struct Outcome {
    ours: Vec<Verification>,
    theirs: Vec<DkimResult>,
}

async fn outcome(other: &Other, dns: &Arc<FakeDns>, message: &[u8]) -> Result<Outcome> {
    other.answer_from(Arc::clone(dns));
    let ours = dkim::verify(&**dns, message, now()).await?;
    let theirs = match AuthenticatedMessage::parse(message) {
        Some(parsed) => {
            let results = other.authenticator.verify_dkim(&parsed).await;
            results.iter().map(|result| result.result().clone()).collect()
        }
        None => Vec::new(),
    };
    Ok(Outcome { ours, theirs })
}

async fn case(other: &Other, dns: &Arc<FakeDns>, message: &[u8], tally: &mut Tally) -> Result<()> {
    let outcome = outcome(other, dns, message).await?;
    count(&String::from_utf8_lossy(message), message, &outcome, tally);
    Ok(())
}

/// Only whether a signature is good is compared: the words for what is bad differ by design.
fn count(case: &str, message: &[u8], outcome: &Outcome, tally: &mut Tally) {
    let Outcome { ours, theirs } = outcome;
    let our_passes = ours.iter().filter(|result| result.status == dkim::Status::Pass).count();
    let their_passes = theirs.iter().filter(|result| **result == DkimResult::Pass).count();
    let words = |passes: usize| if passes > 0 { "good" } else { "not good" };
    tally.count(words(our_passes));
    if our_passes != their_passes {
        let reason = ours.iter().find_map(|one| one.reason.as_ref());
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let text = format!("{case:?}{reason}, theirs {theirs:?}");
        let verdict = verdict(message, outcome);
        tally.differ(text, words(our_passes), words(their_passes), verdict);
    }
}

/// Who is right. What is not in this list is for people to look at.
fn verdict(message: &[u8], outcome: &Outcome) -> Verdict {
    let [ours] = &outcome.ours[..] else { return Verdict::Unknown };
    match &ours.reason {
        Some(Reason::UnsignedSubject | Reason::UncoveredBody | Reason::FromFuture) => {
            return Verdict::Open("RFC 6376 §6.1: a verifier may refuse what leaves too much open");
        }
        Some(Reason::KeyNotForMail) => {
            return Verdict::Ours("RFC 6376 §3.6.1: a key for another service is not for mail");
        }
        Some(Reason::KeyNotForHash) => {
            return Verdict::Ours("RFC 6376 §3.6.1: a key for other hashes is not for this one");
        }
        Some(Reason::Key(KeyError::Malformed(_))) => {
            return Verdict::Ours(
                "RFC 6376 §3.2, §3.6.1: names of tags have a case and come once, v= comes first",
            );
        }
        None | Some(Reason::BadSignature | Reason::BadBodyHash) => {}
        _ => return Verdict::Unknown,
    }
    let (Some(signature), Some(key)) = (&ours.signature, &ours.key) else {
        return Verdict::Unknown;
    };
    let is_body_good = referee::is_body_good(message, signature);
    let is_header_good = referee::is_header_good(message, signature, &key.record);
    let expected = match (is_header_good, is_body_good) {
        (true, true) => None,
        (false, _) => Some(Reason::BadSignature),
        (true, false) => Some(Reason::BadBodyHash),
    };
    if expected != ours.reason {
        return Verdict::Unknown;
    }
    let names_body = |result: &DkimResult| format!("{result:?}").contains("BodyHash");
    if !is_body_good || outcome.theirs.iter().any(names_body) {
        Verdict::Ours("RFC 6376 §3.4.3, §3.4.4: the referee has our canonical body")
    } else {
        Verdict::Ours("RFC 6376 §3.4.1, §3.4.2, §3.5, §5.4.2: the referee has our canonical header")
    }
}
