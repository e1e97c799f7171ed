//! Taking over many messages: duplicates, the quota, times and keywords.

use mox_base::{Flags, Keyword, UnixSeconds};
use mox_store::{Imported, MAILBOX_KEYWORDS_MAX, NewMessage, Policy, RealDisk};

use crate::support::{Fixture, START, name};

fn import(fixture: &Fixture, mailbox: &str, messages: Vec<NewMessage>) -> Imported {
    fixture.account.import(name(mailbox), messages, true).wait().unwrap()
}

fn counts(imported: Imported) -> (u64, u64, Option<u64>) {
    (imported.added, imported.duplicates, imported.over_quota)
}

#[test]
fn what_is_there_already_is_left_out() {
    let fixture = Fixture::new();
    let some = |numbers: &[u32]| -> Vec<NewMessage> {
        let text = |n: &u32| format!("Subject: {n}\r\n\r\nbody\r\n");
        numbers.iter().map(|n| fixture.message(text(n).as_bytes())).collect()
    };
    assert_eq!(counts(import(&fixture, "new/box", some(&[1, 2, 1]))), (2, 1, None));
    assert_eq!(counts(import(&fixture, "new/box", some(&[2, 3]))), (1, 1, None));
    // Elsewhere it is none.
    assert_eq!(counts(import(&fixture, "Inbox", some(&[1]))), (1, 0, None));
    // Nothing new: the mailbox stays as it is.
    let before = fixture.mailbox("new/box");
    assert_eq!(counts(import(&fixture, "new/box", some(&[1, 2, 3]))), (0, 3, None));
    assert_eq!(fixture.mailbox("new/box"), before);
    let twice = fixture.account.import(name("new/box"), some(&[1]), false).wait().unwrap();
    assert_eq!(counts(twice), (1, 0, None));
    assert_eq!(fixture.uids("new/box"), [1, 2, 3, 4]);
    // Sessions hear of it as of any other message.
    let subscription = fixture.account.subscribe();
    import(&fixture, "Inbox", some(&[7, 8]));
    assert_eq!(subscription.take().changes.len(), 1);
}

#[test]
fn the_quota_ends_it_with_what_fits() {
    let policy = Policy { quota_bytes: Some(100), ..Policy::default() };
    let fixture = Fixture::with(policy, RealDisk);
    let messages = (0..5).map(|n| fixture.message(format!("A: {n}\r\n\r\n{:30}", 'x').as_bytes()));
    let imported = import(&fixture, "Inbox", messages.collect());
    assert_eq!(counts(imported), (2, 0, Some(100)));
    assert_eq!(fixture.uids("Inbox"), [1, 2]);
}

#[test]
fn the_time_is_that_of_the_source_or_of_the_date_field() {
    let fixture = Fixture::new();
    let dated = |date: &str| fixture.message(format!("Date: {date}\r\n\r\n{date}").as_bytes());
    let known = NewMessage {
        received: Some(UnixSeconds(5).into()),
        ..dated("Fri, 2 Jan 1970 00:00:00 +0000")
    };
    let messages = vec![
        known,
        dated("Fri, 2 Jan 1970 00:00:00 +0000"),
        dated("Fri, 2 Jan 2099 00:00:00 +0000"),
        dated("none"),
    ];
    // The first two have the same content.
    assert_eq!(
        counts(fixture.account.import(name("Inbox"), messages, false).wait().unwrap()),
        (4, 0, None)
    );
    let reader = fixture.account.read().unwrap();
    let mut times = Vec::new();
    let flow = reader.fetch(
        fixture.id("Inbox"),
        &[1, 2, 3, 4],
        mox_store::Columns::default(),
        &mut |row| {
            times.push(row.received.time().0);
            std::ops::ControlFlow::Continue(())
        },
    );
    assert!(flow.unwrap().is_continue());
    assert_eq!(times, [5, 86_400, START.0, START.0]);
}

#[test]
fn keywords_beyond_the_bound_are_left_out() {
    let fixture = Fixture::new();
    let words = |range: std::ops::Range<usize>| -> Vec<Keyword> {
        range.map(|n| Keyword::parse(&format!("w{n:04}")).unwrap()).collect()
    };
    let with = |n: usize| NewMessage {
        keywords: words(n * 90..(n + 1) * 90),
        flags: Flags::SEEN,
        ..fixture.message(format!("A: {n}\r\n\r\n").as_bytes())
    };
    let imported = import(&fixture, "Inbox", (0..12).map(with).collect());
    assert_eq!(imported.added, 12);
    assert_eq!(imported.keywords_left_out, 12 * 90 - MAILBOX_KEYWORDS_MAX as u64);
    assert_eq!(fixture.mailbox("Inbox").keywords.len(), MAILBOX_KEYWORDS_MAX);
    // What the mailbox knows is kept.
    let again = NewMessage { keywords: words(0..101), ..fixture.message(b"B: c\r\n\r\n") };
    assert_eq!(import(&fixture, "Inbox", vec![again]).keywords_left_out, 1);
}
