//! Counts in memory, for tools and tests; and as a text.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _, Write};

use crate::classify::{Class, Count, Params, Score, Totals, classify};
use crate::words::{Kinds, Words};

/// The most words of a model that is read from a file.
pub const MODEL_WORDS_MAX: usize = 20_000_000;

/// The longest line of such a file, in bytes.
const LINE_BYTES_MAX: u64 = 100;

/// What the first line of such a file begins with.
const MAGIC: &str = "mox-junk";

/// What was learnt, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    totals: Totals,
    counts: HashMap<u64, Count>,
}

/// Why a model cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ModelError {
    /// The file cannot be read.
    Io(io::Error),
    /// It is no model, or one of other words. The number of the line.
    Malformed(usize),
    /// It has too many words.
    TooLarge,
}

impl std::fmt::Display for ModelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Malformed(line) => write!(f, "line {line} is none of what a filter has learnt"),
            Self::TooLarge => f.write_str("more words than a filter may have learnt"),
        }
    }
}

impl std::error::Error for ModelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Malformed(_) | Self::TooLarge => None,
        }
    }
}

impl From<io::Error> for ModelError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Model {
    /// How many messages it has learnt.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How many words it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether it knows no words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// What it knows of a word.
    #[must_use]
    pub fn count(&self, hash: u64) -> Count {
        self.counts.get(&hash).copied().unwrap_or_default()
    }

    /// Learns a message.
    pub fn train(&mut self, words: &Words, class: Class) {
        *self.totals.of(class) = self.totals.of(class).saturating_add(1);
        for hash in words.hashes() {
            let count = self.counts.entry(hash).or_default().of(class);
            *count = count.saturating_add(1);
        }
    }

    /// Unlearns a message: afterwards it is as if it had never been learnt.
    pub fn untrain(&mut self, words: &Words, class: Class) {
        *self.totals.of(class) = self.totals.of(class).saturating_sub(1);
        for hash in words.hashes() {
            let Some(count) = self.counts.get_mut(&hash) else { continue };
            *count.of(class) = count.of(class).saturating_sub(1);
            if *count == Count::default() {
                self.counts.remove(&hash);
            }
        }
    }

    /// Weighs a message.
    #[must_use]
    pub fn classify(&self, words: &Words, params: &Params) -> Score {
        let words = words.sorted();
        let counted = words.iter().map(|word| (word.text, self.count(word.hash)));
        classify(counted, self.totals, params)
    }

    /// Writes it as a text: a line with the totals, then a line for each word's hash, ascending.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_to(&self, kinds: Kinds, writer: &mut impl Write) -> io::Result<()> {
        let Totals { ham, spam } = self.totals;
        writeln!(writer, "{MAGIC} {} {ham} {spam}", kinds.signature())?;
        let mut hashes: Vec<_> = self.counts.iter().collect();
        hashes.sort_unstable_by_key(|(hash, _)| **hash);
        for (hash, Count { ham, spam }) in hashes {
            writeln!(writer, "{hash:016x} {ham} {spam}")?;
        }
        Ok(())
    }

    /// Reads what [`Model::write_to`] wrote of words of the same kinds.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is nothing of the kind, or has more than [`MODEL_WORDS_MAX`] words.
    pub fn read_from(kinds: Kinds, reader: &mut impl BufRead) -> Result<Self, ModelError> {
        let mut model = Self::default();
        let mut line = String::new();
        for number in 1.. {
            line.clear();
            let malformed = || ModelError::Malformed(number);
            if reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
                return if number == 1 { Err(malformed()) } else { Ok(model) };
            }
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let count = |text: &str| text.parse::<u32>().map_err(|_| ModelError::Malformed(number));
            match (number, fields.as_slice()) {
                (1, [MAGIC, signature, ham, spam]) if count(signature)? == kinds.signature() => {
                    model.totals = Totals { ham: count(ham)?, spam: count(spam)? };
                }
                (2.., [hash, ham, spam]) if line.ends_with('\n') => {
                    let hash = u64::from_str_radix(hash, 16).map_err(|_| malformed())?;
                    model.counts.insert(hash, Count { ham: count(ham)?, spam: count(spam)? });
                }
                _ => return Err(malformed()),
            }
            if model.counts.len() > MODEL_WORDS_MAX {
                return Err(ModelError::TooLarge);
            }
        }
        Ok(model)
    }
}

impl Totals {
    /// The number of one class.
    pub fn of(&mut self, class: Class) -> &mut u32 {
        match class {
            Class::Ham => &mut self.ham,
            Class::Spam => &mut self.spam,
        }
    }
}

impl Count {
    /// The number of one class.
    pub fn of(&mut self, class: Class) -> &mut u32 {
        match class {
            Class::Ham => &mut self.ham,
            Class::Spam => &mut self.spam,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: Kinds = Kinds { onegrams: true, twograms: true, threegrams: false };

    fn words(text: &str) -> Words {
        Words::of_bytes(format!("\r\n{text}\r\n").as_bytes(), KINDS)
    }

    fn class(is_spam: bool) -> Class {
        if is_spam { Class::Spam } else { Class::Ham }
    }

    proptest! {
        #[test]
        fn what_is_unlearnt_was_never_learnt(
            kept in prop::collection::vec(("[a-f ]{0,40}", any::<bool>()), 0..8),
            gone in prop::collection::vec(("[a-f ]{0,40}", any::<bool>()), 0..8),
        ) {
            let mut model = Model::default();
            let mut want = Model::default();
            for (text, is_spam) in &gone {
                model.train(&words(text), class(*is_spam));
            }
            for (text, is_spam) in &kept {
                model.train(&words(text), class(*is_spam));
                want.train(&words(text), class(*is_spam));
            }
            for (text, is_spam) in &gone {
                model.untrain(&words(text), class(*is_spam));
            }
            prop_assert_eq!(model, want);
        }
    }

    #[test]
    fn ham_and_spam_are_told_apart_and_forgotten() {
        let (ham, spam) = (words("meeting agenda minutes"), words("winner casino jackpot"));
        let mut model = Model::default();
        for _ in 0..2 {
            model.train(&ham, Class::Ham);
            model.train(&spam, Class::Spam);
        }
        let probability =
            |model: &Model, words| model.classify(words, &Params::default()).probability;
        assert!(probability(&model, &ham) <= 0.1);
        assert!(probability(&model, &spam) >= 0.9);
        for _ in 0..2 {
            model.untrain(&ham, Class::Ham);
            model.untrain(&spam, Class::Spam);
        }
        assert_eq!((probability(&model, &ham), probability(&model, &spam)), (0.5, 0.5));
        assert!(model.is_empty());
        // Unlearning what was not learnt does no harm.
        model.untrain(&ham, Class::Ham);
        assert_eq!(model, Model::default());
    }

    #[track_caller]
    fn check(text: &str, want: Result<usize, usize>) {
        let got = match Model::read_from(KINDS, &mut text.as_bytes()) {
            Ok(model) => Ok(model.len()),
            Err(ModelError::Malformed(line)) => Err(line),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(got, want, "{text:?}");
    }

    #[test]
    fn models_are_written_and_read() {
        let mut model = Model::default();
        model.train(&words("some words"), Class::Ham);
        model.train(&words("other words"), Class::Spam);
        let mut text = Vec::new();
        model.write_to(KINDS, &mut text).unwrap();
        assert_eq!(Model::read_from(KINDS, &mut text.as_slice()).unwrap(), model);
        let first = format!("mox-junk {} 1 2\n", KINDS.signature());
        check(&format!("{first}00000000000000ff 1 2\n"), Ok(1));
        check(&first, Ok(0));
        check(&format!("{first}ff 1 2"), Err(2));
        check(&format!("{first}ff 1\n"), Err(2));
        check(&format!("{first}ff 1 4294967296\n"), Err(2));
        check(&format!("mox-junk {} 1 2\n", Kinds::default().signature()), Err(1));
        check(&"x".repeat(1_000), Err(1));
        check("", Err(1));
    }
}
