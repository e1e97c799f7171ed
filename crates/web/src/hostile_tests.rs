//! Clients that mean harm, or are broken.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, sleep};

use crate::activity::{HEAD_WAIT, IDLE_WAIT};
use crate::fixture::{TestServer, get};
use crate::server::{HEADER_BYTES_MAX, HEADERS_MAX, OPEN_CONNECTIONS, STREAMS_MAX};

const SECOND: Duration = Duration::from_secs(1);

/// What a client gets that sends this and waits for the end.
async fn talk(server: &TestServer, bytes: &[u8]) -> String {
    let mut client = server.connect();
    let _refused = client.write_all(bytes).await;
    read_to_end(&mut client).await
}

async fn read_to_end(client: &mut DuplexStream) -> String {
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn check_status(answer: &str, want: &str) {
    let found = answer.strip_prefix("HTTP/1.1 ").map(|rest| &rest[..rest.len().min(3)]);
    assert_eq!(found.unwrap_or("none"), want, "{answer}");
}

/// RFC 6585 §5, RFC 9112 §3.
#[tokio::test]
async fn headers_are_bounded() {
    let server = TestServer::start();
    let field = |size: usize| format!("X: {}\r\n", "x".repeat(size));
    let request =
        |fields: &str| format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
    for (fields, want) in [
        (field(HEADER_BYTES_MAX - 200), "200"),
        ("A: b\r\n".repeat(HEADERS_MAX - 2), "200"),
        (field(HEADER_BYTES_MAX), "431"),
        ("A: b\r\n".repeat(HEADERS_MAX - 1), "431"),
        ("A: b\r\n".repeat(HEADERS_MAX * 10), "431"),
    ] {
        check_status(&talk(&server, request(&fields).as_bytes()).await, want);
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(HEADER_BYTES_MAX * 3));
    let answer = talk(&server, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    // An end is not needed to be refused.
    let endless = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(HEADER_BYTES_MAX * 2));
    check_status(&talk(&server, endless.as_bytes()).await, "431");
    assert_eq!(server.supervisor.panics(), 0);
}

/// RFC 9112 §3.2, §6.1: what two programs on the way could read in two ways.
#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let server = TestServer::start();
    let close = "Connection: close\r\n";
    for (request, want) in [
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{close}\r\n"), "200"),
        (format!("GET http://x/ HTTP/1.1\r\nHost: y\r\n{close}\r\n"), "200"),
        (format!("GET / HTTP/1.1\r\n{close}\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n{close}\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\nHost: a b\r\n{close}\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\nHost : x\r\n{close}\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n{close}\r\n"), "400"),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".into(),
            "400",
        ),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".into(), "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n".into(), "400"),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n".into(), "400"),
        ("get\r\n\r\n".into(), "400"),
        ("\x16\x03\x01\x02\x00\x01".into(), "400"),
        ("SSH-2.0-x\r\n\r\n".into(), "400"),
        // HTTP/2 is spoken within TLS only.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), "none"),
    ] {
        let answer = talk(&server, request.as_bytes()).await;
        match want {
            "none" => assert!(!answer.contains(" 200 "), "{answer}"),
            want => check_status(&answer, want),
        }
    }
}

/// Attack: slowloris. Each header a byte a second, for ever.
#[tokio::test(start_paused = true)]
async fn a_slow_header_is_given_up() {
    let server = TestServer::start();
    let mut client = server.connect();
    let start = Instant::now();
    for byte in "GET / HTTP/1.1\r\nX: ".bytes().chain(std::iter::repeat(b'x')) {
        if client.write_all(&[byte]).await.is_err() {
            break;
        }
        sleep(SECOND).await;
    }
    assert!(start.elapsed() >= HEAD_WAIT && start.elapsed() < HEAD_WAIT + SECOND * 5);
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_ends() {
    let server = TestServer::start();
    let start = Instant::now();
    assert_eq!(talk(&server, b"").await, "");
    assert!(start.elapsed() >= HEAD_WAIT && start.elapsed() < HEAD_WAIT + SECOND * 5);
    // After a request there is more time.
    let start = Instant::now();
    check_status(&talk(&server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await, "200");
    assert!(start.elapsed() >= IDLE_WAIT && start.elapsed() < IDLE_WAIT + SECOND * 5);
    let start = Instant::now();
    let mut client = server.connect_from("192.0.2.7", true);
    let hello = read_to_end(&mut client).await;
    assert!(hello.len() < 200 && start.elapsed() < HEAD_WAIT + SECOND * 5, "{hello:?}");
}

/// Attack: a body that never ends, and takes its time.
#[tokio::test(start_paused = true)]
async fn a_slow_body_is_given_up() {
    let server = TestServer::start();
    let mut client = server.connect();
    let head = "POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: example.org\r\n\
                Content-Length: 60000\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(client);
    let writing = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            sleep(SECOND).await;
        }
    });
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer).await.unwrap();
    check_status(&String::from_utf8_lossy(&answer), "408");
    drop(reader);
    writing.await.unwrap();
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_no_more() {
    let server = TestServer::start();
    let most = OPEN_CONNECTIONS[0] as usize;
    let mut open = Vec::new();
    for _ in 0..most {
        let mut client = server.connect();
        // It counts once it is served.
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        client.read_exact(&mut [0; 12]).await.unwrap();
        open.push(client);
    }
    assert_eq!(talk(&server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await, "");
    let answer = server.ask_from("192.0.2.99", get("x", "/")).await;
    assert_eq!(answer.status.as_u16(), 200);
}

#[tokio::test]
async fn idle_connections_end_with_the_server() {
    let server = TestServer::start();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = server.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        client.read_exact(&mut [0; 12]).await.unwrap();
        clients.push(client);
    }
    assert_eq!(server.supervisor.shutdown(SECOND * 30).await.killed, 0);
    for mut client in clients {
        read_to_end(&mut client).await;
    }
}

/// Frames of HTTP/2. RFC 9113 §4.1.
mod frame {
    pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const GO_AWAY: u8 = 7;

    pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// GET / of authority x: END_STREAM and END_HEADERS. RFC 7541 §6.1, §6.2.2.
    pub(super) fn headers(stream: u32) -> Vec<u8> {
        frame(1, 5, stream, &[0x82, 0x84, 0x87, 0x01, 0x01, b'x'])
    }

    pub(super) fn reset(stream: u32) -> Vec<u8> {
        frame(3, 0, stream, &8_u32.to_be_bytes())
    }

    /// The frames of a stream of bytes: kinds and payloads.
    pub(super) fn split(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        while bytes.len() >= 9 {
            let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
            let end = (9 + length).min(bytes.len());
            frames.push((bytes[3], bytes[9..end].to_vec()));
            bytes = &bytes[end..];
        }
        frames
    }
}

/// What a client of HTTP/2 gets that sends these frames, until the server ends the connection.
async fn talk_http2(server: &TestServer, frames: Vec<u8>) -> Vec<(u8, Vec<u8>)> {
    let client = server.connect_from("192.0.2.7", true);
    let (mut reader, mut writer) = tokio::io::split(client);
    let writing = tokio::spawn(async move {
        let settings = frame::frame(frame::SETTINGS, 0, 0, &[]);
        for bytes in [frame::PREFACE, &settings[..], &frames[..]] {
            if writer.write_all(bytes).await.is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer).await.unwrap();
    writing.abort();
    frame::split(&answer)
}

/// The code of the last GOAWAY. RFC 9113 §6.8.
fn go_away(frames: &[(u8, Vec<u8>)]) -> Option<u32> {
    let payload = frames.iter().rev().find(|(kind, _)| *kind == frame::GO_AWAY)?;
    payload.1.get(4..8)?.try_into().ok().map(u32::from_be_bytes)
}

/// RFC 9113 §7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// Attack: CVE-2023-44487, requests that are taken back at once, by the ten thousand.
#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let server = TestServer::start();
    let frames = (0..10_000).flat_map(|index| {
        let stream = index * 2 + 1;
        [frame::headers(stream), frame::reset(stream)].concat()
    });
    let frames = talk_http2(&server, frames.collect()).await;
    assert_eq!(go_away(&frames), Some(ENHANCE_YOUR_CALM));
    assert_eq!(server.supervisor.panics(), 0);
    assert_eq!(server.get("x", "/").await.status.as_u16(), 200, "others are served");
}

/// Attack: a header in pieces without end (CVE-2024-27316).
#[tokio::test]
async fn headers_without_end_close_the_connection() {
    let server = TestServer::start();
    // A literal field with a long name, in CONTINUATION frames that never say END_HEADERS.
    let mut frames = frame::frame(1, 1, 1, &[0x82, 0x84, 0x87]);
    let mut field = vec![0x00, 0x7f, 0x81, 0x1f];
    field.extend([b'a'; 4_096]);
    field.push(0);
    for _ in 0..1_000 {
        frames.extend(frame::frame(9, 0, 1, &field));
    }
    let frames = talk_http2(&server, frames).await;
    assert!(go_away(&frames).is_some_and(|code| code != 0), "{frames:?}");
    assert_eq!(server.supervisor.panics(), 0);
}

/// RFC 9113 §5.1.2: more requests at a time than allowed are refused, and answered later by none.
#[tokio::test]
async fn settings_tell_the_limits() {
    let server = TestServer::start();
    let mut client = server.connect_from("192.0.2.7", true);
    client.write_all(frame::PREFACE).await.unwrap();
    client.write_all(&frame::frame(frame::SETTINGS, 0, 0, &[])).await.unwrap();
    let mut head = [0; 9];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], frame::SETTINGS);
    let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    client.read_exact(&mut payload).await.unwrap();
    let setting = |id: u16| {
        payload
            .chunks(6)
            .find(|chunk| chunk[..2] == id.to_be_bytes())
            .map(|chunk| u32::from_be_bytes([chunk[2], chunk[3], chunk[4], chunk[5]]))
    };
    // RFC 9113 §6.5.2: MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE.
    assert_eq!(setting(3), Some(STREAMS_MAX));
    assert_eq!(setting(6), u32::try_from(HEADER_BYTES_MAX).ok());
}
