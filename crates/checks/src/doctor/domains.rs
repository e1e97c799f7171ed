//! What the checks of domains found, in one list.

use crate::Finding;
use crate::domain::CheckResult;

/// Subjects that are each domain's own, though the text may name none: they are told of each.
const OF_DOMAIN: [&str; 4] = ["DKIM", "DMARC", "Domain TLSRPT", "MTA-STS"];

/// Each subject of each domain that has something wrong. What is about the host, and the same for all
/// domains, is told once.
pub(super) fn judge(domains: &[CheckResult]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for result in domains {
        let mut is_clean = true;
        for (subject, told) in result.subjects() {
            let about = |text: &String| format!("{} of {}: {text}", subject, result.domain);
            let how = match told.instructions.join("\n") {
                how if how.is_empty() => format!("See: mox config dnscheck {}", result.domain),
                how => how,
            };
            is_clean &= told.is_clean();
            let errors = told.errors.iter().map(|text| Finding::error(about(text), &how));
            let warnings = told.warnings.iter().map(|text| Finding::warning(about(text), &how));
            for finding in errors.chain(warnings) {
                let text =
                    |one: &Finding| one.what.split_once(": ").map(|(_, text)| text.to_owned());
                let is_known = !OF_DOMAIN.contains(&subject)
                    && findings.iter().any(|one| text(one) == text(&finding));
                if !is_known {
                    findings.push(finding);
                }
            }
        }
        if is_clean {
            findings.push(Finding::ok(format!(
                "DNS and servers of {} are as they should be",
                result.domain
            )));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    #[test]
    fn what_is_wrong_with_domains_is_told_once() {
        let mut one = CheckResult { domain: "a.example".to_owned(), ..CheckResult::default() };
        one.mx.told.errors.push("look up MX of a.example: no".to_owned());
        one.mx.told.instructions.push("Add it.".to_owned());
        one.ip_rev.told.warnings.push("8.8.4.4 leads elsewhere".to_owned());
        let mut other = CheckResult { domain: "b.example".to_owned(), ..CheckResult::default() };
        other.ip_rev.told.warnings.push("8.8.4.4 leads elsewhere".to_owned());
        for one in [&mut one, &mut other] {
            one.dkim.told.errors.push("DKIM key of selector s1: no key found".to_owned());
        }
        let clean = CheckResult { domain: "c.example".to_owned(), ..CheckResult::default() };
        let found = judge(&[one, other, clean]);
        let told: Vec<_> = found.iter().map(|one| (one.level, one.what.as_str())).collect();
        let want = [
            (Level::Warning, "IPRev of a.example: 8.8.4.4 leads elsewhere"),
            (Level::Error, "MX of a.example: look up MX of a.example: no"),
            (Level::Error, "DKIM of a.example: DKIM key of selector s1: no key found"),
            (Level::Error, "DKIM of b.example: DKIM key of selector s1: no key found"),
            (Level::Ok, "DNS and servers of c.example are as they should be"),
        ];
        assert_eq!(told, want);
        assert_eq!(found[1].next_step, "Add it.");
    }
}
