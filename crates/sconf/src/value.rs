//! Values between a document and a Rust type: what the lines say, without comments and places.

use std::collections::HashMap;

use crate::document::{Block, Document, Entry};
use crate::shape::{Field, Scalar, Shape};
use crate::{Faults, Problem};

/// A value without its place, comments and spelling.
///
/// Values read by the same [`Shape`] are equal if and only if they mean the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An optional key that is not there.
    Absent,
    /// A scalar in canonical form.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// A struct or map; keys in canonical form.
    Map(Vec<(String, Self)>),
}

impl Value {
    /// Reads a document of the given shape, leaving out what is wrong after adding it to `faults`.
    ///
    /// Reports unknown, duplicate, empty and missing keys, and values of the wrong form. Cost:
    /// linear in the size of the document.
    pub fn read(document: &Document, shape: &Shape, faults: &mut Faults) -> Self {
        let mut reader = Reader { faults };
        match shape {
            Shape::Struct(fields) => reader.fields(fields, &document.root, 1),
            Shape::Map { key, value } => reader.map(key, value, &document.root),
            Shape::List(item) => reader.list(item, &document.root),
            Shape::Scalar(_) => {
                reader.faults.push(1, Problem::ExpectedKey);
                Self::Absent
            }
        }
    }

    /// The value of a struct's field or a map's key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(have, _)| have == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Whether this is what a value is that was never set: false, 0, no text, nothing in it.
    #[must_use]
    pub fn is_zero(&self, shape: &Shape) -> bool {
        match (self, shape) {
            (Self::Absent, _) => true,
            (Self::Text(text), Shape::Scalar(scalar)) => text == scalar.zero,
            (Self::List(items), _) => items.is_empty(),
            (Self::Map(_), Shape::Struct(fields)) => fields.iter().all(|field| {
                let value = self.get(field.key).unwrap_or(&Self::Absent);
                if field.nullable { *value == Self::Absent } else { value.is_zero(field.shape) }
            }),
            (Self::Map(entries), _) => entries.is_empty(),
            (Self::Text(_), _) => false,
        }
    }
}

/// Reads one entry; `None` if it has another form than `shape`. For comparing, without faults.
pub(crate) fn read_entry(entry: &Entry, shape: &Shape) -> Option<Value> {
    let mut faults = Faults::default();
    let value = Reader { faults: &mut faults }.entry(shape, entry, true);
    if faults.is_empty() { value } else { None }
}

struct Reader<'f> {
    faults: &'f mut Faults,
}

impl Reader<'_> {
    /// - `may_be_nil`: whether this is the element of a map, for which `nil` means the zero value.
    ///
    /// Deviation: only structs, maps and lists can be `nil`. For a text it would make the text
    /// `nil` impossible to write.
    fn entry(&mut self, shape: &Shape, entry: &Entry, may_be_nil: bool) -> Option<Value> {
        if let Shape::Scalar(scalar) = shape {
            return self.scalar(scalar, entry);
        }
        if may_be_nil && entry.text() == Some("nil") && entry.block.is_none() {
            return Some(match shape {
                Shape::List(_) => Value::List(Vec::new()),
                _ => Value::Map(Vec::new()),
            });
        }
        let (None, Some(block)) = (entry.text(), &entry.block) else {
            self.faults.push(entry.line, Problem::ExpectedIndent);
            return None;
        };
        Some(match shape {
            Shape::Struct(fields) => self.fields(fields, block, entry.line),
            Shape::Map { key, value } => self.map(key, value, block),
            Shape::List(item) => self.list(item, block),
            Shape::Scalar(_) => Value::Absent,
        })
    }

    fn scalar(&mut self, scalar: &Scalar, entry: &Entry) -> Option<Value> {
        if entry.block.is_some() {
            self.faults.push(entry.line, Problem::ExpectedValue);
            return None;
        }
        let text = self.canonical(scalar, entry.text().unwrap_or_default(), entry.line)?;
        Some(Value::Text(text))
    }

    fn canonical(&mut self, scalar: &Scalar, text: &str, line: usize) -> Option<String> {
        match (scalar.canonical)(text) {
            Ok(text) => Some(text),
            Err(reason) => {
                self.faults.push(line, Problem::BadText { noun: scalar.noun, reason });
                None
            }
        }
    }

    /// - `line`: of the key or item above.
    fn fields(&mut self, fields: &'static [Field], block: &Block, line: usize) -> Value {
        let mut seen = HashMap::new();
        let mut values = Vec::new();
        for entry in &block.entries {
            let Some(key) = &entry.key else {
                self.faults.push(entry.line, Problem::ExpectedKey);
                continue;
            };
            let Some(field) = fields.iter().find(|field| field.key == key) else {
                let meant = fields.iter().map(|field| field.key);
                let meant = meant.into_iter().find(|name| name.eq_ignore_ascii_case(key.trim()));
                self.faults.push(entry.line, Problem::UnknownKey { key: key.clone(), meant });
                continue;
            };
            if let Some(first_line) = seen.insert(field.key, entry.line) {
                let key = key.clone();
                self.faults.push(entry.line, Problem::DuplicateKey { key, first_line });
                continue;
            }
            // `Mailbox:` with nothing after it is as good as no such line.
            let unset = matches!(field.shape, Shape::Scalar(scalar) if scalar.zero.is_empty())
                && field.nullable
                && entry.text().unwrap_or_default().is_empty()
                && entry.block.is_none();
            if !unset {
                let value = self.entry(field.shape, entry, false);
                values.extend(value.map(|value| (key.clone(), value)));
            }
        }
        for field in fields.iter().filter(|field| !field.optional) {
            if !seen.contains_key(field.key) {
                self.faults.push(line, Problem::MissingKey(field.key));
            }
        }
        Value::Map(values)
    }

    fn map(&mut self, key: &Scalar, shape: &Shape, block: &Block) -> Value {
        let mut seen = HashMap::new();
        let mut values = Vec::new();
        for entry in &block.entries {
            let Some(text) = &entry.key else {
                self.faults.push(entry.line, Problem::ExpectedKey);
                continue;
            };
            let name = self.canonical(key, text, entry.line);
            // The value is read under a bad key too, so that its faults are reported.
            let value = self.entry(shape, entry, true);
            let Some(name) = name else { continue };
            if let Some(first_line) = seen.insert(name.clone(), entry.line) {
                let key = text.clone();
                self.faults.push(entry.line, Problem::DuplicateKey { key, first_line });
                continue;
            }
            values.extend(value.map(|value| (name, value)));
        }
        Value::Map(values)
    }

    fn list(&mut self, shape: &Shape, block: &Block) -> Value {
        let mut items = Vec::new();
        for entry in &block.entries {
            if entry.key.is_some() {
                self.faults.push(entry.line, Problem::ExpectedItem);
                continue;
            }
            items.extend(self.entry(shape, entry, false));
        }
        Value::List(items)
    }
}
