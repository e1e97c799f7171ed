//! Counting sessions by policy and by failure, for the report of a day.
//!
//! Source: RFC 8460 §4.

use std::net::IpAddr;

use mox_base::Domain;
use mox_dns::Tlsa;
use mox_reports::tls::{Failure, Policy, PolicyResult, PolicyType, ResultType, Summary};

use crate::dane;
use crate::failure::TlsFailure;
use crate::mtasts;

/// Results by policy of one row of a day. Ours: a domain that shows a new policy at each session
/// fills no more than this.
pub const RESULTS_MAX: usize = 50;

/// Kinds of failures of one policy that are told apart; further ones count in the sum only.
pub const DETAILS_MAX: usize = 100;

/// The policy of a domain by MTA-STS.
#[must_use]
pub fn sts_policy(domain: &Domain, policy: &mtasts::Policy) -> Policy {
    Policy {
        policy_type: PolicyType::Sts,
        policy_string: policy.lines(),
        policy_domain: domain.ascii().to_owned(),
        mx_host: policy.mx.iter().map(ToString::to_string).collect(),
    }
}

/// The records of DANE of a host.
#[must_use]
pub fn tlsa_policy(host: &Domain, records: &[Tlsa]) -> Policy {
    Policy {
        policy_type: PolicyType::Tlsa,
        policy_string: records.iter().take(dane::RECORDS_MAX).map(dane::record_text).collect(),
        policy_domain: host.ascii().to_owned(),
        mx_host: Vec::new(),
    }
}

/// That a domain or host has no policy.
#[must_use]
pub fn no_policy(domain: &Domain) -> Policy {
    Policy {
        policy_type: PolicyType::NoPolicyFound,
        policy_string: Vec::new(),
        policy_domain: domain.ascii().to_owned(),
        mx_host: Vec::new(),
    }
}

/// Who spoke with whom, as far as it is known. RFC 8460 §4.4 (`failure-details`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Our address.
    pub sending_ip: Option<IpAddr>,
    /// The name of the host.
    pub host: Option<Domain>,
    /// How the host called itself.
    pub helo: Option<String>,
    /// Its address.
    pub receiving_ip: Option<IpAddr>,
}

/// A kind of failure in one session. `result` and `reason` as of [`TlsFailure`], or of the policy
/// itself.
#[must_use]
pub fn detail(session: &Session, result: ResultType, reason: &str) -> Failure {
    Failure {
        result_type: result,
        sending_mta_ip: session.sending_ip,
        receiving_mx_hostname: session.host.as_ref().map(|host| host.ascii().to_owned()),
        receiving_mx_helo: session.helo.clone(),
        receiving_ip: session.receiving_ip,
        failed_session_count: 1,
        additional_information: None,
        failure_reason_code: (!reason.is_empty()).then(|| reason.to_owned()),
    }
}

/// Results by policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    results: Vec<PolicyResult>,
}

impl Tally {
    /// Goes on from results that were kept.
    #[must_use]
    pub fn new(results: Vec<PolicyResult>) -> Self {
        let mut tally = Self::default();
        results.into_iter().for_each(|result| tally.add(result));
        tally
    }

    /// The results, each policy once.
    #[must_use]
    pub fn results(&self) -> &[PolicyResult] {
        &self.results
    }

    /// The results, each policy once.
    #[must_use]
    pub fn into_results(self) -> Vec<PolicyResult> {
        self.results
    }

    /// Counts a session that went well under `policy`.
    pub fn success(&mut self, policy: Policy) {
        let summary = Summary { total_successful_session_count: 1, total_failure_session_count: 0 };
        self.add(PolicyResult { policy, summary, failure_details: Vec::new() });
    }

    /// Counts a session that failed under `policy`.
    pub fn failure(&mut self, policy: Policy, session: &Session, failure: TlsFailure) {
        let detail = detail(session, failure.result_type(), &failure.reason());
        let summary = Summary { total_successful_session_count: 0, total_failure_session_count: 1 };
        self.add(PolicyResult { policy, summary, failure_details: vec![detail] });
    }

    /// Adds other results: equal policies become one, their counts are added, and so are those of
    /// equal failures. Counts stay at their largest. Beyond [`RESULTS_MAX`] policies, a new one is
    /// left out.
    pub fn add(&mut self, result: PolicyResult) {
        let PolicyResult { policy, summary, failure_details } = result;
        let index = self.results.iter().position(|one| one.policy == policy).unwrap_or_else(|| {
            self.results.push(PolicyResult { policy, ..PolicyResult::default() });
            self.results.len() - 1
        });
        self.results.truncate(RESULTS_MAX);
        let Some(into) = self.results.get_mut(index) else { return };
        let (sum, more) = (&mut into.summary, summary);
        add(&mut sum.total_successful_session_count, more.total_successful_session_count);
        add(&mut sum.total_failure_session_count, more.total_failure_session_count);
        for detail in failure_details {
            add_detail(&mut into.failure_details, detail);
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: Self) {
        other.results.into_iter().for_each(|result| self.add(result));
    }

    /// Whether any session failed.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        let failed = |one: &PolicyResult| {
            one.summary.total_failure_session_count > 0 || !one.failure_details.is_empty()
        };
        self.results.iter().any(failed)
    }
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

fn add_detail(details: &mut Vec<Failure>, detail: Failure) {
    let count = detail.failed_session_count;
    let same = |one: &Failure| Failure { failed_session_count: count, ..one.clone() } == detail;
    let is_full = details.len() == DETAILS_MAX;
    let index = details.iter().position(same);
    match index.and_then(|index| details.get_mut(index)) {
        Some(one) => add(&mut one.failed_session_count, count),
        None if is_full => {}
        None => details.push(detail),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn counts(tally: &Tally) -> Vec<(u64, u64, Vec<u64>)> {
        let of = |one: &PolicyResult| {
            let details = one.failure_details.iter().map(|one| one.failed_session_count).collect();
            let sum = one.summary;
            (sum.total_successful_session_count, sum.total_failure_session_count, details)
        };
        tally.results().iter().map(of).collect()
    }

    /// RFC 8460 §4.4.
    #[test]
    fn policies_are_shown_as_they_were_found() {
        let text = "version: STSv1\nmode: testing\nmx: *.example\nmax_age: 9\n";
        let policy = mtasts::parse_policy(text.as_bytes()).unwrap();
        let shown = sts_policy(&domain("example"), &policy);
        assert_eq!(
            shown.policy_string.join("\n"),
            "version: STSv1\nmode: testing\nmax_age: 9\nmx: *.example"
        );
        assert_eq!(shown.mx_host, ["*.example"]);
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![1, 2] };
        let shown = tlsa_policy(&domain("mx.example"), &[record]);
        assert_eq!(
            (shown.policy_string.join(""), shown.policy_domain.as_str()),
            ("3 1 1 0102".to_owned(), "mx.example")
        );
        assert_eq!(no_policy(&domain("example")).policy_type, PolicyType::NoPolicyFound);
    }

    #[test]
    fn equal_policies_and_failures_become_one() {
        let (one, two) = (no_policy(&domain("one.example")), no_policy(&domain("two.example")));
        let session = Session { host: Some(domain("mx.example")), ..Session::default() };
        let mut tally = Tally::default();
        tally.success(one.clone());
        assert!(!tally.has_failures());
        tally.success(one.clone());
        tally.failure(one.clone(), &session, TlsFailure::NotTls);
        tally.failure(one.clone(), &session, TlsFailure::NotTls);
        tally.failure(one.clone(), &session, TlsFailure::TimedOut);
        tally.failure(one, &Session::default(), TlsFailure::NotTls);
        tally.success(two);
        assert!(tally.has_failures());
        assert_eq!(counts(&tally), [(2, 4, vec![2, 1, 1]), (1, 0, vec![])]);
        let mut twice = Tally::new(tally.results().to_vec());
        twice.merge(tally);
        assert_eq!(counts(&twice), [(4, 8, vec![4, 2, 2]), (2, 0, vec![])]);
    }

    #[test]
    fn a_failure_is_told_with_all_that_is_known() {
        let session = Session {
            sending_ip: Some("192.0.2.1".parse().unwrap()),
            host: Some(domain("mx.example")),
            helo: Some("mail.example".to_owned()),
            receiving_ip: Some("2001:db8::1".parse().unwrap()),
        };
        let mut tally = Tally::default();
        tally.failure(no_policy(&domain("a.example")), &session, TlsFailure::RemoteAlert(40));
        let got = serde_json_like(&tally.results()[0].failure_details[0]);
        assert_eq!(
            got,
            "validation-failure 192.0.2.1 mx.example mail.example 2001:db8::1 1 \
             tls-remote-alert-40-handshake-failure"
        );
    }

    fn serde_json_like(one: &Failure) -> String {
        format!(
            "{} {} {} {} {} {} {}",
            one.result_type.as_str(),
            one.sending_mta_ip.unwrap(),
            one.receiving_mx_hostname.as_deref().unwrap(),
            one.receiving_mx_helo.as_deref().unwrap(),
            one.receiving_ip.unwrap(),
            one.failed_session_count,
            one.failure_reason_code.as_deref().unwrap()
        )
    }

    #[test]
    fn tallies_are_bounded() {
        let mut tally = Tally::default();
        for number in 0..RESULTS_MAX + 5 {
            tally.success(no_policy(&domain(&format!("d{number}.example"))));
        }
        assert_eq!(tally.results().len(), RESULTS_MAX);
        let mut tally = Tally::default();
        for number in 0..DETAILS_MAX + 5 {
            let code = u16::try_from(number).unwrap();
            let policy = no_policy(&domain("a.example"));
            tally.failure(policy, &Session::default(), TlsFailure::Refused(code));
        }
        let (_, sum, details) = &counts(&tally)[0];
        assert_eq!((*sum, details.len()), (DETAILS_MAX as u64 + 5, DETAILS_MAX));
        // Counts do not run over.
        let mut full = Tally::default();
        full.success(no_policy(&domain("a.example")));
        full.results[0].summary.total_successful_session_count = u64::MAX;
        full.success(no_policy(&domain("a.example")));
        assert_eq!(counts(&full), [(u64::MAX, 0, vec![])]);
    }

    proptest! {
        /// The order of sessions makes no difference to the sums.
        #[test]
        fn sums_are_kept(sessions in prop::collection::vec((0_u8..4, 0_u8..3), 0..60)) {
            let mut all = Tally::default();
            let (mut first, mut second) = (Tally::default(), Tally::default());
            for (index, (name, kind)) in sessions.iter().enumerate() {
                let policy = no_policy(&domain(&format!("d{name}.example")));
                let half = if index % 2 == 0 { &mut first } else { &mut second };
                for tally in [&mut all, half] {
                    match kind {
                        0 => tally.success(policy.clone()),
                        kind => {
                            let failure = TlsFailure::RemoteAlert(*kind);
                            tally.failure(policy.clone(), &Session::default(), failure);
                        }
                    }
                }
            }
            first.merge(second);
            let sort = |tally: Tally| {
                let mut results = tally.into_results();
                for one in &mut results {
                    one.failure_details.sort_by_key(|one| one.failure_reason_code.clone());
                }
                results.sort_by_key(|one| one.policy.policy_domain.clone());
                results
            };
            prop_assert_eq!(sort(all), sort(first));
        }
    }
}
