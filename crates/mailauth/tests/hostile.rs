//! What others may do to harm: faulty and endless records, signatures by the thousand, headers that
//! can be read in two ways; and any bytes at all, a taste of what the fuzz targets `dkim_signature`,
//! `dkim_record` and `dkim_verify` do at length.

#[path = "hostile/checks.rs"]
mod checks;
#[cfg(test)]
#[path = "hostile/messages.rs"]
mod messages;
#[cfg(test)]
#[path = "hostile/records.rs"]
mod records;

use checks::{check_message, check_record, check_signature};
use proptest::prelude::*;

/// Values of tags that are nearly right.
fn tags() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![
        Just("v=1;"),
        Just("v=DKIM1;"),
        Just("a=rsa-sha256;"),
        Just("a=ed25519-sha256;"),
        Just("c=relaxed/simple;"),
        Just("d=example.org;"),
        Just("s=e;"),
        Just("k=ed25519;"),
        Just("h=From : Subject;"),
        Just("i=@example.org;"),
        Just("i=1;"),
        Just("cv=none;"),
        Just("l=3;"),
        Just("z=From:x|y:=20;"),
        Just("p=AQID;"),
        Just("bh=AQID;"),
        Just("b=AQID;"),
        Just("t=1;"),
        Just("\r\n\t"),
    ];
    let any = proptest::collection::vec(any::<u8>(), 0..5);
    let piece = prop_oneof![9 => tag.prop_map(|tag| tag.as_bytes().to_vec()), 1 => any];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// Messages of fields that matter here.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just("DKIM-Signature:"),
        Just("ARC-Seal:"),
        Just("ARC-Message-Signature:"),
        Just("ARC-Authentication-Results: i=1;"),
        Just("From:"),
        Just("Subject:"),
        Just(""),
    ];
    let field =
        (name, tags()).prop_map(|(name, value)| [name.as_bytes(), &value, b"\r\n"].concat());
    let body = proptest::collection::vec(any::<u8>(), 0..50);
    let header = proptest::collection::vec(field, 0..6);
    (header, body).prop_map(|(header, body)| [header.concat(), b"\r\n".to_vec(), body].concat())
}

proptest! {
    #[test]
    fn any_tags_are_read_or_refused(text in tags()) {
        check_signature(&text);
        check_record(&text);
    }

    #[test]
    fn any_message_is_judged(message in message(), step in 0usize..20) {
        check_message(&message, step);
    }
}
