//! What became of TLS in an attempt, counted for the reports to the domains concerned. RFC 8460 §4.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mox_base::{Domain, UnixSeconds};
use mox_dns::Tlsa;
use mox_net::tls::client::TlsOutcome;
use mox_queue::Kind;
use mox_reportdb::NewTlsResult;
use mox_reports::tls::{Policy, PolicyResult, ResultType, Summary};
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
        let is_listed = about.policy.is_none_or(|policy| policy.matches(host));
        match &outcome.pkix {
            Err(fault) if about.policy.is_some() => {
                let failure = TlsFailure::Certificate(*fault);
                self.domain.failure(about.domain_policy(), &session, failure);
            }
            // That it is not listed was counted where that was found.
            _ if !is_listed => {}
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
        self.domain.add(tell(about.domain_policy()));
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

    /// The policy could not be had.
    pub(crate) fn policy_failure(&mut self, domain: &Domain, failure: &StsFailure) {
        let result = failure.result_type.clone();
        let detail = detail(&Session::default(), result, &failure.reason);
        let policy = no_policy(domain);
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
