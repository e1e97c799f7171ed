//! Each mechanism, with clients of both kinds.

use crate::zone::Zone;

/// RFC 7208 §5.3.
#[test]
fn a_matches_addresses_of_the_clients_kind() {
    let zone = Zone::new(
        "both.example TXT v=spf1 a/24//64 -all
        both.example A 192.0.2.5
        both.example AAAA 2001:db8:1234::dead:beef
        exact.example TXT v=spf1 a -all
        exact.example A 192.0.2.1
        exact.example A 192.0.2.5
        exact.example AAAA 2001:db8::1
        any4.example TXT v=spf1 a/0 -all
        any4.example A 198.51.100.1
        any6.example TXT v=spf1 a//0 -all
        any6.example AAAA 2001:db8::1
        no.example TXT v=spf1 a:none.example/0 -all
        six.example TXT v=spf1 a//0 -all
        six.example A 198.51.100.1
        odd.example TXT v=spf1 a:foo:bar/baz.example/24 -all
        foo:bar/baz.example A 192.0.2.77
        idn.example TXT v=spf1 a:foo.example.xn--zckzah -all
        foo.example.xn--zckzah A 192.0.2.1
        dots.example TXT v=spf1 a:mail...example -all
        late.example TXT v=spf1 a:t.example -all
        t.example FAIL A",
    );
    zone.check("192.0.2.200", "both.example", "pass");
    zone.check("192.0.3.1", "both.example", "fail");
    zone.check("2001:db8:1234::cafe:babe", "both.example", "pass");
    zone.check("2001:db8:1234:1::", "both.example", "fail");
    zone.check("192.0.2.1", "exact.example", "pass");
    zone.check("192.0.2.5", "exact.example", "pass");
    zone.check("192.0.2.4", "exact.example", "fail");
    zone.check("2001:db8::1", "exact.example", "pass");
    zone.check("2001:db8::2", "exact.example", "fail");
    zone.check("192.0.2.1", "any4.example", "pass");
    zone.check("2001:db8::2", "any4.example", "fail");
    zone.check("2001:db8:ffff::2", "any6.example", "pass");
    zone.check("192.0.2.1", "any6.example", "fail");
    zone.check("::ffff:192.0.2.1", "any6.example", "fail");
    zone.check("192.0.2.1", "no.example", "fail");
    zone.check("2001:db8::1", "six.example", "fail");
    zone.check("192.0.2.1", "odd.example", "pass");
    zone.check("::ffff:192.0.2.1", "odd.example", "pass");
    zone.check("192.0.2.1", "idn.example", "pass");
    // A name that cannot be in DNS has no records. RFC 7208 §4.8.
    zone.check("192.0.2.1", "dots.example", "fail");
    zone.check("192.0.2.1", "late.example", "temperror");
}

/// RFC 7208 §5.4, RFC 7505 §3.
#[test]
fn mx_matches_addresses_of_mail_hosts() {
    let zone = Zone::new(
        "one.example TXT v=spf1 mx/24 -all
        one.example MX a.one.example
        one.example MX b.one.example
        a.one.example A 198.51.100.1
        b.one.example A 192.0.2.1
        b.one.example AAAA 2001:db8::1
        null.example TXT v=spf1 mx
        null.example MX .
        implied.example TXT v=spf1 mx
        implied.example A 192.0.2.1
        other.example TXT v=spf1 mx:one.example//0 -all
        late.example TXT v=spf1 mx -all
        late.example FAIL MX
        later.example TXT v=spf1 mx -all
        later.example MX t.example
        t.example FAIL A",
    );
    zone.check("192.0.2.9", "one.example", "pass");
    zone.check("198.51.100.9", "one.example", "pass");
    zone.check("203.0.113.1", "one.example", "fail");
    zone.check("2001:db8::1", "one.example", "pass");
    zone.check("2001:db8::2", "one.example", "fail");
    zone.check("192.0.2.1", "null.example", "neutral");
    zone.check("192.0.2.1", "implied.example", "neutral");
    zone.check("192.0.2.1", "other.example", "pass");
    zone.check("192.0.2.9", "other.example", "fail");
    zone.check("2001:db8:ffff::", "other.example", "pass");
    zone.check("192.0.2.1", "late.example", "temperror");
    zone.check("192.0.2.1", "later.example", "temperror");
}

/// RFC 7208 §5.5.
#[test]
fn ptr_matches_names_that_lead_back() {
    let zone = Zone::new(
        "own.example TXT v=spf1 ptr -all
        parent.example TXT v=spf1 ptr:OWN.example -all
        near.example TXT v=spf1 ptr:wn.example -all
        192.0.2.1 PTR a.own.example
        192.0.2.1 PTR other.example
        a.own.example A 192.0.2.1
        192.0.2.2 PTR b.own.example
        b.own.example A 192.0.2.99
        192.0.2.3 PTR own.example
        own.example A 192.0.2.3
        192.0.2.4 PTR c.own.example
        c.own.example FAIL A
        2001:db8::1 PTR Six.Own.Example
        six.own.example AAAA 2001:db8::1
        5.2.0.192.in-addr.arpa FAIL PTR",
    );
    zone.check("192.0.2.1", "own.example", "pass");
    zone.check("192.0.2.1", "parent.example", "pass");
    zone.check("192.0.2.1", "near.example", "fail");
    zone.check("192.0.2.2", "own.example", "fail");
    zone.check("192.0.2.3", "own.example", "pass");
    zone.check("2001:db8::1", "own.example", "pass");
    // Trouble with the client's names is not the sender's fault.
    zone.check("192.0.2.4", "own.example", "fail");
    zone.check("192.0.2.5", "own.example", "fail");
    zone.check("192.0.2.6", "own.example", "fail");
}

/// RFC 7208 §5.6, and §5 on IPv4 addresses written as IPv6.
#[test]
fn networks_match_their_kind() {
    let zone = Zone::new(
        "four.example TXT v=spf1 ip4:192.0.2.0/25 -all
        any.example TXT v=spf1 ip4:1.1.1.1/0 -all
        six.example TXT v=spf1 ip6:2001:db8:8000::/33 -all
        all6.example TXT v=spf1 ip6:::1.1.1.1/0
        mapped.example TXT v=spf1 -ip4:192.0.2.1 ip6:::ffff:192.0.2.1",
    );
    zone.check("192.0.2.127", "four.example", "pass");
    zone.check("192.0.2.128", "four.example", "fail");
    zone.check("2001:db8::1", "four.example", "fail");
    zone.check("203.0.113.1", "any.example", "pass");
    zone.check("2001:db8:8000::1", "six.example", "pass");
    zone.check("2001:db8:ffff::1", "six.example", "pass");
    zone.check("2001:db8:7fff::1", "six.example", "fail");
    zone.check("192.0.2.1", "six.example", "fail");
    zone.check("2001:db8::1", "all6.example", "pass");
    zone.check("192.0.2.1", "all6.example", "neutral");
    zone.check("::ffff:192.0.2.1", "all6.example", "neutral");
    zone.check("::ffff:192.0.2.1", "mapped.example", "fail");
}

/// RFC 7208 §5.7.
#[test]
fn exists_asks_for_an_ipv4_address() {
    let zone = Zone::new(
        "four.example TXT v=spf1 exists:h.example -all
        h.example A 127.0.0.2
        six.example TXT v=spf1 exists:h6.example -all
        h6.example AAAA 2001:db8::1
        late.example TXT v=spf1 exists:t.example -all
        t.example FAIL A",
    );
    zone.check("192.0.2.1", "four.example", "pass");
    zone.check("2001:db8::1", "four.example", "pass");
    zone.check("2001:db8::1", "six.example", "fail");
    zone.check("192.0.2.1", "late.example", "temperror");
}

/// RFC 7208 §7, §4.8.
#[test]
fn names_are_made_of_macros() {
    let mut zone = Zone::new(
        "dot.example TXT v=spf1 redirect=%{d}.d.example.
        dot.example.d.example TXT v=spf1 ip4:192.0.2.1 -all
        user.example TXT v=spf1 exists:%{i}.%{l2r-}.user.%{d2} -all
        192.0.2.1.bar.foo.user.user.example A 127.0.0.2
        cuts.example TXT v=spf1 exists:%{l2r+-}.user.%{d1} -all
        bar.foo.user.example A 127.0.0.2
        helo.example TXT v=spf1 a:%{h} -all
        client.example A 192.0.2.1
        signs.example TXT v=spf1 a:x%%y%_z%-.example -all
        reverse.example TXT v=spf1 exists:%{ir}.%{v}.list.example -all
        1.2.0.192.in-addr.list.example A 127.0.0.2
        named.example TXT v=spf1 exists:%{p}.list.example -all
        192.0.2.7 PTR z.named.example
        192.0.2.7 PTR a.elsewhere.example
        z.named.example A 192.0.2.7
        a.elsewhere.example A 192.0.2.7
        z.named.example.list.example A 127.0.0.2
        192.0.2.8 PTR b.elsewhere.example
        b.elsewhere.example A 192.0.2.8
        b.elsewhere.example.list.example A 127.0.0.2
        unknown.list.example A 127.0.0.2
        192.0.2.6 PTR b.elsewhere.example",
    );
    zone.0.add_ips("x%y z%20.example", &["192.0.2.1"]);
    zone.check("192.0.2.1", "dot.example", "pass");
    zone.check_sender("192.0.2.1", "foo-bar@user.example", "c.example", "pass");
    zone.check_sender("192.0.2.1", "bar-foo@user.example", "c.example", "fail");
    zone.check_sender("192.0.2.1", "foo-bar+zip+quux@cuts.example", "c.example", "pass");
    zone.check("192.0.2.1", "helo.example", "pass");
    zone.check_sender("192.0.2.1", "a@helo.example", "[192.0.2.1]", "fail");
    zone.check("192.0.2.1", "signs.example", "pass");
    zone.check("192.0.2.1", "reverse.example", "pass");
    // The name in the domain is better than another.
    zone.check("192.0.2.7", "named.example", "pass");
    zone.check("192.0.2.8", "named.example", "pass");
    zone.check("192.0.2.6", "named.example", "pass");
}
