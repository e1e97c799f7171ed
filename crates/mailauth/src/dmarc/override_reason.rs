//! Why a policy was not applied.
//!
//! Source: RFC 9990 §3.1.1.6 (`PolicyOverrideType`), RFC 7489 §6.7, Appendix C.

use super::verify::Exemption;

/// Why a receiver did other than the owner of a domain asks for. Reports tell it to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OverrideReason {
    /// It came by a forwarder that the recipient named.
    Forwarded,
    /// The receiver knows better.
    LocalPolicy,
    /// It came by a mailing list.
    MailingList,
    /// Something else.
    Other,
    /// The owner is only testing.
    PolicyTestMode,
    /// The owner asks for it for some messages only. RFC 7489 §6.7.
    SampledOut,
    /// It came by a forwarder whose word is trusted.
    TrustedForwarder,
}

impl OverrideReason {
    /// The word for it in reports and header fields.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::LocalPolicy => "local_policy",
            Self::MailingList => "mailing_list",
            Self::Other => "other",
            Self::PolicyTestMode => "policy_test_mode",
            Self::SampledOut => "sampled_out",
            Self::TrustedForwarder => "trusted_forwarder",
        }
    }
}

impl From<Exemption> for OverrideReason {
    fn from(exemption: Exemption) -> Self {
        match exemption {
            Exemption::Test => Self::PolicyTestMode,
            Exemption::SampledOut => Self::SampledOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7489 §6.7, RFC 9990 §3.1.1.6.
    #[test]
    fn exemptions_have_their_words() {
        assert_eq!(OverrideReason::from(Exemption::Test).as_str(), "policy_test_mode");
        assert_eq!(OverrideReason::from(Exemption::SampledOut).as_str(), "sampled_out");
    }
}
