//! The child process: a server as `mox localserve` runs it, that also tells what it used. With the
//! address of a sink it is a server for the internet instead, whose mail all goes there.
//!
//! On standard output it says `ready` with its addresses, then answers each line `stats` with the
//! syncs of its store and the CPU time of the process, and each line `index` with how many
//! messages of its account are in the search index, and how many there are. `queue` is answered with how many
//! messages are queued, and how many attempts an earlier process left without an end; `now` makes all
//! that is queued due. It ends when standard input does.

use std::ffi::OsString;
use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use mox::localserve::ACCOUNT;
use mox::log::{Form, install};
use mox::server::{Options, Server};
use mox::service::Service;
use mox::services::Mode;
use mox_base::Clock as _;
use mox_config::LogLevel;
use mox_dns::FakeDns;
use mox_net::{BLOCKING_THREADS_MAX, SystemClock};
use mox_queue::{Change, Filter, Queue};
use mox_store::Store;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// The first argument that makes this program the server.
pub(crate) const ARGUMENT: &str = "__server";

/// `d0.example` and so on are domains whose mail the sink takes.
pub(crate) const SINK_DOMAINS: u64 = 7;

/// Runs the server in a directory made by [`mox::localserve::init`].
pub(crate) fn run(mut words: impl Iterator<Item = OsString>) -> Result<()> {
    let dir = PathBuf::from(words.next().context("the server needs a directory")?);
    let sink: Option<SocketAddr> = match words.next() {
        Some(word) => Some(word.to_string_lossy().parse().context("address of the sink")?),
        None => None,
    };
    // As `mox serve` logs if nothing else is configured; a localserve would log everything.
    let mode = if sink.is_some() { Mode::Serve } else { Mode::Localserve };
    let loaded = Options::load(mode, &dir, Some(LogLevel::Info));
    let (mut options, _) = loaded.map_err(|faults| anyhow::anyhow!("configuration: {faults:?}"))?;
    if let Some(sink) = sink {
        options.resolver = Some(Arc::new(dns(sink)));
        options.sending.port = sink.port();
    }
    install(&options.levels, Form::Logfmt);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
    runtime.block_on(async {
        let server = Server::start(options.on_free_ports()).await?;
        let mut ready = "ready".to_owned();
        for service in [Service::Smtp, Service::Imap, Service::Imaps, Service::Submission] {
            let address = server.address(service).with_context(|| format!("no {service}"))?;
            ready.push_str(&format!(" {address}"));
        }
        tell(&ready)?;
        let (store, queue) = (server.services().store.clone(), server.services().queue.clone());
        let (ended, end) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let outcome = answer(&store, &queue);
            drop((store, queue));
            // The receiver only goes with the process.
            let _unheard = ended.send(outcome);
        });
        let outcome = end.await.context("the thread that answers is gone")?;
        server.shutdown().await;
        outcome
    })
}

/// Answers until standard input ends.
fn answer(store: &Store, queue: &Queue) -> Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line == "index" {
            let progress = store.account(ACCOUNT)?.read()?.index_progress()?;
            tell(&format!("index {} {}", progress.done, progress.total))?;
        }
        if line == "queue" {
            let queued = queue.count(&Filter::default())?;
            tell(&format!("queue {queued} {}", queue.interrupted()))?;
        }
        if line == "now" {
            let change = Change::Schedule { from_now: true, secs: 0 };
            let now = SystemClock::new().now();
            let changed = queue.change(Filter::default(), change, now).wait()?;
            tell(&format!("now {changed}"))?;
        }
        if line == "stats" {
            let usage = getrusage(UsageWho::RUSAGE_SELF)?;
            let cpu = usage.user_time() + usage.system_time();
            tell(&format!("stats {} {}", store.syncs(), cpu.num_microseconds()))?;
        }
    }
    Ok(())
}

/// Domains whose mail the sink takes.
fn dns(sink: SocketAddr) -> FakeDns {
    let mut dns = FakeDns::new();
    dns.add_ips("sink.example", &[&sink.ip().to_string()]);
    for number in 0..SINK_DOMAINS {
        dns.add_mx(&format!("d{number}.example"), 10, "sink.example");
    }
    dns
}

fn tell(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
