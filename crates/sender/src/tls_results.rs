//! What became of TLS in an attempt, counted for the reports to the domains concerned. RFC 8460 §4.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mox_base::{Domain, UnixSeconds};
use mox_dns::{DnsError, Tlsa, Trouble};
use mox_net::tls::client::TlsOutcome;
use mox_queue::Kind;
use mox_reportdb::NewTlsResult;
use mox_reports::tls::{Policy, PolicyResult, PolicyType, ResultType, Summary};
use mox_tlspolicy::failure::TlsFailure;
use mox_tlspolicy::mtasts;
use mox_tlspolicy::tally::{Session, Tally, detail, no_policy, sts_policy, tlsa_policy};

use crate::mtasts::StsFailure;

/// Whose policies a session is about.
pub(crate) struct About<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) host: &'a Domain,
    pub(crate) policy: Option<&'a mtasts::Policy>,
    pub(crate) records: Vec<Tlsa>,
}

/// Results of an attempt.
#[derive(Default)]
pub(crate) struct Seen {
    domain: Tally,
    hosts: BTreeMap<Domain, Tally>,
}

impl About<'_> {
    fn session(&self, local: IpAddr, remote: Option<IpAddr>) -> Session {
        Session {
            sending_ip: Some(local),
            host: Some(self.host.clone()),
            helo: None,
            receiving_ip: remote,
        }
    }

    /// Whether the policy allows the host. What comes of one that it does not allow is not about the
    /// policy any more.
    fn is_listed(&self) -> bool {
        self.policy.is_none_or(|policy| policy.matches(self.host))
    }

    fn domain_policy(&self) -> Policy {
        match self.policy {
            Some(policy) => sts_policy(self.domain, policy),
            None => no_policy(self.domain),
        }
    }

    fn host_policy(&self) -> Policy {
        match self.records.as_slice() {
            [] => no_policy(self.host),
            records => tlsa_policy(self.host, records),
        }
    }
}

impl Seen {
    /// A session with TLS, whatever was thought of the certificate.
    pub(crate) fn session(
        &mut self,
        about: &About<'_>,
        local: IpAddr,
        remote: Option<IpAddr>,
        outcome: &TlsOutcome,
    ) {
        let host = about.host;
        let session = about.session(local, remote);
        match &outcome.pkix {
            // That it is not listed was counted where that was found.
            _ if !about.is_listed() => {}
            Err(fault) if about.policy.is_some() => {
                let failure = TlsFailure::Certificate(*fault);
                self.domain.failure(about.domain_policy(), &session, failure);
            }
            _ => self.domain.success(about.domain_policy()),
        }
        let tally = self.hosts.entry(host.clone()).or_default();
        match &outcome.dane {
            Some(Err(error)) => {
                tally.failure(about.host_policy(), &session, TlsFailure::Dane(*error));
            }
            _ => tally.success(about.host_policy()),
        }
    }

    /// There was no TLS, or what was shown was refused.
    pub(crate) fn failure(
        &mut self,
        about: &About<'_>,
        local: IpAddr,
        remote: Option<IpAddr>,
        failure: TlsFailure,
        outcome: Option<&TlsOutcome>,
    ) {
        let host = about.host;
        let session = about.session(local, remote);
        // What refused the session may be of one of the two policies only.
        let by_dane = matches!(failure, TlsFailure::Dane(_));
        match outcome.map(|outcome| &outcome.pkix) {
            _ if !about.is_listed() => {}
            Some(Ok(())) if by_dane => self.domain.success(about.domain_policy()),
            Some(Err(fault)) if by_dane && about.policy.is_some() => {
                let fault = TlsFailure::Certificate(*fault);
                self.domain.failure(about.domain_policy(), &session, fault);
            }
            _ => self.domain.failure(about.domain_policy(), &session, failure),
        }
        let tally = self.hosts.entry(host.clone()).or_default();
        let by_pkix = matches!(failure, TlsFailure::Certificate(_));
        match outcome.and_then(|outcome| outcome.dane.as_ref()) {
            Some(Ok(_)) if by_pkix => tally.success(about.host_policy()),
            _ => tally.failure(about.host_policy(), &session, failure),
        }
    }

    /// A session went on without TLS, as nothing demanded it: told, and no failure.
    pub(crate) fn not_offered(&mut self, about: &About<'_>, local: IpAddr, remote: Option<IpAddr>) {
        let host = about.host;
        let failure = TlsFailure::NotOffered;
        let detail =
            detail(&about.session(local, remote), failure.result_type(), &failure.reason());
        let tell = |policy| PolicyResult {
            policy,
            summary: Summary::default(),
            failure_details: vec![detail.clone()],
        };
        if about.is_listed() {
            self.domain.add(tell(about.domain_policy()));
        }
        self.hosts.entry(host.clone()).or_default().add(tell(about.host_policy()));
    }

    /// The policy does not list the host. RFC 8461 §5.
    pub(crate) fn not_in_policy(&mut self, about: &About<'_>) {
        let session = Session { host: Some(about.host.clone()), ..Session::default() };
        let reason = "mtasts-policy-mx-mismatch";
        let detail = detail(&session, ResultType::ValidationFailure, reason);
        self.domain.add(PolicyResult {
            policy: about.domain_policy(),
            summary: failed_once(),
            failure_details: vec![detail],
        });
    }

    /// TLSA records could not be looked up. RFC 8460 §4.3.2.1.
    pub(crate) fn lookup_failed(&mut self, about: &About<'_>, error: &DnsError) {
        let session = Session { host: Some(about.host.clone()), ..Session::default() };
        let (result, reason) = match error {
            DnsError::Bogus => (ResultType::DnssecInvalid, "dnssec-bogus"),
            DnsError::Temporary(Trouble::Timeout) => (ResultType::ValidationFailure, "dns-timeout"),
            _ => (ResultType::ValidationFailure, "dns-error"),
        };
        let detail = detail(&session, result, reason);
        self.hosts.entry(about.host.clone()).or_default().add(PolicyResult {
            policy: Policy { policy_type: PolicyType::Tlsa, ..about.host_policy() },
            summary: failed_once(),
            failure_details: vec![detail],
        });
    }

    /// The policy could not be had. `cached`: that of before is good still.
    pub(crate) fn policy_failure(
        &mut self,
        domain: &Domain,
        cached: Option<&mtasts::Policy>,
        failure: &StsFailure,
    ) {
        let result = failure.result_type.clone();
        let detail = detail(&Session::default(), result, &failure.reason);
        let policy = match cached {
            Some(policy) => sts_policy(domain, policy),
            None => no_policy(domain),
        };
        let failure_details = vec![detail];
        self.domain.add(PolicyResult { policy, summary: Summary::default(), failure_details });
    }

    /// The rows to keep. A domain that is its own host, with TLSA records, is told of these only.
    pub(crate) fn rows(self, domain: &Domain, kind: Kind, now: UnixSeconds) -> Vec<NewTlsResult> {
        let Self { domain: tally, hosts } = self;
        let row = |policy_domain: &Domain, is_host, tally: Tally| {
            let has_failures = tally.has_failures();
            let results = tally.into_results();
            let sends_report = match kind {
                Kind::TlsReport => false,
                Kind::DmarcReport => has_failures,
                Kind::Mail | Kind::Notice => true,
            };
            let (day, recipient_domain) = (now.day(), domain.clone());
            let policy_domain = policy_domain.clone();
            let new = NewTlsResult {
                policy_domain,
                day,
                recipient_domain,
                is_host,
                sends_report,
                results,
            };
            (!new.results.is_empty()).then_some(new)
        };
        let is_told_by_host = hosts.get(domain).is_some_and(|tally| {
            tally.results().iter().any(|result| !result.policy.policy_string.is_empty())
        });
        let mut rows = Vec::new();
        if !is_told_by_host {
            rows.extend(row(domain, false, tally));
        }
        rows.extend(hosts.into_iter().filter_map(|(host, tally)| row(&host, true, tally)));
        rows
    }
}

fn failed_once() -> Summary {
    Summary { total_successful_session_count: 0, total_failure_session_count: 1 }
}

#[cfg(test)]
mod tests {
    use mox_tlspolicy::dane::{DaneError, Match};
    use mox_tlspolicy::pkix::CertFault;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn record() -> Tlsa {
        Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }
    }

    fn policy() -> mtasts::Policy {
        let text = b"version: STSv1\nmode: testing\nmx: mx.example\nmax_age: 1\n";
        mtasts::parse_policy(text).unwrap()
    }

    fn outcome(pkix: Result<(), CertFault>, dane: Option<Result<(), DaneError>>) -> TlsOutcome {
        let found = |()| Match { record: record(), depth: Some(0) };
        TlsOutcome { pkix, dane: dane.map(|dane| dane.map(found)), chain: Vec::new() }
    }

    /// A line for each policy: its domain and kind, successes, failures, and what failed.
    #[track_caller]
    fn check(
        (host, has_policy, records): (&str, bool, Vec<Tlsa>),
        tell: impl FnOnce(&mut Seen, &About<'_>, IpAddr),
        want: &[&str],
    ) {
        let (recipient, host, policy) = (domain("example"), domain(host), policy());
        let policy = has_policy.then_some(&policy);
        let about = About { domain: &recipient, host: &host, policy, records };
        let mut seen = Seen::default();
        tell(&mut seen, &about, "192.0.2.1".parse().unwrap());
        let rows = seen.rows(&recipient, Kind::Mail, NOW);
        let lines = rows.iter().flat_map(|row| {
            row.results.iter().map(|result| {
                let details = result.failure_details.iter().map(|one| {
                    let reason = one.failure_reason_code.as_deref().unwrap_or_default();
                    format!(" {}({reason})", one.result_type.as_str())
                });
                let (sum, kind) = (result.summary, result.policy.policy_type.as_str());
                let success = sum.total_successful_session_count;
                let failure = sum.total_failure_session_count;
                let details: String = details.collect();
                format!("{} {kind} {success} {failure}{details}", row.policy_domain)
            })
        });
        assert_eq!(lines.collect::<Vec<_>>(), want);
    }

    /// RFC 8460 §4.3, §4.4: one result for the domain, one for the host.
    #[test]
    fn sessions_are_told_by_domain_and_host() {
        let plain = || ("mx.example", false, Vec::new());
        let sts = || ("mx.example", true, Vec::new());
        let dane = || ("mx.example", false, vec![record()]);
        let session = |outcome: TlsOutcome| {
            move |seen: &mut Seen, about: &About<'_>, ip: IpAddr| {
                seen.session(about, ip, None, &outcome);
            }
        };
        let untrusted = Err(CertFault::UnknownIssuer);
        let both = ["example no-policy-found 1 0", "mx.example no-policy-found 1 0"];
        check(plain(), session(outcome(Ok(()), None)), &both);
        check(plain(), session(outcome(untrusted, None)), &both);
        let want = ["example sts 1 0", "mx.example no-policy-found 1 0"];
        check(sts(), session(outcome(Ok(()), None)), &want);
        let want = ["example sts 0 1 certificate-not-trusted()", "mx.example no-policy-found 1 0"];
        check(sts(), session(outcome(untrusted, None)), &want);
        let want = ["example no-policy-found 1 0", "mx.example tlsa 1 0"];
        check(dane(), session(outcome(untrusted, Some(Ok(())))), &want);
        let unusable = Some(Err(DaneError::Unusable));
        let want = [
            "example no-policy-found 1 0",
            "mx.example tlsa 0 1 tlsa-invalid(all-unusable-records+ignored)",
        ];
        check(dane(), session(outcome(untrusted, unusable)), &want);
        // A host that is the domain itself is told of once.
        let own = ("example", false, vec![record()]);
        check(own, session(outcome(Ok(()), Some(Ok(())))), &["example tlsa 1 0"]);
    }

    #[test]
    fn failures_are_told_by_what_failed() {
        let none = || ("mx.example", false, Vec::new());
        let not_tls = "validation-failure(tls-record-header-error)";
        let want = [
            &*format!("example no-policy-found 0 1 {not_tls}"),
            &*format!("mx.example no-policy-found 0 1 {not_tls}"),
        ];
        let failed = |seen: &mut Seen, about: &About<'_>, ip| {
            seen.failure(about, ip, None, TlsFailure::NotTls, None);
        };
        check(none(), failed, &want);
        // DANE refused what authorities vouch for, and the other way round.
        let (host, with) = ("mx.example", vec![record()]);
        let no_match = DaneError::NoMatch;
        let want = ["example sts 1 0", "mx.example tlsa 0 1 validation-failure(dane-no-match)"];
        let by_dane = |seen: &mut Seen, about: &About<'_>, ip| {
            let outcome = outcome(Ok(()), Some(Err(no_match)));
            seen.failure(about, ip, None, TlsFailure::Dane(no_match), Some(&outcome));
        };
        check((host, true, with.clone()), by_dane, &want);
        let want = ["example sts 0 1 certificate-expired()", "mx.example tlsa 1 0"];
        let by_pkix = |seen: &mut Seen, about: &About<'_>, ip| {
            let expired = CertFault::Expired;
            let outcome = outcome(Err(expired), Some(Ok(())));
            let failure = TlsFailure::Certificate(expired);
            seen.failure(about, ip, None, failure, Some(&outcome));
        };
        check((host, true, with), by_pkix, &want);
        let not_offered =
            |seen: &mut Seen, about: &About<'_>, ip| seen.not_offered(about, ip, None);
        let want = [
            "example no-policy-found 0 0 starttls-not-supported()",
            "mx.example no-policy-found 0 0 starttls-not-supported()",
        ];
        check(none(), not_offered, &want);
        let mismatch = |seen: &mut Seen, about: &About<'_>, _| seen.not_in_policy(about);
        let want = ["example sts 0 1 validation-failure(mtasts-policy-mx-mismatch)"];
        check(("other.example", true, Vec::new()), mismatch, &want);
        // It is counted once, whatever else happens with a host that is not in the policy.
        let mismatch = |seen: &mut Seen, about: &About<'_>, ip| {
            seen.not_in_policy(about);
            seen.session(about, ip, None, &outcome(Err(CertFault::Expired), None));
            seen.not_offered(about, ip, None);
            seen.failure(about, ip, None, TlsFailure::NotTls, None);
        };
        let host = format!("other.example no-policy-found 1 1 starttls-not-supported() {not_tls}");
        check(("other.example", true, Vec::new()), mismatch, &[want[0], &host]);
    }

    /// RFC 8460 §4.3.2.2.
    #[test]
    fn policies_that_cannot_be_had_are_told_beside_the_session() {
        let reason = "http-status-500+fallback-to-cached-policy".to_owned();
        let failure = StsFailure { result_type: ResultType::StsPolicyFetchError, reason };
        let told = "sts-policy-fetch-error(http-status-500+fallback-to-cached-policy)";
        for (has_policy, kind) in [(true, "sts"), (false, "no-policy-found")] {
            let tell = |seen: &mut Seen, about: &About<'_>, ip: IpAddr| {
                seen.policy_failure(about.domain, about.policy, &failure);
                seen.session(about, ip, None, &outcome(Ok(()), None));
            };
            let domain = format!("example {kind} 1 0 {told}");
            let want = [&*domain, "mx.example no-policy-found 1 0"];
            check(("mx.example", has_policy, Vec::new()), tell, &want);
        }
    }

    /// RFC 8460 §4.3.2.1.
    #[test]
    fn lookups_of_records_that_fail_are_told() {
        for (error, want) in [
            (DnsError::Bogus, "dnssec-invalid(dnssec-bogus)"),
            (DnsError::Temporary(Trouble::Timeout), "validation-failure(dns-timeout)"),
            (DnsError::Temporary(Trouble::Refused), "validation-failure(dns-error)"),
        ] {
            let want = format!("mx.example tlsa 0 1 {want}");
            let failed = |seen: &mut Seen, about: &About<'_>, _| seen.lookup_failed(about, &error);
            check(("mx.example", false, Vec::new()), failed, &[&want]);
        }
    }

    #[test]
    fn reports_are_sent_of_mail_and_of_what_fails() {
        let host = domain("mx.example");
        let about = About { domain: &host, host: &host, policy: None, records: Vec::new() };
        let ip = "192.0.2.1".parse().unwrap();
        for (kind, fails, want) in [
            (Kind::Mail, false, true),
            (Kind::Notice, false, true),
            (Kind::DmarcReport, false, false),
            (Kind::DmarcReport, true, true),
            (Kind::TlsReport, true, false),
        ] {
            let mut seen = Seen::default();
            match fails {
                true => seen.failure(&about, ip, None, TlsFailure::NotTls, None),
                false => seen.session(&about, ip, None, &outcome(Ok(()), None)),
            }
            let rows = seen.rows(&host, kind, NOW);
            assert!(rows.iter().all(|row| row.sends_report == want), "{kind:?}");
            assert!(rows.iter().all(|row| row.day == NOW.day()));
        }
    }
}
