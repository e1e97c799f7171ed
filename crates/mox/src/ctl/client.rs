//! Talking to a running server.

use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncRead;
use tokio::net::UnixStream;
use tokio::sync::mpsc::Receiver;

use super::socket::SOCKET;
use super::wire::{DATA_BYTES_MAX, GREETING, PIECE_BYTES_MAX, Wire, WireError};

/// A connection to the control socket of a running server.
#[derive(Debug)]
pub struct Client {
    wire: Wire<UnixStream>,
}

impl Client {
    /// Connects to the server with this data directory.
    ///
    /// # Errors
    ///
    /// If none runs, or it speaks another version.
    pub async fn connect(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(SOCKET);
        let stream = UnixStream::connect(&path).await.with_context(|| {
            format!(
                "connect to {}: is the server running? start it with \"mox serve\" or \
                 \"mox localserve\", and give the --config it runs with",
                path.display()
            )
        })?;
        let mut wire = Wire::new(stream, None);
        let greeting = wire.line().await?.context("server closed the control connection")?;
        if greeting != GREETING {
            bail!("server speaks {greeting:?} on its control socket, we speak {GREETING:?}");
        }
        Ok(Self { wire })
    }

    /// Runs a command that answers `ok` at once.
    ///
    /// # Errors
    ///
    /// With what the server answered else.
    pub async fn run(&mut self, command: &str, parameters: &[&str]) -> Result<(), WireError> {
        self.send(command, parameters).await?;
        self.wire.expect_ok().await
    }

    /// Runs a command that answers `ok` and some text.
    ///
    /// # Errors
    ///
    /// With what the server answered else.
    pub async fn text(&mut self, command: &str, parameters: &[&str]) -> Result<String, WireError> {
        self.run(command, parameters).await?;
        let text = self.data().await?;
        String::from_utf8(text).map_err(|_| WireError::NotUtf8)
    }

    /// Sends a command and its parameters, without waiting for an answer.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn send(&mut self, command: &str, parameters: &[&str]) -> Result<(), WireError> {
        for line in [command].iter().chain(parameters) {
            self.wire.write_line(line).await?;
        }
        Ok(())
    }

    /// Reads a line of an answer.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn line(&mut self) -> Result<String, WireError> {
        self.wire.parameter().await
    }

    /// Reads the data of an answer.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn data(&mut self) -> Result<Vec<u8>, WireError> {
        let mut data = Vec::new();
        self.wire.receive_data(DATA_BYTES_MAX, &mut data).await?;
        Ok(data)
    }

    /// Sends data and waits for the `ok` after it.
    ///
    /// # Errors
    ///
    /// With what the server answered else.
    pub async fn send_data(&mut self, data: impl AsyncRead + Unpin) -> Result<(), WireError> {
        self.wire.send_data(data).await?;
        self.wire.expect_ok().await
    }

    /// Sends data as it comes, up to the end of `pieces`, and waits for the `ok` after it.
    ///
    /// # Errors
    ///
    /// With what the server answered else, be it in the middle.
    pub async fn send_pieces(&mut self, pieces: &mut Receiver<Vec<u8>>) -> Result<(), WireError> {
        while let Some(piece) = pieces.recv().await {
            for piece in piece.chunks(PIECE_BYTES_MAX) {
                self.wire.send_piece(piece).await?;
            }
        }
        self.wire.send_piece(&[]).await?;
        self.wire.expect_ok().await
    }

    /// The connection itself, after a command that makes something else of it, and what was
    /// received of that already.
    #[must_use]
    pub fn into_stream(self) -> (UnixStream, Vec<u8>) {
        let early = self.wire.early();
        (self.wire.into_inner(), early)
    }

    /// Asks the server to end, and waits until it has.
    ///
    /// # Errors
    ///
    /// If it refuses.
    pub async fn stop(self) -> Result<(), WireError> {
        self.end("stop").await
    }

    /// Asks the server to be restarted, and waits until it ends for that.
    ///
    /// # Errors
    ///
    /// If it refuses: then it goes on.
    pub async fn restart(self) -> Result<(), WireError> {
        self.end("restart").await
    }

    async fn end(mut self, command: &str) -> Result<(), WireError> {
        self.send(command, &[]).await?;
        match self.wire.line().await {
            Ok(None) | Err(WireError::Closed | WireError::Io(_)) => Ok(()),
            Ok(Some(refusal)) => Err(WireError::Refused(refusal)),
            Err(error) => Err(error),
        }
    }
}
