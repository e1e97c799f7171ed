//! Which TLS another mail server must speak, and whether it does: MTA-STS (RFC 8461), DANE for SMTP
//! (RFC 7672), and how results are told in reports (RFC 8460).
//!
//! Not here: fetching policies, connections, and the cache of policies.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
