//! What is put back is what was copied.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use mox_backup::{
    BackupError, Options, Source, backup, fix, messages, restore, restore_account, verify_data,
};
use mox_base::{Address, Clock, MailboxName, Uid, UidValidity};
use mox_queue::{NewMessage, NewRecipient, Queue};
use mox_smtp::ReversePath;
use mox_sqlite::{Durability, Settings};
use mox_store::{Policy, ReadOnly, Store};
use mox_testkit::{ManualClock, TestRng};

use crate::support::{Fixture, NOW, deliver, large, small, sums};

#[test]
fn a_restored_backup_has_the_same_checksums_and_works() {
    let fixture = Fixture::new();
    for number in 1..50 {
        fixture.deliver("ann", &small(number));
    }
    fixture.backup("b", None);
    let (data, config) = (fixture.path("r/data"), fixture.path("r/config"));
    let restored = restore(&fixture.path("b"), &data, Some(&config), &mut |_| {}).unwrap();
    assert_eq!(restored.files as usize, sums(&fixture.path("b")).len());
    assert_eq!(fs::read_link(config.join("current")).unwrap().to_str(), Some("dkim/key.pem"));
    assert_eq!(verify_data(&data, true).unwrap().faults, Vec::<String>::new());
    // A backup of what was restored is the same again.
    let options = Options { earlier: None, now: NOW, program: "test".to_owned() };
    let source = Source { config, data: data.clone() };
    backup(&source, &fixture.path("b2"), &options, &mut |_| {}).unwrap();
    assert_eq!(sums(&fixture.path("b")), sums(&fixture.path("b2")));
    let store = Store::new(&data, Arc::new(ManualClock::at(NOW)), Arc::new(Policy::default()));
    deliver(&store.account("ann").unwrap(), &small(51));
    assert_eq!(store.account("ann").unwrap().check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_used_directory_and_a_damaged_backup_are_refused() {
    let fixture = Fixture::new();
    fixture.backup("b", None);
    let refused = restore(&fixture.path("b"), &fixture.path("data"), None, &mut |_| {});
    assert!(matches!(refused, Err(BackupError::NotEmpty(_))));
    let path = fixture.path("b/data/receivedid.key");
    let mut content = fs::read(&path).unwrap();
    content[0] ^= 1;
    fs::write(&path, content).unwrap();
    // The lock of whoever restores may be there.
    fs::create_dir(fixture.path("new")).unwrap();
    fs::write(fixture.path("new/lock"), b"").unwrap();
    let refused = restore(&fixture.path("b"), &fixture.path("new"), None, &mut |_| {});
    assert!(
        matches!(refused, Err(BackupError::Damaged { path, .. }) if path == "data/receivedid.key")
    );
    assert!(!fixture.path("new/receivedid.key").exists());
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(NOW.plus_secs(1_000)))
}

fn uidvalidity(data: &Path, account: &str) -> UidValidity {
    let account = ReadOnly::open(&data.join("accounts").join(account)).unwrap();
    account.read().unwrap().mailbox(&MailboxName::inbox()).unwrap().uidvalidity
}

#[test]
fn an_account_takes_the_place_of_a_newer_one_and_clients_notice() {
    let fixture = Fixture::new();
    fixture.backup("b", None);
    fixture.deliver("ann", &small(7));
    let Fixture { dir, store } = fixture;
    drop(store);
    let (backup, data) = (dir.path().join("b"), dir.path().join("data"));
    let before = uidvalidity(&data, "ann");
    let restored = restore_account(&backup, ("ann", "ann"), &data, &clock(), &mut |_| {}).unwrap();
    assert!(uidvalidity(&data, "ann") > before);
    let moved = restored.moved.unwrap();
    assert!(moved.starts_with(data.join("moved")));
    let messages = |dir: &Path| {
        let reader = ReadOnly::open(dir).unwrap().read().unwrap();
        let inbox = reader.mailbox(&MailboxName::inbox()).unwrap().id;
        reader.uids(inbox).unwrap().len()
    };
    assert_eq!((messages(&moved), messages(&data.join("accounts/ann"))), (3, 2));
    // Under another name nothing has to make room.
    let restored = restore_account(&backup, ("bob", "rob"), &data, &clock(), &mut |_| {}).unwrap();
    assert_eq!(restored.moved, None);
    assert_eq!(verify_data(&data, true).unwrap().faults, Vec::<String>::new());
    for (name, target) in [("carl", "carl"), ("ann", "../x"), ("ann", "a/b"), ("ann", "")] {
        let refused = restore_account(&backup, (name, target), &data, &clock(), &mut |_| {});
        assert!(matches!(refused, Err(BackupError::NoAccount(_))), "{name} {target}");
    }
}

#[test]
fn a_damaged_backup_leaves_the_account_as_it_is() {
    let fixture = Fixture::new();
    fixture.backup("b", None);
    let Fixture { dir, store } = fixture;
    drop(store);
    let (backup, data) = (dir.path().join("b"), dir.path().join("data"));
    let database = backup.join("data/accounts/ann/index.db");
    let mut content = fs::read(&database).unwrap();
    content[9_000] ^= 1;
    fs::write(&database, content).unwrap();
    let refused = restore_account(&backup, ("ann", "ann"), &data, &clock(), &mut |_| {});
    assert!(matches!(refused, Err(BackupError::Damaged { .. })));
    assert_eq!(verify_data(&data, true).unwrap().faults, Vec::<String>::new());
    assert!(!data.join("moved").exists());
}

/// What takes the place of an account cannot be opened, as one of a later version: the old one comes back.
#[test]
fn an_account_that_cannot_be_opened_takes_no_place() {
    let fixture = Fixture::new();
    let Fixture { dir, store } = fixture;
    drop(store);
    let (to, data) = (dir.path().join("b"), dir.path().join("data"));
    let settings =
        Settings { durability: Durability::Commit, page_cache_kib: 64, statements_max: 1 };
    let database = mox_sqlite::open(&data.join("accounts/bob/index.db"), &settings).unwrap();
    database.pragma_update(None, "user_version", 4_000).unwrap();
    drop(database);
    let options = Options { earlier: None, now: NOW, program: String::new() };
    let source = Source { config: dir.path().join("config"), data: data.clone() };
    let outcome = backup(&source, &to, &options, &mut |_| {}).unwrap();
    assert_eq!(outcome.faults, Vec::<String>::new());
    let before = uidvalidity(&data, "ann");
    let refused = restore_account(&to, ("bob", "ann"), &data, &clock(), &mut |_| {});
    assert!(matches!(refused, Err(BackupError::Account { name, .. }) if name == "ann"));
    assert_eq!(uidvalidity(&data, "ann"), before);
    let store = Store::new(&data, clock(), Arc::new(Policy::default()));
    assert_eq!(store.account("ann").unwrap().check().unwrap(), Vec::<String>::new());
    // Under a name that nobody had, there is nobody then either.
    let refused = restore_account(&to, ("bob", "rob"), &data, &clock(), &mut |_| {});
    assert!(matches!(refused, Err(BackupError::Account { name, .. }) if name == "rob"));
    assert!(!data.join("accounts/rob").exists());
}

#[test]
fn single_messages_are_read_from_a_backup() {
    let fixture = Fixture::new();
    fixture.deliver("ann", &small(7));
    fixture.backup("b", None);
    let read = |mailbox: &str, uids: Option<&[u32]>| {
        let uids: Option<Vec<Uid>> =
            uids.map(|uids| uids.iter().copied().filter_map(Uid::new).collect());
        let mut found = Vec::new();
        let mailbox = MailboxName::parse(mailbox).unwrap();
        let visited: Result<(), BackupError> =
            messages(&fixture.path("b"), "ann", &mailbox, uids.as_deref(), &mut |message| {
                found.push((message.uid.get(), message.content.to_vec().unwrap()));
                Ok(())
            });
        visited.map(|()| found)
    };
    assert_eq!(read("Inbox", Some(&[3])).unwrap(), [(3, small(7))]);
    let all: Vec<u32> = read("Inbox", None).unwrap().into_iter().map(|(uid, _)| uid).collect();
    assert_eq!(all, [1, 2, 3]);
    assert!(matches!(read("Inbox", Some(&[4])), Err(BackupError::NoMessage(_))));
    assert!(matches!(read("None", None), Err(BackupError::NoMessage(_))));
}

/// Copies a directory as a crash leaves it: what was committed may be in logs only.
fn crashed(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            crashed(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

/// What the log alone names was taken for stray, and moved away.
#[test]
fn what_a_crash_left_in_the_log_keeps_its_bodies() {
    let fixture = Fixture::new();
    let queue = Queue::open(&fixture.path("data/queue"), Arc::new(TestRng::new(1))).unwrap();
    let body = queue.stage(&mut &large(1)[..]).unwrap();
    let mut message = NewMessage::new("ann", body);
    let rcpt = Address::parse("b@x.example").unwrap().into();
    message.recipients = vec![NewRecipient::new(ReversePath::Null, rcpt)];
    queue.add(message, NOW).wait().unwrap();
    fixture.deliver("ann", &large(50));
    let data = fixture.path("crashed");
    crashed(&fixture.path("data"), &data);
    for log in ["queue/queue.db-wal", "accounts/ann/index.db-wal"] {
        assert!(fs::metadata(data.join(log)).unwrap().len() > 0, "{log}");
    }
    assert_eq!(fix(&data, &clock()).unwrap(), Vec::<String>::new());
    assert!(!data.join("moved").exists());
    let verified = verify_data(&data, true).unwrap();
    assert_eq!((verified.faults, verified.warnings), (Vec::new(), Vec::new()));
}

#[test]
fn a_data_directory_is_mended_and_nothing_is_removed() {
    let fixture = Fixture::new();
    let Fixture { dir, store } = fixture;
    drop(store);
    let data = dir.path().join("data");
    assert_eq!(fix(&data, &clock()).unwrap(), Vec::<String>::new());
    let folder = data.join("accounts/ann/blob/zz");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("stray"), b"mine").unwrap();
    let done = fix(&data, &clock()).unwrap();
    assert!(done.len() == 1 && done[0].contains("moved to"), "{done:?}");
    let moved = data.join(format!("moved/{}/accounts/ann/blob/zz/stray", NOW.0 + 1_000));
    assert_eq!(fs::read(moved).unwrap(), b"mine");
    assert_eq!(verify_data(&data, true).unwrap().warnings, Vec::<String>::new());
}
