//! Sessions as the server sees them: many, and their end.

use mox::service::Service;
use mox::services::Mode;

use crate::client::Client;
use crate::server::TestServer;

/// RFC 5321 §3.8, RFC 9051 §7.1.5.
#[tokio::test]
async fn a_shutdown_is_told_to_all_sessions_and_does_not_wait_for_them() {
    // An address that no other test binds: its port stays free when it is given back.
    let server = TestServer::start_with(|conf| conf.replace("127.0.0.1", "127.3.1.5")).await;
    let mut smtp = server.smtp(Service::Smtp).await;
    let mut imap = server.inbox().await;
    let mut idle = server.inbox().await;
    idle.send("i1 IDLE").await;
    idle.expect("+ ").await;
    let address = server.server().address(Service::Imap).unwrap();
    server.stop().await;
    smtp.expect("421 ").await;
    smtp.expect_closed().await;
    for session in [&mut imap, &mut idle] {
        session.expect("* BYE ").await;
        session.expect_closed().await;
    }
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn serve_bounds_the_connections_of_an_address_and_localserve_does_not() {
    /// Open at once from one address, RFC 5321 §4.5.4.2 leaves it to us.
    const OPEN_MAX: usize = 30;

    let server = TestServer::start_as(Mode::Serve).await;
    let mut clients = Vec::new();
    for _ in 0..OPEN_MAX {
        clients.push(server.imap().await);
    }
    let address = server.server().address(Service::Imap).unwrap();
    let mut more = Client::connect(address).await;
    let told = more.line().await;
    assert!(told.as_ref().is_none_or(|line| line.starts_with("* BYE")), "{told:?}");
    // The limit is of one protocol.
    let smtp = server.smtp(Service::Smtp).await;
    drop((clients, smtp));
    server.stop().await;

    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for _ in 0..=OPEN_MAX {
        clients.push(server.imap().await);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_protocol_hurts_only_its_own_connection() {
    let server = TestServer::start().await;
    let mut good = server.inbox().await;
    for service in Service::ALL {
        for bytes in
            [&b"\x16\x03\x01\xff\xff garbage\r\n"[..], b"\0\0\0\0\r\n\r\n", &[0xff; 70_000]]
        {
            let Some(address) = server.server().address(service) else { continue };
            let mut bad = Client::connect(address).await;
            bad.send_garbage(bytes).await;
            drop(bad);
        }
    }
    good.ask("n1 NOOP").await;
    drop(good);
    server.stop().await;
}
