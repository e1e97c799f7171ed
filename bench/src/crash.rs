//! The crash test: the server is killed in a loop while clients change things, and everything it
//! acknowledged must be there afterwards.
//!
//! A directory is used for some rounds, then a fresh one, so that a round stays short. Killing the
//! process does not lose what the system has in memory: that syncs come where they must is for the
//! store's own crash tests.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use mox_testkit::TestRng;
use tempfile::TempDir;

use crate::args::{Args, CrashArgs};
use crate::child::{self, Server};
use crate::imap::Imap;
use crate::model::{Faults, Model};
use crate::run::median;
use crate::worker::{self, Done};
use crate::{complain, fill, say};

/// Rounds with the same data.
const ROUNDS_PER_DIR: u32 = 25;

/// Rounds between two full checks of the store; there is one at the end of each directory too.
const CHECK_EVERY: u32 = 5;

/// Clients that deliver by SMTP.
const DELIVERING: usize = 3;

/// Clients that change things by IMAP.
const CHANGING: usize = 4;

/// The server works for between this and twice this long before it is killed.
const WORK: Duration = Duration::from_millis(200);

/// Faults that are printed in each round.
const FAULTS_SHOWN: usize = 20;

#[derive(Debug, Default)]
struct Report {
    rounds: u32,
    changes: u64,
    lost: usize,
    damaged: usize,
    checks: u32,
    starts_ms: Vec<f64>,
}

/// The data of some rounds, and what all clients know of it.
struct Data {
    dir: TempDir,
    delivering: Vec<Model>,
    changing: Vec<Model>,
}

/// Runs all rounds. Returns whether nothing was wrong.
pub(crate) fn run(args: &Args, options: &CrashArgs) -> Result<bool> {
    let rounds = if args.quick { options.rounds.min(5) } else { options.rounds };
    let rng = TestRng::new(options.seed);
    let numbers = AtomicU64::new(1);
    let mut report = Report::default();
    let started = Instant::now();
    while report.rounds < rounds {
        let mut data = Data::new(args)?;
        let here = ROUNDS_PER_DIR.min(rounds - report.rounds);
        for round in 1..=here {
            let faults = data.round(round, &numbers, &rng, &mut report)?;
            let is_checked = round % CHECK_EVERY == 0 || round == here;
            let checked = if is_checked { data.check(&mut report)? } else { Faults::default() };
            if report.note([faults, checked]) {
                let kept = data.dir.keep();
                complain(&format!("the data is kept in {}", kept.display()));
                say(&report.text(started.elapsed()));
                return Ok(false);
            }
        }
        complain(&report.text(started.elapsed()));
    }
    say(&report.text(started.elapsed()));
    Ok(true)
}

impl Data {
    fn new(args: &Args) -> Result<Self> {
        let dir = args.new_dir()?;
        child::make_dir(&dir.path().join("server"))?;
        let inbox = || Model::new(vec!["INBOX".to_owned()], false);
        let own = |client| {
            let names = ["a", "b"].map(|name| format!("client{client}-{name}"));
            Model::new(names.to_vec(), true)
        };
        let delivering = (0..DELIVERING).map(|_| inbox()).collect();
        Ok(Self { dir, delivering, changing: (0..CHANGING).map(own).collect() })
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("server")
    }

    /// Starts the server, lets clients work, kills it, starts it again and looks.
    fn round(
        &mut self,
        round: u32,
        numbers: &AtomicU64,
        rng: &TestRng,
        report: &mut Report,
    ) -> Result<Faults> {
        let server = Server::start(&self.path())?;
        if round == 1 {
            let mut session = Imap::open(server.imap)?;
            for name in self.changing.iter().flat_map(|model| &model.mailboxes) {
                session.command(&format!("CREATE {name}"), |_| ())?;
            }
        }
        let extra = WORK.mul_f64((rng.next_u64() % 1_000) as f64 / 1_000.0);
        report.changes += self.work(server, WORK + extra, numbers, rng)?;
        let server = Server::start(&self.path())?;
        report.starts_ms.push(server.start_time.as_secs_f64() * 1e3);
        report.rounds += 1;
        let faults = self.verify(&server, numbers)?;
        // The end of this one is another crash, of a server that has been read from only.
        server.kill()?;
        Ok(faults)
    }

    /// Returns the number of acknowledged changes.
    fn work(
        &mut self,
        server: Server,
        time: Duration,
        numbers: &AtomicU64,
        rng: &TestRng,
    ) -> Result<u64> {
        let (smtp, imap) = (server.smtp, server.imap);
        thread::scope(|scope| {
            let mut clients = Vec::new();
            for model in &mut self.delivering {
                clients.push(scope.spawn(move || worker::deliver(smtp, numbers, model)));
            }
            for model in &mut self.changing {
                let rng = TestRng::new(rng.next_u64());
                clients.push(scope.spawn(move || worker::change(imap, numbers, model, &rng)));
            }
            thread::sleep(time);
            server.kill()?;
            let done = clients.into_iter().map(|client| client.join());
            let done = done.collect::<Result<Vec<Done>, _>>();
            let done = done.map_err(|_| anyhow!("a client panicked"))?;
            Ok(done.iter().map(|done| done.changes).sum())
        })
    }

    fn verify(&mut self, server: &Server, numbers: &AtomicU64) -> Result<Faults> {
        let mut session = Imap::open(server.imap)?;
        let mut faults = Faults::default();
        for model in &mut self.changing {
            faults.extend(model.verify(&mut session, &HashSet::new())?);
            faults.extend(newest_bodies(&mut session, model)?);
        }
        // They share the Inbox: each may find there what the others sent.
        let sent: Vec<HashSet<u64>> = self.delivering.iter().map(sent).collect();
        let all: HashSet<u64> = sent.iter().flatten().copied().collect();
        debug_assert!(all.iter().all(|number| *number < numbers.load(Ordering::Relaxed)));
        for (model, sent) in self.delivering.iter_mut().zip(&sent) {
            faults.extend(model.verify(&mut session, &all)?);
            model.known.retain(|number, _| sent.contains(number));
        }
        Ok(faults)
    }

    /// The store's own check, with no server running.
    fn check(&self, report: &mut Report) -> Result<Faults> {
        report.checks += 1;
        let (_store, account) = fill::open_account(&self.path())?;
        let damaged = account.check().context("check the account")?;
        Ok(Faults { lost: Vec::new(), damaged })
    }
}

/// What a delivering client sent, acknowledged or not.
fn sent(model: &Model) -> HashSet<u64> {
    let mut sent: HashSet<u64> = model.known.keys().copied().collect();
    if let Some(crate::model::Doubt::Added { number }) = model.doubt {
        sent.insert(number);
    }
    sent
}

/// Compares the bodies of the messages added last, byte by byte.
fn newest_bodies(session: &mut Imap, model: &Model) -> Result<Faults> {
    /// The number of messages compared.
    const NEWEST: usize = 5;
    let mut faults = Faults::default();
    let mut newest: Vec<_> = model.known.iter().collect();
    newest.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(**number));
    for (number, place) in newest.into_iter().take(NEWEST) {
        let name = model.mailboxes.get(place.mailbox).context("a mailbox")?;
        session.command(&format!("EXAMINE {name}"), |_| ())?;
        let want = worker::message(*number);
        let mut is_same = false;
        session.command(&format!("UID FETCH {} (BODY.PEEK[])", place.uid), |response| {
            is_same |= response.bytes().windows(want.len()).any(|bytes| bytes == want);
        })?;
        if !is_same {
            faults.damaged.push(format!("message {number} at {place:?} has another body"));
        }
    }
    Ok(faults)
}

impl Report {
    /// Counts and prints faults. Returns whether there are any.
    fn note(&mut self, all: [Faults; 2]) -> bool {
        let mut is_faulty = false;
        for faults in all {
            self.lost += faults.lost.len();
            self.damaged += faults.damaged.len();
            is_faulty |= !faults.is_empty();
            for fault in faults.lost.iter().chain(&faults.damaged).take(FAULTS_SHOWN) {
                complain(&format!("round {}: {fault}", self.rounds));
            }
        }
        is_faulty
    }

    fn text(&self, elapsed: Duration) -> String {
        let slowest = self.starts_ms.iter().copied().fold(0.0, f64::max);
        format!(
            "{} rounds in {:.0} s, {} acknowledged changes, {} lost, {} damaged, {} full checks, \
             start to greeting {:.0} ms median, {slowest:.0} ms at most",
            self.rounds,
            elapsed.as_secs_f64(),
            self.changes,
            self.lost,
            self.damaged,
            self.checks,
            median(self.starts_ms.clone()),
        )
    }
}
