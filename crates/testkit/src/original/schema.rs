//! Types of records, as the databases describe them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value as Json, json};

/// The types of every database that the release of the fixtures has, by database.
static KNOWN: LazyLock<Json> = LazyLock::new(|| {
    serde_json::from_str(include_str!("schemas.json")).expect("the schemas are JSON")
});

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    Bytes,
    /// True or false.
    Bool,
    /// A signed integer of so many bits; `None` for `int`, whose keys take four bytes.
    Int(Option<u8>),
    /// An unsigned integer of so many bits.
    Uint(Option<u8>),
    /// A number with a fraction, of 32 bits.
    Float32,
    /// A number with a fraction, of 64 bits.
    Float64,
    /// Text.
    Text,
    /// A time with its zone.
    Time,
    /// Bytes in the form of a type of its own.
    Marshaled,
    /// Keys and values.
    Map(Box<Type>, Box<Type>),
    /// Any number of elements.
    Slice(Box<Type>),
    /// So many elements.
    Array(usize, Box<Type>),
    /// Fields, and the number by which [`Kind::Again`] means the same: 0 for none, else from 2.
    Struct(u32, Vec<Field>),
    /// A structure that stands before this in the same record; 1 is the record itself.
    Again(u32),
}

/// Kinds without further parts, by their names.
const PLAIN: [(&str, Kind); 17] = [
    ("bytes", Kind::Bytes),
    ("bool", Kind::Bool),
    ("int", Kind::Int(None)),
    ("int8", Kind::Int(Some(8))),
    ("int16", Kind::Int(Some(16))),
    ("int32", Kind::Int(Some(32))),
    ("int64", Kind::Int(Some(64))),
    ("uint", Kind::Uint(None)),
    ("uint8", Kind::Uint(Some(8))),
    ("uint16", Kind::Uint(Some(16))),
    ("uint32", Kind::Uint(Some(32))),
    ("uint64", Kind::Uint(Some(64))),
    ("float32", Kind::Float32),
    ("float64", Kind::Float64),
    ("string", Kind::Text),
    ("time", Kind::Time),
    ("binarymarshal", Kind::Marshaled),
];

/// A kind, or a pointer to one: then there may be nothing, apart from zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// What it is.
    pub kind: Kind,
    /// Whether there may be nothing.
    pub is_pointer: bool,
}

impl From<Kind> for Type {
    fn from(kind: Kind) -> Self {
        Self { kind, is_pointer: false }
    }
}

impl Type {
    /// A pointer to this.
    #[must_use]
    pub fn pointer(kind: Kind) -> Self {
        Self { kind, is_pointer: true }
    }

    fn parse(json: &Json) -> Self {
        let below = |member: &str| Box::new(Self::parse(&json[member]));
        let number = json["FieldsTypeSeq"].as_i64().unwrap_or(0);
        let number_of = |number: i64| u32::try_from(number).expect("a small number");
        let kind = match json["Kind"].as_str().expect("a kind") {
            "map" => Kind::Map(below("MapKey"), below("MapValue")),
            "slice" => Kind::Slice(below("List")),
            "array" => {
                let length = json["ArrayLength"].as_u64().and_then(|one| usize::try_from(one).ok());
                Kind::Array(length.expect("a length"), below("List"))
            }
            "struct" if number < 0 => Kind::Again(number_of(-number)),
            "struct" => Kind::Struct(number_of(number), Field::parse_all(&json["Fields"])),
            name => {
                let plain = PLAIN.iter().find(|(one, _)| *one == name);
                plain.map(|(_, kind)| kind.clone()).expect("a known kind")
            }
        };
        Self { kind, is_pointer: json["Ptr"] == true }
    }

    fn to_json(&self) -> Json {
        let mut json = match &self.kind {
            Kind::Map(key, value) => {
                json!({"Kind": "map", "MapKey": key.to_json(), "MapValue": value.to_json()})
            }
            Kind::Slice(element) => json!({"Kind": "slice", "List": element.to_json()}),
            Kind::Array(length, element) => {
                json!({"Kind": "array", "ArrayLength": length, "List": element.to_json()})
            }
            Kind::Struct(number, fields) => {
                let fields: Vec<_> = fields.iter().map(Field::to_json).collect();
                json!({"Kind": "struct", "Fields": fields, "FieldsTypeSeq": number})
            }
            Kind::Again(number) => json!({"Kind": "struct", "FieldsTypeSeq": -i64::from(*number)}),
            plain => {
                let name = PLAIN.iter().find(|(_, kind)| kind == plain).map(|(name, _)| *name);
                json!({"Kind": name.expect("a kind without parts")})
            }
        };
        if self.is_pointer {
            json["Ptr"] = true.into();
        }
        json
    }

    /// Gathers the structures that have numbers.
    fn number(&self, numbered: &mut BTreeMap<u32, Vec<Field>>) {
        match &self.kind {
            Kind::Map(key, value) => {
                key.number(numbered);
                value.number(numbered);
            }
            Kind::Slice(element) | Kind::Array(_, element) => element.number(numbered),
            Kind::Struct(number, fields) => {
                if *number > 0 {
                    numbered.insert(*number, fields.clone());
                }
                fields.iter().for_each(|field| field.r#type.number(numbered));
            }
            _ => {}
        }
    }
}

/// A field of a record or structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub r#type: Type,
}

impl Field {
    /// A field of a kind or type.
    pub fn new(name: &str, r#type: impl Into<Type>) -> Self {
        Self { name: name.to_owned(), r#type: r#type.into() }
    }

    fn parse_all(json: &Json) -> Vec<Self> {
        let fields = json.as_array().into_iter().flatten();
        let field = |one: &Json| {
            Self::new(one["Name"].as_str().expect("a name"), Type::parse(&one["Type"]))
        };
        fields.map(field).collect()
    }

    fn to_json(&self) -> Json {
        json!({"Name": self.name, "Type": self.r#type.to_json()})
    }
}

/// A version of a type of records.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) fields: Vec<Field>,
    /// Structures that are used more than once.
    pub(super) numbered: BTreeMap<u32, Vec<Field>>,
    pub(super) json: Json,
}

impl Version {
    fn new(number: u32, fields: Vec<Field>, json: Option<Json>) -> Self {
        let json = json.unwrap_or_else(|| {
            json!({
                "Version": number,
                "OndiskVersion": 2,
                "Noauto": false,
                "Fields": fields.iter().map(Field::to_json).collect::<Vec<_>>(),
                "Indices": Map::new(),
                "ReferencedBy": Map::new(),
            })
        });
        let mut numbered = BTreeMap::from([(1, fields.clone())]);
        fields.iter().for_each(|field| field.r#type.number(&mut numbered));
        Self { fields, numbered, json }
    }
}

/// A type of records in all its versions.
#[derive(Clone, Debug)]
pub struct Schema {
    pub(super) name: String,
    pub(super) versions: BTreeMap<u32, Version>,
}

impl Schema {
    /// A type of one's own, at version 1. The first field is the key.
    #[must_use]
    pub fn new(name: &str, fields: Vec<Field>) -> Self {
        let first = Version::new(1, fields, None);
        Self { name: name.to_owned(), versions: BTreeMap::from([(1, first)]) }
    }

    /// Adds a version after those that there are.
    #[must_use]
    pub fn then(mut self, fields: Vec<Field>) -> Self {
        let number = self.newest().0 + 1;
        self.versions.insert(number, Version::new(number, fields, None));
        self
    }

    /// A type of the original: of database `account` (index.db of an account), `junkfilter`, `queue`,
    /// `auth`, `mtasts`, `dmarcrpt`, `dmarceval`, `tlsrpt` or `tlsrptresult`.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    #[must_use]
    pub fn of(database: &str, name: &str) -> Self {
        let json = &KNOWN[database][name];
        assert!(json.is_object(), "there is no {name} in {database}");
        let number = json["Version"].as_u64().and_then(|one| u32::try_from(one).ok());
        let number = number.expect("a version");
        let version = Version::new(number, Field::parse_all(&json["Fields"]), Some(json.clone()));
        Self { name: name.to_owned(), versions: BTreeMap::from([(number, version)]) }
    }

    /// All types of a database of the original, see [`Schema::of`].
    ///
    /// # Panics
    ///
    /// If there is no such database.
    #[must_use]
    pub fn all_of(database: &str) -> Vec<Self> {
        let types = KNOWN[database].as_object().expect("a database of that name");
        types.keys().map(|name| Self::of(database, name)).collect()
    }

    /// The fields of the newest version, the key first.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.newest().1.fields
    }

    pub(super) fn newest(&self) -> (u32, &Version) {
        let (number, version) = self.versions.last_key_value().expect("each has a first version");
        (*number, version)
    }
}
