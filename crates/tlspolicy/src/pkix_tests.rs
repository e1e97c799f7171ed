use mox_testkit::certificates::{Authority, Certified, authority_params, below, params, root};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, date_time_ymd,
};

use super::*;

/// 2026-01-01.
const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

/// A root that is trusted, and an authority below it.
struct Lab {
    roots: Roots,
    middle: Authority,
}

impl Lab {
    fn new() -> Self {
        let root = root(authority_params("root"));
        let mut roots = Roots::default();
        roots.add(root.der()).unwrap();
        Self { roots, middle: below(&root, authority_params("middle")) }
    }

    /// A server's certificate and the authority above it.
    fn chain(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<CertificateDer<'static>> {
        let mut params = params(&["mx.example", "*.wild.example", "192.0.2.1"]);
        change(&mut params);
        let end = Certified::signed_by(&params, &self.middle);
        vec![end.der().clone(), self.middle.der().clone()]
    }

    #[track_caller]
    fn check(&self, chain: &[CertificateDer<'_>], name: &str, want: Result<(), CertFault>) {
        let domains = [Domain::parse(name).unwrap()];
        let names = Names::from(&domains[..]);
        assert_eq!(verify(&self.roots, chain, names, NOW), want, "{name}");
    }
}

/// RFC 6125 §6.4.
#[test]
fn names_are_those_of_the_certificate() {
    let lab = Lab::new();
    let chain = lab.chain(|_| {});
    let other = Err(CertFault::OtherName);
    lab.check(&chain, "mx.example", Ok(()));
    lab.check(&chain, "MX.Example", Ok(()));
    lab.check(&chain, "a.wild.example", Ok(()));
    lab.check(&chain, "wild.example", other);
    lab.check(&chain, "a.b.wild.example", other);
    lab.check(&chain, "example", other);
    let names = |ip: [u8; 4]| Names { domains: &[], ip: Some(ip.into()) };
    assert_eq!(verify(&lab.roots, &chain, names([192, 0, 2, 1]), NOW), Ok(()));
    assert_eq!(verify(&lab.roots, &chain, names([192, 0, 2, 2]), NOW), other);
    // A common name is none.
    let named = lab.chain(|params| {
        params.subject_alt_names.clear();
        params.distinguished_name.push(DnType::CommonName, "mx.example");
    });
    lab.check(&named, "mx.example", other);
}

/// RFC 5280 §6.1.
#[test]
fn the_chain_must_lead_to_a_root() {
    let lab = Lab::new();
    let chain = lab.chain(|_| {});
    lab.check(&chain, "mx.example", Ok(()));
    lab.check(&chain[..1], "mx.example", Err(CertFault::UnknownIssuer));
    lab.check(&[], "mx.example", Err(CertFault::Missing));
    let garbage = CertificateDer::from(&b"garbage"[..]);
    lab.check(std::slice::from_ref(&garbage), "mx.example", Err(CertFault::Malformed));
    // What is too much of a chain is not looked at.
    let mut long = vec![chain[0].clone()];
    long.extend(std::iter::repeat_n(garbage, CHAIN_MAX - 2));
    long.push(chain[1].clone());
    lab.check(&long, "mx.example", Ok(()));
    long.insert(1, long[1].clone());
    lab.check(&long, "mx.example", Err(CertFault::Malformed));
    let nobody = Roots::default();
    assert!(nobody.is_empty() && lab.roots.len() == 1);
    let names = [Domain::parse("mx.example").unwrap()];
    let got = verify(&nobody, &chain, Names::from(&names[..]), NOW);
    assert_eq!(got, Err(CertFault::NoRoots));
    assert_eq!(Roots::default().add(&chain[0]), Ok(()));
    let bad = CertificateDer::from(&b"garbage"[..]);
    assert_eq!(Roots::default().add(&bad), Err(CertFault::Malformed));
}

/// RFC 5280 §4.1.2.5, §4.2.1.9, §4.2.1.12. The first fault is told: times, names, the chain.
#[test]
fn certificates_are_good_for_a_time_and_a_purpose() {
    let lab = Lab::new();
    let check = |change: &dyn Fn(&mut CertificateParams), name: &str, want| {
        lab.check(&lab.chain(change), name, want);
    };
    let until = |year| {
        move |params: &mut CertificateParams| {
            params.not_after = date_time_ymd(year, 12, 31);
        }
    };
    check(&until(2026), "mx.example", Ok(()));
    check(&until(2025), "mx.example", Err(CertFault::Expired));
    check(&until(2025), "other.example", Err(CertFault::Expired));
    let from = |year| {
        move |params: &mut CertificateParams| {
            params.not_before = date_time_ymd(year, 1, 2);
        }
    };
    check(&from(2025), "mx.example", Ok(()));
    check(&from(2026), "mx.example", Err(CertFault::NotYetValid));
    let used = |purpose: ExtendedKeyUsagePurpose| {
        move |params: &mut CertificateParams| {
            params.extended_key_usages = vec![purpose.clone()];
        }
    };
    check(&used(ExtendedKeyUsagePurpose::ServerAuth), "mx.example", Ok(()));
    let clients = used(ExtendedKeyUsagePurpose::ClientAuth);
    check(&clients, "mx.example", Err(CertFault::NotForServers));
    let is_ca = |params: &mut CertificateParams| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    };
    check(&is_ca, "mx.example", Err(CertFault::NotForServers));
    // An authority that may not be one.
    let mut none = authority_params("no authority");
    none.is_ca = IsCa::ExplicitNoCa;
    let middle = below(&lab.middle, none);
    let end = Certified::signed_by(&params(&["mx.example"]), &middle);
    let chain = [end.der().clone(), middle.der().clone(), lab.middle.der().clone()];
    lab.check(&chain, "mx.example", Err(CertFault::NotForServers));
}

#[test]
fn every_fault_is_told() {
    use CertFault::*;
    let all = [
        Missing,
        Malformed,
        Expired,
        NotYetValid,
        OtherName,
        UnknownIssuer,
        NoRoots,
        BadSignature,
        NotForServers,
    ];
    for fault in all {
        assert!(!fault.to_string().is_empty());
        let is_told_by_kind = matches!(fault, Expired | OtherName | UnknownIssuer);
        assert_eq!(fault.token().is_empty(), is_told_by_kind, "{fault:?}");
    }
}
