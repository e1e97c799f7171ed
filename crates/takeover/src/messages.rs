//! Going through the messages of an account, in batches.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::thread;

use mox_base::{MailboxId, ModSeq, MsgId, Uid};
use mox_bstore::Record;
use mox_store::{Account as Ours, KeptMessage, Pending, StoreError};

use crate::account::{Account, Watch};
use crate::check::{Judged, Ledger, Sound};
use crate::file::{TakeoverError, open_own};
use crate::junk;
use crate::mailbox::Base;
use crate::message::{self, Aside};
use crate::records::{self, MESSAGE, MESSAGE_ERASE, Reading};
use crate::summary::Summary;

/// The most messages of one commit. Few enough that a crash repeats little, and so many that a page of the
/// database in which several of them are noted is written once and not for each: with 256 a message takes a
/// third more time of the processors. With 1,024 it takes less still, but too much memory.
pub const BATCH_MESSAGES_MAX: usize = 512;

/// The most bytes of messages that are prepared for one commit; one message may be larger.
pub const BATCH_BYTES_MAX: u64 = 16 << 20;

/// Removals that are noted in one commit.
const BATCH_GONE_MAX: usize = 4_096;

/// Threads that read and compress messages. More would wait for the one that writes.
const THREADS: usize = 4;

/// The messages of an account on their way.
pub(crate) struct Passing<'a> {
    account: &'a Account,
    /// Where they are copied; `None` if they are only checked.
    into: Option<&'a Ours>,
    aside: Aside<'a>,
    ledger: Ledger,
    summary: &'a mut Summary,
    watch: &'a mut dyn Watch,
    batch: Vec<Sound>,
    bytes: u64,
    /// Staged, and on its way to the disk while the next ones are read.
    committing: Option<Committing>,
    gone: Vec<(MailboxId, ModSeq, Uid)>,
    done: u64,
    total: u64,
}

/// A batch of which the commit was asked for.
struct Committing {
    batch: Vec<Sound>,
    /// How many of them could be read.
    count: u64,
    outcome: Pending<()>,
}

impl<'a> Passing<'a> {
    pub(crate) fn new(
        account: &'a Account,
        into: Option<&'a Ours>,
        aside: Aside<'a>,
        ledger: Ledger,
        summary: &'a mut Summary,
        watch: &'a mut dyn Watch,
        total: u64,
    ) -> Self {
        Self {
            account,
            into,
            aside,
            ledger,
            summary,
            watch,
            batch: Vec::new(),
            bytes: 0,
            committing: None,
            gone: Vec::new(),
            done: 0,
            total,
        }
    }

    /// Goes through all messages. `false` if it was ended before.
    pub(crate) fn run(&mut self, base: &Base) -> Result<bool, TakeoverError> {
        let account = self.account;
        let table = account.index.required(MESSAGE.table)?;
        let mut reading = Reading::new(&account.index, &table, &MESSAGE);
        let erasing = records::open(&account.index, &MESSAGE_ERASE, self.summary);
        let mut erasing = Erasing {
            reading: erasing
                .as_ref()
                .map(|table| Reading::new(&account.index, table, &MESSAGE_ERASE)),
            next: None,
            bytes: 0,
        };
        erasing.advance(self.summary);
        let size_of_file = |id| size_of_file(account, id);
        while let Some(record) = reading.next(self.summary) {
            erasing.meet(&record, self.summary);
            let size = message::weight(&record);
            match self.ledger.judge(record, &size_of_file, self.summary) {
                Judged::Live(sound) => {
                    self.bytes = self.bytes.saturating_add(size.max(sound.size));
                    self.batch.push(sound);
                }
                Judged::Gone(mailbox, modseq, uid) => self.gone.push((mailbox, modseq, uid)),
                Judged::Nothing => {}
            }
            if self.gone.len() >= BATCH_GONE_MAX {
                self.flush_gone()?;
            }
            let is_full = self.batch.len() >= BATCH_MESSAGES_MAX || self.bytes >= BATCH_BYTES_MAX;
            if is_full && !self.flush()? {
                self.settle()?;
                return Ok(false);
            }
        }
        let goes_on = self.flush()?;
        self.settle()?;
        if !goes_on {
            return Ok(false);
        }
        self.flush_gone()?;
        // Messages that clients have, and removals they have not heard of, may lie where nothing can be
        // read: all that is not there is gone then, for every client.
        let forgotten = match reading.faults {
            0 => base.forgotten,
            _ => Some(self.ledger.raised()),
        };
        self.flush_presumed(forgotten)?;
        while erasing.next.is_some() {
            erasing.advance(self.summary);
        }
        if reading.faults == 0 {
            self.ledger.compare(base.used_bytes, erasing.bytes, self.summary);
        }
        junk::compare(&self.account.dir, self.ledger.marked(), self.summary)?;
        Ok(true)
    }

    fn flush_gone(&mut self) -> Result<(), TakeoverError> {
        let gone = std::mem::take(&mut self.gone);
        if let Some(into) = self.into {
            into.keep_gone(gone).wait()?;
        }
        Ok(())
    }

    fn flush_presumed(&mut self, forgotten: Option<ModSeq>) -> Result<(), TakeoverError> {
        let mut batch = Vec::new();
        let mut presumed = self.ledger.presumed_gone(forgotten, self.summary).peekable();
        while let Some(one) = presumed.next() {
            batch.push(one);
            if batch.len() < BATCH_GONE_MAX && presumed.peek().is_some() {
                continue;
            }
            let batch = std::mem::take(&mut batch);
            if let Some(into) = self.into {
                into.keep_gone(batch).wait()?;
            }
        }
        Ok(())
    }

    /// Deals with a batch of messages. `false` if it is to end here.
    fn flush(&mut self) -> Result<bool, TakeoverError> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        self.done = self.done.saturating_add(batch.len() as u64);
        let recovered = self.ledger.take_recovered();
        match self.into {
            Some(into) => {
                for (id, name) in recovered {
                    into.keep_recovered(id, name).wait()?;
                }
                self.copy(into, batch)?;
            }
            None => self.summary.took("messages", batch.len() as u64),
        }
        Ok(self.watch.progress(self.done, self.total))
    }

    /// Stages a batch of messages while the one before is committed, then has it committed.
    fn copy(&mut self, into: &Ours, batch: Vec<Sound>) -> Result<(), TakeoverError> {
        let ids: Vec<_> = batch.iter().map(|sound| MsgId(sound.id())).collect();
        let held = into.read()?.holds(&ids)?;
        let is_there = held.iter().filter(|held| **held).count();
        self.summary.took("messages", is_there as u64);
        let held = batch.into_iter().zip(held);
        let batch: Vec<_> = held.filter_map(|(sound, held)| (!held).then_some(sound)).collect();
        let staged = self.stage_all(into, &batch)?;
        // Not more than one batch in advance: memory is bounded by that.
        self.settle()?;
        // Those that could not be read are noted as lost, and are not tried again.
        let read: Vec<_> = staged.iter().map(|message| message.id).collect();
        let is_read = |sound: &Sound| read.contains(&MsgId(sound.id()));
        let batch: Vec<_> = batch.into_iter().filter(is_read).collect();
        let (count, outcome) = (staged.len() as u64, into.keep_messages(staged));
        self.committing = Some(Committing { batch, count, outcome });
        Ok(())
    }

    /// Waits for the commit that is under way. If the batch is refused as a whole, commits each of its
    /// messages by itself.
    fn settle(&mut self) -> Result<(), TakeoverError> {
        let (Some(into), Some(committing)) = (self.into, self.committing.take()) else {
            return Ok(());
        };
        match committing.outcome.wait() {
            Ok(()) => {
                self.summary.took("messages", committing.count);
                return Ok(());
            }
            Err(error) if !is_of_one_message(&error) => return Err(error.into()),
            Err(_) => {}
        }
        for sound in &committing.batch {
            let message = match stage(self.account, into, &self.aside, sound)? {
                Ok(message) => message,
                Err(why) => {
                    self.ledger.lose(sound, &why, self.summary);
                    continue;
                }
            };
            match into.keep_messages(vec![message]).wait() {
                Ok(()) => self.summary.took("messages", 1),
                Err(error) if is_of_one_message(&error) => {
                    self.ledger.lose(sound, &error.to_string(), self.summary);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads and compresses messages on several threads; the order stays.
    fn stage_all(
        &mut self,
        into: &Ours,
        batch: &[Sound],
    ) -> Result<Vec<KeptMessage>, TakeoverError> {
        let (account, aside) = (self.account, &self.aside);
        let size = batch.len().div_ceil(THREADS).max(1);
        let parts: Vec<_> = thread::scope(|scope| {
            let work = |part: &[Sound]| {
                part.iter().map(|sound| stage(account, into, aside, sound)).collect::<Vec<_>>()
            };
            let threads: Vec<_> =
                batch.chunks(size).map(|part| scope.spawn(move || work(part))).collect();
            threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        let parts = parts.into_iter();
        let parts = parts.map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let mut messages = Vec::with_capacity(batch.len());
        for (sound, staged) in batch.iter().zip(parts.flatten()) {
            match staged? {
                Ok(message) => messages.push(message),
                Err(why) => self.ledger.lose(sound, &why, self.summary),
            }
        }
        Ok(messages)
    }
}

/// Whether an error is about what one message is, and not about the account or the disk.
fn is_of_one_message(error: &StoreError) -> bool {
    matches!(error, StoreError::NoMailbox | StoreError::TooMany { .. } | StoreError::UidTaken)
}

/// How long the file of a message is, or why it is none.
fn size_of_file(account: &Account, id: i64) -> Result<u64, String> {
    let name = message::file_name(id);
    // Opened, so that a check finds what a copy could not read.
    let found = open_own(&account.dir.join("msg").join(&name)).and_then(|file| file.metadata());
    found.map(|found| found.len()).map_err(|error| format!("msg/{name}: {error}"))
}

/// Reads and compresses a message; or tells why it cannot be read.
fn stage(
    account: &Account,
    into: &Ours,
    aside: &Aside<'_>,
    sound: &Sound,
) -> Result<Result<KeptMessage, String>, TakeoverError> {
    let name = message::file_name(sound.id());
    let lost = |error| Ok(Err(format!("msg/{name}: {error}")));
    let (prefix, lead) = parts_of_prefix(sound.record.bytes("MsgPrefix"));
    let mut source = match open_own(&account.dir.join("msg").join(&name)) {
        Ok(file) => Source { lead, at: 0, file: BufReader::new(file), failed: None },
        Err(error) => return lost(error.to_string()),
    };
    match (into.stage(prefix.to_vec(), &mut source), source.failed) {
        (_, Some(why)) => lost(why),
        (Ok(content), None) => Ok(Ok(message::message(sound, content, aside))),
        // Our own disk: no message may be given up for that.
        (Err(error), None) => Err(error.into()),
    }
}

/// The fields of a prefix, and the empty line if it ends the header section: then the file is a body. With
/// ours a prefix has fields only, and the message begins with its header section, be it an empty one.
fn parts_of_prefix(prefix: &[u8]) -> (&[u8], &'static [u8]) {
    const EMPTY_LINE: &[u8] = b"\r\n";
    let ends_header = prefix == EMPTY_LINE || prefix.ends_with(b"\r\n\r\n");
    match prefix.strip_suffix(EMPTY_LINE).filter(|_| ends_header) {
        Some(fields) => (fields, EMPTY_LINE),
        None => (prefix, &[]),
    }
}

/// A file of the original that remembers whether it was the one that failed.
struct Source {
    /// What comes before the file.
    lead: &'static [u8],
    /// Where it is read, from the begin of `lead`.
    at: u64,
    file: BufReader<File>,
    failed: Option<String>,
}

impl Source {
    fn note<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.failed.get_or_insert_with(|| error.to_string());
        }
        outcome
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = usize::try_from(self.at).unwrap_or(usize::MAX);
        let mut lead = self.lead.get(at..).unwrap_or_default();
        let count = if lead.is_empty() {
            let outcome = self.file.read(buffer);
            self.note(outcome)?
        } else {
            lead.read(buffer)?
        };
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let lead = self.lead.len() as u64;
        let wanted = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => {
                let end = self.file.seek(SeekFrom::End(0));
                self.note(end)?.saturating_add(lead).checked_add_signed(by)
            }
        };
        let wanted = wanted.ok_or(io::ErrorKind::InvalidInput)?;
        let outcome = self.file.seek(SeekFrom::Start(wanted.saturating_sub(lead)));
        self.note(outcome)?;
        self.at = wanted;
        Ok(wanted)
    }
}

/// Removed messages that still take space: met in the order of their ids, as the messages are.
struct Erasing<'t, 'a> {
    reading: Option<Reading<'t, 'a>>,
    next: Option<Record>,
    /// Bytes of those that count as space in use.
    bytes: u64,
}

impl Erasing<'_, '_> {
    fn advance(&mut self, summary: &mut Summary) {
        self.next = self.reading.as_mut().and_then(|reading| reading.next(summary));
    }

    fn meet(&mut self, message: &Record, summary: &mut Summary) {
        let id = message.i64("ID");
        while self.next.as_ref().is_some_and(|one| one.i64("ID") < id) {
            self.advance(summary);
        }
        let Some(erase) = self.next.as_ref().filter(|one| one.i64("ID") == id) else { return };
        if message.bool("Expunged") && !erase.bool("SkipUpdateDiskUsage") {
            self.bytes = self.bytes.saturating_add(message.u64("Size"));
        }
    }
}
