//! From [`Value`] to [`Document`], in canonical order and spelling.

use crate::describe::comment;
use crate::document::{Block, Document, Entry};
use crate::shape::{Field, Shape};
use crate::{EncodeError, Value};

/// Whether the docs of the keys stand as comments above them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Docs {
    /// No comments.
    Omit,
    /// The docs of each key that is written.
    Write,
}

impl Document {
    /// Writes a value: fields in the order of their declaration, optional ones only if set.
    pub fn from_value(value: &Value, shape: &Shape, docs: Docs) -> Result<Self, EncodeError> {
        let root = Writer { docs }.block(value, shape, 0, "document")?;
        Ok(Self { root, ends_in_newline: true })
    }
}

pub(crate) struct Writer {
    pub(crate) docs: Docs,
}

impl Writer {
    fn block(
        &self,
        value: &Value,
        shape: &Shape,
        depth: usize,
        name: &str,
    ) -> Result<Block, EncodeError> {
        let mut entries = Vec::new();
        match (shape, value) {
            (Shape::Struct(fields), Value::Map(_)) => {
                for field in *fields {
                    if let Some(value) = written(value, field) {
                        entries.push(self.field(field, value, depth)?);
                    }
                }
            }
            (Shape::Map { value: shape, .. }, Value::Map(values)) => {
                for (key, value) in values {
                    entries.push(self.map_entry(key, value, shape, depth)?);
                }
            }
            (Shape::List(shape), Value::List(items)) => {
                for item in items {
                    entries.push(self.item(item, shape, depth)?);
                }
            }
            _ => return Err(EncodeError::WrongShape(name.to_owned())),
        }
        Ok(Block { entries, tail: String::new() })
    }

    pub(crate) fn field(
        &self,
        field: &Field,
        value: &Value,
        depth: usize,
    ) -> Result<Entry, EncodeError> {
        let mut entry = self.entry(Some(field.key), value, field.shape, depth)?;
        self.add_line(&mut entry, field.shape, depth, field.key)?;
        if self.docs == Docs::Write {
            entry.lead = comment(field, depth);
        }
        Ok(entry)
    }

    pub(crate) fn map_entry(
        &self,
        key: &str,
        value: &Value,
        shape: &Shape,
        depth: usize,
    ) -> Result<Entry, EncodeError> {
        let mut entry = self.entry(Some(key), value, shape, depth)?;
        if entry.block.as_ref().is_some_and(|block| block.entries.is_empty()) {
            entry.block = None;
            entry.inline = Some("nil".to_owned());
        }
        Ok(entry)
    }

    pub(crate) fn item(
        &self,
        value: &Value,
        shape: &Shape,
        depth: usize,
    ) -> Result<Entry, EncodeError> {
        let mut entry = self.entry(None, value, shape, depth)?;
        if entry.block.is_none() {
            // A bare dash announces lines below it; an empty text keeps its space.
            entry.inline.get_or_insert_default();
        }
        self.add_line(&mut entry, shape, depth, "list item")?;
        Ok(entry)
    }

    /// Gives a struct that counts by being there a line below it: a field that is so anyway.
    fn add_line(
        &self,
        entry: &mut Entry,
        shape: &Shape,
        depth: usize,
        name: &str,
    ) -> Result<(), EncodeError> {
        let Some(block) = entry.block.as_mut().filter(|block| block.entries.is_empty()) else {
            return Ok(());
        };
        let zero = shape.fields().iter().find_map(|field| match field.shape {
            Shape::Scalar(scalar) if !field.nullable => Some((field, scalar.zero)),
            _ => None,
        });
        let (first, zero) = zero.ok_or_else(|| EncodeError::EmptyRequired(name.to_owned()))?;
        block.entries.push(self.field(first, &Value::Text(zero.to_owned()), depth + 1)?);
        Ok(())
    }

    fn entry(
        &self,
        key: Option<&str>,
        value: &Value,
        shape: &Shape,
        depth: usize,
    ) -> Result<Entry, EncodeError> {
        let name = key.unwrap_or("list item");
        let (inline, block) = match (shape, value) {
            (Shape::Scalar(_), Value::Text(text)) => (inline(text)?, None),
            (Shape::Scalar(_), _) => return Err(EncodeError::WrongShape(name.to_owned())),
            _ => (None, Some(self.block(value, shape, depth + 1, name)?)),
        };
        let key = key.map(checked_key).transpose()?;
        Ok(Entry { lead: String::new(), line: 0, key, inline, block })
    }
}

/// The value of a field, if it is to be written.
pub(crate) fn written<'v>(value: &'v Value, field: &Field) -> Option<&'v Value> {
    let value = value.get(field.key).filter(|value| **value != Value::Absent)?;
    let needed = !field.optional || field.nullable || !value.is_zero(field.shape);
    needed.then_some(value)
}

/// What to write after the colon; nothing for an empty text.
pub(crate) fn inline(text: &str) -> Result<Option<String>, EncodeError> {
    if text.contains(['\n', '\r']) || text.len() > crate::LINE_BYTES_MAX / 2 {
        return Err(EncodeError::BadText(text.to_owned()));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn checked_key(key: &str) -> Result<String, EncodeError> {
    let bad = key.trim().is_empty()
        || key.contains([':', '\n', '\r'])
        || key.starts_with([' ', '\t', '#'])
        || key.trim_start().starts_with('#')
        || key.starts_with("- ")
        || key.len() > crate::LINE_BYTES_MAX / 4;
    if bad { Err(EncodeError::BadKey(key.to_owned())) } else { Ok(key.to_owned()) }
}
