//! Changes made by others, kept until the client may be told.

use std::collections::{HashMap, VecDeque};

use mox_base::{Keyword, MailboxId, MailboxName, ModSeq, SpecialUse, Uid};

use super::op::MessageState;
use super::view::View;
use super::{Enabled, metadata};
use crate::print::{self, FetchLine, ListLine};
use crate::types::{EventSet, NumSet};

/// The most changes kept for a session, counted in messages added or changed and in events.
pub const PENDING_CHANGES_MAX: usize = 10_000;

/// Something that happened in the account, by another session or a delivery.
///
/// They must be given in the order in which they were committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// New messages, ascending.
    Added {
        /// Where.
        mailbox: MailboxId,
        /// Which.
        messages: Vec<MessageState>,
    },
    /// Messages are gone.
    Removed {
        /// Where.
        mailbox: MailboxId,
        /// Which.
        uids: NumSet,
        /// The mod-sequence of the removal.
        modseq: ModSeq,
    },
    /// Flags changed.
    Flags {
        /// Where.
        mailbox: MailboxId,
        /// Which, as they are now.
        messages: Vec<MessageState>,
    },
    /// A new mailbox.
    MailboxAdded {
        /// Its name.
        name: MailboxName,
        /// Whether the name is subscribed.
        is_subscribed: bool,
        /// Its special uses.
        special_use: SpecialUse,
    },
    /// A mailbox is gone.
    MailboxRemoved(MailboxName),
    /// A mailbox has a new name.
    MailboxRenamed {
        /// The name it had.
        from: MailboxName,
        /// The name it has.
        to: MailboxName,
        /// Whether the new name is subscribed.
        is_subscribed: bool,
        /// Its special uses.
        special_use: SpecialUse,
    },
    /// A name is now subscribed, or no longer.
    Subscription {
        /// The name.
        name: MailboxName,
        /// Whether it is subscribed.
        is_subscribed: bool,
        /// Whether there is such a mailbox.
        exists: bool,
    },
    /// New keywords are in use. Told only after NOTIFY.
    Keywords {
        /// Where.
        mailbox: MailboxId,
        /// All of them now.
        keywords: Vec<Keyword>,
    },
    /// A mailbox has other special uses. Told only after NOTIFY.
    SpecialUse {
        /// Its name.
        name: MailboxName,
        /// Whether the name is subscribed.
        is_subscribed: bool,
        /// Its special uses now.
        special_use: SpecialUse,
    },
    /// Annotations were set or removed. Told after ENABLE METADATA, or NOTIFY. RFC 5464 §4.4.2.
    Metadata {
        /// Of which mailbox; `None` for the account.
        mailbox: Option<MailboxName>,
        /// Their names.
        names: Vec<String>,
    },
    /// There were more changes than the sender could keep; some are lost.
    Overflow,
}

impl Change {
    /// Whether a client hears of it only if it has asked for it.
    pub(super) fn is_for_notify(&self, enabled: Enabled) -> bool {
        match self {
            Self::Keywords { .. } | Self::SpecialUse { .. } => true,
            Self::Metadata { .. } => !enabled.metadata,
            _ => false,
        }
    }
}

/// The queue of one session.
#[derive(Debug, Default)]
pub(super) struct ChangeQueue {
    /// Messages added, with whether the client gets to hear their flags.
    added: Vec<(MailboxId, MessageState, bool)>,
    flags: Vec<(MailboxId, MessageState)>,
    removed: Vec<(MailboxId, NumSet, ModSeq)>,
    mailboxes: VecDeque<Change>,
    /// All keywords of the mailbox, if there are new ones.
    keywords: Option<(MailboxId, Vec<Keyword>)>,
    /// States that the client was told by FETCH, read ahead of the changes that led to them.
    read: HashMap<Uid, ModSeq>,
    /// Changes of messages were lost: the view must be compared with the mailbox.
    lost: bool,
}

impl ChangeQueue {
    /// Keeps a change if it concerns the session: messages of the selected mailbox, or of any while
    /// one is being selected (`selected` is `None` then), and all mailboxes.
    pub(super) fn push(&mut self, change: Change, of: MessagesOf) {
        match change {
            Change::Added { mailbox, messages } => {
                if of.wants(mailbox) && self.has_room(messages.len()) {
                    let new = messages.into_iter().map(|message| (mailbox, message, true));
                    self.added.extend(new);
                }
            }
            Change::Flags { mailbox, messages } => {
                if of.wants(mailbox) && self.has_room(messages.len()) {
                    self.flags.extend(messages.into_iter().map(|message| (mailbox, message)));
                }
            }
            Change::Removed { mailbox, uids, modseq } => {
                if of.wants(mailbox) && self.has_room(1) {
                    self.removed.push((mailbox, uids, modseq));
                }
            }
            Change::Keywords { mailbox, keywords } => {
                if of.wants(mailbox) {
                    self.keywords = Some((mailbox, keywords));
                }
            }
            Change::Overflow => self.lose(),
            other => {
                if self.mailboxes.len() < PENDING_CHANGES_MAX {
                    self.mailboxes.push_back(other);
                }
            }
        }
    }

    /// Keeps messages this session added itself, whose flags its client knows.
    pub(super) fn push_own(&mut self, mailbox: MailboxId, messages: Vec<MessageState>) {
        self.added.extend(messages.into_iter().map(|message| (mailbox, message, false)));
    }

    /// Keeps a removal by this session itself, to be told behind messages that it added.
    pub(super) fn push_own_removal(&mut self, mailbox: MailboxId, uids: NumSet, modseq: ModSeq) {
        self.removed.push((mailbox, uids, modseq));
    }

    /// Notes that the client has been told the state of these messages of the selected mailbox, by
    /// the outcome of its own command: what waits of older states must not come after it.
    ///
    /// - `said`: whether the flags were sent, or the client only knows that it was obeyed.
    pub(super) fn supersede(&mut self, messages: &[MessageState], said: bool) {
        if self.flags.is_empty() || messages.is_empty() {
            return;
        }
        let newest: HashMap<Uid, &MessageState> =
            messages.iter().map(|message| (message.uid, message)).collect();
        let newer = |old: &MessageState| {
            newest.get(&old.uid).filter(|new| new.modseq > old.modseq).copied()
        };
        if said {
            self.flags.retain(|(_, old)| newer(old).is_none());
            return;
        }
        for (_, old) in &mut self.flags {
            if let Some(new) = newer(old) {
                *old = new.clone();
            }
        }
    }

    /// Notes that the client has been told flags as of these mod-sequences by FETCH.
    ///
    /// RFC 7162 §3.1: the mod-sequence of a message only grows, and a client that keeps the highest
    /// would take what is older for a fault.
    ///
    /// They count until the changes have caught up: what others commit can be read before the
    /// session is given the change.
    pub(super) fn supersede_read(&mut self, read: &[(Uid, ModSeq)]) {
        for (uid, modseq) in read.iter().take(PENDING_CHANGES_MAX) {
            let known = self.read.entry(*uid).or_default();
            *known = (*known).max(*modseq);
        }
        if self.read.len() > PENDING_CHANGES_MAX {
            // Too much to keep; what is then told out of order is put right by what follows.
            self.read = HashMap::new();
        }
    }

    fn has_room(&mut self, more: usize) -> bool {
        let kept = self.added.len() + self.flags.len() + self.removed.len();
        if self.lost || kept + more > PENDING_CHANGES_MAX {
            self.lose();
            return false;
        }
        true
    }

    /// Gives up on changes of messages: the view must be compared with the mailbox.
    pub(super) fn lose(&mut self) {
        self.clear_messages();
        self.lost = true;
    }

    /// Whether changes of messages were lost since the last [`ChangeQueue::clear_messages`].
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Forgets changes of messages: another mailbox is selected, or the view is made anew.
    pub(super) fn clear_messages(&mut self) {
        self.added = Vec::new();
        self.flags = Vec::new();
        self.removed = Vec::new();
        self.read = HashMap::new();
        self.keywords = None;
        self.lost = false;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Drops what the client does not want of the mailbox just selected. Returns whether it misses
    /// something by that.
    pub(super) fn keep_only(&mut self, mailbox: MailboxId, events: EventSet) -> bool {
        let is_missed = |of: &MailboxId| *of == mailbox;
        let mut misses = false;
        if !events.contains(EventSet::MESSAGE_NEW) {
            misses |= self.added.iter().any(|(of, ..)| is_missed(of));
            misses |= self.removed.iter().any(|(of, ..)| is_missed(of));
            (self.added, self.removed) = (Vec::new(), Vec::new());
        }
        if !events.contains(EventSet::FLAG_CHANGE) {
            misses |= self.flags.iter().any(|(of, _)| is_missed(of));
            (self.flags, self.keywords) = (Vec::new(), None);
        }
        misses
    }

    /// Whether names of mailboxes changed.
    pub(super) fn has_mailboxes(&self) -> bool {
        !self.mailboxes.is_empty()
    }

    /// Whether there are changes of messages, `without_removals` other than those.
    pub(super) fn has_messages(&self, without_removals: bool) -> bool {
        self.lost
            || !self.added.is_empty()
            || !self.flags.is_empty()
            || self.keywords.is_some()
            || (!self.removed.is_empty() && !without_removals)
    }

    /// Whether messages came that the client has not been told of.
    pub(super) fn has_added(&self) -> bool {
        !self.added.is_empty()
    }

    /// How many removals wait.
    pub(super) fn removals(&self) -> usize {
        self.removed.len()
    }

    /// Whether there is no room for another name that changed.
    pub(super) fn is_full(&self) -> bool {
        self.mailboxes.len() >= PENDING_CHANGES_MAX
    }

    /// The changes of mailboxes, to be told.
    pub(super) fn take_mailboxes(&mut self) -> VecDeque<Change> {
        std::mem::take(&mut self.mailboxes)
    }

    /// The mod-sequence of the first removal the client has not been told of.
    pub(super) fn oldest_removal(&self) -> Option<ModSeq> {
        self.removed.iter().map(|(_, _, modseq)| *modseq).min()
    }

    /// Tells the client of new messages: their number, then each, unless they are to be fetched: then
    /// they come back.
    ///
    /// To be told before flags and removals: the numbers in all three are those before the removals,
    /// so that the client's view is right at each line.
    pub(super) fn flush_added(
        &mut self,
        view: &mut View,
        enabled: Enabled,
        to_fetch: bool,
        out: &mut Vec<u8>,
    ) -> NumSet {
        let mut added = std::mem::take(&mut self.added);
        // Our own messages were queued after those of others that may have come later.
        added.sort_by_key(|(_, message, _)| message.uid);
        added.retain(|(mailbox, message, _)| *mailbox == view.mailbox && view.add(message.uid));
        if added.is_empty() {
            return NumSet::new();
        }
        exists(out, view.uids.exists());
        let by_others = added.iter().filter(|(.., by_others)| *by_others);
        for (_, message, _) in by_others.clone().filter(|_| !to_fetch) {
            print_state(out, view, message, enabled);
        }
        let new = by_others.filter(|_| to_fetch).map(|(_, message, _)| message.uid.get()).collect();
        for (_, message, _) in &added {
            view.told(message.modseq);
        }
        new
    }

    /// Tells the client of flags, and of the keywords in them.
    pub(super) fn flush_flags(&mut self, view: &mut View, enabled: Enabled, out: &mut Vec<u8>) {
        if let Some((_, keywords)) = self.keywords.take().filter(|(of, _)| *of == view.mailbox) {
            print::flags_line(out, &keywords);
        }
        let mut flags = std::mem::take(&mut self.flags);
        // What the client was told already must not be followed by what was before it.
        flags.retain(|(_, old)| {
            let read = self.read.get(&old.uid).copied().unwrap_or_default();
            old.modseq > read.max(view.since)
        });
        // What this session marked as seen was queued after changes that may be later.
        flags.sort_by_key(|(_, message)| message.modseq);
        // Of each message only the last: the client may have read a later state than the others.
        let newest: HashMap<(MailboxId, Uid), ModSeq> =
            flags.iter().map(|(mailbox, m)| ((*mailbox, m.uid), m.modseq)).collect();
        flags.retain(|(mailbox, m)| newest.get(&(*mailbox, m.uid)) == Some(&m.modseq));
        for (mailbox, message) in flags {
            if mailbox == view.mailbox {
                view.told(message.modseq);
                print_state(out, view, &message, enabled);
            }
        }
        // Changes come in their order: none before this is still to come.
        self.read.retain(|_, read| *read > view.told);
    }

    /// Tells the client of removals: one pass over the queue and the view.
    pub(super) fn flush_removed(&mut self, view: &mut View, enabled: Enabled, out: &mut Vec<u8>) {
        let removed = std::mem::take(&mut self.removed);
        let ours = removed.iter().filter(|(mailbox, ..)| *mailbox == view.mailbox);
        let highest = ours.clone().map(|(_, _, modseq)| *modseq).max();
        let uids = NumSet::from_ranges(ours.flat_map(|(_, uids, _)| uids.ranges().to_vec()));
        view.told(highest.unwrap_or_default());
        remove(view, &uids, enabled, out);
    }
}

/// Whose messages a session wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessagesOf {
    /// Nothing is selected.
    None,
    /// The selected mailbox.
    One(MailboxId),
    /// One is being selected, it is not yet known which.
    All,
}

impl MessagesOf {
    fn wants(self, mailbox: MailboxId) -> bool {
        match self {
            Self::None => false,
            Self::One(selected) => selected == mailbox,
            Self::All => true,
        }
    }
}

/// `* n EXISTS`. RFC 9051 §7.4.1.
pub(super) fn exists(out: &mut Vec<u8>, count: u32) {
    out.extend_from_slice(b"* ");
    print::number(out, count);
    out.extend_from_slice(b" EXISTS\r\n");
}

/// Takes messages from the view and tells the client: EXPUNGE with the numbers as they shift
/// (RFC 9051 §7.5.1), or VANISHED once QRESYNC or UIDONLY is enabled (RFC 7162 §3.2.10, RFC 9586 §3).
pub(super) fn remove(view: &mut View, uids: &NumSet, enabled: Enabled, out: &mut Vec<u8>) {
    if let Some(contexts) = &mut view.contexts {
        contexts.remove(&view.uids, uids, enabled.uidonly, out);
    }
    let removed = view.remove(uids);
    if enabled.has_vanished() {
        print::vanished(out, &removed.iter().map(|message| message.uid).collect());
        return;
    }
    for (message, before) in removed.iter().zip(0..) {
        out.extend_from_slice(b"* ");
        print::number(out, message.seq - before);
        out.extend_from_slice(b" EXPUNGE\r\n");
    }
}

/// `* n FETCH (UID u FLAGS (…) [MODSEQ (m)])`, if the client knows the message; with UIDONLY
/// `* u UIDFETCH (FLAGS (…) [MODSEQ (m)])`. RFC 7162 §3.2.4, RFC 9586 §3.
pub(super) fn print_state(
    out: &mut Vec<u8>,
    view: &View,
    message: &MessageState,
    enabled: Enabled,
) {
    let uid = message.uid.get();
    let Some(seq) = view.uids.seq_of(uid) else { return };
    let mut line = FetchLine::start_named(out, enabled.naming(), seq, uid);
    line.flags(message.flags.system, message.flags.keywords.iter().map(|k| k.as_str()));
    if enabled.condstore {
        line.modseq(message.modseq);
    }
    line.finish();
}

/// The LIST response for a name that changed.
///
/// - `extended`: whether the client knows what RFC 9051 has more than RFC 3501.
pub(super) fn print_mailbox(change: &Change, extended: bool, enabled: Enabled, out: &mut Vec<u8>) {
    let mut line = |name: &MailboxName, old: Option<&MailboxName>, attributes: &[&'static str]| {
        let old_name = old.filter(|_| extended).map(MailboxName::as_str);
        let line = ListLine { attributes, name: name.as_str(), old_name, child_subscribed: false };
        line.print(out, enabled.utf8());
    };
    match change {
        Change::MailboxAdded { name, is_subscribed, special_use }
        | Change::SpecialUse { name, is_subscribed, special_use } => {
            line(name, None, &attributes(*is_subscribed, *special_use));
        }
        Change::MailboxRenamed { from, to, is_subscribed, special_use } => {
            line(to, Some(from), &attributes(*is_subscribed, *special_use));
        }
        // RFC 9051 §7.3.1 has \NonExistent; an IMAP4rev1 client would take the line for a mailbox.
        Change::MailboxRemoved(name) if extended => line(name, None, &["\\NonExistent"]),
        Change::Subscription { name, is_subscribed, exists } => {
            let flags = [(*is_subscribed, "\\Subscribed"), (!*exists, "\\NonExistent")];
            let set: Vec<_> = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
            line(name, None, &set);
        }
        Change::Metadata { mailbox, names } => {
            metadata::print_names(out, mailbox.as_ref(), names, enabled.utf8());
        }
        _ => {}
    }
}

fn attributes(is_subscribed: bool, special_use: SpecialUse) -> Vec<&'static str> {
    let subscribed = is_subscribed.then_some("\\Subscribed");
    subscribed.into_iter().chain(special_use.names()).collect()
}

#[cfg(test)]
mod tests {
    use mox_base::Flags;

    use super::*;
    use crate::types::FlagList;

    fn message(uid: u32, modseq: u64, system: Flags) -> MessageState {
        let flags = FlagList { system, keywords: Vec::new() };
        let (uid, modseq) = (Uid::new(uid).unwrap(), ModSeq::new(modseq).unwrap());
        MessageState { uid, modseq, flags }
    }

    /// What waits after the session's own change of UIDs 1 and 2 at 7.
    #[track_caller]
    fn check(waiting: &[(u32, u64)], said: bool, want: &[(u32, u64)]) {
        let mut queue = ChangeQueue::default();
        let messages = waiting.iter().map(|(uid, modseq)| message(*uid, *modseq, Flags::NONE));
        let change = Change::Flags { mailbox: MailboxId(1), messages: messages.collect() };
        queue.push(change, MessagesOf::All);
        queue.supersede(&[message(1, 7, Flags::SEEN), message(2, 7, Flags::SEEN)], said);
        let got: Vec<_> = queue.flags.iter().map(|(_, m)| (m.uid.get(), m.modseq.get())).collect();
        assert_eq!(got, want, "{waiting:?}");
    }

    /// A session's own change used to be overwritten, in its client's eyes, by an older one.
    #[test]
    fn old_states_do_not_come_after_newer_ones() {
        check(&[(1, 6)], true, &[]);
        check(&[(1, 6)], false, &[(1, 7)]);
        check(&[(1, 8), (3, 6)], true, &[(1, 8), (3, 6)]);
        check(&[(1, 8), (3, 6)], false, &[(1, 8), (3, 6)]);
        check(&[(1, 5), (2, 6), (1, 6), (1, 9)], true, &[(1, 9)]);
        check(&[], true, &[]);
    }

    /// A mailbox with UIDs 1 and 2.
    fn view() -> View {
        View {
            mailbox: MailboxId(1),
            read_only: false,
            uids: std::sync::Arc::new(NumSet::range(1, 2).into()),
            uidnext: 3,
            modseq: ModSeq::default(),
            told: ModSeq::default(),
            since: ModSeq::default(),
            saved: NumSet::new(),
            contexts: None,
        }
    }

    /// What is told of UID 1, flags at each mod-sequence of `waiting`, to a client that was told the
    /// state at `read` by FETCH, of a mailbox selected at `since`.
    #[track_caller]
    fn check_read(waiting: &[u64], read: u64, since: u64, want: &[u64]) {
        let modseq = |n| ModSeq::new(n).unwrap();
        let mut view = view();
        (view.modseq, view.told, view.since) = (modseq(since), modseq(since), modseq(since));
        let mut queue = ChangeQueue::default();
        queue.supersede_read(&[(Uid::new(1).unwrap(), modseq(read))]);
        let (mut out, enabled) = (Vec::new(), Enabled { condstore: true, ..Enabled::default() });
        for n in waiting {
            let messages = vec![message(1, *n, Flags::NONE)];
            queue.push(Change::Flags { mailbox: MailboxId(1), messages }, MessagesOf::All);
            queue.flush_flags(&mut view, enabled, &mut out);
        }
        let want: String =
            want.iter().map(|n| format!("* 1 FETCH (UID 1 FLAGS () MODSEQ ({n}))\r\n")).collect();
        assert_eq!(String::from_utf8(out).unwrap(), want, "{waiting:?} {read} {since}");
    }

    /// RFC 7162 §3.1. A message read by FETCH, or a mailbox by SELECT, is ahead of the changes that
    /// the session is given: clients used to be told what was before it afterwards.
    #[test]
    fn what_was_read_is_not_followed_by_what_was_before_it() {
        check_read(&[8], 7, 5, &[8]);
        check_read(&[7], 7, 5, &[]);
        check_read(&[6, 7, 8], 7, 5, &[8]);
        check_read(&[6, 9, 10], 7, 5, &[9, 10]);
        check_read(&[4, 5, 6], 5, 5, &[6]);
    }

    /// Only the last state of a message is told, not all on the way to it.
    #[test]
    fn flags_changed_twice_are_told_once() {
        let mut queue = ChangeQueue::default();
        for n in [8, 6, 7] {
            let messages = vec![message(1, n, Flags::NONE), message(2, n + 1, Flags::SEEN)];
            queue.push(Change::Flags { mailbox: MailboxId(1), messages }, MessagesOf::All);
        }
        let mut view = view();
        let mut out = Vec::new();
        queue.flush_flags(&mut view, Enabled::default(), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "* 1 FETCH (UID 1 FLAGS ())\r\n* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n");
    }
}
