//! A backup of an account with 100,000 messages: made, checked and put back.
//!
//! Each by a process of its own, as the commands do it beside no server; its memory is its own.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use mox::server::Options;
use mox_backup::Source;
use mox_base::Clock as _;
use mox_net::SystemClock;

use crate::args::Args;
use crate::run::Sizes;
use crate::table::{Figure, Target};
use crate::used::{MIB, Used, in_process, plain_copy};
use crate::{child, complain, fill, say};

/// The hidden argument of the process that makes, checks or puts back.
pub(crate) const ARGUMENT: &str = "backup-here";

/// The most memory, in MiB: it does not grow with the data.
const TARGET_MIB: f64 = 128.0;

/// What the processes do, one after another.
const STEPS: [(&str, &str); 3] = [
    ("make", "made"),
    ("check", "checked, with the checksum of each message"),
    ("restore", "put back"),
];

/// Measures all of it.
pub(crate) fn measure(args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let dir = args.new_dir()?;
    let count = sizes.mailbox_messages;
    let server = dir.path().join("server");
    child::make_dir(&server)?;
    fill::fill(&server, count)?;
    let copy = dir.path().join("plain");
    let plain = plain_copy(&data_of(&server)?, &copy)?;
    fs::remove_dir_all(copy)?;
    let mut figures = Vec::new();
    for (step, shown) in STEPS {
        complain(&format!("backup: {step}"));
        let words = [step.as_ref(), server.as_os_str(), dir.path().as_os_str()];
        let (bytes, used) = in_process(ARGUMENT, &words)?;
        ensure!(bytes > 0, "nothing in the backup");
        let name = format!("backup of {count}, {shown}");
        figures.extend(self::figures(&name, bytes, &used, count));
        if step == "make" {
            let times = used.seconds / plain;
            figures.push(Figure::new(format!("{name}, times a plain copy"), times, ""));
        }
    }
    Ok(figures)
}

fn figures(name: &str, bytes: u64, used: &Used, count: u64) -> [Figure; 2] {
    let rate = bytes as f64 / MIB / used.seconds;
    [
        Figure::new(name, rate, "MiB/s").cpu(used.cpu_us / count as f64),
        Figure::new(format!("{name}: most memory"), used.peak_mib, "MiB")
            .target(Target::AtMost(TARGET_MIB)),
    ]
}

fn data_of(server: &Path) -> Result<PathBuf> {
    Ok(Options::localserve(server)?.config.snapshot().data_dir())
}

/// What the other process does. Words: step, directory of the server, directory for backups.
pub(crate) fn run_here(words: impl Iterator<Item = OsString>) -> Result<()> {
    let words: Vec<OsString> = words.collect();
    let [step, server, dir] = &words[..] else { bail!("step, server, directory") };
    let (server, dir) = (PathBuf::from(server), PathBuf::from(dir));
    let backup = dir.join("backup");
    let started = std::time::Instant::now();
    let watch = &mut |_: &mox_backup::Progress| ();
    let bytes = match step.to_str().context("step")? {
        "make" => {
            let source = Source { data: data_of(&server)?, config: server };
            let options = mox_backup::Options {
                earlier: None,
                now: SystemClock::new().now(),
                program: env!("CARGO_PKG_VERSION").to_owned(),
            };
            let outcome = mox_backup::backup(&source, &backup, &options, watch)?;
            ensure!(outcome.faults.is_empty(), "{:?}", outcome.faults);
            outcome.bytes
        }
        "check" => {
            let verified = mox_backup::verify_backup(&backup, true, watch)?;
            ensure!(verified.faults.is_empty(), "{:?}", verified.faults);
            verified.bytes
        }
        "restore" => mox_backup::restore(&backup, &dir.join("restored"), None, watch)?.bytes,
        other => bail!("{other} is no step"),
    };
    say(&format!("{bytes} {}", Used::since(started)?));
    Ok(())
}
