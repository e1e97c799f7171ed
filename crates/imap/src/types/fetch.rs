//! What FETCH can ask for.
//!
//! Source: RFC 9051 §6.4.5, RFC 9051 §9 (`fetch-att`, `section`), RFC 7162 §7.

use mox_base::ModSeq;

use super::PartialRange;

/// The deepest part number, `1.1.1…`. Ours; more parts than that nobody nests.
pub const SECTION_DEPTH_MAX: usize = 100;

/// The most items in one FETCH.
pub const FETCH_ITEMS_MAX: usize = 200;

/// One `fetch-att`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchItem {
    /// `UID`.
    Uid,
    /// `FLAGS`.
    Flags,
    /// `INTERNALDATE`.
    InternalDate,
    /// `RFC822.SIZE`.
    Rfc822Size,
    /// `ENVELOPE`.
    Envelope,
    /// `BODYSTRUCTURE`.
    BodyStructure,
    /// `BODY` without a section: the structure without its extension data.
    Body,
    /// `MODSEQ`. RFC 7162 §3.1.5.
    ModSeq,
    /// `BODY[…]<…>` and `BODY.PEEK[…]<…>`.
    BodySection(BodySection),
    /// `BINARY[…]<…>` and `BINARY.PEEK[…]<…>`. RFC 3516 §4.2.
    Binary(BinarySection),
    /// `BINARY.SIZE[…]`. RFC 3516 §4.3.
    BinarySize(Vec<u32>),
    /// `RFC822`: like `BODY[]`. RFC 3501 §6.4.5.
    Rfc822,
    /// `RFC822.HEADER`: like `BODY.PEEK[HEADER]`. RFC 3501 §6.4.5.
    Rfc822Header,
    /// `RFC822.TEXT`: like `BODY[TEXT]`. RFC 3501 §6.4.5.
    Rfc822Text,
    /// `PREVIEW` and `PREVIEW (LAZY)`: a few words of the text. It is made when a message comes, so
    /// that there is nothing to be lazy about. RFC 8970 §3.
    Preview,
    /// `SAVEDATE`: when it came to the mailbox. RFC 8514 §4.1.
    SaveDate,
    /// `EMAILID`: the same for copies. RFC 8474 §5.1.
    EmailId,
    /// `THREADID`. RFC 8474 §5.2.
    ThreadId,
}

impl FetchItem {
    /// Whether fetching it sets `\Seen`. RFC 9051 §6.4.5.
    #[must_use]
    pub fn marks_seen(&self) -> bool {
        match self {
            Self::BodySection(section) => !section.peek,
            Self::Binary(section) => !section.peek,
            Self::Rfc822 | Self::Rfc822Text => true,
            _ => false,
        }
    }
}

/// A section of a message as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodySection {
    /// Whether `\Seen` stays as it is.
    pub peek: bool,
    /// Which section.
    pub section: Section,
    /// Which bytes of it.
    pub partial: Option<Partial>,
}

/// A decoded part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinarySection {
    /// Whether `\Seen` stays as it is.
    pub peek: bool,
    /// Which part; empty for the whole message.
    pub part: Vec<u32>,
    /// Which bytes of it.
    pub partial: Option<Partial>,
}

/// `section-spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// The part number, `1.2.3`; empty for the message itself.
    pub part: Vec<u32>,
    /// What of it; `None` for all (the body, for a part).
    pub text: Option<SectionText>,
}

/// `section-text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SectionText {
    /// `HEADER`.
    Header,
    /// `HEADER.FIELDS (…)`: only these, names as to be printed.
    HeaderFields(Vec<Vec<u8>>),
    /// `HEADER.FIELDS.NOT (…)`: all but these.
    HeaderFieldsNot(Vec<Vec<u8>>),
    /// `TEXT`.
    Text,
    /// `MIME`: the header of the part itself. Only with a part number.
    Mime,
}

/// `partial`: `<offset.count>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// First byte wanted.
    pub offset: u64,
    /// Bytes wanted at most, not zero.
    pub count: u64,
}

impl Partial {
    /// The bytes of a text of `len` bytes that are wanted, as start and end.
    ///
    /// RFC 9051 §6.4.5: beyond the end there is nothing, which is not an error.
    #[must_use]
    pub fn clamp(self, len: u64) -> (u64, u64) {
        let start = self.offset.min(len);
        (start, self.offset.saturating_add(self.count).min(len))
    }
}

/// The modifiers of a FETCH. RFC 7162 §3.1.4.1, RFC 7162 §3.2.6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchModifiers {
    /// `CHANGEDSINCE`: only messages with a larger mod-sequence.
    pub changed_since: Option<ModSeq>,
    /// `VANISHED`: report what was expunged since as well.
    pub vanished: bool,
    /// Only a stretch of the messages of the set. RFC 9394 §3.3.
    pub partial: Option<PartialRange>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9051 §6.4.5: a partial beyond the end is an empty string.
    #[test]
    fn partials_are_cut_at_the_end() {
        let clamp = |offset, count, len| Partial { offset, count }.clamp(len);
        assert_eq!(clamp(0, 10, 100), (0, 10));
        assert_eq!(clamp(95, 5, 100), (95, 100));
        assert_eq!(clamp(95, 6, 100), (95, 100));
        assert_eq!(clamp(100_000, 10, 100), (100, 100));
        assert_eq!(clamp(u64::MAX, u64::MAX, 100), (100, 100));
    }
}
