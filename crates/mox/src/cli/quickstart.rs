//! `mox quickstart`.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use mox_base::{Address, Domain};
use mox_checks::setup::system_interfaces;
use mox_checks::{Internet, Services};
use mox_net::dns::{SystemOptions, SystemResolver};
use mox_net::http::Client;
use mox_net::tls::client::Connector;
use mox_net::tls::load_roots;
use mox_net::{SystemClock, SystemRng};
use nix::unistd::{Uid, User};
use tokio::signal::unix::{SignalKind, signal};

use super::lookups::{address, domain};
use crate::quickstart::{Interrupt, Wishes, World, run};

/// Set in containers, where something else starts the server.
const CONTAINER_VARIABLE: &str = "MOX_DOCKER";

/// The user that a server runs as if nothing else is said.
const USER_DEFAULT: &str = "mox";

/// Set up a mail server for an address, in this directory.
///
/// Checks DNS, the addresses of this machine, whether mail can go out and whether block lists have
/// it; says what to do about what is not as it should be. Makes config, with keys, and data, with
/// the account, and a unit for systemd. Prints passwords, settings for mail programs, and the DNS
/// records to add. All output is also written to quickstart.log.
///
/// Files that exist are never overwritten. If something fails, or on Ctrl-C, all that was made is
/// removed again; after a power cut, start again.
#[derive(Debug, Args)]
pub(super) struct Quickstart {
    /// Another web server has ports 80 and 443, and passes requests on: no certificates by ACME,
    /// but from files.
    #[arg(long)]
    existing_webserver: bool,
    /// Do not connect to others: neither to see whether mail can go out, nor to ask how old the
    /// domain is.
    #[arg(long)]
    skipdial: bool,
    /// Full name of this machine, for MX records. Default: what the system or DNS says.
    #[arg(long, value_name = "NAME", value_parser = domain)]
    hostname: Option<Domain>,
    /// First address, such as you@example.org. What is before the @ is the name of the account.
    #[arg(value_name = "USER@DOMAIN", value_parser = address)]
    address: Address,
    /// User of the system to run as, a name or a number. Default: mox.
    user: Option<String>,
}

impl Quickstart {
    pub(super) fn run(self) -> Result<()> {
        // One thread beside this one, for signals.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().context("start runtime")?;
        let interrupt = Interrupt::new();
        runtime.block_on(async { watch_signals(&interrupt) })?;
        let user = self.user.unwrap_or_else(|| USER_DEFAULT.to_owned());
        let world = world(&user, interrupt)?;
        let wishes = Wishes {
            dir: std::env::current_dir().context("this directory")?,
            address: self.address,
            user,
            hostname: self.hostname,
            has_webserver: self.existing_webserver,
            skips_dial: self.skipdial,
        };
        let done = run(&wishes, &world, &runtime, &mut io::stdout());
        // A question that still waits is not waited for.
        runtime.shutdown_background();
        done
    }
}

/// Has Ctrl-C, a terminal that goes away and a polite kill end the work at its next step.
fn watch_signals(interrupt: &Interrupt) -> Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals = signal(kind).context("wait for signals")?;
        let interrupt = interrupt.clone();
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                interrupt.cancel();
            }
        });
    }
    Ok(())
}

/// The world as it is.
fn world(user: &str, interrupt: Interrupt) -> Result<World> {
    let (clock, rng) = (Arc::new(SystemClock::new()), Arc::new(SystemRng));
    let resolver = SystemResolver::new(SystemOptions::default(), clock.clone(), rng.clone());
    let resolver = Arc::new(resolver);
    let connector = Connector::new(load_roots(true, &[])?, clock.clone());
    let client = Client::new(connector.clone(), resolver.clone());
    let network = Arc::new(Internet::new(client));
    Ok(World {
        services: Services { resolver, network, connector, clock },
        rng,
        interfaces: system_interfaces().context("list network interfaces")?,
        system_name: system_name(),
        program: program(),
        has_user: has_user(user),
        is_container: std::env::var_os(CONTAINER_VARIABLE).is_some_and(|value| !value.is_empty()),
        interrupt,
    })
}

/// What the system calls itself.
fn system_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    let name = name.or_else(|_| fs::read_to_string("/etc/hostname"));
    name.map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

/// This program, where there may be systemd.
fn program() -> Option<PathBuf> {
    cfg!(target_os = "linux").then(std::env::current_exe).and_then(Result::ok)
}

/// Whether the system knows a user by name; a number needs no name.
fn has_user(user: &str) -> bool {
    match User::from_name(user) {
        Ok(Some(_)) => true,
        // That it cannot be found out is told when the server starts.
        Ok(None) => user.parse().is_ok_and(|uid: u32| !Uid::from_raw(uid).is_root()),
        Err(_) => true,
    }
}
