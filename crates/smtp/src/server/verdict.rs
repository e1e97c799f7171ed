//! Why something was refused, and what the client is told. Texts are fixed; causes go to the log.

use crate::Reply;

/// Why a sender was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SenderRefusal {
    /// Submission: the address is not one of the account's.
    NotYours,
    /// Submission: the domain is switched off.
    DomainDisabled,
    /// Delivery: the domain takes no mail, so nobody could be told of a failure. RFC 7505 §4.2.
    CannotReceive,
    /// Delivery: whether it does cannot be found out now.
    DnsUnavailable,
    /// Something of ours does not work.
    Unavailable,
    /// A code that the sender asked for, on a server for tests. See [`crate::simulate`].
    Simulated(u16),
}

impl From<&SenderRefusal> for Reply {
    fn from(refusal: &SenderRefusal) -> Self {
        match refusal {
            SenderRefusal::NotYours => Self::new(550, (7, 1), "sender address is not yours"),
            SenderRefusal::DomainDisabled => {
                Self::new(451, (3, 0), "sender domain is temporarily disabled")
            }
            SenderRefusal::CannotReceive => {
                Self::new(550, (7, 27), "sender domain does not accept mail")
            }
            SenderRefusal::DnsUnavailable => {
                Self::new(451, (4, 0), "temporary failure looking up sender domain")
            }
            SenderRefusal::Unavailable => unavailable(),
            SenderRefusal::Simulated(code) => simulated(*code),
        }
    }
}

/// Why a recipient was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RcptRefusal {
    /// The domain is not ours, or it is an address literal: we are no open relay.
    NotOurs,
    /// The domain is ours, the address does not exist.
    UnknownAddress,
    /// The domain is ours and switched off.
    DomainDisabled,
    /// Set so in the configuration.
    Configured {
        /// 550 or else 451.
        is_permanent: bool,
        /// Set in the configuration; must be printable ASCII.
        text: Option<String>,
    },
    /// Delivery: this recipient takes no mail without TLS. RFC 3207 §4.
    NeedsTls,
    /// Submission: the account was switched off since its user logged in, with a text of the
    /// administrator's; must be printable ASCII.
    AccountDisabled(String),
    /// The recipient's quota is used up, or would be by what the client announced.
    OverQuota,
    /// Something of ours does not work.
    Unavailable,
    /// A code that the client asked for, on a server for tests. See [`crate::simulate`].
    Simulated(u16),
}

impl From<&RcptRefusal> for Reply {
    fn from(refusal: &RcptRefusal) -> Self {
        match refusal {
            RcptRefusal::NotOurs => Self::new(550, (1, 1), "not accepting mail for this domain"),
            RcptRefusal::UnknownAddress => Self::new(550, (1, 1), "no such address"),
            RcptRefusal::DomainDisabled => Self::new(450, (2, 1), "domain is temporarily disabled"),
            RcptRefusal::Configured { is_permanent, text } => {
                let (code, enhanced) = if *is_permanent { (550, (1, 1)) } else { (451, (3, 0)) };
                let text = text.as_deref().unwrap_or("not accepting mail for this address");
                Self::new(code, enhanced, text)
            }
            RcptRefusal::NeedsTls => Self::new(530, (7, 0), "say starttls first"),
            RcptRefusal::AccountDisabled(text) => {
                Self::new(550, (7, 13), format!("account disabled: {text}"))
            }
            RcptRefusal::OverQuota => over_quota(),
            RcptRefusal::Unavailable => unavailable(),
            RcptRefusal::Simulated(code) => simulated(*code),
        }
    }
}

/// Why a message was refused after its data, for one recipient or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataRefusal {
    /// The address does not exist.
    UnknownAddress,
    /// It does not fit in the recipient's quota.
    OverQuota,
    /// Its header is larger than what is looked at.
    HeaderTooLarge,
    /// The disk is full.
    StorageFull,
    /// Something of ours does not work.
    Unavailable,
    /// Submission: the header is not one that may be sent, see [`crate::submission`].
    Submission(crate::submission::SubmissionError),
    /// A rule said so, in its words.
    Policy(Reply),
    /// A code that the client asked for, on a server for tests. See [`crate::simulate`].
    Simulated(u16),
}

impl DataRefusal {
    /// Whether the client has nothing to do with it.
    #[must_use]
    pub fn is_our_fault(&self) -> bool {
        matches!(self, Self::StorageFull | Self::Unavailable | Self::OverQuota)
    }
}

impl From<&DataRefusal> for Reply {
    fn from(refusal: &DataRefusal) -> Self {
        match refusal {
            DataRefusal::UnknownAddress => Self::new(550, (1, 1), "no such address"),
            DataRefusal::OverQuota => over_quota(),
            // RFC 3463 §3.4.
            DataRefusal::HeaderTooLarge => Self::new(552, (3, 4), "header too large"),
            DataRefusal::StorageFull => Self::new(452, (3, 1), "no storage left"),
            DataRefusal::Unavailable => unavailable(),
            DataRefusal::Submission(error) => Self::from(error),
            DataRefusal::Policy(reply) => reply.clone(),
            DataRefusal::Simulated(code) => simulated(*code),
        }
    }
}

fn over_quota() -> Reply {
    Reply::new(452, (2, 2), "mailbox is full")
}

fn unavailable() -> Reply {
    Reply::new(451, (3, 0), "temporary failure, try again later")
}

fn simulated(code: u16) -> Reply {
    Reply::new(code.clamp(400, 599), (0, 0), "simulated error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: impl Into<Reply>, want: &str) {
        let reply = reply.into();
        assert_eq!((reply.code.to_string() + " " + &reply.enhanced_text().unwrap()), want);
        assert!(!reply.text.is_empty());
    }

    /// RFC 3463 §3; RFC 7505 §4.2.
    #[test]
    fn each_refusal_has_its_codes() {
        check(&SenderRefusal::NotYours, "550 5.7.1");
        check(&SenderRefusal::DomainDisabled, "451 4.3.0");
        check(&SenderRefusal::CannotReceive, "550 5.7.27");
        check(&SenderRefusal::DnsUnavailable, "451 4.4.0");
        check(&SenderRefusal::Simulated(421), "421 4.0.0");
        check(&SenderRefusal::Simulated(200), "400 4.0.0");
        check(&RcptRefusal::NotOurs, "550 5.1.1");
        check(&RcptRefusal::UnknownAddress, "550 5.1.1");
        check(&RcptRefusal::DomainDisabled, "450 4.2.1");
        check(&RcptRefusal::AccountDisabled("on leave".to_owned()), "550 5.7.13");
        check(&RcptRefusal::NeedsTls, "530 5.7.0");
        let configured = |is_permanent| RcptRefusal::Configured { is_permanent, text: None };
        check(&configured(true), "550 5.1.1");
        check(&configured(false), "451 4.3.0");
        check(&RcptRefusal::OverQuota, "452 4.2.2");
        check(&RcptRefusal::Unavailable, "451 4.3.0");
        check(&DataRefusal::OverQuota, "452 4.2.2");
        check(&DataRefusal::StorageFull, "452 4.3.1");
        check(&DataRefusal::HeaderTooLarge, "552 5.3.4");
        check(&DataRefusal::Policy(Reply::new(451, (7, 1), "x")), "451 4.7.1");
    }
}
