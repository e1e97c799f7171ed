//! Long work: told of while it lasts, and given up when nobody waits for it any more.
//!
//! Source: RFC 9585.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mox_net::blocking;
use mox_net::trace::Kind;
use mox_store::{KeepGoing, Progress};
use tokio::time::{Instant, sleep_until};

use crate::connection::{Connection, End};
use crate::pace::AUTHENTICATED_WAIT;

/// How long a command works before its client is told how far it is, and from then on how often.
/// As the original; RFC 9585 §3 leaves it open.
pub const PROGRESS_WAIT: Duration = Duration::from_secs(10);

/// While a search runs, this much of what the client sends meanwhile is read ahead: enough to notice
/// that it hangs up, not enough to fill the memory.
const READ_AHEAD_BYTES_MAX: usize = 16 << 10;

/// How far the work is, and whether it goes on.
#[derive(Debug, Default)]
struct Shared {
    done: AtomicUsize,
    total: AtomicUsize,
    is_abandoned: AtomicBool,
}

/// Ends the work with the wait for it, however that ends.
struct Abandon(Arc<Shared>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.is_abandoned.store(true, Ordering::Relaxed);
    }
}

/// Does blocking work for a command, and meanwhile watches the connection: when the client is gone
/// or the server stops, the work ends at its next look at `keep_going`.
///
/// - `tag`: of the command that the client waits for; without one it is not told of progress.
pub(crate) async fn watched<T, F>(
    connection: &mut Connection,
    tag: Option<&str>,
    work: F,
) -> Result<T, End>
where
    T: Send + 'static,
    F: FnOnce(KeepGoing<'_>) -> T + Send + 'static,
{
    let shared = Arc::new(Shared::default());
    let _abandon = Abandon(Arc::clone(&shared));
    let theirs = Arc::clone(&shared);
    let mut work = pin!(blocking(move || {
        work(&mut |progress: Progress| {
            theirs.done.store(progress.done, Ordering::Relaxed);
            theirs.total.store(progress.total, Ordering::Relaxed);
            !theirs.is_abandoned.load(Ordering::Relaxed)
        })
    }));
    // What bounds the reading of commands does not bound the wait for an answer.
    connection.conn.set_read_deadline(None);
    let every = connection.imapd.services.progress_wait;
    let stopping = connection.stopping.clone();
    let mut next = Instant::now() + every;
    loop {
        if let Some(tag) = tag
            && Instant::now() >= next
        {
            next = Instant::now() + every.max(Duration::from_millis(1));
            let line = line(tag, &shared);
            connection.write(Kind::Protocol, line.as_bytes()).await?;
        }
        let reads_ahead = connection.conn.buffered().len() < READ_AHEAD_BYTES_MAX;
        tokio::select! {
            biased;
            outcome = &mut work => return Ok(outcome),
            // Only waiting happens in the arms; `fill` loses nothing when it is dropped.
            filled = connection.conn.fill(AUTHENTICATED_WAIT), if reads_ahead => match filled {
                Ok(0) => return Err(End::Closed),
                Ok(_) => {}
                Err(error) if error.is_timeout() => {}
                Err(error) => return Err(error.into()),
            },
            () = stopping.cancelled() => return Err(connection.refuse("mox shutting down").await),
            () = sleep_until(next), if tag.is_some() => {}
        }
    }
}

/// `* OK [INPROGRESS ("tag" done goal)] text`. RFC 9585 §4.
fn line(tag: &str, shared: &Shared) -> String {
    let (done, total) = (shared.done.load(Ordering::Relaxed), shared.total.load(Ordering::Relaxed));
    // A `]` would end the code for clients that do not look for the quotes.
    let tag = if tag.contains(']') { "NIL".to_owned() } else { format!("\"{tag}\"") };
    // RFC 9585 §4: the goal is larger than what is done, or not known.
    if total > done {
        format!("* OK [INPROGRESS ({tag} {done} {total})] still searching\r\n")
    } else {
        format!("* OK [INPROGRESS ({tag} NIL NIL)] still searching\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9585 §4.
    #[test]
    fn progress_is_told_with_what_is_known() {
        let shared = Shared::default();
        let want = "* OK [INPROGRESS (\"a1\" NIL NIL)] still searching\r\n";
        assert_eq!(line("a1", &shared), want);
        shared.done.store(3, Ordering::Relaxed);
        shared.total.store(10, Ordering::Relaxed);
        let want = "* OK [INPROGRESS (\"a1\" 3 10)] still searching\r\n";
        assert_eq!(line("a1", &shared), want);
        assert!(line("a]", &shared).contains("(NIL 3 10)"));
    }
}
