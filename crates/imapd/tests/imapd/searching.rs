//! SORT, THREAD, and searches that take long.

use std::time::Duration;

use crate::support::{Server, Setup, server, server_with};

/// Subject, Message-ID, parent, date.
const MAILS: [(&str, &str, &str, &str); 4] = [
    ("Plans", "b@x", "", "Sat, 21 Nov 2026 10:00:00 +0000"),
    ("apples", "c@x", "", "Fri, 20 Nov 2026 10:00:00 +0000"),
    ("Re: Plans", "d@x", "b@x", "Thu, 19 Nov 2026 10:00:00 +0000"),
    ("=?utf-8?q?=C3=84pfel?= und Birnen", "e@x", "", "Thu, 19 Nov 2026 09:00:00 +0000"),
];

fn fill(server: &Server) {
    for (subject, id, parent, date) in MAILS {
        let references =
            if parent.is_empty() { String::new() } else { format!("References: <{parent}>\r\n") };
        let mail = format!(
            "From: a@example.org\r\nSubject: {subject}\r\nMessage-ID: <{id}>\r\nDate: {date}\r\n\
             {references}\r\nthe text\r\n"
        );
        server.deliver(mail.as_bytes());
    }
}

#[track_caller]
fn check(lines: &[String], want: &str) {
    assert_eq!(lines, [want]);
}

/// RFC 5256 §3, RFC 5267 §3.
#[tokio::test]
async fn messages_are_sorted() {
    let server = server();
    fill(&server);
    let mut client = server.inbox().await;
    check(&client.ok("SORT (DATE) UTF-8 ALL").await, "* SORT 4 3 2 1");
    check(&client.ok("UID SORT (ARRIVAL REVERSE SUBJECT) UTF-8 1:3").await, "* SORT 1 3 2");
    // By base subject, in any case and with the encoded words decoded.
    check(&client.ok("SORT (SUBJECT) UTF-8 ALL").await, "* SORT 2 4 1 3");
    let lines = client.ok("SORT RETURN (MIN COUNT PARTIAL 2:3) (DATE) UTF-8 ALL").await;
    assert!(lines[0].ends_with(" MIN 4 COUNT 4 PARTIAL (2:3 3,2)"), "{lines:?}");
    server.check();
}

/// RFC 5256 §4.
#[tokio::test]
async fn messages_are_threaded() {
    let server = server();
    fill(&server);
    let mut client = server.inbox().await;
    check(&client.ok("THREAD REFERENCES UTF-8 ALL").await, "* THREAD (4)(2)(1 3)");
    check(&client.ok("UID THREAD ORDEREDSUBJECT UTF-8 1:3").await, "* THREAD (3 1)(2)");
    check(&client.ok("THREAD REFERENCES UTF-8 SUBJECT nothing").await, "* THREAD");
}

/// RFC 5032 §3, RFC 8514 §4.3, RFC 6203 §3.
#[tokio::test]
async fn keys_of_extensions_find_messages() {
    let server = server();
    fill(&server);
    let mut client = server.inbox().await;
    check(&client.ok("SEARCH YOUNGER 3600 NOT OLDER 3600").await, "* SEARCH 1 2 3 4");
    check(&client.ok("SEARCH OLDER 3600").await, "* SEARCH");
    check(&client.ok("SEARCH SAVEDSINCE 1-Jan-2026").await, "* SEARCH 1 2 3 4");
    check(&client.ok("SEARCH SAVEDBEFORE 1-Jan-2026").await, "* SEARCH");
    check(&client.ok("SEARCH EMAILID nothing").await, "* SEARCH");
    check(&client.ok("SEARCH SUBJECT \"ÄPFEL\"").await, "* SEARCH 4");
    check(&client.ok("SEARCH SUBJECT apfel").await, "* SEARCH");
    check(&client.ok("SEARCH FUZZY SUBJECT \"birnen apfel\"").await, "* SEARCH 4");
    let lines = client.ok("SEARCH RETURN (MAX) SUBJECT plans").await;
    assert!(lines[0].ends_with(" MAX 3"), "{lines:?}");
}

/// RFC 9585 §3.
#[tokio::test]
async fn a_long_search_tells_how_far_it_is() {
    let setup = Setup { progress_wait: Duration::ZERO, ..Setup::default() };
    let server = server_with(setup);
    fill(&server);
    let mut client = server.inbox().await;
    let (lines, reply) = client.command("SEARCH TEXT plans").await;
    assert!(reply.starts_with("OK "), "{reply}");
    let (last, before) = lines.split_last().unwrap();
    assert_eq!(last, "* SEARCH 1 3");
    assert!(!before.is_empty());
    for line in before {
        assert!(line.starts_with("* OK [INPROGRESS (\""), "{line}");
        assert!(line.ends_with("] still searching"), "{line}");
    }
}

/// Commands sent while a search runs are done after it.
#[tokio::test]
async fn commands_behind_a_search_are_not_lost() {
    let server = server();
    fill(&server);
    let mut client = server.inbox().await;
    client.send("a SEARCH TEXT plans\r\nb NOOP\r\nc UID SEARCH ALL\r\n").await;
    assert_eq!(client.finish("a").await.0, ["* SEARCH 1 3"]);
    client.finish("b").await;
    assert_eq!(client.finish("c").await.0, ["* SEARCH 1 2 3 4"]);
}

#[tokio::test]
async fn a_search_whose_client_is_gone_ends() {
    let server = server();
    for _ in 0..200 {
        fill(&server);
    }
    let mut client = server.inbox().await;
    client.send("a SEARCH TEXT nothing-like-it\r\n").await;
    client.vanish().await;
    server.check();
}
