//! REPLACE: a message takes the place of another, all at once.
//!
//! Source: RFC 8508 §3, RFC 8508 §4. What it has in common with APPEND is in `append.rs`.

use mox_base::{MailboxId, Uid};

use super::append::{self, Failed};
use super::op::Appended;
use super::rights::{self, Right};
use super::{Action, Session, State, Tagged};
use crate::print::Code;
use crate::types::{NumSet, SeqNum};

/// What is read for nothing of a REPLACE that has failed already, in bytes. As the original: more
/// ends the connection.
pub(super) const DROPPED_BYTES_MAX: u64 = 1_000_000;

/// The message that is to be replaced. RFC 8508 §3.2: it is of the selected mailbox.
pub(super) fn source(
    session: &Session,
    number: SeqNum,
    by_uid: bool,
) -> Result<(MailboxId, Uid), Failed> {
    if session.enabled.uidonly && !by_uid {
        return Err(Failed::UidRequired);
    }
    // RFC 8508 §4.1: as for EXPUNGE, which is what becomes of the old message.
    if !rights::has(&session.state, Right::Expunge) {
        return Err(Failed::No("mailbox open in read-only mode"));
    }
    let State::Selected(view) = &session.state else { return Err(Failed::No("no mailbox")) };
    let uid = match number {
        SeqNum::Last => Some(view.uids.highest().ok_or(Failed::Bad("no such message number"))?),
        SeqNum::Number(uid) if by_uid => {
            Some(uid.get()).filter(|uid| view.uids.seq_of(*uid).is_some())
        }
        SeqNum::Number(seq) => view.uids.uid_of(seq.get()),
    };
    let uid = uid.and_then(Uid::new).ok_or(Failed::No("no such message"))?;
    Ok((view.mailbox, uid))
}

/// `* OK [APPENDUID uidvalidity uid]`, then the new message and that the old one is gone.
///
/// RFC 8508 §4.3: the client is told the UID before EXPUNGE. We tell it for other mailboxes as well.
pub(super) fn finished(
    session: &mut Session,
    cmd: Tagged,
    old: Uid,
    appended: &Appended,
) -> Action {
    session.out.extend_from_slice(b"* OK [");
    append::append_uid(&mut session.out, appended);
    session.out.extend_from_slice(b"] replacement added\r\n");
    append::push_own(session, appended);
    if let State::Selected(view) = &mut session.state {
        view.modseq = view.modseq.max(appended.modseq);
        let gone = NumSet::range(old.get(), old.get());
        session.changes.push_own_removal(view.mailbox, gone, appended.modseq);
    }
    // RFC 8508 §4.5: as for UID EXPUNGE.
    //
    // Deviation: the original has the code for every client; one that has not enabled CONDSTORE
    // has no use for it.
    let modseq = appended.modseq.get().max(1);
    let code = session.enabled.condstore.then_some(Code::HighestModSeq(modseq));
    session.ok(cmd, code, "replaced")
}
