//! A mailbox as a strict client knows it: from responses alone, each checked against what the RFCs
//! allow a server to say.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use super::updates::Updates;

/// The flags that are used, as bits by their place here.
pub(super) const FLAGS: [&str; 8] = [
    "\\Seen",
    "\\Answered",
    "\\Flagged",
    "\\Deleted",
    "\\Draft",
    "$work",
    "$Forwarded",
    "$NotJunk",
];

/// The place of `\Deleted` in [`FLAGS`].
pub(super) const DELETED: u8 = 1 << 3;

/// A message as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// 0 as long as it was not told.
    pub(super) uid: u32,
    pub(super) flags: Option<u8>,
    /// The last that was told, 0 for none.
    pub(super) modseq: u64,
    /// The flags were told together with the mod-sequence.
    pub(super) is_exact: bool,
    /// It came after the mailbox was selected.
    pub(super) is_new: bool,
    /// The number of the command during which the flags were told.
    pub(super) told_in: u64,
}

/// What one FETCH response says of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) seq: u32,
    /// 0 if it was not said; filled in from the view where that knows.
    pub(super) uid: u32,
    pub(super) flags: Option<u8>,
    pub(super) modseq: Option<u64>,
    /// The header or the whole message.
    pub(super) text: Option<Vec<u8>>,
}

/// The selected mailbox.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) uidvalidity: u32,
    /// As SELECT gave it: what comes later has this UID or a higher one.
    pub(super) uidnext: u32,
    pub(super) read_only: bool,
    pub(super) messages: Vec<Known>,
    pub(super) gone: BTreeSet<u32>,
    /// The highest mod-sequence that was told.
    pub(super) highest: u64,
    /// Everything up to this was told. RFC 7162 §3.1.2: a client keeps this one for next time.
    pub(super) trusted: u64,
    /// A result that the server keeps up to date.
    pub(super) updates: Option<Updates>,
}

impl View {
    /// How many messages there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.messages.len()).unwrap_or(u32::MAX)
    }

    /// RFC 9051 §7.4.1, RFC 9051 §5.5: the number only falls by EXPUNGE and VANISHED.
    pub(super) fn exists(&mut self, count: u32) -> Result<()> {
        ensure!(count >= self.count(), "EXISTS {count} after {}", self.count());
        let new = Known { is_new: true, ..Known::default() };
        self.messages.resize(usize::try_from(count)?, new);
        Ok(())
    }

    /// RFC 9051 §7.5.1.
    pub(super) fn expunge(&mut self, seq: u32) -> Result<()> {
        ensure!((1..=self.count()).contains(&seq), "EXPUNGE {seq} of {}", self.count());
        let gone = self.messages.remove(usize::try_from(seq)? - 1);
        self.gone.insert(gone.uid);
        Ok(())
    }

    /// RFC 7162 §3.2.10: each takes one message away.
    pub(super) fn vanished(&mut self, uids: &[u32]) -> Result<()> {
        for uid in uids {
            ensure!(!self.gone.contains(uid), "VANISHED {uid} again");
            let place = self.find(*uid).with_context(|| format!("VANISHED {uid} is not known"))?;
            self.messages.remove(place);
            self.gone.insert(*uid);
        }
        Ok(())
    }

    /// The place of a message; of one whose UID was not told, a place that may be it.
    fn find(&self, uid: u32) -> Option<usize> {
        let mut unknown = None;
        for (place, known) in self.messages.iter().enumerate() {
            match known.uid {
                0 => unknown = Some(place),
                here if here == uid => return Some(place),
                here if here > uid => break,
                _ => unknown = None,
            }
        }
        unknown
    }

    /// The message with this UID, if the client knows that it has it.
    pub(super) fn known(&self, uid: u32) -> Option<&Known> {
        self.messages.iter().find(|known| known.uid == uid && uid != 0)
    }

    /// Whether there may be a message with this UID.
    pub(super) fn may_have(&self, uid: u32) -> bool {
        self.find(uid).is_some()
    }

    /// All known UIDs, ascending.
    pub(super) fn uids(&self) -> Vec<u32> {
        self.messages.iter().map(|known| known.uid).filter(|uid| *uid != 0).collect()
    }

    /// RFC 9051 §7.5.2; RFC 9051 §2.3.1.1: UIDs ascend with the numbers, and none comes twice.
    pub(super) fn fetch(&mut self, told: &mut Told, command: u64) -> Result<()> {
        ensure!((1..=self.count()).contains(&told.seq), "FETCH {} of {}", told.seq, self.count());
        let place = usize::try_from(told.seq)? - 1;
        if told.uid != 0 {
            self.check_uid(place, told.uid)?;
        }
        let known = self.messages.get_mut(place).context("a message")?;
        if told.uid != 0 {
            known.uid = told.uid;
        }
        told.uid = known.uid;
        if let Some(modseq) = told.modseq {
            // RFC 7162 §3.1: it only grows.
            ensure!(modseq >= known.modseq, "MODSEQ {modseq} after {} of {told:?}", known.modseq);
            let same = modseq == known.modseq && known.is_exact;
            let differs = told.flags.is_some_and(|flags| known.flags != Some(flags));
            ensure!(!(same && differs), "other flags at the same MODSEQ: {known:?}, {told:?}");
            known.is_exact = told.flags.is_some() || same;
            known.modseq = modseq;
            self.highest = self.highest.max(modseq);
        } else if told.flags.is_some_and(|flags| known.flags != Some(flags)) {
            known.is_exact = false;
        }
        if told.flags.is_some() {
            known.flags = told.flags;
            known.told_in = command;
        }
        Ok(())
    }

    fn check_uid(&self, place: usize, uid: u32) -> Result<()> {
        let (before, rest) = self.messages.split_at(place);
        let (this, after) = rest.split_first().context("a message")?;
        ensure!(this.uid == 0 || this.uid == uid, "UID {uid} of message {}: {this:?}", place + 1);
        ensure!(!self.gone.contains(&uid), "UID {uid} was expunged");
        ensure!(!this.is_new || uid >= self.uidnext, "UID {uid} is new, below {}", self.uidnext);
        // Those in between have UIDs too, though they were not told.
        let mut least = 0;
        for known in before {
            least = if known.uid == 0 { least + 1 } else { known.uid };
        }
        ensure!(uid > least, "UID {uid} of message {} is not above {least}", place + 1);
        for (known, steps) in after.iter().zip(1..) {
            let fits = known.uid == 0 || known.uid >= uid.saturating_add(steps);
            ensure!(fits, "UID {uid} of message {} leaves no room before {known:?}", place + 1);
        }
        Ok(())
    }

    /// Notes that the reply to a command came which lets all changes be told before it.
    pub(super) fn is_told(&mut self) {
        self.trusted = self.trusted.max(self.highest);
    }
}

/// The flags of a set, which must all be among [`FLAGS`]; `\Recent` is none.
pub(super) fn bits<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Result<u8> {
    let mut bits = 0;
    for name in names {
        if name.eq_ignore_ascii_case(b"\\Recent") {
            continue;
        }
        let place = FLAGS.iter().position(|flag| flag.as_bytes().eq_ignore_ascii_case(name));
        let name = String::from_utf8_lossy(name);
        bits |= 1 << place.with_context(|| format!("flag {name} was never set"))?;
    }
    Ok(bits)
}

/// The names of flags, for a command.
pub(super) fn names(bits: u8) -> String {
    let names = FLAGS.iter().zip(0..).filter(|(_, bit)| bits & (1 << bit) != 0);
    names.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// UIDs 3, unknown, unknown, 9, with 10 as the next.
    fn view() -> View {
        let known = |uid| Known { uid, ..Known::default() };
        let messages = [3, 0, 0, 9].map(known).to_vec();
        View { uidvalidity: 1, uidnext: 10, messages, ..View::default() }
    }

    #[track_caller]
    fn check_fetch(seq: u32, uid: u32, is_right: bool) {
        let mut told = Told { seq, uid, ..Told::default() };
        let mut view = view();
        view.exists(5).unwrap();
        assert_eq!(view.fetch(&mut told, 1).is_ok(), is_right, "{seq} {uid}");
    }

    /// RFC 9051 §2.3.1.1.
    #[test]
    fn uids_ascend() {
        check_fetch(1, 3, true);
        check_fetch(2, 4, true);
        check_fetch(2, 7, true);
        check_fetch(3, 5, true);
        check_fetch(3, 8, true);
        check_fetch(5, 10, true);
        check_fetch(2, 3, false);
        check_fetch(2, 8, false);
        check_fetch(3, 4, false);
        check_fetch(3, 9, false);
        check_fetch(1, 4, false);
        check_fetch(5, 9, false);
        check_fetch(6, 11, false);
        check_fetch(0, 1, false);
    }

    /// RFC 9051 §7.5.1, RFC 7162 §3.2.10.
    #[test]
    fn messages_go_by_number_and_by_uid() {
        let (mut view, again) = (view(), view());
        assert!(view.expunge(5).is_err());
        assert!(view.expunge(0).is_err());
        view.expunge(1).unwrap();
        assert!(view.exists(2).is_err());
        assert!(view.vanished(&[3]).is_err(), "it is gone already");
        assert!(view.vanished(&[4]).is_ok(), "the first unknown one may have had it");
        let mut view = again;
        view.vanished(&[3, 5]).unwrap();
        assert_eq!(view.count(), 2);
        assert!(view.vanished(&[9, 9]).is_err());
        assert_eq!(view.count(), 1);
        view.vanished(&[7]).unwrap();
        view.exists(1).unwrap();
        let again = &mut Told { seq: 1, uid: 9, ..Told::default() };
        assert!(view.fetch(again, 1).is_err(), "a UID is not used again");
    }

    /// RFC 7162 §3.1.
    #[test]
    fn mod_sequences_grow_with_changes() {
        let told = |flags, modseq| Told { seq: 1, uid: 3, flags, modseq, ..Told::default() };
        let mut view = view();
        view.fetch(&mut told(Some(1), Some(7)), 1).unwrap();
        view.fetch(&mut told(Some(1), Some(7)), 1).unwrap();
        view.fetch(&mut told(Some(2), Some(8)), 1).unwrap();
        assert!(view.fetch(&mut told(Some(1), Some(8)), 1).is_err());
        assert!(view.fetch(&mut told(Some(1), Some(7)), 1).is_err());
        assert_eq!((view.highest, view.trusted), (8, 0));
        view.is_told();
        assert_eq!(view.trusted, 8);
    }

    #[test]
    fn flags_are_bits() {
        assert_eq!(bits([&b"\\seen"[..], b"$work", b"\\Recent"]).unwrap(), 0b10_0001);
        assert_eq!(names(0b10_1001), "\\Seen \\Deleted $work");
        assert!(bits([&b"$other"[..]]).is_err());
    }
}
