//! From identity to outcome: which record, which term.

use mox_dns::Data;
use mox_mailauth::spf::{Identity, Problem, Status};

use crate::zone::Zone;

/// RFC 7208 §2.3, §2.4, §4.1, §4.3.
#[test]
fn the_sender_is_checked_or_else_the_client() {
    let zone = Zone::new(
        "sender.example TXT v=spf1 ip4:192.0.2.1 -all
        client.example TXT v=spf1 ip4:192.0.2.2 -all exp=why.example
        why.example TXT %{l}
        single TXT v=spf1 +all",
    );
    zone.check_sender("192.0.2.1", "a@sender.example", "client.example", "pass");
    zone.check_sender("192.0.2.2", "a@sender.example", "client.example", "fail");
    zone.check_sender("192.0.2.2", "", "client.example", "pass");
    zone.check_sender("192.0.2.1", "", "client.example", "fail postmaster");
    zone.check_sender("192.0.2.1", "", "single", "none");
    zone.check_sender("192.0.2.1", "", "[192.0.2.1]", "none");
    zone.check_sender("192.0.2.1", "a@single", "client.example", "none");
    assert_eq!(zone.received("192.0.2.1", "", "[192.0.2.1]").problem, Some(Problem::NoDomain));
    let received = zone.received("192.0.2.1", "", "client.example");
    assert_eq!(received.identity, Identity::Helo);
    assert_eq!(received.domain.unwrap().ascii(), "client.example");
    let received = zone.received("192.0.2.1", "a@sender.example", "client.example");
    assert_eq!(received.identity, Identity::MailFrom);
    assert_eq!(received.domain.unwrap().ascii(), "sender.example");
}

/// RFC 7208 §3.3, §4.4, §4.5.
#[test]
fn a_domain_has_one_record() {
    let mut zone = Zone::new(
        "none.example TXT something else
        none.example TXT v=spf10 -all
        near.example TXT v=spf1mx
        empty.example TXT v=spf1
        one.example TXT v=spf10
        one.example TXT V=SpF1 ~all
        two.example TXT v=spf1 -all
        two.example TXT V=spf1 +all
        same.example TXT v=spf1 -all
        same.example TXT v=spf1 -all
        late.example FAIL TXT",
    );
    zone.0.add("odd.example", Data::Txt(b"\x96".to_vec()));
    zone.0.add_txt("odd.example", "v=spf1 -all");
    zone.check("192.0.2.1", "none.example", "none");
    zone.check("192.0.2.1", "nothing.example", "none");
    zone.check("192.0.2.1", "near.example", "none");
    zone.check("192.0.2.1", "empty.example", "neutral");
    zone.check("192.0.2.1", "one.example", "softfail");
    zone.check("192.0.2.1", "odd.example", "fail");
    zone.check("192.0.2.1", "two.example", "permerror");
    zone.check("192.0.2.1", "same.example", "permerror");
    zone.check("192.0.2.1", "late.example", "temperror");
}

/// RFC 7208 §3.1, §4.6: the whole record is read before any of it counts.
#[test]
fn a_fault_anywhere_is_an_error() {
    let mut zone = Zone::new(
        "last.example TXT v=spf1 ip4:192.0.2.1 -all moo
        spaces.example TXT v=spf1  a   -all 
        control.example TXT v=spf1 a:control.example\rptr -all
        control.example A 192.0.2.3",
    );
    zone.0.add("mark.example", Data::Txt(b"v=spf1 a:\xef\xbb\xbfa.example -all".to_vec()));
    zone.0.add("eight.example", Data::Txt(b"v=spf1 a:a.example \x96all".to_vec()));
    zone.0.add("nul.example", Data::Txt(b"v=spf1 a:a.example\0".to_vec()));
    zone.0.add("long.example", Data::Txt([b"v=spf1 ", &b"a ".repeat(9_000)[..]].concat()));
    zone.check("192.0.2.1", "last.example", "permerror");
    zone.check("192.0.2.1", "spaces.example", "fail");
    zone.check("192.0.2.3", "control.example", "permerror");
    for name in ["mark.example", "eight.example", "nul.example", "long.example"] {
        zone.check("192.0.2.1", name, "permerror");
    }
    let problem = zone.received("192.0.2.1", "a@last.example", "c.example").problem.unwrap();
    assert_eq!(problem.to_string(), "record of last.example: term 3: unknown mechanism");
}

/// RFC 7208 §4.6.2, §4.7, §5.1, §6.
#[test]
fn the_first_match_decides() {
    let zone = Zone::new(
        "signs.example TXT v=spf1 ip4:192.0.2.1 -ip4:192.0.2.2 ~ip4:192.0.2.3 ?ip4:192.0.2.4
        all.example TXT v=spf1 all -all
        unknown.example TXT v=spf1 default=pass m.o-o_1=x:y/z op=auth
        neutral.example TXT v=spf1 ?all",
    );
    zone.check("192.0.2.1", "signs.example", "pass");
    zone.check("192.0.2.2", "signs.example", "fail");
    zone.check("192.0.2.3", "signs.example", "softfail");
    zone.check("192.0.2.4", "signs.example", "neutral");
    zone.check("192.0.2.5", "signs.example", "neutral");
    zone.check("192.0.2.1", "all.example", "pass");
    zone.check("192.0.2.1", "unknown.example", "neutral");
    let term = |ip, domain: &str| {
        zone.received(ip, &format!("a@{domain}"), "c.example").mechanism.unwrap()
    };
    assert_eq!(term("192.0.2.3", "signs.example"), "ip4:192.0.2.3");
    assert_eq!(term("192.0.2.5", "signs.example"), "default");
    assert_eq!(term("192.0.2.5", "neutral.example"), "all");
}

/// RFC 7208 §5.2.
#[test]
fn an_include_matches_if_the_other_passes() {
    let zone = Zone::new(
        "fail.example TXT v=spf1 include:f.example ~all
        soft.example TXT v=spf1 include:s.example +all
        neutral.example TXT v=spf1 include:n.example -all
        match.example TXT v=spf1 -include:n.example ?all
        temp.example TXT v=spf1 include:t.example -all
        perm.example TXT v=spf1 include:p.example -all
        missing.example TXT v=spf1 include:none.example +all
        name.example TXT v=spf1 include:a..example +all
        single.example TXT v=spf1 include:%{d1} +all
        none.example TXT v=spfl not a record
        f.example TXT v=spf1 ip4:192.0.2.2 -all
        s.example TXT v=spf1 ip4:192.0.2.2 ~all
        n.example TXT v=spf1 ip4:192.0.2.2 ?all
        p.example TXT v=spf1 include +all
        t.example FAIL TXT",
    );
    zone.check("192.0.2.1", "fail.example", "softfail");
    zone.check("192.0.2.1", "soft.example", "pass");
    zone.check("192.0.2.1", "neutral.example", "fail");
    zone.check("192.0.2.2", "neutral.example", "pass");
    zone.check("192.0.2.2", "match.example", "fail");
    zone.check("192.0.2.1", "temp.example", "temperror");
    for name in ["perm.example", "missing.example", "name.example", "single.example"] {
        zone.check("192.0.2.1", name, "permerror");
    }
    let received = zone.received("192.0.2.2", "a@neutral.example", "c.example");
    assert_eq!(received.mechanism.as_deref(), Some("include:n.example"));
}

/// RFC 7208 §6.1.
#[test]
fn a_redirect_counts_when_nothing_matches() {
    let zone = Zone::new(
        "match.example TXT v=spf1 redirect=match.example ~all
        other.example TXT v=spf1 ip4:192.0.2.1 redirect=last.example
        last.example TXT v=spf1 a -all
        last.example A 192.0.2.2
        other.example A 192.0.2.3
        missing.example TXT v=spf1 redirect=none.example
        name.example TXT v=spf1 redirect=%{l}..example
        late.example TXT v=spf1 redirect=t.example
        t.example FAIL TXT",
    );
    zone.check("192.0.2.1", "match.example", "softfail");
    zone.check("192.0.2.1", "other.example", "pass");
    // The record is that of the other domain, and so is its implied target.
    zone.check("192.0.2.2", "other.example", "pass");
    zone.check("192.0.2.3", "other.example", "fail");
    zone.check("192.0.2.1", "missing.example", "permerror");
    zone.check("192.0.2.1", "name.example", "permerror");
    zone.check("192.0.2.1", "late.example", "temperror");
}

/// RFC 8616 §4: a local part that is not ASCII matches nothing and breaks nothing.
#[test]
fn senders_may_be_international() {
    let zone = Zone::new(
        "xn--bcher-kva.example TXT v=spf1 exists:%{l}.%{d} exists:%{o}.ok.example -all
        xn--bcher-kva.example.ok.example A 127.0.0.1
        all.example TXT v=spf1 exists:%{s}.x.example include:%{l}.example -all
        plain.example TXT v=spf1 exists:%{s}.x.example -all exp=why.example
        why.example TXT not %{l}",
    );
    zone.check_sender("192.0.2.1", "m\u{fc}ller@b\u{fc}cher.example", "c.example", "pass");
    zone.check_sender("192.0.2.1", "m\u{fc}ller@all.example", "c.example", "permerror");
    zone.check_sender("192.0.2.1", "m\u{fc}ller@plain.example", "c.example", "fail");
    zone.check_sender("192.0.2.1", "m@plain.example", "c.example", "fail not m");
}

/// The outcome is as certain as every answer on the way to it.
#[test]
fn dnssec_covers_all_answers_or_none() {
    let mut zone = Zone::new(
        "a.signed.example TXT v=spf1 a:h.signed.example a:h.plain.example -all
        h.signed.example A 192.0.2.1
        h.plain.example A 192.0.2.2
        b.signed.example TXT v=spf1 a:none.signed.example -all exp=why.plain.example
        why.plain.example TXT because
        c.signed.example TXT v=spf1 include:a.signed.example ?all
        d.signed.example TXT v=spf1 a:late.signed.example
        late.signed.example FAIL A",
    );
    zone.0.sign("signed.example");
    let is_secure = |ip, domain: &str| {
        zone.received(ip, &format!("a@{domain}"), "c.example").security.is_secure()
    };
    assert!(is_secure("192.0.2.1", "a.signed.example"));
    assert!(!is_secure("192.0.2.2", "a.signed.example"));
    assert!(is_secure("192.0.2.9", "b.signed.example"));
    assert!(is_secure("192.0.2.1", "c.signed.example"));
    assert!(!is_secure("192.0.2.9", "c.signed.example"));
    assert!(!is_secure("192.0.2.9", "d.signed.example"));
    assert!(is_secure("192.0.2.1", "nothing.signed.example"));
    assert!(!is_secure("192.0.2.1", "nothing.plain.example"));
    assert_eq!(
        zone.received("192.0.2.1", "a@d.signed.example", "c.example").status,
        Status::TempError
    );
}
