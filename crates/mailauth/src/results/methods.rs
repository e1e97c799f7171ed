//! Results of the methods of this crate.
//!
//! Source: RFC 8601 §2.7, RFC 7489 §11.2.

use std::borrow::Cow;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mox_base::Domain;
use mox_dns::Security;

use super::{Method, Property};
use crate::dmarc::OverrideReason;
use crate::{dkim, dmarc, iprev, spf};

/// Characters of a signature that tell it from others. RFC 8601 §2.7.1, RFC 6008 §4.
const SIGNATURE_CHARS: usize = 12;

impl Method {
    /// Whether the client's address has a name that leads back to it. RFC 8601 §2.7.3.
    #[must_use]
    pub fn iprev(outcome: &iprev::Outcome, ip: IpAddr) -> Self {
        let properties = vec![property("policy", "iprev", ip.to_canonical().to_string())];
        let result = outcome.status.as_str();
        Self::new("iprev", result, Some(dnssec(outcome.security)), None, properties)
    }

    /// Whether the client may use the domain. RFC 8601 §2.7.2.
    #[must_use]
    pub fn spf(received: &spf::Received) -> Self {
        let name = match received.identity {
            spf::Identity::MailFrom => "mailfrom",
            spf::Identity::Helo => "helo",
        };
        let properties = received.domain.iter().map(|domain| of_domain("smtp", name, domain));
        let reason = received.problem.as_ref().map(ToString::to_string);
        let comment = dnssec(received.security);
        Self::new("spf", received.status.as_str(), Some(comment), reason, properties.collect())
    }

    /// Whether a signature is good. RFC 8601 §2.7.1.
    #[must_use]
    pub fn dkim(verification: &dkim::Verification) -> Self {
        let bits = verification.rsa_bits().map(|bits| format!("{bits} bit rsa"));
        let words: Vec<String> =
            bits.into_iter().chain(verification.security.map(dnssec)).collect();
        let comment = (!words.is_empty()).then(|| words.join(", "));
        let mut properties = Vec::new();
        if let Some(signature) = &verification.signature {
            properties.push(of_domain("header", "d", &signature.domain));
            properties.push(property("header", "s", signature.selector.as_str().to_owned()));
            properties.push(property("header", "a", signature.algorithm.name().to_owned()));
            let mut text = STANDARD.encode(&signature.signature);
            text.truncate(SIGNATURE_CHARS);
            properties.push(property("header", "b", text));
            if let Some(identity) = &signature.identity {
                let text = format!("{}@{}", identity.localpart, identity.domain.ascii());
                properties.push(property("header", "i", text));
            }
        }
        let reason = verification.reason.as_ref().map(ToString::to_string);
        Self::new("dkim", verification.status.name(), comment, reason, properties)
    }

    /// That there is no signature, or none that can be read. RFC 8601 §2.7.1.
    #[must_use]
    pub fn no_dkim(reason: &str) -> Self {
        Self::new("dkim", "none", None, Some(reason.to_owned()), Vec::new())
    }

    /// Whether the author is vouched for. `overrides` are why its policy was not applied.
    /// RFC 7489 §11.2.
    #[must_use]
    pub fn dmarc(outcome: &dmarc::Outcome, overrides: &[OverrideReason]) -> Self {
        let mut comment = dnssec(outcome.security);
        if !overrides.is_empty() {
            let names: Vec<&str> = overrides.iter().map(|reason| reason.as_str()).collect();
            comment = format!("{comment}, override {}", names.join(","));
        }
        let properties = outcome.author.iter().map(|domain| of_domain("header", "from", domain));
        let reason = outcome.problem.as_ref().map(ToString::to_string);
        let result = outcome.status.as_str();
        Self::new("dmarc", result, Some(comment), reason, properties.collect())
    }

    fn new(
        name: &'static str,
        result: &'static str,
        comment: Option<String>,
        reason: Option<String>,
        properties: Vec<Property>,
    ) -> Self {
        Self { name: name.into(), result: result.into(), comment, reason, properties }
    }
}

fn dnssec(security: Security) -> String {
    if security.is_secure() { "with dnssec" } else { "without dnssec" }.to_owned()
}

fn property(ptype: &'static str, name: &'static str, value: String) -> Property {
    Property { ptype: Cow::Borrowed(ptype), name: Cow::Borrowed(name), value, unicode: None }
}

fn of_domain(ptype: &'static str, name: &'static str, domain: &Domain) -> Property {
    let unicode = (domain.unicode() != domain.ascii()).then(|| domain.unicode().to_owned());
    Property { unicode, ..property(ptype, name, domain.ascii().to_owned()) }
}

#[cfg(test)]
mod tests {
    use mox_dns::{DnsError, Trouble};
    use mox_mime::FromError;

    use super::*;
    use crate::results::AuthenticationResults;

    #[track_caller]
    fn check(method: Method, is_utf8: bool, want: &str) {
        let authserv_id = "mx.example".to_owned();
        let results = AuthenticationResults { authserv_id, methods: vec![method] };
        let field = results.field(is_utf8);
        let line = field.strip_prefix("Authentication-Results: mx.example;\r\n\t").unwrap();
        assert_eq!(line, format!("{want}\r\n"));
        let payload = results.payload(is_utf8);
        assert_eq!(AuthenticationResults::parse(payload.as_bytes()).unwrap().methods.len(), 1);
    }

    fn received(domain: &str) -> spf::Received {
        spf::Received {
            status: spf::Status::Pass,
            identity: spf::Identity::MailFrom,
            domain: Some(Domain::parse(domain).unwrap()),
            mechanism: None,
            explanation: None,
            security: Security::Secure,
            problem: None,
        }
    }

    /// RFC 8601 §2.7.2, §2.7.3.
    #[test]
    fn addresses_and_domains_are_told() {
        let outcome = iprev::Outcome {
            status: iprev::Status::TempError,
            name: None,
            names: Vec::new(),
            security: Security::Insecure,
        };
        let six = Method::iprev(&outcome, "2001:db8::1".parse().unwrap());
        check(six, false, "iprev=temperror (without dnssec) policy.iprev=\"2001:db8::1\"");
        let pass = Method::spf(&received("a.example"));
        check(pass, false, "spf=pass (with dnssec) smtp.mailfrom=a.example");
        let idn = received("b\u{fc}cher.example");
        let ascii = "spf=pass (with dnssec) smtp.mailfrom=xn--bcher-kva.example";
        check(Method::spf(&idn), false, ascii);
        let unicode = "spf=pass (with dnssec) smtp.mailfrom=b\u{fc}cher.example\r\n\t\
            (xn--bcher-kva.example)";
        check(Method::spf(&idn), true, unicode);
        let helo = spf::Received {
            status: spf::Status::TempError,
            identity: spf::Identity::Helo,
            problem: Some(spf::Problem::Dns(DnsError::Temporary(Trouble::Timeout))),
            ..received("a.example")
        };
        let want = "spf=temperror (with dnssec) reason=\"no answer in time\"\r\n\t\
            smtp.helo=a.example";
        check(Method::spf(&helo), false, want);
        let none = spf::Received { domain: None, status: spf::Status::None, ..received("a.b") };
        check(Method::spf(&none), false, "spf=none");
    }

    /// RFC 8601 §2.7.1.
    #[test]
    fn signatures_are_told() {
        check(Method::no_dkim("no signature"), false, "dkim=none reason=\"no signature\"");
        let value = b"v=1; a=rsa-sha256; d=a.example; s=sel; i=x@b.a.example; h=from; \
            bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=AAECAwQFBgcICQ==";
        let signature = Some(dkim::Signature::parse(value).unwrap());
        let verification = dkim::Verification {
            status: dkim::Status::Fail,
            reason: Some(dkim::Reason::BadSignature),
            signature,
            key: None,
            security: Some(Security::Secure),
        };
        let want = "dkim=fail (with dnssec) reason=\"signature does not match\"\r\n\t\
            header.d=a.example header.s=sel header.a=rsa-sha256\r\n\t\
            header.b=AAECAwQFBgcI header.i=x@b.a.example";
        check(Method::dkim(&verification), false, want);
        let bare = dkim::Verification { signature: None, security: None, ..verification };
        let want = "dkim=fail reason=\"signature does not match\"";
        check(Method::dkim(&bare), false, want);
    }

    /// RFC 7489 §11.2.
    #[test]
    fn authors_are_told() {
        let outcome = dmarc::Outcome {
            status: dmarc::Status::Fail,
            author: Some(Domain::parse("a.example").unwrap()),
            found: None,
            policy: dmarc::Policy::Reject,
            exemption: None,
            has_aligned_spf: false,
            aligned_dkim: Vec::new(),
            security: Security::Insecure,
            problem: None,
        };
        let plain = Method::dmarc(&outcome, &[]);
        check(plain, false, "dmarc=fail (without dnssec) header.from=a.example");
        let overrides = [OverrideReason::MailingList, OverrideReason::Forwarded];
        let want = "dmarc=fail (without dnssec, override mailing_list,forwarded)\r\n\t\
            header.from=a.example";
        check(Method::dmarc(&outcome, &overrides), false, want);
        let outcome = dmarc::Outcome {
            status: dmarc::Status::PermError,
            author: None,
            problem: Some(dmarc::Problem::Author(FromError::ManyFields)),
            ..outcome
        };
        let want = "dmarc=permerror (without dnssec)\r\n\t\
            reason=\"message has more than one From header\"";
        check(Method::dmarc(&outcome, &[]), false, want);
    }
}
