//! Changes to domains, accounts and addresses, and what DNS and mail programs are told about them.
//!
//! - [`Admin`]: adding, changing and removing them while the server runs.
//! - [`defaults`]: the settings of new domains and accounts.
//! - [`keys`]: private keys of the host and for DKIM, and the files that hold them.
//! - [`records`]: the DNS records that a domain needs.
//!
//! Not in here: whether DNS has the records (`mox-checks`), the files of the configuration and their
//! syntax (`mox-config`).

mod account;
mod address;
mod admin;
mod alias;
pub mod defaults;
mod domain;
mod error;
pub mod keys;
pub mod records;
#[cfg(test)]
mod tests;

pub use admin::Admin;
pub use alias::AliasChange;
pub use domain::NewDomain;
pub use error::AdminError;
