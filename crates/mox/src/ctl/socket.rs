//! The listening side of the control socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use mox_imapd::Imapd;
use mox_net::{Conn, Incoming};
use mox_sender::Sender;
use parking_lot::Mutex;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::commands::{Handler, Next};
use super::wire::LINE_WAIT;
use crate::services::Services;

/// The name of the socket in the data directory.
pub const SOCKET: &str = "ctl";

/// Control connections open at once; more wait.
pub const CONNECTIONS_MAX: usize = 20;

/// After a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The control socket of a running server; dropping it removes the socket.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    /// Cancelled when a command asks the server to end.
    stop: CancellationToken,
    /// Those who asked: they see the end of their connection when the server has ended.
    waiting: Arc<Mutex<Vec<UnixStream>>>,
    is_removed: AtomicBool,
}

impl Control {
    /// Makes the socket, in place of one left over from a server that crashed, and answers on it
    /// until the supervisor stops.
    ///
    /// # Errors
    ///
    /// If it cannot be made; the path of a Unix socket has at most 107 bytes.
    pub(crate) fn start(
        data_dir: &Path,
        services: &Services,
        sender: &Sender,
        imapd: Imapd,
    ) -> Result<Self> {
        let path = data_dir.join(SOCKET);
        let listener = bind(&path).with_context(|| {
            format!("listen on {}; its path may have 107 bytes at most", path.display())
        })?;
        let (stop, waiting) = (CancellationToken::new(), Arc::new(Mutex::default()));
        let control = Self { path, stop, waiting, is_removed: AtomicBool::new(false) };
        let stopping = services.supervisor.stopping();
        let accept = accept_loop(
            listener,
            (services.clone(), sender.clone(), imapd),
            control.stop.clone(),
            Arc::clone(&control.waiting),
        );
        let cid = services.supervisor.next_cid();
        services.supervisor.spawn("ctl", cid, async move {
            stopping.run_until_cancelled(accept).await;
        });
        Ok(control)
    }

    /// Resolves when a command asked the server to end.
    pub async fn stop_asked(&self) {
        self.stop.cancelled().await;
    }
}

impl Control {
    /// Removes the socket, once.
    pub(crate) fn remove(&self) {
        if self.is_removed.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "remove control socket");
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.remove();
        self.waiting.lock().clear();
    }
}

/// Makes the socket under another name first, so that nobody can connect before only its owner
/// may.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let making = path.with_extension("new");
    match fs::remove_file(&making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&making)?;
    fs::set_permissions(&making, fs::Permissions::from_mode(0o600))?;
    fs::rename(&making, path)?;
    Ok(listener)
}

async fn accept_loop(
    listener: UnixListener,
    (services, sender, imapd): (Services, Sender, Imapd),
    stop: CancellationToken,
    waiting: Arc<Mutex<Vec<UnixStream>>>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!(%error, "accept on control socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let cid = services.supervisor.next_cid();
        let stopping = services.supervisor.stopping();
        let handler = Handler::new(services.clone(), sender.clone(), cid);
        let (stop, waiting) = (stop.clone(), Arc::clone(&waiting));
        let imapd = imapd.clone();
        services.supervisor.spawn("ctl", cid, async move {
            let mut stream = stream;
            let served = handler.serve(&mut stream, LINE_WAIT);
            let next = stopping.run_until_cancelled(served).await;
            // A session may last, and is counted with its like.
            drop(slot);
            match next {
                Some(Next::Stop) => {
                    waiting.lock().push(stream);
                    stop.cancel();
                }
                Some(Next::Imap(login, early)) => {
                    let conn = Conn::unix(stream, &early);
                    imapd.serve_as(Incoming { conn, cid, stopping }, *login).await;
                }
                _ => {}
            }
        });
    }
}
