//! A client that knows nothing of the server's code. RFC 9051 §2.2.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mox_testkit::certificates::{self, trust_only};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ALL_VERSIONS, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::grammar;
use super::messages::plain;

/// How long an answer may take before a case fails instead of hanging.
const WAIT: Duration = Duration::from_secs(300);

/// What is read at once.
const READ_BYTES: usize = 16 << 10;

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// One connection.
pub(super) struct Peer {
    tcp: TcpStream,
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    tag: u32,
    /// The client has enabled IMAP4rev2, which allows UTF-8 in quoted strings.
    pub(super) is_rev2: bool,
    /// Responses of extensions are expected: lines are not held against the formal syntax.
    pub(super) has_extensions: bool,
}

/// The answer to a command.
#[derive(Debug)]
pub(super) struct Answer {
    /// The responses before the tagged one, literals in place.
    pub(super) untagged: Vec<String>,
    /// `OK`, `NO` or `BAD`.
    pub(super) status: String,
    /// What stands in brackets after it; empty if nothing does.
    pub(super) code: String,
}

impl Answer {
    /// The untagged responses that contain this.
    pub(super) fn with(&self, part: &str) -> Vec<&str> {
        let lines = self.untagged.iter().map(String::as_str);
        lines.filter(|line| line.contains(part)).collect()
    }

    /// The one untagged response that contains this.
    #[track_caller]
    pub(super) fn one(&self, part: &str) -> &str {
        let [line] = self.with(part)[..] else { panic!("not one {part:?} in {self:?}") };
        line
    }

    /// The number of a response code such as UIDNEXT in an untagged OK.
    #[track_caller]
    pub(super) fn number(&self, code: &str) -> u64 {
        let line = self.one(&format!("[{code} "));
        let (_, rest) = line.split_once(&format!("[{code} ")).unwrap();
        rest.split(']').next().unwrap().parse().unwrap()
    }
}

impl Peer {
    /// Connects from that address of loopback.
    pub(super) fn dial(from: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, to.port()));
        socket.connect(&to.into()).unwrap();
        let tcp = TcpStream::from(socket);
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(WAIT)).unwrap();
        let stream = Box::new(tcp.try_clone().unwrap());
        Self { tcp, stream, buffer: Vec::new(), tag: 0, is_rev2: false, has_extensions: false }
    }

    /// Begins TLS, trusting only the certificate in the file.
    pub(super) fn start_tls(&mut self, certificate: &Path) {
        assert_eq!(self.buffer, b"", "bytes before TLS");
        let trusted = trust_only(CertificateDer::from_pem_file(certificate).unwrap());
        let config = certificates::client(trusted, ALL_VERSIONS, None);
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        self.stream = Box::new(StreamOwned::new(tls, self.tcp.try_clone().unwrap()));
    }

    /// Sends bytes as they are.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// More bytes; false at the end of the connection.
    fn read_more(&mut self) -> bool {
        let mut bytes = [0; READ_BYTES];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                count > 0
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("no answer in time, after {:?}", String::from_utf8_lossy(&self.buffer));
            }
            // A peer that closes with our bytes unread resets the connection.
            Err(_) => false,
        }
    }

    /// All that comes until the server closes, responses or not.
    pub(super) fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.buffer)
    }

    /// A whole response with its literals, without its last line end; `None` if the server closed.
    pub(super) fn line_or_end(&mut self) -> Option<String> {
        let mut scanned = 0;
        loop {
            let Some(at) = self.buffer[scanned..].windows(2).position(|pair| pair == b"\r\n")
            else {
                if !self.read_more() {
                    assert_eq!(self.buffer, b"", "a response was cut off");
                    return None;
                }
                continue;
            };
            let end = scanned + at;
            if let Some(size) = grammar::literal_size(&self.buffer[..end]) {
                scanned = end + 2 + size;
                while self.buffer.len() < scanned {
                    assert!(self.read_more(), "a literal was cut off");
                }
                continue;
            }
            let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
            let checked = grammar::check(&line, self.is_rev2);
            if let (false, Err(fault)) = (self.has_extensions, checked) {
                panic!("against RFC 9051 §9: {fault}: {:?}", String::from_utf8_lossy(&line));
            }
            return Some(String::from_utf8_lossy(&line).into_owned());
        }
    }

    /// A whole response.
    #[track_caller]
    pub(super) fn line(&mut self) -> String {
        self.line_or_end().unwrap_or_else(|| panic!("closed"))
    }

    /// Reads a continuation request.
    #[track_caller]
    pub(super) fn wanted(&mut self) {
        let line = self.line();
        assert!(line.starts_with("+ "), "{line:?} instead of a continuation request");
    }

    /// Checks that the server closes without another word.
    #[track_caller]
    pub(super) fn closed(&mut self) {
        assert_eq!(self.line_or_end(), None);
    }

    /// A tag that was not used before.
    pub(super) fn new_tag(&mut self) -> String {
        self.tag += 1;
        format!("t{}", self.tag)
    }

    /// Reads to the end of a command's answer.
    #[track_caller]
    pub(super) fn finish(&mut self, tag: &str) -> Answer {
        let mut untagged = Vec::new();
        loop {
            let line = self.line();
            let Some(reply) = line.strip_prefix(&format!("{tag} ")) else {
                assert!(line.starts_with("* "), "{line:?} in answer to {tag}");
                untagged.push(line);
                continue;
            };
            let (status, text) = reply.split_once(' ').unwrap();
            let code = text.strip_prefix('[').and_then(|text| text.split_once(']'));
            let code = code.map_or_else(String::new, |(code, _)| code.to_owned());
            return Answer { untagged, status: status.to_owned(), code };
        }
    }

    /// Sends a command and reads its answer.
    #[track_caller]
    pub(super) fn ask(&mut self, command: &str) -> Answer {
        let tag = self.new_tag();
        self.send(format!("{tag} {command}\r\n"));
        self.finish(&tag)
    }

    /// Sends a command in parts, each after the first when the server asks for it.
    #[track_caller]
    pub(super) fn ask_parts(&mut self, parts: &[&str]) -> Answer {
        let tag = self.new_tag();
        let (first, more) = parts.split_first().unwrap();
        self.send(format!("{tag} {first}\r\n"));
        for part in more {
            self.wanted();
            self.send(format!("{part}\r\n"));
        }
        self.finish(&tag)
    }

    #[track_caller]
    fn ask_for(&mut self, command: &str, status: &str) -> Answer {
        let answer = self.ask(command);
        assert_eq!(answer.status, status, "{command}: {answer:?}");
        answer
    }

    /// Sends a command that must succeed.
    #[track_caller]
    pub(super) fn ok(&mut self, command: &str) -> Answer {
        self.ask_for(command, "OK")
    }

    /// Sends a command that must be refused.
    #[track_caller]
    pub(super) fn no(&mut self, command: &str) -> Answer {
        self.ask_for(command, "NO")
    }

    /// Sends a command that must not be understood.
    #[track_caller]
    pub(super) fn bad(&mut self, command: &str) -> Answer {
        self.ask_for(command, "BAD")
    }

    /// Sends a command that is legal in another state: NO or BAD, as the server likes.
    #[track_caller]
    pub(super) fn refused(&mut self, command: &str) -> Answer {
        let answer = self.ask(command);
        assert_ne!(answer.status, "OK", "{command}: {answer:?}");
        answer
    }

    /// Appends a message with a synchronizing literal; `head` is mailbox, flags and date.
    #[track_caller]
    pub(super) fn append(&mut self, head: &str, message: &str) -> Answer {
        self.ask_parts(&[&format!("APPEND {head} {{{}}}", message.len()), message])
    }

    /// Appends a message that must be taken; returns its UID.
    #[track_caller]
    pub(super) fn put(&mut self, head: &str, message: &str) -> u64 {
        let answer = self.append(head, message);
        assert_eq!(answer.status, "OK", "{answer:?}");
        answer.code.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Appends so many messages with the subjects 1, 2, 3, …
    #[track_caller]
    pub(super) fn fill(&mut self, mailbox: &str, count: usize) {
        for number in 1..=count {
            self.put(mailbox, &plain(number));
        }
    }

    /// The data of one FETCH item that is a string, of one message.
    #[track_caller]
    pub(super) fn text(&mut self, set: &str, item: &str) -> String {
        let answer = self.ok(&format!("FETCH {set} ({item})"));
        let name = item.replace(".PEEK", "");
        let name = name.split('<').next().unwrap();
        let line = answer.one(" FETCH (").to_owned();
        // Names of header fields may come back in another case.
        let at = line.to_ascii_uppercase().find(&name.to_ascii_uppercase());
        let at = at.unwrap_or_else(|| panic!("no {name} in {line}"));
        grammar::first_string(&line[at + name.len()..])
    }

    /// The flags of a message, sorted.
    #[track_caller]
    pub(super) fn flags(&mut self, seq: u32) -> Vec<String> {
        let answer = self.ok(&format!("FETCH {seq} (FLAGS)"));
        let line = answer.one(&format!("* {seq} FETCH "));
        flags_of(line)
    }
}

/// The flags in a FETCH response, sorted.
#[track_caller]
pub(super) fn flags_of(line: &str) -> Vec<String> {
    let (_, rest) = line.split_once("FLAGS (").unwrap_or_else(|| panic!("no flags in {line}"));
    let list = rest.split(')').next().unwrap();
    let mut flags: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
    flags.sort();
    flags
}
