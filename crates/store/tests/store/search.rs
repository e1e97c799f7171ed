//! SEARCH in the terms of the store.

use mox_base::{Flags, Keyword};
use mox_store::{
    Columns, Expunge, FlagChange, FlagOp, Needed, NewMessage, Progress, Query, StoreError,
};

use crate::support::{Fixture, START, name, set};

fn header(name: &str, text: &str) -> Query {
    Query::Header { name: name.to_owned(), text: text.to_owned() }
}

fn not(query: Query) -> Query {
    Query::Not(Box::new(query))
}

/// Three messages: a plain one; one with encoded words and HTML, a day later; one with a part in
/// base64 and Latin-1, seen and with a keyword.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    let one = b"From: Alice <alice@example.org>\r\nSubject: Plain words\r\n\
        Date: Fri, 20 Nov 2026 23:30:00 -0500\r\n\r\nThe needle is here.\r\n";
    let two = b"From: =?utf-8?q?Ren=C3=A9?= <rene@example.org>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\
        Content-Type: text/html; charset=utf-8\r\n\r\n<p>A <b>hay</b>stack<script>needle</script></p>\r\n";
    let three = b"From: carol@example.org\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        Q2Fm6SBub2ly\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: inner gold\r\n\r\ninner text\r\n--b--\r\n";
    let add = |content: &[u8], later_secs| {
        let received = Some(START.plus_secs(later_secs).into());
        fixture.add("Inbox", vec![NewMessage { received, ..fixture.message(content) }]).unwrap();
    };
    add(one, 0);
    add(two, 86_400);
    add(three, 2 * 86_400);
    let change = FlagChange {
        op: FlagOp::Add,
        flags: Flags::SEEN,
        keywords: vec![Keyword::parse("label").unwrap()],
        unchanged_since: None,
    };
    fixture.account.change_flags(fixture.id("Inbox"), set(&[3]), change).wait().unwrap();
    fixture
}

#[track_caller]
fn check(fixture: &Fixture, query: Query, want: &[u32]) {
    let reader = fixture.account.read().unwrap();
    let told = format!("{query:?}");
    let found =
        reader.search(fixture.id("Inbox"), &[1, 2, 3], query, Needed::All, &mut |_| true).unwrap();
    let uids: Vec<_> = found.uids.iter().map(|uid| uid.get()).collect();
    assert_eq!(uids, want, "{told}");
}

#[test]
fn rows_answer_flags_sizes_and_dates() {
    let fixture = fixture();
    let day = START.day();
    check(&fixture, Query::All, &[1, 2, 3]);
    check(&fixture, Query::Flags(Flags::SEEN), &[3]);
    check(&fixture, not(Query::Flags(Flags::SEEN)), &[1, 2]);
    check(&fixture, Query::Keyword(Keyword::parse("LABEL").unwrap()), &[3]);
    check(&fixture, Query::ReceivedBefore(day + 1), &[1]);
    check(&fixture, Query::ReceivedOn(day + 1), &[2]);
    check(&fixture, Query::ReceivedSince(day + 1), &[2, 3]);
    check(&fixture, Query::Larger(1), &[1, 2, 3]);
    check(&fixture, Query::Smaller(1), &[]);
    check(&fixture, Query::Uids(set(&[2, 7])), &[2]);
    let both = Query::And(vec![not(Query::Flags(Flags::SEEN)), Query::ReceivedSince(day + 1)]);
    check(&fixture, both, &[2]);
    let either = Query::Or(Box::new(Query::Uids(set(&[1]))), Box::new(Query::Flags(Flags::SEEN)));
    check(&fixture, either, &[1, 3]);
}

/// RFC 9051 §6.4.4: the date as written, disregarding time and zone; on or after for SENTSINCE.
#[test]
fn the_date_header_is_compared_as_written() {
    let fixture = fixture();
    let day = START.day();
    check(&fixture, Query::SentOn(day), &[1]);
    check(&fixture, Query::SentSince(day), &[1]);
    check(&fixture, Query::SentSince(day + 1), &[]);
    check(&fixture, Query::SentBefore(day + 1), &[1]);
    check(&fixture, not(Query::SentBefore(day + 1)), &[2, 3]);
}

#[test]
fn headers_are_decoded_and_compared_without_case() {
    let fixture = fixture();
    check(&fixture, header("from", "RENÉ"), &[2]);
    check(&fixture, header("Subject", "grüße"), &[2]);
    check(&fixture, header("Subject", "plain w"), &[1]);
    check(&fixture, header("Subject", ""), &[1, 2]);
    check(&fixture, header("Subject", "gold"), &[]);
}

#[test]
fn texts_are_decoded_and_gone_into() {
    let fixture = fixture();
    check(&fixture, Query::Body("NEEDLE".to_owned()), &[1]);
    check(&fixture, Query::Body("haystack".to_owned()), &[2]);
    check(&fixture, Query::Body("café".to_owned()), &[3]);
    check(&fixture, Query::Body("inner gold".to_owned()), &[3]);
    check(&fixture, Query::Body("plain words".to_owned()), &[]);
    check(&fixture, Query::Text("plain words".to_owned()), &[1]);
    check(&fixture, Query::Text("subject: gr".to_owned()), &[2]);
    check(&fixture, Query::Text(String::new()), &[1, 2, 3]);
}

#[test]
fn a_text_is_found_across_the_pieces_it_is_read_in() {
    let fixture = Fixture::new();
    let mut content = b"Subject: long\r\n\r\n".to_vec();
    let line = "0123456789 abcdefgh ".repeat(40_000);
    content.extend_from_slice(line.as_bytes());
    content.extend_from_slice(b"the very end\r\n");
    fixture.deliver(&content);
    check(&fixture, Query::Body(line[13..9_013].to_owned()), &[1]);
    check(&fixture, Query::Body("the very end".to_owned()), &[1]);
    check(&fixture, Query::Body("not there".to_owned()), &[]);
}

#[test]
fn a_search_can_be_given_up_and_is_bounded_in_depth() {
    let fixture = Fixture::new();
    fixture.deliver_many(600);
    let id = fixture.id("Inbox");
    let reader = fixture.account.read().unwrap();
    let uids: Vec<u32> = (1..=20_000).collect();
    let mut told = Vec::new();
    let mut once = |progress: Progress| {
        told.push((progress.done, progress.total));
        false
    };
    let found = reader.search(id, &uids, Query::All, Needed::All, &mut once).unwrap();
    assert_eq!((found.uids.len(), found.is_complete), (600, false));
    assert_eq!(told, [(8_192, 20_000)]);
    let found = reader.search(id, &uids, Query::All, Needed::All, &mut |_| true).unwrap();
    assert_eq!((found.uids.len(), found.is_complete), (600, true));
    let deep = (0..50).fold(Query::All, |query, _| not(query));
    let refused = reader.search(id, &uids, deep, Needed::All, &mut |_| true);
    assert!(matches!(refused, Err(StoreError::TooMany { .. })));
}

/// RFC 5032 §3: both include the moment itself. RFC 8514 §4.3: days of SAVEDATE.
#[test]
fn ages_and_days_of_saving_are_compared() {
    let fixture = fixture();
    let second = START.plus_secs(86_400);
    check(&fixture, Query::Older(second), &[1, 2]);
    check(&fixture, Query::Older(second.plus_secs(-1)), &[1]);
    check(&fixture, Query::Younger(second), &[2, 3]);
    check(&fixture, Query::Younger(second.plus_secs(1)), &[3]);
    let day = START.day();
    check(&fixture, Query::SavedOn(day), &[1, 2, 3]);
    check(&fixture, Query::SavedBefore(day), &[]);
    check(&fixture, Query::SavedSince(day), &[1, 2, 3]);
    check(&fixture, Query::SavedSince(day + 1), &[]);
}

/// RFC 8474 §5.1, §6: copies share the id of their content; a moved message keeps it.
#[test]
fn ids_of_contents_and_threads_are_found() {
    let fixture = fixture();
    let inbox = fixture.id("Inbox");
    fixture.account.copy(inbox, set(&[2]), name("Archive")).wait().unwrap();
    let of = |mailbox: &str, uid: u32| {
        let mut ids = None;
        let reader = fixture.account.read().unwrap();
        let mut visit = |row: &mox_store::Fetched<'_>| {
            ids = Some((row.email_id, row.thread));
            std::ops::ControlFlow::Continue(())
        };
        let _flow =
            reader.fetch(fixture.id(mailbox), &[uid], Columns::default(), &mut visit).unwrap();
        ids.unwrap()
    };
    let (email, thread) = of("Inbox", 2);
    assert_eq!(of("Archive", 1), (email, thread));
    assert_ne!(of("Inbox", 1).0, email);
    check(&fixture, Query::EmailId(email), &[2]);
    check(&fixture, Query::ThreadId(thread), &[2]);
    check(&fixture, not(Query::EmailId(email)), &[1, 3]);
}

/// RFC 4731 §3.1: MIN and MAX.
#[test]
fn only_what_is_needed_is_found() {
    let fixture = fixture();
    let id = fixture.id("Inbox");
    let reader = fixture.account.read().unwrap();
    let find = |query: Query, needed| {
        let found = reader.search(id, &[1, 2, 3], query, needed, &mut |_| true).unwrap();
        assert!(found.is_complete);
        found.uids.iter().map(|uid| uid.get()).collect::<Vec<_>>()
    };
    for text in [false, true] {
        let all = || if text { header("from", "e") } else { Query::All };
        assert_eq!(find(all(), Needed::First), [1]);
        assert_eq!(find(all(), Needed::Last), [3]);
        assert_eq!(find(all(), Needed::FirstAndLast), [1, 3]);
    }
    assert_eq!(find(Query::Uids(set(&[2])), Needed::FirstAndLast), [2]);
    assert_eq!(find(Query::Larger(1 << 40), Needed::FirstAndLast), [0; 0]);
}

/// RFC 6203 §3, §4.
#[test]
fn a_fuzzy_search_looks_for_words() {
    let fixture = fixture();
    let reader = fixture.account.read().unwrap();
    let find = |query| {
        let query = Query::Fuzzy(Box::new(query));
        let found =
            reader.search(fixture.id("Inbox"), &[1, 2, 3], query, Needed::All, &mut |_| true);
        let found = found.unwrap();
        let uids = found.uids.iter().map(|uid| uid.get());
        uids.zip(found.relevancy).collect::<Vec<_>>()
    };
    assert_eq!(find(Query::Body("here NEEDLE".to_owned())), [(1, 60)]);
    assert_eq!(find(Query::Body("needle is".to_owned())), [(1, 100)]);
    assert_eq!(find(Query::Text("cafe noir".to_owned())), [(3, 100)]);
    assert_eq!(find(header("subject", "words plain")), [(1, 60)]);
    assert_eq!(find(header("subject", "words missing")), []);
    // Everything but texts stays exact.
    assert_eq!(find(Query::Flags(Flags::SEEN)), [(3, 100)]);
    let either = Query::Or(
        Box::new(Query::Text("noir cafe".to_owned())),
        Box::new(Query::Uids(set(&[2, 3]))),
    );
    assert_eq!(find(either), [(2, 100), (3, 100)]);
}

/// RFC 5051 §2: by `i;unicode-casemap`, whichever way an accent is written.
#[test]
fn texts_compare_by_unicode_casemap() {
    let fixture = Fixture::new();
    fixture.deliver("Subject: Stra\u{df}e \u{c9}t\u{e9}\r\n\r\nΣίσυφος e\u{301}\r\n".as_bytes());
    check(&fixture, header("subject", "STRAßE éTÉ"), &[1]);
    check(&fixture, header("subject", "E\u{301}te\u{301}"), &[1]);
    check(&fixture, Query::Body("σίΣΥΦΟσ É".to_owned()), &[1]);
    check(&fixture, Query::Body("strasse".to_owned()), &[]);
}

/// A message that another session removed is found as long as it can be read.
#[test]
fn removed_messages_are_still_found_by_those_who_count_them() {
    let fixture = fixture();
    let _session = fixture.account.subscribe();
    let which = Expunge { uids: set(&[2]), only_deleted: false };
    fixture.account.expunge(fixture.id("Inbox"), which).wait().unwrap();
    check(&fixture, Query::All, &[1, 2, 3]);
    check(&fixture, Query::Body("haystack".to_owned()), &[2]);
    let reader = fixture.account.read().unwrap();
    let found = reader
        .search(fixture.id("Inbox"), &[1, 2, 3], Query::All, Needed::Last, &mut |_| true)
        .unwrap();
    assert_eq!(found.uids.last().map(|uid| uid.get()), Some(3));
}
