//! What is known of a message before it is decided upon.
//!
//! Source: RFC 5321 (envelope), RFC 5322 (author), RFC 7208, RFC 6376, RFC 7489 (what is proven).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Address, Domain, MailboxName, UnixSeconds, Validation};

use crate::ruleset::Ruleset;
use crate::subjectpass::PassKey;

/// DKIM domains of one message that count; the others are as if not there. Each costs a look-up.
pub const DKIM_DOMAINS_MAX: usize = 10;

/// Addresses of To and Cc that are compared with the recipient.
pub const TO_AND_CC_MAX: usize = 1_000;

/// The author of a message: the one address of its one From field. RFC 5322 §3.6.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The address.
    pub address: Address,
    /// The domain of its organisation, by public suffix. Not by what DNS says today, so that history
    /// under it stays together.
    pub organization: Domain,
    /// How far the domain is proven.
    pub validation: Validation,
}

/// A domain that sent or signed, and how far that is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven<T> {
    /// Who.
    pub name: T,
    /// What SPF says.
    pub validation: Validation,
}

/// A DKIM signature that passed. RFC 6376 §6.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `d=`.
    pub domain: Domain,
    /// The domain of its organisation.
    pub organization: Domain,
    /// There is no `l=`: what was signed is the whole body.
    pub covers_body: bool,
    /// The key may sign TLS reports: its `s=` is absent, or has `*` or `tlsrpt`. RFC 8460 §3.
    pub allows_tls_reports: bool,
}

/// Outcome of DMARC. RFC 7489 §11.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DmarcStatus {
    /// There is no record.
    #[default]
    None,
    /// Author and a proven domain agree.
    Pass,
    /// They do not.
    Fail,
    /// DNS failed.
    TempError,
    /// The record is broken.
    PermError,
}

/// What DMARC says of the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dmarc {
    /// Outcome.
    pub status: DmarcStatus,
    /// The domain asks for such messages to be refused or put aside: `p=reject` and `p=quarantine`
    /// alike, and the message fails.
    pub wants_refusal: bool,
    /// The message is among those the domain wants its policy applied to. RFC 7489 §6.6.4 (`pct`).
    pub is_sampled: bool,
    /// There is a record that can be used.
    pub has_record: bool,
}

impl Dmarc {
    /// Whether the policy leads to a refusal.
    #[must_use]
    pub fn refuses(self) -> bool {
        self.wants_refusal && self.is_sampled && self.status != DmarcStatus::Pass
    }

    /// Whether the policy was left out by chance.
    #[must_use]
    pub fn is_sampled_out(self) -> bool {
        self.has_record && !self.is_sampled
    }
}

/// What is known of a message, the same for all its recipients.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who connected.
    pub remote_ip: IpAddr,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// Whether the address has a name that leads back to it. RFC 8601 §2.7.3.
    pub has_iprev: bool,
    /// The name given with EHLO, if it is a domain. RFC 5321 §4.1.1.1.
    pub ehlo: Option<Proven<Domain>>,
    /// MAIL FROM as given, without brackets; empty for the null sender.
    pub mail_from_text: String,
    /// MAIL FROM, unless it is null or at an address literal.
    pub mail_from: Option<Proven<Address>>,
    /// What SPF says of MAIL FROM, also where there is no address.
    pub mail_from_validation: Validation,
    /// Whether the transaction was one of SMTPUTF8. RFC 6531 §3.4.
    pub is_smtputf8: bool,
    /// Bytes that would be stored: with the fields added at delivery.
    pub size_bytes: u64,
    /// The author; `None` if there is not exactly one From with exactly one address.
    pub author: Option<Author>,
    /// Addresses of To and Cc; at most [`TO_AND_CC_MAX`] are looked at.
    pub to_and_cc: Vec<Address>,
    /// Subject, decoded; empty if there is none.
    pub subject: String,
    /// Fields of the header, names and decoded values; `None` if it cannot be read, so that no rule
    /// applies.
    pub fields: Option<Vec<(String, String)>>,
    /// Signatures that passed.
    pub signatures: Vec<Signature>,
    /// What DMARC says.
    pub dmarc: Dmarc,
}

/// Which reports an address is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportsTo {
    /// DMARC aggregate reports. RFC 7489 §7.2.
    pub dmarc: bool,
    /// TLS reports, of a domain or of the host. RFC 8460.
    pub tls: bool,
}

/// Passes by a code in the subject.
#[derive(Clone, Debug, PartialEq)]
pub struct PassSettings {
    /// How long a code is valid.
    pub period: Duration,
    /// The key of this recipient; `None` if it could not be read.
    pub key: Option<PassKey>,
}

/// The recipient, with the settings that count for it.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// As given in RCPT TO; for the member of an alias, the address of the alias.
    pub rcpt_to: Address,
    /// Where messages go that no rule sends elsewhere.
    pub mailbox: MailboxName,
    /// Rules, of which the first that matches is used.
    pub rulesets: Vec<Ruleset>,
    /// If there is a text, unproven authors are refused with it.
    pub auth_required_text: Option<String>,
    /// Mailbox for first messages.
    pub introbox: Option<MailboxName>,
    /// Passes, if the account gives them.
    pub pass: Option<PassSettings>,
    /// The threshold of the junk filter, 0 to 1; `None` if there is none.
    pub junk_threshold: Option<f64>,
    /// Reports that are expected here.
    pub reports: ReportsTo,
    /// Whether the listener has block lists to ask.
    pub has_blocklists: bool,
    /// How long first-time senders wait; zero if the account does not want that.
    pub first_time_delay: Duration,
}

/// All that a decision starts from.
///
/// Shared, so that a decision can be made in one thread and ended in another at no cost.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The time.
    pub now: UnixSeconds,
    /// A random number, all values equally likely: it keeps the threshold of the junk filter from
    /// being found out by trying.
    pub chance: u32,
    /// The message.
    pub message: Arc<Message>,
    /// The recipient.
    pub recipient: Arc<Recipient>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_refuse_only_what_fails_and_is_sampled() {
        let dmarc = |status, wants_refusal, is_sampled| Dmarc {
            status,
            wants_refusal,
            is_sampled,
            has_record: true,
        };
        assert!(dmarc(DmarcStatus::Fail, true, true).refuses());
        assert!(!dmarc(DmarcStatus::Fail, true, false).refuses());
        assert!(!dmarc(DmarcStatus::Fail, false, true).refuses());
        assert!(!dmarc(DmarcStatus::Pass, true, true).refuses());
        assert!(dmarc(DmarcStatus::Fail, true, false).is_sampled_out());
        assert!(!Dmarc::default().is_sampled_out());
    }
}
