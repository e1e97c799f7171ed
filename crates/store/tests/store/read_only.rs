//! Accounts that are only looked at.

use mox_base::NumSet;
use mox_store::{Expunge, ReadOnly, StoreError};
use rusqlite::Connection;

use crate::support::{Fixture, copy_dir, name, uid};

#[test]
fn an_account_in_use_is_read_beside_its_server() {
    let fixture = Fixture::new();
    fixture.deliver(b"Subject: one\r\n\r\n1\r\n");
    let beside = ReadOnly::open(&fixture.account_dir()).unwrap();
    let reader = beside.read().unwrap();
    fixture.deliver(b"Subject: two\r\n\r\n2\r\n");
    let inbox = fixture.id("Inbox");
    assert_eq!((beside.name(), reader.uids(inbox).unwrap()), ("mjl", vec![1]));
    drop(reader);
    let reader = beside.read().unwrap();
    assert_eq!(reader.uids(inbox).unwrap(), [1, 2]);
    assert!(reader.content(inbox, uid(2)).unwrap().to_vec().unwrap().ends_with(b"2\r\n"));
    drop(reader);
    assert_eq!(beside.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_copy_is_read_without_a_trace_and_its_stray_files_are_told() {
    let fixture = Fixture::new();
    fixture.deliver(b"Subject: one\r\n\r\n1\r\n");
    fixture.settle();
    let copy = fixture.dir.path().join("copy");
    let db = Connection::open(fixture.account_dir().join("index.db")).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    copy_dir(&fixture.account_dir(), &copy);
    for name in ["index.db-wal", "index.db-shm"] {
        std::fs::remove_file(copy.join(name)).unwrap();
    }
    let names = || std::fs::read_dir(&copy).unwrap().count();
    let before = names();
    let still = ReadOnly::open_still(&copy).unwrap();
    assert_eq!(still.check().unwrap(), Vec::<String>::new());
    assert_eq!((names(), still.stray_files().unwrap()), (before, Vec::new()));
    std::fs::create_dir_all(copy.join("blob/ab")).unwrap();
    std::fs::write(copy.join("blob/ab/stray"), b"x").unwrap();
    assert_eq!(still.stray_files().unwrap(), ["ab/stray"]);
    drop(still);
    let db = Connection::open(copy.join("index.db")).unwrap();
    db.pragma_update(None, "user_version", 3).unwrap();
    drop(db);
    assert!(matches!(ReadOnly::open_still(&copy), Err(StoreError::TooOld { found: 3 })));
}

#[test]
fn nothing_is_erased_while_that_is_held_off() {
    let fixture = Fixture::new();
    let noise: Vec<u8> =
        (0..400_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fixture.deliver(&[b"Subject: large\r\n\r\n".to_vec(), noise].concat());
    let files = || {
        let folders = std::fs::read_dir(fixture.account_dir().join("blob")).unwrap();
        folders
            .map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count())
            .sum::<usize>()
    };
    assert_eq!(files(), 1);
    let (first, second) = (fixture.store.hold_erasure(), fixture.store.hold_erasure());
    let all = Expunge { uids: NumSet::all(), only_deleted: false };
    fixture.account.expunge(fixture.id("Inbox"), all).wait().unwrap();
    for hold in [first, second] {
        for _ in 0..3 {
            fixture.store.tick();
            fixture.account.subscribe_to(name("Inbox")).wait().unwrap();
        }
        assert_eq!(files(), 1);
        assert!(!fixture.account.is_tidy().unwrap());
        drop(hold);
    }
    fixture.settle();
    assert_eq!(files(), 0);
}
