//! A few lines that show what a message is about. RFC 8970 leaves the choice to the server.

use std::collections::VecDeque;
use std::io::{self, Read, Seek};

use crate::bytes::{as_u64, floor_str};
use crate::html::HtmlText;
use crate::reader::TextReader;
use crate::section::PartAt;
use crate::structure::Message;

/// The longest preview, in characters. RFC 8970 §3.1 allows 200 on the wire, to which IMAP cuts it.
pub const PREVIEW_CHARS_MAX: usize = 256;
/// The most decoded text that is looked at, in bytes, of all parts tried.
pub const PREVIEW_SOURCE_BYTES_MAX: usize = 1024 * 1024;
/// The most text that is made of HTML, in bytes.
const HTML_TEXT_BYTES_MAX: usize = 4 * 1024;
/// The most lines that are looked at, whatever is in them.
const LINES_MAX: usize = 5_000;
/// Lines looked at to judge one.
const LOOK_AHEAD_LINES: usize = 10;
/// A longer line is cut here: the rest would not be shown.
const LINE_BYTES_MAX: usize = 4 * PREVIEW_CHARS_MAX;
/// Once that much is there, no more lines are added.
const ENOUGH_BYTES: usize = 250;
const SNIP: &str = "[...]";

/// Makes the preview from the first part that has text, or an empty one.
///
/// `reader` must be the message from its start. Attachments, encrypted parts, embedded messages
/// and signatures are passed over.
pub fn preview<R: Read + Seek>(reader: &mut R, message: &Message) -> io::Result<String> {
    let mut room = PREVIEW_SOURCE_BYTES_MAX;
    of_part(reader, &PartAt::root(message), &mut room)
}

fn of_part<R: Read + Seek>(
    reader: &mut R,
    at: &PartAt<'_>,
    room: &mut usize,
) -> io::Result<String> {
    let part = at.part;
    if part.is_attachment() || part.is("MULTIPART", "ENCRYPTED") {
        return Ok(String::new());
    }
    if part.is_multipart() {
        // The second part of `multipart/signed` is the signature (RFC 1847 §2.1).
        let shown = if part.is("MULTIPART", "SIGNED") { 1 } else { part.parts.len() };
        for child in part.parts.iter().take(shown) {
            let text = of_part(reader, &at.child(child), room)?;
            if !text.is_empty() {
                return Ok(text);
            }
        }
        return Ok(String::new());
    }
    let is_html = part.is("TEXT", "HTML");
    if *room == 0 || !(is_html || part.is("TEXT", "PLAIN")) {
        return Ok(String::new());
    }
    let limited = at.open_decoded(reader)?.take(as_u64(*room));
    let mut chunks = Chunks { reader: TextReader::new(limited, part.charset().as_bytes()), room };
    if is_html {
        let text = chunks.html_text()?;
        return preview_text(text.lines().map(|line| Ok(line.to_owned())));
    }
    let lines = Lines { chunks, text: String::new(), pos: 0, is_done: false, is_cut: false };
    preview_text(lines.take(LINES_MAX))
}

/// Pieces of text, counted.
struct Chunks<'a, R> {
    reader: TextReader<R>,
    room: &'a mut usize,
}

impl<R: Read> Chunks<'_, R> {
    fn next(&mut self) -> io::Result<Option<&str>> {
        let chunk = self.reader.next_chunk()?;
        *self.room = self.room.saturating_sub(chunk.map_or(0, str::len));
        Ok(chunk)
    }

    fn html_text(&mut self) -> io::Result<String> {
        let mut html = HtmlText::new();
        while html.len() < HTML_TEXT_BYTES_MAX
            && let Some(chunk) = self.next()?
        {
            html.push(chunk);
        }
        Ok(html.finish())
    }
}

/// Lines of text, cut to [`LINE_BYTES_MAX`].
struct Lines<'a, R> {
    chunks: Chunks<'a, R>,
    /// Text read; that before `pos` was given.
    text: String,
    pos: usize,
    is_done: bool,
    /// Whether the start of the current line was given already.
    is_cut: bool,
}

impl<R: Read> Lines<'_, R> {
    /// Takes a line, or the start of a long one, off the text; `None` if more text is needed.
    fn take_line(&mut self) -> Option<String> {
        loop {
            let rest = self.text.get(self.pos..).unwrap_or_default();
            let Some(end) = rest.find('\n') else { break };
            let line = floor_str(rest.get(..end).unwrap_or_default(), LINE_BYTES_MAX).to_owned();
            self.pos += end + 1;
            if !std::mem::take(&mut self.is_cut) {
                return Some(line);
            }
        }
        self.text.drain(..self.pos);
        self.pos = 0;
        if self.text.len() <= LINE_BYTES_MAX {
            return None;
        }
        let line = floor_str(&self.text, LINE_BYTES_MAX).to_owned();
        self.text.clear();
        (!std::mem::replace(&mut self.is_cut, true)).then_some(line)
    }
}

impl<R: Read> Iterator for Lines<'_, R> {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        loop {
            if let Some(line) = self.take_line() {
                return Some(Ok(line));
            }
            if self.is_done {
                let line = std::mem::take(&mut self.text);
                return (!line.is_empty() && !self.is_cut).then_some(Ok(line));
            }
            match self.chunks.next() {
                Ok(Some(chunk)) => self.text.push_str(chunk),
                Ok(None) => self.is_done = true,
                Err(error) => {
                    self.is_done = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Trimmed lines, some of them ahead.
struct LookAhead<I> {
    lines: I,
    ahead: VecDeque<String>,
}

impl<I: Iterator<Item = io::Result<String>>> LookAhead<I> {
    fn fill(&mut self) -> io::Result<()> {
        while self.ahead.len() < LOOK_AHEAD_LINES
            && let Some(line) = self.lines.next()
        {
            self.ahead.push_back(line?.trim().to_owned());
        }
        Ok(())
    }

    fn line(&self, index: usize) -> Option<&str> {
        self.ahead.get(index).map(String::as_str)
    }

    /// `On …` over two lines, the second ending in a colon, before a quotation.
    fn starts_with_attribution(&self) -> bool {
        let starts = self.line(0).is_some_and(|l| l.starts_with("On ") && !l.ends_with("wrote:"));
        starts
            && self.ahead.len() > 3
            && self.line(1).is_some_and(|line| line.ends_with(':'))
            && self
                .ahead
                .iter()
                .skip(2)
                .find(|line| !line.is_empty())
                .is_some_and(|line| is_quoted(line))
    }

    /// A line of dashes with a few lines after it and no empty one among them.
    fn is_at_signature(&self) -> bool {
        let is_mark =
            self.line(0).is_some_and(|line| line.len() >= 2 && line.bytes().all(|b| b == b'-'));
        let after = self.ahead.iter().skip(1);
        let last_text = after.clone().rposition(|line| !line.is_empty());
        let count = last_text.map_or(0, |at| at + 1);
        is_mark && count < 5 && after.take(count).all(|line| !line.is_empty())
    }

    /// Whether the first line introduces a quotation.
    fn is_attribution(&self, nothing_yet: bool) -> bool {
        let Some(line) = self.line(0) else { return false };
        let next = match self.line(1) {
            Some("") => self.line(2),
            next => next,
        };
        line.ends_with(':')
            && (nothing_yet || line.bytes().any(|b| b.is_ascii_digit()))
            && next.is_some_and(is_quoted)
    }
}

fn is_snip(line: &str) -> bool {
    matches!(line, "[...]" | "[…]" | "...")
}

fn is_quoted(line: &str) -> bool {
    line.starts_with('>') || is_snip(line)
}

/// Makes a preview of lines of plain text: quotations become `[...]`, signatures are left out.
fn preview_text(lines: impl Iterator<Item = io::Result<String>>) -> io::Result<String> {
    let mut lines = LookAhead { lines, ahead: VecDeque::new() };
    let mut out = String::new();
    lines.fill()?;
    if lines.starts_with_attribution() {
        out.push_str(SNIP);
        out.push('\n');
        lines.ahead.drain(..3);
    }
    while out.len() <= ENOUGH_BYTES {
        lines.fill()?;
        if lines.is_at_signature() {
            break;
        }
        let is_attribution = lines.is_attribution(out.is_empty());
        let Some(line) = lines.ahead.pop_front() else { break };
        let ends_in_snip = out.lines().next_back().is_some_and(is_snip);
        let shown = if line.starts_with('>') || is_attribution { SNIP } else { line.as_str() };
        if shown.is_empty() || (is_snip(shown) && ends_in_snip) {
            continue;
        }
        out.extend(shown.chars().filter(|c| !c.is_control()));
        out.push('\n');
    }
    if let Some((end, _)) = out.char_indices().nth(PREVIEW_CHARS_MAX) {
        out.truncate(end);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, parse_bytes};

    #[track_caller]
    fn check(text: &str, want: &str) {
        let got = preview_text(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
        assert_eq!(got, want, "{text:?}");
    }

    #[test]
    fn text_is_shown_without_quotations_and_signatures() {
        check("Hello,\n\n  how are you?\n", "Hello,\nhow are you?\n");
        check("On 2026-11-20 someone wrote:\n> quoted\n> more\n\nmy text\n", "[...]\nmy text\n");
        check(
            "On Fri, Nov 20 a very long name\n<a@b.example> wrote:\n\n> quoted\ntext\n",
            "[...]\ntext\n",
        );
        check("See this 1:\n\n[...]\ntext", "[...]\ntext\n");
        check("text\n> a\n[...]\n...\n> b\nmore", "text\n[...]\nmore\n");
        check("text\nnot this:\n> a\n", "text\nnot this:\n[...]\n");
        check("text\n--\nname\nfirm\n", "text\n");
        check("text\n-- \nname\n\nmore\n", "text\n--\nname\nmore\n");
        check("text\n---\n1\n2\n3\n4\n5\n", "text\n---\n1\n2\n3\n4\n5\n");
        check("a\u{1b}[31mb", "a[31mb\n");
        check("", "");
    }

    #[test]
    fn a_preview_is_short() {
        let long = preview_text((0..100).map(|_| Ok("é ".repeat(40)))).unwrap();
        assert!(long.chars().count() <= PREVIEW_CHARS_MAX && long.len() > ENOUGH_BYTES);
        check(&"x".repeat(1000), &"x".repeat(PREVIEW_CHARS_MAX));
    }

    #[track_caller]
    fn check_message(message: &str, want: &str) {
        let bytes = message.replace('\n', "\r\n").into_bytes();
        let parsed = parse_bytes(&bytes, &Limits::default());
        assert_eq!(preview(&mut io::Cursor::new(bytes), &parsed).unwrap(), want, "{message}");
    }

    #[test]
    fn the_first_part_with_text_is_shown() {
        check_message("\nhello\n", "hello\n");
        check_message("Content-Type: text/html\n\n<p>a &amp; b</p>", "a & b\n");
        check_message("Content-Type: image/png\n\nhello\n", "");
        check_message(
            "Content-Type: multipart/alternative; boundary=x\n\n--x\n\n\n--x\n\
             Content-Type: text/html\n\n<b>hi</b>\n--x--\n",
            "hi\n",
        );
        check_message(
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n\
             Content-Disposition: attachment\n\nno\n--x\n\
             Content-Transfer-Encoding: base64\nContent-Type: text/plain; charset=koi8-r\n\n\
             8NLJ18XU\n--x--\n",
            "Привет\n",
        );
        check_message("Content-Type: multipart/encrypted; boundary=x\n\n--x\n\nno\n--x--\n", "");
    }

    #[test]
    fn a_long_line_costs_no_memory_and_is_cut() {
        let message = format!("\n{}\nsecond\n", "y".repeat(100_000));
        check_message(&message, &"y".repeat(PREVIEW_CHARS_MAX));
        check_message(&format!("{}\ntext\n", "\n".repeat(LINES_MAX - 1)), "text\n");
        check_message(&format!("{}\ntext\n", "\n".repeat(LINES_MAX)), "");
    }
}
