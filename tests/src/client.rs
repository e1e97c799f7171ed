//! A client that speaks lines.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mox_testkit::certificates::{self, Certified, trust_only};
use rustls::ALL_VERSIONS;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long an answer may take before a test fails instead of hanging.
const WAIT: Duration = Duration::from_secs(300);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Stream for S {}

/// One connection to a server.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// Begins TLS, trusting only the certificate in the file.
    pub(crate) async fn start_tls(self, certificate: &Path) -> Self {
        self.start_tls_as(certificate, None).await
    }

    /// Begins TLS, and shows a certificate of its own if there is one.
    pub(crate) async fn start_tls_as(self, certificate: &Path, own: Option<&Certified>) -> Self {
        self.start_tls_for(certificate, own, &[]).await
    }

    /// The same, and names the protocols it speaks by ALPN.
    pub(crate) async fn start_tls_for(
        self,
        certificate: &Path,
        own: Option<&Certified>,
        protocols: &[&[u8]],
    ) -> Self {
        assert!(self.stream.buffer().is_empty(), "bytes before TLS");
        let trusted = trust_only(CertificateDer::from_pem_file(certificate).unwrap());
        let mut config = certificates::client(trusted, ALL_VERSIONS, own);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let handshake = connector.connect(name, self.stream.into_inner());
        let stream = timeout(WAIT, handshake).await.unwrap().unwrap();
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// The stream itself, for a client that speaks something else. Nothing may have been read ahead.
    pub(crate) fn into_stream(self) -> Box<dyn Stream> {
        assert!(self.stream.buffer().is_empty(), "bytes would be lost");
        self.stream.into_inner()
    }

    /// Sends a line.
    pub(crate) async fn send(&mut self, line: &str) {
        self.send_raw(format!("{line}\r\n").as_bytes()).await;
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends bytes that the server may refuse by closing.
    pub(crate) async fn send_garbage(&mut self, bytes: &[u8]) {
        let _refused = self.stream.write_all(bytes).await;
        let _refused = self.stream.flush().await;
    }

    /// Reads a line; `None` if the server closed.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = timeout(WAIT, self.stream.read_until(b'\n', &mut line)).await;
        match read.expect("the server answers in time") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(String::from_utf8(line).unwrap().trim_end().to_owned()),
        }
    }

    /// Reads so many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timeout(WAIT, self.stream.read_exact(&mut bytes)).await.unwrap().unwrap();
        bytes
    }

    /// Reads a line that must begin so.
    pub(crate) async fn expect(&mut self, prefix: &str) -> String {
        let line = self.line().await.unwrap_or_else(|| panic!("closed instead of {prefix:?}"));
        assert!(line.starts_with(prefix), "{line:?} instead of {prefix:?}");
        line
    }

    /// Checks that the server has closed.
    pub(crate) async fn expect_closed(&mut self) {
        assert_eq!(self.line().await, None);
    }

    /// SMTP: sends a command and reads the reply to it, all its lines, which must have this code.
    pub(crate) async fn reply(&mut self, command: &str, code: &str) -> Vec<String> {
        self.send(command).await;
        let mut lines = Vec::new();
        loop {
            let line = self.line().await.unwrap_or_else(|| panic!("closed after {command:?}"));
            assert!(line.starts_with(code), "{command:?}: {line:?} instead of {code}");
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// SMTP: the code of the next reply, of which nothing else is read.
    pub(crate) async fn code(&mut self) -> String {
        let mut code = [0; 3];
        timeout(WAIT, self.stream.read_exact(&mut code)).await.unwrap().unwrap();
        String::from_utf8(code.to_vec()).unwrap()
    }

    pub(crate) async fn ehlo(&mut self) -> Vec<String> {
        self.reply("EHLO client.example", "250").await
    }

    /// SMTP: sends a message up to the reply to its data.
    pub(crate) async fn send_message(&mut self, from: &str, rcpts: &[&str], message: &str) {
        self.reply(&format!("MAIL FROM:<{from}>"), "250").await;
        for rcpt in rcpts {
            self.reply(&format!("RCPT TO:<{rcpt}>"), "250").await;
        }
        self.reply("DATA", "354").await;
        self.reply(&format!("{message}\r\n."), "250").await;
    }

    /// IMAP: sends a command and reads to the end of its answer, which must be OK. Returns the
    /// untagged lines.
    pub(crate) async fn ask(&mut self, command: &str) -> Vec<String> {
        self.send(command).await;
        let (tag, _) = command.split_once(' ').unwrap();
        self.until_ok(tag).await
    }

    /// IMAP: sends a command and reads to the end of its answer, which must be OK. Returns the untagged
    /// responses, literals in place.
    pub(crate) async fn ask_bytes(&mut self, command: &str) -> Vec<Vec<u8>> {
        self.send(command).await;
        let end = format!("{} ", command.split_once(' ').unwrap().0);
        let mut responses = Vec::new();
        loop {
            let mut response = Vec::new();
            loop {
                let read = self.stream.read_until(b'\n', &mut response);
                assert_ne!(timeout(WAIT, read).await.unwrap().unwrap(), 0, "closed");
                let Some(size) = literal_size(&response) else { break };
                response.extend(self.bytes(size).await);
            }
            if response.starts_with(end.as_bytes()) {
                let text = String::from_utf8_lossy(&response);
                assert!(text[end.len()..].starts_with("OK"), "{text}");
                return responses;
            }
            responses.push(response);
        }
    }

    /// IMAP: waits until the selected mailbox has so many messages. RFC 2177 §3.
    pub(crate) async fn until_exists(&mut self, count: usize) {
        let want = format!("* {count} EXISTS");
        if self.ask("e1 SELECT Inbox").await.contains(&want) {
            return;
        }
        self.send("e2 IDLE").await;
        while self.line().await.unwrap_or_else(|| panic!("closed before {want:?}")) != want {}
        self.send("DONE").await;
        self.until_ok("e2").await;
    }

    /// IMAP: reads to the end of an answer, which must be OK. Returns the untagged lines.
    pub(crate) async fn until_ok(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await.unwrap_or_else(|| panic!("closed, after {lines:?}"));
            if let Some(end) = line.strip_prefix(&format!("{tag} ")) {
                assert!(end.starts_with("OK"), "{line}");
                return lines;
            }
            lines.push(line);
        }
    }

    /// IMAP: logs in as the account of localserve.
    pub(crate) async fn log_in(&mut self, password: &str) {
        self.ask(&format!("l1 LOGIN mox@localhost \"{password}\"")).await;
    }
}

/// The size of the literal that begins behind this line, if one does. RFC 9051 §4.3.
fn literal_size(line: &[u8]) -> Option<usize> {
    let rest = line.strip_suffix(b"}\r\n")?;
    let at = rest.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&rest[at + 1..]).ok()?.parse().ok()
}
