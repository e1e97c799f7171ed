//! A client that applies what it is told of its contexts must have what a fresh search would find.
//!
//! Random changes by others and by the client itself; in the end the results the client has made
//! from ADDTO and REMOVEFROM alone are compared with the mailbox. RFC 5267 §4.3.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed set-up should fail the test")]

use std::collections::BTreeMap;

use mox_base::{Flags, MailboxId, ModSeq, Uid, UidValidity};
use mox_imap::client::{ResponseReader, Value};
use mox_imap::session::{
    Action, Change, Expunged, Fetched, Found, MessageState, Op, Outcome, Resync, Session, Settings,
    Snapshot, Stored, UpdateOf, Updated,
};
use mox_imap::types::{
    FlagList, NumSet, ResolvedKey, SearchKey, SequenceSet, SortKey, StoreAction, UidMap,
};
use proptest::prelude::*;

const MAILBOX: MailboxId = MailboxId(7);

/// What is kept up to date. The tag is the place in this list.
const CONTEXTS: [(&str, Flags, bool); 5] = [
    ("UID SEARCH RETURN (UPDATE ALL) UNSEEN", Flags::SEEN, false),
    ("SEARCH RETURN (UPDATE ALL) SEEN", Flags::SEEN, true),
    ("UID SORT RETURN (UPDATE ALL) (SIZE) UTF-8 UNSEEN", Flags::SEEN, false),
    ("SORT RETURN (UPDATE ALL) (REVERSE SIZE) UTF-8 ALL", Flags::NONE, true),
    ("SORT RETURN (UPDATE ALL) (SIZE) UTF-8 FLAGGED", Flags::FLAGGED, true),
];

/// What messages are sorted by, then by UID.
fn size(uid: u32) -> u32 {
    uid * 7919 % 13
}

fn sort(uids: &mut [u32], is_reverse: bool) {
    let key = |uid: &u32| if is_reverse { 13 - size(*uid) } else { size(*uid) };
    uids.sort_by_key(|uid| (key(uid), *uid));
}

#[derive(Default)]
struct Mailbox {
    /// UID to mod-sequence and flags.
    messages: BTreeMap<u32, (u64, Flags)>,
    uidnext: u32,
    modseq: u64,
}

impl Mailbox {
    fn state(&self, uid: u32) -> MessageState {
        let (modseq, system) = self.messages[&uid];
        let flags = FlagList { system, keywords: Vec::new() };
        MessageState { uid: Uid::new(uid).unwrap(), modseq: ModSeq::new(modseq).unwrap(), flags }
    }

    fn states(&self, uids: &[u32]) -> Vec<MessageState> {
        uids.iter().map(|uid| self.state(*uid)).collect()
    }

    fn add(&mut self, count: u32, flags: Flags) -> Change {
        self.modseq += 1;
        let new: Vec<u32> = (self.uidnext..self.uidnext + count).collect();
        self.uidnext += count;
        self.messages.extend(new.iter().map(|uid| (*uid, (self.modseq, flags))));
        Change::Added { mailbox: MAILBOX, messages: self.states(&new) }
    }

    fn some(&self, nth: usize, step: usize) -> Vec<u32> {
        self.messages.keys().copied().skip(nth).step_by(step).take(3).collect()
    }

    fn remove(&mut self, uids: &[u32]) -> Change {
        self.modseq += 1;
        self.messages.retain(|uid, _| !uids.contains(uid));
        let modseq = ModSeq::new(self.modseq).unwrap();
        Change::Removed { mailbox: MAILBOX, uids: uids.iter().copied().collect(), modseq }
    }

    fn toggle(&mut self, uids: &[u32], flag: Flags) -> Change {
        self.modseq += 1;
        for uid in uids {
            let (_, flags) = self.messages[uid];
            let flags = flags.with(flag, !flags.contains(flag));
            self.messages.insert(*uid, (self.modseq, flags));
        }
        Change::Flags { mailbox: MAILBOX, messages: self.states(uids) }
    }

    fn matches(&self, key: &ResolvedKey, uid: u32) -> bool {
        let Some((_, flags)) = self.messages.get(&uid) else { return false };
        match key {
            SearchKey::All => true,
            SearchKey::Flag(flag) => flags.contains(*flag),
            SearchKey::Not(key) => !self.matches(key, uid),
            other => panic!("{other:?}"),
        }
    }

    fn found(&self, known: &UidMap, key: &ResolvedKey, keys: &[SortKey]) -> Found {
        let uids: NumSet = known.to_set().iter().filter(|uid| self.matches(key, *uid)).collect();
        let mut order = Vec::new();
        if let Some(key) = keys.first() {
            order = uids.iter().collect();
            sort(&mut order, key.is_reverse);
        }
        Found { uids, order, ..Found::default() }
    }

    fn updated(&self, changed: &NumSet, of: &UpdateOf) -> Updated {
        let uids = self.found(&UidMap::from(changed.clone()), &of.key, &[]).uids;
        let mut places = Vec::new();
        if let Some(key) = of.sort.first() {
            let new = uids.iter().filter(|uid| !of.order.contains(uid));
            let mut all: Vec<u32> = of.order.iter().copied().chain(new).collect();
            sort(&mut all, key.is_reverse);
            let mut last = None;
            for uid in all {
                if of.order.contains(&uid) {
                    last = Some(uid);
                } else {
                    places.push((uid, last));
                }
            }
        }
        Updated { looked: changed.clone(), uids, places, looked_at: None }
    }
}

/// What a client has: how many messages, and the results, as numbers or UIDs.
#[derive(Default)]
struct Client {
    exists: usize,
    results: [Vec<u32>; CONTEXTS.len()],
}

fn word(value: Option<&Value>) -> String {
    match value {
        Some(Value::Atom(word) | Value::String(word)) => String::from_utf8_lossy(word).into_owned(),
        _ => String::new(),
    }
}

fn numbers(text: &str) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().unwrap();
    let part = |part: &str| match part.split_once(':') {
        Some((first, last)) => (number(first)..=number(last)).collect(),
        None => vec![number(part)],
    };
    text.split(',').flat_map(part).collect()
}

impl Client {
    fn hear(&mut self, line: &[Value], text: &str) {
        match (&*word(line.get(1)), &*word(line.first())) {
            ("EXISTS", count) => self.exists = count.parse().unwrap(),
            ("EXPUNGE", number) => {
                let number = number.parse::<u32>().unwrap();
                self.exists -= 1;
                for (result, (command, ..)) in self.results.iter_mut().zip(CONTEXTS) {
                    if !command.starts_with("UID") {
                        assert!(!result.contains(&number), "still in a result: {text}");
                        result.iter_mut().for_each(|n| *n -= u32::from(*n > number));
                    }
                }
            }
            (_, "ESEARCH") => self.esearch(line, text),
            _ => {}
        }
    }

    fn esearch(&mut self, line: &[Value], text: &str) {
        let Some(Value::List(tag)) = line.get(1) else { panic!("{text}") };
        let context: usize = word(tag.get(1)).parse().unwrap();
        let (command, ..) = CONTEXTS[context];
        let is_uid = word(line.get(2)) == "UID";
        assert_eq!(is_uid, command.starts_with("UID"), "{text}");
        let result = &mut self.results[context];
        let exists = self.exists;
        for pair in line[2 + usize::from(is_uid)..].chunks(2) {
            let data = match &pair[1] {
                Value::List(data) => data.iter().map(|value| word(Some(value))).collect(),
                set => vec!["ALL".to_owned(), word(Some(set))],
            };
            for step in data.chunks(2) {
                let numbers = numbers(&step[1]);
                for number in numbers.iter().filter(|_| !is_uid) {
                    assert!(*number as usize <= exists, "not announced: {text}");
                }
                apply(result, &word(pair.first()), &step[0], &numbers, text);
            }
        }
    }
}

/// RFC 5267 §4.3.2: 0 is a place where order does not matter.
fn apply(result: &mut Vec<u32>, name: &str, place: &str, numbers: &[u32], text: &str) {
    match (name, place.parse::<usize>()) {
        ("ALL", _) => *result = numbers.to_vec(),
        ("ADDTO", Ok(0)) => {
            assert!(!numbers.iter().any(|number| result.contains(number)), "twice: {text}");
            result.extend(numbers);
            result.sort_unstable();
        }
        ("ADDTO", Ok(place)) => {
            assert!(!numbers.iter().any(|number| result.contains(number)), "twice: {text}");
            result.splice(place - 1..place - 1, numbers.iter().copied());
        }
        ("REMOVEFROM", Ok(0)) => {
            let before = result.len();
            result.retain(|number| !numbers.contains(number));
            assert_eq!(before - result.len(), numbers.len(), "not there: {text}");
        }
        ("REMOVEFROM", Ok(place)) => {
            let gone: Vec<u32> = result.splice(place - 1..place - 1 + numbers.len(), []).collect();
            assert_eq!(gone, numbers, "{text}");
        }
        _ => panic!("{text}"),
    }
}

struct World {
    mailbox: Mailbox,
    session: Session,
    client: Client,
    reader: ResponseReader,
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32, Flags),
    Remove(usize, usize),
    Toggle(usize, usize, Flags),
    Overflow,
    Command(&'static str),
    /// Changes that come while the driver works.
    Busy(Box<Self>, &'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let flags = || prop_oneof![Just(Flags::SEEN), Just(Flags::FLAGGED)];
    let command = prop_oneof![
        3 => Just("NOOP"),
        1 => Just("UID STORE 1:5 +FLAGS (\\Seen)"),
        1 => Just("STORE 1 FLAGS (\\Flagged)"),
        1 => Just("UID STORE 1:* -FLAGS.SILENT (\\Seen)"),
        1 => Just("FETCH 1 UID"),
        1 => Just("EXPUNGE"),
        1 => Just("IDLE"),
    ];
    let change = prop_oneof![
        (1_u32..4, flags()).prop_map(|(count, flags)| Step::Add(count, flags)),
        (0_usize..6, 1_usize..3).prop_map(|(nth, by)| Step::Remove(nth, by)),
        (0_usize..6, 1_usize..3, flags()).prop_map(|(nth, by, flag)| Step::Toggle(nth, by, flag)),
        Just(Step::Overflow),
    ];
    prop_oneof![
        2 => change.clone(),
        1 => command.clone().prop_map(Step::Command),
        1 => (change, command).prop_map(|(change, command)| Step::Busy(Box::new(change), command)),
    ]
}

impl World {
    fn new(notify: Option<&str>) -> Self {
        let mut session = Session::new(Settings::default());
        session.greet(Some("x"));
        let mailbox = Mailbox { uidnext: 1, modseq: 1, ..Mailbox::default() };
        let (client, reader) = (Client::default(), ResponseReader::default());
        let mut world = Self { mailbox, session, client, reader };
        world.mailbox.add(3, Flags::NONE);
        world.mailbox.add(2, Flags::SEEN);
        world.command("t", "SELECT x", None);
        if let Some(command) = notify {
            world.command("t", command, None);
        }
        for (tag, (command, ..)) in CONTEXTS.iter().enumerate() {
            world.command(&tag.to_string(), command, None);
        }
        world
    }

    fn change(&mut self, step: &Step) {
        let change = match step {
            Step::Add(count, flags) => self.mailbox.add(*count, *flags),
            Step::Remove(nth, by) => self.mailbox.remove(&self.mailbox.some(*nth, *by)),
            Step::Toggle(nth, by, flag) => {
                self.mailbox.toggle(&self.mailbox.some(*nth, *by), *flag)
            }
            _ => {
                // What happens now is never told.
                self.mailbox.add(1, Flags::NONE);
                self.mailbox.toggle(&self.mailbox.some(1, 2), Flags::SEEN);
                self.mailbox.remove(&self.mailbox.some(0, 3));
                Change::Overflow
            }
        };
        self.session.push_change(change);
        if self.session.is_listening() {
            let action = self.session.poll();
            self.follow(action, None);
        }
    }

    fn command(&mut self, tag: &str, command: &str, meanwhile: Option<&Step>) {
        self.say(&format!("{tag} {command}\r\n"), meanwhile);
        if command == "NOOP" {
            // Also what went while the results were looked at was told before the reply.
            assert_eq!(self.session.oldest_removal(), None);
        }
        if command == "IDLE" {
            if let Some(step) = meanwhile {
                self.change(step);
            }
            self.say("DONE\r\n", None);
        }
        while self.session.is_listening() && self.session.has_news() {
            let action = self.session.poll();
            self.follow(action, None);
        }
    }

    fn say(&mut self, line: &str, meanwhile: Option<&Step>) {
        let action = self.session.receive(&mut line.as_bytes());
        self.follow(action, meanwhile.filter(|_| !line.contains("IDLE")));
    }

    fn follow(&mut self, mut action: Action, mut meanwhile: Option<&Step>) {
        while let Action::Perform(op) = action {
            let outcome = self.perform(&op);
            if let Some(step) = meanwhile.take() {
                self.change(step);
            }
            self.listen();
            action = self.session.complete(outcome);
        }
        assert_eq!(action, Action::Read);
        self.listen();
    }

    fn perform(&mut self, op: &Op) -> Outcome {
        let highest_modseq = ModSeq::new(self.mailbox.modseq).unwrap();
        let uids =
            || -> UidMap { self.mailbox.messages.keys().copied().collect::<NumSet>().into() };
        match op {
            Op::Select(_) => Outcome::Selected(Box::new(Snapshot {
                mailbox: MAILBOX,
                uidvalidity: UidValidity::MIN,
                uidnext: self.mailbox.uidnext.into(),
                highest_modseq,
                keywords: Vec::new(),
                uids: uids(),
                first_unseen: None,
                qresync: None,
            })),
            Op::Resync { since, .. } => {
                let is_later = |uid: &u32| self.mailbox.messages[uid].0 > since.get();
                let changed = self.mailbox.messages.keys().copied().filter(is_later);
                let changed = self.mailbox.states(&changed.collect::<Vec<_>>());
                Outcome::Resynced(Box::new(Resync { uids: uids(), changed, highest_modseq }))
            }
            Op::Fetch(_) => Outcome::Fetched(Fetched::default()),
            Op::Store(store) => {
                let alive = |uid: &u32| self.mailbox.messages.contains_key(uid);
                let targets: Vec<u32> = store.targets.iter().filter(alive).collect();
                self.mailbox.modseq += 1;
                for uid in &targets {
                    let (_, old) = self.mailbox.messages[uid];
                    let flags = match store.action {
                        StoreAction::Replace => store.flags.system,
                        StoreAction::Add => old | store.flags.system,
                        StoreAction::Remove => old.with(store.flags.system, false),
                    };
                    self.mailbox.messages.insert(*uid, (self.mailbox.modseq, flags));
                }
                let messages = self.mailbox.states(&targets);
                Outcome::Stored(Stored { messages, modified: Vec::new() })
            }
            Op::Search(search) => {
                Outcome::Found(self.mailbox.found(&search.known, &search.key, &search.sort))
            }
            Op::Update(update) => {
                let updated = |of: &UpdateOf| self.mailbox.updated(&update.changed, of);
                Outcome::Updated(update.contexts.iter().map(updated).collect())
            }
            Op::Expunge { targets, .. } => {
                let is_gone =
                    |uid: &u32| uid.is_multiple_of(4) && self.mailbox.messages.contains_key(uid);
                let gone: Vec<u32> = targets.iter().filter(is_gone).collect();
                self.mailbox.remove(&gone);
                let highest_modseq = ModSeq::new(self.mailbox.modseq).unwrap();
                Outcome::Expunged(Expunged { uids: gone.into_iter().collect(), highest_modseq })
            }
            other => panic!("{other:?}"),
        }
    }

    fn listen(&mut self) {
        let sent = std::mem::take(self.session.output());
        self.reader.feed(&sent);
        while let Some(response) = self.reader.next_response() {
            let text = response.text();
            assert!(!text.contains("NOUPDATE"), "{text}");
            if response.tag() == b"*" && !text.starts_with("* OK") {
                self.client.hear(&response.values().unwrap(), &text);
            }
        }
    }

    /// What a fresh search would find.
    fn check(&self) {
        let view = self.session.view().unwrap().uids();
        let there: Vec<u32> = self.mailbox.messages.keys().copied().collect();
        assert_eq!(view.to_set(), there.iter().copied().collect());
        for ((command, flag, wants), result) in CONTEXTS.iter().zip(&self.client.results) {
            let matches = |uid: &u32| self.mailbox.messages[uid].1.contains(*flag) == *wants;
            let mut want: Vec<u32> = there.iter().copied().filter(matches).collect();
            if command.contains("SORT") {
                sort(&mut want, command.contains("REVERSE"));
            }
            if !command.starts_with("UID") {
                want.iter_mut().for_each(|uid| *uid = view.seq_of(*uid).unwrap());
            }
            assert_eq!(result, &want, "{command}");
        }
    }
}

fn play(steps: &[Step], notify: Option<&str>) {
    let mut world = World::new(notify);
    for step in steps {
        match step {
            Step::Command(command) => world.command("t", command, None),
            Step::Busy(change, command) => world.command("t", command, Some(change)),
            change => world.change(change),
        }
    }
    world.command("t", "NOOP", None);
    world.check();
}

proptest! {
    #[test]
    fn updates_amount_to_a_fresh_search(
        steps in proptest::collection::vec(step(), 1..30), is_notified in any::<bool>()
    ) {
        // Without lost changes: after those NOTIFY tells nothing more. RFC 5465 §5.8.
        const NOTIFY: &str = "NOTIFY SET (SELECTED (MessageNew MessageExpunge FlagChange))";
        let is_lossy = |step: &Step| match step {
            Step::Overflow => true,
            Step::Busy(change, _) => matches!(**change, Step::Overflow),
            _ => false,
        };
        let notify = (is_notified && !steps.iter().any(is_lossy)).then_some(NOTIFY);
        play(&steps, notify);
    }
}

/// Sequence sets in answers are as the client of this test reads them.
#[test]
fn sets_are_read_in_their_order() {
    assert_eq!(numbers("5,1:3,2"), [5, 1, 2, 3, 2]);
    assert!(SequenceSet::parse(b"5,1:3,2").is_ok());
}
