//! Files of pages: sorted keys written once, from the leaves upwards.
//!
//! A bucket that is loaded keeps one unfinished page of each level in memory and nothing else, so that a
//! table may have any number of records.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Bytes of a page's header, and of each element's entry after it.
const HEADER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 16;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;
const FREE_LIST: u16 = 0x10;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// The most elements of a page: beyond, their number would not fit the header of some readers.
const ELEMENTS_MAX: usize = 0xFFFE;

/// An element of a leaf or branch.
struct Element {
    key: Vec<u8>,
    holds: Holds,
}

enum Holds {
    /// A value, and whether it describes a bucket.
    Value(Vec<u8>, bool),
    /// Of a branch: the page below.
    Page(u64),
}

impl Element {
    fn bytes(&self) -> usize {
        let value = match &self.holds {
            Holds::Value(value, _) => value.len(),
            Holds::Page(_) => 0,
        };
        ENTRY_BYTES + self.key.len() + value
    }

    fn entry(&self, pos: usize) -> [u8; ENTRY_BYTES] {
        let (pos, key_len) = (small(pos).to_le_bytes(), small(self.key.len()).to_le_bytes());
        let mut entry = [0; ENTRY_BYTES];
        match &self.holds {
            Holds::Value(value, is_bucket) => {
                entry[..4].copy_from_slice(&u32::from(*is_bucket).to_le_bytes());
                entry[4..8].copy_from_slice(&pos);
                entry[8..12].copy_from_slice(&key_len);
                entry[12..].copy_from_slice(&small(value.len()).to_le_bytes());
            }
            Holds::Page(page) => {
                entry[..4].copy_from_slice(&pos);
                entry[4..8].copy_from_slice(&key_len);
                entry[8..].copy_from_slice(&page.to_le_bytes());
            }
        }
        entry
    }
}

fn small(len: usize) -> u32 {
    u32::try_from(len).expect("an element below 4 GiB")
}

/// An image of a page, its header first.
fn image(id: u64, flags: u16, elements: &[Element], page_bytes: usize) -> Vec<u8> {
    let len = HEADER_BYTES + elements.iter().map(Element::bytes).sum::<usize>();
    let pages = len.div_ceil(page_bytes).max(1);
    let mut page = Vec::with_capacity(len);
    page.extend(id.to_le_bytes());
    page.extend(flags.to_le_bytes());
    page.extend(u16::try_from(elements.len()).expect("at most ELEMENTS_MAX").to_le_bytes());
    page.extend(small(pages - 1).to_le_bytes());
    let mut data_at = HEADER_BYTES + elements.len() * ENTRY_BYTES;
    for (number, element) in elements.iter().enumerate() {
        page.extend(element.entry(data_at - HEADER_BYTES - number * ENTRY_BYTES));
        data_at += element.bytes() - ENTRY_BYTES;
    }
    for element in elements {
        page.extend(&element.key);
        if let Holds::Value(value, _) = &element.holds {
            page.extend(value);
        }
    }
    page
}

/// A file that pages are added to.
pub(super) struct Pages {
    file: BufWriter<File>,
    page_bytes: usize,
    /// The first page that is not taken.
    next: u64,
}

impl Pages {
    pub(super) fn create(path: &Path, page_bytes: usize) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        // The two pages that describe commits are written last.
        file.write_all(&vec![0; 2 * page_bytes])?;
        Ok(Self { file, page_bytes, next: 2 })
    }

    fn put(&mut self, flags: u16, elements: &[Element]) -> io::Result<u64> {
        let id = self.next;
        let mut page = image(id, flags, elements, self.page_bytes);
        let pages = page.len().div_ceil(self.page_bytes);
        page.resize(pages * self.page_bytes, 0);
        self.file.write_all(&page)?;
        self.next += pages as u64;
        Ok(id)
    }

    /// Ends the file.
    ///
    /// - `root`: the page of the bucket that has all others.
    pub(super) fn finish(mut self, root: u64) -> io::Result<()> {
        let free_list = self.put(FREE_LIST, &[])?;
        for (id, transaction) in [(0_u64, 4_u64), (1, 3)] {
            let mut page = image(id, META, &[], self.page_bytes);
            let mut meta = Vec::new();
            for value in [MAGIC, VERSION, small(self.page_bytes), 0] {
                meta.extend(value.to_le_bytes());
            }
            for value in [root, 0, free_list, self.next, transaction] {
                meta.extend(value.to_le_bytes());
            }
            meta.extend(fnv1a(&meta).to_le_bytes());
            page.extend(meta);
            self.file.seek(SeekFrom::Start(id * self.page_bytes as u64))?;
            self.file.write_all(&page)?;
        }
        self.file.flush()
    }
}

/// FNV-1a with 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// A bucket on its way into a file.
#[derive(Default)]
pub(super) struct Loader {
    last_key: Option<Vec<u8>>,
    has_buckets: bool,
    /// Unfinished pages: the leaf, then branches, each with its size.
    levels: Vec<(Vec<Element>, usize)>,
}

/// Where a bucket is, now that it is written.
pub(super) enum Root {
    Page(u64),
    /// Small ones lie in the value that describes them.
    Inline(Vec<u8>),
}

impl Root {
    /// The value that describes the bucket.
    pub(super) fn into_value(self, sequence: u64) -> Vec<u8> {
        let (page, inline) = match self {
            Self::Page(page) => (page, Vec::new()),
            Self::Inline(leaf) => (0, leaf),
        };
        let head = [page, sequence].into_iter().flat_map(u64::to_le_bytes);
        head.chain(inline).collect()
    }
}

impl Loader {
    /// Adds a key, which must come after those before.
    pub(super) fn value(
        &mut self,
        pages: &mut Pages,
        key: Vec<u8>,
        value: Vec<u8>,
    ) -> io::Result<()> {
        self.leaf(pages, key, Holds::Value(value, false))
    }

    /// Adds a bucket that was written.
    pub(super) fn bucket(
        &mut self,
        pages: &mut Pages,
        key: &[u8],
        value: Vec<u8>,
    ) -> io::Result<()> {
        self.has_buckets = true;
        self.leaf(pages, key.to_vec(), Holds::Value(value, true))
    }

    fn leaf(&mut self, pages: &mut Pages, key: Vec<u8>, holds: Holds) -> io::Result<()> {
        let last = self.last_key.replace(key.clone());
        assert!(last.is_none_or(|last| last < key), "keys out of order, or one twice: {key:02x?}");
        self.add(pages, 0, Element { key, holds })
    }

    fn add(&mut self, pages: &mut Pages, level: usize, element: Element) -> io::Result<()> {
        if self.levels.len() == level {
            self.levels.push((Vec::new(), HEADER_BYTES));
        }
        let (elements, bytes) = &self.levels[level];
        let is_full = bytes + element.bytes() > pages.page_bytes || elements.len() == ELEMENTS_MAX;
        if is_full && !elements.is_empty() {
            self.flush(pages, level)?;
        }
        let (elements, bytes) = &mut self.levels[level];
        *bytes += element.bytes();
        elements.push(element);
        Ok(())
    }

    fn flush(&mut self, pages: &mut Pages, level: usize) -> io::Result<()> {
        let (elements, _) = std::mem::replace(&mut self.levels[level], (Vec::new(), HEADER_BYTES));
        let page = pages.put(if level == 0 { LEAF } else { BRANCH }, &elements)?;
        let key = elements.into_iter().next().map(|first| first.key).unwrap_or_default();
        self.add(pages, level + 1, Element { key, holds: Holds::Page(page) })
    }

    /// Writes what is left of the bucket, which is in no page of its own if it is small.
    pub(super) fn finish(self, pages: &mut Pages) -> io::Result<Root> {
        let is_inline = match &self.levels[..] {
            [] => true,
            [(_, bytes)] => *bytes <= pages.page_bytes / 4 && !self.has_buckets,
            _ => false,
        };
        if is_inline {
            let elements = self.levels.first().map_or(&[][..], |(elements, _)| elements);
            return Ok(Root::Inline(image(0, LEAF, elements, pages.page_bytes)));
        }
        self.finish_as_page(pages).map(Root::Page)
    }

    /// Writes what is left of the bucket, and returns its uppermost page.
    pub(super) fn finish_as_page(mut self, pages: &mut Pages) -> io::Result<u64> {
        if self.levels.is_empty() {
            return pages.put(LEAF, &[]);
        }
        let mut level = 0;
        loop {
            let is_top = level + 1 == self.levels.len();
            if let ([Element { holds: Holds::Page(root), .. }], true) =
                (self.levels[level].0.as_slice(), is_top)
            {
                return Ok(*root);
            }
            self.flush(pages, level)?;
            level += 1;
        }
    }
}
