//! Lines and data on the control socket, for both sides.

use std::io::{self, Write};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

/// What a server says first.
pub const GREETING: &str = "ctlv0";

/// The longest line, in bytes, without its line end.
pub const LINE_BYTES_MAX: usize = 4_096;

/// The most commands on one connection.
pub const COMMANDS_MAX: usize = 10_000;

/// The largest piece of data, in bytes.
pub const PIECE_BYTES_MAX: usize = 1 << 20;

/// The most data in one stream, in bytes.
pub const DATA_BYTES_MAX: u64 = 100 << 20;

/// How long the server waits for a line or for room to write.
pub const LINE_WAIT: Duration = Duration::from_secs(60);

/// The pieces in which data is sent.
const PIECE_BYTES: usize = 64 << 10;

/// Why talking over the control socket failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The other side is gone.
    #[error("control connection closed")]
    Closed,
    /// A line is over [`LINE_BYTES_MAX`].
    #[error("line too long")]
    LineTooLong,
    /// A line is not UTF-8.
    #[error("line is not UTF-8")]
    NotUtf8,
    /// The count of a piece is not a number, or over [`PIECE_BYTES_MAX`].
    #[error("bad count of data")]
    BadCount,
    /// A stream is over [`DATA_BYTES_MAX`].
    #[error("too much data")]
    TooMuchData,
    /// The other side was silent for too long.
    #[error("control connection timed out")]
    TimedOut,
    /// The other side answered with an error.
    #[error("{0}")]
    Refused(String),
    /// The socket failed.
    #[error("control connection")]
    Io(#[from] io::Error),
}

/// One side of a control connection.
#[derive(Debug)]
pub struct Wire<S> {
    stream: BufReader<S>,
    wait: Option<Duration>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Talks over a stream. `wait` bounds each read and write.
    pub fn new(stream: S, wait: Option<Duration>) -> Self {
        Self { stream: BufReader::new(stream), wait }
    }

    /// What has been received and not read yet: for whoever takes the stream over.
    #[must_use]
    pub fn early(&self) -> Vec<u8> {
        self.stream.buffer().to_vec()
    }

    /// The stream itself. What [`Wire::early`] tells of is lost to it.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.stream.into_inner()
    }

    /// Reads a line, without its line end. `None` if the other side closed instead.
    ///
    /// # Errors
    ///
    /// Those of the socket, and of lines that are too long or not text.
    pub async fn line(&mut self) -> Result<Option<String>, WireError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(LINE_BYTES_MAX as u64 + 1);
        bounded(self.wait, limited.read_until(b'\n', &mut line)).await?;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => String::from_utf8(line).map(Some).map_err(|_| WireError::NotUtf8),
            Some(_) if line.len() == LINE_BYTES_MAX => Err(WireError::LineTooLong),
            Some(_) => Err(WireError::Closed),
        }
    }

    /// Reads a line that must come.
    ///
    /// # Errors
    ///
    /// Those of [`Wire::line`], and [`WireError::Closed`].
    pub async fn parameter(&mut self) -> Result<String, WireError> {
        self.line().await?.ok_or(WireError::Closed)
    }

    /// Writes a line. Line ends in it become blanks, so that it stays one.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn write_line(&mut self, line: &str) -> Result<(), WireError> {
        let mut line = line.replace(['\n', '\r'], " ");
        line.push('\n');
        bounded(self.wait, self.stream.write_all(line.as_bytes())).await?;
        bounded(self.wait, self.stream.flush()).await
    }

    /// Answers that all is well.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn write_ok(&mut self) -> Result<(), WireError> {
        self.write_line("ok").await
    }

    /// Waits for `ok`.
    ///
    /// # Errors
    ///
    /// [`WireError::Refused`] with what else was said.
    pub async fn expect_ok(&mut self) -> Result<(), WireError> {
        match self.parameter().await? {
            line if line == "ok" => Ok(()),
            line => Err(WireError::Refused(line)),
        }
    }

    /// Sends data and its end.
    ///
    /// # Errors
    ///
    /// If the other side refuses a piece.
    pub async fn send_data(&mut self, mut data: impl AsyncRead + Unpin) -> Result<(), WireError> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = data.read(&mut piece).await?;
            self.send_piece(piece.get(..count).unwrap_or_default()).await?;
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// Receives data up to its end, at most `bytes_max`.
    ///
    /// # Errors
    ///
    /// If a count is no number, too much comes, or `sink` fails. The other side is to be told by
    /// the caller.
    pub async fn receive_data(
        &mut self,
        bytes_max: u64,
        sink: &mut impl Write,
    ) -> Result<u64, WireError> {
        let mut total = 0_u64;
        loop {
            let count = self.receive_count().await?;
            if count == 0 {
                return Ok(total);
            }
            total += count as u64;
            if total > bytes_max {
                return Err(WireError::TooMuchData);
            }
            sink.write_all(&self.receive_bytes(count).await?)?;
            self.write_ok().await?;
        }
    }

    /// Receives a piece of data, to be answered by [`Wire::write_ok`]. `None` at the end of the data,
    /// which is not answered.
    ///
    /// # Errors
    ///
    /// If its count is no number, or too large.
    pub async fn receive_piece(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        match self.receive_count().await? {
            0 => Ok(None),
            count => self.receive_bytes(count).await.map(Some),
        }
    }

    async fn receive_count(&mut self) -> Result<usize, WireError> {
        parse_count(&self.parameter().await?).ok_or(WireError::BadCount)
    }

    async fn receive_bytes(&mut self, count: usize) -> Result<Vec<u8>, WireError> {
        let mut piece = vec![0; count];
        match bounded(self.wait, self.stream.read_exact(&mut piece)).await {
            Ok(_) => Ok(piece),
            Err(WireError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(WireError::Closed)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a piece of data, at most [`PIECE_BYTES_MAX`], and waits for the `ok`. An empty one ends the
    /// data, without an answer.
    ///
    /// # Errors
    ///
    /// If the other side refuses it.
    pub async fn send_piece(&mut self, piece: &[u8]) -> Result<(), WireError> {
        self.write_line(&piece.len().to_string()).await?;
        if piece.is_empty() {
            return Ok(());
        }
        bounded(self.wait, self.stream.write_all(piece)).await?;
        bounded(self.wait, self.stream.flush()).await?;
        self.expect_ok().await
    }

    /// Bounds each read and write from now on by another wait.
    pub fn set_wait(&mut self, wait: Option<Duration>) {
        self.wait = wait;
    }
}

/// `+1` and an empty line are no counts, though `usize::from_str` takes the first.
fn parse_count(line: &str) -> Option<usize> {
    let is_number = line.bytes().all(|byte| byte.is_ascii_digit());
    line.parse().ok().filter(|count| is_number && *count <= PIECE_BYTES_MAX)
}

async fn bounded<T>(
    wait: Option<Duration>,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, WireError> {
    match wait {
        Some(wait) => Ok(timeout(wait, work).await.map_err(|_| WireError::TimedOut)??),
        None => Ok(work.await?),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[track_caller]
    fn check_count(line: &str, want: Option<usize>) {
        assert_eq!(parse_count(line), want, "{line:?}");
    }

    #[test]
    fn counts_are_plain_numbers() {
        check_count("0", Some(0));
        check_count("12", Some(12));
        check_count(&PIECE_BYTES_MAX.to_string(), Some(PIECE_BYTES_MAX));
        check_count(&(PIECE_BYTES_MAX + 1).to_string(), None);
        check_count("99999999999999999999999", None);
        check_count("", None);
        check_count("+1", None);
        check_count("-1", None);
        check_count("ok", None);
    }

    async fn first_line(sent: &[u8]) -> Result<Option<String>, WireError> {
        let (mut here, there) = duplex(16 << 10);
        here.write_all(sent).await.unwrap();
        drop(here);
        Wire::new(there, None).line().await
    }

    #[tokio::test]
    async fn lines_are_bounded_text() {
        assert_eq!(first_line(b"stop\nmore\n").await.unwrap().unwrap(), "stop");
        assert_eq!(first_line(b"\n").await.unwrap().unwrap(), "");
        assert_eq!(first_line(b"").await.unwrap(), None);
        let mut longest = vec![b'a'; LINE_BYTES_MAX];
        longest.push(b'\n');
        assert_eq!(first_line(&longest).await.unwrap().unwrap().len(), LINE_BYTES_MAX);
        longest.insert(0, b'a');
        assert!(matches!(first_line(&longest).await, Err(WireError::LineTooLong)));
        assert!(matches!(first_line(b"cut").await, Err(WireError::Closed)));
        assert!(matches!(first_line(b"\xff\n").await, Err(WireError::NotUtf8)));
    }

    #[tokio::test]
    async fn a_line_written_is_one_line() {
        let (here, there) = duplex(1_024);
        Wire::new(here, None).write_line("a\nok\r\n").await.unwrap();
        assert_eq!(Wire::new(there, None).line().await.unwrap().unwrap(), "a ok  ");
    }

    #[tokio::test]
    async fn data_arrives_whole() {
        for size in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let data: Vec<u8> = (0..size).map(|index| index.to_le_bytes()[0]).collect();
            let (here, there) = duplex(1_024);
            let (mut sender, mut receiver) = (Wire::new(here, None), Wire::new(there, None));
            let mut received = Vec::new();
            let (sent, count) = tokio::join!(
                sender.send_data(&*data),
                receiver.receive_data(DATA_BYTES_MAX, &mut received)
            );
            sent.unwrap();
            assert_eq!(count.unwrap(), size as u64);
            assert_eq!(received, data);
        }
    }

    async fn received(sent: &[u8], bytes_max: u64) -> Result<u64, WireError> {
        let (mut here, there) = duplex(1 << 10);
        here.write_all(sent).await.unwrap();
        here.shutdown().await.unwrap();
        let mut receiver = Wire::new(there, None);
        receiver.receive_data(bytes_max, &mut io::sink()).await
    }

    #[tokio::test]
    async fn bad_data_is_refused() {
        assert_eq!(received(b"3\nabc2\nde0\n", 5).await.unwrap(), 5);
        assert!(matches!(received(b"3\nabc3\nde", 5).await, Err(WireError::TooMuchData)));
        assert!(matches!(received(b"three\n", 5).await, Err(WireError::BadCount)));
        assert!(matches!(received(b"3\nab", 5).await, Err(WireError::Closed)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_bounded() {
        let (_here, there) = duplex(1_024);
        let line = Wire::new(there, Some(LINE_WAIT)).line().await;
        assert!(matches!(line, Err(WireError::TimedOut)));
    }

    #[tokio::test]
    async fn a_refused_piece_ends_the_sending() {
        let (here, there) = duplex(1 << 20);
        let mut receiver = Wire::new(there, None);
        receiver.write_line("no room").await.unwrap();
        let error = Wire::new(here, None).send_data(&b"data"[..]).await.unwrap_err();
        assert!(matches!(error, WireError::Refused(text) if text == "no room"));
    }

    proptest::proptest! {
        /// Lines and data of any bytes: an answer or an error, and never more than was allowed.
        #[test]
        fn no_bytes_panic_or_pass_the_bound(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            pieces in proptest::collection::vec("[0-9]{1,3}\n[a-z]{0,40}", 0..8),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for sent in [bytes, pieces.concat().into_bytes()] {
                let _line = runtime.block_on(first_line(&sent));
                if let Ok(count) = runtime.block_on(received(&sent, 50)) {
                    proptest::prop_assert!(count <= 50);
                }
            }
        }
    }
}
