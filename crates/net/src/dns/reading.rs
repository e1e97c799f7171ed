//! What a message says about a name.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name as WireName, RData, Record, RecordType as WireType};
use mox_dns::{Answer, Data, DnsError, Name, RecordType, Security, Tlsa, Trouble};

use super::redirection::{redirected, redirecting};
use super::wire::{from_wire, wire_type};

/// CNAME records that are followed from one name at most; with more they count as a circle.
pub const ALIASES_MAX: usize = 16;

/// What a message says about one name: nothing about where an alias leads.
#[derive(Debug)]
pub(super) enum Step {
    /// It has records of the kind.
    Records(Vec<Data>, u32),
    /// It stands for another.
    Alias(WireName, u32),
    /// It has none, and may be said to have none for so many seconds.
    Nothing(u32),
}

/// What a message says about a name.
pub(super) fn step(message: &Message, at: &WireName, kind: RecordType) -> Result<Step, DnsError> {
    let wanted = wire_type(kind);
    let own =
        || message.answers.iter().filter(|one| one.dns_class == DNSClass::IN && one.name == *at);
    let of_kind = |kind| own().filter(move |record| record.record_type() == kind);
    let ttl = |kind| of_kind(kind).map(ttl_secs).min().unwrap_or(0);
    if of_kind(wanted).next().is_some() {
        // Of records that cannot be understood, such as names that are none, the rest is used.
        let records: Vec<_> = of_kind(wanted).filter_map(|record| data(&record.data)).collect();
        if records.is_empty() {
            return Err(malformed());
        }
        return Ok(Step::Records(records, ttl(wanted)));
    }
    let alias = of_kind(WireType::CNAME).find_map(|record| match &record.data {
        RData::CNAME(target) => Some(target.0.clone()),
        _ => None,
    });
    match alias {
        Some(target) => Ok(Step::Alias(target, ttl(WireType::CNAME))),
        // Where the CNAME record that it stands for was left out. RFC 6672 §3.1.
        None if let Some(record) = redirecting(message, at) => match redirected(record, at) {
            Some(target) => Ok(Step::Alias(target, ttl_secs(record))),
            None => Err(malformed()),
        },
        None if is_referral(message) => Err(DnsError::Temporary(Trouble::Refused)),
        None => Ok(Step::Nothing(negative_ttl_secs(message, at))),
    }
}

/// Reads an answer with all records on the way, as a server gives it that looks things up for others.
/// RFC 1034 §3.6.2, §4.3.2.
///
/// Costs at most [`ALIASES_MAX`] passes over the message.
pub(super) fn answer(
    message: &Message,
    name: &WireName,
    kind: RecordType,
    security: Security,
) -> Result<Answer, DnsError> {
    if message.metadata.response_code == ResponseCode::ServFail {
        // Others are not brought here.
        return Err(DnsError::Bogus);
    }
    let mut at = name.clone();
    let mut ttl_secs = u32::MAX;
    for _ in 0..=ALIASES_MAX {
        match step(message, &at, kind)? {
            Step::Records(records, ttl) => {
                let canonical = from_wire(&at).ok_or_else(malformed)?;
                return Ok(Answer { canonical, records, security, ttl_secs: ttl_secs.min(ttl) });
            }
            Step::Alias(target, ttl) => {
                at = target;
                ttl_secs = ttl_secs.min(ttl);
            }
            Step::Nothing(ttl) => {
                let exists = message.metadata.response_code != ResponseCode::NXDomain;
                return Err(DnsError::NotFound { exists, security, ttl_secs: ttl_secs.min(ttl) });
            }
        }
    }
    Err(malformed())
}

fn malformed() -> DnsError {
    DnsError::Temporary(Trouble::Malformed)
}

/// Seconds that a record may be kept. Those with the highest bit set are none. RFC 2181 §8.
fn ttl_secs(record: &Record) -> u32 {
    if i32::try_from(record.ttl).is_ok() { record.ttl } else { 0 }
}

/// How long it may be said that there is nothing. RFC 2308 §5. Without a SOA record: not at all.
fn negative_ttl_secs(message: &Message, name: &WireName) -> u32 {
    let mut authorities = message.authorities.iter();
    let secs = authorities.find_map(|record| match &record.data {
        RData::SOA(soa) if record.name.zone_of(name) => Some(ttl_secs(record).min(soa.minimum)),
        _ => None,
    });
    secs.unwrap_or(0)
}

/// Whether a server names others instead of answering: it does not look things up for us.
/// RFC 2308 §2.2.
pub(super) fn is_referral(message: &Message) -> bool {
    let has = |kind| message.authorities.iter().any(|record| record.record_type() == kind);
    message.metadata.response_code == ResponseCode::NoError
        && !message.metadata.authoritative
        && has(WireType::NS)
        && !has(WireType::SOA)
}

/// A record as mail has it. `None` if it is of another kind or holds a name that is none of ours.
fn data(data: &RData) -> Option<Data> {
    let name = |name: &WireName| -> Option<Name> { from_wire(name) };
    Some(match data {
        RData::A(ip) => Data::A(ip.0),
        RData::AAAA(ip) => Data::Aaaa(ip.0),
        RData::CNAME(target) => Data::Cname(name(&target.0)?),
        RData::MX(mx) => Data::Mx { preference: mx.preference, exchange: name(&mx.exchange)? },
        RData::NS(server) => Data::Ns(name(&server.0)?),
        RData::PTR(target) => Data::Ptr(name(&target.0)?),
        RData::SRV(srv) => Data::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: name(&srv.target)?,
        },
        RData::TLSA(tlsa) => Data::Tlsa(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        }),
        RData::TXT(txt) => Data::Txt(txt.txt_data.concat()),
        _ => return None,
    })
}
