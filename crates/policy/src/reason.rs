//! Why a message was accepted or refused: one list for header fields, logs and people.

use std::fmt;

/// Makes the list once: variant, token, text.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident, $token:literal, $text:literal;)*) => {
        /// Why a message was accepted or refused.
        ///
        /// The token is for header fields, logs and statistics and never changes; the text is for the
        /// owner of the account. Neither is ever told to the sender.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason, in the order in which the procedure comes to them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word for it in `X-Mox-Reason`, logs and the table of decisions.
            #[must_use]
            pub fn token(self) -> &'static str {
                match self {
                    $(Self::$name => $token,)*
                }
            }

            /// What it means, for the owner of the account.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// Too many messages, or bytes, from one network.
    HighRate, "high-rate", "Too much mail has come from this network lately.";
    /// The history could not be read.
    ReputationError, "reputation-error", "Your earlier mail could not be looked at just now.";
    /// A ruleset names the mailing list, and the list is proven.
    ListAllow, "list-allow", "One of your rules accepts all mail of this mailing list.";
    /// The domain of the author asks for unproven messages to be refused.
    DmarcPolicy, "dmarc-policy", "The author's domain asks to refuse mail it did not prove to be its own (DMARC).";
    /// The destination wants proven senders only.
    MessageAuthRequired, "msg-auth-required", "This address takes only mail whose sender is proven.";
    /// History of the author's address.
    MsgFromFull, "msgfromfull", "You have judged earlier mail of this sender.";
    /// The account wrote to the author.
    MsgToFull, "msgtofull", "You have written to this sender before.";
    /// History of the author's domain.
    MsgFromDomain, "msgfromdomain", "You have judged earlier mail of the sender's domain.";
    /// The account wrote to the author's domain.
    MsgToDomain, "msgtodomain", "You have written to the sender's domain before.";
    /// History of the author's organisation.
    MsgFromOrgDomain, "msgfromorgdomain", "You have judged earlier mail of the sender's organisation.";
    /// The account wrote to the author's organisation.
    MsgToOrgDomain, "msgtoorgdomain", "You have written to the sender's organisation before.";
    /// History of domains that signed or sent the message.
    DkimSpf, "dkimspf", "You have judged earlier mail of the domains that signed or sent this one (DKIM, SPF).";
    /// History of the address that connected.
    Ip1, "ip1", "You have judged earlier mail of the server that sent this one.";
    /// History of its network.
    Ip2, "ip2", "You have judged earlier mail of the network that sent this one.";
    /// History of its provider.
    Ip3, "ip3", "You have judged earlier mail of the wider network that sent this one.";
    /// No history decided anything.
    None, "none", "There is no earlier mail to judge this one by.";
    /// A report that was asked for.
    Reporting, "reporting", "A report about one of your domains.";
    /// SPF says that the server may not send for the domain.
    SpfPolicy, "spf-policy", "An unknown sender, and the sending server is not one of its domain (SPF).";
    /// The server has no name that leads back to it.
    Iprev, "iprev", "An unknown sender with signs of junk, and the sending server has no proper name in DNS.";
    /// The subject has a valid pass.
    SubjectPass, "subjectpass", "The subject carries the code that an earlier refusal gave to the sender.";
    /// The key for passes is missing.
    SubjectPassError, "subjectpass-error", "The code in the subject could not be checked just now.";
    /// The junk filter could not be used.
    JunkFilterError, "junk-filter-error", "The junk filter could not be opened just now.";
    /// The junk filter could not read the message.
    JunkClassifyError, "junk-classify-error", "The junk filter could not judge the message just now.";
    /// The content looks like junk.
    JunkContent, "junk-content", "The text looks like mail you have marked as junk.";
    /// As before, under stricter rules.
    JunkContentStrict, "junk-content-strict", "The text looks somewhat like junk, and the way it was sent is suspicious.";
    /// The server is on a list.
    DnsBlocklisted, "dns-blocklisted", "The sending server is on a list of known sources of junk.";
    /// Nothing against it.
    NoBadSignals, "no-bad-signals", "Nothing speaks against the message.";
    /// The sender was given a code by which to get through.
    GiveSubjectPass, "give-subjectpass", "Refused with a code: the sender gets through by putting it into the subject.";
}

impl Reason {
    /// The reason with this token.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.token() == token)
    }
}

/// The token.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_different_words_and_lead_back() {
        for reason in Reason::ALL {
            let token = reason.token();
            assert_eq!(Reason::from_token(token), Some(*reason), "{token}");
            let is_word =
                token.bytes().all(|b| b.is_ascii_lowercase() || b"-0123456789".contains(&b));
            assert!(is_word, "{token}");
            assert!(reason.text().ends_with('.'), "{token}");
        }
        assert_eq!(Reason::from_token("NONE"), None);
    }
}
