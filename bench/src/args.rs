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
    /// What a decision on incoming mail asks of an account with 200,000 messages.
    History,
    /// Taking over 200,000 messages of an mbox and of a Maildir.
    Import,
    /// Taking over an account of the original with 100,000 messages.
    Takeover,
    /// A backup of 100,000 messages.
    Backup,
    /// Learning what is junk, and judging a message.
    Junk,
    /// Logins.
    Login,
    /// Start to greeting.
    Start,
    /// Who sent a message: SPF, DKIM, DMARC, in this process.
    Auth,
    /// Idle sessions: memory, and how soon they are told.
    Idle,
    /// Messages leaving the queue, and a queue of 100,000.
    Send,
    /// Submission with two DKIM signatures.
    Submit,
}

/// What can be done instead of measuring.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Kills the server in a loop while it works, and looks whether all it acknowledged is there.
    Crash(CrashArgs),
    /// Kills the server in a loop while it takes messages and sends them, and looks whether all it
    /// acknowledged arrives, once.
    CrashQueue(CrashArgs),
    /// Lets many sessions do random commands on the same mailboxes, each checking all it is told.
    Soak(SoakArgs),
    /// Tries the junk filter on messages whose class is known, by content alone.
    Junk(JunkArgs),
    /// Measures how an account of the original is taken over.
    Takeover(TakeoverArgs),
}

/// What is taken over.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TakeoverArgs {
    /// How many messages the account has.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    pub(crate) messages: u64,
    /// As an old release left it that knew no threads: all are found anew.
    #[arg(long)]
    pub(crate) without_threads: bool,
    /// Where the original's host is: made there if there is none, and kept. It must have been made
    /// with as many messages.
    #[arg(long, value_name = "DIR")]
    pub(crate) source: Option<PathBuf>,
}

/// What the junk filter is tried on.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct JunkArgs {
    /// A folder, an mbox or a message of ham; may be given more than once.
    #[arg(long, value_name = "PATH")]
    pub(crate) ham: Vec<PathBuf>,
    /// A folder, an mbox or a message of spam; may be given more than once.
    #[arg(long, value_name = "PATH")]
    pub(crate) spam: Vec<PathBuf>,
    /// How many messages are made up besides.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) synthetic: u64,
    /// Chooses the messages that are made up, and the halves of the split.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Scores above it are taken for spam.
    #[arg(long, default_value_t = 0.95)]
    pub(crate) threshold: f64,
    /// How long after it came a message is read and marked.
    #[arg(long, value_name = "HOURS", default_value_t = 12)]
    pub(crate) delay_hours: i64,
    /// Decide on each message as a server does, too: by the history of its sender, then by content.
    #[arg(long)]
    pub(crate) whole: bool,
    /// Learn pairs of words too.
    #[arg(long)]
    pub(crate) twograms: bool,
    /// Whether a missed target is a failure.
    #[arg(long, value_enum, default_value_t = Target::Shown)]
    pub(crate) target: Target,
}

/// What becomes of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// It is shown beside the figures.
    Shown,
    /// The program fails if it is missed.
    Checked,
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
