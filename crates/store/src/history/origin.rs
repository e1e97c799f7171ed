//! The table `origin`: who sent a message.

use std::net::IpAddr;

use mox_base::{Address, Domain, Localpart, MailboxId, MsgId, UnixSeconds, Validation};
use mox_policy::{Author, Marks, Network, Origin, Proven};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{CONTENT_HASH_BYTES, Incoming, keys};
use crate::{Result, StoreError};

/// Bits of `marks`.
const REJECT: u8 = 1;
const FORWARD: u8 = 2;
const MAILING_LIST: u8 = 4;

/// A message as the history sees it.
pub(super) struct Known {
    id: MsgId,
    /// Where it was delivered, or destined for once its user agreed.
    mailbox: MailboxId,
    received: UnixSeconds,
    origin: Origin,
}

/// A message that is not where it was destined for.
pub(super) struct PutAside {
    pub(super) is_reject: bool,
    pub(super) destined: MailboxId,
}

/// An address as it is stored: with the A-label form of the domain.
fn address_column(address: &Address) -> String {
    format!("{}@{}", address.localpart, address.domain.ascii())
}

fn domains_column(domains: &[Domain]) -> String {
    domains.iter().map(Domain::ascii).collect::<Vec<_>>().join(" ")
}

pub(super) fn insert(
    db: &Connection,
    id: MsgId,
    incoming: &Incoming,
    destined: Option<MailboxId>,
) -> Result<()> {
    let Incoming { origin, marks, content_hash, .. } = incoming;
    let bits = [
        (marks.is_reject, REJECT),
        (marks.is_forward, FORWARD),
        (marks.is_mailing_list, MAILING_LIST),
    ];
    let bits: u8 = bits.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum();
    let author = origin.author.as_ref();
    let author_validation = author.map_or(Validation::Unknown, |author| author.validation);
    let ehlo = origin.ehlo.as_ref();
    let ehlo_validation = ehlo.map_or(Validation::Unknown, |ehlo| ehlo.validation);
    let sql = "INSERT INTO origin VALUES \
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    db.prepare_cached(sql)?.execute(params![
        id.0,
        bits,
        destined.map(|mailbox| mailbox.0),
        content_hash,
        author.map(|author| address_column(&author.address)),
        author.map(|author| author.organization.ascii()),
        author_validation.number(),
        origin.mail_from.as_ref().map(|from| address_column(&from.name)),
        origin.mail_from_validation.number(),
        ehlo.map(|ehlo| ehlo.name.ascii()),
        ehlo_validation.number(),
        domains_column(&origin.dkim_domains),
        // The other two networks follow from the first.
        origin.networks.map(|[host, ..]| host.first_ip().to_string()),
        origin.forwarder_ehlo.as_ref().map(Domain::ascii),
        domains_column(&origin.forwarder_dkim_domains),
    ])?;
    Ok(())
}

/// Reads what [`insert`] wrote. Not found for messages that did not come by SMTP.
pub(super) fn load(db: &Connection, id: MsgId) -> Result<Option<Known>> {
    let sql = format!("{KNOWN} WHERE o.id = ?1");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query([id.0])?;
    rows.next()?.map(known).transpose()
}

/// Reads all that [`insert`] wrote.
pub(super) fn incoming(
    db: &Connection,
    id: MsgId,
) -> Result<Option<(Incoming, Option<MailboxId>)>> {
    let Some(known) = load(db, id)? else { return Ok(None) };
    let sql = "SELECT marks, destined, content_hash FROM origin WHERE id = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let (bits, destined, content_hash): (u8, Option<i64>, Option<[u8; CONTENT_HASH_BYTES]>) =
        statement.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let marks = Marks {
        is_seen: false,
        is_reject: bits & REJECT != 0,
        is_forward: bits & FORWARD != 0,
        is_mailing_list: bits & MAILING_LIST != 0,
    };
    let origin = known.origin;
    let incoming = Incoming { origin, marks, destined: None, decision: None, content_hash };
    Ok(Some((incoming, destined.map(MailboxId))))
}

/// What [`known`] reads, of all messages.
pub(super) const KNOWN: &str = "SELECT o.id, t.original_mailbox, t.received, o.author, \
     o.organization, o.author_validation, o.mail_from, o.mail_from_validation, o.ehlo, \
     o.ehlo_validation, o.dkim, o.host, o.forwarder_ehlo, o.forwarder_dkim \
     FROM origin o JOIN meta t ON t.id = o.id";

pub(super) fn known(row: &Row<'_>) -> Result<Known> {
    let damaged = || StoreError::Damaged { what: "origin of a message" };
    let text = |column: usize| row.get::<_, Option<String>>(column);
    let address = |column: usize| -> Result<Option<Address>> {
        text(column)?.map(|text| Address::parse(&text).map_err(|_| damaged())).transpose()
    };
    let domain = |column: usize| -> Result<Option<Domain>> {
        text(column)?.map(|text| Domain::parse(&text).map_err(|_| damaged())).transpose()
    };
    let domains = |column: usize| -> Result<Vec<Domain>> {
        let list: String = row.get(column)?;
        let names = list.split(' ').filter(|name| !name.is_empty());
        names.map(|name| Domain::parse(name).map_err(|_| damaged())).collect()
    };
    let validation = |column: usize| row.get(column).map(Validation::from_number);
    let author = match (address(3)?, domain(4)?, validation(5)?) {
        (Some(address), Some(organization), validation) => {
            Some(Author { address, organization, validation })
        }
        _ => None,
    };
    let mail_from_validation = validation(7)?;
    let mail_from = address(6)?.map(|name| Proven { name, validation: mail_from_validation });
    let ehlo_validation = validation(9)?;
    let host: Option<IpAddr> =
        text(11)?.map(|text| text.parse().map_err(|_| damaged())).transpose()?;
    Ok(Known {
        id: MsgId(row.get(0)?),
        mailbox: MailboxId(row.get(1)?),
        received: UnixSeconds(row.get(2)?),
        origin: Origin {
            author,
            networks: host.map(Network::all_of),
            ehlo: domain(8)?.map(|name| Proven { name, validation: ehlo_validation }),
            mail_from,
            mail_from_validation,
            dkim_domains: domains(10)?,
            forwarder_ehlo: domain(12)?,
            forwarder_dkim_domains: domains(13)?,
        },
    })
}

/// A row of `reputation`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReputationRow {
    pub(super) mailbox: i64,
    pub(super) kind: u8,
    pub(super) key: String,
    pub(super) received: i64,
    pub(super) id: i64,
    pub(super) is_junk: bool,
    pub(super) localpart: Option<String>,
}

impl ReputationRow {
    /// Where it stands in the table.
    pub(super) fn place(&self) -> (i64, u8, &str, i64, i64) {
        (self.mailbox, self.kind, &self.key, self.received, self.id)
    }
}

impl Known {
    pub(super) fn id(&self) -> MsgId {
        self.id
    }

    /// Its rows, if it counts as junk or not.
    pub(super) fn rows(&self, is_junk: Option<bool>) -> Vec<ReputationRow> {
        let Some(is_junk) = is_junk else { return Vec::new() };
        let author = self.origin.author.as_ref();
        // In lower case, as in keys: written otherwise it is still the same author.
        let localpart = author.map(|author| author.address.localpart.as_str().to_lowercase());
        let row = |key: keys::Key| ReputationRow {
            mailbox: self.mailbox.0,
            kind: key.kind as u8,
            key: key.text,
            received: self.received.0,
            id: self.id.0,
            is_junk,
            localpart: localpart.clone().filter(|_| key.kind.keeps_localpart()),
        };
        keys::of_origin(&self.origin).into_iter().map(row).collect()
    }
}

/// The localpart of a row.
pub(super) fn localpart(text: Option<String>) -> Option<Localpart> {
    Localpart::from_decoded(&text?).ok()
}

/// Where the message was destined for, if it was put aside.
pub(super) fn put_aside(db: &Connection, id: MsgId) -> Result<Option<PutAside>> {
    let sql = "SELECT marks, destined FROM origin WHERE id = ?1 AND destined IS NOT NULL";
    let read = |row: &Row<'_>| {
        let marks: u8 = row.get(0)?;
        Ok(PutAside { is_reject: marks & REJECT != 0, destined: MailboxId(row.get(1)?) })
    };
    Ok(db.prepare_cached(sql)?.query_row([id.0], read).optional()?)
}

/// From now on the message counts as one that was delivered where it was destined for.
pub(super) fn settle(db: &Connection, id: MsgId, destined: MailboxId) -> Result<()> {
    let sql = "UPDATE origin SET destined = NULL, marks = marks & ~?2 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![id.0, REJECT])?;
    let sql = "UPDATE meta SET original_mailbox = ?2 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![id.0, destined.0])?;
    Ok(())
}

/// A copy has the same origin.
pub(super) fn copy(db: &Connection, from: MsgId, to: MsgId) -> Result<()> {
    let sql = "INSERT INTO origin SELECT ?2, marks, destined, content_hash, author, organization, \
         author_validation, mail_from, mail_from_validation, ehlo, ehlo_validation, dkim, host, \
         forwarder_ehlo, forwarder_dkim FROM origin WHERE id = ?1";
    db.prepare_cached(sql)?.execute([from.0, to.0])?;
    Ok(())
}

pub(super) fn forget(db: &Connection, id: MsgId) -> Result<()> {
    db.prepare_cached("DELETE FROM origin WHERE id = ?1")?.execute([id.0])?;
    Ok(())
}
