//! STATUS, APPEND and IDLE. RFC 9051 §6.3.11 to §6.3.13.

use super::messages::plain;
use super::site::Subject;
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc9051_6_3_11_status_answers_every_item,
        rfc9051_6_3_11_status_changes_nothing,
        rfc9051_6_3_11_status_of_a_missing_mailbox_is_no,
        rfc9051_6_3_11_status_of_the_selected_mailbox,
        rfc9051_6_3_11_status_size_is_not_below_the_sum,
        rfc9051_6_3_11_status_wants_known_items,
        rfc9051_6_3_12_a_flag_list_sets_the_flags,
        rfc9051_6_3_12_a_literal_of_wrong_size_is_not_kept,
        rfc9051_6_3_12_append_does_not_select,
        rfc9051_6_3_12_append_tells_the_uid,
        rfc9051_6_3_12_append_to_a_missing_mailbox_is_trycreate,
        rfc9051_6_3_12_append_to_the_selected_mailbox_is_told,
        rfc9051_6_3_12_append_without_flags_sets_none,
        rfc9051_6_3_12_bad_dates_are_bad,
        rfc9051_6_3_12_eight_bit_text_is_kept,
        rfc9051_6_3_12_nothing_is_added_to_the_message,
        rfc9051_6_3_12_nul_is_refused,
        rfc9051_6_3_12_a_non_synchronizing_literal_is_taken,
        rfc9051_6_3_13_done_ends_idle,
        rfc9051_6_3_13_done_in_any_case,
        rfc9051_6_3_13_idle_asks_to_go_on,
        rfc9051_6_3_13_idle_tells_changes_at_once,
        rfc9051_6_3_13_other_words_end_idle_with_bad,
        rfc9051_6_3_12_each_append_is_told_to_others_once,
    ]);
}

/// STATUS answers each item that was asked for, and no other. RFC 9051 §6.3.11.
fn rfc9051_6_3_11_status_answers_every_item(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.put("INBOX (\\Seen)", &plain(1));
    peer.put("INBOX (\\Deleted)", &plain(2));
    let answer = peer.ok("STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE)");
    let line = answer.one("* STATUS ");
    for item in ["MESSAGES 2", "UIDNEXT 3", "UIDVALIDITY ", "UNSEEN 1", "DELETED 1", "SIZE "] {
        assert!(line.contains(item), "{item}: {line}");
    }
    let answer = peer.ok("STATUS INBOX (UNSEEN)");
    assert!(answer.one("* STATUS ").ends_with(" (UNSEEN 1)"), "{answer:?}");
}

/// SIZE is at least the sum of RFC822.SIZE. RFC 9051 §6.3.11.
fn rfc9051_6_3_11_status_size_is_not_below_the_sum(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.fill("INBOX", 3);
    let sum: usize = (1..=3).map(|number| plain(number).len()).sum();
    let answer = peer.ok("STATUS INBOX (SIZE)");
    let (_, size) = answer.one("* STATUS ").rsplit_once(' ').unwrap();
    assert!(size.trim_end_matches(')').parse::<usize>().unwrap() >= sum, "{answer:?}");
}

/// STATUS selects nothing, and leaves alone what is selected. RFC 9051 §6.3.11.
fn rfc9051_6_3_11_status_changes_nothing(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("CREATE other");
    peer.ok("STATUS other (MESSAGES)");
    assert_eq!(peer.ok("FETCH 1 (UID)").with(" FETCH ").len(), 1);
    let mut peer = s.login();
    peer.ok("STATUS INBOX (MESSAGES)");
    peer.refused("FETCH 1 (UID)");
}

/// STATUS of the selected mailbox works: clients do that. RFC 9051 §6.3.11.
fn rfc9051_6_3_11_status_of_the_selected_mailbox(s: &Subject<'_>) {
    let mut peer = s.filled(2);
    assert!(peer.ok("STATUS INBOX (MESSAGES)").one("* STATUS ").contains("MESSAGES 2"));
}

/// A mailbox that does not exist has no status. RFC 9051 §6.3.11.
fn rfc9051_6_3_11_status_of_a_missing_mailbox_is_no(s: &Subject<'_>) {
    s.login().no("STATUS Absent (MESSAGES)");
}

/// An unknown item, or none at all, is a syntax error. RFC 9051 §6.3.11.
fn rfc9051_6_3_11_status_wants_known_items(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.bad("STATUS INBOX (XYZZY)");
    peer.bad("STATUS INBOX MESSAGES");
    peer.bad("STATUS INBOX");
}

/// The flags of APPEND are the flags of the message. RFC 9051 §6.3.12.
fn rfc9051_6_3_12_a_flag_list_sets_the_flags(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.put("INBOX (\\Seen \\Draft)", &plain(1));
    assert_eq!(peer.flags(1), ["\\Draft", "\\Seen"]);
}

/// Without a flag list the message has no flags. RFC 9051 §6.3.12.
fn rfc9051_6_3_12_append_without_flags_sets_none(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.put("INBOX", &plain(1));
    peer.put("INBOX ()", &plain(2));
    assert_eq!(peer.flags(1), Vec::<String>::new());
    assert_eq!(peer.flags(2), Vec::<String>::new());
}

/// APPEND to a mailbox that does not exist is NO with TRYCREATE, and creates nothing.
/// RFC 9051 §6.3.12.
fn rfc9051_6_3_12_append_to_a_missing_mailbox_is_trycreate(s: &Subject<'_>) {
    let mut peer = s.login();
    let tag = peer.new_tag();
    peer.send(format!("{tag} APPEND Absent {{3+}}\r\nabc\r\n"));
    let answer = peer.finish(&tag);
    assert_eq!((answer.status.as_str(), answer.code.as_str()), ("NO", "TRYCREATE"));
    peer.no("SELECT Absent");
}

/// A message appended to the selected mailbox is told of by EXISTS. RFC 9051 §6.3.12.
fn rfc9051_6_3_12_append_to_the_selected_mailbox_is_told(s: &Subject<'_>) {
    let mut peer = s.inbox();
    let answer = peer.append("INBOX", &plain(1));
    assert_eq!(answer.one(" EXISTS"), "* 1 EXISTS");
}

/// APPEND does not change what is selected. RFC 9051 §6.3.12.
fn rfc9051_6_3_12_append_does_not_select(s: &Subject<'_>) {
    let mut peer = s.filled(2);
    peer.ok("CREATE other");
    peer.put("other", &plain(3));
    assert_eq!(peer.ok("FETCH 1:* (UID)").with(" FETCH ").len(), 2);
}

/// APPENDUID has the mailbox's UIDVALIDITY and the UID under which the message is found.
/// RFC 9051 §6.3.12.
fn rfc9051_6_3_12_append_tells_the_uid(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    let validity = peer.ok("SELECT INBOX").number("UIDVALIDITY");
    let answer = peer.append("INBOX", &plain(7));
    let (code, uid) = answer.code.rsplit_once(' ').unwrap();
    assert_eq!(code, format!("APPENDUID {validity}"));
    let answer = peer.ok(&format!("UID FETCH {uid} (BODY.PEEK[HEADER.FIELDS (SUBJECT)])"));
    assert!(answer.one(" FETCH ").contains("Subject: 7"), "{answer:?}");
}

/// The message is kept as it was sent, octet by octet. RFC 9051 §6.3.12.
fn rfc9051_6_3_12_nothing_is_added_to_the_message(s: &Subject<'_>) {
    let mut peer = s.inbox();
    for (number, message) in
        ["no header at all\r\n", "A: b\r\n\r\n  \t \r\nlast line without end", "Subject: x\r\n\r\n"]
            .into_iter()
            .enumerate()
    {
        peer.put("INBOX", message);
        assert_eq!(peer.text(&(number + 1).to_string(), "BODY.PEEK[]"), message);
    }
}

/// Octets above 127 in a message are kept. RFC 9051 §6.3.12.
fn rfc9051_6_3_12_eight_bit_text_is_kept(s: &Subject<'_>) {
    let mut peer = s.inbox();
    let message = "Subject: gr\u{fc}\u{df}e\r\n\r\n\u{1f600} text\r\n";
    peer.put("INBOX", message);
    assert_eq!(peer.text("1", "BODY.PEEK[]"), message);
}

/// NUL is not allowed in a literal: if it is taken all the same, it never comes back in one.
/// RFC 9051 §6.3.12.
fn rfc9051_6_3_12_nul_is_refused(s: &Subject<'_>) {
    let mut peer = s.inbox();
    let answer = peer.append("INBOX", "Subject: a\0b\r\n\r\nc\0d");
    if answer.status == "OK" {
        // The reader knows that there is none in what it reads.
        peer.ok("FETCH 1 (ENVELOPE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODYSTRUCTURE)");
        peer.ok("FETCH 1 (RFC822.HEADER RFC822 BODY[HEADER.FIELDS (SUBJECT)])");
    }
    assert!(peer.ok("FETCH 1:* (UID)").untagged.len() <= 1);
}

/// A date that does not exist or is not in the right form is a syntax error. RFC 9051 §6.3.12.
fn rfc9051_6_3_12_bad_dates_are_bad(s: &Subject<'_>) {
    for date in ["32-Jan-2020 00:00:00 +0000", "1-Jan-2020", "01-Foo-2020 00:00:00 +0000", ""] {
        let mut peer = s.login();
        let tag = peer.new_tag();
        peer.send(format!("{tag} APPEND INBOX \"{date}\" {{3}}\r\n"));
        assert_eq!(peer.finish(&tag).status, "BAD", "{date}");
    }
}

/// What follows a literal must be the end of the command, else nothing is kept. RFC 9051 §6.3.12.
fn rfc9051_6_3_12_a_literal_of_wrong_size_is_not_kept(s: &Subject<'_>) {
    let mut peer = s.login();
    let tag = peer.new_tag();
    peer.send(format!("{tag} APPEND INBOX {{3}}\r\n"));
    peer.wanted();
    peer.send("abcdef\r\n");
    assert_eq!(peer.finish(&tag).status, "BAD");
    assert_eq!(peer.ok("SELECT INBOX").one(" EXISTS"), "* 0 EXISTS");
}

/// A literal with a plus sign is not asked for. RFC 9051 §6.3.12.
fn rfc9051_6_3_12_a_non_synchronizing_literal_is_taken(s: &Subject<'_>) {
    let mut peer = s.login();
    let message = plain(1);
    peer.send(format!("n APPEND INBOX {{{}+}}\r\n{message}\r\n", message.len()));
    let answer = peer.finish("n");
    assert_eq!(answer.status, "OK", "{answer:?}");
}

/// IDLE is answered by a continuation request first. RFC 9051 §6.3.13.
fn rfc9051_6_3_13_idle_asks_to_go_on(s: &Subject<'_>) {
    let mut peer = s.inbox();
    peer.send("i IDLE\r\n");
    peer.wanted();
    peer.send("DONE\r\n");
    assert_eq!(peer.finish("i").status, "OK");
}

/// While idle, changes are told without a command. RFC 9051 §6.3.13.
fn rfc9051_6_3_13_idle_tells_changes_at_once(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.send("i IDLE\r\n");
    peer.wanted();
    let mut writer = s.inbox();
    writer.put("INBOX", &plain(1));
    while peer.line() != "* 1 EXISTS" {}
    writer.ok("STORE 1 +FLAGS (\\Deleted)");
    while !peer.line().contains("\\Deleted") {}
    writer.ok("EXPUNGE");
    while peer.line() != "* 1 EXPUNGE" {}
    peer.send("DONE\r\n");
    assert_eq!(peer.finish("i").status, "OK");
}

/// DONE ends IDLE with the tagged OK, and commands work again, also in the same packet.
/// RFC 9051 §6.3.13.
fn rfc9051_6_3_13_done_ends_idle(s: &Subject<'_>) {
    let mut peer = s.inbox();
    peer.send("i IDLE\r\n");
    peer.wanted();
    peer.send("DONE\r\nj NOOP\r\n");
    assert_eq!(peer.finish("i").status, "OK");
    assert_eq!(peer.finish("j").status, "OK");
}

/// DONE is the same in any case. RFC 9051 §6.3.13.
fn rfc9051_6_3_13_done_in_any_case(s: &Subject<'_>) {
    let mut peer = s.inbox();
    peer.send("i idle\r\n");
    peer.wanted();
    peer.send("done\r\n");
    assert_eq!(peer.finish("i").status, "OK");
}

/// Another line than DONE is an error, and not carried out. RFC 9051 §6.3.13.
fn rfc9051_6_3_13_other_words_end_idle_with_bad(s: &Subject<'_>) {
    let mut peer = s.inbox();
    peer.send("i IDLE\r\n");
    peer.wanted();
    peer.send("j NOOP\r\n");
    // A server may close instead: what the client means is not to be guessed.
    let mut last = String::new();
    while let Some(line) = peer.line_or_end() {
        let is_bad = line.starts_with("i BAD ");
        last = line;
        if is_bad {
            break;
        }
    }
    assert!(last.starts_with("i BAD ") || last.starts_with("* BYE "), "{last:?}");
}

/// Another session is told of each appended message once. RFC 9051 §6.3.12.
fn rfc9051_6_3_12_each_append_is_told_to_others_once(s: &Subject<'_>) {
    let mut reader = s.inbox();
    let mut writer = s.login();
    writer.put("INBOX", &plain(1));
    writer.put("INBOX", &plain(2));
    let answer = reader.ok("NOOP");
    assert_eq!(answer.with(" EXISTS").last(), Some(&"* 2 EXISTS"), "{answer:?}");
    assert!(reader.ok("NOOP").with(" EXISTS").is_empty());
}
