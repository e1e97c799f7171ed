//! DMARC: records and identifiers, with all outcomes of SPF and DKIM.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use mail_auth::dkim::Signature;
use mail_auth::dmarc::Policy as TheirPolicy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DmarcResult, DnsError as TheirDnsError, Error, SpfOutput,
    SpfResult,
};
use mox_base::Domain;
use mox_dns::{DnsError, FakeDns, RecordType, Trouble};
use mox_mailauth::dmarc::{
    self, Args, Authenticated, Identifier, Method, Policy, Problem, RecordError,
};

use crate::random::Random;
use crate::server::Other;
use crate::tally::{Tally, Verdict};

/// Records, right and not quite.
const RECORDS: &[&str] = &[
    "v=DMARC1; p=none",
    "v=DMARC1; p=quarantine",
    "v=DMARC1; p=reject",
    "v=DMARC1;p=reject;",
    "v=DMARC1; p=reject; sp=none",
    "v=DMARC1; p=none; sp=reject",
    "v=DMARC1; p=none; np=reject",
    "v=DMARC1; p=none; sp=quarantine; np=reject",
    "v=DMARC1; p=reject; adkim=s",
    "v=DMARC1; p=reject; aspf=s",
    "v=DMARC1; p=reject; adkim=s; aspf=s",
    "v=DMARC1; p=reject; t=y",
    "v=DMARC1; p=quarantine; t=y",
    "v=DMARC1; p=reject; psd=y",
    "v=DMARC1; p=reject; psd=n",
    "v=DMARC1; p=reject; psd=u; x=y",
    "v=DMARC1",
    "v=DMARC1; rua=mailto:r@example.org",
    "v=DMARC1; p=bogus",
    "v=DMARC1; p=bogus; rua=mailto:r@example.org",
    "v=DMARC1; p=reject; sp=bogus; rua=mailto:r@example.org",
    "v=DMARC1; sp=reject; p=none",
    "v=DMARC1; P=Reject; ADKIM=S",
    "v=DMARC1 ; p = reject",
    "v=dmarc1; p=reject",
    "V=DMARC1; p=reject",
    "v=DMARC1 p=reject",
    "p=reject; v=DMARC1",
    "v=DMARC2; p=reject",
    "v=DMARC1; p=reject; p=none",
    "v=DMARC1; p=reject; adkim=x",
    "v=DMARC1; p=reject; fo=1:d; ri=x; rf=afrf; ruf=mailto:f@example.org",
    "v=spf1 -all",
];

const NAMES: &[&str] = &[
    "example.org",
    "a.example.org",
    "b.a.example.org",
    "b.example.org",
    "c.b.a.example.org",
    "example.com",
    "co.uk",
    "example.co.uk",
    "x.example.co.uk",
];

/// What a message came with.
#[derive(Clone)]
struct Case {
    records: Vec<(&'static str, &'static str)>,
    exists: bool,
    fails: Option<&'static str>,
    author: &'static str,
    spf: (&'static str, Authenticated),
    dkim: Vec<(&'static str, Authenticated)>,
}

impl Case {
    fn new(random: &mut Random) -> Self {
        let author = random.pick(&NAMES[..5]);
        let mut records = Vec::new();
        for _ in 0..=random.below(2) {
            // One at a name: what several mean is compared no further than that they are none.
            let name = random.pick(&["example.org", "example.org", "a.example.org", author, "org"]);
            let is_free = records.iter().all(|(other, _)| *other != name);
            if is_free || random.once_in(20) {
                records.push((name, random.pick(RECORDS)));
            }
        }
        let result = |random: &mut Random| {
            random.pick(&[
                Authenticated::Pass,
                Authenticated::Pass,
                Authenticated::No,
                Authenticated::No,
                Authenticated::TempError,
            ])
        };
        let dkim = (0..random.below(3)).map(|_| (random.pick(NAMES), result(random))).collect();
        Self {
            records,
            exists: random.once_in(2),
            fails: random.once_in(30).then(|| random.pick(&["example.org", "a.example.org"])),
            author,
            spf: (random.pick(NAMES), result(random)),
            dkim,
        }
    }

    fn dns(&self) -> FakeDns {
        let mut dns = FakeDns::new();
        for (name, record) in &self.records {
            dns.add_txt(&format!("_dmarc.{name}"), record);
        }
        if self.exists {
            dns.add_ips(self.author, &["192.0.2.1"]);
        }
        if let Some(name) = self.fails {
            let error = DnsError::Temporary(Trouble::ServerFailure);
            dns.fail(&format!("_dmarc.{name}"), RecordType::Txt, error);
        }
        dns
    }

    fn text(&self) -> String {
        let Self { records, exists, fails, author, spf, dkim } = self;
        let exists = if *exists { "" } else { " (does not exist)" };
        let fails = fails.map(|name| format!(" {name} fails")).unwrap_or_default();
        format!("{author}{exists} spf {spf:?} dkim {dkim:?} with {records:?}{fails}")
    }
}

/// What both say, and what stood in our way.
struct Both {
    ours: String,
    theirs: String,
    problem: Option<Problem>,
}

/// Compares all cases.
pub(crate) async fn compare(
    other: &Other,
    cases: usize,
    random: &mut Random,
) -> Result<Vec<Tally>> {
    let mut tally = Tally::new("DMARC, made");
    for _ in 0..cases {
        let mut case = Case::new(random);
        let mut outcome = both(&case, other).await?;
        tally.count(&outcome.ours);
        if outcome.ours == outcome.theirs {
            continue;
        }
        // The least with which they still differ shows the reason.
        while let Some((fewer, still)) = reduced(&case, other).await? {
            (case, outcome) = (fewer, still);
        }
        let verdict = verdict(&case, outcome.problem.as_ref());
        tally.differ(case.text(), &outcome.ours, &outcome.theirs, verdict);
    }
    Ok(vec![tally])
}

/// The same with less, if the outcomes differ still.
async fn reduced(case: &Case, other: &Other) -> Result<Option<(Case, Both)>> {
    let mut candidates = Vec::new();
    for place in 0..case.records.len() {
        let mut fewer = case.clone();
        fewer.records.remove(place);
        candidates.push(fewer);
    }
    for place in 0..case.dkim.len() {
        let mut fewer = case.clone();
        fewer.dkim.remove(place);
        candidates.push(fewer);
    }
    if case.fails.is_some() {
        candidates.push(Case { fails: None, ..case.clone() });
    }
    if case.spf.1 != Authenticated::No {
        candidates.push(Case { spf: (case.spf.0, Authenticated::No), ..case.clone() });
    }
    for fewer in candidates {
        let outcome = both(&fewer, other).await?;
        if outcome.ours != outcome.theirs {
            return Ok(Some((fewer, outcome)));
        }
    }
    Ok(None)
}

async fn both(case: &Case, other: &Other) -> Result<Both> {
    let dns = Arc::new(case.dns());
    other.answer_from(Arc::clone(&dns));
    let (ours, problem) = ours(case, &dns).await?;
    Ok(Both { ours, theirs: theirs(case, other).await?, problem })
}

/// The outcome, and what is to be done with a message that fails.
async fn ours(case: &Case, dns: &FakeDns) -> Result<(String, Option<Problem>)> {
    let parse = |name: &str| Domain::parse(name);
    let (author, spf) = (parse(case.author)?, parse(case.spf.0)?);
    let dkim = case.dkim.iter().map(|(name, result)| Ok((parse(name)?, *result)));
    let dkim: Vec<_> = dkim.collect::<Result<_>>()?;
    let dkim: Vec<_> =
        dkim.iter().map(|(domain, result)| Identifier { domain, result: *result }).collect();
    let args = Args {
        author: Ok(&author),
        spf: Some(Identifier { domain: &spf, result: case.spf.1 }),
        dkim: &dkim,
        method: Method::TreeWalk,
        chance: 0,
    };
    let outcome = dmarc::verify(dns, &args).await;
    let status = match outcome.status {
        dmarc::Status::Fail => format!("fail {}", outcome.disposition().as_str()),
        other => other.as_str().to_owned(),
    };
    debug_assert!(outcome.policy >= Policy::None);
    Ok((status, outcome.problem))
}

async fn theirs(case: &Case, other: &Other) -> Result<String> {
    let message = format!("From: a@{}\r\n\r\n", case.author);
    let message = AuthenticatedMessage::parse(message.as_bytes()).context("a message")?;
    let error = || Error::Dns(TheirDnsError::Resolver(String::new()));
    let signatures: Vec<_> = case
        .dkim
        .iter()
        .map(|(name, result)| {
            let signature = Signature { d: (*name).to_owned(), ..Signature::default() };
            (signature, *result)
        })
        .collect();
    let dkim: Vec<DkimOutput<'_>> = signatures
        .iter()
        .map(|(signature, result)| {
            let output = match result {
                Authenticated::Pass => DkimOutput::pass(),
                Authenticated::TempError => DkimOutput::temp_err(error()),
                Authenticated::No => DkimOutput::fail(Error::NotAligned),
            };
            output.with_signature(signature)
        })
        .collect();
    let spf = match case.spf.1 {
        Authenticated::Pass => SpfResult::Pass,
        Authenticated::TempError => SpfResult::TempError,
        Authenticated::No => SpfResult::Fail,
    };
    let spf = SpfOutput::new(case.spf.0.to_owned()).with_result(spf);
    let parameters = DmarcParameters::new(&message, &dkim, case.spf.0, &spf);
    let output = other.authenticator.verify_dmarc(parameters).await;
    // Without a record there is no outcome, else anything that does not pass fails.
    let has_record = output.dmarc_record().is_some();
    Ok(match output.result() {
        DmarcResult::Pass => "pass".to_owned(),
        DmarcResult::TempError(_) => "temperror".to_owned(),
        DmarcResult::PermError(_) => "permerror".to_owned(),
        DmarcResult::None if !has_record => "none".to_owned(),
        DmarcResult::Fail(_) | DmarcResult::None => {
            let policy = match output.policy() {
                TheirPolicy::Reject => "reject",
                TheirPolicy::Quarantine => "quarantine",
                TheirPolicy::None | TheirPolicy::Unspecified => "none",
            };
            format!("fail {policy}")
        }
    })
}

/// Who is right. What is not in this list is for people to look at.
fn verdict(case: &Case, problem: Option<&Problem>) -> Verdict {
    let has = |part: &str| case.records.iter().any(|(_, record)| record.contains(part));
    let mut names: Vec<_> = case.records.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    if names.len() < all {
        return Verdict::Ours("RFC 9989 §4.10: several records at a name are none");
    }
    if let Some(Problem::Record(_, RecordError::Duplicate)) = problem {
        return Verdict::Ours("RFC 9989 §4.7, RFC 6376 §3.2: a tag comes once");
    }
    if case.fails.is_some() {
        return Verdict::Open(
            "RFC 9989 §4.10: whether a domain is asked whose answer is not needed",
        );
    }
    let is_faulty = has("bogus") || has("adkim=x") || has("ri=x");
    match case.records.len() {
        1 => {}
        2 if is_faulty => {
            return Verdict::Ours(
                "RFC 9989 §4.10.1, §4.10.2: a fault in a record on the way does not end the walk",
            );
        }
        _ => return Verdict::Unknown,
    }
    if has("adkim=x") || has("ri=x") {
        return Verdict::Ours("RFC 9989 §4.8: faults outside the policies are left aside");
    }
    if has("bogus; rua") || has("sp=bogus") {
        return Verdict::Ours("RFC 9989 §4.10.1: with a bad policy and rua it is p=none");
    }
    if has("v=dmarc1") {
        return Verdict::Ours("RFC 9989 §4.8: the version has a case");
    }
    Verdict::Unknown
}
