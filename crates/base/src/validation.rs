//! How far it is proven who sent a message.
//!
//! Source: RFC 7208 §2.6 (SPF), RFC 7489 §3.1 (alignment).

/// How far an identity of a message is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Validation {
    /// Not looked at.
    #[default]
    Unknown,
    /// Author: SPF or DKIM pass for exactly its domain.
    Strict,
    /// Author: DMARC passes, with a domain of the same organisation.
    Dmarc,
    /// Author: SPF or DKIM pass for a domain of the same organisation, without DMARC.
    Relaxed,
    /// SPF: the server may send for it. RFC 7208 §2.6.3.
    Pass,
    /// SPF: the domain does not say. RFC 7208 §2.6.2.
    Neutral,
    /// SPF: DNS failed. RFC 7208 §2.6.6.
    TempError,
    /// SPF: the record is broken. RFC 7208 §2.6.7.
    PermError,
    /// SPF: the server may not send for it. RFC 7208 §2.6.4.
    Fail,
    /// SPF: the server probably may not. RFC 7208 §2.6.5.
    SoftFail,
    /// Nothing proves it; SPF: there is no record. RFC 7208 §2.6.1.
    None,
}

impl Validation {
    /// Every level, in the order of their numbers in a database.
    pub const ALL: [Self; 11] = [
        Self::Unknown,
        Self::Strict,
        Self::Dmarc,
        Self::Relaxed,
        Self::Pass,
        Self::Neutral,
        Self::TempError,
        Self::PermError,
        Self::Fail,
        Self::SoftFail,
        Self::None,
    ];

    /// The level with this number; [`Validation::Unknown`] if there is none.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// The number, for storing. Its meaning never changes.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Whether the identity is proven.
    #[must_use]
    pub fn is_validated(self) -> bool {
        matches!(self, Self::Strict | Self::Dmarc | Self::Relaxed | Self::Pass)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Strict => "strict",
            Self::Dmarc => "dmarc",
            Self::Relaxed => "relaxed",
            Self::Pass => "pass",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_levels_prove_an_identity() {
        let validated = Validation::ALL.into_iter().filter(|level| level.is_validated());
        let words: Vec<&str> = validated.map(Validation::as_str).collect();
        assert_eq!(words, ["strict", "dmarc", "relaxed", "pass"]);
        for (number, level) in Validation::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(level.number()), number);
            assert_eq!(Validation::from_number(level.number()), level);
        }
        assert_eq!(Validation::from_number(11), Validation::Unknown);
    }
}
