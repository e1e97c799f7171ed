//! UNAUTHENTICATE.

use super::{Action, Op, Pending, Session, State, Tagged};

/// UNAUTHENTICATE. RFC 8437 §3.
///
/// The driver lets go of the account first: when the client is told, nothing can be done with it
/// any more.
pub(super) fn unauthenticate(session: &mut Session, cmd: Tagged) -> Action {
    session.perform(cmd, Pending::Unauthenticate, Op::Unauthenticate)
}

/// The account is let go of: nothing is left of the session but what is of the connection.
///
/// RFC 8437 §3, §4.1: the mailbox is selected no longer, without removing anything; what was
/// enabled, saved, or asked for by NOTIFY is forgotten, as is every change not told of. A client
/// certificate stays, and may be used by EXTERNAL again (§4.2).
pub(super) fn complete(session: &mut Session, cmd: Tagged) -> Action {
    let is_compressed = session.is_compressed;
    let settings = std::mem::take(&mut session.settings);
    let out = std::mem::take(&mut session.out);
    *session = Session { out, has_spoken: true, ..Session::new(settings) };
    debug_assert!(matches!(session.state, State::NotAuthenticated), "a new session");
    let action = session.done(cmd);
    // RFC 8437 §4.1: compression ends with this reply.
    if is_compressed { Action::EndCompression } else { action }
}
