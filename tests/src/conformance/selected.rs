//! CLOSE, UNSELECT, EXPUNGE, STORE, COPY, MOVE and UID. RFC 9051 §6.4.1 to §6.4.3, §6.4.6 to §6.4.9.

use super::messages::plain;
use super::peer::flags_of;
use super::site::Subject;
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc9051_6_4_1_close_expunges_silently,
        rfc9051_6_4_1_close_of_an_examined_mailbox_keeps_all,
        rfc9051_6_4_1_close_returns_to_authenticated,
        rfc9051_6_4_2_unselect_does_not_expunge,
        rfc9051_6_4_2_unselect_returns_to_authenticated,
        rfc9051_6_4_3_expunge_counts_as_it_goes,
        rfc9051_6_4_3_expunge_removes_only_the_deleted,
        rfc9051_6_4_6_an_invalid_flag_changes_nothing,
        rfc9051_6_4_6_minus_flags_removes,
        rfc9051_6_4_6_plus_flags_adds,
        rfc9051_6_4_6_silent_is_not_answered,
        rfc9051_6_4_6_store_answers_with_the_new_flags,
        rfc9051_6_4_6_store_flags_replaces,
        rfc9051_6_4_6_store_of_many_messages,
        rfc9051_6_4_7_a_copy_is_a_message_of_its_own,
        rfc9051_6_4_7_copy_keeps_flags_and_text,
        rfc9051_6_4_7_copy_of_one_absent_uid_is_ok,
        rfc9051_6_4_7_copy_tells_the_uids,
        rfc9051_6_4_7_copy_to_a_missing_mailbox_is_trycreate,
        rfc9051_6_4_8_move_removes_from_the_source,
        rfc9051_6_4_8_move_tells_the_uids_before_expunge,
        rfc9051_6_4_8_move_takes_the_deleted_flag_along,
        rfc9051_6_4_8_move_to_a_missing_mailbox_moves_nothing,
        rfc9051_6_4_9_a_missing_uid_is_ignored,
        rfc9051_6_4_9_uid_copy_and_move,
        rfc9051_6_4_9_uid_expunge_is_only_of_those,
        rfc9051_6_4_9_uid_fetch_always_has_the_uid,
        rfc9051_6_4_9_uid_search_answers_with_uids,
        rfc9051_6_4_9_uid_star_is_the_last,
        rfc9051_6_4_9_uid_store_answers_with_uids,
        rfc9051_6_4_3_others_are_told_of_expunge,
        rfc9051_6_4_8_others_see_a_move_as_expunge_and_exists,
    ]);
}

/// CLOSE removes the deleted messages without telling of each. RFC 9051 §6.4.1.
fn rfc9051_6_4_1_close_expunges_silently(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    peer.ok("STORE 2 +FLAGS.SILENT (\\Deleted)");
    assert!(peer.ok("CLOSE").with(" EXPUNGE").is_empty());
    assert_eq!(peer.ok("SELECT INBOX").one(" EXISTS"), "* 2 EXISTS");
}

/// CLOSE of a mailbox that was opened by EXAMINE removes nothing and succeeds. RFC 9051 §6.4.1.
fn rfc9051_6_4_1_close_of_an_examined_mailbox_keeps_all(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXAMINE INBOX");
    peer.ok("CLOSE");
    assert_eq!(peer.ok("SELECT INBOX").one(" EXISTS"), "* 1 EXISTS");
}

/// After CLOSE no mailbox is selected. RFC 9051 §6.4.1.
fn rfc9051_6_4_1_close_returns_to_authenticated(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("CLOSE");
    peer.refused("FETCH 1 (UID)");
    peer.ok("STATUS INBOX (MESSAGES)");
}

/// UNSELECT removes nothing. RFC 9051 §6.4.2.
fn rfc9051_6_4_2_unselect_does_not_expunge(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("UNSELECT");
    assert_eq!(peer.ok("SELECT INBOX").one(" EXISTS"), "* 1 EXISTS");
}

/// After UNSELECT no mailbox is selected. RFC 9051 §6.4.2.
fn rfc9051_6_4_2_unselect_returns_to_authenticated(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("UNSELECT");
    peer.refused("FETCH 1 (UID)");
    peer.refused("UNSELECT");
}

/// EXPUNGE removes the messages that are marked as deleted, and no others. RFC 9051 §6.4.3.
fn rfc9051_6_4_3_expunge_removes_only_the_deleted(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    assert!(peer.ok("EXPUNGE").with(" EXPUNGE").is_empty());
    peer.ok("STORE 2 +FLAGS (\\Deleted)");
    assert_eq!(peer.ok("EXPUNGE").with(" EXPUNGE"), ["* 2 EXPUNGE"]);
    assert_eq!(peer.text("2", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]"), "Subject: 3\r\n\r\n");
}

/// Each EXPUNGE response has the number the message had after those before it were gone.
/// RFC 9051 §6.4.3.
fn rfc9051_6_4_3_expunge_counts_as_it_goes(s: &Subject<'_>) {
    let mut peer = s.filled(5);
    peer.ok("STORE 1,3:4 +FLAGS (\\Deleted)");
    let answer = peer.ok("EXPUNGE");
    let mut left = vec![1, 2, 3, 4, 5];
    for line in answer.with(" EXPUNGE") {
        let number: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
        left.remove(number - 1);
    }
    assert_eq!(left, [2, 5], "{answer:?}");
}

/// FLAGS replaces the flags. RFC 9051 §6.4.6.
fn rfc9051_6_4_6_store_flags_replaces(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.ok("STORE 1 FLAGS (\\Seen \\Flagged)");
    peer.ok("STORE 1 FLAGS (\\Draft)");
    assert_eq!(peer.flags(1), ["\\Draft"]);
    peer.ok("STORE 1 FLAGS ()");
    assert_eq!(peer.flags(1), Vec::<String>::new());
}

/// +FLAGS adds. RFC 9051 §6.4.6.
fn rfc9051_6_4_6_plus_flags_adds(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.ok("STORE 1 FLAGS \\Seen");
    peer.ok("STORE 1 +FLAGS (\\Draft \\Seen)");
    assert_eq!(peer.flags(1), ["\\Draft", "\\Seen"]);
}

/// -FLAGS takes away. RFC 9051 §6.4.6.
fn rfc9051_6_4_6_minus_flags_removes(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.ok("STORE 1 FLAGS (\\Seen \\Draft)");
    peer.ok("STORE 1 -FLAGS (\\Seen \\Flagged)");
    assert_eq!(peer.flags(1), ["\\Draft"]);
}

/// STORE answers with the flags as they now are. RFC 9051 §6.4.6.
fn rfc9051_6_4_6_store_answers_with_the_new_flags(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.ok("STORE 1 FLAGS (\\Flagged)");
    let answer = peer.ok("STORE 1 +FLAGS (\\Seen)");
    assert_eq!(flags_of(answer.one("* 1 FETCH ")), ["\\Flagged", "\\Seen"]);
}

/// .SILENT changes the flags without an answer. RFC 9051 §6.4.6.
fn rfc9051_6_4_6_silent_is_not_answered(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    assert!(peer.ok("STORE 1 +FLAGS.SILENT (\\Seen)").untagged.is_empty());
    assert_eq!(peer.flags(1), ["\\Seen"]);
    assert!(peer.ok("STORE 1 -FLAGS.SILENT (\\Seen)").untagged.is_empty());
    assert!(peer.ok("STORE 1 FLAGS.SILENT (\\Draft)").untagged.is_empty());
    assert_eq!(peer.flags(1), ["\\Draft"]);
}

/// STORE of a set answers for each message of it. RFC 9051 §6.4.6.
fn rfc9051_6_4_6_store_of_many_messages(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(4);
    let answer = peer.ok("STORE 2:4 +FLAGS (\\Deleted)");
    assert_eq!(answer.with(" FETCH ").len(), 3, "{answer:?}");
}

/// A STORE that cannot be understood changes nothing. RFC 9051 §6.4.6.
fn rfc9051_6_4_6_an_invalid_flag_changes_nothing(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.refused("STORE 1 +FLAGS (\\Seen \\Nonsense)");
    peer.bad("STORE 1 ?FLAGS (\\Seen)");
    peer.bad("STORE 1 +FLAGS (\\Seen");
    assert_eq!(peer.flags(1), Vec::<String>::new());
}

/// A copy has the flags, the internal date and the text of the original. RFC 9051 §6.4.7.
fn rfc9051_6_4_7_copy_keeps_flags_and_text(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.put("INBOX (\\Flagged mine) \"17-Jul-1996 02:44:25 +0000\"", &plain(4));
    peer.ok("CREATE target");
    peer.ok("COPY 1 target");
    peer.ok("SELECT target");
    assert_eq!(peer.flags(1), ["\\Flagged", "mine"]);
    assert_eq!(peer.text("1", "INTERNALDATE"), "17-Jul-1996 02:44:25 +0000");
    assert_eq!(peer.text("1", "BODY.PEEK[]"), plain(4));
}

/// The original stays, and neither changes with the other. RFC 9051 §6.4.7.
fn rfc9051_6_4_7_a_copy_is_a_message_of_its_own(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.ok("CREATE target");
    peer.ok("COPY 1 target");
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXPUNGE");
    peer.ok("SELECT target");
    assert_eq!(peer.flags(1), Vec::<String>::new());
    assert_eq!(peer.text("1", "BODY.PEEK[]"), plain(1));
}

/// COPY to a mailbox that does not exist is NO with TRYCREATE, and creates nothing.
/// RFC 9051 §6.4.7.
fn rfc9051_6_4_7_copy_to_a_missing_mailbox_is_trycreate(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    assert_eq!(peer.no("COPY 1 Absent").code, "TRYCREATE");
    peer.no("STATUS Absent (MESSAGES)");
}

/// COPYUID has the target's UIDVALIDITY and the UIDs in the source and in the target.
/// RFC 9051 §6.4.7.
fn rfc9051_6_4_7_copy_tells_the_uids(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(3);
    peer.ok("CREATE target");
    let answer = peer.ok("COPY 2:3 target");
    let validity = peer.ok("EXAMINE target").number("UIDVALIDITY");
    assert_eq!(answer.code, format!("COPYUID {validity} 2:3 1:2"));
}

/// UID COPY of UIDs that are not there copies nothing and succeeds, without COPYUID.
/// RFC 9051 §6.4.7.
fn rfc9051_6_4_7_copy_of_one_absent_uid_is_ok(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("CREATE target");
    let answer = peer.ok("UID COPY 999 target");
    assert!(!answer.code.starts_with("COPYUID"), "{answer:?}");
}

/// MOVE puts messages into the target and takes them out of the source, with EXPUNGE responses.
/// RFC 9051 §6.4.8.
fn rfc9051_6_4_8_move_removes_from_the_source(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(3);
    peer.ok("CREATE target");
    assert_eq!(peer.ok("MOVE 2 target").with(" EXPUNGE"), ["* 2 EXPUNGE"]);
    assert_eq!(peer.ok("FETCH 1:* (UID)").with(" FETCH ").len(), 2);
    assert_eq!(peer.ok("SELECT target").one(" EXISTS"), "* 1 EXISTS");
    assert_eq!(peer.text("1", "BODY.PEEK[]"), plain(2));
}

/// COPYUID comes in an untagged OK before the first EXPUNGE. RFC 9051 §6.4.8.
fn rfc9051_6_4_8_move_tells_the_uids_before_expunge(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(2);
    peer.ok("CREATE target");
    let answer = peer.ok("MOVE 1:2 target");
    let at = |part: &str| answer.untagged.iter().position(|line| line.contains(part)).unwrap();
    assert!(at("[COPYUID ") < at(" EXPUNGE"), "{answer:?}");
    assert!(answer.one("[COPYUID ").starts_with("* OK [COPYUID "), "{answer:?}");
}

/// MOVE moves messages as they are, flagged as deleted or not, and no others. RFC 9051 §6.4.8.
fn rfc9051_6_4_8_move_takes_the_deleted_flag_along(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(2);
    peer.ok("CREATE target");
    peer.ok("STORE 1:2 +FLAGS (\\Deleted)");
    assert_eq!(peer.ok("MOVE 1 target").with(" EXPUNGE").len(), 1);
    assert_eq!(peer.ok("SELECT INBOX").one(" EXISTS"), "* 1 EXISTS");
    peer.ok("SELECT target");
    assert_eq!(peer.flags(1), ["\\Deleted"]);
}

/// A MOVE that fails leaves each message where it was. RFC 9051 §6.4.8.
fn rfc9051_6_4_8_move_to_a_missing_mailbox_moves_nothing(s: &Subject<'_>) {
    let mut peer = s.filled(2);
    assert_eq!(peer.no("MOVE 1:2 Absent").code, "TRYCREATE");
    assert_eq!(peer.ok("SELECT INBOX").one(" EXISTS"), "* 2 EXISTS");
}

/// A UID that is not there is passed over without an error. RFC 9051 §6.4.9.
fn rfc9051_6_4_9_a_missing_uid_is_ignored(s: &Subject<'_>) {
    let mut peer = s.filled(2);
    assert_eq!(peer.ok("UID FETCH 2,77:99 (FLAGS)").with(" FETCH ").len(), 1);
    assert!(peer.ok("UID FETCH 77:99 (FLAGS)").untagged.is_empty());
    assert!(peer.ok("UID STORE 77 +FLAGS (\\Seen)").untagged.is_empty());
}

/// The responses to UID FETCH have the UID, asked for or not, and message numbers in front.
/// RFC 9051 §6.4.9.
fn rfc9051_6_4_9_uid_fetch_always_has_the_uid(s: &Subject<'_>) {
    let mut peer = s.filled(2);
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXPUNGE");
    let answer = peer.ok("UID FETCH 2 (FLAGS)");
    assert!(answer.one("* 1 FETCH ").contains("UID 2"), "{answer:?}");
    assert_eq!(answer.one("* 1 FETCH ").matches("UID ").count(), 1);
    let answer = peer.ok("UID FETCH 2 (UID FLAGS)");
    assert_eq!(answer.one("* 1 FETCH ").matches("UID ").count(), 1);
}

/// The responses to UID STORE have the UID. RFC 9051 §6.4.9.
fn rfc9051_6_4_9_uid_store_answers_with_uids(s: &Subject<'_>) {
    let mut peer = s.filled(2);
    let answer = peer.ok("UID STORE 2 +FLAGS (\\Seen)");
    assert!(answer.one("* 2 FETCH ").contains("UID 2"), "{answer:?}");
}

/// UID SEARCH answers with UIDs. RFC 9051 §6.4.9.
fn rfc9051_6_4_9_uid_search_answers_with_uids(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(3);
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXPUNGE");
    let answer = peer.ok("UID SEARCH ALL");
    assert!(answer.one("* ESEARCH ").ends_with(" UID ALL 2:3"), "{answer:?}");
}

/// `*` is the last UID, so `559:*` always has it, even if 559 is higher. RFC 9051 §6.4.9.
fn rfc9051_6_4_9_uid_star_is_the_last(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    assert!(peer.ok("UID FETCH * (FLAGS)").one(" FETCH ").starts_with("* 3 FETCH "));
    assert!(peer.ok("UID FETCH 559:* (FLAGS)").one(" FETCH ").starts_with("* 3 FETCH "));
    assert_eq!(peer.ok("UID FETCH *:2 (FLAGS)").with(" FETCH ").len(), 2);
}

/// UID EXPUNGE removes the deleted among the given UIDs only. RFC 9051 §6.4.9.
fn rfc9051_6_4_9_uid_expunge_is_only_of_those(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    peer.ok("STORE 1:2 +FLAGS (\\Deleted)");
    assert_eq!(peer.ok("UID EXPUNGE 2:3").with(" EXPUNGE"), ["* 2 EXPUNGE"]);
    assert_eq!(peer.ok("SELECT INBOX").one(" EXISTS"), "* 2 EXISTS");
}

/// UID COPY and UID MOVE take UIDs. RFC 9051 §6.4.9.
fn rfc9051_6_4_9_uid_copy_and_move(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    peer.ok("CREATE target");
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXPUNGE");
    peer.ok("UID COPY 2 target");
    assert_eq!(peer.ok("UID MOVE 3 target").with(" EXPUNGE"), ["* 2 EXPUNGE"]);
    assert_eq!(peer.ok("SELECT target").one(" EXISTS"), "* 2 EXISTS");
    assert_eq!(peer.text("1", "BODY.PEEK[]"), plain(2));
    assert_eq!(peer.text("2", "BODY.PEEK[]"), plain(3));
}

/// Other sessions are told of each message that EXPUNGE removed, with numbers as they have them.
/// RFC 9051 §6.4.3.
fn rfc9051_6_4_3_others_are_told_of_expunge(s: &Subject<'_>) {
    let mut reader = s.filled(4);
    let mut writer = s.inbox();
    writer.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)");
    writer.ok("EXPUNGE");
    let answer = reader.ok("NOOP");
    let mut left = vec![1, 2, 3, 4];
    for line in answer.with(" EXPUNGE") {
        let number: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
        left.remove(number - 1);
    }
    assert_eq!(left, [3, 4], "{answer:?}");
}

/// To other sessions a moved message is gone from one mailbox and new in the other.
/// RFC 9051 §6.4.8.
fn rfc9051_6_4_8_others_see_a_move_as_expunge_and_exists(s: &Subject<'_>) {
    let mut source = s.filled(2);
    source.ok("CREATE target");
    let mut target = s.login();
    target.ok("SELECT target");
    s.inbox().ok("MOVE 1 target");
    assert_eq!(source.ok("NOOP").with(" EXPUNGE"), ["* 1 EXPUNGE"]);
    assert_eq!(target.ok("NOOP").with(" EXISTS"), ["* 1 EXISTS"]);
}
