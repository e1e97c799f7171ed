//! What comes out of any source of mail, be it a file, an archive or another server.

use std::io;
use std::ops::ControlFlow;

use mox_base::{Flags, Keyword, MailboxName, SpecialUse, ZonedTime};

use crate::body::Body;

/// A message and what its mailbox says about it.
#[derive(Debug)]
pub struct Item {
    /// Where it belongs.
    pub mailbox: MailboxName,
    /// When it was received, if the source tells; else the Date field is used, or now.
    pub received: Option<ZonedTime>,
    /// Its flags.
    pub flags: Flags,
    /// Its keywords, in any order.
    pub keywords: Vec<Keyword>,
    /// Its content.
    pub content: Body,
}

/// One thing found in a source.
#[derive(Debug)]
pub enum Event {
    /// A mailbox, which may be empty. It is told before its messages, if at all.
    Mailbox {
        /// Its name.
        name: MailboxName,
        /// Roles that the source gives it.
        special_use: SpecialUse,
        /// Whether the user is subscribed to it; `None` if the source does not tell.
        subscribed: Option<bool>,
    },
    /// A message.
    Message(Box<Item>),
    /// Something that cannot be taken over, in words for whoever asked for it. The rest goes on.
    Problem(String),
}

/// Takes what is found. Breaks to have no more.
pub type Sink<'a> = dyn FnMut(Event) -> ControlFlow<()> + 'a;

/// Why a source cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Whoever takes the events wants no more.
    #[error("stopped")]
    Stopped,
    /// It is not of the kind it should be.
    #[error("{what}")]
    NotThat {
        /// What was expected.
        what: &'static str,
    },
    /// A bound is reached.
    #[error("too much: {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
    },
    /// It ends too early.
    #[error("ends in the middle")]
    Cut,
    /// It cannot be read.
    #[error("{what}")]
    Io {
        /// What was read.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl SourceError {
    /// Names what could not be read.
    pub(crate) fn io(what: impl ToString) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.to_string(), source }
    }
}

/// Gives an event to the sink.
pub(crate) fn tell(sink: &mut Sink<'_>, event: Event) -> Result<(), SourceError> {
    match sink(event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(SourceError::Stopped),
    }
}

/// Tells of a problem.
pub(crate) fn tell_problem(sink: &mut Sink<'_>, text: String) -> Result<(), SourceError> {
    tell(sink, Event::Problem(text))
}
