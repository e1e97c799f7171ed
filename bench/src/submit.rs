//! Messages of 5 KB by submission, each with two signatures.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use mox::localserve::ADDRESS;
use mox_mailauth::dkim::PrivateKey;

use crate::args::Args;
use crate::child::{self, Server};
use crate::fill::message_from;
use crate::run::Sizes;
use crate::smtp::{Smtp, to_data};
use crate::table::{Figure, Target};

/// At the same time.
const CLIENTS: usize = 10;

/// Messages made before the measurement; when they are used up it ends early.
const MESSAGES_MAX: u64 = 12_000;

/// Where they go. The name exists nowhere, and nobody asks for it.
const RCPT_TO: &str = "friend@elsewhere.example";

/// Where a localserve has its one selector, and what is put there.
const SELECTORS: &str = "\t\t\tSelectors:\n";
const SIGN: &str = "\t\t\tSign:\n";

/// Measures on a fresh server.
pub(crate) fn measure(args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let dir = args.new_dir()?;
    let path = dir.path().join("server");
    child::make_dir(&path)?;
    add_rsa_key(&path)?;
    let mut server = Server::start(&path)?;
    let messages = (0..MESSAGES_MAX).map(|number| to_data(&message_from(number, ADDRESS)));
    let messages: Vec<_> = messages.collect();
    let before = server.stats()?;
    let (sent, seconds) = load(server.submission, &messages, sizes.run)?;
    let after = server.stats()?;
    server.stop()?;
    let cpu_us = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / sent;
    let name = format!("submission, {CLIENTS} clients, Ed25519 and RSA-2048");
    Ok(vec![
        Figure::new(name, sent / seconds, "/s").cpu(cpu_us).target(Target::AtLeast(850.0)),
        Figure::new("  CPU of a message", cpu_us / 1e3, "ms"),
    ])
}

/// Gives the domain a second key; the first is of Ed25519.
fn add_rsa_key(dir: &Path) -> Result<()> {
    fs::write(dir.join("rsa.pem"), PrivateKey::generate_rsa()?.to_pem(None)?)?;
    let path = dir.join("domains.conf");
    let text = fs::read_to_string(&path)?;
    ensure!(text.contains(SELECTORS) && text.contains(SIGN), "localserve has no DKIM key");
    let selector = "\t\t\t\trsa:\n\t\t\t\t\tPrivateKeyFile: rsa.pem\n";
    let text = text.replacen(SELECTORS, &format!("{SELECTORS}{selector}"), 1);
    let text = text.replacen(SIGN, &format!("{SIGN}\t\t\t\t- rsa\n"), 1);
    Ok(fs::write(path, text)?)
}

/// How many messages were submitted, in how many seconds.
fn load(addr: SocketAddr, messages: &[Vec<u8>], run: Duration) -> Result<(f64, f64)> {
    let (begin, taken) = (Barrier::new(CLIENTS + 1), AtomicUsize::new(0));
    thread::scope(|scope| {
        let work =
            (0..CLIENTS).map(|_| scope.spawn(|| client(addr, messages, &taken, &begin, run)));
        let work: Vec<_> = work.collect();
        begin.wait();
        let started = Instant::now();
        let sent: Result<usize> = work
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?)
            .sum();
        Ok((sent?.max(1) as f64, started.elapsed().as_secs_f64()))
    })
}

/// Submits messages until the time is over or none is left. Returns how many.
fn client(
    addr: SocketAddr,
    messages: &[Vec<u8>],
    taken: &AtomicUsize,
    begin: &Barrier,
    run: Duration,
) -> Result<usize> {
    let opened = Smtp::connect(addr).and_then(|mut session| {
        session.login()?;
        Ok(session)
    });
    // Also if it failed: the others wait for this one.
    begin.wait();
    let mut session = opened.context("open session")?;
    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < run {
        let Some(message) = messages.get(taken.fetch_add(1, Ordering::Relaxed)) else { break };
        session.submit(RCPT_TO, message)?;
        sent += 1;
    }
    Ok(sent)
}
