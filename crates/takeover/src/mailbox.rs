//! Mailboxes, subscriptions, annotations and counters of an account.

use std::collections::{BTreeMap, BTreeSet};

use mox_base::{Keyword, MailboxId, MailboxName, ModSeq, MsgId, SpecialUse, UidValidity};
use mox_bstore::Record;
use mox_store::{
    ANNOTATION_BYTES_MAX, ANNOTATIONS_MAX, KeptAccount, KeptAnnotation, KeptMailbox,
    MAILBOX_KEYWORDS_MAX, MAILBOXES_MAX,
};

use crate::file::{DatabaseFile, TakeoverError};
use crate::known::Kind;
use crate::message::{self, MODSEQ_MAX};
use crate::records::{
    self, ANNOTATION, DISK_USAGE, MAILBOX, MESSAGE, NEXT_UIDVALIDITY, REQUIRED, Reading,
    SUBSCRIPTION, SYNC_STATE, UPGRADE,
};
use crate::summary::Summary;

/// Special uses by the names of their fields.
const ROLES: &[(&str, SpecialUse)] = &[
    ("Archive", SpecialUse::ARCHIVE),
    ("Draft", SpecialUse::DRAFTS),
    ("Junk", SpecialUse::JUNK),
    ("Sent", SpecialUse::SENT),
    ("Trash", SpecialUse::TRASH),
];

/// The most subscriptions that are taken: as many again as there can be mailboxes.
const SUBSCRIPTIONS_MAX: usize = 2 * MAILBOXES_MAX;

/// What is read before any message is.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) kept: KeptAccount,
    /// Of the mailboxes in `kept`, what the original counted in them.
    pub(crate) noted: BTreeMap<i64, Noted>,
    /// Mailboxes that were deleted.
    pub(crate) deleted: BTreeSet<i64>,
    /// Up to this modseq, removals may have been forgotten.
    pub(crate) forgotten: Option<ModSeq>,
    /// Whether threads can be taken as they are.
    pub(crate) has_threads: bool,
    /// Bytes of all messages, as the original counted them.
    pub(crate) used_bytes: Option<u64>,
}

/// Counts of a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) total: u64,
    pub(crate) deleted: u64,
    pub(crate) unread: u64,
    pub(crate) unseen: u64,
    pub(crate) size: u64,
}

/// Reads everything but messages, and notes what does not fit together.
///
/// # Errors
///
/// If the database is none of an account, or messages cannot be read at all.
pub(crate) fn read(index: &DatabaseFile, summary: &mut Summary) -> Result<Base, TakeoverError> {
    for kind in REQUIRED {
        if matches!(index.table(kind.table), Ok(None)) {
            let path = index.path.clone();
            return Err(TakeoverError::Missing { path, what: kind.table });
        }
    }
    let upgrade = records::single(index, &UPGRADE, summary);
    let upgraded = |field| upgrade.as_ref().is_some_and(|record| record.bool(field));
    let has_threads = upgrade.as_ref().is_some_and(|record| record.u64("Threads") >= THREADS_DONE);
    let mut mailboxes = Mailboxes {
        has_modseqs: upgraded("MailboxModSeq"),
        has_parents: upgraded("MailboxParentID"),
        ..Mailboxes::default()
    };
    mailboxes.read(index, summary);
    summary.took("mailboxes", mailboxes.kept.len() as u64);
    let (modseq, forgotten) = modseqs(index, summary);
    mailboxes.bound_modseqs(modseq, summary);
    let kept = KeptAccount {
        modseq,
        last_message: MsgId(sequence(index.required(MESSAGE.table)?.sequence())),
        last_mailbox: MailboxId(mailboxes.sequence),
        next_uidvalidity: next_uidvalidity(index, &mailboxes.kept, summary),
        subscriptions: subscriptions(index, summary),
        annotations: annotations(index, &mailboxes, summary),
        mailboxes: mailboxes.kept,
    };
    let used_bytes = records::single(index, &DISK_USAGE, summary);
    Ok(Base {
        kept,
        noted: mailboxes.noted,
        deleted: mailboxes.deleted,
        forgotten,
        has_threads,
        used_bytes: used_bytes.map(|record| record.u64("MessageSize")),
    })
}

/// `Upgrade.Threads` when threads are complete.
const THREADS_DONE: u64 = 2;

fn sequence(last: u64) -> i64 {
    i64::try_from(last).unwrap_or(i64::MAX).min(message::ID_MAX)
}

/// The last modseq that was given out, and up to which one removals may have been forgotten.
fn modseqs(index: &DatabaseFile, summary: &mut Summary) -> (ModSeq, Option<ModSeq>) {
    let state = records::single(index, &SYNC_STATE, summary);
    let last = state.as_ref().map(|state| state.u64("LastModSeq"));
    let last = match last.filter(|last| *last <= MODSEQ_MAX) {
        Some(last) => last,
        // Not told: the last that was used. What went wrong on the way is noted when it is read again.
        None => {
            summary.differs("counters made anew", "index.db: the last modseq");
            let mut unheard = Summary::default();
            [&MAILBOX, &MESSAGE, &ANNOTATION]
                .into_iter()
                .map(|kind| last_used(index, kind, "ModSeq", MODSEQ_MAX, &mut unheard))
                .fold(0, u64::max)
        }
    };
    let forgotten = state.map_or(-1, |state| state.i64("HighestDeletedModSeq"));
    let forgotten = u64::try_from(forgotten).ok().filter(|seq| (1..=last).contains(seq));
    (ModSeq::new(last.max(1)).unwrap_or_default(), forgotten.and_then(ModSeq::new))
}

/// The largest number in a field that can be believed.
fn last_used(
    index: &DatabaseFile,
    kind: &'static Kind,
    field: &str,
    most: u64,
    unheard: &mut Summary,
) -> u64 {
    let Some(table) = records::open(index, kind, unheard) else { return 0 };
    let mut reading = Reading::new(index, &table, kind);
    let mut last = 0;
    while let Some(record) = reading.next(unheard) {
        last = last.max(Some(record.u64(field)).filter(|one| *one <= most).unwrap_or(0));
    }
    last
}

fn next_uidvalidity(
    index: &DatabaseFile,
    mailboxes: &[KeptMailbox],
    summary: &mut Summary,
) -> Option<UidValidity> {
    let record = records::single(index, &NEXT_UIDVALIDITY, summary);
    let next = record.and_then(|record| u32::try_from(record.u64("Next")).ok());
    let next = next.and_then(UidValidity::new);
    let is_low = |next: &UidValidity| mailboxes.iter().any(|one| one.uidvalidity >= *next);
    if next.as_ref().is_none_or(is_low) {
        summary.differs("counters made anew", "index.db: the next UIDVALIDITY");
    }
    next
}

fn subscriptions(index: &DatabaseFile, summary: &mut Summary) -> Vec<MailboxName> {
    let Some(table) = records::open(index, &SUBSCRIPTION, summary) else { return Vec::new() };
    let mut reading = Reading::new(index, &table, &SUBSCRIPTION);
    let mut names = Vec::new();
    while let Some(record) = reading.next(summary) {
        match MailboxName::parse_any_form(record.text("Name")) {
            Ok(_) if names.len() >= SUBSCRIPTIONS_MAX => {
                summary.skip("subscriptions beyond our limits", record.text("Name"));
            }
            Ok(name) => names.push(name),
            Err(error) => {
                let told = format!("{:?}: {error}", record.text("Name"));
                summary.skip("subscriptions that cannot be used", told);
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    summary.took("subscriptions", names.len() as u64);
    names
}

fn annotations(
    index: &DatabaseFile,
    mailboxes: &Mailboxes,
    summary: &mut Summary,
) -> Vec<KeptAnnotation> {
    let Some(table) = records::open(index, &ANNOTATION, summary) else { return Vec::new() };
    let mut reading = Reading::new(index, &table, &ANNOTATION);
    let mut all: BTreeMap<(i64, String), KeptAnnotation> = BTreeMap::new();
    let mut bytes = 0_usize;
    while let Some(record) = reading.next(summary) {
        let id = record.i64("MailboxID");
        if record.bool("Expunged") || mailboxes.deleted.contains(&id) {
            continue;
        }
        let key = record.text("Key").to_ascii_lowercase();
        if id != 0 && !mailboxes.noted.contains_key(&id) {
            summary.skip("annotations of mailboxes that are not there", format!("{key:?} of {id}"));
            continue;
        }
        let value = record.bytes("Value").to_vec();
        let with_this = bytes.saturating_add(key.len()).saturating_add(value.len());
        if key.is_empty() || all.len() >= ANNOTATIONS_MAX || with_this > ANNOTATION_BYTES_MAX {
            summary.skip("annotations beyond our limits", format!("{key:?}"));
            continue;
        }
        bytes = with_this;
        let mailbox = Some(MailboxId(id)).filter(|id| id.0 != 0);
        let is_binary = !record.bool("IsString");
        let kept = KeptAnnotation { mailbox, name: key.clone(), value, is_binary };
        if all.insert((id, key.clone()), kept).is_some() {
            summary.differs("annotations that were there twice", format!("{key:?} of {id}"));
        }
    }
    summary.took("annotations", all.len() as u64);
    all.into_values().collect()
}

/// The mailboxes of an account while they are read.
#[derive(Default)]
struct Mailboxes {
    has_modseqs: bool,
    has_parents: bool,
    kept: Vec<KeptMailbox>,
    noted: BTreeMap<i64, Noted>,
    deleted: BTreeSet<i64>,
    names: BTreeSet<MailboxName>,
    roles: SpecialUse,
    sequence: i64,
}

impl Mailboxes {
    fn read(&mut self, index: &DatabaseFile, summary: &mut Summary) {
        if !self.read_sound(index, summary) {
            // No new mailbox may get the id of one that is lost: its messages still have it.
            let unheard = &mut Summary::default();
            let most = message::ID_MAX.cast_unsigned();
            let last = last_used(index, &MESSAGE, "MailboxID", most, unheard);
            self.sequence = self.sequence.max(sequence(last));
        }
        let mut missing = BTreeSet::new();
        for name in &self.names {
            let mut above = name.parent();
            while let Some(name) = above.filter(|name| !self.names.contains(name)) {
                above = name.parent();
                missing.insert(name);
            }
        }
        for name in missing {
            summary.differs("mailboxes made above others", name.to_string());
        }
    }

    /// Reads those that can be read. `false` if any cannot be.
    fn read_sound(&mut self, index: &DatabaseFile, summary: &mut Summary) -> bool {
        let Some(table) = records::open(index, &MAILBOX, summary) else { return false };
        self.sequence = sequence(table.sequence());
        let mut reading = Reading::new(index, &table, &MAILBOX);
        // Of those that exist: its name as it was, and the mailbox above.
        let mut tree = BTreeMap::new();
        while let Some(record) = reading.next(summary) {
            let id = record.i64("ID");
            if !(1..=message::ID_MAX).contains(&id) {
                summary
                    .damage(MAILBOX.what, format!("index.db: mailbox {id}: its id cannot be one"));
            } else if record.bool("Expunged") {
                self.deleted.insert(id);
            } else if self.kept.len() >= MAILBOXES_MAX {
                summary.damage("mailboxes beyond our limits", format!("{:?}", record.text("Name")));
            } else {
                tree.insert(id, (record.text("Name").to_owned(), record.i64("ParentID")));
                self.add(&record, summary);
            }
        }
        if self.has_parents {
            check_parents(&tree, summary);
        }
        reading.faults == 0
    }

    fn add(&mut self, record: &Record, summary: &mut Summary) {
        let (id, name) = (record.i64("ID"), record.text("Name"));
        let uidvalidity = u32::try_from(record.u64("UIDValidity")).ok();
        let Some(uidvalidity) = uidvalidity.and_then(UidValidity::new) else {
            let told = format!("index.db: mailbox {id}, {name:?}: without UIDVALIDITY");
            return summary.damage(MAILBOX.what, told);
        };
        let parsed = MailboxName::parse_any_form(name).ok();
        let kept_name = match parsed.filter(|name| !self.names.contains(name)) {
            Some(kept) => {
                if kept.as_str() != name {
                    let told = format!("{name:?} is now {kept}");
                    summary.differs("mailboxes with another name", told);
                }
                kept
            }
            None => {
                let Some(fresh) = fresh_name("Mailbox", id, &self.names) else { return };
                summary.differs("mailboxes with another name", format!("{name:?} is now {fresh}"));
                fresh
            }
        };
        self.names.insert(kept_name.clone());
        let (mut keywords, bad): (Vec<Keyword>, _) = message::keywords(record.get("Keywords"));
        let beyond = keywords.split_off(keywords.len().min(MAILBOX_KEYWORDS_MAX));
        for keyword in bad.into_iter().chain(beyond.iter().map(ToString::to_string)) {
            let told = format!("{keyword:?} of {name:?}");
            summary.skip("keywords that cannot be used", told);
        }
        // Before mailboxes had modseqs: their messages raise it.
        let field = |name| if self.has_modseqs { name } else { "" };
        let modseq = message::modseq(record, field("ModSeq"));
        let createseq = message::modseq(record, field("CreateSeq"));
        let uidnext = u32::try_from(record.u64("UIDNext")).unwrap_or_else(|_| {
            // Its messages and removals raise it; the largest would leave none for new mail.
            let told = format!("index.db: mailbox {id}, {name:?}: {}", record.u64("UIDNext"));
            summary.damage("next UIDs that cannot be any", told);
            1
        });
        let uidnext = uidnext.max(1);
        let special_use = self.roles_of(record, summary);
        let name = kept_name;
        let id = MailboxId(id);
        self.noted.insert(id.0, Noted::of(record));
        self.kept.push(KeptMailbox {
            id,
            name,
            uidvalidity,
            uidnext,
            modseq,
            createseq,
            special_use,
            keywords,
        });
    }

    /// A modseq above the last that was given out becomes the next one, as those of messages do: the account
    /// counts on from the largest, and must not come to the end of all numbers.
    fn bound_modseqs(&mut self, last: ModSeq, summary: &mut Summary) {
        let next = ModSeq::new(last.get() + 1).unwrap_or(last);
        for one in self.kept.iter_mut().filter(|one| one.modseq > last) {
            let told = format!("index.db: mailbox {}: {}", one.id, one.modseq);
            summary.damage("modseqs above the last of the account", told);
            one.modseq = next;
            one.createseq = one.createseq.min(next);
        }
    }

    /// A role is of one mailbox: of the one with the lowest id, if several have it.
    fn roles_of(&mut self, record: &Record, summary: &mut Summary) -> SpecialUse {
        let mut roles = SpecialUse::NONE;
        for (field, role) in ROLES.iter().filter(|(field, _)| record.bool(field)) {
            if self.roles.contains(*role) {
                let told = format!("{field}: not of {:?}", record.text("Name"));
                summary.differs("special uses that several mailboxes had", told);
            } else {
                roles = roles | *role;
            }
        }
        self.roles = self.roles | roles;
        roles
    }
}

impl Noted {
    fn of(record: &Record) -> Self {
        Self {
            total: record.u64("Total"),
            deleted: record.u64("Deleted"),
            unread: record.u64("Unread"),
            unseen: record.u64("Unseen"),
            size: record.u64("Size"),
        }
    }
}

/// A name that no mailbox has, for one that cannot keep its own.
pub(crate) fn fresh_name(
    word: &str,
    id: i64,
    names: &BTreeSet<MailboxName>,
) -> Option<MailboxName> {
    // One more try than there are names finds one.
    let tries = (0..=names.len()).map(|number| match number {
        0 => format!("{word}-{id}"),
        _ => format!("{word}-{id}-{number}"),
    });
    tries.filter_map(|name| MailboxName::parse(&name).ok()).find(|name| !names.contains(name))
}

fn check_parents(tree: &BTreeMap<i64, (String, i64)>, summary: &mut Summary) {
    for (name, parent) in tree.values() {
        let wanted = name.rsplit_once('/').map(|(above, _)| above);
        let found = tree.get(parent).map(|(name, _)| name.as_str());
        if wanted != found {
            let told = format!("{name:?} was below {found:?}");
            summary.differs("mailboxes that are where their name says", told);
        }
    }
}
