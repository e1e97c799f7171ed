//! Accounts of another server: what their clients know goes on to hold. RFC 7162 §3.2.5.

use std::io::Cursor;

use mox_base::{
    Flags, MailboxId, MailboxName, ModSeq, MsgId, SpecialUse, ThreadId, Uid, UidValidity,
    UnixSeconds,
};
use mox_store::{KeptAccount, KeptMailbox, KeptMessage, KeptThread};

use crate::support::{Client, Server, server};

fn modseq(number: u64) -> ModSeq {
    ModSeq::new(number).unwrap()
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

/// An account with the UIDs 2, from before there were modseqs, and 5, of modseq 7. UID 3 was removed with
/// modseq 6; when the others went was forgotten, at modseq 5 at the latest.
fn taken_over() -> Server {
    let server = server();
    let inbox = KeptMailbox {
        id: MailboxId(1),
        name: MailboxName::inbox(),
        uidvalidity: UidValidity::new(77).unwrap(),
        uidnext: 7,
        modseq: modseq(7),
        createseq: modseq(1),
        special_use: SpecialUse::NONE,
        keywords: Vec::new(),
    };
    let kept = KeptAccount {
        modseq: modseq(7),
        last_message: MsgId(6),
        last_mailbox: MailboxId(1),
        next_uidvalidity: UidValidity::new(78),
        mailboxes: vec![inbox],
        subscriptions: Vec::new(),
        annotations: Vec::new(),
    };
    server.account.keep(kept).wait().unwrap();
    let message = |number: i64, at: u32, since: u64| KeptMessage {
        id: MsgId(number),
        mailbox: MailboxId(1),
        uid: uid(at),
        modseq: modseq(since),
        createseq: modseq(1),
        content: server.account.stage(Vec::new(), &mut Cursor::new(b"A: b\r\n\r\n")).unwrap(),
        flags: Flags::SEEN,
        keywords: Vec::new(),
        received: UnixSeconds(1_700_000_000),
        received_zone: -150,
        saved: UnixSeconds(1_700_000_000),
        thread: KeptThread {
            id: ThreadId(number),
            parents: Vec::new(),
            is_incomplete: false,
            is_muted: false,
            is_collapsed: false,
        },
        original_mailbox: MailboxId(1),
        destined: None,
        envelope: None,
        preview: None,
    };
    let messages = vec![message(1, 2, 1), message(4, 5, 7)];
    server.account.keep_messages(messages).wait().unwrap();
    let gone = [(5, 1), (6, 3), (5, 4), (5, 6)];
    let gone = gone.map(|(since, at)| (MailboxId(1), modseq(since), uid(at)));
    server.account.keep_gone(gone.to_vec()).wait().unwrap();
    server
}

/// What is told of messages to a client that was in sync at `since`.
async fn told(client: &mut Client, since: u64) -> Vec<String> {
    let lines = client.ok(&format!("SELECT Inbox (QRESYNC (77 {since} 1:6))")).await;
    lines.into_iter().filter(|line| line.contains("FETCH") || line.contains("VANISHED")).collect()
}

#[tokio::test]
async fn removals_that_were_forgotten_are_told_by_what_is_there() {
    const CHANGED: &str = "* 2 FETCH (UID 5 FLAGS (\\Seen) MODSEQ (7))";
    let server = taken_over();
    let mut client = server.login().await;
    client.ok("ENABLE QRESYNC").await;
    // All is known from the last removal that was forgotten on.
    assert_eq!(told(&mut client, 7).await, Vec::<String>::new());
    assert_eq!(told(&mut client, 6).await, [CHANGED]);
    assert_eq!(told(&mut client, 5).await, [CHANGED, "* VANISHED (EARLIER) 3"]);
    // Just past it: any UID that is not there may have been.
    assert_eq!(told(&mut client, 4).await, [CHANGED, "* VANISHED (EARLIER) 1,3:4,6"]);
    // RFC 7162 §3.2.6: the same for UID FETCH.
    let since = async |client: &mut Client, since: u64| {
        client.ok(&format!("UID FETCH 1:6 (FLAGS) (CHANGEDSINCE {since} VANISHED)")).await
    };
    assert_eq!(since(&mut client, 5).await, ["* VANISHED (EARLIER) 3", CHANGED]);
    assert_eq!(since(&mut client, 4).await, ["* VANISHED (EARLIER) 1,3:4,6", CHANGED]);
    server.check();
}

/// A client that says 1 has what is from before there were modseqs: it is not told of it again.
#[tokio::test]
async fn what_is_older_than_modseqs_is_known_to_a_client_that_says_1() {
    let server = taken_over();
    let mut client = server.login().await;
    client.ok("ENABLE QRESYNC").await;
    let lines = told(&mut client, 1).await;
    assert!(lines.iter().all(|line| !line.contains("UID 2 ")), "{lines:?}");
    let lines = client.ok("UID FETCH 2 (MODSEQ INTERNALDATE)").await;
    let want = "* 1 FETCH (UID 2 INTERNALDATE \"14-Nov-2023 19:43:20 -0230\" MODSEQ (1))";
    assert_eq!(lines, [want]);
    let lines = client.ok("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)").await;
    assert_eq!(lines, ["* 2 FETCH (UID 5 FLAGS (\\Seen) MODSEQ (7))"]);
    server.check();
}
