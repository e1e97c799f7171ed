//! SEARCH in the terms of the store.

use mox_base::{Flags, Keyword};
use mox_store::{FlagChange, FlagOp, NewMessage, Query, StoreError};

use crate::support::{Fixture, START, set};

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
        let received = Some(START.plus_secs(later_secs));
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
    let found = reader.search(fixture.id("Inbox"), &[1, 2, 3], query, &mut |_| true).unwrap();
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
    let uids: Vec<u32> = (1..=600).collect();
    let found = reader.search(id, &uids, Query::All, &mut |looked_at| looked_at < 512).unwrap();
    assert_eq!(found.uids.len(), 511);
    let deep = (0..50).fold(Query::All, |query, _| not(query));
    let refused = reader.search(id, &uids, deep, &mut |_| true);
    assert!(matches!(refused, Err(StoreError::TooMany { .. })));
}
