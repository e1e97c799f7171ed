//! Commands, responses, attributes of messages and states. RFC 9051 §2, §3.

use super::messages::plain;
use super::peer::flags_of;
use super::site::{PASSWORD, Subject};
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc9051_2_2_1_a_literal_is_asked_for,
        rfc9051_2_2_1_a_literal_that_is_too_large_is_refused_at_once,
        rfc9051_2_2_1_a_refused_command_is_over,
        rfc9051_2_2_1_a_tag_comes_back_as_it_was,
        rfc9051_2_2_1_a_tag_with_plus_is_refused,
        rfc9051_2_2_1_a_line_without_a_tag_is_refused,
        rfc9051_2_2_1_an_unknown_command_is_bad,
        rfc9051_2_2_1_two_literals_in_one_command,
        rfc9051_2_2_2_a_response_ends_the_command_with_its_tag,
        rfc9051_2_2_2_errors_leave_the_session_usable,
        rfc9051_2_2_2_others_changes_come_unasked,
        rfc9051_2_3_1_1_a_deleted_mailbox_gets_new_uids,
        rfc9051_2_3_1_1_a_renamed_away_name_gets_new_uids,
        rfc9051_2_3_1_1_a_uid_does_not_change_in_a_session,
        rfc9051_2_3_1_1_a_uid_is_not_used_twice,
        rfc9051_2_3_1_1_uidnext_does_not_go_back,
        rfc9051_2_3_1_1_uidnext_is_above_every_uid,
        rfc9051_2_3_1_1_uids_ascend_strictly,
        rfc9051_2_3_1_1_uids_stay_between_sessions,
        rfc9051_2_3_1_1_uidvalidity_stays_between_sessions,
        rfc9051_2_3_1_2_numbers_are_gapless,
        rfc9051_2_3_1_2_numbers_move_up_after_expunge,
        rfc9051_2_3_2_flags_are_kept_for_good,
        rfc9051_2_3_2_flags_in_any_case_are_one,
        rfc9051_2_3_2_keywords_are_kept,
        rfc9051_2_3_2_recent_cannot_be_set,
        rfc9051_2_3_2_unknown_system_flags_are_refused,
        rfc9051_2_3_3_copy_keeps_the_internal_date,
        rfc9051_2_3_3_internal_date_is_kept,
        rfc9051_2_3_3_internal_date_without_one_is_now,
        rfc9051_2_3_4_size_is_of_the_message_as_sent,
        rfc9051_3_1_commands_of_later_states_are_refused,
        rfc9051_3_2_login_commands_are_refused_later,
        rfc9051_3_2_selected_commands_need_a_mailbox,
        rfc9051_3_4_after_logout_the_server_closes,
        rfc9051_3_a_session_that_is_not_logged_in_stays_so_after_errors,
        rfc9051_2_2_bytes_may_come_in_any_pieces,
        rfc9051_2_3_1_1_a_copy_has_the_next_uid,
    ]);
}

/// A synchronizing literal is answered by a continuation request before it is sent.
/// RFC 9051 §2.2.1.
fn rfc9051_2_2_1_a_literal_is_asked_for(s: &Subject<'_>) {
    let mut peer = s.connect();
    let user = s.user();
    let answer =
        peer.ask_parts(&[&format!("LOGIN {{{}}}", user.len()), &format!("{user} \"{PASSWORD}\"")]);
    assert_eq!(answer.status, "OK", "{answer:?}");
}

/// A command with several literals is asked for each of them. RFC 9051 §2.2.1.
fn rfc9051_2_2_1_two_literals_in_one_command(s: &Subject<'_>) {
    let mut peer = s.connect();
    let (user, size) = (s.user(), PASSWORD.len());
    let answer = peer.ask_parts(&[
        &format!("LOGIN {{{}}}", user.len()),
        &format!("{user} {{{size}}}"),
        PASSWORD,
    ]);
    assert_eq!(answer.status, "OK", "{answer:?}");
}

/// Where a literal will not be taken, the tagged refusal comes instead of the continuation request.
/// RFC 9051 §2.2.1.
fn rfc9051_2_2_1_a_literal_that_is_too_large_is_refused_at_once(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.bad("CREATE {99999999}");
    peer.bad("APPEND INBOX {99999999999999999999}");
    peer.ok("NOOP");
}

/// After a tagged BAD nothing of the command is waited for: the next line is a new command.
/// RFC 9051 §2.2.1.
fn rfc9051_2_2_1_a_refused_command_is_over(s: &Subject<'_>) {
    let mut peer = s.inbox();
    peer.bad("SELECT");
    peer.ok("NOOP");
    peer.bad("FETCH 1 (FLAGS");
    peer.ok("NOOP");
}

/// The tagged response has the tag of the command, octet by octet. RFC 9051 §2.2.1.
fn rfc9051_2_2_1_a_tag_comes_back_as_it_was(s: &Subject<'_>) {
    let mut peer = s.connect();
    for tag in ["A", "0", "aBc.123", "x-1_]", "<!#$&',-./:;=?@[^`|}~>", "a23456789b123456789"] {
        peer.send(format!("{tag} NOOP\r\n"));
        assert_eq!(peer.finish(tag).status, "OK");
    }
}

/// A tag has no plus sign: what begins with one looks like a continuation. RFC 9051 §2.2.1.
fn rfc9051_2_2_1_a_tag_with_plus_is_refused(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.send("a+b NOOP\r\n");
    let line = peer.line();
    assert!(line.starts_with("* BAD ") || line.starts_with("a BAD "), "{line}");
    peer.ok("NOOP");
}

/// A line that is no command at all is refused with an untagged BAD. RFC 9051 §2.2.1.
fn rfc9051_2_2_1_a_line_without_a_tag_is_refused(s: &Subject<'_>) {
    let mut peer = s.login();
    for line in ["\r\n", " NOOP\r\n", "* NOOP\r\n"] {
        peer.send(line);
        let answer = peer.line();
        assert!(answer.starts_with("* BAD "), "{line:?}: {answer}");
    }
    peer.ok("NOOP");
}

/// A command that does not exist is answered BAD. RFC 9051 §2.2.1.
fn rfc9051_2_2_1_an_unknown_command_is_bad(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.bad("XYZZY");
    peer.bad("NOOPX");
    peer.bad("UID");
    let mut peer = s.inbox();
    peer.bad("UID XYZZY 1");
}

/// Each command is ended by exactly one response with its tag, in the order of the commands.
/// RFC 9051 §2.2.2.
fn rfc9051_2_2_2_a_response_ends_the_command_with_its_tag(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.send("a NOOP\r\nb CAPABILITY\r\nc XYZZY\r\nd NOOP\r\n");
    let statuses = ["a", "b", "c", "d"].map(|tag| peer.finish(tag).status);
    assert_eq!(statuses, ["OK", "OK", "BAD", "OK"]);
}

/// After NO and BAD the session goes on in the state it was in. RFC 9051 §2.2.2.
fn rfc9051_2_2_2_errors_leave_the_session_usable(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.no("COPY 1 Absent");
    peer.bad("FETCH x (FLAGS)");
    assert_eq!(peer.ok("FETCH 1 (UID)").with(" FETCH ").len(), 1);
}

/// What other sessions change is told by untagged responses without being asked for.
/// RFC 9051 §2.2.2.
fn rfc9051_2_2_2_others_changes_come_unasked(s: &Subject<'_>) {
    let mut reader = s.inbox();
    s.login().put("INBOX", &plain(1));
    assert_eq!(reader.ok("NOOP").one(" EXISTS"), "* 1 EXISTS");
}

fn uids(lines: &[String]) -> Vec<u32> {
    let uid = |line: &String| {
        let (_, rest) = line.split_once("UID ")?;
        rest.split([' ', ')']).next()?.parse().ok()
    };
    lines.iter().filter_map(uid).collect()
}

/// Each message that is added gets a higher UID than all before it. RFC 9051 §2.3.1.1.
fn rfc9051_2_3_1_1_uids_ascend_strictly(s: &Subject<'_>) {
    let mut peer = s.filled(5);
    let all = uids(&peer.ok("FETCH 1:* (UID)").untagged);
    assert_eq!(all.len(), 5);
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
}

/// A UID does not change while the mailbox is selected, whatever becomes of other messages.
/// RFC 9051 §2.3.1.1.
fn rfc9051_2_3_1_1_a_uid_does_not_change_in_a_session(s: &Subject<'_>) {
    let mut peer = s.filled(4);
    let before = uids(&peer.ok("FETCH 1:* (UID)").untagged);
    peer.ok("STORE 2 +FLAGS (\\Deleted)");
    peer.ok("EXPUNGE");
    peer.put("INBOX", &plain(5));
    let after = uids(&peer.ok("FETCH 1:3 (UID)").untagged);
    assert_eq!(after, [before[0], before[2], before[3]]);
}

/// UIDs are the same in later sessions as long as UIDVALIDITY is. RFC 9051 §2.3.1.1.
fn rfc9051_2_3_1_1_uids_stay_between_sessions(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    let before = uids(&peer.ok("FETCH 1:* (UID)").untagged);
    peer.ok("LOGOUT");
    assert_eq!(uids(&s.inbox().ok("FETCH 1:* (UID)").untagged), before);
}

/// UIDVALIDITY is the same in each session as long as no UID changed. RFC 9051 §2.3.1.1.
fn rfc9051_2_3_1_1_uidvalidity_stays_between_sessions(s: &Subject<'_>) {
    let first = s.login().ok("SELECT INBOX").number("UIDVALIDITY");
    s.login().put("INBOX", &plain(1));
    assert_eq!(s.login().ok("SELECT INBOX").number("UIDVALIDITY"), first);
    assert_eq!(s.rev2().ok("EXAMINE INBOX").number("UIDVALIDITY"), first);
}

/// The UID of a message that is gone, even of the last one, is not given to another.
/// RFC 9051 §2.3.1.1.
fn rfc9051_2_3_1_1_a_uid_is_not_used_twice(s: &Subject<'_>) {
    let mut peer = s.inbox();
    let gone = peer.put("INBOX", &plain(1));
    peer.ok("STORE 1 +FLAGS (\\Deleted)");
    peer.ok("EXPUNGE");
    peer.ok("LOGOUT");
    assert!(s.login().put("INBOX", &plain(2)) > gone);
}

/// The next UID is higher than that of each message, and the next message gets it or a higher one.
/// RFC 9051 §2.3.1.1.
fn rfc9051_2_3_1_1_uidnext_is_above_every_uid(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    let last = u64::from(*uids(&peer.ok("FETCH * (UID)").untagged).last().unwrap());
    let next = peer.ok("SELECT INBOX").number("UIDNEXT");
    assert!(next > last, "{next} after {last}");
    assert!(peer.put("INBOX", &plain(4)) >= next);
}

/// The next UID is not lowered when messages are removed, and changes when one is added.
/// RFC 9051 §2.3.1.1.
fn rfc9051_2_3_1_1_uidnext_does_not_go_back(s: &Subject<'_>) {
    let mut peer = s.filled(2);
    let before = peer.ok("SELECT INBOX").number("UIDNEXT");
    peer.ok("STORE 1:* +FLAGS (\\Deleted)");
    peer.ok("EXPUNGE");
    assert_eq!(peer.ok("SELECT INBOX").number("UIDNEXT"), before);
    peer.put("INBOX", &plain(3));
    assert!(peer.ok("SELECT INBOX").number("UIDNEXT") > before);
}

/// A mailbox that is deleted and made anew has another, higher UIDVALIDITY. RFC 9051 §2.3.1.1.
fn rfc9051_2_3_1_1_a_deleted_mailbox_gets_new_uids(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE again");
    let first = peer.ok("EXAMINE again").number("UIDVALIDITY");
    peer.ok("UNSELECT");
    peer.ok("DELETE again");
    peer.ok("CREATE again");
    assert!(peer.ok("EXAMINE again").number("UIDVALIDITY") > first);
}

/// A name that another mailbox had before it was renamed does not get that one's UIDVALIDITY.
/// RFC 9051 §2.3.1.1.
fn rfc9051_2_3_1_1_a_renamed_away_name_gets_new_uids(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE old");
    let first = peer.ok("EXAMINE old").number("UIDVALIDITY");
    peer.ok("RENAME old new");
    peer.ok("CREATE old");
    assert_ne!(peer.ok("EXAMINE old").number("UIDVALIDITY"), first);
}

/// Messages are numbered from 1 to their count without gaps. RFC 9051 §2.3.1.2.
fn rfc9051_2_3_1_2_numbers_are_gapless(s: &Subject<'_>) {
    let mut peer = s.filled(4);
    let answer = peer.ok("FETCH 1:* (UID)");
    let numbers: Vec<&str> =
        answer.untagged.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(numbers, ["1", "2", "3", "4"]);
}

/// When a message is removed, those behind it move up by one. RFC 9051 §2.3.1.2.
fn rfc9051_2_3_1_2_numbers_move_up_after_expunge(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    let before = uids(&peer.ok("FETCH 1:* (UID)").untagged);
    peer.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    assert_eq!(peer.ok("EXPUNGE").with(" EXPUNGE"), ["* 1 EXPUNGE"]);
    assert_eq!(uids(&peer.ok("FETCH 1:2 (UID)").untagged), before[1..]);
}

/// Flags that may be kept for good are the same in the next session. RFC 9051 §2.3.2.
fn rfc9051_2_3_2_flags_are_kept_for_good(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("STORE 1 FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)");
    peer.ok("LOGOUT");
    let flags = s.inbox_rev2().flags(1);
    assert_eq!(flags, ["\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen"]);
}

/// Flags are the same in upper and lower case. RFC 9051 §2.3.2.
fn rfc9051_2_3_2_flags_in_any_case_are_one(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.put("INBOX", &plain(1));
    peer.ok("STORE 1 FLAGS (\\SEEN \\seen $Forwarded $FORWARDED)");
    let flags: Vec<String> = peer.flags(1).iter().map(|flag| flag.to_lowercase()).collect();
    assert_eq!(flags, ["$forwarded", "\\seen"]);
    peer.ok("STORE 1 -FLAGS (\\sEEN $forwarded)");
    assert_eq!(peer.flags(1), Vec::<String>::new());
}

/// Keywords can be set if PERMANENTFLAGS has `\*`, and then are kept. RFC 9051 §2.3.2.
fn rfc9051_2_3_2_keywords_are_kept(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    let permanent = peer.ok("SELECT INBOX").one("[PERMANENTFLAGS ").to_owned();
    assert!(permanent.contains("\\*"), "{permanent}");
    peer.ok("STORE 1 +FLAGS (mine $MDNSent)");
    peer.ok("LOGOUT");
    let flags: Vec<String> =
        s.inbox_rev2().flags(1).iter().map(|flag| flag.to_lowercase()).collect();
    assert_eq!(flags, ["$mdnsent", "mine"]);
}

/// A client cannot change `\Recent`. RFC 9051 §2.3.2.
fn rfc9051_2_3_2_recent_cannot_be_set(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.put("INBOX", &plain(1));
    peer.ask("STORE 1 +FLAGS (\\Recent)");
    let flags = peer.flags(1);
    assert!(!flags.iter().any(|flag| flag.eq_ignore_ascii_case("\\recent")), "{flags:?}");
}

/// What begins with a backslash is a system flag, and there are no others than the standard's.
/// RFC 9051 §2.3.2.
fn rfc9051_2_3_2_unknown_system_flags_are_refused(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.refused("STORE 1 +FLAGS (\\Mine)");
    let answer = peer.ok("FETCH 1 (FLAGS)");
    assert!(!flags_of(answer.one(" FETCH ")).iter().any(|flag| flag.contains("Mine")));
}

/// The internal date given to APPEND is the message's, with its zone. RFC 9051 §2.3.3.
fn rfc9051_2_3_3_internal_date_is_kept(s: &Subject<'_>) {
    let mut peer = s.inbox();
    peer.put("INBOX \"17-Jul-1996 02:44:25 -0700\"", &plain(1));
    let date = peer.text("1", "INTERNALDATE");
    assert_eq!(date, "17-Jul-1996 02:44:25 -0700");
}

/// Without a date APPEND takes the current time. RFC 9051 §2.3.3.
fn rfc9051_2_3_3_internal_date_without_one_is_now(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    // The message's own date is of 1994.
    assert_eq!(peer.ok("SEARCH SINCE 1-Jan-2020").one("* SEARCH"), "* SEARCH 1");
}

/// COPY keeps the internal date. RFC 9051 §2.3.3.
fn rfc9051_2_3_3_copy_keeps_the_internal_date(s: &Subject<'_>) {
    let mut peer = s.inbox();
    peer.put("INBOX \" 7-Feb-1994 21:52:25 -0800\"", &plain(1));
    peer.ok("CREATE copies");
    peer.ok("COPY 1 copies");
    peer.ok("SELECT copies");
    assert_eq!(peer.text("1", "INTERNALDATE").trim_start(), "7-Feb-1994 21:52:25 -0800");
}

/// RFC822.SIZE is the number of octets that the whole message has when it is fetched.
/// RFC 9051 §2.3.4.
fn rfc9051_2_3_4_size_is_of_the_message_as_sent(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    let message = peer.text("1", "BODY.PEEK[]");
    assert_eq!(message, plain(1));
    let answer = peer.ok("FETCH 1 (RFC822.SIZE)");
    assert!(answer.one(" FETCH ").contains(&format!("RFC822.SIZE {})", message.len())));
}

/// Before login, commands that need one are refused. RFC 9051 §3.1.
fn rfc9051_3_1_commands_of_later_states_are_refused(s: &Subject<'_>) {
    let mut peer = s.connect();
    for command in ["SELECT INBOX", "LIST \"\" *", "STATUS INBOX (MESSAGES)", "ENABLE IMAP4rev2"] {
        peer.refused(command);
    }
    for command in ["CREATE a", "DELETE a", "FETCH 1 (FLAGS)", "SEARCH ALL", "CLOSE", "NAMESPACE"] {
        peer.refused(command);
    }
}

/// Once logged in, the commands that log in are refused. RFC 9051 §3.2.
fn rfc9051_3_2_login_commands_are_refused_later(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.refused(&format!("LOGIN {} \"{PASSWORD}\"", s.user()));
    peer.refused("AUTHENTICATE PLAIN");
    peer.refused("STARTTLS");
    peer.ok("NOOP");
}

/// Without a selected mailbox the commands on messages are refused. RFC 9051 §3.2.
fn rfc9051_3_2_selected_commands_need_a_mailbox(s: &Subject<'_>) {
    let mut peer = s.login();
    for command in ["CLOSE", "UNSELECT", "EXPUNGE", "SEARCH ALL", "FETCH 1 (FLAGS)"] {
        peer.refused(command);
    }
    for command in ["STORE 1 FLAGS ()", "COPY 1 a", "MOVE 1 a", "UID FETCH 1 (FLAGS)"] {
        peer.refused(command);
    }
}

/// After LOGOUT the server says BYE, then OK, then closes. RFC 9051 §3.4.
fn rfc9051_3_4_after_logout_the_server_closes(s: &Subject<'_>) {
    let mut peer = s.inbox();
    assert!(peer.ok("LOGOUT").one("* BYE").starts_with("* BYE "));
    peer.closed();
}

/// A failed login leaves the session where it was, and it can be tried again. RFC 9051 §3.
fn rfc9051_3_a_session_that_is_not_logged_in_stays_so_after_errors(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.no(&format!("LOGIN {} wrong", s.user()));
    peer.refused("SELECT INBOX");
    peer.ok(&format!("LOGIN {} \"{PASSWORD}\"", s.user()));
    peer.ok("SELECT INBOX");
}

/// A command is the same whatever pieces it comes in. RFC 9051 §2.2.
fn rfc9051_2_2_bytes_may_come_in_any_pieces(s: &Subject<'_>) {
    let mut peer = s.login();
    for byte in b"piece SELECT \"INBOX\"\r\n" {
        peer.send([*byte]);
    }
    assert_eq!(peer.finish("piece").code, "READ-WRITE");
    peer.send("lit STATUS {5}\r");
    peer.send("\n");
    peer.wanted();
    for piece in ["IN", "BO", "X (MESS", "AGES)\r", "\n"] {
        peer.send(piece);
    }
    peer.finish("lit").one("* STATUS ");
}

/// A copy gets the next UID of its mailbox, like any message that is added. RFC 9051 §2.3.1.1.
fn rfc9051_2_3_1_1_a_copy_has_the_next_uid(s: &Subject<'_>) {
    let mut peer = s.filled(2);
    peer.ok("CREATE target");
    let first = peer.put("target", &plain(1));
    let answer = peer.ok("COPY 1:2 target");
    assert!(answer.code.ends_with(&format!(" {}:{}", first + 1, first + 2)), "{answer:?}");
    assert!(peer.put("target", &plain(2)) > first + 2);
}
