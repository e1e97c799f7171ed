//! Rows of messages, read and written.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mox_base::{Domain, Host, Localpart, UnixSeconds};
use mox_smtp::dsn::{Notify, Ret};
use mox_smtp::{Mailbox, ReversePath};
use rusqlite::Row;
use rusqlite::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{QueueError, Result};
use crate::message::{Attempt, Kind, MessageId, NewMessage, Queued, Release};

const HAS_8BIT: u8 = 1;
const IS_BINARY: u8 = 2;
const NEEDS_UTF8: u8 = 4;
const HAS_UTF8_BODY: u8 = 8;

/// Everything of a queued message; a condition and an order come next.
pub(crate) const SELECT_QUEUED: &str = "\
    SELECT q.id, q.base, q.message, q.queued, m.account, q.mail_from, q.rcpt_to, q.from_id, \
    q.notify, q.orcpt, q.priority, q.require_tls, q.transport, q.is_held, q.leased IS NOT NULL, \
    q.attempts, q.next_attempt, q.last_attempt, q.results, q.dialed_ips, m.kind, m.size, \
    m.message_id, m.subject, m.traits, m.ret, m.envid, m.release_at, m.release_request, m.extra, \
    m.attempts_max FROM queued AS q JOIN message AS m ON m.id = q.message ";

/// The same of a retired one, and then what only those have.
pub(crate) const SELECT_RETIRED: &str = "\
    SELECT q.id, q.base, q.message, q.queued, m.account, q.mail_from, q.rcpt_to, q.from_id, \
    q.notify, q.orcpt, q.priority, q.require_tls, q.transport, 0, 0, \
    q.attempts, q.next_attempt, q.last_attempt, q.results, q.dialed_ips, m.kind, m.size, \
    m.message_id, m.subject, m.traits, m.ret, m.envid, m.release_at, m.release_request, m.extra, \
    m.attempts_max, q.is_success, q.last_activity, q.keep_until \
    FROM retired AS q JOIN message AS m ON m.id = q.message ";

pub(crate) fn traits(message: &NewMessage) -> u8 {
    bits(&[
        (message.has_8bit, HAS_8BIT),
        (message.is_binary, IS_BINARY),
        (message.needs_utf8, NEEDS_UTF8),
        (message.utf8_body.is_some(), HAS_UTF8_BODY),
    ])
}

pub(crate) fn traits_of(message: &Queued) -> u8 {
    bits(&[
        (message.has_8bit, HAS_8BIT),
        (message.is_binary, IS_BINARY),
        (message.needs_utf8, NEEDS_UTF8),
        (message.has_utf8_body, HAS_UTF8_BODY),
    ])
}

fn bits(traits: &[(bool, u8)]) -> u8 {
    traits.iter().filter(|(is, _)| *is).fold(0, |all, (_, bit)| all | bit)
}

/// A row of [`SELECT_QUEUED`] or [`SELECT_RETIRED`].
pub(crate) fn queued(row: &Row<'_>) -> rusqlite::Result<Queued> {
    let base: i64 = row.get(1)?;
    let traits: u8 = row.get(24)?;
    let time = |index: usize| row.get::<_, Option<i64>>(index).map(|at| at.map(UnixSeconds));
    let release = match (time(27)?, row.get(28)?) {
        (Some(at), Some(request)) => Some(Release { at, request }),
        _ => None,
    };
    Ok(Queued {
        id: MessageId(row.get(0)?),
        base_id: (base != 0).then_some(MessageId(base)),
        body_id: row.get(2)?,
        queued: UnixSeconds(row.get(3)?),
        account: row.get(4)?,
        mail_from: text(row, 5, parse_path)?,
        rcpt_to: text(row, 6, parse_mailbox)?,
        from_id: row.get(7)?,
        notify: optional(row, 8, Notify::parse)?,
        orcpt: row.get(9)?,
        priority: row.get(10)?,
        require_tls: row.get(11)?,
        transport: row.get(12)?,
        is_held: row.get(13)?,
        is_leased: row.get(14)?,
        attempts: row.get(15)?,
        next_attempt: UnixSeconds(row.get(16)?),
        last_attempt: time(17)?,
        results: text(row, 18, from_json::<Vec<Attempt>>)?,
        dialed_ips: text(row, 19, from_json::<BTreeMap<String, Vec<IpAddr>>>)?,
        kind: kind(row.get(20)?),
        size: row.get::<_, i64>(21)?.cast_unsigned(),
        message_id: row.get(22)?,
        subject: row.get(23)?,
        has_8bit: traits & HAS_8BIT != 0,
        is_binary: traits & IS_BINARY != 0,
        needs_utf8: traits & NEEDS_UTF8 != 0,
        has_utf8_body: traits & HAS_UTF8_BODY != 0,
        ret: optional(row, 25, Ret::parse)?,
        envid: row.get(26)?,
        release,
        extra: text(row, 29, from_json::<BTreeMap<String, String>>)?,
        attempts_max: row.get(30)?,
    })
}

/// A number of a newer version is taken for a plain message.
fn kind(number: u8) -> Kind {
    Kind::ALL.into_iter().find(|kind| kind.number() == number).unwrap_or_default()
}

fn text<T>(row: &Row<'_>, index: usize, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str()?;
    parse(text).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(
            index,
            Type::Text,
            Box::new(QueueError::Damaged { what: "text of a message row" }),
        )
    })
}

fn optional<T>(
    row: &Row<'_>,
    index: usize,
    parse: impl Fn(&str) -> Option<T>,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(index)?.as_str_or_null()? {
        Some(_) => text(row, index, parse).map(Some),
        None => Ok(None),
    }
}

/// `localpart@host`, with the localpart as it is, without quotes.
pub(crate) fn mailbox_text(mailbox: &Mailbox) -> String {
    format!("{}@{}", mailbox.localpart.as_str(), mailbox.host)
}

/// Empty for the null path.
pub(crate) fn path_text(path: &ReversePath) -> String {
    path.mailbox().map(mailbox_text).unwrap_or_default()
}

pub(crate) fn parse_mailbox(text: &str) -> Option<Mailbox> {
    let (localpart, host) = text.rsplit_once('@')?;
    let localpart = Localpart::from_decoded(localpart).ok()?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => Host::Ip(ip.strip_prefix("IPv6:").unwrap_or(ip).parse().ok()?),
        None => Host::Domain(Domain::parse(host).ok()?),
    };
    Some(Mailbox { localpart, host })
}

fn parse_path(text: &str) -> Option<ReversePath> {
    if text.is_empty() {
        return Some(ReversePath::Null);
    }
    parse_mailbox(text).map(ReversePath::Mailbox)
}

pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|_| QueueError::Damaged { what: "a value that has no JSON" })
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let mailbox = parse_mailbox(text).unwrap();
        assert_eq!(mailbox_text(&mailbox), text);
    }

    #[test]
    fn addresses_come_back_as_they_were() {
        check("a@example.org");
        check("böb@bücher.example");
        check("two words@x.example");
        check("a@b@x.example");
        check("\"quoted\"@x.example");
        check("a@[192.0.2.1]");
        check("a@[IPv6:2001:db8::1]");
        assert_eq!(parse_path(""), Some(ReversePath::Null));
        for damaged in ["a", "a@", "a@[1.2.3]", "\u{7}@x.example"] {
            assert_eq!(parse_path(damaged), None, "{damaged}");
        }
    }

    proptest! {
        #[test]
        fn every_localpart_comes_back(text in "\\PC{1,30}") {
            if let Ok(localpart) = Localpart::from_decoded(&text) {
                let host = Host::Domain(Domain::parse("x.example").unwrap());
                let mailbox = Mailbox { localpart, host };
                prop_assert_eq!(parse_mailbox(&mailbox_text(&mailbox)), Some(mailbox));
            }
        }
    }
}
