//! Facts for tests.

use mox_base::{Address, Domain, Host};
use mox_dns::Security;
use mox_mailauth::dkim::{Key, KeyRecord, PublicKeyError, Signature, Status, Verification};
use mox_mailauth::{dmarc, iprev, spf};

use super::{Facts, Sender};

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// SPF of MAIL FROM.
pub(crate) fn spf(name: &str, status: spf::Status) -> spf::Received {
    spf::Received {
        status,
        identity: spf::Identity::MailFrom,
        domain: Some(domain(name)),
        mechanism: None,
        explanation: None,
        security: Security::Insecure,
        problem: None,
    }
}

/// A signature by a key with this record; `tags` are further ones.
pub(crate) fn signed(name: &str, status: Status, tags: &str, record: &str) -> Verification {
    let field = format!(
        "v=1; a=ed25519-sha256; d={name}; s=s; h=from; bh=AAAA; b=AAAA{}{tags}",
        if tags.is_empty() { "" } else { "; " }
    );
    let key = Key {
        record: KeyRecord::parse(record.as_bytes()).unwrap(),
        text: record.into(),
        security: Security::Insecure,
        public_key: Err(PublicKeyError::Malformed),
    };
    Verification {
        status,
        reason: None,
        signature: Some(Signature::parse(field.as_bytes()).unwrap()),
        key: Some(key),
        security: Some(Security::Insecure),
    }
}

/// A message of an author of whom nothing is proven.
pub(crate) fn facts(author: &str) -> Facts {
    let author = Address::parse(author).unwrap();
    Facts {
        sender: Sender {
            ip: "192.0.2.1".parse().unwrap(),
            helo: Host::Domain(domain("mx.client.example")),
            mail_from: Some(author.clone()),
        },
        iprev: iprev::Outcome {
            status: iprev::Status::PermError,
            name: None,
            names: Vec::new(),
            security: Security::Insecure,
        },
        spf: spf(author.domain.ascii(), spf::Status::None),
        helo: None,
        dkim: Ok(Vec::new()),
        dmarc: dmarc::Outcome {
            status: dmarc::Status::None,
            author: Some(author.domain.clone()),
            found: None,
            policy: dmarc::Policy::None,
            exemption: None,
            has_aligned_spf: false,
            aligned_dkim: Vec::new(),
            security: Security::Insecure,
            problem: None,
        },
        author: Ok(author),
    }
}
