//! A process that uses a queue is killed, at every step and under load: nothing that it was told is
//! durable is lost, nothing that was settled is delivered again, and what was cut off is counted.
//!
//! The process is this test program again, with only [`the_process_that_is_killed`] run and the
//! directory in its environment. It writes a line before and after everything it does. Killing a
//! process does not lose what the system has in memory: that syncs come where they must is for the
//! tests of faults.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mox_queue::{
    Attempt, Disk, Filter, INLINE_BYTES_MAX, LeaseRequest, MessageId, NewMessage, Queue, RealDisk,
    RetiredFilter, RetiredSort, Settlement, Sort,
};
use mox_testkit::TestRng;

use crate::support::{NOW, delayed, delivered, failed, open, recipient};

const DIR: &str = "MOX_QUEUE_CRASH_DIR";
const STEP: &str = "MOX_QUEUE_CRASH_STEP";

/// Threads that add, and threads that lease and settle.
const ADDING: usize = 3;
const WORKING: usize = 3;

/// Lines after which a process under load is killed, about.
const LINES: usize = 400;

/// Ends the process, without any ceremony, at one of its steps.
#[derive(Debug)]
struct DeadlyDisk(AtomicI64);

impl DeadlyDisk {
    fn step(&self) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 0 {
            std::process::abort();
        }
    }
}

impl Disk for DeadlyDisk {
    fn create_synced(&self, path: &Path, content: &mut dyn Read) -> io::Result<u64> {
        self.step();
        let written = RealDisk.create_synced(path, content)?;
        self.step();
        Ok(written)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)?;
        self.step();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step();
        RealDisk.remove(path)?;
        self.step();
        Ok(())
    }

    fn before_commit(&self) -> io::Result<()> {
        self.step();
        Ok(())
    }
}

/// One line at a time, whole.
fn tell(what: char, ids: &[MessageId]) {
    let mut line = String::from(what);
    for id in ids {
        line.push_str(&format!(" {id}"));
    }
    line.push('\n');
    let mut out = io::stdout().lock();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        // Whoever listened is gone.
        std::process::exit(1);
    }
}

/// A message of every kind: one or more recipients, a body in the database or in a file.
fn message(queue: &Queue, number: u64) -> NewMessage {
    let size = if number.is_multiple_of(3) { INLINE_BYTES_MAX + 1 } else { 1_000 };
    let body = queue.stage(&mut &vec![b'x'; size][..]).unwrap();
    let mut message = NewMessage::new("account", body);
    for rcpt in 0..=number % 3 {
        let address = format!("a{rcpt}@d{}.example", (number + rcpt) % 7);
        message.recipients.push(recipient("me@local.example", &address));
    }
    message
}

fn add(queue: &Queue, number: u64) {
    let added = queue.add(message(queue, number), NOW).wait().unwrap();
    tell('A', &added);
}

/// Takes a few messages and settles them; each number has an outcome of its own.
fn deliver(queue: &Queue) {
    let request = LeaseRequest { max: 3, per_domain_max: 2, ..LeaseRequest::default() };
    let leases = queue.lease(request, NOW).wait().unwrap();
    let mut taken: Vec<_> = leases.iter().map(|lease| lease.id).collect();
    if let Some(first) = leases.first() {
        let siblings = queue.siblings(first, 2, NOW).wait().unwrap();
        taken.extend(siblings.iter().map(|lease| lease.id));
    }
    if taken.is_empty() {
        // Lines that tell of nothing would stand for work.
        std::thread::yield_now();
        return;
    }
    tell('L', &taken);
    let settlements: Vec<_> = taken
        .iter()
        .map(|id| {
            let outcome = match id.0 % 3 {
                0 => delivered(),
                1 => failed(true),
                _ => delayed(),
            };
            Settlement { keep_secs: id.0 % 2, ..Settlement::new(*id, NOW, outcome) }
        })
        .collect();
    tell('B', &taken);
    assert_eq!(queue.settle(settlements, NOW).wait().unwrap().len(), taken.len());
    tell('S', &taken);
}

#[test]
fn the_process_that_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let step = std::env::var(STEP).map_or(-1, |step| step.parse().unwrap());
    let disk = Arc::new(DeadlyDisk(AtomicI64::new(step)));
    let seed = u64::from(std::process::id());
    let path = Path::new(&dir).join("queue");
    let queue =
        Queue::open_with(&path, Arc::new(TestRng::new(seed)), Arc::<DeadlyDisk>::clone(&disk))
            .unwrap();
    // A step after the commit, before anybody is told of it.
    queue.on_change(Arc::new(move || disk.step()));
    if step >= 0 {
        for number in 0..6 {
            add(&queue, number);
            deliver(&queue);
        }
        tell('E', &[]);
        return;
    }
    std::thread::scope(|scope| {
        for thread in (0..).take(ADDING) {
            let queue = &queue;
            scope.spawn(move || {
                for number in (thread..).step_by(ADDING) {
                    add(queue, number);
                }
            });
        }
        for _ in 0..WORKING {
            scope.spawn(|| {
                loop {
                    deliver(&queue);
                }
            });
        }
    });
}

fn spawn(dir: &Path, step: Option<i64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crashes::the_process_that_is_killed", "--nocapture"]);
    command.env(DIR, dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(step) = step {
        command.env(STEP, step.to_string());
    }
    command.spawn().unwrap()
}

/// What a process said it did.
#[derive(Debug, Default)]
struct Told {
    added: HashSet<MessageId>,
    leased: HashSet<MessageId>,
    /// Begun to settle.
    begun: HashSet<MessageId>,
    settled: HashSet<MessageId>,
    is_at_end: bool,
}

impl Told {
    fn line(&mut self, line: &str) {
        let Some((what, ids)) = line.split_at_checked(1) else { return };
        let Ok(ids) = ids.split_whitespace().map(|id| id.parse().map(MessageId)).collect() else {
            return;
        };
        let ids: Vec<_> = ids;
        match what {
            "A" => self.added.extend(ids),
            "L" => self.leased.extend(ids),
            "B" => self.begun.extend(ids),
            "S" => self.settled.extend(ids),
            "E" => self.is_at_end = true,
            _ => {}
        }
    }

    /// Listens to a process until it ends; kills it after so many lines.
    fn listen(child: &mut Child, kill_after: usize) -> Self {
        let mut told = Self::default();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for (count, line) in lines.enumerate() {
            // The last line may have been cut off.
            let Ok(line) = line else { break };
            if count == kill_after {
                child.kill().unwrap();
            }
            told.line(&line);
        }
        child.wait().unwrap();
        told
    }

    /// Whether a settled message is out of the queue, see [`deliver`].
    fn is_final(id: MessageId) -> bool {
        id.0 % 3 != 2
    }

    /// Opens the queue and looks. `before` is what there was when the process was started.
    fn verify(&self, dir: &Path, before: &HashMap<MessageId, usize>) -> HashMap<MessageId, usize> {
        assert_eq!(mox_queue::check(&dir.join("queue")).unwrap(), Vec::<String>::new());
        let queue = open(dir);
        assert_eq!(queue.check().unwrap(), Vec::<String>::new());
        let filter = Filter::default();
        let mut queued = HashMap::new();
        let mut interrupted = 0;
        for message in queue.list(&filter, &Sort::default()).unwrap() {
            let is_cut = |result: &&Attempt| result.text == Attempt::INTERRUPTED;
            let cuts = message.results.iter().filter(is_cut).count();
            interrupted += (cuts - before.get(&message.id).copied().unwrap_or(0)) as u64;
            if self.leased.contains(&message.id) && !self.begun.contains(&message.id) {
                assert!(cuts > 0, "{} was cut off and does not say so", message.id);
            }
            assert_eq!(message.attempts as usize, message.results.len());
            assert!(queue.body(message.id).is_ok());
            queued.insert(message.id, cuts);
        }
        assert_eq!(queue.interrupted(), interrupted);
        let retired = queue.retired_list(&RetiredFilter::default(), &RetiredSort::default());
        let retired: HashSet<_> = retired.unwrap().into_iter().map(|one| one.message.id).collect();
        for id in self.added.iter().chain(before.keys()) {
            let may_be_gone = self.begun.contains(id) && Self::is_final(*id);
            assert!(queued.contains_key(id) || may_be_gone, "{id} is lost");
        }
        for id in self.settled.iter().filter(|id| Self::is_final(**id)) {
            assert!(!queued.contains_key(id), "{id} is there again");
            assert_eq!(retired.contains(id), id.0 % 2 == 1, "{id} in the history");
        }
        queued
    }
}

#[test]
fn killed_at_every_step() {
    let mut steps = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let told = Told::listen(&mut spawn(dir.path(), Some(steps)), usize::MAX);
        told.verify(dir.path(), &HashMap::new());
        if told.is_at_end {
            break;
        }
        steps += 1;
    }
    // Folders, files, commits, wakes, removals: if there are fewer, the steps are not taken.
    assert!(steps > 40, "{steps}");
}

#[test]
fn killed_under_load_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let rng = TestRng::new(7);
    let mut queued = HashMap::new();
    for _ in 0..12 {
        let mut child = spawn(dir.path(), None);
        let told = Told::listen(&mut child, LINES / 2 + rng.below(LINES));
        assert!(told.added.len() > 10 && !told.settled.is_empty());
        queued = told.verify(dir.path(), &queued);
    }
    // Attempts were cut off, or the test shows nothing.
    assert!(queued.values().sum::<usize>() > 0);
}
