//! serde's writing side, to [`Value`].

use std::fmt;

use serde::ser::{self, Impossible, Serialize, Serializer};

use crate::Value;
use crate::shape::print_float;

/// Why a Rust value cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// serde's data model has a kind of value that documents have not, such as bytes or tuples.
    Unsupported(&'static str),
    /// A key that would not be read back: empty, with a colon, or one that looks like a comment,
    /// an indentation or a list item.
    BadKey(String),
    /// A text over more than one line, or ending in a carriage return.
    BadText(String),
    /// A required list or map is empty, which the syntax cannot express.
    EmptyRequired(String),
    /// The value has another form than its shape, by the key named.
    WrongShape(String),
    /// The type itself refused.
    Refused(String),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(kind) => write!(f, "cannot write a {kind}"),
            Self::BadKey(key) => write!(f, "cannot write key {key:?}"),
            Self::BadText(text) => write!(f, "cannot write {text:?}: it must be one line"),
            Self::EmptyRequired(key) => write!(f, "{key}: must not be empty"),
            Self::WrongShape(key) => write!(f, "{key}: unexpected form of value"),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for EncodeError {}

impl ser::Error for EncodeError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::Refused(reason.to_string())
    }
}

/// Turns a typed value into a [`Value`].
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, EncodeError> {
    value.serialize(Writer)
}

struct Writer;

/// Collects the items of a list.
pub(crate) struct Items(Vec<Value>);

/// Collects the entries of a struct or map.
pub(crate) struct Entries {
    entries: Vec<(String, Value)>,
    key: String,
}

macro_rules! displayed {
    ($($method:ident $type:ty)*) => { $(
        fn $method(self, value: $type) -> Result<Value, EncodeError> {
            Ok(Value::Text(value.to_string()))
        }
    )* };
}

impl Serializer for Writer {
    type Ok = Value;
    type Error = EncodeError;
    type SerializeSeq = Items;
    type SerializeTuple = Impossible<Value, EncodeError>;
    type SerializeTupleStruct = Impossible<Value, EncodeError>;
    type SerializeTupleVariant = Impossible<Value, EncodeError>;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Impossible<Value, EncodeError>;

    displayed!(
        serialize_bool bool
        serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_i64 i64
        serialize_u8 u8 serialize_u16 u16 serialize_u32 u32 serialize_u64 u64
        serialize_char char serialize_str &str
    );

    fn serialize_f32(self, value: f32) -> Result<Value, EncodeError> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<Value, EncodeError> {
        Ok(Value::Text(print_float(value)))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Value, EncodeError> {
        Err(EncodeError::Unsupported("byte string"))
    }

    fn serialize_none(self) -> Result<Value, EncodeError> {
        Ok(Value::Absent)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, EncodeError> {
        Ok(Value::Absent)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, EncodeError> {
        Ok(Value::Absent)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, EncodeError> {
        Ok(Value::Text(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Value, EncodeError> {
        Err(EncodeError::Unsupported("variant with a value"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, EncodeError> {
        Ok(Items(Vec::new()))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, EncodeError> {
        Err(EncodeError::Unsupported("tuple"))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, EncodeError> {
        Err(EncodeError::Unsupported("tuple"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        Err(EncodeError::Unsupported("variant with a value"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, EncodeError> {
        Ok(Entries { entries: Vec::new(), key: String::new() })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Entries, EncodeError> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        Err(EncodeError::Unsupported("variant with a value"))
    }
}

impl ser::SerializeSeq for Items {
    type Ok = Value;
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), EncodeError> {
        self.0.push(to_value(item)?);
        Ok(())
    }

    fn end(self) -> Result<Value, EncodeError> {
        Ok(Value::List(self.0))
    }
}

impl ser::SerializeMap for Entries {
    type Ok = Value;
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        match to_value(key)? {
            Value::Text(key) => self.key = key,
            _ => return Err(EncodeError::Unsupported("key that is not text")),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.entries.push((std::mem::take(&mut self.key), to_value(value)?));
        Ok(())
    }

    fn end(self) -> Result<Value, EncodeError> {
        Ok(Value::Map(self.entries))
    }
}

impl ser::SerializeStruct for Entries {
    type Ok = Value;
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.entries.push((key.to_owned(), to_value(value)?));
        Ok(())
    }

    fn end(self) -> Result<Value, EncodeError> {
        Ok(Value::Map(self.entries))
    }
}
