//! The server for developers: everything arrives, and errors come when asked for.

use std::time::Duration;

use mox_base::Flags;
use tokio::time::Instant;

use crate::support::{Fixture, Sent, Setup};

const DOMAINS_CONF: &str = "Domains:\n\tlocalhost:\n\t\tLocalpartCatchallSeparator: +\n\
    Accounts:\n\tmox:\n\t\tDomain: localhost\n\t\tDestinations:\n\t\t\tmox@localhost: nil\n\t\tRejectsMailbox: Rejects\n";

const MESSAGE: &str = "From: mox@localhost\r\n\r\nx\r\n";

fn fixture() -> Fixture {
    let setup = Setup::default();
    let fixture = Fixture::with(Setup {
        is_localserve: true,
        mox_conf: setup.mox_conf.replace("Account: mjl", "Account: mox"),
        domains_conf: DOMAINS_CONF.to_owned(),
        ..setup
    });
    fixture.set_password("mox");
    fixture
}

#[tokio::test(start_paused = true)]
async fn everything_goes_to_its_account() {
    let fixture = fixture();
    let mut client = fixture.deliverer().await;
    let rcpts = ["mox@localhost", "any@localhost", "x@elsewhere.example", "mox+tag@localhost"];
    assert!(client.transact("a@client.example", &rcpts, MESSAGE).await.starts_with("250"));
    assert_eq!(fixture.counts(["mox"]), [4]);
}

/// What a server would have refused can be seen, and nothing is lost.
#[tokio::test(start_paused = true)]
async fn what_a_server_refuses_goes_to_rejects() {
    let fixture = fixture();
    let message = "From: x@client.example\r\n\r\nx\r\n";
    let mut client = fixture.deliverer().await;
    for _ in 0..2 {
        let reply = client.transact("x@client.example", &["mox@localhost"], message).await;
        assert!(reply.starts_with("250"), "{reply}");
        fixture.mark("mox", "Inbox", Flags::JUNK);
    }
    assert_eq!(fixture.counts(["mox"]), [1]);
    let rejects = fixture.messages("mox", "Rejects");
    assert_eq!(rejects.len(), 1);
    let lines = rejects[0].lines().take_while(|line| !line.starts_with("Delivered-To"));
    let reason: Vec<&str> = lines.collect();
    assert!(reason[0].starts_with("X-Mox-Reason: msgfromfull;"), "{reason:?}");
    assert!(reason.contains(&"\ta server would refuse this with 451;"), "{reason:?}");
}

#[tokio::test(start_paused = true)]
async fn errors_come_where_they_are_asked_for() {
    let fixture = fixture();
    let mut client = fixture.deliverer().await;
    client
        .dialogue(
            "MAIL FROM:<mailfromtemperror@x.example> => 451 4.0.0
             MAIL FROM:<mailfrom552@x.example> => 552 5.0.0
             MAIL FROM:<permerror@x.example> => 250
             RCPT TO:<rcptto452@localhost> => 452 4.0.0
             RCPT TO:<rcpttopermerror@x.example> => 550 5.0.0
             RCPT TO:<mailfrom452@localhost> => 250
             RCPT TO:<permerror@localhost> => 250
             RSET => 250",
        )
        .await;
    let reply = client.transact("a@x.example", &["permerror@localhost"], MESSAGE).await;
    assert!(reply.starts_with("550 5.0.0"), "{reply}");
    assert_eq!(fixture.counts(["mox"]), [0]);
    // Nobody decided against it.
    assert!(crate::decision::decisions(&fixture, "mox").is_empty());
}

/// It comes back by the delivery port. There is no limit to what a program that is tested sends.
#[tokio::test]
async fn what_is_submitted_is_queued() {
    let fixture = fixture();
    let mut client = fixture.submitter("mox@localhost").await;
    let rcpts = ["x@elsewhere.example", "x@[192.0.2.1]", "nobody@localhost", "queue550@x.example"];
    assert!(client.transact("mox@localhost", &rcpts, MESSAGE).await.starts_with("250"));
    let queued: Vec<_> = fixture.queued().iter().map(Sent::to).collect();
    assert_eq!(queued, rcpts);
    for n in 0..2 {
        let rcpts: Vec<_> = (0..501).map(|m| format!("x{m}a@y{n}.example")).collect();
        let rcpts: Vec<_> = rcpts.iter().map(String::as_str).collect();
        assert!(client.transact("mox@localhost", &rcpts, MESSAGE).await.starts_with("250"));
    }
    // One recipient that asks for an error after the data has it for all.
    let rcpts = ["a@x.example", "x499@y.example", "queue551@y.example"];
    let reply = client.transact("mox@localhost", &rcpts, MESSAGE).await;
    assert!(reply.starts_with("499 4.0.0"), "{reply}");
    assert_eq!(fixture.queued().len(), 1_006);
}

#[tokio::test(start_paused = true)]
async fn a_time_out_is_an_hour_of_silence() {
    let fixture = fixture();
    let mut client = fixture.deliverer().await;
    let before = Instant::now();
    client.check("MAIL FROM:<mailfromtimeout@x.example>", "451 4.0.0").await;
    assert!(before.elapsed() >= Duration::from_secs(3_600));
    let mut client = fixture.deliverer().await;
    client.send(b"MAIL FROM:<mailfromtimeout@x.example>\r\n").await;
    tokio::time::advance(Duration::from_secs(1)).await;
    fixture.stopping.cancel();
    let before = Instant::now();
    assert!(client.reply().await.starts_with("451"));
    assert!(client.reply().await.starts_with("421 4.3.2"));
    assert!(before.elapsed() < Duration::from_secs(60), "a shutdown does not wait for it");
}

#[tokio::test]
async fn elsewhere_such_addresses_are_addresses() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    let reply = client.transact("mailfrom552@x.example", &["x550@any.example"], MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
}
