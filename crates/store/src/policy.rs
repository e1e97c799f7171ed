//! What the configuration says about an account, as far as the store acts on it.

use std::sync::Arc;

use mox_base::{Flags, MailboxName, SpecialUse};
use mox_junk::{Kinds, Params};
use regex::Regex;

/// What the configuration says about one account.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The most bytes its messages may take; `None` for no bound.
    pub quota_bytes: Option<u64>,
    /// Junk flags set by the mailbox that a message comes to.
    pub junk_flags: JunkFlags,
    /// How junk is told from other mail; `None` to learn nothing.
    pub junk_filter: Option<JunkFilter>,
    /// Where first messages of strangers go, to be looked at.
    pub introbox: Option<MailboxName>,
    /// Where copies of refused messages go. Those that are accepted later leave it.
    pub rejects_mailbox: Option<MailboxName>,
    /// The mailboxes of a new account besides the Inbox, with their roles.
    pub initial_mailboxes: Vec<(MailboxName, SpecialUse)>,
    /// The mailboxes besides the Inbox and those below it that new mail goes to, sorted.
    pub inboxes: Vec<MailboxName>,
}

impl Policy {
    /// Whether new mail goes to a mailbox of this name: what RFC 5465 §6.4 calls INBOXES.
    #[must_use]
    pub fn is_inbox(&self, name: &MailboxName) -> bool {
        let inbox = MailboxName::inbox();
        name.is_inbox() || name.is_below(&inbox) || self.inboxes.binary_search(name).is_ok()
    }

    /// The mailboxes that a new account gets if the configuration does not say otherwise.
    #[must_use]
    pub fn default_mailboxes() -> Vec<(MailboxName, SpecialUse)> {
        let named = [
            ("Archive", SpecialUse::ARCHIVE),
            ("Drafts", SpecialUse::DRAFTS),
            ("Junk", SpecialUse::JUNK),
            ("Sent", SpecialUse::SENT),
            ("Trash", SpecialUse::TRASH),
        ];
        named
            .into_iter()
            .filter_map(|(name, role)| MailboxName::parse(name).ok().map(|name| (name, role)))
            .collect()
    }
}

/// Where the store asks for the policies. Asked at every operation, so an answer must be quick.
pub trait Policies: Send + Sync {
    /// The policy of this account; `None` if the configuration has no such account.
    fn policy(&self, account: &str) -> Option<Arc<Policy>>;
}

/// The same policy for every account; for tests and tools.
impl Policies for Policy {
    fn policy(&self, _account: &str) -> Option<Arc<Policy>> {
        Some(Arc::new(self.clone()))
    }
}

/// The setting JunkFilter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JunkFilter {
    /// Which words are learnt. If this changes, all is learnt anew.
    pub kinds: Kinds,
    /// How they are weighed.
    pub params: Params,
    /// The probability above which a message is unwanted, 0 to 1.
    pub threshold: f64,
}

/// The setting AutomaticJunkFlags: what the name of a mailbox says about the messages in it.
#[derive(Clone, Debug, Default)]
pub struct JunkFlags {
    /// Whether names count. The role `\Junk` counts in any case.
    pub enabled: bool,
    /// Lower-case names of mailboxes with junk.
    pub junk: Option<Regex>,
    /// Lower-case names of mailboxes that say nothing.
    pub neutral: Option<Regex>,
    /// Lower-case names of mailboxes without junk.
    pub not_junk: Option<Regex>,
}

impl JunkFlags {
    /// The flags of a message with `flags` that comes to this mailbox.
    ///
    /// If exactly one of the three patterns is missing, it stands for all other mailboxes.
    #[must_use]
    pub fn apply(&self, flags: Flags, name: &MailboxName, special_use: SpecialUse) -> Flags {
        let set = |junk, not_junk| flags.with(Flags::JUNK, junk).with(Flags::NOT_JUNK, not_junk);
        if special_use.contains(SpecialUse::JUNK) {
            return set(true, false);
        }
        if !self.enabled {
            return flags;
        }
        let name = name.as_str().to_lowercase();
        let matches = |pattern: &Option<Regex>| pattern.as_ref().is_some_and(|p| p.is_match(&name));
        if matches(&self.junk) {
            return set(true, false);
        }
        if matches(&self.neutral) {
            return set(false, false);
        }
        if matches(&self.not_junk) {
            return set(false, true);
        }
        match (&self.junk, &self.neutral, &self.not_junk) {
            (None, Some(_), Some(_)) => set(true, false),
            (Some(_), None, Some(_)) => set(false, false),
            (Some(_), Some(_), None) => set(false, true),
            _ => flags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rules: [&str; 3], name: &str, role: SpecialUse, want: Flags) {
        let pattern = |text: &str| (!text.is_empty()).then(|| Regex::new(text).unwrap());
        let [junk, neutral, not_junk] = rules.map(pattern);
        let rules = JunkFlags { enabled: true, junk, neutral, not_junk };
        let name = MailboxName::parse(name).unwrap();
        assert_eq!(rules.apply(Flags::PHISHING, &name, role), want | Flags::PHISHING, "{name}");
    }

    #[test]
    fn the_mailbox_decides_the_junk_flags() {
        let usual = ["^(junk|spam)", "^(inbox|neutral)", ""];
        check(usual, "Spam/2026", SpecialUse::NONE, Flags::JUNK);
        check(usual, "Inbox", SpecialUse::NONE, Flags::NONE);
        check(usual, "Lists", SpecialUse::NONE, Flags::NOT_JUNK);
        check(usual, "Inbox", SpecialUse::JUNK, Flags::JUNK);
        // With two patterns missing, none stands for the rest.
        check(["^junk", "", ""], "Lists", SpecialUse::NONE, Flags::NONE);
        check(["", "^inbox", "^lists"], "Else", SpecialUse::NONE, Flags::JUNK);
        check(["^junk", "", "^lists"], "Else", SpecialUse::NONE, Flags::NONE);
    }

    /// RFC 5465 §6.4.
    #[test]
    fn mail_goes_to_the_inbox_and_where_rules_say() {
        let name = |text: &str| MailboxName::parse(text).unwrap();
        let policy = Policy { inboxes: vec![name("a"), name("b/c")], ..Policy::default() };
        for inbox in ["inbox", "Inbox/x/y", "a", "b/c"] {
            assert!(policy.is_inbox(&name(inbox)), "{inbox}");
        }
        for other in ["b", "a/b", "b/c/d", "inboxes"] {
            assert!(!policy.is_inbox(&name(other)), "{other}");
        }
    }

    #[test]
    fn the_junk_role_counts_even_when_names_do_not() {
        let rules = JunkFlags::default();
        let inbox = MailboxName::inbox();
        assert_eq!(rules.apply(Flags::NOT_JUNK, &inbox, SpecialUse::JUNK), Flags::JUNK);
        assert_eq!(rules.apply(Flags::NOT_JUNK, &inbox, SpecialUse::NONE), Flags::NOT_JUNK);
    }
}
