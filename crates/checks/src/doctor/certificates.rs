//! Certificates: how long they last, whom they are for, and whether new ones come.

use mox_base::{DateTime, UnixSeconds};
use mox_tlspolicy::pkix::CertFault;

use super::ports::{Port, PortState};
use super::{Facts, FailedCertificate};
use crate::Finding;

/// A certificate that ends within this many days should have been replaced: what renews does so a
/// third of its life or 30 days before.
const SOON_DAYS: i64 = 14;

/// Within this many days somebody has to look.
const NOW_DAYS: i64 = 3;

const DAY_SECS: i64 = 86_400;

/// The certificate that a port has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// For whom it should be.
    pub host: String,
    /// When it ends.
    pub not_after: Option<UnixSeconds>,
    /// What others have against it.
    pub fault: Option<CertFault>,
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: Vec<&Shown> = Vec::new();
    for Port { service, address, state } in &facts.ports {
        let PortState::Ours(Some(shown)) = state else { continue };
        // The same certificate is told once, whatever the number of ports.
        if !seen.contains(&shown) {
            seen.push(shown);
            findings.push(judge_shown(shown, facts.now, &format!("{service} at {address}")));
        }
    }
    if let Some(server) = &facts.server {
        findings.extend(server.failed_certificates.iter().map(|one| failed(one, facts.now)));
    }
    findings
}

fn judge_shown(shown: &Shown, now: UnixSeconds, place: &str) -> Finding {
    let host = &shown.host;
    let how = "With ACME, see what \"certificates\" are complained of here and in the log. With \
               certificates from files, put the new ones in the place of the old: they are read within \
               a minute.";
    let days = shown.not_after.map(|end| end.secs_since(now) / DAY_SECS);
    let until =
        shown.not_after.map(|end| DateTime::from_unix(end).to_rfc3339()).unwrap_or_default();
    match (shown.fault, days) {
        (Some(fault @ (CertFault::Expired | CertFault::NotYetValid | CertFault::OtherName)), _) => {
            Finding::error(format!("certificate for {host} ({place}): {fault}"), how)
        }
        (_, Some(days)) if days < NOW_DAYS => {
            Finding::error(format!("certificate for {host} ({place}) ends at {until}"), how)
        }
        (_, Some(days)) if days < SOON_DAYS => {
            Finding::warning(format!("certificate for {host} ({place}) ends at {until}"), how)
        }
        (Some(fault), _) => Finding::warning(
            format!("certificate for {host} ({place}) is not vouched for: {fault}"),
            "Mail programs refuse it, or ask their users. Use ACME, or a certificate of an authority that \
             all trust; if others trust a private one, list it in mox.conf under TLS, CA.",
        ),
        (None, _) => Finding::ok(format!("certificate for {host} ({place}) is good until {until}")),
    }
}

fn failed(one: &FailedCertificate, now: UnixSeconds) -> Finding {
    let FailedCertificate { host, not_after, error } = one;
    let what = format!("no new certificates for {host} from the provider: {error}");
    let how = format!(
        "{host} must lead to this machine, with port 443 or 80 reachable from everywhere. If the name is \
         not used, take it out of the configuration. It is tried again by itself; do not force it: \
         providers count attempts."
    );
    let days = not_after.map(|end| UnixSeconds(end).secs_since(now) / DAY_SECS);
    match days {
        Some(days) if days >= SOON_DAYS => Finding::warning(what, how),
        _ => Finding::error(what, how),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::doctor::ServerFacts;
    use crate::tests::NOW;

    #[track_caller]
    fn check(secs_left: i64, fault: Option<CertFault>, want: Level) {
        let mut facts = Facts::at(NOW);
        let end = Some(NOW.plus_secs(secs_left));
        let shown = Shown { host: "mx.example".to_owned(), not_after: end, fault };
        let state = PortState::Ours(Some(shown));
        let address = "127.0.0.1:993".parse().unwrap();
        let port = Port { service: "imaps", address, state };
        facts.ports = vec![port.clone(), port];
        let findings = judge(&facts);
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(finding.level, want, "{finding}");
    }

    #[test]
    fn certificates_must_last() {
        check(60 * DAY_SECS, None, Level::Ok);
        check(SOON_DAYS * DAY_SECS, None, Level::Ok);
        check(SOON_DAYS * DAY_SECS - 1, None, Level::Warning);
        check(NOW_DAYS * DAY_SECS - 1, None, Level::Error);
        check(-1, Some(CertFault::Expired), Level::Error);
        check(60 * DAY_SECS, Some(CertFault::OtherName), Level::Error);
        check(60 * DAY_SECS, Some(CertFault::UnknownIssuer), Level::Warning);
    }

    #[test]
    fn renewals_that_fail_are_told_in_time() {
        for (days, want) in
            [(Some(20), Level::Warning), (Some(13), Level::Error), (None, Level::Error)]
        {
            let mut facts = Facts::at(NOW);
            let not_after = days.map(|days: i64| NOW.plus_secs(days * DAY_SECS).0);
            let one = FailedCertificate { host: "a.example".into(), not_after, error: "no".into() };
            facts.server =
                Some(ServerFacts { failed_certificates: vec![one], ..ServerFacts::default() });
            assert_eq!(judge(&facts)[0].level, want, "{days:?}");
        }
    }
}
