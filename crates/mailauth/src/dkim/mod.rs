//! Signatures of domains over messages (DKIM): RFC 6376, RFC 8301, RFC 8463, RFC 8616.
//!
//! - [`Header`] and [`BodyHashes`] are what is read of a message: the header section at once, the
//!   body in pieces of any size.
//! - [`Verifier`] checks the signatures of a message with the [`Keys`] of their domains.
//! - [`Signer`] signs a message with one or more [`PrivateKey`]s of a domain.
//! - [`KeyRecord`] is what a domain has in DNS.

mod algorithm;
mod body;
mod canonical;
mod fold;
mod header;
mod keys;
mod pem;
mod private_key;
mod record;
mod selector;
mod sign;
mod signature;
mod tags;
#[cfg(test)]
mod tests;
mod verify;

pub use algorithm::{
    Algorithm, PublicKey, PublicKeyError, RSA_BITS_MAX, RSA_BITS_MIN, RSA_BITS_STRONG,
};
pub use body::{BodyDigests, BodyHashes};
pub use canonical::Canonicalization;
pub use header::{HEADER_BYTES_MAX, HEADER_FIELDS_MAX, Header, HeaderError};
pub use keys::{KEY_TEXTS_MAX, Key, KeyError, Keys, look_up};
pub use pem::{PEM_BYTES_MAX, parse_pem, print_pem};
pub use private_key::{PrivateKey, PrivateKeyError};
pub use record::{KeyRecord, KeyType, RECORD_BYTES_MAX, RecordError, TXT_CHUNK_BYTES};
pub use selector::Selector;
pub use sign::{SIGNED_NAMES, SignError, Signer, Signing, sign};
pub use signature::{CopiedField, Identity, SIGNATURE_BYTES_MAX, SIGNED_NAMES_MAX, Signature};
pub use tags::{TAG_LIST_BYTES_MAX, TAGS_MAX, TagError};
pub use verify::{FUTURE_SECS_MAX, Reason, SIGNATURES_MAX, Status, Verification, Verifier, verify};

// What signatures of ARC have in common with those of DKIM.
pub(crate) use canonical::canonical_field;
pub(crate) use fold::Folder;
pub(crate) use header::HeaderField;
pub(crate) use sign::{check_message, names_to_sign, sign_field};
pub(crate) use tags::{Tags, encode_base64};
pub(crate) use verify::{
    Pending, check_any, check_from, check_signer, public_key_for, signed_data, without_signature,
};
