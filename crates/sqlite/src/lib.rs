//! How our SQLite databases are opened, brought up to date and written to.
//!
//! [`open`] and [`upgrade`] are the one way to a connection that writes; files beside a database
//! are written through a [`Disk`]; [`GroupWriter`] is a
//! thread that runs what is queued in one transaction with one sync, and answers through
//! [`Pending`].
//!
//! Not here: tables. Each database belongs to the crate that knows what is in it.

mod copy;
mod disk;
mod open;
mod pending;
mod writer;

pub use copy::{Copied, copy};
pub use disk::{Disk, RealDisk, create_dirs};
pub use open::{
    Durability, LOCK_WAIT, OpenError, Settings, Step, open, open_reader, open_still, upgrade,
};
pub use pending::{Answer, Pending, pending};
pub use writer::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, Engine, GroupWriter, QUEUE_BYTES_MAX, QUEUE_ITEMS_MAX, Tx,
    WriteError,
};
