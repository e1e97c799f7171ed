//! Mail that does not get out.

use mox_base::UnixSeconds;

use super::{Facts, ServerFacts};
use crate::Finding;

/// A message that is in the queue for longer will probably be given up: half of all attempts are
/// made by then.
const OLD_SECS: i64 = 16 * 3600;

/// So many at once are more than a small server sends: spam of somebody who stole a password, or a
/// way out that is closed.
const MANY: u64 = 1_000;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(server) = &facts.server else { return Vec::new() };
    let ServerFacts { queued, held, oldest, .. } = server;
    let mut findings = Vec::new();
    if *held > 0 {
        findings.push(Finding::warning(
            format!("{held} messages in the queue are held: they are not sent"),
            "See which: mox queue list -hold true\nLet them go: mox queue unhold -ids ...\nWhat holds them: \
             mox queue holdrules list",
        ));
    }
    let age = oldest.map_or(0, |oldest| facts.now.secs_since(UnixSeconds(oldest)));
    if age > OLD_SECS {
        findings.push(Finding::warning(
            format!("the oldest message in the queue waits for {} hours", age / 3600),
            "See why: mox queue list, then mox queue dump and the log with its number. Often the \
             receiving server is down, or refuses this one: look for its words in the results.",
        ));
    }
    if *queued >= MANY {
        findings.push(Finding::warning(
            format!("{queued} messages are in the queue"),
            "If nobody here sent that many, somebody has a password: see who with mox queue list, then \
             switch the account off with mox config account disable.",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("{queued} messages in the queue, none held")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::tests::NOW;

    #[track_caller]
    fn check(queued: u64, held: u64, age_secs: i64, want: &[Level]) {
        let mut facts = Facts::at(NOW);
        let oldest = (queued > 0).then(|| NOW.plus_secs(-age_secs).0);
        facts.server = Some(ServerFacts { queued, held, oldest, ..ServerFacts::default() });
        let levels: Vec<_> = judge(&facts).into_iter().map(|one| one.level).collect();
        assert_eq!(levels, want);
    }

    #[test]
    fn mail_must_get_out() {
        check(0, 0, 0, &[Level::Ok]);
        check(MANY - 1, 0, OLD_SECS, &[Level::Ok]);
        check(1, 1, OLD_SECS + 1, &[Level::Warning, Level::Warning]);
        check(MANY, 0, 0, &[Level::Warning]);
        assert!(judge(&Facts::at(NOW)).is_empty());
    }
}
