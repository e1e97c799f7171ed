//! `xtext`: text of one parameter value. RFC 3461 §4.

use std::fmt::Write as _;

/// Decodes `xtext = *( xchar / hexchar )`, where a hexchar is `+` and two upper-case hex digits.
/// `None` if it is not that.
#[must_use]
pub fn decode_xtext(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => {
                let (high, low) = (hex_digit(bytes.next()?)?, hex_digit(bytes.next()?)?);
                decoded.push(high * 16 + low);
            }
            b'=' => return None,
            b'!'..=b'~' => decoded.push(byte),
            _ => return None,
        }
    }
    Some(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Encodes bytes as [`decode_xtext`] reads them.
#[must_use]
pub fn encode_xtext(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'+' | b'=' => write!(text, "+{byte:02X}").unwrap_or_default(),
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "+{byte:02X}").unwrap_or_default(),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 3461 §4; the first is the example of RFC 4954 §5.
    #[test]
    fn xtext_is_decoded_or_refused() {
        for (text, want) in [
            ("e+3Dmc2@example.com", Some(b"e=mc2@example.com".as_slice())),
            ("", Some(b"")),
            ("+00+FF", Some(b"\x00\xff")),
            ("+2b", None),
            ("a=b", None),
            ("a b", None),
            ("+2", None),
            ("+", None),
            ("é", None),
        ] {
            assert_eq!(decode_xtext(text).as_deref(), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(bytes: Vec<u8>) {
            prop_assert_eq!(decode_xtext(&encode_xtext(&bytes)), Some(bytes));
        }
    }
}
