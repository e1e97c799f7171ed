//! Channel bindings: values that both ends of one TLS connection know and nobody between them.

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use rustls::{ConnectionCommon, ProtocolVersion};
use x509_parser::prelude::X509Certificate;
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// The length of the `tls-exporter` value. RFC 9266 §2.
pub(crate) const EXPORTER_BYTES: usize = 32;

/// The value of `tls-exporter`. RFC 9266 §2.
///
/// Only for TLS 1.3: with TLS 1.2 the value is unique only if both sides agreed on the extended
/// master secret (RFC 9266 §3), which the TLS library does not tell.
pub(crate) fn exporter<D>(connection: &ConnectionCommon<D>) -> Option<[u8; EXPORTER_BYTES]> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let label = b"EXPORTER-Channel-Binding";
    connection.export_keying_material([0; EXPORTER_BYTES], label, Some(b"")).ok()
}

/// The value of `tls-server-end-point`: the hash of the certificate, by the hash function of its
/// signature. RFC 5929 §4.1.
///
/// `None` if the signature has no hash function of its own, as Ed25519: the RFC leaves the value
/// undefined then.
pub(crate) fn end_point_hash(der: &[u8], cert: &X509Certificate<'_>) -> Option<Vec<u8>> {
    let algorithm = hash_of_signature(cert)?;
    Some(digest::digest(algorithm, der).as_ref().to_vec())
}

fn hash_of_signature(cert: &X509Certificate<'_>) -> Option<&'static Algorithm> {
    let identifier = &cert.signature_algorithm;
    if let Ok(SignatureAlgorithm::RSASSA_PSS(params)) = SignatureAlgorithm::try_from(identifier) {
        return hash_by_oid(&params.hash_algorithm_oid().to_id_string());
    }
    hash_by_oid(&identifier.algorithm.to_id_string())
}

/// Knows signature algorithms (RFC 8017, RFC 5758) and hash functions. MD5 and SHA-1 give way to
/// SHA-256, as RFC 5929 §4.1 wants.
fn hash_by_oid(oid: &str) -> Option<&'static Algorithm> {
    match oid {
        // With RSA: MD5, SHA-1, SHA-256; with ECDSA: SHA-1, SHA-256; alone: MD5, SHA-1, SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2"
        | "1.2.840.113549.2.5"
        | "1.3.14.3.2.26"
        | "2.16.840.1.101.3.4.2.1" => Some(&SHA256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" | "2.16.840.1.101.3.4.2.2" => Some(&SHA384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" | "2.16.840.1.101.3.4.2.3" => Some(&SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mox_testkit::certificates::{Certified, params};
    use rcgen::{KeyPair, SignatureAlgorithm};
    use x509_parser::prelude::FromDer;

    use super::*;

    #[track_caller]
    fn check(algorithm: &'static SignatureAlgorithm, want: Option<&'static Algorithm>) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let cert = Certified::self_signed(&params(&["x.example"]), key);
        let (_, parsed) = X509Certificate::from_der(cert.der()).unwrap();
        let want = want.map(|hash| digest::digest(hash, cert.der()).as_ref().to_vec());
        assert_eq!(end_point_hash(cert.der(), &parsed), want, "{algorithm:?}");
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        // RFC 5929 §4.1.
        check(&rcgen::PKCS_ECDSA_P256_SHA256, Some(&SHA256));
        check(&rcgen::PKCS_ECDSA_P384_SHA384, Some(&SHA384));
        check(&rcgen::PKCS_RSA_SHA256, Some(&SHA256));
        check(&rcgen::PKCS_RSA_SHA512, Some(&SHA512));
        check(&rcgen::PKCS_ED25519, None);
    }

    #[test]
    fn broken_hashes_give_way_to_sha_256() {
        // RFC 5929 §4.1: sha1WithRSAEncryption, md5WithRSAEncryption, ecdsa-with-SHA1.
        for oid in ["1.2.840.113549.1.1.5", "1.2.840.113549.1.1.4", "1.2.840.10045.4.1"] {
            assert_eq!(hash_by_oid(oid).map(|hash| hash.output_len()), Some(32), "{oid}");
        }
        assert!(hash_by_oid("1.3.101.112").is_none());
    }
}
