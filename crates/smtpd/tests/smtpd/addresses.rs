//! Which recipients are taken, and where their mail goes.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Fixture, addressed};

const MESSAGE: &str = "From: a@client.example\r\n\r\nx\r\n";

#[tokio::test(start_paused = true)]
async fn each_recipient_gets_its_verdict() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    client
        .dialogue(
            "MAIL FROM:<a@client.example> => 250 2.1.0
             RCPT TO:<mjl@example.org> => 250 2.1.0
             RCPT TO:<MJL+tag@Example.ORG> => 250 2.1.0
             RCPT TO:<team@example.org> => 250 2.1.0
             RCPT TO:<whatever@any.example> => 250 2.1.0
             RCPT TO:<postmaster> => 250 2.1.0
             RCPT TO:<Postmaster@mail.example.org> => 250 2.1.0
             RCPT TO:<postmaster@example.org> => 250 2.1.0
             RCPT TO:<gone@example.org> => 550 5.1.1 moved away
             RCPT TO:<busy@example.org> => 451 4.3.0
             RCPT TO:<mjl@off.example> => 450 4.2.1
             RCPT TO:<x@elsewhere.example> => 550 5.1.1
             RCPT TO:<x@[192.0.2.1]> => 550 5.1.1",
        )
        .await;
    assert!(client.data(MESSAGE).await.starts_with("250"));
    // mjl: two forms of his address, the alias not again. other: the alias and the catch-all.
    assert_eq!(fixture.counts(["mjl", "other"]), [2, 2]);
    let postmaster = fixture.messages("mjl", "Postmaster");
    let to = |message: &String| addressed(message).lines().next().unwrap().to_owned();
    assert_eq!(
        postmaster.iter().map(to).collect::<Vec<_>>(),
        [
            "Delivered-To: postmaster@mail.example.org",
            "Delivered-To: Postmaster@mail.example.org",
            "Delivered-To: postmaster@example.org"
        ]
    );
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn guessing_addresses_takes_time() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<a@client.example>", "250").await;
    let before = Instant::now();
    client.check("RCPT TO:<mjl@example.org>", "250").await;
    assert!(before.elapsed() < Duration::from_secs(1));
    // Nothing is told before the data. RFC 5321 §7.3.
    client.dialogue("RSET => 250\nMAIL FROM:<a@client.example> => 250").await;
    client.check("RCPT TO:<nobody@example.org>", "250 2.1.0").await;
    client.check("RCPT TO:<nobody+else@example.org>", "250 2.1.0").await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert!(client.data(MESSAGE).await.starts_with("550 5.1.1"));
    assert!(before.elapsed() >= mox_smtpd::UNKNOWN_RCPT_DELAY);
    // And from then on it is slow.
    let before = Instant::now();
    client.check("NOOP", "250").await;
    assert!(before.elapsed() > Duration::from_secs(5));
    assert_eq!(fixture.counts(["mjl"]), [0]);
}

#[tokio::test]
async fn all_members_of_an_alias_get_one_copy_but_those_who_have_it() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    let reply = client.transact("a@client.example", &["team+x@example.org"], MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(fixture.counts(["mjl", "other"]), [1, 1]);
    let copy = &fixture.messages("other", "Inbox")[0];
    assert!(addressed(copy).starts_with("Delivered-To: other@example.org\r\n"), "{copy}");
    assert!(copy.contains("<team+x@example.org>;"), "{copy}");
    // Addressed in person as well.
    let rcpts = ["team@example.org", "mjl@example.org"];
    assert!(client.transact("", &rcpts[..1], MESSAGE).await.starts_with("250"));
    assert!(client.transact("a@client.example", &rcpts, MESSAGE).await.starts_with("250"));
    assert_eq!(fixture.counts(["mjl", "other"]), [3, 3]);
    // The author has it.
    let own = "From: mjl@example.org\r\n\r\nx\r\n";
    let rcpts = ["team@example.org"];
    assert!(client.transact("mjl@example.org", &rcpts, own).await.starts_with("250"));
    assert_eq!(fixture.counts(["mjl", "other"]), [3, 4]);
    // Who is only said to have written it sees what goes out in their name.
    assert!(client.transact("a@client.example", &rcpts, own).await.starts_with("250"));
    assert_eq!(fixture.counts(["mjl", "other"]), [4, 5]);
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn an_alias_decides_who_may_write_to_it() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    // SPF passes for both.
    let (proven, other) = ("mjl@example.org", "a@client.example");
    for (sender, from, want) in [
        (proven, "mjl@example.org", "250"),
        (proven, "MJL+x@example.org", "250"),
        (proven, "staff@example.org", "250"),
        (other, "mjl@example.org", "550 5.7.2"),
        (other, "staff@example.org", "550 5.7.2"),
        (other, "a@client.example", "550 5.7.2"),
        (proven, "team@example.org", "550 5.7.2"),
        (proven, "mjl@example.org, other@example.org", "550 5.7.2"),
    ] {
        let message = format!("From: {from}\r\n\r\nx\r\n");
        let reply = client.transact(sender, &["staff@example.org"], &message).await;
        assert!(reply.starts_with(want), "{from}: {reply}");
        if want != "250" {
            // A refused message makes the connection slow.
            client = fixture.deliverer().await;
        }
    }
    assert_eq!(fixture.counts(["mjl", "other"]), [1, 3]);
}

#[tokio::test]
async fn a_full_account_is_refused_before_the_data() {
    // RFC 1870 §6.1 for the announced size.
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    client
        .dialogue(
            "MAIL FROM:<a@client.example> SIZE=1900 => 250
             RCPT TO:<small@example.org> => 250
             RSET => 250
             MAIL FROM:<a@client.example> SIZE=2001 => 250
             RCPT TO:<small@example.org> => 452 4.2.2
             RCPT TO:<mjl@example.org> => 250
             RSET => 250",
        )
        .await;
    let big = format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(1_900));
    let rcpts = ["small@example.org"];
    let reply = client.transact("a@client.example", &rcpts, &big).await;
    assert!(reply.starts_with("452 4.2.2"), "{reply}");
    let reply = client.transact("a@client.example", &rcpts, MESSAGE).await;
    assert!(reply.starts_with("250"), "our fault does not make the client slow: {reply}");
    assert_eq!(fixture.counts(["small"]), [1]);
    // RFC 5321 §4.2.5: one of two is a success; a report to the sender needs a queue.
    let rcpts = ["small@example.org", "mjl@example.org"];
    assert!(client.transact("a@client.example", &rcpts, &big).await.starts_with("250"));
    assert_eq!(fixture.counts(["small", "mjl"]), [1, 1]);
    fixture.check();
}
