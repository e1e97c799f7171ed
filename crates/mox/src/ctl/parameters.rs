//! Parameters of commands, as they come over the socket.

use std::fmt::Display;

use mox_base::{Address, Domain};
use serde::de::DeserializeOwned;

use super::commands::CommandError;

/// What was read of a text, or that it cannot be.
pub(super) fn read<T, E: Display>(read: Result<T, E>, text: &str) -> Result<T, CommandError> {
    read.map_err(|error| CommandError::Refused(format!("{text:?}: {error}")))
}

pub(super) fn domain(text: &str) -> Result<Domain, CommandError> {
    read(Domain::parse(text), text)
}

pub(super) fn address(text: &str) -> Result<Address, CommandError> {
    read(Address::parse(text), text)
}

pub(super) fn number(text: &str) -> Result<i64, CommandError> {
    text.parse().map_err(|_| CommandError::Refused(format!("{text:?} is no number")))
}

pub(super) fn boolean(text: &str) -> Result<bool, CommandError> {
    some_boolean(text).ok_or_else(|| CommandError::Refused(format!("{text:?}: true or false?")))
}

/// `None` for anything else.
pub(super) fn some_boolean(text: &str) -> Option<bool> {
    text.parse().ok()
}

pub(super) fn json<T: DeserializeOwned>(text: &str) -> Result<T, CommandError> {
    serde_json::from_str(text).map_err(|error| CommandError::refused(&error))
}

/// What an empty text stands for: nothing, or all.
pub(super) fn unless_empty<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, CommandError>,
) -> Result<Option<T>, CommandError> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: std::fmt::Debug>(read: Result<T, CommandError>, want: Result<&str, &str>) {
        let read = read.map(|value| format!("{value:?}"));
        let read = read.map_err(|error| match error {
            CommandError::Refused(text) => text,
            _ => "another error".to_owned(),
        });
        assert_eq!(read.as_deref().map_err(String::as_str), want);
    }

    #[test]
    fn parameters_are_read_or_refused_by_name() {
        check(number("-5"), Ok("-5"));
        check(number(""), Err("\"\" is no number"));
        check(number("9223372036854775808"), Err("\"9223372036854775808\" is no number"));
        check(boolean("true"), Ok("true"));
        check(boolean("yes"), Err("\"yes\": true or false?"));
        check(json::<Vec<u8>>("[1]"), Ok("[1]"));
        check(unless_empty("", number), Ok("None"));
        check(unless_empty("1", number), Ok("Some(1)"));
        check(unless_empty("x", number), Err("\"x\" is no number"));
        assert!(domain("a b").is_err() && address("a").is_err() && json::<u8>("x").is_err());
    }
}
