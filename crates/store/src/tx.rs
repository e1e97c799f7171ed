//! One write transaction: the counters of the account and the changes to tell when it commits.

use std::sync::Arc;

use mox_base::{MailboxId, ModSeq, MsgId, UidValidity, UnixSeconds};
use rusqlite::{Connection, params};

use crate::account::Shared;
use crate::feed::{Change, ChangeKind, SubscriberId};
use crate::{Result, StoreError};

/// The row `state`: counters that only grow, and the space in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) modseq: ModSeq,
    pub(crate) next_message: i64,
    pub(crate) next_mailbox: i64,
    pub(crate) next_uidvalidity: u64,
    pub(crate) used_bytes: u64,
}

impl State {
    pub(crate) fn load(db: &Connection) -> Result<Self> {
        let mut statement = db.prepare_cached(
            "SELECT modseq, next_message, next_mailbox, next_uidvalidity, used_bytes FROM state",
        )?;
        let (modseq, state) = statement.query_row([], |row| {
            let state = Self {
                modseq: ModSeq::default(),
                next_message: row.get(1)?,
                next_mailbox: row.get(2)?,
                next_uidvalidity: row.get(3)?,
                used_bytes: row.get(4)?,
            };
            Ok((row.get(0)?, state))
        })?;
        let modseq = ModSeq::new(modseq).ok_or(StoreError::Damaged { what: "modseq" })?;
        Ok(Self { modseq, ..state })
    }

    pub(crate) fn save(&self, db: &Connection) -> Result<()> {
        let mut statement =
            db.prepare_cached("INSERT OR REPLACE INTO state VALUES (1, ?1, ?2, ?3, ?4, ?5)")?;
        statement.execute(params![
            self.modseq.get(),
            self.next_message,
            self.next_mailbox,
            self.next_uidvalidity,
            self.used_bytes,
        ])?;
        Ok(())
    }
}

/// The part of a transaction that belongs to one operation.
///
/// Every operation gets one modseq, at the first time it asks: all it changes shares it.
pub(crate) struct Tx<'a> {
    db: &'a Connection,
    pub(crate) shared: &'a Shared,
    pub(crate) state: State,
    pub(crate) now: UnixSeconds,
    origin: Option<SubscriberId>,
    modseq: Option<ModSeq>,
    changes: Vec<ChangeKind>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(
        db: &'a Connection,
        shared: &'a Shared,
        state: State,
        origin: Option<SubscriberId>,
    ) -> Self {
        let now = shared.clock.now();
        Self { db, shared, state, now, origin, modseq: None, changes: Vec::new() }
    }

    pub(crate) fn db(&self) -> &'a Connection {
        self.db
    }

    /// The modseq of this operation.
    pub(crate) fn modseq(&mut self) -> Result<ModSeq> {
        if let Some(modseq) = self.modseq {
            return Ok(modseq);
        }
        let modseq = ModSeq::new(self.state.modseq.get() + 1).ok_or(StoreError::IdsUsedUp)?;
        self.state.modseq = modseq;
        self.modseq = Some(modseq);
        Ok(modseq)
    }

    pub(crate) fn new_message_id(&mut self) -> MsgId {
        self.state.next_message += 1;
        MsgId(self.state.next_message - 1)
    }

    pub(crate) fn new_mailbox_id(&mut self) -> MailboxId {
        self.state.next_mailbox += 1;
        MailboxId(self.state.next_mailbox - 1)
    }

    pub(crate) fn new_uidvalidity(&mut self) -> Result<UidValidity> {
        let number = u32::try_from(self.state.next_uidvalidity).ok().and_then(UidValidity::new);
        self.state.next_uidvalidity += 1;
        number.ok_or(StoreError::IdsUsedUp)
    }

    /// Takes space, if the quota allows it.
    pub(crate) fn use_bytes(&mut self, size: u64, quota_bytes: Option<u64>) -> Result<()> {
        let used_bytes = self.state.used_bytes;
        match quota_bytes {
            Some(limit_bytes) if used_bytes.saturating_add(size) > limit_bytes => {
                Err(StoreError::OverQuota { used_bytes, limit_bytes })
            }
            _ => {
                self.state.used_bytes = used_bytes.saturating_add(size);
                Ok(())
            }
        }
    }

    pub(crate) fn free_bytes(&mut self, size: u64) {
        self.state.used_bytes = self.state.used_bytes.saturating_sub(size);
    }

    /// Tells the subscribers after the commit. Only after [`Tx::modseq`] was asked for.
    pub(crate) fn publish(&mut self, kind: ChangeKind) {
        self.changes.push(kind);
    }

    /// The counters after the operation, and what to tell.
    pub(crate) fn finish(self) -> (State, Vec<Arc<Change>>) {
        let modseq = self.modseq.unwrap_or(self.state.modseq);
        let origin = self.origin;
        let changes = self.changes.into_iter().map(|kind| Change { modseq, origin, kind });
        (self.state, changes.map(Arc::new).collect())
    }
}
