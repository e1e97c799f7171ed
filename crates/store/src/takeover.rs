//! An account that another server kept: everything in it gets the numbers that it had there, so that
//! mail programs go on as if nothing had happened.
//!
//! First the mailboxes ([`Account::keep`]), then the messages in batches ([`Account::keep_messages`]),
//! those that were removed ([`Account::keep_gone`]), all before anybody uses the account. Each step may be
//! repeated, so that it can go on after a crash.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mox_base::{
    Address, Flags, Keyword, MailboxId, MailboxName, ModSeq, MsgId, SpecialUse, ThreadId, Uid,
    UidValidity, UnixSeconds, ZonedTime,
};
use rusqlite::{OptionalExtension, params};

use crate::history;
use crate::junk;
use crate::mailbox::{self, Counts, Mailbox};
use crate::message::{Envelope, MESSAGE_KEYWORDS_MAX};
use crate::meta::Meta;
use crate::read::Reader;
use crate::row::keywords_column;
use crate::stage::Staged;
use crate::thread::Place;
use crate::tx::Tx;
use crate::{Account, Pending, Result, StoreError};

/// The counters, mailboxes and subscriptions of an account.
#[derive(Clone, Debug)]
pub struct KeptAccount {
    /// The last modseq that was given out.
    pub modseq: ModSeq,
    /// The last message id that was given out.
    pub last_message: MsgId,
    /// The last mailbox id that was given out, also to mailboxes that are gone.
    pub last_mailbox: MailboxId,
    /// The UIDVALIDITY for the next mailbox. If it is not known, it goes by the time, as in new accounts.
    pub next_uidvalidity: Option<UidValidity>,
    /// All mailboxes that exist.
    pub mailboxes: Vec<KeptMailbox>,
    /// All subscriptions.
    pub subscriptions: Vec<MailboxName>,
    /// All annotations, up to [`ANNOTATIONS_MAX`](crate::ANNOTATIONS_MAX).
    pub annotations: Vec<KeptAnnotation>,
}

/// An annotation of a [`KeptAccount`]. RFC 5464 §3.
#[derive(Clone, Debug)]
pub struct KeptAnnotation {
    /// The mailbox it is of; none for one of the account.
    pub mailbox: Option<MailboxId>,
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: Vec<u8>,
    /// Whether it goes out as binary.
    pub is_binary: bool,
}

/// A mailbox of a [`KeptAccount`].
#[derive(Clone, Debug)]
pub struct KeptMailbox {
    /// Its id, also for what refers to it.
    pub id: MailboxId,
    /// Its full name.
    pub name: MailboxName,
    /// As it was.
    pub uidvalidity: UidValidity,
    /// The next UID: above all that were used, by removed messages too.
    pub uidnext: u32,
    /// Of the last change to anything in it.
    pub modseq: ModSeq,
    /// Of its creation.
    pub createseq: ModSeq,
    /// Its roles.
    pub special_use: SpecialUse,
    /// The keywords ever used in it.
    pub keywords: Vec<Keyword>,
}

/// A message with the numbers that it had.
#[derive(Debug)]
pub struct KeptMessage {
    /// Its id.
    pub id: MsgId,
    /// The mailbox it is in, one of those of the account.
    pub mailbox: MailboxId,
    /// Its UID there.
    pub uid: Uid,
    /// Of its last change.
    pub modseq: ModSeq,
    /// Of its coming into the mailbox.
    pub createseq: ModSeq,
    /// Its content, prepared by [`Account::stage`].
    pub content: Staged,
    /// Its flags, as they are: nothing is added by rules.
    pub flags: Flags,
    /// Its keywords, in any order.
    pub keywords: Vec<Keyword>,
    /// INTERNALDATE.
    pub received: UnixSeconds,
    /// The zone of INTERNALDATE, in minutes east of UTC. One that cannot be (a day or more) is UTC.
    pub received_zone: i16,
    /// When it came into the mailbox.
    pub saved: UnixSeconds,
    /// Where it belongs among others.
    pub thread: KeptThread,
    /// The mailbox it was delivered to, which need not exist any more.
    pub original_mailbox: MailboxId,
    /// Where it would be if it were not put aside, as a reject or in the Introbox.
    pub destined: Option<MailboxId>,
    /// What SMTP told; absent for APPEND. Of `incoming`, the decision and the name in `destined` are not
    /// looked at.
    pub envelope: Option<Envelope>,
    /// What clients were shown of it before (RFC 8970 §3); made anew if absent.
    pub preview: Option<String>,
}

/// The thread of a [`KeptMessage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptThread {
    /// The id of the first message of the thread, which may be gone.
    pub id: ThreadId,
    /// The messages above it, the nearest first. Some may be gone.
    pub parents: Vec<MsgId>,
    /// Whether the one right above it is missing.
    pub is_incomplete: bool,
    /// Whether new messages of the thread are born read.
    pub is_muted: bool,
    /// Whether it is shown folded.
    pub is_collapsed: bool,
}

/// Memory for pages of the database while an account is filled: what a batch of messages changes is held
/// until it is committed, and not read again for the next one. Ordinary work needs less.
const PAGE_CACHE_KIB: u32 = 32 * 1024;

impl Account {
    /// Makes the account one with these counters and mailboxes, instead of those it was made with.
    ///
    /// Mailboxes above others that are missing are made. May be repeated until the first message is kept;
    /// later it only forgets removals after the last modseq, which are to be kept again. Fails with [`StoreError::InUse`] if the account has other messages or
    /// other mailboxes with messages.
    ///
    /// From then on the connection that writes takes up to 32 MiB for pages, until [`Account::keep_ended`].
    pub fn keep(&self, kept: KeptAccount) -> Pending<()> {
        self.shared().write(None, 0, move |tx| {
            tx.db().execute_batch(&format!("PRAGMA cache_size = -{PAGE_CACHE_KIB}"))?;
            keep(tx, kept)
        })
    }

    /// Gives back the memory for pages that [`Account::keep`] took: accounts stay open for a while after
    /// their last use, and there may be many. To be called when all is kept.
    pub fn keep_ended(&self) -> Pending<()> {
        self.shared().write(None, 0, |tx| {
            let ordinary = crate::schema::SETTINGS.page_cache_kib;
            let sql = format!("PRAGMA cache_size = -{ordinary}; PRAGMA shrink_memory");
            Ok(tx.db().execute_batch(&sql)?)
        })
    }

    /// Makes a mailbox for messages of one that is not known any more, with its id and a new UIDVALIDITY.
    /// One that is there already stays as it is.
    pub fn keep_recovered(&self, id: MailboxId, name: MailboxName) -> Pending<()> {
        self.shared().write(None, 0, move |tx| keep_recovered(tx, id, name))
    }

    /// Adds messages, all or none. Those whose id is there already are passed over.
    ///
    /// Fails with [`StoreError::NoMailbox`] if a mailbox is none of the account's, and with
    /// [`StoreError::UidTaken`] if a UID is used twice. No quota is looked at.
    pub fn keep_messages(&self, messages: Vec<KeptMessage>) -> Pending<()> {
        let bytes = messages.iter().map(|message| message.content.memory_bytes()).sum();
        self.shared().write(None, bytes, move |tx| keep_messages(tx, messages))
    }

    /// Remembers to whom messages went: the message, the address and when. Those of messages that are not
    /// there, and those known from the message itself, are passed over.
    pub fn keep_recipients(&self, all: Vec<(MsgId, Address, UnixSeconds)>) -> Pending<()> {
        self.shared().write(None, 0, move |tx| {
            all.iter().try_for_each(|(id, to, sent)| history::keep_sent(tx.db(), *id, to, *sent))
        })
    }

    /// Notes messages that were removed, so that clients hear of it (RFC 7162). Those of mailboxes that are
    /// not there, and those noted already, are passed over.
    pub fn keep_gone(&self, gone: Vec<(MailboxId, ModSeq, Uid)>) -> Pending<()> {
        self.shared().write(None, 0, move |tx| keep_gone(tx, &gone))
    }
}

impl Reader {
    /// The largest id of a message.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn last_message(&self) -> Result<Option<MsgId>> {
        let id: Option<i64> =
            self.db()?.query_row("SELECT max(id) FROM msg", [], |row| row.get(0))?;
        Ok(id.map(MsgId))
    }

    /// Which of these messages are there. One descent into the table each.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn holds(&self, ids: &[MsgId]) -> Result<Vec<bool>> {
        let mut statement = self.db()?.prepare_cached("SELECT 1 FROM msg WHERE id = ?1")?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.push(statement.exists([id.0])?);
        }
        Ok(found)
    }
}

fn keep(tx: &mut Tx<'_>, kept: KeptAccount) -> Result<()> {
    let has_messages: bool = tx.db().query_row(
        "SELECT EXISTS(SELECT 1 FROM msg) OR EXISTS(SELECT 1 FROM gone)",
        [],
        |row| row.get(0),
    )?;
    if has_messages {
        // Gone on with: the mailboxes are there, and have counts by now.
        for one in &kept.mailboxes {
            let is_this = mailbox::by_id(tx, one.id)
                .is_ok_and(|found| found.name == one.name && found.uidvalidity == one.uidvalidity);
            if !is_this {
                return Err(StoreError::InUse);
            }
        }
        // Removals after the last modseq are of messages that could not be read when this was done before.
        // They are told anew, unless the messages are there this time.
        let sql = "DELETE FROM gone WHERE mailbox IN (SELECT id FROM mailbox) AND modseq > ?1";
        tx.db().prepare_cached(sql)?.execute([kept.modseq.get()])?;
        return Ok(());
    }
    tx.db()
        .execute_batch("DELETE FROM mailbox; DELETE FROM subscription; DELETE FROM annotation")?;
    tx.state.modseq = kept.modseq;
    tx.state.next_message = kept.last_message.0.saturating_add(1);
    let last = kept.mailboxes.iter().map(|one| one.id.0).fold(kept.last_mailbox.0, i64::max);
    tx.state.next_mailbox = last.saturating_add(1);
    let validities = kept.mailboxes.iter().map(|one| u64::from(one.uidvalidity.get()) + 1);
    let next = kept.next_uidvalidity.map_or_else(|| by_time(tx.now), |next| u64::from(next.get()));
    tx.state.next_uidvalidity = validities.fold(next, u64::max);
    for one in kept.mailboxes {
        insert_mailbox(tx, one)?;
    }
    mailbox::find_or_create(tx, &MailboxName::inbox())?;
    for one in mailbox::all(tx)? {
        if let Some(parent) = one.name.parent() {
            mailbox::find_or_create(tx, &parent)?;
        }
    }
    tx.db().execute_batch("DELETE FROM subscription")?;
    for name in kept.subscriptions {
        let sql = "INSERT OR IGNORE INTO subscription VALUES (?1)";
        tx.db().execute(sql, [name.as_str()])?;
    }
    let sql = "INSERT OR IGNORE INTO annotation VALUES (?1, ?2, ?3, ?4)";
    for KeptAnnotation { mailbox, name, value, is_binary } in kept.annotations {
        let mailbox = mailbox.map_or(0, |id| id.0);
        tx.db().prepare_cached(sql)?.execute(params![mailbox, name, value, is_binary])?;
    }
    Ok(())
}

/// A UIDVALIDITY above all that were given out before, by the time in units of two seconds.
fn by_time(now: UnixSeconds) -> u64 {
    u64::try_from(now.0 >> 1).unwrap_or_default().clamp(1, u64::from(u32::MAX >> 1))
}

fn keep_recovered(tx: &mut Tx<'_>, id: MailboxId, name: MailboxName) -> Result<()> {
    match mailbox::by_id(tx, id) {
        Err(StoreError::NoMailbox) => {}
        found => return found.map(|_| ()),
    }
    let (uidvalidity, modseq) = (tx.new_uidvalidity()?, tx.modseq()?);
    tx.state.next_mailbox = tx.state.next_mailbox.max(id.0.saturating_add(1));
    tx.db().execute("INSERT OR IGNORE INTO subscription VALUES (?1)", [name.as_str()])?;
    let special_use = SpecialUse::NONE;
    let keywords = Vec::new();
    let (uidnext, createseq) = (1, modseq);
    let kept =
        KeptMailbox { id, name, uidvalidity, uidnext, modseq, createseq, special_use, keywords };
    insert_mailbox(tx, kept)
}

fn insert_mailbox(tx: &mut Tx<'_>, kept: KeptMailbox) -> Result<()> {
    let mut keywords = kept.keywords;
    keywords.sort();
    keywords.dedup();
    let sql = "INSERT INTO mailbox(id, name, uidvalidity, uidnext, modseq, createseq, special_use, total, \
         deleted, unread, unseen, size, keywords) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, 0, 0, 0, '')";
    tx.db().prepare_cached(sql)?.execute(params![
        kept.id.0,
        kept.name.as_str(),
        kept.uidvalidity.get(),
        kept.uidnext,
        kept.modseq.get(),
        kept.createseq.get().min(kept.modseq.get()),
        kept.special_use.bits(),
    ])?;
    let saved = Mailbox {
        id: kept.id,
        name: kept.name,
        uidvalidity: kept.uidvalidity,
        uidnext: kept.uidnext.into(),
        modseq: kept.modseq,
        createseq: kept.createseq,
        special_use: kept.special_use,
        counts: Counts::default(),
        keywords,
    };
    raise_modseq(tx, kept.modseq);
    mailbox::save(tx, &saved)
}

fn raise_modseq(tx: &mut Tx<'_>, modseq: ModSeq) {
    tx.state.modseq = tx.state.modseq.max(modseq);
}

fn keep_messages(tx: &mut Tx<'_>, messages: Vec<KeptMessage>) -> Result<()> {
    let mut mailboxes = BTreeMap::new();
    for message in messages {
        let is_there = "SELECT 1 FROM msg WHERE id = ?1";
        let is_there = tx.db().prepare_cached(is_there)?.query_row([message.id.0], |_| Ok(()));
        if is_there.optional()?.is_some() {
            continue;
        }
        let mailbox = match mailboxes.entry(message.mailbox) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(mailbox::by_id(tx, message.mailbox)?),
        };
        keep_message(tx, mailbox, message)?;
    }
    for mailbox in mailboxes.values() {
        mailbox::save(tx, mailbox)?;
    }
    tx.shared.index_is_behind();
    Ok(())
}

fn keep_message(tx: &mut Tx<'_>, mailbox: &mut Mailbox, message: KeptMessage) -> Result<()> {
    let KeptMessage { id, uid, flags, received, .. } = message;
    let mut keywords = message.keywords.clone();
    keywords.sort();
    keywords.dedup();
    if keywords.len() > MESSAGE_KEYWORDS_MAX {
        return Err(StoreError::TooMany { what: "keywords on a message" });
    }
    mailbox.learn_keywords(&keywords)?;
    let taken = "SELECT 1 FROM msg WHERE mailbox = ?1 AND uid = ?2";
    let mut taken = tx.db().prepare_cached(taken)?;
    if taken.exists(params![mailbox.id.0, uid.get()])? {
        return Err(StoreError::UidTaken);
    }
    let size = message.content.size();
    tx.use_bytes(size, None)?;
    mailbox.counts.add(flags, size);
    raise_numbers(tx, mailbox, &message);
    let content = message.content;
    let place = Place::kept(&message.thread);
    let mut insert = tx.db().prepare_cached(
        "INSERT INTO msg VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?1, ?12, ?13, ?14)",
    )?;
    insert.execute(params![
        id.0,
        mailbox.id.0,
        uid.get(),
        message.modseq.get(),
        message.createseq.get().min(message.modseq.get()),
        flags.bits(),
        keywords_column(&keywords),
        size,
        received.0,
        message.saved.0,
        place.thread.0,
        content.facts.sent.map(|sent| sent.0),
        content.facts.sent_day,
        ZonedTime::new(received, message.received_zone).map_or(0, ZonedTime::zone_minutes),
    ])?;
    let meta = Meta {
        id,
        original_mailbox: message.original_mailbox,
        received,
        place: &place,
        envelope: message.envelope.as_ref(),
        content: &content,
        preview: message.preview.as_deref(),
    };
    meta.insert(tx.db())?;
    let facts = &content.facts;
    if mailbox.special_use.contains(SpecialUse::SENT) {
        history::record_sent(tx.db(), id, &facts.structure, facts.sent.unwrap_or(received))?;
    }
    content.insert_body(tx, id.0)?;
    junk::flags_change(tx, id, Flags::NONE, flags)?;
    match message.envelope.and_then(|envelope| envelope.incoming) {
        Some(incoming) => history::keep(tx.db(), id, flags, &incoming, message.destined),
        None => Ok(()),
    }
}

/// Counters are above what was given out.
fn raise_numbers(tx: &mut Tx<'_>, mailbox: &mut Mailbox, message: &KeptMessage) {
    mailbox.uidnext = mailbox.uidnext.max(u64::from(message.uid.get()) + 1);
    mailbox.modseq = mailbox.modseq.max(message.modseq);
    raise_modseq(tx, message.modseq);
    tx.state.next_message = tx.state.next_message.max(message.id.0.saturating_add(1));
}

fn keep_gone(tx: &mut Tx<'_>, gone: &[(MailboxId, ModSeq, Uid)]) -> Result<()> {
    let mut mailboxes = BTreeMap::new();
    for (id, modseq, uid) in gone {
        let mailbox = match mailboxes.entry(*id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match mailbox::by_id(tx, *id) {
                Ok(mailbox) => entry.insert(Some(mailbox)),
                Err(StoreError::NoMailbox) => entry.insert(None),
                Err(error) => return Err(error),
            },
        };
        let Some(mailbox) = mailbox else { continue };
        let sql = "INSERT OR IGNORE INTO gone VALUES (?1, ?2, ?3)";
        tx.db().prepare_cached(sql)?.execute(params![id.0, modseq.get(), uid.get()])?;
        mailbox.uidnext = mailbox.uidnext.max(u64::from(uid.get()) + 1);
        mailbox.modseq = mailbox.modseq.max(*modseq);
        raise_modseq(tx, *modseq);
    }
    for mailbox in mailboxes.values().flatten() {
        mailbox::save(tx, mailbox)?;
    }
    Ok(())
}
