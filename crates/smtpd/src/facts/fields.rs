//! The header fields that tell the recipient what was found out.

use mox_base::{Domain, UnixSeconds};
use mox_mailauth::dmarc::OverrideReason;
use mox_mailauth::results::{AuthenticationResults, Method, received_spf};

use super::Facts;

/// Why there is no result of DKIM.
const NO_SIGNATURE: &str = "no dkim signatures";

impl Facts {
    /// `Authentication-Results` (RFC 8601 §2.2) and `Received-SPF` (RFC 7208 §9.1), each with its
    /// CRLF. RFC 7208 §9 wants the latter above `Received`.
    ///
    /// - `hostname`: ours, as the name of the server that says so. RFC 8601 §2.5.
    /// - `overrides`: why DMARC's outcome was not followed for this recipient.
    /// - `is_utf8`: whether the message needs SMTPUTF8, so that the fields may be UTF-8.
    pub(crate) fn fields(
        &self,
        hostname: &Domain,
        now: UnixSeconds,
        overrides: &[OverrideReason],
        is_utf8: bool,
    ) -> String {
        let mut methods = vec![Method::iprev(&self.iprev, self.sender.ip)];
        match &self.dkim {
            Ok(signatures) if signatures.is_empty() => methods.push(Method::no_dkim(NO_SIGNATURE)),
            Ok(signatures) => methods.extend(signatures.iter().map(Method::dkim)),
            Err(error) => methods.push(Method::no_dkim(&error.to_string())),
        }
        methods.push(Method::spf(&self.spf));
        methods.push(Method::dmarc(&self.dmarc, overrides));
        let authserv_id = if is_utf8 { hostname.unicode() } else { hostname.ascii() }.to_owned();
        let results = AuthenticationResults { authserv_id, methods };
        let received_spf = received_spf(&self.spf, &self.sender.spf_args(hostname, now), is_utf8);
        [results.field(is_utf8), received_spf].concat()
    }
}
