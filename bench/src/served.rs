//! The child process: a server as `mox localserve` runs it, that also tells what it used.
//!
//! On standard output it says `ready` with its addresses, then answers each line `stats` with the
//! syncs of its store and the CPU time of the process, and each line `index` with how many
//! messages of its account are in the search index, and how many there are. It ends when standard input does.

use std::ffi::OsString;
use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result};
use mox::localserve::ACCOUNT;
use mox::log::{Form, install};
use mox::server::{Options, Server};
use mox::service::Service;
use mox::services::Mode;
use mox_config::LogLevel;
use mox_net::BLOCKING_THREADS_MAX;
use mox_store::Store;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// The first argument that makes this program the server.
pub(crate) const ARGUMENT: &str = "__server";

/// Runs the server in a directory made by [`mox::localserve::init`].
pub(crate) fn run(dir: Option<OsString>) -> Result<()> {
    let dir = PathBuf::from(dir.context("the server needs a directory")?);
    // As `mox serve` logs if nothing else is configured; a localserve would log everything.
    let loaded = Options::load(Mode::Localserve, &dir, Some(LogLevel::Info));
    let (options, _) = loaded.map_err(|faults| anyhow::anyhow!("configuration: {faults:?}"))?;
    install(&options.levels, Form::Logfmt);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
    runtime.block_on(async {
        let server = Server::start(options.on_free_ports()).await?;
        let mut ready = "ready".to_owned();
        for service in [Service::Smtp, Service::Imap, Service::Imaps] {
            let address = server.address(service).with_context(|| format!("no {service}"))?;
            ready.push_str(&format!(" {address}"));
        }
        tell(&ready)?;
        let store = server.services().store.clone();
        let (ended, end) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let outcome = answer(&store);
            drop(store);
            // The receiver only goes with the process.
            let _unheard = ended.send(outcome);
        });
        let outcome = end.await.context("the thread that answers is gone")?;
        server.shutdown().await;
        outcome
    })
}

/// Answers until standard input ends.
fn answer(store: &Store) -> Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line == "index" {
            let progress = store.account(ACCOUNT)?.read()?.index_progress()?;
            tell(&format!("index {} {}", progress.done, progress.total))?;
        }
        if line == "stats" {
            let usage = getrusage(UsageWho::RUSAGE_SELF)?;
            let cpu = usage.user_time() + usage.system_time();
            tell(&format!("stats {} {}", store.syncs(), cpu.num_microseconds()))?;
        }
    }
    Ok(())
}

fn tell(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
