//! The queue of the original: messages on their way, their history, and webhook calls.

mod files;
mod hook;
mod lists;
mod message;

use std::iter::Peekable;
use std::path::{Path, PathBuf};

use mox_base::UnixSeconds;
use mox_bstore::{Record, Table};
use mox_queue::{KeptCounts, KeptQueued, KeptSequences, MessageId, Queue, Queued, Retired};

use crate::account::Watch;
use crate::file::{DatabaseFile, FileSource, TakeoverError};
use crate::known::Kind;
use crate::summary::Summary;
use files::Files;
use hook::{HOOK, HOOK_RETIRED};
use lists::{HOLD_RULE, SUPPRESSION};
use message::{Found, MSG, MSG_RETIRED, memory_bytes};

/// Messages or other rows of one commit.
const BATCH_ROWS_MAX: usize = 256;

/// Bytes of one commit, about; one row may be larger.
const BATCH_BYTES_MAX: u64 = 8 << 20;

/// No number is larger in sound data: ours counts on behind it.
const NUMBER_MAX: i64 = i64::MAX >> 1;

const TYPES: [&str; 6] = [
    MSG.table,
    MSG_RETIRED.table,
    HOLD_RULE.table,
    SUPPRESSION.table,
    HOOK.table,
    HOOK_RETIRED.table,
];

/// Kinds of the summary.
const QUEUED: &str = "queued messages";
const RETIRED: &str = "messages of the history";
const HOOKS: &str = "webhook calls";
const HOOKS_RETIRED: &str = "webhook calls of the history";
const RULES: &str = "hold rules";
const SUPPRESSED: &str = "suppressed addresses";

/// What the configuration says of an account that matters to the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueAccount {
    /// How long webhook calls are kept after they were made, in seconds.
    pub keep_calls_secs: i64,
}

/// The queue of the original.
#[derive(Debug)]
pub struct QueueFiles {
    dir: PathBuf,
    index: DatabaseFile,
}

impl QueueFiles {
    /// Opens the queue in a data directory, and locks its database for reading. `None` if there is none.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// If it is in use, or no such database.
    pub fn open(data: &Path) -> Result<Option<Self>, TakeoverError> {
        let dir = data.join("queue");
        let index = DatabaseFile::open_if_there(&dir.join("index.db"))?;
        Ok(index.map(|index| Self { dir, index }))
    }

    /// Reads all that [`QueueFiles::copy`] would, message files by their size, and says what would become
    /// of it. Only that two messages have the same FromID, which none should, a copy alone finds. Blocks.
    ///
    /// # Errors
    ///
    /// If a part is damaged on which all else depends.
    pub fn check(
        &self,
        now: UnixSeconds,
        accounts: &dyn Fn(&str) -> Option<QueueAccount>,
        watch: &mut dyn Watch,
    ) -> Result<Summary, TakeoverError> {
        self.run(None, Context { now, accounts }, watch)
    }

    /// Copies everything into a queue that nobody uses. What was copied before is passed over. Nobody is
    /// told anything by that, and nothing is sent. Blocks, for long.
    ///
    /// - `now`: what is due to be forgotten then is skipped.
    /// - `accounts`: those that exist. What others have queued is sent all the same, as ours does; reports
    ///   about it go to the postmaster.
    ///
    /// # Errors
    ///
    /// [`TakeoverError::QueueUsed`] before anything is written; and if a disk fails, or a part is damaged
    /// on which all else depends. Damaged messages are noted in the summary, and the rest is copied.
    pub fn copy(
        &self,
        into: &Queue,
        now: UnixSeconds,
        accounts: &dyn Fn(&str) -> Option<QueueAccount>,
        watch: &mut dyn Watch,
    ) -> Result<Summary, TakeoverError> {
        let context = Context { now, accounts };
        let before = into.kept_counts()?;
        if before != KeptCounts::default() && !self.is_ours_from_here(into, &before, &context)? {
            return Err(TakeoverError::QueueUsed);
        }
        self.run(Some(Ours { queue: into, before }), context, watch)
    }

    fn run(
        &self,
        into: Option<Ours<'_>>,
        context: Context<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Summary, TakeoverError> {
        let mut summary = Summary::default();
        self.index.note_unknown(&TYPES, &mut summary);
        let mut total = 0;
        for name in TYPES {
            let table = self.index.table(name).ok().flatten();
            total += table.map_or(0, |table| table.records().count() as u64);
        }
        let mut run = Run { files: self, into, context, watch, done: 0, total, is_stopped: false };
        run.messages(&mut summary)?;
        run.retired(&mut summary)?;
        run.hold_rules(&mut summary)?;
        run.suppressions(&mut summary)?;
        run.hooks(&mut summary)?;
        run.sequences(&mut summary)?;
        Ok(summary)
    }

    /// Whether all that ours holds was copied from here.
    fn is_ours_from_here(
        &self,
        ours: &Queue,
        counts: &KeptCounts,
        context: &Context<'_>,
    ) -> Result<bool, TakeoverError> {
        let ignored = &mut Summary::default();
        // As they say, and of the records themselves: what counts them may be damaged.
        let mut last = self.last_numbers(ignored);
        let mut found = KeptCounts { last: counts.last, ..KeptCounts::default() };
        self.index.each(&MSG, ignored, |record, _| {
            if let Ok(Found { message, .. }) = message::queued(record) {
                found.queued += u64::from(ours.has_queued(&message)?);
                last.messages = last.messages.max(message.id.0);
            }
            Ok(true)
        })?;
        self.index.each(&MSG_RETIRED, ignored, |record, _| {
            if let Ok(Retired { message, .. }) = message::retired(record) {
                found.retired += u64::from(ours.has_retired(&message)?);
                last.messages = last.messages.max(message.id.0);
            }
            Ok(true)
        })?;
        for kind in [&HOOK, &HOOK_RETIRED] {
            self.index.each(kind, ignored, |record, _| {
                if let Ok((hook, _)) = hook::hook(record, kind.table == HOOK_RETIRED.table) {
                    found.hooks += u64::from(ours.has_hook(&hook)?);
                    last.hooks = last.hooks.max(hook.id.0);
                }
                Ok(true)
            })?;
        }
        // Those of all accounts: the configuration may have had more of them when this was begun.
        let any = |_: &str| Some(QueueAccount::default());
        let theirs = self.rules(&Context { now: context.now, accounts: &any }, ignored)?;
        let rules = ours.hold_rules()?;
        found.hold_rules = rules.iter().filter(|rule| theirs.contains(rule)).count() as u64;
        last.hold_rules = theirs.iter().fold(last.hold_rules, |last, (id, _)| last.max(id.0));
        Ok(found == *counts
            && counts.last.messages <= last.messages
            && counts.last.hooks <= last.hooks
            && counts.last.hold_rules <= last.hold_rules)
    }

    fn last_numbers(&self, summary: &mut Summary) -> KeptSequences {
        let mut last = |name| {
            let table = self.index.table(name).ok().flatten();
            let sequence = table.map_or(0, |table| table.sequence());
            match i64::try_from(sequence) {
                Ok(last) if last <= NUMBER_MAX => last,
                _ => {
                    summary.damage("last numbers", format!("queue/index.db: {name}: {sequence}"));
                    0
                }
            }
        };
        KeptSequences {
            messages: last(MSG.table),
            hooks: last(HOOK.table),
            hold_rules: last(HOLD_RULE.table),
        }
    }
}

#[derive(Clone, Copy)]
struct Context<'a> {
    now: UnixSeconds,
    accounts: &'a dyn Fn(&str) -> Option<QueueAccount>,
}

#[derive(Clone, Copy)]
struct Ours<'a> {
    queue: &'a Queue,
    /// What was there when it began: only of that something may have been copied before.
    before: KeptCounts,
}

/// A check or a copy on its way.
struct Run<'a> {
    files: &'a QueueFiles,
    into: Option<Ours<'a>>,
    context: Context<'a>,
    watch: &'a mut dyn Watch,
    done: u64,
    total: u64,
    is_stopped: bool,
}

impl Run<'_> {
    /// [`DatabaseFile::each`] of the records of a type, until somebody wants it to end.
    fn each(
        &mut self,
        kind: &Kind,
        summary: &mut Summary,
        mut each: impl FnMut(&mut Self, &Record, &mut Summary) -> Result<(), TakeoverError>,
    ) -> Result<(), TakeoverError> {
        if self.is_stopped {
            return Ok(());
        }
        let files = self.files;
        files.index.each(kind, summary, |record, summary| {
            self.done += 1;
            each(self, record, summary)?;
            Ok(!self.is_stopped)
        })?;
        Ok(())
    }

    /// After a commit.
    fn step(&mut self) {
        self.is_stopped = self.is_stopped || !self.watch.progress(self.done, self.total);
    }

    fn damage(&self, kind: &Kind, record: &Record, why: &str, summary: &mut Summary) {
        let (path, key) = (self.files.index.path.display(), record.i64("ID"));
        summary.damage(kind.what, format!("{path}: {} {key}: {why}", kind.table));
    }

    fn messages(&mut self, summary: &mut Summary) -> Result<(), TakeoverError> {
        let mut files = Files::new(&self.files.dir);
        let mut batch = Batch::default();
        self.each(&MSG, summary, |run, record, summary| {
            let found = match message::queued(record).and_then(|found| files.find(found)) {
                Ok(found) => found,
                Err(why) => {
                    run.damage(&MSG, record, &why, summary);
                    return Ok(());
                }
            };
            run.note_message(&found, summary);
            match run.prepare(&mut files, found, summary)? {
                Ok(kept) => batch.extend(kept),
                Err(why) => {
                    run.damage(&MSG, record, &why, summary);
                    return Ok(());
                }
            }
            summary.took(QUEUED, 1);
            if batch.is_full() { run.flush(&mut batch, summary) } else { Ok(()) }
        })?;
        self.flush(&mut batch, summary)
    }

    /// What is to be written of a message: nothing in a check, or if it was copied before. Or why its file
    /// cannot be read.
    fn prepare(
        &mut self,
        files: &mut Files,
        mut found: Found,
        summary: &mut Summary,
    ) -> Result<Result<Option<(KeptQueued, u64)>, String>, TakeoverError> {
        let Some(Ours { queue, before }) = self.into else { return Ok(Ok(None)) };
        let of = match files.join(&mut found) {
            Ok(of) => of,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if found.message.id.0 <= before.last.messages && queue.has_queued(&found.message)? {
            let is_without =
                queue.get(found.message.id)?.is_some_and(|ours| ours.from_id.is_none());
            if is_without && found.message.from_id.is_some() {
                note_from_ids(vec![found.message.id], summary);
            }
            return Ok(Ok(None));
        }
        Ok(files.stage(queue, found, of)?.map(Some))
    }

    fn note_message(&self, found: &Found, summary: &mut Summary) {
        let Queued { id, account, .. } = &found.message;
        if found.is_longer {
            summary.differs("queued messages larger than noted", format!("message {id}"));
        }
        if (self.context.accounts)(account).is_none() {
            summary.differs(
                "queued messages of accounts that do not exist",
                format!("message {id} of {account:?}: reports about it go to the postmaster"),
            );
        }
    }

    fn flush(
        &mut self,
        batch: &mut Batch<KeptQueued>,
        summary: &mut Summary,
    ) -> Result<(), TakeoverError> {
        if let Some(Ours { queue, .. }) = self.into {
            note_from_ids(queue.keep_queued(batch.take(), self.context.now).wait()?, summary);
        }
        self.step();
        Ok(())
    }

    fn retired(&mut self, summary: &mut Summary) -> Result<(), TakeoverError> {
        let files = self.files;
        let waiting = files.index.table(MSG.table).ok().flatten();
        let mut waiting = Numbers::of(&waiting);
        let mut batch = Batch::default();
        self.each(&MSG_RETIRED, summary, |run, record, summary| {
            match message::retired(record) {
                Ok(_) if waiting.have(record.i64("ID")) => {
                    run.damage(&MSG_RETIRED, record, "it is queued too", summary);
                }
                Ok(found) => {
                    let wanted = run.wanted_retired(found, summary);
                    batch.extend(wanted.map(|found| (found, memory_bytes(record))));
                }
                Err(why) => run.damage(&MSG_RETIRED, record, &why, summary),
            }
            if batch.is_full() { run.flush_retired(&mut batch, summary) } else { Ok(()) }
        })?;
        self.flush_retired(&mut batch, summary)
    }

    /// A message of the history, unless it is not to be taken.
    fn wanted_retired(&self, found: Retired, summary: &mut Summary) -> Option<Retired> {
        let Queued { id, account, .. } = &found.message;
        let shown = format!("message {id} of {account:?}");
        if found.keep_until <= self.context.now {
            summary.skip("messages of the history that are due to be forgotten", shown);
            return None;
        }
        if (self.context.accounts)(account).is_none() {
            summary.skip("messages of the history of accounts that do not exist", shown);
            return None;
        }
        summary.took(RETIRED, 1);
        Some(found)
    }

    fn flush_retired(
        &mut self,
        batch: &mut Batch<Retired>,
        summary: &mut Summary,
    ) -> Result<(), TakeoverError> {
        let retired = batch.take();
        if let Some(Ours { queue, .. }) = self.into {
            note_from_ids(queue.keep_retired(retired).wait()?, summary);
        }
        self.step();
        Ok(())
    }

    /// To be called when all numbers are in their places.
    fn sequences(&self, summary: &mut Summary) -> Result<(), TakeoverError> {
        let last = self.files.last_numbers(summary);
        if let Some(Ours { queue, .. }) = self.into
            && !self.is_stopped
        {
            queue.keep_sequences(last).wait()?;
        }
        Ok(())
    }
}

/// The numbers of a type, which share those of another: no record of sound data is in both.
struct Numbers<'t>(Peekable<Box<dyn Iterator<Item = i64> + 't>>);

impl<'t> Numbers<'t> {
    fn of(table: &'t Option<Table<'_, FileSource>>) -> Self {
        let numbers = table.iter().flat_map(Table::records).flatten().map(|one| one.i64("ID"));
        let numbers: Box<dyn Iterator<Item = i64> + 't> = Box::new(numbers);
        Self(numbers.peekable())
    }

    /// Whether there is a record of this number. To be asked in ascending order, as records come.
    fn have(&mut self, number: i64) -> bool {
        while self.0.next_if(|one| *one < number).is_some() {}
        self.0.peek() == Some(&number)
    }
}

fn note_from_ids(without: Vec<MessageId>, summary: &mut Summary) {
    for id in without {
        summary.differs("FromIDs that were taken", format!("message {id}"));
    }
}

/// What is committed together.
#[derive(Debug)]
struct Batch<T> {
    rows: Vec<T>,
    bytes: u64,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), bytes: 0 }
    }
}

impl<T> Batch<T> {
    fn add(&mut self, row: T, bytes: u64) {
        self.rows.push(row);
        self.bytes += bytes;
    }

    fn extend(&mut self, row: Option<(T, u64)>) {
        if let Some((row, bytes)) = row {
            self.add(row, bytes);
        }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    fn take(&mut self) -> Vec<T> {
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }
}
