//! What the driver must see of a message's header.

use mox_base::{Address, Domain};
use mox_mailauth::results;
use mox_mime::{
    Field, MESSAGE_ID_BYTES_MAX, SUBJECT_BYTES_MAX, canonical_message_id, decode_header, fields,
    first_field, from_address, select_fields, unfold,
};
use mox_smtp::submission::{EXTRA_FIELDS_MAX, EXTRA_PREFIX, HeaderFacts};

/// How much of a first line is waited for before it is judged, in bytes: the longest line of
/// RFC 5322 §2.1.1, with its end.
pub(crate) const FIRST_LINE_BYTES_MAX: usize = 1_000;

/// Whether enough has come to judge the first line.
pub(crate) fn has_first_line(start: &[u8]) -> bool {
    start.len() >= FIRST_LINE_BYTES_MAX || start.contains(&b'\n')
}

/// Whether the message starts with a header section, be it an empty one.
///
/// If it does not, an empty line must be put before it: else the fields that we add would end where
/// its text goes on, and a blank at its start would make that text part of our last field.
pub(crate) fn starts_with_header(start: &[u8]) -> bool {
    start.starts_with(b"\r\n") || fields(start).next().is_some_and(|field| !field.name.is_empty())
}

/// The address in `From`, if there is one and no more. RFC 5322 §3.6.2.
pub(crate) fn from(header: &[u8]) -> Option<Address> {
    from_address(header).ok()
}

/// The canonical Message-ID. RFC 5322 §3.6.4.
pub(crate) fn message_id(header: &[u8]) -> Option<String> {
    first_field(header, "Message-Id").and_then(canonical_message_id).map(|found| found.id)
}

/// The Message-ID as it is, with its brackets; empty if it has none. RFC 5322 §3.6.4.
pub(crate) fn bracketed_id(section: &[u8]) -> String {
    let value = first_field(section, "Message-Id").map(unfold).unwrap_or_default();
    let text = String::from_utf8_lossy(&value);
    let id = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    let id = id.filter(|(id, _)| id.len() <= MESSAGE_ID_BYTES_MAX);
    id.map(|(id, _)| format!("<{id}>")).unwrap_or_default()
}

/// The Subject, decoded; empty if there is none. RFC 5322 §3.6.5.
pub(crate) fn subject(section: &[u8]) -> String {
    let mut subject = first_field(section, "Subject").map(decode_header).unwrap_or_default();
    subject.truncate(subject.floor_char_boundary(SUBJECT_BYTES_MAX));
    subject
}

/// What a submitted message has in its header. RFC 6409 §6, §8.
pub(crate) fn facts(header: &[u8]) -> HeaderFacts {
    let from = from(header).map(|address| Some(vec![address])).into_iter().collect();
    let mut facts = HeaderFacts { from, ..HeaderFacts::default() };
    let text = |value: &[u8]| String::from_utf8_lossy(&unfold(value)).into_owned();
    for field in fields(header) {
        facts.has_message_id |= field.is("Message-Id");
        facts.has_date |= field.is("Date");
        facts.has_return_path |= field.is("Return-Path");
        if field.is("TLS-Required") {
            facts.tls_required.push(text(field.value));
        }
        // One more than are taken, for that to be seen.
        if is_extra(&field) && facts.extra.len() <= EXTRA_FIELDS_MAX {
            facts.extra.push((text(field.name), text(field.value)));
        }
    }
    facts
}

fn is_extra(field: &Field<'_>) -> bool {
    let start = field.name.get(..EXTRA_PREFIX.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(EXTRA_PREFIX.as_bytes()))
}

/// The header without `Bcc`, if it has any: who else gets a message in secret must not be told by
/// it. RFC 5322 §3.6.3, §3.6.6.
pub(crate) fn without_bcc(header: &[u8]) -> Option<Vec<u8>> {
    const SECRET: [&str; 2] = ["Bcc", "Resent-Bcc"];
    let has_bcc = fields(header).any(|field| SECRET.iter().any(|name| field.is(name)));
    has_bcc.then(|| select_fields(header, &SECRET, true))
}

/// The header without `Authentication-Results` that claim to be ours, if it has any: who trusts them
/// trusts those of this server, and nobody else may write them. RFC 8601 §5.
pub(crate) fn without_forged_results(header: &[u8], hostname: &Domain) -> Option<Vec<u8>> {
    let is_forged = |field: &Field<'_>| {
        field.is("Authentication-Results") && results::is_from(field.value, hostname)
    };
    let forged: Vec<_> = fields(header).filter(is_forged).map(|field| field.lines()).collect();
    if forged.is_empty() {
        return None;
    }
    let mut kept = Vec::with_capacity(header.len());
    let mut at = 0;
    for lines in forged {
        kept.extend_from_slice(header.get(at..lines.start).unwrap_or_default());
        at = lines.end;
    }
    kept.extend_from_slice(header.get(at..).unwrap_or_default());
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_forged(header: &str, want: Option<&str>) {
        let ours = Domain::parse("mx.example").unwrap();
        let got = without_forged_results(header.as_bytes(), &ours);
        assert_eq!(got.as_deref(), want.map(str::as_bytes), "{header:?}");
    }

    /// RFC 8601 §5.
    #[test]
    fn nobody_else_speaks_in_our_name() {
        let ours = "Authentication-Results: mx.example; spf=pass\r\n";
        check_forged(&format!("A: b\r\n{ours}C: d\r\n\r\n"), Some("A: b\r\nC: d\r\n\r\n"));
        let two =
            format!("{ours}A: b\r\nauthentication-results: (x) MX.example 1;\r\n none\r\n\r\n");
        check_forged(&two, Some("A: b\r\n\r\n"));
        check_forged(ours, Some(""));
        check_forged("Authentication-Results: x.mx.example; spf=pass\r\n\r\n", None);
        check_forged("X-Authentication-Results: mx.example; spf=pass\r\n\r\n", None);
        check_forged("A: b\r\n\r\nAuthentication-Results: mx.example; spf=pass\r\n", None);
        check_forged("", None);
    }

    #[track_caller]
    fn check(start: &str, want: bool) {
        assert_eq!(starts_with_header(start.as_bytes()), want, "{start:?}");
    }

    /// RFC 5322 §2.2, §3.6.8.
    #[test]
    fn a_header_starts_with_a_field_or_is_empty() {
        check("Subject: x\r\n", true);
        check("X:\r\n", true);
        check("\r\nbody\r\n", true);
        check("Subject : x\r\n", true);
        check(&format!("A:{}", "x".repeat(FIRST_LINE_BYTES_MAX)), true);
        check("Hello\r\n", false);
        check("From me Mon Jan 1 10:10:10 2026\r\n", false);
        check(" x: y\r\n", false);
        check(": x\r\n", false);
        check(".\r\n", false);
        check("", false);
    }

    #[test]
    fn a_first_line_is_judged_when_it_is_there() {
        assert!(has_first_line(b"a\r\n"));
        assert!(has_first_line(&[b'a'; FIRST_LINE_BYTES_MAX]));
        assert!(!has_first_line(&[b'a'; FIRST_LINE_BYTES_MAX - 1]));
        assert!(!has_first_line(b""));
    }

    /// RFC 5322 §3.6.2, §3.6.3.
    #[test]
    fn facts_are_those_of_the_header() {
        let header =
            b"from: a@b.example\r\nMESSAGE-ID: <x@y>\r\nBcc: s@t.example,\r\n u@v.example\r\n\r\n";
        let got = facts(header);
        let address = Address::parse("a@b.example").unwrap();
        assert_eq!(got.from, [Some(vec![address])]);
        assert!(got.has_message_id && !got.has_date && !got.has_return_path);
        let asks = b"TLS-required: No\r\nx-mox-extra-a: b\r\n c\r\nX-Mox: d\r\n\r\nDate: x\r\n";
        let got = facts(asks);
        assert_eq!(got.tls_required, ["No"]);
        assert_eq!(got.extra, [("x-mox-extra-a".to_owned(), "b c".to_owned())]);
        assert!(!got.has_message_id && !got.has_date);
        let want = b"from: a@b.example\r\nMESSAGE-ID: <x@y>\r\n\r\n";
        assert_eq!(without_bcc(header).unwrap(), want);
        assert_eq!(without_bcc(want), None);
        let resent = b"Resent-To: t@b.example\r\nResent-BCC: s@t.example\r\n\r\n";
        assert_eq!(without_bcc(resent).unwrap(), b"Resent-To: t@b.example\r\n\r\n");
        assert_eq!(facts(b"From: a@b.example, c@d.example\r\n\r\n").from, []);
    }

    #[track_caller]
    fn check_shown(header: &str, want_id: &str, want_subject: &str) {
        assert_eq!(bracketed_id(header.as_bytes()), want_id, "{header}");
        assert_eq!(subject(header.as_bytes()), want_subject, "{header}");
    }

    /// RFC 5322 §3.6.4, §3.6.5.
    #[test]
    fn what_lists_show_is_found() {
        check_shown("Message-ID: <A@b>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n\r\n", "<A@b>", "café");
        check_shown("message-id:\r\n <a@b> (x)\r\nsubject: a\r\n b\r\n\r\n", "<a@b>", "a b");
        check_shown("Message-ID: a@b\r\n\r\nSubject: x\r\n", "", "");
        let long = "é".repeat(SUBJECT_BYTES_MAX);
        check_shown(&format!("Subject: {long}\r\n"), "", &long[..SUBJECT_BYTES_MAX]);
        let id = "x".repeat(MESSAGE_ID_BYTES_MAX);
        check_shown(&format!("Message-Id: <{id}>\r\n"), &format!("<{id}>"), "");
        check_shown(&format!("Message-Id: <{id}x>\r\n"), "", "");
    }
}
