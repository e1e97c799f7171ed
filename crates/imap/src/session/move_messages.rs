//! COPY, MOVE and EXPUNGE.

use super::op::{Copied, CopyOp, Expunged};
use super::rights::{self, Right, Target};
use super::{Action, Op, Pending, Session, State, Tagged, changes, limit};
use crate::print::{self, Code};
use crate::types::{MailboxArg, Name, SetArg};

/// COPY and MOVE. RFC 9051 §6.4.7, RFC 9051 §6.4.8.
pub(super) fn copy(
    session: &mut Session,
    cmd: Tagged,
    set: &SetArg,
    mailbox: &MailboxArg,
) -> Action {
    let (cmd, to) = match session.mailbox_name(cmd, mailbox) {
        Ok(name) => name,
        Err(action) => return action,
    };
    let cmd = match rights::permit(session, cmd, Target::Named(&to), Right::Insert) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    let is_move = matches!(cmd.name, Name::Move | Name::UidMove);
    let right = rights::of_command(cmd.name);
    let mut cmd = match rights::permit(session, cmd, Target::Selected, right) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    let State::Selected(view) = &session.state else { return session.done(cmd) };
    let Ok(mut targets) = view.targets(set, cmd.name.is_uid()) else {
        return session.bad(cmd, None, "no such message number");
    };
    let most = session.settings.message_limit();
    if is_move {
        limit::cut(most, &mut cmd, &mut targets);
    } else if limit::is_over(most, &targets) {
        // RFC 9738 §3.1: a copy is all or nothing (RFC 9051 §6.4.7).
        let code = Code::MessageLimit { limit: most, lowest: None };
        return session.no(cmd, Some(code), "too many messages to copy, try fewer at a time");
    }
    let op = CopyOp { mailbox: view.mailbox, targets, to };
    if is_move {
        session.perform(cmd, Pending::Move, Op::Move(op))
    } else {
        session.perform(cmd, Pending::Copy, Op::Copy(op))
    }
}

/// `COPYUID uidvalidity from to`. RFC 4315 §3: both sets name the messages in the same order.
fn copy_uid(out: &mut Vec<u8>, copied: &Copied) {
    out.extend_from_slice(format!("COPYUID {} ", copied.uidvalidity).as_bytes());
    print::set(out, &copied.from);
    out.push(b' ');
    print::set(out, &copied.to);
}

/// RFC 9051 §6.4.9: a UID that is not there is no error, and neither are only such. Our
/// specification has NO here.
fn nothing_done(session: &mut Session, cmd: Tagged) -> Action {
    session.ok(cmd, None, "no matching messages")
}

pub(super) fn copied(session: &mut Session, cmd: Tagged, copied: &Copied) -> Action {
    if copied.from.is_empty() {
        return nothing_done(session, cmd);
    }
    session.ok_with(cmd, |out| copy_uid(out, copied), "copied")
}

/// RFC 9051 §6.4.8: COPYUID comes before the messages go.
pub(super) fn moved(session: &mut Session, cmd: Tagged, copied: &Copied) -> Action {
    if copied.from.is_empty() {
        return nothing_done(session, cmd);
    }
    session.out.extend_from_slice(b"* OK [");
    copy_uid(&mut session.out, copied);
    session.out.extend_from_slice(b"] moved\r\n");
    if let State::Selected(view) = &mut session.state {
        view.modseq = view.modseq.max(copied.modseq);
        changes::remove(view, &copied.from, session.enabled, &mut session.out);
    }
    let code = session.enabled.qresync.then(|| Code::HighestModSeq(copied.modseq.get().max(1)));
    session.ok(cmd, code, "move")
}

/// EXPUNGE and UID EXPUNGE. RFC 9051 §6.4.3, RFC 4315 §2.1.
pub(super) fn expunge(session: &mut Session, cmd: Tagged, set: Option<&SetArg>) -> Action {
    let mut cmd = match rights::permit(session, cmd, Target::Selected, Right::Expunge) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    let State::Selected(view) = &session.state else { return session.done(cmd) };
    let mut targets = match set.map(|set| view.targets(set, true)) {
        None => view.everything(),
        Some(Ok(targets)) => targets,
        Some(Err(_)) => return session.bad(cmd, None, "no such message"),
    };
    let mailbox = view.mailbox;
    if set.is_some() {
        limit::cut(session.settings.message_limit(), &mut cmd, &mut targets);
    }
    session.perform(cmd, Pending::Expunge, Op::Expunge { mailbox, targets })
}

/// RFC 7162 §3.2.7: with CONDSTORE the reply carries the mod-sequence of the removal.
pub(super) fn expunged(session: &mut Session, cmd: Tagged, expunged: &Expunged) -> Action {
    if let State::Selected(view) = &mut session.state {
        view.modseq = view.modseq.max(expunged.highest_modseq);
        changes::remove(view, &expunged.uids, session.enabled, &mut session.out);
    }
    let modseq = expunged.highest_modseq.get().max(1);
    let code = session.enabled.condstore.then_some(Code::HighestModSeq(modseq));
    session.ok(cmd, code, "expunged")
}
