//! Adding, flagging, copying, moving and removing messages.

use std::io::{Cursor, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::support::{Fixture, START, kinds, name, set, uid};
use mox_base::{Flags, Keyword, NumSet};
use mox_store::{
    ChangeKind, Columns, Expunge, FlagChange, FlagOp, INLINE_BYTES_MAX, NewMessage, Policy,
    RealDisk, Store, StoreError,
};
use mox_testkit::{ManualClock, TestRng};

const SMALL: &[u8] = b"From: <a@example.org>\r\nSubject: small\r\n\r\nhello\r\n";

fn keyword(text: &str) -> Keyword {
    Keyword::parse(text).unwrap()
}

fn flag(op: FlagOp, flags: Flags, keywords: &[&str]) -> FlagChange {
    let keywords = keywords.iter().map(|text| keyword(text)).collect();
    FlagChange { op, flags, keywords, unchanged_since: None }
}

/// A message that does not compress: random base64 lines.
fn large(bytes: usize) -> Vec<u8> {
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    let rng = TestRng::new(7);
    while message.len() < bytes {
        for _ in 0..8 {
            message.extend_from_slice(format!("{:016x}", rng.next_u64()).as_bytes());
        }
        message.extend_from_slice(b"\r\n");
    }
    message
}

#[test]
fn a_message_comes_back_as_it_was() {
    let fixture = Fixture::new();
    let incompressible: Vec<u8> = {
        let rng = TestRng::new(3);
        let noise = std::iter::repeat_with(|| rng.next_u64().to_le_bytes()).take(80_000);
        b"Subject: noise\r\n\r\n".iter().copied().chain(noise.flatten()).collect()
    };
    let zeros = [b"Subject: zeros\r\n\r\n".as_slice(), &vec![b'0'; 5_000_000]].concat();
    let big_header = [b"X: ".as_slice(), &vec![b'x'; 700_000], b"\r\n\r\nbody\r\n"].concat();
    let messages: [&[u8]; 8] = [
        SMALL,
        b"",
        b"no header at all",
        b"\r\nempty header\r\n",
        &large(3_000_000),
        &incompressible,
        &zeros,
        &big_header,
    ];
    for (number, message) in (1..).zip(messages) {
        assert_eq!(fixture.deliver(message).get(), number);
        assert_eq!(fixture.body("Inbox", number).unwrap(), message, "message {number}");
    }
    assert_eq!(fixture.mailbox("Inbox").counts.messages(), 8);
}

#[test]
fn any_range_of_a_message_can_be_read() {
    let fixture = Fixture::new();
    let prefix = b"Received: by here\r\n".to_vec();
    let dull = [b"\r\n".as_slice(), &vec![b'a'; 2_000_000]].concat();
    for content in [SMALL.to_vec(), large(1_500_000), dull] {
        let staged = fixture.account.stage(prefix.clone(), &mut Cursor::new(&content)).unwrap();
        let message = NewMessage {
            content: staged,
            flags: Flags::NONE,
            keywords: Vec::new(),
            received: None,
            envelope: None,
        };
        let uid = fixture.add("Inbox", vec![message]).unwrap().uids[0];
        let reader = fixture.account.read().unwrap();
        let stored = reader.content(fixture.id("Inbox"), uid).unwrap();
        let whole = [prefix.as_slice(), &content].concat();
        assert_eq!(stored.size(), whole.len() as u64);
        let end = whole.len();
        for range in [0..end, 0..1, 5..40, 18..22, end - 5..end, end / 2..end / 2 + 9, end..end + 5]
        {
            let mut read = Vec::new();
            let wanted = range.start as u64..range.end as u64;
            stored.reader(wanted).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, whole[range.start..range.end.min(end)], "{range:?}");
        }
    }
}

#[test]
fn large_bodies_are_files_and_go_with_the_message() {
    let fixture = Fixture::new();
    fixture.deliver(&large(INLINE_BYTES_MAX * 4));
    let files = || {
        let found = std::fs::read_dir(fixture.account_dir().join("blob")).unwrap();
        found.map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap().count()).sum::<usize>()
    };
    assert_eq!(files(), 1);
    // Copies share it.
    let id = fixture.id("Inbox");
    fixture.account.copy(id, NumSet::all(), name("Archive")).wait().unwrap();
    fixture
        .account
        .expunge(id, Expunge { uids: NumSet::all(), only_deleted: false })
        .wait()
        .unwrap();
    fixture.settle();
    assert_eq!(files(), 1);
    let id = fixture.id("Archive");
    fixture
        .account
        .expunge(id, Expunge { uids: NumSet::all(), only_deleted: false })
        .wait()
        .unwrap();
    fixture.settle();
    assert_eq!(files(), 0);
    assert_eq!(fixture.account.read().unwrap().used_bytes(), 0);
}

#[test]
fn a_message_that_is_staged_and_not_added_leaves_nothing() {
    let fixture = Fixture::new();
    drop(fixture.message(&large(2_000_000)));
    let missing = fixture.add("nothere", vec![fixture.message(&large(2_000_000))]);
    assert!(matches!(missing, Err(StoreError::NoMailbox)));
    fixture.check();
}

#[test]
fn several_messages_are_added_together_or_not_at_all() {
    let quota = Policy { quota_bytes: Some(SMALL.len() as u64 * 2), ..Policy::default() };
    let fixture = Fixture::with(quota, RealDisk);
    let three = vec![fixture.message(SMALL), fixture.message(SMALL), fixture.message(SMALL)];
    assert!(matches!(fixture.add("Inbox", three), Err(StoreError::OverQuota { .. })));
    assert_eq!(fixture.uids("Inbox"), [0_u32; 0]);
    let two = vec![fixture.message(SMALL), fixture.message(SMALL)];
    let added = fixture.add("Inbox", two).unwrap();
    assert_eq!(added.uids, [uid(1), uid(2)]);
    assert!(matches!(
        fixture.account.copy(fixture.id("Inbox"), set(&[1]), name("Inbox")).wait(),
        Err(StoreError::SameMailbox)
    ));
    fixture.account.create_mailbox(name("x"), mox_base::SpecialUse::NONE).wait().unwrap();
    assert!(matches!(
        fixture.account.copy(fixture.id("Inbox"), set(&[1]), name("x")).wait(),
        Err(StoreError::OverQuota { .. })
    ));
}

#[test]
fn quota_is_free_again_after_expunge() {
    let quota = Policy { quota_bytes: Some(SMALL.len() as u64), ..Policy::default() };
    let fixture = Fixture::with(quota, RealDisk);
    fixture.deliver(SMALL);
    let id = fixture.id("Inbox");
    // A session may still read what was removed: it no longer counts nevertheless.
    let subscription = fixture.account.subscribe();
    fixture.account.expunge(id, Expunge { uids: set(&[1]), only_deleted: false }).wait().unwrap();
    assert_eq!(fixture.deliver(SMALL), uid(2));
    drop(subscription);
    fixture.settle();
    assert_eq!(fixture.account.read().unwrap().used_bytes(), SMALL.len() as u64);
}

/// RFC 9208 §4.1.4 counts what EXPUNGE would free.
#[test]
fn deleted_messages_are_summed_up() {
    let fixture = Fixture::new();
    fixture.deliver_many(3);
    let id = fixture.id("Inbox");
    let sizes = || {
        let counts = fixture.mailbox("Inbox").counts;
        (counts.size, counts.deleted_size)
    };
    let (all, none) = sizes();
    assert_eq!(none, 0);
    let delete = |op| flag(op, Flags::DELETED, &[]);
    fixture.account.change_flags(id, set(&[1, 2]), delete(FlagOp::Add)).wait().unwrap();
    let (_, deleted) = sizes();
    fixture.account.change_flags(id, set(&[2]), delete(FlagOp::Remove)).wait().unwrap();
    let (_, one) = sizes();
    assert!(0 < one && one < deleted && deleted < all);
    fixture.account.expunge(id, Expunge { uids: set(&[1, 2]), only_deleted: true }).wait().unwrap();
    assert_eq!(sizes(), (all - one, 0));
    fixture.check();
}

#[test]
fn flags_change_with_one_modseq_for_all() {
    let fixture = Fixture::new();
    fixture.deliver_many(3);
    let id = fixture.id("Inbox");
    let before = fixture.mailbox("Inbox").modseq;
    let change = flag(FlagOp::Add, Flags::SEEN | Flags::DELETED, &["Label", "other"]);
    let outcome = fixture.account.change_flags(id, set(&[1, 3, 9]), change).wait().unwrap();
    let modseq = fixture.mailbox("Inbox").modseq;
    assert!(modseq > before && outcome.changed);
    assert!(outcome.messages.iter().all(|row| row.modseq == modseq));
    assert_eq!(outcome.messages.len(), 2);
    let counts = fixture.mailbox("Inbox").counts;
    assert_eq!((counts.total, counts.deleted, counts.unread, counts.unseen), (1, 2, 1, 1));
    // Nothing changes: no new modseq, but an answer.
    let change = flag(FlagOp::Add, Flags::SEEN, &["label"]);
    let outcome = fixture.account.change_flags(id, set(&[1]), change).wait().unwrap();
    assert!(!outcome.changed && outcome.messages.len() == 1);
    assert_eq!(fixture.mailbox("Inbox").modseq, modseq);
    let change = flag(FlagOp::Remove, Flags::DELETED, &["label"]);
    let outcome = fixture.account.change_flags(id, set(&[1]), change).wait().unwrap();
    assert_eq!(outcome.messages[0].flags, Flags::SEEN);
    assert_eq!(outcome.messages[0].keywords, [keyword("other")]);
    let change = flag(FlagOp::Replace, Flags::FLAGGED, &["new"]);
    let outcome = fixture.account.change_flags(id, set(&[1]), change).wait().unwrap();
    assert_eq!(outcome.messages[0].flags, Flags::FLAGGED);
    assert_eq!(outcome.messages[0].keywords, [keyword("new")]);
    // Keywords are never forgotten by the mailbox.
    assert_eq!(fixture.mailbox("Inbox").keywords, ["label", "new", "other"].map(keyword));
}

#[test]
fn a_conditional_change_leaves_newer_messages_alone() {
    let fixture = Fixture::new();
    fixture.deliver_many(2);
    let id = fixture.id("Inbox");
    let since = fixture.mailbox("Inbox").modseq;
    let seen = flag(FlagOp::Add, Flags::SEEN, &[]);
    fixture.account.change_flags(id, set(&[2]), seen).wait().unwrap();
    let change =
        FlagChange { unchanged_since: Some(since), ..flag(FlagOp::Add, Flags::FLAGGED, &[]) };
    let outcome = fixture.account.change_flags(id, NumSet::all(), change).wait().unwrap();
    assert_eq!(outcome.messages.iter().map(|row| row.uid).collect::<Vec<_>>(), [uid(1)]);
    assert_eq!(outcome.modified.iter().map(|row| row.uid).collect::<Vec<_>>(), [uid(2)]);
    assert_eq!(outcome.modified[0].flags, Flags::SEEN, "as it is, not as it would be");
}

#[test]
fn copies_keep_date_flags_and_keywords() {
    let fixture = Fixture::new();
    fixture.deliver_many(3);
    let id = fixture.id("Inbox");
    let change = flag(FlagOp::Add, Flags::FLAGGED, &["label"]);
    fixture.account.change_flags(id, set(&[3]), change).wait().unwrap();
    fixture.clock.set(START.plus_secs(100));
    let outcome = fixture.account.copy(id, set(&[1, 3, 7]), name("Archive")).wait().unwrap();
    assert_eq!(outcome.uids, [(uid(1), uid(1)), (uid(3), uid(2))]);
    assert_eq!(fixture.flags("Archive", 2), Flags::FLAGGED);
    assert_eq!(fixture.body("Archive", 1).unwrap(), fixture.body("Inbox", 1).unwrap());
    assert_eq!(fixture.mailbox("Archive").keywords, [keyword("label")]);
    let mut dates = Vec::new();
    let reader = fixture.account.read().unwrap();
    let archive = reader.mailbox(&name("Archive")).unwrap().id;
    let visited = reader.fetch(archive, &[2], Columns::default(), &mut |row| {
        dates.push((row.received, row.saved));
        ControlFlow::Continue(())
    });
    assert!(visited.unwrap().is_continue());
    assert_eq!(dates, [(START.into(), START.plus_secs(100))]);
    let missing = fixture.account.copy(id, set(&[1]), name("nothere")).wait();
    assert!(matches!(missing, Err(StoreError::NoMailbox)));
}

#[test]
fn moved_messages_keep_their_content_and_can_be_read_where_they_were() {
    let fixture = Fixture::new();
    fixture.deliver_many(3);
    let id = fixture.id("Inbox");
    let subscription = fixture.account.subscribe();
    let content = fixture.body("Inbox", 2).unwrap();
    let outcome = fixture.account.move_to(id, set(&[2]), name("Junk")).wait().unwrap();
    assert_eq!(outcome.uids, [(uid(2), uid(1))]);
    assert_eq!(fixture.uids("Inbox"), [1, 3]);
    assert_eq!(fixture.body("Junk", 1).unwrap(), content);
    assert!(fixture.flags("Junk", 1).contains(Flags::JUNK), "by the role of the mailbox");
    // A session that has not heard of it reads it under its old UID.
    assert_eq!(fixture.body("Inbox", 2).unwrap(), content);
    let told = kinds(&subscription.take().changes);
    assert!(matches!(&told[0], ChangeKind::Removed { uids, .. } if *uids == [uid(2)]));
    assert!(matches!(&told[1], ChangeKind::Added { messages, .. } if messages.len() == 1));
    drop(subscription);
    fixture.settle();
    assert!(matches!(fixture.body("Inbox", 2), Err(StoreError::NoMessage)));
    assert_eq!(fixture.body("Junk", 1).unwrap(), content);
}

#[test]
fn expunged_messages_stay_readable_until_every_session_has_applied_it() {
    let fixture = Fixture::new();
    fixture.deliver_many(4);
    let id = fixture.id("Inbox");
    let (one, two) = (fixture.account.subscribe(), fixture.account.subscribe());
    let deleted = flag(FlagOp::Add, Flags::DELETED, &[]);
    fixture.account.change_flags(id, set(&[2, 4]), deleted).wait().unwrap();
    let which = Expunge { uids: set(&[1, 2, 3]), only_deleted: true };
    let outcome = fixture.account.expunge(id, which).wait().unwrap();
    assert_eq!(outcome.uids, [uid(2)]);
    assert_eq!(fixture.uids("Inbox"), [1, 3, 4]);
    fixture.settle();
    assert!(fixture.body("Inbox", 2).is_ok());
    one.applied(outcome.modseq);
    fixture.settle();
    assert!(fixture.body("Inbox", 2).is_ok(), "the other session may still read it");
    two.applied(outcome.modseq);
    fixture.settle();
    assert!(matches!(fixture.body("Inbox", 2), Err(StoreError::NoMessage)));
}

#[test]
fn what_changed_since_a_modseq_is_told_with_what_vanished() {
    let fixture = Fixture::new();
    fixture.deliver_many(5);
    let id = fixture.id("Inbox");
    let since = fixture.mailbox("Inbox").modseq;
    let seen = flag(FlagOp::Add, Flags::SEEN, &[]);
    fixture.account.change_flags(id, set(&[4]), seen).wait().unwrap();
    let which = Expunge { uids: set(&[1, 3]), only_deleted: false };
    fixture.account.expunge(id, which).wait().unwrap();
    fixture.deliver(SMALL);
    let changed_since = |since, uids: &NumSet| {
        let changed = fixture.account.read().unwrap().changed_since(id, since, uids).unwrap();
        let rows: Vec<_> = changed.rows.iter().map(|row| row.uid.get()).collect();
        (rows, changed.vanished.iter().map(|uid| uid.get()).collect::<Vec<_>>())
    };
    assert_eq!(changed_since(since, &NumSet::all()), (vec![4, 6], vec![1, 3]));
    assert_eq!(changed_since(since, &set(&[3, 4])), (vec![4], vec![3]));
    let now = fixture.mailbox("Inbox").modseq;
    assert_eq!(changed_since(now, &NumSet::all()), (vec![], vec![]));
    let reader = fixture.account.read().unwrap();
    assert!(reader.gone_at(id, uid(1)).unwrap().is_some_and(|at| at > since && at < now));
    assert_eq!(reader.gone_at(id, uid(2)).unwrap(), None);
}

#[test]
fn a_fetch_visits_in_order_and_can_be_stopped() {
    let fixture = Fixture::new();
    fixture.deliver_many(200);
    let id = fixture.id("Inbox");
    let subscription = fixture.account.subscribe();
    let which = Expunge { uids: set(&[3, 60]), only_deleted: false };
    fixture.account.expunge(id, which).wait().unwrap();
    let wanted: Vec<u32> = (1..8).chain([58, 60, 61, 150, 200, 999]).collect();
    let reader = fixture.account.read().unwrap();
    let mut visited = Vec::new();
    let all = Columns { structure: true, preview: true, head: true };
    let flow = reader.fetch(id, &wanted, all, &mut |row| {
        assert!(row.head.starts_with(b"Subject: number") && !row.structure.is_empty());
        assert_eq!(row.is_expunged, [3, 60].contains(&row.uid.get()));
        visited.push(row.uid.get());
        ControlFlow::Continue(())
    });
    assert!(flow.unwrap().is_continue());
    assert_eq!(visited, wanted[..wanted.len() - 1]);
    let mut count = 0;
    let flow = reader.fetch(id, &wanted, Columns::default(), &mut |_| {
        count += 1;
        if count == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(flow.unwrap().is_break());
    assert_eq!(count, 3);
    drop(subscription);
}

#[test]
fn the_first_unseen_message_is_found() {
    let fixture = Fixture::new();
    let id = fixture.id("Inbox");
    let first = || fixture.account.read().unwrap().first_unseen(id).unwrap();
    assert_eq!(first(), None);
    fixture.deliver_many(3);
    assert_eq!(first(), Some(uid(1)));
    let seen = flag(FlagOp::Add, Flags::SEEN, &[]);
    fixture.account.change_flags(id, set(&[1, 2]), seen).wait().unwrap();
    assert_eq!(first(), Some(uid(3)));
}

#[test]
fn own_changes_are_marked_in_the_feed() {
    let fixture = Fixture::new();
    let subscription = fixture.account.subscribe();
    let acting = fixture.account.acting_as(&subscription);
    acting.subscribe_to(name("mine")).wait().unwrap();
    fixture.account.subscribe_to(name("others")).wait().unwrap();
    let origins: Vec<_> = subscription.take().changes.iter().map(|c| c.origin).collect();
    assert_eq!(origins, [Some(subscription.id()), None]);
}

#[test]
fn secrets_are_kept_until_removed() {
    let fixture = Fixture::new();
    let secret = || fixture.account.read().unwrap().secret("scram").unwrap();
    assert_eq!(secret(), None);
    fixture.account.set_secret("scram", Some(vec![1, 2])).wait().unwrap();
    assert_eq!(secret(), Some(vec![1, 2]));
    fixture.account.set_secret("scram", None).wait().unwrap();
    assert_eq!(secret(), None);
}

/// Who replaces a secret that it has read must not undo what was set in between.
#[test]
fn a_secret_is_replaced_only_if_it_is_still_the_old_one() {
    let fixture = Fixture::new();
    let replace = |old: &[u8], new: &[u8]| {
        fixture.account.replace_secret("scram", old.to_vec(), new.to_vec()).wait().unwrap()
    };
    assert!(!replace(b"", b"new"));
    fixture.account.set_secret("scram", Some(b"old".to_vec())).wait().unwrap();
    assert!(!replace(b"other", b"new"));
    assert!(replace(b"old", b"new"));
    assert!(!replace(b"old", b"newer"));
    let secret = fixture.account.read().unwrap().secret("scram").unwrap();
    assert_eq!(secret.as_deref(), Some(&b"new"[..]));
}

#[test]
fn a_secret_is_peeked_at_whether_the_account_is_open_or_not() {
    let fixture = Fixture::new();
    let peek = |name: &str, kind: &str| fixture.store.peek_secret(name, kind).unwrap();
    fixture.account.set_secret("scram", Some(vec![1, 2])).wait().unwrap();
    assert_eq!(peek("mjl", "scram"), Some(vec![1, 2]));
    assert_eq!(peek("mjl", "other"), None);
    // One that this store has not opened, with a log, as after a crash, and then without.
    let clock = Arc::<ManualClock>::clone(&fixture.clock);
    let other = Store::new(fixture.dir.path(), clock, Arc::new(Policy::default()));
    let account = other.account("ann").unwrap();
    account.set_secret("scram", Some(vec![3])).wait().unwrap();
    assert_eq!(peek("ann", "scram"), Some(vec![3]));
    drop((account, other));
    let log = fixture.dir.path().join("accounts/ann/index.db-wal");
    // The thread that wrote may still be at it, which keeps the account open.
    while log.exists() {
        std::thread::yield_now();
    }
    assert_eq!(peek("ann", "scram"), Some(vec![3]));
    assert!(!log.exists(), "looking makes none");
    assert_eq!(fixture.store.open_accounts(), 1);
    for none in ["nobody", "../ann", "../mjl", ""] {
        assert_eq!(peek(none, "scram"), None);
    }
    assert!(!fixture.dir.path().join("accounts/nobody").exists(), "none is made");
}

#[test]
fn a_reader_sees_one_moment() {
    let fixture = Fixture::new();
    let reader = fixture.account.read().unwrap();
    let id = reader.mailbox(&name("Inbox")).unwrap().id;
    fixture.deliver(SMALL);
    assert!(reader.uids(id).unwrap().is_empty());
    assert!(reader.modseq() < fixture.account.read().unwrap().modseq());
    assert_eq!(fixture.uids("Inbox"), [1]);
}

#[test]
fn a_small_message_costs_one_sync_and_a_file_its_own() {
    let fixture = Fixture::new();
    let mut last = fixture.store.syncs();
    let mut check = |content: &[u8], want: u64| {
        fixture.deliver(content);
        let now = fixture.store.syncs();
        assert_eq!(now - std::mem::replace(&mut last, now), want);
    };
    check(SMALL, 1);
    check(SMALL, 1);
    // File, folder and commit; and the names of folders that are made, at first one more.
    check(&large(1_000_000), 3 + 2);
    check(&large(1_000_000), 3 + 1);
}
