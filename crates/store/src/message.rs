//! Adding messages: SMTP delivery and IMAP APPEND.

use mox_base::{
    Flags, Keyword, MailboxName, ModSeq, MsgId, SpecialUse, Uid, UidValidity, ZonedTime,
};
use rusqlite::params;

use crate::feed::{ChangeKind, MessageState};
use crate::history::{self, Arriving, Incoming};
use crate::junk;
use crate::mailbox::{self, Mailbox};
use crate::meta::{Meta, ReceivedTls};
use crate::policy::Policy;
use crate::rejects;
use crate::row::keywords_column;
use crate::stage::Staged;
use crate::thread;
use crate::tx::Tx;
use crate::{Result, StoreError};

/// The most keywords of one message. Ours.
pub const MESSAGE_KEYWORDS_MAX: usize = 100;

/// Where messages are added.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// Whether a missing mailbox is created (delivery) or an error (APPEND).
    pub create: bool,
}

/// What SMTP told about a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM, empty for a bounce.
    pub mail_from: String,
    /// The recipient this message is for.
    pub rcpt_to: String,
    /// The address of the client.
    pub remote_ip: String,
    /// What the client called itself.
    pub ehlo: String,
    /// How it was protected on the way here.
    pub tls: ReceivedTls,
    /// What the decision on the message found out, so that the next one can be judged by it.
    pub incoming: Option<Incoming>,
}

/// A message to be added.
#[derive(Debug)]
pub struct NewMessage {
    /// Its content, prepared by [`crate::Account::stage`].
    pub content: Staged,
    /// Its flags.
    pub flags: Flags,
    /// Its keywords, in any order.
    pub keywords: Vec<Keyword>,
    /// When it was received; now if absent.
    pub received: Option<ZonedTime>,
    /// What SMTP told; absent for APPEND.
    pub envelope: Option<Envelope>,
}

impl NewMessage {
    pub(crate) fn queue_bytes(&self) -> usize {
        self.content.memory_bytes()
    }

    /// The Message-ID, if a decision accepted the message.
    fn accepted_id(&self) -> Option<String> {
        let incoming = self.envelope.as_ref()?.incoming.as_ref()?;
        let message_id = self.content.facts.message_id.clone();
        message_id.filter(|_| !incoming.marks.is_reject)
    }
}

/// What was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The mailbox, as it stands afterwards.
    pub mailbox: mox_base::MailboxId,
    /// Its UIDVALIDITY.
    pub uidvalidity: UidValidity,
    /// The UIDs, in the order of the messages given.
    pub uids: Vec<Uid>,
    /// The messages, in the same order.
    pub messages: Vec<MsgId>,
    /// Of the operation.
    pub modseq: ModSeq,
}

/// Adds the messages, all or none.
pub(crate) fn add(
    tx: &mut Tx<'_>,
    destination: &Destination,
    messages: Vec<NewMessage>,
) -> Result<Added> {
    let policy = tx.shared.policy()?;
    let mut mailbox = match mailbox::by_name(tx, &destination.mailbox)? {
        Some(mailbox) => mailbox,
        None if destination.create => mailbox::find_or_create(tx, &destination.mailbox)?,
        None => return Err(StoreError::NoMailbox),
    };
    let modseq = tx.modseq()?;
    let known_keywords = mailbox.keywords.len();
    let mut uids = Vec::with_capacity(messages.len());
    let mut states = Vec::with_capacity(messages.len());
    let mut ids = Vec::with_capacity(messages.len());
    let mut accepted = Vec::new();
    for message in messages {
        accepted.extend(message.accepted_id());
        let (id, state) = add_one(tx, &mut mailbox, &policy, message)?;
        ids.push(id);
        uids.push(state.uid);
        states.push(state);
    }
    mailbox.modseq = modseq;
    mailbox::save(tx, &mailbox)?;
    if let Some(rejects) = &policy.rejects_mailbox {
        rejects::accepted(tx, rejects, mailbox.id, &accepted)?;
    }
    tx.publish(ChangeKind::Added { mailbox: mailbox.id, messages: states });
    if mailbox.keywords.len() > known_keywords {
        let keywords = mailbox.keywords;
        tx.publish(ChangeKind::Keywords { mailbox: mailbox.id, keywords });
    }
    let Mailbox { id: mailbox, uidvalidity, .. } = mailbox;
    Ok(Added { mailbox, uidvalidity, uids, messages: ids, modseq })
}

/// Takes the next UID of the mailbox.
pub(crate) fn next_uid(mailbox: &mut Mailbox) -> Result<Uid> {
    let uid = u32::try_from(mailbox.uidnext).ok().and_then(Uid::new);
    mailbox.uidnext += 1;
    uid.ok_or(StoreError::IdsUsedUp)
}

/// Adds one message to a mailbox that is saved later. Nothing is written if the quota forbids it.
pub(crate) fn add_one(
    tx: &mut Tx<'_>,
    mailbox: &mut Mailbox,
    policy: &Policy,
    message: NewMessage,
) -> Result<(MsgId, MessageState)> {
    let NewMessage { content, flags, mut keywords, received, mut envelope } = message;
    let incoming = envelope.as_mut().and_then(|envelope| envelope.incoming.take());
    keywords.sort();
    keywords.dedup();
    if keywords.len() > MESSAGE_KEYWORDS_MAX {
        return Err(StoreError::TooMany { what: "keywords on a message" });
    }
    let size = content.size();
    tx.use_bytes(size, policy.quota_bytes)?;
    mailbox.learn_keywords(&keywords)?;
    let (id, uid, modseq) = (tx.new_message_id(), next_uid(mailbox)?, tx.modseq()?);
    let zoned = received.unwrap_or_else(|| tx.now.into());
    let received = zoned.time();
    let place = thread::find_place(tx, id, mailbox.id, received, &content.facts)?;
    let mut flags = policy.junk_flags.apply(flags, &mailbox.name, mailbox.special_use);
    if place.is_muted() || incoming.as_ref().is_some_and(|incoming| incoming.marks.is_seen) {
        flags |= Flags::SEEN;
    }
    mailbox.counts.add(flags, size);
    let mut insert = tx.db().prepare_cached(
        "INSERT INTO msg VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?1, ?11, ?12, ?13)",
    )?;
    insert.execute(params![
        id.0,
        mailbox.id.0,
        uid.get(),
        modseq.get(),
        flags.bits(),
        keywords_column(&keywords),
        size,
        received.0,
        tx.now.0,
        place.thread.0,
        content.facts.sent.map(|sent| sent.0),
        content.facts.sent_day,
        zoned.zone_minutes(),
    ])?;
    let meta = Meta {
        id,
        original_mailbox: mailbox.id,
        received,
        place: &place,
        envelope: envelope.as_ref(),
        content: &content,
        preview: None,
    };
    meta.insert(tx.db())?;
    let facts = &content.facts;
    if mailbox.special_use.contains(SpecialUse::SENT) {
        history::record_sent(tx.db(), id, &facts.structure, facts.sent.unwrap_or(received))?;
    }
    content.insert_body(tx, id.0)?;
    junk::flags_change(tx, id, Flags::NONE, flags)?;
    if let Some(incoming) = incoming {
        let arriving = Arriving { id, mailbox: mailbox.id, received, size, flags };
        history::record(tx, &arriving, incoming)?;
    }
    tx.shared.index_is_behind();
    Ok((id, MessageState { uid, flags, keywords }))
}
