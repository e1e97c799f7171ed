//! `mox queue webhook`.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};

use super::filter::{order, signed_secs, when};
use super::{Global, print, show};
use crate::ctl::queue::words::{HookChangeWords, HookFilterWords, When, hook_event};

/// Calls to the webhooks of accounts.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(in crate::cli) enum Webhook {
    List(List),
    Schedule(Schedule),
    Cancel(Cancel),
    Print(Print),
    #[command(subcommand)]
    Retired(Retired),
}

/// Webhook calls that were made, or given up.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(in crate::cli) enum Retired {
    List(RetiredList),
    Print(RetiredPrint),
}

/// Flags of all commands about calls.
#[derive(Clone, Debug, Args)]
struct Common {
    /// Only the calls with these numbers, such as 1,2.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    ids: Vec<i64>,
    /// At most so many calls.
    #[arg(
        short,
        long = "max",
        value_name = "NUMBER",
        default_value_t = 0,
        hide_default_value = true
    )]
    n: usize,
    /// Only calls of this account.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only calls added before (<) or after (>) a time from now, such as "<-1h". "now" is taken
    /// too.
    #[arg(long, value_name = "TIME", value_parser = when, allow_hyphen_values = true)]
    submitted: Option<When>,
    /// Only calls about this: incoming, or what became of a message: delivered, suppressed, delayed,
    /// failed, relayed, expanded, canceled or unrecognized.
    #[arg(long, value_name = "EVENT", value_parser = event)]
    event: Option<String>,
}

fn event(word: &str) -> Result<String, String> {
    hook_event(word).map(|_| word.to_owned())
}

/// Flags of commands about calls that wait.
#[derive(Clone, Debug, Args)]
struct Filter {
    #[command(flatten)]
    common: Common,
    /// Only calls whose next attempt is before (<) or after (>) a time from now.
    #[arg(long, value_name = "TIME", value_parser = when, allow_hyphen_values = true)]
    nextattempt: Option<When>,
}

/// List calls that are still to be made.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    filter: Filter,
    /// What to order by.
    #[arg(long, value_enum, default_value = "nextattempt")]
    sort: SortField,
    /// Smallest first.
    #[arg(long)]
    asc: bool,
}

/// What calls that wait are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SortField {
    /// The time of the next attempt.
    Nextattempt,
    /// The time of adding.
    Queued,
}

/// Change when the next attempt is made.
///
/// The duration is added to the time that is scheduled, or to now.
#[derive(Debug, Args)]
pub(in crate::cli) struct Schedule {
    #[command(flatten)]
    filter: Filter,
    /// Count from now.
    #[arg(long)]
    now: bool,
    /// Such as 1h30m, or -10m for sooner.
    #[arg(allow_hyphen_values = true, value_parser = signed_secs)]
    duration: i64,
}

/// Give calls up: they are not made any more.
///
/// Without flags, all are given up.
#[derive(Debug, Args)]
pub(in crate::cli) struct Cancel {
    #[command(flatten)]
    filter: Filter,
}

/// Print a call that is to be made, as JSON.
#[derive(Debug, Args)]
pub(in crate::cli) struct Print {
    /// Number of the call, as listed.
    id: i64,
}

/// List calls that were made or given up.
///
/// They are kept for the KeepRetiredWebhookPeriod of their account.
#[derive(Debug, Args)]
pub(in crate::cli) struct RetiredList {
    #[command(flatten)]
    common: Common,
    /// Only calls that ended before (<) or after (>) a time from now.
    #[arg(long, value_name = "TIME", value_parser = when, allow_hyphen_values = true)]
    lastactivity: Option<When>,
    /// What to order by.
    #[arg(long, value_enum, default_value = "lastactivity")]
    sort: RetiredSortField,
    /// Smallest first.
    #[arg(long)]
    asc: bool,
}

/// What calls that are over are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RetiredSortField {
    /// The time of the end.
    Lastactivity,
    /// The time of adding.
    Queued,
}

/// Print a call that was made or given up, as JSON.
#[derive(Debug, Args)]
pub(in crate::cli) struct RetiredPrint {
    /// Number of the call, as listed.
    id: i64,
}

impl Common {
    fn words(self) -> HookFilterWords {
        HookFilterWords {
            ids: self.ids,
            max: self.n,
            account: self.account,
            submitted: self.submitted,
            event: self.event,
            ..HookFilterWords::default()
        }
    }
}

impl Filter {
    fn json(self) -> Result<String> {
        let words = self.common.words();
        let words = HookFilterWords { next_attempt: self.nextattempt, ..words };
        Ok(serde_json::to_string(&words)?)
    }
}

impl Webhook {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(List { filter, sort, asc }) => {
                let order = order(sort == SortField::Queued, asc)?;
                show(global, "queuehooklist", &[&filter.json()?, &order])
            }
            Self::Schedule(Schedule { filter, now, duration }) => {
                let words = HookChangeWords::Schedule { from_now: now, secs: duration };
                change(global, filter, words, "webhook(s) rescheduled")
            }
            Self::Cancel(Cancel { filter }) => {
                change(global, filter, HookChangeWords::Cancel, "webhook(s) canceled")
            }
            Self::Print(Print { id }) => show(global, "queuehookprint", &[&id.to_string()]),
            Self::Retired(Retired::List(list)) => list.run(global),
            Self::Retired(Retired::Print(RetiredPrint { id })) => {
                show(global, "queuehookretiredprint", &[&id.to_string()])
            }
        }
    }
}

impl RetiredList {
    fn run(self, global: &Global) -> Result<()> {
        let words = HookFilterWords { last_activity: self.lastactivity, ..self.common.words() };
        let order = order(self.sort == RetiredSortField::Queued, self.asc)?;
        show(global, "queuehookretiredlist", &[&serde_json::to_string(&words)?, &order])
    }
}

fn change(global: &Global, filter: Filter, change: HookChangeWords, done: &str) -> Result<()> {
    let (filter, change) = (filter.json()?, serde_json::to_string(&change)?);
    let count = global.control(async |mut client| {
        Ok(client.text("queuehookchange", &[&filter, &change]).await?)
    })?;
    let count: u64 = count.parse().context("number of calls")?;
    print(&format!("{count} {done}\n"))
}
