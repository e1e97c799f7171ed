//! What is derived, or was damaged, is mended.

use std::io::Cursor;

use mox_base::{Flags, MailboxName, NumSet, UidValidity};
use mox_store::{Expunge, NewMessage, Repair, RepairStep};
use rusqlite::Connection;

use crate::support::{Fixture, name, set};

/// Changes the database behind the back of the store.
fn damage(fixture: &Fixture, sql: &str) {
    Connection::open(fixture.account_dir().join("index.db")).unwrap().execute_batch(sql).unwrap();
}

fn faults(fixture: &Fixture) -> Vec<String> {
    fixture.account.check().unwrap()
}

/// Runs all steps. Returns messages looked at, changed and unreadable.
fn repair(fixture: &Fixture, what: Repair) -> (u64, u64, u64) {
    let (mut sum, mut after) = ((0, 0, 0), Some(0));
    while let Some(from) = after {
        let step = fixture.account.repair_some(what, from).unwrap();
        let RepairStep { next, looked, changed, unreadable } = step;
        assert!(next.is_none_or(|next| next > from));
        sum = (sum.0 + looked, sum.1 + changed, sum.2 + unreadable);
        after = next;
    }
    sum
}

#[test]
fn counts_are_made_right() {
    let fixture = Fixture::new();
    fixture.deliver_many(3);
    damage(&fixture, "UPDATE mailbox SET total = 7, size = 1 WHERE name = 'Inbox'");
    assert_eq!(faults(&fixture).len(), 1);
    let wrong = fixture.account.recount().wait().unwrap();
    let told: Vec<_> = wrong.iter().map(|(name, was)| (name.as_str(), was.total)).collect();
    assert_eq!(told, [("Inbox", 7)]);
    assert_eq!(fixture.account.recount().wait().unwrap(), []);
}

#[test]
fn sizes_are_made_right_and_with_them_what_is_counted() {
    let fixture = Fixture::new();
    fixture.deliver_many(1_200);
    damage(&fixture, "UPDATE msg SET size = 5 WHERE uid IN (2, 700)");
    assert!(faults(&fixture).len() > 2);
    assert_eq!(repair(&fixture, Repair::Sizes), (1_200, 2, 0));
    assert_eq!(faults(&fixture), Vec::<String>::new());
    assert_eq!(repair(&fixture, Repair::Sizes), (1_200, 0, 0));
}

#[test]
fn messages_are_read_again() {
    let fixture = Fixture::new();
    fixture.deliver(b"Subject: one\r\nDate: Fri, 20 Nov 2026 08:00:00 +0100\r\n\r\n1\r\n");
    let content = &mut Cursor::new(b"Subject: two\r\nMessage-ID: <2@x>\r\n\r\n2\r\n");
    let content = fixture.account.stage(b"Received: here\r\n".to_vec(), content).unwrap();
    let (flags, keywords) = (Flags::NONE, Vec::new());
    let message = NewMessage { content, flags, keywords, received: None, envelope: None };
    fixture.add("Inbox", vec![message]).unwrap();
    let large = [b"Subject: large\r\n\r\n".to_vec(), b"text\r\n".repeat(400_000)].concat();
    fixture.deliver(&large);
    assert_eq!(repair(&fixture, Repair::Parse), (3, 0, 0));
    assert_eq!(repair(&fixture, Repair::ParseBroken), (3, 0, 0));
    damage(
        &fixture,
        "UPDATE meta SET structure = x'00', preview = 'x', message_id = NULL WHERE id = 2; \
         UPDATE meta SET preview = 'y' WHERE id = 3; UPDATE msg SET sent = 7 WHERE id = 1",
    );
    assert_eq!(repair(&fixture, Repair::ParseBroken), (3, 1, 0));
    assert_eq!(repair(&fixture, Repair::Parse), (3, 2, 0));
    assert_eq!(repair(&fixture, Repair::Parse), (3, 0, 0));
    let db = Connection::open(fixture.account_dir().join("index.db")).unwrap();
    let kept: String =
        db.query_row("SELECT message_id FROM meta WHERE id = 2", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "2@x");
}

#[test]
fn threads_are_found_anew() {
    let fixture = Fixture::new();
    fixture.deliver(b"Message-ID: <1@x>\r\nSubject: a\r\n\r\n1\r\n");
    fixture.deliver(b"Message-ID: <2@x>\r\nSubject: Re: a\r\nReferences: <1@x>\r\n\r\n2\r\n");
    fixture.deliver(b"Message-ID: <3@x>\r\nSubject: Re: a\r\nReferences: <1@x> <2@x>\r\n\r\n3\r\n");
    fixture.deliver(b"Message-ID: <4@x>\r\nSubject: b\r\n\r\n4\r\n");
    let threads = || [1, 2, 3, 4].map(|uid| fixture.row("Inbox", uid).1);
    assert_eq!(threads(), [1, 1, 1, 4]);
    assert_eq!(repair(&fixture, Repair::Threads), (4, 0, 0));
    // Muted stays what is.
    damage(
        &fixture,
        "UPDATE msg SET thread = id; UPDATE meta SET thread_parents = NULL; \
         UPDATE meta SET thread_bits = 2 WHERE id = 4",
    );
    assert_eq!(repair(&fixture, Repair::Threads), (4, 2, 0));
    assert_eq!(threads(), [1, 1, 1, 4]);
    let db = Connection::open(fixture.account_dir().join("index.db")).unwrap();
    let bits: i64 =
        db.query_row("SELECT thread_bits FROM meta WHERE id = 4", [], |row| row.get(0)).unwrap();
    assert_eq!(bits, 2);
}

#[test]
fn numbers_that_are_too_low_are_raised() {
    let fixture = Fixture::new();
    fixture.deliver_many(3);
    fixture.account.expunge(fixture.id("Inbox"), last()).wait().unwrap();
    damage(&fixture, "UPDATE mailbox SET uidnext = 2 WHERE name = 'Inbox'");
    assert!(!faults(&fixture).is_empty());
    assert_eq!(fixture.account.fix_numbers().wait().unwrap(), 1);
    assert_eq!(fixture.account.fix_numbers().wait().unwrap(), 0);
    // Above the one that is gone.
    assert_eq!(fixture.deliver(b"Subject: new\r\n\r\n").get(), 4);
}

fn last() -> Expunge {
    Expunge { uids: set(&[3]), only_deleted: false }
}

fn uidvalidities(fixture: &Fixture) -> Vec<UidValidity> {
    let mailboxes = fixture.account.read().unwrap().mailboxes().unwrap();
    mailboxes.into_iter().map(|mailbox| mailbox.uidvalidity).collect()
}

#[test]
fn uidvalidity_grows_and_sessions_hear_of_it() {
    let fixture = Fixture::new();
    let before = uidvalidities(&fixture);
    let subscription = fixture.account.subscribe();
    let bumped = fixture.account.bump_uidvalidity(Some(name("Sent")), None).wait().unwrap();
    assert!(subscription.take().overflow);
    assert!(bumped.len() == 1 && bumped[0].0 == name("Sent"));
    assert!(bumped[0].1 > *before.iter().max().unwrap());
    let above = UidValidity::new(4_000_000_000);
    let all = fixture.account.bump_uidvalidity(None, above).wait().unwrap();
    assert_eq!(all.len(), before.len());
    assert!(uidvalidities(&fixture).into_iter().all(|now| Some(now) > above));
    assert!(!fixture.account.read().unwrap().mailboxes().unwrap().is_empty());
    let none = fixture.account.bump_uidvalidity(Some(name("None")), None).wait();
    assert!(none.is_err());
    drop(subscription);
}

#[test]
fn uids_are_given_anew_in_their_order() {
    let fixture = Fixture::new();
    fixture.deliver_many(6);
    let inbox = fixture.id("Inbox");
    let subscription = fixture.account.subscribe();
    let gone = |uids: &[u32]| Expunge { uids: set(uids), only_deleted: false };
    fixture.account.expunge(inbox, gone(&[1, 2])).wait().unwrap();
    fixture.settle();
    drop(subscription);
    fixture.settle();
    // One that waits for its erasure has a number too.
    let subscription = fixture.account.subscribe();
    fixture.account.expunge(inbox, gone(&[4])).wait().unwrap();
    let before = fixture.mailbox("Inbox").uidvalidity;
    let text = fixture.body("Inbox", 6).unwrap();
    let changed = fixture.account.reassign_uids(Some(MailboxName::inbox())).wait().unwrap();
    assert_eq!(changed, 3);
    assert_eq!(fixture.uids("Inbox"), [1, 3, 4]);
    assert_eq!(fixture.body("Inbox", 4).unwrap(), text);
    assert!(fixture.mailbox("Inbox").uidvalidity > before);
    drop(subscription);
    fixture.settle();
    assert_eq!(fixture.account.reassign_uids(None).wait().unwrap(), 2);
    assert_eq!(fixture.uids("Inbox"), [1, 2, 3]);
    assert_eq!(fixture.deliver(b"Subject: new\r\n\r\n").get(), 4);
    let all = Expunge { uids: NumSet::all(), only_deleted: false };
    fixture.account.expunge(inbox, all).wait().unwrap();
}
