//! Mending a data directory that nobody uses: nothing is removed.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use mox_base::Clock;
use mox_store::{ACCOUNT_DATABASE, BODIES, Policy, ReadOnly, Store};

use crate::error::{Result, text};
use crate::file;
use crate::layout::{ACCOUNTS, QUEUE};
use crate::restore::move_away;

/// Moves files that no message has to the folder `moved`, counts the messages of all mailboxes anew, and
/// raises numbers that would be given out twice. The caller has the lock of the data directory. Returns
/// what was done.
///
/// # Errors
///
/// If a folder cannot be listed or a file not be moved. An account that cannot be opened is left as it is.
pub fn fix(data: &Path, clock: &Arc<dyn Clock>) -> Result<Vec<String>> {
    let mut done = Vec::new();
    let queue = data.join(QUEUE);
    // What a crash left in the log is not read by `body_files`: opening and closing empties it.
    let database = queue.join(mox_queue::DATABASE);
    if database.is_file()
        && mox_queue::check(&queue).is_ok()
        && !has_log(&database)
        && let Ok(named) = mox_queue::body_files(&queue)
    {
        strays(data, &queue.join(mox_queue::BODIES), &named, clock, &mut done)?;
    }
    let accounts = data.join(ACCOUNTS);
    if !accounts.is_dir() {
        return Ok(done);
    }
    // Opened by this, an account would remove what is stray: it comes last.
    let store = Store::new(data, Arc::clone(clock), Arc::new(Policy::default()));
    for name in file::names(&accounts)? {
        let dir = accounts.join(&name);
        let Some(name) = name.to_str().filter(|_| dir.join(ACCOUNT_DATABASE).is_file()) else {
            continue;
        };
        let opened = mox_store::upgrade(&dir).and_then(|()| ReadOnly::open_still(&dir));
        let Ok(named) = opened.and_then(|_| mox_store::body_files(&dir)) else { continue };
        if has_log(&dir.join(ACCOUNT_DATABASE)) {
            done.push(format!("{ACCOUNTS}/{name}: not mended: its log cannot be emptied"));
            continue;
        }
        strays(data, &dir.join(BODIES), &named, clock, &mut done)?;
        match mend(&store, name) {
            Ok(told) => done.extend(told),
            Err(error) => done.push(format!("{ACCOUNTS}/{name}: not mended: {}", text(&error))),
        }
    }
    Ok(done)
}

/// Whether rows are in the log only: it could not be emptied, as on a full disk.
fn has_log(database: &Path) -> bool {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|meta| meta.len() > 0)
}

fn mend(store: &Store, name: &str) -> mox_store::Result<Vec<String>> {
    let account = store.account(name)?;
    let mut done = Vec::new();
    let raised = account.fix_numbers().wait()?;
    if raised > 0 {
        done.push(format!("{ACCOUNTS}/{name}: {raised} numbers raised"));
    }
    for (mailbox, _) in account.recount().wait()? {
        done.push(format!("{ACCOUNTS}/{name}: {mailbox}: counted anew"));
    }
    Ok(done)
}

/// Moves files of a folder of bodies that no row names.
fn strays(
    data: &Path,
    bodies: &Path,
    named: &[String],
    clock: &Arc<dyn Clock>,
    done: &mut Vec<String>,
) -> Result<()> {
    if !bodies.is_dir() {
        return Ok(());
    }
    let named: HashSet<&str> = named.iter().map(String::as_str).collect();
    for folder in file::names(bodies)? {
        let dir = bodies.join(&folder);
        if !dir.is_dir() {
            continue;
        }
        for name in file::names(&dir)? {
            let below = format!("{}/{}", folder.to_string_lossy(), name.to_string_lossy());
            if !named.contains(below.as_str()) {
                let to = move_away(data, &dir.join(&name), clock.now())?;
                done.push(format!("{}: moved to {}", dir.join(&name).display(), to.display()));
            }
        }
    }
    Ok(())
}
