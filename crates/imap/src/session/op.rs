//! What the session asks of its driver, and what it gets back.
//!
//! Each [`Op`] is answered by one [`Outcome`], given to [`Session::complete`](super::Session). The
//! driver sees UIDs only: message numbers, `*` and `$` are resolved here.

use std::sync::Arc;

use mox_base::{
    Keyword, MailboxId, MailboxName, ModSeq, Secret, SpecialUse, Uid, UidValidity, UnixSeconds,
    ZonedTime,
};

use super::context::{UpdateOp, Updated};
use super::multisearch::{FoundIn, MultiSearchOp};
use crate::print::{MailboxStatus, Naming};
use crate::types::url::ImapUrl;
use crate::types::{
    FetchItem, FlagList, MetadataDepth, MetadataValue, NumSet, Qresync, ResolvedKey, SortKey,
    StoreAction, ThreadAlgorithm, ThreadEntry, UidMap, UrlFetch, Wanted,
};

/// A question to the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Check a password. Answered by `Done` (logged in) or `Refused`.
    Login {
        /// User name as sent.
        username: String,
        /// Password as sent.
        password: Secret,
    },
    /// Start a SASL exchange. Answered by `Challenge`, `Done` (logged in) or `Refused`.
    Authenticate {
        /// The mechanism in upper case.
        mechanism: String,
        /// The initial response, decoded.
        initial: Option<Vec<u8>>,
    },
    /// Go on with it. Answered likewise.
    AuthenticateResponse(Vec<u8>),
    /// The client gave up, or sent what is not base64: forget the exchange. Answered by
    /// [`Outcome::Refused`] with why it failed, or by `Done`.
    AuthenticateCancel,
    /// Let go of the account, and of what was begun with it. Answered by `Done`: it cannot fail.
    Unauthenticate,
    /// The client said what it is, as `name="x" version="1"`. Answered by `Done`.
    Identify(String),
    /// Select a mailbox. Whatever was selected before is so no longer, even if this is refused.
    /// Answered by `Selected` or `Refused`.
    Select(SelectOp),
    /// Nothing is selected any more. With `expunge`, first remove these messages if `\Deleted`.
    /// Answered by `Done`; removals go to other sessions only.
    Unselect {
        /// The mailbox that was selected.
        mailbox: MailboxId,
        /// The messages to consider.
        expunge: Option<Targets>,
    },
    /// Create a mailbox and its parents, subscribed. Answered by `Created`.
    Create {
        /// The name.
        name: MailboxName,
        /// Special uses, taken away from whoever had them.
        special_use: SpecialUse,
    },
    /// Delete a mailbox. Answered by `Done`.
    Delete(MailboxName),
    /// Rename a mailbox with its children; of the inbox, move its messages. Answered by `Done`.
    Rename {
        /// The name now.
        from: MailboxName,
        /// The new name.
        to: MailboxName,
    },
    /// Subscribe to a name. Answered by `Done`.
    Subscribe(MailboxName),
    /// End a subscription. Answered by `Done` or `Refused(NotSubscribed)`.
    Unsubscribe(MailboxName),
    /// List all mailboxes and all subscribed names. Answered by `Mailboxes`.
    List {
        /// Whether [`MailboxInfo::status`] is wanted.
        with_status: bool,
        /// Whether [`MailboxInfo::metadata`] is wanted.
        with_metadata: bool,
    },
    /// Status of a mailbox. Answered by `Status`.
    Status(MailboxName),
    /// Whether the selected mailbox still exists. Answered by `Done` or `Refused`.
    Check(MailboxId),
    /// A message is coming: may it? Answered by `Done` or `Refused`.
    AppendStart {
        /// The target.
        mailbox: MailboxName,
        /// Its size as announced, in bytes.
        size: u64,
    },
    /// Read `size` bytes of message from the input and stage them (or, with `discard`, do not).
    /// Answered by `Done` or `Refused` (for a message that cannot be staged: all `size` bytes must
    /// have been read nevertheless).
    AppendMessage(AppendOp),
    /// Add the staged messages in one go. Answered by `Appended` or `Refused`.
    AppendFinish {
        /// The target.
        mailbox: MailboxName,
    },
    /// Drop the staged messages. Answered by `Done`.
    AppendCancel,
    /// Read `size` bytes from the input behind what there is of the message that is put together (or,
    /// with `discard`, forget them). Answered as [`Op::AppendMessage`].
    CatenateText {
        /// How many bytes to read.
        size: u64,
        /// The command has failed already.
        discard: bool,
    },
    /// Put what a URL names behind it. Answered by `Done` or `Refused`.
    CatenateUrl(Box<UrlPart>),
    /// The message is complete: stage it. Answered by `Done` or `Refused`.
    CatenateEnd {
        /// Its flags.
        flags: FlagList,
        /// Its INTERNALDATE; now if absent.
        date: Option<ZonedTime>,
    },
    /// Add the staged message and remove another, in one go: both or none. Answered by `Appended` or
    /// `Refused`; [`Refusal::MessageGone`] if there is nothing to remove.
    Replace {
        /// The target.
        mailbox: MailboxName,
        /// Where the other message is.
        source: MailboxId,
        /// Which it is.
        uid: Uid,
    },
    /// Sign URLs of the user's own mailboxes, making keys where there are none, and write the response.
    /// Answered by `Done` or `Refused`; [`Refusal::BadUrl`] for one that names no mailbox of the user.
    GenUrlAuth {
        /// Which.
        urls: Vec<UrlRump>,
        /// Whether strings may be UTF-8.
        utf8: bool,
    },
    /// Forget the key of a mailbox, or those of all. Answered by `Done` or `Refused`.
    ResetUrlKeys(Option<MailboxName>),
    /// Write URLFETCH responses. Answered by `Done`, or `Refused` if something broke.
    UrlFetch {
        /// What of which.
        urls: Vec<UrlFetchOp>,
        /// Whether strings may be UTF-8.
        utf8: bool,
    },
    /// Write FETCH responses. Answered by `Fetched`.
    Fetch(FetchOp),
    /// Change flags. Answered by `Stored`.
    Store(StoreOp),
    /// Copy messages. Answered by `Copied`.
    Copy(CopyOp),
    /// Move messages. Answered by `Copied`.
    Move(CopyOp),
    /// Remove those of these messages that are `\Deleted`. Answered by `Expunged`.
    Expunge {
        /// The mailbox.
        mailbox: MailboxId,
        /// The messages to consider.
        targets: Targets,
    },
    /// Read annotations. Answered by `Metadata`.
    GetMetadata(GetMetadataOp),
    /// Set and remove annotations, all or none. Answered by `Done`.
    SetMetadata {
        /// Of which mailbox; `None` for the account.
        mailbox: Option<MailboxName>,
        /// The entries, in lower case, with their values; `None` removes one.
        entries: Vec<(String, Option<MetadataValue>)>,
    },
    /// How full is the account? Answered by `Quota`.
    Quota,
    /// Search. Answered by `Found`.
    Search(SearchOp),
    /// Search several mailboxes, all as of one moment. Answered by `FoundIn`: those that are there and
    /// have a match, in any order.
    MultiSearch(Box<MultiSearchOp>),
    /// Look at messages that changed, for results that are kept up to date. Answered by `Updated`: one
    /// for each of them, in their order.
    Update(Box<UpdateOp>),
    /// What NOTIFY and ESEARCH must know of mailboxes. Answered by `Facts`, in any order; what is not there is
    /// left out.
    Facts(FactsOf),
    /// Put messages into threads. Answered by `Threads`.
    Thread(ThreadOp),
    /// The session lost changes: what is in the mailbox now, and what changed since? Answered by
    /// `Resynced`, or `Refused` if the mailbox is gone.
    Resync {
        /// The mailbox.
        mailbox: MailboxId,
        /// Messages with a larger mod-sequence are wanted in [`Resync::changed`].
        since: ModSeq,
    },
}

/// The answer to an [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "what each answers stands on Op")]
pub enum Outcome {
    Done,
    Refused(Refusal),
    /// A SASL challenge, not yet in base64.
    Challenge(Vec<u8>),
    Selected(Box<Snapshot>),
    /// The names created, parents first.
    Created(Vec<(MailboxId, MailboxName)>),
    Mailboxes(Vec<MailboxInfo>),
    Status(MailboxStatus),
    Appended(Appended),
    Fetched(Fetched),
    Stored(Stored),
    Copied(Copied),
    Expunged(Expunged),
    Found(Found),
    FoundIn(Vec<FoundIn>),
    Updated(Vec<Updated>),
    Metadata(MetadataFound),
    Quota(QuotaUse),
    Facts(Vec<Facts>),
    Threads(Vec<ThreadEntry>),
    Resynced(Box<Resync>),
}

/// Why an operation was refused. What the client is told is decided in one place, `reply.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Wrong user name, password or proof.
    BadCredentials,
    /// Right, but not allowed to act as who was asked for.
    NotAuthorized,
    /// Right, but logins to the account are disabled, with the owner's or operator's words.
    LoginDisabled(String),
    /// No such mechanism.
    UnknownMechanism,
    /// The SASL message could not be parsed.
    BadSaslMessage,
    /// The mechanism cannot be used for this account or connection.
    MechanismUnusable,
    /// There is no such mailbox.
    NoSuchMailbox,
    /// A name that no mailbox can have.
    BadMailboxName,
    /// There is one already.
    MailboxExists,
    /// It has children.
    HasChildren,
    /// This cannot be done with the inbox.
    IsInbox,
    /// The name is neither subscribed nor a mailbox.
    NotSubscribed,
    /// The selected mailbox was deleted by someone else.
    MailboxGone,
    /// Source and target are the same mailbox.
    SameMailbox,
    /// No more room.
    OverQuota,
    /// A message of zero bytes.
    EmptyMessage,
    /// A message that would be larger than any may be. RFC 4469 §4.2.
    MessageTooBig,
    /// A URL that names nothing that the user may have. RFC 4469 §4.1.
    BadUrl(String),
    /// The message to be replaced is not there any more.
    MessageGone,
    /// More annotations than there may be.
    TooManyAnnotations,
    /// Annotations take more than this many bytes in all.
    AnnotationsTooLarge(u64),
    /// More of something than there may be, such as keywords or mailboxes.
    Limit(&'static str),
    /// The user may not do this to the mailbox. RFC 5530 §3.
    NoPermission,
    /// More messages than one command may work on. RFC 9738 §3.1.
    TooManyMessages(u32),
    /// A part that the message does not have, or that has not what was asked for.
    NoSuchPart,
    /// A part in an encoding that is not known. RFC 3516 §4.3.
    UnknownEncoding,
    /// Not now: the server is overloaded or the storage full.
    Unavailable,
    /// Something broke; the log says what.
    Failed,
}

/// A message as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageState {
    /// Its UID.
    pub uid: Uid,
    /// Its mod-sequence.
    pub modseq: ModSeq,
    /// Its flags.
    pub flags: FlagList,
}

/// SELECT and EXAMINE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectOp {
    /// Which.
    pub name: MailboxName,
    /// What the client knows of it; to be answered by [`Snapshot::qresync`].
    pub qresync: Option<Qresync>,
}

/// A mailbox at one moment. RFC 9051 §6.3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its UID validity.
    pub uidvalidity: UidValidity,
    /// Its next UID, or 2^32 when there is none left.
    pub uidnext: u64,
    /// Its highest mod-sequence.
    pub highest_modseq: ModSeq,
    /// All keywords ever used in it.
    pub keywords: Vec<Keyword>,
    /// All its messages.
    pub uids: UidMap,
    /// The first message without `\Seen`.
    pub first_unseen: Option<Uid>,
    /// What changed since the client was here last, if it asked and the UID validity is the same.
    pub qresync: Option<QresyncData>,
}

/// What a client with a stale copy must be told. RFC 7162 §3.2.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QresyncData {
    /// From [`client_state`](super::client_state).
    pub state: super::ClientState,
    /// Messages with a mod-sequence above [`ClientState::since`](super::ClientState::since).
    pub changed: Vec<MessageState>,
    /// UIDs removed with such a mod-sequence, as far as still known.
    pub vanished: NumSet,
    /// Whether removals after that mod-sequence have been forgotten.
    pub history_lost: bool,
}

/// The messages a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// UIDs as ranges. They may span UIDs that do not exist or that the session does not know:
    /// only those in `known` are meant.
    pub uids: NumSet,
    /// The messages the session knows, with their numbers.
    pub known: Arc<UidMap>,
}

impl Targets {
    /// Every message meant, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.known.intersection(&self.uids).ranges().to_vec().into_iter().flat_map(|(a, b)| a..=b)
    }

    /// Exactly the UIDs meant.
    #[must_use]
    pub fn exact(&self) -> NumSet {
        self.known.intersection(&self.uids)
    }
}

/// A mailbox or a subscribed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxInfo {
    /// The name.
    pub name: MailboxName,
    /// Whether there is such a mailbox, not just a subscription.
    pub exists: bool,
    /// Whether the name is subscribed.
    pub is_subscribed: bool,
    /// Special uses.
    pub special_use: SpecialUse,
    /// Its status, if asked for and it exists.
    pub status: Option<MailboxStatus>,
    /// Its annotations sorted by name, if asked for.
    pub metadata: Vec<(String, MetadataValue)>,
}

/// GETMETADATA. RFC 5464 §4.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetMetadataOp {
    /// Of which mailbox; `None` for the account.
    pub mailbox: Option<MailboxName>,
    /// The entries, in lower case.
    pub entries: Vec<String>,
    /// How far below them.
    pub depth: MetadataDepth,
    /// Leave out longer values, in octets.
    pub max_size: Option<u64>,
}

/// Annotations. See [`choose_metadata`](super::choose_metadata).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataFound {
    /// The entries with their values, sorted by name.
    pub entries: Vec<(String, Option<MetadataValue>)>,
    /// The size of the longest value that was left out, in octets.
    pub longest_omitted: Option<u64>,
}

/// How full an account is. RFC 9208 §4.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaUse {
    /// Bytes in use.
    pub used_bytes: u64,
    /// The most there may be.
    pub limit_bytes: Option<u64>,
}

/// Of which mailboxes [`Facts`] are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactsOf {
    /// All there are.
    All,
    /// These.
    Some {
        /// By their ids.
        mailboxes: Vec<MailboxId>,
        /// By their names, which need not be of mailboxes.
        names: Vec<MailboxName>,
    },
}

/// What filters of mailboxes look at, and STATUS. RFC 5465 §6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The mailbox; `None` for a name that none has.
    pub mailbox: Option<MailboxId>,
    /// Its name.
    pub name: MailboxName,
    /// Whether the name is subscribed.
    pub is_subscribed: bool,
    /// Whether new mail goes there.
    pub is_inbox: bool,
    /// Its status, if it is asked for by its id or all are.
    pub status: Option<MailboxStatus>,
}

/// A message of an APPEND.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendOp {
    /// Its flags.
    pub flags: FlagList,
    /// Its INTERNALDATE; now if absent.
    pub date: Option<ZonedTime>,
    /// How many bytes to read.
    pub size: u64,
    /// The command has failed already: read the bytes and forget them.
    pub discard: bool,
}

/// A part of a message that is in a mailbox. RFC 4469 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPart {
    /// The URL as the client wrote it, for [`Refusal::BadUrl`].
    pub text: String,
    /// What it says.
    pub url: ImapUrl,
    /// The selected mailbox: of URLs that name none.
    pub selected: Option<MailboxId>,
}

/// A URL to be signed. RFC 4467 §7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlRump {
    /// The URL as the client wrote it: what the token is made from.
    pub text: String,
    /// What it says: it has a server with a user, a mailbox, and who may use it.
    pub url: ImapUrl,
}

/// A URL to be fetched. RFC 4467 §7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlFetchOp {
    /// What is asked for.
    pub fetch: UrlFetch,
    /// What the URL says; `None` for one that is not to be had, of which the answer is NIL. It has a
    /// server with a user, a mailbox, who may use it, and a token of INTERNAL.
    pub url: Option<Box<ImapUrl>>,
}

/// Messages were appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The target.
    pub mailbox: MailboxId,
    /// Its UID validity.
    pub uidvalidity: UidValidity,
    /// The new UIDs, ascending.
    pub uids: NumSet,
    /// The mod-sequence of all.
    pub modseq: ModSeq,
}

/// FETCH. RFC 9051 §6.4.5.
///
/// A response holds `UID`, then [`FetchOp::items`] in their order, then `FLAGS` and `MODSEQ` as the
/// fields say. See [`crate::print::FetchLine`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOp {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Which messages.
    pub targets: Targets,
    /// Only messages with a larger mod-sequence.
    pub changed_since: Option<ModSeq>,
    /// First write [`FetchOp::vanished`] as VANISHED (EARLIER).
    pub with_vanished: bool,
    /// What to write, besides UID, FLAGS and MODSEQ.
    pub items: Vec<FetchItem>,
    /// Write the flags, as they were before this command.
    pub with_flags: bool,
    /// Write the mod-sequence.
    pub with_modseq: bool,
    /// A message of which an item cannot be written is told by its UID alone, after an untagged NO:
    /// nobody waits for a tagged one. RFC 5465 §5.2.
    pub keeps_going: bool,
    /// Set `\Seen` where it is not set: answer the new states in [`Fetched::seen`].
    pub mark_seen: bool,
    /// How a response names its message.
    pub naming: Naming,
    /// Whether strings may be UTF-8.
    pub utf8: bool,
    /// The UIDs below which all have been handed out to this session.
    pub uidnext: u64,
    /// Changes up to this have been told: of later ones, what was read counts, see
    /// [`Fetched::newer`].
    pub told: ModSeq,
}

impl FetchOp {
    /// The UIDs to report as vanished. RFC 7162 §3.2.6.
    ///
    /// `removed`: UIDs removed after `changed_since`, as far as known; `history_lost`: there may
    /// have been others.
    #[must_use]
    pub fn vanished(&self, removed: &NumSet, history_lost: bool) -> NumSet {
        if !history_lost {
            // RFC 7162 §3.2.10.1: of what is in the view the client is told by VANISHED without
            // EARLIER.
            let gone = removed.difference(&self.targets.known.to_set());
            return gone.intersection(&self.targets.uids);
        }
        let last = u32::try_from(self.uidnext.saturating_sub(1)).unwrap_or(u32::MAX);
        let asked = self.targets.uids.intersection(&NumSet::range(1, last));
        asked.difference(&self.targets.known.to_set())
    }
}

/// FETCH responses were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Messages that now are `\Seen`, with their new mod-sequence.
    pub seen: Vec<MessageState>,
    /// Messages whose flags were written as of a mod-sequence above [`FetchOp::told`].
    pub newer: Vec<(Uid, ModSeq)>,
    /// A message was expunged by someone else meanwhile; what was left of it was written.
    pub expunge_issued: bool,
}

/// STORE. RFC 9051 §6.4.6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOp {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Which messages.
    pub targets: Targets,
    /// Leave messages with a larger mod-sequence alone. RFC 7162 §3.1.3.
    pub unchanged_since: Option<ModSeq>,
    /// What to do.
    pub action: StoreAction,
    /// The flags.
    pub flags: FlagList,
}

/// Flags were changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The messages that now have what was asked for, changed or not; ascending.
    pub messages: Vec<MessageState>,
    /// The messages left alone, as they are.
    pub modified: Vec<MessageState>,
}

/// COPY and MOVE. RFC 9051 §6.4.7, RFC 9051 §6.4.8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOp {
    /// The mailbox they are in.
    pub mailbox: MailboxId,
    /// Which messages.
    pub targets: Targets,
    /// Where to.
    pub to: MailboxName,
}

/// Messages were copied or moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The UID validity of the target.
    pub uidvalidity: UidValidity,
    /// The UIDs at the source; empty if there was none of the messages any more.
    pub from: NumSet,
    /// Their new UIDs, in the same order.
    pub to: NumSet,
    /// The mod-sequence of the change.
    pub modseq: ModSeq,
}

/// Messages were removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expunged {
    /// Which.
    pub uids: NumSet,
    /// The highest mod-sequence of the mailbox afterwards.
    pub highest_modseq: ModSeq,
}

/// SEARCH and SORT. RFC 9051 §6.4.4, RFC 5256 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchOp {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The messages the session knows: only these may match.
    pub known: Arc<UidMap>,
    /// What to look for.
    pub key: ResolvedKey,
    /// How much of the result is needed; more does no harm.
    pub wanted: Wanted,
    /// Whether [`Found::highest_modseq`] is needed.
    pub with_modseq: bool,
    /// What to sort by; if not empty, [`Found::order`] is needed.
    pub sort: Vec<SortKey>,
    /// Of the command, for telling of progress. RFC 9585 §3.
    pub tag: String,
}

/// THREAD. RFC 5256 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadOp {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The messages the session knows: only these may match.
    pub known: Arc<UidMap>,
    /// Which of them.
    pub key: ResolvedKey,
    /// How.
    pub algorithm: ThreadAlgorithm,
    /// Of the command, for telling of progress. RFC 9585 §3.
    pub tag: String,
}

/// A search result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The matches.
    pub uids: NumSet,
    /// The highest mod-sequence among them.
    pub highest_modseq: Option<ModSeq>,
    /// The matches as sorted; empty unless asked for.
    pub order: Vec<u32>,
    /// The time by which ages were reckoned. RFC 5032 §2.
    pub at: UnixSeconds,
    /// How well each matches, 1 to 100, in ascending order of UIDs; empty unless the program has a
    /// FUZZY key. RFC 6203 §4.
    pub relevancy: Vec<u8>,
}

/// A mailbox as it is now, and what changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resync {
    /// All messages.
    pub uids: UidMap,
    /// Those changed or added since.
    pub changed: Vec<MessageState>,
    /// The highest mod-sequence of the mailbox.
    pub highest_modseq: ModSeq,
}
