//! The examples of RFC 7208 Appendix A, on the zones given there.

use crate::zone::Zone;

const ZONES: &str = "example.com MX mail-a.example.com
    example.com MX mail-b.example.com
    example.com A 192.0.2.10
    example.com A 192.0.2.11
    amy.example.com A 192.0.2.65
    bob.example.com A 192.0.2.66
    mail-a.example.com A 192.0.2.129
    mail-b.example.com A 192.0.2.130
    example.org MX mail-c.example.org
    mail-c.example.org A 192.0.2.140
    192.0.2.10 PTR example.com
    192.0.2.11 PTR example.com
    192.0.2.65 PTR amy.example.com
    192.0.2.66 PTR bob.example.com
    192.0.2.129 PTR mail-a.example.com
    192.0.2.130 PTR mail-b.example.com
    192.0.2.140 PTR mail-c.example.org
    10.0.0.4 PTR bob.example.com";

/// Every address that the zones have, and some around them.
const CLIENTS: &[&str] = &[
    "192.0.2.10",
    "192.0.2.11",
    "192.0.2.65",
    "192.0.2.66",
    "192.0.2.129",
    "192.0.2.130",
    "192.0.2.131",
    "192.0.2.140",
    "192.0.2.143",
    "192.0.2.144",
    "10.0.0.4",
];

/// Exactly these clients pass with a record of `example.com`, the others fail.
#[track_caller]
fn check(record: &str, passing: &[&str]) {
    let mut zone = Zone::new(ZONES);
    zone.0.add_txt("example.com", record);
    for ip in CLIENTS {
        zone.check(ip, "example.com", if passing.contains(ip) { "pass" } else { "fail" });
    }
}

/// RFC 7208 Appendix A.1.
#[test]
fn simple_examples() {
    check("v=spf1 +all", CLIENTS);
    check("v=spf1 a -all", &["192.0.2.10", "192.0.2.11"]);
    check("v=spf1 a:example.org -all", &[]);
    check("v=spf1 mx -all", &["192.0.2.129", "192.0.2.130"]);
    check("v=spf1 mx:example.org -all", &["192.0.2.140"]);
    check("v=spf1 mx mx:example.org -all", &["192.0.2.129", "192.0.2.130", "192.0.2.140"]);
    check(
        "v=spf1 mx/30 mx:example.org/30 -all",
        &["192.0.2.129", "192.0.2.130", "192.0.2.131", "192.0.2.140", "192.0.2.143"],
    );
    check(
        "v=spf1 ptr -all",
        &["192.0.2.10", "192.0.2.11", "192.0.2.65", "192.0.2.66", "192.0.2.129", "192.0.2.130"],
    );
    check(
        "v=spf1 ip4:192.0.2.128/28 -all",
        &["192.0.2.129", "192.0.2.130", "192.0.2.131", "192.0.2.140", "192.0.2.143"],
    );
}

/// RFC 7208 Appendix A.2.
#[test]
fn several_domains() {
    let zone = Zone::new(
        "example.org TXT v=spf1 include:example.com include:example.net -all
        la.example.org TXT v=spf1 redirect=example.org
        example.com TXT v=spf1 ip4:192.0.2.10 -all
        example.net TXT v=spf1 ip4:192.0.2.20 -all",
    );
    for domain in ["example.org", "la.example.org"] {
        zone.check("192.0.2.10", domain, "pass");
        zone.check("192.0.2.20", domain, "pass");
        zone.check("192.0.2.30", domain, "fail");
    }
}

/// RFC 7208 Appendix A.3.
#[test]
fn users_as_in_a_block_list() {
    let zone = Zone::new(
        "example.com TXT v=spf1 mx include:mobile-users._spf.%{d} include:remote-users._spf.%{d} -all
        mobile-users._spf.example.com TXT v=spf1 exists:%{l1r+}.%{d}
        remote-users._spf.example.com TXT v=spf1 exists:%{ir}.%{l1r+}.%{d}
        example.com MX mail.example.com
        mail.example.com A 192.0.2.1
        mary.mobile-users._spf.example.com A 127.0.0.2
        fred.mobile-users._spf.example.com A 127.0.0.2
        15.15.168.192.joel.remote-users._spf.example.com A 127.0.0.2
        16.15.168.192.joel.remote-users._spf.example.com A 127.0.0.2",
    );
    let check = |ip: &str, sender: &str, want: &str| {
        zone.check_sender(ip, sender, "client.example", want);
    };
    check("192.0.2.1", "anyone@example.com", "pass");
    check("203.0.113.1", "mary@example.com", "pass");
    check("203.0.113.1", "fred+list@example.com", "pass");
    check("192.168.15.15", "joel@example.com", "pass");
    check("192.168.15.16", "joel+x@example.com", "pass");
    check("192.168.15.17", "joel@example.com", "fail");
    check("192.168.15.15", "anyone@example.com", "fail");
}

/// RFC 7208 Appendix A.4.
#[test]
fn several_conditions_at_once() {
    let zones = format!(
        "{ZONES}
        example.com TXT v=spf1 -include:ip4._spf.%{{d}} -include:ptr._spf.%{{d}} +all
        ip4._spf.example.com TXT v=spf1 -ip4:192.0.2.0/24 +all
        ptr._spf.example.com TXT v=spf1 -ptr:example.com +all"
    );
    let zone = Zone::new(&zones);
    zone.check("192.0.2.65", "example.com", "pass");
    zone.check("192.0.2.129", "example.com", "pass");
    zone.check("192.0.2.140", "example.com", "fail");
    zone.check("192.0.2.144", "example.com", "fail");
    zone.check("10.0.0.4", "example.com", "fail");
}
