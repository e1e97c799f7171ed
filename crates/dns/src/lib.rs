//! DNS as mail needs it: questions, answers that carry their DNSSEC state, public suffixes.
//!
//! Whoever has to look something up takes a [`Resolver`] and never opens a socket itself. Real
//! resolvers live where sockets may; with the feature `fake` there is one that answers from a
//! table.
//!
//! ```
//! use mox_dns::{Data, FakeDns, Lookups, Name};
//!
//! let mut dns = FakeDns::new();
//! dns.add("example.org", Data::Txt(b"v=spf1 -all".to_vec()));
//! let name = Name::parse("Example.ORG.").expect("a name");
//! let found = futures_util::future::FutureExt::now_or_never(dns.txt(&name)).expect("no wait");
//! assert_eq!(found.expect("an answer").records, [b"v=spf1 -all".to_vec()]);
//! ```

mod answer;
#[cfg(feature = "fake")]
mod fake;
mod name;
mod resolver;
mod suffix;

pub use answer::{Answer, Data, DnsError, Found, RecordType, Security, Tlsa, Trouble};
#[cfg(feature = "fake")]
pub use fake::FakeDns;
pub use name::{NAME_BYTES_MAX, Name, NameError};
pub use resolver::{Lookups, Pending, Resolver};
pub use suffix::{organizational_domain, public_suffix};
