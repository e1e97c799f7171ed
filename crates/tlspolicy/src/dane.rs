//! DANE: the certificates or keys of a server, published in its signed zone.
//!
//! Source: RFC 6698, RFC 7671; for SMTP RFC 7672. Records must come from signed answers; that is
//! the caller's to see to.

use std::fmt;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use mox_base::{Domain, UnixSeconds};
use mox_dns::Tlsa;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::EndEntityCert;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

use crate::pkix::{self, CHAIN_MAX, CertFault, Names, Roots};

/// Records of one server that are looked at; the rest is ignored. Ours: an answer of DNS could hold
/// a few thousand, and each is compared with each certificate.
pub const RECORDS_MAX: usize = 100;

/// A record as it stands in a zone: three numbers and hexadecimal digits. RFC 6698 §2.2.
#[must_use]
pub fn record_text(record: &Tlsa) -> String {
    let mut text = format!("{} {} {} ", record.usage, record.selector, record.matching);
    for byte in &record.data {
        let digits = [byte >> 4, byte & 15].map(u32::from);
        text.extend(digits.into_iter().filter_map(|digit| char::from_digit(digit, 16)));
    }
    text
}

/// How a record binds a server (`Certificate Usage`). RFC 6698 §2.1.1, RFC 7671 §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Usage {
    /// By an authority, one of those trusted anyway.
    PkixTa,
    /// By its own certificate, which must be vouched for as well.
    PkixEe,
    /// By an authority, whoever that is.
    DaneTa,
    /// By its own certificate or key alone.
    DaneEe,
}

/// Which part of a certificate is compared (`Selector`). RFC 6698 §2.1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// All of it.
    Cert,
    /// The SubjectPublicKeyInfo.
    Spki,
}

/// How that part is compared (`Matching Type`). RFC 6698 §2.1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Matching {
    /// As it is.
    Full,
    /// By its SHA-256.
    Sha256,
    /// By its SHA-512.
    Sha512,
}

impl Usage {
    /// By its number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::PkixTa, Self::PkixEe, Self::DaneTa, Self::DaneEe].get(usize::from(number)).copied()
    }

    /// Its acronym. RFC 7218 §2.1.
    #[must_use]
    pub fn acronym(self) -> &'static str {
        match self {
            Self::PkixTa => "PKIX-TA",
            Self::PkixEe => "PKIX-EE",
            Self::DaneTa => "DANE-TA",
            Self::DaneEe => "DANE-EE",
        }
    }
}

impl Selector {
    /// By its number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Cert, Self::Spki].get(usize::from(number)).copied()
    }

    /// The part of a certificate in DER. `None` if it is no certificate.
    #[must_use]
    pub fn select(self, cert: &[u8]) -> Option<Vec<u8>> {
        let (rest, parsed) = X509Certificate::from_der(cert).ok()?;
        rest.is_empty().then(|| match self {
            Self::Cert => cert.to_vec(),
            Self::Spki => parsed.public_key().raw.to_vec(),
        })
    }
}

impl Matching {
    /// By its number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Full, Self::Sha256, Self::Sha512].get(usize::from(number)).copied()
    }

    /// What a record with this matching type holds for `part`.
    #[must_use]
    pub fn data(self, part: &[u8]) -> Vec<u8> {
        match self {
            Self::Full => part.to_vec(),
            Self::Sha256 => digest(&SHA256, part).as_ref().to_vec(),
            Self::Sha512 => digest(&SHA512, part).as_ref().to_vec(),
        }
    }
}

/// A record whose values are all known, and whose data fits them.
#[derive(Clone, Debug)]
struct Rule<'a> {
    usage: Usage,
    selector: Selector,
    matching: Matching,
    record: &'a Tlsa,
}

/// Which record fits which certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The record.
    pub record: Tlsa,
    /// The certificate in the chain that was shown; 0 is the server's own. `None` for an authority
    /// that is only in the record or among the roots.
    pub depth: Option<usize>,
}

/// Why no record fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DaneError {
    /// None of the records can be used. RFC 7672 §2.2: the server must speak TLS then, and is not
    /// verified.
    Unusable,
    /// No record names a certificate of the chain.
    NoMatch,
    /// One names an authority or a certificate, but the chain does not hold for this reason.
    Fault(CertFault),
}

impl fmt::Display for DaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable => f.write_str("no TLSA record can be used"),
            Self::NoMatch => f.write_str("no TLSA record fits the certificate"),
            Self::Fault(fault) => write!(f, "no TLSA record fits: {fault}"),
        }
    }
}

impl std::error::Error for DaneError {}

/// The records that can be used for SMTP: of usage 2 or 3, with known numbers, and data that fits
/// them. RFC 7672 §3.1.3 excludes the usages 0 and 1. At most [`RECORDS_MAX`].
///
/// Of one usage and selector those with SHA-256 are left out if there are some with SHA-512, the
/// stronger. RFC 7671 §9.
#[must_use]
pub fn usable(records: &[Tlsa]) -> Vec<Tlsa> {
    copies(&rules(records, |usage| usage >= Usage::DaneTa))
}

/// As [`usable`], for protocols where all usages may be published. RFC 7671 §4.
#[must_use]
pub fn usable_any(records: &[Tlsa]) -> Vec<Tlsa> {
    copies(&rules(records, |_| true))
}

fn copies(rules: &[Rule<'_>]) -> Vec<Tlsa> {
    rules.iter().map(|rule| rule.record.clone()).collect()
}

fn rules(records: &[Tlsa], wanted: impl Fn(Usage) -> bool) -> Vec<Rule<'_>> {
    let known = records.iter().take(RECORDS_MAX).filter_map(Rule::read);
    let mut rules: Vec<_> = known.filter(|rule| wanted(rule.usage)).collect();
    let strong: Vec<_> = rules
        .iter()
        .filter(|rule| rule.matching == Matching::Sha512)
        .map(|rule| (rule.usage, rule.selector))
        .collect();
    rules.retain(|rule| {
        rule.matching != Matching::Sha256 || !strong.contains(&(rule.usage, rule.selector))
    });
    rules
}

impl<'a> Rule<'a> {
    fn read(record: &'a Tlsa) -> Option<Self> {
        let usage = Usage::from_number(record.usage)?;
        let selector = Selector::from_number(record.selector)?;
        let matching = Matching::from_number(record.matching)?;
        let fits = match (matching, selector) {
            (Matching::Sha256, _) => record.data.len() == 32,
            (Matching::Sha512, _) => record.data.len() == 64,
            (Matching::Full, Selector::Cert) => Selector::Cert.select(&record.data).is_some(),
            (Matching::Full, Selector::Spki) => is_spki(&record.data),
        };
        fits.then_some(Self { usage, selector, matching, record })
    }

    /// Whether the record names this certificate.
    fn names(&self, cert: &Shown) -> bool {
        let part = match self.selector {
            Selector::Cert => &cert.whole,
            Selector::Spki => &cert.spki,
        };
        part.fits(self.matching, &self.record.data)
    }

    fn at(&self, depth: Option<usize>) -> Match {
        Match { record: self.record.clone(), depth }
    }
}

fn is_spki(data: &[u8]) -> bool {
    SubjectPublicKeyInfo::from_der(data).is_ok_and(|(rest, _)| rest.is_empty())
}

/// A part of a certificate in all three forms, so that each is made once.
struct Part {
    full: Vec<u8>,
    sha256: Vec<u8>,
    sha512: Vec<u8>,
}

impl Part {
    fn new(full: Vec<u8>) -> Self {
        let [sha256, sha512] = [Matching::Sha256, Matching::Sha512].map(|one| one.data(&full));
        Self { full, sha256, sha512 }
    }

    fn fits(&self, matching: Matching, data: &[u8]) -> bool {
        data == match matching {
            Matching::Full => &self.full,
            Matching::Sha256 => &self.sha256,
            Matching::Sha512 => &self.sha512,
        }
    }
}

/// A certificate that the server has shown.
struct Shown {
    whole: Part,
    spki: Part,
}

impl Shown {
    /// One that cannot be read can still be named as a whole; its key is nothing.
    fn read(cert: &CertificateDer<'_>) -> Self {
        let spki = Selector::Spki.select(cert).unwrap_or_default();
        Self { whole: Part::new(cert.to_vec()), spki: Part::new(spki) }
    }
}

/// Whether one of the records, as [`usable`] picks them, fits the chain that an SMTP server has
/// shown, its own certificate first. RFC 7672 §3.1, RFC 7671 §5.
///
/// - Usage 3 (DANE-EE) compares the server's own certificate or key; neither names nor times count
///   (RFC 7671 §5.1).
/// - Usage 2 (DANE-TA) wants a chain to the authority that the record names, which must be in what
///   the server shows or be in the record as a whole certificate (RFC 7671 §5.2), good at `now`, and
///   made out to one of `names` (RFC 7672 §3.2.2).
///
/// # Errors
///
/// If none fits.
pub fn verify(
    records: &[Tlsa],
    chain: &[CertificateDer<'_>],
    names: &[Domain],
    now: UnixSeconds,
) -> Result<Match, DaneError> {
    let rules = rules(records, |usage| usage >= Usage::DaneTa);
    verify_rules(&rules, chain, names, now, &Roots::default())
}

/// As [`verify`], with all usages: 0 and 1 also want a chain to one of `roots`. RFC 7671 §5.3, §5.4.
///
/// # Errors
///
/// If none fits.
pub fn verify_any(
    records: &[Tlsa],
    chain: &[CertificateDer<'_>],
    names: &[Domain],
    now: UnixSeconds,
    roots: &Roots,
) -> Result<Match, DaneError> {
    verify_rules(&rules(records, |_| true), chain, names, now, roots)
}

fn verify_rules(
    rules: &[Rule<'_>],
    chain: &[CertificateDer<'_>],
    names: &[Domain],
    now: UnixSeconds,
    roots: &Roots,
) -> Result<Match, DaneError> {
    if rules.is_empty() {
        return Err(DaneError::Unusable);
    }
    let chain = chain.get(..CHAIN_MAX).unwrap_or(chain);
    if chain.is_empty() {
        return Err(DaneError::Fault(CertFault::Missing));
    }
    let shown: Vec<Shown> = chain.iter().map(Shown::read).collect();
    let seen = Seen { chain, shown: &shown, names: names.into(), now, roots };
    // The server's own certificate first: that costs no signatures.
    let (own, above): (Vec<_>, Vec<_>) =
        rules.iter().partition(|rule| matches!(rule.usage, Usage::DaneEe | Usage::PkixEe));
    let mut worst = DaneError::NoMatch;
    for result in [seen.own(&own), seen.authority(&above), seen.trusted_authority(&above)] {
        match result {
            Ok(found) => return Ok(found),
            Err(DaneError::Fault(fault)) => worst = DaneError::Fault(fault),
            Err(_) => {}
        }
    }
    Err(worst)
}

/// What a server has shown, and what it is measured by.
struct Seen<'a> {
    chain: &'a [CertificateDer<'a>],
    shown: &'a [Shown],
    names: Names<'a>,
    now: UnixSeconds,
    roots: &'a Roots,
}

impl Seen<'_> {
    fn own(&self, rules: &[&Rule<'_>]) -> Result<Match, DaneError> {
        let Some(end) = self.shown.first() else { return Err(DaneError::NoMatch) };
        let mut named = rules.iter().filter(|rule| rule.names(end)).peekable();
        if named.peek().is_none() {
            return Err(DaneError::NoMatch);
        }
        let named: Vec<_> = named.collect();
        if let Some(rule) = named.iter().find(|rule| rule.usage == Usage::DaneEe) {
            return Ok(rule.at(Some(0)));
        }
        pkix::verify(self.roots, self.chain, self.names, self.now).map_err(DaneError::Fault)?;
        named.first().map(|rule| rule.at(Some(0))).ok_or(DaneError::NoMatch)
    }

    /// DANE-TA: each authority that is named is tried once, whatever the number of records.
    fn authority(&self, rules: &[&Rule<'_>]) -> Result<Match, DaneError> {
        let rules: Vec<_> = rules.iter().filter(|rule| rule.usage == Usage::DaneTa).collect();
        let mut candidates = Vec::new();
        for (depth, (cert, shown)) in self.chain.iter().zip(self.shown).enumerate() {
            if let Some(rule) = rules.iter().find(|rule| rule.names(shown)) {
                candidates.push((cert.clone(), rule.at(Some(depth))));
            }
        }
        let whole =
            |rule: &&&&Rule<'_>| (rule.selector, rule.matching) == (Selector::Cert, Matching::Full);
        // Those in a record are ours to bound too: a few are plenty.
        for rule in rules.iter().filter(whole).take(CHAIN_MAX) {
            let cert = CertificateDer::from(rule.record.data.as_slice());
            if !self.chain.contains(&cert) {
                candidates.push((cert, rule.at(None)));
            }
        }
        let mut error = DaneError::NoMatch;
        for (cert, found) in &candidates {
            match self.leads_to(cert) {
                Ok(()) => return Ok(found.clone()),
                // One that is only in a record has nothing to do with this chain, as a rule.
                Err(CertFault::UnknownIssuer) if found.depth.is_none() => {}
                Err(fault) => error = DaneError::Fault(fault),
            }
        }
        Err(error)
    }

    /// Whether the chain leads to this authority, now and for one of the names.
    fn leads_to(&self, authority: &CertificateDer<'_>) -> Result<(), CertFault> {
        let end = self.chain.first().ok_or(CertFault::Missing)?;
        pkix::check_time(end, self.now)?;
        pkix::check_time(authority, self.now)?;
        let cert = EndEntityCert::try_from(end).map_err(|_| CertFault::Malformed)?;
        pkix::check_names(&cert, self.names)?;
        let anchor =
            webpki::anchor_from_trusted_cert(authority).map_err(|_| CertFault::Malformed)?;
        pkix::verify_path(&cert, self.chain, &[anchor], self.now, |_, _| true)
    }

    /// PKIX-TA: a trusted path that goes through an authority that is named.
    fn trusted_authority(&self, rules: &[&Rule<'_>]) -> Result<Match, DaneError> {
        let rules: Vec<_> = rules.iter().filter(|rule| rule.usage == Usage::PkixTa).collect();
        if rules.is_empty() {
            return Err(DaneError::NoMatch);
        }
        pkix::verify(self.roots, self.chain, self.names, self.now).map_err(DaneError::Fault)?;
        let end = self.chain.first().ok_or(DaneError::NoMatch)?;
        let cert = EndEntityCert::try_from(end).map_err(|_| DaneError::NoMatch)?;
        for rule in rules {
            let through = |between: &[CertificateDer<'_>], anchor: &TrustAnchor<'_>| {
                between.iter().any(|cert| rule.names(&Shown::read(cert))) || is_anchor(rule, anchor)
            };
            let path =
                pkix::verify_path(&cert, self.chain, self.roots.anchors(), self.now, through);
            if path.is_ok() {
                let depth = self.shown.iter().position(|shown| rule.names(shown));
                return Ok(rule.at(depth));
            }
        }
        Err(DaneError::NoMatch)
    }
}

/// Whether a record names the key of a root, of which no more than name and key are known. Servers
/// need not send their root, so that records with the whole certificate only fit below it.
fn is_anchor(rule: &Rule<'_>, anchor: &TrustAnchor<'_>) -> bool {
    if rule.selector != Selector::Spki {
        return false;
    }
    let mut spki = sequence_header(anchor.subject_public_key_info.len());
    spki.extend_from_slice(&anchor.subject_public_key_info);
    Part::new(spki).fits(rule.matching, &rule.record.data)
}

/// Tag and length of a DER `SEQUENCE` of that length, which the key of a root is kept without.
fn sequence_header(len: usize) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    if let Ok(short @ ..0x80) = u8::try_from(len) {
        return vec![SEQUENCE, short];
    }
    let significant: Vec<u8> =
        len.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let mut header = vec![SEQUENCE, 0x80 | u8::try_from(significant.len()).unwrap_or_default()];
    header.extend_from_slice(&significant);
    header
}

#[cfg(test)]
#[path = "dane_tests.rs"]
mod tests;
