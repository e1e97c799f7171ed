//! Messages of 5 KB by SMTP and by APPEND, from one session and from many at once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::args::Args;
use crate::child::{self, Server};
use crate::fill::{FREQUENT_SENDER, message};
use crate::imap::Imap;
use crate::proc::CpuTicks;
use crate::raw;
use crate::run::Sizes;
use crate::smtp::{Smtp, to_data};
use crate::table::{Figure, Target};

/// Messages made before a measurement; when they are used up it ends early. No message is sent
/// twice: that would be a thread of its own kind.
const MESSAGES_MAX: u64 = 12_000;

/// Processors are taken to be the limit if less than this part of their time is left.
const IDLE_SHARE_MIN: f64 = 0.1;

/// How messages come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Smtp,
    Append,
}

/// How it went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    per_s: f64,
    cpu_us: f64,
    syncs: f64,
    raw_per_s: f64,
    is_cpu_bound: bool,
}

/// Of SMTP with one and many sessions, then of APPEND with one and many.
pub(crate) type Outcomes = [Outcome; 4];

const LOADS: [(Way, bool); 4] =
    [(Way::Smtp, false), (Way::Smtp, true), (Way::Append, false), (Way::Append, true)];

/// Measures on a fresh account.
pub(crate) fn measure(args: &Args, sizes: &Sizes) -> Result<(Vec<Figure>, Outcomes)> {
    let dir = args.new_dir()?;
    let path = dir.path().join("server");
    child::make_dir(&path)?;
    let mut server = Server::start(&path)?;
    let outcomes = all(&mut server, &path, sizes, 0)?;
    server.stop()?;
    let figures = LOADS
        .iter()
        .zip(&outcomes)
        .flat_map(|(load, outcome)| outcome.figures(&name(*load, sizes, "fresh account"), load.1));
    Ok((figures.collect(), outcomes))
}

/// Measures on an account that holds `held` messages already, in a directory that is in use.
pub(crate) fn measure_full(
    server: &mut Server,
    dir: &Path,
    sizes: &Sizes,
    fresh: &Outcomes,
) -> Result<Vec<Figure>> {
    let outcomes = all(server, dir, sizes, sizes.mailbox_messages)?;
    let held = format!("{} held", sizes.mailbox_messages);
    let pairs = LOADS.iter().zip(outcomes.iter().zip(fresh));
    let figures = pairs.map(|(load, (full, fresh))| {
        let name = name(*load, sizes, &held);
        let times = full.cpu_us / fresh.cpu_us;
        [
            Figure::new(name, full.per_s, "/s").raw(full.raw_per_s).cpu(full.cpu_us),
            Figure::new("  CPU, times that of fresh", times, "").target(Target::AtMost(1.5)),
        ]
    });
    Ok(figures.flatten().collect())
}

fn name((way, is_many): (Way, bool), sizes: &Sizes, account: &str) -> String {
    let way = if way == Way::Smtp { "SMTP delivery" } else { "APPEND" };
    match is_many {
        true => format!("{way}, {} sessions, {account}", sizes.sessions),
        false => format!("{way}, 1 session, {account}"),
    }
}

impl Outcome {
    fn figures(&self, name: &str, is_many: bool) -> Vec<Figure> {
        let of_raw = self.per_s / self.raw_per_s;
        let cpu_ms = self.cpu_us / 1e3;
        let mut figures = vec![
            Figure::new(name, self.per_s, "/s").raw(self.raw_per_s).cpu(self.cpu_us),
            Figure::new("  rate, times the raw one", of_raw, "")
                .target(Target::AtLeast(if is_many { 3.0 } else { 0.5 }))
                .unless_cpu_bound(is_many && self.is_cpu_bound),
            Figure::new("  CPU of a message", cpu_ms, "ms").target(Target::AtMost(1.0)),
        ];
        let syncs = Figure::new("  syncs of a message", self.syncs, "");
        figures.push(if is_many { syncs.target(Target::AtMost(0.3)) } else { syncs });
        figures
    }
}

fn all(server: &mut Server, dir: &Path, sizes: &Sizes, first: u64) -> Result<Outcomes> {
    let mut next = first;
    let mut outcomes = Vec::new();
    for (way, is_many) in LOADS {
        let sessions = if is_many { sizes.sessions } else { 1 };
        let numbers = next..next + MESSAGES_MAX;
        next = numbers.end;
        let messages: Vec<_> = numbers.map(message).collect();
        outcomes.push(load(server, dir, way, sessions, &messages, sizes.run)?);
    }
    <[Outcome; 4]>::try_from(outcomes).map_err(|_| anyhow!("one outcome for each load"))
}

fn load(
    server: &mut Server,
    dir: &Path,
    way: Way,
    sessions: usize,
    messages: &[Vec<u8>],
    run: Duration,
) -> Result<Outcome> {
    let data: Vec<_> = match way {
        Way::Smtp => messages.iter().map(|message| to_data(message)).collect(),
        Way::Append => messages.to_vec(),
    };
    let addr = if way == Way::Smtp { server.smtp } else { server.imap };
    let raw_before = raw::syncs_per_s(dir, run / 3)?;
    let begin = Barrier::new(sessions + 1);
    let taken = AtomicUsize::new(0);
    let (stats, after, ticks, seconds, sent) = thread::scope(|scope| {
        let work =
            (0..sessions).map(|_| scope.spawn(|| session(way, addr, &data, &taken, &begin, run)));
        let work: Vec<_> = work.collect();
        let stats = server.stats();
        let ticks = CpuTicks::now();
        begin.wait();
        let started = Instant::now();
        let sent: Result<usize> = work
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?)
            .sum();
        let seconds = started.elapsed().as_secs_f64();
        (stats, server.stats(), ticks, seconds, sent)
    });
    let (stats, after, sent) = (stats?, after?, sent?.max(1) as f64);
    let idle = CpuTicks::now()?.idle_since(ticks?);
    let raw_after = raw::syncs_per_s(dir, run / 3)?;
    Ok(Outcome {
        per_s: sent / seconds,
        cpu_us: (after.cpu.saturating_sub(stats.cpu)).as_secs_f64() * 1e6 / sent,
        syncs: after.syncs.saturating_sub(stats.syncs) as f64 / sent,
        raw_per_s: f64::midpoint(raw_before, raw_after),
        is_cpu_bound: idle < IDLE_SHARE_MIN,
    })
}

/// Sends messages until the time is over or none is left. Returns how many.
fn session(
    way: Way,
    addr: SocketAddr,
    data: &[Vec<u8>],
    taken: &AtomicUsize,
    begin: &Barrier,
    run: Duration,
) -> Result<usize> {
    let opened = match way {
        Way::Smtp => Smtp::connect(addr).map(Client::Smtp),
        Way::Append => Imap::open(addr).map(|session| Client::Imap(Box::new(session))),
    };
    // Also if it failed: the others wait for this one.
    begin.wait();
    let mut client = opened.context("open session")?;
    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < run {
        let Some(message) = data.get(taken.fetch_add(1, Ordering::Relaxed)) else { break };
        match &mut client {
            Client::Smtp(session) => session.deliver(FREQUENT_SENDER, message)?,
            Client::Imap(session) => drop(session.append("INBOX", "\\Seen", message)?),
        }
        sent += 1;
    }
    Ok(sent)
}

enum Client {
    Smtp(Smtp),
    Imap(Box<Imap>),
}
