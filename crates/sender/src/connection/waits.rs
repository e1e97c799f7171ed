//! How long to wait for a server.

use std::time::Duration;

use mox_net::Wait;
use mox_smtp::client::Step;

/// How long to wait for what. The default is at least what RFC 5321 §4.5.3.2 asks for.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For the greeting, and the replies to EHLO, STARTTLS, AUTH, RSET, MAIL and RCPT.
    /// RFC 5321 §4.5.3.2.1 to §4.5.3.2.3.
    pub command: Wait,
    /// For the reply to DATA. RFC 5321 §4.5.3.2.4.
    pub data: Wait,
    /// For the server to take a block of bytes. RFC 5321 §4.5.3.2.5.
    pub block: Wait,
    /// For the reply to the message. Long, as an answer that is not waited for may mean that the
    /// message is delivered twice. RFC 5321 §4.5.3.2.6, RFC 1047.
    pub end: Wait,
    /// For what the server said before it stopped to take bytes.
    pub last: Wait,
    /// For the reply to QUIT. Nothing depends on it.
    pub quit: Wait,
    /// How long an attempt may go on when the server stops. Shorter than the server waits for its
    /// tasks.
    pub stop: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        let minutes = |name, minutes| Wait::new(name, Duration::from_mins(minutes));
        let seconds = |name, seconds| Wait::new(name, Duration::from_secs(seconds));
        Self {
            command: minutes("reply", 5),
            data: minutes("reply to DATA", 2),
            block: minutes("data taken", 3),
            end: minutes("reply to message", 10),
            last: seconds("last reply", 5),
            quit: seconds("reply to QUIT", 5),
            stop: Duration::from_secs(2),
        }
    }
}

impl Waits {
    /// The same time for everything, for tests and for servers close by.
    #[must_use]
    pub fn all(limit: Duration) -> Self {
        let wait = |name| Wait::new(name, limit);
        Self {
            command: wait("reply"),
            data: wait("reply to DATA"),
            block: wait("data taken"),
            end: wait("reply to message"),
            last: wait("last reply"),
            quit: wait("reply to QUIT"),
            stop: limit,
        }
    }

    /// How long the reply to a step may take.
    pub(super) fn of(&self, step: Step) -> Wait {
        match step {
            Step::Data => self.data,
            Step::Bdat | Step::End => self.end,
            Step::Quit => self.quit,
            _ => self.command,
        }
    }
}
