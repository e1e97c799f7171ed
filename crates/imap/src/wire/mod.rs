//! Bytes from a client into commands, in whatever pieces they come.

mod reader;
mod redact;

pub use reader::{
    CommandReader, Event, LINE_BYTES_MAX, LITERAL_BYTES_MAX, LITERALS_BYTES_MAX, LITERALS_MAX,
    Literal, Reading, TooBig,
};
pub use redact::{redact, shown_bytes};
