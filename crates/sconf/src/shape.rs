//! What a document may hold: the description that reading, writing and printing of docs share.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::Duration;

/// The form of a value.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// One line of text.
    Scalar(Scalar),
    /// Named fields, in the order in which they are written.
    Struct(&'static [Field]),
    /// Keys chosen by the user.
    Map {
        /// What a key must be.
        key: Scalar,
        /// What stands below each key.
        value: &'static Self,
    },
    /// Any number of items.
    List(&'static Self),
}

/// A kind of text of one line.
#[derive(Clone, Copy, Debug)]
pub struct Scalar {
    /// What it is called in errors: `whole number`, `domain`.
    pub noun: &'static str,
    /// The canonical form of the zero value, which an optional key need not be written for.
    pub zero: &'static str,
    /// The canonical form of a text: equal for equal values. An error says why it is not one.
    pub canonical: fn(&str) -> Result<String, String>,
}

/// A field of a struct.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its key, case-sensitive.
    pub key: &'static str,
    /// The lines of its doc comment.
    pub doc: &'static [&'static str],
    /// Whether the key may be absent.
    pub optional: bool,
    /// Whether absence differs from the zero value.
    pub nullable: bool,
    /// What it holds.
    pub shape: &'static Shape,
}

/// A type whose values can stand in a document. [`settings!`](crate::settings) implements it for
/// structs.
pub trait Described {
    /// The form of its values.
    const SHAPE: Shape;
    /// Whether absence differs from the zero value; so for [`Option`] only.
    const NULLABLE: bool = false;
}

impl Shape {
    /// The fields, if it is a struct.
    #[must_use]
    pub fn fields(&self) -> &'static [Field] {
        match self {
            Self::Struct(fields) => fields,
            _ => &[],
        }
    }
}

impl<T: Described> Described for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const NULLABLE: bool = true;
}

impl<T: Described> Described for Vec<T> {
    const SHAPE: Shape = Shape::List(&T::SHAPE);
}

impl<K: Described, V: Described> Described for BTreeMap<K, V> {
    const SHAPE: Shape = Shape::Map { key: scalar_of(&K::SHAPE), value: &V::SHAPE };
}

/// The scalar of a map key; a key that is none gets the plain text's, and fails in serde.
const fn scalar_of(shape: &Shape) -> Scalar {
    match shape {
        Shape::Scalar(scalar) => *scalar,
        _ => TEXT,
    }
}

const TEXT: Scalar = Scalar { noun: "text", zero: "", canonical: |text| Ok(text.to_owned()) };

impl Described for String {
    const SHAPE: Shape = Shape::Scalar(TEXT);
}

impl Described for bool {
    const SHAPE: Shape = Shape::Scalar(Scalar {
        noun: "boolean",
        zero: "false",
        canonical: |text| match text {
            "true" | "false" => Ok(text.to_owned()),
            _ => Err(format!("{text:?} is neither `true` nor `false`")),
        },
    });
}

macro_rules! whole_numbers {
    ($($type:ty)*) => { $(
        impl Described for $type {
            const SHAPE: Shape = Shape::Scalar(Scalar {
                noun: "whole number",
                zero: "0",
                canonical: |text| match text.parse::<$type>() {
                    Ok(number) => Ok(number.to_string()),
                    Err(_) => Err(format!(
                        "{text:?} is not a number from {} to {}", <$type>::MIN, <$type>::MAX
                    )),
                },
            });
        }
    )* };
}

whole_numbers!(i32 i64 u16 u32 u64);

impl Described for f64 {
    const SHAPE: Shape = Shape::Scalar(Scalar {
        noun: "number",
        zero: "0.000000",
        canonical: |text| match text.parse::<Self>() {
            Ok(number) if number.is_finite() => Ok(print_float(number)),
            _ => Err(format!("{text:?} is not a decimal number")),
        },
    });
}

/// Prints with six decimals, or with as many as are needed to read the same number again.
pub(crate) fn print_float(number: f64) -> String {
    // Minus zero equals zero, and must print the same.
    let number = if number == 0.0 { 0.0 } else { number };
    let short = format!("{number:.6}");
    if short.parse() == Ok(number) { short } else { number.to_string() }
}

impl Described for Duration {
    const SHAPE: Shape = Shape::Scalar(Scalar {
        noun: "duration",
        zero: "0s",
        canonical: |text| match text.parse::<Self>() {
            Ok(duration) => Ok(duration.to_string()),
            Err(error) => Err(format!("{text:?}: {error}")),
        },
    });
}

impl Described for IpAddr {
    const SHAPE: Shape = Shape::Scalar(Scalar {
        noun: "IP address",
        zero: "",
        canonical: |text| match text.parse::<Self>() {
            Ok(ip) => Ok(ip.to_string()),
            Err(_) => Err(format!("{text:?} is neither IPv4 nor IPv6")),
        },
    });
}

/// Declares structs whose fields are keys of a document, each documented once.
///
/// The doc comment of a field is its Rust documentation and the text that
/// [`describe`](crate::describe) prints. A key is required unless `optional` follows it. The
/// structs get [`Described`], serde's traits, `Clone`, `Debug`, `Default` and `PartialEq`; the
/// calling crate needs `serde`.
///
/// ```
/// mox_sconf::settings! {
///     /// Where to listen.
///     pub struct Listener {
///         /// TCP port.
///         "Port" => port: u16,
///         /// Free text.
///         "Description" optional => description: String,
///     }
/// }
/// let listener: Listener = mox_sconf::from_str("Port: 25\n").unwrap();
/// assert_eq!(listener.port, 25);
/// ```
#[macro_export]
macro_rules! settings {
    (@optional) => { false };
    (@optional optional) => { true };
    ($(
        $(#[doc = $about:literal])*
        $visible:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $key:literal $($optional:ident)? => $field:ident: $type:ty
            ),* $(,)?
        }
    )*) => { $(
        $(#[doc = $about])*
        #[derive(Clone, Debug, Default, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        $visible struct $name {
            $(
                $(#[doc = $doc])*
                #[serde(rename = $key, default)]
                pub $field: $type,
            )*
        }

        impl $crate::Described for $name {
            const SHAPE: $crate::Shape = $crate::Shape::Struct(&[$(
                $crate::Field {
                    key: $key,
                    doc: &[$($doc),*],
                    optional: $crate::settings!(@optional $($optional)?),
                    nullable: <$type as $crate::Described>::NULLABLE,
                    shape: &<$type as $crate::Described>::SHAPE,
                }
            ),*]);
        }
    )* };
}
