//! What one check may cost, whatever the records say.

use mox_mailauth::spf::{MX_HOSTS_MAX, PTR_NAMES_MAX, Problem, Status, TERMS_MAX};

use crate::zone::Zone;

/// RFC 7208 §4.6.4. A record that redirects to itself once ran until memory or time was used up.
#[test]
fn circles_end() {
    let zone = Zone::new(
        "self.example TXT v=spf1 redirect=self.example
        include.example TXT v=spf1 include:include.example
        one.example TXT v=spf1 include:two.example
        two.example TXT v=spf1 ip4:192.0.2.9 redirect=one.example
        wide.example TXT v=spf1 include:wide.example include:wide.example redirect=wide.example
        grow.example TXT v=spf1 redirect=x.%{d}
        x.grow.example TXT v=spf1 redirect=grow.example",
    );
    for name in ["self.example", "include.example", "one.example", "wide.example", "grow.example"] {
        let received = zone.received("192.0.2.1", &format!("a@{name}"), "c.example");
        assert_eq!(received.status, Status::PermError, "{name}");
        assert_eq!(received.problem, Some(Problem::TooManyTerms), "{name}");
        assert_eq!(zone.asked(), 1 + 10, "{name}");
    }
}

/// RFC 7208 §4.6.4.
#[test]
fn ten_terms_may_ask() {
    let mut zone = Zone::new(
        "h.example A 203.0.113.1
        h.example MX h.example
        inner.example TXT v=spf1 a:h.example a:h.example a:h.example a:h.example
        nested.example TXT v=spf1 include:inner.example include:inner.example ip4:192.0.2.1 -all
        over.example TXT v=spf1 include:inner.example include:inner.example mx:h.example -all
        192.0.2.1 PTR h.example",
    );
    assert_eq!(TERMS_MAX, 10);
    zone.0.add_txt("nine.example", "v=spf1 redirect=h9.example");
    zone.0.add_txt("h9.example", &format!("v=spf1 {}-all", "-a:h.example ".repeat(9)));
    let nine = "a:h.example ".repeat(9);
    zone.0.add_txt("name.example", &format!("v=spf1 {nine}exists:%{{p}}.example -all"));
    zone.check("192.0.2.1", "nested.example", "pass");
    zone.check("192.0.2.1", "over.example", "permerror");
    zone.check("192.0.2.1", "nine.example", "fail");
    zone.check("192.0.2.1", "name.example", "permerror");
    let plain = "a:h.example mx:h.example ".repeat(5);
    zone.0.add_txt("last.example", &format!("v=spf1 {plain}ip4:192.0.2.1 -all"));
    zone.0.add_txt("past.example", &format!("v=spf1 {plain}a:h.example ip4:192.0.2.1 -all"));
    zone.0.add_txt("unused.example", &format!("v=spf1 {plain}ip4:192.0.2.1 a:h.example -all"));
    zone.check("192.0.2.1", "last.example", "pass");
    zone.check("192.0.2.1", "past.example", "permerror");
    zone.check("192.0.2.1", "unused.example", "pass");
}

/// RFC 7208 §4.6.4.
#[test]
fn two_questions_may_find_nothing() {
    let zone = Zone::new(
        "two.example TXT v=spf1 a:n1.example exists:n2.example a:h.example ?all
        three.example TXT v=spf1 a:n1.example mx:n2.example exists:n3.example ?all
        ptr.example TXT v=spf1 ptr a:n1.example mx:n2.example ?all
        before.example TXT v=spf1 a:n1.example mx:n2.example ip4:192.0.2.1 a:n3.example -all
        same.example TXT v=spf1 a:n1.example a:n1.example a:n1.example ?all
        h.example A 203.0.113.1",
    );
    zone.check("192.0.2.1", "two.example", "neutral");
    zone.check("192.0.2.1", "three.example", "permerror");
    zone.check("192.0.2.1", "ptr.example", "permerror");
    zone.check("192.0.2.1", "before.example", "pass");
    zone.check("192.0.2.1", "same.example", "permerror");
    let received = zone.received("192.0.2.1", "a@three.example", "c.example");
    assert_eq!(received.problem, Some(Problem::TooManyVoids));
}

/// RFC 7208 §4.6.4.
#[test]
fn ten_mail_hosts_and_ten_names_are_looked_at() {
    let mut zone = Zone::new(
        "ten.example TXT v=spf1 mx -all
        eleven.example TXT v=spf1 mx -all
        ptr.example TXT v=spf1 ptr:ok.example -all
        own.ok.example A 192.0.2.1
        many.example TXT v=spf1 a -all",
    );
    for i in 0..=MX_HOSTS_MAX {
        let host = format!("h{i:02}.example");
        zone.0.add_ips(&host, &[&format!("192.0.2.{}", 10 + i)]);
        if i < MX_HOSTS_MAX {
            zone.0.add_mx("ten.example", 1, &host);
        }
        zone.0.add_mx("eleven.example", 1, &host);
    }
    zone.check("192.0.2.19", "ten.example", "pass");
    zone.check("192.0.2.9", "ten.example", "fail");
    zone.check("192.0.2.10", "eleven.example", "permerror");
    for i in 0..PTR_NAMES_MAX {
        zone.0.add_ptr("192.0.2.1", &format!("n{i:02}.example"));
    }
    zone.0.add_ptr("192.0.2.1", "own.ok.example");
    zone.check("192.0.2.1", "ptr.example", "fail");
    zone.0.add_ips("own.ok.example", &["192.0.2.2"]).add_ptr("192.0.2.2", "own.ok.example");
    for i in 1..PTR_NAMES_MAX {
        zone.0.add_ptr("192.0.2.2", &format!("n{i:02}.example"));
    }
    zone.check("192.0.2.2", "ptr.example", "pass");
    // Addresses are not counted.
    for i in 0..100 {
        zone.0.add_ips("many.example", &[&format!("198.51.100.{i}")]);
    }
    zone.check("198.51.100.99", "many.example", "pass");
}

/// The dearest records that there can be still ask a bounded number of questions.
#[test]
fn every_check_is_bounded() {
    let mut zone = Zone::new("");
    for i in 0..MX_HOSTS_MAX {
        zone.0.add_mx("wide.example", 1, &format!("h{i}.example"));
        zone.0.add_ips(&format!("h{i}.example"), &["203.0.113.1"]);
        zone.0.add_ptr("192.0.2.1", &format!("p{i}.example"));
    }
    let terms = "mx ".repeat(10);
    zone.0.add_txt("wide.example", &format!("v=spf1 {terms}-all exp=%{{p}}.example"));
    zone.check("192.0.2.1", "wide.example", "fail");
    assert_eq!(zone.asked(), 1 + 10 * (1 + MX_HOSTS_MAX) + (1 + PTR_NAMES_MAX) + 1);
    zone.0.add_txt("over.example", &format!("v=spf1 {}+all", "mx:wide.example ".repeat(11)));
    zone.check("192.0.2.1", "over.example", "permerror");
    // Names are asked for once.
    zone.0.add_txt("named.example", "v=spf1 ptr:p.example exists:%{p}.x%{p}.example ptr -all");
    zone.check("192.0.2.1", "named.example", "fail");
    assert_eq!(zone.asked(), 1 + 1 + PTR_NAMES_MAX + 1);
}
