//! LOGIN, AUTHENTICATE and STARTTLS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Action, Answered, Op, Pending, Session, State, Tagged, Waiting, capability};
use crate::print::{self, Code, Status};
use crate::types::{Authenticate, Login};

/// STARTTLS. RFC 9051 §6.2.1.
pub(super) fn start_tls(session: &mut Session, cmd: Tagged) -> Action {
    if session.settings.is_tls {
        return session.bad(cmd, None, "tls already active");
    }
    if !session.settings.can_start_tls {
        return session.bad(cmd, None, "starttls not available");
    }
    let text = format!("{} done", cmd.spelling);
    print::tagged(&mut session.out, &cmd.tag, Status::Ok, None, &text);
    session.answered = Some(Answered { name: Some(cmd.name), status: Status::Ok });
    session.waiting = Waiting::Command;
    Action::StartTls
}

/// LOGIN. RFC 9051 §6.2.3.
pub(super) fn login(session: &mut Session, cmd: Tagged, login: Login) -> Action {
    if !session.settings.allows_plaintext() {
        return session.no(cmd, Some(Code::PrivacyRequired), "tls required for login");
    }
    let Login { username, password } = login;
    session.perform(cmd, Pending::Login, Op::Login { username, password })
}

/// AUTHENTICATE. RFC 9051 §6.2.2, RFC 4959 §3.
pub(super) fn authenticate(session: &mut Session, cmd: Tagged, auth: Authenticate) -> Action {
    let is_plain = matches!(&*auth.mechanism, "PLAIN" | "LOGIN");
    if is_plain && !session.settings.allows_plaintext() {
        return session.no(cmd, Some(Code::PrivacyRequired), "tls required for login");
    }
    let initial = match auth.initial.as_ref().map(|initial| initial.expose()) {
        None => None,
        Some("=") => Some(Vec::new()),
        Some(text) => match STANDARD.decode(text) {
            Ok(initial) => Some(initial),
            Err(_) => return session.bad(cmd, None, "bad base64"),
        },
    };
    let op = Op::Authenticate { mechanism: auth.mechanism, initial };
    session.perform(cmd, Pending::Authenticate, op)
}

/// The driver has a challenge.
pub(super) fn challenge(session: &mut Session, cmd: Tagged, challenge: &[u8]) -> Action {
    session.continuation(STANDARD.encode(challenge).as_bytes());
    session.waiting = Waiting::AuthLine(cmd);
    Action::Read
}

/// The client has answered it. RFC 9051 §6.2.2: `*` cancels, and so does what is not base64.
pub(super) fn response(session: &mut Session, cmd: Tagged) -> Action {
    let decoded = STANDARD.decode(session.reader.command());
    // A password must not stay in a buffer that outlives it.
    session.reader.reset();
    match decoded {
        Ok(response) => {
            session.perform(cmd, Pending::Authenticate, Op::AuthenticateResponse(response))
        }
        Err(_) => session.perform(cmd, Pending::AuthenticateCancel, Op::AuthenticateCancel),
    }
}

/// The client is logged in.
pub(super) fn succeeded(session: &mut Session, cmd: Tagged) -> Action {
    session.state = State::Authenticated;
    let capabilities = capability::capabilities(session);
    let text = format!("{} done", cmd.spelling);
    let code = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"CAPABILITY ");
        out.extend_from_slice(capabilities.as_bytes());
    };
    session.ok_with(cmd, code, &text)
}
