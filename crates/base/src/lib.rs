//! The vocabulary of mail, shared by every crate: domains, localparts, addresses, UIDs, time.
//!
//! A value that exists is valid: the only way in is `parse` or `try_from`. Nothing here does I/O,
//! reads a clock or makes random numbers; [`Clock`] and [`Rng`] are the ports through which the
//! drivers hand both down.
//!
//! ```
//! use mox_base::Address;
//!
//! let address = Address::parse("\"joe smith\"@XN--BCHER-KVA.example").unwrap();
//! assert_eq!(address.localpart.as_str(), "joe smith");
//! assert_eq!(address.domain.ascii(), "xn--bcher-kva.example");
//! assert_eq!(address.to_string(), "\"joe smith\"@bücher.example");
//! ```
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod address;
mod domain;
mod flags;
mod ids;
mod localpart;
mod mailbox_name;
mod num_set;
mod pem;
mod ports;
mod secret;
mod special_use;
mod time;
mod validation;

pub use address::{Address, AddressError};
pub use domain::{DOMAIN_BYTES_MAX, Domain, DomainError, Host, LABEL_BYTES_MAX};
pub use flags::{Flags, KEYWORD_BYTES_MAX, Keyword, KeywordError};
pub use ids::{EmailId, MailboxId, ModSeq, MsgId, ThreadId, Uid, UidValidity};
pub use localpart::{LOCALPART_BYTES_MAX, Localpart, LocalpartError};
pub use mailbox_name::{MAILBOX_DEPTH_MAX, MAILBOX_NAME_BYTES_MAX, MailboxName, MailboxNameError};
pub use num_set::NumSet;
pub use pem::pem_without_fields;
pub use ports::{Clock, Rng};
pub use secret::Secret;
pub use special_use::SpecialUse;
pub use time::{DateTime, DateTimeError, UnixSeconds, ZonedTime};
pub use validation::Validation;
