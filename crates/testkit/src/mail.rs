//! Messages that look like mail, made fast and always the same from their number.
//!
//! ```
//! use mox_testkit::mail::Spec;
//!
//! let message = Spec { size_bytes: 5_000, ..Spec::number(7) }.build();
//! assert_eq!(message.len(), 5_000);
//! assert_eq!(message, Spec { size_bytes: 5_000, ..Spec::number(7) }.build());
//! ```

use mox_base::{DateTime, UnixSeconds};

use crate::rng::mix;

/// How the body of a message is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One `text/plain` part.
    Plain,
    /// `multipart/alternative` of `text/plain` and `text/html`.
    Alternative,
    /// `multipart/mixed` of `text/plain` and a base64 `application/octet-stream`.
    Attachment,
}

/// What a generated message is like. Start from [`Spec::number`] and change fields.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Chooses the words, the Message-ID (`<msg-N@fixture.example>`) and the subject.
    pub number: u64,
    /// The length of the whole message. A message is never shorter than its headers need, about
    /// 700 bytes; above that the length is exact.
    pub size_bytes: usize,
    /// The address in `From`, without a display name.
    pub from: String,
    /// The address in `To`.
    pub to: String,
    /// The number of the message that this one answers: gives `In-Reply-To`, `References` and the
    /// same subject with `Re: `.
    pub in_reply_to: Option<u64>,
    /// The time in `Date`.
    pub date: UnixSeconds,
    /// The build of the body.
    pub shape: Shape,
    /// A word to stand in the subject, and in the text of a plain message, besides those that the
    /// number chooses.
    pub extra_word: Option<&'static str>,
}

impl Spec {
    /// A plain message of 5,000 bytes, one minute younger than the one before.
    #[must_use]
    pub fn number(number: u64) -> Self {
        let minutes = i64::try_from(number % 1_000_000).unwrap_or(0);
        Self {
            number,
            size_bytes: 5_000,
            from: format!("sender{}@fixture.example", number % 97),
            to: "mox@localhost".to_owned(),
            in_reply_to: None,
            date: UnixSeconds(1_790_000_000 + minutes * 60),
            shape: Shape::Plain,
            extra_word: None,
        }
    }

    /// A message of a mixed mailbox: every third is an answer to the one before, every fifth has
    /// two alternatives, every tenth an attachment; sizes from 2 to 20 KB.
    #[must_use]
    pub fn varied(number: u64) -> Self {
        let size_bytes = 2_000 + usize::try_from(mix(number) % 18_000).unwrap_or(0);
        let shape = match number % 10 {
            9 => Shape::Attachment,
            4 => Shape::Alternative,
            _ => Shape::Plain,
        };
        let in_reply_to = (number % 3 == 2).then(|| number - 1);
        Self { size_bytes, shape, in_reply_to, ..Self::number(number) }
    }

    /// The Message-ID of a message, with its angle brackets.
    #[must_use]
    pub fn message_id(number: u64) -> String {
        format!("<msg-{number}@fixture.example>")
    }

    /// The subject without `Re: `.
    #[must_use]
    pub fn subject(number: u64) -> String {
        let mut words = Words::new(number);
        let text = [words.next(), words.next(), words.next(), words.next()].join(" ");
        format!("{text} #{number}")
    }

    /// Builds the message, lines ended by CRLF and none over 998 bytes.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.size_bytes + 256);
        self.push_headers(&mut message);
        let mut words = Words::new(self.number ^ 0x6d6f_7862);
        let boundary = format!("=_fixture_{}", self.number);
        match self.shape {
            Shape::Plain => {
                push(&mut message, "Content-Type: text/plain; charset=utf-8\r\n\r\n");
                if let Some(word) = self.extra_word {
                    push(&mut message, word);
                    push(&mut message, "\r\n");
                }
                fill_text(&mut message, self.size_bytes, &mut words);
            }
            Shape::Alternative => self.push_alternative(&mut message, &boundary, &mut words),
            Shape::Attachment => self.push_attachment(&mut message, &boundary, &mut words),
        }
        message
    }

    fn push_headers(&self, message: &mut Vec<u8>) {
        let topic = self.in_reply_to.unwrap_or(self.number);
        let extra = self.extra_word.map(|word| format!(" {word}")).unwrap_or_default();
        let re = if self.in_reply_to.is_some() { "Re: " } else { "" };
        let date = DateTime::from_unix(self.date).to_rfc5322();
        let mut headers = format!(
            "Received: from relay.fixture.example (relay.fixture.example [192.0.2.25])\r\n\
             \tby mx.fixture.example with ESMTPS id f{:08x}\r\n\tfor <{}>; {date}\r\n\
             DKIM-Signature: v=1; a=rsa-sha256; d=fixture.example; s=2026; c=relaxed/relaxed;\r\n\
             \th=from:to:subject:date; bh=g3zLYH4xKxcPrHOD18z9YfpQcnk/GaJedfustWU5uGs=;\r\n\
             \tb=VnQ6yQ0eWc0k2S5LqS8m5xk3Tz1vQfGQeQ0yB1nqZ8rB7yQ2m0a5t9wP4u6d3c1f\r\n\
             From: \"Sender Number {}\" <{}>\r\nTo: <{}>\r\nSubject: {re}{}{extra}\r\nDate: {date}\r\n\
             Message-ID: {}\r\n",
            mix(self.number) & 0xffff_ffff,
            self.to,
            self.number % 97,
            self.from,
            self.to,
            Self::subject(topic),
            Self::message_id(self.number),
        );
        if let Some(parent) = self.in_reply_to {
            let parent = Self::message_id(parent);
            headers.push_str(&format!("In-Reply-To: {parent}\r\nReferences: {parent}\r\n"));
        }
        headers.push_str("MIME-Version: 1.0\r\nUser-Agent: Fixture 1.0\r\n");
        push(message, &headers);
    }

    fn push_alternative(&self, message: &mut Vec<u8>, boundary: &str, words: &mut Words) {
        push(message, &format!("Content-Type: multipart/alternative; boundary=\"{boundary}\"\r\n"));
        push(
            message,
            &format!("\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"),
        );
        let closing = format!("</body></html>\r\n--{boundary}--\r\n");
        let left = self.size_bytes.saturating_sub(message.len() + closing.len());
        fill_text(message, message.len() + left / 3, words);
        push(message, &format!("--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"));
        push(message, "<html><body>\r\n");
        fill_text(message, self.size_bytes.saturating_sub(closing.len()), words);
        push(message, &closing);
    }

    fn push_attachment(&self, message: &mut Vec<u8>, boundary: &str, words: &mut Words) {
        push(message, &format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n"));
        push(message, &format!("--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"));
        fill_text(message, message.len() + 400, words);
        push(
            message,
            &format!(
                "--{boundary}\r\nContent-Type: application/octet-stream; name=\"data-{}.bin\"\r\n\
                 Content-Disposition: attachment; filename=\"data-{}.bin\"\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n",
                self.number, self.number
            ),
        );
        let closing = format!("\r\n--{boundary}--\r\n");
        fill_base64(message, self.size_bytes.saturating_sub(closing.len()), words);
        push(message, &closing);
    }
}

/// Endless words chosen by a number.
struct Words {
    state: u64,
}

impl Words {
    fn new(seed: u64) -> Self {
        Self { state: mix(seed.wrapping_add(1)) }
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Common words come up more often, as in real text, so that it compresses like real text.
    fn next(&mut self) -> &'static str {
        let bits = self.bits();
        let range = if bits & 0x300 == 0 { WORDS.len() } else { WORDS.len() / 3 };
        let index = usize::try_from(bits >> 32).unwrap_or(0) % range;
        WORDS[index]
    }
}

fn push(message: &mut Vec<u8>, text: &str) {
    message.extend_from_slice(text.as_bytes());
}

/// Adds lines of about 72 columns until the message is exactly `end` bytes long, at least `\r\n`.
fn fill_text(message: &mut Vec<u8>, end: usize, words: &mut Words) {
    let end = end.saturating_sub(2);
    let mut line_start = message.len();
    while message.len() < end {
        message.extend_from_slice(words.next().as_bytes());
        if message.len() - line_start >= 66 {
            push(message, "\r\n");
            line_start = message.len();
        } else {
            message.push(b' ');
        }
    }
    // Cutting may leave half a line end, or a lone CR before the closing CRLF.
    if message.len() > end && line_start <= end {
        message.truncate(end);
    } else if message.len() > end {
        message.truncate(end);
        while let Some(b'\r' | b'\n') = message.last() {
            message.pop();
        }
        message.resize(end, b'.');
    }
    push(message, "\r\n");
}

/// Adds lines of 76 base64 characters up to `end`, padded to whole groups by plain `A`s.
fn fill_base64(message: &mut Vec<u8>, end: usize, words: &mut Words) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut column = 0;
    while message.len() < end {
        let mut bits = words.bits();
        for _ in 0..4 {
            message.push(ALPHABET[usize::try_from(bits & 63).unwrap_or(0)]);
            bits >>= 6;
        }
        column += 4;
        if column == 76 && message.len() + 6 < end {
            push(message, "\r\n");
            column = 0;
        }
    }
    message.truncate(end);
}

const WORDS: &[&str] = &[
    "the",
    "and",
    "to",
    "of",
    "a",
    "in",
    "that",
    "is",
    "for",
    "it",
    "on",
    "with",
    "as",
    "was",
    "we",
    "be",
    "at",
    "this",
    "have",
    "from",
    "or",
    "by",
    "not",
    "but",
    "what",
    "all",
    "were",
    "when",
    "can",
    "there",
    "please",
    "meeting",
    "Monday",
    "report",
    "invoice",
    "thanks",
    "regards",
    "attached",
    "update",
    "schedule",
    "project",
    "budget",
    "garden",
    "kitchen",
    "train",
    "ticket",
    "holiday",
    "photograph",
    "weather",
    "mountain",
    "river",
    "bridge",
    "library",
    "concert",
    "orchestra",
    "recipe",
    "flour",
    "butter",
    "cinnamon",
    "bicycle",
    "repair",
    "battery",
    "contract",
    "signature",
    "deadline",
    "proposal",
    "customer",
    "delivery",
    "warehouse",
    "server",
    "backup",
    "restore",
    "password",
    "certificate",
    "domain",
    "mailbox",
    "filter",
    "newsletter",
    "subscription",
    "café",
    "naïve",
    "Zürich",
    "smörgåsbord",
    "lantern",
    "harbour",
    "lighthouse",
    "compass",
    "voyage",
    "anchor",
    "captain",
    "island",
    "coconut",
    "volcano",
    "telescope",
    "comet",
    "galaxy",
    "physics",
    "chemistry",
    "lecture",
    "student",
    "teacher",
    "blackboard",
    "semester",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: &Spec) {
        let message = spec.build();
        assert_eq!(message.len(), spec.size_bytes, "{spec:?}");
        assert_eq!(message, spec.build(), "the same every time");
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            assert!(line.ends_with(b"\r\n"), "{:?}", String::from_utf8_lossy(line));
            assert!(!line[..line.len() - 2].contains(&b'\r'), "{spec:?}");
            assert!(line.len() <= 1_000);
        }
    }

    #[test]
    fn messages_have_the_asked_length_and_clean_line_ends() {
        for number in 0..200 {
            check(&Spec::varied(number));
            let size_bytes = 3_000 + usize::try_from(number).unwrap();
            for shape in [Shape::Plain, Shape::Alternative, Shape::Attachment] {
                check(&Spec { size_bytes, shape, ..Spec::number(number) });
            }
        }
    }

    #[test]
    fn an_answer_refers_to_its_parent() {
        let spec = Spec { in_reply_to: Some(4), ..Spec::number(5) };
        let text = String::from_utf8(spec.build()).unwrap_or_default();
        assert!(text.contains("In-Reply-To: <msg-4@fixture.example>\r\n"));
        assert!(text.contains(&format!("Subject: Re: {}\r\n", Spec::subject(4))));
        assert!(text.contains("Message-ID: <msg-5@fixture.example>\r\n"));
    }
}
