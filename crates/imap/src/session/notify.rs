//! NOTIFY: which changes a client wants to hear of, besides or instead of what it would anyway.
//!
//! Source: RFC 5465. What is told, and when, is in `tell.rs`.

use std::collections::BTreeMap;

use mox_base::{MailboxId, ModSeq};

use super::changes::MessagesOf;
use super::op::{Facts, FactsOf, FetchOp, Targets};
use super::tell::Resume;
use super::{Action, Change, Op, Pending, Session, State, Tagged};
use crate::print::{self, Code, MailboxStatus, Naming};
use crate::types::{
    Candidate, EventGroup, EventSet, FILTER_NAMES_MAX, FetchItem, MailboxFilter, Notify, NumSet,
    StatusItem,
};

/// The most mailboxes that a session keeps in mind as changed.
pub const NOTIFY_MAILBOXES_MAX: usize = 10_000;

/// The most removals kept back for SELECTED-DELAYED, counted in changes.
pub const DELAYED_REMOVALS_MAX: usize = 1_000;

/// Mailboxes whose status is asked for at a time.
const STATUS_BATCH: usize = 500;

/// What a client has asked for with NOTIFY. A session without NOTIFY has none.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    /// The groups that are not about the selected mailbox, in the order given.
    groups: Vec<EventGroup>,
    /// The one that is.
    selected: Option<EventGroup>,
    /// Other mailboxes in which messages changed, and how. A storm of deliveries is one entry.
    due: BTreeMap<MailboxId, EventSet>,
    /// Changes of the selected mailbox after this were not told, as the client did not ask.
    missed: Option<ModSeq>,
    /// The client is to be told that it lost track.
    overflowed: bool,
}

impl Notifier {
    /// The events of the selected mailbox that are wanted.
    fn selected_events(&self) -> EventSet {
        self.selected.as_ref().map_or(EventSet::NONE, |group| group.events)
    }

    /// Whether removals wait for a command that allows them. RFC 5465 §6.2.
    pub(super) fn is_delayed(&self) -> bool {
        let group = self.selected.as_ref();
        group.is_some_and(|group| group.filter == MailboxFilter::SelectedDelayed)
    }

    /// Whether anything may have to be told while no command is under way.
    pub(super) fn is_active(&self) -> bool {
        self.overflowed || self.selected.is_some() || !self.groups.is_empty()
    }

    /// What is to be fetched of new messages; `None` for what is told without NOTIFY.
    pub(super) fn items(&self) -> Option<&[FetchItem]> {
        let items = self.selected.as_ref().map(|group| group.items.as_slice());
        items.filter(|items| !items.is_empty())
    }

    /// Whether there is something to tell, apart from the session's queue.
    pub(super) fn has_news(&self) -> bool {
        self.overflowed || !self.due.is_empty()
    }

    /// Whether the client is to hear that it lost track; once.
    pub(super) fn take_overflowed(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }

    /// From where on changes of the selected mailbox are to be looked up.
    pub(super) fn take_missed(&mut self) -> Option<ModSeq> {
        self.missed.take()
    }

    /// Whether a group of other mailboxes has any of these events.
    pub(super) fn watches(&self, events: EventSet) -> bool {
        self.groups.iter().any(|group| group.events.has_any(events))
    }

    /// Whether it must be known of a mailbox more than its name.
    pub(super) fn needs_facts(&self) -> bool {
        self.groups.iter().any(|group| group.filter.needs_facts())
    }

    /// Whether an event of one of these mailboxes (one, but by two names after a rename) is told.
    ///
    /// RFC 5465 §3.1: the first group counts that has the mailbox and the event; one with NONE ends
    /// the search.
    pub(super) fn tells(&self, event: EventSet, mailboxes: &[Candidate<'_>]) -> bool {
        for group in &self.groups {
            let matches = mailboxes.iter().any(|mailbox| group.filter.matches(*mailbox));
            if matches && (group.events.is_empty() || group.events.contains(event)) {
                return !group.events.is_empty();
            }
        }
        false
    }

    /// Passes on a change that the session is to keep. Changes in other mailboxes are noted here.
    ///
    /// - `told`: up to where the client knows the selected mailbox.
    pub(super) fn sift(&mut self, change: Change, of: MessagesOf, told: ModSeq) -> Option<Change> {
        let Some((mailbox, event)) = message_event(&change) else {
            let event = mailbox_event(&change);
            return (event.is_empty() || self.watches(event)).then_some(change);
        };
        let is_keywords = matches!(change, Change::Keywords { .. });
        if of != MessagesOf::One(mailbox) && self.watches(event) && !is_keywords {
            self.due.entry(mailbox).or_default().insert(event);
        }
        if of == MessagesOf::One(mailbox) && !self.selected_events().contains(event) {
            // RFC 5465 §3.1: the view of the client stands still.
            self.missed.get_or_insert(told);
            return None;
        }
        Some(change)
    }

    /// Whether the view of the client stands still, which it then does for messages of its own as
    /// well: those of others before them were not told. RFC 5465 §3.1.
    ///
    /// - `told`: up to where the client knows the selected mailbox.
    pub(super) fn stands_still(&mut self, told: ModSeq) -> bool {
        let is_still = !self.selected_events().contains(EventSet::MESSAGE_NEW);
        if is_still {
            self.missed.get_or_insert(told);
        }
        is_still
    }

    /// Whether more is waiting than may be.
    pub(super) fn is_over(&self, delayed: usize) -> bool {
        self.due.len() > NOTIFY_MAILBOXES_MAX
            || (self.is_delayed() && delayed > DELAYED_REMOVALS_MAX)
    }

    /// Gives up: RFC 5465 §5.8, from here on as after NOTIFY NONE.
    pub(super) fn overflow(&mut self, told: ModSeq) {
        let missed = Some(self.missed.unwrap_or(told));
        *self = Self { missed, overflowed: true, ..Self::default() };
    }

    /// A mailbox was selected, read as it is: nothing is missed. Returns the events of it that are
    /// wanted of what has changed since it was read.
    pub(super) fn selected(&mut self, mailbox: MailboxId) -> EventSet {
        self.due.remove(&mailbox);
        self.missed = None;
        self.selected_events()
    }

    /// Something was left out when a mailbox was selected.
    pub(super) fn missed(&mut self, told: ModSeq) {
        self.missed.get_or_insert(told);
    }

    /// The next mailboxes whose status is to be told.
    pub(super) fn take_due(&mut self) -> BTreeMap<MailboxId, EventSet> {
        let rest = self.due.keys().nth(STATUS_BATCH).copied();
        let rest = rest.map(|first| self.due.split_off(&first));
        std::mem::replace(&mut self.due, rest.unwrap_or_default())
    }
}

/// The mailbox and event of a change of messages.
fn message_event(change: &Change) -> Option<(MailboxId, EventSet)> {
    match change {
        Change::Added { mailbox, .. } => Some((*mailbox, EventSet::MESSAGE_NEW)),
        Change::Removed { mailbox, .. } => Some((*mailbox, EventSet::MESSAGE_EXPUNGE)),
        // RFC 5465 §5.1: new keywords are announced with the flags that use them.
        Change::Flags { mailbox, .. } | Change::Keywords { mailbox, .. } => {
            Some((*mailbox, EventSet::FLAG_CHANGE))
        }
        _ => None,
    }
}

/// The event of a change of mailboxes; empty for what is no event.
pub(super) fn mailbox_event(change: &Change) -> EventSet {
    match change {
        // RFC 5465 §5.4, and RFC 6154 §4: a LIST response tells special uses too.
        Change::MailboxAdded { .. }
        | Change::MailboxRemoved(_)
        | Change::MailboxRenamed { .. }
        | Change::SpecialUse { .. } => EventSet::MAILBOX_NAME,
        Change::Subscription { .. } => EventSet::SUBSCRIPTION_CHANGE,
        Change::Metadata { mailbox: Some(_), .. } => EventSet::MAILBOX_METADATA_CHANGE,
        Change::Metadata { mailbox: None, .. } => EventSet::SERVER_METADATA_CHANGE,
        _ => EventSet::NONE,
    }
}

/// A mailbox was selected: what changed of it meanwhile is told as the client wants it.
pub(super) fn selected(session: &mut Session) {
    if let (Some(notifier), State::Selected(view)) = (&mut session.notifier, &session.state) {
        let wanted = notifier.selected(view.mailbox);
        if session.changes.keep_only(view.mailbox, wanted) {
            notifier.missed(view.told);
        }
    }
}

/// Why groups are refused. RFC 5465 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// NO \[BADEVENT\]: an event that is not known here. RFC 5465 §5.
    UnknownEvent,
    /// NO \[LIMIT\]: more than is kept for a session. RFC 5530 §3.
    TooManyNames,
    /// BAD.
    Bad(&'static str),
}

/// RFC 5465 §3.1, RFC 5465 §5.
fn check_groups(groups: &[EventGroup]) -> Result<(), Fault> {
    if groups.iter().any(|group| group.has_unknown) {
        return Err(Fault::UnknownEvent);
    }
    let names = groups.iter().map(|group| group.filter.name_count()).sum::<usize>();
    if names > FILTER_NAMES_MAX {
        return Err(Fault::TooManyNames);
    }
    if groups.iter().filter(|group| group.filter.is_of_selected()).count() > 1 {
        return Err(Fault::Bad("more than one group for the selected mailbox"));
    }
    for group in groups {
        let (new, gone) = (EventSet::MESSAGE_NEW, EventSet::MESSAGE_EXPUNGE);
        let has_both = group.events.contains(new) && group.events.contains(gone);
        if group.events.has_any(EventSet::MESSAGES) && !has_both {
            return Err(Fault::Bad("message events need both messagenew and messageexpunge"));
        }
        let others = group.events.without(EventSet::MESSAGES);
        if group.filter.is_of_selected() && !others.is_empty() {
            return Err(Fault::Bad("only message events for the selected mailbox"));
        }
    }
    Ok(())
}

/// A NOTIFY that was understood.
#[derive(Debug)]
pub(super) struct Request {
    notifier: Box<Notifier>,
    status: bool,
}

/// NOTIFY. RFC 5465 §3.1.
pub(super) fn notify(session: &mut Session, cmd: Tagged, notify: Notify) -> Action {
    let (groups, status) = match notify {
        Notify::None => (Vec::new(), false),
        Notify::Set { status, groups } => (groups, status),
    };
    match check_groups(&groups) {
        Err(Fault::UnknownEvent) => {
            return session.no(cmd, Some(Code::BadEvent), "unknown event");
        }
        Err(Fault::TooManyNames) => {
            return session.no(cmd, Some(Code::Limit), "too many mailbox names");
        }
        Err(Fault::Bad(text)) => return session.bad(cmd, None, text),
        Ok(()) => {}
    }
    // RFC 5465 §5.2: of other mailboxes nothing can be fetched.
    let (selected, mut groups): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|group| group.filter.is_of_selected());
    groups.iter_mut().for_each(|group| group.items = Vec::new());
    let selected = selected.into_iter().next();
    let items = selected.as_ref().map(|group| group.items.as_slice()).unwrap_or_default();
    if items.contains(&FetchItem::ModSeq) {
        session.enable_condstore();
    }
    let notifier = Box::new(Notifier { groups, selected, ..Notifier::default() });
    // What has happened so far is told by what was asked before.
    session.tell(Resume::Notify(cmd, Request { notifier, status }))
}

/// Puts what was asked for into force, and begins with the STATUS responses.
pub(super) fn install(session: &mut Session, cmd: Tagged, request: Request) -> Action {
    let Request { mut notifier, status } = request;
    notifier.missed = session.notifier.as_mut().and_then(|old| old.take_missed());
    session.notifier = Some(notifier);
    if !matches!(session.state, State::Selected(_)) {
        // Nothing is selected of which something could be lost.
        session.changes.clear_messages();
    }
    if status {
        return session.perform(cmd, Pending::Notify, Op::Facts(FactsOf::All));
    }
    finish(session, cmd)
}

/// `* STATUS` for every mailbox watched for messages but the selected one. RFC 5465 §3.1.
pub(super) fn print_all(session: &mut Session, cmd: Tagged, facts: Vec<Facts>) -> Action {
    let mut items = vec![
        StatusItem::Messages,
        StatusItem::UidNext,
        StatusItem::UidValidity,
        StatusItem::Unseen,
    ];
    if session.enabled.condstore {
        items.push(StatusItem::HighestModSeq);
    }
    for (facts, status) in others(session, facts) {
        if session.tells(EventSet::MESSAGE_NEW, &facts) {
            let name = facts.name.as_str();
            print::status(&mut session.out, name, &items, &status, session.enabled.utf8());
        }
    }
    finish(session, cmd)
}

/// If the client had its view standing still and wants to follow again, it is brought up to date
/// before the reply. RFC 5465 leaves it to re-select the mailbox.
fn finish(session: &mut Session, cmd: Tagged) -> Action {
    let notifier = session.notifier.as_ref();
    let follows = notifier.is_some_and(|notifier| {
        notifier.missed.is_some() && notifier.selected_events().contains(EventSet::MESSAGE_NEW)
    });
    if follows && matches!(session.state, State::Selected(_)) {
        session.changes.lose();
    }
    session.done(cmd)
}

/// The status of mailboxes that are there and not selected, sorted by name.
fn others(session: &Session, mut facts: Vec<Facts>) -> Vec<(Facts, MailboxStatus)> {
    facts.sort_by(|a, b| a.name.cmp(&b.name));
    let selected = session.view().map(|view| view.mailbox);
    let others = facts.into_iter().filter(|facts| facts.mailbox != selected);
    others.filter_map(|facts| facts.status.map(|status| (facts, status))).collect()
}

/// STATUS responses for mailboxes in which messages changed. RFC 5465 §5.1 to §5.3.
pub(super) fn print_due(
    session: &mut Session,
    due: &BTreeMap<MailboxId, EventSet>,
    facts: Vec<Facts>,
) {
    let with_modseq = session.enabled.condstore.then_some(StatusItem::HighestModSeq);
    for (facts, status) in others(session, facts) {
        let events = facts.mailbox.and_then(|id| due.get(&id)).copied().unwrap_or_default();
        let tells = |event| events.contains(event) && session.tells(event, &facts);
        let mut items = Vec::with_capacity(4);
        if tells(EventSet::MESSAGE_NEW) || tells(EventSet::MESSAGE_EXPUNGE) {
            items.extend([StatusItem::UidNext, StatusItem::Messages]);
            items.extend(with_modseq);
            items.push(StatusItem::Unseen);
        } else if tells(EventSet::FLAG_CHANGE) {
            items.extend(with_modseq);
            items.extend([StatusItem::UidValidity, StatusItem::Unseen]);
        } else {
            continue;
        }
        let name = facts.name.as_str();
        print::status(&mut session.out, name, &items, &status, session.enabled.utf8());
    }
}

impl Session {
    fn tells(&self, event: EventSet, facts: &Facts) -> bool {
        let Facts { name, is_subscribed, is_inbox, .. } = facts;
        let candidate = Candidate { name, is_subscribed: *is_subscribed, is_inbox: *is_inbox };
        self.notifier.as_ref().is_some_and(|notifier| notifier.tells(event, &[candidate]))
    }

    /// The FETCH for new messages with the attributes of MessageNew. RFC 5465 §5.2.
    pub(super) fn fetch_new(&self, new: NumSet) -> Option<Op> {
        let State::Selected(view) = &self.state else { return None };
        let items = self.notifier.as_ref().and_then(|notifier| notifier.items())?;
        let naming = match self.enabled.naming() {
            Naming::Number => Naming::Number,
            Naming::Uid { .. } => Naming::Uid { with_item: items.contains(&FetchItem::Uid) },
        };
        Some(Op::Fetch(FetchOp {
            mailbox: view.mailbox,
            targets: Targets { uids: new, known: std::sync::Arc::clone(&view.uids) },
            changed_since: None,
            with_vanished: false,
            with_flags: items.contains(&FetchItem::Flags),
            with_modseq: items.contains(&FetchItem::ModSeq) || self.enabled.condstore,
            // RFC 5465 §5.2: what the client did not fetch itself it has not seen.
            mark_seen: false,
            keeps_going: true,
            naming,
            utf8: self.enabled.utf8(),
            uidnext: view.uidnext,
            told: view.told,
            items: items.iter().filter(|item| !super::fetch::is_implied(item)).cloned().collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use mox_base::MailboxName;

    use super::*;

    fn group(filter: MailboxFilter, events: &[EventSet]) -> EventGroup {
        let mut set = EventSet::NONE;
        events.iter().for_each(|event| set.insert(*event));
        EventGroup { filter, events: set, items: Vec::new(), has_unknown: false }
    }

    const NEW: EventSet = EventSet::MESSAGE_NEW;
    const GONE: EventSet = EventSet::MESSAGE_EXPUNGE;
    const FLAG: EventSet = EventSet::FLAG_CHANGE;
    const NAME: EventSet = EventSet::MAILBOX_NAME;

    /// RFC 5465 §3.1, RFC 5465 §5.
    #[test]
    fn groups_must_make_sense() {
        use MailboxFilter::{Personal, Selected, SelectedDelayed};
        let check = |groups: &[EventGroup], want: Option<Fault>| {
            assert_eq!(check_groups(groups).err(), want, "{groups:?}");
        };
        check(&[group(Selected, &[NEW, GONE, FLAG]), group(Personal, &[NAME])], None);
        check(&[group(Selected, &[])], None);
        check(&[group(Personal, &[NEW, GONE]), group(Personal, &[])], None);
        let both = Some(Fault::Bad("message events need both messagenew and messageexpunge"));
        for events in [&[NEW][..], &[GONE], &[FLAG], &[NEW, FLAG], &[GONE, FLAG, NAME]] {
            check(&[group(Personal, events)], both);
        }
        check(
            &[group(Selected, &[]), group(SelectedDelayed, &[])],
            Some(Fault::Bad("more than one group for the selected mailbox")),
        );
        check(
            &[group(Selected, &[NEW, GONE, NAME])],
            Some(Fault::Bad("only message events for the selected mailbox")),
        );
        let named = |count: usize| {
            let name = MailboxName::inbox();
            group(MailboxFilter::Subtree(vec![name; count]), &[])
        };
        check(&[named(FILTER_NAMES_MAX - 1), named(1)], None);
        check(&[named(FILTER_NAMES_MAX), named(1)], Some(Fault::TooManyNames));
        let unknown = EventGroup { has_unknown: true, ..group(Personal, &[NEW]) };
        check(&[unknown], Some(Fault::UnknownEvent));
    }

    /// RFC 5465 §3.1: the first group with mailbox and event counts, NONE ends the search.
    #[test]
    fn the_first_group_that_matches_decides() {
        let name = |text: &str| MailboxName::parse(text).unwrap();
        let named = |text: &str| MailboxFilter::Mailboxes(vec![name(text)]);
        let notifier = Notifier {
            groups: vec![
                group(named("a"), &[NEW, GONE]),
                group(named("quiet"), &[]),
                group(MailboxFilter::Personal, &[NAME, NEW, GONE, FLAG]),
            ],
            ..Notifier::default()
        };
        let tells = |event, text: &str| {
            let name = name(text);
            notifier
                .tells(event, &[Candidate { name: &name, is_subscribed: false, is_inbox: false }])
        };
        assert!(tells(NEW, "a") && tells(NAME, "a") && tells(NEW, "b"));
        assert!(!tells(NEW, "quiet") && !tells(NAME, "quiet"));
        assert!(!tells(EventSet::SUBSCRIPTION_CHANGE, "a"));
        let names = [name("quiet"), name("b")];
        let both =
            names.each_ref().map(|name| Candidate { name, is_subscribed: false, is_inbox: false });
        assert!(!notifier.tells(NAME, &both), "a rename from a quiet name");
    }

    /// A storm of deliveries to many mailboxes is told in batches, each mailbox once.
    #[test]
    fn mailboxes_are_due_once() {
        let mut notifier = Notifier {
            groups: vec![group(MailboxFilter::Personal, &[NEW, GONE])],
            ..Notifier::default()
        };
        let change = |id| Change::Added { mailbox: MailboxId(id), messages: Vec::new() };
        for round in 0..3 {
            for id in 0..=STATUS_BATCH as i64 {
                let kept =
                    notifier.sift(change(id), MessagesOf::One(MailboxId(-1)), ModSeq::default());
                assert_eq!(kept, Some(change(id)), "{round}");
            }
        }
        assert_eq!(notifier.take_due().len(), STATUS_BATCH);
        assert_eq!(notifier.take_due().len(), 1);
        assert!(!notifier.has_news() && !notifier.is_over(DELAYED_REMOVALS_MAX + 1));
    }
}
