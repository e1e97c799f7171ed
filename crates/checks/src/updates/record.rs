//! Versions, and the record that tells the newest.

use std::fmt;

/// The version of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes when something has to be done by the operator.
    pub major: u32,
    /// Changes with features.
    pub minor: u32,
    /// Changes with corrections.
    pub patch: u32,
}

/// What is no version: three numbers with points, perhaps after a `v`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version: three numbers with points between")]
pub struct VersionError;

impl Version {
    /// Reads `1.2.3` or `v1.2.3`. What follows a `-` or `+` is passed over.
    ///
    /// # Errors
    ///
    /// If it is something else.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split(['-', '+']).next().unwrap_or_default();
        let numbers: Vec<_> = text.splitn(4, '.').collect();
        let [major, minor, patch] = *numbers.as_slice() else { return Err(VersionError) };
        let number = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| is_number).ok_or(VersionError)
        };
        Ok(Self { major: number(major)?, minor: number(minor)?, patch: number(patch)? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What is wrong with a record of the newest version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A key is there twice.
    #[error("a key is there twice")]
    Twice,
    /// Not `key=value`.
    #[error("not a key with a value")]
    Malformed,
    /// It has no newest version.
    #[error("no newest version")]
    NoVersion,
    /// The newest version is none.
    #[error(transparent)]
    Version(#[from] VersionError),
}

/// Reads the text of a TXT record; `None` if it is one for something else. `v` comes first; keys that
/// are not known are passed over.
#[must_use]
pub fn parse_record(text: &[u8]) -> Option<Result<Version, RecordError>> {
    let text = std::str::from_utf8(text).ok()?;
    let (first, rest) = text.split_once(';').unwrap_or((text, ""));
    let (key, value) = first.split_once('=')?;
    if key.trim() != "v" || value.trim() != "UPDATES0" {
        return None;
    }
    Some(newest(rest))
}

fn newest(rest: &str) -> Result<Version, RecordError> {
    let mut keys = vec!["v"];
    let mut newest = None;
    for pair in rest.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(RecordError::Malformed)?;
        if keys.contains(&key.trim()) {
            return Err(RecordError::Twice);
        }
        keys.push(key.trim());
        if key.trim() == "l" {
            newest = Some(Version::parse(value.trim())?);
        }
    }
    newest.ok_or(RecordError::NoVersion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<Result<&str, RecordError>>) {
        let found = parse_record(text.as_bytes());
        let found = found.map(|found| found.map(|version| version.to_string()));
        assert_eq!(found, want.map(|want| want.map(str::to_owned)), "{text:?}");
    }

    #[test]
    fn records_are_read_strictly() {
        check("v=UPDATES0;l=v0.0.1", Some(Ok("v0.0.1")));
        check("v=UPDATES0; l=10.20.30 ;later=x;", Some(Ok("v10.20.30")));
        check("v=UPDATES0;l=v1.2.3-rc1", Some(Ok("v1.2.3")));
        check("v=UPDATES0", Some(Err(RecordError::NoVersion)));
        check("v=UPDATES0;l=v1.2.3;l=v1.2.3", Some(Err(RecordError::Twice)));
        check("v=UPDATES0;v=UPDATES0;l=v1.2.3", Some(Err(RecordError::Twice)));
        check("v=UPDATES0;l", Some(Err(RecordError::Malformed)));
        for version in ["1.2", "1.2.3.4", "+1.2.3", "1..3", "", "99999999999.0.0", "v1.2.x"] {
            let text = format!("v=UPDATES0;l={version}");
            check(&text, Some(Err(RecordError::Version(VersionError))));
        }
        check("l=v1.2.3;v=UPDATES0", None);
        check("v=UPDATES1;l=v1.2.3", None);
        check("", None);
        assert_eq!(parse_record(b"v=UPDATES0;l=\xff"), None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("v0.10.0") > version("0.9.9"));
        assert!(version("1.0.0") > version("0.99.99"));
        assert_eq!(version("v1.2.3"), version("1.2.3"));
    }
}
