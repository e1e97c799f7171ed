use std::collections::BTreeMap;

use mox_dns::{FakeDns, Name, Pending, RecordType, SilentDns};
use mox_testkit::{ManualClock, TestRng};
use mox_tlspolicy::failure::TlsFailure;
use mox_tlspolicy::mtasts::Mode;
use mox_tlspolicy::pkix::CertFault;
use tokio_util::sync::CancellationToken;

use super::*;

const DAY: i64 = 86_400;

fn domain() -> Domain {
    Domain::parse("example.org").unwrap()
}

fn policy(mode: &str, max_age: i64) -> String {
    format!("version: STSv1\nmode: {mode}\nmx: mx.example.org\nmax_age: {max_age}\n")
}

/// DNS that can be changed.
#[derive(Default)]
struct Dns(Mutex<Arc<FakeDns>>);

impl Resolver for Dns {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        let dns = Arc::clone(&self.0.lock());
        Box::pin(async move { dns.lookup(name, kind).await })
    }
}

/// Policies by domain, and how often somebody asked.
#[derive(Default)]
struct Policies {
    all: Mutex<BTreeMap<Domain, Result<String, FetchError>>>,
    asked: Mutex<u32>,
}

impl Fetch for Policies {
    fn fetch<'a>(&'a self, domain: &'a Domain) -> Fetching<'a> {
        *self.asked.lock() += 1;
        let found = self.all.lock().get(domain).cloned().unwrap_or(Err(FetchError::NoHost));
        Box::pin(async move {
            tokio::task::yield_now().await;
            found.map(String::into_bytes)
        })
    }
}

struct Lab {
    sts: MtaSts,
    db: ReportDb,
    dns: Arc<Dns>,
    policies: Arc<Policies>,
    clock: ManualClock,
    _dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = ReportDb::open(&dir.path().join("reports.db")).unwrap();
        let (dns, policies) = (Arc::<Dns>::default(), Arc::<Policies>::default());
        let clock = ManualClock::at(UnixSeconds(1_767_225_600));
        let (resolver, fetch): (Arc<dyn Resolver>, Arc<dyn Fetch>) =
            (dns.clone(), policies.clone());
        let times = Arc::new(clock.clone());
        let sts = MtaSts::new(db.clone(), resolver, fetch, times, Arc::new(TestRng::new(1)));
        Self { sts, db, dns, policies, clock, _dir: dir }
    }

    /// The texts at `_mta-sts.example.org`.
    fn set_record(&self, texts: &[&str]) {
        let mut dns = FakeDns::new();
        for text in texts {
            dns.add_txt("_mta-sts.example.org", text);
        }
        *self.dns.0.lock() = Arc::new(dns);
    }

    fn break_dns(&self) {
        let mut dns = FakeDns::new();
        let error = DnsError::Temporary(Trouble::ServerFailure);
        dns.fail("_mta-sts.example.org", RecordType::Txt, error);
        *self.dns.0.lock() = Arc::new(dns);
    }

    fn set_policy(&self, policy: Result<String, FetchError>) {
        self.policies.all.lock().insert(domain(), policy);
    }

    fn pass(&self, secs: i64) {
        self.clock.set(self.clock.now().plus_secs(secs));
    }

    /// The mode, the reason of a failure, and how often the policy was fetched for it.
    async fn get(&self) -> (Option<Mode>, String, u32) {
        *self.policies.asked.lock() = 0;
        let found = self.sts.get(&domain()).await.unwrap();
        let reason =
            found.failure.map(|one| format!("{} {}", one.result_type.as_str(), one.reason));
        assert!(self.sts.inner.busy.lock().is_empty());
        let asked = *self.policies.asked.lock();
        (found.policy.map(|policy| policy.mode), reason.unwrap_or_default(), asked)
    }

    async fn refresh(&self) {
        *self.policies.asked.lock() = 0;
        self.sts.inner.refresh(&domain()).await;
    }

    fn cached(&self) -> Option<StsEntry> {
        self.db.sts_get(&domain()).unwrap()
    }
}

const NONE: &str = "";

/// RFC 8461 §3.3, §5.1.
#[tokio::test]
async fn a_policy_is_fetched_once_for_a_record() {
    let lab = Lab::new();
    assert_eq!(lab.get().await, (None, NONE.into(), 0));
    lab.set_record(&["v=STSv1; id=1", "v=spf1 -all"]);
    lab.set_policy(Ok(policy("enforce", DAY)));
    assert_eq!(lab.get().await, (Some(Mode::Enforce), NONE.into(), 1));
    assert_eq!(lab.get().await, (Some(Mode::Enforce), NONE.into(), 0));
    // Another one.
    lab.set_policy(Ok(policy("testing", DAY)));
    assert_eq!(lab.get().await, (Some(Mode::Enforce), NONE.into(), 0));
    lab.set_record(&["v=STSv1; id=2"]);
    assert_eq!(lab.get().await, (Some(Mode::Testing), NONE.into(), 1));
    assert_eq!(lab.get().await, (Some(Mode::Testing), NONE.into(), 0));
    // At its end it is fetched again.
    lab.set_policy(Ok(policy("none", DAY)));
    lab.pass(DAY - 1);
    assert_eq!(lab.get().await, (Some(Mode::Testing), NONE.into(), 0));
    lab.pass(1);
    assert_eq!(lab.get().await, (Some(Mode::None), NONE.into(), 1));
}

/// RFC 8461 §5.1, §10.2: whoever stands in the way cannot take a policy away before its end.
#[tokio::test]
async fn a_cached_policy_outlives_its_record_and_its_host() {
    let lab = Lab::new();
    lab.set_record(&["v=STSv1; id=1"]);
    lab.set_policy(Ok(policy("enforce", DAY)));
    lab.get().await;
    let enforced = (Some(Mode::Enforce), NONE.to_owned(), 0);
    for texts in [&[][..], &["v=STSv1; broken"], &["v=STSv1; id=2", "v=STSv1; id=3"]] {
        lab.set_record(texts);
        assert_eq!(lab.get().await, enforced, "{texts:?}");
    }
    lab.break_dns();
    assert_eq!(lab.get().await, enforced);
    lab.set_record(&["v=STSv1; id=2"]);
    for (fetched, reason) in [
        (Err(FetchError::Status(404)), "sts-policy-fetch-error http-status-404"),
        (Err(FetchError::NoHost), "sts-policy-fetch-error no-policy-host"),
        (Ok("version: STSv2\n".to_owned()), "sts-policy-invalid policy-bad-version"),
    ] {
        lab.set_policy(fetched);
        let want = format!("{reason}+fallback-to-cached-policy");
        assert_eq!(lab.get().await, (Some(Mode::Enforce), want, 1));
        // Not with each message.
        let want = "sts-policy-fetch-error back-off-after-recent-fetch-error\
                    +fallback-to-cached-policy";
        lab.pass(BACKOFF_SECS - 1);
        assert_eq!(lab.get().await, (Some(Mode::Enforce), want.to_owned(), 0));
        lab.pass(1);
    }
    // But not its own end.
    lab.pass(DAY);
    let (mode, _, _) = lab.get().await;
    assert_eq!(mode, None);
}

/// RFC 8460 §4.3.2.2.
#[tokio::test]
async fn without_a_policy_mail_goes_on_and_the_report_says_why() {
    let cert = |fault| Err(FetchError::Certificate(TlsFailure::Certificate(fault)));
    for (fetched, reason) in [
        (cert(CertFault::Expired), "sts-webpki-invalid certificate-expired"),
        (cert(CertFault::OtherName), "sts-webpki-invalid certificate-host-mismatch"),
        (cert(CertFault::NoRoots), "sts-webpki-invalid no-system-roots"),
        (
            Err(FetchError::Tls(TlsFailure::NotTls)),
            "sts-policy-fetch-error tls-record-header-error",
        ),
        (Err(FetchError::Status(301)), "sts-policy-fetch-error http-status-301"),
        (Err(FetchError::Status(500)), "sts-policy-fetch-error http-status-500"),
        (Err(FetchError::TooLarge), "sts-policy-invalid policy-too-large"),
        (Err(FetchError::TimedOut), "sts-policy-fetch-error timeout"),
        (Err(FetchError::Connection), "sts-policy-fetch-error connection-error"),
        (Err(FetchError::NotHttp), "sts-policy-fetch-error http-error"),
        (Err(FetchError::Dns(DnsError::Bogus)), "sts-policy-fetch-error dns-error"),
        (Ok(String::new()), "sts-policy-invalid policy-bad-version"),
        (
            Ok("version: STSv1\nmode: enforce\nmax_age: 1\n".into()),
            "sts-policy-invalid policy-no-mx",
        ),
    ] {
        let lab = Lab::new();
        lab.set_record(&["v=STSv1; id=1"]);
        lab.set_policy(fetched);
        assert_eq!(lab.get().await, (None, reason.to_owned(), 1));
        // Not again for a while, whatever the record says by now.
        lab.set_policy(Ok(policy("enforce", DAY)));
        lab.set_record(&["v=STSv1; id=2"]);
        lab.pass(BACKOFF_SECS - 1);
        let backoff = "sts-policy-fetch-error back-off-after-recent-fetch-error".to_owned();
        assert_eq!(lab.get().await, (None, backoff, 0));
        lab.pass(1);
        assert_eq!(lab.get().await, (Some(Mode::Enforce), NONE.into(), 1));
    }
}

#[tokio::test]
async fn records_that_cannot_be_used_are_none() {
    let lab = Lab::new();
    lab.set_policy(Ok(policy("enforce", DAY)));
    for (texts, reason) in [
        (&["v=STSv1; broken"][..], "sts-policy-invalid malformed-record"),
        (&["v=STSv1; id=1", "v=STSv1; id=2"], "sts-policy-invalid multiple-records"),
        (&["v=spf1 -all"], NONE),
    ] {
        lab.set_record(texts);
        assert_eq!(lab.get().await, (None, reason.to_owned(), 0), "{texts:?}");
        assert_eq!(lab.cached(), None);
    }
    // A name that would be too long has no record.
    let long = [63, 63, 63, 60].map(|length| "a".repeat(length)).join(".");
    let found = lab.sts.get(&Domain::parse(&long).unwrap()).await.unwrap();
    assert_eq!(found, StsLookup::default());
}

#[tokio::test]
async fn when_dns_fails_and_nothing_is_known_mail_waits() {
    let lab = Lab::new();
    lab.break_dns();
    let error = lab.sts.get(&domain()).await.unwrap_err();
    assert_eq!(error, StsTemporary(DnsError::Temporary(Trouble::ServerFailure)));
    assert_eq!(lab.cached(), None);
}

#[tokio::test]
async fn many_deliveries_at_once_fetch_once() {
    let lab = Lab::new();
    lab.set_record(&["v=STSv1; id=1"]);
    lab.set_policy(Ok(policy("enforce", DAY)));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let sts = lab.sts.clone();
            tokio::spawn(async move { sts.get(&domain()).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().policy.unwrap().mode, Mode::Enforce);
    }
    assert_eq!(*lab.policies.asked.lock(), 1);
    assert!(lab.sts.inner.busy.lock().is_empty());
}

/// Slow DNS keeps each delivery for itself, and not those behind it.
#[tokio::test(start_paused = true)]
async fn deliveries_do_not_wait_for_the_look_ups_of_others() {
    let lab = Lab::new();
    let (fetch, times) = (lab.policies.clone(), Arc::new(lab.clock.clone()));
    let rng = Arc::new(TestRng::new(1));
    let sts = MtaSts::new(lab.db.clone(), Arc::new(SilentDns), fetch, times, rng);
    let started = Instant::now();
    let one = domain();
    let all = tokio::join!(sts.get(&one), sts.get(&one), sts.get(&one));
    for found in [all.0, all.1, all.2] {
        assert_eq!(found, Err(StsTemporary(DnsError::Temporary(Trouble::Timeout))));
    }
    assert!(started.elapsed() < 2 * RECORD_WAIT, "{:?}", started.elapsed());
}

#[tokio::test]
async fn refreshing_extends_fetches_or_forgets() {
    let lab = Lab::new();
    lab.set_record(&["v=STSv1; id=1"]);
    lab.set_policy(Ok(policy("enforce", 7 * DAY)));
    lab.get().await;
    let first = lab.cached().unwrap();
    lab.pass(DAY);
    // The same record: the policy is good for its time from now on, and counts as not used.
    lab.refresh().await;
    let second = lab.cached().unwrap();
    assert_eq!(*lab.policies.asked.lock(), 0);
    assert_eq!(second.valid_end, first.valid_end.plus_secs(DAY));
    assert_eq!((second.updated, second.used), (lab.clock.now(), first.used));
    // Another one that cannot be had changes nothing; nor does DNS that fails.
    lab.set_record(&["v=STSv1; id=2"]);
    lab.set_policy(Err(FetchError::Status(500)));
    lab.refresh().await;
    lab.break_dns();
    lab.refresh().await;
    lab.set_record(&[]);
    lab.refresh().await;
    assert_eq!(lab.cached().unwrap(), second);
    // One that can is taken.
    lab.set_record(&["v=STSv1; id=2"]);
    lab.set_policy(Ok(policy("none", 7 * DAY)));
    lab.refresh().await;
    let third = lab.cached().unwrap();
    assert_eq!(
        (third.record_id.as_str(), third.used, third.inserted),
        ("2", first.used, first.inserted)
    );
    // RFC 8461 §8.3: none, and then no record.
    lab.break_dns();
    lab.refresh().await;
    assert_eq!(lab.cached().as_ref(), Some(&third));
    lab.set_record(&[]);
    lab.refresh().await;
    assert_eq!(lab.cached(), None);
}

#[tokio::test]
async fn a_policy_that_has_ended_is_fetched_though_its_record_is_the_same() {
    let lab = Lab::new();
    lab.set_record(&["v=STSv1; id=1"]);
    lab.set_policy(Ok(policy("enforce", DAY)));
    lab.get().await;
    lab.pass(DAY);
    lab.refresh().await;
    assert_eq!(*lab.policies.asked.lock(), 1);
    assert_eq!(lab.cached().unwrap().valid_end, lab.clock.now().plus_secs(DAY));
}

#[tokio::test]
async fn what_is_fresh_or_unused_is_not_refreshed() {
    let lab = Lab::new();
    lab.set_record(&["v=STSv1; id=1"]);
    lab.set_policy(Ok(policy("enforce", 300 * DAY)));
    lab.get().await;
    let due = async || lab.sts.inner.due().await.unwrap().len();
    lab.pass(REFRESH_AFTER_SECS);
    assert_eq!(due().await, 0);
    lab.pass(1);
    assert_eq!(due().await, 1);
    lab.pass(UNUSED_KEEP_SECS - REFRESH_AFTER_SECS - 1);
    assert_eq!(due().await, 1);
    lab.pass(1);
    assert_eq!(due().await, 0);
    assert_eq!(lab.cached(), None);
}

#[tokio::test]
async fn the_refresher_begins_at_once_and_stops_when_told() {
    let lab = Lab::new();
    lab.set_record(&["v=STSv1; id=1"]);
    lab.set_policy(Ok(policy("enforce", 7 * DAY)));
    lab.get().await;
    lab.pass(DAY);
    let stopping = CancellationToken::new();
    let task = tokio::spawn({
        let (sts, stopping) = (lab.sts.clone(), stopping.clone());
        async move { sts.keep_fresh(stopping).await }
    });
    while lab.cached().unwrap().updated != lab.clock.now() {
        tokio::task::yield_now().await;
    }
    stopping.cancel();
    task.await.unwrap();
}
