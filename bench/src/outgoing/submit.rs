//! Clients that submit messages.

use std::net::SocketAddr;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mox::localserve::{ADDRESS, PASSWORD};

use crate::smtp::{Smtp, to_data};

/// The length of a message, as Postfix' own benchmarks have it.
const MESSAGE_BYTES: usize = 5_000;

/// A session that is logged in.
pub(crate) fn log_in(addr: SocketAddr) -> Result<Smtp> {
    let mut session = Smtp::connect(addr)?;
    let response = STANDARD.encode(format!("\0{ADDRESS}\0{PASSWORD}"));
    session.send(format!("AUTH PLAIN {response}\r\n").as_bytes())?;
    session.expect("235")?;
    Ok(session)
}

/// A message with its number in the subject, as it is sent after DATA.
pub(crate) fn message(number: u64) -> Vec<u8> {
    let mut text = format!(
        "From: <{ADDRESS}>\r\nTo: <someone@sink.example>\r\nSubject: message {number}\r\n\
         Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{number}@bench.example>\r\n\r\n"
    );
    while text.len() < MESSAGE_BYTES {
        text.push_str(&format!(
            "{number} words of a message that has a few of them, in lines.\r\n"
        ));
    }
    to_data(text.as_bytes())
}

/// Sends one message, in as few packets as a client may.
pub(crate) fn submit(session: &mut Smtp, rcpts: &[String], data: &[u8]) -> Result<()> {
    let mut commands = format!("MAIL FROM:<{ADDRESS}>\r\n");
    for rcpt in rcpts {
        commands.push_str(&format!("RCPT TO:<{rcpt}>\r\n"));
    }
    commands.push_str("DATA\r\n");
    session.send(commands.as_bytes())?;
    for _ in 0..=rcpts.len() {
        session.expect("250")?;
    }
    session.expect("354")?;
    session.send(data)?;
    session.expect("250")
}
