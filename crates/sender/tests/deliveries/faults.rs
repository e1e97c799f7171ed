//! What servers do wrong, and what becomes of the message: in the queue, with the attempts it took.
//!
//! After each fault a server that does all right gets the message, if it is still there.

use std::time::Duration;

use futures_util::future::join_all;
use mox_queue::NewMessage;
use mox_sender::Limits;
use mox_sender::connection::Waits;

use crate::remote::{Heard, listen};
use crate::rig::{BYE, HELLO, Rig, TAKES, WAIT, dns, takes};

/// How long a step that hangs is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Short for the step of this name, and long for what is answered.
fn hanging(name: &str) -> Waits {
    let (short, long) = (Waits::all(PATIENCE), Waits::all(WAIT));
    match name {
        "DATA" => Waits { data: short.data, ..long },
        "message" => Waits { end: short.end, ..long },
        _ => Waits { command: short.command, ..long },
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It left with this code in the first attempt.
    Delivered(u16),
    /// It was returned after the first attempt, with this code.
    Failed(u16),
    /// It left in the second attempt; the code that the first ended with.
    Delayed(Option<u16>),
}

/// A message meets servers, one for each connection of the first attempt.
async fn meet(scripts: &[String], waits: Option<Waits>) -> (Fate, usize) {
    let mut rig = Rig::new();
    if let Some(waits) = waits {
        rig.waits = waits;
    }
    rig.add(&["b@one.example"]);
    let scripts: Vec<_> = scripts.iter().map(String::as_str).collect();
    let heard = rig.attempt(listen(&scripts).await).await;
    // How often the whole message was sent.
    let mut sent: usize = heard.iter().map(|heard| heard.data.len()).sum();
    let fate = match (rig.queued().as_slice(), rig.retired().as_slice()) {
        ([], [retired]) => {
            let [result] = retired.message.results.as_slice() else { panic!("{retired:?}") };
            assert_eq!(retired.is_success, result.is_success);
            let code = result.code.unwrap_or_default();
            if result.is_success { Fate::Delivered(code) } else { Fate::Failed(code) }
        }
        ([queued], []) => {
            assert_eq!((queued.attempts, queued.is_leased), (1, false), "{queued:?}");
            let code = queued.results[0].code;
            rig.waits = Waits::all(WAIT);
            rig.advance_to_due();
            let heard = rig.attempt(listen(&[&takes()]).await).await;
            sent += heard[0].data.len();
            let retired = rig.retired();
            assert!(retired[0].is_success && retired[0].message.results.len() == 2, "{retired:?}");
            Fate::Delayed(code)
        }
        state => panic!("{state:?}"),
    };
    (fate, sent)
}

/// All that is well up to a reply, and then something else.
fn until(reply: &str, then: &str) -> String {
    let good = takes();
    let at = good.find(&format!("S: {reply}")).expect("a reply of the script");
    format!("{}\n{then}", &good[..at])
}

/// Names the case, plays it, and wants the fate and how often the message was sent as a whole.
async fn check(name: &str, scripts: &[String], waits: Option<Waits>, want: (Fate, usize)) {
    assert_eq!(meet(scripts, waits).await, want, "{name}");
}

/// The replies of a session, in order, with the commands they are to.
const REPLIES: [(&str, &str); 6] = [
    ("greeting", "220 hi"),
    ("EHLO", "250-mx.example"),
    ("MAIL", "250 2.1.0 ok"),
    ("RCPT", "250 2.1.5 ok"),
    ("DATA", "354 go"),
    ("message", "250 2.6.0 taken"),
];

/// The message was sent, and nobody knows what became of it: RFC 1047. It goes out again.
fn copies(name: &str) -> usize {
    if name == "message" { 2 } else { 1 }
}

#[tokio::test]
async fn servers_that_hang_delay_the_message() {
    let cases = REPLIES.map(|(name, reply)| async move {
        let script = until(reply, "");
        let want = (Fate::Delayed(None), copies(name));
        check(name, &[script], Some(hanging(name)), want).await;
    });
    join_all(cases).await;
}

#[tokio::test]
async fn servers_that_close_delay_the_message() {
    for (name, reply) in REPLIES {
        let want = (Fate::Delayed(None), copies(name));
        check(name, &[until(reply, "CLOSE")], None, want).await;
    }
    let good = takes();
    let before = good.find("    DATA\n").expect("the step");
    let middle = format!("{}\nBYTES 20\nCLOSE", &good[..before]);
    check("in the middle of the data", &[middle], None, (Fate::Delayed(None), 2)).await;
}

#[tokio::test]
async fn garbage_delays_the_message() {
    for (name, reply) in REPLIES {
        for garbage in ["S: I am not a mail server", "S: 999 what", "S: 250-a\nS: 550 b"] {
            let want = (Fate::Delayed(None), copies(name));
            check(name, &[until(reply, garbage)], None, want).await;
        }
    }
}

/// RFC 5321 §4.2.1.
#[tokio::test]
async fn refusals_delay_or_fail_the_message() {
    for (name, reply) in REPLIES {
        let sent = usize::from(name == "message");
        for code in [421, 450] {
            let bye = if code == 421 { "" } else { BYE };
            let script = until(reply, &format!("S: {code} 4.3.0 no{bye}"));
            check(name, &[script], None, (Fate::Delayed(Some(code)), sent + 1)).await;
        }
        let script = until(reply, &format!("S: 554 5.3.0 no{BYE}"));
        check(name, &[script], None, (Fate::Failed(554), sent)).await;
    }
    // What may be otherwise later, whatever its first digit: RFC 5321 §4.5.3.1.10.
    let full = until("250 2.1.5 ok", &format!("S: 552 5.2.2 mailbox full{BYE}"));
    check("552 to RCPT", &[full], None, (Fate::Delayed(Some(552)), 1)).await;
}

/// A server that says no and hangs up has said no. RFC 5321 §3.8 forbids that.
#[tokio::test]
async fn what_was_said_before_closing_counts() {
    for (name, reply) in &REPLIES[2..] {
        let sent = usize::from(*name == "message");
        let script = until(reply, "S: 550 5.7.1 no\nCLOSE");
        check(name, &[script], None, (Fate::Failed(550), sent)).await;
    }
}

/// RFC 7435 §3.
#[tokio::test]
async fn broken_tls_is_done_without() {
    let offer = HELLO.replace("250 DSN", "250 STARTTLS");
    let plain = format!("{offer}{TAKES}{BYE}");
    for then in [
        "S: 220 go\nBADTLS",
        "S: 220 go\nCLOSE",
        "RAW 220 go\\r\\n250 slipped in\\r\\n\nTLS",
        "S: 454 4.7.0 not now\nC: QUIT\nS: 221 bye",
        "S: 502 5.5.1 what\nC: QUIT\nS: 221 bye",
    ] {
        let broken = format!("{offer}\nC: STARTTLS\n{then}");
        check(then, &[broken, plain.clone()], None, (Fate::Delivered(250), 1)).await;
    }
}

#[tokio::test]
async fn lies_in_ehlo_do_no_harm() {
    let says = |lines: &str, rest: &str| {
        format!("S: 220 hi\nC: EHLO\nS: 250-mx.example\n{lines}\n{rest}\n{BYE}")
    };
    // No extension at all, and not even EHLO.
    check("none", &[says("S: 250 x", TAKES)], None, (Fate::Delivered(250), 1)).await;
    let old = format!("S: 220 hi\nC: EHLO\nS: 500 what\nC: HELO\nS: 250 ok{TAKES}{BYE}");
    check("HELO", &[old], None, (Fate::Delivered(250), 1)).await;
    // A size that the message is over.
    let small = says("S: 250 SIZE 10", "");
    assert!(matches!(meet(&[small], None).await, (Fate::Failed(_), 0)));
    // Limits that are none.
    let limits = says("S: 250-LIMITS RCPTMAX=0 MAILMAX=x\nS: 250 SIZE x", TAKES);
    check("limits", &[limits], None, (Fate::Delivered(250), 1)).await;
    // Parameters that it does not know after all.
    let what = "C: MAIL\nS: 555 5.5.4 what";
    check("DSN", &[says("S: 250 DSN", what)], None, (Fate::Failed(555), 0)).await;
    // Pipelining that loses all but the first command.
    let hello = "S: 220 hi\nC: EHLO\nS: 250-x\n";
    let loses = format!("{hello}S: 250 PIPELINING\nC: MAIL\nC: RCPT\nC: DATA\nS: 250 ok");
    check("PIPELINING", &[loses], Some(hanging("RCPT")), (Fate::Delayed(None), 1)).await;
    // No end.
    let endless = format!("{hello}{}", "S: 250-x\n".repeat(500));
    check("endless", &[endless], None, (Fate::Delayed(None), 1)).await;
}

/// RFC 5321 §3.8: the message that comes next knows nothing of it.
#[tokio::test]
async fn a_connection_that_ends_while_it_waits_costs_no_attempt() {
    for then in ["S: 421 4.4.2 idle for too long\nCLOSE", "CLOSE"] {
        let limits = Limits { domain_connections_max: 1, ..Limits::default() };
        let rig = Rig::new().with_limits(limits);
        rig.add(&["b@one.example"]);
        rig.add(&["c@one.example"]);
        let first = format!("{HELLO}{TAKES}\n{then}");
        let heard = rig.attempt(listen(&[&first, &takes()]).await).await;
        assert_eq!((heard[0].data.len(), heard[1].data.len()), (1, 1), "{then}");
        assert_eq!(rig.queued(), [], "{then}");
        assert!(rig.retired().iter().all(|retired| retired.message.attempts == 1), "{then}");
    }
}

const HELLO_CHUNKS: &str = "
    S: 220 hi
    C: EHLO mail.example.org
    S: 250-mx.example
    S: 250-ENHANCEDSTATUSCODES
    S: 250-BINARYMIME
    S: 250 CHUNKING";

/// Messages meet a server that offers chunks and does not know the first, which is a whole message;
/// then it does what `scripts` say: the first goes on, the second is for another connection, and so on
/// in twos. It is the host of two domains and gets one connection at a time.
async fn meet_without_bdat(is_binary: bool, rcpts: &[&str], scripts: &[&str]) -> (Rig, Vec<Heard>) {
    let (domain_connections_max, host_connections_max) = (1, 1);
    let limits = Limits { domain_connections_max, host_connections_max, ..Limits::default() };
    let mut dns = dns();
    dns.add_mx("other.example", 10, "mx.one.example");
    let rig = Rig::asking(dns).with_limits(limits);
    let text = format!("Subject: tale\r\n\r\n{}", "Once upon a time\r\n".repeat(20_000));
    for rcpt in rcpts {
        let message = rig.message("a@example.org", &[rcpt]);
        rig.queue(NewMessage { body: rig.body(&text), is_binary, ..message });
    }
    let begin = format!(
        "{HELLO_CHUNKS}
        C: MAIL FROM:
        S: 250 2.1.0 ok
        C: RCPT TO:
        S: 250 2.1.5 ok
        C: BDAT {size} LAST
        BYTES {size}
        S: 502 5.5.1 what",
        size = text.len()
    );
    let mut scripts: Vec<String> = scripts.iter().map(|script| (*script).to_owned()).collect();
    scripts.iter_mut().step_by(2).for_each(|script| script.insert_str(0, &begin));
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    let heard = rig.attempt(listen(&scripts).await).await;
    assert_eq!(rig.queued(), []);
    (rig, heard)
}

/// RFC 3030 §2: the message was returned, though such a server takes it by DATA. The chunk may have been
/// commands to it: nothing more is said over that connection, not even QUIT.
#[tokio::test]
async fn a_server_that_does_not_know_its_chunks_gets_messages_without() {
    let without = format!("{HELLO_CHUNKS}{TAKES}{TAKES}{BYE}");
    let rcpts = ["b@one.example", "c@one.example"];
    let (rig, heard) = meet_without_bdat(false, &rcpts, &["", &without]).await;
    let last = heard[0].lines.last().unwrap();
    assert!(last.starts_with("BDAT"), "{last}");
    // The second message goes over the same connection.
    assert_eq!((heard[0].data.len(), heard[1].data.len()), (1, 2));
    for retired in rig.retired() {
        let message = &retired.message;
        assert_eq!((retired.is_success, message.attempts, message.results.len()), (true, 1, 1));
    }
}

/// The second connection of an attempt lost its place to the other domain, which lost it in turn: both
/// began with chunks for ever.
#[tokio::test]
async fn nobody_takes_the_place_of_the_second_connection() {
    let without = format!("{HELLO_CHUNKS}{TAKES}{BYE}");
    let rcpts = ["b@one.example", "c@other.example"];
    let (rig, _) = meet_without_bdat(false, &rcpts, &["", &without, "", &without]).await;
    let retired = rig.retired();
    assert_eq!(retired.len(), 2);
    for one in retired {
        assert_eq!((one.is_success, one.message.attempts, one.message.results.len()), (true, 1, 1));
    }
}

/// RFC 3030 §3: there is no other way for binary data.
#[tokio::test]
async fn binary_data_needs_chunks() {
    let (rig, _) = meet_without_bdat(true, &["b@one.example"], &[BYE]).await;
    let retired = &rig.retired()[0];
    assert!(!retired.is_success && retired.message.results[0].code == Some(502), "{retired:?}");
}
