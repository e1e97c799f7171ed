//! The grams of a text: what the search index knows of it.
//!
//! A text is mapped by `i;unicode-casemap`, its diacritics are dropped, and it is cut at everything
//! that is neither letter nor digit. From each place of a word on, the next [`GRAM_CHARS`]
//! characters are a gram, or what is left of the word if that is [`WORD_CHARS_MIN`] at least. So a
//! text can only be in a message of which every gram of the text is one, or begins one.
//!
//! Words longer than [`WORD_CHARS_MAX`] are signatures, keys and ids: their grams would be as many
//! as there are such words. They are cut into pieces of [`WORD_CHARS_MIN`] characters, of which
//! there are few different ones.

use mox_mime::casemap_bare;

/// The characters of a gram.
const GRAM_CHARS: usize = 5;

/// The shortest word that has grams, and the gram of long words.
const WORD_CHARS_MIN: usize = 3;

/// The longest word that has grams of its own kind.
const WORD_CHARS_MAX: usize = 24;

/// The most grams of one word that a query asks for.
const QUERY_GRAMS_MAX: usize = 8;

/// The most words that a query asks for: the longest ones.
const QUERY_WORDS_MAX: usize = 8;

/// Characters beyond ASCII are told apart by this many symbols.
const FOREIGN_SYMBOLS: u32 = 27;

/// Where a text stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The field Subject of the message's own header.
    Subject,
    /// The field From.
    From,
    /// All other fields of it.
    Header,
    /// Everything else.
    Body,
}

impl Place {
    pub(crate) const ALL: [Self; 4] = [Self::Subject, Self::From, Self::Header, Self::Body];

    /// The place of a field of the message's own header.
    pub(crate) fn of_field(name: &str) -> Self {
        if name.eq_ignore_ascii_case("subject") {
            Self::Subject
        } else if name.eq_ignore_ascii_case("from") {
            Self::From
        } else {
            Self::Header
        }
    }

    /// The first letter of a gram there: of a word, and of a long one.
    fn letters(self) -> (u8, u8) {
        match self {
            Self::Subject => (b's', b't'),
            Self::From => (b'f', b'g'),
            Self::Header => (b'h', b'i'),
            Self::Body => (b'b', b'c'),
        }
    }
}

/// A symbol stands for a character: 1 to 36 for `0`…`9`, `A`…`Z`, then the foreign ones; 0 for
/// what is no part of a word.
fn symbol(c: char) -> u8 {
    match c {
        '0'..='9' => c as u8 - b'0' + 1,
        'A'..='Z' => c as u8 - b'A' + 11,
        'a'..='z' => c as u8 - b'a' + 11,
        _ if !c.is_ascii() && c.is_alphanumeric() => {
            let mixed = (u32::from(c).wrapping_mul(0x9E37_79B1) >> 8) % FOREIGN_SYMBOLS;
            37 + u8::try_from(mixed).unwrap_or_default()
        }
        _ => 0,
    }
}

/// What the tokenizer of the index takes for a letter.
fn letter(symbol: u8) -> char {
    match symbol {
        0..=10 => char::from(b'0' + symbol.saturating_sub(1)),
        11..=36 => char::from(b'a' + symbol - 11),
        _ => char::from_u32(0xC0 + u32::from(symbol) - 37).unwrap_or('z'),
    }
}

/// The grams of one message, collected.
#[derive(Debug, Default)]
pub(crate) struct Grams {
    /// Letter and symbols, one a byte, from the highest byte used down.
    packed: Vec<u64>,
    /// The word so far; it may go on in the next piece.
    word: Vec<u8>,
    /// Bytes of text taken.
    pub(crate) bytes: usize,
}

impl Grams {
    /// Adds a piece of text; it continues the one before.
    pub(crate) fn push(&mut self, place: Place, piece: &str) {
        self.bytes += piece.len();
        if piece.is_ascii() {
            piece.bytes().for_each(|b| self.push_symbol(place, symbol(char::from(b))));
        } else {
            casemap_bare(piece).chars().for_each(|c| self.push_symbol(place, symbol(c)));
        }
    }

    fn push_symbol(&mut self, place: Place, symbol: u8) {
        if symbol == 0 {
            self.end(place);
            return;
        }
        self.word.push(symbol);
        if self.word.len() == 2 * WORD_CHARS_MAX {
            // Long in any case: what it has so far is added, but for what a gram goes on from.
            self.add_long(place);
            self.word.drain(..self.word.len() - WORD_CHARS_MAX - WORD_CHARS_MIN + 1);
        }
    }

    /// The text ends here, and with it the word.
    pub(crate) fn end(&mut self, place: Place) {
        if self.word.len() > WORD_CHARS_MAX {
            self.add_long(place);
        } else {
            let letter = place.letters().0;
            for from in 0..(self.word.len() + 1).saturating_sub(WORD_CHARS_MIN) {
                let gram = self.word[from..].iter().take(GRAM_CHARS);
                self.packed.push(pack(letter, gram));
            }
        }
        self.word.clear();
    }

    fn add_long(&mut self, place: Place) {
        let letter = place.letters().1;
        for gram in self.word.windows(WORD_CHARS_MIN) {
            self.packed.push(pack(letter, gram.iter()));
        }
    }

    /// The grams as the text that the index is given, each once. Empties the collection.
    pub(crate) fn take_text(&mut self) -> String {
        self.packed.sort_unstable();
        self.packed.dedup();
        let mut text = String::with_capacity(self.packed.len() * (GRAM_CHARS + 2));
        for packed in self.packed.drain(..) {
            let mut bytes = packed.to_be_bytes().into_iter().skip_while(|b| *b == 0);
            text.extend(bytes.next().map(char::from));
            text.extend(bytes.map(letter));
            text.push(' ');
        }
        self.word.clear();
        self.bytes = 0;
        text
    }
}

fn pack<'a>(letter: u8, symbols: impl Iterator<Item = &'a u8>) -> u64 {
    symbols.fold(u64::from(letter), |packed, symbol| packed << 8 | u64::from(*symbol))
}

/// The expression for the index that every message with this text in one of the places satisfies;
/// `None` if the text has no word that the index could know.
pub(crate) fn expression(text: &str, places: &[Place]) -> Option<String> {
    let mapped: Vec<u8> = casemap_bare(text).chars().map(symbol).collect();
    let mut words: Vec<&[u8]> =
        mapped.split(|symbol| *symbol == 0).filter(|word| word.len() >= WORD_CHARS_MIN).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.truncate(QUERY_WORDS_MAX);
    if words.is_empty() {
        return None;
    }
    let in_places: Vec<String> = places
        .iter()
        .map(|place| {
            let words: Vec<String> = words.iter().map(|word| in_place(word, *place)).collect();
            format!("({})", words.join(" AND "))
        })
        .collect();
    Some(format!("({})", in_places.join(" OR ")))
}

/// One word: as a part of a word, or of a long one.
fn in_place(word: &[u8], place: Place) -> String {
    let (letter, long) = place.letters();
    let long = all_of(long, word.windows(WORD_CHARS_MIN), "");
    if word.len() > WORD_CHARS_MAX {
        return long;
    }
    let short = match word.len() {
        ..GRAM_CHARS => all_of(letter, [word].into_iter(), "*"),
        _ => all_of(letter, word.windows(GRAM_CHARS), ""),
    };
    format!("({short} OR {long})")
}

/// Grams evenly taken from those of a word.
fn all_of<'a>(first: u8, grams: impl ExactSizeIterator<Item = &'a [u8]>, suffix: &str) -> String {
    let step = grams.len().div_ceil(QUERY_GRAMS_MAX).max(1);
    let one = |gram: &[u8]| {
        let letters: String = gram.iter().map(|symbol| letter(*symbol)).collect();
        format!("\"{}{letters}\"{suffix}", char::from(first))
    };
    let all: Vec<String> = grams.step_by(step).map(one).collect();
    format!("({})", all.join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grams(text: &str) -> String {
        let mut grams = Grams::default();
        grams.push(Place::Body, text);
        grams.end(Place::Body);
        grams.take_text().trim_end().to_owned()
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(grams(text), want, "{text:?}");
    }

    #[test]
    fn words_have_grams() {
        check("Hay", "bhay");
        check("a needle", "bdle bedle beedle bneedl");
        check("ab, c-d", "");
        check("Zürich", "bich brich burich bzuric");
        check("", "");
        // Beyond: words too long to be words.
        let long = "ab".repeat(13);
        check(&long, "caba cbab");
        check(&format!("{long}{long}{long} abc"), "babc caba cbab");
    }

    /// Every gram of a text is one of the text it is in, or begins one: what makes the index exact.
    fn satisfies(document: &str, wanted: &str) -> bool {
        let known = grams(document);
        let has = |gram: &str| {
            let (text, is_prefix) = match gram.strip_suffix('*') {
                Some(text) => (text, true),
                None => (gram, false),
            };
            let text = text.trim_matches('"');
            known.split(' ').any(|k| if is_prefix { k.starts_with(text) } else { k == text })
        };
        let words = casemap_bare(wanted).chars().map(symbol).collect::<Vec<_>>();
        words.split(|s| *s == 0).filter(|w| w.len() >= WORD_CHARS_MIN).all(|word| {
            let alternatives = in_place(word, Place::Body);
            alternatives
                .trim_matches(['(', ')'])
                .split(" OR ")
                .any(|all| all.trim_matches(['(', ')']).split(" AND ").all(|gram| has(gram.trim())))
        })
    }

    proptest! {
        #[test]
        fn a_text_has_the_grams_of_all_its_parts(
            text in "([a-cé你]{1,60}|[ab]{0,4} |[.,]){0,6}", from in 0_usize..60, count in 1_usize..40,
        ) {
            let part: String = text.chars().skip(from).take(count).collect();
            prop_assert!(satisfies(&text, &part), "{text:?} {part:?} {:?}", grams(&text));
        }

        #[test]
        fn pieces_have_the_grams_of_the_whole(text in "[ab é.]{0,80}", cut in 1_usize..9) {
            let mut pieces = Grams::default();
            let chars: Vec<char> = text.chars().collect();
            for piece in chars.chunks(cut) {
                pieces.push(Place::Body, &piece.iter().collect::<String>());
            }
            pieces.end(Place::Body);
            let pieces = pieces.take_text();
            prop_assert_eq!(pieces.trim_end(), grams(&text));
        }
    }
}
