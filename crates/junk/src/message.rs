//! Going through a message for its words.

use std::io::{self, Cursor, Read, Seek};

use mox_mime::{
    EMBEDDED_BYTES_MAX, HEADER_BYTES_MAX, HEADER_FIELDS_MAX, HtmlText, Message, Part, PartAt,
    fields, parse_date, read_span,
};

use crate::address::{add_field, add_received, add_text};
use crate::html::Tags;
use crate::text::{TextWords, WORD_BYTES_MAX};
use crate::words::{Kinds, Words};

/// The most text of one message that is read, decoded, in bytes. What is behind it in a message is
/// not what it was sent for.
pub const TEXT_BYTES_MAX: usize = 512 << 10;

/// The most Received fields that are looked at, the latest first.
pub const RECEIVED_FIELDS_MAX: usize = 10;

/// Fields that honest mail has. RFC 5322 §3.6.
const EXPECTED: [&str; 4] = ["Date", "From", "Message-ID", "To"];

struct Visit<'w> {
    kinds: Kinds,
    words: &'w mut Words,
    /// Bytes of text that may still be read.
    left: usize,
    has_plain: bool,
    has_html: bool,
}

/// Adds all words of a message.
pub(crate) fn visit_message<R: Read + Seek>(
    reader: &mut R,
    message: &Message,
    kinds: Kinds,
    words: &mut Words,
) -> io::Result<()> {
    let root = PartAt::root(message);
    let header = read_span(reader, &root.header(), HEADER_BYTES_MAX)?;
    add_header(&header, kinds, words);
    add_type(&message.root, words);
    let mut visit = Visit { kinds, words, left: TEXT_BYTES_MAX, has_plain: false, has_html: false };
    visit.part(reader, &root)?;
    if visit.has_html && !visit.has_plain {
        visit.words.add_header("html:only");
    }
    Ok(())
}

fn add_header(header: &[u8], kinds: Kinds, words: &mut Words) {
    let mut missing = EXPECTED.to_vec();
    let mut received = 0;
    for field in fields(header).take(HEADER_FIELDS_MAX) {
        missing.retain(|name| !field.is(name));
        if field.name.is_empty() {
            words.add_header("header:none");
        } else if field.is("Received") {
            received += 1;
            if received <= RECEIVED_FIELDS_MAX {
                add_received(field.value, words);
            }
        } else {
            add_field(&String::from_utf8_lossy(field.name), field.value, kinds, words);
            if field.is("Date") && parse_date(field.value).is_none() {
                words.add_header("date:unreadable");
            }
        }
    }
    for name in missing {
        words.add_header(&format!("missing:{}", name.to_ascii_lowercase()));
    }
}

/// Adds what kind of part this is.
///
/// Deviation: the original takes a message with a Content-Type that cannot be read for spam,
/// whatever is in it. Honest programs write such too; here it is a word like others.
fn add_type(part: &Part, words: &mut Words) {
    let name = format!("{}/{}", part.media_type, part.media_subtype).to_ascii_lowercase();
    if name.len() <= WORD_BYTES_MAX {
        words.add_header(&format!("type:{name}"));
    }
    if part.is_text() {
        let charset = part.charset().to_lowercase();
        if charset.len() <= WORD_BYTES_MAX {
            words.add_header(&format!("charset:{charset}"));
        }
        if let Some(encoding) = &part.transfer_encoding
            && encoding.len() <= WORD_BYTES_MAX
        {
            let encoding = String::from_utf8_lossy(encoding).to_lowercase();
            words.add_header(&format!("encoding:{encoding}"));
        }
    }
}

impl Visit<'_> {
    /// Depth and number of parts are bounded by the parser.
    fn part<R: Read + Seek>(&mut self, reader: &mut R, at: &PartAt<'_>) -> io::Result<()> {
        self.file_name(at.part);
        if let Some(embedded) = at.part.message.as_deref() {
            return if embedded.is_decoded {
                // Decoded once for all its parts, not once for each.
                let mut body = at.open_decoded(reader)?.take(EMBEDDED_BYTES_MAX as u64);
                let mut decoded = Vec::new();
                body.read_to_end(&mut decoded)?;
                let inner = PartAt { part: &embedded.root, layers: Vec::new() };
                self.embedded(&mut Cursor::new(decoded), &inner)
            } else {
                self.embedded(reader, &at.child(&embedded.root))
            };
        }
        for child in &at.part.parts {
            add_type(child, self.words);
            self.part(reader, &at.child(child))?;
        }
        if at.part.is_text() && self.left > 0 {
            self.text(reader, at)?;
        }
        Ok(())
    }

    /// Of the header of a message in a message only the subject counts: the rest says who wrote to
    /// somebody else.
    fn embedded<R: Read + Seek>(&mut self, reader: &mut R, at: &PartAt<'_>) -> io::Result<()> {
        let header = read_span(reader, &at.header(), HEADER_BYTES_MAX)?;
        for field in fields(&header).take(HEADER_FIELDS_MAX).filter(|field| field.is("Subject")) {
            let subject = mox_mime::decode_header(field.value);
            add_text("subject:", &subject, self.kinds, self.words);
        }
        add_type(at.part, self.words);
        self.part(reader, at)
    }

    fn file_name(&mut self, part: &Part) {
        let Some(name) = part.filename() else {
            if part.is_attachment() {
                self.words.add_header("file:unnamed");
            }
            return;
        };
        if let Some((_, extension)) = name.rsplit_once('.')
            && extension.len() <= WORD_BYTES_MAX
        {
            self.words.add_header(&format!("file:.{}", extension.to_lowercase()));
        }
        add_text("file:", &name, self.kinds, self.words);
    }

    fn text<R: Read + Seek>(&mut self, reader: &mut R, at: &PartAt<'_>) -> io::Result<()> {
        let is_html = at.part.is("TEXT", "HTML");
        self.has_html |= is_html;
        self.has_plain |= !is_html;
        let mut html = is_html.then(|| (HtmlText::new(), Tags::default()));
        let mut text = TextWords::new(self.kinds);
        let mut chunks = at.open_text(reader)?;
        while let Some(chunk) = chunks.next_chunk()? {
            match &mut html {
                None => text.push(chunk, self.words),
                Some((html, tags)) => {
                    html.push(chunk);
                    text.push(&html.take(), self.words);
                    tags.push(chunk, self.words);
                }
            }
            self.left = self.left.saturating_sub(chunk.len());
            if self.left == 0 {
                break;
            }
        }
        if let Some((html, _)) = html {
            text.push(&html.finish(), self.words);
        }
        text.end(self.words);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "Received: from a.relay.example by mx.example; now\r\n\
        From: Anna <anna@shop.example>\r\nTo: me@local.example\r\nDate: nonsense\r\n\
        Subject: Great offers\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\
        Content-Type: text/html; charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        PHA+YnV5PC9wPjxpbWcgc3JjPWh0dHA6Ly90LmV4YW1wbGUvIHdpZHRoPTE+\r\n--x\r\n\
        Content-Type: application/zip; name=\"Invoice.pdf.ZIP\"\r\n\r\nPK\r\n--x\r\n\
        Content-Type: message/rfc822\r\n\r\nFrom: other@else.example\r\nSubject: inside\r\n\r\nlunch\r\n--x--\r\n";

    fn words_of(message: &[u8]) -> Vec<String> {
        let words = Words::of_bytes(message, Kinds::default());
        let mut all: Vec<_> = words.sorted().iter().map(|word| word.text.to_owned()).collect();
        all.sort_unstable();
        all
    }

    #[track_caller]
    fn check(message: &str, has: &[&str], has_not: &[&str]) {
        let all = words_of(message.as_bytes());
        for word in has {
            assert!(all.iter().any(|one| one == word), "{word} is not in {all:?}");
        }
        for word in has_not {
            assert!(!all.iter().any(|one| one == word), "{word} is in {all:?}");
        }
    }

    /// RFC 2045 §5, RFC 2046 §5.2.1.
    #[test]
    fn all_parts_of_a_message_have_their_say() {
        let has = [
            "received:relay.example",
            "from:anna@shop.example",
            "subject:great",
            "date:unreadable",
            "missing:message-id",
            "type:multipart/mixed",
            "type:text/html",
            "charset:utf-8",
            "encoding:base64",
            "buy",
            "html:tracker",
            "url:t.example",
            "file:.zip",
            "file:invoice",
            "type:message/rfc822",
            "subject:inside",
            "lunch",
        ];
        check(MESSAGE, &has, &["from:other@else.example", "missing:to", "text:invisible"]);
        // With a plain text in the message within, it is not only HTML.
        check(MESSAGE, &["lunch"], &["html:only"]);
        check("Content-Type: text/html\r\n\r\n<p>buy</p>", &["html:only", "buy"], &["p"]);
    }

    #[test]
    fn what_is_far_behind_is_not_read() {
        let filler = "ham ".repeat(TEXT_BYTES_MAX / 4);
        check(&format!("\r\n{filler}late"), &["ham"], &["late"]);
        check(
            &format!("\r\n{}early", &filler[..TEXT_BYTES_MAX - 8 * 1024]),
            &["ham", "early"],
            &[],
        );
    }

    #[test]
    fn bytes_that_are_no_message_have_words_or_none() {
        for bytes in
            [&b""[..], b"\0\0\0", b"\r\n\r\n", &[0xFF; 5_000], b"Content-Type: multipart/x"]
        {
            assert!(words_of(bytes).iter().all(|word| !word.is_empty()));
        }
    }

    #[test]
    fn a_deeply_nested_message_is_read() {
        let mut message = String::from("Content-Type: text/plain\r\n\r\nbottom");
        for _ in 0..60 {
            message = format!("Content-Type: message/rfc822\r\n\r\n{message}");
        }
        check(&message, &["type:message/rfc822"], &[]);
    }
}
