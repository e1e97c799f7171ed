//! Names of mailboxes as other programs and file systems have them, made into ours.

use mox_base::{MAILBOX_DEPTH_MAX, MAILBOX_NAME_BYTES_MAX, MailboxName, SpecialUse};
use mox_imap::types::utf7;
use unicode_normalization::UnicodeNormalization as _;

/// What stands for a level without a name that we can have.
const NAMELESS: &str = "unnamed";

/// The name of a mailbox with these levels, and whether it had to be changed to be valid.
///
/// Levels that are empty are left out. `None` if none is left. Unicode is composed (NFC), which is
/// no change worth telling.
#[must_use]
pub fn mailbox_name<'a>(levels: impl IntoIterator<Item = &'a str>) -> Option<(MailboxName, bool)> {
    let mut composed = Vec::new();
    for level in levels {
        let level: String = level.nfc().take(MAILBOX_NAME_BYTES_MAX).collect();
        composed.extend(Some(level).filter(|level| !level.is_empty()));
    }
    if composed.is_empty() {
        return None;
    }
    // A level may have the separator in it where another program's is another.
    let is_whole = composed.iter().all(|level| !level.contains('/'));
    match MailboxName::parse(&composed.join("/")) {
        Ok(name) if is_whole => Some((name, false)),
        _ => Some((repaired(&composed), true)),
    }
}

fn repaired(levels: &[String]) -> MailboxName {
    let mut text = String::new();
    for level in levels.iter().take(MAILBOX_DEPTH_MAX) {
        let level = repaired_level(level);
        if text.len() + level.len() + 1 > MAILBOX_NAME_BYTES_MAX {
            break;
        }
        if !text.is_empty() {
            text.push('/');
        }
        text.push_str(&level);
    }
    if text.starts_with('#') {
        text.replace_range(..1, "_");
    }
    MailboxName::parse(&text)
        .or_else(|_| MailboxName::parse(NAMELESS))
        .unwrap_or_else(|_| MailboxName::inbox())
}

/// The longest level that a name with too much in it keeps.
const LEVEL_BYTES_MAX: usize = 200;

fn repaired_level(level: &str) -> String {
    let bad = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '/');
    let mut good: String = level.chars().map(|c| if bad(c) { '_' } else { c }).nfc().collect();
    if good.len() > LEVEL_BYTES_MAX {
        let end = (0..=LEVEL_BYTES_MAX).rev().find(|end| good.is_char_boundary(*end));
        good.truncate(end.unwrap_or_default());
    }
    match good.as_str() {
        "." | ".." | "" => NAMELESS.to_owned(),
        _ => good,
    }
}

/// The levels in the name of a folder of Maildir++, such as `.Lists.Entw&APw-rfe`.
///
/// Dovecot and Courier write names in the UTF-7 of IMAP (RFC 3501 §5.1.3); what is not valid in that
/// is taken as it is.
pub(crate) fn maildir_levels(folder: &str) -> Vec<String> {
    let name = folder.strip_prefix('.').unwrap_or(folder);
    name.split('.').map(decode_utf7).collect()
}

/// A name in the UTF-7 of IMAP as text; as it is if it is not valid.
#[must_use]
pub fn decode_utf7(name: &str) -> String {
    utf7::decode(name.as_bytes()).unwrap_or_else(|_| name.to_owned())
}

/// Names that mail programs give to mailboxes with a role, in lower case.
const ROLES: [(&str, SpecialUse); 22] = [
    ("archive", SpecialUse::ARCHIVE),
    ("archives", SpecialUse::ARCHIVE),
    ("all mail", SpecialUse::ARCHIVE),
    ("drafts", SpecialUse::DRAFTS),
    ("draft", SpecialUse::DRAFTS),
    ("entwürfe", SpecialUse::DRAFTS),
    ("junk", SpecialUse::JUNK),
    ("junk mail", SpecialUse::JUNK),
    ("junk e-mail", SpecialUse::JUNK),
    ("junk email", SpecialUse::JUNK),
    ("bulk mail", SpecialUse::JUNK),
    ("spam", SpecialUse::JUNK),
    ("sent", SpecialUse::SENT),
    ("sent items", SpecialUse::SENT),
    ("sent mail", SpecialUse::SENT),
    ("sent messages", SpecialUse::SENT),
    ("sent-mail", SpecialUse::SENT),
    ("trash", SpecialUse::TRASH),
    ("bin", SpecialUse::TRASH),
    ("deleted", SpecialUse::TRASH),
    ("deleted items", SpecialUse::TRASH),
    ("deleted messages", SpecialUse::TRASH),
];

/// The role that a mailbox has by its name, if mail programs use that for one.
#[must_use]
pub fn role_by_name(name: &MailboxName) -> SpecialUse {
    // Only at the top, or below the Inbox, where some servers keep everything.
    let text = name.as_str();
    let text = text.strip_prefix("Inbox/").unwrap_or(text).to_lowercase();
    let known = ROLES.iter().find(|(known, _)| *known == text);
    known.map_or(SpecialUse::NONE, |(_, role)| *role)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(levels: &[&str], want: Option<(&str, bool)>) {
        let name = mailbox_name(levels.iter().copied());
        let got = name.as_ref().map(|(name, changed)| (name.as_str(), *changed));
        assert_eq!(got, want, "{levels:?}");
    }

    #[test]
    fn names_become_valid() {
        check(&["INBOX", "a"], Some(("Inbox/a", false)));
        check(&["e\u{301}"], Some(("\u{e9}", false)));
        check(&["", "a", ""], Some(("a", false)));
        // At the edge.
        check(&["..a"], Some(("..a", false)));
        check(&[""], None);
        check(&[], None);
        // Just past it.
        check(&["a/b"], Some(("a_b", true)));
        check(&["..", "a"], Some(("unnamed/a", true)));
        check(&["#news"], Some(("_news", true)));
        check(&["a\u{7}b"], Some(("a_b", true)));
        let long = "é".repeat(600);
        check(&[&long, "b"], Some((&format!("{}/b", "é".repeat(100)), true)));
        check(&["a"; 60], Some((&["a"; 50].join("/"), true)));
    }

    #[test]
    fn folders_of_maildir_have_levels() {
        assert_eq!(maildir_levels(".Sent.2020"), ["Sent", "2020"]);
        assert_eq!(maildir_levels(".Entw&APw-rfe"), ["Entwürfe"]);
        assert_eq!(maildir_levels(".a&b"), ["a&b"]);
        assert_eq!(maildir_levels("."), [""]);
    }

    #[test]
    fn roles_go_by_well_known_names() {
        let role = |name: &str| role_by_name(&MailboxName::parse(name).unwrap());
        assert_eq!(role("Sent Items"), SpecialUse::SENT);
        assert_eq!(role("INBOX/Trash"), SpecialUse::TRASH);
        assert_eq!(role("Spam"), SpecialUse::JUNK);
        assert_eq!(role("Inbox"), SpecialUse::NONE);
        assert_eq!(role("Lists/Sent"), SpecialUse::NONE);
    }

    proptest! {
        #[test]
        fn any_levels_give_a_name(levels in proptest::collection::vec("\\PC{0,40}|[./#\u{1}]{0,3}", 0..60)) {
            let name = mailbox_name(levels.iter().map(String::as_str));
            prop_assert_eq!(name.is_some(), levels.iter().any(|level| !level.is_empty()));
        }
    }
}
