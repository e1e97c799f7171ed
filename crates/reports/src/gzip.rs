//! Packing reports.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The bytes as a gzip file, without a name or a time in it, so that equal reports are equal files.
/// RFC 1952 §2.3.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let written = encoder.write_all(bytes);
    debug_assert!(written.is_ok(), "{written:?}");
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    /// RFC 1952 §2.3.1: MTIME, the four bytes from the fifth, is zero if there is none.
    #[test]
    fn what_is_packed_can_be_unpacked() {
        for bytes in [&b""[..], b"a", &vec![7; 100_000]] {
            let packed = gzip(bytes);
            assert_eq!(packed.get(4..8), Some(&[0; 4][..]));
            let mut unpacked = Vec::new();
            GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, bytes);
        }
    }
}
