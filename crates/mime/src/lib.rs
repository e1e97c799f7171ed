//! Reads and writes mail messages: headers, addresses, part tree, encodings, charsets.
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
