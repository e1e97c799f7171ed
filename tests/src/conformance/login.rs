//! Commands of any state and of those who are not logged in. RFC 9051 §6.1, §6.2.

use super::site::{PASSWORD, Subject};
use super::{cases, run};

#[test]
fn all() {
    run(cases![
        rfc9051_6_1_1_capability_changes_with_login,
        rfc9051_6_1_1_capability_has_the_required_names,
        rfc9051_6_1_1_capability_is_one_untagged_response,
        rfc9051_6_1_1_capability_takes_no_arguments,
        rfc9051_6_1_1_no_code_is_sent_after_a_response,
        rfc9051_6_1_2_noop_always_succeeds,
        rfc9051_6_1_2_noop_tells_of_new_messages,
        rfc9051_6_1_3_logout_says_bye_before_ok,
        rfc9051_6_1_3_logout_is_for_any_state,
        rfc9051_6_1_3_what_was_done_stays_without_logout,
        rfc9051_6_2_1_after_starttls_capabilities_are_asked_anew,
        rfc9051_6_2_1_starttls_is_announced_where_it_is_possible,
        rfc9051_6_2_1_starttls_is_not_offered_under_tls,
        rfc9051_6_2_1_what_was_sent_before_tls_is_not_carried_out,
        rfc9051_6_2_2_authenticate_can_be_cancelled,
        rfc9051_6_2_2_authenticate_in_plain,
        rfc9051_6_2_2_authenticate_with_initial_response,
        rfc9051_6_2_2_bad_base64_is_bad,
        rfc9051_6_2_2_plain_is_offered_under_tls,
        rfc9051_6_2_2_the_empty_challenge_is_plus_space,
        rfc9051_6_2_2_unknown_mechanisms_are_refused,
        rfc9051_6_2_2_wrong_credentials_are_no,
        rfc9051_6_2_3_login_takes_quoted_atoms_and_literals,
        rfc9051_6_2_3_login_with_a_wrong_password_is_no,
        rfc9051_6_2_3_login_wants_two_arguments,
        rfc9051_6_2_2_an_empty_initial_response_is_an_equals_sign,
        rfc9051_6_2_2_mechanism_names_are_in_any_case,
    ]);
}

pub(super) fn base64(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let mut octets = [0; 4];
        octets[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(octets);
        for index in 0..4u32 {
            let digit = usize::try_from(bits >> (18 - 6 * index) & 63).unwrap();
            let is_pad = usize::try_from(index).unwrap() > chunk.len();
            out.push(if is_pad { '=' } else { char::from(DIGITS[digit]) });
        }
    }
    out
}

fn plain_response(s: &Subject<'_>, password: &str) -> String {
    base64(&format!("\0{}\0{password}", s.user()))
}

/// CAPABILITY is answered by one untagged CAPABILITY response before the tagged OK.
/// RFC 9051 §6.1.1.
fn rfc9051_6_1_1_capability_is_one_untagged_response(s: &Subject<'_>) {
    let answer = s.connect().ok("CAPABILITY");
    assert_eq!(answer.untagged.len(), 1, "{answer:?}");
    assert!(answer.one("* CAPABILITY ").contains(" IMAP4rev2"));
}

/// A server has IMAP4rev2 and AUTH=PLAIN, at least under TLS, and here IMAP4rev1 as well.
/// RFC 9051 §6.1.1.
fn rfc9051_6_1_1_capability_has_the_required_names(s: &Subject<'_>) {
    let mut peer = s.dial_tls();
    peer.line();
    let answer = peer.ok("CAPABILITY");
    let names: Vec<&str> = answer.one("* CAPABILITY ").split(' ').collect();
    for name in ["IMAP4rev2", "IMAP4rev1", "AUTH=PLAIN"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(!names.contains(&"LOGINDISABLED"), "{names:?}");
}

/// CAPABILITY with an argument is a syntax error. RFC 9051 §6.1.1.
fn rfc9051_6_1_1_capability_takes_no_arguments(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.bad("CAPABILITY all");
    peer.bad("NOOP now");
    peer.bad("LOGOUT now");
}

/// What a code in the answer to LOGIN tells is what CAPABILITY then answers. RFC 9051 §6.1.1.
fn rfc9051_6_1_1_capability_changes_with_login(s: &Subject<'_>) {
    let mut peer = s.connect();
    let login = peer.ok(&format!("LOGIN {} \"{PASSWORD}\"", s.user()));
    let answer = peer.ok("CAPABILITY");
    let listed = answer.one("* CAPABILITY ");
    assert!(login.code.is_empty() || listed == format!("* {}", login.code), "{login:?} {answer:?}");
}

/// The tagged OK of CAPABILITY comes after the untagged response, not in place of it.
/// RFC 9051 §6.1.1.
fn rfc9051_6_1_1_no_code_is_sent_after_a_response(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.send("c CAPABILITY\r\n");
    assert!(peer.line().starts_with("* CAPABILITY "));
    assert!(peer.line().starts_with("c OK "));
}

/// NOOP succeeds in each state. RFC 9051 §6.1.2.
fn rfc9051_6_1_2_noop_always_succeeds(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.ok("NOOP");
    peer.ok(&format!("LOGIN {} \"{PASSWORD}\"", s.user()));
    peer.ok("NOOP");
    peer.ok("SELECT INBOX");
    peer.ok("NOOP");
}

/// NOOP serves as a poll: it tells of messages that came and went. RFC 9051 §6.1.2.
fn rfc9051_6_1_2_noop_tells_of_new_messages(s: &Subject<'_>) {
    let mut reader = s.filled(2);
    let mut writer = s.inbox();
    writer.ok("STORE 1 +FLAGS (\\Deleted)");
    writer.ok("EXPUNGE");
    writer.put("INBOX", "Subject: new\r\n\r\n");
    let answer = reader.ok("NOOP");
    assert_eq!(answer.with(" EXPUNGE"), ["* 1 EXPUNGE"]);
    // EXISTS counts the one that goes if it is sent before it.
    answer.one(if answer.untagged[0].ends_with(" EXISTS") { "* 3 EXISTS" } else { "* 2 EXISTS" });
}

/// LOGOUT is answered by an untagged BYE and then the tagged OK. RFC 9051 §6.1.3.
fn rfc9051_6_1_3_logout_says_bye_before_ok(s: &Subject<'_>) {
    let mut peer = s.login();
    peer.send("z LOGOUT\r\n");
    assert!(peer.line().starts_with("* BYE "));
    assert!(peer.line().starts_with("z OK "));
    peer.closed();
}

/// LOGOUT works before login and with a mailbox selected. RFC 9051 §6.1.3.
fn rfc9051_6_1_3_logout_is_for_any_state(s: &Subject<'_>) {
    for mut peer in [s.connect(), s.login(), s.inbox()] {
        peer.ok("LOGOUT").one("* BYE ");
        peer.closed();
    }
}

/// A client that just goes away loses nothing that was answered OK, and expunges nothing.
/// RFC 9051 §6.1.3.
fn rfc9051_6_1_3_what_was_done_stays_without_logout(s: &Subject<'_>) {
    let mut peer = s.filled(1);
    peer.ok("STORE 1 +FLAGS (\\Deleted \\Flagged)");
    drop(peer);
    assert_eq!(s.inbox_rev2().flags(1), ["\\Deleted", "\\Flagged"]);
}

/// STARTTLS is in the capabilities before TLS. RFC 9051 §6.2.1.
fn rfc9051_6_2_1_starttls_is_announced_where_it_is_possible(s: &Subject<'_>) {
    assert!(s.connect().ok("CAPABILITY").one("* CAPABILITY ").contains(" STARTTLS"));
}

/// After STARTTLS the connection goes on under TLS, not logged in, with capabilities of its own.
/// RFC 9051 §6.2.1.
fn rfc9051_6_2_1_after_starttls_capabilities_are_asked_anew(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.ok("STARTTLS");
    s.start_tls(&mut peer);
    let answer = peer.ok("CAPABILITY");
    assert!(!answer.one("* CAPABILITY ").contains(" STARTTLS"), "{answer:?}");
    peer.refused("SELECT INBOX");
    peer.ok(&format!("LOGIN {} \"{PASSWORD}\"", s.user()));
}

/// STARTTLS under TLS is refused. RFC 9051 §6.2.1.
fn rfc9051_6_2_1_starttls_is_not_offered_under_tls(s: &Subject<'_>) {
    let mut peer = s.dial_tls();
    peer.line();
    peer.refused("STARTTLS");
    peer.ok("NOOP");
}

/// Bytes that came in clear behind STARTTLS are not taken for commands under TLS. RFC 9051 §6.2.1.
fn rfc9051_6_2_1_what_was_sent_before_tls_is_not_carried_out(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.send("x STARTTLS\r\ny CAPABILITY\r\n");
    // It may refuse or close, but never answer the second command.
    let all = String::from_utf8_lossy(&peer.read_to_end()).into_owned();
    assert!(all.starts_with("x ") && !all.contains("CAPABILITY"), "{all:?}");
}

/// AUTHENTICATE PLAIN logs in with the response after the challenge. RFC 9051 §6.2.2.
fn rfc9051_6_2_2_authenticate_in_plain(s: &Subject<'_>) {
    let mut peer = s.connect();
    let answer = peer.ask_parts(&["AUTHENTICATE PLAIN", &plain_response(s, PASSWORD)]);
    assert_eq!(answer.status, "OK", "{answer:?}");
    peer.ok("SELECT INBOX");
}

/// AUTHENTICATE takes the response in the command where SASL-IR is announced. RFC 9051 §6.2.2.
fn rfc9051_6_2_2_authenticate_with_initial_response(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.ok(&format!("AUTHENTICATE PLAIN {}", plain_response(s, PASSWORD)));
    peer.ok("SELECT INBOX");
}

/// A challenge without text is a plus sign and a space. RFC 9051 §6.2.2.
fn rfc9051_6_2_2_the_empty_challenge_is_plus_space(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.send("p AUTHENTICATE plain\r\n");
    assert_eq!(peer.line(), "+ ");
    peer.send("*\r\n");
    assert_eq!(peer.finish("p").status, "BAD");
}

/// A single asterisk cancels AUTHENTICATE: BAD, and nobody is logged in. RFC 9051 §6.2.2.
fn rfc9051_6_2_2_authenticate_can_be_cancelled(s: &Subject<'_>) {
    let mut peer = s.connect();
    assert_eq!(peer.ask_parts(&["AUTHENTICATE PLAIN", "*"]).status, "BAD");
    peer.refused("SELECT INBOX");
    peer.ok(&format!("LOGIN {} \"{PASSWORD}\"", s.user()));
}

/// A response that is no base64 is BAD. RFC 9051 §6.2.2.
fn rfc9051_6_2_2_bad_base64_is_bad(s: &Subject<'_>) {
    let mut peer = s.connect();
    assert_eq!(peer.ask_parts(&["AUTHENTICATE PLAIN", "!!!!"]).status, "BAD");
    peer.bad("AUTHENTICATE PLAIN =====");
    peer.refused("SELECT INBOX");
}

/// A mechanism that is not offered is refused without a challenge. RFC 9051 §6.2.2.
fn rfc9051_6_2_2_unknown_mechanisms_are_refused(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.no("AUTHENTICATE XYZZY");
    peer.ok("NOOP");
}

/// Credentials that are refused are answered NO. RFC 9051 §6.2.2.
fn rfc9051_6_2_2_wrong_credentials_are_no(s: &Subject<'_>) {
    let mut peer = s.connect();
    let answer = peer.no(&format!("AUTHENTICATE PLAIN {}", plain_response(s, "wrong")));
    assert_eq!(answer.code, "AUTHENTICATIONFAILED", "{answer:?}");
    peer.refused("SELECT INBOX");
}

/// AUTH=PLAIN is offered where TLS protects it, and works there. RFC 9051 §6.2.2.
fn rfc9051_6_2_2_plain_is_offered_under_tls(s: &Subject<'_>) {
    let mut peer = s.dial_tls();
    assert!(peer.line().starts_with("* OK "));
    assert!(peer.ok("CAPABILITY").one("* CAPABILITY ").contains(" AUTH=PLAIN"));
    peer.ok(&format!("AUTHENTICATE PLAIN {}", plain_response(s, PASSWORD)));
}

/// User name and password are strings of each kind. RFC 9051 §6.2.3.
fn rfc9051_6_2_3_login_takes_quoted_atoms_and_literals(s: &Subject<'_>) {
    let user = s.user();
    s.connect().ok(&format!("LOGIN {user} \"{PASSWORD}\""));
    s.connect().ok(&format!("LOGIN \"{user}\" \"{PASSWORD}\""));
    let size = PASSWORD.len();
    let answer = s.connect().ask_parts(&[&format!("LOGIN {user} {{{size}}}"), PASSWORD]);
    assert_eq!(answer.status, "OK");
}

/// A user name and password that do not fit are answered NO. RFC 9051 §6.2.3.
fn rfc9051_6_2_3_login_with_a_wrong_password_is_no(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.no(&format!("LOGIN {} wrong", s.user()));
    peer.no("LOGIN nobody@localhost wrong");
    peer.refused("SELECT INBOX");
}

/// LOGIN without two arguments is BAD. RFC 9051 §6.2.3.
fn rfc9051_6_2_3_login_wants_two_arguments(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.ok("NOOP");
    peer.bad("LOGIN");
    peer.bad("LOGIN one");
    peer.bad("LOGIN one two three");
}

/// `=` is an initial response without octets, which is not none at all. RFC 9051 §6.2.2.
fn rfc9051_6_2_2_an_empty_initial_response_is_an_equals_sign(s: &Subject<'_>) {
    let mut peer = s.connect();
    // PLAIN wants more than nothing: it is refused without a challenge.
    let answer = peer.refused("AUTHENTICATE PLAIN =");
    assert!(answer.untagged.is_empty(), "{answer:?}");
    peer.ok(&format!("LOGIN {} \"{PASSWORD}\"", s.user()));
}

/// The name of a mechanism is the same in any case. RFC 9051 §6.2.2.
fn rfc9051_6_2_2_mechanism_names_are_in_any_case(s: &Subject<'_>) {
    let mut peer = s.connect();
    peer.ok(&format!("AUTHENTICATE pLaIn {}", plain_response(s, PASSWORD)));
}
