use super::*;
use crate::facts::Message;
use crate::fixture::{
    FakeHistory, NOW, Old, address, domain, mailbox, message, old, proven, signature,
};
use mox_base::Validation;

const JUNK: bool = true;
const HAM: bool = false;

/// `yes!` and `no!` are conclusive, `yes?`, `no?` and `?` are not.
#[track_caller]
fn check(history: Vec<Old>, new: &Message, want: &str, method: Method) {
    check_with(&FakeHistory { old: history, ..FakeHistory::default() }, new, want, method);
}

#[track_caller]
fn check_with(history: &FakeHistory, new: &Message, want: &str, method: Method) {
    let origin = Origin::new(new, None);
    let found = reputation(history, &MailboxName::inbox(), &origin, NOW).unwrap();
    let word = match found.is_junk {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    let got = format!("{word}{}", if found.is_conclusive { "!" } else { "?" });
    assert_eq!((got.as_str(), found.method), (want, method), "{}", found.line);
}

/// Messages with these judgements, the newest first, a day apart from yesterday on.
fn each(message: &Message, judgements: &[bool]) -> Vec<Old> {
    let days = 1_i64..;
    judgements.iter().zip(days).map(|(is_junk, day)| old(message.clone(), *is_junk, day)).collect()
}

/// A message that nothing but its network ties to others.
fn from_ip(ip: &str, author: &str) -> Message {
    let mut message = message(author);
    message.remote_ip = ip.parse().unwrap();
    message
}

#[test]
fn the_last_two_messages_of_an_address_count() {
    use Method::MsgFromFull as Full;
    let new = proven("carol@one.example");
    check(each(&new, &[HAM]), &new, "no!", Full);
    check(each(&new, &[JUNK]), &new, "yes!", Full);
    check(each(&new, &[HAM, JUNK]), &new, "no!", Full);
    check(each(&new, &[JUNK, HAM]), &new, "no!", Full);
    check(each(&new, &[JUNK, JUNK]), &new, "yes!", Full);
    // The third is not looked at.
    check(each(&new, &[JUNK, JUNK, HAM]), &new, "yes!", Full);
    // Other authors of the domain are of no interest then.
    let mut history = each(&new, &[JUNK, JUNK]);
    history.extend(each(&proven("dave@one.example"), &[HAM; 20]));
    check(history, &new, "yes!", Full);
    // Three years back, and a day more.
    check(vec![old(new.clone(), JUNK, 3 * 365)], &new, "yes!", Full);
    check(vec![old(new.clone(), JUNK, 3 * 365 + 1)], &new, "?", Method::None);
    // Destined for another mailbox.
    let elsewhere = Old { mailbox: "Lists", ..old(new.clone(), JUNK, 1) };
    check(vec![elsewhere], &new, "?", Method::None);
}

#[test]
fn unproven_messages_are_measured_by_unproven_and_proven_ones() {
    use Method::MsgFromFull as Full;
    let (new, honest) = (message("carol@one.example"), proven("carol@one.example"));
    // Its own kind says something, and never decides.
    check(each(&new, &[HAM]), &new, "no?", Full);
    check(each(&new, &[JUNK, JUNK]), &new, "yes?", Full);
    // Who proved the address until now is probably someone else.
    check(each(&honest, &[HAM]), &new, "yes?", Full);
    check(each(&honest, &[HAM, JUNK]), &new, "yes?", Full);
    check(each(&honest, &[JUNK, HAM]), &new, "yes?", Full);
    check(each(&honest, &[JUNK, JUNK]), &new, "yes!", Full);
    check(each(&honest, &[JUNK]), &new, "yes!", Full);
    // The other way round it says nothing: unproven junk does not harm its victim.
    let forged = from_ip("203.0.113.1", "carol@one.example");
    check(each(&forged, &[JUNK, JUNK]), &honest, "?", Method::None);
}

#[test]
fn writing_to_someone_makes_their_answer_wanted() {
    let new = proven("carol@mail.one.example");
    let sent = |to: &str, days_ago| FakeHistory {
        old: each(&proven("dave@mail.one.example"), &[JUNK; 5]),
        sent: vec![(address(to), days_ago)],
        ..FakeHistory::default()
    };
    // It beats junk of the same domain, and an answer need not be proven.
    check_with(&sent("carol@mail.one.example", 1), &new, "no!", Method::MsgToFull);
    check_with(&sent("carol@mail.one.example", 3 * 365), &new, "no!", Method::MsgToFull);
    let unproven = message("carol@mail.one.example");
    check_with(&sent("carol@mail.one.example", 1), &unproven, "no!", Method::MsgToFull);
    // Too long ago, or to someone else: the domain's junk counts.
    let junk = Method::MsgFromDomain;
    check_with(&sent("carol@mail.one.example", 3 * 365 + 1), &new, "yes?", junk);
    check_with(&sent("erin@mail.one.example", 1), &new, "yes?", junk);
    let only_sent = |to: &str, days_ago| FakeHistory {
        sent: vec![(address(to), days_ago)],
        ..FakeHistory::default()
    };
    check_with(&only_sent("erin@mail.one.example", 2 * 365), &new, "no!", Method::MsgToDomain);
    check_with(&only_sent("erin@mail.one.example", 2 * 365 + 1), &new, "?", Method::None);
    check_with(&only_sent("erin@www.one.example", 1), &new, "no!", Method::MsgToOrgDomain);
    check_with(&only_sent("erin@two.example", 1), &new, "?", Method::None);
}

/// So many messages of the domain, the junk ones each by one of `authors`.
fn of_domain_history(at: &str, ham: usize, junk: usize, authors: usize) -> Vec<Old> {
    let mut history = Vec::new();
    for number in 0..ham + junk {
        let message = proven(&format!("user{}@{at}", number % authors));
        history.push(old(message, number >= ham, 1 + i64::try_from(number).unwrap()));
    }
    history
}

#[test]
fn a_domain_is_judged_by_its_last_twenty_messages() {
    let new = proven("carol@mail.one.example");
    for (at, method) in
        [("mail.one.example", Method::MsgFromDomain), ("www.one.example", Method::MsgFromOrgDomain)]
    {
        let of = |ham, junk, authors| of_domain_history(at, ham, junk, authors);
        check(of(1, 0, 1), &new, "no!", method);
        check(of(20, 0, 1), &new, "no!", method);
        // 81 % and 80 %: integers, so that 17 of 21 are over it and 16 of 20 are not.
        check(of(17, 3, 1), &new, "no!", method);
        check(of(9, 2, 1), &new, "no!", method);
        check(of(16, 4, 1), &new, "?", method);
        check(of(1, 1, 1), &new, "?", method);
        check(of(1, 19, 4), &new, "?", method);
        // Only junk: three authors make the domain bad, two do not.
        check(of(0, 3, 3), &new, "yes!", method);
        check(of(0, 20, 2), &new, "yes?", method);
        check(of(0, 1, 1), &new, "yes?", method);
        // The twenty-first is not looked at.
        let mut history = of(20, 0, 1);
        history.extend((0..50).map(|_| old(proven(&format!("x@{at}")), JUNK, 30)));
        check(history, &new, "no!", method);
        // Two years back, and a day more.
        check(vec![old(proven(&format!("x@{at}")), HAM, 730)], &new, "no!", method);
        let late = FakeHistory {
            old: vec![old(from_ip("203.0.113.1", &format!("x@{at}")), HAM, 731)],
            ..FakeHistory::default()
        };
        check_with(&late, &new, "?", Method::None);
        // Unproven, of a domain that proves its mail.
        let unproven = from_ip("203.0.113.9", "carol@mail.one.example");
        check(of(3, 0, 1), &unproven, "yes?", method);
        check(of(0, 2, 1), &unproven, "yes!", method);
        check(of(0, 1, 1), &unproven, "yes!", method);
    }
    // The domain itself is asked before its organisation.
    let mut history = of_domain_history("mail.one.example", 0, 3, 3);
    history.extend(of_domain_history("www.one.example", 20, 0, 1));
    check(history, &new, "yes!", Method::MsgFromDomain);
}

/// Of an author nobody knows, signed by these domains.
fn signed(author: &str, domains: &[&str]) -> Message {
    let mut message = message(author);
    message.signatures = domains.iter().map(|domain| signature(domain)).collect();
    message
}

#[test]
fn signing_domains_are_judged_together() {
    use Method::DkimSpf;
    let new = signed("new@one.example", &["a.example", "b.example"]);
    let of =
        |domain: &str, judgements: &[bool]| each(&signed("x@two.example", &[domain]), judgements);
    let both = |a: &[bool], b: &[bool]| [of("a.example", a), of("b.example", b)].concat();
    check(of("a.example", &[HAM]), &new, "no!", DkimSpf);
    check(of("a.example", &[HAM, HAM, HAM]), &new, "no!", DkimSpf);
    check(of("a.example", &[JUNK]), &new, "yes?", DkimSpf);
    check(of("a.example", &[JUNK, JUNK]), &new, "yes!", DkimSpf);
    check(of("a.example", &[JUNK, HAM]), &new, "?", DkimSpf);
    check(both(&[HAM], &[HAM, JUNK]), &new, "no!", DkimSpf);
    check(both(&[JUNK], &[HAM]), &new, "?", DkimSpf);
    // The last domain with messages gives their number.
    check(both(&[JUNK, JUNK], &[JUNK]), &new, "yes?", DkimSpf);
    check(both(&[JUNK], &[JUNK, JUNK]), &new, "yes!", DkimSpf);
    // A tenth is no longer wanted, nine tenths not yet junk: 1 of 11, 1 of 10, 9 of 10, 10 of 11.
    let parts = |ham: usize, junk: usize| [vec![HAM; ham], vec![JUNK; junk]].concat();
    check(of("a.example", &parts(10, 1)), &new, "no!", DkimSpf);
    check(of("a.example", &parts(9, 1)), &new, "?", DkimSpf);
    check(of("a.example", &parts(1, 9)), &new, "?", DkimSpf);
    check(of("a.example", &parts(1, 10)), &new, "yes!", DkimSpf);
    // The fifty-first is not looked at.
    check(of("a.example", &parts(50, 50)), &new, "no!", DkimSpf);
    // Half a year: 182.5 days.
    let at = |days| vec![old(signed("x@two.example", &["a.example"]), HAM, days)];
    check(at(182), &new, "no!", DkimSpf);
    check(at(183), &new, "?", Method::None);
}

#[test]
fn senders_that_spf_proves_are_judged_with_them() {
    use Method::DkimSpf;
    let sent = |author: &str, mail_from: &str, ehlo: &str, validation: Validation| {
        let mut message = from_ip("203.0.113.1", author);
        let mail_from = address(mail_from);
        message.mail_from = Some(Proven { name: mail_from, validation });
        message.ehlo = Some(Proven { name: domain(ehlo), validation });
        message
    };
    let pass =
        |author: &str, mail_from: &str, ehlo: &str| sent(author, mail_from, ehlo, Validation::Pass);
    let mut new = pass("new@one.example", "bounce@list.example", "mx.example");
    new.remote_ip = "192.0.2.1".parse().unwrap();
    let of = |mail_from: &str, ehlo: &str, judgements: &[bool]| {
        each(&pass("x@two.example", mail_from, ehlo), judgements)
    };
    check(of("bounce@list.example", "o.example", &[HAM]), &new, "no!", DkimSpf);
    check(of("other@list.example", "o.example", &[JUNK, JUNK]), &new, "yes!", DkimSpf);
    check(of("x@o.example", "mx.example", &[JUNK]), &new, "yes?", DkimSpf);
    check(of("x@o.example", "o.example", &[JUNK]), &new, "?", Method::None);
    // The address is asked before its domain, and that before EHLO.
    let mut history = of("bounce@list.example", "mx.example", &[HAM]);
    history.extend(of("other@list.example", "mx.example", &[JUNK; 5]));
    check(history, &new, "no!", DkimSpf);
    // What SPF did not prove counts on neither side.
    let forged = sent("x@two.example", "bounce@list.example", "mx.example", Validation::SoftFail);
    check(each(&forged, &[JUNK, JUNK]), &new, "?", Method::None);
    new.mail_from.as_mut().unwrap().validation = Validation::Fail;
    check(of("bounce@list.example", "o.example", &[HAM]), &new, "?", Method::None);
    check(of("bounce@list.example", "mx.example", &[HAM]), &new, "no!", DkimSpf);
    // With DKIM: one junk signal, of more than one message, and the larger number counts.
    let mut signed = new.clone();
    signed.signatures = vec![signature("a.example")];
    let mut old_signed = message("y@three.example");
    old_signed.remote_ip = "203.0.113.1".parse().unwrap();
    old_signed.signatures = vec![signature("a.example")];
    let mut history = each(&old_signed, &[JUNK, JUNK]);
    history.extend(of("x@o.example", "mx.example", &[JUNK]));
    check(history, &signed, "yes!", DkimSpf);
}

#[test]
fn networks_need_more_messages_the_wider_they_are() {
    let new = from_ip("10.0.0.1", "new@one.example");
    let classes = [
        ("10.0.0.1", Method::Ip1, 2),
        ("10.0.0.2", Method::Ip2, 5),
        ("10.0.0.65", Method::Ip3, 10),
    ];
    for (ip, method, needed) in classes {
        let of = |judgements: &[bool]| each(&from_ip(ip, "x@two.example"), judgements);
        let parts = |ham: usize, junk: usize| of(&[vec![HAM; ham], vec![JUNK; junk]].concat());
        check(parts(needed, 0), &new, "no!", method);
        check(parts(0, needed), &new, "yes!", method);
        check(parts(needed - 1, 0), &new, "no?", method);
        check(parts(0, needed - 1), &new, "yes?", method);
        check(parts(18, 2), &new, "no!", method);
        check(parts(17, 2), &new, "no?", method);
        check(parts(2, 18), &new, "yes!", method);
        check(parts(2, 17), &new, "yes?", method);
        check(parts(16, 5), &new, "no?", method);
        check(parts(15, 5), &new, "?", method);
        check(parts(5, 15), &new, "?", method);
        check(parts(5, 16), &new, "yes?", method);
        // The fifty-first is not looked at.
        check(parts(50, 50), &new, "no!", method);
        // A quarter of a year: 91.25 days.
        let at = |days| (0..needed).map(|_| old(from_ip(ip, "x@two.example"), HAM, days)).collect();
        check(at(91), &new, "no!", method);
        check(at(92), &new, "?", Method::None);
    }
    check(each(&from_ip("10.0.8.1", "x@two.example"), &[JUNK; 50]), &new, "?", Method::None);
    // The narrowest that knows anything answers, be it little.
    let mut history = each(&from_ip("10.0.0.1", "x@two.example"), &[HAM]);
    history.extend(each(&from_ip("10.0.0.2", "x@two.example"), &[JUNK; 50]));
    check(history, &new, "no?", Method::Ip1);
}

/// RFC 4291 §2.5.4: whoever has one address of a /64 has them all.
#[test]
fn addresses_of_ipv6_are_judged_by_their_network() {
    let new = from_ip("2001:db8:1:2::1", "new@one.example");
    let of = |ip: &str| each(&from_ip(ip, "x@two.example"), &[JUNK; 10]);
    check(of("2001:db8:1:2:ffff::9"), &new, "yes!", Method::Ip1);
    check(of("2001:db8:1:3::1"), &new, "yes!", Method::Ip2);
    check(of("2001:db8:2::1"), &new, "yes!", Method::Ip3);
    check(of("2001:db9::1"), &new, "?", Method::None);
}

#[test]
fn lines_tell_how_it_came_about() {
    let new = proven("carol@one.example");
    let line = |history: Vec<Old>, new: &Message| {
        let history = FakeHistory { old: history, ..FakeHistory::default() };
        let origin = Origin::new(new, None);
        reputation(&history, &mailbox("Inbox"), &origin, NOW).unwrap().line
    };
    assert_eq!(
        line(each(&new, &[JUNK, JUNK, JUNK]), &new),
        "2 of 2 earlier messages of sender carol@one.example in Inbox were junk"
    );
    assert_eq!(
        line(each(&proven("dave@one.example"), &[HAM]), &new),
        "0 of 1 earlier message of domain one.example in Inbox was junk"
    );
    assert_eq!(line(Vec::new(), &new), "no earlier message in Inbox tells anything about this one");
}

/// Attack: a message with a thousand signatures.
#[test]
fn questions_are_bounded() {
    let mut new = message("carol@mail.one.example");
    new.signatures = (0..1_000).map(|n| signature(&format!("d{n}.example"))).collect();
    let pass = Validation::Pass;
    new.mail_from.as_mut().unwrap().validation = pass;
    new.ehlo.as_mut().unwrap().validation = pass;
    let history = FakeHistory::default();
    check_with(&history, &new, "?", Method::None);
    assert_eq!(*history.questions.borrow(), 25);
}

#[test]
fn a_history_that_fails_is_told() {
    let history = FakeHistory { fails: true, ..FakeHistory::default() };
    let origin = Origin::new(&message("carol@one.example"), None);
    assert_eq!(reputation(&history, &MailboxName::inbox(), &origin, NOW), Err(HistoryError));
}
