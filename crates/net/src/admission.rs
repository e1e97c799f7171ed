//! Whether a new connection is served at all: the one place that every driver asks.

use std::net::IpAddr;

use mox_base::UnixSeconds;

use crate::limits::{ConnectionLimits, OpenPermit};

/// Why a connection is not served. What its client is told is for its protocol to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The server is about to end.
    #[error("shutting down")]
    Stopping,
    /// Its network connects too often.
    #[error("connection rate of network too high")]
    Rate,
    /// Its address has failed to log in too often.
    #[error("too many failed logins from network")]
    AuthFailures,
    /// Its network has too many connections open.
    #[error("too many open connections from network")]
    Open,
}

impl ConnectionLimits {
    /// Lets a connection in, which counts as open until the permit is dropped.
    ///
    /// The questions come in the order of [`NotAdmitted`], and what is refused counts no further: a
    /// network that connects too often is not held to have connections open.
    ///
    /// - `is_stopping`: the server is about to end.
    /// - `may_log_in`: whether the address may still try to log in; `true` where nobody logs in.
    ///
    /// # Errors
    ///
    /// The first reason against it.
    pub fn admit(
        &self,
        ip: IpAddr,
        now: UnixSeconds,
        is_stopping: bool,
        may_log_in: impl FnOnce() -> bool,
    ) -> Result<OpenPermit, NotAdmitted> {
        if is_stopping {
            return Err(NotAdmitted::Stopping);
        }
        if !self.try_connect(ip, now) {
            return Err(NotAdmitted::Rate);
        }
        if !may_log_in() {
            return Err(NotAdmitted::AuthFailures);
        }
        self.try_open(ip).ok_or(NotAdmitted::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Window;

    #[test]
    fn the_first_reason_counts_and_nothing_after_it() {
        let minute = Window { secs: 60, limits: [3, 99, 99] };
        let limits = ConnectionLimits::with(&[minute], [1, 99, 99]);
        let ip = IpAddr::from([192, 0, 2, 1]);
        let now = UnixSeconds(1_000_000_020);
        let admit = |is_stopping, may_log_in| {
            limits.admit(ip, now, is_stopping, || may_log_in).map_err(Some).err().flatten()
        };
        // Neither counts as a connection.
        for _ in 0..5 {
            assert_eq!(admit(true, false), Some(NotAdmitted::Stopping));
        }
        assert_eq!(admit(false, false), Some(NotAdmitted::AuthFailures));
        let permit = limits.admit(ip, now, false, || true).unwrap();
        assert_eq!(admit(false, true), Some(NotAdmitted::Open));
        // Three have come in this minute, whatever became of them.
        assert_eq!(admit(false, false), Some(NotAdmitted::Rate));
        drop(permit);
        assert_eq!(admit(false, true), Some(NotAdmitted::Rate));
        let later = UnixSeconds(now.0 + 60);
        let never = || -> bool { unreachable!("asked although the rate is too high") };
        assert!(limits.admit(ip, later, false, || true).is_ok());
        assert!(limits.admit(ip, later, false, || true).is_ok(), "the permit was given back");
        assert!(limits.admit(ip, later, false, || true).is_ok());
        assert_eq!(limits.admit(ip, later, false, never).err(), Some(NotAdmitted::Rate));
        // Neighbours have their own count.
        let neighbour = IpAddr::from([192, 0, 2, 2]);
        assert!(limits.admit(neighbour, later, false, || true).is_ok());
    }
}
