//! Messages that were signed here.

use mox_base::{Domain, UnixSeconds};
use proptest::prelude::*;

use super::*;
use crate::dkim::{BodyHashes, Header, Keys, SIGNED_NAMES_MAX, SignError, Signature};

const MESSAGE: &str = "From: Joe <joe@example.org>\r\nTo: a@b.example\r\nTo: c@d.example\r\n\
    Subject: hi\r\n there\r\n\r\nHello \r\n\r\nthere.\r\n\r\n";

fn signatures(fields: &str) -> Vec<Signature> {
    let fields = mox_mime::fields(fields.as_bytes()).filter(|f| f.is(Signature::FIELD_NAME));
    fields.map(|field| Signature::parse(field.value).unwrap()).collect()
}

/// RFC 6376 §5, RFC 5322 §2.1.1.
#[test]
fn fields_are_as_they_should_be() {
    let [mut relaxed, simple] = signings();
    relaxed.lifetime_secs = Some(72 * 60 * 60);
    relaxed.is_sealed = false;
    let signed = sign(MESSAGE, &[relaxed, simple]);
    assert_eq!(outcomes(&dns(), &signed), ["pass", "pass"]);
    let fields = signed.strip_suffix(MESSAGE).unwrap();
    assert!(fields.lines().all(|line| line.len() <= 78), "{fields}");
    let start = "DKIM-Signature: v=1; d=example.org; s=r; i=joe@example.org; a=rsa-sha256;\r\n\
        \tc=relaxed/relaxed; t=1750000000; x=1750259200; h=From:To:To:Subject;";
    assert!(fields.starts_with(start), "{fields}");
    let [relaxed, simple] = &signatures(fields)[..] else { panic!("{fields}") };
    assert_eq!(relaxed.expires_at, Some(UnixSeconds(1_750_259_200)));
    assert_eq!(simple.expires_at, None);
    let names = "From:From:To:To:To:Cc:Bcc:Reply-To:References:In-Reply-To:Subject:Subject:Date:\
        Message-Id:Content-Type";
    assert_eq!(simple.signed_names.join(":"), names);
}

#[track_caller]
fn check_error(message: &str, change: fn(&mut Signing), want: SignError) {
    let mut signings = signings();
    signings.iter_mut().for_each(change);
    let got = crate::dkim::sign(message.as_bytes(), &domain(), None, &signings, NOW);
    assert_eq!(got, Err(want));
}

/// RFC 6376 §5.4, §8.15.
#[test]
fn messages_that_cannot_be_signed_are_refused() {
    check_error("To: a@b.example\r\n\r\n", |_| {}, SignError::NotOneFrom);
    check_error("", |_| {}, SignError::NotOneFrom);
    // Its first line would become a part of the signature.
    check_error(&format!(" x\r\n{MESSAGE}"), |_| {}, SignError::BeginsFolded);
    check_error(&format!("\t{MESSAGE}"), |_| {}, SignError::BeginsFolded);
    check_error(&format!("From: x\r\n{MESSAGE}"), |_| {}, SignError::NotOneFrom);
    check_error(MESSAGE, |signing| signing.names.clear(), SignError::UnsignedFrom);
    let many = format!("{}{MESSAGE}", "To: x\r\n".repeat(SIGNED_NAMES_MAX));
    check_error(&many, |_| {}, SignError::TooManyFields);
    let other = Domain::parse("example.com").unwrap();
    let got = crate::dkim::sign(MESSAGE.as_bytes(), &other, Some(&identity()), &signings(), NOW);
    assert_eq!(got, Err(SignError::ForeignIdentity));
}

/// RFC 8616 §5: `i=` in UTF-8, `d=` in ASCII.
#[test]
fn identities_are_quoted() {
    let domain = Domain::parse("b\u{fc}cher.example").unwrap();
    let localpart = format!("j\u{f6} ;={}@", "x".repeat(100));
    let identity = Identity { localpart, domain: domain.clone() };
    let fields = crate::dkim::sign(MESSAGE.as_bytes(), &domain, Some(&identity), &signings(), NOW);
    let fields = fields.unwrap();
    assert!(fields.contains("d=xn--bcher-kva.example; s=r;"), "{fields}");
    assert!(fields.contains("i=j\u{f6}=20=3B=3Dxxx"), "{fields}");
    for signature in signatures(&fields) {
        assert_eq!(signature.identity.as_ref(), Some(&identity));
    }
}

/// Verifies a message whose body comes in pieces.
fn verify_in_pieces(message: &[u8], pieces: &[usize]) -> Vec<Option<Reason>> {
    let header = Header::parse(message).unwrap();
    let mut bodies = BodyHashes::new();
    let verifier = super::super::Verifier::new(&header, &mut bodies, NOW);
    let keys = Keys::look_up(&dns(), verifier.key_names()).now_or_never().unwrap();
    let mut rest = header.body(message);
    for piece in pieces {
        let (head, tail) = rest.split_at((*piece).min(rest.len()));
        bodies.update(head);
        rest = tail;
    }
    bodies.update(rest);
    verifier.finish(&keys, &bodies.finish()).into_iter().map(|result| result.reason).collect()
}

/// Sections of header fields, with a From among them.
fn header() -> impl Strategy<Value = String> {
    let field = "(To|Subject|X-Y|DATE|cc)[ \t]?:([ -~]|\r\n[ \t]|\u{fc}|\0|\r){0,60}\r\n";
    let fields = || proptest::collection::vec(field, 0..6).prop_map(|all| all.concat());
    (fields(), fields()).prop_map(|(before, after)| format!("{before}From: a@b\r\n{after}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// What is signed verifies, however the body is cut.
    #[test]
    fn what_is_signed_is_good(
        header in header(),
        body in "([ -~]{0,30}|\r\n|\n|\r|\t|  |\0){0,60}",
        pieces in proptest::collection::vec(0usize..40, 0..10),
        seals: bool,
    ) {
        let mut signings = signings();
        signings.iter_mut().for_each(|signing| signing.is_sealed = seals);
        let message = sign(&format!("{header}\r\n{body}"), &signings);
        // The fields of a header may have eaten the line that should end it.
        let subject_signed = seals || mox_mime::first_field(message.as_bytes(), "Subject").is_some();
        let good = if subject_signed { None } else { Some(Reason::UnsignedSubject) };
        let got = verify_in_pieces(message.as_bytes(), &pieces);
        prop_assert_eq!(got, [good.clone(), good], "{}", message);
    }

    /// A byte that is changed in what was signed makes a signature bad; both are over everything
    /// here, so both are.
    #[test]
    fn what_is_changed_is_bad(place in 0usize..10_000, to in any::<u8>()) {
        let plain = "From: joe@example.org\r\nSubject: hello\r\n\r\nHello\r\nthere\r\n";
        let mut message = sign(plain, &signings()).into_bytes();
        let place = place % plain.len() + message.len() - plain.len();
        // White space is what a relaxed signature lets change.
        let is_blank = |byte: u8| byte.is_ascii_whitespace();
        prop_assume!(!is_blank(message[place]) && !is_blank(to));
        prop_assume!(!message[place].eq_ignore_ascii_case(&to) || message[place] == to);
        let is_same = message[place] == to;
        message[place] = to;
        let results = verify_in_pieces(&message, &[]);
        prop_assert_eq!(results.len(), 2);
        prop_assert_eq!(results.iter().all(Option::is_none), is_same);
        prop_assert_eq!(results.iter().any(Option::is_none), is_same);
    }
}
