//! UNAUTHENTICATE: one connection, several users. RFC 8437.

use std::time::Duration;

use mox_sasl::{ChannelBindings, Mechanism};
use mox_testkit::certificates::Certified;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::logins::{acceptor, authenticate};
use crate::support::{PASSWORD, Setup, server, server_with};

fn login(user: &str) -> String {
    format!("LOGIN {user}@example.org \"{PASSWORD}\"")
}

/// RFC 8437 §3, §4.1.
#[tokio::test]
async fn the_next_user_is_on_their_own() {
    let server = server();
    server.deliver(b"Subject: mjl's\r\n\r\n");
    let mut client = server.inbox().await;
    client.ok("STORE 1 +FLAGS (\\Deleted)").await;
    client.ok("NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MailboxName))").await;
    client.ok("UNAUTHENTICATE").await;
    client.fails("STATUS Inbox (MESSAGES)", "NO").await;
    client.ok(&login("other")).await;
    // What happens in the other account is no news here.
    server.deliver(b"Subject: mjl's too\r\n\r\n");
    assert_eq!(client.ok("STATUS Inbox (MESSAGES)").await, ["* STATUS Inbox (MESSAGES 0)"]);
    client.ok("SELECT Inbox").await;
    assert_eq!(client.ok("NOOP").await, Vec::<String>::new());
    client.ok("CREATE others").await;
    client.ok("UNAUTHENTICATE").await;
    client.ok(&login("mjl")).await;
    // Nothing was removed when the mailbox was left.
    assert_eq!(client.ok("STATUS Inbox (MESSAGES)").await, ["* STATUS Inbox (MESSAGES 2)"]);
    assert_eq!(client.ok("LIST \"\" others").await, Vec::<String>::new());
    server.check();
}

/// A client that has left its account gets the time of one that was never let in.
#[tokio::test(start_paused = true)]
async fn time_is_short_again() {
    let server = server();
    let mut client = server.inbox().await;
    client.ok("UNAUTHENTICATE").await;
    let started = Instant::now();
    client.closed().await;
    assert_eq!(started.elapsed(), Duration::from_secs(30));
}

/// The limits of failed logins hold for each login.
#[tokio::test(start_paused = true)]
async fn guessing_is_no_quicker_on_a_connection_that_was_let_in() {
    let server = server();
    let mut client = server.login().await;
    client.ok("UNAUTHENTICATE").await;
    for _ in 0..3 {
        client.fails("LOGIN other@example.org wrong-one", "NO [AUTHENTICATIONFAILED]").await;
    }
    let started = Instant::now();
    client.fails("LOGIN other@example.org wrong-one", "NO [AUTHENTICATIONFAILED]").await;
    assert!(started.elapsed().as_secs() >= 25, "{:?}", started.elapsed());
    client.ok(&login("other")).await;
}

/// RFC 8437 §4.2: the key is not forgotten, but the connection is not its account's any more.
#[tokio::test]
async fn a_key_can_be_used_again_or_not() {
    let server = server_with(Setup::with_tls(acceptor(), true));
    let key = Certified::new(&["client"]);
    server.register(&key, "mjl", false);
    let (mut client, bindings, greeting) = server.connect_tls(Some(&key)).await;
    assert!(greeting.starts_with("* PREAUTH "), "{greeting}");
    client.ok("UNAUTHENTICATE").await;
    client.ok(&login("other")).await;
    client.ok("UNAUTHENTICATE").await;
    let other = ("other@example.org", PASSWORD);
    let none = ChannelBindings::default();
    let reply = authenticate(&mut client, Mechanism::Plain, other, &none, true).await;
    assert!(reply.starts_with("a OK"), "{reply}");
    client.ok("UNAUTHENTICATE").await;
    let reply = authenticate(&mut client, Mechanism::External, other, &bindings, true).await;
    assert!(reply.starts_with("a NO [AUTHENTICATIONFAILED]"), "{reply}");
    let reply = authenticate(&mut client, Mechanism::External, ("", ""), &bindings, true).await;
    assert!(reply.starts_with("a OK"), "{reply}");
    client.ok("SELECT Inbox").await;
}

/// RFC 8437 §4.1: compression ends behind the command, and behind the reply; the next login may be
/// on its way already.
#[tokio::test]
async fn compression_ends() {
    let server = server();
    let mut client = server.login().await.compress(1 << 20).await;
    client.ok("NOOP").await;
    client.send("a UNAUTHENTICATE\r\n").await;
    assert_eq!(client.line().await, "a OK UNAUTHENTICATE done");
    let lines = client.ok("CAPABILITY").await;
    assert!(!lines[0].contains("COMPRESS"), "{lines:?}");
    client.ok(&login("other")).await;
    let mut client = client.compress(3).await;
    client.ok("NOOP").await;
    client.send("a UNAUTHENTICATE\r\n").await;
    client.send(&format!("b {}\r\n", login("mjl"))).await;
    assert_eq!(client.line().await, "a OK UNAUTHENTICATE done");
    assert!(client.finish("b").await.1.starts_with("OK "));
    client.ok("SELECT Inbox").await;
    // What is compressed behind the command is never executed.
    let mut client = server.login().await.compress(1 << 20).await;
    let text = format!("a UNAUTHENTICATE\r\nb {}\r\nc CREATE smuggled\r\n", login("mjl"));
    client.stream.write_all(text.as_bytes()).await.unwrap();
    client.stream.flush().await.unwrap();
    client.task.await.unwrap();
    let names = server.account.read().unwrap().mailboxes().unwrap();
    assert!(names.iter().all(|mailbox| mailbox.name.as_str() != "smuggled"));
}
