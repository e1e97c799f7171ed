//! Telling the service manager how the server is.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// The longest status that is told, in bytes.
const STATUS_BYTES_MAX: usize = 200;

/// How long a service manager that does not listen is waited for: what is not heard is lost.
const TELL_WAIT: Duration = Duration::from_secs(1);

/// The connection to a service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notifier(Option<UnixDatagram>);

impl Notifier {
    /// The one of the variable `NOTIFY_SOCKET`. That it cannot be reached is logged.
    pub(crate) fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self(None);
        };
        match connect(name.as_bytes()) {
            Ok(socket) => Self(Some(socket)),
            Err(error) => {
                tracing::warn!(%error, "the service manager cannot be told anything");
                Self(None)
            }
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.0 else { return };
        let text: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = socket.send(text.as_bytes()) {
            tracing::warn!(%error, "the service manager was not told");
        }
    }

    /// The server serves.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(one_line(status))]);
    }

    /// It is being restarted.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "monotonic time"),
        }
    }

    /// It comes to its end.
    pub(crate) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// What it does, for people.
    pub(crate) fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(one_line(status))]);
    }

    /// It is alive.
    pub(crate) fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }
}

fn connect(name: &[u8]) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(TELL_WAIT))?;
    match name.split_first() {
        Some((b'@', name)) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(std::ffi::OsStr::from_bytes(name))?,
    }
    Ok(socket)
}

/// A line end would begin another statement.
fn one_line(text: &str) -> &str {
    let line = text.split(['\n', '\r']).next().unwrap_or_default();
    let mut end = line.len().min(STATUS_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    &line[..end]
}

/// How often the service manager wants to hear that the server is alive: a third of the time after
/// which it gives up.
///
/// - `usec`: the variable `WATCHDOG_USEC`.
pub(crate) fn watchdog_interval(usec: Option<&str>) -> Option<Duration> {
    const INTERVAL_MAX: Duration = Duration::from_secs(60);
    let usec: u64 = usec?.parse().ok().filter(|usec| *usec > 0)?;
    Some((Duration::from_micros(usec) / 3).min(INTERVAL_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_manager_hears() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier(Some(connect(path.as_os_str().as_bytes()).unwrap()));
        let heard = || {
            let mut buffer = [0; 500];
            let size = manager.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..size].to_vec()).unwrap()
        };
        notifier.ready("serving\nMAINPID=1");
        assert_eq!(heard(), "READY=1\nSTATUS=serving\n");
        notifier.reloading();
        assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        notifier.alive();
        assert_eq!(heard(), "WATCHDOG=1\n");
        notifier.status(&"é".repeat(200));
        assert_eq!(heard(), format!("STATUS={}\n", "é".repeat(100)));
        notifier.stopping();
        assert_eq!(heard(), "STOPPING=1\nSTATUS=stopping\n");
        // Nobody listens any more, or nobody ever did.
        drop(manager);
        notifier.alive();
        Notifier::default().alive();
    }

    #[test]
    fn how_often_the_watchdog_is_told() {
        let millis = |text| watchdog_interval(text).map(|interval| interval.as_millis());
        assert_eq!(millis(Some("30000000")), Some(10_000));
        assert_eq!(millis(Some("3000")), Some(1));
        assert_eq!(millis(Some("3600000000")), Some(60_000));
        for text in [None, Some("0"), Some(""), Some("-1"), Some("x")] {
            assert_eq!(millis(text), None, "{text:?}");
        }
    }
}
