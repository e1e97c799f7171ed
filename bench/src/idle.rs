//! Sessions in IDLE: what they cost, and how soon they are told of a new message.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::args::Args;
use crate::child::{self, Server};
use crate::fill::{FREQUENT_SENDER, message};
use crate::imap::Imap;
use crate::run::{Sizes, median};
use crate::smtp::{Smtp, to_data};
use crate::table::{Figure, Target};

/// Messages whose arrival is timed, for each repeat of other measurements.
const SAMPLES: usize = 40;

/// How long the server is left alone before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(1);

/// Measures memory, then the way of a message to another session.
pub(crate) fn measure(args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let dir = args.new_dir()?;
    let path = dir.path().join("server");
    child::make_dir(&path)?;
    let server = Server::start(&path)?;
    thread::sleep(SETTLE);
    let alone_kib = server.resident_kib()? as f64;
    let mut sessions = Vec::new();
    for _ in 0..sizes.idle_sessions {
        let mut session = Imap::open(server.imap)?;
        session.command("SELECT INBOX", |_| ())?;
        session.idle()?;
        sessions.push(session);
    }
    thread::sleep(SETTLE);
    let all_kib = server.resident_kib()? as f64 - alone_kib;
    let each_kib = all_kib / sizes.idle_sessions as f64;
    drop(sessions);
    let notice = notice_ms(&server, sizes.repeats * SAMPLES)?;
    server.stop()?;
    Ok(vec![
        Figure::new("idle process", alone_kib / 1024.0, "MiB").target(Target::AtMost(30.0)),
        Figure::new(format!("each of {} idle sessions", sizes.idle_sessions), each_kib, "KiB")
            .target(Target::AtMost(40.0)),
        Figure::new("  all of them", all_kib / 1024.0, "MiB").target(Target::AtMost(400.0)),
        Figure::new("end of DATA to EXISTS elsewhere", notice, "ms").target(Target::AtMost(4.0)),
    ])
}

fn notice_ms(server: &Server, samples: usize) -> Result<f64> {
    let mut watching = Imap::open(server.imap)?;
    watching.command("SELECT INBOX", |_| ())?;
    watching.idle()?;
    let mut sending = Smtp::connect(server.smtp)?;
    let mut times = Vec::new();
    for number in 0..samples {
        let data = to_data(&message(number as u64));
        sending.begin(FREQUENT_SENDER)?;
        sending.send(&data)?;
        let sent = Instant::now();
        watching.wait(|response| response.bytes().ends_with(b" EXISTS"))?;
        times.push(sent.elapsed().as_secs_f64() * 1e3);
        sending.expect("250")?;
    }
    Ok(median(times))
}
