//! A client that delivers mail.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mox::localserve::{ADDRESS, PASSWORD};

use crate::imap::PEER_WAIT;

/// A session that has said EHLO.
pub(crate) struct Smtp {
    stream: BufReader<TcpStream>,
    line: String,
}

/// The message as it is sent after DATA: no line is taken for its end (RFC 5321 §4.5.2), and its
/// end follows it.
pub(crate) fn to_data(message: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(message.len() + 8);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            data.push(b'.');
        }
        data.extend_from_slice(line);
    }
    data.extend_from_slice(b".\r\n");
    data
}

impl Smtp {
    /// Connects, up to where mail can be sent.
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PEER_WAIT))?;
        let mut session = Self { stream: BufReader::new(stream), line: String::new() };
        session.expect("220")?;
        session.send(b"EHLO bench.example\r\n")?;
        session.expect("250")?;
        Ok(session)
    }

    /// Sends one message to the account, as made by [`to_data`].
    pub(crate) fn deliver(&mut self, mail_from: &str, data: &[u8]) -> Result<()> {
        self.begin(mail_from)?;
        self.send(data)?;
        self.expect("250")
    }

    /// Logs in as the user of the account. RFC 4616.
    pub(crate) fn login(&mut self) -> Result<()> {
        let response = STANDARD.encode(format!("\0{ADDRESS}\0{PASSWORD}"));
        self.send(format!("AUTH PLAIN {response}\r\n").as_bytes())?;
        self.expect("235")
    }

    /// Submits one message of the account, as made by [`to_data`], to be sent in a day: until then it
    /// stays in the queue (RFC 4865).
    pub(crate) fn submit(&mut self, rcpt_to: &str, data: &[u8]) -> Result<()> {
        self.start(ADDRESS, "HOLDFOR=86400 ", rcpt_to)?;
        self.send(data)?;
        self.expect("250")
    }

    /// Sends a message up to DATA, in one packet (RFC 2920).
    pub(crate) fn begin(&mut self, mail_from: &str) -> Result<()> {
        self.start(mail_from, "", ADDRESS)
    }

    fn start(&mut self, mail_from: &str, parameters: &str, rcpt_to: &str) -> Result<()> {
        // Some subjects are in UTF-8. RFC 6531 §3.4.
        let commands = format!(
            "MAIL FROM:<{mail_from}> {parameters}BODY=8BITMIME SMTPUTF8\r\n\
             RCPT TO:<{rcpt_to}>\r\nDATA\r\n"
        );
        self.send(commands.as_bytes())?;
        self.expect("250")?;
        self.expect("250")?;
        self.expect("354")
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// Reads one reply, which must have this code.
    pub(crate) fn expect(&mut self, code: &str) -> Result<()> {
        loop {
            self.line.clear();
            let read = self.stream.read_line(&mut self.line)?;
            ensure!(read > 0, "the server closed the connection");
            ensure!(self.line.starts_with(code), "unexpected reply: {}", self.line.trim_end());
            if self.line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, want: &str) {
        assert_eq!(String::from_utf8(to_data(message.as_bytes())).unwrap(), want);
    }

    /// RFC 5321 §4.5.2.
    #[test]
    fn no_line_ends_the_data_early() {
        check("a\r\nb\r\n", "a\r\nb\r\n.\r\n");
        check("", ".\r\n");
        check(".\r\n..x\r\n a.\r\n", "..\r\n...x\r\n a.\r\n.\r\n");
    }
}
