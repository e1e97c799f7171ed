//! Records of messages as ours.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mox_base::{DateTime, Domain, Host, Localpart, UnixSeconds};
use mox_bstore::{Record, Value};
use mox_queue::{Attempt, Kind as MessageKind, MessageId, Queued, RESULTS_MAX, Release, Retired};
use mox_smtp::{Mailbox, ReversePath};

use super::{NUMBER_MAX, QUEUED, RETIRED};
use crate::known::{Field, Kind, fields};

pub(super) const DOMAIN: &[Field] = fields!("ASCII", "Unicode");

const IP_DOMAIN: &[Field] = fields!("IP", "Domain": DOMAIN);

const RESULT: &[Field] = fields!("Start", "Duration", "Success", "Code", "Secode", "Error");

pub(super) const MSG: Kind = Kind {
    table: "Msg",
    what: QUEUED,
    fields: fields!(
        "BaseID",
        "Queued",
        "Hold",
        "SenderAccount",
        "SenderLocalpart",
        "SenderDomain": IP_DOMAIN,
        "SenderDomainStr",
        "FromID",
        "RecipientLocalpart",
        "RecipientDomain": IP_DOMAIN,
        "RecipientDomainStr",
        "Attempts",
        "MaxAttempts",
        "DialedIPs",
        "NextAttempt",
        "LastAttempt",
        "Results": RESULT,
        "Has8bit",
        "SMTPUTF8",
        "IsDMARCReport",
        "IsTLSReport",
        "Size",
        "MessageID",
        "MsgPrefix",
        "Subject",
        "DSNUTF8",
        "Transport",
        "RequireTLS",
        "FutureReleaseRequest",
        "Extra",
    ),
};

pub(super) const MSG_RETIRED: Kind = Kind {
    table: "MsgRetired",
    what: RETIRED,
    fields: fields!(
        "BaseID",
        "Queued",
        "SenderAccount",
        "SenderLocalpart",
        "SenderDomainStr",
        "FromID",
        "RecipientLocalpart",
        "RecipientDomain": IP_DOMAIN,
        "RecipientDomainStr",
        "RecipientAddress",
        "Attempts",
        "MaxAttempts",
        "DialedIPs",
        "LastAttempt",
        "Results": RESULT,
        "Has8bit",
        "SMTPUTF8",
        "IsDMARCReport",
        "IsTLSReport",
        "Size",
        "MessageID",
        "Subject",
        "Transport",
        "RequireTLS",
        "FutureReleaseRequest",
        "Extra",
        "LastActivity",
        "Success",
        "KeepUntil",
    ),
};

/// The text of an attempt that was being made.
const IN_PROGRESS: &str = "delivering";

/// No time is further from 1970 in sound data, in seconds: ours adds to times and subtracts from them.
const TIME_MAX: i64 = 1 << 40;

/// No count of attempts is larger in sound data: ours counts on.
const ATTEMPTS_NOTED_MAX: i64 = 1_000_000;

/// A message and what is sent, without its file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) message: Queued,
    /// What comes before the file.
    pub(super) prefix: Vec<u8>,
    /// The form for peers with SMTPUTF8; empty if there is none.
    pub(super) utf8: Vec<u8>,
    /// The file is longer than it should be.
    pub(super) is_longer: bool,
    /// What the record takes in memory, about.
    pub(super) bytes: u64,
}

/// A record of `Msg`; or why it cannot be one.
pub(super) fn queued(record: &Record) -> Result<Found, String> {
    let sender = mailbox(text(record, "SenderLocalpart")?, record.get("SenderDomain"))?;
    let mut message = shared(record, sender, 4)?;
    message.is_held = flag(record, "Hold")?.unwrap_or_default();
    message.next_attempt = time(record, "NextAttempt").unwrap_or(message.queued);
    let utf8 = record.bytes("DSNUTF8").to_vec();
    message.has_utf8_body = !utf8.is_empty();
    let prefix = record.bytes("MsgPrefix").to_vec();
    Ok(Found { message, prefix, utf8, is_longer: false, bytes: memory_bytes(record) })
}

/// A record of `MsgRetired`; or why it cannot be one.
pub(super) fn retired(record: &Record) -> Result<Retired, String> {
    let sender = (text(record, "SenderLocalpart")?, text(record, "SenderDomainStr")?);
    let sender = match sender {
        ("", "") => None,
        (localpart, host) => {
            Some(Mailbox { localpart: parse_localpart(localpart)?, host: parse_host(host)? })
        }
    };
    let is_success = record.bool("Success");
    let message = shared(record, sender, if is_success { 4 } else { 5 })?;
    let last_activity = time(record, "LastActivity").unwrap_or(message.queued);
    Ok(Retired {
        is_success,
        last_activity,
        keep_until: time(record, "KeepUntil").unwrap_or(last_activity),
        message,
    })
}

/// What both have.
///
/// - `class`: the first digit of the codes of failures without a reply, which only have the other two.
fn shared(record: &Record, sender: Option<Mailbox>, class: u8) -> Result<Queued, String> {
    let id = record.i64("ID");
    if !(1..=NUMBER_MAX).contains(&id) {
        return Err("its number cannot be one".to_owned());
    }
    let queued = time(record, "Queued").unwrap_or_default();
    let last_attempt = time(record, "LastAttempt");
    let rcpt_to = mailbox(text(record, "RecipientLocalpart")?, record.get("RecipientDomain"))?;
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mail_from = sender.map_or(ReversePath::Null, ReversePath::Mailbox);
    Ok(Queued {
        id: MessageId(id),
        base_id: Some(record.i64("BaseID")).filter(|id| *id > 0).map(MessageId),
        body_id: 0,
        queued,
        account: text(record, "SenderAccount")?.to_owned(),
        kind: kind(record, &mail_from),
        mail_from,
        rcpt_to: rcpt_to.ok_or("it has no recipient")?,
        from_id: some(record.text("FromID")),
        notify: None,
        orcpt: None,
        priority: 0,
        require_tls: flag(record, "RequireTLS")?,
        transport: some(text(record, "Transport")?),
        is_held: false,
        is_leased: false,
        attempts: attempts(record, "Attempts"),
        attempts_max: Some(attempts(record, "MaxAttempts")).filter(|max| *max > 0),
        next_attempt: last_attempt.unwrap_or(queued),
        last_attempt,
        results: newest(record).iter().map(|one| attempt(one, class)).collect(),
        dialed_ips: dialed_ips(record.get("DialedIPs")),
        size: record.u64("Size"),
        message_id: in_brackets(&text_of(record.get("MessageID"))),
        subject: text_of(record.get("Subject")),
        has_8bit: record.bool("Has8bit"),
        is_binary: false,
        needs_utf8: record.bool("SMTPUTF8"),
        has_utf8_body: false,
        ret: None,
        envid: None,
        release: release(record.text("FutureReleaseRequest"), queued),
        extra: extra(record.get("Extra")),
    })
}

fn kind(record: &Record, mail_from: &ReversePath) -> MessageKind {
    if record.bool("IsDMARCReport") {
        MessageKind::DmarcReport
    } else if record.bool("IsTLSReport") {
        MessageKind::TlsReport
    } else if *mail_from == ReversePath::Null {
        MessageKind::Notice
    } else {
        MessageKind::Mail
    }
}

/// Text that something depends on: of another kind, or not UTF-8, it must not pass for none.
pub(super) fn text<'r>(record: &'r Record, field: &str) -> Result<&'r str, String> {
    is_text(record.get(field), field)
}

fn is_text<'v>(value: &'v Value, field: &str) -> Result<&'v str, String> {
    match value {
        Value::Absent => Ok(""),
        Value::Text(text) => Ok(text),
        _ => Err(format!("its {field} is no text")),
    }
}

/// True, false or nothing; what is something else must not pass for either.
fn flag(record: &Record, field: &str) -> Result<Option<bool>, String> {
    match record.get(field) {
        Value::Absent => Ok(None),
        Value::Bool(is) => Ok(Some(*is)),
        _ => Err(format!("its {field} is neither true nor false")),
    }
}

/// As many results as are ever kept.
pub(super) fn newest(record: &Record) -> &[Value] {
    let results = record.get("Results").list();
    results.get(results.len().saturating_sub(RESULTS_MAX)..).unwrap_or_default()
}

/// What a record takes in memory, in bytes, about.
pub(super) fn memory_bytes(record: &Record) -> u64 {
    record.stored().map(|field| value_bytes(record.get(field))).sum()
}

/// As deep as [`mox_bstore::VALUE_DEPTH_MAX`] at most.
fn value_bytes(value: &Value) -> u64 {
    let within: u64 = match value {
        Value::Struct(fields) => fields.iter().map(|(_, value)| value_bytes(value)).sum(),
        Value::List(list) => list.iter().map(value_bytes).sum(),
        Value::Map(map) => map.iter().map(|(key, one)| value_bytes(key) + value_bytes(one)).sum(),
        other => other.bytes().len() as u64,
    };
    size_of::<Value>() as u64 + within
}

/// Text that should be UTF-8.
pub(super) fn text_of(value: &Value) -> String {
    String::from_utf8_lossy(value.bytes()).into_owned()
}

/// A time in whole seconds.
pub(super) fn time(record: &Record, field: &str) -> Option<UnixSeconds> {
    record.time(field).map(|time| UnixSeconds(bounded(time.unix_secs)))
}

fn bounded(secs: i64) -> i64 {
    secs.clamp(-TIME_MAX, TIME_MAX)
}

/// A time within a value, 0 if there is none.
pub(super) fn start(value: &Value) -> i64 {
    value.time().map_or(0, |time| bounded(time.unix_secs))
}

/// A count of attempts.
pub(super) fn attempts(record: &Record, field: &str) -> u32 {
    u32::try_from(record.i64(field).clamp(0, ATTEMPTS_NOTED_MAX)).unwrap_or_default()
}

/// Some programs submitted messages whose Message-ID was noted as it is compared.
pub(super) fn in_brackets(message_id: &str) -> String {
    match message_id {
        "" => String::new(),
        text if text.starts_with('<') => text.to_owned(),
        text => format!("<{text}>"),
    }
}

pub(super) fn extra(value: &Value) -> BTreeMap<String, String> {
    value.map().iter().map(|(key, value)| (text_of(key), text_of(value))).collect()
}

/// The millisecond part of a duration in nanoseconds.
pub(super) fn duration_ms(value: &Value) -> u64 {
    value.u64() / 1_000_000
}

/// An address at a domain or at an address literal; `None` if all is empty, as of the null sender.
fn mailbox(localpart: &str, host: &Value) -> Result<Option<Mailbox>, String> {
    let ip = match (host, host.field("IP")) {
        (Value::Absent | Value::Struct(_), Value::Absent) => [].as_slice(),
        (_, Value::Bytes(ip)) => ip,
        _ => return Err("it has an address that is none".to_owned()),
    };
    let domain = ascii(host.field("Domain"))?;
    if localpart.is_empty() && ip.is_empty() && domain.is_empty() {
        return Ok(None);
    }
    let host = match ip {
        [] => Host::Domain(parse_domain(domain)?),
        ip => Host::Ip(parse_ip(ip).ok_or("it has an address that is none")?),
    };
    Ok(Some(Mailbox { localpart: parse_localpart(localpart)?, host }))
}

/// The form of a domain that is looked up. Only what is no domain has none.
pub(super) fn ascii(domain: &Value) -> Result<&str, String> {
    if !matches!(domain, Value::Absent | Value::Struct(_)) {
        return Err("its domain is none".to_owned());
    }
    let unicode = domain.field("Unicode");
    match is_text(domain.field("ASCII"), "domain")? {
        "" if !unicode.bytes().is_empty() => {
            Err(format!("{:?}: not for look-ups", text_of(unicode)))
        }
        name => Ok(name),
    }
}

fn parse_localpart(text: &str) -> Result<Localpart, String> {
    Localpart::from_decoded(text).map_err(|error| format!("{text:?}: {error}"))
}

fn parse_domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|error| format!("{text:?}: {error}"))
}

/// A domain, or an address in brackets.
fn parse_host(text: &str) -> Result<Host, String> {
    let literal = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let Some(ip) = literal else { return parse_domain(text).map(Host::Domain) };
    let ip: Result<IpAddr, _> = ip.strip_prefix("IPv6:").unwrap_or(ip).parse();
    ip.map(|ip| Host::Ip(ip.to_canonical())).map_err(|error| format!("{text:?}: {error}"))
}

fn parse_ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
    let v6 = || <[u8; 16]>::try_from(bytes).map(|ip| IpAddr::V6(Ipv6Addr::from(ip)));
    v4.or_else(|_| v6()).ok().map(|ip| ip.to_canonical())
}

fn dialed_ips(value: &Value) -> BTreeMap<String, Vec<IpAddr>> {
    let ips = |list: &Value| list.list().iter().filter_map(|ip| parse_ip(ip.bytes())).collect();
    value.map().iter().map(|(host, list)| (text_of(host), ips(list))).collect()
}

fn attempt(result: &Value, class: u8) -> Attempt {
    let code = u16::try_from(result.field("Code").i64()).ok().filter(|code| *code > 0);
    let is_success = result.field("Success").bool();
    let class = match (code, is_success) {
        (Some(code), _) => u8::try_from(code / 100).unwrap_or(class),
        (None, true) => 2,
        (None, false) => class,
    };
    let text = text_of(result.field("Error"));
    let is_in_progress = text.trim_end_matches('.') == IN_PROGRESS;
    Attempt {
        start: start(result.field("Start")),
        duration_ms: duration_ms(result.field("Duration")),
        is_success,
        code,
        enhanced: enhanced(class, result.field("Secode").text()),
        text: if is_in_progress { Attempt::INTERRUPTED.to_owned() } else { text },
        remote_mta: None,
        remote_ip: None,
    }
}

/// `subject "." detail` with the class that belongs before it. RFC 3463 §2.
fn enhanced(class: u8, text: &str) -> Option<(u8, u16, u16)> {
    let (subject, detail) = text.split_once('.')?;
    Some((class, subject.parse().ok()?, detail.parse().ok()?))
}

/// What was asked for, with its time. RFC 4865 §4.
fn release(request: &str, queued: UnixSeconds) -> Option<Release> {
    let at = match request.split_once(';')? {
        ("for", secs) => secs.parse().ok().map(|secs| queued.plus_secs(bounded(secs))),
        ("until", date) => until(date),
        _ => None,
    };
    Some(Release { at: at.unwrap_or(queued), request: request.to_owned() })
}

/// A date in UTC, such as `2026-12-24T12:00:00Z`.
fn until(date: &str) -> Option<UnixSeconds> {
    let mut numbers = date.strip_suffix('Z')?.split(['-', 'T', ':']);
    let mut number = || numbers.next()?.parse::<u16>().ok();
    let year = number()?;
    let mut small = || u8::try_from(number()?).ok();
    let time = DateTime {
        year,
        month: small()?,
        day: small()?,
        hour: small()?,
        minute: small()?,
        second: small()?,
        zone_minutes: 0,
    };
    time.to_unix().ok()
}
