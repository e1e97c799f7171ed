//! What a webhook call about a message that came in tells, in JSON.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};

use mox_base::{DateTime, UnixSeconds};
use mox_mime::{
    EnvelopeAddress, Message, Part, PartAt, REFERENCES_MAX, decode_addresses, fields, first_field,
    parse_date, unfold,
};
use serde::Serialize;

use crate::header;

/// The most bytes told of the text, and of the HTML, each.
pub const HOOK_TEXT_BYTES_MAX: usize = 1 << 20;

/// Fields that only programs put into messages. RFC 2919 §3, RFC 2369 §3.2, RFC 8058 §3.1, RFC 2076 §3.9.
const AUTOMATED_FIELDS: [&str; 4] =
    ["List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Precedence"];

/// What is told of a message, with the names that programs out there know.
#[derive(Serialize)]
pub(super) struct Payload<'a> {
    #[serde(flatten)]
    pub(super) content: &'a Content,
    #[serde(rename = "Meta")]
    pub(super) meta: Meta<'a>,
}

/// The part that all copies share.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Content {
    version: u32,
    from: Vec<NameAddress>,
    to: Vec<NameAddress>,
    #[serde(rename = "CC")]
    cc: Vec<NameAddress>,
    #[serde(rename = "BCC")]
    bcc: Vec<NameAddress>,
    reply_to: Vec<NameAddress>,
    pub(super) subject: String,
    #[serde(rename = "MessageID")]
    pub(super) message_id: String,
    in_reply_to: String,
    references: Vec<String>,
    date: Option<String>,
    text: String,
    #[serde(rename = "HTML")]
    html: String,
    structure: Structure,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NameAddress {
    name: String,
    address: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Structure {
    content_type: String,
    content_type_params: BTreeMap<String, String>,
    #[serde(rename = "ContentID")]
    content_id: String,
    content_disposition: String,
    filename: String,
    decoded_size: u64,
    parts: Vec<Self>,
}

/// What is told of one copy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Meta<'a> {
    #[serde(rename = "MsgID")]
    pub(super) id: i64,
    pub(super) mail_from: &'a str,
    pub(super) mail_from_validated: bool,
    pub(super) msg_from_validated: bool,
    pub(super) rcpt_to: String,
    #[serde(rename = "DKIMVerifiedDomains")]
    pub(super) dkim_verified_domains: &'a [String],
    #[serde(rename = "RemoteIP")]
    pub(super) remote_ip: String,
    pub(super) received: String,
    pub(super) mailbox_name: &'a str,
    pub(super) automated: bool,
}

/// A time as payloads have it.
pub(super) fn time(at: UnixSeconds) -> String {
    DateTime::from_unix(at).to_rfc3339()
}

impl Content {
    /// Reads what is told of a message.
    ///
    /// - `header`: its header section.
    pub(super) fn read<R: Read + Seek>(
        reader: &mut R,
        message: &Message,
        header: &[u8],
    ) -> io::Result<Self> {
        let envelope = &message.envelope;
        let root = PartAt::root(message);
        let ids = |name| first_field(header, name).map(bracketed_ids).unwrap_or_default();
        Ok(Self {
            version: 0,
            from: addresses(&envelope.from),
            to: addresses(&envelope.to),
            cc: addresses(&envelope.cc),
            bcc: addresses(&envelope.bcc),
            reply_to: addresses(&envelope.reply_to),
            subject: header::subject(header),
            message_id: header::bracketed_id(header),
            in_reply_to: ids("In-Reply-To").into_iter().next().unwrap_or_default(),
            references: ids("References"),
            date: first_field(header, "Date").and_then(parse_date).map(DateTime::to_rfc3339),
            text: text(reader, &root, "PLAIN")?,
            html: text(reader, &root, "HTML")?,
            structure: Structure::new(&message.root),
        })
    }
}

/// Whether a program sent the message, so that nobody waits for an answer.
///
/// RFC 3834 §2: what such messages have.
pub(super) fn is_automated(has_null_sender: bool, root: &Part, header: &[u8]) -> bool {
    let is_automated = |field: mox_mime::Field<'_>| {
        AUTOMATED_FIELDS.iter().any(|name| field.is(name))
            || field.is("Auto-Submitted") && !says_no(field.value)
    };
    has_null_sender || root.is("MULTIPART", "REPORT") || fields(header).any(is_automated)
}

/// RFC 3834 §5: the keyword may be followed by parameters and comments.
fn says_no(value: &[u8]) -> bool {
    let value = unfold(value).to_ascii_lowercase();
    let keyword = value.split(|b| matches!(b, b';' | b'(')).next().unwrap_or_default();
    keyword.trim_ascii() == b"no"
}

fn addresses(list: &[EnvelopeAddress]) -> Vec<NameAddress> {
    let named = decode_addresses(list).into_iter();
    let named = named.map(|one| NameAddress {
        name: one.name,
        address: one.address.map(|address| address.to_string()).unwrap_or_default(),
    });
    named.filter(|one| !one.name.is_empty() || !one.address.is_empty()).collect()
}

/// The last [`REFERENCES_MAX`] ids as they are, with their brackets.
fn bracketed_ids(value: &[u8]) -> Vec<String> {
    let value = unfold(value);
    let text = String::from_utf8_lossy(&value);
    let ids = text.rsplit('<').filter_map(|piece| piece.split_once('>')).map(|(id, _)| id);
    let ids = ids.filter(|id| !id.is_empty()).take(REFERENCES_MAX);
    let mut ids: Vec<_> = ids.map(|id| format!("<{id}>")).collect();
    ids.reverse();
    ids
}

/// The first part with text of this kind that is not an attachment; line ends are LF.
fn text<R: Read + Seek>(reader: &mut R, at: &PartAt<'_>, subtype: &str) -> io::Result<String> {
    let Some(found) = find(at, subtype) else { return Ok(String::new()) };
    let mut chunks = found.open_text(reader)?;
    let mut text = String::new();
    while text.len() < HOOK_TEXT_BYTES_MAX
        && let Some(chunk) = chunks.next_chunk()?
    {
        text.extend(chunk.chars().filter(|c| *c != '\r'));
    }
    text.truncate(text.floor_char_boundary(HOOK_TEXT_BYTES_MAX));
    Ok(text)
}

fn find<'a>(at: &PartAt<'a>, subtype: &str) -> Option<PartAt<'a>> {
    let part = at.part;
    if part.is_attachment() {
        return None;
    }
    if part.is("TEXT", subtype) {
        return Some(at.clone());
    }
    part.parts.iter().find_map(|child| find(&at.child(child), subtype))
}

impl Structure {
    /// Recurses as deep as parts are nested, which is bounded.
    fn new(part: &Part) -> Self {
        let lossy =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into();
        let params = part.params.iter().map(|param| (param.name.clone(), param.value.clone()));
        let disposition = part.disposition.as_ref().map(|disposition| disposition.kind.clone());
        Self {
            content_type: format!("{}/{}", part.media_type, part.media_subtype).to_lowercase(),
            content_type_params: params.collect(),
            content_id: lossy(part.content_id.as_deref()),
            content_disposition: disposition.unwrap_or_default(),
            filename: part.filename().unwrap_or_default(),
            decoded_size: part.decoded_size,
            parts: part.parts.iter().map(Self::new).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use mox_mime::{Limits, parse_bytes};

    use super::*;

    const MESSAGE: &str = "From: =?utf-8?q?J=C3=B6rg?= <j@x.example>, list: a@y.example;\r\n\
        To: mjl@example.org\r\nCc: \"b\" <B@z.example>\r\nReply-To: r@x.example\r\n\
        Subject: =?utf-8?q?caf=C3=A9?=\r\nMessage-ID: <Id@x.example>\r\n\
        In-Reply-To: <2@y.example>\r\nReferences: <1@y.example>\r\n <2@y.example>\r\n\
        Date: Fri, 20 Nov 2026 09:55:32 +0100\r\n\
        Content-Type: multipart/mixed; boundary=m\r\n\r\n\
        --m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
        --a\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9\r\nau lait\r\n\
        --a\r\nContent-Type: text/html\r\n\r\n<b>x</b>\r\n--a--\r\n\
        --m\r\nContent-Type: text/plain; name=n.txt\r\nContent-ID: <c@x>\r\n\
        Content-Disposition: attachment; filename=f.txt\r\n\r\nfile\r\n--m--\r\n";

    fn header(message: &str) -> &[u8] {
        &message.as_bytes()[..message.find("\r\n\r\n").unwrap() + 4]
    }

    fn content(message: &str) -> serde_json::Value {
        let parsed = parse_bytes(message.as_bytes(), &Limits::default());
        let read = Content::read(&mut Cursor::new(message), &parsed, header(message)).unwrap();
        serde_json::to_value(read).unwrap()
    }

    #[test]
    fn a_message_with_parts_is_told_whole() {
        let part = |kind: &str, params: serde_json::Value, size: u64| {
            serde_json::json!({ "ContentType": kind, "ContentTypeParams": params, "ContentID": "",
                "ContentDisposition": "", "Filename": "", "DecodedSize": size, "Parts": [] })
        };
        let mut want = serde_json::json!({
            "Version": 0,
            "From": [{ "Name": "Jörg", "Address": "j@x.example" },
                { "Name": "", "Address": "a@y.example" }],
            "To": [{ "Name": "", "Address": "mjl@example.org" }],
            "CC": [{ "Name": "b", "Address": "B@z.example" }],
            "BCC": [],
            "ReplyTo": [{ "Name": "", "Address": "r@x.example" }],
            "Subject": "café",
            "MessageID": "<Id@x.example>",
            "InReplyTo": "<2@y.example>",
            "References": ["<1@y.example>", "<2@y.example>"],
            "Date": "2026-11-20T09:55:32+01:00",
            "Text": "café\nau lait",
            "HTML": "<b>x</b>",
        });
        let mut got = content(MESSAGE);
        let mut mixed = got["Structure"].take();
        got.as_object_mut().unwrap().remove("Structure");
        assert_eq!(got, want.take());
        let alternative = mixed["Parts"][0]["Parts"].take();
        let plain = part("text/plain", serde_json::json!({ "charset": "iso-8859-1" }), 13);
        assert_eq!(
            alternative,
            serde_json::json!([plain, part("text/html", serde_json::json!({}), 8)])
        );
        let mut attached = part("text/plain", serde_json::json!({ "name": "n.txt" }), 4);
        attached["ContentID"] = "<c@x>".into();
        attached["ContentDisposition"] = "attachment".into();
        attached["Filename"] = "f.txt".into();
        assert_eq!(mixed["Parts"][1], attached);
        assert_eq!(mixed["ContentType"], "multipart/mixed");
    }

    #[test]
    fn what_a_message_does_not_have_is_empty() {
        let got = content("X: y\r\n\r\nhello\r\n");
        assert_eq!(got["Date"], serde_json::Value::Null);
        for name in ["From", "To", "CC", "BCC", "ReplyTo", "References"] {
            assert_eq!(got[name], serde_json::json!([]), "{name}");
        }
        for name in ["Subject", "MessageID", "InReplyTo", "HTML"] {
            assert_eq!(got[name], "", "{name}");
        }
        assert_eq!(got["Text"], "hello\n");
    }

    /// Attack: much text, and many ids.
    #[test]
    fn what_is_told_is_bounded() {
        let text = "é".repeat(HOOK_TEXT_BYTES_MAX);
        let references = "<a@b>".repeat(REFERENCES_MAX) + "<last@b>";
        let message = format!(
            "References: {references}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}"
        );
        let got = content(&message);
        assert_eq!(got["Text"].as_str().unwrap().len(), HOOK_TEXT_BYTES_MAX);
        let ids = got["References"].as_array().unwrap();
        assert_eq!((ids.len(), &ids[REFERENCES_MAX - 1]), (REFERENCES_MAX, &"<last@b>".into()));
    }

    #[track_caller]
    fn check_automated(header: &str, want: bool) {
        let text = format!("{header}\r\n\r\n");
        let message = parse_bytes(text.as_bytes(), &Limits::default());
        assert_eq!(is_automated(false, &message.root, text.as_bytes()), want, "{header}");
        assert!(is_automated(true, &message.root, text.as_bytes()));
    }

    /// RFC 3834 §5.
    #[test]
    fn programs_are_known_by_what_they_write() {
        check_automated("List-Id: <x.example>", true);
        check_automated("list-unsubscribe: <mailto:x@y.example>", true);
        check_automated("List-Unsubscribe-Post: List-Unsubscribe=One-Click", true);
        check_automated("Precedence: bulk", true);
        check_automated("Auto-Submitted: auto-replied", true);
        check_automated("Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n\r\n--x--", true);
        check_automated("Auto-Submitted: no (it is me); x=y", false);
        check_automated("Auto-Submitted: NO", false);
        check_automated("Subject: Precedence", false);
        check_automated("Auto-Submitted: nobody", true);
    }
}
