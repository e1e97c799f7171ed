//! Webhook calls: requests that tell an account's own programs what became of its messages.
//!
//! A call stays in its table after it is made, as history, for as long as the account wants.

mod event;
mod find;
mod payload;
mod run;

use std::collections::BTreeMap;
use std::fmt;

use mox_base::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use crate::error::{Pending, Result};
use crate::message::MessageId;
use crate::queue::Queue;
use crate::row::{from_json, to_json};

pub use event::OutgoingEvent;
pub use find::{HookChange, HookEvent, HookFilter, HookSort, HookSortField};
pub use payload::{HOOK_ERROR_BYTES_MAX, HookTarget, Told};
pub use run::{HOOK_ATTEMPTS_MAX, HookOutcome, HookSettled, RESPONSE_BYTES_MAX, hook_wait_secs};

pub(crate) use run::{clock_went_back, recover};

/// The most calls kept for an account, made or not; what is over it is left out, and logged. Above half of
/// it, calls that were made are not kept.
pub const HOOKS_PER_ACCOUNT_MAX: i64 = 50_000;

/// The most bytes of calls kept for an account, in the same way.
pub const HOOK_BYTES_PER_ACCOUNT_MAX: i64 = 256 << 20;

pub(crate) const TABLES: &str = "
CREATE TABLE hook(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queued INTEGER,
    from_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    extra TEXT NOT NULL,
    account TEXT NOT NULL,
    url TEXT NOT NULL,
    authorization TEXT NOT NULL,
    has_authorization INTEGER NOT NULL,
    event TEXT,
    payload TEXT NOT NULL,
    keep_secs INTEGER NOT NULL,
    submitted INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt INTEGER NOT NULL,
    is_leased INTEGER NOT NULL,
    results TEXT NOT NULL,
    is_retired INTEGER NOT NULL,
    superseded_by INTEGER,
    is_success INTEGER NOT NULL,
    last_activity INTEGER NOT NULL,
    keep_until INTEGER NOT NULL
);
CREATE INDEX hook_due ON hook(url, next_attempt) WHERE is_retired = 0 AND is_leased = 0;
CREATE INDEX hook_next ON hook(next_attempt) WHERE is_retired = 0 AND is_leased = 0;
CREATE INDEX hook_leased ON hook(id) WHERE is_leased = 1;
CREATE INDEX hook_queued ON hook(queued) WHERE is_retired = 0 AND queued IS NOT NULL;
CREATE INDEX hook_activity ON hook(is_retired, last_activity, id);
CREATE INDEX hook_submitted ON hook(is_retired, submitted, id);
CREATE INDEX hook_keep ON hook(keep_until) WHERE is_retired = 1;
CREATE TABLE hook_usage(
    account TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER hook_added AFTER INSERT ON hook BEGIN
    INSERT INTO hook_usage VALUES(new.account, 1, length(new.payload))
        ON CONFLICT DO UPDATE SET count = count + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER hook_removed AFTER DELETE ON hook BEGIN
    UPDATE hook_usage SET count = count - 1, bytes = bytes - length(old.payload)
        WHERE account = old.account;
END;
";

/// A webhook call. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HookId(pub i64);

impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A call to be made.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NewHook {
    /// The queued message it is about; absent for one that came in. A call about a message takes
    /// the place of an earlier one that was not made yet.
    pub queued: Option<MessageId>,
    /// See [`crate::NewRecipient::from_id`]; empty if there is none.
    pub from_id: String,
    /// Of the message, with angle brackets.
    pub message_id: String,
    /// Of the message, decoded.
    pub subject: String,
    /// See [`crate::NewMessage::extra`].
    pub extra: BTreeMap<String, String>,
    /// Whose it is.
    pub account: String,
    /// Where to.
    pub url: String,
    /// The value of `Authorization`; empty: none. Forgotten when the call is retired.
    pub authorization: String,
    /// What happened; absent for a message that came in.
    pub event: Option<OutgoingEvent>,
    /// The body, in JSON.
    pub payload: String,
    /// How long it is kept when it is retired; 0 or less: not at all.
    pub keep_secs: i64,
}

/// Without secrets, and without what is in the message.
impl fmt::Debug for NewHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewHook")
            .field("queued", &self.queued)
            .field("account", &self.account)
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}

/// A call, to be made or made.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    /// Which.
    pub id: HookId,
    /// What it was made with; of a retired one without `authorization`.
    pub call: NewHook,
    /// Whether it was made with an `Authorization`.
    pub has_authorization: bool,
    /// When it was added.
    pub submitted: UnixSeconds,
    /// Attempts begun.
    pub attempts: u32,
    /// The earliest time of the next attempt.
    pub next_attempt: UnixSeconds,
    /// Oldest first.
    pub results: Vec<HookAttempt>,
    /// Set once it is over.
    pub retired: Option<HookEnd>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("id", &self.id)
            .field("call", &self.call)
            .field("attempts", &self.attempts)
            .field("retired", &self.retired)
            .finish_non_exhaustive()
    }
}

/// How a call came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookEnd {
    /// The call that took its place.
    pub superseded_by: Option<HookId>,
    /// It was answered with 200.
    pub is_success: bool,
    /// When.
    pub last_activity: UnixSeconds,
    /// It is removed then.
    pub keep_until: UnixSeconds,
}

/// What came of an attempt to make a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookAttempt {
    /// When it began, in seconds of Unix time.
    pub start: i64,
    /// How long it took.
    pub duration_ms: u64,
    /// Where to.
    pub url: String,
    /// It was answered with 200.
    pub is_success: bool,
    /// The HTTP status; 0 if there was no response.
    pub code: u16,
    /// What went wrong; empty if nothing did.
    pub error: String,
    /// The start of the response, at most [`RESPONSE_BYTES_MAX`].
    pub response: String,
}

impl Queue {
    /// Adds calls, of messages that came in or of reports about messages that left long ago. Those
    /// about what comes of an attempt are part of its [`crate::Settlement`].
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn add_hooks(&self, hooks: Vec<NewHook>, now: UnixSeconds) -> Pending<()> {
        let bytes = hooks.iter().map(NewHook::memory_bytes).sum();
        self.write_at(now, bytes, move |tx, state| {
            for hook in &hooks {
                insert(tx.db(), hook, now)?;
            }
            state.wake_after(tx);
            Ok(())
        })
    }
}

impl NewHook {
    pub(crate) fn memory_bytes(&self) -> usize {
        self.payload.len()
    }
}

/// Adds a call, unless its account has too many, and retires the one whose place it takes.
pub(crate) fn insert(db: &Connection, hook: &NewHook, now: UnixSeconds) -> Result<()> {
    let usage: Option<(i64, i64)> = db
        .prepare_cached("SELECT count, bytes FROM hook_usage WHERE account = ?1")?
        .query_row([&hook.account], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (count, bytes) = usage.unwrap_or_default();
    if count >= HOOKS_PER_ACCOUNT_MAX || bytes >= HOOK_BYTES_PER_ACCOUNT_MAX {
        let account = &hook.account;
        tracing::warn!(%account, count, bytes, "too many webhook calls wait or are kept, one is left out");
        return Ok(());
    }
    db.prepare_cached(
        "INSERT INTO hook VALUES(NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0, \
         ?13, 0, '[]', 0, NULL, 0, ?13, 0)",
    )?
    .execute(params![
        hook.queued.map(|id| id.0),
        hook.from_id,
        hook.message_id,
        hook.subject,
        to_json(&hook.extra)?,
        hook.account,
        hook.url,
        hook.authorization,
        !hook.authorization.is_empty(),
        hook.event.map(OutgoingEvent::as_str),
        hook.payload,
        hook.keep_secs,
        now.0,
    ])?;
    let id = db.last_insert_rowid();
    if let Some(queued) = hook.queued {
        run::supersede(db, queued, id, now)?;
    }
    Ok(())
}

const COLUMNS: &str = "q.id, q.queued, q.from_id, q.message_id, q.subject, q.extra, q.account, \
    q.url, q.authorization, q.has_authorization, q.event, q.payload, q.keep_secs, q.submitted, \
    q.attempts, q.next_attempt, q.results, q.is_retired, q.superseded_by, q.is_success, \
    q.last_activity, q.keep_until";

fn hook(row: &Row<'_>) -> rusqlite::Result<Hook> {
    let event: Option<String> = row.get(10)?;
    let json = |index: usize| row.get::<_, String>(index);
    let is_retired: bool = row.get(17)?;
    let end = HookEnd {
        superseded_by: row.get::<_, Option<i64>>(18)?.map(HookId),
        is_success: row.get(19)?,
        last_activity: UnixSeconds(row.get(20)?),
        keep_until: UnixSeconds(row.get(21)?),
    };
    Ok(Hook {
        id: HookId(row.get(0)?),
        call: NewHook {
            queued: row.get::<_, Option<i64>>(1)?.map(MessageId),
            from_id: row.get(2)?,
            message_id: row.get(3)?,
            subject: row.get(4)?,
            extra: from_json(&json(5)?).unwrap_or_default(),
            account: row.get(6)?,
            url: row.get(7)?,
            authorization: row.get(8)?,
            event: event.as_deref().and_then(OutgoingEvent::parse),
            payload: row.get(11)?,
            keep_secs: row.get(12)?,
        },
        has_authorization: row.get(9)?,
        submitted: UnixSeconds(row.get(13)?),
        attempts: row.get(14)?,
        next_attempt: UnixSeconds(row.get(15)?),
        results: from_json(&json(16)?).unwrap_or_default(),
        retired: is_retired.then_some(end),
    })
}
