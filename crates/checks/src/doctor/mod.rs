//! All self-checks of a mail server in one list, the worst first, each with what to do.
//!
//! What is so is gathered first, as [`Facts`], by whoever can: files and ports here, the state of a
//! running server by asking it. [`run`] judges, and asks nobody.

mod accounts;
mod backup;
mod certificates;
mod clock;
mod config;
mod domains;
mod files;
mod gather;
mod ports;
mod queue;
mod room;
mod server;

use mox_base::UnixSeconds;
use serde::{Deserialize, Serialize};

use crate::Finding;
use crate::domain::CheckResult;

pub use backup::BACKUP_STAMP;
pub use certificates::Shown;
pub use files::{FILES_MAX, FileFault, FileProblem};
pub use gather::{
    DOMAINS_MAX, OUTSIDE_WAIT, Outside, domains as check_domains, local_files, outside, ports, room,
};
pub use ports::{PORT_WAIT, PORTS_MAX, Port, PortState};
pub use room::Room;

/// What a running server tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// Its version.
    pub version: String,
    /// Messages in the queue.
    pub queued: u64,
    /// Those that are held.
    pub held: u64,
    /// When the oldest one was added.
    pub oldest: Option<UnixTime>,
    /// Certificates by ACME that could not be had.
    pub failed_certificates: Vec<FailedCertificate>,
}

/// Seconds since 1970, on the wire.
pub type UnixTime = i64;

/// A host that there is no new certificate for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCertificate {
    /// The host.
    pub host: String,
    /// When the one it has ends, if it has one.
    pub not_after: Option<UnixTime>,
    /// Why the last attempt failed.
    pub error: String,
}

/// An account whose database is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFault {
    /// The name.
    pub account: String,
    /// What is wrong.
    pub problem: AccountProblem,
}

/// What is wrong with the database of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountProblem {
    /// It is of a version before.
    Old,
    /// It is of a version to come.
    New,
    /// It cannot be opened.
    Broken(String),
}

/// What is known of a server.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The time.
    pub now: UnixSeconds,
    /// What is wrong with the configuration.
    pub config_faults: Vec<String>,
    /// Keys that do nothing.
    pub config_notices: Vec<String>,
    /// Steps that were begun and not finished.
    pub unfinished: Vec<Finding>,
    /// What the server says, if it runs.
    pub server: Option<ServerFacts>,
    /// A release that is newer than this program, if one is known.
    pub newer_release: Option<String>,
    /// What it could read that it should not be able to; `None` if it does not tell.
    pub unconfined: Option<Vec<String>>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Files and directories.
    pub files: Vec<FileFault>,
    /// The disk with the data.
    pub room: Option<Room>,
    /// Memory that can be had, in bytes.
    pub memory_bytes: Option<u64>,
    /// Accounts whose database is not as it should be.
    pub accounts: Vec<AccountFault>,
    /// When the last backup was finished.
    pub last_backup: Option<UnixSeconds>,
    /// What was asked of others; `None` if it was left out.
    pub outside: Option<Outside>,
    /// The checks of each domain; none if they were left out.
    pub domains: Vec<CheckResult>,
}

impl Facts {
    /// Nothing known yet.
    #[must_use]
    pub fn at(now: UnixSeconds) -> Self {
        Self {
            now,
            config_faults: Vec::new(),
            config_notices: Vec::new(),
            unfinished: Vec::new(),
            server: None,
            newer_release: None,
            unconfined: None,
            ports: Vec::new(),
            files: Vec::new(),
            room: None,
            memory_bytes: None,
            accounts: Vec::new(),
            last_backup: None,
            outside: None,
            domains: Vec::new(),
        }
    }
}

/// Judges what is known: the worst first, otherwise in the order in which things depend on each other.
#[must_use]
pub fn run(facts: &Facts) -> Vec<Finding> {
    let mut findings = config::judge(facts);
    findings.extend(server::judge(facts));
    findings.extend(room::judge(facts));
    findings.extend(files::judge(&facts.files));
    findings.extend(accounts::judge(&facts.accounts));
    findings.extend(ports::judge(&facts.ports, facts.server.is_some()));
    findings.extend(certificates::judge(facts));
    findings.extend(queue::judge(facts));
    findings.extend(backup::judge(facts));
    if let Some(outside) = &facts.outside {
        findings.extend(clock::judge(outside));
        findings.extend(outside.resolver.clone());
        findings.extend(outside.blocklists.clone());
    }
    findings.extend(domains::judge(&facts.domains));
    // A stable sort keeps the order among equals.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::tests::NOW;

    #[test]
    fn the_worst_comes_first() {
        let mut facts = Facts::at(NOW);
        facts.config_notices = vec!["mox.conf:3: no effect yet".to_owned()];
        facts.config_faults = vec!["mox.conf:1: broken".to_owned()];
        let findings = run(&facts);
        let levels: Vec<Level> = findings.iter().map(|finding| finding.level).collect();
        assert!(levels.is_sorted_by(|a, b| a >= b), "{levels:?}");
        assert_eq!(findings[0].level, Level::Error);
        assert!(findings[0].what.contains("mox.conf:1: broken"));
        assert!(
            findings
                .iter()
                .filter(|one| one.level > Level::Ok)
                .all(|one| !one.next_step.is_empty())
        );
    }
}
