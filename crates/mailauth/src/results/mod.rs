//! Header fields that say what was found out about a message.
//!
//! [`AuthenticationResults`] is written and read (RFC 8601); [`received_spf`] makes the field with
//! the details of SPF (RFC 7208 §9.1).
//!
//! ```
//! use mox_mailauth::iprev;
//! use mox_mailauth::results::{AuthenticationResults, Method};
//!
//! let ip = "192.0.2.1".parse().unwrap();
//! let outcome = iprev::Outcome {
//!     status: iprev::Status::Pass,
//!     name: None,
//!     names: Vec::new(),
//!     security: mox_dns::Security::Insecure,
//! };
//! let methods = vec![Method::iprev(&outcome, ip)];
//! let results = AuthenticationResults { authserv_id: "mx.example".to_owned(), methods };
//! let want = "Authentication-Results: mx.example;\r\n\
//!     \tiprev=pass (without dnssec) policy.iprev=192.0.2.1\r\n";
//! assert_eq!(results.field(false), want);
//! ```

mod methods;
mod parse;
mod received_spf;
mod text;

use std::borrow::Cow;

use text::{Lines, comment, value};

pub use parse::{METHODS_MAX, ParseError, RESULTS_BYTES_MAX, authserv_id, is_from};
pub use received_spf::received_spf;

/// What one server found out about a message. RFC 8601 §2.2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthenticationResults {
    /// Who says so. RFC 8601 §2.5.
    pub authserv_id: String,
    /// What, one for each thing that was looked at; none if nothing was.
    pub methods: Vec<Method>,
}

/// The result of one method. RFC 8601 §2.2 (`resinfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Method {
    /// `dkim`, `spf`, …
    pub name: Cow<'static, str>,
    /// `pass`, `fail`, …
    pub result: Cow<'static, str>,
    /// A remark for people.
    pub comment: Option<String>,
    /// Why the result is what it is.
    pub reason: Option<String>,
    /// What was looked at.
    pub properties: Vec<Property>,
}

/// Something that was looked at. RFC 8601 §2.2 (`propspec`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Property {
    /// Where it comes from: `smtp`, `header`, `body`, `policy`.
    pub ptype: Cow<'static, str>,
    /// What of it.
    pub name: Cow<'static, str>,
    /// Its value; of domains the A-label form.
    pub value: String,
    /// The U-label form of a domain that has another. It is shown first in messages that may have
    /// UTF-8 in their header.
    pub unicode: Option<String>,
}

impl AuthenticationResults {
    /// The whole field with its CRLF: one method a line, folded where that would be too long.
    ///
    /// Nothing in it can begin another field, whatever the values are. Characters that are not
    /// ASCII become question marks unless `is_utf8`: whether the message may have them in its
    /// header (RFC 6532 §3.2).
    #[must_use]
    pub fn field(&self, is_utf8: bool) -> String {
        format!("Authentication-Results: {}", self.payload(is_utf8))
    }

    /// What stands behind the name of the field and a space, with the CRLF at its end; for fields
    /// that hold the same with something before it (RFC 8617 §4.1.1).
    #[must_use]
    pub fn payload(&self, is_utf8: bool) -> String {
        let mut out = value(&self.authserv_id, is_utf8);
        if self.methods.is_empty() {
            // `no-result = [CFWS] ";" [CFWS] "none"`
            out.push_str("; none");
        }
        for method in &self.methods {
            let mut lines = Lines::begin();
            method.words(is_utf8, &mut lines);
            out.push_str(";\r\n");
            out.push_str(&lines.finish());
        }
        out.push_str("\r\n");
        out
    }
}

impl Method {
    /// `resinfo = [CFWS] ";" methodspec [ CFWS reasonspec ] [ CFWS 1*propspec ]`, RFC 8601 §2.2.
    fn words(&self, is_utf8: bool, lines: &mut Lines) {
        lines.word(&format!("{}={}", value(&self.name, is_utf8), value(&self.result, is_utf8)));
        let has_more = self.reason.is_some() || !self.properties.is_empty();
        if let Some(text) = self.comment.as_ref().filter(|_| has_more) {
            lines.word(&comment(text, is_utf8));
        }
        if let Some(reason) = &self.reason {
            lines.word(&format!("reason={}", value(reason, is_utf8)));
        }
        for property in &self.properties {
            let name = format!("{}.{}", property.ptype, property.name);
            let ascii = value(&property.value, is_utf8);
            match property.unicode.as_ref().filter(|_| is_utf8) {
                Some(unicode) => {
                    lines.word(&format!("{name}={}", value(unicode, is_utf8)));
                    lines.word(&comment(&ascii, is_utf8));
                }
                None => lines.word(&format!("{name}={ascii}")),
            }
        }
    }
}
