//! The names of mailboxes, the same for every protocol.

use std::fmt;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// The longest mailbox name, in bytes of UTF-8. Ours; the RFC sets no bound.
pub const MAILBOX_NAME_BYTES_MAX: usize = 1_000;

/// The most levels a name may have. Ours.
pub const MAILBOX_DEPTH_MAX: usize = 50;

/// A full mailbox name, its levels separated by `/`, in Unicode NFC.
///
/// The first level is `Inbox` in exactly this case if it is the word in any case (RFC 9051 §5.1).
/// Otherwise names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(Box<str>);

/// Why a mailbox name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxNameError {
    /// Empty, or an empty level: a leading, trailing or double slash.
    Empty,
    /// Longer than [`MAILBOX_NAME_BYTES_MAX`] or deeper than [`MAILBOX_DEPTH_MAX`].
    TooLong,
    /// Not in Unicode normalisation form C (RFC 5198 §2).
    NotNfc,
    /// A level is `.` or `..`.
    Dots,
    /// Begins with `#`, which marks other namespaces (RFC 9051 §5.1.2.1).
    Hash,
    /// A control character or a line separator.
    Control,
}

impl fmt::Display for MailboxNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "mailbox name empty, or with an empty level",
            Self::TooLong => "mailbox name too long or too deep",
            Self::NotNfc => "mailbox name not in unicode nfc",
            Self::Dots => "mailbox name with . or .. as a level",
            Self::Hash => "mailbox name starting with #",
            Self::Control => "control character in mailbox name",
        })
    }
}

impl std::error::Error for MailboxNameError {}

impl MailboxName {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, MailboxNameError> {
        let mut levels = text.split('/');
        let first = levels.next().unwrap_or_default();
        if first.is_empty() || levels.clone().any(str::is_empty) {
            return Err(MailboxNameError::Empty);
        }
        if text.len() > MAILBOX_NAME_BYTES_MAX || levels.clone().count() >= MAILBOX_DEPTH_MAX {
            return Err(MailboxNameError::TooLong);
        }
        if text.split('/').any(|level| matches!(level, "." | "..")) {
            return Err(MailboxNameError::Dots);
        }
        if text.starts_with('#') {
            return Err(MailboxNameError::Hash);
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err(MailboxNameError::Control);
        }
        if !is_nfc(text) {
            return Err(MailboxNameError::NotNfc);
        }
        if !first.eq_ignore_ascii_case("inbox") {
            return Ok(Self(text.into()));
        }
        let rest = text.get(first.len()..).unwrap_or_default();
        Ok(Self(format!("Inbox{rest}").into_boxed_str()))
    }

    /// Parses a name that another program kept, in whatever Unicode form it is.
    pub fn parse_any_form(text: &str) -> Result<Self, MailboxNameError> {
        // Before it is written anew, which may take three times as many bytes.
        match is_nfc(text) || text.len() > MAILBOX_NAME_BYTES_MAX {
            true => Self::parse(text),
            false => Self::parse(&text.nfc().collect::<String>()),
        }
    }

    /// The mailbox that always exists.
    #[must_use]
    pub fn inbox() -> Self {
        Self("Inbox".into())
    }

    /// Whether this is the Inbox itself.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "Inbox"
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name one level up, if this is not at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// Whether this is somewhere below `other`.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The name this gets when `old` (itself or a level above) is renamed to `new`; `None` if it
    /// is not concerned or the result is not a valid name.
    #[must_use]
    pub fn renamed(&self, old: &Self, new: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&*old.0)?;
        if !rest.is_empty() && !rest.starts_with('/') {
            return None;
        }
        Self::parse(&format!("{new}{rest}")).ok()
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, want: Result<&str, MailboxNameError>) {
        let got = MailboxName::parse(input);
        assert_eq!(got.as_ref().map(MailboxName::as_str).map_err(|e| *e), want, "{input}");
    }

    #[test]
    fn names_are_canonical_or_refused() {
        let (deep, too_deep) = (["a"; 50].join("/"), ["a"; 51].join("/"));
        // Valid.
        check("iNbOx", Ok("Inbox"));
        check("INBOX/a", Ok("Inbox/a"));
        check("a&b/100%/* #x", Ok("a&b/100%/* #x"));
        check("Entwürfe", Ok("Entwürfe"));
        // At the edge of valid.
        check("inboxes", Ok("inboxes"));
        check("a/inbox", Ok("a/inbox"));
        check(&deep, Ok(&deep));
        // Just past the edge.
        check(&too_deep, Err(MailboxNameError::TooLong));
        check(&"a".repeat(1001), Err(MailboxNameError::TooLong));
        // Never valid.
        check("", Err(MailboxNameError::Empty));
        check("/a", Err(MailboxNameError::Empty));
        check("a/", Err(MailboxNameError::Empty));
        check("a//b", Err(MailboxNameError::Empty));
        check("a/../b", Err(MailboxNameError::Dots));
        check("#news", Err(MailboxNameError::Hash));
        check("a\u{7f}", Err(MailboxNameError::Control));
        check("a\u{2028}", Err(MailboxNameError::Control));
        check("e\u{301}", Err(MailboxNameError::NotNfc));
    }

    #[test]
    fn names_of_other_programs_may_be_in_any_form() {
        let check = |text, want: Option<&str>| {
            let got = MailboxName::parse_any_form(text).ok();
            assert_eq!(got.as_ref().map(MailboxName::as_str), want, "{text:?}");
        };
        check("\u{e9}", Some("\u{e9}"));
        check("e\u{301}", Some("\u{e9}"));
        check("e\u{301}/inbox", Some("\u{e9}/inbox"));
        check("e\u{301}//a", None);
        check(&"e\u{301}".repeat(MAILBOX_NAME_BYTES_MAX), None);
    }

    #[test]
    fn renaming_carries_the_levels_below() {
        let name = |text| MailboxName::parse(text).unwrap();
        let renamed = |text| name(text).renamed(&name("a"), &name("x/y")).map(|n| n.to_string());
        assert_eq!(renamed("a").as_deref(), Some("x/y"));
        assert_eq!(renamed("a/b").as_deref(), Some("x/y/b"));
        assert_eq!(renamed("ab"), None);
        assert!(name("a/b/c").is_below(&name("a")));
        assert!(!name("a").is_below(&name("a")));
        assert_eq!(name("a/b/c").parent(), Some(name("a/b")));
        assert_eq!(name("a").parent(), None);
    }
}
