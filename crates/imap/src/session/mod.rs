//! The server side of one connection, without sockets, clock or store.
//!
//! Bytes of the client go in by [`Session::receive`], answers of the driver by
//! [`Session::complete`], changes made elsewhere by [`Session::push_change`]; what is to be sent
//! collects in [`Session::output`]. Each call says in an [`Action`] what the driver does next:
//!
//! ```
//! use mox_imap::session::{Action, Op, Outcome, Session, Settings};
//!
//! let mut session = Session::new(Settings { plaintext_allowed: true, ..Settings::default() });
//! session.greet(None);
//! let mut input = &b"a LOGIN mjl@mox.example secret\r\n"[..];
//! let action = session.receive(&mut input);
//! assert!(matches!(action, Action::Perform(Op::Login { .. })));
//! assert_eq!(session.complete(Outcome::Done), Action::Read);
//! assert!(session.output().ends_with(b"] LOGIN done\r\n"));
//! ```
//!
//! Invariant: nothing but the functions of `changes.rs` and of the command that made a change
//! touches the [`View`], and each prints what it changes (RFC 9051 §5.5).

mod append;
mod auth;
mod capability;
mod catenate;
mod changes;
mod complete;
mod compress;
mod context;
mod fetch;
mod filters;
mod input;
mod limit;
mod list;
mod mailbox;
mod metadata;
mod move_messages;
mod multisearch;
mod notify;
mod op;
mod quota;
mod replace;
mod reply;
mod rights;
mod search;
mod search_answer;
mod select;
mod tell;
mod thread;
mod unauthenticate;
mod url_auth;
mod view;

use mox_base::ModSeq;

pub use catenate::CATENATE_PARTS_MAX;
use changes::ChangeQueue;
pub use changes::{Change, PENDING_CHANGES_MAX};
use complete::Pending;
pub use context::{CONTEXT_RESULTS_MAX, CONTEXTS_MAX, UpdateOf, UpdateOp, Updated};
pub use filters::{FILTER_BYTES_MAX, FILTER_DEPTH_MAX};
pub use limit::MESSAGES_MAX;
pub use metadata::choose_metadata;
pub use multisearch::{FoundIn, MultiSearchOp};
pub use notify::{DELAYED_REMOVALS_MAX, NOTIFY_MAILBOXES_MAX};
pub use op::{
    AppendOp, Appended, Copied, CopyOp, Expunged, Facts, FactsOf, FetchOp, Fetched, Found,
    GetMetadataOp, MailboxInfo, MessageState, MetadataFound, Op, Outcome, QresyncData, QuotaUse,
    Refusal, Resync, SearchOp, SelectOp, Snapshot, StoreOp, Stored, Targets, ThreadOp, UrlFetchOp,
    UrlPart, UrlRump,
};
pub use select::{ClientState, SAMPLE_NUMBERS_MAX, client_state};
use tell::{Resume, Telling};
pub use view::View;

use crate::print::{self, Code, Naming, Status};
use crate::types::{Command, Name};
use crate::wire::{CommandReader, Event, Reading};

/// What an idle session keeps allocated for output, in bytes.
const KEEP_OUTPUT_BYTES_MAX: usize = 1_024;

/// What the session knows of its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// TLS is active.
    pub is_tls: bool,
    /// STARTTLS can be done: there is a certificate and TLS is not active.
    pub can_start_tls: bool,
    /// Passwords may be sent without TLS.
    pub plaintext_allowed: bool,
    /// The TLS connection has data to bind SCRAM-PLUS to.
    pub has_channel_binding: bool,
    /// The client has shown a certificate that EXTERNAL may use.
    pub has_client_certificate: bool,
    /// Refuse what the RFC forbids even where it does no harm.
    pub is_pedantic: bool,
    /// The most messages one command works on; [`MESSAGES_MAX`] if `None`. RFC 9738 §3.
    pub message_limit: Option<u32>,
    /// Shown to logged-in clients by ID.
    pub version: String,
}

impl Settings {
    fn allows_plaintext(&self) -> bool {
        self.is_tls || self.plaintext_allowed
    }
}

/// What the driver does next. Before anything else it sends [`Session::output`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Call [`Session::receive`] with more input: what is left of the last, else of the socket.
    Read,
    /// Do this and call [`Session::complete`].
    Perform(Op),
    /// Shake hands, with what is left of the input as the start of it, and call
    /// [`Session::tls_started`].
    StartTls,
    /// Go on with raw deflate in both directions (RFC 1951); what is left of the input is the start
    /// of what the client compressed.
    Compress,
    /// Send the output as the end of our compressed stream and go on plain, from where the client's
    /// ends: behind the command that was received last.
    EndCompression,
    /// Close the connection.
    Close,
}

/// A command that was answered, for logs and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its name; `None` if there is no such command.
    pub name: Option<Name>,
    /// How it went.
    pub status: Status,
}

/// What the client has enabled. RFC 9051 §6.3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enabled {
    /// `IMAP4rev2`: UTF-8 in strings, ESEARCH for SEARCH.
    pub rev2: bool,
    /// `CONDSTORE`, also by using it. RFC 7162 §3.1.
    pub condstore: bool,
    /// `QRESYNC`. RFC 7162 §3.2.3.
    pub qresync: bool,
    /// `UTF8=ACCEPT`: UTF-8 in strings, without the rest of IMAP4rev2. RFC 6855 §3.
    pub utf8_accept: bool,
    /// `METADATA`: tell of changed annotations. RFC 5464 §4.4.
    pub metadata: bool,
    /// `UIDONLY`: no message numbers in either direction. RFC 9586 §3.
    pub uidonly: bool,
}

impl Enabled {
    /// Whether strings and mailbox names may be UTF-8. RFC 9051 §5.1, RFC 6855 §3.
    pub(crate) fn utf8(self) -> bool {
        self.rev2 || self.utf8_accept
    }

    /// How FETCH responses that nobody asked for name their message.
    pub(crate) fn naming(self) -> Naming {
        if self.uidonly { Naming::Uid { with_item: false } } else { Naming::Number }
    }

    /// Whether removals are told by UID. RFC 7162 §3.2.10, RFC 9586 §3.
    pub(crate) fn has_vanished(self) -> bool {
        self.qresync || self.uidonly
    }
}

/// RFC 9051 §3. What only exists in one state lives in it.
#[derive(Debug)]
enum State {
    NotAuthenticated,
    Authenticated,
    Selected(View),
}

impl State {
    fn is_authenticated(&self) -> bool {
        !matches!(self, Self::NotAuthenticated)
    }
}

/// The command being worked on.
#[derive(Clone, Debug)]
struct Tagged {
    tag: String,
    /// As the client spelled it.
    spelling: String,
    name: Name,
    /// The lowest UID worked on, where there were more than one command may work on.
    cut_at: Option<u32>,
}

/// What the session waits for.
#[derive(Debug)]
enum Waiting {
    Command,
    /// A line that answers an AUTHENTICATE challenge.
    AuthLine(Tagged),
    /// DONE.
    Idle(Tagged),
    /// What follows a message of APPEND on its line.
    AppendText(Tagged, Box<append::Append>),
    Outcome(Tagged, Pending),
    /// What must be known to tell the client of changes.
    Telling(Telling, Resume),
    Closed,
}

/// The session of one connection.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    reader: CommandReader,
    out: Vec<u8>,
    state: State,
    enabled: Enabled,
    waiting: Waiting,
    changes: ChangeQueue,
    /// What NOTIFY asks for. Boxed, as most sessions have none.
    notifier: Option<Box<notify::Notifier>>,
    /// How often the client was told anew, as more came while it was told.
    tell_rounds: u8,
    /// A mailbox is being selected: messages of any may be of interest.
    is_selecting: bool,
    /// Capabilities that are not announced to this user.
    hidden: Vec<String>,
    /// COMPRESS is on.
    is_compressed: bool,
    /// Whether the client has sent anything that looks like IMAP.
    has_spoken: bool,
    answered: Option<Answered>,
}

impl Session {
    /// A session on a new connection.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            reader: CommandReader::default(),
            out: Vec::new(),
            state: State::NotAuthenticated,
            enabled: Enabled::default(),
            waiting: Waiting::Command,
            changes: ChangeQueue::default(),
            notifier: None,
            tell_rounds: 0,
            is_selecting: false,
            hidden: Vec::new(),
            is_compressed: false,
            has_spoken: false,
            answered: None,
        }
    }

    /// Writes the greeting; `user` is who is logged in already. RFC 9051 §7.1.4.
    pub fn greet(&mut self, user: Option<&str>) {
        if user.is_some() {
            self.state = State::Authenticated;
        }
        let capabilities = capability::capabilities(self);
        let line = match user {
            Some(user) => {
                format!("PREAUTH [CAPABILITY {capabilities}] mox imap welcomes {user}")
            }
            None => format!("OK [CAPABILITY {capabilities}] mox imap"),
        };
        print::untagged(&mut self.out, &line);
    }

    /// Writes BYE and closes: for limits, time-outs and shutdown. RFC 9051 §7.1.5.
    pub fn bye(&mut self, text: &str) -> Action {
        print::untagged(&mut self.out, &format!("BYE {text}"));
        self.close()
    }

    /// What is to be sent. The driver takes it with [`std::mem::take`] or sends and clears it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Empties the output after it was sent, keeping little memory.
    pub fn clear_output(&mut self) {
        self.out.clear();
        self.out.shrink_to(KEEP_OUTPUT_BYTES_MAX);
    }

    /// Whether the client is logged in: decides time-outs.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.state.is_authenticated()
    }

    /// Whether the client is in IDLE: changes go out at once.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.waiting, Waiting::Idle(_))
    }

    /// Whether the next line from the client is an answer to AUTHENTICATE, not to be logged.
    #[must_use]
    pub fn expects_secret(&self) -> bool {
        matches!(self.waiting, Waiting::AuthLine(_))
    }

    /// The command whose text has come so far, or whole if it was the last input; for the log,
    /// see [`crate::wire::redact`]. Empty where it could be an answer to AUTHENTICATE.
    #[must_use]
    pub fn command_text(&self) -> &[u8] {
        if self.expects_secret() { &[] } else { self.reader.command() }
    }

    /// What has come of the next line.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.reader.reading()
    }

    /// The command that was answered since the last call. A command that closes the connection
    /// without a word, or is still under way, is none.
    pub fn take_answered(&mut self) -> Option<Answered> {
        self.answered.take()
    }

    /// What the client has enabled.
    #[must_use]
    pub fn enabled(&self) -> Enabled {
        self.enabled
    }

    /// The selected mailbox.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        match &self.state {
            State::Selected(view) => Some(view),
            _ => None,
        }
    }

    /// The mod-sequence of the first removal that the client has not been told of: what was removed
    /// then or later may still be fetched by it.
    #[must_use]
    pub fn oldest_removal(&self) -> Option<ModSeq> {
        let lost = self.view().filter(|_| self.changes.is_lost()).map(|view| view.told);
        lost.or_else(|| self.changes.oldest_removal())
    }

    /// Takes bytes of the client from the front of `input`, up to the end of a command.
    pub fn receive(&mut self, input: &mut &[u8]) -> Action {
        let literals = match self.waiting {
            Waiting::Command | Waiting::AppendText(..) => true,
            Waiting::AuthLine(_) | Waiting::Idle(_) => false,
            Waiting::Outcome(..) | Waiting::Telling(..) => {
                return self.driver_fault("input before the outcome");
            }
            Waiting::Closed => return Action::Close,
        };
        match self.reader.read(input, literals) {
            Event::NeedMore => Action::Read,
            Event::TooLong => self.bye("line too long"),
            Event::Literal(literal) => self.literal(literal),
            Event::Complete => self.line(),
        }
    }

    /// Goes on after STARTTLS with what is now known of the connection. RFC 9051 §6.2.1: nothing of
    /// what was said before counts any more.
    pub fn tls_started(&mut self, settings: Settings) {
        let has_spoken = self.has_spoken;
        *self = Self { has_spoken, ..Self::new(settings) };
    }

    fn perform(&mut self, cmd: Tagged, pending: Pending, op: Op) -> Action {
        self.waiting = Waiting::Outcome(cmd, pending);
        Action::Perform(op)
    }

    /// RFC 7162 §3.1: a client that becomes aware of CONDSTORE is told the HIGHESTMODSEQ of the
    /// mailbox it has selected.
    fn enable_condstore(&mut self) {
        if std::mem::replace(&mut self.enabled.condstore, true) {
            return;
        }
        if let State::Selected(view) = &self.state {
            let modseq = view.modseq.get().max(1);
            let code = Some(Code::HighestModSeq(modseq));
            print::tagged(&mut self.out, "*", Status::Ok, code, "after condstore-enabling command");
        }
    }

    fn close(&mut self) -> Action {
        let waiting = std::mem::replace(&mut self.waiting, Waiting::Closed);
        if let Waiting::Telling(_, Resume::Reply(reply)) = waiting {
            // The reply is owed, the changes are not any more.
            self.out.extend_from_slice(&reply);
        }
        Action::Close
    }

    /// The driver broke the order of calls: a bug of ours, not of the peer.
    fn driver_fault(&mut self, what: &str) -> Action {
        debug_assert!(false, "{what}");
        self.bye("[SERVERBUG] internal error")
    }
}
