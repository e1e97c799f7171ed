//! Reading a TLS report.

use std::io::{BufReader, Read, Seek};

use super::Report;
use crate::error::ReportError;
use crate::message::{self, Suspect};
use crate::unpack::{REPORT_BYTES_MAX, unpack};

/// Reads the report in a message: the message itself, or a part of it. RFC 8460 §3, §5.3.
///
/// `message` is the message from its start. Parts with one of the two types of reports are tried in
/// their order. All of them together may unpack to [`REPORT_BYTES_MAX`].
///
/// Deviation: RFC 8460 §5.3 wants them in a `multipart/report`; we take them from any multipart but
/// a report of another type, because gateways wrap messages.
///
/// # Errors
///
/// If there is none: the error of the first part that should have been one. A `multipart/report` of
/// another type is an error of its own.
pub fn from_message<R: Read + Seek>(message: &mut R) -> Result<Report, ReportError> {
    let parts = message::take_apart(message)?;
    let root = &parts.root;
    // RFC 8460 §5.3: "tlsrpt"; RFC 6522 §3 requires the parameter.
    let of_tls = |kind: &str| kind.eq_ignore_ascii_case("tlsrpt");
    if root.is("MULTIPART", "REPORT") && !root.param("report-type").is_some_and(of_tls) {
        return Err(ReportError::OtherReportType);
    }
    message::first_report_in(message, &parts, suspect, |source, left| read(source, left))
}

/// Reads a report as it is in a file: JSON, in gzip or not, as its bytes show.
///
/// Takes time linear in its size, and memory for what it says.
///
/// # Errors
///
/// If it is not JSON of the shape of RFC 8460 §4.4, or is over a bound.
pub fn parse(source: impl Read) -> Result<Report, ReportError> {
    read(source, &mut { REPORT_BYTES_MAX })
}

/// Whether parts of a type are reports. RFC 8460 §6.4, §6.5.
fn suspect(media_type: &str, subtype: &str) -> Suspect {
    match (media_type, subtype) {
        ("APPLICATION", "TLSRPT+JSON" | "TLSRPT+GZIP") => Suspect::Yes,
        _ => Suspect::No,
    }
}

fn read(source: impl Read, left: &mut u64) -> Result<Report, ReportError> {
    let reader = BufReader::new(unpack(source, left)?);
    let report: Report = serde_json::from_reader(reader).map_err(fault)?;
    if report.date_range.end < report.date_range.start {
        return Err(ReportError::BadValue("date-range"));
    }
    Ok(report)
}

fn fault(error: serde_json::Error) -> ReportError {
    if error.is_io() {
        return ReportError::from(&std::io::Error::from(error));
    }
    ReportError::BadJson { line: error.line(), column: error.column() }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
