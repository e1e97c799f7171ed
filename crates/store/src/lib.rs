//! Accounts: mailboxes, messages, flags, changes, search, threads and quota.
//!
//! One SQLite database per account with everything in it but large bodies; one group-committing
//! writer per account in use; readers on snapshots. Operations are closed and in domain terms:
//! nothing above this crate sees SQL, a file name or a transaction. The format on disk stands in
//! `docs/store-format.md`.
//!
//! This crate is not a cache and has no runtime: writes return a [`Pending`] that any executor
//! can await, reads block.
//!
//! Invariant: an outcome is given only after the bytes are on disk, and after the change feed
//! was told.

mod account;
mod annotation;
mod check;
mod client_keys;
mod content;
mod copy;
mod decision;
mod disk;
mod error;
mod feed;
mod flag;
mod hash;
mod history;
mod hold;
mod import;
mod index;
mod junk;
mod kept;
mod keys;
mod mailbox;
mod maintain;
mod message;
mod meta;
mod order;
mod pass_key;
mod policy;
mod pool;
mod read;
mod read_only;
mod rejects;
mod removal;
mod remove;
mod repair;
mod replace;
mod row;
mod scan;
mod schema;
mod search;
mod secret;
mod stage;
mod store;
mod takeover;
mod thread;
mod tx;
mod url_key;
mod writer;

pub use account::Account;
pub use annotation::{ANNOTATION_BYTES_MAX, ANNOTATIONS_MAX, Annotation, AnnotationChange};
pub use check::PartChecked;
pub use client_keys::{
    CLIENT_KEY_NAME_BYTES_MAX, CLIENT_KEYS_DATABASE, CLIENT_KEYS_MAX, ClientKey, ClientKeys,
};
pub use content::{Content, ContentReader, ContentSeeker};
pub use copy::CopyOutcome;
pub use decision::{
    DECISION_KEEP_SECS, DECISION_TEXT_BYTES_MAX, DECISIONS_MAX, Decision, DecisionFilter, Outcome,
};
pub use error::{Pending, Result, StoreError};
pub use feed::{
    Change, ChangeKind, Changes, MessageState, PENDING_CHANGES_MAX, SubscriberId, Subscription,
};
pub use flag::{FlagChange, FlagOp, FlagOutcome};
pub use hash::{BODY_HASH_BYTES, BodyHash};
pub use history::{CONTENT_HASH_BYTES, Incoming};
pub use hold::ErasureHold;
pub use import::Imported;
pub use index::{INDEXED_BYTES_MAX, IndexProgress};
pub use junk::JunkProgress;
pub use kept::Remembered;
pub use mailbox::{Counts, MAILBOX_KEYWORDS_MAX, MAILBOXES_MAX, Mailbox};
pub use maintain::LOG_BYTES_MAX;
pub use message::{Added, Destination, Envelope, MESSAGE_KEYWORDS_MAX, NewMessage};
pub use meta::ReceivedTls;
pub use mox_sqlite::{Disk, RealDisk};
pub use order::{SortBy, SortKey, ThreadAlgorithm, ThreadEntry};
pub use pass_key::PASS_KEYS_MAX;
pub use policy::{JunkFilter, JunkFlags, Policies, Policy};
pub use read::{Changed, Columns, Fetched, Reader};
pub use read_only::{ACCOUNT_DATABASE, BODIES, ReadOnly, body_files, upgrade};
pub use remove::{Expunge, ExpungeOutcome};
pub use repair::{Repair, RepairStep};
pub use row::MessageRow;
pub use schema::SCHEMA_VERSION;
pub use search::{Found, KeepGoing, Needed, Progress, QUERY_DEPTH_MAX, Query};
pub use stage::{INLINE_BYTES_MAX, Staged};
pub use store::{ACCOUNT_NAME_BYTES_MAX, IDLE_ACCOUNT_SECS, IDLE_ACCOUNTS_MAX, Store};
pub use takeover::{KeptAccount, KeptAnnotation, KeptMailbox, KeptMessage, KeptThread};
pub use thread::THREAD_PARENTS_MAX;
pub use url_key::{URL_KEY_BYTES, UrlKey};
pub use writer::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX, QUEUE_BYTES_MAX, QUEUE_ITEMS_MAX};
