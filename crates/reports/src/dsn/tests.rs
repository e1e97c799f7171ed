use std::io::Cursor;

use mox_base::{Address, DateTime, Domain, UnixSeconds};
use proptest::prelude::*;

use super::*;

const TIME: UnixSeconds = UnixSeconds(1_795_219_200);

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn failed(rcpt: &str) -> Recipient {
    Recipient {
        rcpt: address(rcpt).into(),
        orcpt: None,
        action: Action::Failed,
        status: Status { class: 5, subject: 1, detail: 1 },
        explanation: "no such user".to_owned(),
        reply_lines: vec!["550 5.1.1 no such".to_owned(), "550 5.1.1 user".to_owned()],
        remote_mta: Some(("mx.b.example".to_owned(), "192.0.2.1".parse().ok())),
        last_attempt: Some(TIME),
        will_retry_until: None,
    }
}

fn dsn(recipients: Vec<Recipient>) -> Dsn {
    Dsn {
        reporting_mta: Domain::parse("mail.example").unwrap(),
        from: address("postmaster@mail.example"),
        to: address("a@mail.example").into(),
        message_id: "dsn@mail.example".to_owned(),
        date: DateTime::from_unix(TIME),
        boundary: "=_b".to_owned(),
        original: Original {
            message_id: "<one@mail.example>".to_owned(),
            subject: "hello".to_owned(),
            arrived: TIME.plus_secs(-3600),
            envid: Some("e 1".to_owned()),
            future_release: None,
            content: b"Message-Id: <One@mail.example>\r\nSubject: hello\r\n\r\nbody\r\n".to_vec(),
            is_whole: false,
        },
        recipients,
    }
}

fn text(dsn: &Dsn, form: Form) -> String {
    String::from_utf8(compose(dsn, form).unwrap()).unwrap()
}

/// RFC 3464 §2, RFC 6522 §3.
#[test]
fn a_failure_is_told_to_people_and_programs() {
    let want = "From: <postmaster@mail.example>\r\nTo: <a@mail.example>\r\n\
        Subject: mail delivery failed\r\nMessage-ID: <dsn@mail.example>\r\n\
        References: <one@mail.example>\r\nDate: Sat, 21 Nov 2026 00:00:00 +0000\r\n\
        Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/report; boundary=\"=_b\"; report-type=\"delivery-status\"\r\n\
        Content-Transfer-Encoding: 7bit\r\n\r\n\
        --=_b\r\nContent-Type: text/plain; charset=us-ascii\r\n\
        Content-Transfer-Encoding: 7bit\r\n\r\n\
        Your message with subject \"hello\"\r\nof Fri, 20 Nov 2026 23:00:00 +0000\r\n\r\n\
        could not be delivered, and will not be tried again, for:\r\n\r\n\tc@b.example\r\n\r\n\
        Reason:\r\n\r\n\tno such user\r\n\r\nThe answer of mx.b.example:\r\n\r\n\
        \t550 5.1.1 no such\r\n\t550 5.1.1 user\r\n\r\n\
        --=_b\r\nContent-Type: message/delivery-status\r\n\
        Content-Transfer-Encoding: 7bit\r\n\r\n\
        Original-Envelope-Id: e 1\r\nReporting-MTA: dns; mail.example\r\n\
        Arrival-Date: Fri, 20 Nov 2026 23:00:00 +0000\r\n\r\n\
        Final-Recipient: rfc822; c@b.example\r\nAction: failed\r\n\
        Status: 5.1.1 (no such user)\r\nRemote-MTA: dns; mx.b.example (192.0.2.1)\r\n\
        Diagnostic-Code: smtp; 550 5.1.1 no such 550 5.1.1 user\r\n\
        Last-Attempt-Date: Sat, 21 Nov 2026 00:00:00 +0000\r\n\r\n\
        --=_b\r\nContent-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
        Message-Id: <One@mail.example>\r\nSubject: hello\r\n\r\n--=_b--\r\n";
    assert_eq!(text(&dsn(vec![failed("c@b.example")]), Form::Ascii), want);
}

#[test]
fn what_was_made_is_read_back() {
    let delayed = Recipient {
        action: Action::Delayed,
        status: Status { class: 4, subject: 0, detail: 0 },
        orcpt: Some("rfc822;d+x@b.example".to_owned()),
        reply_lines: Vec::new(),
        remote_mta: None,
        will_retry_until: Some(TIME.plus_secs(7200)),
        ..failed("d@b.example")
    };
    let made = compose(&dsn(vec![failed("c@b.example"), delayed]), Form::Ascii).unwrap();
    let text = String::from_utf8(made.clone()).unwrap();
    assert!(text.contains("Will-Retry-Until: Sat, 21 Nov 2026 02:00:00 +0000\r\n"), "{text}");
    let parsed = parse(&mut Cursor::new(made)).unwrap();
    assert_eq!(parsed.reporting_mta, "mail.example");
    assert_eq!(parsed.envid.as_deref(), Some("e 1"));
    assert_eq!(parsed.original_message_id.as_deref(), Some("one@mail.example"));
    let [first, second] = &parsed.recipients[..] else { panic!("{parsed:?}") };
    assert_eq!((first.final_rcpt.as_str(), first.action), ("c@b.example", Action::Failed));
    assert_eq!((first.code, first.enhanced), (Some(550), Some(first.status)));
    assert_eq!(first.text, "550 5.1.1 no such 550 5.1.1 user");
    assert_eq!(first.remote_mta.as_deref(), Some("mx.b.example (192.0.2.1)"));
    assert_eq!(second.original_rcpt.as_deref(), Some("d+x@b.example"));
    assert_eq!((second.action, second.code), (Action::Delayed, None));
    assert_eq!(second.text, "no such user");
}

/// RFC 6533 §3, §4.
#[test]
fn international_messages_have_both_forms() {
    let mut dsn = dsn(vec![failed("é@münchen.example")]);
    dsn.original.content = "Message-ID: <1@x>\r\nSubject: é\r\n\r\n".as_bytes().to_vec();
    let utf8 = text(&dsn, Form::Utf8);
    assert!(utf8.contains("Final-Recipient: utf-8; é@münchen.example\r\n"), "{utf8}");
    assert!(utf8.contains("Content-Type: message/global-delivery-status\r\n"), "{utf8}");
    assert!(utf8.contains("Content-Type: message/global-headers\r\n"), "{utf8}");
    let ascii = compose(&dsn, Form::Ascii).unwrap();
    assert!(ascii.is_ascii());
    for form in [utf8.into_bytes(), ascii] {
        let parsed = parse(&mut Cursor::new(form)).unwrap();
        assert_eq!(parsed.original_message_id.as_deref(), Some("1@x"));
        let rcpt = &parsed.recipients[0].final_rcpt;
        assert!(rcpt == "é@münchen.example" || rcpt == "é@xn--mnchen-3ya.example", "{rcpt}");
    }
    // A sender with such an address cannot be written to in ASCII.
    dsn.to = address("é@mail.example").into();
    assert!(compose(&dsn, Form::Ascii).is_err() && compose(&dsn, Form::Utf8).is_ok());
}

/// RFC 3461 §4.3: `RET=FULL`, within bounds.
#[test]
fn the_message_is_returned_whole_if_it_is_small_and_can_be() {
    let mut dsn = dsn(vec![failed("c@b.example")]);
    dsn.original.is_whole = true;
    assert!(text(&dsn, Form::Ascii).contains("message/rfc822\r\n"));
    assert!(text(&dsn, Form::Ascii).contains("\r\n\r\nbody\r\n"));
    dsn.original.content.resize(RETURNED_BYTES_MAX + 1, b'x');
    assert!(!text(&dsn, Form::Ascii).contains("body"));
    dsn.original.content = b"Subject: x\r\n\r\n\xff\r\n".to_vec();
    assert!(text(&dsn, Form::Ascii).contains("text/rfc822-headers\r\n"));
    // A header that is too long ends with a whole field.
    let field = format!("X: {}\r\n", "y".repeat(1_000));
    dsn.original.is_whole = false;
    dsn.original.content = field.repeat(100).into_bytes();
    let returned = text(&dsn, Form::Ascii);
    assert_eq!(returned.matches("X: y").count(), HEADER_RETURNED_BYTES_MAX / field.len());
}

/// What others say cannot add a field, a recipient or a part.
#[test]
fn nothing_is_injected() {
    let evil =
        "x\r\n\r\nFinal-Recipient: rfc822; evil@x\r\nAction: delivered\r\n--=_b--\r\n".to_owned();
    let recipient = Recipient {
        explanation: format!("){evil}"),
        reply_lines: vec![evil.clone()],
        remote_mta: Some((evil.clone(), None)),
        orcpt: Some(format!("rfc822;{evil}")),
        ..failed("c@b.example")
    };
    let mut dsn = dsn(vec![recipient]);
    dsn.original.envid = Some(evil.clone());
    dsn.original.subject = evil.clone();
    dsn.original.message_id = evil.clone();
    dsn.original.future_release = Some(evil);
    for form in [Form::Ascii, Form::Utf8] {
        let parsed = parse(&mut Cursor::new(compose(&dsn, form).unwrap())).unwrap();
        assert_eq!(parsed.recipients.len(), 1);
        assert_eq!(parsed.recipients[0].action, Action::Failed);
        assert_eq!(parsed.recipients[0].final_rcpt, "c@b.example");
    }
}

fn report(status: &str) -> Vec<u8> {
    format!(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\n\r\nwords\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n--b--\r\n"
    )
    .into_bytes()
}

const ABOUT: &str = "Reporting-MTA: dns; x.example\r\n";
const RCPT: &str = "Final-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.0.0\r\n";

#[track_caller]
fn check(status: &str, want: Result<usize, DsnError>) {
    let got = parse(&mut Cursor::new(report(status))).map(|dsn| dsn.recipients.len());
    assert_eq!(got, want, "{status}");
}

/// RFC 3464 §2.1, §2.2.2, §2.3.
#[test]
fn notifications_have_what_they_need() {
    check(&format!("{ABOUT}\r\n{RCPT}"), Ok(1));
    check(&format!("\r\n{ABOUT}X-Y: z\r\n\r\n\r\n{RCPT}\r\n\r\n{RCPT}\r\n"), Ok(2));
    check(&format!("{ABOUT}\n{}", RCPT.replace("\r\n", "\n")), Ok(1));
    check(&format!("{ABOUT}\r\n{}", RCPT.replace("failed", "(why (not)) FAILED")), Ok(1));
    check(&format!("{ABOUT}\r\n{}", RCPT.replace("5.0.0", "5.0.0 (it is so)")), Ok(1));
    let many = format!("{RCPT}\r\n").repeat(RECIPIENTS_MAX);
    check(&format!("{ABOUT}\r\n{many}"), Ok(RECIPIENTS_MAX));
    check(&format!("{ABOUT}\r\n{many}{RCPT}"), Err(DsnError::TooMany));
    check(ABOUT, Err(DsnError::Missing("Final-Recipient")));
    check(RCPT, Err(DsnError::Missing("Reporting-MTA")));
    check(&format!("{ABOUT}{ABOUT}\r\n{RCPT}"), Err(DsnError::Twice("Reporting-MTA")));
    check(&format!("{ABOUT}\r\n{RCPT}Action: failed\r\n"), Err(DsnError::Twice("Action")));
    let bad = |from: &str, to: &str| format!("{ABOUT}\r\n{}", RCPT.replace(from, to));
    check(&bad("failed", "bogus"), Err(DsnError::BadValue("Action")));
    check(&bad("5.0.0", "5.0"), Err(DsnError::BadValue("Status")));
    check(&bad("5.0.0", "3.0.0"), Err(DsnError::BadValue("Status")));
    check(&bad("5.0.0", "5.0.1000"), Err(DsnError::BadValue("Status")));
    check(&bad("Action: failed\r\n", ""), Err(DsnError::Missing("Action")));
    let long = "x".repeat(usize::try_from(STATUS_BYTES_MAX).unwrap());
    check(&format!("{ABOUT}\r\n{long}"), Err(DsnError::TooLarge));
    check("", Err(DsnError::Missing("Reporting-MTA")));
}

#[test]
fn other_messages_are_no_notifications() {
    let not = |message: &[u8], want| assert_eq!(parse(&mut Cursor::new(message)), Err(want));
    not(b"", DsnError::NotADsn);
    not(b"Subject: x\r\n\r\nhello", DsnError::NotADsn);
    let other = String::from_utf8(report(ABOUT)).unwrap();
    not(other.replace("=delivery-status", "=tlsrpt").as_bytes(), DsnError::NotADsn);
    not(other.replace("message/delivery-status", "text/plain").as_bytes(), DsnError::NoStatus);
}

#[track_caller]
fn check_codes(diagnostic: &str, code: Option<u16>, enhanced: Option<&str>) {
    let status = format!("{ABOUT}\r\n{RCPT}Diagnostic-Code: {diagnostic}\r\n");
    let parsed = parse(&mut Cursor::new(report(&status))).unwrap();
    let got = &parsed.recipients[0];
    assert_eq!((got.code, got.enhanced), (code, enhanced.and_then(Status::parse)), "{diagnostic}");
}

/// RFC 3464 §2.3.6.
#[test]
fn codes_are_found_in_the_diagnostic() {
    check_codes("smtp; 550 5.1.1 no such user", Some(550), Some("5.1.1"));
    check_codes("SMTP;452-4.2.2 full 452 4.2.2 box", Some(452), Some("4.2.2"));
    check_codes("smtp; 550 no such user", Some(550), None);
    check_codes("smtp; 550 4.1.1 of another class", Some(550), None);
    check_codes("smtp; 999 x", None, None);
    check_codes("x-unix; 550 5.1.1", None, None);
    check_codes("smtp", None, None);
}

proptest! {
    /// Whatever is in a status, reading it ends.
    #[test]
    fn any_status_is_read_or_refused(status in "[ -~\r\n\t]{0,400}", bytes: Vec<u8>) {
        let _outcome = parse(&mut Cursor::new(report(&status)));
        let _outcome = parse(&mut Cursor::new(bytes));
    }

    /// Whatever others say, a notification can be read, and says the same of each recipient.
    #[test]
    fn what_is_made_is_read(explanation in "\\PC{0,400}", reply in "\\PC{0,400}", count in 1_usize..4) {
        let one = Recipient { explanation, reply_lines: vec![reply], ..failed("c@b.example") };
        let dsn = dsn(vec![one; count]);
        for form in [Form::Ascii, Form::Utf8] {
            let parsed = parse(&mut Cursor::new(compose(&dsn, form).unwrap())).unwrap();
            prop_assert_eq!(parsed.recipients.len(), count);
            prop_assert!(parsed.recipients.iter().all(|one| one.status.class == 5));
        }
    }
}
