//! Messages that the RFCs have signed.

use mox_dns::{FakeDns, Security};

use super::{outcomes, verify};
use crate::dkim::Algorithm;

/// RFC 8463 §A.2.
fn rfc8463_dns() -> FakeDns {
    let mut dns = FakeDns::new();
    dns.add_txt(
        "brisbane._domainkey.football.example.com",
        "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    );
    dns.add_txt(
        "test._domainkey.football.example.com",
        "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5q\
         hdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4h\
         stT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
    );
    dns
}

/// RFC 8463 §A.3.
const RFC8463_MESSAGE: &str = "\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n \
d=football.example.com; i=@football.example.com;\r\n \
q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n \
subject : date : message-id : from : subject : date;\r\n \
bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n \
b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n \
Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n\
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n \
d=football.example.com; i=@football.example.com;\r\n \
q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n \
date : message-id : from : subject : date;\r\n \
bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n \
b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n \
DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n \
dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n\
From: Joe SixPack <joe@football.example.com>\r\n\
To: Suzie Q <suzie@shopping.example.net>\r\n\
Subject: Is dinner ready?\r\n\
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\
\r\n\
Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";

/// RFC 8463 appendix A: one message, an Ed25519 and an RSA signature.
#[test]
fn the_signatures_of_rfc_8463_are_good() {
    let results = verify(&rfc8463_dns(), RFC8463_MESSAGE);
    let algorithms = [Algorithm::Ed25519Sha256, Algorithm::RsaSha256];
    for (result, algorithm) in results.iter().zip(algorithms) {
        assert_eq!(result.reason, None);
        assert_eq!(result.signature.as_ref().unwrap().algorithm, algorithm);
        assert_eq!(result.security, Some(Security::Insecure));
    }
    assert_eq!(results.len(), 2);
    assert_eq!((results[0].rsa_bits(), results[0].is_key_weak()), (None, false));
    assert_eq!((results[1].rsa_bits(), results[1].is_key_weak()), (Some(1024), true));
}

#[track_caller]
fn check_changed(from: &str, to: &str, want: &str) {
    assert!(RFC8463_MESSAGE.contains(from));
    let changed = RFC8463_MESSAGE.replace(from, to);
    assert_eq!(outcomes(&rfc8463_dns(), &changed), [want, want], "{from:?} to {to:?}");
}

/// RFC 6376 §3.4.2, §3.4.4, §5.4: what a relaxed signature bears, and what it does not.
#[test]
fn changes_break_a_signature_or_do_not() {
    let header = "fail: signature does not match";
    let body = "fail: body hash does not match";
    check_changed("To: Suzie Q", "to :  Suzie\r\n\tQ", "pass");
    check_changed("game.  Are", "game. \t Are \t", "pass");
    check_changed("Joe.\r\n", "Joe.\r\n\r\n\r\n", "pass");
    check_changed("Joe.\r\n", "Joe.", "pass");
    check_changed("\r\nTo: S", "\r\nX-New: x\r\nTo: S", "pass");
    check_changed("\r\nTo: S", "\r\nTo: before\r\nTo: S", "pass");
    check_changed("Suzie Q", "SuzieQ", header);
    check_changed("Suzie Q", "suzie Q", header);
    check_changed("To: S", "To: S\0", header);
    check_changed("To: S", "To: S\u{fc}", header);
    check_changed("\r\nDate:", "\r\nTo: after\r\nDate:", header);
    // Signed twice though there is but one: none can be added.
    check_changed("\r\nDate:", "\r\nSubject: y\r\nDate:", header);
    check_changed("\r\nTo: S", "\r\nSubject: y\r\nTo: S", header);
    check_changed("t=1528637909", "t=1528637908", header);
    check_changed("Joe.", "joe.", body);
    check_changed("Hi.\r\n", "Hi.\r\n\r\n", body);
    check_changed("Joe.\r\n", "Joe.\r\n\r\nx", body);
    check_changed("Hi.", "Hi.\0", body);
    // From is signed twice, so a second one is seen and changes the hash; a third is not.
    check_changed("From: Joe", "From: a@b.example\r\nFrom: Joe", header);
    let froms = "From: a@b.example\r\nFrom: a@b.example\r\nFrom: Joe";
    check_changed("From: Joe", froms, "permerror: a From field is not signed");
}

/// RFC 6376 appendix A, with errata 3192 (one space less in the body) and 4926 (indentation).
#[test]
fn the_signature_of_rfc_6376_is_good() {
    let mut dns = FakeDns::new();
    dns.add_txt(
        "brisbane._domainkey.example.com",
        "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zY\
         tIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi\
         tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB",
    );
    let message = "\
        DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n      \
        c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n      \
        h=Received : From : To : Subject : Date : Message-ID;\r\n      \
        bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n      \
        b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n      \
        4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n      \
        KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n      \
        4bmp/YzhwvcubU4=;\r\n\
        Received: from client1.football.example.com  [192.0.2.1]\r\n      \
        by submitserver.example.com with SUBMISSION;\r\n      \
        Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n\
        From: Joe SixPack <joe@football.example.com>\r\n\
        To: Suzie Q <suzie@shopping.example.net>\r\n\
        Subject: Is dinner ready?\r\n\
        Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
        Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\
        \r\n\
        Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n";
    assert_eq!(outcomes(&dns, message), ["pass"]);
    // Simple: not a blank may change. RFC 6376 §3.4.1, §3.4.3.
    let header = message.replace("To: Suzie", "To:  Suzie");
    assert_eq!(outcomes(&dns, &header), ["fail: signature does not match"]);
    let name = message.replace("To: Suzie", "TO: Suzie");
    assert_eq!(outcomes(&dns, &name), ["fail: signature does not match"]);
    let body = message.replace("game. Are", "game.  Are");
    assert_eq!(outcomes(&dns, &body), ["fail: body hash does not match"]);
    assert_eq!(outcomes(&dns, &format!("{message}\r\n\r\n")), ["pass"]);
}
