use std::sync::Arc;

use mox_base::UnixSeconds;
use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::content::{ContentError, Score, TlsReport};
use crate::facts::{Dmarc, DmarcStatus, Message, PassSettings, Recipient, ReportsTo};
use crate::fixture::{
    FakeContent, FakeHistory, NOW, address, domain, facts, mailbox, message, old, proven,
    recipient, ruleset, signature,
};
use crate::network::{Network, NetworkClass, Traffic};
use crate::ruleset::Ruleset;
use crate::subjectpass::PassKey;
use crate::verdict::{DmarcOverride, Refusal};
use mox_base::Validation;

const MB: u64 = 1024 * 1024;

/// Decides with no list having the address.
fn verdict(message: Message, recipient: Recipient, history: &FakeHistory, junk: f64) -> Verdict {
    finish(decide(facts(message, recipient), history, &mut FakeContent::of(junk)), None)
}

fn finish(step: Step, listed: Option<&Listing>) -> Verdict {
    match step {
        Step::Done(verdict) => *verdict,
        Step::NeedsBlocklists(pending) => pending.finish(listed),
    }
}

/// The code, or 250.
fn code(verdict: &Verdict) -> u16 {
    verdict.refusal.as_ref().map_or(250, |refusal| refusal.code)
}

#[track_caller]
fn check(verdict: &Verdict, want_code: u16, reason: Reason) {
    assert_eq!((code(verdict), verdict.reason), (want_code, reason), "{:#?}", verdict.explanation);
    assert_eq!(verdict.is_accepted(), want_code == 250);
}

fn nobody() -> FakeHistory {
    FakeHistory::default()
}

fn junk_of(message: &Message) -> FakeHistory {
    let old = vec![old(message.clone(), true, 1), old(message.clone(), true, 2)];
    FakeHistory { old, ..FakeHistory::default() }
}

fn forged() -> Message {
    let mut message = message("carol@one.example");
    message.dmarc = Dmarc {
        status: DmarcStatus::Fail,
        wants_refusal: true,
        is_sampled: true,
        has_record: true,
    };
    message
}

fn with_rule(rule: Ruleset) -> Recipient {
    Recipient { rulesets: vec![rule], ..recipient() }
}

fn rule_for(author: &str) -> Ruleset {
    Ruleset { msg_from: Regex::new(author).ok(), ..ruleset("Lists") }
}

#[test]
fn step_1_networks_may_send_so_much() {
    for (network, factor) in Network::all_of([192, 0, 2, 1].into()).into_iter().zip([1, 3, 9]) {
        let with = |messages, bytes, secs_ago| FakeHistory {
            traffic: vec![(network, secs_ago, Traffic { messages, bytes })],
            ..FakeHistory::default()
        };
        let ask =
            |history: &FakeHistory| verdict(proven("carol@one.example"), recipient(), history, 0.0);
        let cases = [
            (with(500 * factor - 1, 0, 60), 250),
            (with(500 * factor, 0, 61), 250),
            (with(10_000 * factor - 1, 0, 61), 250),
            (with(0, 1_000 * factor * MB - 5_000, 60), 250),
            (with(0, 3_000 * factor * MB - 5_000, 61), 250),
            (with(500 * factor, 0, 60), 452),
            (with(10_000 * factor, 0, 86_400), 452),
            (with(10_000 * factor, 0, 86_401), 250),
            (with(0, 1_000 * factor * MB - 4_999, 60), 452),
            (with(0, 3_000 * factor * MB - 4_999, 86_400), 452),
        ];
        for (history, want) in cases {
            let reason = if want == 250 { Reason::NoBadSignals } else { Reason::HighRate };
            let verdict = ask(&history);
            check(&verdict, want, reason);
            assert!(!verdict.may_keep_reject, "what floods is not kept");
        }
    }
    let history = FakeHistory { fails: true, ..FakeHistory::default() };
    let verdict = verdict(message("carol@one.example"), recipient(), &history, 0.0);
    check(&verdict, 451, Reason::ReputationError);
    assert!(verdict.may_keep_reject);
}

#[test]
fn step_2_rules_choose_the_mailbox() {
    let to = |rule| verdict(proven("carol@one.example"), with_rule(rule), &nobody(), 0.0);
    assert_eq!(to(rule_for("carol")).mailbox, mailbox("Lists"));
    assert_eq!(to(rule_for("dave")).mailbox, MailboxName::inbox());
    let archive = Recipient { mailbox: mailbox("Archive"), ..recipient() };
    let verdict = verdict(proven("carol@one.example"), archive, &nobody(), 0.0);
    assert_eq!((verdict.mailbox, verdict.destined), (mailbox("Archive"), None));
}

#[test]
fn step_3_proven_lists_are_accepted_whatever_else() {
    let list = || Ruleset { list_allow_domain: Some(domain("list.example")), ..rule_for("carol") };
    let mut by_dkim = forged();
    by_dkim.signatures = vec![signature("other.example"), signature("list.example")];
    let got = verdict(by_dkim.clone(), with_rule(list()), &junk_of(&by_dkim), 1.0);
    check(&got, 250, Reason::ListAllow);
    assert!(got.marks.is_mailing_list && got.delay.is_zero());
    assert_eq!(got.dmarc_overrides, [DmarcOverride::MailingList]);
    let mut by_spf = forged();
    let mail_from = by_spf.mail_from.as_mut().unwrap();
    mail_from.name = address("bounce@list.example");
    mail_from.validation = Validation::Pass;
    check(&verdict(by_spf.clone(), with_rule(list()), &nobody(), 1.0), 250, Reason::ListAllow);
    // Unproven, or another domain of the list: everything goes its way.
    by_spf.mail_from.as_mut().unwrap().validation = Validation::Fail;
    check(&verdict(by_spf, with_rule(list()), &nobody(), 1.0), 550, Reason::DmarcPolicy);
    for other in ["sub.list.example", "example", "xlist.example"] {
        let mut message = forged();
        message.signatures = vec![signature(other)];
        let got = verdict(message, with_rule(list()), &nobody(), 1.0);
        check(&got, 550, Reason::DmarcPolicy);
        assert!(!got.marks.is_mailing_list);
    }
}

#[test]
fn step_4_what_is_forwarded_is_not_judged_by_its_forwarder() {
    let forward = || Ruleset {
        is_forward: true,
        verified_domain: Some(domain("old.example")),
        mail_from: Regex::new("@old\\.example$").ok(),
        ..ruleset("Inbox")
    };
    let forwarded = |author: &str| {
        let mut message = forged();
        message.author = crate::fixture::message(author).author;
        message.mail_from_text = "srs@old.example".to_owned();
        message.mail_from.as_mut().unwrap().name = address("srs@old.example");
        message.mail_from.as_mut().unwrap().validation = Validation::Pass;
        message.signatures = vec![signature("old.example")];
        message.to_and_cc.clear();
        message
    };
    let got = verdict(forwarded("carol@one.example"), with_rule(forward()), &nobody(), 0.5);
    check(&got, 250, Reason::NoBadSignals);
    assert!(got.marks.is_forward && got.delay.is_zero());
    assert_eq!(got.dmarc_overrides, [DmarcOverride::Forwarded]);
    assert_eq!(got.origin.networks, None);
    // Ten messages of junk by the forwarder hurt no other mail by it, and do so without the rule.
    let history = FakeHistory {
        old: (1..=10).map(|day| old(forwarded("x@two.example"), true, day)).collect(),
        ..FakeHistory::default()
    };
    let got = verdict(forwarded("carol@one.example"), with_rule(forward()), &history, 0.5);
    check(&got, 250, Reason::NoBadSignals);
    let mut honest = forwarded("carol@one.example");
    honest.dmarc = Dmarc::default();
    check(&verdict(honest, recipient(), &history, 0.5), 451, Reason::DkimSpf);
}

/// RFC 7489 §6.6.2.
#[test]
fn step_5_the_policy_of_the_author_is_followed() {
    let got = verdict(forged(), recipient(), &nobody(), 0.0);
    check(&got, 550, Reason::DmarcPolicy);
    assert_eq!(got.refusal.unwrap().enhanced, (7, 26));
    let mut left_out = forged();
    left_out.dmarc.is_sampled = false;
    let got = verdict(left_out, recipient(), &nobody(), 0.0);
    check(&got, 250, Reason::NoBadSignals);
    assert_eq!(got.dmarc_overrides, [DmarcOverride::SampledOut]);
    let mut mild = forged();
    mild.dmarc.wants_refusal = false;
    check(&verdict(mild, recipient(), &nobody(), 0.0), 250, Reason::NoBadSignals);
    // Having written to them does not help.
    let sent = vec![(address("carol@one.example"), 1)];
    let known = FakeHistory { sent, ..FakeHistory::default() };
    check(&verdict(forged(), recipient(), &known, 0.0), 550, Reason::DmarcPolicy);
}

#[test]
fn step_6_and_11_reports_are_accepted_where_they_are_expected() {
    let mut reports = recipient();
    reports.reports = ReportsTo { dmarc: false, tls: true };
    reports.introbox = Some(mailbox("Introbox"));
    let content =
        |is_ours| FakeContent { tls: Some(TlsReport { is_ours }), ..FakeContent::of(1.0) };
    let ask = |recipient: &Recipient, is_ours, history: &FakeHistory| {
        let facts = facts(proven("tls@one.example"), recipient.clone());
        finish(decide(facts, history, &mut content(is_ours)), None)
    };
    let got = ask(&reports, true, &nobody());
    check(&got, 250, Reason::Reporting);
    assert_eq!(got.report, Some(report::Report::Tls));
    assert_eq!((got.mailbox, got.destined), (MailboxName::inbox(), None));
    let got = ask(&reports, false, &nobody());
    check(&got, 451, Reason::JunkContent);
    assert_eq!(got.fields, [(report::TLS_REPORT_ERROR, "report for unknown domain")]);
    check(&ask(&recipient(), true, &nobody()), 451, Reason::JunkContent);
    // History comes first.
    let junk = junk_of(&proven("tls@one.example"));
    check(&ask(&reports, true, &junk), 451, Reason::MsgFromFull);
}

#[test]
fn step_7_some_addresses_want_proof() {
    let strict = || Recipient { auth_required_text: Some("prove it".to_owned()), ..recipient() };
    check(&verdict(proven("c@one.example"), strict(), &nobody(), 0.0), 250, Reason::NoBadSignals);
    let got = verdict(message("c@one.example"), strict(), &nobody(), 0.0);
    check(&got, 550, Reason::MessageAuthRequired);
    assert_eq!(got.refusal, Some(Refusal::new(550, (7, 26), "prove it")));
    let mut later = message("c@one.example");
    later.dmarc.status = DmarcStatus::TempError;
    let got = verdict(later, strict(), &nobody(), 0.0);
    check(&got, 451, Reason::MessageAuthRequired);
    assert!(got.refusal.unwrap().text.ends_with(": prove it"));
    let mut anonymous = proven("c@one.example");
    anonymous.author = None;
    let got = verdict(anonymous, strict(), &nobody(), 0.0);
    check(&got, 550, Reason::MessageAuthRequired);
}

#[test]
fn step_8_to_10_history_decides_where_it_is_clear() {
    let new = proven("carol@one.example");
    let got = verdict(new.clone(), recipient(), &junk_of(&new), 0.0);
    check(&got, 451, Reason::MsgFromFull);
    assert_eq!(got.refusal, Some(Refusal::vague()));
    assert_eq!(got.destined, Some(MailboxName::inbox()));
    assert!(got.may_keep_reject && got.slows_connection());
    let sent = vec![(address("carol@one.example"), 1)];
    let known = FakeHistory { sent, ..FakeHistory::default() };
    // Junk by its content, by someone we wrote to.
    let got = verdict(new, recipient(), &known, 1.0);
    check(&got, 250, Reason::MsgToFull);
    assert!(!got.slows_connection() && got.delay.is_zero());
}

#[test]
fn step_9_first_messages_go_to_the_introbox() {
    let intro = || Recipient { introbox: Some(mailbox("Introbox")), ..recipient() };
    let place = |verdict: Verdict| (verdict.mailbox.to_string(), verdict.destined);
    let inbox = || Some(MailboxName::inbox());
    let new = || proven("carol@one.example");
    let got = verdict(new(), intro(), &nobody(), 0.0);
    assert_eq!(place(got), ("Introbox".to_owned(), inbox()));
    // By the domain's good name, too.
    let of = |author| FakeHistory { old: vec![old(proven(author), false, 1)], ..nobody() };
    let got = verdict(new(), intro(), &of("dave@one.example"), 0.0);
    assert_eq!((got.reason, place(got)), (Reason::MsgFromDomain, ("Introbox".to_owned(), inbox())));
    // Known senders, and what goes elsewhere, does not.
    let got = verdict(new(), intro(), &of("carol@one.example"), 0.0);
    assert_eq!(place(got), ("Inbox".to_owned(), None));
    let sent = FakeHistory { sent: vec![(address("carol@one.example"), 1)], ..nobody() };
    assert_eq!(place(verdict(new(), intro(), &sent, 0.0)), ("Inbox".to_owned(), None));
    let mut ruled = intro();
    ruled.rulesets.push(rule_for("carol"));
    assert_eq!(place(verdict(new(), ruled, &nobody(), 0.0)), ("Lists".to_owned(), None));
    // A refused one remembers the Inbox.
    let got = verdict(new(), intro(), &nobody(), 1.0);
    assert_eq!((code(&got), got.destined), (451, inbox()));
}

/// RFC 7208 §8.4, §8.5: what to do about a fail is up to us.
#[test]
fn step_12_strangers_with_a_failing_spf_are_refused() {
    for validation in Validation::ALL {
        let mut new = message("carol@one.example");
        new.mail_from_validation = validation;
        let fails = matches!(validation, Validation::Fail | Validation::SoftFail);
        let (want, reason) =
            if fails { (451, Reason::SpfPolicy) } else { (250, Reason::NoBadSignals) };
        check(&verdict(new.clone(), recipient(), &nobody(), 0.0), want, reason);
        // Someone known a little is no stranger.
        let known = FakeHistory { old: vec![old(new.clone(), false, 1)], ..nobody() };
        check(&verdict(new, recipient(), &known, 0.0), 250, Reason::NoBadSignals);
    }
}

#[test]
fn step_13_nameless_hosts_with_a_bad_record_are_refused() {
    let from = |has_iprev| {
        let mut message = message("carol@one.example");
        message.has_iprev = has_iprev;
        message
    };
    // One message of junk from the host: a mild sign.
    let once = FakeHistory { old: vec![old(message("x@two.example"), true, 1)], ..nobody() };
    check(&verdict(from(true), recipient(), &once, 0.0), 250, Reason::NoBadSignals);
    check(&verdict(from(false), recipient(), &once, 0.0), 451, Reason::Iprev);
    check(&verdict(from(false), recipient(), &nobody(), 0.0), 250, Reason::NoBadSignals);
    // A sign against the author is not one of a stranger.
    let author = FakeHistory { old: vec![old(from(true), true, 1)], ..nobody() };
    check(&verdict(from(false), recipient(), &author, 0.0), 250, Reason::NoBadSignals);
}

fn key() -> PassKey {
    PassKey::from_stored("0123456789abcdef").unwrap()
}

fn with_pass() -> Recipient {
    let period = Duration::from_secs(12 * 3600);
    Recipient { pass: Some(PassSettings { period, key: Some(key()) }), ..recipient() }
}

#[test]
fn step_14_a_pass_in_the_subject_opens() {
    let mut new = message("carol@one.example");
    new.subject = format!("hello {}", key().make(&address("carol@one.example"), NOW));
    check(&verdict(new.clone(), with_pass(), &nobody(), 1.0), 250, Reason::SubjectPass);
    // Without passes, for another author, after their time, or without the key.
    check(&verdict(new.clone(), recipient(), &nobody(), 1.0), 451, Reason::JunkContent);
    let mut other = message("dave@one.example");
    other.subject = new.subject.clone();
    check(&verdict(other, with_pass(), &nobody(), 1.0), 451, Reason::JunkContent);
    let mut old = new.clone();
    let made = NOW.plus_secs(-13 * 3600);
    old.subject = key().make(&address("carol@one.example"), made);
    check(&verdict(old, with_pass(), &nobody(), 1.0), 451, Reason::JunkContent);
    let mut off = with_pass();
    off.pass.as_mut().unwrap().period = Duration::ZERO;
    check(&verdict(new.clone(), off, &nobody(), 1.0), 451, Reason::JunkContent);
    let mut keyless = with_pass();
    keyless.pass.as_mut().unwrap().key = None;
    check(&verdict(new.clone(), keyless.clone(), &nobody(), 1.0), 451, Reason::SubjectPassError);
    // A message without a code needs no key.
    let plain = message("carol@one.example");
    check(&verdict(plain, keyless, &nobody(), 0.0), 250, Reason::NoBadSignals);
    // What history refuses stays refused.
    let mut proven = proven("carol@one.example");
    proven.subject = new.subject;
    let junk = junk_of(&proven);
    check(&verdict(proven, with_pass(), &junk, 0.0), 451, Reason::MsgFromFull);
}

#[test]
fn step_15_content_is_measured_by_the_threshold() {
    let new = || message("carol@one.example");
    let ok = Reason::NoBadSignals;
    check(&verdict(new(), recipient(), &nobody(), 0.95), 250, ok);
    check(&verdict(new(), recipient(), &nobody(), 0.951), 451, Reason::JunkContent);
    let without = Recipient { junk_threshold: None, ..recipient() };
    check(&verdict(new(), without, &nobody(), 1.0), 250, ok);
    // Stricter: a host without name, no TLS, or not addressed to us.
    let mut changes: Vec<(Message, Reason)> = Vec::new();
    let mut nameless = new();
    nameless.has_iprev = false;
    changes.push((nameless, Reason::JunkContentStrict));
    let mut plain = new();
    plain.is_tls = false;
    changes.push((plain, Reason::JunkContentStrict));
    let mut unaddressed = new();
    unaddressed.to_and_cc = vec![address("you@local.example"), address("me@other.example")];
    changes.push((unaddressed, Reason::JunkContentStrict));
    for (message, reason) in changes {
        check(&verdict(message.clone(), recipient(), &nobody(), 0.25), 250, ok);
        check(&verdict(message.clone(), recipient(), &nobody(), 0.251), 451, reason);
        // An account with a lower threshold keeps it.
        let low = Recipient { junk_threshold: Some(0.2), ..recipient() };
        check(&verdict(message, low, &nobody(), 0.24), 451, Reason::JunkContent);
    }
    let mut nobody_named = new();
    nobody_named.to_and_cc.clear();
    let empty = Recipient { rcpt_to: address("\"\"@local.example"), ..recipient() };
    check(&verdict(nobody_named, empty, &nobody(), 0.9), 250, ok);
    // Of someone known a little, the host needs no name.
    let mut known = new();
    known.has_iprev = false;
    let history = FakeHistory { old: vec![old(new(), false, 1)], ..nobody() };
    check(&verdict(known, recipient(), &history, 0.9), 250, ok);
}

#[test]
fn step_15_filters_that_know_little_are_believed_of_suspicious_hosts_only() {
    let ask = |has_iprev| {
        let mut message = message("carol@one.example");
        message.has_iprev = has_iprev;
        let mut content = FakeContent::of(1.0);
        content.score.as_mut().unwrap().is_significant = false;
        finish(decide(facts(message, recipient()), &nobody(), &mut content), None)
    };
    check(&ask(true), 250, Reason::NoBadSignals);
    check(&ask(false), 451, Reason::JunkContentStrict);
}

#[test]
fn step_15_chance_moves_the_threshold() {
    let ask = |chance, junk| {
        let mut facts = facts(message("carol@one.example"), recipient());
        Arc::make_mut(&mut facts.recipient).junk_threshold = Some(0.5);
        facts.chance = chance;
        code(&finish(decide(facts, &nobody(), &mut FakeContent::of(junk)), None))
    };
    assert_eq!((ask(0, 0.45), ask(0, 0.451)), (250, 451));
    assert_eq!((ask(1 << 31, 0.5), ask(1 << 31, 0.501)), (250, 451));
    assert_eq!((ask(u32::MAX, 0.549), ask(u32::MAX, 0.55)), (250, 451));
}

#[test]
fn step_15_a_filter_that_fails_refuses_for_now() {
    let ask = |content: &mut FakeContent| {
        finish(decide(facts(message("carol@one.example"), recipient()), &nobody(), content), None)
    };
    let cases = [
        (ContentError::Filter, Reason::JunkFilterError),
        (ContentError::Classify, Reason::JunkClassifyError),
    ];
    for (error, reason) in cases {
        let mut content = FakeContent { error: Some(error), ..FakeContent::default() };
        check(&ask(&mut content), 451, reason);
    }
    for probability in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        check(&ask(&mut FakeContent::of(probability)), 451, Reason::JunkClassifyError);
    }
}

fn listing() -> Listing {
    Listing { zone: "bl.example".to_owned(), text: "seen sending junk".to_owned() }
}

#[test]
fn step_16_block_lists_are_asked_last_and_only_if_needed() {
    let ask = |message: Message, recipient: Recipient, junk| {
        decide(facts(message, recipient), &nobody(), &mut FakeContent::of(junk))
    };
    let new = || message("carol@one.example");
    let Step::NeedsBlocklists(pending) = ask(new(), recipient(), 0.0) else {
        unreachable!("nothing else is left")
    };
    let got = pending.finish(Some(&listing()));
    check(&got, 451, Reason::DnsBlocklisted);
    assert_eq!(got.refusal, Some(Refusal::vague()));
    let line = "192.0.2.1 is on the list bl.example: seen sending junk";
    assert!(got.explanation.iter().any(|one| one == line), "{:?}", got.explanation);
    // Decided already, or without lists.
    assert!(matches!(ask(new(), recipient(), 1.0), Step::Done(_)));
    let without = Recipient { has_blocklists: false, ..recipient() };
    assert!(matches!(ask(new(), without, 0.0), Step::Done(_)));
    assert!(matches!(ask(forged(), recipient(), 0.0), Step::Done(_)));
}

#[test]
fn step_17_first_time_senders_wait() {
    let wait = |message, recipient| verdict(message, recipient, &nobody(), 0.0).delay;
    let new = || message("carol@one.example");
    assert_eq!(wait(new(), recipient()), Duration::from_secs(15));
    let hasty = Recipient { first_time_delay: Duration::ZERO, ..recipient() };
    assert_eq!(wait(new(), hasty), Duration::ZERO);
}

#[test]
fn step_18_proven_strangers_get_a_pass() {
    let stranger = || {
        let mut message = proven("carol@one.example");
        message.dmarc = Dmarc { status: DmarcStatus::Pass, has_record: true, ..Dmarc::default() };
        message
    };
    let ask = |message: Message, recipient: Recipient, junk, listed: Option<&Listing>| {
        let step = decide(facts(message, recipient), &nobody(), &mut FakeContent::of(junk));
        finish(step, listed)
    };
    let got = ask(stranger(), with_pass(), 0.0, Some(&listing()));
    check(&got, 550, Reason::GiveSubjectPass);
    let refusal = got.refusal.unwrap();
    assert_eq!(refusal.enhanced, (7, 1));
    // With the code it gets through.
    let code = refusal.text.rsplit(' ').next().unwrap();
    let mut again = stranger();
    again.subject = format!("hello {code}");
    check(&ask(again, with_pass(), 0.0, Some(&listing())), 250, Reason::SubjectPass);
    // Between the strict threshold and the account's.
    let mut plain = stranger();
    plain.is_tls = false;
    check(&ask(plain.clone(), with_pass(), 0.7, None), 550, Reason::GiveSubjectPass);
    check(&ask(plain, with_pass(), 0.76, None), 451, Reason::JunkContentStrict);
    check(&ask(stranger(), with_pass(), 0.99, None), 451, Reason::JunkContent);
    // Unproven, or without passes.
    let listed = Reason::DnsBlocklisted;
    check(&ask(message("carol@one.example"), with_pass(), 0.0, Some(&listing())), 451, listed);
    check(&ask(stranger(), recipient(), 0.0, Some(&listing())), 451, listed);
    let mut keyless = with_pass();
    keyless.pass.as_mut().unwrap().key = None;
    check(&ask(stranger(), keyless, 0.0, Some(&listing())), 451, listed);
}

#[test]
fn rules_can_take_what_would_be_refused() {
    let catch = || Ruleset { accept_rejects_to: Some(mailbox("Caught")), ..rule_for("") };
    let new = proven("carol@one.example");
    let mut in_lists = junk_of(&new);
    in_lists.old.iter_mut().for_each(|old| old.mailbox = "Lists");
    for (message, history, junk, reason) in [
        (forged(), nobody(), 0.0, Reason::DmarcPolicy),
        (new.clone(), in_lists, 0.0, Reason::MsgFromFull),
        (new.clone(), nobody(), 1.0, Reason::JunkContent),
    ] {
        let got = verdict(message, with_rule(catch()), &history, junk);
        check(&got, 250, reason);
        assert_eq!(
            (got.mailbox.as_str(), got.destined.clone()),
            ("Caught", Some(mailbox("Lists")))
        );
        assert!(got.marks.is_seen && got.marks.is_reject && got.slows_connection());
        assert!(!got.may_keep_reject, "it is kept already");
    }
    // What is wanted is not touched by it.
    let got = verdict(new, with_rule(catch()), &nobody(), 0.0);
    assert!(got.mailbox == mailbox("Lists") && !got.marks.is_seen && !got.marks.is_reject);
    // A flood is turned away before any rule is looked at.
    let traffic = Traffic { messages: 500, bytes: 0 };
    let network = Network::of([192, 0, 2, 1].into(), NetworkClass::Host);
    let flood = FakeHistory { traffic: vec![(network, 1, traffic)], ..nobody() };
    let got = verdict(message("carol@one.example"), with_rule(catch()), &flood, 0.0);
    check(&got, 452, Reason::HighRate);
}

#[test]
fn the_field_has_token_text_and_lines() {
    let new = proven("carol@one.example");
    let got = verdict(new.clone(), recipient(), &junk_of(&new), 0.0);
    assert_eq!(
        got.reason_field(false),
        "X-Mox-Reason: msgfromfull; You have judged earlier mail of this sender.;\r\n\
         \t2 of 2 earlier messages of sender carol@one.example in Inbox were junk;\r\n"
    );
    let got = verdict(message("carol@one.example"), recipient(), &nobody(), 0.5);
    assert_eq!(
        got.reason_field(false),
        "X-Mox-Reason: no-bad-signals; Nothing speaks against the message.;\r\n\
         \tno earlier message in Inbox tells anything about this one;\r\n\
         \tcontent: probability of junk 0.50, threshold 0.95;\r\n\
         \twords of wanted mail: \"minutes\" 0.010;\r\n\
         \twords of junk: \"pills\" 0.990;\r\n"
    );
}

/// Facts of every kind, mostly nonsense.
fn any_facts() -> impl Strategy<Value = (Facts, FakeHistory, f64, bool)> {
    let flags = prop::collection::vec(any::<bool>(), 16);
    let levels = prop::collection::vec(0..Validation::ALL.len(), 3);
    let history = prop::collection::vec((0..4_usize, any::<bool>(), 0..2_000_i64), 0..30);
    let numbers = (any::<i64>(), any::<u32>(), any::<u64>(), any::<u32>());
    let floats = (prop::num::f64::ANY, prop::num::f64::ANY);
    (flags, levels, history, numbers, floats, "\\PC{0,60}").prop_map(
        |(flags, levels, history, (now, chance, size_bytes, ip), (threshold, junk), text)| {
            let authors = ["a@one.example", "b@one.example", "c@m.one.example", "d@two.example"];
            let level = |at: usize| Validation::ALL[levels[at]];
            let mut new = message(authors[usize::try_from(ip % 4).unwrap()]);
            new.remote_ip = std::net::Ipv4Addr::from_bits(ip).into();
            new.author.as_mut().unwrap().validation = level(0);
            new.mail_from.as_mut().unwrap().validation = level(1);
            new.mail_from_validation = level(1);
            new.ehlo.as_mut().unwrap().validation = level(2);
            (new.is_tls, new.has_iprev, new.is_smtputf8) = (flags[0], flags[1], flags[2]);
            (new.size_bytes, new.subject) = (size_bytes, format!("(pass:{text}"));
            new.mail_from_text.clone_from(&text);
            new.fields = flags[3].then(|| vec![("Subject".to_owned(), text.clone())]);
            new.signatures = if flags[4] { vec![signature("one.example")] } else { Vec::new() };
            new.dmarc = Dmarc {
                status: if flags[5] { DmarcStatus::Pass } else { DmarcStatus::Fail },
                wants_refusal: flags[6],
                is_sampled: flags[7],
                has_record: flags[8],
            };
            if flags[9] {
                new.author = None;
            }
            let mut to = if flags[10] { with_pass() } else { recipient() };
            to.junk_threshold = flags[11].then_some(threshold);
            to.introbox = flags[12].then(|| mailbox("Introbox"));
            to.reports = ReportsTo { dmarc: flags[13], tls: flags[14] };
            let old = history.into_iter().map(|(who, is_junk, days)| {
                let mut old = old(proven(authors[who]), is_junk, days);
                old.message.remote_ip = [192, 0, 2, 1].into();
                old
            });
            let fake = FakeHistory { old: old.collect(), ..FakeHistory::default() };
            let mut facts = facts(new, to);
            (facts.now, facts.chance) = (UnixSeconds(now), chance);
            (facts, fake, junk, flags[15])
        },
    )
}

proptest! {
    /// Whatever comes in, there is a verdict, and it holds together.
    #[test]
    fn every_verdict_holds_together((facts, history, junk, is_listed) in any_facts()) {
        let listing = listing();
        let step = decide(facts.clone(), &history, &mut FakeContent::of(junk));
        let got = finish(step, is_listed.then_some(&listing));
        if let Some(refusal) = &got.refusal {
            prop_assert!((400..600).contains(&refusal.code));
            prop_assert!(refusal.text.is_ascii() && !refusal.text.contains(['\r', '\n']));
            prop_assert!(got.destined.is_some() && got.delay.is_zero());
        }
        // Senders learn nothing about the owner of the account.
        let temporary = code(&got) == 451 && got.reason != Reason::MessageAuthRequired;
        prop_assert!(!temporary || got.refusal == Some(Refusal::vague()));
        prop_assert!(got.destined.as_ref() != Some(&got.mailbox) || !got.is_accepted());
        prop_assert!(*history.questions.borrow() <= 46);
        let field = got.reason_field(false);
        prop_assert!(field.is_ascii() && field.ends_with("\r\n"));
        for line in field.split_terminator("\r\n").skip(1) {
            prop_assert!(line.starts_with('\t') && line.len() <= 998);
            prop_assert!(!line.contains(['\r', '\n', '\0']));
        }
    }

    /// A refusal by policy stands, however good the content looks.
    #[test]
    fn dmarc_wins_over_content((facts, history, _, _) in any_facts()) {
        let mut facts = facts;
        let message = Arc::make_mut(&mut facts.message);
        message.dmarc = forged().dmarc;
        message.size_bytes = 1;
        let mut content = FakeContent::of(0.0);
        let got = finish(decide(facts, &history, &mut content), None);
        check(&got, 550, Reason::DmarcPolicy);
        prop_assert_eq!((content.scores_asked, content.reports_asked), (0, 0));
    }

    /// A rule for a mailing list accepts nothing that is not proven to come from it.
    #[test]
    fn lists_need_proof((facts, history, junk, _) in any_facts()) {
        let mut facts = facts;
        let list = domain("list.example");
        let rule = Ruleset { list_allow_domain: Some(list), ..rule_for("") };
        Arc::make_mut(&mut facts.recipient).rulesets = vec![rule];
        let got = finish(decide(facts, &history, &mut FakeContent::of(junk)), None);
        prop_assert!(got.reason != Reason::ListAllow && !got.marks.is_mailing_list);
    }
}

#[test]
fn words_that_cannot_be_shown_are_left_out() {
    let long = "w".repeat(1_000);
    let mut content = FakeContent {
        score: Some(Score {
            probability: 0.5,
            is_significant: false,
            ham_words: Vec::new(),
            spam_words: vec![("\u{e9}t\u{e9}".to_owned(), 0.9), (long, 0.8)],
        }),
        ..FakeContent::default()
    };
    let got =
        finish(decide(facts(message("c@one.example"), recipient()), &nobody(), &mut content), None);
    let lines = &got.explanation;
    assert!(lines[1].ends_with("threshold 0.95 (few messages learned yet)"), "{lines:?}");
    let shown = "w".repeat(40);
    let want = format!("words of junk: (word beyond ASCII) 0.900, \"{shown}\" 0.800");
    assert_eq!(lines[2], want);
}
