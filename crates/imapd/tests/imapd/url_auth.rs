//! URLAUTH: URLs that let others have a message. RFC 4467, RFC 5524.

use crate::support::{Client, HOSTNAME, PASSWORD, Server, server};

const MULTIPART: &str = "Subject: parts\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
    --x\r\nContent-Type: text/plain\r\n\r\none\r\n--x\r\n\
    Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n\
    --x\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
    caf=C3=A9\r\n--x\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-odd\r\n\r\nodd\r\n\
    --x--";

/// Who is logged in as the account whose mail is nobody else's business.
async fn other(server: &Server) -> Client {
    let mut client = server.connect().await;
    client.ok(&format!("LOGIN other@example.org \"{PASSWORD}\"")).await;
    client
}

fn url(rest: &str, auth: &str) -> String {
    format!("imap://mjl%40example.org@{HOSTNAME}/{rest};URLAUTH={auth}")
}

/// The URL with its token.
async fn signed(client: &mut Client, url: &str) -> String {
    let lines = client.ok(&format!("GENURLAUTH \"{url}\" INTERNAL")).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let signed = lines[0].strip_prefix("* GENURLAUTH \"").unwrap().strip_suffix('"').unwrap();
    assert!(signed.starts_with(&format!("{url}:INTERNAL:")), "{signed}");
    signed.to_owned()
}

/// What follows the URL in the answer.
async fn fetched(client: &mut Client, url: &str) -> String {
    let lines = client.ok(&format!("URLFETCH \"{url}\"")).await;
    lines[0].strip_prefix(&format!("* URLFETCH \"{url}\" ")).unwrap().to_owned()
}

#[tokio::test]
async fn a_signed_url_gives_what_it_names_to_whom_it_may() {
    let server = server();
    server.deliver(MULTIPART.as_bytes());
    let (mut owner, mut other) = (server.inbox().await, other(&server).await);
    let whole = format!("{{{}}}\r\n{MULTIPART}", MULTIPART.len());
    for (rest, auth, want, own) in [
        ("Inbox/;UID=1", "anonymous", &whole[..], &whole[..]),
        ("INBOX/;uid=1/;section=1", "authuser", "{3}\r\none", "{3}\r\none"),
        ("Inbox/;UID=1/;SECTION=1/;PARTIAL=1.1", "user+other%40example.org", "{1}\r\nn", "NIL"),
        ("Inbox/;UID=1/;SECTION=1/;PARTIAL=2", "user+mjl%40example.org", "NIL", "{1}\r\ne"),
        ("Inbox/;UID=1/;SECTION=1", "user+nobody%40example.org", "NIL", "NIL"),
        ("Inbox/;UID=1/;SECTION=1", "submit+mjl%40example.org", "NIL", "NIL"),
        ("Inbox/;UID=1/;SECTION=9", "anonymous", "NIL", "NIL"),
        ("Inbox/;UID=2", "anonymous", "NIL", "NIL"),
        ("Inbox;UIDVALIDITY=1/;UID=1", "anonymous", "NIL", "NIL"),
    ] {
        let url = signed(&mut owner, &url(rest, auth)).await;
        assert_eq!(fetched(&mut other, &url).await, want, "{url}");
        assert_eq!(fetched(&mut owner, &url).await, own, "{url}");
    }
    // Several at once, in their order.
    let one = signed(&mut owner, &url("Inbox/;UID=1/;SECTION=1", "authuser")).await;
    let lines = other.ok(&format!("URLFETCH \"{one}\" x \"{one}\"")).await;
    assert_eq!((lines.len(), &lines[1][..]), (3, "* URLFETCH \"x\" NIL"));
    assert_eq!(lines[0], lines[2]);
    // Nobody has seen the message by that.
    assert_eq!(owner.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (UID 1 FLAGS ())"]);
    server.check();
}

/// RFC 5524 §4.
#[tokio::test]
async fn parts_come_decoded_and_with_their_structure() {
    let server = server();
    server.deliver(MULTIPART.as_bytes());
    let large = format!("A: b\r\n\r\n{}z", "0123456789abcde\r\n".repeat(40_000));
    server.deliver(large.as_bytes());
    let (mut owner, mut other) = (server.login().await, other(&server).await);
    for (rest, params, want) in [
        ("1/;SECTION=2", "BINARY", "(BINARY ~{3}\r\n\0\x01\x02)"),
        ("1/;SECTION=2", "BODY", "(BODY {4}\r\nAAEC)"),
        ("1/;SECTION=3", "BINARY", "(BINARY {5}\r\ncaf\u{e9})"),
        ("1/;SECTION=3/;PARTIAL=1.2", "BINARY", "(BINARY {2}\r\naf)"),
        ("1/;SECTION=4", "BINARY", "(BINARY NIL)"),
        ("1/;SECTION=1.MIME", "BINARY", "(BINARY {28}\r\nContent-Type: text/plain\r\n\r\n)"),
        ("1/;SECTION=9", "BINARY BODYPARTSTRUCTURE", "NIL"),
        ("1/;SECTION=1.MIME", "BODYPARTSTRUCTURE", "NIL"),
        (
            "1/;SECTION=2",
            "BODYPARTSTRUCTURE BINARY",
            "(BODYPARTSTRUCTURE (\"application\" \"octet-stream\" NIL NIL NIL \"base64\" 4 \
             NIL NIL NIL NIL)) (BINARY ~{3}\r\n\0\x01\x02)",
        ),
    ] {
        let rest = format!("Inbox/;UID={rest}");
        let url = signed(&mut owner, &url(&rest, "anonymous")).await;
        let lines = other.ok(&format!("URLFETCH (\"{url}\" {params})")).await;
        let got = lines[0].strip_prefix(&format!("* URLFETCH \"{url}\" ")).unwrap();
        assert_eq!(got.to_ascii_lowercase(), want.to_ascii_lowercase(), "{rest} {params}");
    }
    // RFC 9051 §9: NUL is in a literal8 only.
    owner.send("n APPEND Inbox ~{9+}\r\nA: b\r\n\r\n\0\r\n").await;
    assert!(owner.finish("n").await.1.starts_with("OK"));
    let nul = signed(&mut owner, &url("Inbox/;UID=3/;SECTION=TEXT", "anonymous")).await;
    assert!(!fetched(&mut other, &nul).await.contains('\0'));
    let lines = other.ok(&format!("URLFETCH (\"{nul}\" BINARY)")).await;
    assert!(lines[0].ends_with(" (BINARY ~{1}\r\n\0)"), "{lines:?}");
    // What is large is streamed, whole and in part, in both forms.
    let whole = signed(&mut owner, &url("Inbox/;UID=2", "anonymous")).await;
    let size = large.len();
    assert_eq!(fetched(&mut other, &whole).await, format!("{{{size}}}\r\n{large}"));
    let lines = other.ok(&format!("URLFETCH (\"{whole}\" BODY) \"{whole}\"")).await;
    assert!(lines[0].ends_with(&format!(" (BODY {{{size}}}\r\n{large})")));
    assert!(lines[1].ends_with(&format!(" {{{size}}}\r\n{large}")));
    let lines = other.ok(&format!("URLFETCH (\"{whole}\" BINARY BODYPARTSTRUCTURE)")).await;
    assert!(lines[0].contains("(BODYPARTSTRUCTURE (") && lines[0].ends_with("abcde\r\nz)"));
    assert!(lines[0].contains(&format!(" (BINARY ~{{{size}}}\r\nA: b")));
    other.fails(&format!("URLFETCH (\"{whole}\" BODY BINARY)"), "BAD").await;
    server.check();
}

#[tokio::test]
async fn what_is_not_signed_for_it_gives_nothing() {
    let server = server();
    server.deliver(MULTIPART.as_bytes());
    let (mut owner, mut other) = (server.login().await, other(&server).await);
    let good = signed(&mut owner, &url("Inbox/;UID=1", "anonymous")).await;
    let (rump, token) = good.rsplit_once(':').unwrap();
    let last = if token.ends_with('0') { "1" } else { "0" };
    let body = &token[..token.len() - 1];
    let (_, tail) = good.split_once("/Inbox").unwrap();
    for bad in [
        format!("{rump}:{body}{last}"),
        format!("{rump}:{}", &token[2..]),
        format!("{rump}:{}{}", &token[..32], "0".repeat(64)),
        format!("{rump}:{}{}", "0".repeat(32), &token[32..]),
        good.replace("UID=1", "UID=01"),
        good.replace("Inbox", "INBOX"),
        good.replace("anonymous", "authuser"),
        good.replace("INTERNAL", "XSAMPLE"),
        good.replace("mjl%40example.org", "other%40example.org"),
        good.replace("mjl%40example.org", "nobody%40example.org"),
        good.replace(HOSTNAME, "elsewhere.example"),
        format!("/Inbox{tail}"),
        rump.strip_suffix(":INTERNAL").unwrap().to_owned(),
        String::new(),
    ] {
        for client in [&mut owner, &mut other] {
            assert_eq!(fetched(client, &bad).await, "NIL", "{bad}");
        }
    }
    assert_ne!(fetched(&mut other, &good).await, "NIL");
    // The mailbox under another name, and another one under its name.
    owner.ok("CREATE a").await;
    owner.append("a", MULTIPART).await;
    let in_a = signed(&mut owner, &url("a/;UID=1", "anonymous")).await;
    assert_ne!(fetched(&mut other, &in_a).await, "NIL");
    owner.ok("DELETE a").await;
    assert_eq!(fetched(&mut other, &in_a).await, "NIL");
    owner.ok("CREATE a").await;
    owner.append("a", MULTIPART).await;
    assert_eq!(fetched(&mut other, &in_a).await, "NIL");
    // What was expunged.
    owner.ok("SELECT Inbox").await;
    owner.ok("STORE 1 +FLAGS.SILENT \\Deleted").await;
    owner.ok("EXPUNGE").await;
    assert_eq!(fetched(&mut other, &good).await, "NIL");
    server.check();
}

#[tokio::test]
async fn urls_expire_and_are_taken_back() {
    let server = server();
    server.deliver(MULTIPART.as_bytes());
    let (mut owner, mut other) = (server.login().await, other(&server).await);
    // The clock of the test stands at 2026-11-20T08:55:32Z.
    let expiring = |time: &str| url(&format!("Inbox/;UID=1;EXPIRE={time}"), "anonymous");
    for (time, is_good) in [
        ("2026-11-20T08:55:33Z", true),
        ("2026-11-20T09:55:33+01:00", true),
        ("2026-11-20T08:55:32Z", false),
        ("1999-01-01T00:00:00Z", false),
    ] {
        let url = signed(&mut owner, &expiring(time)).await;
        assert_eq!(fetched(&mut other, &url).await != "NIL", is_good, "{time}");
    }
    owner.append("Drafts", MULTIPART).await;
    let inbox = signed(&mut owner, &url("Inbox/;UID=1", "anonymous")).await;
    let drafts = signed(&mut owner, &url("Drafts/;UID=1", "anonymous")).await;
    // RFC 4467 §7: one mailbox, then all.
    assert_eq!(owner.reply("RESETKEY Inbox").await, "OK key removed");
    assert_eq!(fetched(&mut other, &inbox).await, "NIL");
    assert_ne!(fetched(&mut other, &drafts).await, "NIL");
    let again = signed(&mut owner, &url("Inbox/;UID=1", "anonymous")).await;
    assert_ne!(again, inbox);
    assert_ne!(fetched(&mut other, &again).await, "NIL");
    owner.ok("RESETKEY").await;
    for url in [inbox, drafts, again] {
        assert_eq!(fetched(&mut other, &url).await, "NIL");
    }
    owner.fails("RESETKEY nowhere", "NO [NONEXISTENT]").await;
    server.check();
}

#[tokio::test]
async fn only_the_owner_signs_and_only_what_is_there() {
    let server = server();
    let (mut owner, mut other) = (server.login().await, other(&server).await);
    let mut bad = vec![
        url("nowhere/;UID=1", "anonymous"),
        url("a//b/;UID=1", "anonymous"),
        format!("imap://mjl%40example.org@elsewhere.example/Inbox/;UID=1;URLAUTH=anonymous"),
        format!("imap://{HOSTNAME}/Inbox/;UID=1;URLAUTH=anonymous"),
        "/Inbox/;UID=1;URLAUTH=anonymous".to_owned(),
    ];
    for url in &bad {
        owner.fails(&format!("GENURLAUTH \"{url}\" INTERNAL"), "BAD").await;
    }
    // Of others, whether they are there or not: the same answer.
    bad = vec![url("Inbox/;UID=1", "anonymous")];
    bad.push(bad[0].replace("mjl", "nobody"));
    for url in &bad {
        let (untagged, reply) = other.command(&format!("GENURLAUTH \"{url}\" INTERNAL")).await;
        assert!(untagged.is_empty() && reply.starts_with("BAD"), "{reply}");
    }
    owner.fails(&format!("GENURLAUTH \"{}\" XSAMPLE", bad[0]), "NO").await;
    // By any address of the account, in any case of the host.
    let upper = bad[0].replace(HOSTNAME, &HOSTNAME.to_uppercase()).replace("mjl", "MJL");
    signed(&mut owner, &upper).await;
    server.check();
}
