//! What is stored of a password, and how it is set.

use mox_base::Rng;
use mox_sasl::{Password, ScramHash, ScramVerifier, Verifiers};
use mox_store::{Account, Pending, Reader};

use crate::LoginError;

/// The name under which an account keeps its verifiers.
const SECRET: &str = "password";

/// Sets the password of an account: stores new verifiers, with new salts, in place of the old.
///
/// Costs some milliseconds for deriving them.
pub fn set_password(account: &Account, password: &Password, rng: &dyn Rng) -> Pending<()> {
    let verifiers = Verifiers::derive_salted(password, rng);
    let stored = format!("{}\n{}", verifiers.sha1.to_stored(), verifiers.sha256.to_stored());
    account.set_secret(SECRET, Some(stored.into_bytes()))
}

/// Reads the verifiers of an account; `None` if no password was ever set.
///
/// # Errors
///
/// If the account cannot be read, or what it holds is not verifiers.
pub fn read_verifiers(reader: &Reader) -> Result<Option<Verifiers>, LoginError> {
    let Some(stored) = reader.secret(SECRET)? else {
        return Ok(None);
    };
    let mut lines = str::from_utf8(&stored).unwrap_or_default().lines();
    let mut next = |hash: ScramHash| {
        let verifier = lines.next().and_then(|line| ScramVerifier::parse(line).ok());
        verifier.filter(|verifier| verifier.hash() == hash).ok_or(LoginError::BadSecret)
    };
    Ok(Some(Verifiers { sha1: next(ScramHash::Sha1)?, sha256: next(ScramHash::Sha256)? }))
}
