//! Protocol traces: the lines of a session in the log, with secrets and data left out unless asked.
//!
//! The session knows what is a secret; the driver passes that knowledge as a [`Kind`] with each
//! piece it reads or writes. What is off costs one atomic load.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a piece of a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Commands and replies.
    Protocol,
    /// Credentials: shown as `***` below [`TraceLevel::Auth`].
    Auth,
    /// Message content: shown as `...` below [`TraceLevel::Data`].
    Data,
}

/// How much is logged. Each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum TraceLevel {
    /// Nothing.
    #[default]
    Off = 0,
    /// `trace`: commands and replies.
    Protocol = 1,
    /// `traceauth`: and credentials.
    Auth = 2,
    /// `tracedata`: and message content.
    Data = 3,
}

impl TraceLevel {
    /// The level named in the configuration: `trace`, `traceauth`, `tracedata`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "trace" => Some(Self::Protocol),
            "traceauth" => Some(Self::Auth),
            "tracedata" => Some(Self::Data),
            _ => None,
        }
    }

    fn shows(self, kind: Kind) -> bool {
        match kind {
            Kind::Protocol => self >= Self::Protocol,
            Kind::Auth => self >= Self::Auth,
            Kind::Data => self >= Self::Data,
        }
    }
}

/// The level of one package, changed while the server runs. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct TraceSwitch {
    level: Arc<AtomicU8>,
}

impl TraceSwitch {
    /// A switch at `level`.
    #[must_use]
    pub fn new(level: TraceLevel) -> Self {
        let switch = Self::default();
        switch.set(level);
        switch
    }

    /// Changes the level for all sessions that hold this switch.
    pub fn set(&self, level: TraceLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// The level now.
    #[must_use]
    pub fn level(&self) -> TraceLevel {
        match self.level.load(Ordering::Relaxed) {
            0 => TraceLevel::Off,
            1 => TraceLevel::Protocol,
            2 => TraceLevel::Auth,
            _ => TraceLevel::Data,
        }
    }
}

/// Where trace lines go.
pub trait TraceSink: Send + Sync {
    /// Takes one line, `C: …` or `S: …`, without its line end.
    fn line(&self, package: &'static str, cid: u64, line: &str);
}

/// The log: events at level TRACE with target `mox::trace`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSink;

impl TraceSink for LogSink {
    fn line(&self, package: &'static str, cid: u64, line: &str) {
        tracing::trace!(target: "mox::trace", pkg = package, cid, "{line}");
    }
}

/// Bytes of one line that are logged; the rest is counted only.
pub const LINE_BYTES_MAX: usize = 2_048;

/// Lines of one piece that are logged; the rest is left out.
pub const LINES_MAX: usize = 1_000;

/// Logs one session.
#[derive(Clone)]
pub struct Tracer {
    package: &'static str,
    cid: u64,
    switch: TraceSwitch,
    sink: Arc<dyn TraceSink>,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer")
            .field("package", &self.package)
            .field("cid", &self.cid)
            .field("switch", &self.switch)
            .finish_non_exhaustive()
    }
}

impl Tracer {
    /// Logs the session of connection `cid` under the name of a package.
    #[must_use]
    pub fn new(package: &'static str, cid: u64, switch: TraceSwitch) -> Self {
        Self { package, cid, switch, sink: Arc::new(LogSink) }
    }

    /// A tracer that logs nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::new("", 0, TraceSwitch::default())
    }

    /// Sends the lines elsewhere.
    #[must_use]
    pub fn with_sink(self, sink: Arc<dyn TraceSink>) -> Self {
        Self { sink, ..self }
    }

    /// Logs what the client sent.
    pub fn received(&self, kind: Kind, bytes: &[u8]) {
        self.log("C: ", kind, bytes);
    }

    /// Logs what is sent to the client.
    pub fn sent(&self, kind: Kind, bytes: &[u8]) {
        self.log("S: ", kind, bytes);
    }

    fn log(&self, side: &str, kind: Kind, bytes: &[u8]) {
        let level = self.switch.level();
        if level == TraceLevel::Off || bytes.is_empty() {
            return;
        }
        if !level.shows(kind) {
            let mask = if kind == Kind::Auth { "***" } else { "..." };
            self.sink.line(self.package, self.cid, &format!("{side}{mask}"));
            return;
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n').take(LINES_MAX) {
            self.sink.line(self.package, self.cid, &print_line(side, line));
        }
    }
}

fn print_line(side: &str, line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let shown = &line[..line.len().min(LINE_BYTES_MAX)];
    let mut text = String::with_capacity(side.len() + shown.len());
    text.push_str(side);
    for chunk in shown.utf8_chunks() {
        for c in chunk.valid().chars() {
            // A client must not be able to write control characters into a terminal that shows
            // the log.
            if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
        }
        for byte in chunk.invalid() {
            text.extend(std::ascii::escape_default(*byte).map(char::from));
        }
    }
    if shown.len() < line.len() {
        text.push_str(&format!(" [{} bytes more]", line.len() - shown.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl TraceSink for Lines {
        fn line(&self, package: &'static str, cid: u64, line: &str) {
            self.0.lock().push(format!("{package} {cid} {line}"));
        }
    }

    #[track_caller]
    fn check(level: TraceLevel, want: &[&str]) {
        let lines = Arc::new(Lines::default());
        let sink: Arc<dyn TraceSink> = Arc::<Lines>::clone(&lines);
        let tracer = Tracer::new("imap", 7, TraceSwitch::new(level)).with_sink(sink);
        tracer.sent(Kind::Protocol, b"* OK hello\r\n* more\r\n");
        tracer.received(Kind::Auth, b"a LOGIN me secret\r\n");
        tracer.received(Kind::Data, b"Subject: \xff\x1b[31m\r\n");
        assert_eq!(*lines.0.lock(), want, "{level:?}");
    }

    #[test]
    fn secrets_and_data_are_shown_only_at_their_level() {
        let greeting = ["imap 7 S: * OK hello", "imap 7 S: * more"];
        check(TraceLevel::Off, &[]);
        check(TraceLevel::Protocol, &[greeting[0], greeting[1], "imap 7 C: ***", "imap 7 C: ..."]);
        let login = "imap 7 C: a LOGIN me secret";
        check(TraceLevel::Auth, &[greeting[0], greeting[1], login, "imap 7 C: ..."]);
        let data = "imap 7 C: Subject: \\xff\\u{1b}[31m";
        check(TraceLevel::Data, &[greeting[0], greeting[1], login, data]);
    }

    #[test]
    fn the_level_changes_under_a_running_session() {
        let lines = Arc::new(Lines::default());
        let sink: Arc<dyn TraceSink> = Arc::<Lines>::clone(&lines);
        let switch = TraceSwitch::default();
        let tracer = Tracer::new("smtp", 1, switch.clone()).with_sink(sink);
        tracer.received(Kind::Protocol, b"NOOP\r\n");
        switch.set(TraceLevel::from_name("trace").unwrap());
        tracer.received(Kind::Protocol, b"QUIT\r\n");
        assert_eq!(*lines.0.lock(), ["smtp 1 C: QUIT"]);
    }

    #[test]
    fn long_lines_are_cut() {
        let line = print_line("C: ", &[b'a'; LINE_BYTES_MAX + 5]);
        assert!(line.ends_with("a [5 bytes more]"), "{line}");
        assert_eq!(line.len(), 3 + LINE_BYTES_MAX + " [5 bytes more]".len());
    }
}
