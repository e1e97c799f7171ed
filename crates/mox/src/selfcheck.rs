//! The check of stored mail at night: a part of it each time, so that every message is read within a
//! month, and damage is known while there still are backups without it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use mox_store::{Account, StoreError};
use serde::{Deserialize, Serialize};

use crate::postmaster;
use crate::services::Services;

/// How often it is looked whether the night has come.
pub(crate) const INTERVAL: Duration = Duration::from_secs(600);

/// Nights after which every message was read.
const PARTS: u32 = 30;

/// The check begins at this hour, UTC.
const HOUR: i64 = 3;

/// Rest after each 8 MB, so that those who read and deliver mail come first.
const REST: Duration = Duration::from_millis(200);

/// What was told, in the data directory.
const FILE: &str = "selfcheck.json";

/// The most faults that are remembered as told.
const TOLD_MAX: usize = 5_000;

/// The most faults in one message.
const MAILED_MAX: usize = 200;

const DAY_SECS: i64 = 86_400;

/// What is remembered from night to night.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    /// The day of the last check, since 1970-01-01.
    day: i64,
    /// Faults that the postmaster knows, the newest last.
    told: Vec<String>,
}

impl Memory {
    /// One that is missing or damaged is begun anew: at worst something is told twice.
    fn read(path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn write(&self, path: &Path) -> Result<()> {
        let making = path.with_extension("new");
        let text = serde_json::to_vec(self).context("faults as json")?;
        fs::write(&making, text).with_context(|| format!("write {}", making.display()))?;
        fs::rename(&making, path).with_context(|| format!("write {}", path.display()))
    }

    /// Those that are not known yet; they are from now on.
    fn learn(&mut self, faults: &[String]) -> Vec<String> {
        let fresh: Vec<_> =
            faults.iter().filter(|fault| !self.told.contains(fault)).cloned().collect();
        self.told.extend(fresh.iter().cloned());
        self.told.drain(..self.told.len().saturating_sub(TOLD_MAX));
        fresh
    }
}

/// Checks the part of this night, if it has come and was not checked yet. Blocks, for long.
pub(crate) fn tick(services: &Services) {
    let now = services.clock.now();
    let (day, hour) = (now.0.div_euclid(DAY_SECS), now.0.rem_euclid(DAY_SECS) / 3_600);
    let path = services.config.snapshot().data_dir().join(FILE);
    let mut memory = Memory::read(&path);
    if hour < HOUR || memory.day >= day {
        return;
    }
    let part = u32::try_from(day.rem_euclid(i64::from(PARTS))).unwrap_or_default();
    // A server that ends checks again the next time.
    let Some(faults) = check(services, part) else { return };
    mox_metrics::selfcheck::finished(faults.len());
    memory.day = day;
    let known = memory.told.clone();
    let fresh = memory.learn(&faults);
    tracing::info!(part, faults = faults.len(), new = fresh.len(), "stored mail checked");
    let told = if fresh.is_empty() { Ok(()) } else { tell(services, &fresh) };
    if told.is_err() {
        // Tried again tomorrow.
        memory.told = known;
    }
    let written = memory.write(&path);
    if let Err(error) = told.and(written) {
        tracing::error!(
            error = format!("{error:#}"),
            "telling what the check of stored mail found"
        );
    }
}

fn tell(services: &Services, fresh: &[String]) -> Result<()> {
    let mut text = "The check of stored mail found damage:\n\n".to_owned();
    for fault in fresh.iter().take(MAILED_MAX) {
        text.push_str(&format!("- {fault}\n"));
    }
    if fresh.len() > MAILED_MAX {
        text.push_str(&format!("- and {} more, see the log\n", fresh.len() - MAILED_MAX));
    }
    text.push_str(
        "\nThe disk or the memory of this machine may be failing. Make a backup to another disk now,\n\
         keep the backups that you have, and see \"mox help restore\" for how to get messages back from them.\n\
         This message comes once for each fault.\n",
    );
    postmaster::notify(services, &format!("stored mail is damaged: {} faults", fresh.len()), &text)
}

/// What is wrong in all accounts. `None` if the server ends meanwhile.
fn check(services: &Services, part: u32) -> Option<Vec<String>> {
    let names: Vec<String> = services.config.snapshot().dynamic.accounts.keys().cloned().collect();
    let stopping = services.supervisor.stopping();
    let mut faults = Vec::new();
    for name in names {
        // A body that goes while its row is still read would look like damage.
        let _hold = services.store.hold_erasure();
        let account = services.store.account(&name);
        let found = account.and_then(|account| {
            check_account(&account, part, &|| {
                // Nobody wakes this thread: it is a wait.
                std::thread::park_timeout(REST);
                !stopping.is_cancelled()
            })
        });
        let result = match &found {
            Ok(None) => return None,
            Ok(Some(found)) if found.is_empty() => "ok",
            Ok(Some(_)) => "faults",
            Err(_) => "error",
        };
        mox_metrics::selfcheck::checked(result);
        let found = match found {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => vec![format!("cannot be checked: {error}")],
        };
        for fault in found {
            tracing::error!(account = %name, %fault, "stored mail is damaged");
            faults.push(format!("account {name}: {fault}"));
        }
    }
    Some(faults)
}

/// One account. `None` if `go_on`, which is asked between the steps, says so.
fn check_account(
    account: &Account,
    part: u32,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<String>>, StoreError> {
    // Once in a while every page of the database is read too.
    let unread = |error: StoreError| vec![format!("cannot be checked: {error}")];
    let mut faults = account.check_structure(part == 0).unwrap_or_else(unread);
    let mut after = Some(0);
    while let Some(from) = after {
        if !go_on() {
            return Ok(None);
        }
        let checked = match account.check_part(part, PARTS, from) {
            Ok(checked) => checked,
            Err(error) => {
                faults.extend(unread(error));
                break;
            }
        };
        faults.extend(checked.faults);
        after = checked.next;
    }
    Ok(Some(faults))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use mox_base::MailboxName;

    use super::*;
    use crate::ctl::tests::server;

    #[test]
    fn a_fault_is_told_once() {
        let text = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut memory = Memory::default();
        assert_eq!(memory.learn(&text(&["a", "b"])), text(&["a", "b"]));
        assert_eq!(memory.learn(&text(&["b", "c"])), text(&["c"]));
        assert_eq!(memory.learn(&text(&["a"])), text(&[]));
        let many: Vec<_> = (0..TOLD_MAX).map(|number| number.to_string()).collect();
        assert_eq!(memory.learn(&many).len(), TOLD_MAX);
        assert_eq!(memory.told.len(), TOLD_MAX);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(Memory::read(&path), Memory::default());
        memory.write(&path).unwrap();
        assert_eq!(Memory::read(&path), memory);
        fs::write(&path, b"{").unwrap();
        assert_eq!(Memory::read(&path), Memory::default());
    }

    #[tokio::test]
    async fn damage_is_told_to_the_postmaster_once() {
        let (server, _dir) = server().await;
        let services = server.services().clone();
        let store = services.store.clone();
        let account = store.account("mox").unwrap();
        // Bytes that cannot be compressed, so that the body becomes a file.
        let mut state = 7_u64;
        let mut noise = Vec::new();
        for _ in 0..500_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            noise.push((state >> 56).to_le_bytes()[0]);
        }
        let content = [b"Subject: large\r\n\r\n".to_vec(), noise].concat();
        let content = account.stage(Vec::new(), &mut std::io::Cursor::new(content)).unwrap();
        let (flags, keywords) = (mox_base::Flags::NONE, Vec::new());
        let message =
            mox_store::NewMessage { content, flags, keywords, received: None, envelope: None };
        let inbox = mox_store::Destination { mailbox: MailboxName::inbox(), create: false };
        let id = account.add(inbox, vec![message]).wait().unwrap().messages[0];
        let part = u32::try_from(id.0).unwrap() % PARTS;
        let folders = server.data_dir().join("accounts/mox/blob");
        let folder = fs::read_dir(folders).unwrap().next().unwrap().unwrap().path();
        let blob = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        fs::File::options().write(true).open(blob).unwrap().write_at(b"damage", 1_000).unwrap();
        let found = check_account(&account, part, &|| true).unwrap().unwrap();
        assert!(found.len() == 1 && found[0].starts_with("Inbox: uid 1: "), "{found:?}");
        assert_eq!(check_account(&account, part, &|| false).unwrap(), None);
        let other = (part + 1) % PARTS;
        assert_eq!(check_account(&account, other, &|| true).unwrap(), Some(Vec::new()));
        tell(&services, &found).unwrap();
        let postmaster = services.config.snapshot().statics.postmaster.mailbox.0.clone();
        let reader = account.read().unwrap();
        let mailbox = reader.mailbox(&postmaster).unwrap();
        let uid = mox_base::Uid::new(*reader.uids(mailbox.id).unwrap().last().unwrap()).unwrap();
        let text = reader.content(mailbox.id, uid).unwrap().to_vec().unwrap();
        assert!(String::from_utf8_lossy(&text).contains("- Inbox: uid 1: "));
        drop((reader, account, services));
        server.shutdown().await;
    }
}
