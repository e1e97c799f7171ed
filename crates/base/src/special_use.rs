//! What a mailbox is for.

use std::ops::{BitAnd, BitOr, Not};

/// The roles of a mailbox, as a set. RFC 6154 §2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SpecialUse(u8);

impl SpecialUse {
    /// No role.
    pub const NONE: Self = Self(0);
    /// `\Archive`
    pub const ARCHIVE: Self = Self(1);
    /// `\Drafts`
    pub const DRAFTS: Self = Self(1 << 1);
    /// `\Junk`
    pub const JUNK: Self = Self(1 << 2);
    /// `\Sent`
    pub const SENT: Self = Self(1 << 3);
    /// `\Trash`
    pub const TRASH: Self = Self(1 << 4);
    /// `\Important`, RFC 8457 §3.2
    pub const IMPORTANT: Self = Self(1 << 5);

    /// Every role with its name on the wire, in the order in which they are shown.
    pub const NAMES: [(Self, &'static str); 6] = [
        (Self::ARCHIVE, "\\Archive"),
        (Self::DRAFTS, "\\Drafts"),
        (Self::JUNK, "\\Junk"),
        (Self::SENT, "\\Sent"),
        (Self::TRASH, "\\Trash"),
        (Self::IMPORTANT, "\\Important"),
    ];

    /// The role of this name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(role, _)| *role)
    }

    /// The names of the roles that are set, in their order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(role, _)| self.contains(*role)).map(|(_, name)| *name)
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no role is set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The stored form.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From the stored form; unknown bits are dropped.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 0x3f)
    }
}

impl BitOr for SpecialUse {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for SpecialUse {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for SpecialUse {
    type Output = Self;

    fn not(self) -> Self {
        Self::from_bits(!self.0)
    }
}
