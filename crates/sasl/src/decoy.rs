//! Verifiers for users that do not exist.

use std::fmt;

use aws_lc_rs::hmac;

use crate::{BcryptHash, ScramHash, ScramShape, ScramVerifier, Shape, StoredPassword, Verifiers};

/// The length of a decoy's secret, in bytes.
pub const DECOY_SECRET_BYTES: usize = 32;

const TAG_BYTES: usize = 32;

// What a tag is for.
const SALT: u8 = 0;
const STORED_KEY: u8 = 1;
const SERVER_KEY: u8 = 2;
const LONG_SALT: u8 = 3;
const BCRYPT_SALT: u8 = 4;
const BCRYPT_HASH: u8 = 5;
const USER_PLACE: u8 = 6;
const ACCOUNT_PLACE: u8 = 7;

/// Makes up verifiers for names without an account, always the same for the same name.
///
/// A server that answers SCRAM for an unknown user with an error, or with another salt each time,
/// tells who exists (RFC 5802 §9). With these, salt, iteration count, messages and work are those
/// of an account, and no password fits. Which account's they are where accounts differ is for
/// [`Shapes`](crate::Shapes).
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

    /// What would be stored of a password for a name that has no account, in a given shape.
    ///
    /// `name` must be brought into the form under which an account would be found: if
    /// `me@x.example` and `ME+tag@x.example` are one account and so show one salt, then names
    /// without account must do so as well.
    #[must_use]
    pub fn stored(&self, name: &str, shape: Shape) -> StoredPassword {
        match shape {
            Shape::Scram { sha1, sha256 } => {
                StoredPassword::Verifiers(self.verifiers_of(name, sha1, sha256))
            }
            Shape::Bcrypt { cost } => {
                let hash = BcryptHash::made_up(
                    cost,
                    first_bytes(self.tag(BCRYPT_SALT, 0, name)),
                    first_bytes(self.tag(BCRYPT_HASH, 0, name)),
                );
                StoredPassword::Bcrypt(hash)
            }
        }
    }

    /// The verifiers of a name that has no account, of the shape of ours; the name is that of
    /// [`Decoy::stored`].
    #[must_use]
    pub fn verifiers(&self, name: &str) -> Verifiers {
        self.verifiers_of(name, ScramShape::OURS, ScramShape::OURS)
    }

    /// The same in given shapes.
    pub(crate) fn verifiers_of(
        &self,
        name: &str,
        sha1: ScramShape,
        sha256: ScramShape,
    ) -> Verifiers {
        Verifiers {
            sha1: self.verifier(ScramHash::Sha1, name, sha1),
            sha256: self.verifier(ScramHash::Sha256, name, sha256),
        }
    }

    /// The place of the name of a user among all 64-bit numbers, which nobody else can work out.
    pub(crate) fn place_of_user(&self, name: &str) -> u64 {
        u64::from_be_bytes(first_bytes(self.tag(USER_PLACE, 0, name)))
    }

    /// The same of the name of an account.
    pub(crate) fn place_of_account(&self, name: &str) -> u64 {
        u64::from_be_bytes(first_bytes(self.tag(ACCOUNT_PLACE, 0, name)))
    }

    fn verifier(&self, hash: ScramHash, name: &str, shape: ScramShape) -> ScramVerifier {
        let of_hash = u8::from(hash == ScramHash::Sha256);
        let tag = |what: u8| self.tag(what, of_hash, name);
        let key = |what: u8| tag(what).into_iter().take(hash.bytes()).collect();
        // Two tags are as long as the longest salt.
        let salt = tag(SALT).into_iter().chain(tag(LONG_SALT));
        ScramVerifier {
            hash,
            salt: salt.take(usize::from(shape.salt_bytes)).collect(),
            iterations: shape.iterations,
            stored_key: key(STORED_KEY),
            server_key: key(SERVER_KEY),
        }
    }

    fn tag(&self, what: u8, of_hash: u8, name: &str) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[what, of_hash]);
        context.update(name.as_bytes());
        first_bytes(context.sign().as_ref().iter().copied())
    }
}

fn first_bytes<const N: usize>(bytes: impl IntoIterator<Item = u8>) -> [u8; N] {
    let mut first = [0; N];
    first.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    first
}

/// Shows no secret.
impl fmt::Debug for Decoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoy").finish_non_exhaustive()
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
    fn a_decoy_takes_every_shape_and_keeps_its_salt() {
        let decoy = Decoy::new([1; 32]);
        let scram = |iterations, salt_bytes| ScramShape {
            iterations: std::num::NonZeroU32::new(iterations).unwrap(),
            salt_bytes,
        };
        let salt = |shape| match decoy.stored("nobody@example.org", shape) {
            StoredPassword::Verifiers(two) => two.sha256.salt.to_vec(),
            StoredPassword::Bcrypt(_) => Vec::new(),
        };
        let long = salt(Shape::Scram { sha1: scram(8_192, 16), sha256: scram(4_096, 64) });
        let short = salt(Shape::Scram { sha1: scram(8_192, 16), sha256: scram(4_096, 16) });
        assert_eq!(short, salt(Shape::OURS));
        assert_eq!(short, long[..16]);
        assert_ne!(long[..32], long[32..]);
        let taken = Shape::Scram { sha1: scram(8_192, 12), sha256: scram(4_096, 64) };
        for shape in [Shape::OURS, taken, Shape::Bcrypt { cost: 4 }] {
            let stored = decoy.stored("nobody@example.org", shape);
            assert_eq!(stored.shape(), shape);
            assert_eq!(stored, Decoy::new([1; 32]).stored("nobody@example.org", shape));
            assert_ne!(stored, decoy.stored("nobody2@example.org", shape));
            assert_eq!(StoredPassword::parse(&stored.to_stored()).as_ref(), Ok(&stored));
            assert!(!stored.is_password(&Password::prepare("moxmoxmox").unwrap()));
        }
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
