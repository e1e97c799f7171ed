//! Questions and answers as bytes.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name as WireName, RecordType as WireType};
use mox_dns::{Name, RecordType, Trouble};

/// The longest answer by UDP that is asked for, in bytes: what reaches everybody without being cut
/// up on the way. RFC 6891 §6.2.5.
pub(super) const UDP_ANSWER_BYTES: u16 = 1232;

/// The option of EDNS that says more about an error. RFC 8914 §2.
const EXTENDED_ERROR: u16 = 15;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) name: WireName,
    pub(super) kind: WireType,
    /// Whether the server is to answer also what it finds to be bogus, since we look ourselves.
    /// RFC 4035 §3.2.2, RFC 6840 §5.9.
    pub(super) unchecked: bool,
}

impl Question {
    /// A question as it is asked of a server that validates.
    pub(super) fn new(name: &Name, kind: RecordType) -> Result<Self, Trouble> {
        Ok(Self { name: to_wire(name)?, kind: wire_type(kind), unchecked: false })
    }

    /// The bytes, with recursion desired and, if `edns`, with signatures wanted. RFC 4035 §3.2.1.
    pub(super) fn encode(&self, id: u16, edns: bool) -> Result<Vec<u8>, Trouble> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        // Without this a server need not tell that it has validated. RFC 6840 §5.7.
        message.metadata.authentic_data = true;
        message.metadata.checking_disabled = self.unchecked;
        message.add_query(Query::query(self.name.clone(), self.kind));
        if edns {
            let mut options = Edns::new();
            options.set_version(0).set_max_payload(UDP_ANSWER_BYTES).set_dnssec_ok(true);
            message.set_edns(options);
        }
        message.to_vec().map_err(|_| Trouble::Malformed)
    }

    /// Whether a message answers this question. RFC 5452 §9.1.
    fn is_of(&self, message: &Message) -> bool {
        match message.queries.as_slice() {
            [query] => {
                query.name == self.name
                    && query.query_type == self.kind
                    && query.query_class == DNSClass::IN
            }
            // A server that could not read the question cannot repeat it.
            [] => matches!(
                message.metadata.response_code,
                ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::Refused
            ),
            _ => false,
        }
    }
}

/// What came from a server.
#[derive(Debug)]
pub(super) enum Received {
    /// Not for this question: late, or from somebody who guesses. RFC 5452 §9.2.
    Stray,
    /// Numbered as the question, but not an answer to it.
    Damaged,
    /// An answer.
    Answer(Box<Message>),
}

/// Reads what came.
pub(super) fn receive(bytes: &[u8], id: u16, question: &Question) -> Received {
    if bytes.first_chunk() != Some(&id.to_be_bytes()) {
        return Received::Stray;
    }
    match Message::from_vec(bytes) {
        Ok(message)
            if message.metadata.message_type == MessageType::Response
                && message.metadata.op_code == OpCode::Query
                && question.is_of(&message) =>
        {
            Received::Answer(Box::new(message))
        }
        _ => Received::Damaged,
    }
}

/// Whether a server says that it has found signatures missing or wrong, or cannot say.
///
/// Those codes of RFC 8914 §4 that speak of DNSSEC: unsupported key algorithm (1) and digest (2),
/// indeterminate (5), bogus (6), expired (7), not yet valid (8), missing keys (9), signatures (10), key
/// bits (11) and proofs of absence (12).
pub(super) fn is_bogus(message: &Message) -> bool {
    let Some(edns) = &message.edns else { return false };
    let mut options = edns.options().options.iter();
    options.any(|(_, option)| match option {
        EdnsOption::Unknown(EXTENDED_ERROR, data) => match data.first_chunk() {
            Some(code) => matches!(u16::from_be_bytes(*code), 1 | 2 | 5..=12),
            None => false,
        },
        _ => false,
    })
}

/// Whether a server says that it does not know EDNS. RFC 6891 §7.
pub(super) fn refuses_edns(message: &Message) -> bool {
    message.edns.is_none()
        && matches!(message.metadata.response_code, ResponseCode::FormErr | ResponseCode::NotImp)
}

/// The name for a message.
pub(super) fn to_wire(name: &Name) -> Result<WireName, Trouble> {
    if name.is_root() {
        return Ok(WireName::root());
    }
    let labels = name.labels().map(str::as_bytes);
    WireName::from_labels(labels).map_err(|_| Trouble::Malformed)
}

/// The name of a message, unless a label has a dot or something that is not printable: that could be
/// taken for another name.
pub(super) fn from_wire(name: &WireName) -> Option<Name> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        let label = std::str::from_utf8(label).ok().filter(|label| !label.contains('.'))?;
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(label);
    }
    Name::parse(&text).ok()
}

/// The kind as messages have it.
pub(super) fn wire_type(kind: RecordType) -> WireType {
    match kind {
        RecordType::A => WireType::A,
        RecordType::Aaaa => WireType::AAAA,
        RecordType::Cname => WireType::CNAME,
        RecordType::Mx => WireType::MX,
        RecordType::Ns => WireType::NS,
        RecordType::Ptr => WireType::PTR,
        RecordType::Srv => WireType::SRV,
        RecordType::Tlsa => WireType::TLSA,
        RecordType::Txt => WireType::TXT,
    }
}
