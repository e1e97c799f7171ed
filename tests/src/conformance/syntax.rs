//! Data formats, names of mailboxes and the formal syntax of commands. RFC 9051 §4, §5.1, §9.

use super::messages::plain;
use super::peer::Peer;
use super::site::Subject;
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc9051_4_1_atoms_have_no_special_characters,
        rfc9051_4_1_1_sequence_sets_are_well_formed,
        rfc9051_4_2_numbers_are_32_bits,
        rfc9051_4_3_an_empty_literal_is_an_empty_string,
        rfc9051_4_3_literals_stand_for_any_string,
        rfc9051_4_3_quoted_strings_have_two_escapes,
        rfc9051_4_3_quoted_strings_stay_on_a_line,
        rfc9051_4_3_what_is_not_ascii_is_quoted_in_rev2,
        rfc9051_4_4_lists_are_closed,
        rfc9051_4_5_nil_is_a_name_like_others,
        rfc9051_5_1_a_listed_name_can_be_used,
        rfc9051_5_1_levels_are_separated,
        rfc9051_5_1_names_are_utf8_in_rev2,
        rfc9051_5_1_names_are_unicode_normalized,
        rfc9051_5_1_names_with_wildcards_are_not_made_of_atoms,
        rfc9051_5_1_what_is_not_utf8_is_no_name,
        rfc9051_9_a_bracket_is_part_of_an_astring,
        rfc9051_9_a_day_may_be_one_digit_with_a_space,
        rfc9051_9_a_literal8_only_where_it_may_stand,
        rfc9051_9_commands_are_case_insensitive,
        rfc9051_9_control_characters_are_refused,
        rfc9051_9_flags_without_parentheses,
        rfc9051_9_long_lines_are_taken,
        rfc9051_9_nothing_follows_the_arguments,
        rfc9051_9_zero_is_no_message_number,
        rfc3501_5_1_3_a_name_in_modified_utf7_is_that_name,
        rfc3501_5_1_3_an_ampersand_is_written_as_two_characters,
        rfc3501_5_1_3_malformed_names_are_refused,
        rfc3501_5_1_3_names_are_listed_in_modified_utf7,
        rfc9051_4_3_a_refused_literal_is_not_taken_for_commands,
        rfc9051_4_4_empty_lists_only_where_they_may_stand,
    ]);
}

/// An atom has no parentheses, braces, wildcards, quotes, backslashes or spaces. RFC 9051 §4.1.
fn rfc9051_4_1_atoms_have_no_special_characters(s: &Subject<'_>) {
    let mut peer = s.login();
    for name in ["a(b", "a)b", "a{b", "a%b", "a*b", "a\"b", "a\\b"] {
        peer.bad(&format!("CREATE {name}"));
    }
}

/// A sequence set is numbers and ranges, separated by commas. RFC 9051 §4.1.1.
fn rfc9051_4_1_1_sequence_sets_are_well_formed(s: &Subject<'_>) {
    let mut peer = s.filled(3);
    for set in ["1,", ",1", "1:", ":1", "1::2", "1:2:3", "-1", "1-2", "1 2", "a", "", "1,,2", "**"]
    {
        peer.bad(&format!("FETCH {set} (UID)"));
    }
    for set in ["1", "1:*", "*:*", "1,2,3", "1:2,3", "*"] {
        peer.ok(&format!("FETCH {set} (UID)"));
    }
}

/// Numbers go up to 4,294,967,295. RFC 9051 §4.2.
fn rfc9051_4_2_numbers_are_32_bits(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("UID FETCH 4294967295 (FLAGS)");
    peer.bad("UID FETCH 4294967296 (FLAGS)");
    peer.bad("UID FETCH 18446744073709551617 (FLAGS)");
    peer.ok("SEARCH LARGER 4294967295");
}

/// A literal may stand wherever a quoted string may. RFC 9051 §4.3.
fn rfc9051_4_3_literals_stand_for_any_string(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    assert_eq!(peer.ask_parts(&["CREATE {3}", "box"]).status, "OK");
    assert_eq!(peer.ask_parts(&["LIST {0}", " {3}", "box"]).untagged.len(), 1);
    assert_eq!(peer.ask_parts(&["STATUS {3}", "box (MESSAGES)"]).status, "OK");
    assert_eq!(peer.ask_parts(&["SEARCH SUBJECT {1}", "1"]).with("* SEARCH 1").len(), 1);
    assert_eq!(peer.ask_parts(&["COPY 1 {3}", "box"]).status, "OK");
    let answer = peer.ask_parts(&["FETCH 1 (BODY.PEEK[HEADER.FIELDS ({7}", "Subject)])"]);
    assert_eq!(answer.status, "OK", "{answer:?}");
}

/// `{0}` is the empty string, as `""` is. RFC 9051 §4.3.
fn rfc9051_4_3_an_empty_literal_is_an_empty_string(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    assert_eq!(peer.ask_parts(&["LIST {0}", " \"\""]).untagged.len(), 1);
    assert_eq!(peer.ask_parts(&["SEARCH HEADER SUBJECT {0}", ""]).with("* SEARCH 1").len(), 1);
}

/// In a quoted string a quote and a backslash are escaped, and nothing else. RFC 9051 §4.3.
fn rfc9051_4_3_quoted_strings_have_two_escapes(s: &Subject<'_>) {
    let mut peer = s.inbox();
    peer.put("INBOX", "Subject: a \"b\" c\\d\r\n\r\n");
    peer.ok("NOOP");
    for search in [r#""a \"b\"""#, r#""c\\d""#] {
        assert_eq!(peer.ok(&format!("SEARCH SUBJECT {search}")).one("* SEARCH"), "* SEARCH 1");
    }
    peer.bad(r#"SEARCH SUBJECT "a\bc""#);
    // The reader takes the escapes away again.
    assert!(peer.ok("FETCH 1 (ENVELOPE)").one(" FETCH ").contains(r#""a \"b\" c\\d""#));
}

/// A quoted string ends on its line. RFC 9051 §4.3.
fn rfc9051_4_3_quoted_strings_stay_on_a_line(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.bad("SELECT \"INBOX");
    peer.bad("SELECT \"");
    peer.ok("NOOP");
}

/// With IMAP4rev2, 8-bit text may stand in quoted strings; before, it is in literals.
/// RFC 9051 §4.3.
fn rfc9051_4_3_what_is_not_ascii_is_quoted_in_rev2(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.put("INBOX", "Subject: gr\u{fc}n\r\n\r\n");
    peer.ok("SELECT INBOX");
    // The reader refuses 8-bit text in quoted strings as long as rev2 is not enabled.
    assert!(peer.ok("FETCH 1 (ENVELOPE)").one(" FETCH ").contains("{5}\r\ngr\u{fc}n"));
    let mut peer = s.inbox_rev2();
    assert!(peer.ok("FETCH 1 (ENVELOPE)").one(" FETCH ").contains("gr\u{fc}n"));
    peer.ok("SEARCH SUBJECT \"gr\u{fc}n\"").one(" ALL 1");
}

/// A list ends with a parenthesis, and has one space between its items. RFC 9051 §4.4.
fn rfc9051_4_4_lists_are_closed(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    for items in ["(UID", "(UID FLAGS", "UID)", "((UID))", "(UID)(FLAGS)", "(UID,FLAGS)"] {
        peer.bad(&format!("FETCH 1 {items}"));
    }
}

/// Where a string is expected, NIL is that text. RFC 9051 §4.5.
fn rfc9051_4_5_nil_is_a_name_like_others(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE NIL");
    peer.ok("SELECT NIL");
    let answer = peer.ok("LIST \"\" NIL");
    assert!(answer.one("* LIST ").to_uppercase().contains("NIL"), "{answer:?}");
    peer.ok("DELETE \"NIL\"");
}

#[track_caller]
fn listed(peer: &mut Peer, pattern: &str) -> String {
    let answer = peer.ok(&format!("LIST \"\" {pattern}"));
    answer.one("* LIST ").split_once(" \"/\" ").unwrap().1.to_owned()
}

/// What LIST returns as a name can be sent back as it is. RFC 9051 §5.1.
fn rfc9051_5_1_a_listed_name_can_be_used(s: &Subject<'_>) {
    for mut peer in [s.login(), s.rev2()] {
        let rev = if peer.is_rev2 { "two" } else { "one" };
        for name in ["with space", "R&D", "a]b", "(x)", "semi;colon", "quo't"] {
            let name = if peer.is_rev2 { name.to_owned() } else { name.replace('&', "&-") };
            peer.ok(&format!("CREATE \"{rev}/{name}\""));
            let got = listed(&mut peer, &format!("\"{rev}/{name}\""));
            peer.ok(&format!("SELECT {got}"));
            peer.ok("UNSELECT");
            peer.ok(&format!("DELETE {got}"));
        }
    }
}

/// Levels of names are separated by the delimiter, and empty ones are refused or left out.
/// RFC 9051 §5.1.
fn rfc9051_5_1_levels_are_separated(s: &Subject<'_>) {
    let mut peer = s.login();
    for name in ["a//b", "/a", "//"] {
        peer.ask(&format!("CREATE {name}"));
    }
    let answer = peer.ok("LIST \"\" *");
    assert!(answer.with("//").is_empty(), "{answer:?}");
    assert!(answer.with("\"/\" /").is_empty(), "{answer:?}");
}

/// With IMAP4rev2 names are UTF-8. RFC 9051 §5.1.
fn rfc9051_5_1_names_are_utf8_in_rev2(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.ok("CREATE \"\u{65e5}\u{672c}\u{8a9e}\"");
    assert!(listed(&mut peer, "\"%\u{672c}%\"").contains("\u{65e5}\u{672c}\u{8a9e}"));
    let answer = peer.ask_parts(&["SELECT {9}", "\u{65e5}\u{672c}\u{8a9e}"]);
    assert_eq!(answer.status, "OK", "{answer:?}");
    // A name with an ampersand is just that.
    peer.ok("CREATE \"R&D\"");
    assert!(listed(&mut peer, "R*").contains("R&D"));
}

/// Two spellings of the same Unicode text are not two mailboxes. RFC 9051 §5.1.
fn rfc9051_5_1_names_are_unicode_normalized(s: &Subject<'_>) {
    let mut peer = s.rev2();
    peer.ok("CREATE \"caf\u{e9}\"");
    // The same with a combining accent is refused, or is the same mailbox.
    if peer.ask("SELECT \"cafe\u{301}\"").status == "OK" {
        peer.no("CREATE \"cafe\u{301}\"");
    }
}

/// A name with a wildcard is quoted, if it is allowed at all. RFC 9051 §5.1.
fn rfc9051_5_1_names_with_wildcards_are_not_made_of_atoms(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.bad("CREATE a*b");
    peer.bad("CREATE a%b");
    if peer.ask("CREATE \"a*b\"").status == "OK" {
        peer.ok("SELECT \"a*b\"");
    }
}

/// Octets that are not UTF-8 are no name of a mailbox. RFC 9051 §5.1.
fn rfc9051_5_1_what_is_not_utf8_is_no_name(s: &Subject<'_>) {
    let mut peer = s.rev2();
    for bytes in [&b"\xff\xfe"[..], b"a\xc0\x80b", b"\xed\xa0\x80"] {
        let tag = peer.new_tag();
        peer.send(format!("{tag} CREATE {{{}+}}\r\n", bytes.len()));
        peer.send([bytes, b"\r\n"].concat());
        assert_ne!(peer.finish(&tag).status, "OK");
    }
}

/// Names of commands, items, flags and keys are the same in any case. RFC 9051 §9.
fn rfc9051_9_commands_are_case_insensitive(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("noop");
    peer.ok("sElEcT inbox");
    peer.ok("uid fetch 1:* (flags body.peek[header.fields (from)])");
    peer.ok("Search Unseen From fred");
    peer.ok("sToRe 1 +fLaGs.SiLeNt (\\sEEN)");
    peer.ok("status Inbox (messages)");
}

/// A closing bracket may stand in a name without quotes. RFC 9051 §9.
fn rfc9051_9_a_bracket_is_part_of_an_astring(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE a]b");
    peer.ok("SELECT \"a]b\"");
}

/// The day of a date-time has two characters; the first of one digit is a space. RFC 9051 §9.
fn rfc9051_9_a_day_may_be_one_digit_with_a_space(s: &Subject<'_>) {
    let mut peer = s.inbox();
    peer.put("INBOX \" 7-Feb-1994 01:02:03 +0000\"", &plain(1));
    assert_eq!(peer.text("1", "INTERNALDATE").trim_start_matches([' ', '0']).len(), 25);
    // One character too few is another syntax.
    peer.bad("APPEND INBOX \"7-Feb-1994 01:02:03 +0000\" {3}");
}

/// `~{n}` stands only where binary data may. RFC 9051 §9.
fn rfc9051_9_a_literal8_only_where_it_may_stand(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.bad("CREATE ~{3+}\r\nabc");
    peer.ok("NOOP");
    let tag = peer.new_tag();
    peer.send(format!("{tag} APPEND INBOX ~{{18+}}\r\nSubject: x\r\n\r\n\0\u{1}\r\n\r\n"));
    let answer = peer.finish(&tag);
    assert!(answer.status == "OK" || answer.code == "UNKNOWN-CTE", "{answer:?}");
}

/// NUL and a lone CR are refused in commands. RFC 9051 §9.
fn rfc9051_9_control_characters_are_refused(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.refused("CREATE \"a\0b\"");
    peer.refused("CREATE \"a\rb\"");
    peer.ok("NOOP");
}

/// STORE takes flags with and without parentheses. RFC 9051 §9.
fn rfc9051_9_flags_without_parentheses(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.ok("STORE 1 FLAGS \\Seen \\Flagged");
    assert_eq!(peer.flags(1), ["\\Flagged", "\\Seen"]);
    peer.bad("STORE 1 FLAGS");
    peer.bad("STORE 1 +FLAGS (\\*)");
}

/// A command line of 8,000 octets is understood. RFC 9051 §9.
fn rfc9051_9_long_lines_are_taken(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    let set: Vec<String> = (1000..2590).map(|uid| uid.to_string()).collect();
    let command = format!("UID FETCH 1,{} (FLAGS)", set.join(","));
    assert!((7_900..=8_000).contains(&command.len()), "{}", command.len());
    assert_eq!(peer.ok(&command).with(" FETCH ").len(), 1);
}

/// After the last argument the line ends. RFC 9051 §9.
fn rfc9051_9_nothing_follows_the_arguments(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    for command in ["NOOP x", "SELECT INBOX x", "CLOSE x", "FETCH 1 (UID) x", "COPY 1 INBOX x"] {
        peer.bad(command);
    }
    for command in ["CREATE a b", "RENAME a", "RENAME a b c", "EXPUNGE 1", "UID EXPUNGE"] {
        peer.bad(command);
    }
}

/// 0 is no number of a message, and numbers have no zero in front. RFC 9051 §9.
fn rfc9051_9_zero_is_no_message_number(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.bad("FETCH 0 (UID)");
    peer.bad("UID FETCH 0:1 (FLAGS)");
    peer.bad("FETCH 01 (UID)");
    peer.bad("SEARCH UID 0");
}

/// With IMAP4rev1 a name in modified UTF-7 is the Unicode text that it encodes. RFC 3501 §5.1.3.
fn rfc3501_5_1_3_a_name_in_modified_utf7_is_that_name(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE mail/&U,BTFw-/&ZeVnLIqe-");
    peer.ok("SELECT mail/&U,BTFw-/&ZeVnLIqe-");
    let mut other = s.rev2();
    other.ok("SELECT \"mail/\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}\"");
}

/// With IMAP4rev1 names are sent in modified UTF-7, and never in 8 bits. RFC 3501 §5.1.3.
fn rfc3501_5_1_3_names_are_listed_in_modified_utf7(s: &Subject<'_>) {
    s.rev2().ok("CREATE \"\u{65e5}\u{672c}\u{8a9e}\"");
    let mut peer = s.login();
    assert_eq!(listed(&mut peer, "&ZeVnLIqe-"), "&ZeVnLIqe-");
    let answer = peer.ok("STATUS &ZeVnLIqe- (MESSAGES)");
    assert!(answer.one("* STATUS ").contains("&ZeVnLIqe-"), "{answer:?}");
}

/// `&-` stands for an ampersand. RFC 3501 §5.1.3.
fn rfc3501_5_1_3_an_ampersand_is_written_as_two_characters(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.ok("CREATE R&-D");
    assert_eq!(listed(&mut peer, "R*"), "R&-D");
    s.rev2().ok("SELECT R&D");
}

/// What is not modified UTF-7 is refused: shifts without end, superfluous ones, encoded ASCII.
/// RFC 3501 §5.1.3.
fn rfc3501_5_1_3_malformed_names_are_refused(s: &Subject<'_>) {
    let mut peer = s.login();
    for name in ["a&b", "&Jjo!", "&ZeVnLIqe", "&AGE-", "&U,BTFw-&ZeVnLIqe-", "&2AA-", "&A-"] {
        peer.refused(&format!("CREATE {name}"));
    }
}

/// The octets of a literal that was not asked for are no commands, even if the command is refused.
/// RFC 9051 §4.3.
fn rfc9051_4_3_a_refused_literal_is_not_taken_for_commands(s: &Subject<'_>) {
    for command in ["XYZZY", "CREATE a b", "FETCH"] {
        let mut peer = s.login();
        peer.send(format!("a {command} {{10+}}\r\nb LOGOUT\r\n\r\nc NOOP\r\n"));
        assert_ne!(peer.finish("a").status, "OK", "{command}");
        // The server reads on after the literal, or says BYE.
        let next = peer.line();
        assert!(next.starts_with("c OK ") || next.starts_with("* BYE "), "{command}: {next}");
    }
}

/// An empty list is refused where one item at least is wanted. RFC 9051 §4.4.
fn rfc9051_4_4_empty_lists_only_where_they_may_stand(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.bad("FETCH 1 ()");
    peer.bad("SEARCH ()");
    peer.bad("FETCH 1 (BODY.PEEK[HEADER.FIELDS ()])");
    peer.ok("STORE 1 FLAGS ()");
    peer.ok("LIST \"\" * RETURN ()");
}
