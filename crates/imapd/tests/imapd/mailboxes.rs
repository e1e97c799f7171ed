//! Names, lists and what is told of them.

use crate::support::server;

#[tokio::test]
async fn names_are_utf7_until_utf8_is_enabled() {
    let server = server();
    let mut client = server.login().await;
    client.fails("CREATE caf\u{e9}", "BAD").await;
    client.fails("CREATE \"&AGE-\"", "BAD").await;
    client.ok("CREATE \"&Jjo-/a&-b\"").await;
    let want = ["* LIST () \"/\" &Jjo-", "* LIST () \"/\" &Jjo-/a&-b"];
    assert_eq!(client.ok("LIST \"\" &Jjo-*").await, want);
    client.ok("ENABLE IMAP4rev2").await;
    client.ok("SELECT \"\u{263a}/a&b\"").await;
    let lines = client.ok("LIST \"\" \"\u{263a}*\"").await;
    assert_eq!(lines, ["* LIST () \"/\" \"\u{263a}\"", "* LIST () \"/\" \"\u{263a}/a&b\""]);
    for name in ["a//b", "/a", "a/./b", "..", "#news", "a\u{7f}b", "e\u{301}"] {
        client.fails(&format!("CREATE \"{name}\""), "NO [CANNOT]").await;
    }
    client.fails("CREATE Inbox", "NO").await;
    for name in ["...", "\"a b\"", "\"%\"", "test#", "INBOX/x"] {
        client.ok(&format!("CREATE {name}")).await;
    }
    client.fails("CREATE inbox/x", "NO [ALREADYEXISTS]").await;
    server.check();
}

/// RFC 9051 §6.3.9, RFC 5258 §3, RFC 6154 §2.
#[tokio::test]
async fn lists_say_what_they_are_asked() {
    let server = server();
    let mut client = server.login().await;
    client.ok("CREATE a/b/c").await;
    client.ok("UNSUBSCRIBE a").await;
    client.ok("SUBSCRIBE ghost/x").await;
    assert_eq!(client.ok("LIST \"\" \"\"").await, ["* LIST (\\Noselect) \"/\" \"\""]);
    let junk = client.ok("LIST \"\" Junk RETURN (SPECIAL-USE)").await;
    assert_eq!(junk, ["* LIST (\\Junk) \"/\" Junk"]);
    assert_eq!(client.ok("LIST \"\" a/%").await, ["* LIST () \"/\" a/b"]);
    assert_eq!(client.ok("LIST a %/c").await, ["* LIST () \"/\" a/b/c"]);
    let lines = client.ok("LIST \"\" (a a/%) RETURN (CHILDREN SUBSCRIBED)").await;
    let want = ["* LIST (\\HasChildren) \"/\" a", "* LIST (\\HasChildren \\Subscribed) \"/\" a/b"];
    assert_eq!(lines, want);
    let lines = client.ok("LIST (SUBSCRIBED) \"\" gh*").await;
    assert_eq!(lines, ["* LIST (\\Subscribed \\NonExistent) \"/\" ghost/x"]);
    let lines = client.ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" a").await;
    assert_eq!(lines, ["* LIST () \"/\" a (\"CHILDINFO\" (\"SUBSCRIBED\"))"]);
    client.fails("LIST (RECURSIVEMATCH) \"\" a", "BAD").await;
    let lines = client.ok("LIST \"\" a/% RETURN (STATUS (MESSAGES UNSEEN))").await;
    assert_eq!(lines, ["* LIST () \"/\" a/b", "* STATUS a/b (MESSAGES 0 UNSEEN 0)"]);
    assert_eq!(client.ok("LSUB \"\" ghost*").await, ["* LSUB () \"/\" ghost/x"]);
    let lines = client.ok("LSUB \"\" %").await;
    assert!(lines.contains(&"* LSUB (\\Noselect) \"/\" a".to_owned()), "{lines:?}");
    assert_eq!(client.ok("NAMESPACE").await, ["* NAMESPACE ((\"\" \"/\")) NIL NIL"]);
}

#[tokio::test]
async fn special_uses_move_and_others_hear_of_names() {
    let server = server();
    let (mut client, mut old, mut new) =
        (server.login().await, server.login().await, server.login().await);
    new.ok("ENABLE IMAP4rev2").await;
    client.fails("CREATE x (USE (\\All))", "NO [USEATTR]").await;
    client.ok("CREATE spam (USE (\\Junk))").await;
    assert_eq!(client.ok("LIST \"\" Junk").await, ["* LIST () \"/\" Junk"]);
    assert_eq!(old.ok("NOOP").await, ["* LIST (\\Subscribed) \"/\" spam"]);
    new.ok("NOOP").await;
    client.ok("RENAME spam ham").await;
    assert_eq!(old.ok("NOOP").await, ["* LIST (\\Junk) \"/\" ham"]);
    let want = ["* LIST (\\Junk) \"/\" ham (\"OLDNAME\" (spam))"];
    assert_eq!(new.ok("NOOP").await, want);
    client.ok("DELETE ham").await;
    assert_eq!(old.ok("NOOP").await, Vec::<String>::new());
    assert_eq!(new.ok("NOOP").await, ["* LIST (\\NonExistent) \"/\" ham"]);
    client.ok("SUBSCRIBE ham").await;
    assert_eq!(old.ok("NOOP").await, ["* LIST (\\Subscribed \\NonExistent) \"/\" ham"]);
    client.ok("UNSUBSCRIBE ham").await;
    client.fails("UNSUBSCRIBE ham", "NO").await;
    let lines = new.ok("CREATE folder/").await;
    assert_eq!(lines[0], "* LIST (\\Subscribed) \"/\" folder (\"OLDNAME\" (folder/))");
    server.check();
}

#[tokio::test]
async fn renames_go_where_they_can() {
    let server = server();
    let mut client = server.login().await;
    client.ok("CREATE a/b").await;
    client.fails("RENAME nothere x", "NO [NONEXISTENT]").await;
    client.fails("RENAME a Archive", "NO [ALREADYEXISTS]").await;
    client.fails("RENAME a Inbox", "NO").await;
    client.ok("RENAME a/b a/b/c").await;
    let want = ["* LIST () \"/\" a", "* LIST () \"/\" a/b", "* LIST () \"/\" a/b/c"];
    assert_eq!(client.ok("LIST \"\" a*").await, want);
    client.append("Inbox", "A: b\r\n\r\nx").await;
    client.ok("RENAME Inbox new/old").await;
    assert_eq!(client.ok("STATUS Inbox (MESSAGES)").await, ["* STATUS Inbox (MESSAGES 0)"]);
    let status = client.ok("STATUS new/old (MESSAGES UIDNEXT)").await;
    assert_eq!(status, ["* STATUS new/old (MESSAGES 1 UIDNEXT 2)"]);
    client.fails("DELETE Inbox", "NO").await;
    client.fails("DELETE new", "NO [HASCHILDREN]").await;
    client.fails("DELETE new/nothere", "NO [NONEXISTENT]").await;
    server.check();
}

#[tokio::test]
async fn a_name_that_is_used_again_is_another_mailbox() {
    let server = server();
    let mut client = server.login().await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        client.ok("CREATE again").await;
        client.append("again", "A: b\r\n\r\nx").await;
        seen.push(client.ok("STATUS again (UIDVALIDITY)").await);
        client.ok("DELETE again").await;
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((sorted.len(), sorted), (3, seen));
    server.check();
}

#[tokio::test]
async fn who_the_client_is_and_who_we_are() {
    let server = server();
    let mut client = server.connect().await;
    assert_eq!(client.ok("ID NIL").await, ["* ID (\"name\" \"mox\")"]);
    client.fails("ID (\"a\" \"b\" \"A\" \"c\")", "BAD").await;
    client.ok("LOGIN mjl@example.org {13+}\r\ncorrect horse").await;
    let want = ["* ID (\"name\" \"mox\" \"version\" \"0.0.1\")"];
    assert_eq!(client.ok("ID (\"name\" \"x\\\"y\" \"os\" NIL)").await, want);
    assert_eq!(
        client.ok("ENABLE bogus imap4REV2 qresync").await,
        ["* ENABLED imap4REV2 qresync CONDSTORE"]
    );
    client.fails("AUTHENTICATE PLAIN", "NO").await;
    assert_eq!(client.ok("LOGOUT").await, ["* BYE thanks"]);
    client.closed().await;
}
