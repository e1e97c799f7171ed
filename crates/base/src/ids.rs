//! Numbers that name things, each its own type so that none is taken for another.

use std::fmt;
use std::num::NonZeroU32;

/// A message's unique identifier within a mailbox, never zero. RFC 9051 §2.3.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(NonZeroU32);

/// The value that tells whether UIDs of a mailbox are still the same ones. RFC 9051 §2.3.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UidValidity(NonZeroU32);

macro_rules! nz32 {
    ($name:ident) => {
        impl $name {
            /// The smallest value.
            pub const MIN: Self = Self(NonZeroU32::MIN);
            /// The largest value.
            pub const MAX: Self = Self(NonZeroU32::MAX);

            /// Makes one, `None` for zero.
            #[must_use]
            pub fn new(number: u32) -> Option<Self> {
                NonZeroU32::new(number).map(Self)
            }

            /// The number.
            #[must_use]
            pub fn get(self) -> u32 {
                self.0.get()
            }

            /// The next larger one, `None` past the largest.
            #[must_use]
            pub fn next(self) -> Option<Self> {
                self.0.checked_add(1).map(Self)
            }
        }

        impl From<$name> for u32 {
            fn from(value: $name) -> Self {
                value.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

nz32!(Uid);
nz32!(UidValidity);

/// A modification sequence: a 63-bit counter over all changes of an account. RFC 7162 §3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModSeq(u64);

impl ModSeq {
    /// The largest value (63 bits: `mod-sequence-value` of RFC 7162 §7).
    pub const MAX: Self = Self(i64::MAX as u64);

    /// Makes one, `None` above [`ModSeq::MAX`].
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        (number <= Self::MAX.0).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_id! {
    /// A mailbox within an account; never used again after the mailbox is gone.
    MailboxId
}
row_id! {
    /// A message within an account; kept when the message is moved, never used again.
    MsgId
}
row_id! {
    /// The content of a message, within an account: the same for its copies. RFC 8474 §5.1.
    EmailId
}
row_id! {
    /// A thread within an account: the id of its first message.
    ThreadId
}
