//! Passwords: what the original keeps lets everybody log in as before, without setting one anew.

use mox_bstore::{Record, Value};
use mox_sasl::{BcryptError, BcryptHash, ScramHash, ScramVerifier, VerifierError};

/// The secret of an account of ours, from a `Password` record.
#[derive(Debug)]
pub(crate) enum Stored {
    /// Verifiers: all mechanisms go on.
    Verifiers(Vec<u8>),
    /// Of a password that was set before there were verifiers, or with such as ours refuses: PLAIN goes on,
    /// and SCRAM after the first login. With why.
    Bcrypt(Vec<u8>, VerifierError),
}

/// What of a `Password` record an account of ours keeps.
///
/// # Errors
///
/// If it has neither verifiers nor a hash that ours takes.
pub(crate) fn stored(record: &Record) -> Result<Stored, BcryptError> {
    match verifiers(record) {
        Ok(verifiers) => Ok(Stored::Verifiers(verifiers)),
        Err(why) => {
            let hash = BcryptHash::parse(record.text("Hash"))?;
            Ok(Stored::Bcrypt(hash.to_stored().into_bytes(), why))
        }
    }
}

fn verifiers(record: &Record) -> Result<Vec<u8>, VerifierError> {
    let verifier = |hash, kept: &Value| {
        ScramVerifier::from_salted_password(
            hash,
            kept.field("SaltedPassword").bytes(),
            kept.field("Salt").bytes(),
            u32::try_from(kept.field("Iterations").i64()).unwrap_or(0),
        )
    };
    let sha1 = verifier(ScramHash::Sha1, record.get("SCRAMSHA1"))?;
    let sha256 = verifier(ScramHash::Sha256, record.get("SCRAMSHA256"))?;
    Ok(format!("{}\n{}", sha1.to_stored(), sha256.to_stored()).into_bytes())
}
