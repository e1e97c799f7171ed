//! Changes to domains, accounts and addresses, and what DNS and mail programs are told about them.
//!
//! - [`defaults`]: the settings of new domains and accounts.
//! - [`keys`]: private keys of the host and for DKIM, and the files that hold them.
//! - [`records`]: the DNS records that a domain needs.
//!
//! Not in here: whether DNS has the records (`mox-checks`), the files of the configuration and their
//! syntax (`mox-config`).

pub mod defaults;
pub mod keys;
pub mod records;
