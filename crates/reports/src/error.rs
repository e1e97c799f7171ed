//! Why a report could not be read.

use std::fmt;
use std::io;

/// Why no report could be read from a message or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportError {
    /// The message or file itself could not be read.
    Read(io::ErrorKind),
    /// The message is over [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX).
    MessageTooLarge,
    /// The message has no part that could be a report.
    NoReport,
    /// The message is a report of another type. RFC 6522 §3.
    OtherReportType,
    /// What is unpacked is over [`REPORT_BYTES_MAX`](crate::REPORT_BYTES_MAX).
    TooLarge,
    /// The compressed data are broken.
    BadPacking,
    /// The archive does not hold exactly one file.
    NotOneFile,
    /// The archive uses what no report needs: encryption, other compression, more than 4 GB.
    UnknownPacking,
    /// It is not XML, or not well-formed.
    BadXml,
    /// It has a document type, which could define entities.
    DocType,
    /// It uses an entity that XML does not define.
    UnknownEntity,
    /// Elements are nested too deeply.
    TooDeep,
    /// A piece of text or markup is too long.
    TooLong,
    /// The outermost element is another one.
    OtherRoot,
    /// It is not JSON, or not of the shape of a report.
    BadJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1; 0 at the start of a line.
        column: usize,
    },
    /// A field is missing.
    Missing(&'static str),
    /// A field has a value it cannot have.
    BadValue(&'static str),
    /// There are more of something than are read.
    TooMany(&'static str),
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Read(kind) => return write!(f, "reading failed: {kind}"),
            Self::BadJson { line, column } => {
                return write!(f, "not the json of a report, at line {line}, column {column}");
            }
            Self::Missing(what) => return write!(f, "{what} is missing"),
            Self::BadValue(what) => return write!(f, "{what} has an impossible value"),
            Self::TooMany(what) => return write!(f, "too many {what}"),
            Self::MessageTooLarge => "message too large for a report",
            Self::NoReport => "no report in the message",
            Self::OtherReportType => "message is a report of another type",
            Self::TooLarge => "report too large when unpacked",
            Self::BadPacking => "compressed data are broken",
            Self::NotOneFile => "archive does not hold exactly one file",
            Self::UnknownPacking => "archive is packed in an unknown way",
            Self::BadXml => "not well-formed xml",
            Self::DocType => "xml with a document type",
            Self::UnknownEntity => "xml with an unknown entity",
            Self::TooDeep => "xml nested too deeply",
            Self::TooLong => "text or markup too long",
            Self::OtherRoot => "xml of something else",
        };
        f.write_str(text)
    }
}

impl std::error::Error for ReportError {}

/// Sends an error of ours through a reader.
impl From<ReportError> for io::Error {
    fn from(error: ReportError) -> Self {
        Self::other(error)
    }
}

/// What a reader failed with: an error of ours, a broken compression, or one of the source.
impl From<&io::Error> for ReportError {
    fn from(error: &io::Error) -> Self {
        if let Some(ours) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return *ours;
        }
        match error.kind() {
            // As flate2 has it for what it cannot inflate, and for what ends too early.
            io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof => Self::BadPacking,
            kind => Self::Read(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_ours_survive_a_reader() {
        let through = |error: io::Error| ReportError::from(&error);
        assert_eq!(through(ReportError::TooLarge.into()), ReportError::TooLarge);
        assert_eq!(through(io::ErrorKind::UnexpectedEof.into()), ReportError::BadPacking);
        let denied = io::ErrorKind::PermissionDenied;
        assert_eq!(through(denied.into()), ReportError::Read(denied));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        assert_eq!(ReportError::Missing("date_range").to_string(), "date_range is missing");
        assert_eq!(ReportError::TooMany("records").to_string(), "too many records");
        let json = ReportError::BadJson { line: 3, column: 7 };
        assert_eq!(json.to_string(), "not the json of a report, at line 3, column 7");
    }
}
