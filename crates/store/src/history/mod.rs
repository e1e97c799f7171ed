//! What the account remembers of messages that came by SMTP: who sent each, how far that was proven,
//! and how its user judged it. The next message is judged by that.
//!
//! The identities of a message stand in `origin`, once. As long as the message is marked `$Junk` or
//! `$NotJunk`, and not both, there is a row for each of its identities in `reputation`, which is
//! clustered by identity and time: a question costs one descent into the table and as many rows as it
//! asks for, however many messages the account has. Whatever changes marks, mailboxes or messages
//! brings both up to date in the same commit.
//!
//! Invariant: `reputation` is what `origin`, `meta` and the flags say, and nothing else.

mod ask;
mod check;
mod judging;
mod keys;
mod origin;
mod sent;
mod traffic;

use mox_base::{Flags, MailboxId, MailboxName, MsgId, SpecialUse, UnixSeconds};
use mox_policy::{Marks, Origin, Verdict};
use rusqlite::{Connection, OptionalExtension, params};

use crate::Result;
use crate::decision::Decision;
use crate::mailbox::{self, Mailbox};
use crate::policy::Policy;
use crate::tx::Tx;

pub(crate) use check::check;
pub(crate) use judging::Judging;
pub(crate) use sent::{fill as fill_sent, keep as keep_sent, record as record_sent};

/// Bytes of the SHA-256 of a message as it was received.
pub const CONTENT_HASH_BYTES: usize = 32;

/// Messages with the same Message-ID that are looked through for one in a mailbox, the newest first:
/// anybody can send any number of them.
const SAME_ID_MAX: u32 = 1_000;

/// What version 3 adds for the history.
pub(crate) const TABLES: &str = "
CREATE TABLE origin(
    id INTEGER PRIMARY KEY,
    marks INTEGER NOT NULL,
    destined INTEGER,
    content_hash BLOB,
    author TEXT,
    organization TEXT,
    author_validation INTEGER NOT NULL,
    mail_from TEXT,
    mail_from_validation INTEGER NOT NULL,
    ehlo TEXT,
    ehlo_validation INTEGER NOT NULL,
    dkim TEXT NOT NULL,
    host TEXT,
    forwarder_ehlo TEXT,
    forwarder_dkim TEXT NOT NULL
);
CREATE INDEX origin_content ON origin(content_hash) WHERE content_hash IS NOT NULL;
CREATE TABLE reputation(
    mailbox INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    key TEXT NOT NULL,
    received INTEGER NOT NULL,
    id INTEGER NOT NULL,
    is_junk INTEGER NOT NULL,
    localpart TEXT,
    PRIMARY KEY(mailbox, kind, key, received, id)
) WITHOUT ROWID;
CREATE TABLE recipient(
    kind INTEGER NOT NULL,
    key TEXT NOT NULL,
    sent INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY(kind, key, sent, id)
) WITHOUT ROWID;
CREATE INDEX recipient_id ON recipient(id);
CREATE TABLE traffic(
    kind INTEGER NOT NULL,
    key TEXT NOT NULL,
    width INTEGER NOT NULL,
    start INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY(kind, key, width, start)
) WITHOUT ROWID;
CREATE INDEX traffic_start ON traffic(start);
";

/// What the decision on a message hands over with it, to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Who sent it.
    pub origin: Origin,
    /// How it is marked. `is_seen` adds `\Seen` to its flags.
    pub marks: Marks,
    /// Where it would be if it were not put aside, in the Introbox or as a reject. The mailbox is made
    /// if it is missing.
    pub destined: Option<MailboxName>,
    /// For the table of recent decisions.
    pub decision: Option<Decision>,
    /// Of a reject: the SHA-256 of the message as received, so that it is kept once.
    pub content_hash: Option<[u8; CONTENT_HASH_BYTES]>,
}

impl Incoming {
    /// What a verdict hands over.
    #[must_use]
    pub fn new(verdict: &Verdict, decision: Decision) -> Self {
        Self {
            origin: verdict.origin.clone(),
            marks: verdict.marks,
            destined: verdict.destined.clone(),
            decision: Some(decision),
            content_hash: None,
        }
    }
}

/// Whether a message with these flags counts as junk; `None` if it does not count.
fn is_junk(flags: Flags) -> Option<bool> {
    match (flags.contains(Flags::JUNK), flags.contains(Flags::NOT_JUNK)) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

/// A message that is being added.
pub(crate) struct Arriving {
    pub(crate) id: MsgId,
    pub(crate) mailbox: MailboxId,
    pub(crate) received: UnixSeconds,
    pub(crate) size: u64,
    pub(crate) flags: Flags,
}

/// Remembers a message that came. Its row in `meta` is there.
pub(crate) fn record(tx: &mut Tx<'_>, message: &Arriving, mut incoming: Incoming) -> Result<()> {
    if let Some(decision) = incoming.decision.take() {
        decision.record(tx)?;
    }
    let destined = match &incoming.destined {
        Some(name) => Some(mailbox::find_or_create(tx, name)?.id),
        None => None,
    };
    // Delivered where it was destined for: it is not put aside.
    let destined = destined.filter(|id| *id != message.mailbox);
    origin::insert(tx.db(), message.id, &incoming, destined)?;
    if let Some(networks) = &incoming.origin.networks {
        traffic::record(tx.db(), networks, message.received, message.size)?;
    }
    let mut judging = Judging::default();
    judging.note(tx.db(), message.id, Flags::NONE, message.flags)?;
    judging.apply(tx.db())
}

/// Remembers a message as another server did. Its row in `meta` is there.
pub(crate) fn keep(
    db: &Connection,
    id: MsgId,
    flags: Flags,
    incoming: &Incoming,
    destined: Option<MailboxId>,
) -> Result<()> {
    origin::insert(db, id, incoming, destined)?;
    let mut judging = Judging::default();
    judging.note(db, id, Flags::NONE, flags)?;
    judging.apply(db)
}

/// What is remembered of who sent a message, and where it was destined for if it was put aside.
pub(crate) fn incoming(
    db: &Connection,
    id: MsgId,
) -> Result<Option<(Incoming, Option<MailboxId>)>> {
    origin::incoming(db, id)
}

/// Remembers a copy, which is a message of its own. Its row in `meta` is there.
pub(crate) fn copied(tx: &Tx<'_>, from: MsgId, to: MsgId) -> Result<()> {
    origin::copy(tx.db(), from, to)?;
    sent::copy(tx.db(), from, to)
}

/// A message, or a copy of it, that comes from one mailbox into another.
pub(crate) struct Passage<'a> {
    pub(crate) id: MsgId,
    pub(crate) source: &'a Mailbox,
    pub(crate) target: &'a Mailbox,
    /// By what it counts so far; `None` for a copy.
    pub(crate) before: Option<Flags>,
    /// What it gets by the mailbox it comes to.
    pub(crate) flags: Flags,
}

/// Takes note of a message that came into another mailbox, and returns the flags it gets. Its row in
/// `meta` is there.
///
/// What was put aside goes where it was destined for once its user has had a say: what is taken out of
/// the rejects is new to the user, and what is taken out of the Introbox to where it was destined for
/// is no junk.
pub(crate) fn arrived(
    db: &Connection,
    policy: &Policy,
    passage: &Passage<'_>,
    judging: &mut Judging,
) -> Result<Flags> {
    let Passage { id, source, target, before, mut flags } = *passage;
    if target.special_use.contains(SpecialUse::SENT) {
        sent::record_stored(db, id)?;
    }
    let counted = before.unwrap_or(Flags::NONE);
    let Some(aside) = origin::put_aside(db, id)? else {
        judging.note(db, id, counted, flags)?;
        return Ok(flags);
    };
    if aside.is_reject && before.is_some() {
        flags = flags.with(Flags::SEEN, false);
    }
    let is_there = target.id == aside.destined;
    let is_judged = |flags: Flags| !(flags & (Flags::JUNK | Flags::NOT_JUNK)).is_empty();
    let from_introbox = policy.introbox.as_ref() == Some(&source.name);
    if from_introbox && is_there && !is_judged(flags) {
        flags |= Flags::NOT_JUNK;
    }
    if !(aside.is_reject || (from_introbox && (is_there || is_judged(flags)))) {
        judging.note(db, id, counted, flags)?;
        return Ok(flags);
    }
    let Some(known) = origin::load(db, id)? else { return Ok(flags) };
    judging.remove(&known, is_junk(counted));
    origin::settle(db, id, aside.destined)?;
    if let Some(known) = origin::load(db, id)? {
        judging.add(&known, is_junk(flags));
    }
    Ok(flags)
}

/// Forgets a message that is removed.
pub(crate) fn forget(
    db: &Connection,
    id: MsgId,
    flags: Flags,
    judging: &mut Judging,
) -> Result<()> {
    judging.note(db, id, flags, Flags::NONE)?;
    origin::forget(db, id)?;
    sent::forget(db, id)
}

/// The messages of a mailbox with this canonical Message-ID, or these received bytes.
pub(crate) fn same_in(
    tx: &Tx<'_>,
    mailbox: MailboxId,
    message_id: Option<&str>,
    content_hash: Option<&[u8; CONTENT_HASH_BYTES]>,
) -> Result<(Option<u32>, Option<u32>)> {
    let by_id = "SELECT m.uid FROM (SELECT id FROM meta WHERE message_id = ?1 \
         ORDER BY id DESC LIMIT ?3) t JOIN msg m ON m.id = t.id WHERE m.mailbox = ?2 LIMIT 1";
    let by_content = "SELECT m.uid FROM origin o JOIN msg m ON m.id = o.id \
         WHERE o.content_hash = ?1 AND m.mailbox = ?2 LIMIT 1";
    let db = tx.db();
    let uid = |row: &rusqlite::Row<'_>| row.get(0);
    let same_id = match message_id {
        Some(id) => {
            let params = params![id, mailbox.0, SAME_ID_MAX];
            db.prepare_cached(by_id)?.query_row(params, uid).optional()?
        }
        None => None,
    };
    let same_content = match content_hash {
        Some(hash) => {
            db.prepare_cached(by_content)?.query_row(params![hash, mailbox.0], uid).optional()?
        }
        None => None,
    };
    Ok((same_id, same_content))
}
