//! FETCH. RFC 9051 §6.4.5, §7.5.2.

use super::messages::{ADDRESSES, LATIN, NESTED, plain};
use super::peer::Peer;
use super::site::Subject;
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc9051_6_4_5_1_binary_decodes_the_transfer_encoding,
        rfc9051_6_4_5_1_binary_of_an_unknown_encoding_is_refused,
        rfc9051_6_4_5_1_binary_size_is_of_the_decoded_part,
        rfc9051_6_4_5_1_header_fields_match_in_any_case,
        rfc9051_6_4_5_1_header_fields_not_leaves_out,
        rfc9051_6_4_5_1_header_has_its_empty_line,
        rfc9051_6_4_5_1_missing_parts_are_empty_or_nil,
        rfc9051_6_4_5_1_nested_parts_are_numbered,
        rfc9051_6_4_5_1_part_one_of_a_plain_message_is_its_text,
        rfc9051_6_4_5_1_partial_beyond_the_end_is_empty,
        rfc9051_6_4_5_1_partial_is_cut_and_named,
        rfc9051_6_4_5_1_peek_does_not_set_seen,
        rfc9051_6_4_5_1_text_and_mime_of_parts,
        rfc9051_6_4_5_body_sets_seen_and_tells_it,
        rfc9051_6_4_5_items_come_once_each,
        rfc9051_6_4_5_macros_stand_for_their_items,
        rfc9051_6_4_5_macros_stand_alone,
        rfc9051_6_4_5_numbers_out_of_range_are_bad,
        rfc9051_6_4_5_sets_in_any_order,
        rfc9051_6_4_5_unknown_items_are_bad,
        rfc9051_7_5_2_an_envelope_without_sender_has_from,
        rfc9051_7_5_2_an_envelope_without_fields_has_nil,
        rfc9051_7_5_2_body_has_no_extension_data,
        rfc9051_7_5_2_body_of_a_message_part_has_its_envelope,
        rfc9051_7_5_2_bodystructure_counts_octets_and_lines,
        rfc9051_7_5_2_bodystructure_of_a_multipart,
        rfc9051_7_5_2_bodystructure_of_text_has_defaults,
        rfc9051_7_5_2_envelope_addresses_have_four_fields,
        rfc9051_7_5_2_envelope_has_ten_fields_in_order,
        rfc9051_7_5_2_groups_begin_and_end_with_nil,
        rfc9051_7_5_2_internal_date_has_a_zone,
        rfc9051_7_5_2_unsolicited_fetch_has_the_new_flags,
        rfc9051_7_5_2_size_is_that_of_the_whole_message,
        rfc9051_6_4_5_1_header_of_a_message_without_text,
    ]);
}

/// One line of an answer about message 1.
#[track_caller]
fn line(peer: &mut Peer, items: &str) -> String {
    peer.ok(&format!("FETCH 1 {items}")).one("* 1 FETCH ").to_owned()
}

fn with(s: &Subject<'_>, message: &str) -> Peer {
    let mut peer = s.inbox_rev2();
    peer.put("INBOX", message);
    peer
}

/// ALL, FAST and FULL are short for lists of items. RFC 9051 §6.4.5.
fn rfc9051_6_4_5_macros_stand_for_their_items(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    for (name, items) in [
        ("FAST", &["FLAGS ", "INTERNALDATE ", "RFC822.SIZE "][..]),
        ("ALL", &["FLAGS ", "INTERNALDATE ", "RFC822.SIZE ", "ENVELOPE "][..]),
        ("FULL", &["FLAGS ", "INTERNALDATE ", "RFC822.SIZE ", "ENVELOPE ", "BODY "][..]),
    ] {
        let line = line(&mut peer, name);
        for item in items {
            assert_eq!(line.matches(item).count(), 1, "{name}: {line}");
        }
    }
}

/// A macro cannot stand in a list. RFC 9051 §6.4.5.
fn rfc9051_6_4_5_macros_stand_alone(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.bad("FETCH 1 (FAST)");
    peer.bad("FETCH 1 (ALL UID)");
}

/// An item may be asked for alone or in a list, and what was asked for is in the answer.
/// RFC 9051 §6.4.5.
fn rfc9051_6_4_5_items_come_once_each(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    assert_eq!(line(&mut peer, "UID"), "* 1 FETCH (UID 1)");
    assert_eq!(line(&mut peer, "(UID)"), "* 1 FETCH (UID 1)");
    let all = line(&mut peer, "(UID FLAGS RFC822.SIZE)");
    for item in ["UID 1", "FLAGS ()", "RFC822.SIZE "] {
        assert_eq!(all.matches(item).count(), 1, "{all}");
    }
}

/// Items that are not known are syntax errors, and so is an empty list. RFC 9051 §6.4.5.
fn rfc9051_6_4_5_unknown_items_are_bad(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    for items in ["XYZZY", "()", "(UID XYZZY)", "BODY[", "BODY[XYZZY]", "BODY[0]", "BODY[MIME]"] {
        peer.bad(&format!("FETCH 1 {items}"));
    }
    for items in ["BODY[1.0]", "BODY[]<0.0>", "BODY[]<0>", "BODY[HEADER.FIELDS ()]", "ENVELOPE x"] {
        peer.bad(&format!("FETCH 1 {items}"));
    }
}

/// Message numbers that do not exist are an error. RFC 9051 §6.4.5.
fn rfc9051_6_4_5_numbers_out_of_range_are_bad(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(2);
    peer.bad("FETCH 3 (UID)");
    peer.bad("FETCH 0 (UID)");
    peer.bad("FETCH 1,3 (UID)");
    peer.bad("STORE 3 +FLAGS (\\Seen)");
}

/// A range may be written from either end, and a message named twice is fetched once.
/// RFC 9051 §6.4.5.
fn rfc9051_6_4_5_sets_in_any_order(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(4);
    assert_eq!(peer.ok("FETCH 3:2 (UID)").with(" FETCH ").len(), 2);
    assert_eq!(peer.ok("FETCH *:3 (UID)").with(" FETCH ").len(), 2);
    assert_eq!(peer.ok("FETCH 4,1,2:3 (UID)").with(" FETCH ").len(), 4);
    assert_eq!(peer.ok("FETCH * (UID)").one(" FETCH "), "* 4 FETCH (UID 4)");
}

/// BODY[…] marks the message as seen, and the answer tells it. RFC 9051 §6.4.5.
fn rfc9051_6_4_5_body_sets_seen_and_tells_it(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    let answer = peer.ok("FETCH 1 (BODY[TEXT])");
    assert!(answer.untagged.iter().any(|line| line.contains("\\Seen")), "{answer:?}");
    assert_eq!(peer.flags(1), ["\\Seen"]);
}

/// BODY.PEEK[…], BINARY.PEEK[…], ENVELOPE and BODYSTRUCTURE do not mark it. RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_peek_does_not_set_seen(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    peer.ok("FETCH 1 (BODY.PEEK[] BODY.PEEK[1] BINARY.PEEK[1] BINARY.SIZE[1])");
    peer.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE BODY RFC822.SIZE)");
    assert_eq!(peer.flags(1), Vec::<String>::new());
    peer.ok("FETCH 1 (BINARY[1])");
    assert_eq!(peer.flags(1), ["\\Seen"]);
}

/// HEADER ends with the empty line between header and text; together with TEXT it is the message.
/// RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_header_has_its_empty_line(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    let header = peer.text("1", "BODY.PEEK[HEADER]");
    assert!(header.ends_with("\r\n\r\n"), "{header:?}");
    assert_eq!(header + &peer.text("1", "BODY.PEEK[TEXT]"), plain(1));
}

/// HEADER.FIELDS has the named fields only, matched in any case, and the empty line.
/// RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_header_fields_match_in_any_case(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    let got = peer.text("1", "BODY.PEEK[HEADER.FIELDS (sUBJECT to X-None)]");
    assert_eq!(got, "Subject: 1\r\nTo: mooch@example.com\r\n\r\n");
    assert_eq!(peer.text("1", "BODY.PEEK[HEADER.FIELDS (X-None)]"), "\r\n");
}

/// HEADER.FIELDS.NOT has all fields but those. RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_header_fields_not_leaves_out(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    let got = peer.text("1", "BODY.PEEK[HEADER.FIELDS.NOT (Date From TO Message-ID)]");
    assert_eq!(got, "Subject: 1\r\n\r\n");
}

/// A message without parts has a part 1, which is its text. RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_part_one_of_a_plain_message_is_its_text(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    assert_eq!(peer.text("1", "BODY.PEEK[1]"), "message 1\r\n");
}

/// Parts are numbered as they follow each other; the parts of a message within follow its number.
/// RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_nested_parts_are_numbered(s: &Subject<'_>) {
    let mut peer = with(s, NESTED);
    for (part, want) in [
        ("1", "first part"),
        ("2", "AAEC"),
        ("3.1", "three one"),
        ("3.2", "three two"),
        ("4.1", "GIF"),
        ("4.2.1", "four two one"),
        ("4.2.2.1", "plain text"),
        ("4.2.2.2", "rich text"),
    ] {
        assert_eq!(peer.text("1", &format!("BODY.PEEK[{part}]")), want, "{part}");
    }
}

/// HEADER and TEXT of a part are those of the message in it; MIME is the header of the part.
/// RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_text_and_mime_of_parts(s: &Subject<'_>) {
    let mut peer = with(s, NESTED);
    let header = peer.text("1", "BODY.PEEK[3.HEADER]");
    assert!(header.starts_with("From: b@example.org\r\nSubject: inner\r\n"), "{header:?}");
    assert!(header.ends_with("\r\n\r\n"), "{header:?}");
    assert!(peer.text("1", "BODY.PEEK[3.TEXT]").starts_with("--b1\r\n"));
    let whole = header + &peer.text("1", "BODY.PEEK[3.TEXT]");
    assert_eq!(peer.text("1", "BODY.PEEK[3]"), whole);
    let mime = peer.text("1", "BODY.PEEK[4.1.MIME]");
    assert_eq!(mime, "Content-Type: image/gif\r\nContent-ID: <gif@example.org>\r\n\r\n");
    let subject = peer.text("1", "BODY.PEEK[4.2.HEADER.FIELDS (Subject)]");
    assert_eq!(subject, "Subject: innermost\r\n\r\n");
}

/// A part that is not there is answered with NIL or an empty string, or refused; never made up.
/// RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_missing_parts_are_empty_or_nil(s: &Subject<'_>) {
    let mut peer = with(s, NESTED);
    for section in ["9", "1.1", "4.9.1"] {
        let answer = peer.ask(&format!("FETCH 1 (BODY.PEEK[{section}])"));
        for line in answer.with(" FETCH ") {
            let is_empty = ["NIL)", "\"\")", "{0}\r\n)"].iter().any(|end| line.ends_with(end));
            assert!(is_empty, "{section}: {line}");
        }
    }
}

/// A partial fetch has its origin in the answer and at most so many octets. RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_partial_is_cut_and_named(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    let got = line(&mut peer, "BODY.PEEK[TEXT]<0.4>");
    assert!(got.contains("BODY[TEXT]<0> "), "{got}");
    assert!(got.contains("mess") && !got.contains("messa"), "{got}");
    let got = line(&mut peer, "BODY.PEEK[TEXT]<8.99>");
    assert!(got.contains("BODY[TEXT]<8> ") && got.contains("1\r\n"), "{got}");
    assert_eq!(peer.text("1", "BODY.PEEK[]<5.6>"), &plain(1)[5..11]);
}

/// A partial fetch that begins behind the end has an empty string. RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_partial_beyond_the_end_is_empty(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    let got = line(&mut peer, "BODY.PEEK[TEXT]<9999.10>");
    assert!(got.ends_with(" \"\")") || got.ends_with(" {0}\r\n)"), "{got}");
    assert!(got.contains("BODY[TEXT]<9999> "), "{got}");
}

/// BINARY has the octets without their transfer encoding, in a literal8 if there is a NUL.
/// RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_binary_decodes_the_transfer_encoding(s: &Subject<'_>) {
    let mut peer = with(s, NESTED);
    let got = line(&mut peer, "(BINARY.PEEK[2])");
    assert!(got.contains("BINARY[2] ~{3}\r\n\0\u{1}\u{2})"), "{got:?}");
    let mut peer = s.rev2();
    peer.ok("CREATE latin");
    peer.put("latin", LATIN);
    peer.ok("SELECT latin");
    // The charset stays as it is: one octet for the letter, which the reader shows as U+FFFD.
    assert!(line(&mut peer, "(BINARY.PEEK[1])").contains("M\u{fffd}nchen="));
}

/// BINARY.SIZE is the number of octets that BINARY has. RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_binary_size_is_of_the_decoded_part(s: &Subject<'_>) {
    let mut peer = with(s, NESTED);
    assert!(line(&mut peer, "(BINARY.SIZE[2])").contains("BINARY.SIZE[2] 3"));
    assert!(line(&mut peer, "(BINARY.SIZE[1])").contains("BINARY.SIZE[1] 10"));
}

/// A part in an encoding that is not known is refused with UNKNOWN-CTE. RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_binary_of_an_unknown_encoding_is_refused(s: &Subject<'_>) {
    let mut peer = with(s, "Subject: x\r\nContent-Transfer-Encoding: x-odd\r\n\r\ntext\r\n");
    assert_eq!(peer.no("FETCH 1 (BINARY.PEEK[1])").code, "UNKNOWN-CTE");
    peer.ok("FETCH 1 (BODY.PEEK[1])");
}

/// Date, subject, from, sender, reply-to, to, cc, bcc, in-reply-to, message-id, in this order.
/// RFC 9051 §7.5.2.
fn rfc9051_7_5_2_envelope_has_ten_fields_in_order(s: &Subject<'_>) {
    let mut peer = with(s, ADDRESSES);
    let got = line(&mut peer, "ENVELOPE");
    let order = [
        "(\"Mon, 7 Feb 1994 21:52:25 -0800\" \"who\" ((\"Joe Q. Public\"",
        "\"secretary\"",
        "\"boss\"",
        "\"A Group\"",
        "\"Mary\"",
        "\"hidden\"",
        "\"<before@example.org>\" \"<now@example.org>\")",
    ];
    let at: Vec<Option<usize>> = order.iter().map(|part| got.find(part)).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{at:?}: {got}");
}

/// An address is a name, a source route that is NIL, a mailbox and a host. RFC 9051 §7.5.2.
fn rfc9051_7_5_2_envelope_addresses_have_four_fields(s: &Subject<'_>) {
    let mut peer = with(s, ADDRESSES);
    let got = line(&mut peer, "ENVELOPE");
    assert!(got.contains("((\"Joe Q. Public\" NIL \"john.q.public\" \"example.com\"))"), "{got}");
    assert!(got.contains("((NIL NIL \"secretary\" \"example.com\"))"), "{got}");
}

/// A group begins with an address without host whose mailbox is its name, and ends with all NIL.
/// RFC 9051 §7.5.2.
fn rfc9051_7_5_2_groups_begin_and_end_with_nil(s: &Subject<'_>) {
    let mut peer = with(s, ADDRESSES);
    let got = line(&mut peer, "ENVELOPE");
    let want = "((NIL NIL \"A Group\" NIL)(\"Ed Jones\" NIL \"joe\" \"where.test\")\
                (\"John\" NIL \"jdoe\" \"one.test\")(NIL NIL NIL NIL))";
    assert!(got.contains(want), "{got}");
}

/// Where Sender and Reply-To are missing, the addresses of From stand for them. RFC 9051 §7.5.2.
fn rfc9051_7_5_2_an_envelope_without_sender_has_from(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    let got = line(&mut peer, "ENVELOPE");
    let from = "((\"Fred Foobar\" NIL \"fred\" \"example.org\"))";
    assert!(got.contains(&format!("{from} {from} {from}")), "{got}");
}

/// What is not in the header is NIL, what is there and empty is an empty string. RFC 9051 §7.5.2.
fn rfc9051_7_5_2_an_envelope_without_fields_has_nil(s: &Subject<'_>) {
    let mut peer = with(s, "X-Nothing: here\r\n\r\n");
    let got = line(&mut peer, "ENVELOPE");
    assert!(got.ends_with("ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL))"), "{got}");
    let mut peer = s.rev2();
    peer.ok("CREATE empty");
    peer.put("empty", "Subject:\r\n\r\n");
    peer.ok("SELECT empty");
    let got = line(&mut peer, "ENVELOPE");
    assert!(got.contains("ENVELOPE (NIL \"\" NIL"), "{got}");
}

/// A message that says nothing about its type is text, in US-ASCII and 7BIT. RFC 9051 §7.5.2.
fn rfc9051_7_5_2_bodystructure_of_text_has_defaults(s: &Subject<'_>) {
    let mut peer = s.filled_rev2(1);
    let got = line(&mut peer, "BODY").to_uppercase();
    let want = "BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 11 1))";
    assert!(got.contains(want), "{got}");
}

/// Sizes are octets in the transfer encoding; text has its lines after them. RFC 9051 §7.5.2.
fn rfc9051_7_5_2_bodystructure_counts_octets_and_lines(s: &Subject<'_>) {
    let mut peer = with(s, LATIN);
    let got = line(&mut peer, "BODYSTRUCTURE").to_uppercase();
    let want = "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"ISO-8859-1\") NIL NIL \"QUOTED-PRINTABLE\" 14 1";
    assert!(got.contains(want), "{got}");
}

/// A multipart is the list of its parts, then its subtype, then its parameters. RFC 9051 §7.5.2.
fn rfc9051_7_5_2_bodystructure_of_a_multipart(s: &Subject<'_>) {
    let mut peer = with(s, NESTED);
    let got = line(&mut peer, "BODYSTRUCTURE");
    assert!(got.contains("BODYSTRUCTURE ((\""), "{got}");
    let lower = got.to_lowercase();
    assert!(lower.contains(" \"mixed\" (\"boundary\" \"b0\")"), "{got}");
    assert!(lower.contains(" \"alternative\" (\"boundary\" \"b4\")"), "{got}");
}

/// BODY is the structure without extension data. RFC 9051 §7.5.2.
fn rfc9051_7_5_2_body_has_no_extension_data(s: &Subject<'_>) {
    let mut peer = with(s, NESTED);
    // The reader takes no extension data in BODY; here it is that there is some without them.
    let got = line(&mut peer, "BODY").to_lowercase();
    assert!(got.ends_with(" \"mixed\"))") && !got.contains("b0"), "{got}");
}

/// A part that is a message has its envelope, its structure and its lines after its size.
/// RFC 9051 §7.5.2.
fn rfc9051_7_5_2_body_of_a_message_part_has_its_envelope(s: &Subject<'_>) {
    let mut peer = with(s, NESTED);
    let got = line(&mut peer, "BODY");
    let (_, message) = got.split_once("(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" ").unwrap();
    let (size, rest) = message.split_once(" (").unwrap();
    size.parse::<u32>().unwrap();
    assert!(rest.starts_with("NIL \"inner\" ((NIL NIL \"b\" \"example.org\"))"), "{rest}");
}

/// INTERNALDATE has day, time and zone. RFC 9051 §7.5.2.
fn rfc9051_7_5_2_internal_date_has_a_zone(s: &Subject<'_>) {
    let mut peer = s.inbox_rev2();
    peer.put("INBOX \"17-Jul-1996 02:44:25 -0700\"", &plain(1));
    let date = peer.text("1", "INTERNALDATE");
    assert_eq!(date, "17-Jul-1996 02:44:25 -0700");
}

/// A FETCH response that nobody asked for tells of flags that another session changed.
/// RFC 9051 §7.5.2.
fn rfc9051_7_5_2_unsolicited_fetch_has_the_new_flags(s: &Subject<'_>) {
    let mut reader = s.filled_rev2(1);
    s.inbox().ok("STORE 1 +FLAGS (\\Answered)");
    let answer = reader.ok("NOOP");
    assert!(answer.one("* 1 FETCH ").contains("FLAGS (\\Answered)"), "{answer:?}");
}

/// RFC822.SIZE is the number of octets of BODY[], for messages of each kind. RFC 9051 §7.5.2.
fn rfc9051_7_5_2_size_is_that_of_the_whole_message(s: &Subject<'_>) {
    for message in [NESTED, ADDRESSES, LATIN, "no header\r\n", "Subject: no end"] {
        let mut peer = s.login();
        peer.ok("CREATE one");
        peer.put("one", message);
        peer.ok("SELECT one");
        let whole = peer.text("1", "BODY.PEEK[]");
        assert_eq!(whole, message);
        let size = format!("RFC822.SIZE {})", whole.len());
        assert!(line(&mut peer, "(RFC822.SIZE)").contains(&size), "{size}");
        peer.ok("CLOSE");
        peer.ok("DELETE one");
    }
}

/// A message that is only a header has an empty text. RFC 9051 §6.4.5.1.
fn rfc9051_6_4_5_1_header_of_a_message_without_text(s: &Subject<'_>) {
    let mut peer = with(s, "Subject: x\r\n\r\n");
    assert_eq!(peer.text("1", "BODY.PEEK[HEADER]"), "Subject: x\r\n\r\n");
    assert_eq!(peer.text("1", "BODY.PEEK[TEXT]"), "");
    assert_eq!(peer.text("1", "BODY.PEEK[1]"), "");
}
