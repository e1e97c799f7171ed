//! Adding to a chain. RFC 8617 §5.1.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use mox_base::{Domain, UnixSeconds};

use super::set::{ChainStatus, INSTANCES_MAX, Seal, collect, message_signature_field};
use super::verify::{Reason, Verdict};
use super::{ChainError, MESSAGE_SIGNATURE_FIELD, RESULTS_FIELD, SEAL_FIELD};
use crate::dkim::{
    BodyDigests, BodyHashes, Canonicalization, Header, HeaderError, PrivateKey, SIGNED_NAMES,
    Selector, SignError, Signature, Signing, canonical_field, check_message, names_to_sign,
    sign_field,
};

/// The fields that are signed besides [`SIGNED_NAMES`]. RFC 8617 §4.1.2.
pub const MESSAGE_SIGNATURE_NAMES: &[&str] = &["MIME-Version", "DKIM-Signature"];

/// Fields that must not be signed: they change on the way. RFC 8617 §4.1.2.
const UNSIGNED_NAMES: &[&str] =
    &[RESULTS_FIELD, MESSAGE_SIGNATURE_FIELD, SEAL_FIELD, "Authentication-Results"];

/// Why nothing was added to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SealError {
    /// The header section cannot be read.
    Header(HeaderError),
    /// Somebody else has found the chain broken: there is nothing to add. RFC 8617 §5.1.
    Broken,
    /// The chain has [`INSTANCES_MAX`] sets.
    TooLong,
    /// Fields that change on the way are among those to be signed. RFC 8617 §4.1.2.
    ChangingFields,
    /// The results cannot be put in a field: a control character, or a line that is not folded.
    BadResults,
    /// The message cannot be signed.
    Sign(SignError),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header(error) => return error.fmt(f),
            Self::Broken => "the chain was found broken before",
            Self::TooLong => "the chain is too long",
            Self::ChangingFields => "fields that change on the way cannot be signed",
            Self::BadResults => "results cannot be put in a field",
            Self::Sign(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for SealError {}

/// Signing as a handler does by default: relaxed forms, and fields may be added by the next one.
#[must_use]
pub fn message_signing(selector: Selector, key: Arc<PrivateKey>) -> Signing {
    let names = SIGNED_NAMES.iter().chain(MESSAGE_SIGNATURE_NAMES);
    Signing {
        header_form: Canonicalization::Relaxed,
        body_form: Canonicalization::Relaxed,
        names: names.map(|name| (*name).to_owned()).collect(),
        is_sealed: false,
        ..Signing::new(selector, key)
    }
}

/// Adds a set to the chain of a message.
///
/// To be used on the message as it will leave, after all other changes and signatures.
pub struct Sealer {
    key: Arc<PrivateKey>,
    /// The field of results, without the last line end.
    results: String,
    signature: Signature,
    /// Has the fields of the message that are signed.
    header: digest::Context,
    seal: Seal,
    /// Has all sets before this one, unless they make no chain.
    before: digest::Context,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("seal", &self.seal).finish_non_exhaustive()
    }
}

impl Sealer {
    /// Hashes the header, and tells `bodies` what is needed.
    ///
    /// - `verdict`: what was found of the chain when the message came.
    /// - `results`: what was found of the message: what an Authentication-Results field would say.
    ///
    /// # Errors
    ///
    /// If there is nothing to add, or the fields cannot be made.
    pub fn new(
        header: &Header<'_>,
        bodies: &mut BodyHashes,
        verdict: &Verdict,
        results: &str,
        domain: &Domain,
        signing: &Signing,
        now: UnixSeconds,
    ) -> Result<Self, SealError> {
        let instance = next_instance(verdict)?;
        let changes = |name: &String| UNSIGNED_NAMES.iter().any(|un| name.eq_ignore_ascii_case(un));
        if signing.names.iter().any(changes) {
            return Err(SealError::ChangingFields);
        }
        if !signing.names.iter().any(|name| name.eq_ignore_ascii_case("From")) {
            return Err(SealError::Sign(SignError::UnsignedFrom));
        }
        check_message(header).map_err(SealError::Sign)?;
        let results = results_field(instance, results)?;
        let names = names_to_sign(header, &signing.names, signing.is_sealed);
        let signature = Signature {
            domain: domain.clone(),
            selector: signing.selector.clone(),
            identity: None,
            algorithm: signing.key.algorithm(),
            header_form: signing.header_form,
            body_form: signing.body_form,
            signed_at: Some(now),
            expires_at: signing.lifetime_secs.map(|secs| now.plus_secs(secs.into())),
            body_bytes: None,
            query_methods: Vec::new(),
            signed_names: names.map_err(SealError::Sign)?,
            copied_fields: Vec::new(),
            body_hash: Vec::new(),
            signature: Vec::new(),
        };
        let mut context = digest::Context::new(&digest::SHA256);
        header.hash_selected(&signature.signed_names, signature.header_form, None, &mut context);
        bodies.want(signature.body_form, None);
        let seal = Seal {
            instance,
            status: verdict.status,
            domain: domain.clone(),
            selector: signing.selector.clone(),
            algorithm: signing.key.algorithm(),
            signed_at: Some(now),
            signature: Vec::new(),
        };
        let key = Arc::clone(&signing.key);
        let before = hash_before(header, verdict.status);
        Ok(Self { key, results, signature, header: context, seal, before })
    }

    /// The fields to be put in front of the message, each with its line end.
    ///
    /// # Errors
    ///
    /// If the key cannot be used.
    pub fn finish(self, bodies: &BodyDigests) -> Result<String, SealError> {
        let Self { key, results, mut signature, header, mut seal, mut before } = self;
        let failed = |error| SealError::Sign(SignError::Key(error));
        let body = bodies.get(signature.body_form, None);
        signature.body_hash = body.map(|body| body.hash.to_vec()).unwrap_or_default();
        let unsigned = message_signature_field(seal.instance, &signature);
        let form = signature.header_form;
        signature.signature = sign_field(header, &unsigned, form, &key).map_err(failed)?;
        let message = message_signature_field(seal.instance, &signature);
        for field in [&results, &message] {
            let (name, value) = field.split_once(':').unwrap_or_default();
            let (name, value) = (name.as_bytes(), value.as_bytes());
            let mut canonical = Vec::new();
            canonical_field(Canonicalization::Relaxed, name, value, &mut canonical);
            canonical.extend_from_slice(b"\r\n");
            before.update(&canonical);
        }
        let relaxed = Canonicalization::Relaxed;
        let signed = sign_field(before, &seal.to_field(), relaxed, &key);
        seal.signature = signed.map_err(failed)?;
        Ok(format!("{}\r\n{message}\r\n{results}\r\n", seal.to_field()))
    }
}

/// Seals a message that is in memory, and returns the fields to be put in front of it.
///
/// # Errors
///
/// As [`Sealer::new`], or if the header section is too large.
pub fn seal(
    message: &[u8],
    verdict: &Verdict,
    results: &str,
    domain: &Domain,
    signing: &Signing,
    now: UnixSeconds,
) -> Result<String, SealError> {
    let header = Header::parse(message).map_err(SealError::Header)?;
    let mut bodies = BodyHashes::new();
    let sealer = Sealer::new(&header, &mut bodies, verdict, results, domain, signing, now)?;
    bodies.update(header.body(message));
    sealer.finish(&bodies.finish())
}

/// RFC 8617 §5.1 steps 2 and 3.
fn next_instance(verdict: &Verdict) -> Result<u8, SealError> {
    if verdict.reason == Some(Reason::Chain(ChainError::Broken)) {
        return Err(SealError::Broken);
    }
    let next = verdict.highest_instance + 1;
    if next > INSTANCES_MAX { Err(SealError::TooLong) } else { Ok(next) }
}

/// The hash of all sets before the new one; of none if they are no chain, which a seal that says so
/// does not cover. RFC 8617 §5.1.1, §5.1.2.
fn hash_before(header: &Header<'_>, status: ChainStatus) -> digest::Context {
    let mut context = digest::Context::new(&digest::SHA256);
    if status == ChainStatus::Pass {
        for set in collect(header).1.unwrap_or_default() {
            set.hash_whole(&mut context);
        }
    }
    context
}

/// Refuses what would end the field early: results have text of others in them.
fn results_field(instance: u8, results: &str) -> Result<String, SealError> {
    let unfolded = results.replace("\r\n ", " ").replace("\r\n\t", " ");
    if unfolded.chars().any(|c| c.is_control() && c != '\t') {
        return Err(SealError::BadResults);
    }
    Ok(format!("{RESULTS_FIELD}: i={instance}; {}", results.trim()))
}
