//! An account of the original, copied into one of ours.

use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;

use mox_base::{
    Address, Keyword, MailboxId, MailboxName, ModSeq, MsgId, SpecialUse, Uid, UidValidity,
};
use mox_bstore::Record;
use mox_policy::PassKey;
use mox_store::{Account as Ours, KeptAccount, KeptMailbox, KeptMessage, Reader, StoreError};

use crate::file::{DatabaseFile, TakeoverError};
use crate::message::{self, Aside};
use crate::password;
use crate::summary::{LOST, Summary};

/// The most messages of one commit. Few enough that a crash repeats little.
pub const BATCH_MESSAGES_MAX: usize = 256;

/// The most bytes of messages that are prepared for one commit; one message may be larger.
pub const BATCH_BYTES_MAX: i64 = 16 << 20;

/// Removals that are noted in one commit.
const BATCH_GONE_MAX: usize = 4_096;

/// Threads that read and compress messages. More would wait for the one that writes.
const THREADS: usize = 4;

/// Records that ours keeps nowhere, and what they are.
const LEFT: &[(&str, &str)] = &[
    ("Settings", "settings of webmail"),
    ("FromAddressSettings", "settings of webmail about a sender"),
    ("RulesetNoListID", "questions not to be asked again"),
    ("RulesetNoMsgFrom", "questions not to be asked again"),
    ("RulesetNoMailbox", "questions not to be asked again"),
    ("LoginSession", "logins of web pages"),
    ("Outgoing", "entries about messages sent in the last day"),
    ("RecipientDomainTLS", "what servers of recipients offered"),
];

/// Who is told how far it is, and may end it.
pub trait Watch {
    /// Called after each commit. `false` ends the copying; done again, it goes on from there.
    fn progress(&mut self, done: u64, total: u64) -> bool;
}

/// An account of the original.
#[derive(Debug)]
pub struct Account {
    dir: PathBuf,
    index: DatabaseFile,
}

impl Account {
    /// Opens the directory of an account, and locks its database for reading. Blocks.
    ///
    /// # Errors
    ///
    /// If it is in use, or is no such directory.
    pub fn open(dir: &Path) -> Result<Self, TakeoverError> {
        let index = DatabaseFile::open(dir.join("index.db"))?;
        Ok(Self { dir: dir.to_owned(), index })
    }

    /// Copies everything that ours has a place for into an account that was made for it and that nobody
    /// uses. What was copied before is passed over. Blocks, for long.
    ///
    /// - `introbox`: the mailbox of the setting `Introbox`.
    ///
    /// # Errors
    ///
    /// If the account holds other mail, a disk fails, or a part is damaged on which all else depends.
    /// Damaged messages are noted in the summary, and the rest is copied.
    pub fn copy(
        &self,
        into: &Ours,
        introbox: Option<&MailboxName>,
        watch: &mut dyn Watch,
    ) -> Result<Summary, TakeoverError> {
        let mut summary = Summary::default();
        if self.index.database.may_be_older() {
            let path = self.index.path.display().to_string();
            summary.differs("databases of which the last commit may be missing", path);
        }
        let kept = self.kept(&mut summary)?;
        let mailboxes = kept.mailboxes.clone();
        into.keep(kept).wait()?;
        self.copy_annotations(into, &mailboxes, &mut summary)?;
        self.copy_password(into, &mut summary)?;
        self.copy_pass_keys(into, &mut summary)?;
        let introbox = mailboxes.iter().find(|one| Some(&one.name) == introbox);
        let ids: Vec<_> = mailboxes.iter().map(|one| one.id).collect();
        let aside = Aside { mailboxes: &ids, introbox: introbox.map(|one| one.id) };
        Copying { account: self, into, aside, summary: &mut summary, watch }.messages()?;
        for (table, what) in LEFT {
            if let Some(table) = self.index.table(table)? {
                summary.leave(what, table.records().filter(Result::is_ok).count() as u64);
            }
        }
        Ok(summary)
    }

    /// The single record of a type, if there is one.
    fn single(&self, table: &'static str) -> Result<Option<Record>, TakeoverError> {
        let Some(found) = self.index.table(table)? else { return Ok(None) };
        let path = self.index.path.clone();
        let read = |source| TakeoverError::Table { path, table, source };
        found.records().next().transpose().map_err(read)
    }

    fn kept(&self, summary: &mut Summary) -> Result<KeptAccount, TakeoverError> {
        let missing = |what| TakeoverError::Missing { path: self.index.path.clone(), what };
        let next = self.single("NextUIDValidity")?.ok_or_else(|| missing("NextUIDValidity"))?;
        let next = u32::try_from(next.u64("Next")).ok().and_then(UidValidity::new);
        let last = self.single("SyncState")?.map_or(1, |state| state.u64("LastModSeq"));
        let sequence = |last| i64::try_from(last).unwrap_or(i64::MAX);
        let table = self.index.required("Mailbox")?;
        let mut mailboxes = Vec::new();
        for record in table.records() {
            match record {
                Ok(record) if record.bool("Expunged") => {}
                Ok(record) => mailboxes.extend(mailbox(&record, summary)),
                Err(fault) => summary.damage("mailboxes", fault.to_string()),
            }
        }
        summary.took("mailboxes", mailboxes.len() as u64);
        let subscriptions = self.index.required("Subscription")?;
        let names = subscriptions.records().flatten();
        let names = names.filter_map(|record| MailboxName::parse(record.text("Name")).ok());
        let subscriptions: Vec<_> = names.collect();
        summary.took("subscriptions", subscriptions.len() as u64);
        Ok(KeptAccount {
            modseq: ModSeq::new(last.max(1)).unwrap_or_default(),
            last_message: MsgId(sequence(self.index.required("Message")?.sequence())),
            last_mailbox: MailboxId(sequence(table.sequence())),
            next_uidvalidity: next.ok_or_else(|| missing("NextUIDValidity"))?,
            mailboxes,
            subscriptions,
        })
    }

    fn copy_annotations(
        &self,
        into: &Ours,
        mailboxes: &[KeptMailbox],
        summary: &mut Summary,
    ) -> Result<(), TakeoverError> {
        let Some(table) = self.index.table("Annotation")? else { return Ok(()) };
        for record in table.records().flatten().filter(|record| !record.bool("Expunged")) {
            let id = record.i64("MailboxID");
            let of = mailboxes.iter().find(|one| one.id.0 == id).map(|one| one.name.clone());
            if id != 0 && of.is_none() {
                continue;
            }
            let key = record.text("Key").to_owned();
            let value = (record.bytes("Value").to_vec(), !record.bool("IsString"));
            match into.set_annotations(of, vec![(key.clone(), Some(value))]).wait() {
                Ok(()) => summary.took("annotations", 1),
                Err(StoreError::TooManyAnnotations | StoreError::AnnotationsTooLarge) => {
                    summary.skip("annotations beyond our limits", key);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn copy_password(&self, into: &Ours, summary: &mut Summary) -> Result<(), TakeoverError> {
        let Some(record) = self.single("Password")? else {
            summary.differs("accounts without a password", into.name().to_owned());
            return Ok(());
        };
        match password::verifiers(&record) {
            Ok(verifiers) => {
                into.set_secret("password", Some(verifiers)).wait()?;
                summary.took("passwords", 1);
            }
            Err(error) => summary.skip("passwords that must be set anew", error.to_string()),
        }
        Ok(())
    }

    fn copy_pass_keys(&self, into: &Ours, summary: &mut Summary) -> Result<(), TakeoverError> {
        let Some(table) = self.index.table("Subjectpass")? else { return Ok(()) };
        for record in table.records().flatten() {
            let address = Address::parse(record.text("Email"));
            match (address, PassKey::from_stored(record.text("Key"))) {
                (Ok(address), Some(key)) => {
                    into.pass_key(address, key).wait()?;
                    summary.took("keys of codes for refused senders", 1);
                }
                _ => summary.skip("keys of codes that cannot be used", record.text("Email")),
            }
        }
        Ok(())
    }
}

fn mailbox(record: &Record, summary: &mut Summary) -> Option<KeptMailbox> {
    let (id, name) = (record.i64("ID"), record.text("Name"));
    let Some(uidvalidity) =
        u32::try_from(record.u64("UIDValidity")).ok().and_then(UidValidity::new)
    else {
        summary.damage("mailboxes", format!("{name:?} without UIDVALIDITY"));
        return None;
    };
    let parsed = MailboxName::parse(name).or_else(|_| {
        summary.differs("mailboxes with another name", format!("{name:?} is now Mailbox-{id}"));
        MailboxName::parse(&format!("Mailbox-{id}"))
    });
    let (keywords, bad): (Vec<Keyword>, _) = message::keywords(record.get("Keywords"));
    for keyword in bad {
        summary.skip("keywords that cannot be used", format!("{keyword:?} of {name:?}"));
    }
    let roles = [
        ("Archive", SpecialUse::ARCHIVE),
        ("Draft", SpecialUse::DRAFTS),
        ("Junk", SpecialUse::JUNK),
        ("Sent", SpecialUse::SENT),
        ("Trash", SpecialUse::TRASH),
    ];
    let roles = roles.into_iter().filter(|(field, _)| record.bool(field));
    Some(KeptMailbox {
        id: MailboxId(id),
        name: parsed.ok()?,
        uidvalidity,
        uidnext: u32::try_from(record.u64("UIDNext")).unwrap_or(u32::MAX).max(1),
        modseq: message::modseq(record, "ModSeq"),
        createseq: message::modseq(record, "CreateSeq"),
        special_use: roles.fold(SpecialUse::NONE, |all, (_, role)| all | role),
        keywords,
    })
}

/// The messages of an account on their way.
struct Copying<'a> {
    account: &'a Account,
    into: &'a Ours,
    aside: Aside<'a>,
    summary: &'a mut Summary,
    watch: &'a mut dyn Watch,
}

impl Copying<'_> {
    fn messages(&mut self) -> Result<(), TakeoverError> {
        let table = self.account.index.required("Message")?;
        let total: u64 = self
            .account
            .index
            .required("Mailbox")?
            .records()
            .flatten()
            .filter(|record| !record.bool("Expunged"))
            .map(|record| record.u64("Total") + record.u64("Deleted"))
            .sum();
        // Records come in the order of their ids, and so do commits: what is below is there.
        let before = self.into.read().and_then(|reader: Reader| reader.last_message())?;
        let before = before.map_or(0, |id| id.0);
        let (mut batch, mut bytes, mut gone, mut done) = (Vec::new(), 0, Vec::new(), 0);
        for record in table.records() {
            let record = match record {
                Ok(record) => record,
                Err(fault) => {
                    self.summary.damage("records of messages", fault.to_string());
                    continue;
                }
            };
            if record.bool("Expunged") {
                gone.extend(removal(&record));
                if gone.len() >= BATCH_GONE_MAX {
                    self.flush_gone(&mut gone)?;
                }
                continue;
            }
            done += 1;
            if record.i64("ID") <= before {
                self.summary.took("messages", 1);
                continue;
            }
            bytes += record.i64("Size").max(0);
            batch.push(record);
            if batch.len() >= BATCH_MESSAGES_MAX || bytes >= BATCH_BYTES_MAX {
                bytes = 0;
                self.flush(&mut batch)?;
                if !self.watch.progress(done, total) {
                    return Ok(());
                }
            }
        }
        self.flush(&mut batch)?;
        self.flush_gone(&mut gone)?;
        self.watch.progress(done, total);
        Ok(())
    }

    fn flush_gone(
        &mut self,
        gone: &mut Vec<(MailboxId, ModSeq, Uid)>,
    ) -> Result<(), TakeoverError> {
        self.summary.took("removals that clients are told", gone.len() as u64);
        Ok(self.into.keep_gone(std::mem::take(gone)).wait()?)
    }

    /// Commits a batch of messages. If it is refused as a whole, each by itself.
    fn flush(&mut self, batch: &mut Vec<Record>) -> Result<(), TakeoverError> {
        let records = std::mem::take(batch);
        let staged = self.stage_all(&records)?;
        let count = staged.len() as u64;
        match self.into.keep_messages(staged).wait() {
            Ok(()) => {
                self.summary.took("messages", count);
                return Ok(());
            }
            Err(error) if !is_of_one_message(&error) => return Err(error.into()),
            Err(_) => {}
        }
        for record in &records {
            let Some(message) = stage(self.account, self.into, &self.aside, record)?.message else {
                continue;
            };
            match self.into.keep_messages(vec![message]).wait() {
                Ok(()) => self.summary.took("messages", 1),
                Err(error) if is_of_one_message(&error) => {
                    self.summary.damage(LOST, format!("{}: {error}", shown(record)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads and compresses messages on several threads; the order stays.
    fn stage_all(&mut self, records: &[Record]) -> Result<Vec<KeptMessage>, TakeoverError> {
        let (account, into, aside) = (self.account, self.into, &self.aside);
        let size = records.len().div_ceil(THREADS).max(1);
        let parts: Vec<_> = thread::scope(|scope| {
            let work = |part: &'_ [Record]| {
                part.iter().map(|record| stage(account, into, aside, record)).collect::<Vec<_>>()
            };
            let threads: Vec<_> =
                records.chunks(size).map(|part| scope.spawn(move || work(part))).collect();
            threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        let mut messages = Vec::with_capacity(records.len());
        for part in parts {
            let part = part.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for found in part {
                let found = found?;
                messages.extend(found.message);
                for (kind, text) in found.notes {
                    match kind {
                        LOST => self.summary.damage(kind, text),
                        _ => self.summary.differs(kind, text),
                    }
                }
            }
        }
        Ok(messages)
    }
}

/// A removed message, as clients are told of it.
fn removal(record: &Record) -> Option<(MailboxId, ModSeq, Uid)> {
    let mailbox = MailboxId(record.i64("MailboxID"));
    Some((mailbox, message::modseq(record, "ModSeq"), message::uid(record)?))
}

/// Whether an error is about what one message is, and not about the account or the disk.
fn is_of_one_message(error: &StoreError) -> bool {
    matches!(error, StoreError::NoMailbox | StoreError::TooMany { .. } | StoreError::UidTaken)
}

fn shown(record: &Record) -> String {
    let (id, uid, mailbox) = (record.i64("ID"), record.u64("UID"), record.i64("MailboxID"));
    format!("message {id}, UID {uid} of mailbox {mailbox}")
}

/// What became of a message: it, or why it is not there, and what is not as it was.
struct Found {
    message: Option<KeptMessage>,
    notes: Vec<(&'static str, String)>,
}

fn stage(
    account: &Account,
    into: &Ours,
    aside: &Aside<'_>,
    record: &Record,
) -> Result<Found, TakeoverError> {
    let lost = |why: String| {
        Ok(Found { message: None, notes: vec![(LOST, format!("{}: {why}", shown(record)))] })
    };
    if !aside.mailboxes.contains(&MailboxId(record.i64("MailboxID"))) {
        return lost("its mailbox does not exist".to_owned());
    }
    let path = account.dir.join("msg").join(message::file_name(record.i64("ID")));
    let mut file = match File::open(&path) {
        Ok(file) => BufReader::new(file),
        Err(error) => return lost(format!("{}: {error}", path.display())),
    };
    let size = match file.seek(SeekFrom::End(0)) {
        Ok(size) => size,
        Err(error) => return lost(format!("{}: {error}", path.display())),
    };
    let mut notes = Vec::new();
    let prefix = record.bytes("MsgPrefix").to_vec();
    if prefix.len() as u64 + size != record.u64("Size") {
        notes.push(("messages of another size than noted", shown(record)));
    }
    for keyword in message::keywords(record.get("Keywords")).1 {
        notes.push(("keywords that cannot be used", format!("{keyword:?} of {}", shown(record))));
    }
    let content = match into.stage(prefix, &mut file) {
        Ok(content) => content,
        Err(StoreError::Io(error)) => return lost(format!("{}: {error}", path.display())),
        Err(error) => return Err(error.into()),
    };
    match message::message(record, content, aside) {
        Some(message) => Ok(Found { message: Some(message), notes }),
        None => lost("its UID cannot be one".to_owned()),
    }
}
