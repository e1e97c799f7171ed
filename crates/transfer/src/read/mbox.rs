//! Reading an mbox: messages one after another, each behind a line `From sender date`.
//!
//! RFC 4155. Lines of a message that begin so have a `>` put in front (mboxrd: also those with `>`
//! already); where they have not, a line is only taken for the next message's if it has a date, or a
//! header field follows.

use std::io::{self, Read, Write as _};

use mox_base::{Keyword, MailboxName, ZonedTime};
use mox_store::MESSAGE_KEYWORDS_MAX;

use super::ReadOptions;
use crate::body::BodyWriter;
use crate::event::{Event, Item, Sink, SourceError, tell, tell_problem};
use crate::flag_fields::{FlagFields, field_of};
use crate::from_line::{self, FROM};
use crate::lines::{Line, Lines};

/// Whether a file with this beginning is an mbox. Empty lines may come first.
pub(super) fn is_mbox(beginning: &[u8]) -> bool {
    let beginning = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning);
    let text = beginning.trim_ascii_start();
    text.is_empty() || text.starts_with(FROM)
}

/// Reads the messages of an mbox into one mailbox. Returns how many there were.
///
/// Fields in the header that tell of flags are read and left out of the message.
///
/// # Errors
///
/// If it is no mbox, or cannot be read.
pub fn read_mbox(
    source: impl Read,
    mailbox: &MailboxName,
    options: &ReadOptions,
    sink: &mut Sink<'_>,
) -> Result<u64, SourceError> {
    let mut mbox = Mbox { lines: Lines::new(source), mailbox, options, next: None, count: 0 };
    if mbox.begin()? {
        while let Some(event) = mbox.next_message()? {
            match event {
                Ok((item, unknown)) => {
                    tell(sink, Event::Message(Box::new(item)))?;
                    if let Some(word) = unknown.first() {
                        let number = mbox.count;
                        let text = format!("{mailbox}: message {number}: no keyword: {word:?}");
                        tell_problem(sink, text)?;
                    }
                }
                Err(Some(problem)) => tell_problem(sink, problem)?,
                // Data of the program that wrote the file.
                Err(None) => {}
            }
        }
    }
    Ok(mbox.count)
}

struct Mbox<'a, R> {
    lines: Lines<R>,
    mailbox: &'a MailboxName,
    options: &'a ReadOptions,
    /// The line before the next message was read, with this time.
    next: Option<Option<ZonedTime>>,
    count: u64,
}

/// A message with words that are no keywords; or a problem; or nothing to tell.
type Found = Result<(Item, Vec<String>), Option<String>>;

/// Where reading stands in a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the header; the field of the last line, if it is left out.
    Header(Option<&'static str>),
    Body,
}

impl<R: Read> Mbox<'_, R> {
    /// Goes to the first message. Whether there is one.
    fn begin(&mut self) -> Result<bool, SourceError> {
        let what = SourceError::NotThat { what: "not an mbox: it does not begin with \"From \"" };
        let mut is_first = true;
        loop {
            let line = self.lines.next_line().map_err(SourceError::io("mbox"))?;
            let Some(line) = line else { return Ok(false) };
            let text = line.text();
            let bare = text.strip_prefix(b"\xef\xbb\xbf").filter(|_| is_first).unwrap_or(text);
            is_first = false;
            if bare.is_empty() && line.is_start {
                continue;
            }
            self.next = from_line::parse(bare);
            return if self.next.is_some() { Ok(true) } else { Err(what) };
        }
    }

    fn next_message(&mut self) -> Result<Option<Found>, SourceError> {
        let Some(received) = self.next.take() else { return Ok(None) };
        self.count += 1;
        let mut fields = FlagFields::default();
        let options = self.options;
        let mut body = BodyWriter::new(&options.temporary, options.message_bytes_max);
        let at = self.lines.consumed();
        self.copy_message(&mut body, &mut fields)
            .map_err(SourceError::io(format!("message at byte {at} of the mbox")))?;
        let size = body.size();
        let content = body.finish().map_err(SourceError::io("temporary file"))?;
        if fields.is_internal && self.count == 1 {
            return Ok(Some(Err(None)));
        }
        let Some(content) = content else {
            let (mailbox, number) = (self.mailbox, self.count);
            let problem = format!("{mailbox}: message {number}: {size} bytes are too much");
            return Ok(Some(Err(Some(problem))));
        };
        let (flags, mut keywords, unknown) = fields.read();
        keywords.sort();
        keywords.dedup();
        keywords.truncate(MESSAGE_KEYWORDS_MAX);
        let keywords: Vec<Keyword> = keywords;
        let mailbox = self.mailbox.clone();
        Ok(Some(Ok((Item { mailbox, received, flags, keywords, content }, unknown))))
    }

    /// Copies lines up to the next message or the end.
    fn copy_message(&mut self, body: &mut BodyWriter, fields: &mut FlagFields) -> io::Result<()> {
        let mut place = Place::Header(None);
        // An empty line that may be the one before the next message, and so not of this one.
        let mut held = false;
        // Whether the last line was empty, be it the one that ends the header.
        let mut after_empty = false;
        loop {
            if after_empty && let Some(time) = self.separator()? {
                self.next = Some(time);
                return Ok(());
            }
            let Some(line) = self.lines.next_line()? else { return Ok(()) };
            after_empty = line.is_start && line.is_ended() && line.text().is_empty();
            if let Place::Header(left_out) = &mut place {
                if after_empty {
                    place = Place::Body;
                    body.write_all(b"\r\n")?;
                    continue;
                }
                if line.is_start && !line.bytes.starts_with(b" ") && !line.bytes.starts_with(b"\t")
                {
                    *left_out = field_of(line.bytes);
                    if let Some(field) = left_out {
                        fields.add(field, line.text(), true);
                        continue;
                    }
                }
                if let Some(field) = left_out {
                    fields.add(field, line.text(), false);
                    continue;
                }
            }
            flush_held(body, &mut held)?;
            if after_empty {
                held = true;
                continue;
            }
            write_line(body, &line)?;
        }
    }

    /// Takes the line before the next message, if it comes here, behind an empty line.
    fn separator(&mut self) -> io::Result<Option<Option<ZonedTime>>> {
        let ahead = self.lines.peek()?;
        if !ahead.starts_with(FROM) {
            return Ok(None);
        }
        let size = memchr::memchr(b'\n', ahead).map_or(ahead.len(), |at| at + 1);
        let (line, rest) = ahead.split_at_checked(size).unwrap_or_default();
        let Some(time) = from_line::parse(line.trim_ascii_end()) else { return Ok(None) };
        // Without a date it is a sentence that begins so, unless a header follows.
        if time.is_none() && !is_field(rest) {
            return Ok(None);
        }
        self.lines.next_line()?;
        Ok(Some(time))
    }
}

fn flush_held(body: &mut BodyWriter, held: &mut bool) -> io::Result<()> {
    if std::mem::take(held) { body.write_all(b"\r\n") } else { Ok(()) }
}

/// Writes a line without the `>` that was put before it, ended by CRLF.
fn write_line(body: &mut BodyWriter, line: &Line<'_>) -> io::Result<()> {
    let text = line.text();
    let text = match text.strip_prefix(b">").filter(|_| line.is_start) {
        Some(rest) if is_quoted_from(rest) => rest,
        _ => text,
    };
    body.write_all(text)?;
    // A piece of a long line has none; the last line of the file gets one.
    if line.is_ended() || line.is_last { body.write_all(b"\r\n") } else { Ok(()) }
}

/// Whether a line is `From ` behind any number of `>`.
pub(crate) fn is_quoted_from(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|byte| **byte == b'>').count();
    line.get(quotes..).unwrap_or_default().starts_with(FROM)
}

/// Whether a header field begins here. RFC 5322 §2.2.
fn is_field(bytes: &[u8]) -> bool {
    let name = bytes.iter().take_while(|byte| matches!(byte, b'!'..=b'9' | b';'..=b'~')).count();
    name > 0 && bytes.get(name) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use mox_base::Flags;

    use super::*;
    use crate::fixture::{content, options};

    /// What an mbox gives: a line for each message, with time, flags, keywords and content.
    fn read(mbox: &[u8]) -> Result<Vec<String>, String> {
        let mut seen = Vec::new();
        let dir = tempfile::tempdir().unwrap();
        let options = ReadOptions { message_bytes_max: 2_000_000, ..options(dir.path()) };
        let mut sink = |event: Event| {
            seen.push(match event {
                Event::Message(item) => {
                    let time = item.received.map_or(-1, |time| time.time().0);
                    let keywords = item.keywords.iter().map(ToString::to_string);
                    let names = item.flags.names().map(str::to_owned);
                    let words: Vec<String> = names.chain(keywords).collect();
                    let text = String::from_utf8(content(*item)).unwrap();
                    format!("{time} [{}] {}", words.join(" "), text.replace("\r\n", "|"))
                }
                Event::Problem(text) => format!("problem: {text}"),
                Event::Mailbox { .. } => "mailbox".to_owned(),
            });
            ControlFlow::Continue(())
        };
        let count = read_mbox(mbox, &MailboxName::inbox(), &options, &mut sink);
        let count = count.map_err(|error| error.to_string())?;
        let messages = seen.iter().filter(|line| !line.starts_with("problem")).count();
        assert!(count >= messages as u64);
        Ok(seen)
    }

    #[track_caller]
    fn check(mbox: &str, want: &[&str]) {
        assert_eq!(read(mbox.as_bytes()).unwrap(), want, "{mbox:?}");
        let crlf = mbox.replace('\n', "\r\n");
        assert_eq!(read(crlf.as_bytes()).unwrap(), want, "{crlf:?}");
    }

    /// RFC 4155 appendix A.
    #[test]
    fn messages_end_at_the_next_ones_line() {
        check(
            "From a Thu Jan  1 00:00:10 1970\nA: b\n\ntext\n\nFrom a Thu Jan  1 00:00:20 1970\nC: d\n\n",
            &["10 [] A: b||text|", "20 [] C: d||"],
        );
        // At the edge: empty lines first, no line end at last, an empty body, no date before a header.
        check("\n\nFrom a\nA: b\n\nx", &["-1 [] A: b||x|"]);
        check("From a\nA: b\n\nFrom b\nC: d\n", &["-1 [] A: b||", "-1 [] C: d|"]);
        check("From a\nA: b\n\n1\n\n\n2\n\n\n", &["-1 [] A: b||1|||2||"]);
        check("", &[]);
        check("\n", &[]);
        // Just past it: a sentence, and a line that does not follow an empty one.
        check("From a\nA: b\n\nFrom here on\nit goes\n", &["-1 [] A: b||From here on|it goes|"]);
        check(
            "From a\nA: b\n\nx\nFrom a Thu Jan  1 00:00:10 1970\n",
            &["-1 [] A: b||x|From a Thu Jan  1 00:00:10 1970|"],
        );
    }

    #[test]
    fn quoting_is_undone() {
        check(
            "From a\nA: b\n\n>From x\n>>From y\n> From z\n>Fromage\n",
            &["-1 [] A: b||From x|>From y|> From z|>Fromage|"],
        );
    }

    #[test]
    fn flags_leave_the_header() {
        let (seen, answered) = (Flags::SEEN, Flags::ANSWERED);
        let names: Vec<&str> = (seen | answered | Flags::JUNK).names().collect();
        check(
            "From a\nStatus: RO\nA: b\nX-Status: A\nX-Keywords: junk\n work\nC: d\n e\n\nStatus: x\n",
            &[&format!("-1 [{} work] A: b|C: d| e||Status: x|", names.join(" "))],
        );
        check(
            "From a\nX-Keywords: a\"b\n\n1\n",
            &["-1 [] |1|", "problem: Inbox: message 1: no keyword: \"a\\\"b\""],
        );
        // What c-client keeps for itself is no message.
        check("From a\nX-IMAP: 1 2\n\n-\n\nFrom b\nA: b\n\n", &["-1 [] A: b||"]);
    }

    #[test]
    fn one_bad_message_does_not_end_it() {
        let large = "x".repeat(1_000_000);
        let mbox = format!("From a\nA: b\n\n{large}\n{large}\n\nFrom b\nC: d\n\n");
        let seen = read(mbox.as_bytes()).unwrap();
        assert_eq!(seen, ["problem: Inbox: message 1: 2000012 bytes are too much", "-1 [] C: d||"]);
        let long = format!("From a\nA: b\n\n{}\n\nFrom b\nC: d\n\n", "x".repeat(1_500_000));
        let seen = read(long.as_bytes()).unwrap();
        assert_eq!((seen.len(), seen[0].len()), (2, 1_500_000 + "-1 [] A: b|||".len()));
    }

    #[test]
    fn what_is_no_mbox_is_refused() {
        assert!(read(b"Subject: x\n\nFrom a\n").unwrap_err().contains("not an mbox"));
        assert!(read(&[0; 10_000]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(text in "(From |>|a: b|Status: R|[ \r\n\n]|x){0,60}") {
            let _events = read(format!("From a\n{text}").as_bytes());
        }
    }
}
