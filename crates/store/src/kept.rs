//! What an account remembers of a message besides what mail programs ask for.

use mox_base::{MailboxId, ModSeq, MsgId, ThreadId, Uid};
use rusqlite::{OptionalExtension as _, Row};

use crate::history;
use crate::message::Envelope;
use crate::meta::ReceivedTls;
use crate::read::Reader;
use crate::takeover::KeptThread;
use crate::thread::{self, Place};
use crate::{Result, StoreError};

/// A message, as far as [`Fetched`](crate::Fetched) does not show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The mailbox it is in.
    pub mailbox: MailboxId,
    /// Its UID there.
    pub uid: Uid,
    /// Of its coming into the mailbox.
    pub createseq: ModSeq,
    /// The mailbox it was delivered to, which need not exist any more.
    pub original_mailbox: MailboxId,
    /// Where it would be if it were not put aside.
    pub destined: Option<MailboxId>,
    /// Its Message-ID, canonical.
    pub message_id: Option<String>,
    /// Its base subject. RFC 5256 §2.1.
    pub subject: Option<String>,
    /// Whether it reports about the delivery of another.
    pub is_dsn: bool,
    /// Where it belongs among others.
    pub thread: KeptThread,
    /// What SMTP told. `incoming` has neither a decision nor the name of a mailbox.
    pub envelope: Option<Envelope>,
    /// How many bytes of it the server put in front.
    pub prefix_bytes: u64,
}

const SQL: &str = "SELECT m.mailbox, m.uid, m.createseq, m.thread, t.original_mailbox, \
     t.message_id, t.subject, t.is_dsn, t.thread_bits, t.thread_parents, t.mail_from, t.rcpt_to, \
     t.remote_ip, t.ehlo, length(t.prefix), t.tls_version, t.tls_cipher, t.tls_required \
     FROM msg m JOIN meta t ON t.id = m.id WHERE m.id = ?1";

impl Reader {
    /// What is remembered of a message; `None` if it is not there. Costs three descents into tables.
    ///
    /// # Errors
    ///
    /// If the database cannot be read, or a row is damaged.
    pub fn remembered(&self, id: MsgId) -> Result<Option<Remembered>> {
        let mut statement = self.db()?.prepare_cached(SQL)?;
        let Some(mut found) = statement.query_row([id.0], |row| Ok(read(row))).optional()? else {
            return Ok(None);
        };
        if let Ok(found) = &mut found
            && let Some((incoming, destined)) = history::incoming(self.db()?, id)?
        {
            found.destined = destined;
            found.envelope.get_or_insert_default().incoming = Some(incoming);
        }
        found.map(Some)
    }
}

fn read(row: &Row<'_>) -> Result<Remembered> {
    let parents: Option<String> = row.get(9)?;
    let parents = thread::parse_parents(parents.as_deref()).into_iter().map(MsgId).collect();
    let mail_from: Option<String> = row.get(10)?;
    let text = |column: usize| row.get::<_, Option<String>>(column).map(Option::unwrap_or_default);
    let envelope = match mail_from {
        Some(mail_from) => {
            let (rcpt_to, remote_ip, ehlo) = (text(11)?, text(12)?, text(13)?);
            let (version, cipher, is_required) = (row.get(15)?, row.get(16)?, row.get(17)?);
            let tls = ReceivedTls { version, cipher, is_required };
            Some(Envelope { mail_from, rcpt_to, remote_ip, ehlo, tls, incoming: None })
        }
        None => None,
    };
    Ok(Remembered {
        mailbox: MailboxId(row.get(0)?),
        uid: Uid::new(row.get(1)?).ok_or(StoreError::Damaged { what: "uid" })?,
        createseq: ModSeq::new(row.get(2)?).ok_or(StoreError::Damaged { what: "createseq" })?,
        original_mailbox: MailboxId(row.get(4)?),
        destined: None,
        message_id: row.get(5)?,
        subject: row.get(6)?,
        is_dsn: row.get(7)?,
        thread: Place::shown(ThreadId(row.get(3)?), row.get(8)?, parents),
        envelope,
        prefix_bytes: row.get(14)?,
    })
}
