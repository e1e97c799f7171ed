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
mod compose;
mod content;
mod date;
mod encoded_word;
mod envelope;
mod header;
mod html;
mod lex;
mod limits;
mod line_endings;
mod message_id;
mod parse;
mod preview;
mod reader;
mod scan;
mod search_text;
mod section;
mod structure;
mod subject;
mod summary;
mod transfer;

pub use address::{
    EnvelopeAddress, FromError, NamedAddress, decode_addresses, from_address, parse_address_list,
};
pub use blob::{
    AddressRef, AddressesRef, BLOB_VERSION, BlobError, EnvelopeRef, MessageRef, ParamsRef, PartRef,
    PartsRef,
};
pub use charset::{CharsetDecoder, charset, decode_charset, decode_unlabelled};
pub use compose::{
    BodyPart, ComposeError, Composer, Transport, random_boundary, random_message_id,
};
pub use content::{ContentType, Disposition, Param, param};
pub use date::parse_date;
pub use encoded_word::{ENCODED_WORD_BYTES_MAX, decode_header};
pub use envelope::Envelope;
pub use header::{Field, Fields, fields, first_field, select_fields, unfold};
pub use html::{HtmlText, html_to_text};
pub use limits::*;
pub use line_endings::LineEndings;
pub use message_id::{
    MESSAGE_ID_BYTES_MAX, MessageId, REFERENCES_MAX, canonical_message_id, referenced_ids,
};
pub use parse::{parse, parse_bytes};
pub use preview::{PREVIEW_CHARS_MAX, PREVIEW_SOURCE_BYTES_MAX, preview};
pub use reader::TextReader;
pub use search_text::{SearchText, SearchVisitor, text_for_search};
pub use section::{Layer, PartAt, SectionKind, Span, SpanReader, partial, read_span};
pub use structure::{EmbeddedMessage, Message, Part};
pub use subject::{BaseSubject, base_subject};
pub use summary::{Analysis, SUBJECT_BYTES_MAX, Summary, analyze};
pub use transfer::{DecodingReader, Encoding, TransferDecoder, decode_transfer};
