//! The zone of INTERNALDATE: kept by whatever is done to a message, and looked at where a day counts.

use std::ops::ControlFlow;

use mox_base::{UnixSeconds, ZonedTime};
use mox_store::{Columns, Expunge, Needed, NewMessage, Query, SortBy, SortKey};

use crate::support::{Fixture, START, name, set};

/// Noon of a day in UTC.
const NOON: UnixSeconds = UnixSeconds(1_795_132_800 + 43_200);

fn zoned(later_hours: i64, zone_hours: i16) -> ZonedTime {
    ZonedTime::new(NOON.plus_secs(later_hours * 3_600), zone_hours * 60).unwrap()
}

/// An account with messages received at these times.
fn fixture(times: &[ZonedTime]) -> Fixture {
    let fixture = Fixture::new();
    for time in times {
        let received = Some(*time);
        let message = NewMessage { received, ..fixture.message(b"Subject: x\r\n\r\nword\r\n") };
        fixture.add("Inbox", vec![message]).unwrap();
    }
    fixture
}

/// Of the messages in a mailbox with these UIDs, as FETCH gets them.
fn dates(fixture: &Fixture, mailbox: &str, uids: &[u32]) -> Vec<ZonedTime> {
    let reader = fixture.account.read().unwrap();
    let id = reader.mailbox(&name(mailbox)).unwrap().id;
    let mut dates = Vec::new();
    let visited = reader.fetch(id, uids, Columns::default(), &mut |row| {
        dates.push(row.received);
        ControlFlow::Continue(())
    });
    assert!(visited.unwrap().is_continue());
    dates
}

/// RFC 9051 §6.4.7, §6.4.8: a copy and a moved message have the date of the original.
#[test]
fn a_zone_goes_with_its_message() {
    let (east, west) = (zoned(0, 9), zoned(0, -8));
    let fixture = fixture(&[east, west, east]);
    let id = fixture.id("Inbox");
    let subscription = fixture.account.subscribe();
    fixture.account.copy(id, set(&[1, 2]), name("Archive")).wait().unwrap();
    fixture.account.move_to(id, set(&[3]), name("Sent")).wait().unwrap();
    let which = Expunge { uids: set(&[2]), only_deleted: false };
    fixture.account.expunge(id, which).wait().unwrap();
    assert_eq!(dates(&fixture, "Archive", &[1, 2]), [east, west]);
    assert_eq!(dates(&fixture, "Sent", &[1]), [east]);
    // Both that are gone are still shown to who has not heard of it.
    assert_eq!(dates(&fixture, "Inbox", &[1, 2, 3]), [east, west, east]);
    let reader = fixture.account.read().unwrap();
    let changed = reader.changed_since(id, Default::default(), &set(&[1])).unwrap();
    assert_eq!(changed.rows[0].received, east);
    drop(subscription);
}

/// What SQLite decides, and what is decided here because a text is asked for too.
#[track_caller]
fn check_day(fixture: &Fixture, query: &Query, want: &[u32]) {
    let text = || Query::Text("word".to_owned());
    let with_text = Query::Not(Box::new(Query::And(vec![text(), query.clone()])));
    let with_text = Query::And(vec![text(), Query::Not(Box::new(with_text))]);
    for query in [query.clone(), with_text] {
        let reader = fixture.account.read().unwrap();
        let (id, told) = (fixture.id("Inbox"), format!("{query:?}"));
        let found = reader.search(id, &[1, 2, 3], query, Needed::All, &mut |_| true).unwrap();
        let uids: Vec<_> = found.uids.iter().map(|uid| uid.get()).collect();
        assert_eq!(uids, want, "{told}");
    }
}

/// RFC 9051 §6.4.4: BEFORE, ON and SINCE go by the date that is shown, disregarding time and zone.
#[test]
fn a_day_is_that_of_the_zone() {
    // All within a minute: on the day before, the day, and the day after.
    let fixture = fixture(&[zoned(0, -13), zoned(0, 0), zoned(0, 12)]);
    let day = NOON.day();
    check_day(&fixture, &Query::ReceivedOn(day - 1), &[1]);
    check_day(&fixture, &Query::ReceivedOn(day), &[2]);
    check_day(&fixture, &Query::ReceivedOn(day + 1), &[3]);
    check_day(&fixture, &Query::ReceivedBefore(day), &[1]);
    check_day(&fixture, &Query::ReceivedBefore(day + 1), &[1, 2]);
    check_day(&fixture, &Query::ReceivedSince(day), &[2, 3]);
    check_day(&fixture, &Query::ReceivedSince(day + 1), &[3]);
    // RFC 5032 §3: an interval is one of time.
    check_day(&fixture, &Query::Older(NOON), &[1, 2, 3]);
    check_day(&fixture, &Query::Younger(NOON.plus_secs(1)), &[]);
}

/// Days before 1970 are days too.
#[test]
fn a_day_long_ago_is_that_of_the_zone() {
    let at = |secs, zone_hours: i16| ZonedTime::new(UnixSeconds(secs), zone_hours * 60).unwrap();
    let fixture = fixture(&[at(-1, 0), at(-1, 1), at(0, -1)]);
    check_day(&fixture, &Query::ReceivedOn(-1), &[1, 3]);
    check_day(&fixture, &Query::ReceivedOn(0), &[2]);
    check_day(&fixture, &Query::ReceivedBefore(0), &[1, 3]);
}

/// RFC 5256 §3: ARRIVAL goes by date and time, so by the instant.
#[test]
fn arrival_is_an_instant() {
    let fixture = fixture(&[zoned(2, -8), zoned(1, 9), zoned(3, 0)]);
    let reader = fixture.account.read().unwrap();
    let key = SortKey { by: SortBy::Arrival, is_reverse: false };
    let sorted = reader.sort(fixture.id("Inbox"), &[1, 2, 3], &[key]).unwrap();
    assert_eq!(sorted.iter().map(|uid| uid.get()).collect::<Vec<_>>(), [2, 1, 3]);
}

/// Without a date a message has the time of its coming, in UTC.
#[test]
fn now_is_utc() {
    let fixture = Fixture::new();
    fixture.deliver(b"Subject: x\r\n\r\n");
    assert_eq!(dates(&fixture, "Inbox", &[1]), [START.into()]);
}

/// A zone that somebody wrote into the database does not withhold the message.
#[test]
fn a_damaged_zone_is_utc() {
    let fixture = fixture(&[zoned(0, 1), zoned(0, 2)]);
    let db = rusqlite::Connection::open(fixture.account_dir().join("index.db")).unwrap();
    db.execute_batch(
        "UPDATE msg SET zone = 1440 WHERE uid = 1; UPDATE msg SET zone = -99999999 WHERE uid = 2",
    )
    .unwrap();
    assert_eq!(dates(&fixture, "Inbox", &[1, 2]), [zoned(0, 0), zoned(0, 0)]);
}
