//! Annotations: texts and bytes that clients keep with a mailbox or with the account.
//!
//! Source: RFC 5464 §3. Names are kept in lower case, since they are compared without case.

use mox_base::{MailboxId, MailboxName};
use rusqlite::params;

use crate::feed::ChangeKind;
use crate::mailbox::{self, Mailbox};
use crate::read::Reader;
use crate::tx::Tx;
use crate::{Result, StoreError};

/// The most annotations of an account.
pub const ANNOTATIONS_MAX: usize = 1_000;

/// The most bytes, names and values together, of all annotations of an account.
pub const ANNOTATION_BYTES_MAX: usize = 1_000_000;

/// Stands in column `mailbox` for the account itself.
const OF_ACCOUNT: MailboxId = MailboxId(0);

/// An annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: Vec<u8>,
    /// Whether it came as binary, and goes out as such.
    pub is_binary: bool,
}

/// What becomes of an annotation: a value and whether it is binary, or its removal.
pub type AnnotationChange = (String, Option<(Vec<u8>, bool)>);

impl Reader {
    /// The annotations of a mailbox, or of the account itself, sorted by name.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn annotations(&self, mailbox: Option<MailboxId>) -> Result<Vec<Annotation>> {
        let sql = "SELECT name, value, is_binary FROM annotation WHERE mailbox = ?1 ORDER BY name";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([mailbox.unwrap_or(OF_ACCOUNT).0])?;
        let mut annotations = Vec::new();
        while let Some(row) = rows.next()? {
            annotations.push(Annotation {
                name: row.get(0)?,
                value: row.get(1)?,
                is_binary: row.get(2)?,
            });
        }
        Ok(annotations)
    }
}

/// Sets and removes annotations of a mailbox, or of the account itself: all or none. RFC 5464 §4.3.
pub(crate) fn set(
    tx: &mut Tx<'_>,
    name: Option<MailboxName>,
    changes: Vec<AnnotationChange>,
) -> Result<()> {
    let of = match &name {
        Some(name) => Some(mailbox::by_name(tx, name)?.ok_or(StoreError::NoMailbox)?),
        None => None,
    };
    let id = of.as_ref().map_or(OF_ACCOUNT, |mailbox| mailbox.id);
    let mut names = Vec::with_capacity(changes.len());
    for (key, value) in changes {
        let key = key.to_ascii_lowercase();
        match value {
            Some((value, is_binary)) => tx
                .db()
                .prepare_cached("INSERT OR REPLACE INTO annotation VALUES(?1, ?2, ?3, ?4)")?
                .execute(params![id.0, key, value, is_binary])?,
            None => tx
                .db()
                .prepare_cached("DELETE FROM annotation WHERE mailbox = ?1 AND name = ?2")?
                .execute(params![id.0, key])?,
        };
        names.push(key);
    }
    check_limits(tx)?;
    if let Some(mut mailbox) = of {
        mailbox.modseq = tx.modseq()?;
        mailbox::save(tx, &mailbox)?;
    }
    names.sort_unstable();
    names.dedup();
    let mailbox = name.map(|name| (id, name));
    tx.publish(ChangeKind::Annotations { mailbox, names });
    Ok(())
}

fn check_limits(tx: &Tx<'_>) -> Result<()> {
    let (count, bytes): (usize, usize) = tx.db().query_row(
        "SELECT count(*), coalesce(sum(length(name) + length(value)), 0) FROM annotation",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    match () {
        () if count > ANNOTATIONS_MAX => Err(StoreError::TooManyAnnotations),
        () if bytes > ANNOTATION_BYTES_MAX => Err(StoreError::AnnotationsTooLarge),
        () => Ok(()),
    }
}

/// Forgets those of a mailbox that is deleted.
pub(crate) fn forget(tx: &Tx<'_>, mailbox: MailboxId) -> Result<()> {
    tx.db().execute("DELETE FROM annotation WHERE mailbox = ?1", [mailbox.0])?;
    Ok(())
}

/// The Inbox keeps its own when it gives away its messages: the new mailbox gets copies.
pub(crate) fn copy(tx: &Tx<'_>, from: &Mailbox, to: &Mailbox) -> Result<()> {
    tx.db().execute(
        "INSERT INTO annotation SELECT ?2, name, value, is_binary FROM annotation \
         WHERE mailbox = ?1",
        [from.id.0, to.id.0],
    )?;
    check_limits(tx)
}
