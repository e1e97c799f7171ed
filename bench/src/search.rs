//! Searching, sorting and threading a mailbox of 100,000 messages, and reading all of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::child::Server;
use crate::fill::{RARE_WORD, rare_count};
use crate::imap::Imap;
use crate::run::{Sizes, median};
use crate::table::{Figure, Target};

/// A word that is in no message.
const MISSING_WORD: &str = "xylophonic";

/// How often the server is asked whether the index is full.
const INDEX_INTERVAL: Duration = Duration::from_millis(200);

/// How often memory is looked at during a download.
const MEMORY_INTERVAL: Duration = Duration::from_millis(20);

/// How often the whole mailbox is read in one download.
const DOWNLOADS: u64 = 2;

/// Bytes written at once where no server is in the way.
const RAW_WRITE_BYTES: usize = 64 << 10;

/// Lets the server fill its search index, and measures what that costs.
pub(crate) fn fill_index(server: &mut Server, sizes: &Sizes) -> Result<Vec<Figure>> {
    let started = Instant::now();
    // The account is opened by who comes first.
    Imap::open(server.imap)?.command("SELECT INBOX", |_| ())?;
    let before = server.stats()?.cpu;
    loop {
        let (done, total) = server.index_progress()?;
        if done >= total {
            break;
        }
        thread::sleep(INDEX_INTERVAL);
    }
    let cpu = server.stats()?.cpu.saturating_sub(before);
    let cpu_ms = cpu.as_secs_f64() * 1e3 / sizes.mailbox_messages as f64;
    let rate = sizes.mailbox_messages as f64 / started.elapsed().as_secs_f64();
    Ok(vec![
        Figure::new("filling the search index", rate, "/s"),
        Figure::new("  CPU of a message", cpu_ms, "ms").target(Target::AtMost(1.0)),
    ])
}

/// Measures all that needs a full index.
pub(crate) fn measure(server: &mut Server, sizes: &Sizes) -> Result<Vec<Figure>> {
    let mut figures = searches(server, sizes)?;
    figures.push(orders(server, sizes, "SORT (DATE) UTF-8 ALL")?);
    figures.push(orders(server, sizes, "THREAD REFERENCES UTF-8 ALL")?);
    figures.push(overview(server, sizes)?);
    figures.extend(download(server, sizes)?);
    Ok(figures)
}

/// The commands, what each finds at least and at most, and its target in milliseconds.
fn search_commands(sizes: &Sizes) -> Vec<(String, u64, f64)> {
    let (half, rare) = (sizes.mailbox_messages / 2, rare_count(sizes.mailbox_messages));
    let mut commands = vec![
        ("SEARCH UNSEEN".to_owned(), half, 15.0),
        ("SEARCH BEFORE 1-Jan-2026".to_owned(), 0, 15.0),
        ("SEARCH SINCE 1-Jan-2026".to_owned(), sizes.mailbox_messages, 15.0),
        ("SEARCH LARGER 5000".to_owned(), 0, 15.0),
    ];
    for key in ["SUBJECT", "TEXT", "BODY"] {
        commands.push((format!("SEARCH {key} {MISSING_WORD}"), 0, 10.0));
        commands.push((format!("SEARCH {key} {RARE_WORD}"), rare, 30.0));
    }
    commands
}

fn searches(server: &Server, sizes: &Sizes) -> Result<Vec<Figure>> {
    let mut session = Imap::open(server.imap)?;
    session.command("SELECT INBOX", |_| ())?;
    let figures = search_commands(sizes).into_iter().map(|(command, hits, target_ms)| {
        let mut times = Vec::new();
        // The first is not counted: what is not in memory yet is not measured.
        for round in 0..=sizes.repeats {
            let mut found = 0;
            let started = Instant::now();
            session.command(&command, |response| {
                if let Some(numbers) = response.rest().strip_prefix(b"SEARCH") {
                    found += numbers.iter().filter(|byte| **byte == b' ').count() as u64;
                }
            })?;
            let taken = started.elapsed().as_secs_f64() * 1e3;
            ensure!(found == hits, "{found} messages, not {hits}, found by {command}");
            if round > 0 {
                times.push(taken);
            }
        }
        let name = format!("{command} ({hits})");
        Ok(Figure::new(name, median(times), "ms").target(Target::AtMost(target_ms)))
    });
    figures.collect()
}

/// Measures a command that names every message once.
fn orders(server: &Server, sizes: &Sizes, command: &str) -> Result<Figure> {
    let mut session = Imap::open(server.imap)?;
    session.command("SELECT INBOX", |_| ())?;
    let mut times = Vec::new();
    for round in 0..=sizes.repeats {
        let mut named = 0;
        let started = Instant::now();
        session.command(command, |response| named += count_numbers(response.rest()))?;
        let taken = started.elapsed().as_secs_f64() * 1e3;
        ensure!(named == sizes.mailbox_messages, "{command} named {named} messages");
        if round > 0 {
            times.push(taken);
        }
    }
    Ok(Figure::new(command, median(times), "ms").target(Target::AtMost(300.0)))
}

/// How many numbers stand in a text.
fn count_numbers(text: &[u8]) -> u64 {
    let runs = text.split(|byte| !byte.is_ascii_digit());
    runs.filter(|run| !run.is_empty()).count() as u64
}

/// What a client asks of a mailbox that it does not know yet.
fn overview(server: &mut Server, sizes: &Sizes) -> Result<Figure> {
    let command = "FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)";
    let mut session = Imap::open(server.imap)?;
    session.command("SELECT INBOX", |_| ())?;
    session.count_fetches(command)?;
    let before = server.stats()?.cpu;
    let mut rates = Vec::new();
    for _ in 0..sizes.repeats {
        let started = Instant::now();
        let count = session.count_fetches(command)?;
        ensure!(count == sizes.mailbox_messages, "{count} responses to {command}");
        rates.push(count as f64 / started.elapsed().as_secs_f64());
    }
    let used = server.stats()?.cpu.saturating_sub(before).as_secs_f64() * 1e6;
    let cpu_us = used / sizes.repeats as f64 / sizes.mailbox_messages as f64;
    let figure = Figure::new(command, median(rates), "/s");
    Ok(figure.target(Target::AtLeast(60_000.0)).cpu(cpu_us))
}

/// Reads all messages whole, and compares with the same bytes sent by no server.
fn download(server: &mut Server, sizes: &Sizes) -> Result<Vec<Figure>> {
    let mut session = Imap::open(server.imap)?;
    session.command("SELECT INBOX", |_| ())?;
    let before = server.stats()?.cpu;
    let resident_before = server.resident_kib()?;
    let done = AtomicBool::new(false);
    let (bytes, seconds, resident) = thread::scope(|scope| {
        let watcher = scope.spawn(|| highest_resident(server, &done));
        let started = Instant::now();
        let bytes = (0..DOWNLOADS).map(|_| {
            let mut bytes = 0;
            session.command("FETCH 1:* BODY.PEEK[]", |response| {
                bytes += response.bytes().len() as u64;
            })?;
            Ok(bytes)
        });
        let bytes: Result<u64> = bytes.sum();
        let seconds = started.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        let resident = watcher.join().map_err(|_| anyhow!("watching the memory panicked"));
        anyhow::Ok((bytes?, seconds, resident??))
    })?;
    let used = server.stats()?.cpu.saturating_sub(before).as_secs_f64() * 1e6;
    let count = DOWNLOADS * sizes.mailbox_messages;
    let rate = bytes as f64 / seconds / 1e6;
    let growth_mib = resident.saturating_sub(resident_before) as f64 / 1024.0;
    let alone = raw_rate(bytes / count, count)?;
    Ok(vec![
        Figure::new(format!("download of {} MB", bytes / 1_000_000), rate, "MB/s")
            .cpu(used / count as f64),
        Figure::new("  the same bytes from a plain socket", alone, "MB/s"),
        Figure::new("  growth of the server", growth_mib, "MiB").target(Target::AtMost(32.0)),
    ])
}

fn highest_resident(server: &Server, done: &AtomicBool) -> Result<u64> {
    let mut highest = 0;
    while !done.load(Ordering::Relaxed) {
        highest = highest.max(server.resident_kib()?);
        thread::sleep(MEMORY_INTERVAL);
    }
    Ok(highest)
}

/// MB/s of responses of this length that come from a thread which only writes.
fn raw_rate(bytes: u64, count: u64) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let (mut socket, _) = listener.accept()?;
            socket.write_all(b"* OK hello\r\n")?;
            // What is left unread when a socket is closed would take with it what it sent.
            BufReader::new(&socket).read_line(&mut String::new())?;
            let response = raw_response(bytes);
            let at_once = response.repeat((RAW_WRITE_BYTES / response.len()).max(1));
            let mut left = count as usize;
            while left > 0 {
                let now = left.min(at_once.len() / response.len());
                let part = at_once.get(..now * response.len()).unwrap_or_default();
                socket.write_all(part)?;
                left -= now;
            }
            socket.write_all(b"a1 OK done\r\n")
        });
        let mut session = Imap::connect(address)?;
        let started = Instant::now();
        let mut read = 0;
        session.command("NOOP", |response| read += response.bytes().len() as u64)?;
        let rate = read as f64 / started.elapsed().as_secs_f64() / 1e6;
        writer.join().map_err(|_| anyhow!("the plain socket panicked"))??;
        Ok(rate)
    })
}

/// A response with a literal, about so many bytes long.
fn raw_response(bytes: u64) -> Vec<u8> {
    let body = usize::try_from(bytes.saturating_sub(40)).unwrap_or_default();
    let mut response = format!("* 1 FETCH (BODY[] {{{body}}}\r\n").into_bytes();
    response.resize(response.len() + body, b'x');
    response.extend_from_slice(b")\r\n");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: u64) {
        assert_eq!(count_numbers(text.as_bytes()), want, "{text}");
    }

    #[test]
    fn numbers_are_counted() {
        check("SORT 1 23 456", 3);
        check("THREAD (1 2 (3)(44))(5)", 5);
        check("SORT", 0);
        check("", 0);
    }

    #[test]
    fn the_plain_socket_says_what_a_server_would() {
        assert!(raw_rate(100, 3).unwrap() > 0.0);
        assert!(raw_response(100).starts_with(b"* 1 FETCH (BODY[] {60}\r\nxxx"));
    }
}
