//! From the store's change feed to the session.

use mox_base::ModSeq;
use mox_imap::session::{Change, MessageState, Session};
use mox_imap::types::{FlagList, NumSet};
use mox_store::{ChangeKind, SubscriberId, Subscription};

/// Which of the session's own changes it gets to hear through the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnChanges {
    /// None: the outcome of the operation tells them.
    Ignored,
    /// Messages that came and went by renaming or deleting a mailbox, of which the outcome says
    /// nothing.
    Messages,
}

/// The session's end of the feed.
pub(crate) struct Feed {
    subscription: Subscription,
    /// The last change that was taken.
    taken: ModSeq,
    /// What the operation under way has read includes changes up to this.
    read: ModSeq,
    is_closed: bool,
}

impl Feed {
    pub(crate) fn new(subscription: Subscription) -> Self {
        Self { subscription, taken: ModSeq::default(), read: ModSeq::default(), is_closed: false }
    }

    /// Waits until there is something to pump.
    pub(crate) async fn ready(&self) {
        self.subscription.ready().await;
    }

    /// Waits until the account is closed.
    pub(crate) async fn closed(&self) {
        self.subscription.closed().await;
    }

    /// Notes how far what the client is told has been read.
    pub(crate) fn reads(&mut self, modseq: ModSeq) {
        self.read = self.read.max(modseq);
    }

    /// Waits until the changes up to what was read are there to be pumped.
    ///
    /// RFC 7162 §3.1: a client that was told a mod-sequence asks, when it comes back, for what is
    /// later. It would never hear of an earlier removal that it was not told of before.
    pub(crate) async fn catch_up(&self) {
        if self.read > self.taken {
            self.subscription.reached(self.read).await;
        }
    }

    /// Gives the session everything that was committed. To be called before every outcome.
    pub(crate) fn pump(&mut self, session: &mut Session, own: OwnChanges) {
        let waiting = self.subscription.take();
        self.is_closed |= waiting.closed;
        if waiting.overflow {
            session.push_change(Change::Overflow);
        }
        for change in waiting.changes {
            self.taken = self.taken.max(change.modseq);
            let is_own = change.origin == Some(self.id());
            if is_own && !(own == OwnChanges::Messages && is_of_messages(&change.kind)) {
                continue;
            }
            session.push_change_of(&change.kind, change.modseq);
        }
    }

    /// Whether the account was closed, as the last pump heard: by a failed commit, so that this session
    /// can write nothing any more and would hear of nothing, or since it is to end.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn id(&self) -> SubscriberId {
        self.subscription.id()
    }

    /// Tells the store what the client has been told of: removed messages that no session can
    /// still fetch are erased.
    pub(crate) fn applied(&self, session: &Session) {
        let before = |modseq: ModSeq| ModSeq::new(modseq.get().saturating_sub(1));
        let applied = session.oldest_removal().and_then(before).unwrap_or(self.taken);
        self.subscription.applied(applied);
    }

    /// What was read at this moment includes all changes up to it.
    pub(crate) fn has_read(&mut self, modseq: ModSeq) {
        self.taken = self.taken.max(modseq);
    }
}

fn is_of_messages(kind: &ChangeKind) -> bool {
    matches!(kind, ChangeKind::Added { .. } | ChangeKind::Removed { .. })
}

/// Gives a session changes in the store's terms.
trait PushChange {
    fn push_change_of(&mut self, kind: &ChangeKind, modseq: ModSeq);
}

impl PushChange for Session {
    fn push_change_of(&mut self, kind: &ChangeKind, modseq: ModSeq) {
        match kind {
            ChangeKind::Added { mailbox, messages } => {
                let messages = states(messages, modseq);
                self.push_change(Change::Added { mailbox: *mailbox, messages });
            }
            ChangeKind::Flags { mailbox, messages } => {
                let messages = states(messages, modseq);
                self.push_change(Change::Flags { mailbox: *mailbox, messages });
            }
            ChangeKind::Removed { mailbox, uids } => {
                let uids: NumSet = uids.iter().map(|uid| uid.get()).collect();
                self.push_change(Change::Removed { mailbox: *mailbox, uids, modseq });
            }
            ChangeKind::MailboxAdded { name, special_use, subscribed, .. } => {
                self.push_change(Change::MailboxAdded {
                    name: name.clone(),
                    is_subscribed: *subscribed,
                    special_use: *special_use,
                });
            }
            ChangeKind::MailboxRemoved { name, .. } => {
                self.push_change(Change::MailboxRemoved(name.clone()));
            }
            ChangeKind::MailboxRenamed { old, new, special_use, subscribed, .. } => {
                self.push_change(Change::MailboxRenamed {
                    from: old.clone(),
                    to: new.clone(),
                    is_subscribed: *subscribed,
                    special_use: *special_use,
                });
            }
            ChangeKind::Subscription { name, subscribed, exists } => {
                self.push_change(Change::Subscription {
                    name: name.clone(),
                    is_subscribed: *subscribed,
                    exists: *exists,
                });
            }
            ChangeKind::Keywords { mailbox, keywords } => {
                let keywords = keywords.clone();
                self.push_change(Change::Keywords { mailbox: *mailbox, keywords });
            }
            ChangeKind::Annotations { mailbox, names } => {
                let mailbox = mailbox.as_ref().map(|(_, name)| name.clone());
                self.push_change(Change::Metadata { mailbox, names: names.clone() });
            }
            ChangeKind::SpecialUse { name, special_use, subscribed, .. } => {
                self.push_change(Change::SpecialUse {
                    name: name.clone(),
                    is_subscribed: *subscribed,
                    special_use: *special_use,
                });
            }
        }
    }
}

fn states(messages: &[mox_store::MessageState], modseq: ModSeq) -> Vec<MessageState> {
    let state = |message: &mox_store::MessageState| MessageState {
        uid: message.uid,
        modseq,
        flags: FlagList { system: message.flags, keywords: message.keywords.clone() },
    };
    messages.iter().map(state).collect()
}
