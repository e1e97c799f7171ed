//! Identifiers of mailboxes, contents and threads as clients see them.
//!
//! Source: RFC 8474 §7 (`objectid`). Those of one kind never look like those of another, so that
//! a client that mixes them up finds nothing.

use mox_base::{EmailId, MailboxId, ThreadId};

/// `MAILBOXID`. RFC 8474 §4.
#[must_use]
pub fn mailbox_id(id: MailboxId) -> String {
    format!("F{}", id.0)
}

/// `EMAILID`. RFC 8474 §5.1.
#[must_use]
pub fn email_id(id: EmailId) -> String {
    format!("E{}", id.0)
}

/// `THREADID`. RFC 8474 §5.2.
#[must_use]
pub fn thread_id(id: ThreadId) -> String {
    format!("T{}", id.0)
}

/// Reads what [`email_id`] writes; `None` for what no content has.
#[must_use]
pub fn parse_email_id(text: &[u8]) -> Option<EmailId> {
    number(text, b'E').map(EmailId)
}

/// Reads what [`thread_id`] writes; `None` for what no thread has.
#[must_use]
pub fn parse_thread_id(text: &[u8]) -> Option<ThreadId> {
    number(text, b'T').map(ThreadId)
}

fn number(text: &[u8], kind: u8) -> Option<i64> {
    let (first, digits) = text.split_first()?;
    let digits = std::str::from_utf8(digits).ok()?;
    // No sign and no leading zero: every id has one spelling.
    let is_plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    (*first == kind && is_plain).then(|| digits.parse().ok()).flatten()
}

/// Whether this has the form of an identifier: `objectid = 1*255(ALPHA / DIGIT / "_" / "-")`.
#[must_use]
pub fn is_object_id(text: &[u8]) -> bool {
    let is_char = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=255).contains(&text.len()) && text.iter().all(is_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8474 §7.
    #[test]
    fn what_is_written_is_read() {
        assert_eq!(parse_email_id(email_id(EmailId(7)).as_bytes()), Some(EmailId(7)));
        assert_eq!(parse_thread_id(thread_id(ThreadId(12)).as_bytes()), Some(ThreadId(12)));
        assert_eq!(mailbox_id(MailboxId(3)), "F3");
        for id in [email_id(EmailId(i64::MAX)), thread_id(ThreadId(1)), mailbox_id(MailboxId(1))] {
            assert!(is_object_id(id.as_bytes()), "{id}");
        }
        for other in ["", "E", "E0", "E07", "E+7", "e7", "T7", "7", "E9223372036854775808"] {
            assert_eq!(parse_email_id(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn identifiers_have_a_form() {
        assert!(is_object_id(b"a-Z_9") && is_object_id(&[b'a'; 255]));
        assert!(!is_object_id(b"") && !is_object_id(&[b'a'; 256]) && !is_object_id(b"a b"));
    }
}
