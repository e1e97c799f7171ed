//! SORT and THREAD in the terms of the store.

use mox_store::{NewMessage, SortBy, SortKey, ThreadAlgorithm};

use crate::support::{Fixture, START};

/// Messages with the given header lines, received a minute apart.
fn fixture(headers: &[&str]) -> Fixture {
    let fixture = Fixture::new();
    for (place, header) in (0_i64..).zip(headers) {
        let content = format!("{header}\r\n\r\n{}\r\n", "x".repeat(headers.len() - place as usize));
        let received = Some(START.plus_secs(place * 60).into());
        let message = NewMessage { received, ..fixture.message(content.as_bytes()) };
        fixture.add("Inbox", vec![message]).unwrap();
    }
    fixture
}

#[track_caller]
fn check_keys(fixture: &Fixture, keys: &[SortKey], want: &[u32]) {
    let reader = fixture.account.read().unwrap();
    let uids: Vec<u32> = (1..20).collect();
    let sorted = reader.sort(fixture.id("Inbox"), &uids, keys).unwrap();
    let sorted: Vec<u32> = sorted.into_iter().map(|uid| uid.get()).collect();
    assert_eq!(sorted, want, "{keys:?}");
}

/// Sorted by one key, then by it in reverse.
#[track_caller]
fn check(fixture: &Fixture, by: SortBy, want: &[u32], reverse: &[u32]) {
    check_keys(fixture, &[SortKey { by, is_reverse: false }], want);
    check_keys(fixture, &[SortKey { by, is_reverse: true }], reverse);
}

/// RFC 5256 §3: all criteria, in both directions; equal ones by sequence number in either.
#[test]
fn messages_are_sorted() {
    let fixture = fixture(&[
        "From: Zoe <m@x>\r\nTo: b@x\r\nSubject: Re: banana\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000",
        "From: =?utf-8?q?=C3=84nne?= <k@x>\r\nTo: <A@x>\r\nCc: z@x\r\nSubject: apple\r\n\
         Date: Fri, 20 Nov 2026 10:30:00 +0100",
        "From: bob <K@x>\r\nCc: y@x\r\nSubject: Banana (fwd)\r\nDate: nonsense",
        "To: group: c@x;\r\nSubject: \r\nDate: Thu, 19 Nov 2026 10:00:00 +0000",
    ]);
    check(&fixture, SortBy::Arrival, &[1, 2, 3, 4], &[4, 3, 2, 1]);
    // 2 was sent at half past nine; 3 counts as sent when it was received, before nine.
    check(&fixture, SortBy::Date, &[4, 3, 2, 1], &[1, 2, 3, 4]);
    check(&fixture, SortBy::Cc, &[1, 4, 3, 2], &[2, 3, 1, 4]);
    // Without regard to case: `K` is `k`.
    check(&fixture, SortBy::From, &[4, 2, 3, 1], &[1, 2, 3, 4]);
    check(&fixture, SortBy::To, &[3, 2, 1, 4], &[4, 1, 2, 3]);
    check(&fixture, SortBy::Subject, &[4, 2, 1, 3], &[1, 3, 2, 4]);
    // RFC 5957 §3: the name first, and the address where there is none.
    check(&fixture, SortBy::DisplayFrom, &[4, 2, 3, 1], &[1, 3, 2, 4]);
    check(&fixture, SortBy::DisplayTo, &[3, 2, 1, 4], &[4, 1, 2, 3]);
    let subject = SortKey { by: SortBy::Subject, is_reverse: false };
    let date = |is_reverse| SortKey { by: SortBy::Date, is_reverse };
    check_keys(&fixture, &[subject, date(false)], &[4, 2, 3, 1]);
    check_keys(&fixture, &[subject, date(true)], &[4, 2, 1, 3]);
    check_keys(&fixture, &[], &[1, 2, 3, 4]);
}

#[test]
fn sizes_are_sorted_as_numbers() {
    let headers: Vec<String> = (0..9).map(|n| "A: b\r\n".repeat(n) + "B: c").collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let fixture = fixture(&headers);
    let ascending: Vec<u32> = (1..10).collect();
    let descending: Vec<u32> = (1..10).rev().collect();
    check(&fixture, SortBy::Size, &ascending, &descending);
}

#[track_caller]
fn check_threads(fixture: &Fixture, algorithm: ThreadAlgorithm, want: &str) {
    let reader = fixture.account.read().unwrap();
    let uids: Vec<u32> = (1..20).collect();
    let entries = reader.thread(fixture.id("Inbox"), &uids, algorithm).unwrap();
    let one = |entry: &mox_store::ThreadEntry| {
        let uid = entry.uid.map_or_else(|| "-".to_owned(), |uid| uid.to_string());
        format!("{}{uid}", ">".repeat(entry.depth as usize))
    };
    assert_eq!(entries.iter().map(one).collect::<Vec<_>>().join(" "), want);
}

/// RFC 5256 §3; the algorithm has its own tests, this is what it is given.
#[test]
fn messages_are_threaded() {
    let fixture = fixture(&[
        "Message-ID: <A@x>\r\nSubject: plans",
        "Message-ID: <b@x>\r\nIn-Reply-To: <a@X>\r\nSubject: Re: plans",
        "Message-ID: <c@x>\r\nReferences: <a@x> <b@x>\r\nSubject: other",
        "Message-ID: <e@x>\r\nReferences: <d@x>\r\nSubject: Re: gone",
        "Message-ID: <f@x>\r\nReferences: <d@x>\r\nSubject: Re: gone",
        "Message-ID: <a@x>\r\nSubject: GONE",
    ]);
    check_threads(&fixture, ThreadAlgorithm::References, "1 >2 >>3 - >4 >5 >6");
    check_threads(&fixture, ThreadAlgorithm::OrderedSubject, "1 >2 3 4 >5 >6");
}
