//! The record that holds a public key. RFC 6376 §3.6.1.

use std::fmt;

use super::algorithm::{PublicKey, PublicKeyError};
use super::tags::{TagError, Tags, colon_list, decode_quoted, encode_base64, quote_char};

/// The longest record that is read, in bytes. RFC 6376 §3.6.2.2 sets no bound; the largest RSA key
/// that is used takes 1.5 KiB.
pub const RECORD_BYTES_MAX: usize = 8 * 1024;

/// The longest string of a TXT record as it is written for a zone file. RFC 1035 §3.3.14 allows
/// 255; some forms of DNS providers cut at less.
pub const TXT_CHUNK_BYTES: usize = 100;

/// What kind of key it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// RFC 6376 §3.6.1.
    #[default]
    Rsa,
    /// RFC 8463 §4.
    Ed25519,
    /// Something else, in lower case.
    Other(String),
}

impl KeyType {
    fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase() {
            name if name == "rsa" => Self::Rsa,
            name if name == "ed25519" => Self::Ed25519,
            name => Self::Other(name),
        }
    }

    /// The name in a record.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
            Self::Other(name) => name,
        }
    }
}

/// A public key as a domain publishes it, and what it may be used for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRecord {
    /// Hashes that the key may be used with, in lower case; all if there are none.
    pub hashes: Vec<String>,
    /// What kind of key it is.
    pub key_type: KeyType,
    /// Text for people.
    pub notes: String,
    /// The key in the form of its kind; empty if it was revoked.
    pub public_key: Vec<u8>,
    /// What the key may be used for, in lower case; everything if there is none.
    pub services: Vec<String>,
    /// The domain only tries DKIM out: failures mean nothing. `t=y`.
    pub is_testing: bool,
    /// Signatures must not be for subdomains. `t=s`.
    pub is_strict: bool,
}

/// Why a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordError {
    /// Text that does not claim to hold a key.
    NotKey,
    /// It claims to hold a key and does not.
    Malformed(TagError),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKey => f.write_str("not a DKIM record"),
            Self::Malformed(error) => write!(f, "malformed DKIM record: {error}"),
        }
    }
}

impl std::error::Error for RecordError {}

impl KeyRecord {
    /// Reads a record, all strings of a TXT joined.
    ///
    /// # Errors
    ///
    /// [`RecordError::NotKey`] if it does not begin with `v=DKIM1` and has no readable key either.
    pub fn parse(text: &[u8]) -> Result<Self, RecordError> {
        if text.len() > RECORD_BYTES_MAX {
            return Err(if claims_key(text) {
                RecordError::Malformed(TagError::TooLong)
            } else {
                RecordError::NotKey
            });
        }
        Self::from_tags(text).map_err(|error| {
            if claims_key(text) { RecordError::Malformed(error) } else { RecordError::NotKey }
        })
    }

    fn from_tags(text: &[u8]) -> Result<Self, TagError> {
        let tags = Tags::parse(text)?;
        // The version is optional; if it is there it comes first, and is compared as bytes.
        if tags.get("v").is_some_and(|version| version != "DKIM1" || tags.first_name() != Some("v"))
        {
            return Err(TagError::BadValue("v"));
        }
        let names = |name: &'static str| {
            let list = tags.get(name).map(colon_list);
            list.into_iter().flatten().map(str::to_ascii_lowercase)
        };
        let notes = tags.get("n").map_or(Some(Vec::new()), decode_quoted);
        Ok(Self {
            hashes: names("h").collect(),
            key_type: tags.get("k").map(KeyType::parse).unwrap_or_default(),
            notes: String::from_utf8_lossy(&notes.unwrap_or_default()).into_owned(),
            public_key: tags.bytes("p")?,
            services: names("s").collect(),
            is_testing: names("t").any(|flag| flag == "y"),
            is_strict: names("t").any(|flag| flag == "s"),
        })
    }

    /// Whether the key was withdrawn: the signature is to be taken as failed. RFC 6376 §3.6.1.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.public_key.is_empty()
    }

    /// Whether it may be used with SHA-256.
    #[must_use]
    pub fn allows_sha256(&self) -> bool {
        self.hashes.is_empty() || self.hashes.iter().any(|hash| hash == "sha256")
    }

    /// Whether it may be used for mail.
    #[must_use]
    pub fn allows_email(&self) -> bool {
        self.services.is_empty() || self.services.iter().any(|name| name == "*" || name == "email")
    }

    /// The key, ready to check signatures.
    ///
    /// # Errors
    ///
    /// If it is malformed or of a kind that is not known, or its length is out of bounds.
    pub fn public_key(&self) -> Result<PublicKey, PublicKeyError> {
        match self.key_type {
            KeyType::Rsa => PublicKey::rsa(&self.public_key),
            KeyType::Ed25519 => PublicKey::ed25519(&self.public_key),
            KeyType::Other(_) => Err(PublicKeyError::Malformed),
        }
    }

    /// The strings of a TXT record, [`TXT_CHUNK_BYTES`] at most each, to be joined by whoever reads
    /// it. RFC 6376 §3.6.2.2.
    #[must_use]
    pub fn txt_chunks(&self) -> Vec<String> {
        let mut chunks = vec![String::new()];
        for c in self.to_string().chars() {
            match chunks.last_mut() {
                Some(last) if last.len() + c.len_utf8() <= TXT_CHUNK_BYTES => last.push(c),
                _ => chunks.push(c.into()),
            }
        }
        chunks
    }
}

/// Whether a text is meant as a key, right or wrong.
fn claims_key(text: &[u8]) -> bool {
    let text = text.trim_ascii_start().strip_prefix(b"v").map(<[u8]>::trim_ascii_start);
    let value = text.and_then(|text| text.strip_prefix(b"="));
    value.is_some_and(|value| value.trim_ascii_start().starts_with(b"DKIM1"))
}

impl fmt::Display for KeyRecord {
    /// The text of the record; what is as by default is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("v=DKIM1")?;
        if !self.hashes.is_empty() {
            write!(f, ";h={}", self.hashes.join(":"))?;
        }
        if self.key_type != KeyType::Rsa {
            write!(f, ";k={}", self.key_type.name())?;
        }
        if !self.notes.is_empty() {
            let mut quoted = String::new();
            self.notes.chars().for_each(|c| quote_char(c, &mut quoted));
            write!(f, ";n={quoted}")?;
        }
        if !self.services.is_empty() {
            write!(f, ";s={}", self.services.join(":"))?;
        }
        match (self.is_testing, self.is_strict) {
            (false, false) => {}
            (true, false) => f.write_str(";t=y")?,
            (false, true) => f.write_str(";t=s")?,
            (true, true) => f.write_str(";t=y:s")?,
        }
        write!(f, ";p={}", encode_base64(&self.public_key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, RecordError>) {
        let got = KeyRecord::parse(text.as_bytes()).map(|record| record.to_string());
        assert_eq!(got, want.map(str::to_owned), "{text:?}");
    }

    fn malformed(error: TagError) -> Result<&'static str, RecordError> {
        Err(RecordError::Malformed(error))
    }

    /// RFC 6376 §3.6.1, RFC 8463 §4.
    #[test]
    fn records_are_parsed_or_refused() {
        // Valid.
        check("v=DKIM1; p=AQID", Ok("v=DKIM1;p=AQID"));
        check("v=DKIM1; k=ed25519; p=AQID;", Ok("v=DKIM1;k=ed25519;p=AQID"));
        check(
            "v=DKIM1;h=SHA256:sha1;k=rsa;n=a=20b;s=email:*;t=Y:s:x;p=AQ\t ID",
            Ok("v=DKIM1;h=sha256:sha1;n=a=20b;s=email:*;t=y:s;p=AQID"),
        );
        // At the edge: revoked, no version, unknown tags and kinds, blanks.
        check("v=DKIM1;p=", Ok("v=DKIM1;p="));
        check("p=AQID", Ok("v=DKIM1;p=AQID"));
        check("k=rsa; t=s; p=AQID", Ok("v=DKIM1;t=s;p=AQID"));
        check(" v = DKIM1 ; g=*; zz=1; k=Dummy ; p = AQID ", Ok("v=DKIM1;k=dummy;p=AQID"));
        // Just past it.
        check("p=AQID;v=DKIM1", Err(RecordError::NotKey));
        check("v=dkim1;p=AQID", Err(RecordError::NotKey));
        check("v=DKIM12;p=AQID", malformed(TagError::BadValue("v")));
        check("v=DKIM1;k=rsa", malformed(TagError::Missing("p")));
        check("v=DKIM1;p=A!", malformed(TagError::BadValue("p")));
        check("v=DKIM1;p=;p=", malformed(TagError::Duplicate));
        check(
            &format!("v=DKIM1;p=;n={}", "a".repeat(RECORD_BYTES_MAX)),
            malformed(TagError::TooLong),
        );
        // Never valid.
        check("", Err(RecordError::NotKey));
        check("v=spf1 -all", Err(RecordError::NotKey));
        check("v=DMARC1; p=none!", Err(RecordError::NotKey));
        check(&"a".repeat(RECORD_BYTES_MAX + 1), Err(RecordError::NotKey));
    }

    #[track_caller]
    fn check_uses(text: &str, sha256: bool, email: bool, revoked: bool) {
        let record = KeyRecord::parse(text.as_bytes()).unwrap();
        let got = (record.allows_sha256(), record.allows_email(), record.is_revoked());
        assert_eq!(got, (sha256, email, revoked), "{text}");
    }

    /// RFC 6376 §3.6.1, `h=`, `s=`, `p=`.
    #[test]
    fn uses_of_keys_are_limited() {
        check_uses("v=DKIM1;p=AQID", true, true, false);
        check_uses("v=DKIM1;h=sha1:sha256;s=other:EMAIL;p=AQID", true, true, false);
        check_uses("v=DKIM1;s=*;p=", true, true, true);
        check_uses("v=DKIM1;h=sha1;s=other;p=AQID", false, false, false);
        check_uses("v=DKIM1;h=;s=;p=AQID", false, false, false);
    }

    /// RFC 6376 §3.6.2.2.
    #[test]
    fn long_records_are_cut_into_strings() {
        let record = KeyRecord { public_key: vec![7; 294], ..KeyRecord::default() };
        let chunks = record.txt_chunks();
        assert_eq!(chunks.iter().map(String::len).collect::<Vec<_>>(), [100, 100, 100, 100, 2]);
        assert_eq!(chunks.concat(), record.to_string());
        assert!(record.public_key().is_err());
    }

    fn name() -> impl Strategy<Value = String> {
        "[a-z][a-z0-9-]{0,5}[a-z0-9]"
    }

    proptest! {
        #[test]
        fn what_is_printed_is_the_same_record(
            hashes in proptest::collection::vec(name(), 0..3),
            key_type in prop_oneof![
                Just(KeyType::Rsa),
                Just(KeyType::Ed25519),
                Just(KeyType::Other("dummy".to_owned())),
            ],
            notes in "\\PC{0,10}",
            public_key in proptest::collection::vec(any::<u8>(), 0..300),
            services in proptest::collection::vec(name(), 0..3),
            is_testing: bool,
            is_strict: bool,
        ) {
            let record =
                KeyRecord { hashes, key_type, notes, public_key, services, is_testing, is_strict };
            prop_assert_eq!(KeyRecord::parse(record.to_string().as_bytes()), Ok(record));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(v=DKIM1|;|p=|k=|t=|[ -~]){0,10}") {
            if let Ok(record) = KeyRecord::parse(text.as_bytes()) {
                prop_assert_eq!(KeyRecord::parse(record.to_string().as_bytes()), Ok(record));
            }
        }
    }
}
