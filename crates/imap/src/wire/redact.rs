//! What of a command may be written to a log.

use std::fmt::Write as _;

use crate::types::{LegalIn, Name};

/// The longest text a log line gets of one command.
const LOGGED_BYTES_MAX: usize = 2_000;

/// A command, as collected by the reader, in a form fit for a log.
///
/// What [`shown_bytes`] leaves out is `***`, literals show only their size, bytes outside
/// printable ASCII are escaped. Lines sent during AUTHENTICATE are no commands and must not be
/// logged at all. Not logging secrets: RFC 9051 §11.1 is about the wire, a log is read by more
/// people.
#[must_use]
pub fn redact(command: &[u8], is_authenticated: bool) -> String {
    let shown = shown_bytes(command, is_authenticated).min(command.len());
    let mut out = String::new();
    push_without_literals(&mut out, command.get(..shown).unwrap_or_default());
    if out.len() > LOGGED_BYTES_MAX {
        // All of it is ASCII by now.
        out.truncate(LOGGED_BYTES_MAX);
        out.push_str("...");
    } else if shown < command.len() {
        out.push_str(if shown == 0 { "***" } else { " ***" });
    }
    out
}

/// How many bytes at the front of a command may be written to a log by anybody: all of it, unless
/// it is one that carries a secret or is not known to be none.
///
/// Of LOGIN the name is shown, of AUTHENTICATE the mechanism too. Before login only the commands
/// that are legal then are shown: a password typed on a line of its own, or after a misspelled
/// LOGIN, is no command.
///
/// `command` may be incomplete: what it is decided by is at its front.
#[must_use]
pub fn shown_bytes(command: &[u8], is_authenticated: bool) -> usize {
    let Ok(head) = crate::parser::head(command) else {
        return if is_authenticated { command.len() } else { 0 };
    };
    let name_at = head.tag.len() + 1;
    let name_end = name_at + head.spelling.len();
    match head.name {
        // A signed URL is as good as a password. RFC 4467 §10.
        Some(Name::Login | Name::UrlFetch) => name_end.min(command.len()),
        Some(Name::Authenticate) => {
            let rest = command.get(name_end + 1..).unwrap_or_default();
            rest.iter()
                .position(|byte| *byte == b' ')
                .map_or(command.len(), |space| name_end + 1 + space)
        }
        Some(name) if name.legal_in() == LegalIn::Any || name == Name::StartTls => command.len(),
        _ if is_authenticated => command.len(),
        _ => 0,
    }
}

/// Skips the data after each `{n}` CR LF.
fn push_without_literals(out: &mut String, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, b"}\r\n") {
        let (line, after) = rest.split_at_checked(at + 1).unwrap_or((rest, &[]));
        push_escaped(out, line);
        let digits = line.iter().rev().skip(1).skip_while(|b| **b == b'+');
        let digits: Vec<u8> = digits.take_while(|b| b.is_ascii_digit()).copied().collect();
        let size = digits.iter().rev().fold(0_usize, |size, digit| {
            size.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
        });
        rest = after.get(size.saturating_add(2)..).unwrap_or_default();
        if out.len() > LOGGED_BYTES_MAX {
            return;
        }
    }
    push_escaped(out, rest);
}

fn push_escaped(out: &mut String, bytes: &[u8]) {
    for byte in bytes.iter().take(LOGGED_BYTES_MAX + 1) {
        match byte {
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: &str, want: &str) {
        assert_eq!(redact(command.as_bytes(), true), want);
    }

    #[test]
    fn secrets_and_data_do_not_reach_the_log() {
        check("a noop", "a noop");
        check("a", "a");
        check("a LOGIN me@example.org hunter2", "a LOGIN ***");
        check("a login {2}\r\nme {7}\r\nhunter2", "a login ***");
        check("a AUTHENTICATE PLAIN AGEAYg==", "a AUTHENTICATE PLAIN ***");
        check("a authenticate SCRAM-SHA-256", "a authenticate SCRAM-SHA-256");
        check(
            "a urlfetch (\"imap://x@y/z;UID=1;URLAUTH=anonymous:internal:00\" BODY)",
            "a urlfetch ***",
        );
        check("a create {3}\r\nx\ny {2+}\r\nzz", "a create {3} {2+}");
        check("a create caf\u{e9}\t", "a create caf\\xc3\\xa9\\x09");
        check(&format!("a x {}", "y".repeat(5_000)), &format!("a x {}...", "y".repeat(1_996)));
    }

    #[track_caller]
    fn check_before_login(command: &str, want: &str) {
        assert_eq!(redact(command.as_bytes(), false), want);
    }

    /// Before login a line that is no command may be a password.
    #[test]
    fn before_login_only_known_commands_are_shown() {
        check_before_login("a capability", "a capability");
        check_before_login("a id (\"name\" \"x\")", "a id (\"name\" \"x\")");
        check_before_login("a STARTTLS", "a STARTTLS");
        check_before_login("a AUTHENTICATE PLAIN AGEAYg==", "a AUTHENTICATE PLAIN ***");
        check_before_login("a LOGIN", "a LOGIN");
        check_before_login("a LOGI", "***");
        check_before_login("a LOGINN me hunter2", "***");
        check_before_login("a SELECT hunter2", "***");
        check_before_login("hunter2", "***");
        check_before_login("", "");
    }
}
