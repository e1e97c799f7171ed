//! What [`Validating`] makes of zones that are signed well, badly, or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, NS, TXT};
use hickory_proto::rr::{RData, Record, RecordType as WireType};
use mox_dns::{Answer, DnsError, Name, RecordType, Resolver as _, Security, Trouble};
use mox_testkit::ManualClock;

use super::lab::{Lab, NEGATIVE_TTL_SECS, Signing, TTL_SECS, dname, wire};
use super::scripted::{Scripted, empty};
use super::{QUESTIONS_PER_LOOKUP_MAX, ResolvConf, TrustAnchor, Validating};
use crate::SystemRng;

fn ip(last: u8) -> RData {
    RData::A(A::new(192, 0, 2, last))
}

fn alias(target: &str) -> RData {
    RData::CNAME(CNAME(wire(target)))
}

fn txt(text: &str) -> RData {
    RData::TXT(TXT::new(vec![text.to_owned()]))
}

fn lab() -> Lab {
    let mut lab = Lab::new();
    for (origin, signing) in [
        ("signed.", Signing::Good),
        ("sub.signed.", Signing::Good),
        ("plain.signed.", Signing::None),
        ("plain.", Signing::None),
        ("island.plain.", Signing::Island),
        ("island.signed.", Signing::Island),
        ("expired.", Signing::Expired),
        ("notyet.", Signing::NotYet),
        ("otherkey.", Signing::OtherKey),
        ("stripped.", Signing::Stripped),
        ("newalgorithm.", Signing::UnknownAlgorithm),
    ] {
        lab.zone(origin, signing).add(&format!("a.{origin}"), ip(1));
    }
    lab.add("a.b.c.signed.", ip(2)).add("tampered.signed.", ip(3)).tamper("tampered.signed.");
    lab.add("*.wild.signed.", txt("wild")).add("x.wild.signed.", ip(4));
    lab.add("*.wild.plain.", txt("wild"));
    lab.add("sub-alias.signed.", alias("a.sub.signed."));
    lab.add("plain-alias.signed.", alias("a.plain."));
    lab.add("bad-alias.signed.", alias("a.expired."));
    lab.add("nowhere-alias.signed.", alias("nowhere.plain."));
    lab.add("signed-alias.plain.", alias("a.signed."));
    lab.add("circle.signed.", alias("circle.signed."));
    lab.add("moved.signed.", dname("sub.signed.")).add("moved.plain.", dname("signed."));
    lab.add("left.signed.", dname("plain.")).add("round.signed.", dname("round.signed."));
    lab.add("moved.expired.", dname("signed."));
    lab
}

fn validating(server: &Scripted, anchor: TrustAnchor) -> Validating {
    let timeout = Duration::from_secs(5);
    let conf = ResolvConf { servers: vec![server.addr], timeout, ..ResolvConf::default() };
    Validating::with_anchors(conf, Arc::new(ManualClock::default()), Arc::new(SystemRng), &[anchor])
}

type Brief<'a> = Result<(&'a str, Security), DnsError>;

fn brief(outcome: &Result<Answer, DnsError>) -> Brief<'_> {
    match outcome {
        Ok(found) => Ok((found.canonical.as_str(), found.security)),
        Err(error) => Err(error.clone()),
    }
}

const SECURE: Security = Security::Secure;
const INSECURE: Security = Security::Insecure;
const NOT_THERE: fn(bool, Security) -> DnsError =
    |exists, security| DnsError::NotFound { exists, security, ttl_secs: NEGATIVE_TTL_SECS };

/// RFC 4033 §5, RFC 4035 §5.
#[tokio::test]
async fn answers_are_worth_what_their_proofs_are() {
    use RecordType::{A, Aaaa, Cname, Mx, Ns, Txt};
    let lab = lab();
    let anchor = lab.anchor();
    let server = lab.serve().await;
    let dns = validating(&server, anchor);
    let cases: &[(&str, RecordType, Brief<'_>)] = &[
        // Signed, or proven not to be.
        (".", Ns, Ok(("", SECURE))),
        ("signed", Ns, Ok(("signed", SECURE))),
        ("a.signed", A, Ok(("a.signed", SECURE))),
        ("A.Sub.Signed", A, Ok(("a.sub.signed", SECURE))),
        ("a.plain", A, Ok(("a.plain", INSECURE))),
        ("a.plain.signed", A, Ok(("a.plain.signed", INSECURE))),
        ("a.island.plain", A, Ok(("a.island.plain", INSECURE))),
        ("a.island.signed", A, Ok(("a.island.signed", INSECURE))),
        ("b.island.signed", A, Err(NOT_THERE(false, INSECURE))),
        ("a.newalgorithm", A, Ok(("a.newalgorithm", INSECURE))),
        // Not there.
        ("b.signed", A, Err(NOT_THERE(false, SECURE))),
        ("a.signed", Aaaa, Err(NOT_THERE(true, SECURE))),
        ("signed", Mx, Err(NOT_THERE(true, SECURE))),
        ("b.c.signed", A, Err(NOT_THERE(true, SECURE))),
        ("x.b.c.signed", A, Err(NOT_THERE(false, SECURE))),
        ("nowhere", A, Err(NOT_THERE(false, SECURE))),
        ("b.plain", A, Err(NOT_THERE(false, INSECURE))),
        ("a.plain", Mx, Err(NOT_THERE(true, INSECURE))),
        ("b.plain.signed", A, Err(NOT_THERE(false, INSECURE))),
        ("b.newalgorithm", A, Err(NOT_THERE(false, INSECURE))),
        // Aliases.
        ("sub-alias.signed", A, Ok(("a.sub.signed", SECURE))),
        ("sub-alias.signed", Cname, Ok(("sub-alias.signed", SECURE))),
        ("plain-alias.signed", A, Ok(("a.plain", INSECURE))),
        ("signed-alias.plain", A, Ok(("a.signed", INSECURE))),
        ("nowhere-alias.signed", A, Err(NOT_THERE(false, INSECURE))),
        ("bad-alias.signed", A, Err(DnsError::Bogus)),
        ("circle.signed", A, Err(DnsError::Temporary(Trouble::Malformed))),
        // Redirections.
        ("a.moved.signed", A, Ok(("a.sub.signed", SECURE))),
        ("a.moved.plain", A, Ok(("a.signed", INSECURE))),
        ("a.left.signed", A, Ok(("a.plain", INSECURE))),
        ("b.moved.signed", A, Err(NOT_THERE(false, SECURE))),
        // The checks do not take the word of such a name about itself.
        ("moved.signed", A, Err(DnsError::Bogus)),
        ("a.moved.expired", A, Err(DnsError::Bogus)),
        ("a.round.signed", A, Err(DnsError::Temporary(Trouble::Malformed))),
        // Wildcards.
        ("y.wild.signed", Txt, Ok(("y.wild.signed", SECURE))),
        ("z.y.wild.signed", Txt, Ok(("z.y.wild.signed", SECURE))),
        ("x.wild.signed", Txt, Err(NOT_THERE(true, SECURE))),
        ("y.wild.signed", A, Err(NOT_THERE(true, SECURE))),
        ("y.wild.plain", Txt, Ok(("y.wild.plain", INSECURE))),
        // Wrong.
        ("tampered.signed", A, Err(DnsError::Bogus)),
        ("a.expired", A, Err(DnsError::Bogus)),
        ("b.expired", A, Err(DnsError::Bogus)),
        ("a.notyet", A, Err(DnsError::Bogus)),
        ("a.otherkey", A, Err(DnsError::Bogus)),
        ("a.stripped", A, Err(DnsError::Bogus)),
        ("b.stripped", A, Err(DnsError::Bogus)),
    ];
    let mut wrong = Vec::new();
    for (name, kind, want) in cases {
        let got = dns.lookup(&Name::parse(name).unwrap(), *kind).await;
        if let Ok(found) = &got {
            assert_eq!(found.ttl_secs, TTL_SECS, "{name} {kind}");
        }
        if brief(&got) != *want {
            wrong.push(format!("{name} {kind}: {:?}, not {want:?}", brief(&got)));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// RFC 5155 §8, §9.2; RFC 9276 §3.2.
#[tokio::test]
async fn names_may_be_hashed_in_proofs() {
    use RecordType::{A, Aaaa, Txt};
    let mut lab = Lab::new();
    for (origin, opt_out, iterations) in
        [("all.", false, 0), ("some.", true, 0), ("often.", false, 150), ("toooften.", false, 501)]
    {
        lab.zone(origin, Signing::Hashed { opt_out, iterations });
        lab.add(&format!("a.{origin}"), ip(1)).add(&format!("a.b.c.{origin}"), ip(1));
        lab.add(&format!("*.wild.{origin}"), txt("wild"));
        lab.zone(&format!("plain.{origin}"), Signing::None);
        lab.zone(&format!("signed.{origin}"), Signing::Good);
        lab.add(&format!("a.plain.{origin}"), ip(1)).add(&format!("a.signed.{origin}"), ip(1));
    }
    let anchor = lab.anchor();
    let server = lab.serve().await;
    let dns = validating(&server, anchor);
    let cases: &[(&str, RecordType, Brief<'_>)] = &[
        ("a.all", A, Ok(("a.all", SECURE))),
        ("a.all", Aaaa, Err(NOT_THERE(true, SECURE))),
        ("b.all", A, Err(NOT_THERE(false, SECURE))),
        ("x.y.b.all", A, Err(NOT_THERE(false, SECURE))),
        ("b.c.all", A, Err(NOT_THERE(true, SECURE))),
        ("x.wild.all", Txt, Ok(("x.wild.all", SECURE))),
        ("x.y.wild.all", Txt, Ok(("x.y.wild.all", SECURE))),
        ("x.wild.all", A, Err(NOT_THERE(true, SECURE))),
        ("a.plain.all", A, Ok(("a.plain.all", INSECURE))),
        ("b.plain.all", A, Err(NOT_THERE(false, INSECURE))),
        ("a.signed.all", A, Ok(("a.signed.all", SECURE))),
        // What may be left out may exist.
        ("a.some", A, Ok(("a.some", SECURE))),
        ("b.some", A, Err(NOT_THERE(false, INSECURE))),
        ("a.plain.some", A, Ok(("a.plain.some", INSECURE))),
        ("b.plain.some", A, Err(NOT_THERE(false, INSECURE))),
        ("a.signed.some", A, Ok(("a.signed.some", SECURE))),
        ("x.wild.some", Txt, Ok(("x.wild.some", SECURE))),
        // What costs much to check is not checked.
        ("a.often", A, Ok(("a.often", SECURE))),
        ("b.often", A, Err(NOT_THERE(false, INSECURE))),
        ("x.wild.often", Txt, Ok(("x.wild.often", INSECURE))),
        // So it is not known that the zone below is not signed.
        ("a.plain.often", A, Err(DnsError::Bogus)),
        ("a.toooften", A, Ok(("a.toooften", SECURE))),
        ("b.toooften", A, Err(DnsError::Bogus)),
    ];
    let mut wrong = Vec::new();
    for (name, kind, want) in cases {
        let got = dns.lookup(&Name::parse(name).unwrap(), *kind).await;
        if brief(&got) != *want {
            wrong.push(format!("{name} {kind}: {:?}, not {want:?}", brief(&got)));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

async fn ask(dns: &Validating, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
    dns.lookup(&Name::parse(name).unwrap(), kind).await
}

/// Asks with somebody on the way who changes answers about `name`; `want` is what is made of it.
async fn check_meddled(
    what: &str,
    (name, kind): (&str, RecordType),
    meddle: impl Fn(&Lab, &mut Message) + Send + Sync + 'static,
    want: Brief<'_>,
) {
    let lab = lab();
    let anchor = lab.anchor();
    let at = wire(name);
    let meddle = move |lab: &Lab, answer: &mut Message| {
        if answer.queries[0].name == at {
            meddle(lab, answer);
        }
    };
    let server = lab.serve_with(meddle).await;
    let got = ask(&validating(&server, anchor), name, kind).await;
    assert_eq!(brief(&got), want, "{what}");
}

fn forge(answer: &mut Message) {
    answer.answers.retain(|one| one.record_type() != WireType::A);
    answer.add_answer(Record::from_rdata(answer.queries[0].name.clone(), TTL_SECS, ip(66)));
}

/// Attack: somebody on the way, or the server itself, wants us to believe something else.
#[tokio::test]
async fn what_others_change_is_not_believed() {
    use RecordType::{A, Txt};
    let bogus = || Err(DnsError::Bogus);
    let own = ("a.signed.", A);
    check_meddled("other address", own, |_, answer| forge(answer), bogus()).await;
    let unsigned = |_: &Lab, answer: &mut Message| answer.answers.truncate(1);
    check_meddled("no signature", own, unsigned, bogus()).await;
    let empty = |_: &Lab, answer: &mut Message| {
        answer.answers.clear();
        answer.metadata.response_code = ResponseCode::NXDomain;
    };
    check_meddled("nothing, without proof", own, empty, bogus()).await;
    let replayed = |lab: &Lab, answer: &mut Message| {
        answer.answers.clear();
        answer.metadata.response_code = ResponseCode::NXDomain;
        answer.authorities = lab.ask("zz.signed.", WireType::A).authorities;
    };
    check_meddled("nothing, with the proof of another name", own, replayed, bogus()).await;
    let unclaimed = |_: &Lab, answer: &mut Message| {
        forge(answer);
        answer.metadata.authentic_data = true;
    };
    check_meddled("a server that vouches for it", own, unclaimed, bogus()).await;
    let others = |lab: &Lab, answer: &mut Message| {
        answer.answers.extend(lab.ask("a.plain.", WireType::A).answers);
        answer.additionals.extend(lab.ask("a.expired.", WireType::A).answers);
        answer.authorities.extend(lab.ask("a.stripped.", WireType::A).answers);
    };
    check_meddled("more than was asked for", own, others, Ok(("a.signed", SECURE))).await;
    // Below a zone that says it is not signed, anything goes; but not by saying so anywhere.
    let cut = |_: &Lab, answer: &mut Message| {
        forge(answer);
        let (name, server) = (answer.queries[0].name.clone(), wire("ns.evil."));
        answer.add_authority(Record::from_rdata(name, TTL_SECS, RData::NS(NS(server))));
    };
    check_meddled("a delegation that is none", own, cut, bogus()).await;
    let by_child = |lab: &Lab, answer: &mut Message| {
        answer.answers.clear();
        answer.metadata.response_code = ResponseCode::NXDomain;
        answer.authorities = lab.ask("*.signed.", WireType::A).authorities;
        answer.authorities.extend(lab.denial("sub.signed.", "a.sub.signed.", "zz.signed."));
    };
    check_meddled("a denial by a zone below", ("x.signed.", A), by_child, bogus()).await;
    let closer = |lab: &Lab, answer: &mut Message| {
        let wild = lab.ask("y.wild.signed.", WireType::TXT);
        let at = answer.queries[0].name.clone();
        answer.answers = wild.answers;
        answer.answers.iter_mut().for_each(|one| one.name = at.clone());
        answer.authorities = lab.ask("zz.signed.", WireType::A).authorities;
    };
    check_meddled("a wildcard for a name that exists", ("x.wild.signed.", Txt), closer, bogus())
        .await;
    let redirect = |_: &Lab, answer: &mut Message| {
        answer.answers.clear();
        answer.add_answer(Record::from_rdata(wire("signed."), TTL_SECS, dname("plain.")));
    };
    check_meddled("a redirection", own, redirect, bogus()).await;
    let elsewhere = |lab: &Lab, answer: &mut Message| {
        answer.answers = lab.ask("a.moved.signed.", WireType::A).answers;
        let alias = alias("a.plain.");
        let name = answer.queries[0].name.clone();
        answer.answers.retain(|one| one.record_type() != WireType::CNAME);
        answer.add_answer(Record::from_rdata(name, TTL_SECS, alias));
    };
    let moved = ("a.moved.signed.", A);
    let want = Ok(("a.sub.signed", SECURE));
    check_meddled("another alias beside a redirection", moved, elsewhere, want).await;
    let bare = |_: &Lab, answer: &mut Message| answer.authorities.clear();
    check_meddled("a wildcard without proof", ("y.wild.signed.", Txt), bare, bogus()).await;
}

/// A server that does not answer, or says that it cannot, is no attack.
#[tokio::test(start_paused = true)]
async fn trouble_is_not_bogus() {
    let temporary = |trouble| Err(DnsError::Temporary(trouble));
    let anchor = Lab::new().anchor();
    let silent = Scripted::silent().await;
    let got = ask(&validating(&silent, anchor.clone()), "a.signed", RecordType::A).await;
    assert_eq!(got, temporary(Trouble::Timeout));
    // Answers come over sockets, which know nothing of a clock that jumps.
    tokio::time::resume();
    for (code, trouble) in [
        (ResponseCode::ServFail, Trouble::ServerFailure),
        (ResponseCode::Refused, Trouble::Refused),
    ] {
        let failing = Scripted::answering(move |question| empty(question, code)).await;
        let got = ask(&validating(&failing, anchor.clone()), "a.signed", RecordType::A).await;
        assert_eq!(got, temporary(trouble), "{code}");
    }
}

/// Trouble on the way to a key is not an answer to be held against the name.
#[tokio::test]
async fn trouble_with_a_key_is_not_bogus() {
    let lab = lab();
    let anchor = lab.anchor();
    let meddle = |_: &Lab, answer: &mut Message| {
        if answer.queries[0].query_type == WireType::DNSKEY {
            *answer = empty(answer, ResponseCode::ServFail);
        }
    };
    let server = lab.serve_with(meddle).await;
    let got = ask(&validating(&server, anchor), "a.signed", RecordType::A).await;
    assert_eq!(got, Err(DnsError::Temporary(Trouble::ServerFailure)));
}

#[tokio::test]
async fn without_the_right_anchor_nothing_signed_is_believed() {
    let server = lab().serve().await;
    let dns = validating(&server, Lab::new().anchor());
    assert_eq!(ask(&dns, "a.signed", RecordType::A).await, Err(DnsError::Bogus));
    assert_eq!(ask(&dns, "a.plain", RecordType::A).await, Err(DnsError::Bogus));
}

#[tokio::test]
async fn keys_are_kept_for_the_next_question() {
    let lab = lab();
    let anchor = lab.anchor();
    let server = lab.serve().await;
    let dns = validating(&server, anchor);
    assert!(ask(&dns, "a.sub.signed", RecordType::A).await.is_ok());
    let first = server.asked();
    assert!(ask(&dns, "ns.sub.signed", RecordType::A).await.is_err());
    assert!((4..12).contains(&first), "{first}");
    assert_eq!(server.asked() - first, 1);
}

/// A zone that is mended is believed at once, not when its keys are asked for again.
#[tokio::test]
async fn what_was_kept_is_asked_again_after_a_bogus_answer() {
    let lab = lab();
    let anchor = lab.anchor();
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let meddle = move |_: &Lab, answer: &mut Message| {
        let is_key = answer.queries[0].query_type == WireType::DNSKEY;
        if is_key && answer.queries[0].name == wire("signed.") && broken.load(Ordering::Relaxed) {
            answer.answers.clear();
        }
    };
    let server = lab.serve_with(meddle).await;
    let dns = validating(&server, anchor);
    assert_eq!(ask(&dns, "a.signed", RecordType::A).await, Err(DnsError::Bogus));
    is_broken.store(false, Ordering::Relaxed);
    assert_eq!(brief(&ask(&dns, "a.signed", RecordType::A).await), Ok(("a.signed", SECURE)));
}

/// Attack: names as deep as can be, and chains of zones, are to make us ask without end.
#[tokio::test]
async fn questions_for_one_lookup_are_bounded() {
    let mut lab = lab();
    let mut zone = "signed.".to_owned();
    for _ in 0..60 {
        zone = format!("z.{zone}");
        lab.zone(&zone, Signing::Good);
    }
    let deep = format!("a.{zone}");
    lab.add(&deep, ip(1));
    let anchor = lab.anchor();
    let server = lab.serve().await;
    let dns = validating(&server, anchor);
    let got = ask(&dns, &deep, RecordType::A).await;
    assert!(got.is_err(), "{got:?}");
    let asked = u32::try_from(server.asked()).unwrap();
    assert!(asked <= QUESTIONS_PER_LOOKUP_MAX, "{asked}");
    // A name with many labels alone is answered.
    let many = format!("{}signed", "a.".repeat(30));
    assert_eq!(ask(&dns, &many, RecordType::A).await, Err(NOT_THERE(false, SECURE)));
    let many = format!("{}plain", "a.".repeat(30));
    assert_eq!(ask(&dns, &many, RecordType::A).await, Err(NOT_THERE(false, INSECURE)));
}
