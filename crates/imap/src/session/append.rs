//! APPEND of one or more messages, and REPLACE, whose data passes by the session.
//!
//! Source: RFC 9051 §6.3.12, RFC 3502 §6.3.11. A message that comes without being waited for
//! (`{n+}`) must be read even if the command has failed already: the command goes on, discarding,
//! and the failure is told at the next point where the client listens.

use mox_base::{MailboxId, MailboxName, Uid};

use super::op::{AppendOp, Appended, MessageState, Refusal};
use super::rights::{self, Right, Target};
use super::{Action, Op, Outcome, Pending, Session, State, Tagged, Waiting, catenate, replace};
use crate::parser::{self, AppendEnd, AppendHead, AppendPlace, AppendStep, AppendStretch};
use crate::print::Code;
use crate::types::{AppendMessage, FlagList};
use crate::wire::Literal;

/// The most messages in one APPEND. Ours; each is staged until the command ends. RFC 9738 §3.1: the
/// refusal tells the limit, and nothing is appended.
const APPEND_MESSAGES_MAX: u32 = 1_000;

/// An APPEND or REPLACE under way.
#[derive(Debug)]
pub(super) struct Append {
    /// `None` if the name was refused.
    pub(super) mailbox: Option<MailboxName>,
    is_replace: bool,
    /// What REPLACE takes away.
    replaces: Option<(MailboxId, Uid)>,
    /// Why it will fail.
    failed: Option<Failed>,
    /// Where the text goes on behind the data of the literal.
    place: AppendPlace,
    /// What of the text has not been done yet, and how it ends.
    steps: std::vec::IntoIter<AppendStep>,
    end: AppendEnd,
    literal: Option<Literal>,
    messages: u32,
    /// The message that is put together.
    pub(super) together: Option<AppendMessage>,
    /// How many parts there were so far, of all messages.
    pub(super) parts: u32,
    /// How much of REPLACE was read in vain.
    dropped_bytes: u64,
}

/// Why a command will fail.
#[derive(Debug)]
pub(super) enum Failed {
    Refused(Refusal),
    /// NO with this text.
    No(&'static str),
    /// BAD with this text.
    Bad(&'static str),
    /// BAD, as message numbers are not to be used any more.
    UidRequired,
}

/// Where it is.
#[derive(Debug)]
pub(super) enum Step {
    /// The driver does something for a message that is put together.
    Part,
    /// The driver says whether the data may come.
    Start(Data, Literal),
    /// The driver reads the data.
    Data,
    /// The driver adds the messages.
    Finish,
    /// The driver drops them; what to answer then.
    Cancel(Cancelled),
}

/// What the data of a literal is.
#[derive(Debug)]
pub(super) enum Data {
    Message(AppendMessage),
    Part { utf8: bool },
}

/// Why the staged messages are dropped.
#[derive(Debug)]
pub(super) enum Cancelled {
    Failed(Failed),
    Syntax(parser::ParseError),
    /// The same, and what follows cannot be understood.
    SyntaxAndClose(parser::ParseError),
    /// A literal is larger than is read for nothing.
    TooBig(Literal),
}

impl Append {
    pub(super) fn fail(&mut self, why: Failed) {
        self.failed.get_or_insert(why);
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.fail(Failed::Refused(refusal));
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    fn count_message(&mut self) {
        self.messages += 1;
        // RFC 8508 §4.7: one message takes the place of one.
        if self.is_replace && self.messages > 1 {
            self.fail(Failed::Bad("one message replaces one"));
        }
        if self.messages > APPEND_MESSAGES_MAX {
            self.refuse(Refusal::TooManyMessages(APPEND_MESSAGES_MAX));
        }
    }
}

/// The command has come up to its end, or to the first literal that is no argument.
pub(super) fn start(
    session: &mut Session,
    cmd: Tagged,
    (head, stretch): (AppendHead, AppendStretch),
    literal: Option<Literal>,
) -> Action {
    let name = MailboxName::parse(&head.mailbox.0);
    let waits = literal.is_none_or(|literal| literal.is_sync);
    let (replaces, failed) = match head.replaces {
        None => (None, None),
        Some(number) => match replace::source(session, number, cmd.name.is_uid()) {
            Ok(source) => (Some(source), None),
            Err(failed) => (None, Some(failed)),
        },
    };
    if let (Err(error), true, None) = (&name, waits, &failed) {
        session.reader.reset();
        return session.no(cmd, Some(Code::Cannot), &error.to_string());
    }
    let may_insert = |name| rights::allows(&session.state, Target::Named(name), Right::Insert);
    let failed = match &name {
        _ if failed.is_some() => failed,
        Err(_) => Some(Failed::Refused(Refusal::BadMailboxName)),
        Ok(name) if may_insert(name) => None,
        Ok(_) => Some(Failed::Refused(Refusal::NoPermission)),
    };
    let append = Box::new(Append {
        mailbox: name.ok(),
        is_replace: head.replaces.is_some(),
        replaces,
        failed,
        place: AppendPlace::Url,
        steps: stretch.steps.into_iter(),
        end: stretch.end,
        literal,
        messages: 0,
        together: None,
        parts: 0,
        dropped_bytes: 0,
    });
    go_on(session, cmd, append)
}

/// The text came up to a further literal, or something that is none.
pub(super) fn next(
    session: &mut Session,
    cmd: Tagged,
    append: Box<Append>,
    literal: Literal,
) -> Action {
    text(session, cmd, append, Some(literal))
}

/// The line ended after data.
pub(super) fn end(session: &mut Session, cmd: Tagged, append: Box<Append>) -> Action {
    text(session, cmd, append, None)
}

fn text(
    session: &mut Session,
    cmd: Tagged,
    mut append: Box<Append>,
    literal: Option<Literal>,
) -> Action {
    let text = session.reader.command();
    match parser::append_next(text, append.place, session.options()) {
        Ok(AppendStretch { steps, end }) => {
            append.steps = steps.into_iter();
            append.end = end;
            append.literal = literal;
            go_on(session, cmd, append)
        }
        Err(error) => {
            session.reader.reset();
            let is_coming = literal.is_some_and(|literal| !literal.is_sync);
            let cancelled = if is_coming { Cancelled::SyntaxAndClose } else { Cancelled::Syntax };
            cancel(session, cmd, append, cancelled(error))
        }
    }
}

/// Does what the text says, up to the next thing that the driver or the client must do.
fn go_on(session: &mut Session, cmd: Tagged, mut append: Box<Append>) -> Action {
    while let Some(step) = append.steps.next() {
        let op = match step {
            AppendStep::Begin(message) => {
                append.count_message();
                catenate::begin(&mut append, message)
            }
            AppendStep::Url(url) => catenate::url(session, &mut append, &url),
            AppendStep::End => catenate::end(&mut append),
        };
        if let Some(op) = op {
            return session.perform(cmd, Pending::Append(append, Step::Part), op);
        }
    }
    let literal = append.literal.take();
    match (std::mem::replace(&mut append.end, AppendEnd::Command), literal) {
        (AppendEnd::Command, None) => finish(session, cmd, append),
        (AppendEnd::Message(message), Some(literal)) => {
            append.count_message();
            // RFC 9051 §6.3.12: an empty message cannot be appended.
            if literal.size == 0 {
                append.refuse(Refusal::EmptyMessage);
            }
            announce(session, cmd, append, Data::Message(message), literal)
        }
        (AppendEnd::Part { utf8 }, Some(literal)) => {
            catenate::count_part(&mut append);
            announce(session, cmd, append, Data::Part { utf8 }, literal)
        }
        (AppendEnd::Url, Some(literal)) => url_literal(session, cmd, append, literal),
        _ => session.driver_fault("a literal at the end of APPEND"),
    }
}

fn announce(
    session: &mut Session,
    cmd: Tagged,
    append: Box<Append>,
    data: Data,
    literal: Literal,
) -> Action {
    match (&append.failed, &append.mailbox) {
        (None, Some(name)) => {
            let op = Op::AppendStart { mailbox: name.clone(), size: literal.size };
            session.perform(cmd, Pending::Append(append, Step::Start(data, literal)), op)
        }
        _ => receive(session, cmd, append, data, literal),
    }
}

/// Lets the data come, or refuses it while that is still possible.
fn receive(
    session: &mut Session,
    cmd: Tagged,
    mut append: Box<Append>,
    data: Data,
    literal: Literal,
) -> Action {
    session.reader.skip_literal();
    let discard = append.failed.is_some();
    if literal.is_sync {
        if let Some(failed) = append.failed.take() {
            return cancel(session, cmd, append, Cancelled::Failed(failed));
        }
        session.continuation(b"");
    } else if discard && append.is_replace {
        append.dropped_bytes = append.dropped_bytes.saturating_add(literal.size);
        if append.dropped_bytes > replace::DROPPED_BYTES_MAX {
            return cancel(session, cmd, append, Cancelled::TooBig(literal));
        }
    }
    let size = literal.size;
    let op = match data {
        Data::Message(AppendMessage { flags, date, utf8 }) => {
            append.place = AppendPlace::Message { utf8 };
            Op::AppendMessage(AppendOp { flags, date, size, discard })
        }
        Data::Part { utf8 } => {
            append.place = AppendPlace::Part { utf8 };
            Op::CatenateText { size, discard }
        }
    };
    session.perform(cmd, Pending::Append(append, Step::Data), op)
}

/// The literal is an argument, and the text goes on at it: what is before it is done.
fn url_literal(
    session: &mut Session,
    cmd: Tagged,
    mut append: Box<Append>,
    literal: Literal,
) -> Action {
    if literal.is_sync
        && let Some(failed) = append.failed.take()
    {
        session.reader.reset();
        return cancel(session, cmd, append, Cancelled::Failed(failed));
    }
    if session.reader.begin_at(literal).is_err() {
        return cancel(session, cmd, append, Cancelled::TooBig(literal));
    }
    if literal.is_sync {
        session.continuation(b"");
    }
    append.place = AppendPlace::Url;
    session.waiting = Waiting::AppendText(cmd, append);
    Action::Read
}

/// The command is complete.
fn finish(session: &mut Session, cmd: Tagged, mut append: Box<Append>) -> Action {
    match (append.failed.take(), append.mailbox.clone()) {
        (None, Some(mailbox)) => {
            let op = match append.replaces {
                None => Op::AppendFinish { mailbox },
                Some((source, uid)) => Op::Replace { mailbox, source, uid },
            };
            session.perform(cmd, Pending::Append(append, Step::Finish), op)
        }
        (failed, _) => {
            let failed = failed.unwrap_or(Failed::Refused(Refusal::BadMailboxName));
            cancel(session, cmd, append, Cancelled::Failed(failed))
        }
    }
}

fn cancel(session: &mut Session, cmd: Tagged, append: Box<Append>, why: Cancelled) -> Action {
    session.perform(cmd, Pending::Append(append, Step::Cancel(why)), Op::AppendCancel)
}

pub(super) fn complete(
    session: &mut Session,
    cmd: Tagged,
    mut append: Box<Append>,
    step: Step,
    outcome: Outcome,
) -> Action {
    let outcome = match (&step, outcome) {
        (Step::Part | Step::Start(..) | Step::Data, Outcome::Refused(refusal)) => {
            append.refuse(refusal);
            Outcome::Done
        }
        (_, outcome) => outcome,
    };
    match (step, outcome) {
        (Step::Part, _) => go_on(session, cmd, append),
        (Step::Start(data, literal), _) => receive(session, cmd, append, data, literal),
        (Step::Data, _) => {
            session.waiting = Waiting::AppendText(cmd, append);
            Action::Read
        }
        (Step::Finish, Outcome::Appended(appended)) => match append.replaces {
            Some((_, uid)) => replace::finished(session, cmd, uid, &appended),
            None => appended_to(session, cmd, &appended),
        },
        (Step::Finish, Outcome::Refused(refusal)) => session.refuse(cmd, &refusal),
        (Step::Cancel(why), _) => cancelled(session, cmd, why),
        _ => session.driver_fault("an outcome of another kind"),
    }
}

/// Nothing is staged any more: answers the command.
fn cancelled(session: &mut Session, cmd: Tagged, why: Cancelled) -> Action {
    match why {
        Cancelled::Failed(Failed::Refused(refusal)) => session.refuse(cmd, &refusal),
        Cancelled::Failed(Failed::No(text)) => session.no(cmd, None, text),
        Cancelled::Failed(Failed::Bad(text)) => session.bad(cmd, None, text),
        Cancelled::Failed(Failed::UidRequired) => session.uid_required(cmd),
        Cancelled::Syntax(error) => session.bad_syntax(cmd, error),
        Cancelled::SyntaxAndClose(error) => {
            let _read = session.bad_syntax(cmd, error);
            session.close()
        }
        Cancelled::TooBig(literal) => session.too_big(cmd, literal),
    }
}

/// `tag OK [APPENDUID uidvalidity uids] appended`. RFC 4315 §3, RFC 3502 §6.3.11.
fn appended_to(session: &mut Session, cmd: Tagged, appended: &Appended) -> Action {
    push_own(session, appended);
    session.ok_with(cmd, |out| append_uid(out, appended), "appended")
}

/// The client has messages of its own to be told of, if they are in the selected mailbox.
pub(super) fn push_own(session: &mut Session, appended: &Appended) {
    let State::Selected(view) = &session.state else { return };
    if view.mailbox != appended.mailbox {
        return;
    }
    let told = view.told;
    if !session.notifier.as_mut().is_some_and(|notifier| notifier.stands_still(told)) {
        let modseq = appended.modseq;
        let state = |uid| MessageState { uid, modseq, flags: FlagList::default() };
        let messages = appended.uids.iter().filter_map(Uid::new).map(state).collect();
        session.changes.push_own(appended.mailbox, messages);
    }
}

/// `APPENDUID uidvalidity uids`. RFC 4315 §3.
pub(super) fn append_uid(out: &mut Vec<u8>, appended: &Appended) {
    out.extend_from_slice(format!("APPENDUID {} ", appended.uidvalidity).as_bytes());
    crate::print::set(out, &appended.uids);
}
