//! Reading an account: everything read on one [`Reader`] is of the same moment.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use mox_base::{
    EmailId, Flags, Keyword, MailboxId, MailboxName, ModSeq, MsgId, ThreadId, Uid, UnixSeconds,
    ZonedTime,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::account::Shared;
use crate::content::{Content, Text};
use crate::index::Candidates;
use crate::mailbox::{Mailbox, parse_keywords};
use crate::row::{MessageRow, received};
use crate::tx::State;
use crate::{Result, StoreError};
use mox_base::NumSet;

/// UIDs this near to each other are read by one scan rather than one by one.
const SCAN_GAP_MAX: u32 = 16;

/// A read transaction. Short-lived: it keeps the log from being emptied.
pub struct Reader {
    shared: Arc<Shared>,
    /// Present until dropped.
    db: Option<Connection>,
    state: State,
    /// What the index was asked last, and its answer.
    pub(crate) last_candidates: RefCell<Option<(String, Arc<Candidates>)>>,
}

/// Which columns a fetch reads beside the hot row. Each costs a little more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The envelope and the parts, for [`mox_mime::MessageRef`].
    pub structure: bool,
    /// The preview.
    pub preview: bool,
    /// The header section.
    pub head: bool,
}

/// A message under fetch; borrows from the database's page.
#[derive(Debug)]
pub struct Fetched<'a> {
    /// Its id.
    pub id: MsgId,
    /// Its UID.
    pub uid: Uid,
    /// Of its last change.
    pub modseq: ModSeq,
    /// Its flags.
    pub flags: Flags,
    /// Its keywords, sorted, separated by spaces.
    pub keywords: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// INTERNALDATE.
    pub received: ZonedTime,
    /// SAVEDATE.
    pub saved: UnixSeconds,
    /// The day of the Date header as written; days since 1970-01-01.
    pub sent_day: Option<i64>,
    /// The same for all copies. RFC 8474 §5.1.
    pub email_id: EmailId,
    /// Its thread.
    pub thread: ThreadId,
    /// Removed by another session since; shown one last time.
    pub is_expunged: bool,
    /// For [`mox_mime::MessageRef`]; its offsets do not count the prefix. Empty unless asked for.
    pub structure: &'a [u8],
    /// Empty unless asked for.
    pub preview: &'a str,
    /// With the prefix, up to and with the empty line; empty unless asked for.
    pub head: &'a [u8],
}

impl Fetched<'_> {
    /// The keywords as values.
    #[must_use]
    pub fn keyword_list(&self) -> Vec<Keyword> {
        parse_keywords(self.keywords)
    }
}

/// What changed in a mailbox. RFC 7162 §3.2.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    /// Messages that are new or have other flags, ascending by UID.
    pub rows: Vec<MessageRow>,
    /// UIDs that are gone, ascending.
    pub vanished: Vec<Uid>,
}

impl Reader {
    pub(crate) fn begin(shared: Arc<Shared>) -> Result<Self> {
        let db = shared.take_reader()?;
        db.prepare_cached("BEGIN")?.execute([])?;
        // The first read fixes the moment.
        let state = State::load(&db)?;
        Ok(Self { shared, db: Some(db), state, last_candidates: RefCell::default() })
    }

    pub(crate) fn db(&self) -> Result<&Connection> {
        self.db.as_ref().ok_or(StoreError::Poisoned)
    }

    /// All changes up to this one are seen, and no later one.
    #[must_use]
    pub fn modseq(&self) -> ModSeq {
        self.state.modseq
    }

    pub(crate) fn account_name(&self) -> &str {
        &self.shared.name
    }

    /// Bytes that count towards the quota.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state.used_bytes
    }

    /// All mailboxes, sorted by name.
    ///
    /// # Errors
    ///
    /// If the database cannot be read; so for all that follow.
    pub fn mailboxes(&self) -> Result<Vec<Mailbox>> {
        let sql = format!("SELECT {} FROM mailbox ORDER BY name", Mailbox::COLUMNS);
        let mut statement = self.db()?.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        let mut mailboxes = Vec::new();
        while let Some(row) = rows.next()? {
            mailboxes.push(Mailbox::from_row(row)?);
        }
        Ok(mailboxes)
    }

    /// The mailbox of this name.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoMailbox`] if there is none.
    pub fn mailbox(&self, name: &MailboxName) -> Result<Mailbox> {
        let sql = format!("SELECT {} FROM mailbox WHERE name = ?1", Mailbox::COLUMNS);
        let mut statement = self.db()?.prepare_cached(&sql)?;
        let mut rows = statement.query([name.as_str()])?;
        rows.next()?.map(Mailbox::from_row).transpose()?.ok_or(StoreError::NoMailbox)
    }

    /// The mailbox with this id.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoMailbox`] if there is none any more.
    pub fn mailbox_by_id(&self, id: MailboxId) -> Result<Mailbox> {
        let sql = format!("SELECT {} FROM mailbox WHERE id = ?1", Mailbox::COLUMNS);
        let mut statement = self.db()?.prepare_cached(&sql)?;
        let mut rows = statement.query([id.0])?;
        rows.next()?.map(Mailbox::from_row).transpose()?.ok_or(StoreError::NoMailbox)
    }

    /// The names subscribed to, sorted.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn subscriptions(&self) -> Result<Vec<MailboxName>> {
        let mut statement =
            self.db()?.prepare_cached("SELECT name FROM subscription ORDER BY name")?;
        let mut rows = statement.query([])?;
        let mut names = Vec::new();
        while let Some(row) = rows.next()? {
            let name = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            names.extend(MailboxName::parse(name).ok());
        }
        Ok(names)
    }

    /// The UIDs of all messages of a mailbox, ascending. Walks index `msg_uid` alone.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn uids(&self, mailbox: MailboxId) -> Result<Vec<u32>> {
        let sql = "SELECT uid FROM msg WHERE mailbox = ?1 ORDER BY uid";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([mailbox.0])?;
        let mut uids = Vec::new();
        while let Some(row) = rows.next()? {
            uids.push(row.get(0)?);
        }
        Ok(uids)
    }

    /// The first message without `\Seen`. One look into index `msg_unseen`.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn first_unseen(&self, mailbox: MailboxId) -> Result<Option<Uid>> {
        let sql = "SELECT uid FROM msg INDEXED BY msg_unseen \
             WHERE mailbox = ?1 AND flags & 1 = 0 ORDER BY uid LIMIT 1";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let uid: Option<u32> = statement.query_row([mailbox.0], |row| row.get(0)).optional()?;
        Ok(uid.and_then(Uid::new))
    }

    /// Visits messages in the order of `uids`, which must ascend. UIDs that never were or are
    /// erased are passed over; those removed but still readable are visited too.
    ///
    /// Costs one scan per run of near UIDs. The visitor may stop it.
    ///
    /// # Errors
    ///
    /// If the database cannot be read, or a row is damaged.
    pub fn fetch(
        &self,
        mailbox: MailboxId,
        uids: &[u32],
        columns: Columns,
        visit: &mut dyn FnMut(&Fetched<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut live = self.db()?.prepare_cached(&columns.sql("msg"))?;
        let near = |a: &u32, b: &u32| b.wrapping_sub(*a) <= SCAN_GAP_MAX;
        for run in uids.chunk_by(near) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let mut wanted = run.iter().copied().peekable();
            let mut rows = live.query(params![mailbox.0, first, last])?;
            while let Some(row) = rows.next()? {
                let uid: u32 = row.get(1)?;
                while let Some(missing) = wanted.next_if(|wanted| *wanted < uid) {
                    if self.fetch_removed(mailbox, missing, columns, visit)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                let is_wanted = wanted.next_if_eq(&uid).is_some();
                if is_wanted && columns.visit(row, false, visit)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            for missing in wanted {
                if self.fetch_removed(mailbox, missing, columns, visit)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn fetch_removed(
        &self,
        mailbox: MailboxId,
        uid: u32,
        columns: Columns,
        visit: &mut dyn FnMut(&Fetched<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut removed = self.db()?.prepare_cached(&columns.sql("tomb"))?;
        let mut rows = removed.query(params![mailbox.0, uid, uid])?;
        match rows.next()? {
            Some(row) => columns.visit(row, true, visit),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    /// The content of a message, by the id that [`Reader::fetch`] gave in this transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoMessage`] if it is erased.
    pub fn content(&self, mailbox: MailboxId, uid: Uid) -> Result<Content> {
        for sql in [
            "SELECT id, body FROM msg WHERE mailbox = ?1 AND uid = ?2",
            "SELECT id, body FROM tomb WHERE mailbox = ?1 AND uid = ?2",
        ] {
            let mut statement = self.db()?.prepare_cached(sql)?;
            let found = statement
                .query_row(params![mailbox.0, uid.get()], |row| Ok((row.get(0)?, row.get(1)?)));
            if let Some((id, body)) = found.optional()? {
                return self.content_of(id, body);
            }
        }
        Err(StoreError::NoMessage)
    }

    /// The content of a message, by its id and that of its body.
    pub(crate) fn content_of(&self, id: i64, body: i64) -> Result<Content> {
        let sql = "SELECT b.codec, b.head_size, b.text_size, b.head, b.text, b.file, t.prefix, \
             t.structure FROM meta t, body b WHERE t.id = ?1 AND b.id = ?2";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let found = statement.query_row(params![id, body], |row| {
            let file: Option<String> = row.get(5)?;
            let text = match file {
                Some(file) => Text::File(self.shared.blob_dir().join(file)),
                None => Text::Inline(row.get(4)?),
            };
            Ok(Content {
                codec: row.get(0)?,
                head_size: row.get(1)?,
                text_size: row.get(2)?,
                head: row.get(3)?,
                text,
                prefix: row.get(6)?,
                structure: row.get(7)?,
            })
        });
        found.optional()?.ok_or(StoreError::NoMessage)
    }

    /// The header section of a message with its prefix.
    pub(crate) fn head_of(&self, id: i64, body: i64) -> Result<Vec<u8>> {
        let sql = "SELECT t.prefix, b.codec, b.head_size, b.head FROM meta t, body b \
             WHERE t.id = ?1 AND b.id = ?2";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([id, body])?;
        let row = rows.next()?.ok_or(StoreError::NoMessage)?;
        let mut head: Vec<u8> = row.get(0)?;
        add_head(&mut head, row, 1)?;
        Ok(head)
    }

    /// The structure of a message, and its header section without the prefix.
    pub(crate) fn structure_and_head_of(&self, id: i64, body: i64) -> Result<(Vec<u8>, Vec<u8>)> {
        let sql = "SELECT t.structure, b.codec, b.head_size, b.head FROM meta t, body b \
             WHERE t.id = ?1 AND b.id = ?2";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([id, body])?;
        let row = rows.next()?.ok_or(StoreError::NoMessage)?;
        let mut head = Vec::new();
        add_head(&mut head, row, 1)?;
        Ok((row.get(0)?, head))
    }

    /// What changed after `since`, of the messages in `uids`. Walks index `msg_modseq` and table
    /// `gone`: the cost grows with the changes, not with the mailbox.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn changed_since(
        &self,
        mailbox: MailboxId,
        since: ModSeq,
        uids: &NumSet,
    ) -> Result<Changed> {
        let mut changed = Changed::default();
        let sql = format!(
            "SELECT {} FROM msg INDEXED BY msg_modseq WHERE mailbox = ?1 AND modseq > ?2",
            MessageRow::COLUMNS
        );
        let mut statement = self.db()?.prepare_cached(&sql)?;
        let mut rows = statement.query(params![mailbox.0, since.get()])?;
        while let Some(row) = rows.next()? {
            let row = MessageRow::from_row(row)?;
            if uids.contains(row.uid) {
                changed.rows.push(row);
            }
        }
        let sql = "SELECT uid FROM gone WHERE mailbox = ?1 AND modseq > ?2";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query(params![mailbox.0, since.get()])?;
        while let Some(row) = rows.next()? {
            let uid = Uid::new(row.get(0)?).ok_or(StoreError::Damaged { what: "uid" })?;
            if uids.contains(uid) {
                changed.vanished.push(uid);
            }
        }
        changed.rows.sort_unstable_by_key(|row| row.uid);
        changed.vanished.sort_unstable();
        Ok(changed)
    }

    /// The modseq at which a UID went from the mailbox, if it did.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn gone_at(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<ModSeq>> {
        let sql = "SELECT modseq FROM gone WHERE mailbox = ?1 AND uid = ?2 LIMIT 1";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let modseq: Option<u64> =
            statement.query_row(params![mailbox.0, uid.get()], |row| row.get(0)).optional()?;
        Ok(modseq.and_then(ModSeq::new))
    }

    /// Whether a message removed up to this modseq is not erased yet.
    pub(crate) fn has_tombs(&self, removed: ModSeq) -> Result<bool> {
        let sql = "SELECT EXISTS(SELECT 1 FROM tomb WHERE removed <= ?1)";
        Ok(self.db()?.prepare_cached(sql)?.query_row([removed.get()], |row| row.get(0))?)
    }

    /// Whether there is a message with this Message-ID, without angle brackets, in any mailbox.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn has_message_id(&self, message_id: &str) -> Result<bool> {
        const SQL: &str = "SELECT 1 FROM meta t JOIN msg m ON m.id = t.id WHERE t.message_id = ?1";
        let id = message_id.to_lowercase();
        Ok(self.db()?.prepare_cached(SQL)?.exists([id])?)
    }

    /// The MAIL FROM of a message that came by SMTP, empty for a bounce.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn mail_from(&self, id: MsgId) -> Result<Option<String>> {
        const SQL: &str = "SELECT mail_from FROM meta WHERE id = ?1";
        let mut statement = self.db()?.prepare_cached(SQL)?;
        let found: Option<Option<String>> =
            statement.query_row([id.0], |row| row.get(0)).optional()?;
        Ok(found.flatten())
    }

    /// A secret stored by [`crate::Account::set_secret`].
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn secret(&self, kind: &str) -> Result<Option<Vec<u8>>> {
        crate::secret::find(self.db()?, kind)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(db) = self.db.take()
            && db.prepare_cached("ROLLBACK").and_then(|mut end| end.execute([])).is_ok()
        {
            self.shared.return_reader(db);
        }
    }
}

impl Columns {
    fn sql(self, table: &str) -> String {
        let column = |wanted: bool, name: &'static str| if wanted { name } else { "NULL" };
        let meta = self.structure || self.preview || self.head;
        let join_meta = if meta { "JOIN meta t ON t.id = m.id" } else { "" };
        let join_body = if self.head { "JOIN body b ON b.id = m.body" } else { "" };
        format!(
            "SELECT m.id, m.uid, m.modseq, m.flags, m.keywords, m.size, m.received, m.saved, \
             m.sent_day, {}, {}, {}, {}, {}, {}, m.body, m.thread, m.zone FROM {table} m {join_meta} {join_body} \
             WHERE m.mailbox = ?1 AND m.uid BETWEEN ?2 AND ?3 ORDER BY m.uid",
            column(self.structure, "t.structure"),
            column(self.preview, "t.preview"),
            column(self.head, "t.prefix"),
            column(self.head, "b.codec"),
            column(self.head, "b.head_size"),
            column(self.head, "b.head"),
        )
    }

    fn visit(
        self,
        row: &Row<'_>,
        is_expunged: bool,
        visit: &mut dyn FnMut(&Fetched<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let damaged = |what| StoreError::Damaged { what };
        let text = |column| -> Result<&str> {
            let value = row.get_ref(column)?.as_str_or_null().map_err(|_| damaged("text"))?;
            Ok(value.unwrap_or_default())
        };
        let blob = |column| -> Result<&[u8]> {
            let value = row.get_ref(column)?.as_blob_or_null().map_err(|_| damaged("blob"))?;
            Ok(value.unwrap_or_default())
        };
        let head = if self.head { self.head(row)? } else { Vec::new() };
        Ok(visit(&Fetched {
            id: MsgId(row.get(0)?),
            uid: Uid::new(row.get(1)?).ok_or_else(|| damaged("uid"))?,
            modseq: ModSeq::new(row.get(2)?).ok_or_else(|| damaged("modseq"))?,
            flags: Flags::from_bits(row.get(3)?),
            keywords: text(4)?,
            size: row.get(5)?,
            received: received(row, 6, 17)?,
            saved: UnixSeconds(row.get(7)?),
            sent_day: row.get(8)?,
            email_id: EmailId(row.get(15)?),
            thread: ThreadId(row.get(16)?),
            is_expunged,
            structure: blob(9)?,
            preview: text(10)?,
            head: &head,
        }))
    }

    fn head(self, row: &Row<'_>) -> Result<Vec<u8>> {
        let damaged = |_| StoreError::Damaged { what: "head" };
        let mut head = row.get_ref(11)?.as_blob().map_err(damaged)?.to_vec();
        add_head(&mut head, row, 12)?;
        Ok(head)
    }
}

/// Adds the header section of a row: from column `at` on the codec, the size and the bytes.
fn add_head(head: &mut Vec<u8>, row: &Row<'_>, at: usize) -> Result<()> {
    let damaged = |_| StoreError::Damaged { what: "head" };
    let codec: u8 = row.get(at)?;
    let stored = row.get_ref(at + 2)?.as_blob().map_err(damaged)?;
    if codec & crate::content::HEAD_ZSTD == 0 {
        head.extend_from_slice(stored);
    } else {
        head.extend_from_slice(&crate::content::decompress(stored, row.get(at + 1)?)?);
    }
    Ok(())
}
