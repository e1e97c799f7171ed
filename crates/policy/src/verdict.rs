//! What is to be done with a message, and what is said about it.

use std::time::Duration;

use mox_base::MailboxName;

use crate::origin::Origin;
use crate::reason::Reason;
use crate::report::Report;

/// Bytes of one line of explanation in a header field; what is over is cut.
pub const EXPLANATION_LINE_BYTES_MAX: usize = 900;

/// Lines of explanation in a header field.
pub const EXPLANATION_LINES_MAX: usize = 20;

/// What the sender is told. RFC 5321 §4.2, RFC 3463.
///
/// Nothing in it comes from the message or the account, but a text from the configuration and a pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// 4yz or 5yz.
    pub code: u16,
    /// Subject and detail of the enhanced code, whose class is that of the code. RFC 3463 §2.
    pub enhanced: (u16, u16),
    /// One line.
    pub text: String,
}

impl Refusal {
    /// A refusal with its text.
    #[must_use]
    pub fn new(code: u16, enhanced: (u16, u16), text: impl Into<String>) -> Self {
        Self { code, enhanced, text: text.into() }
    }

    /// What all junk gets. It tells the sender of junk nothing; the server of somebody honest tries
    /// again for days, and then says that the message did not arrive.
    #[must_use]
    pub fn vague() -> Self {
        Self::new(451, (3, 0), "error processing the message, try again later")
    }
}

/// Why DMARC's outcome was not followed. RFC 7489 §6.6.2, appendix C (`PolicyOverrideType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DmarcOverride {
    /// It came by a mailing list that the user trusts.
    MailingList,
    /// It came by a forwarder that the user trusts.
    Forwarded,
    /// The domain asks for only a share of messages to be judged.
    SampledOut,
}

impl DmarcOverride {
    /// The word for it in reports and header fields.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MailingList => "mailing_list",
            Self::Forwarded => "forwarded",
            Self::SampledOut => "sampled_out",
        }
    }
}

/// How a stored message is marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `\Seen` is set: nobody shall be notified.
    pub is_seen: bool,
    /// It would have been refused.
    pub is_reject: bool,
    /// A forwarder passed it on.
    pub is_forward: bool,
    /// It came by a mailing list.
    pub is_mailing_list: bool,
}

/// The decision for one recipient.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// `None`: the message is accepted. Else what the sender is told.
    pub refusal: Option<Refusal>,
    /// Where the message goes; if it is refused, where it would have gone.
    pub mailbox: MailboxName,
    /// Where it would go if it were not put aside, in the Introbox or as a reject; if it is refused,
    /// what the copy in the Rejects mailbox remembers.
    pub destined: Option<MailboxName>,
    /// Whether a copy of the refused message may go to the Rejects mailbox.
    pub may_keep_reject: bool,
    /// How it is marked.
    pub marks: Marks,
    /// Why.
    pub reason: Reason,
    /// How it came about: lines for the owner of the account, in no fixed wording.
    pub explanation: Vec<String>,
    /// Why DMARC's outcome was not followed.
    pub dmarc_overrides: Vec<DmarcOverride>,
    /// A report that is to be stored.
    pub report: Option<Report>,
    /// Fields for the stored message: name and value, ASCII in one line.
    pub fields: Vec<(&'static str, &'static str)>,
    /// How long to wait before the message is stored.
    pub delay: Duration,
    /// The identities that are stored with the message.
    pub origin: Origin,
}

impl Verdict {
    /// Whether the message is taken.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.refusal.is_none()
    }

    /// Whether the connection is served slowly from now on: after every refusal, so that guessing what
    /// gets through takes time.
    #[must_use]
    pub fn slows_connection(&self) -> bool {
        self.refusal.is_some() || self.marks.is_reject
    }

    /// The field `X-Mox-Reason` with its CRLF: token and text, then a folded line for each explanation.
    ///
    /// Other than ASCII is replaced unless the message is one of SMTPUTF8 (RFC 6532 §3). Lines stay
    /// under 998 bytes (RFC 5322 §2.1.1).
    #[must_use]
    pub fn reason_field(&self, is_smtputf8: bool) -> String {
        let mut field =
            format!("X-Mox-Reason: {}; {};\r\n", self.reason.token(), self.reason.text());
        for line in self.explanation.iter().take(EXPLANATION_LINES_MAX) {
            let line = header_text(line, is_smtputf8);
            // A line of nothing but space would end the header for some readers.
            if !line.trim().is_empty() {
                field.push_str(&format!("\t{};\r\n", line.trim()));
            }
        }
        field
    }
}

/// The text as it may stand in a header line.
fn header_text(line: &str, is_smtputf8: bool) -> String {
    let safe = line.chars().map(|c| match c {
        c if c.is_control() => ' ',
        c if c.is_ascii() || is_smtputf8 => c,
        _ => '?',
    });
    let mut safe: String = safe.collect();
    safe.truncate(safe.floor_char_boundary(EXPLANATION_LINE_BYTES_MAX));
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, is_smtputf8: bool, want: &str) {
        assert_eq!(header_text(line, is_smtputf8), want);
    }

    #[test]
    fn explanations_stay_in_their_line() {
        check("3 of 3", false, "3 of 3");
        check("in B\u{fc}cher", true, "in B\u{fc}cher");
        check("in B\u{fc}cher", false, "in B?cher");
        check("a\r\nX-Evil: b\u{0}\u{85}", true, "a  X-Evil: b  ");
        let long = "\u{fc}".repeat(EXPLANATION_LINE_BYTES_MAX);
        assert_eq!(header_text(&long, true).len(), EXPLANATION_LINE_BYTES_MAX);
        assert_eq!(header_text(&long, false).len(), EXPLANATION_LINE_BYTES_MAX);
    }
}
