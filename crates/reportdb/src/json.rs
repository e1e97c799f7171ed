//! Reports as compressed JSON.

use mox_reports::REPORT_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ReportDbError, Result};

/// The most that a report unpacks to: names of fields and escapes make it longer than it came.
const JSON_BYTES_MAX: u64 = 8 * REPORT_BYTES_MAX;

const LEVEL: i32 = 3;

/// The value compressed, and its size before.
pub(crate) fn pack(value: &impl Serialize) -> Result<(Vec<u8>, u64)> {
    let json = serde_json::to_vec(value).map_err(|_| ReportDbError::Damaged { what: "json" })?;
    let size = u64::try_from(json.len()).unwrap_or(u64::MAX);
    if size > JSON_BYTES_MAX {
        return Err(ReportDbError::Full { what: "reports" });
    }
    let packed = zstd::bulk::compress(&json, LEVEL);
    Ok((packed.map_err(|_| ReportDbError::Damaged { what: "compression" })?, size))
}

/// The value that was packed; `size` is that of before.
pub(crate) fn unpack<T: DeserializeOwned>(packed: &[u8], size: u64) -> Result<T> {
    let size = usize::try_from(size.min(JSON_BYTES_MAX)).unwrap_or_default();
    let json = zstd::bulk::decompress(packed, size);
    let json = json.map_err(|_| ReportDbError::Damaged { what: "compression" })?;
    serde_json::from_slice(&json).map_err(|_| ReportDbError::Damaged { what: "json" })
}

/// A small value as text.
pub(crate) fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|_| ReportDbError::Damaged { what: "json" })
}

/// The value of such a text.
pub(crate) fn from_text<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| ReportDbError::Damaged { what: "json" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_and_damage_is_an_error() {
        let value = vec!["example.org".to_owned(); 1_000];
        let (packed, size) = pack(&value).unwrap();
        assert!(packed.len() < 100);
        assert_eq!(unpack::<Vec<String>>(&packed, size).unwrap(), value);
        assert!(unpack::<Vec<String>>(&packed, size - 1).is_err());
        assert!(unpack::<u8>(&packed, size).is_err());
        assert!(unpack::<Vec<String>>(b"x", 1).is_err());
    }
}
