//! What both sides of SCRAM share: attributes, names, signatures, error values.

use std::fmt;

use crate::{ScramHash, ScramVerifier};

/// Random bytes in a nonce of ours, either side; 24 characters of base64 on the wire.
pub const NONCE_BYTES: usize = 18;

/// The shortest nonce taken from the other side, in characters. RFC 5802 sets none; a shorter one
/// is no protection against a replay.
pub(crate) const PEER_NONCE_BYTES_MIN: usize = 8;

/// `server-error-value` of RFC 5802 §7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScramError {
    /// Not of the grammar, or not UTF-8.
    InvalidEncoding,
    /// A mandatory extension (`m=`), of which there are none.
    ExtensionsNotSupported,
    /// Wrong password, wrong nonce, or no such user.
    InvalidProof,
    /// The two sides see different TLS connections: somebody may sit between them.
    ChannelBindingsDontMatch,
    /// The client believes that the server has no channel binding: somebody may have cut the
    /// -PLUS mechanisms from the server's list.
    ServerDoesSupportChannelBinding,
    /// No channel binding on this connection.
    ChannelBindingNotSupported,
    /// None of this type.
    UnsupportedChannelBindingType,
    /// Never sent by us: it tells who exists.
    UnknownUser,
    /// A name that is not in NFC, or has a bad escape.
    InvalidUsernameEncoding,
    /// The server is out of something.
    NoResources,
    /// Anything else.
    OtherError,
}

impl ScramError {
    const ALL: [Self; 11] = [
        Self::InvalidEncoding,
        Self::ExtensionsNotSupported,
        Self::InvalidProof,
        Self::ChannelBindingsDontMatch,
        Self::ServerDoesSupportChannelBinding,
        Self::ChannelBindingNotSupported,
        Self::UnsupportedChannelBindingType,
        Self::UnknownUser,
        Self::InvalidUsernameEncoding,
        Self::NoResources,
        Self::OtherError,
    ];

    /// The value as sent after `e=`.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Self::InvalidEncoding => "invalid-encoding",
            Self::ExtensionsNotSupported => "extensions-not-supported",
            Self::InvalidProof => "invalid-proof",
            Self::ChannelBindingsDontMatch => "channel-bindings-dont-match",
            Self::ServerDoesSupportChannelBinding => "server-does-support-channel-binding",
            Self::ChannelBindingNotSupported => "channel-binding-not-supported",
            Self::UnsupportedChannelBindingType => "unsupported-channel-binding-type",
            Self::UnknownUser => "unknown-user",
            Self::InvalidUsernameEncoding => "invalid-username-encoding",
            Self::NoResources => "no-resources",
            Self::OtherError => "other-error",
        }
    }

    /// What a server said; values we do not know are `other-error`, as RFC 5802 §7 wants.
    pub(crate) fn from_value(value: &str) -> Self {
        let known = Self::ALL.into_iter().find(|error| error.value() == value);
        known.unwrap_or(Self::OtherError)
    }
}

impl fmt::Display for ScramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.value())
    }
}

impl std::error::Error for ScramError {}

/// `attr-val = ALPHA "=" value`, with `value = 1*value-char`: no NUL, and no comma since messages
/// were split at commas. RFC 5802 §7.
pub(crate) fn attr_val(part: &str) -> Result<(char, &str), ScramError> {
    let (name, value) = part.split_once('=').ok_or(ScramError::InvalidEncoding)?;
    let mut name = name.chars();
    match (name.next(), name.next()) {
        (Some(name), None)
            if name.is_ascii_alphabetic() && !value.is_empty() && !value.contains('\0') =>
        {
            Ok((name, value))
        }
        _ => Err(ScramError::InvalidEncoding),
    }
}

/// The value of the next part, which must have this name. `m=` in its place is an extension that
/// must be understood. RFC 5802 §5.1.
pub(crate) fn expect_attr(part: Option<&str>, want: char) -> Result<&str, ScramError> {
    match attr_val(part.ok_or(ScramError::InvalidEncoding)?)? {
        (name, value) if name == want => Ok(value),
        ('m', _) => Err(ScramError::ExtensionsNotSupported),
        _ => Err(ScramError::InvalidEncoding),
    }
}

/// `saslname = 1*(value-safe-char / "=2C" / "=3D")`: other uses of `=` are errors. RFC 5802 §5.1
/// (attribute `n`), §7.
pub(crate) fn unescape_saslname(text: &str) -> Result<String, ScramError> {
    let mut pieces = text.split('=');
    let mut name = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (c, rest) = if let Some(rest) = piece.strip_prefix("2C") {
            (',', rest)
        } else if let Some(rest) = piece.strip_prefix("3D") {
            ('=', rest)
        } else {
            return Err(ScramError::InvalidUsernameEncoding);
        };
        name.push(c);
        name.push_str(rest);
    }
    Ok(name)
}

/// The inverse of [`unescape_saslname`].
pub(crate) fn escape_saslname(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// `printable = %x21-2B / %x2D-7E`, at least [`PEER_NONCE_BYTES_MIN`] of them. RFC 5802 §7.
pub(crate) fn is_good_nonce(nonce: &str) -> bool {
    nonce.len() >= PEER_NONCE_BYTES_MIN
        && nonce.bytes().all(|b| matches!(b, 0x21..=0x2b | 0x2d..=0x7e))
}

/// `AuthMessage` of RFC 5802 §3.
pub(crate) fn auth_message(first_bare: &str, server_first: &str, final_bare: &str) -> String {
    format!("{first_bare},{server_first},{final_bare}")
}

/// `a XOR b`, as long as the shorter.
pub(crate) fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

/// `ClientProof` and `ServerSignature` of RFC 5802 §3, made from the salted password.
pub(crate) fn client_proof(
    hash: ScramHash,
    salted: &[u8],
    auth_message: &str,
) -> (Vec<u8>, Vec<u8>) {
    let client_key = hash.hmac(salted, b"Client Key");
    let signature = hash.hmac(&hash.hash(&client_key), auth_message.as_bytes());
    let server_key = hash.hmac(salted, b"Server Key");
    (xor(&client_key, &signature), hash.hmac(&server_key, auth_message.as_bytes()))
}

impl ScramVerifier {
    /// Whether `proof` is that of the password. Compares in constant time. RFC 5802 §3.
    pub(crate) fn is_proof(&self, proof: &[u8], auth_message: &str) -> bool {
        if proof.len() != self.hash.bytes() {
            return false;
        }
        let signature = self.hash.hmac(&self.stored_key, auth_message.as_bytes());
        let stored_key = self.hash.hash(&xor(proof, &signature));
        aws_lc_rs::constant_time::verify_slices_are_equal(&stored_key, &self.stored_key).is_ok()
    }

    /// `ServerSignature` of RFC 5802 §3.
    pub(crate) fn server_signature(&self, auth_message: &str) -> Vec<u8> {
        self.hash.hmac(&self.server_key, auth_message.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, ScramError>) {
        let got = unescape_saslname(text);
        assert_eq!(got.as_deref().map_err(|e| *e), want, "{text}");
    }

    /// RFC 5802 §5.1.
    #[test]
    fn names_are_unescaped() {
        const BAD: Result<&str, ScramError> = Err(ScramError::InvalidUsernameEncoding);
        check("user", Ok("user"));
        check("a=2Cb=3Dc", Ok("a,b=c"));
        check("=3D2C", Ok("=2C"));
        check("=2C", Ok(","));
        check("=2c", BAD);
        check("a=", BAD);
        check("a==3D", BAD);
        check("=20", BAD);
    }

    /// RFC 5802 §7.
    #[test]
    fn attributes_have_a_letter_and_a_value() {
        assert_eq!(attr_val("r=a=b"), Ok(('r', "a=b")));
        for bad in ["", "r", "=x", "r=", "rr=x", "1=x", "r=\0", "é=x"] {
            assert_eq!(attr_val(bad), Err(ScramError::InvalidEncoding), "{bad}");
        }
        assert_eq!(expect_attr(Some("m=x"), 'n'), Err(ScramError::ExtensionsNotSupported));
        assert_eq!(expect_attr(Some("x=x"), 'n'), Err(ScramError::InvalidEncoding));
        assert_eq!(expect_attr(None, 'n'), Err(ScramError::InvalidEncoding));
    }

    /// RFC 5802 §7.
    #[test]
    fn error_values_are_known_or_other() {
        for error in ScramError::ALL {
            assert_eq!(ScramError::from_value(error.value()), error);
        }
        assert_eq!(ScramError::from_value("x-weather"), ScramError::OtherError);
    }

    proptest! {
        #[test]
        fn escaped_names_have_no_comma_and_come_back(name in "\\PC{0,20}") {
            let escaped = escape_saslname(&name);
            prop_assert!(!escaped.contains(','));
            prop_assert_eq!(unescape_saslname(&escaped), Ok(name));
        }
    }
}
