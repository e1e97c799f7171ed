//! One session: its connection, its view, and how a command is run and its responses are judged.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mox_testkit::TestRng;
use mox_testkit::mail::Spec;

use super::ledger::Ledger;
use super::responses::{Command, Reply};
use super::view::View;
use crate::imap::Imap;
use crate::model::number_of;

/// Lines of the transcript that are kept, and the bytes of each.
const LINES_KEPT: usize = 80;
const LINE_BYTES_MAX: usize = 400;

/// What all sessions share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    ledger: Mutex<Ledger>,
    /// The next message.
    numbers: AtomicU64,
}

impl Shared {
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

/// What a session has enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Condstore,
    Qresync,
}

/// A copy of a mailbox that is kept while it is not selected. RFC 7162 §3.2.5.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) view: View,
}

/// A client.
pub(super) struct Walker {
    pub(super) index: usize,
    addr: SocketAddr,
    pub(super) rng: TestRng,
    pub(super) kind: Kind,
    pub(super) rev2: bool,
    imap: Option<Imap>,
    pub(super) view: Option<View>,
    /// The name of the selected mailbox.
    pub(super) name: String,
    pub(super) kept: Option<Kept>,
    /// The tag of the IDLE under way.
    pub(super) idle: Option<(String, Command)>,
    /// How long IDLE lasts.
    pub(super) idle_time: Duration,
    commands: u64,
    /// Commands by name.
    pub(super) counts: BTreeMap<&'static str, u64>,
    lines: VecDeque<String>,
    pub(super) shared: Arc<Shared>,
}

/// What is sent.
pub(super) struct Request<'a> {
    /// What it is counted as.
    pub(super) name: &'static str,
    /// Without tag and line end.
    pub(super) bytes: &'a [u8],
}

impl Walker {
    pub(super) fn new(index: usize, addr: SocketAddr, seed: u64, shared: Arc<Shared>) -> Self {
        let kind = match index % 4 {
            0 => Kind::Plain,
            1 => Kind::Condstore,
            _ => Kind::Qresync,
        };
        Self {
            index,
            addr,
            rng: TestRng::new(seed.wrapping_mul(0x1_0001).wrapping_add(index as u64)),
            kind,
            rev2: index.is_multiple_of(3),
            imap: None,
            view: None,
            name: String::new(),
            kept: None,
            idle: None,
            idle_time: Duration::ZERO,
            commands: 0,
            counts: BTreeMap::new(),
            lines: VecDeque::new(),
            shared,
        }
    }

    /// Connects, logs in and enables what it uses.
    pub(super) fn connect(&mut self) -> Result<()> {
        self.disconnect();
        self.imap = Some(Imap::open(self.addr)?);
        let mut names = match self.kind {
            Kind::Plain => Vec::new(),
            Kind::Condstore => vec!["CONDSTORE"],
            Kind::Qresync => vec!["QRESYNC"],
        };
        names.extend(self.rev2.then_some("IMAP4rev2"));
        if !names.is_empty() {
            self.ok("ENABLE", &format!("ENABLE {}", names.join(" ")))?;
        }
        Ok(())
    }

    /// Is gone, without a word to the server.
    pub(super) fn disconnect(&mut self) {
        (self.imap, self.view, self.idle) = (None, None, None);
        self.note("!", b"disconnected");
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        self.disconnect();
        self.kept = None;
        self.lines.clear();
    }

    /// The last lines of the session.
    pub(super) fn transcript(&self) -> String {
        self.lines.iter().map(|line| format!("    {line}\n")).collect()
    }

    fn note(&mut self, who: &str, bytes: &[u8]) {
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        let shown = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
        self.lines.push_back(format!("{who} {}", String::from_utf8_lossy(shown).escape_debug()));
    }

    /// Runs a command given as text.
    pub(super) fn text(&mut self, name: &'static str, text: &str) -> Result<Reply> {
        self.run(&Request { name, bytes: text.as_bytes() })
    }

    /// Runs a command that must succeed.
    pub(super) fn ok(&mut self, name: &'static str, text: &str) -> Result<Reply> {
        let reply = self.text(name, text)?;
        ensure!(reply.is_ok(), "{text}: {}", reply.text);
        Ok(reply)
    }

    /// Sends a command and judges all its responses; only NO and OK are possible replies.
    pub(super) fn run(&mut self, request: &Request<'_>) -> Result<Reply> {
        let (tag, command) = self.begin(request)?;
        self.finish(&tag, &command)
    }

    /// Sends a command.
    pub(super) fn begin(&mut self, request: &Request<'_>) -> Result<(String, Command)> {
        self.commands += 1;
        *self.counts.entry(request.name).or_default() += 1;
        let selects = matches!(request.name, "SELECT" | "EXAMINE");
        let asks_state = selects || request.name == "STATUS";
        let marks = if asks_state { self.shared.ledger().marks() } else { HashMap::new() };
        let command = Command {
            number: self.commands,
            keeps_numbers: matches!(request.name, "FETCH" | "STORE" | "SEARCH"),
            selects,
            leaves: matches!(request.name, "CLOSE" | "UNSELECT"),
            condstore: self.kind != Kind::Plain,
            qresync: self.kind == Kind::Qresync,
            fetches: matches!(request.name, "FETCH" | "UID FETCH"),
            marks,
        };
        let tag = self.imap.as_mut().context("a connection")?.send(request.bytes)?;
        self.note("C", &[tag.as_bytes(), b" ", request.bytes].concat());
        Ok((tag, command))
    }

    /// Sends what continues a command.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.note("C", bytes);
        self.imap.as_mut().context("a connection")?.send_raw(bytes)
    }

    /// Reads up to the `+` that begins IDLE.
    pub(super) fn continued(&mut self, command: &Command) -> Result<()> {
        let mut reply = Reply::default();
        while self.response("+", command, &mut reply)?.is_none() {}
        Ok(())
    }

    /// Reads up to the tagged reply.
    pub(super) fn finish(&mut self, tag: &str, command: &Command) -> Result<Reply> {
        let mut reply = Reply::default();
        let text = loop {
            if let Some(text) = self.response(tag, command, &mut reply)? {
                break text;
            }
        };
        reply.codes(&text)?;
        let is_known = text.starts_with("OK ") || text.starts_with("NO ");
        ensure!(is_known && !text.contains("[SERVERBUG]"), "reply {text}");
        reply.text = text;
        if reply.is_ok() && !command.marks.is_empty() {
            reply.check_marks(command)?;
        }
        let tells = !command.keeps_numbers && !command.leaves;
        if let Some(view) = self.view.as_mut().filter(|_| tells) {
            view.is_told();
        }
        self.learn(&reply)?;
        Ok(reply)
    }

    /// Reads one response; the text after the tag if it has this tag.
    fn response(
        &mut self,
        tag: &str,
        command: &Command,
        reply: &mut Reply,
    ) -> Result<Option<String>> {
        let mut line = Vec::new();
        let imap = self.imap.as_mut().context("a connection")?;
        let (view, shared) = (&mut self.view, &self.shared);
        let taken = imap.next(|response| {
            line.extend_from_slice(response.bytes());
            if response.is_reply(tag) {
                return Ok(Some(String::from_utf8_lossy(response.rest()).into_owned()));
            }
            ensure!(response.tag() == b"*", "a tag that was not sent");
            reply.take(response, command, view, &mut shared.ledger())?;
            Ok(None)
        });
        self.note("S", &line);
        taken?
    }

    /// Compares what came of messages with what others were told.
    fn learn(&mut self, reply: &Reply) -> Result<()> {
        let Some(view) = &self.view else { return Ok(()) };
        for told in reply.told.iter().filter(|told| told.uid != 0) {
            let Some(text) = &told.text else { continue };
            let number = number_of(String::from_utf8_lossy(text).as_bytes())
                .context("a message without its number")?;
            self.shared.ledger().number(view.uidvalidity, told.uid, number)?;
            let is_whole =
                text.windows(4).any(|end| end == b"\r\n\r\n") && !text.ends_with(b"\r\n\r\n");
            ensure!(!is_whole || *text == message(number), "message {number} has another text");
        }
        Ok(())
    }
}

/// The message with a number.
pub(super) fn message(number: u64) -> Vec<u8> {
    let mut spec = Spec::number(number);
    spec.size_bytes = 1_600 + usize::try_from(number % 700).unwrap_or_default();
    spec.build()
}
