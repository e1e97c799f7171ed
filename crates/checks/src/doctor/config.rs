//! What is wrong with the configuration, and what was left half done.

use super::Facts;
use crate::Finding;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let faults = facts.config_faults.iter().map(|fault| {
        Finding::error(
            format!("configuration: {fault}"),
            "Correct the file at that line, then try: mox config test\nA server that runs keeps what \
             it read before; one that is started again does not start.",
        )
    });
    let notices = facts.config_notices.iter().map(|notice| {
        Finding::note(format!("configuration: {notice}"), "The key does nothing yet; it can stay.")
    });
    let unfinished = facts.unfinished.iter().cloned();
    let mut findings: Vec<_> = faults.chain(notices).chain(unfinished).collect();
    if facts.config_faults.is_empty() {
        findings.push(Finding::ok("the configuration has no faults"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::tests::NOW;

    #[test]
    fn faults_and_what_is_half_done_are_told() {
        let mut facts = Facts::at(NOW);
        assert_eq!(judge(&facts), [Finding::ok("the configuration has no faults")]);
        facts.config_faults.push("x:1: y".to_owned());
        facts.config_notices.push("x:2: z".to_owned());
        facts.unfinished.push(Finding::error("set-up was cut", "run it again"));
        let levels: Vec<_> = judge(&facts).into_iter().map(|one| one.level).collect();
        assert_eq!(levels, [Level::Error, Level::Note, Level::Error]);
    }
}
