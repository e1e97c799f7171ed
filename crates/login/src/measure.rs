//! What is counted of logins.

use mox_metrics::auth;
use mox_sasl::{Failure, Mechanism};

use crate::LoginError;

/// Counts a login that was tried to its end.
///
/// - `kind`: the service, as `imap`.
/// - `mechanism`: `None` for the client certificate alone.
pub fn measure(kind: &'static str, mechanism: Option<Mechanism>, outcome: Result<(), &LoginError>) {
    let result = match outcome {
        Ok(()) => "ok",
        Err(LoginError::TooManyFailures) => return auth::ratelimited(kind),
        Err(LoginError::Disabled { .. }) => "logindisabled",
        Err(LoginError::OtherAccount) => "badcreds",
        Err(LoginError::Refused(failure)) => match failure {
            Failure::Aborted => "aborted",
            Failure::BadCredentials | Failure::AuthzidRefused => "badcreds",
            Failure::Unavailable => "error",
            _ => "badprotocol",
        },
        Err(_) => "error",
    };
    let variant = match mechanism {
        None => "tlsclientauth",
        Some(Mechanism::External) => "external",
        Some(Mechanism::ScramSha256Plus) => "scram-sha-256-plus",
        Some(Mechanism::ScramSha256) => "scram-sha-256",
        Some(Mechanism::ScramSha1Plus) => "scram-sha-1-plus",
        Some(Mechanism::ScramSha1) => "scram-sha-1",
        Some(Mechanism::Plain) => "plain",
        Some(Mechanism::Login) => "login",
    };
    auth::attempt(kind, variant, result);
}
