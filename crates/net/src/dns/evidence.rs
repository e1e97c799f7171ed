//! The part of an answer that is checked, and what it proves.

use hickory_proto::dnssec::Proof;
use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC, RRSIG};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name as WireName, RData, Record, RecordType as WireType};
use mox_dns::{Security, Trouble};

use super::reading::is_referral;
use super::redirection::redirecting;

/// Signatures of the records asked for that are kept at most.
const SIGNATURES_MAX: usize = 16;

/// Records that are kept at most to prove that something is not there: a few of NSEC or NSEC3, with
/// their signatures. RFC 5155 §7.2.
const DENIALS_MAX: usize = 32;

/// Leaves of an answer what is about the one name and kind asked for: the records or the alias with
/// their signatures, or the proof that there is nothing. Where an alias leads is asked apart.
///
/// So the work on an answer is bounded, however much it has, and nothing in it can stand for
/// something else: in particular, only a zone that the name lies in can say that it is not signed.
pub(super) fn narrowed(
    mut message: Message,
    name: &WireName,
    kind: WireType,
) -> Result<Message, Trouble> {
    message.additionals.clear();
    message.edns = None;
    let Some((at, shown)) = shown(&message, name, kind) else {
        message.answers.clear();
        if is_referral(&message) {
            return Err(Trouble::Refused);
        }
        keep_denial(&mut message.authorities, name);
        return Ok(message);
    };
    message.metadata.response_code = ResponseCode::NoError;
    let mut signatures = 0;
    message.answers.retain(|record| {
        let is_shown =
            record.dns_class == DNSClass::IN && record.name == at && covers(record) == shown;
        signatures += usize::from(is_shown && signature(record).is_some());
        is_shown && signatures <= SIGNATURES_MAX
    });
    // A wildcard may stand for a name only if there is nothing closer, which wants proof. RFC 4035
    // §5.3.4. Anything else here is about another name.
    let signers: Vec<_> = message.answers.iter().filter_map(wildcard_signer).cloned().collect();
    let mut kept = 0;
    message.authorities.retain(|record| {
        let is_proof = is_denial(record) && signers.iter().any(|zone| is_of(record, zone));
        kept += usize::from(is_proof);
        is_proof && kept <= DENIALS_MAX
    });
    Ok(message)
}

/// Which records of an answer are about a name: those asked for, an alias, or what redirects it. The
/// alias that a server adds to a redirection is not signed, and is what we make of it ourselves.
/// RFC 6672 §5.3.1.
fn shown(message: &Message, name: &WireName, kind: WireType) -> Option<(WireName, WireType)> {
    let own = || {
        let answers = message.answers.iter();
        answers.filter(|record| record.dns_class == DNSClass::IN && record.name == *name)
    };
    let has = |kind| own().any(|record| record.record_type() == kind);
    let is_alias_signed =
        own().any(|one| signature(one).is_some() && covers(one) == WireType::CNAME);
    if has(kind) {
        return Some((name.clone(), kind));
    }
    match redirecting(message, name) {
        Some(record) if !is_alias_signed => Some((record.name.clone(), WireType::DNAME)),
        _ => has(WireType::CNAME).then(|| (name.clone(), WireType::CNAME)),
    }
}

/// Leaves the proof of one zone above the name that there is nothing, or nothing.
fn keep_denial(authorities: &mut Vec<Record>, name: &WireName) {
    let zones = authorities
        .iter()
        .filter(|one| one.record_type() == WireType::SOA && one.name.zone_of(name));
    let Some(zone) = zones.map(|soa| soa.name.clone()).max_by_key(WireName::num_labels) else {
        authorities.clear();
        return;
    };
    let mut kept = 0;
    authorities.retain(|record| {
        let is_soa = record.name == zone && covers(record) == WireType::SOA;
        let is_kept = (is_soa || is_denial(record)) && is_of(record, &zone);
        kept += usize::from(is_kept);
        is_kept && kept <= DENIALS_MAX
    });
}

/// Whether a record may be one of a zone.
///
/// Attack: whoever has a zone below could sign that something is not there in the zone above. So
/// signatures of others do not count, and what is left without one does not either.
fn is_of(record: &Record, zone: &WireName) -> bool {
    zone.zone_of(&record.name)
        && signature(record).is_none_or(|one| one.input().signer_name == *zone)
}

/// Whether a record, or the one it signs, says what is not there.
fn is_denial(record: &Record) -> bool {
    matches!(covers(record), WireType::NSEC | WireType::NSEC3)
}

/// The kind of a record, or of what it signs.
fn covers(record: &Record) -> WireType {
    signature(record).map_or_else(|| record.record_type(), |one| one.input().type_covered)
}

fn signature(record: &Record) -> Option<&RRSIG> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature),
        _ => None,
    }
}

/// The zone whose wildcard a record comes from, by its signature. RFC 4034 §3.1.3.
fn wildcard_signer(record: &Record) -> Option<&WireName> {
    let input = signature(record)?.input();
    (input.num_labels < record.name.num_labels()).then_some(&input.signer_name)
}

/// What the records of a checked and [`narrowed`] answer are worth together. `None` if they are bogus.
/// RFC 4033 §5.
///
/// - `denial`: what the checks make of the proofs of absence, if they have an objection.
pub(super) fn security(
    message: &Message,
    name: &WireName,
    denial: Option<Proof>,
) -> Option<Security> {
    let mut records = message.answers.iter().filter(|one| signature(one).is_none()).peekable();
    if records.peek().is_none() {
        return match denial {
            None => absence(message),
            // A proof that costs more to check than is reasonable. RFC 9276 §3.2.
            Some(Proof::Insecure) => Some(Security::Insecure),
            Some(_) => None,
        };
    }
    let mut security = Security::Secure;
    for record in records {
        security = security.and(match record.proof {
            Proof::Secure => Security::Secure,
            Proof::Insecure => Security::Insecure,
            Proof::Bogus | Proof::Indeterminate => return None,
        });
    }
    let is_by_wildcard = message.answers.iter().any(|one| wildcard_signer(one).is_some());
    if !security.is_secure() || !is_by_wildcard {
        return Some(security);
    }
    match denial {
        None => has_secure_denial(message).then_some(security),
        Some(Proof::Insecure) => Some(Security::Insecure),
        // The checks want more than there need be if the wildcard is right above the name.
        Some(_) => has_nothing_closer(message, name).then_some(security),
    }
}

/// Whether it is proven by NSEC that the name below the wildcard on the way to `name` does not exist,
/// and with it none that would be closer than the wildcard. RFC 4035 §5.3.4.
fn has_nothing_closer(message: &Message, name: &WireName) -> bool {
    let wildcards = message.answers.iter().filter(|one| one.proof == Proof::Secure);
    let mut wildcards = wildcards.filter(|one| wildcard_signer(one).is_some());
    wildcards.all(|wildcard| {
        let Some(input) = signature(wildcard).map(|one| one.input()) else { return false };
        let closer = name.trim_to(usize::from(input.num_labels) + 1);
        let authorities = &message.authorities;
        let is_signed = |owner: &WireName| {
            authorities.iter().any(|one| {
                one.proof == Proof::Secure
                    && one.name == *owner
                    && covers(one) == WireType::NSEC
                    && signature(one).is_some_and(|by| by.input().signer_name == input.signer_name)
            })
        };
        authorities.iter().any(|one| match &one.data {
            RData::DNSSEC(DNSSECRData::NSEC(nsec)) => {
                one.proof == Proof::Secure
                    && is_signed(&one.name)
                    && denies(&one.name, nsec, &closer, &input.signer_name)
            }
            _ => false,
        })
    })
}

/// Whether an NSEC record of a zone says that there is nothing at and below a name.
fn denies(owner: &WireName, nsec: &NSEC, name: &WireName, zone: &WireName) -> bool {
    let (next, kinds) = (nsec.next_domain_name(), nsec.type_set());
    // Of what is below another zone's origin, or moved away, it says nothing. RFC 6840 §4.1.
    let is_elsewhere = nsec.is_ancestor_delegation() || kinds.contains(WireType::DNAME);
    let is_last = next == zone;
    owner < name
        && (name < next || is_last)
        && !name.zone_of(next)
        && !(is_elsewhere && owner.zone_of(name))
}

/// What it is worth that there is nothing.
fn absence(message: &Message) -> Option<Security> {
    let authorities = &message.authorities;
    if has_secure_denial(message) {
        // Where names may be left out of the proof, a name that is not in it may exist, in a zone
        // that is not signed. RFC 5155 §9.2.
        let may_leave_out = authorities.iter().any(|one| match &one.data {
            RData::DNSSEC(DNSSECRData::NSEC3(proof)) => proof.opt_out(),
            _ => false,
        });
        return Some(if may_leave_out { Security::Insecure } else { Security::Secure });
    }
    let mut records = authorities.iter().filter(|one| signature(one).is_none());
    records.all(|one| one.proof == Proof::Insecure).then_some(Security::Insecure)
}

fn has_secure_denial(message: &Message) -> bool {
    message.authorities.iter().any(|one| {
        one.proof == Proof::Secure && matches!(one.record_type(), WireType::NSEC | WireType::NSEC3)
    })
}
