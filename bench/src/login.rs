//! Logins with PLAIN, each on a connection of its own.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rustls::ClientConfig;

use crate::args::Args;
use crate::child::{self, Server};
use crate::imap::Imap;
use crate::run::Sizes;
use crate::table::{Figure, Target};
use crate::tls;

/// Clients at the same time.
const CLIENTS: usize = 10;

/// Measures without TLS and with it.
pub(crate) fn measure(args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let dir = args.new_dir()?;
    let path = dir.path().join("server");
    child::make_dir(&path)?;
    let mut server = Server::start(&path)?;
    let config = tls::config()?;
    let plain = rate(&mut server, None, sizes.run)?;
    let with_tls = rate(&mut server, Some(&config), sizes.run)?;
    server.stop()?;
    let figure = |name: &str, (per_s, cpu_us): (f64, f64), least| {
        let name = format!("login, {CLIENTS} clients, {name}");
        Figure::new(name, per_s, "/s").target(Target::AtLeast(least)).cpu(cpu_us)
    };
    Ok(vec![figure("plain", plain, 5_000.0), figure("TLS, full handshakes", with_tls, 1_500.0)])
}

/// Logins per second, and the server's microseconds for one.
fn rate(
    server: &mut Server,
    config: Option<&Arc<ClientConfig>>,
    run: Duration,
) -> Result<(f64, f64)> {
    let addr = if config.is_some() { server.imaps } else { server.imap };
    // The first login checks the password in full; later ones may be remembered, as in real use.
    drop(Imap::open(server.imap)?);
    let before = server.stats()?.cpu;
    let started = Instant::now();
    let logins: Result<u32> = thread::scope(|scope| {
        let client = || {
            let mut logins = 0;
            while started.elapsed() < run {
                let mut session = match config {
                    Some(config) => Imap::connect_tls(addr, config)?,
                    None => Imap::connect(addr)?,
                };
                session.login()?;
                logins += 1;
            }
            Ok(logins)
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
            .sum()
    });
    let (logins, seconds) = (f64::from(logins?.max(1)), started.elapsed().as_secs_f64());
    let cpu = server.stats()?.cpu.saturating_sub(before).as_secs_f64();
    Ok((logins / seconds, cpu * 1e6 / logins))
}
