//! The whole decision on each message, as a server makes it, and a user who acts on what comes
//! through.
//!
//! No DNS is asked. Who sent a message is taken from the Received field of the server that took it:
//! its address, and its name, which is believed. An author is proven if that name is in their domain.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mox_base::{Address, Domain, Flags, MailboxName, NumSet, UnixSeconds, Validation};
use mox_dns::organizational_domain;
use mox_junk::{Outcome, Words};
use mox_mime::{fields, from_address};
use mox_policy::{
    Author, Content, ContentError, Dmarc, DmarcReport, Facts, Message, Proven, Recipient,
    ReportsTo, Score, Step, TlsReport, Verdict, decide,
};
use mox_store::{
    Account, Decision, Destination, Envelope, Incoming, JunkFilter, JunkFlags, NewMessage, Policy,
    Reader, Store,
};
use mox_testkit::{ManualClock, TestRng};
use regex::Regex;

use super::Setting;
use super::source::Item;

const HOUR_SECS: i64 = 3_600;

/// How often maintenance is asked for while something is to be learnt.
const INTERVAL: Duration = Duration::from_millis(1);

/// What came of a replay.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    /// In the first 24 hours, when little is known.
    pub(super) first_day: Outcome,
    pub(super) later: Outcome,
    /// By reason: ham and spam accepted, ham and spam refused.
    reasons: BTreeMap<&'static str, [u64; 4]>,
}

/// Decides on each message by what the account knows when it comes.
///
/// What is accepted is read `delay_hours` later: spam is moved to Junk, ham to the Archive. Ham that was
/// refused is found a day later and moved there too; spam that was refused is never looked at.
pub(super) fn run(
    items: &[Item],
    setting: &Setting,
    delay_hours: i64,
    dir: &Path,
) -> Result<Decisions> {
    let start = items.first().map_or(UnixSeconds(0), |item| item.date);
    let mut user = User::new(dir, setting, start)?;
    let rng = TestRng::new(1);
    let mut decisions = Decisions::default();
    let mut to_do: BTreeMap<(UnixSeconds, usize), Task<'_>> = BTreeMap::new();
    for (number, item) in items.iter().enumerate() {
        while let Some(entry) = to_do.first_entry()
            && entry.key().0 <= item.date
        {
            let ((time, _), task) = entry.remove_entry();
            user.act(time, task)?;
        }
        user.clock.set(item.date);
        user.learn()?;
        let facts = facts(item, setting, u32::try_from(rng.next_u64() >> 32)?)?;
        let verdict = user.decide(item, setting, &facts)?;
        decisions.count(item, &verdict, item.date.secs_since(start) < 24 * HOUR_SECS);
        let later = |hours: i64| (item.date.plus_secs(hours * HOUR_SECS), number);
        let incoming = Incoming::new(&verdict, Decision::new(&verdict, &facts, None));
        if verdict.is_accepted() {
            let uid = user.add(item, &MailboxName::inbox(), incoming)?;
            to_do.insert(later(delay_hours), Task::Read { uid, is_spam: item.is_spam });
        } else if !item.is_spam {
            to_do.insert(later(24), Task::Rescue { item, incoming: Box::new(incoming) });
        }
    }
    Ok(decisions)
}

/// What the user will do.
enum Task<'a> {
    /// Reads a message of the Inbox.
    Read { uid: u32, is_spam: bool },
    /// Finds a message that was refused and is wanted.
    Rescue { item: &'a Item, incoming: Box<Incoming> },
}

struct User {
    store: Store,
    account: Account,
    clock: Arc<ManualClock>,
    filter: JunkFilter,
    archive: MailboxName,
    junk: MailboxName,
    /// Whether anything was marked since it was last learnt.
    has_marked: bool,
}

impl User {
    fn new(dir: &Path, setting: &Setting, start: UnixSeconds) -> Result<Self> {
        let Setting { kinds, params, threshold } = *setting;
        let filter = JunkFilter { kinds, params, threshold };
        let clock = Arc::new(ManualClock::at(start));
        // As of a new account.
        let junk_flags = JunkFlags {
            enabled: true,
            junk: Some(Regex::new("^(junk|spam)")?),
            neutral: Some(Regex::new("^(inbox|introbox|rejects)")?),
            not_junk: None,
        };
        let initial_mailboxes = Policy::default_mailboxes();
        let junk_filter = Some(filter);
        let policy = Policy { junk_flags, junk_filter, initial_mailboxes, ..Policy::default() };
        let store = Store::new(dir, Arc::<ManualClock>::clone(&clock), Arc::new(policy));
        let account = store.account("replay")?;
        let archive = MailboxName::parse("Archive").context("name of a mailbox")?;
        let junk = MailboxName::parse("Junk").context("name of a mailbox")?;
        Ok(Self { store, account, clock, filter, archive, junk, has_marked: false })
    }

    fn decide(&self, item: &Item, setting: &Setting, facts: &Facts) -> Result<Verdict> {
        let reader = self.account.read()?;
        let mut content = Text { item, setting, reader: &reader, filter: &self.filter };
        Ok(match decide(facts.clone(), &reader, &mut content) {
            Step::Done(verdict) => *verdict,
            Step::NeedsBlocklists(pending) => pending.finish(None),
        })
    }

    /// Stores a message. Returns its UID.
    fn add(&self, item: &Item, mailbox: &MailboxName, incoming: Incoming) -> Result<u32> {
        let content = self.account.stage(Vec::new(), &mut Cursor::new(&item.message))?;
        let message = NewMessage {
            content,
            flags: Flags::NONE,
            keywords: Vec::new(),
            received: Some(item.date.into()),
            envelope: Some(Envelope { incoming: Some(incoming), ..Envelope::default() }),
        };
        let destination = Destination { mailbox: mailbox.clone(), create: true };
        let added = self.account.add(destination, vec![message]).wait()?;
        added.uids.first().map(|uid| uid.get()).context("no message was added")
    }

    fn act(&mut self, time: UnixSeconds, task: Task<'_>) -> Result<()> {
        self.clock.set(time);
        self.has_marked = true;
        match task {
            Task::Read { uid, is_spam } => {
                let inbox = self.account.read()?.mailbox(&MailboxName::inbox())?.id;
                let target = if is_spam { &self.junk } else { &self.archive };
                self.account.move_to(inbox, NumSet::range(uid, uid), target.clone()).wait()?;
            }
            Task::Rescue { item, incoming } => {
                self.add(item, &self.archive, *incoming)?;
            }
        }
        Ok(())
    }

    /// Waits until everything is learnt that was marked.
    fn learn(&mut self) -> Result<()> {
        while self.has_marked {
            self.has_marked = self.account.read()?.junk_progress()?.waiting > 0;
            if self.has_marked {
                self.store.tick();
                thread::sleep(INTERVAL);
            }
        }
        Ok(())
    }
}

/// A message as the decision reads it.
struct Text<'a> {
    item: &'a Item,
    setting: &'a Setting,
    reader: &'a Reader,
    filter: &'a JunkFilter,
}

impl Content for Text<'_> {
    fn score(&mut self) -> Result<Score, ContentError> {
        let words: Words = self.setting.words(self.item);
        let score = self.reader.classify(&words, &self.filter.params);
        let score = score.map_err(|_| ContentError::Filter)?;
        Ok(Score {
            probability: score.probability,
            is_significant: score.is_significant,
            ham_words: Vec::new(),
            spam_words: Vec::new(),
        })
    }

    fn dmarc_report(&mut self) -> Option<DmarcReport<'_>> {
        None
    }

    fn tls_report(&mut self) -> Option<TlsReport> {
        None
    }
}

fn facts(item: &Item, setting: &Setting, chance: u32) -> Result<Facts> {
    let (host, ip) = sender(&item.message);
    let address = from_address(header(&item.message)).ok();
    let is_proven = host.as_ref().zip(address.as_ref()).is_some_and(|(host, address)| {
        organizational_domain(host) == organizational_domain(&address.domain)
    });
    let (author_validation, validation) = match is_proven {
        true => (Validation::Strict, Validation::Pass),
        false => (Validation::None, Validation::None),
    };
    let author = address.clone().map(|address| {
        let organization = organizational_domain(&address.domain);
        Author { address, organization, validation: author_validation }
    });
    let message = Message {
        remote_ip: ip,
        is_tls: true,
        has_iprev: host.is_some(),
        ehlo: host.map(|name| Proven { name, validation }),
        mail_from_text: address.as_ref().map(ToString::to_string).unwrap_or_default(),
        mail_from: address.map(|name| Proven { name, validation }),
        mail_from_validation: validation,
        is_smtputf8: false,
        size_bytes: item.message.len() as u64,
        author,
        to_and_cc: vec![recipient()?],
        subject: String::new(),
        fields: None,
        signatures: Vec::new(),
        dmarc: Dmarc::default(),
    };
    let recipient = Recipient {
        rcpt_to: recipient()?,
        mailbox: MailboxName::inbox(),
        rulesets: Vec::new(),
        auth_required_text: None,
        introbox: None,
        pass: None,
        junk_threshold: Some(setting.threshold),
        reports: ReportsTo::default(),
        has_blocklists: false,
        first_time_delay: Duration::ZERO,
    };
    Ok(Facts { now: item.date, chance, message: Arc::new(message), recipient: Arc::new(recipient) })
}

fn recipient() -> Result<Address> {
    Address::parse("me@mox.example").context("address of the user")
}

fn header(message: &[u8]) -> &[u8] {
    let end = message.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    message.get(..end.map_or(message.len(), |end| end + 2)).unwrap_or_default()
}

/// Name and address of the host that the first Received field tells of; where there is none, an
/// address that belongs to nobody.
fn sender(message: &[u8]) -> (Option<Domain>, IpAddr) {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let Some(field) = fields(header(message)).find(|field| field.is("Received")) else {
        return (None, unknown);
    };
    let text = String::from_utf8_lossy(field.value);
    let name =
        text.trim_start().strip_prefix("from ").and_then(|rest| rest.split_whitespace().next());
    let literal = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let ip = literal.and_then(|(ip, _)| ip.trim_start_matches("IPv6:").parse().ok());
    (name.and_then(|name| Domain::parse(name).ok()), ip.unwrap_or(unknown))
}

impl Decisions {
    fn count(&mut self, item: &Item, verdict: &Verdict, is_first_day: bool) {
        let outcome = if is_first_day { &mut self.first_day } else { &mut self.later };
        let is_refused = !verdict.is_accepted();
        if item.is_spam {
            outcome.spam += 1;
            outcome.false_negatives += usize::from(!is_refused);
        } else {
            outcome.ham += 1;
            outcome.false_positives += usize::from(is_refused);
        }
        let counts = self.reasons.entry(verdict.reason.token()).or_default();
        let place = 2 * usize::from(is_refused) + usize::from(item.is_spam);
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
    }
}

impl fmt::Display for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "first day: {}", self.first_day)?;
        writeln!(f, "later: {}", self.later)?;
        let mut table = String::new();
        let heads = ["ham taken", "spam taken", "ham refused", "spam refused"];
        writeln!(table, "{:<20}  {}", "reason", heads.join("  "))?;
        for (reason, [ham, spam, ham_refused, spam_refused]) in &self.reasons {
            writeln!(
                table,
                "{reason:<20}  {ham:>9}  {spam:>10}  {ham_refused:>11}  {spam_refused:>12}"
            )?;
        }
        f.write_str(&table)
    }
}

#[cfg(test)]
mod tests {
    use mox_testkit::junk::Corpus;

    use super::*;

    #[track_caller]
    fn check(received: &str, host: Option<&str>, ip: &str) {
        let message =
            format!("{received}\r\nSubject: x\r\n\r\nReceived: from no.example [1.2.3.4]");
        let found = sender(message.as_bytes());
        assert_eq!(found.0.map(|host| host.to_string()).as_deref(), host, "{received}");
        assert_eq!(found.1.to_string(), ip, "{received}");
    }

    /// RFC 5321 §4.4.
    #[test]
    fn the_sender_is_read_from_the_first_received_field() {
        check(
            "Received: from a.example (x [192.0.2.1])\r\n by b; now",
            Some("a.example"),
            "192.0.2.1",
        );
        check("Received: from a.example ([IPv6:2001:db8::1])", Some("a.example"), "2001:db8::1");
        check("Received: from [192.0.2.1] by b", None, "192.0.2.1");
        check("Received: by b", None, "0.0.0.0");
        check("X: y", None, "0.0.0.0");
    }

    /// Those who are known are let in whatever they write; spammers change, and are known by their words.
    #[test]
    fn an_account_learns_whom_and_what_it_wants() {
        let corpus = Corpus::new(1);
        let items: Vec<_> = (0..320)
            .map(|number| corpus.sample(number))
            .map(|sample| Item {
                date: sample.date,
                is_spam: sample.is_spam,
                message: sample.message,
            })
            .collect();
        let (kinds, params) = (mox_junk::Kinds::default(), mox_junk::Params::default());
        let setting = Setting { kinds, params, threshold: 0.95 };
        let dir = tempfile::tempdir().unwrap();
        let decisions = run(&items, &setting, 6, dir.path()).unwrap();
        let Outcome { ham, false_positives, spam, false_negatives } = decisions.later;
        assert!(ham > 60 && spam > 40, "{decisions}");
        assert!(false_positives <= 1 && false_negatives < spam, "{decisions}");
        assert!(decisions.reasons.contains_key("msgfromfull"), "{decisions}");
        assert!(decisions.reasons.contains_key("junk-content"), "{decisions}");
    }
}
