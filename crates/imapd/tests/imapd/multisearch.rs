//! ESEARCH over real mailboxes. RFC 7377.

use std::time::Duration;

use crate::support::{Client, Server, Setup, server, server_with};

fn mail(subject: &str) -> String {
    format!("From: a@example.org\r\nSubject: {subject}\r\n\r\nthe text\r\n")
}

/// Four mailboxes with one to three messages each.
async fn fill(server: &Server) -> Client {
    let mut client = server.login().await;
    for (mailbox, subjects) in
        [("a", &["red", "blue"][..]), ("a/b", &["red"]), ("a/b/c", &["blue", "red", "green"])]
    {
        client.ok(&format!("CREATE {mailbox}")).await;
        for subject in subjects {
            assert!(client.append(mailbox, &mail(subject)).await.1.starts_with("OK"));
        }
    }
    server.deliver(mail("red").as_bytes());
    client
}

/// The answers without tag and UID validity, which differ.
fn answers(lines: &[String]) -> Vec<String> {
    let answer = |line: &String| {
        let rest = line.split_once(" MAILBOX ").unwrap().1;
        let (name, rest) = rest.split_once(" UIDVALIDITY ").unwrap();
        format!("{name}{}", rest.split_once(')').unwrap().1)
    };
    lines.iter().filter(|line| line.starts_with("* ESEARCH ")).map(answer).collect()
}

async fn check(client: &mut Client, command: &str, want: &[&str]) {
    assert_eq!(answers(&client.ok(command).await), want, "{command}");
}

/// RFC 7377 §2.1, RFC 7377 §2.2.
#[tokio::test]
async fn mailboxes_are_searched_together() {
    let server = server();
    let mut client = fill(&server).await;
    let red = "SUBJECT red";
    let all = ["Inbox UID ALL 1", "a UID ALL 1", "a/b UID ALL 1", "a/b/c UID ALL 2"];
    check(&mut client, &format!("ESEARCH IN (personal) {red}"), &all).await;
    check(&mut client, &format!("ESEARCH IN (inboxes subtree a) {red}"), &all).await;
    check(&mut client, &format!("ESEARCH IN (subtree-one a) {red}"), &all[1..3]).await;
    check(&mut client, &format!("ESEARCH IN (mailboxes (a/b a/b nowhere)) {red}"), &all[2..3])
        .await;
    let want = ["a UID MAX 2 COUNT 2", "a/b UID MAX 1 COUNT 1", "a/b/c UID MAX 3 COUNT 3"];
    check(&mut client, "ESEARCH IN (subtree a) RETURN (MAX COUNT) ALL", &want).await;
    // Numbers are those in each mailbox.
    let want = ["a UID ALL 2", "a/b/c UID ALL 2:3"];
    check(&mut client, "ESEARCH IN (subtree a) 2:5", &want).await;
    let want = ["a UID ALL 2", "a/b UID ALL 1", "a/b/c UID ALL 3"];
    check(&mut client, "ESEARCH IN (subtree a) *", &want).await;
    check(&mut client, "ESEARCH IN (personal) SUBJECT yellow", &[]).await;
    server.check();
}

/// A message the client was not told of is found everywhere but in the selected mailbox.
#[tokio::test]
async fn the_selected_mailbox_is_as_the_client_knows_it() {
    let server = server();
    let mut client = fill(&server).await;
    client.ok("SELECT a").await;
    let mut other = server.login().await;
    for mailbox in ["a", "a/b"] {
        other.append(mailbox, &mail("red")).await;
    }
    client.send("x ESEARCH IN (subtree a) SUBJECT red\r\n").await;
    let (lines, _) = client.finish("x").await;
    assert_eq!(answers(&lines), ["a UID ALL 1", "a/b UID ALL 1:2", "a/b/c UID ALL 2"]);
    assert!(lines.iter().any(|line| line == "* 3 EXISTS"), "{lines:?}");
    let want = ["a UID ALL 1,3", "a/b UID ALL 1:2", "a/b/c UID ALL 2"];
    check(&mut client, "ESEARCH IN (subtree a) SUBJECT red", &want).await;
    check(&mut client, "ESEARCH RETURN (SAVE COUNT) SUBJECT red", &["a UID COUNT 2"]).await;
    check(&mut client, "ESEARCH IN (selected) $", &["a UID ALL 1,3"]).await;
    client.fails("ESEARCH IN (personal) $", "NO ").await;
    client.fails("ESEARCH IN (personal) RETURN (SAVE) ALL", "BAD ").await;
}

/// RFC 9585 §3: over all mailboxes, as one.
#[tokio::test]
async fn progress_counts_the_messages_of_all_mailboxes() {
    let server = server_with(Setup { progress_wait: Duration::ZERO, ..Setup::default() });
    let mut client = fill(&server).await;
    let lines = client.ok("ESEARCH IN (personal) TEXT red").await;
    assert_eq!(answers(&lines).len(), 4);
    let progress: Vec<_> =
        lines.iter().filter(|line| line.starts_with("* OK [INPROGRESS (\"")).collect();
    assert_eq!(progress.len(), lines.len() - 4, "{lines:?}");
    for line in progress {
        assert!(line.ends_with(" NIL NIL)] still searching") || line.contains(" 7)]"), "{line}");
    }
}

#[tokio::test]
async fn a_search_of_many_mailboxes_ends_with_its_client() {
    let server = server();
    let mut client = fill(&server).await;
    for number in 0..50 {
        client.ok(&format!("CREATE many/{number}")).await;
        client.append(&format!("many/{number}"), &mail("red")).await;
    }
    let lines = client.ok("ESEARCH IN (subtree many) RETURN (COUNT) TEXT red").await;
    assert_eq!(answers(&lines).len(), 50);
    client.send("a ESEARCH IN (personal) TEXT nothing-like-it\r\n").await;
    client.vanish().await;
    server.check();
}
