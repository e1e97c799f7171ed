//! What NOTIFY asks for.
//!
//! Source: RFC 5465 §3.1, RFC 5465 §5.

use super::{FetchItem, MailboxFilter};

/// The most event groups of one NOTIFY. Ours; each event is looked up in all of them.
pub const NOTIFY_GROUPS_MAX: usize = 100;

/// The most events in one group. There are seven kinds.
pub const NOTIFY_EVENTS_MAX: usize = 20;

/// NOTIFY. RFC 5465 §3.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notify {
    /// `NONE`: no more notifications.
    None,
    /// `SET`.
    Set {
        /// `STATUS`: begin with the status of the mailboxes that are watched for messages.
        status: bool,
        /// What to tell of which mailboxes.
        groups: Vec<EventGroup>,
    },
}

/// `event-group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventGroup {
    /// Which mailboxes.
    pub filter: MailboxFilter,
    /// The events; none for `NONE`.
    pub events: EventSet,
    /// What to fetch of new messages in the selected mailbox; the default if empty. RFC 5465 §5.2.
    pub items: Vec<FetchItem>,
    /// An event was named that is not known here.
    pub has_unknown: bool,
}

/// A set of events. RFC 5465 §5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventSet(u8);

impl EventSet {
    /// None.
    pub const NONE: Self = Self(0);
    /// `MessageNew`. RFC 5465 §5.2.
    pub const MESSAGE_NEW: Self = Self(1);
    /// `MessageExpunge`. RFC 5465 §5.3.
    pub const MESSAGE_EXPUNGE: Self = Self(1 << 1);
    /// `FlagChange`. RFC 5465 §5.1.
    pub const FLAG_CHANGE: Self = Self(1 << 2);
    /// `MailboxName`. RFC 5465 §5.4.
    pub const MAILBOX_NAME: Self = Self(1 << 3);
    /// `SubscriptionChange`. RFC 5465 §5.5.
    pub const SUBSCRIPTION_CHANGE: Self = Self(1 << 4);
    /// `MailboxMetadataChange`. RFC 5465 §5.6.
    pub const MAILBOX_METADATA_CHANGE: Self = Self(1 << 5);
    /// `ServerMetadataChange`. RFC 5465 §5.7.
    pub const SERVER_METADATA_CHANGE: Self = Self(1 << 6);

    /// The three that are about messages.
    pub const MESSAGES: Self = Self(7);

    /// Every event with its name, in the order of `BADEVENT`.
    const NAMES: [(Self, &str); 7] = [
        (Self::MESSAGE_NEW, "MessageNew"),
        (Self::MESSAGE_EXPUNGE, "MessageExpunge"),
        (Self::FLAG_CHANGE, "FlagChange"),
        (Self::MAILBOX_NAME, "MailboxName"),
        (Self::SUBSCRIPTION_CHANGE, "SubscriptionChange"),
        (Self::MAILBOX_METADATA_CHANGE, "MailboxMetadataChange"),
        (Self::SERVER_METADATA_CHANGE, "ServerMetadataChange"),
    ];

    /// The event of this name, in any case.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let known = |(_, known): &&(Self, &str)| known.as_bytes().eq_ignore_ascii_case(name);
        Self::NAMES.iter().find(known).map(|(event, _)| *event)
    }

    /// The names of all events.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|(_, name)| *name)
    }

    /// Whether all of `other` are in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in the set.
    #[must_use]
    pub const fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds events.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5465 §8.
    #[test]
    fn events_have_names() {
        for name in EventSet::names() {
            let event = EventSet::from_name(name.to_ascii_uppercase().as_bytes()).unwrap();
            let mut set = EventSet::MESSAGES.without(event);
            assert!(!set.contains(event) && !set.has_any(event), "{name}");
            set.insert(event);
            assert!(set.contains(event) && !set.is_empty(), "{name}");
        }
        assert_eq!(EventSet::from_name(b"AnnotationChange"), None);
        assert!(EventSet::MESSAGES.without(EventSet::MESSAGES).is_empty());
    }
}
