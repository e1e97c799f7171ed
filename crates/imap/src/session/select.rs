//! SELECT, EXAMINE, CLOSE and UNSELECT.

use std::sync::Arc;

use mox_base::{Flags, ModSeq};

use super::op::{QresyncData, SelectOp, Snapshot};
use super::rights::{self, Right, Target};
use super::view::View;
use super::{Action, Op, Outcome, Pending, Session, State, Tagged, changes, notify};
use crate::print::{self, Code, ListLine, Status};
use crate::types::{Name, NumSet, Qresync, Select, UidMap, object_id};

/// The longest sample of numbers and UIDs that is looked at. RFC 7162 §3.2.5.2 has clients send few.
pub const SAMPLE_NUMBERS_MAX: u64 = 10_000;

/// What is kept while the driver selects.
#[derive(Debug)]
pub(super) struct Selecting {
    name: mox_base::MailboxName,
}

/// SELECT and EXAMINE. RFC 9051 §6.3.2, RFC 9051 §6.3.3, RFC 7162 §3.2.5.
pub(super) fn select(session: &mut Session, cmd: Tagged, select: Select) -> Action {
    if select.qresync.is_some() && !session.enabled.qresync {
        return session.bad(cmd, None, "qresync not enabled");
    }
    if matches!(session.state, State::Selected(_)) {
        // RFC 9051 §7.1: what follows is about the new mailbox, also if there will be none.
        session.out.extend_from_slice(b"* OK [CLOSED] x\r\n");
        session.state = State::Authenticated;
    }
    session.changes.clear_messages();
    let (cmd, name) = match session.mailbox_name(cmd, &select.mailbox) {
        Ok(name) => name,
        Err(action) => return action,
    };
    let cmd = match rights::permit(session, cmd, Target::Named(&name), Right::Read) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    if session.enabled.uidonly && select.qresync.as_ref().is_some_and(|q| q.sample.is_some()) {
        return session.uid_required(cmd);
    }
    if let Some((seqs, uids)) = select.qresync.as_ref().and_then(|q| q.sample.as_ref()) {
        let increasing = |set: &crate::types::SequenceSet| set.increasing(SAMPLE_NUMBERS_MAX);
        if increasing(seqs).is_none() || increasing(uids).is_none() {
            return session.no(cmd, None, "sample of numbers and uids not increasing");
        }
    }
    if select.condstore {
        session.enable_condstore();
    }
    session.is_selecting = true;
    let op = Op::Select(SelectOp { name: name.clone(), qresync: select.qresync });
    session.perform(cmd, Pending::Select(Selecting { name }), op)
}

/// Tells the client of the mailbox and makes it the session's.
pub(super) fn complete(
    session: &mut Session,
    cmd: Tagged,
    selecting: &Selecting,
    outcome: Outcome,
) -> Action {
    session.is_selecting = false;
    let snapshot = match outcome {
        Outcome::Selected(snapshot) => snapshot,
        Outcome::Refused(refusal) => {
            session.changes.clear_messages();
            return session.refuse(cmd, &refusal);
        }
        _ => return session.driver_fault("an outcome of another kind"),
    };
    let read_only = cmd.name == Name::Examine;
    let Snapshot { mailbox, uidnext, highest_modseq: modseq, .. } = *snapshot;
    describe(session, selecting, &snapshot, read_only);
    let view = View {
        mailbox,
        read_only,
        uidnext,
        modseq,
        told: modseq,
        since: modseq,
        saved: NumSet::new(),
        contexts: None,
        uids: Arc::new(snapshot.uids),
    };
    if let Some(data) = &snapshot.qresync {
        catch_up(session, &view, data);
    }
    session.state = State::Selected(view);
    notify::selected(session);
    let code = if read_only { Code::ReadOnly } else { Code::ReadWrite };
    session.ok(cmd, Some(code), "x")
}

/// The untagged data of SELECT. RFC 9051 §6.3.2, RFC 3501 §6.3.1.
fn describe(session: &mut Session, selecting: &Selecting, snapshot: &Snapshot, read_only: bool) {
    let enabled = session.enabled;
    let out = &mut session.out;
    print::flags_line(out, &snapshot.keywords);
    out.extend_from_slice(b"* OK [PERMANENTFLAGS ");
    // RFC 9051 §6.3.3: where nothing can be changed, no flag is permanent.
    if read_only {
        print::flags(out, Flags::NONE, []);
    } else {
        print::flags(out, Flags::ALL, ["\\*"]);
    }
    out.extend_from_slice(b"] x\r\n");
    if !enabled.rev2 {
        print::untagged(out, "0 RECENT");
    }
    changes::exists(out, snapshot.uids.exists());
    let unseen = snapshot.first_unseen.and_then(|uid| snapshot.uids.seq_of(uid.get()));
    // RFC 9586 §3: a message number says nothing to a client with UIDONLY.
    if let Some(seq) = unseen.filter(|_| !enabled.rev2 && !enabled.uidonly) {
        print::untagged(out, &format!("OK [UNSEEN {seq}] x"));
    }
    print::untagged(out, &format!("OK [UIDVALIDITY {}] x", snapshot.uidvalidity));
    print::untagged(out, &format!("OK [UIDNEXT {}] x", snapshot.uidnext));
    // RFC 8474 §4.2.
    let id = object_id::mailbox_id(snapshot.mailbox);
    print::untagged(out, &format!("OK [MAILBOXID ({id})] x"));
    let line = ListLine { name: selecting.name.as_str(), ..ListLine::default() };
    line.print(out, enabled.utf8());
    // RFC 7162 §3.1.2.1: with every SELECT, whether the client has enabled CONDSTORE or not. Our
    // specification has it only then.
    let code = Some(Code::HighestModSeq(snapshot.highest_modseq.get().max(1)));
    print::tagged(out, "*", Status::Ok, code, "x");
}

/// What the driver is to look up for a client with a stale copy. RFC 7162 §3.2.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientState {
    /// Changes after this are of interest.
    pub since: ModSeq,
    /// UIDs below this are known to be right in the client's copy: no removals among them.
    pub right_below: u32,
    /// The UIDs the client knows; all if `None`.
    pub known_uids: Option<NumSet>,
    /// The client knows a message that was gone before its own mod-sequence.
    pub is_inconsistent: bool,
}

/// Compares the client's sample with the mailbox. RFC 7162 §3.2.5.2.
///
/// `removed_at` gives the mod-sequence at which a UID was removed, if that is known; it is asked at
/// most once.
pub fn client_state(
    qresync: &Qresync,
    uids: &UidMap,
    removed_at: impl FnOnce(u32) -> Option<ModSeq>,
) -> ClientState {
    // No change of ours has 1; messages of another server, from before it had mod-sequences, may, and a
    // client that says 1 knows them.
    let since = qresync.modseq;
    let known_uids = qresync.known_uids.clone();
    let mut state = ClientState { since, right_below: 0, known_uids, is_inconsistent: false };
    let Some((seqs, sample)) = &qresync.sample else { return state };
    let numbers = |set: &crate::types::SequenceSet| set.increasing(SAMPLE_NUMBERS_MAX);
    let (Some(seqs), Some(sample)) = (numbers(seqs), numbers(sample)) else { return state };
    let mut strayed = None;
    for (seq, uid) in seqs.iter().zip(sample.iter()) {
        if uids.uid_of(seq) != Some(uid) {
            strayed = uids.seq_of(uid).is_none().then_some(uid);
            break;
        }
        state.right_below = uid.saturating_add(1);
    }
    if let Some(removed_at) = strayed.and_then(removed_at).filter(|at| *at <= since) {
        // It should have heard of this removal. Start over before it.
        let since = ModSeq::new(removed_at.get().saturating_sub(1)).unwrap_or_default();
        state = ClientState { since, right_below: 0, known_uids: None, is_inconsistent: true };
    }
    state
}

/// FETCH for what changed, then VANISHED (EARLIER). RFC 7162 §3.2.5.1.
fn catch_up(session: &mut Session, view: &View, data: &QresyncData) {
    let state = &data.state;
    if state.is_inconsistent {
        let text = "synchronization inconsistency in client detected. client tried to sync with \
            a uid that was removed at or after the mod-sequence it sent, a full resync is advised";
        print::tagged(&mut session.out, "*", Status::Ok, Some(Code::Alert), text);
    }
    let is_known = |uid: u32| state.known_uids.as_ref().is_none_or(|known| known.contains(uid));
    for message in data.changed.iter().filter(|message| is_known(message.uid.get())) {
        changes::print_state(&mut session.out, view, message, session.enabled);
    }
    let last = u32::try_from(view.uidnext.saturating_sub(1)).unwrap_or(u32::MAX);
    let all = NumSet::range(1, last);
    let known = state.known_uids.as_ref().unwrap_or(&all);
    let gone = if data.history_lost {
        known.intersection(&all).difference(&view.uids.to_set())
    } else {
        data.vanished.intersection(known)
    };
    let gone = gone.intersection(&NumSet::range(state.right_below.max(1), u32::MAX));
    print::vanished_earlier(&mut session.out, &gone);
}

/// CLOSE, which removes what is `\Deleted` without a word, and UNSELECT, which does not.
///
/// RFC 9051 §6.4.1, RFC 9051 §6.4.2.
pub(super) fn close(session: &mut Session, cmd: Tagged) -> Action {
    let expunges = cmd.name == Name::Close && rights::has(&session.state, Right::Expunge);
    let State::Selected(view) = std::mem::replace(&mut session.state, State::Authenticated) else {
        return session.done(cmd);
    };
    session.changes.clear_messages();
    let expunge = expunges.then(|| view.everything());
    session.perform(cmd, Pending::Plain, Op::Unselect { mailbox: view.mailbox, expunge })
}
