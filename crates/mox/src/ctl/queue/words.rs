//! What queue commands take, as JSON on one line: made by the program, read by the server.

use mox_base::UnixSeconds;
use mox_queue::{
    Change, Filter, HookEvent, HookFilter, HookId, MessageId, OutgoingEvent, RetiredFilter,
    RetiredSort, RetiredSortField, Sort, SortField, TimeFilter,
};
use serde::{Deserialize, Serialize};

/// A time before or after now, and the side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct When {
    /// Earlier than that; else later.
    pub(crate) is_before: bool,
    /// From now, negative for the past.
    pub(crate) secs: i64,
}

impl When {
    fn filter(self, now: UnixSeconds) -> TimeFilter {
        let time = now.plus_secs(self.secs);
        if self.is_before { TimeFilter::Before(time) } else { TimeFilter::After(time) }
    }
}

/// Which messages.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FilterWords {
    pub(crate) ids: Vec<i64>,
    pub(crate) max: usize,
    pub(crate) account: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) submitted: Option<When>,
    pub(crate) transport: Option<String>,
    /// Of queued messages only.
    pub(crate) next_attempt: Option<When>,
    /// Of queued messages only.
    pub(crate) hold: Option<bool>,
    /// Of retired messages only.
    pub(crate) last_activity: Option<When>,
    /// Of retired messages only.
    pub(crate) is_success: Option<bool>,
}

impl FilterWords {
    pub(crate) fn filter(self, now: UnixSeconds) -> Filter {
        Filter {
            ids: self.ids.into_iter().map(MessageId).collect(),
            account: self.account,
            from: self.from,
            to: self.to,
            hold: self.hold,
            submitted: self.submitted.map(|when| when.filter(now)),
            next_attempt: self.next_attempt.map(|when| when.filter(now)),
            transport: self.transport,
            max: self.max,
        }
    }

    pub(crate) fn retired_filter(self, now: UnixSeconds) -> RetiredFilter {
        RetiredFilter {
            ids: self.ids.into_iter().map(MessageId).collect(),
            account: self.account,
            from: self.from,
            to: self.to,
            submitted: self.submitted.map(|when| when.filter(now)),
            last_activity: self.last_activity.map(|when| when.filter(now)),
            transport: self.transport,
            is_success: self.is_success,
            max: self.max,
        }
    }
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SortWords {
    /// By the time of adding; else by next attempt or last activity.
    pub(crate) by_queued: bool,
    pub(crate) is_ascending: bool,
}

impl SortWords {
    pub(crate) fn sort(self) -> Sort {
        let field = if self.by_queued { SortField::Queued } else { SortField::NextAttempt };
        Sort { field, is_ascending: self.is_ascending, after: None }
    }

    pub(crate) fn retired_sort(self) -> RetiredSort {
        let field = match self.by_queued {
            true => RetiredSortField::Queued,
            false => RetiredSortField::LastActivity,
        };
        RetiredSort { field, is_ascending: self.is_ascending, after: None }
    }
}

/// What to do to messages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ChangeWords {
    Hold(bool),
    Schedule { from_now: bool, secs: i64 },
    Transport(Option<String>),
    RequireTls(Option<bool>),
}

impl From<ChangeWords> for Change {
    fn from(words: ChangeWords) -> Self {
        match words {
            ChangeWords::Hold(is_held) => Self::Hold(is_held),
            ChangeWords::Schedule { from_now, secs } => Self::Schedule { from_now, secs },
            ChangeWords::Transport(transport) => Self::Transport(transport),
            ChangeWords::RequireTls(require_tls) => Self::RequireTls(require_tls),
        }
    }
}

/// Which webhook calls.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HookFilterWords {
    pub(crate) ids: Vec<i64>,
    pub(crate) max: usize,
    pub(crate) account: Option<String>,
    pub(crate) submitted: Option<When>,
    /// Of calls that wait only.
    pub(crate) next_attempt: Option<When>,
    /// Of calls that are over only.
    pub(crate) last_activity: Option<When>,
    pub(crate) event: Option<String>,
}

/// The word for calls about incoming messages.
pub(crate) const INCOMING: &str = "incoming";

/// What an event is named.
pub(crate) fn hook_event(word: &str) -> Result<HookEvent, String> {
    if word == INCOMING {
        return Ok(HookEvent::Incoming);
    }
    OutgoingEvent::parse(word).map(HookEvent::Outgoing).ok_or_else(|| {
        let known = OutgoingEvent::ALL.map(OutgoingEvent::as_str).join(", ");
        format!("unknown event {word:?}: known are {INCOMING}, {known}")
    })
}

impl HookFilterWords {
    pub(crate) fn filter(self, now: UnixSeconds) -> Result<HookFilter, String> {
        Ok(HookFilter {
            ids: self.ids.into_iter().map(HookId).collect(),
            account: self.account,
            submitted: self.submitted.map(|when| when.filter(now)),
            next_attempt: self.next_attempt.map(|when| when.filter(now)),
            last_activity: self.last_activity.map(|when| when.filter(now)),
            event: self.event.as_deref().map(hook_event).transpose()?,
            max: self.max,
        })
    }
}

/// What to do to webhook calls.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum HookChangeWords {
    Schedule { from_now: bool, secs: i64 },
    Cancel,
}
