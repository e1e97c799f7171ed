//! From the start of the process to the first greeting, also after a crash under load.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::args::Args;
use crate::child::{self, Server};
use crate::fill::{FREQUENT_SENDER, message};
use crate::imap::Imap;
use crate::run::{Sizes, median};
use crate::smtp::{Smtp, to_data};
use crate::table::{Figure, Target};

/// Sessions that deliver when the server is killed.
const SESSIONS: u64 = 8;

/// Measures starts after an orderly end and after crashes.
pub(crate) fn measure(args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let dir = args.new_dir()?;
    let path = dir.path().join("server");
    child::make_dir(&path)?;
    let mut orderly = Vec::new();
    for _ in 0..sizes.repeats {
        let server = Server::start(&path)?;
        orderly.push(millis(server.start_time));
        server.stop()?;
    }
    let (mut crashed, mut logins) = (Vec::new(), Vec::new());
    for round in 0..sizes.repeats {
        crash_under_load(&path, round as u64, sizes.run / 3)?;
        let server = Server::start(&path)?;
        crashed.push(millis(server.start_time));
        let started = Instant::now();
        let mut session = Imap::open(server.imap)?;
        session.command("SELECT INBOX", |_| ())?;
        logins.push(millis(server.start_time + started.elapsed()));
        server.stop()?;
    }
    let most = Target::AtMost(100.0);
    Ok(vec![
        Figure::new("start to greeting", median(orderly), "ms").target(most),
        Figure::new("start to greeting after a crash", median(crashed), "ms").target(most),
        Figure::new("start to open Inbox after a crash", median(logins), "ms"),
    ])
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn crash_under_load(dir: &Path, round: u64, run: Duration) -> Result<()> {
    let server = Server::start(dir)?;
    let addr = server.smtp;
    let delivered: u64 = thread::scope(|scope| {
        let session = |session: u64| {
            let mut delivered = 0;
            let Ok(mut smtp) = Smtp::connect(addr) else { return 0 };
            let first = (round * SESSIONS + session) * 1_000_000;
            for number in first.. {
                // Sooner or later the server is gone.
                if smtp.deliver(FREQUENT_SENDER, &to_data(&message(number))).is_err() {
                    break;
                }
                delivered += 1;
            }
            delivered
        };
        let sessions: Vec<_> =
            (0..SESSIONS).map(|number| scope.spawn(move || session(number))).collect();
        thread::sleep(run);
        server.kill()?;
        Ok::<u64, anyhow::Error>(sessions.into_iter().filter_map(|s| s.join().ok()).sum())
    })?;
    ensure!(delivered > 0, "no message was delivered before the crash");
    Ok(())
}
