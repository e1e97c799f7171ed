//! The SHA-256 of every message: damage shows by it, and messages that are there already.
//!
//! New messages bring it; those of a database that had none get it by and by, in small commits.
//! It stands in a table of its own, because setting a column of `body` would write the body anew.

use std::io::{self, Read};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use mox_base::{MailboxId, Uid};
use rusqlite::{Connection, OptionalExtension, params};

use crate::account::Shared;
use crate::maintain::write_unseen;
use crate::read::Reader;
use crate::{Result, StoreError};

/// The bytes of a [`BodyHash`].
pub const BODY_HASH_BYTES: usize = 32;

/// SHA-256 of a message as it is read: with what was added in front of it at delivery.
pub type BodyHash = [u8; BODY_HASH_BYTES];

/// The most bodies in one commit.
const BATCH_BODIES: usize = 64;

/// The most bytes of messages that are read for one commit; one message may be larger.
const BATCH_BYTES: u64 = 4 << 20;

/// What version 4 adds. `unhashed`: bodies above `mark` and below `until` have no row yet. A `hash`
/// without bytes: the message could not be read when it was its turn.
pub(crate) const TABLES: &str = "
CREATE TABLE body_hash(body INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE INDEX body_by_hash ON body_hash(hash);
CREATE TABLE unhashed(
    id INTEGER PRIMARY KEY CHECK(id = 1),
    mark INTEGER NOT NULL,
    until INTEGER NOT NULL
);
INSERT INTO unhashed SELECT 1, 0, coalesce((SELECT max(id) FROM body), 0) + 1;
";

/// Hashes what is read through it.
pub(crate) struct Hashing<R> {
    inner: R,
    context: Context,
}

impl<R> Hashing<R> {
    /// Goes on from what `context` has seen.
    pub(crate) fn new(context: &Context, inner: R) -> Self {
        Self { inner, context: context.clone() }
    }

    pub(crate) fn finish(self) -> BodyHash {
        finish(self.context)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.context.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

pub(crate) fn begin(prefix: &[u8]) -> Context {
    let mut context = Context::new(&SHA256);
    context.update(prefix);
    context
}

pub(crate) fn finish(context: Context) -> BodyHash {
    let mut hash = [0; BODY_HASH_BYTES];
    for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    hash
}

pub(crate) fn insert(db: &Connection, body: i64, hash: &[u8]) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO body_hash VALUES (?1, ?2)";
    db.prepare_cached(sql)?.execute(params![body, hash])?;
    Ok(())
}

pub(crate) fn forget(db: &Connection, body: i64) -> Result<()> {
    db.prepare_cached("DELETE FROM body_hash WHERE body = ?1")?.execute([body])?;
    Ok(())
}

/// What is recorded of a body. `None` if nothing is, or it could not be read then.
pub(crate) fn recorded(db: &Connection, body: i64) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT hash FROM body_hash WHERE body = ?1 AND length(hash) > 0";
    Ok(db.prepare_cached(sql)?.query_row([body], |row| row.get(0)).optional()?)
}

/// The bodies that have no row yet: those between the two.
pub(crate) fn gap(db: &Connection) -> Result<(i64, i64)> {
    let sql = "SELECT mark, until FROM unhashed";
    Ok(db.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Whether a body may be without a hash: its turn has not come, or it could not be read then.
pub(crate) fn is_missing_rightly(db: &Connection, body: i64) -> Result<bool> {
    let (mark, until) = gap(db)?;
    let sql = "SELECT 1 FROM body_hash WHERE body = ?1";
    Ok((mark < body && body < until) || db.prepare_cached(sql)?.exists([body])?)
}

/// A message of this mailbox with this hash, the first that is found. A few looks into indexes.
pub(crate) fn in_mailbox(
    db: &Connection,
    mailbox: MailboxId,
    hash: &BodyHash,
) -> Result<Option<Uid>> {
    // A body has the id of the message it came with; copies are found by an index of theirs.
    let own = "SELECT m.uid FROM body_hash h JOIN msg m ON m.id = h.body \
         WHERE h.hash = ?1 AND m.mailbox = ?2 AND m.body = m.id LIMIT 1";
    let copies = "SELECT m.uid FROM body_hash h JOIN msg m INDEXED BY msg_copy ON m.body = h.body \
         WHERE m.body != m.id AND h.hash = ?1 AND m.mailbox = ?2 LIMIT 1";
    for sql in [own, copies] {
        let found: Option<u32> = db
            .prepare_cached(sql)?
            .query_row(params![hash, mailbox.0], |row| row.get(0))
            .optional()?;
        if let Some(uid) = found.and_then(Uid::new) {
            return Ok(Some(uid));
        }
    }
    Ok(None)
}

/// Hashes some of the bodies that have no hash. Returns whether there may be more.
pub(crate) fn step(shared: &Arc<Shared>) -> Result<bool> {
    if !shared.may_index() || !shared.take_hashes_behind() {
        return Ok(false);
    }
    let batch = Batch::read(&Reader::begin(Arc::clone(shared))?)?;
    let Some(batch) = batch else { return Ok(false) };
    write_unseen(shared, |db| batch.insert(db))?;
    shared.hashes_are_behind();
    Ok(true)
}

/// Hashes of the bodies behind the mark.
struct Batch {
    hashes: Vec<(i64, Vec<u8>)>,
    mark: i64,
}

impl Batch {
    /// `None` if there is nothing to be done.
    fn read(reader: &Reader) -> Result<Option<Self>> {
        let db = reader.db()?;
        let (mark, until) = gap(db)?;
        let sql = "SELECT id, head_size + text_size FROM body WHERE id > ?1 AND id < ?2 \
             ORDER BY id LIMIT ?3";
        let bodies = db
            .prepare_cached(sql)?
            .query_map(params![mark, until, BATCH_BODIES], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(i64, u64)>>>()?;
        if bodies.is_empty() {
            // What comes later brings its hash.
            return Ok((mark + 1 < until).then_some(Self { hashes: Vec::new(), mark: until - 1 }));
        }
        let mut batch = Self { hashes: Vec::with_capacity(bodies.len()), mark };
        let mut bytes = 0_u64;
        for (body, size) in bodies {
            bytes = bytes.saturating_add(size);
            if bytes > BATCH_BYTES && batch.mark > mark {
                break;
            }
            batch.mark = body;
            if let Some(hash) = hash_of(reader, body)? {
                batch.hashes.push((body, hash));
            }
        }
        Ok(Some(batch))
    }

    fn insert(&self, db: &Connection) -> Result<()> {
        let mut exists = db.prepare_cached("SELECT 1 FROM body WHERE id = ?1")?;
        for (body, hash) in &self.hashes {
            if exists.exists([body])? {
                insert(db, *body, hash)?;
            }
        }
        db.prepare_cached("UPDATE unhashed SET mark = ?1")?.execute([self.mark])?;
        Ok(())
    }
}

/// The hash of a body as it is on disk; without bytes if it cannot be read. `None` if it only waits
/// to be erased.
///
/// # Errors
///
/// If the disk fails: the next try may do better.
fn hash_of(reader: &Reader, body: i64) -> Result<Option<Vec<u8>>> {
    let Some(id) = message_of(reader, body)? else { return Ok(None) };
    let read = || -> Result<BodyHash> {
        let mut whole =
            Hashing::new(&begin(&[]), reader.content_of(id, body)?.reader(0..u64::MAX)?);
        io::copy(&mut whole, &mut io::sink())?;
        Ok(whole.finish())
    };
    match read() {
        Ok(hash) => Ok(Some(hash.to_vec())),
        Err(error) if is_damage(&error) => {
            tracing::error!(account = reader.account_name(), body, %error, "message is damaged");
            Ok(Some(Vec::new()))
        }
        Err(error) => Err(error),
    }
}

/// EIO: a disk that cannot read a sector.
const BAD_SECTOR: i32 = 5;

/// Whether the same bytes will never be read better.
pub(crate) fn is_damage(error: &StoreError) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, Other, UnexpectedEof};
    match error {
        StoreError::Damaged { .. } | StoreError::NoMessage => true,
        // The decompressor's own errors are of the kind Other.
        StoreError::Io(error) => {
            matches!(error.kind(), InvalidData | NotFound | Other | UnexpectedEof)
                || error.raw_os_error() == Some(BAD_SECTOR)
        }
        StoreError::Database(error) => {
            error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
        }
        _ => false,
    }
}

/// A message with this body, be it one that waits to be erased.
pub(crate) fn message_of(reader: &Reader, body: i64) -> Result<Option<i64>> {
    let sql = "SELECT id FROM meta WHERE id = ?1 UNION ALL \
         SELECT id FROM msg INDEXED BY msg_copy WHERE body = ?1 AND body != id LIMIT 1";
    Ok(reader.db()?.prepare_cached(sql)?.query_row([body], |row| row.get(0)).optional()?)
}

impl Reader {
    /// Whether there are messages whose hash is not known yet.
    pub(crate) fn hashes_are_behind(&self) -> Result<bool> {
        let (mark, until) = gap(self.db()?)?;
        Ok(mark + 1 < until)
    }

    /// A message of the mailbox whose content, with what was added at delivery, has this hash.
    ///
    /// Messages from before version 4 of the tables are found once maintenance has been at them.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn find_hash(&self, mailbox: MailboxId, hash: &BodyHash) -> Result<Option<Uid>> {
        in_mailbox(self.db()?, mailbox, hash)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[track_caller]
    fn check(error: &StoreError, want: bool) {
        assert_eq!(is_damage(error), want, "{error:?}");
    }

    /// Damage is told and gone past; what may pass is waited for.
    #[test]
    fn damage_is_told_from_what_may_pass() {
        let sqlite = |code: i32| {
            let code = rusqlite::ffi::Error::new(code);
            StoreError::Database(Arc::new(rusqlite::Error::SqliteFailure(code, None)))
        };
        check(&StoreError::Damaged { what: "uid" }, true);
        let io = |error: io::Error| StoreError::Io(Arc::new(error));
        check(&io(io::Error::from_raw_os_error(BAD_SECTOR)), true);
        check(&io(io::ErrorKind::UnexpectedEof.into()), true);
        check(&sqlite(rusqlite::ffi::SQLITE_CORRUPT), true);
        check(&sqlite(rusqlite::ffi::SQLITE_CORRUPT_VTAB), true);
        check(&sqlite(rusqlite::ffi::SQLITE_BUSY), false);
        check(&sqlite(rusqlite::ffi::SQLITE_FULL), false);
        check(&io(io::ErrorKind::PermissionDenied.into()), false);
        check(&StoreError::Poisoned, false);
    }
}
