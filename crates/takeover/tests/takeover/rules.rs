//! What is judged of records that do not fit together, each rule with an account made for it.

use std::collections::BTreeMap;
use std::fs;

use mox_base::{MailboxId, MailboxName, ModSeq, NumSet, Uid};
use mox_junk::Totals;
use mox_store::{Account as Ours, Reader};
use mox_takeover::{Notes, Summary, TakeoverError};
use mox_testkit::original::{
    Field, Kind, Row, Schema, Value, Writer, fields, list, row, time, write_database,
};

use crate::fixtures::{Fixture, Patient};

const BODY: &[u8] = b"Subject: hello\r\nMessage-ID: <m@a.example>\r\n\r\nbody\r\n";

type Tables = BTreeMap<&'static str, Vec<Row>>;

fn mailbox(id: i64, name: &str, messages: u64) -> Row {
    row(id)
        .with("Name", name)
        .with("UIDValidity", 100 + u64::try_from(id).unwrap())
        .with("UIDNext", 10_u64)
        .with("ModSeq", 6)
        .with("CreateSeq", 2)
        .with("HaveCounts", true)
        .with("Total", messages)
        .with("Unread", messages)
        .with("Unseen", messages)
        .with("Size", messages * BODY.len() as u64)
}

fn message(id: i64, uid: u64) -> Row {
    numbered(id, uid, 5).with("MailboxID", 1).with("CreateSeq", 5)
}

/// A message without a mailbox yet.
fn numbered(id: i64, uid: u64, modseq: i64) -> Row {
    row(id)
        .with("UID", uid)
        .with("ModSeq", modseq)
        .with("Received", time(1_790_000_000))
        .with("SaveDate", time(1_790_000_001))
        .with("ThreadID", id)
        .with("Size", BODY.len() as u64)
}

fn removal(id: i64, uid: u64) -> Row {
    let gone = row(id).with("UID", uid).with("MailboxID", 1);
    gone.with("ModSeq", 6).with("CreateSeq", 3).with("Expunged", true)
}

/// An account with two mailboxes, two messages and a removal, in which all is as it should be.
fn sound() -> Tables {
    let upgrade = row(1_u64)
        .with("Threads", 2_u64)
        .with("MailboxModSeq", true)
        .with("MailboxParentID", true)
        .with("MailboxCounts", true)
        .with("MessageParseVersion", 2);
    BTreeMap::from([
        ("NextUIDValidity", vec![row(1).with("Next", 1_000_u64)]),
        ("SyncState", vec![row(1).with("LastModSeq", 8).with("HighestDeletedModSeq", -1)]),
        ("DiskUsage", vec![row(1).with("MessageSize", 2 * BODY.len() as u64)]),
        ("Upgrade", vec![upgrade]),
        ("Mailbox", vec![mailbox(1, "Inbox", 2), mailbox(2, "Sent", 0).with("Sent", true)]),
        ("Message", vec![message(1, 1), message(2, 2), removal(3, 3)]),
        ("Subscription", vec![row("Inbox")]),
        ("Password", vec![row("$2a$10$DpjlwyyNzl7w0PK8fOdI4euIzNqTg9LUxaEh0if8jiowr3IwCw5y2")]),
    ])
}

/// Writes the account, with a file of each message, as account `mjl`.
fn write(tables: Tables) -> Fixture {
    let fixture = Fixture::empty();
    let dir = fixture.theirs("mjl");
    fs::create_dir_all(dir.join("msg/a")).unwrap();
    for id in 1..=9 {
        fs::write(dir.join(format!("msg/a/{id}")), BODY).unwrap();
    }
    write_database(&dir.join("index.db"), "account", tables);
    fixture
}

fn told(summary: &Summary) -> Vec<String> {
    let part = |word: &'static str, notes: &BTreeMap<&'static str, Notes>| {
        notes.iter().map(move |(kind, notes)| format!("{word}: {} {kind}", notes.count)).collect()
    };
    let parts: [Vec<String>; 3] = [
        part("damaged", &summary.damaged),
        part("differs", &summary.differs),
        part("skipped", &summary.skipped),
    ];
    let left = summary.left.iter().map(|(kind, count)| format!("left: {count} {kind}"));
    parts.into_iter().flatten().chain(left).collect()
}

/// What is always told of the account of [`sound`].
const BCRYPT: &str = "differs: 1 passwords that are for PLAIN only until the first login";

/// Checks and copies an account twice; each time the same is told, and ours is sound.
#[track_caller]
fn copied(fixture: &Fixture, want: &[&str]) -> Ours {
    let checked = fixture.check("mjl");
    let mut found = told(&checked);
    found.retain(|one| one != BCRYPT);
    assert_eq!(found, want);
    for _ in 0..2 {
        assert_eq!(fixture.copy("mjl"), checked);
    }
    let ours = fixture.store.account("mjl").unwrap();
    assert_eq!(ours.check().unwrap(), Vec::<String>::new());
    ours
}

#[track_caller]
fn check(change: impl FnOnce(&mut Tables), want: &[&str]) -> (Fixture, Ours) {
    let mut tables = sound();
    change(&mut tables);
    let fixture = write(tables);
    let ours = copied(&fixture, want);
    (fixture, ours)
}

fn uids(reader: &Reader, mailbox: i64) -> Vec<u32> {
    reader.uids(MailboxId(mailbox)).unwrap()
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

#[test]
fn an_account_in_which_all_fits_is_taken_without_a_word() {
    let (_fixture, ours) = check(|_| {}, &[]);
    let reader = ours.read().unwrap();
    assert_eq!(uids(&reader, 1), [1, 2]);
    assert_eq!(reader.gone_at(MailboxId(1), uid(3)).unwrap(), ModSeq::new(6));
    assert_eq!(reader.modseq(), ModSeq::new(8).unwrap());
    let stored = String::from_utf8(reader.secret("password").unwrap().unwrap()).unwrap();
    assert!(stored.starts_with("$2a$10$"), "{stored}");
}

#[test]
fn counters_that_are_too_low_are_raised() {
    let uidnext = |tables: &mut Tables| {
        let inbox = mailbox(1, "Inbox", 2);
        tables.insert("Message", vec![message(1, 1), message(2, 40), removal(3, 3)]);
        tables.insert("Mailbox", vec![inbox]);
    };
    let (_fixture, ours) = check(uidnext, &["differs: 1 next UIDs that were too low"]);
    assert_eq!(ours.read().unwrap().mailbox(&MailboxName::inbox()).unwrap().uidnext, 41);
    let next = |tables: &mut Tables| {
        tables.insert("NextUIDValidity", vec![row(1).with("Next", 50_u64)]);
    };
    let (_fixture, ours) = check(next, &["differs: 1 counters made anew"]);
    let name = MailboxName::parse("New").unwrap();
    let made = ours.create_mailbox(name, mox_base::SpecialUse::NONE).wait().unwrap();
    assert!(made[0].uidvalidity.get() > 102);
}

/// A modseq above the counter would hide all changes until the counter is there.
#[test]
fn a_modseq_to_come_becomes_the_next_one() {
    let change = |tables: &mut Tables| {
        let odd = numbered(2, 2, 1 << 40).with("MailboxID", 1).with("CreateSeq", 1_i64 << 40);
        let early = numbered(1, 1, 5).with("MailboxID", 1).with("CreateSeq", 7);
        tables.insert("Message", vec![early, odd, removal(3, 3)]);
    };
    let want = [
        "damaged: 1 modseqs above the last of the account",
        "differs: 1 messages changed before they were created",
    ];
    let (_fixture, ours) = check(change, &want);
    let reader = ours.read().unwrap();
    let changed = reader.changed_since(MailboxId(1), ModSeq::new(8).unwrap(), &NumSet::all());
    assert_eq!(changed.unwrap().rows[0].modseq.get(), 9);
    assert_eq!(reader.modseq().get(), 9);
}

/// With it, no change could be numbered any more.
#[test]
fn the_modseq_of_a_mailbox_is_none_to_come() {
    let change = |tables: &mut Tables| {
        tables.insert("Mailbox", vec![mailbox(1, "Inbox", 2).with("ModSeq", i64::MAX)]);
    };
    let (_fixture, ours) = check(change, &["damaged: 1 modseqs above the last of the account"]);
    let name = MailboxName::parse("New").unwrap();
    ours.create_mailbox(name, mox_base::SpecialUse::NONE).wait().unwrap();
}

#[test]
fn without_a_last_modseq_it_is_the_largest_in_use() {
    let change = |tables: &mut Tables| {
        tables.insert("SyncState", vec![]);
    };
    let (_fixture, ours) = check(change, &["differs: 1 counters made anew"]);
    assert_eq!(ours.read().unwrap().modseq().get(), 6);
}

/// The UID of a message that is there is not given to a second one, whichever comes first.
#[test]
fn a_uid_is_of_one_message() {
    let change = |tables: &mut Tables| {
        let twice = vec![
            removal(1, 1),
            message(2, 1),
            message(3, 2),
            message(4, 2),
            message(5, 0),
            removal(6, 2),
        ];
        tables.insert("Message", twice);
        tables.insert("Mailbox", vec![mailbox(1, "Inbox", 4)]);
        tables.insert("DiskUsage", vec![row(1).with("MessageSize", 4 * BODY.len() as u64)]);
    };
    let (_fixture, ours) =
        check(change, &["damaged: 4 UIDs that were used twice, or cannot be any"]);
    let reader = ours.read().unwrap();
    assert_eq!(uids(&reader, 1), [2, 10, 11, 12]);
    assert_eq!(reader.gone_at(MailboxId(1), uid(1)).unwrap(), ModSeq::new(6));
    assert_eq!(reader.gone_at(MailboxId(1), uid(2)).unwrap(), None);
}

#[test]
fn messages_of_a_mailbox_that_is_not_there_get_one() {
    let change = |tables: &mut Tables| {
        let of = |id, uid, mailbox: i64| {
            numbered(id, uid, 5).with("CreateSeq", 5).with("MailboxID", mailbox)
        };
        let gone = row(4).with("UID", 4_u64).with("MailboxID", 3).with("Expunged", true);
        let messages = vec![of(1, 1, 1), of(2, 2, 7), of(3, 3, 3), gone.with("ModSeq", 6)];
        tables.insert("Message", messages);
        let deleted = mailbox(3, "Deleted", 0).with("Expunged", true);
        tables
            .insert("Mailbox", vec![mailbox(1, "Inbox", 1), mailbox(2, "Recovered-7", 0), deleted]);
        tables.insert("DiskUsage", vec![row(1).with("MessageSize", 3 * BODY.len() as u64)]);
    };
    let (_fixture, ours) = check(change, &["damaged: 2 mailboxes"]);
    let reader = ours.read().unwrap();
    for (id, name) in [(7, "Recovered-7-1"), (3, "Recovered-3")] {
        let found = reader.mailbox_by_id(MailboxId(id)).unwrap();
        assert_eq!((found.name.as_str(), found.counts.total), (name, 1));
    }
}

/// Nobody can ask for removals in a mailbox that is deleted.
#[test]
fn removals_in_deleted_mailboxes_are_left() {
    let change = |tables: &mut Tables| {
        let gone = row(3).with("UID", 4_u64).with("MailboxID", 3).with("Expunged", true);
        tables.insert("Message", vec![message(1, 1), message(2, 2), gone.with("ModSeq", 6)]);
        let deleted = mailbox(3, "Inbox", 0).with("Expunged", true);
        tables.insert("Mailbox", vec![mailbox(1, "Inbox", 2), deleted]);
    };
    let (_fixture, ours) = check(change, &["left: 1 removals in mailboxes that are deleted"]);
    assert_eq!(ours.read().unwrap().mailboxes().unwrap().len(), 1);
}

#[test]
fn names_of_mailboxes_are_of_one_each_and_such_as_ours_can_be() {
    let change = |tables: &mut Tables| {
        let all = vec![
            mailbox(1, "Inbox", 2),
            mailbox(2, "Same", 0),
            mailbox(3, "Same", 0),
            mailbox(4, "../up", 0),
            mailbox(5, "Mailbox-4", 0),
            mailbox(6, "A/B/C", 0),
        ];
        tables.insert("Mailbox", all);
        tables.insert("Subscription", vec![row("Same"), row("../up")]);
    };
    let want = [
        "differs: 2 mailboxes made above others",
        "differs: 2 mailboxes that are where their name says",
        "differs: 3 mailboxes with another name",
        "skipped: 1 subscriptions that cannot be used",
    ];
    let (_fixture, ours) = check(change, &want);
    let names: Vec<_> =
        ours.read().unwrap().mailboxes().unwrap().iter().map(|one| one.name.to_string()).collect();
    let want = ["A", "A/B", "A/B/C", "Inbox", "Mailbox-3", "Mailbox-4", "Mailbox-5", "Same"];
    assert_eq!(names, want);
}

/// More mailboxes than ours can have are not taken in silence, nor are their messages.
#[test]
fn mailboxes_beyond_the_limit_are_damage() {
    let all = (1..=10_001).map(|id| mailbox(id, &format!("box {id}"), 0));
    let of = |id, mailbox: i64| numbered(id, 1, 5).with("CreateSeq", 5).with("MailboxID", mailbox);
    let mut tables = sound();
    tables.insert("Mailbox", all.collect());
    tables.insert("Message", vec![of(1, 10_000), of(2, 10_001)]);
    tables.insert("NextUIDValidity", vec![row(1).with("Next", 20_000_u64)]);
    let checked = write(tables).check("mjl");
    let found: Vec<_> = checked.damaged.iter().map(|(kind, notes)| (*kind, notes.count)).collect();
    assert_eq!(found, [("mailboxes beyond our limits", 1), ("messages", 1)]);
    assert_eq!((checked.taken["mailboxes"], checked.taken["messages"]), (10_000, 1));
}

#[test]
fn a_role_is_of_one_mailbox() {
    let change = |tables: &mut Tables| {
        let second = mailbox(3, "Outbox", 0).with("Sent", true).with("Trash", true);
        tables.get_mut("Mailbox").unwrap().push(second);
    };
    let (_fixture, ours) = check(change, &["differs: 1 special uses that several mailboxes had"]);
    let reader = ours.read().unwrap();
    let role = |id| reader.mailbox_by_id(MailboxId(id)).unwrap().special_use;
    assert_eq!((role(2), role(3)), (mox_base::SpecialUse::SENT, mox_base::SpecialUse::TRASH));
}

#[test]
fn counts_that_are_wrong_are_counted_anew() {
    let change = |tables: &mut Tables| {
        tables.insert("Mailbox", vec![mailbox(1, "Inbox", 5)]);
        tables.insert("DiskUsage", vec![row(1).with("MessageSize", 7)]);
    };
    let want = ["differs: 1 mailboxes counted anew", "differs: 1 space in use, counted anew"];
    let (_fixture, ours) = check(change, &want);
    let inbox = ours.read().unwrap().mailbox(&MailboxName::inbox()).unwrap();
    assert_eq!((inbox.counts.total, inbox.counts.size), (2, 2 * BODY.len() as u64));
}

/// Removed messages count as space in use until they are erased, unless another record has counted them.
#[test]
fn space_in_use_counts_what_is_not_erased_yet() {
    let change = |tables: &mut Tables| {
        let removed = |id, uid| removal(id, uid).with("Size", BODY.len() as u64);
        let messages =
            vec![message(1, 1), message(2, 2), removed(3, 3), removed(4, 4), removed(5, 5)];
        tables.insert("Message", messages);
        let skipped = row(4).with("SkipUpdateDiskUsage", true);
        tables.insert("MessageErase", vec![row(3), skipped, row(9)]);
        tables.insert("DiskUsage", vec![row(1).with("MessageSize", 3 * BODY.len() as u64)]);
    };
    check(change, &[]);
}

/// Lost messages are gone for clients too, at a modseq that all of them ask for.
#[test]
fn what_is_lost_is_told_to_clients_as_removed() {
    let mut tables = sound();
    let messages = (1..=5).map(|id| message(id, id.unsigned_abs())).collect();
    tables.insert("Message", messages);
    tables.insert("Mailbox", vec![mailbox(1, "Inbox", 5)]);
    tables.insert("DiskUsage", vec![row(1).with("MessageSize", 5 * BODY.len() as u64)]);
    let fixture = write(tables);
    let dir = fixture.theirs("mjl").join("msg/a");
    fs::remove_file(dir.join("1")).unwrap();
    fs::write(dir.join("2"), &BODY[..BODY.len() - 1]).unwrap();
    fs::write(dir.join("3"), [BODY, b"more\r\n"].concat()).unwrap();
    fs::remove_file(dir.join("4")).unwrap();
    fs::create_dir(dir.join("4")).unwrap();
    let want = ["damaged: 3 messages", "differs: 1 messages larger than noted"];
    let ours = copied(&fixture, &want);
    let reader = ours.read().unwrap();
    assert_eq!(uids(&reader, 1), [3, 5]);
    for lost in [1, 2, 4] {
        assert_eq!(reader.gone_at(MailboxId(1), uid(lost)).unwrap(), ModSeq::new(9));
    }
    assert_eq!(reader.mailbox(&MailboxName::inbox()).unwrap().modseq.get(), 9);
    drop(reader);
    // What is found again in the meantime is taken after all, and no removal of it is told.
    fs::write(dir.join("1"), BODY).unwrap();
    let ours = copied(&fixture, &["damaged: 2 messages", "differs: 1 messages larger than noted"]);
    let reader = ours.read().unwrap();
    assert_eq!(uids(&reader, 1), [1, 3, 5]);
    assert_eq!(reader.gone_at(MailboxId(1), uid(1)).unwrap(), None);
}

/// Where removals were forgotten, all that is not there may have been removed.
#[test]
fn removals_that_were_forgotten_are_told_as_far_as_they_can_be() {
    let change = |tables: &mut Tables| {
        tables.insert(
            "SyncState",
            vec![row(1).with("LastModSeq", 8).with("HighestDeletedModSeq", 4)],
        );
    };
    let (_fixture, ours) = check(change, &[]);
    let reader = ours.read().unwrap();
    let since = |seq| {
        let changed = reader.changed_since(MailboxId(1), ModSeq::new(seq).unwrap(), &NumSet::all());
        changed.unwrap().vanished.iter().map(|uid| uid.get()).collect::<Vec<_>>()
    };
    assert_eq!(since(3), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(since(4), [3]);
}

/// Before there were threads, or mailboxes with modseqs and parents.
#[test]
fn what_old_releases_did_not_have_is_made() {
    let change = |tables: &mut Tables| {
        tables.insert("Upgrade", vec![row(1_u64).with("Threads", 1_u64)]);
        let old = row(1).with("Name", "Inbox").with("UIDValidity", 101_u64);
        let old = old.with("UIDNext", 10_u64).with("Total", 2_u64).with("Unread", 2_u64);
        let old = old.with("Unseen", 2_u64).with("Size", 2 * BODY.len() as u64);
        tables.insert("Mailbox", vec![old]);
        let first = row(1).with("UID", 1_u64).with("MailboxID", 1);
        let first = first.with("Size", BODY.len() as u64).with("Received", time(1_790_000_000));
        tables.insert("Message", vec![first, message(2, 2).with("ThreadMuted", true)]);
    };
    let (_fixture, ours) =
        check(change, &["differs: 1 accounts of which all threads are found anew"]);
    let reader = ours.read().unwrap();
    let inbox = reader.mailbox(&MailboxName::inbox()).unwrap();
    assert_eq!((inbox.createseq.get(), inbox.modseq.get()), (1, 5));
    let rows = reader.changed_since(MailboxId(1), ModSeq::default(), &NumSet::all()).unwrap().rows;
    // The same message twice is one thread.
    let threads: Vec<_> = rows.iter().map(|row| (row.modseq.get(), row.thread.0)).collect();
    assert_eq!(threads, [(1, 1), (5, 1)]);
}

#[test]
fn keywords_that_cannot_be_used_are_skipped() {
    let change = |tables: &mut Tables| {
        let words: Vec<String> = (0..102).map(|number| format!("word-{number:03}")).collect();
        let many = message(2, 2).with("Keywords", list(words.iter().map(String::as_str)));
        let bad = message(1, 1).with("Keywords", list(["good", "a b", ""]));
        tables.insert("Message", vec![bad, many]);
    };
    let (_fixture, ours) = check(change, &["skipped: 4 keywords that cannot be used"]);
    let reader = ours.read().unwrap();
    let rows = reader.changed_since(MailboxId(1), ModSeq::default(), &NumSet::all()).unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.keywords.len()).collect::<Vec<_>>(), [1, 100]);
}

#[test]
fn annotations_are_bounded_and_those_of_no_mailbox_are_skipped() {
    let change = |tables: &mut Tables| {
        let of = |id, mailbox: i64, key: &str| row(id).with("MailboxID", mailbox).with("Key", key);
        let value = |bytes: usize| Value::Bytes(vec![b'x'; bytes]);
        let all = vec![
            // One that does not fit takes no room from the others.
            of(1, 0, "/private/large").with("Value", value(1_200_000)),
            of(2, 1, "/private/comment").with("Value", value(5)).with("IsString", true),
            of(3, 1, "/private/COMMENT").with("Value", value(6)).with("IsString", true),
            of(4, 1, "/private/gone").with("Expunged", true),
            of(5, 77, "/private/comment").with("Value", value(1)),
        ];
        tables.insert("Annotation", all);
    };
    let want = [
        "differs: 1 annotations that were there twice",
        "skipped: 1 annotations beyond our limits",
        "skipped: 1 annotations of mailboxes that are not there",
    ];
    let (_fixture, ours) = check(change, &want);
    let found = ours.read().unwrap().annotations(Some(MailboxId(1))).unwrap();
    assert_eq!(found.iter().map(|one| one.value.len()).collect::<Vec<_>>(), [6]);
}

#[test]
fn a_message_marked_both_ways_is_learnt_as_neither() {
    let change = |tables: &mut Tables| {
        let both = message(1, 1).with("Junk", true).with("Notjunk", true);
        tables.insert("Message", vec![both, message(2, 2).with("Notjunk", true)]);
    };
    let (fixture, ours) = check(change, &[]);
    let reader = ours.read().unwrap();
    let rows = reader.changed_since(MailboxId(1), ModSeq::default(), &NumSet::all()).unwrap().rows;
    assert!(rows[0].flags.contains(mox_base::Flags::JUNK | mox_base::Flags::NOT_JUNK));
    drop(reader);
    assert_eq!(fixture.learnt(&ours).totals, Totals { ham: 1, spam: 0 });
}

/// What the filter learnt is learnt anew; what it had learnt from messages that are gone is told.
#[test]
fn a_junk_filter_that_knew_more_is_told() {
    let other = "differs: 1 junk filters that had learnt from more messages";
    let unread = "differs: 1 junk filters that cannot be read, and are not needed";
    let left = "left: 1 junk filters, learnt anew from the messages that are marked";
    for (ham, want) in [(0_u64, &[left][..]), (1, &[left]), (2, &[other, left])] {
        let mut tables = sound();
        let marked = vec![message(1, 1).with("Junk", true), message(2, 2).with("Notjunk", true)];
        tables.insert("Message", marked);
        let fixture = write(tables);
        let path = fixture.theirs("mjl").join("junkfilter.db");
        let word = |word: &str, ham| row(word).with("Ham", ham).with("Spam", 1_u64);
        let words = vec![word("!", 9), word("-", ham), word("hello", 3)];
        write_database(&path, "junkfilter", [("wordscore", words)]);
        copied(&fixture, want);
        fs::write(&path, b"no database").unwrap();
        copied(&fixture, &[unread]);
    }
}

#[test]
fn a_password_that_nothing_is_left_of_must_be_set_anew() {
    let scram = || fields([("Salt", Value::Bytes(vec![7; 12])), ("Iterations", Value::Int(3))]);
    let change = |tables: &mut Tables| {
        tables.insert("Password", vec![row("$1$old").with("SCRAMSHA1", scram())]);
    };
    let (_fixture, ours) = check(change, &["skipped: 1 passwords that must be set anew"]);
    assert_eq!(ours.read().unwrap().secret("password").unwrap(), None);
    let change = |tables: &mut Tables| {
        tables.insert("Password", vec![]);
    };
    check(change, &["differs: 1 accounts without a password"]);
}

/// The key of a password's record is its hash.
#[test]
fn the_hash_of_a_damaged_password_is_not_told() {
    let fixture = Fixture::new("rich");
    let path = fixture.theirs("bob").join("index.db");
    let mut bytes = fs::read(&path).unwrap();
    let hash = b"$2a$10$1GTgtL9ctZFWUIOSCkNry.kYkRzL3LzXvbLCc73EgbMGNQ7wBqLPi";
    for at in 0..bytes.len() - hash.len() {
        // The value follows its key, and begins with the version: one that is not described.
        if bytes[at..].starts_with(hash) {
            bytes[at + hash.len()] = 99;
        }
    }
    fs::write(&path, bytes).unwrap();
    let summary = fixture.check("bob");
    assert_eq!(summary.damaged["passwords"].count, 1);
    assert!(!format!("{summary:?}").contains("$2a$"));
}

#[test]
fn what_ours_has_no_place_for_is_counted() {
    let change = |tables: &mut Tables| {
        tables.insert("Settings", vec![row(1_u64).with("Signature", "me")]);
        tables.insert("RulesetNoListID", vec![row(1), row(2)]);
        tables.insert("RulesetNoMailbox", vec![row(1)]);
    };
    let want =
        ["left: 3 questions about rules not to be asked again", "left: 1 settings of webmail"];
    check(change, &want);
}

/// A newer original may keep something that people should know of.
#[test]
fn types_and_fields_that_are_not_known_are_told_once() {
    let fixture = write(sound());
    let index = fixture.theirs("mjl").join("index.db");
    let mut writer = Writer::create(&index);
    let mut tables = sound();
    let known = Schema::of("account", "Message");
    let mut all = known.fields().to_vec();
    all.push(Field::new("Mood", Kind::Text));
    all.push(Field::new("Unused", Kind::Text));
    let moody = vec![message(1, 1).with("Mood", "good"), message(2, 2).with("Mood", "bad")];
    tables.remove("Message");
    writer.table(&known.then(all), moody);
    let novel = Schema::new("Novelty", vec![Field::new("ID", Kind::Int(Some(64)))]);
    writer.table(&novel, vec![row(1)]);
    for (name, rows) in tables {
        writer.table(&Schema::of("account", name), rows);
    }
    writer.finish_as("account");
    let want = [
        "differs: 1 fields that are not known, with what they hold",
        "differs: 1 types of records that are not known",
    ];
    copied(&fixture, &want);
    let checked = fixture.check("mjl");
    let told = checked.differs.values().flat_map(|notes| &notes.some);
    let told: Vec<_> = told.map(|text| text.rsplit("index.db: ").next().unwrap()).collect();
    assert!(told.contains(&"Message: Mood") && told.contains(&"Novelty"), "{told:?}");
}

#[test]
fn an_account_without_a_type_that_all_have_is_refused() {
    for missing in [
        "NextUIDValidity",
        "Message",
        "Mailbox",
        "Subscription",
        "Password",
        "SyncState",
        "Upgrade",
    ] {
        let fixture = write(sound());
        let mut writer = Writer::create(&fixture.theirs("mjl").join("index.db"));
        for (name, rows) in sound().into_iter().filter(|(name, _)| *name != missing) {
            writer.table(&Schema::of("account", name), rows);
        }
        writer.finish();
        let theirs = mox_takeover::Account::open(&fixture.theirs("mjl")).unwrap();
        let refused = theirs.check(&mut Patient).unwrap_err();
        assert!(matches!(refused, TakeoverError::Missing { what, .. } if what == missing));
        assert!(refused.to_string().contains(missing), "{refused}");
    }
    // Types that came later may be missing.
    let fixture = write(sound());
    let mut writer = Writer::create(&fixture.theirs("mjl").join("index.db"));
    for (name, rows) in sound() {
        writer.table(&Schema::of("account", name), rows);
    }
    writer.finish();
    copied(&fixture, &[]);
}

#[test]
fn a_database_that_is_of_no_account_is_refused_with_what_it_lacks() {
    let fixture = Fixture::empty();
    let dir = fixture.theirs("mjl");
    fs::create_dir_all(&dir).unwrap();
    write_database(&dir.join("index.db"), "queue", []);
    let theirs = mox_takeover::Account::open(&dir).unwrap();
    let refused = theirs.check(&mut Patient);
    assert!(matches!(refused, Err(TakeoverError::Missing { what: "NextUIDValidity", .. })));
}

/// The message had no header section: what was put before it has its empty line.
#[test]
fn a_prefix_that_ends_the_header_section_leaves_the_file_to_the_body() {
    let prefix = b"Received: by mx.example\r\n\r\n";
    let change = |tables: &mut Tables| {
        let all = 2 * BODY.len() + prefix.len();
        let first = message(1, 1)
            .with("MsgPrefix", Value::Bytes(prefix.to_vec()))
            .with("Size", (BODY.len() + prefix.len()) as u64);
        tables.insert("Message", vec![first, message(2, 2), removal(3, 3)]);
        let inbox = mailbox(1, "Inbox", 2).with("Size", all as u64);
        tables.insert("Mailbox", vec![inbox, mailbox(2, "Sent", 0).with("Sent", true)]);
        tables.insert("DiskUsage", vec![row(1).with("MessageSize", i64::try_from(all).unwrap())]);
    };
    let (_fixture, ours) = check(change, &[]);
    let content = ours.read().unwrap().content(MailboxId(1), uid(1)).unwrap();
    assert_eq!(content.message().unwrap().root.body_offset, prefix.len() as u64);
    assert_eq!(content.to_vec().unwrap(), [&prefix[..], BODY].concat());
}
