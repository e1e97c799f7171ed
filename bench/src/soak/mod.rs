//! The soak: many sessions do random commands on the same mailboxes, and each checks all it is told
//! as a strict client would, by RFC 9051 §5.5, RFC 9051 §7.4.1, RFC 9051 §7.5.1 and RFC 7162.
//!
//! A round is some commands of each session, then a quiet point at which all views of a mailbox are
//! compared with each other and with that of a client that knows nothing. At the end the store's own
//! check is run.

mod ledger;
mod quiet;
mod responses;
mod steps;
mod updates;
mod view;
mod walker;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::args::{Args, SoakArgs};
use crate::child::{self, Server};
use crate::imap::Imap;
use crate::{complain, fill, say};
use quiet::Seen;
use walker::{Shared, Walker};

/// After this many violations there is no use in going on.
const VIOLATIONS_MAX: usize = 20;

/// How long a session with a thread of its own stays in IDLE.
const IDLE_TIME: Duration = Duration::from_millis(20);

/// Between two lines that say how far it is.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Runs the soak against a server of its own. Returns whether nothing was wrong.
pub(crate) fn run(args: &Args, options: &SoakArgs) -> Result<bool> {
    let dir = args.new_dir()?;
    let path = dir.path().join("server");
    child::make_dir(&path)?;
    let server = Server::start(&path)?;
    let started = Instant::now();
    let outcome = drive(server.imap, options)?;
    let elapsed = started.elapsed();
    let memory_kib = server.resident_kib()?;
    server.stop()?;
    let (_store, account) = fill::open_account(&path)?;
    let damaged = account.check().context("check the account")?;
    for violation in &outcome.violations {
        complain(violation);
    }
    for fault in &damaged {
        complain(&format!("store check: {fault}"));
    }
    say(&outcome.text(elapsed));
    say(&format!("server memory {} MiB, store check: {} faults", memory_kib >> 10, damaged.len()));
    let is_clean = outcome.violations.is_empty() && damaged.is_empty();
    if !is_clean {
        complain(&format!("the data is kept in {}", dir.keep().display()));
    }
    Ok(is_clean)
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) rounds: u32,
    /// What was wrong, each with the last lines of its session.
    pub(crate) violations: Vec<String>,
}

impl Outcome {
    fn text(&self, elapsed: Duration) -> String {
        let total: u64 = self.counts.values().sum();
        let counts: Vec<_> = self.counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
        format!(
            "{total} commands in {:.0} s, {:.0}/s, {} rounds, {} violations\n{}",
            elapsed.as_secs_f64(),
            total as f64 / elapsed.as_secs_f64(),
            self.rounds,
            self.violations.len(),
            counts.join(", ")
        )
    }
}

/// What the threads share, besides what their sessions do.
struct Run<'a> {
    options: &'a SoakArgs,
    addr: SocketAddr,
    barrier: Barrier,
    ends: AtomicBool,
    shared: Arc<Shared>,
    seen: Mutex<Seen>,
    violations: Mutex<Vec<String>>,
    rounds: AtomicU64,
    started: Instant,
}

/// Lets sessions work on a server.
pub(crate) fn drive(addr: SocketAddr, options: &SoakArgs) -> Result<Outcome> {
    let mut session = Imap::open(addr)?;
    for name in steps::STEADY.iter().filter(|name| **name != "INBOX") {
        session.command(&format!("CREATE {name}"), |_| ())?;
    }
    let threads = options.threads.unwrap_or(options.sessions).clamp(1, options.sessions);
    let run = Run {
        options,
        addr,
        barrier: Barrier::new(threads),
        ends: AtomicBool::new(false),
        shared: Arc::default(),
        seen: Mutex::default(),
        violations: Mutex::default(),
        rounds: AtomicU64::new(0),
        started: Instant::now(),
    };
    let mut outcome = Outcome::default();
    thread::scope(|scope| {
        let start = |thread| {
            scope.spawn({
                let run = &run;
                move || run.work(thread, threads)
            })
        };
        let working: Vec<_> = (0..threads).map(start).collect();
        for counts in working.into_iter().filter_map(|thread| thread.join().ok()) {
            for (name, count) in counts {
                *outcome.counts.entry(name).or_default() += count;
            }
        }
    });
    outcome.rounds = u32::try_from(run.rounds.into_inner()).unwrap_or(u32::MAX);
    outcome.violations = run.violations.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(outcome)
}

impl Run<'_> {
    /// The work of one thread: every `threads`th session.
    fn work(&self, thread: usize, threads: usize) -> BTreeMap<&'static str, u64> {
        let seed = self.options.seed;
        let own = (thread..self.options.sessions).step_by(threads);
        let mut walkers: Vec<Walker> = own
            .map(|index| Walker::new(index, self.addr, seed, Arc::clone(&self.shared)))
            .collect();
        for walker in &mut walkers {
            walker.idle_time = if threads == 1 { Duration::ZERO } else { IDLE_TIME };
            self.watch(walker, Walker::connect);
        }
        let mut told = Instant::now();
        loop {
            for _ in 0..self.options.steps {
                walkers.iter_mut().for_each(|walker| self.watch(walker, Walker::step));
            }
            walkers.iter_mut().for_each(|walker| self.watch(walker, Walker::end_idle));
            self.barrier.wait();
            for walker in &mut walkers {
                self.watch(walker, |walker| walker.quiet_among(&self.seen));
            }
            if self.barrier.wait().is_leader() {
                self.end_round(&mut told);
            }
            self.barrier.wait();
            if self.ends.load(Ordering::SeqCst) {
                break;
            }
        }
        let mut counts = BTreeMap::new();
        for (name, count) in walkers.iter().flat_map(|walker| &walker.counts) {
            *counts.entry(*name).or_default() += count;
        }
        counts
    }

    /// Looks at everything with fresh eyes, and says whether it was enough.
    fn end_round(&self, told: &mut Instant) {
        let mut fresh = Walker::new(1, self.addr, 0, Arc::clone(&self.shared));
        let mut there = HashSet::new();
        self.watch(&mut fresh, |fresh| {
            fresh.connect()?;
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            there = fresh.survey(&mut seen)?;
            *seen = Seen::default();
            Ok(())
        });
        if !there.is_empty() {
            self.shared.ledger().retain(|uidvalidity| there.contains(&uidvalidity));
        }
        let rounds = self.rounds.fetch_add(1, Ordering::SeqCst) + 1;
        let violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner).len();
        let limit = Duration::from_secs_f64(self.options.minutes.clamp(0.0, 1e6) * 60.0);
        let is_enough = match self.options.rounds {
            Some(wanted) => rounds >= u64::from(wanted),
            None => self.started.elapsed() >= limit,
        };
        self.ends.store(is_enough || violations >= VIOLATIONS_MAX, Ordering::SeqCst);
        if told.elapsed() >= TELL_EVERY {
            *told = Instant::now();
            complain(&format!("round {rounds}, {violations} violations"));
        }
    }

    /// Notes what was wrong, and starts the session again.
    fn watch(&self, walker: &mut Walker, work: impl FnOnce(&mut Walker) -> Result<()>) {
        let Err(error) = work(walker) else { return };
        let what = format!(
            "session {} ({:?}{}): {error:#}\n{}",
            walker.index,
            walker.kind,
            if walker.rev2 { ", IMAP4rev2" } else { "" },
            walker.transcript()
        );
        walker.reset();
        let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        if violations.len() < VIOLATIONS_MAX {
            violations.push(what);
        }
        drop(violations);
        if let Err(error) = walker.connect() {
            complain(&format!("session {} cannot connect: {error:#}", walker.index));
        }
    }
}

#[cfg(test)]
mod tests {
    use mox::server::{Options, Server};
    use mox::service::Service;

    use super::*;

    /// A few sessions, one command at a time: the same run each time.
    #[test]
    fn a_short_soak_finds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server");
        child::make_dir(&path).unwrap();
        let options = Options::localserve(&path).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(Server::start(options.on_free_ports())).unwrap();
        let soak = SoakArgs {
            sessions: 8,
            threads: Some(1),
            minutes: 0.0,
            rounds: Some(4),
            steps: 40,
            seed: 1,
        };
        let outcome = drive(server.address(Service::Imap).unwrap(), &soak).unwrap();
        runtime.block_on(server.shutdown());
        drop(runtime);
        assert_eq!(outcome.violations, Vec::<String>::new());
        assert_eq!(outcome.rounds, 4);
        // Not every step has a command: some need what is not there at the moment.
        assert!(outcome.counts.values().sum::<u64>() > 8 * 4 * 30, "{:?}", outcome.counts);
        let (_store, account) = fill::open_account(&path).unwrap();
        assert_eq!(account.check().unwrap(), Vec::<String>::new());
    }
}
