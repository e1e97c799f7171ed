//! The questions that a decision asks about earlier messages.

use mox_base::{Address, Domain, Localpart, MailboxName, UnixSeconds};

use crate::network::{Network, Traffic};

/// By what an earlier message is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity<'a> {
    /// The author's address, whose domain was proven or not.
    FromAddress(&'a Address, IsValidated),
    /// The author's domain.
    FromDomain(&'a Domain, IsValidated),
    /// The domain of the author's organisation.
    FromOrganization(&'a Domain, IsValidated),
    /// A domain whose DKIM signature passed.
    DkimDomain(&'a Domain),
    /// MAIL FROM, passed by SPF. What SPF did not pass has no history: anybody could spoil it.
    MailFrom(&'a Address),
    /// Its domain, passed by SPF.
    MailFromDomain(&'a Domain),
    /// The domain of EHLO, passed by SPF.
    Ehlo(&'a Domain),
    /// The network that the message came from.
    Network(Network),
}

/// Whether the author's domain was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IsValidated {
    /// It was.
    Yes,
    /// It was not: anybody may have written it.
    No,
}

impl From<bool> for IsValidated {
    fn from(is_validated: bool) -> Self {
        if is_validated { Self::Yes } else { Self::No }
    }
}

/// To whom the account wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Addressee<'a> {
    /// An address.
    Address(&'a Address),
    /// Anybody in a domain.
    Domain(&'a Domain),
    /// Anybody in an organisation.
    Organization(&'a Domain),
}

/// An earlier message that the user, or a rule, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Junk, or not junk.
    pub is_junk: bool,
    /// The localpart of its author.
    pub from_localpart: Option<Localpart>,
}

/// The history could not be read. The cause is in the log of who tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("history could not be read")]
pub struct HistoryError;

/// What one account remembers. Each question costs a bounded look-up in an index.
pub trait History {
    /// The newest messages of an identity that are marked as junk or as not junk (and not both), were
    /// destined for `mailbox`, are still there, and came at or after `since`: newest first, at most
    /// `limit`. None, if there is no such mailbox.
    fn newest(
        &self,
        mailbox: &MailboxName,
        identity: Identity<'_>,
        since: UnixSeconds,
        limit: u32,
    ) -> Result<Vec<Past>, HistoryError>;

    /// Whether a message sent at or after `since` went there.
    fn has_sent_to(
        &self,
        addressee: Addressee<'_>,
        since: UnixSeconds,
    ) -> Result<bool, HistoryError>;

    /// What came from a network at or after `since`, refused messages in the Rejects mailbox
    /// included.
    fn traffic(&self, network: Network, since: UnixSeconds) -> Result<Traffic, HistoryError>;
}
