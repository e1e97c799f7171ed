//! Databases of every released version are opened and brought up to date.
//!
//! A fixture is made once, when its version is released, by `UPDATE=1 cargo test -p mox-store
//! versions`; then it is never changed.

use std::path::{Path, PathBuf};

use mox_base::{Flags, Keyword, Validation};
use mox_policy::PassKey;
use mox_store::{
    DecisionFilter, Expunge, FlagChange, FlagOp, Needed, Outcome, Query, ReceivedTls,
    SCHEMA_VERSION, SortBy, SortKey, ThreadAlgorithm,
};

use crate::history::{address, incoming, message_of, origin};
use crate::rejects::decision;
use crate::support::{Fixture, name, set};

/// The last version that was released: the next one may still change.
const RELEASED_VERSION: u32 = 4;

fn fixture_file(version: u32) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    dir.join(format!("account-v{version}.db.zst"))
}

/// An account with a bit of everything.
fn filled() -> Fixture {
    let fixture = Fixture::new();
    fixture.deliver(b"Message-ID: <1@x>\r\nSubject: Plans\r\nDate: Fri, 20 Nov 2026 08:00:00 +0100\r\n\r\n1\r\n");
    fixture.deliver(b"Message-ID: <2@x>\r\nSubject: Re: plans\r\nReferences: <1@x>\r\n\r\n2\r\n");
    fixture.deliver(b"Subject: gone\r\n\r\n3\r\n");
    fixture.deliver(b"Subject: moved\r\n\r\n4\r\n");
    let id = fixture.id("Inbox");
    let change = FlagChange {
        op: FlagOp::Add,
        flags: Flags::FLAGGED,
        keywords: vec![Keyword::parse("label").unwrap()],
        unchanged_since: None,
    };
    fixture.account.change_flags(id, set(&[2]), change).wait().unwrap();
    let which = Expunge { uids: set(&[3]), only_deleted: false };
    fixture.account.expunge(id, which).wait().unwrap();
    fixture.account.move_to(id, set(&[4]), name("Archive")).wait().unwrap();
    fixture.account.copy(id, set(&[1]), name("Sent")).wait().unwrap();
    let annotation = ("/private/comment".to_owned(), Some((b"note".to_vec(), false)));
    fixture.account.set_annotations(Some(name("Inbox")), vec![annotation]).wait().unwrap();
    fixture.account.url_key(name("Inbox"), [7; 32]).wait().unwrap();
    fixture.account.set_secret("password", Some(b"verifiers".to_vec())).wait().unwrap();
    let origin = origin("ann@example.org", Validation::Strict, "192.0.2.1");
    let junk = message_of(&fixture, incoming(origin), Flags::JUNK);
    fixture.add("Junk", vec![junk]).unwrap();
    fixture.account.record_decision(decision(1, Outcome::Accepted)).wait().unwrap();
    fixture.account.pass_key(address("me@local.example"), pass_key()).wait().unwrap();
    fixture.settle();
    fixture
}

fn pass_key() -> PassKey {
    PassKey::from_stored("0123456789012345").unwrap()
}

/// Closes the account, so that the log is part of the database.
fn database_of(fixture: Fixture) -> Vec<u8> {
    let db = fixture.account_dir().join("index.db");
    let other = fixture.store.account("other").unwrap();
    let mut fixture = fixture;
    fixture.account = other;
    fixture.clock.advance(std::time::Duration::from_secs(61));
    while fixture.store.open_accounts() > 1 {
        fixture.store.tick();
        std::thread::yield_now();
    }
    std::fs::read(db).unwrap()
}

/// Searches, sorts and threads what [`filled`] made.
#[track_caller]
fn check_derived(fixture: &Fixture) {
    let reader = fixture.account.read().unwrap();
    let (id, uids) = (fixture.id("Inbox"), [1, 2, 3, 4, 5]);
    let numbers = |uids: Vec<mox_base::Uid>| uids.iter().map(|u| u.get()).collect::<Vec<_>>();
    let query = Query::Text("PLANS".to_owned());
    let found = reader.search(id, &uids, query, Needed::All, &mut |_| true).unwrap();
    assert_eq!(numbers(found.uids), [1, 2]);
    let key = SortKey { by: SortBy::Subject, is_reverse: false };
    assert_eq!(numbers(reader.sort(id, &uids, &[key]).unwrap()), [5, 1, 2]);
    let threads = reader.thread(id, &uids, ThreadAlgorithm::References).unwrap();
    let depths: Vec<_> = threads.iter().map(|e| (e.depth, e.uid.unwrap().get())).collect();
    assert_eq!(depths, [(0, 1), (1, 2), (0, 5)]);
}

/// What [`filled`] made and its version could hold.
#[track_caller]
fn check_extras(fixture: &Fixture, version: u32) {
    let reader = fixture.account.read().unwrap();
    let annotations = reader.annotations(Some(fixture.id("Inbox"))).unwrap();
    let values: Vec<_> = annotations.into_iter().map(|annotation| annotation.value).collect();
    let key = reader.url_key(fixture.id("Inbox")).unwrap();
    if version == 1 {
        assert_eq!((values, key), (Vec::new(), None));
    } else {
        assert_eq!((values, key), (vec![b"note".to_vec()], Some([7; 32])));
    }
    let decisions = reader.decisions(&DecisionFilter::default(), 9).unwrap();
    let key = reader.pass_key(&address("me@local.example")).unwrap();
    if version < 3 {
        assert_eq!((decisions, key), (Vec::new(), None));
    } else {
        assert_eq!((decisions, key), (vec![decision(1, Outcome::Accepted)], Some(pass_key())));
        assert_eq!(fixture.flags("Junk", 1), Flags::JUNK);
        // Nobody noted how it came.
        let since = mox_base::ModSeq::default();
        let changed = reader.changed_since(fixture.id("Junk"), since, &set(&[1])).unwrap();
        let known = reader.remembered(changed.rows[0].id).unwrap().unwrap();
        assert_eq!(known.envelope.unwrap().tls, ReceivedTls::default());
    }
}

/// INTERNALDATE was told in UTC before there were zones.
#[track_caller]
fn check_zones(fixture: &Fixture) {
    let reader = fixture.account.read().unwrap();
    let since = mox_base::ModSeq::default();
    let changed = reader.changed_since(fixture.id("Inbox"), since, &set(&[1, 2])).unwrap();
    let zones: Vec<_> = changed.rows.iter().map(|row| row.received.zone_minutes()).collect();
    assert_eq!(zones, [0, 0]);
}

#[test]
fn databases_of_every_version_are_opened() {
    if std::env::var_os("UPDATE").is_some() {
        let compressed = zstd::bulk::compress(&database_of(filled()), 19).unwrap();
        std::fs::write(fixture_file(SCHEMA_VERSION), compressed).unwrap();
    }
    for version in 1..=RELEASED_VERSION {
        let compressed = std::fs::read(fixture_file(version)).unwrap();
        let database = zstd::bulk::decompress(&compressed, 16 << 20).unwrap();
        let mut fixture = Fixture::new();
        let dir = fixture.dir.path().join("accounts/old");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("index.db"), database).unwrap();
        fixture.account = fixture.store.account("old").unwrap();
        fixture.check();
        assert_eq!(fixture.uids("Inbox"), [1, 2], "version {version}");
        assert_eq!(fixture.flags("Inbox", 2), Flags::FLAGGED);
        assert_eq!(fixture.row("Inbox", 1).1, fixture.row("Inbox", 2).1, "one thread");
        assert!(fixture.body("Inbox", 2).unwrap().ends_with(b"\r\n\r\n2\r\n"));
        assert_eq!((fixture.uids("Archive"), fixture.uids("Sent")), (vec![1], vec![1]));
        let secret = fixture.account.read().unwrap().secret("password").unwrap();
        assert_eq!(secret.as_deref(), Some(&b"verifiers"[..]));
        check_extras(&fixture, version);
        check_zones(&fixture);
        assert_eq!(fixture.deliver(b"Subject: new\r\n\r\n5\r\n").get(), 5);
        // What is made of the messages is the same, whether it is in the index or not yet.
        for _ in 0..2 {
            check_derived(&fixture);
            fixture.settle();
        }
    }
}
