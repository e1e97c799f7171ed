//! Vocabulary of mail shared by all crates: domains, addresses, UIDs, time.
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
