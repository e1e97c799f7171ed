//! Signing messages. RFC 6376 §5.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use mox_base::{Domain, UnixSeconds};

use super::body::{BodyDigests, BodyHashes};
use super::canonical::canonical_field;
use super::header::{Header, HeaderError};
use super::private_key::{PrivateKey, PrivateKeyError};
use super::signature::{Identity, SIGNED_NAMES_MAX, Signature};
use super::{Canonicalization, Selector};

/// The fields that are signed unless something else is said: those a reader sees, and those that
/// say what belongs together. RFC 6376 §5.4.1.
pub const SIGNED_NAMES: &[&str] = &[
    "From",
    "To",
    "Cc",
    "Bcc",
    "Reply-To",
    "References",
    "In-Reply-To",
    "Subject",
    "Date",
    "Message-Id",
    "Content-Type",
];

/// Why a message was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignError {
    /// The header section cannot be read.
    Header(HeaderError),
    /// The message begins with a blank: its first line would become a part of the signature.
    BeginsFolded,
    /// There is no From field, or more than one. RFC 6376 §5.4, §8.15.
    NotOneFrom,
    /// From is not among the names that are signed. RFC 6376 §5.4.
    UnsignedFrom,
    /// More than [`SIGNED_NAMES_MAX`] fields have names that are signed.
    TooManyFields,
    /// The identity is not within the domain. RFC 6376 §3.5, `i=`.
    ForeignIdentity,
    /// The key cannot be used.
    Key(PrivateKeyError),
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header(error) => return error.fmt(f),
            Self::BeginsFolded => "message begins with a blank",
            Self::NotOneFrom => "message must have one From field",
            Self::UnsignedFrom => "From is not among the signed fields",
            Self::TooManyFields => "too many fields to be signed",
            Self::ForeignIdentity => "identity is not within the domain",
            Self::Key(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for SignError {}

/// How to sign: a key of a domain and what it is used for.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The name of the key.
    pub selector: Selector,
    /// The key.
    pub key: Arc<PrivateKey>,
    /// The form of the header that is signed.
    pub header_form: Canonicalization,
    /// The form of the body that is signed.
    pub body_form: Canonicalization,
    /// The fields that are signed. All of one name are, if there are several.
    pub names: Vec<String>,
    /// Whether each name is listed once more than there are fields of it, so that none can be
    /// added. RFC 6376 §8.15.
    pub is_sealed: bool,
    /// For how many seconds the signature is valid; for ever if there is nothing.
    pub lifetime_secs: Option<u32>,
}

impl Signing {
    /// Signing as by default: simple forms, [`SIGNED_NAMES`], sealed, without end.
    #[must_use]
    pub fn new(selector: Selector, key: Arc<PrivateKey>) -> Self {
        Self {
            selector,
            key,
            header_form: Canonicalization::Simple,
            body_form: Canonicalization::Simple,
            names: SIGNED_NAMES.iter().map(|name| (*name).to_owned()).collect(),
            is_sealed: true,
            lifetime_secs: None,
        }
    }
}

/// Signs a message with one or more keys.
///
/// The header is hashed at once, then the body goes through the [`BodyHashes`], then
/// [`Signer::finish`] makes the fields. Signatures of the same forms share one body hash.
#[derive(Debug)]
pub struct Signer(Vec<Begun>);

/// A signature that lacks the body.
struct Begun {
    key: Arc<PrivateKey>,
    signature: Signature,
    /// Has the fields that are signed, all but its own.
    header: digest::Context,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Begun").field(&self.signature).finish()
    }
}

impl Signer {
    /// Hashes the header, and tells `bodies` what is needed.
    ///
    /// - `identity`: for whom the domain signs, if that is to be told.
    ///
    /// # Errors
    ///
    /// If the message has not exactly one From field, a signing does not sign it or signs too many
    /// fields, or the identity is not within the domain.
    pub fn new(
        header: &Header<'_>,
        bodies: &mut BodyHashes,
        domain: &Domain,
        identity: Option<&Identity>,
        signings: &[Signing],
        now: UnixSeconds,
    ) -> Result<Self, SignError> {
        check_message(header)?;
        if identity.is_some_and(|identity| !identity.domain.is_within(domain)) {
            return Err(SignError::ForeignIdentity);
        }
        let begun = signings.iter().map(|signing| {
            if !signing.names.iter().any(|name| name.eq_ignore_ascii_case("From")) {
                return Err(SignError::UnsignedFrom);
            }
            bodies.want(signing.body_form, None);
            let lifetime = signing.lifetime_secs.map(i64::from);
            let signature = Signature {
                domain: domain.clone(),
                selector: signing.selector.clone(),
                identity: identity.cloned(),
                algorithm: signing.key.algorithm(),
                header_form: signing.header_form,
                body_form: signing.body_form,
                signed_at: Some(now),
                expires_at: lifetime.map(|secs| now.plus_secs(secs)),
                body_bytes: None,
                query_methods: Vec::new(),
                signed_names: names_to_sign(header, &signing.names, signing.is_sealed)?,
                copied_fields: Vec::new(),
                body_hash: Vec::new(),
                signature: Vec::new(),
            };
            let mut context = digest::Context::new(&digest::SHA256);
            let form = signature.header_form;
            header.hash_selected(&signature.signed_names, form, None, &mut context);
            Ok(Begun { key: Arc::clone(&signing.key), signature, header: context })
        });
        begun.collect::<Result<_, _>>().map(Self)
    }

    /// The fields to be put in front of the message, each with its line end, in the order of the
    /// signings.
    ///
    /// # Errors
    ///
    /// If a key cannot be used.
    pub fn finish(self, bodies: &BodyDigests) -> Result<String, SignError> {
        let mut fields = String::new();
        for begun in self.0 {
            let Begun { key, mut signature, header } = begun;
            let body = bodies.get(signature.body_form, None);
            signature.body_hash = body.map(|body| body.hash.to_vec()).unwrap_or_default();
            let form = signature.header_form;
            let sign = |field: &str| sign_field(header, field, form, &key);
            signature.signature = sign(&signature.to_field()).map_err(SignError::Key)?;
            fields.push_str(&signature.to_field());
            fields.push_str("\r\n");
        }
        Ok(fields)
    }
}

/// Signs a message that is in memory, and returns the fields to be put in front of it.
///
/// # Errors
///
/// As [`Signer::new`], or if the header section is too large.
pub fn sign(
    message: &[u8],
    domain: &Domain,
    identity: Option<&Identity>,
    signings: &[Signing],
    now: UnixSeconds,
) -> Result<String, SignError> {
    let header = Header::parse(message).map_err(SignError::Header)?;
    let mut bodies = BodyHashes::new();
    let signer = Signer::new(&header, &mut bodies, domain, identity, signings, now)?;
    bodies.update(header.body(message));
    signer.finish(&bodies.finish())
}

/// Whether a message is one that can be signed at all.
pub(crate) fn check_message(header: &Header<'_>) -> Result<(), SignError> {
    if header.begins_folded() {
        return Err(SignError::BeginsFolded);
    }
    if header.count("From") == 1 { Ok(()) } else { Err(SignError::NotOneFrom) }
}

/// The names for `h=`: each as often as there are fields, and once more if that is to be sealed.
/// RFC 6376 §5.4, §8.15.
pub(crate) fn names_to_sign(
    header: &Header<'_>,
    names: &[String],
    is_sealed: bool,
) -> Result<Vec<String>, SignError> {
    let mut all = Vec::new();
    for name in names {
        let times = header.count(name) + usize::from(is_sealed);
        if all.len() + times > SIGNED_NAMES_MAX {
            return Err(SignError::TooManyFields);
        }
        all.extend(std::iter::repeat_n(name.clone(), times));
    }
    Ok(all)
}

/// Signs a field that has no value in its `b=`, after what was hashed before it. RFC 6376 §3.7.
pub(crate) fn sign_field(
    mut context: digest::Context,
    field: &str,
    form: Canonicalization,
    key: &PrivateKey,
) -> Result<Vec<u8>, PrivateKeyError> {
    let (name, value) = field.split_once(':').unwrap_or_default();
    let mut own = Vec::new();
    canonical_field(form, name.as_bytes(), value.as_bytes(), &mut own);
    context.update(&own);
    key.sign(&context.finish())
}
