//! Results of SEARCH and SORT that are kept up to date for the client.
//!
//! A context holds the result as the client knows it. When messages come or change, the driver is
//! asked which of them match now, and the client is told the difference; when messages go, they
//! leave the results first. Nothing else is looked at, so that what a change costs does not grow
//! with the mailbox: the sets of a program are fixed when it is given. Only where a program matches by
//! age the driver looks for messages that have come of it, now and then.
//!
//! Source: RFC 5267 §4.3.
//!
//! Invariant: what a result holds is in the view of the client. [`Contexts::remove`] is called
//! before messages leave the view.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mox_base::{MailboxId, UnixSeconds};

use super::search_answer::{Numbers, start_extended};
use super::{Action, Op, Session, State, Tagged};
use crate::print;
use crate::types::{NumSet, ResolvedKey, SearchKey, SortBy, SortKey, UidMap};

/// The most results that are kept up to date in one session. RFC 5267 §4.3.1 wants one at least.
pub const CONTEXTS_MAX: usize = 16;

/// The most messages in all these results together when one more is wanted.
pub const CONTEXT_RESULTS_MAX: u64 = 500_000;

/// The most messages that are remembered one by one as changed; beyond it all are looked at.
const CHANGED_MAX: usize = 10_000;

/// Messages among which of others may have changed, to be asked of the driver: which of them match
/// the programs now, and where do they belong?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateOp {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The messages the session knows.
    pub known: Arc<UidMap>,
    /// Those of them to look at.
    pub changed: NumSet,
    /// The results.
    pub contexts: Vec<UpdateOf>,
}

/// A result that is kept up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateOf {
    /// What matches.
    pub key: Arc<ResolvedKey>,
    /// What it is sorted by; empty for SEARCH.
    pub sort: Vec<SortKey>,
    /// If it is sorted, the result as it was.
    pub order: Arc<Vec<u32>>,
    /// If messages match by their age, when it was last seen which do: those that time has changed
    /// since then are to be looked at too.
    pub looked_at: Option<UnixSeconds>,
}

/// The answer for one result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updated {
    /// The messages that were looked at.
    pub looked: NumSet,
    /// Which of them match.
    pub uids: NumSet,
    /// If it is sorted, for each of them that is not in [`UpdateOf::order`], in the order they are to
    /// have: the message, and the last one of that order that goes before it.
    pub places: Vec<(u32, Option<u32>)>,
    /// For [`UpdateOf::looked_at`] the next time.
    pub looked_at: Option<UnixSeconds>,
}

/// The results of one session that are kept up to date.
#[derive(Clone, Debug, Default)]
pub(super) struct Contexts {
    all: Vec<Context>,
    /// Messages that came or changed since they were looked at.
    changed: Vec<u32>,
    /// They were too many to be remembered.
    all_changed: bool,
}

#[derive(Clone, Debug)]
struct Context {
    /// Of the command.
    tag: String,
    by_uid: bool,
    key: Arc<ResolvedKey>,
    sort: Vec<SortKey>,
    result: Kept,
    /// Of those that match by age. RFC 5032 §2.
    looked_at: Option<UnixSeconds>,
}

/// A result, as UIDs.
#[derive(Clone, Debug)]
enum Kept {
    /// Of SEARCH.
    Set(NumSet),
    /// Of SORT.
    Order(Arc<Vec<u32>>),
}

impl Kept {
    fn len(&self) -> u64 {
        match self {
            Self::Set(set) => set.len(),
            Self::Order(order) => order.len() as u64,
        }
    }
}

/// A change of a result: its messages, each with its place counted from 1, or 0 where there is no
/// order. RFC 5267 §4.3.2.
type Changes = Vec<(usize, u32)>;

impl Contexts {
    /// Notes that messages came or changed.
    pub(super) fn changed(&mut self, uids: impl IntoIterator<Item = u32>) {
        if !self.all_changed {
            self.changed.extend(uids.into_iter().take(CHANGED_MAX + 1 - self.changed.len()));
        }
        if self.changed.len() > CHANGED_MAX {
            self.changed = Vec::new();
            self.all_changed = true;
        }
    }

    /// Whether there is something to look at.
    pub(super) fn has_changed(&self) -> bool {
        !self.all.is_empty() && (self.all_changed || !self.changed.is_empty())
    }

    /// Whether a result changes with time. RFC 5032 §2.
    pub(super) fn has_ages(&self) -> bool {
        self.all.iter().any(|context| context.looked_at.is_some())
    }

    /// What to ask of the driver.
    fn op(&mut self, mailbox: MailboxId, known: &Arc<UidMap>) -> UpdateOp {
        let changed: NumSet = std::mem::take(&mut self.changed).into_iter().collect();
        let changed = match std::mem::take(&mut self.all_changed) {
            true => known.to_set(),
            false => known.intersection(&changed),
        };
        let known = Arc::clone(known);
        let of = |context: &Context| UpdateOf {
            key: Arc::clone(&context.key),
            sort: context.sort.clone(),
            order: match &context.result {
                Kept::Set(_) => Arc::default(),
                Kept::Order(order) => Arc::clone(order),
            },
            looked_at: context.looked_at,
        };
        UpdateOp { mailbox, known, changed, contexts: self.all.iter().map(of).collect() }
    }

    /// Messages are about to leave the view, and with it the results. RFC 5267 §4.3.4.
    ///
    /// Told before EXPUNGE, so that message numbers still mean what the client knows.
    pub(super) fn remove(
        &mut self,
        view: &UidMap,
        uids: &NumSet,
        uidonly: bool,
        out: &mut Vec<u8>,
    ) {
        for context in &mut self.all {
            let gone = match &mut context.result {
                Kept::Set(set) => take_from_set(set, uids),
                Kept::Order(order) => take_from_order(order, |uid| uids.contains(uid)),
            };
            context.tell(view, uidonly, [("REMOVEFROM", gone), ("ADDTO", Vec::new())], out);
        }
    }

    /// The driver has looked at the messages that changed. RFC 5267 §4.3.3, RFC 5267 §4.3.4.
    fn update(&mut self, view: &UidMap, updates: Vec<Updated>, uidonly: bool, out: &mut Vec<u8>) {
        for (context, updated) in self.all.iter_mut().zip(updates) {
            if context.looked_at.is_some() && updated.looked_at.is_some() {
                context.looked_at = updated.looked_at;
            }
            let looked = view.intersection(&updated.looked);
            let (gone, new) = match &mut context.result {
                Kept::Set(set) => {
                    let no_more = looked.difference(&updated.uids);
                    let new = updated.uids.intersection(&looked).difference(set);
                    let gone = take_from_set(set, &no_more);
                    *set = set.union(&new);
                    (gone, new.iter().map(|uid| (0, uid)).collect())
                }
                Kept::Order(order) => {
                    let matches = |uid| updated.uids.contains(uid);
                    let last_of = updated.places;
                    // A message that goes may be the one that another comes after.
                    let old = Arc::clone(order);
                    let gone = take_from_order(order, |uid| looked.contains(uid) && !matches(uid));
                    (gone, put_in_order(order, &old, &last_of))
                }
            };
            context.tell(view, uidonly, [("REMOVEFROM", gone), ("ADDTO", new)], out);
        }
    }

    /// Ends them all, telling the client that it will hear no more.
    fn give_up(self, out: &mut Vec<u8>) {
        for context in self.all {
            refuse(&context.tag, "updates are not possible any more", out);
        }
    }
}

/// Takes the numbers out that are there.
fn take_from_set(set: &mut NumSet, uids: &NumSet) -> Changes {
    let gone = set.intersection(uids);
    if !gone.is_empty() {
        *set = set.difference(&gone);
    }
    gone.iter().map(|uid| (0, uid)).collect()
}

/// Takes messages out. The places are those when they go one after the other. One pass.
fn take_from_order(order: &mut Arc<Vec<u32>>, is_gone: impl Fn(u32) -> bool) -> Changes {
    let mut gone: Changes = Vec::new();
    for (at, uid) in order.iter().enumerate() {
        if is_gone(*uid) {
            gone.push((at + 1 - gone.len(), *uid));
        }
    }
    if !gone.is_empty() {
        let mut places = gone.iter().map(|(_, uid)| *uid).peekable();
        Arc::make_mut(order).retain(|uid| places.next_if(|gone| gone == uid).is_none());
    }
    gone
}

/// Puts messages in, each after the one it is to come after in `old`, which has all that are in
/// `order` and perhaps more. One pass.
fn put_in_order(order: &mut Arc<Vec<u32>>, old: &[u32], places: &[(u32, Option<u32>)]) -> Changes {
    if places.is_empty() {
        return Vec::new();
    }
    let asked: HashSet<u32> = places.iter().map(|(uid, _)| *uid).collect();
    let known: HashSet<u32> = order.iter().copied().filter(|uid| asked.contains(uid)).collect();
    let mut after: HashMap<Option<u32>, Vec<u32>> = HashMap::new();
    for (uid, last) in places.iter().filter(|(uid, _)| !known.contains(uid)) {
        after.entry(*last).or_default().push(*uid);
    }
    let mut all = Vec::with_capacity(order.len() + places.len());
    let mut new: Changes = Vec::new();
    let mut put = |all: &mut Vec<u32>, last: Option<u32>| {
        for uid in after.remove(&last).unwrap_or_default() {
            all.push(uid);
            new.push((all.len(), uid));
        }
    };
    put(&mut all, None);
    let mut kept = order.iter().peekable();
    for uid in old {
        all.extend(kept.next_if_eq(&uid));
        put(&mut all, Some(*uid));
    }
    // None should be left: but one in the wrong place is better than one that is missing.
    for (_, last) in places {
        put(&mut all, *last);
    }
    *order = Arc::new(all);
    new
}

impl Context {
    /// `* ESEARCH (TAG "t") [UID] REMOVEFROM (place set …) ADDTO (place set …)`. RFC 5267 §4.3.2: what
    /// comes first is done first.
    fn tell(&self, view: &UidMap, uidonly: bool, changes: [(&str, Changes); 2], out: &mut Vec<u8>) {
        if changes.iter().all(|(_, changes)| changes.is_empty()) {
            return;
        }
        // RFC 9586 §3: message numbers are not told any more, also where they were asked for.
        let by_uid = self.by_uid || uidonly;
        start_extended(out, &self.tag, by_uid);
        for (name, changes) in changes {
            if changes.is_empty() {
                continue;
            }
            out.extend_from_slice(format!(" {name} (").as_bytes());
            let is_removal = name == "REMOVEFROM";
            print_changes(&changes, is_removal, |uid| number(view, by_uid, uid), out);
            out.push(b')');
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn number(view: &UidMap, by_uid: bool, uid: u32) -> Option<u32> {
    if by_uid { Some(uid) } else { view.seq_of(uid) }
}

/// `context-position SP sequence-set *(SP context-position SP sequence-set)`. Neighbours whose
/// numbers go up one by one are one range. RFC 5267 §5.
fn print_changes(
    changes: &Changes,
    is_removal: bool,
    number: impl Fn(u32) -> Option<u32>,
    out: &mut Vec<u8>,
) {
    let numbered: Vec<(usize, u32)> =
        changes.iter().filter_map(|(place, uid)| Some((*place, number(*uid)?))).collect();
    // Without an order all is one set.
    if numbered.iter().all(|(place, _)| *place == 0) {
        out.extend_from_slice(b"0 ");
        return print::set(out, &numbered.iter().map(|(_, number)| *number).collect());
    }
    let follows = |a: &(usize, u32), b: &(usize, u32)| {
        let place = if is_removal { a.0 } else { a.0 + 1 };
        b.0 == place && a.1.checked_add(1) == Some(b.1)
    };
    for (index, run) in numbered.chunk_by(follows).enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        let place = run.first().map_or(0, |(place, _)| *place);
        print::number(out, place as u64);
        out.push(b' ');
        Numbers::List(run.iter().map(|(_, number)| *number).collect()).print(out);
    }
}

/// `* NO [NOUPDATE "tag"] text`: the command is carried out, without updates. RFC 5267 §4.3.1.
pub(super) fn refuse(tag: &str, why: &str, out: &mut Vec<u8>) {
    print::untagged(out, &format!("NO [NOUPDATE \"{tag}\"] {why}"));
}

/// A command with UPDATE, until its result is there.
#[derive(Debug)]
pub(super) struct Opening {
    key: ResolvedKey,
    sort: Vec<SortKey>,
}

impl Opening {
    /// What a result is kept up to date by, or why not.
    ///
    /// Deviation: RFC 5267 §4.3.1 lets a server refuse; we do where messages are sorted by relevancy.
    pub(super) fn new(key: ResolvedKey, sort: &[SortKey]) -> Result<Self, &'static str> {
        if sort.iter().any(|key| key.by == SortBy::Relevancy) {
            return Err("no updates in order of relevancy");
        }
        Ok(Self { key, sort: sort.to_vec() })
    }
}

/// Prepares for a context: from here on changes are kept, as the search may have been before them.
/// Returns why it is refused.
pub(super) fn prepare(session: &mut Session) -> Option<&'static str> {
    let State::Selected(view) = &mut session.state else { return Some("no mailbox selected") };
    let contexts = view.contexts.get_or_insert_default();
    let results = contexts.all.iter().map(|context| context.result.len()).sum::<u64>();
    match () {
        () if contexts.all.len() >= CONTEXTS_MAX => Some("too many contexts"),
        () if results > CONTEXT_RESULTS_MAX => Some("contexts too large"),
        () => None,
    }
}

/// Whether a tag is that of a context. RFC 5267 §4.3: it may not be used for another.
pub(super) fn is_open(session: &Session, tag: &str) -> bool {
    let contexts = session.view().and_then(|view| view.contexts.as_ref());
    contexts.is_some_and(|contexts| contexts.all.iter().any(|context| context.tag == tag))
}

/// The result that was told is kept up to date from now on.
///
/// - `at`: the time by which it was found.
pub(super) fn open(
    session: &mut Session,
    cmd: &Tagged,
    opening: Opening,
    uids: &Numbers,
    at: UnixSeconds,
) {
    let by_age = |key: &ResolvedKey| matches!(key, SearchKey::Older(_) | SearchKey::Younger(_));
    let State::Selected(view) = &mut session.state else { return };
    let result = match uids {
        Numbers::Set(set) => Kept::Set(set.clone()),
        Numbers::List(order) => Kept::Order(Arc::new(order.clone())),
    };
    if result.len() > CONTEXT_RESULTS_MAX {
        close_if_unused(session);
        return refuse(&cmd.tag, "too many results", &mut session.out);
    }
    view.contexts.get_or_insert_default().all.push(Context {
        tag: cmd.tag.clone(),
        by_uid: cmd.name.is_uid(),
        looked_at: opening.key.any(&by_age).then_some(at),
        key: Arc::new(opening.key),
        sort: opening.sort,
        result,
    });
}

/// Without a context nothing needs to be noted.
pub(super) fn close_if_unused(session: &mut Session) {
    if let State::Selected(view) = &mut session.state
        && view.contexts.as_ref().is_some_and(|contexts| contexts.all.is_empty())
    {
        view.contexts = None;
    }
}

/// CANCELUPDATE. RFC 5267 §4.3.5. What is not there need not be ended, so any tag will do.
pub(super) fn cancel(session: &mut Session, cmd: Tagged, tags: &[String]) -> Action {
    if let State::Selected(view) = &mut session.state
        && let Some(contexts) = &mut view.contexts
    {
        contexts.all.retain(|context| !tags.contains(&context.tag));
    }
    close_if_unused(session);
    session.done(cmd)
}

impl Session {
    /// What to ask so that contexts are right again.
    pub(super) fn update_op(&mut self) -> Option<Op> {
        let State::Selected(view) = &mut self.state else { return None };
        let contexts = view.contexts.as_mut()?;
        let has_ages = contexts.has_ages();
        if !has_ages && !contexts.has_changed() {
            return None;
        }
        let op = contexts.op(view.mailbox, &view.uids);
        (has_ages || !op.changed.is_empty()).then(|| Op::Update(Box::new(op)))
    }

    /// The driver has looked. If it could not, what the client has is wrong from now on.
    pub(super) fn updated(&mut self, updates: Option<Vec<Updated>>) {
        let State::Selected(view) = &mut self.state else { return };
        let out = &mut self.out;
        match (updates, &mut view.contexts) {
            (Some(updates), Some(contexts)) => {
                contexts.update(&view.uids, updates, self.enabled.uidonly, out);
            }
            _ => view.contexts.take().into_iter().for_each(|contexts| contexts.give_up(out)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `gone` out of `order`, then puts `places` in, `uid>last` (`-` for the front).
    #[track_caller]
    fn check(order: &[u32], gone: &[u32], places: &str, want: &str) {
        let old = Arc::new(order.to_vec());
        let mut now = Arc::clone(&old);
        let removed = take_from_order(&mut now, |uid| gone.contains(&uid));
        let places: Vec<_> = places
            .split_whitespace()
            .map(|place| place.split_once('>').unwrap())
            .map(|(uid, last)| (uid.parse().unwrap(), last.parse().ok()))
            .collect();
        let added = put_in_order(&mut now, &old, &places);
        // A client that does what it is told has the same.
        let mut client = order.to_vec();
        for (place, uid) in &removed {
            assert_eq!(client.remove(place - 1), *uid);
        }
        added.iter().for_each(|(place, uid)| client.insert(place - 1, *uid));
        assert_eq!(client, **now);
        let mut out = Vec::new();
        print_changes(&removed, true, Some, &mut out);
        out.push(b'|');
        print_changes(&added, false, Some, &mut out);
        let text = String::from_utf8(out).unwrap().replace("0 |", "|");
        assert_eq!(text.strip_suffix("0 ").unwrap_or(&text), want);
    }

    /// RFC 5267 §4.3.2 to §4.3.4.
    #[test]
    fn places_are_those_at_each_step() {
        check(&[5, 3, 9], &[], "", "|");
        check(&[5, 3, 9], &[3], "", "2 3|");
        check(&[5, 3, 9], &[5, 9], "", "1 5 2 9|");
        check(&[5, 3, 9], &[], "7>-", "|1 7");
        check(&[5, 3, 9], &[], "7>5 8>5 2>9", "|2 7:8 6 2");
        check(&[4, 5, 6], &[4, 5, 6], "", "1 4:6|");
        check(&[6, 5, 4], &[4, 5, 6], "", "1 6 1 5 1 4|");
        // After one that goes at the same time.
        check(&[5, 3, 9], &[3], "7>3 8>3", "2 3|2 7:8");
        check(&[], &[], "2>- 1>-", "|1 2 2 1");
        check(&[3], &[], "3>-", "|");
        check(&[3], &[], "5>9 6>-", "|1 6 3 5");
    }

    #[test]
    fn changes_beyond_what_is_remembered_are_all() {
        let mut contexts = Contexts::default();
        contexts.changed(1..=u32::try_from(CHANGED_MAX).unwrap());
        assert_eq!((contexts.changed.len(), contexts.all_changed), (CHANGED_MAX, false));
        contexts.changed([1]);
        assert_eq!((contexts.changed.len(), contexts.all_changed), (0, true));
        contexts.changed([1]);
        assert!(contexts.changed.is_empty() && !contexts.has_changed());
    }
}
