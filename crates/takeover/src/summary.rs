//! What was taken and what was not.

use std::collections::BTreeMap;

use serde::Serialize;

/// How many notes of one kind are kept; the rest are counted.
pub const NOTES_MAX: usize = 20;

/// The most of a note that is kept, in bytes: what it quotes may be as long as a record.
pub const NOTE_BYTES_MAX: usize = 8 << 10;

/// Some of what is told, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Notes {
    /// How many there are.
    pub count: u64,
    /// The first of them, up to [`NOTES_MAX`].
    pub some: Vec<String>,
}

/// What became of an account or of another part of the data, or what would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// What was taken, by kind.
    pub taken: BTreeMap<&'static str, u64>,
    /// What ours has no place for, by kind: it stays in the original's files.
    pub left: BTreeMap<&'static str, u64>,
    /// What was taken but is not as it was, by kind.
    pub differs: BTreeMap<&'static str, Notes>,
    /// What was not taken because of what it is, by kind: it is out of date, say.
    pub skipped: BTreeMap<&'static str, Notes>,
    /// What could not be taken because it is damaged or missing: file, page and record.
    pub damaged: BTreeMap<&'static str, Notes>,
}

impl Summary {
    pub(crate) fn took(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.taken.entry(what).or_default() += count;
        }
    }

    pub(crate) fn leave(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.left.entry(what).or_default() += count;
        }
    }

    pub(crate) fn differs(&mut self, what: &'static str, which: impl Into<String>) {
        note(&mut self.differs, what, &which.into());
    }

    pub(crate) fn skip(&mut self, what: &'static str, which: impl Into<String>) {
        note(&mut self.skipped, what, &which.into());
    }

    pub(crate) fn damage(&mut self, what: &'static str, which: impl Into<String>) {
        note(&mut self.damaged, what, &which.into());
    }

    /// Adds what is told of another part.
    pub(crate) fn add(&mut self, other: Self) {
        let Self { taken, left, differs, skipped, damaged } = other;
        for (into, from) in [(&mut self.taken, taken), (&mut self.left, left)] {
            from.into_iter().for_each(|(what, count)| *into.entry(what).or_default() += count);
        }
        let notes = [
            (&mut self.differs, differs),
            (&mut self.skipped, skipped),
            (&mut self.damaged, damaged),
        ];
        for (into, from) in notes {
            for (what, more) in from {
                let notes: &mut Notes = into.entry(what).or_default();
                notes.count += more.count;
                notes.some.extend(more.some);
                notes.some.truncate(NOTES_MAX);
            }
        }
    }

    /// Whether all that is there was readable.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty()
    }
}

fn note(notes: &mut BTreeMap<&'static str, Notes>, what: &'static str, which: &str) {
    let notes = notes.entry(what).or_default();
    notes.count += 1;
    if notes.some.len() < NOTES_MAX {
        // Not truncated in its place, which would keep all of the memory.
        notes.some.push(which[..which.floor_char_boundary(NOTE_BYTES_MAX)].to_owned());
    }
}

/// The kind of damage that costs messages.
pub(crate) const LOST: &str = "messages";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: usize, want: usize) {
        let mut summary = Summary::default();
        // Two bytes each.
        summary.damage("messages", "\u{fc}".repeat(bytes / 2) + &"x".repeat(bytes % 2));
        summary.differs("messages", "x".to_owned() + &"\u{fc}".repeat(bytes / 2));
        let len = |notes: &BTreeMap<_, Notes>| notes["messages"].some[0].len();
        assert_eq!(len(&summary.damaged), bytes.min(NOTE_BYTES_MAX), "{bytes}");
        assert_eq!(len(&summary.differs), want, "{bytes}");
    }

    #[test]
    fn notes_are_cut_between_characters() {
        check(10, 11);
        check(NOTE_BYTES_MAX - 2, NOTE_BYTES_MAX - 1);
        check(NOTE_BYTES_MAX, NOTE_BYTES_MAX - 1);
        check(NOTE_BYTES_MAX + 1, NOTE_BYTES_MAX - 1);
        check(NOTE_BYTES_MAX * 4, NOTE_BYTES_MAX - 1);
    }
}
