//! `mox import moxdata` killed at random moments, again and again, until it is done.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::thread;

use mox_base::{ModSeq, NumSet};
use mox_net::{SystemClock, SystemRng};
use mox_queue::{Filter, Queue, Sort};
use mox_store::{Account, Policy, Store};
use mox_testkit::TestRng;
use mox_testkit::original::{Host, Plan, generate};
use tempfile::TempDir;

use crate::program::{command, run};
use crate::takeover::below;

/// So often it must have been killed at least, else the test says little.
const KILLS_MIN: usize = 3;

/// So often at most; then it is let go to its end.
const KILLS_MAX: usize = 14;

/// So often it is begun anew if it was killed less.
const ATTEMPTS_MAX: usize = 20;

/// A made-up host that was stopped.
struct Stopped {
    _dir: TempDir,
    host: Host,
    plan: Plan,
}

impl Stopped {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan { accounts: 2, messages: 1_600, queued: 20, ..Plan::default() };
        let host = generate(dir.path(), &plan);
        Self { _dir: dir, host, plan }
    }

    fn words(&self) -> [&str; 4] {
        ["--config", self.host.config.to_str().unwrap(), "import", "moxdata"]
    }

    fn filled(&self) -> PathBuf {
        self.host.data.with_file_name("data.new")
    }

    /// Whether it was killed after the last thing that it had to do.
    fn is_done(&self) -> bool {
        self.host.data.with_file_name("data.original").exists()
            && !self.host.data.join("takeover.unfinished").exists()
    }

    /// Starts it, and kills it once it has written so much. `false` if it ended before.
    fn run_until(&self, bytes: u64) -> bool {
        let mut command = command(&self.words());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return false;
            }
            let written = bytes_below(&self.filled());
            if written.is_some_and(|written| written >= bytes) {
                child.kill().unwrap();
                return !child.wait().unwrap().success();
            }
            thread::yield_now();
        }
    }
}

/// How much lies below a directory; `None` if it is not there. Files may come and go meanwhile.
fn bytes_below(dir: &Path) -> Option<u64> {
    let entries = fs::read_dir(dir).ok()?.flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()).unwrap_or_default(),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    Some(bytes.sum())
}

#[track_caller]
fn check_same(ours: &Account, want: &Account) {
    assert_eq!(ours.check().unwrap(), Vec::<String>::new());
    let (ours, want) = (ours.read().unwrap(), want.read().unwrap());
    assert_eq!(ours.modseq(), want.modseq());
    assert_eq!(ours.used_bytes(), want.used_bytes());
    assert_eq!(ours.subscriptions().unwrap(), want.subscriptions().unwrap());
    assert_eq!(ours.secret("password").unwrap(), want.secret("password").unwrap());
    let mailboxes = want.mailboxes().unwrap();
    assert_eq!(ours.mailboxes().unwrap(), mailboxes);
    for mailbox in mailboxes {
        let all = |reader: &mox_store::Reader| {
            reader.changed_since(mailbox.id, ModSeq::default(), &NumSet::all()).unwrap()
        };
        let (found, wanted) = (all(&ours), all(&want));
        assert_eq!(found.rows, wanted.rows, "{}", mailbox.name);
        assert_eq!(found.vanished, wanted.vanished, "{}", mailbox.name);
        for row in found.rows {
            let content = |reader: &mox_store::Reader| {
                reader.content(mailbox.id, row.uid).unwrap().to_vec().unwrap()
            };
            assert_eq!(content(&ours), content(&want), "{} {}", mailbox.name, row.uid);
        }
    }
}

fn store(dir: &Path) -> Store {
    Store::new(dir, Arc::new(SystemClock::new()), Arc::new(Policy::default()))
}

/// What was told, with the host's own place left out.
fn report(of: &Stopped) -> String {
    let text = fs::read_to_string(of.host.data.join("takeover.json")).unwrap();
    text.replace(of.host.data.parent().unwrap().to_str().unwrap(), "")
}

fn queued(dir: &Path) -> Vec<mox_queue::Queued> {
    let queue = Queue::open(&dir.join("queue"), Arc::new(SystemRng)).unwrap();
    queue.list(&Filter::default(), &Sort::default()).unwrap()
}

#[test]
fn killed_again_and_again_it_gives_what_it_gives_undisturbed() {
    let undisturbed = Stopped::new();
    let found = run(&undisturbed.words());
    assert_eq!(found.code, Some(0), "{found:?}");
    let want = &undisturbed.host.data;
    let total = bytes_below(want).unwrap();

    let rng = TestRng::new(11);
    let begun = || {
        let killed = Stopped::new();
        let before = below(&killed.host.data);
        let (mut kills, mut bytes) = (0, 1);
        while kills < KILLS_MAX && !killed.is_done() && killed.run_until(bytes) {
            kills += 1;
            // Twice from the start, then always a little further.
            let there = match kills {
                1 => 0,
                _ => bytes_below(&killed.filled()).unwrap_or_default(),
            };
            bytes = there + rng.next_u64() % (total / 8);
        }
        (kills >= KILLS_MIN).then_some((killed, before))
    };
    // A test that was held up comes too late to kill: then anew.
    let (killed, before) = (0..ATTEMPTS_MAX).find_map(|_| begun()).unwrap();
    // If all is there, this says so and fails.
    if !killed.is_done() {
        let found = run(&killed.words());
        assert_eq!(found.code, Some(0), "{found:?}");
    }
    assert!(killed.is_done() && !killed.filled().exists());

    let ours = &killed.host.data;
    assert_eq!(below(&ours.with_file_name("data.original")), before);
    assert_eq!(report(&killed), report(&undisturbed));
    let (stores, names) = ((store(ours), store(want)), killed.plan.account_names());
    for name in names {
        check_same(&stores.0.account(&name).unwrap(), &stores.1.account(&name).unwrap());
    }
    let messages = queued(want);
    assert_eq!(messages.len(), 20);
    assert_eq!(queued(ours), messages);
}
