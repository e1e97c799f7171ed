//! Reports about mail: DMARC aggregate reports (RFC 7489 §7.2, RFC 9990), TLS reports (RFC 8460), and
//! delivery status notifications (RFC 3464). Those of others are read here, and ours are written.
//!
//! They come by mail from whoever likes to send some, compressed, so sizes are bounded before and
//! after unpacking, counts and depths while reading, and XML that defines entities is refused.
//! Values are typed; what lists of words do not have, and domains that are none, are kept as written.
//!
//! Not here: who may report, which domains are ours, where reports are kept, and the messages that
//! carry the first two.
//!
//! ```
//! use mox_reports::{dmarc, tls};
//!
//! let xml = "<feedback><report_metadata><org_name>Example</org_name><date_range>
//!     <begin>1795132800</begin><end>1795219199</end></date_range></report_metadata>
//!     <policy_published><domain>example.org</domain><p>reject</p></policy_published></feedback>";
//! let feedback = dmarc::parse(xml.as_bytes())?;
//! assert_eq!(feedback.policy_published.p, Some(dmarc::Disposition::Reject));
//!
//! let json = r#"{"organization-name": "Example", "policies": [],
//!     "date-range": {"start-datetime": "2026-11-20T00:00:00Z", "end-datetime": "2026-11-20T23:59:59Z"}}"#;
//! assert_eq!(tls::parse(json.as_bytes())?.organization_name, "Example");
//! # Ok::<(), mox_reports::ReportError>(())
//! ```
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod bounded;
pub mod dmarc;
pub mod dsn;
mod error;
mod gzip;
mod message;
mod rfc3339;
mod text;
pub mod tls;
mod unix;
mod unpack;
mod words;
mod xml;
mod zip;

pub use error::ReportError;
pub use gzip::gzip;
pub use message::{MESSAGE_BYTES_MAX, PARTS_TRIED_MAX};
pub use rfc3339::parse as parse_date_time;
pub use text::{TEXT_BYTES_MAX, kept_text};
pub use unpack::REPORT_BYTES_MAX;
pub use words::WORD_BYTES_MAX;
pub use xml::{XML_DEPTH_MAX, XML_TOKEN_BYTES_MAX};
