//! The search index: it makes searches quick and never changes what they find.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mox_base::Flags;
use mox_store::{
    Account, Destination, Expunge, Found, INDEXED_BYTES_MAX, Needed, NewMessage, Policy, Query,
    SortBy, SortKey, Store, ThreadAlgorithm,
};
use mox_testkit::ManualClock;
use proptest::prelude::*;

use crate::faults::{Copying, CopyingDisk, reopen};
use crate::support::{Fixture, START, copy_dir, message, name, set};

fn find(fixture: &Fixture, mailbox: &str, query: &Query) -> Found {
    let reader = fixture.account.read().unwrap();
    let id = fixture.id(mailbox);
    let uids = reader.uids(id).unwrap();
    reader.search(id, &uids, query.clone(), Needed::All, &mut |_| true).unwrap()
}

#[track_caller]
fn check(fixture: &Fixture, query: &Query, want: &[u32]) {
    let uids: Vec<u32> = find(fixture, "Inbox", query).uids.iter().map(|uid| uid.get()).collect();
    assert_eq!(uids, want, "{query:?}");
}

fn progress(fixture: &Fixture) -> (u64, u64) {
    let progress = fixture.account.read().unwrap().index_progress().unwrap();
    (progress.done, progress.total)
}

fn text(text: &str) -> Query {
    Query::Text(text.to_owned())
}

#[test]
fn the_index_is_filled_after_the_delivery_and_forgets_with_the_message() {
    let fixture = Fixture::new();
    fixture.deliver_many(200);
    fixture.deliver(b"Subject: a needle\r\n\r\nin the haystack\r\n");
    assert_eq!(progress(&fixture), (0, 201));
    check(&fixture, &text("needle"), &[201]);
    fixture.settle();
    assert_eq!(progress(&fixture), (201, 201));
    check(&fixture, &text("NEEDL"), &[201]);
    check(&fixture, &text("edle"), &[201]);
    check(&fixture, &text("number 19"), &[20, 191, 192, 193, 194, 195, 196, 197, 198, 199, 200]);
    check(&fixture, &text("needles"), &[]);
    // Not in the index yet.
    fixture.deliver(b"Subject: another needle\r\n\r\n\r\n");
    check(&fixture, &text("needle"), &[201, 202]);
    // A copy shares what the index knows, and keeps it when the first message goes.
    let inbox = fixture.id("Inbox");
    fixture.account.copy(inbox, set(&[201]), name("Archive")).wait().unwrap();
    let which = Expunge { uids: set(&[201]), only_deleted: false };
    fixture.account.expunge(inbox, which).wait().unwrap();
    fixture.settle();
    check(&fixture, &text("needle"), &[202]);
    fixture.deliver_many(30);
    fixture
        .account
        .copy(inbox, set(&(203..233).collect::<Vec<_>>()), name("Archive"))
        .wait()
        .unwrap();
    assert_eq!(find(&fixture, "Archive", &text("needle")).uids.len(), 1);
    let which = Expunge { uids: mox_base::NumSet::all(), only_deleted: false };
    fixture.account.expunge(inbox, which.clone()).wait().unwrap();
    fixture.account.expunge(fixture.id("Archive"), which).wait().unwrap();
    fixture.settle();
    assert_eq!(progress(&fixture), (0, 0));
}

/// What the index said is kept for the next mailbox, but not for another question.
#[test]
fn mailboxes_are_searched_one_after_the_other() {
    let fixture = Fixture::new();
    fixture.deliver_many(100);
    let inbox = fixture.id("Inbox");
    let copied = set(&(50..=70).collect::<Vec<_>>());
    fixture.account.copy(inbox, copied, name("Archive")).wait().unwrap();
    fixture.settle();
    let reader = fixture.account.read().unwrap();
    let check = |mailbox: &str, query: &str, want: &[u32]| {
        let id = fixture.id(mailbox);
        let uids = reader.uids(id).unwrap();
        let found = reader.search(id, &uids, text(query), Needed::All, &mut |_| true).unwrap();
        let found: Vec<u32> = found.uids.iter().map(|uid| uid.get()).collect();
        assert_eq!(found, want, "{mailbox} {query}");
    };
    for _ in 0..2 {
        check("Inbox", "number 55", &[56]);
        check("Archive", "number 55", &[7]);
        check("Inbox", "number 99", &[100]);
        check("Archive", "number 99", &[]);
        check("Archive", "number 6", &[12, 13, 14, 15, 16, 17, 18, 19, 20, 21]);
    }
}

/// Two hundred copies, then the first message goes before the index has seen any of them.
#[test]
fn a_body_is_indexed_by_way_of_a_copy() {
    let fixture = Fixture::new();
    fixture.deliver_many(20);
    fixture.deliver(b"Subject: needle\r\n\r\n\r\n");
    let inbox = fixture.id("Inbox");
    fixture.account.copy(inbox, set(&(1..22).collect::<Vec<_>>()), name("Archive")).wait().unwrap();
    let which = Expunge { uids: set(&[21]), only_deleted: false };
    fixture.account.expunge(inbox, which).wait().unwrap();
    fixture.settle();
    assert_eq!(progress(&fixture), (21, 21));
    assert_eq!(find(&fixture, "Archive", &text("needle")).uids.len(), 1);
}

#[test]
fn the_index_can_be_made_anew() {
    let fixture = Fixture::new();
    fixture.deliver_many(60);
    fixture.settle();
    fixture.account.rebuild_search_index().wait().unwrap();
    check(&fixture, &text("number 59"), &[60]);
    fixture.check();
    fixture.settle();
    assert_eq!(progress(&fixture), (60, 60));
    check(&fixture, &text("number 59"), &[60]);
}

#[test]
fn a_message_with_too_much_text_is_always_looked_at() {
    let fixture = Fixture::new();
    fixture.deliver_many(20);
    let mut content = b"Subject: long\r\n\r\n".to_vec();
    content.extend_from_slice("0123456789 abcdefgh\r\n".repeat(INDEXED_BYTES_MAX / 20).as_bytes());
    content.extend_from_slice(b"the very end\r\n");
    fixture.deliver(&content);
    fixture.settle();
    assert_eq!(progress(&fixture), (21, 21));
    check(&fixture, &text("very end"), &[21]);
    check(&fixture, &text("not there"), &[]);
}

/// RFC 2231 §4: the name of a file is searched as people read it.
#[test]
fn file_names_are_searched_decoded() {
    let fixture = Fixture::new();
    fixture.deliver_many(10);
    fixture.deliver(
        b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Type: application/pdf\r\n\
        Content-Disposition: attachment; filename*=utf-8''R%C3%A9sum%C3%A9%20neu.pdf\r\n\r\n\
        1\r\n--b\r\nContent-Type: image/png; name*0=\"one and \"; name*1=two.png\r\n\r\n\
        --b--\r\n",
    );
    for _ in 0..2 {
        check(&fixture, &Query::Body("RÉSUMÉ NEU".to_owned()), &[11]);
        check(&fixture, &text("one and two.png"), &[11]);
        fixture.settle();
    }
}

const WORDS: &[&str] = &[
    "needle",
    "need",
    "Needles",
    "hay",
    "haystack",
    "Straße",
    "café",
    "CAFE",
    "naïve",
    "Zürich",
    "你好世界",
    "ab",
    "a1b2",
    "x.y@z.example",
    "QmFzZTY0IGlzIG5vdCBhIHdvcmQgYnV0IGxvbmcgZW5vdWdo",
    "=",
    "Ελλάδα",
];

/// A message of some words in its subject, sender, another field and body, in one of a few forms.
fn build(form: u8, words: &[prop::sample::Index]) -> Vec<u8> {
    let word = |at: usize| words[at].get(WORDS);
    let (subject, from, other) = (word(0), word(1), word(2));
    let body: Vec<&str> = words[3..].iter().map(|word| *word.get(WORDS)).collect();
    let body = body.join(" ");
    let head =
        format!("Subject: {subject} {other}\r\nFrom: {from} <a@b.example>\r\nX-Other: {other}\r\n");
    match form % 4 {
        0 => format!("{head}\r\n{body}\r\n"),
        1 => format!(
            "Subject: =?utf-8?b?{}?=\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
             <p>{}</p>\r\n",
            ["w7xiZXI=", "bmVlZGxl", "Y2Fmw6k="][usize::from(form / 4) % 3],
            body.replace(' ', "<b> </b>"),
        ),
        2 => format!(
            "{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
             Content-Type: text/plain; charset=iso-8859-1\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9 {other}=\r\nneedle\r\n--b\r\n\
             Content-Type: message/rfc822\r\n\r\nSubject: {from}\r\n\r\n{body}\r\n--b--\r\n"
        ),
        _ => format!("{head}\r\n{}{body}\r\n", "filler text ".repeat(500)),
    }
    .into_bytes()
}

fn leaf() -> impl Strategy<Value = Query> {
    let part = (any::<prop::sample::Index>(), 0_usize..4, 1_usize..9, 0_u8..3, any::<bool>());
    (part, 0_u8..6).prop_map(|((word, from, count, case, two), kind)| {
        let word = *word.get(WORDS);
        let mut text: String = word.chars().skip(from).take(count).collect();
        if two {
            text = format!("need {text}");
        }
        let text = match case {
            0 => text,
            1 => text.to_uppercase(),
            _ => text.to_lowercase(),
        };
        let field = |name: &str| Query::Header { name: name.to_owned(), text: text.clone() };
        match kind {
            0 => field("Subject"),
            1 => field("from"),
            2 => field("X-Other"),
            3 => Query::Body(text),
            4 => Query::Text(text),
            _ => Query::Flags(Flags::SEEN),
        }
    })
}

fn query() -> impl Strategy<Value = Query> {
    leaf().prop_recursive(3, 6, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Query::And),
            pair.prop_map(|(one, two)| Query::Or(Box::new(one), Box::new(two))),
            inner.clone().prop_map(|query| Query::Not(Box::new(query))),
            inner.prop_map(|query| Query::Fuzzy(Box::new(query))),
        ]
    })
}

#[derive(Clone, Debug)]
enum Step {
    Deliver(u8, Vec<prop::sample::Index>, bool),
    Expunge(prop::sample::Index),
    Copy(prop::sample::Index),
    Index,
    Crash,
    Rebuild,
}

fn step() -> impl Strategy<Value = Step> {
    let words = prop::collection::vec(any::<prop::sample::Index>(), 3..9);
    prop_oneof![
        12 => (any::<u8>(), words, any::<bool>()).prop_map(|(f, w, seen)| Step::Deliver(f, w, seen)),
        2 => any::<prop::sample::Index>().prop_map(Step::Expunge),
        3 => any::<prop::sample::Index>().prop_map(Step::Copy),
        3 => Just(Step::Index),
        1 => Just(Step::Crash),
        1 => Just(Step::Rebuild),
    ]
}

fn run(fixture: Fixture, step: &Step, with_index: bool) -> Fixture {
    let inbox = fixture.id("Inbox");
    let any_uid = |at: &prop::sample::Index| {
        let uids = fixture.uids("Inbox");
        if uids.is_empty() { set(&[]) } else { set(&[*at.get(&uids)]) }
    };
    match step {
        Step::Deliver(form, words, is_seen) => {
            let flags = if *is_seen { Flags::SEEN } else { Flags::NONE };
            let message = NewMessage { flags, ..fixture.message(&build(*form, words)) };
            fixture.add("Inbox", vec![message]).unwrap();
        }
        Step::Expunge(at) => {
            let which = Expunge { uids: any_uid(at), only_deleted: false };
            fixture.account.expunge(inbox, which).wait().unwrap();
        }
        Step::Copy(at) => {
            fixture.account.copy(inbox, any_uid(at), name("Archive")).wait().unwrap();
        }
        Step::Index if with_index => fixture.settle(),
        Step::Crash if with_index => {
            let mut after = Fixture::new();
            copy_dir(fixture.account.dir(), &after.dir.path().join("accounts/after"));
            after.account = after.store.account("after").unwrap();
            return after;
        }
        Step::Rebuild if with_index => fixture.account.rebuild_search_index().wait().unwrap(),
        _ => {}
    }
    fixture
}

/// Ticks and writes nothing, until everything is in the index.
fn fill(store: &Store, account: &Account) {
    while !account.is_tidy().unwrap() {
        store.tick();
        std::thread::yield_now();
    }
}

/// Wherever the program stops while the index is filled, emptied, or forgets.
#[test]
fn a_crash_at_any_commit_leaves_an_index_that_can_be_trusted() {
    let (work, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Arc::new(CopyingDisk {
        from: work.path().join("accounts/mjl"),
        to: copies.path().to_owned(),
        copies: AtomicUsize::new(0),
        turn: parking_lot::Mutex::default(),
    });
    let policy = Arc::new(Policy::default());
    let clock = Arc::new(ManualClock::at(START));
    let store = Store::with_disk(work.path(), clock, policy, Arc::new(Copying(Arc::clone(&disk))));
    let account = store.account("mjl").unwrap();
    let numbered = |n| message(&account, format!("Subject: number {n}\r\n\r\nx\r\n").as_bytes());
    let inbox = Destination { mailbox: name("Inbox"), create: false };
    account.add(inbox, (0..110).map(numbered).collect()).wait().unwrap();
    fill(&store, &account);
    account.rebuild_search_index().wait().unwrap();
    fill(&store, &account);
    let id = account.read().unwrap().mailbox(&name("Inbox")).unwrap().id;
    let which = Expunge { uids: (10..80).collect(), only_deleted: false };
    account.expunge(id, which).wait().unwrap();
    fill(&store, &account);
    let copied = disk.copies.load(Ordering::SeqCst);
    assert!(copied > 8, "{copied} copies");
    drop((account, store));
    for number in 0..copied {
        let store = reopen(&copies.path().join(number.to_string()));
        let account = store.account("mjl").unwrap();
        assert_eq!(account.check().unwrap(), Vec::<String>::new(), "copy {number}");
        let find = || {
            let reader = account.read().unwrap();
            let uids = reader.uids(id).unwrap();
            let query = text("NUMBER 10");
            reader.search(id, &uids, query, Needed::All, &mut |_| true).unwrap().uids
        };
        let found = find();
        fill(&store, &account);
        assert_eq!(find(), found, "copy {number}");
        account.rebuild_search_index().wait().unwrap();
        assert_eq!(find(), found, "copy {number}");
    }
}

/// A damaged index keeps nobody from finding, is told by the check, and is made anew.
#[test]
fn a_damaged_index_is_passed_over() {
    let fixture = Fixture::new();
    fixture.deliver_many(60);
    fixture.settle();
    let db = rusqlite::Connection::open(fixture.account_dir().join("index.db")).unwrap();
    // Its pages, but not the list of them.
    db.execute_batch("DELETE FROM gram_data WHERE id > 10; DELETE FROM sort_key WHERE body = 3")
        .unwrap();
    drop(db);
    check(&fixture, &text("number 59"), &[60]);
    let faults = fixture.account.check().unwrap();
    assert!(faults.iter().any(|fault| fault.contains("sort_key: body 3")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("gram")), "{faults:?}");
    fixture.account.rebuild_search_index().wait().unwrap();
    fixture.settle();
    check(&fixture, &text("number 59"), &[60]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The same mailboxes with an index, in whatever state it is, and without.
    #[test]
    fn the_index_changes_nothing(
        steps in prop::collection::vec(step(), 5..40),
        queries in prop::collection::vec(query(), 20),
    ) {
        let (mut with, mut without) = (Fixture::new(), Fixture::new());
        for step in &steps {
            with = run(with, step, true);
            without = run(without, step, false);
        }
        for mailbox in ["Inbox", "Archive"] {
            for query in &queries {
                let (one, two) = (find(&with, mailbox, query), find(&without, mailbox, query));
                prop_assert_eq!((&one.uids, &one.relevancy), (&two.uids, &two.relevancy), "{:?}", query);
            }
            let order = |fixture: &Fixture| {
                let reader = fixture.account.read().unwrap();
                let id = fixture.id(mailbox);
                let uids = reader.uids(id).unwrap();
                let key = |by| SortKey { by, is_reverse: false };
                let keys = [key(SortBy::Subject), key(SortBy::DisplayFrom), key(SortBy::To)];
                let threads = reader.thread(id, &uids, ThreadAlgorithm::References).unwrap();
                (reader.sort(id, &uids, &keys).unwrap(), threads)
            };
            prop_assert_eq!(order(&with), order(&without));
        }
        with.check();
    }
}

/// The index has limits of its own on what it can be asked; a search never fails by them.
#[test]
fn any_query_can_be_asked() {
    let fixture = Fixture::new();
    fixture.deliver_many(20);
    fixture.deliver(b"Subject: needle\r\n\r\nin the haystack\r\n");
    fixture.settle();
    let both = |query, word: &str| Query::And(vec![query, text(word)]);
    let either = |query, word: &str| Query::Or(Box::new(text(word)), Box::new(query));
    let mut deep = text("haystack");
    for level in 0..48 {
        deep = if level % 2 == 0 { both(deep, "needle") } else { either(deep, "nowhere") };
    }
    check(&fixture, &deep, &[21]);
    let flat = Query::And((0..1_000).map(|_| text("needle haystac")).collect());
    check(&fixture, &flat, &[]);
    let flat = Query::And((0..1_000).map(|_| text("needle")).collect());
    check(&fixture, &flat, &[21]);
    // Whatever the index would take for an operator.
    for odd in
        ["\"needle", "needle* OR", "AND NOT (", "sneedle:", "^needle", "a\0b", "\u{fffd}", "***"]
    {
        check(&fixture, &text(odd), &[]);
    }
    check(&fixture, &text(&"needle ".repeat(500)), &[]);
    check(&fixture, &text(&"x".repeat(50_000)), &[]);
}

/// A search for texts asks before every message whether anybody still wants it.
#[test]
fn a_search_for_texts_can_be_given_up() {
    let fixture = Fixture::new();
    fixture.deliver_many(100);
    let reader = fixture.account.read().unwrap();
    let uids: Vec<u32> = (1..=100).collect();
    let mut asked = 0;
    let mut keep_going = |_| {
        asked += 1;
        asked <= 30
    };
    let query = text("number");
    let found =
        reader.search(fixture.id("Inbox"), &uids, query, Needed::All, &mut keep_going).unwrap();
    assert_eq!((found.uids.len(), found.is_complete), (30, false));
    assert_eq!(asked, 31);
}
