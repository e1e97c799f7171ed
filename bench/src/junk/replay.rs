//! Messages in the order of time, and a user who reads what comes through some hours later.

use std::collections::BTreeMap;
use std::fmt;

use mox_base::UnixSeconds;
use mox_junk::{Model, Tally, Totals};

use super::Setting;
use super::source::Item;
use super::split::class;

const HOUR_SECS: i64 = 3_600;

/// What came of a replay.
pub(super) struct Replay {
    /// In the first 24 hours, when little is known.
    first_day: Tally,
    later: Tally,
    /// What was done with messages, before and after so much was learnt that scores count.
    unjudged: usize,
    threshold: f64,
    pub(super) learnt: usize,
}

/// Scores each message by what was learnt before it came.
///
/// What comes through is read `delay_hours` later: spam is moved to Junk, ham is kept as such, and
/// both are learnt then. Ham that was refused is found in Rejects a day later and moved to the
/// Inbox. Spam that was refused is never looked at, and so never learnt.
pub(super) fn run(items: &[Item], setting: &Setting, delay_hours: i64) -> Replay {
    let mut replay = Replay {
        first_day: Tally::default(),
        later: Tally::default(),
        unjudged: 0,
        threshold: setting.threshold,
        learnt: 0,
    };
    let mut model = Model::default();
    let mut to_read: BTreeMap<(UnixSeconds, usize), &Item> = BTreeMap::new();
    let start = items.first().map_or(UnixSeconds(0), |item| item.date);
    for (number, item) in items.iter().enumerate() {
        while let Some(entry) = to_read.first_entry()
            && entry.key().0 <= item.date
        {
            let read = entry.remove();
            model.train(&setting.words(read), class(read));
            replay.learnt += 1;
        }
        let score = model.classify(&setting.words(item), &setting.params);
        let is_refused = score.is_significant && score.probability > setting.threshold;
        replay.unjudged += usize::from(!score.is_significant);
        // Without significance everything comes through, whatever the score.
        let counted = if score.is_significant { score.probability } else { 0.0 };
        let is_first = item.date.secs_since(start) < 24 * HOUR_SECS;
        let tally = if is_first { &mut replay.first_day } else { &mut replay.later };
        tally.add(class(item), counted);
        let wait_hours = match (is_refused, item.is_spam) {
            (false, _) => delay_hours,
            (true, false) => 24,
            (true, true) => continue,
        };
        to_read.insert((item.date.plus_secs(wait_hours * HOUR_SECS), number), item);
    }
    let Totals { ham, spam } = model.totals();
    debug_assert_eq!(replay.learnt, ham as usize + spam as usize);
    replay
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first_day, later, unjudged, threshold, .. } = self;
        writeln!(f, "{unjudged} came before enough ham was learnt and were let through.")?;
        writeln!(f, "first day, at {threshold}: {}", first_day.at(*threshold))?;
        writeln!(f, "later, at {threshold}: {}", later.at(*threshold))?;
        write!(f, "{later}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(hour: i64, is_spam: bool, text: &str) -> Item {
        let message = format!("Subject: {text}\r\n\r\n{text}\r\n").into_bytes();
        Item { date: UnixSeconds(hour * HOUR_SECS), is_spam, message }
    }

    #[test]
    fn what_is_read_is_learnt_some_hours_later() {
        let kinds = mox_junk::Kinds::default();
        let setting = Setting { kinds, params: mox_junk::Params::default(), threshold: 0.95 };
        let mut items: Vec<Item> =
            (0..60).map(|_| item(0, false, "meeting agenda minutes")).collect();
        items.extend((0..10).map(|_| item(0, true, "winner casino jackpot")));
        items.push(item(5, true, "winner casino jackpot"));
        items.push(item(6, true, "winner casino jackpot"));
        items.push(item(40, true, "winner casino jackpot"));
        items.push(item(41, false, "winner casino jackpot"));
        items.push(item(70, false, "meeting agenda minutes"));
        let replay = run(&items, &setting, 6);
        // The one of hour 5 came too early. Those of hours 6 and 40 are refused, and so not learnt;
        // the one of hour 41 too, but its reader finds it.
        assert_eq!((replay.unjudged, replay.learnt), (71, 72));
        let first = replay.first_day.at(0.95);
        assert_eq!((first.spam, first.false_negatives), (12, 11));
        let later = replay.later.at(0.95);
        assert_eq!((later.spam, later.false_negatives), (1, 0));
        assert_eq!((later.ham, later.false_positives), (2, 1));
    }
}
