//! What is to be queued, and putting it there.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use mox_base::{Address, UnixSeconds};
use mox_config::Config;
use mox_mime::{MESSAGE_ID_BYTES_MAX, SUBJECT_BYTES_MAX, decode_header, first_field, unfold};
use mox_queue::{
    MessageId, NewMessage, NewRecipient, Pending, Queue, QueueError, Release, SendingLimits,
};
use mox_signing::SigningKeys;
use mox_smtp::Ret;

use super::sign::Signatory;
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
            message_id: message_id(&section),
            subject: subject(&section),
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

/// The Message-ID as it is, with its brackets; empty if it has none. RFC 5322 §3.6.4.
fn message_id(section: &[u8]) -> String {
    let value = first_field(section, "Message-Id").map(unfold).unwrap_or_default();
    let text = String::from_utf8_lossy(&value);
    let id = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    let id = id.filter(|(id, _)| id.len() <= MESSAGE_ID_BYTES_MAX);
    id.map(|(id, _)| format!("<{id}>")).unwrap_or_default()
}

fn subject(section: &[u8]) -> String {
    let mut subject = first_field(section, "Subject").map(decode_header).unwrap_or_default();
    subject.truncate(subject.floor_char_boundary(SUBJECT_BYTES_MAX));
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, want_id: &str, want_subject: &str) {
        assert_eq!(message_id(header.as_bytes()), want_id, "{header}");
        assert_eq!(subject(header.as_bytes()), want_subject, "{header}");
    }

    /// RFC 5322 §3.6.4, §3.6.5.
    #[test]
    fn what_lists_show_is_found() {
        check("Message-ID: <A@b>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n\r\n", "<A@b>", "café");
        check("message-id:\r\n <a@b> (x)\r\nsubject: a\r\n b\r\n\r\n", "<a@b>", "a b");
        check("Message-ID: a@b\r\n\r\nSubject: x\r\n", "", "");
        let long = "é".repeat(SUBJECT_BYTES_MAX);
        check(&format!("Subject: {long}\r\n"), "", &long[..SUBJECT_BYTES_MAX]);
        let id = "x".repeat(MESSAGE_ID_BYTES_MAX);
        check(&format!("Message-Id: <{id}>\r\n"), &format!("<{id}>"), "");
        check(&format!("Message-Id: <{id}x>\r\n"), "", "");
    }
}
