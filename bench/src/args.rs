//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures a mox server that it starts itself, and prints the figures beside their targets.
#[derive(Debug, Parser)]
#[command(name = "mox-bench", version)]
pub(crate) struct Args {
    /// Small sizes and short runs: to see that everything works, not how fast.
    #[arg(long, global = true)]
    pub(crate) quick: bool,
    /// Measure this group only; may be given more than once.
    #[arg(long, value_name = "GROUP")]
    pub(crate) only: Vec<Group>,
    /// Write the figures to this file too, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where the data directories are made. It is their disk that is measured, so it must be none
    /// in memory. Default: the system's directory for temporary files.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) dir: Option<PathBuf>,
    /// What to do instead of measuring.
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
}

/// What is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// SMTP delivery and IMAP APPEND to a fresh account.
    Deliver,
    /// A mailbox of 100,000 messages, and adding to it.
    Mailbox,
    /// SEARCH, SORT, THREAD and reading all of a mailbox of 100,000 messages.
    Search,
    /// Logins.
    Login,
    /// Start to greeting.
    Start,
    /// Who sent a message: SPF, DKIM, DMARC, in this process.
    Auth,
    /// Idle sessions: memory, and how soon they are told.
    Idle,
}

/// What can be done instead of measuring.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Kills the server in a loop while it works, and looks whether all it acknowledged is there.
    Crash(CrashArgs),
    /// Lets many sessions do random commands on the same mailboxes, each checking all it is told.
    Soak(SoakArgs),
}

/// How the soak is run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SoakArgs {
    /// Sessions at the same time.
    #[arg(long, default_value_t = 200)]
    pub(crate) sessions: usize,
    /// Threads that the sessions are shared out to. With 1 a seed gives the same run each time.
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// How long, unless rounds are given.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) minutes: f64,
    /// How many rounds: each is some commands of every session, and a comparison of all views.
    #[arg(long)]
    pub(crate) rounds: Option<u32>,
    /// Commands of each session in a round.
    #[arg(long, default_value_t = 60)]
    pub(crate) steps: u32,
    /// Chooses the commands; with more threads than one the machine's timing adds to it.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// How the crash test is run.
#[derive(Debug, clap::Args)]
pub(crate) struct CrashArgs {
    /// How often the server is killed.
    #[arg(long, default_value_t = 200)]
    pub(crate) rounds: u32,
    /// Chooses the work and the moments; the machine's timing adds to it.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Args {
    /// Whether this group is to be measured.
    pub(crate) fn wants(&self, group: Group) -> bool {
        self.only.is_empty() || self.only.contains(&group)
    }

    /// A new directory for data. It is removed when dropped.
    pub(crate) fn new_dir(&self) -> anyhow::Result<tempfile::TempDir> {
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        Ok(tempfile::Builder::new().prefix("mox-bench-").tempdir_in(parent)?)
    }
}
