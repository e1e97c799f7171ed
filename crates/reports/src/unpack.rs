//! Compressed reports, unpacked within bounds.
//!
//! Source: RFC 1951, RFC 1952. The bounds are kept while unpacking: what a bomb would become is
//! never held.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;

use crate::error::ReportError;
use crate::zip;

/// The largest report, in bytes after unpacking.
pub const REPORT_BYTES_MAX: u64 = 20 * 1024 * 1024;

/// The largest zip archive, in bytes: no more can be in a message of the largest size.
pub(crate) const ARCHIVE_BYTES_MAX: u64 = crate::MESSAGE_BYTES_MAX;

/// Members of one gzip file. Each costs work even if it is empty, and reports have one.
const MEMBERS_MAX: usize = 100;

/// Bytes looked at to tell how something is packed.
const MAGIC_BYTES: usize = 4;

/// How a report is packed, as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Not at all.
    Plain,
    /// RFC 1952 §2.3.1.
    Gzip,
    /// An archive with one file.
    Zip,
}

impl Packing {
    pub(crate) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            _ => Self::Plain,
        }
    }
}

/// Reads what `source` unpacks to, at most `left` bytes of it, and subtracts what was read.
///
/// Deflate and gzip need a constant amount of memory; a zip archive, whose directory is at its end,
/// is held as it is.
pub(crate) fn unpack<'a>(
    mut source: impl Read + 'a,
    left: &'a mut u64,
) -> Result<Bounded<'a>, ReportError> {
    let mut start = Vec::with_capacity(MAGIC_BYTES);
    let magic = u64::try_from(MAGIC_BYTES).unwrap_or_default();
    let taken = source.by_ref().take(magic).read_to_end(&mut start);
    taken.map_err(|error| ReportError::from(&error))?;
    let packing = Packing::of(&start);
    let whole = Cursor::new(start).chain(source);
    let reader: Box<dyn Read + 'a> = match packing {
        Packing::Plain => Box::new(whole),
        Packing::Gzip => Box::new(Gzip::new(BufReader::new(whole))),
        Packing::Zip => zip::open(whole, *left)?,
    };
    Ok(Bounded { reader, left })
}

/// Reads the members of a gzip file one after the other. RFC 1952 §2.2.
///
/// What follows the last and is no member is nothing: line ends of the mail around it, or padding.
struct Gzip<R> {
    /// `None` after the last member.
    member: Option<GzDecoder<R>>,
    members: usize,
}

impl<R: BufRead> Gzip<R> {
    fn new(source: R) -> Self {
        Self { member: Some(GzDecoder::new(source)), members: 1 }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(out)?;
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            let Some(member) = self.member.take() else { break };
            let mut source = member.into_inner();
            if source.fill_buf()?.starts_with(&[0x1f]) {
                if self.members == MEMBERS_MAX {
                    return Err(ReportError::BadPacking.into());
                }
                self.members += 1;
                self.member = Some(GzDecoder::new(source));
            }
        }
        Ok(0)
    }
}

/// Gives at most so many bytes; more is an error, not an end.
pub(crate) struct Bounded<'a> {
    reader: Box<dyn Read + 'a>,
    left: &'a mut u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(out)?;
        let count = u64::try_from(read).unwrap_or(u64::MAX);
        match self.left.checked_sub(count) {
            Some(left) => *self.left = left,
            None => {
                *self.left = 0;
                return Err(ReportError::TooLarge.into());
            }
        }
        Ok(read)
    }
}

/// Bounds what is taken from a buffered reader until the bound is set anew.
pub(crate) struct Rationed<R> {
    reader: R,
    left: usize,
}

impl<R> Rationed<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, left: 0 }
    }

    /// Allows for `bytes`, and what is in the buffer then.
    pub(crate) fn allow(&mut self, bytes: usize) {
        self.left = bytes;
    }
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(out)?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Rationed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(ReportError::TooLong.into());
        }
        self.reader.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
        self.reader.consume(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[track_caller]
    fn check(packed: &[u8], bytes_max: u64, want: Result<&[u8], ReportError>) {
        let mut left = bytes_max;
        let mut out = Vec::new();
        let got = unpack(packed, &mut left)
            .and_then(|mut reader| {
                reader.read_to_end(&mut out).map_err(|error| ReportError::from(&error))
            })
            .map(|_| out.as_slice());
        assert_eq!(got, want);
    }

    /// RFC 1952 §2.2: a file may be made of several members.
    #[test]
    fn packed_content_is_unpacked_up_to_a_bound() {
        let two = [gzip(b"ab"), gzip(b"cd")].concat();
        let bomb = gzip(&vec![b' '; 10 << 20]);
        assert!(bomb.len() < 20_000);
        let mut broken = gzip(b"some text");
        let crc = broken.len() - 8;
        broken[crc] ^= 1;
        // Valid.
        check(b"plain", 10, Ok(b"plain"));
        check(&gzip(b"text"), 10, Ok(b"text"));
        check(&two, 10, Ok(b"abcd"));
        check(&[two.as_slice(), b"\r\n"].concat(), 10, Ok(b"abcd"));
        check(&gzip(b"").repeat(MEMBERS_MAX), 10, Ok(b""));
        // At the edge.
        check(b"", 0, Ok(b""));
        check(b"12345", 5, Ok(b"12345"));
        check(&gzip(b"12345"), 5, Ok(b"12345"));
        // Just past.
        check(b"12345", 4, Err(ReportError::TooLarge));
        check(&gzip(b"12345"), 4, Err(ReportError::TooLarge));
        check(&bomb, 1 << 20, Err(ReportError::TooLarge));
        check(&gzip(b"").repeat(MEMBERS_MAX + 1), 10, Err(ReportError::BadPacking));
        // Never.
        check(&broken, 10, Err(ReportError::BadPacking));
        check(&gzip(b"text")[..12], 10, Err(ReportError::BadPacking));
        check(b"\x1f\x8b", 10, Err(ReportError::BadPacking));
        check(&[gzip(b"a").as_slice(), b"\x1f"].concat(), 10, Err(ReportError::BadPacking));
        check(b"PK\x03\x04", 10, Err(ReportError::BadPacking));
    }

    #[test]
    fn rations_end_until_they_are_renewed() {
        let mut reader = Rationed::new(Cursor::new(b"abcdef"));
        assert!(reader.fill_buf().is_err());
        reader.allow(2);
        assert_eq!(reader.fill_buf().unwrap(), b"abcdef");
        reader.consume(2);
        assert_eq!(ReportError::from(&reader.fill_buf().unwrap_err()), ReportError::TooLong);
        reader.allow(1);
        assert_eq!(reader.fill_buf().unwrap(), b"cdef");
    }
}
