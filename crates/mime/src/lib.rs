//! Reads and writes mail messages: headers, addresses, part tree, encodings, charsets.
//!
//! A message is read once, in order, into a [`Message`]: a tree of [`Part`]s that know where they
//! are in the bytes, and nothing of the bytes themselves. Everything else is made from that tree
//! and the message when it is asked for: sections for IMAP, decoded text, previews, text to
//! search. [`Message::to_blob`] stores the tree in a few hundred bytes, and [`MessageRef`] reads it
//! there without taking it apart.
//!
//! No content makes parsing fail. What cannot be read counts as absent, what cannot be taken apart
//! is a leaf, and every count, length and depth has a limit (see [`Limits`]).
//!
//! It is not a renderer of messages, does not make HTML safe to show, checks no signatures, and
//! does not open files or sockets: readers and writers are the caller's.
//!
//! ```
//! use mox_mime::{Limits, SectionKind, analyze, read_span};
//! use std::io::Cursor;
//!
//! let message = b"From: Zo\xc3\xab <zoe@example.org>\r\n\
//!     Subject: Re: =?utf-8?q?caf=C3=A9?=\r\n\
//!     Content-Type: multipart/mixed; boundary=b\r\n\r\n\
//!     --b\r\n\r\nSee you there.\r\n--b\r\n\
//!     Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw==\r\n";
//! let mut reader = Cursor::new(message);
//! let analysis = analyze(&mut reader, &Limits::default())?;
//!
//! // The closing delimiter is missing, and both parts are there.
//! assert_eq!(analysis.message.root.parts.len(), 2);
//! assert_eq!(analysis.summary.base_subject, "café");
//! assert_eq!(analysis.summary.preview, "See you there.\n");
//! let section = analysis.message.section(&[2], SectionKind::Whole).unwrap();
//! assert_eq!(read_span(&mut reader, &section, 100)?, b"iVBORw==\r\n");
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod address;
mod blob;
mod bytes;
mod casemap;
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
mod stored;
mod structure;
mod subject;
mod summary;
mod threading;
mod transfer;

pub use address::{
    EnvelopeAddress, FromError, NamedAddress, decode_addresses, from_address, parse_address_list,
};
pub use blob::{BLOB_VERSION, BlobError};
pub use casemap::{Folding, TextFinder, casemap, casemap_bare, casemap_into};
pub use charset::{CharsetDecoder, charset, decode_charset, decode_unlabelled};
pub use compose::{
    BodyPart, ComposeError, Composer, Transport, encode_phrase, random_boundary, random_message_id,
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
pub use stored::{AddressRef, AddressesRef, EnvelopeRef, MessageRef, ParamsRef, PartRef, PartsRef};
pub use structure::{EmbeddedMessage, Message, Part};
pub use subject::{BaseSubject, base_subject};
pub use summary::{Analysis, SUBJECT_BYTES_MAX, Summary, analyze};
pub use threading::{
    THREAD_REFERENCES_MAX, ThreadMessage, ThreadNode, text_hash, thread_by_references,
    thread_by_subject,
};
pub use transfer::{DecodingReader, Encoding, TransferDecoder, decode_transfer};
