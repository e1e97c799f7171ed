//! Taking over mail into an account.
//!
//! The thread that calls reads the source; others analyse and compress, a batch at a time; one hands
//! the batches to the store in the order in which they were read. A batch is one commit: an import
//! that is killed has taken over some of the messages, and when it runs again it leaves out those.

use std::collections::{HashSet, VecDeque};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use mox_base::{MailboxName, SpecialUse};
use mox_store::{Account, Imported, NewMessage, Pending, StoreError};
use parking_lot::Mutex;

use crate::body::BODY_MEMORY_MAX;
use crate::event::{Event, Item, Sink, SourceError};
use crate::names::role_by_name;

/// The most messages in one commit.
pub const BATCH_MESSAGES: usize = 256;

/// The most bytes of messages in memory in one commit.
pub const BATCH_BYTES: usize = 2 << 20;

/// The most threads that analyse and compress.
const STAGERS_MAX: usize = 4;

/// Commits that are on their way while the next is prepared.
const COMMITS_MAX: usize = 2;

/// The most problems that are kept until the caller hears of them.
const PROBLEMS_KEPT_MAX: usize = 1_000;

/// How mail is taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Whether messages are added that the mailbox has already, byte by byte.
    pub keep_duplicates: bool,
}

/// What was done so far, or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages added.
    pub added: u64,
    /// Messages left out because the mailbox has the same.
    pub duplicates: u64,
    /// Bytes of the messages added.
    pub bytes: u64,
    /// Mailboxes made.
    pub mailboxes: u64,
    /// Problems told.
    pub problems: u64,
}

/// Something to tell whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// How far it is.
    Progress(Summary),
    /// What could not be taken over, and why.
    Problem(&'a str),
}

/// Takes notices. Breaks to end the import; what is committed stays.
pub type Watcher<'a> = dyn FnMut(Notice<'_>) -> ControlFlow<()> + 'a;

/// Why an import ended early. What was committed before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The watcher wanted no more.
    #[error("stopped")]
    Stopped,
    /// The source could not be read on.
    #[error(transparent)]
    Source(SourceError),
    /// The account has no room for more.
    #[error("over quota: the account may have {limit_bytes} bytes")]
    OverQuota {
        /// Bytes allowed.
        limit_bytes: u64,
    },
    /// The store failed.
    #[error("account")]
    Store(#[from] StoreError),
}

/// How an import ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was done.
    pub summary: Summary,
    /// Whether everything was dealt with.
    pub end: Result<(), ImportError>,
}

/// Takes over everything that a source gives.
///
/// `source` is called once, on this thread, with a sink for its events, such as
/// [`crate::read_path`] takes. Blocks. Memory stays below some 30 MB, whatever the source holds.
pub fn import(
    account: &Account,
    options: ImportOptions,
    source: impl FnOnce(&mut Sink<'_>) -> Result<(), SourceError>,
    watch: &mut Watcher<'_>,
) -> Outcome {
    let state = Mutex::new(State::default());
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(STAGERS_MAX);
    let end = thread::scope(|scope| {
        let (work, to_stage) = sync_channel::<Work>(1);
        let to_stage = Mutex::new(to_stage);
        let to_stage = std::sync::Arc::new(to_stage);
        let (jobs, to_commit) = sync_channel(threads);
        for _ in 0..threads {
            let to_stage = std::sync::Arc::clone(&to_stage);
            scope.spawn(move || stage_all(account, &to_stage));
        }
        drop(to_stage);
        let committer = Committer { account, options, state: &state, pending: VecDeque::new() };
        scope.spawn(move || committer.run(&to_commit));
        let mut feeder =
            Feeder { work, jobs, state: &state, watch, batch: None, seen: HashSet::new() };
        let read = source(&mut |event| feeder.event(event));
        match read {
            Ok(()) if feeder.flush().is_continue() => Ok(()),
            Ok(()) | Err(SourceError::Stopped) => Err(ImportError::Stopped),
            // What was read whole before is taken over.
            Err(error) => {
                let _is_last = feeder.flush();
                Err(ImportError::Source(error))
            }
        }
    });
    let mut state = state.into_inner();
    for problem in &state.problems {
        let _is_last = watch(Notice::Problem(problem));
    }
    let _is_last = watch(Notice::Progress(state.summary));
    let end = match state.failure.take() {
        Some(failure) => Err(failure),
        None => end,
    };
    Outcome { summary: state.summary, end }
}

/// What the threads share.
#[derive(Default)]
struct State {
    summary: Summary,
    /// Not told yet.
    problems: Vec<String>,
    failure: Option<ImportError>,
}

impl State {
    fn problem(&mut self, text: String) {
        self.summary.problems += 1;
        if self.problems.len() < PROBLEMS_KEPT_MAX {
            self.problems.push(text);
        }
    }
}

/// A batch that is ready for the store.
type Staged = Result<Vec<NewMessage>, StoreError>;

/// A batch to be made ready, and where it goes then.
type Work = (Vec<Item>, SyncSender<Staged>);

/// What is to be done with the account, in this order.
enum Job {
    Mailbox { name: MailboxName, special_use: SpecialUse, subscribed: Option<bool> },
    Messages { mailbox: MailboxName, staged: Receiver<Staged> },
}

/// Puts what is read into batches.
struct Feeder<'a, 'w> {
    work: SyncSender<Work>,
    jobs: SyncSender<Job>,
    state: &'a Mutex<State>,
    watch: &'a mut Watcher<'w>,
    batch: Option<Batch>,
    /// Mailboxes that the account was told of.
    seen: HashSet<MailboxName>,
}

struct Batch {
    mailbox: MailboxName,
    items: Vec<Item>,
    bytes: usize,
}

impl Feeder<'_, '_> {
    fn event(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Message(item) => self.message(*item),
            Event::Mailbox { name, special_use, subscribed } => {
                self.flush()?;
                self.seen.insert(name.clone());
                self.job(Job::Mailbox { name, special_use, subscribed })
            }
            Event::Problem(text) => {
                self.state.lock().summary.problems += 1;
                (self.watch)(Notice::Problem(&text))
            }
        }
    }

    fn message(&mut self, item: Item) -> ControlFlow<()> {
        if item.content.size() == 0 {
            self.state.lock().problem(format!("{}: an empty message", item.mailbox));
            return ControlFlow::Continue(());
        }
        if self.batch.as_ref().is_some_and(|batch| batch.mailbox != item.mailbox) {
            self.flush()?;
        }
        if !self.seen.contains(&item.mailbox) {
            let name = item.mailbox.clone();
            self.seen.insert(name.clone());
            self.job(Job::Mailbox { name, special_use: SpecialUse::NONE, subscribed: None })?;
        }
        let batch = self.batch.get_or_insert_with(|| Batch {
            mailbox: item.mailbox.clone(),
            items: Vec::with_capacity(BATCH_MESSAGES),
            bytes: 0,
        });
        // One in a file holds that open, and may take as much memory once it is compressed.
        batch.bytes += match item.content.memory_bytes() {
            0 => BODY_MEMORY_MAX,
            bytes => bytes,
        };
        batch.items.push(item);
        if batch.items.len() == BATCH_MESSAGES || batch.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        ControlFlow::Continue(())
    }

    /// Sends the batch on its way.
    fn flush(&mut self) -> ControlFlow<()> {
        let Some(batch) = self.batch.take() else { return ControlFlow::Continue(()) };
        let (done, staged) = sync_channel(1);
        if self.work.send((batch.items, done)).is_err() {
            return ControlFlow::Break(());
        }
        self.job(Job::Messages { mailbox: batch.mailbox, staged })
    }

    fn job(&mut self, job: Job) -> ControlFlow<()> {
        // It is gone if it failed.
        if self.jobs.send(job).is_err() {
            return ControlFlow::Break(());
        }
        let (summary, problems) = {
            let mut state = self.state.lock();
            (state.summary, std::mem::take(&mut state.problems))
        };
        for problem in &problems {
            (self.watch)(Notice::Problem(problem))?;
        }
        (self.watch)(Notice::Progress(summary))
    }
}

/// Analyses and compresses batches until there are no more.
fn stage_all(account: &Account, work: &Mutex<Receiver<Work>>) {
    loop {
        // The lock is free again before the work begins.
        let next = work.lock().recv();
        let Ok((items, done)) = next else { return };
        let staged = items.into_iter().map(|item| stage(account, item)).collect();
        // Whoever waited for it has failed.
        let _unwanted = done.send(staged);
    }
}

fn stage(account: &Account, item: Item) -> Result<NewMessage, StoreError> {
    let Item { received, flags, keywords, mut content, .. } = item;
    let content = account.stage(Vec::new(), &mut content)?;
    Ok(NewMessage { content, flags, keywords, received, envelope: None })
}

/// Hands batches to the store.
struct Committer<'a> {
    account: &'a Account,
    options: ImportOptions,
    state: &'a Mutex<State>,
    pending: VecDeque<(MailboxName, Pending<Imported>)>,
}

impl Committer<'_> {
    fn run(mut self, jobs: &Receiver<Job>) {
        let end = self.all(jobs);
        // Those already queued are done whatever came between.
        while let Some((mailbox, pending)) = self.pending.pop_front() {
            if let Err(error) = self.settle(&mailbox, pending) {
                self.state.lock().failure.get_or_insert(error);
            }
        }
        if let Err(error) = end {
            self.state.lock().failure.get_or_insert(error);
        }
    }

    fn all(&mut self, jobs: &Receiver<Job>) -> Result<(), ImportError> {
        for job in jobs {
            match job {
                Job::Mailbox { name, special_use, subscribed } => {
                    self.mailbox(name, special_use, subscribed)?;
                }
                Job::Messages { mailbox, staged } => {
                    let staged = staged.recv().unwrap_or(Err(StoreError::Poisoned))?;
                    let skip = !self.options.keep_duplicates;
                    let pending = self.account.import(mailbox.clone(), staged, skip);
                    self.pending.push_back((mailbox, pending));
                }
            }
            while self.pending.len() >= COMMITS_MAX
                && let Some((mailbox, pending)) = self.pending.pop_front()
            {
                self.settle(&mailbox, pending)?;
            }
        }
        Ok(())
    }

    /// Waits for a commit and counts what it did.
    fn settle(&self, mailbox: &MailboxName, pending: Pending<Imported>) -> Result<(), ImportError> {
        let imported = pending.wait()?;
        let mut state = self.state.lock();
        state.summary.added += imported.added;
        state.summary.duplicates += imported.duplicates;
        state.summary.bytes += imported.bytes;
        if imported.keywords_left_out > 0 {
            let count = imported.keywords_left_out;
            state.problem(format!("{mailbox}: {count} keywords left out, there are too many"));
        }
        match imported.over_quota {
            Some(limit_bytes) => Err(ImportError::OverQuota { limit_bytes }),
            None => Ok(()),
        }
    }

    /// Makes a mailbox if it is missing, and gives it the role that no other has.
    fn mailbox(
        &self,
        name: MailboxName,
        special_use: SpecialUse,
        subscribed: Option<bool>,
    ) -> Result<(), ImportError> {
        let mailboxes = self.account.read()?.mailboxes()?;
        let taken = mailboxes.iter().fold(SpecialUse::NONE, |all, one| all | one.special_use);
        let wanted = if special_use.is_empty() { role_by_name(&name) } else { special_use };
        let role = if name.is_inbox() { SpecialUse::NONE } else { wanted & !taken };
        match mailboxes.iter().find(|mailbox| mailbox.name == name) {
            Some(known) if known.special_use.is_empty() && !role.is_empty() => {
                self.account.set_special_use(name, role).wait()?;
            }
            Some(_) => {}
            None => {
                let made = match self.account.create_mailbox(name.clone(), role).wait() {
                    Ok(made) => made.len(),
                    // Somebody else was faster.
                    Err(StoreError::MailboxExists) => 0,
                    Err(error) => return Err(error.into()),
                };
                self.state.lock().summary.mailboxes += made as u64;
                if subscribed == Some(false) && made > 0 {
                    self.account.unsubscribe_from(name).wait()?;
                }
            }
        }
        Ok(())
    }
}
