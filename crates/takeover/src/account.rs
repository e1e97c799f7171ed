//! An account of the original, checked and copied into one of ours.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mox_base::{Address, Domain, Localpart, MailboxName, MsgId, UnixSeconds};
use mox_bstore::Record;
use mox_policy::PassKey;
use mox_store::{Account as Ours, Repair};

use crate::check::Ledger;
use crate::file::{DatabaseFile, TakeoverError};
use crate::mailbox::{self, Base};
use crate::message::Aside;
use crate::messages::Passing;
use crate::password::{self, Stored};
use crate::records::{self, PASSWORD, RECIPIENT, Reading, SUBJECTPASS};
use crate::summary::Summary;

/// Recipients of one commit.
const BATCH_RECIPIENTS_MAX: usize = 1_000;

/// Who is told how far it is, and may end it.
pub trait Watch {
    /// Called before each part, with words for people.
    fn part(&mut self, _name: &str) {}

    /// Called after each commit. `false` ends the copying; done again, it goes on from there.
    fn progress(&mut self, done: u64, total: u64) -> bool;
}

/// An account of the original.
#[derive(Debug)]
pub struct Account {
    pub(crate) dir: PathBuf,
    pub(crate) index: DatabaseFile,
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

    /// Reads all that [`Account::copy`] reads but the contents of messages, and tells what it would tell.
    /// Blocks, for long. Memory is that of the mailboxes and of ranges of UIDs.
    ///
    /// # Errors
    ///
    /// If a part is damaged or missing on which all else depends.
    pub fn check(&self, watch: &mut dyn Watch) -> Result<Summary, TakeoverError> {
        self.pass(None, None, watch)
    }

    /// Copies everything that ours has a place for into an account that was made for it and that nobody
    /// uses. What was copied before is passed over. Blocks, for long.
    ///
    /// What is damaged is noted in the summary, and the rest is copied; a message that is there by its
    /// record and cannot be read becomes one that was removed, so that clients do not wait for it.
    ///
    /// - `introbox`: the mailbox of the setting `Introbox`.
    ///
    /// # Errors
    ///
    /// If the account holds other mail, a disk fails, or a part is damaged or missing on which all else
    /// depends.
    pub fn copy(
        &self,
        into: &Ours,
        introbox: Option<&MailboxName>,
        watch: &mut dyn Watch,
    ) -> Result<Summary, TakeoverError> {
        let copied = self.pass(Some(into), introbox, watch);
        let ended = into.keep_ended().wait();
        let summary = copied?;
        ended?;
        Ok(summary)
    }

    /// Goes through the account, and copies it if there is something to copy it into.
    fn pass(
        &self,
        into: Option<&Ours>,
        introbox: Option<&MailboxName>,
        watch: &mut dyn Watch,
    ) -> Result<Summary, TakeoverError> {
        let mut summary = Summary::default();
        let base = mailbox::read(&self.index, &mut summary)?;
        if let Some(into) = into {
            into.keep(base.kept.clone()).wait()?;
        }
        self.password(into, &mut summary)?;
        self.pass_keys(into, &mut summary)?;
        let introbox = base.kept.mailboxes.iter().find(|one| Some(&one.name) == introbox);
        let ids: BTreeSet<_> = base.kept.mailboxes.iter().map(|one| one.id).collect();
        let aside = Aside {
            mailboxes: &ids,
            introbox: introbox.map(|one| one.id),
            has_threads: base.has_threads,
        };
        let total = base.noted.values().map(|noted| noted.total.saturating_add(noted.deleted));
        let total = total.fold(0, u64::saturating_add);
        let ledger = Ledger::new(&base);
        let mut passing = Passing::new(self, into, aside, ledger, &mut summary, watch, total);
        let is_done = passing.run(&base)?;
        self.recipients(into, &mut summary)?;
        records::read_left(&self.index, &mut summary);
        if is_done && !base.has_threads {
            find_threads(into, &base, &mut summary, watch)?;
        }
        Ok(summary)
    }

    fn password(&self, into: Option<&Ours>, summary: &mut Summary) -> Result<(), TakeoverError> {
        let faults = summary.damaged.len();
        let Some(record) = records::single(&self.index, &PASSWORD, summary) else {
            if summary.damaged.len() == faults {
                summary.differs("accounts without a password", "index.db: no Password");
            }
            return Ok(());
        };
        let secret = match password::stored(&record) {
            Ok(Stored::Verifiers(verifiers)) => verifiers,
            Ok(Stored::Bcrypt(hash, why)) => {
                let what = "passwords that are for PLAIN only until the first login";
                summary.differs(what, format!("index.db: Password: {why}"));
                hash
            }
            Err(error) => {
                summary.skip("passwords that must be set anew", error.to_string());
                return Ok(());
            }
        };
        if let Some(into) = into {
            into.set_secret("password", Some(secret)).wait()?;
        }
        summary.took(PASSWORD.what, 1);
        Ok(())
    }

    fn pass_keys(&self, into: Option<&Ours>, summary: &mut Summary) -> Result<(), TakeoverError> {
        let Some(table) = records::open(&self.index, &SUBJECTPASS, summary) else { return Ok(()) };
        let mut reading = Reading::new(&self.index, &table, &SUBJECTPASS);
        while let Some(record) = reading.next(summary) {
            let address = Address::parse(record.text("Email"));
            match (address, PassKey::from_stored(record.text("Key"))) {
                (Ok(address), Some(key)) => {
                    if let Some(into) = into {
                        into.pass_key(address, key).wait()?;
                    }
                    summary.took(SUBJECTPASS.what, 1);
                }
                _ => summary.skip("keys of codes that cannot be used", record.text("Email")),
            }
        }
        Ok(())
    }
}

impl Account {
    /// Who is written to. Most of it stands in the messages too, but not who got them by Bcc.
    fn recipients(&self, into: Option<&Ours>, summary: &mut Summary) -> Result<(), TakeoverError> {
        let Some(table) = records::open(&self.index, &RECIPIENT, summary) else { return Ok(()) };
        let mut reading = Reading::new(&self.index, &table, &RECIPIENT);
        let mut batch = Vec::new();
        loop {
            let record = reading.next(summary);
            if let Some(record) = &record {
                batch.extend(recipient(record, summary));
            }
            if batch.len() >= BATCH_RECIPIENTS_MAX || record.is_none() {
                summary.took(RECIPIENT.what, batch.len() as u64);
                let batch = std::mem::take(&mut batch);
                if let Some(into) = into.filter(|_| !batch.is_empty()) {
                    into.keep_recipients(batch).wait()?;
                }
            }
            if record.is_none() {
                return Ok(());
            }
        }
    }
}

fn recipient(record: &Record, summary: &mut Summary) -> Option<(MsgId, Address, UnixSeconds)> {
    let localpart = Localpart::parse(record.text("Localpart"));
    let domain = Domain::parse(record.text("Domain"));
    let sent = record.time("Sent").map_or(0, |time| time.unix_secs);
    match (localpart, domain) {
        (Ok(localpart), Ok(domain)) => {
            let message = MsgId(record.i64("MessageID"));
            Some((message, Address { localpart, domain }, UnixSeconds(sent)))
        }
        _ => {
            let told = format!("{:?} at {:?}", record.text("Localpart"), record.text("Domain"));
            summary.skip("people written to whose address is none", told);
            None
        }
    }
}

/// Finds the threads of all messages, as the original had not.
fn find_threads(
    into: Option<&Ours>,
    base: &Base,
    summary: &mut Summary,
    watch: &mut dyn Watch,
) -> Result<(), TakeoverError> {
    summary.differs("accounts of which all threads are found anew", "index.db: Upgrade.Threads");
    let Some(into) = into else { return Ok(()) };
    let total = base.kept.last_message.0.max(0).cast_unsigned();
    let mut after = Some(0);
    while let Some(id) = after {
        after = into.repair_some(Repair::Threads, id)?.next;
        if !watch.progress(id.cast_unsigned().min(total), total) {
            break;
        }
    }
    Ok(())
}
