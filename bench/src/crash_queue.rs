//! The crash test of the queue: the server is killed in a loop while clients submit and it sends, and
//! all that it acknowledged must arrive, once.
//!
//! A message may arrive twice if the server was killed after it had sent the final dot and before it
//! had kept the answer. Such attempts are known at the next start: the server counts them, and no
//! more messages than that may have come twice.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use mox::localserve::ADDRESS;
use mox_testkit::TestRng;

use crate::args::{Args, CrashArgs};
use crate::child::{self, Server};
use crate::say;
use crate::served::SINK_DOMAINS;
use crate::sink::Sink;
use crate::smtp::{Smtp, to_data};

/// The length of a message, as Postfix' own benchmarks have it.
const MESSAGE_BYTES: usize = 5_000;

/// Clients that submit.
const SUBMITTING: usize = 4;

/// Rounds with the same data and the same sink.
const ROUNDS_PER_DIR: u32 = 25;

/// The server works for between this and twice this long before it is killed.
const WORK: Duration = Duration::from_millis(200);

/// How long the last messages may take to arrive.
const DRAIN_WAIT: Duration = Duration::from_secs(120);

/// Between two looks at the queue.
const PAUSE: Duration = Duration::from_millis(50);

/// What the account may send in a day.
const LIMITS: &str = "\t\tMaxOutgoingMessagesPerDay: 100000000\n\
    \t\tMaxFirstTimeRecipientsPerDay: 100000000\n";

#[derive(Debug, Default)]
struct Report {
    rounds: u32,
    acknowledged: u64,
    arrived: u64,
    lost: u64,
    twice: u64,
    interrupted: u64,
}

/// Runs all rounds. Returns whether nothing was wrong.
pub(crate) fn run(args: &Args, options: &CrashArgs) -> Result<bool> {
    let rounds = if args.quick { options.rounds.min(5) } else { options.rounds };
    let rng = TestRng::new(options.seed);
    let mut report = Report::default();
    while report.rounds < rounds {
        let here = ROUNDS_PER_DIR.min(rounds - report.rounds);
        some_rounds(args, here, &rng, &mut report)?;
        say(&report.text());
        if report.lost > 0 || report.twice > report.interrupted {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Kills the server some times, then lets it send what is left, and compares.
fn some_rounds(args: &Args, rounds: u32, rng: &TestRng, report: &mut Report) -> Result<()> {
    let dir = args.new_dir()?;
    let path = dir.path().join("server");
    child::make_dir(&path)?;
    lift_limits(&path)?;
    let sink = Sink::start()?;
    let numbers = AtomicU64::new(1);
    let mut acknowledged = HashSet::new();
    for _ in 0..rounds {
        let mut server = Server::start_sending(&path, sink.addr())?;
        report.interrupted += server.queue()?.1;
        // What waits after the last crash goes out in this round, so that crashes meet it again.
        server.send_now()?;
        let extra = WORK.mul_f64((rng.next_u64() % 1_000) as f64 / 1_000.0);
        acknowledged.extend(work(server, WORK + extra, &numbers)?);
        report.rounds += 1;
    }
    let mut server = Server::start_sending(&path, sink.addr())?;
    report.interrupted += server.queue()?.1;
    server.send_now()?;
    let end = Instant::now() + DRAIN_WAIT;
    while server.queue()?.0 > 0 {
        ensure!(Instant::now() < end, "messages are left in the queue");
        thread::sleep(PAUSE);
    }
    server.stop()?;
    let taken = sink.taken();
    report.acknowledged += acknowledged.len() as u64;
    report.arrived += taken.numbers.len() as u64;
    let is_lost = |number: &&u64| !taken.numbers.contains_key(*number);
    report.lost += acknowledged.iter().filter(is_lost).count() as u64;
    report.twice += taken.numbers.values().map(|count| count - 1).sum::<u64>();
    Ok(())
}

/// Lets the account send as much as it likes.
fn lift_limits(dir: &Path) -> Result<()> {
    let path = dir.join("domains.conf");
    let text = std::fs::read_to_string(&path).context("read domains.conf")?;
    let heading = "Accounts:\n\tmox:\n";
    ensure!(text.contains(heading), "no account in {}", path.display());
    let lifted = text.replacen(heading, &format!("{heading}{LIMITS}"), 1);
    std::fs::write(&path, lifted).context("write domains.conf")
}

/// Lets clients submit until the server is killed. Returns the numbers that were acknowledged.
fn work(server: Server, time: Duration, numbers: &AtomicU64) -> Result<HashSet<u64>> {
    let addr = server.submission;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..SUBMITTING).map(|_| scope.spawn(|| client(addr, numbers, &is_over))).collect();
        thread::sleep(time);
        server.kill()?;
        is_over.store(true, Ordering::Relaxed);
        let mut acknowledged = HashSet::new();
        for client in clients {
            acknowledged.extend(client.join().map_err(|_| anyhow!("a client panicked"))?);
        }
        Ok(acknowledged)
    })
}

fn client(addr: SocketAddr, numbers: &AtomicU64, is_over: &AtomicBool) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let opened = Smtp::connect(addr).and_then(|mut session| {
        session.login()?;
        Ok(session)
    });
    let Ok(mut session) = opened else { return acknowledged };
    while !is_over.load(Ordering::Relaxed) {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let rcpt = format!("someone@d{}.example", number % SINK_DOMAINS);
        // Ends when the server is killed.
        if session.submit(&rcpt, &message(number)).is_err() {
            return acknowledged;
        }
        acknowledged.push(number);
    }
    acknowledged
}

/// A message with its number in the subject, as it is sent after DATA.
fn message(number: u64) -> Vec<u8> {
    let mut text = format!(
        "From: <{ADDRESS}>\r\nTo: <someone@sink.example>\r\nSubject: message {number}\r\n\
         Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{number}@bench.example>\r\n\r\n"
    );
    while text.len() < MESSAGE_BYTES {
        text.push_str(&format!(
            "{number} words of a message that has a few of them, in lines.\r\n"
        ));
    }
    to_data(text.as_bytes())
}

impl Report {
    fn text(&self) -> String {
        let Self { rounds, acknowledged, arrived, lost, twice, interrupted } = self;
        format!(
            "{rounds} kills, {acknowledged} messages acknowledged, {arrived} arrived, {lost} lost, \
             {twice} came twice, {interrupted} attempts known to be cut off"
        )
    }
}
