//! Who sent a message, as far as DNS and signatures can tell.
//!
//! Not here: sockets and clocks. Questions go to a [`mox_dns::Resolver`]; time and chance are
//! arguments; what becomes of a message is for others to decide.
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod arc;
pub mod dkim;
pub mod dmarc;
pub mod dnsbl;
pub mod iprev;
pub mod results;
pub mod spf;
