//! What earlier messages say about a new one.
//!
//! Asked from the most telling to the least: the author's address, domain and organisation; domains
//! that signed or sent the message; the network it came from. The first that knows anything answers.

use mox_base::{Domain, MailboxName, UnixSeconds};

use crate::facts::{Author, Proven};
use crate::history::{Addressee, History, HistoryError, Identity, IsValidated, Past};
use crate::origin::Origin;
use crate::reason::Reason;

const YEAR_SECS: i64 = 365 * 24 * 3600;

/// How far back messages of an address count, and messages written to it.
const ADDRESS_SECS: i64 = 3 * YEAR_SECS;
/// How many messages of an address count.
const ADDRESS_MESSAGES_MAX: u32 = 2;

/// How far back messages of a domain count, and messages written to it.
const DOMAIN_SECS: i64 = 2 * YEAR_SECS;
/// How many messages of a domain count.
const DOMAIN_MESSAGES_MAX: u32 = 20;
/// More than this percentage of wanted messages makes a domain wanted.
const DOMAIN_WANTED_PERCENT: usize = 80;
/// So many authors of a domain must have sent junk for all of it to be refused.
const DOMAIN_JUNK_AUTHORS: usize = 3;

/// How far back messages of a DKIM or SPF domain count.
const PROVEN_SECS: i64 = YEAR_SECS / 2;
/// How many count.
const PROVEN_MESSAGES_MAX: u32 = 50;

/// How far back messages of a network count.
const NETWORK_SECS: i64 = YEAR_SECS / 4;
/// How many count.
const NETWORK_MESSAGES_MAX: u32 = 50;
/// How many there must be for a decision, by class of network.
const NETWORK_MESSAGES_NEEDED: [usize; 3] = [2, 5, 10];

/// By what a message was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Messages of the author's address.
    MsgFromFull,
    /// Messages to the author's address.
    MsgToFull,
    /// Messages of the author's domain.
    MsgFromDomain,
    /// Messages to the author's domain.
    MsgToDomain,
    /// Messages of the author's organisation.
    MsgFromOrgDomain,
    /// Messages to the author's organisation.
    MsgToOrgDomain,
    /// Messages of domains that signed or sent.
    DkimSpf,
    /// Messages of the host.
    Ip1,
    /// Messages of its network.
    Ip2,
    /// Messages of its provider.
    Ip3,
    /// Nothing.
    None,
}

impl Method {
    /// The reason for a decision that rests on this alone.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::MsgFromFull => Reason::MsgFromFull,
            Self::MsgToFull => Reason::MsgToFull,
            Self::MsgFromDomain => Reason::MsgFromDomain,
            Self::MsgToDomain => Reason::MsgToDomain,
            Self::MsgFromOrgDomain => Reason::MsgFromOrgDomain,
            Self::MsgToOrgDomain => Reason::MsgToOrgDomain,
            Self::DkimSpf => Reason::DkimSpf,
            Self::Ip1 => Reason::Ip1,
            Self::Ip2 => Reason::Ip2,
            Self::Ip3 => Reason::Ip3,
            Self::None => Reason::None,
        }
    }

    /// Whether nothing is known of the author: neither address, nor domain, nor organisation.
    #[must_use]
    pub fn is_stranger(self) -> bool {
        matches!(self, Self::DkimSpf | Self::Ip1 | Self::Ip2 | Self::Ip3 | Self::None)
    }
}

/// What earlier messages say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reputation {
    /// Whether the message is junk; `None` if that cannot be told.
    pub is_junk: Option<bool>,
    /// Whether that decides alone.
    pub is_conclusive: bool,
    /// What it rests on.
    pub method: Method,
    /// How it came about, for the owner of the account.
    pub line: String,
}

/// Looks up what earlier messages in the mailbox say about a message of this origin.
///
/// Asks at most 40 questions, each for at most 50 messages.
pub fn reputation(
    history: &dyn History,
    mailbox: &MailboxName,
    origin: &Origin,
    now: UnixSeconds,
) -> Result<Reputation, HistoryError> {
    let asked = Asked { history, mailbox, now };
    if let Some(author) = &origin.author
        && let Some(found) = asked.author(author)?
    {
        return Ok(found);
    }
    if let Some(found) = asked.proven(origin)? {
        return Ok(found);
    }
    if let Some(found) = asked.networks(origin)? {
        return Ok(found);
    }
    let line = format!("no earlier message in {mailbox} tells anything about this one");
    Ok(Reputation { is_junk: None, is_conclusive: false, method: Method::None, line })
}

/// A history with what all questions have in common.
struct Asked<'a> {
    history: &'a dyn History,
    mailbox: &'a MailboxName,
    now: UnixSeconds,
}

/// The domain of the author, or that of its organisation.
#[derive(Clone, Copy)]
enum Breadth {
    Domain,
    Organization,
}

impl Breadth {
    fn identity<'a>(self, author: &'a Author, is_validated: IsValidated) -> Identity<'a> {
        match self {
            Self::Domain => Identity::FromDomain(&author.address.domain, is_validated),
            Self::Organization => Identity::FromOrganization(&author.organization, is_validated),
        }
    }

    fn addressee<'a>(self, author: &'a Author) -> Addressee<'a> {
        match self {
            Self::Domain => Addressee::Domain(&author.address.domain),
            Self::Organization => Addressee::Organization(&author.organization),
        }
    }

    fn methods(self) -> (Method, Method) {
        match self {
            Self::Domain => (Method::MsgFromDomain, Method::MsgToDomain),
            Self::Organization => (Method::MsgFromOrgDomain, Method::MsgToOrgDomain),
        }
    }

    fn noun(self, author: &Author) -> String {
        match self {
            Self::Domain => format!("domain {}", author.address.domain),
            Self::Organization => format!("organisation {}", author.organization),
        }
    }
}

impl Asked<'_> {
    fn newest(
        &self,
        identity: Identity<'_>,
        secs: i64,
        limit: u32,
    ) -> Result<Vec<Past>, HistoryError> {
        self.history.newest(self.mailbox, identity, self.now.plus_secs(-secs), limit)
    }

    /// "2 of 3 earlier messages of … in Inbox were junk".
    fn line(&self, past: &[Past], of: &str) -> String {
        let (junk, all) = (junk_count(past), past.len());
        let (noun, verb) = if all == 1 { ("message", "was") } else { ("messages", "were") };
        format!("{junk} of {all} earlier {noun} of {of} in {} {verb} junk", self.mailbox)
    }

    fn author(&self, author: &Author) -> Result<Option<Reputation>, HistoryError> {
        let found = self.address(author)?;
        if found.is_some() {
            return Ok(found);
        }
        let found = self.domain(author, Breadth::Domain)?;
        if found.is_some() || author.organization == author.address.domain {
            return Ok(found);
        }
        self.domain(author, Breadth::Organization)
    }

    /// Messages from, then to, the author's address.
    fn address(&self, author: &Author) -> Result<Option<Reputation>, HistoryError> {
        let is_validated = author.validation.is_validated();
        let identity = Identity::FromAddress(&author.address, is_validated.into());
        let same = self.newest(identity, ADDRESS_SECS, ADDRESS_MESSAGES_MAX)?;
        let method = Method::MsgFromFull;
        let sender = format!("sender {}", author.address);
        if let Some(is_junk) = newest_are_junk(&same) {
            let line = self.line(&same, &sender);
            let is_junk = Some(is_junk);
            return Ok(Some(Reputation { is_junk, is_conclusive: is_validated, method, line }));
        }
        if !is_validated {
            // Someone who always proved who they were, and now does not, is probably someone else.
            let identity = Identity::FromAddress(&author.address, IsValidated::Yes);
            let proven = self.newest(identity, ADDRESS_SECS, ADDRESS_MESSAGES_MAX)?;
            if let Some(is_conclusive) = newest_are_junk(&proven) {
                let line = format!(
                    "earlier messages of {sender} were proven to be theirs and this one is not; {}",
                    self.line(&proven, "theirs"),
                );
                return Ok(Some(Reputation { is_junk: Some(true), is_conclusive, method, line }));
            }
        }
        let since = self.now.plus_secs(-ADDRESS_SECS);
        let has_sent = self.history.has_sent_to(Addressee::Address(&author.address), since)?;
        let line = format!("a message was sent to {} earlier", author.address);
        Ok(has_sent.then(|| wanted(Method::MsgToFull, line)))
    }

    /// Messages from, then to, the author's domain or organisation.
    fn domain(
        &self,
        author: &Author,
        breadth: Breadth,
    ) -> Result<Option<Reputation>, HistoryError> {
        let is_validated = author.validation.is_validated();
        let (from, to) = breadth.methods();
        let noun = breadth.noun(author);
        let identity = breadth.identity(author, is_validated.into());
        let same = self.newest(identity, DOMAIN_SECS, DOMAIN_MESSAGES_MAX)?;
        if !same.is_empty() {
            let (is_junk, is_conclusive) = of_domain(&same);
            let line = self.line(&same, &noun);
            return Ok(Some(Reputation { is_junk, is_conclusive, method: from, line }));
        }
        if !is_validated {
            let identity = breadth.identity(author, IsValidated::Yes);
            let proven = self.newest(identity, DOMAIN_SECS, ADDRESS_MESSAGES_MAX)?;
            if let Some(is_conclusive) = newest_are_junk(&proven) {
                let line = format!(
                    "earlier messages of {noun} were proven to be its and this one is not; {}",
                    self.line(&proven, "it"),
                );
                let is_junk = Some(true);
                return Ok(Some(Reputation { is_junk, is_conclusive, method: from, line }));
            }
        }
        let since = self.now.plus_secs(-DOMAIN_SECS);
        let has_sent = self.history.has_sent_to(breadth.addressee(author), since)?;
        let line = format!("a message was sent to {noun} earlier");
        Ok(has_sent.then(|| wanted(to, line)))
    }

    /// Messages of domains that signed, or that SPF let send.
    fn proven(&self, origin: &Origin) -> Result<Option<Reputation>, HistoryError> {
        let newest = |identity| self.newest(identity, PROVEN_SECS, PROVEN_MESSAGES_MAX);
        let mut signals: Vec<(String, Vec<Past>)> = Vec::new();
        for domain in &origin.dkim_domains {
            let past = newest(Identity::DkimDomain(domain))?;
            signals.push((format!("signing domain {domain}"), past));
        }
        signals.retain(|(_, past)| !past.is_empty());
        let signed = signals.last().map_or(0, |(_, past)| past.len());
        signals.extend(self.sent(origin)?);
        if signals.is_empty() {
            return Ok(None);
        }
        let messages = match signals.last() {
            Some((_, last)) => last.len().max(signed),
            None => signed,
        };
        let ham = signals.iter().filter(|(_, past)| junk_count(past) * 10 < past.len()).count();
        let spam =
            signals.iter().filter(|(_, past)| junk_count(past) * 10 > past.len() * 9).count();
        let (is_junk, is_conclusive) = match (ham, spam) {
            (1.., 0) => (Some(false), true),
            (0, 1..) => (Some(true), messages > 1),
            _ => (None, false),
        };
        let lines: Vec<String> = signals.iter().map(|(of, past)| self.line(past, of)).collect();
        let line = lines.join(", ");
        Ok(Some(Reputation { is_junk, is_conclusive, method: Method::DkimSpf, line }))
    }

    /// Messages of MAIL FROM, else of its domain, else of the domain of EHLO.
    fn sent(&self, origin: &Origin) -> Result<Option<(String, Vec<Past>)>, HistoryError> {
        let newest = |identity| self.newest(identity, PROVEN_SECS, PROVEN_MESSAGES_MAX);
        if let Some(Proven { name: mail_from, .. }) =
            origin.mail_from.as_ref().filter(|mail_from| mail_from.validation.is_validated())
        {
            let past = newest(Identity::MailFrom(mail_from))?;
            if !past.is_empty() {
                return Ok(Some((format!("envelope sender {mail_from}"), past)));
            }
            let domain: &Domain = &mail_from.domain;
            let past = newest(Identity::MailFromDomain(domain))?;
            if !past.is_empty() {
                return Ok(Some((format!("sending domain {domain}"), past)));
            }
        }
        if let Some(ehlo) = origin.ehlo.as_ref().filter(|ehlo| ehlo.validation.is_validated()) {
            let past = newest(Identity::Ehlo(&ehlo.name))?;
            if !past.is_empty() {
                return Ok(Some((format!("server {}", ehlo.name), past)));
            }
        }
        Ok(None)
    }

    /// Messages of the host, else of its network, else of its provider.
    fn networks(&self, origin: &Origin) -> Result<Option<Reputation>, HistoryError> {
        let Some(networks) = origin.networks else { return Ok(None) };
        let methods = [Method::Ip1, Method::Ip2, Method::Ip3];
        let classes = networks.into_iter().zip(methods).zip(NETWORK_MESSAGES_NEEDED);
        for ((network, method), needed) in classes {
            let past =
                self.newest(Identity::Network(network), NETWORK_SECS, NETWORK_MESSAGES_MAX)?;
            if past.is_empty() {
                continue;
            }
            let (junk, all) = (junk_count(&past), past.len());
            let is_junk = match () {
                () if junk * 4 < all => Some(false),
                () if junk * 4 > all * 3 => Some(true),
                () => None,
            };
            let is_clear = junk * 10 <= all || junk * 10 >= all * 9;
            let is_conclusive = all >= needed && is_clear;
            let line = self.line(&past, &format!("network {network}"));
            return Ok(Some(Reputation { is_junk, is_conclusive, method, line }));
        }
        Ok(None)
    }
}

fn wanted(method: Method, line: String) -> Reputation {
    Reputation { is_junk: Some(false), is_conclusive: true, method, line }
}

fn junk_count(past: &[Past]) -> usize {
    past.iter().filter(|past| past.is_junk).count()
}

/// Whether the newest message is junk, and the one before it too if there is one: a single mistake
/// in marking is made good by the next message. `None` if there are none.
fn newest_are_junk(past: &[Past]) -> Option<bool> {
    let newest = past.first()?;
    Some(newest.is_junk && past.get(1).is_none_or(|second| second.is_junk))
}

/// Whether messages of a domain make another one junk, and whether that decides.
fn of_domain(past: &[Past]) -> (Option<bool>, bool) {
    let wanted = past.len() - junk_count(past);
    if wanted * 100 / past.len() > DOMAIN_WANTED_PERCENT {
        return (Some(false), true);
    }
    if wanted > 0 {
        return (None, false);
    }
    // One bad author does not make all of a domain bad.
    let mut authors: Vec<_> = past.iter().map(|past| &past.from_localpart).collect();
    authors.sort();
    authors.dedup();
    (Some(true), authors.len() >= DOMAIN_JUNK_AUTHORS)
}

#[cfg(test)]
#[path = "reputation_tests.rs"]
mod tests;
