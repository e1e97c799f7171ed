//! Every field that the original's own library says an account has, compared with what ours has.
//!
//! A table for each type names where each field went, or why there is nothing to compare. A field or type
//! that stands in no table fails.

use std::ops::ControlFlow;

use aws_lc_rs::digest::{SHA256, digest};
use mox_base::{
    Address, Domain, Flags, Localpart, MailboxId, MailboxName, ModSeq, MsgId, SpecialUse, Uid,
    UnixSeconds, Validation, ZonedTime,
};
use mox_policy::{Addressee, History as _, Origin};
use mox_sasl::{Password, ScramHash, ScramVerifier};
use mox_store::{
    Account as Ours, Columns, Fetched, Incoming, Mailbox, Reader, ReceivedTls, Remembered,
};
use mox_takeover::Summary;
use serde_json::{Value as Json, json};

use crate::fixtures::{Fixture, bytes, unix_secs};

/// Where a field went.
enum How<T> {
    /// Ours has this value.
    Same(fn(&T) -> Json),
    /// Whether ours has what the value means.
    Is(fn(&T, &Json) -> bool),
    /// There is nothing to compare, and why.
    Not(&'static str),
}

use How::{Is, Not, Same};

type Fields<T> = &'static [(&'static str, How<T>)];

/// Compares a record; its fields must be those of the table.
#[track_caller]
fn compare<T>(what: &str, fields: Fields<T>, ours: &T, theirs: &Json) {
    let names: Vec<_> = theirs.as_object().unwrap().keys().collect();
    for name in &names {
        assert!(fields.iter().any(|(field, _)| field == name), "{what}: {name} is in no table");
    }
    for (name, how) in fields {
        assert!(names.iter().any(|one| one == name), "{what}: there is no {name}");
        let value = &theirs[name];
        match how {
            Same(mine) => assert_eq!(mine(ours), *value, "{what}: {name}"),
            Is(is) => assert!(is(ours, value), "{what}: {name} {value}"),
            Not(why) => assert!(!why.is_empty()),
        }
    }
}

fn list<T: Into<Json>>(values: impl IntoIterator<Item = T>) -> Json {
    let values: Vec<Json> = values.into_iter().map(Into::into).collect();
    if values.is_empty() { Json::Null } else { values.into() }
}

/// Modseqs from before there were any are 0 there, and 1 to clients.
fn is_modseq(ours: ModSeq, theirs: &Json) -> bool {
    theirs.as_u64().unwrap().max(1) == ours.get()
}

fn is_time(ours: UnixSeconds, theirs: &Json) -> bool {
    unix_secs(theirs) == ours.0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A message of ours.
struct Message {
    id: MsgId,
    modseq: ModSeq,
    flags: Flags,
    keywords: Vec<String>,
    size: u64,
    received: ZonedTime,
    saved: UnixSeconds,
    preview: String,
    content: Vec<u8>,
    mailbox_name: String,
    known: Remembered,
}

impl Message {
    fn read(reader: &Reader, mailbox: MailboxId, uid: Uid) -> Self {
        let columns = Columns { preview: true, ..Columns::default() };
        let mut found = None;
        let visit = &mut |one: &Fetched<'_>| {
            let keywords = one.keyword_list().iter().map(ToString::to_string).collect();
            let preview = one.preview.to_owned();
            found = Some((
                one.id,
                one.modseq,
                one.flags,
                keywords,
                preview,
                one.size,
                one.received,
                one.saved,
            ));
            ControlFlow::Continue(())
        };
        assert!(reader.fetch(mailbox, &[uid.get()], columns, visit).unwrap().is_continue());
        let (id, modseq, flags, keywords, preview, size, received, saved) = found.unwrap();
        let content = reader.content(mailbox, uid).unwrap().to_vec().unwrap();
        let mailbox_name = reader.mailbox_by_id(mailbox).unwrap().name.to_string();
        let known = reader.remembered(id).unwrap().unwrap();
        Self {
            id,
            modseq,
            flags,
            keywords,
            size,
            received,
            saved,
            preview,
            content,
            mailbox_name,
            known,
        }
    }

    fn incoming(&self) -> Option<&Incoming> {
        self.known.envelope.as_ref()?.incoming.as_ref()
    }

    fn origin(&self) -> Option<&Origin> {
        self.incoming().map(|incoming| &incoming.origin)
    }

    fn marks(&self, mark: fn(&Incoming) -> bool) -> Json {
        self.incoming().is_some_and(mark).into()
    }

    /// Something of the sender, as text; empty if there is nothing.
    fn of_origin(&self, part: fn(&Origin) -> Option<String>) -> Json {
        self.origin().and_then(part).unwrap_or_default().into()
    }

    fn validation(&self, of: fn(&Origin) -> Option<Validation>) -> Validation {
        self.origin().and_then(of).unwrap_or_default()
    }

    fn envelope(&self, part: fn(&mox_store::Envelope) -> String) -> Json {
        self.known.envelope.as_ref().map(part).unwrap_or_default().into()
    }

    fn tls(&self) -> ReceivedTls {
        self.known.envelope.as_ref().map(|envelope| envelope.tls).unwrap_or_default()
    }

    fn rcpt_to(&self, part: fn(&Address) -> String) -> Json {
        let rcpt_to = self.known.envelope.as_ref().map(|envelope| envelope.rcpt_to.as_str());
        rcpt_to
            .and_then(|text| Address::parse(text).ok())
            .as_ref()
            .map(part)
            .unwrap_or_default()
            .into()
    }

    fn network(&self, which: usize) -> Json {
        let networks = self.origin().and_then(|origin| origin.networks);
        networks.map(|all| all[which].first_ip().to_string()).unwrap_or_default().into()
    }

    fn flag(&self, flag: Flags) -> Json {
        self.flags.contains(flag).into()
    }
}

fn ehlo_validation(origin: &Origin) -> Option<Validation> {
    origin.ehlo.as_ref().map(|ehlo| ehlo.validation)
}

fn author_validation(origin: &Origin) -> Option<Validation> {
    origin.author.as_ref().map(|author| author.validation)
}

fn names(domains: &[Domain]) -> Json {
    list(domains.iter().map(Domain::unicode))
}

const LEARNT: &str = "ours learns anew from the flags, see `junk`";

const MESSAGE: Fields<Message> = &[
    ("ID", Same(|m| m.id.0.into())),
    ("UID", Same(|m| m.known.uid.get().into())),
    ("MailboxID", Same(|m| m.known.mailbox.0.into())),
    ("ModSeq", Is(|m, value| is_modseq(m.modseq, value))),
    ("CreateSeq", Is(|m, value| is_modseq(m.known.createseq, value))),
    ("Expunged", Same(|_| false.into())),
    ("IsReject", Same(|m| m.marks(|incoming| incoming.marks.is_reject))),
    ("IsForward", Same(|m| m.marks(|incoming| incoming.marks.is_forward))),
    ("IsMailingList", Same(|m| m.marks(|incoming| incoming.marks.is_mailing_list))),
    ("MailboxOrigID", Same(|m| m.known.original_mailbox.0.into())),
    // Ours forgets it when the message is where it was destined for.
    (
        "MailboxDestinedID",
        Is(|m, value| match m.known.destined {
            Some(destined) => *value == destined.0,
            None => *value == 0 || *value == m.known.mailbox.0,
        }),
    ),
    ("Received", Is(|m, value| is_time(m.received.time(), value))),
    ("SaveDate", Is(|m, value| is_time(m.saved, value))),
    ("RemoteIP", Same(|m| m.envelope(|envelope| envelope.remote_ip.clone()))),
    ("RemoteIPMasked1", Same(|m| m.network(0))),
    ("RemoteIPMasked2", Same(|m| m.network(1))),
    ("RemoteIPMasked3", Same(|m| m.network(2))),
    (
        "EHLODomain",
        Same(|m| m.of_origin(|origin| Some(origin.ehlo.as_ref()?.name.unicode().to_owned()))),
    ),
    ("MailFrom", Same(|m| m.envelope(|envelope| envelope.mail_from.clone()))),
    (
        "MailFromLocalpart",
        Same(|m| {
            m.of_origin(|origin| {
                Some(origin.mail_from.as_ref()?.name.localpart.as_str().to_owned())
            })
        }),
    ),
    (
        "MailFromDomain",
        Same(|m| {
            m.of_origin(|origin| Some(origin.mail_from.as_ref()?.name.domain.unicode().to_owned()))
        }),
    ),
    ("RcptToLocalpart", Same(|m| m.rcpt_to(|address| address.localpart.as_str().to_owned()))),
    ("RcptToDomain", Same(|m| m.rcpt_to(|address| address.domain.unicode().to_owned()))),
    (
        "MsgFromLocalpart",
        Same(|m| {
            m.of_origin(|origin| {
                Some(origin.author.as_ref()?.address.localpart.as_str().to_owned())
            })
        }),
    ),
    (
        "MsgFromDomain",
        Same(|m| {
            m.of_origin(|origin| Some(origin.author.as_ref()?.address.domain.unicode().to_owned()))
        }),
    ),
    (
        "MsgFromOrgDomain",
        Same(|m| {
            m.of_origin(|origin| Some(origin.author.as_ref()?.organization.unicode().to_owned()))
        }),
    ),
    ("EHLOValidated", Same(|m| m.validation(ehlo_validation).is_validated().into())),
    (
        "MailFromValidated",
        Same(|m| m.validation(|origin| Some(origin.mail_from_validation)).is_validated().into()),
    ),
    ("MsgFromValidated", Same(|m| m.validation(author_validation).is_validated().into())),
    ("EHLOValidation", Same(|m| m.validation(ehlo_validation).number().into())),
    (
        "MailFromValidation",
        Same(|m| m.validation(|origin| Some(origin.mail_from_validation)).number().into()),
    ),
    ("MsgFromValidation", Same(|m| m.validation(author_validation).number().into())),
    ("DKIMDomains", Same(|m| m.origin().map_or(Json::Null, |origin| names(&origin.dkim_domains)))),
    (
        "OrigEHLODomain",
        Same(|m| m.of_origin(|origin| Some(origin.forwarder_ehlo.as_ref()?.unicode().to_owned()))),
    ),
    (
        "OrigDKIMDomains",
        Same(|m| m.origin().map_or(Json::Null, |origin| names(&origin.forwarder_dkim_domains))),
    ),
    ("MessageID", Same(|m| m.known.message_id.clone().unwrap_or_default().into())),
    ("SubjectBase", Same(|m| m.known.subject.clone().unwrap_or_default().into())),
    (
        "MessageHash",
        Is(|m, value| {
            let hash = m.incoming().and_then(|incoming| incoming.content_hash);
            hash.map_or_else(|| value.is_null(), |hash| bytes(value) == hash)
        }),
    ),
    ("ThreadID", Same(|m| m.known.thread.id.0.into())),
    ("ThreadParentIDs", Same(|m| list(m.known.thread.parents.iter().map(|id| id.0)))),
    ("ThreadMissingLink", Same(|m| m.known.thread.is_incomplete.into())),
    ("ThreadMuted", Same(|m| m.known.thread.is_muted.into())),
    ("ThreadCollapsed", Same(|m| m.known.thread.is_collapsed.into())),
    ("DSN", Same(|m| m.known.is_dsn.into())),
    ("ReceivedTLSVersion", Same(|m| m.tls().version.into())),
    ("ReceivedTLSCipherSuite", Same(|m| m.tls().cipher.into())),
    ("ReceivedRequireTLS", Same(|m| m.tls().is_required.into())),
    ("Seen", Same(|m| m.flag(Flags::SEEN))),
    ("Answered", Same(|m| m.flag(Flags::ANSWERED))),
    ("Flagged", Same(|m| m.flag(Flags::FLAGGED))),
    ("Forwarded", Same(|m| m.flag(Flags::FORWARDED))),
    ("Junk", Same(|m| m.flag(Flags::JUNK))),
    ("Notjunk", Same(|m| m.flag(Flags::NOT_JUNK))),
    ("Deleted", Same(|m| m.flag(Flags::DELETED))),
    ("Draft", Same(|m| m.flag(Flags::DRAFT))),
    ("Phishing", Same(|m| m.flag(Flags::PHISHING))),
    ("MDNSent", Same(|m| m.flag(Flags::MDN_SENT))),
    ("Keywords", Same(|m| list(m.keywords.iter().map(String::as_str)))),
    ("Size", Same(|m| m.size.into())),
    ("TrainedJunk", Not(LEARNT)),
    (
        "MsgPrefix",
        Is(|m, value| {
            let prefix = if value.is_null() { Vec::new() } else { bytes(value) };
            m.known.prefix_bytes == prefix.len() as u64 && m.content.starts_with(&prefix)
        }),
    ),
    // Empty also if none was made: that is told apart below.
    ("Preview", Is(|m, value| *value == "" || *value == m.preview.as_str())),
    ("ParsedBuf", Not("ours parses each message itself")),
];

/// As far as it says more than the record does, or says it otherwise.
const DUMPED: Fields<Message> = &[
    ("createseq", Is(|m, value| is_modseq(m.known.createseq, value))),
    ("dkim_domains", Same(|m| m.origin().map_or(Json::Null, |origin| names(&origin.dkim_domains)))),
    ("dsn", Same(|m| m.known.is_dsn.into())),
    ("expunged", Same(|_| false.into())),
    (
        "flags",
        Is(|m, value| {
            value.as_array().map_or(0, Vec::len)
                == MESSAGE_FLAGS.iter().filter(|flag| m.flags.contains(**flag)).count()
        }),
    ),
    ("full_len", Same(|m| m.content.len().into())),
    ("id", Same(|m| m.id.0.into())),
    ("is_reject", Same(|m| m.marks(|incoming| incoming.marks.is_reject))),
    ("keywords", Same(|m| list(m.keywords.iter().map(String::as_str)))),
    ("mail_from", Same(|m| m.envelope(|envelope| envelope.mail_from.clone()))),
    ("mailbox", Same(|m| m.mailbox_name.as_str().into())),
    ("mailbox_id", Same(|m| m.known.mailbox.0.into())),
    ("mailbox_orig_id", Same(|m| m.known.original_mailbox.0.into())),
    ("message_id", Same(|m| m.known.message_id.clone().unwrap_or_default().into())),
    ("modseq", Is(|m, value| is_modseq(m.modseq, value))),
    ("path", Not("ours has no file of that name")),
    ("prefix_len", Same(|m| m.known.prefix_bytes.into())),
    // Ours makes one if the original had not.
    ("preview", Is(|m, value| value.as_str().is_none_or(|preview| preview == m.preview))),
    ("received", Is(|m, value| is_time(m.received.time(), value))),
    ("received_offset_seconds", Same(|m| (i64::from(m.received.zone_minutes()) * 60).into())),
    ("remote_ip", Same(|m| m.envelope(|envelope| envelope.remote_ip.clone()))),
    ("savedate", Is(|m, value| is_time(m.saved, value))),
    ("sha256", Same(|m| hex(digest(&SHA256, &m.content).as_ref()).into())),
    ("size", Same(|m| m.size.into())),
    ("subject_base", Same(|m| m.known.subject.clone().unwrap_or_default().into())),
    ("thread_collapsed", Same(|m| m.known.thread.is_collapsed.into())),
    ("thread_id", Same(|m| m.known.thread.id.0.into())),
    ("thread_missing_link", Same(|m| m.known.thread.is_incomplete.into())),
    ("thread_muted", Same(|m| m.known.thread.is_muted.into())),
    ("thread_parent_ids", Same(|m| list(m.known.thread.parents.iter().map(|id| id.0)))),
    (
        "trained_junk",
        Is(|m, value| {
            // What it was trained as is what its flags say, so what ours learns; an account may have had
            // no filter.
            let (junk, not_junk) =
                (m.flags.contains(Flags::JUNK), m.flags.contains(Flags::NOT_JUNK));
            value.is_null() || value.as_bool() == (junk != not_junk).then_some(junk)
        }),
    ),
    ("uid", Same(|m| m.known.uid.get().into())),
];

const MESSAGE_FLAGS: [Flags; 10] = [
    Flags::SEEN,
    Flags::ANSWERED,
    Flags::FLAGGED,
    Flags::FORWARDED,
    Flags::JUNK,
    Flags::NOT_JUNK,
    Flags::DELETED,
    Flags::DRAFT,
    Flags::PHISHING,
    Flags::MDN_SENT,
];

/// A mailbox of ours, with the id of the one above it, or 0.
struct InTree(Mailbox, i64);

impl InTree {
    fn has(&self, role: SpecialUse) -> Json {
        self.0.special_use.contains(role).into()
    }

    fn keywords(&self) -> Json {
        list(self.0.keywords.iter().map(|one| one.as_str()))
    }
}

const MAILBOX: Fields<InTree> = &[
    ("ID", Same(|b| b.0.id.0.into())),
    ("CreateSeq", Is(|b, value| is_modseq(b.0.createseq, value))),
    ("ModSeq", Is(|b, value| is_modseq(b.0.modseq, value))),
    ("Expunged", Same(|_| false.into())),
    ("ParentID", Same(|b| b.1.into())),
    ("Name", Same(|b| b.0.name.as_str().into())),
    ("UIDValidity", Same(|b| b.0.uidvalidity.get().into())),
    ("UIDNext", Same(|b| b.0.uidnext.into())),
    ("Archive", Same(|b| b.has(SpecialUse::ARCHIVE))),
    ("Draft", Same(|b| b.has(SpecialUse::DRAFTS))),
    ("Junk", Same(|b| b.has(SpecialUse::JUNK))),
    ("Sent", Same(|b| b.has(SpecialUse::SENT))),
    ("Trash", Same(|b| b.has(SpecialUse::TRASH))),
    ("Keywords", Same(InTree::keywords)),
    ("HaveCounts", Not("says nothing any more")),
    ("Total", Same(|b| b.0.counts.total.into())),
    ("Deleted", Same(|b| b.0.counts.deleted.into())),
    ("Unread", Same(|b| b.0.counts.unread.into())),
    ("Unseen", Same(|b| b.0.counts.unseen.into())),
    ("Size", Same(|b| b.0.counts.size.into())),
];

/// A mailbox once more, as it is dumped.
const DUMPED_MAILBOX: Fields<InTree> = &[
    ("createseq", Is(|b, value| is_modseq(b.0.createseq, value))),
    ("deleted", Same(|b| b.0.counts.deleted.into())),
    ("expunged", Same(|_| false.into())),
    ("id", Same(|b| b.0.id.0.into())),
    ("keywords", Same(InTree::keywords)),
    ("modseq", Is(|b, value| is_modseq(b.0.modseq, value))),
    ("name", Same(|b| b.0.name.as_str().into())),
    ("parent_id", Same(|b| b.1.into())),
    ("size", Same(|b| b.0.counts.size.into())),
    (
        "special_use",
        Is(|b, value| {
            let count = value.as_array().map_or(0, Vec::len);
            b.0.special_use.names().count() == count
        }),
    ),
    ("total", Same(|b| b.0.counts.total.into())),
    ("uidnext", Same(|b| b.0.uidnext.into())),
    ("uidvalidity", Same(|b| b.0.uidvalidity.get().into())),
    ("unread", Same(|b| b.0.counts.unread.into())),
    ("unseen", Same(|b| b.0.counts.unseen.into())),
];

/// An account that was copied.
struct Copied<'a> {
    ours: &'a Ours,
    reader: Reader,
    summary: &'a Summary,
    mailboxes: Vec<Mailbox>,
}

impl Copied<'_> {
    fn left(&self, what: &str) -> u64 {
        self.summary.left.get(what).copied().unwrap_or(0)
    }

    fn mailboxes(&self, records: &[Json], fields: Fields<InTree>, gone: &str) {
        let live: Vec<_> = records.iter().filter(|one| one[gone] == false).collect();
        assert_eq!(live.len(), self.mailboxes.len());
        let id = if gone == "Expunged" { "ID" } else { "id" };
        for record in live {
            let found = self.mailboxes.iter().find(|one| record[id] == one.id.0).unwrap();
            let above = found.name.parent();
            let above = self.mailboxes.iter().find(|one| Some(&one.name) == above.as_ref());
            let found = InTree(found.clone(), above.map_or(0, |one| one.id.0));
            compare(&format!("mailbox {}", found.0.name), fields, &found, record);
        }
    }
}

impl Copied<'_> {
    /// Messages by their records and as they are dumped; removals too. Returns how many are there.
    fn messages(&self, records: &[Json], dumped: &[Json]) -> u64 {
        assert_eq!(records.len(), dumped.len());
        let mut count = 0;
        for (record, dumped) in records.iter().zip(dumped) {
            let mailbox = MailboxId(record["MailboxID"].as_i64().unwrap());
            let uid =
                u32::try_from(record["UID"].as_u64().unwrap()).ok().and_then(Uid::new).unwrap();
            let what = format!("message {}", record["ID"]);
            if record["Expunged"] == true {
                self.removal(mailbox, uid, record, dumped);
                continue;
            }
            count += 1;
            let found = Message::read(&self.reader, mailbox, uid);
            compare(&what, MESSAGE, &found, record);
            compare(&what, DUMPED, &found, dumped);
        }
        count
    }

    /// Of removals, clients are told the UID and the modseq; ours keeps no more.
    fn removal(&self, mailbox: MailboxId, uid: Uid, record: &Json, dumped: &Json) {
        let gone = self.reader.gone_at(mailbox, uid).unwrap();
        match self.mailboxes.iter().any(|one| one.id == mailbox) {
            true => {
                assert!(
                    is_modseq(gone.unwrap(), &record["ModSeq"])
                        && dumped["modseq"] == record["ModSeq"]
                );
            }
            // Nobody can ask what went from a mailbox that is deleted.
            false => assert_eq!(gone, None),
        }
        assert_eq!(self.reader.remembered(MsgId(record["ID"].as_i64().unwrap())).unwrap(), None);
        let known =
            ["createseq", "expunged", "id", "mailbox", "mailbox_id", "modseq", "thread_id", "uid"];
        assert!(dumped.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())));
    }

    fn annotations(&self, records: &[Json]) {
        let live: Vec<_> = records.iter().filter(|one| one["Expunged"] == false).collect();
        let of =
            |id: i64| self.reader.annotations(Some(MailboxId(id)).filter(|id| id.0 > 0)).unwrap();
        let ids = self.mailboxes.iter().map(|one| one.id.0).chain([0]);
        assert_eq!(ids.map(|id| of(id).len()).sum::<usize>(), live.len());
        for record in live {
            let id = record["MailboxID"].as_i64().unwrap();
            let found = of(id).into_iter().find(|one| record["Key"] == one.name.as_str()).unwrap();
            // Its ID, CreateSeq and ModSeq are seen by nobody: clients hear by the mailbox's.
            assert_eq!(found.value, bytes(&record["Value"]));
            assert_eq!(record["IsString"], !found.is_binary);
        }
    }

    fn recipients(&self, records: &[Json]) {
        for record in records {
            let domain = |field: &str| Domain::parse(record[field].as_str().unwrap()).unwrap();
            let localpart = Localpart::parse(record["Localpart"].as_str().unwrap()).unwrap();
            let address = Address { localpart, domain: domain("Domain") };
            let sent = UnixSeconds(unix_secs(&record["Sent"]));
            let organization = domain("OrgDomain");
            let all = [
                Addressee::Address(&address),
                Addressee::Domain(&address.domain),
                Addressee::Organization(&organization),
            ];
            for addressee in all {
                assert!(self.reader.has_sent_to(addressee, sent).unwrap(), "{record}");
            }
            // The message itself is there, and was in the mailbox for sent mail.
            let message = MsgId(record["MessageID"].as_i64().unwrap());
            assert!(self.reader.remembered(message).unwrap().is_some(), "{record}");
        }
    }

    fn pass_keys(&self, records: &[Json]) {
        for record in records {
            let address = Address::parse(record["Email"].as_str().unwrap()).unwrap();
            let key = self.reader.pass_key(&address).unwrap().unwrap();
            assert_eq!(record["Key"], key.expose());
        }
    }

    /// The next mailbox gets the UIDVALIDITY that it would have got there.
    fn next_uidvalidity(&self, records: &[Json]) {
        let name = MailboxName::parse("Made by this test").unwrap();
        let made = self.ours.create_mailbox(name.clone(), SpecialUse::NONE).wait().unwrap();
        assert_eq!(records[0]["Next"], made[0].uidvalidity.get());
        self.ours.delete_mailbox(name).wait().unwrap();
    }

    /// Passwords that were right are right, and those that were wrong are wrong, by both hash functions.
    fn passwords(&self, dumped: &[Json], records: &[Json]) {
        assert_eq!((dumped.len(), records.len()), (1, 1));
        let stored = self.reader.secret("password").unwrap().unwrap();
        let stored = String::from_utf8(stored).unwrap();
        let verifiers: Vec<_> =
            stored.lines().map(|line| ScramVerifier::parse(line).unwrap()).collect();
        assert_eq!(verifiers[0].hash(), ScramHash::Sha1);
        assert_eq!(verifiers[1].hash(), ScramHash::Sha256);
        let known = ["bcrypt", "crammd5_binary", "scramsha1", "scramsha256", "tests"];
        assert!(dumped[0].as_object().unwrap().keys().all(|key| known.contains(&key.as_str())));
        let tests = dumped[0]["tests"].as_array().unwrap();
        assert!(tests.len() > 1);
        for test in tests {
            let Ok(password) = Password::prepare(test["password"].as_str().unwrap()) else {
                // What ours would not take as a password was none there either.
                assert_eq!(test["scramsha1_ok"], false);
                continue;
            };
            // CRAM-MD5 ours does not have, and bcrypt is not needed beside verifiers.
            assert_eq!(test["scramsha1_ok"], verifiers[0].is_password(&password), "{test}");
            assert_eq!(test["scramsha256_ok"], verifiers[1].is_password(&password), "{test}");
        }
    }

    /// The records of a type.
    fn records(&self, name: &str, records: &[Json], dumped: &Json) {
        let count = records.len() as u64;
        let dumps = |key: &str| dumped[key].as_array().unwrap();
        match name {
            "Message" => {
                let live = self.messages(records, dumps("messages"));
                assert_eq!(self.summary.taken.get("messages").copied().unwrap_or(0), live);
            }
            "Mailbox" => {
                self.mailboxes(records, MAILBOX, "Expunged");
                self.mailboxes(dumps("mailboxes"), DUMPED_MAILBOX, "expunged");
            }
            "Subscription" => {
                let names = |list: &[Json]| list.to_vec();
                let found = self.reader.subscriptions().unwrap();
                let mut found: Vec<Json> = found.iter().map(|name| name.as_str().into()).collect();
                found.sort_by_key(ToString::to_string);
                for mut theirs in [
                    names(dumps("subscriptions")),
                    records.iter().map(|record| record["Name"].clone()).collect(),
                ] {
                    theirs.sort_by_key(ToString::to_string);
                    assert_eq!(found, theirs);
                }
            }
            "Annotation" => self.annotations(records),
            "Recipient" => self.recipients(records),
            "Password" => self.passwords(dumps("passwords"), records),
            "Subjectpass" => self.pass_keys(records),
            "NextUIDValidity" => self.next_uidvalidity(records),
            "SyncState" => {
                assert_eq!(records[0]["LastModSeq"], self.reader.modseq().get());
                assert_eq!(records[0]["HighestDeletedModSeq"], -1);
            }
            "Upgrade" => {
                let done = json!({"ID": 1, "Threads": 2, "MailboxModSeq": true,
                    "MailboxParentID": true, "MailboxCounts": true, "MessageParseVersion": 2});
                assert_eq!(records[0], done);
            }
            "DiskUsage" => {
                // There, what is removed and not erased yet still counts.
                let erasing = self.summary.differs.contains_key("space in use, counted anew");
                assert!(
                    !erasing
                        && records[0]["MessageSize"].as_u64() >= Some(self.reader.used_bytes())
                );
            }
            "MessageErase" => assert!(count == 0 || self.summary.is_whole()),
            "Settings" => assert_eq!(self.left("settings of webmail"), count),
            "FromAddressSettings" => {
                assert_eq!(self.left("settings of webmail about a sender"), count);
            }
            "RulesetNoListID" | "RulesetNoMsgFrom" | "RulesetNoMailbox" => {
                assert!(self.left("questions about rules not to be asked again") >= count);
            }
            "LoginSession" => {
                assert_eq!(self.left("logins of web pages: users log in again"), count);
            }
            // Of the queue: see `sending`.
            "Outgoing" | "RecipientDomainTLS" => {}
            other => panic!("nothing is said of type {other}"),
        }
    }
}

/// Compares an account of a fixture that was copied with all that is said of it.
#[track_caller]
pub(crate) fn check(fixture: &Fixture, account: &str, summary: &Summary) -> u64 {
    let expected = &fixture.expected["accounts"][account];
    let ours = fixture.store.account(account).unwrap();
    let reader = ours.read().unwrap();
    let mailboxes = reader.mailboxes().unwrap();
    let copied = Copied { ours: &ours, reader, summary, mailboxes };
    for (name, all) in expected["raw"].as_object().unwrap() {
        copied.records(name, all["records"].as_array().unwrap(), expected);
    }
    drop(copied);
    for (part, said) in expected.as_object().unwrap() {
        match part.as_str() {
            "junk" => {
                // Which words ours made of them is its own; as many messages were learnt as what.
                let learnt = fixture.learnt(&ours).totals;
                assert_eq!(
                    (said["hams"].as_u64(), said["spams"].as_u64()),
                    (Some(learnt.ham.into()), Some(learnt.spam.into()))
                );
            }
            "mailboxes" | "messages" | "passwords" | "raw" | "subscriptions" => {}
            other => panic!("nothing is said of {other}"),
        }
    }
    assert_eq!(ours.check().unwrap(), Vec::<String>::new());
    summary.taken["messages"]
}
