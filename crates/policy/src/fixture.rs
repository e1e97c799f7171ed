//! Messages, recipients and histories for tests.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Address, Domain, Localpart, MailboxName, UnixSeconds, Validation};

use crate::content::{Content, ContentError, DmarcReport, Score, TlsReport};
use crate::facts::{Author, Dmarc, Facts, Message, Proven, Recipient, ReportsTo, Signature};
use crate::history::{Addressee, History, HistoryError, Identity, IsValidated, Past};
use crate::network::{Network, Traffic};
use crate::ruleset::Ruleset;

pub(crate) const NOW: UnixSeconds = UnixSeconds(1_795_000_000);
pub(crate) const DAY: i64 = 24 * 3600;

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

pub(crate) fn mailbox(name: &str) -> MailboxName {
    MailboxName::parse(name).unwrap()
}

/// The last two labels: enough for the names in tests.
pub(crate) fn organization(domain: &Domain) -> Domain {
    let labels: Vec<&str> = domain.ascii().rsplitn(3, '.').take(2).collect();
    Domain::parse(&labels.into_iter().rev().collect::<Vec<_>>().join(".")).unwrap()
}

/// A message of this author to `me@local.example`: proven by nothing, sent over TLS by a host with a name.
pub(crate) fn message(author: &str) -> Message {
    let author = address(author);
    Message {
        remote_ip: "192.0.2.1".parse().unwrap(),
        is_tls: true,
        has_iprev: true,
        ehlo: Some(Proven { name: domain("mx.sender.example"), validation: Validation::None }),
        mail_from_text: author.to_string(),
        mail_from: Some(Proven { name: author.clone(), validation: Validation::None }),
        mail_from_validation: Validation::None,
        is_smtputf8: false,
        author: Some(Author {
            organization: organization(&author.domain),
            address: author,
            validation: Validation::None,
        }),
        to_and_cc: vec![address("me@local.example")],
        subject: "hello".to_owned(),
        size_bytes: 5_000,
        fields: Some(Vec::new()),
        signatures: Vec::new(),
        dmarc: Dmarc::default(),
    }
}

/// As [`message`], with a signature of the author's domain.
pub(crate) fn proven(author: &str) -> Message {
    let mut message = message(author);
    let author = message.author.as_mut().unwrap();
    author.validation = Validation::Strict;
    message.signatures = vec![signature(author.address.domain.ascii())];
    message
}

pub(crate) fn signature(name: &str) -> Signature {
    let domain = domain(name);
    Signature {
        organization: organization(&domain),
        domain,
        covers_body: true,
        allows_tls_reports: true,
    }
}

pub(crate) fn ruleset(to: &str) -> Ruleset {
    Ruleset {
        mail_from: None,
        msg_from: None,
        verified_domain: None,
        headers: Vec::new(),
        is_forward: false,
        list_allow_domain: None,
        accept_rejects_to: None,
        mailbox: mailbox(to),
    }
}

/// A recipient without rules, with a junk filter, block lists and a delay.
pub(crate) fn recipient() -> Recipient {
    Recipient {
        rcpt_to: address("me@local.example"),
        mailbox: MailboxName::inbox(),
        rulesets: Vec::new(),
        auth_required_text: None,
        introbox: None,
        pass: None,
        junk_threshold: Some(0.95),
        reports: ReportsTo::default(),
        has_blocklists: true,
        first_time_delay: Duration::from_secs(15),
    }
}

/// `chance` in the middle: the threshold stays as configured.
pub(crate) fn facts(message: Message, recipient: Recipient) -> Facts {
    Facts { now: NOW, chance: 1 << 31, message: Arc::new(message), recipient: Arc::new(recipient) }
}

/// An earlier message in a [`FakeHistory`].
#[derive(Clone, Debug)]
pub(crate) struct Old {
    pub(crate) message: Message,
    pub(crate) is_junk: bool,
    pub(crate) days_ago: i64,
    pub(crate) mailbox: &'static str,
}

pub(crate) fn old(message: Message, is_junk: bool, days_ago: i64) -> Old {
    Old { message, is_junk, days_ago, mailbox: "Inbox" }
}

/// A history in memory, written from the wording of [`History`] and not from what it is asked.
#[derive(Debug, Default)]
pub(crate) struct FakeHistory {
    pub(crate) old: Vec<Old>,
    /// Whom the account wrote to, how many days ago.
    pub(crate) sent: Vec<(Address, i64)>,
    pub(crate) traffic: Vec<(Network, i64, Traffic)>,
    pub(crate) fails: bool,
    pub(crate) questions: RefCell<usize>,
}

fn is_of(message: &Message, identity: Identity<'_>) -> bool {
    let by_author = |is_validated: IsValidated, same: &dyn Fn(&Author) -> bool| {
        message.author.as_ref().is_some_and(|author| {
            same(author) && IsValidated::from(author.validation.is_validated()) == is_validated
        })
    };
    let mail_from = || message.mail_from.as_ref().filter(|from| from.validation.is_validated());
    match identity {
        Identity::FromAddress(address, validated) => {
            by_author(validated, &|author| author.address == *address)
        }
        Identity::FromDomain(domain, validated) => {
            by_author(validated, &|author| author.address.domain == *domain)
        }
        Identity::FromOrganization(domain, validated) => {
            by_author(validated, &|author| author.organization == *domain)
        }
        Identity::DkimDomain(domain) => {
            message.signatures.iter().any(|signature| signature.domain == *domain)
        }
        Identity::MailFrom(address) => mail_from().is_some_and(|from| from.name == *address),
        Identity::MailFromDomain(domain) => {
            mail_from().is_some_and(|from| from.name.domain == *domain)
        }
        Identity::Ehlo(domain) => message
            .ehlo
            .as_ref()
            .is_some_and(|ehlo| ehlo.validation.is_validated() && ehlo.name == *domain),
        Identity::Network(network) => Network::of(message.remote_ip, network.class) == network,
    }
}

impl FakeHistory {
    fn ask(&self) -> Result<(), HistoryError> {
        *self.questions.borrow_mut() += 1;
        if self.fails { Err(HistoryError) } else { Ok(()) }
    }
}

impl History for FakeHistory {
    fn newest(
        &self,
        mailbox: &MailboxName,
        identity: Identity<'_>,
        since: UnixSeconds,
        limit: u32,
    ) -> Result<Vec<Past>, HistoryError> {
        self.ask()?;
        let matching = self.old.iter().filter(|old| {
            old.mailbox == mailbox.as_str()
                && NOW.plus_secs(-old.days_ago * DAY) >= since
                && is_of(&old.message, identity)
        });
        let mut found: Vec<&Old> = matching.collect();
        found.sort_by_key(|old| old.days_ago);
        let localpart = |old: &Old| -> Option<Localpart> {
            old.message.author.as_ref().map(|author| author.address.localpart.clone())
        };
        let limit = usize::try_from(limit).unwrap();
        let past = found.into_iter().take(limit);
        Ok(past.map(|old| Past { is_junk: old.is_junk, from_localpart: localpart(old) }).collect())
    }

    fn has_sent_to(
        &self,
        addressee: Addressee<'_>,
        since: UnixSeconds,
    ) -> Result<bool, HistoryError> {
        self.ask()?;
        Ok(self.sent.iter().any(|(to, days_ago)| {
            let is_same = match addressee {
                Addressee::Address(address) => to == address,
                Addressee::Domain(domain) => to.domain == *domain,
                Addressee::Organization(domain) => organization(&to.domain) == *domain,
            };
            is_same && NOW.plus_secs(-days_ago * DAY) >= since
        }))
    }

    fn traffic(&self, network: Network, since: UnixSeconds) -> Result<Traffic, HistoryError> {
        self.ask()?;
        let mut sum = Traffic::default();
        for (of, secs_ago, traffic) in &self.traffic {
            if *of == network && NOW.plus_secs(-secs_ago) >= since {
                sum.messages += traffic.messages;
                sum.bytes += traffic.bytes;
            }
        }
        Ok(sum)
    }
}

/// A message in memory.
#[derive(Debug, Default)]
pub(crate) struct FakeContent {
    pub(crate) score: Option<Score>,
    pub(crate) error: Option<ContentError>,
    pub(crate) dmarc: Option<(Option<Domain>, bool, UnixSeconds)>,
    pub(crate) tls: Option<TlsReport>,
    pub(crate) scores_asked: usize,
    pub(crate) reports_asked: usize,
}

impl FakeContent {
    /// A filter that has learned enough.
    pub(crate) fn of(probability: f64) -> Self {
        let word = |word: &str, probability| vec![(word.to_owned(), probability)];
        let score = Score {
            probability,
            is_significant: true,
            ham_words: word("minutes", 0.01),
            spam_words: word("pills", 0.99),
        };
        Self { score: Some(score), ..Self::default() }
    }
}

impl Content for FakeContent {
    fn score(&mut self) -> Result<Score, ContentError> {
        self.scores_asked += 1;
        match self.error {
            Some(error) => Err(error),
            None => self.score.clone().ok_or(ContentError::Filter),
        }
    }

    fn dmarc_report(&mut self) -> Option<DmarcReport<'_>> {
        self.reports_asked += 1;
        let (policy_domain, is_ours, end) = self.dmarc.as_ref()?;
        Some(DmarcReport { policy_domain: policy_domain.as_ref(), is_ours: *is_ours, end: *end })
    }

    fn tls_report(&mut self) -> Option<TlsReport> {
        self.reports_asked += 1;
        self.tls
    }
}
