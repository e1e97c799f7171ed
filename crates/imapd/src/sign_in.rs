//! LOGIN, AUTHENTICATE, UNAUTHENTICATE and ID.

use std::time::Duration;

use mox_imap::session::{Op, Outcome, Refusal};
use mox_login::{Login, LoginError, Outcome as Step, measure};
use mox_sasl::{Failure, Mechanism};

use crate::connection::{Connection, SLOW_AFTER_FAILURES};
use crate::refusal;

/// What metrics call the service.
pub(crate) const KIND: &str = "imap";

/// Performs an operation of signing in.
pub(crate) async fn perform(connection: &mut Connection, op: Op) -> Outcome {
    match op {
        Op::Login { username, password } => {
            delay(connection).await;
            let logins = connection.imapd.services.logins.clone();
            let peer = connection.peer_without_key();
            let login = logins.password(&peer, &username, password.expose()).await;
            finish(connection, Mechanism::Login, login)
        }
        Op::Authenticate { mechanism, initial } => {
            let mechanism = Mechanism::parse(&mechanism).ok();
            // LOGIN is a mechanism of submission only: IMAP has a command of that name.
            let Some(mechanism) = mechanism.filter(|m| *m != Mechanism::Login) else {
                return Outcome::Refused(Refusal::UnknownMechanism);
            };
            if mechanism.is_plus() && connection.peer().bindings.is_empty() {
                return Outcome::Refused(Refusal::MechanismUnusable);
            }
            delay(connection).await;
            let logins = connection.imapd.services.logins.clone();
            let peer = match mechanism {
                Mechanism::External => connection.peer(),
                _ => connection.peer_without_key(),
            };
            let mut exchange = logins.start(mechanism, &peer);
            let step = exchange.first(initial.as_deref()).await;
            connection.exchange = Some(exchange);
            go_on(connection, step).await
        }
        Op::AuthenticateResponse(response) => {
            let step = match &mut connection.exchange {
                Some(exchange) => exchange.step(&response).await,
                None => Step::Failed(LoginError::Refused(Failure::Malformed)),
            };
            go_on(connection, step).await
        }
        Op::AuthenticateCancel => {
            let Some(exchange) = connection.exchange.take() else { return Outcome::Done };
            let mechanism = exchange.mechanism();
            let error = exchange.cancel();
            measure(KIND, Some(mechanism), Err(&error));
            failed(connection, &error);
            Outcome::Refused(refusal::login(connection.cid, &error))
        }
        Op::Unauthenticate => {
            tracing::info!(cid = connection.cid, "logged out, connection kept");
            connection.log_out();
            Outcome::Done
        }
        Op::Identify(agent) => {
            tracing::info!(cid = connection.cid, agent, "client software");
            Outcome::Done
        }
        _ => Outcome::Refused(Refusal::Failed),
    }
}

/// Guessing passwords on one connection gets slower and slower.
async fn delay(connection: &Connection) {
    let excess = connection.failed_logins.saturating_sub(SLOW_AFTER_FAILURES);
    tokio::time::sleep(Duration::from_secs(excess.into())).await;
}

async fn go_on(connection: &mut Connection, step: Step) -> Outcome {
    let login = match step {
        Step::Challenge(challenge) => return Outcome::Challenge(challenge),
        Step::Done(login) => Ok(login),
        Step::Failed(error) => Err(error),
    };
    let mechanism = connection.exchange.take().map(|exchange| exchange.mechanism());
    finish(connection, mechanism.unwrap_or(Mechanism::Plain), login)
}

fn finish(
    connection: &mut Connection,
    mechanism: Mechanism,
    login: Result<Login, LoginError>,
) -> Outcome {
    measure(KIND, Some(mechanism), login.as_ref().map(|_| ()));
    match login {
        Ok(login) => {
            let (cid, account) = (connection.cid, login.account.name());
            tracing::info!(cid, account, user = login.username, "logged in");
            connection.log_in(&login);
            connection.failed_logins = 0;
            connection.conn.set_slow(false);
            Outcome::Done
        }
        Err(error) => {
            failed(connection, &error);
            Outcome::Refused(refusal::login(connection.cid, &error))
        }
    }
}

fn failed(connection: &mut Connection, error: &LoginError) {
    let (cid, remote) = (connection.cid, connection.conn.peer_ip());
    tracing::info!(cid, %remote, %error, "login failed");
    connection.failed_logins += 1;
    if connection.failed_logins >= SLOW_AFTER_FAILURES {
        connection.conn.set_slow(true);
    }
}
