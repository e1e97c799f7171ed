//! The content of a message on its way: in memory while it is small, in a file beyond.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Contents up to this size stay in memory.
pub const BODY_MEMORY_MAX: usize = 256 << 10;

/// The content of one message, with CRLF at the end of its lines.
#[derive(Debug)]
pub struct Body(Kept);

#[derive(Debug)]
enum Kept {
    Memory(Cursor<Vec<u8>>),
    File { file: File, size: u64 },
}

impl Body {
    /// Of bytes at hand.
    #[must_use]
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self(Kept::Memory(Cursor::new(bytes)))
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.0 {
            Kept::Memory(bytes) => bytes.get_ref().len() as u64,
            Kept::File { size, .. } => *size,
        }
    }

    /// How much memory it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            Kept::Memory(bytes) => bytes.get_ref().capacity(),
            Kept::File { .. } => 0,
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kept::Memory(bytes) => bytes.read(buffer),
            Kept::File { file, .. } => file.read(buffer),
        }
    }
}

impl Seek for Body {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            Kept::Memory(bytes) => bytes.seek(to),
            Kept::File { file, .. } => file.seek(to),
        }
    }
}

/// Takes the content of a message. What is beyond the bound is counted and thrown away.
#[derive(Debug)]
pub struct BodyWriter {
    /// Where a large content gets its file, which has no name.
    dir: PathBuf,
    bytes_max: u64,
    memory: Vec<u8>,
    file: Option<File>,
    written: u64,
}

impl BodyWriter {
    /// Of at most `bytes_max`; a large one goes to a file in `dir`.
    #[must_use]
    pub fn new(dir: &Path, bytes_max: u64) -> Self {
        let dir = dir.to_owned();
        Self { dir, bytes_max, memory: Vec::new(), file: None, written: 0 }
    }

    /// Bytes given, those beyond the bound too.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.written
    }

    /// The content, from its start; `None` if there was more than the bound.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn finish(mut self) -> io::Result<Option<Body>> {
        if self.written > self.bytes_max {
            return Ok(None);
        }
        let Some(mut file) = self.file.take() else {
            return Ok(Some(Body::from_vec(self.memory)));
        };
        file.write_all(&self.memory)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Some(Body(Kept::File { file, size: self.written })))
    }
}

impl Write for BodyWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.written = self.written.saturating_add(data.len() as u64);
        if self.written > self.bytes_max {
            self.memory = Vec::new();
            self.file = None;
            return Ok(data.len());
        }
        if self.memory.len() + data.len() > BODY_MEMORY_MAX {
            let file = match &mut self.file {
                Some(file) => file,
                None => self.file.insert(tempfile::tempfile_in(&self.dir)?),
            };
            file.write_all(&self.memory)?;
            file.write_all(data)?;
            self.memory.clear();
            return Ok(data.len());
        }
        self.memory.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[usize], bytes_max: usize, want_file: Option<bool>) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = BodyWriter::new(dir.path(), bytes_max as u64);
        let mut whole = Vec::new();
        for (number, size) in pieces.iter().enumerate() {
            let piece = vec![u8::try_from(number).unwrap(); *size];
            writer.write_all(&piece).unwrap();
            whole.extend(piece);
        }
        assert_eq!(writer.size(), whole.len() as u64);
        let body = writer.finish().unwrap();
        assert_eq!(
            body.as_ref().map(|body| body.memory_bytes() == 0 && body.size() > 0),
            want_file
        );
        if let Some(mut body) = body {
            assert_eq!(body.size(), whole.len() as u64);
            let mut read = Vec::new();
            body.read_to_end(&mut read).unwrap();
            assert!(read == whole);
            body.seek(SeekFrom::End(-1)).unwrap();
        }
    }

    #[test]
    fn a_content_is_in_memory_in_a_file_or_too_large() {
        let most = 4 * BODY_MEMORY_MAX;
        check(&[1, 2, 3], most, Some(false));
        // At the edge.
        check(&[BODY_MEMORY_MAX], most, Some(false));
        check(&[BODY_MEMORY_MAX, 1, 1], most, Some(true));
        check(&[BODY_MEMORY_MAX, 3 * BODY_MEMORY_MAX], most, Some(true));
        // Just past it.
        check(&[BODY_MEMORY_MAX, 3 * BODY_MEMORY_MAX, 1, 1], most, None);
        check(&[6], 5, None);
    }
}
