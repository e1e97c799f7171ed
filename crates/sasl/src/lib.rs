//! SASL mechanisms as state machines, server and client side.
//!
//! PLAIN (RFC 4616), LOGIN, SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677), both with -PLUS
//! (RFC 5929, RFC 9266), and EXTERNAL (RFC 4422 appendix A); how passwords are prepared (RFC 8265)
//! and what is stored of them ([`StoredPassword`]). Bytes go in, bytes or a [`Question`] come out.
//!
//! Not here: base64 of the exchange, the `*` that ends it, response codes and limits on attempts
//! belong to the protocol around it (IMAP, SMTP); finding the account belongs to the driver.
//! CRAM-MD5 is not offered, since it needs a password equivalent at rest.
//!
//! Unknown users look like wrong passwords: for a name without account the driver answers a
//! question with the [`Decoy`]'s verifiers, and everything goes on as for an account.
//!
//! ```
//! use mox_sasl::{Answer, ChannelBindings, Decoy, Mechanism, Password, Question, Server, Step, Verifiers};
//!
//! let password = Password::for_storing("correct horse").unwrap();
//! let stored = Verifiers::derive(&password, [1; 16], [2; 16]); // Salts are random in earnest.
//! let decoy = Decoy::new([3; 32]);
//!
//! let mut server = Server::start(Mechanism::Plain, ChannelBindings::default(), [4; 18]);
//! let Step::Ask(Question::Password { username, password }) =
//!     server.first(Some(b"\0mjl@example.org\0correct horse"))
//! else {
//!     unreachable!()
//! };
//! let found = (username == "mjl@example.org").then_some(&stored);
//! let verifiers = found.cloned().unwrap_or_else(|| decoy.verifiers(&username));
//! let good = verifiers.sha256.is_password(&password);
//! assert_eq!(server.answer(Answer::Password(good)), Step::Done);
//! assert_eq!(server.username(), Some("mjl@example.org"));
//! ```
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod bcrypt;
mod cache;
mod channel;
mod client;
mod decoy;
mod mechanism;
mod password;
mod scram;
mod scram_client;
mod scram_server;
mod server;
mod shapes;
mod stored;
mod verifier;

pub use bcrypt::{
    BCRYPT_COST_MAX, BCRYPT_COST_MIN, BCRYPT_PASSWORD_BYTES_MAX, BcryptError, BcryptHash,
};
pub use cache::{CACHE_AGE_MAX, CACHE_ENTRIES_MAX, PasswordCache};
pub use channel::{ChannelBinding, ChannelBindings};
pub use client::{Client, ClientError};
pub use decoy::{DECOY_SECRET_BYTES, Decoy};
pub use mechanism::{Mechanism, MechanismError, ScramHash};
pub use password::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, Password, PasswordError};
pub use scram::{NONCE_BYTES, ScramError};
pub use server::{Answer, Failure, MESSAGE_BYTES_MAX, Question, Server, Step, USERNAME_BYTES_MAX};
pub use shapes::{SHAPES_MAX, Shapes, Twin};
pub use stored::{ScramShape, Shape, StoredPassword};
pub use verifier::{
    ITERATIONS, ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES, SALT_BYTES_MAX, ScramVerifier,
    VerifierError, Verifiers,
};
