//! Zip archives that hold one file, as some senders of reports make them.
//!
//! The format is described in PKWARE's APPNOTE; reports need little of it. The directory at the end
//! says what there is, as for every other reader of archives: what stands before the first entry, or
//! between entries, is nothing.

use std::io::{self, Cursor, Read};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use crate::error::ReportError;
use crate::unpack::ARCHIVE_BYTES_MAX;

/// The end of the directory without its comment.
const END_BYTES: usize = 22;
/// An entry of the directory without its names.
const ENTRY_BYTES: usize = 46;
/// What stands before a file, without its names.
const LOCAL_BYTES: usize = 30;
/// The longest comment; the end of the directory is not looked for further away.
const COMMENT_BYTES_MAX: usize = 0xffff;
/// The most entries that are looked at: the file, and folders that it is in.
const ENTRIES_MAX: u16 = 16;

/// Opens the one file of an archive, which must not be over `bytes_max`.
pub(crate) fn open<'a>(
    source: impl Read,
    bytes_max: u64,
) -> Result<Box<dyn Read + 'a>, ReportError> {
    let mut archive = Vec::new();
    let taken = source.take(ARCHIVE_BYTES_MAX + 1).read_to_end(&mut archive);
    let taken = taken.map_err(|error| ReportError::from(&error))?;
    if u64::try_from(taken).unwrap_or(u64::MAX) > ARCHIVE_BYTES_MAX {
        return Err(ReportError::TooLarge);
    }
    let entry = only_file(&archive)?;
    if u64::from(entry.size) > bytes_max {
        return Err(ReportError::TooLarge);
    }
    let range = entry.content(&archive)?;
    let mut content = Cursor::new(archive);
    content.set_position(u64::try_from(range.start).unwrap_or(u64::MAX));
    let packed = content.take(u64::try_from(range.len()).unwrap_or_default());
    let reader: Box<dyn Read> = match entry.method {
        Method::Stored => Box::new(packed),
        Method::Deflate => Box::new(DeflateDecoder::new(packed)),
    };
    Ok(Box::new(Checked { reader, crc: Crc::new(), left: entry.size, want: entry.crc }))
}

#[derive(Clone, Copy, Debug)]
enum Method {
    Stored,
    Deflate,
}

/// What the directory says of a file.
#[derive(Clone, Copy, Debug)]
struct Entry {
    method: Method,
    crc: u32,
    packed_size: u32,
    size: u32,
    offset: u32,
}

/// Finds the one entry of the directory that is not a folder.
fn only_file(archive: &[u8]) -> Result<Entry, ReportError> {
    let end = directory_end(archive).ok_or(ReportError::BadPacking)?;
    let end = archive.get(end..).unwrap_or_default();
    let count = u16_at(end, 10)?;
    if count == 0 || count > ENTRIES_MAX {
        return Err(ReportError::NotOneFile);
    }
    let mut at = offset(u32_at(end, 16)?)?;
    let mut found = None;
    for _ in 0..count {
        let entry = archive.get(at..).ok_or(ReportError::BadPacking)?;
        let names = u16_at(entry, 28)?;
        let name_end = ENTRY_BYTES + usize::from(names);
        let name = entry.get(ENTRY_BYTES..name_end).ok_or(ReportError::BadPacking)?;
        if !name.ends_with(b"/") && found.replace(entry_at(entry)?).is_some() {
            return Err(ReportError::NotOneFile);
        }
        at += name_end + usize::from(u16_at(entry, 30)?) + usize::from(u16_at(entry, 32)?);
    }
    found.ok_or(ReportError::NotOneFile)
}

/// The last place where the end of a directory can be, with a comment that ends with the archive.
fn directory_end(archive: &[u8]) -> Option<usize> {
    let last = archive.len().checked_sub(END_BYTES)?;
    let first = last.saturating_sub(COMMENT_BYTES_MAX);
    (first..=last).rev().find(|at| {
        let end = archive.get(*at..).unwrap_or_default();
        let comment = u16_at(end, 20).map(usize::from);
        // More may follow the comment: line ends of the mail around it.
        end.starts_with(b"PK\x05\x06") && comment.is_ok_and(|size| size + END_BYTES <= end.len())
    })
}

fn entry_at(entry: &[u8]) -> Result<Entry, ReportError> {
    if !entry.starts_with(b"PK\x01\x02") {
        return Err(ReportError::BadPacking);
    }
    // Bit 0: encrypted.
    if u16_at(entry, 8)? & 1 != 0 {
        return Err(ReportError::UnknownPacking);
    }
    let method = match u16_at(entry, 10)? {
        0 => Method::Stored,
        8 => Method::Deflate,
        _ => return Err(ReportError::UnknownPacking),
    };
    let found = Entry {
        method,
        crc: u32_at(entry, 16)?,
        packed_size: u32_at(entry, 20)?,
        size: u32_at(entry, 24)?,
        offset: u32_at(entry, 42)?,
    };
    // All bits set: the real number stands elsewhere, for files of more than 4 GB.
    let numbers = [found.packed_size, found.size, found.offset];
    if numbers.contains(&u32::MAX) { Err(ReportError::UnknownPacking) } else { Ok(found) }
}

impl Entry {
    /// Where the packed content is.
    fn content(self, archive: &[u8]) -> Result<std::ops::Range<usize>, ReportError> {
        let start = offset(self.offset)?;
        let local = archive.get(start..).ok_or(ReportError::BadPacking)?;
        if !local.starts_with(b"PK\x03\x04") {
            return Err(ReportError::BadPacking);
        }
        let names = usize::from(u16_at(local, 26)?) + usize::from(u16_at(local, 28)?);
        let start = start + LOCAL_BYTES + names;
        let end = start.saturating_add(offset(self.packed_size)?);
        if end > archive.len() { Err(ReportError::BadPacking) } else { Ok(start..end) }
    }
}

fn offset(number: u32) -> Result<usize, ReportError> {
    usize::try_from(number).map_err(|_| ReportError::UnknownPacking)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, ReportError> {
    let number = bytes.get(at..).and_then(|rest| rest.first_chunk());
    number.map(|number| u16::from_le_bytes(*number)).ok_or(ReportError::BadPacking)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, ReportError> {
    let number = bytes.get(at..).and_then(|rest| rest.first_chunk());
    number.map(|number| u32::from_le_bytes(*number)).ok_or(ReportError::BadPacking)
}

/// Checks that the file has the size and the checksum that the directory says.
struct Checked {
    reader: Box<dyn Read>,
    crc: Crc,
    left: u32,
    want: u32,
}

impl Read for Checked {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let read = self.reader.read(out)?;
        self.crc.update(out.get(..read).unwrap_or_default());
        let left = u32::try_from(read).ok().and_then(|read| self.left.checked_sub(read));
        self.left = left.ok_or(ReportError::BadPacking)?;
        if read == 0 && (self.left != 0 || self.crc.sum() != self.want) {
            return Err(ReportError::BadPacking.into());
        }
        Ok(read)
    }
}

#[cfg(test)]
#[path = "zip_tests.rs"]
mod tests;
