//! `mox import`, ended by SIGKILL in the middle, and run again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mox::localserve::{InitOptions, init};
use mox::server::{Options, Server};
use mox::services::Mode;
use mox_base::{MailboxName, ModSeq, NumSet};
use mox_net::SystemClock;
use mox_store::{Account, Policy, Store};
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::program::{Run, command};

/// Batches of an import have a few hundred.
const MESSAGES: usize = 3_000;

/// The log of the database at which the program is killed, from its beginning on: before anything is
/// written, and some commits later each time.
const LOG_BYTES: [u64; 5] = [0, 1, 400_000, 900_000, 1_500_000];

/// A test that was held up comes too late to kill: then it begins anew, so often.
const ATTEMPTS_MAX: usize = 20;

/// An mbox, and a configuration whose account is to get it.
struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(&dir.path().join("ls"), &InitOptions::default()).unwrap();
        let mut mbox = String::new();
        for number in 0..MESSAGES {
            writeln!(mbox, "From a@b.example Mon Jan  2 10:04:05 2006 -0500").unwrap();
            writeln!(mbox, "Message-ID: <{number}@b.example>\nSubject: {number}\n").unwrap();
            // What does not get much smaller by compression.
            let line = |at: usize| (number * 7_919 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (0..40).for_each(|at| writeln!(mbox, "{:016x}", line(at * 104_729)).unwrap());
            writeln!(mbox).unwrap();
        }
        fs::write(dir.path().join("mail.mbox"), mbox).unwrap();
        Self { dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("ls")
    }

    /// Runs the import; killed as soon as the log of the database is so large. `None` if it was.
    fn import(&self, kill_at: Option<u64>) -> Option<Run> {
        let words = ["-config", "ls/mox.conf", "import", "mbox", "mox", "Old", "mail.mbox"];
        let mut command = command(&words);
        command.current_dir(self.dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = self.data().join("accounts/mox/index.db-wal");
        if let Some(kill_at) = kill_at {
            while child.try_wait().unwrap().is_none() {
                if fs::metadata(&log).map_or(0, |meta| meta.len()) >= kill_at {
                    child.kill().unwrap();
                    let output = child.wait_with_output().unwrap();
                    return output.status.code().map(|_| output.into());
                }
                thread::yield_now();
            }
        }
        Some(child.wait_with_output().unwrap().into())
    }

    /// The account, opened here.
    fn account(&self) -> Account {
        let clock = Arc::new(SystemClock::new());
        let store = Store::new(&self.data(), clock, Arc::new(Policy::default()));
        store.account("mox").unwrap()
    }
}

/// Checks that the account is whole, and each message in it too and there once. Returns how many there are.
#[track_caller]
fn check(account: &Account) -> usize {
    assert_eq!(account.check().unwrap(), Vec::<String>::new());
    let reader = account.read().unwrap();
    let Ok(mailbox) = reader.mailbox(&MailboxName::parse("Old").unwrap()) else { return 0 };
    let rows = reader.changed_since(mailbox.id, ModSeq::default(), &NumSet::all()).unwrap().rows;
    let mut numbers = BTreeSet::new();
    for row in &rows {
        assert_eq!((row.received.time().0, row.received.zone_minutes()), (1_136_214_245, -300));
        let text = reader.content(mailbox.id, row.uid).unwrap().to_vec().unwrap();
        let text = String::from_utf8(text).unwrap();
        let number = text.split("Subject: ").nth(1).unwrap().split("\r\n").next().unwrap();
        assert!(numbers.insert(number.parse::<usize>().unwrap()), "{number} twice");
        assert_eq!(text.lines().count(), 43, "{text}");
    }
    // In their order, without a gap: what is missing comes after them.
    assert!(numbers.iter().copied().eq(0..rows.len()));
    rows.len()
}

#[track_caller]
fn check_end(found: &Run, before: usize) {
    assert_eq!(found.code, Some(0), "{found:?}");
    let added = MESSAGES - before;
    let added = format!("{added} messages added (");
    assert!(found.out.starts_with(&added), "{added}: {found:?}");
    assert!(found.out.contains(&format!("), {before} were there already, ")), "{found:?}");
}

/// A home whose import was killed several times, and how many messages it has.
fn killed() -> (Home, usize) {
    for _ in 0..ATTEMPTS_MAX {
        let home = Home::new();
        let (mut before, mut kills) = (0, 0);
        for log_bytes in LOG_BYTES {
            let was_killed = home.import(Some(log_bytes)).is_none();
            let count = check(&home.account());
            // What was there before stays.
            assert!(count >= before, "{count} messages, {before} before");
            before = count;
            kills += usize::from(was_killed && count < MESSAGES);
        }
        if kills > 2 && before > 0 {
            return (home, before);
        }
    }
    panic!("never killed often enough");
}

#[test]
fn an_import_killed_at_any_moment_is_completed_by_running_it_again() {
    let (home, before) = killed();
    check_end(&home.import(None).unwrap(), before);
    assert_eq!(check(&home.account()), MESSAGES);
    check_end(&home.import(None).unwrap(), MESSAGES);
}

#[test]
fn a_server_outlives_the_import_that_sent_it_mail() {
    let begun = || {
        let home = Home::new();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (options, _) = Options::load(Mode::Localserve, &home.data(), None).unwrap();
        let server = runtime.block_on(Server::start(options.on_free_ports())).unwrap();
        let account = server.services().store.account("mox").unwrap();
        let was_killed = home.import(Some(500_000)).is_none();
        // The server may still be at what it has received.
        if was_killed && check(&account) < MESSAGES {
            return Some((home, runtime, server, account));
        }
        drop(account);
        runtime.block_on(server.shutdown());
        None
    };
    let (home, runtime, server, account) = (0..ATTEMPTS_MAX).find_map(|_| begun()).unwrap();
    let found = home.import(None).unwrap();
    assert_eq!(found.code, Some(0), "{found:?}");
    assert_eq!(check(&account), MESSAGES);
    check_end(&home.import(None).unwrap(), MESSAGES);
    drop(account);
    assert_eq!(server.services().supervisor.panics(), 0);
    assert_eq!(runtime.block_on(server.shutdown_within(Duration::from_secs(120))).killed, 0);
}
