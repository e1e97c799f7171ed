//! Judging the messages of an account: what is taken, under which numbers, and what does not fit.
//!
//! A check and a copy both go by this, so that one tells what the other does.

use std::collections::{BTreeMap, BTreeSet};

use mox_base::{Keyword, MailboxId, MailboxName, ModSeq, Uid};
use mox_bstore::Record;
use mox_store::{KeptMailbox, MAILBOX_KEYWORDS_MAX, MAILBOXES_MAX, MESSAGE_KEYWORDS_MAX};

use crate::junk::Learnt;
use crate::mailbox::{Base, Noted, fresh_name};
use crate::message::{self, ID_MAX};
use crate::ranges::Ranges;
use crate::summary::{LOST, Summary};

/// Removals of which the time is forgotten that clients are told, at most; in a sound account there are
/// none.
const FORGOTTEN_MAX: usize = 1_000_000;

/// What a record of a message is.
#[derive(Debug)]
pub(crate) enum Judged {
    /// A message that is taken.
    Live(Sound),
    /// A removal that clients are told of.
    Gone(MailboxId, ModSeq, Uid),
    /// Nothing to be taken.
    Nothing,
}

/// A message that can be taken, with the numbers that it gets.
#[derive(Debug)]
pub(crate) struct Sound {
    pub(crate) record: Record,
    pub(crate) mailbox: MailboxId,
    pub(crate) uid: Uid,
    pub(crate) modseq: ModSeq,
    pub(crate) createseq: ModSeq,
    pub(crate) keywords: Vec<Keyword>,
    /// Bytes that are there, with the prefix.
    pub(crate) size: u64,
}

impl Sound {
    pub(crate) fn id(&self) -> i64 {
        self.record.i64("ID")
    }
}

/// A mailbox while its messages are gone through.
#[derive(Debug)]
struct Seen {
    name: MailboxName,
    uidnext: u64,
    noted: Option<Noted>,
    counted: Noted,
    /// UIDs of messages and of removals.
    uids: Ranges,
    /// UIDs of messages that are there by their records, and cannot be taken.
    lost: Ranges,
    keywords: BTreeSet<Keyword>,
}

/// What the messages of an account are judged by, and what they add up to.
#[derive(Debug)]
pub(crate) struct Ledger {
    mailboxes: BTreeMap<i64, Seen>,
    names: BTreeSet<MailboxName>,
    deleted: BTreeSet<i64>,
    /// Mailboxes made for messages of which the mailbox is not there; not told of yet.
    recovered: Vec<(MailboxId, MailboxName)>,
    last_message: i64,
    last_modseq: ModSeq,
    /// Above all that were given out.
    raised: ModSeq,
    /// Bytes that the original should have counted.
    used_bytes: u64,
    /// Messages that a junk filter learns from.
    marked: Learnt,
}

impl Ledger {
    pub(crate) fn new(base: &Base) -> Self {
        let seen = |one: &KeptMailbox| Seen {
            name: one.name.clone(),
            uidnext: one.uidnext.into(),
            noted: base.noted.get(&one.id.0).copied(),
            counted: Noted::default(),
            uids: Ranges::default(),
            lost: Ranges::default(),
            keywords: one.keywords.iter().cloned().collect(),
        };
        let last = base.kept.modseq;
        Self {
            mailboxes: base.kept.mailboxes.iter().map(|one| (one.id.0, seen(one))).collect(),
            names: base.kept.mailboxes.iter().map(|one| one.name.clone()).collect(),
            deleted: base.deleted.clone(),
            recovered: Vec::new(),
            last_message: base.kept.last_message.0,
            last_modseq: last,
            raised: ModSeq::new(last.get() + 1).unwrap_or(last),
            used_bytes: 0,
            marked: Learnt::default(),
        }
    }

    /// Judges a record.
    ///
    /// - `size_of_file`: how long the file of a message is, or why it cannot be taken.
    pub(crate) fn judge(
        &mut self,
        record: Record,
        size_of_file: &dyn Fn(i64) -> Result<u64, String>,
        summary: &mut Summary,
    ) -> Judged {
        let id = record.i64("ID");
        if !(1..=ID_MAX).contains(&id) {
            summary.damage(LOST, format!("index.db: message {id}: its id cannot be one"));
            return Judged::Nothing;
        }
        if id > self.last_message {
            self.last_message = id;
            summary.differs("ids above the last that was given out", format!("message {id}"));
        }
        if record.bool("Expunged") {
            return self.judge_removal(&record, summary);
        }
        let mailbox = record.i64("MailboxID");
        self.used_bytes = self.used_bytes.saturating_add(record.u64("Size"));
        let Some(uid) = self.uid_of_live(&record, mailbox, summary) else {
            return Judged::Nothing;
        };
        let (modseq, createseq) = self.modseqs(&record, summary);
        let Some(seen) = self.mailboxes.get_mut(&mailbox) else { return Judged::Nothing };
        seen.counted.add(&record);
        self.marked.add(&record);
        let size = match fits(&record, size_of_file, &seen.name, summary) {
            Ok(size) => size,
            Err(why) => {
                summary.damage(LOST, format!("{}: {why}", shown(&record, &seen.name)));
                seen.lost.insert(uid.get());
                return Judged::Nothing;
            }
        };
        let keywords = seen.keywords_of(&record, summary);
        Judged::Live(Sound {
            record,
            mailbox: MailboxId(mailbox),
            uid,
            modseq,
            createseq,
            keywords,
            size,
        })
    }

    fn judge_removal(&mut self, record: &Record, summary: &mut Summary) -> Judged {
        let id = record.i64("MailboxID");
        let (modseq, _) = self.modseqs(record, summary);
        let Some(seen) = self.mailboxes.get_mut(&id) else {
            // Nobody can ask for it: a mailbox of that name would have another UIDVALIDITY.
            summary.leave("removals in mailboxes that are deleted", 1);
            return Judged::Nothing;
        };
        match message::uid(record) {
            Some(uid) if seen.uids.insert(uid.get()) => {
                seen.raise_uidnext(uid, summary);
                summary.took("removals that clients are told", 1);
                Judged::Gone(MailboxId(id), modseq, uid)
            }
            _ => {
                let told = format!("removal, {}", shown(record, &seen.name));
                summary.damage("UIDs that were used twice, or cannot be any", told);
                Judged::Nothing
            }
        }
    }

    /// The UID of a message that is there: a new one if its own cannot be, for no message is lost by that.
    fn uid_of_live(&mut self, record: &Record, mailbox: i64, summary: &mut Summary) -> Option<Uid> {
        if !self.mailboxes.contains_key(&mailbox) && !self.recover(record, mailbox, summary) {
            return None;
        }
        let seen = self.mailboxes.get_mut(&mailbox)?;
        if let Some(uid) = message::uid(record).filter(|uid| seen.uids.insert(uid.get())) {
            seen.raise_uidnext(uid, summary);
            return Some(uid);
        }
        let told = shown(record, &seen.name);
        let fresh = u32::try_from(seen.uidnext).ok().and_then(Uid::new);
        let fresh = fresh.filter(|uid| seen.uids.insert(uid.get()));
        match fresh {
            Some(uid) => {
                seen.uidnext += 1;
                let told = format!("{told}: becomes UID {uid}");
                summary.damage("UIDs that were used twice, or cannot be any", told);
            }
            None => summary.damage(LOST, format!("{told}: no UID is left for it")),
        }
        fresh
    }

    /// Makes a mailbox for messages of one that is not there.
    fn recover(&mut self, record: &Record, id: i64, summary: &mut Summary) -> bool {
        let name = fresh_name("Recovered", id, &self.names);
        let has_room = self.mailboxes.len() < MAILBOXES_MAX;
        let Some(name) = name.filter(|_| has_room && (1..=ID_MAX).contains(&id)) else {
            let told = format!("message {}: mailbox {id} cannot be", record.i64("ID"));
            summary.damage(LOST, told);
            return false;
        };
        let why = if self.deleted.contains(&id) { "is deleted" } else { "is not there" };
        let told = format!("index.db: mailbox {id} {why}, its messages go to {name}");
        summary.damage("mailboxes", told);
        self.names.insert(name.clone());
        self.recovered.push((MailboxId(id), name.clone()));
        let seen = Seen {
            name,
            uidnext: 1,
            noted: None,
            counted: Noted::default(),
            uids: Ranges::default(),
            lost: Ranges::default(),
            keywords: BTreeSet::new(),
        };
        self.mailboxes.insert(id, seen);
        true
    }

    /// The mailboxes made since this was asked last.
    pub(crate) fn take_recovered(&mut self) -> Vec<(MailboxId, MailboxName)> {
        std::mem::take(&mut self.recovered)
    }

    /// ModSeq and CreateSeq. One above the last that was given out would hide later changes from clients:
    /// it becomes the next one.
    fn modseqs(&self, record: &Record, summary: &mut Summary) -> (ModSeq, ModSeq) {
        let modseq = message::modseq(record, "ModSeq");
        let createseq = message::modseq(record, "CreateSeq");
        if modseq > self.last_modseq {
            let told = format!("index.db: message {}: {modseq}", record.i64("ID"));
            summary.damage("modseqs above the last of the account", told);
            return (self.raised, createseq.min(self.raised));
        }
        if createseq > modseq {
            let told = format!("message {}: created at {createseq}", record.i64("ID"));
            summary.differs("messages changed before they were created", told);
        }
        (modseq, createseq.min(modseq))
    }

    /// Takes note of a message that turned out to be unreadable.
    pub(crate) fn lose(&mut self, sound: &Sound, why: &str, summary: &mut Summary) {
        let Some(seen) = self.mailboxes.get_mut(&sound.mailbox.0) else { return };
        summary.damage(LOST, format!("{}: {why}", shown(&sound.record, &seen.name)));
        seen.lost.insert(sound.uid.get());
    }

    /// What clients are told to be gone, though no removal was found: lost messages, at a modseq above all
    /// others so that every client hears of it; and, if removals were forgotten, all UIDs that are not
    /// there, at the last modseq that was forgotten. To tell more than was asked for is allowed
    /// (RFC 7162 §3.2.6).
    pub(crate) fn presumed_gone(
        &self,
        forgotten: Option<ModSeq>,
        summary: &mut Summary,
    ) -> impl Iterator<Item = (MailboxId, ModSeq, Uid)> {
        let lost = self
            .mailboxes
            .iter()
            .flat_map(|(id, seen)| seen.lost.iter().map(|uid| (MailboxId(*id), self.raised, uid)));
        if self.holes(forgotten).nth(FORGOTTEN_MAX).is_some() {
            let what = "removals of long ago that clients may not hear of";
            summary.differs(what, format!("more than {FORGOTTEN_MAX}"));
        }
        let all = lost.chain(self.holes(forgotten).take(FORGOTTEN_MAX));
        all.filter_map(|(id, seq, uid)| Some((id, seq, Uid::new(uid)?)))
    }

    /// UIDs that are neither there nor told to be gone, if any removal was forgotten.
    fn holes(&self, forgotten: Option<ModSeq>) -> impl Iterator<Item = (MailboxId, ModSeq, u32)> {
        let all = self.mailboxes.iter().filter_map(move |(id, seen)| Some((id, seen, forgotten?)));
        all.flat_map(|(id, seen, seq)| {
            seen.uids.holes(seen.uidnext).map(move |uid| (MailboxId(*id), seq, uid))
        })
    }

    /// The modseq above all that were given out: every client hears of what has it.
    pub(crate) fn raised(&self) -> ModSeq {
        self.raised
    }

    /// How many messages are marked as junk, or as none.
    pub(crate) fn marked(&self) -> Learnt {
        self.marked
    }

    /// Compares what the original counted with what there is. `erased` are bytes of removed messages that it
    /// still counted.
    pub(crate) fn compare(&self, used_bytes: Option<u64>, erased: u64, summary: &mut Summary) {
        for seen in self.mailboxes.values() {
            if let Some(noted) = seen.noted.filter(|noted| *noted != seen.counted) {
                let told = format!("{}: {noted} noted, {} there", seen.name, seen.counted);
                summary.differs("mailboxes counted anew", told);
            }
        }
        let there = self.used_bytes.saturating_add(erased);
        if let Some(noted) = used_bytes.filter(|noted| *noted != there) {
            let told = format!("{noted} bytes noted, {there} there");
            summary.differs("space in use, counted anew", told);
        }
    }
}

/// A message with its mailbox and UID, for people.
pub(crate) fn shown(record: &Record, mailbox: &MailboxName) -> String {
    format!("message {}, UID {} of {mailbox}", record.i64("ID"), record.u64("UID"))
}

/// Whether the file is as long as noted. A longer one is taken as it is, a shorter one lost something.
fn fits(
    record: &Record,
    size_of_file: &dyn Fn(i64) -> Result<u64, String>,
    mailbox: &MailboxName,
    summary: &mut Summary,
) -> Result<u64, String> {
    let size = size_of_file(record.i64("ID"))?;
    let found = (record.bytes("MsgPrefix").len() as u64).saturating_add(size);
    let noted = record.u64("Size");
    if found < noted {
        return Err(format!("has {found} bytes of {noted}"));
    }
    if found > noted {
        let told = format!("{}: {found} bytes, {noted} noted", shown(record, mailbox));
        summary.differs("messages larger than noted", told);
    }
    Ok(found)
}

impl Seen {
    fn raise_uidnext(&mut self, uid: Uid, summary: &mut Summary) {
        let next = u64::from(uid.get()) + 1;
        if next <= self.uidnext {
            return;
        }
        // Of a mailbox that was made for its messages nothing is known.
        if self.noted.is_some() {
            let told = format!("{}: {} noted, {next} is the least", self.name, self.uidnext);
            summary.differs("next UIDs that were too low", told);
        }
        self.uidnext = next;
    }

    fn keywords_of(&mut self, record: &Record, summary: &mut Summary) -> Vec<Keyword> {
        let (found, bad) = message::keywords(record.get("Keywords"));
        let mut good = BTreeSet::new();
        let mut beyond = Vec::new();
        for keyword in found {
            let has_room = good.len() < MESSAGE_KEYWORDS_MAX
                && (self.keywords.contains(&keyword) || self.keywords.len() < MAILBOX_KEYWORDS_MAX);
            if has_room {
                self.keywords.insert(keyword.clone());
                good.insert(keyword);
            } else {
                beyond.push(keyword.to_string());
            }
        }
        for word in bad.into_iter().chain(beyond) {
            let told = format!("{word:?} of {}", shown(record, &self.name));
            summary.skip("keywords that cannot be used", told);
        }
        good.into_iter().collect()
    }
}

impl Noted {
    fn add(&mut self, record: &Record) {
        let (is_deleted, is_seen) = (record.bool("Deleted"), record.bool("Seen"));
        self.total += u64::from(!is_deleted);
        self.deleted += u64::from(is_deleted);
        self.unread += u64::from(!is_seen && !is_deleted);
        self.unseen += u64::from(!is_seen);
        self.size = self.size.saturating_add(record.u64("Size"));
    }
}

impl std::fmt::Display for Noted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { total, deleted, unread, unseen, size } = self;
        write!(
            f,
            "{total} messages, {unread} unread, {deleted} deleted, {unseen} unseen, {size} bytes"
        )
    }
}
