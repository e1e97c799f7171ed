//! Just as much of SMTP as leads to TLS. RFC 3207.

use mox_net::tls::client::{TlsError, TlsOutcome, Verify};
use mox_net::trace::Kind;
use mox_net::{Conn, ConnError, Deadline, DialError, Wait};
use mox_smtp::{Reply, ReplyError, ReplyParser};

use super::DIAL_WAIT;
use crate::Services;

/// How we greet.
const EHLO: &[u8] = b"EHLO moxtest\r\n";

/// How long a reply may take, and all of them together.
const REPLY: Wait = Wait::new("reply", DIAL_WAIT);

/// Why TLS did not come about.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartTlsError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It broke or stalled.
    #[error(transparent)]
    Conn(#[from] ConnError),
    /// The server closed it.
    #[error("the server closed the connection")]
    Closed,
    /// What came is no reply.
    #[error("{0}")]
    Reply(#[from] ReplyError),
    /// The server refuses to go on.
    #[error("the server refuses: {0}")]
    Refused(u16),
    /// It has no TLS.
    #[error("the server does not offer STARTTLS")]
    NotOffered,
    /// The handshake failed.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
}

/// Begins a session of SMTP and goes over to TLS.
pub(super) async fn starttls(
    services: &Services,
    address: std::net::SocketAddr,
    verify: &Verify,
) -> Result<TlsOutcome, StartTlsError> {
    let mut conn = services.network.dial(address, DIAL_WAIT).await?;
    conn.set_read_deadline(Some(Deadline::after(REPLY)));
    expect(&read(&mut conn).await?, 220)?;
    let greeting = ask(&mut conn, EHLO).await?;
    expect(&greeting, 250)?;
    if !greeting.text.lines().any(|line| line.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err(StartTlsError::NotOffered);
    }
    expect(&ask(&mut conn, b"STARTTLS\r\n").await?, 220)?;
    let (mut conn, outcome) = services.connector.connect(conn, verify).await?;
    // Good-bye is polite, and nothing depends on it.
    conn.send(Kind::Protocol, b"QUIT\r\n");
    let _unheard = conn.flush(REPLY).await;
    Ok(outcome)
}

fn expect(reply: &Reply, code: u16) -> Result<(), StartTlsError> {
    if reply.code == code { Ok(()) } else { Err(StartTlsError::Refused(reply.code)) }
}

async fn ask(conn: &mut Conn, command: &[u8]) -> Result<Reply, StartTlsError> {
    conn.send(Kind::Protocol, command);
    conn.flush(REPLY).await?;
    read(conn).await
}

async fn read(conn: &mut Conn) -> Result<Reply, StartTlsError> {
    let mut parser = ReplyParser::default();
    loop {
        let (taken, reply) = parser.push(conn.buffered())?;
        conn.consume(Kind::Protocol, taken);
        if let Some(reply) = reply {
            return Ok(reply);
        }
        if conn.fill(REPLY).await? == 0 {
            return Err(StartTlsError::Closed);
        }
    }
}
