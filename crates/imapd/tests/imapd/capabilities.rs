//! Whatever is announced can be used.

use std::collections::BTreeSet;

use crate::support::{Client, Setup, server_with};

const MESSAGE: &[u8] = b"From: a@x\r\nSubject: =?utf-8?q?=C3=84pfel?=\r\n\r\ntext\r\n";

/// A capability, commands separated by `|`, and what the last one's answer has in it.
type Use = (&'static str, &'static str, &'static str);

/// What the base protocol took from extensions.
///
/// RFC 9051, RFC 3501, RFC 5161 §3.1, RFC 7888 §4, RFC 2177 §3, RFC 3516 §4.3, RFC 3691 §2,
/// RFC 4315 §3, RFC 4731 §3.1, RFC 5182 §2.1, RFC 6851 §3.1, RFC 5258 §3.1, RFC 6154 §5.2,
/// RFC 5819 §2, RFC 2971 §3.2, RFC 8438 §3, RFC 2342 §5, RFC 3502 §6.3.11.
const BASE: &[Use] = &[
    ("IMAP4rev2", "ENABLE IMAP4rev2", "* ENABLED IMAP4rev2"),
    ("IMAP4rev1", "FETCH 1 RFC822.HEADER", " RFC822.HEADER {"),
    ("ENABLE", "ENABLE CONDSTORE", "* ENABLED CONDSTORE"),
    ("LITERAL+", "STATUS {5+}\r\nInbox (MESSAGES)", "* STATUS Inbox (MESSAGES 2)"),
    ("IDLE", "IDLE\r\nDONE", "+ waiting"),
    (
        "SASL-IR",
        "UNAUTHENTICATE|AUTHENTICATE PLAIN AG1qbEBleGFtcGxlLm9yZwBjb3JyZWN0IGhvcnNl",
        "OK ",
    ),
    ("BINARY", "FETCH 1 BINARY.SIZE[1]", " BINARY.SIZE[1] 6"),
    ("UNSELECT", "UNSELECT", "OK "),
    ("UIDPLUS", "APPEND Inbox {3+}\r\nabc", "OK [APPENDUID "),
    ("ESEARCH", "SEARCH RETURN (COUNT) ALL", " COUNT 2"),
    ("SEARCHRES", "SEARCH RETURN (SAVE) 2|FETCH $ UID", "* 2 FETCH (UID 2)"),
    ("MOVE", "MOVE 1 Archive", "* OK [COPYUID "),
    ("LIST-EXTENDED", "LIST (SUBSCRIBED) \"\" (Inbox none)", "* LIST (\\Subscribed) \"/\" Inbox"),
    ("SPECIAL-USE", "LIST (SPECIAL-USE) \"\" *", "\\Sent"),
    ("LIST-STATUS", "LIST \"\" Inbox RETURN (STATUS (MESSAGES))", "* STATUS Inbox (MESSAGES 2)"),
    ("ID", "ID NIL", "* ID (\"name\" "),
    ("STATUS=SIZE", "STATUS Inbox (SIZE)", "* STATUS Inbox (SIZE "),
    ("NAMESPACE", "NAMESPACE", "* NAMESPACE (("),
    ("MULTIAPPEND", "APPEND Inbox {3+}\r\nabc {3+}\r\ndef", " 3:4]"),
];

/// What keeps clients in step, and what messages and mailboxes have beyond the base.
///
/// RFC 7162 §3.1.3, §3.2.10, RFC 6855 §3, RFC 8457 §3, RFC 8508 §3, RFC 4469 §3, RFC 4467 §7,
/// RFC 5524 §3, RFC 5550 §2.2, RFC 5465 §3, RFC 7889 §3, RFC 8514 §4, RFC 8970 §3, RFC 8474 §5, RFC 9208 §4.2,
/// RFC 5464 §4.2, RFC 9590 §3, RFC 9586 §3, RFC 9738 §3, RFC 4978 §3, RFC 8437 §3.
const STATE: &[Use] = &[
    ("CONDSTORE", "STORE 1 (UNCHANGEDSINCE 1) +FLAGS (x)", " [MODIFIED 1]"),
    ("QRESYNC", "ENABLE QRESYNC|STORE 1 +FLAGS (\\Deleted)|EXPUNGE", "* VANISHED 1"),
    ("UTF8=ACCEPT", "ENABLE UTF8=ACCEPT|CREATE \"\u{e9}\"|LIST \"\" *", " \"/\" \"\u{e9}\""),
    (
        "CREATE-SPECIAL-USE",
        "CREATE x (USE (\\Important))|LIST (SPECIAL-USE) \"\" x",
        "\\Important) \"/\" x",
    ),
    ("REPLACE", "REPLACE 1 Inbox {3+}\r\nabc", "* 1 EXPUNGE"),
    ("CATENATE", "APPEND Inbox CATENATE (URL ;UID=1 TEXT {3+}\r\nabc)", "OK [APPENDUID "),
    ("URL-PARTIAL", "APPEND Inbox CATENATE (URL ;UID=1/;PARTIAL=0.9)", "OK [APPENDUID "),
    (
        "URLAUTH",
        "GENURLAUTH \"imap://mjl%40example.org@mail.example.org/Inbox/;UID=1;URLAUTH=anonymous\" \
         INTERNAL",
        "* GENURLAUTH \"imap://",
    ),
    ("URLAUTH=BINARY", "URLFETCH (\"imap://x/\" BINARY)", "* URLFETCH \"imap://x/\" "),
    ("NOTIFY", "NOTIFY SET STATUS (PERSONAL (MessageNew MessageExpunge))", "* STATUS Archive ("),
    ("APPENDLIMIT", "STATUS Inbox (APPENDLIMIT)", "(APPENDLIMIT "),
    ("SAVEDATE", "FETCH 1 SAVEDATE", " SAVEDATE \""),
    ("PREVIEW", "FETCH 1 PREVIEW", " PREVIEW \"text\""),
    ("OBJECTID", "FETCH 1 EMAILID", " EMAILID (E1)"),
    ("QUOTA", "GETQUOTAROOT Inbox", "* QUOTAROOT Inbox "),
    ("QUOTA=RES-STORAGE", "GETQUOTA \"\"", "* QUOTA \"\" (STORAGE "),
    (
        "METADATA",
        "SETMETADATA Inbox (/private/comment \"x\")|GETMETADATA Inbox /private/comment",
        "* METADATA Inbox (/private/comment \"x\")",
    ),
    (
        "LIST-METADATA",
        "LIST \"\" Inbox RETURN (METADATA (/private/comment))",
        "* METADATA Inbox (/private/comment NIL)",
    ),
    ("UIDONLY", "ENABLE UIDONLY|UID FETCH 1 FLAGS", "* 1 UIDFETCH ("),
    ("MESSAGELIMIT", "CAPABILITY", " MESSAGELIMIT="),
    ("COMPRESS=DEFLATE", "COMPRESS DEFLATE", "OK "),
    ("UNAUTHENTICATE", "UNAUTHENTICATE|STATUS Inbox (MESSAGES)", "NO "),
];

/// Searching, and what is made of results.
///
/// RFC 5032 §3, RFC 5256 §3, RFC 5957 §3, RFC 5267 §4.3, RFC 9394 §3.1, RFC 9585 §3, RFC 7377 §2,
/// RFC 5466 §3.1, RFC 6203 §3, RFC 5255 §4.
const SEARCH: &[Use] = &[
    ("WITHIN", "SEARCH YOUNGER 60", "* SEARCH 1 2"),
    ("SORT", "SORT (REVERSE ARRIVAL) UTF-8 ALL", "* SORT "),
    ("SORT=DISPLAY", "SORT (DISPLAYFROM) UTF-8 ALL", "* SORT 1 2"),
    ("ESORT", "SORT RETURN (COUNT) (DATE) UTF-8 ALL", " COUNT 2"),
    ("THREAD=ORDEREDSUBJECT", "THREAD ORDEREDSUBJECT UTF-8 ALL", "* THREAD ("),
    ("THREAD=REFERENCES", "THREAD REFERENCES UTF-8 ALL", "* THREAD ("),
    ("PARTIAL", "UID SEARCH RETURN (PARTIAL 1:1) ALL", " PARTIAL (1:1 1)"),
    ("INPROGRESS", "SEARCH BODY text", "* OK [INPROGRESS ("),
    ("MULTISEARCH", "ESEARCH IN (personal) RETURN (COUNT) ALL", " MAILBOX Inbox "),
    (
        "CONTEXT=SEARCH",
        "UID SEARCH RETURN (UPDATE) UNSEEN|STORE 1 +FLAGS (\\Seen)|NOOP",
        " REMOVEFROM (0 1)",
    ),
    (
        "CONTEXT=SORT",
        "UID SORT RETURN (UPDATE) (ARRIVAL) UTF-8 ALL|APPEND Inbox {3+}\r\nabc",
        " ADDTO (",
    ),
    (
        "FILTERS",
        "SETMETADATA \"\" (/private/filters/values/f \"UID 2\")|SEARCH FILTER f",
        "* SEARCH 2",
    ),
    ("SEARCH=FUZZY", "SEARCH FUZZY SUBJECT apfel", "* SEARCH 1 2"),
    ("I18NLEVEL=1", "SEARCH CHARSET UTF-8 SUBJECT {3+}\r\n\u{e4}P", "* SEARCH 1 2"),
];

/// The names after login, without numbers, and without what was tried to get there.
async fn announced(client: &mut Client) -> BTreeSet<String> {
    let lines = client.ok("CAPABILITY").await;
    let names = lines[0].strip_prefix("* CAPABILITY ").unwrap().split(' ');
    let names = names.filter(|name| !name.starts_with("AUTH="));
    let bare = |name: &str| match name.split_once('=') {
        Some((bare @ ("APPENDLIMIT" | "MESSAGELIMIT"), _)) => bare.to_owned(),
        _ => name.to_owned(),
    };
    names.map(bare).collect()
}

/// RFC 9051 §6.1.1: what is announced is there.
#[tokio::test]
async fn each_capability_can_be_used() {
    let uses = || BASE.iter().chain(STATE).chain(SEARCH);
    let setup = || Setup {
        quota_bytes: Some(1 << 20),
        progress_wait: std::time::Duration::ZERO,
        ..Setup::default()
    };
    let server = server_with(setup());
    let names: BTreeSet<String> = uses().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(announced(&mut server.login().await).await, names);
    for (name, commands, want) in uses() {
        // What one leaves behind is nothing to the next.
        let server = server_with(setup());
        server.deliver(MESSAGE);
        server.deliver(MESSAGE);
        let mut client = server.inbox().await;
        let mut said = Vec::new();
        for command in commands.split('|') {
            let (mut lines, reply) = client.command(command).await;
            lines.push(reply);
            said = lines;
        }
        assert!(said.iter().any(|line| line.contains(want)), "{name}: {said:#?}");
        server.check();
    }
}
