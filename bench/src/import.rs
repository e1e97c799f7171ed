//! Taking over 200,000 messages of an mbox and of a Maildir.
//!
//! Each in a process of its own, as `mox import` without a server does it: its memory is its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use mox_base::{MailboxName, UnixSeconds};
use mox_net::SystemClock;
use mox_store::{Policy, Store};
use mox_testkit::mail::Spec;
use mox_transfer::{ImportOptions, MESSAGE_BYTES_MAX, Meter, ReadOptions, import, read_path};

use crate::args::Args;
use crate::run::Sizes;
use crate::say;
use crate::table::{Figure, Target};
use crate::used::{Used, in_process};

/// The hidden argument of the process that takes messages over.
pub(crate) const ARGUMENT: &str = "import-here";

/// Messages, as multiples of those of the large mailbox.
const TIMES: u64 = 2;

/// The least messages in a second.
const TARGET_PER_S: f64 = 5_000.0;

/// The most memory, in MiB.
const TARGET_MIB: f64 = 128.0;

/// What a process tells of itself.
struct Told {
    messages: f64,
    used: Used,
}

/// Measures an mbox, the same once more, and a Maildir.
pub(crate) fn measure(args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let dir = args.new_dir()?;
    let count = TIMES * sizes.mailbox_messages;
    let (mbox, maildir) = (dir.path().join("mbox"), dir.path().join("maildir"));
    write_mbox(&mbox, count)?;
    let mut figures = figures(&format!("import of {count}, mbox"), &run(&mbox, dir.path(), "a")?);
    let again = run(&mbox, dir.path(), "a")?;
    figures.push(rate(&format!("the same once more, all of {count} left out"), &again));
    fs::remove_file(&mbox)?;
    fs::remove_dir_all(dir.path().join("accounts"))?;
    write_maildir(&maildir, count)?;
    figures.extend(self::figures(
        &format!("import of {count}, Maildir"),
        &run(&maildir, dir.path(), "b")?,
    ));
    Ok(figures)
}

fn rate(name: &str, told: &Told) -> Figure {
    let cpu = told.used.cpu_us / told.messages;
    Figure::new(name, told.messages / told.used.seconds, "/s").cpu(cpu)
}

fn figures(name: &str, told: &Told) -> Vec<Figure> {
    vec![
        rate(name, told)
            .target(Target::AtLeast(TARGET_PER_S))
            .unless_cpu_bound(told.used.is_cpu_bound()),
        Figure::new(format!("{name}: most memory"), told.used.peak_mib, "MiB")
            .target(Target::AtMost(TARGET_MIB)),
    ]
}

/// 3 to 5 KB, every third an answer to the one before.
fn message(number: u64) -> Vec<u8> {
    let size_bytes = 3_000 + usize::try_from(number % 2_000).unwrap_or_default();
    let in_reply_to = (number % 3 == 2).then(|| number - 1);
    Spec { size_bytes, in_reply_to, ..Spec::number(number) }.build()
}

fn write_mbox(path: &Path, count: u64) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let marks = (mox_base::Flags::SEEN, &[][..]);
    for number in 0..count {
        let content = message(number);
        let received = UnixSeconds(1_700_000_000 + i64::try_from(number)?);
        mox_transfer::write_mbox_message(&content[..], "a@b.example", received, marks, &mut file)?;
    }
    Ok(file.flush()?)
}

fn write_maildir(path: &Path, count: u64) -> Result<()> {
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(path.join(folder))?;
    }
    for number in 0..count {
        let mut text = Vec::new();
        mox_transfer::write_with_line_feeds(&message(number)[..], &mut text)?;
        let time = 1_700_000_000 + number;
        fs::write(path.join(format!("cur/{time}.{number}.bench:2,S")), text)?;
    }
    Ok(())
}

/// Takes over what lies at a path, in another process.
fn run(path: &Path, dir: &Path, account: &str) -> Result<Told> {
    let words = [path.as_os_str(), dir.as_os_str(), account.as_ref()];
    let (messages, used) = in_process(ARGUMENT, &words)?;
    ensure!(messages > 0, "nothing was taken over");
    Ok(Told { messages: messages as f64, used })
}

/// What the other process does. Words: path, data directory, account.
pub(crate) fn run_here(words: impl Iterator<Item = OsString>) -> Result<()> {
    let words: Vec<OsString> = words.collect();
    let [path, dir, account] = &words[..] else { bail!("path, data directory, account") };
    let (path, dir) = (PathBuf::from(path), PathBuf::from(dir));
    let account = account.to_str().context("account")?;
    let store = Store::new(&dir, Arc::new(SystemClock::new()), Arc::new(Policy::default()));
    let account = store.account(account)?;
    let options = ReadOptions {
        target: MailboxName::inbox(),
        temporary: dir,
        message_bytes_max: MESSAGE_BYTES_MAX,
        strip: None,
    };
    let started = Instant::now();
    let source =
        |sink: &mut mox_transfer::Sink<'_>| read_path(&path, &options, &Meter::default(), sink);
    let watch = &mut |_: mox_transfer::Notice<'_>| ControlFlow::Continue(());
    let outcome = import(&account, ImportOptions::default(), source, watch);
    outcome.end?;
    let messages = outcome.summary.added + outcome.summary.duplicates;
    say(&format!("{messages} {}", Used::since(started)?));
    Ok(())
}
