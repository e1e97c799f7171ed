//! COMPRESS.

use super::{Action, Answered, Session, Tagged, Waiting};
use crate::print::{self, Code, Status};

/// COMPRESS. RFC 4978 §3.
///
/// The tagged OK is the last that is sent plain. What the client sent behind the command already is
/// compressed, and is left for the driver.
///
/// RFC 4978 §3 has COMPRESSIONACTIVE where TLS compresses too: ours never does.
pub(super) fn compress(session: &mut Session, cmd: Tagged, algorithm: &str) -> Action {
    if session.is_compressed {
        return session.no(cmd, Some(Code::CompressionActive), "already compressed");
    }
    if algorithm != "DEFLATE" {
        return session.no(cmd, None, "no such algorithm");
    }
    session.is_compressed = true;
    session.answered = Some(Answered { name: Some(cmd.name), status: Status::Ok });
    session.waiting = Waiting::Command;
    // Changes wait for the next command: telling of them may need the driver first.
    let text = format!("{} active", cmd.spelling);
    print::tagged(&mut session.out, &cmd.tag, Status::Ok, None, &text);
    Action::Compress
}
