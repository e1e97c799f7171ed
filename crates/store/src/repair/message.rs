//! Steps over messages.

use std::io::Cursor;
use std::sync::Arc;

use mox_base::{MailboxId, MsgId, UnixSeconds};
use mox_mime::{Limits, Message};
use rusqlite::{OptionalExtension as _, params};

use super::{Repair, RepairStep};
use crate::account::Account;
use crate::read::Reader;
use crate::stage::Facts;
use crate::tx::Tx;
use crate::{Result, thread};

/// The most messages in one step.
const STEP_MESSAGES: usize = 500;

/// The most bytes read in one step; one message may be larger.
const STEP_BYTES: u64 = 8 << 20;

/// A message, as far as it is looked at.
struct Row {
    id: i64,
    mailbox: i64,
    received: i64,
    recorded: u64,
    size: u64,
    head_size: u64,
    body: i64,
}

/// What is to be written of a message.
struct Fresh {
    row: Row,
    facts: Option<Facts>,
}

pub(super) fn step(account: &Account, what: Repair, after: i64) -> Result<RepairStep> {
    let reader = account.read()?;
    let rows = rows_after(&reader, after)?;
    let is_last = rows.len() < STEP_MESSAGES;
    let mut step = RepairStep::default();
    let mut fresh = Vec::new();
    let (mut bytes, mut next, mut is_cut) = (0_u64, after, false);
    for row in rows {
        if bytes > STEP_BYTES {
            is_cut = true;
            break;
        }
        next = row.id;
        step.looked += 1;
        match what {
            Repair::Sizes => fresh.push(Fresh { row, facts: None }),
            Repair::ParseBroken if !is_broken(&reader, row.id)? => {}
            Repair::Parse | Repair::ParseBroken | Repair::Threads => {
                let is_head = what == Repair::Threads;
                bytes = bytes.saturating_add(if is_head { row.head_size } else { row.size });
                match facts_of(&reader, &row, what) {
                    Ok(facts) => fresh.push(Fresh { row, facts: Some(facts) }),
                    Err(error) => {
                        tracing::warn!(id = row.id, %error, "message cannot be read");
                        step.unreadable += 1;
                    }
                }
            }
        }
    }
    drop(reader);
    step.next = (!is_last || is_cut).then_some(next);
    step.changed = account.write_repair(move |tx| apply(tx, what, fresh)).wait()?;
    Ok(step)
}

fn rows_after(reader: &Reader, after: i64) -> Result<Vec<Row>> {
    let sql = "SELECT m.id, m.mailbox, m.received, m.size, \
         length(t.prefix) + b.head_size + b.text_size, m.body, b.head_size \
         FROM msg m JOIN meta t ON t.id = m.id JOIN body b ON b.id = m.body \
         WHERE m.id > ?1 ORDER BY m.id LIMIT ?2";
    let mut statement = reader.db()?.prepare_cached(sql)?;
    let rows = statement.query_map(params![after, STEP_MESSAGES], |row| {
        Ok(Row {
            id: row.get(0)?,
            mailbox: row.get(1)?,
            received: row.get(2)?,
            recorded: row.get(3)?,
            size: row.get(4)?,
            body: row.get(5)?,
            head_size: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn is_broken(reader: &Reader, id: i64) -> Result<bool> {
    let sql = "SELECT structure FROM meta WHERE id = ?1";
    let structure: Vec<u8> = reader.db()?.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
    Ok(Message::from_blob(&structure).is_err())
}

/// Reads a message as it was read when it came: without what was added in front.
fn facts_of(reader: &Reader, row: &Row, what: Repair) -> Result<Facts> {
    if what == Repair::Threads {
        // The header says all there is about threads.
        let (_, head) = reader.structure_and_head_of(row.id, row.body)?;
        let mut head = Cursor::new(head);
        return Ok(Facts::of(&mox_mime::analyze(&mut head, &Limits::default())?));
    }
    let mut content = reader.content_of(row.id, row.body)?;
    content.prefix.clear();
    let mut whole = Arc::new(content).seekable();
    Ok(Facts::of(&mox_mime::analyze(&mut whole, &Limits::default())?))
}

/// Writes what changed. Returns of how many messages.
fn apply(tx: &mut Tx<'_>, what: Repair, fresh: Vec<Fresh>) -> Result<u64> {
    let mut changed = 0;
    for Fresh { row, facts } in fresh {
        // Gone or moved since it was read: moving keeps the id.
        let sql = "SELECT mailbox FROM msg WHERE id = ?1";
        let mailbox: Option<i64> =
            tx.db().prepare_cached(sql)?.query_row([row.id], |row| row.get(0)).optional()?;
        let Some(mailbox) = mailbox else { continue };
        let row = Row { mailbox, ..row };
        let is_changed = match (what, facts) {
            (Repair::Sizes, _) => row.recorded != row.size && set_size(tx, &row)?,
            (Repair::Threads, Some(facts)) => set_thread(tx, &row, facts)?,
            (_, Some(facts)) => set_facts(tx, &row, &facts)?,
            (_, None) => false,
        };
        changed += u64::from(is_changed);
    }
    if what == Repair::Sizes && changed > 0 {
        super::recount(tx)?;
    }
    Ok(changed)
}

fn set_size(tx: &mut Tx<'_>, row: &Row) -> Result<bool> {
    let modseq = tx.modseq()?;
    tx.db()
        .prepare_cached("UPDATE msg SET size = ?2, modseq = ?3 WHERE id = ?1")?
        .execute(params![row.id, row.size, modseq.get()])?;
    tx.db()
        .prepare_cached("UPDATE mailbox SET modseq = ?2 WHERE id = ?1")?
        .execute(params![row.mailbox, modseq.get()])?;
    Ok(true)
}

fn set_facts(tx: &Tx<'_>, row: &Row, facts: &Facts) -> Result<bool> {
    let meta = tx
        .db()
        .prepare_cached(
            "UPDATE meta SET message_id = ?2, subject = ?3, is_dsn = ?4, structure = ?5, \
             preview = ?6 WHERE id = ?1 AND (message_id IS NOT ?2 OR subject IS NOT ?3 \
             OR is_dsn IS NOT ?4 OR structure IS NOT ?5 OR preview IS NOT ?6)",
        )?
        .execute(params![
            row.id,
            facts.message_id,
            facts.subject,
            facts.is_dsn,
            facts.structure,
            facts.preview,
        ])?;
    let sent = facts.sent.map(|sent| sent.0);
    let msg = tx
        .db()
        .prepare_cached(
            "UPDATE msg SET sent = ?2, sent_day = ?3 WHERE id = ?1 \
             AND (sent IS NOT ?2 OR sent_day IS NOT ?3)",
        )?
        .execute(params![row.id, sent, facts.sent_day])?;
    Ok(meta + msg > 0)
}

fn set_thread(tx: &Tx<'_>, row: &Row, facts: Facts) -> Result<bool> {
    let sql = "SELECT is_dsn, original_mailbox, thread_bits FROM meta WHERE id = ?1";
    let (is_dsn, mailbox, bits): (bool, i64, u8) = tx
        .db()
        .prepare_cached(sql)?
        .query_row([row.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let facts = Facts { is_dsn, ..facts };
    let received = UnixSeconds(row.received);
    let place = thread::find_place(tx, MsgId(row.id), MailboxId(mailbox), received, &facts)?;
    let bits = place.bits_with(bits);
    let meta = tx
        .db()
        .prepare_cached(
            "UPDATE meta SET thread_bits = ?2, thread_parents = ?3 WHERE id = ?1 \
             AND (thread_bits IS NOT ?2 OR thread_parents IS NOT ?3)",
        )?
        .execute(params![row.id, bits, place.parents_column()])?;
    let msg = tx
        .db()
        .prepare_cached("UPDATE msg SET thread = ?2 WHERE id = ?1 AND thread != ?2")?
        .execute(params![row.id, place.thread.0])?;
    Ok(meta + msg > 0)
}
