//! What [`StubAd`] makes of what servers say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, CNAME, MX, NS, PTR, SOA, SRV, TLSA, TXT};
use hickory_proto::rr::{Name as WireName, RData, Record};
use mox_dns::{
    Data, DnsError, Lookups as _, Name, RecordType, Resolver as _, Security, Tlsa, Trouble,
};

use super::exchange::STRAYS_MAX;
use super::scripted::{By, Scripted, empty, framed, with};
use super::{ResolvConf, StubAd};
use crate::SystemRng;

fn stub(servers: &[SocketAddr]) -> StubAd {
    let timeout = Duration::from_secs(5);
    let conf = ResolvConf { servers: servers.to_vec(), timeout, ..ResolvConf::default() };
    StubAd::new(conf, Arc::new(SystemRng))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn wire(text: &str) -> WireName {
    WireName::from_ascii(text).unwrap()
}

fn ip(last: u8) -> RData {
    RData::A(A::new(192, 0, 2, last))
}

fn alias(target: &str) -> RData {
    RData::CNAME(CNAME(wire(target)))
}

fn soa(minimum: u32) -> RData {
    RData::SOA(SOA::new(wire("ns.example."), wire("admin.example."), 1, 2, 3, 4, minimum))
}

const NOT_THERE: fn(bool, u32) -> DnsError =
    |exists, ttl_secs| DnsError::NotFound { exists, security: Security::Insecure, ttl_secs };
const TEMPORARY: fn(Trouble) -> DnsError = DnsError::Temporary;

/// Asks for the addresses of `a.example` and compares canonical name and TTL, or the error.
async fn check(
    what: &str,
    answer: impl Fn(&Message) -> Message + Send + Sync + 'static,
    want: Result<(&str, u32), DnsError>,
) {
    let server = Scripted::answering(answer).await;
    let got = stub(&[server.addr]).lookup(&name("a.example"), RecordType::A).await;
    let got = got.map(|found| (found.canonical, found.ttl_secs));
    assert_eq!(got, want.map(|(canonical, ttl)| (name(canonical), ttl)), "{what}");
}

/// RFC 1034 §3.6.2, RFC 2181 §8, RFC 2308 §5.
#[tokio::test]
async fn answers_are_read() {
    check("one", |q| with(q, &[("a.example.", 60, ip(1))]), Ok(("a.example", 60))).await;
    check("case", |q| with(q, &[("A.Example.", 60, ip(1))]), Ok(("a.example", 60))).await;
    let two = |q: &Message| with(q, &[("a.example.", 60, ip(1)), ("a.example.", 50, ip(2))]);
    check("least TTL", two, Ok(("a.example", 50))).await;
    let ttl = |q: &Message| with(q, &[("a.example.", 1 << 31, ip(1))]);
    check("TTL with the highest bit", ttl, Ok(("a.example", 0))).await;
    let chain = |q: &Message| {
        // In any order, with something else among it.
        let (b, c) = (alias("b.example."), alias("c.example."));
        with(
            q,
            &[
                ("c.example.", 60, ip(1)),
                ("x.example.", 1, ip(9)),
                ("a.example.", 40, b),
                ("b.example.", 50, c),
            ],
        )
    };
    check("aliases", chain, Ok(("c.example", 40))).await;
    let nothing = |q: &Message| with(q, &[("x.example.", 60, ip(1))]);
    check("of another name", nothing, Err(NOT_THERE(true, 0))).await;
}

/// RFC 2308 §2.1, §2.2, §5.
#[tokio::test]
async fn absence_is_told_with_its_time() {
    let with_soa = |code, owner: &'static str, ttl, minimum| {
        move |q: &Message| {
            let mut answer = empty(q, code);
            answer.add_authority(Record::from_rdata(wire(owner), ttl, soa(minimum)));
            answer
        }
    };
    use ResponseCode::{NXDomain, NoError};
    check("name", with_soa(NXDomain, "example.", 60, 300), Err(NOT_THERE(false, 60))).await;
    check("kind", with_soa(NoError, "example.", 600, 300), Err(NOT_THERE(true, 300))).await;
    check("no SOA", |q| empty(q, NXDomain), Err(NOT_THERE(false, 0))).await;
    check("SOA of another", with_soa(NXDomain, "b.", 60, 300), Err(NOT_THERE(false, 0))).await;
    let to_nowhere = |q: &Message| {
        let mut answer = with(q, &[("a.example.", 7, alias("b.example."))]);
        answer.metadata.response_code = NXDomain;
        answer.add_authority(Record::from_rdata(wire("example."), 60, soa(60)));
        answer
    };
    check("alias to nowhere", to_nowhere, Err(NOT_THERE(false, 7))).await;
    let lame = |q: &Message| {
        let mut answer = empty(q, NoError);
        let ns = RData::NS(NS(wire("ns.example.")));
        answer.add_authority(Record::from_rdata(wire("example."), 60, ns));
        answer
    };
    check("referral", lame, Err(TEMPORARY(Trouble::Refused))).await;
}

/// RFC 1034 §5.2.2; attack: aliases that never end.
#[tokio::test]
async fn aliases_end() {
    let chain = |length: usize| {
        move |q: &Message| {
            let name =
                |n: usize| if n == 0 { "a.example.".into() } else { format!("n{n}.example.") };
            let mut answer = empty(q, ResponseCode::NoError);
            for n in 0..length {
                answer.add_answer(Record::from_rdata(wire(&name(n)), 60, alias(&name(n + 1))));
            }
            answer.add_answer(Record::from_rdata(wire(&name(length)), 60, ip(1)));
            answer
        }
    };
    check("longest", chain(16), Ok(("n16.example", 60))).await;
    check("too long", chain(17), Err(TEMPORARY(Trouble::Malformed))).await;
    let circle = |q: &Message| {
        let (b, a) = (alias("b.example."), alias("a.example."));
        with(q, &[("a.example.", 60, b), ("b.example.", 60, a)])
    };
    check("circle", circle, Err(TEMPORARY(Trouble::Malformed))).await;
    let itself = |q: &Message| with(q, &[("a.example.", 60, alias("a.example."))]);
    check("itself", itself, Err(TEMPORARY(Trouble::Malformed))).await;
    // A dot inside a label is not one between labels.
    let dotted = |q: &Message| {
        with(q, &[("a.example.", 60, alias(r"b\.example.")), (r"b\.example.", 60, ip(1))])
    };
    check("dot in a label", dotted, Err(TEMPORARY(Trouble::Malformed))).await;
}

/// RFC 8914 §4.
#[tokio::test]
async fn errors_are_told_apart() {
    let failed = |code| move |q: &Message| empty(q, code);
    check("SERVFAIL", failed(ResponseCode::ServFail), Err(TEMPORARY(Trouble::ServerFailure))).await;
    check("REFUSED", failed(ResponseCode::Refused), Err(TEMPORARY(Trouble::Refused))).await;
    check("NOTIMP", failed(ResponseCode::NotImp), Err(TEMPORARY(Trouble::Refused))).await;
    check("FORMERR", failed(ResponseCode::FormErr), Err(TEMPORARY(Trouble::Malformed))).await;
    check("YXDOMAIN", failed(ResponseCode::YXDomain), Err(TEMPORARY(Trouble::ServerFailure))).await;
    let explained = |code: u16, text: usize| {
        move |q: &Message| {
            let mut answer = empty(q, ResponseCode::ServFail);
            let mut data = code.to_be_bytes().to_vec();
            data.truncate(text);
            let mut edns = Edns::new();
            let option = (EdnsCode::from(15), EdnsOption::Unknown(15, data));
            edns.options_mut().options.push(option);
            answer.set_edns(edns);
            answer
        }
    };
    for code in [1, 2, 5, 6, 7, 8, 9, 10, 11, 12] {
        check(&format!("EDE {code}"), explained(code, 2), Err(DnsError::Bogus)).await;
    }
    for code in [0, 3, 4, 13, 22, 262] {
        let want = Err(TEMPORARY(Trouble::ServerFailure));
        check(&format!("EDE {code}"), explained(code, 2), want).await;
    }
    let want = Err(TEMPORARY(Trouble::ServerFailure));
    check("cut EDE", explained(6, 1), want).await;
}

/// RFC 4035 §4.9.3, RFC 6840 §5.7; signatures are asked for: RFC 4035 §3.2.1.
#[tokio::test]
async fn a_server_on_this_machine_is_believed() {
    let server = Scripted::answering(|question| {
        let edns = question.edns.as_ref().unwrap();
        assert!(edns.flags().dnssec_ok && edns.max_payload() == 1232);
        assert!(question.metadata.recursion_desired && question.metadata.authentic_data);
        assert!(!question.metadata.checking_disabled);
        let mut answer = with(question, &[("a.example.", 60, ip(1))]);
        answer.metadata.authentic_data = question.queries[0].name == wire("a.example.");
        answer
    })
    .await;
    let stub = stub(&[server.addr]);
    let found = stub.ipv4(&name("a.example")).await.unwrap();
    assert_eq!(found.security, Security::Secure);
    let missing = stub.ipv4(&name("b.example")).await.unwrap_err();
    assert_eq!(missing, NOT_THERE(true, 0));
}

/// RFC 1035 §3.3, RFC 2782, RFC 3596 §2.1, RFC 6698 §2.1.
#[tokio::test]
async fn all_kinds_are_read() {
    let mx = |n, to: &str| RData::MX(MX::new(n, wire(to)));
    let server = Scripted::answering(move |q| {
        let tlsa = TLSA::new(3.into(), 1.into(), 1.into(), vec![7; 32]);
        let text = TXT::new(vec!["v=spf1 ".into(), "-all".into()]);
        with(
            q,
            &[
                ("a.example.", 60, mx(20, "b.example.")),
                ("a.example.", 60, mx(10, ".")),
                ("a.example.", 60, mx(5, r"odd\.name.example.")),
                ("a.example.", 60, RData::NS(NS(wire("ns.example.")))),
                ("a.example.", 60, RData::PTR(PTR(wire("Host.example.")))),
                ("a.example.", 60, RData::SRV(SRV::new(1, 2, 25, wire("c.example.")))),
                ("a.example.", 60, RData::TLSA(tlsa)),
                ("a.example.", 60, RData::TXT(text)),
                ("a.example.", 60, RData::AAAA("2001:db8::1".parse().unwrap())),
                ("a.example.", 60, ip(1)),
            ],
        )
    })
    .await;
    let stub = stub(&[server.addr]);
    let at = name("a.example");
    // A record with a name that cannot be one is left out; the others are used.
    let mx = stub.mx(&at).await.unwrap().records;
    assert_eq!(mx, [(10, Name::root()), (20, name("b.example"))]);
    assert_eq!(stub.txt(&at).await.unwrap().records, [b"v=spf1 -all".to_vec()]);
    let tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
    assert_eq!(stub.tlsa(&at).await.unwrap().records, [tlsa]);
    assert_eq!(stub.ips(&at).await.unwrap().records.len(), 2);
    let srv = Data::Srv { priority: 1, weight: 2, port: 25, target: name("c.example") };
    let ns = Data::Ns(name("ns.example"));
    let ptr = Data::Ptr(name("host.example"));
    for (kind, want) in [(RecordType::Srv, srv), (RecordType::Ns, ns), (RecordType::Ptr, ptr)] {
        assert_eq!(stub.lookup(&at, kind).await.unwrap().records, [want], "{kind}");
    }
}

/// RFC 7766 §5; RFC 1035 §4.2.1.
#[tokio::test]
async fn what_is_cut_off_comes_by_tcp() {
    let text = || RData::TXT(TXT::new((0..250).map(|_| "x".repeat(200)).collect()));
    let server = Scripted::start(move |q, by| {
        let mut answer = with(q, &[("a.example.", 60, text())]);
        if by == By::Udp {
            answer = empty(q, ResponseCode::NoError);
            answer.metadata.truncation = true;
        }
        vec![framed(&answer, by)]
    })
    .await;
    let found = stub(&[server.addr]).txt(&name("a.example")).await.unwrap();
    assert_eq!(found.records[0].len(), 50_000);
    assert_eq!(server.asked(), 2);
}

/// By TCP an answer is whole, or none.
#[tokio::test]
async fn tcp_that_ends_early_is_no_answer() {
    type Cut = fn(Vec<u8>) -> Vec<u8>;
    let cuts: [(Cut, &str); 4] = [
        (|_| Vec::new(), "nothing"),
        (|bytes| bytes[..1].to_vec(), "half a length"),
        (|bytes| bytes[..bytes.len() - 1].to_vec(), "less than the length"),
        (|_| vec![0, 0], "no message"),
    ];
    for (cut, what) in cuts {
        let server = Scripted::start(move |q, by| {
            assert_eq!(by, By::Tcp);
            vec![cut(framed(&with(q, &[("a.example.", 60, ip(1))]), by))]
        })
        .await;
        let conf = ResolvConf { servers: vec![server.addr], tcp_only: true, ..Default::default() };
        let stub = StubAd::new(conf, Arc::new(SystemRng));
        let error = stub.ipv4(&name("a.example")).await.unwrap_err();
        assert_eq!(error, TEMPORARY(Trouble::Malformed), "{what}");
    }
}

/// RFC 5452 §9.1; attack: somebody answers before the server does.
#[tokio::test]
async fn what_does_not_match_the_question_is_not_taken() {
    let server = Scripted::start(|q, by| {
        let good = with(q, &[("a.example.", 60, ip(1))]);
        let mut stray = with(q, &[("a.example.", 60, ip(66))]);
        stray.metadata.id ^= 1;
        vec![b"?".to_vec(), framed(&stray, by), framed(&good, by)]
    })
    .await;
    let found = stub(&[server.addr]).ipv4(&name("a.example")).await.unwrap();
    assert_eq!(found.records[0].to_string(), "192.0.2.1");
    let other = |q: &Message| {
        let mut answer = with(q, &[("a.example.", 60, ip(66))]);
        answer.queries[0].name = wire("b.example.");
        answer
    };
    check("another question", other, Err(TEMPORARY(Trouble::Malformed))).await;
    let echo = |q: &Message| q.clone();
    check("the question itself", echo, Err(TEMPORARY(Trouble::Malformed))).await;
    let none = |q: &Message| {
        let mut answer = with(q, &[("a.example.", 60, ip(66))]);
        answer.queries.clear();
        answer
    };
    check("no question", none, Err(TEMPORARY(Trouble::Malformed))).await;
}

/// RFC 5452 §9.1: many wrong numbers are an attempt to guess it, and TCP ends that.
#[tokio::test]
async fn guessers_are_evaded_by_tcp() {
    let server = Scripted::start(|q, by| {
        let good = with(q, &[("a.example.", 60, ip(1))]);
        let mut stray = with(q, &[("a.example.", 60, ip(66))]);
        stray.metadata.id ^= 1;
        match by {
            By::Udp => vec![framed(&stray, by); STRAYS_MAX],
            By::Tcp => vec![framed(&good, by)],
        }
    })
    .await;
    let found = stub(&[server.addr]).ipv4(&name("a.example")).await.unwrap();
    assert_eq!(found.records[0].to_string(), "192.0.2.1");
}

/// RFC 1035 §7.2: another server may know.
#[tokio::test]
async fn another_server_is_asked_when_one_fails() {
    let good = Scripted::answering(|q| with(q, &[("a.example.", 60, ip(1))])).await;
    let failing = Scripted::answering(|q| empty(q, ResponseCode::ServFail)).await;
    let found = stub(&[failing.addr, good.addr]).ipv4(&name("a.example")).await;
    assert_eq!(found.unwrap().records.len(), 1);
    // What a server says in its own words it would say again.
    assert_eq!((failing.asked(), good.asked()), (1, 1));
    // Nobody has it: tests bind 127.0.0.1, and questions go out from high ports.
    let gone = SocketAddr::from(([127, 3, 1, 7], 1));
    let found = stub(&[gone, good.addr]).ipv4(&name("a.example")).await;
    assert_eq!(found.unwrap().records.len(), 1);
    let nobody = stub(&[gone]).ipv4(&name("a.example")).await.unwrap_err();
    assert_eq!(nobody, TEMPORARY(Trouble::Unreachable));
    let failure = stub(&[failing.addr, gone]).ipv4(&name("a.example")).await.unwrap_err();
    assert_eq!(failure, TEMPORARY(Trouble::ServerFailure));
}

/// RFC 6891 §7.
#[tokio::test]
async fn servers_without_edns_are_asked_without() {
    let server = Scripted::answering(|q| match q.edns {
        Some(_) => empty(q, ResponseCode::FormErr),
        None => with(q, &[("a.example.", 60, ip(1))]),
    })
    .await;
    assert!(stub(&[server.addr]).ipv4(&name("a.example")).await.is_ok());
    assert_eq!(server.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_after_all_attempts() {
    let (one, other) = (Scripted::silent().await, Scripted::silent().await);
    let started = tokio::time::Instant::now();
    let stub = stub(&[one.addr, other.addr]);
    let error = stub.ipv4(&name("a.example")).await.unwrap_err();
    assert_eq!(error, TEMPORARY(Trouble::Timeout));
    assert_eq!(started.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_ends_whatever_the_file_says() {
    let silent = Scripted::silent().await;
    let timeout = Duration::from_secs(29);
    let conf =
        ResolvConf { servers: vec![silent.addr; 3], timeout, attempts: 5, ..Default::default() };
    let started = tokio::time::Instant::now();
    let stub = StubAd::new(conf, Arc::new(SystemRng));
    let error = stub.ipv4(&name("a.example")).await.unwrap_err();
    assert_eq!(error, TEMPORARY(Trouble::Timeout));
    assert_eq!(started.elapsed(), super::LOOKUP_WAIT);
}
