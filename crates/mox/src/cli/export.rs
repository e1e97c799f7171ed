//! `mox export`: mail of an account into files.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use mox_base::UnixSeconds;
use mox_store::{ReadOnly, Reader, StoreError};
use mox_transfer::{ExportOptions, Exported, Format, Target, export, mailbox_name};

use super::progress::{Progress, bytes_text, rate_text};
use super::{Global, print, say};

/// Write the mail of an account into files.
///
/// Reads the folder of the account, such as data/accounts/NAME, beside a running server if there is
/// one; nothing in it is changed. Messages have flags, keywords and times as the format allows. What
/// could not be written as it is stands in errors.txt. "mox import" reads all of these.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Export {
    /// Write a Maildir for each mailbox.
    Maildir(ExportArgs),
    /// Write an mbox for each mailbox, lines that begin with "From " quoted (mboxrd).
    Mbox(ExportArgs),
}

/// What both take.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Only the mailbox itself, without those below it.
    #[arg(long)]
    single: bool,
    /// Only messages that came into their mailbox on this day, at 0:00 UTC, or later. A time may be given too,
    /// as 2026-11-21T18:00:00Z.
    #[arg(long, value_name = "DATE", value_parser = since)]
    since: Option<UnixSeconds>,
    /// Where to write: a directory, or a file whose name ends in .tar, .tgz, .tar.gz or .zip; for one
    /// mailbox as mbox also one that ends in .mbox, or - for standard output. Nothing is written over.
    dst: PathBuf,
    /// The folder of the account.
    accountpath: PathBuf,
    /// Only this mailbox and those below it. Without it, all.
    mailbox: Option<String>,
}

impl Export {
    pub(super) fn run(self, _global: &Global) -> Result<()> {
        let (format, args) = match self {
            Self::Maildir(args) => (Format::Maildir, args),
            Self::Mbox(args) => (Format::Mbox, args),
        };
        let ExportArgs { single, since, dst, accountpath, mailbox } = args;
        let account = ReadOnly::open(&accountpath)
            .with_context(|| format!("open account in {}", accountpath.display()))?;
        let mailbox = match mailbox {
            Some(name) => Some(mailbox_name(name.split('/')).context("mailbox name")?.0),
            None => None,
        };
        let temporary = std::env::temp_dir();
        let options = ExportOptions { format, mailbox, recursive: !single, since, temporary };
        let started = Instant::now();
        let name = dst.to_string_lossy().into_owned();
        let open = || account.read();
        let done = match Form::of(&name) {
            Form::Output => write(&open, &options, Target::single(io::stdout().lock()))?,
            Form::Directory => {
                let target = Target::directory(&dst).with_context(|| format!("make {name}"))?;
                write(&open, &options, target)?
            }
            form => {
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&dst);
                let file = BufWriter::new(file.with_context(|| format!("make {name}"))?);
                let target = match form {
                    Form::Tar => Target::tar(file),
                    Form::Tgz => Target::tgz(file),
                    Form::Zip => Target::zip(file),
                    _ => Target::single(file),
                };
                write(&open, &options, target)?
            }
        };
        report(&done, started, matches!(Form::of(&name), Form::Output))
    }
}

/// A day, or a time of RFC 3339.
fn since(text: &str) -> Result<UnixSeconds, String> {
    let time = mox_reports::parse_date_time(text);
    let time = time.or_else(|| mox_reports::parse_date_time(&format!("{text}T00:00:00Z")));
    time.ok_or_else(|| "a day is written as 2026-11-21".to_owned())
}

/// What is written, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Directory,
    Tar,
    Tgz,
    Zip,
    Mbox,
    Output,
}

impl Form {
    fn of(name: &str) -> Self {
        let ends = |end: &str| name.to_ascii_lowercase().ends_with(end);
        match name {
            "-" => Self::Output,
            _ if ends(".tar") => Self::Tar,
            _ if ends(".tgz") || ends(".tar.gz") => Self::Tgz,
            _ if ends(".zip") => Self::Zip,
            _ if ends(".mbox") => Self::Mbox,
            _ => Self::Directory,
        }
    }
}

fn write<W: Write>(
    open: &dyn Fn() -> Result<Reader, StoreError>,
    options: &ExportOptions,
    target: Target<W>,
) -> Result<Exported> {
    let mut progress = Progress::new(None);
    let exported = export(open, options, target, &mut |done| {
        progress.set_total(done.messages_total);
        progress.show(done.messages, done.messages, done.bytes);
        ControlFlow::Continue(())
    });
    progress.clear();
    let (done, target) = exported?;
    target.finish().context("write the end")?;
    Ok(done)
}

fn report(done: &Exported, started: Instant, is_to_output: bool) -> Result<()> {
    for problem in &done.problems {
        say(&format!("problem: {}\n", problem.escape_debug()));
    }
    let text = format!(
        "{} messages of {} mailboxes written ({}), {} problems; {}\n",
        done.messages,
        done.mailboxes,
        bytes_text(done.bytes),
        done.problems.len(),
        rate_text(done.messages, started.elapsed()),
    );
    if is_to_output {
        say(&text);
        return Ok(());
    }
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_what_is_written() {
        for (name, want) in [
            ("a/b", Form::Directory),
            ("a.tar", Form::Tar),
            ("a.TAR.GZ", Form::Tgz),
            ("a.tgz", Form::Tgz),
            ("a.zip", Form::Zip),
            ("a.mbox", Form::Mbox),
            ("-", Form::Output),
            ("a.zip/", Form::Directory),
        ] {
            assert_eq!(Form::of(name), want, "{name}");
        }
    }
}
