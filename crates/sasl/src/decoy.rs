//! Verifiers for users that do not exist.

use std::fmt;

use aws_lc_rs::hmac;

use crate::verifier::{ITERATIONS, SALT_BYTES, ScramVerifier, Verifiers};
use crate::{ScramHash, verifier};

/// The length of a decoy's secret, in bytes.
pub const DECOY_SECRET_BYTES: usize = 32;

/// Makes up verifiers for names without an account, always the same for the same name.
///
/// A server that answers SCRAM for an unknown user with an error, or with another salt each time,
/// tells who exists (RFC 5802 §9). With these, salt, iteration count, messages and work are those
/// of an account, and no password fits.
///
/// The secret must live as long as the accounts do, since an attacker can ask again after a
/// restart; and it must never leave the server.
pub struct Decoy {
    key: hmac::Key,
}

impl Decoy {
    /// Takes the server's secret, which is random and kept across restarts.
    #[must_use]
    pub fn new(secret: [u8; DECOY_SECRET_BYTES]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }

    /// The verifiers of a name that has no account.
    ///
    /// `name` must be brought into the form under which an account would be found: if
    /// `me@x.example` and `ME+tag@x.example` are one account and so show one salt, then names
    /// without account must do so as well.
    #[must_use]
    pub fn verifiers(&self, name: &str) -> Verifiers {
        Verifiers {
            sha1: self.verifier(ScramHash::Sha1, name),
            sha256: self.verifier(ScramHash::Sha256, name),
        }
    }

    fn verifier(&self, hash: ScramHash, name: &str) -> ScramVerifier {
        let derive = |what: u8| {
            let mut context = hmac::Context::with_key(&self.key);
            context.update(&[what, u8::from(hash == ScramHash::Sha256)]);
            context.update(name.as_bytes());
            let tag = context.sign();
            tag.as_ref().iter().copied().take(hash.bytes()).collect::<Box<[u8]>>()
        };
        let mut salt = [0; SALT_BYTES];
        salt.iter_mut().zip(derive(0)).for_each(|(to, from)| *to = from);
        ScramVerifier {
            hash,
            salt: salt.into(),
            iterations: verifier::iterations_of_new(),
            stored_key: derive(1),
            server_key: derive(2),
        }
    }
}

/// Shows no secret.
impl fmt::Debug for Decoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoy").field("iterations", &ITERATIONS).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Password;

    /// RFC 5802 §9: what is shown must not depend on whether there is an account.
    #[test]
    fn a_decoy_is_stable_and_differs_by_name_hash_and_server() {
        let decoy = Decoy::new([1; 32]);
        let verifiers = decoy.verifiers("nobody@example.org");
        assert_eq!(verifiers, Decoy::new([1; 32]).verifiers("nobody@example.org"));
        assert_ne!(verifiers, decoy.verifiers("nobody2@example.org"));
        assert_ne!(verifiers, Decoy::new([2; 32]).verifiers("nobody@example.org"));
        assert_ne!(verifiers.sha1.salt, verifiers.sha256.salt);
        assert_ne!(verifiers.sha1.stored_key, verifiers.sha1.server_key);
    }

    #[test]
    fn a_decoy_has_the_form_of_a_real_verifier_and_no_password() {
        let decoy = Decoy::new([1; 32]).verifiers("nobody@example.org");
        let password = Password::prepare("moxmoxmox").unwrap();
        let real = Verifiers::derive(&password, [1; 16], [2; 16]);
        for hash in [ScramHash::Sha1, ScramHash::Sha256] {
            let (decoy, real) = (decoy.for_hash(hash), real.for_hash(hash));
            assert_eq!(decoy.iterations, real.iterations);
            assert_eq!(decoy.to_stored().len(), real.to_stored().len());
            assert!(!decoy.is_password(&password));
        }
    }
}
