//! Lists and texts of JSON from outside, within bounds.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::text::{TEXT_BYTES_MAX, clean};

/// A list of at most `MAX`; `null`, or one item that is not in a list, are lists too.
pub(crate) fn list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct List<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX}")
        }

        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                if list.len() >= MAX {
                    return Err(A::Error::invalid_length(MAX, &self));
                }
                list.push(item);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_any(List::<T, MAX>(PhantomData))
}

/// A list of texts, at most `MAX`; or one text. Each as of [`text`].
pub(crate) fn texts<'de, D, const MAX: usize>(deserializer: D) -> Result<Vec<String>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Texts<const MAX: usize>;

    impl<'de, const MAX: usize> Visitor<'de> for Texts<MAX> {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a text, or a list of at most {MAX}")
        }

        fn visit_unit<E>(self) -> Result<Vec<String>, E> {
            Ok(Vec::new())
        }

        fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(vec![clean(text, TEXT_BYTES_MAX)])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element::<Option<String>>()? {
                if list.len() >= MAX {
                    return Err(A::Error::invalid_length(MAX, &self));
                }
                list.extend(item.map(|text| clean(&text, TEXT_BYTES_MAX)));
            }
            Ok(list)
        }
    }

    deserializer.deserialize_any(Texts::<MAX>)
}

/// A text, cut to [`TEXT_BYTES_MAX`], with blanks for control characters; `null` is an empty one.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(clean(&text.unwrap_or_default(), TEXT_BYTES_MAX))
}

/// As [`text`]; an empty one is none.
pub(crate) fn given<'de, D>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    text(deserializer).map(|text| (!text.is_empty()).then_some(text))
}

/// A count; `null` is zero.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.unwrap_or_default())
}

/// An address, `None` if it cannot be read.
pub(crate) fn ip<'de, D>(deserializer: D) -> Result<Option<std::net::IpAddr>, D::Error>
where
    D: Deserializer<'de>,
{
    text(deserializer).map(|text| text.trim_matches(['[', ']']).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Sample {
        #[serde(deserialize_with = "list::<_, _, 2>")]
        list: Vec<u8>,
        #[serde(deserialize_with = "texts::<_, 2>")]
        texts: Vec<String>,
        #[serde(deserialize_with = "given")]
        text: Option<String>,
        #[serde(deserialize_with = "count")]
        count: u64,
        #[serde(deserialize_with = "ip")]
        ip: Option<std::net::IpAddr>,
    }

    #[track_caller]
    fn check(json: &str, want: Option<&str>) {
        let got = serde_json::from_str::<Sample>(json).ok();
        let got = got.map(|sample| {
            let Sample { list, texts, text, count, ip } = sample;
            format!("{list:?} {texts:?} {text:?} {count} {ip:?}")
        });
        assert_eq!(got.as_deref(), want, "{json}");
    }

    #[test]
    fn values_are_bounded_and_may_be_null() {
        check("{}", Some("[] [] None 0 None"));
        check(
            r#"{"list":[1,2],"texts":["a",null],"count":3}"#,
            Some(r#"[1, 2] ["a"] None 3 None"#),
        );
        check(
            r#"{"list":null,"texts":"a","text":" b\n","ip":"[::1]"}"#,
            Some(r#"[] ["a"] Some("b") 0 Some(::1)"#),
        );
        check(r#"{"texts":null,"text":null,"count":null,"ip":"x"}"#, Some("[] [] None 0 None"));
        check(r#"{"text":"a\u0000b"}"#, Some(r#"[] [] Some("a b") 0 None"#));
        // Just past.
        check(r#"{"list":[1,2,3]}"#, None);
        check(r#"{"texts":["a","b","c"]}"#, None);
        // Never.
        check(r#"{"count":-1}"#, None);
        check(r#"{"list":{}}"#, None);
    }
}
