//! Bounds on what one message may cost.

/// The deepest nesting of parts; a multipart or message below it is a leaf.
pub const DEPTH_MAX: usize = 40;
/// The largest number of parts in one message; later ones are left inside their parent.
pub const PARTS_MAX: usize = 1_000;
/// The largest part of one header section that is interpreted, in bytes.
pub const HEADER_BYTES_MAX: usize = 256 * 1024;
/// The largest part of all header sections of one message that is interpreted, in bytes.
pub const HEADERS_TOTAL_BYTES_MAX: usize = 1024 * 1024;
/// The largest number of fields of one header section that are interpreted.
pub const HEADER_FIELDS_MAX: usize = 2_000;
/// The longest field value kept in a [`Part`](crate::Part), in bytes; a longer one is cut.
pub const FIELD_BYTES_MAX: usize = 8 * 1024;
/// The largest number of parameters (segments of RFC 2231 §3 counted singly) of one field.
pub const PARAMS_MAX: usize = 100;
/// The longest value of one parameter, in bytes; a longer one is cut.
pub const PARAM_BYTES_MAX: usize = 4 * 1024;
/// The longest name of a type, subtype, disposition, encoding or parameter. RFC 6838 §4.2.
pub const TOKEN_BYTES_MAX: usize = 127;
/// The largest number of addresses kept of all envelopes of one message.
pub const ADDRESSES_MAX: usize = 10_000;
/// The longest boundary that is honoured, in bytes. RFC 2046 §5.1.1 allows 70; longer ones are seen.
pub const BOUNDARY_BYTES_MAX: usize = 256;
/// The most bytes that are decoded to look into messages sent as base64 or quoted-printable.
pub const EMBEDDED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The bounds [`parse`](crate::parse) keeps. The default is the constants of this crate.
///
/// A message line may have any length: lines are never held in memory, and one that is longer than
/// the buffer is read in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`DEPTH_MAX`], which it cannot exceed.
    pub depth: usize,
    /// See [`PARTS_MAX`].
    pub parts: usize,
    /// See [`HEADER_BYTES_MAX`].
    pub header_bytes: usize,
    /// See [`HEADERS_TOTAL_BYTES_MAX`].
    pub headers_total_bytes: usize,
    /// See [`HEADER_FIELDS_MAX`].
    pub header_fields: usize,
    /// See [`ADDRESSES_MAX`].
    pub addresses: usize,
    /// See [`EMBEDDED_BYTES_MAX`].
    pub embedded_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: DEPTH_MAX,
            parts: PARTS_MAX,
            header_bytes: HEADER_BYTES_MAX,
            headers_total_bytes: HEADERS_TOTAL_BYTES_MAX,
            header_fields: HEADER_FIELDS_MAX,
            addresses: ADDRESSES_MAX,
            embedded_bytes: EMBEDDED_BYTES_MAX,
        }
    }
}
