//! What must hold for any bytes, shared with the fuzz targets.

use std::io::Cursor;

use mox_reports::{REPORT_BYTES_MAX, dmarc, tls};

/// Reads bytes as a file of a DMARC report, and as a message with one.
pub(crate) fn check_dmarc(data: &[u8]) {
    if let Ok(feedback) = dmarc::parse(data) {
        assert!(feedback.records.len() <= dmarc::RECORDS_MAX);
        assert!(
            feedback.report_metadata.date_range.begin <= feedback.report_metadata.date_range.end
        );
        let json = serde_json::to_string(&feedback).expect("it has no maps");
        let again: dmarc::Feedback = serde_json::from_str(&json).expect("it was just written");
        assert_eq!(again, feedback);
        let xml = dmarc::to_xml(&feedback);
        // What is written may be longer than what was read.
        if xml.len() as u64 <= REPORT_BYTES_MAX {
            let again = dmarc::parse(xml.as_bytes()).expect("it was just written");
            // A few characters are not XML's, and are replaced.
            assert_eq!(dmarc::to_xml(&again), xml);
        }
    }
    for kind in ["application/gzip", "text/xml", "application/octet-stream"] {
        let _outcome = dmarc::from_message(&mut message(kind, data));
    }
    let _outcome = dmarc::from_message(&mut Cursor::new(data));
}

/// Reads bytes as a file of a TLS report, and as a message with one.
pub(crate) fn check_tls(data: &[u8]) {
    if let Ok(report) = tls::parse(data) {
        assert!(report.policies.len() <= tls::POLICIES_MAX);
        let json = serde_json::to_string(&report).expect("it has no maps");
        // What is written may be longer than what was read, by escapes.
        if json.len() as u64 <= REPORT_BYTES_MAX {
            let again = tls::parse(json.as_bytes()).expect("it was just written");
            assert_eq!(again, report);
            let again = tls::parse(tls::to_json(&report).as_slice());
            assert!(again.is_err() || again == Ok(report));
        }
    }
    if let Ok(record) = tls::parse_record(data) {
        assert!(record.rua.len() <= tls::URIS_MAX);
        assert_eq!(tls::parse_record(record.to_string().as_bytes()), Ok(record));
    }
    let _outcome = tls::from_message(&mut message("application/tlsrpt+gzip", data));
    let _outcome = tls::from_message(&mut Cursor::new(data));
}

fn message(kind: &str, body: &[u8]) -> Cursor<Vec<u8>> {
    let mut message = format!("Content-Type: {kind}\r\n\r\n").into_bytes();
    message.extend(body);
    Cursor::new(message)
}
