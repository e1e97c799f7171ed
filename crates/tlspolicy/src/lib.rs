//! Which TLS another mail server must speak, and whether it does: MTA-STS (RFC 8461), DANE for SMTP
//! (RFC 7672), and how results are told in reports (RFC 8460).
//!
//! Not here: fetching policies, connections, and the cache of policies.
//!
//! ```
//! use mox_dns::Tlsa;
//! use mox_tlspolicy::dane;
//!
//! let sha256 = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0; 32] };
//! let short = Tlsa { data: vec![0; 31], ..sha256.clone() };
//! assert_eq!(dane::usable(&[short, sha256.clone()]), [sha256]);
//! ```

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod dane;
pub mod failure;
pub mod mtasts;
pub mod pkix;
pub mod tally;
