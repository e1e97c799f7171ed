//! What a domain says to those it does not want.

use mox_dns::Data;
use mox_mailauth::spf::EXPLANATION_BYTES_MAX;

use crate::zone::Zone;

/// RFC 7208 §6.2, §7.2, §7.3.
#[test]
fn a_failure_is_explained() {
    let zone = Zone::new(
        "plain.example TXT v=spf1 -all exp=msg.example.
        msg.example TXT This is a test.
        pass.example TXT v=spf1 +all exp=msg.example
        soft.example TXT v=spf1 ~all exp=msg.example
        ip.example TXT v=spf1 -all exp=%{ir}.example
        1.2.0.192.example TXT Not from %{c}, says %{r} at %{t}.
        rev.example TXT v=spf1 -all exp=rev-msg.example
        rev-msg.example TXT %{c} is %{ir}.%{v}.arpa
        local.example TXT v=spf1 -all exp=local-msg.example
        local-msg.example TXT %{l} of %{o}: http://why.%{D2}/?l=%{L}
        name.example TXT v=spf1 -all exp=name-msg.example
        name-msg.example TXT from %{p}
        192.0.2.2 PTR mx.elsewhere.example
        mx.elsewhere.example A 192.0.2.2
        192.0.2.3 PTR mx.elsewhere.example",
    );
    zone.check("192.0.2.1", "plain.example", "fail This is a test.");
    zone.check("192.0.2.1", "pass.example", "pass");
    zone.check("192.0.2.1", "soft.example", "softfail");
    let want = "fail Not from 192.0.2.1, says mx.receiver.example at 1700000000.";
    zone.check("192.0.2.1", "ip.example", want);
    zone.check("192.0.2.1", "rev.example", "fail 192.0.2.1 is 1.2.0.192.in-addr.arpa");
    let zeros = "0.".repeat(23);
    let want = format!("fail 2001:db8::1 is 1.{zeros}8.b.d.0.1.0.0.2.ip6.arpa");
    zone.check("2001:db8::1", "rev.example", &want);
    let want = "fail ~jack&jill=up-a_b3.c of local.example: \
        http://why.local.example/?l=~jack%26jill%3Dup-a_b3.c";
    zone.check_sender("192.0.2.1", "~jack&jill=up-a_b3.c@local.example", "c.example", want);
    zone.check("192.0.2.1", "name.example", "fail from unknown");
    zone.check("192.0.2.2", "name.example", "fail from mx.elsewhere.example");
    zone.check("192.0.2.3", "name.example", "fail from unknown");
}

/// RFC 7208 §5.2, §6.1, §6.2: the explanation is that of the record that decided.
#[test]
fn the_record_that_decided_explains() {
    let zone = Zone::new(
        "a.example TXT v=spf1 exp=one.example redirect=b.example
        b.example TXT v=spf1 -all
        c.example TXT v=spf1 exp=one.example redirect=d.example
        d.example TXT v=spf1 -all exp=two.example
        e.example TXT v=spf1 include:d.example -all exp=three.example
        f.example TXT v=spf1 include:d.example -all
        one.example TXT one
        two.example TXT two
        three.example TXT three",
    );
    zone.check("192.0.2.1", "a.example", "fail");
    zone.check("192.0.2.1", "c.example", "fail two");
    zone.check("192.0.2.1", "e.example", "fail three");
    zone.check("192.0.2.1", "f.example", "fail");
}

/// RFC 7208 §6.2: whatever goes wrong, the outcome stands without explanation.
#[test]
fn explanations_that_are_no_good_are_left_out() {
    let mut zone = Zone::new(
        "two.example TXT v=spf1 -all exp=two-msg.example
        two-msg.example TXT one
        two-msg.example TXT two
        none.example TXT v=spf1 -all exp=nothing.example
        late.example TXT v=spf1 -all exp=t.example
        t.example FAIL TXT
        bad.example TXT v=spf1 -all exp=bad-msg.example
        bad-msg.example TXT The %{x}-files.
        name.example TXT v=spf1 -all exp=a..example
        eight.example TXT v=spf1 -all exp=eight-msg.example
        line.example TXT v=spf1 -all exp=line-msg.example
        line-msg.example TXT one\rtwo
        huge.example TXT v=spf1 -all exp=huge-msg.example
        long.example TXT v=spf1 -all exp=long-msg.example
        voids.example TXT v=spf1 a:n1.example a:n2.example exp=%{p}.example -all",
    );
    zone.0.add("eight-msg.example", Data::Txt(b"\xef\xbb\xbfno".to_vec()));
    zone.0.add_txt("huge-msg.example", &"x".repeat(4_097));
    zone.0.add_txt("long-msg.example", &"%{s}".repeat(1_000));
    for name in ["two", "none", "late", "bad", "name", "eight", "line", "huge", "voids"] {
        zone.check("192.0.2.1", &format!("{name}.example"), "fail");
    }
    let received = zone.received("192.0.2.1", "a@long.example", "c.example");
    assert_eq!(received.explanation.unwrap().len(), EXPLANATION_BYTES_MAX);
}

/// RFC 7208 §7.3: names that are too long lose labels on the left.
#[test]
fn long_names_are_cut_on_the_left() {
    let mut zone = Zone::new("");
    let domain = "somewhat.long.name.example";
    let many = ["%{o}"; 9].join(".");
    zone.0.add_txt(domain, &format!("v=spf1 -all exp=begin.of.{many}.end"));
    let cut = format!("{}.end", [domain; 9].join("."));
    assert!(
        cut.len() < 253 && cut.len() + "of.".len() <= 253 && cut.len() + "begin.of.".len() > 253
    );
    zone.0.add_txt(&format!("of.{cut}"), "found");
    zone.check("192.0.2.1", domain, "fail found");
}
