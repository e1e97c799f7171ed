use mox_testkit::certificates::{
    Authority, Certified, authority_params, below, params, root, until,
};

use super::*;

/// 2026-01-01.
const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

/// Root, the authority below it, and the certificate of `mx.example`.
struct Lab {
    root: Authority,
    middle: Authority,
    end: CertificateDer<'static>,
}

impl Lab {
    /// Each good through this year.
    fn until(root_year: i32, middle_year: i32, end_year: i32) -> Self {
        let root = root(until(authority_params("root"), root_year));
        let middle = below(&root, until(authority_params("middle"), middle_year));
        let end = Certified::signed_by(&until(params(&["mx.example"]), end_year), &middle);
        Self { root, middle, end: end.der().clone() }
    }

    fn new() -> Self {
        Self::until(2030, 2030, 2030)
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.end.clone(), self.middle.der().clone(), self.root.der().clone()]
    }
}

fn record(usage: u8, selector: u8, matching: u8, cert: &[u8]) -> Tlsa {
    let part = Selector::from_number(selector).unwrap().select(cert).unwrap();
    let data = Matching::from_number(matching).unwrap().data(&part);
    Tlsa { usage, selector, matching, data }
}

fn names(names: &[&str]) -> Vec<Domain> {
    names.iter().map(|name| Domain::parse(name).unwrap()).collect()
}

#[track_caller]
fn check(
    records: &[Tlsa],
    chain: &[CertificateDer<'_>],
    for_names: &[&str],
    want: Result<Option<usize>, DaneError>,
) {
    let got = verify(records, chain, &names(for_names), NOW);
    if let Ok(found) = &got {
        assert!(records.contains(&found.record));
    }
    assert_eq!(got.map(|found| found.depth), want, "{records:?}");
}

/// All kinds of records for one certificate: selector and matching type. RFC 6698 §2.1.2, §2.1.3.
fn kinds(usage: u8, cert: &[u8]) -> Vec<Tlsa> {
    let pairs = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)];
    pairs.iter().map(|(selector, matching)| record(usage, *selector, *matching, cert)).collect()
}

/// RFC 7671 §5.1.
#[test]
fn dane_ee_compares_the_own_certificate_and_no_more() {
    let lab = Lab::until(2025, 2025, 2025);
    for one in kinds(3, &lab.end) {
        let one = [one];
        check(&one, &lab.chain(), &["mx.example"], Ok(Some(0)));
        check(&one, &lab.chain(), &["other.example"], Ok(Some(0)));
        check(&one, &lab.chain()[..1], &[], Ok(Some(0)));
        check(&one, &Lab::new().chain(), &["mx.example"], Err(DaneError::NoMatch));
    }
    // An authority's certificate is not the server's.
    for one in kinds(3, lab.middle.der()) {
        check(&[one], &lab.chain(), &["mx.example"], Err(DaneError::NoMatch));
    }
}

/// RFC 7671 §5.2, RFC 7672 §3.2.2.
#[test]
fn dane_ta_wants_a_chain_to_the_authority() {
    let lab = Lab::new();
    let chain = lab.chain();
    let fault = |fault| Err(DaneError::Fault(fault));
    for (depth, cert) in [(1, lab.middle.der()), (2, lab.root.der())] {
        for one in kinds(2, cert) {
            let one = [one];
            check(&one, &chain, &["mx.example"], Ok(Some(depth)));
            check(&one, &chain, &["next.example", "mx.example"], Ok(Some(depth)));
            check(&one, &chain, &["other.example"], fault(CertFault::OtherName));
            check(&one, &chain, &[], fault(CertFault::OtherName));
        }
    }
    // The server need not show an authority that stands whole in the record.
    let whole = [record(2, 0, 0, lab.middle.der())];
    check(&whole, &chain[..1], &["mx.example"], Ok(None));
    let whole = [record(2, 0, 0, lab.root.der())];
    check(&whole, &chain[..2], &["mx.example"], Ok(None));
    // A hash alone is no authority: it must be shown.
    let hash = [record(2, 0, 1, lab.root.der())];
    check(&hash, &chain[..2], &["mx.example"], Err(DaneError::NoMatch));
    // Shown, but not the one that made the certificate.
    let other = Lab::new();
    let mixed = [chain[0].clone(), other.middle.der().clone()];
    let stranger = record(2, 0, 1, other.middle.der());
    check(&[stranger], &mixed, &["mx.example"], fault(CertFault::BadSignature));
}

/// RFC 7671 §5.2: unlike with DANE-EE, times count.
#[test]
fn dane_ta_wants_certificates_that_are_valid_now() {
    let fault = |fault| Err(DaneError::Fault(fault));
    for (lab, via_middle, via_root) in [
        (Lab::until(2030, 2030, 2025), Some(CertFault::Expired), Some(CertFault::Expired)),
        (Lab::until(2030, 2025, 2030), Some(CertFault::Expired), Some(CertFault::Expired)),
        (Lab::until(2025, 2030, 2030), None, Some(CertFault::Expired)),
    ] {
        for (depth, cert, want) in
            [(1, lab.middle.der(), via_middle), (2, lab.root.der(), via_root)]
        {
            let one = [record(2, 1, 1, cert)];
            let want = want.map_or(Ok(Some(depth)), fault);
            check(&one, &lab.chain(), &["mx.example"], want);
        }
    }
}

#[test]
fn one_record_that_fits_is_enough() {
    let (lab, other) = (Lab::new(), Lab::new());
    let wrong = kinds(3, &other.end);
    for right in [record(3, 1, 2, &lab.end), record(2, 1, 2, lab.root.der())] {
        let mut all = wrong.clone();
        all.push(right);
        assert!(verify(&all, &lab.chain(), &names(&["mx.example"]), NOW).is_ok());
    }
    check(&wrong, &lab.chain(), &["mx.example"], Err(DaneError::NoMatch));
    // A failure that tells more is told.
    let expired = Lab::until(2030, 2030, 2025);
    let mut all = wrong;
    all.push(record(2, 0, 1, expired.middle.der()));
    let want = Err(DaneError::Fault(CertFault::Expired));
    check(&all, &expired.chain(), &["mx.example"], want);
}

/// RFC 7672 §3.1.3, RFC 6698 §2.1, RFC 7671 §10.1.1.
#[test]
fn records_that_cannot_be_used_are_left_out() {
    let lab = Lab::new();
    let good = record(3, 1, 1, &lab.end);
    let with = |usage, selector, matching, data: &[u8]| Tlsa {
        usage,
        selector,
        matching,
        data: data.to_vec(),
    };
    let unusable = [
        with(0, 1, 1, &good.data),
        with(1, 1, 1, &good.data),
        with(4, 1, 1, &good.data),
        with(255, 1, 1, &good.data),
        with(3, 2, 1, &good.data),
        with(3, 1, 3, &good.data),
        with(3, 1, 1, &good.data[1..]),
        with(3, 1, 1, &[0; 33]),
        with(3, 1, 1, &[]),
        with(3, 1, 2, &good.data),
        with(3, 0, 0, &good.data),
        with(3, 1, 0, &lab.end),
        with(3, 0, 0, &[&lab.end[..], &[0]].concat()),
    ];
    for one in &unusable {
        assert!(usable(std::slice::from_ref(one)).is_empty(), "{one:?}");
        check(std::slice::from_ref(one), &lab.chain(), &[], Err(DaneError::Unusable));
    }
    check(&[], &lab.chain(), &[], Err(DaneError::Unusable));
    let mut all = unusable.to_vec();
    all.push(good.clone());
    assert_eq!(usable(&all), [good]);
    check(&all, &lab.chain(), &[], Ok(Some(0)));
}

/// RFC 7671 §9: whoever can forge SHA-256 gains nothing where there is SHA-512.
#[test]
fn the_strongest_hash_alone_counts() {
    let (lab, other) = (Lab::new(), Lab::new());
    let weak = record(3, 1, 1, &lab.end);
    let strong = record(3, 1, 2, &other.end);
    check(&[weak.clone(), strong.clone()], &lab.chain(), &[], Err(DaneError::NoMatch));
    // Of another selector, it has no say; and a whole certificate is no hash.
    check(&[weak, record(3, 0, 2, &other.end)], &lab.chain(), &[], Ok(Some(0)));
    check(&[record(3, 1, 0, &lab.end), strong], &lab.chain(), &[], Ok(Some(0)));
}

/// RFC 7671 §5.3, §5.4.
#[test]
fn usages_of_pkix_want_trusted_authorities_too() {
    let lab = Lab::new();
    let mut trusted = Roots::default();
    trusted.add(lab.root.der()).unwrap();
    let mut others = Roots::default();
    others.add(Lab::new().root.der()).unwrap();
    let check = |record: &Tlsa, roots: &Roots, name: &str, want| {
        // The root is not shown, as is usual.
        let (chain, names) = (&lab.chain()[..2], names(&[name]));
        let got = verify_any(std::slice::from_ref(record), chain, &names, NOW, roots);
        assert_eq!(got.map(|found| found.depth), want, "{record:?}");
    };
    let fault = |fault| Err(DaneError::Fault(fault));
    for one in kinds(1, &lab.end) {
        check(&one, &trusted, "mx.example", Ok(Some(0)));
        check(&one, &trusted, "other.example", fault(CertFault::OtherName));
        check(&one, &others, "mx.example", fault(CertFault::BadSignature));
        check(&one, &Roots::default(), "mx.example", fault(CertFault::NoRoots));
    }
    for one in kinds(0, lab.middle.der()) {
        check(&one, &trusted, "mx.example", Ok(Some(1)));
        check(&one, &others, "mx.example", fault(CertFault::BadSignature));
    }
    for one in kinds(0, lab.root.der()).into_iter().filter(|one| one.selector == 1) {
        check(&one, &trusted, "mx.example", Ok(None));
    }
    check(&record(0, 0, 1, lab.root.der()), &trusted, "mx.example", Err(DaneError::NoMatch));
    check(
        &record(0, 0, 1, Lab::new().middle.der()),
        &trusted,
        "mx.example",
        Err(DaneError::NoMatch),
    );
    // The usages of DANE go on as they were.
    check(&record(3, 1, 1, &lab.end), &others, "other.example", Ok(Some(0)));
    assert_eq!(usable_any(&kinds(0, &lab.end)).len(), 4);
}

#[test]
fn what_a_server_shows_is_bounded_and_may_be_garbage() {
    let lab = Lab::new();
    let own = [record(3, 0, 1, &lab.end)];
    check(&own, &[], &[], Err(DaneError::Fault(CertFault::Missing)));
    let garbage = CertificateDer::from(&b"no certificate"[..]);
    check(&own, std::slice::from_ref(&garbage), &["mx.example"], Err(DaneError::NoMatch));
    // Garbage can be named as a whole, as DANE-EE; no authority is made of it.
    let named =
        |usage| [Tlsa { usage, selector: 0, matching: 1, data: Matching::Sha256.data(&garbage) }];
    check(&named(3), std::slice::from_ref(&garbage), &[], Ok(Some(0)));
    let malformed = Err(DaneError::Fault(CertFault::Malformed));
    check(&named(2), &[lab.end.clone(), garbage.clone()], &["mx.example"], malformed);
    // Beyond the tenth nothing is looked at, nor beyond the hundredth record.
    let mut long = vec![lab.end.clone()];
    long.extend(std::iter::repeat_n(garbage, CHAIN_MAX - 1));
    long.push(lab.middle.der().clone());
    check(&[record(2, 0, 1, lab.middle.der())], &long, &["mx.example"], Err(DaneError::NoMatch));
    long.remove(1);
    check(&[record(2, 0, 1, lab.middle.der())], &long, &["mx.example"], Ok(Some(CHAIN_MAX - 1)));
    let wrong = Tlsa { data: vec![0; 32], ..own[0].clone() };
    let mut many = vec![wrong; RECORDS_MAX - 1];
    many.extend(own.clone());
    check(&many, &lab.chain(), &[], Ok(Some(0)));
    many.insert(0, many[0].clone());
    check(&many, &lab.chain(), &[], Err(DaneError::NoMatch));
}

#[test]
fn lengths_are_written_as_der_does() {
    for (len, want) in [
        (0, &[0x30, 0][..]),
        (0x7f, &[0x30, 0x7f]),
        (0x80, &[0x30, 0x81, 0x80]),
        (0x126, &[0x30, 0x82, 1, 0x26]),
    ] {
        // X.690 §8.1.3.
        assert_eq!(sequence_header(len), want, "{len}");
    }
}

/// RFC 6698 §2.2.
#[test]
fn records_are_written_as_in_a_zone() {
    let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0x00, 0x9f, 0xab] };
    assert_eq!(record_text(&record), "3 1 1 009fab");
}
