//! What all sessions together were told of the mailboxes: no two may be told different things.

use std::collections::HashMap;

use anyhow::{Result, ensure};

/// One mailbox, known by its UIDVALIDITY: the server of the soak uses none twice.
#[derive(Clone, Debug, Default)]
struct Mailbox {
    /// The number in the Message-ID, by UID.
    numbers: HashMap<u32, u64>,
    /// The flags at the highest mod-sequence that anyone was told, by UID.
    states: HashMap<u32, (u64, u8)>,
    mark: Mark,
}

/// What a mailbox had reached at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// The highest mod-sequence that any session was told.
    pub(super) modseq: u64,
    /// Above the highest UID that any session was told.
    pub(super) uidnext: u32,
}

/// Shared by all sessions.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    mailboxes: HashMap<u32, Mailbox>,
}

impl Ledger {
    /// What each mailbox has reached: a look at it that begins now must show no less.
    pub(super) fn marks(&self) -> HashMap<u32, Mark> {
        self.mailboxes.iter().map(|(uidvalidity, mailbox)| (*uidvalidity, mailbox.mark)).collect()
    }

    /// A message was said to have this number. RFC 9051 §2.3.1.1: a UID means one message.
    pub(super) fn number(&mut self, uidvalidity: u32, uid: u32, number: u64) -> Result<()> {
        let mailbox = self.mailboxes.entry(uidvalidity).or_default();
        mailbox.mark.uidnext = mailbox.mark.uidnext.max(uid.saturating_add(1));
        let known = *mailbox.numbers.entry(uid).or_insert(number);
        ensure!(known == number, "UID {uid} of {uidvalidity} is message {known} and {number}");
        Ok(())
    }

    /// The number of a message, if anyone was told.
    pub(super) fn number_of(&self, uidvalidity: u32, uid: u32) -> Option<u64> {
        self.mailboxes.get(&uidvalidity)?.numbers.get(&uid).copied()
    }

    /// Flags were told with a mod-sequence: at each there is one state of a message.
    pub(super) fn state(
        &mut self,
        uidvalidity: u32,
        uid: u32,
        modseq: u64,
        flags: u8,
    ) -> Result<()> {
        let mailbox = self.mailboxes.entry(uidvalidity).or_default();
        mailbox.mark.modseq = mailbox.mark.modseq.max(modseq);
        mailbox.mark.uidnext = mailbox.mark.uidnext.max(uid.saturating_add(1));
        let state = mailbox.states.entry(uid).or_insert((modseq, flags));
        if modseq > state.0 {
            *state = (modseq, flags);
        }
        let differs = modseq == state.0 && flags != state.1;
        ensure!(!differs, "UID {uid} of {uidvalidity} at {modseq} has flags {flags} and {state:?}");
        Ok(())
    }

    /// Forgets mailboxes that are gone.
    pub(super) fn retain(&mut self, exists: impl Fn(u32) -> bool) {
        self.mailboxes.retain(|uidvalidity, _| exists(*uidvalidity));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sessions_are_told_the_same() {
        let mut ledger = Ledger::default();
        ledger.number(1, 5, 77).unwrap();
        ledger.number(2, 5, 78).unwrap();
        assert!(ledger.number(1, 5, 78).is_err());
        assert_eq!(ledger.number_of(2, 5), Some(78));
        ledger.state(1, 5, 9, 1).unwrap();
        ledger.state(1, 5, 8, 2).unwrap();
        ledger.state(1, 5, 9, 1).unwrap();
        assert!(ledger.state(1, 5, 9, 2).is_err());
        assert_eq!(ledger.marks()[&1], Mark { modseq: 9, uidnext: 6 });
        ledger.retain(|uidvalidity| uidvalidity == 2);
        assert_eq!(ledger.number_of(1, 5), None);
    }
}
