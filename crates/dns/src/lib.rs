//! DNS as mail needs it: questions, answers that carry their DNSSEC state, public suffixes.
//!
//! Whoever has to look something up takes a [`Resolver`] and never opens a socket itself. Real
//! resolvers live where sockets may; with the feature `fake` there is one that answers from a
//! table.
//!
//! ```
//! use mox_base::Domain;
//! use mox_dns::{Name, organizational_domain};
//!
//! let domain = Domain::parse("mail.example.co.uk").expect("a domain");
//! assert_eq!(organizational_domain(&domain).ascii(), "example.co.uk");
//! let name = Name::below("_dmarc", &domain).expect("a name");
//! assert_eq!(name, Name::parse("_DMARC.mail.example.co.uk.").expect("a name"));
//! ```

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod answer;
#[cfg(any(test, feature = "fake"))]
mod fake;
mod name;
mod resolver;
mod suffix;

pub use answer::{Answer, Data, DnsError, Found, RecordType, Security, Tlsa, Trouble};
#[cfg(any(test, feature = "fake"))]
pub use fake::{FakeDns, SilentDns};
pub use name::{NAME_BYTES_MAX, Name, NameError};
pub use resolver::{Lookups, Pending, Resolver};
pub use suffix::{organizational_domain, public_suffix};
