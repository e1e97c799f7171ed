//! A file: which commit is read, and its pages.

use std::io;
use std::sync::Arc;

use crate::bucket::Bucket;
use crate::bytes::{array, u16_at, u32_at, u64_at};
use crate::page::{Damage, HEADER_BYTES, LOGICAL_PAGE_BYTES_MAX, Page, Reason, overflow};

/// The largest size of pages that files are looked through for: 16 KiB and 64 KiB are in use.
pub const PAGE_BYTES_MAX: usize = PAGE_BYTES_MIN << PAGE_SIZES;

const PAGE_BYTES_MIN: usize = 1024;
const PAGE_SIZES: usize = 14;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const META_FLAG: u16 = 0x04;
/// Of a meta page, after the header: what the checksum is over, and the checksum.
const META_BYTES: usize = 56;

/// Bytes to read at random: a file, or what was read of one.
pub trait Source {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// The bytes at an offset, exactly as many as asked for.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or end before.
    fn read(&self, offset: u64, len: usize) -> io::Result<Arc<[u8]>>;
}

impl Source for Vec<u8> {
    fn size(&self) -> u64 {
        u64::try_from(self.len()).unwrap_or(u64::MAX)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Arc<[u8]>> {
        let range =
            usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(len)?));
        let bytes = range.and_then(|range| self.get(range));
        bytes.map(Into::into).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Neither of the two pages that describe commits is one.
    #[error("not a database, or damaged in both of its first two pages")]
    NoMeta,
    /// It was written by a machine with another order of bytes.
    #[error("written by a big-endian machine: that cannot be read")]
    BigEndian,
    /// It ends before what is in use: it was cut, or copied while it grew.
    #[error("has {size} bytes and should have at least {wanted}: cut off, or copied while in use")]
    Short {
        /// How long it is.
        size: u64,
        /// How much is in use.
        wanted: u64,
    },
    /// It cannot be read.
    #[error("read")]
    Read(#[from] io::Error),
}

/// A commit, as one of the first two pages describes it.
#[derive(Clone, Copy, Debug)]
struct Meta {
    page_bytes: usize,
    root: u64,
    high_water: u64,
    transaction: u64,
}

impl Meta {
    /// Reads a meta page.
    fn parse(page: &[u8]) -> Result<Self, bool> {
        let meta = page.get(HEADER_BYTES..).unwrap_or_default();
        let magic: Option<[u8; 4]> = array(meta, 0);
        let is_swapped = magic.is_some_and(|magic| u32::from_be_bytes(magic) == MAGIC);
        Self::fields(page, meta).ok_or(is_swapped)
    }

    fn fields(page: &[u8], meta: &[u8]) -> Option<Self> {
        let is_meta = u16_at(page, 8)? & META_FLAG != 0
            && u32_at(meta, 0)? == MAGIC
            && u32_at(meta, 4)? == VERSION
            && u64_at(meta, META_BYTES)? == fnv1a(meta.get(..META_BYTES)?);
        let page_bytes = usize::try_from(u32_at(meta, 8)?).ok()?;
        let is_size = (PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&page_bytes);
        (is_meta && is_size && page_bytes.is_power_of_two()).then_some(Self {
            page_bytes,
            root: u64_at(meta, 16)?,
            high_water: u64_at(meta, 40)?,
            transaction: u64_at(meta, 48)?,
        })
    }
}

/// FNV-1a with 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// A file at its last commit.
#[derive(Debug)]
pub struct Database<S> {
    source: S,
    meta: Meta,
    is_previous: bool,
}

impl<S: Source> Database<S> {
    /// Finds the last commit of a file.
    ///
    /// # Errors
    ///
    /// If it is no such file, is cut off, or cannot be read.
    pub fn open(source: S) -> Result<Self, OpenError> {
        let head = |offset: u64| match source.read(offset, HEADER_BYTES + META_BYTES + 8) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok([].into()),
            Err(error) => Err(error),
        };
        let first = Meta::parse(&head(0)?);
        let second = match first {
            Ok(meta) => Meta::parse(&head(meta.page_bytes as u64)?).ok(),
            // Where the second page begins is not known then.
            Err(_) => {
                let mut found = None;
                for shift in 0..=PAGE_SIZES {
                    let page_bytes = PAGE_BYTES_MIN << shift;
                    let meta = Meta::parse(&head(page_bytes as u64)?).ok();
                    found = found.or_else(|| meta.filter(|meta| meta.page_bytes == page_bytes));
                }
                found
            }
        };
        let is_previous = first.is_err() || second.is_none();
        let meta = match (first, second) {
            (Ok(first), Some(second)) if second.transaction > first.transaction => second,
            (Ok(first), _) => first,
            (Err(_), Some(second)) => second,
            (Err(true), None) => return Err(OpenError::BigEndian),
            (Err(false), None) => return Err(OpenError::NoMeta),
        };
        let wanted = meta.high_water.saturating_mul(meta.page_bytes as u64);
        if source.size() < wanted {
            return Err(OpenError::Short { size: source.size(), wanted });
        }
        Ok(Self { source, meta, is_previous })
    }

    /// Whether one of the two descriptions of commits is damaged: the one that is read may then not be the
    /// last, and pages of it may have been used again.
    #[must_use]
    pub fn may_be_older(&self) -> bool {
        self.is_previous
    }

    /// The bucket with all others in it.
    #[must_use]
    pub fn root(&self) -> Bucket<'_, S> {
        Bucket::at_page(self, self.meta.root, 0)
    }

    /// The number of the last commit: one that writes gives the next a larger one.
    #[must_use]
    pub fn transaction(&self) -> u64 {
        self.meta.transaction
    }

    /// Up to which page the file is in use.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.meta.high_water
    }

    /// How large pages are.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        self.meta.page_bytes
    }

    /// Reads a page with all that it runs over into.
    ///
    /// - `spare`: how many pages may still be read that others run over into. Pages that run over into
    ///   one another would have all of the file read for each of them.
    pub(crate) fn page(&self, id: u64, spare: &mut u64) -> Result<Page, Damage> {
        let fault = |reason| Damage { page: id, reason };
        // The first two pages describe commits and are in no bucket.
        if id < 2 || id >= self.meta.high_water {
            return Err(fault(Reason::Outside));
        }
        let unreadable = |error: io::Error| fault(Reason::Unreadable(error.to_string()));
        let offset = id.saturating_mul(self.meta.page_bytes as u64);
        let mut bytes = self.source.read(offset, self.meta.page_bytes).map_err(unreadable)?;
        let more = overflow(&bytes).unwrap_or_default();
        // Looked at before anything is read or taken memory for on its word.
        let is_this = u64_at(&bytes, 0) == Some(id);
        if more > 0 && is_this {
            let len = usize::try_from(more).ok().and_then(|more| more.checked_add(1));
            let len = len.and_then(|pages| pages.checked_mul(self.meta.page_bytes));
            let len = len.filter(|len| *len <= LOGICAL_PAGE_BYTES_MAX);
            let end = id.checked_add(u64::from(more)).filter(|last| *last < self.meta.high_water);
            let left = spare.checked_sub(more.into());
            let (Some(len), Some(_), Some(left)) = (len, end, left) else {
                return Err(fault(Reason::TooLong));
            };
            *spare = left;
            bytes = self.source.read(offset, len).map_err(unreadable)?;
        }
        Page::parse(id, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of pages of 1024 bytes with nothing in it, after transactions 8 and 9.
    fn empty() -> Vec<u8> {
        let mut file = vec![0; 5 * PAGE_BYTES_MIN];
        for (id, transaction) in [(0_u64, 8_u64), (1, 9)] {
            let at = usize::try_from(id).unwrap() * PAGE_BYTES_MIN;
            let mut meta = Vec::new();
            meta.extend(MAGIC.to_le_bytes());
            meta.extend(VERSION.to_le_bytes());
            meta.extend(1024_u32.to_le_bytes());
            meta.extend(0_u32.to_le_bytes());
            // Root, its sequence, list of free pages, high-water mark.
            for value in [2 + id, 0, u64::MAX, 5, transaction] {
                meta.extend(value.to_le_bytes());
            }
            meta.extend(fnv1a(&meta).to_le_bytes());
            file[at..at + 8].copy_from_slice(&id.to_le_bytes());
            file[at + 8] = 4;
            file[at + 16..at + 16 + meta.len()].copy_from_slice(&meta);
        }
        for id in [2_u8, 3] {
            let at = usize::from(id) * PAGE_BYTES_MIN;
            file[at] = id;
            file[at + 8] = 2;
        }
        file
    }

    #[track_caller]
    fn check(file: Vec<u8>, want: (u64, bool)) {
        let database = Database::open(file).unwrap();
        assert_eq!((database.meta.root, database.may_be_older()), want);
        assert_eq!(database.root().walk().count(), 0);
    }

    #[test]
    fn the_later_of_two_commits_is_read_and_the_other_if_that_is_damaged() {
        check(empty(), (3, false));
        let mut second = empty();
        second[PAGE_BYTES_MIN + 20] ^= 1;
        check(second.clone(), (2, true));
        let mut first = empty();
        first[70] ^= 1;
        check(first.clone(), (3, true));
        second[70] ^= 1;
        assert!(matches!(Database::open(second), Err(OpenError::NoMeta)));
        let mut long = empty();
        long.resize(100_000, 0xFF);
        check(long, (3, false));
    }

    #[test]
    fn what_is_no_whole_file_is_refused() {
        let open = |file: Vec<u8>| Database::open(file).unwrap_err();
        let mut cut = empty();
        cut.pop();
        assert!(matches!(open(cut), OpenError::Short { size: 5119, wanted: 5120 }));
        assert!(matches!(open(Vec::new()), OpenError::NoMeta));
        assert!(matches!(open(b"SQLite format 3\0".to_vec()), OpenError::NoMeta));
        let mut swapped = vec![0; 4096];
        swapped[16..20].copy_from_slice(&MAGIC.to_be_bytes());
        assert!(matches!(open(swapped), OpenError::BigEndian));
    }
}
