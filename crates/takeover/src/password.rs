//! Passwords: what the original keeps lets SCRAM and PLAIN go on without anybody setting one anew.

use mox_bstore::{Record, Value};
use mox_sasl::{ScramHash, ScramVerifier, VerifierError};

/// The verifiers of a `Password` record, as an account of ours keeps them.
///
/// # Errors
///
/// If there are none, as of passwords that were set years ago, or ours take them not.
pub(crate) fn verifiers(record: &Record) -> Result<Vec<u8>, VerifierError> {
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
