//! `mox doctor`.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use clap::Args;
use mox_base::{Clock as _, UnixSeconds};
use mox_checks::doctor::{
    AccountFault, AccountProblem, BACKUP_STAMP, Facts, ServerFacts, check_domains, local_files,
    outside, ports, room, run,
};
use mox_checks::updates::Version;
use mox_checks::{Finding, Level};
use mox_config::Config;
use mox_net::SystemClock;
use mox_store::{ReadOnly, StoreError};

use super::network::over_network_with;
use super::{Global, print};
use crate::ctl::Client;
use crate::sending::roots;
use crate::updates::LAST_KNOWN;

/// Where set-up notes what it has made, until it is done.
const SETUP_STATE: &str = "quickstart.state";

/// The directory with a marker for each account that is being removed, in the data directory.
const REMOVING: &str = "removing";

/// Accounts that are told of.
const REMOVALS_MAX: usize = 10;

/// The directory of the accounts in the data directory.
const ACCOUNTS: &str = "accounts";

/// Check all of a server, and tell what to do, the worst first.
///
/// Looks at the configuration, the files and their owners, disk, memory, clock, the databases of
/// accounts, the last backup, ports and certificates, the queue, block lists, and the DNS of all
/// domains. A running server is asked how it is. Takes up to half a minute for each domain. Fails if
/// something does not work. Best run as root, or as the user of the server.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Print JSON: a list of objects with level, what and next_step.
    #[arg(long)]
    json: bool,
    /// Ask nobody outside of this machine: no DNS, no block lists, not the time.
    #[arg(long)]
    offline: bool,
}

impl Doctor {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let now = SystemClock::new().now();
        let (path, _) = global.config_path();
        let mut facts = Facts::at(now);
        let report = mox_config::test(&path);
        facts.config_faults = report.faults.iter().map(ToString::to_string).collect();
        facts.config_notices = report.notices.iter().map(ToString::to_string).collect();
        let config = global.config().ok().map(|live| live.snapshot());
        if let Some(config) = &config {
            self.look(config, &mut facts)?;
        }
        let findings = run(&facts);
        print(&if self.json { json(&findings)? } else { text(&findings) })?;
        let has_errors = findings.iter().any(|finding| finding.level == Level::Error);
        Ok(if has_errors { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Gathers all that a configuration leads to.
    fn look(&self, config: &Arc<Config>, facts: &mut Facts) -> Result<()> {
        let data_dir = config.data_dir();
        facts.files = local_files(config);
        (facts.room, facts.memory_bytes) = room(&data_dir);
        facts.newer_release = newer_release(&data_dir);
        facts.last_backup = modified(&data_dir.join(BACKUP_STAMP));
        facts.unfinished = unfinished(config, &data_dir);
        over_network_with(roots(config)?, async |network| {
            let services = network.checks();
            (facts.server, facts.unconfined) = ask_server(&data_dir).await?;
            facts.accounts = account_faults(config, &data_dir, facts.server.is_some());
            facts.ports = Box::pin(ports(&services, config)).await;
            if !self.offline {
                facts.outside = Some(Box::pin(outside(&services, config)).await);
                facts.domains = Box::pin(check_domains(&services, config)).await;
            }
            Ok(())
        })
    }
}

/// What was begun and not finished.
fn unfinished(config: &Config, data_dir: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(state) = config.dir().parent().map(|dir| dir.join(SETUP_STATE))
        && state.exists()
    {
        findings.push(Finding::error(
            format!("set-up was cut off: {} is there", state.display()),
            "Run mox quickstart again in that directory: it goes on, or cleans up.",
        ));
    }
    let removing = fs::read_dir(data_dir.join(REMOVING)).into_iter().flatten().flatten();
    for account in removing.take(REMOVALS_MAX) {
        let account = account.file_name();
        findings.push(Finding::note(
            format!("account {} is being removed", account.display()),
            "The server goes on with it when it starts: if it stays, run mox restart.",
        ));
    }
    findings
}

/// The newest release that the server has heard of, if it is newer than this program.
fn newer_release(data_dir: &Path) -> Option<String> {
    let known = fs::read_to_string(data_dir.join(LAST_KNOWN)).ok()?;
    let known = Version::parse(known.trim()).ok()?;
    let own = Version::parse(crate::VERSION).ok()?;
    (known > own).then(|| known.to_string())
}

/// When a file was changed.
fn modified(path: &Path) -> Option<UnixSeconds> {
    let since = fs::metadata(path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok().map(UnixSeconds)
}

/// What a running server says of itself and of its confinement; nothing if none runs.
async fn ask_server(data_dir: &Path) -> Result<(Option<ServerFacts>, Option<Vec<String>>)> {
    let mut client = match Client::connect(data_dir).await {
        Ok(client) => client,
        Err(error) => {
            let cause = error.root_cause().downcast_ref::<std::io::Error>();
            if cause.is_some_and(|cause| cause.kind() == ErrorKind::PermissionDenied) {
                bail!("{error:#}\nrun this as root, or as the user of the server");
            }
            return Ok((None, None));
        }
    };
    let facts = client.text("doctor", &[]).await.context("ask the server")?;
    let facts = serde_json::from_str(&facts).context("read the answer of the server")?;
    let confinement = client.text("confinement", &[]).await.context("ask the server")?;
    Ok((Some(facts), Some(unconfined(&confinement))))
}

/// What of the answer about confinement should not be.
fn unconfined(text: &str) -> Vec<String> {
    let mut lines = text.lines();
    let first = lines.next().filter(|line| line.starts_with("not "));
    first.into_iter().chain(lines).map(str::to_owned).collect()
}

/// Opens the database of each account, to read.
fn account_faults(config: &Config, data_dir: &Path, server_runs: bool) -> Vec<AccountFault> {
    let mut faults = Vec::new();
    for account in config.dynamic.accounts.keys() {
        let dir = data_dir.join(ACCOUNTS).join(account);
        // An account that was never used has none yet.
        if !dir.exists() {
            continue;
        }
        // With nobody writing, no file is made beside it that another user could not remove.
        let opened = if server_runs { ReadOnly::open(&dir) } else { ReadOnly::open_still(&dir) };
        let problem = match opened {
            Ok(_) => continue,
            Err(StoreError::TooOld { .. }) => AccountProblem::Old,
            Err(StoreError::TooNew { .. }) => AccountProblem::New,
            Err(error) => AccountProblem::Broken(format!("{:#}", anyhow::Error::from(error))),
        };
        faults.push(AccountFault { account: account.clone(), problem });
    }
    faults
}

fn json(findings: &[Finding]) -> Result<String> {
    Ok(serde_json::to_string_pretty(findings).context("write JSON")? + "\n")
}

fn text(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let mut told = HashSet::new();
    // Long advice, such as records to add, is given once.
    let once = |finding: &Finding| {
        let is_known = finding.next_step.contains('\n') && !told.insert(finding.next_step.clone());
        match is_known {
            true => Finding { next_step: "As above.".to_owned(), ..finding.clone() }.to_string(),
            false => finding.to_string(),
        }
    };
    let mut text: String = findings.iter().map(once).collect();
    text.push_str(&format!("{} errors, {} warnings\n", count(Level::Error), count(Level::Warning)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_should_not_be_reached_is_told() {
        assert!(unconfined("confined to its files\n").is_empty());
        assert_eq!(unconfined("not confined: old kernel\n"), ["not confined: old kernel"]);
        assert_eq!(unconfined("confined\ncan open /etc/shadow\n"), ["can open /etc/shadow"]);
    }

    #[test]
    fn findings_are_printed_with_their_number() {
        let findings = [Finding::error("bad", "mend it"), Finding::ok("good")];
        assert_eq!(text(&findings), "error: bad\n\tmend it\nok: good\n1 errors, 0 warnings\n");
        let twice = [Finding::error("a", "x\ny"), Finding::error("b", "x\ny")];
        let want = "error: a\n\tx\n\ty\nerror: b\n\tAs above.\n2 errors, 0 warnings\n";
        assert_eq!(text(&twice), want);
        let json: serde_json::Value = serde_json::from_str(&json(&findings).unwrap()).unwrap();
        assert_eq!(json[0]["level"], "error");
        assert_eq!(json[0]["next_step"], "mend it");
    }

    #[test]
    fn what_is_half_done_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (config_dir, data_dir) = (dir.path().join("config"), dir.path().join("data"));
        let config = {
            let mox_conf = "DataDir: ../data\nLogLevel: info\nHostname: mx.example\nListeners:\n\tl:\n\
                            \t\tIPs:\n\t\t\t- 127.0.0.1\nPostmaster:\n\tAccount: a\n\tMailbox: Postmaster\n";
            let domains_conf = "Domains:\n\ta.example: nil\nAccounts:\n\ta:\n\t\tDomain: a.example\n\
                                \t\tDestinations:\n\t\t\ta@a.example: nil\n";
            Config::parse(&config_dir, mox_conf, domains_conf).unwrap()
        };
        assert!(unfinished(&config, &data_dir).is_empty());
        fs::write(dir.path().join(SETUP_STATE), "").unwrap();
        fs::create_dir_all(data_dir.join(REMOVING)).unwrap();
        fs::write(data_dir.join(REMOVING).join("ann"), "").unwrap();
        let found = unfinished(&config, &data_dir);
        let levels: Vec<_> = found.iter().map(|one| one.level).collect();
        assert_eq!(levels, [Level::Error, Level::Note], "{found:?}");
    }

    #[test]
    fn newer_releases_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let check = |known: &str, want: Option<&str>| {
            fs::write(dir.path().join(LAST_KNOWN), known).unwrap();
            assert_eq!(newer_release(dir.path()).as_deref(), want, "{known}");
        };
        assert_eq!(newer_release(dir.path()), None);
        check("99.0.0\n", Some("v99.0.0"));
        check(crate::VERSION, None);
        check("0.0.1", None);
        check("nonsense", None);
    }

    #[test]
    fn a_backup_leaves_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let stamp = dir.path().join(BACKUP_STAMP);
        assert_eq!(modified(&stamp), None);
        fs::write(&stamp, "").unwrap();
        assert!(modified(&stamp).unwrap().0 > 1_700_000_000);
    }
}
