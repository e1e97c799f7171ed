//! `mox import moxdata`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use mox_base::Clock as _;
use mox_config::{Config, Live, NamedFiles};
use mox_net::{SystemClock, SystemRng};
use mox_queue::Queue;
use mox_reportdb::ReportDb;
use mox_store::{ClientKeys, Store};
use mox_takeover::{Original, QueueAccount, Report, Target, Targets, Wanted, Watch, finish};
use nix::sys::stat::{Mode, umask};

use super::progress::{Progress, rate_text};
use super::{Global, print, say};
use crate::data_dir::{DataDir, LOCK, QUEUE, REPORTS_DB};
use crate::places::{Found, Places};
use crate::policies::ConfigPolicies;
use crate::privileges;
use crate::server::faults_text;

/// Take over the accounts, the queue and all else of the original mox.
///
/// Stop the original first. Its configuration is used as it is. Its data directory is only read, and stays as
/// it is; if DataDir names it, it gets the name DataDir.original in the end, in one step in which ours gets its
/// place. Accounts keep their passwords, and mailboxes their UIDs: mail programs notice nothing.
///
/// First everything is read and checked. If something is damaged or missing, nothing is taken, and you are
/// told what it is. A run that was interrupted is completed by running it again; mail that comes in
/// meanwhile waits at its senders. At the end a report tells what was taken, what differs and what was left;
/// takeover.json in the data directory keeps it.
#[derive(Debug, Args)]
pub(super) struct ImportMoxdata {
    /// The data directory of the original. Default: DataDir of the configuration.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Only check, and tell what would be taken. Writes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Take the rest if something is damaged or missing.
    #[arg(long)]
    skip_damaged: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl ImportMoxdata {
    pub(super) fn run(&self, global: &Global) -> Result<ExitCode> {
        // What is written is for the server and its group.
        umask(umask(Mode::empty()) | Mode::from_bits_truncate(0o007));
        let (path, _) = global.config_path();
        let loaded = Live::load(&path, NamedFiles::Skip, SystemClock::new().now());
        let (live, notices) = loaded
            .map_err(|faults| anyhow::anyhow!("{}{}", faults_text(&faults), global.hint()))?;
        let config = live.snapshot();
        let places = match Places::find(&config, self.data.as_deref())? {
            Found::Nothing(places) => places,
            Found::AllButNames(swap) if self.dry_run => {
                bail!("all is taken over but for the name of {}", swap.kept.display())
            }
            Found::AllButNames(swap) => {
                swap.complete()?;
                return done(&swap.kept);
            }
        };
        for fault in &mox_config::test(&path).faults {
            say(&format!("note: the server would not start: {fault}\n"));
        }
        // Not after hours of checking.
        if is_given(&config) {
            match privileges::find_service(&config) {
                Err(error) if self.dry_run => say(&format!("note: {error:#}\n")),
                found => found?,
            }
        }
        let original = Original::open(&places.source)?;
        let accounts = wanted(&config);
        let mut bar = Bar::new();
        let started = Instant::now();
        say(&format!("checking {}\n", places.source.display()));
        let found = original.check(&accounts, SystemClock::new().now(), &mut bar)?;
        bar.clear();
        let is_refused = !found.is_whole() && !self.skip_damaged;
        if self.dry_run || is_refused {
            self.tell(&found)?;
            if is_refused {
                say(DAMAGED);
            } else {
                say("this was a look only: nothing was written\n");
            }
            return Ok(if found.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let report = fill(&original, &places, live, &accounts, self.skip_damaged, &mut bar)?;
        bar.clear();
        self.tell(&report)?;
        if !report.is_whole() && !self.skip_damaged {
            say(DAMAGED_LATE);
            return Ok(ExitCode::FAILURE);
        }
        say(&format!("{}\n", rate_text(report.messages(), started.elapsed())));
        for notice in &notices {
            say(&format!("note: {notice}\n"));
        }
        // Until here nobody can start the original.
        drop(original);
        done(places.swap.as_ref().map_or(&places.source, |swap| &swap.kept))
    }

    fn tell(&self, report: &Report) -> Result<()> {
        if self.json {
            let text = serde_json::to_string_pretty(report).context("report as json")?;
            return print(&format!("{text}\n"));
        }
        print(&report.to_string())
    }
}

/// What to do about damage.
const DAMAGED: &str = "\
something is damaged or missing, see above: nothing was taken over. If this is a copy that was made while the
original ran, stop it and copy again, or take the output of its command \"mox backup\". If it is the data itself,
put a backup of it back, or take over the rest with --skip-damaged: what is listed as damaged is missing then.
";

/// What to do about damage that a check cannot see.
const DAMAGED_LATE: &str = "\
something could not be read, see above: the original's data is still in its place, and can be started. Make it
readable and run this again, which goes on where it ended; or take over the rest with --skip-damaged.
";

fn done(kept: &Path) -> Result<ExitCode> {
    say(&format!(
        "everything is taken over: start the server. {} holds the original's data as it was; keep it \
         until you are sure that you do not want to go back\n",
        kept.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn seconds(period: &mox_config::Duration) -> i64 {
    i64::try_from(period.0.as_secs()).unwrap_or(i64::MAX)
}

fn wanted(config: &Config) -> Vec<Wanted> {
    let accounts = config.dynamic.accounts.iter();
    let introbox =
        |account: &mox_config::Account| account.introbox.as_ref().map(|mailbox| mailbox.0.clone());
    let wanted = accounts.map(|(name, account)| Wanted {
        name: name.clone(),
        introbox: introbox(account),
        queue: QueueAccount { keep_calls_secs: seconds(&account.keep_retired_webhook_period) },
    });
    wanted.collect()
}

/// Whether what is written is given to the user of the server in the end.
fn is_given(config: &Config) -> bool {
    nix::unistd::geteuid().is_root() && !config.statics.no_fix_permissions
}

/// Fills our data directory.
fn fill(
    original: &Original,
    places: &Places,
    live: Live,
    accounts: &[Wanted],
    skips_damaged: bool,
    bar: &mut Bar,
) -> Result<Report> {
    let config = live.snapshot();
    let data = DataDir::take_unfinished(&places.target)?;
    let target = Target::begin(data.path(), (&places.source, &original.stamp()), &[LOCK])?;
    // What would fail when all else is done.
    if let Some(swap) = &places.swap {
        swap.try_out()?;
    }
    let is_given = is_given(&config);
    if is_given {
        privileges::keep_from_service(data.path())?;
    }
    say(&format!("taking over into {}\n", data.path().display()));
    let dir = data.path();
    let clock = Arc::new(SystemClock::new());
    let now = clock.now();
    let store = Store::new(dir, clock, Arc::new(ConfigPolicies::new(Arc::new(live))));
    let report = {
        let queue = Queue::open(&dir.join(QUEUE), Arc::new(SystemRng)).context("open queue")?;
        let reports = ReportDb::open(&dir.join(REPORTS_DB)).context("open reports")?;
        let client_keys = ClientKeys::open(dir).context("open database of client keys")?;
        let into = Targets {
            dir,
            store: &store,
            queue: &queue,
            reports: &reports,
            client_keys: &client_keys,
        };
        original.copy(accounts, &into, now, bar)?
    };
    drop(store);
    // It was sound when it was checked; nobody has agreed to be without it.
    if !report.is_whole() && !skips_damaged {
        return Ok(report);
    }
    target.keep_report(&report)?;
    if is_given {
        privileges::give_to_service(&config, dir)?;
    }
    match &places.swap {
        Some(swap) => swap.change_names()?,
        None => finish(dir)?,
    }
    Ok(report)
}

/// Shows how far it is.
struct Bar {
    progress: Progress,
    part: String,
}

impl Bar {
    fn new() -> Self {
        Self { progress: Progress::new(None), part: String::new() }
    }

    fn clear(&mut self) {
        self.progress.clear();
    }
}

impl Watch for Bar {
    fn part(&mut self, name: &str) {
        self.progress.clear();
        self.progress = Progress::new(None);
        name.clone_into(&mut self.part);
    }

    fn progress(&mut self, done: u64, total: u64) -> bool {
        self.progress.set_total(total);
        self.progress.show_part(&self.part, done);
        true
    }
}
