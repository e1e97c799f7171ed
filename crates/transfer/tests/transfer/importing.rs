//! Directories, archives and single files into an account.

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mox_base::{Flags, MailboxName, SpecialUse};
use mox_store::Policy;
use mox_transfer::{
    BATCH_BYTES, BODY_MEMORY_MAX, Body, BodyWriter, Event, ImportError, ImportOptions, Item, Meter,
    Notice, ReadOptions, SourceError, import, read_path,
};

use crate::support::{Fixture, START};

/// A tree of mail as several programs would leave it.
const TREE: [(&str, &str); 12] = [
    ("cur/20.a.b:2,S", "Subject: second\n\nb\n"),
    ("cur/10.a.b:2,Fab", "Subject: first\n\na\n"),
    ("new/30.a.b", "Subject: third\r\n\r\nc\r\n"),
    ("dovecot-keywords", "0 Work\n1 $Forwarded\n"),
    (".Sent Items.2020/cur/5.a.b:2,RS", "Subject: sent\n\n\n"),
    (".Sent Items/maildirfolder", ""),
    (".Sent Items/new/1.a.b", "Subject: x\n\n"),
    (".Entw&APw-rfe/cur/1.a.b:2,D", "Subject: draft\n\n"),
    ("subscriptions", "INBOX.Sent\n"),
    ("old.mbox", "From a Thu Jan  1 00:00:10 1970\nStatus: R\nA: b\n\nx\n\n"),
    ("deep/er/cur/9.a.b:2,", "Subject: deep\n\n"),
    ("cur/.hidden", "no mail"),
];

fn write_tree(root: &Path) {
    for (path, content) in TREE {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn write_tar(path: &Path, is_compressed: bool) {
    let file = fs::File::create(path).unwrap();
    let level =
        if is_compressed { flate2::Compression::fast() } else { flate2::Compression::none() };
    let mut data = Vec::new();
    let mut builder = tar::Builder::new(&mut data);
    // The names of keywords come last: they are found all the same.
    let (keywords, rest): (Vec<_>, Vec<_>) =
        TREE.into_iter().partition(|(path, _)| *path == "dovecot-keywords");
    for (path, content) in rest.into_iter().chain(keywords) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mtime(77);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.finish().unwrap();
    drop(builder);
    if is_compressed {
        let mut encoder = flate2::write::GzEncoder::new(file, level);
        encoder.write_all(&data).unwrap();
        encoder.finish().unwrap();
    } else {
        fs::write(path, data).unwrap();
    }
}

fn write_zip(path: &Path) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, content) in TREE {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

#[track_caller]
fn check_tree(path: &Path) {
    let fixture = Fixture::new();
    assert_eq!(fixture.import_path(path), (8, 0), "{}", path.display());
    let mailboxes = fixture.mailboxes();
    let want = [
        "Entwürfe \\Drafts",
        "Inbox",
        "Sent Items \\Sent",
        "Sent Items/2020",
        "deep",
        "deep/er",
        "old",
    ];
    assert_eq!(mailboxes, want);
    let messages = fixture.messages();
    let mut inbox = messages["Inbox"].clone();
    inbox.sort();
    let shown: Vec<_> =
        inbox.iter().map(|m| (m.received, m.flags.join(" "), m.content.as_str())).collect();
    assert_eq!(
        shown,
        [
            (10, "\\Flagged $Forwarded work".to_owned(), "Subject: first\r\n\r\na\r\n"),
            (20, "\\Seen".to_owned(), "Subject: second\r\n\r\nb\r\n"),
            (30, String::new(), "Subject: third\r\n\r\nc\r\n"),
        ]
    );
    assert_eq!(messages["old"][0].received, 10);
    assert_eq!(messages["old"][0].flags, ["\\Seen"]);
    // Once more: it is all there.
    assert_eq!(fixture.import_path(path), (0, 8));
}

fn with_dir(test: impl FnOnce(PathBuf)) {
    let dir = tempfile::tempdir().unwrap();
    test(dir.path().to_owned());
}

#[test]
fn a_maildir_with_folders_is_taken_over() {
    with_dir(|dir| {
        write_tree(&dir);
        check_tree(&dir);
    });
}

#[test]
fn archives_are_taken_over_as_directories_are() {
    with_dir(|dir| {
        write_tar(&dir.join("a.tar"), false);
        check_tree(&dir.join("a.tar"));
        write_tar(&dir.join("a.tgz"), true);
        check_tree(&dir.join("a.tgz"));
        write_zip(&dir.join("a.zip"));
        check_tree(&dir.join("a.zip"));
    });
}

#[test]
fn folders_lie_below_the_target() {
    with_dir(|dir| {
        write_tree(&dir);
        let fixture = Fixture::new();
        let options =
            ReadOptions { target: MailboxName::parse("old/mail").unwrap(), ..fixture.options() };
        let (outcome, _) =
            fixture.import(|sink| read_path(&dir, &options, &Meter::default(), sink));
        outcome.end.unwrap();
        let names: Vec<String> = fixture.messages().into_keys().collect();
        assert!(names.contains(&"old/mail/Sent Items/2020".to_owned()), "{names:?}");
        assert_eq!(fixture.messages()["old/mail"].len(), 3);
    });
}

fn item(mailbox: &str, number: usize) -> Event {
    let content = format!("Subject: {number}\r\n\r\n{}\r\n", "text ".repeat(20));
    let mailbox = MailboxName::parse(mailbox).unwrap();
    let content = Body::from_vec(content.into_bytes());
    let (flags, keywords) = (Flags::NONE, Vec::new());
    Event::Message(Box::new(Item { mailbox, received: None, flags, keywords, content }))
}

#[test]
fn messages_keep_their_order_over_many_batches() {
    let fixture = Fixture::new();
    let (outcome, problems) = fixture.import_events((0..2_000).map(|n| item("a", n)).collect());
    outcome.end.unwrap();
    assert_eq!((outcome.summary.added, problems.len()), (2_000, 0));
    let messages = &fixture.messages()["a"];
    for (number, message) in messages.iter().enumerate() {
        assert!(message.content.starts_with(&format!("Subject: {number}\r\n")), "{number}");
        assert_eq!(message.received, START.0);
    }
}

/// Attack on memory: messages just too large to be held in it are in files, of which each is open, and all of
/// a batch are held at once when they are compressed.
#[test]
fn large_messages_go_in_small_batches() {
    const MESSAGES: usize = 64;
    let fixture = Fixture::new();
    let temporary = fixture.options().temporary;
    let mut events = (0..MESSAGES).map(|number| {
        let mut body = BodyWriter::new(&temporary, u64::MAX);
        write!(body, "Subject: {number}\r\n\r\n").unwrap();
        body.write_all(&b"text\r\n".repeat(BODY_MEMORY_MAX / 6 + 1)).unwrap();
        let content = body.finish().unwrap().unwrap();
        assert_eq!(content.memory_bytes(), 0);
        let Event::Message(item) = item("a", number) else { unreachable!() };
        Event::Message(Box::new(Item { content, ..*item }))
    });
    let mut batches = 0;
    let outcome = import(
        &fixture.account,
        ImportOptions::default(),
        |sink| match events.try_for_each(sink) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(SourceError::Stopped),
        },
        &mut |notice| {
            batches += usize::from(matches!(notice, Notice::Progress(_)));
            ControlFlow::Continue(())
        },
    );
    outcome.end.unwrap();
    assert_eq!(outcome.summary.added, MESSAGES as u64);
    // One more at the end.
    assert!(batches > MESSAGES * BODY_MEMORY_MAX / BATCH_BYTES, "{batches}");
}

/// It was killed in the middle, after some commits, and runs again.
#[test]
fn an_import_that_was_cut_is_completed_without_doubles() {
    let fixture = Fixture::new();
    let (outcome, _) = fixture.import(|sink| {
        for number in 0..700 {
            if sink(item("a", number)).is_break() {
                return Err(SourceError::Stopped);
            }
        }
        Err(SourceError::Cut)
    });
    assert!(matches!(outcome.end, Err(ImportError::Source(SourceError::Cut))));
    assert_eq!(outcome.summary.added, 700);
    let (outcome, _) = fixture.import_events((0..1_000).map(|n| item("a", n)).collect());
    assert_eq!((outcome.summary.added, outcome.summary.duplicates), (300, 700));
    assert_eq!(fixture.messages()["a"].len(), 1_000);
}

#[test]
fn the_watcher_can_end_it() {
    let fixture = Fixture::new();
    let mut events = (0..5_000).map(|n| item("a", n));
    let outcome = import(
        &fixture.account,
        ImportOptions::default(),
        |sink| match events.try_for_each(sink) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(SourceError::Stopped),
        },
        &mut |notice| match notice {
            Notice::Progress(summary) if summary.added > 0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        },
    );
    assert!(matches!(outcome.end, Err(ImportError::Stopped)));
    assert!((256..5_000).contains(&outcome.summary.added), "{:?}", outcome.summary);
    assert_eq!(fixture.messages()["a"].len() as u64, outcome.summary.added);
}

#[test]
fn the_quota_ends_it() {
    let fixture = Fixture::with(Policy { quota_bytes: Some(50_000), ..Policy::default() });
    let (outcome, _) = fixture.import_events((0..2_000).map(|n| item("a", n)).collect());
    assert!(matches!(outcome.end, Err(ImportError::OverQuota { limit_bytes: 50_000 })));
    let messages = fixture.messages();
    assert_eq!(messages["a"].len() as u64, outcome.summary.added);
    assert!(outcome.summary.bytes <= 50_000 && outcome.summary.bytes > 49_500);
}

#[test]
fn roles_are_given_once() {
    let fixture = Fixture::with(Policy {
        initial_mailboxes: Policy::default_mailboxes(),
        ..Policy::default()
    });
    let named = |name: &str, special_use| Event::Mailbox {
        name: MailboxName::parse(name).unwrap(),
        special_use,
        subscribed: Some(name != "x"),
    };
    let (outcome, _) = fixture.import_events(vec![
        named("Sent Items", SpecialUse::NONE),
        named("x", SpecialUse::IMPORTANT),
        named("Inbox", SpecialUse::TRASH),
    ]);
    outcome.end.unwrap();
    let mailboxes = fixture.mailboxes();
    assert!(mailboxes.contains(&"Sent Items".to_owned()), "{mailboxes:?}");
    assert!(mailboxes.contains(&"Inbox".to_owned()), "{mailboxes:?}");
    assert!(mailboxes.contains(&"x \\Important".to_owned()), "{mailboxes:?}");
    let subscribed = fixture.account.read().unwrap().subscriptions().unwrap();
    assert!(subscribed.contains(&MailboxName::parse("Sent Items").unwrap()));
    assert!(!subscribed.contains(&MailboxName::parse("x").unwrap()));
}

#[test]
fn what_is_bad_is_told_and_the_rest_goes_on() {
    with_dir(|dir| {
        let write = |path: &str, content: &[u8]| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("cur/1.a.b:2,S", b"");
        write("cur/2.a.b:2,S", &[b'x'; 1_000_001]);
        write("cur/3.a.b:2,S", b"Subject: good\n\n");
        write("#bad/cur/4.a.b", b"Subject: also good\n\n");
        write("notes", b"remember the milk");
        write("broken.mbox", b"remember the milk");
        write("dovecot-keywords", b"0 a\"b\n");
        std::os::unix::fs::symlink("/etc/passwd", dir.join("link")).unwrap();
        let fixture = Fixture::new();
        let options = fixture.options();
        let (outcome, problems) =
            fixture.import(|sink| read_path(&dir, &options, &Meter::default(), sink));
        outcome.end.unwrap();
        assert_eq!(outcome.summary.added, 2);
        assert_eq!(outcome.summary.problems, problems.len() as u64);
        for part in [
            "an empty message",
            "more than 1000000 bytes",
            "\"#bad\" is no name for a mailbox, taken as \"_bad\"",
            "unrecognized file \"notes\"",
            "unrecognized file \"broken.mbox\"",
            "no name of a keyword",
            "link: neither file nor directory",
        ] {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:?}");
        }
        assert_eq!(problems.len(), 7, "{problems:?}");
    });
}

#[test]
fn archives_that_are_cut_give_what_they_have() {
    with_dir(|dir| {
        let tar = dir.join("a.tar");
        write_tar(&tar, false);
        let whole = fs::read(&tar).unwrap();
        fs::write(&tar, &whole[..3_000]).unwrap();
        let fixture = Fixture::new();
        let options = fixture.options();
        let (outcome, _) =
            fixture.import(|sink| read_path(&tar, &options, &Meter::default(), sink));
        assert!(matches!(outcome.end, Err(ImportError::Source(_))));
        fs::write(&tar, b"PK\x03\x04 and nothing more").unwrap();
        let (outcome, _) =
            fixture.import(|sink| read_path(&tar, &options, &Meter::default(), sink));
        assert!(matches!(outcome.end, Err(ImportError::Source(_))));
    });
}
