//! Commands to a running server, over its socket.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use mox_base::MailboxName;
use mox_login::{LoginError, Peer};
use mox_store::{Decision, Outcome};
use mox_testkit::certificates::{self, Certified};
use rcgen::DnType;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::{Client, SOCKET, WireError};
use crate::localserve::{ADDRESS, InitOptions, PASSWORD, init};
use crate::server::{Options, Server};

/// How long sessions may take to end: no test that passes waits for it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server, and its directory.
pub(crate) async fn server() -> (Server, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ls");
    init(&path, &InitOptions::default()).unwrap();
    let options = Options::localserve(&path).unwrap().on_free_ports();
    (Server::start(options).await.unwrap(), dir)
}

fn socket(server: &Server) -> PathBuf {
    server.data_dir().join(SOCKET)
}

pub(super) async fn client(server: &Server) -> Client {
    Client::connect(server.data_dir()).await.unwrap()
}

#[track_caller]
pub(super) fn check_refused(result: Result<(), WireError>, part: &str) {
    match result {
        Err(WireError::Refused(text)) if text.contains(part) => {}
        other => panic!("{part}: {other:?}"),
    }
}

async fn may_log_in(server: &Server, password: &str) -> Result<(), LoginError> {
    let peer = Peer {
        ip: "127.0.0.1".parse().unwrap(),
        bindings: mox_sasl::ChannelBindings::default(),
        client_key: None,
    };
    server.services().logins.password(&peer, ADDRESS, password).await.map(drop)
}

#[tokio::test]
async fn a_password_is_set() {
    let (server, _dir) = server().await;
    may_log_in(&server, PASSWORD).await.unwrap();
    let mut control = client(&server).await;
    control.run("setaccountpassword", &["mox", "another one"]).await.unwrap();
    // Several commands on one connection.
    control.run("setaccountpassword", &["mox", "pässwört"]).await.unwrap();
    may_log_in(&server, "pässwört").await.unwrap();
    for wrong in [PASSWORD, "another one"] {
        may_log_in(&server, wrong).await.unwrap_err();
    }
    // After an error the connection ends.
    let short = control.run("setaccountpassword", &["mox", "short"]).await;
    check_refused(short, "at least 8 bytes");
    let after = control.run("setaccountpassword", &["mox", "long enough"]).await;
    assert!(matches!(after, Err(WireError::Closed | WireError::Io(_))), "{after:?}");
    let other = client(&server).await.run("setaccountpassword", &["other", "long enough"]).await;
    check_refused(other, "no such account");
    server.shutdown().await;
}

#[tokio::test]
async fn log_levels_are_told_and_set() {
    let (server, _dir) = server().await;
    let mut control = client(&server).await;
    let levels = control.text("loglevels", &[]).await.unwrap();
    assert_eq!(levels, "(default): traceauth\n");
    control.run("setloglevels", &["", "error"]).await.unwrap();
    control.run("setloglevels", &["store", "debug"]).await.unwrap();
    let levels = control.text("loglevels", &[]).await.unwrap();
    assert_eq!(levels, "(default): error\nstore: debug\n");
    control.run("setloglevels", &["store", ""]).await.unwrap();
    assert_eq!(control.text("loglevels", &[]).await.unwrap(), "(default): error\n");
    check_refused(control.run("setloglevels", &["", "loud"]).await, "unknown log level");
    let nothing = client(&server).await.run("setloglevels", &["", ""]).await;
    check_refused(nothing, "give a level or a package");
    server.shutdown().await;
}

#[tokio::test]
async fn a_search_index_is_made_anew() {
    let (server, _dir) = server().await;
    let store = server.services().store.clone();
    let account = store.account("mox").unwrap();
    let mut content = std::io::Cursor::new("Subject: hello\r\n\r\n");
    let content = account.stage(Vec::new(), &mut content).unwrap();
    let message = mox_store::NewMessage {
        content,
        flags: mox_base::Flags::NONE,
        keywords: Vec::new(),
        received: None,
        envelope: None,
    };
    let inbox = mox_store::Destination { mailbox: MailboxName::inbox(), create: false };
    account.add(inbox, vec![message]).wait().unwrap();
    let mut control = client(&server).await;
    // The server's own ticks may come at any time.
    let progress = control.text("searchprogress", &["mox"]).await.unwrap();
    assert!(["0\t1\tmox\n", "1\t1\tmox\n"].contains(&&*progress), "{progress:?}");
    while control.text("searchprogress", &[""]).await.unwrap() != "1\t1\tmox\n" {
        store.tick();
        tokio::task::yield_now().await;
    }
    control.run("rebuildsearch", &["mox"]).await.unwrap();
    control.run("rebuildsearch", &[""]).await.unwrap();
    check_refused(control.run("rebuildsearch", &["other"]).await, "no such account");
    server.shutdown().await;
}

/// The account of `localserve` has a filter.
#[tokio::test]
async fn a_filter_learns_anew() {
    let (server, _dir) = server().await;
    let store = server.services().store.clone();
    let account = store.account("mox").unwrap();
    let mut content = std::io::Cursor::new("Subject: hello\r\n\r\n");
    let content = account.stage(Vec::new(), &mut content).unwrap();
    let message = mox_store::NewMessage {
        content,
        flags: mox_base::Flags::NOT_JUNK,
        keywords: Vec::new(),
        received: None,
        envelope: None,
    };
    let sent =
        mox_store::Destination { mailbox: MailboxName::parse("Sent").unwrap(), create: false };
    account.add(sent, vec![message]).wait().unwrap();
    let mut control = client(&server).await;
    for name in ["mox", ""] {
        control.run("retrain", &[name]).await.unwrap();
        loop {
            let progress = control.text("junkprogress", &[name]).await.unwrap();
            let cells: Vec<_> = progress.trim_end().split('\t').collect();
            assert_eq!((cells.len(), cells[4]), (5, "mox"), "{progress:?}");
            if cells[..3] == ["0", "1", "0"] {
                assert_ne!(cells[3], "0");
                break;
            }
            store.tick();
            tokio::task::yield_now().await;
        }
    }
    control.run("junkcheck", &["mox"]).await.unwrap();
    control.send_data(&b"Subject: hello\n\n"[..]).await.unwrap();
    let text = String::from_utf8(control.data().await.unwrap()).unwrap();
    assert!(text.starts_with("not junk: probability 0."), "{text}");
    assert!(text.contains("no junk  subject:hello\n"), "{text}");
    check_refused(control.run("junkcheck", &["other"]).await, "no such account");
    let mut control = client(&server).await;
    check_refused(control.run("retrain", &["other"]).await, "no such account");
    server.shutdown().await;
}

fn decision(time: i64, outcome: Outcome, subject: &str) -> Decision {
    Decision {
        time: mox_base::UnixSeconds(time),
        times: 1,
        outcome,
        reason: mox_policy::Reason::JunkContent,
        code: (outcome == Outcome::Refused).then_some(451),
        mail_from: "ann@example.org".to_owned(),
        rcpt_to: ADDRESS.to_owned(),
        author: "ann@example.org".to_owned(),
        subject: subject.to_owned(),
        message_id: None,
        remote_ip: "192.0.2.1".to_owned(),
        mailbox: "Inbox".to_owned(),
        explanation: vec!["one".to_owned(), "two\tparts".to_owned()],
    }
}

#[tokio::test]
async fn a_server_tells_how_it_is() {
    let (server, _dir) = server().await;
    let text = client(&server).await.text("doctor", &[]).await.unwrap();
    let facts: mox_checks::doctor::ServerFacts = serde_json::from_str(&text).unwrap();
    assert_eq!((facts.version.as_str(), facts.queued, facts.oldest), (crate::VERSION, 0, None));
    assert!(facts.failed_certificates.is_empty());
    server.shutdown().await;
}

#[tokio::test]
async fn decisions_are_listed() {
    let (server, _dir) = server().await;
    let account = server.services().store.account("mox").unwrap();
    let mut control = client(&server).await;
    assert_eq!(control.text("decisions", &["", "", "", "20"]).await.unwrap(), "");
    let now = mox_base::Clock::now(&mox_net::SystemClock::new()).0;
    for (age, outcome, subject) in [
        (9, Outcome::Accepted, "first"),
        (8, Outcome::Refused, "second\r\n\tline"),
        (7, Outcome::Delayed, "third"),
    ] {
        account.record_decision(decision(now - age, outcome, subject)).await.unwrap();
    }
    let list = control.text("decisions", &["mox", "", "", "20"]).await.unwrap();
    let subjects: Vec<_> = list.lines().map(|line| line.split('\t').nth(12).unwrap()).collect();
    assert_eq!(subjects, ["third", "second   line", "first"]);
    let refused = control.text("decisions", &["", "refused", "EXAMPLE.org", "1"]).await.unwrap();
    let meaning = mox_policy::Reason::JunkContent.text();
    let want = format!(
        "mox\t{}\t1\trefused\t451\tjunk-content\t{meaning}\tann@example.org\t\
         ann@example.org\t192.0.2.1\t{ADDRESS}\tInbox\tsecond   line\tone\ttwo parts\n",
        now - 8,
    );
    assert_eq!(refused, want);
    assert_eq!(control.text("decisions", &["", "", "nobody", "9"]).await.unwrap(), "");
    check_refused(control.run("decisions", &["", "lost", "", "1"]).await, "unknown outcome");
    let other = client(&server).await.run("decisions", &["", "", "", "-1"]).await;
    check_refused(other, "not a number");
    let other = client(&server).await.run("decisions", &["other", "", "", "1"]).await;
    check_refused(other, "no such account");
    server.shutdown().await;
}

fn certificate() -> Vec<u8> {
    let mut params = certificates::params(&[]);
    params.distinguished_name.push(DnType::CommonName, "laptop");
    Certified::self_signed(&params, certificates::key()).der().to_vec()
}

#[tokio::test]
async fn client_keys_are_added_listed_shown_and_removed() {
    let (server, _dir) = server().await;
    let mut control = client(&server).await;
    let der = certificate();
    control.send("tlspubkeyadd", &["mox+key@localhost", "", "true"]).await.unwrap();
    control.send_data(&*der).await.unwrap();
    let list = control.text("tlspubkeylist", &[""]).await.unwrap();
    let row = list.lines().nth(1).unwrap();
    let cells: Vec<_> = row.split('\t').collect();
    assert!(list.ends_with("(1)\n") || list.starts_with("# fingerprint, type, name"), "{list}");
    assert_eq!(cells[1..], ["ecdsa-p256", "laptop", "mox", "mox+key@localhost", "true"]);
    assert_eq!(control.text("tlspubkeylist", &["other"]).await.unwrap().lines().count(), 1);

    control.run("tlspubkeyget", &[cells[0]]).await.unwrap();
    for want in ["ecdsa-p256", "laptop", "mox", "mox+key@localhost", "true"] {
        assert_eq!(control.line().await.unwrap(), want);
    }
    assert_eq!(control.data().await.unwrap(), der);

    control.run("tlspubkeyrm", &[cells[0]]).await.unwrap();
    check_refused(control.run("tlspubkeyrm", &[cells[0]]).await, "no such key");

    for (address, der, part) in [
        ("other@example.org", &*der, "domain is not local"),
        ("nobody", &*der, "address"),
        (ADDRESS, b"not DER", "not an X.509 certificate"),
    ] {
        let mut control = client(&server).await;
        control.send("tlspubkeyadd", &[address, "", "false"]).await.unwrap();
        check_refused(control.send_data(der).await, part);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_message_is_delivered() {
    let (server, _dir) = server().await;
    let mut control = client(&server).await;
    control.run("deliver", &["mox+tests@localhost"]).await.unwrap();
    control.send_data(&b"Subject: hi\n\nthere\n"[..]).await.unwrap();
    check_refused(control.run("deliver", &["x@elsewhere.example"]).await, "not local");

    let account = server.services().store.account("mox").unwrap();
    let reader = account.read().unwrap();
    let inbox = reader.mailbox(&MailboxName::inbox()).unwrap();
    let uids = reader.uids(inbox.id).unwrap();
    let uid = mox_base::Uid::new(uids[0]).unwrap();
    let content = reader.content(inbox.id, uid).unwrap().to_vec().unwrap();
    assert_eq!(content, b"Subject: hi\r\n\r\nthere\r\n");
    assert_eq!(account.check().unwrap(), Vec::<String>::new());
    server.shutdown().await;
}

/// Reads from the socket until this has come.
async fn until(stream: &mut UnixStream, text: &mut String, end: &str) {
    let mut bytes = [0; 4_096];
    while !text.contains(end) {
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
}

/// RFC 9051 §7.1.4.
#[tokio::test]
async fn imap_is_spoken_on_the_socket() {
    let (server, _dir) = server().await;
    let mut control = client(&server).await;
    // Other commands may come before.
    control.text("loglevels", &[]).await.unwrap();
    control.run("imapserve", &["mox+any@localhost"]).await.unwrap();
    let (mut stream, early) = control.into_stream();
    let mut text = String::from_utf8(early).unwrap();
    stream.write_all(b"a SELECT Inbox\r\n").await.unwrap();
    until(&mut stream, &mut text, "\r\na OK ").await;
    assert!(text.starts_with("* PREAUTH [CAPABILITY IMAP4rev2 "), "{text}");
    let greeting = text.lines().next().unwrap();
    assert!(greeting.ends_with(" mox+any@localhost"), "{greeting}");
    assert!(greeting.contains(" AUTH=PLAIN") && !greeting.contains("STARTTLS"), "{greeting}");
    // What is sent at once with the command is not lost; and a control command is none any more.
    let mut other = UnixStream::connect(socket(&server)).await.unwrap();
    other.write_all(b"imapserve\nmox@localhost\na LOGOUT\r\nloglevels\n").await.unwrap();
    let mut text = String::new();
    until(&mut other, &mut text, "a OK LOGOUT done\r\n").await;
    assert!(text.starts_with("ctlv0\nok\n* PREAUTH "), "{text}");
    for (address, part) in
        [("mox", "no such account"), ("x@elsewhere.example", "no such account"), ("", "no such")]
    {
        check_refused(client(&server).await.run("imapserve", &[address]).await, part);
    }
    // The session is told of the end of the server like any other.
    let mut rest = String::new();
    let (report, ()) = tokio::join!(server.shutdown_within(PATIENCE), async {
        until(&mut stream, &mut rest, "* BYE mox shutting down\r\n").await;
        drop(stream);
    });
    assert_eq!(report.killed, 0);
}

#[tokio::test]
async fn stop_is_answered_by_the_end_of_the_server() {
    let (server, _dir) = server().await;
    let (path, control) = (socket(&server), client(&server).await);
    let stopped = tokio::spawn(control.stop());
    server.stop_asked().await;
    assert!(!stopped.is_finished());
    assert_eq!(server.shutdown_within(PATIENCE).await.killed, 0);
    stopped.await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn only_the_owner_may_connect_and_a_stale_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ls");
    init(&path, &InitOptions::default()).unwrap();
    std::fs::write(path.join(SOCKET), "left over").unwrap();
    let options = Options::localserve(&path).unwrap().on_free_ports();
    let server = Server::start(options.clone()).await.unwrap();
    let mode = std::fs::metadata(socket(&server)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A second server on the same data is refused, and does not take the socket away.
    assert!(Server::start(options).await.is_err());
    client(&server).await.text("loglevels", &[]).await.unwrap();
    server.shutdown().await;
}

/// Sends bytes, and returns what came until the server closed.
async fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket(server)).await.unwrap();
    // The server may close before it has read everything.
    let _sent = stream.write_all(bytes).await;
    let _ended = stream.shutdown().await;
    let mut answer = Vec::new();
    // A reset after the answer, for bytes that were not read.
    let _read = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn what_is_no_command_is_refused() {
    let (server, _dir) = server().await;
    assert_eq!(exchange(&server, b"").await, "ctlv0\n");
    assert_eq!(exchange(&server, b"nonsense\n").await, "ctlv0\nunrecognized command\n");
    assert_eq!(exchange(&server, b"\n").await, "ctlv0\nunrecognized command\n");
    assert_eq!(exchange(&server, b"stop").await, "ctlv0\n", "a command is a whole line");
    assert_eq!(exchange(&server, b"setaccountpassword\nmox\n").await, "ctlv0\n");
    let answer = exchange(&server, b"deliver\nmox@localhost\nmany\n").await;
    assert_eq!(answer, "ctlv0\nok\nbad count of data\n");
    // The server is as before.
    client(&server).await.text("loglevels", &[]).await.unwrap();
    assert_eq!(server.services().supervisor.panics(), 0);
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_without_a_keeper_is_neither_confined_nor_restarted() {
    let (server, _dir) = server().await;
    let text = client(&server).await.text("confinement", &[]).await.unwrap();
    assert!(text.starts_with("not confined: "), "{text}");
    check_refused(client(&server).await.restart().await, "started by \"mox serve\"");
    // It goes on.
    client(&server).await.text("loglevels", &[]).await.unwrap();
    server.shutdown().await;
}
