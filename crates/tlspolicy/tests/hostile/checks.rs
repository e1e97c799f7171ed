//! What must hold for any bytes, shared with the fuzz targets.

use mox_base::{Domain, UnixSeconds};
use mox_dns::Tlsa;
use mox_tlspolicy::dane::{self, DaneError, Matching, RECORDS_MAX};
use mox_tlspolicy::mtasts::{self, MX_MAX, Mode};
use mox_tlspolicy::pkix::{CHAIN_MAX, Roots};
use rustls_pki_types::CertificateDer;

/// Reads bytes as a record of MTA-STS, alone and among others.
pub(crate) fn check_record(data: &[u8]) {
    let parsed = mtasts::parse_record(data);
    assert_eq!(mtasts::find_record(&[data, b"v=spf1 -all"]).ok(), parsed.clone().ok());
    if let Ok(record) = parsed {
        assert!((1..=32).contains(&record.id.len()));
        let written = record.to_string();
        assert_eq!(mtasts::parse_record(written.as_bytes()), Ok(record));
    }
}

/// Reads bytes as a policy of MTA-STS.
pub(crate) fn check_policy(data: &[u8]) {
    let Ok(policy) = mtasts::parse_policy(data) else { return };
    assert!(policy.mode == Mode::None || !policy.mx.is_empty());
    assert!(policy.mx.len() <= MX_MAX);
    for pattern in &policy.mx {
        let host = match pattern.is_wildcard {
            true => format!("x.{}", pattern.domain.ascii()),
            false => pattern.domain.ascii().to_owned(),
        };
        // One more label may be one too many.
        if let Ok(host) = Domain::parse(&host) {
            assert!(policy.matches(&host));
        }
    }
    let written = policy.to_string();
    // What is written may be longer than what was read, by blanks and returns.
    if written.len() <= mtasts::POLICY_BYTES_MAX {
        assert_eq!(mtasts::parse_policy(written.as_bytes()), Ok(policy));
    }
}

/// Reads bytes as pieces, each behind its length in two bytes: records and certificates by turns.
/// The first byte of a piece tells which.
pub(crate) fn check_dane(data: &[u8]) {
    let (mut records, mut chain) = (Vec::new(), Vec::new());
    let mut rest = data;
    while let Some(([high, low], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (piece, next) = after.split_at(length);
        rest = next;
        match piece {
            [b'r', usage, selector, matching, data @ ..] => {
                let data = data.to_vec();
                let (usage, selector, matching) = (*usage, *selector, *matching);
                records.push(Tlsa { usage, selector, matching, data });
            }
            [_, cert @ ..] => chain.push(CertificateDer::from(cert.to_vec())),
            [] => {}
        }
    }
    check_verified(&records, &chain);
    // The server's own certificate, named as what it is, always fits.
    if let Some(own) = chain.first() {
        let data = Matching::Sha512.data(own);
        let named = Tlsa { usage: 3, selector: 0, matching: 2, data };
        records.truncate(RECORDS_MAX - 1);
        records.push(named);
        assert!(dane::verify(&records, &chain, &[], UnixSeconds(0)).is_ok());
    }
}

fn check_verified(records: &[Tlsa], chain: &[CertificateDer<'_>]) {
    let usable = dane::usable(records);
    assert!(usable.len() <= RECORDS_MAX && usable.iter().all(|one| records.contains(one)));
    let names = [Domain::parse("mx.example").expect("a domain")];
    let mut roots = Roots::default();
    for cert in chain {
        let _outcome = roots.add(cert);
    }
    for now in [UnixSeconds(i64::MIN), UnixSeconds(1_767_225_600), UnixSeconds(i64::MAX)] {
        let verified = dane::verify(records, chain, &names, now);
        match &verified {
            Ok(found) => {
                assert!(usable.contains(&found.record));
                assert!(found.depth.is_none_or(|depth| depth < chain.len().min(CHAIN_MAX)));
            }
            Err(error) => assert_eq!(*error == DaneError::Unusable, usable.is_empty()),
        }
        // More usages never take away what fits without them.
        let any = dane::verify_any(records, chain, &names, now, &roots);
        assert!(any.is_ok() || verified.is_err());
    }
}
