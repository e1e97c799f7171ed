//! Benchmarks of the whole server, and its crash test.
//!
//! The program starts the server as a child process (itself, with [`served::ARGUMENT`]), drives it
//! over loopback from this process, and prints what it measured beside the targets. `README.md`
//! says what each line means.
//!
//! It is a load generator and no mail program: clients are as cheap as they can be and check no
//! more than that the answer is the one they need.

mod args;
mod auth;
mod backup;
mod child;
mod crash;
mod crash_queue;
mod deliver;
mod fill;
mod history;
mod idle;
mod imap;
mod import;
mod junk;
mod login;
mod mailbox;
mod model;
mod proc;
mod raw;
mod run;
mod search;
mod send;
mod served;
mod sink;
mod smtp;
mod soak;
mod start;
mod submit;
mod table;
mod takeover;
mod tls;
mod used;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::args::{Args, Task};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let outcome = match words.next() {
        Some(word) if word == served::ARGUMENT => served::run(words).map(|()| true),
        Some(word) if word == import::ARGUMENT => import::run_here(words).map(|()| true),
        Some(word) if word == backup::ARGUMENT => backup::run_here(words).map(|()| true),
        Some(word) if word == takeover::ARGUMENT => takeover::run_here(words).map(|()| true),
        _ => bench(&Args::parse()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("fatal: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all was well.
fn bench(args: &Args) -> Result<bool> {
    // A thousand sessions are as many sockets here, and as many in the child.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    match &args.task {
        Some(Task::Crash(options)) => crash::run(args, options),
        Some(Task::CrashQueue(options)) => crash_queue::run(args, options),
        Some(Task::Soak(options)) => soak::run(args, options),
        Some(Task::Junk(options)) => junk::run(args, options),
        Some(Task::Takeover(options)) => takeover::run(args, options),
        None => run::run(args).map(|()| true),
    }
}

/// Prints a result: the one place that writes to standard output.
fn say(text: &str) {
    // Nobody is left to be told that nobody listens.
    let _unwritten = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints what is no result.
fn complain(text: &str) {
    let _unwritten = writeln!(std::io::stderr().lock(), "{text}");
}
