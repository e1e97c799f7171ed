//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE. RFC 9051 §6.3.4 to §6.3.8.

use super::messages::plain;
use super::peer::Peer;
use super::site::Subject;
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc9051_6_3_4_a_name_that_ends_with_the_delimiter,
        rfc9051_6_3_4_create_of_inbox_is_no,
        rfc9051_6_3_4_create_of_what_exists_is_no,
        rfc9051_6_3_4_create_makes_names_above_it,
        rfc9051_6_3_4_create_tells_a_changed_name,
        rfc9051_6_3_4_the_new_mailbox_is_empty_and_listed,
        rfc9051_6_3_5_a_deleted_mailbox_takes_its_messages,
        rfc9051_6_3_5_delete_does_not_touch_names_below,
        rfc9051_6_3_5_delete_keeps_the_subscription,
        rfc9051_6_3_5_delete_of_inbox_is_no,
        rfc9051_6_3_5_delete_of_what_is_missing_is_no,
        rfc9051_6_3_6_rename_keeps_the_messages,
        rfc9051_6_3_6_rename_makes_names_above_it,
        rfc9051_6_3_6_rename_moves_names_below,
        rfc9051_6_3_6_rename_of_inbox_moves_its_messages,
        rfc9051_6_3_6_rename_of_what_is_missing_is_no,
        rfc9051_6_3_6_rename_onto_an_existing_name_is_no,
        rfc9051_6_3_7_subscribe_adds_to_the_list,
        rfc9051_6_3_7_subscribe_twice_is_ok,
        rfc9051_6_3_7_subscriptions_are_kept,
        rfc9051_6_3_8_unsubscribe_takes_from_the_list,
    ]);
}

#[track_caller]
fn names(peer: &mut Peer, command: &str) -> Vec<String> {
    let answer = peer.ok(command);
    let name = |line: &str| {
        let (_, rest) = line.split_once(" \"/\" ").unwrap();
        rest.split(" (").next().unwrap().to_owned()
    };
    let mut names: Vec<String> = answer.with("* LIST ").into_iter().map(name).collect();
    names.sort();
    names
}

/// A created mailbox exists, is listed and has no messages. RFC 9051 §6.3.4.
fn rfc9051_6_3_4_the_new_mailbox_is_empty_and_listed(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE fresh");
    assert_eq!(names(&mut peer, "LIST \"\" fresh"), ["fresh"]);
    assert_eq!(peer.ok("SELECT fresh").one(" EXISTS"), "* 0 EXISTS");
}

/// INBOX cannot be created. RFC 9051 §6.3.4.
fn rfc9051_6_3_4_create_of_inbox_is_no(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.no("CREATE INBOX");
    peer.no("CREATE inbox");
}

/// A mailbox that exists cannot be created again. RFC 9051 §6.3.4.
fn rfc9051_6_3_4_create_of_what_exists_is_no(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE once");
    assert_eq!(peer.no("CREATE once").code, "ALREADYEXISTS");
}

/// The names above a new mailbox are made as well. RFC 9051 §6.3.4.
fn rfc9051_6_3_4_create_makes_names_above_it(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE foo/bar/zap");
    assert_eq!(names(&mut peer, "LIST \"\" foo*"), ["foo", "foo/bar", "foo/bar/zap"]);
    peer.ok("CREATE foo/other");
}

/// A delimiter at the end says that names below will follow; the mailbox has the name without it.
/// RFC 9051 §6.3.4.
fn rfc9051_6_3_4_a_name_that_ends_with_the_delimiter(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE owatagusiam/");
    assert_eq!(names(&mut peer, "LIST \"\" owatagusiam*"), ["owatagusiam"]);
    peer.ok("CREATE owatagusiam/blurdybloop");
}

/// Where the mailbox gets another name than asked for, a LIST response tells it. RFC 9051 §6.3.4.
fn rfc9051_6_3_4_create_tells_a_changed_name(s: &Subject<'_>) {
    let mut peer = s.rev2();
    // A decomposed letter is composed: U+0065 U+0301 becomes U+00E9.
    let answer = peer.ask("CREATE \"e\u{301}t\u{e9}\"");
    match answer.status.as_str() {
        "OK" => assert!(answer.one("* LIST ").contains("\u{e9}t\u{e9}"), "{answer:?}"),
        // A server may refuse such names instead.
        status => assert_eq!(status, "NO", "{answer:?}"),
    }
}

/// A deleted mailbox is gone with its messages. RFC 9051 §6.3.5.
fn rfc9051_6_3_5_a_deleted_mailbox_takes_its_messages(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE doomed");
    peer.put("doomed", &plain(1));
    peer.ok("DELETE doomed");
    peer.no("SELECT doomed");
    assert_eq!(names(&mut peer, "LIST \"\" doomed"), Vec::<String>::new());
    peer.ok("CREATE doomed");
    assert_eq!(peer.ok("SELECT doomed").one(" EXISTS"), "* 0 EXISTS");
}

/// INBOX cannot be deleted. RFC 9051 §6.3.5.
fn rfc9051_6_3_5_delete_of_inbox_is_no(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.no("DELETE INBOX");
    peer.no("DELETE iNBOX");
    peer.ok("SELECT INBOX");
}

/// A mailbox that does not exist cannot be deleted. RFC 9051 §6.3.5.
fn rfc9051_6_3_5_delete_of_what_is_missing_is_no(s: &Subject<'_>) {
    assert_eq!(s.login().no("DELETE Absent").code, "NONEXISTENT");
}

/// Deleting a mailbox never removes those below it. RFC 9051 §6.3.5.
fn rfc9051_6_3_5_delete_does_not_touch_names_below(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE up/down");
    peer.put("up/down", &plain(1));
    peer.ask("DELETE up");
    assert_eq!(peer.ok("SELECT up/down").one(" EXISTS"), "* 1 EXISTS");
}

/// A subscribed name stays subscribed when its mailbox is deleted. RFC 9051 §6.3.5.
fn rfc9051_6_3_5_delete_keeps_the_subscription(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.ok("CREATE kept");
    peer.ok("SUBSCRIBE kept");
    peer.ok("DELETE kept");
    let answer = peer.ok("LIST (SUBSCRIBED) \"\" kept");
    let line = answer.one("* LIST ").to_lowercase();
    assert!(line.contains("\\subscribed") && line.contains("\\nonexistent"), "{line}");
}

/// A renamed mailbox keeps its messages and their flags. RFC 9051 §6.3.6.
fn rfc9051_6_3_6_rename_keeps_the_messages(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.ok("CREATE before");
    peer.put("before (\\Flagged)", &plain(1));
    peer.ok("RENAME before after");
    peer.no("SELECT before");
    assert_eq!(peer.ok("SELECT after").one(" EXISTS"), "* 1 EXISTS");
    assert_eq!(peer.flags(1), ["\\Flagged"]);
}

/// The names below a renamed mailbox move with it. RFC 9051 §6.3.6.
fn rfc9051_6_3_6_rename_moves_names_below(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE blurdy/bloop/deep");
    peer.put("blurdy/bloop/deep", &plain(1));
    peer.ok("RENAME blurdy zowie");
    assert_eq!(names(&mut peer, "LIST \"\" blurdy*"), Vec::<String>::new());
    assert_eq!(names(&mut peer, "LIST \"\" zowie*"), ["zowie", "zowie/bloop", "zowie/bloop/deep"]);
    assert_eq!(peer.ok("SELECT zowie/bloop/deep").one(" EXISTS"), "* 1 EXISTS");
}

/// The names above the new name are made. RFC 9051 §6.3.6.
fn rfc9051_6_3_6_rename_makes_names_above_it(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE zap");
    peer.ok("RENAME zap baz/rag/zowie");
    assert_eq!(names(&mut peer, "LIST \"\" baz*"), ["baz", "baz/rag", "baz/rag/zowie"]);
}

/// A mailbox that does not exist cannot be renamed. RFC 9051 §6.3.6.
fn rfc9051_6_3_6_rename_of_what_is_missing_is_no(s: &Subject<'_>) {
    assert_eq!(s.login().no("RENAME Absent there").code, "NONEXISTENT");
}

/// A mailbox cannot get the name of one that exists. RFC 9051 §6.3.6.
fn rfc9051_6_3_6_rename_onto_an_existing_name_is_no(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE one");
    peer.ok("CREATE two");
    assert_eq!(peer.no("RENAME one two").code, "ALREADYEXISTS");
    peer.no("RENAME one INBOX");
    assert_eq!(names(&mut peer, "LIST \"\" one"), ["one"]);
}

/// RENAME of INBOX moves its messages into a new mailbox and leaves INBOX empty. RFC 9051 §6.3.6.
fn rfc9051_6_3_6_rename_of_inbox_moves_its_messages(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.fill("INBOX", 2);
    peer.ok("CREATE INBOX/below");
    peer.ok("RENAME INBOX old-mail");
    assert_eq!(peer.ok("SELECT INBOX").one(" EXISTS"), "* 0 EXISTS");
    assert_eq!(peer.ok("SELECT old-mail").one(" EXISTS"), "* 2 EXISTS");
    // Those below INBOX stay.
    assert_eq!(names(&mut peer, "LIST \"\" old-mail/*"), Vec::<String>::new());
}

/// SUBSCRIBE puts a name on the list of subscriptions. RFC 9051 §6.3.7.
fn rfc9051_6_3_7_subscribe_adds_to_the_list(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE news");
    peer.ok("UNSUBSCRIBE news");
    assert_eq!(names(&mut peer, "LIST (SUBSCRIBED) \"\" news"), Vec::<String>::new());
    peer.ok("SUBSCRIBE news");
    assert_eq!(names(&mut peer, "LIST (SUBSCRIBED) \"\" news"), ["news"]);
}

/// SUBSCRIBE of what is subscribed succeeds. RFC 9051 §6.3.7.
fn rfc9051_6_3_7_subscribe_twice_is_ok(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE news");
    peer.ok("SUBSCRIBE news");
    peer.ok("SUBSCRIBE news");
    assert_eq!(names(&mut peer, "LIST (SUBSCRIBED) \"\" news"), ["news"]);
}

/// The server takes no name off the list by itself, also when its mailbox is renamed or gone.
/// RFC 9051 §6.3.7.
fn rfc9051_6_3_7_subscriptions_are_kept(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE news");
    peer.ok("SUBSCRIBE news");
    peer.ok("DELETE news");
    assert_eq!(names(&mut s.login(), "LIST (SUBSCRIBED) \"\" news"), ["news"]);
}

/// UNSUBSCRIBE takes the name off, also of a mailbox that is gone. RFC 9051 §6.3.8.
fn rfc9051_6_3_8_unsubscribe_takes_from_the_list(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE news");
    peer.ok("SUBSCRIBE news");
    peer.ok("DELETE news");
    peer.ok("UNSUBSCRIBE news");
    assert_eq!(names(&mut peer, "LIST (SUBSCRIBED) \"\" news"), Vec::<String>::new());
}
