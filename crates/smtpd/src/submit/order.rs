//! What is to be queued, and putting it there.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use mox_base::{Address, UnixSeconds};
use mox_config::Config;
use mox_queue::{
    MessageId, NewMessage, NewRecipient, Pending, Queue, QueueError, Release, SendingLimits,
};
use mox_signing::SigningKeys;
use mox_smtp::Ret;

use super::sign::Signatory;
use crate::header;
use crate::spool::Spool;

/// A message that was checked, with all that is to be done about it.
pub(super) struct Order {
    pub(super) cid: u64,
    pub(super) spool: Spool,
    /// Of the header as it came, with its empty line.
    pub(super) header_bytes: u64,
    /// The header as it leaves, but for what is put before it.
    pub(super) header: Vec<u8>,
    pub(super) prefix: Prefix,
    pub(super) author: Address,
    pub(super) config: Arc<Config>,
    pub(super) now: UnixSeconds,
    pub(super) terms: Terms,
}

/// What is put before the header. RFC 5321 §4.4, RFC 8601 §5: what the last server says is above all.
pub(super) struct Prefix {
    /// `Received`.
    pub(super) received: String,
    /// Fields that the message lacked. They are signed with the others.
    pub(super) added: String,
    /// `Authentication-Results`.
    pub(super) results: String,
}

/// How the message is to be sent.
pub(super) struct Terms {
    pub(super) account: String,
    pub(super) recipients: Vec<NewRecipient>,
    pub(super) has_8bit: bool,
    pub(super) is_binary: bool,
    pub(super) needs_utf8: bool,
    pub(super) require_tls: Option<bool>,
    pub(super) ret: Option<Ret>,
    pub(super) envid: Option<String>,
    pub(super) priority: i8,
    pub(super) release: Option<Release>,
    pub(super) extra: BTreeMap<String, String>,
    pub(super) limits: Option<SendingLimits>,
}

impl Order {
    /// Signs the message, stages it, and adds it. Blocks, but not for the commit.
    pub(super) fn queue(
        mut self,
        queue: &Queue,
        keys: &SigningKeys,
    ) -> Result<Pending<Vec<MessageId>>, QueueError> {
        let section = [self.prefix.added.as_bytes(), &self.header].concat();
        let signatures = self.signatures(keys, &section)?;
        let Prefix { received, results, .. } = &self.prefix;
        let before = [received.as_bytes(), self.prefix.added.as_bytes(), signatures.as_bytes()];
        let before = [&before.concat(), results.as_bytes()].concat();
        let has_8bit = self.terms.has_8bit || !before.is_ascii();
        let head = Cursor::new(before).chain(Cursor::new(&self.header));
        let body = body(&mut self.spool, self.header_bytes)?;
        let body = queue.stage(&mut head.chain(body))?;
        let terms = self.terms;
        let message = NewMessage {
            has_8bit,
            is_binary: terms.is_binary,
            needs_utf8: terms.needs_utf8,
            message_id: header::bracketed_id(&section),
            subject: header::subject(&section),
            ret: terms.ret,
            envid: terms.envid,
            priority: terms.priority,
            require_tls: terms.require_tls,
            release: terms.release,
            extra: terms.extra,
            limits: terms.limits,
            recipients: terms.recipients,
            ..NewMessage::new(&terms.account, body)
        };
        Ok(queue.add(message, self.now))
    }

    /// The signatures. Without them a message still arrives in many places, so that what goes wrong with
    /// them is for the log.
    fn signatures(&mut self, keys: &SigningKeys, section: &[u8]) -> io::Result<String> {
        let (config, author) = (&self.config, &self.author);
        let signatory = Signatory { keys, config, author, now: self.now };
        let signed = signatory.fields(section, body(&mut self.spool, self.header_bytes)?)?;
        Ok(signed.unwrap_or_else(|error| {
            let error = error_text(&error);
            tracing::error!(cid = self.cid, domain = %author.domain, error, "message not signed");
            String::new()
        }))
    }
}

fn error_text(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// What follows the header as it came.
fn body(spool: &mut Spool, header_bytes: u64) -> io::Result<&mut (impl Read + use<>)> {
    let reader = spool.reader()?;
    reader.seek(SeekFrom::Start(header_bytes))?;
    Ok(reader)
}
