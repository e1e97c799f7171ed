//! Checking the signatures of a message. RFC 6376 §6.1.

use std::fmt;

use aws_lc_rs::digest::{self, Digest};
use mox_base::{Domain, UnixSeconds};
use mox_dns::{Name, Resolver, Security, public_suffix};

use super::algorithm::RSA_BITS_STRONG;
use super::body::{BodyDigests, BodyHashes};
use super::canonical::canonical_field;
use super::header::{Header, HeaderError, HeaderField};
use super::keys::{Key, KeyError, Keys};
use super::record::KeyType;
use super::signature::Signature;
use super::tags::{TagError, Tags};
use super::{Algorithm, PublicKey, PublicKeyError};

/// The largest number of signatures of one message that are checked, from the top. RFC 6376 §6.1
/// lets verifiers set a limit; honest messages have up to five.
pub const SIGNATURES_MAX: usize = 12;

/// How far in the future a signature may have been made, in seconds: clocks differ, but not by a
/// day. RFC 6376 §3.5, `t=`.
pub const FUTURE_SECS_MAX: i64 = 24 * 60 * 60;

/// What became of a signature. RFC 8601 §2.7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// There is none, or none that counts.
    None,
    /// It is good.
    Pass,
    /// It is not that of this message.
    Fail,
    /// It may be good, and is not accepted for what it leaves open.
    Policy,
    /// It could not be checked; later it may.
    TempError,
    /// It cannot be checked.
    PermError,
}

impl Status {
    /// The name in an Authentication-Results field.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Policy => "policy",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a signature did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The header section cannot be read.
    Header(HeaderError),
    /// The field cannot be read.
    Malformed(TagError),
    /// After [`SIGNATURES_MAX`] others.
    TooMany,
    /// A From field is not signed. RFC 6376 §5.4.
    UnsignedFrom,
    /// The Subject is not signed: anybody could have written another.
    UnsignedSubject,
    /// `x=` is over. RFC 6376 §3.5.
    Expired,
    /// `t=` is more than [`FUTURE_SECS_MAX`] away.
    FromFuture,
    /// The domain is one that belongs to no one. RFC 6376 §6.1.1.
    PublicSuffix,
    /// Withdrawn: RFC 8301 §3.1.
    HistoricAlgorithm,
    /// Not one that is known.
    UnknownAlgorithm,
    /// The key is not in DNS.
    UnknownQueryMethod,
    /// Where the key would be is too long for a name.
    LongKeyName,
    /// There is no key.
    Key(KeyError),
    /// The key is not for SHA-256. RFC 6376 §3.6.1, `h=`.
    KeyNotForHash,
    /// The key is not for this algorithm. RFC 6376 §3.6.1, `k=`.
    KeyNotForAlgorithm,
    /// The key was revoked. RFC 6376 §3.6.1, `p=`.
    KeyRevoked,
    /// The key is not for mail. RFC 6376 §3.6.1, `s=`.
    KeyNotForMail,
    /// The key is not for subdomains. RFC 6376 §3.6.1, `t=s`.
    KeyNotForSubdomains,
    /// The key cannot be used.
    PublicKey(PublicKeyError),
    /// What is signed of the header was changed, or signed with another key.
    BadSignature,
    /// The body was changed.
    BadBodyHash,
    /// The body has fewer bytes than were signed. RFC 6376 §3.5, `l=`.
    ShortBody,
    /// Something was, or could have been, added to the body. RFC 6376 §8.2.
    UncoveredBody,
}

impl Reason {
    /// What the signature counts as.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::BadSignature | Self::BadBodyHash | Self::ShortBody => Status::Fail,
            Self::TooMany | Self::UnsignedSubject | Self::FromFuture | Self::UncoveredBody => {
                Status::Policy
            }
            Self::Header(_) => Status::None,
            Self::Key(error) if error.is_temporary() => Status::TempError,
            _ => Status::PermError,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header(error) => return error.fmt(f),
            Self::Malformed(error) => return write!(f, "malformed signature: {error}"),
            Self::TooMany => "too many signatures",
            Self::UnsignedFrom => "a From field is not signed",
            Self::UnsignedSubject => "Subject is not signed",
            Self::Expired => "signature has expired",
            Self::FromFuture => "signature is from the future",
            Self::PublicSuffix => "domain of the signature is a public suffix",
            Self::HistoricAlgorithm => "algorithm is no longer secure",
            Self::UnknownAlgorithm => "unknown algorithm",
            Self::UnknownQueryMethod => "unknown query method",
            Self::LongKeyName => "name of the key is too long",
            Self::Key(error) => return error.fmt(f),
            Self::KeyNotForHash => "key is not for this hash",
            Self::KeyNotForAlgorithm => "key is not for this algorithm",
            Self::KeyRevoked => "key was revoked",
            Self::KeyNotForMail => "key is not for mail",
            Self::KeyNotForSubdomains => "key is not for subdomains",
            Self::PublicKey(error) => return error.fmt(f),
            Self::BadSignature => "signature does not match",
            Self::BadBodyHash => "body hash does not match",
            Self::ShortBody => "body is shorter than was signed",
            Self::UncoveredBody => "signature leaves a part of the body open",
        })
    }
}

/// What became of one signature, in the order of the message.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The result.
    pub status: Status,
    /// Why it did not pass.
    pub reason: Option<Reason>,
    /// The signature, if it could be read.
    pub signature: Option<Signature>,
    /// The key, if one was found.
    pub key: Option<Key>,
    /// Whether DNSSEC vouches for the key, or that there is none; none if nobody asked.
    pub security: Option<Security>,
}

impl Verification {
    /// The length of the RSA key, in bits.
    #[must_use]
    pub fn rsa_bits(&self) -> Option<u32> {
        match self.key.as_ref()?.public_key {
            Ok(PublicKey::Rsa { bits, .. }) => Some(bits),
            _ => None,
        }
    }

    /// Whether the key is an RSA key of fewer than [`RSA_BITS_STRONG`] bits. RFC 8301 §3.2.
    #[must_use]
    pub fn is_key_weak(&self) -> bool {
        self.rsa_bits().is_some_and(|bits| bits < RSA_BITS_STRONG)
    }

    fn failed(reason: Reason, signature: Option<Signature>) -> Self {
        let status = reason.status();
        Self { status, reason: Some(reason), signature, key: None, security: None }
    }
}

/// Checks all signatures of a message.
///
/// The header is hashed at once. Then the body goes through the [`BodyHashes`] while the keys at
/// [`Verifier::key_names`] are looked up; [`Verifier::finish`] puts both together. At most
/// [`SIGNATURES_MAX`] signatures cost more than to be counted.
///
/// Ours is stricter than RFC 6376 asks: see [`Reason::UnsignedSubject`], [`Reason::UncoveredBody`],
/// [`Reason::FromFuture`], which §6.1 leaves to the verifier.
#[derive(Debug)]
pub struct Verifier {
    checks: Vec<Check>,
    too_many: bool,
}

#[derive(Debug)]
enum Check {
    Done(Box<Verification>),
    Pending(Box<Pending>),
}

/// A signature of which only the key and the body are not known yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) signature: Signature,
    pub(crate) key_name: Name,
    /// The hash of what was signed of the header.
    pub(crate) data: Digest,
}

impl Verifier {
    /// Reads the signatures of a header section, and tells `bodies` what they need.
    #[must_use]
    pub fn new(header: &Header<'_>, bodies: &mut BodyHashes, now: UnixSeconds) -> Self {
        let mut fields = header.all(Signature::FIELD_NAME);
        let first = fields.by_ref().take(SIGNATURES_MAX);
        let checks = first.map(|(place, field)| begin(header, place, field, bodies, now)).collect();
        Self { checks, too_many: fields.next().is_some() }
    }

    /// Where the keys are that must be looked up; the same may come twice.
    pub fn key_names(&self) -> impl Iterator<Item = Name> {
        self.checks.iter().filter_map(|check| match check {
            Check::Done(_) => None,
            Check::Pending(pending) => Some(pending.key_name.clone()),
        })
    }

    /// The results, in the order of the message from the top; none if nothing is signed. One result
    /// stands for all signatures after the first [`SIGNATURES_MAX`].
    #[must_use]
    pub fn finish(self, keys: &Keys, bodies: &BodyDigests) -> Vec<Verification> {
        let results = self.checks.into_iter().map(|check| match check {
            Check::Done(done) => *done,
            Check::Pending(pending) => pending.finish(keys, bodies),
        });
        let rest = self.too_many.then(|| Verification::failed(Reason::TooMany, None));
        results.chain(rest).collect()
    }
}

/// Checks the signatures of a message that is in memory.
///
/// - `message`: header section, empty line, body.
///
/// # Errors
///
/// If the header section is too large.
pub async fn verify<R: Resolver + ?Sized>(
    resolver: &R,
    message: &[u8],
    now: UnixSeconds,
) -> Result<Vec<Verification>, HeaderError> {
    let mut bodies = BodyHashes::new();
    let header = Header::parse(message)?;
    let verifier = Verifier::new(&header, &mut bodies, now);
    let keys = Keys::look_up(resolver, verifier.key_names()).await;
    if !bodies.is_unused() {
        bodies.update(header.body(message));
    }
    Ok(verifier.finish(&keys, &bodies.finish()))
}

/// Does all that needs neither key nor body.
fn begin(
    header: &Header<'_>,
    place: usize,
    field: HeaderField<'_>,
    bodies: &mut BodyHashes,
    now: UnixSeconds,
) -> Check {
    let signature = match Signature::parse(field.value) {
        Ok(signature) => signature,
        Err(error) => {
            return Check::Done(Box::new(Verification::failed(Reason::Malformed(error), None)));
        }
    };
    if let Err(reason) = check_static(&signature, header, now) {
        return Check::Done(Box::new(Verification::failed(reason, Some(signature))));
    }
    let Ok(key_name) = signature.selector.key_name(&signature.domain) else {
        let failed = Verification::failed(Reason::LongKeyName, Some(signature));
        return Check::Done(Box::new(failed));
    };
    bodies.want(signature.body_form, signature.body_bytes);
    let data = signed_data(header, place, field, &signature);
    Check::Pending(Box::new(Pending { signature, key_name, data }))
}

/// What can be said of a signature without its key. RFC 6376 §6.1.1.
fn check_static(
    signature: &Signature,
    header: &Header<'_>,
    now: UnixSeconds,
) -> Result<(), Reason> {
    check_from(signature, header)?;
    check_any(signature, now)?;
    if signature.count_signed("Subject") == 0 {
        return Err(Reason::UnsignedSubject);
    }
    Ok(())
}

/// What is checked of signatures over messages, those of ARC too.
pub(crate) fn check_any(signature: &Signature, now: UnixSeconds) -> Result<(), Reason> {
    if signature.expires_at.is_some_and(|expires| expires < now) {
        return Err(Reason::Expired);
    }
    check_signer(&signature.domain, &signature.algorithm)?;
    if !signature.is_key_in_dns() {
        return Err(Reason::UnknownQueryMethod);
    }
    if signature.signed_at.is_some_and(|signed| signed.secs_since(now) > FUTURE_SECS_MAX) {
        return Err(Reason::FromFuture);
    }
    Ok(())
}

/// Whether this domain may sign, and with this algorithm.
///
/// `localhost` may, though it is a suffix by its form: it is this machine and no one else (RFC 6761
/// §6.3), and has keys only where a server for developers says so.
pub(crate) fn check_signer(domain: &Domain, algorithm: &Algorithm) -> Result<(), Reason> {
    if public_suffix(domain) == *domain && domain.ascii() != "localhost" {
        return Err(Reason::PublicSuffix);
    }
    match algorithm {
        Algorithm::RsaSha256 | Algorithm::Ed25519Sha256 => Ok(()),
        Algorithm::RsaSha1 => Err(Reason::HistoricAlgorithm),
        Algorithm::Other(_) => Err(Reason::UnknownAlgorithm),
    }
}

/// Whether all From fields are signed: one of which the signer knew nothing is what a reader may
/// see. RFC 6376 §5.4, §8.15.
pub(crate) fn check_from(signature: &Signature, header: &Header<'_>) -> Result<(), Reason> {
    let signed = signature.count_signed("From");
    if signed == 0 || header.count("From") > signed { Err(Reason::UnsignedFrom) } else { Ok(()) }
}

/// The hash of what a signature is over: fields, and its own without the value of `b=`. RFC 6376
/// §3.7.
pub(crate) fn signed_data(
    header: &Header<'_>,
    place: usize,
    field: HeaderField<'_>,
    signature: &Signature,
) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    header.hash_selected(&signature.signed_names, signature.header_form, Some(place), &mut context);
    let mut own = Vec::new();
    canonical_field(signature.header_form, field.name, &without_signature(field.value), &mut own);
    context.update(&own);
    context.finish()
}

/// The value of a field of tags with nothing between `b=` and what follows it. RFC 6376 §3.5, `b=`.
pub(crate) fn without_signature(value: &[u8]) -> Vec<u8> {
    let span = Tags::parse(value).ok().and_then(|tags| tags.span("b")).unwrap_or_default();
    let before = value.get(..span.start).unwrap_or_default();
    let after = value.get(span.end..).unwrap_or_default();
    [before, after].concat()
}

/// The public key of a record, if it may be used with this algorithm. RFC 6376 §6.1.2.
pub(crate) fn public_key_for<'a>(
    algorithm: &Algorithm,
    key: &'a Key,
) -> Result<&'a PublicKey, Reason> {
    let record = &key.record;
    if !record.allows_sha256() {
        return Err(Reason::KeyNotForHash);
    }
    match (algorithm, &record.key_type) {
        (Algorithm::RsaSha256, KeyType::Rsa) | (Algorithm::Ed25519Sha256, KeyType::Ed25519) => {}
        _ => return Err(Reason::KeyNotForAlgorithm),
    }
    if record.is_revoked() {
        return Err(Reason::KeyRevoked);
    }
    let public_key = key.public_key.as_ref().map_err(|error| Reason::PublicKey(*error))?;
    if record.allows_email() { Ok(public_key) } else { Err(Reason::KeyNotForMail) }
}

impl Pending {
    /// Whether key, header and body match. RFC 6376 §6.1.3.
    pub(crate) fn check(&self, key: &Key, bodies: &BodyDigests) -> Result<(), Reason> {
        let public_key = public_key_for(&self.signature.algorithm, key)?;
        let identity = self.signature.identity.as_ref();
        if key.record.is_strict && identity.is_some_and(|id| id.domain != self.signature.domain) {
            return Err(Reason::KeyNotForSubdomains);
        }
        if !public_key.is_signed(&self.data, &self.signature.signature) {
            return Err(Reason::BadSignature);
        }
        let Signature { body_form, body_bytes, body_hash, .. } = &self.signature;
        let body = bodies.get(*body_form, *body_bytes).ok_or(Reason::ShortBody)?;
        if body.hash != body_hash.as_slice() {
            return Err(Reason::BadBodyHash);
        }
        if body.uncovered_bytes > 0 {
            return Err(Reason::UncoveredBody);
        }
        Ok(())
    }

    fn finish(self, keys: &Keys, bodies: &BodyDigests) -> Verification {
        let key = match keys.get(&self.key_name) {
            Ok(key) => key,
            Err(error) => {
                let security = match error {
                    KeyError::NotFound(security) => security,
                    _ => None,
                };
                let failed = Verification::failed(Reason::Key(error), Some(self.signature));
                return Verification { security, ..failed };
            }
        };
        let reason = self.check(key, bodies).err();
        let status = match &reason {
            None => Status::Pass,
            // As if it were not there: RFC 6376 §3.6.1, `t=y`.
            Some(_) if key.record.is_testing => Status::None,
            Some(reason) => reason.status(),
        };
        Verification {
            status,
            reason,
            signature: Some(self.signature),
            security: Some(key.security),
            key: Some(key.clone()),
        }
    }
}
