//! Reputation, with the account as its history: what the tables answer is what the decision needs.

use mox_base::{Flags, MailboxName, Validation};
use mox_dns::organizational_domain;
use mox_policy::{Author, Method, Network, Origin, Proven, reputation};
use mox_store::NewMessage;

use crate::history::{address, domain, incoming, message_of};
use crate::support::{Fixture, START, name};

const DAY: i64 = 24 * 3600;

/// A sender: `author/signature/ip`, the author preceded by `!` if nothing proves it; `-` for no
/// signature. MAIL FROM is the author's address, and proven with it.
fn origin(text: &str) -> Origin {
    let [author, signature, ip] = text.split('/').collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    let (author, validation) = match author.strip_prefix('!') {
        Some(author) => (author, Validation::None),
        None => (author, Validation::Strict),
    };
    let author = address(author);
    Origin {
        networks: Some(Network::all_of(ip.parse().unwrap())),
        ehlo: None,
        mail_from: Some(Proven { name: author.clone(), validation }),
        mail_from_validation: validation,
        dkim_domains: (signature != "-").then(|| domain(signature)).into_iter().collect(),
        author: Some(Author {
            organization: organizational_domain(&author.domain),
            address: author,
            validation,
        }),
        forwarder_ehlo: None,
        forwarder_dkim_domains: Vec::new(),
    }
}

/// An account with these messages in its Inbox, the newest first and a day apart: `+` for mail that the
/// user wants, `-` for junk, `?` for what is not judged, then the sender; `*3` repeats one.
fn account(history: &[&str]) -> Fixture {
    let fixture = Fixture::new();
    let mut messages = Vec::new();
    let mut age = 0;
    for line in history {
        let (line, times) = line.split_once('*').unwrap_or((line, "1"));
        let (flags, sender) = match line.split_at(1) {
            ("+", sender) => (Flags::NOT_JUNK, sender),
            ("-", sender) => (Flags::JUNK, sender),
            (_, sender) => (Flags::NONE, sender),
        };
        for _ in 0..times.parse().unwrap() {
            age += DAY;
            let message = message_of(&fixture, incoming(origin(sender)), flags);
            messages.push(NewMessage { received: Some(START.plus_secs(-age).into()), ..message });
        }
    }
    fixture.add("Inbox", messages).unwrap();
    fixture
}

/// `junk!` and `ham!` decide, `junk`, `ham` and `open` do not.
#[track_caller]
fn check_in(fixture: &Fixture, new: &str, want: &str, method: Method) {
    let reader = fixture.account.read().unwrap();
    let found = reputation(&reader, &MailboxName::inbox(), &origin(new), START).unwrap();
    let word = match found.is_junk {
        Some(true) => "junk",
        Some(false) => "ham",
        None => "open",
    };
    let got = format!("{word}{}", if found.is_conclusive { "!" } else { "" });
    assert_eq!((got.as_str(), found.method), (want, method), "{new}: {}", found.line);
}

#[track_caller]
fn check(history: &[&str], new: &str, want: &str, method: Method) {
    check_in(&account(history), new, want, method);
}

#[test]
fn an_address_is_known_by_its_last_two_messages() {
    use Method::{MsgFromFull, None};
    let ann = "ann@one.example/-/192.0.2.1";
    check(
        &["+ann@one.example/-/10.0.0.1", "-ann@one.example/-/10.0.0.1"],
        ann,
        "ham!",
        MsgFromFull,
    );
    check(
        &["-ann@one.example/-/10.0.0.1", "+ann@one.example/-/10.0.0.1"],
        ann,
        "ham!",
        MsgFromFull,
    );
    let two_junk = ["-ann@one.example/-/10.0.0.1*2", "+bob@one.example/-/10.0.0.1*20"];
    check(&two_junk, ann, "junk!", MsgFromFull);
    // What is not judged says nothing.
    check(&["?ann@one.example/-/192.0.2.1*5"], ann, "open", None);
    check(
        &["?ann@one.example/-/10.0.0.1*5", "+Ann@one.example/-/10.0.0.1"],
        ann,
        "ham!",
        MsgFromFull,
    );
}

#[test]
fn unproven_authors_are_told_from_proven_ones() {
    use Method::{MsgFromFull, None};
    let forged = "!ann@one.example/-/192.0.2.1";
    check(&["-!ann@one.example/-/10.0.0.1*2"], forged, "junk", MsgFromFull);
    check(
        &["+ann@one.example/-/10.0.0.1", "-ann@one.example/-/10.0.0.1"],
        forged,
        "junk",
        MsgFromFull,
    );
    check(&["-ann@one.example/-/10.0.0.1*2"], forged, "junk!", MsgFromFull);
    check(&["-!ann@one.example/-/10.0.0.1*2"], "ann@one.example/-/192.0.2.1", "open", None);
}

#[test]
fn whom_the_user_wrote_to_is_wanted() {
    let fixture = account(&["-bob@mail.one.example/-/10.0.0.1*5"]);
    let sent = fixture.message(b"To: Ann <ann@mail.one.example>\r\n\r\nhi\r\n");
    fixture.add("Sent", vec![sent]).unwrap();
    check_in(&fixture, "ann@mail.one.example/-/192.0.2.1", "ham!", Method::MsgToFull);
    // The domain's junk comes before what was sent to the domain.
    check_in(&fixture, "eve@mail.one.example/-/192.0.2.1", "junk", Method::MsgFromDomain);
    let fixture = account(&[]);
    let sent = fixture.message(b"Cc: ann@mail.one.example\r\n\r\nhi\r\n");
    fixture.add("Sent", vec![sent]).unwrap();
    check_in(&fixture, "eve@mail.one.example/-/192.0.2.1", "ham!", Method::MsgToDomain);
    check_in(&fixture, "eve@www.one.example/-/192.0.2.1", "ham!", Method::MsgToOrgDomain);
}

#[test]
fn a_domain_and_its_organisation_are_judged_by_their_authors() {
    let new = "new@mail.one.example/-/192.0.2.1";
    for (at, method) in
        [("mail.one.example", Method::MsgFromDomain), ("www.one.example", Method::MsgFromOrgDomain)]
    {
        let of =
            |mark: char, user: &str, times: u32| format!("{mark}{user}@{at}/-/10.0.0.1*{times}");
        let case = |lines: &[String], want: &str| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            check(&lines, new, want, method);
        };
        case(&[of('+', "a", 1), of('-', "b", 1)], "open");
        case(&[of('+', "a", 17), of('-', "b", 3)], "ham!");
        case(&[of('-', "a", 1), of('-', "b", 1), of('-', "c", 1)], "junk!");
        case(&[of('-', "a", 10), of('-', "b", 10)], "junk");
        // Written in another way it is still the same author.
        case(&[of('-', "Aa", 9), of('-', "aA", 9), of('-', "b", 1)], "junk");
    }
}

#[test]
fn strangers_are_known_by_who_signed_or_sent() {
    use Method::DkimSpf;
    let new = "!new@one.example/list.example/192.0.2.1";
    check(&["+!x@two.example/list.example/10.0.0.1"], new, "ham!", DkimSpf);
    check(&["-!x@two.example/list.example/10.0.0.1"], new, "junk", DkimSpf);
    check(&["-!x@two.example/list.example/10.0.0.1*2"], new, "junk!", DkimSpf);
    let mixed = ["+!x@two.example/list.example/10.0.0.1", "-!x@two.example/list.example/10.0.0.1"];
    check(&mixed, new, "open", DkimSpf);
}

#[test]
fn networks_are_known_by_what_they_sent() {
    let new = "!new@one.example/-/192.0.2.1";
    for (ip, method, needed) in [
        ("192.0.2.1", Method::Ip1, 2),
        ("192.0.2.2", Method::Ip2, 5),
        ("192.0.3.1", Method::Ip3, 10),
    ] {
        let of = |mark: char, times: u32| format!("{mark}!x@two.example/-/{ip}*{times}");
        check(&[&of('+', needed)], new, "ham!", method);
        check(&[&of('-', needed)], new, "junk!", method);
        check(&[&of('-', needed - 1)], new, "junk", method);
    }
    // Too long ago: a quarter of a year of messages without judgement lies between.
    check(
        &["?!x@two.example/-/192.0.2.1*92", "-!x@two.example/-/192.0.2.1*9"],
        new,
        "open",
        Method::None,
    );
}

/// Ten messages of junk by a forwarder, which the user's rule names, hurt nothing else that it forwards.
#[test]
fn what_a_forwarder_lent_is_not_remembered() {
    let fixture = Fixture::new();
    let forwarded = || Origin {
        networks: None,
        mail_from: None,
        dkim_domains: Vec::new(),
        forwarder_dkim_domains: vec![domain("old.example")],
        ..origin("!x@two.example/old.example/192.0.2.1")
    };
    let many = (0..10).map(|_| message_of(&fixture, incoming(forwarded()), Flags::JUNK)).collect();
    fixture.add("Inbox", many).unwrap();
    let new = "!new@one.example/old.example/192.0.2.1";
    check_in(&fixture, new, "open", Method::None);
    // Without the rule they do.
    let plain = "!x@two.example/old.example/192.0.2.1";
    let many =
        (0..10).map(|_| message_of(&fixture, incoming(origin(plain)), Flags::JUNK)).collect();
    fixture.add("Inbox", many).unwrap();
    check_in(&fixture, new, "junk!", Method::DkimSpf);
}

/// Junk in one mailbox says nothing about another, and what is moved counts where it was delivered.
#[test]
fn each_mailbox_has_a_reputation_of_its_own() {
    let fixture = account(&["-ann@one.example/-/192.0.2.1*2"]);
    fixture
        .account
        .move_to(fixture.id("Inbox"), mox_base::NumSet::all(), name("Archive"))
        .wait()
        .unwrap();
    check_in(&fixture, "ann@one.example/-/192.0.2.1", "junk!", Method::MsgFromFull);
    let reader = fixture.account.read().unwrap();
    let new = origin("ann@one.example/-/192.0.2.1");
    let found = reputation(&reader, &name("Archive"), &new, START).unwrap();
    assert_eq!((found.is_junk, found.method), (None, Method::None));
}
