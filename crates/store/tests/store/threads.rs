//! Which thread a message joins.

use crate::support::{Fixture, START, name};

struct Mail<'a> {
    id: &'a str,
    subject: &'a str,
    references: &'a str,
}

fn deliver(fixture: &Fixture, mail: &Mail<'_>) -> i64 {
    let Mail { id, subject, references } = mail;
    let mut content = format!("Message-ID: <{id}>\r\nSubject: {subject}\r\n");
    if !references.is_empty() {
        content.push_str(&format!("References: {references}\r\n"));
    }
    let uid = fixture.deliver(format!("{content}\r\nbody\r\n").as_bytes());
    fixture.row("Inbox", uid.get()).1
}

#[test]
fn references_join_a_thread_if_the_subject_agrees() {
    let fixture = Fixture::new();
    let mail = |id, subject, references| deliver(&fixture, &Mail { id, subject, references });
    let first = mail("1@x", "Plans", "");
    assert_eq!(mail("2@x", "Re: plans", "<1@x>"), first);
    assert_eq!(mail("3@x", "Re: Re: Plans", "<1@x> <2@x>"), first);
    // The parent is missing, the grandparent is not.
    assert_eq!(mail("5@x", "Re: plans", "<1@x> <4@x>"), first);
    assert_ne!(mail("6@x", "Something else", "<1@x>"), first);
    // References to nothing known: a thread of its own, whatever the subject.
    assert_ne!(mail("7@x", "Re: plans", "<unknown@x>"), first);
}

#[test]
fn the_same_message_twice_is_one_thread() {
    let fixture = Fixture::new();
    let mail = |id, subject, references| deliver(&fixture, &Mail { id, subject, references });
    let first = mail("1@x", "Plans", "");
    assert_eq!(mail("1@X", "Other", ""), first);
}

#[test]
fn replies_without_references_join_by_subject_within_four_weeks() {
    let fixture = Fixture::new();
    let mail = |id, subject, references| deliver(&fixture, &Mail { id, subject, references });
    let first = mail("1@x", "Plans", "");
    assert_ne!(mail("2@x", "Plans", ""), first, "no reply");
    let second = mail("3@x", "Re: plans", "");
    assert_ne!(second, first, "the newest of that subject");
    fixture.clock.set(START.plus_secs(29 * 86_400));
    let late = mail("4@x", "Re: plans", "");
    assert!(![first, second].contains(&late));
}

#[test]
fn a_message_that_refers_to_itself_is_no_child_of_itself() {
    let fixture = Fixture::new();
    let mail = |id, subject, references| deliver(&fixture, &Mail { id, subject, references });
    let own = mail("1@x", "Loop", "<1@x> <2@x>");
    assert_eq!(mail("2@x", "Re: Loop", "<1@x>"), own);
    assert_eq!(mail("3@x", "Re: Loop", "<3@x>"), mail("3@x", "Re: Loop", "<3@x>"));
}

#[test]
fn threads_survive_moves_and_the_loss_of_ancestors() {
    let fixture = Fixture::new();
    let mail = |id, subject, references| deliver(&fixture, &Mail { id, subject, references });
    let first = mail("1@x", "Plans", "");
    mail("2@x", "Re: Plans", "<1@x>");
    let inbox = fixture.id("Inbox");
    fixture.account.move_to(inbox, crate::support::set(&[2]), name("Archive")).wait().unwrap();
    assert_eq!(fixture.row("Archive", 1).1, first);
    let which = mox_store::Expunge { uids: crate::support::set(&[1]), only_deleted: false };
    fixture.account.expunge(inbox, which).wait().unwrap();
    fixture.settle();
    assert_eq!(mail("3@x", "Re: Plans", "<1@x> <2@x>"), first);
}
