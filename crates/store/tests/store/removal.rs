//! Accounts that are removed: whole or gone, and never under the hands of somebody.

use std::path::Path;
use std::sync::Arc;

use mox_store::{Policies, Policy, Store, StoreError};
use mox_testkit::ManualClock;
use parking_lot::Mutex;

use crate::support::{START, message, name};

/// The accounts of a configuration.
#[derive(Clone, Default)]
struct Accounts(Arc<Mutex<Vec<&'static str>>>);

impl Policies for Accounts {
    fn policy(&self, account: &str) -> Option<Arc<Policy>> {
        self.0.lock().contains(&account).then(|| Arc::new(Policy::default()))
    }
}

fn store(dir: &Path, accounts: &Accounts) -> Store {
    Store::new(dir, Arc::new(ManualClock::at(START)), Arc::new(accounts.clone()))
}

/// A directory with the accounts `mjl` and `other`, each with a message.
fn fixture() -> (tempfile::TempDir, Accounts) {
    let (dir, accounts) = (tempfile::tempdir().unwrap(), Accounts::default());
    *accounts.0.lock() = vec!["mjl", "other"];
    let store = store(dir.path(), &accounts);
    for account in ["mjl", "other"] {
        let account = store.account(account).unwrap();
        let inbox = mox_store::Destination { mailbox: name("Inbox"), create: false };
        account.add(inbox, vec![message(&account, b"Subject: x\r\n\r\n")]).wait().unwrap();
    }
    drop(store);
    // The thread that wrote may still be at it, which keeps an account open.
    for account in ["mjl", "other"] {
        while dir.path().join("accounts").join(account).join("index.db-wal").exists() {
            std::thread::yield_now();
        }
    }
    (dir, accounts)
}

/// What is in the directory, but for the files of accounts.
fn entries(dir: &Path) -> Vec<String> {
    let names = |below: &str| -> Vec<String> {
        let entries = std::fs::read_dir(dir.join(below)).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            format!("{below}{}", entry.unwrap().file_name().into_string().unwrap())
        };
        entries.map(name).collect()
    };
    let mut all = names("");
    all.extend(names("accounts/"));
    all.sort();
    all
}

#[test]
fn an_account_in_use_is_removed_when_it_is_not() {
    let (dir, accounts) = fixture();
    let store = store(dir.path(), &accounts);
    let session = store.account("mjl").unwrap();
    let subscription = session.subscribe();
    store.begin_removal("mjl").unwrap();
    // Whoever follows it is told, and nobody opens it.
    assert!(subscription.take().closed);
    assert!(matches!(store.account("mjl"), Err(StoreError::NoAccount)));
    assert!(matches!(store.opened("mjl"), Err(StoreError::NoAccount)));
    // While the configuration has it, its files stay.
    drop((subscription, session));
    assert_eq!(store.finish_removals().unwrap(), ["mjl"]);
    accounts.0.lock().retain(|name| *name != "mjl");
    // And so they do while somebody copies them.
    let hold = store.hold_erasure();
    assert_eq!(store.finish_removals().unwrap(), ["mjl"]);
    drop(hold);
    assert_eq!(store.finish_removals().unwrap(), Vec::<String>::new());
    assert_eq!(entries(dir.path()), ["accounts", "accounts/other"]);
    // Made anew, it is empty.
    assert!(!store.has_files("mjl"));
    accounts.0.lock().push("mjl");
    let account = store.account("mjl").unwrap();
    let reader = account.read().unwrap();
    let inbox = reader.mailbox(&name("Inbox")).unwrap();
    assert_eq!(reader.uids(inbox.id).unwrap(), Vec::<u32>::new());
}

#[test]
fn a_session_keeps_its_account_to_its_end() {
    let (dir, accounts) = fixture();
    let store = store(dir.path(), &accounts);
    let session = store.account("mjl").unwrap();
    store.begin_removal("mjl").unwrap();
    accounts.0.lock().retain(|name| *name != "mjl");
    assert_eq!(store.finish_removals().unwrap(), ["mjl"]);
    let reader = session.read().unwrap();
    let inbox = reader.mailbox(&name("Inbox")).unwrap();
    assert_eq!(reader.uids(inbox.id).unwrap(), [1]);
    drop((reader, session));
    store.tick();
    assert_eq!(entries(dir.path()), ["accounts", "accounts/other"]);
}

/// The program ends at each step, and the next start finishes or takes back what was begun.
#[test]
fn a_crash_leaves_an_account_whole_or_gone() {
    // After the name was noted, and the configuration still has it: kept.
    let (dir, accounts) = fixture();
    store(dir.path(), &accounts).begin_removal("mjl").unwrap();
    let again = store(dir.path(), &accounts);
    assert_eq!(again.pending_removals().unwrap(), ["mjl"]);
    assert!(again.account("mjl").is_err());
    again.keep_account("mjl").unwrap();
    again.account("mjl").unwrap();
    assert_eq!(entries(dir.path()), ["accounts", "accounts/mjl", "accounts/other"]);
    drop(again);

    // After the configuration lost it.
    store(dir.path(), &accounts).begin_removal("mjl").unwrap();
    accounts.0.lock().retain(|name| *name != "mjl");
    let again = store(dir.path(), &accounts);
    assert_eq!(again.pending_removals().unwrap(), ["mjl"]);
    assert_eq!(again.finish_removals().unwrap(), Vec::<String>::new());
    assert_eq!(entries(dir.path()), ["accounts", "accounts/other"]);

    // After its directory was moved, before or after the name was removed; some of it is gone.
    store(dir.path(), &accounts).begin_removal("other").unwrap();
    accounts.0.lock().clear();
    let removed = dir.path().join("removed");
    std::fs::create_dir(&removed).unwrap();
    std::fs::rename(dir.path().join("accounts/other"), removed.join("other")).unwrap();
    std::fs::remove_file(removed.join("other/index.db")).unwrap();
    let again = store(dir.path(), &accounts);
    assert_eq!(again.pending_removals().unwrap(), ["other"]);
    assert_eq!(again.finish_removals().unwrap(), Vec::<String>::new());
    assert_eq!(entries(dir.path()), ["accounts"]);
    std::fs::create_dir_all(removed.join("other")).unwrap();
    store(dir.path(), &accounts).finish_removals().unwrap();
    assert_eq!(entries(dir.path()), ["accounts"]);
}

#[test]
fn names_that_lead_elsewhere_are_none() {
    let (dir, accounts) = fixture();
    let store = store(dir.path(), &accounts);
    for name in ["", ".", "..", "../accounts", "a/b", "."] {
        assert!(matches!(store.begin_removal(name), Err(StoreError::NoAccount)), "{name:?}");
        assert!(!store.has_files(name), "{name:?}");
    }
    assert!(store.has_files("mjl") && !store.has_files("nobody"));
}
