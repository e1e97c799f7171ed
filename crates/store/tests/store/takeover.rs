//! Accounts that come from another server with all their numbers.

use std::io::Cursor;
use std::ops::ControlFlow;

use mox_base::{
    Address, Flags, Keyword, MailboxId, ModSeq, MsgId, NumSet, SpecialUse, ThreadId, UidValidity,
    UnixSeconds, Validation, ZonedTime,
};
use mox_policy::{Addressee, History as _};
use mox_store::{
    Columns, Envelope, Fetched, KeptAccount, KeptAnnotation, KeptMailbox, KeptMessage, KeptThread,
    ReceivedTls, StoreError,
};

use crate::history::{incoming, origin};
use crate::support::{Fixture, name, uid};

/// A version that is not spoken any more.
const TLS: ReceivedTls = ReceivedTls { version: 0x0301, cipher: 0x002f, is_required: true };

fn modseq(number: u64) -> ModSeq {
    ModSeq::new(number).unwrap()
}

fn mailbox(id: i64, of: &str, uidvalidity: u32, uidnext: u32) -> KeptMailbox {
    KeptMailbox {
        id: MailboxId(id),
        name: name(of),
        uidvalidity: UidValidity::new(uidvalidity).unwrap(),
        uidnext,
        modseq: modseq(40),
        createseq: modseq(1),
        special_use: SpecialUse::NONE,
        keywords: vec![Keyword::parse("old").unwrap()],
    }
}

fn annotation(mailbox: Option<MailboxId>, value: &[u8]) -> KeptAnnotation {
    let (name, value) = ("/private/comment".to_owned(), value.to_vec());
    KeptAnnotation { mailbox, name, value, is_binary: mailbox.is_some() }
}

fn account() -> KeptAccount {
    KeptAccount {
        modseq: modseq(50),
        last_message: MsgId(900),
        last_mailbox: MailboxId(30),
        next_uidvalidity: UidValidity::new(1_000),
        mailboxes: vec![mailbox(1, "Inbox", 997, 100), mailbox(17, "Lists/rust", 998, 5)],
        subscriptions: vec![name("Lists/rust"), name("Gone")],
        annotations: vec![annotation(None, b"all"), annotation(Some(MailboxId(1)), b"\x00 one")],
    }
}

fn message(fixture: &Fixture, id: i64, in_mailbox: i64, at: u32) -> KeptMessage {
    let content = b"Message-ID: <x@y.example>\r\nSubject: kept\r\n\r\nbody\r\n";
    let prefix = b"Received: from there\r\n".to_vec();
    KeptMessage {
        id: MsgId(id),
        mailbox: MailboxId(in_mailbox),
        uid: uid(at),
        modseq: modseq(44),
        createseq: modseq(20),
        content: fixture.account.stage(prefix, &mut Cursor::new(content)).unwrap(),
        flags: Flags::SEEN | Flags::NOT_JUNK,
        keywords: vec![Keyword::parse("work").unwrap()],
        received: UnixSeconds(1_700_000_000),
        received_zone: 90,
        saved: UnixSeconds(1_700_000_005),
        thread: KeptThread {
            id: ThreadId(3),
            parents: vec![MsgId(3)],
            is_incomplete: false,
            is_muted: true,
            is_collapsed: false,
        },
        original_mailbox: MailboxId(1),
        destined: None,
        envelope: Some(Envelope {
            incoming: Some(incoming(origin("ann@y.example", Validation::Strict, "192.0.2.7"))),
            tls: TLS,
            ..Envelope::default()
        }),
        preview: Some("as it was\n".to_owned()),
    }
}

#[test]
fn mailboxes_and_messages_keep_their_numbers() {
    let fixture = Fixture::new();
    fixture.account.keep(account()).wait().unwrap();
    let messages = vec![message(&fixture, 700, 1, 42), message(&fixture, 701, 17, 4)];
    fixture.account.keep_messages(messages).wait().unwrap();
    let gone = vec![(MailboxId(1), modseq(48), uid(43)), (MailboxId(99), modseq(49), uid(1))];
    fixture.account.keep_gone(gone).wait().unwrap();

    let inbox = fixture.mailbox("Inbox");
    assert_eq!((inbox.id, inbox.uidvalidity.get(), inbox.uidnext), (MailboxId(1), 997, 100));
    assert_eq!((inbox.modseq, inbox.counts.total, inbox.counts.unseen), (modseq(48), 1, 0));
    let keywords: Vec<_> = inbox.keywords.iter().map(Keyword::as_str).collect();
    assert_eq!(keywords, ["old", "work"]);
    // The one above was missing there and is made, with a number of its own.
    let lists = fixture.mailbox("Lists");
    assert!(lists.id.0 > 30 && lists.uidvalidity.get() >= 1_000, "{lists:?}");
    let reader = fixture.account.read().unwrap();
    assert_eq!(reader.modseq(), modseq(50).max(lists.createseq));
    assert_eq!(reader.subscriptions().unwrap(), [name("Gone"), name("Lists/rust")]);
    let changed = reader.changed_since(inbox.id, modseq(43), &NumSet::all()).unwrap();
    let row = &changed.rows[0];
    assert_eq!((row.uid, row.modseq, row.thread), (uid(42), modseq(44), ThreadId(3)));
    assert_eq!(
        (row.flags, Some(row.received)),
        (Flags::SEEN | Flags::NOT_JUNK, ZonedTime::new(UnixSeconds(1_700_000_000), 90))
    );
    assert_eq!(reader.gone_at(inbox.id, uid(43)).unwrap(), Some(modseq(48)));
    let ids = [700, 701, 702].map(MsgId);
    assert_eq!(reader.holds(&ids).unwrap(), [true, true, false]);
    let known = reader.remembered(MsgId(700)).unwrap().unwrap();
    assert_eq!(known.envelope.unwrap().tls, TLS);
    // Annotations raise no modseq, and the preview is the one that clients know.
    for (of, value) in [(None, &b"all"[..]), (Some(inbox.id), b"\x00 one")] {
        let found = reader.annotations(of).unwrap();
        assert_eq!((&found[0].value[..], found[0].is_binary), (value, of.is_some()));
    }
    let columns = Columns { preview: true, ..Columns::default() };
    let mut previews = Vec::new();
    let visit = &mut |fetched: &Fetched<'_>| {
        previews.push(fetched.preview.to_owned());
        ControlFlow::Continue(())
    };
    assert!(reader.fetch(inbox.id, &[42], columns, visit).unwrap().is_continue());
    assert_eq!(previews, ["as it was\n"]);
    drop(reader);
    assert!(fixture.body("Inbox", 42).unwrap().starts_with(b"Received: from there\r\nMessage-ID"));
    // Whom a message went to without naming them.
    let ann = |at: &str| Address::parse(&format!("ann@{at}.example")).unwrap();
    let all = vec![
        (MsgId(700), ann("bcc"), UnixSeconds(1_700_000_000)),
        (MsgId(999), ann("nobody"), UnixSeconds(1_700_000_000)),
    ];
    fixture.account.keep_recipients(all).wait().unwrap();
    let reader = fixture.account.read().unwrap();
    let has_sent_to = |to: &Address, since| {
        reader.has_sent_to(Addressee::Address(to), UnixSeconds(since)).unwrap()
    };
    assert!(has_sent_to(&ann("bcc"), 1_700_000_000) && !has_sent_to(&ann("bcc"), 1_700_000_001));
    assert!(!has_sent_to(&ann("nobody"), 0));
    drop(reader);
    // What comes next is numbered after all that was.
    let next = fixture.deliver(b"Subject: new\r\n\r\n");
    assert_eq!(next, uid(100));
    fixture.settle();
}

#[test]
fn each_step_can_be_repeated_and_another_account_is_left_alone() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        fixture.account.keep(account()).wait().unwrap();
        let messages = vec![message(&fixture, 700, 1, 42), message(&fixture, 701, 1, 43)];
        fixture.account.keep_messages(messages).wait().unwrap();
        fixture.account.keep_gone(vec![(MailboxId(17), modseq(48), uid(3))]).wait().unwrap();
        assert_eq!(fixture.mailbox("Inbox").counts.total, 2);
    }
    let mut other = account();
    other.mailboxes[0].uidvalidity = UidValidity::new(5).unwrap();
    assert!(matches!(fixture.account.keep(other).wait(), Err(StoreError::InUse)));
    // The same UID twice is refused, and the rest of the batch with it.
    let twice = vec![message(&fixture, 710, 1, 50), message(&fixture, 711, 1, 42)];
    let refused = fixture.account.keep_messages(twice).wait();
    assert!(matches!(refused, Err(StoreError::UidTaken)));
    assert_eq!(fixture.account.read().unwrap().last_message().unwrap(), Some(MsgId(701)));
    assert_eq!(fixture.mailbox("Inbox").counts.total, 2);
    let nowhere = vec![message(&fixture, 712, 2, 1)];
    assert!(matches!(fixture.account.keep_messages(nowhere).wait(), Err(StoreError::NoMailbox)));
    let used = Fixture::new();
    used.deliver(b"Subject: own\r\n\r\n");
    assert!(matches!(used.account.keep(account()).wait(), Err(StoreError::InUse)));
}

#[test]
fn an_account_that_lost_mailboxes_and_counters_gets_new_ones() {
    let fixture = Fixture::new();
    let lost = KeptAccount {
        next_uidvalidity: None,
        mailboxes: vec![mailbox(17, "Lists", 998, 5)],
        annotations: Vec::new(),
        ..account()
    };
    for _ in 0..2 {
        fixture.account.keep(lost.clone()).wait().unwrap();
        fixture.account.keep_recovered(MailboxId(29), name("Recovered-29")).wait().unwrap();
        fixture.account.keep_messages(vec![message(&fixture, 700, 29, 42)]).wait().unwrap();
    }
    let (inbox, found) = (fixture.mailbox("Inbox"), fixture.mailbox("Recovered-29"));
    // By the time of the clock, so above what the other server gave out.
    assert!(inbox.uidvalidity.get() > 1_000_000 && inbox.uidvalidity != found.uidvalidity);
    assert_eq!((found.id, found.counts.total, found.uidnext), (MailboxId(29), 1, 43));
    let subscriptions = fixture.account.read().unwrap().subscriptions().unwrap();
    assert!(subscriptions.contains(&name("Recovered-29")), "{subscriptions:?}");
    fixture.account.create_mailbox(name("New"), SpecialUse::NONE).wait().unwrap();
    assert!(fixture.mailbox("New").id.0 > 31);
    fixture.settle();
}
