//! A mail server that takes everything and keeps nothing but numbers: where outgoing mail goes.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use parking_lot::{Condvar, Mutex};

/// How long a client may be silent.
const PEER_WAIT: Duration = Duration::from_secs(60);

/// What it says it can do: what most servers do.
const EXTENSIONS: &[u8] =
    b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n\
    250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n";

/// A running sink. It ends with the process.
pub(crate) struct Sink {
    shared: Arc<Shared>,
    addr: SocketAddr,
}

#[derive(Default)]
struct Shared {
    taken: Mutex<Taken>,
    changed: Condvar,
}

/// What came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    /// Transactions.
    pub(crate) messages: u64,
    /// Recipients of all of them.
    pub(crate) rcpts: u64,
    /// How often a message came, by the number in its subject, for each recipient.
    pub(crate) numbers: HashMap<u64, u64>,
}

impl Sink {
    /// Listens on loopback.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&served);
                // A client that goes away is no fault of the sink.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Ok(Self { shared, addr })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until so many recipients were served.
    pub(crate) fn wait_for(&self, rcpts: u64, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        let mut taken = self.shared.taken.lock();
        while taken.rcpts < rcpts {
            let timed_out = self.shared.changed.wait_until(&mut taken, end).timed_out();
            ensure!(!timed_out, "{} of {rcpts} arrived within {limit:?}", taken.rcpts);
        }
        Ok(())
    }

    /// What came so far.
    pub(crate) fn taken(&self) -> Taken {
        self.shared.taken.lock().clone()
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PEER_WAIT))?;
        let mut stream = BufReader::with_capacity(64 << 10, stream);
        let mut out = b"220 sink.example ESMTP\r\n".to_vec();
        let (mut line, mut rcpts) = (Vec::new(), 0);
        loop {
            // Answers to commands that came together go together. RFC 2920 §3.2.
            if stream.buffer().is_empty() && !out.is_empty() {
                stream.get_mut().write_all(&out)?;
                out.clear();
            }
            line.clear();
            if stream.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            match verb.as_slice() {
                b"EHLO" => out.extend_from_slice(EXTENSIONS),
                b"RCPT" => {
                    rcpts += 1;
                    out.extend_from_slice(b"250 2.1.5 ok\r\n");
                }
                b"DATA" if rcpts == 0 => out.extend_from_slice(b"503 5.5.1 no recipients\r\n"),
                b"DATA" => {
                    out.extend_from_slice(b"354 go on\r\n");
                    stream.get_mut().write_all(&std::mem::take(&mut out))?;
                    let number = read_data(&mut stream, &mut line)?;
                    self.take(number, std::mem::take(&mut rcpts));
                    out.extend_from_slice(b"250 2.0.0 taken\r\n");
                }
                b"QUIT" => {
                    out.extend_from_slice(b"221 2.0.0 bye\r\n");
                    return Ok(stream.get_mut().write_all(&out)?);
                }
                verb => {
                    rcpts = if verb == b"RSET" { 0 } else { rcpts };
                    out.extend_from_slice(b"250 2.0.0 ok\r\n");
                }
            }
        }
    }

    /// Counted before the answer: a client that is killed while it waits for it has sent the message.
    fn take(&self, number: Option<u64>, rcpts: u64) {
        let mut taken = self.taken.lock();
        taken.messages += 1;
        taken.rcpts += rcpts;
        if let Some(number) = number {
            *taken.numbers.entry(number).or_default() += rcpts;
        }
        self.changed.notify_all();
    }
}

/// Reads a message to its end, and returns the number in its subject.
fn read_data(stream: &mut BufReader<TcpStream>, line: &mut Vec<u8>) -> Result<Option<u64>> {
    let mut number = None;
    loop {
        line.clear();
        ensure!(stream.read_until(b'\n', line)? > 0, "gone within a message");
        if line == b".\r\n" {
            return Ok(number);
        }
        if number.is_none() {
            number = subject_number(line);
        }
    }
}

fn subject_number(line: &[u8]) -> Option<u64> {
    let subject = std::str::from_utf8(line).ok()?.strip_prefix("Subject: ")?;
    subject.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(sink: &Sink, commands: &str) -> String {
        let mut stream = TcpStream::connect(sink.addr()).unwrap();
        stream.write_all(commands.as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    }

    const SESSION: &str = "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@b>\r\nDATA\r\n\
        Subject: number 7\r\n\r\nSubject: 8\r\n..\r\n.\r\nQUIT\r\n";

    #[test]
    fn recipients_and_numbers_are_counted() {
        let sink = Sink::start().unwrap();
        let replies = send(&sink, SESSION);
        assert!(replies.ends_with("250 2.0.0 taken\r\n221 2.0.0 bye\r\n"), "{replies}");
        let Taken { messages, rcpts, numbers } = sink.taken();
        assert_eq!((messages, rcpts, numbers[&7], numbers.len()), (1, 2, 2, 1));
    }

    #[test]
    fn nothing_is_taken_without_recipients() {
        let sink = Sink::start().unwrap();
        let replies = send(&sink, "EHLO a\r\nMAIL FROM:<>\r\nDATA\r\nQUIT\r\n");
        assert!(replies.contains("503 "), "{replies}");
        assert_eq!(sink.taken().messages, 0);
    }
}
