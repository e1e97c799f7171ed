//! The procedure: from facts to a verdict, step by step, the first step that decides ends it.

use std::net::IpAddr;
use std::time::Duration;

use mox_base::MailboxName;

use crate::content::Content;
use crate::facts::Facts;
use crate::history::{History, HistoryError};
use crate::origin::Origin;
use crate::reason::Reason;
use crate::report;
use crate::reputation::{Method, reputation};
use crate::ruleset::Ruleset;
use crate::verdict::{DmarcOverride, Marks, Refusal, Verdict};

/// How far a decision got.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// It is made.
    Done(Box<Verdict>),
    /// Everything else speaks for the message: block lists have the last word.
    NeedsBlocklists(Pending),
}

/// A list on which the address that connected stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The list: its zone.
    pub zone: String,
    /// What the list says.
    pub text: String,
}

/// A decision that waits for block lists.
#[derive(Debug)]
pub struct Pending(Box<Case>);

impl Pending {
    /// Ends the decision: `listed` is the first list that has the address.
    #[must_use]
    pub fn finish(self, listed: Option<&Listing>) -> Verdict {
        let mut case = self.0;
        let ending = match listed {
            None => case.good(),
            Some(listing) => {
                let line =
                    format!("{} is on the list {}: {}", case.ip(), listing.zone, listing.text);
                case.lines.push(line);
                case.is_listed = true;
                case.bad(Reason::DnsBlocklisted)
            }
        };
        case.end(ending)
    }
}

/// Decides on a message for one recipient.
///
/// Pure but for what `history` and `content` do when they are asked, each at most once for the same
/// thing and only if the decision depends on it. At most 6 questions about rates and 40 about
/// reputation; the junk filter and reports at most once.
pub fn decide(facts: Facts, history: &dyn History, content: &mut dyn Content) -> Step {
    let mut case = Box::new(Case::new(facts));
    match case.run(history, content) {
        Some(ending) => Step::Done(Box::new(case.end(ending))),
        None => Step::NeedsBlocklists(Pending(case)),
    }
}

/// How a decision ends.
#[derive(Debug)]
pub(crate) enum Ending {
    Accept(Reason),
    Refuse(Reason, Refusal),
}

/// A decision in the making.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) facts: Facts,
    /// The rule that matched: its place in the list.
    pub(crate) ruleset: Option<usize>,
    /// Where the message goes by destination and rules.
    pub(crate) target: MailboxName,
    /// Whether it goes to the Introbox instead.
    pub(crate) introbox: Option<MailboxName>,
    pub(crate) origin: Origin,
    pub(crate) marks: Marks,
    pub(crate) overrides: Vec<DmarcOverride>,
    pub(crate) found: report::Found,
    /// What reputation rests on.
    pub(crate) method: Method,
    /// The content may be junk or not.
    pub(crate) is_moderate: bool,
    /// A block list has the address.
    pub(crate) is_listed: bool,
    pub(crate) lines: Vec<String>,
}

impl Case {
    fn new(facts: Facts) -> Self {
        Self {
            ruleset: None,
            target: facts.recipient.mailbox.clone(),
            introbox: None,
            origin: Origin::new(&facts.message, None),
            marks: Marks::default(),
            overrides: Vec::new(),
            found: report::Found::default(),
            method: Method::None,
            is_moderate: false,
            is_listed: false,
            lines: Vec::new(),
            facts,
        }
    }

    /// The rule that matched.
    pub(crate) fn rule(&self) -> Option<&Ruleset> {
        self.facts.recipient.rulesets.get(self.ruleset?)
    }

    /// Who connected.
    pub(crate) fn ip(&self) -> IpAddr {
        self.facts.message.remote_ip.to_canonical()
    }

    /// All steps but the block lists, which `None` asks for.
    fn run(&mut self, history: &dyn History, content: &mut dyn Content) -> Option<Ending> {
        if let Some(ending) = self.rates(history) {
            return Some(ending);
        }
        self.rules();
        if let Some(ending) = self.mailing_list() {
            return Some(ending);
        }
        self.forward();
        if let Some(ending) = self.dmarc() {
            return Some(ending);
        }
        self.found = report::find(&self.facts, content);
        if let Some(ending) = self.required_proof() {
            return Some(ending);
        }
        let reputation = match reputation(history, &self.target, &self.origin, self.facts.now) {
            Ok(reputation) => reputation,
            Err(HistoryError) => return Some(self.no_history()),
        };
        self.method = reputation.method;
        self.lines.push(reputation.line.clone());
        self.introduce();
        if let Some(ending) = self.by_reputation(&reputation) {
            return Some(ending);
        }
        if let Some(ending) = self.pass() {
            return Some(ending);
        }
        self.content(content)
    }

    /// The verdict.
    fn end(self, ending: Ending) -> Verdict {
        let accept_rejects_to = self.rule().and_then(|rule| rule.accept_rejects_to.clone());
        let normal = self.introbox.clone().unwrap_or_else(|| self.target.clone());
        let (reason, refusal) = match ending {
            Ending::Accept(reason) => (reason, None),
            Ending::Refuse(reason, refusal) => (reason, Some(refusal)),
        };
        let (mailbox, refusal, is_reject) = match (refusal, accept_rejects_to) {
            (Some(_), Some(mailbox)) => (mailbox, None, true),
            (refusal, _) => (normal, refusal, false),
        };
        let is_put_aside = refusal.is_some() || mailbox != self.target;
        let is_first_time = reason == Reason::NoBadSignals
            && !self.marks.is_forward
            && !self.marks.is_mailing_list
            && self.found.report.is_none();
        // Reports are read by programs: nobody needs to be told of them.
        let is_report = refusal.is_none() && self.found.report.is_some();
        let marks = Marks { is_seen: is_reject || is_report, is_reject, ..self.marks };
        Verdict {
            may_keep_reject: refusal.is_some() && reason != Reason::HighRate,
            refusal,
            mailbox,
            destined: is_put_aside.then_some(self.target),
            marks,
            reason,
            explanation: self.lines,
            dmarc_overrides: self.overrides,
            report: self.found.report,
            fields: self.found.fields,
            delay: if is_first_time {
                self.facts.recipient.first_time_delay
            } else {
                Duration::ZERO
            },
            origin: self.origin,
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
