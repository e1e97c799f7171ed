//! The sconf configuration syntax: a serde reader and writer, editing, annotated descriptions.
//!
//! A document is made of lines `Key: value`, nested by one tab for each level, with lists of lines
//! `- value` and comment lines that start with `#`. Nothing is quoted or escaped: a value reaches
//! to the end of its line. [`Document`] is the tree of the lines that keeps every byte; [`Shape`]
//! says what a document may hold and comes with the Rust types that [`settings!`] declares;
//! [`Value`] is what the lines mean. Reading reports all faults with their lines, not only the
//! first. A program that changes a document with [`Document::apply`] leaves the comments, the
//! order and the spelling of what it did not change.
//!
//! Not in here: files, and the meaning of any key.
//!
//! ```
//! mox_sconf::settings! {
//!     /// A pet.
//!     pub struct Pet {
//!         /// What it answers to.
//!         "Name" => name: String,
//!         /// In years.
//!         "Age" optional => age: u32,
//!     }
//! }
//!
//! let text = "# Found in the garden.\nName: Tom: the cat\n";
//! let mut document = mox_sconf::Document::parse(text).unwrap();
//! let mut pet: Pet = mox_sconf::from_document(&document).unwrap();
//! assert_eq!(pet.name, "Tom: the cat");
//!
//! pet.age = 3;
//! mox_sconf::update(&mut document, &pet).unwrap();
//! assert_eq!(document.to_string(), format!("{text}Age: 3\n"));
//!
//! let faults = mox_sconf::from_str::<Pet>("Nam: Tom\nAge: old\n").unwrap_err();
//! assert_eq!(faults[0].to_string(), "1: unknown key \"Nam\"");
//! assert_eq!(faults.len(), 3);
//! ```
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod de;
mod describe;
mod document;
mod duration;
mod edit;
mod fault;
mod parse;
mod path;
mod ser;
mod shape;
mod value;
mod write;

#[cfg(test)]
mod tests;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use de::{DecodeError, from_value};
pub use describe::describe;
pub use document::{Document, Entry};
pub use duration::{Duration, DurationError};
pub use fault::{FAULTS_MAX, Fault, Faults, Problem};
pub use parse::{DEPTH_MAX, DOCUMENT_BYTES_MAX, ENTRIES_MAX, LINE_BYTES_MAX};
pub use path::{Path, Step};
pub use ser::{EncodeError, to_value};
pub use shape::{Described, Field, Scalar, Shape};
pub use value::Value;
pub use write::Docs;

/// Reads a typed value from a text; the error has all faults, by line.
pub fn from_str<T: DeserializeOwned + Described>(text: &str) -> Result<T, Vec<Fault>> {
    let mut faults = Faults::default();
    let document = Document::read(text, &mut faults);
    let value = read_document(&document, &mut faults);
    value.filter(|_| faults.is_empty()).ok_or_else(|| faults.into_sorted())
}

/// Reads a typed value from a document; the error has all faults, by line.
pub fn from_document<T: DeserializeOwned + Described>(
    document: &Document,
) -> Result<T, Vec<Fault>> {
    let mut faults = Faults::default();
    let value = read_document(document, &mut faults);
    value.filter(|_| faults.is_empty()).ok_or_else(|| faults.into_sorted())
}

/// Reads what can be read as a `T`, for further checks that may find more faults.
///
/// What is wrong is added to `faults` and left out of the value. `None` if `T` cannot do without.
pub fn read_document<T: DeserializeOwned + Described>(
    document: &Document,
    faults: &mut Faults,
) -> Option<T> {
    let value = Value::read(document, &T::SHAPE, faults);
    match from_value(&value) {
        Ok(value) => Some(value),
        // With faults already found it fails for what they left out.
        Err(DecodeError(_)) if !faults.is_empty() => None,
        Err(DecodeError(reason)) => {
            faults.push(0, Problem::Refused(reason));
            None
        }
    }
}

/// Writes a typed value as text.
pub fn to_string<T: Serialize + Described>(value: &T, docs: Docs) -> Result<String, EncodeError> {
    Ok(Document::from_value(&to_value(value)?, &T::SHAPE, docs)?.to_string())
}

/// Changes a document so that it reads as `value`; see [`Document::apply`].
pub fn update<T: Serialize + Described>(
    document: &mut Document,
    value: &T,
) -> Result<(), EncodeError> {
    document.apply(&to_value(value)?, &T::SHAPE)
}
