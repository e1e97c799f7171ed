//! The search index: which messages a text can be in, and what SORT and THREAD compare.
//!
//! It is made of the bodies, so copies share it, and only after they are committed: bodies up to a
//! mark are in it, those behind are not yet, and are looked at one by one. The index only narrows;
//! the message decides.
//!
//! Invariant: every body up to the mark has its rows, and no other has any.

mod check;
mod fill;
mod grams;

use std::sync::Arc;

use mox_base::MailboxId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::Result;
use crate::read::Reader;
use crate::tx::Tx;

pub(crate) use check::check;
pub(crate) use fill::Batch;
pub(crate) use grams::{Place, expression};

/// The most text of one message that is indexed, in bytes. One with more is looked at in every
/// search for texts.
pub const INDEXED_BYTES_MAX: usize = 1 << 20;

/// What version 2 adds for the index. `gram` has one document per body, the grams of its text;
/// nothing of it can be read back but which documents have a gram.
pub(crate) const TABLES: &str = "
CREATE VIRTUAL TABLE gram USING fts5(
    text, content='', contentless_delete=1, detail=none, tokenize='ascii'
);
CREATE TABLE indexed(id INTEGER PRIMARY KEY CHECK(id = 1), mark INTEGER NOT NULL);
INSERT INTO indexed VALUES (1, 0);
CREATE TABLE partly_indexed(body INTEGER PRIMARY KEY);
CREATE TABLE sort_key(
    body INTEGER PRIMARY KEY,
    subject TEXT NOT NULL,
    \"from\" TEXT NOT NULL,
    \"to\" TEXT NOT NULL,
    cc TEXT NOT NULL,
    display_from TEXT NOT NULL,
    display_to TEXT NOT NULL
);
CREATE TABLE thread_key(
    body INTEGER PRIMARY KEY,
    message_id INTEGER,
    refs BLOB,
    subject INTEGER,
    is_reply INTEGER NOT NULL
);
CREATE INDEX msg_copy ON msg(body) WHERE body != id;
";

/// How much of an account is in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexProgress {
    /// Contents that are in it.
    pub done: u64,
    /// Contents there are.
    pub total: u64,
}

/// Bodies up to this one are in the index.
pub(crate) fn mark(db: &Connection) -> Result<i64> {
    let sql = "SELECT mark FROM indexed";
    Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.unwrap_or_default())
}

pub(crate) fn set_mark(db: &Connection, mark: i64) -> Result<()> {
    db.prepare_cached("UPDATE indexed SET mark = ?1")?.execute([mark])?;
    Ok(())
}

/// Empties the index, so that it is filled anew.
pub(crate) fn clear(tx: &mut Tx<'_>) -> Result<()> {
    let db = tx.db();
    db.execute_batch(
        "INSERT INTO gram(gram) VALUES ('delete-all'); DELETE FROM partly_indexed; \
         DELETE FROM sort_key; DELETE FROM thread_key; UPDATE indexed SET mark = 0;",
    )?;
    tx.shared.index_is_behind();
    Ok(())
}

/// Makes the connection look at the index as it is now. A query does so by itself; SQLite's own
/// check of the database does not, and takes what it remembers for damage.
pub(crate) fn refresh(db: &Connection) -> Result<()> {
    db.prepare_cached("SELECT 1 FROM gram WHERE gram MATCH '\"none\"'")?.exists([])?;
    Ok(())
}

/// Forgets a body that is erased.
pub(crate) fn forget(db: &Connection, body: i64) -> Result<()> {
    if body > mark(db)? {
        return Ok(());
    }
    for sql in [
        "DELETE FROM gram WHERE rowid = ?1",
        "DELETE FROM partly_indexed WHERE body = ?1",
        "DELETE FROM sort_key WHERE body = ?1",
        "DELETE FROM thread_key WHERE body = ?1",
    ] {
        db.prepare_cached(sql)?.execute([body])?;
    }
    Ok(())
}

impl Reader {
    /// How much of the account is in the search index.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn index_progress(&self) -> Result<IndexProgress> {
        let mark = mark(self.db()?)?;
        let sql = "SELECT count(*), count(*) FILTER (WHERE id <= ?1) FROM body";
        let (total, done) = self
            .db()?
            .prepare_cached(sql)?
            .query_row([mark], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(IndexProgress { done, total })
    }

    /// Whether there are contents that are not in the index yet.
    pub(crate) fn index_is_behind(&self) -> Result<bool> {
        let sql = "SELECT EXISTS(SELECT 1 FROM body WHERE id > ?1)";
        Ok(self.db()?.prepare_cached(sql)?.query_row([mark(self.db()?)?], |row| row.get(0))?)
    }

    /// The bodies that can satisfy an expression for the index, ascending: those that the index
    /// names, those it knows in part, and all behind the mark.
    ///
    /// The answer stays true in this transaction and is kept: who searches one mailbox after the other
    /// asks the same each time.
    pub(crate) fn candidates(&self, expression: &str) -> Result<Arc<Candidates>> {
        let mut last = self.last_candidates.borrow_mut();
        match &*last {
            Some((asked, candidates)) if asked == expression => return Ok(Arc::clone(candidates)),
            _ => {}
        }
        let candidates = Arc::new(self.ask_index(expression)?);
        *last = Some((expression.to_owned(), Arc::clone(&candidates)));
        Ok(candidates)
    }

    fn ask_index(&self, expression: &str) -> Result<Candidates> {
        let db = self.db()?;
        let mut bodies = Vec::new();
        for (sql, with) in [
            ("SELECT rowid FROM gram WHERE gram MATCH ?1", params![expression]),
            ("SELECT body FROM partly_indexed", params![]),
        ] {
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query(with)?;
            while let Some(row) = rows.next()? {
                bodies.push(row.get(0)?);
            }
        }
        bodies.sort_unstable();
        bodies.dedup();
        Ok(Candidates { bodies, mark: mark(db)? })
    }

    /// The UIDs in a mailbox of messages with these bodies, ascending, removed ones included.
    pub(crate) fn uids_of(&self, mailbox: MailboxId, candidates: &Candidates) -> Result<Vec<u32>> {
        let db = self.db()?;
        let mut uids = Vec::new();
        let own = "SELECT uid FROM msg WHERE id = ?1 AND mailbox = ?2 AND body = ?1";
        let copies = "SELECT uid FROM msg INDEXED BY msg_copy \
             WHERE body = ?1 AND body != id AND mailbox = ?2";
        for sql in [own, copies] {
            let mut statement = db.prepare_cached(sql)?;
            for body in &candidates.bodies {
                let mut rows = statement.query(params![body, mailbox.0])?;
                while let Some(row) = rows.next()? {
                    uids.push(row.get(0)?);
                }
            }
        }
        let own = "SELECT uid FROM msg WHERE id > ?1 AND mailbox = ?2 AND body > ?1";
        let copies = "SELECT uid FROM msg INDEXED BY msg_copy \
             WHERE body > ?1 AND body != id AND mailbox = ?2";
        for sql in [own, copies] {
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query([candidates.mark, mailbox.0])?;
            while let Some(row) = rows.next()? {
                uids.push(row.get(0)?);
            }
        }
        let sql = "SELECT uid, body FROM tomb WHERE mailbox = ?1";
        let mut statement = db.prepare_cached(sql)?;
        let mut rows = statement.query([mailbox.0])?;
        while let Some(row) = rows.next()? {
            if candidates.contains(row.get(1)?) {
                uids.push(row.get(0)?);
            }
        }
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }
}

/// Bodies in which a text can be.
#[derive(Debug)]
pub(crate) struct Candidates {
    bodies: Vec<i64>,
    mark: i64,
}

impl Candidates {
    /// How many bodies the index names.
    pub(crate) fn len(&self) -> usize {
        self.bodies.len()
    }

    pub(crate) fn contains(&self, body: i64) -> bool {
        body > self.mark || self.bodies.binary_search(&body).is_ok()
    }
}
