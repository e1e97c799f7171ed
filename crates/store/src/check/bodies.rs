//! What messages hold: every byte is read and compared with the hash.

use std::io;

use mox_base::{MailboxName, Uid};
use mox_mime::Message;
use rusqlite::{OptionalExtension, params};

use crate::Result;
use crate::content::{Content, Text};
use crate::hash::{self, Hashing};
use crate::mailbox::Mailbox;
use crate::read::Reader;

/// Which bodies are looked at: those whose id leaves this rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// In how many parts everything is divided; 1 for all at once, never 0.
    pub(crate) parts: u32,
    /// The part, below `parts`.
    pub(crate) part: u32,
}

impl Sample {
    pub(crate) const ALL: Self = Self { parts: 1, part: 0 };
}

/// A message with this body, for people.
struct Place {
    mailbox: String,
    uid: u32,
}

/// Reads bodies with ids above `after` until `bytes_max` are read, and tells what is wrong with
/// them. Returns the last one; `None` if there are no more.
pub(crate) fn check_some(
    reader: &Reader,
    after: i64,
    bytes_max: u64,
    sample: Sample,
    tell: &mut dyn FnMut(String),
) -> Result<Option<i64>> {
    let sql =
        "SELECT id, head_size + text_size FROM body WHERE id > ?1 AND id % ?2 = ?3 ORDER BY id";
    let mut statement = reader.db()?.prepare_cached(sql)?;
    let mut rows = statement.query(params![after, sample.parts.max(1), sample.part])?;
    let mut bytes = 0_u64;
    while let Some(row) = rows.next()? {
        let (body, size): (i64, u64) = (row.get(0)?, row.get(1)?);
        if let Some(what) = fault_of(reader, body)? {
            let places = places_of(reader, body)?;
            for Place { mailbox, uid } in &places {
                tell(format!("{mailbox}: uid {uid}: {what}"));
            }
            if places.is_empty() {
                tell(format!("removed message {body}: {what}"));
            }
        }
        bytes = bytes.saturating_add(size);
        if bytes >= bytes_max {
            return Ok(Some(body));
        }
    }
    Ok(None)
}

fn fault_of(reader: &Reader, body: i64) -> Result<Option<String>> {
    // Its prefix is in the row of a message; without any, other rules are broken, or it only waits
    // to be erased.
    let Some(id) = hash::message_of(reader, body)? else { return Ok(None) };
    let content: Content = match reader.content_of(id, body) {
        Ok(content) => content,
        Err(error) => return Ok(Some(format!("cannot be read: {error}"))),
    };
    if matches!(content.text, Text::File(ref path) if !path.is_file()) {
        return Ok(Some("file missing".to_owned()));
    }
    let size = content.size();
    let read = content.reader(0..u64::MAX).and_then(|whole| {
        let mut whole = Hashing::new(&hash::begin(&[]), whole);
        let read = io::copy(&mut whole, &mut io::sink())?;
        Ok((read, whole.finish()))
    });
    Ok(match read {
        Ok((read, _)) if read != size => Some(format!("has {size} bytes, {read} can be read")),
        Ok((_, found)) => match hash::recorded(reader.db()?, body)? {
            Some(recorded) if *recorded != found => {
                Some("content differs from its checksum".to_owned())
            }
            None if !hash::is_missing_rightly(reader.db()?, body)? => {
                Some("checksum missing".to_owned())
            }
            _ => None,
        },
        Err(error) => Some(format!("cannot be read: {}", with_cause(&error))),
    })
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn places_of(reader: &Reader, body: i64) -> Result<Vec<Place>> {
    let db = reader.db()?;
    let mut places = Vec::new();
    let own = "SELECT mailbox, uid FROM msg WHERE id = ?1 AND body = id";
    let copies = "SELECT mailbox, uid FROM msg INDEXED BY msg_copy WHERE body = ?1 AND body != id";
    for sql in [own, copies] {
        let mut statement = db.prepare_cached(sql)?;
        let mut rows = statement.query([body])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let mut name = db.prepare_cached("SELECT name FROM mailbox WHERE id = ?1")?;
            let name: Option<String> = name.query_row([id], |row| row.get(0)).optional()?;
            let mailbox = name.unwrap_or_else(|| format!("mailbox {id}"));
            places.push(Place { mailbox, uid: row.get(1)? });
        }
    }
    Ok(places)
}

/// The rows of a mailbox's messages, against those of their bodies.
pub(crate) fn check_rows(
    reader: &Reader,
    mailbox: &Mailbox,
    sample: Sample,
    tell: &mut dyn FnMut(String),
) -> Result<()> {
    let sql = "SELECT m.uid, m.size, length(t.prefix) + b.head_size + b.text_size, t.structure \
         FROM msg m JOIN meta t ON t.id = m.id JOIN body b ON b.id = m.body \
         WHERE m.mailbox = ?1 AND m.body % ?2 = ?3 ORDER BY m.uid";
    let name: &MailboxName = &mailbox.name;
    let mut statement = reader.db()?.prepare_cached(sql)?;
    let mut rows = statement.query(params![mailbox.id.0, sample.parts.max(1), sample.part])?;
    while let Some(row) = rows.next()? {
        let (uid, recorded, size): (u32, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if Uid::new(uid).is_none() {
            tell(format!("{name}: uid zero"));
        }
        if recorded != size {
            tell(format!("{name}: uid {uid}: size recorded as {recorded}, is {size}"));
        }
        let structure = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        if Message::from_blob(structure).is_err() {
            tell(format!("{name}: uid {uid}: structure cannot be read"));
        }
    }
    Ok(())
}
