//! Connections by way of a SOCKS proxy, without credentials.
//!
//! Source: RFC 1928.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mox_base::Domain;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::Conn;
use crate::dial::{DialError, LocalIps, dial_stream};

/// Where a proxy is to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A host that the proxy looks up.
    Domain(Domain),
    /// An address.
    Ip(IpAddr),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => f.write_str(domain.ascii()),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// Why there is no connection by way of a proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocksError {
    /// The proxy cannot be reached.
    #[error("socks proxy: {0}")]
    Dial(#[source] DialError),
    /// The connection to the proxy failed.
    #[error("connection to socks proxy failed")]
    Io(#[source] io::Error),
    /// The proxy took too long.
    #[error("socks proxy took too long")]
    TimedOut,
    /// What the proxy says is not SOCKS version 5.
    #[error("not a socks proxy")]
    Malformed,
    /// The proxy wants credentials.
    #[error("socks proxy wants credentials")]
    Credentials,
    /// The proxy could not or would not connect, with its code. RFC 1928 §6.
    #[error("socks proxy: {}", reply_text(*.0))]
    Refused(u8),
}

const VERSION: u8 = 5;
/// RFC 1928 §3.
const NO_AUTHENTICATION: u8 = 0;
const NO_ACCEPTABLE_METHODS: u8 = 0xff;
/// RFC 1928 §4.
const CONNECT: u8 = 1;
const SUCCEEDED: u8 = 0;
/// RFC 1928 §5.
const ADDRESS_V4: u8 = 1;
const ADDRESS_DOMAIN: u8 = 3;
const ADDRESS_V6: u8 = 4;

/// RFC 1928 §6.
fn reply_text(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "connection not allowed",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown failure",
    }
}

/// Connects to `target` by way of the first of `proxies` that answers, all within `limit`. The peer
/// of the connection is the proxy.
///
/// # Errors
///
/// If the proxy or the target cannot be reached.
pub async fn dial_socks(
    proxies: &[SocketAddr],
    target: &Target,
    port: u16,
    limit: Duration,
    local: LocalIps,
) -> Result<Conn, SocksError> {
    let end = Instant::now() + limit;
    let (mut stream, peer) = dial_stream(proxies, limit, local).await.map_err(SocksError::Dial)?;
    let request = request(&mut stream, target, port);
    timeout_at(end, request).await.map_err(|_| SocksError::TimedOut)??;
    let local = stream.local_addr().map_err(SocksError::Io)?;
    Ok(Conn::tcp(stream, peer, local))
}

/// Asks the proxy at the other end to connect to `target`. Reads not one byte beyond its answer,
/// and at most 262: what follows is the target's. RFC 1928 §3, §4, §6.
async fn request(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &Target,
    port: u16,
) -> Result<(), SocksError> {
    io.write_all(&[VERSION, 1, NO_AUTHENTICATION]).await.map_err(SocksError::Io)?;
    io.flush().await.map_err(SocksError::Io)?;
    match read::<2>(io).await? {
        [VERSION, NO_AUTHENTICATION] => {}
        [VERSION, NO_ACCEPTABLE_METHODS] => return Err(SocksError::Credentials),
        _ => return Err(SocksError::Malformed),
    }
    io.write_all(&connect_request(target, port)).await.map_err(SocksError::Io)?;
    io.flush().await.map_err(SocksError::Io)?;
    let [version, code, _reserved, kind] = read(io).await?;
    if version != VERSION {
        return Err(SocksError::Malformed);
    }
    if code != SUCCEEDED {
        return Err(SocksError::Refused(code));
    }
    // Where the proxy connects from: of no use, but in the way.
    let address_bytes = match kind {
        ADDRESS_V4 => 4,
        ADDRESS_V6 => 16,
        ADDRESS_DOMAIN => usize::from(read::<1>(io).await?[0]),
        _ => return Err(SocksError::Malformed),
    };
    const PORT_BYTES: usize = 2;
    let mut bound = [0; u8::MAX as usize + PORT_BYTES];
    io.read_exact(&mut bound[..address_bytes + PORT_BYTES]).await.map_err(SocksError::Io)?;
    Ok(())
}

fn connect_request(target: &Target, port: u16) -> Vec<u8> {
    let mut request = vec![VERSION, CONNECT, 0];
    match target {
        Target::Ip(IpAddr::V4(ip)) => {
            request.push(ADDRESS_V4);
            request.extend_from_slice(&ip.octets());
        }
        Target::Ip(IpAddr::V6(ip)) => {
            request.push(ADDRESS_V6);
            request.extend_from_slice(&ip.octets());
        }
        Target::Domain(domain) => {
            // At most 253 bytes, as of any domain.
            let name = domain.ascii().as_bytes();
            request.push(ADDRESS_DOMAIN);
            request.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            request.extend_from_slice(name);
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    request
}

async fn read<const N: usize>(io: &mut (impl AsyncRead + Unpin)) -> Result<[u8; N], SocksError> {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).await.map_err(SocksError::Io)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::duplex;
    use tokio::net::TcpListener;

    use super::*;

    fn domain() -> Target {
        Target::Domain(Domain::parse("mx.example").unwrap())
    }

    /// Plays a proxy that answers so, and returns what was asked and what is left to read.
    async fn ask(target: &Target, answer: &[u8]) -> (Result<(), SocksError>, Vec<u8>, Vec<u8>) {
        let (mut client, mut proxy) = duplex(4096);
        proxy.write_all(answer).await.unwrap();
        proxy.shutdown().await.unwrap();
        let result = request(&mut client, target, 25).await;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        drop(client);
        let mut asked = Vec::new();
        proxy.read_to_end(&mut asked).await.unwrap();
        (result, asked, rest)
    }

    /// RFC 1928 §4, §5.
    #[tokio::test]
    async fn hosts_and_addresses_can_be_asked_for() {
        for (target, want) in [
            (domain(), &b"\x05\x01\x00\x05\x01\x00\x03\x0amx.example\x00\x19"[..]),
            (
                Target::Ip("192.0.2.1".parse().unwrap()),
                b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x19",
            ),
            (
                Target::Ip("2001:db8::1".parse().unwrap()),
                b"\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x19",
            ),
        ] {
            let answer = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34";
            let (result, asked, _) = ask(&target, answer).await;
            result.unwrap();
            assert_eq!(asked, want, "{target}");
        }
    }

    /// RFC 1928 §6: the answer ends where its lengths say, and what follows is the target's.
    #[tokio::test]
    async fn no_byte_of_the_target_is_taken() {
        let mut long = b"\x05\x00\x05\x00\x00\x03\xff".to_vec();
        long.extend_from_slice(&[b'x'; 255 + 2]);
        for mut answer in [
            b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34".to_vec(),
            b"\x05\x00\x05\x00\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x34".to_vec(),
            b"\x05\x00\x05\x00\x00\x03\x00\x12\x34".to_vec(),
            long,
        ] {
            answer.extend_from_slice(b"220 mx.example\r\n");
            let (result, _, rest) = ask(&domain(), &answer).await;
            result.unwrap();
            assert_eq!(rest, b"220 mx.example\r\n");
        }
    }

    #[tokio::test]
    async fn refusals_and_garbage_are_told() {
        for (answer, want) in [
            (&b"\x05\xff"[..], "socks proxy wants credentials"),
            (b"\x05\x02", "not a socks proxy"),
            (b"\x04\x00", "not a socks proxy"),
            (b"HTTP/1.1 400 ", "not a socks proxy"),
            (b"\x05\x00\x05\x05\x00\x01", "socks proxy: connection refused"),
            (b"\x05\x00\x05\xee\x00\x01", "socks proxy: unknown failure"),
            (b"\x05\x00\x04\x00\x00\x01", "not a socks proxy"),
            (b"\x05\x00\x05\x00\x00\x07", "not a socks proxy"),
            (b"\x05\x00\x05\x00\x00\x01\x7f", "connection to socks proxy failed"),
            (b"\x05\x00\x05\x00\x00\x03", "connection to socks proxy failed"),
            (b"\x05", "connection to socks proxy failed"),
            (b"", "connection to socks proxy failed"),
        ] {
            let (result, _, _) = ask(&domain(), answer).await;
            assert_eq!(result.unwrap_err().to_string(), want, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_proxy_is_dialed_and_its_silence_bounded() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let serve = async {
            let (mut io, _) = listener.accept().await.unwrap();
            io.write_all(b"\x05\x00\x05\x00\x00\x01\x7f\0\0\x01\0\x19").await.unwrap();
            io.read_exact(&mut [0; 3]).await.unwrap();
            io
        };
        let (target, local) = (domain(), LocalIps::default());
        let limit = Duration::from_secs(30);
        let proxies = [proxy];
        let dialed = dial_socks(&proxies, &target, 25, limit, local);
        let (conn, _io) = tokio::join!(dialed, serve);
        assert_eq!(conn.unwrap().peer(), proxy);
        // The kernel takes the connection, and nobody speaks on it.
        let limit = Duration::from_millis(20);
        let error = dial_socks(&proxies, &target, 25, limit, local).await.unwrap_err();
        assert!(matches!(error, SocksError::TimedOut), "{error}");
    }
}
