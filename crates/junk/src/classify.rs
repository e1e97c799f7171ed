//! From counts of words to a probability.

use std::cmp::Ordering;

/// So many messages of ham must have been learnt before a score means much.
pub const SIGNIFICANT_HAM: u32 = 50;

/// The largest [`Params::top_words`].
pub const TOP_WORDS_MAX: usize = 1_000;

/// So many words are combined for each one of [`Params::top_words`]. See [`classify`].
const COMBINED_PER_TOP_WORD: usize = 15;

/// No word is quite certain, whatever [`Params::max_power`] says.
const MAX_POWER_MIN: f64 = 1e-9;

/// What not knowing a word weighs against one sighting, for each of [`Params::rare_words`].
const DOUBT_PER_RARE_WORD: f64 = 0.45;

/// Words that say nothing weigh so much in every message: what about one word weighs that was in
/// spam alone, a hundred times. So a message of few words must be quite clear.
const NEUTRAL_WEIGHT: f64 = 20.0;

/// Words that agree say so many times more than one of them: the log odds of a message are so
/// many times the mean of its words'. Chosen so that 0.95 is where about the typical telling word
/// is twice as likely in spam; see `docs/decisions/010-junk-classifier.md`.
const AGREEMENT: f64 = 4.0;

/// What a message is learnt as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Wanted.
    Ham,
    /// Unwanted.
    Spam,
}

/// In how many messages a word was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Of ham.
    pub ham: u32,
    /// Of spam.
    pub spam: u32,
}

/// How many messages were learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// As ham.
    pub ham: u32,
    /// As spam.
    pub spam: u32,
}

/// How the filter weighs words: the setting JunkFilter, but for its threshold and kinds of words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// How far from 0 and 1 the probability of a word stays; 0 to 0.5.
    pub max_power: f64,
    /// How many of the most telling words count: so many are named for each side, and fifteen
    /// times as many are combined. At most [`TOP_WORDS_MAX`].
    pub top_words: usize,
    /// Words closer than this to 0.5 do not count; 0 to 0.5.
    pub ignore_words: f64,
    /// Words seen about this often or less are rare and count less.
    pub rare_words: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { max_power: 0.01, top_words: 10, ignore_words: 0.1, rare_words: 2 }
    }
}

/// A word and the probability that a message with it is spam.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredWord {
    /// The word.
    pub text: String,
    /// Above 0 and below 1.
    pub probability: f64,
}

/// What the words of a message say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// Of being spam: near 0 and 1 if most words agree, about 0.5 if they are few or disagree.
    pub probability: f64,
    /// Whether enough was learnt to go by it.
    pub is_significant: bool,
    /// The words that speak most for ham, the most telling first.
    pub ham_words: Vec<ScoredWord>,
    /// The words that speak most for spam, the most telling first.
    pub spam_words: Vec<ScoredWord>,
}

/// Weighs the words of a message, of which each must be given once.
///
/// Of the words that tell ham from spam the most telling are taken, and what they say is averaged.
/// So the length of a message does not count, a few telling words on a background of others say
/// little, and strong words on both sides give about 0.5. Costs n log n.
#[must_use]
pub fn classify<'w>(
    words: impl IntoIterator<Item = (&'w str, Count)>,
    totals: Totals,
    params: &Params,
) -> Score {
    let mut telling: Vec<(f64, &str)> = words
        .into_iter()
        .filter_map(|(text, count)| Some((word_probability(count, totals, params)?, text)))
        .filter(|(probability, _)| (probability - 0.5).abs() >= params.ignore_words)
        .collect();
    telling.sort_unstable_by(most_telling_first);
    let top_words = params.top_words.min(TOP_WORDS_MAX);
    let named = |is_side: fn(f64) -> bool| {
        let side = telling.iter().filter(|(probability, _)| is_side(*probability));
        let named = side.map(|(probability, text)| ScoredWord {
            text: (*text).to_owned(),
            probability: *probability,
        });
        named.take(top_words).collect()
    };
    let (ham_words, spam_words) = (named(|probability| probability < 0.5), named(|p| p > 0.5));
    telling.truncate(top_words.saturating_mul(COMBINED_PER_TOP_WORD));
    Score {
        probability: combine(telling.iter().map(|(probability, _)| *probability)),
        is_significant: totals.ham >= SIGNIFICANT_HAM,
        ham_words,
        spam_words,
    }
}

/// The word farthest from 0.5 first; then the longer one, which is rarer; then by the alphabet.
fn most_telling_first(a: &(f64, &str), b: &(f64, &str)) -> Ordering {
    let far = |probability: f64| (probability - 0.5).abs();
    let by_length = || b.1.len().cmp(&a.1.len());
    far(b.0).total_cmp(&far(a.0)).then_with(by_length).then_with(|| a.1.cmp(b.1))
}

/// The probability that a message with this word is spam; `None` if it was never seen.
fn word_probability(count: Count, totals: Totals, params: &Params) -> Option<f64> {
    let (ham_total, spam_total) = (f64::from(totals.ham), f64::from(totals.spam));
    let share = |count: u32, total: f64| if total > 0.0 { f64::from(count) / total } else { 0.0 };
    let (ham, spam) = (share(count.ham, ham_total), share(count.spam, spam_total));
    if ham + spam <= 0.0 {
        return None;
    }
    let max_power = if params.max_power.is_nan() { 0.5 } else { params.max_power };
    let max_power = max_power.clamp(MAX_POWER_MIN, 0.5);
    let seen = (spam / (ham + spam)).clamp(max_power, 1.0 - max_power);
    // Where much more of the one was learnt, its sightings are worth less: a word that was in one
    // of 1,000 messages of ham may well be in one of the next three of spam.
    let worth = |own: f64, other: f64| if own > other && other > 0.0 { other / own } else { 1.0 };
    let sightings = f64::from(count.ham) * worth(ham_total, spam_total)
        + f64::from(count.spam) * worth(spam_total, ham_total);
    let doubt = DOUBT_PER_RARE_WORD * f64::from(params.rare_words);
    if doubt + sightings <= 0.0 {
        return None;
    }
    Some((0.5 * doubt + seen * sightings) / (doubt + sightings))
}

/// Sets what speaks for spam off against what speaks for ham. 0.5 if nothing does.
///
/// The words of a message do not come independently of each other, so their evidence must not add
/// up: the mean of their log odds counts, strong ones by the square of their strength, as if a
/// few words that say nothing were there too.
fn combine(probabilities: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut weights) = (0.0, NEUTRAL_WEIGHT);
    for probability in probabilities {
        let log_odds = (probability / (1.0 - probability)).ln();
        let weight = log_odds * log_odds;
        sum += weight * log_odds;
        weights += weight;
    }
    1.0 / (1.0 + (-AGREEMENT * sum / weights).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOTALS: Totals = Totals { ham: 100, spam: 100 };

    #[track_caller]
    fn check_word(ham: u32, spam: u32, totals: (u32, u32), want: Option<f64>) {
        let totals = Totals { ham: totals.0, spam: totals.1 };
        let got = word_probability(Count { ham, spam }, totals, &Params::default());
        let is_near = match (got, want) {
            (Some(got), Some(want)) => (got - want).abs() < 0.001,
            (got, want) => got == want,
        };
        assert!(is_near, "{ham} {spam}: {got:?}, not {want:?}");
    }

    #[test]
    fn the_probability_of_a_word_follows_its_counts() {
        check_word(50, 50, (100, 100), Some(0.5));
        check_word(10, 90, (100, 100), Some(0.896));
        check_word(0, 100, (100, 100), Some(0.986));
        // Messages count by their share of their class, and the larger class for less.
        check_word(10, 9, (1_000, 100), Some(0.867));
        // Rare.
        check_word(0, 1, (100, 100), Some(0.758));
        check_word(1, 0, (100, 100), Some(0.242));
        check_word(0, 2, (100, 100), Some(0.838));
        // Of one class alone.
        check_word(1, 0, (1, 0), Some(0.242));
        check_word(0, 0, (100, 100), None);
        check_word(0, 0, (0, 0), None);
    }

    fn score(words: &[(&str, u32, u32)]) -> Score {
        let words = words.iter().map(|(text, ham, spam)| (*text, Count { ham: *ham, spam: *spam }));
        classify(words, TOTALS, &Params::default())
    }

    #[test]
    fn agreeing_words_decide_and_others_leave_it_open() {
        let probability = |words: &[(&str, u32, u32)]| score(words).probability;
        let (ham, spam) = (("a", 80, 1), ("b", 1, 80));
        assert_eq!(probability(&[]), 0.5);
        assert_eq!(probability(&[("c", 50, 50), ("d", 55, 45)]), 0.5);
        assert!(probability(&[spam, spam, spam]) > 0.99);
        assert!(probability(&[ham, ham, ham]) < 0.01);
        assert!((probability(&[ham, spam, ham, spam]) - 0.5).abs() < 0.01);
        assert!(probability(&[("e", 0, 1)]) < 0.9, "one sighting is no proof");
        let once: Vec<_> = (0..20).map(|_| ("e", 0, 1)).collect();
        assert!(probability(&once) < 0.95, "nor are many of one message");
        // The attack: ham words by the hundred, to hide a few strong ones.
        let mild: Vec<_> = (0..100).map(|_| ("m", 55, 30)).chain([spam; 8]).collect();
        assert!(probability(&mild) > 0.95, "{}", probability(&mild));
        // And a newsletter: spam words by the hundred in what is known to be wanted.
        let mild: Vec<_> = (0..100).map(|_| ("m", 30, 55)).chain([ham; 8]).collect();
        assert!(probability(&mild) < 0.25, "{}", probability(&mild));
    }

    #[test]
    fn the_words_that_decide_are_named() {
        let score =
            score(&[("b", 1, 80), ("mild", 40, 60), ("aa", 1, 80), ("ham", 9, 1), ("c", 1, 80)]);
        let texts = |words: &[ScoredWord]| words.iter().map(|w| w.text.clone()).collect::<Vec<_>>();
        // Of equal ones the longer first, then by the alphabet.
        assert_eq!(texts(&score.spam_words), ["aa", "b", "c"]);
        assert_eq!(texts(&score.ham_words), ["ham"]);
        assert!(score.is_significant);
        let early =
            classify([], Totals { ham: SIGNIFICANT_HAM - 1, spam: 100 }, &Params::default());
        assert!(!early.is_significant);
    }

    #[test]
    fn settings_at_their_bounds_give_probabilities() {
        for (max_power, ignore_words) in [(0.0, 0.0), (0.5, 0.5), (-1.0, f64::NAN), (f64::NAN, 2.0)]
        {
            for top_words in [0, 1, usize::MAX] {
                let params = Params { max_power, top_words, ignore_words, rare_words: 0 };
                let words =
                    [("a", Count { ham: 0, spam: u32::MAX }), ("b", Count { ham: 9, spam: 1 })];
                let score = classify(words, Totals { ham: 1, spam: 1 }, &params);
                assert!((0.0..=1.0).contains(&score.probability), "{params:?}: {score:?}");
            }
        }
    }
}
