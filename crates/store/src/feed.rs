//! The change feed: what was committed, told to every session in the order of the commits.
//!
//! A subscriber gets all changes of its account, its own too (marked by [`Change::origin`]), so
//! that it can follow the account by the feed alone: numbers of messages then change in every
//! session in the same order. A change is in the feed before the write that made it is answered.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use mox_base::{Flags, Keyword, MailboxId, MailboxName, ModSeq, SpecialUse, Uid};
use parking_lot::Mutex;

/// The most changes, counted in messages, that wait for one subscriber. More and it is told that
/// it lost track, and must read anew.
pub const PENDING_CHANGES_MAX: usize = 10_000;

/// Names a subscriber within its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriberId(u64);

/// One committed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of the operation that made it. Several changes of one operation share it; later
    /// operations have higher ones.
    pub modseq: ModSeq,
    /// The subscriber whose operation it was, if any.
    pub origin: Option<SubscriberId>,
    /// What happened.
    pub kind: ChangeKind,
}

/// A message as it stands after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageState {
    /// Its UID.
    pub uid: Uid,
    /// Its flags now.
    pub flags: Flags,
    /// Its keywords now, sorted.
    pub keywords: Vec<Keyword>,
}

/// What a change was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Messages appeared, in ascending order of UIDs.
    Added {
        /// Where.
        mailbox: MailboxId,
        /// Which.
        messages: Vec<MessageState>,
    },
    /// Messages are gone: expunged or moved away.
    Removed {
        /// From where.
        mailbox: MailboxId,
        /// Which, ascending.
        uids: Vec<Uid>,
    },
    /// Flags or keywords changed.
    Flags {
        /// Where.
        mailbox: MailboxId,
        /// Which, ascending, with their new state.
        messages: Vec<MessageState>,
    },
    /// The keywords in use in a mailbox grew.
    Keywords {
        /// Where.
        mailbox: MailboxId,
        /// All of them now, sorted.
        keywords: Vec<Keyword>,
    },
    /// A mailbox was created.
    MailboxAdded {
        /// Its id.
        mailbox: MailboxId,
        /// Its name.
        name: MailboxName,
        /// Its roles.
        special_use: SpecialUse,
        /// Whether its name is subscribed to.
        subscribed: bool,
    },
    /// A mailbox was deleted.
    MailboxRemoved {
        /// The id it had.
        mailbox: MailboxId,
        /// The name it had.
        name: MailboxName,
    },
    /// A mailbox got another name.
    MailboxRenamed {
        /// Its id, which stays.
        mailbox: MailboxId,
        /// The name it had.
        old: MailboxName,
        /// The name it has.
        new: MailboxName,
        /// Its roles.
        special_use: SpecialUse,
        /// Whether its new name is subscribed to.
        subscribed: bool,
    },
    /// A mailbox gained or lost roles.
    SpecialUse {
        /// Which.
        mailbox: MailboxId,
        /// Its name.
        name: MailboxName,
        /// Its roles now.
        special_use: SpecialUse,
        /// Whether its name is subscribed to.
        subscribed: bool,
    },
    /// Annotations were set or removed. RFC 5464 §4.4.
    Annotations {
        /// Of which mailbox; `None` for the account itself.
        mailbox: Option<(MailboxId, MailboxName)>,
        /// The names of the annotations, sorted.
        names: Vec<String>,
    },
    /// A name was subscribed to, or no longer is.
    Subscription {
        /// The name, of a mailbox or not.
        name: MailboxName,
        /// Whether it is subscribed to now.
        subscribed: bool,
        /// Whether a mailbox of this name exists.
        exists: bool,
    },
}

impl ChangeKind {
    /// How much of a subscriber's bound this takes.
    fn weight(&self) -> usize {
        match self {
            Self::Added { messages, .. } | Self::Flags { messages, .. } => messages.len(),
            Self::Removed { uids, .. } => uids.len(),
            _ => 1,
        }
    }
}

/// What was waiting for a subscriber.
#[derive(Debug, Default)]
pub struct Changes {
    /// The changes, in the order of their commits.
    pub changes: Vec<Arc<Change>>,
    /// Whether changes were dropped since the last time because too many waited.
    pub overflow: bool,
    /// Whether there will be no more: a failed commit has closed the account, and whoever wants to
    /// go on must open it anew.
    pub closed: bool,
}

/// All subscribers of one account.
#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<HubState>);

#[derive(Debug, Default)]
struct HubState {
    last_id: u64,
    closed: bool,
    /// A batch is being committed: readers may see it before its changes are handed out.
    committing: bool,
    /// All changes up to this were handed out; 0 before the first commit.
    published: ModSeq,
    subscribers: Vec<Arc<Subscriber>>,
}

#[derive(Debug)]
struct Subscriber {
    id: SubscriberId,
    state: Mutex<SubscriberState>,
}

#[derive(Debug)]
struct SubscriberState {
    pending: Vec<Arc<Change>>,
    weight: usize,
    overflow: bool,
    closed: bool,
    /// Changes up to this one are applied: what they removed need not stay readable.
    applied: ModSeq,
    waker: Option<Waker>,
}

impl SubscriberState {
    /// Keeps a change, or notes that there were too many.
    fn push(&mut self, change: &Arc<Change>) {
        let weight = change.kind.weight();
        if self.overflow || self.weight + weight > PENDING_CHANGES_MAX {
            self.overflow = true;
            self.pending = Vec::new();
            self.weight = 0;
        } else {
            self.weight += weight;
            self.pending.push(Arc::clone(change));
        }
    }
}

impl Hub {
    /// Adds a subscriber that knows the account up to `now`.
    pub(crate) fn subscribe(self: &Arc<Self>, now: ModSeq) -> Subscription {
        let mut hub = self.0.lock();
        hub.last_id += 1;
        let state = SubscriberState {
            pending: Vec::new(),
            weight: 0,
            overflow: false,
            closed: hub.closed,
            applied: now,
            waker: None,
        };
        let id = SubscriberId(hub.last_id);
        let subscriber = Arc::new(Subscriber { id, state: Mutex::new(state) });
        hub.subscribers.push(Arc::clone(&subscriber));
        Subscription { hub: Arc::clone(self), subscriber }
    }

    /// Hands the changes of a commit to every subscriber, all at once: a subscriber that took a
    /// part of them could not tell that others of the same modseq are to come.
    pub(crate) fn publish(&self, changes: &[Arc<Change>]) {
        for subscriber in &self.0.lock().subscribers {
            let mut state = subscriber.state.lock();
            for change in changes {
                state.push(change);
            }
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
    }

    /// Has every subscriber read anew: what they know has changed in a way that is not told.
    pub(crate) fn lose_track(&self) {
        for subscriber in &self.0.lock().subscribers {
            let mut state = subscriber.state.lock();
            state.overflow = true;
            state.pending = Vec::new();
            state.weight = 0;
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
    }

    /// Notes that a batch is about to be committed.
    pub(crate) fn commit_begins(&self) {
        self.0.lock().committing = true;
    }

    /// Notes that all changes of the batch were handed out, or that there are none because it
    /// failed.
    pub(crate) fn commit_ends(&self, published: Option<ModSeq>) {
        let mut hub = self.0.lock();
        hub.committing = false;
        hub.published = published.unwrap_or(hub.published);
        for subscriber in &hub.subscribers {
            if let Some(waker) = subscriber.state.lock().waker.take() {
                waker.wake();
            }
        }
    }

    fn has_published(&self, modseq: ModSeq) -> bool {
        let hub = self.0.lock();
        hub.closed || !hub.committing || hub.published >= modseq
    }

    /// Tells all subscribers that nothing will come any more.
    pub(crate) fn close(&self) {
        self.0.lock().closed = true;
        self.dismiss();
    }

    /// Tells those who are subscribed now that nothing will come for them any more.
    pub(crate) fn dismiss(&self) {
        let hub = self.0.lock();
        for subscriber in &hub.subscribers {
            let mut state = subscriber.state.lock();
            state.closed = true;
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
    }

    /// The last change that every subscriber has applied; `None` if there is no subscriber.
    pub(crate) fn applied_by_all(&self) -> Option<ModSeq> {
        self.0.lock().subscribers.iter().map(|s| s.state.lock().applied).min()
    }
}

/// A subscription to the changes of an account. Ends when dropped.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    subscriber: Arc<Subscriber>,
}

impl Subscription {
    /// The name under which this subscriber's own operations are marked.
    #[must_use]
    pub fn id(&self) -> SubscriberId {
        self.subscriber.id
    }

    /// Takes what is waiting; never blocks.
    ///
    /// What the changes removed stays readable until [`Subscription::applied`] says that it need
    /// not.
    #[must_use]
    pub fn take(&self) -> Changes {
        let mut state = self.subscriber.state.lock();
        state.weight = 0;
        let changes = std::mem::take(&mut state.pending);
        let overflow = std::mem::take(&mut state.overflow);
        Changes { changes, overflow, closed: state.closed }
    }

    /// Waits until something can be taken.
    pub async fn ready(&self) {
        poll_fn(|context| {
            let mut state = self.subscriber.state.lock();
            if !state.pending.is_empty() || state.overflow || state.closed {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits until nothing will come any more. To be awaited in one task with [`Subscription::ready`].
    pub async fn closed(&self) {
        poll_fn(|context| {
            let mut state = self.subscriber.state.lock();
            if state.closed {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits until all changes up to `modseq`, which a reader has seen, can be taken: for the end
    /// of a commit at most.
    ///
    /// A commit can be read before its changes are handed out. Who tells what it has read must not
    /// do so before those changes. Not to be awaited at the same time as [`Subscription::ready`].
    pub async fn reached(&self, modseq: ModSeq) {
        poll_fn(|context| {
            // First the waker, so that an end of the commit in between is not missed.
            self.subscriber.state.lock().waker = Some(context.waker().clone());
            if self.hub.has_published(modseq) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Tells that all changes up to `modseq` are applied: messages they removed may be erased.
    pub fn applied(&self, modseq: ModSeq) {
        let mut state = self.subscriber.state.lock();
        state.applied = state.applied.max(modseq);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.0.lock().subscribers.retain(|s| s.id != self.subscriber.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    fn removed(modseq: u64, count: u32) -> Arc<Change> {
        let uids = (1..=count).filter_map(Uid::new).collect();
        let kind = ChangeKind::Removed { mailbox: MailboxId(1), uids };
        Arc::new(Change { modseq: ModSeq::new(modseq).unwrap(), origin: None, kind })
    }

    #[test]
    fn every_subscriber_gets_every_change_once() {
        let hub = Arc::new(Hub::default());
        let (one, two) = (hub.subscribe(ModSeq::default()), hub.subscribe(ModSeq::default()));
        hub.publish(&[removed(1, 1)]);
        hub.publish(&[removed(2, 1)]);
        assert_eq!(one.take().changes.len(), 2);
        assert_eq!(one.take().changes.len(), 0);
        assert_eq!(two.take().changes.len(), 2);
    }

    #[test]
    fn too_many_changes_are_dropped_and_told() {
        let hub = Arc::new(Hub::default());
        let subscription = hub.subscribe(ModSeq::default());
        hub.publish(&[removed(1, 10_000)]);
        assert!(!subscription.take().overflow);
        hub.publish(&[removed(2, 10_000)]);
        hub.publish(&[removed(3, 1)]);
        let changes = subscription.take();
        assert!(changes.overflow && changes.changes.is_empty());
        hub.publish(&[removed(4, 1)]);
        assert_eq!(subscription.take().changes.len(), 1);
    }

    /// A client was told of what replaced a message, and had gone before it was told of what was
    /// replaced: both have one modseq, so that it never asked.
    #[test]
    fn the_changes_of_a_commit_come_together() {
        const COMMITS: u64 = 2_000;
        let hub = Arc::new(Hub::default());
        let subscription = hub.subscribe(ModSeq::default());
        let publishing = std::thread::spawn(move || {
            for modseq in 1..=COMMITS {
                hub.publish(&[removed(modseq, 1), removed(modseq, 1)]);
            }
        });
        let mut count = 0;
        while count < 2 * COMMITS as usize {
            let taken = subscription.take().changes.len();
            assert!(taken.is_multiple_of(2), "a part of a commit");
            count += taken;
        }
        publishing.join().unwrap();
    }

    #[test]
    fn what_is_applied_is_the_least_of_all() {
        let hub = Arc::new(Hub::default());
        assert_eq!(hub.applied_by_all(), None);
        let one = hub.subscribe(ModSeq::default());
        let two = hub.subscribe(ModSeq::new(7).unwrap());
        one.applied(ModSeq::new(9).unwrap());
        assert_eq!(hub.applied_by_all(), ModSeq::new(7));
        drop(two);
        assert_eq!(hub.applied_by_all(), ModSeq::new(9));
    }

    #[test]
    fn a_waiting_subscriber_is_woken() {
        let hub = Arc::new(Hub::default());
        let subscription = hub.subscribe(ModSeq::default());
        let mut ready = pin!(subscription.ready());
        let mut context = Context::from_waker(Waker::noop());
        assert!(ready.as_mut().poll(&mut context).is_pending());
        hub.publish(&[removed(1, 1)]);
        assert!(ready.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn those_who_are_dismissed_hear_it_and_later_ones_do_not() {
        let hub = Arc::new(Hub::default());
        let before = hub.subscribe(ModSeq::default());
        hub.dismiss();
        assert!(before.take().closed);
        assert!(!hub.subscribe(ModSeq::default()).take().closed);
    }

    #[test]
    fn subscribers_hear_that_the_account_is_closed() {
        let hub = Arc::new(Hub::default());
        let before = hub.subscribe(ModSeq::default());
        assert!(!before.take().closed);
        hub.close();
        assert!(before.take().closed);
        assert!(hub.subscribe(ModSeq::default()).take().closed);
    }

    /// A commit could be read before its changes were handed out, and a client was told of the
    /// one without the other.
    #[test]
    fn what_was_read_is_waited_for_while_a_commit_ends() {
        use std::future::Future as _;
        use std::task::{Context, Waker};

        let hub = Arc::new(Hub::default());
        let subscription = hub.subscribe(ModSeq::default());
        let is_reached = |modseq| {
            let mut reached = std::pin::pin!(subscription.reached(ModSeq::new(modseq).unwrap()));
            reached.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        assert!(is_reached(9), "nothing is under way");
        hub.commit_begins();
        assert!(!is_reached(9));
        hub.commit_ends(Some(ModSeq::new(9).unwrap()));
        assert!(is_reached(9));
        hub.commit_begins();
        assert!(is_reached(9), "that was an earlier commit");
        assert!(!is_reached(10));
        hub.commit_ends(None);
        assert!(is_reached(10), "the commit failed");
        hub.commit_begins();
        hub.close();
        assert!(is_reached(11), "nothing will come any more");
    }
}
