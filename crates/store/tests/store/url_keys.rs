//! Keys that sign URLs of messages. RFC 4467 §2.2.

use crate::support::{Fixture, name};
use mox_base::SpecialUse;
use mox_store::StoreError;

#[test]
fn a_mailbox_keeps_its_key_until_that_is_reset() {
    let fixture = Fixture::new();
    let make = |mailbox, fresh: u8| fixture.account.url_key(name(mailbox), [fresh; 32]).wait();
    let read = |mailbox| fixture.account.read().unwrap().url_key(fixture.id(mailbox)).unwrap();
    let reset = |mailbox: Option<&str>| fixture.account.reset_url_keys(mailbox.map(name)).wait();
    assert_eq!(read("Inbox"), None);
    assert_eq!(make("Inbox", 1).unwrap(), [1; 32]);
    assert_eq!(make("Inbox", 2).unwrap(), [1; 32]);
    assert_eq!(make("Drafts", 3).unwrap(), [3; 32]);
    // One mailbox.
    reset(Some("Inbox")).unwrap();
    assert_eq!((read("Inbox"), read("Drafts")), (None, Some([3; 32])));
    assert_eq!(make("Inbox", 4).unwrap(), [4; 32]);
    // All.
    reset(None).unwrap();
    assert_eq!((read("Inbox"), read("Drafts")), (None, None));
    // None that does not exist.
    assert!(matches!(make("nowhere", 1), Err(StoreError::NoMailbox)));
    assert!(matches!(reset(Some("nowhere")), Err(StoreError::NoMailbox)));
    fixture.check();
}

/// RFC 4467 §2.2: a new mailbox of the same name has nothing to do with the old one.
#[test]
fn a_deleted_mailbox_takes_its_key_along() {
    let fixture = Fixture::new();
    fixture.account.url_key(name("Archive"), [1; 32]).wait().unwrap();
    fixture.account.rename_mailbox(name("Archive"), name("Old")).wait().unwrap();
    let key = fixture.account.read().unwrap().url_key(fixture.id("Old")).unwrap();
    assert_eq!(key, Some([1; 32]));
    fixture.account.delete_mailbox(name("Old")).wait().unwrap();
    fixture.account.create_mailbox(name("Old"), SpecialUse::NONE).wait().unwrap();
    assert_eq!(fixture.account.read().unwrap().url_key(fixture.id("Old")).unwrap(), None);
    fixture.check();
}
