//! A message record of the original as one of ours.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mox_base::{
    Address, Domain, Flags, Keyword, Localpart, MailboxId, ModSeq, MsgId, ThreadId, Uid,
    UnixSeconds, Validation,
};
use mox_bstore::{Record, Value};
use mox_policy::{Author, Marks, Network, Origin, Proven};
use mox_store::{
    Envelope, Incoming, KeptMessage, KeptThread, ReceivedTls, Staged, THREAD_PARENTS_MAX,
};

use crate::check::Sound;

/// How long a content hash of ours is.
const HASH_BYTES: usize = 32;

/// The flags of a record, by the names of their fields.
const FLAGS: &[(&str, Flags)] = &[
    ("Seen", Flags::SEEN),
    ("Answered", Flags::ANSWERED),
    ("Flagged", Flags::FLAGGED),
    ("Forwarded", Flags::FORWARDED),
    ("Junk", Flags::JUNK),
    ("Notjunk", Flags::NOT_JUNK),
    ("Deleted", Flags::DELETED),
    ("Draft", Flags::DRAFT),
    ("Phishing", Flags::PHISHING),
    ("MDNSent", Flags::MDN_SENT),
];

/// The largest id that is believed: every later message gets one above.
pub(crate) const ID_MAX: i64 = 1 << 62;

/// The largest modseq that is believed, for the same reason.
pub(crate) const MODSEQ_MAX: u64 = 1 << 62;

/// The most characters of a preview; the original makes none that is longer.
const PREVIEW_CHARS_MAX: usize = 256;

/// How many bytes of memory a message takes on its way, about: what is noted of its size can be wrong,
/// what its record holds is there.
pub(crate) fn weight(record: &Record) -> u64 {
    let held = record.bytes("MsgPrefix").len() + record.bytes("ParsedBuf").len();
    record.u64("Size").saturating_add(held as u64)
}

/// A modseq: those from before there were any are 0, and shown to clients as 1.
///
/// - `field`: which; the empty name is of none.
pub(crate) fn modseq(record: &Record, field: &str) -> ModSeq {
    ModSeq::new(record.u64(field).max(1)).unwrap_or_default()
}

pub(crate) fn uid(record: &Record) -> Option<Uid> {
    u32::try_from(record.u64("UID")).ok().and_then(Uid::new)
}

/// Keywords that can be ones, and those that cannot.
pub(crate) fn keywords(list: &Value) -> (Vec<Keyword>, Vec<String>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for word in list.list() {
        match Keyword::parse(word.text()) {
            Ok(keyword) => good.push(keyword),
            Err(_) => bad.push(word.text().to_owned()),
        }
    }
    (good, bad)
}

/// How many files lie in one directory, as a power of two.
pub(crate) const FILES_PER_DIR_BITS: u32 = 13;

/// The directory of a message file below `msg` or the queue.
pub(crate) fn dir_name(id: i64) -> String {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    let mut rest = u64::try_from(id).unwrap_or(0) >> FILES_PER_DIR_BITS;
    let mut name = String::new();
    loop {
        name.push(LETTERS.get((rest & 63) as usize).copied().map_or('a', char::from));
        rest >>= 6;
        if rest == 0 {
            return name;
        }
    }
}

/// Where a message file lies below `msg` or the queue.
pub(crate) fn file_name(id: i64) -> String {
    format!("{}/{id}", dir_name(id))
}

/// What the account says about where messages are put aside.
pub(crate) struct Aside<'a> {
    /// All mailboxes that exist.
    pub(crate) mailboxes: &'a BTreeSet<MailboxId>,
    /// The one for first messages of strangers.
    pub(crate) introbox: Option<MailboxId>,
    /// Whether the original knew all threads.
    pub(crate) has_threads: bool,
}

/// A message with its content.
pub(crate) fn message(sound: &Sound, content: Staged, aside: &Aside<'_>) -> KeptMessage {
    let Sound { record, mailbox, uid, modseq, createseq, keywords, .. } = sound;
    let (id, mailbox) = (MsgId(sound.id()), *mailbox);
    let flags = FLAGS.iter().filter(|(name, _)| record.bool(name));
    let received = record.time("Received").map_or(0, |time| time.unix_secs);
    let is_put_aside = record.bool("IsReject") || aside.introbox == Some(mailbox);
    let destined = MailboxId(record.i64("MailboxDestinedID"));
    let is_elsewhere = destined != mailbox && aside.mailboxes.contains(&destined);
    let original = record.i64("MailboxOrigID");
    KeptMessage {
        id,
        mailbox,
        uid: *uid,
        modseq: *modseq,
        createseq: *createseq,
        content,
        flags: flags.fold(Flags::NONE, |all, (_, flag)| all | *flag),
        keywords: keywords.clone(),
        received: UnixSeconds(received),
        received_zone: record.time("Received").map_or(0, |time| zone_minutes(time.offset_secs)),
        saved: UnixSeconds(record.time("SaveDate").map_or(received, |time| time.unix_secs)),
        thread: thread(record, id, aside.has_threads),
        original_mailbox: if original > 0 { MailboxId(original) } else { mailbox },
        destined: Some(destined).filter(|_| is_put_aside && is_elsewhere),
        envelope: envelope(record),
        preview: preview(record),
    }
}

/// The thread of a message; itself alone if what the original noted cannot be used.
fn thread(record: &Record, id: MsgId, is_usable: bool) -> KeptThread {
    let thread = Some(record.i64("ThreadID")).filter(|thread| is_usable && *thread > 0);
    let parents = if is_usable { record.get("ThreadParentIDs").list() } else { &[] };
    let parents = parents.iter().map(|id| MsgId(id.i64()));
    KeptThread {
        id: ThreadId(thread.unwrap_or(id.0)),
        parents: parents.filter(|parent| *parent != id).take(THREAD_PARENTS_MAX).collect(),
        is_incomplete: is_usable && record.bool("ThreadMissingLink"),
        is_muted: record.bool("ThreadMuted"),
        is_collapsed: record.bool("ThreadCollapsed"),
    }
}

/// The preview, if one was made. It may be empty.
fn preview(record: &Record) -> Option<String> {
    let preview = Some(record.get("Preview")).filter(|preview| !preview.is_absent())?;
    Some(preview.text().chars().take(PREVIEW_CHARS_MAX).collect())
}

/// Seconds of a zone are not for INTERNALDATE; one of a day or more is none of this world.
fn zone_minutes(offset_secs: i32) -> i16 {
    i16::try_from(offset_secs / 60).unwrap_or_default()
}

/// What SMTP told; nothing for messages that came otherwise.
fn envelope(record: &Record) -> Option<Envelope> {
    let is_by_smtp = ["RemoteIP", "MailFrom", "RcptToDomain", "EHLODomain"];
    let tls = received_tls(record);
    if is_by_smtp.iter().all(|field| record.text(field).is_empty()) && tls == ReceivedTls::default()
    {
        return None;
    }
    let rcpt_to = match (record.text("RcptToLocalpart"), record.text("RcptToDomain")) {
        ("", "") => String::new(),
        (localpart, domain) => match address(localpart, domain) {
            Some(address) => address.to_string(),
            None => format!("{localpart}@{domain}"),
        },
    };
    Some(Envelope {
        mail_from: record.text("MailFrom").to_owned(),
        rcpt_to,
        remote_ip: record.text("RemoteIP").to_owned(),
        ehlo: record.text("EHLODomain").to_owned(),
        tls,
        incoming: incoming(record),
    })
}

/// The numbers are the same there, also that of plain text.
fn received_tls(record: &Record) -> ReceivedTls {
    let number = |field: &str| u16::try_from(record.u64(field)).unwrap_or_default();
    ReceivedTls {
        version: number("ReceivedTLSVersion"),
        cipher: number("ReceivedTLSCipherSuite"),
        is_required: record.bool("ReceivedRequireTLS"),
    }
}

fn address(localpart: &str, domain: &str) -> Option<Address> {
    let localpart = Localpart::from_decoded(localpart).ok()?;
    Some(Address { localpart, domain: Domain::parse(domain).ok()? })
}

fn domains(list: &Value) -> Vec<Domain> {
    list.list().iter().filter_map(|name| Domain::parse(name.text()).ok()).collect()
}

/// The numbers of levels are the same there.
fn validation(record: &Record, field: &str) -> Validation {
    Validation::from_number(u8::try_from(record.u64(field)).unwrap_or(0))
}

/// Who sent it, as the decision on it found out. Nothing if it was never decided upon.
fn incoming(record: &Record) -> Option<Incoming> {
    let author = address(record.text("MsgFromLocalpart"), record.text("MsgFromDomain"));
    let host: Option<IpAddr> = record.text("RemoteIPMasked1").parse().ok();
    let forwarder_ehlo = Domain::parse(record.text("OrigEHLODomain")).ok();
    if author.is_none() && host.is_none() && forwarder_ehlo.is_none() {
        return None;
    }
    let organization = |author: &Address| {
        Domain::parse(record.text("MsgFromOrgDomain")).unwrap_or_else(|_| author.domain.clone())
    };
    let author = author.map(|address| Author {
        organization: organization(&address),
        address,
        validation: validation(record, "MsgFromValidation"),
    });
    let mail_from = address(record.text("MailFromLocalpart"), record.text("MailFromDomain"));
    let mail_from_validation = validation(record, "MailFromValidation");
    let ehlo = Domain::parse(record.text("EHLODomain")).ok();
    let hash = <[u8; HASH_BYTES]>::try_from(record.bytes("MessageHash")).ok();
    Some(Incoming {
        origin: Origin {
            author,
            networks: host.map(Network::all_of),
            ehlo: ehlo
                .map(|name| Proven { name, validation: validation(record, "EHLOValidation") }),
            mail_from: mail_from.map(|name| Proven { name, validation: mail_from_validation }),
            mail_from_validation,
            dkim_domains: domains(record.get("DKIMDomains")),
            forwarder_ehlo,
            forwarder_dkim_domains: domains(record.get("OrigDKIMDomains")),
        },
        marks: Marks {
            is_seen: false,
            is_reject: record.bool("IsReject"),
            is_forward: record.bool("IsForward"),
            is_mailing_list: record.bool("IsMailingList"),
        },
        destined: None,
        decision: None,
        content_hash: hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_8192_to_a_directory() {
        let table = [
            (1, "a/1"),
            (8191, "a/8191"),
            (8192, "b/8192"),
            (524_287, "_/524287"),
            (524_288, "ab/524288"),
        ];
        for (id, want) in table {
            assert_eq!(file_name(id), want);
        }
    }
}
