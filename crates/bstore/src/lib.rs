//! Reads the databases of the original mox: bbolt pages and bstore records, bytes in, values out.
//!
//! Nothing is written and nothing is trusted. A [`Source`] gives pages; [`Database`] picks the last commit
//! and walks its buckets; [`Table`] reads the records of a type by the schema that stands beside them.
//! Damage costs what it hit and no more: walks give an error with its page and go on with the next one.
//!
//! The format has no specification; what is known of it stands at the items. Integers of pages are
//! little-endian, as all machines that run the original write them.
//!
//! ```
//! use mox_bstore::{Database, Table};
//!
//! # fn show(file: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//! let database = Database::open(file)?;
//! if let Some(table) = Table::open(&database, "Mailbox")? {
//!     for record in table.records() {
//!         let record = record?;
//!         println!("{} {}", record.i64("ID"), record.text("Name"));
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod bucket;
mod bytes;
mod database;
mod page;
mod record;
mod schema;
mod table;
mod time;
mod value;

pub use bucket::{Bucket, Element, Held, WALK_DEPTH_MAX, Walk};
pub use database::{Database, OpenError, PAGE_BYTES_MAX, Source};
pub use page::{Damage, LOGICAL_PAGE_BYTES_MAX, Reason};
pub use record::{DecodeError, VALUE_DEPTH_MAX, VALUE_ITEMS_MAX};
pub use schema::{SCHEMA_BYTES_MAX, SCHEMA_VERSIONS_MAX, SchemaError};
pub use table::{Fault, Record, Records, Table};
pub use time::Time;
pub use value::Value;
