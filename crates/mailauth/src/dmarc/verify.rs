//! The outcome for a message.
//!
//! Source: RFC 9989 §4.4, §5.3; RFC 7489 §6.6.

use std::fmt;

use mox_base::Domain;
use mox_dns::{DnsError, Lookups as _, Name, Resolver, Security};
use mox_mime::FromError;

use super::discover::{Found, Method, Walker};
use super::record::{Alignment, Policy, Record, RecordError};
use crate::{dkim, spf};

/// Signatures that are considered; those behind them are not. Ours: each can cost
/// [`QUERIES_MAX`](super::QUERIES_MAX) questions.
pub const IDENTIFIERS_MAX: usize = 10;

/// A domain that vouches for a message, or tried to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identifier<'a> {
    /// `d=` of a signature, or what SPF was checked for.
    pub domain: &'a Domain,
    /// With what result.
    pub result: Authenticated,
}

impl<'a> Identifier<'a> {
    /// That of SPF.
    #[must_use]
    pub fn from_spf(received: &'a spf::Received) -> Option<Self> {
        let result = match received.status {
            spf::Status::Pass => Authenticated::Pass,
            spf::Status::TempError => Authenticated::TempError,
            _ => Authenticated::No,
        };
        Some(Self { domain: received.domain.as_ref()?, result })
    }

    /// That of a signature.
    #[must_use]
    pub fn from_dkim(verification: &'a dkim::Verification) -> Option<Self> {
        let result = match verification.status {
            dkim::Status::Pass => Authenticated::Pass,
            dkim::Status::TempError => Authenticated::TempError,
            _ => Authenticated::No,
        };
        Some(Self { domain: &verification.signature.as_ref()?.domain, result })
    }
}

/// A result of SPF or DKIM as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authenticated {
    /// It holds.
    Pass,
    /// Later it may hold.
    TempError,
    /// It does not.
    No,
}

/// What is known of a message.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// The domain of the author: of [`mox_mime::from_address`], which refuses several From fields
    /// and several addresses in one, whether in groups or not.
    pub author: Result<&'a Domain, FromError>,
    /// That of SPF. RFC 9989 §4.4.2.
    pub spf: Option<Identifier<'a>>,
    /// Those of signatures; the first [`IDENTIFIERS_MAX`] count. RFC 9989 §4.4.1.
    pub dkim: &'a [Identifier<'a>],
    /// How organizations are told apart.
    pub method: Method,
    /// Any number, taken at random: which messages are spared if a record asks for only some.
    pub chance: u32,
}

/// The result. RFC 7489 §11.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The domain has no record, or one that asks for nothing.
    None,
    /// Something vouches for the author's domain.
    Pass,
    /// Nothing does.
    Fail,
    /// DNS failed; later it may be otherwise.
    TempError,
    /// The record is faulty, or the author cannot be told.
    PermError,
}

impl Status {
    /// The word for it in header fields.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// Why the policy is not to be applied as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exemption {
    /// The owner is only testing. RFC 9989 §4.7 (`t`).
    Test,
    /// The owner asks for it for some messages, and this is not one. RFC 7489 §6.6.4.
    SampledOut,
}

/// What stood in the way of a better result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The author cannot be told.
    Author(FromError),
    /// DNS failed.
    Dns(DnsError),
    /// The record of a domain is faulty.
    Record(Domain, RecordError),
    /// SPF or a signature could not be checked, and would have counted.
    Authentication,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Author(error) => error.fmt(f),
            Self::Dns(error) => error.fmt(f),
            Self::Record(domain, error) => write!(f, "record of {domain}: {error}"),
            Self::Authentication => f.write_str("SPF or DKIM of the domain had a temporary error"),
        }
    }
}

impl std::error::Error for Problem {}

/// What was found about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The result.
    pub status: Status,
    /// The domain of the author.
    pub author: Option<Domain>,
    /// The record that counts.
    pub found: Option<Found>,
    /// What the owner asks for messages of this author that fail.
    pub policy: Policy,
    /// Why a message that fails is spared; only with [`Status::Fail`] and a policy.
    pub exemption: Option<Exemption>,
    /// Whether SPF passes for a domain that is aligned.
    pub has_aligned_spf: bool,
    /// The places of those signatures that pass and are aligned.
    pub aligned_dkim: Vec<usize>,
    /// Of all answers that were needed.
    pub security: Security,
    /// Why there is no better result.
    pub problem: Option<Problem>,
}

impl Outcome {
    fn new(status: Status, problem: Option<Problem>) -> Self {
        Self {
            status,
            author: None,
            found: None,
            policy: Policy::None,
            exemption: None,
            has_aligned_spf: false,
            aligned_dkim: Vec::new(),
            security: Security::Insecure,
            problem,
        }
    }

    /// The record, if it is sound.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.found.as_ref()?.record.as_ref().ok()
    }

    /// Whether the owner of the domain asks that this message is not delivered as if nothing were:
    /// it fails, there is a policy, and nothing spares it.
    #[must_use]
    pub fn asks_for_rejection(&self) -> bool {
        self.status == Status::Fail && self.policy != Policy::None && self.exemption.is_none()
    }

    /// What the owner asks to do with this message: of a message that is spared one step less.
    /// RFC 9989 §4.7 (`t`), RFC 7489 §6.6.4.
    #[must_use]
    pub fn disposition(&self) -> Policy {
        match (self.status, self.exemption) {
            (Status::Fail, None) => self.policy,
            (Status::Fail, Some(_)) => self.policy.lowered(),
            _ => Policy::None,
        }
    }
}

/// Checks whether something vouches for the author of a message.
///
/// A temporary error of SPF or DKIM counts only if success would have made the message pass:
/// otherwise a signature of anybody whose DNS does not answer would spare a forged message.
///
/// Asks at most [`QUERIES_MAX`](super::QUERIES_MAX) questions for the author and each identifier,
/// and one more.
pub async fn verify<R: Resolver + ?Sized>(resolver: &R, args: &Args<'_>) -> Outcome {
    let author = match args.author {
        Ok(author) => author,
        Err(error) => return Outcome::new(Status::PermError, Some(Problem::Author(error))),
    };
    let mut verifier = Verifier {
        walker: Walker::new(resolver, args.method),
        author,
        organization: None,
        problem: None,
    };
    let mut outcome = verifier.outcome(args).await;
    outcome.author = Some(author.clone());
    outcome.security = verifier.walker.security();
    outcome
}

struct Verifier<'a, R: ?Sized> {
    walker: Walker<'a, R>,
    author: &'a Domain,
    /// Of the author, once it is known.
    organization: Option<Domain>,
    problem: Option<Problem>,
}

impl<R: Resolver + ?Sized> Verifier<'_, R> {
    async fn outcome(&mut self, args: &Args<'_>) -> Outcome {
        let found = match self.walker.policy(self.author).await {
            Ok(Some(found)) => found,
            Ok(None) => return Outcome::new(Status::None, None),
            Err(error) => return Outcome::new(Status::TempError, Some(Problem::Dns(error))),
        };
        let record = match &found.record {
            Ok(record) => record.clone(),
            Err(error) => {
                let problem = Problem::Record(found.domain.clone(), *error);
                let outcome = Outcome::new(Status::PermError, Some(problem));
                return Outcome { found: Some(found), ..outcome };
            }
        };
        if !record.is_policy_record() {
            return Outcome { found: Some(found), ..Outcome::new(Status::None, None) };
        }
        let mut outcome = Outcome::new(Status::Fail, None);
        if let Some(spf) = args.spf {
            outcome.has_aligned_spf = self.vouches(spf, record.spf_alignment).await;
        }
        for (place, one) in args.dkim.iter().take(IDENTIFIERS_MAX).enumerate() {
            if self.vouches(*one, record.dkim_alignment).await {
                outcome.aligned_dkim.push(place);
            }
        }
        if outcome.has_aligned_spf || !outcome.aligned_dkim.is_empty() {
            outcome.status = Status::Pass;
        } else if self.problem.is_some() {
            outcome.status = Status::TempError;
            outcome.problem = self.problem.take();
        }
        outcome.policy = self.policy(&found, &record).await;
        if outcome.status == Status::Fail && outcome.policy != Policy::None {
            outcome.exemption = exemption(&record, args.chance);
        }
        outcome.found = Some(found);
        outcome
    }

    /// Whether an identifier passes and is aligned with the author. RFC 9989 §4.4.
    async fn vouches(&mut self, one: Identifier<'_>, alignment: Alignment) -> bool {
        if one.result == Authenticated::No {
            return false;
        }
        match self.is_aligned(one.domain, alignment).await {
            Ok(true) if one.result == Authenticated::Pass => true,
            Ok(true) => {
                self.problem.get_or_insert(Problem::Authentication);
                false
            }
            Ok(false) => false,
            Err(error) => {
                self.problem.get_or_insert(Problem::Dns(error));
                false
            }
        }
    }

    /// RFC 9989 §4.4, §4.10.2.
    async fn is_aligned(
        &mut self,
        domain: &Domain,
        alignment: Alignment,
    ) -> Result<bool, DnsError> {
        if domain == self.author || alignment == Alignment::Strict {
            return Ok(domain == self.author);
        }
        let organization = match &self.organization {
            Some(known) => known.clone(),
            None => self.walker.organization(self.author).await?,
        };
        self.organization = Some(organization.clone());
        // The organization of a domain is above it, so nothing else needs to be asked for.
        if !domain.is_within(&organization) {
            return Ok(false);
        }
        Ok(self.walker.organization(domain).await? == organization)
    }

    /// The policy for the author. RFC 9989 §4.10.1.
    async fn policy(&mut self, found: &Found, record: &Record) -> Policy {
        if found.domain == *self.author {
            return record.policy;
        }
        let existing = record.policy_below(true);
        if existing == record.policy_below(false) {
            return existing;
        }
        // A name that was not found exists if it has other records. RFC 9989 §3.2.13, RFC 8020 §2.
        match self.walker.resolver.ipv4(&Name::from(self.author)).await {
            Ok(answer) => self.walker.depends_on(answer.security),
            Err(DnsError::NotFound { exists, security, .. }) => {
                self.walker.depends_on(security);
                return record.policy_below(exists);
            }
            Err(_) => self.walker.depends_on(Security::Insecure),
        }
        existing
    }
}

/// Deviation: RFC 9989 Appendix A.6 drops `pct`; it is still honoured, since owners of older records
/// count on it while they find out what their policy does.
fn exemption(record: &Record, chance: u32) -> Option<Exemption> {
    if record.is_test {
        return Some(Exemption::Test);
    }
    (chance % 100 >= u32::from(record.percent)).then_some(Exemption::SampledOut)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use mox_dns::{FakeDns, RecordType, Trouble};

    use super::*;
    use crate::dmarc::QUERIES_MAX;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn late() -> DnsError {
        DnsError::Temporary(Trouble::Timeout)
    }

    fn dns() -> FakeDns {
        let mut dns = FakeDns::new();
        let mut add = |domain: &str, text: &str| {
            dns.add_txt(&format!("_dmarc.{domain}"), text);
        };
        add("reject.example", "v=DMARC1; p=reject");
        add("none.example", "v=DMARC1; p=none");
        add("strict.example", "v=DMARC1; p=reject; aspf=s; adkim=s");
        add("test.example", "v=DMARC1; p=reject; t=y");
        add("some.example", "v=DMARC1; p=quarantine; pct=25");
        add("never.example", "v=DMARC1; p=reject; pct=0");
        add("sub.example", "v=DMARC1; p=none; sp=quarantine; np=reject");
        add("same.example", "v=DMARC1; p=reject; sp=none; np=none");
        add("faulty.example", "v=DMARC1; p=bogus");
        add("mute.example", "v=DMARC1; sp=reject; fo=1");
        add("told.example", "v=DMARC1; rua=mailto:r@told.example");
        add("own.sub.example", "v=DMARC1; p=none; psd=n");
        dns.add_ips("real.sub.example", &["2001:db8::1"]);
        dns.fail("_dmarc.late.example", RecordType::Txt, late());
        dns.fail("late.sub.example", RecordType::A, late());
        dns.fail("_dmarc.x.late.reject.example", RecordType::Txt, late());
        dns
    }

    /// An identifier as a text: `+` it passes, `?` later it may, `-` it does not.
    fn identifier<'a>(text: &str, place: &'a mut Option<Domain>) -> Identifier<'a> {
        let (sign, name) = text.split_at_checked(1).unwrap();
        let result = match sign {
            "+" => Authenticated::Pass,
            "?" => Authenticated::TempError,
            _ => Authenticated::No,
        };
        Identifier { domain: place.insert(domain(name)), result }
    }

    fn outcome(dns: &FakeDns, author: &str, spf: &str, dkim: &[&str], chance: u32) -> Outcome {
        let mut places = vec![None; dkim.len()];
        let dkim = dkim.iter().zip(&mut places).map(|(text, place)| identifier(text, place));
        let dkim: Vec<_> = dkim.collect();
        let mut place = None;
        let spf = (!spf.is_empty()).then(|| identifier(spf, &mut place));
        let author = domain(author);
        let method = Method::TreeWalk;
        let args = Args { author: Ok(&author), spf, dkim: &dkim, method, chance };
        verify(dns, &args).now_or_never().unwrap()
    }

    /// The status, with what vouches for the author.
    #[track_caller]
    fn check(author: &str, spf: &str, dkim: &[&str], want: &str) {
        let got = outcome(&dns(), author, spf, dkim, 0);
        let mut text = got.status.as_str().to_owned();
        if got.has_aligned_spf {
            text.push_str(" spf");
        }
        for place in got.aligned_dkim {
            text.push_str(&format!(" dkim{place}"));
        }
        assert_eq!(text, want, "{author} {spf} {dkim:?}");
    }

    /// RFC 9989 §4.4.1, §4.4.2, §4.10.2, RFC 7489 Appendix B.1.
    #[test]
    fn something_aligned_must_pass() {
        check("reject.example", "+reject.example", &[], "pass spf");
        check("reject.example", "+bounce.reject.example", &[], "pass spf");
        check("a.reject.example", "+b.reject.example", &[], "pass spf");
        check("reject.example", "", &["+reject.example"], "pass dkim0");
        check("reject.example", "+x.example", &["+y.example", "+m.reject.example"], "pass dkim1");
        check("reject.example", "+reject.example", &["+reject.example"], "pass spf dkim0");
        check("strict.example", "+strict.example", &["+strict.example"], "pass spf dkim0");
        check("strict.example", "+a.strict.example", &["+a.strict.example"], "fail");
        check("a.strict.example", "+a.strict.example", &["+strict.example"], "pass spf");
        check("reject.example", "-reject.example", &["-reject.example"], "fail");
        check("reject.example", "+other.example", &["+reject.example.net"], "fail");
        check("reject.example", "+notreject.example", &["+example"], "fail");
        check("reject.example", "", &[], "fail");
        check("none.example", "", &[], "fail");
        check("missing.example", "+missing.example", &["+missing.example"], "none");
        // One without a policy counts only if it says whom to tell. RFC 9989 §4.10.1.
        check("mute.example", "+mute.example", &[], "none");
        check("told.example", "+told.example", &[], "pass spf");
        check("told.example", "+other.example", &[], "fail");
        // Below an organization another one may begin.
        check("sub.example", "+a.own.sub.example", &["+own.sub.example"], "fail");
        check("own.sub.example", "+sub.example", &["+a.own.sub.example"], "pass dkim0");
    }

    /// RFC 9989 §5.3, RFC 7489 §6.6.2. A signature of a domain that never answers spared a forged
    /// message once.
    #[test]
    fn temporary_errors_count_if_they_matter() {
        check("reject.example", "?reject.example", &[], "temperror");
        check("reject.example", "", &["?a.reject.example"], "temperror");
        check("reject.example", "?reject.example", &["+reject.example"], "pass dkim0");
        check("reject.example", "?other.example", &["?late.example"], "fail");
        check("strict.example", "?a.strict.example", &[], "fail");
        check("late.example", "+late.example", &[], "temperror");
        check("reject.example", "", &["+x.late.reject.example"], "temperror");
        check("reject.example", "", &["+x.late.reject.example", "+reject.example"], "pass dkim1");
        check("missing.example", "?missing.example", &[], "none");
        assert!(!outcome(&dns(), "reject.example", "?reject.example", &[], 0).asks_for_rejection());
    }

    #[test]
    fn who_cannot_be_asked_has_no_policy() {
        let dns = dns();
        let got = outcome(&dns, "a.faulty.example", "+faulty.example", &[], 0);
        assert_eq!((got.status, got.asks_for_rejection()), (Status::PermError, false));
        let text = got.problem.unwrap().to_string();
        assert_eq!(text, "record of faulty.example: invalid policy");
        let method = Method::TreeWalk;
        for error in [FromError::ManyFields, FromError::ManyAddresses, FromError::NoField] {
            let args = Args { author: Err(error), spf: None, dkim: &[], method, chance: 0 };
            let got = verify(&dns, &args).now_or_never().unwrap();
            assert_eq!(got.status, Status::PermError);
            assert_eq!(got.problem, Some(Problem::Author(error)));
            assert_eq!(got.disposition(), Policy::None);
        }
    }

    #[track_caller]
    fn check_policy(author: &str, chance: u32, want: (Policy, Option<Exemption>, Policy, bool)) {
        let got = outcome(&dns(), author, "-x.example", &[], chance);
        let rejects = got.asks_for_rejection();
        assert_eq!((got.policy, got.exemption, got.disposition(), rejects), want, "{author}");
    }

    /// RFC 9989 §4.7, §4.10.1; RFC 7489 §6.3, §6.6.4.
    #[test]
    fn the_owner_says_what_to_do() {
        use Policy::{None as Nothing, Quarantine, Reject};
        check_policy("reject.example", 99, (Reject, None, Reject, true));
        check_policy("a.reject.example", 99, (Reject, None, Reject, true));
        check_policy("none.example", 0, (Nothing, None, Nothing, false));
        check_policy("missing.example", 0, (Nothing, None, Nothing, false));
        check_policy("test.example", 0, (Reject, Some(Exemption::Test), Quarantine, false));
        check_policy("some.example", 24, (Quarantine, None, Quarantine, true));
        let spared = Some(Exemption::SampledOut);
        check_policy("some.example", 25, (Quarantine, spared, Nothing, false));
        check_policy("some.example", 4_294_967_199, (Quarantine, spared, Nothing, false));
        check_policy("never.example", 0, (Reject, spared, Quarantine, false));
        check_policy("sub.example", 0, (Nothing, None, Nothing, false));
        check_policy("real.sub.example", 0, (Quarantine, None, Quarantine, true));
        check_policy("no.sub.example", 0, (Reject, None, Reject, true));
        // Whether it exists is not known: the milder way.
        check_policy("late.sub.example", 0, (Quarantine, None, Quarantine, true));
        check_policy("a.same.example", 0, (Nothing, None, Nothing, false));
        let passed = outcome(&dns(), "test.example", "+test.example", &[], 0);
        assert_eq!((passed.policy, passed.disposition()), (Reject, Nothing));
        assert_eq!((passed.exemption, passed.asks_for_rejection()), (None, false));
    }

    /// RFC 7489 §3.2.
    #[test]
    fn a_list_of_suffixes_is_another_way() {
        let mut dns = FakeDns::new();
        dns.add_txt("_dmarc.example.co.uk", "v=DMARC1; p=reject");
        dns.add_txt("_dmarc.co.uk", "v=DMARC1; p=none");
        let verify = |author: &str, spf: &str| {
            let (author, spf) = (domain(author), domain(spf));
            let spf = Some(Identifier { domain: &spf, result: Authenticated::Pass });
            let method = Method::PublicSuffixes;
            let args = Args { author: Ok(&author), spf, dkim: &[], method, chance: 0 };
            verify(&dns, &args).now_or_never().unwrap().status
        };
        assert_eq!(verify("a.example.co.uk", "b.c.example.co.uk"), Status::Pass);
        assert_eq!(verify("example.co.uk", "co.uk"), Status::Fail);
        assert_eq!(verify("example.co.uk", "other.co.uk"), Status::Fail);
        assert_eq!(verify("other.co.uk", "other.co.uk"), Status::None);
    }

    #[test]
    fn what_a_message_costs_is_bounded() {
        let dns = dns();
        let deep: Vec<String> =
            (0..1_000).map(|i| format!("+a.b.c.d.e.f.x{i}.none.example")).collect();
        let deep: Vec<&str> = deep.iter().map(String::as_str).collect();
        let got = outcome(&dns, "none.example", "", &deep, 0);
        assert_eq!(got.aligned_dkim.len(), IDENTIFIERS_MAX);
        assert!(dns.take_asked().len() <= (2 + IDENTIFIERS_MAX) * QUERIES_MAX + 1);
        // Others cannot make us ask at all.
        let other: Vec<String> = (0..1_000).map(|i| format!("+a.b.x{i}.example.net")).collect();
        let other: Vec<&str> = other.iter().map(String::as_str).collect();
        let got = outcome(&dns, "none.example", "", &other, 0);
        assert_eq!(got.status, Status::Fail);
        assert_eq!(dns.take_asked().len(), 2);
    }

    #[test]
    fn it_is_as_secure_as_every_answer() {
        let mut dns = dns();
        dns.sign("sub.example").sign("_dmarc.example");
        let is_secure =
            |author: &str, spf: &str| outcome(&dns, author, spf, &[], 0).security.is_secure();
        assert!(is_secure("sub.example", "+sub.example"));
        assert!(is_secure("a.sub.example", "+b.sub.example"));
        assert!(is_secure("no.sub.example", ""));
        assert!(!is_secure("late.sub.example", ""));
        assert!(!is_secure("reject.example", "+reject.example"));
    }
}
