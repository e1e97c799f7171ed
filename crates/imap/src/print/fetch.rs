//! FETCH and VANISHED responses.
//!
//! Source: RFC 9051 §7.5.2, RFC 7162 §3.2.10.

use mox_base::{DateTime, Flags, ModSeq, UnixSeconds, ZonedTime};

use super::mailbox::shown_modseq;
use super::text::{astring, flags, literal_start, number};
use crate::types::{BinarySection, NumSet, Section, SectionText};

/// The longest set in one VANISHED line, in bytes.
const VANISHED_SET_BYTES_MAX: usize = 4 * 1024 - 32;

/// `,4294967295:4294967295`
const RANGE_BYTES_MAX: usize = 22;

/// How a FETCH response says which message it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `* seq FETCH (UID uid …`: RFC 9051 §7.5.2.
    Number,
    /// `* uid UIDFETCH (…`: RFC 9586 §3.
    Uid {
        /// Whether the client asked for the item `UID`, which says the same once more.
        with_item: bool,
    },
}

/// One FETCH response being written: `* n FETCH (…)`.
///
/// Each method appends one data item; [`FetchLine::finish`] closes the line. A line dropped
/// unfinished leaves the output broken, so finish it or truncate the output.
#[derive(Debug)]
#[must_use]
pub struct FetchLine<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

/// Announces a string of that many bytes.
///
/// RFC 9051 §9 (`nstring`): an empty one is quoted. Apple's mail programs wait for more behind `{0}`
/// until they give up.
fn text_start(out: &mut Vec<u8>, size: u64) {
    if size == 0 {
        out.extend_from_slice(b"\"\"");
    } else {
        literal_start(out, size, false);
    }
}

impl<'a> FetchLine<'a> {
    /// `* seq FETCH (`
    pub fn start(out: &'a mut Vec<u8>, seq: u32) -> Self {
        Self::start_as(out, seq, b" FETCH (")
    }

    fn start_as(out: &'a mut Vec<u8>, message: u32, name: &[u8]) -> Self {
        out.extend_from_slice(b"* ");
        number(out, message);
        out.extend_from_slice(name);
        Self { out, is_first: true }
    }

    /// Starts the response for a message, with its UID in the way the client wants it.
    pub fn start_named(out: &'a mut Vec<u8>, naming: Naming, seq: u32, uid: u32) -> Self {
        let (mut line, with_item) = match naming {
            Naming::Number => (Self::start(out, seq), true),
            Naming::Uid { with_item } => (Self::start_as(out, uid, b" UIDFETCH ("), with_item),
        };
        if with_item {
            line.uid(uid);
        }
        line
    }

    /// Goes on with a line whose earlier items were written already.
    pub fn resume(out: &'a mut Vec<u8>) -> Self {
        Self { out, is_first: false }
    }

    /// Writes a name and a space; the caller appends the value to what comes back.
    pub fn item(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b' ');
        self.out
    }

    /// `UID n`
    pub fn uid(&mut self, uid: u32) {
        number(self.item("UID"), uid);
    }

    /// `FLAGS (…)`
    pub fn flags<'k>(&mut self, system: Flags, keywords: impl IntoIterator<Item = &'k str>) {
        flags(self.item("FLAGS"), system, keywords);
    }

    /// `MODSEQ (n)`. RFC 7162 §3.1.4.2.
    pub fn modseq(&mut self, modseq: ModSeq) {
        let out = self.item("MODSEQ");
        out.push(b'(');
        number(out, shown_modseq(modseq));
        out.push(b')');
    }

    /// `INTERNALDATE "20-Nov-2026 08:55:32 +0000"`
    pub fn internal_date(&mut self, time: ZonedTime) {
        self.date_time("INTERNALDATE", DateTime::from_zoned(time));
    }

    /// `SAVEDATE "20-Nov-2026 08:55:32 +0000"` and the like. RFC 8514 §4.2.
    pub fn date(&mut self, name: &str, time: UnixSeconds) {
        self.date_time(name, DateTime::from_unix(time));
    }

    fn date_time(&mut self, name: &str, date: DateTime) {
        let text = date.to_imap();
        let out = self.item(name);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }

    /// `RFC822.SIZE n`
    pub fn size(&mut self, size_bytes: u64) {
        number(self.item("RFC822.SIZE"), size_bytes);
    }

    /// `EMAILID (E7)` and the like. RFC 8474 §5.
    pub fn object_id(&mut self, name: &str, id: &str) {
        let out = self.item(name);
        out.push(b'(');
        out.extend_from_slice(id.as_bytes());
        out.push(b')');
    }

    /// `BODY[section]<origin> {size}` CR LF: `size` bytes of data must follow.
    ///
    /// RFC 9051 §7.5.2: the origin is there whenever the client asked for a part of the bytes.
    pub fn body_section(&mut self, section: &Section, origin: Option<u64>, size: u64) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(b"BODY");
        print_section(self.out, section);
        print_origin(self.out, origin);
        self.out.push(b' ');
        text_start(self.out, size);
    }

    /// `BINARY[part] ~{size}` CR LF: `size` bytes of data must follow. RFC 3516 §4.2.
    pub fn binary(&mut self, section: &BinarySection, size: u64) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(b"BINARY");
        print_section(self.out, &Section { part: section.part.clone(), text: None });
        // RFC 9051 §9 (`msg-att-static`): BINARY takes its origin as BODY does.
        print_origin(self.out, section.partial.map(|partial| partial.offset));
        self.out.push(b' ');
        literal_start(self.out, size, true);
    }

    /// `BINARY.SIZE[part] n`. RFC 3516 §4.3.
    pub fn binary_size(&mut self, part: &[u32], size: u64) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(b"BINARY.SIZE");
        print_section(self.out, &Section { part: part.to_vec(), text: None });
        self.out.push(b' ');
        number(self.out, size);
    }

    /// `RFC822.HEADER {size}` CR LF and the like: `size` bytes of data must follow.
    pub fn literal(&mut self, name: &str, size: u64) {
        text_start(self.item(name), size);
    }

    /// Bytes of a literal that was started.
    pub fn data(&mut self, data: &[u8]) {
        self.out.extend_from_slice(data);
    }

    /// Where the bytes go, for writers of their own.
    pub fn output(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// `)` CR LF
    pub fn finish(self) {
        self.out.extend_from_slice(b")\r\n");
    }
}

fn print_origin(out: &mut Vec<u8>, origin: Option<u64>) {
    if let Some(origin) = origin {
        out.push(b'<');
        number(out, origin);
        out.push(b'>');
    }
}

fn print_section(out: &mut Vec<u8>, section: &Section) {
    out.push(b'[');
    print_section_spec(out, section);
    out.push(b']');
}

/// `section-spec`, empty for the whole message. RFC 9051 §9.
pub(crate) fn section_spec(section: &Section) -> Vec<u8> {
    let mut out = Vec::new();
    print_section_spec(&mut out, section);
    out
}

fn print_section_spec(out: &mut Vec<u8>, section: &Section) {
    for (index, part) in section.part.iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        number(out, *part);
    }
    if let Some(text) = &section.text {
        if !section.part.is_empty() {
            out.push(b'.');
        }
        match text {
            SectionText::Header => out.extend_from_slice(b"HEADER"),
            SectionText::Text => out.extend_from_slice(b"TEXT"),
            SectionText::Mime => out.extend_from_slice(b"MIME"),
            SectionText::HeaderFields(names) => print_fields(out, b"HEADER.FIELDS (", names),
            SectionText::HeaderFieldsNot(names) => print_fields(out, b"HEADER.FIELDS.NOT (", names),
        }
    }
}

fn print_fields(out: &mut Vec<u8>, start: &[u8], names: &[Vec<u8>]) {
    out.extend_from_slice(start);
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        astring(out, name, false);
    }
    out.push(b')');
}

/// `* VANISHED uids`, in as many lines as it takes; nothing for no UIDs. RFC 7162 §3.2.10.2.
pub fn vanished(out: &mut Vec<u8>, uids: &NumSet) {
    print_vanished(out, b"* VANISHED ", uids);
}

/// `* VANISHED (EARLIER) uids`. RFC 7162 §3.2.10.1.
pub fn vanished_earlier(out: &mut Vec<u8>, uids: &NumSet) {
    print_vanished(out, b"* VANISHED (EARLIER) ", uids);
}

fn print_vanished(out: &mut Vec<u8>, start: &[u8], uids: &NumSet) {
    // Where the set of the current line starts; no line has begun yet.
    let mut set_start = None;
    for &(first, last) in uids.ranges() {
        match set_start {
            Some(at) if out.len() - at + RANGE_BYTES_MAX <= VANISHED_SET_BYTES_MAX => {
                out.push(b',');
            }
            _ => {
                if set_start.is_some() {
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(start);
                set_start = Some(out.len());
            }
        }
        print_range(out, first, last);
    }
    if set_start.is_some() {
        out.extend_from_slice(b"\r\n");
    }
}

fn print_range(out: &mut Vec<u8>, first: u32, last: u32) {
    number(out, first);
    if first != last {
        out.push(b':');
        number(out, last);
    }
}

/// `sequence-set`, as `1:3,5`; nothing for the empty set. RFC 9051 §9.
pub fn set(out: &mut Vec<u8>, set: &NumSet) {
    for (index, (first, last)) in set.ranges().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        print_range(out, *first, *last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Partial;

    /// RFC 9051 §9 (`nstring`). It was `{0}`, behind which Apple's mail programs wait for more.
    #[test]
    fn an_empty_section_is_quoted() {
        let mut out = Vec::new();
        let mut line = FetchLine::start(&mut out, 1);
        line.body_section(&Section { part: vec![1], text: None }, Some(9), 0);
        line.literal("RFC822.TEXT", 0);
        line.binary(&BinarySection { peek: true, part: vec![1], partial: None }, 0);
        line.finish();
        let want = "* 1 FETCH (BODY[1]<9> \"\" RFC822.TEXT \"\" BINARY[1] ~{0}\r\n)\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    /// RFC 9051 §7.5.2.
    #[test]
    fn a_line_holds_its_items_in_order() {
        let mut out = Vec::new();
        let mut line = FetchLine::start(&mut out, 2);
        line.uid(7);
        line.internal_date(UnixSeconds(1_795_164_932).into());
        line.size(44);
        let fields = SectionText::HeaderFields(vec![b"Subject".to_vec(), b"a b".to_vec()]);
        line.body_section(&Section { part: vec![1, 2], text: Some(fields) }, Some(100), 3);
        line.data(b"x\r\n");
        let partial = Some(Partial { offset: 0, count: 5 });
        line.binary(&BinarySection { peek: true, part: vec![1], partial }, 1);
        line.data(b"\0");
        line.binary_size(&[], 9);
        line.flags(Flags::SEEN, ["label1"]);
        line.modseq(ModSeq::default());
        line.finish();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "* 2 FETCH (UID 7 INTERNALDATE \"20-Nov-2026 08:55:32 +0000\" RFC822.SIZE 44 \
             BODY[1.2.HEADER.FIELDS (Subject \"a b\")]<100> {3}\r\nx\r\n \
             BINARY[1]<0> ~{1}\r\n\0 BINARY.SIZE[] 9 FLAGS (\\Seen label1) MODSEQ (1))\r\n"
        );
    }

    /// RFC 9051 §7.5.2, RFC 9586 §3.
    #[test]
    fn a_line_names_its_message_as_the_client_wants() {
        let printed = |naming| {
            let mut out = Vec::new();
            let mut line = FetchLine::start_named(&mut out, naming, 2, 7);
            line.size(1);
            line.finish();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(printed(Naming::Number), "* 2 FETCH (UID 7 RFC822.SIZE 1)\r\n");
        assert_eq!(printed(Naming::Uid { with_item: false }), "* 7 UIDFETCH (RFC822.SIZE 1)\r\n");
        assert_eq!(
            printed(Naming::Uid { with_item: true }),
            "* 7 UIDFETCH (UID 7 RFC822.SIZE 1)\r\n"
        );
    }

    /// RFC 7162 §3.2.10: long lists are cut into lines.
    #[test]
    fn vanished_lines_are_split() {
        let mut out = Vec::new();
        vanished(&mut out, &NumSet::new());
        assert!(out.is_empty());
        vanished_earlier(&mut out, &NumSet::from_ranges([(1, 3), (5, 5)]));
        assert_eq!(out, b"* VANISHED (EARLIER) 1:3,5\r\n");
        out.clear();
        let many: NumSet = (0..5_000).map(|n| 1_000_000 + n * 2).collect();
        vanished(&mut out, &many);
        let text = String::from_utf8(out).unwrap();
        let mut seen = Vec::new();
        for line in text.lines() {
            let set = line.strip_prefix("* VANISHED ").unwrap();
            assert!(set.len() <= VANISHED_SET_BYTES_MAX, "{}", set.len());
            seen.extend(set.split(',').map(|uid| uid.parse::<u32>().unwrap()));
        }
        assert_eq!(seen, many.iter().collect::<Vec<_>>());
        assert!(text.lines().count() <= 5_000 * 8 / VANISHED_SET_BYTES_MAX + 1);
    }
}
