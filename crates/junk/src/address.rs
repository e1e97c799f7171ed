//! Words of addresses and other header fields.

use mox_mime::{decode_addresses, decode_header, parse_address_list};

use crate::links::add_domain;
use crate::text::{TextWords, WORD_BYTES_MAX};
use crate::words::{Kinds, Words};

/// The most addresses of one field that are looked at.
const ADDRESSES_MAX: usize = 20;

/// Fields with addresses, and what their words begin with. RFC 5322 §3.6.2, §3.6.3.
const ADDRESS_FIELDS: [(&str, &str); 6] = [
    ("From", "from:"),
    ("Sender", "sender:"),
    ("Reply-To", "reply-to:"),
    ("To", "to:"),
    ("Cc", "cc:"),
    ("Bcc", "bcc:"),
];

/// Fields with texts, and what their words begin with.
const TEXT_FIELDS: [(&str, &str); 5] = [
    ("Subject", "subject:"),
    ("X-Mailer", "mailer:"),
    ("User-Agent", "mailer:"),
    ("Organization", "organization:"),
    ("Precedence", "precedence:"),
];

/// Fields with a domain in them, and what their words begin with. RFC 5322 §3.6.4, RFC 2919 §3.
const DOMAIN_FIELDS: [(&str, &str); 2] = [("Message-ID", "message-id:"), ("List-ID", "list:")];

/// Fields that are added on the way to the mailbox or in it: a message that was just received does
/// not have them, or has them only from somebody who wants to mislead a filter.
const LATE_FIELDS: [&str; 10] = [
    "Authentication-Results",
    "Delivered-To",
    "Envelope-To",
    "Received",
    "Received-SPF",
    "Return-Path",
    "Status",
    "X-Keywords",
    "X-Original-To",
    "X-Status",
];

/// And those whose names begin so, in lower case.
const LATE_PREFIXES: [&str; 7] =
    ["arc-", "x-envelope-", "x-gm", "x-mox-", "x-mozilla-", "x-spam", "x-uid"];

/// Adds the words of one field of the message's own header.
pub(crate) fn add_field(name: &str, value: &[u8], kinds: Kinds, words: &mut Words) {
    let of = |fields: &[(&str, &'static str)]| {
        fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, prefix)| *prefix)
    };
    let is_late = LATE_FIELDS.iter().any(|late| late.eq_ignore_ascii_case(name));
    let lower = name.to_ascii_lowercase();
    if !is_late
        && lower.len() <= WORD_BYTES_MAX
        && !LATE_PREFIXES.iter().any(|p| lower.starts_with(p))
    {
        words.add_header(&format!("header:{lower}"));
    }
    if let Some(prefix) = of(&ADDRESS_FIELDS) {
        add_addresses(prefix, value, kinds, words);
    } else if let Some(prefix) = of(&TEXT_FIELDS) {
        add_text(prefix, &decode_header(value), kinds, words);
    } else if let Some(prefix) = of(&DOMAIN_FIELDS) {
        let value = String::from_utf8_lossy(value);
        let value = value.trim_end().trim_end_matches('>');
        let start = value.rfind(['@', '<', ' ']).map_or(0, |at| at + 1);
        add_domain(prefix, value.get(start..).unwrap_or_default(), words);
    }
}

/// Adds the words of a text in a header.
pub(crate) fn add_text(prefix: &'static str, text: &str, kinds: Kinds, words: &mut Words) {
    let mut field = TextWords::of_field(kinds, prefix);
    field.push(text, words);
    field.end(words);
}

fn add_addresses(prefix: &'static str, value: &[u8], kinds: Kinds, words: &mut Words) {
    // Half the limit is for the markers of groups.
    let list = parse_address_list(value, 2 * ADDRESSES_MAX);
    for address in decode_addresses(&list).into_iter().take(ADDRESSES_MAX) {
        add_text(prefix, &address.name, kinds, words);
        let Some(whole) = address.address.map(|address| address.to_string().to_lowercase()) else {
            words.add_header(&format!("{prefix}unreadable"));
            continue;
        };
        let Some((local, domain)) = whole.rsplit_once('@') else { continue };
        add_domain(prefix, domain, words);
        if local.len() <= WORD_BYTES_MAX {
            words.add_header(&format!("{prefix}{whole}"));
        }
    }
}

/// Adds the hosts that a Received field names. RFC 5321 §4.4.
pub(crate) fn add_received(value: &[u8], words: &mut Words) {
    let value = String::from_utf8_lossy(value);
    let mut tokens = value.split_ascii_whitespace();
    while let Some(token) = tokens.next() {
        if matches!(token, "from" | "by")
            && let Some(host) = tokens.next()
            && host.contains('.')
            && !host.starts_with('[')
        {
            add_domain("received:", host, words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, value: &str, want: &[&str]) {
        let mut words = Words::default();
        add_field(name, value.as_bytes(), Kinds::default(), &mut words);
        let sorted = words.sorted();
        let mut got: Vec<_> = sorted.iter().map(|word| word.text).collect();
        got.retain(|word| !word.starts_with("header:"));
        got.sort_unstable();
        assert_eq!(got, want, "{name}: {value}");
    }

    /// RFC 5322 §3.6.
    #[test]
    fn fields_have_words_of_their_own() {
        let from = [
            "from:anna",
            "from:anna@mail.example.org",
            "from:example.org",
            "from:mail.example.org",
        ];
        check("From", " Anna <Anna@Mail.Example.ORG>", &from);
        check("subject", " =?utf-8?q?Caf=C3=A9?= tomorrow", &["subject:café", "subject:tomorrow"]);
        check("Message-ID", " <1.2@mx.example>", &["message-id:mx.example"]);
        check(
            "List-Id",
            " Talk <talk.lists.example>",
            &["list:lists.example", "list:talk.lists.example"],
        );
        // At the edge: four bytes.
        check("Subject", "four", &["subject:four"]);
        // Just past it.
        check("Subject", "six", &[]);
        // Never words.
        check("X-Spam-Status", "No, really", &[]);
        check("From", ";;;", &[]);
    }

    #[test]
    fn fields_added_later_are_no_words() {
        let mut words = Words::default();
        for name in ["X-Spam-Flag", "Delivered-To", "ARC-Seal", "Return-Path", "List-Unsubscribe"] {
            add_field(name, b"x", Kinds::default(), &mut words);
        }
        let all: Vec<_> = words.sorted().iter().map(|word| word.text.to_owned()).collect();
        assert_eq!(all, ["header:list-unsubscribe"]);
    }

    /// RFC 5321 §4.4.
    #[test]
    fn hosts_of_received_fields_are_words() {
        let mut words = Words::default();
        let value = b" from a.relay.example ([192.0.2.1])\r\n by mx.example with ESMTP; today";
        add_received(value, &mut words);
        let mut all: Vec<_> = words.sorted().iter().map(|word| word.text.to_owned()).collect();
        all.sort_unstable();
        assert_eq!(
            all,
            ["received:a.relay.example", "received:mx.example", "received:relay.example"]
        );
    }

    #[test]
    fn many_addresses_cost_no_more_than_a_few() {
        let many: String = (0..5_000).map(|n| format!("u{n}@h{n}.example, ")).collect();
        let mut words = Words::default();
        add_field("To", many.as_bytes(), Kinds::default(), &mut words);
        assert_eq!(words.len(), 1 + 2 * ADDRESSES_MAX);
    }
}
