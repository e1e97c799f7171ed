//! Values of records, by their schema.

use std::sync::Arc;

use crate::schema::{Field, Kind, Schema};
use crate::time::Time;
use crate::value::Value;

/// How deep values may lie in one another.
pub const VALUE_DEPTH_MAX: usize = 64;

/// How many fields, elements and entries a record may have in all: an absent one takes a bit only.
pub const VALUE_ITEMS_MAX: usize = 1_000_000;

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It ends within a value.
    #[error("ends early")]
    Truncated,
    /// It has bytes left after the last value.
    #[error("{0} bytes left over")]
    Leftover(usize),
    /// An integer is longer than it can be.
    #[error("an integer that is too long")]
    Integer,
    /// A time is not written as one.
    #[error("no time")]
    Time,
    /// Values lie deeper than [`VALUE_DEPTH_MAX`].
    #[error("values too deep in one another")]
    Depth,
    /// It has more than [`VALUE_ITEMS_MAX`] values.
    #[error("too many values")]
    Items,
    /// Its key is not one of its type.
    #[error("no key of this type")]
    Key,
    /// It names a version of its type that is not described.
    #[error("of version {0}, which is not described")]
    Version(u64),
}

/// Reads a key. Its width goes by the schema.
pub(crate) fn key(schema: &Schema, bytes: &[u8]) -> Result<Value, DecodeError> {
    let kind = schema.fields(0).first().map(|field| &field.kind).ok_or(DecodeError::Key)?;
    let big_endian = |width: usize| {
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        (bytes.len() == width).then(|| bytes.iter().fold(0, fold)).ok_or(DecodeError::Key)
    };
    Ok(match kind {
        Kind::Bool(_) => Value::Bool(big_endian(1)? != 0),
        Kind::Uint(width) => Value::Uint(big_endian(*width)?),
        // The sign bit is flipped, so that keys sort as numbers do.
        Kind::Int(width) => {
            let shift = 64 - 8 * u32::try_from(*width).unwrap_or(8);
            let value = big_endian(*width)? << shift ^ 1 << 63;
            Value::Int(value.cast_signed() >> shift)
        }
        Kind::Text => text(bytes.to_vec()),
        Kind::Bytes => Value::Bytes(bytes.to_vec()),
        _ => return Err(DecodeError::Key),
    })
}

/// The version of its type that a record was written by.
pub(crate) fn version(bytes: &[u8]) -> Result<u64, DecodeError> {
    Reader::new(bytes).uvarint()
}

/// Reads the fields of a record, all but the key. Absent ones are left out.
pub(crate) fn fields(schema: &Schema, bytes: &[u8]) -> Result<Vec<(Arc<str>, Value)>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let _version = reader.uvarint()?;
    let without_key = schema.fields(0).get(1..).unwrap_or_default();
    let fields = reader.fields(schema, without_key, 0)?;
    match reader.rest.len() {
        0 => Ok(fields),
        left => Err(DecodeError::Leftover(left)),
    }
}

fn text(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::Text(text),
        Err(error) => Value::Bytes(error.into_bytes()),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    items: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, items: 0 }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn uvarint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Integer);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Integer)
    }

    fn varint(&mut self) -> Result<i64, DecodeError> {
        let value = self.uvarint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn count(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.uvarint()?).map_err(|_| DecodeError::Items)
    }

    fn bytes(&mut self) -> Result<Vec<u8>, DecodeError> {
        let len = usize::try_from(self.uvarint()?).map_err(|_| DecodeError::Truncated)?;
        Ok(self.take(len)?.to_vec())
    }

    /// Which of so many values are stored: a bit for each, the first is the highest of the first byte.
    fn present(
        &mut self,
        count: usize,
    ) -> Result<impl Iterator<Item = bool> + use<'a>, DecodeError> {
        self.items = self.items.saturating_add(count);
        if self.items > VALUE_ITEMS_MAX {
            return Err(DecodeError::Items);
        }
        let bits = self.take(count.div_ceil(8))?;
        let bits = bits.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
        Ok(bits.take(count))
    }

    fn fields(
        &mut self,
        schema: &Schema,
        fields: &[Field],
        depth: usize,
    ) -> Result<Vec<(Arc<str>, Value)>, DecodeError> {
        let present = self.present(fields.len())?;
        let stored =
            fields.iter().zip(present).filter_map(|(field, stored)| stored.then_some(field));
        let mut values = Vec::new();
        for field in stored {
            values.push((Arc::clone(&field.name), self.value(schema, &field.kind, depth)?));
        }
        Ok(values)
    }

    fn elements(
        &mut self,
        schema: &Schema,
        kind: &Kind,
        count: usize,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        let mut values = Vec::new();
        for stored in self.present(count)? {
            let value = match stored {
                true => self.value(schema, kind, depth)?,
                false => Value::Absent,
            };
            values.push(value);
        }
        Ok(Value::List(values))
    }

    /// A value that is stored.
    fn value(&mut self, schema: &Schema, kind: &Kind, depth: usize) -> Result<Value, DecodeError> {
        if depth >= VALUE_DEPTH_MAX {
            return Err(DecodeError::Depth);
        }
        let depth = depth + 1;
        Ok(match kind {
            Kind::Bool(false) => Value::Bool(true),
            Kind::Bool(true) => Value::Bool(self.take(1)? != [0]),
            Kind::Int(_) => Value::Int(self.varint()?),
            Kind::Uint(_) => Value::Uint(self.uvarint()?),
            Kind::Float32 => {
                let bits = u32::try_from(self.uvarint()?).map_err(|_| DecodeError::Integer)?;
                Value::Float(f32::from_bits(bits).into())
            }
            Kind::Float64 => Value::Float(f64::from_bits(self.uvarint()?)),
            Kind::Text => text(self.bytes()?),
            Kind::Bytes => Value::Bytes(self.bytes()?),
            Kind::Time => Value::Time(Time::parse(&self.bytes()?).ok_or(DecodeError::Time)?),
            Kind::Struct(id) => Value::Struct(self.fields(schema, schema.fields(*id), depth)?),
            Kind::List(element) => {
                let count = self.count()?;
                self.elements(schema, element, count, depth)?
            }
            Kind::Array(count, element) => self.elements(schema, element, *count, depth)?,
            Kind::Map(key, value) => {
                let count = self.count()?;
                let mut entries = Vec::new();
                for stored in self.present(count)? {
                    let key = self.value(schema, key, depth)?;
                    let value = match stored {
                        true => self.value(schema, value, depth)?,
                        false => Value::Absent,
                    };
                    entries.push((key, value));
                }
                Value::Map(entries)
            }
        })
    }
}

/// Takes away what may not be seen: fields that a later version did not have, of structures within too.
///
/// - `later`: all versions after the one that the record was written by, and the structure of each that
///   stands where these fields stand.
pub(crate) fn hide(
    fields: &mut Vec<(Arc<str>, Value)>,
    later: &[(&Schema, &[Field])],
    depth: usize,
) {
    if depth >= VALUE_DEPTH_MAX {
        return fields.clear();
    }
    fields.retain_mut(|(name, value)| {
        let kinds: Option<Vec<_>> = later
            .iter()
            .map(|(schema, fields)| {
                let field = fields.iter().find(|field| field.name == *name)?;
                Some((*schema, &field.kind))
            })
            .collect();
        let Some(kinds) = kinds else { return false };
        hide_within(value, &kinds, depth + 1);
        true
    });
}

fn hide_within(value: &mut Value, kinds: &[(&Schema, &Kind)], depth: usize) {
    match value {
        Value::Struct(fields) => {
            let later: Vec<_> = kinds
                .iter()
                .map(|(schema, kind)| match kind {
                    Kind::Struct(id) => (*schema, schema.fields(*id)),
                    _ => (*schema, [].as_slice()),
                })
                .collect();
            hide(fields, &later, depth);
        }
        Value::List(list) => {
            let below: Vec<_> = kinds
                .iter()
                .filter_map(|(schema, kind)| match kind {
                    Kind::List(kind) | Kind::Array(_, kind) => Some((*schema, &**kind)),
                    _ => None,
                })
                .collect();
            list.iter_mut().for_each(|value| hide_within(value, &below, depth + 1));
        }
        Value::Map(entries) => {
            let below: Vec<_> = kinds
                .iter()
                .filter_map(|(schema, kind)| match kind {
                    Kind::Map(_, kind) => Some((*schema, &**kind)),
                    _ => None,
                })
                .collect();
            entries.iter_mut().for_each(|(_, value)| hide_within(value, &below, depth + 1));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"Version": 1, "OndiskVersion": 2, "Fields": [
        {"Name": "ID", "Type": {"Kind": "int64"}},
        {"Name": "Flag", "Type": {"Kind": "bool"}},
        {"Name": "MaybeFlag", "Type": {"Kind": "bool", "Ptr": true}},
        {"Name": "Number", "Type": {"Kind": "int32"}},
        {"Name": "Text", "Type": {"Kind": "string"}},
        {"Name": "List", "Type": {"Kind": "slice", "List": {"Kind": "uint8"}}},
        {"Name": "Tree", "Type": {"Kind": "struct", "FieldsTypeSeq": 2, "Fields": [
            {"Name": "Below", "Type": {"Kind": "struct", "Ptr": true, "FieldsTypeSeq": -2}}]}},
        {"Name": "Time", "Type": {"Kind": "time"}}]}"#;

    fn schema() -> Schema {
        Schema::parse(1, SCHEMA.as_bytes()).unwrap()
    }

    #[track_caller]
    fn check(bytes: &[u8], want: Result<&[(&str, Value)], DecodeError>) {
        let found = fields(&schema(), bytes);
        let want = want.map(|fields| {
            fields.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect::<Vec<_>>()
        });
        assert_eq!(found, want);
    }

    #[test]
    fn what_is_stored_is_read_and_the_rest_is_left_out() {
        check(&[1, 0], Ok(&[]));
        check(&[1, 0x80], Ok(&[("Flag", Value::Bool(true))]));
        check(&[1, 0x40, 0], Ok(&[("MaybeFlag", Value::Bool(false))]));
        check(&[1, 0x20, 3], Ok(&[("Number", Value::Int(-2))]));
        check(&[1, 0x10, 0], Ok(&[("Text", Value::Text(String::new()))]));
        check(&[1, 0x10, 1, 0xFF], Ok(&[("Text", Value::Bytes(vec![0xFF]))]));
        let list = Value::List(vec![Value::Absent, Value::Uint(7)]);
        check(&[1, 0x08, 2, 0x40, 7], Ok(&[("List", list)]));
    }

    #[test]
    fn what_does_not_end_where_it_should_is_refused() {
        check(&[1], Err(DecodeError::Truncated));
        check(&[1, 0x20], Err(DecodeError::Truncated));
        check(&[1, 0x10, 5, b'a'], Err(DecodeError::Truncated));
        check(&[1, 0x80, 9], Err(DecodeError::Leftover(1)));
        check(&[1, 0x02, 1, 0], Err(DecodeError::Time));
        let long = [&[1, 0x20][..], &[0xFF; 9], &[2]].concat();
        check(&long, Err(DecodeError::Integer));
        // A thousand million zeros, in as little space as they take.
        check(&[1, 0x08, 0x80, 0x94, 0xEB, 0xDC, 0x03], Err(DecodeError::Items));
        let deep = [&[1, 0x04][..], &[0x80; 100]].concat();
        check(&deep, Err(DecodeError::Depth));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _read = fields(&schema(), &bytes);
            let _key = key(&schema(), &bytes);
        }
    }
}
