//! What a client is told when an operation fails: the one place where errors become refusals.

use mox_imap::session::{Outcome, Refusal};
use mox_login::LoginError;
use mox_sasl::Failure;
use mox_store::StoreError;

/// A failed store operation. What is broken on our side goes to the log.
pub(crate) fn store(cid: u64, error: &StoreError) -> Refusal {
    match error {
        StoreError::NoMailbox => Refusal::NoSuchMailbox,
        StoreError::MailboxExists => Refusal::MailboxExists,
        StoreError::HasChildren => Refusal::HasChildren,
        StoreError::IsInbox => Refusal::IsInbox,
        StoreError::SameMailbox => Refusal::SameMailbox,
        StoreError::NotSubscribed => Refusal::NotSubscribed,
        StoreError::OverQuota { .. } => Refusal::OverQuota,
        StoreError::TooMany { what } => Refusal::Limit(what),
        StoreError::BadName => Refusal::BadMailboxName,
        StoreError::IdsUsedUp => Refusal::Limit("identifiers of the mailbox used up"),
        StoreError::Busy | StoreError::DiskFull | StoreError::Poisoned => {
            tracing::warn!(cid, %error, "account not available");
            Refusal::Unavailable
        }
        _ => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(cid, %error, cause, "account operation failed");
            Refusal::Failed
        }
    }
}

/// The outcome of an operation in the terms of the session.
pub(crate) fn outcome<T>(
    cid: u64,
    result: Result<T, StoreError>,
    done: impl FnOnce(T) -> Outcome,
) -> Outcome {
    match result {
        Ok(value) => done(value),
        Err(error) => Outcome::Refused(store(cid, &error)),
    }
}

/// An operation on the selected mailbox: a missing one has been deleted by someone else.
pub(crate) fn in_selected(refusal: Refusal) -> Refusal {
    if refusal == Refusal::NoSuchMailbox { Refusal::MailboxGone } else { refusal }
}

/// A failed login.
pub(crate) fn login(cid: u64, error: &LoginError) -> Refusal {
    match error {
        LoginError::Refused(Failure::AuthzidRefused) => Refusal::NotAuthorized,
        LoginError::Refused(Failure::Malformed | Failure::Aborted) => Refusal::BadSaslMessage,
        LoginError::Disabled { message } => Refusal::LoginDisabled(message.clone()),
        LoginError::Refused(Failure::Unavailable) | LoginError::TooManyFailures => {
            Refusal::Unavailable
        }
        LoginError::Store(error) => store(cid, error),
        _ => Refusal::BadCredentials,
    }
}
