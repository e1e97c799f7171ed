//! The query of a target: fields as a form sends them.

use crate::path::decoded;

/// The most fields of a query that are looked at.
const FIELDS_MAX: usize = 100;

/// The value of the first field of this name, decoded: `+` is a space. `None` if there is none, or
/// it has broken escapes. Source: URL standard, `application/x-www-form-urlencoded`.
#[must_use]
pub fn field(query: &str, name: &str) -> Option<String> {
    query.split('&').take(FIELDS_MAX).find_map(|field| {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        let is_it = plain(key)? == name;
        is_it.then(|| plain(value)).flatten()
    })
}

fn plain(text: &str) -> Option<String> {
    decoded(&text.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, want: Option<&str>) {
        assert_eq!(field(query, "name").as_deref(), want, "{query:?}");
    }

    #[test]
    fn fields_are_found_and_decoded() {
        check("name=x", Some("x"));
        check("a=b&name=Full+Name%21", Some("Full Name!"));
        check("name=a@x.example,b@x.example", Some("a@x.example,b@x.example"));
        check("n%61me=1", Some("1"));
        check("name=a=b", Some("a=b"));
        check("name=1&name=2", Some("1"));
        check("name", Some(""));
        check("name=", Some(""));
        check("%zz=1&name=2", Some("2"));
        let full = "a&".repeat(FIELDS_MAX - 1);
        check(&format!("{full}name=1"), Some("1"));
        check(&format!("{full}a&name=1"), None);
        check("", None);
        check("Name=x", None);
        check("name=%4", None);
        check("name=%ff", None);
    }
}
