//! Which mailboxes NOTIFY watches and a search over several goes through.
//!
//! Source: RFC 5465 §6, RFC 7377 §2.2.

use mox_base::MailboxName;

/// The most names in the filters of one command. Ours; a command line holds few more.
pub const FILTER_NAMES_MAX: usize = 1_000;

/// `filter-mailboxes`. Lists of names are sorted and without duplicates: make them with
/// [`MailboxFilter::names`]. A name that no mailbox can have is left out, as one that none has is
/// ignored (RFC 5465 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailboxFilter {
    /// `SELECTED`: the selected mailbox. RFC 5465 §6.1.
    Selected,
    /// `SELECTED-DELAYED`: the same, removals not before a command that may tell them.
    /// RFC 5465 §6.2.
    SelectedDelayed,
    /// `INBOXES`: where new mail goes. RFC 5465 §6.4.
    Inboxes,
    /// `PERSONAL`: all that are the user's. RFC 5465 §6.3.
    Personal,
    /// `SUBSCRIBED`. RFC 5465 §6.5.
    Subscribed,
    /// `SUBTREE`: these and all below them. RFC 5465 §6.6.
    Subtree(Vec<MailboxName>),
    /// `SUBTREE-ONE`: these and the children of each. RFC 7377 §2.2.
    SubtreeOne(Vec<MailboxName>),
    /// `MAILBOXES`: these. RFC 5465 §6.7.
    Mailboxes(Vec<MailboxName>),
}

/// A mailbox, or a name that may be that of one, as a filter looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a MailboxName,
    /// Whether the name is subscribed.
    pub is_subscribed: bool,
    /// Whether new mail goes there.
    pub is_inbox: bool,
}

impl MailboxFilter {
    /// Names as the lists hold them.
    #[must_use]
    pub fn names(mut names: Vec<MailboxName>) -> Vec<MailboxName> {
        names.sort();
        names.dedup();
        names
    }

    /// How many names it holds.
    #[must_use]
    pub fn name_count(&self) -> usize {
        match self {
            Self::Subtree(names) | Self::SubtreeOne(names) | Self::Mailboxes(names) => names.len(),
            _ => 0,
        }
    }

    /// Whether the filter is about the selected mailbox, whatever its name.
    #[must_use]
    pub fn is_of_selected(&self) -> bool {
        matches!(self, Self::Selected | Self::SelectedDelayed)
    }

    /// Whether more than a name is needed to tell what matches.
    #[must_use]
    pub fn needs_facts(&self) -> bool {
        matches!(self, Self::Inboxes | Self::Subscribed)
    }

    /// Whether a mailbox matches by what it is; none does for the two kinds of selected.
    ///
    /// O(levels × log names), whatever the list.
    #[must_use]
    pub fn matches(&self, mailbox: Candidate<'_>) -> bool {
        let has = |names: &[MailboxName], name: &MailboxName| names.binary_search(name).is_ok();
        match self {
            Self::Selected | Self::SelectedDelayed => false,
            Self::Inboxes => mailbox.is_inbox,
            Self::Personal => true,
            Self::Subscribed => mailbox.is_subscribed,
            Self::Mailboxes(names) => has(names, mailbox.name),
            Self::SubtreeOne(names) => {
                has(names, mailbox.name)
                    || mailbox.name.parent().is_some_and(|parent| has(names, &parent))
            }
            Self::Subtree(names) => {
                let above = std::iter::successors(mailbox.name.parent(), MailboxName::parent);
                has(names, mailbox.name) || above.into_iter().any(|parent| has(names, &parent))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> MailboxName {
        MailboxName::parse(text).unwrap()
    }

    #[track_caller]
    fn check(filter: &MailboxFilter, matching: &[&str], others: &[&str]) {
        for (texts, want) in [(matching, true), (others, false)] {
            for text in texts {
                let name = name(text);
                let (is_subscribed, is_inbox) = (text.ends_with('s'), name.is_inbox());
                let got = filter.matches(Candidate { name: &name, is_subscribed, is_inbox });
                assert_eq!(got, want, "{filter:?} {text}");
            }
        }
    }

    /// RFC 5465 §6.1 to §6.7, RFC 7377 §2.2.
    #[test]
    fn filters_match_what_they_say() {
        let names = |texts: &[&str]| MailboxFilter::names(texts.iter().map(|t| name(t)).collect());
        check(&MailboxFilter::Personal, &["inbox", "a", "a/b/c"], &[]);
        check(&MailboxFilter::Selected, &[], &["inbox", "a"]);
        check(&MailboxFilter::SelectedDelayed, &[], &["inbox", "a"]);
        check(&MailboxFilter::Inboxes, &["inbox"], &["a", "lists"]);
        check(&MailboxFilter::Subscribed, &["lists", "a/s"], &["inbox", "s/a"]);
        let list = names(&["b", "a/b", "INBOX", "b"]);
        assert_eq!(list.len(), 3);
        check(&MailboxFilter::Mailboxes(list.clone()), &["Inbox", "a/b", "b"], &["a", "b/c", "B"]);
        let one = ["Inbox", "inbox/x", "a/b", "a/b/c", "b/a"];
        check(&MailboxFilter::SubtreeOne(list.clone()), &one, &["a", "ab", "a/b/c/d", "inbox/x/y"]);
        check(&MailboxFilter::Subtree(list), &["Inbox/x/y", "a/b/c/d", "b"], &["a", "bc", "a/c"]);
        check(&MailboxFilter::Mailboxes(Vec::new()), &[], &["a"]);
    }
}
