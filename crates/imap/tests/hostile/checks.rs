//! What must hold for any bytes a client may send. Used by a test and by the fuzz targets.
#![expect(clippy::expect_used, reason = "a broken set-up should fail the test")]

use mox_base::{MailboxId, ModSeq, SpecialUse, Uid, UidValidity};
use mox_imap::parser::{self, AppendPlace, Options};
use mox_imap::print::MailboxStatus;
use mox_imap::session::{
    Action, Appended, Change, Copied, Expunged, Facts, Fetched, Found, FoundIn, MailboxInfo,
    MessageState, MetadataFound, Op, Outcome, QuotaUse, Resync, Session, Settings, Snapshot,
    Stored, UpdateOf, Updated,
};
use mox_imap::types::url::ImapUrl;
use mox_imap::types::{Command, FlagList, MetadataValue, NumSet, ThreadEntry, UidMap, utf7};
use mox_imap::wire::redact;

const MAILBOX: MailboxId = MailboxId(1);

/// Output per byte of input that no command exceeds; CAPABILITY is the most talkative.
const AMPLIFICATION_MAX: usize = 120;

/// A command of any bytes is parsed or refused, and never logged with its password.
pub(crate) fn check_command(text: &[u8]) {
    let _shown = redact(text, true);
    let _head = parser::append_head(text, Options { utf8: true, pedantic: true });
    for place in [
        AppendPlace::Message { utf8: text.len().is_multiple_of(2) },
        AppendPlace::Part { utf8: text.len().is_multiple_of(2) },
        AppendPlace::Url,
    ] {
        let _next = parser::append_next(text, place, Options::default());
    }
    let Ok(head) = parser::head(text) else { return };
    for utf8 in [false, true] {
        let command = parser::arguments(&head, text, Options { utf8, pedantic: utf8 });
        if let Ok(Command::Fetch(fetch)) = command {
            assert!(!fetch.items.is_empty());
        }
    }
}

/// A name that decodes has no other form.
pub(crate) fn check_utf7(text: &[u8]) {
    if let Ok(name) = utf7::decode(text) {
        assert_eq!(utf7::encode(&name).as_bytes(), text);
    }
    let name = String::from_utf8_lossy(text);
    assert_eq!(utf7::decode(utf7::encode(&name).as_bytes()).as_deref(), Ok(&*name));
}

/// A URL that is read is printed so that it is read the same.
pub(crate) fn check_url(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(url) = ImapUrl::parse(text) else { return };
    assert_eq!(ImapUrl::parse(&url.to_string()).as_ref(), Ok(&url));
    if let Some(auth) = &url.auth {
        let rump = auth.rump(text);
        assert!(text.starts_with(rump) && rump.is_empty() == text.is_empty());
    }
}

/// A session says the same however its input is cut, and not too much.
///
/// The first byte chooses the pieces, the second the state the session starts in.
pub(crate) fn check_session(data: &[u8]) {
    let [cut, state, input @ ..] = data else { return };
    let whole = answers(input, *state, input.len().max(1));
    let pieces = answers(input, *state, usize::from(*cut % 23) + 1);
    assert!(whole == pieces, "the session depends on how its input is cut");
    assert!(whole.len() <= 4_096 + input.len() * AMPLIFICATION_MAX, "{}", whole.len());
}

/// Everything the session says.
fn answers(input: &[u8], state: u8, piece: usize) -> Vec<u8> {
    let settings = Settings { plaintext_allowed: true, ..Settings::default() };
    let mut session = Session::new(settings);
    session.greet((state & 1 == 1).then_some("x"));
    let mut driver = Driver { session, kept: Vec::new(), message: None, said: Vec::new() };
    if state & 3 == 3 {
        let start: &[u8] = match state & 12 {
            0 => b"x SELECT x\r\n",
            4 => b"x ENABLE QRESYNC\r\nx SELECT x\r\n",
            8 => {
                b"x ENABLE UIDONLY\r\nx SELECT x\r\nx NOTIFY SET (SELECTED (MessageNew (UID) \
                MessageExpunge)) (SUBSCRIBED (MessageNew MessageExpunge))\r\n"
            }
            _ => b"x ENABLE IMAP4rev2\r\nx SELECT x\r\n",
        };
        driver.feed(start);
    }
    driver.said.clear();
    for bytes in input.chunks(piece) {
        if !driver.feed(bytes) {
            break;
        }
    }
    driver.said
}

/// Answers every question at once, and reads messages like a real driver.
struct Driver {
    session: Session,
    kept: Vec<u8>,
    /// Bytes of a message still to come.
    message: Option<usize>,
    said: Vec<u8>,
}

impl Driver {
    /// Takes bytes; whether the session goes on.
    fn feed(&mut self, bytes: &[u8]) -> bool {
        self.kept.extend_from_slice(bytes);
        while !self.kept.is_empty() {
            let pending = std::mem::take(&mut self.kept);
            let mut rest = &pending[..];
            let goes_on = match self.message.take() {
                Some(left) => self.read_message(&mut rest, left),
                None => {
                    let action = self.session.receive(&mut rest);
                    self.act(action, &mut rest)
                }
            };
            self.kept.extend_from_slice(rest);
            self.said.append(self.session.output());
            if !goes_on {
                return false;
            }
        }
        true
    }

    fn read_message(&mut self, rest: &mut &[u8], left: usize) -> bool {
        let take = left.min(rest.len());
        *rest = rest.get(take..).unwrap_or_default();
        if take < left {
            self.message = Some(left - take);
            return true;
        }
        let action = self.session.complete(Outcome::Done);
        self.act(action, rest)
    }

    fn act(&mut self, mut action: Action, rest: &mut &[u8]) -> bool {
        while let Action::Perform(op) = action {
            let size = match &op {
                Op::AppendMessage(message) => Some(message.size),
                Op::CatenateText { size, .. } => Some(*size),
                _ => None,
            };
            if let Some(size) = size {
                return self.read_message(rest, usize::try_from(size).unwrap_or(usize::MAX));
            }
            let outcome = outcome(&op);
            self.session.push_change(Change::Removed {
                mailbox: MAILBOX,
                uids: NumSet::range(3, 3),
                modseq: modseq(30),
            });
            self.session.push_change(Change::Added { mailbox: MailboxId(2), messages: states() });
            action = self.session.complete(outcome);
        }
        // What is compressed is so below the session.
        matches!(action, Action::Read | Action::Compress | Action::EndCompression)
    }
}

fn modseq(number: u64) -> ModSeq {
    ModSeq::new(number).expect("small")
}

fn states() -> Vec<MessageState> {
    let uid = Uid::new(2).expect("not zero");
    vec![MessageState { uid, modseq: modseq(9), flags: FlagList::default() }]
}

fn status() -> MailboxStatus {
    MailboxStatus {
        id: MailboxId(4),
        messages: 3,
        uidnext: 6,
        uidvalidity: UidValidity::MIN,
        unseen: 2,
        deleted: 1,
        size: 1_000,
        deleted_size: 400,
        highest_modseq: modseq(9),
    }
}

/// An answer of the right kind.
#[expect(clippy::too_many_lines, reason = "one answer per kind")]
fn outcome(op: &Op) -> Outcome {
    let uids = || NumSet::range(1, 4);
    match op {
        Op::Select(_) => Outcome::Selected(Box::new(Snapshot {
            mailbox: MAILBOX,
            uidvalidity: UidValidity::MIN,
            uidnext: 5,
            highest_modseq: modseq(9),
            keywords: Vec::new(),
            uids: UidMap::from(uids()),
            first_unseen: Uid::new(2),
            qresync: None,
        })),
        Op::Authenticate { initial: None, .. } => Outcome::Challenge(b"x".to_vec()),
        Op::Create { name, .. } => Outcome::Created(vec![(MailboxId(4), name.clone())]),
        Op::List { with_status, .. } => Outcome::Mailboxes(vec![MailboxInfo {
            name: mox_base::MailboxName::inbox(),
            exists: true,
            is_subscribed: true,
            special_use: SpecialUse::NONE,
            status: with_status.then(status),
            metadata: Vec::new(),
        }]),
        Op::Status(_) => Outcome::Status(status()),
        Op::AppendFinish { .. } | Op::Replace { .. } => Outcome::Appended(Appended {
            mailbox: MAILBOX,
            uidvalidity: UidValidity::MIN,
            uids: NumSet::range(9, 9),
            modseq: modseq(31),
        }),
        Op::Fetch(_) => Outcome::Fetched(Fetched { seen: states(), ..Fetched::default() }),
        Op::Store(_) => Outcome::Stored(Stored { messages: states(), modified: states() }),
        Op::Copy(_) | Op::Move(_) => Outcome::Copied(Copied {
            uidvalidity: UidValidity::MIN,
            from: NumSet::range(2, 2),
            to: NumSet::range(7, 7),
            modseq: modseq(32),
        }),
        Op::Expunge { .. } => {
            Outcome::Expunged(Expunged { uids: NumSet::range(1, 1), highest_modseq: modseq(33) })
        }
        Op::Search(search) => {
            let uids = search.known.to_set();
            let order = if search.sort.is_empty() { Vec::new() } else { uids.iter().collect() };
            let relevancy = uids.iter().map(|_| 50).collect();
            Outcome::Found(Found {
                uids,
                highest_modseq: Some(modseq(9)),
                order,
                relevancy,
                ..Found::default()
            })
        }
        Op::Update(update) => {
            let updated = |of: &UpdateOf| Updated {
                looked: NumSet::range(2, 5),
                looked_at: of.looked_at,
                uids: uids(),
                places: match of.order.last() {
                    last if !of.sort.is_empty() => vec![(2, last.copied()), (4, None)],
                    _ => Vec::new(),
                },
            };
            Outcome::Updated(update.contexts.iter().map(updated).collect())
        }
        Op::MultiSearch(search) => {
            let found = |(mailbox, _): &(MailboxId, u32)| FoundIn {
                mailbox: *mailbox,
                found: Found { uids: uids(), highest_modseq: Some(modseq(9)), ..Found::default() },
            };
            let _key = search.key_in(&UidMap::from(uids()));
            Outcome::FoundIn(search.mailboxes.iter().map(found).collect())
        }
        Op::Facts(_) => Outcome::Facts(vec![Facts {
            mailbox: Some(MailboxId(2)),
            name: mox_base::MailboxName::inbox(),
            is_subscribed: true,
            is_inbox: true,
            status: Some(status()),
        }]),
        Op::GetMetadata(_) => Outcome::Metadata(MetadataFound {
            entries: [("x", "OR SEEN FILTER y"), ("y", "UID 2:3 $"), ("z", "FILTER z")]
                .into_iter()
                .map(|(name, value)| {
                    let value = MetadataValue { bytes: value.into(), is_binary: false };
                    (format!("/private/filters/values/{name}"), Some(value))
                })
                .collect(),
            longest_omitted: Some(2_000),
        }),
        Op::Quota => Outcome::Quota(QuotaUse { used_bytes: 1_025, limit_bytes: Some(u64::MAX) }),
        Op::Thread(thread) => Outcome::Threads(
            thread
                .known
                .to_set()
                .iter()
                .map(|uid| ThreadEntry { depth: 0, uid: Some(uid) })
                .collect(),
        ),
        Op::Resync { .. } => Outcome::Resynced(Box::new(Resync {
            uids: UidMap::from(uids()),
            changed: states(),
            highest_modseq: modseq(40),
        })),
        _ => Outcome::Done,
    }
}
