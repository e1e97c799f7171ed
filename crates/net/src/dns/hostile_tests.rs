//! What servers may do to harm, and what comes of it: one table for both resolvers.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use hickory_proto::dnssec::rdata::{DNSSECRData, RRSIG};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, NS, TXT};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType as WireType};
use mox_dns::{Data, DnsError, Name, RecordType, Resolver as _, Trouble};
use mox_testkit::ManualClock;
use proptest::prelude::*;

use super::lab::{Lab, NEGATIVE_TTL_SECS, Signing, TTL_SECS, check_answer, wire};
use super::{
    CACHE_ENTRIES_MAX, Checks, LOOKUP_WAIT, ResolvConf, Servers, SystemOptions, SystemResolver,
};
use crate::SystemRng;

/// More than any lookup here takes, since nobody waits in vain.
const PATIENCE: Duration = Duration::from_secs(20);

/// The largest text that fits into an answer, in strings of 255 bytes, nearly.
const TEXT_BYTES: usize = 60_000;

fn ip(last: u8) -> RData {
    RData::A(A::new(192, 0, 2, last))
}

fn alias(target: &str) -> RData {
    RData::CNAME(CNAME(wire(target)))
}

fn lab() -> Lab {
    let mut lab = Lab::new();
    for (origin, signing) in [("signed.", Signing::Good), ("plain.", Signing::None)] {
        lab.zone(origin, signing).add(&format!("a.{origin}"), ip(1));
        let strings = vec!["x".repeat(250); TEXT_BYTES / 250];
        lab.add(&format!("text.{origin}"), RData::TXT(TXT::new(strings)));
        for number in 0..500 {
            let text = RData::TXT(TXT::new(vec![format!("{number:0100}")]));
            lab.add(&format!("texts.{origin}"), text);
        }
        for (from, to) in [("one", "other"), ("other", "one"), ("self", "self"), ("out", "x")] {
            lab.add(&format!("{from}.{origin}"), alias(&format!("{to}.{origin}")));
        }
        for number in 0..=16 {
            lab.add(&format!("n{number}.{origin}"), alias(&format!("n{}.{origin}", number + 1)));
        }
        lab.add(&format!("n17.{origin}"), ip(1));
        lab.add(&format!("nomail.{origin}"), RData::MX(MX::new(0, wire("."))));
        lab.add(&format!("dot.{origin}"), alias(&format!(r"a\.b.{origin}")));
    }
    lab
}

type Meddle = fn(&Lab, &mut Message);

/// What comes of a question: records and their bytes, or the error without its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Found(usize),
    NotFound { exists: bool },
    Bogus,
    Temporary(Trouble),
}

use Outcome::{Bogus, Found, NotFound, Temporary};

const MALFORMED: Outcome = Temporary(Trouble::Malformed);
const REFUSED: Outcome = Temporary(Trouble::Refused);
const FAILED: Outcome = Temporary(Trouble::ServerFailure);
const NOWHERE: Outcome = NotFound { exists: false };

struct Case(&'static str, &'static str, RecordType, Meddle, Outcome, Outcome);

async fn outcome(resolver: &SystemResolver, name: &Name, kind: RecordType) -> Outcome {
    match resolver.lookup(name, kind).await {
        Ok(found) => {
            assert!(found.ttl_secs <= TTL_SECS, "{name}");
            let texts = found.records.iter().map(|data| match data {
                Data::Txt(text) => text.len(),
                _ => 1,
            });
            Found(texts.sum())
        }
        Err(DnsError::NotFound { exists, ttl_secs, .. }) => {
            assert!(ttl_secs <= NEGATIVE_TTL_SECS, "{name}");
            NotFound { exists }
        }
        Err(DnsError::Bogus) => Bogus,
        Err(DnsError::Temporary(trouble)) => Temporary(trouble),
    }
}

/// Asks in a zone that is not signed and one that is: the servers are believed in the one, and we
/// check in the other.
async fn check(case: &Case) -> Vec<String> {
    let Case(what, name, kind, meddle, by_servers, own) = *case;
    let mut wrong = Vec::new();
    for (origin, checks, want) in
        [("plain", Checks::Servers, by_servers), ("signed", Checks::Own, own)]
    {
        let lab = lab();
        let anchors = Some(vec![lab.anchor()]);
        let at = wire(&format!("{name}.{origin}."));
        let on_the_way = move |lab: &Lab, answer: &mut Message| {
            if answer.queries[0].name == at {
                meddle(lab, answer);
            }
        };
        let server = lab.serve_with(on_the_way).await;
        let conf = ResolvConf { servers: vec![server.addr], ..ResolvConf::default() };
        let options = SystemOptions { servers: Servers::Given(conf), checks, anchors };
        let (clock, rng) = (Arc::new(ManualClock::default()), Arc::new(SystemRng));
        let resolver = SystemResolver::new(options, clock, rng);
        let name = Name::parse(&format!("{name}.{origin}")).unwrap();
        let started = Instant::now();
        let got = outcome(&resolver, &name, kind).await;
        let took = started.elapsed();
        if got != want || took > PATIENCE {
            wrong.push(format!("{what}, {checks:?}: {got:?} after {took:?}, not {want:?}"));
        }
        // Asked again at once, nobody is asked.
        let asked = server.asked();
        assert_eq!((outcome(&resolver, &name, kind).await, server.asked()), (got, asked), "{what}");
    }
    wrong
}

fn untouched(_: &Lab, _: &mut Message) {}

fn forged(answer: &mut Message, data: RData) {
    let name = answer.queries[0].name.clone();
    answer.add_answer(Record::from_rdata(name, TTL_SECS, data));
}

/// What a server that knows of another says, which one that looks things up for us should not.
fn referred(answer: &mut Message) {
    answer.answers.clear();
    answer.authorities.clear();
    let server = RData::NS(NS(wire("ns.elsewhere.")));
    answer.add_authority(Record::from_rdata(wire("."), TTL_SECS, server));
}

fn failed(answer: &mut Message, code: ResponseCode) {
    answer.answers.clear();
    answer.authorities.clear();
    answer.metadata.response_code = code;
}

/// Signatures that are none, each of which somebody has to check.
fn signed_often(answer: &mut Message) {
    let records = answer.answers.clone();
    let signature = records.iter().find_map(|one| match &one.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature.clone()),
        _ => None,
    });
    let Some(signature) = signature else { return };
    answer.answers.retain(|one| one.record_type() != WireType::RRSIG);
    for number in 0..200_u8 {
        let forged = RRSIG::from_sig(signature.input().clone(), vec![number; 64]);
        let name = answer.queries[0].name.clone();
        let data = RData::DNSSEC(DNSSECRData::RRSIG(forged));
        answer.add_answer(Record::from_rdata(name, TTL_SECS, data));
    }
}

fn denied_often(lab: &Lab, answer: &mut Message) {
    for _ in 0..100 {
        answer.authorities.extend(lab.denial("signed.", "a.signed.", "zz.signed."));
    }
}

/// Large answers, aliases, and servers that do not do their work.
fn unhelpful() -> Vec<Case> {
    use RecordType::{A, Mx, Txt};
    let case = Case;
    vec![
        // Large, and as it should be.
        case("a huge text", "text", Txt, untouched, Found(TEXT_BYTES), Found(TEXT_BYTES)),
        case("many texts", "texts", Txt, untouched, Found(50_000), Found(50_000)),
        case("no mail at all", "nomail", Mx, untouched, Found(1), Found(1)),
        case("the longest chain", "n1", A, untouched, Found(1), Found(1)),
        // Aliases without an end, or with a bad one.
        case("one alias more", "n0", A, untouched, MALFORMED, MALFORMED),
        case("a circle of two", "one", A, untouched, MALFORMED, MALFORMED),
        case("a circle of one", "self", A, untouched, MALFORMED, MALFORMED),
        case("an alias to nowhere", "out", A, untouched, NOWHERE, NOWHERE),
        case("a dot in a label", "dot", A, untouched, NOWHERE, NOWHERE),
        // Servers that do not do their work.
        case("lame", "a", A, |_, m| referred(m), REFUSED, REFUSED),
        case("REFUSED", "a", A, |_, m| failed(m, ResponseCode::Refused), REFUSED, REFUSED),
        case("SERVFAIL", "a", A, |_, m| failed(m, ResponseCode::ServFail), FAILED, FAILED),
        case("FORMERR", "a", A, |_, m| failed(m, ResponseCode::FormErr), MALFORMED, MALFORMED),
        case(
            "empty",
            "a",
            A,
            |_, m| failed(m, ResponseCode::NoError),
            NotFound { exists: true },
            Bogus,
        ),
        case("NXDOMAIN", "a", A, |_, m| failed(m, ResponseCode::NXDomain), NOWHERE, Bogus),
    ]
}

/// Answers that are none, or have something else in them.
fn damaged() -> Vec<Case> {
    use RecordType::{A, Txt};
    let case = Case;
    vec![
        // Answers that are none.
        case(
            "a question",
            "a",
            A,
            |_, m| m.metadata.message_type = MessageType::Query,
            MALFORMED,
            MALFORMED,
        ),
        case(
            "of another",
            "a",
            A,
            |_, m| m.queries[0].name = wire("b.plain."),
            MALFORMED,
            MALFORMED,
        ),
        case(
            "two questions",
            "a",
            A,
            |_, m| m.queries.push(m.queries[0].clone()),
            MALFORMED,
            MALFORMED,
        ),
        case("always cut off", "a", A, |_, m| m.metadata.truncation = true, MALFORMED, MALFORMED),
        // Answers with something else in them.
        case(
            "of another class",
            "a",
            A,
            |_, m| m.answers.iter_mut().for_each(|r| r.dns_class = DNSClass::CH),
            NotFound { exists: true },
            Bogus,
        ),
        case(
            "of another kind",
            "a",
            Txt,
            |_, m| forged(m, ip(66)),
            NotFound { exists: true },
            NotFound { exists: true },
        ),
        case("one more address", "a", A, |_, m| forged(m, ip(66)), Found(2), Bogus),
        case(
            "an alias beside it",
            "a",
            A,
            |_, m| forged(m, alias("evil.plain.")),
            Found(1),
            Found(1),
        ),
        case(
            "many addresses",
            "a",
            A,
            |_, m| (0..250).for_each(|last| forged(m, ip(last))),
            Found(251),
            Bogus,
        ),
        case("many signatures", "a", A, |_, m| signed_often(m), Found(1), Bogus),
        case("many denials", "b", A, denied_often, NOWHERE, Bogus),
    ]
}

/// RFC 1034 §5.2.2, RFC 1035 §7.3, RFC 2181 §5.4.1, RFC 5452 §9.1.
#[tokio::test]
async fn what_servers_do_to_harm_has_a_defined_outcome() {
    let mut wrong = Vec::new();
    for case in unhelpful().into_iter().chain(damaged()) {
        wrong.extend(check(&case).await);
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Attack: mail with ever new domains that do not exist is to open sockets and fill the memory.
#[tokio::test]
async fn storms_of_names_that_do_not_exist_pass() {
    const NAMES: usize = 2000;
    let lab = lab();
    let anchors = Some(vec![lab.anchor()]);
    let server = lab.serve().await;
    let conf = ResolvConf { servers: vec![server.addr], ..ResolvConf::default() };
    let checks = Checks::Servers;
    let options = SystemOptions { servers: Servers::Given(conf), checks, anchors };
    let (clock, rng) = (Arc::new(ManualClock::default()), Arc::new(SystemRng));
    let resolver = SystemResolver::new(options, clock, rng);
    let names = (0..NAMES).map(|number| Name::parse(&format!("x{number}.plain")).unwrap());
    let names: Vec<_> = names.collect();
    for _ in 0..2 {
        let asked = names.iter().map(|name| outcome(&resolver, name, RecordType::A));
        for got in futures_util::future::join_all(asked).await {
            assert_eq!(got, NOWHERE);
        }
    }
    let counts = resolver.counts();
    let wants = u64::try_from(NAMES).unwrap();
    assert_eq!((counts.asked, counts.not_found, counts.hits), (wants, wants, wants));
    assert!(server.asked() <= 2 * NAMES && counts.entries <= CACHE_ENTRIES_MAX);
}

/// Attack: a server that never answers is to keep us waiting.
#[tokio::test(start_paused = true)]
async fn silence_ends_for_all_who_ask() {
    let server = super::scripted::Scripted::silent().await;
    for checks in [Checks::Automatic, Checks::Servers, Checks::Own] {
        let timeout = super::TIMEOUT_MAX;
        let servers = vec![server.addr];
        let conf = ResolvConf { servers, timeout, attempts: 5, ..ResolvConf::default() };
        let options = SystemOptions { servers: Servers::Given(conf), checks, anchors: None };
        let (clock, rng) = (Arc::new(ManualClock::default()), Arc::new(SystemRng));
        let resolver = SystemResolver::new(options, clock, rng);
        let started = tokio::time::Instant::now();
        let names = ["a.plain", "b.plain", "a.signed"].map(|name| Name::parse(name).unwrap());
        let asked = names.iter().map(|name| outcome(&resolver, name, RecordType::A));
        let got = futures_util::future::join_all(asked).await;
        assert_eq!(got, [Temporary(Trouble::Timeout); 3], "{checks:?}");
        assert_eq!(started.elapsed(), LOOKUP_WAIT, "{checks:?}");
    }
}

/// An answer of the lab as bytes.
static BYTES: LazyLock<Vec<u8>> =
    LazyLock::new(|| lab().ask("n9.signed.", WireType::A).to_vec().unwrap());

proptest! {
    /// Whatever the bytes: no panic, and bounded work.
    #[test]
    fn damaged_answers_are_read_or_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        length in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = BYTES.clone();
        for (at, byte) in changes {
            // The number stays, so that the rest is looked at.
            let at = 2 + at.index(bytes.len() - 2);
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(length.index(bytes.len()));
        }
        check_answer(&bytes, &Name::parse("n9.signed").unwrap(), RecordType::A);
    }
}
