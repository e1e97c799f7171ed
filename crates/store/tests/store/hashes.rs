//! The checksums of messages: made at staging, filled in for old ones, looked up, and told by.

use std::io::Cursor;

use mox_base::{Flags, NumSet};
use mox_store::{BodyHash, Expunge, NewMessage};
use rusqlite::Connection;

use crate::support::{Fixture, name, set, uid};

fn sha256(data: &[u8]) -> BodyHash {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data);
    digest.as_ref().try_into().unwrap()
}

/// Bytes that cannot be compressed.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56).to_le_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

#[track_caller]
fn check_staged(fixture: &Fixture, prefix: &[u8], text: &[u8]) -> u32 {
    let content = [b"Subject: x\r\n\r\n", text].concat();
    let staged = fixture.account.stage(prefix.to_vec(), &mut Cursor::new(&content)).unwrap();
    let whole = [prefix, &content].concat();
    let (hash, want) = (staged.hash(), sha256(&whole));
    assert_eq!(hash, want, "{} bytes", text.len());
    let message = NewMessage {
        content: staged,
        flags: Flags::NONE,
        keywords: Vec::new(),
        received: None,
        envelope: None,
    };
    let added = fixture.add("Inbox", vec![message]).unwrap();
    let found = fixture.account.read().unwrap().find_hash(added.mailbox, &hash).unwrap();
    assert_eq!(found, Some(added.uids[0]));
    added.uids[0].get()
}

/// One of each way in which a text is stored.
#[test]
fn the_checksum_is_of_the_whole_message_however_it_is_stored() {
    let fixture = Fixture::new();
    check_staged(&fixture, b"", b"");
    check_staged(&fixture, b"Received: here\r\n", b"short\r\n");
    check_staged(&fixture, b"", &b"all alike\r\n".repeat(1_000));
    check_staged(&fixture, b"", &noise(300 << 10));
    check_staged(&fixture, b"X: y\r\n", &b"alike and long\r\n".repeat(100_000));
    check_staged(&fixture, b"X: y\r\n", &noise((1 << 20) + 1));
    let half = noise(600 << 10);
    check_staged(&fixture, b"", &[&b"zeroes first\r\n".repeat(50_000)[..], &half, &half].concat());
}

#[test]
fn a_message_is_found_where_it_is_and_no_longer_where_it_was() {
    let fixture = Fixture::new();
    let content = b"Subject: one\r\n\r\nbody\r\n";
    let hash = sha256(content);
    fixture.deliver(b"Subject: other\r\n\r\nbody\r\n");
    fixture.deliver(content);
    let inbox = fixture.id("Inbox");
    fixture.account.copy(inbox, set(&[2]), name("Sent")).wait().unwrap();
    let find = |mailbox: &str| {
        let reader = fixture.account.read().unwrap();
        reader.find_hash(fixture.id(mailbox), &hash).unwrap()
    };
    assert_eq!((find("Inbox"), find("Sent"), find("Archive")), (Some(uid(2)), Some(uid(1)), None));
    fixture.account.move_to(inbox, set(&[2]), name("Archive")).wait().unwrap();
    assert_eq!((find("Inbox"), find("Sent"), find("Archive")), (None, Some(uid(1)), Some(uid(1))));
    for mailbox in ["Sent", "Archive"] {
        let all = Expunge { uids: NumSet::all(), only_deleted: false };
        fixture.account.expunge(fixture.id(mailbox), all).wait().unwrap();
        assert_eq!(find(mailbox), None);
    }
    fixture.settle();
}

/// Makes of the account one that was just brought up to date from version 3.
fn forget_hashes(fixture: &Fixture) {
    let db = Connection::open(fixture.account_dir().join("index.db")).unwrap();
    db.execute_batch(
        "DELETE FROM body_hash; \
         UPDATE unhashed SET mark = 0, until = (SELECT max(id) FROM body) + 1",
    )
    .unwrap();
}

fn hashes(fixture: &Fixture) -> u32 {
    let db = Connection::open(fixture.account_dir().join("index.db")).unwrap();
    db.query_row("SELECT count(*) FROM body_hash WHERE length(hash) = 32", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn old_messages_get_their_checksum_by_and_by() {
    let mut fixture = Fixture::new();
    fixture.deliver_many(200);
    fixture.deliver(&[b"Subject: large\r\n\r\n".to_vec(), noise(400 << 10)].concat());
    forget_hashes(&fixture);
    fixture.check();
    fixture.deliver(b"Subject: new\r\n\r\nbody\r\n");
    // Opened anew, as after a change of the program.
    fixture.account = fixture.store.account("other").unwrap();
    fixture.clock.advance(std::time::Duration::from_secs(61));
    while fixture.store.open_accounts() > 1 {
        fixture.store.tick();
        std::thread::yield_now();
    }
    fixture.account = fixture.store.account("mjl").unwrap();
    fixture.settle();
    assert_eq!(hashes(&fixture), 202);
    let hash = sha256(b"Subject: number 7\r\n\r\nbody\r\n");
    let found = fixture.account.read().unwrap().find_hash(fixture.id("Inbox"), &hash).unwrap();
    assert_eq!(found, Some(uid(8)));
}

#[test]
fn a_damaged_message_is_named() {
    let fixture = Fixture::new();
    fixture.deliver(b"Subject: well\r\n\r\nbody\r\n");
    fixture.deliver(b"Subject: x\r\n\r\nplain\r\n");
    fixture.deliver(&[b"Subject: large\r\n\r\n".to_vec(), noise(400 << 10)].concat());
    let inbox = fixture.id("Inbox");
    fixture.account.copy(inbox, set(&[2]), name("Sent")).wait().unwrap();
    fixture.settle();
    fixture.check();
    let db = Connection::open(fixture.account_dir().join("index.db")).unwrap();
    let file: String =
        db.query_row("SELECT file FROM body WHERE file IS NOT NULL", [], |row| row.get(0)).unwrap();
    let blob = fixture.account_dir().join("blob").join(file);
    let well = std::fs::read(&blob).unwrap();
    let mut damaged = well.clone();
    damaged[123_456] ^= 4;
    std::fs::write(&blob, damaged).unwrap();
    db.execute("UPDATE body SET text = cast('plaiN' || x'0d0a' AS BLOB) WHERE id = 2", []).unwrap();
    let faults = fixture.account.check().unwrap();
    let differs = "content differs from its checksum";
    for place in ["Inbox: uid 2", "Sent: uid 1", "Inbox: uid 3"] {
        let told = format!("{place}: {differs}");
        assert!(faults.contains(&told), "{told}: {faults:?}");
    }
    assert!(!faults.iter().any(|fault| fault.contains("uid 1: c") && fault.contains("Inbox")));
    std::fs::write(&blob, well).unwrap();
    db.execute("UPDATE body SET text = cast('plain' || x'0d0a' AS BLOB) WHERE id = 2", []).unwrap();
    db.execute("DELETE FROM body_hash WHERE body = 1", []).unwrap();
    assert_eq!(fixture.account.check().unwrap(), ["Inbox: uid 1: checksum missing"]);
    db.execute("INSERT INTO body_hash VALUES(1, ?1)", [sha256(b"Subject: well\r\n\r\nbody\r\n")])
        .unwrap();
}

#[test]
fn a_part_each_night_reads_every_message_in_time() {
    let fixture = Fixture::new();
    fixture.deliver_many(40);
    for number in 0..12 {
        let text = noise((1 << 20) + number);
        fixture.deliver(&[b"Subject: large\r\n\r\n".to_vec(), text].concat());
    }
    let whole = |parts: u32| {
        let (mut faults, mut calls) = (Vec::new(), 0);
        for part in 0..parts {
            let mut after = Some(0);
            while let Some(from) = after {
                let checked = fixture.account.check_part(part, parts, from).unwrap();
                faults.extend(checked.faults);
                after = checked.next;
                calls += 1;
            }
        }
        faults.sort();
        (faults, calls)
    };
    // More than is read in one go.
    assert_eq!(whole(1), (Vec::new(), 2));
    let db = Connection::open(fixture.account_dir().join("index.db")).unwrap();
    db.execute("UPDATE body SET text = x'78' WHERE id IN (3, 14)", []).unwrap();
    for parts in [1, 7, 30] {
        let (faults, _) = whole(parts);
        let places: Vec<_> = faults.iter().map(|f| f.split(": ").nth(1).unwrap()).collect();
        assert_eq!(places, ["uid 14", "uid 3"], "{parts}");
    }
    assert_eq!(fixture.account.check_structure(true).unwrap(), Vec::<String>::new());
    db.execute("UPDATE mailbox SET total = 3 WHERE name = 'Inbox'", []).unwrap();
    assert_eq!(fixture.account.check_structure(false).unwrap().len(), 1);
    fixture.account.recount().wait().unwrap();
    let all = Expunge { uids: NumSet::all(), only_deleted: false };
    fixture.account.expunge(fixture.id("Inbox"), all).wait().unwrap();
    fixture.settle();
}
