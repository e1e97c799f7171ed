//! Sessions with servers of several kinds, as scripts: what the client must say, and what is answered.

use std::io::Read as _;

use mox_base::{Secret, SpecialUse};
use mox_net::Conn;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};

use crate::{ClientError, Credentials, Fetched, Session};

/// Plays the server: each pair is what the client must send, without its tag, and the answer, in which
/// `%` stands for the tag.
async fn play(stream: DuplexStream, greeting: &'static str, script: Vec<(String, String)>) {
    let mut stream = BufReader::new(stream);
    stream.write_all(greeting.as_bytes()).await.unwrap();
    for (wanted, answer) in script {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let line = line.trim_end();
        let (tag, command) = line.split_once(' ').unwrap_or(("", line));
        let said = if wanted.starts_with("= ") { line } else { command };
        assert_eq!(said, wanted.trim_start_matches("= "), "{line:?}");
        let answer = answer.replace("\n", "\r\n").replace('%', tag);
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    // What is left unread by a client that gave up does not matter.
}

/// Runs a client against a script.
async fn with_server<T>(
    greeting: &'static str,
    script: &[(&str, &str)],
    work: impl AsyncFnOnce(Session) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let (here, there) = tokio::io::duplex(1 << 16);
    let script = script.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let server = tokio::spawn(play(there, greeting, script));
    let session = Session::begin(Conn::memory(here), std::env::temp_dir(), 1_000).await;
    let outcome = match session {
        Ok(session) => work(session).await,
        Err(error) => Err(error),
    };
    server.await.unwrap();
    outcome
}

const HELLO: &str = "* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n";

fn shown(folders: &[crate::Folder]) -> Vec<String> {
    let one = |folder: &crate::Folder| {
        let roles: Vec<&str> = folder.special_use.names().collect();
        let view = if folder.is_view { " view" } else { "" };
        let renamed = if folder.is_renamed { " renamed" } else { "" };
        format!("{}{view}{renamed} {:?} {}", folder.mailbox, folder.subscribed, roles.join(" "))
    };
    folders.iter().map(one).collect()
}

/// As Dovecot does it: LIST-EXTENDED, a dot, folders below INBOX.
#[tokio::test]
async fn folders_of_a_modern_server() {
    let folders = with_server(
        "* PREAUTH [CAPABILITY IMAP4rev1 LIST-EXTENDED SPECIAL-USE NAMESPACE] hi\r\n",
        &[
            ("NAMESPACE", "* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL\n% OK done\n"),
            (
                "LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE)",
                "* LIST (\\Subscribed \\HasChildren) \".\" INBOX\n\
                 * LIST (\\Subscribed \\Sent) \".\" \"INBOX.Gesendete Entw&APw-rfe\"\n\
                 * LIST (\\NoSelect) \".\" INBOX.a\n\
                 * LIST () \".\" {9}\nINBOX.a.b\n\
                 * LIST (\\NonExistent \\Subscribed) \".\" INBOX.gone\n% OK done\n",
            ),
        ],
        async |mut session| session.folders().await,
    );
    let folders = folders.await.unwrap();
    let mut names = shown(&folders);
    names.sort();
    let want = ["Gesendete Entwürfe Some(true) \\Sent", "Inbox Some(true) ", "a/b Some(false) "];
    assert_eq!(names, want);
}

/// As old servers do it, with LSUB, other separators, and names that we cannot have.
#[tokio::test]
async fn folders_of_an_old_server() {
    let folders = with_server(
        HELLO,
        &[
            (
                "LIST \"\" \"*\"",
                "* LIST (\\Marked) \"\\\\\" Work\\x\n* LIST () NIL \"flat.name\"\n\
                 * LIST () \".\" \"#news.a\"\n* LIST () \"/\" \"a/b\"\n* LIST () \"/\" \"a/b\"\n% OK\n",
            ),
            ("LSUB \"\" \"*\"", "* LSUB () \"/\" a/b\n% OK done\n"),
        ],
        async |mut session| session.folders().await,
    );
    let folders = folders.await.unwrap();
    let mut names = shown(&folders);
    names.sort();
    let want = [
        "Work/x Some(false) ",
        "_news/a renamed Some(false) ",
        "a/b Some(true) ",
        "flat.name Some(false) ",
    ];
    assert_eq!(names, want);
}

/// As Gmail does it: folders that show messages of others.
#[tokio::test]
async fn views_are_told_apart() {
    let folders = with_server(
        "* PREAUTH [CAPABILITY IMAP4rev1 SPECIAL-USE X-GM-EXT-1] hi\r\n",
        &[
            (
                "LIST \"\" \"*\"",
                "* LIST (\\HasNoChildren) \"/\" \"INBOX\"\n\
                 * LIST (\\HasChildren \\Noselect) \"/\" \"[Gmail]\"\n\
                 * LIST (\\All \\HasNoChildren) \"/\" \"[Gmail]/All Mail\"\n\
                 * LIST (\\HasNoChildren \\Important) \"/\" \"[Gmail]/Important\"\n\
                 * LIST (\\HasNoChildren \\Trash) \"/\" \"[Gmail]/Trash\"\n% OK Success\n",
            ),
            ("LSUB \"\" \"*\"", "% BAD unknown command\n"),
        ],
        async |mut session| session.folders().await,
    );
    let folders = folders.await.unwrap();
    let views: Vec<&str> =
        folders.iter().filter(|one| one.is_view).map(|one| one.wire_name.as_str()).collect();
    assert_eq!(views, ["[Gmail]/All Mail", "[Gmail]/Important"]);
    assert_eq!(folders[3].special_use, SpecialUse::TRASH);
    assert_eq!(folders[3].subscribed, None);
}

fn told(fetched: Fetched) -> String {
    let content = match fetched.content {
        Ok(mut body) => {
            let mut text = String::new();
            body.read_to_string(&mut text).unwrap();
            text
        }
        Err(size) => format!("none {size:?}"),
    };
    let mut words: Vec<&str> = fetched.flags.names().collect();
    words.extend(fetched.keywords.iter().map(mox_base::Keyword::as_str));
    let time = fetched.received.map(|time| time.time().0);
    format!("{} {time:?} [{}] {content:?}", fetched.uid, words.join(" "))
}

async fn fetch_all(mut session: Session, uids: &[u32]) -> Result<Vec<String>, ClientError> {
    let tag = session.begin_fetch(uids).await?;
    let mut seen = Vec::new();
    while let Some(fetched) = session.next_fetched(&tag).await? {
        seen.push(told(fetched));
    }
    Ok(seen)
}

/// Items in any order, literals of both kinds, odd flags, no date, no body, too large a body, and what
/// was not asked for.
#[tokio::test]
async fn messages_of_any_server_are_read() {
    let large = format!("* 9 FETCH (UID 19 BODY[] {{1500}}\n{})\n", "x".repeat(1_500));
    // The script's line ends become CRLF, in literals too.
    let answer = format!(
        "* 1 FETCH (FLAGS (\\Seen \\Recent $Forwarded NonJunk Work bad]) UID 11 \
         INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" BODY[] {{8}}\na\n\nb\n)\n\
         * 4 EXISTS\n* 2 FETCH (FLAGS (\\Deleted) UID 12)\n\
         * 3 FETCH (BODY[] ~{{2}}\nxy INTERNALDATE NIL UID 13 FLAGS ())\n\
         * 4 FETCH (UID 14 BODY[] \"quoted\" FLAGS NIL)\n\
         * 5 FETCH (UID 15 BODY[] NIL)\n* 6 FETCH (BODY[] {{1}}\nz)\n{large}\
         * 7 EXPUNGE\n* NO a warning {{3}}\n% OK done\n"
    );
    let script = [("UID FETCH 11:15,19 (UID FLAGS INTERNALDATE BODY.PEEK[])", answer.as_str())];
    let seen = with_server(HELLO, &script, async |session| {
        fetch_all(session, &[11, 12, 13, 14, 15, 19]).await
    });
    let want = [
        "11 Some(837596665) [\\Seen $Forwarded $NotJunk work] \"a\\r\\n\\r\\nb\\r\\n\"",
        "13 None [] \"xy\"",
        "14 None [] \"quoted\"",
        "15 None [] \"none None\"",
        "19 None [] \"none Some(1500)\"",
    ];
    assert_eq!(seen.await.unwrap(), want);
}

#[tokio::test]
async fn uids_are_listed_above_a_mark() {
    let listed = with_server(
        HELLO,
        &[
            (
                "EXAMINE \"a \\\"b\\\"\"",
                "* 3 EXISTS\n* OK [UIDVALIDITY 77] fine\n* FLAGS ()\n% OK [READ-ONLY] done\n",
            ),
            (
                "UID FETCH 6:* (UID RFC822.SIZE)",
                "* 3 FETCH (UID 9 RFC822.SIZE 100)\n* 2 FETCH (RFC822.SIZE 5 UID 7)\n\
                 * 1 FETCH (UID 5 RFC822.SIZE 1)\n* 2 FETCH (UID 7 RFC822.SIZE 5)\n% OK done\n",
            ),
            ("LOGOUT", "* BYE\n% OK\n"),
        ],
        async |mut session| {
            let selected = session.examine("a \"b\"").await?;
            assert_eq!((selected.uidvalidity, selected.exists), (77, 3));
            let listed = session.list_above(5).await?;
            session.logout().await;
            Ok(listed)
        },
    );
    let listed: Vec<_> = listed.await.unwrap().iter().map(|one| (one.uid, one.size)).collect();
    assert_eq!(listed, [(7, 5), (9, 100)]);
}

fn credentials() -> Credentials {
    Credentials { user: "us\"er".to_owned(), password: Secret::new("pass\\word".to_owned()) }
}

async fn log_in(
    greeting: &'static str,
    is_private: bool,
    script: &[(&str, &str)],
) -> Result<(), ClientError> {
    let rng = mox_net::SystemRng;
    with_server(greeting, script, async |mut session| {
        session.log_in(&credentials(), is_private, &rng).await
    })
    .await
}

#[tokio::test]
async fn logins_go_the_way_that_is_offered() {
    let after = ("CAPABILITY", "* CAPABILITY IMAP4rev1\n% OK\n");
    let plain = "AHVzImVyAHBhc3Ncd29yZA==";
    // Nothing is known: the client asks.
    let asked = ("CAPABILITY", "* CAPABILITY IMAP4rev1\n% OK\n");
    let login = ("LOGIN \"us\\\"er\" \"pass\\\\word\"", "% OK\n");
    log_in("* OK hi\r\n", true, &[asked, login, after]).await.unwrap();
    let command = format!("AUTHENTICATE PLAIN {plain}");
    let greeting = "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN SASL-IR] hi\r\n";
    log_in(greeting, true, &[(&command, "% OK\n"), after]).await.unwrap();
    // Without initial responses there is one more turn.
    let greeting = "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n";
    let answer = format!("= {plain}");
    let script = [("AUTHENTICATE PLAIN", "+ \n"), (answer.as_str(), "m1 OK\n"), after];
    log_in(greeting, true, &script).await.unwrap();
    let refused =
        log_in(greeting, true, &[("AUTHENTICATE PLAIN", "% NO [AUTHENTICATIONFAILED] no\n")]);
    assert!(matches!(refused.await, Err(ClientError::LoginRefused(text)) if text.contains("no")));
    // A password does not go where others read it.
    assert!(matches!(log_in(greeting, false, &[]).await, Err(ClientError::NoMechanism)));
    let disabled = "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi\r\n";
    assert!(matches!(log_in(disabled, true, &[]).await, Err(ClientError::NoMechanism)));
}

/// A server that says yes before it has shown that it knows the password is not believed. RFC 5802 §5.
#[tokio::test]
async fn a_server_that_skips_the_proof_is_not_believed() {
    let greeting = "* OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256] hi\r\n";
    let outcome = log_in(greeting, true, &[("AUTHENTICATE SCRAM-SHA-256", "% OK welcome\n")]).await;
    assert!(matches!(outcome, Err(ClientError::Sasl(_))), "{outcome:?}");
}

#[tokio::test]
async fn what_is_no_server_is_told() {
    let nothing = async |_: Session| Ok(());
    let busy = with_server("* BYE too busy\r\n", &[], nothing).await;
    assert!(matches!(busy, Err(ClientError::Closed(text)) if text.contains("busy")));
    let smtp = with_server("220 mail.example ESMTP\r\n", &[], nothing).await;
    assert!(matches!(smtp, Err(ClientError::NotUnderstood(_))), "{smtp:?}");
    let silent = with_server("", &[], nothing).await;
    assert!(matches!(silent, Err(ClientError::Closed(_))), "{silent:?}");
    let refused = with_server(
        HELLO,
        &[("EXAMINE \"x\"", "% NO [NONEXISTENT] none\n")],
        async |mut session| session.examine("x").await,
    );
    assert!(matches!(refused.await, Err(ClientError::Refused { command: "EXAMINE", .. })));
}
