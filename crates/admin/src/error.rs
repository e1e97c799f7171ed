//! Why something was not changed, for whoever runs the server.

use std::io;
use std::path::PathBuf;

use mox_base::{Address, Domain};
use mox_config::EditError;
use mox_queue::QueueError;
use mox_store::StoreError;

use crate::keys::KeyError;

/// Why an operation of [`crate::Admin`] was not done. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// There is no such domain.
    #[error("no such domain: {0}")]
    UnknownDomain(Domain),
    /// The domain exists already.
    #[error("domain exists already: {0}")]
    DomainExists(Domain),
    /// Accounts have addresses in the domain, or send from it.
    #[error("domain {domain} is in use by {}: remove that first", .by.join(", "))]
    DomainInUse {
        /// The domain.
        domain: Domain,
        /// What uses it.
        by: Vec<String>,
    },
    /// There is no such account.
    #[error("no such account: {0}")]
    UnknownAccount(String),
    /// The account exists already.
    #[error("account exists already: {0}")]
    AccountExists(String),
    /// The text cannot be the name of an account, which is that of a directory.
    #[error("{0:?} cannot be the name of an account")]
    AccountName(String),
    /// There are files of an account of this name.
    #[error(
        "there are files of an account {0:?} already: move its directory below accounts/ in the data \
         directory away, or take another name"
    )]
    AccountFiles(String),
    /// Something depends on the account.
    #[error("account {account} is in use by {}: change that first", .by.join(", "))]
    AccountInUse {
        /// The account.
        account: String,
        /// What uses it.
        by: Vec<String>,
    },
    /// A new account needs an address.
    #[error("account {0} is new: give the localpart of its address too")]
    LocalpartMissing(String),
    /// An account that exists gets no address of this name with a domain.
    #[error("account {0} exists: leave the localpart out, and add addresses afterwards")]
    LocalpartGiven(String),
    /// A text for users is missing.
    #[error("give a message, which whoever tries to log in gets to read")]
    MessageMissing,
    /// There is no such address.
    #[error("no such address: {0}")]
    UnknownAddress(String),
    /// The address is that of an alias.
    #[error("{0} is an alias: see \"mox config alias\"")]
    IsAlias(Address),
    /// The address belongs to an account.
    #[error("address {address} belongs to account {account} already")]
    AddressTaken {
        /// The address, or `@` and a domain.
        address: String,
        /// Whose it is.
        account: String,
    },
    /// Something depends on the address.
    #[error("address {address} is in use by {}: change that first", .by.join(", "))]
    AddressInUse {
        /// The address, or `@` and a domain.
        address: String,
        /// What uses it.
        by: Vec<String>,
    },
    /// There is no such alias.
    #[error("no such alias: {0}")]
    UnknownAlias(Address),
    /// The alias exists already.
    #[error("alias exists already: {0}")]
    AliasExists(Address),
    /// The address is a member already.
    #[error("{0} is a member already")]
    IsMember(Address),
    /// The address is no member.
    #[error("{0} is not a member")]
    NotMember(Address),
    /// Nobody would get what is sent to the alias.
    #[error("alias {0} would have no members: remove the alias instead")]
    NoMembers(Address),
    /// A key could not be made or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// All is done, but a key that is not used any more is where it was.
    #[error("done, but the key {} could not be moved to the directory old", .path.display())]
    KeyNotMoved {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The account is removed from the configuration, but something of it is left in a database.
    #[error(
        "the account is removed, but not all of what it had: that is tried again at the next start"
    )]
    Leftover(#[source] Box<Self>),
    /// The accounts failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// `domains.conf` was not changed.
    #[error(transparent)]
    Edit(#[from] EditError),
}
