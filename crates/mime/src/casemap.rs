//! Comparing text as people do: the collation `i;unicode-casemap`, and finding text by it.
//!
//! Source: RFC 5051, which RFC 5255 §4 and RFC 5256 §2.2 build on. SEARCH, SORT, THREAD and the
//! search index all compare by what stands here.

use memchr::memmem::Finder;
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// The mapped form of `text`: two texts are equal by `i;unicode-casemap` if their mapped forms are
/// the same bytes, and are ordered as these bytes are. RFC 5051 §2.
///
/// Every character is mapped by itself, so the mapped form of two texts in a row is that of each
/// in a row.
#[must_use]
pub fn casemap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    casemap_into(text, &mut out);
    out
}

/// Adds the mapped form of `text` to `out`.
pub fn casemap_into(text: &str, out: &mut String) {
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest.bytes().position(|b| !b.is_ascii()).unwrap_or(rest.len());
        let (plain, others) = rest.split_at(ascii);
        let from = out.len();
        out.push_str(plain);
        if let Some(added) = out.get_mut(from..) {
            added.make_ascii_uppercase();
        }
        let end = others.bytes().position(|b| b.is_ascii()).unwrap_or(others.len());
        let (foreign, after) = others.split_at(end);
        foreign.chars().for_each(|c| decompose_compatible(titlecase(c), |mapped| out.push(mapped)));
        rest = after;
    }
}

/// Like [`casemap`], and without diacritics: how a fuzzy search compares. RFC 6203 §3 leaves that
/// to the server.
#[must_use]
pub fn casemap_bare(text: &str) -> String {
    let mut out = casemap(text);
    drop_marks(&mut out);
    out
}

fn drop_marks(text: &mut String) {
    if !text.is_ascii() {
        text.retain(|c| !is_combining_mark(c));
    }
}

/// The simple titlecase mapping. RFC 5051 §2, step 2(a).
///
/// The standard library knows full uppercase only. The two differ where the full mapping is longer
/// than one character, for the digraphs, which have a titlecase of their own, and for Georgian,
/// whose capitals are for whole words.
fn titlecase(c: char) -> char {
    match u32::from(c) {
        0x01C4..=0x01C6 => '\u{01C5}',
        0x01C7..=0x01C9 => '\u{01C8}',
        0x01CA..=0x01CC => '\u{01CB}',
        0x01F1..=0x01F3 => '\u{01F2}',
        0x10D0..=0x10FA | 0x10FD..=0x10FF => c,
        // Greek with iota below: the capital that has the iota beside it is one character.
        code @ (0x1F80..=0x1F87 | 0x1F90..=0x1F97 | 0x1FA0..=0x1FA7) => {
            char::from_u32(code + 8).unwrap_or(c)
        }
        code @ (0x1FB3 | 0x1FC3 | 0x1FF3) => char::from_u32(code + 9).unwrap_or(c),
        _ => {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => c,
            }
        }
    }
}

/// How a [`TextFinder`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// By [`casemap`].
    Casemap,
    /// By [`casemap_bare`].
    Bare,
}

/// Looks for one text in another that comes in pieces. RFC 5051 §2: `i;unicode-casemap` has a
/// substring operation.
#[derive(Clone, Debug)]
pub struct TextFinder {
    finder: Finder<'static>,
    folding: Folding,
    /// The end of the text so far, in which the wanted text could begin.
    window: String,
}

impl TextFinder {
    /// Looks for `wanted`, as it was written.
    #[must_use]
    pub fn new(wanted: &str, folding: Folding) -> Self {
        let mapped = match folding {
            Folding::Casemap => casemap(wanted),
            Folding::Bare => casemap_bare(wanted),
        };
        Self { finder: Finder::new(mapped.as_bytes()).into_owned(), folding, window: String::new() }
    }

    /// Whether the wanted text is in `text`, which is whole.
    #[must_use]
    pub fn is_in(&mut self, text: &str) -> bool {
        self.restart();
        let is_found = self.push(text);
        self.restart();
        is_found
    }

    /// Takes the next piece. Whether the wanted text ends in it. An empty text is in every piece.
    ///
    /// Keeps no more than the length of the wanted text between pieces.
    pub fn push(&mut self, piece: &str) -> bool {
        let from = self.window.len();
        casemap_into(piece, &mut self.window);
        if self.folding == Folding::Bare {
            let mut added = self.window.split_off(from);
            drop_marks(&mut added);
            self.window.push_str(&added);
        }
        let is_found = self.finder.find(self.window.as_bytes()).is_some();
        let mut cut = self.window.len().saturating_sub(self.finder.needle().len());
        while !self.window.is_char_boundary(cut) {
            cut -= 1;
        }
        self.window.drain(..cut);
        is_found
    }

    /// What follows does not continue what came before.
    pub fn restart(&mut self) {
        self.window.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(casemap(text), want, "{text:?}");
    }

    /// RFC 5051 §2.
    #[test]
    fn texts_are_mapped_to_titlecase_and_decomposed() {
        // Valid.
        check("Hello, World 1", "HELLO, WORLD 1");
        check("café CAFÉ", "CAFE\u{301} CAFE\u{301}");
        check("Привет", "ПРИВЕТ");
        check("Σίσυφος", "ΣΙ\u{301}ΣΥΦΟΣ");
        // At the edge: simple mappings only, and of digraphs the titlecase.
        check("straße", "STRAßE");
        check("ǆ Ǆ", "Dz\u{30c} Dz\u{30c}");
        check("ქართული", "ქართული");
        check("ᾳ ᾼ", "Α\u{345} Α\u{345}");
        check("\u{212a}", "K");
        check("①", "1");
        check("한", "\u{1112}\u{1161}\u{11ab}");
        // What is decomposed is not mapped once more.
        check("ﬁ", "fi");
        check("", "");
    }

    #[test]
    fn a_fuzzy_comparison_ignores_diacritics() {
        assert_eq!(casemap_bare("Zürich, naïve"), "ZURICH, NAIVE");
        assert!(TextFinder::new("ZUR", Folding::Bare).is_in("in Zürich"));
        assert!(!TextFinder::new("ZUR", Folding::Casemap).is_in("in Zürich"));
    }

    proptest! {
        /// RFC 5051 §2: the substring operation, wherever the text is cut.
        #[test]
        fn a_text_is_found_whatever_the_pieces(
            text in "[abé☕ǅ]{0,30}", from in 0_usize..30, chars in 0_usize..8,
            cut in 1_usize..5, other in "[abé☕]{1,4}", bare: bool,
        ) {
            let folding = if bare { Folding::Bare } else { Folding::Casemap };
            let map = |text: &str| if bare { casemap_bare(text) } else { casemap(text) };
            let wanted: String = text.chars().skip(from).take(chars).collect();
            for wanted in [wanted, other] {
                let mut finder = TextFinder::new(&wanted, folding);
                let pieces: Vec<String> =
                    text.chars().collect::<Vec<_>>().chunks(cut).map(|c| c.iter().collect()).collect();
                let mut is_found = finder.push("");
                for piece in &pieces {
                    is_found |= finder.push(piece);
                }
                prop_assert_eq!(is_found, map(&text).contains(&map(&wanted)));
                prop_assert_eq!(finder.is_in(&text), is_found);
            }
        }
    }
}
