//! Telling the client of changes: before replies, in IDLE, and for NOTIFY between commands.
//!
//! What is told goes through steps, each of which may need an answer of the driver: what is in the
//! mailbox now, if changes were lost; new messages, then what is to be fetched of them; flags and
//! removals; names of mailboxes and their status. Then what was interrupted goes on.
//!
//! Source: RFC 9051 §5.3, RFC 9051 §7.5.1, RFC 5465 §3.1, RFC 5465 §4.

use std::collections::{BTreeMap, VecDeque};

use mox_base::{MailboxId, MailboxName};

use super::changes::{self, MessagesOf};
use super::op::{Facts, FactsOf};
use super::{Action, Change, Op, Outcome, Session, State, Tagged, Waiting, notify};
use crate::print::{self, Code, Status};
use crate::types::{Candidate, EventSet, NumSet};
use crate::wire::Reading;

/// What the driver is asked while the client is told of changes.
#[derive(Debug)]
pub(super) enum Telling {
    /// What is in the mailbox now, because changes were lost.
    Resync,
    /// To write the FETCH responses of new messages.
    New,
    /// Which messages match what is kept up to date. RFC 5267 §4.3.
    Updates,
    /// What the mailboxes are about whose changes wait here.
    Facts(VecDeque<Change>, BTreeMap<MailboxId, EventSet>),
}

/// What comes after it.
#[derive(Debug)]
pub(super) enum Resume {
    /// The reply to the command that was carried out.
    Reply(Vec<u8>),
    Idle(Tagged),
    /// Waiting for a command.
    Command,
    /// What NOTIFY asks for comes into force.
    Notify(Tagged, notify::Request),
}

/// How often a client is told anew of what came while it was told, before the rest has to wait.
const TELL_ROUNDS_MAX: u8 = 8;

impl Session {
    /// Whether the driver should look out for changes, and call [`Session::poll`]: in IDLE, and
    /// after NOTIFY wherever no part of a command has come. RFC 5465 §3.1, RFC 5465 §4.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        match self.waiting {
            Waiting::Idle(_) => true,
            Waiting::Command => {
                let notifier = self.notifier.as_ref();
                notifier.is_some_and(|notifier| notifier.is_active())
                    && self.reader.reading() == Reading::Nothing
            }
            _ => false,
        }
    }

    /// Whether [`Session::poll`] has something to tell.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.has_changes(self.keeps_removals())
    }

    /// Whether there is anything to tell, `without_removals` other than those.
    pub(super) fn has_changes(&self, without_removals: bool) -> bool {
        let is_selected = matches!(self.state, State::Selected(_));
        self.notifier.as_ref().is_some_and(|notifier| notifier.has_news())
            || self.changes.has_mailboxes()
            || (is_selected && self.changes.has_messages(without_removals))
            || self.has_changed_results()
    }

    /// Whether a result may have changed with time: of that there is no news, but a command asks.
    pub(super) fn has_aged_results(&self) -> bool {
        let contexts = self.view().and_then(|view| view.contexts.as_ref());
        contexts.is_some_and(|contexts| contexts.has_ages())
    }

    fn has_changed_results(&self) -> bool {
        let contexts = self.view().and_then(|view| view.contexts.as_ref());
        contexts.is_some_and(|contexts| contexts.has_changed())
    }

    /// Takes a change made by others. It goes out when the RFC allows, at the latest with
    /// [`Session::poll`].
    ///
    /// All changes committed before an outcome must be given before that outcome.
    pub fn push_change(&mut self, change: Change) {
        if !self.state.is_authenticated() {
            return;
        }
        if let (State::Selected(view), Change::Flags { mailbox, messages }) =
            (&mut self.state, &change)
            && view.mailbox == *mailbox
        {
            // Also where NOTIFY does not ask for flags: UPDATE does.
            view.changed(messages.iter().map(|message| message.uid.get()));
        }
        let (of, told) = match &self.state {
            State::Selected(view) if !self.is_selecting => {
                (MessagesOf::One(view.mailbox), view.told)
            }
            _ if self.is_selecting => (MessagesOf::All, mox_base::ModSeq::default()),
            _ => (MessagesOf::None, mox_base::ModSeq::default()),
        };
        let Some(notifier) = &mut self.notifier else {
            if !change.is_for_notify(self.enabled) {
                self.changes.push(change, of);
            }
            return;
        };
        if let Some(change) = notifier.sift(change, of, told) {
            self.changes.push(change, of);
        }
        let is_over = notifier.is_over(self.changes.removals()) || self.changes.is_full();
        if is_over || self.changes.is_lost() {
            notifier.overflow(told);
            self.changes.clear();
        }
    }

    /// Writes the changes pushed since, if [`Session::is_listening`]. RFC 9051 §6.3.13.
    pub fn poll(&mut self) -> Action {
        if !self.is_listening() {
            return Action::Read;
        }
        match std::mem::replace(&mut self.waiting, Waiting::Closed) {
            Waiting::Idle(cmd) => self.tell(Resume::Idle(cmd)),
            _ => self.tell(Resume::Command),
        }
    }

    /// RFC 5465 §6.2: whether removals must not be told now, but with the next command that allows
    /// it.
    fn keeps_removals(&self) -> bool {
        let is_delayed = self.notifier.as_ref().is_some_and(|notifier| notifier.is_delayed());
        is_delayed && matches!(self.waiting, Waiting::Command)
    }

    /// Tells the client everything, then goes on with `resume`.
    pub(super) fn tell(&mut self, resume: Resume) -> Action {
        self.tell_rounds = 0;
        self.tell_from_start(resume)
    }

    fn tell_from_start(&mut self, resume: Resume) -> Action {
        match self.resync_op() {
            Some(op) => self.ask(Telling::Resync, resume, op),
            None => self.tell_new(resume),
        }
    }

    fn ask(&mut self, telling: Telling, resume: Resume, op: Op) -> Action {
        self.waiting = Waiting::Telling(telling, resume);
        Action::Perform(op)
    }

    /// What the driver has found out or done.
    pub(super) fn told(&mut self, telling: Telling, resume: Resume, outcome: Outcome) -> Action {
        match (telling, outcome) {
            (Telling::Resync, outcome) => {
                self.resynced(outcome);
                self.tell_new(resume)
            }
            (Telling::New, Outcome::Fetched(fetched)) => {
                self.changes.supersede_read(&fetched.newer);
                self.tell_updates(resume)
            }
            // Of messages that could not be fetched the client knows that they are there.
            (Telling::New, _) => self.tell_updates(resume),
            (Telling::Updates, outcome) => {
                let updates = match outcome {
                    Outcome::Updated(updates) => Some(updates),
                    _ => None,
                };
                self.updated(updates);
                self.tell_rest(resume)
            }
            (Telling::Facts(changes, due), Outcome::Facts(mut facts)) => {
                facts.sort_by(|a, b| a.name.cmp(&b.name));
                self.print_mailboxes(changes, &facts);
                notify::print_due(self, &due, facts);
                self.resume(resume)
            }
            // Without the facts nothing can be said of other mailboxes.
            (Telling::Facts(..), _) => self.resume(resume),
        }
    }

    /// Messages that came: one EXISTS for all, then each.
    fn tell_new(&mut self, resume: Resume) -> Action {
        if self.notifier.as_mut().is_some_and(|notifier| notifier.take_overflowed()) {
            let text = "out of sync after too many pending changes";
            print::tagged(&mut self.out, "*", Status::Ok, Some(Code::NotificationOverflow), text);
        }
        let has_items = self.fetches_new();
        let mut new = NumSet::new();
        if let State::Selected(view) = &mut self.state {
            new = self.changes.flush_added(view, self.enabled, has_items, &mut self.out);
        }
        match self.fetch_new(new).filter(|op| !is_empty(op)) {
            Some(op) => self.ask(Telling::New, resume, op),
            None => self.tell_updates(resume),
        }
    }

    fn fetches_new(&self) -> bool {
        self.notifier.as_ref().is_some_and(|notifier| notifier.items().is_some())
    }

    /// Results that are kept up to date. RFC 5267 §4.3: what is added must have been announced, what
    /// is removed must still be there.
    fn tell_updates(&mut self, resume: Resume) -> Action {
        match self.update_op() {
            Some(op) => self.ask(Telling::Updates, resume, op),
            None => self.tell_rest(resume),
        }
    }

    /// Everything else.
    ///
    /// What came while the driver was asked for something is told too, from the start: flags and
    /// removals may be of messages that came, and none may be left behind. RFC 7162 §3.1.2: a client
    /// that was told of a mod-sequence takes it that it knows all changes up to it.
    fn tell_rest(&mut self, resume: Resume) -> Action {
        let is_selected = matches!(self.state, State::Selected(_));
        if is_selected && (self.changes.has_added() || self.changes.is_lost()) {
            if self.tell_rounds < TELL_ROUNDS_MAX {
                self.tell_rounds += 1;
                return self.tell_from_start(resume);
            }
            // A storm: results that are kept up to date follow the next time.
            let fetches = self.fetches_new();
            if let (State::Selected(view), false) = (&mut self.state, fetches) {
                self.changes.flush_added(view, self.enabled, false, &mut self.out);
            }
        }
        let keeps_removals = matches!(resume, Resume::Command)
            && self.notifier.as_ref().is_some_and(|notifier| notifier.is_delayed());
        if let State::Selected(view) = &mut self.state
            && !self.changes.has_added()
        {
            self.changes.flush_flags(view, self.enabled, &mut self.out);
            if !keeps_removals {
                self.changes.flush_removed(view, self.enabled, &mut self.out);
            }
        }
        let changes = self.changes.take_mailboxes();
        let Some(notifier) = &mut self.notifier else {
            self.print_mailboxes(changes, &[]);
            return self.resume(resume);
        };
        let due = notifier.take_due();
        let needs_names = notifier.needs_facts() && !changes.is_empty();
        if due.is_empty() && !needs_names {
            self.print_mailboxes(changes, &[]);
            return self.resume(resume);
        }
        let names = if needs_names { changes.iter().flat_map(names_of).collect() } else { vec![] };
        let of = FactsOf::Some { mailboxes: due.keys().copied().collect(), names };
        self.ask(Telling::Facts(changes, due), resume, Op::Facts(of))
    }

    fn resume(&mut self, resume: Resume) -> Action {
        match resume {
            Resume::Reply(reply) => {
                self.out.extend_from_slice(&reply);
                self.next_command()
            }
            Resume::Idle(cmd) => {
                self.waiting = Waiting::Idle(cmd);
                Action::Read
            }
            Resume::Command => self.next_command(),
            Resume::Notify(cmd, request) => notify::install(self, cmd, request),
        }
    }

    /// LIST responses for names that changed, of those that NOTIFY asks for, if it does. The facts are
    /// sorted by name.
    fn print_mailboxes(&mut self, changes: VecDeque<Change>, facts: &[Facts]) {
        for change in changes {
            let tells = match &self.notifier {
                None => true,
                // It is of no mailbox, so that no filter matters. RFC 5465 §5.7.
                Some(notifier) if matches!(change, Change::Metadata { mailbox: None, .. }) => {
                    notifier.watches(notify::mailbox_event(&change))
                }
                Some(notifier) => {
                    let names = names_of(&change);
                    let candidates: Vec<Candidate<'_>> =
                        names.iter().map(|name| candidate(&change, name, facts)).collect();
                    notifier.tells(notify::mailbox_event(&change), &candidates)
                }
            };
            if tells {
                // RFC 5465 §5.4: who asks for them understands \NonExistent and OLDNAME.
                let extended = self.enabled.rev2 || self.notifier.is_some();
                changes::print_mailbox(&change, extended, self.enabled, &mut self.out);
            }
        }
    }

    /// What to ask if changes of the selected mailbox were lost.
    fn resync_op(&mut self) -> Option<Op> {
        let State::Selected(view) = &self.state else { return None };
        if !self.changes.is_lost() {
            return None;
        }
        // From here on changes are kept again: what happens while the driver looks must not be
        // lost. What it sees as well is told once, see `View::add`.
        self.changes.clear_messages();
        let missed = self.notifier.as_mut().and_then(|notifier| notifier.take_missed());
        let since = missed.map_or(view.told, |missed| missed.min(view.told));
        Some(Op::Resync { mailbox: view.mailbox, since })
    }

    /// Turns the difference between mailbox and view into changes.
    ///
    /// Deviation: RFC 5465 §5.8 and the original answer lost changes with
    /// NOTIFICATIONOVERFLOW and silence from then on, and so do we after NOTIFY; for clients without
    /// it we compare with the mailbox instead, so that they stay right, as RFC 9051 §5.5 asks.
    fn resynced(&mut self, outcome: Outcome) {
        let (State::Selected(view), Outcome::Resynced(now)) = (&mut self.state, outcome) else {
            return;
        };
        let gone = view.uids.to_set().difference(&now.uids.to_set());
        changes::remove(view, &gone, self.enabled, &mut self.out);
        let count = view.uids.exists();
        let new = now.uids.ranges().flat_map(|(first, last)| first..=last);
        let known = view.uidnext;
        for uid in new.filter(|uid| u64::from(*uid) >= known) {
            mox_base::Uid::new(uid).map(|uid| view.add(uid));
        }
        if view.uids.exists() > count {
            changes::exists(&mut self.out, view.uids.exists());
        }
        view.changed(now.changed.iter().map(|message| message.uid.get()));
        for message in &now.changed {
            changes::print_state(&mut self.out, view, message, self.enabled);
        }
        view.told(now.highest_modseq);
        view.since = view.since.max(now.highest_modseq);
    }
}

fn is_empty(op: &Op) -> bool {
    matches!(op, Op::Fetch(fetch) if fetch.targets.uids.is_empty())
}

/// The names a change is about.
fn names_of(change: &Change) -> Vec<MailboxName> {
    match change {
        Change::MailboxAdded { name, .. }
        | Change::MailboxRemoved(name)
        | Change::SpecialUse { name, .. }
        | Change::Subscription { name, .. }
        | Change::Metadata { mailbox: Some(name), .. } => vec![name.clone()],
        Change::MailboxRenamed { from, to, .. } => vec![from.clone(), to.clone()],
        _ => Vec::new(),
    }
}

/// A name of a change for the filters. What the change says is newer than the facts are old.
fn candidate<'a>(change: &Change, name: &'a MailboxName, facts: &[Facts]) -> Candidate<'a> {
    let known = facts.binary_search_by(|facts| facts.name.cmp(name)).ok();
    let known = known.and_then(|at| facts.get(at));
    let is_subscribed = match change {
        Change::MailboxAdded { is_subscribed, .. } | Change::SpecialUse { is_subscribed, .. } => {
            *is_subscribed
        }
        // RFC 5465 §6.5: who watches what is subscribed hears when it no longer is.
        Change::Subscription { .. } => true,
        _ => known.is_some_and(|facts| facts.is_subscribed),
    };
    let is_inbox = known.is_some_and(|facts| facts.is_inbox);
    Candidate { name, is_subscribed, is_inbox }
}
