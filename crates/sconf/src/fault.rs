//! What can be wrong with a document, and where.

use std::fmt;

/// The largest number of faults reported about one document; more would hide the first ones.
pub const FAULTS_MAX: usize = 100;

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The document is over [`DOCUMENT_BYTES_MAX`](crate::DOCUMENT_BYTES_MAX).
    DocumentTooLong,
    /// The document has over [`ENTRIES_MAX`](crate::ENTRIES_MAX) keys and list items.
    TooManyEntries,
    /// The line is over [`LINE_BYTES_MAX`](crate::LINE_BYTES_MAX).
    LineTooLong,
    /// The value is nested deeper than [`DEPTH_MAX`](crate::DEPTH_MAX).
    TooDeep,
    /// The line ends in CR LF, or holds a carriage return elsewhere.
    CarriageReturn,
    /// The line has only white space.
    StrayWhitespace,
    /// After its tabs the line starts with a space.
    MixedIndent,
    /// The line is deeper than the line above allows.
    UnexpectedIndent,
    /// A struct, map or list has no lines below it, or a value on its own line.
    ExpectedIndent,
    /// The line has no colon.
    NoColon,
    /// Nothing stands before the colon.
    EmptyKey,
    /// After the colon stands something other than one space.
    NoSpaceAfterColon,
    /// A key where a list item is wanted.
    ExpectedItem,
    /// A list item where a key is wanted.
    ExpectedKey,
    /// A value of one line has lines below it.
    ExpectedValue,
    /// The struct has no such key.
    UnknownKey {
        /// The key as written.
        key: String,
        /// A key that may have been meant.
        meant: Option<&'static str>,
    },
    /// The key was there before.
    DuplicateKey {
        /// The key as written.
        key: String,
        /// The line of the first one.
        first_line: usize,
    },
    /// A key that is not optional is absent.
    MissingKey(&'static str),
    /// The text of a key or value is not what it must be.
    BadText {
        /// What was wanted: `whole number`, `domain`.
        noun: &'static str,
        /// Why the text is not one.
        reason: String,
    },
    /// The values are well-formed, but the reading program refuses them.
    Refused(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DocumentTooLong => {
                write!(f, "file is over {} bytes", crate::DOCUMENT_BYTES_MAX)
            }
            Self::TooManyEntries => {
                write!(f, "file has over {} keys and list items", crate::ENTRIES_MAX)
            }
            Self::LineTooLong => write!(f, "line is over {} bytes", crate::LINE_BYTES_MAX),
            Self::TooDeep => write!(f, "nested over {} levels deep", crate::DEPTH_MAX),
            Self::CarriageReturn => {
                f.write_str("carriage return: lines must end in LF only, not in CR LF")
            }
            Self::StrayWhitespace => {
                f.write_str("stray whitespace: remove it, an empty line must have no characters")
            }
            Self::MixedIndent => {
                f.write_str("space before key: indent with tabs only, one for each level")
            }
            Self::UnexpectedIndent => {
                f.write_str("unexpected indent: the line above takes no lines below it")
            }
            Self::ExpectedIndent => f.write_str(
                "expected indent: the value stands on the next lines, one tab deeper than its key",
            ),
            Self::NoColon => f.write_str("expected `key: value`, but the line has no colon"),
            Self::EmptyKey => f.write_str("empty key: expected a name before the colon"),
            Self::NoSpaceAfterColon => f.write_str("missing space after colon"),
            Self::ExpectedItem => f.write_str("expected a list item, a line starting with `- `"),
            Self::ExpectedKey => f.write_str("expected `key: value`, not a list item"),
            Self::ExpectedValue => f.write_str("expected a value on the same line as its key"),
            Self::UnknownKey { key, meant } => unknown_key(f, key, *meant),
            Self::DuplicateKey { key, first_line } => {
                write!(f, "duplicate key {key:?}, first seen on line {first_line}")
            }
            Self::MissingKey(key) => write!(f, "missing required key {key:?}"),
            Self::BadText { noun, reason } => write!(f, "bad {noun}: {reason}"),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

fn unknown_key(f: &mut fmt::Formatter<'_>, key: &str, meant: Option<&str>) -> fmt::Result {
    write!(f, "unknown key {key:?}")?;
    match meant {
        Some(meant) if key.trim() == meant => write!(f, ": stray whitespace around {meant:?}?"),
        Some(meant) => write!(f, ", perhaps {meant:?} is meant"),
        None => Ok(()),
    }
}

/// One problem with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1; 0 if no line is to blame.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// `12: unknown key "Hostnam"`, so that a file name and a colon can stand before it.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}: ", self.line)?;
        }
        self.problem.fmt(f)
    }
}

/// The faults found in a document, at most [`FAULTS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault unless there are [`FAULTS_MAX`] already.
    pub fn push(&mut self, line: usize, problem: Problem) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(Fault { line, problem });
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is a fault on this line.
    #[must_use]
    pub fn has_line(&self, line: usize) -> bool {
        self.0.iter().any(|fault| fault.line == line)
    }

    /// The faults, by line.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Fault> {
        self.0.sort_by_key(|fault| fault.line);
        self.0
    }
}
