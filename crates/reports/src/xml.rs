//! A reader of XML that takes no more of the language than reports need, within bounds.
//!
//! Elements, text, CDATA and the five entities that XML defines. A document type is refused, and with
//! it every way to define entities; attributes, comments and processing instructions are nothing.

use std::io::{BufReader, Chain, Cursor, Read};

use mox_mime::TextReader;
use quick_xml::events::Event;
use quick_xml::{Error as XmlError, Reader};

use crate::error::ReportError;
use crate::text::{TEXT_BYTES_MAX, clean};
use crate::unpack::Rationed;

/// The deepest nesting of elements. Those of a report need six.
pub const XML_DEPTH_MAX: usize = 32;

/// The longest piece of markup or of text without markup, in bytes; a longer one is refused.
pub const XML_TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Bytes at the start in which the charset is declared.
const DECLARATION_BYTES_MAX: u64 = 256;

/// A document as UTF-8, with its start, which was looked at, put back.
type Text<R> = TextReader<Chain<Cursor<Vec<u8>>, R>>;

/// Reads one document.
pub(crate) struct Document<R: Read> {
    reader: Reader<Rationed<BufReader<Text<R>>>>,
    token: Vec<u8>,
    depth: usize,
    /// The namespace prefix of the outermost element. Elements with another are extensions.
    prefix: Option<Box<str>>,
}

/// What comes next in an element.
enum Node {
    /// An element starts. Its name is empty if it is of an extension.
    Start(String),
    /// The element that was started last ends.
    End,
    Text(String),
}

impl<R: Read> Document<R> {
    /// Starts to read, and enters the outermost element, which must have this name.
    pub(crate) fn open(mut source: R, root: &str) -> Result<Self, ReportError> {
        let mut start = Vec::new();
        let taken = source.by_ref().take(DECLARATION_BYTES_MAX).read_to_end(&mut start);
        taken.map_err(|error| ReportError::from(&error))?;
        let label = charset(&start);
        let text = TextReader::new(Cursor::new(start).chain(source), &label);
        let mut reader = Reader::from_reader(Rationed::new(BufReader::new(text)));
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        // Names of companies are written so.
        config.allow_dangling_amp = true;
        let mut document = Self { reader, token: Vec::new(), depth: 0, prefix: None };
        document.enter(root)?;
        Ok(document)
    }

    fn enter(&mut self, root: &str) -> Result<(), ReportError> {
        self.token.clear();
        self.reader.get_mut().allow(XML_TOKEN_BYTES_MAX);
        loop {
            match self.reader.read_event_into(&mut self.token).map_err(|error| fault(&error))? {
                Event::Start(start) => {
                    let (local, prefix) = start.name().decompose();
                    if local.as_ref() != root {
                        return Err(ReportError::OtherRoot);
                    }
                    self.prefix = prefix.map(|prefix| prefix.into_inner().into());
                    self.depth = 1;
                    return Ok(());
                }
                Event::DocType(_) => return Err(ReportError::DocType),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Text(text) if text.trim().is_empty() => {}
                _ => return Err(ReportError::BadXml),
            }
            self.token.clear();
            self.reader.get_mut().allow(XML_TOKEN_BYTES_MAX);
        }
    }

    /// Calls `child` with the name of each element in the one that was started last, up to its end.
    ///
    /// `child` must read the element, by `text`, `children` or `skip`.
    pub(crate) fn children(
        &mut self,
        mut child: impl FnMut(&mut Self, &str) -> Result<(), ReportError>,
    ) -> Result<(), ReportError> {
        loop {
            match self.next()? {
                Node::Start(name) => child(self, &name)?,
                Node::End => return Ok(()),
                Node::Text(_) => {}
            }
        }
    }

    /// The text of the element that was started last, up to its end, without the blanks around it.
    /// Elements in it are left out, and control characters are blanks.
    pub(crate) fn text(&mut self) -> Result<String, ReportError> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Node::Text(piece) if text.len() < TEXT_BYTES_MAX => text.push_str(&piece),
                Node::Text(_) => {}
                Node::Start(_) => self.skip()?,
                Node::End => break,
            }
        }
        Ok(clean(&text, TEXT_BYTES_MAX))
    }

    /// Leaves out the element that was started last.
    pub(crate) fn skip(&mut self) -> Result<(), ReportError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.next()?;
        }
        Ok(())
    }

    /// Checks that nothing follows, and by that all that the source checks at its end.
    pub(crate) fn finish(mut self) -> Result<(), ReportError> {
        loop {
            self.token.clear();
            self.reader.get_mut().allow(XML_TOKEN_BYTES_MAX);
            match self.reader.read_event_into(&mut self.token).map_err(|error| fault(&error))? {
                Event::Eof => return Ok(()),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Text(text)
                    if text.trim_matches(['\0', ' ', '\t', '\r', '\n']).is_empty() => {}
                _ => return Err(ReportError::BadXml),
            }
        }
    }

    fn next(&mut self) -> Result<Node, ReportError> {
        loop {
            self.token.clear();
            self.reader.get_mut().allow(XML_TOKEN_BYTES_MAX);
            let event = self.reader.read_event_into(&mut self.token);
            return Ok(match event.map_err(|error| fault(&error))? {
                Event::Start(start) => {
                    self.depth += 1;
                    if self.depth > XML_DEPTH_MAX {
                        return Err(ReportError::TooDeep);
                    }
                    let (local, prefix) = start.name().decompose();
                    let is_ours =
                        prefix.map(|prefix| prefix.into_inner()) == self.prefix.as_deref();
                    Node::Start(if is_ours { local.into_inner().to_owned() } else { String::new() })
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    Node::End
                }
                Event::Text(text) => Node::Text(text.xml10_content().into_owned()),
                Event::CData(text) => Node::Text(text.xml10_content().into_owned()),
                Event::GeneralRef(name) => Node::Text(entity(&name)?.to_string()),
                Event::Comment(_) | Event::PI(_) => continue,
                Event::DocType(_) => return Err(ReportError::DocType),
                Event::Decl(_) | Event::Empty(_) | Event::Eof => return Err(ReportError::BadXml),
            });
        }
    }
}

fn entity(name: &quick_xml::events::BytesRef<'_>) -> Result<char, ReportError> {
    if let Some(number) = name.resolve_char_ref().map_err(|_| ReportError::UnknownEntity)? {
        return Ok(number);
    }
    Ok(match &**name {
        "amp" => '&',
        "apos" => '\'',
        "gt" => '>',
        "lt" => '<',
        "quot" => '"',
        _ => return Err(ReportError::UnknownEntity),
    })
}

fn fault(error: &XmlError) -> ReportError {
    match error {
        XmlError::Io(error) => ReportError::from(&**error),
        _ => ReportError::BadXml,
    }
}

/// The charset that the start of a document claims or shows; empty if it is to be guessed.
fn charset(start: &[u8]) -> Vec<u8> {
    match start {
        [0xff, 0xfe, ..] | [b'<', 0, ..] => return b"utf-16le".to_vec(),
        [0xfe, 0xff, ..] | [0, b'<', ..] => return b"utf-16be".to_vec(),
        _ => {}
    }
    let label = declared(start).unwrap_or_default();
    // The bytes show that it is not so, and some programs always say so.
    let is_wide = label.get(..3).is_some_and(|name| name.eq_ignore_ascii_case(b"utf"))
        && !label.ends_with(b"8");
    if is_wide { b"utf-8".to_vec() } else { label.to_vec() }
}

/// The name in the XML declaration.
fn declared(start: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"encoding";
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let declaration = start.strip_prefix(b"<?xml")?;
    let declaration = declaration.split(|b| *b == b'>').next()?;
    let at = declaration.windows(KEY.len()).position(|word| word == KEY)?;
    let value = declaration.get(at + KEY.len()..)?.trim_ascii_start().strip_prefix(b"=")?;
    let (quote, value) = value.trim_ascii_start().split_first()?;
    value.split(|b| b == quote).next()
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
