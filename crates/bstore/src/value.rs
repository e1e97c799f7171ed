//! Values of fields.

use std::sync::Arc;

use crate::time::Time;

/// A value of any kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Not stored: the zero value of its kind, or nothing where there can be nothing.
    #[default]
    Absent,
    /// True or false.
    Bool(bool),
    /// An integer with a sign.
    Int(i64),
    /// An integer without.
    Uint(u64),
    /// A number with a fraction.
    Float(f64),
    /// Text. Should be UTF-8; what is not is a [`Value::Bytes`].
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A time.
    Time(Time),
    /// Fields with their names, those that are stored.
    Struct(Vec<(Arc<str>, Self)>),
    /// Elements of a list.
    List(Vec<Self>),
    /// Keys and values of a map, in any order.
    Map(Vec<(Self, Self)>),
}

/// What is not there.
static ABSENT: Value = Value::Absent;

impl Value {
    /// A field of a structure; absent if it is not there, or this is no structure.
    #[must_use]
    pub fn field(&self, name: &str) -> &Self {
        let Self::Struct(fields) = self else { return &ABSENT };
        fields.iter().find(|(one, _)| &**one == name).map_or(&ABSENT, |(_, value)| value)
    }

    /// Whether it is not stored.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// True, or anything else.
    #[must_use]
    pub fn bool(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    /// An integer; one without a sign that is too large is the largest; 0 if it is none.
    #[must_use]
    pub fn i64(&self) -> i64 {
        match self {
            Self::Int(value) => *value,
            Self::Uint(value) => i64::try_from(*value).unwrap_or(i64::MAX),
            _ => 0,
        }
    }

    /// An integer; 0 if it is none, or below.
    #[must_use]
    pub fn u64(&self) -> u64 {
        match self {
            Self::Int(value) => u64::try_from(*value).unwrap_or(0),
            Self::Uint(value) => *value,
            _ => 0,
        }
    }

    /// Text; empty if it is none.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    /// Bytes, those of a text too; empty if it is neither.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
            _ => &[],
        }
    }

    /// A time, if there is one.
    #[must_use]
    pub fn time(&self) -> Option<Time> {
        match self {
            Self::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// The elements of a list; none if it is none.
    #[must_use]
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }

    /// The entries of a map; none if it is none.
    #[must_use]
    pub fn map(&self) -> &[(Self, Self)] {
        match self {
            Self::Map(map) => map,
            _ => &[],
        }
    }
}
