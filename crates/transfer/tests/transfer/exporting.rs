//! Mail out of an account, and into another one.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;

use mox_base::{Flags, Keyword, MailboxName, UnixSeconds};
use mox_store::{Policy, ReadOnly};
use mox_transfer::{
    Body, Event, ExportError, ExportOptions, Exported, Format, Item, Target, export,
};
use proptest::prelude::*;

use crate::support::{Fixture, Message, START};

/// Where an export goes to.
#[derive(Clone, Copy, Debug)]
enum To {
    Directory,
    Tar,
    Tgz,
    Zip,
}

const ALL: [To; 4] = [To::Directory, To::Tar, To::Tgz, To::Zip];

fn options(fixture: &Fixture, format: Format) -> ExportOptions {
    let temporary = fixture.dir.path().to_owned();
    ExportOptions { format, mailbox: None, recursive: true, since: None, temporary }
}

/// Exports an account, beside its use, and takes it over into a fresh one.
fn there_and_back(
    fixture: &Fixture,
    format: Format,
    to: To,
) -> (Exported, BTreeMap<String, Vec<Message>>) {
    let account = ReadOnly::open(&fixture.dir.path().join("accounts/mjl")).unwrap();
    let open = || account.read();
    let options = options(fixture, format);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export");
    let watch = &mut |_: &Exported| ControlFlow::Continue(());
    let done = match to {
        To::Directory => {
            let target = Target::directory(&path).unwrap();
            export(&open, &options, target, watch).unwrap().0
        }
        To::Tar | To::Tgz | To::Zip => {
            let file = fs::File::create(&path).unwrap();
            let target = match to {
                To::Tar => Target::tar(file),
                To::Tgz => Target::tgz(file),
                _ => Target::zip(file),
            };
            let (done, target) = export(&open, &options, target, watch).unwrap();
            target.finish().unwrap();
            done
        }
    };
    let other = Fixture::new();
    let (added, duplicates) = other.import_path(&path);
    assert_eq!((added + duplicates, done.messages), (done.messages, done.messages_total));
    (done, other.messages())
}

fn item(mailbox: &str, received: i64, marks: (Flags, &[&str]), content: &str) -> Event {
    Event::Message(Box::new(Item {
        mailbox: MailboxName::parse(mailbox).unwrap(),
        received: Some(UnixSeconds(received).into()),
        flags: marks.0,
        keywords: marks.1.iter().map(|word| Keyword::parse(word).unwrap()).collect(),
        content: Body::from_vec(content.as_bytes().to_vec()),
    }))
}

fn some_mail() -> Vec<Event> {
    let all = Flags::ALL & !Flags::SEEN;
    let large = format!("Subject: large\r\n\r\n{}", "0123456789 abcdefghi\r\n".repeat(40_000));
    vec![
        item(
            "Inbox",
            20,
            (Flags::SEEN, &["work", "a,b"]),
            "Subject: one\r\n\r\nFrom here\r\n>From there\r\n",
        ),
        item("Inbox", 10, (all, &[]), "Subject: two\r\n\r\n\r\n\r\n"),
        item("Inbox", 30, (Flags::NONE, &["c,d"]), "Subject: empty\r\n\r\n"),
        item("a/b", 5, (Flags::FLAGGED, &[]), &large),
        item("a/Entwürfe & more", 5, (Flags::NONE, &[]), "\r\nno header\r\n"),
    ]
}

fn sorted(mut all: BTreeMap<String, Vec<Message>>) -> BTreeMap<String, Vec<Message>> {
    for messages in all.values_mut() {
        messages.iter_mut().for_each(|message| message.flags.sort());
        messages.sort();
    }
    all
}

#[test]
fn an_export_read_again_gives_the_same_in_every_form() {
    let fixture = Fixture::new();
    fixture.import_events(some_mail()).0.end.unwrap();
    let want = sorted(fixture.messages());
    assert_eq!(want.values().map(Vec::len).sum::<usize>(), 5);
    for format in [Format::Maildir, Format::Mbox] {
        for to in ALL {
            let (done, got) = there_and_back(&fixture, format, to);
            assert_eq!(sorted(got), want, "{format:?} {to:?}");
            assert_eq!((done.mailboxes, done.messages, done.problems.len()), (4, 5, 0));
        }
    }
}

#[test]
fn one_mailbox_loses_the_names_above_it() {
    let fixture = Fixture::new();
    fixture.import_events(some_mail()).0.end.unwrap();
    let dir = fixture.dir.path().join("out");
    let name = Some(MailboxName::parse("a/b").unwrap());
    let options = ExportOptions { mailbox: name, ..options(&fixture, Format::Mbox) };
    let open = || fixture.account.read();
    let watch = &mut |_: &Exported| ControlFlow::Continue(());
    let target = Target::directory(&dir).unwrap();
    let (done, _) = export(&open, &options, target, watch).unwrap();
    assert_eq!((done.mailboxes, done.messages), (1, 1));
    assert!(dir.join("b.mbox").is_file());
    // Nothing is written over.
    let again = export(&open, &options, Target::directory(&dir).unwrap(), watch);
    assert!(matches!(again, Err(ExportError::Write { .. })));
    // A single stream has the same.
    let (_, target) = export(&open, &options, Target::single(Vec::new()), watch).unwrap();
    assert_eq!(target.finish().unwrap().unwrap(), fs::read(dir.join("b.mbox")).unwrap());
    // Of several, or as Maildir, there is none.
    for options in [
        ExportOptions { mailbox: None, ..options.clone() },
        ExportOptions { format: Format::Maildir, ..options.clone() },
    ] {
        let refused = export(&open, &options, Target::single(Vec::new()), watch);
        assert!(matches!(refused, Err(ExportError::NotSingle)));
    }
    let nowhere = Some(MailboxName::parse("b").unwrap());
    let refused = export(
        &open,
        &ExportOptions { mailbox: nowhere, ..options },
        Target::tar(Vec::new()),
        watch,
    );
    assert!(matches!(refused, Err(ExportError::NoMailbox)));
}

/// Mail of a day and later, for who goes back to another server.
#[test]
fn what_came_before_is_left_out() {
    let fixture = Fixture::new();
    fixture.import_events(some_mail()).0.end.unwrap();
    let open = || fixture.account.read();
    let whole = options(&fixture, Format::Mbox);
    let count = |since| {
        let options = ExportOptions { since, ..whole.clone() };
        let watch = &mut |_: &Exported| ControlFlow::Continue(());
        let (done, _) = export(&open, &options, Target::tar(Vec::new()), watch).unwrap();
        assert_eq!(done.messages_total, done.messages);
        done.messages
    };
    // All came into their mailboxes when they were imported, whatever their dates.
    assert!(count(None) > 2);
    assert_eq!(count(Some(START)), count(None));
    assert_eq!(count(Some(START.plus_secs(1))), 0);
}

#[test]
fn what_does_not_fit_is_written_down() {
    let fixture = Fixture::with(Policy::default());
    let words: Vec<String> = (0..30).map(|n| format!("w{n}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let events = vec![item("cur", 10, (Flags::NONE, &words), "Subject: x\r\n\r\n")];
    fixture.import_events(events).0.end.unwrap();
    let (done, got) = there_and_back(&fixture, Format::Maildir, To::Directory);
    assert_eq!(got["_cur"][0].flags.len(), 26);
    assert_eq!(done.problems.len(), 2, "{:?}", done.problems);
    // An mbox has room for all.
    let (done, got) = there_and_back(&fixture, Format::Mbox, To::Zip);
    assert_eq!((got["_cur"][0].flags.len(), done.problems.len()), (30, 1));
}

fn any_message() -> impl Strategy<Value = (i64, u16, Vec<String>, String)> {
    let line = "(From |>From |>|)[a-z :]{0,12}";
    let body = proptest::collection::vec(line, 0..6);
    // Fields that tell of flags are not kept, on purpose.
    let header = proptest::collection::vec(
        "(Subject|X-[A-J]{1,5}|To): ?[a-z >]{0,20}(\r\n [a-z]{1,9})?",
        1..4,
    );
    let words = proptest::collection::vec("k[a-z,$-]{0,5}[a-z]", 0..3);
    (0_i64..4_000_000_000, 0_u16..1024, words, header, body).prop_map(
        |(time, bits, words, header, body)| {
            let mut text = header.join("\r\n");
            text.push_str("\r\n\r\n");
            for line in body {
                text.push_str(&line);
                text.push_str("\r\n");
            }
            (time, bits, words, text)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_mail_comes_back_as_it_was(messages in proptest::collection::vec(any_message(), 1..12)) {
        let fixture = Fixture::new();
        let events = messages.iter().map(|(time, bits, words, text)| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            item("Inbox", *time, (Flags::from_bits(*bits), &words), text)
        });
        fixture.import_events(events.collect()).0.end.unwrap();
        let want = sorted(fixture.messages());
        for format in [Format::Maildir, Format::Mbox] {
            let (_, got) = there_and_back(&fixture, format, To::Tar);
            prop_assert_eq!(&sorted(got), &want);
        }
    }
}
