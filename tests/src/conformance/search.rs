//! SEARCH and the saved result. RFC 9051 §6.4.4, §7.3.4.

use super::messages::{LATIN, plain};
use super::peer::Peer;
use super::site::Subject;
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc9051_6_4_4_1_a_failed_search_empties_the_saved_result,
        rfc9051_6_4_4_1_an_expunged_message_leaves_the_saved_result,
        rfc9051_6_4_4_1_saving_answers_nothing_alone,
        rfc9051_6_4_4_1_select_empties_the_saved_result,
        rfc9051_6_4_4_1_the_saved_result_is_used_by_other_commands,
        rfc9051_6_4_4_1_the_saved_result_works_with_uids_and_numbers,
        rfc9051_6_4_4_all_results_are_returned_together,
        rfc9051_6_4_4_an_empty_result_has_no_min_max_all,
        rfc9051_6_4_4_and_or_not_combine,
        rfc9051_6_4_4_body_and_text_are_decoded,
        rfc9051_6_4_4_dates_without_time_or_zone,
        rfc9051_6_4_4_flag_keys,
        rfc9051_6_4_4_header_with_an_empty_string,
        rfc9051_6_4_4_keyword_keys,
        rfc9051_6_4_4_results_name_their_tag,
        rfc9051_6_4_4_return_options_are_kept_to,
        rfc9051_6_4_4_rev2_answers_esearch_always,
        rfc9051_6_4_4_size_keys_are_strict,
        rfc9051_6_4_4_strings_match_in_any_case,
        rfc9051_6_4_4_substrings_match,
        rfc9051_6_4_4_the_charset_is_utf8_by_default,
        rfc9051_6_4_4_uid_and_sequence_keys,
        rfc9051_6_4_4_unknown_charsets_are_refused,
        rfc9051_6_4_4_unknown_keys_are_bad,
    ]);
}

/// What an ESEARCH response says after its tag.
#[track_caller]
fn found(peer: &mut Peer, search: &str) -> String {
    let answer = peer.ok(search);
    let line = answer.one("* ESEARCH ");
    line.split_once(')').unwrap().1.trim().to_owned()
}

#[track_caller]
fn check(peer: &mut Peer, keys: &str, want: &str) {
    let got = found(peer, &format!("SEARCH {keys}"));
    assert_eq!(got.strip_prefix("ALL ").unwrap_or(&got), want, "{keys}");
}

/// With IMAP4rev2 the answer to SEARCH is one ESEARCH response, also when nothing was found.
/// RFC 9051 §6.4.4.
fn rfc9051_6_4_4_rev2_answers_esearch_always(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(2);
    let answer = peer.ok("SEARCH ALL");
    assert_eq!((answer.with("* ESEARCH ").len(), answer.with("* SEARCH").len()), (1, 0));
    let answer = peer.ok("SEARCH DELETED");
    assert_eq!((answer.with("* ESEARCH ").len(), answer.with("* SEARCH").len()), (1, 0));
    let answer = peer.ok("UID SEARCH ALL");
    assert!(answer.one("* ESEARCH ").contains(" UID "), "{answer:?}");
}

/// The response names the tag of its command. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_results_name_their_tag(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.send("x.42 SEARCH RETURN (COUNT) ALL\r\n");
    let answer = peer.finish("x.42");
    assert_eq!(answer.one("* ESEARCH"), "* ESEARCH (TAG \"x.42\") COUNT 1");
}

/// Only the results that were asked for are returned; an empty list means ALL. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_return_options_are_kept_to(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(4);
    assert_eq!(found(&mut peer, "SEARCH RETURN (MIN) 2:3"), "MIN 2");
    assert_eq!(found(&mut peer, "SEARCH RETURN (MAX) 2:3"), "MAX 3");
    assert_eq!(found(&mut peer, "SEARCH RETURN (COUNT) 2:3"), "COUNT 2");
    assert_eq!(found(&mut peer, "SEARCH RETURN () 2:3"), "ALL 2:3");
    peer.bad("SEARCH RETURN (XYZZY) ALL");
}

/// Several results come in one response. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_all_results_are_returned_together(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(4);
    let got = found(&mut peer, "SEARCH RETURN (MIN MAX COUNT ALL) NOT 3");
    for part in ["MIN 1", "MAX 4", "COUNT 3", "ALL 1:2,4"] {
        assert!(got.contains(part), "{part}: {got}");
    }
}

/// If nothing was found, MIN, MAX and ALL are left out, and COUNT is 0. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_an_empty_result_has_no_min_max_all(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    assert_eq!(found(&mut peer, "SEARCH RETURN (MIN MAX ALL COUNT) DELETED"), "COUNT 0");
    assert_eq!(found(&mut peer, "SEARCH RETURN (MIN) DELETED"), "");
}

/// Keys in a row must all match; OR takes two keys, NOT one, parentheses group. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_and_or_not_combine(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(4);
    peer.ok("STORE 1:2 +FLAGS (\\Seen)");
    peer.ok("STORE 2:3 +FLAGS (\\Flagged)");
    check(&mut peer, "SEEN FLAGGED", "2");
    check(&mut peer, "OR SEEN FLAGGED", "1:3");
    check(&mut peer, "NOT OR SEEN FLAGGED", "4");
    check(&mut peer, "NOT (SEEN FLAGGED)", "1,3:4");
    check(&mut peer, "OR (SEEN UNFLAGGED) NOT (OR SEEN FLAGGED)", "1,4");
    check(&mut peer, "NOT NOT SEEN", "1:2");
}

/// Each flag has a key for set and one for not set. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_flag_keys(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(2);
    for flag in ["Answered", "Deleted", "Draft", "Flagged", "Seen"] {
        peer.ok(&format!("STORE 1 FLAGS (\\{flag})"));
        check(&mut peer, flag, "1");
        check(&mut peer, &format!("UN{flag}"), "2");
    }
}

/// KEYWORD and UNKEYWORD look for keywords, in any case. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_keyword_keys(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(2);
    peer.ok("STORE 2 FLAGS (Mine $MDNSent)");
    check(&mut peer, "KEYWORD mine", "2");
    check(&mut peer, "KEYWORD $mdnsent", "2");
    check(&mut peer, "UNKEYWORD MINE", "1");
    check(&mut peer, "UNKEYWORD nobodys", "1:2");
}

/// BEFORE, ON and SINCE look at the day of arrival, SENT… at the Date field; time and zone do not
/// count. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_dates_without_time_or_zone(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.put("INBOX \"01-Jan-2020 12:00:00 +0000\"", &plain(1));
    peer.put("INBOX \"02-Jan-2020 12:00:00 +0000\"", &plain(2));
    check(&mut peer, "ON 1-Jan-2020", "1");
    check(&mut peer, "BEFORE 2-Jan-2020", "1");
    check(&mut peer, "SINCE \"2-Jan-2020\"", "2");
    check(&mut peer, "BEFORE 1-Jan-2020", "");
    // In UTC it was the first already, or still: the day that is shown counts.
    for (date, day) in [
        ("\"31-Dec-2019 23:30:00 -0800\"", "31-Dec-2019"),
        ("\"02-Jan-2020 00:30:00 +0900\"", "2-Jan-2020"),
    ] {
        let mut peer = s.inbox_rev2();
        peer.ok("CREATE zones");
        peer.put(&format!("zones {date}"), &plain(1));
        peer.ok("SELECT zones");
        check(&mut peer, &format!("ON {day} SINCE {day}"), "1");
        check(&mut peer, &format!("BEFORE {day}"), "");
        peer.ok("UNSELECT");
        peer.ok("DELETE zones");
    }
    // Mon, 7 Feb 1994 21:52:25 -0800
    check(&mut peer, "SENTON 7-Feb-1994", "1:2");
    check(&mut peer, "SENTBEFORE 8-Feb-1994 SENTSINCE 7-Feb-1994", "1:2");
    check(&mut peer, "SENTON 8-Feb-1994", "");
    peer.bad("SEARCH ON 2020-01-01");
    peer.bad("SEARCH ON 32-Jan-2020");
}

/// LARGER and SMALLER do not match the size itself. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_size_keys_are_strict(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    let size = plain(1).len();
    check(&mut peer, &format!("LARGER {}", size - 1), "1");
    check(&mut peer, &format!("LARGER {size}"), "");
    check(&mut peer, &format!("SMALLER {size}"), "");
    check(&mut peer, &format!("SMALLER {}", size + 1), "1");
}

/// Strings match in upper and lower case alike. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_strings_match_in_any_case(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    check(&mut peer, "FROM FOOBAR", "1");
    check(&mut peer, "TEXT \"FRED foobar\"", "1");
    check(&mut peer, "HEADER message-id EXAMPLE.ORG", "1");
}

/// A string matches anywhere in the field, also within a word. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_substrings_match(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    check(&mut peer, "FROM oba", "1");
    check(&mut peer, "TO ooch@ex", "1");
    check(&mut peer, "BODY essag", "1");
    check(&mut peer, "SUBJECT 11", "");
    check(&mut peer, "CC mooch", "");
    check(&mut peer, "BCC mooch", "");
}

/// HEADER with an empty string matches every message that has the field. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_header_with_an_empty_string(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.put("INBOX", "Subject: with\r\nX-Odd: 1\r\n\r\n");
    peer.put("INBOX", "Subject: without\r\n\r\n");
    check(&mut peer, "HEADER X-Odd \"\"", "1");
    check(&mut peer, "NOT HEADER X-Odd \"\"", "2");
}

/// BODY, TEXT and header keys see decoded text: encoded words, transfer encodings and charsets.
/// RFC 9051 §6.4.4.
fn rfc9051_6_4_4_body_and_text_are_decoded(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.put("INBOX", LATIN);
    for keys in ["SUBJECT \"Gr\u{fc}\u{df}e\"", "BODY \"M\u{fc}nchen=\"", "TEXT \"m\u{dc}NCH\""] {
        check(&mut peer, keys, "1");
    }
    check(&mut peer, "BODY \"=FC\"", "");
    check(&mut peer, "BODY \"Gr\u{fc}\u{df}e\"", "");
}

/// Without CHARSET, strings of SEARCH are UTF-8. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_the_charset_is_utf8_by_default(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.put("INBOX", "Subject: gr\u{fc}n\r\n\r\n");
    check(&mut peer, "SUBJECT {5+}\r\ngr\u{fc}n", "1");
    check(&mut peer, "CHARSET UTF-8 SUBJECT {5+}\r\ngr\u{fc}n", "1");
    check(&mut peer, "CHARSET US-ASCII SUBJECT gr", "1");
}

/// A charset that is not known is refused with NO, not taken for another. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_unknown_charsets_are_refused(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    let answer = peer.no("SEARCH CHARSET XYZZY SUBJECT a");
    assert!(answer.code.starts_with("BADCHARSET"), "{answer:?}");
}

/// A UID key and a sequence set are keys among others. RFC 9051 §6.4.4.
fn rfc9051_6_4_4_uid_and_sequence_keys(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(4);
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXPUNGE");
    check(&mut peer, "UID 2:3", "1:2");
    check(&mut peer, "1:2 UID 3:9", "2");
    check(&mut peer, "UID *", "3");
    check(&mut peer, "*", "3");
    check(&mut peer, "NOT UID 77", "1:3");
}

/// Keys that are not known, and keys without what belongs to them, are syntax errors.
/// RFC 9051 §6.4.4.
fn rfc9051_6_4_4_unknown_keys_are_bad(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    for keys in ["XYZZY", "", "FROM", "OR SEEN", "NOT", "(SEEN", "LARGER x", "()"] {
        peer.bad(&format!("SEARCH {keys}"));
    }
}

/// SAVE keeps the result for `$`. RFC 9051 §6.4.4.1.
fn rfc9051_6_4_4_1_the_saved_result_is_used_by_other_commands(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(4);
    peer.ok("CREATE target");
    peer.ok("SEARCH RETURN (SAVE) 2:3");
    assert_eq!(peer.ok("FETCH $ (UID)").with(" FETCH ").len(), 2);
    assert_eq!(peer.ok("STORE $ +FLAGS (\\Seen)").with(" FETCH ").len(), 2);
    check(&mut peer, "$ SEEN", "2:3");
    peer.ok("COPY $ target");
    assert!(peer.ok("STATUS target (MESSAGES)").one("* STATUS ").contains("MESSAGES 2"));
    assert_eq!(peer.ok("MOVE $ target").with(" EXPUNGE").len(), 2);
}

/// SAVE alone is answered by no ESEARCH response; with others they have what they ask for.
/// RFC 9051 §6.4.4.1.
fn rfc9051_6_4_4_1_saving_answers_nothing_alone(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(4);
    assert!(peer.ok("SEARCH RETURN (SAVE) ALL").with("ESEARCH").is_empty());
    assert_eq!(found(&mut peer, "SEARCH RETURN (SAVE COUNT) 2:4"), "COUNT 3");
    check(&mut peer, "$", "2:4");
    // With MIN or MAX only, these are what is saved.
    assert_eq!(found(&mut peer, "SEARCH RETURN (SAVE MIN MAX) 2:4"), "MIN 2 MAX 4");
    check(&mut peer, "$", "2,4");
}

/// What was saved as UIDs is used as numbers and the other way round. RFC 9051 §6.4.4.1.
fn rfc9051_6_4_4_1_the_saved_result_works_with_uids_and_numbers(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(4);
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXPUNGE");
    peer.ok("UID SEARCH RETURN (SAVE) UID 3");
    assert!(peer.ok("FETCH $ (UID)").one("* 2 FETCH ").contains("UID 3"));
    assert!(peer.ok("UID FETCH $ (FLAGS)").one("* 2 FETCH ").contains("UID 3"));
}

/// Messages that are expunged are taken out of the saved result. RFC 9051 §6.4.4.1.
fn rfc9051_6_4_4_1_an_expunged_message_leaves_the_saved_result(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(3);
    peer.ok("SEARCH RETURN (SAVE) 1:2");
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXPUNGE");
    check(&mut peer, "$", "1");
    assert!(peer.ok("FETCH $ (UID)").one(" FETCH ").contains("UID 2"));
}

/// SELECT empties the saved result. RFC 9051 §6.4.4.1.
fn rfc9051_6_4_4_1_select_empties_the_saved_result(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(2);
    peer.ok("SEARCH RETURN (SAVE) ALL");
    peer.ok("SELECT INBOX");
    check(&mut peer, "$", "");
    peer.ok("FETCH $ (UID)");
}

/// A SEARCH with SAVE that is answered NO leaves the empty result; one answered BAD changes nothing.
/// RFC 9051 §6.4.4.1.
fn rfc9051_6_4_4_1_a_failed_search_empties_the_saved_result(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(2);
    peer.ok("SEARCH RETURN (SAVE) ALL");
    peer.bad("SEARCH RETURN (SAVE) XYZZY");
    check(&mut peer, "$", "1:2");
    peer.no("SEARCH RETURN (SAVE) CHARSET XYZZY ALL");
    check(&mut peer, "$", "");
}
