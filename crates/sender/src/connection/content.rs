//! The bytes of a message on their way out.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use mox_net::blocking;
use mox_smtp::BareLineEnd;

/// How much of a message is in memory at once, in bytes, unless all of it is already.
pub const PIECE_BYTES_MAX: usize = 128 * 1024;

/// Why a message cannot be sent, whatever the server says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// It could not be read.
    #[error("read message")]
    Read(#[source] io::Error),
    /// It is not as long as it should be.
    #[error("message has another size than it should")]
    Size,
    /// It has a bare CR or LF, and is not declared to be binary. RFC 5321 §2.3.8.
    #[error(transparent)]
    BareLineEnd(#[from] BareLineEnd),
}

/// A message to be sent once, from its beginning to its end.
pub struct Content {
    source: Source,
    size_bytes: u64,
    taken_bytes: u64,
    was_cr: bool,
}

enum Source {
    /// All of it.
    Bytes(Arc<[u8]>),
    /// Reads from a disk, off the thread of the connection. `None` while it does.
    Reader(Option<Box<dyn Read + Send>>),
}

impl Content {
    /// A message in memory.
    #[must_use]
    pub fn bytes(bytes: Arc<[u8]>) -> Self {
        let size_bytes = bytes.len() as u64;
        Self { source: Source::Bytes(bytes), size_bytes, taken_bytes: 0, was_cr: false }
    }

    /// A message of so many bytes that is read piece by piece, by calls that block.
    #[must_use]
    pub fn reader(reader: impl Read + Send + 'static, size_bytes: u64) -> Self {
        let source = Source::Reader(Some(Box::new(reader)));
        Self { source, size_bytes, taken_bytes: 0, was_cr: false }
    }

    /// How long it is, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The next piece, of at most so many bytes; `None` at the end.
    pub(super) async fn next(&mut self, max_bytes: u64) -> Result<Option<Vec<u8>>, ContentError> {
        let left_bytes = self.size_bytes.saturating_sub(self.taken_bytes);
        let count = left_bytes.min(max_bytes).min(PIECE_BYTES_MAX as u64);
        if count == 0 {
            return Ok(None);
        }
        let piece = match &mut self.source {
            Source::Bytes(bytes) => {
                let from = usize::try_from(self.taken_bytes).unwrap_or(usize::MAX);
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                let piece = bytes.get(from..).and_then(|rest| rest.get(..count));
                piece.ok_or(ContentError::Size)?.to_vec()
            }
            Source::Reader(slot) => {
                let reader = slot.take().ok_or(ContentError::Size)?;
                let (reader, piece) = blocking(move || read_piece(reader, count)).await;
                *slot = Some(reader);
                piece.map_err(ContentError::Read)?
            }
        };
        if (piece.len() as u64) < count {
            return Err(ContentError::Size);
        }
        self.taken_bytes += count;
        Ok(Some(piece))
    }

    /// Whether all of it was taken.
    pub(super) fn is_at_end(&self) -> bool {
        self.taken_bytes == self.size_bytes
    }

    /// Every line must end with CRLF, whichever way it is sent. RFC 5321 §2.3.8, RFC 3030 §3.
    pub(super) fn check_lines(&mut self, piece: &[u8]) -> Result<(), BareLineEnd> {
        for &byte in piece {
            if self.was_cr != (byte == b'\n') {
                return Err(BareLineEnd);
            }
            self.was_cr = byte == b'\r';
        }
        Ok(())
    }

    /// A CR at the end is bare as well.
    pub(super) fn check_last_line(&self) -> Result<(), BareLineEnd> {
        if self.was_cr { Err(BareLineEnd) } else { Ok(()) }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}

fn read_piece(
    mut reader: Box<dyn Read + Send>,
    count: u64,
) -> (Box<dyn Read + Send>, io::Result<Vec<u8>>) {
    let mut piece = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    let result = reader.by_ref().take(count).read_to_end(&mut piece);
    (reader, result.map(|_| piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&str], want: Result<(), BareLineEnd>) {
        let mut content = Content::bytes(Arc::from([]));
        let got = pieces.iter().try_for_each(|piece| content.check_lines(piece.as_bytes()));
        assert_eq!(got.and_then(|()| content.check_last_line()), want, "{pieces:?}");
    }

    /// RFC 5321 §2.3.8.
    #[test]
    fn lines_end_with_crlf() {
        // Valid.
        check(&["a\r\n", "b\r\n"], Ok(()));
        // At the edge of valid.
        check(&["a\r", "\nb"], Ok(()));
        check(&[""], Ok(()));
        // Just past the edge.
        check(&["a\r"], Err(BareLineEnd));
        check(&["a\r", "b"], Err(BareLineEnd));
        check(&["a\r\n", "\n"], Err(BareLineEnd));
        // Never valid.
        check(&["a\n"], Err(BareLineEnd));
        check(&["\r\r\n"], Err(BareLineEnd));
    }

    async fn read_all(mut content: Content) -> Result<Vec<u8>, ContentError> {
        let mut all = Vec::new();
        while let Some(piece) = content.next(7).await? {
            all.extend_from_slice(&piece);
        }
        assert!(content.is_at_end());
        Ok(all)
    }

    #[tokio::test]
    async fn either_source_gives_all_of_it_and_no_more() {
        let text = b"Subject: x\r\n\r\nhello\r\n";
        let bytes = Content::bytes(Arc::from(text.as_slice()));
        assert_eq!(read_all(bytes).await.unwrap(), text);
        let size_bytes = text.len() as u64;
        assert_eq!(read_all(Content::reader(&text[..], size_bytes)).await.unwrap(), text);
        let cut = read_all(Content::reader(&text[..], 10)).await.unwrap();
        assert_eq!(cut, &text[..10]);
        let short = read_all(Content::reader(&text[..], size_bytes + 1)).await;
        assert!(matches!(short, Err(ContentError::Size)));
    }
}
