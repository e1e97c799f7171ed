//! How old a domain is.

use std::time::Duration;

use mox_base::Domain;
use tokio::time::timeout;

use crate::rdap::{self, Age};
use crate::{Finding, Services};

/// How long finding out takes at most.
pub const DOMAIN_AGE_WAIT: Duration = Duration::from_secs(10);

/// Days for which a domain is new to others: six weeks.
pub const RECENT_DAYS: i64 = 6 * 7;

/// Asks the registry how old a domain is: the one that somebody registered, of which `domain` is a
/// part. That it cannot be found out is no fault.
pub async fn domain_age(services: &Services, domain: &Domain) -> Finding {
    let registered = mox_dns::organizational_domain(domain);
    let asked = timeout(DOMAIN_AGE_WAIT, rdap::registration(services, &registered)).await;
    let since = match asked {
        Ok(Ok(since)) => since,
        Ok(Err(error)) => {
            return Finding::note(format!("age of {registered} is not known: {error}"), "");
        }
        Err(_) => {
            return Finding::note(
                format!("age of {registered} is not known: no answer in time"),
                "",
            );
        }
    };
    let now = services.clock.now();
    let what = format!("{registered} was registered {} ago", Age::between(since, now));
    if now.secs_since(since) >= RECENT_DAYS * 86_400 {
        return Finding::ok(what);
    }
    Finding::warning(
        format!("{what}, which is recent"),
        "Large mail providers trust new domains little: mail may land in spam folders for some weeks.\n\
         Send little at first, to people who know you, and ask them to mark the mail as wanted.",
    )
}

#[cfg(test)]
mod tests {
    use mox_dns::FakeDns;

    use super::*;
    use crate::rdap::tests::with_registry;
    use crate::tests::services;
    use crate::{FakeNetwork, Level};

    #[track_caller]
    fn check(network: FakeNetwork, domain: &str, want: (Level, &str)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let domain = Domain::parse(domain).unwrap();
        let finding = runtime.block_on(domain_age(&services(FakeDns::new(), network), &domain));
        assert_eq!((finding.level, finding.what.as_str()), want);
    }

    #[test]
    fn young_domains_are_told() {
        // The clock of tests is at 2026-01-01.
        let network = |date: &str| with_registry("a.example", date);
        let want = "a.example was registered 25 years, 31 days ago";
        check(network("2000-12-01T00:00:00Z"), "mail.a.example", (Level::Ok, want));
        let want = "a.example was registered 42 days ago";
        check(network("2025-11-20T00:00:00Z"), "a.example", (Level::Ok, want));
        let want = "a.example was registered 41 days ago, which is recent";
        check(network("2025-11-20T00:00:01Z"), "a.example", (Level::Warning, want));
        let want = "age of b.example is not known: the registry does not know the domain";
        check(network("2025-11-20T00:00:01Z"), "b.example", (Level::Note, want));
    }
}
