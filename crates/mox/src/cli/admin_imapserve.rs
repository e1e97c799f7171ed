//! `mox admin imapserve`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::thread;

use anyhow::{Context, Result};
use clap::Args;

use super::Global;

/// Bytes copied at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Speak IMAP for an account on standard input and output, logged in already.
///
/// For programs that move mail, over SSH for instance: "ssh mail.example mox admin imapserve
/// me@mail.example" is a server to them that asks for no password. The running server does
/// the work. Ends when either side has closed.
#[derive(Debug, Args)]
pub(super) struct AdminImapserve {
    /// Address of the account, also of one whose logins are disabled.
    address: String,
    /// Write to file descriptor 0 instead of standard output: it must be a socket or terminal.
    #[arg(long)]
    fd0: bool,
}

impl AdminImapserve {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let Self { address, fd0 } = self;
        let (server, early) = global.control(async |mut client| {
            client.run("imapserve", &[&address]).await?;
            let (server, early) = client.into_stream();
            let server = server.into_std().context("take over control connection")?;
            Ok((server, early))
        })?;
        server.set_nonblocking(false).context("take over control connection")?;
        let stdin = io::stdin().as_fd().try_clone_to_owned().context("standard input")?;
        let input = File::from(stdin);
        if fd0 {
            let output = input.try_clone().context("file descriptor 0")?;
            carry(server, &early, input, output)
        } else {
            carry(server, &early, input, io::stdout().lock())
        }
    }
}

/// Copies both ways until the server has closed.
fn carry(
    server: UnixStream,
    early: &[u8],
    input: impl Read + Send + 'static,
    mut output: impl Write,
) -> Result<()> {
    let to_server = server.try_clone().context("take over control connection")?;
    // It may be reading for ever when the server closes: the end of the process is its end.
    let _reading = thread::spawn(move || {
        let copied = copy(input, &to_server);
        if let Err(error) = copied {
            tracing::debug!(%error, "copy to server");
        }
        let _closed = to_server.shutdown(Shutdown::Write);
    });
    let told = output.write_all(early).and_then(|()| copy(server, output));
    match told {
        // Whoever read it is gone: so is this session.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => told.context("copy from server"),
    }
}

/// Copies to the end. What was read is passed on at once: somebody waits for it.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = match from.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        to.write_all(bytes)?;
        to.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_both_ways_until_the_server_closes() {
        let (ours, mut server) = UnixStream::pair().unwrap();
        // An input that never ends by itself.
        let (input, mut user) = UnixStream::pair().unwrap();
        let carried = thread::spawn(move || {
            let mut output = Vec::new();
            carry(ours, b"* PREAUTH hi\r\n", input, &mut output).map(|()| output)
        });
        user.write_all(b"a LOGOUT\r\n").unwrap();
        let mut command = [0; 10];
        server.read_exact(&mut command).unwrap();
        assert_eq!(&command, b"a LOGOUT\r\n");
        server.write_all(b"* BYE\r\n").unwrap();
        drop(server);
        let output = carried.join().unwrap().unwrap();
        assert_eq!(output, b"* PREAUTH hi\r\n* BYE\r\n");
    }

    #[test]
    fn the_end_of_input_reaches_the_server() {
        let (ours, mut server) = UnixStream::pair().unwrap();
        let answering = thread::spawn(move || {
            let mut all = Vec::new();
            server.read_to_end(&mut all).unwrap();
            server.write_all(&all).unwrap();
        });
        let long = vec![b'x'; 3 * CHUNK_BYTES + 1];
        let mut output = Vec::new();
        carry(ours, b"", io::Cursor::new(long.clone()), &mut output).unwrap();
        assert!(output == long);
        answering.join().unwrap();
    }
}
