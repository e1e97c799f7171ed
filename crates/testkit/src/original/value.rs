//! Values of records, in the bytes in which they are stored.

use std::borrow::Cow;

use super::schema::{Field, Kind, Type, Version};

/// Seconds from the year 1 to 1970.
const TO_UNIX_SECS: i64 = 62_135_596_800;

/// A value of a field. Integers fit signed and unsigned fields.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: as if the field had been left out.
    Nil,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer that may be above `i64::MAX`.
    Uint(u64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A time, see [`time`] and [`time_at`].
    Time {
        /// Seconds since 1970.
        unix_secs: i64,
        /// Nanoseconds after that.
        nanos: u32,
        /// Seconds east of UTC; `None` is UTC itself.
        offset_secs: Option<i32>,
    },
    /// Fields by name; those left out are zero.
    Struct(Vec<(Cow<'static, str>, Self)>),
    /// Elements.
    List(Vec<Self>),
    /// Keys and values.
    Map(Vec<(Self, Self)>),
}

macro_rules! from {
    ($($of:ty => |$value:ident| $to:expr;)*) => {
        $(impl From<$of> for Value {
            fn from($value: $of) -> Self {
                $to
            }
        })*
    };
}

from! {
    bool => |value| Self::Bool(value);
    i32 => |value| Self::Int(value.into());
    i64 => |value| Self::Int(value);
    u32 => |value| Self::Uint(value.into());
    u64 => |value| Self::Uint(value);
    f64 => |value| Self::Float(value);
    &str => |value| Self::Text(value.to_owned());
    String => |value| Self::Text(value);
    &[u8] => |value| Self::Bytes(value.to_vec());
    Vec<u8> => |value| Self::Bytes(value);
}

/// A time in UTC, in seconds since 1970.
#[must_use]
pub fn time(unix_secs: i64) -> Value {
    Value::Time { unix_secs, nanos: 0, offset_secs: None }
}

/// A time as a clock shows it that is so many seconds ahead of UTC.
#[must_use]
pub fn time_at(unix_secs: i64, nanos: u32, offset_secs: i32) -> Value {
    Value::Time { unix_secs, nanos, offset_secs: Some(offset_secs) }
}

/// A structure.
pub fn fields<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::Struct(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// A list.
pub fn list<V: Into<Value>>(elements: impl IntoIterator<Item = V>) -> Value {
    Value::List(elements.into_iter().map(Into::into).collect())
}

/// A map.
pub fn map<K: Into<Value>, V: Into<Value>>(entries: impl IntoIterator<Item = (K, V)>) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
}

/// A record, see [`row`].
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub(super) key: Value,
    pub(super) version: Option<u32>,
    pub(super) fields: Vec<(Cow<'static, str>, Value)>,
}

/// A record with a key and nothing else; its other fields are zero until [`Row::with`] sets them.
pub fn row(key: impl Into<Value>) -> Row {
    Row { key: key.into(), version: None, fields: Vec::new() }
}

impl Row {
    /// Sets a field.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a field, in place of what it was set to before.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let name = name.into();
        self.fields.retain(|(one, _)| *one != name);
        self.fields.push((name, value.into()));
    }

    /// Has the record written by an older version of its type.
    #[must_use]
    pub fn of_version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }
}

/// The bytes of a key, which sort as the keys do.
pub(super) fn key(kind: &Kind, value: &Value) -> Vec<u8> {
    let width = |bits: &Option<u8>| usize::from(bits.unwrap_or(32)) / 8;
    match (kind, value) {
        (Kind::Bool, Value::Bool(value)) => vec![u8::from(*value)],
        (Kind::Uint(bits), value) => uint(value).to_be_bytes()[8 - width(bits)..].to_vec(),
        (Kind::Int(bits), value) => {
            let mut bytes = int(value).to_be_bytes()[8 - width(bits)..].to_vec();
            bytes[0] ^= 0x80;
            bytes
        }
        (Kind::Text, Value::Text(text)) => text.clone().into_bytes(),
        (Kind::Bytes, Value::Bytes(bytes)) => bytes.clone(),
        (kind, value) => unreachable!("{value:?} is no key of kind {kind:?}"),
    }
}

/// A key as a sequence counts it: 0 if it is below.
pub(super) fn number(key: &Value) -> u64 {
    match key {
        Value::Uint(value) => *value,
        Value::Int(value) => u64::try_from(*value).unwrap_or(0),
        _ => 0,
    }
}

/// The bytes of a record without its key.
pub(super) fn record(number: u32, version: &Version, row: &Row) -> Vec<u8> {
    let mut encoder = Encoder { version, out: Vec::with_capacity(256) };
    encoder.uvarint(number.into());
    encoder.fields(&version.fields[1..], &row.fields);
    encoder.out
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(value) => *value,
        Value::Uint(value) => i64::try_from(*value).expect("an integer that fits its field"),
        other => unreachable!("{other:?} is no integer"),
    }
}

fn uint(value: &Value) -> u64 {
    match value {
        Value::Uint(value) => *value,
        Value::Int(value) => u64::try_from(*value).expect("an integer that fits its field"),
        other => unreachable!("{other:?} is no integer"),
    }
}

struct Encoder<'a> {
    version: &'a Version,
    out: Vec<u8>,
}

impl<'a> Encoder<'a> {
    fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push((value & 0x7F) as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn varint(&mut self, value: i64) {
        self.uvarint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.uvarint(bytes.len() as u64);
        self.out.extend(bytes);
    }

    /// Writes which of so many values are there, then these. Returns whether any is.
    fn present(&mut self, count: usize, mut put: impl FnMut(&mut Self, usize) -> bool) -> bool {
        let bitmap = self.out.len();
        self.out.resize(bitmap + count.div_ceil(8), 0);
        let mut is_any = false;
        for number in 0..count {
            if put(self, number) {
                self.out[bitmap + number / 8] |= 0x80 >> (number % 8);
                is_any = true;
            }
        }
        is_any
    }

    fn fields(&mut self, fields: &'a [Field], values: &[(Cow<'static, str>, Value)]) -> bool {
        let mut found = 0;
        let is_any = self.present(fields.len(), |encoder, number| {
            let field = &fields[number];
            let Some((_, value)) = values.iter().find(|(name, _)| *name == field.name) else {
                return false;
            };
            found += 1;
            encoder.value(&field.r#type, value)
        });
        assert!(found == values.len(), "a field is given twice or not of the type: {values:?}");
        is_any
    }

    /// Writes a value if it has to be. Returns whether it was: zeros are left out, but not those behind
    /// pointers.
    fn value(&mut self, of: &'a Type, value: &Value) -> bool {
        let at = self.out.len();
        let is_zero = match (&of.kind, value) {
            (_, Value::Nil) => return false,
            (Kind::Bool, Value::Bool(value)) => {
                if of.is_pointer {
                    self.out.push(u8::from(*value));
                }
                !value
            }
            _ => self.stored(&of.kind, value),
        };
        if is_zero && !of.is_pointer {
            self.out.truncate(at);
            return false;
        }
        true
    }

    /// Writes a value, whatever it is. Returns whether it is zero.
    fn stored(&mut self, kind: &'a Kind, value: &Value) -> bool {
        match (kind, value) {
            (Kind::Int(_), value) => {
                self.varint(int(value));
                int(value) == 0
            }
            (Kind::Uint(_), value) => {
                self.uvarint(uint(value));
                uint(value) == 0
            }
            (Kind::Float32, Value::Float(value)) => {
                self.uvarint((*value as f32).to_bits().into());
                *value == 0.0
            }
            (Kind::Float64, Value::Float(value)) => {
                self.uvarint(value.to_bits());
                *value == 0.0
            }
            (Kind::Text, Value::Text(text)) => {
                self.bytes(text.as_bytes());
                text.is_empty()
            }
            // Bytes, lists and maps that are empty are not nothing.
            (Kind::Bytes | Kind::Marshaled, Value::Bytes(bytes)) => {
                self.bytes(bytes);
                false
            }
            (Kind::Time, Value::Time { unix_secs, nanos, offset_secs }) => {
                self.time(*unix_secs, *nanos, *offset_secs);
                false
            }
            (Kind::Struct(_, fields), Value::Struct(values)) => !self.fields(fields, values),
            (Kind::Again(number), Value::Struct(values)) => {
                !self.fields(&self.version.numbered[number], values)
            }
            (Kind::Slice(element), Value::List(list)) => {
                self.uvarint(list.len() as u64);
                self.present(list.len(), |encoder, number| encoder.value(element, &list[number]));
                false
            }
            (Kind::Array(length, element), Value::List(list)) => {
                !self.present(*length, |encoder, number| encoder.value(element, &list[number]))
            }
            (Kind::Map(key, element), Value::Map(entries)) => {
                self.uvarint(entries.len() as u64);
                self.present(entries.len(), |encoder, number| {
                    let (one, value) = &entries[number];
                    encoder.stored(&key.kind, one);
                    encoder.value(element, value)
                });
                false
            }
            (kind, value) => unreachable!("{value:?} is not of kind {kind:?}"),
        }
    }

    fn time(&mut self, unix_secs: i64, nanos: u32, offset_secs: Option<i32>) {
        let (minutes, secs) = offset_secs.map_or((-1, 0), |offset| (offset / 60, offset % 60));
        let mut time = vec![if secs == 0 { 1 } else { 2 }];
        time.extend((unix_secs + TO_UNIX_SECS).to_be_bytes());
        time.extend(nanos.to_be_bytes());
        time.extend(i16::try_from(minutes).expect("an offset of less than a day").to_be_bytes());
        if secs != 0 {
            time.push(i8::try_from(secs).expect("below 60").cast_unsigned());
        }
        self.bytes(&time);
    }
}
