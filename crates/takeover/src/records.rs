//! Types of records in an account's database, and reading them one by one.

use mox_bstore::{Fault, Record, Records, Table};

use crate::file::{DatabaseFile, FileSource, TakeoverError};
use crate::known::{Field, Kind, UNKNOWN, fields};
use crate::sending::{OUTGOING, RECIPIENT_DOMAIN_TLS};
use crate::summary::{LOST, Summary};

/// What verifiers of passwords consist of.
const SCRAM: &[Field] = fields!("Salt", "Iterations", "SaltedPassword");

pub(crate) const MESSAGE: Kind = Kind {
    table: "Message",
    what: LOST,
    fields: fields!(
        "UID",
        "MailboxID",
        "ModSeq",
        "CreateSeq",
        "Expunged",
        "IsReject",
        "IsForward",
        "MailboxOrigID",
        "MailboxDestinedID",
        "Received",
        "SaveDate",
        "RemoteIP",
        "RemoteIPMasked1",
        "RemoteIPMasked2",
        "RemoteIPMasked3",
        "EHLODomain",
        "MailFrom",
        "MailFromLocalpart",
        "MailFromDomain",
        "RcptToLocalpart",
        "RcptToDomain",
        "MsgFromLocalpart",
        "MsgFromDomain",
        "MsgFromOrgDomain",
        "EHLOValidated",
        "MailFromValidated",
        "MsgFromValidated",
        "EHLOValidation",
        "MailFromValidation",
        "MsgFromValidation",
        "DKIMDomains",
        "OrigEHLODomain",
        "OrigDKIMDomains",
        "MessageID",
        "SubjectBase",
        "MessageHash",
        "ThreadID",
        "ThreadParentIDs",
        "ThreadMissingLink",
        "ThreadMuted",
        "ThreadCollapsed",
        "IsMailingList",
        "DSN",
        "ReceivedTLSVersion",
        "ReceivedTLSCipherSuite",
        "ReceivedRequireTLS",
        "Seen",
        "Answered",
        "Flagged",
        "Forwarded",
        "Junk",
        "Notjunk",
        "Deleted",
        "Draft",
        "Phishing",
        "MDNSent",
        "Keywords",
        "Size",
        "TrainedJunk",
        "MsgPrefix",
        "Preview",
        "ParsedBuf",
    ),
};

pub(crate) const MAILBOX: Kind = Kind {
    table: "Mailbox",
    what: "mailboxes",
    fields: fields!(
        "CreateSeq",
        "ModSeq",
        "Expunged",
        "ParentID",
        "Name",
        "UIDValidity",
        "UIDNext",
        "Archive",
        "Draft",
        "Junk",
        "Sent",
        "Trash",
        "Keywords",
        "HaveCounts",
        "Total",
        "Deleted",
        "Unread",
        "Unseen",
        "Size",
    ),
};

pub(crate) const SUBSCRIPTION: Kind =
    Kind { table: "Subscription", what: "subscriptions", fields: &[] };

pub(crate) const ANNOTATION: Kind = Kind {
    table: "Annotation",
    what: "annotations",
    fields: fields!("CreateSeq", "ModSeq", "Expunged", "MailboxID", "Key", "IsString", "Value"),
};

pub(crate) const PASSWORD: Kind = Kind {
    table: "Password",
    what: "passwords",
    fields: fields!("CRAMMD5", "SCRAMSHA1": SCRAM, "SCRAMSHA256": SCRAM),
};

pub(crate) const SUBJECTPASS: Kind = Kind {
    table: "Subjectpass",
    what: "keys of codes for refused senders",
    fields: fields!("Key"),
};

pub(crate) const NEXT_UIDVALIDITY: Kind =
    Kind { table: "NextUIDValidity", what: "counters", fields: fields!("Next") };

pub(crate) const SYNC_STATE: Kind = Kind {
    table: "SyncState",
    what: "counters",
    fields: fields!("LastModSeq", "HighestDeletedModSeq"),
};

pub(crate) const DISK_USAGE: Kind =
    Kind { table: "DiskUsage", what: "counters", fields: fields!("MessageSize") };

pub(crate) const UPGRADE: Kind = Kind {
    table: "Upgrade",
    what: "states of upgrades",
    fields: fields!(
        "Threads",
        "MailboxModSeq",
        "MailboxParentID",
        "MailboxCounts",
        "MessageParseVersion",
    ),
};

pub(crate) const MESSAGE_ERASE: Kind = Kind {
    table: "MessageErase",
    what: "removed messages whose files are still there",
    fields: fields!("SkipUpdateDiskUsage"),
};

pub(crate) const RECIPIENT: Kind = Kind {
    table: "Recipient",
    what: "people written to",
    fields: fields!("MessageID", "Localpart", "Domain", "OrgDomain", "Sent"),
};

/// Types that every account has that a release of the last years opened.
pub(crate) const REQUIRED: &[&Kind] =
    &[&NEXT_UIDVALIDITY, &MESSAGE, &MAILBOX, &SUBSCRIPTION, &PASSWORD, &SYNC_STATE, &UPGRADE];

/// Types that ours keeps nowhere.
pub(crate) const LEFT: &[Kind] = &[
    Kind {
        table: "Settings",
        what: "settings of webmail",
        fields: fields!(
            "Signature",
            "Quoting",
            "ShowAddressSecurity",
            "ShowHTML",
            "NoShowShortcuts",
            "ShowHeaders",
        ),
    },
    Kind {
        table: "FromAddressSettings",
        what: "settings of webmail about a sender",
        fields: fields!("ViewMode"),
    },
    Kind {
        table: "RulesetNoListID",
        what: "questions about rules not to be asked again",
        fields: fields!("RcptToAddress", "ListID", "ToInbox"),
    },
    Kind {
        table: "RulesetNoMsgFrom",
        what: "questions about rules not to be asked again",
        fields: fields!("RcptToAddress", "MsgFromAddress", "ToInbox"),
    },
    Kind {
        table: "RulesetNoMailbox",
        what: "questions about rules not to be asked again",
        fields: fields!("MailboxID", "ToMailbox"),
    },
    Kind {
        table: "LoginSession",
        what: "logins of web pages: users log in again",
        fields: fields!(
            "Created",
            "Expires",
            "SessionTokenBinary",
            "CSRFTokenBinary",
            "AccountName",
            "LoginAddress",
        ),
    },
];

/// Types that are read elsewhere.
const TAKEN: &[&Kind] = &[
    &MESSAGE,
    &MAILBOX,
    &SUBSCRIPTION,
    &ANNOTATION,
    &PASSWORD,
    &SUBJECTPASS,
    &NEXT_UIDVALIDITY,
    &SYNC_STATE,
    &DISK_USAGE,
    &UPGRADE,
    &MESSAGE_ERASE,
    &RECIPIENT,
    &OUTGOING,
    &RECIPIENT_DOMAIN_TLS,
];

/// The kind of damage that says what all the other damage may come from.
const TORN: &str = "files that were changed while they were copied, or later";

const TORN_WHY: &str = "does not fit together. If this is a copy, it was probably made while the original \
     ran: stop the original and copy again, or use what its command \"mox backup\" makes. If this is the \
     directory of the original itself, its disk or file is damaged: use a backup";

/// Finds a type. `None` if the release that wrote the file did not have it, or if what describes it is
/// damaged, which is noted.
pub(crate) fn open<'a>(
    index: &'a DatabaseFile,
    kind: &Kind,
    summary: &mut Summary,
) -> Option<Table<'a, FileSource>> {
    match index.table(kind.table) {
        Ok(table) => table,
        Err(TakeoverError::Table { source, .. }) => {
            note(summary, index, kind, &source);
            None
        }
        Err(error) => {
            summary.damage(kind.what, error.to_string());
            None
        }
    }
}

fn note(summary: &mut Summary, index: &DatabaseFile, kind: &Kind, fault: &Fault) {
    let path = index.path.display();
    let told = match fault {
        // The key is the hash of the password: a report is no place for it.
        Fault::Record { page, error, .. } if kind.table == PASSWORD.table => {
            format!("page {page}: {error}")
        }
        fault => fault.to_string(),
    };
    summary.damage(kind.what, format!("{path}: {}: {told}", kind.table));
    if !summary.damaged.contains_key(TORN) {
        summary.damage(TORN, format!("{path} {TORN_WHY}"));
    }
}

/// The records of a type, one after the other.
pub(crate) struct Reading<'t, 'a> {
    index: &'a DatabaseFile,
    records: Records<'t, 'a, FileSource>,
    kind: &'static Kind,
    /// Fields that are not known, and were not met with content yet.
    strange: Vec<String>,
    /// How often something was damaged.
    pub(crate) faults: u64,
}

impl<'t, 'a> Reading<'t, 'a> {
    pub(crate) fn new(
        index: &'a DatabaseFile,
        table: &'t Table<'a, FileSource>,
        kind: &'static Kind,
    ) -> Self {
        let is_known = |name: &str| kind.fields.iter().any(|field| field.0 == name);
        // The first is the key.
        let strange = table.fields().skip(1).filter(|name| !is_known(name));
        let strange = strange.map(str::to_owned).collect();
        Self { index, records: table.records(), kind, strange, faults: 0 }
    }

    /// The next record that can be read; the others are noted.
    pub(crate) fn next(&mut self, summary: &mut Summary) -> Option<Record> {
        loop {
            match self.records.next()? {
                Ok(record) => {
                    self.note_strange(&record, summary);
                    return Some(record);
                }
                Err(fault) => {
                    self.faults += 1;
                    note(summary, self.index, self.kind, &fault);
                }
            }
        }
    }

    /// The rest of the records. Returns how many there are.
    pub(crate) fn finish(&mut self, summary: &mut Summary) -> u64 {
        let mut count = 0;
        while self.next(summary).is_some() {
            count += 1;
        }
        count
    }

    fn note_strange(&mut self, record: &Record, summary: &mut Summary) {
        let place = (self.index.path.display(), self.kind.table);
        self.strange.retain(|field| {
            let is_absent = record.get(field).is_absent();
            if !is_absent {
                summary.differs(UNKNOWN, format!("{}: {}: {field}", place.0, place.1));
            }
            is_absent
        });
    }
}

/// The single record of a type, if there is one.
pub(crate) fn single(
    index: &DatabaseFile,
    kind: &'static Kind,
    summary: &mut Summary,
) -> Option<Record> {
    let table = open(index, kind, summary)?;
    let mut reading = Reading::new(index, &table, kind);
    let first = reading.next(summary);
    reading.finish(summary);
    first
}

/// Reads what ours has no place for, and counts it.
pub(crate) fn read_left(index: &DatabaseFile, summary: &mut Summary) {
    for kind in LEFT {
        let Some(table) = open(index, kind, summary) else { continue };
        let count = Reading::new(index, &table, kind).finish(summary);
        summary.leave(kind.what, count);
    }
    let known: Vec<_> = LEFT.iter().chain(TAKEN.iter().copied()).map(|kind| kind.table).collect();
    index.note_unknown(&known, summary);
}
