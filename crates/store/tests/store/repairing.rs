//! What is derived, or was damaged, is mended.

use std::io::Cursor;

use mox_base::{Flags, MailboxName, NumSet, UidValidity, UnixSeconds};
use mox_store::{Expunge, NewMessage, Repair, RepairStep};
use rusqlite::Connection;

use crate::support::{Fixture, START, name, set};

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

/// A day's mail of a busy mailbox: talks by reference and by subject alone, and the same message again.
fn busy_day(fixture: &Fixture, count: usize) -> Vec<NewMessage> {
    let mut chance = 1_u64;
    let mut any = |below: usize| {
        chance =
            chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(chance >> 33).unwrap() % below
    };
    let message = |number: usize| {
        let (talk, before) = (any(20), any(number + 1));
        let fields = match any(6) {
            0 => format!("Message-ID: <{number}@x>\r\nSubject: talk {talk}\r\n"),
            1 => format!("Message-ID: <{before}@x>\r\nSubject: Re: other {talk}\r\n"),
            2 | 3 => format!("Message-ID: <{number}@x>\r\nSubject: Re: alert\r\n"),
            _ => format!(
                "Message-ID: <{number}@x>\r\nSubject: Re: talk {talk}\r\n\
                 References: <{before}@x> <{}@x>\r\n",
                any(number + 1)
            ),
        };
        let received = START.plus_secs(i64::try_from(number).unwrap() * 60);
        let message = fixture.message(format!("{fields}\r\nbody\r\n").as_bytes());
        NewMessage { received: Some(received.into()), ..message }
    };
    (0..count).map(message).collect()
}

/// Of all messages: id, thread, ancestors and what is missing.
fn places(fixture: &Fixture) -> Vec<(i64, i64, Option<String>, i64)> {
    let db = Connection::open(fixture.account_dir().join("index.db")).unwrap();
    let sql = "SELECT m.id, m.thread, t.thread_parents, t.thread_bits FROM msg m \
         JOIN meta t ON t.id = m.id ORDER BY m.id";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)));
    rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// As after a takeover of an account without threads: in steps, which may be cut off and begun anew, they
/// become those that deliveries one by one would have made. Clients hear nothing of it.
#[test]
fn threads_found_anew_are_those_of_deliveries() {
    const MESSAGES: usize = 1_300;
    let fixture = Fixture::new();
    fixture.add("Inbox", busy_day(&fixture, MESSAGES)).unwrap();
    let (want, modseq) = (places(&fixture), fixture.account.read().unwrap().modseq());
    let threads: std::collections::BTreeSet<_> = want.iter().map(|place| place.1).collect();
    assert!((20..MESSAGES / 2).contains(&threads.len()), "{}", threads.len());
    let lose = "UPDATE msg SET thread = id; \
        UPDATE meta SET thread_bits = 0, thread_parents = NULL";
    damage(&fixture, lose);
    let step = fixture.account.repair_some(Repair::Threads, 0).unwrap();
    assert!(step.looked < 600 && step.changed > 0 && step.next.is_some(), "{step:?}");
    assert_ne!(places(&fixture), want);
    let (looked, changed, unreadable) = repair(&fixture, Repair::Threads);
    assert!(looked == MESSAGES as u64 && changed > 0 && unreadable == 0);
    assert_eq!(places(&fixture), want);
    assert_eq!(fixture.account.read().unwrap().modseq(), modseq);
}

/// Whoever sends many messages with one Message-ID, each with a subject of its own, makes none of them cost
/// more: of a hundred, the first by subject, one is the parent, or none.
#[test]
fn many_subjects_of_one_message_id_are_not_all_looked_at() {
    let fixture = Fixture::new();
    let one = |number: usize| {
        let text = format!("Message-ID: <1@x>\r\nSubject: s{number:03}\r\n\r\n{number}\r\n");
        fixture.message(text.as_bytes())
    };
    // Those that come later stand before in the index.
    fixture.add("Inbox", (0..250).rev().map(one).collect()).unwrap();
    assert!(places(&fixture).iter().all(|place| place.1 == 1));
    // Found anew, the first 150 have a hundred before them that came later.
    repair(&fixture, Repair::Threads);
    let threads: Vec<_> = places(&fixture).iter().map(|place| place.1).collect();
    let want: Vec<_> = (1..=250).map(|id| id.min(151)).collect();
    assert_eq!(threads, want);
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

/// An account that was put back from a backup gave out UIDVALIDITYs after it that it knows nothing of: at
/// most one in two seconds, so that half the seconds since 1970 are above all of them.
#[test]
fn uidvalidity_does_not_repeat_what_was_given_out_after_a_backup() {
    let fixture = Fixture::new();
    let least = u32::try_from(START.0 / 2).unwrap();
    assert!(uidvalidities(&fixture).iter().all(|one| (least..least + 20).contains(&one.get())));
    fixture.clock.set(START.plus_secs(1_000));
    let bumped = fixture.account.bump_uidvalidity(Some(name("Sent")), None).wait().unwrap();
    assert!(bumped[0].1.get() >= least + 500, "{bumped:?}");
    // A clock that was wrong, far in the future, leaves numbers for later.
    fixture.clock.set(UnixSeconds(i64::MAX / 4));
    let bumped = fixture.account.bump_uidvalidity(Some(name("Sent")), None).wait().unwrap();
    assert!(bumped[0].1.get() <= u32::MAX / 2 + 1, "{bumped:?}");
}

/// What an administrator left in the folder of bodies keeps no account closed.
#[test]
fn a_file_among_the_folders_of_bodies_is_passed_over() {
    let fixture = Fixture::new();
    fixture.deliver(b"Subject: x\r\n\r\n");
    std::fs::create_dir_all(fixture.account_dir().join("blob")).unwrap();
    std::fs::write(fixture.account_dir().join("blob/notes.txt"), b"x").unwrap();
    let policy = std::sync::Arc::new(mox_store::Policy::default());
    let clock = std::sync::Arc::<mox_testkit::ManualClock>::clone(&fixture.clock);
    let again = mox_store::Store::new(fixture.dir.path(), clock, policy);
    let account = again.account("mjl").unwrap();
    let inbox = account.read().unwrap().mailbox(&MailboxName::inbox()).unwrap();
    assert_eq!(inbox.counts.total, 1);
    assert!(fixture.account_dir().join("blob/notes.txt").exists());
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
