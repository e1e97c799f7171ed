use super::*;
use crate::decide::{Step, decide};
use crate::facts::{Dmarc, DmarcStatus, Message, Recipient, ReportsTo};
use crate::fixture::{
    FakeContent, FakeHistory, address, facts, mailbox, message, old, proven, recipient, ruleset,
};
use regex::Regex;

/// A message that DMARC has refused.
fn forged() -> Message {
    let mut message = message("carol@mail.one.example");
    message.dmarc = Dmarc {
        status: DmarcStatus::Fail,
        wants_refusal: true,
        is_sampled: true,
        has_record: true,
    };
    message
}

/// `None`, or whether it is refused and whether it is optional.
#[track_caller]
fn check(
    message: Message,
    recipient: Recipient,
    history: &FakeHistory,
    want: Option<(bool, bool)>,
) {
    let facts = facts(message, recipient);
    let verdict = match decide(facts.clone(), history, &mut FakeContent::of(0.5)) {
        Step::Done(verdict) => *verdict,
        Step::NeedsBlocklists(pending) => pending.finish(None),
    };
    let got = evaluation(&verdict, &facts, history).unwrap();
    let got = got.map(|evaluation| (evaluation.is_refused, evaluation.is_optional));
    assert_eq!(got, want, "{}", verdict.reason);
}

/// RFC 7489 §7.2.
#[test]
fn what_was_taken_or_refused_by_policy_is_reported() {
    let nobody = FakeHistory::default();
    check(proven("carol@one.example"), recipient(), &nobody, Some((false, false)));
    check(forged(), recipient(), &nobody, Some((true, true)));
    // Refused for another reason.
    let new = proven("carol@one.example");
    let junk = FakeHistory { old: vec![old(new.clone(), true, 1)], ..FakeHistory::default() };
    check(new.clone(), recipient(), &junk, None);
    // Taken as a reject.
    let mut to_mailbox = recipient();
    let mut rule = ruleset("Inbox");
    rule.msg_from = Regex::new("carol").ok();
    rule.accept_rejects_to = Some(mailbox("Caught"));
    to_mailbox.rulesets.push(rule);
    check(new, to_mailbox.clone(), &junk, None);
    check(forged(), to_mailbox, &nobody, Some((true, true)));
    // To an address for reports.
    let mut reports = recipient();
    reports.reports = ReportsTo { dmarc: false, tls: true };
    check(proven("carol@one.example"), reports, &nobody, Some((false, true)));
}

#[test]
fn forgeries_of_those_we_know_are_reported_in_any_case() {
    let sent =
        FakeHistory { sent: vec![(address("dave@one.example"), 2_000)], ..FakeHistory::default() };
    check(forged(), recipient(), &sent, Some((true, false)));
    for author in ["dave@www.one.example", "carol@mail.one.example"] {
        for message in [proven(author), message(author)] {
            let with = |is_junk| FakeHistory {
                old: vec![old(message.clone(), true, 1), old(message.clone(), is_junk, 2_000)],
                ..FakeHistory::default()
            };
            check(forged(), recipient(), &with(false), Some((true, false)));
            check(forged(), recipient(), &with(true), Some((true, true)));
        }
    }
    let mut nobody = forged();
    nobody.author = None;
    check(nobody, recipient(), &sent, Some((true, true)));
}
