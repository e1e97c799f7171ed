//! Taking over an account of the original, of as many messages as are wanted.
//!
//! A made-up host is written first. Checking and copying are each done by a process of its own, whose memory
//! is its own; beside them stands a plain copy of the same files.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use mox_net::SystemClock;
use mox_store::{Policy, Store};
use mox_takeover::{Account, Watch};
use mox_testkit::original::{Host, Plan, generate};

use crate::args::{Args, TakeoverArgs};
use crate::run::Sizes;
use crate::table::{Figure, Target};
use crate::used::{MIB, Used, in_process, plain_copy};
use crate::{complain, say, table};

/// The hidden argument of the process that takes an account over.
pub(crate) const ARGUMENT: &str = "takeover-here";

/// The least messages in a second.
const TARGET_PER_S: f64 = 5_000.0;

/// The most memory, in MiB.
const TARGET_MIB: f64 = 128.0;

/// The account that is taken over.
const ACCOUNT: &str = "alice";

/// Measures as a group of all measurements.
pub(crate) fn measure(args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let options =
        TakeoverArgs { messages: sizes.mailbox_messages, without_threads: false, source: None };
    figures(args, &options)
}

/// Measures it alone, and prints the table.
pub(crate) fn run(args: &Args, options: &TakeoverArgs) -> Result<bool> {
    say(&table::text(&figures(args, options)?));
    Ok(true)
}

fn figures(args: &Args, options: &TakeoverArgs) -> Result<Vec<Figure>> {
    let dir = args.new_dir()?;
    let (host, mut figures) = host(dir.path(), options)?;
    let count = options.messages;
    let theirs = host.data.join("accounts").join(ACCOUNT);
    complain("copying: a plain copy of its files");
    let plain = plain_copy(&theirs, &dir.path().join("plain"))?;
    fs::remove_dir_all(dir.path().join("plain"))?;
    let ours = dir.path().join("ours");
    fs::create_dir_all(&ours)?;
    let name = format!("takeover of {count}");
    for step in [Step::Check, Step::Copy, Step::Again] {
        complain(&format!("taking over: {}", step.word()));
        let words = [step.word().as_ref(), theirs.as_os_str(), ours.as_os_str()];
        let (messages, used) = in_process(ARGUMENT, &words)?;
        let told = Told { messages, used };
        ensure!(told.messages == count, "{} of {count} messages: {}", told.messages, step.word());
        let name = format!("{name}: {}", step.shown());
        figures.extend(told.figures(&name, step));
        if step == Step::Copy {
            let times = told.used.seconds / plain;
            figures.push(Figure::new(format!("{name}, times a plain copy"), times, ""));
        }
    }
    let (size, theirs) = (disk_bytes(&ours)?, disk_bytes(&theirs)?);
    figures.push(Figure::new(format!("{name}: theirs on disk"), theirs / MIB, "MiB"));
    figures.push(Figure::new(format!("{name}: ours, times theirs"), size / theirs, ""));
    Ok(figures)
}

/// The host to take over: the one that is there, or a new one.
fn host(dir: &Path, options: &TakeoverArgs) -> Result<(Host, Vec<Figure>)> {
    let at = options.source.clone().unwrap_or_else(|| dir.join("theirs"));
    let host = Host { config: at.join("config"), data: at.join("data") };
    if host.data.exists() {
        return Ok((host, Vec::new()));
    }
    complain(&format!("making: a host of {} messages", options.messages));
    let started = Instant::now();
    let (messages, has_threads) = (options.messages, !options.without_threads);
    let host = generate(&at, &Plan { messages, has_threads, ..Plan::default() });
    let rate = options.messages as f64 / started.elapsed().as_secs_f64();
    let name = format!("takeover of {}: making the host", options.messages);
    Ok((host, vec![Figure::new(name, rate, "/s")]))
}

/// Bytes that all files below a directory take.
fn disk_bytes(dir: &Path) -> Result<f64> {
    let mut sum = 0.0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += match metadata.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => 512.0 * metadata.blocks() as f64,
        };
    }
    Ok(sum)
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Check,
    Copy,
    /// With everything there already.
    Again,
}

impl Step {
    fn word(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Copy => "copy",
            Self::Again => "again",
        }
    }

    fn shown(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Copy => "copy",
            Self::Again => "the same once more",
        }
    }
}

/// What a process tells of itself.
struct Told {
    messages: u64,
    used: Used,
}

impl Told {
    fn figures(&self, name: &str, step: Step) -> Vec<Figure> {
        let messages = self.messages as f64;
        let cpu = self.used.cpu_us / messages;
        let rate = Figure::new(name, messages / self.used.seconds, "/s").cpu(cpu);
        let rate = match step {
            Step::Copy => rate
                .target(Target::AtLeast(TARGET_PER_S))
                .unless_cpu_bound(self.used.is_cpu_bound()),
            _ => rate,
        };
        let memory = Figure::new(format!("{name}, most memory"), self.used.peak_mib, "MiB");
        vec![rate, memory.target(Target::AtMost(TARGET_MIB))]
    }
}

struct Patient;

impl Watch for Patient {
    fn progress(&mut self, _done: u64, _total: u64) -> bool {
        true
    }
}

/// What the other process does. Words: step, directory of the account, data directory of ours.
pub(crate) fn run_here(words: impl Iterator<Item = OsString>) -> Result<()> {
    let words: Vec<OsString> = words.collect();
    let [step, theirs, ours] = &words[..] else { bail!("step, account, data directory") };
    let (theirs, ours) = (PathBuf::from(theirs), PathBuf::from(ours));
    let started = Instant::now();
    let theirs = Account::open(&theirs)?;
    let summary = if step == Step::Check.word() {
        theirs.check(&mut Patient)?
    } else {
        let store = Store::new(&ours, Arc::new(SystemClock::new()), Arc::new(Policy::default()));
        theirs.copy(&store.account(ACCOUNT)?, None, &mut Patient)?
    };
    ensure!(summary.is_whole(), "damage: {:?}", summary.damaged);
    let messages = summary.taken.get("messages").copied().unwrap_or_default();
    say(&format!("{messages} {}", Used::since(started)?));
    Ok(())
}
