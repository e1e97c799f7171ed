//! The steps of a decision. Each looks at one thing, and ends the decision or leaves it open.

use crate::content::{self, Content, ContentError};
use crate::decide::{Case, Ending};
use crate::facts::DmarcStatus;
use crate::history::{History, HistoryError};
use crate::network::{Network, rate_limits};
use crate::origin::Origin;
use crate::reason::Reason;
use crate::reputation::{Method, Reputation};
use crate::ruleset::first_match;
use crate::subjectpass::has_code;
use crate::verdict::{DmarcOverride, Refusal};
use mox_base::Validation;

impl Case {
    /// Limits on what one network may send to the account.
    pub(crate) fn rates(&mut self, history: &dyn History) -> Option<Ending> {
        for network in Network::all_of(self.facts.message.remote_ip) {
            for limit in rate_limits(network.class) {
                let since = self.facts.now.plus_secs(-limit.window_secs);
                let traffic = match history.traffic(network, since) {
                    Ok(traffic) => traffic,
                    Err(HistoryError) => return Some(self.no_history()),
                };
                if limit.is_exceeded(traffic, self.facts.message.size_bytes) {
                    self.lines.push(format!(
                        "{} messages with {} bytes came from network {network} in {} seconds",
                        traffic.messages, traffic.bytes, limit.window_secs
                    ));
                    let text = "too much mail from your network, try again later";
                    return Some(refuse(Reason::HighRate, Refusal::new(452, (2, 2), text)));
                }
            }
        }
        None
    }

    pub(crate) fn no_history(&mut self) -> Ending {
        self.lines.push("the history of the account could not be read".to_owned());
        refuse(Reason::ReputationError, Refusal::vague())
    }

    /// The first rule that matches, and its mailbox.
    pub(crate) fn rules(&mut self) {
        let (recipient, message) = (&self.facts.recipient, &self.facts.message);
        let Some(found) = first_match(&recipient.rulesets, message) else { return };
        self.ruleset = recipient.rulesets.iter().position(|ruleset| std::ptr::eq(ruleset, found));
        self.target = found.mailbox.clone();
        self.lines.push(format!("a rule of the destination matches: mailbox {}", self.target));
    }

    /// Proven mail of a mailing list that a rule names. Its domain must be proven exactly: a list's
    /// subdomains may belong to its users.
    pub(crate) fn mailing_list(&mut self) -> Option<Ending> {
        let list = self.rule()?.list_allow_domain.clone()?;
        let message = &self.facts.message;
        let mail_from = message.mail_from.as_ref().filter(|from| from.validation.is_validated());
        let is_sent = mail_from.is_some_and(|from| from.name.domain == list);
        let is_signed = message.signatures.iter().any(|signature| signature.domain == list);
        if !is_sent && !is_signed {
            self.lines
                .push(format!("the rule's mailing list {list} did not send this, or not provably"));
            return None;
        }
        self.marks.is_mailing_list = true;
        self.overrides.push(DmarcOverride::MailingList);
        self.lines.push(format!(
            "proven by {}: mailing list {list}",
            if is_sent { "SPF" } else { "DKIM" }
        ));
        Some(Ending::Accept(Reason::ListAllow))
    }

    /// What a trusted forwarder passed on is not judged by the forwarder.
    pub(crate) fn forward(&mut self) {
        let Some(rule) = self.rule().filter(|rule| rule.is_forward) else { return };
        self.origin = Origin::new(&self.facts.message, Some(rule));
        self.marks.is_forward = true;
        self.overrides.push(DmarcOverride::Forwarded);
        self.lines
            .push("passed on by a forwarder: its own domain and address do not count".to_owned());
    }

    /// RFC 7489 §6.6.2: the policy of the author's domain.
    ///
    /// Deviation: RFC 7489 §6.3 lets messages under `quarantine` be treated as suspicious; we refuse
    /// them as under `reject`, because a sender then hears of it, and a mailbox that nobody reads
    /// tells nobody anything.
    pub(crate) fn dmarc(&mut self) -> Option<Ending> {
        let dmarc = self.facts.message.dmarc;
        if self.marks.is_forward {
            return None;
        }
        if dmarc.is_sampled_out() {
            self.overrides.push(DmarcOverride::SampledOut);
        }
        if !dmarc.refuses() {
            return None;
        }
        let author = self.facts.message.author.as_ref();
        let domain =
            author.map_or_else(|| "the author".to_owned(), |a| a.address.domain.to_string());
        self.lines
            .push(format!("neither SPF nor DKIM prove {domain}, whose policy refuses such mail"));
        // RFC 7372 §3.3.
        let text = "rejecting per dmarc policy of the domain in From";
        Some(refuse(Reason::DmarcPolicy, Refusal::new(550, (7, 26), text)))
    }

    /// Destinations that take proven senders only.
    pub(crate) fn required_proof(&mut self) -> Option<Ending> {
        let text = self.facts.recipient.auth_required_text.as_ref()?;
        let message = &self.facts.message;
        if message.author.as_ref().is_some_and(|author| author.validation.is_validated()) {
            return None;
        }
        let refusal = if message.dmarc.status == DmarcStatus::TempError {
            Refusal::new(451, (7, 26), format!("transient verification error: {text}"))
        } else {
            Refusal::new(550, (7, 26), text.clone())
        };
        self.lines.push("neither SPF nor DKIM prove the author's domain".to_owned());
        Some(refuse(Reason::MessageAuthRequired, refusal))
    }

    /// First messages for the Inbox go to the Introbox, if there is one.
    pub(crate) fn introduce(&mut self) {
        let is_known = matches!(self.method, Method::MsgFromFull | Method::MsgToFull);
        let is_special = self.marks.is_forward || self.found.report.is_some();
        if !is_known && !is_special && self.target.is_inbox() {
            self.introbox = self.facts.recipient.introbox.clone();
        }
    }

    /// What earlier messages, SPF and the name of the host decide.
    pub(crate) fn by_reputation(&mut self, reputation: &Reputation) -> Option<Ending> {
        if reputation.is_conclusive {
            let reason = self.method.reason();
            return match reputation.is_junk {
                Some(false) => Some(Ending::Accept(reason)),
                Some(true) => Some(refuse(reason, Refusal::vague())),
                // No stage concludes that it does not know; if one did, the others go on.
                None => None,
            };
        }
        if self.found.report.is_some() {
            return Some(Ending::Accept(Reason::Reporting));
        }
        if !self.method.is_stranger() {
            return None;
        }
        let spf = self.origin.mail_from_validation;
        if matches!(spf, Validation::Fail | Validation::SoftFail) {
            let word = spf.as_str();
            self.lines
                .push(format!("an unknown sender, and SPF says {word} of the envelope sender"));
            return Some(refuse(Reason::SpfPolicy, Refusal::vague()));
        }
        if !self.facts.message.has_iprev && reputation.is_junk == Some(true) {
            let ip = self.ip();
            self.lines
                .push(format!("an unknown sender, and {ip} has no name that leads back to it"));
            return Some(refuse(Reason::Iprev, Refusal::vague()));
        }
        None
    }

    /// A pass in the subject.
    pub(crate) fn pass(&mut self) -> Option<Ending> {
        let pass = self.facts.recipient.pass.as_ref().filter(|pass| !pass.period.is_zero())?;
        let author = &self.facts.message.author.as_ref()?.address;
        let subject = &self.facts.message.subject;
        if !has_code(subject) {
            return None;
        }
        let Some(key) = &pass.key else {
            self.lines.push("the key for codes could not be read".to_owned());
            return Some(refuse(Reason::SubjectPassError, Refusal::vague()));
        };
        let is_good = key.verify(subject, author, self.facts.now, pass.period);
        let line = if is_good { "is good" } else { "is of someone else, or too old" };
        self.lines.push(format!("the code in the subject {line}"));
        is_good.then_some(Ending::Accept(Reason::SubjectPass))
    }

    /// What the junk filter says; if it lets the message pass, block lists are asked.
    pub(crate) fn content(&mut self, content: &mut dyn Content) -> Option<Ending> {
        let is_suspicious = self.method.is_stranger() && !self.facts.message.has_iprev;
        let judged = content::judge(&self.facts, content, is_suspicious, self.marks.is_forward);
        let result = match judged {
            Ok(result) => result,
            Err(error) => {
                self.lines.push(error.to_string());
                let reason = match error {
                    ContentError::Filter => Reason::JunkFilterError,
                    ContentError::Classify => Reason::JunkClassifyError,
                };
                return Some(refuse(reason, Refusal::vague()));
            }
        };
        self.lines.extend(result.lines);
        self.is_moderate = result.is_moderate;
        if !result.is_good {
            return Some(self.bad(result.reason));
        }
        (!self.facts.recipient.has_blocklists).then(|| self.good())
    }

    /// Nothing speaks against the message.
    pub(crate) fn good(&self) -> Ending {
        Ending::Accept(Reason::NoBadSignals)
    }

    /// The content or a block list speaks against it. A sender who may be honest gets a pass.
    pub(crate) fn bad(&mut self, reason: Reason) -> Ending {
        match self.new_pass() {
            Some(code) => {
                self.lines.push(format!("{}: a code was given to the sender", reason.text()));
                let text = format!(
                    "your message resembles junk; to get it delivered, send it again with this code \
                     in its subject: {code}"
                );
                refuse(Reason::GiveSubjectPass, Refusal::new(550, (7, 1), text))
            }
            None => refuse(reason, Refusal::vague()),
        }
    }

    /// A pass for an author who is proven, of whom nothing is known, and who may be honest.
    fn new_pass(&self) -> Option<String> {
        let pass = self.facts.recipient.pass.as_ref().filter(|pass| !pass.period.is_zero())?;
        let message = &self.facts.message;
        let may_pass = message.dmarc.status == DmarcStatus::Pass
            && self.method == Method::None
            && (self.is_listed || self.is_moderate);
        let author = message.author.as_ref().filter(|_| may_pass)?;
        Some(pass.key.as_ref()?.make(&author.address, self.facts.now))
    }
}

fn refuse(reason: Reason, refusal: Refusal) -> Ending {
    Ending::Refuse(reason, refusal)
}
