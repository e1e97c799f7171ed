//! The DKIM keys of the configured domains, and signing with them. RFC 6376 §5.
//!
//! [`SigningKeys`] reads the keys of a domain from their files when they are first asked for, and keeps
//! them as long as the configuration is the same. Submission signs with them, reports and notices do,
//! and `mox dkim sign`.
//!
//! Not here: the signatures themselves (`mox-mailauth`).
//!
//! ```
//! # fn show(config: &std::sync::Arc<mox_config::Config>) -> Result<(), mox_signing::SigningError> {
//! let keys = mox_signing::SigningKeys::new();
//! let author = mox_base::Address::parse("postmaster@example.org").unwrap();
//! let signer = keys.nearest(config, &author.domain)?;
//! let message = b"From: postmaster@example.org\r\n\r\nhello\r\n";
//! let fields = match &signer {
//!     Some(signer) => signer.sign(config, &author, message, mox_base::UnixSeconds(0))?,
//!     None => String::new(),
//! };
//! # Ok(())
//! # }
//! ```

mod keys;

use std::io;
use std::path::PathBuf;

use mox_mailauth::dkim::{PrivateKeyError, SignError};

pub use keys::{DomainKeys, SigningKeys, identity, read_key};

/// Why a message was not signed. All are faults of ours, for the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// A key cannot be read from its file.
    #[error("read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds no key that can sign.
    #[error("read {}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PrivateKeyError,
    },
    /// A name under `Sign` or `Selectors` is none of a selector.
    #[error("there is no selector {0:?}")]
    Selector(String),
    /// The message cannot be signed.
    #[error("sign message")]
    Sign(#[from] SignError),
}
