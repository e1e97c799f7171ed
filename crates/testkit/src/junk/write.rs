//! From what a message is like to its bytes.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use mox_base::{DateTime, UnixSeconds};

use super::{Dice, mix};

/// What a message is like.
#[derive(Clone, Debug, Default)]
pub(super) struct Mail {
    pub(super) from_name: String,
    pub(super) from: String,
    pub(super) subject: String,
    /// The host that the message came from, and the one in its Message-ID.
    pub(super) relay: String,
    pub(super) id_host: String,
    pub(super) mailer: Option<&'static str>,
    /// More header fields, each with CRLF.
    pub(super) fields: String,
    pub(super) plain: Option<String>,
    /// What is between `<body>` and `</body>`.
    pub(super) html: Option<String>,
    /// The name of an attachment.
    pub(super) file: Option<String>,
}

/// Columns of a line of a text.
const COLUMNS: usize = 72;

impl Mail {
    /// The message as it comes in.
    pub(super) fn write(&self, date: UnixSeconds, dice: &mut Dice) -> Vec<u8> {
        let (id, boundary) = (dice.bits(), dice.bits());
        let date = DateTime::from_unix(date).to_rfc5322();
        let Self { from_name, from, subject, relay, id_host, .. } = self;
        let mut message = format!(
            "Received: from {relay} ({relay} [{}])\r\n\tby mx.mox.example with ESMTPS; {date}\r\n\
             From: \"{from_name}\" <{from}>\r\nTo: <me@mox.example>\r\nSubject: {subject}\r\n\
             Date: {date}\r\nMessage-ID: <{id:x}@{id_host}>\r\nMIME-Version: 1.0\r\n",
            address(relay),
        );
        if let Some(mailer) = self.mailer {
            push(&mut message, &format!("X-Mailer: {mailer}\r\n"));
        }
        message.push_str(&self.fields);
        self.push_content(&mut message, boundary);
        message.into_bytes()
    }

    fn push_content(&self, message: &mut String, boundary: u64) {
        let parts: Vec<String> = [
            self.plain.as_ref().map(|text| plain_part(text)),
            self.html.as_ref().map(|html| html_part(html)),
            self.file.as_ref().map(|name| file_part(name)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let [only] = parts.as_slice() {
            message.push_str(only);
            return;
        }
        let subtype = if self.file.is_some() { "mixed" } else { "alternative" };
        push(
            message,
            &format!("Content-Type: multipart/{subtype}; boundary=\"{boundary:x}\"\r\n\r\n"),
        );
        for part in parts {
            push(message, &format!("--{boundary:x}\r\n{part}"));
        }
        push(message, &format!("--{boundary:x}--\r\n"));
    }
}

/// The address of a host: always the same, in a network that is shared with few others.
fn address(host: &str) -> Ipv4Addr {
    let key = host.bytes().fold(7, |key, byte| mix(key ^ u64::from(byte)));
    Ipv4Addr::from_bits(0x0a00_0000 | u32::try_from(key & 0x00ff_ffff).unwrap_or_default())
}

fn push(message: &mut String, text: &str) {
    message.push_str(text);
}

fn plain_part(text: &str) -> String {
    format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{}", folded(text))
}

fn html_part(html: &str) -> String {
    format!(
        "Content-Type: text/html; charset=utf-8\r\n\r\n<html><body>\r\n{}</body></html>\r\n",
        folded(html)
    )
}

fn file_part(name: &str) -> String {
    let mut part = format!(
        "Content-Type: application/octet-stream; name=\"{name}\"\r\n\
         Content-Disposition: attachment; filename=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n"
    );
    for _ in 0..20 {
        let _written = writeln!(part, "{}\r", "QUJD".repeat(18));
    }
    part
}

/// The text with a line end at the first blank after so many columns.
fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len() + text.len() / 20);
    let mut column = 0;
    for c in text.chars() {
        column = if c == '\n' { 0 } else { column + 1 };
        if c == ' ' && column > COLUMNS {
            folded.push_str("\r\n");
            column = 0;
        } else {
            folded.push(c);
        }
    }
    if !folded.ends_with("\r\n") {
        folded.push_str("\r\n");
    }
    folded
}
