//! What a client is told of errors that are not SMTP's own.

use mox_login::LoginError;
use mox_net::Wait;
use mox_sasl::Failure;
use mox_smtp::server::{DataEnd, DataRefusal, LoginAttempt, LoginFailure, LoginVerdict};
use mox_store::StoreError;

/// A message could not be stored. RFC 3463 §3.3, §3.4.
pub(crate) fn store(error: &StoreError) -> DataRefusal {
    match error {
        StoreError::OverQuota { .. } => DataRefusal::OverQuota,
        StoreError::DiskFull => DataRefusal::StorageFull,
        _ => DataRefusal::Unavailable,
    }
}

/// Data could not be spooled.
pub(crate) fn spool(error: &std::io::Error) -> DataEnd {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => DataEnd::StorageFull,
        _ => DataEnd::StorageFailed,
    }
}

/// Somebody proved who they are, and may not log in.
pub(crate) fn login(error: &LoginError) -> LoginVerdict {
    match error {
        LoginError::Disabled { message } => LoginVerdict::Disabled(message.clone()),
        LoginError::OtherAccount => LoginVerdict::OtherAccount,
        _ => LoginVerdict::Unavailable,
    }
}

/// A login as the limit on failures counts it.
pub(crate) fn attempt(attempt: &LoginAttempt) -> Result<(), LoginError> {
    attempt.result.clone().map_err(|failure| match failure {
        LoginFailure::Sasl(failure) => LoginError::Refused(failure),
        LoginFailure::BadBase64 => LoginError::Refused(Failure::Malformed),
        LoginFailure::Disabled => LoginError::Disabled { message: String::new() },
        LoginFailure::OtherAccount => LoginError::OtherAccount,
        LoginFailure::Unavailable => LoginError::Refused(Failure::Unavailable),
    })
}

/// The same wait under another name, for a deadline over several reads.
pub(crate) const fn renamed(wait: Wait, name: &'static str) -> Wait {
    Wait::new(name, wait.limit)
}
