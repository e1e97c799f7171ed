//! Connections to servers that keep to the protocol, and to those that do not.
#![expect(clippy::unwrap_used, reason = "a broken set-up should fail the test")]

#[expect(dead_code, reason = "each test uses a part of it")]
mod remote;

use std::sync::Arc;
use std::time::Duration;

use mox_base::Address;
use mox_net::tls::client::Verify;
use mox_net::{Conn, Deadline, Wait};
use mox_sender::connection::{
    Connection, Content, ContentError, OpenError, OpenFault, Setup, Waits,
};
use mox_smtp::client::{Config, DeliveryError, TlsUse, Transaction};
use mox_smtp::{ForwardPath, Mailbox, Reply, ReversePath};

const MESSAGE: &str = "Subject: x\r\n\r\n.hello\r\n";

fn config(tls: TlsUse) -> Config {
    Config { name: "me.example".to_owned(), tls, login: None, is_private: false }
}

async fn open(conn: Conn, config: Config) -> Result<Connection, OpenError> {
    let connector = remote::connector();
    let (connector, verify) = (&connector, &Verify::default());
    let (nonce, waits) = ([1; 18], Waits::default());
    let setup = Setup { config, nonce, connector, verify, waits, end: None };
    Connection::open(conn, setup).await.map(|(connection, _)| connection)
}

fn mailbox(address: &str) -> Mailbox {
    Mailbox::from(Address::parse(address).unwrap())
}

fn transaction(rcpts: usize, size_bytes: u64) -> Transaction {
    let rcpt = |n| ForwardPath::Mailbox(mailbox(&format!("r{n}@there.example"))).into();
    Transaction {
        reverse_path: ReversePath::Mailbox(mailbox("a@here.example")),
        rcpts: (0..rcpts).map(rcpt).collect(),
        size_bytes,
        has_8bit: false,
        requires_8bitmime: false,
        is_binary: false,
        needs_utf8: false,
        requires_tls: false,
        ret: None,
        envid: None,
        priority: 0,
    }
}

fn content(text: &str) -> Content {
    Content::bytes(Arc::from(text.as_bytes()))
}

fn text_of(result: &Result<Reply, DeliveryError>) -> String {
    match result {
        Ok(reply) => format!("delivered: {reply}"),
        Err(error) if error.is_permanent => format!("failed: {error}"),
        Err(error) if error.is_in_doubt() => format!("in doubt: {error}"),
        Err(error) => format!("delayed: {error}"),
    }
}

/// Opens and delivers to two recipients; what became of that.
async fn outcome(script: &str) -> Vec<String> {
    let (conn, played) = remote::connect(script);
    let results = match open(conn, config(TlsUse::IfOffered)).await {
        Err(OpenError { cause: OpenFault::Session(error), .. }) => vec![text_of(&Err(error))],
        Err(OpenError { cause: OpenFault::Tls(error), .. }) => vec![format!("tls: {error}")],
        Ok(mut connection) => {
            let transaction = transaction(2, MESSAGE.len() as u64);
            let results = connection.deliver(&transaction, content(MESSAGE)).await.unwrap();
            connection.quit().await;
            results.iter().map(text_of).collect()
        }
    };
    // It may drip on, on the clock of us all.
    played.abort();
    results
}

#[track_caller]
fn check(script: &str, got: &[String], want: &[&str]) {
    assert_eq!(got, want, "{script}");
}

const GOOD: &str = "
    S: 220 hi
    C: EHLO me.example
    S: 250-there.example
    S: 250 PIPELINING
    C: MAIL FROM:<a@here.example>
    C: RCPT TO:<r0@there.example>
    C: RCPT TO:<r1@there.example>
    C: DATA
    S: 250 ok
    S: 250 ok
    S: 250 ok
    S: 354 go
    DATA
    S: 250 taken";

#[tokio::test]
async fn two_messages_go_over_one_connection() {
    let second = "
        C: MAIL FROM:
        C: RCPT TO:
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go
        DATA
        S: 451 later
        C: RSET
        C: MAIL FROM:
        C: RCPT TO:
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 550 no
        S: 503 no
        C: QUIT
        S: 221 bye";
    let (conn, played) = remote::connect(&format!("{GOOD}{second}"));
    let mut connection = open(conn, config(TlsUse::IfOffered)).await.unwrap();
    assert!(connection.extensions().has_pipelining && connection.is_usable());
    let size = MESSAGE.len() as u64;
    let results = connection.deliver(&transaction(2, size), content(MESSAGE)).await.unwrap();
    assert!(results.iter().all(Result::is_ok));
    let reader = Content::reader(MESSAGE.as_bytes(), size);
    let results = connection.deliver(&transaction(1, size), reader).await.unwrap();
    assert_eq!(text_of(&results[0]), "delayed: end of data: 451 later");
    let results = connection.deliver(&transaction(1, size), content(MESSAGE)).await.unwrap();
    assert_eq!(text_of(&results[0]), "failed: RCPT TO: 550 no");
    connection.quit().await;
    let heard = played.await.unwrap();
    // RFC 5321 §4.5.2.
    let data = "Subject: x\r\n\r\n..hello\r\n.\r\n";
    assert_eq!(heard.data, [data, data]);
    assert_eq!(heard.lines.last().map(String::as_str), Some("QUIT"));
}

/// RFC 3030 §2.
#[tokio::test]
async fn large_messages_go_in_chunks() {
    let script = "
        S: 220 hi
        C: EHLO
        S: 250-x
        S: 250-PIPELINING
        S: 250 CHUNKING
        C: MAIL
        C: RCPT
        S: 250 ok
        S: 250 ok
        C: BDAT 2097152
        BYTES 2097152
        S: 250 ok
        C: BDAT 902848 LAST
        BYTES 902848
        S: 250 taken";
    let message = ".line of a message\r\n".repeat(150_000);
    let size = message.len() as u64;
    let (conn, played) = remote::connect(script);
    let mut connection = open(conn, config(TlsUse::IfOffered)).await.unwrap();
    let reader = Content::reader(std::io::Cursor::new(message.clone()), size);
    let results = connection.deliver(&transaction(1, size), reader).await.unwrap();
    assert_eq!(text_of(&results[0]), "delivered: 250 taken");
    drop(connection);
    assert_eq!(played.await.unwrap().data.concat(), message);
}

/// RFC 3207 §4.2.
#[tokio::test]
async fn tls_is_started_and_ehlo_said_again() {
    let script = "
        S: 220 hi
        C: EHLO
        S: 250-x
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go
        TLS
        C: EHLO
        S: 250-x
        S: 250 SIZE 100";
    let (conn, _played) = remote::connect(script);
    let connection = open(conn, config(TlsUse::IfOffered)).await.unwrap();
    assert!(connection.conn().tls().is_some() && connection.has_starttls());
    assert_eq!(connection.extensions().size_bytes_max, Some(100));
    assert!(!connection.extensions().has_starttls);
}

/// RFC 3207 §6: what is slipped in behind the reply to STARTTLS is no reply of the session.
#[tokio::test]
async fn replies_before_the_handshake_do_not_survive_it() {
    let script = "
        S: 220 hi
        C: EHLO
        S: 250-x
        S: 250 STARTTLS
        C: STARTTLS
        RAW 220 go\\r\\n250 SIZE 1\\r\\n
        TLS";
    let (conn, _played) = remote::connect(script);
    let error = open(conn, config(TlsUse::IfOffered)).await.unwrap_err();
    assert!(matches!(error.cause, OpenFault::Tls(_)), "{error}");
    assert!(error.has_starttls);
}

/// RFC 5321 §4.5.3.2: nothing is waited for without end. Time is the runtime's.
#[tokio::test(start_paused = true)]
async fn servers_that_do_not_keep_to_the_protocol() {
    let until = |end: &str, then: &str| {
        let kept = GOOD.find(end).map_or(GOOD, |at| &GOOD[..at]);
        format!("{kept}\n{then}")
    };
    let greeting = "S: 220 hi";
    let silent = "server did not answer in time";
    let closed = "server closed the connection";
    let two = |text: &str| vec![text.to_owned(), text.to_owned()];
    let one = |text: &str| vec![text.to_owned()];
    let cases = [
        // Hangs.
        (until(greeting, ""), one(&format!("delayed: greeting: {silent}"))),
        (until("S: 250-there", ""), one(&format!("delayed: EHLO: {silent}"))),
        (until("S: 250 ok", ""), two(&format!("delayed: MAIL FROM: {silent}"))),
        (until("S: 354 go", ""), two(&format!("delayed: DATA: {silent}"))),
        (until("S: 250 taken", ""), two(&format!("in doubt: end of data: {silent}"))),
        // Drips: each byte comes in time, the line does not.
        (
            until(greeting, "DRIP 220 hello to all of you out there"),
            one(&format!("delayed: greeting: {silent}")),
        ),
        // Garbage.
        (until(greeting, "S: SSH-2.0-OpenSSH_10"), one("delayed: greeting: bad smtp reply code")),
        (until("S: 250-there", "RAW éèê\\n"), one("delayed: EHLO: bad smtp reply code")),
        (
            until("S: 250 taken", "S: 250-yes\nS: 550 no"),
            two("in doubt: end of data: codes differ in one smtp reply"),
        ),
        // Closes.
        (until(greeting, "CLOSE"), one(&format!("delayed: greeting: {closed}"))),
        (until("S: 250-there", "CLOSE"), one(&format!("delayed: EHLO: {closed}"))),
        (until("S: 250 ok", "S: 550 not you\nCLOSE"), two("failed: MAIL FROM: 550 not you")),
        (until("DATA\n    S: 250 taken", "CLOSE"), two(&format!("delayed: DATA: {closed}"))),
        (until("S: 250 taken", "CLOSE"), two(&format!("in doubt: end of data: {closed}"))),
        // Says no.
        (until(greeting, "S: 554 go away"), one("failed: greeting: 554 go away")),
        (until("S: 250-there", "S: 421 busy"), one("delayed: EHLO: 421 busy")),
        (
            until("S: 250 ok", "S: 451 later\nS: 503 a\nS: 503 b\nS: 503 c"),
            two("delayed: MAIL FROM: 451 later"),
        ),
        (until("S: 354 go", "S: 554 no"), two("failed: DATA: 554 no")),
        (until("S: 250 taken", "S: 452 full"), two("delayed: end of data: 452 full")),
        // All is well.
        (GOOD.to_owned(), two("delivered: 250 taken")),
    ];
    for (script, want) in &cases {
        let want: Vec<_> = want.iter().map(String::as_str).collect();
        check(script, &outcome(script).await, &want);
    }
}

/// RFC 5321 §4.2.1: each command may be refused for now or for good.
#[tokio::test(start_paused = true)]
async fn every_command_may_be_refused() {
    // What comes before the reply, the command, and what else is answered in the same group.
    let steps = [
        ("S: 220 hi", "greeting", "", 1),
        ("S: 250-there", "EHLO", "", 1),
        ("S: 250 ok", "MAIL FROM", "S: 503 a\nS: 503 b\nS: 503 c", 2),
        ("S: 354 go", "DATA", "", 2),
        ("S: 250 taken", "end of data", "", 2),
    ];
    for (before, command, after, count) in steps {
        let kept = &GOOD[..GOOD.find(before).unwrap()];
        for (code, word) in [(450, "delayed"), (550, "failed"), (421, "delayed")] {
            let got = outcome(&format!("{kept}\nS: {code} no\n{after}")).await;
            let want = format!("{word}: {command}: {code} no");
            assert_eq!(got, vec![want; count], "{command} {code}");
        }
    }
    // One recipient of two.
    let kept = &GOOD[..GOOD.find("S: 250 ok").unwrap()];
    for (code, word) in [(450, "delayed"), (550, "failed"), (452, "delayed"), (552, "delayed")] {
        let rest = format!("S: 250 ok\nS: 250 ok\nS: {code} no\nS: 354 go\nDATA\nS: 250 taken");
        let got = outcome(&format!("{kept}\n{rest}")).await;
        assert_eq!(got, ["delivered: 250 taken", &format!("{word}: RCPT TO: {code} no")], "{code}");
    }
}

/// What a server says that it can do, and then cannot.
#[tokio::test(start_paused = true)]
async fn servers_that_lie_in_ehlo() {
    let begin = "S: 220 hi\nC: EHLO\nS: 250-x\n";
    for (rest, want) in [
        // Takes only the first of the commands that it wanted together.
        (
            "S: 250 PIPELINING\nC: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok",
            "delayed: RCPT TO: server did not answer in time",
        ),
        // Announces parameters and does not know them.
        (
            "S: 250 SIZE 1000\nC: MAIL FROM:<a@here.example> SIZE=22\nS: 555 what",
            "failed: MAIL FROM: 555 what",
        ),
        // Limits that are none.
        (
            "S: 250-LIMITS RCPTMAX=0 RCPTMAX=99999999\nS: 250 SIZE -5\nC: MAIL\nS: 250 ok\nC: RCPT\n\
             S: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nDATA\nS: 250 taken",
            "delivered: 250 taken",
        ),
        // TLS that it then does not have.
        ("S: 250 STARTTLS\nC: STARTTLS\nS: 501 what", "failed: STARTTLS: 501 what"),
        // Lines without end.
        ("RAW 250-MORE", "delayed: EHLO: server did not answer in time"),
    ] {
        let got = outcome(&format!("{begin}{rest}")).await;
        assert!(got.iter().all(|got| got == want), "{rest}: {got:?}");
    }
    let lines = "S: 250-MORE\n".repeat(200);
    let got = outcome(&format!("{begin}{lines}")).await;
    assert_eq!(got, ["delayed: EHLO: too many lines in smtp reply"]);
    let line = format!("S: 250-{}", "x".repeat(5_000));
    let got = outcome(&format!("{begin}{line}")).await;
    assert_eq!(got, ["delayed: EHLO: smtp reply line too long"]);
}

/// RFC 1047: the one time that nobody knows.
#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_is_not_believed() {
    let kept = &GOOD[..GOOD.find("S: 250 taken").unwrap()];
    let late = "DRIP 250 taken, but only after all of ten minutes have gone";
    let got = outcome(&format!("{kept}\n{late}")).await;
    let want = "in doubt: end of data: server did not answer in time";
    assert_eq!(got, [want, want]);
}

#[tokio::test(start_paused = true)]
async fn tls_that_does_not_work_is_told_apart() {
    for (then, want) in [
        ("S: 220 go\nBADTLS", "tls: "),
        ("S: 220 go\nCLOSE", "tls: "),
        ("S: 220 go", "tls: "),
        ("S: 454 not now", "delayed: STARTTLS: 454 not now"),
        ("S: 502 what", "failed: STARTTLS: 502 what"),
    ] {
        let begin = "S: 220 hi\nC: EHLO\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\n";
        let got = outcome(&format!("{begin}{then}")).await;
        assert!(got.len() == 1 && got[0].starts_with(want), "{then}: {got:?}");
    }
}

/// A server that stops to read in the middle of a message, and one that says no and stops.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_taken_is_given_up() {
    let size = 3_000_000;
    let message = format!("{}\r\n", "x".repeat(998)).repeat(size / 1_000);
    let begin = GOOD.find("DATA\n    S: 250 taken").map_or(GOOD, |at| &GOOD[..at]);
    for (then, want) in [
        ("DEAF", "delayed: DATA: server did not answer in time"),
        ("S: 552 too big\nDEAF", "delayed: DATA: 552 too big"),
    ] {
        let (conn, _played) = remote::connect(&format!("{begin}{then}"));
        let mut connection = open(conn, config(TlsUse::Never)).await.unwrap();
        let results = connection.deliver(&transaction(2, size as u64), content(&message)).await;
        let want = want.replace("delayed: DATA: 552", "failed: DATA: 552");
        assert_eq!(text_of(&results.unwrap()[0]), want);
        assert!(!connection.is_usable());
    }
}

/// RFC 5321 §2.3.8; a message that is cut short must not look whole to the server.
#[tokio::test]
async fn messages_that_cannot_be_sent_are_not_finished() {
    let begin = GOOD.find("S: 250 taken").map_or(GOOD, |at| &GOOD[..at]);
    for (text, size) in [("a\r\nb\nc\r\n", 8), ("a\rb\r\n", 5), ("short\r\n", 100)] {
        let (conn, played) = remote::connect(begin);
        let mut connection = open(conn, config(TlsUse::Never)).await.unwrap();
        let reader = Content::reader(text.as_bytes(), size);
        let result = connection.deliver(&transaction(2, size), reader).await;
        match result {
            Err(ContentError::BareLineEnd(_) | ContentError::Size) => {}
            other => panic!("{text:?}: {other:?}"),
        }
        assert!(!connection.is_usable());
        connection.quit().await;
        let heard = played.await.unwrap();
        assert!(!heard.data.concat().contains("\r\n.\r\n"), "{heard:?}");
    }
    // One whose size is known to be wrong is not begun.
    let (conn, _played) = remote::connect(GOOD);
    let mut connection = open(conn, config(TlsUse::Never)).await.unwrap();
    let result = connection.deliver(&transaction(2, 5), content("a\r\n")).await;
    assert!(matches!(result, Err(ContentError::Size)));
}

/// Each reply may come in its time, and yet all of it take too long.
#[tokio::test(start_paused = true)]
async fn a_message_has_its_end_and_the_next_one_another() {
    let second = "
        C: MAIL FROM:
        C: RCPT TO:
        C: DATA
        DRIP 250 yes
        DRIP 250 yes";
    for (minutes, want) in [(4, "delayed: RCPT TO: server did not answer in time"), (30, "closed")]
    {
        let (conn, played) = remote::connect(&format!("{GOOD}{second}\nCLOSE"));
        let mut connection = open(conn, config(TlsUse::Never)).await.unwrap();
        let size = MESSAGE.len() as u64;
        // As if it were nearly over.
        connection.set_end(Some(Deadline::after(Wait::new("test", Duration::from_secs(10)))));
        let results = connection.deliver(&transaction(2, size), content(MESSAGE)).await.unwrap();
        assert!(results.iter().all(Result::is_ok));
        connection.set_end(Some(Deadline::after(Wait::new("test", Duration::from_mins(minutes)))));
        let results = connection.deliver(&transaction(1, size), content(MESSAGE)).await.unwrap();
        assert!(text_of(&results[0]).contains(want), "{minutes}: {results:?}");
        // It drips on the clock of us all.
        played.abort();
    }
}

/// RFC 5321 §3.8: a connection that waits for its next message may be closed at any time.
#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_of_no_use() {
    for then in ["S: 421 idle for too long\nCLOSE", "CLOSE"] {
        let (conn, played) = remote::connect(&format!("{GOOD}\n{then}"));
        let mut connection = open(conn, config(TlsUse::Never)).await.unwrap();
        let size = MESSAGE.len() as u64;
        let results = connection.deliver(&transaction(2, size), content(MESSAGE)).await.unwrap();
        assert!(results.iter().all(Result::is_ok));
        played.await.unwrap();
        let results = connection.deliver(&transaction(1, size), content(MESSAGE)).await.unwrap();
        assert!(text_of(&results[0]).starts_with("delayed: MAIL FROM"), "{results:?}");
        assert!(!connection.is_usable());
    }
}
