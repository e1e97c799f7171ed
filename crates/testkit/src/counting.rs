//! A reader that counts what is asked of it.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`CountingReader`] was asked to do. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct ReadCounts {
    inner: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    reads: AtomicU64,
    seeks: AtomicU64,
}

impl ReadCounts {
    /// Bytes handed out.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.inner.bytes.load(Ordering::SeqCst)
    }

    /// Calls that handed out at least one byte or met the end.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.inner.reads.load(Ordering::SeqCst)
    }

    /// Calls of `seek`.
    #[must_use]
    pub fn seeks(&self) -> u64 {
        self.inner.seeks.load(Ordering::SeqCst)
    }

    fn count(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.inner.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.inner.reads.fetch_add(1, Ordering::SeqCst);
    }
}

/// Passes reads and seeks on and counts them, to prove that code reads a message once, or a part
/// of it only.
#[derive(Debug)]
pub struct CountingReader<R> {
    inner: R,
    counts: ReadCounts,
}

impl<R> CountingReader<R> {
    /// Counts what is read from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, counts: ReadCounts::default() }
    }

    /// A handle on the counts that stays usable when the reader is given away.
    #[must_use]
    pub fn counts(&self) -> ReadCounts {
        self.counts.clone()
    }
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.counts.count(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for CountingReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.counts.count(amount);
        self.inner.consume(amount);
    }
}

impl<R: Seek> Seek for CountingReader<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.counts.inner.seeks.fetch_add(1, Ordering::SeqCst);
        self.inner.seek(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_seeks_are_counted_after_the_reader_is_given_away() {
        let mut reader = CountingReader::new(io::Cursor::new(b"0123456789"));
        let counts = reader.counts();
        let mut buffer = [0; 4];
        reader.read_exact(&mut buffer).unwrap();
        reader.seek(SeekFrom::Start(8)).unwrap();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!((counts.bytes(), counts.seeks()), (6, 1));
        assert!(counts.reads() >= 2);
        assert_eq!(rest, b"89");
    }
}
