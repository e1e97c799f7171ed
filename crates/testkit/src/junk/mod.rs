//! Wanted and unwanted mail, made up, and always the same from its seed and number.
//!
//! The words mean nothing. What is modelled is what makes the two hard to tell apart: they share
//! most of their words; newsletters speak like spam and use its HTML; some spam is written like a
//! letter, some pretends to be a notice that the receiver knows, some is filled up with words of
//! ham, some is a link and ten words. Correspondents come and go, and so do spammers, who change
//! their wares, hosts and programs all the time.
//!
//! ```
//! use mox_testkit::junk::Corpus;
//!
//! let corpus = Corpus::new(7);
//! let sample = corpus.sample(0);
//! assert!(sample.message.windows(7).any(|bytes| bytes == b"\r\nFrom:"));
//! assert_eq!(sample.message, Corpus::new(7).sample(0).message);
//! ```

mod ham;
mod spam;
mod write;

use mox_base::UnixSeconds;

use crate::rng::mix;

/// When the first message comes.
const START: i64 = 1_780_000_000;

/// Between two messages.
const INTERVAL_SECS: i64 = 540;

/// What is in a corpus. Two with different numbers have different words, people and spammers.
#[derive(Clone, Copy, Debug)]
pub struct Corpus {
    seed: u64,
    /// Of a hundred messages.
    pub spam_percent: u64,
    /// Of a hundred messages of ham, those that are newsletters.
    pub newsletter_percent: u64,
    /// Of a hundred words of spam, those that only spam has.
    pub telling_percent: u64,
}

/// A message and what it is.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Whether nobody wants it.
    pub is_spam: bool,
    /// When it comes.
    pub date: UnixSeconds,
    /// The message, lines ended by CRLF.
    pub message: Vec<u8>,
}

impl Corpus {
    /// Two fifths are spam; a seventh of the ham are newsletters.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, spam_percent: 40, newsletter_percent: 15, telling_percent: 10 }
    }

    /// The message with this number. Later ones have higher numbers.
    #[must_use]
    pub fn sample(&self, number: u64) -> Sample {
        let mut dice = Dice::new(self.seed, number);
        let is_spam = dice.percent(self.spam_percent);
        let jitter = i64::try_from(dice.below(INTERVAL_SECS.unsigned_abs())).unwrap_or_default();
        let nth = i64::try_from(number).unwrap_or_default();
        let date = UnixSeconds(START + nth.saturating_mul(INTERVAL_SECS) + jitter);
        let mail = if is_spam {
            spam::mail(self, number, &mut dice)
        } else {
            ham::mail(self, number, &mut dice)
        };
        Sample { is_spam, date, message: mail.write(date, &mut dice) }
    }
}

/// Chance that is the same every time.
#[derive(Debug)]
struct Dice {
    state: u64,
}

impl Dice {
    fn new(seed: u64, number: u64) -> Self {
        Self { state: mix(mix(seed).wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))) }
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `bound`, which must not be 0.
    fn below(&mut self, bound: u64) -> u64 {
        (self.bits() >> 16) % bound
    }

    /// A number below `bound`; half of them in the first eighth, as of words in a text.
    fn skewed(&mut self, bound: u64) -> u64 {
        let unit = self.below(1_000_000);
        let cube = unit * unit / 1_000_000 * unit / 1_000_000;
        cube * bound / 1_000_000
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        let count = u64::try_from(from.len()).unwrap_or(1);
        from[usize::try_from(self.below(count)).unwrap_or_default()]
    }
}

/// Where words come from.
#[derive(Clone, Copy, Debug)]
enum Vocabulary {
    /// What everybody says all the time.
    Common,
    /// What everybody may say.
    General,
    /// What one matter is about, of ham or spam.
    Matter(u64),
    /// What those say who want to sell, whether one wants to hear it or not.
    Sales,
}

impl Vocabulary {
    /// How many words it has.
    const fn size(self) -> u64 {
        match self {
            Self::Common => 400,
            Self::General => 9_000,
            Self::Matter(_) => 150,
            Self::Sales => 250,
        }
    }

    /// A word of it, the frequent ones more often.
    fn word(self, corpus: &Corpus, dice: &mut Dice) -> String {
        let index = dice.skewed(self.size());
        let salt = match self {
            Self::Common => 1,
            Self::General => 2,
            Self::Sales => 3,
            Self::Matter(matter) => 1_000 + matter,
        };
        word(mix(corpus.seed.wrapping_mul(31).wrapping_add(salt)).wrapping_add(index), self)
    }
}

/// A word that can be spoken: frequent words are short.
fn word(key: u64, vocabulary: Vocabulary) -> String {
    const ONSETS: [&str; 20] = [
        "b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr",
        "pl", "ch", "br",
    ];
    const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ea", "ou", "ai"];
    const ENDS: [&str; 8] = ["", "n", "r", "s", "t", "l", "nd", "ng"];
    let mut dice = Dice { state: mix(key) };
    let syllables = match vocabulary {
        Vocabulary::Common => 1 + dice.below(2),
        _ => 2 + dice.below(2),
    };
    let mut text = String::new();
    for _ in 0..syllables {
        text.push_str(dice.pick(&ONSETS));
        text.push_str(dice.pick(&VOWELS));
    }
    text.push_str(dice.pick(&ENDS));
    text
}

/// How many words of a text come from where, each a share of a hundred; what is left is common.
#[derive(Clone, Copy, Debug)]
struct Recipe<'a> {
    general: u64,
    special: &'a [(Vocabulary, u64)],
}

/// A text of so many words, as paragraphs.
fn text(corpus: &Corpus, dice: &mut Dice, words: u64, recipe: Recipe<'_>) -> String {
    let mut text = String::new();
    for number in 0..words {
        let mut at = dice.below(100);
        let mut vocabulary = if at < recipe.general { Some(Vocabulary::General) } else { None };
        at = at.wrapping_sub(recipe.general);
        for (special, share) in recipe.special {
            if vocabulary.is_none() && at < *share {
                vocabulary = Some(*special);
            }
            at = at.wrapping_sub(*share);
        }
        text.push_str(&vocabulary.unwrap_or(Vocabulary::Common).word(corpus, dice));
        text.push_str(match number % 11 {
            10 if dice.percent(30) => ".\r\n\r\n",
            10 => ".\r\n",
            4 if dice.percent(30) => ", ",
            _ => " ",
        });
    }
    text
}

/// The name of a host below `top`.
fn host(key: u64, top: &str) -> String {
    format!("{}{}.{top}", word(key, Vocabulary::Common), word(key ^ 1, Vocabulary::Common))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_messages_and_another_seed_gives_others() {
        for number in 0..100 {
            let sample = Corpus::new(1).sample(number);
            assert_eq!(sample.message, Corpus::new(1).sample(number).message);
            assert_ne!(sample.message, Corpus::new(2).sample(number).message);
        }
    }

    #[test]
    fn messages_come_in_order_and_of_both_kinds() {
        let corpus = Corpus::new(3);
        let samples: Vec<_> = (0..1_000).map(|number| corpus.sample(number)).collect();
        assert!(samples.is_sorted_by_key(|sample| sample.date));
        let spam = samples.iter().filter(|sample| sample.is_spam).count();
        assert!((350..450).contains(&spam), "{spam}");
    }

    #[test]
    fn lines_are_those_of_messages() {
        let corpus = Corpus::new(4);
        for number in 0..500 {
            let message = corpus.sample(number).message;
            for line in message.split_inclusive(|byte| *byte == b'\n') {
                assert!(line.ends_with(b"\r\n") && line.len() <= 1_000);
                assert!(!line[..line.len() - 2].contains(&b'\r'));
            }
        }
    }

    /// What makes it worth anything: no word tells alone.
    #[test]
    fn ham_and_spam_share_most_of_their_words() {
        use std::collections::HashSet;
        let corpus = Corpus::new(5);
        let mut words = [HashSet::new(), HashSet::new()];
        for number in 0..2_000 {
            let sample = corpus.sample(number);
            let text = String::from_utf8(sample.message).unwrap();
            let all = text.split(|c: char| !c.is_alphabetic()).map(str::to_owned);
            words[usize::from(sample.is_spam)].extend(all);
        }
        let shared = words[0].intersection(&words[1]).count();
        let smaller = words[0].len().min(words[1].len());
        assert!(shared * 10 > smaller * 6, "{shared} of {smaller}");
        assert!(shared * 10 < smaller * 9, "{shared} of {smaller}");
    }
}
