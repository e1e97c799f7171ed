//! Connections to others: one address after the other, in the order of the caller.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::Conn;

/// Addresses of one host that are tried; the rest is ignored. Ours: more would leave each too
/// little of the time, and a host with thousands is an attack.
pub const DIAL_ADDRESSES_MAX: usize = 20;

/// Our own addresses to connect from. `None`: the system chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalIps {
    /// To servers with IPv4.
    pub v4: Option<Ipv4Addr>,
    /// To servers with IPv6.
    pub v6: Option<Ipv6Addr>,
}

impl LocalIps {
    fn towards(self, remote: IpAddr) -> Option<IpAddr> {
        match remote {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }
}

/// Why no address could be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// There are no addresses.
    #[error("no addresses to connect to")]
    NoAddresses,
    /// Each failed; the last as told here.
    #[error("connect to {address}: {source}")]
    Failed {
        /// The last address that was tried.
        address: SocketAddr,
        /// Why it could not be reached.
        #[source]
        source: io::Error,
    },
}

/// Connects to the first of `addresses` that answers, in their order, and returns the connection;
/// its peer is that address.
///
/// `limit` is for all of them: each may take what is left divided by the number of those not tried
/// yet. RFC 5321 §5.1 wants the addresses of one host tried in order.
///
/// # Errors
///
/// If none answers.
pub async fn dial(
    addresses: &[SocketAddr],
    limit: Duration,
    local: LocalIps,
) -> Result<Conn, DialError> {
    let (stream, peer) = dial_stream(addresses, limit, local).await?;
    let local = stream.local_addr();
    let local = local.map_err(|source| DialError::Failed { address: peer, source })?;
    Ok(Conn::tcp(stream, peer, local))
}

/// As [`dial`], for what is no session of ours.
pub(crate) async fn dial_stream(
    addresses: &[SocketAddr],
    limit: Duration,
    local: LocalIps,
) -> Result<(TcpStream, SocketAddr), DialError> {
    let end = Instant::now() + limit;
    let addresses = addresses.get(..DIAL_ADDRESSES_MAX).unwrap_or(addresses);
    let mut error = DialError::NoAddresses;
    for (index, address) in addresses.iter().copied().enumerate() {
        let untried = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let wait = end.saturating_duration_since(Instant::now()) / untried;
        let tried = timeout(wait, connect(address, local.towards(address.ip()))).await;
        let tried = tried.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match tried {
            Ok(stream) => return Ok((stream, address)),
            Err(source) => {
                tracing::debug!(%address, error = %source, "connect");
                error = DialError::Failed { address, source };
            }
        }
    }
    Err(error)
}

async fn connect(address: SocketAddr, local: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(ip) = local {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    let stream = socket.connect(address).await?;
    // Commands and replies are short, and each waits for the other.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address where nobody listens: all of 127/8 is this machine, and no test binds this one.
    fn nobody() -> SocketAddr {
        SocketAddr::from(([127, 3, 1, 8], 1))
    }

    #[tokio::test]
    async fn the_first_that_answers_is_taken() {
        let (_first, one) = listener().await;
        let (_second, two) = listener().await;
        let closed = nobody();
        for (addresses, want) in [
            (vec![one, two], Some(one)),
            (vec![closed, two, one], Some(two)),
            (vec![closed], None),
            (vec![], None),
        ] {
            let got = dial(&addresses, LIMIT, LocalIps::default()).await;
            assert_eq!(got.ok().map(|conn| conn.peer()), want, "{addresses:?}");
        }
    }

    #[tokio::test]
    async fn the_error_names_the_last_that_was_tried() {
        let closed = nobody();
        let error = dial(&[closed], LIMIT, LocalIps::default()).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("connect to {closed}: ")), "{error}");
        let error = dial(&[], LIMIT, LocalIps::default()).await.unwrap_err();
        assert!(matches!(error, DialError::NoAddresses), "{error}");
    }

    #[tokio::test]
    async fn only_so_many_are_tried() {
        let (_listener, open) = listener().await;
        let closed = nobody();
        let mut addresses = vec![closed; DIAL_ADDRESSES_MAX - 1];
        addresses.push(open);
        dial(&addresses, LIMIT, LocalIps::default()).await.unwrap();
        addresses.insert(0, closed);
        dial(&addresses, LIMIT, LocalIps::default()).await.unwrap_err();
    }

    /// A server that takes no more connections: the kernel does not answer for it.
    #[tokio::test]
    async fn one_that_hangs_leaves_time_for_the_others() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let full = socket.listen(1).unwrap();
        let hangs = full.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(hangs)).await
        {
            waiting.push(stream.unwrap());
        }
        let (_listener, open) = listener().await;
        let limit = Duration::from_secs(2);
        let conn = dial(&[hangs, open], limit, LocalIps::default()).await.unwrap();
        assert_eq!(conn.peer(), open);
        let limit = Duration::from_millis(20);
        let error = dial(&[hangs], limit, LocalIps::default()).await.unwrap_err();
        assert!(
            matches!(&error, DialError::Failed { address, source }
            if *address == hangs && source.kind() == io::ErrorKind::TimedOut),
            "{error}"
        );
    }

    #[tokio::test]
    async fn our_own_address_is_as_told() {
        let (listener, address) = listener().await;
        // All of 127/8 is this machine.
        let ours = Ipv4Addr::new(127, 0, 0, 9);
        let local = LocalIps { v4: Some(ours), v6: Some(Ipv6Addr::LOCALHOST) };
        let conn = dial(&[address], LIMIT, local).await.unwrap();
        let (_, seen) = listener.accept().await.unwrap();
        assert_eq!((conn.local().ip(), seen.ip()), (ours.into(), ours.into()));
        // One that is not ours: there is no connection from another.
        let local = LocalIps { v4: Some(Ipv4Addr::new(192, 0, 2, 1)), v6: None };
        dial(&[address], LIMIT, local).await.unwrap_err();
    }
}
