//! Whole accounts.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use mox_base::{Flags, MailboxId, MailboxName, ModSeq, Uid};
use mox_sasl::{Password, ScramHash, ScramVerifier};
use mox_store::{Account as Ours, Reader};
use mox_takeover::{Account, Watch};
use serde_json::Value as Json;

use crate::fixtures::{Fixture, unix_secs};

/// The flags by the names that the original has for them.
const FLAGS: &[(&str, Flags)] = &[
    ("Seen", Flags::SEEN),
    ("Answered", Flags::ANSWERED),
    ("Flagged", Flags::FLAGGED),
    ("Forwarded", Flags::FORWARDED),
    ("Junk", Flags::JUNK),
    ("Notjunk", Flags::NOT_JUNK),
    ("Deleted", Flags::DELETED),
    ("Draft", Flags::DRAFT),
    ("Phishing", Flags::PHISHING),
    ("MDNSent", Flags::MDN_SENT),
];

fn list(value: &Json) -> Vec<&str> {
    value
        .as_array()
        .map(|list| list.iter().map(|one| one.as_str().unwrap()).collect())
        .unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn check(fixture: &str, account: &str, messages_min: usize) {
    let fixture = Fixture::new(fixture);
    let checked = fixture.check(account);
    let summary = fixture.copy(account);
    assert!(summary.is_whole(), "{summary:?}");
    assert_eq!(checked, summary);
    let expected = &fixture.expected["accounts"][account];
    let ours = fixture.store.account(account).unwrap();
    check_mailboxes(&ours.read().unwrap(), expected);
    let count = check_messages(&ours.read().unwrap(), expected);
    assert!(count >= messages_min, "{count} messages");
    assert_eq!(summary.taken["messages"], count as u64);
    check_password(&ours, expected);
    assert_eq!(ours.check().unwrap(), Vec::<String>::new());
}

fn check_mailboxes(reader: &Reader, expected: &Json) {
    let ours: BTreeMap<_, _> =
        reader.mailboxes().unwrap().into_iter().map(|one| (one.name.to_string(), one)).collect();
    let theirs: Vec<_> = expected["mailboxes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["expunged"] == false)
        .collect();
    assert_eq!(ours.len(), theirs.len());
    for want in theirs {
        let name = want["name"].as_str().unwrap();
        let found = &ours[name];
        assert_eq!(want["id"], found.id.0, "{name}");
        assert_eq!(want["uidvalidity"], found.uidvalidity.get(), "{name}");
        assert_eq!(want["uidnext"], found.uidnext, "{name}");
        assert_eq!(want["total"], found.counts.total, "{name}");
        assert_eq!(want["deleted"], found.counts.deleted, "{name}");
        assert_eq!(want["unread"], found.counts.unread, "{name}");
        assert_eq!(want["unseen"], found.counts.unseen, "{name}");
        assert_eq!(want["size"], found.counts.size, "{name}");
        assert_eq!(want["createseq"].as_u64().unwrap().max(1), found.createseq.get(), "{name}");
        assert_eq!(want["modseq"].as_u64().unwrap().max(1), found.modseq.get(), "{name}");
        let keywords: Vec<_> = found.keywords.iter().map(|one| one.as_str()).collect();
        assert_eq!(keywords, list(&want["keywords"]), "{name}");
    }
    let subscriptions = reader.subscriptions().unwrap();
    let mut names: Vec<_> = subscriptions.iter().map(MailboxName::as_str).collect();
    names.sort_unstable();
    let mut want = list(&expected["subscriptions"]);
    want.sort_unstable();
    assert_eq!(names, want);
}

fn check_messages(reader: &Reader, expected: &Json) -> usize {
    let (mut count, mut gone) = (0, 0);
    for want in expected["messages"].as_array().unwrap() {
        let mailbox = MailboxId(want["mailbox_id"].as_i64().unwrap());
        let uid = Uid::new(u32::try_from(want["uid"].as_u64().unwrap()).unwrap()).unwrap();
        if want["expunged"] == true {
            if reader.mailbox_by_id(mailbox).is_ok() {
                let modseq = reader.gone_at(mailbox, uid).unwrap().unwrap();
                assert_eq!(want["modseq"].as_u64().unwrap().max(1), modseq.get());
                gone += 1;
            }
            continue;
        }
        count += 1;
        let what = format!("message {}", want["id"]);
        let changed =
            reader.changed_since(mailbox, ModSeq::default(), &[uid].into_iter().collect()).unwrap();
        let row = &changed.rows[0];
        assert_eq!(want["modseq"].as_u64().unwrap().max(1), row.modseq.get(), "{what}");
        assert_eq!(want["thread_id"], row.thread.0, "{what}");
        let flags: Vec<_> = FLAGS
            .iter()
            .filter(|(_, flag)| row.flags.contains(*flag))
            .map(|(name, _)| *name)
            .collect();
        let mut want_flags = list(&want["flags"]);
        want_flags.sort_by_key(|name| FLAGS.iter().position(|(one, _)| one == name));
        assert_eq!(flags, want_flags, "{what}");
        assert_eq!(want["size"], row.size, "{what}");
        let keywords: Vec<_> = row.keywords.iter().map(|one| one.as_str()).collect();
        assert_eq!(keywords, list(&want["keywords"]), "{what}");
        assert_eq!(unix_secs(&want["received"]), row.received.time().0, "{what}");
        assert_eq!(unix_secs(&want["savedate"]), row.saved.0, "{what}");
        let content = reader.content(mailbox, uid).unwrap().to_vec().unwrap();
        assert_eq!(want["full_len"], content.len(), "{what}");
        let hash = hex(digest(&SHA256, &content).as_ref());
        assert_eq!(want["sha256"].as_str().unwrap(), hash, "{what}");
    }
    assert!(gone > 0);
    count
}

/// Passwords that were right are right, and those that were wrong are wrong.
fn check_password(ours: &Ours, expected: &Json) {
    let Some(password) = expected["passwords"].get(0) else { return };
    let stored = ours.read().unwrap().secret("password").unwrap().unwrap();
    let stored = String::from_utf8(stored).unwrap();
    let verifiers: Vec<_> =
        stored.lines().map(|line| ScramVerifier::parse(line).unwrap()).collect();
    assert_eq!(verifiers[0].hash(), ScramHash::Sha1);
    assert_eq!(verifiers[1].hash(), ScramHash::Sha256);
    let tests = password["tests"].as_array().unwrap();
    assert!(tests.len() > 1);
    for test in tests {
        let Ok(password) = Password::prepare(test["password"].as_str().unwrap()) else { continue };
        assert_eq!(test["scramsha1_ok"], verifiers[0].is_password(&password), "{test}");
        assert_eq!(test["scramsha256_ok"], verifiers[1].is_password(&password), "{test}");
    }
}

#[test]
fn a_localserve() {
    check("basic", "mox", 15);
}

#[test]
fn an_account_of_many_things() {
    check("rich", "alice", 200);
}

#[test]
fn an_account_with_files_in_two_directories() {
    check("rich", "bob", 20);
}

#[test]
fn copies_made_while_it_ran() {
    check("live", "alice", 150);
    check("live", "bob", 10);
}

/// Ends the copying after some commits.
struct Impatient(u32);

impl Watch for Impatient {
    fn progress(&mut self, _done: u64, _total: u64) -> bool {
        self.0 -= 1;
        self.0 > 0
    }
}

#[test]
fn copying_goes_on_where_it_ended_and_may_be_done_again() {
    let fixture = Fixture::new("rich");
    let ours = fixture.store.account("alice").unwrap();
    let theirs = Account::open(&fixture.theirs("alice")).unwrap();
    theirs.copy(&ours, None, &mut Impatient(1)).unwrap();
    let first = ours.read().unwrap().last_message().unwrap().unwrap();
    drop(theirs);
    let summary = fixture.copy("alice");
    assert!(ours.read().unwrap().last_message().unwrap().unwrap() >= first);
    assert_eq!(fixture.copy("alice"), summary);
    let expected = &fixture.expected["accounts"]["alice"];
    check_messages(&ours.read().unwrap(), expected);
    assert_eq!(ours.check().unwrap(), Vec::<String>::new());
}
