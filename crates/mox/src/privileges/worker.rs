//! The serving process: what it has of its keeper.

use std::time::Duration;

use anyhow::{Context, Result};
use mox_net::blocking;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::confine::{Confinement, Reach, reachable};
use super::keeper::{ALIVE, DRAIN, LINE_BYTES_MAX, READY, REFUSED, RESTART};
use crate::server::Server;

/// Wishes for a restart that wait for an answer.
const WISHES_MAX: usize = 8;

/// How often the keeper is told that the server is alive, if the service manager does not want it
/// more often.
const ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How the process that a server runs in is kept and confined.
#[derive(Clone, Debug, Default)]
pub struct Privileges {
    /// What keeps it from files and ports that are none of its business.
    pub confinement: Confinement,
    reach: Option<Reach>,
    restart: Option<mpsc::Sender<Wish>>,
}

/// Somebody who wants a restart, and learns why there is none.
type Wish = oneshot::Sender<String>;

/// The connection of a worker to its keeper.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    wishes: mpsc::Receiver<Wish>,
    interval: Duration,
}

/// Why a server that has a keeper ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To be followed by another.
    Restart,
    /// The keeper is gone.
    Abandoned,
}

impl Privileges {
    /// Asks for a restart. If it is granted this process ends and this never returns; else it
    /// returns the reason.
    pub(crate) async fn restart(&self) -> String {
        let Some(restart) = &self.restart else {
            return "only a server that was started by \"mox serve\" can be restarted".to_owned();
        };
        let (wish, answer) = oneshot::channel();
        match restart.try_send(wish) {
            Ok(()) => match answer.await {
                Ok(refusal) => refusal,
                // It is granted: whoever asked learns so by the end of the connection.
                Err(_) => std::future::pending().await,
            },
            Err(_) => "the server is about to end".to_owned(),
        }
    }

    /// How it is confined, and what it can reach nevertheless, one a line. Blocks.
    pub(crate) fn confinement_text(&self) -> String {
        let mut text = format!("{}\n", self.confinement);
        for path in self.reach.iter().flat_map(reachable) {
            text.push_str(&format!("could open {}\n", path.display()));
        }
        text
    }
}

/// Sees to it that this process does not outlive its keeper.
///
/// # Errors
///
/// If the kernel refuses.
pub(crate) fn follow_keeper() -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("follow the keeper into its end")
}

/// Confines this process, and makes its connection to the keeper ready. Must be called before there
/// are threads, in the runtime's context.
///
/// - `watchdog`: how often the service manager wants to hear of us.
pub(crate) fn link(
    stream: std::os::unix::net::UnixStream,
    confinement: (Confinement, Reach),
    watchdog: Option<Duration>,
) -> Result<(Link, Privileges)> {
    stream.set_nonblocking(true)?;
    let (sender, wishes) = mpsc::channel(WISHES_MAX);
    let (confinement, reach) = confinement;
    let privileges = Privileges { confinement, reach: Some(reach), restart: Some(sender) };
    let interval = watchdog.unwrap_or(ALIVE_INTERVAL);
    let stream = UnixStream::from_std(stream).context("connection to keeper")?;
    Ok((Link { stream, wishes, interval }, privileges))
}

impl Link {
    /// Tells the keeper that the server serves and, as long as that is so, that it is alive; hands on
    /// wishes for a restart. Returns when the server is to end.
    pub(crate) async fn serve(self, server: &Server, status: &str) -> Asked {
        let Self { stream, mut wishes, interval } = self;
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read);
        let mut waiting: Vec<Wish> = Vec::new();
        let mut line = Vec::new();
        let mut ticks = tokio::time::interval(interval);
        let mut send = format!("{READY} {status}\n");
        loop {
            if !send.is_empty() && write.write_all(send.as_bytes()).await.is_err() {
                return Asked::Abandoned;
            }
            send.clear();
            let left = (LINE_BYTES_MAX - line.len().min(LINE_BYTES_MAX)) as u64;
            let mut limited = (&mut lines).take(left);
            tokio::select! {
                // What was read of a line stays in it if another arm is first.
                read = limited.read_until(b'\n', &mut line) => {
                    if !matches!(read, Ok(size) if size > 0) {
                        return Asked::Abandoned;
                    }
                }
                Some(wish) = wishes.recv() => {
                    waiting.push(wish);
                    send = format!("{RESTART}\n");
                }
                _ = ticks.tick() => if is_alive(server, interval).await {
                    send = format!("{ALIVE}\n");
                } else {
                    tracing::error!("the server does not do its work: the service manager is not told that it is alive");
                },
            }
            let Some(text) = line.strip_suffix(b"\n") else { continue };
            let text = String::from_utf8_lossy(text).into_owned();
            line.clear();
            match text.split_once(' ').unwrap_or((&text, "")) {
                (DRAIN, _) => return Asked::Restart,
                (REFUSED, cause) => {
                    for wish in waiting.drain(..) {
                        // Whoever wished may be gone.
                        let _gone = wish.send(cause.to_owned());
                    }
                }
                _ => tracing::warn!("the keeper said something unknown"),
            }
        }
    }
}

/// Whether connections are accepted, blocking work is done and the databases answer.
async fn is_alive(server: &Server, wait: Duration) -> bool {
    if !server.is_accepting() {
        return false;
    }
    let queue = server.services().queue.clone();
    // A writer that hangs, on a disk say, hangs everything that is acknowledged.
    let answers = blocking(move || queue.wait_for_writer());
    tokio::time::timeout(wait, answers).await.is_ok()
}
