//! Commands: their names, and one type per command that has arguments.
//!
//! Source: RFC 9051 §6, RFC 3501 §6.

use mox_base::{ModSeq, Secret, UidValidity, ZonedTime};

use super::{
    FetchItem, FetchModifiers, FlagList, MetadataDepth, MetadataValue, MultiSearch, Notify, NumSet,
    ParsedKey, ReturnOptions, SequenceSet, SetArg, SortKey, StatusItem, ThreadAlgorithm,
};

/// The commands known here, `UID x` being one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Name {
    Capability,
    Noop,
    Logout,
    Id,
    StartTls,
    Authenticate,
    Login,
    Enable,
    Compress,
    Unauthenticate,
    Select,
    Examine,
    Create,
    Delete,
    Rename,
    Subscribe,
    Unsubscribe,
    List,
    Lsub,
    Namespace,
    Status,
    Append,
    Replace,
    Idle,
    Notify,
    GenUrlAuth,
    ResetKey,
    UrlFetch,
    GetMetadata,
    SetMetadata,
    GetQuota,
    GetQuotaRoot,
    SetQuota,
    Esearch,
    CancelUpdate,
    Check,
    Close,
    Unselect,
    Expunge,
    Search,
    Sort,
    Thread,
    Fetch,
    Store,
    Copy,
    Move,
    UidExpunge,
    UidSearch,
    UidSort,
    UidThread,
    UidFetch,
    UidStore,
    UidCopy,
    UidMove,
    UidReplace,
}

/// In which states a command is legal. RFC 9051 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegalIn {
    /// All states.
    Any,
    /// Before login only.
    NotAuthenticated,
    /// After login, with or without a mailbox.
    Authenticated,
    /// With a mailbox.
    Selected,
}

const NAMES: &[(&str, Name, LegalIn)] = &[
    ("CAPABILITY", Name::Capability, LegalIn::Any),
    ("NOOP", Name::Noop, LegalIn::Any),
    ("LOGOUT", Name::Logout, LegalIn::Any),
    ("ID", Name::Id, LegalIn::Any),
    ("STARTTLS", Name::StartTls, LegalIn::NotAuthenticated),
    ("AUTHENTICATE", Name::Authenticate, LegalIn::NotAuthenticated),
    ("LOGIN", Name::Login, LegalIn::NotAuthenticated),
    ("ENABLE", Name::Enable, LegalIn::Authenticated),
    ("COMPRESS", Name::Compress, LegalIn::Authenticated),
    ("UNAUTHENTICATE", Name::Unauthenticate, LegalIn::Authenticated),
    ("SELECT", Name::Select, LegalIn::Authenticated),
    ("EXAMINE", Name::Examine, LegalIn::Authenticated),
    ("CREATE", Name::Create, LegalIn::Authenticated),
    ("DELETE", Name::Delete, LegalIn::Authenticated),
    ("RENAME", Name::Rename, LegalIn::Authenticated),
    ("SUBSCRIBE", Name::Subscribe, LegalIn::Authenticated),
    ("UNSUBSCRIBE", Name::Unsubscribe, LegalIn::Authenticated),
    ("LIST", Name::List, LegalIn::Authenticated),
    ("LSUB", Name::Lsub, LegalIn::Authenticated),
    ("NAMESPACE", Name::Namespace, LegalIn::Authenticated),
    ("STATUS", Name::Status, LegalIn::Authenticated),
    ("APPEND", Name::Append, LegalIn::Authenticated),
    ("REPLACE", Name::Replace, LegalIn::Selected),
    ("UID REPLACE", Name::UidReplace, LegalIn::Selected),
    ("IDLE", Name::Idle, LegalIn::Authenticated),
    ("GETMETADATA", Name::GetMetadata, LegalIn::Authenticated),
    ("SETMETADATA", Name::SetMetadata, LegalIn::Authenticated),
    ("GETQUOTA", Name::GetQuota, LegalIn::Authenticated),
    ("GETQUOTAROOT", Name::GetQuotaRoot, LegalIn::Authenticated),
    ("SETQUOTA", Name::SetQuota, LegalIn::Authenticated),
    ("NOTIFY", Name::Notify, LegalIn::Authenticated),
    ("ESEARCH", Name::Esearch, LegalIn::Authenticated),
    ("CANCELUPDATE", Name::CancelUpdate, LegalIn::Selected),
    ("GENURLAUTH", Name::GenUrlAuth, LegalIn::Authenticated),
    ("RESETKEY", Name::ResetKey, LegalIn::Authenticated),
    ("URLFETCH", Name::UrlFetch, LegalIn::Authenticated),
    ("CHECK", Name::Check, LegalIn::Selected),
    ("CLOSE", Name::Close, LegalIn::Selected),
    ("UNSELECT", Name::Unselect, LegalIn::Selected),
    ("EXPUNGE", Name::Expunge, LegalIn::Selected),
    ("SEARCH", Name::Search, LegalIn::Selected),
    ("SORT", Name::Sort, LegalIn::Selected),
    ("THREAD", Name::Thread, LegalIn::Selected),
    ("FETCH", Name::Fetch, LegalIn::Selected),
    ("STORE", Name::Store, LegalIn::Selected),
    ("COPY", Name::Copy, LegalIn::Selected),
    ("MOVE", Name::Move, LegalIn::Selected),
    ("UID EXPUNGE", Name::UidExpunge, LegalIn::Selected),
    ("UID SEARCH", Name::UidSearch, LegalIn::Selected),
    ("UID SORT", Name::UidSort, LegalIn::Selected),
    ("UID THREAD", Name::UidThread, LegalIn::Selected),
    ("UID FETCH", Name::UidFetch, LegalIn::Selected),
    ("UID STORE", Name::UidStore, LegalIn::Selected),
    ("UID COPY", Name::UidCopy, LegalIn::Selected),
    ("UID MOVE", Name::UidMove, LegalIn::Selected),
];

impl Name {
    /// From its spelling in any case, `UID` and the command separated by one space.
    #[must_use]
    pub fn from_bytes(spelling: &[u8]) -> Option<Self> {
        let known =
            |(name, _, _): &&(&str, Self, LegalIn)| name.as_bytes().eq_ignore_ascii_case(spelling);
        NAMES.iter().find(known).map(|(_, name, _)| *name)
    }

    /// The spelling in upper case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(_, name, _)| *name == self).map_or("", |(text, _, _)| text)
    }

    /// Where the command is legal.
    #[must_use]
    pub fn legal_in(self) -> LegalIn {
        NAMES.iter().find(|(_, name, _)| *name == self).map_or(LegalIn::Any, |(_, _, legal)| *legal)
    }

    /// Whether this is the UID form of a command.
    #[must_use]
    pub const fn is_uid(self) -> bool {
        matches!(
            self,
            Self::UidExpunge
                | Self::UidSearch
                | Self::UidSort
                | Self::UidThread
                | Self::UidFetch
                | Self::UidStore
                | Self::UidCopy
                | Self::UidMove
                | Self::UidReplace
        )
    }

    /// Whether messages are in the command: its text is read in stretches, between their literals.
    #[must_use]
    pub const fn takes_messages(self) -> bool {
        matches!(self, Self::Append | Self::Replace | Self::UidReplace)
    }

    /// Whether message numbers are in the command or its answer, whatever its arguments.
    ///
    /// RFC 9586 §3: a client that has enabled UIDONLY must use the UID form of these.
    #[must_use]
    pub const fn uses_numbers(self) -> bool {
        matches!(
            self,
            Self::Search
                | Self::Sort
                | Self::Thread
                | Self::Fetch
                | Self::Store
                | Self::Copy
                | Self::Move
                | Self::Replace
        )
    }

    /// Whether sequence numbers must stay as they are while the command runs.
    ///
    /// RFC 9051 §7.5.1: no EXPUNGE response during FETCH, STORE or SEARCH; RFC 5256 §3: nor during
    /// SORT and THREAD.
    #[must_use]
    pub const fn freezes_numbers(self) -> bool {
        matches!(self, Self::Fetch | Self::Store | Self::Search | Self::Sort | Self::Thread)
    }
}

/// The arguments of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A command without arguments: which one is in its name.
    Plain,
    /// ID: key and value pairs, in the order given.
    Id(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    /// AUTHENTICATE.
    Authenticate(Authenticate),
    /// LOGIN.
    Login(Login),
    /// ENABLE: capability names as spelled.
    Enable(Vec<Vec<u8>>),
    /// COMPRESS: the algorithm in upper case.
    Compress(String),
    /// SELECT and EXAMINE.
    Select(Select),
    /// CREATE.
    Create(Create),
    /// DELETE, SUBSCRIBE, UNSUBSCRIBE, GETQUOTAROOT.
    Mailbox(MailboxArg),
    /// RENAME.
    Rename {
        /// The name now.
        from: MailboxArg,
        /// The name to be.
        to: MailboxArg,
    },
    /// LIST.
    List(List),
    /// LSUB.
    Lsub {
        /// The reference.
        reference: String,
        /// The pattern.
        pattern: String,
    },
    /// STATUS.
    Status {
        /// Of which mailbox.
        mailbox: MailboxArg,
        /// What.
        items: Vec<StatusItem>,
    },
    /// NOTIFY.
    Notify(Notify),
    /// GETMETADATA.
    GetMetadata(GetMetadata),
    /// SETMETADATA.
    SetMetadata(SetMetadata),
    /// GETQUOTA: the quota root.
    GetQuota(String),
    /// SETQUOTA, of which nothing is of interest: it is refused.
    SetQuota,
    /// GENURLAUTH: each URL with the mechanism that signs it, in upper case.
    GenUrlAuth(Vec<(String, String)>),
    /// RESETKEY.
    ResetKey {
        /// Of which mailbox; `None` for all.
        mailbox: Option<MailboxArg>,
        /// For which mechanisms, in upper case; empty for INTERNAL.
        mechanisms: Vec<String>,
    },
    /// URLFETCH.
    UrlFetch(Vec<UrlFetch>),
    /// UID EXPUNGE.
    UidExpunge(SetArg),
    /// SEARCH and SORT.
    Search(Search),
    /// CANCELUPDATE: the tags.
    CancelUpdate(Vec<String>),
    /// ESEARCH.
    MultiSearch(MultiSearch),
    /// THREAD.
    Thread(Thread),
    /// FETCH.
    Fetch(Fetch),
    /// STORE.
    Store(Store),
    /// COPY and MOVE.
    Copy {
        /// Which messages.
        set: SetArg,
        /// Where to.
        mailbox: MailboxArg,
    },
}

/// The most URLs in one GENURLAUTH or URLFETCH. Ours; each is looked up.
pub const URLS_MAX: usize = 500;

/// A URL of URLFETCH and what is wanted of it. RFC 4467 §7, RFC 5524 §3.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlFetch {
    /// The URL as the client wrote it, which comes back in the answer.
    pub url: String,
    /// The data, if it is wanted.
    pub data: Option<UrlData>,
    /// `BODYPARTSTRUCTURE`.
    pub with_structure: bool,
}

/// How data comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlData {
    /// Alone, as RFC 4467 has it.
    Plain,
    /// `BODY`: the same, named.
    Body,
    /// `BINARY`: without its content-transfer-encoding.
    Binary,
}

/// A mailbox name as the client wrote it, decoded but not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxArg(pub String);

/// AUTHENTICATE. RFC 9051 §6.2.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticate {
    /// The mechanism in upper case.
    pub mechanism: String,
    /// The initial response, still in base64. RFC 4959 §3.
    pub initial: Option<Secret>,
}

/// LOGIN. RFC 9051 §6.2.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// SELECT and EXAMINE. RFC 9051 §6.3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// Which mailbox.
    pub mailbox: MailboxArg,
    /// The CONDSTORE parameter. RFC 7162 §3.1.8.
    pub condstore: bool,
    /// The QRESYNC parameter. RFC 7162 §3.2.5.
    pub qresync: Option<Qresync>,
}

/// What the client knows of the mailbox. RFC 7162 §3.2.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qresync {
    /// The UID validity it knows.
    pub uidvalidity: UidValidity,
    /// The mod-sequence up to which it knows everything.
    pub modseq: ModSeq,
    /// The UIDs it knows.
    pub known_uids: Option<NumSet>,
    /// A sample of sequence numbers and their UIDs. RFC 7162 §3.2.5.2.
    pub sample: Option<(SequenceSet, SequenceSet)>,
}

/// CREATE. RFC 9051 §6.3.4, RFC 6154 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// The new mailbox.
    pub mailbox: MailboxArg,
    /// Special-use attributes as spelled, with backslash.
    pub special_use: Vec<Vec<u8>>,
}

/// LIST. RFC 9051 §6.3.9, RFC 5258 §3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Whether any part of the extended syntax was used.
    pub extended: bool,
    /// Select subscribed names.
    pub select_subscribed: bool,
    /// Select mailboxes with a special use. RFC 6154 §5.2.
    pub select_special_use: bool,
    /// Also match what has matching children. RFC 9051 §6.3.9.1.
    pub recursive_match: bool,
    /// The reference.
    pub reference: String,
    /// The patterns.
    pub patterns: Vec<String>,
    /// Return `\Subscribed`.
    pub return_subscribed: bool,
    /// Return `\HasChildren` and `\HasNoChildren`.
    pub return_children: bool,
    /// Return special uses; they always are.
    pub return_special_use: bool,
    /// Return a STATUS for each mailbox; empty for none. RFC 5819 §2.
    pub return_status: Vec<StatusItem>,
    /// Return these annotations of each mailbox, in lower case; empty for none. RFC 9590 §3.
    pub return_metadata: Vec<String>,
}

/// GETMETADATA. RFC 5464 §4.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetMetadata {
    /// Of which mailbox; `None` for the server.
    pub mailbox: Option<MailboxArg>,
    /// The entries, in lower case.
    pub entries: Vec<String>,
    /// How far below them.
    pub depth: Option<MetadataDepth>,
    /// Leave out longer values, in octets.
    pub max_size: Option<u64>,
}

/// SETMETADATA. RFC 5464 §4.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetMetadata {
    /// Of which mailbox; `None` for the server.
    pub mailbox: Option<MailboxArg>,
    /// The entries, in lower case, with their values; `None` removes one.
    pub entries: Vec<(String, Option<MetadataValue>)>,
}

/// What an APPEND says before the data of one message. RFC 9051 §6.3.12.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendMessage {
    /// Flags of the message.
    pub flags: FlagList,
    /// Its INTERNALDATE.
    pub date: Option<ZonedTime>,
    /// The data is inside `UTF8 (…)`, so that a `)` follows it. RFC 6855 §4.
    pub utf8: bool,
}

/// FETCH. RFC 9051 §6.4.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Which messages.
    pub set: SetArg,
    /// What of them.
    pub items: Vec<FetchItem>,
    /// The modifiers.
    pub modifiers: FetchModifiers,
}

/// STORE. RFC 9051 §6.4.6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Which messages.
    pub set: SetArg,
    /// Only messages not changed after this. RFC 7162 §3.1.3.
    pub unchanged_since: Option<ModSeq>,
    /// What is done with the flags.
    pub action: StoreAction,
    /// `.SILENT`: no answer for what was asked for.
    pub silent: bool,
    /// The flags.
    pub flags: FlagList,
}

/// What STORE does with its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreAction {
    /// `FLAGS`.
    Replace,
    /// `+FLAGS`.
    Add,
    /// `-FLAGS`.
    Remove,
}

/// SEARCH and SORT. RFC 9051 §6.4.4, RFC 5256 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The RETURN options, `None` without RETURN.
    pub options: Option<ReturnOptions>,
    /// The program.
    pub key: ParsedKey,
    /// What SORT sorts by; empty for SEARCH.
    pub sort: Vec<SortKey>,
}

/// THREAD. RFC 5256 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// How.
    pub algorithm: ThreadAlgorithm,
    /// Of which messages.
    pub key: ParsedKey,
}
