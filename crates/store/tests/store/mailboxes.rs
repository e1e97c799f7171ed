//! Creating, renaming, deleting and subscribing to mailboxes.

use crate::support::{Fixture, kinds, name};
use mox_base::SpecialUse;
use mox_base::{MailboxName, ModSeq};
use mox_store::{ChangeKind, StoreError};

fn names(fixture: &Fixture) -> Vec<String> {
    let mailboxes = fixture.account.read().unwrap().mailboxes().unwrap();
    mailboxes.iter().map(|mailbox| mailbox.name.to_string()).collect()
}

fn create(fixture: &Fixture, text: &str) -> Result<usize, StoreError> {
    fixture.account.create_mailbox(name(text), SpecialUse::NONE).wait().map(|made| made.len())
}

#[test]
fn a_new_account_has_its_mailboxes_subscribed_and_with_their_roles() {
    let fixture = Fixture::new();
    assert_eq!(names(&fixture), ["Archive", "Drafts", "Inbox", "Junk", "Sent", "Trash"]);
    let reader = fixture.account.read().unwrap();
    assert_eq!(reader.subscriptions().unwrap().len(), 6);
    assert_eq!(reader.mailbox(&name("Sent")).unwrap().special_use, SpecialUse::SENT);
    let inbox = reader.mailbox(&MailboxName::inbox()).unwrap();
    assert_eq!((inbox.uidnext, inbox.modseq.get()), (1, 2));
}

#[test]
fn creating_makes_the_missing_mailboxes_above() {
    let fixture = Fixture::new();
    assert_eq!(create(&fixture, "a/b/c").unwrap(), 3);
    assert_eq!(create(&fixture, "a/b/d").unwrap(), 1);
    assert!(matches!(create(&fixture, "a/b"), Err(StoreError::MailboxExists)));
    assert!(matches!(create(&fixture, "iNBOX"), Err(StoreError::IsInbox)));
    assert!(names(&fixture).contains(&"a/b".to_owned()));
}

#[test]
fn a_role_is_taken_from_the_mailbox_that_had_it() {
    let fixture = Fixture::new();
    let roles = SpecialUse::SENT | SpecialUse::ARCHIVE;
    fixture.account.create_mailbox(name("Old"), roles).wait().unwrap();
    assert_eq!(fixture.mailbox("Sent").special_use, SpecialUse::NONE);
    assert_eq!(fixture.mailbox("Archive").special_use, SpecialUse::NONE);
    assert_eq!(fixture.mailbox("Old").special_use, roles);
    assert_eq!(fixture.mailbox("Trash").special_use, SpecialUse::TRASH);
}

#[test]
fn deleting_and_creating_anew_changes_the_uidvalidity() {
    let fixture = Fixture::new();
    let before = fixture.mailbox("Junk");
    fixture.add("Junk", vec![fixture.message(b"Subject: x\r\n\r\nx\r\n")]).unwrap();
    fixture.account.delete_mailbox(name("Junk")).wait().unwrap();
    create(&fixture, "Junk").unwrap();
    let after = fixture.mailbox("Junk");
    assert!(after.uidvalidity > before.uidvalidity);
    assert_ne!(after.id, before.id);
    assert_eq!(after.uidnext, 1);
    fixture.settle();
    assert_eq!(fixture.account.read().unwrap().used_bytes(), 0);
}

#[test]
fn deleting_is_refused_where_it_would_lose_more_than_asked() {
    let fixture = Fixture::new();
    create(&fixture, "a/b").unwrap();
    let delete = |text| fixture.account.delete_mailbox(name(text)).wait();
    assert!(matches!(delete("a"), Err(StoreError::HasChildren)));
    assert!(matches!(delete("Inbox"), Err(StoreError::IsInbox)));
    assert!(matches!(delete("nothere"), Err(StoreError::NoMailbox)));
    delete("a/b").unwrap();
    delete("a").unwrap();
    // The subscription stays (RFC 9051 §6.3.9).
    assert!(fixture.account.read().unwrap().subscriptions().unwrap().contains(&name("a/b")));
}

#[test]
fn renaming_carries_messages_and_mailboxes_below() {
    let fixture = Fixture::new();
    create(&fixture, "a/b").unwrap();
    fixture.add("a/b", vec![fixture.message(b"Subject: x\r\n\r\nx\r\n")]).unwrap();
    let before = fixture.mailbox("a/b");
    fixture.account.rename_mailbox(name("a"), name("x/y")).wait().unwrap();
    let after = fixture.mailbox("x/y/b");
    assert_eq!((after.id, after.uidvalidity), (before.id, before.uidvalidity));
    assert!(after.modseq > before.modseq);
    assert_eq!(fixture.uids("x/y/b"), [1]);
    assert!(!names(&fixture).iter().any(|name| name.starts_with('a')));
}

#[test]
fn a_mailbox_can_be_renamed_to_below_itself() {
    let fixture = Fixture::new();
    create(&fixture, "a/b").unwrap();
    let id = fixture.id("a/b");
    fixture.account.rename_mailbox(name("a/b"), name("a/b/c")).wait().unwrap();
    assert_eq!(fixture.id("a/b/c"), id);
    assert_ne!(fixture.id("a/b"), id);
}

#[test]
fn renaming_is_refused_where_it_cannot_be() {
    let fixture = Fixture::new();
    let rename = |old, new| fixture.account.rename_mailbox(name(old), name(new)).wait();
    assert!(matches!(rename("nothere", "x"), Err(StoreError::NoMailbox)));
    assert!(matches!(rename("Sent", "Trash"), Err(StoreError::MailboxExists)));
    assert!(matches!(rename("Sent", "Inbox"), Err(StoreError::IsInbox)));
    let long = ["a"; 50].join("/");
    create(&fixture, "deep/er").unwrap();
    assert!(matches!(rename("deep", &long), Err(StoreError::BadName)));
    assert!(names(&fixture).contains(&"deep/er".to_owned()), "nothing happened");
}

#[test]
fn renaming_the_inbox_moves_its_messages_out() {
    let fixture = Fixture::new();
    fixture.deliver_many(3);
    create(&fixture, "Inbox/below").unwrap();
    fixture.account.rename_mailbox(name("Inbox"), name("old/in")).wait().unwrap();
    assert_eq!(fixture.uids("Inbox"), [0_u32; 0]);
    assert_eq!(fixture.uids("old/in"), [1, 2, 3]);
    assert!(names(&fixture).contains(&"Inbox/below".to_owned()));
    assert!(!fixture.account.read().unwrap().subscriptions().unwrap().contains(&name("old/in")));
    assert_eq!(fixture.mailbox("Inbox").uidnext, 4, "UIDs are not used again");
}

#[test]
fn subscriptions_are_independent_of_mailboxes() {
    let fixture = Fixture::new();
    let account = &fixture.account;
    account.subscribe_to(name("nothere")).wait().unwrap();
    account.subscribe_to(name("nothere")).wait().unwrap();
    account.unsubscribe_from(name("nothere")).wait().unwrap();
    let again = account.unsubscribe_from(name("nothere")).wait();
    assert!(matches!(again, Err(StoreError::NotSubscribed)));
    account.unsubscribe_from(name("Sent")).wait().unwrap();
    account.unsubscribe_from(name("Sent")).wait().unwrap();
}

#[test]
fn changes_to_mailboxes_are_told() {
    let fixture = Fixture::new();
    let subscription = fixture.account.subscribe();
    create(&fixture, "a").unwrap();
    fixture.account.rename_mailbox(name("a"), name("b")).wait().unwrap();
    fixture.account.delete_mailbox(name("b")).wait().unwrap();
    fixture.account.unsubscribe_from(name("a")).wait().unwrap();
    let changes = subscription.take().changes;
    assert!(changes.is_sorted_by_key(|change| change.modseq));
    let told = kinds(&changes);
    assert!(matches!(&told[0], ChangeKind::MailboxAdded { subscribed: true, .. }));
    assert!(matches!(&told[1], ChangeKind::MailboxRenamed { subscribed: false, .. }));
    assert!(matches!(&told[2], ChangeKind::MailboxRemoved { .. }));
    assert!(matches!(&told[3], ChangeKind::Subscription { exists: false, .. }));
    assert_eq!(told.len(), 4);
}

#[test]
fn messages_of_a_deleted_mailbox_are_removed_for_its_sessions_too() {
    let fixture = Fixture::new();
    fixture.add("Junk", vec![fixture.message(b"Subject: x\r\n\r\nx\r\n")]).unwrap();
    let (id, subscription) = (fixture.id("Junk"), fixture.account.subscribe());
    fixture.account.delete_mailbox(name("Junk")).wait().unwrap();
    let told = kinds(&subscription.take().changes);
    assert!(matches!(&told[0], ChangeKind::Removed { mailbox, .. } if *mailbox == id));
    // The session has not applied it: the message can still be read.
    let reader = fixture.account.read().unwrap();
    assert!(reader.content(id, crate::support::uid(1)).is_ok());
    drop(reader);
    subscription.applied(ModSeq::MAX);
    fixture.settle();
    let gone = fixture.account.read().unwrap().content(id, crate::support::uid(1));
    assert!(matches!(gone, Err(StoreError::NoMessage)));
}
