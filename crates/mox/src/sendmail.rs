//! Submitting a message the way programs on Unix expect: `sendmail`.
//!
//! Reads `/etc/moxsubmit.conf`, which only the program itself may read where it is installed with
//! the group of that file; a message on standard input; and sends it to one recipient over
//! submission. What cannot be sent is kept in `moxsubmit.failures` in the home of the user.

mod arguments;
mod failures;
mod message;
mod session;
mod settings;

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use anyhow::{Context, Result, bail};

use arguments::Arguments;
use message::prepare;
pub(crate) use settings::describe;
use settings::{Settings, Submission};

/// Where the settings are.
const SETTINGS_PATH: &str = "/etc/moxsubmit.conf";

/// The largest message, in bytes: far more than servers take.
const MESSAGE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What it needs of its surroundings.
pub(crate) struct Surroundings {
    /// The settings, if they are not where they are mostly.
    pub(crate) settings: Option<PathBuf>,
    /// The home of the user.
    pub(crate) home: Option<PathBuf>,
}

/// Submits the message on standard input as the arguments of `sendmail` say; returns what to tell
/// the user on standard error, if it could not be sent.
pub(crate) fn run(words: &[String], around: &Surroundings) -> Result<(), String> {
    let mut message = Vec::new();
    let read = io::stdin().lock().take(MESSAGE_BYTES_MAX + 1).read_to_end(&mut message);
    let sent = read.context("read message").and_then(|_| submit(words, around, &message));
    let Err(error) = sent else { return Ok(()) };
    Err(match failures::keep(around.home.as_deref(), &message) {
        Ok(path) => format!("{error:#}\nthe message is kept in {}", path.display()),
        Err(failed) => format!("{error:#}\nthe message is lost: {failed:#}"),
    })
}

fn submit(words: &[String], around: &Surroundings, message: &[u8]) -> Result<()> {
    if message.len() as u64 > MESSAGE_BYTES_MAX {
        bail!("message is larger than {MESSAGE_BYTES_MAX} bytes");
    }
    let path = around.settings.clone().unwrap_or_else(|| SETTINGS_PATH.into());
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let settings = Settings::parse(&text).with_context(|| path.display().to_string())?;
    let submission = Submission::new(settings).with_context(|| path.display().to_string())?;
    let arguments = Arguments::parse(words)?;
    let prepared = prepare(&arguments, &submission, message)?;
    session::send(&submission, &prepared)
}

/// Whether the program is called by this name, and so is all of `mox sendmail`.
pub(crate) fn is_name(program: &std::ffi::OsStr) -> bool {
    std::path::Path::new(program).file_name().is_some_and(|name| name == "sendmail")
}

/// Whether it runs with the rights of its group, not of the user's: then it may be nothing else.
pub(crate) fn is_setgid() -> bool {
    nix::unistd::getgid() != nix::unistd::getegid()
}

/// Runs it for the command line: what went wrong is told on standard error.
pub(crate) fn run_command(
    words: &[String],
    settings: Option<PathBuf>,
    say: impl FnOnce(&str),
) -> ExitCode {
    let around = Surroundings { settings, home: std::env::home_dir() };
    match run(words, &around) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            say(&format!("sendmail: {text}\n"));
            ExitCode::FAILURE
        }
    }
}
