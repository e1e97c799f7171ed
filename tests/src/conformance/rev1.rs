//! What IMAP4rev1 has and IMAP4rev2 has not, and what differs. RFC 3501, RFC 9051 Appendix E.

use super::messages::plain;
use super::peer::Peer;
use super::site::Subject;
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc3501_2_3_2_recent_cannot_be_changed,
        rfc3501_6_2_3_login_is_in_any_case,
        rfc3501_6_3_1_select_sends_recent_and_unseen,
        rfc3501_6_3_1_unseen_is_left_out_if_all_are_seen,
        rfc3501_6_3_8_list_has_no_subscriptions_of_others,
        rfc3501_6_3_9_lsub_lists_subscriptions,
        rfc3501_6_3_9_lsub_of_a_level_shows_parents,
        rfc3501_6_3_9_lsub_keeps_names_without_mailbox,
        rfc3501_6_3_10_status_has_recent,
        rfc3501_6_4_1_check_is_ok_and_needs_a_mailbox,
        rfc3501_6_4_4_search_has_new_old_and_recent,
        rfc3501_6_4_5_rfc822_items_stand_for_sections,
        rfc3501_6_4_5_rfc822_header_does_not_set_seen,
        rfc3501_6_4_8_uid_search_answers_with_uids,
        rfc3501_7_2_5_search_answers_with_numbers,
        rfc3501_7_2_5_search_of_nothing_is_an_empty_response,
        rfc3501_7_3_2_recent_is_sent_with_select,
        rfc9051_a_enabling_rev2_twice_is_harmless,
        rfc9051_a_names_are_utf7_until_rev2_is_enabled,
        rfc9051_e_fetch_has_no_recent_flag,
        rfc9051_e_recent_is_not_told,
        rfc9051_e_search_answers_esearch,
        rfc9051_e_unseen_is_not_told,
        rfc9051_e_status_of_rev2_has_size_and_deleted,
    ]);
}

#[track_caller]
fn lsub(peer: &mut Peer, pattern: &str) -> Vec<String> {
    let answer = peer.ok(&format!("LSUB \"\" {pattern}"));
    let mut lines: Vec<String> = answer.with("* LSUB ").into_iter().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// SELECT has RECENT, and UNSEEN with the number of the first message that is not seen.
/// RFC 3501 §6.3.1.
fn rfc3501_6_3_1_select_sends_recent_and_unseen(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.put("INBOX (\\Seen)", &plain(1));
    peer.put("INBOX", &plain(2));
    let answer = peer.ok("SELECT INBOX");
    assert_eq!(answer.with(" RECENT").len(), 1);
    assert_eq!(answer.number("UNSEEN"), 2);
    answer.one("* FLAGS (");
    answer.one("* 2 EXISTS");
}

/// Without such a message there is no UNSEEN. RFC 3501 §6.3.1.
fn rfc3501_6_3_1_unseen_is_left_out_if_all_are_seen(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.put("INBOX (\\Seen)", &plain(1));
    assert!(peer.ok("SELECT INBOX").with("[UNSEEN ").is_empty());
}

/// RECENT is sent by EXAMINE too, in a response of its own. RFC 3501 §7.3.2.
fn rfc3501_7_3_2_recent_is_sent_with_select(s: &Subject<'_>) {
    let answer = s.login().ok("EXAMINE INBOX");
    assert_eq!(answer.with(" RECENT").len(), 1, "{answer:?}");
}

/// STORE does not touch `\Recent`. RFC 3501 §2.3.2.
fn rfc3501_2_3_2_recent_cannot_be_changed(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    let before = peer.flags(1);
    peer.ask("STORE 1 +FLAGS (\\Recent)");
    peer.ask("STORE 1 -FLAGS (\\Recent)");
    assert_eq!(peer.flags(1), before);
}

/// STATUS answers RECENT to who asks for it. RFC 3501 §6.3.10.
fn rfc3501_6_3_10_status_has_recent(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.fill("INBOX", 1);
    let answer = peer.ok("STATUS INBOX (RECENT UNSEEN UIDNEXT UIDVALIDITY MESSAGES)");
    for item in ["RECENT ", "UNSEEN 1", "UIDNEXT 2", "UIDVALIDITY ", "MESSAGES 1"] {
        assert!(answer.one("* STATUS ").contains(item), "{item}: {answer:?}");
    }
}

/// LSUB lists what is subscribed. RFC 3501 §6.3.9.
fn rfc3501_6_3_9_lsub_lists_subscriptions(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE news/one");
    peer.ok("CREATE news/two");
    peer.ok("UNSUBSCRIBE news");
    peer.ok("UNSUBSCRIBE news/two");
    peer.ok("SUBSCRIBE news/one");
    assert_eq!(lsub(&mut peer, "news*"), ["* LSUB () \"/\" news/one"]);
}

/// LSUB with `%` lists a parent of a subscribed name with `\Noselect` if it is not subscribed.
/// RFC 3501 §6.3.9.
fn rfc3501_6_3_9_lsub_of_a_level_shows_parents(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE foo/bar");
    peer.ok("UNSUBSCRIBE foo");
    peer.ok("SUBSCRIBE foo/bar");
    assert_eq!(lsub(&mut peer, "fo%"), ["* LSUB (\\Noselect) \"/\" foo"]);
    peer.ok("SUBSCRIBE foo");
    assert_eq!(lsub(&mut peer, "fo%"), ["* LSUB () \"/\" foo"]);
}

/// A subscribed name stays in LSUB when its mailbox is gone. RFC 3501 §6.3.9.
fn rfc3501_6_3_9_lsub_keeps_names_without_mailbox(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE gone");
    peer.ok("SUBSCRIBE gone");
    peer.ok("DELETE gone");
    assert_eq!(lsub(&mut peer, "gone").len(), 1);
    peer.ok("UNSUBSCRIBE gone");
    assert!(lsub(&mut peer, "gone").is_empty());
}

/// LIST has no names that are only subscribed. RFC 3501 §6.3.8.
fn rfc3501_6_3_8_list_has_no_subscriptions_of_others(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE gone");
    peer.ok("SUBSCRIBE gone");
    peer.ok("DELETE gone");
    assert!(peer.ok("LIST \"\" gone").untagged.is_empty());
}

/// CHECK succeeds with a mailbox selected, and only then. RFC 3501 §6.4.1.
fn rfc3501_6_4_1_check_is_ok_and_needs_a_mailbox(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.refused("CHECK");
    peer.ok("SELECT INBOX");
    peer.ok("CHECK");
    peer.bad("CHECK x");
}

/// NEW, OLD and RECENT are keys of SEARCH; a message is either recent or old. RFC 3501 §6.4.4.
fn rfc3501_6_4_4_search_has_new_old_and_recent(s: &Subject<'_>) {
    let mut peer = s.filled(2);
    let mut numbers = |key: &str| -> Vec<String> {
        let answer = peer.ok(&format!("SEARCH {key}"));
        let line = answer.one("* SEARCH").trim_start_matches("* SEARCH").to_owned();
        line.split_whitespace().map(str::to_owned).collect()
    };
    let (recent, old, new) = (numbers("RECENT"), numbers("OLD"), numbers("NEW"));
    assert_eq!(recent.len() + old.len(), 2, "{recent:?} {old:?}");
    assert!(new.iter().all(|number| recent.contains(number)), "{new:?} {recent:?}");
}

/// RFC822 is BODY[], RFC822.HEADER is BODY.PEEK[HEADER], RFC822.TEXT is BODY[TEXT].
/// RFC 3501 §6.4.5.
fn rfc3501_6_4_5_rfc822_items_stand_for_sections(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    assert_eq!(peer.text("1", "RFC822"), plain(1));
    let header = peer.text("1", "RFC822.HEADER");
    assert_eq!(header, peer.text("1", "BODY.PEEK[HEADER]"));
    assert_eq!(peer.text("1", "RFC822.TEXT"), peer.text("1", "BODY.PEEK[TEXT]"));
}

/// RFC822.HEADER does not mark the message as seen; RFC822 and RFC822.TEXT do. RFC 3501 §6.4.5.
fn rfc3501_6_4_5_rfc822_header_does_not_set_seen(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    peer.ok("FETCH 1 (RFC822.HEADER RFC822.SIZE)");
    peer.ok("FETCH 2 (RFC822)");
    peer.ok("FETCH 3 (RFC822.TEXT)");
    assert!(!peer.flags(1).contains(&"\\Seen".to_owned()));
    assert!(peer.flags(2).contains(&"\\Seen".to_owned()));
    assert!(peer.flags(3).contains(&"\\Seen".to_owned()));
}

/// UID SEARCH answers with UIDs in a SEARCH response. RFC 3501 §6.4.8.
fn rfc3501_6_4_8_uid_search_answers_with_uids(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXPUNGE");
    assert_eq!(peer.ok("UID SEARCH ALL").one("* SEARCH"), "* SEARCH 2 3");
}

/// SEARCH answers with the numbers in one response. RFC 3501 §7.2.5.
fn rfc3501_7_2_5_search_answers_with_numbers(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    assert_eq!(peer.ok("SEARCH NOT 2").one("* SEARCH"), "* SEARCH 1 3");
}

/// If nothing was found, the response has no numbers, but is there. RFC 3501 §7.2.5.
fn rfc3501_7_2_5_search_of_nothing_is_an_empty_response(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    assert_eq!(peer.ok("SEARCH DELETED").one("* SEARCH").trim_end(), "* SEARCH");
}

/// LOGIN is the same in any case, and so is the domain of the user. RFC 3501 §6.2.3.
fn rfc3501_6_2_3_login_is_in_any_case(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.ok(&format!("login {} \"{}\"", s.user(), super::site::PASSWORD));
}

/// ENABLE of what is enabled changes nothing. RFC 9051 §A.
fn rfc9051_a_enabling_rev2_twice_is_harmless(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.ok("UNSELECT");
    peer.ok("ENABLE IMAP4rev2");
    peer.ok("SELECT INBOX");
    peer.ok("SEARCH ALL").one("* ESEARCH ");
}

/// A server of both revisions reads and writes names in modified UTF-7 until rev2 is enabled.
/// RFC 9051 §A.
fn rfc9051_a_names_are_utf7_until_rev2_is_enabled(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE &AOk-t&AOk-");
    peer.ok("LIST \"\" &AOk-*").one(" &AOk-t&AOk-");
    peer.ok("ENABLE IMAP4rev2");
    peer.is_rev2 = true;
    assert!(peer.ok("LIST \"\" \"\u{e9}*\"").one("* LIST ").contains("\u{e9}t\u{e9}"));
}

/// With rev2 no RECENT is sent, neither with SELECT nor later. RFC 9051 §E.
fn rfc9051_e_recent_is_not_told(s: &Subject<'_>) {
    let mut peer = s.rev2();
    assert!(peer.ok("SELECT INBOX").with(" RECENT").is_empty());
    s.login().put("INBOX", &plain(1));
    let answer = peer.ok("NOOP");
    assert!(answer.with(" RECENT").is_empty() && !answer.with(" EXISTS").is_empty(), "{answer:?}");
}

/// With rev2 SELECT has no UNSEEN. RFC 9051 §E.
fn rfc9051_e_unseen_is_not_told(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.fill("INBOX", 1);
    assert!(peer.ok("SELECT INBOX").with("[UNSEEN ").is_empty());
}

/// With rev2 `\Recent` is among the flags of no message. RFC 9051 §E.
fn rfc9051_e_fetch_has_no_recent_flag(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    assert!(peer.ok("FETCH 1 (FLAGS)").with("\\Recent").is_empty());
}

/// With rev2 SEARCH answers with ESEARCH, before with SEARCH, on the same connection. RFC 9051 §E.
fn rfc9051_e_search_answers_esearch(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("SEARCH ALL").one("* SEARCH 1");
    peer.ok("UNSELECT");
    peer.ok("ENABLE IMAP4rev2");
    peer.is_rev2 = true;
    peer.ok("SELECT INBOX");
    let answer = peer.ok("SEARCH ALL");
    answer.one("* ESEARCH ");
    assert!(answer.with("* SEARCH").is_empty(), "{answer:?}");
}

/// SIZE and DELETED are items of STATUS. RFC 9051 §E.
fn rfc9051_e_status_of_rev2_has_size_and_deleted(s: &Subject<'_>) {
    let mut peer = s.rev2();
    let answer = peer.ok("STATUS INBOX (SIZE DELETED)");
    assert!(answer.one("* STATUS ").contains("SIZE 0"), "{answer:?}");
    assert!(answer.one("* STATUS ").contains("DELETED 0"), "{answer:?}");
}
