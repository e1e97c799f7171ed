//! REPLACE: a message takes the place of another. RFC 8508 §3.4.

use crate::support::{Fixture, kinds, name, uid};
use mox_base::Uid;
use mox_store::{ChangeKind, Destination, Policy, RealDisk, StoreError};

const OLD: &[u8] = b"Subject: old\r\n\r\nold\r\n";
const NEW: &[u8] = b"Subject: new\r\n\r\nnew\r\n";

fn replace(
    fixture: &Fixture,
    target: &str,
    source: &str,
    uid: Uid,
) -> Result<mox_store::Added, StoreError> {
    let destination = Destination { mailbox: name(target), create: false };
    let source = fixture.id(source);
    fixture.account.replace(destination, fixture.message(NEW), source, uid).wait()
}

#[test]
fn the_old_message_goes_when_the_new_one_comes() {
    let fixture = Fixture::new();
    fixture.deliver(OLD);
    let kept = fixture.deliver(OLD);
    let subscription = fixture.account.subscribe();
    let before = fixture.mailbox("Inbox").modseq;
    let added = replace(&fixture, "Inbox", "Inbox", uid(1)).unwrap();
    assert_eq!((added.uids.clone(), added.modseq > before), (vec![uid(3)], true));
    assert_eq!(fixture.uids("Inbox"), [kept.get(), 3]);
    assert_eq!(fixture.body("Inbox", 3).unwrap(), NEW);
    // Both have the one modseq, and the new message is told of first.
    let changes = subscription.take().changes;
    assert!(changes.iter().all(|change| change.modseq == added.modseq));
    let kinds = kinds(&changes);
    assert!(matches!(kinds[0], ChangeKind::Added { .. }), "{kinds:?}");
    assert!(matches!(&kinds[1], ChangeKind::Removed { uids, .. } if *uids == [uid(1)]));
    assert_eq!(fixture.mailbox("Inbox").modseq, added.modseq);
    // To another mailbox.
    let added = replace(&fixture, "Drafts", "Inbox", kept).unwrap();
    assert_eq!((fixture.uids("Inbox"), fixture.uids("Drafts")), (vec![3], vec![1]));
    assert_eq!(fixture.mailbox("Inbox").modseq, added.modseq);
    fixture.check();
}

#[test]
fn without_an_old_message_no_new_one_comes() {
    let fixture = Fixture::new();
    fixture.deliver(OLD);
    let (inbox, drafts) = (fixture.mailbox("Inbox"), fixture.mailbox("Drafts"));
    let error = replace(&fixture, "Drafts", "Inbox", uid(2)).unwrap_err();
    assert!(matches!(error, StoreError::NoMessage), "{error}");
    let error = replace(&fixture, "nowhere", "Inbox", uid(1)).unwrap_err();
    assert!(matches!(error, StoreError::NoMailbox), "{error}");
    assert_eq!((fixture.mailbox("Inbox"), fixture.mailbox("Drafts")), (inbox, drafts));
    fixture.check();
}

/// What the old message takes makes no room for the new one.
#[test]
fn the_new_message_must_find_room() {
    let policy = |quota: usize| Policy { quota_bytes: Some(quota as u64), ..Policy::default() };
    let fixture = Fixture::with(policy(OLD.len() + NEW.len() - 1), RealDisk);
    fixture.deliver(OLD);
    let error = replace(&fixture, "Inbox", "Inbox", uid(1)).unwrap_err();
    assert!(matches!(error, StoreError::OverQuota { .. }), "{error}");
    assert_eq!(fixture.uids("Inbox"), [1]);
    fixture.check();
    let fixture = Fixture::with(policy(OLD.len() + NEW.len()), RealDisk);
    fixture.deliver(OLD);
    replace(&fixture, "Inbox", "Inbox", uid(1)).unwrap();
    replace(&fixture, "Inbox", "Inbox", uid(2)).unwrap();
    assert_eq!(fixture.uids("Inbox"), [3]);
    fixture.check();
}
