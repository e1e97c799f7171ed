//! Patterns over mailbox names, and special uses.
//!
//! Source: RFC 9051 §5.1, RFC 9051 §6.3.9.

use mox_base::MAILBOX_NAME_BYTES_MAX;

/// The hierarchy separator.
pub const SEPARATOR: char = '/';

/// Writes a first element `inbox` as `Inbox`.
fn with_inbox(text: &str) -> String {
    match text.split_once(SEPARATOR) {
        None if text.eq_ignore_ascii_case("inbox") => "Inbox".to_owned(),
        Some((first, rest)) if first.eq_ignore_ascii_case("inbox") => format!("Inbox/{rest}"),
        _ => text.to_owned(),
    }
}

/// A LIST or LSUB pattern joined with its reference, ready to match.
///
/// `*` stands for any characters, `%` for any but the separator. RFC 9051 §6.3.9.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPattern(Vec<char>);

impl ListPattern {
    /// Joins reference and pattern; `None` for a combination that matches nothing.
    #[must_use]
    pub fn new(reference: &str, pattern: &str) -> Option<Self> {
        if reference.starts_with(SEPARATOR) || pattern.starts_with(SEPARATOR) {
            return None;
        }
        // A longer pattern than a name can still match through its wildcards, but nobody needs it,
        // and matching costs name times pattern.
        if reference.len() + pattern.len() > MAILBOX_NAME_BYTES_MAX {
            return None;
        }
        let mut joined = String::new();
        for element in reference.split(SEPARATOR).chain(pattern.split(SEPARATOR)) {
            if element.is_empty() {
                continue;
            }
            if !joined.is_empty() {
                joined.push(SEPARATOR);
            }
            joined.push_str(element);
        }
        let mut chars: Vec<char> = with_inbox(&joined).chars().collect();
        // `**` is `*`, and so is `*%`: shorter, and matching stays cheap.
        chars.dedup_by(|next, last| {
            let both_wild = matches!(*next, '*' | '%') && matches!(*last, '*' | '%');
            if both_wild && *next == '*' {
                *last = '*';
            }
            both_wild
        });
        Some(Self(chars))
    }

    /// Whether a name matches. O(name × pattern) at worst, without recursion.
    ///
    /// RFC 9051 §6.3.9: the name Inbox is compared in upper case as well.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let below_inbox = name.strip_prefix("Inbox");
        let below_inbox = below_inbox.filter(|rest| rest.is_empty() || rest.starts_with(SEPARATOR));
        self.matches_exactly(name)
            || below_inbox.is_some_and(|rest| self.matches_exactly(&format!("INBOX{rest}")))
    }

    fn matches_exactly(&self, name: &str) -> bool {
        // The set of pattern positions that can be reached after each character of the name.
        let mut reached = vec![false; self.0.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        self.pass_wildcards(&mut reached);
        for char in name.chars() {
            let mut next = vec![false; reached.len()];
            for (at, pattern) in self.0.iter().enumerate() {
                if !reached.get(at).copied().unwrap_or_default() {
                    continue;
                }
                let to = match pattern {
                    '*' => Some(at),
                    '%' if char != SEPARATOR => Some(at),
                    '%' => None,
                    literal => (*literal == char).then_some(at + 1),
                };
                if let Some(slot) = to.and_then(|to| next.get_mut(to)) {
                    *slot = true;
                }
            }
            self.pass_wildcards(&mut next);
            reached = next;
        }
        reached.last().copied().unwrap_or_default()
    }

    /// A wildcard may stand for nothing.
    fn pass_wildcards(&self, reached: &mut [bool]) {
        for (at, pattern) in self.0.iter().enumerate() {
            let here = reached.get(at).copied().unwrap_or_default();
            if here
                && matches!(pattern, '*' | '%')
                && let Some(slot) = reached.get_mut(at + 1)
            {
                *slot = true;
            }
        }
    }

    /// Whether the pattern ends in `%`. RFC 3501 §6.3.9 gives LSUB a rule of its own for these.
    #[must_use]
    pub fn ends_in_percent(&self) -> bool {
        self.0.last() == Some(&'%')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_match(reference: &str, pattern: &str, name: &str, want: bool) {
        let got = ListPattern::new(reference, pattern).is_some_and(|p| p.matches(name));
        assert_eq!(got, want, "{reference:?} {pattern:?} {name:?}");
    }

    /// RFC 9051 §6.3.9.
    #[test]
    fn wildcards_match_within_and_across_levels() {
        check_match("", "*", "a/b", true);
        check_match("", "%", "a/b", false);
        check_match("", "%", "a", true);
        check_match("", "%/%", "a/b", true);
        check_match("", "a%c", "abbc", true);
        check_match("", "a*c", "a/b/c", true);
        check_match("", "a%c", "a/c", false);
        check_match("a", "%", "a/b", true);
        check_match("a/", "b", "a/b", true);
        check_match("", "inbox", "Inbox", true);
        check_match("", "INBOX/*", "Inbox/x", true);
        check_match("", "INBO*", "Inbox", true);
        check_match("", "INBOX*", "Inbox/x", true);
        check_match("", "INBO*", "Inboxes", false);
        check_match("", "inbo*", "Inbox", false);
        check_match("", "Inbo*", "Inbox", true);
        check_match("/", "a", "a", false);
        check_match("", "/a", "a", false);
        check_match("", "", "a", false);
        check_match("", "%*%*%", "a/b", true);
    }

    /// An attacker's pattern must not make matching exponential.
    #[test]
    fn many_wildcards_stay_cheap() {
        let pattern = "*a".repeat(MAILBOX_NAME_BYTES_MAX / 2);
        let name = "a".repeat(MAILBOX_NAME_BYTES_MAX - 1) + "b";
        check_match("", &pattern, &name, false);
        check_match("", &"*".repeat(MAILBOX_NAME_BYTES_MAX), &name, true);
        check_match("", &"*".repeat(MAILBOX_NAME_BYTES_MAX + 1), &name, false);
    }
}
