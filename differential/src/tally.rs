//! What was compared, and where the two do not agree.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Disagreements of one kind that are shown.
const SHOWN_MAX: usize = 3;

/// How much of each is shown, in characters, unless nobody knows the reason.
const SHOWN_CHARS_MAX: usize = 400;

/// Why the two may disagree, and who is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// The RFC says what ours does.
    Ours(&'static str),
    /// The RFC leaves it to the implementation.
    Open(&'static str),
    /// Nobody has said yet: ours may be wrong.
    Unknown,
}

/// The outcomes of one group of cases.
pub(crate) struct Tally {
    group: &'static str,
    compared: usize,
    outcomes: BTreeMap<String, usize>,
    disagreements: BTreeMap<Verdict, (usize, Vec<String>)>,
}

impl Tally {
    pub(crate) fn new(group: &'static str) -> Self {
        Self { group, compared: 0, outcomes: BTreeMap::new(), disagreements: BTreeMap::new() }
    }

    /// Takes a case in that was compared, with our outcome.
    pub(crate) fn count(&mut self, ours: &str) {
        self.compared += 1;
        *self.outcomes.entry(ours.to_owned()).or_default() += 1;
    }

    /// Takes in that the outcomes differ, with what shows it best.
    pub(crate) fn differ(&mut self, case: String, ours: &str, theirs: &str, verdict: Verdict) {
        let (count, shown) = self.disagreements.entry(verdict).or_default();
        *count += 1;
        let mut text = format!("ours {ours}, theirs {theirs}: {case}");
        if let Some((end, _)) = text.char_indices().nth(SHOWN_CHARS_MAX)
            && verdict != Verdict::Unknown
        {
            text.truncate(end);
            text.push('…');
        }
        if shown.len() < SHOWN_MAX && !shown.contains(&text) {
            shown.push(text);
        }
    }

    /// How many disagreements nobody has explained.
    pub(crate) fn unknown(&self) -> usize {
        self.disagreements.get(&Verdict::Unknown).map_or(0, |(count, _)| *count)
    }

    /// The counts, and each kind of disagreement with the verdict and examples.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        let differ: usize = self.disagreements.values().map(|(count, _)| count).sum();
        let outcomes: Vec<_> =
            self.outcomes.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let _ok = writeln!(
            text,
            "{}: {} cases, {} agree, {differ} differ ({})",
            self.group,
            self.compared,
            self.compared - differ,
            outcomes.join(", ")
        );
        for (verdict, (count, shown)) in &self.disagreements {
            let _ok = match verdict {
                Verdict::Ours(why) => writeln!(text, "  {count} times ours is right: {why}"),
                Verdict::Open(why) => writeln!(text, "  {count} times both may be: {why}"),
                Verdict::Unknown => writeln!(text, "  {count} times NOBODY KNOWS"),
            };
            for case in shown {
                let _ok = writeln!(text, "    {case}");
            }
        }
        text
    }
}
