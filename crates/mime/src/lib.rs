//! Reads and writes mail messages: headers, addresses, part tree, encodings, charsets.
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod address;
mod blob;
mod bytes;
mod charset;
mod content;
mod date;
mod encoded_word;
mod envelope;
mod header;
mod lex;
mod limits;
mod message_id;
mod parse;
mod reader;
mod scan;
mod section;
mod structure;
mod subject;
mod transfer;

pub use address::{
    EnvelopeAddress, FromError, NamedAddress, decode_addresses, from_address, parse_address_list,
};
pub use blob::{
    AddressRef, AddressesRef, BLOB_VERSION, BlobError, EnvelopeRef, MessageRef, ParamsRef, PartRef,
    PartsRef,
};
pub use charset::{CharsetDecoder, charset, decode_charset, decode_unlabelled};
pub use content::{ContentType, Disposition, Param, param};
pub use date::parse_date;
pub use encoded_word::{ENCODED_WORD_BYTES_MAX, decode_header};
pub use envelope::Envelope;
pub use header::{Field, Fields, fields, first_field, select_fields, unfold};
pub use limits::*;
pub use message_id::{
    MESSAGE_ID_BYTES_MAX, MessageId, REFERENCES_MAX, canonical_message_id, referenced_ids,
};
pub use parse::{parse, parse_bytes};
pub use reader::TextReader;
pub use section::{Layer, PartAt, SectionKind, Span, SpanReader, partial, read_span};
pub use structure::{EmbeddedMessage, Message, Part};
pub use subject::{BaseSubject, base_subject};
pub use transfer::{DecodingReader, Encoding, TransferDecoder, decode_transfer};
