//! How messages were protected on their way here: kept with each, whatever is done to it.

use mox_store::{Envelope, NewMessage, ReceivedTls};

use crate::support::{Fixture, name, set};

/// What is noted of a message in a mailbox; nothing of one that did not come by SMTP.
fn noted(fixture: &Fixture, mailbox: &str, uid: u32) -> Option<ReceivedTls> {
    let reader = fixture.account.read().unwrap();
    let since = mox_base::ModSeq::default();
    let changed = reader.changed_since(fixture.id(mailbox), since, &set(&[uid])).unwrap();
    let known = reader.remembered(changed.rows[0].id).unwrap().unwrap();
    known.envelope.map(|envelope| envelope.tls)
}

#[test]
fn copies_and_moved_messages_came_as_the_original_did() {
    let fixture = Fixture::new();
    let plain = ReceivedTls { version: ReceivedTls::PLAIN, ..ReceivedTls::default() };
    let all = [
        ReceivedTls { version: 0x0304, cipher: 0x1301, is_required: true },
        ReceivedTls { version: 0x0303, cipher: 0xc02b, is_required: false },
        plain,
        // Nothing that we speak: numbers are kept as they are.
        ReceivedTls { version: u16::MAX, cipher: u16::MAX, is_required: true },
    ];
    for tls in all {
        let envelope = Some(Envelope { tls, ..Envelope::default() });
        let message = NewMessage { envelope, ..fixture.message(b"Subject: x\r\n\r\nx\r\n") };
        fixture.add("Inbox", vec![message]).unwrap();
    }
    fixture.deliver(b"Subject: not by SMTP\r\n\r\nx\r\n");
    let (inbox, every) = (fixture.id("Inbox"), [1, 2, 3, 4, 5]);
    let want = [Some(all[0]), Some(all[1]), Some(all[2]), Some(all[3]), None];
    let found = |mailbox: &str| every.map(|uid| noted(&fixture, mailbox, uid));
    assert_eq!(found("Inbox"), want);
    fixture.account.copy(inbox, set(&every), name("Archive")).wait().unwrap();
    assert_eq!((found("Archive"), found("Inbox")), (want, want));
    fixture.account.move_to(inbox, set(&every), name("Trash")).wait().unwrap();
    assert_eq!(found("Trash"), want);
    fixture.check();
}
