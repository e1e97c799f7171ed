//! ENABLE, SELECT and EXAMINE. RFC 9051 §6.3.1 to §6.3.3.

use super::messages::plain;
use super::site::Subject;
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc9051_6_3_1_enable_is_answered_with_what_is_new,
        rfc9051_6_3_1_enable_ignores_what_it_does_not_know,
        rfc9051_6_3_1_enable_lists_only_what_was_asked_for,
        rfc9051_6_3_1_enable_needs_login,
        rfc9051_6_3_1_enable_wants_an_argument,
        rfc9051_6_3_1_rev2_is_not_used_unasked,
        rfc9051_6_3_2_a_failed_select_leaves_nothing_selected,
        rfc9051_6_3_2_flags_exists_and_codes_are_sent,
        rfc9051_6_3_2_inbox_in_any_case,
        rfc9051_6_3_2_list_names_the_selected_mailbox,
        rfc9051_6_3_2_permanent_flags_are_among_the_flags,
        rfc9051_6_3_2_select_closes_the_mailbox_before,
        rfc9051_6_3_2_select_does_not_expunge_what_it_leaves,
        rfc9051_6_3_2_select_is_read_write,
        rfc9051_6_3_2_select_of_a_missing_mailbox_is_no,
        rfc9051_6_3_2_select_of_what_is_selected_starts_anew,
        rfc9051_6_3_2_select_refuses_unknown_parameters,
        rfc9051_6_3_3_examine_answers_like_select,
        rfc9051_6_3_3_examine_does_not_set_seen,
        rfc9051_6_3_3_examine_is_read_only,
        rfc9051_6_3_3_examine_refuses_changes,
    ]);
}

/// ENABLE answers with an untagged ENABLED that names what was enabled by it. RFC 9051 §6.3.1.
fn rfc9051_6_3_1_enable_is_answered_with_what_is_new(s: &Subject<'_>) {
    let mut peer = s.login();
    assert_eq!(peer.ok("ENABLE IMAP4rev2").one("* ENABLED"), "* ENABLED IMAP4rev2");
}

/// Names that are not known, or cannot be enabled, are left out without an error. RFC 9051 §6.3.1.
fn rfc9051_6_3_1_enable_ignores_what_it_does_not_know(s: &Subject<'_>) {
    let mut peer = s.login();
    let answer = peer.ok("ENABLE XYZZY IDLE LITERAL+");
    assert_eq!(answer.one("* ENABLED").trim_end(), "* ENABLED");
}

/// ENABLED names nothing that the client did not ask for. RFC 9051 §6.3.1.
fn rfc9051_6_3_1_enable_lists_only_what_was_asked_for(s: &Subject<'_>) {
    let mut peer = s.login();
    let answer = peer.ok("ENABLE CONDSTORE XYZZY");
    assert_eq!(answer.one("* ENABLED"), "* ENABLED CONDSTORE");
}

/// ENABLE is for those who are logged in. RFC 9051 §6.3.1.
fn rfc9051_6_3_1_enable_needs_login(s: &Subject<'_>) {
    s.connect().refused("ENABLE IMAP4rev2");
}

/// ENABLE without a name is a syntax error. RFC 9051 §6.3.1.
fn rfc9051_6_3_1_enable_wants_an_argument(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.bad("ENABLE");
    peer.bad("ENABLE ");
    peer.bad("ENABLE (IMAP4rev2)");
}

/// Where both revisions are announced, the older one is spoken until the client enables the newer.
/// RFC 9051 §6.3.1.
fn rfc9051_6_3_1_rev2_is_not_used_unasked(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    assert_eq!(peer.ok("SELECT INBOX").with(" RECENT").len(), 1);
    assert_eq!(peer.ok("SEARCH ALL").with("* SEARCH").len(), 1);
    assert_eq!(peer.ok("SEARCH ALL").with("* ESEARCH").len(), 0);
}

/// Before its OK, SELECT sends FLAGS, EXISTS, LIST, PERMANENTFLAGS, UIDNEXT and UIDVALIDITY.
/// RFC 9051 §6.3.2.
fn rfc9051_6_3_2_flags_exists_and_codes_are_sent(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.fill("INBOX", 2);
    let answer = peer.ok("SELECT INBOX");
    assert_eq!(answer.one(" EXISTS"), "* 2 EXISTS");
    for part in ["* FLAGS (", "* LIST (", "[PERMANENTFLAGS (", "[UIDNEXT ", "[UIDVALIDITY "] {
        answer.one(part);
    }
    assert!(answer.with(" RECENT").is_empty(), "{answer:?}");
    assert!(answer.with("[UNSEEN ").is_empty(), "{answer:?}");
}

/// The LIST response of SELECT names the mailbox. RFC 9051 §6.3.2.
fn rfc9051_6_3_2_list_names_the_selected_mailbox(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.ok("CREATE some/box");
    let answer = peer.ok("SELECT some/box");
    assert!(answer.one("* LIST ").ends_with(" \"/\" some/box"), "{answer:?}");
}

/// What is in PERMANENTFLAGS is in FLAGS too, but for `\*`. RFC 9051 §6.3.2.
fn rfc9051_6_3_2_permanent_flags_are_among_the_flags(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("STORE 1 +FLAGS (mine)");
    let answer = peer.ok("SELECT INBOX");
    let list = |line: &str| -> Vec<String> {
        let list = line.split(['(', ')']).nth(1).unwrap();
        list.split(' ').map(str::to_owned).collect()
    };
    let flags = list(answer.one("* FLAGS ("));
    for flag in list(answer.one("[PERMANENTFLAGS (")) {
        assert!(flag == "\\*" || flags.contains(&flag), "{flag}: {answer:?}");
    }
    assert!(flags.iter().any(|flag| flag == "mine"), "{answer:?}");
}

/// The OK of SELECT has READ-WRITE. RFC 9051 §6.3.2.
fn rfc9051_6_3_2_select_is_read_write(s: &Subject<'_>) {
    assert_eq!(s.login().ok("SELECT INBOX").code, "READ-WRITE");
}

/// A mailbox that does not exist cannot be selected. RFC 9051 §6.3.2.
fn rfc9051_6_3_2_select_of_a_missing_mailbox_is_no(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.no("SELECT Absent");
    peer.no("EXAMINE Absent");
}

/// A SELECT that fails leaves no mailbox selected, not even the one before. RFC 9051 §6.3.2.
fn rfc9051_6_3_2_a_failed_select_leaves_nothing_selected(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.no("SELECT Absent");
    peer.refused("FETCH 1 (FLAGS)");
}

/// SELECT of another mailbox tells by the CLOSED code where the responses of the new one begin.
/// RFC 9051 §6.3.2.
fn rfc9051_6_3_2_select_closes_the_mailbox_before(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.ok("CREATE other");
    let answer = peer.ok("SELECT other");
    assert!(answer.untagged[0].starts_with("* OK [CLOSED] "), "{answer:?}");
    peer.ok("UNSELECT");
    assert!(peer.ok("SELECT other").with("[CLOSED]").is_empty());
}

/// Leaving a mailbox by SELECT or EXAMINE removes no message. RFC 9051 §6.3.2.
fn rfc9051_6_3_2_select_does_not_expunge_what_it_leaves(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXAMINE INBOX");
    assert_eq!(peer.ok("SELECT INBOX").one(" EXISTS"), "* 1 EXISTS");
}

/// SELECT of the mailbox that is selected already answers in full. RFC 9051 §6.3.2.
fn rfc9051_6_3_2_select_of_what_is_selected_starts_anew(s: &Subject<'_>) {
    let mut peer = s.inbox();
    s.login().put("INBOX", &plain(1));
    let answer = peer.ok("SELECT INBOX");
    answer.one("* 1 EXISTS");
    answer.one("[UIDVALIDITY ");
}

/// INBOX is the same mailbox in any case. RFC 9051 §6.3.2.
fn rfc9051_6_3_2_inbox_in_any_case(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.fill("inbox", 1);
    for name in ["INBOX", "inbox", "Inbox", "iNBoX", "\"InBoX\""] {
        assert_eq!(peer.ok(&format!("SELECT {name}")).one(" EXISTS"), "* 1 EXISTS");
    }
}

/// A parameter of SELECT that is not known is a syntax error. RFC 9051 §6.3.2.
fn rfc9051_6_3_2_select_refuses_unknown_parameters(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.bad("SELECT INBOX (XYZZY)");
    peer.bad("SELECT INBOX ()");
    peer.bad("SELECT INBOX extra");
}

/// EXAMINE has the same untagged responses as SELECT. RFC 9051 §6.3.3.
fn rfc9051_6_3_3_examine_answers_like_select(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.fill("INBOX", 1);
    let answer = peer.ok("EXAMINE INBOX");
    for part in ["* FLAGS (", "* LIST (", "[PERMANENTFLAGS (", "[UIDNEXT ", "[UIDVALIDITY "] {
        answer.one(part);
    }
    answer.one("* 1 EXISTS");
}

/// The OK of EXAMINE has READ-ONLY, and no flag is permanent. RFC 9051 §6.3.3.
fn rfc9051_6_3_3_examine_is_read_only(s: &Subject<'_>) {
    let answer = s.login().ok("EXAMINE INBOX");
    assert_eq!(answer.code, "READ-ONLY");
    assert!(answer.one("[PERMANENTFLAGS ").contains("[PERMANENTFLAGS ()]"), "{answer:?}");
}

/// Nothing in an examined mailbox can be changed. RFC 9051 §6.3.3.
fn rfc9051_6_3_3_examine_refuses_changes(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("CREATE target");
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXAMINE INBOX");
    peer.no("STORE 1 +FLAGS (\\Seen)");
    peer.no("EXPUNGE");
    peer.no("MOVE 1 target");
    peer.ok("COPY 1 target");
    peer.ok("CLOSE");
    assert_eq!(peer.ok("SELECT INBOX").one(" EXISTS"), "* 1 EXISTS");
}

/// Reading a message in an examined mailbox does not mark it as seen. RFC 9051 §6.3.3.
fn rfc9051_6_3_3_examine_does_not_set_seen(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.ok("EXAMINE INBOX");
    peer.text("1", "BODY[]");
    assert_eq!(peer.flags(1), Vec::<String>::new());
    peer.ok("SELECT INBOX");
    assert_eq!(peer.flags(1), Vec::<String>::new());
}
