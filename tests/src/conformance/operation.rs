//! Size updates, unilateral responses, pipelining and the status responses. RFC 9051 §5.2 to §5.5,
//! §7.

use super::messages::plain;
use super::peer::flags_of;
use super::site::Subject;
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc9051_5_2_exists_is_sent_when_messages_arrive,
        rfc9051_5_2_flags_of_others_are_told,
        rfc9051_5_2_sizes_shrink_only_by_expunge,
        rfc9051_5_3_what_is_unasked_may_come_at_any_time,
        rfc9051_5_5_commands_are_done_in_order,
        rfc9051_5_5_numbers_stay_until_expunge_is_told,
        rfc9051_5_5_pipelined_literals_are_told_apart,
        rfc9051_5_5_uid_commands_may_tell_of_expunge,
        rfc9051_7_1_1_ok_greets,
        rfc9051_7_1_2_no_has_a_code_for_what_exists,
        rfc9051_7_1_3_bad_without_a_tag_is_untagged,
        rfc9051_7_1_5_bye_comes_before_the_end,
        rfc9051_7_1_each_line_is_well_formed,
        rfc9051_7_1_expungeissued_or_nothing,
        rfc9051_7_1_uidnotsticky_is_not_sent,
        rfc9051_7_3_1_a_list_has_the_name_as_given,
        rfc9051_7_3_5_flags_has_the_system_flags,
        rfc9051_7_4_1_exists_is_sent_after_select_and_change,
        rfc9051_7_5_1_expunge_is_not_sent_during_fetch,
        rfc9051_7_5_1_expunge_is_not_sent_during_search,
        rfc9051_7_5_1_expunge_is_not_sent_during_store,
        rfc9051_7_6_a_continuation_is_only_sent_when_needed,
    ]);
}

/// New messages are told of by EXISTS with the next command, whatever it is. RFC 9051 §5.2.
fn rfc9051_5_2_exists_is_sent_when_messages_arrive(s: &Subject<'_>) {
    let mut reader = s.filled(1);
    let mut writer = s.login();
    for (number, command) in
        ["NOOP", "STATUS Sent (MESSAGES)", "LIST \"\" INBOX"].iter().enumerate()
    {
        writer.put("INBOX", &plain(number));
        let want = format!("* {} EXISTS", number + 2);
        let mut told = reader.ok(command).untagged;
        told.extend(reader.ok("NOOP").untagged);
        assert!(told.contains(&want), "{command}: {told:?}");
    }
}

/// The number of messages gets smaller by EXPUNGE only, never by EXISTS. RFC 9051 §5.2.
fn rfc9051_5_2_sizes_shrink_only_by_expunge(s: &Subject<'_>) {
    let mut reader = s.filled(4);
    let mut writer = s.inbox();
    writer.ok("STORE 1,3 +FLAGS (\\Deleted)");
    writer.ok("EXPUNGE");
    writer.put("INBOX", &plain(5));
    let mut size = 4;
    for line in reader.ok("NOOP").untagged {
        if line.ends_with(" EXPUNGE") {
            size -= 1;
        } else if let Some(exists) = line.strip_suffix(" EXISTS") {
            let exists: u32 = exists[2..].parse().unwrap();
            assert!(exists >= size, "{exists} after {size}");
            size = exists;
        }
    }
    assert_eq!(size, 3);
}

/// Flags that another session changes are told of. RFC 9051 §5.2.
fn rfc9051_5_2_flags_of_others_are_told(s: &Subject<'_>) {
    let mut reader = s.filled_rev2(2);
    s.inbox().ok("STORE 2 +FLAGS.SILENT (\\Flagged mine)");
    let answer = reader.ok("NOOP");
    assert_eq!(flags_of(answer.one("* 2 FETCH ")), ["\\Flagged", "mine"]);
}

/// Responses that nobody asked for may come with the answer to any command, and do not disturb it.
/// RFC 9051 §5.3.
fn rfc9051_5_3_what_is_unasked_may_come_at_any_time(s: &Subject<'_>) {
    let mut reader = s.filled(2);
    s.login().put("INBOX", &plain(3));
    let answer = reader.ok("FETCH 1:2 (UID)");
    let fetched = answer.with(" FETCH (UID ");
    assert!(fetched.contains(&"* 1 FETCH (UID 1)"), "{answer:?}");
    assert!(fetched.contains(&"* 2 FETCH (UID 2)"), "{answer:?}");
}

/// Commands that are sent at once are carried out one after the other. RFC 9051 §5.5.
fn rfc9051_5_5_commands_are_done_in_order(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(3);
    peer.send(
        "a STORE 1 +FLAGS (\\Deleted)\r\nb EXPUNGE\r\nc FETCH 1 (UID)\r\nd SEARCH ALL\r\n\
         e STORE 1 FLAGS (\\Seen)\r\nf FETCH 1 (FLAGS)\r\n",
    );
    assert_eq!(peer.finish("a").status, "OK");
    assert_eq!(peer.finish("b").with(" EXPUNGE"), ["* 1 EXPUNGE"]);
    assert!(peer.finish("c").one("* 1 FETCH ").contains("UID 2"));
    assert!(peer.finish("d").one("* ESEARCH ").ends_with(" ALL 1:2"));
    assert_eq!(peer.finish("e").status, "OK");
    assert_eq!(flags_of(peer.finish("f").one("* 1 FETCH ")), ["\\Seen"]);
}

/// Commands behind a literal that was not asked for begin after it. RFC 9051 §5.5.
fn rfc9051_5_5_pipelined_literals_are_told_apart(s: &Subject<'_>) {
    let mut peer = s.login();
    let message = "Subject: b NOOP\r\n\r\nc LOGOUT\r\n";
    let size = message.len();
    peer.send(format!("a APPEND INBOX {{{size}+}}\r\n{message}\r\nd SELECT INBOX\r\n"));
    assert_eq!(peer.finish("a").status, "OK");
    assert_eq!(peer.finish("d").one(" EXISTS"), "* 1 EXISTS");
    assert_eq!(peer.text("1", "BODY.PEEK[]"), message);
}

/// Until EXPUNGE is told, numbers mean what they meant, though the message may be gone.
/// RFC 9051 §5.5.
fn rfc9051_5_5_numbers_stay_until_expunge_is_told(s: &Subject<'_>) {
    let mut reader = s.filled(3);
    let mut writer = s.inbox();
    writer.ok("STORE 1 +FLAGS (\\Deleted)");
    writer.ok("EXPUNGE");
    assert!(reader.ask("FETCH 3 (UID)").one("* 3 FETCH ").contains("UID 3"));
    assert_eq!(reader.ok("NOOP").with(" EXPUNGE"), ["* 1 EXPUNGE"]);
    assert!(reader.ok("FETCH 2 (UID)").one("* 2 FETCH ").contains("UID 3"));
}

/// The UID commands carry UIDs in their answers, so they may tell of EXPUNGE, each once.
/// RFC 9051 §5.5.
fn rfc9051_5_5_uid_commands_may_tell_of_expunge(s: &Subject<'_>) {
    let mut reader = s.filled(3);
    let mut writer = s.inbox();
    writer.ok("STORE 1 +FLAGS (\\Deleted)");
    writer.ok("EXPUNGE");
    let mut told = reader.ask("UID FETCH 3 (UID FLAGS)").untagged;
    told.extend(reader.ok("NOOP").untagged);
    assert_eq!(told.iter().filter(|line| line.ends_with(" EXPUNGE")).count(), 1, "{told:?}");
}

/// A server greets with an untagged OK. RFC 9051 §7.1.1.
fn rfc9051_7_1_1_ok_greets(s: &Subject<'_>) {
    assert!(s.dial().line().starts_with("* OK "));
    assert!(s.dial_tls().line().starts_with("* OK "));
}

/// ALREADYEXISTS tells that a mailbox is there already, NONEXISTENT that it is not.
/// RFC 9051 §7.1.2.
fn rfc9051_7_1_2_no_has_a_code_for_what_exists(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE a");
    peer.ok("CREATE b");
    assert_eq!(peer.no("CREATE a").code, "ALREADYEXISTS");
    assert_eq!(peer.no("RENAME a b").code, "ALREADYEXISTS");
    assert_eq!(peer.no("DELETE c").code, "NONEXISTENT");
    assert_eq!(peer.no("RENAME c d").code, "NONEXISTENT");
}

/// An error that belongs to no command is an untagged BAD. RFC 9051 §7.1.3.
fn rfc9051_7_1_3_bad_without_a_tag_is_untagged(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.send("\r\n");
    assert!(peer.line().starts_with("* BAD "));
    peer.ok("NOOP");
}

/// The server never closes without a BYE before it. RFC 9051 §7.1.5.
fn rfc9051_7_1_5_bye_comes_before_the_end(s: &Subject<'_>) {
    // Somebody who speaks another protocol is sent away.
    let mut peer = s.connect();
    peer.send("GET / HTTP/1.1\r\n\r\n");
    let mut last = String::new();
    while let Some(line) = peer.line_or_end() {
        let is_over = line.starts_with("GET BAD ");
        last = line;
        if is_over {
            break;
        }
    }
    assert!(last.starts_with("* BYE ") || last.starts_with("GET BAD "), "{last}");
}

/// Every response of a whole session follows the formal syntax. RFC 9051 §7.1.
fn rfc9051_7_1_each_line_is_well_formed(s: &Subject<'_>) {
    // The reader holds each line against it, in every case; here are commands that no other has.
    for mut peer in [s.filled(2), s.filled_rev2(2)] {
        peer.ok("CHECK");
        peer.ok("LIST \"\" * RETURN (SUBSCRIBED CHILDREN SPECIAL-USE STATUS (UNSEEN SIZE))");
        peer.ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" * RETURN (CHILDREN)");
        peer.ok("FETCH 1:* (FLAGS ENVELOPE BODY BODYSTRUCTURE INTERNALDATE RFC822.SIZE)");
        peer.ok("UID SEARCH RETURN (MIN MAX COUNT ALL) OR SEEN UNSEEN");
        peer.ok("LOGOUT");
    }
}

/// If a message of a FETCH is gone meanwhile, the server says so or leaves it out; it does not
/// renumber. RFC 9051 §7.1.
fn rfc9051_7_1_expungeissued_or_nothing(s: &Subject<'_>) {
    let mut reader = s.filled(3);
    let mut writer = s.inbox();
    writer.ok("STORE 2 +FLAGS (\\Deleted)");
    writer.ok("EXPUNGE");
    let answer = reader.ask("FETCH 1:3 (RFC822.SIZE UID)");
    assert!(answer.one("* 1 FETCH ").contains("UID 1"), "{answer:?}");
    assert!(answer.one("* 3 FETCH ").contains("UID 3"), "{answer:?}");
    assert!(answer.with(" EXPUNGE").is_empty(), "{answer:?}");
}

/// A mailbox whose UIDs are kept is not called one that loses them. RFC 9051 §7.1.
fn rfc9051_7_1_uidnotsticky_is_not_sent(s: &Subject<'_>) {
    let mut peer = s.login();
    let answer = peer.ok("SELECT INBOX");
    assert!(answer.with("UIDNOTSTICKY").is_empty(), "{answer:?}");
}

/// A pattern without wildcards is answered with the name as it was given. RFC 9051 §7.3.1.
fn rfc9051_7_3_1_a_list_has_the_name_as_given(s: &Subject<'_>) {
    let mut peer = s.rev2();
    for name in ["Mixed/Case", "\"two words\""] {
        peer.ok(&format!("CREATE {name}"));
        let answer = peer.ok(&format!("LIST \"\" {name}"));
        assert!(answer.one("* LIST ").ends_with(name), "{answer:?}");
    }
}

/// FLAGS has the five system flags. RFC 9051 §7.3.5.
fn rfc9051_7_3_5_flags_has_the_system_flags(s: &Subject<'_>) {
    let answer = s.rev2().ok("SELECT INBOX");
    let line = answer.one("* FLAGS (");
    for flag in ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"] {
        assert!(line.contains(flag), "{flag}: {line}");
    }
    assert!(!line.contains("\\Recent"), "{line}");
}

/// EXISTS comes with SELECT and EXAMINE, and when the number changes. RFC 9051 §7.4.1.
fn rfc9051_7_4_1_exists_is_sent_after_select_and_change(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.ok("SELECT INBOX").one("* 0 EXISTS");
    peer.append("INBOX", &plain(1)).one("* 1 EXISTS");
    peer.ok("EXAMINE INBOX").one("* 1 EXISTS");
    assert!(peer.ok("NOOP").with(" EXISTS").is_empty());
}

/// No EXPUNGE comes in answer to FETCH. RFC 9051 §7.5.1.
fn rfc9051_7_5_1_expunge_is_not_sent_during_fetch(s: &Subject<'_>) {
    expunge_is_kept_back(s, "FETCH 1:* (FLAGS)");
}

/// No EXPUNGE comes in answer to STORE. RFC 9051 §7.5.1.
fn rfc9051_7_5_1_expunge_is_not_sent_during_store(s: &Subject<'_>) {
    expunge_is_kept_back(s, "STORE 1:* +FLAGS (\\Seen)");
}

/// No EXPUNGE comes in answer to SEARCH. RFC 9051 §7.5.1.
fn rfc9051_7_5_1_expunge_is_not_sent_during_search(s: &Subject<'_>) {
    expunge_is_kept_back(s, "SEARCH SUBJECT 1");
}

#[track_caller]
fn expunge_is_kept_back(s: &Subject<'_>, command: &str) {
    let mut reader = s.filled(3);
    let mut writer = s.inbox();
    writer.ok("STORE 1,3 +FLAGS (\\Deleted)");
    writer.ok("EXPUNGE");
    let answer = reader.ask(command);
    assert!(answer.with(" EXPUNGE").is_empty(), "{answer:?}");
    assert_eq!(reader.ok("NOOP").with(" EXPUNGE").len(), 2);
}

/// No continuation request comes for a literal that was not to be asked for. RFC 9051 §7.6.
fn rfc9051_7_6_a_continuation_is_only_sent_when_needed(s: &Subject<'_>) {
    let mut peer = s.login();
    // `finish` refuses continuation requests.
    peer.send("a CREATE {3+}\r\nbox\r\nb STATUS {3+}\r\nbox (MESSAGES)\r\n");
    assert_eq!(peer.finish("a").status, "OK");
    assert_eq!(peer.finish("b").status, "OK");
}
