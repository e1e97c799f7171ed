//! FETCH and STORE.

use super::op::{FetchOp, Fetched, MessageState, StoreOp, Stored};
use super::rights::{self, Right, Target};
use super::{Action, Change, Enabled, Op, Pending, Session, State, Tagged, View, changes, limit};
use crate::print::{self, Code, FetchLine, Naming};
use crate::types::{Fetch, FetchItem, NumSet, PartialRange, Store};

/// FETCH. RFC 9051 §6.4.5.
pub(super) fn fetch(session: &mut Session, cmd: Tagged, fetch: Fetch) -> Action {
    let by_uid = cmd.name.is_uid();
    let since = fetch.modifiers.changed_since;
    // RFC 7162 §3.2.6: VANISHED needs UID FETCH, QRESYNC and CHANGEDSINCE.
    if fetch.modifiers.vanished && !(by_uid && session.enabled.qresync && since.is_some()) {
        return session.bad(cmd, None, "vanished without uid fetch, qresync and changedsince");
    }
    // RFC 9394 §3.3: message numbers and PARTIAL do not go together.
    if fetch.modifiers.partial.is_some() && !by_uid {
        return session.bad(cmd, None, "partial without uid fetch");
    }
    let asks_modseq = fetch.items.contains(&FetchItem::ModSeq);
    if asks_modseq || since.is_some() {
        session.enable_condstore();
    }
    let mut cmd = match rights::permit(session, cmd, Target::Selected, Right::Read) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    let may_mark = rights::has(&session.state, Right::WriteFlags);
    let State::Selected(view) = &session.state else { return session.done(cmd) };
    let Ok(mut targets) = view.targets(&fetch.set, by_uid) else {
        return session.bad(cmd, None, "no such message number");
    };
    if let Some(range) = fetch.modifiers.partial {
        targets.uids = part(&targets.exact(), range);
    }
    limit::cut(session.settings.message_limit(), &mut cmd, &mut targets);
    let mark_seen = may_mark && fetch.items.iter().any(FetchItem::marks_seen);
    let op = FetchOp {
        mailbox: view.mailbox,
        uidnext: view.uidnext,
        told: view.told,
        targets,
        changed_since: since,
        with_vanished: fetch.modifiers.vanished,
        with_flags: fetch.items.contains(&FetchItem::Flags) || mark_seen,
        // RFC 7162 §3.2.4: with QRESYNC every UID FETCH answer has it.
        with_modseq: asks_modseq || since.is_some() || (by_uid && session.enabled.qresync),
        mark_seen,
        keeps_going: false,
        naming: match session.enabled.naming() {
            Naming::Number => Naming::Number,
            Naming::Uid { .. } => Naming::Uid { with_item: fetch.items.contains(&FetchItem::Uid) },
        },
        utf8: session.enabled.utf8(),
        items: fetch.items.into_iter().filter(|item| !is_implied(item)).collect(),
    };
    session.perform(cmd, Pending::Fetch, Op::Fetch(op))
}

/// A stretch of a set. RFC 9394 §3.3.
fn part(uids: &NumSet, range: PartialRange) -> NumSet {
    let places = range.of(usize::try_from(uids.len()).unwrap_or(usize::MAX));
    uids.iter().skip(places.start).take(places.len()).collect()
}

/// Items that have a field of their own in [`FetchOp`].
pub(super) fn is_implied(item: &FetchItem) -> bool {
    matches!(item, FetchItem::Uid | FetchItem::Flags | FetchItem::ModSeq)
}

/// The responses are out. What is now `\Seen` is told like a change by others: at once for UID
/// FETCH, with the next command for FETCH.
pub(super) fn fetched(session: &mut Session, cmd: Tagged, fetched: Fetched) -> Action {
    session.changes.supersede_read(&fetched.newer);
    if let State::Selected(view) = &mut session.state
        && !fetched.seen.is_empty()
    {
        view.changed(fetched.seen.iter().map(|message| message.uid.get()));
        // Not by `push_change`: it is this client's own doing, whatever NOTIFY says of others'.
        let mailbox = view.mailbox;
        let change = Change::Flags { mailbox, messages: fetched.seen };
        session.changes.push(change, changes::MessagesOf::One(mailbox));
    }
    if fetched.expunge_issued {
        // RFC 5530 §3: the client should ask what is gone.
        let text = "at least one message was expunged";
        return session.ok(cmd, Some(Code::ExpungeIssued), text);
    }
    session.done(cmd)
}

/// What is kept while the driver stores.
#[derive(Debug)]
pub(super) struct Storing {
    silent: bool,
}

/// STORE. RFC 9051 §6.4.6, RFC 7162 §3.1.3.
pub(super) fn store(session: &mut Session, cmd: Tagged, store: Store) -> Action {
    if store.unchanged_since.is_some() {
        session.enable_condstore();
    }
    let mut cmd = match rights::permit(session, cmd, Target::Selected, Right::WriteFlags) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    let State::Selected(view) = &session.state else { return session.done(cmd) };
    let Ok(mut targets) = view.targets(&store.set, cmd.name.is_uid()) else {
        return session.bad(cmd, None, "no such message number");
    };
    limit::cut(session.settings.message_limit(), &mut cmd, &mut targets);
    let Store { unchanged_since, action, flags, silent, .. } = store;
    let op = StoreOp { mailbox: view.mailbox, targets, unchanged_since, action, flags };
    session.perform(cmd, Pending::Store(Storing { silent }), Op::Store(op))
}

/// Tells the new flags, also of messages that had them already, and what was left alone.
pub(super) fn stored(
    session: &mut Session,
    cmd: Tagged,
    storing: &Storing,
    stored: &Stored,
) -> Action {
    let enabled = session.enabled;
    let mut modified = NumSet::new();
    if let State::Selected(view) = &mut session.state {
        let highest = stored.messages.iter().map(|message| message.modseq).max();
        view.modseq = view.modseq.max(highest.unwrap_or_default());
        view.changed(stored.messages.iter().map(|message| message.uid.get()));
        for message in &stored.messages {
            if !storing.silent {
                changes::print_state(&mut session.out, view, message, enabled);
            } else if enabled.condstore {
                print_modseq(&mut session.out, view, message, enabled);
            }
        }
        for message in &stored.modified {
            changes::print_state(&mut session.out, view, message, enabled);
        }
        session.changes.supersede(&stored.messages, !storing.silent);
        session.changes.supersede(&stored.modified, true);
        modified = stored.modified.iter().map(|message| message.uid.get()).collect();
        if !cmd.name.is_uid() {
            modified = view.uids.seqs_of_uids(&modified);
        }
    }
    if modified.is_empty() {
        return session.done(cmd);
    }
    let code = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"MODIFIED ");
        print::set(out, &modified);
    };
    session.ok_with(cmd, code, "conditional store did not modify all")
}

/// RFC 7162 §3.1.3: the new mod-sequence comes even with .SILENT.
fn print_modseq(out: &mut Vec<u8>, view: &View, message: &MessageState, enabled: Enabled) {
    let uid = message.uid.get();
    let Some(seq) = view.uids.seq_of(uid) else { return };
    let mut line = FetchLine::start_named(out, enabled.naming(), seq, uid);
    line.modseq(message.modseq);
    line.finish();
}
