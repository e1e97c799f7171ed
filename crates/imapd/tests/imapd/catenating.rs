//! CATENATE: messages put together from what is in mailboxes. RFC 4469.

use crate::support::{Client, HOSTNAME, Setup, server, server_with};

const MULTIPART: &str = "Subject: parts\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
    --x\r\nContent-Type: text/plain\r\n\r\none\r\n--x\r\n\
    Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n\
    --x--\r\n";

async fn body(client: &mut Client, uid: u32) -> String {
    let lines = client.ok(&format!("UID FETCH {uid} BODY.PEEK[]")).await;
    let (_, body) = lines[0].split_once("}\r\n").unwrap();
    body.strip_suffix(')').unwrap().to_owned()
}

#[tokio::test]
async fn parts_of_messages_and_text_become_a_message() {
    let server = server();
    server.deliver(MULTIPART.as_bytes());
    let mut client = server.inbox().await;
    let lines = client.ok("STATUS Inbox (UIDVALIDITY)").await;
    let validity = lines[0].rsplit(' ').next().unwrap().trim_end_matches(')').to_owned();
    // RFC 4469 §A in small: a header from here, a part from there, text between.
    let url = format!("URL \"/Inbox;UIDVALIDITY={validity}/;UID=1/;section=2.MIME\"");
    let command = format!(
        "APPEND Inbox (\\Draft) CATENATE (TEXT {{20+}}\r\nSubject: mine\r\n\r\n<\r\n {url} \
         URL {{19}}\r\n"
    );
    client.send(&format!("a {command}")).await;
    assert_eq!(client.line().await, "+ ");
    client.send(";UID=1/;SECTION=1.5").await;
    client.send(" TEXT {3+}\r\n\r\n>)\r\n").await;
    let (_, reply) = client.finish("a").await;
    assert!(reply.starts_with("NO [BADURL \";UID=1/;SECTION=1.5\"]"), "{reply}");
    client.send(&format!("b {}", command.replace("{19}", "{17+}"))).await;
    client.send(";UID=1/;SECTION=2 TEXT {3+}\r\n\r\n>)\r\n").await;
    let (untagged, reply) = client.finish("b").await;
    assert_eq!(untagged, ["* 2 EXISTS"]);
    assert!(reply.starts_with("OK [APPENDUID "), "{reply}");
    let mime =
        "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    assert_eq!(body(&mut client, 2).await, format!("Subject: mine\r\n\r\n<\r\n{mime}AAEC\r\n>"));
    // All of a message, some bytes of it, by an absolute URL too.
    let own = format!("imap://mjl%40example.org@{HOSTNAME}/Inbox");
    let urls = format!("URL \"{own}/;UID=1/;PARTIAL=0.15\" URL \"/Inbox/;UID=1/;PARTIAL=15\"");
    client.ok(&format!("APPEND Inbox CATENATE ({urls})")).await;
    // The parts may meet between CR and LF.
    assert_eq!(body(&mut client, 3).await, MULTIPART);
    // Several messages at once, one of them whole.
    client.send("c APPEND Drafts CATENATE (URL ;UID=1) {8+}\r\nA: b\r\n\r\n").await;
    client.send(" CATENATE (URL ;UID=1/;SECTION=HEADER)\r\n").await;
    let (_, reply) = client.finish("c").await;
    assert!(reply.contains(" 1:3] "), "{reply}");
    // Reading for this is not seeing.
    assert_eq!(client.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (UID 1 FLAGS ())"]);
    // As a replacement of the message itself.
    client.ok("UID REPLACE 1 Inbox CATENATE (URL ;UID=1/;SECTION=HEADER TEXT {4+}\r\nnew!)").await;
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH 2 3 4"]);
    assert!(body(&mut client, 4).await.ends_with("boundary=x\r\n\r\nnew!"));
    server.check();
}

#[tokio::test]
async fn urls_of_others_and_of_what_is_gone_are_bad() {
    let server = server();
    server.deliver(MULTIPART.as_bytes());
    server.deliver(MULTIPART.as_bytes());
    let mut client = server.inbox().await;
    client.ok("STORE 2 +FLAGS.SILENT \\Deleted").await;
    client.ok("EXPUNGE").await;
    for url in [
        "/Inbox/;UID=2",
        "/Inbox/;UID=3",
        "/Inbox;UIDVALIDITY=1/;UID=1",
        "/nowhere/;UID=1",
        "/a//b/;UID=1",
        "/Inbox/;UID=1/;SECTION=3",
        "/Inbox/;UID=1/;SECTION=1.HEADER",
        "Inbox/;UID=1",
        "imap://mjl@example.org@mail.example.org/Inbox/;UID=1",
        "imap://mail.example.org/Inbox/;UID=1",
        "imap://mjl%40example.org@elsewhere.example/Inbox/;UID=1",
        "imap://other%40example.org@mail.example.org/Inbox/;UID=1",
        "imap://nobody%40example.org@mail.example.org/Inbox/;UID=1",
    ] {
        let want = format!("NO [BADURL \"{url}\"]");
        client.fails(&format!("APPEND Inbox CATENATE (URL \"{url}\")"), &want).await;
        // A message that needs no waiting is read, and nothing of it is kept.
        let text =
            format!("APPEND Inbox CATENATE (TEXT {{4+}}\r\nA: b URL \"{url}\" TEXT {{1+}}\r\nx)");
        client.fails(&text, &want).await;
    }
    client.fails("APPEND Inbox CATENATE (TEXT {0+}\r\n)", "NO").await;
    client.fails("APPEND Inbox CATENATE (URL ;UID=1/;PARTIAL=9999)", "NO").await;
    client.fails("APPEND nowhere CATENATE (URL ;UID=1)", "NO [TRYCREATE]").await;
    client.ok("UNSELECT").await;
    client.fails("APPEND Inbox CATENATE (URL ;UID=1)", "NO [BADURL \";UID=1\"]").await;
    assert_eq!(client.ok("STATUS Inbox (MESSAGES)").await, ["* STATUS Inbox (MESSAGES 1)"]);
    server.check();
}

#[tokio::test]
async fn a_short_command_does_not_make_a_message_of_any_size() {
    let server = server_with(Setup { quota_bytes: Some(40_000_000), ..Setup::default() });
    let large = format!("A: b\r\n\r\n{}", "0123456789abcde\n".repeat(500_000));
    server.deliver(large.as_bytes());
    let mut client = server.inbox().await;
    // What is large goes through a file, and is the same afterwards.
    let urls = |count: usize| vec!["URL ;UID=1"; count].join(" ");
    client.ok(&format!("APPEND Inbox CATENATE ({})", urls(2))).await;
    let size = client.ok("UID FETCH 2 RFC822.SIZE").await;
    let whole = 2 * (8 + 500_000 * 17);
    assert_eq!(size, [format!("* 2 FETCH (UID 2 RFC822.SIZE {whole})")]);
    client.fails(&format!("APPEND Inbox CATENATE ({})", urls(4)), "NO [OVERQUOTA]").await;
    let many = "URL ;UID=1/;PARTIAL=0.1 ".repeat(600);
    client
        .fails(
            &format!("APPEND Inbox CATENATE ({many}TEXT {{1+}}\r\nx {many}TEXT {{1+}}\r\nx)"),
            "NO [LIMIT]",
        )
        .await;
    assert_eq!(server.body_files(), Vec::<String>::new());
    server.check();
}
