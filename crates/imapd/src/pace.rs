//! How long a client may take: for the parts of a command, and for our responses.

use std::time::Duration;

use mox_imap::wire::Reading;
use mox_net::trace::Kind;
use mox_net::{Conn, ConnError, Deadline, Wait};

/// For a command of a client that is not logged in.
pub const COMMAND_WAIT: Wait = Wait::new("command", Duration::from_secs(30));

/// For a whole command of a client that is not logged in, with all its literals.
pub const FIRST_COMMANDS_WAIT: Wait = Wait::new("command", Duration::from_secs(2 * 60));

/// For a command of a client that is, also in IDLE. RFC 9051 §5.4: at least 30 minutes.
pub const AUTHENTICATED_WAIT: Wait = Wait::new("command", Duration::from_secs(30 * 60));

/// For a literal that is an argument; for the next bytes of a message.
pub const LITERAL_WAIT: Wait = Wait::new("literal", Duration::from_secs(30));

/// For the socket to take some output.
pub const FLUSH_WAIT: Wait = Wait::new("reply", Duration::from_secs(30));

/// For the last words of a connection.
pub const CLOSING_WAIT: Wait = Wait::new("bye", Duration::from_secs(10));

/// For all output of one command, before login and after. More output gets more time, at
/// [`BYTES_PER_SEC_MIN`].
pub const COMMAND_OUTPUT_WAITS: [Wait; 2] = [
    Wait::new("replies", Duration::from_secs(30)),
    Wait::new("replies", Duration::from_secs(5 * 60)),
];

/// The slowest a client may be with messages, in both directions, so that it cannot hold on to
/// their memory for ever.
pub const BYTES_PER_SEC_MIN: u64 = 1_000;

/// Output that is handed to the socket at a time: what [`FLUSH_WAIT`] is for.
const WRITE_BYTES: usize = 32 << 10;

/// The clocks of one connection.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// What is being read; `None` where a new line begins.
    part: Option<Reading>,
    /// When the command of a client that is not logged in must have come.
    command_by: Option<Deadline>,
    /// When the output of the command must have gone.
    output_by: Option<Deadline>,
}

impl Pace {
    /// The next line begins anew, whatever was being read.
    pub(crate) fn begin(&mut self) {
        self.part = None;
    }

    /// Notes what is being read after more input was taken.
    pub(crate) fn received(&mut self, part: Reading) {
        if part == Reading::Nothing {
            self.part = None;
        }
    }

    /// Sets the time for what is to be read next.
    ///
    /// A command that comes byte by byte has no more time than one that comes at once: else a
    /// client that never logs in could hold a connection for days.
    pub(crate) fn reads(&mut self, conn: &mut Conn, part: Reading, is_authenticated: bool) {
        let line = if is_authenticated { AUTHENTICATED_WAIT } else { COMMAND_WAIT };
        let wait = match (self.part.replace(part), part) {
            (None, Reading::Nothing | Reading::Line) => {
                let whole = Deadline::after(FIRST_COMMANDS_WAIT);
                self.command_by = Some(whole).filter(|_| !is_authenticated);
                line
            }
            (Some(before), now) if before == now => return,
            (Some(Reading::Nothing), Reading::Line) => return,
            (_, Reading::Literal(_)) => LITERAL_WAIT,
            (_, Reading::Nothing | Reading::Line) => line,
        };
        let own = Deadline::after(wait);
        let whole = self.command_by.filter(|whole| whole.at < own.at);
        conn.set_read_deadline(Some(whole.unwrap_or(own)));
    }

    /// Whether an argument literal is being read.
    pub(crate) fn in_literal(&self) -> bool {
        matches!(self.part, Some(Reading::Literal(_)))
    }

    /// Gives the output that follows its time.
    pub(crate) fn arm(&mut self, conn: &mut Conn, is_authenticated: bool) {
        let wait = COMMAND_OUTPUT_WAITS[usize::from(is_authenticated)];
        self.output_by = Some(Deadline::after(wait));
        conn.set_write_deadline(self.output_by);
    }

    /// Gives the last output little time.
    pub(crate) fn close(&mut self, conn: &mut Conn) {
        self.output_by = Some(Deadline::after(CLOSING_WAIT));
        conn.set_write_deadline(self.output_by);
    }

    /// Sends bytes, and waits until the socket has taken them.
    pub(crate) async fn write(
        &mut self,
        conn: &mut Conn,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<(), ConnError> {
        for piece in bytes.chunks(WRITE_BYTES) {
            conn.send(kind, piece);
            conn.flush(FLUSH_WAIT).await?;
            if let Some(deadline) = &mut self.output_by {
                deadline.at +=
                    Duration::from_millis(piece.len() as u64 * 1_000 / BYTES_PER_SEC_MIN);
                conn.set_write_deadline(self.output_by);
            }
        }
        Ok(())
    }
}

/// How long a message of this size may take to come.
pub(crate) fn message_wait(size: u64) -> Wait {
    Wait::new("message", Duration::from_secs(size / BYTES_PER_SEC_MIN) + LITERAL_WAIT.limit)
}
