//! What goes into the log of each command: never a secret.

use std::borrow::Cow;

use mox_imap::print::Status;
use mox_imap::session::{Action, Answered, Session};
use mox_imap::wire::{Reading, redact, shown_bytes};
use mox_metrics::imap;
use tokio::time::Instant;
use tracing::Level;

/// What metrics call a command that is not known.
const OTHER: &str = "(other)";

/// The command under way, for its line in the log.
#[derive(Debug, Default)]
pub(crate) struct Record {
    began: Option<(Instant, Option<String>)>,
}

impl Record {
    /// Input was taken; a command may have begun with it.
    pub(crate) fn received(&mut self, session: &Session, action: &Action) {
        if self.began.is_some() {
            return;
        }
        // A command that is answered at once leaves `Read` behind, as one that is not complete.
        if session.reading() == Reading::Nothing || *action != Action::Read {
            let is_logged = tracing::enabled!(Level::DEBUG);
            let text =
                is_logged.then(|| redact(session.command_text(), session.is_authenticated()));
            self.began = Some((Instant::now(), text));
        }
    }

    /// Output was sent: if it answered a command, that is over.
    pub(crate) fn answered(&mut self, cid: u64, session: &mut Session) {
        let Some(Answered { name, status }) = session.take_answered() else { return };
        let Some((began, line)) = self.began.take() else { return };
        let result = match status {
            Status::Ok => "ok",
            Status::No => "no",
            Status::Bad => "bad",
        };
        let took = began.elapsed();
        let name = name.map(|name| format!("{name:?}"));
        let word = name.as_ref().map(|name| Cow::Owned(name.to_ascii_lowercase()));
        imap::command(word.unwrap_or(Cow::Borrowed(OTHER)), result, took);
        let Some(line) = line else { return };
        let command = name.as_deref().unwrap_or("(unrecognized)");
        tracing::debug!(cid, command, result, duration = ?took, line, "command");
    }
}

/// The most of a command that is looked at to see whether it carries a secret.
const HEAD_BYTES_MAX: usize = 1_024;

/// What of the next input may be written to the protocol trace.
pub(crate) struct Shown {
    /// Bytes that had come of the command before.
    before: usize,
    shown: usize,
    /// Whether it is all of the command, not only its front.
    all: bool,
}

impl Shown {
    /// Looks at input that was not yet given to the session.
    pub(crate) fn before(session: &Session, input: &[u8]) -> Self {
        if session.expects_secret() {
            return Self { before: 0, shown: 0, all: false };
        }
        let begun = match session.reading() {
            Reading::Nothing => &[],
            Reading::Line | Reading::Literal(_) => session.command_text(),
        };
        // The command may end in the middle of the input: only its own line counts.
        let line = input.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        let head = |text: &[u8]| text.iter().take(HEAD_BYTES_MAX).copied().collect::<Vec<u8>>();
        let mut text = head(begun);
        let before = if text.len() < HEAD_BYTES_MAX { text.len() } else { begun.len() };
        text.extend(head(line));
        let shown = shown_bytes(&text, session.is_authenticated());
        Self { before, shown, all: shown == text.len() }
    }

    /// How many of the `count` bytes that were taken are shown.
    pub(crate) fn bytes(&self, count: usize) -> usize {
        if self.all { count } else { self.shown.saturating_sub(self.before).min(count) }
    }
}

#[cfg(test)]
mod tests {
    use mox_imap::session::Settings;

    use super::*;

    /// Gives the session the pieces; returns what would be traced, `#` for what is hidden.
    #[track_caller]
    fn check(pieces: &[&str], want: &str) {
        let mut session = Session::new(Settings { plaintext_allowed: true, ..Settings::default() });
        session.greet(None);
        let mut seen = String::new();
        for piece in pieces {
            let mut input = piece.as_bytes();
            while !input.is_empty() {
                let shown = Shown::before(&session, input);
                let (before, text) = (input.len(), String::from_utf8_lossy(input).into_owned());
                let action = session.receive(&mut input);
                let count = before - input.len();
                let shown = shown.bytes(count);
                seen.push_str(&text[..shown]);
                seen.push_str(&"#".repeat(count - shown));
                if matches!(action, Action::Perform(_)) {
                    let challenge = mox_imap::session::Outcome::Challenge(Vec::new());
                    let refused = mox_imap::session::Refusal::BadCredentials;
                    let _action = match text.contains("AUTH") {
                        true => session.complete(challenge),
                        false => session.complete(mox_imap::session::Outcome::Refused(refused)),
                    };
                }
            }
        }
        assert_eq!(seen.replace("\r\n", "|"), want);
    }

    #[test]
    fn the_trace_shows_commands_but_no_secrets() {
        check(&["a NOOP\r\nb CAPABILITY\r\n"], "a NOOP|b CAPABILITY|");
        check(&["a LOGIN me pw\r\nb NOOP\r\n"], "a LOGIN########b NOOP|");
        // However the bytes come.
        check(&["a LOG", "IN me pw\r\n"], "#####IN########");
        check(&["a LOGIN {2+}\r\nme {2+}\r\npw\r\n"], &format!("a LOGIN{}", "#".repeat(20)));
        check(&["a AUTHENTICATE PLAIN AG\r\n"], "a AUTHENTICATE PLAIN#####");
        check(&["a AUTHENTICATE PLAIN\r\n", "AGEAYg==\r\n"], "a AUTHENTICATE PLAIN|##########");
        check(&["a NOOP\r\n", "pw\r\n"], "a NOOP|####");
    }
}
