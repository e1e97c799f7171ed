//! What SORT and THREAD compare of a message's header. The same for all copies of a message.

use mox_mime::{
    AddressRef, AddressesRef, MessageRef, base_subject, canonical_message_id, casemap,
    decode_header, fields, referenced_ids, text_hash,
};

use crate::{Result, StoreError};

/// The longest text kept for sorting, in bytes of its mapped form. Messages that are the same up to
/// here count as equal.
pub(crate) const SORT_VALUE_BYTES_MAX: usize = 256;

/// The texts by which messages are sorted, in the form in which they are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SortValues {
    pub(crate) subject: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) cc: String,
    pub(crate) display_from: String,
    pub(crate) display_to: String,
}

/// By what messages are threaded. See [`mox_mime::ThreadMessage`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadKeys {
    pub(crate) id: Option<u64>,
    pub(crate) references: Vec<u64>,
    pub(crate) subject: Option<u64>,
    pub(crate) is_reply: bool,
}

impl ThreadKeys {
    /// The stored form of the references.
    pub(crate) fn refs(&self) -> Option<Vec<u8>> {
        let bytes: Vec<u8> = self.references.iter().flat_map(|id| id.to_le_bytes()).collect();
        (!bytes.is_empty()).then_some(bytes)
    }
}

/// Reads both from the structure and header section of a message.
pub(crate) fn keys_of(structure: &[u8], head: &[u8]) -> Result<(SortValues, ThreadKeys)> {
    let damaged = |_| StoreError::Damaged { what: "message structure" };
    let envelope = MessageRef::new(structure).and_then(|m| m.envelope()).map_err(damaged)?;
    let subject = base_subject(&envelope.subject.map(decode_header).unwrap_or_default());
    let base = casemap(&subject.base);
    let values = |name: &'static str| {
        fields(head).filter(move |field| field.is(name)).map(|field| field.value)
    };
    let references = referenced_ids(values("References"), values("In-Reply-To"));
    let threads = ThreadKeys {
        id: envelope.message_id.and_then(canonical_message_id).map(|id| text_hash(&id.id)),
        references: references.iter().map(|id| text_hash(id)).collect(),
        subject: (!base.is_empty()).then(|| text_hash(&base)),
        is_reply: subject.is_reply,
    };
    let sort = SortValues {
        subject: cut(base),
        from: mailbox(envelope.from()),
        to: mailbox(envelope.to()),
        cc: mailbox(envelope.cc()),
        display_from: display(envelope.from()),
        display_to: display(envelope.to()),
    };
    Ok((sort, threads))
}

fn cut(mut text: String) -> String {
    let mut end = SORT_VALUE_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

fn decoded(bytes: Option<&[u8]>) -> String {
    bytes.map(decode_header).unwrap_or_default()
}

/// `addr-mailbox` of the first address; of a group, its name. RFC 5256 §3.
fn mailbox(mut list: AddressesRef<'_>) -> String {
    cut(casemap(&list.next().map(|first| decoded(first.mailbox)).unwrap_or_default()))
}

/// The first address as it is shown: its name, else the address. RFC 5957 §3.
fn display(mut list: AddressesRef<'_>) -> String {
    let Some(AddressRef { name, mailbox, host }) = list.next() else {
        return String::new();
    };
    let name = decoded(name);
    let shown = match host.filter(|host| !host.is_empty()) {
        _ if !name.is_empty() => name,
        Some(host) => format!("{}@{}", decoded(mailbox), decoded(Some(host))),
        None => decoded(mailbox),
    };
    cut(casemap(&shown))
}
