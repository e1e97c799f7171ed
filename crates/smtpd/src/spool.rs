//! Where a message is kept while it comes in: memory for small ones, a file for the others.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use mox_net::blocking;
use tempfile::SpooledTempFile;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A message up to this size is kept in memory.
pub const SPOOL_MEMORY_BYTES: usize = 1 << 20;

/// Messages that may be in memory at once on all connections; further ones go to files at once.
pub const SPOOLS_IN_MEMORY_MAX: usize = 64;

/// A message up to this size is worked on where it is, without another thread.
const SMALL_BYTES_MAX: u64 = 32 << 10;

/// A message, or the part of it that has come in.
#[derive(Debug)]
pub(crate) struct Spool {
    file: SpooledTempFile,
    size_bytes: u64,
    memory_bytes_max: usize,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Spool {
    /// - `dir`: where the file is made once it is needed; it has no name there.
    pub(crate) fn new(dir: &Path, memory: &Arc<Semaphore>) -> Self {
        let permit = Arc::clone(memory).try_acquire_owned().ok();
        let memory_bytes_max = if permit.is_some() { SPOOL_MEMORY_BYTES } else { 0 };
        Self {
            file: tempfile::spooled_tempfile_in(memory_bytes_max, dir),
            size_bytes: 0,
            memory_bytes_max,
            _permit: permit,
        }
    }

    /// Whether reading it touches no disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        !self.file.is_rolled()
    }

    /// Whether it is in memory and takes next to no time to go through.
    pub(crate) fn is_small(&self) -> bool {
        self.is_in_memory() && self.size_bytes <= SMALL_BYTES_MAX
    }

    /// Appends `bytes` and empties them; blocks on the disk elsewhere if it must.
    pub(crate) async fn append(mut self, bytes: &mut Vec<u8>) -> io::Result<Self> {
        let size = self.size_bytes.saturating_add(bytes.len() as u64);
        if self.is_in_memory() && size <= self.memory_bytes_max as u64 {
            self.file.write_all(bytes)?;
            bytes.clear();
        } else {
            let mut chunk = std::mem::take(bytes);
            let (file, mut chunk) = blocking(move || {
                let written = self.file.write_all(&chunk);
                chunk.clear();
                (written.map(|()| self), chunk)
            })
            .await;
            chunk.clear();
            *bytes = chunk;
            self = file?;
        }
        self.size_bytes = size;
        Ok(self)
    }

    /// The first bytes, at most `bytes_max`. May block on the disk.
    pub(crate) fn head(&mut self, bytes_max: u64) -> io::Result<Vec<u8>> {
        self.file.rewind()?;
        let count = self.size_bytes.min(bytes_max);
        let mut head = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        Read::by_ref(&mut self.file).take(count).read_to_end(&mut head)?;
        Ok(head)
    }

    /// Replaces the first `old_bytes` by `head`, as a new spool. May block on the disk.
    pub(crate) fn with_head(mut self, old_bytes: u64, head: &[u8], dir: &Path) -> io::Result<Self> {
        let mut file = tempfile::spooled_tempfile_in(self.memory_bytes_max, dir);
        file.write_all(head)?;
        self.file.seek(SeekFrom::Start(old_bytes))?;
        let rest = io::copy(&mut self.file, &mut file)?;
        let size_bytes = rest.saturating_add(head.len() as u64);
        Ok(Self { file, size_bytes, ..self })
    }

    /// The message, for reading it whole.
    pub(crate) fn reader(&mut self) -> io::Result<&mut SpooledTempFile> {
        self.file.rewind()?;
        Ok(&mut self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spool: &mut Spool) -> Vec<u8> {
        let mut bytes = Vec::new();
        spool.reader().unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_large_message_goes_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Arc::new(Semaphore::new(1));
        let mut spool = Spool::new(dir.path(), &memory);
        let mut whole = vec![b'x'; SPOOL_MEMORY_BYTES];
        let mut chunk = whole.clone();
        spool = spool.append(&mut chunk).await.unwrap();
        assert!(spool.is_in_memory() && chunk.is_empty());
        spool = spool.append(&mut b"y".to_vec()).await.unwrap();
        assert!(!spool.is_in_memory());
        whole.push(b'y');
        assert_eq!(spool.size_bytes, whole.len() as u64);
        assert_eq!(read(&mut spool), whole);
        assert_eq!(spool.head(3).unwrap(), b"xxx");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the file has no name");
    }

    #[tokio::test]
    async fn when_many_are_in_memory_the_next_goes_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Arc::new(Semaphore::new(1));
        let first = Spool::new(dir.path(), &memory);
        let mut second = Spool::new(dir.path(), &memory);
        second = second.append(&mut b"a".to_vec()).await.unwrap();
        assert!(!second.is_in_memory());
        drop(first);
        let third = Spool::new(dir.path(), &memory).append(&mut b"a".to_vec()).await.unwrap();
        assert!(third.is_in_memory());
    }

    #[tokio::test]
    async fn a_head_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Arc::new(Semaphore::new(1));
        let spool = Spool::new(dir.path(), &memory);
        let spool = spool.append(&mut b"Bcc: x\r\nA: b\r\n\r\nbody".to_vec()).await.unwrap();
        let mut spool = spool.with_head(8, b"", dir.path()).unwrap();
        assert_eq!(read(&mut spool), b"A: b\r\n\r\nbody");
        assert_eq!(spool.size_bytes, 12);
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_an_error() {
        let spool = Spool::new(Path::new("/nonexistent"), &Arc::new(Semaphore::new(0)));
        assert!(spool.append(&mut b"a".to_vec()).await.is_err());
    }
}
