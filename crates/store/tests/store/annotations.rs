//! Annotations of mailboxes and of the account.

use mox_store::{ANNOTATION_BYTES_MAX, ANNOTATIONS_MAX, ChangeKind, StoreError};

use crate::support::{Fixture, name};

fn set(
    fixture: &Fixture,
    mailbox: Option<&str>,
    changes: &[(&str, Option<&[u8]>)],
) -> Result<(), StoreError> {
    let change = |(key, value): &(&str, Option<&[u8]>)| {
        ((*key).to_owned(), value.map(|value| (value.to_vec(), false)))
    };
    let changes = changes.iter().map(change).collect();
    fixture.account.set_annotations(mailbox.map(name), changes).wait()
}

fn names(fixture: &Fixture, mailbox: Option<&str>) -> Vec<String> {
    let id = mailbox.map(|mailbox| fixture.id(mailbox));
    let all = fixture.account.read().unwrap().annotations(id).unwrap();
    all.into_iter().map(|annotation| annotation.name).collect()
}

/// RFC 5464 §4.3.
#[test]
fn annotations_are_set_and_removed_together() {
    let fixture = Fixture::new();
    let feed = fixture.account.subscribe();
    let before = fixture.mailbox("Inbox").modseq;
    set(&fixture, Some("Inbox"), &[("/private/B", Some(b"1")), ("/private/a", Some(b""))]).unwrap();
    set(&fixture, None, &[("/shared/x", Some(b"2"))]).unwrap();
    assert_eq!(names(&fixture, Some("Inbox")), ["/private/a", "/private/b"]);
    assert_eq!(names(&fixture, None), ["/shared/x"]);
    assert!(fixture.mailbox("Inbox").modseq > before);
    let told: Vec<_> = feed.take().changes.iter().map(|change| change.kind.clone()).collect();
    let want = ["/private/a".to_owned(), "/private/b".to_owned()];
    assert!(matches!(&told[0], ChangeKind::Annotations { mailbox: Some((_, of)), names }
            if *of == name("Inbox") && names[..] == want));
    assert!(matches!(&told[1], ChangeKind::Annotations { mailbox: None, .. }));
    set(&fixture, Some("Inbox"), &[("/private/b", None), ("/private/c", Some(b"3"))]).unwrap();
    assert_eq!(names(&fixture, Some("Inbox")), ["/private/a", "/private/c"]);
    assert!(matches!(set(&fixture, Some("nothere"), &[]), Err(StoreError::NoMailbox)));
    fixture.check();
}

#[test]
fn there_are_limits_over_the_whole_account() {
    let fixture = Fixture::new();
    let keys: Vec<_> = (0..ANNOTATIONS_MAX).map(|n| format!("/private/{n}")).collect();
    let all: Vec<_> = keys.iter().map(|key| (key.as_str(), Some(&b"x"[..]))).collect();
    set(&fixture, Some("Inbox"), &all).unwrap();
    let more = set(&fixture, None, &[("/private/more", Some(b"x"))]);
    assert!(matches!(more, Err(StoreError::TooManyAnnotations)));
    assert_eq!(names(&fixture, None), Vec::<String>::new());
    let none: Vec<_> = keys.iter().map(|key| (key.as_str(), None)).collect();
    set(&fixture, Some("Inbox"), &none).unwrap();
    let large = vec![b'x'; ANNOTATION_BYTES_MAX - 10];
    set(&fixture, None, &[("/private/a", Some(&large))]).unwrap();
    let more = set(&fixture, Some("Inbox"), &[("/private/b", Some(b"x"))]);
    assert!(matches!(more, Err(StoreError::AnnotationsTooLarge)));
    fixture.check();
}

#[test]
fn annotations_go_with_their_mailbox() {
    let fixture = Fixture::new();
    set(&fixture, Some("Archive"), &[("/private/a", Some(b"1"))]).unwrap();
    set(&fixture, Some("Inbox"), &[("/private/i", Some(b"1"))]).unwrap();
    fixture.account.rename_mailbox(name("Archive"), name("Old")).wait().unwrap();
    assert_eq!(names(&fixture, Some("Old")), ["/private/a"]);
    // Renaming the Inbox gives away its messages; what is kept with it is on both then.
    fixture.account.rename_mailbox(name("Inbox"), name("Was")).wait().unwrap();
    assert_eq!(names(&fixture, Some("Inbox")), ["/private/i"]);
    assert_eq!(names(&fixture, Some("Was")), ["/private/i"]);
    fixture.account.delete_mailbox(name("Old")).wait().unwrap();
    fixture.check();
    fixture.account.create_mailbox(name("Old"), mox_base::SpecialUse::NONE).wait().unwrap();
    assert_eq!(names(&fixture, Some("Old")), Vec::<String>::new());
}
