//! The set of words of a message.

use std::collections::HashMap;
use std::io::{Cursor, Read, Seek};

use mox_mime::{Limits, Message, text_hash};

use crate::message::visit_message;

/// Changes whenever the words of some message do. What was learnt by other rules is of no use:
/// its words could not be unlearnt.
pub const TOKENS_VERSION: u32 = 1;

/// The most words kept of the text of one message.
///
/// Of more, those with the smallest hashes are kept: an even sample of the whole text. Were it the
/// first ones, a spammer could fill the set with harmless words that nobody sees.
pub const TEXT_WORDS_MAX: usize = 2_000;

/// The most words kept of the headers, links, attachments and tricks of one message; those that
/// come first.
pub const HEADER_WORDS_MAX: usize = 1_000;

/// Stands for all words with control characters.
const CONTROL_WORD: &str = "header:control-character";

/// Which words of a text are learnt. Words of other origin always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// Single words.
    pub onegrams: bool,
    /// A word with the one before.
    pub twograms: bool,
    /// A word with the two before.
    pub threegrams: bool,
}

impl Default for Kinds {
    fn default() -> Self {
        Self { onegrams: true, twograms: false, threegrams: false }
    }
}

impl Kinds {
    /// A number that is another one whenever the words of some message are other ones; never 0.
    #[must_use]
    pub fn signature(self) -> u32 {
        let bits = [self.onegrams, self.twograms, self.threegrams];
        bits.into_iter().fold(TOKENS_VERSION, |number, bit| number << 1 | u32::from(bit))
    }
}

/// A word and its hash, by which it is learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word<'a> {
    /// The hash.
    pub hash: u64,
    /// The word, lower case, with what kind it is of before a colon unless it is of the text.
    pub text: &'a str,
}

/// The words of one message, each once: how often a message says a thing does not count.
///
/// Two words with one hash would be taken for one. Who finds such a pair gains no more than by
/// writing the other word.
#[derive(Clone, Debug, Default)]
pub struct Words {
    header: HashMap<u64, Box<str>>,
    text: HashMap<u64, Box<str>>,
    /// Words of the text with a hash above this are not in the sample.
    sampled_below: Option<u64>,
}

impl Words {
    /// Reads the words of a message.
    ///
    /// `reader` must be the message from its start. Time is linear in [`crate::TEXT_BYTES_MAX`] and the
    /// headers; memory is bounded by the limits of this crate and of `mox-mime`. Errors are those of
    /// the reader.
    pub fn of_message<R: Read + Seek>(
        reader: &mut R,
        message: &Message,
        kinds: Kinds,
    ) -> std::io::Result<Self> {
        let mut words = Self::default();
        visit_message(reader, message, kinds, &mut words)?;
        words.sample(TEXT_WORDS_MAX);
        Ok(words)
    }

    /// Reads the words of a message in memory.
    #[must_use]
    pub fn of_bytes(message: &[u8], kinds: Kinds) -> Self {
        let structure = mox_mime::parse_bytes(message, &Limits::default());
        // Memory does not fail; if it did, there would be no words.
        Self::of_message(&mut Cursor::new(message), &structure, kinds).unwrap_or_default()
    }

    /// How many words.
    #[must_use]
    pub fn len(&self) -> usize {
        self.header.len() + self.text.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.header.is_empty() && self.text.is_empty()
    }

    /// The words in the order of their hashes: the order in which a database finds them fastest.
    #[must_use]
    pub fn sorted(&self) -> Vec<Word<'_>> {
        let all = self.header.iter().chain(&self.text);
        let mut words: Vec<_> = all.map(|(hash, text)| Word { hash: *hash, text }).collect();
        words.sort_unstable();
        // One that is both a word of the text and one of its own kind cannot be: a text has no colons.
        words.dedup_by_key(|word| word.hash);
        words
    }

    /// The hashes, ascending.
    #[must_use]
    pub fn hashes(&self) -> Vec<u64> {
        self.sorted().into_iter().map(|word| word.hash).collect()
    }

    /// Adds a word that is not of the text.
    pub(crate) fn add_header(&mut self, word: &str) {
        // The attack: a charset or a type with a line end in it, for the logs and headers that name
        // words.
        let word = if word.contains(char::is_control) { CONTROL_WORD } else { word };
        if self.header.len() < HEADER_WORDS_MAX {
            self.header.entry(text_hash(word)).or_insert_with(|| word.into());
        }
    }

    /// Adds a word of the text.
    pub(crate) fn add_text(&mut self, word: &str) {
        let hash = text_hash(word);
        if self.sampled_below.is_some_and(|limit| hash > limit) {
            return;
        }
        self.text.entry(hash).or_insert_with(|| word.into());
        if self.text.len() >= 2 * TEXT_WORDS_MAX {
            self.sample(TEXT_WORDS_MAX);
        }
    }

    /// Keeps the `count` words of the text with the smallest hashes.
    fn sample(&mut self, count: usize) {
        if self.text.len() <= count {
            return;
        }
        let mut hashes: Vec<u64> = self.text.keys().copied().collect();
        let (_, limit, _) = hashes.select_nth_unstable(count - 1);
        let limit = *limit;
        self.text.retain(|hash, _| *hash <= limit);
        self.sampled_below = Some(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(numbers: std::ops::Range<u32>) -> Words {
        let mut words = Words::default();
        for number in numbers {
            words.add_text(&format!("word{number}"));
        }
        words.sample(TEXT_WORDS_MAX);
        words
    }

    #[test]
    fn a_word_is_in_the_set_once() {
        let mut words = Words::default();
        for word in ["b", "a", "b"] {
            words.add_text(word);
            words.add_header(&format!("subject:{word}"));
        }
        assert_eq!(words.len(), 4);
        let mut texts: Vec<_> = words.sorted().into_iter().map(|word| word.text).collect();
        assert!(words.hashes().is_sorted());
        texts.sort_unstable();
        assert_eq!(texts, ["a", "b", "subject:a", "subject:b"]);
    }

    /// The attack: harmless words without end, then what is to be read.
    #[test]
    fn a_long_text_is_sampled_evenly_whatever_its_order() {
        let all = numbered(0..30_000);
        assert_eq!(all.len(), TEXT_WORDS_MAX);
        let last = all.sorted().iter().filter(|word| word.text >= "word25000").count();
        assert!(last > TEXT_WORDS_MAX / 20, "{last} of the last words");
        let mut backwards = Words::default();
        for number in (0..30_000).rev() {
            backwards.add_text(&format!("word{number}"));
        }
        backwards.sample(TEXT_WORDS_MAX);
        assert_eq!(all.hashes(), backwards.hashes());
        assert_eq!(numbered(0..2_000).len(), 2_000);
        assert_eq!(numbered(0..2_001).len(), 2_000);
    }

    #[test]
    fn other_words_have_a_bound_of_their_own() {
        let mut words = numbered(0..5_000);
        for number in 0..5_000 {
            words.add_header(&format!("url:{number}"));
        }
        assert_eq!(words.len(), TEXT_WORDS_MAX + HEADER_WORDS_MAX);
    }

    #[test]
    fn words_with_control_characters_are_one() {
        let mut words = Words::default();
        for word in ["charset:utf-8\r\nX-Mox-Reason", "type:a\u{85}/b", "file:.\0"] {
            words.add_header(word);
        }
        let all: Vec<_> = words.sorted().into_iter().map(|word| word.text).collect();
        assert_eq!(all, [CONTROL_WORD]);
    }

    #[test]
    fn signatures_tell_kinds_apart() {
        let kinds = [false, true].into_iter().flat_map(|onegrams| {
            [(false, false), (false, true), (true, false), (true, true)]
                .map(|(twograms, threegrams)| Kinds { onegrams, twograms, threegrams })
        });
        let signatures: std::collections::BTreeSet<_> = kinds.map(Kinds::signature).collect();
        assert_eq!(signatures.len(), 8);
        assert!(!signatures.contains(&0));
    }
}
