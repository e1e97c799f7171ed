//! What of a command may be written to a log.

use std::fmt::Write as _;

/// The longest text a log line gets of one command.
const LOGGED_BYTES_MAX: usize = 2_000;

/// A command, as collected by the reader, in a form fit for a log.
///
/// The password of LOGIN and the initial response of AUTHENTICATE are `***`, literals show only
/// their size, bytes outside printable ASCII are escaped. Lines sent during AUTHENTICATE are no
/// commands and must not be logged at all. Not logging secrets: RFC 9051 §11.1 is about the wire,
/// a log is read by more people.
#[must_use]
pub fn redact(command: &[u8]) -> String {
    let mut words = command.splitn(3, |byte| *byte == b' ');
    let tag = words.next().unwrap_or_default();
    let name = words.next();
    let rest = words.next();
    let mut out = String::new();
    push_escaped(&mut out, tag);
    let Some(name) = name else { return out };
    out.push(' ');
    push_escaped(&mut out, name);
    let Some(rest) = rest else { return out };
    out.push(' ');
    if name.eq_ignore_ascii_case(b"LOGIN") {
        // Nothing after the command is shown: where the user name ends is only known after
        // parsing, and people type their password in the wrong place.
        out.push_str("***");
    } else if name.eq_ignore_ascii_case(b"AUTHENTICATE") {
        let mechanism = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
        push_escaped(&mut out, mechanism);
        if mechanism.len() < rest.len() {
            out.push_str(" ***");
        }
    } else {
        push_without_literals(&mut out, rest);
    }
    if out.len() > LOGGED_BYTES_MAX {
        // All of it is ASCII by now.
        out.truncate(LOGGED_BYTES_MAX);
        out.push_str("...");
    }
    out
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
        assert_eq!(redact(command.as_bytes()), want);
    }

    #[test]
    fn secrets_and_data_do_not_reach_the_log() {
        check("a noop", "a noop");
        check("a", "a");
        check("a LOGIN me@example.org hunter2", "a LOGIN ***");
        check("a login {2}\r\nme {7}\r\nhunter2", "a login ***");
        check("a AUTHENTICATE PLAIN AGEAYg==", "a AUTHENTICATE PLAIN ***");
        check("a authenticate SCRAM-SHA-256", "a authenticate SCRAM-SHA-256");
        check("a create {3}\r\nx\ny {2+}\r\nzz", "a create {3} {2+}");
        check("a create caf\u{e9}\t", "a create caf\\xc3\\xa9\\x09");
        check(&format!("a x {}", "y".repeat(5_000)), &format!("a x {}...", "y".repeat(1_996)));
    }
}
