//! How often a filter was right.

use std::fmt;

use crate::classify::Class;

/// Thresholds that [`Tally`] is shown for.
pub const CURVE: [f64; 13] =
    [0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 0.995, 0.999, 0.9999, 0.99999];

/// The scores of messages whose class is known.
///
/// Shown as a table of what each threshold of [`CURVE`] would have made of them.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    ham: Vec<f64>,
    spam: Vec<f64>,
}

/// What a threshold makes of messages whose class is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages of ham.
    pub ham: usize,
    /// Those of them that were taken for spam.
    pub false_positives: usize,
    /// Messages of spam.
    pub spam: usize,
    /// Those of them that were not taken for spam.
    pub false_negatives: usize,
}

impl Tally {
    /// Adds the score of a message.
    pub fn add(&mut self, class: Class, probability: f64) {
        match class {
            Class::Ham => self.ham.push(probability),
            Class::Spam => self.spam.push(probability),
        }
    }

    /// Adds all of another one.
    pub fn add_all(&mut self, other: &Self) {
        self.ham.extend_from_slice(&other.ham);
        self.spam.extend_from_slice(&other.spam);
    }

    /// How many messages it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ham.len() + self.spam.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ham.is_empty() && self.spam.is_empty()
    }

    /// What comes of taking for spam all that scores above `threshold`.
    #[must_use]
    pub fn at(&self, threshold: f64) -> Outcome {
        let above = |scores: &[f64]| scores.iter().filter(|score| **score > threshold).count();
        Outcome {
            ham: self.ham.len(),
            false_positives: above(&self.ham),
            spam: self.spam.len(),
            false_negatives: self.spam.len() - above(&self.spam),
        }
    }
}

impl Outcome {
    /// The share of spam that was caught, 0 to 100; of none, all of it.
    #[must_use]
    pub fn caught_percent(&self) -> f64 {
        100.0 - percent(self.false_negatives, self.spam)
    }

    /// The share of ham that was taken for spam, 0 to 100.
    #[must_use]
    pub fn wrong_percent(&self) -> f64 {
        percent(self.false_positives, self.ham)
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    // Both are counts of messages, far below where a float is inexact.
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ham, false_positives, spam, false_negatives } = self;
        write!(
            f,
            "{false_positives} of {ham} ham taken for spam ({:.2} %), {} of {spam} spam caught ({:.2} %)",
            self.wrong_percent(),
            spam - false_negatives,
            self.caught_percent(),
        )
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["threshold", "wrong", "of ham", "caught", "of spam", "caught %"];
        let [a, b, c, d, e, g] = heads;
        writeln!(f, "{a:>9}  {b:>6}  {c:>6}  {d:>6}  {e:>7}  {g:>8}")?;
        for threshold in CURVE {
            let outcome = self.at(threshold);
            let Outcome { ham, false_positives, spam, false_negatives } = outcome;
            let (caught, share) = (spam - false_negatives, outcome.caught_percent());
            writeln!(
                f,
                "{threshold:>9}  {false_positives:>6}  {ham:>6}  {caught:>6}  {spam:>7}  {share:>8.2}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let mut tally = Tally::default();
        for (class, probability) in [
            (Class::Ham, 0.0),
            (Class::Ham, 0.5),
            (Class::Ham, 0.96),
            (Class::Spam, 0.95),
            (Class::Spam, 1.0),
        ] {
            tally.add(class, probability);
        }
        tally
    }

    #[track_caller]
    fn check(threshold: f64, false_positives: usize, false_negatives: usize) {
        let want = Outcome { ham: 3, false_positives, spam: 2, false_negatives };
        assert_eq!(tally().at(threshold), want, "{threshold}");
    }

    #[test]
    fn a_threshold_is_exceeded_or_not() {
        check(0.25, 2, 0);
        check(0.94, 1, 0);
        // At the edge: not above it.
        check(0.95, 1, 1);
        check(0.96, 0, 1);
        check(1.0, 0, 2);
    }

    #[test]
    fn shares_are_of_their_class() {
        let outcome = tally().at(0.95);
        assert!((outcome.caught_percent() - 50.0).abs() < 1e-9);
        assert!((outcome.wrong_percent() - 33.333_333).abs() < 1e-3);
        let nothing = Outcome::default();
        assert_eq!((nothing.caught_percent(), nothing.wrong_percent()), (100.0, 0.0));
        let text = "1 of 3 ham taken for spam (33.33 %), 1 of 2 spam caught (50.00 %)";
        assert_eq!(outcome.to_string(), text);
    }

    #[test]
    fn the_curve_has_a_line_for_each_threshold() {
        let mut twice = tally();
        twice.add_all(&tally());
        assert_eq!((twice.len(), twice.is_empty()), (10, false));
        let text = twice.to_string();
        assert_eq!(text.lines().count(), 1 + CURVE.len());
        assert!(text.contains("     0.95       2       6       2        4     50.00\n"), "{text}");
    }
}
