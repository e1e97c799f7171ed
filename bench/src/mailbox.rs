//! A mailbox of 100,000 messages: reading all of it, and changing a thousand.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::args::{Args, Group};
use crate::child::{self, Server};
use crate::deliver::{self, Outcomes};
use crate::fill;
use crate::imap::Imap;
use crate::run::{Sizes, median};
use crate::search;
use crate::table::{Figure, Target};

/// What is fetched of all messages: the target in seconds, and that for the CPU of one message in
/// microseconds.
const FETCHES: [(&str, f64, Option<f64>); 3] =
    [("FLAGS", 0.15, Some(3.0)), ("ENVELOPE", 1.0, Some(15.0)), ("BODY.PEEK[HEADER]", 1.5, None)];

/// Measures everything on one full account; adding to it last, and compared with adding to a
/// fresh one. Without that only searches are measured.
pub(crate) fn measure(args: &Args, sizes: &Sizes, fresh: Option<&Outcomes>) -> Result<Vec<Figure>> {
    let dir = args.new_dir()?;
    let path = dir.path().join("server");
    child::make_dir(&path)?;
    let started = Instant::now();
    fill::fill(&path, sizes.mailbox_messages)?;
    let fill_rate = sizes.mailbox_messages as f64 / started.elapsed().as_secs_f64();
    let mut server = Server::start(&path)?;
    let mut figures = vec![Figure::new("filling, without protocols", fill_rate, "/s")];
    figures.extend(search::fill_index(&mut server, sizes)?);
    if args.wants(Group::Search) {
        figures.extend(search::measure(&mut server, sizes)?);
    }
    if let Some(fresh) = fresh {
        figures.push(select(&server, sizes)?);
        figures.extend(fetches(&mut server, sizes)?);
        figures.extend(changes(&server, sizes)?);
        figures.extend(deliver::measure_full(&mut server, &path, sizes, fresh)?);
    }
    server.stop()?;
    Ok(figures)
}

/// How long something takes, in milliseconds.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

fn select(server: &Server, sizes: &Sizes) -> Result<Figure> {
    let mut session = Imap::open(server.imap)?;
    session.command("SELECT INBOX", |_| ())?;
    let times = (0..sizes.repeats).map(|_| {
        session.command("UNSELECT", |_| ())?;
        timed(|| session.command("SELECT INBOX", |_| ()))
    });
    let time = median(times.collect::<Result<_>>()?);
    Ok(Figure::new("SELECT, large mailbox", time, "ms").target(Target::AtMost(20.0)))
}

fn fetches(server: &mut Server, sizes: &Sizes) -> Result<Vec<Figure>> {
    let mut session = Imap::open(server.imap)?;
    session.command("SELECT INBOX", |_| ())?;
    let mut figures = Vec::new();
    for (items, target_s, target_cpu_us) in FETCHES {
        let command = format!("FETCH 1:* ({items})");
        let fetch = |session: &mut Imap| {
            let count = session.count_fetches(&command)?;
            ensure!(count == sizes.mailbox_messages, "{count} responses to {command}");
            Ok(())
        };
        // What is not in memory yet is not measured.
        fetch(&mut session)?;
        let before = server.stats()?.cpu;
        let times = (0..sizes.repeats).map(|_| timed(|| fetch(&mut session)));
        let time_s = median(times.collect::<Result<_>>()?) / 1e3;
        let used = server.stats()?.cpu.saturating_sub(before).as_secs_f64() * 1e6;
        let cpu_us = used / sizes.repeats as f64 / sizes.mailbox_messages as f64;
        let figure = Figure::new(command, time_s, "s").target(Target::AtMost(target_s));
        figures.push(figure.cpu(cpu_us));
        if let Some(target) = target_cpu_us {
            let figure = Figure::new("  CPU of a message", cpu_us, "us");
            figures.push(figure.target(Target::AtMost(target)));
        }
    }
    Ok(figures)
}

/// Each change is made to other messages, from the first on.
fn changes(server: &Server, sizes: &Sizes) -> Result<Vec<Figure>> {
    let mut changing = Imap::open(server.imap)?;
    let mut returning = Imap::open(server.imap)?;
    changing.command("SELECT INBOX", |_| ())?;
    returning.command("ENABLE QRESYNC", |_| ())?;
    let (mut flags, mut resyncs, mut moves) = (Vec::new(), Vec::new(), Vec::new());
    let mut first = 1;
    for _ in 0..sizes.repeats {
        let (uidvalidity, modseq) = state(&mut returning)?;
        returning.command("UNSELECT", |_| ())?;
        let range = next_range(&mut first, sizes.changes);
        let change = format!("UID STORE {range} +FLAGS (\\Flagged \\Answered)");
        flags.push(timed(|| expect_fetches(&mut changing, &change, sizes.changes))?);
        let resync = format!("SELECT INBOX (QRESYNC ({uidvalidity} {modseq}))");
        resyncs.push(timed(|| expect_fetches(&mut returning, &resync, sizes.changes))?);
        returning.command("UNSELECT", |_| ())?;
    }
    for _ in 0..sizes.repeats {
        let range = next_range(&mut first, sizes.changes);
        let command = format!("UID MOVE {range} Archive");
        moves.push(timed(|| changing.command(&command, |_| ()))?);
    }
    let figure = |name: &str, times| {
        let name = format!("{name} {}", sizes.changes);
        Figure::new(name, median(times), "ms").target(Target::AtMost(30.0))
    };
    Ok(vec![
        figure("QRESYNC after changes of", resyncs),
        figure("flag change of", flags),
        figure("move of", moves),
    ])
}

fn next_range(first: &mut u64, count: u64) -> String {
    let range = format!("{first}:{}", *first + count - 1);
    *first += count;
    range
}

fn expect_fetches(session: &mut Imap, command: &str, expected: u64) -> Result<()> {
    let count = session.count_fetches(command)?;
    ensure!(count == expected, "{count} responses to {command}");
    Ok(())
}

/// Selects the Inbox; returns UIDVALIDITY and HIGHESTMODSEQ.
fn state(session: &mut Imap) -> Result<(u64, u64)> {
    let (mut uidvalidity, mut modseq) = (None, None);
    session.command("SELECT INBOX", |response| {
        let text = response.text();
        let number = |code: &str| {
            let (_, rest) = text.split_once(code)?;
            rest.split(']').next()?.parse().ok()
        };
        uidvalidity = uidvalidity.or_else(|| number("[UIDVALIDITY "));
        modseq = modseq.or_else(|| number("[HIGHESTMODSEQ "));
    })?;
    Ok((uidvalidity.context("no UIDVALIDITY")?, modseq.context("no HIGHESTMODSEQ")?))
}
