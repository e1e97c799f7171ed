//! DANE, MTA-STS and REQUIRETLS with a server whose certificate is known, and what is told of them.

use mox_base::{Domain, UnixSeconds};
use mox_dns::{Data, DnsError, FakeDns, RecordType, Tlsa, Trouble};
use mox_queue::NewMessage;
use mox_reportdb::StsEntry;
use mox_tlspolicy::dane::{Matching, Selector};
use mox_tlspolicy::pkix::Roots;
use tokio::time::timeout;

use crate::remote::{certificate, listen};
use crate::rig::{BYE, HELLO, Rig, TAKES, WAIT};
use crate::tls::{offers, over_tls};

/// What the zone of the server says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    /// It is not signed, and has records that do not fit.
    Open,
    /// It is signed, without records.
    Signed,
    /// With a record that fits.
    Fits,
    /// With one for another key.
    Other,
    /// With one that is not for SMTP.
    Unusable,
    /// The look-up of its records is bogus.
    Bogus,
}

/// The policy in the cache.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sts {
    None,
    /// DNS does not say whether there is one.
    Unknown,
    Testing(&'static str),
    Enforce(&'static str),
}

struct Case {
    zone: Zone,
    sts: Sts,
    demand: Option<bool>,
    /// Whether authorities vouch for the server.
    is_trusted: bool,
}

const PLAIN: Case = Case { zone: Zone::Open, sts: Sts::None, demand: None, is_trusted: false };

const LISTED: &str = "mx.one.example";

fn dns(case: &Case, port: u16) -> FakeDns {
    let mut dns = FakeDns::new();
    dns.add_mx("one.example", 10, "mx.one.example").add_ips("mx.one.example", &["127.0.0.1"]);
    let records = format!("_{port}._tcp.mx.one.example");
    let key = Selector::Spki.select(&certificate()).unwrap();
    let fits = Tlsa { usage: 3, selector: 1, matching: 1, data: Matching::Sha256.data(&key) };
    match case.zone {
        Zone::Open | Zone::Other => {
            dns.add(&records, Data::Tlsa(Tlsa { data: vec![7; 32], ..fits }));
        }
        Zone::Fits => {
            dns.add(&records, Data::Tlsa(fits));
        }
        Zone::Unusable => {
            dns.add(&records, Data::Tlsa(Tlsa { usage: 1, ..fits }));
        }
        Zone::Bogus => {
            dns.fail(&records, RecordType::Tlsa, DnsError::Bogus);
        }
        Zone::Signed => {}
    }
    if case.zone != Zone::Open {
        dns.sign("one.example");
    }
    if case.sts == Sts::Unknown {
        let error = DnsError::Temporary(Trouble::ServerFailure);
        dns.fail("_mta-sts.one.example", RecordType::Txt, error);
    }
    dns
}

fn cache(rig: &Rig, sts: Sts) {
    let (mode, mx) = match sts {
        Sts::None | Sts::Unknown => return,
        Sts::Testing(mx) => ("testing", mx),
        Sts::Enforce(mx) => ("enforce", mx),
    };
    let policy = format!("version: STSv1\nmode: {mode}\nmax_age: 86400\nmx: {mx}\n");
    let now = rig.now();
    let entry = StsEntry {
        domain: Domain::parse("one.example").unwrap(),
        inserted: now,
        valid_end: now.plus_secs(86_400),
        updated: now,
        used: now,
        record_id: "1".to_owned(),
        policy: Some(policy),
    };
    rig.reports.sts_put(&entry).unwrap();
}

/// What is told of the day: for each policy its domain and kind, successes, failures, and why.
fn told(rig: &Rig, now: UnixSeconds) -> String {
    let rows = rig.reports.tls_results_of_day(now.day(), None).unwrap();
    let results = rows.iter().flat_map(|row| row.result.results.iter());
    let lines = results.map(|result| {
        let (policy, sum) = (&result.policy, result.summary);
        let details = result.failure_details.iter().map(|one| {
            let reason = one.failure_reason_code.as_deref().unwrap_or_default();
            format!(" {}({reason})", one.result_type.as_str())
        });
        let (success, failure) =
            (sum.total_successful_session_count, sum.total_failure_session_count);
        let (domain, kind) = (&policy.policy_domain, policy.policy_type.as_str());
        format!("{domain} {kind} {success} {failure}{}", details.collect::<String>())
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// Runs one attempt against these scripts. `want`: whether messages came over which connection;
/// what became of the message; what is told.
async fn check(case: Case, scripts: &[&str], want: (&[usize], &str, &str)) {
    let (addr, played) = listen(scripts).await;
    let mut roots = Roots::default();
    if case.is_trusted {
        roots.add(&certificate()).unwrap();
    }
    let rig = Rig::asking(dns(&case, addr.port())).with_roots(roots);
    cache(&rig, case.sts);
    let message = rig.message("a@example.org", &["b@one.example"]);
    rig.queue(NewMessage { require_tls: case.demand, ..message });
    let running = rig.start(addr.port());
    let heard = timeout(WAIT, played).await.unwrap().unwrap();
    // Over when the message is gone, or waits with a result. Nobody tells of that.
    let is_settled = || {
        let waits = |message: &mox_queue::Queued| {
            message.results.last().is_some_and(|result| !result.text.is_empty())
        };
        rig.queued().first().is_none_or(waits)
    };
    let settled = async {
        while !is_settled() {
            tokio::task::yield_now().await;
        }
    };
    timeout(WAIT, settled).await.unwrap();
    running.stop().await;
    let taken: Vec<_> = heard.iter().map(|one| one.data.len()).collect();
    let outcome = match (rig.queued().first(), rig.retired().first()) {
        (Some(message), _) => format!("delayed {}", status(message.results.last().unwrap())),
        (None, Some(gone)) if gone.is_success => "delivered".to_owned(),
        (None, Some(gone)) => format!("failed {}", status(gone.message.results.last().unwrap())),
        (None, None) => "lost".to_owned(),
    };
    assert_eq!((&*taken, &*outcome, &*told(&rig, rig.now())), want);
}

fn status(result: &mox_queue::Attempt) -> String {
    let (class, subject, detail) = result.enhanced.unwrap_or_default();
    format!("{class}.{subject}.{detail}")
}

/// RFC 7672 §2.2, §3.1, §3.2.
#[tokio::test]
async fn dane_decides_where_the_zone_is_signed() {
    let zone = |zone| Case { zone, ..PLAIN };
    let tls = over_tls();
    let refused = offers("TLS");
    let plain = "one.example no-policy-found 1 0; mx.one.example no-policy-found 1 0";
    check(zone(Zone::Open), &[&tls], (&[1], "delivered", plain)).await;
    check(zone(Zone::Signed), &[&tls], (&[1], "delivered", plain)).await;
    let fits = "one.example no-policy-found 1 0; mx.one.example tlsa 1 0";
    check(zone(Zone::Fits), &[&tls], (&[1], "delivered", fits)).await;
    let unusable = "one.example no-policy-found 1 0; \
                    mx.one.example tlsa 0 1 tlsa-invalid(all-unusable-records+ignored)";
    check(zone(Zone::Unusable), &[&tls], (&[1], "delivered", unusable)).await;
    let other = "one.example no-policy-found 0 1 validation-failure(dane-no-match); \
                 mx.one.example tlsa 0 1 validation-failure(dane-no-match)";
    check(zone(Zone::Other), &[&refused], (&[0], "delayed 4.7.5", other)).await;
    let bogus = "mx.one.example tlsa 0 1 dnssec-invalid(dnssec-bogus)";
    check(zone(Zone::Bogus), &[], (&[], "delayed 4.7.5", bogus)).await;
}

/// RFC 8461 §5.
#[tokio::test]
async fn mta_sts_decides_where_it_is_enforced() {
    let sts = |sts, is_trusted| Case { sts, is_trusted, ..PLAIN };
    let (tls, refused) = (over_tls(), offers("TLS"));
    let host = "mx.one.example no-policy-found 1 0";
    let good = format!("one.example sts 1 0; {host}");
    check(sts(Sts::Enforce(LISTED), true), &[&tls], (&[1], "delivered", &good)).await;
    check(sts(Sts::Testing(LISTED), true), &[&tls], (&[1], "delivered", &good)).await;
    // The name fits: it is the host that is asked for, not the domain of the recipient.
    let untrusted = "certificate-not-trusted(no-system-roots)";
    let told = format!("one.example sts 0 1 {untrusted}; {host}");
    check(sts(Sts::Testing(LISTED), false), &[&tls], (&[1], "delivered", &told)).await;
    let told =
        format!("one.example sts 0 1 {untrusted}; mx.one.example no-policy-found 0 1 {untrusted}");
    check(sts(Sts::Enforce(LISTED), false), &[&refused], (&[0], "delayed 4.7.5", &told)).await;
    let unlisted = "one.example sts 0 1 validation-failure(mtasts-policy-mx-mismatch)";
    let told = format!("{unlisted}; {host}");
    check(sts(Sts::Testing("*.example"), true), &[&tls], (&[1], "delivered", &told)).await;
    check(sts(Sts::Enforce("*.example"), true), &[], (&[], "delayed 4.7.5", unlisted)).await;
    check(sts(Sts::Unknown, true), &[], (&[], "delayed 4.7.5", "")).await;
}

/// RFC 8461 §2: who passes one of them has not passed the other.
#[tokio::test]
async fn with_both_both_must_hold() {
    let both = |zone, is_trusted| Case { zone, is_trusted, sts: Sts::Enforce(LISTED), ..PLAIN };
    let (tls, refused) = (over_tls(), offers("TLS"));
    let told = "one.example sts 1 0; mx.one.example tlsa 1 0";
    check(both(Zone::Fits, true), &[&tls], (&[1], "delivered", told)).await;
    let told = "one.example sts 1 0; mx.one.example tlsa 0 1 validation-failure(dane-no-match)";
    check(both(Zone::Other, true), &[&refused], (&[0], "delayed 4.7.5", told)).await;
    let told = "one.example sts 0 1 certificate-not-trusted(no-system-roots); \
                mx.one.example tlsa 1 0";
    check(both(Zone::Fits, false), &[&refused], (&[0], "delayed 4.7.5", told)).await;
}

/// RFC 8689 §5.
#[tokio::test]
async fn tls_required_no_stops_at_nothing_and_tells() {
    let lenient = |zone, sts| Case { zone, sts, demand: Some(false), is_trusted: false };
    let tls = over_tls();
    let told = "one.example no-policy-found 1 0; \
                mx.one.example tlsa 0 1 validation-failure(dane-no-match)";
    check(lenient(Zone::Other, Sts::None), &[&tls], (&[1], "delivered", told)).await;
    let told = "one.example no-policy-found 1 0; \
                mx.one.example tlsa 0 1 dnssec-invalid(dnssec-bogus); \
                mx.one.example no-policy-found 1 0";
    check(lenient(Zone::Bogus, Sts::None), &[&tls], (&[1], "delivered", told)).await;
    let told = "one.example sts 0 1 certificate-not-trusted(no-system-roots); \
                mx.one.example no-policy-found 1 0";
    check(lenient(Zone::Open, Sts::Enforce(LISTED)), &[&tls], (&[1], "delivered", told)).await;
    let told = "one.example sts 0 1 validation-failure(mtasts-policy-mx-mismatch); \
                mx.one.example no-policy-found 1 0";
    check(lenient(Zone::Open, Sts::Enforce("*.example")), &[&tls], (&[1], "delivered", told)).await;
    let plain = format!("{}{TAKES}{BYE}", HELLO.replace("250 DSN", "250 STARTTLS"));
    let failure = "validation-failure(tls-record-header-error)";
    let told =
        format!("one.example no-policy-found 0 1 {failure}; mx.one.example tlsa 0 1 {failure}");
    let scripts = [&*offers("BADTLS"), &plain];
    check(lenient(Zone::Fits, Sts::None), &scripts, (&[0, 1], "delivered", &told)).await;
}

/// RFC 8689 §4.2.1.
#[tokio::test]
async fn requiretls_needs_proof_and_a_server_that_knows_it() {
    let strict = |zone, sts| Case { zone, sts, demand: Some(true), is_trusted: true };
    let knows = HELLO.replace("S: 220 hi", "").replace("250 DSN", "250 REQUIRETLS");
    let takes = TAKES.replace("a@example.org>", "a@example.org> REQUIRETLS");
    let tls = offers(&format!("TLS\n{knows}{takes}{BYE}"));
    let told = "one.example no-policy-found 1 0; mx.one.example tlsa 1 0";
    check(strict(Zone::Fits, Sts::None), &[&tls], (&[1], "delivered", told)).await;
    let told = "one.example sts 1 0; mx.one.example no-policy-found 1 0";
    check(strict(Zone::Open, Sts::Enforce(LISTED)), &[&tls], (&[1], "delivered", told)).await;
    // Nothing proves who it is: waiting does not help.
    for (zone, sts) in [(Zone::Open, Sts::None), (Zone::Open, Sts::Testing(LISTED))] {
        check(strict(zone, sts), &[], (&[], "failed 5.7.30", "")).await;
    }
    check(strict(Zone::Unusable, Sts::None), &[], (&[], "failed 5.7.30", "")).await;
    // It is proven, and does not pass the demand on.
    let unaware = offers(&format!("TLS\n{}{BYE}", HELLO.replace("S: 220 hi", "")));
    let told = "one.example no-policy-found 1 0; mx.one.example tlsa 1 0";
    check(strict(Zone::Fits, Sts::None), &[&unaware], (&[0], "failed 5.7.30", told)).await;
}
