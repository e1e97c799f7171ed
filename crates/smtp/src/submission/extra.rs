//! `X-Mox-Extra-…` fields: what a program wants to have back with whatever becomes of its message.

use std::collections::BTreeMap;

use super::SubmissionError;

/// How the names of these fields begin, in any case.
pub const EXTRA_PREFIX: &str = "X-Mox-Extra-";

/// The most such fields of a message. Ours.
pub const EXTRA_FIELDS_MAX: usize = 100;

/// The most bytes of their names and values. Ours: they are kept for each recipient.
pub const EXTRA_BYTES_MAX: usize = 16 << 10;

/// The map of the fields, by what follows [`EXTRA_PREFIX`] in their names with the first letter of each
/// word in upper case and the others in lower case, which is how programs look for them.
///
/// - `fields`: names and unfolded values. Others than those with the prefix are passed over.
///
/// # Errors
///
/// If the same field is there twice, or there are too many.
pub fn extra(fields: &[(String, String)]) -> Result<BTreeMap<String, String>, SubmissionError> {
    let mut map = BTreeMap::new();
    let mut bytes = 0;
    for (name, value) in fields {
        let Some((prefix, key)) = name.split_at_checked(EXTRA_PREFIX.len()) else { continue };
        if !prefix.eq_ignore_ascii_case(EXTRA_PREFIX) || key.is_empty() {
            continue;
        }
        bytes += key.len() + value.len();
        if map.len() == EXTRA_FIELDS_MAX || bytes > EXTRA_BYTES_MAX {
            return Err(SubmissionError::TooMuchExtra);
        }
        if map.insert(capitalized(key), value.trim().to_owned()).is_some() {
            return Err(SubmissionError::DuplicateExtra);
        }
    }
    Ok(map)
}

fn capitalized(name: &str) -> String {
    let mut is_first = true;
    let letter = |c: char| {
        let is_first = std::mem::replace(&mut is_first, c == '-');
        if is_first { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
    };
    name.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(&str, &str)], want: Result<&[(&str, &str)], SubmissionError>) {
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let got = extra(&owned(fields)).map(|map| map.into_iter().collect::<Vec<_>>());
        assert_eq!(got, want.map(owned), "{fields:?}");
    }

    #[test]
    fn fields_are_gathered_by_their_names() {
        check(&[("X-Mox-Extra-Test-Key", " a b ")], Ok(&[("Test-Key", "a b")]));
        check(&[("x-mox-extra-OTHER-é", "é"), ("Subject", "x")], Ok(&[("Other-é", "é")]));
        check(&[("X-Mox-Extra-b", "1"), ("X-Mox-Extra-A", "")], Ok(&[("A", ""), ("B", "1")]));
        check(&[("X-Mox-Extra-", "x"), ("X-Mox-Extr", "x"), ("", "")], Ok(&[]));
        check(
            &[("X-Mox-Extra-A-B", "x"), ("x-mox-extra-a-b", "x")],
            Err(SubmissionError::DuplicateExtra),
        );
    }

    #[test]
    fn there_are_so_many_of_them() {
        let names: Vec<_> = (0..=EXTRA_FIELDS_MAX).map(|n| format!("X-Mox-Extra-{n}")).collect();
        let fields: Vec<_> = names.iter().map(|name| (name.clone(), String::new())).collect();
        assert_eq!(extra(&fields[1..]).unwrap().len(), EXTRA_FIELDS_MAX);
        assert_eq!(extra(&fields), Err(SubmissionError::TooMuchExtra));
        let long = |bytes| ("X-Mox-Extra-A".to_owned(), "x".repeat(bytes));
        assert!(extra(&[long(EXTRA_BYTES_MAX - 1)]).is_ok());
        assert_eq!(extra(&[long(EXTRA_BYTES_MAX)]), Err(SubmissionError::TooMuchExtra));
    }
}
