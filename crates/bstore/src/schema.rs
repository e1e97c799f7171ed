//! Schemas: what a version of a type has for fields.

use std::sync::Arc;

use serde::Deserialize;

/// How long the text of a schema may be. Those in use have up to 10 KB.
pub const SCHEMA_BYTES_MAX: usize = 1024 * 1024;

/// The most versions of one type that are read. A release adds one at most; each makes reading a record
/// take longer.
pub const SCHEMA_VERSIONS_MAX: usize = 1_000;

/// Forms of schemas that are known.
const FORMS: std::ops::RangeInclusive<u32> = 1..=2;

/// Kinds, in the order in which the first form numbers them from 1.
const KINDS: [&str; 21] = [
    "bytes",
    "bool",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "map",
    "slice",
    "string",
    "time",
    "binarymarshal",
    "struct",
    "array",
];

/// Why a schema cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// There are more than [`SCHEMA_VERSIONS_MAX`](crate::SCHEMA_VERSIONS_MAX) of the type.
    #[error("more versions than are read")]
    TooMany,
    /// It is longer than [`SCHEMA_BYTES_MAX`].
    #[error("a schema of {0} bytes")]
    TooLong(usize),
    /// It is not the JSON that it should be.
    #[error("a schema that cannot be parsed")]
    Json(#[from] serde_json::Error),
    /// It has a form that is not known: a later release wrote it.
    #[error("schema of form {0}, known are 1 and 2")]
    Form(u32),
    /// It says that it is of another version than its key.
    #[error("schema version {key} says that it is version {said}")]
    Version {
        /// By its key.
        key: u32,
        /// By itself.
        said: u32,
    },
    /// A field has a kind that is not known.
    #[error("field {field} is of kind {kind}, which is not known")]
    Kind {
        /// The field.
        field: String,
        /// The kind, a name or number.
        kind: String,
    },
    /// A field lacks what its kind needs, such as the elements of a list.
    #[error("field {0} is not described whole")]
    Incomplete(String),
    /// The first field cannot be a key.
    #[error("no field that can be a key")]
    Key,
}

/// Which structure of a schema: 0 is the record itself.
pub(crate) type StructId = usize;

/// A version of a type.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) version: u32,
    /// The fields of all structures. The first field of the first is the key.
    structs: Vec<Vec<Field>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// With whether it is a pointer: then its presence does not say it.
    Bool(bool),
    /// With its width in bytes, as a key.
    Int(usize),
    Uint(usize),
    Float32,
    Float64,
    Text,
    Bytes,
    Time,
    Struct(StructId),
    List(Box<Self>),
    Array(usize, Box<Self>),
    Map(Box<Self>, Box<Self>),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawSchema {
    version: u32,
    #[serde(rename = "OndiskVersion")]
    form: u32,
    fields: Vec<RawField>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawField {
    name: String,
    r#type: RawType,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawType {
    kind: RawKind,
    #[serde(default)]
    ptr: bool,
    map_key: Option<Box<Self>>,
    map_value: Option<Box<Self>>,
    list: Option<Box<Self>>,
    #[serde(default)]
    array_length: usize,
    // Left out for a structure without fields.
    #[serde(default)]
    fields: Vec<RawField>,
    #[serde(rename = "FieldsTypeSeq", default)]
    number: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawKind {
    Number(usize),
    Name(String),
}

impl RawKind {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Number(number) => KINDS.get(number.checked_sub(1)?).copied(),
            Self::Name(name) => Some(name),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name.clone(),
        }
    }
}

impl Schema {
    /// Reads a schema.
    ///
    /// - `key`: the version by which it was found.
    pub(crate) fn parse(key: u32, json: &[u8]) -> Result<Self, SchemaError> {
        if json.len() > SCHEMA_BYTES_MAX {
            return Err(SchemaError::TooLong(json.len()));
        }
        let raw: RawSchema = serde_json::from_slice(json)?;
        if !FORMS.contains(&raw.form) {
            return Err(SchemaError::Form(raw.form));
        }
        if raw.version != key {
            return Err(SchemaError::Version { key, said: raw.version });
        }
        let mut builder = Builder { structs: vec![Vec::new()], numbers: vec![(1, 0)] };
        let fields = builder.fields(&raw.fields)?;
        match fields.first().map(|field| &field.kind) {
            Some(Kind::Bool(_) | Kind::Int(_) | Kind::Uint(_) | Kind::Text | Kind::Bytes) => {}
            _ => return Err(SchemaError::Key),
        }
        if let Some(record) = builder.structs.first_mut() {
            *record = fields;
        }
        Ok(Self { version: key, structs: builder.structs })
    }

    pub(crate) fn fields(&self, id: StructId) -> &[Field] {
        self.structs.get(id).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Structures as they are met. One that is used more than once has a number.
struct Builder {
    structs: Vec<Vec<Field>>,
    numbers: Vec<(i64, StructId)>,
}

impl Builder {
    fn fields(&mut self, raw: &[RawField]) -> Result<Vec<Field>, SchemaError> {
        let field = |one: &RawField| {
            Ok(Field { name: one.name.as_str().into(), kind: self.kind(&one.name, &one.r#type)? })
        };
        raw.iter().map(field).collect()
    }

    fn kind(&mut self, field: &str, raw: &RawType) -> Result<Kind, SchemaError> {
        let incomplete = || SchemaError::Incomplete(field.to_owned());
        let mut below = |one: &Option<Box<RawType>>| {
            let one = one.as_ref().ok_or_else(incomplete)?;
            self.kind(field, one).map(Box::new)
        };
        Ok(match raw.kind.name() {
            Some("bool") => Kind::Bool(raw.ptr),
            Some("int8") => Kind::Int(1),
            Some("int16") => Kind::Int(2),
            Some("int" | "int32") => Kind::Int(4),
            Some("int64") => Kind::Int(8),
            Some("uint8") => Kind::Uint(1),
            Some("uint16") => Kind::Uint(2),
            Some("uint" | "uint32") => Kind::Uint(4),
            Some("uint64") => Kind::Uint(8),
            Some("float32") => Kind::Float32,
            Some("float64") => Kind::Float64,
            Some("string") => Kind::Text,
            Some("bytes" | "binarymarshal") => Kind::Bytes,
            Some("time") => Kind::Time,
            Some("slice") => Kind::List(below(&raw.list)?),
            Some("array") => Kind::Array(raw.array_length, below(&raw.list)?),
            Some("map") => {
                let key = below(&raw.map_key)?;
                Kind::Map(key, below(&raw.map_value)?)
            }
            Some("struct") => Kind::Struct(self.structure(raw).ok_or_else(incomplete)??),
            _ => {
                return Err(SchemaError::Kind { field: field.to_owned(), kind: raw.kind.shown() });
            }
        })
    }

    /// A structure: given here, or by the number of one before.
    fn structure(&mut self, raw: &RawType) -> Option<Result<StructId, SchemaError>> {
        if raw.number < 0 {
            let number = raw.number.checked_neg()?;
            return self.numbers.iter().find(|(one, _)| *one == number).map(|(_, id)| Ok(*id));
        }
        let id = self.structs.len();
        self.structs.push(Vec::new());
        // Known before its fields are read, for these may be of its own kind.
        if raw.number > 0 {
            self.numbers.push((raw.number, id));
        }
        let fields = match self.fields(&raw.fields) {
            Ok(fields) => fields,
            Err(error) => return Some(Err(error)),
        };
        *self.structs.get_mut(id)? = fields;
        Some(Ok(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, want: Result<usize, &str>) {
        match (Schema::parse(3, json.as_bytes()), want) {
            (Ok(schema), Ok(fields)) => assert_eq!(schema.fields(0).len(), fields),
            (Err(error), Err(want)) => assert_eq!(error.to_string(), want),
            (found, want) => panic!("{found:?}, want {want:?}"),
        }
    }

    #[test]
    fn schemas_are_read_in_both_forms() {
        let field = |kind: &str| {
            format!(
                r#"{{"Version": 3, "OndiskVersion": 2, "Fields": [{{"Name": "ID", "Type": {{"Kind": "int64"}}}},
                {{"Name": "X", "Type": {{{kind}}}}}], "Indices": {{}}}}"#
            )
        };
        check(&field(r#""Kind": "string", "Ptr": true"#), Ok(2));
        check(&field(r#""Kind": 21, "ArrayLength": 4, "List": {"Kind": 9}"#), Ok(2));
        check(
            &field(r#""Kind": "map", "MapKey": {"Kind": "string"}, "MapValue": {"Kind": "bool"}"#),
            Ok(2),
        );
        check(&field(r#""Kind": "struct", "FieldsTypeSeq": -1"#), Ok(2));
        check(
            &field(r#""Kind": "struct", "FieldsTypeSeq": -2"#),
            Err("field X is not described whole"),
        );
        check(&field(r#""Kind": "slice""#), Err("field X is not described whole"));
        check(
            &field(r#""Kind": "complex""#),
            Err("field X is of kind complex, which is not known"),
        );
        check(&field(r#""Kind": 22"#), Err("field X is of kind 22, which is not known"));
        check(
            &field(r#""Kind": "bool""#).replace("int64", "time"),
            Err("no field that can be a key"),
        );
        check(
            &field(r#""Kind": "bool""#).replace(": 2", ": 9"),
            Err("schema of form 9, known are 1 and 2"),
        );
        check(
            &field(r#""Kind": "bool""#).replace(": 3", ": 4"),
            Err("schema version 3 says that it is version 4"),
        );
        assert!(matches!(Schema::parse(3, b"{"), Err(SchemaError::Json(_))));
        let deep = r#"{"List":"#.repeat(100_000);
        assert!(matches!(Schema::parse(3, deep.as_bytes()), Err(SchemaError::Json(_))));
    }
}
