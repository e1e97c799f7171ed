//! What is noted of a message besides what listings ask for: the row in table `meta`.

use mox_base::{MailboxId, MsgId, UnixSeconds};
use rusqlite::{Connection, params};

use crate::Result;
use crate::message::Envelope;
use crate::stage::Staged;
use crate::thread::Place;

/// How well a message was protected on its way from the client that handed it to the server.
///
/// By default nothing is known: the message did not come by SMTP, or before this was noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceivedTls {
    /// The version of TLS as it stands in the protocol, such as 0x0304 for TLS 1.3 (RFC 8446 §4.2.1);
    /// 0 if it is not known, [`ReceivedTls::PLAIN`] without TLS.
    pub version: u16,
    /// The number that IANA has given the cipher suite, such as 0x1301 for `TLS_AES_128_GCM_SHA256`
    /// (RFC 8446 §B.4); 0 if it is not known or there is none.
    pub cipher: u16,
    /// Whether the sender wanted the message to travel by TLS only. RFC 8689 §2.
    pub is_required: bool,
}

impl ReceivedTls {
    /// The version of a message that came in plain text. No TLS has this number.
    pub const PLAIN: u16 = 1;
}

/// A row to be.
pub(crate) struct Meta<'a> {
    pub(crate) id: MsgId,
    pub(crate) original_mailbox: MailboxId,
    pub(crate) received: UnixSeconds,
    pub(crate) place: &'a Place,
    pub(crate) envelope: Option<&'a Envelope>,
    pub(crate) content: &'a Staged,
    /// What clients are shown, if it is not what the content begins with.
    pub(crate) preview: Option<&'a str>,
}

impl Meta<'_> {
    pub(crate) fn insert(&self, db: &Connection) -> Result<()> {
        let (facts, envelope) = (&self.content.facts, self.envelope);
        let tls = envelope.map(|envelope| envelope.tls).unwrap_or_default();
        let mut insert = db.prepare_cached(
            "INSERT INTO meta VALUES \
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        )?;
        insert.execute(params![
            self.id.0,
            self.original_mailbox.0,
            self.received.0,
            facts.message_id,
            facts.subject,
            self.place.bits,
            self.place.parents_column(),
            facts.is_dsn,
            envelope.map(|e| &e.mail_from),
            envelope.map(|e| &e.rcpt_to),
            envelope.map(|e| &e.remote_ip),
            envelope.map(|e| &e.ehlo),
            self.content.prefix,
            facts.structure,
            self.preview.unwrap_or(&facts.preview),
            tls.version,
            tls.cipher,
            tls.is_required,
        ])?;
        Ok(())
    }
}
