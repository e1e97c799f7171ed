//! A client that only believes what it is told must end up with the session's view.
//!
//! Random changes by others, lost changes and commands; after each the client's list of UIDs, made
//! from EXISTS, EXPUNGE, VANISHED and FETCH alone, is compared. RFC 9051 §5.5, RFC 9051 §7.5.1.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed set-up should fail the test")]

use std::collections::BTreeMap;

use mox_base::{MailboxId, ModSeq, Uid, UidValidity};
use mox_imap::client::{ResponseReader, Value};
use mox_imap::print::FetchLine;
use mox_imap::session::{
    Action, Appended, Change, Expunged, Fetched, Found, MessageState, Op, Outcome, Refusal, Resync,
    Session, Settings, Snapshot,
};
use mox_imap::types::{FlagList, NumSet, UidMap};
use proptest::prelude::*;

const MAILBOX: MailboxId = MailboxId(7);

/// The mailbox as it is.
#[derive(Default)]
struct Mailbox {
    /// UID to mod-sequence.
    messages: BTreeMap<u32, u64>,
    uidnext: u32,
    modseq: u64,
}

impl Mailbox {
    fn state(&self, uid: u32) -> MessageState {
        MessageState {
            uid: Uid::new(uid).unwrap(),
            modseq: ModSeq::new(self.messages[&uid]).unwrap(),
            flags: FlagList::default(),
        }
    }

    fn uids(&self) -> UidMap {
        self.messages.keys().copied().collect::<NumSet>().into()
    }

    fn next_modseq(&mut self) -> ModSeq {
        self.modseq += 1;
        ModSeq::new(self.modseq).unwrap()
    }

    fn add(&mut self, count: u32) -> Change {
        let modseq = self.next_modseq().get();
        let first = self.uidnext;
        // Every other UID is already gone again.
        self.uidnext += count * 2;
        let new: Vec<u32> = (0..count).map(|n| first + n * 2).collect();
        self.messages.extend(new.iter().map(|uid| (*uid, modseq)));
        let messages = new.iter().map(|uid| self.state(*uid)).collect();
        Change::Added { mailbox: MAILBOX, messages }
    }

    /// The `nth` message and those after it, every `step`th.
    fn some(&self, nth: usize, step: usize) -> Vec<u32> {
        self.messages.keys().copied().skip(nth).step_by(step).take(4).collect()
    }

    fn remove(&mut self, uids: &[u32]) -> Change {
        let modseq = self.next_modseq();
        self.messages.retain(|uid, _| !uids.contains(uid));
        Change::Removed { mailbox: MAILBOX, uids: uids.iter().copied().collect(), modseq }
    }

    fn touch(&mut self, uids: &[u32]) -> Change {
        let modseq = self.next_modseq().get();
        for uid in uids {
            self.messages.insert(*uid, modseq);
        }
        let messages = uids.iter().map(|uid| self.state(*uid)).collect();
        Change::Flags { mailbox: MAILBOX, messages }
    }
}

/// What a client believes: UIDs by number, 0 for those it was not told.
#[derive(Default)]
struct Client {
    uids: Vec<u32>,
    /// A message that it added itself: of that it is told the UID and that it is there, no more.
    own: Option<u32>,
}

impl Client {
    /// Its own message is the first whose UID it was not told, once those before it are told.
    fn settle_own(&mut self, below: u32) {
        if let Some(own) = self.own.take_if(|own| *own < below)
            && !self.uids.contains(&own)
            && let Some(place) = self.uids.iter_mut().find(|uid| **uid == 0)
        {
            *place = own;
        }
    }

    fn hear(&mut self, line: &[Value], text: &str, frozen: bool) {
        let word = |at: usize| match line.get(at) {
            Some(Value::Atom(word)) => String::from_utf8_lossy(word).into_owned(),
            _ => String::new(),
        };
        let number = || word(0).parse::<usize>().unwrap();
        match (&*word(1), &*word(0)) {
            ("EXISTS", _) => {
                assert!(number() >= self.uids.len(), "EXISTS must not shrink: {text}");
                self.uids.resize(number(), 0);
            }
            ("EXPUNGE", _) => {
                assert!(!frozen, "EXPUNGE while numbers are in use");
                self.uids.remove(number() - 1);
            }
            ("FETCH", _) => {
                let Some(Value::List(items)) = line.get(2) else { panic!("{text}") };
                let Some(Value::Atom(uid)) = items.get(1) else { panic!("{text}") };
                let uid = String::from_utf8_lossy(uid).parse().unwrap();
                let known = &mut self.uids[number() - 1];
                assert!(*known == 0 || *known == uid, "number moved: {text}");
                *known = uid;
            }
            ("UIDFETCH", _) => {
                // Told in ascending order after EXISTS: the first without a UID is meant.
                let uid = u32::try_from(number()).unwrap();
                self.settle_own(uid);
                if !self.uids.contains(&uid) {
                    let new = self.uids.iter().position(|known| *known == 0);
                    self.uids[new.unwrap_or_else(|| panic!("unannounced: {text}"))] = uid;
                }
            }
            (_, "VANISHED") => {
                assert!(!frozen, "VANISHED while numbers are in use");
                let set = mox_imap::types::SequenceSet::parse(word(1).as_bytes()).unwrap();
                let set = set.numbers().unwrap();
                self.settle_own(u32::MAX);
                let before = self.uids.len() as u64;
                self.uids.retain(|uid| !set.contains(*uid));
                assert_eq!(before - self.uids.len() as u64, set.len(), "unknown UID: {text}");
            }
            _ => {}
        }
    }
}

struct World {
    /// A NOTIFY command that is in force.
    notify: Option<&'static str>,
    mailbox: Mailbox,
    session: Session,
    client: Client,
    reader: ResponseReader,
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32),
    Remove(usize, usize),
    Touch(usize, usize),
    Overflow,
    Command(&'static str),
    /// Changes that come while the driver works.
    Busy(Box<Self>, &'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![
        Just("NOOP"),
        Just("FETCH 1:* UID"),
        Just("UID FETCH 1:* UID"),
        Just("SEARCH ALL"),
        Just("UID SEARCH ALL"),
        Just("STORE 1 FLAGS ()"),
        Just("EXPUNGE"),
        Just("REPLACE 1 x CATENATE (URL ;UID=1)"),
        Just("UID REPLACE 3 x CATENATE (URL ;UID=1)"),
        Just("UID REPLACE * x CATENATE (URL ;UID=1)"),
        Just("BOGUS"),
        Just("STATUS"),
    ];
    let change = prop_oneof![
        (1_u32..4).prop_map(Step::Add),
        (0_usize..6, 1_usize..3).prop_map(|(nth, by)| Step::Remove(nth, by)),
        (0_usize..6, 1_usize..3).prop_map(|(nth, by)| Step::Touch(nth, by)),
        Just(Step::Overflow),
    ];
    prop_oneof![
        change.clone(),
        command.clone().prop_map(Step::Command),
        (change, command).prop_map(|(change, command)| Step::Busy(Box::new(change), command)),
    ]
}

fn is_overflow(step: &Step) -> bool {
    matches!(step, Step::Overflow)
}

impl World {
    fn new(extensions: &[&str], notify: Option<&'static str>) -> Self {
        let mut session = Session::new(Settings::default());
        session.greet(Some("x"));
        let mailbox = Mailbox { uidnext: 1, modseq: 1, ..Mailbox::default() };
        let (client, reader) = (Client::default(), ResponseReader::default());
        let mut world = Self { notify, mailbox, session, client, reader };
        world.mailbox.add(5);
        for name in extensions {
            world.command(&format!("ENABLE {name}"), None);
        }
        world.command("SELECT x", None);
        world.command("UID FETCH 1:* UID", None);
        if let Some(command) = notify {
            world.command(command, None);
        }
        world
    }

    fn change(&mut self, step: &Step) {
        let change = match step {
            Step::Add(count) => self.mailbox.add(*count),
            Step::Remove(nth, by) => self.mailbox.remove(&self.mailbox.some(*nth, *by)),
            Step::Touch(nth, by) => self.mailbox.touch(&self.mailbox.some(*nth, *by)),
            _ => {
                // What happens now is never told.
                self.mailbox.add(1);
                let gone = self.mailbox.some(0, 3);
                self.mailbox.remove(&gone);
                Change::Overflow
            }
        };
        let is_overflow = change == Change::Overflow;
        self.session.push_change(change);
        if self.session.is_listening() {
            let action = self.session.poll();
            self.follow(action, None, false);
            // RFC 5465 §5.8: the client has to ask again.
            if let Some(command) = self.notify.filter(|_| is_overflow) {
                self.command(command, None);
            }
        }
    }

    fn command(&mut self, command: &str, meanwhile: Option<&Step>) {
        let line = format!("t {command}\r\n");
        let frozen = ["FETCH", "STORE", "SEARCH"].iter().any(|name| command.starts_with(name));
        let action = self.session.receive(&mut line.as_bytes());
        self.follow(action, meanwhile, frozen);
        // As the driver does before it waits.
        while self.session.is_listening() && self.session.has_news() {
            let action = self.session.poll();
            self.follow(action, None, false);
        }
        if let Some(command) = self.notify.filter(|_| meanwhile.is_some_and(is_overflow)) {
            self.command(command, None);
        }
    }

    /// Does what the session asks for, until it waits for the client.
    fn follow(&mut self, mut action: Action, mut meanwhile: Option<&Step>, frozen: bool) {
        while let Action::Perform(op) = action {
            let outcome = self.perform(&op);
            if let Some(step) = meanwhile.take() {
                self.change(step);
            }
            self.listen(frozen);
            action = self.session.complete(outcome);
        }
        assert_eq!(action, Action::Read);
        self.listen(frozen);
    }

    fn perform(&mut self, op: &Op) -> Outcome {
        let highest_modseq = ModSeq::new(self.mailbox.modseq).unwrap();
        match op {
            Op::Select(_) => Outcome::Selected(Box::new(Snapshot {
                mailbox: MAILBOX,
                uidvalidity: UidValidity::MIN,
                uidnext: self.mailbox.uidnext.into(),
                highest_modseq,
                keywords: Vec::new(),
                uids: self.mailbox.uids(),
                first_unseen: None,
                qresync: None,
            })),
            Op::Resync { since, .. } => {
                let changed = self.mailbox.messages.iter().filter(|(_, at)| **at > since.get());
                let changed = changed.map(|(uid, _)| self.mailbox.state(*uid)).collect();
                let uids = self.mailbox.uids();
                Outcome::Resynced(Box::new(Resync { uids, changed, highest_modseq }))
            }
            Op::Fetch(fetch) => {
                let mut cursor = fetch.targets.known.cursor();
                for uid in fetch.targets.iter() {
                    let seq = cursor.seq_of(uid).unwrap();
                    let out = self.session.output();
                    FetchLine::start_named(out, fetch.naming, seq, uid).finish();
                }
                Outcome::Fetched(Fetched::default())
            }
            Op::Store(store) => {
                let alive = store.targets.iter().filter(|u| self.mailbox.messages.contains_key(u));
                let messages = alive.map(|uid| self.mailbox.state(uid)).collect();
                Outcome::Stored(mox_imap::session::Stored { messages, modified: Vec::new() })
            }
            Op::Search(search) => {
                let uids = search.known.to_set();
                Outcome::Found(Found { uids, ..Found::default() })
            }
            Op::Expunge { targets, .. } => {
                let gone: Vec<u32> = targets
                    .iter()
                    .filter(|uid| uid % 3 == 0 && self.mailbox.messages.contains_key(uid))
                    .collect();
                self.mailbox.remove(&gone);
                let uids = gone.into_iter().collect();
                Outcome::Expunged(Expunged { uids, highest_modseq })
            }
            Op::AppendStart { .. } | Op::CatenateUrl(_) | Op::CatenateEnd { .. } => Outcome::Done,
            Op::AppendCancel => Outcome::Done,
            Op::Replace { uid, .. } => {
                let old = uid.get();
                if !self.mailbox.messages.contains_key(&old) {
                    return Outcome::Refused(Refusal::MessageGone);
                }
                let uids = NumSet::range(self.mailbox.uidnext, self.mailbox.uidnext);
                self.mailbox.add(1);
                self.mailbox.remove(&[old]);
                let modseq = ModSeq::new(self.mailbox.modseq).unwrap();
                let uidvalidity = UidValidity::MIN;
                Outcome::Appended(Appended { mailbox: MAILBOX, uidvalidity, uids, modseq })
            }
            other => panic!("{other:?}"),
        }
    }

    fn listen(&mut self, frozen: bool) {
        let sent = std::mem::take(self.session.output());
        self.reader.feed(&sent);
        while let Some(response) = self.reader.next_response() {
            let text = response.text();
            if text.starts_with("* OK") {
                let own = text.strip_prefix("* OK [APPENDUID 1 ").and_then(|t| t.split(']').next());
                self.client.own = own.map(|uid| uid.parse().unwrap()).or(self.client.own);
                continue;
            }
            if response.tag() == b"*" {
                let values = response.values().unwrap();
                self.client.hear(&values, &text, frozen);
            }
        }
        let view = self.session.view().map(|view| view.uids().to_set().iter().collect::<Vec<_>>());
        let view = view.unwrap_or_default();
        assert_eq!(self.client.uids.len(), view.len());
        for (told, known) in self.client.uids.iter().zip(&view) {
            assert!(*told == 0 || told == known, "{:?} {view:?}", self.client.uids);
        }
    }
}

fn play(steps: &[Step], extensions: &[&str], notify: Option<&'static str>) {
    let mut world = World::new(extensions, notify);
    for step in steps {
        match step {
            Step::Command(command) => world.command(command, None),
            Step::Busy(change, command) => world.command(command, Some(change)),
            change => world.change(change),
        }
    }
    world.command("NOOP", None);
    // Told of everything, the client knows exactly what there is.
    let there: Vec<u32> = world.mailbox.messages.keys().copied().collect();
    world.command("UID FETCH 1:* UID", None);
    assert_eq!(world.client.uids, there);
    assert_eq!(world.session.oldest_removal(), None);
}

proptest! {
    #[test]
    fn the_client_knows_what_the_session_thinks(
        steps in proptest::collection::vec(step(), 1..40),
        with in 0_usize..4,
        notify in 0_usize..4,
    ) {
        const WITH: [&[&str]; 4] = [&[], &["QRESYNC"], &["UIDONLY"], &["UIDONLY", "CONDSTORE"]];
        const NOTIFY: [Option<&str>; 4] = [
            None,
            Some("NOTIFY SET (SELECTED (MessageNew MessageExpunge FlagChange))"),
            Some("NOTIFY SET (SELECTED-DELAYED (MessageNew (UID) MessageExpunge))"),
            Some("NOTIFY SET (SELECTED (MessageNew (FLAGS) MessageExpunge)) (PERSONAL (MailboxName))"),
        ];
        play(&steps, WITH[with], NOTIFY[notify]);
    }
}

/// 1,000 of 100,000 messages removed by another session: one pass, not one per message.
#[test]
fn many_removals_at_once_are_one_pass() {
    let mut world = World::new(&[], None);
    let add = world.mailbox.add(9_990);
    world.session.push_change(add);
    world.command("NOOP", None);
    let gone: Vec<u32> = world.mailbox.messages.keys().copied().step_by(10).collect();
    let removed = world.mailbox.remove(&gone);
    world.session.push_change(removed);
    world.command("NOOP", None);
    assert_eq!(world.client.uids.len(), world.mailbox.messages.len());
}

/// More changes than are kept turn into one comparison with the mailbox.
#[test]
fn too_many_changes_are_made_up_for() {
    let mut world = World::new(&["QRESYNC"], None);
    for _ in 0..=mox_imap::session::PENDING_CHANGES_MAX {
        let change = world.mailbox.touch(&[1]);
        world.session.push_change(change);
    }
    let change = world.mailbox.add(3);
    world.session.push_change(change);
    world.command("NOOP", None);
    assert_eq!(world.client.uids.len(), 8);
}
