//! Which recipients share a transaction, and which messages a connection.

use mox_queue::NewMessage;
use mox_sender::Limits;

use crate::remote::listen;
use crate::rig::{BYE, HELLO, Rig, Sink, TAKES, takes};

fn rcpts(heard: &[String]) -> Vec<&str> {
    heard.iter().filter_map(|line| line.strip_prefix("RCPT TO:")).collect()
}

fn count(heard: &[String], verb: &str) -> usize {
    heard.iter().filter(|line| line.starts_with(verb)).count()
}

#[tokio::test]
async fn recipients_of_one_domain_share_a_transaction() {
    let rig = Rig::new();
    rig.add(&["b@one.example", "c@one.example"]);
    let script = format!(
        "{HELLO}{}{BYE}",
        TAKES.replace("C: DATA", "C: RCPT TO:\n S: 250 2.1.5 ok\n C: DATA")
    );
    let heard = rig.attempt(listen(&[&script]).await).await;
    assert_eq!(rcpts(&heard[0].lines), ["<b@one.example>", "<c@one.example>"]);
    assert_eq!(heard[0].data.len(), 1);
    assert_eq!(rig.queued(), []);
    assert_eq!(rig.retired().len(), 2);
}

#[tokio::test]
async fn domains_have_connections_of_their_own() {
    let rig = Rig::new();
    rig.add(&["b@one.example", "c@two.example"]);
    let heard = rig.attempt(listen(&[&takes(), &takes()]).await).await;
    let mut all: Vec<_> = heard.iter().flat_map(|heard| rcpts(&heard.lines)).collect();
    all.sort_unstable();
    assert_eq!(all, ["<b@one.example>", "<c@two.example>"]);
    assert_eq!(rig.queued(), []);
}

/// RFC 9422 §4.2.
#[tokio::test]
async fn no_more_recipients_than_the_server_takes() {
    let rig = Rig::new();
    rig.add(&["b@one.example", "c@one.example"]);
    let hello = HELLO.replace("250 DSN", "250 LIMITS RCPTMAX=1");
    let heard = rig.attempt(listen(&[&format!("{hello}{TAKES}{TAKES}{BYE}")]).await).await;
    assert_eq!(rcpts(&heard[0].lines), ["<b@one.example>", "<c@one.example>"]);
    assert_eq!((count(&heard[0].lines, "MAIL"), heard[0].data.len()), (2, 2));
    assert_eq!(rig.queued(), []);
}

/// RFC 5321 §4.5.3.1.10: 452, and by old servers 552, ask for another transaction.
#[tokio::test]
async fn recipients_too_many_come_in_the_next_transaction() {
    for reply in ["452 4.5.3 too many recipients", "552 5.5.3 too many recipients"] {
        let rig = Rig::new();
        rig.add(&["b@one.example", "c@one.example"]);
        let first = TAKES.replace("C: DATA", &format!("C: RCPT TO:\n S: {reply}\n C: DATA"));
        let heard = rig.attempt(listen(&[&format!("{HELLO}{first}{TAKES}{BYE}")]).await).await;
        let want = ["<b@one.example>", "<c@one.example>", "<c@one.example>"];
        assert_eq!(rcpts(&heard[0].lines), want, "{reply}");
        assert_eq!(rig.queued(), [], "{reply}");
    }
}

#[tokio::test]
async fn each_recipient_has_a_fate_of_its_own() {
    let rig = Rig::new();
    rig.add(&["b@one.example", "c@one.example", "d@one.example"]);
    let mixed = "
        C: MAIL FROM:
        S: 250 2.1.0 ok
        C: RCPT TO:
        S: 550 5.2.1 disabled
        C: RCPT TO:
        S: 250 2.1.5 ok
        C: RCPT TO:
        S: 451 4.3.0 ask again
        C: DATA
        S: 354 go
        DATA
        S: 250 2.6.0 taken";
    let (addr, played) = listen(&[&format!("{HELLO}{mixed}{BYE}")]).await;
    let running = rig.start(addr.port());
    let mail = rig.until_mail(&running, ("a", "Inbox"), 1).await;
    played.await.unwrap();
    running.stop().await;
    mail[0].check(&["Final-Recipient: rfc822; b@one.example"]);
    assert!(!mail[0].text.contains("d@one.example"), "{}", mail[0].text);
    let queued = rig.queued();
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].rcpt_to, crate::rig::mailbox("d@one.example"));
    let successes: Vec<_> = rig.retired().iter().map(|retired| retired.is_success).collect();
    assert_eq!(successes, [false, true]);
}

fn one_at_a_time() -> Limits {
    Limits { domain_connections_max: 1, ..Limits::default() }
}

#[tokio::test]
async fn a_connection_takes_the_next_message_for_the_same_domain() {
    let rig = Rig::new().with_limits(one_at_a_time());
    for rcpt in ["b@one.example", "c@one.example", "d@one.example"] {
        rig.add(&[rcpt]);
    }
    let script = format!("{HELLO}{TAKES}{TAKES}{TAKES}{BYE}");
    let heard = rig.attempt(listen(&[&script]).await).await;
    assert_eq!((count(&heard[0].lines, "EHLO"), heard[0].data.len()), (1, 3));
    assert_eq!(rig.queued(), []);
}

/// RFC 9422 §4.1, and what we bound ourselves.
#[tokio::test]
async fn a_connection_takes_no_more_messages_than_it_may() {
    let two = Limits { connection_messages_max: 2, ..one_at_a_time() };
    let mail_max = HELLO.replace("250 DSN", "250 LIMITS MAILMAX=2");
    for (limits, hello) in [(two, HELLO), (one_at_a_time(), mail_max.as_str())] {
        let rig = Rig::new().with_limits(limits);
        for rcpt in ["b@one.example", "c@one.example", "d@one.example"] {
            rig.add(&[rcpt]);
        }
        let scripts = [format!("{hello}{TAKES}{TAKES}{BYE}"), format!("{hello}{TAKES}{BYE}")];
        let heard = rig.attempt(listen(&[&scripts[0], &scripts[1]]).await).await;
        assert_eq!((heard[0].data.len(), heard[1].data.len()), (2, 1));
        assert_eq!(rig.queued(), []);
    }
}

/// What REQUIRETLS and the like demand of a connection is not had from one that was made without.
#[tokio::test]
async fn messages_with_other_demands_have_another_connection() {
    let rig = Rig::new().with_limits(one_at_a_time());
    rig.add(&["b@one.example"]);
    let lenient = rig.message("a@example.org", &["c@one.example"]);
    rig.queue(NewMessage { require_tls: Some(false), ..lenient });
    let heard = rig.attempt(listen(&[&takes(), &takes()]).await).await;
    assert_eq!((heard[0].data.len(), heard[1].data.len()), (1, 1));
    assert_eq!(rig.queued(), []);
}

/// RFC 5321 §3.8: a server that closes between messages has not heard of the next one.
#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    let rig = Rig::new().with_limits(one_at_a_time());
    for rcpt in ["b@one.example", "c@one.example"] {
        rig.add(&[rcpt]);
    }
    let closing = format!("{HELLO}{TAKES}\n CLOSE");
    let heard = rig.attempt(listen(&[&closing, &takes()]).await).await;
    assert_eq!(rcpts(&heard[1].lines), ["<c@one.example>"]);
    assert_eq!(rig.queued(), []);
    assert_eq!(rig.retired()[1].message.attempts, 1);
}

#[tokio::test]
async fn many_messages_to_many_domains_all_arrive() {
    const DOMAINS: usize = 20;
    const MESSAGES: usize = 5;
    let mut dns = crate::rig::dns();
    for domain in 0..DOMAINS {
        dns.add_ips(&format!("d{domain}.example"), &["127.0.0.1"]);
    }
    let rig = Rig::asking(dns).with_limits(Limits { connections_max: 4, ..one_at_a_time() });
    for message in 0..MESSAGES {
        for domain in 0..DOMAINS {
            rig.add(&[&format!("m{message}@d{domain}.example")]);
        }
    }
    // However the messages are spread, one connection serves a domain that has more of them waiting;
    // this server takes what comes and closes when it is said good-bye to.
    let mut sink = Sink::new().await;
    let running = rig.start(sink.addr.port());
    sink.takes(DOMAINS * MESSAGES).await;
    running.stop().await;
    assert_eq!(rig.queued(), []);
    assert_eq!(rig.retired().len(), DOMAINS * MESSAGES);
    assert!(rig.retired().iter().all(|retired| retired.message.attempts == 1));
}

/// RFC 9422 §4.1. The recipients that were left waited for the next attempt, and failed in the end if
/// there were more than eight attempts take.
#[tokio::test]
async fn a_server_that_takes_few_messages_is_called_again_for_the_others() {
    let closes = format!("{HELLO}{TAKES}\n S: 421 4.3.2 enough for now");
    let limits = HELLO.replace("250 DSN", "250 LIMITS RCPTMAX=1 MAILMAX=1");
    let one = HELLO.replace("250 DSN", "250 LIMITS RCPTMAX=1");
    let says_so = format!("{limits}{TAKES}{BYE}");
    let closes = closes.replace("250 DSN", "250 LIMITS RCPTMAX=1");
    let last = format!("{one}{TAKES}{BYE}");
    for scripts in [[&says_so, &says_so, &says_so], [&closes, &closes, &last]] {
        let rig = Rig::new();
        rig.add(&["b@one.example", "c@one.example", "d@one.example"]);
        let scripts: Vec<&str> = scripts.iter().map(|script| script.as_str()).collect();
        let heard = rig.attempt(listen(&scripts).await).await;
        assert!(heard.iter().all(|heard| heard.data.len() == 1), "{heard:?}");
        assert_eq!(rig.queued(), []);
    }
}
