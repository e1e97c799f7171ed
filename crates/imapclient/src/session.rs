//! A connection to a server: commands and what comes back.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use mox_imap::client::{Event, StreamReader, Value};
use mox_mime::LineEndings;
use mox_net::trace::Kind;
use mox_net::{Conn, Wait};
use mox_transfer::{Body, BodyWriter};

use crate::ClientError;

/// How long a server may be silent while it works on a command. Listing a large folder takes some of
/// them minutes.
pub const COMMAND_WAIT: Duration = Duration::from_mins(10);

const READ: Wait = Wait::new("server", COMMAND_WAIT);
const WRITE: Wait = Wait::new("send", Duration::from_mins(2));

/// The most capabilities that are remembered. Ours.
const CAPABILITIES_MAX: usize = 500;

/// As much of what the server says as is told.
const SHOWN_CHARS: usize = 300;

/// A session with a server.
#[derive(Debug)]
pub struct Session {
    pub(crate) conn: Conn,
    reader: StreamReader,
    tag: u64,
    pub(crate) capabilities: BTreeSet<String>,
    /// The greeting said that we are logged in.
    pub(crate) is_preauth: bool,
    pub(crate) temporary: PathBuf,
    pub(crate) message_bytes_max: u64,
}

/// A folder that is open for reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// UIDs mean something else when this has changed. RFC 9051 §2.3.1.1. 0 if the server has none: then
    /// UIDs of earlier sessions mean nothing.
    pub uidvalidity: u32,
    /// Messages in it.
    pub exists: u32,
}

/// A response, taken out of the connection.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) tag: Vec<u8>,
    /// What follows the tag.
    pub(crate) rest: Vec<u8>,
    /// What follows the tag as values, of untagged data that can be read.
    pub(crate) values: Vec<Value>,
    /// The body in it.
    pub(crate) body: ReplyBody,
}

/// The body of a message in a response.
#[derive(Debug, Default)]
pub(crate) enum ReplyBody {
    #[default]
    None,
    Whole(Body),
    TooLarge(u64),
}

impl Reply {
    /// The text for people, cut to a length.
    pub(crate) fn text(&self) -> String {
        shown(&self.rest)
    }

    fn status(&self) -> Option<Status> {
        let word = self.rest.split(|byte| *byte == b' ').next().unwrap_or_default();
        match word.to_ascii_uppercase().as_slice() {
            b"OK" => Some(Status::Ok),
            b"NO" => Some(Status::No),
            b"BAD" => Some(Status::Bad),
            b"BYE" => Some(Status::Bye),
            b"PREAUTH" => Some(Status::Preauth),
            _ => None,
        }
    }

    /// The words of a response code in brackets, such as `[UIDVALIDITY 7]`.
    pub(crate) fn code(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.rest);
        let code = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let words = code.map(|(code, _)| code).unwrap_or_default().split_ascii_whitespace();
        words.take(CAPABILITIES_MAX).map(str::to_ascii_uppercase).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ok,
    No,
    Bad,
    Bye,
    Preauth,
}

/// Text of the server without control characters.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN_CHARS).collect()
}

impl Session {
    /// Begins on a connection: reads the greeting. RFC 9051 §7.1.
    ///
    /// - `temporary`: a directory for messages too large for memory.
    /// - `message_bytes_max`: larger messages are read and thrown away.
    ///
    /// # Errors
    ///
    /// If the server refuses to serve us, or is none.
    pub async fn begin(
        conn: Conn,
        temporary: PathBuf,
        message_bytes_max: u64,
    ) -> Result<Self, ClientError> {
        let mut session = Self::fresh(conn, temporary, message_bytes_max);
        let greeting = session.reply().await?;
        match greeting.status() {
            Some(Status::Ok) => {}
            Some(Status::Preauth) => session.is_preauth = true,
            Some(Status::Bye) => return Err(ClientError::Closed(greeting.text())),
            _ => return Err(ClientError::NotUnderstood(greeting.text())),
        }
        session.learn(&greeting);
        Ok(session)
    }

    /// A session of which nothing is known.
    pub(crate) fn fresh(conn: Conn, temporary: PathBuf, message_bytes_max: u64) -> Self {
        let (reader, capabilities) = (StreamReader::default(), BTreeSet::new());
        let (tag, is_preauth) = (0, false);
        Self { conn, reader, tag, capabilities, is_preauth, temporary, message_bytes_max }
    }

    /// Whether the server said that it can do something.
    #[must_use]
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    /// Learns capabilities from a code or an untagged response.
    fn learn(&mut self, reply: &Reply) {
        let code = reply.code();
        if let [first, rest @ ..] = code.as_slice()
            && first == "CAPABILITY"
        {
            self.capabilities = rest.iter().cloned().collect();
        }
        if let [Value::Atom(name), rest @ ..] = reply.values.as_slice()
            && name.eq_ignore_ascii_case(b"CAPABILITY")
        {
            let words = rest.iter().take(CAPABILITIES_MAX).filter_map(text_of);
            self.capabilities = words.map(|word| word.to_ascii_uppercase()).collect();
        }
    }

    /// Asks for the capabilities, unless they are known.
    pub(crate) async fn ask_capabilities(&mut self) -> Result<(), ClientError> {
        if self.capabilities.is_empty() {
            self.run("CAPABILITY", "", &mut |_| Ok(())).await?;
        }
        Ok(())
    }

    /// Reads the next response.
    pub(crate) async fn reply(&mut self) -> Result<Reply, ClientError> {
        let mut body = ReplyBody::None;
        let mut writer: Option<LineEndings<BodyWriter>> = None;
        loop {
            let mut input = self.conn.buffered();
            let before = input.len();
            let event = self.reader.next(&mut input)?;
            let used = before - input.len();
            match event {
                Event::More => {
                    self.conn.consume(Kind::Data, used);
                    if self.conn.fill(READ).await? == 0 {
                        return Err(ClientError::Closed(String::new()));
                    }
                }
                Event::Begin(_) => {
                    let spool = BodyWriter::new(&self.temporary, self.message_bytes_max);
                    writer = Some(LineEndings::new(spool));
                    self.conn.consume(Kind::Data, used);
                }
                Event::Body(bytes) => {
                    if let Some(writer) = &mut writer {
                        writer.write_all(bytes)?;
                    }
                    self.conn.consume(Kind::Data, used);
                }
                Event::Response => {
                    self.conn.consume(Kind::Protocol, used);
                    if let Some(writer) = writer.take() {
                        let size = writer.size();
                        body = match writer.into_inner().finish()? {
                            Some(whole) => ReplyBody::Whole(whole),
                            None => ReplyBody::TooLarge(size),
                        };
                    }
                    let response = self.reader.response();
                    let is_data = response.tag() == b"*";
                    let values =
                        if is_data { response.values().unwrap_or_default() } else { Vec::new() };
                    let (tag, rest) = (response.tag().to_vec(), response.rest().to_vec());
                    return Ok(Reply { tag, rest, values, body });
                }
            }
        }
    }

    /// Sends a command without waiting for an answer. Returns its tag.
    pub(crate) async fn send(
        &mut self,
        command: &str,
        arguments: &str,
    ) -> Result<String, ClientError> {
        self.tag += 1;
        let tag = format!("m{}", self.tag);
        let space = if arguments.is_empty() { "" } else { " " };
        let line = format!("{tag} {command}{space}{arguments}\r\n");
        // Only logins have secrets in them.
        let has_secrets = matches!(command, "LOGIN" | "AUTHENTICATE");
        let kind = if has_secrets { Kind::Auth } else { Kind::Protocol };
        self.conn.send(kind, line.as_bytes());
        self.conn.flush(WRITE).await?;
        Ok(tag)
    }

    /// Sends a line that answers the server.
    pub(crate) async fn answer(&mut self, line: &str) -> Result<(), ClientError> {
        self.conn.send(Kind::Auth, format!("{line}\r\n").as_bytes());
        Ok(self.conn.flush(WRITE).await?)
    }

    /// The next response to a command: untagged ones, then `Err` with the tagged one.
    pub(crate) async fn next_of(&mut self, tag: &str) -> Result<Result<Reply, Reply>, ClientError> {
        let reply = self.reply().await?;
        self.learn(&reply);
        if reply.tag == tag.as_bytes() {
            return Ok(Err(reply));
        }
        if reply.tag == b"*" && reply.status() == Some(Status::Bye) {
            return Err(ClientError::Closed(reply.text()));
        }
        Ok(Ok(reply))
    }

    /// Runs a command to its end. The untagged responses go to `each`.
    pub(crate) async fn run(
        &mut self,
        command: &'static str,
        arguments: &str,
        each: &mut dyn FnMut(&Reply) -> Result<(), ClientError>,
    ) -> Result<Reply, ClientError> {
        let tag = self.send(command, arguments).await?;
        loop {
            match self.next_of(&tag).await? {
                Ok(reply) => each(&reply)?,
                Err(last) => return finished(command, last),
            }
        }
    }

    /// Opens a folder for reading only. RFC 9051 §6.3.3.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] if the server does not open it.
    pub async fn examine(&mut self, wire_name: &str) -> Result<Selected, ClientError> {
        let mut selected = Selected::default();
        let last = self
            .run("EXAMINE", &quoted(wire_name), &mut |reply| {
                if let [Value::Atom(number), Value::Atom(word)] = reply.values.as_slice()
                    && word.eq_ignore_ascii_case(b"EXISTS")
                {
                    selected.exists = number_of(number).unwrap_or_default();
                }
                learn_uidvalidity(&mut selected, reply);
                Ok(())
            })
            .await?;
        learn_uidvalidity(&mut selected, &last);
        Ok(selected)
    }

    /// Says good-bye. Whatever comes of it, the session is over.
    pub async fn logout(mut self) {
        let _unheard = self.run("LOGOUT", "", &mut |_| Ok(())).await;
        self.conn.close().await;
    }
}

/// What the tagged response of a command means.
pub(crate) fn finished(command: &'static str, last: Reply) -> Result<Reply, ClientError> {
    match last.status() {
        Some(Status::Ok) => Ok(last),
        _ => Err(ClientError::Refused { command, text: last.text() }),
    }
}

fn learn_uidvalidity(selected: &mut Selected, reply: &Reply) {
    if let [name, number] = reply.code().as_slice()
        && name == "UIDVALIDITY"
    {
        selected.uidvalidity = number.parse().unwrap_or_default();
    }
}

/// The number in an atom.
pub(crate) fn number_of(atom: &[u8]) -> Option<u32> {
    std::str::from_utf8(atom).ok()?.parse().ok()
}

/// The text of a word or string.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Atom(bytes) | Value::String(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        Value::Nil | Value::List(_) => None,
    }
}

/// A quoted string. What cannot be in one was refused before.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}
