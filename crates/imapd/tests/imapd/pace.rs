//! Slow, silent and vanishing clients; limits of lines and literals; stopping.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::support::server;

/// Each byte used to start the wait anew: a client that never logs in could stay for days.
#[tokio::test(start_paused = true)]
async fn a_command_that_drips_in_gets_no_more_time() {
    let server = server();
    // Sends a byte every so many seconds until the server has enough; the seconds it took.
    let drip = async |first: &str, every_secs: u64| {
        let mut client = server.connect().await;
        client.send(first).await;
        let started = Instant::now();
        while client.stream.write_all(b"x").await.is_ok() && !client.task.is_finished() {
            sleep(Duration::from_secs(every_secs)).await;
        }
        assert!(client.task.is_finished());
        started.elapsed().as_secs()
    };
    let took = drip("a LOG", 20).await;
    assert!((30..=70).contains(&took), "{took}");
    let took = drip("a LOGIN {100+}\r\n", 5).await;
    assert!((30..=60).contains(&took), "{took}");
    let took = drip("a AUTHENTICATE PLAIN\r\n", 20).await;
    assert!((30..=70).contains(&took), "{took}");
    // Many small literals: the whole command has a bound too.
    let mut client = server.connect().await;
    let started = Instant::now();
    client.send("a LOGIN ").await;
    while client.stream.write_all(b"{1+}\r\nx").await.is_ok() && !client.task.is_finished() {
        sleep(Duration::from_secs(20)).await;
    }
    assert!((120..=160).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_told_after_half_an_hour() {
    let server = server();
    for command in ["NOOP", "SELECT Inbox"] {
        let mut client = server.login().await;
        client.ok(command).await;
        let started = Instant::now();
        assert_eq!(client.line().await, "* BYE inactive");
        assert_eq!(started.elapsed().as_secs(), 30 * 60);
        client.closed().await;
    }
    let mut client = server.inbox().await;
    client.send("a IDLE\r\n").await;
    assert_eq!(client.line().await, "+ waiting");
    let started = Instant::now();
    assert_eq!(client.line().await, "* BYE inactive");
    assert_eq!(started.elapsed().as_secs(), 30 * 60);
    // A literal is not waited for that long, nor is there anything to say in the middle of it.
    let mut client = server.login().await;
    client.send("a CREATE {10}\r\nabc").await;
    assert_eq!(client.line().await, "+ ");
    let started = Instant::now();
    client.closed().await;
    assert!(started.elapsed().as_secs() < 40);
}

#[tokio::test]
async fn limits_of_lines_and_literals() {
    let server = server();
    // A line that is too long ends the connection. RFC 9051 §3.4: after a BYE.
    let mut client = server.login().await;
    client.send(&format!("a NOOP {}\r\n", "x".repeat(16 << 10))).await;
    assert_eq!(client.line().await, "* BYE line too long");
    client.closed().await;
    let mut client = server.login().await;
    client.fails(&format!("NOOP {}", "x".repeat(16_000)), "BAD").await;
    // RFC 7888 §4: a literal that is waited for is just not asked for.
    client.fails("CREATE {102401}", "BAD [TOOBIG]").await;
    client.send("a CREATE {102400}\r\n").await;
    assert_eq!(client.line().await, "+ ");
    client.send(&format!("{}\r\n", "x".repeat(102_400))).await;
    let (_, reply) = client.finish("a").await;
    assert!(reply.starts_with("NO [CANNOT]"), "{reply}");
    client.ok("CREATE {3+}\r\nlit").await;
    client.send("b CREATE {102401+}\r\n").await;
    assert!(client.line().await.starts_with("* BYE [ALERT] "));
    assert!(client.line().await.starts_with("b BAD [TOOBIG] "));
    client.closed().await;
    let mut client = server.login().await;
    client.send(&format!("b CREATE {}", "{1+}\r\nx ".repeat(1_001))).await;
    assert!(client.line().await.starts_with("* BYE [ALERT] "));
    assert!(client.line().await.starts_with("b BAD [TOOBIG] "));
    client.closed().await;
    // What comes with a literal on its way cannot be understood any more.
    let mut client = server.login().await;
    client.send("b BOGUS {3+}\r\nabc\r\nc NOOP\r\n").await;
    assert!(client.line().await.starts_with("b BAD "));
    assert_eq!(client.line().await, "* BYE literal of a refused command");
    client.closed().await;
}

#[tokio::test]
async fn the_first_line_shows_who_speaks_imap() {
    let server = server();
    for line in ["GET / HTTP/1.1\r\n", "\r\n", "\0\u{1}\u{2}\r\n", "a BOGUS\r\n", "EHLO x\r\n"] {
        let mut client = server.connect().await;
        client.send(line).await;
        assert_eq!(client.line().await, "* BYE please try again speaking imap", "{line:?}");
        client.closed().await;
    }
    let mut client = server.connect().await;
    client.ok("NOOP").await;
    client.fails("BOGUS", "BAD").await;
    client.send("\r\n").await;
    assert!(client.line().await.starts_with("* BAD "));
    client.ok("NOOP").await;
}

#[tokio::test]
async fn anything_but_done_in_idle_ends_the_connection() {
    let server = server();
    for line in ["a NOOP\r\n", "\r\n", "DONE {3}\r\n", "DONE \r\n"] {
        let mut client = server.inbox().await;
        client.send("a IDLE\r\n").await;
        assert_eq!(client.line().await, "+ waiting");
        client.send(line).await;
        // RFC 9051 §3.4: never without a BYE. It was closed without a word.
        assert_eq!(client.line().await, "* BYE expected DONE");
        client.closed().await;
    }
    let mut client = server.inbox().await;
    client.send("a IDLE\r\ndone\r\nb NOOP\r\n").await;
    assert_eq!(client.line().await, "+ waiting");
    assert_eq!(client.finish("a").await.1, "OK IDLE done");
    client.finish("b").await;
}

/// RFC 9051 §7.1.5.
#[tokio::test]
async fn stopping_executes_nothing_more() {
    let server = server();
    let (mut one, mut two) = (server.login().await, server.login().await);
    two.send("a CREATE {5}\r\n").await;
    assert_eq!(two.line().await, "+ ");
    server.stopping.cancel();
    for client in [&mut one, &mut two] {
        assert_eq!(client.line().await, "* BYE mox shutting down");
    }
    let (_, mut three) = (one, two);
    let _late = three.stream.write_all(b"hello\r\n").await;
    let reader = server.account.read().unwrap();
    assert_eq!(reader.mailboxes().unwrap().len(), 6);
}

/// A command that was pipelined behind the one in which the server began to stop used to be
/// executed.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pipelined_commands_are_not_executed_after_stopping() {
    let server = server();
    let mut client = server.login().await;
    server.stopping.cancel();
    let _written = client.stream.write_all(b"a CREATE late\r\n").await;
    assert_eq!(client.line().await, "* BYE mox shutting down");
    client.closed().await;
    let names = server.account.read().unwrap().mailboxes().unwrap();
    assert!(names.iter().all(|mailbox| mailbox.name.as_str() != "late"));
}

#[tokio::test]
async fn clients_may_leave_at_any_point() {
    let server = server();
    server.deliver(&vec![b'x'; 300_000]);
    for text in [
        "",
        "a",
        "a NOOP\r",
        "a CREATE {5}\r\nab",
        "a APPEND Inbox {5}\r\n",
        "a APPEND Inbox {5}\r\nab",
        "a APPEND Inbox {5+}\r\nabcde",
        "a IDLE\r\n",
        "a FETCH 1 BODY.PEEK[]\r\n",
        "a SEARCH TEXT x\r\nb STORE 1 FLAGS (\\Seen)\r\n",
    ] {
        let mut client = server.inbox().await;
        client.send(text).await;
        client.vanish().await;
        server.check();
        assert_eq!(server.body_files(), Vec::<String>::new(), "{text:?}");
    }
    assert_eq!(server.login().await.ok("STATUS Inbox (MESSAGES)").await.len(), 1);
}

/// The bound of five minutes for the output of a command used to hold for a download of any size.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_has_time_as_long_as_it_reads() {
    let server = server();
    let mut message = b"Subject: x\r\n\r\n".to_vec();
    while message.len() < 1_500_000 {
        message.extend_from_slice(format!("line {}\r\n", message.len()).as_bytes());
    }
    server.deliver(&message);
    let mut client = server.inbox().await;
    client.send("a FETCH 1 BODY.PEEK[]\r\n").await;
    // 2 KB in a second: twelve minutes.
    let mut piece = [0; 2_000];
    let started = Instant::now();
    let mut got = 0;
    while got + piece.len() <= message.len() {
        client.stream.read_exact(&mut piece).await.unwrap();
        got += piece.len();
        sleep(Duration::from_secs(1)).await;
    }
    assert!(started.elapsed().as_secs() > 10 * 60);
    // One that stops reading has half a minute.
    let mut client = server.inbox().await;
    client.send("a FETCH 1 BODY.PEEK[]\r\n").await;
    let started = Instant::now();
    while !client.task.is_finished() {
        sleep(Duration::from_secs(1)).await;
    }
    assert!((30..40).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    server.check();
}
