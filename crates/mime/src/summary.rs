//! What a store keeps of a message beside its structure, made at delivery.

use std::io::{self, Read, Seek};

use mox_base::UnixSeconds;

use crate::address::{NamedAddress, decode_addresses};
use crate::bytes::floor_str;
use crate::date::parse_date;
use crate::encoded_word::decode_header;
use crate::header::{Field, fields};
use crate::limits::Limits;
use crate::message_id::{MessageId, canonical_message_id, referenced_ids};
use crate::parse::parse_with_header;
use crate::preview::preview;
use crate::structure::Message;
use crate::subject::base_subject;

/// The longest decoded subject that is kept, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 4 * 1024;

/// The facts about a message that lists, threads and searches need, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The Message-ID, comparable; `None` if there is none that can be read.
    pub message_id: Option<MessageId>,
    /// Ids of References, or the first of In-Reply-To; comparable, the parent last.
    pub references: Vec<String>,
    /// Subject, decoded.
    pub subject: String,
    /// See [`BaseSubject::base`](crate::BaseSubject::base).
    pub base_subject: String,
    /// Whether the subject is that of a reply or forward.
    pub is_reply: bool,
    /// The Date field as a point in time.
    pub date: Option<UnixSeconds>,
    /// The day of the Date field as written, whatever its zone, in days since 1970-01-01. What
    /// `SENTON` and its kin compare (RFC 9051 §6.4.4).
    pub sent_day: Option<i64>,
    /// From, without groups.
    pub from: Vec<NamedAddress>,
    /// Sender.
    pub sender: Vec<NamedAddress>,
    /// Reply-To.
    pub reply_to: Vec<NamedAddress>,
    /// To.
    pub to: Vec<NamedAddress>,
    /// Cc.
    pub cc: Vec<NamedAddress>,
    /// Bcc.
    pub bcc: Vec<NamedAddress>,
    /// See [`Message::is_dsn`].
    pub is_dsn: bool,
    /// See [`Message::needs_smtputf8`].
    pub needs_smtputf8: bool,
    /// See [`preview`](crate::preview).
    pub preview: String,
}

/// Structure and summary of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Its part tree and envelope.
    pub message: Message,
    /// The rest.
    pub summary: Summary,
}

/// Takes a message apart and summarises it.
///
/// Reads `reader` from its start to its end once, and then the start of one text part. Costs
/// memory as [`parse`](crate::parse). Errors are those of the reader.
pub fn analyze<R: Read + Seek>(reader: &mut R, limits: &Limits) -> io::Result<Analysis> {
    reader.rewind()?;
    let (message, header) = parse_with_header(&mut *reader, limits)?;
    let preview = preview(reader, &message)?;
    let summary = Summary { preview, ..summarize(&message, &header, limits) };
    Ok(Analysis { message, summary })
}

/// All but the preview.
fn summarize(message: &Message, header: &[u8], limits: &Limits) -> Summary {
    let envelope = &message.envelope;
    let subject = envelope.subject.as_deref().map(decode_header).unwrap_or_default();
    let subject = floor_str(&subject, SUBJECT_BYTES_MAX).to_owned();
    let base = base_subject(&subject);
    let date = envelope.date.as_deref().and_then(parse_date);
    let threading: Vec<Field<'_>> = fields(header)
        .take(limits.header_fields)
        .filter(|field| field.is("References") || field.is("In-Reply-To"))
        .collect();
    let values = |name: &'static str| {
        threading.iter().filter(move |field| field.is(name)).map(|field| field.value)
    };
    Summary {
        message_id: envelope.message_id.as_deref().and_then(canonical_message_id),
        references: referenced_ids(values("References"), values("In-Reply-To")),
        subject,
        base_subject: base.base,
        is_reply: base.is_reply,
        date: date.and_then(|date| date.to_unix().ok()),
        sent_day: date.and_then(|date| date.to_day().ok()),
        from: decode_addresses(&envelope.from),
        sender: decode_addresses(&envelope.sender),
        reply_to: decode_addresses(&envelope.reply_to),
        to: decode_addresses(&envelope.to),
        cc: decode_addresses(&envelope.cc),
        bcc: decode_addresses(&envelope.bcc),
        is_dsn: message.is_dsn(),
        needs_smtputf8: message.needs_smtputf8,
        preview: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(text: &str) -> Summary {
        analyze(&mut io::Cursor::new(text), &Limits::default()).unwrap().summary
    }

    #[test]
    fn a_message_is_summarised() {
        let got = summary(
            "From: =?utf-8?q?Zo=C3=AB?= <Zoe@Example.org>, friends: a@b.example;\r\n\
             To: c@d.example\r\nReply-To: r@example.org\r\n\
             Subject: Re: [list]\r\n =?utf-8?q?caf=C3=A9?=\r\n\
             Date: Fri, 20 Nov 2026 23:30:00 -0100\r\nMessage-ID: <A@b.example>\r\n\
             References: <1@x> <2@x>\r\n\r\nHello.\r\n",
        );
        assert_eq!(got.message_id.unwrap().id, "a@b.example");
        assert_eq!(got.references, ["1@x", "2@x"]);
        assert_eq!(got.subject, "Re: [list] café");
        assert_eq!((got.base_subject.as_str(), got.is_reply), ("café", true));
        // RFC 9051 §6.4.4: the day is that of the writer, the time is that of the world.
        assert_eq!(got.sent_day, Some(20_777));
        assert_eq!(got.date.unwrap().day(), 20_778);
        let names: Vec<_> = got.from.iter().map(|from| from.name.as_str()).collect();
        assert_eq!(names, ["Zoë", ""]);
        assert_eq!(got.from[0].address.as_ref().unwrap().to_string(), "Zoe@example.org");
        assert_eq!((got.to.len(), got.reply_to.len(), got.cc.len()), (1, 1, 0));
        assert_eq!(got.preview, "Hello.\n");
        assert!(!got.is_dsn && !got.needs_smtputf8);
    }

    #[test]
    fn nothing_makes_an_empty_summary() {
        assert_eq!(summary(""), Summary::default());
        assert_eq!(summary("Date: never\r\nMessage-ID: <>\r\nTo: \r\n\r\n"), Summary::default());
    }

    #[test]
    fn a_long_subject_is_cut_between_characters() {
        let got = summary(&format!("Subject: a{}\r\n\r\n", "é".repeat(SUBJECT_BYTES_MAX)));
        assert_eq!(got.subject.len(), SUBJECT_BYTES_MAX - 1);
    }

    #[test]
    fn the_reader_is_read_from_its_start() {
        let mut reader = io::Cursor::new("Subject: a\r\n\r\nb");
        reader.set_position(5);
        assert_eq!(analyze(&mut reader, &Limits::default()).unwrap().summary.subject, "a");
    }
}
