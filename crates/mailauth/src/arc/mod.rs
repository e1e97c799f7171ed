//! What others who handled a message say about who sent it (ARC): RFC 8617.
//!
//! Each handler adds a set of three fields: what it found ([`RESULTS_FIELD`]), a signature over the
//! message as it leaves ([`MESSAGE_SIGNATURE_FIELD`]), and one over all sets ([`SEAL_FIELD`]). A
//! [`Verifier`] checks the chain of sets, a [`Sealer`] adds to it.
//!
//! That a chain is good says who has handled a message, and nothing about whether they are to be
//! believed: anybody can begin a chain.

mod seal;
mod set;
#[cfg(test)]
mod tests;
mod verify;

pub use seal::{MESSAGE_SIGNATURE_NAMES, SealError, Sealer, message_signing, seal};
pub use set::{ChainError, ChainStatus, INSTANCES_MAX, Seal};
pub use verify::{Handler, Reason, Verdict, Verifier, verify};

/// The field with the results of a handler. RFC 8617 §4.1.1.
pub const RESULTS_FIELD: &str = "ARC-Authentication-Results";

/// The field with the signature over the message. RFC 8617 §4.1.2.
pub const MESSAGE_SIGNATURE_FIELD: &str = "ARC-Message-Signature";

/// The field with the signature over all sets. RFC 8617 §4.1.3.
pub const SEAL_FIELD: &str = "ARC-Seal";
