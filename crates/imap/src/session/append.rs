//! APPEND of one or more messages, whose data passes by the session.
//!
//! Source: RFC 9051 §6.3.12, RFC 3502 §6.3.11. A message that comes without being waited for
//! (`{n+}`) must be read even if the command has failed already: the command goes on, discarding,
//! and the failure is told at the next point where the client listens.

use mox_base::{MailboxName, Uid};

use super::op::{AppendOp, Appended, MessageState, Refusal};
use super::rights::{self, Right, Target};
use super::{Action, Op, Outcome, Pending, Session, State, Tagged, Waiting};
use crate::parser;
use crate::print::Code;
use crate::types::{AppendMessage, FlagList, MailboxArg};
use crate::wire::Literal;

/// The most messages in one APPEND. Ours; each is staged until the command ends. RFC 9738 §3.1: the
/// refusal tells the limit, and nothing is appended.
const APPEND_MESSAGES_MAX: u32 = 1_000;

/// An APPEND under way.
#[derive(Debug)]
pub(super) struct Append {
    /// `None` if the name was refused.
    mailbox: Option<MailboxName>,
    /// Why it will fail.
    failed: Option<Refusal>,
    /// Whether the message just read was inside `UTF8 (`.
    after_utf8: bool,
    messages: u32,
}

/// Where it is.
#[derive(Debug)]
pub(super) enum Step {
    /// The driver says whether the message may come.
    Start(AppendMessage, Literal),
    /// The driver reads the message.
    Message,
    /// The driver adds the messages.
    Finish,
    /// The driver drops them; what to answer then.
    Cancel(Cancelled),
}

/// Why the staged messages are dropped.
#[derive(Debug)]
pub(super) enum Cancelled {
    Refused(Refusal),
    Syntax(parser::ParseError),
    /// The same, and what follows cannot be understood.
    SyntaxAndClose(parser::ParseError),
}

/// The first message is announced.
pub(super) fn start(
    session: &mut Session,
    cmd: Tagged,
    mailbox: &MailboxArg,
    message: AppendMessage,
    literal: Literal,
) -> Action {
    let name = MailboxName::parse(&mailbox.0);
    if let (Err(error), true) = (&name, literal.is_sync) {
        session.reader.reset();
        return session.no(cmd, Some(Code::Cannot), &error.to_string());
    }
    let failed = match &name {
        Err(_) => Some(Refusal::BadMailboxName),
        Ok(name) if rights::allows(&session.state, Target::Named(name), Right::Insert) => None,
        Ok(_) => Some(Refusal::NoPermission),
    };
    let append = Append { mailbox: name.ok(), failed, after_utf8: false, messages: 0 };
    announce(session, cmd, append, message, literal)
}

/// A further message is announced, or something that is none.
pub(super) fn next(session: &mut Session, cmd: Tagged, append: Append, literal: Literal) -> Action {
    let text = session.reader.command();
    match parser::append_next(text, append.after_utf8, session.options()) {
        Ok(Some(message)) => announce(session, cmd, append, message, literal),
        Ok(None) => session.driver_fault("a literal at the end of APPEND"),
        Err(error) => {
            session.reader.reset();
            let cancelled = if literal.is_sync {
                Cancelled::Syntax(error)
            } else {
                Cancelled::SyntaxAndClose(error)
            };
            cancel(session, cmd, append, cancelled)
        }
    }
}

fn announce(
    session: &mut Session,
    cmd: Tagged,
    mut append: Append,
    message: AppendMessage,
    literal: Literal,
) -> Action {
    append.messages += 1;
    if append.messages > APPEND_MESSAGES_MAX {
        append.failed.get_or_insert(Refusal::TooManyMessages(APPEND_MESSAGES_MAX));
    }
    // RFC 9051 §6.3.12: an empty message cannot be appended.
    if literal.size == 0 {
        append.failed.get_or_insert(Refusal::EmptyMessage);
    }
    match (&append.failed, &append.mailbox) {
        (None, Some(name)) => {
            let op = Op::AppendStart { mailbox: name.clone(), size: literal.size };
            session.perform(cmd, Pending::Append(append, Step::Start(message, literal)), op)
        }
        _ => receive(session, cmd, append, message, literal),
    }
}

/// Lets the data come, or refuses it while that is still possible.
fn receive(
    session: &mut Session,
    cmd: Tagged,
    mut append: Append,
    message: AppendMessage,
    literal: Literal,
) -> Action {
    session.reader.skip_literal();
    if literal.is_sync {
        if let Some(refusal) = append.failed.take() {
            return cancel(session, cmd, append, Cancelled::Refused(refusal));
        }
        session.continuation(b"");
    }
    append.after_utf8 = message.utf8;
    let AppendMessage { flags, date, .. } = message;
    let discard = append.failed.is_some();
    let op = Op::AppendMessage(AppendOp { flags, date, size: literal.size, discard });
    session.perform(cmd, Pending::Append(append, Step::Message), op)
}

/// The line ended after a message.
pub(super) fn text(session: &mut Session, cmd: Tagged, mut append: Append) -> Action {
    let text = session.reader.command();
    match parser::append_next(text, append.after_utf8, session.options()) {
        Ok(None) => match (append.failed.take(), append.mailbox.clone()) {
            (None, Some(mailbox)) => {
                let op = Op::AppendFinish { mailbox };
                session.perform(cmd, Pending::Append(append, Step::Finish), op)
            }
            (failed, _) => {
                let refusal = failed.unwrap_or(Refusal::BadMailboxName);
                cancel(session, cmd, append, Cancelled::Refused(refusal))
            }
        },
        // A message needs its literal, and there was none on this line.
        Ok(Some(_)) => session.driver_fault("a message without its literal"),
        Err(error) => cancel(session, cmd, append, Cancelled::Syntax(error)),
    }
}

fn cancel(session: &mut Session, cmd: Tagged, append: Append, why: Cancelled) -> Action {
    session.perform(cmd, Pending::Append(append, Step::Cancel(why)), Op::AppendCancel)
}

pub(super) fn complete(
    session: &mut Session,
    cmd: Tagged,
    mut append: Append,
    step: Step,
    outcome: Outcome,
) -> Action {
    match (step, outcome) {
        (Step::Start(message, literal), outcome) => {
            if let Outcome::Refused(refusal) = outcome {
                append.failed = Some(refusal);
            }
            receive(session, cmd, append, message, literal)
        }
        (Step::Message, outcome) => {
            if let Outcome::Refused(refusal) = outcome {
                append.failed.get_or_insert(refusal);
            }
            session.waiting = Waiting::AppendText(cmd, append);
            Action::Read
        }
        (Step::Finish, Outcome::Appended(appended)) => finish(session, cmd, &appended),
        (Step::Finish, Outcome::Refused(refusal)) => session.refuse(cmd, &refusal),
        (Step::Cancel(Cancelled::Refused(refusal)), _) => session.refuse(cmd, &refusal),
        (Step::Cancel(Cancelled::Syntax(error)), _) => session.bad_syntax(cmd, error),
        (Step::Cancel(Cancelled::SyntaxAndClose(error)), _) => {
            let _read = session.bad_syntax(cmd, error);
            session.close()
        }
        _ => session.driver_fault("an outcome of another kind"),
    }
}

/// `tag OK [APPENDUID uidvalidity uids] appended`. RFC 4315 §3, RFC 3502 §6.3.11.
fn finish(session: &mut Session, cmd: Tagged, appended: &Appended) -> Action {
    if matches!(&session.state, State::Selected(view) if view.mailbox == appended.mailbox) {
        let modseq = appended.modseq;
        let state = |uid| MessageState { uid, modseq, flags: FlagList::default() };
        let messages = appended.uids.iter().filter_map(Uid::new).map(state).collect();
        session.changes.push_own(appended.mailbox, messages);
    }
    let code = |out: &mut Vec<u8>| {
        out.extend_from_slice(format!("APPENDUID {} ", appended.uidvalidity).as_bytes());
        crate::print::set(out, &appended.uids);
    };
    session.ok_with(cmd, code, "appended")
}
