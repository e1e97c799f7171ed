//! The check finds what is wrong.

use mox_queue::{Filter, INLINE_BYTES_MAX, NewHook, Settlement};

use crate::support::{Fixture, NOW, delivered, open};

#[track_caller]
fn check(damage: &str, want: &str) {
    let fixture = Fixture::new();
    let mut message = fixture.message(&["a@x.example", "b@y.example"]);
    message.utf8_body =
        Some(fixture.queue.stage(&mut &vec![b'x'; INLINE_BYTES_MAX + 1][..]).unwrap());
    fixture.add_at(NOW, message);
    let hook =
        NewHook { account: "one".to_owned(), payload: "{}".to_owned(), ..NewHook::default() };
    fixture.queue.add_hooks(vec![hook], NOW).wait().unwrap();
    let lease = fixture.lease_one(NOW);
    let settlement = Settlement { keep_secs: 9, ..Settlement::new(lease.id, NOW, delivered()) };
    fixture.queue.settle(vec![settlement], NOW).wait().unwrap();
    assert_eq!(fixture.queue.check().unwrap(), Vec::<String>::new());
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("queue");
    std::fs::create_dir(&copy).unwrap();
    let from = fixture.dir.path().join("queue/queue.db");
    let db = rusqlite::Connection::open(&from).unwrap();
    db.execute("VACUUM INTO ?1", [copy.join("queue.db").to_str().unwrap()]).unwrap();
    let queue = open(dir.path());
    let db = rusqlite::Connection::open(copy.join("queue.db")).unwrap();
    db.execute_batch(damage).unwrap();
    let faults = queue.check().unwrap();
    assert!(faults.iter().any(|fault| fault.starts_with(want)), "{damage}: {faults:?}");
}

#[test]
fn every_kind_of_damage_is_found() {
    check("", "body file missing");
    check("UPDATE lane SET next_attempt = 1", "lane that is not");
    check("UPDATE queued SET next_attempt = 1", "lane that is not");
    check("DELETE FROM lane", "waiting message without a lane");
    check("UPDATE message SET queued_rows = 5", "message with a wrong number");
    check("UPDATE message SET retired_rows = 0", "message with a wrong number");
    check("DELETE FROM message", "row without a message");
    check("DELETE FROM message", "body without a message");
    check("DELETE FROM body", "message without a body");
    check("DELETE FROM queued", "message with a wrong number");
    check("UPDATE body SET size = 1", "body of the wrong size");
    check("UPDATE retired SET id = (SELECT id FROM queued)", "message that is queued and retired");
    check("UPDATE hook_usage SET bytes = 0", "wrong usage by webhook calls of account: one");
    check("DELETE FROM hook_usage", "wrong usage by webhook calls of account: one");
    check("DROP TRIGGER hook_removed; DELETE FROM hook", "wrong usage by webhook calls");
    check("UPDATE queued SET rcpt_to = 'nobody'", "message 2 cannot be read");
    check("UPDATE retired SET results = '{'", "message 1 cannot be read");
}

#[test]
fn a_message_that_cannot_be_read_fails_a_list_and_harms_no_other_operation() {
    let fixture = Fixture::new();
    let added = fixture.add(&["a@x.example", "b@y.example"]);
    let db = rusqlite::Connection::open(fixture.dir.path().join("queue/queue.db")).unwrap();
    db.execute("UPDATE queued SET results = '{' WHERE id = ?1", [added[0].0]).unwrap();
    assert!(fixture.queue.list(&Filter::default(), &mox_queue::Sort::default()).is_err());
    assert!(fixture.queue.get(added[1]).unwrap().is_some());
    db.execute("UPDATE queued SET results = '[]'", []).unwrap();
}
