//! Results that are kept up to date, with a real store. RFC 5267 §4.3.

use std::time::Duration;

use mox_base::{Clock, MailboxName};
use mox_imapd::AGES_PAUSE_SECS;
use mox_store::{Destination, NewMessage};

use crate::support::{Client, server};

fn mail(subject: &str) -> String {
    format!("From: a@example.org\r\nSubject: {subject}\r\n\r\nthe text\r\n")
}

/// The ESEARCH lines.
fn updates(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).filter(|line| line.starts_with("* ESEARCH ")).collect()
}

async fn check(client: &mut Client, command: &str, want: &[&str]) {
    assert_eq!(updates(&client.ok(command).await), want, "{command}");
}

/// RFC 5267 §4.3.3, RFC 5267 §4.3.4.
#[tokio::test]
async fn a_search_is_kept_up_to_date() {
    let server = server();
    server.deliver(mail("red").as_bytes());
    let (mut client, mut other) = (server.inbox().await, server.inbox().await);
    client.send("a UID SEARCH RETURN (UPDATE COUNT) SUBJECT red UNSEEN\r\n").await;
    assert_eq!(client.finish("a").await.0, ["* ESEARCH (TAG \"a\") UID COUNT 1"]);
    for subject in ["red", "blue", "dark red"] {
        server.deliver(mail(subject).as_bytes());
    }
    check(&mut client, "NOOP", &["* ESEARCH (TAG \"a\") UID ADDTO (0 2,4)"]).await;
    check(&mut client, "NOOP", &[]).await;
    other.ok("NOOP").await;
    other.ok("UID STORE 2:3 +FLAGS (\\Seen)").await;
    check(&mut client, "NOOP", &["* ESEARCH (TAG \"a\") UID REMOVEFROM (0 2)"]).await;
    other.ok("UID STORE 1:2 FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    // The second came back, unseen, before it went: as long as the client knows it, it is there.
    let want =
        ["* ESEARCH (TAG \"a\") UID ADDTO (0 2)", "* ESEARCH (TAG \"a\") UID REMOVEFROM (0 1:2)"];
    check(&mut client, "NOOP", &want).await;
    check(
        &mut client,
        "UID STORE 4 +FLAGS (\\Seen)",
        &["* ESEARCH (TAG \"a\") UID REMOVEFROM (0 4)"],
    )
    .await;
    client.ok("CANCELUPDATE \"a\"").await;
    server.deliver(mail("red").as_bytes());
    check(&mut client, "NOOP", &[]).await;
    server.check();
}

/// RFC 5267 §4.3.2.
#[tokio::test]
async fn a_sorted_result_has_places() {
    let server = server();
    for subject in ["m", "c", "x"] {
        server.deliver(mail(subject).as_bytes());
    }
    let mut client = server.inbox().await;
    client.send("a UID SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 ALL\r\n").await;
    assert_eq!(client.finish("a").await.0, ["* ESEARCH (TAG \"a\") UID ALL 2,1,3"]);
    client.send("b SORT RETURN (UPDATE ALL) (REVERSE SUBJECT) UTF-8 UNFLAGGED\r\n").await;
    assert_eq!(client.finish("b").await.0, ["* ESEARCH (TAG \"b\") ALL 3,1:2"]);
    for subject in ["a", "n", "z"] {
        server.deliver(mail(subject).as_bytes());
    }
    let want = [
        "* ESEARCH (TAG \"a\") UID ADDTO (1 4 4 5 6 6)",
        "* ESEARCH (TAG \"b\") ADDTO (1 6 3 5 6 4)",
    ];
    check(&mut client, "NOOP", &want).await;
    client.ok("UID STORE 2,5 +FLAGS (\\Flagged \\Deleted)").await;
    let want = ["* ESEARCH (TAG \"a\") UID REMOVEFROM (2 2 3 5)"];
    check(&mut client, "EXPUNGE", &want).await;
    client.send("c UID SORT (SUBJECT) UTF-8 ALL\r\n").await;
    assert_eq!(client.finish("c").await.0, ["* SORT 4 1 3 6"]);
}

/// Each new message of many is put in its place in a large result.
#[tokio::test]
async fn places_are_found_in_a_large_result() {
    let server = server();
    let mut client = server.login().await;
    client.ok("CREATE many").await;
    let count = 700_u32;
    let subject = |number: u32| format!("{:04}", number * 2_654_435 % 9_973);
    let messages = (0..count).map(|number| {
        let mail = mail(&subject(number));
        let content = server.account.stage(Vec::new(), &mut std::io::Cursor::new(mail)).unwrap();
        NewMessage {
            content,
            flags: mox_base::Flags::NONE,
            keywords: Vec::new(),
            received: None,
            envelope: None,
        }
    });
    let destination = Destination { mailbox: MailboxName::parse("many").unwrap(), create: false };
    server.account.add(destination, messages.collect()).wait().unwrap();
    client.ok("SELECT many").await;
    client.send("a UID SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 ALL\r\n").await;
    let (lines, _) = client.finish("a").await;
    let mut result = numbers(lines[0].split_once(" ALL ").unwrap().1);
    assert_eq!(result.len(), 700);
    // Some of the others are gone when the new ones come, and the client has not been told.
    let mut other = server.login().await;
    other.ok("SELECT many").await;
    other.ok("UID STORE 100:200 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    for number in count..count + 2 {
        other.append("many", &mail(&subject(number))).await;
    }
    other.append("many", &mail("!")).await;
    other.append("many", &mail("~")).await;
    let lines = client.ok("NOOP").await;
    for line in updates(&lines) {
        apply(&mut result, line);
    }
    client.send("b UID SORT (SUBJECT) UTF-8 ALL\r\n").await;
    let want = client.finish("b").await.0.remove(0).replace("* SORT ", "").replace(' ', ",");
    assert_eq!(result, numbers(&want));
    assert_eq!(result.len(), 603);
    server.check();
}

/// The numbers of a sequence set in its order.
pub(crate) fn numbers(text: &str) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().unwrap();
    let part = |part: &str| match part.split_once(':') {
        Some((first, last)) => (number(first)..=number(last)).collect(),
        None => vec![number(part)],
    };
    text.split(',').flat_map(part).collect()
}

/// Does what an update says.
pub(crate) fn apply(result: &mut Vec<u32>, line: &str) {
    for (name, is_removal) in [(" REMOVEFROM (", true), (" ADDTO (", false)] {
        let Some((_, data)) = line.split_once(name) else { continue };
        let words: Vec<&str> = data.split_once(')').unwrap().0.split(' ').collect();
        for step in words.chunks(2) {
            let (place, uids) = (step[0].parse::<usize>().unwrap(), numbers(step[1]));
            assert_eq!(uids.iter().all(|uid| result.contains(uid)), is_removal, "{line}");
            let Some(at) = place.checked_sub(1) else {
                // Without an order.
                result.retain(|uid| !uids.contains(uid));
                result.extend(uids.iter().filter(|_| !is_removal));
                result.sort_unstable();
                continue;
            };
            if is_removal {
                let gone: Vec<u32> = result.splice(at..at + uids.len(), []).collect();
                assert_eq!(gone, uids, "{line}");
            } else {
                result.splice(at..at, uids);
            }
        }
    }
}

/// RFC 5267 §4.3.1.
#[tokio::test]
async fn contexts_are_bounded() {
    let server = server();
    let mut client = server.inbox().await;
    for _ in 0..mox_imap::session::CONTEXTS_MAX {
        client.ok("UID SEARCH RETURN (UPDATE) ALL").await;
    }
    let (lines, reply) = client.command("UID SEARCH RETURN (UPDATE COUNT) ALL").await;
    assert!(reply.starts_with("OK "), "{reply}");
    assert!(lines[0].starts_with("* NO [NOUPDATE \"t"), "{lines:?}");
    assert!(lines[1].ends_with(" UID COUNT 0"), "{lines:?}");
    server.deliver(mail("x").as_bytes());
    assert_eq!(updates(&client.ok("NOOP").await).len(), mox_imap::session::CONTEXTS_MAX);
    // Another mailbox has none.
    client.ok("SELECT Sent").await;
    client.ok("SELECT Inbox").await;
    server.deliver(mail("x").as_bytes());
    check(&mut client, "NOOP", &[]).await;
}

/// RFC 5032 §2: messages come of age without anybody doing anything.
#[tokio::test]
async fn time_changes_results() {
    let server = server();
    let mut client = server.inbox().await;
    server.deliver(mail("old").as_bytes());
    server.clock.advance(Duration::from_secs(60));
    server.deliver(mail("new").as_bytes());
    client.ok("NOOP").await;
    client.send("a UID SEARCH RETURN (UPDATE ALL) YOUNGER 100\r\n").await;
    assert_eq!(client.finish("a").await.0, ["* ESEARCH (TAG \"a\") UID ALL 1:2"]);
    client.send("b UID SORT RETURN (UPDATE ALL) (REVERSE ARRIVAL) UTF-8 OLDER 70 UNSEEN\r\n").await;
    assert_eq!(client.finish("b").await.0, ["* ESEARCH (TAG \"b\") UID"]);
    check(&mut client, "NOOP", &[]).await;
    server.clock.advance(Duration::from_secs(32));
    check(&mut client, "NOOP", &["* ESEARCH (TAG \"b\") UID ADDTO (1 1)"]).await;
    // So soon after nobody looks, but at what changes.
    server.clock.advance(Duration::from_secs(AGES_PAUSE_SECS.unsigned_abs() - 1));
    check(&mut client, "NOOP", &[]).await;
    server.deliver(mail("newest").as_bytes());
    server.clock.advance(Duration::from_secs(60));
    let want = [
        "* ESEARCH (TAG \"a\") UID REMOVEFROM (0 1:2) ADDTO (0 3)",
        "* ESEARCH (TAG \"b\") UID ADDTO (1 2)",
    ];
    check(&mut client, "NOOP", &want).await;
    // A clock that is set back.
    server.clock.set(server.clock.now().plus_secs(-90));
    let want =
        ["* ESEARCH (TAG \"a\") UID ADDTO (0 1:2)", "* ESEARCH (TAG \"b\") UID REMOVEFROM (1 2)"];
    check(&mut client, "NOOP", &want).await;
}

/// RFC 5267 §4.3: as it happens, in IDLE and after NOTIFY.
#[tokio::test]
async fn updates_come_while_the_client_waits() {
    let server = server();
    let mut client = server.inbox().await;
    client.send("a UID SEARCH RETURN (UPDATE) UNSEEN\r\n").await;
    client.finish("a").await;
    client.send("b IDLE\r\n").await;
    assert_eq!(client.line().await, "+ waiting");
    server.deliver(mail("x").as_bytes());
    assert_eq!(client.line().await, "* 1 EXISTS");
    assert_eq!(client.line().await, "* 1 FETCH (UID 1 FLAGS ())");
    assert_eq!(client.line().await, "* ESEARCH (TAG \"a\") UID ADDTO (0 1)");
    client.send("DONE\r\n").await;
    client.finish("b").await;
    client.ok("NOTIFY SET (SELECTED (MessageNew MessageExpunge))").await;
    let mut other = server.inbox().await;
    other.ok("STORE 1 +FLAGS (\\Seen)").await;
    assert_eq!(client.line().await, "* ESEARCH (TAG \"a\") UID REMOVEFROM (0 1)");
}
