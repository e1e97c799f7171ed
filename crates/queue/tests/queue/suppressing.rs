//! The suppression list.

use mox_queue::{QueueError, Settlement, base_address};

use crate::support::{Fixture, NOW, delivered, failed, mailbox};

#[track_caller]
fn check_base(address: &str, want: &str) {
    assert_eq!(base_address(&mailbox(address)), want, "{address}");
}

#[test]
fn variants_of_an_address_have_a_base_in_common() {
    check_base("user@x.example", "user@x.example");
    check_base("U.s.e.r@X.example", "user@x.example");
    check_base("user+shop@x.example", "user@x.example");
    check_base("user-shop@x.example", "user@x.example");
    check_base("user-a+b@x.example", "user@x.example");
    check_base("user+a-b@xn--bcher-kva.example", "user@bücher.example");
    check_base("ÉCOLE@x.example", "école@x.example");
    // Nothing is left of these, so nothing is cut.
    check_base("+a@x.example", "+a@x.example");
    check_base("-a+b@x.example", "-a@x.example");
}

#[test]
fn entries_are_added_and_removed_by_any_variant() {
    let fixture = Fixture::new();
    let queue = &fixture.queue;
    let add = |account: &str, address: &str| {
        queue.suppress(account, &mailbox(address), "asked to", NOW).wait()
    };
    add("one", "u.ser@x.example").unwrap();
    assert!(matches!(add("one", "User+2@x.example"), Err(QueueError::SuppressedAlready)));
    add("two", "user@x.example").unwrap();
    add("one", "other@x.example").unwrap();
    let listed = queue.suppressions(Some("one"), None).unwrap();
    let addresses: Vec<_> = listed.iter().map(|entry| entry.base_address.as_str()).collect();
    assert_eq!(addresses, ["other@x.example", "user@x.example"]);
    assert!(listed[0].is_manual && listed[0].reason == "asked to" && listed[0].created == NOW);
    let after = Some(("one", "other@x.example"));
    assert_eq!(queue.suppressions(None, after).unwrap().len(), 2);
    assert_eq!(queue.suppressed_anywhere(&mailbox("us.er@x.example")).unwrap().len(), 2);
    let remove = |address: &str| queue.unsuppress("one", &mailbox(address)).wait();
    remove("user-9@x.example").unwrap();
    assert!(matches!(remove("user@x.example"), Err(QueueError::NotSuppressed)));
    assert!(queue.suppressed("two", &mailbox("user@x.example")).unwrap().is_some());
}

/// What there was of messages to the address before: whether each succeeded.
#[track_caller]
fn check_would(before: &[bool], code: Option<u16>, enhanced: Option<(u8, u16, u16)>, want: bool) {
    let fixture = Fixture::new();
    for (index, is_success) in before.iter().enumerate() {
        let now = NOW.plus_secs(index as i64);
        fixture.add_at(now, fixture.message(&["user@x.example"]));
        let lease = fixture.lease_one(now);
        let outcome = if *is_success { delivered() } else { failed(false) };
        let settlement = Settlement { keep_secs: 100, ..Settlement::new(lease.id, now, outcome) };
        fixture.queue.settle(vec![settlement], now).wait().unwrap();
    }
    let rcpt = mailbox("user@x.example");
    let would = fixture.queue.would_suppress("account", &rcpt, code, enhanced).unwrap();
    assert_eq!(would, want, "{before:?} {code:?} {enhanced:?}");
    let other = fixture.queue.would_suppress("other", &rcpt, Some(554), None).unwrap();
    assert!(!other, "the history of another account");
    fixture.queue.suppress("account", &rcpt, "", NOW).wait().unwrap();
    assert!(!fixture.queue.would_suppress("account", &rcpt, code, enhanced).unwrap());
}

#[test]
fn which_failures_suppress() {
    for code in [521, 550, 551, 553, 556] {
        check_would(&[], Some(code), None, true);
    }
    for detail in [(1, 1), (1, 2), (1, 3), (1, 6), (2, 1), (7, 1)] {
        check_would(&[], Some(554), Some((5, detail.0, detail.1)), true);
    }
    check_would(&[], Some(554), None, false);
    check_would(&[], Some(554), Some((5, 7, 0)), false);
    check_would(&[], Some(450), Some((4, 1, 1)), false);
    // The third in a row.
    check_would(&[false, false], Some(554), None, true);
    check_would(&[true, false, false], Some(554), None, true);
    check_would(&[false], Some(554), None, false);
    check_would(&[false, true], Some(554), None, false);
    check_would(&[false, true, false], Some(554), None, false);
    check_would(&[false, false, true], Some(554), None, false);
    // Without an answer of a server nothing is known of the address.
    check_would(&[false, false], None, None, false);
}
