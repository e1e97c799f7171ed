//! The selected mailbox as this session's client knows it.

use std::sync::Arc;

use mox_base::{MailboxId, ModSeq, Uid};

use super::context::Contexts;
use super::op::Targets;
use crate::types::{NumSet, Removed, SequenceSetError, SetArg, UidMap};

/// What the client has been told of the selected mailbox.
///
/// RFC 9051 §5.5 and RFC 9051 §7.5.1: message numbers change only by what is sent to the client.
/// Only [`View::add`] and [`View::remove`] change the map, and their callers print the change.
#[derive(Clone, Debug)]
pub struct View {
    pub(super) mailbox: MailboxId,
    pub(super) read_only: bool,
    pub(super) uids: Arc<UidMap>,
    /// Messages at or above this have not been announced.
    pub(super) uidnext: u64,
    /// The highest mod-sequence seen, also of the session's own changes.
    pub(super) modseq: ModSeq,
    /// The client has been told of all changes by others up to this. The session's own may be
    /// later, while earlier ones of others still wait: hence two values.
    pub(super) told: ModSeq,
    /// What was read when the mailbox was selected, or compared with the view, includes all changes
    /// up to this, also those the session is given only later.
    pub(super) since: ModSeq,
    /// The result of the last SEARCH with SAVE. RFC 9051 §6.4.4.1.
    pub(super) saved: NumSet,
    /// Results that are kept up to date; most sessions have none. RFC 5267 §4.3.
    pub(super) contexts: Option<Box<Contexts>>,
}

impl View {
    /// The mailbox.
    #[must_use]
    pub fn mailbox(&self) -> MailboxId {
        self.mailbox
    }

    /// Whether it was opened with EXAMINE.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The messages known to the client.
    #[must_use]
    pub fn uids(&self) -> &Arc<UidMap> {
        &self.uids
    }

    /// The highest mod-sequence seen in the mailbox.
    #[must_use]
    pub fn highest_modseq(&self) -> ModSeq {
        self.modseq
    }

    /// Notes that changes by others up to this were told.
    pub(super) fn told(&mut self, modseq: ModSeq) {
        self.told = self.told.max(modseq);
        self.modseq = self.modseq.max(modseq);
    }

    /// Adds a message the client is about to be told of. `false` if it knows it already.
    pub(super) fn add(&mut self, uid: Uid) -> bool {
        if u64::from(uid.get()) < self.uidnext {
            return false;
        }
        self.uidnext = u64::from(uid.get()) + 1;
        self.changed([uid.get()]);
        Arc::make_mut(&mut self.uids).push(uid)
    }

    /// Notes that messages came or have other flags, whether the client was told or not.
    pub(super) fn changed(&mut self, uids: impl IntoIterator<Item = u32>) {
        if let Some(contexts) = &mut self.contexts {
            contexts.changed(uids);
        }
    }

    /// Removes messages; the ones that were known come back, for telling the client.
    pub(super) fn remove(&mut self, uids: &NumSet) -> Vec<Removed> {
        let removed = Arc::make_mut(&mut self.uids).remove(uids);
        if !removed.is_empty() && !self.saved.is_empty() {
            // RFC 9051 §6.4.4.1: a saved message that is expunged leaves the saved result.
            self.saved = self.saved.difference(uids);
        }
        removed
    }

    /// Resolves the messages a command names. RFC 9051 §9 (`sequence-set`).
    pub(super) fn targets(&self, set: &SetArg, by_uid: bool) -> Result<Targets, SequenceSetError> {
        let uids = self.resolve(set, by_uid)?;
        Ok(Targets { uids, known: Arc::clone(&self.uids) })
    }

    pub(super) fn resolve(&self, set: &SetArg, by_uid: bool) -> Result<NumSet, SequenceSetError> {
        match set {
            SetArg::Saved => Ok(self.saved.clone()),
            SetArg::Set(set) if by_uid => Ok(set.resolve_uids(self.uids.highest())),
            SetArg::Set(set) => {
                let seqs = set.resolve_seqs(self.uids.exists())?;
                Ok(self.uids.uids_of_seqs(&seqs))
            }
        }
    }

    /// All messages.
    pub(super) fn everything(&self) -> Targets {
        let last = self.uids.highest().unwrap_or_default();
        Targets { uids: NumSet::range(1, last), known: Arc::clone(&self.uids) }
    }
}
