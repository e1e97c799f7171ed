//! Checking a chain. RFC 8617 §5.2.

use std::fmt;

use aws_lc_rs::digest;
use mox_base::{Domain, UnixSeconds};
use mox_dns::{Name, Resolver, Security};

use super::set::{ChainError, ChainStatus, Seal, Set, collect};
use crate::dkim::{
    self, BodyDigests, BodyHashes, Header, HeaderError, Keys, Pending, check_any, check_from,
    check_signer, public_key_for, signed_data,
};

/// Why a chain is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The fields make no chain.
    Chain(ChainError),
    /// The newest signature over the message is not good.
    MessageSignature(dkim::Reason),
    /// A seal is not good.
    Seal {
        /// Which.
        instance: u8,
        /// Why.
        reason: dkim::Reason,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(error) => error.fmt(f),
            Self::MessageSignature(reason) => write!(f, "signature over the message: {reason}"),
            Self::Seal { instance, reason } => write!(f, "seal {instance}: {reason}"),
        }
    }
}

/// Somebody who has handled a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// The domain of the seal.
    pub domain: Domain,
    /// What it has found: the content of its results after the instance, as it stands.
    pub results: Vec<u8>,
    /// Whether DNSSEC vouches for the key of the seal; none if there is no key.
    pub security: Option<Security>,
}

/// What became of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The result. RFC 8617 §5.2.1: trouble with DNS is a failure too.
    pub status: ChainStatus,
    /// Why it did not pass.
    pub reason: Option<Reason>,
    /// Who has handled the message, in order, if the fields make a chain. To be believed only if it
    /// passes.
    pub handlers: Vec<Handler>,
    /// The oldest signature over the message that is still good, 0 if all are: the message was not
    /// changed since that handler. None unless the chain passes. RFC 8617 §5.2 step 5.
    pub oldest_pass: Option<u8>,
    /// The highest instance of all fields, also of a chain that fails; 0 if there is none.
    pub highest_instance: u8,
}

/// Checks the chain of a message.
///
/// Works like the [`Verifier`](crate::dkim::Verifier) of DKIM, over the same [`BodyHashes`]. Asks
/// for a key for each handler and one for the newest signature over the message: for
/// [`INSTANCES_MAX`](super::INSTANCES_MAX) and 1 at most.
#[derive(Debug)]
pub struct Verifier {
    highest_instance: u8,
    fault: Option<Reason>,
    checks: Vec<Check>,
}

/// A set of which only the keys and the body are not known yet.
#[derive(Debug)]
struct Check {
    handler: Handler,
    /// The signature over the message, unless that is known not to be good.
    message: Result<Pending, dkim::Reason>,
    seal: Seal,
    seal_key: Name,
    sealed: digest::Digest,
}

impl Verifier {
    /// Reads the chain of a header section, and tells `bodies` what it needs.
    #[must_use]
    pub fn new(header: &Header<'_>, bodies: &mut BodyHashes, now: UnixSeconds) -> Self {
        let (highest_instance, sets) = collect(header);
        let begun = match sets {
            Ok(sets) => begin(header, &sets, bodies, now),
            Err(error) => Err(Reason::Chain(error)),
        };
        let (checks, fault) = match begun {
            Ok(checks) => (checks, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        Self { highest_instance, fault, checks }
    }

    /// Where the keys are that must be looked up; the same may come twice.
    pub fn key_names(&self) -> impl Iterator<Item = Name> {
        let newest = self.checks.last().and_then(|check| check.message.as_ref().ok());
        let message = newest.map(|pending| pending.key_name.clone());
        self.checks.iter().map(|check| check.seal_key.clone()).chain(message)
    }

    /// The result.
    #[must_use]
    pub fn finish(self, keys: &Keys, bodies: &BodyDigests) -> Verdict {
        let Self { highest_instance, fault, checks } = self;
        let reason = fault.or_else(|| check(&checks, keys, bodies).err());
        let status = match &reason {
            Some(_) => ChainStatus::Fail,
            None if checks.is_empty() => ChainStatus::None,
            None => ChainStatus::Pass,
        };
        let passed = status == ChainStatus::Pass;
        let oldest_pass = passed.then(|| oldest_pass(&checks, keys, bodies));
        let handlers = checks.into_iter().map(|check| {
            let key = keys.get(&check.seal_key);
            Handler { security: key.ok().map(|key| key.security), ..check.handler }
        });
        Verdict { status, reason, handlers: handlers.collect(), oldest_pass, highest_instance }
    }
}

/// Checks the chain of a message that is in memory.
///
/// # Errors
///
/// If the header section is too large.
pub async fn verify<R: Resolver + ?Sized>(
    resolver: &R,
    message: &[u8],
    now: UnixSeconds,
) -> Result<Verdict, HeaderError> {
    let mut bodies = BodyHashes::new();
    let header = Header::parse(message)?;
    let verifier = Verifier::new(&header, &mut bodies, now);
    let keys = Keys::look_up(resolver, verifier.key_names()).await;
    if !bodies.is_unused() {
        bodies.update(header.body(message));
    }
    Ok(verifier.finish(&keys, &bodies.finish()))
}

/// Does all that needs neither keys nor body, in time linear in the chain.
fn begin(
    header: &Header<'_>,
    sets: &[Set<'_>],
    bodies: &mut BodyHashes,
    now: UnixSeconds,
) -> Result<Vec<Check>, Reason> {
    let mut before = digest::Context::new(&digest::SHA256);
    let mut checks = Vec::new();
    for set in sets {
        let seal = &set.seal;
        let bad_seal = |reason| Reason::Seal { instance: seal.instance, reason };
        check_signer(&seal.domain, &seal.algorithm).map_err(bad_seal)?;
        let seal_key = seal.selector.key_name(&seal.domain);
        let seal_key = seal_key.map_err(|_| bad_seal(dkim::Reason::LongKeyName))?;
        let message = begin_message(header, set, now);
        if let Ok(pending) = &message {
            bodies.want(pending.signature.body_form, pending.signature.body_bytes);
        }
        checks.push(Check {
            handler: Handler {
                domain: seal.domain.clone(),
                results: set.payload.to_vec(),
                security: None,
            },
            message,
            seal: seal.clone(),
            seal_key,
            sealed: set.hash_sealed(&before),
        });
        set.hash_whole(&mut before);
    }
    if let Some(Err(reason)) = checks.last().map(|check| check.message.as_ref()) {
        return Err(Reason::MessageSignature(reason.clone()));
    }
    Ok(checks)
}

/// RFC 8617 §4.1.2: a signature as of DKIM, so From must be signed.
fn begin_message(
    header: &Header<'_>,
    set: &Set<'_>,
    now: UnixSeconds,
) -> Result<Pending, dkim::Reason> {
    let signature = &set.message_signature;
    check_from(signature, header)?;
    check_any(signature, now)?;
    let key_name = signature.selector.key_name(&signature.domain);
    let key_name = key_name.map_err(|_| dkim::Reason::LongKeyName)?;
    let data = signed_data(header, set.message_place, set.message_field, signature);
    Ok(Pending { signature: signature.clone(), key_name, data })
}

/// RFC 8617 §5.2 steps 4 and 6.
fn check(checks: &[Check], keys: &Keys, bodies: &BodyDigests) -> Result<(), Reason> {
    if let Some(newest) = checks.last() {
        check_message(newest, keys, bodies).map_err(Reason::MessageSignature)?;
    }
    for check in checks.iter().rev() {
        let seal = || {
            let key = keys.get(&check.seal_key).map_err(dkim::Reason::Key)?;
            let public_key = public_key_for(&check.seal.algorithm, key)?;
            let is_good = public_key.is_signed(&check.sealed, &check.seal.signature);
            if is_good { Ok(()) } else { Err(dkim::Reason::BadSignature) }
        };
        seal().map_err(|reason| Reason::Seal { instance: check.seal.instance, reason })?;
    }
    Ok(())
}

fn check_message(check: &Check, keys: &Keys, bodies: &BodyDigests) -> Result<(), dkim::Reason> {
    let pending = check.message.as_ref().map_err(Clone::clone)?;
    let key = keys.get(&pending.key_name).map_err(dkim::Reason::Key)?;
    pending.check(key, bodies)
}

/// RFC 8617 §5.2 step 5. Keys that only this would need are not looked up: handlers use one for
/// both of their signatures.
fn oldest_pass(checks: &[Check], keys: &Keys, bodies: &BodyDigests) -> u8 {
    let older = checks.iter().rev().skip(1);
    let mut failed = older.skip_while(|check| check_message(check, keys, bodies).is_ok());
    failed.next().map_or(0, |check| check.seal.instance + 1)
}
