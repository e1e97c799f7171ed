//! What can happen to a message that was sent.

use std::fmt;

/// What a webhook call about a message that was sent tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutgoingEvent {
    /// Taken by the next server.
    Delivered,
    /// Not sent, since the recipient is on the suppression list.
    Suppressed,
    /// To be tried again.
    Delayed,
    /// Given up.
    Failed,
    /// Sent on to a system that does not report.
    Relayed,
    /// Sent on to several recipients.
    Expanded,
    /// Removed from the queue.
    Canceled,
    /// A report that could not be understood.
    Unrecognized,
}

impl OutgoingEvent {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Delivered,
        Self::Suppressed,
        Self::Delayed,
        Self::Failed,
        Self::Relayed,
        Self::Expanded,
        Self::Canceled,
        Self::Unrecognized,
    ];

    /// The word for it, in payloads and in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Suppressed => "suppressed",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
            Self::Canceled => "canceled",
            Self::Unrecognized => "unrecognized",
        }
    }

    /// What a word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == word)
    }
}

impl fmt::Display for OutgoingEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
