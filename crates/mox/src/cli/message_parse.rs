//! `mox message parse`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use mox_mime::{
    EmbeddedMessage, Envelope, EnvelopeAddress, Limits, Part, decode_addresses, decode_header,
};
use serde::Serialize;

use super::print;

/// Print the structure of a message as JSON.
#[derive(Debug, Args)]
pub(super) struct MessageParse {
    /// Also tell whether the message can only be sent with SMTPUTF8.
    #[arg(long)]
    smtputf8: bool,
    /// File with the message.
    file: PathBuf,
}

impl MessageParse {
    pub(super) fn run(self) -> Result<()> {
        let file = File::open(&self.file);
        let file = file.with_context(|| format!("open {}", self.file.display()))?;
        let message = mox_mime::parse(BufReader::new(file), &Limits::default())
            .with_context(|| format!("read {}", self.file.display()))?;
        let tree = PartJson::new(&message.root, Some(&message.envelope));
        let mut text = serde_json::to_string_pretty(&tree).context("print as JSON")?;
        text.push('\n');
        if self.smtputf8 {
            text.push_str(&format!("message needs smtputf8: {}\n", message.needs_smtputf8));
        }
        print(&text)
    }
}

/// A part as JSON.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PartJson {
    /// -1 for a message.
    boundary_offset: i64,
    header_offset: u64,
    body_offset: u64,
    end_offset: u64,
    raw_line_count: u64,
    decoded_size: u64,
    /// Empty where there is no Content-Type.
    media_type: String,
    #[serde(rename = "MediaSubType")]
    media_subtype: String,
    content_type_params: BTreeMap<String, String>,
    #[serde(rename = "ContentID")]
    content_id: Option<String>,
    content_description: Option<String>,
    content_transfer_encoding: Option<String>,
    content_disposition: Option<DispositionJson>,
    #[serde(rename = "ContentMD5")]
    content_md5: Option<String>,
    content_language: Option<String>,
    content_location: Option<String>,
    envelope: Option<EnvelopeJson>,
    parts: Vec<Self>,
    message: Option<Box<Self>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DispositionJson {
    kind: String,
    params: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EnvelopeJson {
    date: Option<String>,
    subject: Option<String>,
    from: Vec<AddressJson>,
    sender: Vec<AddressJson>,
    reply_to: Vec<AddressJson>,
    to: Vec<AddressJson>,
    #[serde(rename = "CC")]
    cc: Vec<AddressJson>,
    #[serde(rename = "BCC")]
    bcc: Vec<AddressJson>,
    in_reply_to: Option<String>,
    #[serde(rename = "MessageID")]
    message_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddressJson {
    name: String,
    user: String,
    host: String,
}

impl PartJson {
    fn new(part: &Part, envelope: Option<&Envelope>) -> Self {
        let typed =
            |text: &str| if part.has_content_type { text.to_owned() } else { String::new() };
        Self {
            boundary_offset: part
                .boundary_offset
                .map_or(-1, |offset| i64::try_from(offset).unwrap_or(i64::MAX)),
            header_offset: part.header_offset,
            body_offset: part.body_offset,
            end_offset: part.end_offset,
            raw_line_count: part.lines,
            decoded_size: part.decoded_size,
            media_type: typed(&part.media_type),
            media_subtype: typed(&part.media_subtype),
            content_type_params: if part.has_content_type {
                params(&part.params)
            } else {
                BTreeMap::new()
            },
            content_id: text(part.content_id.as_deref()),
            content_description: text(part.content_description.as_deref()),
            content_transfer_encoding: text(part.transfer_encoding.as_deref()),
            content_disposition: part.disposition.as_ref().map(|disposition| DispositionJson {
                kind: disposition.kind.clone(),
                params: params(&disposition.params),
            }),
            content_md5: text(part.content_md5.as_deref()),
            content_language: text(part.content_language.as_deref()),
            content_location: text(part.content_location.as_deref()),
            envelope: envelope.map(EnvelopeJson::new),
            parts: part.parts.iter().map(|part| Self::new(part, None)).collect(),
            message: part.message.as_deref().map(|EmbeddedMessage { envelope, root, .. }| {
                Box::new(Self::new(root, Some(envelope)))
            }),
        }
    }
}

impl EnvelopeJson {
    fn new(envelope: &Envelope) -> Self {
        Self {
            date: text(envelope.date.as_deref()),
            subject: envelope.subject.as_deref().map(decode_header),
            from: addresses(&envelope.from),
            sender: addresses(&envelope.sender),
            reply_to: addresses(&envelope.reply_to),
            to: addresses(&envelope.to),
            cc: addresses(&envelope.cc),
            bcc: addresses(&envelope.bcc),
            in_reply_to: text(envelope.in_reply_to.as_deref()),
            message_id: text(envelope.message_id.as_deref()),
        }
    }
}

/// Addresses without the marks of groups, decoded; those that are none have no user and host.
fn addresses(list: &[EnvelopeAddress]) -> Vec<AddressJson> {
    let decoded = decode_addresses(list).into_iter();
    decoded
        .map(|named| {
            let address = named.address.as_ref();
            AddressJson {
                name: named.name.clone(),
                user: address.map(|address| address.localpart.to_string()).unwrap_or_default(),
                host: address.map(|a| a.domain.ascii().to_owned()).unwrap_or_default(),
            }
        })
        .collect()
}

fn params(params: &[mox_mime::Param]) -> BTreeMap<String, String> {
    params.iter().map(|param| (param.name.clone(), param.value.clone())).collect()
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(message: &str) -> serde_json::Value {
        let message = mox_mime::parse_bytes(message.as_bytes(), &Limits::default());
        serde_json::to_value(PartJson::new(&message.root, Some(&message.envelope))).unwrap()
    }

    #[track_caller]
    fn check(tree: &serde_json::Value, path: &str, want: impl Into<serde_json::Value>) {
        assert_eq!(tree.pointer(path), Some(&want.into()), "{path}");
    }

    #[test]
    fn a_plain_message_is_one_part() {
        let tree =
            json("Subject: =?utf-8?q?caf=C3=A9?=\r\nFrom: \"Z\" <z@x.example>\r\n\r\nhi\r\n");
        check(&tree, "/BoundaryOffset", -1);
        check(&tree, "/MediaType", "");
        check(&tree, "/ContentTypeParams", serde_json::json!({}));
        check(&tree, "/DecodedSize", 4);
        check(&tree, "/RawLineCount", 1);
        check(&tree, "/Envelope/Subject", "café");
        let from = serde_json::json!([{"Name": "Z", "User": "z", "Host": "x.example"}]);
        check(&tree, "/Envelope/From", from);
        check(&tree, "/Parts", serde_json::json!([]));
        check(&tree, "/Message", serde_json::Value::Null);
    }

    #[test]
    fn parts_and_messages_inside_are_shown() {
        let tree = json(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\
             Content-Disposition: attachment; filename=a.txt\r\nContent-ID: <i@x>\r\n\r\nx\r\n--b\r\n\
             Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ny\r\n--b--\r\n",
        );
        check(&tree, "/MediaSubType", "MIXED");
        check(&tree, "/ContentTypeParams/boundary", "b");
        check(&tree, "/Parts/0/MediaType", "TEXT");
        check(&tree, "/Parts/0/ContentTransferEncoding", "7BIT");
        check(&tree, "/Parts/0/ContentDisposition/Kind", "attachment");
        check(&tree, "/Parts/0/ContentDisposition/Params/filename", "a.txt");
        check(&tree, "/Parts/0/ContentID", "<i@x>");
        check(&tree, "/Parts/0/Envelope", serde_json::Value::Null);
        check(&tree, "/Parts/1/Message/Envelope/Subject", "inner");
    }
}
