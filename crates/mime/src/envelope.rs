//! The envelope of a message, as IMAP gives it. RFC 9051 §7.5.2.

use crate::address::{EnvelopeAddress, parse_address_list};
use crate::header::{Field, unfold};
use crate::limits::FIELD_BYTES_MAX;

/// The fields of ENVELOPE, as in the header but unfolded and without blanks around.
///
/// Deviation: the original has the date rendered anew and the subject decoded. RFC 9051
/// §7.5.2 takes both from the header, and clients decode encoded-words themselves; so everything
/// here is raw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Date.
    pub date: Option<Box<[u8]>>,
    /// Subject.
    pub subject: Option<Box<[u8]>>,
    /// From.
    pub from: Vec<EnvelopeAddress>,
    /// Sender; empty if absent. IMAP shows From then, see
    /// [`EnvelopeRef::sender`](crate::EnvelopeRef::sender).
    pub sender: Vec<EnvelopeAddress>,
    /// Reply-To; empty if absent. IMAP shows From then, see
    /// [`EnvelopeRef::reply_to`](crate::EnvelopeRef::reply_to).
    pub reply_to: Vec<EnvelopeAddress>,
    /// To.
    pub to: Vec<EnvelopeAddress>,
    /// Cc.
    pub cc: Vec<EnvelopeAddress>,
    /// Bcc.
    pub bcc: Vec<EnvelopeAddress>,
    /// In-Reply-To.
    pub in_reply_to: Option<Box<[u8]>>,
    /// Message-ID.
    pub message_id: Option<Box<[u8]>>,
}

impl Envelope {
    /// Takes a field if it is one of the envelope's; `room` is how many addresses may be kept.
    ///
    /// The first of several counts, but address lists are joined (RFC 5322 §3.6 allows one each;
    /// To and Cc are seen repeated).
    pub(crate) fn take(&mut self, field: &Field<'_>, room: &mut usize) {
        let list = match field.name.len() {
            2 if field.is("To") => &mut self.to,
            2 if field.is("Cc") => &mut self.cc,
            3 if field.is("Bcc") => &mut self.bcc,
            4 if field.is("From") => &mut self.from,
            6 if field.is("Sender") => &mut self.sender,
            8 if field.is("Reply-To") => &mut self.reply_to,
            4 if field.is("Date") => return set(&mut self.date, field.value),
            7 if field.is("Subject") => return set(&mut self.subject, field.value),
            10 if field.is("Message-ID") => return set(&mut self.message_id, field.value),
            11 if field.is("In-Reply-To") => return set(&mut self.in_reply_to, field.value),
            _ => return,
        };
        let mut items = parse_address_list(field.value, *room);
        *room = room.saturating_sub(items.len());
        list.append(&mut items);
    }
}

/// Keeps the first value; one that is empty is kept too (`""` and NIL differ in RFC 9051 §7.5.2).
pub(crate) fn set(slot: &mut Option<Box<[u8]>>, value: &[u8]) {
    if slot.is_none() {
        let value = unfold(value);
        *slot = Some(Box::from(crate::bytes::head(&value, FIELD_BYTES_MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ADDRESSES_MAX, fields};

    fn envelope(section: &str) -> Envelope {
        let mut envelope = Envelope::default();
        let mut room = ADDRESSES_MAX;
        fields(section.as_bytes()).for_each(|field| envelope.take(&field, &mut room));
        envelope
    }

    /// RFC 9051 §7.5.2.
    #[test]
    fn fields_are_raw_and_the_first_counts() {
        let got = envelope(
            "date:  Fri, 20 Nov\r\n 2026 \r\nSUBJECT: =?utf-8?q?a?=\r\nSubject: b\r\n\
             In-Reply-To: <a@b> (x)\r\nMessage-Id:\r\nX-Subject: c\r\n",
        );
        assert_eq!(got.date.as_deref(), Some(&b"Fri, 20 Nov 2026"[..]));
        assert_eq!(got.subject.as_deref(), Some(&b"=?utf-8?q?a?="[..]));
        assert_eq!(got.in_reply_to.as_deref(), Some(&b"<a@b> (x)"[..]));
        assert_eq!(got.message_id.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn address_fields_are_joined_and_long_fields_cut() {
        let got = envelope("To: a@b\r\nCc: c@d\r\nTo: e@f\r\nBcc: g:;\r\n");
        assert_eq!((got.to.len(), got.cc.len(), got.bcc.len()), (2, 1, 2));
        let long = envelope(&format!("Subject: {}\r\n", "a".repeat(FIELD_BYTES_MAX + 1)));
        assert_eq!(long.subject.unwrap().len(), FIELD_BYTES_MAX);
    }
}
