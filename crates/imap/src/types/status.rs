//! What STATUS can ask for.

/// One `status-att`. RFC 9051 §6.3.11, RFC 7162 §3.1.7, RFC 8438 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusItem {
    /// Number of messages.
    Messages,
    /// The next UID.
    UidNext,
    /// The UID validity.
    UidValidity,
    /// Messages without `\Seen`.
    Unseen,
    /// Messages with `\Deleted`.
    Deleted,
    /// Sum of message sizes in octets.
    Size,
    /// Messages with `\Recent`; always 0. RFC 3501 §6.3.10.
    Recent,
    /// The highest mod-sequence.
    HighestModSeq,
    /// The largest message APPEND takes; always NIL, no limit of this mailbox. RFC 7889 §3.
    AppendLimit,
    /// Octets of messages with `\Deleted`, to be freed by EXPUNGE. RFC 9208 §4.1.4.
    DeletedStorage,
    /// The identifier of the mailbox. RFC 8474 §4.3.
    MailboxId,
}

impl StatusItem {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Messages,
        Self::UidNext,
        Self::UidValidity,
        Self::Unseen,
        Self::Deleted,
        Self::Size,
        Self::Recent,
        Self::HighestModSeq,
        Self::AppendLimit,
        Self::DeletedStorage,
        Self::MailboxId,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
            Self::Deleted => "DELETED",
            Self::Size => "SIZE",
            Self::Recent => "RECENT",
            Self::HighestModSeq => "HIGHESTMODSEQ",
            Self::AppendLimit => "APPENDLIMIT",
            Self::DeletedStorage => "DELETED-STORAGE",
            Self::MailboxId => "MAILBOXID",
        }
    }

    /// From its name in any case.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|item| item.name().as_bytes().eq_ignore_ascii_case(name))
    }
}
