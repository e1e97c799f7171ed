//! Filling the index, a few bodies at a time.

use std::ops::ControlFlow;
use std::sync::Arc;

use mox_mime::{HEADER_BYTES_MAX, HEADER_FIELDS_MAX, SearchText, text_for_search};
use rusqlite::{Connection, OptionalExtension, params};

use super::grams::{Grams, Place};
use super::{INDEXED_BYTES_MAX, mark, set_mark};
use crate::content::Content;
use crate::keys::{SortValues, ThreadKeys, keys_of};
use crate::read::Reader;
use crate::{Result, StoreError};

/// The most bodies in one commit: writes wait no longer than that takes.
const BATCH_BODIES: usize = 48;

/// The most bytes of messages in one commit; one message may be larger.
const BATCH_BYTES: u64 = 384 << 10;

/// What the index is to hold of a body.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) body: i64,
    /// For table `gram`.
    pub(super) grams: String,
    pub(super) is_partial: bool,
    pub(super) sort: SortValues,
    pub(super) threads: ThreadKeys,
}

/// The bodies behind the mark that come next.
#[derive(Debug)]
pub(crate) struct Batch {
    after: i64,
    prepared: Vec<Prepared>,
}

impl Batch {
    /// Reads the next bodies behind the mark. Empty if there are none.
    pub(crate) fn read(reader: &Reader) -> Result<Self> {
        let db = reader.db()?;
        let after = mark(db)?;
        let sql = "SELECT id, head_size + text_size FROM body WHERE id > ?1 ORDER BY id LIMIT ?2";
        let bodies = db
            .prepare_cached(sql)?
            .query_map(params![after, BATCH_BODIES], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(i64, u64)>>>()?;
        let mut batch = Self { after, prepared: Vec::with_capacity(bodies.len()) };
        let mut bytes = 0;
        for (body, size) in bodies {
            bytes += size;
            if bytes > BATCH_BYTES && !batch.prepared.is_empty() {
                break;
            }
            batch.prepared.push(prepare_body(reader, body));
        }
        Ok(batch)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.prepared.is_empty()
    }

    /// Adds the rows, in a transaction. Nothing if the index was emptied meanwhile.
    pub(crate) fn insert(self, db: &Connection) -> Result<()> {
        if mark(db)? != self.after {
            return Ok(());
        }
        let Some(last) = self.prepared.last().map(|prepared| prepared.body) else {
            return Ok(());
        };
        let mut exists = db.prepare_cached("SELECT 1 FROM body WHERE id = ?1")?;
        for prepared in self.prepared {
            if exists.exists([prepared.body])? {
                insert(db, &prepared)?;
            }
        }
        set_mark(db, last)
    }
}

fn insert(db: &Connection, prepared: &Prepared) -> Result<()> {
    let Prepared { body, grams, is_partial, sort, threads } = prepared;
    db.prepare_cached("INSERT INTO gram(rowid, text) VALUES (?1, ?2)")?
        .execute(params![body, grams])?;
    if *is_partial {
        db.prepare_cached("INSERT INTO partly_indexed VALUES (?1)")?.execute([body])?;
    }
    db.prepare_cached("INSERT INTO sort_key VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(
        params![
            body,
            sort.subject,
            sort.from,
            sort.to,
            sort.cc,
            sort.display_from,
            sort.display_to,
        ],
    )?;
    db.prepare_cached("INSERT INTO thread_key VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        body,
        threads.id.map(u64::cast_signed),
        threads.refs(),
        threads.subject.map(u64::cast_signed),
        threads.is_reply,
    ])?;
    Ok(())
}

/// Works out what the index is to hold of a body.
///
/// One that cannot be read is indexed as if it were too large, so that it does not keep those
/// behind it out: a search looks at it, and fails.
pub(super) fn prepare_body(reader: &Reader, body: i64) -> Prepared {
    read_body(reader, body).and_then(|content| prepare(body, content)).unwrap_or_else(|error| {
        tracing::warn!(body, %error, "message cannot be indexed");
        Prepared { body, is_partial: true, ..Prepared::default() }
    })
}

/// Reads a body by way of any message that has it.
fn read_body(reader: &Reader, body: i64) -> Result<Content> {
    let db = reader.db()?;
    for sql in [
        "SELECT id FROM meta WHERE id = ?1",
        "SELECT id FROM msg INDEXED BY msg_copy WHERE body = ?1 AND body != id LIMIT 1",
        "SELECT id FROM tomb WHERE body = ?1 AND erase LIMIT 1",
    ] {
        let id: Option<i64> =
            db.prepare_cached(sql)?.query_row([body], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            return reader.content_of(id, body);
        }
    }
    Err(StoreError::Damaged { what: "body without message" })
}

fn prepare(body: i64, content: Content) -> Result<Prepared> {
    let head = content.head()?;
    let own = head.get(content.prefix.len()..).unwrap_or_default();
    let (sort, threads) = keys_of(&content.structure, own)?;
    let mut grams = Grams::default();
    let mut fields = 0;
    let mut is_partial = head.len() >= HEADER_BYTES_MAX;
    let message = content.message()?;
    let content = Arc::new(content);
    let mut visit = |piece: SearchText<'_>| {
        match piece {
            SearchText::Field { depth, name, value } => {
                fields += usize::from(depth == 0);
                let place = if depth == 0 { Place::of_field(name) } else { Place::Body };
                grams.end(Place::Body);
                grams.push(place, name);
                grams.end(place);
                grams.push(place, value);
                grams.end(place);
            }
            SearchText::Body(piece) => grams.push(Place::Body, piece),
            SearchText::PartEnd => grams.end(Place::Body),
        }
        if grams.bytes > INDEXED_BYTES_MAX {
            is_partial = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let read = text_for_search(&mut content.seekable(), &message, &mut visit);
    let is_partial = is_partial || fields >= HEADER_FIELDS_MAX || read.is_err();
    grams.end(Place::Body);
    Ok(Prepared { body, grams: grams.take_text(), is_partial, sort, threads })
}
